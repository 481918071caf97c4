"""``lenet5 eval``: what it prints, in colour and without, and the pictures it leaves behind."""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from rich.cells import cell_len

from lenet5_cli import LeNet5
from lenet5_cli.commands import lenet5
from lenet5_cli.config import Config
from lenet5_cli.data import glyphs, idx, sources
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.reports import figures
from lenet5_cli.storage import checkpoint
from lenet5_cli.storage.checkpoint import Checkpoint
from lenet5_cli.training import loop
from lenet5_cli.training.metrics import Tally
from tests.conftest import bars, drawing, train
from tests.conftest import run as lenet5_run

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
IN_COLOUR = {"FORCE_COLOR": "1", "COLORTERM": "truecolor", "TERM": "xterm-256color"}
CONFUSION = [  # 200 images of 4, of which 1 % is read as 1, 4 % as 9; 1,000 of 9; 1 of 7
    *[[0] * 10] * 4,
    [0, 2, 0, 0, 190, 0, 0, 0, 0, 8],
    *[[0] * 10] * 2,
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    [0] * 10,
    [0, 0, 0, 0, 2, 0, 0, 0, 0, 998],
]
# precision: 4: 190 / 192; 9: 998 / 1007. recall: 190 / 200; 998 / 1000. F1: 2 * 190 / 392; 2 * 998 / 2007.
# Wilson's interval of 1188 of 1201. Calibration: every answer sure by 0.98: 0.98 - 1188 / 1201 = -0.0092.
SHOWN = """\
test accuracy: 0.9892 (1188 of 1201)
95 % interval: 0.9816 to 0.9937
loss: 0.25000
calibration error: 0.0092
                   Each digit
┏━━━━━━━┳━━━━━━━━┳━━━━━━━━━━━┳━━━━━━━━┳━━━━━━━━┓
┃ digit ┃ images ┃ precision ┃ recall ┃     F1 ┃
┡━━━━━━━╇━━━━━━━━╇━━━━━━━━━━━╇━━━━━━━━╇━━━━━━━━┩
│     0 │      0 │         - │      - │      - │
│     1 │      0 │    0.0000 │      - │ 0.0000 │
│     2 │      0 │         - │      - │      - │
│     3 │      0 │         - │      - │      - │
│     4 │    200 │    0.9896 │ 0.9500 │ 0.9694 │
│     5 │      0 │         - │      - │      - │
│     6 │      0 │         - │      - │      - │
│     7 │      1 │         - │ 0.0000 │ 0.0000 │
│     8 │      0 │         - │      - │      - │
│     9 │   1000 │    0.9911 │ 0.9980 │ 0.9945 │
└───────┴────────┴───────────┴────────┴────────┘
   Confusions: true digit down, answer across
┏━━━┳━━━┳━━━┳━━━┳━━━┳━━━━━┳━━━┳━━━┳━━━┳━━━┳━━━━━┓
┃   ┃ 0 ┃ 1 ┃ 2 ┃ 3 ┃   4 ┃ 5 ┃ 6 ┃ 7 ┃ 8 ┃   9 ┃
┡━━━╇━━━╇━━━╇━━━╇━━━╇━━━━━╇━━━╇━━━╇━━━╇━━━╇━━━━━┩
│ 0 │ · │ · │ · │ · │   · │ · │ · │ · │ · │   · │
│ 1 │ · │ · │ · │ · │   · │ · │ · │ · │ · │   · │
│ 2 │ · │ · │ · │ · │   · │ · │ · │ · │ · │   · │
│ 3 │ · │ · │ · │ · │   · │ · │ · │ · │ · │   · │
│ 4 │ · │ 2 │ · │ · │ 190 │ · │ · │ · │ · │   8 │
│ 5 │ · │ · │ · │ · │   · │ · │ · │ · │ · │   · │
│ 6 │ · │ · │ · │ · │   · │ · │ · │ · │ · │   · │
│ 7 │ · │ · │ · │ · │   · │ · │ · │ · │ · │   1 │
│ 8 │ · │ · │ · │ · │   · │ · │ · │ · │ · │   · │
│ 9 │ · │ · │ · │ · │   2 │ · │ · │ · │ · │ 998 │
└───┴───┴───┴───┴───┴─────┴───┴───┴───┴───┴─────┘
"""
PAIRS = """\
4 read as 9: 8 of 200 (4.00 %)
4 read as 1: 2 of 200 (1.00 %)
9 read as 4: 2 of 1000 (0.20 %)
7 read as 9: 1 of 1 (100.00 %)
"""


