"""Ranks: processes that an MPI launcher starts, on one machine or many, and that share the work of one command.

Rank 0 is the leader. It runs the command as on one machine; the others take part in its steps, and wait for its next
message between them. A rank that has waited for a millisecond sleeps between polls, as there may be more ranks than
cores.

All ranks end in one of four ways:

- The leader has finished (``end``).
- There was an error on a rank. It sends the message to the leader (``tell``), which raises it with the name of the
  rank, ends as on one machine and then ends the others (``abort``).
- A rank does not answer in time. The first rank to notice raises an error with its name.
- A rank is killed. The launcher ends the others; before that, a guard process says which rank it was.
"""

import contextlib
import os
import sys
from collections.abc import Callable
from functools import partial
from math import inf
from pathlib import Path
from time import monotonic, perf_counter, sleep
from typing import Any, NamedTuple, TypeVar

from lenet5_cli.errors import LeNet5Error, missing

SPIN = 1e-3  # seconds that a rank polls without sleeping, only yielding its core
NAP = 0.05  # fraction of the time waited so far for which it then sleeps between polls
LONGEST_NAP = 1e-2  # seconds
GRACE = 1.0  # seconds in which a waiting rank must answer a ping
STAGGER = 2 * GRACE  # seconds added to the timeout of each rank over the one before, so that only one reports an error
TIMEOUT = 120.0  # seconds without a message: a step takes milliseconds, a checkpoint on a slow disk some seconds

