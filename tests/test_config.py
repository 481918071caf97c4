"""Settings: defaults, files, refusals."""

import tomllib
from dataclasses import asdict, fields
from pathlib import Path

import pytest

from lenet5_cli.config import Config, as_toml, choices, presets, read
from lenet5_cli.data.augmentation import KINDS
from lenet5_cli.engine import ACTIVATIONS
from lenet5_cli.engine.losses import LOSSES
from lenet5_cli.engine.optim import OPTIMIZERS
from lenet5_cli.engine.preprocessing import SCALES
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.files import shipped_folder
from tests.conftest import SHORT, named_pipe, run


def test_defaults_are_the_reports() -> None:
    config = Config()
    assert (config.epochs, config.lr, config.lr_decay) == (20, 0.5, 0.95)
    assert (config.batch_size, config.samples_per_epoch, config.dtype) == (1, 6000, "float32")


def test_report_preset_says_the_defaults_but_clips_nothing() -> None:
    defaults = asdict(Config())
    settings = read("report")
    assert settings == {name: defaults[name] for name in settings} | {"clip": 0.0}
    assert defaults.keys() >= settings.keys()


@pytest.mark.parametrize("name", presets())
def test_every_preset_loads(name: str) -> None:
    assert Config(**read(name))


def test_presets_are_the_files_in_the_folder() -> None:
    assert presets() == sorted(path.stem for path in shipped_folder("configs").iterdir() if path.is_file())


