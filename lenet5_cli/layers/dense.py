"""The fully connected layer."""

import numpy as np
from numpy.typing import DTypeLike

from lenet5_cli.contraction import Array, contract, images_first, images_last
from lenet5_cli.layers.activations import SIGMOID, Activation
from lenet5_cli.layers.base import Layer, Shape, drawn


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
        params = drawn(init, rng, (c, units), (units,), c)
        super().__init__(input_shape, (units,), params, dtype)
        self.activation = activation

    def _forward(self, x: Array) -> Array:
        self._x = images_last(x).reshape(-1, len(x))
        y = self._buffer("y", (*self.output_shape, len(x)))
        contract("ck,cn->kn", self.params["weight"], self._x, out=y)
        y += self.params["bias"][:, None]
        self.activation.apply(y)
        self._y = y
        return images_first(y)

    def backward_params(self, dy: Array) -> None:
        """Set dweight[c,k] = sum_n x[n,c] dz[n,k] and dbias[k] = sum_n dz[n,k]."""
        dz = self._dz = self._buffer("dz", self._y.shape)
        self.activation.gradient(self._y, images_last(dy), dz)
        contract("cn,kn->ck", self._x, dz, out=self.grads["weight"])
        np.add.reduce(dz, axis=1, out=self.grads["bias"])

    def backward_input(self) -> Array:
        """Return dx[n,c] = sum_k dz[n,k] weight[c,k]."""
        dx = contract("ck,kn->cn", self.params["weight"], self._dz, out=self._buffer("dx", self._x.shape))
        return images_first(dx.reshape(*self.input_shape, -1))
