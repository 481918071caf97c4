"""``lenet5 info``: what it shows of checkpoints and recipes."""

import hashlib
import json
import pickle
import sys
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import lenet5_cli
from lenet5_cli import LeNet5, config
from lenet5_cli.commands import lenet5
from lenet5_cli.config import Config
from lenet5_cli.data import glyphs, idx
from lenet5_cli.reports import figures
from lenet5_cli.storage import checkpoint
from lenet5_cli.storage.checkpoint import Checkpoint, Epoch
from tests.conftest import bars, history

SHA256 = hashlib.sha256(b"").hexdigest()
REPORT = asdict(Config(**config.read("report")))
LAYERS = [  # parameters: c1 6 (1 5 5 + 1), c3 16 (6 5 5 + 1), c5 120 (16 5 5 + 1), f6 84 (120 + 1)
    ("c1", "Conv", "1x32x32 -> 6x28x28", 156),
    ("s2", "Subsampling", "6x28x28 -> 6x14x14", 12),
    ("c3", "Conv", "6x14x14 -> 16x10x10", 2416),
    ("s4", "Subsampling", "16x10x10 -> 16x5x5", 32),
    ("c5", "Conv", "16x5x5 -> 120x1x1", 48120),
    ("f6", "Dense", "120x1x1 -> 84", 10164),
    ("output", "RBF", "84 -> 10", 0),
]


