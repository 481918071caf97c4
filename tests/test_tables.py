"""CSV and .npz files of images."""

import gzip
import io
import os
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lenet5_cli.data import sources, tables
from lenet5_cli.errors import LeNet5Error
from tests.conftest import bars

DATA = bars(40)


def csv(*, header: bool = True, images: np.ndarray = DATA.images, labels: Any = DATA.labels) -> str:
    names = ",".join(["label", *(f"pixel{at}" for at in range(784))])
    lines = [f"{label},{','.join(map(str, image.ravel()))}" for label, image in zip(labels, images, strict=True)]
    return "\n".join([names, *lines] if header else lines) + "\n"


def refusal(path: str, split: str = "train") -> str:
    with pytest.raises(LeNet5Error) as refused:
        sources.load(path, split)
    return str(refused.value)


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_csv_with_and_without_a_line_of_names(header: bool, end: str) -> None:
    Path("own.csv").write_text(csv(header=header).replace("\n", end), newline="")
    train, test = (sources.load("own.csv", split) for split in ("train", "test"))
    for split in (train, test):
        lines = [int(place.removeprefix("own.csv: line ")) - 1 - header for place in split.places]
        np.testing.assert_array_equal(split.images, DATA.images[lines])
        np.testing.assert_array_equal(split.labels, DATA.labels[lines])
    assert len(train.labels) + len(test.labels) == 40
    assert len(test.labels) > 0
    Path("own.csv").write_text(csv(labels=["A", *"0123456789" * 3, *"012345678"]))
    assert refusal("own.csv").startswith("own.csv: line 2: class A is not in the glyph sheet; expected one of 0, 1, 2,")


@pytest.mark.parametrize("line", ["sep=,\n", "\ufeffsep=,\r\n", '"SEP=,"\n'])
@pytest.mark.parametrize("header", [True, False])
def test_the_separator_before_a_csv_file_is_passed_over(line: str, header: bool) -> None:
    """As a file begins that is made for Excel, which reads from it what stands between columns."""
    Path("own.csv").write_text(line + csv(header=header), encoding="utf-8", newline="")
    found = tables.read_csv("own.csv")
    np.testing.assert_array_equal(found.images, DATA.images)
    assert (found.labels, found.first) == (list(map(str, DATA.labels)), 2 + header)


def test_columns_are_named_by_their_line_below_a_separator() -> None:
    names = ",".join([*(f"pixel{at + 1}" for at in range(784)), "class"])
    Path("own.csv").write_text(f"sep=,\n{names}\n{csv(header=False)}")
    there = "line 2: the columns are pixel1, pixel2, ..., class"
    assert refusal("own.csv") == f"own.csv: {there}; expected a label, then 28x28 pixels"
    Path("own.csv").write_text(f"sep=;\n{csv(header=False)}")
    there = "line 1: 1 column; expected 785: a label, then 28x28 pixels, with commas, not semicolons, between them"
    assert refusal("own.csv") == f"own.csv: {there}"


@pytest.mark.parametrize("first", [0, 1])
def test_columns_that_are_numbered_are_a_header(first: int) -> None:
    """As pandas writes an array; the refusal was of pixel 256."""
    numbers = ",".join(map(str, range(first, first + 784)))
    Path("own.csv").write_text(f"label,{numbers}\n{csv(header=False)}")
    assert len(sources.load("own.csv", "train", sources.LoadOptions(0.0)).labels) == len(DATA.labels)


@pytest.mark.parametrize("header", ["", ",".join(map(str, range(785))) + "\n"])
def test_labels_in_the_last_column(header: str) -> None:
    """As the first pixel is 0 in most images, all would be of class 0."""
    images = DATA.images.reshape(-1, 784).copy()
    images[:, 0] = 0
    rows = zip(images, DATA.labels, strict=True)
    Path("own.csv").write_text(header + "".join(f"{','.join(map(str, image))},{label}\n" for image, label in rows))
    there = "the first column holds only 0, the last one 10 values, 0 to 9; expected the labels in the first column"
    advice = "move them there; if that column is the label, put the line label,1,2,...,784 first"
    assert refusal("own.csv") == f"own.csv: {there}; {advice}"


