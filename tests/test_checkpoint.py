"""The pickle store: both directions with the report's own code, and everything that is refused."""

import gzip
import hashlib
import os
import pickle
import struct
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lenet5_cli import LeNet5
from lenet5_cli.config import Config
from lenet5_cli.data import glyphs
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.storage import checkpoint
from lenet5_cli.storage.checkpoint import Checkpoint, Epoch
from tests.conftest import Calls, history, named_pipe

PAIRS = LeNet5(Config(seed=1)).pairs()
FULL = Checkpoint(
    PAIRS,
    glyphs.read(),
    {"epochs": 20, "lr": 0.5},
    history(2, validation_loss=0.25, validation_accuracy=0.5),
    {"name": "mnist", "sha256": "ab"},
    {"numpy": np.__version__},
)
DAMAGED = "damaged: its content does not match the stored SHA-256"


def same(pairs: list, others: list) -> bool:
    return all(
        np.array_equal(a, b) and a.dtype == b.dtype
        for pair, other in zip(pairs, others, strict=True)
        for a, b in zip(pair, other, strict=True)
    )


class Recorded:
    """An epoch with values that none has."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def record(self) -> dict[str, Any]:
        return FULL.history[0].record() | self.values


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    checkpoint.write(path, FULL)
    read = checkpoint.read(path)
    assert same(read.pairs, PAIRS)
    np.testing.assert_array_equal(read.sheet.codes, FULL.sheet.codes)
    assert (read.config, read.epoch, read.history) == (FULL.config, FULL.epoch, FULL.history)
    assert (read.data, read.versions) == (FULL.data, FULL.versions)
    assert [file.name for file in tmp_path.iterdir()] == ["model.pkl"]


def test_checkpoints_are_compared_by_identity() -> None:
    """Comparing two raised a ValueError of NumPy, about the truth value of an array."""
    assert FULL == FULL  # noqa: PLR0124 - it is the question
    assert replace(FULL) != FULL


def test_a_file_of_a_machine_of_the_other_byte_order_is_read(tmp_path: Path) -> None:
    """Its arrays are stored in its order; the digests are of the numbers."""
    swapped = [[value.astype(value.dtype.newbyteorder("S")) for value in pair] for pair in PAIRS]
    state = {"m": np.arange(3, dtype=PAIRS[0][0].dtype.newbyteorder("S"))}
    checkpoint.write(tmp_path / "model.pkl", replace(FULL, pairs=swapped, state=state))
    read = checkpoint.read(tmp_path / "model.pkl")
    assert same(read.pairs, PAIRS)
    assert read.state["m"].tolist() == [0, 1, 2]
    assert checkpoint.sha256_of(swapped) == checkpoint.sha256_of(PAIRS)
    assert checkpoint.sha256_of([[np.array([1], ">f4")]]) == hashlib.sha256(b"\0\0\x80\x3f").hexdigest()


def test_the_same_checkpoint_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        checkpoint.write(tmp_path / name, FULL)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_reports_load_reads_our_file(tmp_path: Path) -> None:
    """Seven items, the first six taken by index; weights of the shapes it computes with, and free to be changed."""
    path = tmp_path / "model.pkl"
    checkpoint.write(path, FULL)
    with path.open("rb") as file:
        params = pickle.load(file)
    assert same(params[:6], PAIRS)
    assert [param[0].shape for param in params[:6]] == [
        (6, 1, 5, 5), (6,), (16, 6, 5, 5), (16,), (120, 16, 5, 5), (120, 84),
    ]  # fmt: skip
    params[0][0] -= 1


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("order", ["C", "F"])
def test_we_read_what_the_reports_dump_wrote(order: str, protocol: int, tmp_path: Path) -> None:
    """Six pairs of float64, in every protocol: a later Python's default is another."""
    path = tmp_path / "report.pkl"
    params = [[np.asarray(value, np.float64, order=order) for value in pair] for pair in PAIRS]
    with path.open("wb+") as file:
        pickle.dump(params, file, protocol)
    read = checkpoint.read(path)
    assert same(read.pairs, params)
    assert read.sheet is None
    assert LeNet5.load(path).dtype == np.float64


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_what_we_write_is_read_in_every_protocol(protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "ours.pkl"
    with path.open("wb") as file:
        checkpoint._Pickler(file, protocol).dump(PAIRS)
    assert same(checkpoint.read(path).pairs, PAIRS)


def test_we_read_what_older_numpy_wrote(tmp_path: Path) -> None:
    path = tmp_path / "report.pkl"
    path.write_bytes(pickle.dumps(PAIRS, 4).replace(b"\x16numpy._core.multiarray", b"\x15numpy.core.multiarray"))
    assert b"numpy.core.multiarray" in path.read_bytes()
    assert same(checkpoint.read(path).pairs, PAIRS)


def refusal(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(LeNet5Error) as error:
        LeNet5.load(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


def changed(place: int, item: Any) -> bytes:
    items: list = [list(pair) for pair in PAIRS]
    items[place : place + 1] = item
    return pickle.dumps(items)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty; expected a checkpoint"),
        (pickle.dumps([1, 2]), "a pickle, but not a checkpoint; expected a list of [weight, bias] pairs"),
        (pickle.dumps({"a": 1}), "a pickle, but not a checkpoint; expected a list of [weight, bias] pairs"),
        (pickle.dumps(PAIRS) + b"x", "1 bytes follow the end of the pickle"),
        (changed(2, [7]), "c3: not a pair; expected [weight, bias]"),
        (changed(2, [[1, 2]]), "c3.weight: int; expected an array"),
        (changed(0, [[np.zeros((6, 1, 5, 4)), np.zeros(6)]]), "c1.weight: shape (6, 1, 5, 4); expected (6, 1, 5, 5)"),
        (changed(1, [[np.zeros(6), np.full(6, np.nan)]]), "s2.bias: holds NaN or infinity"),
        (changed(1, [[np.zeros(6, np.int32), np.zeros(6)]]), "numbers of type <i4; expected float32 or float64"),
        (changed(1, [[np.zeros(6, np.uint8), np.zeros(6)]]), "s2.weight: uint8 numbers; expected float32 or float64"),
        (changed(1, [[np.array([None] * 6), np.zeros(6)]]), "numbers of type |O8; expected float32 or float64"),
        (changed(6, [{"format": 99}]), "a checkpoint of another format; this lenet5 reads format 1"),
        (
            changed(6, [{"format": 1, "sha256": ""}]),
            "damaged: the glyphs are not (10, 84) zeros and ones",
        ),
        (
            pickle.dumps(Calls(print, "hello")),
            "it would call builtins.print; a checkpoint holds only arrays, numbers and strings; nothing was executed",
        ),
        (
            pickle.dumps(OrderedDict()),
            "it would call collections.OrderedDict; a checkpoint holds only arrays, numbers and strings; "
            "nothing was executed",
        ),
        (b"(ios\nsystem\n.", "byte 1 is the pickle operation INST, which no checkpoint needs"),
        (b"\x80\x04cnumpy\nndarray\n)\x81.", "byte 18 is the pickle operation NEWOBJ, which no checkpoint needs"),
        (b"]r\xff\xff\xff\x7f.", "damaged: memo entry 2,147,483,647, at byte 1"),
        (b"\x80\x04cnumpy\nndarray\n}b.", "it would change numpy.ndarray; nothing was executed"),
    ],
)
def test_refusals(content: bytes, message: str, tmp_path: Path) -> None:
    assert refusal(tmp_path / "model.pkl", content) == message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89PNG\r\n\x1a\n", "looks like a PNG image; expected a checkpoint"),
        (b"PK\x03\x04 weights.npy", "looks like a NumPy archive; expected a checkpoint"),
        (b"PK\x03\x04 archive/data.pkl", "looks like a PyTorch file; expected a checkpoint"),
        (pickle.dumps(0x1950A86A20F9469CFC6C, 2), "looks like a PyTorch file; expected a checkpoint"),
        (b"PK\x03\x04 letter.docx", "looks like a zip archive; expected a checkpoint"),
        (gzip.compress(pickle.dumps(PAIRS), mtime=0), "looks like gzip data; expected a checkpoint"),
        (b"\0\0\x08\x03\0\0", "looks like an IDX file; expected a checkpoint"),
        (b'{"epochs": 20}', "looks like JSON; expected a checkpoint"),
        ("hello, später\n".encode(), "looks like text; expected a checkpoint"),
        (b"\x01\x02\x03\x04\x05", "begins with the bytes 01 02 03 04, not a pickle; expected a checkpoint"),
        (b"\x80\x05.", "damaged: STOP at byte 2 needs a value that is not there"),
        (b"]", "cut off after 1 bytes; get the file again"),
        (b"](", "cut off after 2 bytes; get the file again"),
        (b"]\xff.", "damaged: byte 1, 0xff, is not a pickle operation"),
        (b"]Iseven\n.", "damaged: the pickle operation at byte 1 cannot be read"),
        (pickle.dumps(PAIRS)[:-1], f"cut off after {len(pickle.dumps(PAIRS)) - 1:,} bytes; get the file again"),
        (b"(" * 100_000 + b".", "damaged: STOP at byte 100,000 needs a value that is not there"),
    ],
)
def test_what_is_no_pickle_is_told(content: bytes, message: str, tmp_path: Path) -> None:
    assert refusal(tmp_path / "model.pkl", content) == message


