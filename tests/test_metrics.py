"""Tallies by hand: accuracy, precision, recall, F1, confusions, calibration, the worst answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lenet5_cli.engine.losses import softmax
from lenet5_cli.training.metrics import BINS, Tally, wilson


def sure(answers: list[int], confidences: list[float]) -> NDArray[np.float64]:
    """Return scores whose softmax gives each answer its confidence, and the nine others the rest in equal parts."""
    p = np.repeat((1 - np.array([confidences]).T) / 9, 10, axis=1)
    p[np.arange(len(answers)), answers] = confidences
    return np.log(p)


def tally(labels: list[int], answers: list[int], confidences: list[float] | None = None, keep: int = 0) -> Tally:
    tally = Tally(keep)
    tally.add(0.0, np.array(labels), sure(answers, confidences or [0.5] * len(labels)))
    return tally


def test_sums_are_divided_once() -> None:
    both = tally([0, 0, 1], [0, 1, 1])
    both.add(2.0, np.array([2]), sure([1], [0.9]))
    assert (both.images, both.right, both.accuracy, both.loss) == (4, 2, 0.5, 0.5)


def test_precision_recall_and_f1() -> None:
    measured = tally([0, 0, 1, 2], [0, 1, 1, 1])
    np.testing.assert_allclose(measured.precision[:4], [1, 1 / 3, 0, 0])  # 0: 1 of 1; 1: 1 of 3; 2, 3: never answered
    np.testing.assert_allclose(measured.recall[:4], [1 / 2, 1, 0, 0])  # 3: never there
    # 2 / (1 / 1 + 1 / (1/2)) = 2/3; 2 / (1 / (1/3) + 1 / 1) = 1/2; nothing was right
    np.testing.assert_allclose(measured.f1[:4], [2 / 3, 1 / 2, 0, 0])


def test_both_directions_of_a_confusion_are_counted_apart_and_the_most_come_first() -> None:
    labels, answers = [4, 4, 4, 9, 9, 7, 7, 1], [9, 9, 4, 4, 9, 9, 7, 1]
    assert tally(labels, answers).confused == [(4, 9, 2), (7, 9, 1), (9, 4, 1)]
    assert tally([3], [3]).confused == []


@pytest.mark.parametrize(
    ("right", "images", "low", "high"), [(0, 10, 0, 0.2775), (5, 10, 0.2366, 0.7634), (95, 100, 0.8882, 0.9785)]
)
def test_wilson_interval(right: int, images: int, low: float, high: float) -> None:
    """Against Wilson's interval worked out by hand: (p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)."""
    measured = tally([0] * images, [0] * right + [1] * (images - right))
    assert measured.interval == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize("images", [2, 7, 60, 99, 2000])
def test_a_wilson_interval_is_of_fractions(images: int) -> None:
    assert 0 <= wilson(0, images)[0] < 1e-12
    assert 1 - 1e-12 < wilson(images, images)[1] <= 1
    assert f"{wilson(0, images)[0]:.4f}" == "0.0000"  # and not -0.0000


def test_calibration() -> None:
    # The bin from 0.55 to 0.6 has 2 images, 1 right, confidence 0.56 + 0.58 = 1.14; the last has 2, 2 right, 1.96.
    # (|1 - 1.14| + |2 - 1.96|) / 4 = 0.045
    measured = tally([1, 2, 3, 4], [1, 7, 3, 4], [0.56, 0.58, 0.97, 0.99])
    np.testing.assert_allclose(measured.bins[:, 11], [2, 1, 1.14])
    np.testing.assert_allclose(measured.bins[:, 19], [2, 2, 1.96])
    assert measured.bins[0].sum() == 4
    assert measured.calibration_error == pytest.approx(0.045)


def test_errors_of_calibration_in_different_bins_do_not_cancel() -> None:
    # Sure by 0.2 and wrong, sure by 0.8 and right: (0.2 + 0.2) / 2, though one of two is right and 1/2 the mean.
    assert tally([1, 2], [7, 2], [0.2 - 1e-9, 0.8 - 1e-9]).calibration_error == pytest.approx(0.2)


