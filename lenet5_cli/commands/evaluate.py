"""``lenet5 eval``."""

import json
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lenet5_cli.commands.answers import class_in_json
from lenet5_cli.commands.launch import agree, demand_command, joined
from lenet5_cli.commands.options import (
    FILE,
    MODEL,
    Number,
    SharedCommand,
    UsageError,
    console,
    data_option,
    option,
    overwrite_option,
    plain,
    shifted_option,
    threads_of,
    threads_option,
    timeout_option,
)
from lenet5_cli.commands.outputs import data_read, demand_plot, refuse_existing, refuse_read, refuse_shared, say_written
from lenet5_cli.commands.progress import bar
from lenet5_cli.commands.reading import data_of, load, model_name, note_as_is, note_trained_on, read_models
from lenet5_cli.export import TARGETS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

    from lenet5_cli.data.sources import Split
    from lenet5_cli.engine.network import LeNet5
    from lenet5_cli.training.metrics import Rejection, Tally
    from lenet5_cli.training.step import Score

DRAWN = 200  # wrong answers, at most
COVERAGES = (1, 0.999, 0.995, 0.99, 0.98, 0.95, 0.9, 0.8)  # of --reject: fractions of the images answered
PAIRS = 5  # of confused classes that are shown
MATRIX = 20  # classes up to which the confusion matrix is printed: a larger one does not fit on 80 columns
TAKEN_FOR = 3  # the most frequent wrong answers that are shown for each class instead

# The style of a confusion below each fraction of the digit's images. Colour-blind people can tell blue and orange
# apart; as text and background are both set, they are readable on light and dark terminals.
HEAT = {
    0.003: "#000000 on #fff3c4",
    0.01: "#000000 on #fdc871",
    0.03: "#000000 on #f08c2e",
    inf: "#ffffff on #a02800",
}
RIGHT = "bold #ffffff on #003c9e"


