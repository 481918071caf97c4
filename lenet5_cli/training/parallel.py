"""Work shared by the cores of this machine: processes that compute the chunks of a task over one shared buffer.

They are processes and not threads, as a step is a hundred short NumPy calls, each of which takes and releases Python's
lock: two threads lose a third of their time waiting for it. They are neither ``multiprocessing.Pool`` nor joblib: these
hand a task over by pickling it through a queue and waking a process that sleeps, which takes as long as a chunk does;
here a task is a few numbers in the shared buffer, and a process that has just finished one spins before it blocks.
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

SPIN = 1e-3  # seconds before a process blocks: to wake one that does takes a tenth of a millisecond
MAX_PROCESSES = 1024
_SIGNAL = b"."
_yield_core = getattr(os, "sched_yield", partial(sleep, 0))

Buffer = SimpleNamespace
"""The fields of a shared record by name, as arrays that every process sees; a field of one number has shape (1,)."""


class Work(Protocol):
    """What a pool computes: it is pickled for each process, and reads and writes the fields of the shared buffer."""

    layout: np.dtype[np.void]
    """The fields of the shared buffer, a record."""

    def begin(self, buffer: Buffer) -> None:
        """Take up what the chunks of a task have in common: called in the other processes, before the first chunk."""

    def compute(self, buffer: Buffer, chunk: int) -> None:
        """Compute one chunk of the task that the buffer describes, whole: what comes out depends on nothing else."""


class _OneThread:
    """Hold BLAS to one thread while any block of this process asks for it, whichever ends first: a context manager."""

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
    """This process and others like it, which share the chunks of a task: a context manager.

    A chunk is computed whole by one process, and which one does it changes nothing: the results are the same for any
    number of processes, and if one is lost on the way. Meanwhile BLAS is held to one thread a process: products as
    small as these lose more to waking its threads than they gain.
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
        """The shared buffer; a process that is not ready yet gets no chunks."""
        layout = _with_control(self.work.layout)
        if self._count == 1:
            return _fields(np.zeros(layout.itemsize, np.uint8).data, layout)  # untouched, it takes no memory
        work = pickle.dumps(self.work)  # behind the record: a pipe would fill up before the other end reads
        memory = _shared(layout.itemsize + len(work))
        self._resources.callback(_release, memory)
        _bytes(memory)[layout.itemsize : layout.itemsize + len(work)] = work
        for rank in range(1, self._count):
            process = _Process(rank, f"serve({rank}, {memory.name!r}, {layout.itemsize}, {len(work)})")
            self._others.append(self._resources.enter_context(process))
        return _fields(_bytes(memory), layout)

    @property
    def processes(self) -> list[int]:
        """The process IDs of the others that are ready to compute."""
        ready = self.buffer.ready
        return [other.pid for other in self._others if ready[other.rank]]

    def wait_until_ready(self) -> None:
        """Start the processes, and wait until each is ready or has ended: a measurement begins here."""
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
    """A process that computes what is submitted to it, until its input ends.

    A byte through a pipe says that a task is there, and another that it is done: whoever has read it sees all that was
    written to the buffer before. The counters in the buffer only say when reading will not block.
    """

    def __init__(self, rank: int, call: str) -> None:
        self.rank = rank
        # Not by ``multiprocessing``, which would run the user's script again. It imports from the same places as this
        # process, and leaves Ctrl-C to it.
        places = [place for place in sys.path if isinstance(place, str)]  # Python imports from no others
        code = f"import sys; sys.path[:] = {places!r}; from {__name__} import serve; {call}"
        alone: dict[str, Any] = {"start_new_session": True}
        if sys.platform == "win32":
            alone = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        line, pipe = [sys.executable or "", "-c", code], subprocess.PIPE
        try:
            self._process = subprocess.Popen(line, stdin=pipe, stdout=pipe, bufsize=0, **alone)  # noqa: S603
        except OSError as error:
            raise LeNet5Error(f"another process: {error.strerror}; --threads 1 needs none") from None

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
        """Have it compute every ``stride``-th chunk from ``first`` on; if it is gone, ``wait`` will tell."""
        buffer.first[self.rank] = first
        buffer.submitted[self.rank] += 1
        with contextlib.suppress(OSError):
            _pipe(self._process.stdin).write(_SIGNAL)

    def wait(self, buffer: Buffer) -> bool:
        """Wait until it is done; return False if it has ended instead."""
        _spin(buffer.done, self.rank, buffer.submitted[self.rank])
        return _pipe(self._process.stdout).read(1) == _SIGNAL


