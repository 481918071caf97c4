"""``lenet5 predict``."""

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lenet5_cli.commands.options import FILE, console, overwrite_option, refuse_existing, threads_option
from lenet5_cli.errors import LeNet5Error, printable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lenet5_cli.engine.network import LeNet5
    from lenet5_cli.pictures.photo import Reading

DEFAULT_MODEL = Path("model.pkl")
STANDARD_INPUT = Path("-")
ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp")
TOGETHER = 64  # pictures in memory at a time
INPUT_LIMIT = 1 << 28  # bytes taken from standard input


@click.command()
@click.argument("sources", metavar="PICTURE|FOLDER|-...", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option(
    "--model", type=FILE, help="Checkpoint to read with.  [default: model.pkl if it is here, else the one in the box]"
)
@click.option("--recursive", is_flag=True, help="Look into the folders of a folder too.")
@click.option(
    "--top", type=click.IntRange(1, 10), default=1, show_default=True, help="Show this many answers a picture."
)
@click.option("--explain", type=FILE, metavar="PNG", help="Draw what the network saw in the picture, and say it.")
@overwrite_option
@threads_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a picture instead of a table.")
@click.pass_context
def predict(
    ctx: click.Context,
    sources: tuple[Path, ...],
    model: Path | None,
    recursive: bool,
    top: int,
    explain: Path | None,
    overwrite: bool,
    threads: int,
    as_json: bool,
) -> None:
    """Read the digit in each picture.

    Photos, scans and drawings, dark on light or light on dark, of any size; of a folder every picture in it; - is
    standard input. A picture that cannot be read gets a line that says why, and the exit code is then 1.

    \b
    Examples:
      lenet5 predict digit.png
      lenet5 predict --top 3 scans/
      lenet5 predict --explain seen.png photo.jpg
      curl -s https://example.org/digit.png | lenet5 predict --json -
    """
    files = list(_files(sources, recursive))
    if explain and len(files) != 1:
        raise click.UsageError(f"--explain shows one picture; {len(files)} were given")
    refuse_existing(overwrite, explain)
    network = _network(model)
    answers = _answers(network, files, threads, explain)
    refused = _print_lines(answers) if as_json else _print_table(answers, top)
    if refused:
        ctx.exit(1)


def _files(sources: Iterable[Path], recursive: bool) -> Iterator[Path]:
    for source in sources:
        if not source.is_dir():
            yield source
            continue
        entries = sorted(source.rglob("*") if recursive else source.iterdir())
        pictures = [entry for entry in entries if entry.name.lower().endswith(ENDINGS) and entry.is_file()]
        if not pictures:
            deeper = "" if recursive else "; --recursive looks into its folders too"
            raise LeNet5Error(f"{source}: no picture in this folder{deeper}")
        yield from pictures


def _network(model: Path | None) -> "LeNet5":
    from lenet5_cli.engine.network import LeNet5

    if not model and DEFAULT_MODEL.exists():
        model = DEFAULT_MODEL
    network = LeNet5.load(model)
    click.echo(f"Reading with {printable(str(model)) if model else 'the bundled model'}.", err=True)
    return network


def _answers(network: "LeNet5", files: list[Path], threads: int, explain: Path | None) -> Iterator[dict[str, Any]]:
    """Yield what ``--json`` prints of each picture: the answer, or the error."""
    import numpy as np
    from tqdm import tqdm

    from lenet5_cli.training.step import Step

    with (
        Step(network, threads) as step,
        tqdm(total=len(files), desc="read", unit="picture", leave=False, disable=None, delay=0.5) as bar,
    ):
        for start in range(0, len(files), TOGETHER):
            found = []
            for file in files[start : start + TOGETHER]:
                found.append((file, _found(file)))
                bar.update()
            pictures = [reading.image for _, reading in found if not isinstance(reading, LeNet5Error)]
            scores = iter(step.scores(np.stack(pictures)) if pictures else ())
            for file, reading in found:
                if isinstance(reading, LeNet5Error):
                    yield {"file": str(file), "error": str(reading)}
                    continue
                distances: NDArray[np.floating] = -next(scores)
                if explain:
                    _explain(explain, reading, distances, network, file)
                yield {"file": str(file), **_answer(distances), "others": reading.others}


def _answer(distances: "NDArray[np.floating]") -> dict[str, Any]:
    from lenet5_cli.engine.losses import softmax

    probabilities = softmax(-distances[None])[0]
    return {
        "digit": int(probabilities.argmax()),
        "probability": float(probabilities.max()),
        "probabilities": probabilities.tolist(),
        "distances": distances.tolist(),
    }


def _found(file: Path) -> "Reading | LeNet5Error":
    from io import BytesIO

    from lenet5_cli.pictures.photo import examine

    try:
        if file == STANDARD_INPUT:
            return examine(BytesIO(sys.stdin.buffer.read(INPUT_LIMIT)), "standard input")
        return examine(file)
    except LeNet5Error as error:
        return error


def _explain(path: Path, reading: "Reading", distances: "NDArray[np.floating]", network: "LeNet5", file: Path) -> None:
    from lenet5_cli.files import replacing
    from lenet5_cli.reports import explanation

    words = explanation.in_words(reading, distances)
    click.echo(printable(f"{file}: {words}"), err=True)
    image = explanation.draw(reading, distances, network.codes, printable(f"{file.name}: {words}"))
    with replacing(path) as picture:
        image.save(picture, format="PNG", optimize=True)


def _print_lines(answers: Iterable[dict[str, Any]]) -> int:
    """Print an object a picture; return how many could not be read."""
    refused = 0
    for answer in answers:
        click.echo(json.dumps(answer))
        refused += "error" in answer
    return refused


def _print_table(answers: Iterable[dict[str, Any]], top: int) -> int:
    """Print a table of the pictures that could be read, and why the others could not; return how many those are."""
    from rich.table import Table
    from rich.text import Text

    refused = 0
    table = Table("file", "digit", "probability")
    for answer in answers:
        if "error" in answer:
            refused += 1
            click.echo(answer["error"], err=True)
            continue
        if answer["others"]:
            click.echo(
                f"{printable(answer['file'])}: {answer['others'] + 1} digits or the like; the largest is read", err=True
            )
        order = sorted(range(10), key=lambda digit: -answer["probabilities"][digit])[:top]
        table.add_row(
            Text(printable(answer["file"])),
            "\n".join(str(digit) for digit in order),
            "\n".join(f"{answer['probabilities'][digit]:.4f}" for digit in order),
        )
    if table.row_count:
        console().print(table)
    return refused
