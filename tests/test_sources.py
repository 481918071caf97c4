"""Data sets by name and by folder: where they are found, how they are downloaded, what is refused."""

import hashlib
import os
import re
import struct
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pooch
import pytest

from lenet5_cli.data import cache, idx, remote, sources, tables
from lenet5_cli.errors import LeNet5Error
from tests.conftest import environment, named_pipe

NEITHER = (
    "no such data set, folder or file; the data sets are mnist, fashion-mnist, kmnist, emnist-digits,"
    " emnist-letters, emnist-balanced, qmnist, kannada-mnist, builtin, builtin-letters;"
    " if it has moved, give its new path"
)
REAL_MNIST = Path(os.environ.get("LENET5_DATA") or "(none)").absolute()
PREFIXES = {"train": "train", "test": "t10k"}
MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")


def digits(count: int) -> tuple[np.ndarray, np.ndarray]:
    images = np.arange(count * 784).reshape(count, 28, 28) % 251
    return images.astype(np.uint8), (np.arange(count) % 10).astype(np.uint8)


def fill(folder: Path, images: np.ndarray, labels: np.ndarray, *, prefix: str = "train", suffix: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    idx.write(folder / f"{prefix}-images-idx3-ubyte{suffix}", images)
    idx.write(folder / f"{prefix}-labels-idx1-ubyte{suffix}", labels)
    return folder


def refusal(source: str | Path, split: str = "train") -> str:
    with pytest.raises(LeNet5Error) as refused:
        sources.load(str(source), split)
    return str(refused.value)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty current folder, and the cache inside it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LENET5_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_the_variable_names_the_folder_of_mnist(folder, monkeypatch):
    images, labels = digits(3)
    fill(folder / "own", images, labels)
    monkeypatch.setenv("LENET5_DATA", "own")
    found = sources.load("mnist", "train")
    assert (found.source, found.images_path) == ("mnist", str(Path("own/train-images-idx3-ubyte")))
    np.testing.assert_array_equal(found.images, images)
    fill(folder / "own", images[:2], labels[:2], prefix="t10k")
    assert len(sources.load("mnist", "test").images) == 2
    fill(folder / "other", images[2:], labels[2:])
    np.testing.assert_array_equal(sources.load("other", "train").images, images[2:])  # which is not what it names
    for label in "01":
        (folder / "pictures" / label).mkdir(parents=True)
    for name, there in (("gone", "no such folder"), ("own/train-images-idx3-ubyte", "a file")):
        monkeypatch.setenv("LENET5_DATA", name)
        assert refusal("mnist") == f"LENET5_DATA: {name}: {there}; expected the folder of MNIST's IDX files"
    monkeypatch.setenv("LENET5_DATA", "pictures")
    with pytest.raises(LeNet5Error, match=r"^LENET5_DATA: pictures: no IDX files in this folder; file names tried: "):
        sources.load("mnist", "train")


class Internet:
    """Files by URL, in the place of pooch's downloader; a URL without a file has no server, and bytes None hang."""

    def __init__(self) -> None:
        self.files: dict[str, bytes | None] = {}
        self.asked: list[str] = []
        self.done = threading.Event()

    def downloader(self, *, progressbar, chunk_size, timeout):
        assert (chunk_size, timeout) == (2**16, (cache._PATIENCE, 10))
        self.progressbar = progressbar
        return self

    def __call__(self, url, output_file, _, check_only=False):
        self.asked.append(url)
        if url not in self.files:
            try:
                raise OSError(101, "Network is unreachable")
            except OSError as problem:
                raise OSError("Max retries exceeded") from problem
        if check_only:
            if (data := self.files[url]) is None:
                self.done.wait(5)
            return bool(data)
        return Path(output_file).write_bytes(self.files[url])


@pytest.fixture
def internet(monkeypatch):
    internet = Internet()
    monkeypatch.setattr(pooch, "HTTPDownloader", internet.downloader)
    yield internet
    internet.done.set()


@pytest.fixture
def published(folder, monkeypatch):
    """Small files in the place of MNIST's, with their SHA-256 expected: the bytes by name."""
    held = fill(folder / "published", *digits(7), suffix=".gz")
    files = {path.name: path.read_bytes() for path in held.iterdir()}
    for name, data in files.items():
        monkeypatch.setitem(remote.SETS["mnist"].digests, name, hashlib.sha256(data).hexdigest())
    return files


# Folders


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("separator", ["-", "."])
def test_each_spelling_is_found(folder, split, suffix, separator):
    images, labels = digits(12)
    fill(folder, images, labels, prefix=PREFIXES[split], suffix=suffix)
    for path in folder.glob("*-idx*"):
        path.rename(str(path).replace("-idx", f"{separator}idx"))
    found = sources.load(str(folder), split)
    np.testing.assert_array_equal(found.images, images)
    np.testing.assert_array_equal(found.labels, labels)
    assert found.source == str(folder)
    assert found.images_path == str(folder / f"{PREFIXES[split]}-images{separator}idx3-ubyte{suffix}")
    assert found.labels_path == str(folder / f"{PREFIXES[split]}-labels{separator}idx1-ubyte{suffix}")


def test_the_plain_file_comes_first(folder):
    fill(folder, *digits(3), suffix=".gz")
    fill(folder, *digits(3))
    assert sources.load(".", "train").images_path == "train-images-idx3-ubyte"


def test_files_may_be_links_into_a_store(folder):
    fill(folder / "store", *digits(3))
    (folder / "data").mkdir()
    for path in (folder / "store").iterdir():
        (folder / "data" / path.name).symlink_to(path)
    linked, stored = (sources.load(str(folder / name), "train") for name in ("data", "store"))
    assert linked.sha256 == stored.sha256


def test_a_folder_named_like_a_data_set(folder):
    fill(folder / "mnist", *digits(2))
    assert len(sources.load("./mnist", "train").images) == 2


def test_the_sha256_is_of_the_elements_however_they_are_stored(folder, monkeypatch):
    images, labels = digits(9)
    monkeypatch.setattr(sources, "_CHUNK", 2)
    plain = sources.load(str(fill(folder / "plain", images, labels)), "train")
    packed = sources.load(str(fill(folder / "packed", images, labels, suffix=".gz")), "train")
    assert plain.sha256 == packed.sha256 == hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()


def test_a_large_file_is_the_same_data(folder, monkeypatch):
    images, labels = digits(9)
    fill(folder, images, labels)
    small = sources.load(".", "train")
    monkeypatch.setattr(idx, "MEMORY_LIMIT", 100)
    monkeypatch.setattr(sources, "_CHUNK", 2)
    large = sources.load(".", "train")
    assert isinstance(large.images, idx.Stored)
    assert large.sha256 == small.sha256
    for piece in (slice(3), slice(3, None)):
        assert large.part(piece).sha256 == small.part(piece).sha256
        np.testing.assert_array_equal(np.asarray(large.part(piece).images), images[piece])


IN_LITTLE_MEMORY = """
import re
from pathlib import Path
import numpy as np
from lenet5_cli.data import sources
from lenet5_cli.training.loop import batches

def most():
    return int(re.search(r"VmHWM:[^0-9]+([0-9]+) kB", Path("/proc/self/status").read_text())[1])

before = most()
split = sources.load(".", "train")
part = split.part(slice(1_000_000, None))
chosen = np.random.default_rng(1).permutation(len(part.labels))[:20_000]
ink = sum(int(np.asarray(images[:]).sum()) for images, _ in batches(part, 128, chosen))
ink += sum(int(np.asarray(images[:]).sum()) for images, _ in batches(split.part(slice(200_001)), 4096))
print(len(split.labels), ink, split.part(slice(100_000)).sha256, most() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the memory that a process had is told by Linux")
def test_a_file_of_two_gigabytes_takes_little_memory():
    count = 2_700_000
    idx.write("train-labels-idx1-ubyte", np.zeros(count, np.uint8))
    with Path("train-images-idx3-ubyte").open("wb") as file:
        file.write(struct.pack(">4B3I", 0, 0, 8, 3, count, 28, 28))
        file.seek(16 + 200_000 * 784)  # of which the first ink is looked for
        file.write(b"\xff")
        file.truncate(16 + count * 784)  # holes, which take no disk
    command = [sys.executable, "-c", IN_LITTLE_MEMORY]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment())
    images, ink, digest, grown = result.stdout.split()
    assert (int(images), int(ink)) == (count, 255)
    assert digest == hashlib.sha256(bytes(100_000 * 785)).hexdigest()
    assert int(grown) < 100_000  # kB; the order of the images and the labels are 24 of them


def test_labels_are_places_in_the_file_of_names_beside_them(folder, monkeypatch):
    images, labels = digits(10)
    fill(folder, images, labels % 3)
    (folder / "names.txt").write_text("a\nb\nc\n")
    assert sources.class_names(".") == ("a", "b", "c")
    found = sources.load(".", "train", sources.LoadOptions(names=("c", "x", "a", "b")))
    assert found.labels.tolist() == [2, 3, 0, 2, 3, 0, 2, 3, 0, 2]
    monkeypatch.setenv("LENET5_DATA", ".")
    assert sources.load("mnist", "train", sources.LoadOptions(names=("c", "x", "a", "b"))).sha256 == found.sha256
    with pytest.raises(LeNet5Error) as refused:
        sources.load(".", "train", sources.LoadOptions(names=("a", "b")))
    known = "class c is not in the glyph sheet; expected one of a, b; set glyphs to train with another sheet"
    assert str(refused.value) == f"names.txt: line 3: {known}"


def test_idx_files_without_names_count_places_or_the_digits_that_the_sheet_has(folder):
    """They were places in any sheet, so that one with the letters first took a 0 as an A."""
    images, labels = digits(12)
    fill(folder / "own", images, labels)
    sheets = [tuple("9876543210"), ("A", *"0123456789"), (*"0123456789", "A"), tuple("ABCDEFGHIJ"), ("A", *"012345678")]

    def load() -> list[list[int]]:
        return [sources.load("own", "train", sources.LoadOptions(names=names)).labels.tolist() for names in sheets]

    own = labels.tolist()
    assert load() == [[9 - label for label in own], [label + 1 for label in own], own, own, own]
    assert [sources.places("own", names).get("3") for names in sheets] == [6, 4, 3, 3, 3]
    fill(folder / "own", images[:2], np.array([0, 10], np.uint8), prefix="t10k")  # more classes than the digits
    assert load() == [own] * 5
    for place in ("10", "11"):  # folders of pictures say what their classes are
        Path("pictures", place).mkdir(parents=True)
    assert sources.places("pictures", (*"abcdefgh", *"0123456789"))["10"] == 10


def own_data(form: str, labels: str) -> str:
    """Write images, one for each label of a character, into a file or into folders; return its name."""
    images = [np.full((28, 28), 100 + at, np.uint8) for at in range(len(labels))]
    if form == "folders":
        for label, image in zip(labels, images, strict=True):
            Path("own", "train", label).mkdir(parents=True)
            Path("own", "train", label, "a.png").write_bytes(image)
        return "own"
    if form == "csv":
        lines = [f"{label},{','.join(map(str, image.ravel()))}\n" for label, image in zip(labels, images, strict=True)]
        Path("own.csv").write_text("".join(lines))
    else:
        np.savez("own.npz", x_train=images, y_train=np.array(list(labels)))
    return f"own.{form}"


@pytest.mark.parametrize("form", ["csv", "npz", "folders"])
@pytest.mark.parametrize(
    ("labels", "names", "noted"),
    [
        ("1234", "12345", True),
        ("1234", "01234", False),  # the same classes
        ("0123", "12345", False),  # places
        ("01", "0132", False),  # the same classes, and others
        ("1235", "12345", False),  # names
        ("0123456789", "9876543210", False),  # the ten digits are names
        ("ab", "ab", False),
    ],
)
def test_labels_that_could_be_names_or_places_of_other_classes_are_noted(form, labels, names, noted):
    """Without any label 0, places in a sheet of 1 to 5 became names, without a word."""
    source = own_data(form, labels)
    how = sources.LoadOptions(0.0, names=tuple(names), read_picture=lambda *_: np.full((28, 28), 100, np.uint8))
    said = "its labels, such as 1, are taken as class names, not as indices from 0"
    note = f"{source}: {said}; if they are indices, replace them by class names"
    assert sources.load(source, "train", how).note == (note if noted else "")


@pytest.mark.parametrize("source", ["builtin-letters", "builtin-letters:50", "emnist-letters"])
def test_letters_are_known_without_their_images(source):
    assert sources.class_names(source) == tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    digit_names = sources.class_names(source.replace("letters", "digits").replace("builtin-digits", "builtin"))
    assert digit_names == tuple(map(str, range(256)))


# What is refused


def test_a_name_that_no_file_can_have_is_told():
    name, said = "x" * 300, "cannot be read: File name too long"
    assert refusal(name) == f"{name}: {said}"
    with pytest.raises(LeNet5Error, match=f"^{name}: {said}$"):
        sources.read_as(name)


def test_what_is_no_file_is_named_and_a_folder_of_that_name_passed_over(folder):
    fill(folder, *digits(2), suffix=".gz")
    (folder / "train-images-idx3-ubyte").mkdir()
    assert len(sources.load(".", "train").images) == 2
    (folder / "train-labels-idx1-ubyte").symlink_to(".git/annex/objects/labels")
    assert refusal(".") == (
        "train-labels-idx1-ubyte: a symbolic link to .git/annex/objects/labels, which does not exist;"
        " expected an IDX file"
    )
    (folder / "train-labels-idx1-ubyte").unlink()
    named_pipe(folder / "train-labels-idx1-ubyte")
    assert refusal(".") == "train-labels-idx1-ubyte: a pipe; expected an IDX file"


def test_a_missing_file(folder):
    assert refusal(folder) == (
        f"{folder}: no IDX files in this folder and no folder of pictures for each class;"
        " file names tried: train-images-idx3-ubyte,"
        " train-images.idx3-ubyte, train-images-idx3-ubyte.gz, train-images.idx3-ubyte.gz"
    )
    idx.write(folder / "t10k-images-idx3-ubyte", digits(1)[0])
    assert refusal(folder, "test") == (
        f"{folder}: no t10k-labels-idx1-ubyte in this folder; file names tried: t10k-labels-idx1-ubyte,"
        " t10k-labels.idx1-ubyte, t10k-labels-idx1-ubyte.gz, t10k-labels.idx1-ubyte.gz"
    )


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("data/digits", "data/digits: no such folder or file; if it has moved, give its new path"),
        ("./mnist", "./mnist: no such folder or file; if it has moved, give its new path"),
        (
            "fashion_mnist",
            f"fashion_mnist: {NEITHER.replace('if it', 'did you mean fashion-mnist? if it')}",
        ),
        ("MNIST", f"MNIST: {NEITHER.replace('if it', 'did you mean mnist? if it')}"),
        ("cifar", f"cifar: {NEITHER}"),
        ("", f"(nothing): {NEITHER}"),
        (
            "arrays",
            f"arrays: {NEITHER.partition('; if it')[0]}; this name stands for arrays that a run in Python was given;"
            " pass them or the same data again",
        ),
        ("file", "file: a file; expected a folder, or a file that ends in .csv or .npz"),
    ],
)
def test_a_source_that_is_not_there(folder, source, message):
    (folder / "file").touch()
    assert refusal(source) == message


def test_an_empty_name_is_not_the_current_folder(folder):
    for name in "01":
        (folder / name).mkdir()
        (folder / name / "picture.png").touch()
    assert refusal(".").startswith(".: a folder of pictures")
    assert refusal("") == f"(nothing): {NEITHER}"


def test_a_folder_that_cannot_be_read(monkeypatch):
    def refuse(_: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", refuse)
    assert refusal("digits") == "digits: cannot be read: Permission denied"


def denied(path: Path) -> bool:
    raise PermissionError(13, "Permission denied", str(path))


@pytest.mark.parametrize("asked", ["is_dir", "lstat"])  # the folder, or what is in it, may not be looked at
def test_a_folder_of_the_variable_that_cannot_be_read(folder, monkeypatch, asked):
    (folder / "own").mkdir()
    monkeypatch.setenv("LENET5_DATA", "own")
    monkeypatch.setattr(Path, asked, denied)
    expected = "expected the folder of MNIST's IDX files"
    assert refusal("mnist") == f"LENET5_DATA: own: cannot be read: Permission denied; {expected}"


@pytest.mark.parametrize("asked", ["is_dir", "lstat"])
def test_a_folder_mnist_data_that_cannot_be_read_is_not_passed_over(folder, monkeypatch, asked):
    file = fill(folder / "mnist_data", *digits(3)).relative_to(folder) / "train-images-idx3-ubyte"
    monkeypatch.setattr(Path, asked, denied)
    assert refusal("mnist") == f"{file}: cannot be read: Permission denied"


def test_counts_that_differ(folder):
    fill(folder, digits(12)[0], digits(11)[1])
    assert refusal(".") == (
        "train-images-idx3-ubyte: 12 images, but 11 labels in train-labels-idx1-ubyte; expected a label for each image"
    )


def test_no_images(folder):
    fill(folder, *digits(0))
    assert refusal(".") == "train-images-idx3-ubyte: no images; expected at least one"


def test_images_of_another_size(folder):
    fill(folder, np.zeros((2, 32, 30), np.uint8), digits(2)[1])
    assert refusal(".") == "train-images-idx3-ubyte: images of 32x30 pixels; expected 28x28"


@pytest.mark.parametrize("limit", [2**28, 100])
def test_white_that_is_1_is_refused(folder, monkeypatch, limit):
    """As uint8, it was read as black."""
    monkeypatch.setattr(idx, "MEMORY_LIMIT", limit)
    images, labels = digits(9)
    fill(folder, images // 251, labels)
    assert not np.asarray(sources.load(".", "train").images).any()  # all black is not white
    monkeypatch.setattr(tables, "_CHUNK", 4)
    images[:5] = 0
    fill(folder, images // 128, labels)
    assert refusal(".") == "train-images-idx3-ubyte: pixels that are integers from 0 to 1; expected 0 to 255"


# Built-in digits


@pytest.mark.parametrize(
    ("source", "split", "count"),
    [
        ("builtin", "train", 10_000),
        ("builtin", "test", 2_000),
        ("builtin:1", "train", 1),
        ("builtin:30", "train", 30),
        ("builtin:1000000", "train", 1_000_000),
        ("builtin:30", "test", 2_000),
    ],
)
def test_how_many_digits_are_drawn(monkeypatch, source, split, count):
    drawn = []
    monkeypatch.setattr("lenet5_cli.data.drawn.draw", lambda count, seed: drawn.append((count, seed)) or digits(1))
    sources.load(source, split)
    assert drawn == [(count, {"train": 1, "test": 2}[split])]


def test_builtin_digits_need_no_file_and_repeat():
    train, again = (sources.load("builtin:40", "train") for _ in range(2))
    assert train.images.shape == (40, 28, 28)
    assert train.images.dtype == train.labels.dtype == np.uint8
    assert (train.source, train.images_path, train.labels_path) == ("builtin:40", "builtin", "builtin")
    assert train.sha256 == again.sha256


@pytest.mark.parametrize("source", ["builtin:", "builtin:0", "builtin:-5", "builtin:many", "builtin:1000001"])
def test_a_number_of_builtin_digits_that_is_none(source):
    assert refusal(source) == (
        f"{source}: expected a number of training images from 1 to 1,000,000 after the colon, as in builtin:60000"
    )


# Downloads


def test_mnist_data_in_the_current_folder_comes_first(folder, internet):
    fill(folder / "mnist_data", *digits(5))
    assert sources.load("mnist", "train").images_path == str(Path("mnist_data/train-images-idx3-ubyte"))
    assert internet.asked == []


def test_a_download_goes_into_the_cache_and_is_the_last(folder, internet, published):
    internet.files = {MIRRORS[0] + name: data for name, data in published.items()}
    (folder / "mnist_data").mkdir()
    bar = object()
    first = sources.load("mnist", "train", sources.LoadOptions(progress=bar))
    assert internet.progressbar is bar
    assert first.source == "mnist"
    assert first.images_path == str(folder / "cache" / "mnist" / "train-images-idx3-ubyte.gz")
    assert sorted(path.name for path in (folder / "cache" / "mnist").iterdir()) == sorted(published)
    internet.files.clear()
    assert sources.load("mnist", "train").sha256 == first.sha256


@pytest.mark.parametrize("at_first", [b"another file", b"", None])
def test_a_mirror_that_fails_gives_way_to_the_next(internet, published, monkeypatch, at_first):
    monkeypatch.setattr(cache, "_PATIENCE", 0.05)
    internet.files = {MIRRORS[0] + name: at_first for name in published}
    internet.files |= {MIRRORS[1] + name: data for name, data in published.items()}
    assert len(sources.load("mnist", "train").images) == 7


def test_a_damaged_file_in_the_cache_is_replaced(folder, internet, published):
    internet.files = {MIRRORS[0] + name: data for name, data in published.items()}
    cached = folder / "cache" / "mnist" / "train-images-idx3-ubyte.gz"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"damaged")
    sources.load("mnist", "train")
    assert cached.read_bytes() == published[cached.name]


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        ({}, "Network is unreachable"),
        ({"train-images-idx3-ubyte.gz": b"another"}, "its file has the wrong SHA-256"),
        ({"train-images-idx3-ubyte.gz": b""}, "it does not have the file"),
        ({"train-images-idx3-ubyte.gz": None}, "no answer within 0.05 seconds"),
    ],
)
def test_a_download_that_fails_everywhere(folder, internet, monkeypatch, first, reason):
    monkeypatch.setattr(cache, "_PATIENCE", 0.05)
    internet.files = {MIRRORS[0] + name: data for name, data in first.items()}
    with pytest.raises(sources.DownloadError) as refused:
        sources.load("mnist", "train")
    assert str(refused.value) == (
        f"mnist: train-images-idx3-ubyte.gz could not be downloaded (ossci-datasets.s3.amazonaws.com: {reason};"
        " storage.googleapis.com: Network is unreachable); get the four files from"
        " https://github.com/cvdfoundation/mnist and put them into mnist_data/ or give their"
        " folder, or use builtin, which needs no download"
    )
    assert [path for path in folder.rglob("*") if path.is_file()] == []


@pytest.mark.usefixtures("internet")
def test_a_cache_that_cannot_be_written_is_told_once(folder, monkeypatch):
    """Each mirror was blamed for it."""
    monkeypatch.setenv("LENET5_CACHE", str(folder / "file" / "cache"))
    (folder / "file").touch()
    assert refusal("mnist", "train").startswith(
        f"mnist: train-images-idx3-ubyte.gz could not be downloaded ({folder}/file/cache/mnist: cannot be"
        " written: Not a directory; set LENET5_CACHE to another folder); get the four files from"
    )


@pytest.mark.usefixtures("internet")
def test_a_cache_that_may_not_be_written_is_not_put_down_to_a_host(monkeypatch):
    def denied(path, *_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "makedirs", denied)
    cache_folder = os.environ["LENET5_CACHE"]
    assert refusal("kmnist", "train").startswith(
        f"kmnist: train-images-idx3-ubyte.gz could not be downloaded ({cache_folder}/kmnist: cannot be written:"
        " Permission denied; set LENET5_CACHE to another folder); get the four files from"
    )


def test_fashion_mnist_has_its_own_mirrors_and_advice(internet):
    assert refusal("fashion-mnist", "test") == (
        "fashion-mnist: t10k-images-idx3-ubyte.gz could not be downloaded (raw.githubusercontent.com: Network is"
        " unreachable; storage.googleapis.com: Network is unreachable); get the four files from"
        " https://github.com/zalandoresearch/fashion-mnist and give their folder,"
        " or use builtin, which needs no download"
    )
    assert len(internet.asked) == 2


def test_downloads_are_over_https_with_a_digest_for_each_file():
    for data in remote.SETS.values():
        assert data.mirrors
        assert all(url.startswith("https://") and url.endswith("/") for url in data.mirrors)
        assert all(re.fullmatch("[0-9a-f]{64}|md5:[0-9a-f]{32}", digest) for digest in data.digests.values())
        named = {data.archive} if data.archive else {file for files in data.splits.values() for file in files}
        assert named == data.digests.keys()


@pytest.mark.skipif(not REAL_MNIST.is_dir(), reason="LENET5_DATA names no folder")
def test_the_real_mnist():
    train, test = (sources.load(str(REAL_MNIST), split) for split in ("train", "test"))
    assert (len(train.images), len(test.images)) == (60_000, 10_000)
    assert np.bincount(test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_letters():
    """A longer draw begins with a shorter one; all 26 letters, about as often."""
    how = sources.LoadOptions(names=sources.class_names("builtin-letters"))
    split, shorter = (sources.load(f"builtin-letters:{count}", "train", how) for count in (2000, 50))
    assert split.images.shape == (2000, 28, 28)
    np.testing.assert_array_equal(split.images[:50], shorter.images)
    np.testing.assert_array_equal(split.labels[:50], shorter.labels)
    counts = np.bincount(split.labels)
    assert (len(counts), counts.min(), counts.max()) == (26, 76, 78)
    assert split.labels_path == "builtin-letters"
    assert not np.array_equal(sources.load("builtin-letters", "test", how).images[:50], shorter.images)
    with pytest.raises(LeNet5Error) as error:
        sources.load("builtin-letters:0", "train")
    assert str(error.value) == (
        "builtin-letters:0: expected a number of training images from 1 to 1,000,000 after the colon,"
        " as in builtin-letters:60000"
    )


def test_a_part_has_the_places_of_its_images():
    images, labels = digits(5)
    split = sources.Split("own", images, labels, "own", "own", places=tuple("abcde"), unreadable=("f",))
    part = split.part(slice(1, 3))
    assert (part.source, part.images_path, part.labels_path) == ("own", "own", "own")
    assert (part.places, part.unreadable) == (("b", "c"), ("f",))
    np.testing.assert_array_equal(part.images, images[1:3])
    np.testing.assert_array_equal(part.labels, labels[1:3])


def test_a_class_without_a_glyph_is_shown_short_among_some_of_those_that_have_one(folder):
    fill(folder, digits(1)[0], np.zeros(1, np.uint8))
    (folder / "names.txt").write_text(f"{'x' * 16}\nb\n")
    for count, end in ((40, ""), (41, " and others")):
        with pytest.raises(LeNet5Error) as refused:
            sources.load(".", "train", sources.LoadOptions(names=[f"n{at}" for at in range(count)]))
        known = ", ".join(f"n{at}" for at in range(40)) + end
        there = f"names.txt: line 1: class {'x' * 16} is not in the glyph sheet"
        assert str(refused.value) == f"{there}; expected one of {known}; set glyphs to train with another sheet"
    for label, shown in (("y" * 60, "y" * 60), ("y" * 61, "y" * 60 + "...")):
        Path("own.csv").write_text(f"{label}{',0' * 784}\n")
        assert refusal("own.csv").startswith(
            f"own.csv: line 1: class {shown} is not in the glyph sheet; expected one of 0,"
        )


def test_a_label_beyond_the_file_of_names_is_named(folder):
    fill(folder, *digits(3))
    (folder / "names.txt").write_text("0\n1\n")
    assert refusal(".") == ("train-labels-idx1-ubyte: label 2 at index 2, counted from 0, but 2 names in names.txt")


def test_as_many_classes_as_a_sheet_can_have_are_named_and_no_more():
    for count in (128, 129):
        names = sorted(f"c{at}" for at in range(count))
        Path("own.CSV").write_text("".join(f"{name}{',0' * 784}\n" for name in names))
        if count == 128:
            assert sources.class_names("own.CSV") == tuple(names)
            continue
        with pytest.raises(LeNet5Error) as refused:
            sources.class_names("own.CSV")
        assert str(refused.value) == "own.CSV: 129 classes; expected at most 128"
    Path("own.csv").write_text(f"7{',0' * 784}\n")
    assert sources.class_names("own.csv") == tuple(map(str, range(256)))  # numbers name themselves
