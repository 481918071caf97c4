"""The gradient of a batch as a sum over its chunks, in an order that depends only on their number, not on the ranks.

Rounding makes a sum depend on its order. Here the order is a binary tree over the chunks: up to ``BLOCK`` chunks are
added from left to right, and blocks are added in pairs, pairs in fours and so on. Each rank holds neighbouring chunks,
so it computes most of its part of the tree alone, keeps at most one partial sum per level, and sends a partial sum only
if a rank with lower chunks has the left side.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import TypeVar

BLOCK = 4  # chunks added from left to right: all those of up to 200 images, so of the batches of every preset

T = TypeVar("T")


def deal(chunks: int, ranks: int) -> list[int]:
    """Deal chunks to ranks in order: return the first chunk of each rank, and the number of chunks at the end."""
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
    """Compute this rank's part of the sum over all chunks; return the sum on rank 0, None on the others.

    Args:
        starts: what ``deal`` returned.
        rank: which rank this is.
        own: returns the sum of this rank's chunks ``first`` to ``last - 1``, at most ``BLOCK``, added from left to
            right; called once for each chunk, in order.
        add: returns the sum of a left and a right side.
        send: gives a sum to another rank.
        receive: returns the next sum that another rank sends.
    """
    begin, end = starts[rank], starts[rank + 1]

    def holder(chunk: int) -> int:
        return bisect_right(starts, chunk) - 1

    def node(first: int, last: int) -> T | None:
        """Return the sum of chunks ``first`` to ``last - 1`` on the rank that holds the first, None on the others."""
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
    """Return the first chunk of the right side of a node."""
    if last - first <= BLOCK:
        return last - 1
    blocks = -(-(last - first) // BLOCK)
    return int(first + BLOCK * 2 ** ((blocks - 1).bit_length() - 1))
