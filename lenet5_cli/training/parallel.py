"""A pool of processes on this machine that compute the chunks of a task in shared memory.

They are processes, not threads, because a step is a hundred short NumPy calls, each of which takes and releases the
GIL: two threads lose a third of their time waiting for it. ``multiprocessing.Pool`` and joblib would be too slow: they
pickle each task through a queue and wake a sleeping process, which takes as long as computing a chunk. Here a task is a
few numbers in the shared buffer, and a process that has finished spins for a moment before it blocks.
"""

import contextlib
import os
import pickle
import subprocess
import sys
from functools import cache, cached_property, partial
from multiprocessing import resource_tracker, shared_memory
from threading import Lock
from time import perf_counter, sleep
from types import SimpleNamespace
from typing import IO, Any, Protocol, Self

import numpy as np
from threadpoolctl import ThreadpoolController

from lenet5_cli.errors import LeNet5Error
from lenet5_cli.processes import start_tracker

SPIN = 1e-3  # seconds of busy waiting before a process blocks: waking a blocked one takes 0.1 ms
MAX_PROCESSES = 1024
_SIGNAL = b"."
_yield_core = getattr(os, "sched_yield", partial(sleep, 0))

Buffer = SimpleNamespace
"""The fields of the shared record, as arrays by name; a scalar field has shape (1,)."""


class Work(Protocol):
    """What a pool computes. It is pickled for each process, and reads and writes the fields of the shared buffer."""

    layout: np.dtype[np.void]
    """The fields of the shared buffer, a record."""

    def begin(self, buffer: Buffer) -> None:
        """Read what all chunks of a task need; called in the other processes, before their first chunk of a task."""

    def compute(self, buffer: Buffer, chunk: int) -> None:
        """Compute one chunk of the task in the buffer; the result must not depend on the other chunks."""


class _OneThread:
    """Limits BLAS to one thread until the last of several, possibly overlapping, blocks ends: a context manager."""

    def __init__(self) -> None:
        self._lock, self._blocks, self._threads = Lock(), 0, contextlib.ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if not self._blocks:
                self._threads.enter_context(_blas().limit(limits=1))
            self._blocks += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._blocks -= 1
            if not self._blocks:
                self._threads.close()


_ONE_THREAD = _OneThread()


class Pool:
    """This process and others, which share the chunks of a task: a context manager.

    A chunk is computed by a single process, and the result does not depend on which one: it is the same for any number
    of processes, also if one dies. BLAS is limited to one thread per process, because waking its threads takes longer
    than they save in products as small as these.
    """

    def __init__(self, work: Work, processes: int = 1) -> None:
        """Share ``work`` among ``processes``, of which this is one; the others start when ``buffer`` is first used."""
        self.work = work
        self._count = min(processes, MAX_PROCESSES)
        self._others: list[_Process] = []
        self._resources = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Hold BLAS to one thread."""
        self._resources.enter_context(_ONE_THREAD)
        return self

    def __exit__(self, *_: object) -> None:
        """End the other processes, and let BLAS have its threads again."""
        self.__dict__.pop("buffer", None)  # before the memory below it
        self._resources.close()

    @cached_property
    def buffer(self) -> Buffer:
        """The shared buffer. The first access starts the processes; those that are not ready yet get no chunks."""
        layout = _with_control(self.work.layout)
        if self._count == 1:
            return _fields(np.zeros(layout.itemsize, np.uint8).data, layout)  # takes memory only where it is written
        work = pickle.dumps(self.work)  # put after the record: a pipe would fill up before the process reads it
        memory = _shared(layout.itemsize + len(work))
        self._resources.callback(_release, memory)
        _bytes(memory)[layout.itemsize : layout.itemsize + len(work)] = work
        for rank in range(1, self._count):
            process = _Process(rank, f"serve({rank}, {memory.name!r}, {layout.itemsize}, {len(work)})")
            self._others.append(self._resources.enter_context(process))
        return _fields(_bytes(memory), layout)

    @property
    def processes(self) -> list[int]:
        """The process IDs of the other processes that are ready."""
        ready = self.buffer.ready
        return [other.pid for other in self._others if ready[other.rank]]

    def wait_until_ready(self) -> None:
        """Start the processes, and wait until each is ready or has ended; for benchmarks."""
        while len(self.processes) < sum(other.is_alive() for other in self._others):
            sleep(SPIN)

    def run(self, chunks: int) -> None:
        """Compute the chunks, 0 to ``chunks`` - 1, of the task that the buffer describes."""
        buffer = self.buffer
        ready = [other for other in self._others if buffer.ready[other.rank]][: max(0, chunks - 1)]
        buffer.chunks[0], buffer.stride[0] = chunks, len(ready) + 1
        for first, other in enumerate(ready, 1):
            other.submit(buffer, first)
        _compute(self.work, buffer, 0)
        for first, other in enumerate(ready, 1):
            if not other.wait(buffer):
                self._others.remove(other)
                _compute(self.work, buffer, first)


class _Process:
    """A process that computes what is submitted to it, until its standard input ends.

    One byte through a pipe announces a task, and one announces that it is done. Reading the byte guarantees that the
    writes to the buffer before it are visible. The counters in the buffer only show when reading will not block.
    """

    def __init__(self, rank: int, call: str) -> None:
        self.rank = rank
        # Not started by ``multiprocessing``, which would run the user's script again. It has the import path of this
        # process, and its own session, so that Ctrl-C reaches only this one.
        places = [place for place in sys.path if isinstance(place, str)]  # Python imports from no others
        code = f"import sys; sys.path[:] = {places!r}; from {__name__} import serve; {call}"
        alone: dict[str, Any] = {"start_new_session": True}
        if sys.platform == "win32":
            alone = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        line, pipe = [sys.executable or "", "-c", code], subprocess.PIPE
        try:
            self._process = subprocess.Popen(line, stdin=pipe, stdout=pipe, bufsize=0, **alone)  # noqa: S603
        except OSError as error:
            raise LeNet5Error(f"cannot start a process: {error.strerror}; set threads to 1, which needs none") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def submit(self, buffer: Buffer, first: int) -> None:
        """Let it compute every ``stride``-th chunk from ``first`` on; ``wait`` returns False if it has died."""
        buffer.first[self.rank] = first
        buffer.submitted[self.rank] += 1
        with contextlib.suppress(OSError):
            _pipe(self._process.stdin).write(_SIGNAL)

    def wait(self, buffer: Buffer) -> bool:
        """Wait until it is done; return False if it has died."""
        _spin(buffer.done, self.rank, buffer.submitted[self.rank])
        return _pipe(self._process.stdout).read(1) == _SIGNAL


def serve(rank: int, name: str, start: int, size: int) -> None:
    """Run one of the other processes of a pool: compute each task that is submitted, until standard input ends."""
    resource_tracker.register = lambda *_: None  # the first process removes the memory (Python 3.13: track=False)
    try:
        memory = shared_memory.SharedMemory(name)
    except FileNotFoundError:  # the process that started this one has ended
        return
    _unmap_last(memory)
    work: Work = pickle.loads(_bytes(memory)[start : start + size])  # noqa: S301 - from the process that started this one
    buffer = _fields(_bytes(memory), _with_control(work.layout))
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    with _ONE_THREAD, np.errstate(all="ignore"):  # the first process checks the results
        buffer.ready[rank] = True
        while True:
            _spin(buffer.submitted, rank, buffer.done[rank] + 1)
            if source.read(1) != _SIGNAL:
                break
            work.begin(buffer)
            _compute(work, buffer, int(buffer.first[rank]))
            buffer.done[rank] += 1
            sink.write(_SIGNAL)
            sink.flush()


@cache
def _blas() -> ThreadpoolController:
    """Return a controller of the BLAS libraries of this process; cached, as NumPy's is loaded before the first call."""
    return ThreadpoolController().select(user_api="blas")


