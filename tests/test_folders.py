"""Folders with a folder of pictures for each class."""

import hashlib
import os
import signal
from collections.abc import Callable, Iterable
from concurrent import futures
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lenet5_cli.config import Config
from lenet5_cli.data import folders, sources
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.training import inputs
from tests.conftest import any_bytes, drawing


def save(path: Path, digit: int = 3, size: int = 60, **how: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    drawing(digit, size, **how).save(path)
    return path


@pytest.fixture(autouse=True)
def pictures() -> Path:
    """Return a folder of 24 different pictures in two classes."""
    for size in range(60, 72):
        save(Path(f"own/1/{size}.png"), 1, size)
        save(Path(f"own/7/{size}.png"), 7, size)
    return Path("own")


def load(folder: str | Path = "own", split: str = "train", **settings: object) -> sources.Split:
    return inputs.load(Config(data=str(folder), **settings), split)


def refusal(folder: str | Path = "own", split: str = "train", **settings: object) -> str:
    with pytest.raises(LeNet5Error) as refused:
        load(folder, split, **settings)
    return str(refused.value)


def test_pictures_become_digits_as_predict_reads_them() -> None:
    split = load(test_fraction=0)
    assert split.images.shape == (24, 28, 28)
    assert split.source == split.images_path == "own"
    assert [Path(place).parent.name for place in split.places] == [str(label) for label in split.labels]
    digests = [hashlib.sha256(Path(place).read_bytes()).hexdigest() for place in split.places]
    assert digests == sorted(digests)
    for image in np.asarray(split.images):
        rows, columns = np.nonzero(image)
        assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20  # the box of MNIST's digits


def test_as_is_only_scales() -> None:
    (garment,) = (place for place in load(as_is=True, test_fraction=0).places if place.endswith("7/66.png"))
    split = load(as_is=True, test_fraction=0)
    image = np.asarray(split.images)[list(split.places).index(garment)]
    assert image[0, 0] == 255  # the paper stays white
    assert image.min() < 100


def test_the_same_picture_is_always_on_the_same_side() -> None:
    train, test = load(test_fraction=0.4), load(split="test", test_fraction=0.4)
    assert len(train.labels) + len(test.labels) == 24
    assert not set(train.places) & set(test.places)
    again = save(Path("own/1/other_name.png"), 1, int(Path(test.places[0]).stem)) if "/1/" in test.places[0] else None
    copy = again or save(Path("own/7/other_name.png"), 7, int(Path(test.places[0]).stem))
    assert str(copy) in load(split="test", test_fraction=0.4).places
    assert len(load(split="test", test_fraction=1).labels) == 25


def test_train_and_test_folders_are_the_splits(pictures: Path) -> None:
    Path("all").mkdir()
    pictures.rename("all/train")
    held_out = len(load("all", "test").labels)
    assert 0 < held_out < 24  # of train, where there is no folder test
    save(Path("all/test/7/a.png"), 7)
    assert len(load("all", "train").labels) == 24
    assert load("all", "test").labels.tolist() == [7]


def test_a_test_folder_may_lack_pictures_of_a_class_and_the_training_folder_may_not(pictures: Path) -> None:
    pictures.rename("train")
    Path("own/test/1").mkdir(parents=True)
    save(Path("own/test/7/61.png"), 7, 61)
    Path("train").rename("own/train")
    assert load(split="test").labels.tolist() == [7]
    Path("own/train/8").mkdir()
    assert refusal() == f"{Path('own/train/8')}: no pictures; expected some of each class"


def test_a_class_may_be_called_test(pictures: Path) -> None:
    for name, number in (("test", "1"), ("other", "7")):
        (pictures / number).rename(pictures / name)
    assert sources.class_names("own") == ("other", "test")
    loaded = inputs.load(Config(data="own", test_fraction=0), "train", ["test", "other"])
    assert np.bincount(loaded.labels).tolist() == [12, 12]


def test_pictures_are_read_once(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LENET5_CACHE", "cache")
    first = load()
    pictures.rename("moved")
    with monkeypatch.context() as patch:
        patch.setattr(inputs, "_read_picture", lambda path, _: pytest.fail(f"{path} is read again"))
        again = load("moved")
    assert again.sha256 == first.sha256
    assert again.places == [place.replace("own", "moved") for place in first.places]
    for kept in Path("cache").rglob("images-idx3-ubyte"):
        kept.write_bytes(b"damaged")
    assert load("moved").sha256 == first.sha256
    Path("locked").write_text("a file, where a folder is needed")
    monkeypatch.setenv("LENET5_CACHE", "locked")
    assert load("moved").sha256 == first.sha256


def test_a_picture_that_changes_before_it_is_read_is_not_kept_as_what_it_was(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LENET5_CACHE", "cache")
    path = pictures / "1" / "60.png"
    original, read = path.read_bytes(), inputs._read_picture

    def changed_and_read(place: str, as_is: bool) -> np.ndarray:
        save(path, 4)
        return read(place, as_is)

    with monkeypatch.context() as patch:
        patch.setattr(inputs, "_read_picture", changed_and_read)
        changed = load(test_fraction=0)
    path.write_bytes(original)
    mended = load(test_fraction=0)
    monkeypatch.setenv("LENET5_CACHE", "other")
    assert changed.sha256 != mended.sha256 == load(test_fraction=0).sha256


def test_any_number_of_processes_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "_WORTH", 0)
    monkeypatch.setattr(folders, "_CHUNK", 5)
    monkeypatch.setenv("LENET5_CACHE", "one")
    one = load(test_fraction=0)
    monkeypatch.setenv("LENET5_CACHE", "two")

    bar = Bar()
    two = inputs.load(Config(data="own", test_fraction=0), "train", cores=2, progress=bar)  # type: ignore[arg-type]
    assert two.sha256 == one.sha256
    assert (bar.total, len(bar.done)) == (24, 24)


class Bar:
    """Notes what a bar would show."""

    total = None

    def __init__(self) -> None:
        self.done: list[int] = []

    def update(self, n: int) -> None:
        self.done.append(n)


def test_a_bar_moves_with_each_picture() -> None:
    """A bar of fewer than 64 pictures stood at 0 of 1 until all were read."""
    bar = Bar()
    inputs.load(Config(data="own", test_fraction=0), "train", progress=bar)  # type: ignore[arg-type]
    assert (bar.total, bar.done) == (24, [1] * 24)


def test_those_that_help_to_read_leave_ctrl_c_to_the_one_that_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool that reads here, in the place of one of other interpreters."""
    handlers: dict[int, object] = {}

    class Pool:
        def __init__(self, cores: int, context: object, initializer: Callable[[], None]) -> None:
            assert (cores, context) == (2, get_context("spawn"))
            initializer()

        def shutdown(self, *, cancel_futures: bool) -> None:
            assert cancel_futures

        def map(self, work: Callable[[str], object], paths: list[str], *, chunksize: int) -> Iterable[object]:
            assert chunksize == folders._CHUNK
            return map(work, paths)

    monkeypatch.setattr(folders, "_WORTH", 24)
    monkeypatch.setattr(futures, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(signal, "signal", handlers.__setitem__)
    for cores in (1, 2):
        monkeypatch.setenv("LENET5_CACHE", f"cache of {cores}")
        assert handlers == {}  # of one core, no pool is made
        split = inputs.load(Config(data="own", test_fraction=0), "train", cores=cores)
        assert len(split.labels) == 24
    assert handlers == {signal.SIGINT: signal.SIG_IGN}


def test_deep_and_colourful_pictures() -> None:
    deep = np.asarray(drawing(7, 61)).astype(np.uint16) * 257
    Image.fromarray(deep).save("own/7/deep.png")
    save(Path("own/7/press.tiff"), 7, 62, mode="CMYK", ink=(0, 0, 0, 255), paper=(0, 0, 0, 0))
    split = load(test_fraction=0)
    images = {Path(place).name: image for place, image in zip(split.places, np.asarray(split.images), strict=True)}
    for name in ("deep.png", "press.tiff"):
        assert images[name][14, 14:].max() > 100  # the stroke of a seven, not its paper
        assert images[name][:3].max() == 0


def test_what_cannot_be_read_is_listed_and_over_a_twentieth_refused() -> None:
    Path("own/1/.DS_Store").write_bytes(b"ignored")
    for name in ("Thumbs.db", "Desktop.ini"):
        (Path("own/1") / name).write_bytes(b"ignored")
    for name in ("__MACOSX", "$RECYCLE.BIN", "System Volume Information", "lost+found", "@eaDir"):
        (Path("own") / name / "1").mkdir(parents=True)
    Path("own/1/notes.png").write_text("no picture")
    split = load(test_fraction=0)
    assert len(split.labels) == 24
    assert list(split.unreadable) == [
        "own/1/notes.png: not a picture; expected one of PNG, JPEG, BMP, GIF, TIFF, WEBP, PPM, HEIC"
    ]
    Path("own/1/more").mkdir()
    assert refusal(test_fraction=0) == (
        "own: 2 of 26 pictures cannot be read, more than 5 %; the first: own/1/more: a folder; expected a picture"
    )
    Image.new("L", (50, 50), 255).save("own/1/notes.png")  # read, and nothing is on it
    Path("own/1/more").rmdir()
    assert list(load(test_fraction=0).unreadable) == ["own/1/notes.png: nothing on it stands out"]


def test_the_twentieth_is_of_both_sides_together() -> None:
    """One damaged picture of 61 that fell on the small side was refused as one of 18."""
    for name in "abc":  # one of them is on the side of the test images
        Path("own/1", name).write_text(name)
    for size in range(80, 130):
        save(Path(f"own/1/{size}.png"), 1, size)
    split = load(split="test", test_fraction=0.2)
    assert 0.05 * len(split.labels) < len(split.unreadable) <= 3


@pytest.mark.parametrize("problem", ["Too many open files", "not a picture; HEIC needs pip install pillow-heif"])
def test_a_picture_that_can_be_read_now_is_read(problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was no fault of the picture was remembered for good, also once a library was installed as advised."""
    tried, failing = list[str](), {"own/1/60.png", "own/1/61.png"}

    def read(path: str, _: bool) -> np.ndarray:
        tried.append(path)
        if path in failing:
            raise LeNet5Error(f"{path}: {problem}")
        return np.full((28, 28), int(Path(path).stem), np.uint8)

    def demand_all_but(*unreadable: str) -> None:
        found = folders.load(Path("own"), "train", test_fraction=0, as_is=False, read=read)
        assert sorted(found.unreadable) == [f"{path}: {problem}" for path in unreadable]
        assert [str(image[0, 0]) for image in found.images] == [Path(path).stem for path in found.paths]

    monkeypatch.setattr(folders, "MAX_UNREADABLE", 0.1)
    demand_all_but("own/1/60.png", "own/1/61.png")
    failing.remove("own/1/61.png")
    demand_all_but("own/1/60.png")
    tried.clear()
    demand_all_but("own/1/60.png")
    assert tried == ["own/1/60.png"]


def test_a_folder_beside_the_training_pictures_is_not_passed_over() -> None:
    for folder in ("train", "val"):
        save(Path(f"split/{folder}/1/a.png"), 1)
        save(Path(f"split/{folder}/7/a.png"), 7)
    expected = "expected train and test, or a folder of pictures for each class"
    assert refusal("split") == f"split: folders train and val; {expected}"
    Path("split/val").rename("split/test")
    assert len(load("split", "test").labels) == 2


@pytest.mark.parametrize("split", ["train", "test"])
def test_splits_by_other_names_are_told_from_classes(split: str) -> None:
    """Each class of them was a picture that cannot be read."""
    for folder in ("Training", "Testing"):
        save(Path(f"png/{folder}/1/a.png"), 1)
        save(Path(f"png/{folder}/7/a.png"), 7)
    expected = "expected pictures of one class; folders of splits are named train and test"
    assert refusal("png", split) == f"png/Testing: no pictures, but folders, such as 1; {expected}"


def test_of_what_is_said_of_a_picture_only_its_path_is_left_out() -> None:
    def read(path: str, as_is: bool) -> np.ndarray:
        raise LeNet5Error(f"{path}: damaged: {as_is}")

    for path in ("a.png", "own/2: twos/a: b.png", "own/\x1b.png"):
        assert [folders._read_one(read, True, each) for each in (path, None)] == ["damaged: True", None]
    Path("own/1/a: folder.png").mkdir()
    digested = [folders._digested(f"own/1/{name}", "1").problem for name in ("a: folder.png", "gone: gone.png")]
    assert digested == ["a folder; expected a picture", "no such file; expected a picture"]


@any_bytes
def test_names_that_are_not_utf8() -> None:
    os.rename(b"own/1/60.png", b"own/1/\xff.png")  # noqa: PTH104 - a Path is not made of bytes
    assert len(load(test_fraction=0).labels) == 24
    os.rename(b"own/1", b"own/\xfe1")  # noqa: PTH104
    assert refusal().startswith("own/\\udcfe1: class \\udcfe1 is not in the glyph sheet; expected one of 0, 1, 2, 3,")


def test_links() -> None:
    Path("store").mkdir()
    before = load(test_fraction=0)
    for path in Path("own/1").iterdir():
        path.rename(Path("store") / path.name)
        path.symlink_to(Path("../../store") / path.name)
    assert load(test_fraction=0).sha256 == before.sha256
    Path("own/1/gone.png").symlink_to("nowhere.png")
    assert list(load(test_fraction=0).unreadable) == [
        "own/1/gone.png: a symbolic link to nowhere.png, which does not exist; expected a picture"
    ]
    Path("own/5").symlink_to("/etc")
    assert refusal() == "own/5: a symbolic link to /etc, a folder; expected the folder itself"


def test_classes_that_are_missing_or_unknown() -> None:
    Path("own/4").mkdir()
    assert refusal() == "own/4: no pictures; expected some of each class"
    Path("own/4").rmdir()
    Path("own/7").rename("own/seven")
    assert refusal() == (
        "own/seven: class seven is not in the glyph sheet; expected one of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9;"
        " set glyphs to train with another sheet"
    )
    names = ["one", "none", *"023456", "seven"]
    with pytest.raises(LeNet5Error, match="own/1: class 1 is not in the glyph sheet; expected one of one, none, 0, 2"):
        inputs.load(Config(data="own", test_fraction=0), "train", names)  # not all are names, nor all places
    for path in Path("own/seven").iterdir():
        path.unlink()
    Path("own/seven").rmdir()
    assert refusal() == "own: pictures of one class, 1; expected a folder of pictures for each class"


def test_a_name_has_one_spelling() -> None:
    apart, together = "Zu\u0308rich", "Z\u00fcrich"  # as macOS may have it, and others
    for folder, sheet in ((apart, together), (together, apart)):
        Path("own/1").rename(Path("own", folder))
        assert together in sources.class_names("own")
        loaded = inputs.load(Config(data="own", test_fraction=0), "train", [sheet, "none", *"7"])
        assert np.bincount(loaded.labels).tolist() == [12, 0, 12]
        Path("own", folder).rename("own/1")


def test_an_empty_split_is_told() -> None:
    split = "split at a test_fraction of"
    of = "own: none of 24 images is in the"
    assert refusal(split="test", test_fraction=0) == f"{of} test {split} 0; expected more than 0"
    assert refusal(test_fraction=1) == f"{of} train {split} 1; expected less than 1"
    for count, of in ((1, "its only image is not"), (2, "none of 2 images is")):
        expected = f"in the test {split} 0.1; give another fraction, or more images"
        assert folders.none_in("test", count, 0.1) == f"{of} {expected}"
    Path("own").rename("train")
    Path("own/test").mkdir(parents=True)
    Path("train").rename("own/train")
    assert refusal(split="test") == "own/test: no pictures; expected some of each class"


def test_too_many_pictures_are_refused_before_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "_COUNT", 20)
    assert refusal() == "own/7: with these, more than 20 pictures; use fewer"
    monkeypatch.setattr(folders, "_COUNT", 24)
    assert len(folders.scan(Path("own"))) == 24


def test_many_pictures_in_one_folder(pictures: Path) -> None:
    for number in range(2000):
        Path(f"own/1/{number}").hardlink_to("own/1/60.png")
    found = folders.scan(pictures)
    assert len(found) == 2024
    assert len({each.digest for each in found}) == 24


def test_a_folder_without_folders_of_pictures_has_no_classes(pictures: Path) -> None:
    Path("empty").mkdir()
    with pytest.raises(LeNet5Error) as refused:
        folders.scan(Path("empty"))
    assert str(refused.value) == "empty: no folders of pictures; expected a folder of pictures for each class"
    assert folders.scan(Path("empty"), whole=False) == []
    with pytest.raises(LeNet5Error) as refused:
        folders.scan(Path("none"))
    assert str(refused.value) == "none: cannot be read: No such file or directory; expected a folder of pictures"
    (pictures / "train").mkdir()
    assert folders.class_names(pictures) == []
    with pytest.raises(LeNet5Error) as refused:
        sources.load("own", "train")
    assert str(refused.value) == "own: a folder of pictures, but no read_picture to read them"


def test_one_picture_of_twenty_may_be_unreadable() -> None:
    for size in range(60, 65):
        Path(f"own/1/{size}.png").unlink()
    Path("own/1/notes.png").write_text("no picture")
    assert len(load(test_fraction=0).labels) == 19


def test_sides_begin_and_end_where_the_fraction_says() -> None:
    """A picture whose file cannot be read is at the end of all: of any data set that is split, to train on."""
    zeros, ones = 64 * "0", 64 * "f"
    assert [folders.split_of(digest, 0) for digest in (zeros, ones, "")] == ["train"] * 3
    assert [folders.split_of(digest, 1) for digest in (zeros, ones, "")] == ["test"] * 3
    assert [folders.split_of(digest, 1 - 2**-40) for digest in (zeros, ones, "")] == ["test", "train", "train"]
    assert [folders.split_of(f"{digit}{63 * '0'}", 0.5) for digit in "78"] == ["test", "train"]


def test_a_folder_with_nothing_but_a_link_to_a_folder_is_none_of_pictures() -> None:
    Path("links").mkdir()
    Path("links/1").symlink_to("../own/1")
    assert not folders.holds_folders(Path("links"))
    assert refusal("links").startswith("links: no IDX files in this folder and no folder of pictures for each")


def test_a_class_of_test_images_alone_is_a_class() -> None:
    """Its name was looked for among those of the training folders: what convert had written could not be read."""
    for split, names in (("train", "12"), ("test", "123")):
        for name in names:
            save(Path("apart", split, name, "a.png"), int(name))
    assert folders.class_names(Path("apart")) == ["1", "2", "3"]
    assert sorted(load("apart", "test").labels.tolist()) == [1, 2, 3]


def test_folders_beside_the_two_splits_are_said_not_to_be_read() -> None:
    Path("own").rename("train")
    save(Path("own/test/1/80.png"))
    Path("train").rename("own/train")
    assert load().note == ""
    for name in ("val/1", ".hidden", "more"):
        Path("own", name).mkdir(parents=True)
    there = "own: only train and test are read, not more, val; put all pictures into these two"
    assert load().note == load(split="test").note == there
