"""From anyone's picture of a digit to what MNIST would have made of it: 28x28, white on black."""

import stat
import warnings
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import IO, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from lenet5_cli.errors import LeNet5Error
from lenet5_cli.pictures import ink as inks
from lenet5_cli.pictures.ink import Mask, Plane

FORMATS: Final = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")  # none that starts another program, as EPS does
MOST_PIXELS: Final = 36_000_000  # that are decoded: 300 MB while they are reduced; of a large JPEG only some are
NARROWEST: Final = 40  # the longer side by the shorter
PAGE: Final = 2048  # the longer side of what is kept of a picture
LOOK: Final = 512  # and of what is looked at
NEAR: Final = 80  # a digit of fewer pixels is looked at again from nearer, where the page has more
FAINT: Final = 0.25  # of the strongest ink on even paper: what is surely ink
ALIKE: Final = 0.4  # of the larger box: what two boxes around the same digit share
STEEP: Final = 1.3  # of the full ink, a pixel of the box: less is the slope of a blurred edge
CONTRAST: Final = 20  # of 255: the faintest ink that is told from paper

SIDE, BOX = 28, 20  # MNIST's picture, and the box in it that a digit fills
SHAPE: Final = 100  # pixels of the digit's longer side while its strokes are measured
MIDDLE: Final = 0.45  # of the full ink: where the outline runs
TANGLE: Final = 9  # a digit's outline is at most as many times its longer side
PEN: Final = 2.6  # pixels of a stroke in the box: thinner ones are made as wide

Grey = NDArray[np.uint8]
Box = tuple[int, int, int, int]

_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Reading:
    """What was found in a picture.

    ``grey``, (h, w), is the picture, upright and opaque, as it was looked at: all of it, or from nearer where the digit
    is small. ``ink``, (h, w), 0 to 1, is how much ink of the digit each pixel holds.
    """

    grey: Grey
    ink: NDArray[np.float32]
    box: Box  # top, left, bottom, right of the digit within grey; bottom and right exclusive
    image: Grey  # (28, 28), white on black: what the network reads
    light: bool  # dark ink on a light background
    others: int  # other separate things that could be digits
    unchanged: bool  # the picture already was as MNIST's are


def read_picture(source: str | PathLike[str] | IO[bytes]) -> Grey:
    """Return a picture of a digit, of any size and mode, as (28, 28) uint8, white on black: ``examine(source).image``.

    Raises:
        LeNet5Error: the file is no picture that can be read, or no digit is on it.
    """
    return examine(source).image


def examine(source: str | PathLike[str] | IO[bytes], name: str | None = None) -> Reading:
    """Find the digit on a picture and write it as MNIST would have; of several, the largest.

    The ink is told from what it was written on, its pieces put together, thin strokes made as wide as MNIST's, the
    digit scaled into a box of 20x20 and placed with its centre of mass in the middle. A picture that already has
    MNIST's form is returned unchanged, one that has it in black on white, inverted.

    Raises:
        LeNet5Error: ``name`` (else ``source``) is no picture that can be read, or no digit is on it.

    Source: LeCun et al. 1998, section III.A.
    """
    name = str(source) if name is None else name
    page = _own_pixels(_page(source, name))
    if page.size == (SIDE, SIDE) and (ready := _ready(page)):
        return ready
    look = _reduced(page, LOOK)
    found = _found(look, name)
    length = max(found.box[2] - found.box[0], found.box[3] - found.box[1])
    if length < NEAR and max(page.size) > max(look.size):
        return _nearer(page, look.size, found, name)
    return found


