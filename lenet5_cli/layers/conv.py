"""The convolution layer."""

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lenet5_cli.contraction import Array, Windows, contract, images_first, images_last
from lenet5_cli.layers.activations import SIGMOID, Activation
from lenet5_cli.layers.base import Layer, drawn


class Conv(Layer):
    """A convolution with stride 1 and no padding, and an activation f.

    ``y[n,k,i,j] = f(sum_cuv x[n,c,i+u,j+v] weight[k,c,u,v] + bias[k])``

    x is (n, c, h, w), y is (n, k, h - size + 1, w - size + 1), weight is (k, c, size, size), bias is (k,).

    With ``connections`` [k,c], an output map reads only some input maps: the other weights are 0 and stay so.

    With ``tile=2``, y comes as the 2x2 windows that a sub-sampling reads, ``y[n,k,i,j,p,q] = y[n,k,2i+p,2j+q]``: the
    same numbers for a third of the copies, as one window of x then serves four of y.

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
        params = drawn(init, rng, (maps, c, size, size), (maps,), c * size * size)
        if connections is not None:
            params["weight"] *= connections[:, :, None, None]
        super().__init__(input_shape, (maps, h - size + 1, w - size + 1), params, dtype)
        self.activation = activation
        self.tile = tile
        self.connections = connections
        self._windows = Windows(input_shape, size + tile - 1, tile)

    def _forward(self, x: Array) -> Array:
        n = len(x)
        c, u, v, i, j = self._windows.pixels.shape
        t, k = self.tile, len(self.params["bias"])
        self._x_windows = self._windows.gather(images_last(x), self._buffer("x_windows", (c, u, v, i, j, n)))
        self._kernels = self._tiled("kernels", self.params["weight"])
        if t > 1:
            _diagonal(self._kernels)[...] = self.params["weight"]
        y = self._buffer("y", (t, t, k, i, j, n))
        contract("pqkcuv,cuvijn->pqkijn", self._kernels, self._x_windows, out=y)
        y += self.params["bias"][:, None, None, None]
        self.activation.apply(y)
        self._y = y
        return self._outside(y)

    def backward_params(self, dy: Array) -> None:
        """Set dweight[k,c,u,v] = sum_nij x[n,c,i+u,j+v] dz[n,k,i,j] and dbias[k] = sum_nij dz[n,k,i,j]."""
        dz = self._dz = self._buffer("dz", self._y.shape)
        self.activation.gradient(self._y, self._inside(dy), dz)
        dkernels = self._tiled("dkernels", self.grads["weight"])
        contract("pqkijn,cuvijn->pqkcuv", dz, self._x_windows, out=dkernels)
        if self.tile > 1:
            np.add.reduce(_diagonal(dkernels), axis=(0, 1), out=self.grads["weight"])
        if self.connections is not None:
            self.grads["weight"] *= self.connections[:, :, None, None]
        np.add.reduce(dz, axis=(0, 1, 3, 4, 5), out=self.grads["bias"])

    def backward_input(self) -> Array:
        """Return dx[n,c,h,w] = sum_kuv dz[n,k,h-u,w-v] weight[k,c,u,v], over the u and v that stay within dz."""
        shape, n = self._x_windows.shape, len(self._dz.T)
        rows = self._windows.pixels.size
        dwindows = self._buffer("dwindows", (rows + 1, n))
        contract("pqkcuv,pqkijn->cuvijn", self._kernels, self._dz, out=dwindows[:rows].reshape(shape))
        dx = self._buffer("dx", (self._windows.readers.shape[1], n))
        gathered = self._buffer("gathered", (*self._windows.readers.shape, n))
        return images_first(self._windows.sum(dwindows, gathered, out=dx).reshape(*self.input_shape, n))

    @property
    def size(self) -> int:
        """The number of trainable parameters."""
        missing = 0 if self.connections is None else int((~self.connections).sum())
        return super().size - missing * int(self.params["weight"][0, 0].size)

    def _tiled(self, name: str, weight: Array) -> Array:
        """Return [p,q,k,c,u,v] for the kernels of a whole tile: a work array, or a view where the tile is one pixel."""
        if self.tile == 1:
            return weight[None, None]
        k, c, size, _ = weight.shape
        window = size + self.tile - 1
        return self._buffer(name, (self.tile, self.tile, k, c, window, window))

    def _outside(self, y: Array) -> Array:
        """Return y[p,q,k,i,j,n] as the view [n,k,i,j,p,q], without p and q where a tile is one pixel."""
        return y.transpose(5, 2, 3, 4, 0, 1) if self.tile > 1 else images_first(y[0, 0])

    def _inside(self, dy: Array) -> Array:
        """Undo ``_outside``."""
        return dy.transpose(4, 5, 1, 2, 3, 0) if self.tile > 1 else images_last(dy)[None, None]


def _diagonal(kernels: Array) -> Array:
    """Return the view d[p,q,k,c,u,v] = kernels[p,q,k,c,u+p,v+q]: where in a tile's window each output's kernel lies."""
    t, _, k, c, size, _ = kernels.shape
    p, q, *rest = kernels.strides
    u, v = rest[2:]
    kernel = size - t + 1
    return np.ndarray((t, t, k, c, kernel, kernel), kernels.dtype, kernels, 0, (p + u, q + v, *rest))
