"""Checkpoints: pickles that the report's own ``load`` can read, read here without executing anything in them.

The file is a list: a pair ``[weight, bias]`` for each layer that has parameters, of which the report's network has six,
then a dict that describes the run. Files of the report's ``dump``, which hold the pairs alone, are read too.
"""

import hashlib
import os
import pickle
from collections.abc import Iterable
from dataclasses import MISSING, asdict, dataclass, field, fields
from io import BytesIO
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet5_cli.config import Config, known, shown
from lenet5_cli.data.glyphs import COLUMNS, DIGITS, ROWS, Sheet, checked_names
from lenet5_cli.errors import LeNet5Error, printable
from lenet5_cli.files import BUNDLED, BUNDLED_MODEL, content, likeness, replacing
from lenet5_cli.storage import safe_pickle

Array = NDArray[np.float32] | NDArray[np.float64]

FORMAT = 1
QUANTILES = 1001  # of the distances of the validation images: at 0, 0.001, ..., 1
SIZE_LIMIT = 64 << 20  # bytes; a checkpoint has about 250,000
MAX_TEXT = 4096  # characters; the longest that a run writes is the name of a folder
MAX_ENTRIES = 1000  # of the settings, the data, the versions or the state; a run writes some 40
MAX_PAIRS = 32  # layers with parameters
LAYERS = ("c1", "s2", "c3", "s4", "c5", "f6")  # that have some in the report's network

_START = 1024  # bytes that are looked at to recognise a file of another kind
_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the start of files of PyTorch before 1.6


@dataclass(frozen=True)
class Epoch:
    """One pass of training.

    Attributes:
        epoch: numbered from 1.
        loss: the mean over the images of the epoch, each measured before its step.
        accuracy: of the network after the epoch, on the whole training set, 0 to 1.
        lr: the learning rate in the middle of it.
        images: the number of images of the epoch.
        seconds: wall time of the pass and its evaluation.
        validation_loss: the mean loss on the validation images; None if there are none.
        validation_accuracy: likewise.
    """

    epoch: int
    loss: float
    accuracy: float
    lr: float
    images: int
    seconds: float
    validation_loss: float | None = None
    validation_accuracy: float | None = None

    def record(self) -> dict[str, int | float]:
        """Return the values that are not None, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(eq=False)  # of arrays, whose equality has no truth value
class Checkpoint:
    """A trained network and how it was made.

    Attributes:
        pairs: ``[weight, bias]`` of each layer that has parameters: c1, s2, c3, s4, c5 and f6.
        sheet: the glyphs (k, 84) and names of the k classes; None in a file of the report's, which does not keep them.
        config: the settings of the run, by name.
        history: the epochs that were trained.
        data: name, number of images and SHA-256 of the training data; also, if there are any, of the model that the run
            started from, the rehearsed images and the teacher.
        state: the other arrays that a resumed run needs, by name, such as those of the optimiser.
        versions: of lenet5, Python and NumPy.
        distances: (QUANTILES,), equally spaced quantiles, from 0 to 1, of the squared distance from f6 to the nearest
            code, over the validation images; None if there were none.
        path: the file that it was read from.
    """

    pairs: list[list[Array]]
    sheet: Sheet | None = None
    config: dict[str, Any] = field(default_factory=dict)
    history: list[Epoch] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    state: dict[str, Array] = field(default_factory=dict)
    distances: Array | None = None
    path: str = ""

    def __repr__(self) -> str:
        """Return the file and the number of epochs, which a notebook shows."""
        return f"Checkpoint({self.path!r}, {self.epoch:,} epochs)"

    @property
    def epoch(self) -> int:
        """The number of epochs trained."""
        return len(self.history)

    @property
    def dtype(self) -> str:
        """The type of the parameters: float32 or float64."""
        return self.pairs[0][0].dtype.name

    @property
    def names(self) -> tuple[str, ...] | None:
        """The names of the classes; None in a file that keeps no glyphs."""
        return self.sheet.names if self.sheet else None

    @property
    def where(self) -> str:
        """The prefix of messages about this checkpoint: ``model.pkl: ``."""
        name = BUNDLED if self.path == str(BUNDLED_MODEL) else self.path
        return f"{name}: " if name else ""


_EPOCH = [each.name for each in fields(Epoch)]
_EPOCH_REQUIRED = [each.name for each in fields(Epoch) if each.default is MISSING]
LARGEST = 1e100  # largest absolute value in an Epoch: training ends with an error above it, and plots can show it
_RECORD = [each.name for each in fields(Checkpoint) if each.name not in ("pairs", "sheet", "path")]


def write(path: str | os.PathLike[str], saved: Checkpoint) -> None:
    """Write a checkpoint atomically.

    Raises:
        LeNet5Error: the disk is full or the folder cannot be written; an existing file stays.
    """
    record = {"format": FORMAT, **{name: getattr(saved, name) for name in _RECORD}}
    record["history"] = [epoch.record() for epoch in saved.history]
    record["sha256"] = _sha256(saved)
    record["glyphs"] = saved.sheet.codes if saved.sheet else None
    if saved.sheet and saved.sheet.names != DIGITS:  # digits need no names
        record["names"] = list(saved.sheet.names)
    pickled = _pickled([*saved.pairs, record])
    with replacing(path) as file:
        file.write(pickled)


def read(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint of ours, ``bundled`` for the one that is shipped, or one that the report's ``dump`` wrote.

    Raises:
        LeNet5Error: it cannot be read, is not a checkpoint, is damaged, or holds other objects than arrays, numbers and
            strings; nothing in it is executed.
    """
    path = os.fsdecode(BUNDLED_MODEL if path == BUNDLED else path)  # os.DirEntry does not print as its path
    pickled = content(path, SIZE_LIMIT, "a checkpoint")
    try:
        saved = _checkpoint(_value(pickled))
    except LeNet5Error as error:
        raise LeNet5Error(f"{path}: {error}") from None
    saved.path = path
    return saved


