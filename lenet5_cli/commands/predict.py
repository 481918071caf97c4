"""``lenet5 predict``."""

import csv
import io
import json
import os
import shutil
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from copy import deepcopy
from itertools import islice
from pathlib import Path
from threading import local
from typing import TYPE_CHECKING, Any
from unicodedata import east_asian_width

import click

from lenet5_cli.commands.launch import agree, demand_command, joined
from lenet5_cli.commands.options import (
    FILE,
    MODEL,
    Integer,
    Named,
    Number,
    SharedCommand,
    console,
    option,
    overwrite_option,
    shifted_option,
    threads_of,
    threads_option,
    timeout_option,
)
from lenet5_cli.commands.outputs import refuse_existing
from lenet5_cli.commands.progress import NoBar, progress
from lenet5_cli.commands.reading import model_name, note_as_is, read_models
from lenet5_cli.errors import LeNet5Error, printable
from lenet5_cli.files import BUNDLED_MODEL, PICTURE_LIMIT, unreadable

if TYPE_CHECKING:
    from concurrent.futures import Future

    from lenet5_cli.data.glyphs import Sheet
    from lenet5_cli.engine.network import Classifier
    from lenet5_cli.pictures.lines import Digit, Text
    from lenet5_cli.pictures.read import Reading
    from lenet5_cli.training.ranks import Ranks

DEFAULT_MODEL = Path("model.pkl")
STANDARD_INPUT = Path("-")
IMAGE_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}  # that --explain writes
AHEAD = 4  # pictures per thread that may be read before they are printed
NAME_WIDTH, NAME_MIN = 50, 20  # characters of the table's column of files
LOWEST_SHOWN = 0.0001  # of further answers: a smaller probability would be printed as 0.0000


class Source(Named):
    """A picture, a folder, or - for standard input; ``./-`` is a file named -, though pathlib drops the ``./``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path."""
        path = super().convert(value, param, ctx)
        return path.absolute() if path == STANDARD_INPUT and value != "-" else path


