"""Training and evaluation."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from lenet5_cli.config import Config
from lenet5_cli.data.augmentation import draw
from lenet5_cli.data.sources import Split
from lenet5_cli.engine.network import LeNet5
from lenet5_cli.engine.optim import SGD, learning_rate
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.training.metrics import Tally
from lenet5_cli.training.parallel import Workers

EVALUATED = 4096  # images read at a time where nothing is learned from them
DRAWN = 1 << 20  # images whose chances are drawn at a time: memory stays flat however many there are

Batch = tuple[NDArray[np.uint8], NDArray[np.uint8]]
Track = Callable[[Iterator[Batch], int, str], Iterator[Batch]]
"""Passes batches through and may show how far they are: (batches, images in all, what is done with them)."""
Score = Callable[[NDArray[np.uint8]], NDArray[np.floating]]
"""Returns the scores (n, k) of pictures (n, 28, 28)."""


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
        validation_accuracy: likewise on the images held out; None where there are none.
    """

    epoch: int
    loss: float
    accuracy: float
    lr: float
    images: int
    seconds: float
    validation_accuracy: float | None = None


def untracked(batches: Iterator[Batch], total: int, what: str) -> Iterator[Batch]:  # noqa: ARG001
    """Pass batches through and show nothing."""
    return batches


def fit(
    network: LeNet5,
    optimizer: SGD,
    split: Split,
    config: Config,
    *,
    first: int = 1,
    validation: Split | None = None,
    threads: int = 1,
    track: Track = untracked,
) -> Iterator[Epoch]:
    """Train from epoch ``first`` on, and yield each epoch when it is done; the caller prints, saves and stops.

    Everything that an epoch depends on is in the network's parameters, the optimiser's state and the epoch's number: a
    run that is taken up again from those gives the same bits as one that was never broken off.

    Raises:
        LeNet5Error: the loss or a parameter is no longer finite.

    Source: report, training.
    """
    with Workers(network, threads) as workers:
        for number in range(first, config.epochs + 1):
            start = perf_counter()
            rng = np.random.default_rng([config.seed or 0, number])
            chosen = choose(len(split.labels), config, rng)
            loss_sum, done = 0.0, 0
            with np.errstate(over="ignore", invalid="ignore"):  # what overflows is found, and told, below
                for images, labels in track(batches(split, config.batch_size, chosen), len(chosen), f"epoch {number}"):
                    distortions = None if config.augment == "none" else draw(config.augment, len(labels), rng)
                    loss_sum += workers.differentiate(images, labels, distortions, config.smoothing)
                    done += len(labels)
                    lr = learning_rate(config, number, done / len(chosen))
                    optimizer.step(network.parameters, network.gradients, lr)
            loss = loss_sum / len(chosen)
            lr = learning_rate(config, number, 0)
            if not np.isfinite(loss) or not np.isfinite(network.parameters).all():
                raise LeNet5Error(
                    f"epoch {number}: the loss is no longer finite at learning rate {lr:g}; try a smaller --lr"
                )
            accuracy = _tally(workers, split, track).accuracy
            validated = _tally(workers, validation, track).accuracy if validation else None
            yield Epoch(number, loss, accuracy, lr, len(chosen), perf_counter() - start, validated)


def choose(images: int, config: Config, rng: np.random.Generator) -> NDArray[np.signedinteger]:
    """Return the images of an epoch, at least one.

    In file order each with chance samples_per_epoch / images (report, training); or as many, shuffled.
    """
    if config.order == "shuffled":
        every: NDArray[np.signedinteger] = np.arange(images, dtype=np.int32 if images < 2**31 else np.int64)
        rng.shuffle(every)
        return every[: config.samples_per_epoch]
    part = config.samples_per_epoch / images
    starts = range(0, images, DRAWN)
    chosen = [start + np.flatnonzero(rng.random(min(DRAWN, images - start)) < part) for start in starts]
    return np.concatenate(chosen) if any(map(len, chosen)) else rng.integers(images, size=1)


def evaluate(
    network: LeNet5,
    split: Split,
    *,
    keep: int = 0,
    threads: int = 1,
    track: Track = untracked,
    score: Score | None = None,
) -> Tally:
    """Classify every image of a split; the ``keep`` worst of the wrong answers are kept whole.

    With ``score``, the scores are what it returns, and the network gives the loss alone.
    """
    with Workers(network, threads) as workers:
        return _tally(workers, split, track, keep, score)


def _tally(workers: Workers, split: Split, track: Track, keep: int = 0, score: Score | None = None) -> Tally:
    tally = Tally(keep)
    for images, labels in track(batches(split, EVALUATED), len(split.labels), "evaluation"):
        scores = (score or workers.scores)(images)
        loss, _ = workers.network.loss(scores, labels, 0)
        tally.add(loss * len(labels), labels, scores)
    return tally


def batches(split: Split, size: int, chosen: NDArray[np.signedinteger] | None = None) -> Iterator[Batch]:
    """Yield the images and labels of a split, ``size`` at a time and in file order; only those ``chosen``, if given."""
    images, labels = split.images, split.labels
    for start in range(0, len(labels if chosen is None else chosen), size):
        piece = slice(start, start + size) if chosen is None else chosen[start : start + size]
        yield np.asarray(images[piece]), labels[piece]
