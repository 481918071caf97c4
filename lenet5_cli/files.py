"""Open regular files, write files atomically, lock them, and find the files that are shipped with lenet5."""

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from lenet5_cli.errors import LeNet5Error, printable

try:
    import fcntl
except ImportError:  # outside POSIX there are no such locks
    fcntl = None  # type: ignore[assignment]

_PACKAGE = Path(__file__).parent

BUNDLED = "bundled"  # names the model that comes with lenet5, wherever a checkpoint is expected
BUNDLED_MODEL = _PACKAGE / "bundled.pkl"  # made by ``python benchmarks/bundled.py``

PICTURE_LIMIT = 1 << 28  # bytes of a picture's file; 36 million pixels without compression take fewer

FILLING = (".lenet5.part", ".lenet5.lock")  # the hidden folder and the lock in a folder that is being filled

# What a file may hold by mistake, such as after a failed download, by its first bytes.
_LIKENESSES = {
    b"\x1f\x8b": "gzip data",
    b"BZh": "bzip2 data",
    b"\xfd7zXZ": "xz data",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"%PDF": "a PDF document",
    b"\x89HDF": "an HDF5 file",
    b"\x93NUM": "a NumPy file",
    b"PK\x03\x04": "a zip archive",
    b"\x7fELF": "a program",
    b"<": "a web page",
    b"vers": "a Git LFS pointer",
    b"{": "JSON",
    b"[": "JSON",
}


def shipped_folder(name: str) -> Path:
    """Return the folder ``glyphs`` or ``configs``: beside the package in a checkout, inside it in a wheel."""
    packed = _PACKAGE / "shipped" / name
    return packed if packed.is_dir() else _PACKAGE.parent / name


def shipped_sheets() -> list[str]:
    """Return the names of the glyph sheets that come with lenet5."""
    return sorted(path.stem for path in shipped_folder("glyphs").glob("*.txt") if "." not in path.stem)


def likeness(start: bytes) -> str | None:
    """Return what a file looks like by its first bytes, such as ``a zip archive``, or None if unknown."""
    return next((name for first, name in _LIKENESSES.items() if start.startswith(first)), None)


def open_regular(path: str | os.PathLike[str], expected: str) -> IO[bytes]:
    """Open a regular file for unbuffered reading, without waiting for a pipe or touching a device.

    A symbolic link to a regular file is followed: git-annex, DVC and caches keep data behind such links.

    Raises:
        LeNet5Error: there is no such file, it is a folder, a pipe, a device or a link to one or to nothing, or it
            cannot be read.
    """
    if not os.fspath(path):
        raise LeNet5Error(f"an empty name; expected {expected}")
    try:
        kind = _kind(Path(path).stat().st_mode)
        if kind is None:
            flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
            file: IO[bytes] = os.fdopen(os.open(path, flags), "rb", buffering=0)
            kind = _kind(os.fstat(file.fileno()).st_mode)  # the file may have been replaced since
            if kind is None:
                return file
            file.close()
    except FileNotFoundError:
        there = f"a symbolic link to {target}, which does not exist" if (target := _link(path)) else "no such file"
        raise LeNet5Error(f"{path}: {there}; expected {expected}") from None
    except (OSError, ValueError) as error:
        raise unreadable(path, error, expected) from None
    there = f"a symbolic link to {target}, {kind}" if (target := _link(path)) else kind
    raise LeNet5Error(f"{path}: {there}; expected {expected}")


def content(path: str | os.PathLike[str], limit: int, expected: str) -> bytes:
    """Return the bytes of a regular file of at most ``limit`` bytes; nothing of a larger one is read.

    Raises:
        LeNet5Error: it is larger, not a regular file, or cannot be read.
    """
    with open_regular(path, expected) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise LeNet5Error(f"{path}: {size:,} bytes; expected {expected} of at most {limit:,}")
        try:
            return file.read(limit)
        except OSError as error:
            raise unreadable(path, error, expected) from None


def _link(path: str | os.PathLike[str]) -> str | None:
    """Return the target of a symbolic link, or None if the path is not one."""
    try:
        return str(Path(path).readlink())
    except OSError:
        return None


