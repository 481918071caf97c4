"""Find the IDX files of a split, named as MNIST's are, in a folder or where the user keeps MNIST."""

import os
from pathlib import Path

from lenet5_cli.data import folders
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.files import unreadable

VARIABLE = "LENET5_DATA"  # of the environment: the folder of the default data set, mnist
LOCAL = Path("mnist_data")  # the report's place, in the current folder
NAMES_FILE = "names.txt"  # in a folder of IDX files: the names of the classes, one a line
PREFIXES = {"train": "train", "test": "t10k"}  # of the names of a split's files


def kept(split: str) -> tuple[Path, Path] | None:
    """Return the images and labels files of MNIST where the user may keep them: ``VARIABLE``'s folder, else ``LOCAL``.

    Raises:
        LeNet5Error: ``VARIABLE`` names a folder without them.
    """
    folder = os.environ.get(VARIABLE)
    return _in_variable(folder, split) if folder else find(LOCAL, split)


def _in_variable(folder: str, split: str) -> tuple[Path, Path]:
    """Return the images and labels files of a split in the folder that the environment names."""
    expected = "expected the folder of MNIST's IDX files"
    try:
        if Path(folder).is_dir():
            return files(folder, split)
        there = "a file" if Path(folder).exists() else "no such folder"
    except LeNet5Error as error:
        raise LeNet5Error(f"{VARIABLE}: {error}") from None
    except OSError as problem:
        raise LeNet5Error(f"{VARIABLE}: {unreadable(folder, problem)}; {expected}") from None
    raise LeNet5Error(f"{VARIABLE}: {folder}: {there}; {expected}")


def files(folder: str, split: str) -> tuple[Path, Path]:
    """Return the images and labels files of a split in a folder.

    Raises:
        LeNet5Error: one is not there.
    """
    place = Path(folder)
    if found := find(place, split):
        return found
    missing = next(name for name in _names(split) if not _spelled(place, name))
    what, nor = (missing, "") if holds_idx(place) else ("IDX files", " and no folder of pictures for each class")
    nor = "" if folders.holds_folders(place) else nor  # the folder that VARIABLE names is to hold MNIST's files
    raise LeNet5Error(f"{folder}: no {what} in this folder{nor}; file names tried: {', '.join(_spellings(missing))}")


def find(folder: Path, split: str) -> tuple[Path, Path] | None:
    """Return the images and labels files of a split if the folder holds both."""
    images, labels = (_spelled(folder, name) for name in _names(split))
    return (images, labels) if images and labels else None


def holds_idx(folder: Path) -> bool:
    """Tell whether a folder holds an IDX file of a split, by its name."""
    return any(_spelled(folder, name) for split in PREFIXES for name in _names(split))


def _names(split: str) -> tuple[str, str]:
    prefix = PREFIXES[split]
    return f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"


def _spellings(name: str) -> tuple[str, ...]:
    """Return the names that a file may have, uncompressed ones first."""
    dotted = name.replace("-idx", ".idx")
    return name, dotted, f"{name}.gz", f"{dotted}.gz"


def _spelled(folder: Path, name: str) -> Path | None:
    """Return the first file that has a spelling of a name; also a broken link or pipe, which reading it will report."""
    paths = [folder / spelling for spelling in _spellings(name)]
    return next((path for path in paths if _is_there(path) and not path.is_dir()), None)


def _is_there(path: Path) -> bool:
    """Tell whether a file or a broken link exists; raise PermissionError if the folder may not be searched."""
    try:
        path.lstat()
    except PermissionError:
        raise
    except (OSError, ValueError):
        return False
    return True
