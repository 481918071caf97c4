"""The commands: exit code, stdout, stderr, files left behind."""

import csv
import json
import os
import re
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import Result

import lenet5_cli
from lenet5_cli import LeNet5
from lenet5_cli.commands import lenet5
from lenet5_cli.data import idx, sources
from lenet5_cli.storage import checkpoint
from tests.conftest import bars, drawing, run

EPOCH = re.compile(r"^epoch: \d+  loss: \d+\.\d{5}  acc: [01]\.\d{5}$")
SHORT = ["--epochs", "2", "--samples-per-epoch", "50", "--seed", "3"]


def left_behind() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


def train(folder: Path, *arguments: object, code: int = 0) -> Result:
    return run("train", "--data", folder, *SHORT, *arguments, code=code)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return a model trained an image a step on built-in digits, and what the command printed.

    Weights scaled by fan-in and grey pixels leave the plateau of the report's training within an epoch or two;
    ``.ci/run`` trains the default job.
    """
    path = tmp_path_factory.mktemp("trained") / "model.pkl"
    scaled = ["--init", "normal", "--input", "grey"]
    result = run("train", "--data", "builtin:2000", *scaled, "--epochs", 6, "--seed", 1, "--output", path)
    return path, result.stdout


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
        "The model is in model.pkl; lenet5 predict --model model.pkl digit.png reads a digit with it.",
    ]
    assert left_behind() == ["bars", "model.pkl"]


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
    train(bars_folder, "--plot", "run.png")
    assert Path("run.png").read_bytes().startswith(b"\x89PNG")
    train(bars_folder, "-o", "b.pkl", "--plot", "run.svg")
    assert b"<svg" in Path("run.svg").read_bytes()


def test_plot_without_matplotlib_is_told_before_the_run(bars_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = train(bars_folder, "--plot", "run.png", code=1)
    assert result.stderr == ("Error: matplotlib is not installed; pip install 'lenet5-cli[plot]' or leave out --plot\n")
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
        (["--dtype", "float16"], "Invalid value for '--dtype': 'float16' is not one of 'float32', 'float64'."),
        (["--output", "none/model.pkl"], "none/model.pkl: there is no folder none"),
        (["--epoch", "1"], "No such option '--epoch'. (Did you mean one of: '--epochs', '--plot'?)"),
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
        "Error: epoch 1: the loss is no longer finite at learning rate 1e+39; try a smaller --lr\n"
    )
    assert Path("model.pkl").read_bytes() == before


def without_seconds(path: str) -> bytes:
    """Return the bytes of a checkpoint, the seconds of its epochs struck out."""
    content = Path(path).read_bytes()
    for epoch in checkpoint.read(path).history:
        content = content.replace(struct.pack(">d", epoch.seconds), b"*" * 8)
    return content


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
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_resume_gives_the_bytes_of_the_run_that_was_not_broken_off(settings: list[str], bars_folder: Path) -> None:
    epochs = ["--epochs", "5"]
    whole = train(bars_folder, *settings, *epochs, "-o", "whole.pkl")
    for stop_after in (1, 3):
        monkey = pytest.MonkeyPatch()
        write = checkpoint.write

        def stopping(path: Path, saved: Any, last: int = stop_after, write: Any = write) -> None:
            write(path, saved)
            if saved.epoch == last:
                raise KeyboardInterrupt

        monkey.setattr(checkpoint, "write", stopping)
        train(bars_folder, *settings, *epochs, "-o", "broken.pkl", "--overwrite", code=130)
        monkey.undo()
        assert checkpoint.read("broken.pkl").epoch == stop_after
        rest = run("train", "--resume", "-o", "broken.pkl")
        assert without_seconds("broken.pkl") == without_seconds("whole.pkl")
        assert rest.stdout.splitlines() == whole.stdout.splitlines()[stop_after:]


def test_resume_to_more_epochs(bars_folder: Path) -> None:
    train(bars_folder, "-o", "long.pkl", "--epochs", "3")
    train(bars_folder, "--epochs", "2")
    run("train", "--resume", "--epochs", "3")
    assert without_seconds("model.pkl") == without_seconds("long.pkl")


def test_resume_refuses_what_would_be_another_run(bars_folder: Path) -> None:
    result = run("train", "--resume", code=1)
    assert result.stderr == "Error: model.pkl: no such file; expected a checkpoint\n"
    train(bars_folder)
    before = Path("model.pkl").read_bytes()
    for arguments, message in (
        ([], "has 2 of 2 epochs already; --epochs can ask for more"),
        (["--epochs", "3", "--lr", "1"], "lr is 0.5 in this run; 1.0 would be another run"),
        (["--epochs", "3", "--data", "builtin"], "was trained on other images than those of builtin"),
    ):
        assert run("train", "--resume", *arguments, code=1).stderr.endswith(f"Error: model.pkl: {message}\n")
    idx.write(bars_folder / "train-images-idx3-ubyte", bars(300, seed=5).images)
    result = run("train", "--resume", "--epochs", "3", code=1)
    assert result.stderr.endswith(f"Error: model.pkl: was trained on other images than those of {bars_folder}\n")
    assert Path("model.pkl").read_bytes() == before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_at_the_end_of_a_step_and_resume_goes_on(number: int, code: int, bars_folder: Path) -> None:
    command = [sys.executable, "-m", "lenet5_cli", "train", "--data", str(bars_folder), "--seed", "3"]
    environment = {**os.environ, "PYTHONPATH": str(Path(lenet5_cli.__file__).parents[1])}
    with subprocess.Popen(
        [*command, "--epochs", "400"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        for _ in range(3):
            process.stdout.readline()
        process.send_signal(number)
        _, messages = process.communicate(timeout=60)
    assert process.returncode == code
    epochs = checkpoint.read("model.pkl").epoch
    assert messages.endswith(
        "\nStopping at the end of this step; once more stops at once.\n"
        f"Stopped; model.pkl has {epochs} of 400 epochs.\nlenet5 train --resume --output model.pkl goes on.\n"
    )
    assert left_behind() == ["bars", "model.pkl"]


def test_data_is_known_by_its_digest_and_not_by_its_path(bars_folder: Path, tmp_path: Path) -> None:
    run("train", "--data", "bars", *SHORT)
    assert checkpoint.read("model.pkl").data["name"] == "bars"
    bars_folder.rename(tmp_path / "moved")
    gone = "bars: neither a data set nor a folder; the data sets are mnist, fashion-mnist, builtin;"
    for arguments in (["eval", "model.pkl"], ["train", "--resume", "--epochs", 3]):
        assert run(*arguments, code=1).stderr == f"Error: {gone} --data says where the images are now\n"
    assert json.loads(run("eval", "model.pkl", "--data", "moved", "--json").stdout)["images"] == 50
    run("train", "--resume", "--data", "moved", "--epochs", 3)
    assert checkpoint.read("model.pkl").data["name"] == "moved"


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
    gone = "LENET5_DATA: gone: neither a data set nor a folder"
    assert run("eval", "model.pkl", code=1).stderr.startswith(f"Error: {gone}")


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


def test_several_runs_log_which_is_which(bars_folder: Path) -> None:
    train(bars_folder, "--runs", 2, "--threads", 2, "--log", "run.jsonl")
    lines = [json.loads(line) for line in Path("run.jsonl").read_text(encoding="utf-8").splitlines()]
    assert sorted((line["run"], line["seed"], line["epoch"]) for line in lines) == [
        (1, 3, 1), (1, 3, 2), (2, 4, 1), (2, 4, 2),
    ]  # fmt: skip


def test_a_run_of_several_that_fails_is_named_and_ends_the_others(bars_folder: Path) -> None:
    result = train(bars_folder, "--runs", 2, "--lr", 1e39, code=1)
    assert re.search(
        r"Error: seed [34]: epoch 1: the loss is no longer finite at learning rate 1e\+39; try a smaller --lr\n$",
        result.stderr,
    )
    assert left_behind() == ["bars"]


def test_several_runs_write_over_nothing(bars_folder: Path) -> None:
    Path("model-2.pkl").write_bytes(b"mine")
    result = train(bars_folder, "--runs", 2, code=2)
    assert result.stderr.endswith("Error: model-2.pkl exists; --overwrite replaces it\n")
    assert Path("model-2.pkl").read_bytes() == b"mine"


def test_several_runs_keep_the_best_on_the_images_held_out(bars_folder: Path) -> None:
    result = train(bars_folder, "--runs", 3, "--validation", 60)
    assert left_behind() == ["bars", "model.pkl"]
    assert "3 runs; the best on the validation images is kept" in " ".join(result.stdout.split())
    saved = checkpoint.read("model.pkl")
    for seed in (3, 4, 5):
        train(bars_folder, "--validation", 60, "--seed", seed, "-o", f"{seed}.pkl")
    reached = {
        seed: max(epoch.validation_accuracy for epoch in checkpoint.read(f"{seed}.pkl").history) for seed in (3, 4, 5)
    }
    assert saved.config["seed"] == max(reached, key=lambda seed: reached[seed])
    assert without_seconds("model.pkl") == without_seconds(f"{saved.config['seed']}.pkl")
    assert run("train", "--runs", 2, "--resume", "--output", "3.pkl", code=2)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_run_killed_again_and_again_ends_with_the_same_bytes(settings: list[str], bars_folder: Path) -> None:
    many = ["--epochs", "40", *settings]
    whole = train(bars_folder, *many, "-o", "whole.pkl")
    command = [sys.executable, "-m", "lenet5_cli", "train", "-o", "model.pkl"]
    first = ["--data", str(bars_folder), *SHORT, *many]
    environment = {**os.environ, "PYTHONPATH": str(Path(lenet5_cli.__file__).parents[1])}
    moments = np.random.default_rng(1)
    kills = 0
    while True:
        how = ["--resume"] if Path("model.pkl").exists() else first
        with subprocess.Popen(
            [*command, *how], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
        ) as run:
            if kills == 3:
                rest = run.communicate(timeout=100)[0].decode()
                break
            run.stdout.readline()
            time.sleep(0.1 * moments.random())
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
    assert "No epoch of the last 2 validated better; the best is kept." in result.stderr
    assert result.stdout.splitlines()[0].endswith(f"  val: {history[0].validation_accuracy:.5f}")
    best = max(history, key=lambda epoch: epoch.validation_accuracy)
    train(bars_folder, "--validation", 50, "--epochs", best.epoch, "-o", "best.pkl")
    np.testing.assert_array_equal(LeNet5.load("model.pkl").parameters, LeNet5.load("best.pkl").parameters)


def test_a_validation_part_leaves_images_to_train_on(bars_folder: Path) -> None:
    result = train(bars_folder, "--validation", 300, code=1)
    assert result.stderr.endswith("Error: validation: 300 of 300 images; none would be left\n")
    result = train(bars_folder, "--patience", 1, code=1)
    assert result.stderr == "Error: patience: there are no images to validate on; set validation too\n"


def test_max_time_starts_no_epoch_that_would_end_too_late(bars_folder: Path) -> None:
    result = train(bars_folder, "--epochs", 100_000, "--max-time", "1s")
    assert "Another epoch would end later than 1s after the start." in result.stderr
    assert 1 <= len(checkpoint.read("model.pkl").history) < 100_000
    result = train(bars_folder, "--max-time", "soon", "--overwrite", code=1)
    assert result.stderr == "Error: max_time: 'soon'; expected a time such as 90s, 10m or 1h30m\n"


def no_network(source: str, *_: object, **__: object) -> Any:
    if source == "mnist":
        raise sources.DownloadError("mnist: cannot be downloaded")
    return BUILTIN(source if source != "builtin" else "builtin:100", *_, **__)


BUILTIN = sources.load


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


def test_one_image_a_step_learns_the_built_in_digits(trained: tuple[Path, str]) -> None:
    *epochs, last = trained[1].splitlines()
    assert len(epochs) == 6
    assert float(re.match(r"test accuracy on the built-in digits: (\S+)", last).group(1)) > 0.75


def test_eval_measures_what_training_measured(trained: tuple[Path, str]) -> None:
    path, stdout = trained
    result = run("eval", path, "--json")
    measured = json.loads(result.stdout)
    last = stdout.splitlines()[-1]
    counts = f"({measured['right']} of {measured['images']})"
    assert last == f"test accuracy on the built-in digits: {measured['accuracy']:.4f} {counts}"
    assert measured["data"] == "builtin:2000"
    confusion = np.array(measured["confusion"])
    assert confusion.sum() == measured["images"] == 2000
    assert confusion.trace() == measured["right"]
    np.testing.assert_allclose(measured["recall"], confusion.diagonal() / confusion.sum(axis=1))
    training = json.loads(run("eval", path, "--json", "--split", "train").stdout)
    assert training["accuracy"] == checkpoint.read(path).history[-1].accuracy


def test_eval_shows_tables(trained: tuple[Path, str], bars_folder: Path) -> None:
    result = run("eval", trained[0], "--data", bars_folder)
    lines = result.stdout.splitlines()
    assert re.match(r"^test accuracy: 0\.\d{4} \(\d+ of 50\)$", lines[0])
    assert re.match(r"^95 % interval: 0\.\d{4} to 0\.\d{4}$", lines[1])
    assert re.match(r"^loss: \d+\.\d{5}$", lines[2])
    assert "precision" in result.stdout
    assert "Confusions" in result.stdout
    assert "\x1b" not in result.stdout


def test_a_checkpoint_that_is_none_is_told() -> None:
    Path("model.pkl").write_bytes(b"hello")
    drawing(3).save("three.png")
    for arguments in (["eval", "model.pkl"], ["predict", "three.png"]):
        result = run(*arguments, code=1)
        assert result.stderr == "Error: model.pkl: looks like text; expected a checkpoint\n"


@pytest.mark.parametrize("command", [None, *lenet5.commands])
def test_every_help_has_an_example(command: str | None) -> None:
    result = run(*filter(None, [command]), "--help")
    assert re.search(rf"Examples:\n +lenet5 {command or 'train'}", result.stdout)
    assert max(map(len, result.stdout.splitlines())) <= 100


def test_version_and_module() -> None:
    assert run("--version").stdout == f"lenet5, version {lenet5_cli.__version__}\n"
    result = subprocess.run(
        [sys.executable, "-m", "lenet5_cli", "--version"], capture_output=True, text=True, check=True,
        cwd=Path(lenet5_cli.__file__).parents[1],
    )  # fmt: skip
    assert result.stdout == f"lenet5, version {lenet5_cli.__version__}\n"


def test_a_log_on_a_full_disk_is_told(bars_folder: Path) -> None:
    result = train(bars_folder, "--log", "/dev/full", "--overwrite", code=1)
    assert result.stderr.endswith("Error: /dev/full: cannot be written: No space left on device\n")


def test_a_closed_pipe_ends_quietly(trained: tuple[Path, str]) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(lenet5_cli.__file__).parents[1])}
    command = f"{sys.executable} -m lenet5_cli eval {trained[0]} | head -1"
    result = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, check=True)  # noqa: S607
    assert result.stdout.startswith("test accuracy: ")
    assert [line for line in result.stderr.splitlines() if not line.startswith("Load ")] == []


def test_ctrl_c_exits_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "read", interrupted)
    assert run("eval", "model.pkl", code=130).stderr == "Interrupted.\n"


def test_no_option_shares_a_name_with_another() -> None:
    for command in lenet5.commands.values():
        names = [name for param in command.params if isinstance(param, click.Option) for name in param.opts]
        assert len(names) == len(set(names))
