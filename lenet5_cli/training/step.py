"""Compute a batch in parallel: deal its chunks to the cores of this machine and to MPI ranks, and combine the results.

The chunks, and the order in which their gradients are added (``sums``), depend only on the size of the batch. So the
results have the same bits on any number of cores and ranks.
"""

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from lenet5_cli.data.augmentation import NUMBERS, distort
from lenet5_cli.engine.einsum import Array
from lenet5_cli.engine.network import CHUNK, Classifier, LeNet5, chunks, finite
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.training.parallel import Buffer, Pool
from lenet5_cli.training.ranks import ALONE, Ranks
from lenet5_cli.training.sums import BLOCK, deal, tree_sum

CAPACITY = 4096  # images at most that are cut into chunks together; a larger batch is first cut into such parts
EVALUATED = 1000  # the same in evaluation, where a batch has as many images for each rank
HELD = -(-len(chunks(CAPACITY)) // BLOCK) * BLOCK  # chunks in the shared buffer at a time, a multiple of BLOCK
ROOM = 2**25  # bytes for the gradients in it, or those of one block if they are more; /dev/shm may have 64 MiB

Distortions = NDArray[np.float32]
Network = TypeVar("Network", bound=Classifier)
Score = Callable[[NDArray[np.uint8]], NDArray[np.floating]]
"""Returns the scores (n, k) of pictures (n, 28, 28)."""


class Images(Protocol):
    """Images (n, 28, 28); a slice of them can be passed to ``np.asarray``."""

    def __len__(self) -> int:
        """Return the number of images."""

    def __getitem__(self, part: slice, /) -> Any:
        """Return some of them."""


class _Batch(NamedTuple):
    """A batch to compute: losses and gradients if it has labels, else scores."""

    images: Images
    cuts: list[slice]  # the images of each chunk
    labels: NDArray[np.integer] | None = None
    distortions: Distortions | None = None


class Step(Generic[Network]):
    """Computes gradients or scores of batches on several cores and ranks: a context manager.

    Every rank calls the same methods in the same order, with the same batches, but reads only the images of its own
    chunks. Each call sends the leader's parameters to the other ranks, and only the leader gets the results. A batch of
    one chunk is computed by the leader, without the pool.
    """

    def __init__(self, network: Network, threads: int = 1, ranks: Ranks = ALONE) -> None:
        """Compute with a network, whose parameters may change between calls, on up to ``threads`` cores per rank.

        Raises:
            LeNet5Error: ``threads`` is not at least 1.
        """
        if not isinstance(threads, int | np.integer) or threads < 1:
            raise LeNet5Error(f"threads: {threads!r}; expected an integer, 1 or more")
        self.network = network
        self.ranks = ranks
        self.pool = Pool(_ChunkWork(network), threads)

    def __enter__(self) -> Self:
        """Hold BLAS to one thread; the other processes start when they are first needed."""
        self.pool.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        """End the other processes; when the leader leaves the block, ``Closed`` is raised in other ranks."""
        self.pool.__exit__(kind, *error)
        if kind is None or self.ranks.leader:
            self.ranks.close()

    def loss_and_gradient(
        self: "Step[LeNet5]",
        images: Images,
        labels: NDArray[np.integer],
        distortions: Distortions | None = None,
    ) -> float:
        """Return the mean loss of a batch, and set the network's ``gradients`` to its gradient.

        images is (n, 28, 28), labels (n,); ``distortions`` are the numbers of ``augmentation.distort`` for each image.
        """
        if len(chunks(len(labels))) == 1:
            if not self.ranks.leader:
                return 0.0
            with self.ranks.named():
                return self.network.loss_and_gradient(_distorted(np.asarray(images[:]), distortions), labels)
        part = _Part(self, _Batch(images, cuts(len(labels)), labels, distortions))
        if not part.begin():
            return 0.0
        total = tree_sum(part.starts, self.ranks.rank, part.own, part.add, part.send, part.receive)
        if total is None:
            return 0.0
        self.network.gradients[...] = total["gradients"][0]
        return float(total["losses"].sum()) / len(labels)

    def scores(self, images: Images, score: Score | None = None) -> Array:
        """Return scores (n, k) of pictures (n, 28, 28), as ``LeNet5.scores`` does, or what ``score`` returns.

        Raises:
            LeNet5Error: a score is not finite.
        """
        with self.network.lock:
            return self._scores(images, score)

    def _scores(self, images: Images, score: Score | None) -> Array:
        ranks, classes = self.ranks, len(self.network.codes)
        nothing = np.empty((0, classes), self.network.dtype)  # on a rank that does not lead
        if len(chunks(len(images))) == 1:
            if not ranks.leader:
                return nothing
            with ranks.named():
                return (score or self.network.scores)(np.asarray(images[:]))
        part = _Part(self, _Batch(images, cuts(len(images), EVALUATED)))
        if not part.begin(read=score is None):
            return nothing
        own = part.scores(score)
        if not ranks.leader:
            ranks.send(own, 0)
            return nothing
        scores = np.empty((len(images), classes), own.dtype)
        scores[part.rows(0)] = own
        for rank in range(1, part.working):
            ranks.receive(scores[part.rows(rank)], rank)
        return finite(scores)


class _Part:
    """One rank's share of a batch: its chunks, computed as many at a time as the shared buffer holds."""

    def __init__(self, step: Step[Any], batch: _Batch) -> None:
        self.step, self.batch = step, batch
        self.ranks, self.pool = step.ranks, step.pool
        self.starts = deal(len(batch.cuts), self.ranks.size)
        self.working = min(len(batch.cuts), self.ranks.size)
        self._held = range(0)  # the chunks that are in the buffer
        self._free: list[Any] = []  # records that can be reused
        gradients = self.pool.work.layout["gradients"].subdtype
        assert gradients  # noqa: S101 - an array for each chunk
        self._most = gradients[1][0]  # chunks that the buffer holds
        kinds = [("losses", np.float64, (len(batch.cuts),)), ("gradients", gradients[0], gradients[1][1:])]
        self._record = np.dtype(kinds)

    def begin(self, *, read: bool = True) -> bool:
        """Receive the parameters and, with ``read``, compute the first chunks; return False if this rank has none."""
        if self.ranks.rank >= self.working:
            return False
        if read:
            self._load(self.starts[self.ranks.rank])  # first, as the leader may still be updating the parameters
        self.ranks.announce(self.step.network.parameters, self.working)
        if read:
            self._run()
        return True

    def rows(self, rank: int) -> slice:
        """Return the slice of the batch that a rank has."""
        return slice(self.batch.cuts[self.starts[rank]].start, self.batch.cuts[self.starts[rank + 1] - 1].stop)

    def scores(self, score: Score | None) -> Array:
        """Return the scores of this rank's images."""
        if score:
            with self.ranks.named():
                return np.ascontiguousarray(score(np.asarray(self.batch.images[self.rows(self.ranks.rank)])))
        scores, buffer = [], self.pool.buffer
        last = self.starts[self.ranks.rank + 1]
        while True:
            scores.append(buffer.scores[: buffer.edges[len(self._held)]].copy())
            if self._held.stop == last:
                return np.concatenate(scores)
            self._load(self._held.stop)
            self._run()

    def own(self, first: int, last: int) -> Any:
        """Return the losses, and the sum of the gradients, of chunks ``first`` to ``last - 1`` in a record."""
        if last > self._held.stop:
            self._load(first)
            self._run()
        buffer, slots = self.pool.buffer, slice(first - self._held.start, last - self._held.start)
        record = self._new()
        record["losses"] = 0
        record["losses"][0, first:last] = buffer.losses[slots]
        np.add.reduce(buffer.gradients[slots], axis=0, out=record["gradients"][0])
        return record

    def add(self, left: Any, right: Any) -> Any:
        """Return the sum of two records, in the left one."""
        for name in ("losses", "gradients"):
            left[name] += right[name]
        self._free.append(right)
        return left

    def send(self, record: Any, rank: int) -> None:
        """Send a record to another rank."""
        self.ranks.send(record.view(np.uint8), rank)
        self._free.append(record)

    def receive(self, rank: int) -> Any:
        """Receive a record from another rank."""
        record = self._new()
        self.ranks.receive(record.view(np.uint8), rank)
        return record

    def _new(self) -> Any:
        return self._free.pop() if self._free else np.empty(1, self._record)

    def _load(self, first: int) -> None:
        """Copy the images of chunks from ``first`` on into the buffer, as many whole blocks as fit."""
        last = min(self.starts[self.ranks.rank + 1], first - first % BLOCK + self._most)
        batch, buffer, held = self.batch, self.pool.buffer, self.batch.cuts[first:last]
        rows = slice(held[0].start, held[-1].stop)
        count = rows.stop - rows.start
        with self.ranks.named():
            buffer.images[:count] = np.asarray(batch.images[rows])
        if batch.labels is not None:
            buffer.labels[:count] = batch.labels[rows]
        if batch.distortions is not None:
            buffer.distortions[:count] = batch.distortions[rows]
        buffer.edges[: len(held) + 1] = [cut.start - rows.start for cut in held] + [count]
        buffer.batch_size[0] = len(batch.images)
        buffer.differentiate[0], buffer.distort[0] = batch.labels is not None, batch.distortions is not None
        self._held = range(first, last)

    def _run(self) -> None:
        """Compute the chunks in the buffer."""
        self.pool.buffer.parameters[...] = self.step.network.parameters
        with self.ranks.named(), np.errstate(all="ignore"):  # the leader checks for overflows
            self.pool.run(len(self._held))


class _ChunkWork:
    """The work of a process of the pool: scores, or loss and gradient, of a chunk of images in the shared buffer."""

    def __init__(self, network: Classifier) -> None:
        self.network = network
        blocks = ROOM // max(1, BLOCK * network.gradients.nbytes)
        held = min(HELD, BLOCK * max(1, blocks))
        numbers, images = network.dtype, held * CHUNK
        self.layout = np.dtype(
            [
                ("edges", np.int64, held + 1),
                ("batch_size", np.int64),
                ("differentiate", np.int64),
                ("distort", np.int64),
                ("losses", np.float64, held),
                ("images", np.uint8, (images, 28, 28)),
                ("labels", np.uint8, images),
                ("distortions", np.float32, (images, NUMBERS)),
                ("parameters", numbers, network.parameters.size),
                ("gradients", numbers, (held, network.gradients.size)),
                ("scores", numbers, (images, len(network.codes))),
            ]
        )

    def begin(self, buffer: Buffer) -> None:
        self.network.parameters[...] = buffer.parameters

    def compute(self, buffer: Buffer, chunk: int) -> None:
        part = slice(buffer.edges[chunk], buffer.edges[chunk + 1])
        images, labels = buffer.images[part], buffer.labels[part]
        if isinstance(self.network, LeNet5) and buffer.differentiate[0]:
            images = _distorted(images, buffer.distortions[part] if buffer.distort[0] else None)
            loss = self.network.loss_and_gradient(images, labels, int(buffer.batch_size[0]))
            buffer.losses[chunk] = loss * len(labels)
            buffer.gradients[chunk] = self.network.gradients
        else:
            buffer.scores[part] = self.network.forward(self.network.prepare(images))


def working(images: int, ranks: Ranks) -> int:
    """Return how many ranks have a chunk to compute in a step on a number of images."""
    enough = CHUNK * ranks.size  # images that give each rank a chunk: no chunk is larger
    return min(len(cuts(min(images, enough))), ranks.size)


def parts(images: int, size: int) -> list[slice]:
    """Cut images into parts of ``size``; the last one may be smaller."""
    return [slice(start, min(start + size, images)) for start in range(0, images, size)]


def cuts(images: int, limit: int = CAPACITY) -> list[slice]:
    """Return the slice of each chunk of a batch, first cut into parts of ``limit`` images."""
    return [
        slice(part.start + cut.start, part.start + cut.stop)
        for part in parts(images, limit)
        for cut in chunks(part.stop - part.start)
    ]


def _distorted(images: NDArray[np.uint8], distortions: Distortions | None) -> NDArray[np.uint8]:
    return images if distortions is None else distort(images, distortions)
