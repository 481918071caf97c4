"""The gradient of a batch as a sum over its chunks: a tree that depends on their number alone, whoever holds them.

Rounding makes a sum depend on its order. Here the order is that of a binary tree over the chunks: up to ``BLOCK`` of
them are added one after the other, and blocks by halves that begin at multiples of a power of two. Ranks hold runs of
neighbouring chunks, so that each adds most of its own alone, keeps one number a level beside them, and sends what a
rank further left has the other side of.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import TypeVar

BLOCK = 4  # chunks added one after the other: all of a batch of up to 200 images, and of every preset's

T = TypeVar("T")


def deal(chunks: int, ranks: int) -> list[int]:
    """Return where the chunks of each rank begin, and at last their number; the first rank has the first chunk."""
    size, larger = divmod(chunks, ranks)
    return [rank * size + min(rank, larger) for rank in range(ranks + 1)]


def tree_sum(
    starts: Sequence[int],
    rank: int,
    own: Callable[[int, int], T],
    add: Callable[[T, T], T],
    send: Callable[[T, int], None],
    receive: Callable[[int], T],
) -> T | None:
    """Take a rank's part in the sum over all chunks; return the sum on rank 0, None on others.

    Args:
        starts: what ``deal`` returned.
        rank: which rank this is.
        own: returns the sum of this rank's chunks from a first to before a last, at most ``BLOCK``, left to right; it
            is asked for each once and in order.
        add: returns a left and a right sum added.
        send: gives a sum to another rank.
        receive: returns the sum that another rank sends, in the order in which it sends them.
    """
    begin, end = starts[rank], starts[rank + 1]

    def holder(chunk: int) -> int:
        return bisect_right(starts, chunk) - 1

    def node(first: int, last: int) -> T | None:
        """Return the sum of some chunks on the rank that holds the first."""
        if last <= begin or first >= end:
            return None
        if last - first == 1 or (last - first <= BLOCK and begin <= first and last <= end):
            return own(first, last)
        middle = _middle(first, last)
        left, right = node(first, middle), node(middle, last)
        if left is not None:
            return add(left, receive(holder(middle)) if right is None else right)
        if right is not None:
            send(right, holder(first))
        return None

    return node(0, starts[-1])


def _middle(first: int, last: int) -> int:
    """Return where the right side of a node begins."""
    if last - first <= BLOCK:
        return last - 1
    blocks = -(-(last - first) // BLOCK)
    return int(first + BLOCK * 2 ** ((blocks - 1).bit_length() - 1))
