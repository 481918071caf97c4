"""A folder with a folder of pictures for each class, as images of 28x28 pixels.

Pictures are in the order of their SHA-256: any number of them from the end is a fair sample, and the order does not
depend on names, on the machine or on how the pictures came into the folders.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import numpy as np

from lenet5_cli.data import cache
from lenet5_cli.errors import LeNet5Error, printable
from lenet5_cli.files import PICTURE_LIMIT, content, unreadable
from lenet5_cli.processes import begin_reading, ctrl_c_held_back

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from lenet5_cli.data.idx import Stored

    ReadPicture: TypeAlias = Callable[[str, bool], NDArray[np.uint8]]
    """From the path of a picture to 28x28 pixels; true: scaled as it is. What cannot be read raises LeNet5Error."""

MAX_UNREADABLE: Final = 0.05  # of the pictures: more is another kind of data, not a few damaged files

_FORM: Final = "pictures 6"  # of what is kept in the cache; another reader of pictures has another number
_COUNT: Final = 1_000_000  # pictures, kept in memory
_CHUNK: Final = 64  # pictures that a process reads at a time
_WORTH: Final = 1000  # pictures for which starting processes takes less time than it saves
# What Windows leaves in folders and on disks, Linux on disks, a NAS in folders, macOS in archives; in small letters.
_OF_SYSTEMS: Final = (
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"),
    *("lost+found", "@eadir", "__macosx"),
)


class Picture(NamedTuple):
    """A file in the folder of a class."""

    digest: str  # SHA-256 of its bytes; empty where it could not be read
    path: str
    label: str  # the folder's name
    problem: str  # why it could not be read


class Pictures(NamedTuple):
    """The pictures of a split that could be read, and why others could not."""

    images: NDArray[np.uint8] | Stored  # (n, 28, 28)
    labels: list[str]
    paths: list[str]
    unreadable: list[str]


def is_one(folder: Path) -> bool:
    """Tell whether there are folders in a folder."""
    return any(_classes(folder, names_only=True))


def is_split(folder: Path) -> bool:
    """Tell whether the training and the test split have folders of their own in a folder."""
    return (folder / "train").is_dir() and (folder / "test").is_dir()


def tops(folder: Path) -> list[Path]:
    """Return the folders in which those of the classes are: of each split or of one, or the folder itself."""
    if is_split(folder):
        return [folder / "train", folder / "test"]
    return [folder / "train" if (folder / "train").is_dir() else folder]


def class_names(folder: Path) -> list[str]:
    """Return the names of the folders that are the classes, in order."""
    return sorted({name for top in tops(folder) for name in _classes(top)})


def load(
    folder: Path,
    split: str,
    *,
    test_fraction: float,
    as_is: bool,
    read: ReadPicture,
    cores: int = 1,
    progress: cache.Progress | None = None,
) -> Pictures:
    """Return the pictures of ``train/`` or ``test/``, or of one side of a split by the pictures' SHA-256.

    They are read once and kept in the cache, but those that could not be read are tried again; with ``cores``, by as
    many processes, which ``multiprocessing`` starts.

    Raises:
        LeNet5Error: a class or the split has no pictures, there is only one class, or more than ``MAX_UNREADABLE`` of
            the pictures cannot be read.
    """
    top, fraction = folder, test_fraction
    if (folder / "train").is_dir():
        apart = is_split(folder)
        if not apart and (beside := [other for other in _classes(folder) if other != "train"]):
            names = f"folders train and {', '.join(beside)}"
            raise LeNet5Error(f"{folder}: {names}; expected train and test, or a folder of pictures for each class")
        top, fraction = folder / (split if apart else "train"), -1.0 if apart else test_fraction
    there = scan(top, whole=split == "train")
    found = [each for each in there if fraction < 0 or side(each.digest, fraction) == split]
    if not there:
        raise LeNet5Error(f"{top}: no pictures; expected some of each class")
    if not found:
        raise LeNet5Error(f"{top}: {none_in(split, len(there), fraction)}")
    found.sort()
    digest = hashlib.sha256(repr((_FORM, as_is, [each.digest for each in found])).encode())
    reader = partial(_read_all, found, as_is, read, cores, progress)
    still = partial(_still_unreadable, found, as_is, read)
    images, notes = cache.converted(digest.hexdigest(), reader, still, unchanged=partial(_unchanged, found))
    problems: dict[str, str] = notes["unreadable"]  # by place, as JSON has it
    unreadable = [f"{each.path}: {problems[str(at)]}" for at, each in enumerate(found) if str(at) in problems]
    kept = [each for at, each in enumerate(found) if str(at) not in problems]
    if len(unreadable) > MAX_UNREADABLE * len(there):
        raise LeNet5Error(
            f"{top}: {len(unreadable):,} of {len(there):,} pictures cannot be read, more than"
            f" {100 * MAX_UNREADABLE:.0f} %; the first: {unreadable[0]}"
        )
    return Pictures(images, [each.label for each in kept], [each.path for each in kept], unreadable)


def side(digest: str, test_fraction: float) -> str:
    """Return the split to which a SHA-256 in hex belongs: ``test`` for this fraction of all, else ``train``.

    >>> side("7f" + 62 * "0", 0.5), side("80" + 62 * "0", 0.5)
    ('test', 'train')
    """
    return "test" if int(digest[:13] or "f" * 13, 16) < test_fraction * 16**13 else "train"


def none_in(split: str, count: int, test_fraction: float) -> str:
    """Return what to say where no image is on one side."""
    of = f"none of {count:,} images is" if count > 1 else "its one image is not"
    return f"{of} in the {split} split by --test-fraction {test_fraction:g}; give another fraction, or more images"


def scan(top: Path, *, whole: bool = True) -> list[Picture]:
    """Return the pictures in the folders of a folder; if it is the ``whole`` of a data set, every class must have some.

    Raises:
        LeNet5Error: a class is a link or has no pictures, or folders in their place, there is only one class, or there
            are too many pictures.
    """
    found = list[Picture]()
    for label in _classes(top):
        entries = list(_entries(top / label))
        files = sorted(entry.path for entry in entries)
        if whole and not files:
            raise LeNet5Error(f"{top / label}: no pictures; expected some of each class")
        if files and all(entry.is_dir() for entry in entries):
            there = f"{top / label}: no pictures, but folders, such as {Path(files[0]).name}"
            raise LeNet5Error(f"{there}; expected pictures of one class; folders of splits are named train and test")
        if len(found) + len(files) > _COUNT:
            raise LeNet5Error(f"{top / label}: with these, more than {_COUNT:,} pictures; take fewer")
        found += [_digested(path, label) for path in files]
    labels = Counter(each.label for each in found)
    if whole and len(labels) < 2:
        there = f"pictures of one class, {next(iter(labels))}" if labels else "no folders of pictures"
        raise LeNet5Error(f"{top}: {there}; expected a folder of pictures for each class")
    return found


def of_system(name: str) -> bool:
    """Tell whether a file or folder is hidden, or what a system puts among pictures."""
    return name.startswith(".") or name.lower() in _OF_SYSTEMS


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield what is in a folder, without what systems put there."""
    try:
        with os.scandir(folder) as entries:
            yield from (each for each in entries if not of_system(each.name))
    except OSError as error:
        raise unreadable(folder, error, "a folder of pictures") from None


