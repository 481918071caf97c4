"""Preprocessing, from 28x28 bytes to the network's input: the same for train, eval and predict."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from lenet5_cli.engine.einsum import Array, images_first
from lenet5_cli.errors import LeNet5Error

THRESHOLD = 40
PADDING = 2
INPUT_SHAPE = (1, 32, 32)
SIDE = 28
NUMBERS = "biuf"  # kinds of dtypes that have a minimum and a maximum
SCALES = {"binary": (0, 1), "grey": (0, 1), "lecun": (-0.1, 1.175)}


def as_array(given: ArrayLike, what: str) -> NDArray[Any]:
    """Convert an argument to an array; ``what`` is its name in messages, in the plural.

    Raises:
        LeNet5Error: it is a list of arrays of different shapes, or masked: NumPy would drop the mask.
    """
    if isinstance(given, np.ma.MaskedArray):
        raise LeNet5Error(f"{what} in a masked array; expected a plain one, such as its .filled(0)")
    try:
        return np.asarray(given)
    except ValueError:
        raise LeNet5Error(f"{what} of several shapes; expected all in one array") from None


def given_pictures(images: ArrayLike) -> NDArray[np.uint8]:
    """Convert pictures of a caller as ``as_pictures`` does, but refuse integers from 0 to 1: all would be black.

    Raises:
        LeNet5Error: they are, or they have another shape or other values.
    """
    given = as_array(images, "pictures")
    if given.dtype == np.uint8 and given.size and given.max() == 1:
        raise LeNet5Error("pictures of integers from 0 to 1; expected uint8 from 0 to 255, or floats in [0, 1]")
    return as_pictures(given)


def as_pictures(images: ArrayLike) -> NDArray[np.uint8]:
    """Return pictures (28, 28), (n, 28, 28) or (n, 784), uint8 or floats in [0, 1], as (n, 28, 28) uint8.

    Raises:
        LeNet5Error: they have another shape or other values.
    """
    x = as_array(images, "pictures")
    if x.dtype == np.uint8 and x.shape[1:] == (SIDE, SIDE):  # as the modules of data and pictures return them
        return x
    if x.shape != (SIDE, SIDE) and x.shape[1:] not in ((SIDE, SIDE), (SIDE * SIDE,)):
        raise LeNet5Error(f"pictures of shape {x.shape}; expected (n, 28, 28), (n, 784) or (28, 28)")
    if x.dtype.kind == "f" and (not x.size or 0 <= x.min() <= x.max() <= 1):
        x = np.rint(255 * x).astype(np.uint8)
    if x.dtype != np.uint8:
        values = f" from {x.min()} to {x.max()}" if x.size and x.dtype.kind in NUMBERS else ""
        raise LeNet5Error(f"pictures of {x.dtype}{values}; expected uint8, or floats in [0, 1]")
    return x.reshape(-1, SIDE, SIDE)


def as_labels(labels: ArrayLike, pictures: int) -> NDArray[np.uint8]:
    """Return the labels of some pictures, integers from 0 to 255, as (n,) uint8.

    Raises:
        LeNet5Error: there are more or fewer than pictures, or they have other values.
    """
    given = as_array(labels, "labels")
    if given.shape != (pictures,):
        raise LeNet5Error(f"labels of shape {given.shape} for {pictures} pictures; expected one for each")
    if given.dtype == np.uint8:
        return given
    if given.dtype.kind not in "iu":
        raise LeNet5Error(f"labels of {given.dtype}; expected integers, the indices of their glyphs")
    largest = np.iinfo(np.uint8).max
    for index in np.flatnonzero((given < 0) | (given > largest)):
        raise LeNet5Error(f"label {given[index]} at index {index:,}, counted from 0; expected 0 to {largest}")
    return given.astype(np.uint8)


def prepare(images: NDArray[np.uint8], kind: str = "binary", dtype: DTypeLike = np.float32) -> Array:
    """Return images[n,h,w] as x[n,1,h+4,w+4], with two pixels of background around.

    ``binary``: 1 where a pixel is 40 or more, else 0 (report, preprocessing). ``grey``: ``pixel / 255``. ``lecun``:
    ``1.275 pixel / 255 - 0.1``, which has a mean near 0 and a variance near 1 (LeCun et al. 1998, section II.B).
    """
    n, h, w = images.shape
    low, high = SCALES[kind]
    x = np.zeros((h + 2 * PADDING, w + 2 * PADDING, n), dtype)
    # Transposed as bytes, which takes a quarter of the time.
    pixels = np.ascontiguousarray((images >= THRESHOLD if kind == "binary" else images).reshape(n, h * w).T)
    x[PADDING:-PADDING, PADDING:-PADDING] = pixels.reshape(h, w, n)
    if kind != "binary":
        x *= (high - low) / 255
        x += low
    return images_first(x[None])
