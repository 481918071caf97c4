"""Glyph sheets: a bitmap of 12 rows of 7 pixels for each class. The output layer compares f6 with these bitmaps.

A sheet is a text that anyone can edit, or an image of the glyphs side by side with a text of their names beside it.
"""

import hashlib
import math
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BytesIO, StringIO
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from lenet5_cli.errors import LeNet5Error, counted
from lenet5_cli.files import content, likeness, open_regular, replacing, shipped_folder, shipped_sheets

if TYPE_CHECKING:
    from PIL import Image, ImageFont

Codes: TypeAlias = NDArray[np.uint8]

ROWS, COLUMNS = 12, 7
DIGITS = tuple("0123456789")  # the default names of the classes, if a sheet or checkpoint has none
LETTERS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
MIN_CLASSES, MAX_CLASSES = 2, 128
MAX_NAME = 16  # characters; a column of names that long still leaves room for numbers on 80 columns
MAX_SCALE = 100
# The number of pixels in which two glyphs should at least differ. With a sigmoid, f6 is between 0 and 1, so the scores
# of two classes differ by at most this number, and no probability can exceed 1 / (1 + exp(-7)) = 0.9991. With tanh, a
# pixel adds up to 6.9 to the difference: f6 is between -1.72 and 1.72, and codes are -1 and 1.
MIN_DISTANCE = 7

_MAX_SHEET_BYTES = 1 << 20
_MAX_PIXELS = 1 << 25  # of an image, some 300 MB; up to 39 glyphs may be enlarged MAX_SCALE times
_MAX_FONT_BYTES = 1 << 26
_FONT_SIZE = 256  # pixels an em: at this size a stroke's width is exact to a few per cent
_MAX_GLYPH = 16 * _FONT_SIZE  # pixels a side, 16 MB; a glyph of more ems than this is no character
_UNIT = 16  # pixels of that drawing on a side of a pixel of a glyph
_NO_CHARACTER = "\U0010ffff"  # no font has it, so it is drawn as the font draws missing characters
_SIGNATURES = (b"\x89PNG", b"BM", b"GIF8", b"II*\0", b"MM\0*", b"P1", b"P2", b"P3", b"P4", b"P5", b"P6")
_FORMATS = ("PNG", "BMP", "GIF", "TIFF", "PPM")
_TILE = 322  # TIFF's tag of the width of a tile
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")  # no channel has more than 8 bits, so RGBA holds them exactly
_HEADER = """\
; A glyph sheet: a line with the name of each class, then its 12 rows of 7 columns. # is ink, . is paper.
; A blank line ends a glyph. Lines that begin with ; are comments.
"""


class Sheet(NamedTuple):
    """The glyphs of all classes, in the order of their labels.

    Attributes:
        codes: (k, 84) uint8, a row a class, its pixels row by row, ink 1 and paper 0.
        names: of the classes, k different ones of 1 to 16 printable characters.
    """

    codes: Codes
    names: tuple[str, ...]

    @property
    def noun(self) -> str:
        """What a class is called: ``digit`` if they are the ten digits, else ``class``."""
        return noun(self.names)

    @property
    def sha256(self) -> str:
        """SHA-256, in hex, of the glyphs, then of their names."""
        return hashlib.sha256(self.codes.tobytes() + "\n".join(self.names).encode()).hexdigest()


def noun(names: Sequence[str]) -> str:
    """Return what a class is called: ``digit`` if the names are those of the ten digits, else ``class``."""
    return "digit" if tuple(names) == DIGITS else "class"


def difference(names: Sequence[str], others: Sequence[str], other: str) -> str:
    """Say for a message how names of classes differ from those of ``other``: in number, or in the first name."""
    if len(names) != len(others):
        return f"has {len(names)} classes, and {other} has {len(others)}"
    at = next(at for at, (name, its) in enumerate(zip(names, others, strict=True)) if name != its)
    return f"has {names[at]} as class {at}, counted from 0, where {other} has {others[at]}"


