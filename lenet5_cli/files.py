"""Files that appear whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from lenet5_cli.errors import LeNet5Error


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open what shall be the new content of a file: it takes the name at the end, when it is on the disk.

    A symbolic link stays, and what it leads to is replaced.

    Raises:
        LeNet5Error: the disk is full, the folder cannot be written, or the name is of a device or pipe; what was there
            before stays.
    """
    try:
        target = Path(path).resolve()
        if target.exists() and not target.is_file():
            raise LeNet5Error(f"{path}: {'a folder' if target.is_dir() else 'no regular file'}; a file was wanted")
        temporary = target.with_name(f".{target.name}.part")
        temporary.unlink(missing_ok=True)  # left by a run that was killed while it wrote
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(target.parent)
    except (OSError, ValueError) as error:
        raise LeNet5Error(f"{path}: cannot be written: {getattr(error, 'strerror', None) or error}") from None


def _sync_folder(folder: Path) -> None:
    """Make a new name in a folder survive a loss of power, where the system can."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