def serve(rank: int, name: str, start: int, size: int) -> None:
    """Be one of the other processes of a pool: compute each task that is submitted, until standard input ends."""
    resource_tracker.register = lambda *_: None  # its maker removes the memory (from Python 3.13 on: track=False)
    try:
        memory = shared_memory.SharedMemory(name)
    except FileNotFoundError:  # the process that started this one has ended meanwhile
        return
    _unmap_last(memory)
    work: Work = pickle.loads(_bytes(memory)[start : start + size])  # noqa: S301 - from the process that started this one
    buffer = _fields(_bytes(memory), _with_control(work.layout))
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    with _ONE_THREAD, np.errstate(all="ignore"):  # the first process looks at what comes out
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
    """Return the BLAS libraries of this process: NumPy's are loaded before any is asked for."""
    return ThreadpoolController().select(user_api="blas")


def _compute(work: Work, buffer: Buffer, first: int) -> None:
    for chunk in range(first, int(buffer.chunks[0]), int(buffer.stride[0])):
        work.compute(buffer, chunk)


def _spin(counters: Any, rank: int, value: int) -> None:
    """Return when a counter has reached a value, or after a while."""
    end = perf_counter() + SPIN
    while counters[rank] < value and perf_counter() < end:
        _yield_core()


def _with_control(layout: np.dtype[np.void]) -> np.dtype[np.void]:
    """Return a layout with the fields by which a pool controls its processes, most of them by rank, in front."""
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
    """Shared memory that the tracker knows of when it is removed, also where it could not be made whole.

    Python registers it last, but even before that removes it with a word to the tracker, which would complain.
    """

    _fd: int  # of Python's own; -1 where there is none

    def unlink(self) -> None:
        """Remove it."""
        if os.name == "posix":  # elsewhere nothing is tracked
            resource_tracker.register(self._name, "shared_memory")  # type: ignore[attr-defined]
        super().unlink()


def _shared(size: int) -> _Memory:
    """Return new shared memory of so many bytes.

    Raises:
        LeNet5Error: the system has none, or not enough: it would end a process that touches a page it cannot give.
    """
    try:
        start_tracker()
        memory = _Memory(create=True, size=size)
    except OSError as error:
        raise LeNet5Error(f"shared memory: {error.strerror}; --threads 1 needs none") from None
    if sys.platform == "linux":
        place = os.fstatvfs(memory._fd)
        free = place.f_bavail * place.f_frsize
        if place.f_blocks and free < size:  # without blocks, there is no limit
            _release(memory)
            raise LeNet5Error(
                f"shared memory: {free:,} bytes are free in /dev/shm; expected {size:,}; --threads 1 needs none"
            )
    return memory


def _release(memory: _Memory) -> None:
    """Remove shared memory."""
    try:
        memory.close()
    except BufferError:  # a traceback still has an array over it
        _unmap_last(memory)
        if memory._fd >= 0:  # it would keep the memory after the array, too
            os.close(memory._fd)
            memory._fd = -1
    memory.unlink()


def _unmap_last(memory: shared_memory.SharedMemory) -> None:
    """Leave it to the last array over some memory to unmap it: before, that would fail."""
    memory.close = lambda: None  # type: ignore[method-assign]


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # noqa: S101 - both were opened as pipes
    return stream