@pytest.mark.parametrize(("difference", "number"), [(0, 1), (1e3, 19)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_least_and_the_greatest_confidence_have_a_bin(difference: float, number: int, dtype: type) -> None:
    """Ten equal scores are a confidence of 1/10, the upper end of the bin from 1/20; one far above is 1."""
    measured = Tally()
    measured.add(0.0, np.array([0]), np.array([[difference, *[0] * 9]], dtype))
    np.testing.assert_array_equal(np.flatnonzero(measured.bins[0]), [number])


@given(st.lists(st.integers(1, 20), min_size=1, max_size=5), st.integers(0, 30), st.integers(0, 9))
def test_batches_are_counted_as_if_they_were_one(sizes: list[int], keep: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, scores = rng.integers(0, 10, sum(sizes)), 3 * rng.standard_normal((sum(sizes), 10))
    whole, parts = Tally(keep), Tally(keep)
    whole.add(1.0, labels, scores)
    ends = np.cumsum(sizes)
    for start, end in zip(ends - sizes, ends, strict=True):
        parts.add((end - start) / sum(sizes), labels[start:end], scores[start:end])
    assert parts.loss_sum == pytest.approx(whole.loss_sum)
    np.testing.assert_array_equal(parts.confusion, whole.confusion)
    np.testing.assert_allclose(parts.bins, whole.bins)
    assert parts.bins[1].sum() == parts.right
    assert parts.bins[2].sum() == pytest.approx(softmax(scores).max(axis=1).sum())
    assert parts.bins.shape == (3, BINS)
    for one, other in zip(parts.worst, whole.worst, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(parts.worst.images) == min(keep, parts.images - parts.right)


def test_the_worst_are_those_furthest_below_the_answer_and_the_earlier_of_equals() -> None:
    # Margins log(p / ((1 - p) / 9)) grow with the confidence p of the wrong answer.
    worst = tally([0, 1, 2, 3, 4], [5, 5, 2, 5, 5], [0.5, 0.9, 0.99, 0.7, 0.7], keep=3).worst
    np.testing.assert_array_equal(worst.images, [1, 3, 4])
    np.testing.assert_array_equal(worst.labels, [1, 3, 4])
    np.testing.assert_allclose(worst.margins, np.log([0.9 / (0.1 / 9), 0.7 / (0.3 / 9), 0.7 / (0.3 / 9)]))
    assert len(tally([0], [5]).worst.images) == 0


def test_of_many_equal_margins_the_earliest_are_kept() -> None:
    worst = tally([0] * 200, [5] * 200, [0.5, 0.9] * 100, keep=9).worst
    assert worst.images.tolist() == [*range(1, 18, 2)]  # those of 0.9


def test_refusing_by_hand() -> None:
    # Nearest distances 1, 2, 2, 5; right, wrong, right, wrong.
    measured = Tally()
    scores = np.full((4, 10), -9.0)
    scores[[0, 1, 2, 3], [0, 7, 2, 7]] = [-1, -2, -2, -5]
    measured.add(0.0, np.array([0, 1, 2, 3]), scores)
    found = measured.refusing(np.array([0.5, 1, 2, 4, 5]))
    assert [(each.accepted, each.wrong, each.images) for each in found] == [
        (0, 0, 4), (1, 0, 4), (3, 1, 4), (3, 1, 4), (4, 2, 4),
    ]  # fmt: skip
    assert [each.coverage for each in found] == [0, 0.25, 0.75, 0.75, 1]
    assert [each.error for each in found] == [0, 0, 1 / 3, 1 / 3, 1 / 2]
    # At least half of four: two, but the third is as near.
    assert [each.threshold for each in measured.covering(np.array([0.25, 0.5, 1]))] == [1, 2, 5]


@given(st.integers(1, 200), st.floats(0.01, 1), st.integers(0, 9))
def test_covering_accepts_at_least_that_fraction_and_no_threshold_below_it_does(n: int, part: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    measured = Tally()
    measured.add(0.0, rng.integers(0, 10, n), -rng.integers(1, 30, (n, 10)).astype(np.float32))
    (found,) = measured.covering(np.array([part]))
    (below,) = measured.refusing(np.array([np.nextafter(np.float32(found.threshold), np.float32(0))]))
    assert found.coverage >= part > below.coverage


def test_before_anything_is_counted_there_is_nothing_of_the_right_kind() -> None:
    empty = Tally(3, ("a", "b"))
    assert (empty.confusion.shape, empty.confusion.dtype) == ((2, 2), np.int64)
    assert [array.shape for array in empty.worst] == [(0,), (0,), (0, 2)]
    assert [array.dtype.kind for array in empty.worst] == ["i", "i", "f"]
    empty.add(0.5, np.array([1]), np.array([[-1.0, -2]]))
    assert [array.tolist() for array in empty.worst] == [[0], [1], [[-1, -2]]]
    assert empty.worst.images.dtype.kind == empty.worst.labels.dtype.kind == "i"
