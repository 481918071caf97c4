"""The settings of a training run: a frozen dataclass, and the presets and TOML files that set some of its fields."""

import difflib
import json
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field, asdict, dataclass, field, fields
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from lenet5_cli.errors import LeNet5Error
from lenet5_cli.files import content, likeness, shipped_folder

SIZE_LIMIT = 1 << 20  # bytes of a settings file; a real one has a few hundred
MAX_DOTS = 32  # dots in a TOML key: parsing one takes time and memory that grow with their square
_PART = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')"""  # of a key
_DOTTED = re.compile(rf"(?:^|[{{,])[ \t\[]*+(?:{_PART}[ \t]*+\.[ \t]*+){{{MAX_DOTS + 1}}}", re.MULTILINE)
MAX_COUNT = 2**63 - 1  # the largest integer everywhere: here, in NumPy, in a checkpoint
MAX_DRAWN = 1_000_000  # images of 784 bytes, kept in memory
MAX_EPOCHS = 100_000  # a checkpoint holds the history of all
MAX_REHEARSED = 0.99  # a larger fraction of an epoch leaves nothing to learn from the new images
MAX_EMA = 0.999999  # this averages about a million steps; with 1, the average would never change
MAX_RUBBISH = 1000.0  # above any squared distance: with tanh, 84 units are at less than 620 from a code
READ_AS = ("test_fraction", "as_is")  # settings that say how images are read
MAX_MAPS = 256  # of one layer: a network that a checkpoint asks for takes at most 60 MB


# The only list of the choices of each setting; a test checks that the tables that implement them have these keys.
Precision = Literal["float32", "float64"]
Order = Literal["file", "shuffled"]
Optimizer = Literal["sgd", "adam"]
Schedule = Literal["exponential", "cosine"]
Init = Literal["uniform", "normal", "lecun"]
Input = Literal["binary", "grey", "lecun"]
Activation = Literal["sigmoid", "tanh"]
Connections = Literal["full", "lecun1998"]
Loss = Literal["cross-entropy", "discriminative"]
Augment = Literal["none", "affine", "elastic"]
Keep = Literal["best", "last"]


def _setting(
    group: str,
    default: Any,
    text: str,
    *,
    metavar: str | None = None,
    low: float | None = None,
    high: float | None = None,
) -> Any:
    return field(default=default, metadata={"group": group, "help": text, "metavar": metavar, "min": low, "max": high})


_main, _data, _optimisation, _network = (
    partial(_setting, group) for group in ("Main", "Data", "Optimisation", "Network")
)


