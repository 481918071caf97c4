"""The sum of a batch's gradients: the same additions whoever holds the chunks, and nobody holds what all found."""

from collections import defaultdict, deque
from collections.abc import Callable
from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lenet5_cli.training.sums import BLOCK, deal, tree_sum


class Rank:
    """One of several that take part in a sum of texts: ``1+2`` is what was added, in brackets."""

    def __init__(self, starts: list[int], rank: int) -> None:
        self.starts, self.rank = starts, rank
        self.sent: list[tuple[int, str]] = []
        self.asked: list[int] = []
        self.most = self.kept = 0

    def take_part(self, receive: Callable[[int], str]) -> str | None:
        return tree_sum(self.starts, self.rank, self.own, self.add, self.send, lambda rank: self.keep(receive(rank)))

    def keep(self, text: str) -> str:
        self.kept += 1
        self.most = max(self.most, self.kept)
        return text

    def own(self, first: int, last: int) -> str:
        assert self.starts[self.rank] <= first < last <= min(first + BLOCK, self.starts[self.rank + 1])
        self.asked += range(first, last)
        return self.keep(reduce(lambda left, right: f"({left}+{right})", map(str, range(first, last))))

    def add(self, left: str, right: str) -> str:
        self.kept -= 1
        return f"({left}+{right})"

    def send(self, text: str, rank: int) -> None:
        self.kept -= 1
        self.sent.append((rank, text))


def added(chunks: int, ranks: int) -> tuple[str, list[Rank]]:
    """Return how the ranks add some chunks, and the ranks; who comes later sends first."""
    starts = deal(chunks, ranks)
    assert starts[0] == 0
    assert starts[-1] == chunks
    every = [Rank(starts, rank) for rank in range(ranks)]
    on_the_way: dict[tuple[int, int], deque[str]] = defaultdict(deque)
    total = None
    for rank in reversed(every):
        total = rank.take_part(lambda source, to=rank.rank: on_the_way[source, to].popleft())
        for target, text in rank.sent:
            assert target < rank.rank
            on_the_way[rank.rank, target].append(text)
        assert (total is None) == (rank.rank > 0)
    assert not any(on_the_way.values())
    assert total is not None
    return total, every


@given(chunks=st.integers(1, 200), ranks=st.integers(1, 70))
def test_the_additions_are_the_same_for_any_number_of_ranks(chunks: int, ranks: int) -> None:
    total, every = added(chunks, ranks)
    assert total == added(chunks, 1)[0]
    for rank in every:
        assert rank.asked == list(range(rank.starts[rank.rank], rank.starts[rank.rank + 1]))


@given(chunks=st.integers(1, 2000), ranks=st.integers(1, 70))
def test_a_rank_holds_and_sends_a_number_of_sums_that_grows_as_the_logarithm(chunks: int, ranks: int) -> None:
    _, every = added(chunks, ranks)
    levels = chunks.bit_length()
    assert max(rank.most for rank in every) <= levels + 2
    assert max(len(rank.sent) for rank in every) <= levels + BLOCK


def test_up_to_a_block_is_added_one_after_the_other_as_presets_of_two_and_four_chunks_were() -> None:
    assert added(4, 1)[0] == "(((0+1)+2)+3)"
    assert added(9, 2)[0] == "(((((0+1)+2)+3)+(((4+5)+6)+7))+8)"
    assert added(22, 1)[0].count("+") == 21


@pytest.mark.parametrize("ranks", range(1, 9))
def test_all_ranks_have_about_as_many_chunks_and_the_first_has_the_first(ranks: int) -> None:
    for chunks in (1, 2, 4, 22, 82):
        starts = deal(chunks, ranks)
        counts = np.diff(starts)
        assert counts.sum() == chunks
        assert counts[0] == counts.max() >= 1
        assert counts.max() - counts.min() <= 1


def test_a_rank_is_asked_for_a_block_at_a_time() -> None:
    asked: list[tuple[int, int]] = []

    def own(first: int, last: int) -> int:
        asked.append((first, last))
        return sum(range(first, last))

    def alone(*_: object) -> int:
        raise AssertionError

    assert tree_sum([0, 2 * BLOCK + 1], 0, own, lambda left, right: left + right, alone, alone) == 36
    assert asked == [(0, 4), (4, 8), (8, 9)]
