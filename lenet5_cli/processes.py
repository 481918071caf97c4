"""What the processes of the command line do alike: those beside the first leave signals of the terminal to it."""

import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


def leave_ctrl_c_alone() -> None:
    """Ignore Ctrl-C in this process: the one that started it decides."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def silence_pillow() -> None:
    """Show no warnings of Pillow's, as about damaged EXIF; what keeps a picture from being read is an error.

    For a whole process, as the filters are its own: threads that set them for a moment would undo each other's.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")


def begin_reading() -> None:
    """Prepare this process, started beside the first one, to read pictures."""
    leave_ctrl_c_alone()
    silence_pillow()


def start_tracker() -> None:
    """Start what removes shared memory and locks that are left, before any are made: a closed terminal does not end it.

    It ends with the processes that it serves. One that ended before them would be started anew, and complain of each
    thing that it does not know.
    """
    if not hasattr(signal, "pthread_sigmask"):  # outside POSIX there is none
        return
    from multiprocessing import resource_tracker  # noqa: PLC0415 - slow to import

    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})  # which it inherits
    try:
        resource_tracker.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def ctrl_c_held_back() -> Iterator[None]:
    """Hold Ctrl-C back for this process until the block ends, and for good in the processes that it starts."""
    if not hasattr(signal, "pthread_sigmask"):  # outside POSIX; there they only ignore it once they are ready
        yield
        return
    start_tracker()  # the first process started would start it, which lets Ctrl-C through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
