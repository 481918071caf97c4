"""Full disks, two runs at once, closed pipes: what was whole stays whole, and the message says what happened."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from lenet5_cli import LeNet5Error, files
from lenet5_cli.commands import lenet5 as group
from lenet5_cli.data import glyphs, idx
from lenet5_cli.reports import figures
from lenet5_cli.storage import checkpoint
from tests.conftest import bars, environment, history, room_for

SHORT = ["--epochs", "2", "--samples-per-epoch", "50", "--seed", "3", "--threads", "1"]


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "lenet5_cli", *map(str, arguments)]


def lenet5(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(group, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@contextmanager
def training(folder: Path, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Have a long run at work, its first epoch written."""
    line = command("train", "--data", folder, *SHORT, "--epochs", 9999, *arguments)
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()) as run:
        try:
            assert run.stdout.readline().startswith("epoch: 1 ")
            yield run
        finally:
            run.kill()


# Full disks


def test_a_checkpoint_that_does_not_fit_leaves_the_one_before(bars_folder: Path, tmp_path: Path) -> None:
    lenet5("train", "--data", bars_folder, *SHORT)
    before = Path("model.pkl").read_bytes()
    for arguments in (["--resume", "--epochs", 4, "--threads", 1], ["--data", bars_folder, *SHORT, "--overwrite"]):
        with room_for(200_000):
            result = lenet5("train", *arguments, code=1)
        assert result.stderr.endswith("Error: model.pkl: cannot be written: File too large\n")
        assert Path("model.pkl").read_bytes() == before
        assert left(tmp_path) == ["bars", "model.pkl"]
    lenet5("train", "--resume", "--epochs", 4)
    assert checkpoint.read("model.pkl").epoch == 4


@pytest.mark.parametrize("name", ["glyphs.png", "glyphs.txt", "run.png", "run.svg", "data", "data.gz"])
def test_another_file_that_does_not_fit_leaves_the_one_before(name: str, tmp_path: Path) -> None:
    write: dict[str, Callable[[], object]] = {
        "glyphs": lambda: glyphs.write(name, glyphs.read()),
        "run": lambda: figures.history(history(1), Path(name)),
        "data": lambda: idx.write(name, np.random.default_rng(1).integers(0, 255, 1000, np.uint8)),
    }
    if name.startswith("run"):
        write["run"]()  # at first, matplotlib writes a cache
    Path(name).write_bytes(b"before")
    with room_for(100), pytest.raises(LeNet5Error) as refused:
        write[name.partition(".")[0]]()
    assert str(refused.value) == f"{name}: cannot be written: File too large"
    assert Path(name).read_bytes() == b"before"
    assert left(tmp_path) == [name]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_log_that_does_not_fit_is_told_by_name(bars_folder: Path) -> None:
    result = lenet5("train", "--data", bars_folder, *SHORT, "--log", "/dev/full", "--overwrite", code=1)
    assert result.stderr.endswith("Error: /dev/full: cannot be written: No space left on device\n")
    assert checkpoint.read("model.pkl").epoch == 1
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            command("info", "model.pkl"), stdout=full, stderr=subprocess.PIPE, text=True, env=environment(), check=False
        )
    assert result.returncode == 1
    assert result.stderr == "Error: standard output: cannot be written: No space left on device\n"


# Two runs at once


@pytest.mark.skipif(files.fcntl is None, reason="there are no such locks")
def test_of_two_runs_that_write_one_checkpoint_the_second_is_refused(bars_folder: Path, tmp_path: Path) -> None:
    told = "Error: {}: another run is writing it; wait until it ends, or write to another file\n"
    with training(bars_folder):
        assert ".model.pkl.lock" in left(tmp_path)
        for name in ("model.pkl", "link.pkl"):
            if name == "link.pkl":
                Path(name).symlink_to("model.pkl")
            for arguments in (["--overwrite"], ["--resume"]):
                more = ["--data", bars_folder, *SHORT] if arguments == ["--overwrite"] else []
                result = lenet5("train", "-o", name, *more, *arguments, code=1)
                assert result.stderr == told.format(name)
        lenet5("train", "--data", bars_folder, *SHORT, "-o", "other.pkl")
        lenet5("info", "model.pkl")  # reading is free
    # The first was killed; its lock went with it.
    epochs = checkpoint.read("model.pkl").epoch
    lenet5("train", "--resume", "--epochs", epochs + 1)
    assert left(tmp_path) == ["bars", "link.pkl", "model.pkl", "other.pkl"]


@pytest.mark.skipif(not Path("/proc").exists(), reason="there is no folder that nobody can write")
def test_a_folder_that_cannot_be_written_is_told_before_the_run(bars_folder: Path) -> None:
    result = lenet5("train", "--data", bars_folder, *SHORT, "-o", "/proc/model.pkl", code=1)
    assert result.stderr == "Error: /proc/model.pkl: cannot be written: No such file or directory\n"


# Data that goes away


def test_images_that_are_cut_short_during_a_run_end_it_with_a_message(
    bars_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = bars_folder / "train-images-idx3-ubyte"
    write = checkpoint.write

    def cutting(path: Path, saved: checkpoint.Checkpoint) -> None:
        write(path, saved)
        os.truncate(images, 100_000)

    with monkeypatch.context() as patch:
        patch.setattr(idx, "MEMORY_LIMIT", 1000)
        patch.setattr(checkpoint, "write", cutting)
        result = lenet5("train", "--data", bars_folder, *SHORT, code=1)
    assert f"Error: {images}: ends at byte 100,000, but had at least " in result.stderr
    assert checkpoint.read("model.pkl").epoch == 1
    idx.write(images, bars(300).images)
    lenet5("train", "--resume")
    assert checkpoint.read("model.pkl").epoch == 2


# Logs


def test_the_log_of_a_run_that_went_on_is_whole(bars_folder: Path) -> None:
    with training(bars_folder, "--log", "run.jsonl") as run:
        for _ in range(3):
            run.stdout.readline()
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=60)
    done = checkpoint.read("model.pkl").epoch
    assert len(Path("run.jsonl").read_text(encoding="utf-8").splitlines()) == done >= 4
    lenet5("train", "--resume", "--epochs", done + 2, "--log", "run.jsonl", "--overwrite")
    logged = [json.loads(line) for line in Path("run.jsonl").read_text(encoding="utf-8").splitlines()]
    assert logged == [epoch.record() for epoch in checkpoint.read("model.pkl").history]
    assert [epoch["epoch"] for epoch in logged] == list(range(1, done + 3))
