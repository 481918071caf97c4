"""The checkpoint: a pickle that the report's own ``load`` reads, read here without executing anything it names.

The file is a list: six ``[weight, bias]`` pairs in the report's shapes, then one dict that says how they were made. The
six pairs alone, as the report's ``dump`` writes them, are read too.
"""

import hashlib
import os
import pickle
from dataclasses import dataclass, field, fields
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet5_cli.config import Config
from lenet5_cli.errors import LeNet5Error, printable
from lenet5_cli.files import content, likeness, replacing
from lenet5_cli.storage import safe_pickle

Array = NDArray[np.float32] | NDArray[np.float64]

FORMAT = 1
SIZE_LIMIT = 64 << 20  # bytes; a checkpoint has about 250,000
MAX_TEXT = 4096  # characters; the longest that a run writes is the name of a folder
SHAPES = [
    ("c1", (6, 1, 5, 5), (6,)),
    ("s2", (6,), (6,)),
    ("c3", (16, 6, 5, 5), (16,)),
    ("s4", (16,), (16,)),
    ("c5", (120, 16, 5, 5), (120,)),
    ("f6", (120, 84), (84,)),
]

_START = 1024  # bytes that tell what a file is
_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # before version 1.6


@dataclass
class Checkpoint:
    """A trained network and how it came about.

    Attributes:
        pairs: ``[weight, bias]`` of c1, s2, c3, s4, c5 and f6.
        codes: (10, 84), the glyphs of the output layer; None in a file of the report's, which does not keep them.
        config: the settings of the run.
        epoch: how many epochs were trained.
        history: one dict an epoch: epoch, loss, accuracy, lr, images, seconds.
        data: the training data's name and SHA-256.
        state: arrays by name that a resumed run needs beside the parameters.
        versions: of lenet5, Python and NumPy.
    """

    pairs: list[list[Array]]
    codes: NDArray[np.uint8] | None = None
    config: dict[str, Any] = field(default_factory=dict)
    epoch: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    state: dict[str, Array] = field(default_factory=dict)


def write(path: str | os.PathLike[str], saved: Checkpoint) -> None:
    """Write a checkpoint whole or not at all: to a temporary file beside it, which then takes its name.

    Raises:
        LeNet5Error: the disk is full or the folder cannot be written; what was there before stays.
    """
    record = {"format": FORMAT, **{each.name: getattr(saved, each.name) for each in fields(saved)}}
    record["sha256"] = _sha256(saved)
    record["glyphs"] = record.pop("codes")
    pickled = _pickled([*record.pop("pairs"), record])
    with replacing(path) as file:
        file.write(pickled)


