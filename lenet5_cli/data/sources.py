"""Load the training or test split of a data set: by name, from a file, or from a folder."""

from __future__ import annotations

import difflib
import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lenet5_cli.data import cache, classes, folders, idx, mnist, remote, tables
from lenet5_cli.data.glyphs import DIGITS, LETTERS, MAX_CLASSES, composed, read_names
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.files import unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

_DRAWN = ("builtin", "builtin-letters")  # a colon and a number may follow
NAMES = (*remote.SETS, *_DRAWN)
FILES = (".csv", ".npz")  # the formats of single files, by suffix
ARRAYS = "arrays"  # the source of data that was given as arrays in Python

_CLASSES = {  # the names of the classes, in the order of the labels
    "builtin": DIGITS,
    "builtin-letters": LETTERS,
    "mnist": DIGITS,
    "qmnist": DIGITS,
    "emnist-digits": DIGITS,
    "emnist-letters": LETTERS,
}


_BUILTIN_COUNTS = {"train": 10_000, "test": 2_000}
_BUILTIN_SEEDS = {"train": 1, "test": 2}
_BUILTIN_MAX = 1_000_000
_CHUNK = 4096  # images hashed at a time


class AbsentError(LeNet5Error):
    """There is no such data; ``problem`` is the message without the advice."""

    def __init__(self, problem: str, advice: str = "") -> None:
        super().__init__(problem + advice)
        self.problem = problem


class DownloadError(AbsentError):
    """A file could not be downloaded from any mirror."""


@dataclass(frozen=True)
class LoadOptions:
    """How to read a source: settings that affect the result, and helpers that do not, such as a progress bar."""

    test_fraction: float = 0.2  # of a source that is not split already: the fraction that becomes its test split
    as_is: bool = False  # pictures are only scaled to 28x28
    names: Sequence[str] = DIGITS  # of the classes: a label in the data is one of these names, or its index
    read_picture: folders.ReadPicture | None = None  # reads a picture; if None, folders of pictures are refused
    cores: int = 1  # processes that read pictures
    progress: cache.Progress | None = None  # shows a download, or pictures being read
    option: str = ""  # put before the name of a data set in advice: "--data "


@dataclass(frozen=True, eq=False)
class Split:
    """The training or the test images of a data set, with their labels.

    Attributes:
        source: the argument of ``load``.
        images: (n, 28, 28) uint8, n at least 1; those of a large plain file are read on demand: a slice of them is a
            view for ``np.asarray`` to read.
        labels: (n,) uint8, the index of each image's class; whether a network has it is checked by ``demand_classes``.
        images_path, labels_path: the files of the source, or the name of the drawn data set.
        places: the file or line that each image comes from, or empty.
        unreadable: a message for each picture that could not be read.
        read_as: the settings with which it was read, by name.
        note: which meaning of the labels was taken, if they could be understood in two ways; else empty.
    """

    source: str
    images: NDArray[np.uint8] | idx.Stored
    labels: NDArray[np.uint8]
    images_path: str
    labels_path: str
    places: Sequence[str] = ()
    unreadable: Sequence[str] = ()
    read_as: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""

    def __repr__(self) -> str:
        """Return the source and the number of images, which a notebook shows."""
        return f"Split({self.source!r}, {len(self.images):,} images)"

    def part(self, images: slice) -> Split:
        """Return views of some of the images and their labels."""
        return replace(self, images=self.images[images], labels=self.labels[images], places=self.places[images])

    @cached_property
    def sha256(self) -> str:
        """SHA-256, in hex, of all bytes of the images, then of the labels; the same however the files are stored."""
        digest = hashlib.sha256()
        for array in (self.images, self.labels):
            for start in range(0, len(array), _CHUNK):
                digest.update(np.ascontiguousarray(array[start : start + _CHUNK]).data)
        return digest.hexdigest()


