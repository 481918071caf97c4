"""Glyph sheets: the ten digits in 12 rows of 7 pixels each, which the output layer compares with.

A sheet is a text that anyone can edit, or an image of the ten digits side by side. In memory it is an array of codes,
(10, 84) uint8: row k is digit k, its pixels row by row, ink 1 and paper 0.
"""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO, StringIO
from itertools import groupby
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lenet5_cli.errors import LeNet5Error
from lenet5_cli.files import content, replacing, shipped_folder

if TYPE_CHECKING:
    from PIL import Image, ImageFont

Codes: TypeAlias = NDArray[np.uint8]

DIGITS, ROWS, COLUMNS = 10, 12, 7
MAX_SCALE = 100

_MAX_SHEET_BYTES = 1 << 20
_MAX_FONT_BYTES = 1 << 26
_MAX_FONT_SIZE = 64
_SIGNATURES = (b"\x89PNG", b"BM", b"GIF8", b"II*\0", b"MM\0*", b"P1", b"P2", b"P3", b"P4", b"P5", b"P6")
_FORMATS = ("PNG", "BMP", "GIF", "TIFF", "PPM")
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")  # no channel has more than 8 bits, so RGBA holds them exactly
_HEADER = """\
; A glyph sheet: the digits 0 to 9, each 12 rows of 7 columns. # is ink, . is paper.
; A blank line ends a digit. Lines that begin with ; are comments.
"""


def shipped() -> list[str]:
    """Return the names of the shipped sheets."""
    return sorted(path.stem for path in shipped_folder("glyphs").glob("*.txt"))


def read(sheet: str | PathLike[str] = "digits") -> Codes:
    """Return the codes, (10, 84) uint8, of a sheet: a text or image file, or the name of a shipped one.

    Text and image are told apart by content. The image is a strip of 70x12 pixels, black digits on white, or an
    enlargement by an integer; transparent pixels are white.

    Raises:
        LeNet5Error: the file cannot be read, or is not ten digits of 12x7 pixels, none of them blank, no two equal.
    """
    path = shipped_folder("glyphs") / f"{sheet}.txt" if str(sheet) in shipped() else Path(sheet)
    sheet_bytes = content(path, _MAX_SHEET_BYTES, "a glyph sheet")
    codes = (_from_image if sheet_bytes.startswith(_SIGNATURES) else _from_text)(sheet_bytes, path)
    return _checked(codes, path)


def write(path: str | PathLike[str], codes: Codes, scale: int = 1) -> None:
    """Write codes, (10, 84) uint8: to a .txt name as text, to a .png name as an image of ``scale`` times 70x12 pixels.

    Raises:
        LeNet5Error: the name ends otherwise, or the file cannot be written.
    """
    path = Path(path)
    drawn = BytesIO()
    match path.suffix.lower():
        case ".png":
            to_image(codes, scale).save(drawn, format="PNG")
        case ".txt":
            drawn.write(to_text(codes).encode())
        case suffix:
            raise LeNet5Error(f"{path}: ends in {suffix!r}; expected '.png' for an image or '.txt' for a text")
    with replacing(path) as file:
        file.write(drawn.getvalue())


def to_text(codes: Codes) -> str:
    """Return codes, (10, 84) uint8, as the text of a sheet."""
    digits = np.where(codes, "#", ".").reshape(DIGITS, ROWS, COLUMNS)
    drawn = ["\n".join("".join(row) for row in digit) for digit in digits]
    return _HEADER + "".join(f"\n; {k}\n{rows}\n" for k, rows in enumerate(drawn))


def to_image(codes: Codes, scale: int = 1) -> "Image.Image":
    """Return codes, (10, 84) uint8, as a strip of ``scale`` times 70x12 pixels, black digits on white, one bit each."""
    from PIL import Image  # noqa: PLC0415  (a text sheet does not need it)

    strip = codes.reshape(DIGITS, ROWS, COLUMNS).transpose(1, 0, 2).reshape(ROWS, DIGITS * COLUMNS)
    return Image.fromarray(_enlarged(strip == 0, scale))


