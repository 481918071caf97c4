"""Starting from a trained model: what is taken over, what is kept, and that a resumed run has the same bytes."""

import re
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lenet5_cli import LeNet5, LeNet5Error, train
from lenet5_cli.commands.train import _best_of, _Done
from lenet5_cli.config import Config
from lenet5_cli.data import glyphs, idx, mnist, remote
from lenet5_cli.files import BUNDLED_MODEL
from lenet5_cli.storage import checkpoint
from lenet5_cli.storage.checkpoint import Checkpoint, Epoch
from lenet5_cli.training import runs
from lenet5_cli.training.loop import evaluate, mixed
from lenet5_cli.training.metrics import Tally
from tests.conftest import bars, drawing, left_behind, run, without_seconds

SIZE = ["--input", "grey", "--maps", "4,8,40", "--samples-per-epoch", 50]
START = [*SIZE, "--init", "normal", "--epochs", 2, "--clip", 0]
FINE = ["--from", "start.pkl", "--seed", 5, "--epochs", 4, "--batch-size", 32]


@pytest.fixture
def start(bars_folder: Path) -> Path:
    """Return a model of its own size, trained a little on bars."""
    run("train", "--data", bars_folder, *START, "--seed", 1, "--output", "start.pkl")
    return Path("start.pkl")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Return a folder of 80 training and 40 test images in the order of their classes."""
    folder = tmp_path / "own"
    folder.mkdir()
    for prefix, split in (("train", bars(80, seed=7)), ("t10k", bars(40, seed=8))):
        order = np.argsort(split.labels, kind="stable")
        idx.write(folder / f"{prefix}-images-idx3-ubyte", split.images[order])
        idx.write(folder / f"{prefix}-labels-idx1-ubyte", split.labels[order])
    return folder


@pytest.mark.usefixtures("start")
def test_a_run_from_a_model_has_its_network_and_says_where_it_came_from(own: Path) -> None:
    run("train", *FINE, "--data", own)
    saved = checkpoint.read("model.pkl")
    assert (saved.config["maps"], saved.config["input"]) == ("4,8,40", "grey")
    assert (saved.config["optimizer"], saved.config["augment"]) == ("adam", "affine")  # of the preset finetune
    assert saved.config["validation"] == 16  # a fifth
    assert saved.data["from"] == "start.pkl"
    assert saved.epoch == 4


@pytest.mark.parametrize(
    "more",
    [["--ema", 0], ["--ema", 0.8], ["--rehearse", 0.5, "--ema", 0], ["--rehearse", 0.5]],
    ids=["alone", "averaged", "rehearsed", "rehearsed and averaged"],
)
def test_resume_gives_the_bytes_of_the_run_that_was_not_broken_off(more: list[Any], start: Path, own: Path) -> None:
    run("train", *FINE, *more, "--data", own, "--output", "whole.pkl")
    write = checkpoint.write

    def stopping(path: Path, saved: Any) -> None:
        write(path, saved)
        if saved.epoch == 2:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as monkey:
        monkey.setattr(checkpoint, "write", stopping)
        run("train", *FINE, *more, "--data", own, code=130)
    start.unlink()  # a resumed run does not need it
    run("train", "--resume")
    assert without_seconds("model.pkl") == without_seconds("whole.pkl")


@pytest.mark.usefixtures("start")
def test_resume_refuses_to_rehearse_other_images(own: Path, bars_folder: Path) -> None:
    run("train", *FINE, "--rehearse", 0.5, "--data", own, "--lr-decay", 1, "--schedule", "exponential")
    idx.write(bars_folder / "train-images-idx3-ubyte", bars(300, seed=9).images)
    result = run("train", "--resume", "--epochs", 6, code=1)
    there = f"rehearsed images that differ from those of {bars_folder}"
    advice = "put its own back, or begin another run"
    assert result.stderr.endswith(f"Error: model.pkl: {there}; {advice}\n")


def test_the_model_is_kept_where_no_epoch_is_better(start: Path, own: Path) -> None:
    result = run("train", *FINE, "--lr", 0, "--data", own)
    assert (
        "No epoch improved on the starting model's validation accuracy; keeping the starting model.\n" in result.stderr
    )
    before, after = checkpoint.read(start), checkpoint.read("model.pkl")
    for pair, kept in zip(before.pairs, after.pairs, strict=True):
        np.testing.assert_array_equal(pair[0], kept[0])
    assert after.epoch == 4


def test_an_epoch_that_is_as_accurate_as_the_model_is_kept_at_a_smaller_loss_alone(
    start: Path, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for factor, kept in ((0.9, True), (1, False), (1.1, False)):

        def fit(network: LeNet5, *_: object, validation: Any, factor: float = factor, **__: object) -> Any:
            before = evaluate(network, validation)
            network.parameters += 0.01
            yield Epoch(1, 0.3, 1.0, 0.1, 64, 0.1, factor * before.loss, before.accuracy), before

        monkeypatch.setattr(runs, "fit", fit)
        assert train(data=str(own), start=start, seed=5, epochs=1).improved == kept


def test_a_resumed_run_still_keeps_the_model_that_no_epoch_is_better_than(
    start: Path, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit(network: LeNet5, *_: object, first: int, **__: object) -> Any:
        network.parameters += 0.01
        yield Epoch(first, 0.3, 1.0, 0.1, 64, 0.1, 9 / first, 0.0), None  # the second is better than the first

    monkeypatch.setattr(runs, "fit", fit)
    begun = train(data=str(own), start=start, seed=5, epochs=1)
    assert begun.started_at
    resumed = runs.Run.resume(begun.checkpoint(), begun.split, replace(begun.config, epochs=2))
    assert resumed.started_at is None  # of what is kept so far, it would not be the model's
    assert [epoch.epoch for epoch in resumed.train()] == [2]
    assert not resumed.improved


def test_a_recipe_is_laid_over_that_of_fine_tuning_from_python_too(start: Path, own: Path) -> None:
    Path("mine.toml").write_text("epochs = 1\nlr = 0.02\n")
    here = train("mine.toml", data=str(own), start=start, seed=5)
    run("train", "--from", start, "--config", "mine.toml", "--data", own, "--seed", 5, "--output", "mine.pkl")
    assert here.config.optimizer == "adam"
    np.testing.assert_array_equal(here.kept().parameters, LeNet5.load("mine.pkl").parameters)


def test_the_model_that_is_kept_has_the_distances_of_the_images_held_out(start: Path, own: Path) -> None:
    run = train(data=str(own), start=start, seed=5, epochs=1, lr=0)
    assert not run.improved
    assert checkpoint.read(start).distances is None
    assert len(np.unique(run.checkpoint().distances)) == 16


def test_of_one_image_none_is_held_out(start: Path) -> None:
    one = bars(1)
    assert train(data=(one.images, one.labels), start=start, seed=5, epochs=1).config.validation == 0


def test_an_average_begins_with_the_model_it_starts_from(start: Path, own: Path) -> None:
    run = train(data=str(own), start=start, seed=5, epochs=2, lr=0, ema=0.9)
    np.testing.assert_array_equal(run.network.parameters, LeNet5.load(start).parameters)


def test_a_better_epoch_is_kept_and_nothing_said(start: Path, own: Path) -> None:
    result = run("train", *FINE, "--epochs", 12, "--lr", 0.01, "--augment", "none", "--data", own)
    assert "No epoch" not in result.stderr
    saved = checkpoint.read("model.pkl")
    best = max(saved.history, key=lambda epoch: (epoch.validation_accuracy, -epoch.validation_loss))
    half = train(data=str(own), start=start, seed=5, epochs=12, lr=0.01, augment="none", batch_size=32)
    assert half.history[best.epoch - 1].validation_loss == best.validation_loss
    np.testing.assert_array_equal(half.kept().parameters, LeNet5.load("model.pkl").parameters)


@pytest.mark.usefixtures("start")
def test_another_network_is_refused(own: Path) -> None:
    for option, value, there in (("--maps", "6,16,120", "4,8,40"), ("--dtype", "float64", "float32")):
        result = run("train", *FINE, "--data", own, option, value, code=1)
        name = option.removeprefix("--")
        message = f"{name} is {there} in this network; {value} would be another network; leave it out"
        assert result.stderr.endswith(f"Error: start.pkl: {message}\n")
    assert left_behind() == ["bars", "own", "start.pkl"]


def test_weights_that_a_model_has_are_not_initialised(start: Path, own: Path) -> None:
    result = run("train", "--from", start, "--init", "lecun", "--data", own, code=2)
    message = "--init: the initial weights are those of the --from model; leave it out"
    assert result.stderr.endswith(f"\nError: {message}\n")
    run("train", *FINE, "--epochs", 1, "--config", "quick", "--data", own)  # in which it is written for other runs


def test_no_image_is_held_out_where_none_is_asked_for(start: Path, own: Path) -> None:
    run("train", *FINE, "--validation", 0, "--data", own)
    saved = checkpoint.read("model.pkl")
    assert saved.config["validation"] == 0
    assert [epoch.validation_accuracy for epoch in saved.history] == [None] * 4
    assert saved.distances is None
    assert (LeNet5.load("model.pkl").parameters != LeNet5.load(start).parameters).any()
    whole = without_seconds("model.pkl")
    run("train", *FINE, "--validation", 0, "--data", own, "--epochs", 2, "--overwrite")
    run("train", "--resume", "--epochs", 4)
    resumed = checkpoint.read("model.pkl")
    assert (resumed.epoch, without_seconds("model.pkl")) == (4, whole)
    result = run("train", *FINE, "--validation", 0, "--patience", 2, "--data", own, "--overwrite", code=2)
    message = "--patience: there are no validation images; give --validation too"
    assert result.stderr.endswith(f"\nError: {message}\n")


def test_from_begins_a_new_run(start: Path) -> None:
    result = run("train", "--from", start, "--resume", code=2)
    there = "--from begins a new run; --resume continues one, wherever it started from"
    assert result.stderr.endswith(f"Error: {there}\n")


@pytest.mark.usefixtures("start")
def test_several_runs_from_a_model_are_the_single_ones_and_hold_out_the_same_images(own: Path) -> None:
    for seed in (5, 6):
        run("train", *FINE, "--rehearse", 0.5, "--data", own, "--seed", seed, "--output", f"{seed}.pkl")
    run("train", *FINE, "--rehearse", 0.5, "--data", own, "--runs", 2)
    singles = [checkpoint.read(f"{seed}.pkl") for seed in (5, 6)]
    assert singles[0].history[0].loss != singles[1].history[0].loss
    kept = checkpoint.read("model.pkl").config["seed"]
    assert without_seconds("model.pkl") == without_seconds(f"{kept}.pkl")
    still = run("train", *FINE, "--lr", 0, "--data", own, "--runs", 2, "--overwrite")
    assert still.stderr.count("keeping the starting model.\n") == 1
    np.testing.assert_array_equal(LeNet5.load("model.pkl").parameters, LeNet5.load("start.pkl").parameters)


@pytest.mark.usefixtures("start")
def test_the_model_that_several_runs_start_from_is_none_of_their_files(own: Path) -> None:
    """It was replaced by that of the first run, and then deleted."""
    before = Path("start.pkl").rename("model-1.pkl").read_bytes()
    result = run("train", "--from", "model-1.pkl", "--data", own, "--runs", 2, "--overwrite", code=2)
    assert result.stderr.endswith("Error: model-1.pkl: is also read by --from; give the output another name\n")
    assert Path("model-1.pkl").read_bytes() == before


def test_what_is_rehearsed_is_read_as_it_was_and_by_the_classes_of_the_model(own: Path) -> None:
    """From a model of other classes, trained on a file of which half is tested on, and as well when it is resumed."""
    split = bars(200, seed=3)
    names = "KLMNOPQRST"
    rows = zip(split.labels, split.images.reshape(200, -1).tolist(), strict=True)
    Path("letters.csv").write_text("".join(f"{names[label]},{','.join(map(str, row))}\n" for label, row in rows))
    half = ["--data", "letters.csv", "--test-fraction", 0.5, "--glyphs", "letters"]
    run("train", *half, "--epochs", 1, "--output", "start.pkl")
    whole = checkpoint.read("start.pkl")
    (own / "names.txt").write_text("\n".join(names))
    run("train", *FINE, "--epochs", 1, "--rehearse", 0.5, "--data", own)
    saved = checkpoint.read("model.pkl")
    assert (saved.data["rehearsed"], saved.data["rehearsed_sha256"]) == ("letters.csv", whole.data["sha256"])
    assert saved.sheet.names == whole.sheet.names
    run("train", "--resume", "--epochs", 2)
    assert checkpoint.read("model.pkl").epoch == 2


@pytest.mark.usefixtures("start")
def test_other_images_in_the_place_of_those_to_rehearse_are_said(own: Path, bars_folder: Path) -> None:
    rehearsal = ["train", *FINE, "--epochs", 1, "--rehearse", 0.5, "--data", own, "--overwrite"]
    note = f"NOTE: start.pkl was not trained on the images that are now in {bars_folder}, which --rehearse mixes in;"
    assert note not in run(*rehearsal).stderr
    idx.write(bars_folder / "train-images-idx3-ubyte", bars(300, seed=9).images)
    assert f"{note} put its own back to rehearse them.\n" in run(*rehearsal).stderr


@pytest.mark.usefixtures("start")
def test_no_output_replaces_what_is_rehearsed(own: Path, bars_folder: Path) -> None:
    images = bars_folder / "train-images-idx3-ubyte"
    before = images.read_bytes()
    rehearsal = ["train", *FINE, "--epochs", 1, "--rehearse", 0.5, "--data", own]
    run(*rehearsal)
    for given in ([*rehearsal, "--output"], [*rehearsal, "--log"], ["train", "--resume", "--epochs", 2, "--log"]):
        said = run(*given, images, "--overwrite", code=2).stderr
        assert said.endswith(f"Error: {images}: is a file of the data {bars_folder}; give the output another name\n")
    assert images.read_bytes() == before


@pytest.mark.usefixtures("start")
def test_drawn_digits_and_nondigits_are_learned_beside_what_is_rehearsed(own: Path) -> None:
    drawings = ["--drawn", 20, "--nondigits", 30, "--loss", "discriminative"]
    run("train", *FINE, *drawings, "--rehearse", 0.5, "--data", own)
    assert {epoch.images for epoch in checkpoint.read("model.pkl").history} == {2 * (64 + 20 + 30)}


@pytest.mark.usefixtures("start")
def test_with_another_sheet_the_layers_start_from_the_model_and_the_codes_are_those_of_the_sheet(own: Path) -> None:
    sheet = glyphs.read()
    other = sheet._replace(codes=sheet.codes[::-1])
    glyphs.write("other.txt", other)
    run("train", *FINE, "--lr", 0, "--glyphs", "other.txt", "--data", own)
    before, after = LeNet5.load("start.pkl"), LeNet5.load("model.pkl")
    np.testing.assert_array_equal(after.codes, other.codes)
    np.testing.assert_array_equal(after.parameters, before.parameters)
    run("train", *FINE, "--glyphs", "other.txt", "--rehearse", 0.5, "--data", own, "--overwrite")  # of the same classes
    np.testing.assert_array_equal(LeNet5.load("model.pkl").codes, other.codes)
    glyphs.write("other.txt", sheet._replace(names=("0", "2", "1", *sheet.names[3:])))
    result = run("train", *FINE, "--glyphs", "other.txt", "--rehearse", 0.5, "--data", own, "--overwrite", code=1)
    there = "the glyph sheet has 2 as class 1, counted from 0, where the starting model has 1"
    message = f"rehearse: {there}; expected the same classes; leave out rehearse or glyphs"
    assert result.stderr.endswith(f"Error: {message}\n")


@pytest.mark.usefixtures("start")
@pytest.mark.parametrize("runs", [1, 2])
def test_a_sheet_that_is_given_is_read_though_the_model_had_one_of_its_name(runs: int, own: Path) -> None:
    """The data was labelled by the file and the network by the model: all classes were exchanged, without a word."""
    sheet = glyphs.read()
    glyphs.write("own.txt", sheet)
    run("train", *FINE, "--lr", 0, "--glyphs", "own.txt", "--data", own, "-o", "first.pkl")
    glyphs.write("own.txt", sheet._replace(codes=sheet.codes[::-1]))
    given = ["--from", "first.pkl", "--glyphs", "own.txt", "--runs", runs]
    run("train", *FINE[2:], *given, "--lr", 0, "--data", own, "-o", "second.pkl")
    np.testing.assert_array_equal(LeNet5.load("second.pkl").codes, sheet.codes[::-1])
    run("train", *FINE[2:], "--from", "first.pkl", "--runs", runs, "--lr", 0, "--data", own, "-o", "third.pkl")
    np.testing.assert_array_equal(LeNet5.load("third.pkl").codes, sheet.codes)


@pytest.mark.usefixtures("start")
def test_the_table_of_several_runs_is_of_what_is_kept(own: Path) -> None:
    """It showed the accuracies of epochs that were thrown away."""
    result = run("train", *FINE, "--lr", 5, "--runs", 2, "--data", own)
    assert "keeping the starting model" in result.stderr
    rows = [line.split("│")[1:4] for line in result.stdout.splitlines() if re.match(r"│ +\d", line)]
    accuracies = {row[2].strip(" *") for row in rows}
    validated = train(data=str(own), start="start.pkl", seed=5, epochs=1, lr=0).history[0].validation_accuracy
    assert accuracies == {f"{validated:.4f}"}


@pytest.mark.usefixtures("start")
def test_of_runs_as_accurate_the_one_of_the_smallest_loss_is_kept(own: Path) -> None:
    """The model that they started from was, and it was said that no epoch was better."""
    run("train", *FINE, "--epochs", 1, "--lr", 0, "--data", own, "--output", "1.pkl")
    still = checkpoint.read("1.pkl")
    others = [[weight + 1, bias] for weight, bias in still.pairs]
    done = []
    for place, (pairs, loss) in enumerate([(still.pairs, 0.6), (others, 0.5), (others, 0.4)], start=1):
        history = [replace(still.history[0], validation_loss=loss)]
        checkpoint.write(f"{place}.pkl", replace(still, pairs=pairs, history=history))
        test = Tally()
        test.add(0.0, np.zeros(1, int), np.zeros((1, 10)))
        done.append(_Done(Config(**still.config), Path(f"{place}.pkl"), history, test))
    third = Path("3.pkl").read_bytes()
    assert _best_of(done, Path("best.pkl"), still.history[0].validation_accuracy) == done[2].history
    assert Path("best.pkl").read_bytes() == third


def test_it_is_said_where_a_model_was_trained_on_pictures_read_otherwise() -> None:
    """Digits that are cut out are white on black, while those of --as-is stay dark on white."""
    for digit, size in product(range(10), (60, 70)):
        (folder := Path("pictures", str(digit))).mkdir(parents=True, exist_ok=True)
        drawing(digit, size).save(folder / f"{size}.png")
    network = LeNet5(Config(seed=1, as_is=True))
    checkpoint.write("as-is.pkl", Checkpoint(network.pairs(), glyphs.read(), config={"as_is": True}))
    quick = ["train", "--data", "pictures", "--epochs", 1, "--overwrite"]
    for more, expected in (
        (["--from", "as-is.pkl"], ["without --as-is; as-is.pkl was trained with it"]),
        (["--teacher", "as-is.pkl"], ["without --as-is; as-is.pkl was trained with it"]),
        (["--from", "bundled", "--as-is", "--teacher", "as-is.pkl"], ["with --as-is; bundled was trained without it"]),
    ):
        said = [line for line in run(*quick, *more).stderr.splitlines() if "--as-is" in line]
        assert said == [f"NOTE: pictures are read {each} and may be less accurate." for each in expected]


def test_rehearsal_needs_a_model(bars_folder: Path) -> None:
    result = run("train", "--data", bars_folder, "--rehearse", 0.5, code=2)
    message = "--rehearse mixes in training images of the --from model; give --from too"
    assert result.stderr.endswith(f"\nError: {message}\n")
    Path("mine.toml").write_text("rehearse = 0.5\n")
    result = run("train", "--data", bars_folder, "--config", "mine.toml", code=1)
    message = "Error: rehearse: there is no model to start from; start from one, or leave out rehearse\n"
    assert result.stderr.endswith(message)
    assert run("tune", "--data", bars_folder, "--rehearse", 0.5, code=1).stderr.endswith(message)
    assert ["--rehearse" in run(command, "--help").stdout for command in ("train", "tune")] == [True, False]


def test_rehearsal_without_what_the_model_was_trained_on_advises_no_other_data(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object) -> None:
        raise OSError("train-images could not be downloaded")

    monkeypatch.delenv(mnist.VARIABLE, raising=False)
    monkeypatch.setattr(remote, "load", unreachable)
    result = run("train", "--from", "bundled", "--rehearse", 0.5, "--data", own, code=1)
    assert result.stderr.endswith(
        "Error: rehearse: mnist: train-images could not be downloaded; the model to start from was trained on it;"
        " run lenet5 data fetch mnist where there is a network, or leave out rehearse\n"
    )


def test_rehearsal_of_what_has_moved_advises_no_other_data(start: Path, own: Path, bars_folder: Path) -> None:
    bars_folder.rename("moved")
    result = run("train", "--from", start, "--rehearse", 0.5, "--data", own, code=1)
    assert result.stderr.endswith(
        f"Error: rehearse: {bars_folder}: no such folder or file; the model to start from was trained on it;"
        " put it back, or leave out rehearse\n"
    )


@pytest.mark.parametrize(("fraction", "count"), [(0.5, 60), (0.25, 20), (0.9, 300)])
def test_rehearsed_images_are_the_fraction_or_all_there_are_other_ones_each_time(fraction: float, count: int) -> None:
    own, other = replace(bars(60, seed=1), places=("a",) * 60), bars(300, seed=2)
    first, second = (mixed(own, other, fraction, np.random.default_rng(seed)) for seed in (1, 2))
    assert len(first.labels) == len(first.images) == 60 + count
    np.testing.assert_array_equal(first.images[:60], own.images)
    assert first.places == ()  # of other images too, none would be right
    known = {image.tobytes(): label for image, label in zip(other.images, other.labels, strict=True)}
    for image, label in zip(first.images[60:], first.labels[60:], strict=True):
        assert known.pop(image.tobytes()) == label  # none twice
    assert count == 300 or (first.images != second.images).any()


@pytest.mark.parametrize(("fraction", "noted"), [(0.5, False), (0.6, True)])
def test_fewer_images_than_are_to_be_rehearsed_are_said(
    fraction: float, noted: bool, start: Path, bars_folder: Path
) -> None:
    options = ["--rehearse", fraction, "--validation", 60, "--drawn", 60, "--epochs", 1]  # 300, and 300 rehearsed
    stderr = run("train", "--data", bars_folder, "--from", start, *options, "-o", "tuned.pkl").stderr
    there = "--rehearse 0.6 asks for 450 images, but the model was trained on 300"
    assert (f"NOTE: {there}; 50 % of each epoch is rehearsed.\n" in stderr) == ("--rehearse" in stderr) == noted


def test_the_bundled_model_is_a_start() -> None:
    run_ = train(data="builtin:40", start="bundled", epochs=1, seed=1)
    assert run_.checkpoint().data["from"] == "bundled"
    assert run_.config.maps == LeNet5.load().config.maps


def test_a_config_that_asks_for_another_network_is_refused_in_python() -> None:
    with pytest.raises(LeNet5Error, match=r"^bundled: input is grey in this network; lecun would be another"):
        train(data="builtin:40", start=BUNDLED_MODEL, epochs=1, input="lecun")
