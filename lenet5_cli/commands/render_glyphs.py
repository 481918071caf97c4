"""``lenet5 render-glyphs``."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lenet5_cli.commands.options import (
    FILE,
    Integer,
    Named,
    UsageError,
    complete_sheet,
    console,
    overwrite_option,
    plain,
)
from lenet5_cli.commands.outputs import refuse_existing, refuse_read, say_written, sheet_read
from lenet5_cli.files import shipped_sheets

if TYPE_CHECKING:
    from rich.columns import Columns
    from rich.console import Console
    from rich.table import Table

    from lenet5_cli.data.glyphs import Sheet

MATRIX = 20  # classes up to which all distances are printed: a larger table does not fit on 80 columns

# A character of a picture shows two pixels, the upper worth 2 and the lower worth 1.
BLOCKS = " ▄▀█"


class SheetFile(Named):
    """A glyph sheet: a file, or a shipped one by its name, also where a folder has that name."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return what was given: a Path would not tell ``./letters``, a file, from the name."""
        if value not in shipped_sheets():
            super().convert(value, param, ctx)
        return value


@click.command()
@click.option(
    "--sheet",
    type=SheetFile("a file", dir_okay=False),
    metavar="NAME|FILE",
    shell_complete=complete_sheet,
    help=f"A glyph sheet: a text or image file, or shipped: {', '.join(shipped_sheets())}.  [default: digits]",
)
@click.option("--font", type=FILE, metavar="FILE.ttf", help="Draw characters of this font instead.")
@click.option(
    "--characters", metavar="ABC...", help="Characters to draw, one per class; without --font, in Pillow's font."
)
@click.option(
    "-o",
    "--output",
    type=FILE,
    default="glyphs.png",
    show_default=True,
    help="File to write: .png for an image, .txt for editable text.",
)
@click.option(
    "--scale",
    type=Integer(1, 100),
    metavar="N",
    default=1,
    show_default=True,
    help="Pixels of the image per pixel of a glyph.",
)
@overwrite_option
def render_glyphs(
    sheet: str | None, font: Path | None, characters: str | None, output: Path, scale: int, overwrite: bool
) -> None:
    """Render the glyphs of the output layer.

    Writes them side by side, each 7x12 pixels, black on white; names of classes other than the ten digits go into a
    text file beside the image, glyphs.names.txt for glyphs.png. Prints them, and in how many of 84 pixels each pair
    differs; with more than 20 classes, only the pairs that are too close.

    \b
    Examples:
      lenet5 render-glyphs --scale 10
      lenet5 render-glyphs --font DejaVuSans-Bold.ttf --output bold.txt
      lenet5 render-glyphs --characters ABCDEFGH --output a-to-h.txt
      lenet5 render-glyphs --sheet bold.txt --output bold.png
    """
    if sheet and (font or characters is not None):
        with_sheet = "--font" if font else "--characters"
        raise UsageError(f"expected either --sheet or {with_sheet}, not both")
    if scale > 1 and output.suffix.lower() == ".txt":
        raise UsageError(f"--scale enlarges an image; {output} is text")
    if output.suffix.lower() not in (".png", ".txt"):
        ends = "expected a name that ends in .png, for an image, or .txt, for a text"
        raise UsageError(f"--output {output}: {ends}")
    refuse_existing(True, output)  # where no file can be, whether there is one or not
    from lenet5_cli.data import glyphs

    if font or characters is not None:
        asked = glyphs.DIGITS if characters is None else glyphs.composed(characters)
        rendered = glyphs.from_font(font, asked)
    else:
        rendered = glyphs.read(sheet or "digits")
    targets = glyphs.files(output, rendered)
    read = [*(sheet_read("--sheet", sheet) if sheet else ()), *([("--font", font)] if font else [])]
    try:
        refuse_read(read, *targets)
        refuse_existing(overwrite, *targets)
    except UsageError:
        _show(console(), rendered)
        raise
    glyphs.write(output, rendered, scale)
    say_written(*targets)
    _show(console(), rendered)


def _show(screen: "Console", sheet: "Sheet") -> None:
    """Show glyphs, their distances, and which pairs are too close."""
    from lenet5_cli.data import glyphs

    names, pairs = sheet.names, glyphs.pairs(sheet.codes)
    screen.print(_pictures(sheet, ascii_only=screen.options.ascii_only))
    a, b, apart = pairs[0]
    if len(names) <= MATRIX:
        screen.print(_matrix(screen, sheet))
        screen.print()
    screen.print(plain(screen, f"closest pair: {names[a]} and {names[b]}, {apart} of 84 pixels differ"))
    close = [f"{names[a]} and {names[b]} {apart}" for a, b, apart in pairs if apart < glyphs.MIN_DISTANCE]
    if close:
        screen.print(plain(screen, f"too close, under {glyphs.MIN_DISTANCE} pixels: {', '.join(close)}"))


def _pictures(sheet: "Sheet", *, ascii_only: bool) -> "Columns":
    from rich.columns import Columns
    from rich.text import Text

    digits = sheet.codes.reshape(-1, 12, 7)
    if ascii_only:
        pictures = [["".join(".#"[pixel] for pixel in row) for row in digit] for digit in digits]
    else:
        halves = 2 * digits[:, ::2] + digits[:, 1::2]
        pictures = [["".join(BLOCKS[half] for half in row) for row in digit] for digit in halves]
    return Columns([Text("\n".join(picture) + "\n") for picture in pictures])


def _matrix(screen: "Console", sheet: "Sheet") -> "Table":
    from rich.table import Column, Table
    from rich.text import Text

    from lenet5_cli.data import glyphs

    closest = set(glyphs.closest(sheet.codes)[:2])
    names = [plain(screen, name) for name in sheet.names]
    columns = (Column(name, justify="right") for name in (Text(), *names))
    table = Table(*columns, box=None, padding=(0, 0, 0, 1), pad_edge=False)
    for a, row in enumerate(glyphs.distances(sheet.codes)):
        cells = [Text(str(apart), style="bold reverse" if {a, b} == closest else "") for b, apart in enumerate(row)]
        name = names[a].copy()
        name.stylize("bold")
        table.add_row(name, *cells)
    return table
