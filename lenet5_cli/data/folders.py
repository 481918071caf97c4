"""Read a folder that holds a folder of pictures for each class, as images of 28x28 pixels.

Pictures are ordered by their SHA-256: any number of them from the end is a random sample, and the order does not depend
on file names, the machine or the order in which the files were created.
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
    """Reads the picture at a path as 28x28 pixels, only scaled if true is passed; raises LeNet5Error if it cannot."""

MAX_UNREADABLE: Final = 0.05  # of the pictures: if more cannot be read, this is not just a few damaged files

_FORM: Final = "pictures 8"  # version of what is cached: increase it when pictures are read in another way
_COUNT: Final = 1_000_000  # pictures at most, as they are kept in memory
_CHUNK: Final = 64  # pictures that a process reads at a time
_WORTH: Final = 1000  # pictures from which on starting processes saves more time than it takes
_ENDINGS: Final = (
    *(".bmp", ".gif", ".heic", ".heif", ".jfif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm"),
    *(".tif", ".tiff", ".webp"),
)
# Files and folders that Windows, Linux, NAS systems and macOS create by themselves, in lower case.
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


def holds_folders(folder: Path) -> bool:
    """Tell whether a folder holds folders, so that it can be a folder of pictures."""
    return any(_classes(folder, names_only=True))


def is_split(folder: Path) -> bool:
    """Tell whether a folder is split already, into folders ``train`` and ``test``."""
    return (folder / "train").is_dir() and (folder / "test").is_dir()


def note(folder: Path) -> str:
    """Return a note if there are folders beside ``train`` and ``test``, which are not read; else nothing."""
    others = set(_classes(folder, names_only=True)) - {"train", "test"} if is_split(folder) else ()
    if not others:
        return ""
    return f"{folder}: only train and test are read, not {', '.join(sorted(others))}; put all pictures into these two"


def tops(folder: Path) -> list[Path]:
    """Return the folders that hold those of the classes: ``train`` and ``test``, ``train`` alone, or the folder."""
    if is_split(folder):
        return [folder / "train", folder / "test"]
    return [folder / "train" if (folder / "train").is_dir() else folder]


def class_names(folder: Path) -> list[str]:
    """Return the names of the classes, which are those of their folders, sorted."""
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
    """Return the pictures of a split: those in ``train/`` or ``test/`` or, without these, selected by SHA-256.

    They are read once and kept in the cache; those that could not be read are tried again. Reading uses ``cores``
    processes, started by ``multiprocessing``.

    Raises:
        LeNet5Error: a class or the split has no pictures, there is only one class, or more than ``MAX_UNREADABLE`` of
            the pictures cannot be read.
    """
    top, apart = folder, is_split(folder)
    if (folder / "train").is_dir():
        if not apart and (others := [other for other in _classes(folder) if other != "train"]):
            names = f"folders train and {', '.join(others)}"
            raise LeNet5Error(f"{folder}: {names}; expected train and test, or a folder of pictures for each class")
        top = folder / (split if apart else "train")
    there = scan(top, whole=split == "train")
    found = there if apart else [each for each in there if split_of(each.digest, test_fraction) == split]
    if not there:
        raise LeNet5Error(f"{top}: no pictures; expected some of each class")
    if not found:
        raise LeNet5Error(f"{top}: {none_in(split, len(there), test_fraction)}")
    found.sort()
    digest = hashlib.sha256(repr((_FORM, as_is, [each.digest for each in found])).encode())
    reader = partial(_read_all, found, as_is, read, cores, progress)
    still = partial(_still_unreadable, found, as_is, read)
    images, notes = cache.converted(digest.hexdigest(), reader, still, unchanged=partial(_unchanged, found))
    problems: dict[str, str] = notes["unreadable"]  # keyed by index, as text because JSON has no other keys
    unreadable = [f"{each.path}: {problems[str(at)]}" for at, each in enumerate(found) if str(at) in problems]
    kept = [each for at, each in enumerate(found) if str(at) not in problems]
    if len(unreadable) > MAX_UNREADABLE * len(there):
        raise LeNet5Error(
            f"{top}: {len(unreadable):,} of {len(there):,} pictures cannot be read, more than"
            f" {100 * MAX_UNREADABLE:.0f} %; the first: {unreadable[0]}"
        )
    return Pictures(images, [each.label for each in kept], [each.path for each in kept], unreadable)


def split_of(digest: str, test_fraction: float) -> str:
    """Return the split that a SHA-256 in hex selects: ``test`` for the given fraction of all, else ``train``.

    >>> split_of("7f" + 62 * "0", 0.5), split_of("80" + 62 * "0", 0.5)
    ('test', 'train')
    """
    return "test" if int(digest[:13] or "f" * 13, 16) < test_fraction * 16**13 else "train"


def none_in(split: str, count: int, test_fraction: float) -> str:
    """Return the message for a split that has no image."""
    of = f"none of {count:,} images is" if count > 1 else "its only image is not"
    ends: dict[float, str] = {0: "expected more than 0", 1: "expected less than 1"}
    advice = ends.get(test_fraction, "give another fraction, or more images")
    return f"{of} in the {split} split at a test_fraction of {test_fraction:g}; {advice}"


def scan(top: Path, *, whole: bool = True) -> list[Picture]:
    """Return the pictures of all classes in a folder; if ``whole``, every class must have some.

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
            raise LeNet5Error(f"{top / label}: with these, more than {_COUNT:,} pictures; use fewer")
        found += [_digested(path, label) for path in files]
    labels = Counter(each.label for each in found)
    if whole and len(labels) < 2:
        there = f"pictures of one class, {next(iter(labels))}" if labels else "no folders of pictures"
        raise LeNet5Error(f"{top}: {there}; expected a folder of pictures for each class")
    return found


def is_picture(name: str) -> bool:
    """Tell by its name whether a file is a picture, and not one that an operating system creates by itself."""
    return name.lower().endswith(_ENDINGS) and not of_system(name)


def of_system(name: str) -> bool:
    """Tell whether a file or folder is hidden, or one that an operating system creates by itself."""
    return name.startswith(".") or name.lower() in _OF_SYSTEMS


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield the entries of a folder, without those of ``of_system``."""
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
    """Return the images of the pictures that can be read, and notes with the reason for each of the others."""
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

            # Spawned, not forked: this process may have threads, of BLAS or a progress bar, that hold locks.
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
    """Return the pixels of a picture, or why it cannot be decoded; None for a file that could not be read (no path)."""
    try:
        return read(path, as_is).tobytes() if path else None
    except LeNet5Error as error:
        return _without_path(error, path or "")


def _still_unreadable(found: list[Picture], as_is: bool, read: ReadPicture, notes: dict[str, Any]) -> bool:
    """Tell whether the pictures noted as unreadable still are.

    The picture may not have been the cause: memory may have been short, too many files open, or a library missing.
    """
    noted = [found[int(at)] for at in notes["unreadable"]]
    return not any(isinstance(_read_one(read, as_is, each.path), bytes) for each in noted if not each.problem)


def _unchanged(found: list[Picture]) -> bool:
    """Tell whether no picture changed between the scan and reading it."""
    return all(_digested(each.path, each.label) == each for each in found)


def _without_path(error: LeNet5Error, path: str) -> str:
    """Return the message of an error without the path, as the cache keeps it: the picture may be moved."""
    return str(error).removeprefix(f"{printable(path)}: ")
