"""The fully connected layer."""

import numpy as np
from numpy.typing import DTypeLike

from lenet5_cli.engine.activations import SIGMOID, Activation
from lenet5_cli.engine.base import Layer, Shape, initial
from lenet5_cli.engine.einsum import Array, contraction, images_first, images_last


class Dense(Layer):
    """A fully connected layer, and an activation f.

    ``y[n,k] = f(sum_c x[n,c] weight[c,k] + bias[k])``

    x is (n, c), or (n, ...) with c numbers an image, y is (n, k), weight is (c, k) and bias (k,).

    Source: report, fully connected layer; LeCun et al. 1998, section II.B.
    """

    def __init__(
        self,
        input_shape: Shape,
        units: int,
        *,
        rng: np.random.Generator,
        init: str = "uniform",
        activation: Activation = SIGMOID,
        dtype: DTypeLike = np.float32,
    ) -> None:
        c = int(np.prod(input_shape))
        params = initial(init, rng, (c, units), (units,), c)
        super().__init__(input_shape, (units,), params, dtype)
        self.activation = activation

    def _bind(self, n: int) -> None:
        (weight, bias), (dweight, self._dbias) = self.params.values(), self.grads.values()
        self._bias = bias[:, None]
        self._x, self._dx = self._array(*self.input_shape, n), self._array(*self.input_shape, n)
        self._y, self._dz = self._array(*self.output_shape, n), self._array(*self.output_shape, n)
        x, dx = (array.reshape(len(weight), n) for array in (self._x, self._dx))
        self._multiply = contraction("ck,cn->kn", weight, x, out=self._y)
        self._correlate = contraction("cn,kn->ck", x, self._dz, out=dweight)
        self._spread = contraction("ck,kn->cn", weight, self._dz, out=dx)
        self._y_outside, self._dx_outside = images_first(self._y), images_first(self._dx)

    def _forward(self, x: Array) -> Array:
        self._x[...] = images_last(x)
        self._multiply()
        self._y += self._bias
        self.activation.apply(self._y)
        return self._y_outside

    def backward_params(self, dy: Array) -> None:
        """Set dweight[c,k] = sum_n x[n,c] dz[n,k] and dbias[k] = sum_n dz[n,k]."""
        self.activation.gradient(self._y, images_last(dy), self._dz)
        self._correlate()
        np.add.reduce(self._dz, axis=1, out=self._dbias)

    def backward_input(self) -> Array:
        """Return dx[n,c] = sum_k dz[n,k] weight[c,k]."""
        self._spread()
        return self._dx_outside
