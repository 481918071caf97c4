"""The pictures: what is on them, how large they are, and what is refused."""

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from lenet5_cli import LeNet5
from lenet5_cli.config import Config
from lenet5_cli.data import glyphs
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.reports import figures
from lenet5_cli.training.metrics import Tally, wilson
from lenet5_cli.training.search import Trial
from tests.conftest import bars, history

PICTURES = bars(30).images
WRITE = figures._write


def size(path: str) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for panel in figure.axes for text in panel.texts]


def drawn(
    monkeypatch: pytest.MonkeyPatch,
    draw: Callable[..., None],
    *arguments: Any,
    wide: float | None = 9,
    rendered: bool = True,
) -> Figure:
    """Return what a function of ``figures`` draws, which it also writes, unless it takes long and others do it."""
    caught: list[Figure] = []

    def catching(figure: Figure, path: Path, title: str = "") -> None:
        caught.append(figure)
        if rendered:
            WRITE(figure, path, title)

    monkeypatch.setattr(figures, "_write", catching)
    draw(*arguments, Path("drawn.png"))
    inches = caught[0].get_size_inches()
    assert wide is None or inches[0] == pytest.approx(wide)
    if rendered:
        assert size("drawn.png") == pytest.approx(inches * 150, abs=1)
    return caught[0]


def tally(labels: list[int], answers: list[int], keep: int = 200) -> Tally:
    """Return a tally where each answer is sure by ever less: of wrong ones, the first are the worst."""
    scores = np.full((len(labels), 10), -30.0)
    scores[np.arange(len(labels)), answers] = np.arange(len(labels)) / len(labels) - 20
    measured = Tally(keep)
    measured.add(0.0, np.array(labels), scores)
    return measured


