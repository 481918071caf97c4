"""The styles of the letters: what they draw."""

import numpy as np
import pytest

from lenet5_cli.data import drawn
from lenet5_cli.data.letters import LETTERS


def test_every_letter_has_styles_of_its_own() -> None:
    assert len(LETTERS) == 26
    assert min(map(len, LETTERS)) >= 4
    every = [style for letter in LETTERS for style in letter]
    assert len(set(every)) == len(every)


@pytest.fixture(scope="module")
def sample() -> tuple[np.ndarray, np.ndarray]:
    return drawn.draw_letters(2000, seed=1)


def test_a_longer_draw_begins_with_a_shorter_one_and_holds_all_letters_alike(
    sample: tuple[np.ndarray, np.ndarray],
) -> None:
    images, labels = sample
    first, firsts = drawn.draw_letters(50, seed=1)
    np.testing.assert_array_equal(images[:50], first)
    np.testing.assert_array_equal(labels[:50], firsts)
    counts = np.bincount(labels)
    assert (len(counts), counts.min(), counts.max()) == (26, 76, 78)


@pytest.mark.parametrize(("letter", "hollow"), [("O", True), ("I", False), ("X", False)])
def test_letters_look_like_themselves(letter: str, hollow: bool, sample: tuple[np.ndarray, np.ndarray]) -> None:
    """On average, an O has less ink in its middle than elsewhere; an I and an X have most of it there."""
    images, labels = sample
    mean = images[labels == ord(letter) - ord("A")].mean(axis=0)
    assert (mean[13:15, 13:15].mean() < 0.5 * mean.max()) == hollow