def load(source: str, split: str, how: LoadOptions | None = None) -> Split:
    """Load one split, ``train`` or ``test``, of a data set.

    ``source`` is the name of a data set, ``builtin:N`` or ``builtin-letters:N`` for N training images, a folder of IDX
    files, a folder with a folder of pictures for each class, a CSV file or an .npz file; write a folder that is named
    like a data set as ``./mnist``. ``mnist`` is taken from the folder that ``LENET5_DATA`` names, else from the folder
    ``mnist_data`` if the split is there, else from the cache (``LENET5_CACHE``, or the user's cache folder), into which
    it is downloaded once. A data set can have other splits too: ``qmnist`` has ``test50k``.

    Raises:
        DownloadError: the files cannot be downloaded.
        LeNet5Error: there is no such data, or it is damaged.
    """
    how = how or LoadOptions()
    splits = remote.SETS[source].splits if source in remote.SETS else mnist.PREFIXES
    if split not in splits:
        raise LeNet5Error(f"{source}: no split {split}; its splits are {', '.join(splits)}")
    try:
        if is_drawn(source):
            return _draw(source, split, how)
        path = Path(source)
        if not source:  # whose path would be the current folder
            raise _unknown(source, how)
        if _is_table(path):
            found = (_read_csv if path.suffix.lower() == ".csv" else _read_npz)(source, split, how)
        elif source not in remote.SETS and holds_pictures(path):
            found = _read_pictures(source, split, how)
        else:
            return _read_idx(source, split, how)
        note = folders.note(path) or classes.note(source, how.names, _class_names)
        return replace(found, note=note)
    except OSError as problem:
        raise unreadable(problem.filename or source, problem) from problem


def read_as(source: str) -> tuple[str, ...]:
    """Return which of the settings ``test_fraction`` and ``as_is`` affect how a source is read.

    Raises:
        LeNet5Error: it cannot be read.
    """
    path = Path(source)
    if source in remote.SETS or is_drawn(source):
        return ()
    try:
        if _is_table(path):
            return () if path.suffix.lower() == ".npz" and tables.is_split(source) else ("test_fraction",)
        if holds_pictures(path):
            return ("as_is",) if folders.is_split(path) else ("test_fraction", "as_is")
        return () if path.is_dir() else ("test_fraction", "as_is")
    except OSError as problem:
        raise unreadable(problem.filename or source, problem) from problem


def is_drawn(source: str) -> bool:
    """Tell whether a source is one of the built-in data sets, which lenet5 draws itself."""
    return source.partition(":")[0] in _DRAWN


def _draw(source: str, split: str, how: LoadOptions) -> Split:
    """Draw built-in digits or letters; a number in the source counts training images; test images never change."""
    count = _BUILTIN_COUNTS[split]
    name, colon, number = source.partition(":")
    if colon:
        expected = int(number) if number.isdecimal() and len(number) <= len(str(_BUILTIN_MAX)) else 0
        if not 1 <= expected <= _BUILTIN_MAX:
            raise LeNet5Error(
                f"{source}: expected a number of training images from 1 to {_BUILTIN_MAX:,} after the colon,"
                f" as in {name}:60000"
            )
        count = expected if split == "train" else count
    from lenet5_cli.data import drawn  # noqa: PLC0415 - needs Pillow, which other data does not

    indices = classes.indices(_CLASSES[name], places(source, how.names), how.names, lambda _: source)
    images, labels = (drawn.draw if name == "builtin" else drawn.draw_letters)(count, _BUILTIN_SEEDS[split])
    return Split(source, images, indices[labels], name, name)


def _read_idx(source: str, split: str, how: LoadOptions) -> Split:
    """Load a split from IDX files: in a folder, in one of the places where MNIST may be, or in the cache."""
    if source == "mnist" and (kept := mnist.kept(split)):
        return _read(source, *kept, how)
    if source in remote.SETS:
        return fetched(source, split, how)
    path = Path(source)
    if not path.exists():
        raise _unknown(source, how)
    if not path.is_dir():
        raise LeNet5Error(f"{source}: a file; expected a folder, or a file that ends in {' or '.join(FILES)}")
    if not mnist.holds_idx(path) and (held := sorted(filter(_is_table, path.iterdir()))):
        there = f"no IDX files in this folder and no folder of pictures for each class, but {held[0].name}"
        raise LeNet5Error(f"{source}: {there}; name the file, such as {held[0]}")
    return _read(source, *mnist.files(source, split), how)


def _read(source: str, images_path: Path, labels_path: Path, how: LoadOptions) -> Split:
    images, labels = idx.read_images(images_path), idx.read_labels(labels_path)
    split = _checked(Split(source, images, labels, str(images_path), str(labels_path)))
    return _renamed(split, images_path.with_name(mnist.NAMES_FILE), how)