def _page(source: str | PathLike[str] | IO[bytes], name: str) -> Image.Image:
    """Return a picture's first frame, upright and opaque, in mode L, RGB or F, its longer side at most PAGE."""
    try:
        if isinstance(source, str | PathLike) and not stat.S_ISREG(mode := Path(source).stat().st_mode):
            what = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
            raise LeNet5Error(f"{name}: {what}; expected a picture")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(source, formats=FORMATS) as image:
                image.draft(None, (PAGE // 2, PAGE // 2))
                _check_size(image.size, name)
                image.load()
                turn = _TURNS.get(image.getexif().get(0x0112, 1))  # after loading, which turns a TIFF by itself
                page = _plain(image)
                return page.transpose(turn) if turn is not None else page
    except LeNet5Error:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise LeNet5Error(f"{name}: more pixels than the {MOST_PIXELS:,} that are read; make it smaller") from None
    except UnidentifiedImageError:
        raise LeNet5Error(f"{name}: not a picture; expected one of {', '.join(FORMATS)}") from None
    except MemoryError:
        raise LeNet5Error(f"{name}: more pixels than fit in memory; make it smaller") from None
    except OSError as error:
        raise LeNet5Error(f"{name}: {error.strerror or f'damaged: {error}'}") from None
    except Exception as error:  # noqa: BLE001 - what a damaged file makes Pillow raise has no common class
        raise LeNet5Error(f"{name}: damaged: {error or type(error).__name__}") from None


def _check_size(size: tuple[int, int], name: str) -> None:
    width, height = size
    if width * height > MOST_PIXELS:
        raise LeNet5Error(
            f"{name}: {width:,} x {height:,} pixels, more than the {MOST_PIXELS:,} that are read; make it smaller"
        )
    if max(size) > NARROWEST * min(size):
        raise LeNet5Error(f"{name}: {width:,} x {height:,} pixels; no digit is so narrow")


def _plain(image: Image.Image) -> Image.Image:
    """Return an image of any mode in mode L, RGB or F, reduced to the page, what is transparent put on a background."""
    mode = image.mode
    if mode.startswith(("I", "F")):
        deep = np.nan_to_num(np.array(image, dtype=np.float32), copy=False, posinf=0.0, neginf=0.0)
        x = np.asarray(_reduced(Image.fromarray(deep), PAGE))
        low, high = float(x.min()), float(x.max())
        return Image.fromarray((x - low) * np.float32(255 / (high - low) if high > low else 0))
    if mode == "LAB":
        image = Image.merge("RGB", image.split())
    elif mode in ("PA", "LA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
    elif mode not in ("L", "RGB", "RGBA"):
        image = image.convert("L" if mode == "1" else "RGB")
    image = _reduced(image, PAGE)
    return _opaque(image) if image.mode == "RGBA" else image


def _reduced(image: Image.Image, side: int) -> Image.Image:
    """Return an image with a longer side of at most ``side``, each pixel the mean of those that it stands for."""
    longest = max(image.size)
    if longest <= side:
        return image.copy()
    if (factor := longest // side) > 1:
        image = image.reduce(factor)
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image if scale >= 1 else image.resize(size, Image.Resampling.BOX)


def _opaque(image: Image.Image) -> Image.Image:
    """Return an image put on the colour that hides what is around the opaque part, or shows that part itself.

    A part of several shades is a page, and its own middle shade goes on around it; a part of one shade is ink.
    """
    layers = np.asarray(_reduced(image, 128), np.float32)
    colours = layers[layers[..., 3] > 127][:, :3]
    if len(colours) and layers[..., 3].min() < 255:
        brightness = colours @ inks.LUMA
        shades = np.quantile(brightness, (0.02, 0.98))
        page = shades[1] - shades[0] > 64
        behind = np.median(colours, axis=0) if page else np.full(3, 255 if brightness.mean() < 128 else 0)
    else:
        behind = np.full(3, 255)
    below = Image.new("RGBA", image.size, (*(int(value) for value in behind), 255))
    return Image.alpha_composite(below, image).convert("RGB")


def _own_pixels(page: Image.Image) -> Image.Image:
    """Return a picture that was enlarged by repeating its pixels in its own size."""
    x = np.asarray(page)
    down = np.flatnonzero((x[1:] != x[:-1]).any((1, *range(2, x.ndim)))) + 1
    right = np.flatnonzero((x[:, 1:] != x[:, :-1]).any((0, *range(2, x.ndim)))) + 1
    factor = int(np.gcd.reduce([*page.size, *down, *right]))
    return page.reduce(factor) if min(page.size) >= 8 * factor > 8 else page


def _ready(page: Image.Image) -> Reading | None:
    """Return the reading of a picture in MNIST's form, in white on black or black on white."""
    grey = np.asarray(page.convert("L"))
    for light, image in ((False, grey), (True, 255 - grey)):
        if _is_mnist(image):
            rows, columns = np.nonzero(image)
            box = (int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1)
            return Reading(grey, (image / 255).astype(np.float32), box, image, light, 0, not light)
    return None


def _is_mnist(grey: Grey) -> bool:
    """Tell whether a picture already has MNIST's form: on black, as large as the box, its mass in the middle."""
    if not grey.any():
        return False
    rows, columns = np.nonzero(grey)
    extent = 1 + max(np.ptp(rows), np.ptp(columns))
    offset = _centre(grey) - (SIDE - 1) / 2
    return bool(extent in (BOX - 1, BOX) and (abs(offset) <= 1).all())  # all 70,000 of MNIST, and hardly another


def _found(look: Image.Image, name: str) -> Reading:
    """Return the reading of what is looked at."""
    colours = np.asarray(look, np.float32)
    plane = inks.brightness(colours) if colours.ndim == 3 else colours
    if np.ptp(plane) < CONTRAST:
        raise LeNet5Error(f"{name}: one even colour; expected a digit on a plain background")
    grey = np.rint(plane).astype(np.uint8) if look.mode == "F" else np.asarray(look.convert("L"))
    reasons = []
    for light, part in inks.looks(plane):
        ink = inks.darkness(plane, light, part)
        answer = _read(grey, ink, ink > inks.threshold(ink), light, soft=False)
        if isinstance(answer, str):
            reasons.append(answer)
        elif not reasons or _inside(answer):  # around what was refused lies something, too
            return _softer(answer, plane)
    raise LeNet5Error(f"{name}: {reasons[0]}; expected a digit on a plain background")


def _softer(reading: Reading, plane: Plane) -> Reading:
    """Return the reading with every shade of its ink, where the paper is even, and the digit small or blurred.

    What is faint there is a stroke seen dimly, and not the paper's.
    """
    even = inks.on_even_paper(plane)
    if even is None or even[0] != reading.light:
        return reading
    light, ink = even
    top, left, bottom, right = reading.box
    digit = ink[top:bottom, left:right]
    steepest = max(float(abs(np.diff(digit, axis=axis)).max(initial=0)) for axis in (0, 1))
    if steepest * max(digit.shape) > STEEP * BOX:
        return reading
    softer = _read(reading.grey, ink, ink > FAINT, light, soft=True)
    return reading if isinstance(softer, str) or not _alike(softer.box, reading.box) else softer


def _alike(a: Box, b: Box) -> bool:
    """Tell whether two boxes hold the same."""
    height, width = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    areas = [(bottom - top) * (right - left) for top, left, bottom, right in (a, b)]
    return min(height, width) > 0 and height * width > ALIKE * max(areas)


def _read(grey: Grey, ink: Plane, mask: Mask, light: bool, *, soft: bool) -> Reading | str:
    """Return the reading of some ink, or why there can be none; ``mask`` is where it is surely ink."""
    labels, pieces = inks.things(inks.unruled(mask))
    if not pieces:
        return "nothing on it stands out"
    digit, rest = inks.together(labels, pieces, ink)
    if doubt := inks.doubt(labels, digit, rest):
        return doubt
    ink = inks.only(ink, mask, labels, digit)
    box = (digit.top, digit.left, digit.bottom, digit.right)
    shape = _shape(ink, box, soft=soft)
    if 2 * shape.sum() > TANGLE * SHAPE * _pen(shape):
        return "a tangle of lines"
    others = sum(inks.comparable(piece, digit) for piece in rest)
    return Reading(grey, ink, box, centred(_boxed(thickened(shape))), light, others, unchanged=False)


def _inside(reading: Reading) -> bool:
    """Tell whether a digit does not touch the picture's edge."""
    top, left, bottom, right = reading.box
    height, width = reading.grey.shape
    return top > 0 < left and bottom < height and right < width


def _nearer(page: Image.Image, size: tuple[int, int], far: Reading, name: str) -> Reading:
    """Return the reading of the part of the page around a digit that was found from afar."""
    top, left, bottom, right = far.box
    around = max(bottom - top, right - left)
    scale = page.width / size[0]
    corners = (left - around, top - around, right + around, bottom + around)
    limits = (0, 0, page.width, page.height)
    box = [round(np.clip(corner * scale, 0, limits[2 + i % 2])) for i, corner in enumerate(corners)]
    try:
        near = _found(_reduced(page.crop((box[0], box[1], box[2], box[3])), LOOK), name)
    except LeNet5Error:
        return far
    return replace(near, others=far.others)


def _shape(ink: Plane, box: Box, *, soft: bool) -> Plane:
    """Return the digit alone with a margin, about SHAPE pixels long, its edges sharp or as soft as they are."""
    top, left, bottom, right = box
    margin = 2
    crop = np.pad(ink[top:bottom, left:right], margin)
    scale = SHAPE / max(bottom - top, right - left)
    size = (max(1, round(crop.shape[1] * scale)), max(1, round(crop.shape[0] * scale)))
    kind = Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.BOX
    x = np.asarray(Image.fromarray(crop).resize(size, kind))
    if soft:
        return x.clip(0, 1)
    # The fewer pixels a digit had, the more its grey ones say.
    gain = np.float32(np.interp(1 / scale, (0.2, 0.6), (1.2, 3)))
    return np.clip((x - MIDDLE) * gain + 0.5, 0, 1)


def thickened(shape: Plane) -> Plane:
    """Return a shape whose strokes are at least as wide as MNIST's will be in the box."""
    rows, columns = np.nonzero(shape > 0.5)
    if not len(rows):
        return shape
    length = 1 + max(np.ptp(rows), np.ptp(columns))
    # w + 2r, scaled by BOX / (length + 2r), is PEN
    radius = (PEN * length - BOX * _pen(shape)) / (BOX - PEN) / 2
    return _dilated(shape, radius) if radius > 0 else shape


def _pen(shape: Plane) -> float:
    """Return the width of the strokes in pixels: twice their area by the length of their outline."""
    across, down = np.diff(shape, axis=1)[1:], np.diff(shape, axis=0)[:, 1:]
    return float(2 * shape.sum() / max(np.hypot(across, down).sum(), 1e-6))


def _dilated(shape: Plane, radius: float) -> Plane:
    """Return a shape grown by a disc, its rim in proportion."""
    reach = int(np.ceil(radius + 0.5))
    height, width = shape.shape
    x = np.pad(shape, 2 * reach)
    grown = np.zeros((height + 2 * reach, width + 2 * reach), np.float32)
    for down in range(2 * reach + 1):
        for right in range(2 * reach + 1):
            share = radius + 0.5 - np.hypot(down - reach, right - reach)
            if share > 0:
                part = x[down : down + len(grown), right : right + grown.shape[1]]
                np.maximum(grown, part * np.float32(min(share, 1)), out=grown)
    return grown


def _boxed(shape: Plane) -> Plane:
    """Return a shape, 0 to 255, scaled so that its longer side fills the box."""
    rows, columns = np.nonzero(shape >= min(0.5, shape.max()))
    shape = shape[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    height, width = shape.shape
    scale = BOX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.asarray(Image.fromarray(np.ascontiguousarray(shape)).resize(size, Image.Resampling.BOX))
    return np.clip(small * np.float32(255 / small.max()), 0, 255)


def centred(ink: Plane) -> Grey:
    """Place the box's contents with the centre of mass in the middle of the picture, as near as whole pixels allow."""
    height, width = ink.shape
    top, left = np.clip(np.rint(SIDE / 2 - _centre(ink) - 0.5), 0, (SIDE - height, SIDE - width)).astype(int)
    picture = np.zeros((SIDE, SIDE), np.uint8)
    picture[top : top + height, left : left + width] = np.rint(ink)
    return picture


def _centre(ink: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return the row and column of the centre of mass."""
    mass = ink.sum(dtype=np.float64)
    return np.array([(np.arange(ink.shape[axis]) * ink.sum(axis=1 - axis)).sum() / mass for axis in (0, 1)])
