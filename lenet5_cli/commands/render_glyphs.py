"""``lenet5 render-glyphs``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lenet5_cli.commands.options import FILE, console, overwrite_option, refuse_existing, say_written

if TYPE_CHECKING:
    from rich.columns import Columns
    from rich.table import Table

    from lenet5_cli.data.glyphs import Codes

# A character of a picture shows two pixels, the upper worth 2 and the lower worth 1.
BLOCKS = " ▄▀█"


@click.command()
@click.option("--sheet", type=FILE, metavar="FILE", help="A glyph sheet, text or image.  [default: the shipped one]")
@click.option("--font", type=FILE, metavar="FILE.ttf", help="Draw the digits of this font instead.")
@click.option(
    "-o",
    "--output",
    type=FILE,
    default="glyphs.png",
    show_default=True,
    help="Where to write: .png for an image, .txt for a text to edit.",
)
@click.option("--scale", type=click.IntRange(1, 100), default=1, show_default=True, help="Enlarge the image.")
@overwrite_option
def render_glyphs(sheet: Path | None, font: Path | None, output: Path, scale: int, overwrite: bool) -> None:
    """Render the digits that the output layer compares with.

    Writes them as a strip of 70x12 pixels, black digits on white. Shows them, and the number of pixels, of 84, in which
    each pair of digits differs.

    \b
    Examples:
      lenet5 render-glyphs --scale 10
      lenet5 render-glyphs --font DejaVuSans-Bold.ttf --output bold.txt
      lenet5 render-glyphs --sheet bold.txt --output bold.png
    """
    if sheet and font:
        raise click.UsageError("expected either --sheet or --font, not both")
    refuse_existing(overwrite, output)
    from lenet5_cli.data import glyphs

    codes = glyphs.from_font(font) if font else glyphs.read(sheet or "digits")
    glyphs.write(output, codes, scale)
    say_written(output)
    screen = console()
    screen.print(_pictures(codes, ascii_only=screen.options.ascii_only))
    a, b, apart = glyphs.closest(codes)
    screen.print(_matrix(glyphs.distances(codes).tolist(), {(a, b), (b, a)}))
    screen.print(f"\nclosest pair: {a} and {b}, {apart} of 84 pixels differ")


def _pictures(codes: "Codes", *, ascii_only: bool) -> "Columns":
    from rich.columns import Columns
    from rich.text import Text

    digits = codes.reshape(10, 12, 7)
    if ascii_only:
        pictures = [["".join(".#"[pixel] for pixel in row) for row in digit] for digit in digits]
    else:
        halves = 2 * digits[:, ::2] + digits[:, 1::2]
        pictures = [["".join(BLOCKS[half] for half in row) for row in digit] for digit in halves]
    return Columns([Text("\n".join(picture) + "\n") for picture in pictures])


def _matrix(distances: list[list[int]], closest: set[tuple[int, int]]) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(*["", *map(str, range(10))], box=None, padding=(0, 0, 0, 1), pad_edge=False)
    for column in table.columns:
        column.justify = "right"
    for a, row in enumerate(distances):
        cells = [Text(str(apart), style="bold reverse" if (a, b) in closest else "") for b, apart in enumerate(row)]
        table.add_row(Text(str(a), style="bold"), *cells)
    return table
