"""``lenet5 tune``: exit code, stdout, stderr, files left behind."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import create_trial

from lenet5_cli import files
from lenet5_cli.commands import tune
from lenet5_cli.config import read
from lenet5_cli.data import glyphs
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.reports import figures
from lenet5_cli.storage import checkpoint
from lenet5_cli.storage.checkpoint import Epoch
from lenet5_cli.training import search
from lenet5_cli.training.metrics import wilson
from tests.conftest import any_bytes, left_behind, run

SPACE = 'lr = { low = 0.005, high = 0.1, log = true }\naugment = ["none", "affine"]\n'
HOW = ["--config", "lecun1998", "--batch-size", 5, "--warmup", 0]  # which learn what bars are within a hundred images


@pytest.fixture
def how(bars_folder: Path) -> list[object]:
    """Return the options of a small search."""
    Path("space.toml").write_text(SPACE, encoding="utf-8")
    small = ["--epochs", 2, "--samples-per-epoch", 100, "--lr", 0.01, "--seed", 3, "--trials", 3, "--threads", 1]
    return ["tune", "--data", bars_folder, "--space", "space.toml", *HOW, *small]


@pytest.mark.usefixtures("begun")
def test_tune_prints_a_trial_a_line_then_the_best_and_writes_its_settings(how: list[object], bars_folder: Path) -> None:
    result = run(*how)
    assert result.stderr.splitlines() == [
        f"Load train: 300 images of 28x28 pixels from {bars_folder}/train-images-idx3-ubyte",
        "seed: 3",
        "Searching lr, augment; trials: 3, 1 in parallel; 250 training and 50 validation images",
        "best.toml: written",
        "lenet5 train --config best.toml trains with it.",
    ]
    lines = result.stdout.splitlines()
    form = re.compile(r"trial: (\d)  val: ([01]\.\d{5})  epochs: 2  lr=(\S+) augment=(none|affine)")
    trials = [form.fullmatch(line).groups() for line in lines[:3]]
    assert [number for number, *_ in trials] == ["1", "2", "3"]
    assert trials[0][2:] == ("0.01", "none")
    number, reached, lr, augment = max(trials, key=lambda trial: float(trial[1]))
    low, high = wilson(float(reached) * 50, 50)
    assert lines[3].rstrip() == "Best trials (3 of 3 finished)"
    assert re.fullmatch(r" trial +val +95 % interval +seconds +settings *", lines[4])
    settings = f"lr={lr} augment={augment}"
    assert re.fullmatch(
        rf" {number} +{float(reached):.4f} +{low:.4f} to {high:.4f} +\d+ +{re.escape(settings)} *", lines[5]
    )
    assert lines[8:] == ["Importances are unknown: too few trials finished, or all were equally good."]
    assert left_behind() == ["bars", "best.toml", "space.toml"]
    text = Path("best.toml").read_text(encoding="utf-8")
    assert text.startswith(
        f"# Found by lenet5 tune: validation accuracy {float(reached):.4f} ({low:.4f} to {high:.4f}).\n"
        "# With --validation 0, train uses these images too.\n\nepochs = 2\n"
    )
    found = read("best.toml")
    assert (found["lr"], found.get("augment", "none"), found["validation"]) == (float(lr), augment, 50)
    assert "seed" not in found
    run("train", "--config", "best.toml", "--seed", 3)
    assert max(epoch.validation_accuracy for epoch in checkpoint.read("model.pkl").history) == float(reached)


@pytest.mark.usefixtures("begun")
def test_settings_with_a_patience_say_how_to_train_on_all_images(how: list[object]) -> None:
    run(*how, "--trials", 1, "--patience", 1)
    advice = Path("best.toml").read_text(encoding="utf-8").splitlines()[1]
    assert advice == "# With --validation 0 --patience 0, train uses these images too."
    run("train", "--config", "best.toml", "--validation", 0, "--patience", 0)


@pytest.mark.usefixtures("begun")
@pytest.mark.parametrize("columns", ["25", "60"])
def test_figures_and_settings_are_whole_on_a_narrow_terminal(
    columns: str, how: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    shown = run(*how).stdout
    best = max(float(reached) for reached in re.findall(r"val: ([01]\.\d+)", shown))
    assert re.search(rf"^ [123] +{best:.4f} ", shown, re.MULTILINE)
    assert ("95 % interval" in shown) == (columns == "60")
    assert "…" not in shown
    assert "augment=none" in shown.partition("Best trials")[2].replace("\n", "").replace(" ", "")


@pytest.mark.usefixtures("begun")
def test_tune_goes_on_with_its_storage_and_draws(how: list[object]) -> None:
    how += ["--patience", 9]  # images are held out though no --validation says how many
    run(*how, "--storage", "journal.log")
    before = Path("best.toml").read_bytes()
    Path("best.toml").write_text("# Found by lenet5 tune: before\n", encoding="utf-8")
    more = ["--storage", "journal.log", "--trials", 10, "--plot", "trials.png"]
    result = run(*how, *more)
    assert "Searching lr, augment; trials: 10 (3 done), 1 in parallel; " in result.stderr
    assert "trials.png: written\n" in result.stderr
    assert [line.split()[1] for line in result.stdout.splitlines()[:7]] == [str(number) for number in range(4, 11)]
    *_, heading, first, second = result.stdout.splitlines()
    assert heading == "Importance of each setting:"
    shares = [float(re.fullmatch(r"(?:lr|augment) +(\d+\.\d) %", line).group(1)) for line in (first, second)]
    assert sum(shares) == pytest.approx(100, abs=0.11)
    assert Path("trials.png").read_bytes().startswith(b"\x89PNG")
    Path("best.toml").unlink()
    assert run(*how, *more).stdout.startswith("Best trials (10 of 10 finished)")
    assert Path("best.toml").is_file()
    assert before.startswith(b"# Found by lenet5 tune")


@pytest.mark.usefixtures("begun")
def test_a_study_that_goes_on_replaces_only_what_a_search_has_written(how: list[object]) -> None:
    how += ["--storage", "journal.log", "--trials", 1]
    run(*how)
    found, begun = Path("best.toml").read_bytes(), Path("journal.log").read_bytes()
    figures.history([Epoch(epoch, 1.0, 0.5, 0.1, 60, 1.0) for epoch in (1, 2)], Path("training.svg"))
    for name, content, journal in (
        ("best.toml", b"lr = 0.05  # mine\n", begun),
        ("trials.png", b"a photo", begun),
        ("trials.svg", Path("training.svg").read_bytes(), begun),
        ("best.toml", found, b""),
    ):
        Path("journal.log").write_bytes(journal)
        Path("best.toml").write_bytes(found)
        Path(name).write_bytes(content)
        plot = name if name.startswith("trials") else "trials.png"
        said = run(*how, "--plot", plot, code=2).stderr.splitlines()[-1]
        assert said == f"Error: {name} exists; --overwrite replaces it"
        assert Path(name).read_bytes() == content


@pytest.mark.usefixtures("begun")
def test_settings_that_another_machine_finds_last_are_written(
    how: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    how += ["--storage", "journal.log"]
    run(*how, "--trials", 1)

    def run_elsewhere(own: search.Search, trials: int, waiting: Callable[[int], None], **_: object) -> Iterator[Any]:
        waiting(trials - 1)
        (first,) = own._study.trials
        settings = first.user_attrs["settings"] | {"lr": 0.0123}
        own._study.add_trial(
            create_trial(
                value=0.999,
                params=first.params,
                distributions=first.distributions,
                intermediate_values={1: 0.999},
                user_attrs=first.user_attrs | {"settings": settings},
            )
        )
        return iter(())

    monkeypatch.setattr(search.Search, "run", run_elsewhere)
    said = run(*how, "--trials", 2).stderr
    assert "Waiting for 1 trial running elsewhere; one whose process has died restarts here.\n" in said
    assert read("best.toml")["lr"] == 0.0123


@pytest.mark.usefixtures("begun")
def test_a_search_in_which_no_trial_ends_writes_nothing(how: list[object]) -> None:
    result = run(*how, "--time", "0s", code=1)
    assert result.stderr.endswith("Error: no trial finished; best.toml was not written\n")
    Path("space.toml").write_text('augment = ["none", "affine"]', encoding="utf-8")
    more = ["--lr", 1e39, "--schedule", "exponential", "--trials", 1]
    result = run(*how, *more, "--plot", "trials.png", code=1)
    reason = "epoch 1: the loss is no longer finite at learning rate 1e+39; try a smaller lr"
    assert result.stdout == f"trial: 1  val: 0.00000  epochs: 0  augment=none  ended early: {reason}\n"
    assert result.stderr.endswith("Error: no trial finished; best.toml was not written\n")
    assert left_behind() == ["bars", "space.toml"]


@pytest.mark.usefixtures("begun")
def test_a_setting_goes_with_what_is_searched(how: list[object]) -> None:
    """It was refused, as the first trial would not need it."""
    clip = [*how, "--clip", 1, "--trials", 1]
    said = run(*clip, code=2).stderr.splitlines()[-1]
    assert said == "Error: --clip goes with --optimizer sgd, not with adam"
    Path("space.toml").write_text('optimizer = ["sgd", "adam"]', encoding="utf-8")
    run(*clip)
    assert read("best.toml")["clip"] == 1
    said = run(*how, "--space", "default", "--lr-decay", 0.9, "--overwrite", code=2).stderr.splitlines()[-1]
    assert said == "Error: --lr-decay goes with --schedule exponential, not with cosine"  # of the first trial
    Path("space.toml").write_text("lr_decay = { low = 0.5, high = 1.0 }", encoding="utf-8")
    said = run(*how, "--overwrite", code=2).stderr.splitlines()[-1]
    there = "lr_decay goes with --schedule exponential, not with cosine"  # no trial would need it
    assert said == f"Error: --space: {there}; search schedule too, or leave lr_decay out"


def test_refusals(how: list[object], bars_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = run(*how, "--validation", 0, code=1).stderr.splitlines()[-1]
    assert said == (
        f"Error: validation: no validation images of {bars_folder}; trials are compared on them; set validation"
    )
    said = run(*how, "--time", "soon", code=2).stderr.splitlines()[-1]
    assert said == "Error: --time: 'soon'; expected a time such as 90s, 10m or 1h30m"
    said = run(*how, "--storage", "none/journal.log", code=2).stderr.splitlines()[-1]
    assert said == "Error: none/journal.log: there is no folder none"
    said = run(*how, "--plot", "trials.doc", code=2).stderr.splitlines()[-1]
    assert said.startswith("Error: --plot trials.doc: expected a name that ends in .png, .pdf, .svg or another")
    Path("theirs").write_text("theirs", encoding="utf-8")
    said = run(*how, "--storage", "theirs", code=1).stderr.splitlines()[-1]
    assert said == "Error: theirs: not the journal of a search, or damaged; name another file"
    Path("best.toml").write_bytes(b"mine")
    said = run(*how, code=2).stderr.splitlines()[-1]
    assert said == "Error: best.toml exists; --overwrite replaces it"
    assert Path("best.toml").read_bytes() == b"mine"
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "lenet5_cli.training.search", raising=False)
    said = run(*how, "--overwrite", code=1).stderr
    assert said == (
        "Error: Optuna, which a search needs, cannot be imported: import of optuna halted; None in sys.modules; "
        "pip install 'lenet5-cli[tune]'\n"
    )


def test_what_a_search_reads_is_not_written_over(how: list[object], bars_folder: Path) -> None:
    Path("own.toml").write_text("epochs = 1\n", encoding="utf-8")
    Path("link.png").symlink_to("own.toml")
    picture = bars_folder / "t10k-images-idx3-ubyte"
    for written, name, told in (
        ("--output", "own.toml", "is also read by --config"),
        ("--plot", "link.png", "is also read by --config"),
        ("--output", "space.toml", "is also read by --space"),
        ("--storage", picture, f"is a file of the data {bars_folder}"),
    ):
        before = Path(name).read_bytes()
        said = run(*how, "--config", "own.toml", written, name, "--overwrite", code=2).stderr
        assert said.endswith(f"Error: {name}: {told}; give the output another name\n")
        assert Path(name).read_bytes() == before


@pytest.mark.usefixtures("begun")
def test_the_output_is_written_when_another_machine_has_written_it(
    how: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tune, "BETWEEN", 0)
    attempts = []
    locks = files.only_writer

    @contextlib.contextmanager
    def contended(path: Path) -> Iterator[None]:
        attempts.append(path)
        if len(attempts) % 3:
            raise LeNet5Error("another run is writing it")
        with locks(path):
            yield

    monkeypatch.setattr(files, "only_writer", contended)
    how += ["--storage", "journal.log", "--trials", 1]
    run(*how)
    assert len(attempts) == 9
    assert read("best.toml")["validation"] == 50
    monkeypatch.setattr(tune, "WRITES", 2)
    result = run(*how, code=1)
    assert result.stderr.endswith("Error: another run is writing it\n")


@pytest.mark.skipif(files.fcntl is None, reason="there are no such locks")
def test_two_searches_of_their_own_do_not_write_one_file(how: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    with files.only_writer("best.toml"):
        said = run(*how, "--overwrite", code=1).stderr
    assert said == "Error: best.toml: another run is writing it; wait until it ends, or write to another file\n"

    @contextlib.contextmanager
    def ended(path: Path) -> Iterator[None]:
        path.write_text("of another search", encoding="utf-8")
        yield

    monkeypatch.setattr(files, "only_writer", ended)
    said = run(*how, code=2).stderr.splitlines()[-1]
    assert said == "Error: best.toml exists; --overwrite replaces it"
    assert Path("best.toml").read_text(encoding="utf-8") == "of another search"


@pytest.mark.skipif(files.fcntl is None, reason="there are no such locks")
@pytest.mark.usefixtures("begun")
def test_a_search_of_its_own_holds_its_output_to_its_end(how: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    refused = []

    def line(_: object) -> str:
        with pytest.raises(LeNet5Error) as error, files.only_writer("best.toml"):
            pass
        refused.append(str(error.value))
        return ""

    monkeypatch.setattr(tune, "_line", line)
    run(*how, "--trials", 2)
    assert refused == 2 * ["best.toml: another run is writing it; wait until it ends, or write to another file"]
    assert left_behind() == ["bars", "best.toml", "space.toml"]


def test_ctrl_c_keeps_what_was_found(how: list[object]) -> None:
    """With real processes: one trial ends, then Ctrl-C comes while the next one runs."""
    command = [sys.executable, "-m", "lenet5_cli", *map(str, how), "--storage", "journal.log", "--trials", "1000"]
    search = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert search.stdout.readline().startswith("trial: 1  val: ")
    search.send_signal(signal.SIGINT)
    out, err = search.communicate(timeout=60)
    assert search.returncode == 130, err
    assert "Best trials (" in out
    assert "Stopping at the end of this step; Ctrl-C again stops immediately.\n" in err
    assert err.endswith("\nThe same command continues the search in journal.log.\n")
    assert "Traceback" not in err
    assert read("best.toml")["validation"] == 50
    assert left_behind() == ["bars", "best.toml", "journal.log", "space.toml"]


def test_ctrl_c_before_a_trial_has_finished_says_so(how: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was said of what had become of the search."""
    monkeypatch.setattr(search.Search, "run", lambda *_, **__: iter([signal.raise_signal(signal.SIGINT)][:0]))
    said = run(*how, "--storage", "my journal.log", "--plot", "trials.png", code=130).stderr
    assert said.endswith(
        "Stopped before a trial finished; best.toml was not written.\n"
        "The same command continues the search in 'my journal.log'.\n"
    )
    assert left_behind() == ["bars", "my journal.log", "space.toml"]


@any_bytes
def test_a_name_that_no_file_of_settings_can_hold_is_refused_before_the_search(how: list[object]) -> None:
    """A trial was trained, then its settings could not be written."""
    name = os.fsdecode(b"odd\xff.txt")
    glyphs.write(name, glyphs.read())
    told = r"Error: glyphs: odd\udcff.txt is not UTF-8, as a TOML file of settings must be; rename it"
    assert run(*how, "--glyphs", name, code=2).stderr.splitlines()[-1] == told


def test_a_space_of_no_name_is_told(how: list[object]) -> None:
    told = "Error: an empty name; expected a search space or a TOML file of ranges of settings\n"
    assert run(*how, "--space", "", code=1).stderr == told
