"""The output layer: negative squared distances to fixed codes."""

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lenet5_cli.engine.base import Layer
from lenet5_cli.engine.einsum import Array, contraction


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

    def _bind(self, n: int) -> None:
        k, c = self.codes.shape
        self._x, self._dx = self._array(n, c), self._array(n, c)
        self._y, self._dy = self._array(n, k), self._array(n, k)
        self._differences = self._array(n, k, c)
        self._spread = contraction("nk,kc->nc", self._dy, self.codes, out=self._dx)

    def _forward(self, x: Array) -> Array:
        self._x[...] = x
        differences = np.subtract(self._x[:, None], self.codes, out=self._differences)
        np.vecdot(differences, differences, out=self._y)
        np.negative(self._y, out=self._y)
        return self._y

    def backward_params(self, dy: Array) -> None:
        """Keep dy: there is no parameter to set a gradient for."""
        self._dy[...] = dy

    def backward_input(self) -> Array:
        """Return dx[n,c] = -2 sum_k dy[n,k] (x[n,c] - codes[k,c])."""
        self._spread()
        self._dx -= self._x * np.add.reduce(self._dy, axis=1, keepdims=True)
        self._dx *= 2
        return self._dx