@click.command(cls=SharedCommand)
@click.argument(
    "sources", metavar="PICTURE|FOLDER|-...", type=Source("a picture, a folder or -"), nargs=-1, required=True
)
@option(
    "--model",
    "models",
    group="Main",
    type=MODEL,
    multiple=True,
    metavar="FILE|bundled",
    help="Checkpoint to read with; several average their probabilities.  "
    "[default: model.pkl if it is here, else the bundled model]",
)
@option("--all", "every", group="Main", is_flag=True, help="Read every digit, row by row, instead of one per picture.")
@option("--recursive", group="Data", is_flag=True, help="Search subfolders too.")
@option(
    "--rotate",
    group="Data",
    type=click.Choice(["0", "90", "180", "270"]),
    default="0",
    help="Degrees to turn each picture clockwise, after its EXIF orientation is applied.",
)
@option(
    "--accept",
    group="Main",
    type=Number(0, 1),
    metavar="Q",
    help="Refuse what is farther from every glyph than this fraction of the validation images; "
    "1 refuses nothing.  [default: 0.995]",
)
@shifted_option
@option(
    "--top",
    group="Output",
    type=Integer(min=1),
    metavar="N",
    default=1,
    show_default=True,
    help="Show up to this many answers per picture, those above 0.0001.",
)
@option(
    "--explain",
    group="Output",
    type=FILE,
    metavar="IMAGE",
    help="Draw what the network saw in the picture, and describe it.",
)
@overwrite_option
@threads_option
@timeout_option
@option("--json", "as_json", group="Output", is_flag=True, help="Print one JSON object per picture instead of a table.")
@option(
    "--csv",
    "as_csv",
    group="Output",
    is_flag=True,
    help="Print CSV: file, digit (or class), probability, distance, with --all the edges of its box, reason.",
)
@click.pass_context
def predict(
    ctx: click.Context,
    sources: tuple[Path, ...],
    models: tuple[Path, ...],
    every: bool,
    recursive: bool,
    rotate: str,
    accept: float | None,
    shifted: bool,
    top: int,
    explain: Path | None,
    overwrite: bool,
    threads: int,
    timeout: float,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Read the digit in each picture, or with --all every digit.

    Takes photos, scans and drawings of any size, dark on light or light on dark. A folder stands for every picture in
    it, - for standard input. If a picture or folder cannot be read, or a picture shows no digit, a line says why, and
    the exit code is 1.

    \b
    Examples:
      lenet5 predict digit.png
      lenet5 predict --top 3 scans/
      lenet5 predict --all form.jpg
      lenet5 predict --model a.pkl --model b.pkl digit.png
      lenet5 predict --explain seen.png photo.jpg
      curl -s https://example.org/digit.png | lenet5 predict --json -
    """
    if as_json and as_csv:
        raise click.UsageError("--json and --csv are two forms of the same output; give one")
    if top > 1 and (every or as_json or as_csv):
        other = "--all" if every else "--csv" if as_csv else "--json, which has the probability of every class"
        raise click.UsageError(f"--top goes with the table of one digit per picture, not with {other}")
    if sources.count(STANDARD_INPUT) > 1:
        raise click.UsageError("- is given twice; standard input is a single picture")
    with joined(timeout) as ranks:
        demand_command(ranks, "predict")

        def begin() -> "tuple[list[Path], Classifier]":
            files = list(_files(sources, recursive))
            _check_explain(explain, files)
            refuse_existing(overwrite, explain)
            return files, _classifier(models, accept, shifted)

        files, network = ranks.share(begin)
        agree(ranks)
        own = [file for at, file in enumerate(files) if _reader(at, file, ranks) == ranks.rank]
        with closing(_readings(network, own, threads_of(ranks, threads), int(rotate), every)) as readings:
            answers = _answers(readings, explain, network)
            if not ranks.leader:
                for answer in answers:
                    ranks.report(answer)
                return
            refused = _print(_collected(files, answers, ranks), network, top, every, as_json, as_csv)
    if refused:
        ctx.exit(1)


def _reader(at: int, file: Path, ranks: "Ranks") -> int:
    """Return the rank that reads a file; only the leader has standard input."""
    return 0 if file == STANDARD_INPUT else at % ranks.size


def _collected(files: list[Path], own: Iterator[dict[str, Any]], ranks: "Ranks") -> Iterator[dict[str, Any]]:
    """Yield the answers for all files in order, from the leader and from the other ranks."""
    for at, file in enumerate(files):
        reader = _reader(at, file, ranks)
        yield ranks.collect(reader) if reader else next(own)


def _print(
    answers: Iterable[dict[str, Any]], network: "Classifier", top: int, every: bool, as_json: bool, as_csv: bool
) -> int:
    """Print the answers; return how many pictures showed no digit."""
    if as_json:
        return _print_lines(answers)
    if as_csv:
        return _print_csv(answers, network.sheet.noun, every)
    return _print_table(answers, top, network.sheet, every)


def _files(sources: Sequence[Path], recursive: bool) -> Iterator[Path]:
    for source in sources:
        if not os.path.isdir(source):  # noqa: PTH112 - of what may not be looked at, it says so too
            yield source
            continue
        found = sorted(_listed(source, recursive))
        if not found and len(sources) > 1:  # go on with the others
            yield source
        elif not found:
            deeper = "" if recursive else "; --recursive searches its subfolders too"
            raise LeNet5Error(f"{source}: no pictures in this folder{deeper}")
        yield from found


def _listed(folder: Path, recursive: bool) -> Iterator[Path]:
    """Yield the pictures in a folder, with ``recursive`` also in its subfolders, and folders that cannot be listed."""
    from lenet5_cli.data.folders import is_picture, of_system  # not needed for a single picture

    unlisted: list[OSError] = []
    for parent, folders, names in os.walk(folder, onerror=unlisted.append):
        yield from (Path(parent, name) for name in names if is_picture(name))
        folders[:] = [name for name in folders if not of_system(name)]
        if not recursive:
            break
    yield from (Path(error.filename or folder) for error in unlisted)


def _without_picture(folder: Path) -> LeNet5Error | None:
    """Return why a folder given among pictures yields none: it cannot be listed, or has none; None for a file."""
    if not os.path.isdir(folder):  # noqa: PTH112 - as above
        return None
    try:
        os.scandir(folder).close()
    except OSError as error:
        return unreadable(folder, error)
    return LeNet5Error(f"{folder}: no pictures in this folder")


def _check_explain(path: Path | None, files: list[Path]) -> None:
    if path and path.suffix.lower() not in IMAGE_FORMATS:
        raise click.UsageError(printable(f"--explain {path}: expected a name that ends in {', '.join(IMAGE_FORMATS)}"))
    if path and len(files) != 1:
        raise click.UsageError(f"--explain shows one picture; {len(files)} were given")
    if path and os.path.realpath(path) == os.path.realpath(files[0]):
        raise click.UsageError(printable(f"--explain {path}: is the picture to read; give the output another name"))


def _classifier(models: tuple[Path, ...], accept: float | None, shifted: bool) -> "Classifier":
    """Return the network of the given checkpoints, of ``./model.pkl`` or of the bundled model, and print which."""
    from lenet5_cli.engine.committee import together

    found = not models and DEFAULT_MODEL.exists()
    paths = models or (DEFAULT_MODEL if found else BUNDLED_MODEL,)
    names = [model_name(path) for path in paths]
    try:
        networks, saved = read_models(paths)
    except LeNet5Error as error:
        raise LeNet5Error(f"{error}; --model bundled reads with the bundled model") if found else error from None
    classifier = together(networks, names, shifted=shifted)
    said = ", ".join("the bundled model" if path == BUNDLED_MODEL else printable(model_name(path)) for path in paths)
    if found:
        last = saved[0].history[-1] if saved[0].history else None
        reached = f", training accuracy {last.accuracy:.4f}" if last else ""
        said += f"{reached}; --model bundled reads with the bundled model"
    click.echo(f"Reading with {said}.", err=True)
    note_as_is(classifier.config.as_is, saved)
    for name, network in zip(names, networks, strict=True):
        if accept is not None and accept < 1 and network.distances is None:
            raise LeNet5Error(f"{name}: has no distances of validation images, which --accept needs; leave it out")
    classifier.accept = classifier.accept if accept is None else accept
    return classifier


def _reading_with(
    network: "Classifier", rotate: int, every: bool
) -> "Callable[[Path | bytes], Reading | Text | LeNet5Error]":
    """Return a function that reads a file, or its bytes, with a separate network in each thread."""
    from lenet5_cli.pictures.read import read, read_digits  # which says so where OpenCV is missing

    import cv2  # isort: skip

    read_one: Callable[..., Reading | Text] = read_digits if every else read
    own = local()

    def reading(source: Path | bytes) -> "Reading | Text | LeNet5Error":
        if not hasattr(own, "network"):
            own.network = deepcopy(network)
        name = "standard input" if isinstance(source, bytes) else None
        try:
            return read_one(source, own.network, name=name, rotate=rotate)
        except LeNet5Error as error:
            return (isinstance(source, Path) and _without_picture(source)) or error
        except cv2.error as error:
            if "bad_alloc" in str(error) or "Insufficient memory" in str(error):
                raise MemoryError from None
            raise

    return reading


def _readings(
    network: "Classifier", files: list[Path], threads: int, rotate: int, every: bool
) -> "Generator[tuple[Path, Reading | Text | LeNet5Error]]":
    """Read files on several threads, and yield the answers in order."""
    from concurrent.futures import ThreadPoolExecutor

    from threadpoolctl import threadpool_limits

    reading = _reading_with(network, rotate, every)

    def submit(file: Path) -> "tuple[Path, Future[Reading | Text | LeNet5Error]]":
        # Standard input is read here, because Ctrl-C would not interrupt a thread of the pool.
        source = sys.stdin.buffer.read(PICTURE_LIMIT + 1) if file == STANDARD_INPUT else file
        try:
            return file, pool.submit(reading, source)
        except RuntimeError:  # the system starts no thread: it has no memory for its stack
            raise MemoryError from None

    pool = ThreadPoolExecutor(max(1, min(threads, len(files))))
    drawn = {"leave": False, "delay": 0.5, "mininterval": 0, "miniters": 1}  # anew after each row, which takes its line
    several = {"total": len(files), "desc": "read", "unit": " pictures", **drawn}
    with progress(**several) if len(files) > 1 else NoBar() as bar:
        try:
            with threadpool_limits(1, "blas"):
                rest = iter(files)
                waiting = deque(map(submit, islice(rest, AHEAD * threads)))
                while waiting:
                    file, future = waiting.popleft()
                    waiting.extend(map(submit, islice(rest, 1)))
                    result = future.result()
                    bar.clear()  # what is printed of it begins a line
                    yield file, result
                    bar.update()
        except BaseException:
            pool.shutdown(
                wait=False, cancel_futures=True
            )  # if the command ends early, do not wait for running pictures
            raise
        pool.shutdown()


def _answers(
    readings: "Iterable[tuple[Path, Reading | Text | LeNet5Error]]", explain: Path | None, network: "Classifier"
) -> Iterator[dict[str, Any]]:
    """Yield the object that ``--json`` prints for each picture: the answer, why there is none, or the error."""
    from lenet5_cli.pictures.lines import Text

    for file, reading in readings:
        if isinstance(reading, LeNet5Error):
            yield {"file": str(file), "error": str(reading)}
            continue
        if explain:
            _explain(explain, reading, network, file)
        sheet = network.sheet
        answer = _text_answer(reading, sheet) if isinstance(reading, Text) else _answer(reading, sheet)
        yield {"file": str(file), **answer}


def _named(sheet: "Sheet", label: int | None) -> int | str | None:
    """Return a class as in JSON: the digits as numbers, others by name."""
    return label if label is None or sheet.noun == "digit" else sheet.names[label]


def _text_answer(text: "Text", sheet: "Sheet") -> dict[str, Any]:
    read = [{sheet.noun: _named(sheet, each.digit), **_measures(each)} for row in text.rows for each in row]
    return {"text": text.named(sheet.names), "digits": read} | ({} if read else {"reason": text.NO_DIGIT})


def _measures(digit: "Digit") -> dict[str, Any]:
    return {name: value for name, value in digit._asdict().items() if name != "digit"}


def _answer(reading: "Reading", sheet: "Sheet") -> dict[str, Any]:
    answer: dict[str, Any] = {sheet.noun: _named(sheet, reading.digit)}
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


def _explain(path: Path, reading: "Reading | Text", network: "Classifier", file: Path) -> None:
    from lenet5_cli.files import replacing
    from lenet5_cli.pictures.lines import Text
    from lenet5_cli.reports import explanation

    if not (reading.rows if isinstance(reading, Text) else reading.candidates):
        click.echo(printable(f"{path}: not written"), err=True)
        return
    if isinstance(reading, Text):
        words = explanation.text_in_words(reading, network.names)
        image = explanation.draw_text(reading, network.names)
    else:
        as_is = network.config.as_is
        words = explanation.in_words(reading, network.names, as_is=as_is)
        image = explanation.draw(reading, network.sheet, printable(f"{file}: {words}"), as_is=as_is)
    click.echo(printable(f"{file}: {words}"), err=True)
    with replacing(path) as picture:
        image.save(picture, format=IMAGE_FORMATS[path.suffix.lower()])


def _print_lines(answers: Iterable[dict[str, Any]]) -> int:
    """Print an object for each picture; return how many had no digit."""
    refused = 0
    for answer in answers:
        click.echo(json.dumps(answer))
        refused += "error" in answer or "reason" in answer
    return refused


def _print_csv(answers: Iterable[dict[str, Any]], noun: str, every: bool) -> int:
    """Print a row a picture, or a digit where every one is read; return how many pictures showed none.

    Names of files are as they are, but for what could control the terminal on which they are shown.
    """
    named = printable if sys.stdout.isatty() else str
    edges = ("left", "top", "right", "bottom")
    sys.stdout.write(_csv_line(["file", noun, "probability", "distance", *(edges if every else ()), "reason"]))
    refused = 0
    for answer in answers:
        why = answer.get("reason", answer.get("error", "")).removeprefix(f"{printable(answer['file'])}: ")
        if not why:
            _note_others(answer)
        for each in answer.get("digits") or [answer]:
            answered = each.get(noun)
            figures = [f"{each[name]:.4f}" if name in each else "" for name in ("probability", "distance")]
            box = each.get("box", [""] * len(edges)) if every else ()
            row = [named(answer["file"]), "" if answered is None else answered, *figures, *box, why]
            sys.stdout.write(_csv_line(row))
        sys.stdout.flush()
        refused += bool(why)
    return refused


def _note_others(answer: dict[str, Any]) -> None:
    """Print a note if a picture has more digits than the answer, as the table and CSV have no column for this."""
    if others := answer.get("others"):
        click.echo(f"{printable(answer['file'])}: {others} more beside it; --all reads them", err=True)


def _csv_line(values: Iterable[Any]) -> str:
    """Return a line of CSV, with carriage returns quoted, which Python before 3.13 does not always do."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(values)
    return text.getvalue().removesuffix("\r\n") + "\n"


def _print_table(answers: Iterable[dict[str, Any]], top: int, sheet: "Sheet", every: bool) -> int:
    """Print a row for each picture as soon as it is read; return how many had no digit."""
    refused = 0
    named = max(map(_columns, (sheet.noun, *sheet.names)))
    head = "digits" if sheet.noun == "digit" else "characters"
    row = _rows(head if every else f"{sheet.noun:{named}}  probability", 17 + named)
    for answer in answers:
        file = printable(answer["file"])
        if "error" in answer or "reason" in answer:
            refused += 1
            click.echo(answer.get("error") or f"{file}: no {sheet.noun}: {answer['reason']}", err=True)
            continue
        if every:
            for place, text in enumerate(answer["text"].split("\n")):
                row("" if place else file, text)
            continue
        _note_others(answer)
        order = sorted(range(len(answer["probabilities"])), key=lambda label: -answer["probabilities"][label])
        for place, label in enumerate(order[:top]):
            if not place or answer["probabilities"][label] >= LOWEST_SHOWN:
                row("" if place else file, f"{_cell(sheet.names[label], named)}  {answer['probabilities'][label]:.4f}")
    return refused


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