def test_a_folder_of_csv_files_is_no_data() -> None:
    Path("own").mkdir()
    for name in ("own/train.csv", "own/test.CSV", "own/notes.txt"):
        Path(name).write_text(csv())
    there = "no IDX files in this folder and no folder of pictures for each class, but test.CSV"
    assert refusal("own") == f"own: {there}; name the file, such as own/test.CSV"


def test_a_csv_file_of_one_class() -> None:
    images = DATA.images.copy()
    images[:, -1, -1] = 0
    Path("own.csv").write_text(csv(header=False, images=images, labels=[3] * 40))
    assert set(tables.read_csv("own.csv").labels) == {"3"}
    images[:2, -1, -1] = 1, 128  # no label is as large
    Path("own.csv").write_text(csv(header=False, images=images, labels=[3] * 40))
    assert set(tables.read_csv("own.csv").labels) == {"3"}
    images[1, -1, -1] = 127
    line = f"label,{','.join(map(str, range(1, 785)))}\n"
    Path("own.csv").write_text(line + csv(header=False, images=images, labels=[3] * 40))
    assert set(tables.read_csv("own.csv").labels) == {"3"}


def test_equal_images_of_a_csv_file_are_on_one_side() -> None:
    Path("own.csv").write_text(csv(images=DATA.images[[3] * 40]))
    counts = []
    for split in ("train", "test"):
        try:
            counts.append(len(sources.load("own.csv", split).labels))
        except LeNet5Error as error:
            advice = "give another fraction, or more images"
            there = f"none of 40 images is in the {split} split at a test_fraction of 0.2"
            assert str(error) == f"own.csv: {there}; {advice}"  # noqa: PT017
    assert counts == [40]


@pytest.mark.parametrize(
    ("line", "there"),
    [
        ("3,4", ": 2 columns; expected 785: a label, then 28x28 pixels"),
        ("3,4,5", ": 3 columns; expected 785: a label, then 28x28 pixels"),
        ("\n\n3" + ",0" * 784, ": 1 column; expected 785: a label, then 28x28 pixels"),
        (
            "3" + ";0" * 784,
            ": 1 column; expected 785: a label, then 28x28 pixels, with commas, not semicolons, between them",
        ),
        ("3\t4", ": 1 column; expected 785: a label, then 28x28 pixels, with commas, not tabs, between them"),
        ("3" + ",0" * 783 + ",256", ", column 785: '256'; expected a pixel, an integer from 0 to 255"),
        ("3,-1" + ",0" * 783, ", column 2: '-1'; expected a pixel, an integer from 0 to 255"),
        ("3,0.5" + ",0" * 783, ", column 2: '0.5'; expected a pixel, an integer from 0 to 255"),
        ("3,,0" + ",0" * 782, ", column 2: ''; expected a pixel, an integer from 0 to 255"),
        ("3" + ",1\x1b" + ",0" * 783, ", column 2: '1\\x1b'; expected a pixel, an integer from 0 to 255"),
        ("3," + "0" * 40000, ": more than 32,768 bytes; expected a label and 784 pixels"),
        ("\udcff" + ",0" * 784, ": byte 0xff of its label is not UTF-8"),
        ('""' + ",0" * 784, ": no label before the first comma; expected the name of a class"),
    ],
)
def test_a_line_of_another_form_is_named(line: str, there: str) -> None:
    Path("own.csv").write_text(csv() + line + "\n", errors="surrogateescape")
    assert refusal("own.csv") == f"own.csv: line 42{there}"


@pytest.mark.parametrize("end", ["\n", "\r\n\r\n", " \n\t", "\n" * 2500])
def test_blank_lines_at_the_end_are_passed_over(end: str) -> None:
    Path("own.csv").write_text(csv() + end, newline="")
    found = tables.read_csv("own.csv")
    np.testing.assert_array_equal(found.images, DATA.images)
    assert found.labels == [str(label) for label in DATA.labels]