# The variables that launchers set: MPICH and its derivatives, Open MPI, and PMIx, which does not give the size.
_RANKS = (
    ("PMI_RANK", "PMI_SIZE"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMIX_RANK", "SLURM_STEP_NUM_TASKS"),
)
_LOCAL_RANKS = ("MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID")

_OBJECT, _ARRAY, _CLOSE, _END = range(4)  # tags of data messages
_NOTE, _PING, _PONG, _DOWN = range(4)  # tags of control messages, which are polled for while waiting
_yield_core = getattr(os, "sched_yield", partial(sleep, 0))

T = TypeVar("T")


class Place(NamedTuple):
    """The position of a process among those that a launcher started."""

    rank: int
    size: int  # 0 if the launcher does not tell
    local_rank: int  # among those on its host


def launched() -> Place:
    """Return the place that an MPI launcher has set in the environment; without a launcher, rank 0 of 1."""
    for rank, size in _RANKS:
        if (there := _number(rank)) is not None:
            local = next((number for name in _LOCAL_RANKS if (number := _number(name)) is not None), there)
            return Place(there, _number(size) or 0, local)
    return Place(0, 1, 0)


def _number(variable: str) -> int | None:
    """Return the number in a variable of the environment, if there is one."""
    value = os.environ.get(variable, "")
    return int(value) if value.isdecimal() else None


class Closed(Exception):  # noqa: N818 - nothing has gone wrong
    """The leader has ended what the ranks were computing together."""


class Ended(Exception):  # noqa: N818
    """The leader has ended the command."""


class UnheardError(LeNet5Error):
    """An error that this rank has to show itself, because the leader does not answer."""


class Ranks:
    """The ranks of a command, as seen by one of them. Without a launcher, this is a single rank that leads.

    Attributes:
        rank: the number of this rank, from 0.
        size: the number of ranks.
        cores: the number of cores for each rank on this host; 0 without a launcher.
    """

    def __init__(self, world: Any = None, status: Any = None, timeout: float = TIMEOUT) -> None:
        """Take ``MPI.COMM_WORLD`` and ``MPI.Status``; without them, this is the only rank."""
        self.rank, self.size, self.cores = 0, 1, 0
        self.timeout = timeout
        self._status = status
        self._sent: list[Any] = []  # requests of control messages that may not have been received yet
        self._timed = False  # whether the timeout applies: not before the first step
        self._late = inf  # when the leader next pings all ranks while it collects reports
        self._failed = False
        self._closed = False  # whether ``stopped`` has received the close message
        self._guard: Any = None
        if world is None:
            return
        self.rank, self.size = world.rank, world.size
        self._data, self._control = world.Dup(), world.Dup()
        cores = own_cores()
        places = world.allgather((_host(), cores))
        self._hosts = [host for host, _ in places]
        sharing = sum(host == self._hosts[self.rank] and bool(cores & theirs) for host, theirs in places)
        self.cores = max(1, len(cores) // sharing)

    @property
    def leader(self) -> bool:
        """Whether this is rank 0, the only one that prints and writes."""
        return self.rank == 0

    def name(self, rank: int) -> str:
        """Return the name of a rank in messages."""
        return f"rank {rank} on {self._hosts[rank]}"

    # From the leader to all.

    def share(self, make: Callable[[], T]) -> T:
        """Call ``make`` on the leader only, and return its result on every rank."""
        value: T = make() if self.leader else self._from_above().recv()
        self._to_children(_OBJECT, value)
        return value

    def led(self, make: Callable[[], T]) -> T:
        """Call ``make`` on the leader, then on the others: what the leader downloads, they find in the cache."""
        if not self.leader:
            self.share(lambda: None)
        made = make()
        if self.leader:
            self.share(lambda: None)
        return made

    def announce(self, array: Any, size: int) -> None:
        """Broadcast the leader's array to the first ``size`` ranks, of which this must be one.

        Raises:
            Closed: the leader has no more to compute.
            Ended: the leader has ended the command.
        """
        if not self.leader:
            self._from_above().Recv(array)
        for child in self._children(size):
            self.send(array, child)

    def close(self) -> None:
        """End the current computation: the leader sends a message, for which the others wait."""
        self._pass_on(_CLOSE)

    def end(self) -> None:
        """End the command: the leader sends a message, for which the others wait."""
        self._pass_on(_END)

    def _pass_on(self, tag: int) -> None:
        if self.leader:
            if not self._failed:
                self._to_children(tag)
            return
        try:
            if not self._closed:
                self._from_above(timed=tag != _END)  # at the end, the leader may take long to draw a plot or to print
        except Closed:
            if tag != _CLOSE:
                raise
        except Ended:
            if tag != _END:
                raise
        self._closed = False

    def _from_above(self, *, timed: bool = True) -> Any:
        """Return the next message of the leader, passed on by the parent in the tree of ranks."""
        parent = self.rank & (self.rank - 1)
        tag, message = self._next(parent, timed=timed)
        if tag in (_CLOSE, _END):
            message.recv()
            self._to_children(tag)
            raise Ended if tag == _END else Closed
        return message

    def _to_children(self, tag: int, value: object = None) -> None:
        for child in self._children(self.size):
            self._wait(self._data.isend(value, child, tag).Test, child)

    def _children(self, size: int) -> list[int]:
        """Return the children of this rank in the broadcast tree of the first ``size`` ranks, the farthest first."""
        steps = [1 << bit for bit in range(size.bit_length())]
        within = self.rank & -self.rank or size
        return [self.rank + step for step in reversed(steps) if step < within and self.rank + step < size]

    # From one rank to another.

    def send(self, array: Any, rank: int) -> None:
        """Send an array to another rank, and wait until it may be changed again."""
        self._wait(self._data.Isend(array, rank, _ARRAY).Test, rank)

    def receive(self, array: Any, rank: int) -> None:
        """Receive the next array of another rank into a given one."""
        self._next(rank)[1].Recv(array)

    def report(self, value: object) -> None:
        """Send an object to the leader, and wait until it has received it."""
        self._wait(self._data.issend(value, 0, _OBJECT).Test, 0, timed=False)

    def collect(self, rank: int) -> Any:
        """Wait for the next object that a rank reports."""
        return self._next(rank)[1].recv()

    def reports(self) -> list[tuple[int, Any]]:
        """Return the reports that have arrived, without waiting, as pairs (rank, object).

        Raises:
            LeNet5Error: another rank has sent an error, or does not answer the ping that is sent after each timeout.
        """
        found: list[tuple[int, Any]] = []
        if self.size > 1:
            self._look()
        if monotonic() > self._late:
            self.demand_answers()
            self._late = monotonic() + self.timeout
        for rank in range(1, self.size):
            while self._data.iprobe(rank, _OBJECT):
                found.append((rank, self._data.recv(source=rank, tag=_OBJECT)))
        return found

    def stopped(self) -> bool:
        """Tell, on a rank that does not lead, whether the leader has closed the computation; if so, close it here."""
        self._look()
        if not self._closed and self._data.iprobe(self.rank & (self.rank - 1), _CLOSE):
            self.close()
            self._closed = True
        return self._closed

    def _next(self, rank: int, *, timed: bool = True) -> tuple[int, Any]:
        """Wait for the next message of a rank; return its tag and the message to receive."""
        status = self._status()
        message = self._wait(lambda: self._data.improbe(rank, status=status), rank, timed=timed)
        return status.tag, message

    def _wait(self, ready: Callable[[], T], rank: int, *, timed: bool = True) -> T:
        """Call ``ready`` until it returns a true value, and return that; meanwhile handle control messages."""
        start = perf_counter()
        while (waited := perf_counter() - start) < SPIN:
            if found := ready():
                return found
            _yield_core()
        late = monotonic() + self.timeout + STAGGER * self.rank if timed and self._timed else inf
        while not (found := ready()):
            self._look()
            if monotonic() > late:
                self.demand_answers(rank)
            sleep(min(NAP * waited, LONGEST_NAP))
            waited = perf_counter() - start
        return found

    # When something goes wrong.

    def agree(self, facts: dict[str, str], arithmetic: str) -> list[str]:
        """Check that every rank has the same facts, given by name; from then on, the timeout applies.

        Returns, on the leader, the names of ranks with another ``arithmetic``, which may round differently.

        Raises:
            LeNet5Error: on the leader, if a rank has other facts.
        """
        if not self.leader:
            self.report((facts, arithmetic))
        others = []
        for rank in range(1, self.size if self.leader else 0):
            there, how = self.collect(rank)
            for what, found in there.items():
                if found != facts[what]:
                    self._failed = True
                    own = f"{facts[what]} on {self.name(0)}"
                    raise LeNet5Error(f"{self.name(rank)}: {what} {found}, but {own}; expected the same on every rank")
            if how != arithmetic:
                others.append(f"{self.name(rank)} ({how})")
        self.share(lambda: None)
        self._timed, self._late = True, monotonic() + self.timeout
        return others

    @contextlib.contextmanager
    def named(self) -> Any:
        """Prefix errors with the name of this rank, for what it computes on its own."""
        try:
            yield
        except LeNet5Error as error:
            if self.size == 1:
                raise
            self._failed = True
            if not self.leader:
                raise
            raise LeNet5Error(f"{self.name(0)}: {error}") from None

    def tell(self, error: BaseException) -> None:
        """Send an error to the leader, which shows it, and wait for the leader to end this rank.

        Raises:
            UnheardError: the leader does not answer.
        """
        message = str(error) if isinstance(error, LeNet5Error) else _described(error)
        if not isinstance(error, UnheardError):
            self._notify(message, 0, _NOTE)
            end = monotonic() + self.timeout
            while monotonic() < end:
                self._look()
                sleep(LONGEST_NAP)
            message = f"{self.name(self.rank)}: {message}"
        raise UnheardError(message)

    def demand_answers(self, awaited: int | None = None) -> None:
        """Ping all other ranks.

        Raises:
            LeNet5Error: one does not answer; or all do, but rank ``awaited`` has not sent what is waited for.
        """
        silent = self._silent(_PING)
        if silent or awaited is not None:
            self._failed = True
            names = ", ".join(map(self.name, silent or [awaited or 0]))
            kind = LeNet5Error if self.leader or 0 not in silent else UnheardError
            raise kind(f"{names}: no answer for {self.timeout:g} seconds; --timeout sets the limit")

    def _silent(self, question: int) -> list[int]:
        """Ping the other ranks, and return those that have not answered within ``GRACE``."""
        silent = [rank for rank in range(self.size) if rank != self.rank]
        for rank in silent:
            self._notify((question, self.rank), rank, _PING)
        end = monotonic() + GRACE
        while silent and monotonic() < end:
            self._answer()
            while self._control.iprobe(tag=_PONG):
                asked, rank = self._control.recv(tag=_PONG)
                if asked == question and rank in silent:
                    silent.remove(rank)
            sleep(NAP * SPIN)
        return silent

    def _answer(self) -> None:
        """Answer pings.

        Raises:
            Ended: one of them tells this rank to end.
        """
        while self._control.iprobe(tag=_PING):
            question, rank = self._control.recv(tag=_PING)
            self._notify((question, self.rank), rank, _PONG)
            if question == _DOWN:
                self.leave()
                raise Ended

    def _look(self) -> None:
        """Handle control messages: answer pings and, on the leader, raise errors that other ranks have sent."""
        self._answer()
        if self.leader and self._control.iprobe(tag=_NOTE):
            status = self._status()
            message = self._control.recv(tag=_NOTE, status=status)
            self._failed = True
            raise LeNet5Error(f"{self.name(status.source)}: {message}")

    def _notify(self, value: object, rank: int, tag: int) -> None:
        self._sent = [each for each in self._sent if not each.Test()]
        self._sent.append(self._control.isend(value, rank, tag))

    def abort(self, code: int) -> None:
        """Tell all ranks to end; if one does not answer, let the launcher kill all, with exit code ``code``."""
        self.leave()
        if self._silent(_DOWN):
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the library would print a message of its own
            self._data.Abort(code)

    def leave(self) -> None:
        """Tell the guard that this rank ends regularly."""
        if self._guard is not None:
            self._guard.communicate(b"\n")
            self._guard = None


ALONE = Ranks()


def join(timeout: float) -> Ranks:
    """Join the ranks that the launcher started.

    Raises:
        LeNet5Error: mpi4py or the MPI library is missing, or the library is not that of the launcher.
    """
    place = launched()
    try:
        import mpi4py  # noqa: PLC0415 - most people have no need of it
    except ImportError as error:
        raise missing("started by mpiexec, but mpi4py", error, "mpi") from None
    mpi4py.rc.thread_level = "funneled"
    try:
        from mpi4py import MPI  # noqa: PLC0415
    except (ImportError, RuntimeError) as error:
        first = str(error).partition("\n")[0]
        message = f"mpi4py finds no MPI library ({first}); install that of the launcher, or pip install mpich"
        raise LeNet5Error(message) from None
    if MPI.COMM_WORLD.size != (place.size or MPI.COMM_WORLD.size):
        library = MPI.Get_library_version().partition("\n")[0].strip()
        there = f"the launcher started {place.size} ranks, but the library of mpi4py sees {MPI.COMM_WORLD.size}"
        raise LeNet5Error(f"{there}; expected the mpiexec of {library}")
    ranks = Ranks(MPI.COMM_WORLD, MPI.Status, timeout)
    ranks._guard = _start_guard(ranks.rank)
    return ranks


def _start_guard(rank: int) -> Any:
    """Start a guard: a shell that prints an error if this process is killed.

    The launcher notices that a process has died when the pipes that it was given are closed. The guard inherits these
    pipes, so that the launcher does not kill all others before the guard has printed. The launcher then kills process
    groups, which includes the guards.
    """
    import shutil  # noqa: PLC0415 - here and below: without a launcher, --help need not wait for it
    import subprocess  # noqa: PLC0415

    shell = shutil.which("sh")
    if not shell:
        return None
    message = f"Error: rank {rank} on {_host()}: its process, {os.getpid()}, was killed or has crashed"
    # The pause: where all ranks are killed at once, the guards are killed meanwhile and print nothing.
    script = 'trap "" INT TERM; read -r _ || { sleep 1; echo "$1" >&2; }'
    return subprocess.Popen([shell, "-c", script, "guard", message], stdin=subprocess.PIPE, close_fds=False)  # noqa: S603


def _host() -> str:
    import socket  # noqa: PLC0415

    return socket.gethostname()


def own_cores() -> frozenset[int]:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def _described(error: BaseException) -> str:
    """Return a description of an unexpected error: class, message, and place in the source."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    where = f" ({Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno})" if trace else ""
    return f"{type(error).__name__}: {error}{where}"
