"""The IDX reader and writer: round trips, mapping, and each refusal with its whole message."""

import copy
import gzip
import os
import pickle
import struct
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from lenet5_cli.data import idx
from lenet5_cli.errors import LeNet5Error
from tests.conftest import named_pipe

TYPES = ("uint8", "int8", "int16", "int32", "float32", "float64")
ORDERED = [np.dtype(name).newbyteorder(order) for name in TYPES for order in "<>"]
SHAPES = array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)


def idx_bytes(code: int, shape: tuple[int, ...], elements: bytes) -> bytes:
    return struct.pack(f">2xBB{len(shape)}I", code, len(shape), *shape) + elements


GZIPPED = gzip.compress(idx_bytes(0x08, (300,), bytes(range(100)) * 3), mtime=0)


def refusal(path: Path, data: bytes, **options: int) -> str:
    """What reading the bytes says, after the path."""
    path.write_bytes(data)
    with pytest.raises(LeNet5Error) as refused:
        idx.read(path, **options)
    where, _, message = str(refused.value).partition(": ")
    assert where == str(path)
    return message


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("idx")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "digits"


# Round trips


@pytest.mark.parametrize("name", ["array", "array.gz"])
@given(array=st.sampled_from(ORDERED).flatmap(lambda dtype: arrays(dtype, SHAPES)))
def test_reading_gives_back_what_was_written(folder, name, array):
    idx.write(folder / name, array)
    back = idx.read(folder / name)
    assert back.shape == array.shape
    assert back.dtype == array.dtype.newbyteorder(">")
    assert back.tobytes() == array.astype(back.dtype).tobytes()
    assert not back.flags.writeable
    assert [entry.name for entry in folder.iterdir() if entry.name.endswith(".part")] == []


@pytest.mark.parametrize(
    ("dtype", "code", "elements"),
    [
        ("uint8", 0x08, "01 02 03"),
        ("int8", 0x09, "01 02 03"),
        ("int16", 0x0B, "0001 0002 0003"),
        ("int32", 0x0C, "00000001 00000002 00000003"),
        ("float32", 0x0D, "3f800000 40000000 40400000"),
        ("float64", 0x0E, "3ff0000000000000 4000000000000000 4008000000000000"),
    ],
)
def test_the_bytes_are_those_of_the_format(path, dtype, code, elements):
    idx.write(path, np.array([[1, 2, 3]], dtype))
    assert path.read_bytes() == bytes([0, 0, code, 2, 0, 0, 0, 1, 0, 0, 0, 3]) + bytes.fromhex(elements)


def test_the_content_and_not_the_name_tells_gzip(tmp_path):
    idx.write(tmp_path / "array.gz", np.arange(5, dtype=np.uint8))
    (tmp_path / "array.gz").rename(tmp_path / "array")
    assert idx.read(tmp_path / "array").tolist() == [0, 1, 2, 3, 4]


def test_gzip_bytes_are_the_same_each_time(tmp_path):
    for name in ("a.gz", "b.gz"):
        idx.write(tmp_path / name, np.arange(100, dtype=np.int16))
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    assert not any((tmp_path / "a.gz").read_bytes()[4:8])  # the time


def test_any_layout_is_written_in_index_order(path):
    idx.write(path, np.arange(6, dtype=np.int32).reshape(2, 3).T)
    assert idx.read(path).tolist() == [[0, 3], [1, 4], [2, 5]]


def test_an_array_can_be_written_back_to_its_file(path):
    idx.write(path, np.arange(10, dtype=np.uint8))
    idx.write(path, idx.read(path)[::2])
    assert idx.read(path).tolist() == [0, 2, 4, 6, 8]


def test_as_many_dimensions_as_numpy_has(path):
    idx.write(path, np.ones((1,) * 64, np.uint8))
    assert idx.read(path).shape == (1,) * 64


def test_images_and_labels(path):
    idx.write(path, np.zeros((0, 28, 28), np.uint8))
    assert idx.read_images(path).shape == (0, 28, 28)
    idx.write(path, np.array([3, 1, 4], np.uint8))
    assert idx.read_labels(path).tolist() == [3, 1, 4]


