"""Processes that are started beside the first one: that one alone decides what Ctrl-C does."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


def leave_ctrl_c_alone() -> None:
    """Ignore Ctrl-C in this process: the one that started it decides."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def ctrl_c_held_back() -> Iterator[None]:
    """Hold Ctrl-C back for this process until the block ends, and for good in the processes that it starts."""
    if not hasattr(signal, "pthread_sigmask"):  # outside POSIX; there they only ignore it once they are ready
        yield
        return
    from multiprocessing import resource_tracker  # noqa: PLC0415 - slow to import

    resource_tracker.ensure_running()  # the first process started would start it, which lets Ctrl-C through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