@dataclass(frozen=True)
class Config:
    """Every setting that decides a result; the defaults are the report's, but for ``clip``.

    A field, its option and its key in a TOML file share one name; its help, default, choices and bounds are written
    here alone.
    """

    epochs: int = _main(20, "Epochs to train, each of --samples-per-epoch images.", metavar="N", low=1, high=MAX_EPOCHS)
    lr: float = _main(0.5, "Learning rate of the first epoch.", metavar="RATE", low=0)
    batch_size: int = _main(1, "Images per step.", metavar="N", low=1)
    seed: int | None = _main(
        None, "Seed of the initial weights and of each epoch's images.  [default: random, printed]", metavar="N", low=0
    )
    max_time: str = _main("", "Start no further epoch that would end later than this: 90s, 10m, 1h30m.", metavar="TIME")
    data: str = _data(
        "mnist",
        "Data set by name (lenet5 data list), folder of IDX files or of folders of pictures, CSV or .npz file.",
        metavar="NAME|PATH",
    )
    test_fraction: float = _data(
        0.2, "Test fraction of data that has no test split.", metavar="FRACTION", low=0, high=1
    )
    as_is: bool = _data(False, "Only scale pictures to 28x28; do not locate the character in them.")
    samples_per_epoch: int = _data(
        6000, "Images per epoch; with --order file on average, each equally likely.", metavar="N", low=1
    )
    order: Order = _data("file", "Order of an epoch's images.")
    augment: Augment = _data("none", "Random distortions, new in each epoch.")
    drawn: int = _data(0, "Drawn digits added to the training images.", metavar="N", low=0, high=MAX_DRAWN)
    nondigits: int = _data(
        0,
        "Drawn non-digits added, trained to be far from every glyph; with --loss discriminative.",
        metavar="N",
        low=0,
        high=MAX_DRAWN,
    )
    rehearse: float = _data(
        0.0,
        "Fraction of an epoch's images taken from the training images of the --from model.",
        metavar="FRACTION",
        low=0,
        high=MAX_REHEARSED,
    )
    validation: int = _data(
        0, "Hold out N training images for validation: the last; with train --from, random.", metavar="N", low=0
    )
    keep: Keep = _data("best", "Epoch to keep: the best on the validation images, or the last.")
    patience: int = _data(0, "Stop after N epochs without a better validation accuracy; 0: never.", metavar="N", low=0)
    optimizer: Optimizer = _optimisation("sgd", "Optimiser.")
    clip: float = _optimisation(
        2.0, "Clip gradients to this L2 norm, with --optimizer sgd; 0: no clipping.", metavar="LENGTH", low=0
    )
    weight_decay: float = _optimisation(
        0.0, "In each step, shrink the weights by this times the learning rate.", metavar="FACTOR", low=0, high=1
    )
    lr_decay: float = _optimisation(
        0.95, "Multiply the learning rate by this after each epoch.", metavar="FACTOR", low=0, high=1
    )
    schedule: Schedule = _optimisation("exponential", "Learning-rate schedule.")
    warmup: float = _optimisation(
        0.0, "Epochs over which the learning rate first rises from 0.", metavar="EPOCHS", low=0
    )
    ema: float = _optimisation(
        0.0,
        "Keep an exponential moving average of the weights with this decay per step; 0: the latest weights.",
        metavar="DECAY",
        low=0,
        high=MAX_EMA,
    )
    loss: Loss = _optimisation("cross-entropy", "Loss function.")
    rubbish: float = _optimisation(
        5.0,
        "Squared distance of the rubbish class in --loss discriminative.",
        metavar="DISTANCE",
        low=0,
        high=MAX_RUBBISH,
    )
    teacher: str = _optimisation(
        "",
        "Model to learn from instead of the labels (distillation); several, separated by commas, are averaged.",
        metavar="FILE,...",
    )
    maps: str = _network("6,16,120", "Number of maps in c1, c3 and c5.", metavar="N,N,N")
    glyphs: str = _network("digits", "Glyph sheet of the output layer: text, image or shipped.", metavar="NAME|FILE")
    input: Input = _network("binary", "Pixels: 0 and 1, 0 to 1, or -0.1 to 1.175.")
    activation: Activation = _network("sigmoid", "Activation function; with tanh, the background of a glyph is -1.")
    connections: Connections = _network("full", "Which maps of s2 each map of c3 reads.")
    init: Init = _network("uniform", "Initial weights: in [-1, 1), or scaled by fan-in.")
    dtype: Precision = _network("float32", "Precision of the arithmetic.")

    def __post_init__(self) -> None:
        """Check every value against its type and bounds.

        NumPy scalars become Python numbers, as a checkpoint holds no others; a NumPy dtype becomes its name.

        Raises:
            LeNet5Error: a value is not valid.
        """
        for setting in fields(self):
            value = getattr(self, setting.name)
            if getattr(value, "ndim", None) == 0:
                plain = value.item() if hasattr(value, "item") else getattr(value, "name", value)
                object.__setattr__(self, setting.name, plain)
            check(setting, getattr(self, setting.name))
        if self.nondigits and self.loss != "discriminative":
            raise LeNet5Error(f"nondigits: loss is {self.loss}; expected discriminative")
        if self.map_counts[:2] != (6, 16) and self.connections == "lecun1998":
            raise LeNet5Error(f"connections: lecun1998 needs 6 maps in c1 and 16 in c3; maps is {self.maps}")

    @property
    def teachers(self) -> list[str]:
        """The checkpoints that ``teacher`` names."""
        return self.teacher.split(",") if self.teacher else []

    @property
    def map_counts(self) -> tuple[int, int, int]:
        """The numbers of maps of c1, c3 and c5; s2 and s4 have as many as the layer before them."""
        c1, c3, c5 = map(int, self.maps.split(","))
        return c1, c3, c5

    def seconds(self) -> float:
        """Return ``max_time`` in seconds, infinity where it is not set."""
        return seconds("max_time", self.max_time)


