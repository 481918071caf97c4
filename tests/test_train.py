"""``lenet5 train``: exit code, stdout, stderr, files left behind."""

import csv
import json
import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

import lenet5_cli
from lenet5_cli import files
from lenet5_cli.commands.logs import to_file, to_tensorboard
from lenet5_cli.commands.train import note_few
from lenet5_cli.config import Config
from lenet5_cli.data import glyphs, sources
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.reports import figures
from lenet5_cli.storage import checkpoint
from lenet5_cli.storage.checkpoint import Epoch
from tests.conftest import SHORT, drawing, left_behind, room_for, run, train, without_seconds

EPOCH = re.compile(r"^epoch: \d+  loss: \d+\.\d{5}  acc: [01]\.\d{5}$")


def test_train_prints_an_epoch_a_line_and_the_test_accuracy(bars_folder: Path) -> None:
    result = train(bars_folder)
    *epochs, last = result.stdout.splitlines()
    assert len(epochs) == 2
    assert all(map(EPOCH.match, epochs))
    right, images = map(int, re.match(r"^test accuracy: [01]\.\d{4} \((\d+) of (\d+)\)$", last).groups())
    assert images == 50
    assert f"test accuracy: {right / 50:.4f} " in last
    assert result.stderr.splitlines() == [
        "seed: 3",
        f"Load train: 300 images of 28x28 pixels from {bars_folder}/train-images-idx3-ubyte",
        f"Load test: 50 images of 28x28 pixels from {bars_folder}/t10k-images-idx3-ubyte",
        "NOTE: training accuracy is 10 % after 95 steps; try more --epochs, another --lr, or start from a trained "
        "model: --from bundled.",
        "The model is in model.pkl; lenet5 predict --model model.pkl digit.png reads a digit with it.",
    ]
    assert left_behind() == ["bars", "model.pkl"]


def test_a_hint_quotes_a_name_with_a_space(bars_folder: Path) -> None:
    said = train(bars_folder, "--epochs", 1, "-o", "my model.pkl").stderr.splitlines()[-1]
    assert said.endswith("; lenet5 predict --model 'my model.pkl' digit.png reads a digit with it.")


def test_a_hint_to_other_classes_speaks_of_pictures() -> None:
    letters = ("--data", "builtin-letters:60", "--glyphs", "letters", "--epochs", 1)
    said = run("train", *letters, "--samples-per-epoch", 20, "--seed", 1).stderr.splitlines()[-1]
    assert said.endswith("; lenet5 predict --model model.pkl picture.png reads a picture with it.")


def test_train_records_how_the_model_was_made(bars_folder: Path) -> None:
    train(bars_folder, "--lr", 0.25, "--log", "run.jsonl")
    saved = checkpoint.read("model.pkl")
    assert (saved.epoch, saved.config["lr"], saved.config["seed"]) == (2, 0.25, 3)
    split = sources.load(str(bars_folder), "train")
    assert saved.data == {"name": str(bars_folder), "images": 300, "sha256": split.sha256}
    assert saved.versions["lenet5"] == lenet5_cli.__version__
    lines = [json.loads(line) for line in Path("run.jsonl").read_text(encoding="utf-8").splitlines()]
    assert lines == [epoch.record() for epoch in saved.history]
    assert [line["epoch"] for line in lines] == [1, 2]
    assert lines[0].keys() == {"epoch", "loss", "accuracy", "lr", "images", "seconds"}


def test_the_same_seed_gives_the_same_checkpoint_but_for_the_seconds(bars_folder: Path) -> None:
    outputs = [train(bars_folder, "-o", name).stdout for name in ("a.pkl", "b.pkl")]
    assert outputs[0] == outputs[1]
    assert without_seconds("a.pkl") == without_seconds("b.pkl")


def test_a_seed_that_was_drawn_is_printed_and_makes_the_run_again(bars_folder: Path) -> None:
    first = run("train", "--data", bars_folder, *SHORT[:-2])
    seed = re.match(r"seed: (\d+)\n", first.stderr).group(1)
    second = run("train", "--data", bars_folder, *SHORT[:-2], "--seed", seed, "--overwrite")
    assert second.stdout == first.stdout


