"""Training and evaluation."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet5_cli.config import Config, shown
from lenet5_cli.data.augmentation import draw
from lenet5_cli.data.sources import Split
from lenet5_cli.engine.network import Classifier, LeNet5, demand_network
from lenet5_cli.engine.optim import SGD, learning_rate
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.storage.checkpoint import LARGEST, Epoch
from lenet5_cli.training.inputs import Data, as_split
from lenet5_cli.training.metrics import Tally
from lenet5_cli.training.ranks import ALONE, Closed, Ranks
from lenet5_cli.training.step import EVALUATED, Images, Score, Step, parts

ADDED_SEED = 3  # of the drawn images added to others; those of ``builtin`` have other seeds
CHANCES = 1 << 20  # random numbers drawn at a time, so that memory does not grow with the number of images

Batch = tuple[Images, NDArray[np.uint8]]
Track = Callable[[Iterator[Batch], int, str], Iterator[Batch]]
"""Passes batches through and may show progress; called with (batches, total number of images, description)."""


def untracked(batches: Iterator[Batch], total: int, what: str) -> Iterator[Batch]:  # noqa: ARG001
    """Pass batches through and show nothing."""
    return batches


def demand_track(track: object) -> None:
    """Raise LeNet5Error if ``track`` is not callable."""
    if not callable(track):
        raise LeNet5Error(f"track: of type {type(track).__name__}; expected a function such as lenet5_cli.bar")


def fit(
    network: LeNet5,
    optimizer: SGD,
    split: Split,
    config: Config,
    *,
    first: int = 1,
    validation: Split | None = None,
    rehearsed: Split | None = None,
    threads: int = 1,
    ranks: Ranks = ALONE,
    track: Track = untracked,
) -> Iterator[tuple[Epoch, Tally | None]]:
    """Train from epoch ``first`` on, and yield each epoch when it is done; the caller prints, saves and stops.

    Each epoch is yielded with the result on the validation images, if there are any. Of several ranks, only the leader
    yields; the others take part in its steps until it stops.

    An epoch depends only on the network's parameters, the optimiser's state and the epoch's number: a run resumed from
    those gives the same bits as one that was never interrupted. Each epoch mixes in other images of ``rehearsed``.

    Raises:
        LeNet5Error: the loss or a parameter is no longer finite.

    Source: report, training.
    """
    with_drawn = extended(split, config.drawn, config.nondigits, nonclass=len(network.codes))
    with suppress(Closed), Step(network, threads, ranks) as step:
        for number in range(first, config.epochs + 1):
            start = perf_counter()
            loss, images = _take_steps(step, optimizer, with_drawn, rehearsed, config, number, track)
            lr = learning_rate(config, number, 0.5)
            stable = loss <= LARGEST and lr <= LARGEST and np.isfinite(network.parameters).all()  # false for nan
            if ranks.leader and not stable:
                raise LeNet5Error(
                    f"epoch {number}: the loss is no longer finite at learning rate {lr:g}; try a smaller lr"
                )
            training = _tally(step, split, track, distances=False)
            held_out = _tally(step, validation, track) if validation else None
            if ranks.leader:
                validated = (held_out.loss, held_out.accuracy) if held_out else ()
                yield Epoch(number, loss, training.accuracy, lr, images, perf_counter() - start, *validated), held_out


def _take_steps(
    step: Step[LeNet5],
    optimizer: SGD,
    split: Split,
    rehearsed: Split | None,
    config: Config,
    epoch: int,
    track: Track,
) -> tuple[float, int]:
    """Take the steps of one epoch; return the mean loss per image and the number of images."""
    rng = np.random.default_rng([config.seed or 0, epoch])
    if rehearsed is not None:
        split = mixed(split, rehearsed, config.rehearse, rng)
    chosen = choose(len(split.labels), config, rng)
    network, total, loss_sum, done = step.network, len(chosen), 0.0, 0
    with np.errstate(all="ignore"), optimizer.epoch(network.parameters):  # the caller checks for nan and infinity
        for images, labels in track(batches(split, config.batch_size, chosen), total, f"epoch {epoch}"):
            distortions = None if config.augment == "none" else draw(config.augment, len(labels), rng)
            loss_sum += step.loss_and_gradient(images, labels, distortions) * len(labels)
            done += len(labels)
            if step.ranks.leader:
                # If the epoch is one step, use the rate in its middle: at the end of the last epoch it may be 0.
                fraction = done / total if total > config.batch_size else 0.5
                optimizer.step(network.parameters, network.gradients, learning_rate(config, epoch, fraction))
    return loss_sum / total, total


def extended(split: Split, digits: int, nondigits: int, *, nonclass: int) -> Split:
    """Return a split with drawn digits appended, then drawn pictures of no digit, which are labelled ``nonclass``.

    All styles of digits are equally frequent, so that there are enough of those that the split lacks.
    """
    if not digits and not nondigits:
        return split
    from lenet5_cli.data import drawn  # noqa: PLC0415 - needs Pillow, which other data does not

    images, labels = drawn.draw(digits, ADDED_SEED, evenly=True)
    others = drawn.draw_nondigits(nondigits, ADDED_SEED)
    return replace(
        split,
        images=np.concatenate([np.asarray(split.images[:]), images, others]),
        labels=np.concatenate([split.labels, labels, np.full(nondigits, nonclass, np.uint8)]),
    )


def mixed(split: Split, rehearsed: Split, fraction: float, rng: np.random.Generator) -> Split:
    """Return a split with random images of another appended: ``fraction`` of the sum, or all if there are fewer."""
    others = len(rehearsed.labels)
    chosen = np.sort(rng.choice(others, min(others, asked_for(len(split.labels), fraction)), replace=False))
    return replace(
        split,
        images=np.concatenate([np.asarray(split.images[:]), np.asarray(rehearsed.images[chosen])]),
        labels=np.concatenate([split.labels, rehearsed.labels[chosen]]),
        places=(),
    )


def asked_for(own: int, fraction: float) -> int:
    """Return how many images to add to ``own`` ones so that they are a fraction of the sum."""
    return round(own * fraction / (1 - fraction))


def choose(images: int, config: Config, rng: np.random.Generator) -> NDArray[np.signedinteger]:
    """Return the indices of the images of an epoch, at least one.

    With order ``file``, each image has probability samples_per_epoch / images (report, training), and they are in file
    order; with ``shuffled``, there are samples_per_epoch of them, in random order.
    """
    if config.order == "shuffled":
        every: NDArray[np.signedinteger] = np.arange(images, dtype=np.int32 if images < 2**31 else np.int64)
        rng.shuffle(every)
        return every[: config.samples_per_epoch]
    chance = config.samples_per_epoch / images
    starts = range(0, images, CHANCES)
    chosen = [start + np.flatnonzero(rng.random(min(CHANCES, images - start)) < chance) for start in starts]
    return np.concatenate(chosen) if any(map(len, chosen)) else rng.integers(images, size=1)


def demand_classes(network: Classifier, split: Split) -> None:
    """Check that each label of a split is a class of a network.

    Raises:
        LeNet5Error: one is not.
    """
    classes = len(network.codes)
    for index in np.flatnonzero(split.labels >= classes):
        there = f"label {split.labels[index]} at index {index:,}, counted from 0"
        what = "digits" if network.sheet.noun == "digit" else "classes"
        expected = f"expected {what} from 0 to {classes - 1}; set glyphs to train with a larger sheet"
        raise LeNet5Error(f"{split.labels_path}: {there}; {expected}")


def evaluate(
    network: Classifier,
    data: Data,
    *,
    keep: int = 0,
    threads: int = 1,
    ranks: Ranks = ALONE,
    track: Track = untracked,
    score: Score | None = None,
) -> Tally:
    """Classify every image of a split, by default the test split of a name or path, and return the counts.

    A name or path is read as the network's training data was: with its ``as_is`` and ``test_fraction``.

    Args:
        network: a network, or a committee of several.
        data: a name or path, a split, or pictures and labels, as ``train`` takes them.
        keep: how many of the wrong answers are kept with their scores, the worst ones.
        threads: cores to compute on; the counts are the same for any number.
        ranks: the MPI ranks that share the work; the leader's tally counts all images, those of the others are empty.
        track: shows progress, as ``lenet5_cli.bar`` does.
        score: computes the scores instead of the network, which is then used for the loss only.

    Raises:
        LeNet5Error: the data cannot be read, a label is not that of a class, a score is not finite, or an argument is
            of the wrong type.
    """
    demand_network(network)
    demand_track(track)
    if not isinstance(keep, int | np.integer) or keep < 0:
        raise LeNet5Error(f"keep: {shown(keep)}; expected an integer, 0 or more")
    split = as_split(data, "test", network)
    demand_classes(network, split)
    tally = Tally(keep, network.names)
    with suppress(Closed), Step(network, threads, ranks) as step:
        _count(tally, step, split, track, score)
    return tally


def answers(network: LeNet5, split: Split, *, threads: int = 1, track: Track = untracked) -> NDArray[np.signedinteger]:
    """Return the predicted class (n,) of each image of a split."""
    with Step(network, threads) as step:
        batched = track(batches(split, EVALUATED), len(split.labels), "evaluation")
        return np.concatenate([step.scores(images).argmax(axis=1) for images, _ in batched])


def _tally(step: Step[Any], split: Split, track: Track, *, distances: bool = True) -> Tally:
    tally = Tally(names=step.network.names)
    _count(tally, step, split, track, distances=distances)
    return tally


def _count(
    tally: Tally, step: Step[Any], split: Split, track: Track, score: Score | None = None, *, distances: bool = True
) -> None:
    """Classify the images of a split, and count the answers in ``tally`` on the leader.

    Without ``distances``, the distance of each image is not kept: for millions of images, that would take most memory.
    """
    size = EVALUATED * step.ranks.size
    for images, labels in track(batches(split, size), len(split.labels), "evaluation"):
        scores = step.scores(images, score)
        for part in parts(len(scores), EVALUATED):
            with np.errstate(all="ignore"):  # the scores are finite, but a probability may underflow
                loss = step.network.loss(scores[part], labels[part])
                tally.add(loss * (part.stop - part.start), labels[part], scores[part])
            if not distances:
                tally.nearest.clear()


class _Chosen:
    """Selected images of a split, read from it when they are sliced."""

    def __init__(self, images: Images, chosen: NDArray[np.signedinteger]) -> None:
        self._images, self._chosen = images, chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, part: slice) -> Any:
        return self._images[self._chosen[part]]  # type: ignore[index]


def batches(split: Split, size: int, chosen: NDArray[np.signedinteger] | None = None) -> Iterator[Batch]:
    """Yield the images and labels of a split, ``size`` at a time, in file order or by the indices ``chosen``.

    Images are read only when the batch is sliced, so that a rank reads only its own.
    """
    images, labels = split.images, split.labels
    for start in range(0, len(labels if chosen is None else chosen), size):
        if chosen is None:
            yield images[start : start + size], labels[start : start + size]
        else:
            batch = chosen[start : start + size]
            yield _Chosen(images, batch), labels[batch]