def counted(confusion: list[list[int]], times: int = 1) -> Tally:
    """Return a tally of a confusion matrix, every answer sure by 0.98, the loss a quarter."""
    matrix = times * np.array(confusion)
    tally = Tally(loss_sum=matrix.sum() / 4)
    tally.confusion = matrix
    tally.bins[:, 19] = matrix.sum(), matrix.trace(), 0.98 * matrix.sum()
    return tally


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every model measured as ``CONFUSION`` says."""
    monkeypatch.setattr(loop, "evaluate", lambda *_, **__: counted(CONFUSION))
    monkeypatch.setattr(sources, "load", lambda *_, **__: bars(10))


@pytest.fixture(autouse=True)
def _model() -> None:
    checkpoint.write("model.pkl", Checkpoint(LeNet5(Config(seed=1)).pairs(), glyphs.read()))


def run(*arguments: object, code: int = 0, charset: str = "utf-8", **environment: str) -> Result:
    result = CliRunner(charset=charset).invoke(lenet5, ["eval", "model.pkl", *map(str, arguments)], env=environment)
    assert result.exit_code == code, result.output
    return result


def folder_with(wrong: int, images: int = 50) -> Path:
    """Write a test set whose labels are the model's answers, but for some that are not."""
    pictures = bars(images).images
    labels = LeNet5.load("model.pkl").scores(pictures).argmax(axis=1).astype(np.uint8)
    labels[:wrong] = (labels[:wrong] + 1) % 10
    folder = Path("data")
    folder.mkdir()
    idx.write(folder / "t10k-images-idx3-ubyte", pictures)
    idx.write(folder / "t10k-labels-idx1-ubyte", labels)
    return folder


def left_behind() -> set[str]:
    return {path.name for path in Path().iterdir()} - {"model.pkl", "data"}


@pytest.mark.usefixtures("measured")
def test_it_shows_what_was_measured() -> None:
    lines = [line.rstrip() for line in run().stdout.splitlines()]
    assert lines == (SHOWN + PAIRS).splitlines()


@pytest.mark.usefixtures("measured")
def test_a_title_that_is_wider_than_its_table_is_not_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    two = Tally(names=("a", "b"))
    two.add(1.0, np.array([0, 1]), np.array([[-1.0, -2.0], [-2.0, -1.0]]))
    monkeypatch.setattr(loop, "evaluate", lambda *_, **__: two)
    assert "Confusions: true class down, answer across" in map(str.strip, run().stdout.splitlines())


@pytest.mark.usefixtures("measured")
def test_long_names_of_classes_leave_room_for_the_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    two = Tally(names=("sixteen letters", "b"))
    two.add(1.0, np.array([0, 1]), np.array([[-1.0, -2.0], [-2.0, -1.0]]))
    monkeypatch.setattr(loop, "evaluate", lambda *_, **__: two)
    shown = run(COLUMNS="40").stdout
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 40


@pytest.mark.usefixtures("measured")
def test_json_holds_the_same() -> None:
    facts = json.loads(run("--json").stdout)
    tally = counted(CONFUSION)
    assert facts.pop("calibration") == {
        "error": pytest.approx(1188 / 1201 - 0.98),
        "bins": [
            {"above": 0.95, "to": 1.0, "images": 1201, "accuracy": 1188 / 1201, "confidence": pytest.approx(0.98)}
        ],
    }
    assert facts == {
        "model": "model.pkl",
        "data": "mnist",
        "split": "test",
        "images": 1201,
        "right": 1188,
        "accuracy": 1188 / 1201,
        "interval": list(tally.interval),
        "loss": 0.25,
        "precision": tally.precision.tolist(),
        "recall": tally.recall.tolist(),
        "f1": [0, 0, 0, 0, pytest.approx(380 / 392), 0, 0, 0, 0, pytest.approx(1996 / 2007)],
        "classes": list("0123456789"),
        "confusion": CONFUSION,
        "confused": [
            {"digit": 4, "answer": 9, "count": 8, "of": 200},
            {"digit": 4, "answer": 1, "count": 2, "of": 200},
            {"digit": 9, "answer": 4, "count": 2, "of": 1000},
            {"digit": 7, "answer": 9, "count": 1, "of": 1},
        ],
    }


@pytest.mark.usefixtures("measured")
def test_a_terminal_gets_colours_and_what_they_mean() -> None:
    shown = run(**IN_COLOUR).stdout
    legend = "fraction of the digit's images:  <0.3%  <1.0%  <3.0%  more \n"
    plain = [line.rstrip() for line in ESCAPE.sub("", shown).splitlines()]
    assert plain == (SHOWN + legend + PAIRS).replace(" \n", "\n").splitlines()
    # (ground) count: 2 of 1000 are less than 0.3 %, 2 of 200 less than 3 %, 8 of 200 and 1 of 1 more; right in blue
    cells = {}
    for ground, count in re.findall(r"48;2;(\d+;\d+;\d+)m *\x1b[^ ]*m *(\d+)\x1b", shown):
        cells.setdefault(ground, []).append(int(count))
    assert cells == {"240;140;46": [2], "0;60;158": [190, 998], "160;40;0": [8, 1], "255;243;196": [2]}


