"""``lenet5 predict``."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lenet5_cli.commands.options import FILE, console, threads_option
from lenet5_cli.errors import LeNet5Error, printable

if TYPE_CHECKING:
    from lenet5_cli.network import LeNet5

DEFAULT_MODEL = Path("model.pkl")


@click.command()
@click.argument("pictures", metavar="PICTURE...", type=FILE, nargs=-1, required=True)
@click.option("--model", type=FILE, default=DEFAULT_MODEL, show_default=True, help="Checkpoint to read with.")
@click.option(
    "--top", type=click.IntRange(1, 10), default=1, show_default=True, help="Show this many answers a picture."
)
@threads_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a picture instead of a table.")
@click.pass_context
def predict(ctx: click.Context, pictures: tuple[Path, ...], model: Path, top: int, threads: int, as_json: bool) -> None:
    """Read the digit in each picture.

    Pictures may be dark on light or light on dark, of any size and format. A picture that cannot be read gets a line
    that says why, and the exit code is then 1.

    \b
    Examples:
      lenet5 predict digit.png
      lenet5 predict --top 3 scans/*.jpg
      lenet5 predict --model mnist.pkl --json digit.png
    """
    if model == DEFAULT_MODEL and not model.exists():
        raise LeNet5Error(f"{model}: no such file; lenet5 train makes it, or --model names another")
    from lenet5_cli.network import LeNet5

    network = LeNet5.load(model)
    answers = _answers(network, pictures, threads)
    if as_json:
        for answer in answers:
            click.echo(json.dumps(answer))
    else:
        _show(answers, top)
    if any("error" in answer for answer in answers):
        ctx.exit(1)


def _answers(network: "LeNet5", files: tuple[Path, ...], threads: int) -> list[dict[str, Any]]:
    """Return what ``--json`` prints of each picture: the answer, or the error."""
    import numpy as np

    from lenet5_cli.losses import softmax
    from lenet5_cli.photo import read_picture
    from lenet5_cli.workers import Workers

    answers: list[dict[str, Any]] = [{"file": str(file)} for file in files]
    pictures = []
    for file, answer in zip(files, answers, strict=True):
        try:
            pictures.append(read_picture(file))
        except LeNet5Error as error:
            answer["error"] = str(error)
    if not pictures:
        return answers
    with Workers(network, threads) as workers:
        scores = workers.scores(np.stack(pictures))
    read = [answer for answer in answers if "error" not in answer]
    for answer, distances, probabilities in zip(read, -scores, softmax(scores), strict=True):
        digit = int(probabilities.argmax())
        answer |= {
            "digit": digit,
            "probability": float(probabilities[digit]),
            "probabilities": probabilities.tolist(),
            "distances": distances.tolist(),
        }
    return answers


def _show(answers: list[dict[str, Any]], top: int) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("file", "digit", "probability")
    for answer in answers:
        if "error" in answer:
            click.echo(answer["error"], err=True)
            continue
        order = sorted(range(10), key=lambda digit: -answer["probabilities"][digit])[:top]
        table.add_row(
            Text(printable(answer["file"])),
            "\n".join(str(digit) for digit in order),
            "\n".join(f"{answer['probabilities'][digit]:.4f}" for digit in order),
        )
    if table.row_count:
        console().print(table)
