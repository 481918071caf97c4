"""Images and labels from CSV files in Kaggle's format and .npz archives in Keras' format.

Neither reader keeps more than ``LIMIT`` bytes of images, and nothing in a file is executed: object arrays, which NumPy
would unpickle, are refused by their header.
"""

from __future__ import annotations

import codecs
import hashlib
import io
import math
import re
import struct
import zipfile
from contextlib import contextmanager
from itertools import islice, repeat
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from lenet5_cli.data import cache
from lenet5_cli.data.glyphs import MAX_CLASSES
from lenet5_cli.errors import LeNet5Error, counted
from lenet5_cli.files import likeness, open_regular

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from os import PathLike

    from numpy.typing import NDArray

    from lenet5_cli.data.idx import Stored

LIMIT: Final = 2**30  # bytes of an array: over a million images of 28x28

_SIDE: Final = 28
_PIXELS: Final = _SIDE**2
_LINE: Final = 2**15  # bytes of a line of CSV: a label and 784 numbers have about 3,000
_LINES: Final = 1000  # read at a time
_SEPARATOR: Final = re.compile(rb'(\xef\xbb\xbf)?"?sep=,"?\r?\n', re.IGNORECASE)  # a first line for spreadsheets
_PIXEL: Final = re.compile(rb"\s*([0-9]{1,3})\s*")
_NUMBER: Final = re.compile(rb'[\s"]*[-+]?[0-9.]+(e[-+]?[0-9]+)?[\s"]*', re.IGNORECASE)
_NO_FIGURES: Final = str.maketrans("", "", "0123456789")
_CSV: Final = "a CSV file of labels and pixels"
_OTHERS: Final = ((b";", "semicolons"), (b"\t", "tabs"))  # what spreadsheets put in the place of commas
_NPZ: Final = "an .npz file with x_train and y_train, with or without x_test and y_test"
_MEMBERS: Final = 1000  # of an archive; its directory is read into memory
_CHUNK: Final = 4096  # images converted at a time
_END: Final = struct.Struct("<4s4H2LH")  # of a zip file's directory (PKWARE's APPNOTE, 4.3.16)


class Table(NamedTuple):
    """Images (n, 28, 28) uint8, and the label of each as text."""

    images: NDArray[np.uint8]
    labels: list[str]


class Lines(NamedTuple):
    """The content of a CSV file: image and label i are from line ``first + i``."""

    images: NDArray[np.uint8] | Stored
    labels: list[str]
    first: int  # 1, or more after a line of names


def cached_csv(path: str) -> Lines:
    """Return the content of a CSV file, parsed once, then read from the cache; raises LeNet5Error as ``read_csv``."""

    def make() -> tuple[NDArray[np.uint8], dict[str, Any]]:
        table = read_csv(path)
        return np.asarray(table.images), {"labels": table.labels, "first": table.first}

    def key() -> str:
        with open_regular(path, "a CSV file") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
        return hashlib.sha256(f"csv 3 {digest}".encode()).hexdigest()

    before = key()
    images, notes = cache.converted(before, make, unchanged=lambda: key() == before)
    return Lines(images, notes["labels"], notes["first"])


def read_csv(path: str | PathLike[str]) -> Lines:
    """Read lines of a label and 784 pixels from 0 to 255, row by row.

    A header line is skipped, and so are a line ``sep=,`` before it and blank lines at the end.

    Raises:
        LeNet5Error: it cannot be read, has more than ``LIMIT`` bytes of pixels, a line is not in this format, or the
            label seems to be in the last column.
    """
    images, labels, first, number, named = [np.empty((0, _PIXELS), np.uint8)], list[str](), 1, 1, False
    with open_regular(path, _CSV) as raw, io.BufferedReader(raw) as file:  # type: ignore[type-var]
        _demand_text(path, file.peek())
        if _SEPARATOR.match(file.peek()):
            file.readline()
            first = number = 2
        lines = _without_blank_end(iter(lambda: file.readline(_LINE + 1), b""))
        while chunk := list(islice(lines, _LINES)):
            if number == first and _is_header(chunk[0]):
                named = _names_label(f"{path}: line {number}", *_split(path, number, chunk.pop(0)))
                first = number = number + 1
            rows = [_split(path, number + at, line) for at, line in enumerate(chunk)]
            images.append(_pixels(path, number, [row for _, row in rows]))
            labels += [label for label, _ in rows]
            number += len(chunk)
            if len(labels) * _PIXELS > LIMIT:
                raise LeNet5Error(f"{path}: line {number}: more than {LIMIT // _PIXELS:,} images; split the file")
    if not labels:
        raise LeNet5Error(f"{path}: no images; expected {_CSV}")
    found = np.concatenate(images).reshape(-1, _SIDE, _SIDE)
    demand_visible(path, found)
    if not named:
        _demand_label_first(path, labels, found[:, -1, -1])
    return Lines(found, labels, first)


