"""From a file, bytes, an image or an array to upright grey or colour pixels, within limits."""

import io
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from numbers import Real
from os import PathLike, fspath
from typing import IO, Any, Final, NamedTuple, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from lenet5_cli.engine.preprocessing import NUMBERS
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.files import PICTURE_LIMIT, open_regular

FORMATS: Final = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")  # none that starts another program, as EPS does
MAX_PIXELS: Final = 36_000_000  # decoded at most: about 300 MB; of a large JPEG only a fraction is
MAX_KEPT: Final = 4 * MAX_PIXELS  # values of a JPEG of several scans, all of which are kept: about 300 MB too
MAX_SCANS: Final = 100  # of a JPEG; programs write up to some 15
PEEKED: Final = 1 << 16  # bytes of a file that are looked at first
MAX_ASPECT: Final = 40  # the longer side by the shorter, of a picture of one digit
MAX_STRIP: Final = 400  # likewise, of several
PAGE_SIDE: Final = 1400  # pixels of the longer side that is kept: a sheet of twelve rows is read, and grain is averaged

# An opaque part of a picture, around which it is transparent.
SHADES: Final = 48  # of 255: what differs by more from what is in its middle is another shade
STRAYS: Final = 0.02  # of its pixels: so few of other shades are none
INNER: Final = 0.75  # quantile of the depths of its pixels, from which they are its middle
WITHIN: Final = 0.1  # of those of other shades: where fewer are in its middle, they are a soft edge

_TILE: Final = (322, 323)  # TIFF's tags of the width and the length of a tile
_SCAN: Final = re.compile(rb"\xff\xda\0[\x08\x0a\x0c\x0e][\1-\4]")  # how one of a JPEG begins
_PPM: Final = re.compile(rb"P[0-6fy]")  # how the file of one begins
_COMMENT: Final = re.compile(rb"#[^\r\n]*+")  # in its header

_TURNS: Final = {3: 2, 4: 2, 5: 3, 6: 1, 7: 1, 8: 3}  # quarters clockwise that make each EXIF orientation upright
_MIRRORED: Final = (2, 4, 5, 7)  # EXIF orientations that are mirrored before they are turned

Box: TypeAlias = tuple[int, int, int, int]  # left, top, right, bottom; right and bottom are exclusive
Source: TypeAlias = str | PathLike[str] | bytes | IO[bytes] | Image.Image | NDArray[np.generic]


class Page(NamedTuple):
    """An upright, opaque picture, reduced where it was large."""

    pixels: NDArray[np.uint8]  # (h, w) grey or (h, w, 3) RGB
    size: tuple[int, int]  # width and height before it was reduced