# Refusals


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty; expected an IDX file"),
        (b"\0\0\x08", "cut off in the header, after 3 of its 4 bytes; get the file again"),
        (b"\0\0\x08\x03\0\0\0\x05\0", "cut off in the header, after 9 of its 16 bytes; get the file again"),
        (b"\x12\0\x08\x01", "begins with the bytes 12 00 08 01; expected an IDX file, which begins with 00 00"),
        (b"\x89PNG\r\n", "looks like a PNG image; expected an IDX file, which begins with 00 00"),
        (b"PK\x03\x04rest", "looks like a zip archive; expected an IDX file, which begins with 00 00"),
        (b"<html>", "looks like a web page; expected an IDX file, which begins with 00 00"),
        (b"\x93NUMPY", "looks like a NumPy file; expected an IDX file, which begins with 00 00"),
        (b"version https", "looks like a Git LFS pointer; expected an IDX file, which begins with 00 00"),
        (
            b"\0\0\x0a\x01",
            "element type 0x0A; IDX has 0x08 uint8, 0x09 int8, 0x0B int16, 0x0C int32, 0x0D float32, 0x0E float64",
        ),
        (b"\0\0\x08\xff", "255 dimensions; an array has at most 64"),
        (
            idx_bytes(0x0E, (0, 2**32 - 1, 2**32 - 1), b""),
            "the header promises shape (0, 4294967295, 4294967295), more than an array can have",
        ),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_header_that_is_not_right(path, data, message, pack):
    assert refusal(path, pack(data)) == message


def test_too_few_bytes(path):
    message = "15,679 bytes follow the header, which promises 15,680 for shape (20, 28, 28)"
    data = idx_bytes(0x08, (20, 28, 28), bytes(15679))
    assert refusal(path, data) == message
    assert refusal(path, gzip.compress(data)) == message


def test_too_many_bytes(path):
    data = idx_bytes(0x0B, (3,), bytes(8))
    assert refusal(path, data) == "8 bytes follow the header, which promises 6 for shape (3,)"
    assert refusal(path, gzip.compress(data)) == (
        "more than 6 bytes follow the header, which promises 6 for shape (3,)"
    )


def test_a_gzip_bomb_stops_at_what_its_header_promises(path):
    bomb = gzip.compress(idx_bytes(0x08, (3,), bytes(10**7)))
    # The checksum at the end is wrong, and so far the reader never comes.
    assert refusal(path, bomb[:-8] + bytes(8)) == "more than 3 bytes follow the header, which promises 3 for shape (3,)"


def test_a_header_that_promises_more_than_the_limit(path):
    data = gzip.compress(idx_bytes(0x08, (5, 200), bytes(1000)))
    assert refusal(path, data, limit=999) == (
        "the header promises 1,000 bytes, over the limit of 999 for a gzipped file;"
        " unpack it with gunzip, as plain files have no limit"
    )
    assert idx.read(path, limit=1000).shape == (5, 200)
    path.write_bytes(gzip.decompress(data))
    assert idx.read(path, limit=999).shape == (5, 200)


def test_the_limit_holds_by_default(path):
    data = gzip.compress(idx_bytes(0x08, (2**16, 2**16), b""))
    assert refusal(path, data).startswith("the header promises 4,294,967,296 bytes, over the limit of 1,073,741,824")


@pytest.mark.parametrize("kept", [3, 15, -9, -1])
def test_gzip_data_cut_off(path, kept):
    assert refusal(path, GZIPPED[:kept]) == "the gzip data is cut off before its end; get the file again"


@pytest.mark.parametrize(
    "data",
    [
        GZIPPED[:-8] + bytes(4) + GZIPPED[-4:],  # the checksum
        GZIPPED[:-4] + bytes(4),  # the length
        GZIPPED[:10] + b"\xff" * 20,  # no such block
        GZIPPED + b"more",  # something behind
    ],
)
def test_gzip_data_that_is_damaged(path, data):
    assert refusal(path, data) == "the gzip data is damaged; get the file again"


ENDLESS = b"\x1f\x8b\x08\x08" + bytes(6) + b"a" * 10**6


@pytest.mark.parametrize("data", [ENDLESS, GZIPPED + ENDLESS, GZIPPED + bytes(10**6)])
def test_gzip_data_whose_name_or_padding_goes_on(path, data):
    """They are read a byte at a time."""
    said = "more than 65,536 bytes of gzip header fields or trailing zeros; compress it again with gzip"
    assert refusal(path, data) == said


def test_gzip_data_with_a_long_name_and_padding(path):
    path.write_bytes(GZIPPED[:3] + b"\x08" + GZIPPED[4:10] + b"a" * 30_000 + b"\0" + GZIPPED[10:] + bytes(30_000))
    assert idx.read(path).shape == (300,)


def test_gzip_data_compressed_twice(path):
    assert refusal(path, gzip.compress(gzip.compress(b"\0\0\x08\0\0"))) == (
        "looks like gzip data, compressed twice; expected an IDX file, which begins with 00 00"
    )


@given(
    data=st.one_of(
        st.binary(max_size=40),
        st.builds(
            lambda code, sizes, rest: idx_bytes(code, tuple(sizes), rest),
            st.integers(0, 15),
            st.lists(st.sampled_from([0, 1, 2, 255, 2**31, 2**32 - 1]), max_size=80),
            st.binary(max_size=8),
        ),
    ),
    pack=st.sampled_from([bytes, gzip.compress]),
    cut=st.integers(0, 3),
)
def test_whatever_the_bytes_reading_gives_an_array_or_a_message(folder, data, pack, cut):
    packed = pack(data)
    path = folder / "any"
    path.write_bytes(packed[: len(packed) - cut])
    with suppress(LeNet5Error):
        assert idx.read(path).nbytes <= len(data)


