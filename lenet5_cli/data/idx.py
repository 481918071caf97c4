"""The IDX format, read and written: the format of the MNIST files.

Two zero bytes, one byte for the element type, one for the number of dimensions, each dimension as a big-endian uint32,
then the elements, big-endian, the last index fastest (LeCun, Cortes and Burges, "The MNIST database of handwritten
digits", "File formats"). Every header field and the byte count are checked before an array is made.

Files are read, not mapped: if another program truncates a mapped file, the process is killed; a read ends in a message.
"""

from __future__ import annotations

import gzip
import io
import math
import os
import struct
import sys
import zlib
from contextlib import nullcontext
from io import FileIO
from threading import Lock
from typing import IO, TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np

from lenet5_cli.errors import LeNet5Error
from lenet5_cli.files import likeness, open_regular, replacing, unreadable

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from numpy.typing import ArrayLike, NDArray

# Bytes, well over a million images of 28x28. It bounds compressed files only: they are unpacked into memory.
GZIP_LIMIT = 2**30
# Bytes of a plain file: a larger one is read in chunks, on demand.
MEMORY_LIMIT = 2**28

_CHUNK = 2**20  # bytes unpacked at a time
_SINGLE = 2**16  # bytes of a gzipped file that are read one by one
_MAX_NDIM = 64  # NumPy's; the format allows 255
_TYPES = {0x08: "uint8", 0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}
_CODES = {name: code for code, name in _TYPES.items()}
_POSITION = Lock()  # held to move a file's position, where the system cannot read at a place
_SHAPES = {"images": "(n, rows, columns)", "labels": "(n,)"}


class _Header(NamedTuple):
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


class _LongError(Exception):
    """A gzipped file has far more header or padding bytes than any program writes."""


class _Packed(io.BufferedReader):
    """A gzipped file with a limit on reads of one byte: gzip reads names in headers and zeros at the end that way."""

    single = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.single += size == 1
        if self.single > _SINGLE:
            raise _LongError
        return super().read(size)


class _Kept(FileIO):
    """A file that is closed when nothing refers to it any more."""

    def __del__(self) -> None:
        self.close()


class Stored:
    """An array in a file, read on demand and not kept in memory.

    It behaves like a NumPy array where it can: a slice is a view, one with a step, indices or a mask give a copy, and
    so does ``np.asarray``. Reading raises LeNet5Error if the file has become shorter.
    """

    def __init__(self, file: IO[bytes], path: str | os.PathLike[str], header: _Header, start: int) -> None:
        """Wrap an open file whose elements begin at byte ``start``."""
        self._file, self._path, self._header, self._start = file, path, header, start

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the elements."""
        return self._header.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the dimensions, at least one."""
        return self._header.shape

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    def __len__(self) -> int:
        """Return the size of the first dimension."""
        return self.shape[0]

    @overload
    def __getitem__(self, key: slice) -> Stored | NDArray[Any]: ...

    @overload
    def __getitem__(self, key: ArrayLike) -> NDArray[Any]: ...

    def __getitem__(self, key: slice | ArrayLike) -> Stored | NDArray[Any]:
        """Return a view by a slice without a step, a copy by indices or a mask (n,), or one element by its index.

        Raises:
            IndexError: an index is out of range, or the key is of another kind.
        """
        if isinstance(key, slice):
            first, last, step = key.indices(len(self))
            if step == 1:
                header = self._header._replace(shape=(max(0, last - first), *self.shape[1:]))
                return Stored(self._file, self._path, header, self._start + first * self._row)
            key = range(first, last, step)
        indices = self._indices(key)
        rows = np.empty((indices.size, math.prod(self.shape[1:])), self.dtype)
        for row, index in zip(rows, (indices % len(self)).ravel().tolist(), strict=True):
            _fill(row, self._file, self._start + index * self._row, self._path)
        return rows.reshape(*indices.shape, *self.shape[1:])

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle only the path: a copy, or another process, opens the file again."""
        return _opened, (self._path, self._header, self._start)

    def _indices(self, key: ArrayLike) -> NDArray[np.integer]:
        """Return indices, or the indices that a mask selects, as an integer array."""
        indices = np.asarray(key)
        if not indices.size:  # NumPy gives an empty list the type float
            return indices.astype(int)
        if indices.dtype == bool and indices.shape == (len(self),):
            return np.flatnonzero(indices)
        if isinstance(key, tuple) or indices.dtype.kind not in "iu":
            expected = f"expected a slice, indices, or a mask of {len(self):,}; np.asarray reads all into an array"
            raise IndexError(f"{type(key).__name__} of {indices.dtype}, {indices.shape}; {expected}")
        if len(out := indices[(indices < -len(self)) | (indices >= len(self))]):
            raise IndexError(f"index {out[0]} of {len(self)}")
        return indices

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Read the whole array."""
        array: NDArray[Any] = np.empty(self.shape, self.dtype)
        _fill(array, self._file, self._start, self._path)
        return np.asarray(array, dtype)

    @property
    def _row(self) -> int:
        """The number of bytes of one element of the first dimension."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize


def read(path: str | os.PathLike[str], *, limit: int = GZIP_LIMIT) -> NDArray[Any] | Stored:
    """Read an IDX file, plain or gzipped, told apart by content.

    Returns a read-only array of the shape and type in the header, its elements big-endian as in the file; for a plain
    file with more than 2^28 bytes of elements, a ``Stored`` that reads them on demand. A gzipped file is unpacked into
    memory, up to the size in its header, which may be at most ``limit`` bytes.

    Raises:
        LeNet5Error: the file cannot be read, is not a regular file or is not exactly what its header says.
    """
    try:
        with open_regular(path, "an IDX file") as file:
            gzipped = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            return _unpack(file, path, limit) if gzipped else _read_plain(file, path)
    except OSError as problem:
        raise unreadable(path, problem) from problem


def read_images(path: str | os.PathLike[str]) -> NDArray[np.uint8] | Stored:
    """Read uint8 images of shape (n, rows, columns) as ``read`` does; anything else raises LeNet5Error."""
    return _read_kind(path, "images")


def read_labels(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Read uint8 labels of shape (n,) as ``read`` does; anything else raises LeNet5Error."""
    return np.asarray(_read_kind(path, "labels"))


