"""Optimisers: what changes parameters, given their gradients."""

from dataclasses import dataclass

import numpy as np

from lenet5_cli.contraction import Array


@dataclass
class SGD:
    """Stochastic gradient descent: ``parameters -= lr gradients``.

    Source: report, training.
    """

    lr: float

    def step(self, parameters: Array, gradients: Array) -> None:
        """Change ``parameters`` in place."""
        parameters -= self.lr * gradients


def exponential(lr: float, decay: float, epoch: int) -> float:
    """Return the learning rate of ``epoch``, numbered from 1: ``lr decay^(epoch - 1)`` (report, training)."""
    return float(lr * np.power(decay, epoch - 1))
