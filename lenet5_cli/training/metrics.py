"""Counts of right and wrong answers, and what follows from them."""

from dataclasses import dataclass, field
from math import exp, fsum, lgamma, log, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lenet5_cli.data.glyphs import DIGITS, noun

BINS = 20  # of equal width, for confidence


class Wrong(NamedTuple):
    """Some wrong answers.

    Attributes:
        images: (m,), the indices of the images, from 0 in the order in which they were counted.
        labels: (m,), their true classes.
        scores: (m, k), the score of each class; the answer is the class with the largest.
    """

    images: NDArray[np.integer]
    labels: NDArray[np.integer]
    scores: NDArray[np.floating]

    @property
    def margins(self) -> NDArray[np.floating]:
        """The score of each answer minus that of the true class, (m,)."""
        margins: NDArray[np.floating] = self.scores.max(axis=1) - self.scores[np.arange(len(self.labels)), self.labels]
        return margins


class Rejection(NamedTuple):
    """The answers that are left when those far from every code are refused (selective classification).

    Attributes:
        threshold: the largest squared distance to the nearest code that is accepted.
        accepted: the number of accepted answers.
        wrong: how many of these are wrong.
        images: the number of all answers.
    """

    threshold: float
    accepted: int
    wrong: int
    images: int

    @property
    def coverage(self) -> float:
        """The fraction of the answers that are accepted."""
        return self.accepted / self.images

    @property
    def error(self) -> float:
        """The fraction of the accepted answers that are wrong; 0 if none is accepted."""
        return self.wrong / max(self.accepted, 1)


