"""The engine's tricks: einsum strings as matrix products, windows as gathered rows.

Two decisions carry all the speed. Inside the engine an array keeps its images on the LAST axis, so that every
elementwise loop and every copied row is at least as long as the batch; outside, the image is the first axis as
everywhere else, and the two are views of the same memory. And windows are gathered by ``np.take`` with indices made
once: one call for a whole layer, which for a single image costs a few microseconds where strided copies cost a loop.
"""

from functools import cache
from math import prod

import numpy as np
from numpy.typing import NDArray

LONG = 1024  # terms of a sum

Array = NDArray[np.float32] | NDArray[np.float64]


def images_last(x: Array) -> Array:
    """Return x[n, ...] as the view [..., n]."""
    return x.transpose(*range(1, x.ndim), 0)


def images_first(x: Array) -> Array:
    """Return x[..., n] as the view [n, ...]."""
    return x.transpose(-1, *range(x.ndim - 1))


def repeat(x: Array, size: int) -> Array:
    """Return x[...] as the read-only view y[p, q, ...] = x[...], p and q < size, that takes no memory of its own."""
    y: Array = np.ndarray((size, size, *x.shape), x.dtype, x, 0, (0, 0, *x.strides))  # np.broadcast_to takes 5 us
    y.flags.writeable = False
    return y


def contract(subscripts: str, a: Array, b: Array, out: Array) -> Array:
    """Compute ``np.einsum(subscripts, a, b, out=out)`` as one matrix product, and return ``out``.

    The letters that a and b share are summed over. In either operand they stand side by side, before or behind the
    letters that it keeps, and ``out`` has those of a, then those of b: so each operand reshapes into a matrix.
    """
    summed, a_first, b_first = _plan(subscripts)
    terms = prod(a.shape[:summed] if a_first else a.shape[-summed:])
    left = a.reshape(terms, -1).T if a_first else a.reshape(-1, terms)
    right = b.reshape(terms, -1) if b_first else b.reshape(-1, terms).T
    result = out.reshape(len(left), -1)
    if terms == 1:  # an outer product, which BLAS computes ten times slower than a broadcast does
        np.multiply(left, right, out=result)
    elif terms <= LONG:
        np.matmul(left, right, out=result)
    else:  # BLAS sums a few rows over so many terms at half its speed, unless they come in blocks
        blocks = next(count for count in range(-(-terms // LONG), terms + 1) if terms % count == 0)
        lefts = left.reshape(len(left), blocks, -1).transpose(1, 0, 2)
        np.add.reduce(lefts @ right.reshape(blocks, -1, right.shape[1]), axis=0, out=result)
    return out


@cache
def _plan(subscripts: str) -> tuple[int, bool, bool]:
    """Return how many letters are summed, and whether they come first in a and in b."""
    operands, out = subscripts.split("->")
    a, b = operands.split(",")
    summed = "".join(letter for letter in a if letter in b)
    kept = [operand.replace(summed, "") for operand in (a, b)]
    if not summed or out != "".join(kept) or {a, b} - {summed + k for k in kept} - {k + summed for k in kept}:
        raise ValueError(f"{subscripts}: not one matrix product")
    return len(summed), a == summed + kept[0], b == summed + kept[1]


class Windows:
    """The windows of x[c,h,w,n] as w[c,u,v,i,j,n] = x[c, s i + u, s j + v, n], and the sum that is its transpose."""

    def __init__(self, shape: tuple[int, int, int], size: int, stride: int) -> None:
        """Find the windows of ``size`` x ``size`` pixels, ``stride`` apart, of a map of ``shape`` (c, h, w)."""
        pixels = np.arange(prod(shape)).reshape(shape)
        windows = np.lib.stride_tricks.sliding_window_view(pixels, (size, size), axis=(1, 2))[:, ::stride, ::stride]
        self.pixels = np.ascontiguousarray(windows.transpose(0, 3, 4, 1, 2))
        self.readers = _readers(self.pixels.ravel(), pixels.size)

    def gather(self, x: Array, out: Array) -> Array:
        """Copy x[c,h,w,n] into its windows ``out``[c,u,v,i,j,n]."""
        np.take(x.reshape(-1, x.shape[-1]), self.pixels, axis=0, out=out, mode="clip")  # "raise" would buffer
        return out

    def sum(self, dwindows: Array, gathered: Array, out: Array) -> Array:
        """Sum for each pixel the window entries that hold it: dx[chw,n] from dwindows[cuvij,n] and a row of zeros.

        Each pixel gathers from its readers into ``gathered`` [reader,chw,n], as scattering would take a Python call for
        each u and v.
        """
        np.take(dwindows, self.readers, axis=0, out=gathered, mode="clip")
        np.add.reduce(gathered, axis=0, out=out)
        return out


def _readers(pixels: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """Return [reader, pixel]: where ``pixels`` holds each of ``count`` pixels, filled up with the row of zeros."""
    order = np.argsort(pixels, kind="stable")
    ordered = pixels[order]
    rank = np.arange(len(pixels)) - np.searchsorted(ordered, ordered)
    readers = np.full((rank.max() + 1, count), len(pixels), dtype=np.intp)
    readers[rank, ordered] = order
    return readers
