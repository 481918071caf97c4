"""A run: resumed, stopped, killed, validated; its bytes are those of one left alone."""

import json
import platform
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import lenet5_cli
from lenet5_cli import LeNet5, LeNet5Error
from lenet5_cli.commands.stopping import Stop
from lenet5_cli.config import Config
from lenet5_cli.data import glyphs, idx, sources
from lenet5_cli.storage import checkpoint
from lenet5_cli.storage.checkpoint import Epoch
from lenet5_cli.training import loop, runs
from lenet5_cli.training.loop import evaluate
from tests.conftest import SHORT, bars, environment, left_behind, run, train, without_seconds

SETTINGS = {
    "report": [],
    "adam": ["--optimizer", "adam", "--lr", "0.01", "--schedule", "cosine", "--warmup", "1", "--batch-size", "16"],
    "validation": [
        "--validation",
        "60",
        "--augment",
        "affine",
        "--order",
        "shuffled",
        "--optimizer",
        "adam",
        "--lr",
        "0.01",
    ],
    "averaged": ["--ema", "0.9", "--batch-size", "16"],
    "averaged, with validation": ["--ema", "0.9", "--validation", "60", "--optimizer", "adam", "--lr", "0.01"],
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_resume_gives_the_bytes_of_the_run_that_was_not_broken_off(settings: list[str], bars_folder: Path) -> None:
    epochs = ["--epochs", "4"]
    whole = train(bars_folder, *settings, *epochs, "-o", "whole.pkl")
    for stop_after in (1, 3):
        write = checkpoint.write

        def stopping(path: Path, saved: Any, last: int = stop_after, write: Any = write) -> None:
            write(path, saved)
            if saved.epoch == last:
                raise KeyboardInterrupt

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(checkpoint, "write", stopping)
            train(bars_folder, *settings, *epochs, "-o", "broken.pkl", "--overwrite", code=130)
        assert checkpoint.read("broken.pkl").epoch == stop_after
        rest = run("train", "--resume", "-o", "broken.pkl")
        assert without_seconds("broken.pkl") == without_seconds("whole.pkl")
        assert rest.stdout.splitlines() == whole.stdout.splitlines()[stop_after:]


def test_resume_to_more_epochs(bars_folder: Path) -> None:
    train(bars_folder, "-o", "long.pkl", "--epochs", "3")
    train(bars_folder, "--epochs", "2")
    run("train", "--resume", "--epochs", "3")
    assert without_seconds("model.pkl") == without_seconds("long.pkl")


@pytest.mark.usefixtures("drawn_once")
def test_resume_refuses_what_would_be_another_run(bars_folder: Path) -> None:
    result = run("train", "--resume", code=1)
    assert result.stderr == "Error: model.pkl: no such file; expected a checkpoint\n"
    train(bars_folder)
    before = Path("model.pkl").read_bytes()
    advice = "give its own with --data, or begin another run with --from"
    for arguments, message in (
        ([], "has 2 of 2 epochs already; give a larger --epochs to continue"),
        (["--epochs", "3", "--lr", "1"], "lr is 0.5 in this run; 1.0 would be another run; leave it out"),
        (
            ["--epochs", "3", "--data", "builtin:9"],
            f"was not trained on the images of builtin:9; {advice}",
        ),
    ):
        assert run("train", "--resume", *arguments, code=1).stderr.endswith(f"Error: model.pkl: {message}\n")
    idx.write(bars_folder / "train-images-idx3-ubyte", bars(300, seed=5).images)
    result = run("train", "--resume", "--epochs", "3", code=1)
    assert result.stderr.endswith(f"Error: model.pkl: was not trained on the images of {bars_folder}; {advice}\n")
    assert Path("model.pkl").read_bytes() == before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_at_the_end_of_a_step_and_resume_goes_on(number: int, code: int, bars_folder: Path) -> None:
    command = [sys.executable, "-m", "lenet5_cli", "train", "--data", str(bars_folder), "--seed", "3"]
    with subprocess.Popen(
        [*command, "--epochs", "400"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        for _ in range(3):
            process.stdout.readline()
        process.send_signal(number)
        _, messages = process.communicate(timeout=60)
    assert process.returncode == code
    epochs = checkpoint.read("model.pkl").epoch
    assert messages.endswith(
        "\nStopping at the end of this step; Ctrl-C again stops immediately.\n"
        f"Stopped; model.pkl has {epochs} of 400 epochs.\nlenet5 train --resume --output model.pkl continues it.\n"
    )
    assert left_behind() == ["bars", "model.pkl"]


def test_a_run_that_is_stopped_after_its_last_epoch_is_not_to_be_resumed(
    bars_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was said that --resume continues it, which then refused to."""

    def stopped(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGINT)
        raise Stop.Requested

    monkeypatch.setattr(loop, "evaluate", stopped)
    said = train(bars_folder, "-o", "my run.pkl", code=130).stderr.splitlines()[-2:]
    assert said == ["Stopped after the last epoch; 'my run.pkl' is complete.", "lenet5 eval 'my run.pkl' evaluates it."]


def test_data_is_known_by_its_digest_and_not_by_its_path(bars_folder: Path, tmp_path: Path) -> None:
    run("train", "--data", "bars", *SHORT)
    assert checkpoint.read("model.pkl").data["name"] == "bars"
    bars_folder.rename(tmp_path / "moved")
    gone = f"bars: no such data set, folder or file; the data sets are {', '.join(sources.NAMES)};"
    for arguments in (["eval", "model.pkl"], ["train", "--resume", "--epochs", 3]):
        assert run(*arguments, code=1).stderr == f"Error: {gone} if it has moved, give --data its new path\n"
    assert json.loads(run("eval", "model.pkl", "--data", "moved", "--json").stdout)["images"] == 50
    run("train", "--resume", "--data", "moved", "--epochs", 3)
    assert checkpoint.read("model.pkl").data["name"] == "moved"


def test_a_run_begins_with_nothing_and_asks_at_its_resumption_for_the_state_of_its_optimiser() -> None:
    split, config = bars(60), Config(optimizer="adam", epochs=2, samples_per_epoch=20, seed=3)
    begun = runs.Run(config, split)
    assert (begun.history, begun.ended) == ([], "")
    next(begun.train())
    saved = begun.checkpoint()
    versions = {"lenet5": lenet5_cli.__version__, "python": platform.python_version(), "numpy": np.__version__}
    assert saved.versions == versions
    resumed = runs.Run.resume(saved, split)
    assert (resumed.history, resumed.ended) == (begun.history, "")
    saved.state.pop("mean")
    with pytest.raises(LeNet5Error, match=r"^the state of the adam optimiser is missing; it cannot be resumed$"):
        runs.Run.resume(saved, split)


def test_what_is_no_run_cannot_be_resumed() -> None:
    split = bars(60)
    begun = runs.Run(Config(epochs=2, samples_per_epoch=20, seed=3), split)
    next(begun.train())
    saved = begun.checkpoint()
    for other, said in (
        (replace(saved, config={}), "has no training settings; only a checkpoint saved by train can be resumed"),
        (
            replace(saved, config={**saved.config, "momentum": 0.9}),
            "momentum is not a setting of this version of lenet5; resume it with the one that saved it",
        ),
        (
            replace(saved, history=[]),
            "its history is not that of a run; only a checkpoint saved by train can be resumed",
        ),
    ):
        with pytest.raises(LeNet5Error) as refused:
            runs.Run.resume(other, split)
        assert str(refused.value) == said


def test_the_classes_are_those_of_the_model_though_the_file_of_its_sheet_has_changed() -> None:
    split, digits = bars(60), glyphs.read()
    glyphs.write("own.txt", digits)
    begun = runs.Run(Config(glyphs="own.txt", epochs=2, samples_per_epoch=20, seed=3), split)
    next(begun.train())
    saved = begun.checkpoint()
    glyphs.write("own.txt", digits._replace(codes=digits.codes[::-1]))
    for again in (runs.Run.resume(saved, split), runs.begin(Config(epochs=1), split, saved)):
        np.testing.assert_array_equal(again.network.codes, digits.codes)


def test_a_cosine_ends_with_the_epoch_that_it_was_drawn_to() -> None:
    begun = runs.Run(Config(schedule="cosine", epochs=2, samples_per_epoch=20, seed=3), bars(60))
    next(begun.train())
    saved = begun.checkpoint()
    assert runs.continued(saved, {"max_time": "1h"}) == replace(begun.config, max_time="1h")
    there = "epochs is 2 in this run, the end of its cosine schedule"
    with pytest.raises(LeNet5Error, match=f"^{there}; 3 would be another run; begin one with --from$"):
        runs.continued(saved, {"epochs": 3})


def test_patience_needs_images_held_out_from_the_beginning_of_a_run() -> None:
    """It was advised to hold some out, which would be another run."""
    begun = runs.Run(Config(epochs=2, samples_per_epoch=20, seed=3), bars(60))
    next(begun.train(output="model.pkl"))
    with pytest.raises(LeNet5Error) as error:
        runs.continued(checkpoint.read("model.pkl"), {"patience": 2})
    assert str(error.value) == ("model.pkl: this run has no validation images, so patience has no effect; leave it out")


@pytest.mark.parametrize(("from_a_model", "kept"), [(True, 2), (False, 1)])
def test_of_epochs_equally_accurate_the_first_is_kept_but_from_a_model_that_of_the_smallest_loss(
    from_a_model: bool, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit(network: LeNet5, *_: object, **__: object) -> Any:
        for number, loss in enumerate((0.3, 0.2, 0.25), 1):
            network.parameters[...] = number
            yield Epoch(number, 0.3, 1.0, 0.1, 48, 0.1, loss, 1.0), None

    monkeypatch.setattr(runs, "fit", fit)
    split, config = bars(60), Config(epochs=3, seed=3, validation=12)
    run = runs.begin(config, split, runs.Run(config, split).checkpoint() if from_a_model else None)
    assert len(list(run.train())) == 3
    assert set(run.kept().parameters.tolist()) == {kept}


@pytest.mark.parametrize("from_a_model", [False, True])
def test_the_last_epoch_is_kept_where_a_run_is_to_keep_it(from_a_model: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def fit(network: LeNet5, *_: object, validation: sources.Split, **__: object) -> Any:
        for number, accuracy in enumerate((0.9, 0.5, 0.4), 1):
            network.parameters[...] = number
            yield Epoch(number, 0.3, 1.0, 0.1, 48, 0.1, 0.3, accuracy), evaluate(network, validation)

    monkeypatch.setattr(runs, "fit", fit)
    split, config = bars(60), Config(epochs=3, seed=3, validation=12, patience=2, keep="last")
    run = runs.begin(config, split, runs.Run(config, split).checkpoint() if from_a_model else None)
    assert len(list(run.train())) == 3
    assert run.ended == "Validation accuracy has not improved for 2 epochs; the last is kept."
    assert set(run.kept().parameters.tolist()) == {3}
    nearest = -run.network.scores(split.images[-12:]).max(axis=1)
    if not from_a_model:  # which holds out others
        np.testing.assert_array_equal(np.unique(run.checkpoint().distances), np.unique(nearest))


def test_a_run_that_its_patience_has_ended_is_not_continued() -> None:
    """Each ``--resume`` trained one epoch more, which could replace the model that was kept."""
    split = bars(60)
    run = runs.Run(Config(epochs=9, seed=3, validation=12, patience=1, lr=1e-9), split)
    assert len(list(run.train())) == 2
    assert run.ended == "Validation accuracy has not improved in the last epoch; the best is kept."
    again = runs.Run.resume(run.checkpoint(), split)
    assert list(again.train()) == []
    assert again.ended == run.ended


def test_a_run_that_its_patience_ends_at_once_has_the_settings_of_one_that_was_not_broken_off(
    bars_folder: Path,
) -> None:
    split = sources.load(str(bars_folder), "train")
    config = Config(epochs=9, seed=3, validation=12, patience=1, lr=1e-9, samples_per_epoch=60)
    list(runs.Run(config, split).train(output="whole.pkl"))
    first = runs.Run(replace(config, epochs=2), split)
    list(first.train(output="part.pkl"))
    again = runs.Run.resume(first.checkpoint(), split, config)
    assert list(again.train(output="part.pkl")) == []
    assert without_seconds("part.pkl") == without_seconds("whole.pkl")


@pytest.mark.parametrize("settings", [{}, {"validation": 12}, {"optimizer": "adam", "ema": 0.9, "lr": 0.01}])
def test_a_run_that_is_interrupted_within_an_epoch_goes_on_from_the_end_of_the_one_before(
    settings: dict[str, Any],
) -> None:
    """As by the stop of a notebook; it went on from the middle of the epoch, and a checkpoint of it was of no epoch."""
    split, config = bars(60), Config(epochs=4, seed=3, batch_size=8, **settings)
    steps = count()

    def interrupted(batches: Any, _: int, what: str) -> Any:
        for batch in batches:
            if what == "epoch 3" and next(steps) == 3:
                raise KeyboardInterrupt
            yield batch

    whole, run = runs.Run(config, split), runs.Run(config, split)
    list(whole.train())
    with pytest.raises(KeyboardInterrupt):
        list(run.train(track=interrupted))
    saved = run.checkpoint()
    assert saved.epoch == 2
    resumed = runs.Run.resume(saved, split)
    for each in (run, resumed):
        list(each.train())
        assert each.network.parameters.tobytes() == whole.network.parameters.tobytes()
        assert [epoch.loss for epoch in each.history] == [epoch.loss for epoch in whole.history]


def test_what_a_caller_does_between_epochs_stays() -> None:
    """Also where the loop is left then."""
    run = runs.Run(Config(epochs=3, seed=3, batch_size=8), bars(60))
    for _ in run.train():
        run.network.parameters[...] = 0
        break
    assert not run.network.parameters.any()
    epochs = run.train()
    next(epochs)
    with pytest.raises(
        LeNet5Error, match=r"^this run is already being trained; finish or close the loop over its epochs first"
    ):
        next(run.train())
    epochs.close()
    assert [epoch.epoch for epoch in (*run.history, *run.train())] == [1, 2, 3]


def test_an_epoch_that_cannot_be_saved_is_trained_again(monkeypatch: pytest.MonkeyPatch) -> None:
    split, config = bars(60), Config(epochs=3, seed=3, validation=12, optimizer="adam", lr=0.01)
    whole, run, write, calls = runs.Run(config, split), runs.Run(config, split), checkpoint.write, count(1)

    def full(*given: Any) -> None:
        if next(calls) == 2:
            raise LeNet5Error("the disk is full")
        write(*given)

    monkeypatch.setattr(checkpoint, "write", full)
    with pytest.raises(LeNet5Error, match=r"^the disk is full$"):
        list(run.train(output="part.pkl"))
    assert [epoch.epoch for epoch in run.history] == [1]
    list(run.train(output="part.pkl"))
    list(whole.train(output="whole.pkl"))
    assert without_seconds("part.pkl") == without_seconds("whole.pkl")


def test_a_checkpoint_is_of_its_own_epoch() -> None:
    run = runs.Run(Config(epochs=3, seed=3, optimizer="adam"), bars(60))
    saved = [run.checkpoint() for _ in run.train()]
    assert [each.epoch for each in saved] == [1, 2, 3]
    assert len({each.state["steps"].tobytes() for each in saved}) == 3


def test_what_could_not_be_read_again_is_not_trained(tmp_path: Path) -> None:
    run = runs.Run(Config(epochs=1, seed=3, optimizer="adam", maps="256,256,256", dtype="float64"), bars(60))
    with pytest.raises(
        LeNet5Error, match=r"^maps: a checkpoint of 256,256,256 .* has [0-9,]{10} bytes; expected fewer"
    ):
        next(run.train(output=tmp_path / "model.pkl"))
    assert not list(tmp_path.iterdir())


def test_patience_counts_the_epochs_since_the_first_of_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    accuracies = (0.5, 0.9, 0.4, 0.9, 1.0)

    def fit(*_: object, **__: object) -> Any:
        for number, accuracy in enumerate(accuracies, 1):
            yield Epoch(number, 0.3, 1.0, 0.1, 48, 0.1, 0.3, accuracy), None

    monkeypatch.setattr(runs, "fit", fit)
    run = runs.Run(Config(epochs=5, seed=3, validation=12, patience=2), bars(60))
    assert [epoch.validation_accuracy for epoch in run.train()] == [0.5, 0.9, 0.4, 0.9]
    assert run.ended == "Validation accuracy has not improved for 2 epochs; the best is kept."


def test_a_run_keeps_how_far_from_their_nearest_codes_the_images_held_out_are() -> None:
    split = bars(60)
    run = runs.Run(Config(epochs=1, samples_per_epoch=20, seed=3, validation=11), split)
    next(run.train())
    nearest = -run.kept().scores(split.images[-11:]).max(axis=1)
    np.testing.assert_array_equal(np.unique(run.checkpoint().distances), np.unique(nearest))
    assert nearest.min() > 0
    assert run.checkpoint().state.keys() == {"parameters"}  # the latest; those that are kept are the best


def test_a_resumed_run_says_of_its_model_and_its_images_what_it_said_before() -> None:
    split, config = bars(60), Config(epochs=2, samples_per_epoch=20, seed=3)
    begun = runs.begin(config, split, runs.Run(config, split).checkpoint())
    next(begun.train())
    saved = begun.checkpoint()
    assert saved.data.keys() == {"name", "images", "sha256", "from", "from_sha256"}
    assert runs.Run.resume(saved, split).checkpoint().data == saved.data


@pytest.mark.parametrize("name", ["report", "averaged, with validation"])
def test_a_run_killed_again_and_again_ends_with_the_same_bytes(name: str, bars_folder: Path) -> None:
    """Of a run with no state but its weights, and of one with the state of optimiser, average and best epoch."""
    many = ["--epochs", "20", *SETTINGS[name]]
    whole = train(bars_folder, *many, "-o", "whole.pkl")
    command = [sys.executable, "-m", "lenet5_cli", "train", "-o", "model.pkl"]
    first = ["--data", str(bars_folder), *SHORT, *many]
    moments = np.random.default_rng(1)
    kills = 0
    while True:
        how = ["--resume"] if Path("model.pkl").exists() else first
        with subprocess.Popen(
            [*command, *how, "--threads", "1"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment()
        ) as run:
            if kills == 3:
                rest = run.communicate(timeout=100)[0].decode()
                break
            run.stdout.readline()
            time.sleep(0.05 * moments.random())
            run.kill()
        kills += 1
        checkpoint.read("model.pkl")
    assert rest.splitlines()[-1] == whole.stdout.splitlines()[-1]
    assert without_seconds("model.pkl") == without_seconds("whole.pkl")
    assert left_behind() == ["bars", "model.pkl", "whole.pkl"]


def test_validation_keeps_the_best_epoch_and_patience_ends_the_run(bars_folder: Path) -> None:
    result = train(bars_folder, "--validation", 50, "--patience", 2, "--epochs", 30)
    history = checkpoint.read("model.pkl").history
    assert 3 <= len(history) < 30
    assert "Validation accuracy has not improved for 2 epochs; the best is kept." in result.stderr
    assert result.stdout.splitlines()[0].endswith(f"  val: {history[0].validation_accuracy:.5f}")
    best = max(history, key=lambda epoch: epoch.validation_accuracy)
    train(bars_folder, "--validation", 50, "--epochs", best.epoch, "-o", "best.pkl")
    np.testing.assert_array_equal(LeNet5.load("model.pkl").parameters, LeNet5.load("best.pkl").parameters)


def test_a_validation_part_leaves_images_to_train_on(bars_folder: Path) -> None:
    result = train(bars_folder, "--validation", 300, code=1)
    assert result.stderr.endswith("Error: validation: 300 of 300 images; none would be left to train on\n")
    for arguments in (["--patience", "1"], ["--keep", "last"]):
        result = train(bars_folder, *arguments, code=2)
        message = f"{arguments[0]}: there are no validation images; give --validation too"
        assert result.stderr.endswith(f"\nError: {message}\n")
    Path("mine.toml").write_text("patience = 1\n")
    result = train(bars_folder, "--config", "mine.toml", code=1)
    assert result.stderr.endswith(
        "\nError: patience: there are no validation images; set validation too, or patience to 0\n"
    )


def test_patience_goes_with_whatever_holds_images_out(bars_folder: Path) -> None:
    Path("mine.toml").write_text("patience = 1\n")
    train(bars_folder, "--config", "mine.toml", "--validation", 50)
    train(bars_folder, "--from", "model.pkl", "--patience", 1, "-o", "next.pkl")
    assert checkpoint.read("next.pkl").config["patience"] == 1
    assert checkpoint.read("next.pkl").config["validation"] == 60


def test_max_time_starts_no_epoch_that_would_end_too_late(bars_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = count(step=0.3)  # seconds, from one look to the next
    monkeypatch.setattr(runs, "monotonic", lambda: next(clock))
    result = train(bars_folder, "--epochs", 100_000, "--max-time", "1s")
    assert "Another epoch would end later than 1s after the start." in result.stderr
    assert 1 <= len(checkpoint.read("model.pkl").history) <= 4
    result = train(bars_folder, "--max-time", "soon", "--overwrite", code=2)
    assert result.stderr.endswith("\nError: max_time: 'soon'; expected a time such as 90s, 10m or 1h30m\n")


def test_a_run_learns_from_a_teacher_and_resumes_with_no_other(bars_folder: Path) -> None:
    for name, seed in (("1.pkl", "1"), ("2.pkl", "2")):
        train(bars_folder, "--seed", seed, "--output", name)
    taught = ["--teacher", "1.pkl,2.pkl", "--seed", "3", "--batch-size", "60", "--epochs", "2"]
    train(bars_folder, *taught, "--threads", "2")
    whole = without_seconds("model.pkl")
    train(bars_folder, *taught, "--epochs", "1", "--threads", "1", "--overwrite")
    run("train", "--resume", "--epochs", "2", "--threads", "1")
    assert without_seconds("model.pkl") == whole
    trained = LeNet5.load("model.pkl").parameters
    train(bars_folder, *taught, "--epochs", "1", "--overwrite")
    Path("2.pkl").rename("moved.pkl")
    gone = "model.pkl: its teacher 2.pkl is not there any more; give its path with --teacher"
    assert run("train", "--resume", "--epochs", "2", code=1).stderr == f"Error: {gone}\n"
    run("train", "--resume", "--teacher", "1.pkl,moved.pkl", "--epochs", "2")
    assert (LeNet5.load("model.pkl").parameters == trained).all()
    Path("moved.pkl").rename("2.pkl")
    train(bars_folder, *taught, "--epochs", "1", "--overwrite")
    Path("2.pkl").write_bytes(Path("1.pkl").read_bytes())
    result = run("train", "--resume", "--epochs", "2", code=1)
    expected = "model.pkl: its teacher was not the model that is now in 1.pkl,2.pkl; give its path with --teacher"
    assert result.stderr.splitlines()[-1] == f"Error: {expected}"
    result = run("train", "--resume", "--teacher", "", "--epochs", "2", code=1)
    expected = "model.pkl: teacher is 1.pkl,2.pkl in this run; none would be another run; leave it out"
    assert result.stderr.splitlines()[-1] == f"Error: {expected}"


def test_a_teacher_has_the_classes_of_the_run_and_is_given_once(bars_folder: Path) -> None:
    result = train(bars_folder, "--teacher", "bundled", "--glyphs", "letters", code=1)
    expected = (
        "Error: teacher: bundled: has 10 classes, and the network has 26; "
        "only models with the same classes can be combined"
    )
    assert result.stderr.splitlines()[-1] == expected
    same = ["--loss", "discriminative", "--rubbish", 14]
    result = train(bars_folder, "--teacher", "bundled", *same[:2], code=1)
    expected = (
        "teacher: bundled was trained with rubbish 14, but this run has 5; expected rubbish 14, or another teacher"
    )
    assert result.stderr.splitlines()[-1] == f"Error: {expected}"
    train(bars_folder, "-o", "plain.pkl")
    result = train(bars_folder, "--teacher", "plain.pkl", *same, code=1)
    expected = (
        "teacher: plain.pkl was trained with loss cross-entropy, which has no rubbish class; "
        "expected a model trained with discriminative"
    )
    assert result.stderr.splitlines()[-1] == f"Error: {expected}"
    train(bars_folder, "--teacher", "bundled", *same, "-o", "same.pkl")
    train(bars_folder, "--teacher", "bundled", "-o", "classes.pkl")  # of the classes alone, any model says how probable
    result = train(bars_folder, "--teacher", "gone.pkl,", code=2)
    assert result.stderr.splitlines()[-1] == "Error: teacher: 'gone.pkl,'; expected file names separated by commas"
    for twice, name in (("bundled,bundled", "bundled"), ("a.pkl,b.pkl,./a.pkl", "a.pkl")):
        result = train(bars_folder, "--teacher", twice, code=1)
        expected = f"teacher: {name} is given twice; expected different models"
        assert result.stderr.splitlines()[-1] == f"Error: {expected}"
    result = train(bars_folder, "--teacher", "gone.pkl", code=1)
    expected = "teacher: gone.pkl: no such file; expected a checkpoint"
    assert result.stderr.splitlines()[-1] == f"Error: {expected}"


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> list[SimpleNamespace]:
    """Return what runs are asked to fit, which here takes no step."""
    seen = []

    def fit(network: LeNet5, optimizer: object, split: sources.Split, config: Config, **how: Any) -> Any:
        seen.append(SimpleNamespace(network=network, optimizer=optimizer, split=split, config=config, **how))
        for number in range(how["first"], config.epochs + 1):
            yield Epoch(number, 0.3, 0.5, 0.1, 48, 0.5, *((0.2, 0.5) if how["validation"] else ())), None

    monkeypatch.setattr(runs, "fit", fit)
    return seen


def test_what_a_run_is_given_goes_into_its_steps(fitted: list[SimpleNamespace]) -> None:
    def track(*_: object) -> Any:
        raise AssertionError

    places = tuple(map(str, range(60)))
    split = replace(bars(60), places=places)
    config = Config(epochs=2, seed=3, validation=12, init="normal")
    run = runs.train(config, data=split, threads=3, track=track, lr=0.25, output="model.pkl")
    [alone] = fitted
    assert run.config == alone.config == replace(config, lr=0.25, data="bars")
    assert (alone.network, alone.first, alone.rehearsed, alone.threads) == (run.network, 1, None, 3)
    assert (alone.ranks, alone.track) == (runs.ALONE, track)
    assert (alone.split.places, alone.validation.places) == (places[:48], places[48:])
    np.testing.assert_array_equal(alone.validation.images, split.images[48:])
    assert checkpoint.read("model.pkl").epoch == 2
    resumed = runs.Run.resume(replace(run.checkpoint(), history=run.history[:1]), split)
    assert [epoch.epoch for epoch in resumed.train()] == [2]
    assert fitted[1].first == 2


def test_a_run_from_a_model_holds_out_a_random_fifth_that_is_always_the_same(fitted: list[SimpleNamespace]) -> None:
    split = replace(bars(60), places=tuple(map(str, range(60))))
    runs.train(data=split, seed=3, epochs=1, init="normal", input="grey", output="start.pkl")
    order = np.random.default_rng(0).permutation(60)
    for seed in (4, 5):  # settings of the network that are the report's are not asked for, those of finetune neither
        runs.train(Config(epochs=1, seed=seed), data=split, start="start.pkl")
        asked = fitted[-1]
        assert (asked.config.input, asked.config.init, asked.config.validation) == ("grey", "uniform", 12)
        for part, indices in ((asked.split, order[:48]), (asked.validation, order[48:])):
            np.testing.assert_array_equal(part.images, split.images[indices])
            np.testing.assert_array_equal(part.labels, split.labels[indices])
            assert part.places == ()
    runs.train(data=bars(4), start="start.pkl", epochs=1)
    assert len(fitted[-1].validation.labels) == 1
    with pytest.raises(
        LeNet5Error, match=r"^start\.pkl: input is grey in this network; lecun would be another network; leave it out$"
    ):
        runs.train(Config(epochs=1, input="lecun"), data=split, start="start.pkl")


def test_a_model_that_does_not_say_how_it_was_made_is_of_mnist_and_of_the_classes_in_it(
    fitted: list[SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(runs, "load", lambda *how: asked.append(how) or bars(20))
    pairs, sheet = LeNet5(Config(seed=1)).pairs(), glyphs.read("codes")
    for kept, names in ((None, None), (sheet, sheet.names)):
        run = runs.begin(Config(rehearse=0.5, epochs=1, seed=1), bars(60), checkpoint.Checkpoint(pairs, kept))
        next(run.train())
        assert asked[-1] == (Config(data="mnist"), "train", names)
        assert fitted[-1].rehearsed.source == "bars"
        np.testing.assert_array_equal(run.network.codes, glyphs.read("codes" if kept else "digits").codes)


def test_a_model_of_another_shape_is_named(fitted: list[SimpleNamespace]) -> None:
    split = bars(60)
    run = runs.Run(Config(epochs=1, seed=1), split)
    next(run.train())
    pairs = LeNet5(Config(seed=1, maps="6,10,84")).pairs()
    said = r"^a\.pkl: c3\.weight: shape \(10, 6, 5, 5\); expected \(16, 6, 5, 5\)$"
    saved = replace(run.checkpoint(), pairs=pairs, path="a.pkl")
    for again in (
        lambda: runs.Run.resume(saved, split, replace(run.config, epochs=2)),
        lambda: runs.begin(run.config, split, saved),
    ):
        with pytest.raises(LeNet5Error, match=said):
            again()
    assert len(fitted) == 1


def test_what_says_when_a_run_ends_may_change_but_not_to_an_earlier_epoch(fitted: list[SimpleNamespace]) -> None:
    run = runs.Run(Config(epochs=3, seed=1, schedule="cosine", validation=12), bars(60))
    next(run.train())
    assert runs.continued(run.checkpoint(), {"patience": 2}) == replace(run.config, patience=2)
    run = runs.Run(Config(epochs=3, seed=1), bars(60))
    assert len(list(run.train())) == 3
    with pytest.raises(LeNet5Error) as error:
        runs.continued(run.checkpoint(), {"epochs": 2})
    assert str(error.value) == "has 3 epochs already, more than 2; give a larger --epochs to continue"
    run = runs.Run(Config(epochs=3, seed=1, schedule="cosine"), bars(60))
    assert len(list(run.train())) == 3
    with pytest.raises(LeNet5Error) as error:
        runs.continued(run.checkpoint(), {})
    schedule = "the end of its cosine schedule; begin another run from its model with --from"
    assert str(error.value) == f"has 3 of 3 epochs already, {schedule}"
    assert len(fitted) == 3


@pytest.mark.usefixtures("fitted")
@pytest.mark.parametrize(("epochs", "limit", "done"), [(5, "2s", 4), (4, "2s", 4), (9, "1", 2), (1, "1s", 1)])
def test_time_is_over_when_another_epoch_would_end_later(
    epochs: int, limit: str, done: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes half a second, and one that would end just in time is begun."""
    clock = count(step=0.5)
    monkeypatch.setattr(runs, "monotonic", lambda: next(clock))
    run = runs.Run(Config(epochs=epochs, seed=1, max_time=limit), bars(60))
    assert len(list(run.train())) == done
    said = f"Another epoch would end later than {limit.removesuffix('s')}s after the start."
    assert run.ended == (said if done < epochs else "")