def _kind(mode: int) -> str | None:
    """Return what kind of file this is, or None for a regular one."""
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe"}
    return None if stat.S_ISREG(mode) else kinds.get(stat.S_IFMT(mode), "a device or socket")


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Replace a file atomically: write a temporary file beside it, sync it to disk, then rename it.

    If the path is a symbolic link, its target is replaced. Permissions are kept. If two processes write the same file,
    for example when both unpack the same data into the cache, one waits for the other, where the system has locks.

    Raises:
        LeNet5Error: the disk is full, the folder cannot be written, or the path is a device or pipe; the old file
            stays.
    """
    try:
        target = _target(path)
        temporary = target.with_name(f".{target.name}.part")
        handle = _lock_temporary(temporary, path)
        if handle is None:
            temporary.unlink(missing_ok=True)  # left by a run that was killed while writing
        try:
            with temporary.open("xb" if handle is None else "wb") as file:
                yield file
                file.flush()
                _copy_owner(target, file.fileno())
                os.fsync(file.fileno())
            if target.exists():
                shutil.copymode(target, temporary)
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        finally:
            if handle is not None:
                os.close(handle)
        _sync_folder(target.parent)
    except (OSError, ValueError) as error:
        raise unwritable(path, error) from None


def _copy_owner(target: Path, file: int) -> None:
    """Give an open file the owner and group of an existing one, or only the group: only root may change the owner.

    Does nothing where the disk or the system has no owners.
    """
    with suppress(OSError, AttributeError):
        there = target.stat()
        for owner in (there.st_uid, -1):
            with suppress(OSError):
                os.fchown(file, owner, there.st_gid)
                break


@contextmanager
def filling(folder: Path) -> Iterator[Path]:
    """Fill a folder with all of its files or none: yield a hidden folder in it, whose files are moved up at the end.

    The folder is made if it does not exist, and removed again if filling it fails. If two processes fill the same
    folder, one waits for the other, where the system has locks.

    Raises:
        LeNet5Error: the disk is full, or the folder cannot be written; existing files stay.
    """
    made, temporary = not folder.exists(), folder / FILLING[0]
    target = Path(os.path.realpath(folder))  # the target of a symbolic link
    try:
        target.mkdir(parents=True, exist_ok=True)
        with _held(folder / FILLING[1], folder, wait=True):
            try:
                shutil.rmtree(temporary, ignore_errors=True)  # left by a run that was killed while writing
                temporary.mkdir()
                yield temporary
                _move_up(temporary, folder)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    except BaseException as error:
        if made:
            with suppress(OSError):
                target.rmdir()
        if isinstance(error, OSError):
            raise unwritable(folder, error) from None
        if isinstance(error, LeNet5Error):  # of a file that would have moved up
            raise LeNet5Error(str(error).replace(printable(str(temporary)), printable(str(folder)))) from None
        raise
    _sync_folder(folder)


def _move_up(temporary: Path, folder: Path) -> None:
    """Move everything in a temporary folder into its parent, in order of name; files replace files."""
    moved = sorted(temporary.iterdir())
    for each in moved:
        if (folder / each.name).is_dir() and each.is_file():
            raise IsADirectoryError(errno.EISDIR, f"{each.name} is a folder")
        if each.is_file():
            with each.open("rb") as file:
                os.fsync(file.fileno())
    for each in moved:
        each.replace(folder / each.name)


@contextmanager
def only_writer(path: str | os.PathLike[str], *, wait: bool = False) -> Iterator[None]:
    """Lock a file for writing until the block or the process ends; with ``wait``, first wait for another's lock.

    The lock is the operating system's, on an empty file beside the one to write. If the process is killed, the lock is
    released but the empty file stays; the next run reuses and removes it. Where the system has no locks, nothing is
    locked.

    Raises:
        LeNet5Error: another process holds the lock and ``wait`` is false, the folder cannot be written, or the existing
            file cannot be replaced.
    """
    with ExitStack() as held:
        try:
            target = _target(path)
            _demand_own(target, path)
            held.enter_context(_held(target.with_name(f".{target.name}.lock"), path, wait=wait))
            temporary = target.with_name(f".{target.name}.part")
            temporary.touch()  # fails at once if the folder cannot be written, even where nothing is locked
            temporary.unlink()
        except (OSError, ValueError) as error:
            raise unwritable(path, error) from None
        yield


def _demand_own(target: Path, path: str | os.PathLike[str]) -> None:
    """Refuse another user's file in a folder with the sticky bit, such as /tmp: only its owner may replace it."""
    folder = target.parent.stat()
    if not (folder.st_mode & stat.S_ISVTX and target.exists()):
        return
    if os.geteuid() not in (0, folder.st_uid, target.stat().st_uid):
        there = f"another user's file, which only its owner may replace in {target.parent}"
        raise LeNet5Error(f"{path}: {there}; write to another file")


