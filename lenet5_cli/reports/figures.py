"""Figures of a network, its training and its errors, drawn with matplotlib."""

import io
import logging
import warnings
from collections.abc import Mapping, Sequence
from math import ceil, isqrt, sqrt
from os.path import commonprefix, dirname
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unicodedata import east_asian_width

import numpy as np
from numpy.typing import NDArray

from lenet5_cli.data.glyphs import COLUMNS, ROWS, Sheet, closest, distances
from lenet5_cli.engine import Conv
from lenet5_cli.engine.einsum import Array
from lenet5_cli.engine.network import LeNet5
from lenet5_cli.errors import missing, printable
from lenet5_cli.files import replacing
from lenet5_cli.reports import BLUE, GREY, ORANGE, fonts, isolated
from lenet5_cli.storage.checkpoint import Epoch
from lenet5_cli.training.metrics import BINS, Tally, Wrong, wilson

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage
    from matplotlib.patches import Rectangle

    from lenet5_cli.training.search import Trial

AROUND_ZERO = ["#0b2c5f", "#3f6fae", "#9a9a9a", "#f0b45a", "#fff6cf"]  # grey is 0; ever lighter, so that grey shows it
DOTS = 150  # an inch
SHEET = 10  # wrong answers a row
BAR = 0.12  # inches: a distance among those to all glyphs
MIN_CELL = 0.55  # of a cell among ten classes: in smaller ones, numbers are too small to read
LETTER = 0.7  # of the font size: the width of a letter, rather wide than narrow
WIDE = "MWmw@%&+<=>…→"  # characters as wide as the font size, or nearly so
UPRIGHT = 6  # points: names that stand upright below bars
LEVEL = 2  # characters of a name that stands level below a matrix; longer ones stand upright
LABEL = 4  # characters of a class's name, at least; of a longer one, beginning and end, as classes may share either
PLACE = 18  # characters of the name of a picture's file below it, whose beginning and end tell it from others
LEGEND = 24  # characters of the name of a file in a legend
LEAST_ERROR = 1e-4  # where a logarithmic axis ends: none of ten thousand images held out
SEARCH = "lenet5 tune"  # title in the file of a plot of a search
SHOWN = 32  # maps of a layer, at most: beyond, kernels are too small to see and a picture takes minutes