def test_what_is_no_regular_file(tmp_path):
    pipe = named_pipe(tmp_path / "pipe")
    for path, kind in {tmp_path: "a folder", pipe: "a pipe", "/dev/null": "a device or socket"}.items():
        with pytest.raises(LeNet5Error) as refused:
            idx.read(path)
        assert str(refused.value) == f"{path}: {kind}; expected an IDX file"


def test_a_link_to_a_file_is_followed(tmp_path):
    idx.write(tmp_path / "array", np.uint8(7))
    (tmp_path / "link").symlink_to("array")
    (tmp_path / "further").symlink_to("link")
    assert idx.read(tmp_path / "further") == 7


@pytest.mark.parametrize(
    ("target", "there"),
    [
        ("/dev/zero", "a symbolic link to /dev/zero, a device or socket"),
        ("pipe", "a symbolic link to pipe, a pipe"),
        ("folder", "a symbolic link to folder, a folder"),
        ("nowhere", "a symbolic link to nowhere, which does not exist"),
        ("link", "cannot be read: Too many levels of symbolic links"),
    ],
)
def test_a_link_to_anything_else_is_refused(tmp_path, target, there):
    named_pipe(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(LeNet5Error) as refused:
        idx.read(tmp_path / "link")
    assert str(refused.value) == f"{tmp_path / 'link'}: {there}; expected an IDX file"


def test_a_folder_may_be_a_link(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    idx.write(tmp_path / "folder" / "array", np.uint8(7))
    assert idx.read(tmp_path / "link" / "array") == 7


def test_a_missing_file(path):
    with pytest.raises(LeNet5Error) as refused:
        idx.read(path)
    assert str(refused.value) == f"{path}: no such file; expected an IDX file"


# Large files


@pytest.fixture
def stored(path, monkeypatch):
    """Return an array, and the same in a file too large for memory."""
    monkeypatch.setattr(idx, "MEMORY_LIMIT", 0)
    array = np.arange(40 * 6, dtype=np.uint8).reshape(40, 2, 3)
    idx.write(path, array)
    return array, idx.read_images(path)


def test_a_large_file_is_read_as_numpy_would_index_it(stored):
    array, back = stored
    assert isinstance(back, idx.Stored)
    assert (back.shape, back.ndim, len(back), back.dtype) == (array.shape, 3, 40, np.uint8)
    np.testing.assert_array_equal(np.asarray(back), array)
    np.testing.assert_array_equal(np.asarray(back, np.float32), array.astype(np.float32))
    assert back.__array__(np.float32).dtype == np.float32
    for expected in (0, -1, 7, np.int64(3), [3], [5, 1, 1, -2], np.array([], int), np.arange(40)[::-1]):
        np.testing.assert_array_equal(back[expected], array[expected])
    for piece in (slice(None), slice(5), slice(5, 9), slice(-3, None), slice(9, 5), slice(38, 99)):
        np.testing.assert_array_equal(np.asarray(back[piece]), array[piece])
        np.testing.assert_array_equal(np.asarray(back[10:30][piece]), array[10:30][piece])
        np.testing.assert_array_equal(back[10:30][[0, -1]], array[10:30][[0, -1]])
    for expected in (array[:, 0, 0] % 2 == 1, np.zeros(40, bool), [], np.array([[1, 2], [3, 4]]), np.uint8(7)):
        np.testing.assert_array_equal(back[expected], array[expected])
    for piece in (slice(None, None, 3), slice(30, 3, -4), slice(9, 5, 2)):
        np.testing.assert_array_equal(np.asarray(back[piece]), array[piece])
    for expected in (40, -41, [0, 40], [3, -41, 40]):
        with pytest.raises(IndexError, match=r"^index (40|-41) of 40$"):
            back[expected]
    for other in ((3, 1), (slice(3), 1), None, 1.5, "x", True, np.ones(39, bool), ...):
        with pytest.raises(IndexError, match=r"; expected a slice, indices, or a mask of 40; np.asarray reads"):
            back[other]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda back: pickle.loads(pickle.dumps(back))])
def test_a_copy_of_a_large_file_reads_the_same(stored, copied, path):
    array, back = stored
    np.testing.assert_array_equal(np.asarray(copied(back[10:30])), array[10:30])
    path.unlink()
    with pytest.raises(LeNet5Error, match=r": no such file; expected an IDX file$"):
        copied(back)


