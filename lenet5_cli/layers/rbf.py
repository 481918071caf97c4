"""The output layer: distances to fixed codes."""

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lenet5_cli.contraction import Array, contract, images_first, images_last
from lenet5_cli.layers.base import Layer


class RBF(Layer):
    """Euclidean radial basis functions around fixed codes, negated so that the largest score is the nearest code.

    ``y[n,k] = -sum_c (x[n,c] - codes[k,c])^2``

    x is (n, c), y is (n, k), codes is (k, c). Nothing is trainable.

    Source: report, output layer; LeCun et al. 1998, section II.B.
    """

    def __init__(self, codes: NDArray[np.generic], *, dtype: DTypeLike = np.float32) -> None:
        k, c = codes.shape
        super().__init__((c,), (k,), {}, dtype)
        self.codes: Array = codes.astype(self.dtype)

    def _forward(self, x: Array) -> Array:
        self._x = images_last(x)
        n = len(x)
        k, c = self.codes.shape
        squares = self._buffer("squares", (k, c, n))
        np.subtract(self._x, self.codes[:, :, None], out=squares)
        squares *= squares
        y = np.add.reduce(squares, axis=1, out=self._buffer("y", (k, n)))
        return images_first(np.negative(y, out=y))

    def backward_params(self, dy: Array) -> None:
        """Keep dy: there is no parameter to set a gradient for."""
        self._dy = np.ascontiguousarray(images_last(dy), self.dtype)

    def backward_input(self) -> Array:
        """Return dx[n,c] = -2 sum_k dy[n,k] (x[n,c] - codes[k,c])."""
        dx = contract("kc,kn->cn", self.codes, self._dy, out=self._buffer("dx", self._x.shape))
        dx -= self._x * self._dy.sum(axis=0)
        dx *= 2
        return images_first(dx)