class _Pickler(pickle.Pickler):
    """Pickles an array as a call of the public ``numpy.ndarray``, which every version of NumPy can load, writable."""

    def reducer_override(self, value: object) -> Any:
        if isinstance(value, np.ndarray):
            return np.ndarray, (value.shape, value.dtype.str, bytearray(value.tobytes()))
        return NotImplemented


def _pickled(value: object) -> bytes:
    """Return the pickle of a value, without a memo, so that equal values always give the same bytes."""
    stream = BytesIO()
    pickler = _Pickler(stream, protocol=5)
    pickler.fast = True
    pickler.dump(value)
    return stream.getvalue()


def _value(content: bytes) -> Any:
    """Return the value in a pickle, or raise an error that says what else the file looks like."""
    if not content:
        raise LeNet5Error("empty; expected a checkpoint")
    start = content[:_START]
    if found := _foreign(start):
        raise LeNet5Error(f"looks like {found}; expected a checkpoint")
    try:
        return safe_pickle.read(content)
    except safe_pickle.DamageError:
        text = "".join(start.decode("utf-8", "surrogateescape")[: _START - 3].split())
        if start[:1] not in (b"(", b"]") and printable(text) == text:  # a pickle of protocol 0 is text too
            raise LeNet5Error("looks like text; expected a checkpoint") from None
        raise


def _foreign(start: bytes) -> str | None:
    """Return what other kind of file this looks like, or None."""
    found = likeness(start)
    if start.startswith(_TORCH) or (found == "a zip archive" and b"data.pkl" in start):
        return "a PyTorch file"
    if found == "a zip archive" and b".npy" in start:
        return "a NumPy archive"
    return "an IDX file" if start.startswith((b"\0\0\x08", b"\0\0\x0d")) else found