@click.command("eval", cls=SharedCommand)
@click.argument("models", type=MODEL, metavar="MODEL|bundled...", nargs=-1, required=True)
@data_option
@option(
    "--split",
    group="Data",
    type=click.Choice(["test", "train", "test50k"]),
    default="test",
    show_default=True,
    help="Training or test images; for qmnist also test50k, the test images not in MNIST.",
)
@option(
    "--test-fraction",
    group="Data",
    type=Number(0, 1),
    metavar="FRACTION",
    help="Test fraction of data that has no test split; 1: all.  [default: as in training]",
)
@option(
    "--type",
    "kind",
    group="Main",
    type=click.Choice(TARGETS["hex"].types),
    help="Compute in integers, as the exports c and hex do.",
)
@shifted_option
@threads_option
@timeout_option
@option("--reject", group="Output", is_flag=True, help="Show the error when images far from every glyph are refused.")
@option("--json", "as_json", group="Output", is_flag=True, help="Print one JSON object instead of tables.")
@option("--plot", group="Output", type=FILE, help="Draw confusion matrix and calibration (needs matplotlib).")
@option("--errors", group="Output", type=FILE, help=f"Draw the {DRAWN} worst wrong answers (needs matplotlib).")
@overwrite_option
def evaluate(
    models: tuple[Path, ...],
    data: str | None,
    split: str,
    test_fraction: float | None,
    kind: str | None,
    shifted: bool,
    threads: int,
    timeout: float,
    reject: bool,
    as_json: bool,
    plot: Path | None,
    errors: Path | None,
    overwrite: bool,
) -> None:
    """Evaluate one or more checkpoints on a data set.

    Several models average their probabilities; with --shifted, they also average over nine shifts of each image. The
    default of --data is what the first was trained on.

    Shows accuracy, mean loss, precision, recall and F1 of each class, and the most frequent confusions. The calibration
    error is the mean gap between probability and accuracy. --reject adds the error on the images that are answered when
    those farthest from every glyph are refused; coverage is the fraction of images answered.

    \b
    Examples:
      lenet5 eval model.pkl
      lenet5 eval bundled
      lenet5 eval model.pkl --data builtin --split train
      lenet5 eval model.pkl --plot confusion.png --errors errors.png
      lenet5 eval bundled --reject
      lenet5 eval a.pkl b.pkl c.pkl
      lenet5 eval model.pkl --shifted
      lenet5 eval model.pkl --type int8
      lenet5 eval model.pkl --json | jq .accuracy
    """
    from lenet5_cli.engine.committee import Committee, together
    from lenet5_cli.training.loop import evaluate as measure

    if kind and (shifted or len(models) > 1):
        other = "with --shifted" if shifted else "with several models"
        raise UsageError(f"--type evaluates a single exported model; leave it out {other}")
    with joined(timeout) as ranks:
        demand_command(ranks, "eval")
        if ranks.leader:
            _demand_places(plot, errors, overwrite)
        names = [model_name(model) for model in models]
        networks, saved = ranks.share(lambda: read_models(models))
        classifier = together(networks, names, shifted=shifted)
        where = data_of(saved[0], data, test_fraction=test_fraction)
        if ranks.leader:
            refuse_read([*(("MODEL", model) for model in models), *data_read(where.data)], plot, errors)
            note_as_is(where.as_is, saved, where.data)
        images = ranks.led(lambda: load(where, split, classifier.names))
        if ranks.leader and split == "test":
            note_trained_on(saved, where, images)  # which loads more
        agree(ranks, **{split: images})
        count = partial(measure, data=images, threads=threads_of(ranks, threads), ranks=ranks, track=bar)
        # As a committee of one, so that all losses in the table are the cross-entropy.
        each = [count(Committee([network])) for network in networks] if networks[1:] else []
        tally = count(classifier, keep=DRAWN if errors else 0, score=_integers(networks[0], kind) if kind else None)
        if not ranks.leader:
            return
        if as_json:
            how = {"type": kind} if kind else {"shifted": True} if shifted else {}
            facts = {"data": where.data, "split": split, **how}
            refusals = {"reject": _refusals(tally, classifier.threshold)} if reject else {}
            click.echo(json.dumps({**_models(names, each), **facts, **_figures(tally), **refusals}))
        else:
            _show_models(names, each)
            _show(tally, split)
            if reject:
                _show_refusals(tally, classifier.threshold, len(models))
        _draw(tally, images, plot, errors)
        say_written(plot, errors)


def _demand_places(plot: Path | None, errors: Path | None, overwrite: bool) -> None:
    """Check that plots can be drawn and written."""
    refuse_shared(plot, errors)
    refuse_existing(overwrite, plot, errors)
    demand_plot("--plot", plot)
    demand_plot("--errors", errors)


def _integers(network: "LeNet5", kind: str) -> "Score":
    """Return a function that computes the scores in integers, as an export of this type does."""
    from lenet5_cli.export.fixed import FixedPoint

    return FixedPoint(network, kind).scores


def _draw(tally: "Tally", split: "Split", plot: Path | None, errors: Path | None) -> None:
    """Draw the plots of the options."""
    if plot or errors:
        from lenet5_cli.reports import figures

        if plot:
            figures.evaluation(tally, plot)
        if errors:
            worst = tally.worst.images
            places = [split.places[at] for at in worst.tolist()] if split.places else ()
            figures.errors(split.images[worst], tally.worst, tally, errors, places)


def _models(names: list[str], each: "list[Tally]") -> dict[str, Any]:
    """Return the name of the model; of several, the results of each alone."""
    if not each:
        return {"model": names[0]}
    kept = ("right", "accuracy", "interval", "loss")
    alone = [{name: figure for name, figure in _figures(tally).items() if name in kept} for tally in each]
    return {"models": [{"model": name, **figures} for name, figures in zip(names, alone, strict=True)]}


def _show_models(names: list[str], each: "list[Tally]") -> None:
    """Print a table of the results of each model alone, if there are several."""
    if not each:
        return
    screen = console()
    table = _table(screen, "model", "accuracy", "95 % interval", "loss", title="Each model alone")
    table.columns[0].justify, table.columns[0].overflow, table.columns[0].no_wrap = "left", "fold", False
    for name, tally in zip(names, each, strict=True):
        low, high = tally.interval
        table.add_row(plain(screen, name), f"{tally.accuracy:.4f}", f"{low:.4f} to {high:.4f}", f"{tally.loss:.5f}")
    screen.print(table)
    click.echo(f"Average of the {len(each)} models' probabilities:")


