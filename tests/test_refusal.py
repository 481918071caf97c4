"""Refusal: what is no digit is learned, the threshold that is kept, and coverage against error."""

import json
import struct
from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from lenet5_cli import LeNet5
from lenet5_cli.commands import evaluate
from lenet5_cli.config import Config, read
from lenet5_cli.data import drawn, glyphs, sources
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.storage import checkpoint
from lenet5_cli.storage.checkpoint import QUANTILES, Checkpoint
from lenet5_cli.training import loop
from lenet5_cli.training.metrics import Tally
from lenet5_cli.training.runs import Run
from tests.conftest import bars, run

# Two epochs of an easy run, in which 60 of 260 images are held out.
SETTINGS = Config(
    **read("quick") | {"epochs": 2, "batch_size": 10, "samples_per_epoch": 10**6, "validation": 60, "seed": 1}
)
# Nearest distances of 1 to 4, a quarter of the images each; of those at 3 and 4, half are wrong. At coverages of at
# least 1, 0.999, 0.75, 0.3 and 0.1, of which the first two are one.
CURVE = """\
          Refusing what is far from every glyph
┏━━━━━━━━━━┳━━━━━━━━━━━━━━━━┳━━━━━━━━━━┳━━━━━━━┳━━━━━━━━┓
┃ coverage ┃ distance up to ┃ answered ┃ wrong ┃  error ┃
┡━━━━━━━━━━╇━━━━━━━━━━━━━━━━╇━━━━━━━━━━╇━━━━━━━╇━━━━━━━━┩
│   1.0000 │           4.00 │      400 │   100 │ 0.2500 │
│   0.7500 │           3.00 │      300 │    50 │ 0.1667 │
│   0.5000 │           2.00 │      200 │     0 │ 0.0000 │
│   0.2500 │           1.00 │      100 │     0 │ 0.0000 │
└──────────┴────────────────┴──────────┴───────┴────────┘
"""


def measured() -> Tally:
    """Return a tally of 400 images at the distances of ``CURVE``."""
    labels, distances = np.zeros(400, int), np.repeat([1.0, 2.0, 3.0, 4.0], 100)
    labels[200:300] = np.arange(100) % 2
    labels[300:] = np.arange(100) % 2
    scores = np.full((400, 10), -50.0)
    scores[:, 0] = -distances
    tally = Tally()
    tally.add(100.0, labels, scores)
    return tally


def evaluated(monkeypatch: pytest.MonkeyPatch, distances: np.ndarray | None, *options: str) -> Result:
    """Return what ``eval`` prints of a model with these quantiles of distances, measured as ``CURVE`` says."""
    monkeypatch.setattr(loop, "evaluate", lambda *_, **__: measured())
    monkeypatch.setattr(sources, "load", lambda *_, **__: bars(10))
    monkeypatch.setattr(evaluate, "COVERAGES", (1, 0.999, 0.75, 0.3, 0.1))
    checkpoint.write("model.pkl", Checkpoint(LeNet5(SETTINGS).pairs(), glyphs.read(), distances=distances))
    return run("eval", "model.pkl", "--reject", *options)


def test_the_curve_is_shown_with_the_models_own_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = evaluated(monkeypatch, np.linspace(0, 3.5, QUANTILES)).stdout
    # Of 0 to 3.5 in even steps, 99.5 % are up to 3.4825, and so are 300 of the images, 50 of them wrong.
    assert [line.rstrip() for line in shown.splitlines()][-10:] == [
        *CURVE.splitlines(),
        "At the model's own threshold, 3.48, 300 of 400 images are answered, 50 of them wrongly (0.1667).",
    ]


def test_without_a_threshold_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    last = evaluated(monkeypatch, None).stdout.splitlines()[-1]
    assert last == "The model has no threshold of its own: it was trained without --validation."


def test_json_has_the_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = json.loads(evaluated(monkeypatch, np.linspace(0, 3.5, QUANTILES), "--json").stdout)["reject"]
    assert facts["model"] == {
        "coverage": 0.75, "error": 50 / 300, "threshold": pytest.approx(3.4825), "accepted": 300, "wrong": 50,
        "images": 400,
    }  # fmt: skip
    assert [(point["coverage"], point["error"], point["threshold"]) for point in facts["curve"]] == [
        (1, 0.25, 4), (0.75, 50 / 300, 3), (0.5, 0, 2), (0.25, 0, 1),
    ]  # fmt: skip


def test_drawn_images_stand_behind_those_of_a_split() -> None:
    split = bars(20)
    assert loop.extended(split, 0, 0, nonclass=10) is split
    for count, others in ((7, 5), (7, 0), (0, 5)):
        taught = loop.extended(split, count, others, nonclass=10)
        digits, labels = drawn.draw(count, 3, evenly=True)
        behind = [digits, drawn.draw_nondigits(others, 3)]
        np.testing.assert_array_equal(taught.images, np.concatenate([split.images, *behind]))
        assert taught.labels.tolist() == [*split.labels, *labels, *[10] * others]
        assert taught.labels.dtype == np.uint8