def from_font(path: str | PathLike[str]) -> Codes:
    """Return the codes, (10, 84) uint8, of a font's digits, drawn at the largest size at which all fit their cells.

    The digits stand on one line, each centred in its cell.

    Raises:
        LeNet5Error: the file cannot be read or is not a font, or a digit comes out blank or equal to another.
    """
    from PIL import ImageFont  # noqa: PLC0415  (a text sheet does not need it)

    path = Path(path)
    font = content(path, _MAX_FONT_BYTES, "a font")
    codes = np.zeros((DIGITS, ROWS * COLUMNS), np.uint8)
    with _refusal(f"{path}: not a font that can be drawn at any size; expected a TrueType or OpenType font"):
        for size in range(1, _MAX_FONT_SIZE + 1):
            larger = _drawn(ImageFont.truetype(BytesIO(font), size, layout_engine=ImageFont.Layout.BASIC))
            if larger is None:
                break
            codes = larger
    return _checked(codes, path)


def distances(codes: Codes) -> NDArray[np.intp]:
    """Return the number of pixels in which each pair of digits differs, (10, 10), for codes (10, 84)."""
    apart: NDArray[np.intp] = np.sum(codes[:, None] != codes, axis=2)
    return apart


def closest(codes: Codes) -> tuple[int, int, int]:
    """Return the two digits that differ least, the smaller first, and in how many pixels, for codes (10, 84)."""
    a, b = np.triu_indices(DIGITS, 1)
    apart = distances(codes)[a, b]
    pair = apart.argmin()
    return int(a[pair]), int(b[pair]), int(apart[pair])


def _from_text(sheet: bytes, path: Path) -> Codes:
    try:
        text = sheet.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        there = f"byte {error.start:,} is 0x{error.object[error.start]:02x}"
        raise LeNet5Error(
            f"{path}: {there}, not UTF-8; expected a text of # and ., or a PNG, BMP, GIF, TIFF or PNM image"
        ) from None
    lines = [(number, line.rstrip()) for number, line in enumerate(StringIO(text, newline=None), start=1)]
    rows = [(number, row) for number, row in lines if not row.startswith(";")]
    digits = [list(digit) for filled, digit in groupby(rows, key=lambda numbered: numbered[1] != "") if filled]
    for k, digit in enumerate(digits):
        _check_digit(digit, k, path)
    if len(digits) != DIGITS:
        raise LeNet5Error(f"{path}: {len(digits)} digits; expected {DIGITS}, a blank line after each")
    return np.array([[pixel == "#" for _, row in digit for pixel in row] for digit in digits], np.uint8)


def _check_digit(digit: list[tuple[int, str]], k: int, path: Path) -> None:
    for number, row in digit:
        foreign = re.search("[^#.]", row)
        if foreign:
            there = f"{foreign[0]!r} in column {foreign.start() + 1} of digit {k}"
            raise LeNet5Error(f"{path}: line {number}: {there}; expected '#' for ink or '.' for paper")
        if len(row) != COLUMNS:
            raise LeNet5Error(f"{path}: line {number}: {len(row)} columns in digit {k}; expected {COLUMNS}")
    if len(digit) != ROWS:
        there = f"line {digit[0][0]}: {len(digit)} rows in the digit {k} that begins here"
        raise LeNet5Error(f"{path}: {there}; expected {ROWS}, then a blank line")


