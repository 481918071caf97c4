"""Losses: the mean over a batch and its gradient, in one call."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet5_cli.engine.einsum import Array

FLOOR = 1e-20  # the report's smallest probability in a logarithm
RUBBISH = 5.0  # j of ``discriminative``: the penalty of the paper's "rubbish" class

Loss = Callable[[Array, NDArray[np.integer]], tuple[float, Array]]


def softmax(scores: Array) -> Array:
    """Return p[n,k] = exp(scores[n,k]) / sum_k exp(scores[n,k]), less the maximum so that nothing overflows."""
    p: Array = scores - np.maximum.reduce(scores, axis=1, keepdims=True)
    np.exp(p, out=p)
    p /= np.add.reduce(p, axis=1, keepdims=True)
    return p


def cross_entropy(scores: Array, labels: NDArray[np.integer]) -> tuple[float, Array]:
    """Return the mean cross-entropy of the softmax of ``scores``, and its gradient by the scores.

    ``loss = -mean_n log max(p[n,labels[n]], 1e-20)``, ``dscores[n,k] = (p[n,k] - [k = labels[n]]) / N``

    scores is (n, k), labels (n,) from 0 to k - 1; the loss is in nats, the gradient has the shape and dtype of scores.

    Source: report, training.
    """
    n, classes = scores.shape
    targets = _identity(classes, scores.dtype).take(labels, 0)
    dscores = softmax(scores)
    losses = np.log(np.maximum(np.vecdot(dscores, targets), FLOOR))
    dscores -= targets
    dscores /= n
    return -float(np.add.reduce(losses, dtype=np.float64)) / n, dscores


@cache
def _identity(classes: int, dtype: np.dtype[Any]) -> Array:
    """Return the one-hot targets of labels 0 to classes - 1."""
    return np.eye(classes, dtype=dtype)


def discriminative(scores: Array, labels: NDArray[np.integer]) -> tuple[float, Array]:
    """Return the mean of the paper's criterion, and its gradient by the scores, which are its negated penalties.

    ``loss = mean_n (-scores[n,labels[n]] + log(exp(-j) + sum_k exp(scores[n,k])))``: the right
    penalty falls and the others rise, except those far above the constant j, here 5.

    Source: LeCun et al. 1998, equation 9.
    """
    images = np.arange(len(scores))
    top = np.maximum(np.maximum.reduce(scores, axis=1), -RUBBISH)
    gradient = np.exp(scores - top[:, None])
    total = np.add.reduce(gradient, axis=1) + np.exp(-RUBBISH - top)
    losses = top + np.log(total) - scores[images, labels]
    gradient /= total[:, None]
    gradient[images, labels] -= 1
    gradient[abs(gradient) < FLOOR] = 0  # denormal numbers would make the backward pass ten times slower
    gradient /= len(scores)
    return float(np.add.reduce(losses, dtype=np.float64)) / len(scores), gradient


LOSSES: dict[str, Loss] = {"cross-entropy": cross_entropy, "discriminative": discriminative}
