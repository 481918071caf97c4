"""Loss functions: each returns the mean over a batch and its gradient."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lenet5_cli.config import Config
from lenet5_cli.engine.einsum import Array
from lenet5_cli.errors import LeNet5Error

FLOOR = 1e-20  # lower bound of probabilities in a logarithm; the report only replaces 0 by it

Targets = NDArray[Any]
"""The targets of n images: labels (n,), or a probability for each class (n, k)."""

Loss = Callable[[Array, Targets], tuple[float, Array]]


class Criterion(NamedTuple):
    """A loss function and the probabilities that it is computed from."""

    loss: Loss
    probabilities: Callable[[Array], Array]
    """Scores (n, k) to the probabilities that the loss compares with targets: (n, k), or (n, k + 1) with no class."""


def softmax(scores: Array, rubbish: float | None = None) -> Array:
    """Return p[n,k] = exp(scores[n,k]) / sum_k exp(scores[n,k]), less the maximum so that nothing overflows.

    With ``rubbish``, there is one more class, k, whose score is -rubbish.
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
    """Return targets as a probability for each class; labels become one-hot rows.

    Raises:
        LeNet5Error: a label is not that of a class.
    """
    if targets.ndim > 1:
        return targets
    try:
        return _identity(classes, dtype).take(targets, 0)
    except IndexError:
        raise LeNet5Error(f"label {targets.max()}; expected 0 to {classes - 1}") from None


def _extended(scores: Array, rubbish: float) -> Array:
    """Return scores (n, k + 1): a last column for the rubbish class is added."""
    n, classes = scores.shape
    extended = np.full((n, classes + 1), -rubbish, scores.dtype)
    extended[:, :classes] = scores
    return extended


@cache
def _identity(classes: int, dtype: np.dtype[Any]) -> Array:
    """Return the one-hot rows of labels 0 to classes - 1."""
    return np.eye(classes, dtype=dtype)


def discriminative(scores: Array, targets: Targets, rubbish: float = Config.rubbish) -> tuple[float, Array]:
    """Return the mean of the paper's criterion, and its gradient by the scores, which are its negated penalties.

    ``loss = mean_n (log(exp(-j) + sum_k exp(scores[n,k])) - sum_k t[n,k] scores[n,k])``: it lowers the penalty of the
    true class and raises the others, except those far above the constant j, ``rubbish``. j is the penalty of one more
    class, for images of no class: with label k, ``scores[n,k]`` is -j, and all other penalties are raised.

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
    gradient[abs(gradient) < FLOOR] = 0  # subnormal numbers make the backward pass ten times slower
    gradient /= n
    return float(np.add.reduce(losses, dtype=np.float64)) / n, np.ascontiguousarray(gradient[:, :classes])


LOSSES: dict[str, Callable[[float], Criterion]] = {
    "cross-entropy": lambda _: Criterion(cross_entropy, softmax),
    "discriminative": lambda j: Criterion(partial(discriminative, rubbish=j), partial(softmax, rubbish=j)),
}


def criterion(config: Config) -> Criterion:
    """Return the loss function that the settings name, and its probabilities."""
    return LOSSES[config.loss](config.rubbish)
