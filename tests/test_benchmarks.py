"""The benchmarks measure what they say: all peers that are installed compute the same, and their tables can be made."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib
import pytest

from lenet5_cli import LeNet5
from lenet5_cli.config import Config, presets
from lenet5_cli.data import drawn, idx
from lenet5_cli.storage import checkpoint

FOLDER = Path(__file__).parent.parent / "benchmarks"
FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return what runs a benchmark with some arguments, and returns the message with which it ends."""

    def run(name: str, *arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            __import__(name).main()
        said = capsys.readouterr().err.partition(f"{name}.py: error: ")[2]
        return said.rstrip() or str(ended.value.code)

    return run


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.py")))
def test_it_can_be_imported_and_says_how_it_is_run(name: str) -> None:
    module = __import__(name)
    assert name in ("peers", "watch") or f"python benchmarks/{name}.py" in module.__doc__


def test_the_listing_computes_the_same_scores_and_gradients() -> None:
    import peers
    import speed

    makers = {name: made for name, made in peers.installed(1).items() if name in ("lenet5", speed.LISTING)}
    assert len(makers) == 2
    speed.check(makers, *drawn.draw(3, seed=0))


def test_a_wrong_peer_is_found() -> None:
    import peers
    import speed

    class Wrong(peers.Listing):
        def scores(self, batch: object) -> object:
            return super().scores(batch) + 1

    makers = {
        "lenet5": [lambda: peers.Listing(LeNet5(Config(seed=1)))],
        "wrong": [lambda: Wrong(LeNet5(Config(seed=1)))],
    }
    with pytest.raises(AssertionError, match="wrong"):
        speed.check(makers, *drawn.draw(3, seed=0))


def test_an_export_of_other_classes_than_digits_is_compared(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    import exports

    images, labels = drawn.draw_letters(20, seed=0)
    network = LeNet5(Config(seed=1, glyphs="letters", init="normal"))
    checkpoint.write("letters.pkl", checkpoint.Checkpoint(network.pairs(), network.sheet))
    monkeypatch.setattr(exports, "TYPES", ())
    exports.agreement(Path("letters.pkl"), images, labels)
    assert "\n| onnx | 20 | " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("told", "processor"),
    [
        ("model name\t: A Processor\nmodel name\t: A Processor\n", "A Processor"),
        ("BogoMIPS\t: 50\n", "arm"),
        (None, "arm"),
    ],
    ids=["x86", "ARM", "not Linux"],
)
def test_the_processor_is_named(
    told: str | None, processor: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import speed

    if told:
        (tmp_path / "cpuinfo").write_text(told, encoding="utf-8")
    monkeypatch.setattr(speed, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(speed.platform, "processor", lambda: "")
    monkeypatch.setattr(speed.platform, "machine", lambda: "arm")
    assert speed.machine().startswith(f"{processor}, 1 cores; Python ")


@pytest.mark.skipif(os.name != "posix", reason="a group of processes is killed otherwise")
def test_runs_that_are_killed_end_with_the_same_bytes(bars_folder: Path) -> None:
    """Two kills of the recipe whose state is largest; ``python benchmarks/crashes.py`` makes many of all."""
    import crashes

    tally = crashes.crash([*crashes.SMALL["best"], "--epochs", "5", "--data", str(bars_folder)], kills=2)
    assert (tally.kills, tally.unreadable, tally.different) == (2, 0, 0)
    assert tally.runs >= 1


def test_the_kills_are_handed_out_among_the_recipes(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import crashes

    kills: list[int] = []

    def crash(_: list[str], count: int) -> crashes.Tally:
        kills.append(count)
        return crashes.Tally()

    monkeypatch.setattr(crashes, "crash", crash)
    monkeypatch.setattr(sys, "argv", ["crashes.py", "--kills", "10"])
    crashes.main()
    assert kills == [3, 3, 2, 2]
    assert refused("crashes", "--kills", 3) == "--kills 3; expected 4 or more, as there are 4 recipes"


@pytest.mark.parametrize("name", ["run", "watched"])
def test_a_command_that_fails_says_why(name: str) -> None:
    import watch

    command = [sys.executable, "-c", "raise SystemExit('the reason')"]
    with pytest.raises(SystemExit) as ended:
        getattr(watch, name)(command)
    assert ended.value.code == f"{' '.join(command)}\nthe reason\n"


def test_recipes_are_trained_on_mnist_or_what_else_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    import recipes

    commands: list[list[str]] = []

    def run(command: list[str]) -> str:
        commands.append(command)
        return '{"accuracy": 0.5}'

    monkeypatch.setattr(recipes, "run", run)
    recipes.measure("quick", "quick", {}, [1], "")
    recipes.measure("drawn", "quick", recipes.DRAWN, [1], "")
    trained = [command for command in commands if "train" in command]
    assert [command[command.index("--data") + 1] for command in trained] == ["mnist", "builtin:60000"]


def test_the_bundled_model_reads_the_picture_that_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    import commands

    timed: list[list[str]] = []
    monkeypatch.setattr(commands, "seconds", lambda command: timed.append(command) or 1.0)
    commands.print_starts("builtin:60")
    predicting = next(command for command in timed if "predict" in command)
    assert predicting[3:-1] == ["predict", "--model", "bundled"]


def test_a_short_training_does_not_replace_the_bundled_model(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import bundled

    monkeypatch.setattr(bundled, "BUNDLED_MODEL", Path("shipped.pkl"))
    expected = "--epochs 1 without --output would replace shipped.pkl; say where to write"
    assert refused("bundled", "--epochs", 1) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--folder", "."], "--list None, --folder .; expected a CSV file and a folder"),
        (["--list", "list.csv"], "--list list.csv, --folder None; expected a CSV file and a folder"),
        (["--accept", "2"], "--accept 2.0; expected a number from 0 to 1"),
        (["--list", "list.csv", "--folder", "."], "none.png: no such file; expected a picture"),
        (
            ["--list", "other.csv", "--folder", "."],
            "other.csv: the columns ['file', 'label']; expected path and label among them",
        ),
        (["--list", "short.csv", "--folder", "."], "short.csv: no picture; expected one or more"),
    ],
)
def test_pictures_that_cannot_be_read_are_refused(
    arguments: list[str], message: str, refused: Callable[..., str]
) -> None:
    Path("list.csv").write_text("path,label\nnone.png,3\n", encoding="utf-8")
    Path("other.csv").write_text("file,label\nnone.png,3\n", encoding="utf-8")
    Path("short.csv").write_text("path,label\n", encoding="utf-8")
    assert refused("pictures", *arguments) == message


def test_a_font_is_drawn_into_a_new_folder_or_not_at_all(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = f"{FONT}: has no glyph for ೦; expected a font with all the characters"
    assert refused("fonts", FONT, "0೦", "new") == lacking
    assert refused("fonts", "none.ttf", "01", "new") == "none.ttf: no such file; expected a font"
    assert refused("fonts", "", "01", "new") == "an empty name; expected a font"
    assert not Path("new").exists()
    monkeypatch.setattr(sys, "argv", ["fonts.py", str(FONT), "01", "new", "--train", "4", "--test", "2"])
    __import__("fonts").main()
    assert len(idx.read_labels("new/train-labels-idx1-ubyte")) == 4
    assert refused("fonts", FONT, "01", "new") == "new: is there already; expected a new or empty folder"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--time", "nonsense"], "--time: 'nonsense'; expected a time such as 90s, 10m or 1h30m"),
        (["--found", "none.toml"], "{here}/none.toml: no such file or preset; the presets are: {presets}"),
        (["--found", "quick"], "{here}/quick: no such file or preset; the presets are: {presets}"),
        ([], "LENET5_DATA: none: no such folder; expected the folder of MNIST's IDX files"),
    ],
)
def test_a_search_refuses_what_it_cannot_use_before_it_trains(
    arguments: list[str], message: str, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LENET5_DATA", "none")
    assert refused("search", *arguments) == message.format(here=Path.cwd(), presets=", ".join(presets()))


@pytest.mark.skipif(os.name != "posix", reason="a program is told by its name otherwise")
def test_the_launcher_beside_python_is_taken_else_that_of_the_path(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import ranks

    started: list[str] = []
    monkeypatch.setattr(ranks.subprocess, "run", lambda command, **_: started.append(command[0]))
    monkeypatch.setattr(sys, "executable", "beside/python")
    monkeypatch.setenv("PATH", "path")
    expected = 'there is no mpiexec, beside Python or on the PATH; pip install "lenet5-cli[mpi]" mpich'
    assert refused("ranks") == expected
    for folder in ("path", "beside"):
        Path(folder).mkdir()
        Path(folder, "mpiexec").touch(mode=0o755)
        ranks.main()
    assert started == ["path/mpiexec", "beside/mpiexec"]


def test_estimators_compares_only_where_it_is_asked_and_can(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused("estimators", "--nonsense") == "unrecognized arguments: --nonsense"
    monkeypatch.delitem(sys.modules, "lenet5_cli.sklearn", raising=False)
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    missing = "import of sklearn.base halted; None in sys.modules; pip install 'lenet5-cli[sklearn]'"
    assert refused("estimators") == f"scikit-learn, which LeNet5Classifier needs, cannot be imported: {missing}"
    assert capsys.readouterr().out == ""
