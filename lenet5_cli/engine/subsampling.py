"""The sub-sampling layer."""

from typing import cast

import numpy as np
from numpy.typing import DTypeLike

from lenet5_cli.engine.activations import SIGMOID, Activation
from lenet5_cli.engine.base import Layer, initial
from lenet5_cli.engine.einsum import Array, images_first, images_last
from lenet5_cli.engine.windows import tiled, untiled
from lenet5_cli.errors import LeNet5Error


class Subsampling(Layer):
    """The sum of each ``size`` x ``size`` window, times one weight a map, plus one bias a map, and an activation f.

    ``y[n,c,i,j] = f(weight[c] sum_uv x[n,c,s i+u,s j+v] + bias[c])``, s being ``size``

    x is (n, c, h, w), or tiles of ``size`` x ``size``, which are then the windows. y is (n, c, h / s, w / s), weight
    and bias are (c,).

    Source: report, sub-sampling layer; LeCun et al. 1998, section II.B.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        size: int,
        *,
        rng: np.random.Generator,
        init: str = "uniform",
        activation: Activation = SIGMOID,
        dtype: DTypeLike = np.float32,
    ) -> None:
        c, h, w = input_shape
        if h % size or w % size:
            raise LeNet5Error(f"a map of {h}x{w} cannot be divided into windows of {size}x{size}")
        params = initial(init, rng, (c,), (c,), size * size)
        if init == "normal":  # the middle of the sigmoid is then where the sum of a window is half its size
            params = {"weight": np.ones(c), "bias": np.full(c, -size * size / 2)}
        super().__init__(input_shape, (c, h // size, w // size), params, dtype)
        self.activation = activation
        self.kernel_size = self.reads_tiles = size

    def _check(self, x: Array) -> None:
        if x.shape[1:] != (*self.output_shape, self.kernel_size, self.kernel_size):
            super()._check(x)

    def _bind(self, n: int) -> None:
        c, i, j = self.output_shape
        s = self.kernel_size
        self._weight, self._bias = (param[:, None] for param in self.params.values())
        self._sums, self._y, self._dz = (self._array(c, i * j * n) for _ in range(3))
        self._ones_uv, self._ones_ijn = np.ones(s * s, self.dtype), np.ones(i * j * n, self.dtype)
        self._y_outside = images_first(self._y.reshape(c, i, j, n))
        dx = cast("Array", np.broadcast_to(self._dz.reshape(c, i, j, n), (s, s, c, i, j, n)))
        self._dx_windows = dx.transpose(5, 2, 3, 4, 0, 1)

    def _forward(self, x: Array) -> Array:
        self._plain = x.ndim == 4
        windows = tiled(x, self.kernel_size) if self._plain else x
        windows = windows.transpose(4, 5, 1, 2, 3, 0).reshape(len(self._ones_uv), -1)
        # A product with ones: BLAS sums in half the time of ``np.add.reduce``.
        np.dot(self._ones_uv, windows, out=self._sums.ravel())
        np.multiply(self._sums, self._weight, out=self._y)
        self._y += self._bias
        self.activation.apply(self._y)
        return self._y_outside

    def backward_params(self, dy: Array) -> None:
        """Set dweight[c] = sum_nij dz[n,c,i,j] sum_uv x[n,c,s i+u,s j+v] and dbias[c] = sum_nij dz[n,c,i,j]."""
        self.activation.gradient(self._y, images_last(dy).reshape(self._y.shape), self._dz)
        np.vecdot(self._dz, self._sums, out=self.grads["weight"])
        np.dot(self._dz, self._ones_ijn, out=self.grads["bias"])

    def backward_input(self) -> Array:
        """Return dx[n,c,s i+u,s j+v] = dz[n,c,i,j] weight[c], the same for every u and v."""
        self._dz *= self._weight
        return untiled(self._dx_windows) if self._plain else self._dx_windows
