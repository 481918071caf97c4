"""A batch on the cores of this machine: its chunks go to a pool, and what they give is put together in their order."""

from functools import reduce
from typing import Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from lenet5_cli.data.augmentation import NUMBERS, distort
from lenet5_cli.engine.einsum import Array
from lenet5_cli.engine.network import Classifier, LeNet5, chunks, finite
from lenet5_cli.training.parallel import Buffer, Pool

CAPACITY = 4096  # images in the shared buffer at a time

Distortions = NDArray[np.float32]
Network = TypeVar("Network", bound=Classifier)


class Step(Generic[Network]):
    """What training and evaluation compute of a batch, on several cores: a context manager.

    The chunks of a batch depend on its size alone, and are put together in their order: the results are the same bits
    on any number of cores. A batch of one chunk is computed here, without the pool.
    """

    def __init__(self, network: Network, threads: int = 1) -> None:
        """Compute with a network, whose parameters may change between calls, on up to ``threads`` cores."""
        self.network = network
        self.pool = Pool(_ChunkWork(network), threads)

    def __enter__(self) -> Self:
        """Hold BLAS to one thread; the other processes start when they are first needed."""
        self.pool.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        """End the other processes."""
        self.pool.__exit__(*error)

    def loss_and_gradient(
        self: "Step[LeNet5]",
        images: NDArray[np.uint8],
        labels: NDArray[np.integer],
        distortions: Distortions | None = None,
    ) -> float:
        """Return the mean loss of a batch, and set the network's ``gradients`` to its gradient.

        images is (n, 28, 28), labels (n,); ``distortions`` are the numbers of ``augmentation.distort`` for each image.
        """
        n = len(labels)
        if len(chunks(n)) == 1:
            return self.network.loss_and_gradient(_distorted(images, distortions), labels)
        gradients, loss_sum = [], 0.0
        for part in _parts(n):
            buffer = self.pool.buffer
            buffer.labels[: len(labels[part])] = labels[part]
            if distortions is not None:
                buffer.distortions[: len(labels[part])] = distortions[part]
            count = self._run(images[part], n, differentiate=True, distort=distortions is not None)
            gradients.append(np.add.reduce(buffer.gradients[:count], axis=0))
            loss_sum += float(buffer.losses[:count].sum())
        self.network.gradients[...] = reduce(np.add, gradients)
        return loss_sum / n

    def scores(self, images: NDArray[np.uint8]) -> Array:
        """Return scores (n, k) of pictures (n, 28, 28), as ``LeNet5.scores`` does.

        Raises:
            LeNet5Error: a score is not finite.
        """
        if len(chunks(len(images))) == 1:
            return self.network.scores(images)
        scores = np.empty((len(images), len(self.network.codes)), self.network.dtype)
        for part in _parts(len(images)):
            with np.errstate(over="ignore", invalid="ignore"):  # what overflows is found below
                self._run(images[part], len(images), differentiate=False, distort=False)
            scores[part] = self.pool.buffer.scores[: len(scores[part])]
        return finite(scores)

    def _run(self, images: NDArray[np.uint8], batch_size: int, *, differentiate: bool, distort: bool) -> int:
        """Have every chunk of some images of a batch computed; return how many there are."""
        buffer, count = self.pool.buffer, len(chunks(len(images)))
        buffer.parameters[...] = self.network.parameters
        buffer.images[: len(images)] = images
        buffer.count[0], buffer.batch_size[0] = len(images), batch_size
        buffer.differentiate[0], buffer.distort[0] = differentiate, distort
        self.pool.run(count)
        return count


class _ChunkWork:
    """What each process does with a chunk of the images in the shared buffer: their scores, or loss and gradient."""

    def __init__(self, network: Classifier) -> None:
        self.network = network
        numbers, maximum = network.dtype, len(chunks(CAPACITY))
        self.layout = np.dtype(
            [
                ("count", np.int64),
                ("batch_size", np.int64),
                ("differentiate", np.int64),
                ("distort", np.int64),
                ("losses", np.float64, maximum),
                ("images", np.uint8, (CAPACITY, 28, 28)),
                ("labels", np.uint8, CAPACITY),
                ("distortions", np.float32, (CAPACITY, NUMBERS)),
                ("parameters", numbers, network.parameters.size),
                ("gradients", numbers, (maximum, network.gradients.size)),
                ("scores", numbers, (CAPACITY, len(network.codes))),
            ]
        )

    def begin(self, buffer: Buffer) -> None:
        self.network.parameters[...] = buffer.parameters

    def compute(self, buffer: Buffer, chunk: int) -> None:
        part = chunks(int(buffer.count[0]))[chunk]
        images, labels = buffer.images[part], buffer.labels[part]
        if isinstance(self.network, LeNet5) and buffer.differentiate[0]:
            images = _distorted(images, buffer.distortions[part] if buffer.distort[0] else None)
            loss = self.network.loss_and_gradient(images, labels, int(buffer.batch_size[0]))
            buffer.losses[chunk] = loss * len(labels)
            buffer.gradients[chunk] = self.network.gradients
        else:
            buffer.scores[part] = self.network.forward(self.network.prepare(images))


def _distorted(images: NDArray[np.uint8], distortions: Distortions | None) -> NDArray[np.uint8]:
    return images if distortions is None else distort(images, distortions)


def _parts(images: int) -> list[slice]:
    """Cut a batch into what the shared buffer holds at a time."""
    return [slice(start, start + CAPACITY) for start in range(0, images, CAPACITY)]
