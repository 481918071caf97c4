"""Damage to files, drawn by Hypothesis: a little of it in every run of the tests, much of it on request.

``LENET5_FUZZ=600 python -m pytest tests/test_fuzz.py -n0 -s`` goes on for 600 seconds with each kind of file, and
prints how many were tried.
"""

import os
from collections.abc import Callable
from itertools import count
from time import monotonic

from hypothesis import given, settings
from hypothesis import strategies as st

SECONDS = float(os.environ.get("LENET5_FUZZ") or 0)

place = st.floats(0, 1, exclude_max=True)
edit = st.one_of(
    st.tuples(st.just("change"), place, st.binary(min_size=1, max_size=1)),
    st.tuples(st.just("change"), place, st.binary(min_size=1, max_size=9)),
    st.tuples(st.just("insert"), place, st.binary(min_size=1, max_size=9)),
    st.tuples(st.just("delete"), place, st.binary(min_size=1, max_size=30)),
    st.tuples(st.just("cut"), place, st.just(b"")),
    st.tuples(st.just("repeat"), place, st.binary(min_size=1, max_size=200)),
)
edits = st.lists(edit, min_size=1, max_size=4)


def damaged(content: bytes, changes: list[tuple[str, float, bytes]]) -> bytes:
    """Return a file to which something has happened at some places."""
    for kind, where, data in changes:
        at = int(where * len(content))
        before, there, after = content[:at], content[at : at + len(data)], content[at + len(data) :]
        content = {
            "change": before + data + after,
            "insert": before + data + there + after,
            "delete": before + after,
            "cut": before,
            "repeat": before + there + there + after,
        }[kind]
    return content


def fuzz(name: str, check: Callable[..., None], examples: int = 300, **strategies: st.SearchStrategy) -> None:
    """Check as many examples, and then others until the time that was asked for is over."""
    tried = count()

    def counted(**drawn: object) -> None:
        next(tried)
        check(**drawn)

    test = settings(max_examples=examples, database=None)(given(**strategies)(counted))
    end = monotonic() + SECONDS
    test()
    while monotonic() < end:
        test()
    if SECONDS:
        print(f"\n{name}: {next(tried):,} files tried")  # noqa: T201
