"""Softmax and cross-entropy."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lenet5_cli.config import Config
from lenet5_cli.engine.losses import LOSSES, criterion, cross_entropy, discriminative, softmax
from lenet5_cli.errors import LeNet5Error


def test_by_hand() -> None:
    # scores 0 and log 3: exp is 1 and 3, p is 1/4 and 3/4; label 1: loss log 4/3, gradient p - (0, 1) = (1/4, -1/4)
    scores = np.array([[0, np.log(3)]])
    np.testing.assert_allclose(softmax(scores), [[0.25, 0.75]])
    loss, dscores = cross_entropy(scores, np.array([1]))
    assert loss == pytest.approx(np.log(4 / 3))
    np.testing.assert_allclose(dscores, [[0.25, -0.25]])


def test_mean_over_the_batch() -> None:
    scores = np.random.default_rng(0).standard_normal((4, 10))
    labels = np.array([1, 2, 3, 9])
    each = [cross_entropy(scores[i : i + 1], labels[i : i + 1]) for i in range(4)]
    loss, dscores = cross_entropy(scores, labels)
    assert loss == pytest.approx(np.mean([one for one, _ in each]))
    np.testing.assert_allclose(dscores, np.concatenate([gradient for _, gradient in each]) / 4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_probability_is_floored(dtype: type) -> None:
    """exp(-1000) is 0 in both types: the loss is -log 1e-20, not infinite, and the gradient stays p - 1."""
    loss, dscores = cross_entropy(np.array([[0, -1000]], dtype), np.array([1]))
    assert loss == pytest.approx(-np.log(1e-20))
    np.testing.assert_array_equal(dscores, np.array([[1, -1]], dtype))
    assert dscores.dtype == dtype


@given(st.floats(-1e30, 1e30), st.integers(0, 9))
def test_shift_changes_nothing(shift: float, label: int) -> None:
    scores = np.zeros((1, 10)) + shift
    assert cross_entropy(scores, np.array([label]))[0] == pytest.approx(np.log(10))


def test_gradient_by_central_difference() -> None:
    rng = np.random.default_rng(1)
    scores, direction, labels, h = rng.standard_normal((5, 10)), rng.standard_normal((5, 10)), np.arange(5), 1e-6
    slope = (cross_entropy(scores + h * direction, labels)[0] - cross_entropy(scores - h * direction, labels)[0]) / (
        2 * h
    )
    assert slope == pytest.approx((cross_entropy(scores, labels)[1] * direction).sum(), rel=1e-8)


def test_discriminative_by_hand() -> None:
    # Scores -1 and -3, j = 5, label 0: 1 + log(e^-5 + e^-1 + e^-3)
    loss, _ = discriminative(np.array([[-1.0, -3.0]]), np.array([0]))
    assert loss == pytest.approx(1 + np.log(np.exp(-5) + np.exp(-1) + np.exp(-3)))


def test_discriminative_gradient_by_central_difference_and_that_far_penalties_rest() -> None:
    rng = np.random.default_rng(1)
    scores, direction, labels, h = -30 * rng.random((5, 10)), rng.standard_normal((5, 10)), np.arange(5), 1e-6
    slope = (discriminative(scores + h * direction, labels)[0] - discriminative(scores - h * direction, labels)[0]) / (
        2 * h
    )
    gradient = discriminative(scores, labels)[1]
    assert slope == pytest.approx((gradient * direction).sum(), rel=1e-7)
    far = discriminative(np.array([[-1.0, -90.0]]), np.array([0]))[1]
    assert abs(far[0, 1]) < 1e-30


def test_what_is_in_no_class_by_hand() -> None:
    # Scores -1 and -3, j = 2, label 2: 2 + log(e^-2 + e^-1 + e^-3) = 2 - 1 + log(1 + e^-1 + e^-2); the gradient is the
    # softmax of (-1, -3, -2) at the two classes: e^-1 and e^-3 over their sum with e^-2
    scores, labels = np.array([[-1.0, -3.0]]), np.array([2])
    loss, gradient = discriminative(scores, labels, 2.0)
    total = np.exp(-1) + np.exp(-2) + np.exp(-3)
    assert loss == pytest.approx(1 + np.log(1 + np.exp(-1) + np.exp(-2)))
    np.testing.assert_allclose(gradient, [[np.exp(-1) / total, np.exp(-3) / total]])


@pytest.mark.parametrize("rubbish", [0.0, 14.0])
def test_the_gradient_of_what_is_in_no_class_by_central_difference(rubbish: float) -> None:
    rng = np.random.default_rng(2)
    scores, direction, h = -20 * rng.random((6, 10)), rng.standard_normal((6, 10)), 1e-6
    labels = np.array([0, 10, 3, 10, 10, 9])
    before, after = (discriminative(scores + step * direction, labels, rubbish)[0] for step in (-h, h))
    gradient = discriminative(scores, labels, rubbish)[1]
    assert (after - before) / (2 * h) == pytest.approx((gradient * direction).sum(), rel=1e-7)
    # What is in no class is pushed away from all: each score falls where one goes down.
    assert (gradient[labels == 10] > 0).all()


@given(st.floats(1e3, 1e30))
def test_a_constant_far_beyond_every_penalty_leaves_the_cross_entropy(rubbish: float) -> None:
    scores, labels = np.random.default_rng(3).standard_normal((4, 10)), np.arange(4)
    loss, gradient = discriminative(scores, labels, rubbish)
    expected, slope = cross_entropy(scores, labels)
    assert loss == pytest.approx(expected)
    np.testing.assert_allclose(gradient, slope, atol=1e-15)


@pytest.mark.parametrize("criterion", [cross_entropy, discriminative])
def test_losses_of_single_precision_are_summed_in_double(criterion: Callable[..., tuple[float, np.ndarray]]) -> None:
    """Ten thousand equal ones, whose sum float32 does not hold."""
    scores = np.tile(np.array([[0.1, 2.3, -1.7]], np.float32), (10_001, 1))
    labels = np.zeros(10_001, int)
    one, many = criterion(scores[:1], labels[:1])[0], criterion(scores, labels)[0]
    assert many == pytest.approx(one, rel=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("criterion", [cross_entropy, discriminative])
def test_the_gradient_has_the_type_of_the_scores(
    criterion: Callable[..., tuple[float, np.ndarray]], dtype: type
) -> None:
    loss, gradient = criterion(np.array([[0.1, 2.3, -1.7]], dtype), np.array([1]))
    assert (type(loss), gradient.dtype) == (float, dtype)


def test_the_probability_of_none_by_hand() -> None:
    # Scores -1 and -3, rubbish 2: e^-1, e^-3 and e^-2 over their sum
    expected = np.exp([-1, -3, -2]) / np.exp([-1, -3, -2]).sum()
    np.testing.assert_allclose(softmax(np.array([[-1.0, -3.0]]), 2.0), [expected])


@pytest.mark.parametrize("name", LOSSES)
def test_a_label_is_a_probability_of_one(name: str) -> None:
    scores, labels = -20 * np.random.default_rng(4).random((6, 10)).astype(np.float32), np.arange(6)
    loss, probabilities = criterion(Config(loss=name, rubbish=14.0))
    classes = probabilities(scores).shape[1]
    (by_label, slope), (by_probability, same) = loss(scores, labels), loss(scores, np.eye(classes, dtype="f")[labels])
    assert by_label == by_probability
    np.testing.assert_array_equal(slope, same)


@pytest.mark.parametrize("name", LOSSES)
def test_what_is_learned_of_probabilities(name: str) -> None:
    """The gradient by central difference; it is 0 where the probabilities are those to be learned, their entropy."""
    rng = np.random.default_rng(5)
    scores, direction, h = -20 * rng.random((6, 10)), rng.standard_normal((6, 10)), 1e-6
    loss, probabilities = criterion(Config(loss=name, rubbish=14.0))
    targets = probabilities(-20 * rng.random((6, 10)))
    before, after = (loss(scores + step * direction, targets)[0] for step in (-h, h))
    assert (after - before) / (2 * h) == pytest.approx((loss(scores, targets)[1] * direction).sum(), rel=1e-6)
    smallest, still = loss(scores, probabilities(scores))
    p = probabilities(scores)
    assert smallest == pytest.approx(-(p * np.log(p)).sum(axis=1).mean())
    np.testing.assert_allclose(still, 0, atol=1e-15)


@pytest.mark.parametrize(("name", "largest"), [("cross-entropy", 2), ("discriminative", 3)])
def test_a_label_of_no_class_is_refused(name: str, largest: int) -> None:
    """NumPy said that an index is out of bounds."""
    scores, loss = np.zeros((2, 3)), criterion(Config(loss=name)).loss
    loss(scores, np.array([0, largest]))
    with pytest.raises(LeNet5Error, match=rf"^label {largest + 1}; expected 0 to {largest}$"):
        loss(scores, np.array([largest + 1, 0]))
