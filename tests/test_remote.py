"""Data sets that are downloaded, from a local server with the publishers' layout."""

import gzip
import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from lenet5_cli.data import idx, remote, sources
from lenet5_cli.errors import LeNet5Error

IMAGES = (np.arange(30 * 784).reshape(30, 28, 28) % 251).astype(np.uint8)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    Path("published").mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory="published")) as served:
        thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{served.server_address[1]}/"
        served.shutdown()
        thread.join()


def packed(array: np.ndarray) -> bytes:
    idx.write("array", array)
    return gzip.compress(Path("array").read_bytes())


def labels(name: str) -> np.ndarray:
    data = remote.SETS[name]
    plain = data.first + np.arange(30) % data.classes
    if name != "qmnist":
        return plain.astype(np.uint8)
    extended = np.full((30, 8), 999, np.int32)
    extended[:, 0] = plain
    return extended


@pytest.fixture
def published(server: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """Publish small files in the layout of a data set, with their digests expected of the same kind as now."""
    name = request.param
    data = remote.SETS[name]
    files = {}
    for images_file, labels_file in data.splits.values():
        files |= {images_file: packed(IMAGES), labels_file: packed(labels(name))}
    if data.archive:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as held:
            for file, content in files.items():
                held.writestr(file, content)
        files = {data.archive: archive.getvalue()}
    digests = {}
    for file, content in files.items():
        Path("published", file).write_bytes(content)
        kind = "md5" if data.digests[file].startswith("md5:") else "sha256"
        digests[file] = ("md5:" if kind == "md5" else "") + hashlib.new(kind, content).hexdigest()
    monkeypatch.setitem(remote.SETS, name, replace(data, mirrors=(server,), digests=digests))
    monkeypatch.setattr(remote, "OF_MNIST", {"test50k": 20})
    return name


@pytest.mark.parametrize("published", list(remote.SETS), indirect=True)
def test_every_data_set_is_read_as_it_is_published(published: str) -> None:
    data = remote.SETS[published]
    assert not remote.in_cache(published)
    upright = IMAGES.swapaxes(1, 2) if published.startswith("emnist") else IMAGES
    for split in data.splits:
        start = 20 if split == "test50k" else 0
        loaded = sources.load(published, split, sources.LoadOptions(names=sources.class_names(published)))
        np.testing.assert_array_equal(loaded.images, upright[start:])
        np.testing.assert_array_equal(loaded.labels, (np.arange(30) % data.classes)[start:])
        assert loaded.labels.dtype == np.uint8
    assert remote.in_cache(published)


def test_the_sets_of_emnist_are_in_one_archive() -> None:
    letters = remote._emnist("letters", 145_600, 26, first=1)
    assert letters == remote.SETS["emnist-letters"]
    assert (letters.images, letters.classes, letters.first) == (145_600, 26, 1)
    assert letters.splits.keys() == {"train", "test"}
    assert letters.digests.keys() == {letters.archive} == {"gzip.zip"}


@pytest.mark.parametrize("published", ["emnist-letters", "kannada-mnist"], indirect=True)
def test_a_file_that_is_not_the_published_one_is_refused(published: str) -> None:
    for path in Path("published").iterdir():
        path.write_bytes(b"another")
    with pytest.raises(sources.DownloadError) as refused:
        sources.load(published, "train", sources.LoadOptions(names=sources.class_names(published)))
    data = remote.SETS[published]
    file = data.archive or data.splits["train"][0]
    kind = "SHA-256" if published == "emnist-letters" else "MD5"
    assert str(refused.value) == (
        f"{published}: {file} could not be downloaded (127.0.0.1: its file has the wrong {kind}); get it from"
        f" {data.page}, or use builtin, which needs no download"
    )


@pytest.mark.parametrize("published", ["emnist-digits"], indirect=True)
def test_an_archive_without_the_file_is_refused(published: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = remote.SETS[published]
    monkeypatch.setitem(remote.SETS, published, replace(data, splits={"train": ("gzip/other.gz", "gzip/other.gz")}))
    with pytest.raises(LeNet5Error, match=r"gzip\.zip: .*expected gzip/other\.gz in it$"):
        sources.load(published, "train")


def test_a_split_that_a_data_set_has_not() -> None:
    for name, splits in (("mnist", "train, test"), ("qmnist", "train, test, test50k"), ("builtin:9", "train, test")):
        with pytest.raises(LeNet5Error) as refused:
            sources.load(name, "test51k")
        assert str(refused.value) == f"{name}: no split test51k; its splits are {splits}"


def test_test50k_leaves_out_what_is_mnist() -> None:
    assert remote.OF_MNIST == {"test50k": 10_000}


@pytest.mark.parametrize("name", ["kmnist", "emnist-letters"])
def test_labels_of_no_class_are_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data, plain = remote.SETS[name], labels(name)
    monkeypatch.setattr(remote, "_file", lambda _, file, __: Path(file))
    monkeypatch.setattr(remote.idx, "read_images", lambda _: IMAGES)
    for place, wrong in ((0, data.first - 1), (0, data.first + data.classes), (..., None)):
        told = plain.astype(int)[:, None, None] if wrong is None else plain.astype(int)
        if wrong is not None:
            told[place] = wrong
        monkeypatch.setattr(remote.idx, "read", lambda _, told=told: told)
        with pytest.raises(LeNet5Error) as refused:
            remote.load(name, "train")
        where = data.splits["train"][1]
        assert str(refused.value) == f"{where}: labels of shape {told.shape}; expected {data.classes} classes"


def test_a_file_is_taken_out_of_its_archive_once_and_no_larger_than_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile("gzip.zip", "w") as held:
        held.writestr("gzip/member", b"seven..")
    monkeypatch.setattr(remote, "_MEMBER_LIMIT", 7)
    target = Path("member")
    for there, then in ((None, b"seven.."), (b"7 bytes", b"7 bytes"), (b"others", b"seven..")):
        if there is not None:
            target.write_bytes(there)
        assert remote._unpacked(Path("gzip.zip"), "gzip/member") == target
        assert target.read_bytes() == then
    monkeypatch.setattr(remote, "_MEMBER_LIMIT", 6)
    for member, said in (
        ("gzip/member", "gzip/member: 7 bytes; the limit is 6"),
        ("gzip/other", "\"There is no item named 'gzip/other' in the archive\"; expected gzip/other in it"),
    ):
        with pytest.raises(LeNet5Error) as refused:
            remote._unpacked(Path("gzip.zip"), member)
        assert str(refused.value) == f"gzip.zip: {said}"