def write(path: str | os.PathLike[str], array: ArrayLike) -> None:
    """Write an array as an IDX file, gzipped if the name ends in ``.gz``; the same array always gives the same bytes.

    The array is uint8, int8, int16, int32, float32 or float64, in any byte order and layout. The file appears whole or
    not at all, so an array read from ``path`` can be written back to it.

    Raises:
        LeNet5Error: the format cannot hold the array, or the file cannot be written.
    """
    array = np.asarray(array)
    header = _pack_header(path, array)
    elements = np.ascontiguousarray(array, array.dtype.newbyteorder(">")).data
    with replacing(path) as file, _packer(file, gzipped=str(path).endswith(".gz")) as stream:
        stream.write(header)
        stream.write(elements)


def _read_plain(file: IO[bytes], path: str | os.PathLike[str]) -> NDArray[Any] | Stored:
    header = _read_header(file, path)
    start = file.tell()
    following = os.fstat(file.fileno()).st_size - start
    if following != header.nbytes:
        raise _miscount(path, f"{following:,}", header)
    if header.nbytes > MEMORY_LIMIT and header.shape:
        return Stored(_Kept(os.dup(file.fileno())), path, header, start)
    array: NDArray[Any] = np.empty(header.shape, header.dtype)
    _fill(array, file, start, path)
    array.setflags(write=False)
    return array


def _opened(path: str | os.PathLike[str], header: _Header, start: int) -> Stored:
    """Open the file again for an array that was copied or unpickled."""
    with open_regular(path, "an IDX file") as file:
        return Stored(_Kept(os.dup(file.fileno())), path, header, start)


def _fill(array: NDArray[Any], file: IO[bytes], place: int, path: str | os.PathLike[str]) -> None:
    """Fill an array from a position in a file."""
    if not array.nbytes:
        return
    there = array.ravel().view(np.uint8).data
    try:
        done = 0
        while done < len(there):
            count = _read_at(file, there[done:], place + done)
            if not count:
                end = os.fstat(file.fileno()).st_size
                raise LeNet5Error(
                    f"{path}: ends at byte {end:,}, but had at least {place + len(there):,} bytes when it was opened;"
                    " it must not change while it is read"
                )
            done += count
    except OSError as problem:
        raise unreadable(path, problem) from problem


def _read_at(file: IO[bytes], part: memoryview, place: int) -> int:
    """Read at a position without moving the file's own, which other threads and forked processes share."""
    if hasattr(os, "preadv"):
        return os.preadv(file.fileno(), [part], place)
    with _POSITION:
        file.seek(place)
        count: int = file.readinto(part)  # type: ignore[attr-defined]  # the file has no buffer
        return count


