"""What the network saw in a picture, as one image and as a line in words."""

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from lenet5_cli.data.glyphs import COLUMNS, ROWS
from lenet5_cli.reports import BLUE, ORANGE

if TYPE_CHECKING:
    from lenet5_cli.pictures.photo import Reading

SIDE, GAP, HEAD, FOOT = 280, 24, 44, 56  # pixels: of a panel, between panels, above and below them
WIDTH = 4 * SIDE + 5 * GAP
BAR = 120  # pixels of the longest distance's bar
PAPER, INK, FAINT = "white", "black", "#999999"

Panel: TypeAlias = Image.Image


def in_words(reading: "Reading", distances: NDArray[np.floating]) -> str:
    """Return a line that says what was found and which digits are nearest, from distances (10,)."""
    if reading.unchanged:
        found = "already as MNIST's pictures are"
    else:
        fraction = reading.ink.mean()
        background = "light background, inverted" if reading.light else "dark background"
        found = f"{background}; ink {'under 1' if fraction < 0.01 else f'{100 * fraction:.0f}'} % of the picture"
    first, second = np.argsort(distances)[:2]
    nearest = f"nearest {first} at {distances[first]:.1f}, then {second} at {distances[second]:.1f}"
    others = f"; the largest of {reading.others + 1} things that could be digits" if reading.others else ""
    return f"{found}; {nearest}{others}"


def draw(reading: "Reading", distances: NDArray[np.floating], codes: NDArray[np.uint8], words: str) -> Image.Image:
    """Return the picture, the ink found in it, the 28x28 input and the distance (10,) to each of codes (10, 84).

    Under it stands a line of words.
    """
    image = Image.new("RGB", (WIDTH, HEAD + SIDE + FOOT), PAPER)
    panels = {
        "the picture": _picture(reading),
        "the ink found in it": _found(reading),
        "28 x 28: what the network reads": Image.fromarray(reading.image).resize((SIDE, SIDE), 0),
        "squared distance to each glyph": _bars(distances, codes),
    }
    pen = ImageDraw.Draw(image)
    for place, (name, panel) in enumerate(panels.items()):
        left = GAP + place * (SIDE + GAP)
        pen.text((left, HEAD - 8), name, INK, _font(16), anchor="ls")
        image.paste(panel, (left + (SIDE - panel.width) // 2, HEAD + (SIDE - panel.height) // 2))
        if place < 3:
            pen.rectangle((left - 1, HEAD - 1, left + SIDE, HEAD + SIDE), outline=FAINT)
    pen.text((GAP, HEAD + SIDE + FOOT // 2), words, INK, _fitting(words, WIDTH - 2 * GAP), anchor="lm")
    return image


def _picture(reading: "Reading") -> Panel:
    panel = _fit(Image.fromarray(reading.grey)).convert("RGB")
    scale = panel.width / reading.grey.shape[1]
    top, left, bottom, right = (round(scale * edge) for edge in reading.box)
    ImageDraw.Draw(panel).rectangle((left - 2, top - 2, right + 1, bottom + 1), outline=ORANGE, width=2)
    return panel


def _found(reading: "Reading") -> Panel:
    top, left, bottom, right = reading.box
    ink = reading.ink[top:bottom, left:right]
    return _fit(Image.fromarray(np.rint(255 * (1 - ink)).astype(np.uint8)))


def _fit(image: Image.Image) -> Panel:
    """Scale an image into a panel, of an enlarged one without smoothing."""
    scale = SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS)


def _bars(distances: NDArray[np.floating], codes: NDArray[np.uint8]) -> Panel:
    """Draw a line a digit: its number, its glyph, and a bar as long as the distance to it."""
    panel = Image.new("RGB", (SIDE, SIDE), PAPER)
    pen, line = ImageDraw.Draw(panel), SIDE // 10
    nearest = int(np.argmin(distances))
    for digit, distance in enumerate(distances):
        top, middle = digit * line, digit * line + line // 2
        colour = BLUE if digit == nearest else FAINT
        pen.text((4, middle), str(digit), INK, _font(18), anchor="lm")
        glyph = Image.fromarray(255 * (1 - codes[digit].reshape(ROWS, COLUMNS)))
        panel.paste(glyph.resize((2 * COLUMNS, 2 * ROWS), 0), (30, top + 2))
        length = round(BAR * float(distance / max(distances.max(), 1e-9)))
        pen.rectangle((58, top + 6, 58 + length, top + line - 7), fill=colour)
        pen.text((66 + length, middle), f"{distance:.1f}", INK, _font(16), anchor="lm")
    return panel


def _fitting(words: str, width: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the largest font, of a few, in which a line is no wider than that."""
    return next((_font(size) for size in (20, 18, 16, 14) if _font(size).getlength(words) <= width), _font(12))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