@pytest.mark.parametrize("placed", [True, False], ids=["at a place", "at the position"])
def test_threads_read_a_large_file_side_by_side(stored, placed, monkeypatch):
    if not placed:
        monkeypatch.delattr(os, "preadv", raising=False)
    array, back = stored

    def differing(first: int) -> int:
        part = slice(first, first + 9)
        return sum(not np.array_equal(np.asarray(back[part]), array[part]) for _ in range(500))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(differing, (0, 10, 20, 30))) == [0, 0, 0, 0]


@pytest.mark.parametrize("dtype", TYPES)
def test_a_large_file_of_any_type(dtype, path, monkeypatch):
    array = np.arange(12).astype(dtype)
    idx.write(path, array)
    monkeypatch.setattr(idx, "MEMORY_LIMIT", 0)
    back = idx.read(path)
    assert back.dtype == array.dtype.newbyteorder(">")
    np.testing.assert_array_equal(back[[3, 1]], array[[3, 1]])
    idx.write(path, back)
    np.testing.assert_array_equal(np.asarray(idx.read(path)), array)


def test_a_large_file_that_is_cut_short_meanwhile_is_told(stored, path):
    array, back = stored
    os.truncate(path, 16 + 100)  # sixteen images of six bytes, and four bytes
    np.testing.assert_array_equal(np.asarray(back[:16]), array[:16])
    for read, expected in (
        (lambda: back[[2, 16]], 118),
        (lambda: back[30], 202),
        (lambda: np.asarray(back[20:]), 256),
        (lambda: np.asarray(back), 256),
    ):
        with pytest.raises(LeNet5Error) as refused:
            read()
        assert str(refused.value) == (
            f"{path}: ends at byte 116, but had at least {expected} bytes when it was opened;"
            " it must not change while it is read"
        )


def test_a_large_file_that_is_replaced_meanwhile_stays_what_it_was(stored, path):
    array, back = stored
    idx.write(path, np.zeros((1, 2, 3), np.uint8))
    np.testing.assert_array_equal(np.asarray(back), array)


def test_an_unreadable_file(path, monkeypatch):
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    path.touch()
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(LeNet5Error) as refused:
        idx.read(path)
    assert str(refused.value) == f"{path}: cannot be read: Permission denied; expected an IDX file"


@pytest.mark.parametrize(
    ("read", "array", "message"),
    [
        (
            idx.read_images,
            np.zeros(20, np.uint8),
            "labels, uint8 of shape (20,); expected images, uint8 of shape (n, rows, columns);"
            " the images and labels files may have been swapped",
        ),
        (
            idx.read_labels,
            np.zeros((20, 28, 28), np.uint8),
            "images, uint8 of shape (20, 28, 28); expected labels, uint8 of shape (n,);"
            " the images and labels files may have been swapped",
        ),
        (
            idx.read_images,
            np.zeros((2, 28, 28), np.float32),
            "float32 of shape (2, 28, 28); expected images, uint8 of shape (n, rows, columns)",
        ),
        (
            idx.read_labels,
            np.zeros((3, 4), np.uint8),
            "uint8 of shape (3, 4); expected labels, uint8 of shape (n,)",
        ),
    ],
)
def test_the_other_kind_of_file(path, read, array, message):
    idx.write(path, array)
    with pytest.raises(LeNet5Error) as refused:
        read(path)
    assert str(refused.value) == f"{path}: {message}"


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (
            np.zeros(3, np.int64),
            "int64 cannot be stored; IDX has uint8, int8, int16, int32, float32, float64",
        ),
        (
            np.array(["a"], object),
            "object cannot be stored; IDX has uint8, int8, int16, int32, float32, float64",
        ),
        (
            np.broadcast_to(np.uint8(0), (2**32,)),
            "shape (4294967296,) cannot be stored; IDX has at most 4,294,967,295 per dimension",
        ),
    ],
)
def test_what_cannot_be_stored(path, array, message):
    with pytest.raises(LeNet5Error) as refused:
        idx.write(path, array)
    assert str(refused.value) == f"{path}: {message}"
    assert not path.exists()


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(path, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    idx.write(path, np.uint8(1))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fail)
        with pytest.raises(LeNet5Error) as refused:
            idx.write(path, np.uint8(2))
    assert str(refused.value) == f"{path}: cannot be written: No space left on device"
    assert list(path.parent.iterdir()) == [path]
    assert idx.read(path) == 1


def test_limits_are_what_may_just_be(path, monkeypatch):
    monkeypatch.setattr(idx, "MEMORY_LIMIT", 6)
    for count, kind in ((6, np.ndarray), (7, idx.Stored)):
        idx.write(path, np.zeros(count, np.uint8))
        assert type(idx.read(path)) is kind
    largest = np.broadcast_to(np.uint8(0), (2**32 - 1,))
    assert idx._pack_header(path, largest) == b"\0\0\x08\x01\xff\xff\xff\xff"
