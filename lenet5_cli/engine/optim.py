"""Optimisers, which update parameters from their gradients, and learning-rate schedules."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import cos, pi

import numpy as np

from lenet5_cli.config import Config
from lenet5_cli.engine.einsum import Array

# The weight of the starting model in the average of a run that rehearses; chosen on validation images, see results.md.
START_SHARE = 0.3


class SGD:
    """Stochastic gradient descent: ``parameters -= lr gradients`` (report, training).

    With a ``clip``, longer gradients are scaled to this length: ``parameters -= lr gradients clip / |gradients|``. With
    a ``decay``, every parameter first shrinks: ``parameters *= 1 - lr decay``.

    Attributes:
        state: the arrays that the next step depends on besides the parameters, by name; updated in place.

    Source for clipping: Pascanu et al. 2013, algorithm 1; for decay: Loshchilov and Hutter 2019.
    """

    def __init__(self, clip: float = 0.0, decay: float = 0.0) -> None:
        self.clip, self.decay = clip, decay
        self.state: dict[str, Array] = {}

    def step(self, parameters: Array, gradients: Array, lr: float) -> None:
        """Update ``parameters`` in place; ``gradients`` are overwritten."""
        self._shrink(parameters, lr)
        if self.clip and (length := float(np.sqrt(gradients @ gradients))) > self.clip:
            lr *= self.clip / length
        gradients *= lr
        parameters -= gradients

    def _shrink(self, parameters: Array, lr: float) -> None:
        if self.decay:
            parameters *= 1 - lr * self.decay

    @contextmanager
    def epoch(self, parameters: Array) -> Iterator[None]:  # noqa: ARG002
        """Context manager around the steps of an epoch, all of which update ``parameters``."""
        yield


class Adam(SGD):
    """Adam: steps along the mean gradient over the root of its mean square (Kingma and Ba 2015, algorithm 1).

    ``decay`` is that of ``SGD``, apart from the gradients (AdamW: Loshchilov and Hutter 2019, algorithm 2).

    ``mean = b1 mean + (1 - b1) gradients``, ``square = b2 square + (1 - b2) gradients^2``,
    ``parameters -= lr mean / (1 - b1^t) / (sqrt(square / (1 - b2^t)) + 1e-8)``, t being the step, from 1.
    """

    def __init__(self, parameters: Array, decay: float = 0.0, b1: float = 0.9, b2: float = 0.999) -> None:
        self.decay, self.b1, self.b2 = decay, b1, b2
        self.state = {
            "mean": np.zeros_like(parameters),
            "square": np.zeros_like(parameters),
            "steps": np.zeros(1, parameters.dtype),
        }

    def step(self, parameters: Array, gradients: Array, lr: float) -> None:
        """Update ``parameters`` in place."""
        self._shrink(parameters, lr)
        mean, square, steps = self.state.values()
        steps += 1
        mean += (1 - self.b1) * (gradients - mean)
        square += (1 - self.b2) * (gradients * gradients - square)
        root = np.sqrt(square)
        root /= (1 - self.b2 ** float(steps[0])) ** 0.5
        root += 1e-8
        parameters -= lr / (1 - self.b1 ** float(steps[0])) * mean / root


class Averaged(SGD):
    """Wraps an optimiser; after each epoch, the network has a moving average of the parameters (EMA).

    ``average_t = average_(t-1) + max(1 - decay, 1 / t) (parameters_t - average_(t-1))``, t being the step, from 1: at
    first a plain mean, without the initial parameters, then an exponential moving average. The next epoch goes on from
    the parameters of the latest step, ``live``. With a ``share``, the average is interpolated with the initial
    parameters after each epoch: ``average_t + share (parameters_0 - average_t)``.

    Source: Polyak and Juditsky 1992, with the weights of an exponential average; Wortsman et al. 2022 for the share.
    """

    def __init__(self, optimizer: SGD, parameters: Array, decay: float, share: float) -> None:
        self.optimizer, self.decay, self.share = optimizer, decay, share
        self.average = parameters.copy()
        averaged = {"live": parameters.copy(), "averaged": np.zeros(1, parameters.dtype)}
        self.state = optimizer.state | averaged
        if share:
            self.state |= {"average": self.average, "start": parameters.copy()}

    def step(self, parameters: Array, gradients: Array, lr: float) -> None:
        """Update ``parameters`` in place, and the average."""
        self.optimizer.step(parameters, gradients, lr)
        self.state["averaged"] += 1
        self.average += max(1 - self.decay, 1 / float(self.state["averaged"][0])) * (parameters - self.average)

    @contextmanager
    def epoch(self, parameters: Array) -> Iterator[None]:
        """Put the live parameters into ``parameters`` for the steps of an epoch, and the average after it."""
        if not self.share:
            self.average[...] = parameters
        parameters[...] = self.state["live"]
        yield
        self.state["live"][...] = parameters
        parameters[...] = self.average
        if self.share:
            parameters += self.share * (self.state["start"] - self.average)


OPTIMIZERS: dict[str, Callable[[Array, Config], SGD]] = {
    "sgd": lambda _, config: SGD(config.clip, config.weight_decay),
    "adam": lambda parameters, config: Adam(parameters, config.weight_decay),
}


def optimizer(config: Config, parameters: Array) -> SGD:
    """Return the optimiser that the settings name, wrapped in ``Averaged`` if they set ``ema``."""
    chosen = OPTIMIZERS[config.optimizer](parameters, config)
    share = START_SHARE if config.rehearse else 0.0
    return Averaged(chosen, parameters, config.ema, share) if config.ema else chosen


def learning_rate(config: Config, epoch: int, fraction: float) -> float:
    """Return the learning rate after a ``fraction``, from 0 to 1, of an epoch; epochs are numbered from 1.

    ``exponential``: ``lr lr_decay^(epoch - 1)``, constant within an epoch (report, training).
    ``cosine``: ``lr (1 + cos(pi t)) / 2``, t being the completed fraction of all epochs (Loshchilov and Hutter 2017).
    Either is scaled up linearly from 0 over the first ``warmup`` epochs.
    """
    done = epoch - 1 + fraction
    if config.schedule == "cosine":
        rate = config.lr * (1 + cos(pi * min(1, done / config.epochs))) / 2
    else:
        rate = config.lr * config.lr_decay ** (epoch - 1)
    return rate * min(1, done / config.warmup) if config.warmup else rate
