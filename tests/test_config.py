"""Settings: defaults, files, refusals."""

import tomllib
from dataclasses import asdict
from pathlib import Path

import pytest

from lenet5_cli.config import Config, presets, read
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.resources import folder


def test_defaults_are_the_reports() -> None:
    config = Config()
    assert (config.epochs, config.lr, config.lr_decay) == (20, 0.5, 0.95)
    assert (config.batch_size, config.samples_per_epoch, config.dtype) == (1, 6000, "float32")


def test_report_preset_says_the_defaults() -> None:
    defaults = asdict(Config())
    settings = read("report")
    assert settings == {name: defaults[name] for name in settings}
    assert defaults.keys() >= settings.keys()


@pytest.mark.parametrize("name", presets())
def test_every_preset_loads(name: str) -> None:
    assert Config(**read(name))


def test_presets_are_the_files_in_the_folder() -> None:
    assert presets() == sorted(path.stem for path in folder("configs").iterdir())


def test_file_sets_what_it_names(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('lr = 1\nglyphs = "mine.txt"\n', encoding="utf-8")
    assert read(str(path)) == {"lr": 1, "glyphs": "mine.txt"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"rate = 1", "rate is not a setting; these are: "
         + ", ".join(sorted(asdict(Config())))),
        (b"lr-decay = 1", "lr-decay is not a setting; lr_decay is"),
        (b"epoch = 1", "epoch is not a setting; epochs is"),
        (b'lr = "fast"', "lr: 'fast'; a number was wanted"),
        (b"epochs = 2.5", "epochs: 2.5; a whole number was wanted"),
        (b"epochs = true", "epochs: True; a whole number was wanted"),
        (b"epochs = 0", "epochs: 0; 1 or more was wanted"),
        (b"lr = -1.0", "lr: -1.0; 0 or more was wanted"),
        (b"lr = nan", "lr: nan; 0 or more was wanted"),
        (b"lr = inf", "lr: inf; 0 or more was wanted"),
        (b"data = 1", "data: 1; a text was wanted"),
        (b'dtype = "float16"', "dtype: 'float16'; float32 or float64 was wanted"),
        (b'smoothing = 0.1\nloss = "discriminative"', "smoothing: goes with the loss cross-entropy, "
         "not with discriminative"),
        (b"lr = ", "not TOML: Invalid value (at end of document)"),
        (b"\xff", "not UTF-8 text; a TOML file of settings was wanted"),
        (b"#" * (1 << 20) + b"!", "more than 1,048,576 bytes; a TOML file of settings was wanted"),
    ],
)  # fmt: skip
def test_refusals(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(LeNet5Error) as error:
        read(str(path))
    assert str(error.value) == f"{path}: {message}"


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(LeNet5Error, match=r"^reprot: no such file or preset; the presets are: .*report"):
        read("reprot")
    with pytest.raises(LeNet5Error, match=r": Is a directory; a TOML file of settings was wanted$"):
        read(str(tmp_path))


def test_comments_in_the_preset_cost_nothing() -> None:
    text = (folder("configs") / "report.toml").read_text(encoding="utf-8")
    assert tomllib.loads(text) == read("report")
