"""``lenet5 compare``."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lenet5_cli.commands.options import (
    FILE,
    MODEL,
    GroupedCommand,
    UsageError,
    console,
    data_option,
    option,
    overwrite_option,
    threads_option,
)
from lenet5_cli.commands.outputs import data_read, demand_plot, refuse_existing, refuse_read, say_written
from lenet5_cli.commands.progress import bar
from lenet5_cli.commands.reading import data_of, load, model_name, note_as_is, note_glyphs, note_trained_on
from lenet5_cli.errors import LeNet5Error, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from rich.table import Table

    from lenet5_cli.config import Config
    from lenet5_cli.data.sources import Split
    from lenet5_cli.storage.checkpoint import Checkpoint

SHOWN = 20  # images on which the answers differ, at most
SIGNIFICANT = 0.05  # the usual significance level


@click.command(cls=GroupedCommand)
@click.argument("first", type=MODEL, metavar="MODEL|bundled")
@click.argument("second", type=MODEL, metavar="MODEL|bundled")
@data_option
@option(
    "--split",
    group="Data",
    type=click.Choice(["test", "train"]),
    default="test",
    show_default=True,
    help="Training or test images.",
)
@threads_option
@option("--json", "as_json", group="Output", is_flag=True, help="Print one JSON object instead of tables.")
@option("--plot", group="Output", type=FILE, help="Draw loss and accuracy of both trainings (needs matplotlib).")
@overwrite_option
def compare(
    first: Path,
    second: Path,
    data: str | None,
    split: str,
    threads: int,
    as_json: bool,
    plot: Path | None,
    overwrite: bool,
) -> None:
    """Compare two checkpoints on the same images.

    Shows the settings that differ, both accuracies, whether their difference is significant (McNemar's exact test), and
    the images on which the answers differ. The default of --data is what the first was trained on.

    \b
    Examples:
      lenet5 compare model.pkl bundled
      lenet5 compare a.pkl b.pkl --data builtin --plot both.png
    """
    refuse_existing(overwrite, plot)
    from lenet5_cli.reports import figures
    from lenet5_cli.storage import checkpoint

    demand_plot("--plot", plot)
    paths = (first, second)
    saved = [checkpoint.read(path) for path in paths]
    names = [model_name(path) for path in paths]
    if names[0] == names[1]:
        raise UsageError(f"{names[0]} is given twice; expected two checkpoints")
    where = data_of(saved[0], data)
    refuse_read([*(("MODEL", path) for path in paths), *data_read(where.data)], plot)
    found = _compared(saved, where, split, threads)
    facts = {"models": names, "settings": _differing(*saved), **found}
    histories = {name: each.history for name, each in zip(names, saved, strict=True)}
    if as_json:
        click.echo(json.dumps(facts))
    else:
        _show(facts)
    if plot and any(histories.values()):
        figures.histories(histories, plot)
    if plot:
        for name in [name for name, history in histories.items() if not history]:
            click.echo(printable(f"{name}: holds no training history; it is left out of {plot}"), err=True)
        say_written(plot if any(histories.values()) else None)


def _differing(first: "Checkpoint", second: "Checkpoint") -> dict[str, list[Any]]:
    """Return the settings that differ, each with its two values; None where a file does not hold it."""
    names = sorted({*first.config, *second.config})
    values = {name: [first.config.get(name), second.config.get(name)] for name in names}
    return {name: pair for name, pair in values.items() if pair[0] != pair[1]}


def _compared(saved: "list[Checkpoint]", data: "Config", split: str, threads: int) -> dict[str, Any]:
    from lenet5_cli.data.glyphs import difference
    from lenet5_cli.engine.network import LeNet5
    from lenet5_cli.training.loop import answers, demand_classes
    from lenet5_cli.training.metrics import mcnemar, wilson

    networks = [LeNet5.restore(each) for each in saved]
    note_glyphs(*saved)
    names = networks[0].names
    if networks[1].names != names:
        one, other = (model_name(Path(each.path)) for each in saved)
        there = f"{other}: {difference(networks[1].names, names, one)}"
        raise LeNet5Error(f"{there}; expected the same classes to compare them")
    images = load(data, split, names)
    demand_classes(networks[0], images)
    note_as_is(data.as_is, saved, data.data)
    if split == "test":
        note_trained_on(saved, data, images)
    labels = images.labels
    first, second = (answers(network, images, threads=threads, track=bar) for network in networks)
    rights = [int((found == labels).sum()) for found in (first, second)]
    alone = int(((first == labels) & (second != labels)).sum()), int(((first != labels) & (second == labels)).sum())
    return {
        "data": data.data,
        "split": split,
        "classes": names,
        "images": len(labels),
        "right": rights,
        "accuracy": [right / len(labels) for right in rights],
        "interval": [list(wilson(right, len(labels))) for right in rights],
        "right_alone": list(alone),
        "p": mcnemar(*alone),
        "differing": _answers_that_differ(images, first, second),
    }


def _answers_that_differ(
    images: "Split", one: "NDArray[np.integer]", other: "NDArray[np.integer]"
) -> list[dict[str, Any]]:
    """Return the images on which two answers differ: the place of each, its file or line if it has one, the answers."""
    return [
        {
            "index": at,
            **({"file": images.places[at]} if images.places else {}),
            "label": int(images.labels[at]),
            "first": int(one[at]),
            "second": int(other[at]),
        }
        for at in (one != other).nonzero()[0].tolist()
    ]


def _show(facts: dict[str, Any]) -> None:
    screen, names = console(), [printable(name) for name in facts["models"]]
    if facts["settings"]:
        table = _table("setting", *names)
        for name, values in facts["settings"].items():
            table.add_row(name, *("not set" if value is None else printable(str(value)) for value in values))
        screen.print(table)
    else:
        click.echo("The settings are the same.")
    counts = zip(names, facts["accuracy"], facts["right"], facts["interval"], strict=True)
    for name, accuracy, right, (low, high) in counts:
        of = f"({right} of {facts['images']}), 95 % interval {low:.4f} to {high:.4f}"
        click.echo(f"{facts['split']} accuracy of {name}: {accuracy:.4f} {of}")
    first, second = facts["right_alone"]
    click.echo(f"only one right: {names[0]} on {first} images, {names[1]} on {second}")
    chance = "significant at the 5 % level" if facts["p"] < SIGNIFICANT else "not significant at the 5 % level"
    value = f"p = {facts['p']:.3g}" if facts["p"] else "p < 1e-300"
    click.echo(f"McNemar's exact test: {value}; {chance}")
    _show_images(facts["differing"], names, facts["classes"])


def _show_images(differing: list[dict[str, Any]], names: list[str], classes: "Sequence[str]") -> None:
    if not differing:
        click.echo("Both give the same answer on every image.")
        return
    table = _table("image", "label", *names, title=f"Different answers: {len(differing)}")
    for image in differing[:SHOWN]:
        labels = (image[name] for name in ("label", "first", "second"))
        table.add_row(printable(str(image.get("file", image["index"]))), *(classes[label] for label in labels))
    console().print(table)
    if len(differing) > SHOWN:
        click.echo(f"The first {SHOWN} are shown; --json has all.")


def _table(*headers: str, title: str | None = None) -> "Table":
    """Return a table that folds what is too long for its columns."""
    from rich.table import Column, Table

    return Table(*(Column(header, overflow="fold") for header in headers), title=title)