def _figures(tally: "Tally") -> dict[str, Any]:
    of = tally.confusion.sum(axis=1).tolist()
    return {
        "images": tally.images,
        "right": tally.right,
        "accuracy": tally.accuracy,
        "interval": list(tally.interval),
        "loss": tally.loss,
        "precision": tally.precision.tolist(),
        "recall": tally.recall.tolist(),
        "f1": tally.f1.tolist(),
        "classes": list(tally.names),
        "confusion": tally.confusion.tolist(),
        "confused": [
            {
                tally.noun: class_in_json(label, tally),
                "answer": class_in_json(answer, tally),
                "count": count,
                "of": of[label],
            }
            for label, answer, count in tally.confused
        ],
        "calibration": {"error": tally.calibration_error, "bins": list(_bins(tally))},
    }


def _bins(tally: "Tally") -> "Iterator[dict[str, Any]]":
    """Yield the bins of confidence that are not empty."""
    count = tally.bins.shape[1]
    for number, (images, right, confidence) in enumerate(tally.bins.T.tolist()):
        if images:
            yield {
                "above": number / count,
                "to": (number + 1) / count,
                "images": int(images),
                "accuracy": right / images,
                "confidence": confidence / images,
            }


def _refusals(tally: "Tally", threshold: float | None) -> dict[str, Any]:
    """Return the results of ``--reject``: a curve over coverages, and the point at the model's threshold, if any."""
    import numpy as np

    def point(refusal: "Rejection") -> dict[str, Any]:
        return {"coverage": refusal.coverage, "error": refusal.error, **refusal._asdict()}

    own = None if threshold is None else point(tally.refusing(np.array([threshold]))[0])
    return {"model": own, "curve": [point(refusal) for refusal in dict.fromkeys(tally.covering(np.array(COVERAGES)))]}


def _show_refusals(tally: "Tally", threshold: float | None, models: int) -> None:
    found, screen = _refusals(tally, threshold), console()
    title = "Refusing what is far from every glyph"
    table = _table(screen, "coverage", "distance up to", "answered", "wrong", "error", title=title)
    for point in found["curve"]:
        cells = (f"{point['coverage']:.4f}", f"{point['threshold']:.2f}", str(point["accepted"]), str(point["wrong"]))
        table.add_row(*cells, f"{point['error']:.4f}")
    screen.print(table)
    if own := found["model"]:
        click.echo(
            f"At the model's own threshold, {own['threshold']:.2f}, {own['accepted']} of {own['images']} images are"
            f" answered, {own['wrong']} of them wrongly ({own['error']:.4f})."
        )
    else:
        one = "The model has no threshold of its own: it was trained without --validation."
        click.echo(
            one if models == 1 else "The models share no threshold: one of them was trained without --validation."
        )


def _show(tally: "Tally", split: str) -> None:
    low, high = tally.interval
    click.echo(f"{split} accuracy: {tally.accuracy:.4f} ({tally.right} of {tally.images})")
    click.echo(f"95 % interval: {low:.4f} to {high:.4f}\nloss: {tally.loss:.5f}")
    click.echo(f"calibration error: {tally.calibration_error:.4f}")
    screen = console()
    screen.print(_classes(screen, tally))
    if len(tally.names) <= MATRIX:
        screen.print(*_confusions(screen, tally))
        if screen.color_system and not screen.no_color:
            screen.print(_legend(tally))
    of = tally.confusion.sum(axis=1)
    for label, answer, count in tally.confused[:PAIRS]:
        read = f"{tally.names[label]} read as {tally.names[answer]}"
        share = f"{count / of[label]:.2%}".replace("%", " %")
        screen.print(plain(screen, f"{read}: {count} of {of[label]} ({share})"), soft_wrap=True)


