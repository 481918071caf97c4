"""``lenet5 eval``."""

import json
from typing import TYPE_CHECKING, Literal

import click

from lenet5_cli.commands.options import DATA_VARIABLE, FILE, bar, console, load, threads_option

if TYPE_CHECKING:
    from pathlib import Path

    from rich.table import Table

    from lenet5_cli.metrics import Tally


@click.command("eval")
@click.argument("model", type=FILE)
@click.option(
    "--data",
    metavar="NAME|FOLDER",
    envvar=DATA_VARIABLE,
    show_envvar=True,
    help="Data set or folder.  [default: what it was trained on]",
)
@click.option(
    "--split", type=click.Choice(["test", "train"]), default="test", show_default=True, help="Which part of it."
)
@threads_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
def evaluate(model: "Path", data: str | None, split: Literal["test", "train"], threads: int, as_json: bool) -> None:
    """Measure a checkpoint on a data set.

    Accuracy and mean loss, precision and recall of each digit, and which digits are taken for which.

    \b
    Examples:
      lenet5 eval model.pkl
      lenet5 eval model.pkl --data builtin --split train
      lenet5 eval model.pkl --json | jq .accuracy
    """
    from lenet5_cli import checkpoint, training
    from lenet5_cli.network import LeNet5

    saved = checkpoint.read(model)
    source = data or saved.data.get("name", "mnist")
    tally = training.evaluate(LeNet5.restore(saved), load(source, split), threads=threads, track=bar)
    if as_json:
        click.echo(json.dumps({"model": str(model), "data": source, "split": split, **_figures(tally)}))
        return
    low, high = tally.interval
    click.echo(f"{split} accuracy: {tally.accuracy:.4f} ({tally.right} of {tally.images})")
    click.echo(f"95 % interval: {low:.4f} to {high:.4f}\nloss: {tally.loss:.5f}")
    screen = console()
    screen.print(_digits(tally), _confusions(tally))


def _figures(tally: "Tally") -> dict[str, object]:
    return {
        "images": tally.images,
        "right": tally.right,
        "accuracy": tally.accuracy,
        "interval": list(tally.interval),
        "loss": tally.loss,
        "precision": tally.precision.tolist(),
        "recall": tally.recall.tolist(),
        "confusion": tally.confusion.tolist(),
    }


def _digits(tally: "Tally") -> "Table":
    from rich.table import Table

    table = Table("digit", "images", "precision", "recall", title="Each digit")
    for digit, (images, precision, recall) in enumerate(
        zip(tally.confusion.sum(axis=1), tally.precision, tally.recall, strict=True)
    ):
        table.add_row(str(digit), str(images), f"{precision:.4f}", f"{recall:.4f}")
    return table


def _confusions(tally: "Tally") -> "Table":
    from rich.table import Table

    table = Table("", *map(str, range(10)), title="Confusions: true digit down, answer across")
    for digit, row in enumerate(tally.confusion):
        cells = [f"[bold]{count}[/]" if answer == digit else str(count or "·") for answer, count in enumerate(row)]
        table.add_row(str(digit), *cells)
    return table
