"""What ``lenet5`` and ``python -m lenet5_cli`` run."""

import atexit
import gc
import os
import signal
import sys
import threading
from contextlib import suppress

ALLOCATIONS = 100_000  # between two looks of the garbage collector; with Python's 700 there are 85 in ``predict``


def main() -> None:
    """Run the command line.

    A short command takes a fifth less time for what stands here. Imports make many objects and no garbage, so the
    collector looks through them less often, and no more at the end, where all memory is given back at once. And
    OpenBLAS starts no threads: each process computes on one core.

    Until the commands are imported, Ctrl-C ends the process at once: an exception could be raised anywhere in an
    import, and would be shown with a traceback. From then on, SIGTERM and a terminal that is closed end it as an
    exception does: what is shared with other processes or half written is removed. A command that ends early
    does not wait for the threads that read pictures: no signal reaches these.
    """
    before = signal.signal(signal.SIGINT, lambda number, _: os._exit(128 + number))
    gc.set_threshold(ALLOCATIONS)
    atexit.register(gc.freeze)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from lenet5_cli.commands import lenet5  # noqa: PLC0415 - after what is set for it

    signal.signal(signal.SIGINT, before)
    for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        if signal.getsignal(number) is signal.SIG_DFL:  # else ignored, as nohup has it
            signal.signal(number, _end)
    try:
        lenet5(prog_name="lenet5")
    except SystemExit as end:
        if isinstance(end.code, int) and end.code and threading.active_count() > 1:
            _leave(end.code)
        raise


def _leave(code: int) -> None:
    """End the process as Python does, but for the threads that are still at work."""
    atexit._run_exitfuncs()
    with suppress(OSError):
        if sys.stdout:  # else it is closed, or its disk is full
            sys.stdout.flush()
    os._exit(code)


def _end(number: int, _: object) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    main()