def test_labels_lose_a_byte_order_mark_blanks_and_quotes_and_no_letter() -> None:
    rows = [f"{label}" + ",0" * 784 for label in ('"X"', " 7 ", "XX")]
    Path("own.csv").write_text("\n".join(rows), encoding="utf-8-sig")
    assert tables.read_csv("own.csv").labels == ["X", "7", "XX"]


def test_pixels_between_any_blanks_are_bytes() -> None:
    """NumPy takes a carriage return within a line for its end: such lines are read by our own rule."""
    Path("own.csv").write_bytes(b"3,\t1\r, 255 " + b",7" * 782)
    images = tables.read_csv("own.csv").images
    assert images.dtype == np.uint8
    assert images.ravel().tolist() == [1, 255, *[7] * 782]


def test_a_csv_file_that_cannot_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("own.csv").write_text(csv())

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refuse)
        message = refusal("own.csv")
    assert message == "own.csv: cannot be read: Permission denied; expected a CSV file"


@pytest.mark.parametrize(
    ("content", "there"),
    [
        (b"", "no images; expected a CSV file of labels and pixels"),
        (b"\n \n", "no images; expected a CSV file of labels and pixels"),
        (b"PK\x03\x04....", "looks like a zip archive; expected a CSV file of labels and pixels"),
        (gzip.compress(b"1,2", mtime=0), "looks like gzip data; expected a CSV file of labels and pixels"),
        (b",".join([b"pixel"] * 784), "line 1: 784 columns; expected 785: a label, then 28x28 pixels"),
    ],
)  # fmt: skip
def test_what_is_not_such_a_csv_file(content: bytes, there: str) -> None:
    Path("own.csv").write_bytes(content)
    assert refusal("own.csv") == f"own.csv: {there}"


# .npz


def keras(**changes: Any) -> dict[str, Any]:
    arrays = {"x_train": DATA.images, "y_train": DATA.labels, "x_test": DATA.images[:7], "y_test": DATA.labels[:7]}
    return {name: array for name, array in (arrays | changes).items() if array is not None}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (DATA.images, DATA.labels),
        (DATA.images.reshape(40, 784).astype(np.int64), DATA.labels.astype(np.int32)),
        ((DATA.images / 255).astype(np.float32)[..., None], DATA.labels[:, None]),
        (np.asfortranarray(DATA.images), DATA.labels.astype(str)),
    ],
)
def test_npz_of_every_form(save: Any, images: np.ndarray, labels: np.ndarray) -> None:
    save("own.npz", **keras(x_train=images, y_train=labels))
    train, test = (sources.load("own.npz", split) for split in ("train", "test"))
    np.testing.assert_array_equal(train.images, DATA.images)
    np.testing.assert_array_equal(train.labels, DATA.labels)
    np.testing.assert_array_equal(test.images, DATA.images[:7])


def test_npz_without_a_test_split_is_split() -> None:
    np.savez("own.npz", **keras(x_test=None, y_test=None))
    counts = [len(sources.load("own.npz", split).labels) for split in ("train", "test")]
    assert sum(counts) == 40
    assert min(counts) > 0
    np.savez("own.npz", **keras(x_test=None, y_test=None, y_train=np.full(40, 10)))
    there = "y_train: label 0, counted from 0: class 10 is not in the glyph sheet"
    assert refusal("own.npz", "test") == f"own.npz: {there}; {TEN}"


LABELS = "labels, integers or text of shape (n,)"
IMAGES = "images, numbers of shape (n, 28, 28)"
OBJECTS = "x_train: an array of objects, whose pickle could run code; expected numbers or text"
TEN = "expected one of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9; set glyphs to train with another sheet"
HOW = "an .npz file with x_train and y_train, with or without x_test and y_test"


