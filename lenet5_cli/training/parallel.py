"""A batch computed on several cores, with the same bits on any number of them.

The helpers are processes over one shared memory and not threads: a step is a hundred short NumPy calls, each of which
takes and drops Python's lock, and two threads lose a third of their time to waiting for it.
"""

import contextlib
import mmap
import os
import select
import struct
import subprocess
import sys
from collections.abc import Iterator
from functools import cached_property, reduce
from tempfile import TemporaryFile
from time import perf_counter
from types import SimpleNamespace
from typing import IO, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from lenet5_cli.data.augmentation import NUMBERS, distort
from lenet5_cli.engine.einsum import Array
from lenet5_cli.engine.network import LeNet5, pieces
from lenet5_cli.errors import LeNet5Error

CAPACITY = 4096  # images that lie on the board at a time
DONE = b"."
AWAKE = 1e-3  # seconds

Distortions = NDArray[np.float32]
REQUEST = struct.Struct("=II??dII")  # place, workers, task


class Workers:
    """This process and its helpers, which compute a network's scores and gradients: a context manager.

    A batch is cut into pieces that depend on its size alone. Each is computed whole by one worker, and what they find
    is added in the order of the pieces: it does not matter how many workers there are, nor if one is lost on the way.

    BLAS is held to one thread meanwhile: products as small as these lose more to waking its threads than they gain.
    """

    def __init__(self, network: LeNet5, count: int = 1) -> None:
        """Make ``count`` workers, of which this process is one; without POSIX it is the only one."""
        self.network = network
        self._count = count if os.name == "posix" else 1
        self._helpers: list[_Helper] = []
        self._resources = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Hold BLAS to one thread."""
        self._resources.enter_context(threadpool_limits(1, user_api="blas"))
        return self

    def __exit__(self, *_: object) -> None:
        """End the helpers, and let BLAS have its threads again."""
        self._resources.close()

    def scores(self, images: NDArray[np.uint8]) -> Array:
        """Return scores (n, 10) of pictures (n, 28, 28), as ``LeNet5.scores`` does.

        Raises:
            LeNet5Error: a score is not finite.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is found, and told, below
            scores = self._scores(images)
        if not np.isfinite(scores).all():
            raise LeNet5Error(f"the scores are not finite: the parameters are too large for {self.network.dtype}")
        return scores

    def _scores(self, images: NDArray[np.uint8]) -> Array:
        if len(pieces(len(images))) == 1:
            return self.network.scores(images)
        scores = np.empty((len(images), 10), self.network.dtype)
        for turn in _turns(len(images)):
            self._share_out(images[turn], _Task(False, False, 0, len(images[turn]), len(images)))
            scores[turn] = self._board.scores[: len(scores[turn])]
        return scores

    def differentiate(
        self,
        images: NDArray[np.uint8],
        labels: NDArray[np.uint8],
        distortions: Distortions | None = None,
        smoothing: float = 0,
    ) -> float:
        """Set the network's ``gradients`` to those of the mean loss of a batch; return the sum of its losses.

        ``distortions`` are the numbers of ``augmentation.distort`` for each image, ``smoothing`` is of its label.
        """
        if len(pieces(len(labels))) == 1:
            return differentiate(self.network, images, labels, distortions, smoothing, len(labels))
        found, loss_sum = [], 0.0
        for turn in _turns(len(labels)):
            if distortions is not None:
                self._board.distortions[: len(labels[turn])] = distortions[turn]
            task = _Task(True, distortions is not None, smoothing, len(labels[turn]), len(labels))
            self._board.labels[: task.images] = labels[turn]
            count = self._share_out(images[turn], task)
            found.append(np.add.reduce(self._board.gradients[:count], axis=0))
            loss_sum += float(self._board.losses[:count].sum())
        self.network.gradients[...] = reduce(np.add, found)
        return loss_sum

    @cached_property
    def _board(self) -> SimpleNamespace:
        """Make the memory that all workers share, and start the helpers, for the first batch of several pieces.

        While a helper is not ready yet, the others do its share.
        """
        layout = _layout(self.network.parameters)
        if self._count == 1:
            return _over(mmap.mmap(-1, layout.itemsize), layout)
        file = self._resources.enter_context(_shared_memory(layout.itemsize))
        board = _over(mmap.mmap(file.fileno(), layout.itemsize), layout)
        board.codes[...] = self.network.codes
        for rank in range(1, self._count):
            helper = _Helper(rank, file.fileno(), self.network)
            self._helpers.append(self._resources.enter_context(helper))
        return board

    def _share_out(self, images: NDArray[np.uint8], task: "_Task") -> int:
        """Have every piece of what is put on the board computed; return how many there are."""
        board = self._board
        board.parameters[...] = self.network.parameters
        board.images[: task.images] = images
        ready = [helper for helper in self._helpers if board.ready[helper.rank]]
        workers = len(ready) + 1
        for place, helper in enumerate(ready, 1):
            helper.ask(REQUEST.pack(place, workers, *task))
        _compute(self.network, board, 0, workers, task)
        for place, helper in enumerate(ready, 1):
            if not helper.has_done():
                self._helpers.remove(helper)
                _compute(self.network, board, place, workers, task)
        return len(pieces(task.images))


