"""Read the plain values and arrays in a pickle, without Python's unpickler.

A pickle is a program for a stack machine. This is such a machine, with only the operations that lists, dicts, strings,
numbers and NumPy arrays need. Global names in the file are only compared to those that describe an array, never looked
up. So nothing is imported, and no function or class that the file names is called.
"""

import pickletools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet5_cli.errors import LeNet5Error

OPERATIONS = 1 << 21  # maximum in a file; a checkpoint of 100,000 epochs has as many, and they take seconds
TEXTS = 1 << 16  # maximum of different strings; a checkpoint has some fifty, each many times
CODES = {opcode.code for opcode in pickletools.opcodes}
NAMES = {
    "numpy.ndarray",
    "numpy.dtype",
    "numpy.core.multiarray._reconstruct",  # protocols 0 to 4
    "numpy.core.numeric._frombuffer",  # protocol 5
    "builtins.bytearray",
    "_codecs.encode",  # bytes in protocols 0 to 2
}
BYTE_ORDERS = {(3, "<"), (3, ">"), (3, "|")}  # version and byte order, as at the start of the state of a dtype
DTYPES = {"<f4", "<f8", ">f4", ">f8", "|u1", "|b1"}


class DamageError(LeNet5Error):
    """The file is not a pickle, is damaged, or has an operation that no checkpoint needs."""


class _MisfitError(Exception):
    """An operation does not fit the values on the stack."""


@dataclass(frozen=True)
class _Name:
    """A global name in the file."""

    name: str


@dataclass
class _Call:
    """A call in the file that describes a dtype or an array, complete once the state that follows is known."""

    name: str
    args: tuple[Any, ...]
    array: NDArray[Any] | None = None


def read(content: bytes) -> Any:
    """Return the value in a pickle, of lists, tuples, dicts with strings as keys, strings, numbers and arrays.

    Arrays are read-only views of the bytes in the file, so that no claimed shape takes more memory than the file.

    Raises:
        LeNet5Error: it refers to a function or class; the message does not name the file.
        DamageError: it has another unsupported operation, is truncated or damaged, or is not a pickle.
    """
    machine = _Machine(len(content))
    for name, argument, position in _operations(content):
        operation = _OPERATIONS.get(name)
        if operation is None:
            raise DamageError(f"byte {position:,} is the pickle operation {name}, which no checkpoint needs")
        try:
            operation(machine, argument)
        except _MisfitError as damage:
            raise DamageError(f"damaged: {damage}, at byte {position:,}") from None
        except (IndexError, KeyError):
            raise DamageError(f"damaged: {name} at byte {position:,} needs a value that is not there") from None
    return machine.stack.pop()


def _operations(content: bytes) -> Iterator[tuple[str, Any, int]]:
    """Yield the name, argument and position of each operation, and check that the last one ends the file."""
    end, count = 0, 0
    stream = BytesIO(content)
    operations = pickletools.genops(stream)
    while True:
        try:
            opcode, argument, _ = next(operations)
        except StopIteration:
            break
        except Exception:  # noqa: BLE001 - damaged arguments raise many kinds, and none says more
            raise _broken(content, end, cut=stream.tell() == len(content)) from None
        yield opcode.name, argument, end
        end = stream.tell()
        count += 1
        if count > OPERATIONS:
            raise DamageError(f"more than {OPERATIONS:,} pickle operations; expected fewer in a checkpoint")
    if end != len(content):
        raise DamageError(f"{len(content) - end:,} bytes follow the end of the pickle")


def _broken(content: bytes, place: int, *, cut: bool) -> DamageError:
    """Return why no operation can be read at a position."""
    if place == 0 and content[:1].decode("latin1") not in CODES:
        return DamageError(f"begins with the bytes {content[:4].hex(' ')}, not a pickle; expected a checkpoint")
    if place == len(content):
        return DamageError(f"cut off after {place:,} bytes; get the file again")
    if content[place : place + 1].decode("latin1") not in CODES:
        return DamageError(f"damaged: byte {place:,}, 0x{content[place]:02x}, is not a pickle operation")
    if cut:
        return DamageError(f"cut off or damaged: the operation at byte {place:,} extends past the end")
    return DamageError(f"damaged: the pickle operation at byte {place:,} cannot be read")


