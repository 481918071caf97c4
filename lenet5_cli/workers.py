"""Threads that share a network's parameters, each with gradients and buffers of its own."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from lenet5_cli.contraction import Array
from lenet5_cli.network import LeNet5, pieces

Item = TypeVar("Item")
Result = TypeVar("Result")


class Workers:
    """Threads over one network, which NumPy lets run at once: a context manager.

    BLAS is held to one thread meanwhile: products as small as these lose more to waking its threads than they gain.
    """

    def __init__(self, network: LeNet5, threads: int = 1) -> None:
        """Make ``threads`` workers, of which the calling thread is one."""
        self.network = network
        self._networks = [network, *(network.replica() for _ in range(threads - 1))]
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        """Hold BLAS to one thread and start the others."""
        self._resources.enter_context(threadpool_limits(1, user_api="blas"))
        if len(self._networks) > 1:
            self._pool = self._resources.enter_context(ThreadPoolExecutor(len(self._networks) - 1))
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the threads, and let BLAS have its own again."""
        self._resources.close()

    def map(self, work: Callable[[LeNet5, Item], Result], items: Sequence[Item]) -> list[Result]:
        """Return ``work(network, item)`` of each item, in order; of N workers, worker w does items w, w + N, ..."""
        count = min(len(self._networks), len(items))

        def share(worker: int) -> list[Result]:
            return [work(self._networks[worker], item) for item in items[worker::count]]

        others = [self._pool.submit(share, worker) for worker in range(1, count)]
        shares = [share(0), *(other.result() for other in others)]
        return [shares[place % count][place // count] for place in range(len(items))]

    def scores(self, images: NDArray[np.uint8]) -> Array:
        """Return scores (n, 10) of pictures (n, 28, 28), as ``LeNet5.scores`` does."""
        return np.concatenate(self.map(lambda network, piece: network.scores(images[piece]), pieces(len(images))))