def _checkpoint(items: Any) -> Checkpoint:
    first = items[0] if isinstance(items, list) and 1 <= len(items) <= MAX_PAIRS + 1 else None
    if not isinstance(first, list) or len(first) != 2:
        raise LeNet5Error("a pickle, but not a checkpoint; expected a list of [weight, bias] pairs")
    record = items.pop() if isinstance(items[-1], dict) else None
    names = LAYERS if len(items) == len(LAYERS) else [f"pair {place}" for place in range(1, len(items) + 1)]
    pairs = [_pair(item, name) for item, name in zip(items, names, strict=True)]
    if record is None:
        return Checkpoint(_alike(pairs))
    if type(record.get("format")) is not int or record["format"] != FORMAT:
        raise LeNet5Error(f"a checkpoint of another format; this lenet5 reads format {FORMAT}")
    saved = Checkpoint(pairs, _sheet(record), **{name: _entry(record, name) for name in _RECORD})
    if type(record.get("sha256")) is not str or record["sha256"] != _sha256(saved):
        raise LeNet5Error("damaged: its content does not match the stored SHA-256")
    _check_config(saved)
    saved.pairs = _alike(pairs)
    return saved


def _sheet(record: dict[str, Any]) -> Sheet:
    """Return the checked glyphs and names of a record."""
    codes, names = record.get("glyphs"), record.get("names", list(DIGITS))
    if type(names) is not list or not all(type(name) is str for name in names):
        raise LeNet5Error("damaged: the names of the classes are not a list of strings")
    checked = checked_names(names, "damaged: ")
    shape = (len(checked), ROWS * COLUMNS)
    if not isinstance(codes, np.ndarray) or codes.shape != shape or not np.isin(codes, (0, 1)).all():
        raise LeNet5Error(f"damaged: the glyphs are not {shape} zeros and ones")
    return Sheet(codes.astype(np.uint8), checked)


def _entry(record: dict[str, Any], name: str) -> Any:
    """Return a checked entry of the record."""
    value = record.get(name)
    if name == "distances":
        return None if value is None else _distances(value)
    expected = list if name == "history" else dict
    if type(value) is not expected:
        raise LeNet5Error(f"damaged: {name} is of type {type(value).__name__}; expected {expected.__name__}")
    if name == "state" and isinstance(value, dict):
        _demand_plain("state", list(value))
        _demand_few("state", value)
        return {key: _numbers(f"state.{key}", array) for key, array in value.items()}
    _demand_plain(name, value)
    if name == "history":
        return [_epoch(item, number) for number, item in enumerate(value, 1)]
    _demand_few(name, value)
    return value


def _distances(value: Any) -> Array:
    """Return the quantiles of distances: as many as a run writes, ascending."""
    distances = _numbers("distances", value)
    if distances.shape != (QUANTILES,) or (np.diff(distances) < 0).any():
        raise LeNet5Error(f"distances: not {QUANTILES:,} ascending numbers")
    return distances


def _epoch(entry: Any, number: int) -> Epoch:
    """Return an epoch of the history, numbered from 1 as it must be."""
    where = f"history[{number - 1}]"
    if type(entry) is not dict:
        raise LeNet5Error(f"{where}: {type(entry).__name__}; expected a dict")
    missing = [name for name in _EPOCH_REQUIRED if name not in entry]
    if missing:
        raise LeNet5Error(f"{where}: no {missing[0]}; expected {', '.join(_EPOCH_REQUIRED)}")
    for name, value in entry.items():
        if name not in _EPOCH:
            raise LeNet5Error(f"{where}: {shown(name)}; expected {', '.join(_EPOCH)}")
        if type(value) not in (int, float) or not isfinite(value):
            raise LeNet5Error(f"{where}.{name}: {shown(value)}; expected a finite number")
        if abs(value) > LARGEST:
            raise LeNet5Error(f"{where}.{name}: {shown(value)}; expected at most {LARGEST:g}")
    if entry["epoch"] != number:
        raise LeNet5Error(f"{where}.epoch: {entry['epoch']}; expected {number}")
    return Epoch(**entry)