def require(option: str) -> None:
    """Raise LeNet5Error where matplotlib, which an option needs, is missing."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it would tell of a home that cannot be written
    try:
        import matplotlib  # noqa: F401, PLC0415 - it is optional
    except ImportError as error:
        raise missing("matplotlib", error, "plot", instead=f"leave out {option}") from None


def writes(path: Path) -> bool:
    """Tell whether matplotlib writes files whose names end as this one does."""
    from matplotlib import backend_bases  # noqa: PLC0415 - it is optional

    return path.suffix.lower()[1:] in backend_bases.FigureCanvasBase.get_supported_filetypes()


def history(epochs: list[Epoch], path: Path) -> None:
    """Draw loss and accuracy over epochs, as the report's figure does.

    Here as in all pictures the file's ending says which format, and LeNet5Error is raised where it cannot be written.
    """
    figure = _figure(9, 3.6, layout="constrained")
    panels = figure.subplots(1, 2)
    numbers = [epoch.epoch for epoch in epochs]
    for panel, key, colour in zip(panels, ("loss", "accuracy"), (ORANGE, BLUE), strict=True):
        values = [getattr(epoch, key) for epoch in epochs]
        panel.plot(numbers, values, color=colour, marker="o", markersize=3, clip_on=False, label="training")
        panel.set(xlabel="epoch", ylabel=key, title=f"{key} on the training set")
        _count_along(panel)
        panel.grid(alpha=0.3)
    panels[0].set_ylim(bottom=0)
    accuracies = [epoch.accuracy for epoch in epochs]
    validated = [np.nan if epoch.validation_accuracy is None else epoch.validation_accuracy for epoch in epochs]
    if not np.isnan(validated).all():
        ring = {"marker": "o", "markersize": 5, "fillstyle": "none"}  # an equal dot of training is seen within
        panels[1].plot(numbers, validated, color=ORANGE, linestyle="--", clip_on=False, label="validation", **ring)
        _name_above(panels[1], "training and validation accuracy")
        accuracies += validated
    lowest = min(np.nanmin(accuracies), 0.999)
    panels[1].set_ylim(0 if lowest < 0.9 else lowest - (1 - lowest) / 10, 1)
    _write(figure, path)


def histories(runs: Mapping[str, list[Epoch]], path: Path) -> None:
    """Draw loss and accuracy over the epochs of two runs, by name, in the same panels; of one that has some, alone."""
    figure = _figure(9, 3.6, layout="constrained")
    panels = figure.subplots(1, 2)
    names = _legend(list(runs))
    for panel, key in zip(panels, ("loss", "accuracy"), strict=True):
        lines = {}
        for name, epochs, colour in zip(names, runs.values(), (BLUE, ORANGE), strict=True):
            numbers, values = [epoch.epoch for epoch in epochs], [getattr(epoch, key) for epoch in epochs]
            if numbers:
                lines[name] = panel.plot(numbers, values, color=colour, marker="o", markersize=3)[0]
        panel.set(xlabel="epoch", ylabel=key, title=f"{key} on the training set")
        _count_along(panel)
        panel.grid(alpha=0.3)
        panel.legend(lines.values(), lines)  # given so, as a line whose label begins with _ is left out otherwise
    _write(figure, path)


def _legend(names: list[str]) -> list[str]:
    """Return the names of files as a legend has room for them: of long ones, without what all begin with."""
    long = max(map(len, names)) > LEGEND
    folder = dirname(commonprefix(names)) if long else ""  # noqa: PTH120, RUF071 - of texts, which may be no paths
    return _apart(["…" * bool(folder) + name.removeprefix(folder) for name in names], LEGEND)


def search(trials: Sequence["Trial"], importances: Mapping[str, float], path: Path) -> None:
    """Draw the trials of a search: how good each was, its way there, and how much each setting mattered."""
    from matplotlib.ticker import LogLocator, NullFormatter  # noqa: PLC0415 - it is optional, and slow to import

    figure = _figure(9, 3.6, layout="constrained")
    panels = 3 if importances else 2
    reached, ways, *rest = figure.subplots(1, panels, width_ratios=[3, 3, 2.4][:panels])
    ways.sharey(reached)
    for early, colour, marker, said in ((True, GREY, "x", "ended early"), (False, BLUE, "o", "complete")):
        some = [trial for trial in trials if bool(trial.reason) == early and trial.curve]
        errors = [_drawable(trial.accuracy) for trial in some]
        if some:
            reached.plot([trial.number for trial in some], errors, marker, color=colour, markersize=4, label=said)
        for trial in some:
            way = [_drawable(accuracy) for accuracy in trial.curve]
            ways.plot(range(1, len(way) + 1), way, color=colour, linewidth=1, marker="." if len(way) == 1 else "")
    ended = [trial for trial in trials if not trial.reason]
    best = np.minimum.accumulate([_drawable(trial.accuracy) for trial in ended])
    reached.step([trial.number for trial in ended], best, where="post", color=ORANGE, label="best so far")
    reached.legend(fontsize=8)
    for panel, name in ((reached, "trial"), (ways, "epoch")):
        panel.set(xlabel=name, yscale="log")
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
        panel.yaxis.set_major_formatter("{x:g} %")
        panel.yaxis.set_minor_formatter(NullFormatter())
        _count_along(panel)
        panel.grid(alpha=0.3)
    reached.set_ylabel("validation error")
    names = list(importances)[::-1]
    for panel in rest:
        panel.barh(names, [importances[name] for name in names], color=BLUE)
        panel.set(xlabel="importance", xlim=(0, None))
    _write(figure, path, SEARCH)


def _name_above(panel: "Axes", title: str) -> None:
    """Put a title and the legend above a panel, where it hides nothing."""
    panel.set_title(title, pad=20)
    panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False, fontsize=8)


def _count_along(panel: "Axes") -> None:
    """Put whole numbers on the x axis, though there may be a single one."""
    panel.locator_params(axis="x", integer=True, min_n_ticks=1)


def _drawable(accuracy: float) -> float:
    """Return the error in percent, such that a logarithmic axis has room for it."""
    return 100 * max(1 - accuracy, LEAST_ERROR)


def evaluation(tally: Tally, path: Path) -> None:
    """Draw the confusion matrix, and the accuracy of answers by confidence."""
    side = 4.4 * _growth(len(tally.names)) + _beside(tally.names)
    figure = _figure(side + 4.6, side, layout="constrained")
    panels = figure.subplot_mosaic(
        [["confusion", "calibration"], ["confusion", "images"]],
        width_ratios=[1.2 * side / 4.4, 1],
        height_ratios=[3, 1],
    )
    _confusion(panels["confusion"], tally)
    _calibration(panels["calibration"], panels["images"], tally)
    _write(figure, path)


def errors(pictures: NDArray[np.uint8], worst: Wrong, tally: Tally, path: Path, places: Sequence[str] = ()) -> None:
    """Draw the pictures (m, 28, 28) of wrong answers in the order given, each with its class, answer and distances.

    ``places`` says where each is from; without, its index stands there.
    """
    wrong, drawn = tally.images - tally.right, len(worst.labels)
    names = _apart(tally.names)
    folded = max(map(len, names)) > LABEL
    side, left, top, wide, high = 28 * 4 / DOTS, 0.33, 0.85, 0.84, 1.43 if folded else 1.3
    figure, canvas = _canvas(9, top + high * -(-drawn // SHEET))
    which = f"the {drawn} worst of {wrong:,}" if drawn < wrong else f"{wrong:,}"
    _text(canvas, left, 0.25, f"wrong answers: {which}; images: {tally.images:,}", ha="left", fontsize=12)
    if wrong:
        which = "where the image is from" if places else "index of the image in the data (from 0)"
        said = f"true {tally.noun} → answer, squared distances to their glyphs, {which}"
        _text(canvas, left, 0.55, said, ha="left", fontsize=9)
    named = [_shown(Path(place).name, PLACE) for place in places] or [f"#{index}" for index in worst.images]
    for at, (place, label, scores) in enumerate(zip(named, worst.labels, worst.scores, strict=True)):
        x, y, answer = left + wide * (at % SHEET), top + high * (at // SHEET), scores.argmax()
        _place(canvas, pictures[at], x, y, side, **_grey(np.array([0, 255])))
        true, taken = isolated(names[label]), isolated(names[answer])
        read = [f"{true} →", taken] if folded else [f"{true} → {taken}"]
        size = min(_fitting(line, side, 11) for line in read)
        for line in read:
            _text(canvas, x + side / 2, y + side + 0.1, line, fontsize=size)
            y += 0.13
        _text(canvas, x + side / 2, y + side + 0.12, f"{-scores[label]:.1f} → {-scores[answer]:.1f}")
        _text(canvas, x + side / 2, y + side + 0.25, place, fontsize=_fitting(place, side, 7))
    _write(figure, path)


def kernels(network: LeNet5, path: Path) -> None:
    """Draw the kernels of a network's first two convolutions, except those without a connection, which are 0.

    Of the first, a row of kernels (k, 1, u, v), wrapped where there are many; of the second, (k, c, u, v), a table with
    a row for each map that it reads and a column for each of its own.
    """
    first, second = [layer for layer in network.layers if isinstance(layer, Conv)][:2]
    c1, c3 = first.params["weight"][:SHOWN], second.params["weight"][:SHOWN, :SHOWN]
    side, step, left = 0.44, 0.5, 0.75
    across = max(6, min(len(c1), len(c3) // 2))  # kernels of the first in a row, which are drawn twice as large
    rows = -(-len(c1) // across)
    headings = _of_kernels(first, second)
    columns = max(len(c3), 2 * across, ceil(6.2 + 0.16 * max(map(len, headings))))  # there is a bar beside a heading
    c1_top, c3_top = 0.7, 0.7 + 1.1 * rows + 0.5
    figure, canvas = _canvas(left + step * columns + 0.25, c3_top + step * c3.shape[1] + 0.1)
    for heading, values, y in zip(headings, (c1, c3), (c1_top - 0.4, c3_top - 0.4), strict=True):
        _text(canvas, left, y, heading, ha="left", fontsize=11)
        _colour_bar(canvas, values, left + step * (columns - 5), y)
    for k, kernel in enumerate(c1[:, 0]):
        x, y = left + 2 * step * (k % across), c1_top + 1.1 * (k // across)
        _text(canvas, x + side, y - 0.12, f"{k}")
        _place(canvas, kernel, x, y, side + step, **_around_zero(c1))
    for k in range(len(c3)):
        _text(canvas, left + step * k + side / 2, c3_top - 0.12, f"{k}")
    for c in range(c3.shape[1]):
        _text(canvas, left - 0.15, c3_top + step * c + side / 2, f"{c}")
    for k, c in np.argwhere(c3.any(axis=(2, 3))):
        _place(canvas, c3[k, c], left + step * k, c3_top + step * c, side, **_around_zero(c3))
    _write(figure, path)


def _of_kernels(first: Conv, second: Conv) -> tuple[str, str]:
    """Return the headings of the kernels of two convolutions, which say which of too many maps are drawn."""
    (ones, _), (own, read) = (layer.params["weight"].shape[:2] for layer in (first, second))
    each = f"each of the first {SHOWN} of {ones} maps" if ones > SHOWN else "each map"
    rows = f"the first {SHOWN} of {read} maps" if read > SHOWN else "the maps"
    columns = f"the first {SHOWN} of its own {own}" if own > SHOWN else "its own maps"
    return (
        f"{first.name}: one kernel for {each}",
        f"{second.name}: rows are {rows} that it reads, columns {columns}",
    )


def maps(layers: Mapping[str, Array], labels: NDArray[np.uint8], sheet: Sheet, path: Path) -> None:
    """Draw what each layer makes of some images: all maps by name as ``LeNet5.maps`` gives them, and the glyphs.

    labels is (n,), the images' classes.
    """
    codes, names = sheet.codes, _apart(sheet.names)
    longest = max(map(_ems, names))
    upright = max(0, longest * UPRIGHT / 72 - 0.1) if max(map(len, names)) > 1 else 0  # inches more, below the bars
    high, step, gap, left, top = 0.73, 0.85 + upright, 0.13, max(0.4, longest * 8 / 72 + 0.1), 0.4
    *hidden, (_, scores) = layers.items()
    blocks = {name: [_in_one(one) for one in values] for name, values in hidden}
    blocks["glyph"] = [*codes[scores.argmax(axis=1)].reshape(-1, ROWS, COLUMNS).astype(float)]
    widths = [high * images[0].shape[1] / images[0].shape[0] + gap for images in blocks.values()]
    bars = max(BAR * len(codes), 0.81)  # inches; of a few, their heading is wider
    figure, canvas = _canvas(max(9, left + sum(widths) + bars + 0.49), top + step * len(labels) + 0.25)
    x = left
    for (name, images), wide in zip(blocks.items(), widths, strict=True):
        colours = _grey(codes if name == "glyph" else layers[name])
        for row, image in enumerate(images):
            _place(canvas, image, x, top + step * row, high, **colours)
        _text(canvas, x + (wide - gap) / 2, top - 0.15, name, fontsize=10)
        x += wide
    _text(canvas, x + 0.6, top - 0.15, "squared distances", fontsize=10)
    for row, (label, distance) in enumerate(zip(labels, -scores, strict=True)):
        y = top + step * row
        name = names[label]
        _text(canvas, left / 2, y + high / 2, name, fontsize=_fitting(name, left - 0.06, 13))
        _bars(canvas, names, distance, -scores.min(), x, y, high, BLUE if distance.argmin() == label else ORANGE)
    said = "Black is the minimum of a layer's values, white the maximum."
    nearest = "Blue is the nearest glyph where it is right, orange where it is wrong."
    _text(canvas, left, top + step * len(labels) + 0.07, f"{said} {nearest}", ha="left")
    _write(figure, path)


def glyphs(sheet: Sheet, path: Path) -> None:
    """Draw the glyphs of a sheet, and the number of pixels in which each pair differs."""
    from matplotlib.colors import Normalize  # noqa: PLC0415 - it is optional

    codes, names, count = sheet.codes, _apart(sheet.names), len(sheet.codes)
    across = max(5, ceil(sqrt(count * 1.9)))  # glyphs a row, as high as the matrix beside them
    side, beside = 3.78 * _growth(count), _beside(sheet.names)
    left = 0.65 + 0.84 * across + 0.1 + beside
    upright = (0.3 + beside) * (max(map(len, names)) > LEVEL)  # inches more, below the matrix
    above = 0.27 + 0.17 * (max(map(len, names)) > LABEL)  # a title of two lines
    high = max(side + 0.35 + above + upright, 0.9 + 1.75 * -(-count // across))
    figure, canvas = _canvas(left + side + 0.27, high)
    for k, code in enumerate(codes):
        x, y = 0.3 + 0.84 * (k % across), 0.65 + 1.75 * (k // across)
        _place(canvas, 1 - code.reshape(ROWS, COLUMNS), x, y, 1.2, **_grey(codes))
        _text(canvas, x + 0.35, y + 1.36, names[k], fontsize=_fitting(names[k], 0.8, 11))
    a, b, minimum = closest(codes)
    apart = distances(codes)
    wide = left + side + 0.27
    panel = figure.add_axes((left / wide, (high - above - side) / high, side / wide, side / high))
    _matrix(panel, sheet.names, apart, apart, Normalize(0, apart.max()))
    for x, y in ((a, b), (b, a)):
        panel.add_patch(_frame(x - 0.5, y - 0.5, 1, 1, edgecolor=ORANGE, linewidth=2))
    between, pair = "\n" if above > 0.27 else " ", f"{isolated(names[a])} and {isolated(names[b])}"
    panel.set_title(f"pixels that differ, of 84;{between}minimum: {pair}, {minimum}", fontsize=10)
    _write(figure, path)


def _confusion(panel: "Axes", tally: Tally) -> None:
    from matplotlib.colors import LogNorm  # noqa: PLC0415 - it is optional

    confusion = tally.confusion
    fractions = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    cells = _matrix(panel, tally.names, confusion, fractions, LogNorm(1e-3, 1, clip=True))
    panel.set(
        title="confusion matrix",
        xlabel=f"answer (colour: fraction of the {tally.noun}'s images)",
        ylabel=f"true {tally.noun}",
    )
    bar = panel.figure.colorbar(cells, ax=panel, pad=0.04, aspect=30)
    bar.set_ticks([1e-3, 1e-2, 1e-1, 1], labels=["0.1 %", "1 %", "10 %", "100 %"], fontsize=8)
    bar.ax.tick_params(which="minor", length=0)


def _calibration(above: "Axes", below: "Axes", tally: Tally) -> None:
    filled = np.flatnonzero(tally.bins[0])
    images, right, confidence = tally.bins[:, filled]
    ends = np.array([wilson(*one) for one in zip(right, images, strict=True)]).T
    above.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="perfect calibration")
    above.errorbar(
        confidence / images,
        right / images,
        abs(ends - right / images),
        fmt="o",
        markersize=4,
        color=BLUE,
        capsize=2,
        label="95 % interval",
    )
    above.set(xlim=(0, 1.02), xticklabels=[], ylim=(-0.03, 1.03), ylabel="accuracy")
    _name_above(above, f"expected calibration error: {tally.calibration_error:.4f}")
    above.grid(alpha=0.3)
    tallest = images.max()
    bars = below.bar((filled + 0.5) / BINS, images, 0.85 / BINS, color=BLUE)
    below.bar_label(bars, [f"{int(count):,}" for count in images], fontsize=7, rotation=90, padding=2)
    below.set(
        yscale="log", xlim=(0, 1.02), ylim=(0.5, tallest * (2 * tallest) ** 1.4)
    )  # the numbers are in the upper half
    below.set(xlabel="confidence", ylabel="images")
    below.yaxis.set_ticks([])
    below.yaxis.set_ticks([], minor=True)


def _matrix(
    panel: "Axes", names: Sequence[str], counts: NDArray[np.integer], shades: NDArray[np.number], norm: "Normalize"
) -> "AxesImage":
    """Draw counts [k, k] of named classes in cells, darker for larger shades; a cell is blank where the count is 0."""
    cells = panel.imshow(np.ma.masked_where(counts == 0, shades), cmap="cividis_r", norm=norm)
    shown = _apart(names)
    panel.set(xticks=range(len(names)), yticks=range(len(names)), xticklabels=shown, yticklabels=shown)
    panel.tick_params(length=0)
    if max(map(len, shown)) > LEVEL:
        panel.tick_params(axis="x", labelrotation=90)
    cell = 33 * 10 * _growth(len(names)) / len(names)
    size = min(8, cell / len(str(counts.max())))  # points, at which the longest number fits its cell
    light = cells.to_rgba(shades)[..., :3] @ (0.2126, 0.7152, 0.0722)
    for row, column in np.argwhere(counts):
        colour = "black" if light[row, column] > 0.45 else "white"
        _text(panel, column, row, f"{counts[row, column]}", color=colour, fontsize=size)
    return cells


def _bars(
    canvas: "Axes",
    names: Sequence[str],
    distances: NDArray[np.floating],
    largest: float,
    x: float,
    y: float,
    high: float,
    colour: str,
) -> None:
    """Draw distances as bars above their classes, and the minimum in a colour and in numbers."""
    nearest, step = distances.argmin(), BAR
    level = max(map(len, names)) == 1
    below, how = (0.05, {"fontsize": 7}) if level else (0.12, {"fontsize": UPRIGHT, "rotation": 90, "va": "top"})
    for k, distance in enumerate(distances):
        tall, middle = (high - 0.16) * distance / largest, x + step * (k + 0.5)
        canvas.bar(middle, -tall, 0.75 * step, y + high - 0.14, color=colour if k == nearest else GREY)
        weight = "bold" if k == nearest else "normal"
        _text(canvas, middle, y + high - below, names[k], weight=weight, **how)
    beside = x + step * len(distances) + 0.04
    _text(canvas, beside, y + high - 0.25, f"{distances[nearest]:.1f}", ha="left", color=colour)


def _growth(classes: int) -> float:
    """Return how much larger a matrix of so many classes is drawn than one of ten."""
    return max(1.0, MIN_CELL * classes / 10)


def _fitting(text: str, room: float, largest: float) -> float:
    """Return the font size, in points, at which a line of text takes no more than so many inches."""
    return min(largest, 72 * room / _ems(text))


def _ems(text: str) -> float:
    """Return how wide a line of text is, rather too much than too little, as a multiple of its font size."""
    return sum(1 if c in WIDE or east_asian_width(c) in "WF" else LETTER for c in text if c.isprintable())


def _beside(names: Sequence[str]) -> float:
    """Return how many inches more than usual the names beside a matrix need."""
    return max(0.0, 10 / 72 * max(map(_ems, _apart(names))) - 0.5)


def _apart(names: Sequence[str], least: int = LABEL) -> list[str]:
    """Return names as pictures show them: the long ones of one length, at which no two look alike."""
    names = [*map(printable, names)]
    for length in range(least, max(map(len, names))):
        shown = [_shown(name, length) for name in names]
        if len({*shown}) == len(names):
            return shown
    return [_shown(name, len(name)) for name in names]


def _shown(name: str, length: int) -> str:
    """Return a name as it stands in a picture: in a line, a long one without its middle, none taken for a formula."""
    name = printable(name)
    cut = f"{name[: length // 2]}…{name[len(name) - (length - 1) // 2 :]}"
    shown = name if len(name) <= length else cut
    return shown.replace("$", r"\$")


def _colour_bar(canvas: "Axes", values: Array, x: float, y: float) -> None:
    """Draw the colours of ``_around_zero`` with the values that they stand for."""
    colours = _around_zero(values)
    bound = colours["vmax"]
    wide = _place(canvas, np.linspace(-bound, bound, 201)[None].repeat(18, axis=0), x, y - 0.07, 0.14, **colours)
    _text(canvas, x - 0.08, y, f"{-bound:.3g}", ha="right")
    _text(canvas, x + wide / 2, y, "0")
    _text(canvas, x + wide + 0.08, y, f"{bound:.3g}", ha="left")


def _around_zero(values: Array) -> dict[str, Any]:
    """Return how to colour values whose sign matters."""
    from matplotlib.colors import LinearSegmentedColormap  # noqa: PLC0415 - it is optional

    bound = float(np.abs(values).max()) or 1
    return {"cmap": LinearSegmentedColormap.from_list("around zero", AROUND_ZERO), "vmin": -bound, "vmax": bound}


def _grey(values: NDArray[Any]) -> dict[str, Any]:
    """Return how to colour values from black, the minimum, to white, the maximum."""
    from matplotlib import colormaps  # noqa: PLC0415 - it is optional

    return {"cmap": colormaps["gray"].with_extremes(bad=GREY), "vmin": values.min(), "vmax": values.max()}


def _in_one(maps: Array) -> NDArray[np.float64]:
    """Return maps [k, h, w], or numbers [k], in one image: with about as many rows as columns, and gaps of nan."""
    if maps.size == ROWS * COLUMNS:  # what the glyphs are compared with
        return maps.reshape(ROWS, COLUMNS).astype(float)
    maps = maps.reshape(len(maps), *(maps.shape[1:] or (1, 1)))
    k, h, w = maps.shape
    across = isqrt(k) if h == 1 else ceil(sqrt(k))
    down, gap = -(-k // across), 0 if h == 1 else 1 + h // 16
    image = np.full((down * across, h + gap, w + gap), np.nan)
    image[:k, :h, :w] = maps
    image = image.reshape(down, across, h + gap, w + gap).transpose(0, 2, 1, 3)
    return image.reshape(down * (h + gap), across * (w + gap))[: -gap or None, : -gap or None]


def _place(canvas: "Axes", image: NDArray[Any], x: float, y: float, high: float, **colours: Any) -> float:
    """Draw an image with its upper left corner at x and y, in inches, with square pixels; return how wide it is."""
    wide: float = high * image.shape[1] / image.shape[0]
    canvas.imshow(image, extent=(x, x + wide, y + high, y), aspect="auto", interpolation="nearest", **colours)
    canvas.add_patch(_frame(x, y, wide, high, edgecolor=GREY, linewidth=0.8))
    return wide


def _frame(x: float, y: float, wide: float, high: float, **how: Any) -> "Rectangle":
    from matplotlib.patches import Rectangle  # noqa: PLC0415 - it is optional

    return Rectangle((x, y), wide, high, fill=False, **how)


def _text(panel: "Axes", x: float, y: float, text: str, **how: Any) -> None:
    usual: dict[str, Any] = {"fontsize": 8, "ha": "center", "va": "center"}
    panel.text(x, y, text, **usual | how)


def _canvas(width: float, height: float) -> "tuple[Figure, Axes]":
    """Return a blank picture to place things on, in inches from its upper left corner."""
    figure = _figure(width, height)
    canvas = figure.add_axes((0, 0, 1, 1), autoscale_on=False, xlim=(0, width), ylim=(height, 0))
    canvas.set_axis_off()
    return figure, canvas


def _figure(width: float, height: float, **options: Any) -> "Figure":
    from matplotlib.figure import Figure  # noqa: PLC0415 - it is optional, and slow to import

    return Figure(figsize=(width, height), dpi=DOTS, **options)


def _choose_fonts(figure: "Figure") -> None:
    """Have other installed fonts draw the characters that the usual one lacks, such as those of most scripts."""
    from matplotlib.text import Text  # noqa: PLC0415 - it is optional

    texts, families = figure.findobj(Text), list[str]()
    written = "".join(text.get_text() for text in texts)
    missing = {ord(character) for character in written if character.isprintable()}
    for family, _, characters in fonts.installed():
        if not families or missing & characters:
            families.append(family)
        missing -= characters
        if not missing:
            break
    for text in texts if len(families) > 1 else ():
        text.set_fontfamily(families)


def _write(figure: "Figure", path: Path, title: str = "") -> None:
    """Write a figure, with a title in the file where its format has one."""
    content, kind = io.BytesIO(), path.suffix[1:].lower()
    titled = {"Title": title} if title and kind in ("png", "pdf", "svg") else None
    _choose_fonts(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # that no font here has: it stays a box
        figure.savefig(content, format=kind, metadata=titled)
    with replacing(path) as file:
        file.write(content.getvalue())