def test_an_existing_file_is_never_silently_replaced(bars_folder: Path) -> None:
    for option in ("--output", "--log", "--plot"):
        Path("precious").write_bytes(b"mine")
        result = train(bars_folder, option, "precious", code=2)
        assert result.stderr.endswith("Error: precious exists; --overwrite replaces it\n")
        assert Path("precious").read_bytes() == b"mine"
        assert not Path("model.pkl").exists()
    train(bars_folder, "--output", "precious", "--overwrite")
    assert checkpoint.read("precious").epoch == 2


def test_plot_draws_the_curves(bars_folder: Path) -> None:
    assert train(bars_folder, "--plot", "run.png").stderr.endswith("reads a digit with it.\nrun.png: written\n")
    assert Path("run.png").read_bytes().startswith(b"\x89PNG")
    train(bars_folder, "-o", "b.pkl", "--plot", "run.svg")
    assert b"<svg" in Path("run.svg").read_bytes()


def test_a_plot_that_cannot_be_written_hides_no_model(bars_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a run of hours, only that its plot failed was told."""

    def fail(_: object, path: Path) -> None:
        raise LeNet5Error(f"{path}: cannot be written: Permission denied")

    monkeypatch.setattr(figures, "history", fail)
    *_, model, plot = train(bars_folder, "--plot", "run.png", code=1).stderr.splitlines()
    assert model.startswith("The model is in model.pkl; ")
    assert plot == "Error: run.png: cannot be written: Permission denied"


def test_plot_without_matplotlib_is_told_before_the_run(bars_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = train(bars_folder, "--plot", "run.png", code=1)
    assert result.stderr == (
        "Error: matplotlib cannot be imported: import of matplotlib halted; None in sys.modules;"
        " pip install 'lenet5-cli[plot]' or leave out --plot\n"
    )
    assert left_behind() == ["bars"]


def test_config_gives_way_to_the_command_line(bars_folder: Path) -> None:
    Path("mine.toml").write_text("lr = 0.125\nepochs = 1\nsamples_per_epoch = 20\nseed = 9\n", encoding="utf-8")
    run("train", "--data", bars_folder, "--config", "mine.toml", "--epochs", 2)
    config = checkpoint.read("model.pkl").config
    assert (config["lr"], config["epochs"], config["samples_per_epoch"], config["seed"]) == (0.125, 2, 20, 9)


def test_config_that_is_wrong_is_told() -> None:
    Path("mine.toml").write_text("epoch = 1\n", encoding="utf-8")
    result = run("train", "--config", "mine.toml", code=1)
    assert result.stderr == "Error: mine.toml: line 1: epoch is not a setting; did you mean epochs?\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "0"], "Invalid value for '--epochs': 0 is not in the range 1<=x<=100000."),
        (["--lr", "-1"], "Invalid value for '--lr': -1.0 is not in the range x>=0."),
        (["--batch-size", "0"], "Invalid value for '--batch-size': 0 is not in the range x>=1."),
        (["--lr", "0,5"], "Invalid value for '--lr': '0,5' is not a valid number."),
        (["--epochs", "2.5"], "Invalid value for '--epochs': '2.5' is not a valid integer."),
        (["--threads", "all"], "Invalid value for '--threads': 'all' is not a valid integer."),
        (["--dtype", "float16"], "Invalid value for '--dtype': 'float16' is not one of 'float32', 'float64'."),
        (["--output", "none/model.pkl"], "none/model.pkl: there is no folder none"),
        (["--epoch", "1"], "No such option '--epoch'. (Did you mean one of: '--epochs', '--plot', '--teacher'?)"),
    ],
)
def test_usage_errors(arguments: list[str], message: str) -> None:
    result = run("train", *arguments, code=2)
    assert result.stderr.splitlines()[-1] == f"Error: {message}"


def test_a_run_that_diverges_keeps_the_last_good_checkpoint(bars_folder: Path) -> None:
    train(bars_folder)
    before = Path("model.pkl").read_bytes()
    result = train(bars_folder, "--lr", 1e39, "--overwrite", code=1)
    assert result.stderr.endswith(
        "Error: epoch 1: the loss is no longer finite at learning rate 1e+39; try a smaller lr\n"
    )
    assert Path("model.pkl").read_bytes() == before


def test_the_variable_names_the_folder_of_the_default_data_only(
    bars_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(bars_folder, "-o", "bars.pkl")
    monkeypatch.setenv("LENET5_DATA", str(bars_folder))
    result = run("train", *SHORT)
    assert f"Load train: 300 images of 28x28 pixels from {bars_folder}/train-images-idx3-ubyte\n" in result.stderr
    assert checkpoint.read("model.pkl").data["name"] == "mnist"
    monkeypatch.setenv("LENET5_DATA", "gone")
    assert run("eval", "bars.pkl").stdout == run("eval", "bars.pkl", "--data", bars_folder).stdout
    gone = "LENET5_DATA: gone: no such folder; expected the folder of MNIST's IDX files\n"
    assert run("eval", "model.pkl", code=1).stderr.startswith(f"Error: {gone}")


@pytest.mark.usefixtures("unrendered")
def test_another_network_trains_and_goes_on_and_is_drawn(bars_folder: Path) -> None:
    train(bars_folder, "--maps", "6,10,120", "-o", "whole.pkl", "--epochs", 3)
    train(bars_folder, "--maps", "6,10,120")
    run("train", "--resume", "--epochs", 3)
    assert without_seconds("model.pkl") == without_seconds("whole.pkl")
    assert json.loads(run("eval", "model.pkl", "--json").stdout)["images"] == 50
    assert "6x14x14 -> 10x10x10" in run("info", "model.pkl", "--figures", "drawn").stdout
    assert sorted(path.name for path in Path("drawn").iterdir()) == [
        "curves.png",
        "glyphs.png",
        "kernels.png",
        "maps.png",
    ]
    drawing(3).save("three.png")
    assert run("predict", "--model", "model.pkl", "three.png", "--json").exit_code == 0


def test_a_log_is_csv_where_its_name_says_so(bars_folder: Path) -> None:
    train(bars_folder, "--validation", 60, "--log", "run.csv")
    rows = list(csv.DictReader(Path("run.csv").read_text(encoding="utf-8").splitlines()))
    assert [{name: float(value) for name, value in row.items()} for row in rows] == [
        epoch.record() for epoch in checkpoint.read("model.pkl").history
    ]
    assert "validation_loss" in rows[0]


def test_a_log_that_another_program_empties_goes_on_at_its_new_end() -> None:
    """As logrotate's copytruncate does: a hole of null bytes would stand before the next line."""
    with to_file(Path("run.jsonl")) as note:
        note({"epoch": 1})
        Path("run.jsonl").write_bytes(b"")
        note({"epoch": 2})
    assert Path("run.jsonl").read_bytes() == b'{"epoch": 2}\n'


def no_network(source: str, *_: object, **__: object) -> Any:
    if source == "mnist":
        raise sources.DownloadError("mnist: cannot be downloaded")
    return BUILTIN(source if source != "builtin" else "builtin:100", *_, **__)


BUILTIN = sources.load


@pytest.mark.usefixtures("drawn_once")
def test_without_network_the_default_data_falls_back_and_says_so_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "load", no_network)
    result = run("train", *SHORT)
    notice = (
        "NOTE: {} on the built-in drawn digits, not on MNIST, which could not be downloaded.\n"
        "mnist: cannot be downloaded\n"
    )
    assert notice.format("training") in result.stderr
    assert result.stderr.endswith(notice.format("trained"))
    assert checkpoint.read("model.pkl").data["name"].startswith("builtin")
    assert len(result.stdout.splitlines()) == 3
    assert result.stdout.splitlines()[-1].startswith("test accuracy on the built-in digits: ")


