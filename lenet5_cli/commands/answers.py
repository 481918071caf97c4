"""The answers of ``predict``: as the objects that ``--json`` prints, in CSV, or in a table."""

import csv
import io
import json
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from unicodedata import east_asian_width

import click

from lenet5_cli.commands.options import console
from lenet5_cli.errors import LeNet5Error, printable

if TYPE_CHECKING:
    from lenet5_cli.data.glyphs import Sheet
    from lenet5_cli.pictures.lines import Text
    from lenet5_cli.pictures.read import Reading
    from lenet5_cli.training.metrics import Tally

    Outcome: TypeAlias = Reading | Text | LeNet5Error
    """Of reading a picture: its digit, with ``--all`` its digits, or why it could not be read."""

NAME_WIDTH, NAME_MIN = 50, 20  # characters of the table's column of files
LOWEST_SHOWN = 0.0001  # of further answers: a smaller probability would be printed as 0.0000

Answer: TypeAlias = dict[str, Any]
"""What ``--json`` prints for a picture: the answer, with a ``reason`` if there is none, or an ``error``."""


def answer_of(file: Path, reading: "Outcome", sheet: "Sheet") -> Answer:
    """Return the answer for a picture, from what was read in it."""
    from lenet5_cli.pictures.lines import Text

    if isinstance(reading, LeNet5Error):
        return {"file": str(file), "error": str(reading)}
    answer = _of_text(reading, sheet) if isinstance(reading, Text) else _of_digit(reading, sheet)
    return {"file": str(file), **answer}


def is_refused(answer: Answer) -> bool:
    """Tell whether no digit was read."""
    return "error" in answer or "reason" in answer


def printer(sheet: "Sheet", top: int, *, every: bool, as_json: bool, as_csv: bool) -> Callable[[Answer], None]:
    """Return the function that prints an answer in the form of the options; a header comes before the first row."""
    if as_json:
        return lambda answer: click.echo(json.dumps(answer))
    return _to_csv(sheet.noun, every) if as_csv else _to_table(sheet, top, every)


def class_in_json(label: int, of: "Sheet | Tally") -> int | str:
    """Return a class as in JSON: the digits as numbers, others by name."""
    return label if of.noun == "digit" else of.names[label]


def _of_text(text: "Text", sheet: "Sheet") -> Answer:
    read = [
        {
            sheet.noun: class_in_json(each.digit, sheet),
            "probability": each.probability,
            "distance": each.distance,
            "box": each.box,
        }
        for row in text.rows
        for each in row
    ]
    return {"text": text.named(sheet.names), "digits": read} | ({} if read else {"reason": text.NO_DIGIT})


def _of_digit(reading: "Reading", sheet: "Sheet") -> Answer:
    answer: Answer = {sheet.noun: None if reading.digit is None else class_in_json(reading.digit, sheet)}
    if reading.digit is None:
        answer["reason"] = reading.reason
    if reading.candidates:
        distances, probabilities = reading.chosen.distances, reading.probabilities
        answer |= {
            "probability": float(probabilities.max()),
            "probabilities": probabilities.tolist(),
            "distance": float(distances.min()),
            "distances": distances.tolist(),
            "box": reading.box,
            "others": reading.chosen.others,
        }
    return answer


def _to_csv(noun: str, every: bool) -> Callable[[Answer], None]:
    """Print the header of the CSV, and return the function that prints a row a picture, or with ``every`` a digit.

    Names of files are as they are, but for what could control the terminal on which they are shown.
    """
    shown = printable if sys.stdout.isatty() else str
    edges = ("left", "top", "right", "bottom") if every else ()
    sys.stdout.write(_csv_line(["file", noun, "probability", "distance", *edges, "reason"]))

    def show(answer: Answer) -> None:
        error: str = answer.get("error", "")
        why = answer.get("reason") or error.removeprefix(f"{printable(answer['file'])}: ")
        if not why:
            _note_others(answer)
        for each in answer.get("digits") or [answer]:
            answered = each.get(noun)
            figures = [f"{each[name]:.4f}" if name in each else "" for name in ("probability", "distance")]
            box = each.get("box", [""] * len(edges)) if every else ()
            row = [shown(answer["file"]), "" if answered is None else answered, *figures, *box, why]
            sys.stdout.write(_csv_line(row))
        sys.stdout.flush()

    return show


def _csv_line(values: Iterable[Any]) -> str:
    """Return a line of CSV, with carriage returns quoted, which Python before 3.13 does not always do."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(values)
    return text.getvalue().removesuffix("\r\n") + "\n"


def _to_table(sheet: "Sheet", top: int, every: bool) -> Callable[[Answer], None]:
    """Return the function that prints the ``top`` answers of a picture, or with ``every`` its text, as rows."""
    width = max(map(_columns, (sheet.noun, *sheet.names)))
    head = "digits" if sheet.noun == "digit" else "characters"
    row = _rows(head if every else f"{sheet.noun:{width}}  probability", 17 + width)

    def show(answer: Answer) -> None:
        file = printable(answer["file"])
        if is_refused(answer):
            click.echo(answer.get("error") or f"{file}: no {sheet.noun}: {answer['reason']}", err=True)
            return
        if not every:
            _note_others(answer)
        lines = answer["text"].split("\n") if every else _best(answer["probabilities"], top, sheet.names, width)
        for place, line in enumerate(lines):
            row("" if place else file, line)

    return show


def _best(probabilities: list[float], top: int, names: Sequence[str], width: int) -> Iterator[str]:
    """Yield the ``top`` classes, each with its probability: the first, and those that would not be shown as 0."""
    order = sorted(range(len(probabilities)), key=lambda label: -probabilities[label])
    for place, label in enumerate(order[:top]):
        if not place or probabilities[label] >= LOWEST_SHOWN:
            yield f"{_cell(names[label], width)}  {probabilities[label]:.4f}"


def _note_others(answer: Answer) -> None:
    """Print a note if a picture has more digits than the answer, as the table and CSV have no column for this."""
    if others := answer.get("others"):
        click.echo(f"{printable(answer['file'])}: {others} more beside it; --all reads them", err=True)


def _rows(head: str, beside: int) -> Callable[[str, str], None]:
    """Return a function that prints a row of the table, and the header before the first."""
    screen = console() if sys.stdout.isatty() else None  # which takes long to import
    columns = screen.width if screen else shutil.get_terminal_size().columns
    width = max(NAME_MIN, min(NAME_WIDTH, columns - beside))
    printed = 0

    def row(file: str, answer: str) -> None:
        nonlocal printed
        if not printed:
            line = f"{'file':{width}}  {head}"
            click.echo(click.style(line, bold=True) if screen and screen.color_system else line)
        printed += 1
        click.echo(f"{_cell(file, width)}  {answer}")

    return row


def _columns(text: str) -> int:
    """Return the width of a text in columns of a terminal."""
    return sum(1 + (east_asian_width(character) in "WF") for character in text)


def _cell(name: str, width: int) -> str:
    """Fit a name to a number of columns: leave out the middle of a longer one, pad a shorter one with spaces."""
    cut, kept = name, min(len(name), width)
    while (spare := width - _columns(cut)) < 0:
        kept -= 1
        cut = f"{name[: kept // 2]}…{name[len(name) - (kept - kept // 2) :]}"
    return cut + spare * " "