def run(*arguments: object, code: int = 0, charset: str = "utf-8") -> Result:
    result = CliRunner(charset=charset).invoke(lenet5, ["info", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def words(result: Result) -> str:
    """Return what was printed, without the places where lines break and columns begin."""
    return " ".join(result.stdout.split())


def model(**changes: Any) -> Path:
    """Write a model of eight epochs on the report's settings, but for what is given."""
    record: dict[str, Any] = {
        "config": REPORT | {"epochs": 20, "seed": 3},
        "history": history(8),
        "data": {"name": "mnist", "images": 60000, "sha256": SHA256},
        "versions": {"lenet5": "0.1.0", "python": "3.12.1", "numpy": "2.4.0"},
    }
    path = Path("model.pkl")
    checkpoint.write(path, Checkpoint(LeNet5(Config(seed=1)).pairs(), glyphs.read(), **record | changes))
    return path


def sha256(path: Path) -> str:
    """Return the SHA-256 of the bytes of every weight and bias, in order."""
    return hashlib.sha256(
        b"".join(w.tobytes() + b.tobytes() for w, b in pickle.loads(path.read_bytes())[:6])
    ).hexdigest()


def test_a_model_shows_how_it_was_made() -> None:
    path = model()
    result = run(path)
    shown = words(result)
    assert shown.startswith(f"model.pkl: 60,900 parameters in float32, {path.stat().st_size:,} bytes SHA-256 of the ")
    for fact in (
        sha256(path),
        *(f"{name} {kind} {shapes} {count:,}" for name, kind, shapes, count in LAYERS),
        "total 60,900",
        "setting value report preset seed 3 not set",
        f"The other {len(REPORT) - 1} are as in the report preset (lenet5 info --config report).",
        f"data name mnist images 60,000 sha256 {SHA256}",
        "epochs trained: 8 of 20",
        "loss: first 1.00000, last 0.12500, best 0.12500 in epoch 8 █▇▆▅▄▃▂▁",
        "accuracy: first 0.00000, last 0.87500, best 0.87500 in epoch 8 ▁▂▃▄▅▆▇█",
        "made with lenet5 0.1.0, python 3.12.1, numpy 2.4.0",
    ):
        assert fact in shown
    assert result.stderr == ""
    assert "\x1b" not in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_json_holds_the_same() -> None:
    path = model()
    facts = json.loads(run(path, "--json").stdout)
    saved = checkpoint.read(path)
    layers = facts.pop("layers")
    assert [
        (one["name"], one["kind"], " -> ".join("x".join(map(str, one[end])) for end in ("in", "out")), count)
        for one, count in zip(layers, [one["parameters"] for one in layers], strict=True)
    ] == LAYERS
    assert facts == {
        "model": "model.pkl",
        "bytes": path.stat().st_size,
        "sha256": sha256(path),
        "dtype": "float32",
        "parameters": 60900,
        "classes": list("0123456789"),
        "settings": saved.config,
        "data": saved.data,
        "epoch": 8,
        "history": [epoch.record() for epoch in saved.history],
        "versions": saved.versions,
    }


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_it_fits_the_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    path = model(config=REPORT | {"data": "/home/someone/" + 9 * "a long folder/"}, history=history(500))
    for arguments in ([path], ["--config", "report"]):
        result = run(*arguments)
        assert max(map(len, result.stdout.splitlines())) <= columns
    curves = [line for line in run(path).stdout.splitlines() if line.startswith(("█", "▁"))]
    assert [len(line) for line in curves] == 2 * [min(columns, 60)]


def test_a_terminal_of_no_width_is_taken_for_one_of_eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    path = model(history=history(100))
    shown = []
    for columns in ("0", "80"):
        monkeypatch.setenv("COLUMNS", columns)
        shown.append(run(path).stdout)
    assert shown[0] == shown[1]


def test_without_unicode_the_curves_are_ascii() -> None:
    path = model(data={"name": "Ziffern/später"})
    shown = words(run(path, charset="ascii"))
    assert "epoch 8 @#*+=-:. accuracy" in shown
    assert "epoch 8 .:-=+*#@ made" in shown
    assert r"name Ziffern/sp\xe4ter" in shown


def test_a_file_of_the_reports_says_nothing_about_how_it_was_made() -> None:
    Path("foreign.pkl").write_bytes(
        pickle.dumps([[w.astype("f8"), b] for w, b in LeNet5(Config(seed=1)).pairs()], protocol=3)
    )
    shown = words(run("foreign.pkl"))
    assert "60,900 parameters in float64" in shown
    assert shown.endswith(
        "total 60,900 The file holds no glyphs; its output layer is the shipped sheet. "
        "The file says nothing about how it was made."
    )
    facts = json.loads(run("foreign.pkl", "--json").stdout)
    assert [facts[what] for what in ("settings", "data", "epoch", "history", "versions")] == [{}, {}, 0, [], {}]
    assert len(facts["layers"]) == 7


def test_a_record_that_is_empty_says_nothing_either() -> None:
    shown = words(run(model(config={}, history=[], data={}, versions={})))
    assert shown.endswith("total 60,900 The file says nothing about how it was made.")


@pytest.mark.parametrize("preset", config.presets())
def test_a_model_is_compared_with_the_preset_nearest_to_it(preset: str) -> None:
    settings = asdict(Config(**config.read(preset)))
    shown = words(run(model(config=settings)))
    assert f"All {len(settings)} settings are as in the {preset} preset (lenet5 info --config {preset})." in shown
    shown = words(run(model(config=settings | {"warmup": 3.5})))
    assert (
        f"setting value {preset} preset warmup 3.5 {settings['warmup']} The other {len(settings) - 1} are as in"
        in shown
    )


def test_settings_of_other_versions_are_shown() -> None:
    config = {name: value for name, value in REPORT.items() if name != "lr_decay"} | {"sharpness": [1, 2.5, True]}
    shown = words(run(model(config=config)))
    assert f"sharpness 1, 2.5, True unknown to lenet5 {lenet5_cli.__version__} The other" in shown
    assert "Settings missing from the file: lr_decay." in shown


def test_every_number_of_the_history_that_has_a_meaning_is_drawn() -> None:
    entries = history(4, validation_accuracy=0.5)
    entries[2] = replace(entries[2], validation_accuracy=0.75)
    entries[3] = replace(entries[3], validation_accuracy=None)
    shown = words(run(model(history=entries)))
    assert "validation_accuracy: first 0.50000, last 0.75000, best 0.75000 in epoch 3 ▁▁█" in shown
    assert "validation" not in words(run(model()))


def test_a_curve_of_one_epoch_and_of_one_height() -> None:
    assert "in epoch 1 ▁" in words(run(model(history=history(1))))
    same = [Epoch(at, 2, 0.5, 0.5, 60, 0.1) for at in (1, 2, 3)]
    assert "loss: first 2.00000, last 2.00000, best 2.00000 in epoch 1 ▁▁▁" in words(run(model(history=same)))


def test_text_in_a_file_is_shown_literally_and_steers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    hostile = "[red]r[/red] \x1b[31mc \u202eb :smile: \ud800 \n"
    path = model(
        config=REPORT | {"glyphs": hostile, hostile: hostile},
        data={"name": hostile, hostile: [hostile]},
        versions={hostile: hostile},
    )
    result = run(path)
    assert words(result).count(r"[red]r[/red] \x1b[31mc \u202eb :smile: \ud800 \n") == 8
    assert all(character.isprintable() for character in result.stdout.replace("\n", ""))
    facts = json.loads(run(path, "--json").stdout)
    assert facts["settings"]["glyphs"] == facts["versions"][hostile] == hostile


def test_numbers_that_no_run_writes_do_not_stop_it() -> None:
    path = model(
        config={"epochs": 3, "deep": {"a": {"b": 1}}},
        history=[Epoch(1, 1e99, -5, 0, 1 << 60, 0.1)],
        data={"images": "many", "sha256": None},
    )
    shown = words(run(path))
    assert "epochs trained: 1 of 3" in shown
    assert "accuracy: first -5.00000, last -5.00000, best -5.00000 in epoch 1" in shown
    facts = json.loads(run(path, "--json").stdout, parse_constant=pytest.fail)
    assert facts["settings"] == {"epochs": 3, "deep": {"a": "<dict>"}}


@pytest.mark.parametrize("preset", config.presets())
def test_a_recipe_shows_every_setting(preset: str) -> None:
    result = run("--config", preset)
    settings, default = asdict(Config(**config.read(preset))), asdict(Config())
    differing = sum(settings[name] != default[name] for name in settings)
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines[1 : len(settings) + 1]] == [field.name for field in fields(Config)]
    assert lines[-1] == (
        f"{differing} of {len(settings)} settings differ from the defaults."
        if differing
        else f"All {len(settings)} settings are the defaults."
    )
    assert json.loads(run("--config", preset, "--json").stdout) == {
        "config": preset,
        "settings": settings,
        "defaults": default,
    }


def test_a_recipe_of_a_file_shows_where_it_differs() -> None:
    Path("mine.toml").write_text('lr = 0.25\nglyphs = "[red]mine.txt"\n', encoding="utf-8")
    result = run("--config", "mine.toml")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["setting", "value", "default"]
    assert ["lr", "0.25", "0.5"] in lines
    assert ["glyphs", "[red]mine.txt", "digits"] in lines
    assert ["batch_size", "1"] in lines
    assert ["seed", "not", "set"] in lines
    Path("mine.toml").write_text('glyphs = ""', encoding="utf-8")
    assert 'glyphs "" digits' in words(run("--config", "mine.toml"))
    assert lines[-1][:3] == ["2", "of", str(len(REPORT))]


FIGURES = ["curves.png", "glyphs.png", "kernels.png", "maps.png"]


def drawn(folder: str) -> list[str]:
    """Return the names of the pictures in a folder, each of which can be decoded and is 1350 pixels wide."""
    for path in Path(folder).iterdir():
        with Image.open(path) as image:
            image.load()
            assert image.width == 1350
    return sorted(path.name for path in Path(folder).iterdir())


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return, once ``maps`` was drawn, the labels of the images that are on it, and its input."""
    caught, maps = [], figures.maps

    def catching(layers: Any, labels: Any, *rest: Any) -> None:
        caught.extend([labels, layers["input"]])
        maps(layers, labels, *rest)

    monkeypatch.setattr(figures, "maps", catching)
    return caught


def test_figures_are_drawn_into_a_folder_that_is_made(bars_folder: Path, shown: list[Any]) -> None:
    path = model(data={"name": str(bars_folder)})
    result = run(path, "--figures", "some/where")
    assert result.stdout == run(path).stdout
    assert result.stderr.endswith(
        "".join(f"some/where/{name}.png: written\n" for name in ("kernels", "maps", "curves", "glyphs"))
    )
    assert drawn("some/where") == FIGURES
    np.testing.assert_array_equal(shown[0], np.arange(10))
    np.testing.assert_array_equal(shown[1], LeNet5(Config(seed=1)).prepare(bars(50, seed=1).images[:10]))


@pytest.mark.usefixtures("unrendered")
def test_figures_replace_no_file(bars_folder: Path) -> None:
    path = model()
    Path("out").mkdir()
    Path("out/maps.png").write_bytes(b"mine")
    options = ["--figures", "out", "--data", bars_folder]
    result = run(path, *options, code=2)
    assert result.stderr.endswith("Error: out/maps.png exists; --overwrite replaces it\n")
    assert result.stdout == ""
    assert Path("out/maps.png").read_bytes() == b"mine"
    assert [file.name for file in Path("out").iterdir()] == ["maps.png"]
    run(path, *options, "--overwrite")
    assert sorted(file.name for file in Path("out").iterdir()) == FIGURES
    assert Path("out/maps.png").read_bytes() != b"mine"


@pytest.mark.usefixtures("drawn_once", "unrendered")
def test_of_a_file_of_the_reports_there_are_no_curves_and_the_samples_are_built_in(shown: list[Any]) -> None:
    Path("foreign.pkl").write_bytes(pickle.dumps(LeNet5(Config(seed=1)).pairs(), protocol=3))
    result = run("foreign.pkl", "--figures", "out")
    assert sorted(path.name for path in Path("out").iterdir()) == [name for name in FIGURES if name != "curves.png"]
    assert result.stderr.startswith(
        "No training history; out/curves.png is left out.\n"
        "The file does not say what the network was trained on.\n"
        "The maps show built-in digits instead.\n"
    )
    np.testing.assert_array_equal(shown[0], np.arange(10))


@pytest.mark.usefixtures("drawn_once", "unrendered")
def test_data_that_is_gone_gives_way_to_built_in_digits_but_not_data_that_is_named(bars_folder: Path) -> None:
    path = model(data={"name": "gone"})
    result = run(path, "--figures", "out")
    assert result.stderr.startswith("gone: ")
    assert "\nThe maps show built-in digits instead.\n" in result.stderr
    assert run(path, "--figures", "other", "--data", "gone", code=1).stderr.startswith("Error: gone: ")
    assert not Path("other").exists()
    assert "built-in" not in run(path, "--figures", "other", "--data", bars_folder).stderr


@pytest.mark.usefixtures("unrendered")
def test_digits_that_the_data_does_not_have_are_left_out(bars_folder: Path, shown: list[Any]) -> None:
    idx.write(bars_folder / "t10k-labels-idx1-ubyte", np.repeat(np.array([7, 2], np.uint8), 25))
    run(model(), "--figures", "out", "--data", bars_folder)
    np.testing.assert_array_equal(shown[0], [2, 7])


def test_a_history_that_no_run_writes_does_not_stop_the_figures(bars_folder: Path, unrendered: list[Any]) -> None:
    odd = [*history(2), Epoch(3, 1e99, 7.0, 0.5, 60, 0.1, validation_accuracy=-1e99)]
    run(model(history=odd), "--figures", "out", "--data", bars_folder)
    _, _, curves, _ = unrendered
    curves.savefig("out/curves.png")
    assert Path("out/curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "report", "--figures", "out"], "--figures draws a checkpoint; give a MODEL"),
        (["model.pkl", "--data", "builtin"], "--data names the images of --figures; give --figures FOLDER too"),
        (["model.pkl", "--figures", "model.pkl"], "Invalid value for '--figures': Directory 'model.pkl' is a file."),
    ],
)
def test_figures_are_of_a_model_and_go_into_a_folder(arguments: list[str], message: str) -> None:
    model()
    assert run(*arguments, code=2).stderr.endswith(f"Error: {message}\n")


def test_figures_without_matplotlib_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run(model(), "--figures", "out", code=1)
    message = (
        "Error: matplotlib cannot be imported: import of matplotlib halted; None in sys.modules;"
        " pip install 'lenet5-cli[plot]' or leave out --figures\n"
    )
    assert result.stderr == message
    assert result.stdout == ""
    assert not Path("out").exists()


@pytest.mark.parametrize("arguments", [[], ["model.pkl", "--config", "report"], ["--json"]])
def test_a_model_or_a_recipe_is_wanted(arguments: list[str]) -> None:
    result = run(*arguments, code=2)
    assert result.stderr.endswith("Error: expected either MODEL or --config\n")
    assert result.stdout == ""


def test_what_cannot_be_read_is_told() -> None:
    assert run("model.pkl", code=1).stderr == "Error: model.pkl: no such file; expected a checkpoint\n"
    assert run("--config", "bets", code=1).stderr.startswith("Error: bets: no such file or preset; the presets are: ")
    Path("mine.toml").write_text("epoch = 1\n", encoding="utf-8")
    result = run("--config", "mine.toml", code=1)
    assert result.stderr == "Error: mine.toml: line 1: epoch is not a setting; did you mean epochs?\n"
