"""Decode a file, bytes, an image or an array into upright grey or RGB pixels, with limits on size and memory."""

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
from lenet5_cli.errors import LeNet5Error, missing
from lenet5_cli.files import PICTURE_LIMIT, open_regular

FORMATS: Final = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")  # not EPS: Pillow runs another program for it
MAX_PIXELS: Final = 36_000_000  # that are decoded: about 300 MB; a large JPEG is decoded at a fraction of its size
MAX_KEPT: Final = 4 * MAX_PIXELS  # coefficients of a JPEG of several scans, all kept in memory: about 300 MB too
MAX_SCANS: Final = 100  # of a JPEG; programs write up to some 15
PEEKED: Final = 1 << 16  # bytes at the start of a file that are checked before Pillow reads it
MAX_ASPECT: Final = 40  # ratio of the longer side to the shorter, for a picture of one digit
MAX_STRIP: Final = 400  # the same, for a picture of several digits
PAGE_SIDE: Final = 1400  # pixels of the longer side after reduction: a sheet of 12 rows is readable, grain is averaged

# The opaque part of a picture with transparent pixels. Its middle is the pixels farthest from the transparent ones.
SHADES: Final = 48  # of 255: a pixel that differs by more from the median of the middle has another shade
STRAYS: Final = 0.02  # of the opaque pixels: if no more have another shade, the part has one shade
INNER: Final = 0.75  # quantile of the distances to the transparent pixels from which on a pixel is in the middle
WITHIN: Final = 0.1  # of the pixels of another shade: if no more are in the middle, they are a soft edge

_TILE: Final = (322, 323)  # TIFF's tags of the width and the length of a tile
_SCAN: Final = re.compile(rb"\xff\xda\0[\x08\x0a\x0c\x0e][\1-\4]")  # the start of a scan in a JPEG
_PPM: Final = re.compile(rb"P[0-6fy]")  # the start of a PPM file
_COMMENT: Final = re.compile(rb"#[^\r\n]*+")  # in the header of a PPM file

_TURNS: Final = {3: 2, 4: 2, 5: 3, 6: 1, 7: 1, 8: 3}  # quarter turns clockwise that make each EXIF orientation upright
_MIRRORED: Final = (2, 4, 5, 7)  # EXIF orientations that are mirrored before the turn

Box: TypeAlias = tuple[int, int, int, int]  # left, top, right, bottom; right and bottom are exclusive
Source: TypeAlias = str | PathLike[str] | bytes | IO[bytes] | Image.Image | NDArray[np.generic]


class Page(NamedTuple):
    """An upright, opaque picture, reduced if it was larger than ``PAGE_SIDE``."""

    pixels: NDArray[np.uint8]  # (h, w) grey or (h, w, 3) RGB
    size: tuple[int, int]  # width and height before the picture was reduced


