"""Training and evaluation."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from lenet5_cli.config import Config
from lenet5_cli.datasets import Split
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.losses import cross_entropy
from lenet5_cli.metrics import Tally
from lenet5_cli.network import LeNet5
from lenet5_cli.optim import SGD, exponential
from lenet5_cli.workers import Workers

EVALUATED = 4096  # images read at a time where nothing is learned from them

Batch = tuple[NDArray[np.uint8], NDArray[np.uint8]]
Track = Callable[[Iterator[Batch], int, str], Iterator[Batch]]
"""Passes batches through and may show how far they are: (batches, images in all, what is done with them)."""


@dataclass(frozen=True)
class Epoch:
    """One pass of training.

    Attributes:
        epoch: numbered from 1.
        loss: the mean over the images taken, each before its step.
        accuracy: of the network after the epoch, on the whole training set, 0 to 1.
        lr: the learning rate.
        images: how many were taken.
        seconds: wall time of the pass and its evaluation.
    """

    epoch: int
    loss: float
    accuracy: float
    lr: float
    images: int
    seconds: float


def untracked(batches: Iterator[Batch], total: int, what: str) -> Iterator[Batch]:  # noqa: ARG001
    """Pass batches through and show nothing."""
    return batches


def fit(
    network: LeNet5, split: Split, config: Config, *, threads: int = 1, track: Track = untracked
) -> Iterator[Epoch]:
    """Train epoch by epoch, and yield each when it is done; the caller prints, saves and stops.

    Raises:
        LeNet5Error: the loss or a parameter is no longer finite.

    Source: report, training.
    """
    with Workers(network, threads) as workers:
        for number in range(1, config.epochs + 1):
            start = perf_counter()
            chosen = choose(len(split.labels), config, number)
            lr = exponential(config.lr, config.lr_decay, number)
            loss_sum = 0.0
            with np.errstate(over="ignore", invalid="ignore"):  # what overflows is found, and told, below
                for batch in track(batches(split, config.batch_size, chosen), len(chosen), f"epoch {number}"):
                    loss_sum += step(workers, SGD(lr), *batch)
            loss = loss_sum / len(chosen)
            if not np.isfinite(loss) or not np.isfinite(network.parameters).all():
                raise LeNet5Error(
                    f"epoch {number}: the loss is no longer finite at learning rate {lr:g}; try a smaller --lr"
                )
            accuracy = _tally(workers, split, track).accuracy
            yield Epoch(number, loss, accuracy, lr, len(chosen), perf_counter() - start)


def choose(images: int, config: Config, epoch: int) -> NDArray[np.intp]:
    """Return which images an epoch takes, in file order: each with chance samples_per_epoch / images, at least one."""
    rng = np.random.default_rng([config.seed or 0, epoch])
    chosen = np.flatnonzero(rng.random(images) < config.samples_per_epoch / images)
    return chosen if len(chosen) else rng.integers(images, size=1)


def step(workers: Workers, optimizer: SGD, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> float:
    """Take one step down the gradient of the mean loss of a batch; return the sum of its losses."""
    loss_sum = workers.differentiate(images, labels)
    optimizer.step(workers.network.parameters, workers.network.gradients)
    return loss_sum


def evaluate(network: LeNet5, split: Split, *, threads: int = 1, track: Track = untracked) -> Tally:
    """Classify every image of a split."""
    with Workers(network, threads) as workers:
        return _tally(workers, split, track)


def _tally(workers: Workers, split: Split, track: Track) -> Tally:
    tally = Tally()
    for images, labels in track(batches(split, EVALUATED), len(split.labels), "evaluation"):
        scores = workers.scores(images)
        loss, _ = cross_entropy(scores, labels)
        tally.add(loss * len(labels), labels, scores.argmax(axis=1))
    return tally


def batches(split: Split, size: int, chosen: NDArray[np.intp] | None = None) -> Iterator[Batch]:
    """Yield the images and labels of a split, ``size`` at a time and in file order; only those ``chosen``, if given."""
    images, labels = np.asarray(split.images), np.asarray(split.labels)
    for start in range(0, len(labels if chosen is None else chosen), size):
        piece = slice(start, start + size) if chosen is None else chosen[start : start + size]
        yield images[piece], labels[piece]