def _without_blank_end(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield lines without the blank ones at the end, which editors and spreadsheets may add."""
    blank = 0
    for line in lines:
        if not line.strip():
            blank += 1
            continue
        yield from repeat(b"\n", blank)
        blank = 0
        yield line


def _demand_text(path: str | PathLike[str], start: bytes) -> None:
    likely = likeness(start)
    if likely or b"\0" in start:
        raise LeNet5Error(f"{path}: looks like {likely or 'binary data'}; expected {_CSV}")


def _is_header(line: bytes) -> bool:
    """Tell whether a line is a header: after the first field no numbers, or the column numbers that pandas writes."""
    fields = line.rstrip(b"\r\n").split(b",")[1:]
    numbers = [field for field in fields if _NUMBER.fullmatch(field)]
    counted = any(fields == [b"%d" % number for number in range(first, first + _PIXELS)] for first in (0, 1))
    return bool(fields) and (not numbers or counted)


def _names_label(where: str, first: str, others: bytes) -> bool:
    """Tell whether a header says that the label is the first column; refuse one in which it seems to be the last."""
    names = [first, *others.decode("latin-1").split(",")]
    kinds = [name.translate(_NO_FIGURES) for name in names]
    if kinds[0] == kinds[1] != kinds[-1]:
        there = f"{where}: the columns are {names[0]}, {names[1]}, ..., {names[-1]}"
        raise LeNet5Error(f"{there}; expected a label, then {_SIDE}x{_SIDE} pixels")
    return kinds[0] != kinds[1]


def _demand_label_first(path: str | PathLike[str], labels: list[str], last: NDArray[np.uint8]) -> None:
    """Refuse lines without names of columns if the first is the same in all, and the last could be that of the labels.

    The pixel in a corner is the same in most images. The label is too in a file of one class: there, names tell.
    """
    found = np.unique(last)
    if len(set(labels)) == 1 < len(found) and found[-1] < MAX_CLASSES:
        there = f"the first column holds only {labels[0]}, the last one {len(found)} values, {found[0]} to {found[-1]}"
        advice = f"move them there; if that column is the label, put the line label,1,2,...,{_PIXELS} first"
        raise LeNet5Error(f"{path}: {there}; expected the labels in the first column; {advice}")


def _split(path: str | PathLike[str], number: int, line: bytes) -> tuple[str, bytes]:
    """Return the label and the pixels of a line."""
    if len(line) > _LINE:
        raise LeNet5Error(f"{path}: line {number}: more than {_LINE:,} bytes; expected a label and {_PIXELS} pixels")
    label, _, pixels = line.rstrip(b"\r\n").partition(b",")
    columns = line.count(b",") + 1
    if columns != _PIXELS + 1:
        between = next((f", with commas, not {name}, between them" for sign, name in _OTHERS if sign in line), "")
        raise LeNet5Error(
            f"{path}: line {number}: {counted(columns, 'column')}; expected {_PIXELS + 1}:"
            f" a label, then {_SIDE}x{_SIDE} pixels{between}"
        )
    label = label.removeprefix(codecs.BOM_UTF8).strip(b' "')
    if not label:
        raise LeNet5Error(f"{path}: line {number}: no label before the first comma; expected the name of a class")
    try:
        return label.decode(), pixels.replace(b'"', b"")
    except UnicodeDecodeError as error:
        raise LeNet5Error(
            f"{path}: line {number}: byte 0x{error.object[error.start]:02x} of its label is not UTF-8"
        ) from None


def _pixels(path: str | PathLike[str], number: int, rows: list[bytes]) -> NDArray[np.uint8]:
    """Return rows of pixels, the first from line ``number``, as an array (n, 784)."""
    if not rows:
        return np.empty((0, _PIXELS), np.uint8)
    try:
        text = io.BytesIO(b"\n".join(rows))
        values = np.loadtxt(text, np.int32, delimiter=",", comments=None, ndmin=2, encoding="latin-1")
        if values.shape == (len(rows), _PIXELS) and values.min() >= 0 and values.max() <= 255:
            return values.astype(np.uint8)
    except ValueError:
        pass
    # A line is invalid: find it, for a message with line and column, which NumPy does not give.
    return np.array([_row(path, number + at, row) for at, row in enumerate(rows)], np.uint8)


def _row(path: str | PathLike[str], number: int, row: bytes) -> list[int]:
    values = []
    for column, field in enumerate(row.split(b","), 2):
        match = _PIXEL.fullmatch(field)
        if match is None or int(match[1]) > 255:
            shown = repr(field[:20].decode("latin-1"))
            raise LeNet5Error(
                f"{path}: line {number}, column {column}: {shown}; expected a pixel, an integer from 0 to 255"
            )
        values.append(int(match[1]))
    return values


def read_npz(path: str | PathLike[str], split: str) -> tuple[Table, bool]:
    """Read the arrays of a split, such as ``x_train`` and ``y_train``, and tell whether the archive has both splits.

    If it has no test split, the training split is returned for either name.

    Images are (n, 28, 28), (n, 28, 28, 1) or (n, 784), integers from 0 to 255 or floats from 0 to 1; labels are
    integers or text, (n,) or (n, 1). The size of an array is checked before it is unpacked.

    Raises:
        LeNet5Error: it cannot be read, has no training split, or an array is larger than ``LIMIT``, holds objects or is
            damaged.
    """
    with _archive(path) as (archive, held):
        apart = "x_test" in held
        names = [f"{axis}_{split if apart else 'train'}" for axis in "xy"]
        if missing := [name for name in names if name not in held]:
            there = f"the arrays {', '.join(sorted(held)[:10])[:200]}, but no {missing[0]}" if held else "no arrays"
            raise LeNet5Error(f"{path}: has {there}; expected {_NPZ}")
        images, labels = (_array(path, name, archive, held[name]) for name in names)
    images, count = _images(f"{path}: {names[0]}", images), len(np.atleast_1d(labels))
    if len(images) != count:
        raise LeNet5Error(f"{path}: {len(images):,} images, but {count:,} labels; expected the same number")
    return Table(images, _labels(f"{path}: {names[1]}", labels)), apart


def labels_of(path: str | PathLike[str]) -> set[str]:
    """Return the labels in an .npz archive, of both splits; raises LeNet5Error as ``read_npz``."""
    with _archive(path) as (archive, held):
        names = [name for name in ("y_train", "y_test") if name in held]
        arrays = {name: _array(path, name, archive, held[name]) for name in names}
    return set().union(*(_labels(f"{path}: {name}", array) for name, array in arrays.items()))


def is_split(path: str | PathLike[str]) -> bool:
    """Tell whether an .npz archive has a test split; raises LeNet5Error as ``read_npz``."""
    with _archive(path) as (_, held):
        return "x_test" in held


@contextmanager
def _archive(path: str | PathLike[str]) -> Iterator[tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]]:
    """Open an archive, and yield it with its members by array name."""
    with open_regular(path, _NPZ) as raw, io.BufferedReader(raw) as file:  # type: ignore[type-var]
        _check_directory(path, file)
        try:
            with zipfile.ZipFile(file) as archive:
                yield archive, {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        except LeNet5Error:
            raise
        except Exception as error:  # noqa: BLE001 - zipfile raises many unrelated classes for damaged archives
            raise LeNet5Error(f"{path}: damaged: {str(error)[:200] or type(error).__name__}") from None


def _check_directory(path: str | PathLike[str], file: IO[bytes]) -> None:
    """Refuse a file that is not a zip file, and one whose directory would need too much memory."""
    start = file.read(4)
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - 2**16 - _END.size))
    tail = file.read()
    place = tail.rfind(b"PK\5\6")
    if start[:2] != b"PK" or place < 0 or place + _END.size > len(tail):
        there = (
            f"looks like {likely}" if (likely := likeness(start)) and start[:2] != b"PK" else "not a complete zip file"
        )
        raise LeNet5Error(f"{path}: {there}; expected {_NPZ}")
    _, _, _, _, members, length, _, _ = _END.unpack_from(tail, place)
    # If there is a Zip64 directory, for archives of more than 4 GiB, zipfile reads that one instead.
    large = tail[max(0, place - 20) : place].startswith(b"PK\6\7")
    if large or members > _MEMBERS or length > LIMIT // 2**10:
        there = "a Zip64 file" if large else f"{members:,} files in it"
        raise LeNet5Error(f"{path}: {there}; expected {_NPZ}")
    file.seek(0)


def _array(path: str | PathLike[str], name: str, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[Any]:
    """Return an array of the archive, reading no more bytes than its header promises."""
    if info.file_size > LIMIT:
        raise LeNet5Error(f"{path}: {name}: would be {info.file_size:,} bytes unpacked; the limit is {LIMIT:,}")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 1:
        raise LeNet5Error(f"{path}: {name}: encrypted, or compressed in a way that NumPy does not use")
    with archive.open(info) as member:
        version = np.lib.format.read_magic(member)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = header(member)
        if dtype.hasobject:
            raise LeNet5Error(
                f"{path}: {name}: an array of objects, whose pickle could run code; expected numbers or text"
            )
        size, held = math.prod(shape) * dtype.itemsize, info.file_size - member.tell()
        if not size:
            raise LeNet5Error(f"{path}: {name}: empty, of shape {shape}; expected images and their labels")
        if size != held:
            raise LeNet5Error(f"{path}: {name}: {held:,} bytes follow the header, which promises {size:,} for {shape}")
        content = member.read(size)
    if len(content) != size:
        raise LeNet5Error(f"{path}: {name}: {len(content):,} bytes follow the header, which promises {size:,}")
    return np.ndarray(shape, dtype, content, order="F" if fortran else "C")


def _images(where: str, array: NDArray[Any]) -> NDArray[np.uint8]:
    if array.shape[1:] not in ((_SIDE, _SIDE), (_SIDE, _SIDE, 1), (_PIXELS,)) or array.dtype.kind not in "buif":
        raise LeNet5Error(
            f"{where}: {array.dtype.name} of shape {array.shape}; expected images, numbers of shape (n, 28, 28)"
        )
    images = np.empty((len(array), _SIDE, _SIDE), np.uint8)
    for start in range(0, len(array), _CHUNK):
        images[start : start + _CHUNK] = _grey(where, array[start : start + _CHUNK]).reshape(-1, _SIDE, _SIDE)
    if array.dtype.kind == "f" and images.max() == 1:  # perhaps divided by 255 twice
        raise LeNet5Error(f"{where}: {array.dtype.name} from {array.min()} to {array.max()}; expected 1 for white")
    demand_visible(where, images)
    return images


def demand_visible(where: str | PathLike[str], images: NDArray[np.uint8] | Stored) -> None:
    """Refuse images whose largest pixel is 1: on a scale up to 255 they would all be black."""
    white = 0
    for start in range(0, len(images), _CHUNK):
        white = max(white, int(np.asarray(images[start : start + _CHUNK]).max()))
        if white > 1:
            return
    if white:
        raise LeNet5Error(f"{where}: pixels that are integers from 0 to 1; expected 0 to 255")


def _grey(where: str, x: NDArray[Any]) -> NDArray[Any]:
    """Return pixels, floats or booleans from 0 to 1 or integers from 0 to 255, as integers from 0 to 255."""
    low, high = x.min(), x.max()
    top = 1 if x.dtype.kind in "bf" else 255
    if not 0 <= low <= high <= top:  # not a number is neither
        kind = "floats from 0 to 1" if x.dtype.kind == "f" else "integers from 0 to 255"
        raise LeNet5Error(f"{where}: {x.dtype.name} from {low} to {high}; expected {kind}")
    return np.rint(x * np.float64(255)) if top == 1 else x


def _labels(where: str, array: NDArray[Any]) -> list[str]:
    if array.shape[1:] not in ((), (1,)) or array.dtype.kind not in "uiU":
        raise LeNet5Error(
            f"{where}: {array.dtype.name} of shape {array.shape}; expected labels, integers or text of shape (n,)"
        )
    if array.size > LIMIT // _PIXELS:  # as Python strings they take far more memory than the array
        raise LeNet5Error(f"{where}: {array.size:,} labels; expected at most {LIMIT // _PIXELS:,}")
    try:
        labels = [str(label) for label in array.ravel().tolist()]
    except (ValueError, SystemError):  # one of the numbers stands for no character
        raise LeNet5Error(f"{where}: damaged: a label is not valid text") from None
    if "" in labels:
        raise LeNet5Error(
            f"{where}: label {labels.index(''):,}, counted from 0, is empty; expected the name of a class"
        )
    return labels