@pytest.mark.parametrize("how", ["option", "config"])
def test_data_that_was_asked_for_never_falls_back(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "load", no_network)
    arguments = {"option": ["--data", "mnist"], "config": ["--config", "mine.toml"]}[how]
    Path("mine.toml").write_text('data = "mnist"', encoding="utf-8")
    result = run("train", *SHORT, *arguments, code=1)
    assert result.stderr == "seed: 3\nError: mnist: cannot be downloaded\n"
    assert not Path("model.pkl").exists()


@pytest.mark.usefixtures("drawn_once")
def test_one_image_a_step_learns_the_built_in_digits() -> None:
    """Weights scaled by fan-in and grey pixels leave the plateau of the report's training within an epoch or two.

    ``.ci/run`` trains the default job.
    """
    scaled = ["--init", "normal", "--input", "grey"]
    *epochs, last = run("train", "--data", "builtin:1000", *scaled, "--epochs", 5, "--seed", 1).stdout.splitlines()
    assert len(epochs) == 5
    assert float(re.match(r"test accuracy on the built-in digits: (\S+)", last).group(1)) > 0.75


@pytest.mark.parametrize("runs", [1, 2])
def test_a_log_for_tensorboard_has_the_values_of_each_epoch(runs: int, bars_folder: Path) -> None:
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    train(bars_folder, "--log", "tensorboard:board", *(["--runs", 2] if runs == 2 else []))
    history = checkpoint.read("model.pkl").history
    folders = ["board"] if runs == 1 else ["board/seed-3", "board/seed-4"]
    assert sorted(str(path.parent) for path in Path("board").rglob("events*")) == folders
    (events,) = Path(folders[0]).glob("events.out.tfevents.*")
    found = {
        (event.step, value.tag): value.tensor.float_val[0]
        for event in EventFileLoader(str(events)).Load()
        for value in event.summary.value
    }
    assert found.keys() == {
        (epoch, name) for epoch in (1, 2) for name in ("loss", "accuracy", "lr", "images", "seconds")
    }
    if runs == 1:
        for epoch in history:
            assert found[epoch.epoch, "loss"] == pytest.approx(epoch.loss, rel=1e-6)


