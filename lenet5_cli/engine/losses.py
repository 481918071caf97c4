"""Losses: the mean over a batch and its gradient, in one call."""

from collections.abc import Callable
from functools import cache, partial
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


def discriminative(scores: Array, labels: NDArray[np.integer], rubbish: float = RUBBISH) -> tuple[float, Array]:
    """Return the mean of the paper's criterion, and its gradient by the scores, which are its negated penalties.

    ``loss = mean_n (log(exp(-j) + sum_k exp(scores[n,k])) - scores[n,labels[n]])``: the right penalty falls and the
    others rise, except those far above the constant j, ``rubbish``. It is the penalty of one more class, what belongs
    to none: with label k, ``scores[n,k]`` is -j, and all penalties rise.

    scores is (n, k), labels (n,) from 0 to k; the loss is in nats, the gradient has the shape and dtype of scores.

    Source: LeCun et al. 1998, equation 9.
    """
    n, classes = scores.shape
    images = np.arange(n)
    extended = np.full((n, classes + 1), -rubbish, scores.dtype)
    extended[:, :classes] = scores
    top = np.maximum.reduce(extended, axis=1)
    gradient = np.exp(extended - top[:, None])
    total = np.add.reduce(gradient, axis=1)
    losses = top + np.log(total) - extended[images, labels]
    gradient /= total[:, None]
    gradient[images, labels] -= 1
    gradient[abs(gradient) < FLOOR] = 0  # denormal numbers would make the backward pass ten times slower
    gradient /= n
    return float(np.add.reduce(losses, dtype=np.float64)) / n, np.ascontiguousarray(gradient[:, :classes])


LOSSES: dict[str, Loss] = {"cross-entropy": cross_entropy, "discriminative": discriminative}


def criterion(name: str, rubbish: float = RUBBISH) -> Loss:
    """Return one of ``LOSSES``, with the constant that ``discriminative`` takes."""
    return partial(discriminative, rubbish=rubbish) if name == "discriminative" else LOSSES[name]