def read(sheet: str | PathLike[str] = "digits") -> Sheet:
    """Return a sheet: of a text or image file, or a shipped one by its name, a ``str``.

    Text and image are told apart by content. The image is a strip of 12 rows and 7 columns a glyph, black on white, or
    an enlargement by an integer; transparent pixels are white. Its names are in ``X.names.txt`` beside ``X.png``, one a
    line. A sheet without names is of the ten digits.

    Raises:
        LeNet5Error: the file cannot be read, or is not a sheet of 2 to 128 glyphs of 12x7 pixels, none of them blank,
            no two equal, and as many different names.
    """
    path = _path(sheet)
    if not os.path.lexists(path):
        known = ", ".join(shipped_sheets())
        raise LeNet5Error(f"{path}: no such file or sheet; the sheets that come with lenet5 are {known}")
    sheet_bytes = content(path, _MAX_SHEET_BYTES, "a glyph sheet")
    found = (_from_image if sheet_bytes.startswith(_SIGNATURES) else _from_text)(sheet_bytes, path)
    return _checked(found, path)


def _path(sheet: str | PathLike[str]) -> Path:
    shipped = isinstance(sheet, str) and sheet in shipped_sheets()  # ./letters is a file, of which a Path says letters
    return shipped_folder("glyphs") / f"{sheet}.txt" if shipped else Path(sheet)


def files_read(sheet: str | PathLike[str]) -> list[Path]:
    """Return the files that ``read`` reads: the sheet and, beside an image, its names."""
    path = _path(sheet)
    with suppress(OSError, LeNet5Error), open_regular(path, "a glyph sheet") as file:
        if file.read(8).startswith(_SIGNATURES):
            return [path, _names_path(path)]
    return [path]


def files(path: str | PathLike[str], sheet: Sheet) -> list[Path]:
    """Return the files that ``write`` writes: the sheet and, beside an image, its names.

    The names of the ten digits are left out, unless a file of names exists: it would be read as theirs.
    """
    path = Path(path)
    names_file = _names_path(path)
    named = path.suffix.lower() == ".png" and (sheet.names != DIGITS or names_file.exists())
    return [path, names_file] if named else [path]


def write(path: str | PathLike[str], sheet: Sheet, scale: int = 1) -> None:
    """Write a sheet: to a .txt name as text, to a .png name as an image enlarged ``scale`` times, and its names.

    Raises:
        LeNet5Error: the name ends otherwise, the image could not be read again, or a file cannot be written.
    """
    path, largest = Path(path), _largest_scale(len(sheet.names))
    if scale > largest:
        raise LeNet5Error(f"{path}: {len(sheet.names)} glyphs enlarged {scale} times; expected at most {largest} times")
    drawn = BytesIO()
    match path.suffix.lower():
        case ".png":
            to_image(sheet.codes, scale).save(drawn, format="PNG")
        case ".txt":
            drawn.write(to_text(sheet).encode())
        case suffix:
            there = f"ends in {suffix!r}" if suffix else "has no ending"
            raise LeNet5Error(f"{path}: {there}; expected '.png' for an image or '.txt' for a text")
    names = "".join(f"{name}\n" for name in sheet.names)
    for target, written in zip(files(path, sheet), (drawn.getvalue(), names.encode()), strict=False):
        with replacing(target) as file:
            file.write(written)


def to_text(sheet: Sheet) -> str:
    """Return a sheet as a text."""
    bitmaps = np.where(sheet.codes, "#", ".").reshape(-1, ROWS, COLUMNS)
    drawn = ["\n".join("".join(row) for row in bitmap) for bitmap in bitmaps]
    return _HEADER + "".join(f"\n= {name}\n{rows}\n" for name, rows in zip(sheet.names, drawn, strict=True))


