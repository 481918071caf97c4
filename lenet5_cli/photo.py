"""From anyone's picture of a digit to what MNIST would have made of it: 28x28, white on black."""

import warnings
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from lenet5_cli.errors import LeNet5Error

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")  # none that would start another program, as EPS does
SIDE, BOX = 28, 20  # MNIST's picture, and the box in it that a digit fills
CONTRAST = 32  # of 255: the faintest ink that is told from paper
INK = 0.35  # of the strongest ink: what counts as a part of the digit

Grey = NDArray[np.floating]


def read_picture(path: str | PathLike[str]) -> NDArray[np.uint8]:
    """Read a picture of one digit, dark on light or light on dark, of any size and mode, as (28, 28), white on black.

    The digit is cut out, scaled into a box of 20x20 and placed with its centre of mass in the middle, as MNIST's are.

    Raises:
        LeNet5Error: the file is no picture that can be read, or there is nothing on it.

    Source: LeCun et al. 1998, section III.A.
    """
    path = Path(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                grey = _grey(ImageOps.exif_transpose(image))
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise LeNet5Error(f"{path}: more pixels than the {Image.MAX_IMAGE_PIXELS:,} that are read") from None
    except UnidentifiedImageError:
        raise LeNet5Error(f"{path}: not a picture; one of {', '.join(FORMATS)} was wanted") from None
    except OSError as error:
        raise LeNet5Error(f"{path}: {error.strerror or error}") from None
    except (ValueError, SyntaxError, EOFError) as error:
        raise LeNet5Error(f"{path}: damaged: {error}") from None
    if _is_mnist(grey):
        return grey.astype(np.uint8)
    ink = _ink(grey)
    if ink.max() < CONTRAST:
        raise LeNet5Error(f"{path}: one even colour; a digit on a plain background was wanted")
    return _centred(_boxed(_cropped(ink)))


def _grey(image: Image.Image) -> Grey:
    """Return the brightness [row, column], 0 to 255; behind what is transparent lies the shade that shows the rest."""
    if image.mode.startswith(("I", "F")):  # deeper than 8 bits: spread over the range it uses
        deep = np.asarray(image, dtype=np.float64)
        span = np.ptp(deep)
        spread: Grey = (deep - deep.min()) * (255 / span if span else 0)
        return spread
    shade = np.asarray(image.convert("RGBA").convert("LA"), dtype=np.float32)
    grey, opacity = shade[..., 0], shade[..., 1] / 255
    behind = 255.0 if np.average(grey, weights=opacity + 1e-6) < 128 else 0.0
    blended: Grey = grey * opacity + np.float32(behind) * (1 - opacity)
    return blended


def _is_mnist(grey: Grey) -> bool:
    """Tell whether a picture already has MNIST's form: on black, as large as the box, its mass in the middle."""
    if grey.shape != (SIDE, SIDE) or not grey.any():
        return False
    rows, columns = np.nonzero(grey)
    extent = 1 + max(np.ptp(rows), np.ptp(columns))
    offset = _centre(grey) - (SIDE - 1) / 2
    return bool(extent in (BOX - 1, BOX) and (abs(offset) <= 1).all())  # all 70,000 of MNIST, and hardly another


def _border(grey: Grey) -> list[Grey]:
    return [grey[0], grey[-1], grey[:, 0], grey[:, -1]]


def _ink(grey: Grey) -> Grey:
    """Return how far each pixel is from the background, the border's middle shade: ink of either polarity."""
    background = np.median(np.concatenate(_border(grey)))
    ink: Grey = np.abs(grey - background)
    return ink


def _cropped(ink: Grey) -> Grey:
    rows, columns = np.nonzero(ink >= INK * ink.max())
    return ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def _boxed(ink: Grey) -> Grey:
    """Scale so that the longer side fills the box."""
    height, width = ink.shape
    scale = BOX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.asarray(Image.fromarray(ink).resize(size, Image.Resampling.LANCZOS))
    strongest = 255 / small.max()
    boxed: Grey = np.clip(small, 0, None) * strongest
    return boxed


def _centred(ink: Grey) -> NDArray[np.uint8]:
    """Place the box's contents with the centre of mass in the middle of the picture, as near as whole pixels allow."""
    height, width = ink.shape
    top, left = np.clip(np.rint(SIDE / 2 - _centre(ink) - 0.5), 0, (SIDE - height, SIDE - width)).astype(int)
    picture = np.zeros((SIDE, SIDE), np.uint8)
    picture[top : top + height, left : left + width] = np.rint(ink)
    return picture


def _centre(ink: Grey) -> NDArray[np.float64]:
    """Return the row and column of the centre of mass."""
    mass = ink.sum(dtype=np.float64)
    return np.array([(np.arange(ink.shape[axis]) * ink.sum(axis=1 - axis)).sum() / mass for axis in (0, 1)])