def test_what_is_no_digit_is_learned_to_be_farther_and_not_counted() -> None:
    nearest, settings = [], replace(SETTINGS, epochs=3, loss="discriminative", rubbish=14.0)
    others = drawn.draw_nondigits(100, 5)
    for nondigits in (0, 200):
        training = Run(replace(settings, nondigits=nondigits), bars(260))
        epochs = list(training.train())
        nearest.append(-training.network.scores(others).max(axis=1))
    # Those drawn are trained on, while accuracies are of the split alone: of 200 and of 60 images.
    assert epochs[-1].images == 400
    assert epochs[-1].accuracy * 200 == pytest.approx(round(epochs[-1].accuracy * 200))
    assert np.median(nearest[1]) > np.median(nearest[0]) + 0.5


@pytest.fixture(scope="module")
def calibrated() -> tuple[LeNet5, np.ndarray]:
    """Return a trained network with a threshold, and the distances of the images that it was calibrated with."""
    split = bars(260)
    training = Run(SETTINGS, split)
    list(training.train())
    network = training.kept()
    return network, -network.scores(split.images[200:]).max(axis=1)


@pytest.mark.parametrize("accept", [0.001, 0.1, 0.5, 0.9, 0.9501, 0.995, 0.9999])
def test_the_threshold_lets_that_fraction_of_the_images_held_out_pass(
    calibrated: tuple[LeNet5, np.ndarray], accept: float
) -> None:
    network, nearest = calibrated
    network.accept = accept
    passed = (nearest <= np.float32(network.threshold) * (1 + 1e-6)).mean()
    assert accept <= passed <= accept + 2 / 60


def test_the_threshold_is_the_quantile_that_is_asked_for_or_the_next(calibrated: tuple[LeNet5, np.ndarray]) -> None:
    network = copy(calibrated[0])
    network.distances = np.arange(1001, dtype=np.float32) ** 1.5
    for place in range(1000):
        network.accept = place / 1000
        assert network.threshold == network.distances[place]
        network.accept += 0.0004
        assert network.threshold == network.distances[place + 1]


def test_accepting_all_refuses_nothing_and_a_run_without_validation_has_no_threshold(
    calibrated: tuple[LeNet5, np.ndarray],
) -> None:
    network, nearest = calibrated
    network.accept = 0.995
    assert network.threshold == pytest.approx(np.sort(nearest)[-1])  # of 60, 99.5 % are all
    network.accept = 1
    assert network.threshold is None
    training = Run(replace(SETTINGS, validation=0), bars(20))
    list(training.train())
    assert training.kept().threshold is None


def test_the_quantiles_go_through_a_file_and_a_resumed_run_keeps_those_of_its_best_epoch(tmp_path: Path) -> None:
    split, path = bars(260), tmp_path / "model.pkl"
    config = replace(SETTINGS, schedule="exponential", lr=0.002)
    first = Run(config, split)
    list(first.train(output=path))
    saved = checkpoint.read(path)
    np.testing.assert_array_equal(saved.distances, first.checkpoint().distances)
    network = LeNet5.restore(saved)
    assert network.threshold == first.kept().threshold
    resumed = Run.resume(saved, split, replace(config, epochs=3))
    np.testing.assert_array_equal(resumed.checkpoint().distances, saved.distances)


FULL = Checkpoint(LeNet5(Config(seed=1)).pairs(), glyphs.read(), distances=np.linspace(1, 20, QUANTILES))


@pytest.mark.parametrize(
    ("distances", "message"),
    [
        (np.linspace(1, 20, 5), "distances: not 1,001 ascending numbers"),
        (np.linspace(20, 1, QUANTILES), "distances: not 1,001 ascending numbers"),
        (np.full(QUANTILES, np.nan), "distances: holds NaN or infinity"),
        (np.arange(QUANTILES), "numbers of type <i8; expected float32 or float64"),
    ],
)
def test_quantiles_that_no_run_writes_are_refused(tmp_path: Path, distances: object, message: str) -> None:
    path = tmp_path / "model.pkl"
    checkpoint.write(path, replace(FULL, distances=distances))
    with pytest.raises(LeNet5Error) as error:
        checkpoint.read(path)
    assert str(error.value) == f"{path}: {message}"


def test_a_flipped_bit_of_the_quantiles_is_found(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    checkpoint.write(path, FULL)
    content = path.read_bytes()
    place = content.index(struct.pack("<d", 20.0))
    path.write_bytes(content[:place] + b"\1" + content[place + 1 :])
    with pytest.raises(LeNet5Error, match="damaged: its content does not match the stored SHA-256"):
        checkpoint.read(path)


def test_nondigits_go_with_the_loss_that_learns_them() -> None:
    with pytest.raises(LeNet5Error) as error:
        Config(nondigits=1)
    assert str(error.value) == "nondigits: loss is cross-entropy; expected discriminative"