class _Machine:
    """The stack and the memo of a pickle that is being read."""

    def __init__(self, size: int) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.texts: dict[str, str] = {}  # each string once, however often the file has it
        self.spare = size  # characters and bytes that ``recall`` may still copy, so that memory stays in proportion

    def nothing(self, _: object) -> None:
        """Ignore an operation that only describes the file."""

    def push(self, value: Any) -> None:
        """Push the argument."""
        if type(value) is int and value.bit_length() > 64:
            raise _MisfitError(f"an integer of {value.bit_length():,} bits")
        if type(value) is str:
            value = self.texts.setdefault(value, value)
            if len(self.texts) > TEXTS:
                raise _MisfitError(f"more than {TEXTS:,} different strings")
        self.stack.append(value)

    def mark(self, _: object) -> None:
        self.marks.append(len(self.stack))

    def since_mark(self) -> list[Any]:
        """Pop everything that was pushed since the latest mark."""
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def pop(self, kind: type) -> Any:
        """Pop the topmost value, which must be of a kind and from after the latest mark."""
        self.top(kind)
        return self.stack.pop()

    def top(self, kind: type) -> Any:
        if len(self.stack) == (self.marks[-1] if self.marks else 0):
            raise IndexError
        if kind is not object and type(self.stack[-1]) is not kind:
            raise _MisfitError(f"{_kind(self.stack[-1])}; expected {kind.__name__.strip('_').lower()}")
        return self.stack[-1]

    def take(self, length: int) -> None:
        """Pop some values, and push a tuple of them."""
        self.stack.append(tuple(reversed([self.pop(object) for _ in range(length)])))

    def append(self, _: object) -> None:
        value = self.pop(object)
        self.top(list).append(value)

    def extend(self, _: object) -> None:
        values = self.since_mark()
        self.top(list).extend(values)

    def set_item(self, _: object) -> None:
        pair = [self.pop(object), self.pop(object)]
        _fill(self.top(dict), pair[::-1])

    def set_items(self, _: object) -> None:
        values = self.since_mark()
        _fill(self.top(dict), values)

    def remember(self, place: int) -> None:
        """Store the topmost value in the memo under a number, which is at most the next one."""
        if not 0 <= place <= len(self.memo) + 1:
            raise _MisfitError(f"memo entry {place:,}")
        self.memo[place] = self.top(object)

    def recall(self, place: int) -> None:
        """Push a value from the memo; refuse containers, which might contain themselves or grow exponentially."""
        value = self.memo[place]
        if type(value) is _Call and value.array is not None:
            value = value.array
        if isinstance(value, list | dict | tuple):
            raise _MisfitError(f"one {_kind(value)} is used twice")
        if isinstance(value, str | bytes | bytearray):
            self.spend(len(value))
        elif isinstance(value, np.ndarray):
            self.spend(value.nbytes)
        self.stack.append(value)

    def spend(self, length: int) -> None:
        self.spare -= length
        if self.spare < 0:
            raise _MisfitError("a large value is reused too often")

    def name(self, full: str) -> None:
        known = full.replace("numpy._core.", "numpy.core.").replace("__builtin__.", "builtins.")
        if known not in NAMES:
            shown = full if len(full) <= 100 else f"{full[:100]}..."
            raise LeNet5Error(
                f"it would call {shown}; a checkpoint holds only arrays, numbers and strings; nothing was executed"
            )
        self.stack.append(_Name(known))

    def name_on_stack(self, _: object) -> None:
        name, module = self.pop(str), self.pop(str)
        self.name(f"{module}.{name}")

    def call(self, _: object) -> None:
        """Pop a name and its arguments, and push what they describe."""
        args = self.pop(tuple)
        name = self.pop(_Name).name
        match name, args:
            case "_codecs.encode", (str(text), str(encoding)) if encoding == "latin1":
                self.spend(len(text))
                self.stack.append(_latin1(text))
            case "builtins.bytearray", (bytes() | bytearray() as data,):
                self.stack.append(data)
            case "builtins.bytearray", ():
                self.stack.append(b"")
            case "numpy.ndarray", (shape, kind, data):
                self.stack.append(_array(shape, kind, data))
            case "numpy.core.numeric._frombuffer", (data, kind, shape, order):
                self.stack.append(_array(shape, kind, data, fortran=type(order) is str and order == "F"))
            case (("numpy.core.multiarray._reconstruct" | "numpy.dtype"), _):
                self.stack.append(_Call(name, args))
            case _:
                raise _MisfitError(f"{name} with {len(args)} arguments that do not fit")

    def build(self, _: object) -> None:
        """Pop the state of a dtype or an array, which is then complete."""
        state = self.pop(object)
        if type(self.top(object)) is _Name:
            raise LeNet5Error(f"it would change {self.stack[-1].name}; nothing was executed")
        call = self.top(_Call)
        match call.name, call.args, state:
            case "numpy.dtype", (str(kind), *_), (int(version), str(order), *_) if (version, order) in BYTE_ORDERS:
                call.args = (order + kind,)
            case "numpy.core.multiarray._reconstruct", _, (int(version), shape, kind, fortran, data) if version == 1:
                self.stack[-1] = call.array = _array(shape, kind, data, fortran=fortran is True)
            case _:
                raise _MisfitError(f"the state of {call.name} is not as NumPy writes it")


