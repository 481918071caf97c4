"""The settings of a training run: one frozen dataclass, TOML files that set some of it, presets."""

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from math import inf
from pathlib import Path
from typing import Any, get_args

from lenet5_cli.errors import LeNet5Error
from lenet5_cli.files import content, likeness, shipped_folder

SIZE_LIMIT = 1 << 20  # bytes of a configuration file; a real one has a few hundred
MAX_COUNT = 2**63 - 1  # what a whole number can be everywhere: here, in NumPy, in a checkpoint
MAX_EPOCHS = 100_000  # a checkpoint holds the history of all


def _setting(
    default: Any,
    text: str,
    *,
    metavar: str | None = None,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    limits = {"min": low, "max": high, "choices": choices}
    return field(default=default, metadata={"help": text, "metavar": metavar, **limits})


@dataclass(frozen=True)
class Config:
    """Every setting that decides a result; the defaults are the report's.

    A field, its option and its key in a TOML file share one name; its help, default and bounds are written here alone.
    """

    data: str = _setting("mnist", "mnist, fashion-mnist, builtin[:N], or a folder of IDX files.", metavar="NAME|FOLDER")
    epochs: int = _setting(20, "Passes over the training data.", metavar="N", low=1, high=MAX_EPOCHS)
    lr: float = _setting(0.5, "Learning rate of the first epoch.", metavar="RATE", low=0)
    lr_decay: float = _setting(0.95, "Factor of the learning rate after each epoch.", metavar="FACTOR", low=0, high=1)
    batch_size: int = _setting(1, "Images a step.", metavar="N", low=1)
    samples_per_epoch: int = _setting(
        6000, "Images an epoch, about: each is taken with this chance over all.", metavar="N", low=1
    )
    glyphs: str = _setting("digits", "Glyph sheet of the output layer: text, image or shipped.", metavar="NAME|FILE")
    seed: int | None = _setting(
        None, "Seed of the weights and of each epoch's images.  [default: drawn, and printed]", metavar="N", low=0
    )
    dtype: str = _setting("float32", "Precision of the arithmetic.", choices=("float32", "float64"))
    order: str = _setting("file", "Order of an epoch's images.", choices=("file", "shuffled"))
    optimizer: str = _setting("sgd", "What takes the steps.", choices=("sgd", "momentum", "adam"))
    momentum: float = _setting(
        0.9, "Part of the velocity that --optimizer momentum keeps.", metavar="PART", low=0, high=1
    )
    schedule: str = _setting("exponential", "How the learning rate falls.", choices=("exponential", "cosine"))
    warmup: float = _setting(0.0, "Epochs over which the learning rate first grows.", metavar="EPOCHS", low=0)
    init: str = _setting(
        "uniform", "First weights: in [-1, 1), or scaled by fan-in.", choices=("uniform", "normal", "lecun")
    )
    input: str = _setting("binary", "Pixels: 0 and 1, 0 to 1, or -0.1 to 1.175.", choices=("binary", "grey", "lecun"))
    activation: str = _setting("sigmoid", "What follows a layer; with tanh, paper is -1.", choices=("sigmoid", "tanh"))
    connections: str = _setting("full", "Which maps c3 reads.", choices=("full", "lecun1998"))
    loss: str = _setting("cross-entropy", "What is minimised.", choices=("cross-entropy", "discriminative"))
    augment: str = _setting("none", "Distortions drawn afresh each epoch.", choices=("none", "affine", "elastic"))
    validation: int = _setting(0, "Images at the end of the training set to hold out.", metavar="N", low=0)
    patience: int = _setting(0, "Stop after N epochs that validate no better; 0: never.", metavar="N", low=0)
    max_time: str = _setting("", "Start no epoch that would end later than this: 90s, 10m, 1h30m.", metavar="TIME")
    smoothing: float = _setting(0.0, "Part of a label that is spread over all ten.", metavar="PART", low=0, high=1)

    def __post_init__(self) -> None:
        """Check every value against its type and bounds.

        Raises:
            LeNet5Error: one does not fit.
        """
        for setting in fields(self):
            _check(setting.name, getattr(self, setting.name), setting.type, setting.metadata)
        if self.patience and not self.validation:
            raise LeNet5Error("patience: there are no images to validate on; set validation too")
        if self.smoothing and self.loss != "cross-entropy":
            raise LeNet5Error(f"smoothing: goes with the loss cross-entropy, not with {self.loss}")
        self.seconds()

    def seconds(self) -> float:
        """Return ``max_time`` in seconds, infinity where it is not set."""
        if not self.max_time:
            return inf
        time = re.fullmatch(r"(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s?)?", self.max_time)
        if not time:
            raise LeNet5Error(f"max_time: {_shown(self.max_time)}; expected a time such as 90s, 10m or 1h30m")
        hours, minutes, seconds = (int(number or 0) for number in time.groups())
        return 3600 * hours + 60 * minutes + seconds


def presets() -> list[str]:
    """Return the names of the shipped presets."""
    return sorted(path.stem for path in shipped_folder("configs").glob("*.toml"))


def read(name: str) -> dict[str, Any]:
    """Return the settings in a preset, or in a TOML file.

    Raises:
        LeNet5Error: no such file, not TOML, a key that is no setting, a value of the wrong type or out of bounds.
    """
    path = shipped_folder("configs") / f"{name}.toml" if name in presets() else Path(name)
    if not os.path.exists(path):  # noqa: PTH110 - of a name that no file can have, this says so too
        raise LeNet5Error(f"{path}: no such file or preset; the presets are: {', '.join(presets())}")
    text = _text(path)
    settings = _parse(text, path)
    known = {setting.name for setting in fields(Config)}
    for key in settings:
        if key not in known:
            raise LeNet5Error(f"{path}: {_place(key, text)}{key[:60]} is not a setting{nearest(key[:60], known)}")
    try:
        Config(**settings)
    except LeNet5Error as error:
        raise LeNet5Error(f"{path}: {_place(str(error).partition(':')[0], text)}{error}") from None
    return settings


def nearest(word: str, known: set[str] | list[str]) -> str:
    """Return ``; WORD is`` for the known word nearest to this one, or the list of all where none is near."""
    close = difflib.get_close_matches(word.replace("-", "_"), sorted(known), n=1)
    return f"; {close[0]} is" if close else f"; these are: {', '.join(sorted(known))}"


def _text(path: Path) -> str:
    expected = "a TOML file of settings"
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
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        what, _, place = str(error).removesuffix(")").partition(" (at ")
        line = re.match(r"line (\d+), column (\d+)", place)
        where = f"line {line[1]}, column {line[2]}" if line else f"line {len(text.splitlines())}"
        raise LeNet5Error(f"{path}: {where}: not TOML: {what}") from None
    except RecursionError:
        raise LeNet5Error(f"{path}: not settings: nested too deeply; a setting is a number or a text") from None
    except ValueError:
        raise LeNet5Error(f"{path}: not settings: a whole number of more than 4,300 digits") from None


def _place(key: str, text: str) -> str:
    """Return ``line N: `` of a key in a TOML text, or nothing where it is not found."""
    found = re.search(rf"^[ \t]*[\"'\[]*[ \t]*{re.escape(key)}[\"']?[ \t]*[=.\]]", text, re.MULTILINE)
    return f"line {1 + text.count(chr(10), 0, found.start())}: " if found else ""


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:60]}..."


def _check(name: str, value: object, expected: Any, limits: Mapping[str, Any]) -> None:
    kinds = get_args(expected) or (expected,)
    fits = isinstance(value, (*kinds, int) if float in kinds else kinds) and not isinstance(value, bool)
    if not fits:
        names = {int: "a whole number", float: "a number", str: "a text"}
        raise LeNet5Error(f"{name}: {_shown(value)}; expected {names[kinds[0]]}")
    low, high, choices = limits["min"], limits["max"], limits["choices"]
    if low is not None and value is not None and not low <= value < inf:  # type: ignore[operator]
        raise LeNet5Error(f"{name}: {_shown(value)}; expected {low} or more")
    high = MAX_COUNT if high is None and isinstance(value, int) else high
    if high is not None and value is not None and value > high:  # type: ignore[operator]
        raise LeNet5Error(f"{name}: {_shown(value)}; expected {high} or less")
    if choices and value not in choices:
        raise LeNet5Error(f"{name}: {_shown(value)}; expected {' or '.join(choices)}")