@pytest.mark.parametrize("option", ["--plot", "--errors", "--figures"])
def test_without_matplotlib_the_option_is_named(option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(LeNet5Error) as error:
        figures.require(option)
    assert (
        str(error.value) == "matplotlib cannot be imported: import of matplotlib halted; None in sys.modules;"
        f" pip install 'lenet5-cli[plot]' or leave out {option}"
    )


def test_the_endings_that_can_be_drawn_are_known() -> None:
    assert [figures.writes(Path(name)) for name in ("a.PNG", "a.svg", "a.pdf", "a.txt", "a")] == [True] * 3 + [
        False
    ] * 2


def test_the_ending_says_the_format() -> None:
    for name, start in (("a.PNG", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.pdf", b"%PDF")):
        figures.glyphs(glyphs.read(), Path(name))
        assert Path(name).read_bytes().startswith(start)


def test_wrong_answers_are_drawn_each_with_what_is_known_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = tally([4, 7, 3], [9, 7, 5])
    figure = drawn(monkeypatch, figures.errors, PICTURES[measured.worst.images], measured.worst, measured)
    assert texts(figure) == [
        "wrong answers: 2; images: 3",
        "true digit → answer, squared distances to their glyphs, index of the image in the data (from 0)",
        "3 → 5", "30.0 → 19.3", "#2",
        "4 → 9", "30.0 → 20.0", "#0",
    ]  # fmt: skip
    first, second = figure.axes[0].images
    np.testing.assert_array_equal(first.get_array(), PICTURES[2])
    np.testing.assert_array_equal(second.get_array(), PICTURES[0])


def test_wrong_answers_to_pictures_name_their_files(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = tally([4, 7, 3], [9, 7, 5])
    places = ["own/3/IMG_20260917_101112.jpg", "own/4/$a\n$.png"]
    figure = drawn(monkeypatch, partial(figures.errors, places=places), PICTURES[:2], measured.worst, measured)
    assert texts(figure)[1] == "true digit → answer, squared distances to their glyphs, where the image is from"
    assert [texts(figure)[at] for at in (4, 7)] == ["IMG_20260…1112.jpg", r"\$a\n\$.png"]
    boxes = [text.get_window_extent() for text in figure.axes[0].texts if "g" in text.get_text()[-1]]
    assert boxes[0].x1 < boxes[1].x0


def test_names_that_run_from_right_to_left_do_not_change_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer stood left of the arrow and the true class right of it, in Hebrew as of Arabic digits."""
    names = ("ה", "ח", "٣", "3")
    sheet = glyphs.Sheet(glyphs.read().codes[:4], names)
    measured = Tally(200, names=names)
    measured.add(0.0, np.array([0, 2]), -np.eye(4)[[0, 2]])
    figure = drawn(monkeypatch, figures.errors, PICTURES[:2], measured.worst, measured)
    assert {"\u200eה\u200e → \u200eח\u200e", "\u200e٣\u200e → \u200eה\u200e"} <= {*texts(figure)}
    assert {text.get_fontsize() for text in figure.axes[0].texts if "→ \u200e" in text.get_text()} == {11}
    title = drawn(monkeypatch, figures.glyphs, sheet, wide=None).axes[1].title.get_text()
    assert title == "pixels that differ, of 84; minimum: \u200e٣\u200e and 3, 30"


def test_names_of_classes_do_not_run_into_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = Tally(200, names=("class-1", "class-2", *"23456789"))
    measured.add(0.0, np.array([0, 0, 0]), -np.eye(10)[[0, 0, 0]])
    sheet = drawn(monkeypatch, figures.errors, PICTURES[:3], measured.worst, measured)
    boxes = [text.get_window_extent() for text in sheet.axes[0].texts if text.get_text() == "cl…1 → cl…2"]
    assert boxes
    assert all(one.x1 < other.x0 for one, other in pairwise(boxes))
    assert boxes[0].x0 >= 0


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["AB", "CD", "E"], ["AB", "CD", "E"]),
        (["circle", "square", "triangle"], ["ci…e", "sq…e", "tr…e"]),
        (["small-circle", "small-square", "triangle"], ["sm…le", "sm…re", "tr…le"]),
        (["class-number-001", "class-number-011", "class-number-111"], ["cla…001", "cla…011", "cla…111"]),
        (["same-a-same-same", "same-b-same-same", "none"], ["same-a…-same", "same-b…-same", "none"]),
        (["MMMMMMMMAMMMMMMM", "MMMMMMMMBMMMMMMM", "none"], ["MMMMMMMMAMMMMMMM", "MMMMMMMMBMMMMMMM", "none"]),
    ],
)
def test_the_classes_of_every_picture_are_told_apart_and_on_it(
    names: list[str], shown: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sheet = glyphs.Sheet(glyphs.read().codes[:3], tuple(names))
    measured = Tally(200, names=sheet.names)
    measured.add(0.0, np.array([0, 0, 1]), -np.eye(3)[[0, 0, 1]])
    layers = LeNet5(Config(seed=1), sheet).maps(PICTURES[:3])
    confusion = drawn(monkeypatch, figures.evaluation, measured, wide=None)
    assert [text.get_text() for text in confusion.axes[0].get_yticklabels()] == shown
    errors = drawn(monkeypatch, figures.errors, PICTURES[:3], measured.worst, measured)
    for text in (f"{shown[0]} →", shown[1]) if max(map(len, shown)) > 4 else (f"{shown[0]} → {shown[1]}",):
        assert text in texts(errors)
    maps = drawn(monkeypatch, figures.maps, layers, np.arange(3, dtype=np.uint8), sheet, wide=None)
    assert [texts(maps).count(name) for name in shown] == [4] * 3  # beside its row, and below a bar of each row
    table = drawn(monkeypatch, figures.glyphs, sheet, wide=None)
    assert texts(table)[:3] == shown
    for figure in (confusion, errors, maps, table):
        for panel in figure.axes:
            labels = [*panel.get_yticklabels(), *panel.get_xticklabels()]
            written = [*panel.texts, panel.title, *(label for label in labels if label.get_text() in shown)]
            for box in (text.get_window_extent() for text in written if text.get_text()):
                assert figure.bbox.x0 <= box.x0
                assert box.x1 <= figure.bbox.x1
                assert figure.bbox.y0 <= box.y0
                assert box.y1 <= figure.bbox.y1
    upright = [text.get_window_extent() for text in maps.axes[0].texts if text.get_rotation() == 90]
    assert len(upright) == 9
    assert all(one.x1 < other.x0 for row in (upright[:3], upright[3:6]) for one, other in pairwise(row))
    assert upright[0].y0 > upright[3].y1


@pytest.mark.parametrize(("wrong", "rows"), [(0, 0), (1, 1), (10, 1), (11, 2), (25, 3)])
def test_the_sheet_has_ten_wrong_answers_a_row(wrong: int, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = tally([1] * 30, [2] * wrong + [1] * (30 - wrong))
    what = PICTURES[measured.worst.images], measured.worst, measured
    figure = drawn(monkeypatch, figures.errors, *what, rendered=False)
    assert len(figure.axes[0].images) == wrong
    assert figure.get_size_inches()[1] == pytest.approx(0.85 + 1.3 * rows)


def test_the_title_says_how_many_wrong_answers_are_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = tally([1] * 30, [2] * 25 + [1] * 5, keep=12)
    what = PICTURES[measured.worst.images], measured.worst, measured
    figure = drawn(monkeypatch, figures.errors, *what, rendered=False)
    assert len(figure.axes[0].images) == 12
    assert texts(figure)[0] == "wrong answers: the 12 worst of 25; images: 30"
    measured = tally([1] * 30, [1] * 30)
    figure = drawn(monkeypatch, figures.errors, PICTURES[:0], measured.worst, measured)
    assert texts(figure) == ["wrong answers: 0; images: 30"]


def test_the_evaluation_shows_every_count_and_every_bin(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = tally([4] * 12 + [9] * 18, [9] * 2 + [4] * 10 + [9] * 18)
    figure = drawn(monkeypatch, figures.evaluation, measured)
    confusion, calibration, images, scale = figure.axes
    assert sorted((text.get_position()[::-1], text.get_text()) for text in confusion.texts) == [
        ((4, 4), "10"), ((4, 9), "2"), ((9, 9), "18"),
    ]  # fmt: skip
    # A lead of 10 to 11 over nine others is a confidence of 0.9996 and more: one bin, 28 of 30 right.
    assert calibration.get_title() == f"expected calibration error: {measured.calibration_error:.4f}"
    assert measured.calibration_error == pytest.approx(1 - 28 / 30, abs=5e-4)
    ((points, caps, _),) = (container.lines for container in calibration.containers)
    np.testing.assert_allclose(points.get_xydata(), [[1, 28 / 30]], atol=5e-4)
    np.testing.assert_allclose([cap.get_ydata()[0] for cap in caps], wilson(28, 30))
    assert [bar.get_height() for bar in images.patches] == [30]
    assert [text.get_text() for text in images.texts] == ["30"]
    assert [text.get_text() for text in scale.get_yticklabels()] == ["0.1 %", "1 %", "10 %", "100 %"]


@pytest.mark.parametrize(("labels", "answers"), [([0], [0]), ([0], [1]), (list(range(10)) * 3, [0] * 30)])
def test_the_evaluation_of_few_images_or_of_one_answer_is_drawn(labels: list[int], answers: list[int]) -> None:
    figures.evaluation(tally(labels, answers), Path("drawn.png"))
    assert size("drawn.png") == (1350, 660)


@pytest.mark.parametrize(("connections", "count"), [("full", 96), ("lecun1998", 60)])
def test_every_kernel_is_drawn_but_those_of_no_connection(
    connections: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = LeNet5(Config(seed=1, connections=connections))
    c1 = network.layers[0].params["weight"]
    canvas = drawn(monkeypatch, figures.kernels, network).axes[0]
    kernels = [image for image in canvas.images if image.get_array().shape == (5, 5)]
    assert len(kernels) == 6 + count
    np.testing.assert_array_equal(kernels[0].get_array(), c1[0, 0])
    for image in kernels[:6]:  # 0 has the colour in the middle
        assert (image.norm.vmin, image.norm.vmax) == (-abs(c1).max(), abs(c1).max())


@pytest.mark.parametrize("maps", ["6,16,120", "6,3,120", "6,14,120", "3,1,20", "33,6,20"])
def test_the_headings_of_the_kernels_stand_beside_their_colours(maps: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = LeNet5(Config(seed=1, maps=maps))
    canvas = drawn(monkeypatch, figures.kernels, network, wide=None, rendered=False).axes[0]
    boxes = [(text.get_text(), text.get_window_extent()) for text in canvas.texts]
    for start in ("c1: ", "c3: "):
        (heading,) = (box for text, box in boxes if text.startswith(start))
        beside = [box.x0 for _, box in boxes if box.x0 > heading.x0 and box.y0 < heading.y1 and box.y1 > heading.y0]
        assert len(beside) == 3
        assert min(beside) > heading.x1


@pytest.mark.parametrize(
    ("maps", "first", "second"),
    [
        ("32,32,20", "each map", "rows are the maps that it reads, columns its own maps"),
        (
            "40,50,20",
            "each of the first 32 of 40 maps",
            "rows are the first 32 of 40 maps that it reads, columns the first 32 of its own 50",
        ),
    ],
)
def test_the_headings_of_the_kernels_say_which_of_too_many_are_drawn(
    maps: str, first: str, second: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = LeNet5(Config(seed=1, maps=maps))
    shown = texts(drawn(monkeypatch, figures.kernels, network, wide=None, rendered=False))
    assert [text for text in shown if ":" in text] == [f"c1: one kernel for {first}", f"c3: {second}"]


def test_the_colours_around_zero_are_told_apart_in_grey() -> None:
    cmap = figures._around_zero(np.ones(1))["cmap"]
    light = cmap(np.linspace(0, 1, 256))[:, :3] @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(light) > 0).all()
    assert np.ptp(cmap(0.5)[:3]) < 0.02  # 0 is grey


def test_the_maps_of_every_layer_are_drawn_and_the_nearest_glyph(monkeypatch: pytest.MonkeyPatch) -> None:
    network = LeNet5(Config(seed=1))
    maps = network.maps(PICTURES[:4])
    answers = maps["output"].argmax(axis=1)
    labels = answers.copy()
    labels[2] = (labels[2] + 1) % 10
    canvas = drawn(monkeypatch, figures.maps, maps, labels, network.sheet).axes[0]
    blocks = [image.get_array() for image in canvas.images]
    # c1: 2 rows of 3 maps of 28 and gaps of 2 between them; s2: 14 and 1; c3 and s4: 4 rows of 4, 10 and 5, and 1
    shapes = [(32, 32), (58, 88), (29, 44), (43, 43), (23, 23), (12, 10), (12, 7), (12, 7)]
    assert [block.shape for block in blocks] == [shape for shape in shapes for _ in range(4)]
    assert blocks[6].mask.sum() == 58 * 88 - 6 * 28 * 28
    np.testing.assert_array_equal(blocks[6][30:58, 60:88], maps["c1"][2, 5])
    np.testing.assert_array_equal(blocks[-3], network.codes[answers[1]].reshape(12, 7))
    shown = [text.get_text() for text in canvas.texts]
    assert shown[:9] == ["input", "c1", "s2", "c3", "s4", "c5", "f6", "glyph", "squared distances"]
    bars = [patch for patch in canvas.patches if isinstance(patch, Rectangle) and patch.get_fill()]
    heights = -np.array([bar.get_height() for bar in bars]).reshape(4, 10)
    np.testing.assert_allclose(heights / heights.max(), maps["output"] / maps["output"].min(), rtol=1e-5)
    for row, colour in enumerate([figures.BLUE, figures.BLUE, figures.ORANGE, figures.BLUE]):
        assert bars[10 * row + answers[row]].get_facecolor()[:3] == to_rgb(colour)
        assert f"{-maps['output'][row].max():.1f}" in shown


def test_names_below_the_glyphs_matrix_are_whole() -> None:
    for names in ("WWWW", "MMMMM"):
        figures.glyphs(glyphs.read()._replace(names=(names, *"123456789")), Path("glyphs.png"))
        with Image.open("glyphs.png") as picture:
            assert (np.asarray(picture.convert("L"))[-3:] == 255).all()


def test_the_glyphs_are_drawn_and_the_closest_two_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    sheet = glyphs.read()
    codes = sheet.codes
    canvas, matrix = drawn(monkeypatch, figures.glyphs, sheet).axes
    assert [text.get_text() for text in canvas.texts] == [str(digit) for digit in range(10)]
    np.testing.assert_array_equal(canvas.images[7].get_array(), 1 - codes[7].reshape(12, 7))
    a, b, minimum = glyphs.closest(codes)
    assert matrix.get_title() == f"pixels that differ, of 84; minimum: {a} and {b}, {minimum}"
    assert len(matrix.texts) == 90
    assert {patch.get_xy() for patch in matrix.patches} == {(a - 0.5, b - 0.5), (b - 0.5, a - 0.5)}


@pytest.mark.parametrize("accuracies", [[1.0], [1.0, 1.0], [0.2, 0.99], [0.95, 0.97]])
def test_the_curves_of_any_run_are_drawn(accuracies: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    epochs = [replace(epoch, accuracy=one) for epoch, one in zip(history(len(accuracies)), accuracies, strict=True)]
    loss, accuracy = drawn(monkeypatch, figures.history, epochs, rendered=False).axes
    np.testing.assert_array_equal(accuracy.lines[0].get_ydata(), accuracies)
    assert len(accuracy.lines) == 1
    assert loss.get_ylim()[0] == 0
    epochs[0] = replace(epochs[0], validation_accuracy=0.5)
    accuracy = drawn(monkeypatch, figures.history, epochs).axes[1]
    np.testing.assert_array_equal(accuracy.lines[1].get_ydata(), [0.5] + [np.nan] * (len(epochs) - 1))
    legend = accuracy.get_legend()
    assert [text.get_text() for text in legend.texts] == ["training", "validation"]
    assert legend.get_window_extent().y0 >= accuracy.get_window_extent().y1  # it hides nothing
    assert {line.get_marker() for line in accuracy.lines} == {"o"}  # a single epoch is seen
    assert not any(line.get_clip_on() for line in (*accuracy.lines, *loss.lines))  # dots at the edge are whole


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["a.pkl", "b.pkl"], ["a.pkl", "b.pkl"]),
        (["x$\\frac$.pkl", "_m.pkl"], [r"x\$\frac\$.pkl", "_m.pkl"]),
        (["a\nb.pkl", "ab.pkl"], ["a\\nb.pkl", "ab.pkl"]),
        (["W" * 150 + ".pkl", "M" * 150], ["W" * 12 + "…" + "W" * 7 + ".pkl", "M" * 12 + "…" + "M" * 11]),
        (
            ["/home/user/project/run1/models/best.pkl", "/home/user/project/run2/models/best.pkl"],
            ["…/run1/models/best.pkl", "…/run2/models/best.pkl"],
        ),
        (["long/" * 6, "long/" * 6 + "a.pkl"], ["…/", "…/a.pkl"]),
        (["a long name/" * 2 + "model.pkl", "a long name/" * 2 + "model.pkl2"], ["…/model.pkl", "…/model.pkl2"]),
    ],
)
def test_the_legend_of_two_runs_tells_their_files_apart_and_stays_in_its_panel(
    names: list[str], shown: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = dict(zip(names, (history(2), history(3)), strict=True))
    for panel in drawn(monkeypatch, figures.histories, runs).axes:
        legend = panel.get_legend()
        assert [text.get_text() for text in legend.texts] == shown
        assert [len(line.get_xdata()) for line in panel.lines] == [2, 3]
        box, room = legend.get_window_extent(), panel.get_window_extent()
        assert room.x0 <= box.x0 < box.x1 <= room.x1


@pytest.mark.parametrize("count", [1, 2, 3])
def test_epochs_and_trials_are_counted_in_whole_numbers(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    epochs = history(count)
    trials = [Trial(at, {"lr": 0.1}, (0.5,) * count, 1.0, "") for at in range(1, count + 1)]
    for draw, *what in (
        (figures.history, epochs),
        (figures.histories, {"a": epochs, "b": []}),
        (figures.search, trials, {}),
    ):
        for panel in drawn(monkeypatch, draw, *what, rendered=False).axes[:2]:
            low, high = panel.get_xlim()
            assert [tick for tick in panel.get_xticks() if low <= tick <= high] == [*range(1, count + 1)]


def test_trials_are_drawn_with_their_ways_the_best_and_what_mattered(monkeypatch: pytest.MonkeyPatch) -> None:
    curves = {(0.5, 0.7): "", (0.4,): "worse than the median", (0.8, 1.0): "", (): "the loss is no longer finite"}
    trials = [Trial(at, {"lr": 0.1}, curve, 1.0, reason) for at, (curve, reason) in enumerate(curves.items(), 1)]
    figure = drawn(monkeypatch, figures.search, trials, {"lr": 0.75, "batch_size": 0.25})
    reached, ways, mattered = figure.axes
    early, whole, best = ([*zip(*line.get_data(), strict=True)] for line in reached.lines)
    assert early == [(2, pytest.approx(60))]
    assert whole == [(1, pytest.approx(30)), (3, pytest.approx(0.01))]
    assert best == whole
    assert [len(line.get_ydata()) for line in ways.lines] == [1, 2, 2]
    assert [patch.get_width() for patch in mattered.patches] == [0.25, 0.75]
    assert [label.get_text() for label in mattered.get_yticklabels()] == ["batch_size", "lr"]
    assert [text.get_text() for text in reached.get_legend().texts] == ["ended early", "complete", "best so far"]
    reached, _ = drawn(monkeypatch, figures.search, trials[:1], {}).axes  # no third of the picture for nothing
    assert [text.get_text() for text in reached.get_legend().texts] == ["complete", "best so far"]
    assert len(drawn(monkeypatch, figures.search, trials[3:], {}).axes) == 2


def test_names_in_other_scripts_are_drawn_by_fonts_that_have_them(monkeypatch: pytest.MonkeyPatch) -> None:
    sheet = glyphs.read()
    plain = drawn(monkeypatch, figures.glyphs, sheet, wide=None)
    # The usual font has neither; STIX, which comes with matplotlib, has the first; for the second there may be none.
    named = sheet._replace(names=("Ⓐ", "名", *sheet.names[2:]))
    other = drawn(monkeypatch, figures.glyphs, named, wide=None)
    first, second = (figure.axes[0].texts[0].get_fontfamily() for figure in (plain, other))
    assert first == ["sans-serif"]
    assert second[0] == "DejaVu Sans"
    assert "STIXGeneral" in second
