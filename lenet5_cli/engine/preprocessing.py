"""From the bytes of a picture to the network's input: the same for train, eval and predict."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lenet5_cli.engine.einsum import Array, images_first
from lenet5_cli.errors import LeNet5Error

THRESHOLD = 40
PADDING = 2
INPUT_SHAPE = (1, 32, 32)
SIDE = 28
NUMBERS = "biuf"  # kinds of types whose numbers have a smallest and a largest one
SCALES = {"binary": (0, 1), "grey": (0, 1), "lecun": (-0.1, 1.175)}


def as_pictures(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Return pictures (28, 28), (n, 28, 28) or (n, 784), uint8 or floats in [0, 1], as (n, 28, 28) uint8.

    Raises:
        LeNet5Error: they have another shape, or other numbers.
    """
    images = np.asarray(images)
    if images.dtype == np.uint8 and images.shape[1:] == (SIDE, SIDE):  # as they come from data and pictures
        return images
    if images.shape != (SIDE, SIDE) and images.shape[1:] not in ((SIDE, SIDE), (SIDE * SIDE,)):
        raise LeNet5Error(f"pictures of shape {images.shape}; expected (n, 28, 28), (n, 784) or (28, 28)")
    if images.dtype.kind == "f" and (not images.size or 0 <= images.min() <= images.max() <= 1):
        images = np.rint(255 * images).astype(np.uint8)
    if images.dtype != np.uint8:
        values = f" from {images.min()} to {images.max()}" if images.size and images.dtype.kind in NUMBERS else ""
        raise LeNet5Error(f"pictures of {images.dtype}{values}; expected uint8, or floats in [0, 1]")
    return images.reshape(-1, SIDE, SIDE)


def as_labels(labels: NDArray[Any], pictures: int) -> NDArray[np.uint8]:
    """Return labels, one for each of some pictures, integers from 0 to 255, as (n,) uint8.

    Raises:
        LeNet5Error: there are more or fewer, or others.
    """
    labels = np.asarray(labels)
    if labels.shape != (pictures,):
        raise LeNet5Error(f"labels of shape {labels.shape} for {pictures} pictures; expected one for each")
    if labels.dtype == np.uint8:
        return labels
    if labels.dtype.kind not in "iu":
        raise LeNet5Error(f"labels of {labels.dtype}; expected integers, the places of their glyphs from 0")
    largest = np.iinfo(np.uint8).max
    for index in np.flatnonzero((labels < 0) | (labels > largest)):
        raise LeNet5Error(f"label {labels[index]} at index {index:,}, counted from 0; expected 0 to {largest}")
    return labels.astype(np.uint8)


def prepare(images: NDArray[np.uint8], kind: str = "binary", dtype: DTypeLike = np.float32) -> Array:
    """Return images[n,h,w] as x[n,1,h+4,w+4], with two pixels of background around.

    ``binary``: 1 where a pixel is 40 or more, else 0 (report, preprocessing). ``grey``: ``pixel / 255``. ``lecun``:
    ``1.275 pixel / 255 - 0.1``, which has a mean near 0 and a variance near 1 (LeCun et al. 1998, section II.B).
    """
    n, h, w = images.shape
    low, high = SCALES[kind]
    x = np.zeros((h + 2 * PADDING, w + 2 * PADDING, n), dtype)
    # Turned as bytes: it takes a quarter of the time.
    pixels = np.ascontiguousarray((images >= THRESHOLD if kind == "binary" else images).reshape(n, h * w).T)
    x[PADDING:-PADDING, PADDING:-PADDING] = pixels.reshape(h, w, n)
    if kind != "binary":
        x *= (high - low) / 255
        x += low
    return images_first(x[None])