def test_file_sets_what_it_names(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('lr = 1\nglyphs = "mine.txt"\n', encoding="utf-8")
    assert read(str(path)) == {"lr": 1, "glyphs": "mine.txt"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"rate = 1", "line 1: rate is not a setting; expected one of: "
         + ", ".join(sorted(asdict(Config())))),
        (b"# settings\n\nlr-decay = 1", "line 3: lr-decay is not a setting; did you mean lr_decay?"),
        (b"epoch = 1", "line 1: epoch is not a setting; did you mean epochs?"),
        (b"lr = 1\r\n\r\n  'epoch' = 1\r\n", "line 3: epoch is not a setting; did you mean epochs?"),
        (b"\xef\xbb\xbfepoch = 1", "line 1: epoch is not a setting; did you mean epochs?"),
        (b"[train]\nlr = 1", "line 1: [train] is a table; expected settings at the top level"),
        (b"lr = 1\n[epoch]\nx = 1", "line 2: epoch is not a setting; did you mean epochs?"),
        (b"x\\ = 1", "line 1, column 2: not TOML: Expected '=' after a key in a key/value pair"),
        (b'"\\u001b[31m" = 1', r"\x1b[31m is not a setting; expected one of: " + ", ".join(sorted(asdict(Config())))),
        (b'lr = "fast"', "line 1: lr: 'fast'; expected a number"),
        (b"\nlr.x = 1", "line 2: lr: {'x': 1}; expected a number"),
        (b"epochs = 2.5", "line 1: epochs: 2.5; expected an integer"),
        (b"epochs = [1]", "line 1: epochs: [1]; expected an integer"),
        (b"epochs = 2020-01-01", "line 1: epochs: datetime.date(2020, 1, 1); expected an integer"),
        (b"epochs = true", "line 1: epochs: True; expected an integer"),
        (b"epochs = 0", "line 1: epochs: 0; expected 1 or more"),
        (b"epochs = 100001", "line 1: epochs: 100001; expected 100000 or less"),
        (b"seed = 9223372036854775808", "line 1: seed: 9223372036854775808; expected 9223372036854775807 or less"),
        (b"samples_per_epoch = 1" + b"0" * 400, "line 1: samples_per_epoch: 1" + "0" * 59
         + "...; expected 9223372036854775807 or less"),
        (b"samples_per_epoch = 1" + b"0" * 5000, "not settings: an integer of more than 4,300 digits"),
        (b"lr = -1.0", "line 1: lr: -1.0; expected 0 or more"),
        (b"lr = nan", "line 1: lr: nan; expected a finite number"),
        (b"lr = inf", "line 1: lr: inf; expected a finite number"),
        (b"lr = 1e999", "line 1: lr: inf; expected a finite number"),
        (b"data = 1", "line 1: data: 1; expected a string"),
        (b'epochs = 3\ndtype = "float16"', "line 2: dtype: 'float16'; expected float32 or float64"),
        (b'dtype = "' + b"x" * 99999 + b'"', "line 1: dtype: '" + "x" * 59 + "...; expected float32 or float64"),
        (b'max_time = "9999999999s"', "line 1: max_time: '9999999999s'; expected a time such as 90s, 10m or 1h30m"),
        (b'lr = 1\nmaps = "6,16"',
         "line 2: maps: '6,16'; expected three integers from 1 to 256, such as 6,16,120"),
        (b'maps = "6,16,257"',
         "line 1: maps: '6,16,257'; expected three integers from 1 to 256, such as 6,16,120"),
        (b'maps = "0,1,1"', "line 1: maps: '0,1,1'; expected three integers from 1 to 256, such as 6,16,120"),
        (b'teacher = "a.pkl,"', "line 1: teacher: 'a.pkl,'; expected file names separated by commas"),
        (b"lr = 1\n\nlr = ", "line 3: not TOML: Invalid value"),
        (b"lr = 1\nlr = 2\n", "line 2, column 7: not TOML: Cannot overwrite a value"),
        (b"lr = 1\n\x00", "line 2, column 1: not TOML: Invalid statement"),
        (b"lr = " + b"[" * 5000, "not settings: nested too deeply; a setting is a number or a string"),
        (b"lr = 1\nepochs" + b".a" * 33 + b" = 1", "line 2: a key with more than 32 dots; expected one such as lr"),
        (b"epochs" + b".'='" * 200_000, "line 1: a key with more than 32 dots; expected one such as lr"),
        (b"lr = { low = 1, b" + b" . a" * 33 + b" = 1 }",
         "line 1: a key with more than 32 dots; expected one such as lr"),
        (b"# " + b"." * 99 + b"\nepochs" + b".a" * 32 + b" = 1",
         "line 2: epochs: " + "{'a': " * 10 + "...; expected an integer"),
        (b" " * 1_000_000 + b"\nfoo = 1", "line 2: foo is not a setting; expected one of: "
         + ", ".join(sorted(asdict(Config())))),
        (b"lr = 1\n\xff", "line 2: byte 0xff is not UTF-8; expected a TOML file of settings"),
        ("lr = 1".encode("utf-16"), "line 1: byte 0xff is not UTF-8; expected a TOML file of settings"),
        (b"\x89PNG\r\n\x1a\n", "looks like a PNG image; expected a TOML file of settings"),
        (b'{"lr": 1}', "looks like JSON; expected a TOML file of settings"),
        (b"#" * (1 << 20) + b"!", "1,048,577 bytes; expected a TOML file of settings of at most 1,048,576"),
    ],
)  # fmt: skip
def test_refusals(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(LeNet5Error) as error:
        read(str(path))
    assert str(error.value) == f"{path}: {message}"


def test_dots_elsewhere_than_in_a_key_are_no_matter() -> None:
    teacher, folder = ",".join(f"m.{number}.pkl" for number in range(40)), "../" * 40 + "own"
    Path("mine.toml").write_text(f'teacher = "{teacher}"\ndata = "{folder}"  # {"." * 40}\nlr = 0.5 # {"a." * 40}\n')
    assert read("mine.toml") == {"teacher": teacher, "data": folder, "lr": 0.5}


def test_a_value_that_is_nested_deeply_is_shown_short() -> None:
    value: dict[str, object] = {}
    for _ in range(100_000):
        value = {"a": value}
    with pytest.raises(LeNet5Error) as error:
        Config(epochs=value)  # type: ignore[arg-type]
    assert str(error.value) == "epochs: dict, nested deeply; expected an integer"


def test_whether_settings_go_together_is_seen_when_all_are_there() -> None:
    Path("mine.toml").write_text('nondigits = 5\nmaps = "6,10,120"\n')
    settings = read("mine.toml")
    assert Config(**settings, loss="discriminative").nondigits == 5
    alone = "nondigits: loss is cross-entropy; expected discriminative"
    table = "connections: lecun1998 needs 6 maps in c1 and 16 in c3; maps is 6,10,120"
    for given, message in (([], alone), (["--loss", "discriminative", "--connections", "lecun1998"], table)):
        refused = run("train", "--data", "builtin:9", "--config", "mine.toml", *given, code=2)
        assert refused.stderr.endswith(f"\nError: {message}\n")
    run("train", "--data", "builtin:20", "--config", "mine.toml", "--loss", "discriminative", *SHORT)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(LeNet5Error, match=r"^reprot: no such file or preset; the presets are: .*report"):
        read("reprot")
    with pytest.raises(LeNet5Error, match=r"^an empty name; expected a preset or a TOML file of settings$"):
        read("")
    with pytest.raises(LeNet5Error, match=r": a folder; expected a TOML file of settings$"):
        read(str(tmp_path))
    with pytest.raises(LeNet5Error, match=r"^a\\x00b: no such file or preset; "):
        read("a\0b")
    pipe = named_pipe(tmp_path / "pipe")
    for name, there in {str(pipe): "a pipe", "/dev/zero": "a device or socket"}.items():
        with pytest.raises(LeNet5Error) as error:
            read(name)
        assert str(error.value) == f"{name}: {there}; expected a TOML file of settings"


def test_what_editors_add_is_no_harm(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b"\xef\xbb\xbf# settings\r\nlr = 0.25\r\n")
    assert read(str(tmp_path / "mine.toml")) == {"lr": 0.25}
    (tmp_path / "mine.toml").write_bytes(b"")
    assert read(str(tmp_path / "mine.toml")) == {}


def test_settings_are_written_as_they_are_read(tmp_path: Path) -> None:
    config = Config(
        lr=1e-05, batch_size=7, as_is=True, data='a "b" \\ c\n\x7f é', maps="6,10,84", validation=3, warmup=2
    )
    path = tmp_path / "mine.toml"
    path.write_text(as_toml(config), encoding="utf-8")
    assert Config(**read(str(path))) == config
    assert read(str(path)).keys() == {"lr", "batch_size", "as_is", "data", "maps", "validation", "warmup"}
    assert as_toml(Config()) == ""


def test_comments_in_the_preset_cost_nothing() -> None:
    text = (shipped_folder("configs") / "report.toml").read_text(encoding="utf-8")
    assert tomllib.loads(text) == read("report")


def test_every_choice_of_a_setting_is_implemented_and_nothing_else() -> None:
    tables = {
        "loss": LOSSES,
        "activation": ACTIVATIONS,
        "optimizer": OPTIMIZERS,
        "input": SCALES,
        "augment": KINDS,
    }
    for setting in fields(Config):
        if setting.name in tables:
            assert tuple(tables.pop(setting.name)) == choices(setting)
    assert not tables


def test_no_number_is_below_0_and_no_fraction_above_1() -> None:
    numbers = [each.name for each in fields(Config) if type(each.default) in (int, float)]
    for name in [*numbers, "seed"]:
        with pytest.raises(LeNet5Error, match=rf"^{name}: -1; expected [01] or more$"):
            Config(**{name: -1})
    for name in ("test_fraction", "rehearse", "lr_decay", "ema"):
        with pytest.raises(LeNet5Error, match=rf"^{name}: 1\.5; expected (0\.9+|1) or less$"):
            Config(**{name: 1.5})


def test_a_time_is_the_sum_of_its_parts() -> None:
    times = {"": float("inf"), "7": 7, "90s": 90, "10m": 600, "1h30m": 5400, "2h1m5s": 7265}
    assert {time: Config(max_time=time).seconds() for time in times} == times
