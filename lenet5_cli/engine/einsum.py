"""Einsum strings as matrix products.

Two decisions make it fast. Inside the engine the image is the LAST axis of an array, so that every elementwise loop and
every copied row is at least as long as the batch; outside, it is the first axis as usual, in a view of the same memory.
And everything that a product needs besides the numbers, such as views of its operands as matrices, is made once for a
batch size: for a single image, making it would take longer than the arithmetic.
"""

from collections.abc import Callable
from functools import cache, partial
from math import ceil, prod

import numpy as np
from numpy.typing import NDArray

LONG = 1024  # terms of a sum above which BLAS is half as fast at few rows, unless they are summed in blocks
MANY = 16  # if equal blocks would be so many times more than needed, use unequal ones, which take less memory
SMALL = 10**6  # multiplications in a product above which OpenBLAS first copies both matrices
VECTOR = 16  # float32 numbers in a vector register

Array = NDArray[np.float32] | NDArray[np.float64]
Product = Callable[[], object]

_LAST = [(*range(1, axes), 0) for axes in range(7)]
_FIRST = [(axes - 1, *range(axes - 1)) for axes in range(7)]


def images_last(x: Array) -> Array:
    """Return x[n, ...] as the view [..., n]."""
    return x.transpose(_LAST[x.ndim])


def images_first(x: Array) -> Array:
    """Return x[..., n] as the view [n, ...]."""
    return x.transpose(_FIRST[x.ndim])


def contraction(subscripts: str, a: Array, b: Array, out: Array) -> Product:
    """Return a function that computes ``np.einsum(subscripts, a, b, out=out)`` from the values of a and b at its call.

    The letters that a and b share are summed over. In each operand they must be next to each other, before or after all
    other letters, and ``out`` must have the other letters of a, then those of b: then this is one matrix product.

    Raises:
        ValueError: the string is not a single matrix product, or an array cannot be viewed as a matrix.
    """
    summed, a_first, b_first = _plan(subscripts)
    terms = prod(a.shape[:summed] if a_first else a.shape[-summed:])
    left = _matrix(a, terms).T if a_first else _matrix(a, a.size // terms)
    right = _matrix(b, terms) if b_first else _matrix(b, b.size // terms).T
    result = _matrix(out, len(left))
    if terms > LONG:
        return _sum_of_blocks(left, right, result)
    if result.size * terms > SMALL and max(result.shape) >= 2 * VECTOR and right.flags.c_contiguous:
        return _in_pieces(left, right, result)
    if not result.flags.c_contiguous:  # as the result of ``dot`` must be
        left, right, result = right.T, left.T, result.T
    return partial(left.dot, right, result)  # ``dot`` and not ``matmul``, which is slow at outer products


def _in_pieces(left: Array, right: Array, result: Array) -> Product:
    """Return a function that computes a product in pieces along the longer side of its result.

    The pieces are small enough for OpenBLAS not to copy them, which saves a tenth to a fifth of the time. If their
    width is a multiple of ``VECTOR``, the result has the same bits.
    """
    if len(result) > result.shape[1]:
        left, right, result = right.T, left.T, result.T
    width = _width(result.shape[1], SMALL // left.size)
    rights, results = (array.reshape(len(array), -1, width).transpose(1, 0, 2) for array in (right, result))
    return partial(np.matmul, left, rights, out=results)


@cache
def _width(columns: int, maximum: int) -> int:
    """Return the width of equal pieces, a multiple of ``VECTOR`` if possible; all columns if there are none."""
    widths = [width for width in range(VECTOR, min(columns, maximum + 1)) if columns % width == 0]
    return max(widths, key=lambda width: (width % VECTOR == 0, width), default=columns)


def _sum_of_blocks(left: Array, right: Array, result: Array) -> Product:
    """Return a function that sums a product over blocks of its terms."""
    terms = len(right)
    blocks = next(count for count in range(ceil(terms / LONG), terms + 1) if terms % count == 0)
    if blocks > MANY * ceil(terms / LONG):
        return _sum_of_unequal_blocks(left, right, result)
    lefts = left.reshape(len(left), blocks, -1).transpose(1, 0, 2)
    rights = right.T.reshape(right.shape[1], blocks, -1).transpose(1, 2, 0)
    sums = np.empty((blocks, *result.shape), result.dtype)
    return lambda: np.add.reduce(np.matmul(lefts, rights, out=sums), axis=0, out=result)


def _sum_of_unequal_blocks(left: Array, right: Array, result: Array) -> Product:
    """Return a function that adds a product block by block, for numbers of terms without a good divisor, as primes."""
    part = np.empty_like(result)

    def compute() -> None:
        np.matmul(left[:, :LONG], right[:LONG], out=result)
        for start in range(LONG, len(right), LONG):
            np.matmul(left[:, start : start + LONG], right[start : start + LONG], out=part)
            np.add(result, part, out=result)

    return compute


def _matrix(x: Array, rows: int) -> Array:
    return x.reshape(rows, x.size // rows, copy=False)


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