@pytest.mark.parametrize("place", ["own/board", "own/3/board"])
def test_a_log_for_tensorboard_is_not_put_among_the_pictures(place: str) -> None:
    for label in ("3", "5"):
        Path("own", label).mkdir(parents=True)
        drawing(int(label)).save(f"own/{label}/a.png")
    refused = run("train", "--data", "own", "--log", f"tensorboard:{place}", code=2)
    message = f"{place}: would be among the pictures of the data own; write it somewhere else"
    assert refused.stderr.endswith(f"Error: {message}\n")
    assert not Path(place).exists()


def test_a_tensorboard_that_cannot_be_imported_is_told_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was said not to be installed where a library that it needs was missing, and installing it changed nothing."""
    Path("tensorboard.py").write_text("import no_such_library", encoding="utf-8")
    monkeypatch.delitem(sys.modules, "tensorboard", raising=False)
    monkeypatch.syspath_prepend(Path.cwd())
    assert run("train", "--data", "builtin", "--log", "tensorboard:board", code=1).stderr == (
        "Error: tensorboard cannot be imported: No module named 'no_such_library';"
        " pip install 'lenet5-cli[tensorboard]' or log to a file\n"
    )


def test_a_log_for_tensorboard_is_not_mixed_with_another(bars_folder: Path) -> None:
    train(bars_folder, "--log", "tensorboard:board")
    refused = train(bars_folder, "--log", "tensorboard:board", "-o", "b.pkl", code=2)
    assert refused.stderr.endswith("Error: board holds another log; --overwrite replaces it\n")
    first = set(Path("board").iterdir())
    train(bars_folder, "--log", "tensorboard:board", "-o", "b.pkl", "--overwrite")
    (events,) = Path("board").iterdir()
    assert events not in first


@pytest.mark.parametrize("wrong", [["--data", "mnits"], ["--validation", 4000], ["--resume", "--lr", 3]])
def test_a_command_that_is_refused_leaves_the_log_of_the_run_before(wrong: list[Any], bars_folder: Path) -> None:
    train(bars_folder, "--log", "run.csv")
    before = Path("run.csv").read_bytes()
    run("train", "--data", bars_folder, "--log", "run.csv", "--overwrite", *wrong, code=1)
    assert Path("run.csv").read_bytes() == before
    run("train", "--data", "mnits", "--log", "new.csv", "-o", "new.pkl", code=1)
    assert left_behind() == ["bars", "model.pkl", "run.csv"]


def test_what_is_read_is_not_written_over(bars_folder: Path) -> None:
    run("data", "convert", bars_folder, "own.npz", "--to", "npz")
    glyphs.write("own,2.txt", glyphs.read())
    glyphs.write("own.png", glyphs.read("letters"))
    Path("own.toml").write_text("epochs = 1\n")
    train(bars_folder)
    names = ("own.npz", "own,2.txt", "own.png", "own.names.txt", "own.toml", "model.pkl")
    files = {name: Path(name).read_bytes() for name in names}
    for option, name, written in (
        ("data", "own.npz", "--log"),
        ("glyphs", "own,2.txt", "--output"),
        ("glyphs", "own.png", "--output"),
        ("glyphs", "own.names.txt", "--log"),
        ("config", "own.toml", "--plot"),
        ("teacher", "model.pkl", "--output"),
        ("from", "model.pkl", "--log"),
    ):
        outputs = {"--output": "new.pkl", written: name}
        given = [
            "train",
            f"--{option}",
            name.replace(".names.txt", ".png"),
            *chain(*outputs.items()),
            "--overwrite",
            "--epochs",
            1,
        ]
        said = run(*given, code=2).stderr
        assert said.endswith(f"Error: {name}: is also read by --{option}; give the output another name\n")
    assert {name: Path(name).read_bytes() for name in files} == files
    run("train", "--data", bars_folder, "--from", "model.pkl", "--epochs", 1, "--overwrite")  # on with the same name


def test_no_file_of_the_data_is_written_over(bars_folder: Path) -> None:
    train(bars_folder)
    labels = bars_folder / "train-labels-idx1-ubyte"
    before = labels.read_bytes()
    elsewhere = "--data", bars_folder
    for given in (["-o", labels, *elsewhere], ["--log", labels, *elsewhere], ["--log", labels, "--resume"]):
        said = run("train", *given, "--overwrite", "--epochs", 3, code=2).stderr
        expected = f"{labels}: is a file of the data {bars_folder}; give the output another name"
        assert said.endswith(f"Error: {expected}\n")
    assert labels.read_bytes() == before
    train(bars_folder, "-o", bars_folder / "model.pkl")  # what stands beside them is none of them
    train(bars_folder, "-o", bars_folder / "model.pkl", "--overwrite")
    for folder in ("digits/own", "quick/own"):  # nor is what stands in folders named as a glyph sheet or a preset is
        Path(folder).mkdir(parents=True)
        for _ in range(2):
            train(bars_folder, "-o", f"{folder}/model.pkl", "--config", "quick", "--overwrite")


@pytest.mark.skipif(files.fcntl is None, reason="there are no such locks")
def test_two_runs_write_no_log_together(bars_folder: Path) -> None:
    train(bars_folder, "--log", "run.log")
    before = Path("run.log").read_bytes()
    with files.only_writer("run.log"):
        said = train(bars_folder, "-o", "other.pkl", "--log", "run.log", "--overwrite", code=1).stderr
    message = "run.log: another run is writing it; wait until it ends, or write to another file"
    assert said.endswith(f"Error: {message}\n")
    assert Path("run.log").read_bytes() == before
    train(bars_folder, "-o", "other.pkl", "--log", os.devnull, "--overwrite")  # a device has room for all
    assert left_behind() == ["bars", "model.pkl", "other.pkl", "run.log"]


@pytest.mark.skipif(files.fcntl is None, reason="there are no such locks")
def test_two_runs_write_no_log_for_tensorboard_together(bars_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = ["--log", "tensorboard:a/board", "-o", "other.pkl"]
    train(bars_folder, "--log", "tensorboard:a/board")
    (events,) = Path("a/board").iterdir()
    before = events.read_bytes()
    with files.only_writer("a/board/events.out.tfevents"):
        said = train(bars_folder, *given, "--overwrite", code=1).stderr
    message = "another run is writing it; wait until it ends, or write to another file"
    assert said.endswith(f"Error: {Path('a/board/events.out.tfevents')}: {message}\n")
    assert list(Path("a/board").iterdir()) == [events]
    assert events.read_bytes() == before
    events.unlink()

    @contextmanager
    def locked_as_another_ends(path: Path) -> Iterator[None]:
        if path.name == "events.out.tfevents":
            events.write_bytes(before)
        yield

    monkeypatch.setattr(files, "only_writer", locked_as_another_ends)
    said = train(bars_folder, *given, code=2).stderr
    assert said.endswith(f"Error: {Path('a/board')} holds another log; --overwrite replaces it\n")
    assert events.read_bytes() == before


def test_a_log_for_tensorboard_that_does_not_fit_is_told_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread of TensorBoard's showed its traceback first."""
    shown: list[object] = []
    monkeypatch.setattr(threading, "excepthook", shown.append)
    told = pytest.raises(LeNet5Error, match=r"^board: cannot be written: File too large$")
    with room_for(10), told, to_tensorboard(Path("board")) as note:
        note({"epoch": 1, "loss": 0.5})
    assert shown == []
    threading.excepthook("as before")
    assert shown == ["as before"]


