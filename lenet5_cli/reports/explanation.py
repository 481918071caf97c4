"""What the network saw in a picture, as one image and as a line in words."""

import re
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from math import ceil
from statistics import median
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from lenet5_cli.data.glyphs import COLUMNS, ROWS, Sheet, noun
from lenet5_cli.errors import counted
from lenet5_cli.pictures.decode import scaled
from lenet5_cli.reports import BLUE, ORANGE, fonts, isolated

if TYPE_CHECKING:
    from lenet5_cli.pictures.lines import Text
    from lenet5_cli.pictures.read import Candidate, Reading

SIDE, GAP, HEAD, FOOT = 280, 24, 44, 56  # pixels: of a panel, between panels, above and below them
WIDTH = 4 * SIDE + 5 * GAP
THUMB, STRIP = 112, 176  # pixels: of a candidate, and of the strip in which they stand
READABLE = 48  # pixels of a digit in a picture of several: above it, in a grid, there is room for what was read
LONGEST = 8000  # pixels of the longer side of such a picture
BARS = 10  # distances shown: of more classes, those of the nearest
BAR = 120  # pixels of the longest distance's bar, at most
BESIDE = 74  # pixels of a glyph, of the distance in numbers, and between them and the bar
BASELINE = 0.35  # of a font's size: how far below the middle of a line it stands
NAME, LONG_NAME = 18, 110  # pixels of a class's name beside its bar: of digits and letters, and at most
PAPER, INK, FAINT = "white", "black", "#999999"

Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont


def in_words(reading: "Reading", names: Sequence[str], *, as_is: bool) -> str:
    """Return a line of text with the chosen candidate, the number of candidates, and the nearest classes.

    With ``as_is``, as the network was trained, the picture was only scaled; there is no ink to describe.
    """
    chosen = reading.chosen
    first, second = np.argsort(chosen.distances)[:2]
    at, then = chosen.distances[first], chosen.distances[second]
    nearest = f"nearest {names[first]} at {at:.1f}, then {names[second]} at {then:.1f}"
    refused = f"; no {noun(names)}" if reading.digit is None else ""
    if as_is or reading.unchanged:
        how = "only scaled" if as_is else "already in MNIST's format"
        return f"{how}; {nearest}{refused}"
    ink = f"{'dark' if chosen.dark else 'light'} ink{', by a local threshold' if chosen.local else ''}"
    count = len(reading.candidates)
    found = f"{ink}, the best of {count} candidates" if count > 1 else ink
    return f"{found}; {nearest}{refused}{reading.beside}"


def text_in_words(text: "Text", names: Sequence[str]) -> str:
    """Return a line of text with the number of digits, or other classes, that were read, and the least certain one."""
    digits = [each for row in text.rows for each in row]
    farthest = max(digits, key=lambda each: each.distance)
    rows = f" in {len(text.rows)} rows" if len(text.rows) > 1 else ""
    found = counted(len(digits), "digit" if noun(names) == "digit" else "character")
    return f"{found}{rows}; the farthest from its glyph: {names[farthest.digit]} at {farthest.distance:.1f}"


