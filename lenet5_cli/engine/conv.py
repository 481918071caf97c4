"""The convolution layer."""

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lenet5_cli.engine.activations import SIGMOID, Activation
from lenet5_cli.engine.base import Layer, initial
from lenet5_cli.engine.einsum import Array, contraction, images_first, images_last
from lenet5_cli.engine.windows import Kernels, Windows


class Conv(Layer):
    """A convolution with stride 1 and no padding, and an activation f.

    ``y[n,k,i,j] = f(sum_cuv x[n,c,i+u,j+v] weight[k,c,u,v] + bias[k])``

    x is (n, c, h, w), y is (n, k, h - size + 1, w - size + 1), weight is (k, c, size, size), bias is (k,).

    With ``connections`` [k,c], an output map reads only some input maps: the other weights are 0 and stay so.

    With ``tile=2``, y is returned as tiles of 2x2, which are the windows of the sub-sampling that follows. The numbers
    are the same for a third of the copies, as one window of x then serves four outputs.

    Source: report, convolution layer; LeCun et al. 1998, section II.B.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        size: int,
        maps: int,
        *,
        rng: np.random.Generator,
        init: str = "uniform",
        tile: int = 1,
        connections: NDArray[np.bool_] | None = None,
        activation: Activation = SIGMOID,
        dtype: DTypeLike = np.float32,
    ) -> None:
        c, h, w = input_shape
        params = initial(init, rng, (maps, c, size, size), (maps,), c * size * size)
        if connections is not None:
            params["weight"] *= connections[:, :, None, None]
        super().__init__(input_shape, (maps, h - size + 1, w - size + 1), params, dtype)
        self.activation = activation
        self.tile = tile
        self.connections = connections
        self._windows = Windows(input_shape, size + tile - 1, tile)

    def _bind(self, n: int) -> None:
        (weight, bias), (dweight, dbias) = self.params.values(), self.grads.values()
        t, k = self.tile, len(bias)
        r, i, j = self._windows.pixels.shape
        if t > 1:
            self._kernels, self._dkernels = Kernels(weight, bias, t), Kernels(dweight, dbias, t)
            kernels, dkernels = self._kernels.matrix, self._dkernels.matrix
        else:
            kernels, dkernels = (array.reshape(k, r).T[:, None, None] for array in (weight, dweight))
        x_windows = self._array(len(kernels), i, j, n)  # r is c, u and v
        x_windows[r:] = 1  # multiplied with the bias, which is the last row of the kernels of a tile
        self._x_windows = x_windows[:r]
        self._y, self._dz = self._array(t, t, k, i, j, n), self._array(t, t, k, i, j, n)
        self._bias, self._dbias, self._dz_maps = bias[:, None, None, None], dbias, self._dz.reshape(t * t * k, -1)
        dx = self._array(*self.input_shape, n)
        self._convolve = contraction("rpqk,rijn->pqkijn", kernels, x_windows, out=self._y)
        self._correlate = contraction("rijn,pqkijn->rpqk", x_windows, self._dz, out=dkernels)
        self._spread = self._windows.spread(kernels[:r], self._dz, out=dx)
        self._y_outside = self._y.transpose(5, 2, 3, 4, 0, 1) if t > 1 else images_first(self._y[0, 0])
        self._dx_outside = images_first(dx)

    def _forward(self, x: Array) -> Array:
        self._windows.im2col(images_last(x), out=self._x_windows)
        if self.tile > 1:
            self._kernels.fill()
        self._convolve()
        if self.tile == 1:
            self._y += self._bias
        self.activation.apply(self._y)
        return self._y_outside

    def backward_params(self, dy: Array) -> None:
        """Set dweight[k,c,u,v] = sum_nij x[n,c,i+u,j+v] dz[n,k,i,j] and dbias[k] = sum_nij dz[n,k,i,j]."""
        dy = dy.transpose(4, 5, 1, 2, 3, 0) if self.tile > 1 else images_last(dy)
        self.activation.gradient(self._y, dy, self._dz)
        self._correlate()
        if self.tile > 1:
            self._dkernels.sum()
        else:
            np.add.reduce(self._dz_maps, axis=1, out=self._dbias)
        if self.connections is not None:
            self.grads["weight"] *= self.connections[:, :, None, None]

    def backward_input(self) -> Array:
        """Return dx[n,c,h,w] = sum_kuv dz[n,k,h-u,w-v] weight[k,c,u,v], over the u and v that stay within dz."""
        self._spread()
        return self._dx_outside

    @property
    def size(self) -> int:
        """The number of trainable parameters."""
        missing = 0 if self.connections is None else int((~self.connections).sum())
        return super().size - missing * int(self.params["weight"][0, 0].size)
