"""Join and leave the ranks of an MPI launcher; only the leader prints."""

import atexit
import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from lenet5_cli import __version__
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.training.ranks import ALONE, Ended, Place, Ranks, UnheardError, join, launched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lenet5_cli.data.sources import Split
    from lenet5_cli.training.runs import Run

LAST = 10  # seconds that the MPI library may take to finalise


@contextmanager
def joined(timeout: float) -> "Iterator[Ranks]":
    """Join the ranks that an MPI launcher started, and yield them; without a launcher, yield ``ALONE``.

    An error of any rank is raised on the leader, which shows it and then ends all ranks.
    """
    place = launched()
    if place.size == 1:
        yield ALONE
        return
    ranks = _join(place, timeout)
    try:
        yield ranks
        ranks.end()
    except Ended:
        pass
    except click.exceptions.Exit:
        ranks.end()
        raise
    except BaseException as error:
        atexit.register(ranks.abort, _exit_code(error))
        if not ranks.leader:
            _tell(ranks, error)
            return
        raise


def demand_command(ranks: Ranks, command: str) -> None:
    """Raise LeNet5Error if this rank was given another command than the leader."""
    leaders = ranks.share(lambda: command)
    if command != leaders:
        raise LeNet5Error(f"lenet5 {command}, but lenet5 {leaders} on {ranks.name(0)}; expected the same on every rank")


def _tell(ranks: Ranks, error: BaseException) -> None:
    """Let the leader show an error, and return when this rank is to end; show it here if the leader is gone."""
    try:
        ranks.tell(error)
    except Ended:
        atexit.unregister(ranks.abort)
    except UnheardError:
        unmute()
        raise


def _join(place: Place, timeout: float) -> Ranks:
    # SIGHUP too, which UCX below MPICH takes for itself: the command would go on, and UCX print all that it does.
    numbers = {signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}
    # Until all ranks have joined, the library waits in C, where Python's signal handlers cannot run.
    before = {number: signal.signal(number, signal.SIG_DFL) for number in numbers}
    with _ended_after(timeout):
        try:
            ranks = join(timeout)
        except LeNet5Error:
            if not place.local_rank:  # one message per host
                unmute()
            raise
    for number in numbers:
        signal.signal(number, signal.SIG_IGN if place.rank else before[number])  # the leader decides
    atexit.register(_leave, ranks)
    return ranks


@contextmanager
def _ended_after(seconds: float) -> "Iterator[None]":
    """End the process by a signal if the block takes longer; does nothing outside POSIX."""
    if not hasattr(signal, "setitimer"):
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _leave(ranks: Ranks) -> None:
    """Leave the ranks at the end of the process."""
    ranks.leave()
    if hasattr(signal, "alarm"):
        signal.alarm(LAST)  # messages that nobody receives any more must not keep the library from finalising


def _exit_code(error: BaseException) -> int:
    if isinstance(error, KeyboardInterrupt):
        return 128 + signal.SIGINT
    code = error.code if isinstance(error, SystemExit) else getattr(error, "exit_code", 1)
    return code if isinstance(code, int) else 1


def mute() -> None:
    """Discard everything that this process prints."""
    sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115


def unmute() -> None:
    """Print again."""
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__


def agree(ranks: Ranks, run: "Run | None" = None, /, **splits: "Split | None") -> None:
    """Check that all ranks have the same versions, images, glyphs and teacher, and note where rounding may differ.

    A rank whose BLAS uses other kernels, as on another kind of processor, may differ in the last bits.

    Raises:
        LeNet5Error: on the leader, if a rank has others.
    """
    if ranks.size == 1:
        return

    import numpy as np
    from threadpoolctl import threadpool_info

    facts = {"lenet5": __version__, "NumPy": np.__version__}
    with ranks.named():
        facts |= {f"{name} images": f"of SHA-256 {split.sha256[:12]}" for name, split in splits.items() if split}
    if run and run.teacher_sha256:
        facts["teacher"] = f"of SHA-256 {run.teacher_sha256[:12]}"
    if run:
        facts["glyph sheet"] = f"of SHA-256 {run.network.sheet.sha256[:12]}"
    blas = [f"{each['internal_api']} {each.get('architecture', '')}" for each in threadpool_info()]
    for name in ranks.agree(facts, ", ".join(blas)):
        click.echo(f"NOTE: {name} may round differently from rank 0; the last bits may vary with the ranks.", err=True)