def draw_text(text: "Text", names: Sequence[str]) -> Image.Image:
    """Return the picture with a box around each digit, and what was read above it."""
    image = Image.fromarray(text.page.pixels).convert("RGB")
    digits = [each for row in text.rows for each in row]
    height = median(each.box[3] - each.box[1] for each in digits) * image.height / text.page.size[1]
    wanted = max(WIDTH // image.width, ceil(READABLE / height))
    enlarged = max(1, min(wanted, LONGEST // max(image.size)))
    image = image.resize((enlarged * image.width, enlarged * image.height), Image.Resampling.NEAREST)
    pen = ImageDraw.Draw(image)
    for each in digits:
        left, top, right, bottom = scaled(each.box, text.page.size, image.size)
        pen.rectangle((left - 2, top - 2, right + 1, bottom + 1), outline=ORANGE, width=2)
        name = names[each.digit]
        font = _font(max(12, min(40, (bottom - top) // 3)), name)
        pen.text((left, max(top - 4, 12)), name, BLUE, font, anchor="ls", stroke_width=2, stroke_fill=PAPER)
    return image


def draw(reading: "Reading", sheet: Sheet, words: str, *, as_is: bool) -> Image.Image:
    """Return the picture, the ink found in it, the 28x28 input, the distances to the nearest glyphs, in a row.

    Under it stand the candidates, the chosen one framed, with distance and prior, and a line of words. With ``as_is``,
    the panel of the ink is left out, as none was searched for.
    """
    image = Image.new("RGB", (WIDTH, HEAD + SIDE + STRIP + FOOT), PAPER)
    chosen = reading.chosen
    nearest = "each glyph" if len(sheet.names) <= BARS else f"the {BARS} nearest"
    ink = {} if as_is else {"the ink found in it": _fit(Image.fromarray(255 - chosen.ink))}
    panels = {
        "the picture": _picture(reading),
        **ink,
        "28 x 28: what the network reads": Image.fromarray(chosen.image).resize((SIDE, SIDE), 0),
        f"squared distance to {nearest}": _bars(chosen.distances, sheet),
    }
    pen = ImageDraw.Draw(image)
    for place, (name, panel) in enumerate(panels.items()):
        left = GAP + place * (SIDE + GAP)
        pen.text((left, HEAD - 8), name, INK, _font(16), anchor="ls")
        image.paste(panel, (left + (SIDE - panel.width) // 2, HEAD + (SIDE - panel.height) // 2))
        if place < len(panels) - 1:
            pen.rectangle((left - 1, HEAD - 1, left + SIDE, HEAD + SIDE), outline=FAINT)
    _draw_candidates(image, pen, reading.candidates, sheet.names)
    top = HEAD + SIDE + STRIP
    line = "/".join(map(isolated, words.split("/")))  # it begins with a path, whose parts stay in their order
    _write(pen, (GAP, top + FOOT // 2), line, _fitting(words, WIDTH - 2 * GAP))
    return image


def _draw_candidates(
    image: Image.Image, pen: ImageDraw.ImageDraw, candidates: "list[Candidate]", names: Sequence[str]
) -> None:
    """Draw the best candidates in a row, the chosen one framed: class, distance to its glyph, prior."""
    top = HEAD + SIDE + 2 * GAP
    pen.text((GAP, top - 8), f"candidates: {noun(names)} at distance + prior", INK, _font(16), anchor="ls")
    for place, each in enumerate(candidates[: (WIDTH - GAP) // (THUMB + GAP)]):
        left = GAP + place * (THUMB + GAP)
        image.paste(Image.fromarray(each.image).resize((THUMB, THUMB), 0), (left, top))
        if place == 0:
            pen.rectangle((left - 3, top - 3, left + THUMB + 2, top + THUMB + 2), outline=ORANGE, width=3)
        name, score = names[int(each.distances.argmin())], f" at {each.distance:.1f} + {each.prior:.1f}"
        name = _shortened(name, 12, THUMB + GAP // 2 - _length(score, 12))
        start = left + (THUMB - _length(name, 12) - _length(score, 12)) / 2
        for part in (name, score):  # each in its font, and a name from right to left before the numbers
            start = _write(pen, (start, top + THUMB + 14), part, 12)


def _picture(reading: "Reading") -> Image.Image:
    panel = _fit(Image.fromarray(reading.page)).convert("RGB")
    left, top, right, bottom = scaled(reading.chosen.box, reading.page.shape[1::-1], panel.size)
    ImageDraw.Draw(panel).rectangle((left - 2, top - 2, right + 1, bottom + 1), outline=ORANGE, width=2)
    return panel


def _fit(image: Image.Image) -> Image.Image:
    """Scale an image to fit into a panel; without smoothing if it is enlarged."""
    scale = SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS)


def _bars(distances: NDArray[np.floating], sheet: Sheet) -> Image.Image:
    """Draw a line for each of the ``BARS`` nearest classes: name, glyph, and a bar as long as the distance to it."""
    panel = Image.new("RGB", (SIDE, SIDE), PAPER)
    pen, line = ImageDraw.Draw(panel), SIDE // BARS
    nearest = int(np.argmin(distances))
    shown = np.sort(np.argsort(distances, kind="stable")[:BARS])
    longest = max((sheet.names[label] for label in shown), key=lambda name: _length(name, 18))
    size = _fitting(longest, LONG_NAME, largest=18)
    left = 12 + round(min(max(NAME, _length(longest, size)), LONG_NAME))
    bar = min(BAR, SIDE - left - BESIDE)
    for place, label in enumerate(shown):
        top, middle, distance = place * line, place * line + line // 2, distances[label]
        colour = BLUE if label == nearest else FAINT
        _write(pen, (4, middle), _shortened(sheet.names[label], size, LONG_NAME), size)
        glyph = Image.fromarray(255 * (1 - sheet.codes[label].reshape(ROWS, COLUMNS)))
        panel.paste(glyph.resize((2 * COLUMNS, 2 * ROWS), 0), (left, top + 2))
        length = round(bar * float(distance / max(distances.max(), 1e-9)))
        pen.rectangle((left + 28, top + 6, left + 28 + length, top + line - 7), fill=colour)
        pen.text((left + 36 + length, middle), f"{distance:.1f}", INK, _font(16), anchor="lm")
    return panel


def _shortened(name: str, size: int, width: float) -> str:
    """Shorten a name to a width by leaving out its middle, as names may have a common start or end."""
    cut, kept = name, len(name)
    while _length(cut, size) > width and kept > 1:
        kept -= 1
        cut = f"{name[: kept // 2]}...{name[len(name) - (kept - kept // 2) :]}"  # Pillow's own font has no ellipsis
    return cut


def _fitting(words: str, width: int, largest: int = 20) -> int:
    """Return the largest of a few font sizes in which a line fits a width."""
    return next((size for size in range(largest, 10, -2) if _length(words, size) <= width), 12)


def _write(pen: ImageDraw.ImageDraw, start: tuple[float, float], words: str, size: int) -> float:
    """Write a line of text and return the x at which it ends; ``start`` is its left end, at half its height."""
    left, middle = start
    for piece in _pieces(words):
        pen.text((left, middle + size * BASELINE), piece, INK, _font(size, piece), anchor="ls")
        left += _font(size, piece).getlength(piece)
    return left


def _length(words: str, size: int) -> float:
    return sum(_font(size, piece).getlength(piece) for piece in _pieces(words))


def _pieces(words: str) -> list[str]:
    """Return a line as one piece or, if no font has all its characters, split into ASCII and other parts."""
    whole = words.isascii() or _installed(words)[1]
    return [words] if whole else re.findall(r"[\0-\x7f]+|[^\0-\x7f]+", words)


def _font(size: int, written: str = "") -> Font:
    """Return a font that has the characters of a text, as Pillow's own font has only ASCII."""
    path = None if written.isascii() else _installed(written)[0]
    with suppress(OSError):  # a font of pictures, which has one size
        return ImageFont.truetype(path, size) if path else ImageFont.load_default(size)
    return ImageFont.load_default(size)


@cache
def _installed(written: str) -> tuple[str | None, bool]:
    """Return the path of the installed font with the most characters of a text, and whether it has all of them.

    The path is None if matplotlib is missing or finds no font.
    """
    codes = set(map(ord, written))
    try:
        found = {path: len(characters & codes) for _, path, characters in fonts.installed()}
    except ImportError:
        return None, False
    best = max(found, key=lambda path: found[path], default=None)
    return best, best is not None and found[best] == len(codes)
