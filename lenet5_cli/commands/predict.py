"""``lenet5 predict``."""

import os
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from copy import deepcopy
from itertools import islice
from pathlib import Path
from threading import local
from typing import TYPE_CHECKING, Any

import click

from lenet5_cli.commands.answers import Answer, answer_of, is_refused, printer
from lenet5_cli.commands.launch import agree, demand_command, joined
from lenet5_cli.commands.options import (
    FILE,
    MODEL,
    Integer,
    Named,
    Number,
    SharedCommand,
    UsageError,
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

    from lenet5_cli.commands.answers import Outcome
    from lenet5_cli.engine.network import Classifier
    from lenet5_cli.pictures.lines import Text
    from lenet5_cli.pictures.read import Reading
    from lenet5_cli.training.ranks import Ranks

DEFAULT_MODEL = Path("model.pkl")
STANDARD_INPUT = Path("-")
IMAGE_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}  # that --explain writes
AHEAD = 4  # pictures per thread that may be read before they are printed


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
        raise UsageError("--json and --csv are two forms of the same output; give one")
    if top > 1 and (every or as_json or as_csv):
        other = "--all" if every else "--csv" if as_csv else "--json, which has the probability of every class"
        raise UsageError(f"--top goes with the table of one digit per picture, not with {other}")
    if sources.count(STANDARD_INPUT) > 1:
        raise UsageError("- is given twice; standard input is a single picture")
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
            show = printer(network.sheet, top, every=every, as_json=as_json, as_csv=as_csv)
            refused = False
            for answer in _collected(files, answers, ranks):
                show(answer)
                refused |= is_refused(answer)
    if refused:
        ctx.exit(1)


def _reader(at: int, file: Path, ranks: "Ranks") -> int:
    """Return the rank that reads a file; only the leader has standard input."""
    return 0 if file == STANDARD_INPUT else at % ranks.size


def _collected(files: list[Path], own: Iterator[Answer], ranks: "Ranks") -> Iterator[Answer]:
    """Yield the answers for all files in order, from the leader and from the other ranks."""
    for at, file in enumerate(files):
        reader = _reader(at, file, ranks)
        yield ranks.collect(reader) if reader else next(own)


def _files(sources: Sequence[Path], recursive: bool) -> Iterator[Path]:
    """Yield the pictures that the arguments stand for, and each folder without any if it is one of several arguments.

    Reading such a folder then gives its error, and the others are read.
    """
    for source in sources:
        if not os.path.isdir(source):  # noqa: PTH112 - of what may not be looked at, it says so too
            yield source
            continue
        found = sorted(_listed(source, recursive))
        if not found and len(sources) > 1:
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
        raise UsageError(f"--explain {path}: expected a name that ends in {', '.join(IMAGE_FORMATS)}")
    if path and len(files) != 1:
        raise UsageError(f"--explain shows one picture; {len(files)} were given")
    if path and os.path.realpath(path) == os.path.realpath(files[0]):
        raise UsageError(f"--explain {path}: is the picture to read; give the output another name")


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


def _reading_with(network: "Classifier", rotate: int, every: bool) -> "Callable[[Path | bytes], Outcome]":
    """Return a function that reads a file, or its bytes, with a separate network in each thread."""
    from lenet5_cli.pictures.read import read, read_digits  # which says so where OpenCV is missing

    import cv2  # isort: skip

    read_one: Callable[..., Reading | Text] = read_digits if every else read
    own = local()

    def reading(source: Path | bytes) -> "Outcome":
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
) -> "Generator[tuple[Path, Outcome]]":
    """Read files on several threads, and yield the answers in order."""
    from concurrent.futures import ThreadPoolExecutor

    from threadpoolctl import threadpool_limits

    reading = _reading_with(network, rotate, every)

    def submit(file: Path) -> "tuple[Path, Future[Outcome]]":
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
    readings: "Iterable[tuple[Path, Outcome]]", explain: Path | None, network: "Classifier"
) -> Iterator[Answer]:
    """Yield the answer for each picture, and draw the explanation if one is asked for."""
    for file, reading in readings:
        if explain and not isinstance(reading, LeNet5Error):
            _explain(explain, reading, network, file)
        yield answer_of(file, reading, network.sheet)


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
