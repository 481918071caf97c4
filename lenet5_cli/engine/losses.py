"""Losses: the mean over a batch and its gradient, in one call."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lenet5_cli.engine.einsum import Array
from lenet5_cli.errors import LeNet5Error

FLOOR = 1e-20  # the smallest probability in a logarithm; the report takes it for 0 alone
RUBBISH = 5.0  # j of ``discriminative``: the penalty of the paper's "rubbish" class

Targets = NDArray[Any]
"""What is to be learned of n images: their labels (n,), or a probability of each class (n, k)."""

Loss = Callable[[Array, Targets], tuple[float, Array]]


class Criterion(NamedTuple):
    """What a network learns to make small."""

    loss: Loss
    probabilities: Callable[[Array], Array]
    """From scores (n, k), what the loss compares with its targets: (n, k), or (n, k + 1) with that of no class."""


def softmax(scores: Array, rubbish: float | None = None) -> Array:
    """Return p[n,k] = exp(scores[n,k]) / sum_k exp(scores[n,k]), less the maximum so that nothing overflows.

    With ``rubbish``, of one more class k, whose score is -rubbish.
    """
    if rubbish is not None:
        scores = _extended(scores, rubbish)
    p: Array = scores - np.maximum.reduce(scores, axis=1, keepdims=True)
    np.exp(p, out=p)
    p /= np.add.reduce(p, axis=1, keepdims=True)
    return p


def cross_entropy(scores: Array, targets: Targets) -> tuple[float, Array]:
    """Return the mean cross-entropy of the softmax of ``scores``, and its gradient by the scores.

    ``loss = -mean_n sum_k t[n,k] log max(p[n,k], 1e-20)``, ``dscores[n,k] = (p[n,k] - t[n,k]) / N``

    scores is (n, k), targets labels (n,) from 0 to k - 1, for which t[n,k] = [k = targets[n]], or t itself, (n, k); the
    loss is in nats, the gradient has the shape and dtype of scores.

    Source: report, training.
    """
    n, classes = scores.shape
    t = _probabilities(targets, classes, scores.dtype)
    dscores = softmax(scores)
    losses = np.vecdot(np.log(np.maximum(dscores, FLOOR)), t)
    dscores -= t
    dscores /= n
    return -float(np.add.reduce(losses, dtype=np.float64)) / n, dscores


def _probabilities(targets: Targets, classes: int, dtype: np.dtype[Any]) -> Array:
    """Return targets as a probability of each class, 1 for a label.

    Raises:
        LeNet5Error: a label is that of no class.
    """
    if targets.ndim > 1:
        return targets
    try:
        return _identity(classes, dtype).take(targets, 0)
    except IndexError:
        raise LeNet5Error(f"label {targets.max()}; expected 0 to {classes - 1}") from None


def _extended(scores: Array, rubbish: float) -> Array:
    """Return scores (n, k + 1), the last of the class that stands for none."""
    n, classes = scores.shape
    extended = np.full((n, classes + 1), -rubbish, scores.dtype)
    extended[:, :classes] = scores
    return extended


@cache
def _identity(classes: int, dtype: np.dtype[Any]) -> Array:
    """Return the one-hot targets of labels 0 to classes - 1."""
    return np.eye(classes, dtype=dtype)


def discriminative(scores: Array, targets: Targets, rubbish: float = RUBBISH) -> tuple[float, Array]:
    """Return the mean of the paper's criterion, and its gradient by the scores, which are its negated penalties.

    ``loss = mean_n (log(exp(-j) + sum_k exp(scores[n,k])) - sum_k t[n,k] scores[n,k])``: the right penalty falls and
    the others rise, except those far above the constant j, ``rubbish``. It is the penalty of one more class, what
    belongs to none: with label k, ``scores[n,k]`` is -j, and all penalties rise.

    scores is (n, k), targets labels (n,) from 0 to k, for which t[n,k] = [k = targets[n]], or t itself, (n, k + 1); the
    loss is in nats, the gradient has the shape and dtype of scores.

    Source: LeCun et al. 1998, equation 9.
    """
    n, classes = scores.shape
    t = _probabilities(targets, classes + 1, scores.dtype)
    extended = _extended(scores, rubbish)
    top = np.maximum.reduce(extended, axis=1)
    gradient = np.exp(extended - top[:, None])
    total = np.add.reduce(gradient, axis=1)
    losses = top + np.log(total) - np.vecdot(extended, t)
    gradient /= total[:, None]
    gradient -= t
    gradient[abs(gradient) < FLOOR] = 0  # denormal numbers would make the backward pass ten times slower
    gradient /= n
    return float(np.add.reduce(losses, dtype=np.float64)) / n, np.ascontiguousarray(gradient[:, :classes])


LOSSES: dict[str, Loss] = {"cross-entropy": cross_entropy, "discriminative": discriminative}


def criterion(name: str, rubbish: float = RUBBISH) -> Criterion:
    """Return one of ``LOSSES``, with the constant that ``discriminative`` takes, and its probabilities."""
    if name == "discriminative":
        return Criterion(partial(discriminative, rubbish=rubbish), partial(softmax, rubbish=rubbish))
    return Criterion(LOSSES[name], softmax)