def _renamed(split: Split, names_path: Path, how: LoadOptions) -> Split:
    """Map labels to indices in ``how.names``, by the file of names beside IDX files if there is one."""
    names = read_names(names_path)
    if names is None:
        return _known(split, how)
    for index in np.flatnonzero(split.labels >= len(names)):
        there = f"label {split.labels[index]} at index {index:,}, counted from 0"
        raise LeNet5Error(f"{split.labels_path}: {there}, but {len(names)} names in {names_path}")
    known = classes.places(names, how.names)
    indices = classes.indices(names, known, how.names, lambda at: f"{names_path}: line {at + 1}")
    return replace(split, labels=indices[split.labels])


def _known(split: Split, how: LoadOptions) -> Split:
    """Map labels to indices in ``how.names`` if the classes of the source are known; else leave them as they are."""
    own = classes_of(split.source) or _digits_in(split.source, how.names)
    if not own or split.labels.max() >= len(own):  # other data may have been put in the place of MNIST
        return split
    indices = classes.indices(own, classes.places(own, how.names, certain=True), how.names, lambda _: split.source)
    return replace(split, labels=indices[split.labels])


def fetched(source: str, split: str, how: LoadOptions) -> Split:
    """Load a split of a published data set from the cache, into which it is downloaded once.

    Raises:
        DownloadError: it cannot be downloaded.
    """
    try:
        images, labels, paths = remote.load(source, split, how.progress)
    except OSError as problem:
        data = remote.SETS[source]
        place = f"put them into {mnist.LOCAL}/ or " if source == "mnist" else ""
        idx_files = f"get the four files from {data.page} and {place}give {how.option}their folder"
        advice = idx_files if data.plain else f"get it from {data.page}"
        advice = f"; {advice}, or use {how.option}builtin, which needs no download"
        raise DownloadError(f"{source}: {problem}", advice) from None
    return _known(_checked(Split(source, images, labels, *paths)), how)


def _checked(split: Split) -> Split:
    """Return a split after checking that it has as many labels as images, and images of 28x28 pixels."""
    images, labels, path = split.images, split.labels, split.images_path
    if len(images) != len(labels):
        raise LeNet5Error(
            f"{path}: {len(images):,} images, but {len(labels):,} labels in {split.labels_path};"
            " expected a label for each image"
        )
    if not len(images):
        raise LeNet5Error(f"{path}: no images; expected at least one")
    rows, columns = images.shape[1:]
    if (rows, columns) != (28, 28):
        raise LeNet5Error(f"{path}: images of {rows}x{columns} pixels; expected 28x28")
    tables.demand_visible(path, images)
    return split


def class_names(source: str) -> tuple[str, ...]:
    """Return the names of the classes of what ``load`` takes, in the order of their labels.

    They are the names of its folders of pictures, the lines of ``names.txt`` in its folder of IDX files, or the labels
    in its file. If these are numbers, or there are no names, the result is all numbers that a label can be.

    Raises:
        LeNet5Error: it cannot be read, or has more classes than a glyph sheet can.
    """
    numbers, found = tuple(map(str, range(256))), _class_names(source)
    if found is None or set(found) <= set(numbers):
        return numbers
    if len(found) > MAX_CLASSES:
        raise LeNet5Error(f"{source}: {len(found):,} classes; expected at most {MAX_CLASSES}")
    return tuple(dict.fromkeys(map(composed, found)))


def _class_names(source: str) -> Sequence[str] | None:
    """Return the names of the classes that a source states, or None if it states none."""
    path = Path(source)
    if source in remote.SETS or is_drawn(source):
        return _CLASSES.get(source.partition(":")[0])
    if _is_table(path):
        if path.suffix.lower() == ".csv":
            return sorted(set(tables.cached_csv(source).labels))
        return sorted(tables.labels_of(source))
    if source and path.is_dir():
        return read_names(path / mnist.NAMES_FILE) if mnist.holds_idx(path) else folders.class_names(path)
    return None


def places(source: str, names: Sequence[str]) -> dict[str, int]:
    """Return the index in ``names``, the names of the classes, that each label of a source stands for.

    Raises:
        LeNet5Error: it cannot be read.
    """
    known = classes_of(source) or _digits_in(source, names)
    return classes.places(known or _class_names(source) or (), names, certain=bool(known))