def to_image(codes: Codes, scale: int = 1) -> "Image.Image":
    """Return codes, (k, 84) uint8, as a strip of ``scale`` times 7k x 12 pixels, black on white, one bit each."""
    from PIL import Image  # noqa: PLC0415  (a text sheet does not need it)

    strip = codes.reshape(-1, ROWS, COLUMNS).transpose(1, 0, 2).reshape(ROWS, -1)
    return Image.fromarray(_enlarged(strip == 0, scale))


def from_font(path: str | PathLike[str] | None = None, characters: Sequence[str] = DIGITS) -> Sheet:
    """Return the sheet of some characters as a font draws them.

    They share one baseline, at a size at which the line is as high as a cell. Each character is centred in its cell,
    and narrowed if it is too wide. Strokes thinner than a pixel are thickened to one. Without a path, the font is
    Pillow's.

    Raises:
        LeNet5Error: the file cannot be read or is not a font, it has no glyph for a character, one comes out blank or
            two equal; or the characters cannot name classes.
    """
    from PIL import ImageFont  # noqa: PLC0415  (a text sheet does not need it)

    where = "the font in Pillow" if path is None else str(path)
    names = checked_names(characters, "characters: ")
    font_bytes = b"" if path is None else content(path, _MAX_FONT_BYTES, "a font")
    with _refusal(f"{where}: not a usable font; expected a TrueType or OpenType font"):
        basic = ImageFont.Layout.BASIC
        font: ImageFont.FreeTypeFont = (
            ImageFont.truetype(BytesIO(font_bytes), _FONT_SIZE, layout_engine=basic)
            if font_bytes
            else ImageFont.load_default(_FONT_SIZE)  # type: ignore[assignment]
        )
        _demand_characters(font, names, where, "" if font_bytes else " (--font)")
        codes = _in_cells([_drawn(font, name) for name in names])
    return _checked(Sheet(codes, names), where)


def distances(codes: Codes) -> NDArray[np.intp]:
    """Return the number of pixels in which each pair of glyphs differs, (k, k), for codes (k, 84)."""
    apart: NDArray[np.intp] = np.sum(codes[:, None] != codes, axis=2)
    return apart


def closest(codes: Codes) -> tuple[int, int, int]:
    """Return the two classes that differ least, the first label smaller, and in how many pixels, for codes (k, 84)."""
    return pairs(codes)[0]


def pairs(codes: Codes) -> list[tuple[int, int, int]]:
    """Return all pairs of classes, the first label smaller, and in how many pixels they differ; the closest first."""
    a, b = np.triu_indices(len(codes), 1)
    apart = distances(codes)[a, b]
    return [(int(a[pair]), int(b[pair]), int(apart[pair])) for pair in np.argsort(apart, kind="stable")]


class _Bitmap(NamedTuple):
    """A glyph in a text: its name, None where it has none, and its rows with the numbers of their lines."""

    name: str | None
    rows: list[tuple[int, str]]


def _from_text(sheet: bytes, path: Path) -> Sheet:
    bitmaps = list(_bitmaps(_decoded(sheet, path, "a text of # and ., or a PNG, BMP, GIF, TIFF or PNM image"), path))
    named = [bitmap.name for bitmap in bitmaps if bitmap.name is not None]
    if not named and len(bitmaps) != len(DIGITS):
        expected = "expected a line '= NAME' before each; only the ten digits need no names"
        raise LeNet5Error(f"{path}: {counted(len(bitmaps), 'glyph')} without names; {expected}")
    names = tuple(named) or DIGITS
    for bitmap in bitmaps:
        if named and bitmap.name is None:
            where = f"{path}: line {bitmap.rows[0][0]}: "
            raise LeNet5Error(f"{where}a glyph without a name; expected a line '= NAME' before each, or before none")
    for bitmap, name in zip(bitmaps, names, strict=True):
        _check_bitmap(bitmap, name, path)
    codes = [[pixel == "#" for _, row in bitmap.rows for pixel in row] for bitmap in bitmaps]
    return Sheet(np.array(codes, np.uint8), names)