def _array(shape: Any, kind: Any, data: Any, *, fortran: bool = False) -> NDArray[Any]:
    """Return an array over the bytes in the file."""
    if type(kind) is _Call:
        kind = kind.args[0] if kind.args else None
    if type(kind) is not str or kind not in DTYPES:
        named = kind[:20] if type(kind) is str else _kind(kind)
        raise LeNet5Error(f"numbers of type {named}; expected float32 or float64")
    if type(shape) is not tuple or len(shape) > 4 or not all(type(size) is int for size in shape):
        raise _MisfitError("an array whose shape is not a tuple of integers")
    if not isinstance(data, bytes | bytearray):
        raise _MisfitError(f"{_kind(data)}; expected the bytes of an array")
    fits = all(0 <= size <= len(data) for size in shape)
    if not fits or prod(shape) * np.dtype(kind).itemsize != len(data):
        raise _MisfitError(f"{len(data):,} bytes for an array of {kind[1:]} of shape {shape}")
    array: NDArray[Any] = np.ndarray(shape, kind, bytes(data), order="F" if fortran else "C")
    return array


def _latin1(text: str) -> bytes:
    try:
        return text.encode("latin1")
    except UnicodeEncodeError:
        raise _MisfitError("a string that does not encode bytes") from None


def _fill(target: dict[str, Any], pairs: list[Any]) -> None:
    """Put keys and values into a dict; keys must be strings, whose hashes a file cannot choose to collide."""
    if len(pairs) % 2:
        raise _MisfitError("a dict with a key without a value")
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
        if type(key) is not str:
            raise _MisfitError(f"a dict key of type {_kind(key)}; expected str")
        target[key] = value


def _kind(value: object) -> str:
    return type(value).__name__.strip("_").lower()


def _dict(machine: _Machine) -> None:
    made: dict[str, Any] = {}
    _fill(made, machine.since_mark())
    machine.stack.append(made)


_OPERATIONS: dict[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(("PROTO", "FRAME"), _Machine.nothing),
    **dict.fromkeys(("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"), _Machine.push),
    **dict.fromkeys(("FLOAT", "BINFLOAT"), _Machine.push),
    **dict.fromkeys(("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"), _Machine.push),
    **dict.fromkeys(("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"), _Machine.push),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _Machine.remember),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine.recall),
    "MEMOIZE": lambda machine, _: machine.remember(len(machine.memo)),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "MARK": _Machine.mark,
    "LIST": lambda machine, _: machine.stack.append(machine.since_mark()),
    "DICT": lambda machine, _: _dict(machine),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, _: machine.take(1),
    "TUPLE2": lambda machine, _: machine.take(2),
    "TUPLE3": lambda machine, _: machine.take(3),
    "APPEND": _Machine.append,
    "APPENDS": _Machine.extend,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "GLOBAL": lambda machine, argument: machine.name(argument.replace(" ", ".", 1)),
    "STACK_GLOBAL": _Machine.name_on_stack,
    "REDUCE": _Machine.call,
    "BUILD": _Machine.build,
    "STOP": lambda machine, _: machine.top(object),
}