@pytest.mark.usefixtures("measured")
def test_no_color_is_honoured() -> None:
    shown = run(NO_COLOR="1", **IN_COLOUR).stdout
    assert not re.search(r"\x1b\[[0-9;]*[34]8;", shown)
    assert [line.rstrip() for line in ESCAPE.sub("", shown).splitlines()] == (SHOWN + PAIRS).splitlines()


@pytest.mark.usefixtures("measured")
def test_without_unicode_the_tables_are_ascii() -> None:
    shown = run(charset="ascii").stdout
    assert "| 4 | . | 2 | . | . | 190 | . | . | . | . |   8 |" in shown
    assert re.findall(r"[\w.%]+", shown) == re.findall(r"[\w.%]+", (SHOWN + PAIRS).replace("·", "."))


@pytest.mark.parametrize("columns", [40, 59, 60, 80, 200])
@pytest.mark.parametrize("times", [1, 1000, 1_000_000])
def test_it_fits_the_terminal_and_leaves_no_number_out(
    columns: int, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    confusion = np.arange(100, 200).reshape(10, 10) + 800 * np.eye(10, dtype=int)
    monkeypatch.setattr(loop, "evaluate", lambda *_, **__: counted(confusion.tolist(), times))
    monkeypatch.setattr(sources, "load", lambda *_, **__: bars(10))
    tables = run(COLUMNS=str(columns)).stdout.splitlines()[4:-5]  # what is before and behind may wrap anywhere
    assert max(map(cell_len, tables)) <= columns
    start = next(number for number, line in enumerate(tables) if "Confusions" in line)
    numbers = re.findall(r"\d{3,}", "\n".join(tables[start:]))
    assert sorted(map(int, numbers)) == sorted((times * confusion).ravel())
    assert "…" not in "".join(tables)


def test_the_pictures_are_drawn() -> None:
    folder = folder_with(wrong=12)
    result = run("--data", folder, "--plot", "confusion.png", "--errors", "errors.png")
    assert result.stdout.startswith("test accuracy: 0.7600 (38 of 50)\n")
    assert result.stderr.endswith("confusion.png: written\nerrors.png: written\n")
    assert left_behind() == {"confusion.png", "errors.png"}
    for name, height in (("confusion.png", 660), ("errors.png", (0.85 + 2 * 1.3) * 150)):
        with Image.open(name) as image:
            assert image.size == (1350, pytest.approx(height, abs=1))


def test_no_more_than_200_wrong_answers_are_drawn(unrendered: list[Any]) -> None:
    result = run("--data", folder_with(wrong=230, images=300), "--errors", "errors.png")
    assert "test accuracy: 0.2333 (70 of 300)" in result.stdout
    [figure] = unrendered
    assert figure.get_size_inches() == pytest.approx([9, 0.85 + 20 * 1.3])
    assert len(figure.axes[0].images) == 200


def test_a_sheet_without_wrong_answers_is_written_too() -> None:
    """Who asks for a file finds it, and an older one of other errors does not stay."""
    folder = folder_with(wrong=0)
    Path("errors.png").write_bytes(b"of another model")
    assert "test accuracy: 1.0000 (50 of 50)" in run("--data", folder, "--errors", "errors.png", "--overwrite").stdout
    with Image.open("errors.png") as image:
        assert image.size == (1350, pytest.approx(0.85 * 150, abs=1))


def test_a_picture_replaces_no_file() -> None:
    Path("mine.png").write_bytes(b"mine")
    for option in ("--plot", "--errors"):
        assert run(option, "mine.png", code=2).stderr.endswith("Error: mine.png exists; --overwrite replaces it\n")
        assert run(option, "none/a.png", code=2).stderr.endswith("Error: none/a.png: there is no folder none\n")
    assert left_behind() == {"mine.png"}
    assert Path("mine.png").read_bytes() == b"mine"


@pytest.mark.parametrize("option", ["--plot", "--errors"])
def test_a_picture_replaces_nothing_that_is_read(option: str) -> None:
    for digit in "01":
        Path("own", digit).mkdir(parents=True)
        drawing(int(digit)).save(f"own/{digit}/a.png")
    Path("link.png").symlink_to("model.pkl")
    for name, message in (
        ("link.png", "link.png: is also read by MODEL; give the output another name"),
        ("own/1/a.png", "own/1/a.png: is a file of the data own; give the output another name"),
    ):
        before = Path(name).read_bytes()
        said = run("--data", "own", option, name, "--overwrite", code=2).stderr
        assert said.endswith(f"Error: {message}\n")
        assert Path(name).read_bytes() == before


def test_a_picture_becomes_none_of_the_data_that_is_measured() -> None:
    for place in ("flat/0", "flat/1", "split/train/0", "split/train/1", "split/test/0", "split/test/1"):
        Path(place).mkdir(parents=True)
        drawing(int(place[-1])).save(f"{place}/a.png")
    for data, name in (("flat", "flat/1/e.png"), ("flat", "split/../flat/0/e.png"), ("split", "split/test/1/e.png")):
        message = f"{name}: would become a picture of the data {data}; write it somewhere else"
        for option in ("--plot", "--errors"):
            assert run("--data", data, option, name, code=2).stderr.endswith(f"Error: {message}\n")
    assert not [*Path().rglob("e.png")]
    run("--data", "split", "--errors", "split/test/e.png")  # what stands beside the classes is in none
    run("--data", "flat", "--errors", "split/test/1/e.png", "--test-fraction", "1")


@pytest.mark.usefixtures("measured")
def test_a_picture_that_cannot_be_drawn_hides_no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise LeNet5Error("a.png: cannot be written: No space left on device")

    monkeypatch.setattr(figures, "evaluation", failing)
    result = run("--plot", "a.png", code=1)
    assert result.stdout.startswith("test accuracy: 0.9892 (1188 of 1201)\n")
    assert result.stderr.endswith("Error: a.png: cannot be written: No space left on device\n")


@pytest.mark.parametrize("option", ["--plot", "--errors"])
def test_a_folder_that_may_not_be_written_is_told_before_anything_is_measured(
    option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("locked").mkdir()
    monkeypatch.setattr(os, "access", lambda folder, _: Path(folder).name != "locked")
    result = run(option, "locked/a.png", code=2)
    message = f"Error: locked/a.png: the folder {Path('locked').resolve()} is not writable\n"
    assert (result.stdout, result.stderr.endswith(message)) == ("", True)


@pytest.mark.parametrize("option", ["--plot", "--errors"])
def test_what_a_picture_needs_is_told_before_anything_is_measured(option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.txt", "a"):
        result = run(option, name, code=2)
        assert result.stderr.splitlines()[-1] == (
            f"Error: {option} {name}: expected a name that ends in .png, .pdf, .svg or another that matplotlib writes"
        )
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    message = (
        "Error: matplotlib cannot be imported: import of matplotlib halted; None in sys.modules;"
        f" pip install 'lenet5-cli[plot]' or leave out {option}\n"
    )
    assert run(option, "a.png", code=1).stderr == message
    assert left_behind() == set()


def test_eval_measures_what_training_measured(bars_folder: Path) -> None:
    settings = ["--config", "quick", "--batch-size", 10, "--lr", 0.01, "--epochs", 10, "--samples-per-epoch", 300]
    stdout = train(bars_folder, *settings, "--overwrite").stdout
    result = lenet5_run("eval", "model.pkl", "--json")
    measured = json.loads(result.stdout)
    last = stdout.splitlines()[-1]
    counts = f"({measured['right']} of {measured['images']})"
    assert last == f"test accuracy: {measured['accuracy']:.4f} {counts}"
    assert measured["data"] == str(bars_folder)
    confusion = np.array(measured["confusion"])
    assert confusion.sum() == measured["images"] == 50
    assert confusion.trace() == measured["right"]
    assert 5 < measured["right"] < 50
    np.testing.assert_allclose(measured["recall"], confusion.diagonal() / confusion.sum(axis=1))
    training = json.loads(lenet5_run("eval", "model.pkl", "--json", "--split", "train").stdout)
    assert training["accuracy"] == checkpoint.read("model.pkl").history[-1].accuracy


def test_eval_shows_tables(bars_folder: Path) -> None:
    result = lenet5_run("eval", "bundled", "--data", bars_folder)
    lines = result.stdout.splitlines()
    assert re.match(r"^test accuracy: 0\.\d{4} \(\d+ of 50\)$", lines[0])
    assert re.match(r"^95 % interval: 0\.\d{4} to 0\.\d{4}$", lines[1])
    assert re.match(r"^loss: \d+\.\d{5}$", lines[2])
    assert "precision" in result.stdout
    assert "Confusions" in result.stdout
    assert "\x1b" not in result.stdout


def test_no_rank_is_missed_while_the_leader_looks_what_a_model_has_learned(
    bars_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To load a large folder once more took longer than the others waited for their first step."""
    done: list[str] = []
    for name in ("note_trained_on", "agree"):  # from which on the time counts
        monkeypatch.setattr(f"lenet5_cli.commands.evaluate.{name}", lambda *_, name=name, **__: done.append(name))
    lenet5_run("eval", "bundled", "--data", str(bars_folder))
    assert done == ["note_trained_on", "agree"]