def _bitmaps(text: str, path: Path) -> Iterator[_Bitmap]:
    """Yield the glyphs of a text as they stand in it: rows without a blank line between, below a name or none."""
    name, named, rows = None, 0, []
    lines = [(number, line.rstrip()) for number, line in enumerate(StringIO(text, newline=None), start=1)]
    lines = [(number, line) for number, line in lines if not line.startswith(";")]
    for number, line in [*lines, (len(lines) + 1, "")]:
        if line and not line.startswith("="):
            rows.append((number, line))
            continue
        if rows:
            yield _Bitmap(name, rows)
            name, rows = None, []
        if line and name is not None:
            break
        if line:
            name, named = _checked_name(line[1:].strip(), f"{path}: line {number}: "), number
    if name is not None:
        raise LeNet5Error(f"{path}: line {named}: no glyph under the name {name}; expected {ROWS} rows")


def _decoded(sheet: bytes, path: Path, expected: str) -> str:
    try:
        return sheet.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = likeness(sheet)
        byte = f"byte {error.start:,} is 0x{error.object[error.start]:02x}, not UTF-8"
        raise LeNet5Error(f"{path}: {f'looks like {found}' if found else byte}; expected {expected}") from None


def _check_bitmap(bitmap: _Bitmap, name: str, path: Path) -> None:
    for number, row in bitmap.rows:
        invalid = re.search("[^#.]", row)
        if invalid:
            there = f"{invalid[0]!r} in column {invalid.start() + 1} of glyph {name}"
            raise LeNet5Error(f"{path}: line {number}: {there}; expected '#' for ink or '.' for paper")
        if len(row) != COLUMNS:
            raise LeNet5Error(
                f"{path}: line {number}: {counted(len(row), 'column')} in glyph {name}; expected {COLUMNS}"
            )
    if len(bitmap.rows) != ROWS:
        there = f"line {bitmap.rows[0][0]}: {counted(len(bitmap.rows), 'row')} in the glyph of {name} that begins here"
        raise LeNet5Error(f"{path}: {there}; expected {ROWS}, then a blank line or the next name")


def _names_path(path: Path) -> Path:
    return path.with_suffix(".names.txt")


def read_names(path: Path) -> tuple[str, ...] | None:
    """Return the names of classes in a text, one a line, in the order of their labels; None if there is no such file.

    Raises:
        LeNet5Error: it cannot be read, is not UTF-8, or a name cannot be that of a class.
    """
    if not path.exists():
        return None
    text = _decoded(content(path, _MAX_SHEET_BYTES, "the names of classes"), path, "one name per line")
    names = text.splitlines()
    for number, name in enumerate(names, start=1):
        _checked_name(name.strip(), f"{path}: line {number}: ")
    return checked_names([name.strip() for name in names], f"{path}: ")


def _checked_name(name: str, where: str) -> str:
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable() or name != name.strip():
        long = len(name) > MAX_NAME
        there = f"the name {name[:MAX_NAME]!r}... of {len(name):,} characters" if long else f"the name {name!r}"
        blank = ", with no space at either end" if name.strip() and name != name.strip() else ""
        raise LeNet5Error(f"{where}{there}; expected 1 to {MAX_NAME} printable characters{blank}")
    return name


def composed(name: str) -> str:
    """Return a name in Unicode's NFC form: some systems, such as macOS, write ``ä`` as ``a`` and a combining mark."""
    return normalize("NFC", name)


def checked_names(names: Sequence[str], where: str) -> tuple[str, ...]:
    """Return names that can be those of a sheet's classes: as many as there may be, each printable, no two equal."""
    if not MIN_CLASSES <= len(names) <= MAX_CLASSES:
        raise LeNet5Error(f"{where}{counted(len(names), 'class')}; expected {MIN_CLASSES} to {MAX_CLASSES}")
    known = set[str]()
    for name in names:
        _checked_name(name, where)
        if composed(name) in known:
            raise LeNet5Error(f"{where}two classes are named {name}; expected a different name for each")
        known.add(composed(name))
    return tuple(names)


