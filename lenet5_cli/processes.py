"""Set-up of child processes: they leave the signals of the terminal to the first process, and warn of nothing."""

import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


def leave_ctrl_c_alone() -> None:
    """Ignore Ctrl-C in this process: its parent decides what to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def silence_pillow() -> None:
    """Suppress Pillow's warnings, such as about damaged EXIF; a picture that cannot be read is an error anyway.

    For the whole process, because warning filters are global: threads that changed them would undo each other's.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")


def begin_reading() -> None:
    """Prepare a child process to read pictures."""
    leave_ctrl_c_alone()
    silence_pillow()


def start_tracker() -> None:
    """Start multiprocessing's resource tracker such that closing the terminal (SIGHUP) does not end it.

    The tracker removes shared memory and locks that are left over, and ends with the processes that it serves. If it
    ended before them, Python would start another one, which complains of each resource that it does not know.
    """
    if not hasattr(signal, "pthread_sigmask"):  # outside POSIX there is none
        return
    from multiprocessing import resource_tracker  # noqa: PLC0415 - slow to import

    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})  # the tracker inherits this
    try:
        resource_tracker.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def ctrl_c_held_back() -> Iterator[None]:
    """Block Ctrl-C in this process until the block ends, and for good in the processes started within it."""
    if not hasattr(signal, "pthread_sigmask"):  # outside POSIX, children ignore it only once they are ready
        yield
        return
    start_tracker()  # now, as multiprocessing unblocks Ctrl-C when it starts the tracker with the first child
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