def _classes(screen: "Console", tally: "Tally") -> "Table":
    """Return a row for each class; without a confusion matrix, with its most frequent wrong answers."""
    wide = len(tally.names) > MATRIX
    headers = [tally.noun, "images", "precision", "recall", "F1", *(["taken for"] if wide else [])]
    table = _table(screen, *headers, title=f"Each {tally.noun}")
    if max(map(len, tally.names)) > 1:  # else a narrow terminal would leave out the names
        table.columns[0].no_wrap, table.columns[0].overflow = False, "fold"
    answers, images = tally.confusion.sum(axis=0), tally.confusion.sum(axis=1)
    columns = ((tally.precision, answers), (tally.recall, images), (tally.f1, answers + images))
    for label, name in enumerate(tally.names):
        ratios = [f"{ratio[label]:.4f}" if of[label] else "-" for ratio, of in columns]  # of nothing, there is none
        cells = [name, str(images[label]), *ratios, *([_taken_for(tally, label)] if wide else [])]
        table.add_row(*(plain(screen, cell) for cell in cells))
    if wide:
        table.columns[-1].justify, table.columns[-1].no_wrap = "left", False
    return table


def _taken_for(tally: "Tally", label: int) -> str:
    """Return the most frequent wrong answers to a class, with their counts."""
    wrong = [f"{tally.names[answer]} {count}" for true, answer, count in tally.confused if true == label]
    return ", ".join(wrong[:TAKEN_FOR]) + (", ..." if len(wrong) > TAKEN_FOR else "")


def _confusions(screen: "Console", tally: "Tally") -> "Iterator[Table]":
    """Yield the confusion matrix, split into several tables if the terminal is too narrow."""
    from rich.padding import Padding
    from rich.text import Text

    of = tally.confusion.sum(axis=1)
    names = [plain(screen, name) for name in tally.names]
    widths = [max(names[k].cell_len, len(str(most))) for k, most in enumerate(tally.confusion.max(axis=0))]
    none = "." if screen.options.ascii_only else "·"
    title = f"Confusions: true {tally.noun} down, answer across"
    longest = max(name.cell_len for name in names)
    for answers in _parts([width + 3 for width in widths], screen.width - 4 - longest):
        table = _table(screen, "", *(Padding(names[answer], (0, 1)) for answer in answers), title=title, padding=0)
        for label, row in enumerate(tally.confusion):
            cells = []
            for answer in answers:
                heat = RIGHT if answer == label else _heat(row[answer] / max(of[label], 1))
                count = Text(str(row[answer] or none), justify="right")
                cells.append(Padding(count, (0, 1), style=heat if row[answer] else ""))
            table.add_row(Padding(names[label], (0, 1)), *cells)
        yield table
        title = ""


def _parts(widths: list[int], room: int) -> list[range]:
    """Split columns into groups that fit a width, of at least one column each."""
    parts, start = [], 0
    for column in range(1, len(widths) + 1):
        if column == len(widths) or sum(widths[start : column + 1]) > room:
            parts.append(range(start, column))
            start = column
    return parts


def _heat(fraction: float) -> str:
    return next(style for bound, style in HEAT.items() if fraction < bound)


def _legend(tally: "Tally") -> "Text":
    from rich.text import Text

    legend = Text(f"fraction of the {tally.noun}'s images: ")
    for bound, style in HEAT.items():
        legend.append(f" <{bound:.1%} " if bound < 1 else " more ", style)
    return legend


def _table(screen: "Console", *headers: "RenderableType", title: str, padding: int = 1) -> "Table":
    """Return a table of numbers, without borders where there is no room for them."""
    from rich import box
    from rich.table import Column, Table

    columns = (Column(header, justify="right", no_wrap=True) for header in headers)
    if screen.width < 60:
        return Table(*columns, title=title, box=None, padding=(0, padding, 0, 0), pad_edge=False)
    wide = min(len(title), screen.width)  # a narrower table would fold its title
    return Table(*columns, title=title, box=box.HEAVY_HEAD, padding=(0, padding), min_width=wide)
