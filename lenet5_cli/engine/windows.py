"""im2col and col2im by index, conversion to and from tiles, and the kernels of a whole tile.

im2col copies windows into columns, col2im is its transpose. Both are ``take`` with precomputed indices: one call for a
whole layer. For a single image, this takes a few microseconds; strided copies would need a loop.
"""

from functools import cache, partial
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet5_cli.engine.einsum import Array, Product, contraction, images_first

CACHE = 1 << 18  # bytes that still fit into a core's cache beside everything else


def tiled(x: Array, size: int) -> Array:
    """Return maps x[n,c,h,w] as tiles of t x t, t being ``size``: the view y[n,c,i,j,p,q] = x[n,c,t i + p,t j + q]."""
    n, c, h, w = x.shape
    tiles: Array = x.reshape(n, c, h // size, size, w // size, size).transpose(0, 1, 2, 4, 3, 5)
    return tiles


def untiled(y: Array) -> Array:
    """Return tiles y[n,c,i,j,p,q] as maps x[n,c,h,w]: a copy, the transpose of ``tiled``."""
    n, c, i, j, p, q = y.shape
    return images_first(y.transpose(1, 2, 4, 3, 5, 0).reshape(c, i * p, j * q, n))


class Windows:
    """im2col, w[cuv,i,j,n] = x[c, s i + u, s j + v, n], and its transpose, col2im.

    Attributes:
        pixels: [cuv,i,j], the index in (c, h, w) of the pixel that each window entry copies.
        entries: [c,entry,h,w], the indices in (cuv, i, j) of the entries that copy each pixel, padded with one past the
            last.
    """

    def __init__(self, shape: tuple[int, int, int], size: int, stride: int) -> None:
        """Find the windows of ``size`` x ``size`` pixels, ``stride`` apart, of a map of ``shape`` (c, h, w)."""
        pixels = np.arange(prod(shape)).reshape(shape)
        windows = np.lib.stride_tricks.sliding_window_view(pixels, (size, size), axis=(1, 2))[:, ::stride, ::stride]
        c, i, j = windows.shape[:3]
        self.pixels = windows.transpose(0, 3, 4, 1, 2).reshape(c * size * size, i, j)
        entries = _entries(self.pixels.ravel(), pixels.size).reshape(-1, *shape)
        self.entries = np.ascontiguousarray(entries.transpose(1, 0, 2, 3))

    def im2col(self, x: Array, out: Array) -> None:
        """Copy the windows of x[c,h,w,n] into ``out``[cuv,i,j,n]."""
        x.reshape(-1, x.shape[-1]).take(self.pixels, 0, out, "clip")  # "raise" would buffer

    def spread(self, kernels: Array, dz: Array, out: Array) -> Product:
        """Return a function that computes ``out``[c,h,w,n], the gradient by x of a product with the windows of x.

        That is col2im of ``sum_pqk kernels[cuv,p,q,k] dz[p,q,k,i,j,n]``: computed for as many maps at a time as stay in
        cache, which saves an eighth of the time. Where one window is all of x, it is the product itself.
        """
        c, entries, h, w = self.entries.shape
        (r, i, j), n = self.pixels.shape, out.shape[-1]
        if (r, i, j) == (c * h * w, 1, 1):
            return contraction("rpqk,pqkijn->rijn", kernels, dz, out=out.reshape(r, i, j, n))
        maps = min(c, max(1, CACHE // (entries * h * w * n * out.itemsize)))
        dwindows = np.zeros((maps * r // c * i * j + 1, n), out.dtype)
        gathered = np.empty((maps, entries, h, w, n), out.dtype)
        steps: list[Product] = []
        for first in range(0, c, maps):
            dx = out[first : first + maps]
            rows = slice(first * r // c, (first + len(dx)) * r // c)
            used = dwindows[-1 - (rows.stop - rows.start) * i * j :]
            product = used[:-1].reshape(-1, i, j, n)
            steps.append(contraction("rpqk,pqkijn->rijn", kernels[rows], dz, out=product))
            steps.append(partial(self._col2im, used, gathered[: len(dx)], dx))

        def compute() -> None:
            for step in steps:
                step()

        return compute

    def _col2im(self, dwindows: Array, gathered: Array, out: Array) -> None:
        """Sum the window entries that copy each pixel of some maps: dwindows[cuvij,n] and a row of zeros.

        Each pixel gathers its entries, as scattering would take a Python call for each u and v.
        """
        # "clip" takes the last row, the zeros, for every index past it.
        dwindows.take(self.entries[: len(out)], 0, gathered, "clip")
        np.add.reduce(gathered, axis=1, out=out)


def _entries(pixels: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """Return [entry, pixel]: where ``pixels`` has each of ``count`` pixels, padded with the row of zeros."""
    order = np.argsort(pixels, kind="stable")
    ordered = pixels[order]
    rank = np.arange(len(pixels)) - np.searchsorted(ordered, ordered)
    entries = np.full((rank.max() + 1, count), len(pixels), dtype=np.intp)
    entries[rank, ordered] = order
    return entries


class Kernels:
    """The kernels of a tile of t x t outputs, which read one window of size + t - 1 pixels a side, as one matrix.

    Attributes:
        matrix: [r,p,q,k], what output (p, q) of map k multiplies entry r of the window with: where r is (c,u,v), with
            weight[k,c,u-p,v-q], or 0 outside the kernel; the last r is a 1 after the window, multiplied with the bias.
    """

    def __init__(self, weight: Array, bias: Array, tile: int) -> None:
        """Make the matrix of weight[k,c,u,v] and bias[k], or of their gradients."""
        k, c, size, _ = weight.shape
        side = size + tile - 1
        dtype: np.dtype[Any] = weight.dtype
        self.matrix: Array = np.zeros((c * side * side + 1, tile, tile, k), dtype)
        self._weights, self._biases = _of_outputs(self.matrix, c, size), self.matrix[-1]
        self._weight, self._bias = weight, bias
        self._filled = b"", b""
        self._entries = _weight_entries(self.matrix.shape, c, size)
        self._gathered: Array = np.empty(self._entries.shape, dtype)

    def fill(self) -> None:
        """Write weight and bias to each place in the matrix where an output of the tile uses them.

        Skipped if they have not changed since the last call, as in inference: for one image, that saves 4 of 72
        microseconds.
        """
        values = self._weight.tobytes(), self._bias.tobytes()
        if values != self._filled:
            self._weights[...] = self._weight.transpose(1, 2, 3, 0)
            self._biases[...] = self._bias
            self._filled = values

    def sum(self) -> None:
        """Sum the matrix over the outputs of the tile into weight and bias: the transpose of ``fill``.

        The summands are gathered first, in the order of the weight: that saves 5 microseconds of a step.
        """
        self.matrix.reshape(-1).take(self._entries, 0, self._gathered, "clip")
        np.add.reduce(self._gathered, axis=0, out=self._weight)
        np.add.reduce(self._biases, axis=(0, 1), out=self._bias)


def _of_outputs(matrix: NDArray[Any], c: int, size: int) -> NDArray[Any]:
    """Return the view [p,q,c,u,v,k] of the matrix of ``Kernels``: the kernel with which each output of a tile works."""
    r, tile, _, k = matrix.shape
    side = size + tile - 1
    dc, du, dv, dp, dq, dk = matrix[: r - 1].reshape(c, side, side, tile, tile, k).strides
    return np.lib.stride_tricks.as_strided(matrix, (tile, tile, c, size, size, k), (dp + du, dq + dv, dc, du, dv, dk))


@cache
def _weight_entries(shape: tuple[int, ...], c: int, size: int) -> NDArray[np.intp]:
    """Return [pq,k,c,u,v]: the index in the matrix of ``Kernels`` of each weight, for each output of the tile."""
    entries = _of_outputs(np.arange(prod(shape)).reshape(shape), c, size).transpose(0, 1, 5, 2, 3, 4)
    return entries.reshape(-1, *entries.shape[2:])