def scaled(box: Box, size: Sequence[int], to: Sequence[int]) -> Box:
    """Scale a box from a picture of one size, (width, height), to another, rounded outwards to whole pixels."""
    left, top, right, bottom = box
    (width, height), (to_width, to_height) = size, to
    start = left * to_width // width, top * to_height // height
    return *start, -(-right * to_width // width), -(-bottom * to_height // height)


def name_of(source: Source) -> str:
    """Return the name of a source for messages: the path of a file, else ``picture``."""
    return (str(source) if isinstance(source, str | PathLike) else "") or "picture"


def decode(source: Source, name: str | None = None, *, rotate: int = 0, longest: int = MAX_ASPECT) -> Page:
    """Return the first frame of a picture, upright and opaque.

    The orientation in the EXIF data is applied, then the picture is turned clockwise by ``rotate`` degrees. It is
    reduced so that the longer side is at most ``PAGE_SIDE``. In the file, the longer side may be at most ``longest``
    times the shorter. An array is (h, w), (h, w, 3) or (h, w, 4), uint8 or floats in [0, 1].

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
            if image.size == size[::-1]:  # Pillow turns a TIFF upright when it loads it
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
    except Exception as error:  # noqa: BLE001 - Pillow's exceptions for a damaged file have no common class
        raise LeNet5Error(f"{name}: damaged: {error or type(error).__name__}") from None
    pixels = pixels[:, ::-1] if orientation in _MIRRORED else pixels
    quarters = _TURNS.get(orientation, 0) + rotate // 90
    return Page(np.ascontiguousarray(np.rot90(pixels, -quarters)), size[::-1] if quarters % 2 else size)


def _bomb() -> str:
    """Return, for a message, the limit of a picture that Pillow refuses: ours, or a lower one that the program set."""
    allowed = 2 * (Image.MAX_IMAGE_PIXELS or MAX_PIXELS)  # Pillow only warns up to twice its limit
    if allowed >= MAX_PIXELS:
        return f"{MAX_PIXELS:,} that are read"
    return f"{allowed:,} that Pillow reads, twice its Image.MAX_IMAGE_PIXELS in this program"


def size_of(path: str) -> tuple[int, int]:
    """Return the width and height in the file of a picture that can be decoded."""
    with _opened(path, path) as image:
        return image.size


@contextmanager
def _opened(source: Source, name: str) -> Iterator[Image.Image]:
    """Open an image: its size is known, but its pixels are not decoded yet."""
    with ExitStack() as opened:
        if isinstance(source, str | PathLike):
            if not fspath(source):  # a Path would make it the current folder
                raise LeNet5Error(f"{name}: an empty name; expected a picture")
            raw = opened.enter_context(open_regular(source, "a picture"))
            source = _buffered(raw, os.fstat(raw.fileno()).st_size, name)
        elif isinstance(source, bytes):
            source = _buffered(io.BytesIO(source), len(source), name)
        yield opened.enter_context(_image(source, name))


def _buffered(raw: IO[bytes], size: int, name: str) -> IO[bytes]:
    """Return a buffered file of ``size`` bytes; refuse one that is empty, too large, or a PPM with a long header."""
    if not size:
        raise LeNet5Error(f"{name}: empty; expected a picture")
    if size > PICTURE_LIMIT:
        raise LeNet5Error(f"{name}: {size:,} bytes; expected a picture of at most {PICTURE_LIMIT:,}")
    file = io.BufferedReader(raw, PEEKED)  # type: ignore[type-var]
    start = file.peek()
    fields = _COMMENT.sub(b" ", start).split(None, 4)
    if _PPM.match(start) and len(fields) < (3 if start[1:2] in b"14" else 4):  # Pillow reads the header byte by byte
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
    except ImportError as error:
        raise missing(f"{expected}, which needs pillow-heif, which", error, "heic") from None
    pillow_heif.register_heif_opener(thumbnails=False)
    with suppress(UnidentifiedImageError):
        return Image.open(source, formats=("HEIF",))
    raise LeNet5Error(expected)


def _from_array(x: NDArray[Any], name: str) -> Image.Image:
    """Return an array as an image; floats in [0, 1] become 0 to 255."""
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
    """Refuse pictures that need more memory than their pixels: with large tiles, or large JPEGs of several scans."""
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
    """Return the number of scans of a JPEG whose coefficients are kept in memory; 0 if a single scan holds all colours.

    Scans before the first one of the picture itself, such as those of a thumbnail, are not counted.
    """
    file = image.fp
    assert file is not None  # noqa: S101 - the image is open
    file.seek(0)
    colours = JpegImageFile(file).layers  # leaves the file at the end of the header of the first scan
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
    """Return the orientation in the EXIF data; upright if these are damaged, as the pixels may be intact."""
    try:
        orientation: int = image.getexif().get(0x0112, 1)
    except Exception:  # noqa: BLE001 - Pillow's exceptions for damaged EXIF data have no common class
        return 1
    return orientation


def _plain(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to L or RGB, reduced to ``PAGE_SIDE``, with transparent pixels filled."""
    mode = image.mode
    if mode.startswith(("I", "F")):
        image = _scaled(np.asarray(_reduced(image), np.float64))
    elif mode == "LAB":
        image = Image.merge("RGB", image.split())  # L, a and b are used as three channels: Pillow cannot convert LAB
    elif mode in ("PA", "LA", "La", "RGBa") or "transparency" in image.info:
        image = (image.convert("LA") if mode == "La" else image).convert("RGBA")  # Pillow converts La only to LA
    elif mode not in ("L", "RGB", "RGBA"):
        image = image.convert("L" if mode == "1" else "RGB")
    image = _reduced(image)
    return _opaque(image) if image.mode == "RGBA" else image


def _scaled(x: NDArray[np.float64]) -> Image.Image:
    """Scale numbers (h, w) from their minimum and maximum to 0 and 255; those that are not finite are transparent."""
    there = np.isfinite(x)
    low, high = (x[there].min(), x[there].max()) if there.any() else (0.0, 0.0)
    shades = np.rint((np.where(there, x, low) - low) * (255 / max(high - low, 1e-9))).astype(np.uint8)
    if there.all():
        return Image.fromarray(shades)
    return Image.fromarray(np.dstack([shades, shades, shades, np.where(there, 255, 0).astype(np.uint8)]))


def _reduced(image: Image.Image) -> Image.Image:
    """Reduce an image to a longer side of at most ``PAGE_SIDE``; each pixel is the mean of those that it replaces."""
    if (scale := PAGE_SIDE / max(image.size)) >= 1:
        return image
    return image.resize([max(1, round(side * scale)) for side in image.size], Image.Resampling.BOX)


def _opaque(image: Image.Image) -> Image.Image:
    """Fill the transparent pixels of an image, so that an opaque page has no visible edge and opaque ink stands out.

    If the opaque part has several shades, it is a page, and the background is the colour at its edge. If it has one
    shade, it is ink, and the background is black or white. It is also ink if its other shades are only near its edge:
    they are a soft edge, blended with the colour on which the ink was drawn.
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
