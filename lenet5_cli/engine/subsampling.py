"""The sub-sampling layer."""

from typing import cast

import numpy as np
from numpy.typing import DTypeLike

from lenet5_cli.engine.activations import SIGMOID, Activation
from lenet5_cli.engine.base import Layer, drawn
from lenet5_cli.engine.einsum import Array, images_first, images_last
from lenet5_cli.errors import LeNet5Error


class Subsampling(Layer):
    """The sum of each ``size`` x ``size`` window, times one weight a map, plus one bias a map, and an activation f.

    ``y[n,c,i,j] = f(weight[c] sum_uv x[n,c,s i+u,s j+v] + bias[c])``, s being ``size``

    x is (n, c, h, w), y is (n, c, h / s, w / s), weight and bias are (c,). x may also come as its windows,
    x[n,c,i,j,u,v], as ``Conv`` with a tile gives it; dx comes back in the form of x.

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
            raise LeNet5Error(f"a map of {h}x{w} is not made of windows of {size}x{size}")
        params = drawn(init, rng, (c,), (c,), size * size)
        if init == "normal":  # the middle of a sigmoid's range is where a window sums up to half its size
            params = {"weight": np.ones(c), "bias": np.full(c, -size * size / 2)}
        super().__init__(input_shape, (c, h // size, w // size), params, dtype)
        self.activation = activation
        self.kernel_size = size

    def _check(self, x: Array) -> None:
        if x.shape[1:] != (*self.output_shape, self.kernel_size, self.kernel_size):
            super()._check(x)

    def _bind(self, n: int) -> None:
        c, i, j = self.output_shape
        s = self.kernel_size
        self._weight, self._bias = (param[:, None] for param in self.params.values())
        self._sums, self._y, self._dz = (self._array(name, c, i * j * n) for name in ("sums", "y", "dz"))
        self._ones_uv, self._ones_ijn = np.ones(s * s, self.dtype), np.ones(i * j * n, self.dtype)
        self._y_outside = images_first(self._y.reshape(c, i, j, n))
        self._dx = cast("Array", np.broadcast_to(self._dz.reshape(c, i, j, n), (s, s, c, i, j, n)))
        self._dx_windows = self._dx.transpose(5, 2, 3, 4, 0, 1)

    def _forward(self, x: Array) -> Array:
        self._windowed = x.ndim > 4
        # A product with ones: BLAS sums in half the time of ``np.add.reduce``.
        np.dot(self._ones_uv, self._inside(x).reshape(len(self._ones_uv), -1), out=self._sums.reshape(-1))
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
        return self._dx_windows if self._windowed else images_first(self._outside(self._dx))

    def _inside(self, x: Array) -> Array:
        """Return x as the view [u,v,c,i,j,n] of its windows."""
        if self._windowed:
            return x.transpose(4, 5, 1, 2, 3, 0)
        c, i, j = self.output_shape
        s = self.kernel_size
        return images_last(x).reshape(c, i, s, j, s, -1).transpose(2, 4, 0, 1, 3, 5)

    def _outside(self, dx: Array) -> Array:
        """Return dx[u,v,c,i,j,n] as a new [c,h,w,n]."""
        return dx.transpose(2, 3, 0, 4, 1, 5).reshape(*self.input_shape, -1)
