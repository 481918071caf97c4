"""Read the digits on pictures of any kind: photos, scans, drawings."""

from lenet5_cli.errors import LeNet5Error

try:
    import cv2 as _cv2
except ImportError as error:
    raise LeNet5Error(
        f"pictures are read with OpenCV, which cannot be imported: {error}; pip install opencv-python-headless"
    ) from None

del _cv2