def _unpack(file: IO[bytes], path: str | os.PathLike[str], limit: int) -> NDArray[Any]:
    try:
        with _Packed(file) as packed, gzip.GzipFile(fileobj=packed) as stream:  # type: ignore[arg-type]
            header = _read_header(stream, path)
            if header.nbytes > limit:
                raise LeNet5Error(
                    f"{path}: the header promises {header.nbytes:,} bytes, over the limit of {limit:,} for a gzipped"
                    " file; unpack it with gunzip, as plain files have no limit"
                )
            # Reading one byte more than promised detects trailing bytes, and has gzip check its CRC at the end.
            elements = bytearray()
            while chunk := stream.read(min(_CHUNK, header.nbytes + 1 - len(elements))):
                elements += chunk
    except EOFError:
        raise LeNet5Error(f"{path}: the gzip data is cut off before its end; get the file again") from None
    except _LongError:
        there = f"{path}: more than {_SINGLE:,} bytes of gzip header fields or trailing zeros"
        raise LeNet5Error(f"{there}; compress it again with gzip") from None
    except (gzip.BadGzipFile, zlib.error):
        raise LeNet5Error(f"{path}: the gzip data is damaged; get the file again") from None
    if len(elements) > header.nbytes:
        raise _miscount(path, f"more than {header.nbytes:,}", header)
    if len(elements) < header.nbytes:
        raise _miscount(path, f"{len(elements):,}", header)
    array = np.ndarray(header.shape, header.dtype, elements)
    array.setflags(write=False)
    return array


def _read_header(stream: IO[bytes] | gzip.GzipFile, path: str | os.PathLike[str]) -> _Header:
    """Read and check the header, and leave the stream at the first element."""
    start = stream.read(4)
    _demand_magic(path, start)
    code, ndim = start[2:]
    if code not in _TYPES:
        known = ", ".join(f"0x{known:02X} {name}" for known, name in _TYPES.items())
        raise LeNet5Error(f"{path}: element type 0x{code:02X}; IDX has {known}")
    if ndim > _MAX_NDIM:
        raise LeNet5Error(f"{path}: {ndim} dimensions; an array has at most {_MAX_NDIM}")
    sizes = stream.read(4 * ndim)
    if len(sizes) < 4 * ndim:
        raise _cut_header(path, 4 + len(sizes), 4 + 4 * ndim)
    header = _Header(np.dtype(_TYPES[code]).newbyteorder(">"), struct.unpack(f">{ndim}I", sizes))
    # NumPy bounds the sizes of an empty array too, as if it were not empty.
    if math.prod(size or 1 for size in header.shape) * header.dtype.itemsize > sys.maxsize:
        raise LeNet5Error(f"{path}: the header promises shape {header.shape}, more than an array can have")
    return header


def _demand_magic(path: str | os.PathLike[str], start: bytes) -> None:
    """Refuse a file whose first four bytes are not those of an IDX file."""
    if not start:
        raise LeNet5Error(f"{path}: empty; expected an IDX file")
    if any(start[:2]):
        likely = likeness(start)
        if likely == "gzip data":
            likely += ", compressed twice"
        found = f"looks like {likely}" if likely else f"begins with the bytes {start.hex(' ')}"
        raise LeNet5Error(f"{path}: {found}; expected an IDX file, which begins with 00 00")
    if len(start) < 4:
        raise _cut_header(path, len(start), 4)


def _cut_header(path: str | os.PathLike[str], found: int, expected: int) -> LeNet5Error:
    return LeNet5Error(f"{path}: cut off in the header, after {found} of its {expected:,} bytes; get the file again")


def _miscount(path: str | os.PathLike[str], following: str, header: _Header) -> LeNet5Error:
    return LeNet5Error(
        f"{path}: {following} bytes follow the header, which promises {header.nbytes:,} for shape {header.shape}"
    )


def _read_kind(path: str | os.PathLike[str], expected: str) -> NDArray[np.uint8] | Stored:
    array = read(path)
    kind = {3: "images", 1: "labels"}.get(array.ndim) if array.dtype == np.uint8 else None
    if kind == expected:
        return array
    found = f"{array.dtype.name} of shape {array.shape}"
    if kind:
        raise LeNet5Error(
            f"{path}: {kind}, {found}; expected {expected}, uint8 of shape {_SHAPES[expected]};"
            " the images and labels files may have been swapped"
        )
    raise LeNet5Error(f"{path}: {found}; expected {expected}, uint8 of shape {_SHAPES[expected]}")


def _pack_header(path: str | os.PathLike[str], array: NDArray[Any]) -> bytes:
    if array.dtype.name not in _CODES:
        raise LeNet5Error(f"{path}: {array.dtype.name} cannot be stored; IDX has {', '.join(_CODES)}")
    if max(array.shape, default=0) > 0xFFFFFFFF:
        raise LeNet5Error(f"{path}: shape {array.shape} cannot be stored; IDX has at most 4,294,967,295 per dimension")
    return struct.pack(f">2xBB{array.ndim}I", _CODES[array.dtype.name], array.ndim, *array.shape)


def _packer(file: IO[bytes], *, gzipped: bool) -> AbstractContextManager[IO[bytes] | gzip.GzipFile]:
    """Return the stream to write to; the gzip header holds no name and no time, so that the bytes are reproducible."""
    return gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) if gzipped else nullcontext(file)