@contextmanager
def _held(lock: Path, path: str | os.PathLike[str], *, wait: bool) -> Iterator[None]:
    """Hold the lock file of a path until the block ends, then remove it; do nothing where there are no locks."""
    handle = _locked(lock, path, wait=wait)
    try:
        yield
    finally:
        if handle is not None:
            # Removed while still locked: a process waiting for it then sees that it is gone, and makes a new one.
            lock.unlink(missing_ok=True)
            os.close(handle)


def _lock_temporary(temporary: Path, path: str | os.PathLike[str]) -> int | None:
    """Wait until nobody else writes the temporary file; return a locked handle, or None where there are no locks."""
    try:
        return _locked(temporary, path, wait=True)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.ELOOP) or not os.path.lexists(temporary):
            raise
        temporary.unlink()  # left by another user, or a link
        return _locked(temporary, path, wait=True)


def _locked(lock: Path, path: str | os.PathLike[str], *, wait: bool) -> int | None:
    """Return a handle to the locked lock file, or None where the system or the disk has no locks."""
    while fcntl:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            if os.path.samestat(os.fstat(handle), lock.stat()):
                return handle
        except BlockingIOError:
            os.close(handle)
            raise LeNet5Error(
                f"{path}: another run is writing it; wait until it ends, or write to another file"
            ) from None
        except FileNotFoundError:  # its owner has just removed it
            pass
        except OSError:
            lock.unlink(missing_ok=True)
            os.close(handle)
            return None
        os.close(handle)
    return None


def _target(path: str | os.PathLike[str]) -> Path:
    """Return the file to write, with all links resolved."""
    if not os.fspath(path):
        raise LeNet5Error("an empty name; expected a file")
    target = Path(os.path.realpath(path))
    if target.is_symlink():  # so it could not be resolved
        raise LeNet5Error(f"{path}: a loop of symbolic links; expected a file")
    there = Path(path)  # not its target: that of /dev/stdout may have no name
    if there.exists() and not there.is_file():
        raise LeNet5Error(f"{path}: {'a folder' if there.is_dir() else 'not a regular file'}; expected a file")
    return target


def unreadable(path: str | os.PathLike[str], error: OSError | ValueError, expected: str = "") -> LeNet5Error:
    """Return the error for a file or folder that cannot be read, with what was expected, if given."""
    end = f"; expected {expected}" if expected else ""
    return LeNet5Error(f"{path}: cannot be read: {_reason(error)}{end}")


def unwritable(path: str | os.PathLike[str], error: OSError | ValueError) -> LeNet5Error:
    """Return the error for a file or folder that cannot be written."""
    return LeNet5Error(f"{path}: cannot be written: {_reason(error)}")


def _reason(error: OSError | ValueError) -> str:
    """Return the reason of an error, worded alike in every Python version, which differ about null bytes in names."""
    text = str(getattr(error, "strerror", None) or error)
    return "embedded null byte" if "embedded null" in text else text


def _sync_folder(folder: Path) -> None:
    """Make a renamed file survive a power failure, where possible; without this, the rename itself is still done.

    Not possible on Windows, on some network disks, and for a folder that can be written but not read.
    """
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