SETTINGS: dict[str, Field[Any]] = {setting.name: setting for setting in fields(Config)}


def seconds(name: str, text: str) -> float:
    """Return a time such as 90s, 10m or 1h30m in seconds, infinity for an empty text.

    Raises:
        LeNet5Error: it is not such a time; the message begins with ``name``.
    """
    if not text:
        return inf
    time = re.fullmatch(r"(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s?)?", text)
    if not time:
        raise LeNet5Error(f"{name}: {shown(text)}; expected a time such as 90s, 10m or 1h30m")
    hours, minutes, rest = (int(number or 0) for number in time.groups())
    return 3600 * hours + 60 * minutes + rest


def choices(setting: Field[Any]) -> tuple[str, ...]:
    """Return the choices of a setting, or nothing if it is not a choice."""
    return get_args(setting.type) if get_origin(setting.type) is Literal else ()


def known(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return only those settings, for example of a checkpoint, that this version of lenet5 knows."""
    return {name: settings[name] for name in SETTINGS if name in settings}


def demand_known(settings: Iterable[str]) -> None:
    """Raise LeNet5Error if one of the names is not a setting."""
    for name in settings:
        if name not in SETTINGS:
            raise LeNet5Error(f"{name} is not a setting{nearest(name, SETTINGS)}")


def presets() -> list[str]:
    """Return the names of the shipped presets."""
    return sorted(path.stem for path in shipped_folder("configs").glob("*.toml"))


def spaces() -> list[str]:
    """Return the names of the shipped search spaces."""
    return sorted(path.stem for path in shipped_folder("configs").glob("spaces/*.toml"))


def read(name: str) -> dict[str, Any]:
    """Return the settings in a preset or a TOML file, each checked alone: whether they fit together depends on others.

    Raises:
        LeNet5Error: no such file, not TOML, a key that is no setting, a value of the wrong type or out of bounds.
    """
    if not name:
        raise LeNet5Error("an empty name; expected a preset or a TOML file of settings")
    path = shipped_folder("configs") / f"{name}.toml" if name in presets() else Path(name)
    if not os.path.exists(path):  # noqa: PTH110 - unlike Path.exists, false for any invalid name
        raise LeNet5Error(f"{path}: no such file or preset; the presets are: {', '.join(presets())}")
    table, place = keyed(path, "a TOML file of settings")
    for setting in fields(Config):
        if setting.name in table:
            try:
                check(setting, table[setting.name])
            except LeNet5Error as error:
                raise LeNet5Error(f"{path}: {place(setting.name)}{error}") from None
    return table


def keyed(path: Path, expected: str) -> tuple[dict[str, Any], Callable[[str], str]]:
    """Return the table of a TOML file whose keys are settings, and a function that gives a key's place, ``line N: ``.

    Raises:
        LeNet5Error: no such file, not TOML, or a key that is no setting.
    """
    text = _text(path, expected)
    table = _parse(text, path)
    for key, value in table.items():
        if key not in SETTINGS:
            if isinstance(value, dict) and SETTINGS.keys() & value.keys():
                there = f"{_place(key, text)}[{key[:60]}] is a table"
                raise LeNet5Error(f"{path}: {there}; expected settings at the top level")
            raise LeNet5Error(f"{path}: {_place(key, text)}{key[:60]} is not a setting{nearest(key[:60], SETTINGS)}")
    return table, partial(_place, text=text)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint for a message: the known word closest to this one, or the list of all if none is close."""
    close = difflib.get_close_matches(word.replace("-", "_"), sorted(known), n=1)
    return f"; did you mean {close[0]}?" if close else f"; expected one of: {', '.join(sorted(known))}"


def differing(config: Config) -> dict[str, Any]:
    """Return the settings that differ from the defaults, by name."""
    return {name: value for name, value in asdict(config).items() if value != getattr(Config, name)}


def as_toml(config: Config) -> str:
    """Return the settings that differ from the defaults as a TOML text that ``read`` takes."""
    lines = (f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in differing(config).items())
    return "".join(lines).replace("\x7f", "\\u007f")  # the one character that JSON allows unescaped and TOML does not


def _text(path: Path, expected: str) -> str:
    read = content(path, SIZE_LIMIT, expected)
    try:
        text = read.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, found = 1 + read[: error.start].count(b"\n"), likeness(read)
        there = f"looks like {found}" if found else f"line {line}: byte 0x{read[error.start]:02x} is not UTF-8"
        raise LeNet5Error(f"{path}: {there}; expected {expected}") from None
    if text.startswith(("{", "<")):
        raise LeNet5Error(f"{path}: looks like {likeness(read)}; expected {expected}")
    return text


def _parse(text: str, path: Path) -> dict[str, Any]:
    if many := _DOTTED.search(text):
        where = f"line {1 + text.count(chr(10), 0, many.start())}"
        raise LeNet5Error(f"{path}: {where}: a key with more than {MAX_DOTS} dots; expected one such as lr")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        what, _, place = str(error).removesuffix(")").partition(" (at ")
        line = re.match(r"line (\d+), column (\d+)", place)
        where = f"line {line[1]}, column {line[2]}" if line else f"line {len(text.splitlines())}"
        raise LeNet5Error(f"{path}: {where}: not TOML: {what}") from None
    except RecursionError:
        raise LeNet5Error(f"{path}: not settings: nested too deeply; a setting is a number or a string") from None
    except ValueError:
        raise LeNet5Error(f"{path}: not settings: an integer of more than 4,300 digits") from None


def _place(key: str, text: str) -> str:
    """Return the place of a key in a TOML text, ``line N: ``, or an empty text if it is not found."""
    found = re.search(rf"^[ \t\"'\[]*+{re.escape(key)}[\"']?[ \t]*[=.\]]", text, re.MULTILINE)
    return f"line {1 + text.count(chr(10), 0, found.start())}: " if found else ""


def shown(value: object) -> str:
    """Return a value as text for a message, truncated if it is long."""
    try:
        text = repr(value)
    except RecursionError:
        return f"{type(value).__name__}, nested deeply"
    return text if len(text) <= 60 else f"{text[:60]}..."


def check(setting: Field[Any], value: object) -> None:
    """Raise LeNet5Error if a setting cannot have a value: wrong type, out of bounds, or not among the choices."""
    name, expected = setting.name, choices(setting)
    if expected:
        if not isinstance(value, str) or value not in expected:  # an array is compared one by one
            raise LeNet5Error(f"{name}: {shown(value)}; expected {' or '.join(expected)}")
        return
    kinds = get_args(setting.type) or (setting.type,)
    fits = isinstance(value, (*kinds, int) if float in kinds else kinds) and isinstance(value, bool) == (bool in kinds)
    if not fits:
        names = {int: "an integer", float: "a number", str: "a string", bool: "true or false"}
        raise LeNet5Error(f"{name}: {shown(value)}; expected {names[kinds[0]]}")
    low, high = setting.metadata["min"], setting.metadata["max"]
    if low is not None and value is not None:
        if not -inf < value < inf:  # type: ignore[operator]
            raise LeNet5Error(f"{name}: {shown(value)}; expected a finite number")
        if value < low:
            raise LeNet5Error(f"{name}: {shown(value)}; expected {low} or more")
    high = MAX_COUNT if high is None and isinstance(value, int) and not isinstance(value, bool) else high
    if high is not None and value is not None and value > high:  # type: ignore[operator]
        raise LeNet5Error(f"{name}: {shown(value)}; expected {high} or less")
    if isinstance(value, str):
        _check_text(name, value)


def _check_text(name: str, text: str) -> None:
    """Raise LeNet5Error where the text of a setting is not of the form that it has to have."""
    if name == "maps":
        counts = [int(count) for count in text.split(",") if re.fullmatch(r"[0-9]{1,4}", count)]
        if len(counts) != 3 or text.count(",") != 2 or not all(1 <= count <= MAX_MAPS for count in counts):
            raise LeNet5Error(f"maps: {shown(text)}; expected three integers from 1 to {MAX_MAPS}, such as 6,16,120")
    elif name == "teacher" and text and not all(text.split(",")):
        raise LeNet5Error(f"teacher: {shown(text)}; expected file names separated by commas")
    elif name == "max_time":
        seconds(name, text)