def _from_image(sheet: bytes, path: Path) -> Codes:
    from PIL import Image  # noqa: PLC0415  (a text sheet does not need it)

    with _refusal(f"{path}: a damaged image; expected a strip of 70x12 pixels, black on white"):
        image = Image.open(BytesIO(sheet), formats=_FORMATS)
        scale = _scale(image, path)
        paper = Image.new("RGBA", image.size, "white")
        pixels = np.asarray(Image.alpha_composite(paper, image.convert("RGBA")).convert("RGB"))
    ink = (pixels == 0).all(axis=2)
    for y, x in np.argwhere(~ink & (pixels != 255).any(axis=2))[:1]:
        there = f"the pixel at x={x}, y={y} is #{pixels[y, x].tobytes().hex()}"
        raise LeNet5Error(f"{path}: {there}; expected black (#000000) or white (#ffffff)")
    strip = ink[::scale, ::scale]
    for y, x in np.argwhere(_enlarged(strip, scale) != ink)[:1]:
        there = f"the pixel at x={x}, y={y} differs from the rest of its {scale}x{scale} block"
        raise LeNet5Error(f"{path}: {there}; expected blocks of one colour")
    codes: Codes = strip.reshape(ROWS, DIGITS, COLUMNS).transpose(1, 0, 2).reshape(DIGITS, -1).astype(np.uint8)
    return codes


def _scale(image: "Image.Image", path: Path) -> int:
    """Return how many times the strip is enlarged, from the header: nothing is decoded before the size is known."""
    width, height = DIGITS * COLUMNS, ROWS
    scale = min(max(image.width // width, 1), MAX_SCALE)
    if image.size != (scale * width, scale * height):
        there = f"{image.width}x{image.height} pixels"
        raise LeNet5Error(f"{path}: {there}; expected {width}x{height}, or that enlarged 2 to {MAX_SCALE} times")
    if image.mode not in _MODES:
        raise LeNet5Error(f"{path}: pixels of mode {image.mode}; expected grey or RGB of 8 bits a channel")
    return scale


def _drawn(font: "ImageFont.FreeTypeFont") -> Codes | None:
    """Return the codes of a font's digits at the font's size, or None if one does not fit its cell."""
    from PIL import Image, ImageDraw  # noqa: PLC0415  (a text sheet does not need it)

    start, baseline, side = ROWS, 3 * ROWS, 4 * ROWS
    canvases = [Image.new("1", (side, side)) for _ in range(DIGITS)]
    for k, canvas in enumerate(canvases):
        ImageDraw.Draw(canvas).text((start, baseline), str(k), fill=1, font=font, anchor="ls")
    boxes = [canvas.getbbox() or (start, baseline, start, baseline) for canvas in canvases]
    top, bottom = min(box[1] for box in boxes), max(box[3] for box in boxes)
    codes = np.zeros((DIGITS, ROWS * COLUMNS), np.uint8)
    for code, canvas, (left, _, right, _) in zip(codes, canvases, boxes, strict=True):
        above, before = (ROWS - bottom + top) // 2, (COLUMNS - right + left) // 2
        if above < 0 or before < 0:
            return None
        cell = Image.new("1", (COLUMNS, ROWS))
        cell.paste(canvas.crop((left, top, right, bottom)), (before, above))
        code[:] = np.asarray(cell).ravel()
    return codes


def _enlarged(strip: NDArray[np.bool_], scale: int) -> NDArray[np.bool_]:
    return strip.repeat(scale, axis=0).repeat(scale, axis=1)


def _checked(codes: Codes, path: Path) -> Codes:
    for k in np.flatnonzero(~codes.any(axis=1))[:1]:
        raise LeNet5Error(f"{path}: digit {k} is blank; expected ink in every digit")
    a, b, apart = closest(codes)
    if apart == 0:
        raise LeNet5Error(f"{path}: digits {a} and {b} are equal; expected ten different digits")
    return codes


@contextmanager
def _refusal(message: str) -> Iterator[None]:
    """Turn whatever Pillow raises over a file's content into one message, and silence its warnings."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except LeNet5Error:
        raise
    except Exception as error:  # a decoder raises far more than OSError
        raise LeNet5Error(message) from error
