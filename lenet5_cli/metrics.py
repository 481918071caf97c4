"""Tallies of right and wrong answers."""

from dataclasses import dataclass, field
from math import sqrt

import numpy as np
from numpy.typing import NDArray


@dataclass
class Tally:
    """What is counted while images are classified; sums, divided only when asked.

    Attributes:
        loss_sum: the sum of the images' losses.
        confusion: confusion[true digit, answer], images.
    """

    loss_sum: float = 0.0
    confusion: NDArray[np.int64] = field(default_factory=lambda: np.zeros((10, 10), np.int64))

    def add(self, loss_sum: float, labels: NDArray[np.integer], answers: NDArray[np.integer]) -> None:
        """Count a batch: the sum of its losses, its labels (n,) and its answers (n,)."""
        self.loss_sum += loss_sum
        np.add.at(self.confusion, (labels, answers), 1)

    @property
    def images(self) -> int:
        """How many images were counted."""
        return int(self.confusion.sum())

    @property
    def right(self) -> int:
        """How many answers were right."""
        return int(self.confusion.trace())

    @property
    def accuracy(self) -> float:
        """Right answers over images, 0 to 1."""
        return self.right / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """The accuracy's 95 % confidence interval (Wilson 1927)."""
        z, n, p = 1.959964, self.images, self.accuracy
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return middle - half, middle + half

    @property
    def loss(self) -> float:
        """The mean loss an image."""
        return self.loss_sum / self.images

    @property
    def precision(self) -> NDArray[np.float64]:
        """For each digit, right answers over answers of that digit; 0 where it was never the answer."""
        return self._share(self.confusion.sum(axis=0))

    @property
    def recall(self) -> NDArray[np.float64]:
        """For each digit, right answers over images of that digit; 0 where there was none."""
        return self._share(self.confusion.sum(axis=1))

    def _share(self, of: NDArray[np.int64]) -> NDArray[np.float64]:
        return self.confusion.diagonal() / np.maximum(of, 1)