def _demand_plain(name: str, value: Any, depth: int = 3) -> None:
    """Refuse values that no run writes: long strings, deep nesting, other types than numbers and strings."""
    match value:
        case str() if len(value) > MAX_TEXT:
            raise LeNet5Error(f"{name}: a string of {len(value):,} characters; expected at most {MAX_TEXT:,}")
        case float() if not isfinite(value):
            raise LeNet5Error(f"{name}: {value}; expected a finite number")
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
            raise LeNet5Error(f"{name}: {type(value).__name__}; expected a number or a string")


def _demand_few(name: str, value: Any) -> None:
    if (count := _entries(value)) > MAX_ENTRIES:
        raise LeNet5Error(f"{name}: {count:,} entries; expected at most {MAX_ENTRIES:,}")


def _entries(value: Any) -> int:
    """Return the number of values in a dict or list, nested ones included: ``info`` shows each on a line."""
    if not isinstance(value, dict | list):
        return 0
    return len(value) + sum(map(_entries, value.values() if isinstance(value, dict) else value))


def _check_config(saved: Checkpoint) -> None:
    """Check the entries that commands use: the settings and the name of the data."""
    try:
        Config(**known(saved.config))
    except LeNet5Error as error:
        raise LeNet5Error(f"config: {error}") from None
    if type(saved.data.get("name", "")) is not str:
        raise LeNet5Error(f"data.name: {shown(saved.data['name'])}; expected a string")


def _pair(item: Any, where: str) -> list[Array]:
    if not isinstance(item, list) or len(item) != 2:
        raise LeNet5Error(f"{where}: not a pair; expected [weight, bias]")
    return [_numbers(f"{where}.{name}", value) for name, value in zip(("weight", "bias"), item, strict=True)]


def _numbers(name: str, value: Any) -> Array:
    """Return an array of finite numbers in the byte order of this machine, copied."""
    if not isinstance(value, np.ndarray):
        raise LeNet5Error(f"{name}: {type(value).__name__.strip('_').lower()}; expected an array")
    if value.dtype.kind != "f":
        raise LeNet5Error(f"{name}: {value.dtype} numbers; expected float32 or float64")
    if not np.isfinite(value).all():
        raise LeNet5Error(f"{name}: holds NaN or infinity")
    return value.astype(value.dtype.newbyteorder("="))


def _alike(pairs: list[list[Array]]) -> list[list[Array]]:
    """Return the pairs in the widest dtype among them, so that none overflows."""
    widest = np.result_type(*(value for pair in pairs for value in pair))
    return [[value.astype(widest) for value in pair] for pair in pairs]


def _sha256(saved: Checkpoint) -> str:
    """Return the SHA-256 of all that is saved except the seconds, which differ between identical runs."""
    history = [{name: value for name, value in epoch.record().items() if name != "seconds"} for epoch in saved.history]
    content = [saved.config, saved.epoch, history, saved.data, saved.versions, list(saved.state)]
    if saved.sheet and saved.sheet.names != DIGITS:
        content.append(list(saved.sheet.names))
    digest = hashlib.sha256(_pickled(content))
    codes = saved.sheet.codes if saved.sheet else None
    optional = (value for value in (codes, saved.distances) if value is not None)
    for value in (*(value for pair in saved.pairs for value in pair), *optional, *saved.state.values()):
        digest.update(_bytes(value))
    return digest.hexdigest()


def sha256_of(pairs: Iterable[list[Array]]) -> str:
    """Return the SHA-256, in hex, of parameters, whatever was saved with them."""
    return hashlib.sha256(b"".join(_bytes(value) for pair in pairs for value in pair)).hexdigest()


def _bytes(array: NDArray[Any]) -> bytes:
    """Return the bytes of an array, little-endian on every machine, so that a digest of them holds on all."""
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
