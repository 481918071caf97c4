"""Damaged files: each gives what was in it, or a message."""

import gzip
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lenet5_cli import LeNet5, config
from lenet5_cli.data import glyphs, idx, sources, tables
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.storage import checkpoint
from tests.conftest import bars
from tests.fuzzing import damaged, edits, fuzz
from tests.test_safe_pickle import GOOD


def refused_or(read: Callable[[Path], object], path: Path, content: bytes) -> object | None:
    """Return what is read of a file, or None where it is refused by name."""
    path.write_bytes(content)
    try:
        return read(path)
    except LeNet5Error as error:
        assert str(error).startswith(f"{path}: ")  # noqa: PT017 - it may as well not be raised
        assert len(str(error)) < 2000  # noqa: PT017
        return None


@pytest.mark.parametrize("protocol", [None, 0, 2, 3, 5])
def test_checkpoints(protocol: int | None, tmp_path: Path) -> None:
    """Ours have a digest: what is read of a damaged one is what was written, but for the seconds."""
    import pickle

    path = tmp_path / "model.pkl"
    if protocol is None:
        state = {"velocity": np.ones(60900, np.float32)}
        checkpoint.write(path, replace(GOOD, state=state))
    else:
        path.write_bytes(pickle.dumps(GOOD.pairs, protocol))
    good = path.read_bytes()
    whole = checkpoint.read(path)

    def check(changes: list[tuple[str, float, bytes]]) -> None:
        read = refused_or(checkpoint.read, path, damaged(good, changes))
        if isinstance(read, checkpoint.Checkpoint):
            LeNet5.restore(read)
            if protocol is None:
                for one in (read, whole):
                    one.history = [replace(epoch, seconds=0) for epoch in one.history]
                assert str(read) == str(whole)

    fuzz(f"checkpoint, {'ours' if protocol is None else f'protocol {protocol}'}", check, 60, changes=edits)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_data(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    idx.write(path, bars(30).images)
    good = pack(path.read_bytes())

    def check(changes: list[tuple[str, float, bytes]]) -> None:
        content = damaged(good, changes)
        read = refused_or(idx.read_images, path, content)
        if isinstance(read, np.ndarray):
            assert read.ndim == 3
            assert read.nbytes <= 30 * 784

    fuzz(f"data, {'plain' if pack is bytes else 'gzip'}", check, 120, changes=edits)


def test_csv(tmp_path: Path) -> None:
    split = bars(3)
    path = tmp_path / "own.csv"
    rows = zip(split.labels, split.images.reshape(3, -1).tolist(), strict=True)
    good = "".join(f"{label},{','.join(map(str, pixels))}\n" for label, pixels in rows).encode()

    def check(changes: list[tuple[str, float, bytes]]) -> None:
        read = refused_or(tables.read_csv, path, damaged(good, changes))
        if isinstance(read, tables.Lines):
            assert read.images.shape == (len(read.labels), 28, 28)

    fuzz("data, CSV", check, 100, changes=edits)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(save: Callable[..., None], tmp_path: Path) -> None:
    split = bars(3)
    path = tmp_path / "own.npz"
    save(path, x_train=split.images, y_train=split.labels)
    good = path.read_bytes()

    def check(changes: list[tuple[str, float, bytes]]) -> None:
        read = refused_or(lambda path: tables.read_npz(path, "train"), path, damaged(good, changes))
        if isinstance(read, tuple):
            np.testing.assert_array_equal(read[0].images, split.images)  # the archive has a CRC

    fuzz(f"data, npz, {save.__name__}", check, 120, changes=edits)


@pytest.mark.parametrize("name", ["report.toml", "best.toml"])
def test_settings(name: str, tmp_path: Path) -> None:
    good = (config.shipped_folder("configs") / name).read_bytes()
    path = tmp_path / "mine.toml"

    def check(changes: list[tuple[str, float, bytes]]) -> None:
        read = refused_or(lambda path: config.read(str(path)), path, damaged(good, changes))
        if isinstance(read, dict):
            config.Config(**read)

    fuzz(f"settings, {name}", check, 100, changes=edits)


@pytest.mark.parametrize("name", ["letters.txt", "letters.png"])
def test_glyphs(name: str, tmp_path: Path) -> None:
    good = (glyphs.shipped_folder("glyphs") / name).read_bytes()
    path = tmp_path / name
    if name == "letters.png":
        glyphs.write(tmp_path / "letters.png", glyphs.read("letters"))

    def check(changes: list[tuple[str, float, bytes]]) -> None:
        read = refused_or(glyphs.read, path, damaged(good, changes))
        if isinstance(read, glyphs.Sheet):
            assert read.codes.shape == (len(read.names), 84)
            assert 2 <= len(set(read.names)) == len(read.names)

    fuzz(f"glyphs, {name}", check, 100, changes=edits)


@pytest.mark.parametrize(
    ("beside", "name"), [("names.txt", "train-labels-idx1-ubyte"), ("sheet.names.txt", "sheet.png")]
)
def test_names(beside: str, name: str, tmp_path: Path) -> None:
    """Names of classes beside IDX files and beside the image of a sheet."""
    sheet = glyphs.read("letters")
    good = "".join(f"{each}\n" for each in sheet.names).encode()
    if beside == "names.txt":
        for prefix in ("train", "t10k"):
            idx.write(tmp_path / f"{prefix}-images-idx3-ubyte", bars(30).images)
            idx.write(tmp_path / f"{prefix}-labels-idx1-ubyte", bars(30).labels)
    else:
        glyphs.write(tmp_path / name, sheet)

    def read() -> object:
        if beside == "names.txt":
            return sources.load(str(tmp_path), "train", sources.LoadOptions(names=sheet.names)).labels
        return glyphs.read(tmp_path / name)

    def check(changes: list[tuple[str, float, bytes]]) -> None:
        (tmp_path / beside).write_bytes(damaged(good, changes))
        try:
            found = read()
        except LeNet5Error as error:
            assert str(error).startswith(f"{tmp_path}/")  # noqa: PT017 - it may as well not be raised
            assert len(str(error)) < 2000  # noqa: PT017
            return
        if isinstance(found, glyphs.Sheet):
            assert 2 <= len(set(found.names)) == len(found.codes)
        else:
            assert isinstance(found, np.ndarray)
            assert found.max() < len(sheet.names)

    fuzz(f"names, {beside}", check, 100, changes=edits)