class _Task(NamedTuple):
    """What is to be done with the images on the board."""

    gradients: bool  # or else scores
    distorted: bool
    smoothing: float
    images: int  # on the board
    batch: int  # of which those are a part


def differentiate(
    network: LeNet5,
    images: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    distortions: Distortions | None,
    smoothing: float,
    batch: int,
) -> float:
    """Set ``gradients`` to the part of some images in those of a batch's mean loss; return the sum of their losses."""
    if distortions is not None:
        images = distort(images, distortions)
    loss, dscores = network.loss(network.forward(network.prepare(images)), labels, smoothing)
    if len(labels) != batch:
        dscores *= len(labels) / batch
    network.backward(dscores)
    return loss * len(labels)


class _Helper:
    """A process that computes what lies on the board when it is asked to; it ends when its input does."""

    def __init__(self, rank: int, handle: int, network: LeNet5) -> None:
        self.rank = rank
        call = (
            f"serve({rank}, {handle}, {network.parameters.size}, dtype={network.dtype.str!r}, **{network.settings!r})"
        )
        # It imports from the same places as this process, and leaves Ctrl-C to it.
        self._process = subprocess.Popen(  # noqa: S603
            [
                sys.executable,
                "-c",
                f"import sys; sys.path[:] = {sys.path!r}; from lenet5_cli.training.parallel import serve; {call}",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            pass_fds=[handle],
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def ask(self, request: bytes) -> None:
        """Send a request; if the process is gone, ``has_done`` will tell."""
        with contextlib.suppress(BrokenPipeError):
            _pipe(self._process.stdin).write(request)

    def has_done(self) -> bool:
        """Wait for the answer; return whether it came."""
        answer = _pipe(self._process.stdout)
        _await(answer)
        return answer.read(1) == DONE


def serve(rank: int, handle: int, parameters: int, dtype: str, **settings: Any) -> None:
    """Be a helper: answer each request on standard input, until it ends."""
    layout = _layout(np.empty(parameters, dtype))
    board = _over(mmap.mmap(handle, layout.itemsize), layout)
    network = LeNet5(board.codes, dtype=dtype, **settings)
    with threadpool_limits(1, user_api="blas"), np.errstate(all="ignore"):  # the parent looks at what comes out
        board.ready[rank] = True
        while request := _request():
            network.parameters[...] = board.parameters
            place, workers, *task = REQUEST.unpack(request)
            _compute(network, board, place, workers, _Task(*task))
            os.write(sys.stdout.fileno(), DONE)


def _request() -> bytes:
    _await(sys.stdin.buffer)
    return sys.stdin.buffer.read(REQUEST.size)


def _await(stream: IO[bytes]) -> None:
    """Wait a moment for something to read, awake: to be woken from sleep takes a tenth of a millisecond."""
    ready, end = select.poll(), perf_counter() + AWAKE
    ready.register(stream, select.POLLIN)
    while perf_counter() < end and not ready.poll(0):
        os.sched_yield()


def _compute(network: LeNet5, board: SimpleNamespace, place: int, workers: int, task: _Task) -> None:
    """Compute every ``workers``-th piece on the board, from ``place`` on."""
    for number, piece in list(enumerate(pieces(task.images)))[place::workers]:
        images = board.images[piece]
        if task.gradients:
            distortions = board.distortions[piece] if task.distorted else None
            board.losses[number] = differentiate(
                network, images, board.labels[piece], distortions, task.smoothing, task.batch
            )
            board.gradients[number] = network.gradients
        else:
            board.scores[piece] = network.forward(network.prepare(images))


def _turns(images: int) -> list[slice]:
    return [slice(start, start + CAPACITY) for start in range(0, images, CAPACITY)]


def _layout(parameters: Array) -> np.dtype[np.void]:
    """Return what is on the board, as the fields of a record."""
    most = len(pieces(CAPACITY))
    return np.dtype(
        [
            ("losses", np.float64, most),
            ("parameters", parameters.dtype, parameters.size),
            ("gradients", parameters.dtype, (most, parameters.size)),
            ("scores", parameters.dtype, (CAPACITY, 10)),
            ("images", np.uint8, (CAPACITY, 28, 28)),
            ("labels", np.uint8, CAPACITY),
            ("distortions", np.float32, (CAPACITY, NUMBERS)),
            ("codes", np.uint8, (10, 84)),
            ("ready", np.bool_, 1024),  # by rank
        ]
    )


def _over(memory: mmap.mmap, layout: np.dtype[np.void]) -> SimpleNamespace:
    """Return the fields of the board by name, as arrays over some memory."""
    record = np.frombuffer(memory, layout)
    return SimpleNamespace(**{name: record[name][0] for name in layout.names or ()})


@contextlib.contextmanager
def _shared_memory(size: int) -> Iterator[IO[bytes]]:
    """Open a nameless file to map: in memory where the system has such."""
    with os.fdopen(os.memfd_create("lenet5"), "r+b") if hasattr(os, "memfd_create") else TemporaryFile() as file:
        file.truncate(size)
        yield file


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # noqa: S101 - both were asked for as pipes
    return stream
