"""Normalise ink to MNIST's form: 28 x 28, longer side 20, MNIST's stroke width, the centre of mass in the middle."""

from typing import Final

import cv2
import numpy as np

from lenet5_cli.pictures.segment import CONTRAST, Plane, strokes

SIDE: Final = 28  # pixels of a side of MNIST's images
BOX: Final = 20  # pixels of a side of the box in them that a digit fills
DETAIL: Final = 6  # the box is enlarged by this while strokes are measured, dilated and thinned
PEN: Final = 2.4  # pixels in the box: thinner strokes are widened to this, the median stroke width of MNIST
THICK: Final = 5.0  # likewise: wider strokes are thinned to this; 995 in 1,000 of MNIST's are thinner


def normalise(ink: Plane) -> Plane:
    """Return ink (h, w), 0 to 255, in MNIST's form: (28, 28), white on black.

    Source: LeCun et al. 1998, section III.A.
    """
    x = _with_longer_side(_cut(ink), DETAIL * BOX)
    x = _with_longer_side(_cut(_with_pen(x)), BOX)
    return _centred(cv2.convertScaleAbs(x, alpha=255 / max(1, int(x.max()))))


def is_normal(picture: Plane) -> bool:
    """Tell whether a picture already has MNIST's form: on black, as large as the box, the centre of mass centred."""
    if picture.shape != (SIDE, SIDE) or picture.max() < CONTRAST:
        return False
    _, _, width, height = cv2.boundingRect(picture)
    return max(width, height) in (BOX - 1, BOX) and bool((abs(_centre(picture) - (SIDE - 1) / 2) <= 1).all())


def _with_longer_side(x: Plane, side: int) -> Plane:
    scale = side / max(x.shape)
    kind = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    return cv2.resize(x, [max(1, round(scale * n)) for n in x.shape[::-1]], interpolation=kind)


def _with_pen(x: Plane) -> Plane:
    """Pad a shape, and dilate or thin it, so that its stroke width in the box will be from PEN to THICK."""
    length, margin = max(x.shape), round(DETAIL * PEN)
    x = cv2.copyMakeBorder(x, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=0)
    distances, width = strokes((x > 127).astype(np.uint8))
    pen = min(max(BOX * width / length, PEN), THICK)
    # the r for which the width w + 2r, scaled by BOX / (length + 2r), is the pen
    radius = round((pen * length - BOX * width) / (BOX - pen) / 2)
    if radius <= 0:
        return cv2.copyTo(x, (distances > -radius).astype(np.uint8)) if radius else x
    return cv2.dilate(x, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2))


def _cut(x: Plane) -> Plane:
    """Crop to the bounding box of the pixels with at least half of the maximum."""
    left, top, width, height = cv2.boundingRect((x >= max(1, int(x.max()) // 2)).astype(np.uint8))
    return x[top : top + height, left : left + width]


def _centre(x: Plane) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Return the column and row of the centre of mass."""
    moments = cv2.moments(x)
    return np.array([moments["m10"], moments["m01"]]) / moments["m00"]


def _centred(x: Plane) -> Plane:
    """Place the box in a picture with the centre of mass in the middle, to the nearest whole pixel."""
    height, width = x.shape
    left, top = np.clip(np.rint(SIDE / 2 - 0.5 - _centre(x)), 0, (SIDE - width, SIDE - height)).astype(int)
    picture = np.zeros((SIDE, SIDE), np.uint8)
    picture[top : top + height, left : left + width] = x
    return picture