def _compute(work: Work, buffer: Buffer, first: int) -> None:
    for chunk in range(first, int(buffer.chunks[0]), int(buffer.stride[0])):
        work.compute(buffer, chunk)


def _spin(counters: Any, rank: int, value: int) -> None:
    """Wait until a counter has reached a value, but at most ``SPIN`` seconds."""
    end = perf_counter() + SPIN
    while counters[rank] < value and perf_counter() < end:
        _yield_core()


def _with_control(layout: np.dtype[np.void]) -> np.dtype[np.void]:
    """Return a layout with the fields by which a pool controls its processes added in front."""
    by_rank = [(name, np.int64, MAX_PROCESSES) for name in ("ready", "first", "submitted", "done")]
    return np.dtype([("chunks", np.int64), ("stride", np.int64), *by_rank, *layout.descr])


def _bytes(memory: shared_memory.SharedMemory) -> memoryview:
    assert memory.buf is not None  # noqa: S101 - it is, until it is closed
    return memory.buf


def _fields(memory: memoryview, layout: np.dtype[np.void]) -> Buffer:
    """Return the fields of a record by name, as arrays over some memory."""
    record = np.frombuffer(memory, layout, count=1)
    arrays = {name: record[name] for name in layout.names or ()}
    return SimpleNamespace(**{name: array[0] if array.ndim > 1 else array for name, array in arrays.items()})


class _Memory(shared_memory.SharedMemory):
    """Shared memory that is registered with the resource tracker before it is removed.

    If creating it fails half-way, Python removes it before it was registered, and the tracker would complain.
    """

    _fd: int  # of Python's own; -1 where there is none

    def unlink(self) -> None:
        """Remove it."""
        if os.name == "posix":  # elsewhere nothing is tracked
            resource_tracker.register(self._name, "shared_memory")  # type: ignore[attr-defined]
        super().unlink()


def _shared(size: int) -> _Memory:
    """Return new shared memory of a size in bytes.

    Raises:
        LeNet5Error: the system has none, or not enough: it would kill a process that touches a page it cannot provide.
    """
    try:
        start_tracker()
        memory = _Memory(create=True, size=size)
    except OSError as error:
        raise LeNet5Error(f"shared memory: {error.strerror}; set threads to 1, which needs none") from None
    if sys.platform == "linux":
        place = os.fstatvfs(memory._fd)
        free = place.f_bavail * place.f_frsize
        if place.f_blocks and free < size:  # without blocks, there is no limit
            _release(memory)
            there = f"shared memory: {free:,} bytes are free in /dev/shm"
            raise LeNet5Error(f"{there}; expected {size:,}; set threads to 1, which needs none")
    return memory


def _release(memory: _Memory) -> None:
    """Remove shared memory."""
    try:
        memory.close()
    except BufferError:  # a traceback still holds an array over it
        _unmap_last(memory)
        if memory._fd >= 0:  # the open file would keep the memory, even after the array is gone
            os.close(memory._fd)
            memory._fd = -1
    memory.unlink()


def _unmap_last(memory: shared_memory.SharedMemory) -> None:
    """Let the memory be unmapped with the last array over it: closing it before would fail."""
    memory.close = lambda: None  # type: ignore[method-assign]


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # noqa: S101 - both were opened as pipes
    return stream