@dataclass(eq=False)  # of arrays, whose equality has no truth value
class Tally:
    """Counts and sums over classified images; ratios are computed on demand.

    Attributes:
        keep: how many of the wrong answers to keep.
        names: the names of the k classes, in the order of their numbers.
        loss_sum: the sum of the losses of all images.
        confusion: confusion[true class, answer], numbers of images.
        bins: bins[what, bin], sums over the answers in each bin of confidence, the softmax of their score: 0 is the
            number of images, 1 of right answers, 2 the confidence. Bin b holds confidences above ``b / BINS`` up to
            ``(b + 1) / BINS``.
        nearest: for each batch, the answers' squared distances to their codes, (n,), and whether they are right, (n,).
        worst: the ``keep`` wrong answers of largest margin, largest first.
    """

    keep: int = 0
    names: tuple[str, ...] = DIGITS
    loss_sum: float = 0.0
    confusion: NDArray[np.int64] = field(init=False)
    bins: NDArray[np.float64] = field(default_factory=lambda: np.zeros((3, BINS)))
    nearest: list[tuple[NDArray[np.floating], NDArray[np.bool_]]] = field(default_factory=list)
    worst: Wrong = field(init=False)

    def __post_init__(self) -> None:
        """Begin with nothing counted."""
        classes = len(self.names)
        self.confusion = np.zeros((classes, classes), np.int64)
        self.worst = Wrong(np.zeros(0, int), np.zeros(0, int), np.zeros((0, classes)))

    def __repr__(self) -> str:
        """Return the number of right answers and of images, which a notebook shows."""
        return f"Tally({self.right:,} of {self.images:,} right)"

    def add(self, loss_sum: float, labels: NDArray[np.integer], scores: NDArray[np.floating]) -> None:
        """Count a batch: the sum of its losses, its labels (n,) and its scores (n, k)."""
        answers = scores.argmax(axis=1)
        self._keep_worst(labels, scores, np.flatnonzero(answers != labels))
        self.loss_sum += loss_sum
        np.add.at(self.confusion, (labels, answers), 1)
        self.nearest.append((-scores.max(axis=1), answers == labels))
        confidences = 1 / np.exp(scores - scores.max(axis=1, keepdims=True)).sum(axis=1, dtype=np.float64)
        bins = np.searchsorted(np.arange(1, BINS) / BINS, confidences)
        self.bins += [np.bincount(bins, what, minlength=BINS) for what in (None, answers == labels, confidences)]

    def _keep_worst(
        self, labels: NDArray[np.integer], scores: NDArray[np.floating], wrong: NDArray[np.integer]
    ) -> None:
        if self.keep:
            both = Wrong(
                np.concatenate([self.worst.images, self.images + wrong]),
                np.concatenate([self.worst.labels, labels[wrong]]),
                np.concatenate([self.worst.scores, scores[wrong]]),
            )
            order = np.argsort(-both.margins, kind="stable")[: self.keep]
            self.worst = Wrong(both.images[order], both.labels[order], both.scores[order])

    @property
    def noun(self) -> str:
        """The word for a class in messages: ``digit`` or ``class``."""
        return noun(self.names)

    @property
    def images(self) -> int:
        """The number of images."""
        return int(self.confusion.sum())

    @property
    def right(self) -> int:
        """The number of right answers."""
        return int(self.confusion.trace())

    @property
    def accuracy(self) -> float:
        """Right answers over images, 0 to 1."""
        return self.right / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """The accuracy's 95 % confidence interval."""
        return wilson(self.right, self.images)

    @property
    def loss(self) -> float:
        """The mean loss per image."""
        return self.loss_sum / self.images

    @property
    def precision(self) -> NDArray[np.float64]:
        """For each class, right answers over answers of that class; 0 if there were none."""
        return self._ratio(self.confusion.sum(axis=0))

    @property
    def recall(self) -> NDArray[np.float64]:
        """For each class, right answers over images of that class; 0 if there were none."""
        return self._ratio(self.confusion.sum(axis=1))

    @property
    def f1(self) -> NDArray[np.float64]:
        """For each class, 2 / (1 / precision + 1 / recall); 0 if no answer was right."""
        return self._ratio((self.confusion.sum(axis=0) + self.confusion.sum(axis=1)) / 2)

    @property
    def confused(self) -> list[tuple[int, int, int]]:
        """The confusions as (true class, answer, number of images), most frequent first."""
        pairs = [
            (int(digit), int(answer), int(self.confusion[digit, answer]))
            for digit, answer in np.argwhere(self.confusion)
            if digit != answer
        ]
        return sorted(pairs, key=lambda pair: -pair[2])

    @property
    def calibration_error(self) -> float:
        """The expected calibration error: the mean over all answers of |accuracy - mean confidence| of their bin.

        Source: Guo et al. 2017, equation 3.
        """
        _, right, confidence = self.bins
        return float(abs(right - confidence).sum()) / self.images

    def refusing(self, thresholds: NDArray[np.floating]) -> list[Rejection]:
        """Return the answers that are left at each threshold, (m,), of the squared distance."""
        distances, rights = (np.concatenate(parts) for parts in zip(*self.nearest, strict=True))
        order = np.argsort(distances)
        accepted = np.searchsorted(distances[order], thresholds, "right")
        wrong = np.concatenate([[0], np.cumsum(~rights[order])])[accepted]
        counts = zip(thresholds.tolist(), accepted.tolist(), wrong.tolist(), strict=True)
        return [Rejection(*each, len(distances)) for each in counts]

    def covering(self, coverages: NDArray[np.floating]) -> list[Rejection]:
        """Return the same at the smallest thresholds that accept at least these fractions, (m,), of the answers."""
        distances = np.concatenate([distances for distances, _ in self.nearest])
        return self.refusing(np.quantile(distances, coverages, method="inverted_cdf"))

    def _ratio(self, of: NDArray[np.integer] | NDArray[np.floating]) -> NDArray[np.float64]:
        ratio: NDArray[np.float64] = self.confusion.diagonal() / np.maximum(of, 1)
        return ratio


def wilson(right: float, images: float) -> tuple[float, float]:
    """Return the 95 % confidence interval of a proportion, ``right`` of ``images`` (Wilson 1927)."""
    z, n, p = 1.959964, images, right / images
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)  # rounding may exceed these bounds by a bit


def mcnemar(first: int, second: int) -> float:
    """Return the two-sided p-value of McNemar's exact test that two classifiers are equally good on the same images.

    ``first`` is the number of images that only the first classifier gets right, ``second`` likewise. If both are
    equally good, either is right on each of them with probability 1/2: ``p = 2 sum_i^min C(n, i) / 2^n``, at most 1.

    Source: McNemar 1947.
    """
    n = first + second
    tail = (lgamma(n + 1) - lgamma(i + 1) - lgamma(n - i + 1) - n * log(2) for i in range(min(first, second) + 1))
    return min(1.0, 2 * fsum(map(exp, tail)))
