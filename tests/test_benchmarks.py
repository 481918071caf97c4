"""The benchmarks measure what they say: all peers that are installed compute the same, and their tables can be made."""

import os
from pathlib import Path

import pytest

from lenet5_cli import LeNet5
from lenet5_cli.config import Config
from lenet5_cli.data import drawn
from lenet5_cli.storage import checkpoint

FOLDER = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))


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