def _from_image(sheet: bytes, path: Path) -> Sheet:
    from PIL import Image  # noqa: PLC0415  (a text sheet does not need it)

    names = read_names(_names_path(path))
    width = COLUMNS * len(names or DIGITS)
    with _refusal(f"{path}: a damaged image; expected a strip of {width}x{ROWS} pixels, black on white"):
        image: Image.Image = Image.open(BytesIO(sheet), formats=_FORMATS)
        scale = _scale(image, path, names)
        if image.has_transparency_data:
            paper = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(paper, image.convert("RGBA"))
        pixels = np.asarray(image.convert("RGB"))
    ink = (pixels == 0).all(axis=2)
    if invalid := _first(~ink & (pixels != 255).any(axis=2)):
        y, x = invalid
        there = f"the pixel at x={x}, y={y} is #{pixels[y, x].tobytes().hex()}"
        raise LeNet5Error(f"{path}: {there}; expected black (#000000) or white (#ffffff)")
    strip = ink[::scale, ::scale]
    if uneven := _first(_enlarged(strip, scale) != ink):
        y, x = uneven
        there = f"the pixel at x={x}, y={y} differs from the rest of its {scale}x{scale} block"
        raise LeNet5Error(f"{path}: {there}; expected blocks of one colour")
    codes: Codes = strip.reshape(ROWS, -1, COLUMNS).transpose(1, 0, 2).reshape(-1, ROWS * COLUMNS).astype(np.uint8)
    return Sheet(codes, names or DIGITS)


def _first(pixels: NDArray[np.bool_]) -> tuple[int, int] | None:
    """Return the row and column of the first true pixel, or None where there is none."""
    at = int(pixels.argmax())
    return divmod(at, pixels.shape[1]) if pixels.flat[at] else None