def _digits_in(source: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return the digits if the labels of a folder of IDX files are digits, not indices in ``names``; else nothing.

    They are taken as digits if the folder has no file of names, all labels are below 10, and each digit has a glyph.
    """
    folder = Path(source)
    if tuple(names[: len(DIGITS)]) == DIGITS or not set(DIGITS) <= set(names):  # if the first, both are the same
        return ()
    holds_idx = source not in remote.SETS and folder.is_dir() and mnist.holds_idx(folder)
    if not holds_idx or (folder / mnist.NAMES_FILE).exists():
        return ()
    found = [mnist.find(folder, split) for split in mnist.PREFIXES]
    return DIGITS if all((idx.read_labels(paths[1]) < len(DIGITS)).all() for paths in found if paths) else ()


def are_digits(source: str) -> bool:
    """Tell whether a source states that its classes are the ten digits."""
    return set(_class_names(source) or ()) == set(DIGITS)


def classes_of(source: str) -> tuple[str, ...]:
    """Return the names of the classes of a known data set, in the order of its labels; of any other, nothing."""
    return _CLASSES.get(source.partition(":")[0], ())


def _read_pictures(source: str, split: str, how: LoadOptions) -> Split:
    if how.read_picture is None:
        raise LeNet5Error(f"{source}: a folder of pictures, but no read_picture to read them")
    found = folders.load(
        Path(source),
        split,
        test_fraction=how.test_fraction,
        as_is=how.as_is,
        read=how.read_picture,
        cores=how.cores,
        progress=how.progress,
    )
    known = places(source, how.names)
    labels = classes.indices(found.labels, known, how.names, lambda at: str(Path(found.paths[at]).parent))
    return _checked(Split(source, found.images, labels, source, source, found.paths, found.unreadable))


def _read_csv(source: str, split: str, how: LoadOptions) -> Split:
    table = tables.cached_csv(source)
    lines = [f"{source}: line {line}" for line in range(table.first, table.first + len(table.labels))]
    labels = classes.indices(table.labels, classes.places(table.labels, how.names), how.names, lines.__getitem__)
    return _selected(Split(source, table.images, labels, source, source, lines), split, how)


def _read_npz(source: str, split: str, how: LoadOptions) -> Split:
    table, apart = tables.read_npz(source, split)
    known = places(source, how.names)
    where = f"{source}: y_{split if apart else 'train'}: label"
    labels = classes.indices(table.labels, known, how.names, lambda at: f"{where} {at:,}, counted from 0")
    found = Split(source, table.images, labels, source, source)
    return found if apart else _selected(found, split, how)


def _selected(whole: Split, split: str, how: LoadOptions) -> Split:
    """Return the images that belong to a split by their SHA-256, so that equal images are in the same split."""
    images = np.asarray(whole.images)
    splits = [folders.split_of(hashlib.sha256(image).hexdigest(), how.test_fraction) for image in images]
    chosen = np.flatnonzero(np.array(splits) == split)
    if not len(chosen):
        raise LeNet5Error(f"{whole.source}: {folders.none_in(split, len(images), how.test_fraction)}")
    kept = [whole.places[at] for at in chosen.tolist()] if whole.places else ()
    return replace(whole, images=images[chosen], labels=whole.labels[chosen], places=kept)


def _is_table(path: Path) -> bool:
    """Tell whether a path is an existing CSV or .npz file."""
    return path.suffix.lower() in FILES and path.is_file()


def holds_pictures(folder: Path) -> bool:
    """Tell whether a folder holds folders of pictures, and no IDX files."""
    return folder.is_dir() and not mnist.holds_idx(folder) and folders.holds_folders(folder)


def _unknown(source: str, how: LoadOptions) -> AbsentError:
    moved = f"if it has moved, give {how.option}its new path"
    if Path(source).name != source:
        return AbsentError(f"{source}: no such folder or file", f"; {moved}")
    near = difflib.get_close_matches(source.lower(), NAMES, n=1)
    hint = f"did you mean {near[0]}? {moved}" if near else moved  # a folder may be called nearly like a data set
    if source == ARRAYS:
        hint = "this name stands for arrays that a run in Python was given; pass them or the same data again"
    problem = f"{source or '(nothing)'}: no such data set, folder or file"
    return AbsentError(problem, f"; the data sets are {', '.join(NAMES)}; {hint}")