@pytest.mark.parametrize(
    ("arrays", "there"),
    [
        (keras(y_train=None), f"has the arrays x_test, x_train, y_test, but no y_train; expected {HOW}"),
        (keras(x_train=np.array([{}] * 40, object)), OBJECTS),
        (keras(x_train=DATA.images[:39]), "39 images, but 40 labels; expected the same number"),
        (keras(x_train=np.zeros((40, 8, 8))), f"x_train: float64 of shape (40, 8, 8); expected {IMAGES}"),
        (keras(x_train=np.full((40, 784), np.nan)), "x_train: float64 from nan to nan; expected floats from 0 to 1"),
        (keras(x_train=np.full((40, 784), 256)), "x_train: int64 from 256 to 256; expected integers from 0 to 255"),
        (keras(y_train=np.zeros((40, 10))), f"y_train: float64 of shape (40, 10); expected {LABELS}"),
        (keras(y_train=np.zeros(40)), f"y_train: float64 of shape (40,); expected {LABELS}"),
        (keras(y_train=np.full(40, 2**31 - 1, np.uint32).view("U1")), "y_train: damaged: a label is not valid text"),
        (keras(y_train=np.array(39 * ["a"] + [""])),
         "y_train: label 39, counted from 0, is empty; expected the name of a class"),
        (keras(y_train=np.full(40, 10)),
         f"y_train: label 0, counted from 0: class 10 is not in the glyph sheet; {TEN}"),
    ],
)  # fmt: skip
def test_arrays_of_another_form(arrays: dict[str, Any], there: str) -> None:
    np.savez("own.npz", **arrays)
    assert refusal("own.npz") == f"own.npz: {there}"


def archive(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as held:
        for name, content in members.items():
            held.writestr(f"{name}.npy", content)
    return file.getvalue()


def header(shape: tuple[int, ...]) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"shape": shape, "fortran_order": False, "descr": "|u1"})
    return file.getvalue()


def test_a_zip_bomb_takes_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    count = 30_000
    bomb = header((count, 28, 28)) + bytes(count * 784)
    Path("own.npz").write_bytes(archive(x_train=bomb, y_train=bomb))
    assert Path("own.npz").stat().st_size < 100_000
    monkeypatch.setattr(tables, "LIMIT", 2**20)
    tracemalloc.start()
    message = refusal("own.npz")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert message == f"own.npz: x_train: would be {len(bomb):,} bytes unpacked; the limit is 1,048,576"
    assert peak < 2**20