def _largest_scale(count: int) -> int:
    """Return how many times the strip of some glyphs may be enlarged."""
    return min(MAX_SCALE, math.isqrt(_MAX_PIXELS // (count * ROWS * COLUMNS)))


def _scale(image: "Image.Image", path: Path, names: tuple[str, ...] | None) -> int:
    """Return how many times the strip is enlarged, from the image's header, so that no huge image is decoded."""
    width, largest = COLUMNS * len(names or DIGITS), _largest_scale(len(names or DIGITS))
    scale = min(max(image.width // width, 1), largest)
    if image.size != (scale * width, scale * ROWS):
        there = f"{image.width}x{image.height} pixels"
        of = f"for the {len(names)} names in {_names_path(path).name}" if names else "for the ten digits"
        hint = "" if names else f"; put other names into {_names_path(path).name}, one per line"
        expected = f"{width}x{ROWS} {of}, or enlarged 2 to {largest} times{hint}"
        raise LeNet5Error(f"{path}: {there}; expected {expected}")
    if _TILE in getattr(image, "tag_v2", {}):  # a tile may be far larger than the image
        raise LeNet5Error(f"{path}: a tiled TIFF; expected one in strips")
    if image.mode not in _MODES:
        raise LeNet5Error(f"{path}: pixels of mode {image.mode}; expected grey or RGB of 8 bits a channel")
    return scale


def _demand_characters(font: "ImageFont.FreeTypeFont", names: tuple[str, ...], where: str, hint: str) -> None:
    """Refuse a character that a font lacks: it draws all of those alike."""
    missing = font.getmask(_NO_CHARACTER)
    for name in names:
        mask = font.getmask(name)
        if mask.getbbox() and (mask.size, bytes(mask)) == (missing.size, bytes(missing)):
            raise LeNet5Error(f"{where}: has no glyph for {name}; expected a font with all the characters{hint}")


def _drawn(font: "ImageFont.FreeTypeFont", character: str) -> tuple[int, NDArray[np.uint8]]:
    """Return the ink of a character, 0 to 255, and how far below the font's line its first row is."""
    from PIL import Image, ImageDraw  # noqa: PLC0415  (a text sheet does not need it)

    left, top, right, bottom = map(round, font.getbbox(character, anchor="ls"))
    if max(right - left, bottom - top) > _MAX_GLYPH:
        raise ValueError  # the caller says what is wrong
    canvas = Image.new("L", (max(1, right - left), max(1, bottom - top)))
    ImageDraw.Draw(canvas).text((-left, -top), character, fill=255, font=font, anchor="ls")
    box = canvas.getbbox() or (0, 0, 1, 1)
    return top + box[1], np.asarray(canvas.crop(box))


def _in_cells(characters: "Sequence[tuple[int, NDArray[np.uint8]]]") -> Codes:
    """Return the codes (k, 84) of characters from ``_drawn``, scaled so that their common line is as high as a cell."""
    import cv2  # noqa: PLC0415  (a text sheet does not need it)

    top, bottom = min(first for first, _ in characters), max(first + len(ink) for first, ink in characters)
    lines = list[NDArray[Any]]()
    for first, ink in characters:
        line = np.zeros((bottom - top, ink.shape[1]), np.uint8)
        line[first - top :][: len(ink)] = ink
        columns = min(COLUMNS, max(1, round(ink.shape[1] * ROWS / (bottom - top))))
        size = (_UNIT * columns, _UNIT * ROWS)
        lines.append(cv2.resize(line, size, interpolation=cv2.INTER_AREA))
    stroke = float(np.median([_stroke(line) for line in lines]))
    growth = max(0, _UNIT - round(stroke))
    pen = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (growth + 1, growth + 1))
    codes = np.zeros((len(lines), ROWS, COLUMNS), np.uint8)
    for code, line in zip(codes, lines, strict=True):
        height, width = line.shape
        inner = cv2.resize(line, (width - growth, height - growth), interpolation=cv2.INTER_AREA)
        before = growth // 2  # so that what the pen adds stays inside
        thick = cv2.copyMakeBorder(inner, before, growth - before, before, growth - before, cv2.BORDER_CONSTANT)
        covered = cv2.dilate(thick, pen).reshape(ROWS, _UNIT, -1, _UNIT).mean(axis=(1, 3))
        start = (COLUMNS - covered.shape[1]) // 2
        code[:, start : start + covered.shape[1]] = covered >= 255 / 2
    return codes.reshape(-1, ROWS * COLUMNS)


def _stroke(line: NDArray[np.uint8]) -> float:
    """Return the stroke width of a character in pixels: twice the median distance from its centre line to the edge."""
    import cv2  # noqa: PLC0415  (a text sheet does not need it)

    inside = cv2.distanceTransform((line >= 128).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    middle = inside[(inside > 0) & (inside == cv2.dilate(inside, np.ones((3, 3), np.uint8)))]
    return 2 * float(np.median(middle)) if len(middle) else float(_UNIT)


def _enlarged(strip: NDArray[np.bool_], scale: int) -> NDArray[np.bool_]:
    return strip.repeat(scale, axis=0).repeat(scale, axis=1)


def _checked(sheet: Sheet, path: Path | str) -> Sheet:
    codes, names = sheet
    checked_names(names, f"{path}: ")
    for k in np.flatnonzero(~codes.any(axis=1)):
        raise LeNet5Error(f"{path}: the glyph of {names[k]} is blank; expected ink in every glyph")
    a, b, apart = closest(codes)
    if apart == 0:
        raise LeNet5Error(f"{path}: {names[a]} and {names[b]} have the same glyph; expected a different one for each")
    return sheet


@contextmanager
def _refusal(message: str) -> Iterator[None]:
    """Turn whatever Pillow raises for a damaged image into one message."""
    try:
        yield
    except LeNet5Error:
        raise
    except Exception as error:  # a decoder raises far more than OSError
        raise LeNet5Error(message) from error