def scaled(box: Box, size: Sequence[int], to: Sequence[int]) -> Box:
    """Return a box on a picture of a size, width and height, on a copy of another: all pixels that it touches."""
    left, top, right, bottom = box
    (width, height), (to_width, to_height) = size, to
    start = left * to_width // width, top * to_height // height
    return *start, -(-right * to_width // width), -(-bottom * to_height // height)


def name_of(source: Source) -> str:
    """Return what messages call a source: the path of a file, or ``picture``."""
    return (str(source) if isinstance(source, str | PathLike) else "") or "picture"


def decode(source: Source, name: str | None = None, *, rotate: int = 0, longest: int = MAX_ASPECT) -> Page:
    """Return the first frame of a picture, upright and opaque.

    EXIF's orientation is followed, then the picture is turned clockwise by ``rotate`` degrees. The longer side is at
    most ``PAGE_SIDE``; in the file, it is at most ``longest`` times the shorter. An array is (h, w), (h, w, 3) or
    (h, w, 4), uint8 or floats in [0, 1].

    Raises:
        LeNet5Error: ``name`` (else ``source``) cannot be read, is damaged, too large, or not a picture.
    """
    name = name_of(source) if name is None else name
    if not isinstance(rotate, Real):
        raise LeNet5Error(f"rotate: of type {type(rotate).__name__}; expected a multiple of 90 degrees")
    if rotate % 90:
        raise LeNet5Error(f"rotate: {rotate} degrees; expected a multiple of 90")
    try:
        with _opened(source, name) as image:
            size = image.size
            _check_kept(image, name)
            image.draft(None, (PAGE_SIDE, PAGE_SIDE))
            _check_size(image.size, name, longest)
            image.load()
            if image.size == size[::-1]:  # a TIFF, which turns itself
                size = image.size
            orientation = _orientation(image)  # after loading, for the same reason
            pixels = np.asarray(_plain(image))
    except LeNet5Error:
        raise
    except Image.DecompressionBombError:
        raise LeNet5Error(f"{name}: more pixels than the {_bomb()}; make it smaller") from None
    except MemoryError:
        raise LeNet5Error(f"{name}: more pixels than fit in memory; make it smaller") from None
    except OSError as error:
        raise LeNet5Error(f"{name}: {error.strerror or f'damaged: {error}'}") from None
    except Exception as error:  # noqa: BLE001 - what a damaged file makes Pillow raise has no common class
        raise LeNet5Error(f"{name}: damaged: {error or type(error).__name__}") from None
    pixels = pixels[:, ::-1] if orientation in _MIRRORED else pixels
    quarters = _TURNS.get(orientation, 0) + rotate // 90
    return Page(np.ascontiguousarray(np.rot90(pixels, -quarters)), size[::-1] if quarters % 2 else size)


def _bomb() -> str:
    """Return the limit that a picture has passed which Pillow refuses: ours, unless the program has set a lower one."""
    allowed = 2 * (Image.MAX_IMAGE_PIXELS or MAX_PIXELS)  # from twice as many on, Pillow refuses one
    if allowed >= MAX_PIXELS:
        return f"{MAX_PIXELS:,} that are read"
    return f"{allowed:,} that Pillow reads, twice its Image.MAX_IMAGE_PIXELS in this program"


def size_of(path: str) -> tuple[int, int]:
    """Return the width and height of a picture that can be decoded, as its file has them."""
    with _opened(path, path) as image:
        return image.size


@contextmanager
def _opened(source: Source, name: str) -> Iterator[Image.Image]:
    """Give an image whose size is known and whose pixels are not yet decoded."""
    with ExitStack() as opened:
        if isinstance(source, str | PathLike):
            if not fspath(source):  # which would be the current folder
                raise LeNet5Error(f"{name}: an empty name; expected a picture")
            raw = opened.enter_context(open_regular(source, "a picture"))
            source = _buffered(raw, os.fstat(raw.fileno()).st_size, name)
        elif isinstance(source, bytes):
            source = _buffered(io.BytesIO(source), len(source), name)
        yield opened.enter_context(_image(source, name))


def _buffered(raw: IO[bytes], size: int, name: str) -> IO[bytes]:
    """Return a file of some bytes to be read as a picture, unless it is empty, too large, or begins without an end."""
    if not size:
        raise LeNet5Error(f"{name}: empty; expected a picture")
    if size > PICTURE_LIMIT:
        raise LeNet5Error(f"{name}: {size:,} bytes; expected a picture of at most {PICTURE_LIMIT:,}")
    file = io.BufferedReader(raw, PEEKED)  # type: ignore[type-var]
    start = file.peek()
    fields = _COMMENT.sub(b" ", start).split(None, 4)
    if _PPM.match(start) and len(fields) < (3 if start[1:2] in b"14" else 4):  # Pillow reads it a byte at a time
        there = f"{name}: a PPM file whose header does not end in its first {len(start):,} bytes"
        raise LeNet5Error(f"{there}; expected a shorter comment")
    return file


def _image(source: IO[bytes] | Image.Image | NDArray[np.generic], name: str) -> Image.Image:
    if isinstance(source, Image.Image):
        return source.copy()
    if isinstance(source, np.ndarray):
        return _from_array(source, name)
    if not hasattr(source, "read"):
        kinds = "a path, bytes, an open file, a Pillow image or an array"
        raise LeNet5Error(f"{name}: of type {type(source).__name__}; expected {kinds}")
    if isinstance(source, io.TextIOBase):
        raise LeNet5Error(f"{name}: a file opened as text; expected one opened as bytes, with mode 'rb'")
    expected = f"{name}: not a picture; expected one of {', '.join(FORMATS)}, HEIC"
    with suppress(UnidentifiedImageError):
        return Image.open(source, formats=FORMATS)
    try:
        import pillow_heif  # noqa: PLC0415 - an extra
    except ImportError:
        raise LeNet5Error(f"{expected}, which needs pip install pillow-heif") from None
    pillow_heif.register_heif_opener(thumbnails=False)
    with suppress(UnidentifiedImageError):
        return Image.open(source, formats=("HEIF",))
    raise LeNet5Error(expected)


def _from_array(x: NDArray[Any], name: str) -> Image.Image:
    """Return an array as an image, floats in [0, 1] as 0 to 255."""
    if isinstance(x, np.ma.MaskedArray):
        raise LeNet5Error(f"{name}: a masked array; expected a plain one, as its .filled(0) is")
    if not (x.ndim == 2 or (x.ndim == 3 and x.shape[2] in (3, 4))) or not x.size:
        raise LeNet5Error(f"{name}: an array of shape {x.shape}; expected (h, w), (h, w, 3) or (h, w, 4)")
    if x.dtype.kind == "f" and 0 <= x.min() <= x.max() <= 1:
        x = np.rint(x * 255).astype(np.uint8)
    if x.dtype != np.uint8:
        values = f" from {x.min()} to {x.max()}" if x.dtype.kind in NUMBERS else ""
        raise LeNet5Error(f"{name}: {x.dtype}{values}; expected uint8, or floats in [0, 1]")
    return Image.fromarray(np.ascontiguousarray(x))


def _check_size(size: tuple[int, int], name: str, longest: int) -> None:
    pixels = f"{name}: {size[0]:,} x {size[1]:,} pixels"
    if not min(size):
        raise LeNet5Error(f"{pixels}; expected one at least")
    if size[0] * size[1] > MAX_PIXELS:
        raise LeNet5Error(f"{pixels}, more than the {MAX_PIXELS:,} that are read; make it smaller")
    if max(size) > longest * min(size):
        raise LeNet5Error(f"{pixels}; expected a longer side of at most {longest} times the shorter")


def _check_kept(image: Image.Image, name: str) -> None:
    """Refuse what keeps more in memory than the pixels of the picture: large tiles, a large JPEG of several scans."""
    tags = getattr(image, "tag_v2", {})
    tile = [tags.get(tag, 1) for tag in _TILE]
    if not all(isinstance(side, int) for side in tile):
        raise LeNet5Error(f"{name}: damaged: tiles without a size")
    if tile[0] * tile[1] > MAX_PIXELS:
        there = f"{name}: tiles of {tile[0]:,} x {tile[1]:,} pixels"
        raise LeNet5Error(f"{there}, more than the {MAX_PIXELS:,} that are read; make them smaller")
    if not isinstance(image, JpegImageFile) or not (scans := _scans(image)):
        return
    if scans > MAX_SCANS:
        raise LeNet5Error(f"{name}: a JPEG of {scans:,} scans; expected at most {MAX_SCANS}; save it again")
    most = MAX_KEPT // image.layers
    if image.width * image.height > most:
        there = f"{name}: {image.width:,} x {image.height:,} pixels in a progressive JPEG"
        raise LeNet5Error(f"{there}; expected at most {most:,}; make it smaller, or save it as a plain one")


def _scans(image: JpegImageFile) -> int:
    """Return how many scans a JPEG has of which all coefficients are kept; 0 where one scan holds all of it.

    What stands before the first, as a thumbnail, does not count.
    """
    file = image.fp
    assert file is not None  # noqa: S101 - it is open
    file.seek(0)
    colours = JpegImageFile(file).layers  # leaves the file where the header of the first scan ends
    end = file.tell()
    file.seek(max(0, end - 8 - 2 * colours))
    header = file.read(8 + 2 * colours)
    partial = any(
        header[-8 - 2 * few :].startswith(bytes([255, 0xDA, 0, 6 + 2 * few, few])) for few in range(1, colours)
    )
    if not partial and not image.info.get("progressive"):
        return 0
    return 1 + len(_SCAN.findall(file.read()))


def _orientation(image: Image.Image) -> int:
    """Return EXIF's orientation, upright where EXIF is damaged: the pixels may be whole."""
    try:
        orientation: int = image.getexif().get(0x0112, 1)
    except Exception:  # noqa: BLE001 - what damaged EXIF makes Pillow raise has no common class
        return 1
    return orientation


def _plain(image: Image.Image) -> Image.Image:
    """Return an image of any mode in mode L or RGB, reduced to a page, what is transparent put on a background."""
    mode = image.mode
    if mode.startswith(("I", "F")):
        image = _scaled(np.asarray(_reduced(image), np.float64))
    elif mode == "LAB":
        image = Image.merge("RGB", image.split())  # as three planes: Pillow has no conversion
    elif mode in ("PA", "LA", "La", "RGBa") or "transparency" in image.info:
        image = (image.convert("LA") if mode == "La" else image).convert("RGBA")  # Pillow converts La to LA alone
    elif mode not in ("L", "RGB", "RGBA"):
        image = image.convert("L" if mode == "1" else "RGB")
    image = _reduced(image)
    return _opaque(image) if image.mode == "RGBA" else image


def _scaled(x: NDArray[np.float64]) -> Image.Image:
    """Return numbers (h, w) as shades from the lowest to the highest; what is no finite number is transparent."""
    there = np.isfinite(x)
    low, high = (x[there].min(), x[there].max()) if there.any() else (0.0, 0.0)
    shades = np.rint((np.where(there, x, low) - low) * (255 / max(high - low, 1e-9))).astype(np.uint8)
    if there.all():
        return Image.fromarray(shades)
    return Image.fromarray(np.dstack([shades, shades, shades, np.where(there, 255, 0).astype(np.uint8)]))


def _reduced(image: Image.Image) -> Image.Image:
    """Return an image with a longer side of at most ``PAGE_SIDE``, each pixel the mean of those it stands for."""
    if (scale := PAGE_SIDE / max(image.size)) >= 1:
        return image
    return image.resize([max(1, round(side * scale)) for side in image.size], Image.Resampling.BOX)


def _opaque(image: Image.Image) -> Image.Image:
    """Return an image put on the colour that hides what is around the opaque part, or shows that part itself.

    A part with other shades on it is a page, which goes on around it. A part of one shade is ink, and so is one whose
    other shades all are near its edge, where they lead to the colour that it was on.
    """
    layers = np.asarray(image)
    opaque = layers[..., 3] > 127
    behind = (255, 255, 255)
    if opaque.any() and layers[..., 3].min() < 255:
        depth = cv2.distanceTransform(opaque.astype(np.uint8), cv2.DIST_L2, 3)[opaque]
        colours = layers[opaque][:, :3]
        shades, inner = colours.mean(axis=1), depth >= np.quantile(depth, INNER)
        own = np.median(shades[inner])
        others = np.abs(shades - own) > SHADES
        if others.mean() <= STRAYS:
            behind = (0, 0, 0) if own >= 128 else behind
        elif inner[others].mean() <= WITHIN:
            behind = (0, 0, 0) if shades[others].mean() < own else behind
        else:
            behind = tuple(np.median(colours[depth <= depth.min() + 1], axis=0).astype(int).tolist())  # the outermost
    below = Image.new("RGBA", image.size, (*behind, 255))
    return Image.alpha_composite(below, image).convert("RGB")