def _classes(top: Path, *, names_only: bool = False) -> list[str]:
    names = []
    for entry in _entries(top):
        if entry.is_dir(follow_symlinks=False):
            names.append(entry.name)
        elif entry.is_dir() and not names_only:
            raise LeNet5Error(
                f"{entry.path}: a symbolic link to {Path(entry.path).readlink()}, a folder; expected the folder itself"
            )
    return sorted(names)


def _digested(path: str, label: str) -> Picture:
    try:
        return Picture(hashlib.sha256(content(path, PICTURE_LIMIT, "a picture")).hexdigest(), path, label, "")
    except LeNet5Error as error:
        return Picture("", path, label, _without_path(error, path))


def _read_all(
    found: list[Picture], as_is: bool, read: ReadPicture, cores: int, progress: cache.Progress | None
) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    """Return the images of the pictures that can be read, and notes of the others."""
    if progress is not None:
        progress.total = len(found)
    paths = [None if each.problem else each.path for each in found]
    images, problems = list[bytes](), {str(at): each.problem for at, each in enumerate(found) if each.problem}
    with ExitStack() as stack:
        work = partial(_read_one, read, as_is)
        done: Iterable[bytes | str | None] = map(work, paths)
        if cores > 1 and len(found) >= _WORTH:
            from concurrent.futures import ProcessPoolExecutor  # noqa: PLC0415 - slow to import, as is the next
            from multiprocessing import get_context  # noqa: PLC0415

            # Spawned and not forked: this process may have threads, of BLAS or of a bar, that hold locks.
            with ctrl_c_held_back():
                pool = ProcessPoolExecutor(cores, get_context("spawn"), initializer=begin_reading)
                stack.callback(pool.shutdown, cancel_futures=True)
                done = pool.map(work, paths, chunksize=_CHUNK)
        for at, result in enumerate(done):
            if isinstance(result, bytes):
                images.append(result)
            elif result is not None:
                problems[str(at)] = result
            if progress is not None:
                progress.update(1)
    array = np.frombuffer(b"".join(images), np.uint8).reshape(-1, 28, 28)
    return array, {"unreadable": problems}


def _read_one(read: ReadPicture, as_is: bool, path: str | None) -> bytes | str | None:
    """Return the pixels of a picture, or why it cannot be read; nothing of one whose file could not be read."""
    try:
        return read(path, as_is).tobytes() if path else None
    except LeNet5Error as error:
        return _without_path(error, path or "")


def _still_unreadable(found: list[Picture], as_is: bool, read: ReadPicture, notes: dict[str, Any]) -> bool:
    """Tell whether none of the pictures noted as unreadable can be read now: it may not have been their fault.

    Memory may have been short, too many files open, or a library missing that reads them.
    """
    noted = [found[int(at)] for at in notes["unreadable"]]
    return not any(isinstance(_read_one(read, as_is, each.path), bytes) for each in noted if not each.problem)


def _unchanged(found: list[Picture]) -> bool:
    """Tell whether all pictures are what they were: one may have changed before it was read."""
    return all(_digested(each.path, each.label) == each for each in found)


def _without_path(error: LeNet5Error, path: str) -> str:
    """Return what an error says of a picture: in the cache it is kept without the path, which may change."""
    return str(error).removeprefix(f"{printable(path)}: ")