@pytest.mark.parametrize("kept", range(1, 100, 7))
def test_a_file_cut_off_anywhere_is_told(kept: int, tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    checkpoint.write(path, FULL)
    message = refusal(path, path.read_bytes()[: kept * path.stat().st_size // 100])
    assert message.startswith("cut off")


def test_a_claimed_shape_allocates_nothing(tmp_path: Path) -> None:
    """An array of 10^15 numbers with 8 bytes of them in the file."""
    content = pickle.dumps([[Calls(np.ndarray, (10**15,), "<f8", b"12345678")] * 2] * 6)
    message = refusal(tmp_path / "model.pkl", content)
    assert message.startswith("damaged: 8 bytes for an array of f8 of shape (1000000000000000,), at byte ")


def test_values_nest_no_deeper_than_a_list_of_lists(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    for nested in ([[1]], {"a": {"b": 1}}):
        checkpoint.write(path, replace(FULL, config={**FULL.config, "other": nested}))
        assert checkpoint.read(path).config["other"] == nested
    for nested, place in (([[[1]]], "[0][0]"), ({"a": {"b": {}}}, ".a.b"), ([{"a": []}], "[0].a")):
        checkpoint.write(path, replace(FULL, config={**FULL.config, "other": nested}))
        kind = "dict" if place == ".a.b" else "list"
        expected = f"{path}: config.other{place}: {kind}; expected a number or a string"
        with pytest.raises(LeNet5Error) as refused:
            checkpoint.read(path)
        assert str(refused.value) == expected


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_beside_the_arrays_are_finite(tmp_path: Path, value: float) -> None:
    """Exported as JSON, they would be none."""
    path = tmp_path / "model.pkl"
    checkpoint.write(path, replace(FULL, versions={**FULL.versions, "other": value}))
    with pytest.raises(LeNet5Error) as refused:
        checkpoint.read(path)
    assert str(refused.value) == f"{path}: versions.other: {value}; expected a finite number"


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ({"config": dict.fromkeys(map(str, range(1001)))}, "config: 1,001 entries"),
        ({"data": {"name": "mnist", "other": [0] * 1001}}, "data: 1,003 entries"),
        ({"versions": {"numpy": {"2": dict.fromkeys(map(str, range(1002)))}}}, "versions: 1,004 entries"),
        ({"state": dict.fromkeys(map(str, range(1001)), np.zeros(1))}, "state: 1,001 entries"),
    ],
)
def test_no_run_writes_many_entries(tmp_path: Path, more: dict[str, Any], where: str) -> None:
    path = tmp_path / "model.pkl"
    checkpoint.write(path, replace(FULL, **more))
    with pytest.raises(LeNet5Error) as refused:
        checkpoint.read(path)
    assert str(refused.value) == f"{path}: {where}; expected at most 1,000"


def test_as_many_entries_as_there_may_be_are_read(tmp_path: Path) -> None:
    checkpoint.write(tmp_path / "model.pkl", replace(FULL, versions={"many": [0] * 999}, history=history(1001)))
    assert checkpoint.read(tmp_path / "model.pkl").epoch == 1001


def test_what_is_wrong_is_shown_short(tmp_path: Path) -> None:
    path, long = tmp_path / "model.pkl", ["x" * 4000] * 900
    start = f"['{'x' * 58}..."
    for more, said in (
        ({"data": {"name": long}}, f"data.name: {start}; expected a string"),
        ({"history": [Recorded({"loss": long})]}, f"history[0].loss: {start}; expected a finite number"),
        (
            {"history": [Recorded({"x" * 4000: 1})]},
            f"history[0]: '{'x' * 59}...; expected {', '.join(checkpoint._EPOCH)}",
        ),
    ):
        checkpoint.write(path, replace(FULL, **more))
        with pytest.raises(LeNet5Error) as refused:
            checkpoint.read(path)
        assert str(refused.value) == f"{path}: {said}"


def test_names_of_arrays_are_bounded_like_other_strings(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    checkpoint.write(path, replace(FULL, state={"mean": np.zeros(3), "m" * 4097: np.zeros(3)}))
    with pytest.raises(LeNet5Error) as refused:
        checkpoint.read(path)
    assert str(refused.value) == f"{path}: state[1]: a string of 4,097 characters; expected at most 4,096"


def test_every_flipped_bit_of_a_parameter_is_found(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    checkpoint.write(path, FULL)
    content = bytearray(path.read_bytes())
    place = content.index(PAIRS[2][0].tobytes()) + 1000
    content[place] ^= 1
    assert refusal(path, bytes(content)) == DAMAGED


def test_every_flipped_bit_of_the_record_is_found(tmp_path: Path) -> None:
    """Of a rate and of the history as well; the seconds alone are free to differ."""
    path = tmp_path / "model.pkl"
    checkpoint.write(path, replace(FULL, history=[Epoch(1, 2.5, 0.5, 0.5, 60, 3.75)]))
    content = path.read_bytes()
    for number, found in ((0.5, True), (2.5, True), (3.75, False)):
        place = content.index(struct.pack(">d", number)) + 5
        damaged = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        if found:
            assert refusal(path, damaged) == DAMAGED
        else:
            path.write_bytes(damaged)
            assert checkpoint.read(path).history[0].seconds != 3.75


@given(place=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255))
def test_damage_anywhere_is_a_message_or_harmless(
    place: float, bits: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.pkl"
    checkpoint.write(path, FULL)
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= bits
    path.write_bytes(content)
    try:
        read = checkpoint.read(path)
    except LeNet5Error as error:
        assert str(error).startswith(f"{path}: ")  # noqa: PT017 - it may as well not be raised
    else:
        assert same(read.pairs, PAIRS)
        assert (read.config, read.epoch, read.history, read.data) == (
            FULL.config, FULL.epoch, FULL.history, FULL.data,
        )  # fmt: skip
        assert np.array_equal(read.sheet.codes, FULL.sheet.codes)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(LeNet5Error, match=r"model.pkl: no such file; expected a checkpoint$"):
        checkpoint.read(tmp_path / "model.pkl")
    with pytest.raises(LeNet5Error, match=r": a folder; expected a checkpoint$"):
        checkpoint.read(tmp_path)
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(LeNet5Error, match=r"link: a symbolic link to nowhere, which does not exist; expected"):
        checkpoint.read(tmp_path / "link")
    with (tmp_path / "large.pkl").open("wb") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(LeNet5Error, match=r": 67,108,865 bytes; expected a checkpoint of at most 67,108,864$"):
        checkpoint.read(tmp_path / "large.pkl")
    pipe = named_pipe(tmp_path / "pipe")
    with pytest.raises(LeNet5Error, match=r"pipe: a pipe; expected a checkpoint$"):
        checkpoint.read(pipe)
    with pytest.raises(LeNet5Error, match=r"^/dev/null: a device or socket; expected a checkpoint$"):
        checkpoint.read("/dev/null")


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.pkl"
    checkpoint.write(path, FULL)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LeNet5Error, match=r"model.pkl: cannot be written: No space left on device$"):
        checkpoint.write(path, Checkpoint(LeNet5(Config(seed=2)).pairs(), FULL.sheet))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["model.pkl"]


def test_what_a_killed_run_left_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / ".model.pkl.part").write_bytes(b"half")
    checkpoint.write(tmp_path / "model.pkl", FULL)
    assert [file.name for file in tmp_path.iterdir()] == ["model.pkl"]


def test_the_bytes_do_not_depend_on_which_equal_values_are_the_same_object(tmp_path: Path) -> None:
    text, parts = "a text", ["a", " ", "text"]
    for name, texts in (("one", [text, text]), ("two", [text, "".join(parts)])):
        checkpoint.write(tmp_path / name, replace(FULL, config={**FULL.config, "other": texts}))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert (tmp_path / "one").read_bytes()[:2] == b"\x80\x05"  # the protocol that does not copy arrays


def test_a_text_is_known_though_a_letter_is_cut_where_it_is_no_longer_looked_at(tmp_path: Path) -> None:
    for letter in "äあ\U0001f600":
        content = ("n" * (1024 - len(letter.encode()) + 1) + 9 * letter).encode()
        assert refusal(tmp_path / "model.pkl", content) == "looks like text; expected a checkpoint"


@pytest.mark.parametrize("count", [1, 5, 33, 34])
def test_a_list_of_more_or_fewer_pairs(count: int, tmp_path: Path) -> None:
    content = pickle.dumps([[np.zeros((1, at + 1)), np.zeros(1)] for at in range(count)])
    said = f"{count} pairs [weight, bias]; expected 6, of c1 s2 c3 s4 c5 f6"
    if count > checkpoint.MAX_PAIRS + 1:
        said = "a pickle, but not a checkpoint; expected a list of [weight, bias] pairs"
    assert refusal(tmp_path / "model.pkl", content) == said


def test_a_text_may_be_as_long_as_a_text_may_be(tmp_path: Path) -> None:
    checkpoint.write(tmp_path / "model.pkl", replace(FULL, config={**FULL.config, "other": "x" * checkpoint.MAX_TEXT}))
    assert len(checkpoint.read(tmp_path / "model.pkl").config["other"]) == 4096
