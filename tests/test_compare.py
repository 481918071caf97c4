"""``lenet5 compare``: counts against a slow reference, McNemar's test against hand-worked numbers, whole output."""

import json
import pickle
from math import comb
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lenet5_cli import LeNet5, load_data
from lenet5_cli.training.metrics import mcnemar
from tests.conftest import left_behind, run, train


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [
        (0, 0, 1.0),
        (5, 5, 1.0),
        (0, 5, 2 / 32),  # 2 C(5, 0) / 2^5
        (1, 5, 2 * (1 + 6) / 64),  # 2 (C(6, 0) + C(6, 1)) / 2^6
        (6, 2, 2 * (1 + 8 + 28) / 256),
    ],
)
def test_mcnemar_by_hand(first: int, second: int, p: float) -> None:
    assert mcnemar(first, second) == pytest.approx(p, rel=1e-12)


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_the_binomial_test(first: int, second: int) -> None:
    n, low = first + second, min(first, second)
    exact = min(1, 2 * sum(comb(n, i) for i in range(low + 1)) / 2**n)
    assert mcnemar(first, second) == mcnemar(second, first) == pytest.approx(exact, rel=1e-9)


@pytest.fixture
def two(bars_folder: Path) -> Path:
    train(bars_folder, "-o", "a.pkl", "--init", "normal")
    train(bars_folder, "-o", "b.pkl", "--lr", 0.1, "--init", "normal", "--seed", 4)
    return bars_folder


def test_counts_are_those_of_the_answers(two: Path) -> None:
    found = json.loads(run("compare", "a.pkl", "b.pkl", "--json").stdout)
    split = load_data(str(two), "test")
    one, other = (LeNet5.load(name).scores(split.images[:]).argmax(axis=1) for name in ("a.pkl", "b.pkl"))
    right = [(one == split.labels), (other == split.labels)]
    assert found["models"] == ["a.pkl", "b.pkl"]
    assert found["settings"] == {"lr": [0.5, 0.1], "seed": [3, 4]}
    assert found["accuracy"] == [each.mean() for each in right]
    assert found["right_alone"] == [int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())]
    assert found["p"] == mcnemar(*found["right_alone"])
    assert [each["index"] for each in found["differing"]] == np.flatnonzero(one != other).tolist()
    assert found["differing"], "the two models answer alike: nothing was tested"


def test_a_model_without_a_history_is_left_out_of_the_plot(two: Path) -> None:
    """A plot with nothing in it was written, and lines of a legend that belonged to nothing."""
    for name in ("c.pkl", "d.pkl"):
        Path(name).write_bytes(pickle.dumps(LeNet5.load("a.pkl").pairs()))  # as the report's own dump does
    told = "c.pkl: holds no training history; it is left out of one.png\n"
    result = run("compare", "a.pkl", "c.pkl", "--data", two, "--plot", "one.png")
    assert result.stderr.endswith(f"{told}one.png: written\n")
    result = run("compare", "c.pkl", "d.pkl", "--data", two, "--plot", "none.png")
    assert result.stderr.endswith(
        "left out of none.png\nd.pkl: holds no training history; it is left out of none.png\n"
    )
    assert not Path("none.png").exists()


@pytest.mark.usefixtures("two", "unrendered")
def test_output_and_plot() -> None:
    result = run("compare", "a.pkl", "b.pkl", "--plot", "both.png")
    found = json.loads(run("compare", "a.pkl", "b.pkl", "--json").stdout)
    lines = result.stdout.splitlines()
    right, (low, high) = found["right"][0], found["interval"][0]
    assert f"test accuracy of a.pkl: {right / 50:.4f} ({right} of 50), 95 % interval {low:.4f} to {high:.4f}" in lines
    assert "only one right: a.pkl on {} images, b.pkl on {}".format(*found["right_alone"]) in lines
    assert result.stderr.endswith("both.png: written\n")
    assert left_behind() == ["a.pkl", "b.pkl", "bars", "both.png"]


@pytest.mark.usefixtures("two")
def test_a_model_against_a_copy_of_itself() -> None:
    Path("copy.pkl").write_bytes(Path("a.pkl").read_bytes())
    lines = run("compare", "a.pkl", "copy.pkl").stdout.splitlines()
    assert lines[0] == "The settings are the same."
    assert "McNemar's exact test: p = 1; not significant at the 5 % level" in lines
    assert lines[-1] == "Both give the same answer on every image."
    result = run("compare", "a.pkl", "a.pkl", code=2)
    assert result.stderr.endswith("Error: a.pkl is given twice; expected two checkpoints\n")


@pytest.mark.usefixtures("two")
def test_pictures_are_named_by_their_files() -> None:
    run("data", "convert", "bars", "pictures", "--to", "folders")
    result = run("compare", "a.pkl", "b.pkl", "--data", "pictures")
    first = json.loads(run("compare", "a.pkl", "b.pkl", "--data", "pictures", "--json").stdout)["differing"][0]
    assert Path(first["file"]).parent == Path("pictures/test", str(first["label"]))
    cells = [str(first[name]) for name in ("file", "label", "first", "second")]
    assert "│ {} │ {} │ {} │ {} │".format(*cells) in " ".join(result.stdout.replace("\n", " ").split())


@pytest.mark.usefixtures("drawn_once")
def test_classes_are_told_by_name_and_must_be_the_same() -> None:
    letters = ["train", "--data", "builtin-letters:30", "--glyphs", "letters", "--epochs", 1, "--seed"]
    run(*letters, 1, "-o", "a.pkl")
    run(*letters, 2, "-o", "b.pkl")
    result = run("compare", "a.pkl", "b.pkl")
    found = json.loads(run("compare", "a.pkl", "b.pkl", "--json").stdout)
    assert found["classes"] == list("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    first = found["differing"][0]
    cells = [str(first["index"]), *(found["classes"][first[name]] for name in ("label", "first", "second"))]
    assert "│ {} │ {} │ {} │ {} │".format(*cells) in " ".join(result.stdout.replace("\n", " ").split())
    refused = run("compare", "bundled", "b.pkl", code=1)
    assert refused.stderr.endswith(
        "Error: b.pkl: has 26 classes, and bundled has 10; expected the same classes to compare them\n"
    )


@pytest.mark.usefixtures("two")
def test_names_are_shown_as_they_are_and_whole_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("b.pkl").rename("[b]a[b].pkl")
    for width in (80, 30):
        monkeypatch.setenv("COLUMNS", str(width))
        shown = run("compare", "a.pkl", "[b]a[b].pkl").stdout
        assert ("┃ [b]a[b].pkl ┃" in shown) == (width == 80)
        assert "…" not in shown