@pytest.mark.parametrize(
    ("read", "there"),
    [
        (tables.labels_of, "own.npz: y_train: 1,000,000 labels; expected at most 1,337"),
        (
            lambda path: tables.read_npz(path, "train"),
            "own.npz: 2 images, but 1,000,000 labels; expected the same number",
        ),
    ],
)
def test_more_labels_than_images_may_be_are_not_unpacked_into_texts(
    read: Any, there: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez_compressed("own.npz", x_train=DATA.images[:2], y_train=np.zeros(1_000_000, np.uint8))
    monkeypatch.setattr(tables, "LIMIT", 2**20)
    tracemalloc.start()
    with pytest.raises(LeNet5Error) as refused:
        read("own.npz")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert str(refused.value) == there
    assert peak < 2**22


def test_as_many_labels_as_images_may_be_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez("own.npz", y_train=np.arange(4))
    monkeypatch.setattr(tables, "LIMIT", 4 * 784)
    monkeypatch.setattr(tables, "_check_directory", lambda *_: None)  # whose limit is a thousandth of this one
    assert tables.labels_of("own.npz") == set("0123")


def test_a_line_without_an_end_is_read_no_further_than_a_line_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_LINES", 1)
    Path("own.csv").write_bytes(b"3," + b"0" * 2**22)
    tracemalloc.start()
    with pytest.raises(LeNet5Error) as refused:
        tables.read_csv("own.csv")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert str(refused.value) == "own.csv: line 1: more than 32,768 bytes; expected a label and 784 pixels"
    assert peak < 2**20


def test_images_of_an_archive_are_converted_some_at_a_time_and_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez("own.npz", x_train=DATA.images, y_train=DATA.labels, x_test=DATA.images, y_test=DATA.labels)
    converted, grey = [], tables._grey

    def noted(where: str, x: np.ndarray) -> np.ndarray:
        converted.append(len(x))
        return grey(where, x)

    monkeypatch.setattr(tables, "_CHUNK", 15)
    monkeypatch.setattr(tables, "_grey", noted)
    np.testing.assert_array_equal(sources.load("own.npz", "train").images, DATA.images)
    assert converted == [15, 15, 10]


def test_a_size_that_the_header_does_not_promise() -> None:
    Path("own.npz").write_bytes(archive(x_train=header((10**6, 28, 28)) + bytes(784), y_train=b""))
    assert refusal("own.npz") == (
        "own.npz: x_train: 784 bytes follow the header, which promises 784,000,000 for (1000000, 28, 28)"
    )
    whole = bytearray(archive(x_train=header((2, 28, 28)) + bytes(2 * 784), y_train=header((2,)) + bytes(2)))
    place = whole.index(b"PK\1\2")
    size = struct.unpack_from("<L", whole, place + 24)[0]
    struct.pack_into("<L", whole, place + 24, size + 784)  # the directory's word against the contents
    Path("own.npz").write_bytes(whole)
    assert refusal("own.npz").startswith("own.npz: x_train: 2,352 bytes follow the header, which promises 1,568")


@pytest.mark.parametrize(
    ("content", "there"),
    [
        (b"", "not a complete zip file"),
        (b"PK\3\4", "not a complete zip file"),
        (b"PK\5\6" + bytes(17), "not a complete zip file"),
        (b"\x93NUMPY", "looks like a NumPy file"),
        (b"PK\5\6" + struct.pack("<4H2LH", 0, 0, 5000, 5000, 0, 0, 0), "5,000 files in it"),
        (b"PK\6\7" + bytes(16) + b"PK\5\6" + bytes(18), "a Zip64 file"),
    ],
)
def test_what_is_not_such_an_archive(content: bytes, there: str) -> None:
    Path("own.npz").write_bytes(content)
    assert refusal("own.npz") == f"own.npz: {there}; expected {HOW}"


@given(st.lists(st.tuples(st.integers(0, 9), st.binary(min_size=784, max_size=784)), min_size=1, max_size=4))
def test_a_csv_file_holds_what_was_written(rows: list[tuple[int, bytes]]) -> None:
    labels = [label for label, _ in rows]
    images = np.array([np.frombuffer(pixels, np.uint8) for _, pixels in rows]).reshape(-1, 28, 28)
    Path("some.csv").write_text(csv(images=images, labels=labels))
    read = tables.read_csv("some.csv")
    np.testing.assert_array_equal(read.images, images)
    assert read.labels == list(map(str, labels))


@pytest.mark.parametrize(
    ("content", "there"),
    [
        (csv(images=DATA.images[:0], labels=[]).encode(), "no images; expected a CSV file of labels and pixels"),
        (b"1,2\0", "looks like binary data; expected a CSV file of labels and pixels"),
        (csv(images=DATA.images[:4], labels="0123").encode(), "line 6: more than 3 images; split the file"),
    ],
)
def test_a_csv_file_of_no_images_or_too_many_or_of_bytes(
    content: bytes, there: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "LIMIT", 3 * 784)
    Path("own.csv").write_bytes(content)
    assert refusal("own.csv") == f"own.csv: {there}"


def test_a_csv_file_of_as_many_images_as_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read a few lines at a time, the first as long as a line may be, and the last without an end."""
    monkeypatch.setattr(tables, "LIMIT", 4 * 784)
    monkeypatch.setattr(tables, "_LINES", 2)
    images = np.full((4, 28, 28), 255, np.uint8)
    content = csv(images=images, labels="1234")
    monkeypatch.setattr(tables, "_LINE", content.index("\n") + 1)
    Path("own.csv").write_text(content[:-1])
    lines = tables.read_csv("own.csv")
    assert (lines.labels, lines.first, lines.images.shape) == (["1", "2", "3", "4"], 2, (4, 28, 28))


@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_a_line_that_is_wrong_is_named_wherever_it_stands(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_LINES", 2)
    for names in (True, False):
        lines = csv(images=DATA.images[:4], labels="0123", header=names).splitlines()
        at = place + names
        for wrong, there in (
            (lines[at] + ",0", ": 786 columns; expected 785: a label, then 28x28 pixels"),
            (
                lines[at][: lines[at].rindex(",")] + ",1000",
                ", column 785: '1000'; expected a pixel, an integer from 0 to 255",
            ),
        ):
            Path("own.csv").write_text("\n".join([*lines[:at], wrong, *lines[at + 1 :]]))
            assert refusal("own.csv") == f"own.csv: line {at + 1}{there}"


@pytest.mark.parametrize(
    ("array", "there"),
    [
        (np.zeros((40, 28, 28), np.complex64), f"x_train: complex64 of shape (40, 28, 28); expected {IMAGES}"),
        (np.zeros((40, 28, 28, 3), np.uint8), f"x_train: uint8 of shape (40, 28, 28, 3); expected {IMAGES}"),
        (np.full((40, 784), 1.5, np.float32), "x_train: float32 from 1.5 to 1.5; expected floats from 0 to 1"),
        (np.full((40, 784), 1 / 256), "x_train: float64 from 0.00390625 to 0.00390625; expected 1 for white"),
        (np.full((40, 784), -1), "x_train: int64 from -1 to -1; expected integers from 0 to 255"),
        (np.zeros((0, 784), np.uint8), "x_train: empty, of shape (0, 784); expected images and their labels"),
    ],
)
def test_images_of_an_archive_of_another_form(array: np.ndarray, there: str) -> None:
    np.savez("own.npz", **keras(x_train=array))
    assert refusal("own.npz") == f"own.npz: {there}"


def test_images_of_an_archive_may_be_truths_and_labels_columns() -> None:
    np.savez("own.npz", **keras(x_train=DATA.images > 100, y_train=DATA.labels[:, None].astype("U1")))
    table, apart = tables.read_npz("own.npz", "train")
    assert apart
    np.testing.assert_array_equal(table.images, np.where(DATA.images > 100, 255, 0))
    assert table.labels == [str(label) for label in DATA.labels]


def test_an_archive_that_is_encrypted_damaged_or_empty() -> None:
    whole = bytearray(archive(**{name: header((1,)) + b"\0" for name in ("x_train", "y_train")}))
    for place, value, there in (
        (8, 1, "x_train: encrypted, or compressed in a way that NumPy does not use"),  # the flags
        (10, 12, "x_train: encrypted, or compressed in a way that NumPy does not use"),  # bzip2
        (0, 0, "damaged: Bad magic number for central directory"),
    ):
        forged = bytearray(whole)
        forged[whole.index(b"PK\1\2") + place] = value
        Path("own.npz").write_bytes(forged)
        assert refusal("own.npz") == f"own.npz: {there}"
    Path("own.npz").write_bytes(archive())
    assert refusal("own.npz") == f"own.npz: has no arrays; expected {HOW}"


def test_an_archive_may_end_in_the_longest_comment() -> None:
    np.savez("own.npz", **keras())
    with zipfile.ZipFile("own.npz", "a") as held:
        held.comment = bytes(2**16 - 1)
    assert tables.read_npz("own.npz", "train")[0].labels == [str(label) for label in DATA.labels]


@pytest.mark.parametrize(
    ("members", "length", "refused"), [(1000, 2**20, False), (1001, 9, True), (9, 2**20 + 1, True)]
)
def test_the_directory_of_an_archive_has_a_limit(members: int, length: int, refused: bool) -> None:
    Path("own.npz").write_bytes(b"PK\5\6" + struct.pack("<4H2LH", 0, 0, members, members, length, 0, 0))
    there = refusal("own.npz")
    assert (there == f"own.npz: {members:,} files in it; expected {HOW}") == refused


def test_a_line_that_is_right_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_row", lambda *_: pytest.fail("read again"))
    for count in (1, 2):
        Path("own.csv").write_text(csv(images=DATA.images[:count], labels="01"[:count]))
        np.testing.assert_array_equal(tables.read_csv("own.csv").images, DATA.images[:count])


def test_arrays_of_an_archive_may_be_as_large_as_they_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = header((2, 28, 28)) + bytes(2 * 784)
    Path("own.npz").write_bytes(archive(x_train=whole, y_train=header((2,)) + bytes(2)))
    monkeypatch.setattr(tables, "LIMIT", len(whole))
    monkeypatch.setattr(tables, "_MEMBERS", 2)
    monkeypatch.setattr(tables, "_check_directory", lambda *_: None)  # whose limit is a thousandth of this one
    assert len(tables.read_npz("own.npz", "train")[0].images) == 2


def test_labels_are_all_names_or_all_places() -> None:
    """Each was told by itself, so that 0 and 1 became one class; and each split by its own labels."""
    names = ("1", "2", "3")
    Path("own.csv").write_text(csv(labels=np.arange(40) % 3))
    np.savez("own.npz", x_train=DATA.images, y_train=np.arange(40) % 3, x_test=DATA.images, y_test=np.arange(40) % 2)
    for source in ("own.csv", "own.npz"):
        train = sources.load(source, "train", sources.LoadOptions(0.0, names=names))
        assert train.labels.tolist() == [0, 1, 2] * 13 + [0]
    assert sources.load("own.npz", "test", sources.LoadOptions(names=names)).labels.tolist() == [0, 1] * 20
    np.savez("ten.npz", x_train=DATA.images, y_train=np.arange(40) % 10, x_test=DATA.images, y_test=np.arange(40) % 9)
    how = sources.LoadOptions(names=[*"123456789", "X"])
    assert sources.load("ten.npz", "test", how).labels.tolist() == (np.arange(40) % 9).tolist()
    assert sources.load("ten.npz", "train", how).labels.tolist() == (np.arange(40) % 10).tolist()


def test_labels_of_other_scripts_are_whole() -> None:
    """A mark at the start of a file was taken off byte by byte, also where it is part of a letter."""
    names = ("λ", "ο", "п", "Ż", "１")
    Path("own.csv").write_text(csv(header=False, labels=list(names) * 8), encoding="utf-8-sig")
    found = sources.load("own.csv", "train", sources.LoadOptions(0.0, names=names))
    assert found.labels.tolist() == list(range(5)) * 8


def test_quotes_in_a_csv_file() -> None:
    """The first line in quotes, or with a decimal point, was taken for names."""
    rows = [line.split(",") for line in csv().splitlines()]
    Path("own.csv").write_text("".join(",".join(f'"{field}"' for field in row) + "\n" for row in rows))
    found = sources.load("own.csv", "train", sources.LoadOptions(0.0))
    np.testing.assert_array_equal(found.images, DATA.images)
    Path("own.csv").write_text(csv(header=False).replace(",", ".0,"))
    assert refusal("own.csv").startswith("own.csv: line 1, column 2: '18.0'; expected a pixel")


def test_a_file_that_changes_before_it_is_parsed_is_not_kept_as_what_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("own.csv").write_text(original := csv(header=False))
    parse = tables.read_csv

    def changed_and_parsed(path: str) -> tables.Lines:
        Path(path).write_text("\n".join(reversed(original.splitlines())))
        return parse(path)

    monkeypatch.setattr(tables, "read_csv", changed_and_parsed)
    sources.load("own.csv", "train")
    monkeypatch.setattr(tables, "read_csv", parse)
    Path("own.csv").write_text(original)
    Path("same.csv").write_text(original + "\n")  # which was not parsed before
    assert sources.load("own.csv", "train").sha256 == sources.load("same.csv", "train").sha256


def test_a_label_in_the_last_column_is_refused() -> None:
    names = ",".join([*(f"pixel{at + 1}" for at in range(784)), "class"])
    Path("own.csv").write_text(names + "\n" + csv(header=False))
    there = "own.csv: line 1: the columns are pixel1, pixel2, ..., class; expected a label, then 28x28 pixels"
    assert refusal("own.csv") == there


def test_white_that_is_1_is_refused() -> None:
    """As uint8, it was read as black."""
    np.savez("own.npz", x_train=DATA.images // 255, y_train=DATA.labels)
    Path("own.csv").write_text(csv(images=DATA.images // 255))
    for source, where in (("own.npz", "own.npz: x_train"), ("own.csv", "own.csv")):
        assert refusal(source) == f"{where}: pixels that are integers from 0 to 1; expected 0 to 255"
    np.savez("own.npz", x_train=DATA.images == 255, y_train=DATA.labels)
    found = sources.load("own.npz", "train", sources.LoadOptions(0.0))
    np.testing.assert_array_equal(found.images, 255 * (DATA.images == 255))
