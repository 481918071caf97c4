"""The checkpoint: a pickle that the report's own ``load`` reads, read here without executing anything it names.

The file is a list: six ``[weight, bias]`` pairs in the report's shapes, then one dict that says how they were made. The
six pairs alone, as the report's ``dump`` writes them, are read too.
"""

import hashlib
import io
import os
import pickle
import pickletools
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet5_cli.contraction import Array
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.files import replacing

FORMAT = 1
SIZE_LIMIT = 64 << 20  # bytes; a checkpoint has about 250,000
SHAPES = [
    ("c1", (6, 1, 5, 5), (6,)),
    ("s2", (6,), (6,)),
    ("c3", (16, 6, 5, 5), (16,)),
    ("s4", (16,), (16,)),
    ("c5", (120, 16, 5, 5), (120,)),
    ("f6", (120, 84), (84,)),
]


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
    record = {"format": FORMAT, **asdict(saved), "sha256": _sha256(saved.pairs, saved.state)}
    record["glyphs"] = record.pop("codes")
    with replacing(path) as file:
        pickler = _Pickler(file, protocol=5)
        pickler.fast = True  # no memo: bytes do not depend on which equal objects are one; a resumed run's match
        pickler.dump([*record.pop("pairs"), record])


def read(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint of ours, or one that the report's ``dump`` wrote.

    Raises:
        LeNet5Error: it cannot be read, is not a checkpoint, is damaged, or names what is no array; nothing is executed.
    """
    path = Path(path)
    content = _content(path)
    try:
        _scan(content)
        return _checkpoint(_Unpickler(io.BytesIO(content)).load())
    except LeNet5Error as error:
        raise LeNet5Error(f"{path}: {error}") from None
    except Exception as error:  # noqa: BLE001 - whatever a damaged pickle raises on the way
        raise LeNet5Error(f"{path}: damaged, or not a checkpoint: {error}") from None


class _Pickler(pickle.Pickler):
    """Pickles an array as a call of the public ``numpy.ndarray``, which every version of NumPy can load, writable."""

    def reducer_override(self, value: object) -> Any:
        if isinstance(value, np.ndarray):
            return np.ndarray, (value.shape, value.dtype.str, bytearray(value.tobytes()))
        return NotImplemented


class _Global:
    """Stands for a name in the file. Calling it only notes the call."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, *args: object) -> "_Call":
        return _Call(self.name, args)

    def __setstate__(self, state: object) -> None:
        raise LeNet5Error(f"it would change {self.name}")


class _Call:
    """A call that the file asks for, noted and never made."""

    __slots__ = ("args", "name", "state")

    def __init__(self, name: str, args: tuple[Any, ...]) -> None:
        self.name = name
        self.args = args
        self.state: Any = None

    def __setstate__(self, state: object) -> None:
        self.state = state


class _Unpickler(pickle.Unpickler):
    """Reads lists, dicts, texts, numbers and what describes an array; hands out no object that could do anything."""

    NAMES = frozenset(
        {
            "numpy.ndarray",
            "numpy.dtype",
            "numpy.core.multiarray._reconstruct",  # protocols 0 to 4
            "numpy.core.numeric._frombuffer",  # protocol 5
            "builtins.bytearray",
            "_codecs.encode",  # bytes in protocols 0 to 2
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        known = full.replace("numpy._core.", "numpy.core.").replace("__builtin__.", "builtins.")
        if known not in self.NAMES:
            raise LeNet5Error(
                f"it would call {full}; a checkpoint holds arrays, numbers and texts only; nothing was executed"
            )
        return _Global(known)


REFUSED = {
    "PERSID",
    "BINPERSID",
    "INST",
    "OBJ",
    "NEWOBJ",
    "NEWOBJ_EX",
    "EXT1",
    "EXT2",
    "EXT4",
    "NEXT_BUFFER",
    "READONLY_BUFFER",
}
"""Pickle operations that make objects in other ways than ``find_class`` sees, or that no array needs."""


def _content(path: Path) -> bytes:
    try:
        if not path.is_file():
            kind = "a directory" if path.is_dir() else "not a regular file" if path.exists() else "no such file"
            raise LeNet5Error(f"{path}: {kind}; a checkpoint was wanted")
        if path.stat().st_size > SIZE_LIMIT:
            raise LeNet5Error(f"{path}: {path.stat().st_size:,} bytes; a checkpoint has at most {SIZE_LIMIT:,}")
        content = path.read_bytes()
    except OSError as error:
        raise LeNet5Error(f"{path}: cannot be read: {error.strerror}") from None
    if not content:
        raise LeNet5Error(f"{path}: empty; a checkpoint was wanted")
    return content


def _scan(content: bytes) -> None:
    """Refuse a pickle with an operation that no checkpoint needs, before any of it is carried out."""
    end = 0
    opcode: pickletools.OpcodeInfo
    argument: Any
    position: Any
    for count, (opcode, argument, position) in enumerate(pickletools.genops(content)):
        if opcode.name in REFUSED:
            raise LeNet5Error(f"damaged, or not a checkpoint: byte {position:,} is the pickle operation {opcode.name}")
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and argument > count:
            raise LeNet5Error(f"damaged, or not a checkpoint: byte {position:,} fills memo entry {argument:,}")
        end = position + 1
    if end != len(content):
        raise LeNet5Error(f"{len(content) - end:,} bytes follow the end of the pickle")


def _checkpoint(items: Any) -> Checkpoint:
    if not isinstance(items, list) or len(items) not in (6, 7):
        raise LeNet5Error("a pickle, but not a checkpoint: a list of six [weight, bias] pairs was wanted")
    pairs = [_pair(item, *expected) for item, expected in zip(items, SHAPES, strict=False)]
    if len(items) == 6:
        return Checkpoint(pairs)
    record = items[6]
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise LeNet5Error(f"a checkpoint of another format; this lenet5 reads format {FORMAT}")
    state = {str(name): _array(value) for name, value in _dict(record.get("state", {})).items()}
    if record.get("sha256") != _sha256(pairs, state):
        raise LeNet5Error("damaged: the parameters do not have the SHA-256 that was stored with them")
    codes = _array(record["glyphs"])
    if codes.shape != (10, 84) or not np.isin(codes, (0, 1)).all():
        raise LeNet5Error("damaged: the glyphs are not (10, 84) zeros and ones")
    kept = {name: record[name] for name in ("config", "epoch", "history", "data", "versions")}
    for name, value in kept.items():
        if type(value) is not type(getattr(Checkpoint([]), name)):
            raise LeNet5Error(f"damaged: {name} is of type {type(value).__name__}")
    return Checkpoint(pairs, codes, **kept, state=state)


def _dict(value: Any) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise LeNet5Error(f"damaged: {type(value).__name__} where a dict was wanted")
    return value


def _pair(item: Any, name: str, *shapes: tuple[int, ...]) -> list[Array]:
    if not isinstance(item, list) or len(item) != 2:
        raise LeNet5Error(f"{name}: a pair [weight, bias] was wanted")
    pair = [_array(value) for value in item]
    for what, value, shape in zip(("weight", "bias"), pair, shapes, strict=True):
        if value.shape != shape:
            raise LeNet5Error(f"{name}.{what}: shape {value.shape}; {shape} was wanted")
        if value.dtype.kind != "f":
            raise LeNet5Error(f"{name}.{what}: {value.dtype} numbers; float32 or float64 was wanted")
        if not np.isfinite(value).all():
            raise LeNet5Error(f"{name}.{what}: holds NaN or infinity")
    return pair


def _array(call: Any) -> NDArray[Any]:
    """Build the array that a noted call describes from the bytes in the file: no shape can allocate more."""
    fortran: object = False
    match call:
        case _Call(name="numpy.ndarray", args=(shape, dtype, data)):
            pass
        case _Call(name="numpy.core.numeric._frombuffer", args=(data, dtype, shape, order)):
            fortran = order == "F"
        case _Call(name="numpy.core.multiarray._reconstruct", state=(1, shape, dtype, fortran, data)):
            pass
        case _:
            raise LeNet5Error(f"{type(call).__name__} where an array was wanted")
    kind = _dtype(dtype)
    flat = np.frombuffer(_bytes(data), kind)
    values: NDArray[Any] = flat.reshape(shape, order="F" if fortran else "C")
    return values.astype(values.dtype.newbyteorder("="), order="C")


def _dtype(described: Any) -> np.dtype[Any]:
    name = described
    if isinstance(described, _Call) and described.name == "numpy.dtype":
        name = described.state[1] + described.args[0]
    if name not in {"<f4", "<f8", ">f4", ">f8", "|u1", "|b1"}:
        raise LeNet5Error(f"numbers of type {name}; float32 or float64 was wanted")
    kind: np.dtype[Any] = np.dtype(name)
    return kind


def _bytes(data: Any) -> bytes:
    match data:
        case bytes() | bytearray():
            return bytes(data)
        case _Call(name="_codecs.encode", args=(str(text), "latin1")):
            return text.encode("latin1")
        case _Call(name="builtins.bytearray", args=(inner,)):
            return _bytes(inner)
        case _:
            raise LeNet5Error(f"{type(data).__name__} where the bytes of an array were wanted")


def _sha256(pairs: list[list[Array]], state: dict[str, Array]) -> str:
    digest = hashlib.sha256()
    for value in [*(value for pair in pairs for value in pair), *state.values()]:
        digest.update(value.tobytes())
    return digest.hexdigest()