def test_a_folder_for_tensorboard_is_made_and_left_only_with_a_log_in_it(bars_folder: Path) -> None:
    run("train", "--data", "mnits", "--log", "tensorboard:board", code=1)
    assert left_behind() == ["bars"]
    Path("board").mkdir()  # by someone who means to keep it
    run("train", "--data", "mnits", "--log", "tensorboard:board", code=1)
    assert left_behind() == ["bars", "board"]
    Path("mine").write_text("a file", encoding="utf-8")
    said = train(bars_folder, "--log", "tensorboard:mine/board", code=1).stderr
    assert said == f"Error: {Path('mine/board')}: cannot be written: Not a directory\n"


def test_a_log_for_tensorboard_needs_a_folder(bars_folder: Path) -> None:
    Path("board").write_text("mine", encoding="utf-8")
    result = train(bars_folder, "--log", "tensorboard:board", code=1)
    assert result.stderr == "Error: board: a file; expected a folder for TensorBoard\n"
    assert left_behind() == ["bars", "board"]


RISING = ["--config", "lecun1998", "--schedule", "exponential", "--lr-decay", 1, "--warmup", 40, "--lr", 1, "--seed", 1]


def test_it_is_said_where_what_was_learned_is_lost(bars_folder: Path) -> None:
    lost = run("train", "--data", bars_folder, *RISING, "--batch-size", 5, "--epochs", 6)
    why = "NOTE: training accuracy is 100 % in epoch 2 but 10 % in epoch 6: a step was too large; "
    assert f"{why}try another --seed, a smaller --lr.\n" in lost.stderr
    for earlier in (["--epochs", 4], ["--epochs", 6, "--validation", 50]):  # of those validated, the best is kept
        kept = run("train", "--data", bars_folder, *RISING, "--batch-size", 5, *earlier, "--overwrite")
        assert "NOTE" not in kept.stderr