def read(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint of ours, or one that the report's ``dump`` wrote.

    Raises:
        LeNet5Error: it cannot be read, is not a checkpoint, is damaged, or names what is no array; nothing is executed.
    """
    saved = content(path, SIZE_LIMIT, "a checkpoint")
    try:
        return _checkpoint(_value(saved))
    except LeNet5Error as error:
        raise LeNet5Error(f"{path}: {error}") from None


class _Pickler(pickle.Pickler):
    """Pickles an array as a call of the public ``numpy.ndarray``, which every version of NumPy can load, writable."""

    def reducer_override(self, value: object) -> Any:
        if isinstance(value, np.ndarray):
            return np.ndarray, (value.shape, value.dtype.str, bytearray(value.tobytes()))
        return NotImplemented


def _pickled(value: object) -> bytes:
    """Return the pickle of a value, which does not depend on which of its equal parts are one: there is no memo."""
    stream = BytesIO()
    pickler = _Pickler(stream, protocol=5)
    pickler.fast = True
    pickler.dump(value)
    return stream.getvalue()


def _value(content: bytes) -> Any:
    """Return the value in a pickle, or say what else the file is, if that can be seen."""
    if not content:
        raise LeNet5Error("empty; expected a checkpoint")
    start = content[:_START]
    if found := _foreign(start):
        raise LeNet5Error(f"looks like {found}; expected a checkpoint")
    try:
        return safe_pickle.read(content)
    except safe_pickle.DamageError:
        text = "".join(start.decode("utf-8", "surrogateescape")[: _START - 3].split())
        if start[:1] not in (b"(", b"]") and printable(text) == text:  # a pickle of protocol 0 is a text too
            raise LeNet5Error("looks like a text; expected a checkpoint") from None
        raise


def _foreign(start: bytes) -> str | None:
    """Return what else a file looks like, or None."""
    found = likeness(start)
    if start.startswith(_TORCH) or (found == "a zip archive" and b"data.pkl" in start):
        return "a file of PyTorch"
    if found == "a zip archive" and b".npy" in start:
        return "an archive of NumPy"
    return "an IDX file" if start.startswith((b"\0\0\x08", b"\0\0\x0d")) else found


def _checkpoint(items: Any) -> Checkpoint:
    if not isinstance(items, list) or len(items) not in (6, 7):
        raise LeNet5Error("a pickle, but not a checkpoint; expected a list of six [weight, bias] pairs")
    pairs = [_pair(item, *expected) for item, expected in zip(items, SHAPES, strict=False)]
    if len(items) == 6:
        return Checkpoint(_alike(pairs))
    record = items[6]
    if not isinstance(record, dict) or type(record.get("format")) is not int or record["format"] != FORMAT:
        raise LeNet5Error(f"a checkpoint of another format; this lenet5 reads format {FORMAT}")
    saved = Checkpoint(pairs, **{each.name: _part(record, each.name) for each in fields(Checkpoint)[1:]})
    if type(record.get("sha256")) is not str or record["sha256"] != _sha256(saved):
        raise LeNet5Error("damaged: what is in it does not have the SHA-256 that was stored with it")
    _check_record(saved)
    saved.pairs = _alike(pairs)
    return saved


def _part(record: dict[str, Any], name: str) -> Any:
    """Return a part of the record: arrays, or numbers and texts."""
    value = record.get("glyphs" if name == "codes" else name)
    if name == "codes":
        if not isinstance(value, np.ndarray) or value.shape != (10, 84) or not np.isin(value, (0, 1)).all():
            raise LeNet5Error("damaged: the glyphs are not (10, 84) zeros and ones")
        return value.astype(np.uint8)
    expected = type(getattr(Checkpoint([]), name))
    if type(value) is not expected:
        raise LeNet5Error(f"damaged: {name} is of type {type(value).__name__}; expected {expected.__name__}")
    if name == "state" and isinstance(value, dict):
        _demand_plain("state", list(value))
        return {key: _numbers(f"state.{key}", array) for key, array in value.items()}
    _demand_plain(name, value)
    return value


def _demand_plain(name: str, value: Any, depth: int = 3) -> None:
    """Refuse what no run writes: what is long, deep, or neither a number nor a text."""
    match value:
        case str() if len(value) > MAX_TEXT:
            raise LeNet5Error(f"{name}: a text of {len(value):,} characters; expected at most {MAX_TEXT:,}")
        case None | bool() | int() | float() | str():
            pass
        case list() if depth:
            for place, item in enumerate(value):
                _demand_plain(f"{name}[{place}]", item, depth - 1)
        case dict() if depth:
            for key, item in value.items():
                _demand_plain(name, key)
                _demand_plain(f"{name}.{key}", item, depth - 1)
        case _:
            raise LeNet5Error(f"{name}: {type(value).__name__}; expected a number or a text")


def _check_record(saved: Checkpoint) -> None:
    """Check what the commands compute with: the settings, the epochs, the name of the data."""
    known = {setting.name for setting in fields(Config)}
    try:
        Config(**{name: value for name, value in saved.config.items() if name in known})
    except LeNet5Error as error:
        raise LeNet5Error(f"config: {error}") from None
    if saved.epoch < 0:
        raise LeNet5Error(f"epoch: {saved.epoch}; expected 0 or more")
    if type(saved.data.get("name", "")) is not str:
        raise LeNet5Error(f"data.name: {saved.data['name']!r}; expected a text")
    for place, entry in enumerate(saved.history):
        if type(entry) is not dict:
            raise LeNet5Error(f"history[{place}]: {type(entry).__name__}; expected a dict")
        for name in ("epoch", "loss", "accuracy", "lr", "images", "seconds", "validation_accuracy"):
            if type(entry.get(name, 0)) not in (int, float):
                raise LeNet5Error(f"history[{place}].{name}: {entry[name]!r}; expected a number")


def _pair(item: Any, name: str, *shapes: tuple[int, ...]) -> list[Array]:
    if not isinstance(item, list) or len(item) != 2:
        raise LeNet5Error(f"{name}: not a pair; expected [weight, bias]")
    pair = []
    for what, value, shape in zip(("weight", "bias"), item, shapes, strict=True):
        if isinstance(value, np.ndarray) and value.shape != shape:
            raise LeNet5Error(f"{name}.{what}: shape {value.shape}; expected {shape}")
        pair.append(_numbers(f"{name}.{what}", value))
    return pair


def _numbers(name: str, value: Any) -> Array:
    """Return an array of finite numbers in the byte order of this machine, copied."""
    if not isinstance(value, np.ndarray):
        raise LeNet5Error(f"{name}: {type(value).__name__.strip('_').lower()} found; expected an array")
    if value.dtype.kind != "f":
        raise LeNet5Error(f"{name}: {value.dtype} numbers; expected float32 or float64")
    if not np.isfinite(value).all():
        raise LeNet5Error(f"{name}: holds NaN or infinity")
    return value.astype(value.dtype.newbyteorder("="), order="C")


def _alike(pairs: list[list[Array]]) -> list[list[Array]]:
    """Return the pairs in the widest type of number among them, so that none overflows in the type of another."""
    widest = np.result_type(*(value for pair in pairs for value in pair))
    return [[value.astype(widest, copy=False) for value in pair] for pair in pairs]


def _sha256(saved: Checkpoint) -> str:
    """Return the SHA-256 of all that is saved but the seconds: these differ between runs that are the same."""
    history = [
        {name: value for name, value in entry.items() if name != "seconds"} if isinstance(entry, dict) else entry
        for entry in saved.history
    ]
    said = [saved.config, saved.epoch, history, saved.data, saved.versions, list(saved.state)]
    digest = hashlib.sha256(_pickled(said))
    codes = () if saved.codes is None else (saved.codes,)
    for value in (*(value for pair in saved.pairs for value in pair), *codes, *saved.state.values()):
        digest.update(value.tobytes())
    return digest.hexdigest()