def test_it_is_said_where_nothing_was_learned_yet(bars_folder: Path) -> None:
    hardly = ["train", "--data", bars_folder, "--epochs", 2, "--seed", 1, "--batch-size", 7, "--order", "shuffled"]
    hint = "try more --epochs, another --lr, or start from a trained model: --from bundled.\n"
    assert f"NOTE: training accuracy is 10 % after 86 steps; {hint}" in run(*hardly).stderr
    for more in (["--validation", 50], ["--runs", 2]):  # whichever epoch and whichever run is kept
        kept = run(*hardly, *more, "--overwrite")
        assert kept.stderr.count("NOTE: training accuracy is ") == 1
        assert hint in kept.stderr


def test_where_steps_are_not_clipped_the_hint_is_that_they_can_be(capsys: pytest.CaptureFixture[str]) -> None:
    history = [Epoch(1, 0.1, 0.9, 0.5, 1, 1.0), Epoch(2, 2.3, 0.1, 0.5, 1, 1.0)]
    for config, hint in ((Config(clip=0), "a smaller --lr, or --clip 2.\n"), (Config(), "a smaller --lr.\n")):
        note_few(history, config)
        assert capsys.readouterr().err.endswith(hint)
    note_few([], Config())  # of a rank that is not the leader
    note_few(history[:1], Config())
    assert not capsys.readouterr().err
    few, many = (Epoch(at, 0.1, read, 0.5, 1, 1.0, 1 - at / 2, 0.8) for at, read in ((1, 0.1), (2, 0.9)))
    note_few([few, many], Config(validation=10), fine_tuned=True)  # of those that validate as well, the smaller loss
    assert not capsys.readouterr().err
    note_few([few, many], Config(validation=10))  # the first one
    why = "training accuracy is 90 % in epoch 2 but 10 % in epoch 1, kept as the best on the validation images"
    assert capsys.readouterr().err == f"NOTE: {why}; try a larger --validation, or --keep last.\n"
    note_few([few, replace(many, accuracy=0.2)], Config(validation=10))  # the steps until the epoch that is kept
    assert capsys.readouterr().err.startswith("NOTE: training accuracy is 10 % after 1 step; try more --epochs")
