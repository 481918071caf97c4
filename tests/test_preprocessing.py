"""The report's preprocessing."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lenet5_cli.engine.preprocessing import as_labels, as_pictures, given_pictures, prepare
from lenet5_cli.errors import LeNet5Error


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pixels_from_40_on_are_1_and_two_pixels_of_0_surround_them(dtype: type) -> None:
    images = np.zeros((3, 28, 28), np.uint8)
    images[1, 0, 0], images[1, 27, 27], images[2, 5, 7] = 40, 255, 39
    x = prepare(images, dtype=dtype)
    assert x.shape == (3, 1, 32, 32)
    assert x.dtype == dtype
    assert np.argwhere(x).tolist() == [[1, 0, 2, 2], [1, 0, 29, 29]]
    assert x.max() == 1


@pytest.mark.parametrize(("kind", "low", "high"), [("grey", 0, 1), ("lecun", -0.1, 1.175)])
def test_other_inputs_scale_the_pixels_and_surround_them_with_background(kind: str, low: float, high: float) -> None:
    images = np.zeros((1, 28, 28), np.uint8)
    images[0, 3, 4], images[0, 5, 6] = 255, 51
    x = prepare(images, kind, np.float64)
    assert x[0, 0, 5, 6] == pytest.approx(high)
    assert x[0, 0, 7, 8] == pytest.approx(low + (high - low) / 5)
    x[0, 0, [5, 7], [6, 8]] = low
    np.testing.assert_array_equal(x, low)


def test_pictures_are_taken_in_every_form_and_give_the_same_answer() -> None:
    from lenet5_cli import LeNet5

    network = LeNet5(None)
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)
    expected = network.probabilities(images)
    for form in (images.reshape(3, 784), images / 255, (images / np.float32(255)).reshape(3, 784)):
        np.testing.assert_array_equal(network.probabilities(form), expected)
    np.testing.assert_array_equal(network.scores(images[1]), network.scores(images[1:2]))
    np.testing.assert_array_equal(network.maps(images / 255)["input"], network.maps(images)["input"])
    assert network.scores(images[:0]).shape == (0, 10)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (np.zeros((3, 28, 27), np.uint8), "pictures of shape (3, 28, 27); expected (n, 28, 28), (n, 784) or (28, 28)"),
        (np.zeros(784, np.uint8), "pictures of shape (784,); expected (n, 28, 28), (n, 784) or (28, 28)"),
        (np.zeros((1, 1, 28, 28)), "pictures of shape (1, 1, 28, 28); expected (n, 28, 28), (n, 784) or (28, 28)"),
        (np.full((28, 28), 255.0), "pictures of float64 from 255.0 to 255.0; expected uint8, or floats in [0, 1]"),
        (np.full((28, 28), -0.5), "pictures of float64 from -0.5 to -0.5; expected uint8, or floats in [0, 1]"),
        (np.full((28, 28), np.nan), "pictures of float64 from nan to nan; expected uint8, or floats in [0, 1]"),
        (np.full((28, 28), 1), "pictures of int64 from 1 to 1; expected uint8, or floats in [0, 1]"),
        (np.full((28, 28), "7"), "pictures of <U1; expected uint8, or floats in [0, 1]"),
        (np.full((28, 28), None), "pictures of object; expected uint8, or floats in [0, 1]"),
        (np.full((28, 28), True), "pictures of bool from True to True; expected uint8, or floats in [0, 1]"),
    ],
)
def test_other_pictures_are_refused_by_name(images: np.ndarray, said: str) -> None:
    with pytest.raises(LeNet5Error) as error:
        as_pictures(images)
    assert str(error.value) == said


def test_integers_from_0_to_1_are_no_pictures_wherever_they_are_given() -> None:
    """All of them were read as black."""
    from lenet5_cli import Committee, LeNet5, evaluate

    images, network = np.eye(28, dtype=np.uint8)[None], LeNet5(None)
    both = Committee([network, network])
    labels = np.zeros(1, int)
    uses: list[Callable[[], Any]] = [
        *(lambda use=use: use(images) for use in (network.scores, network.probabilities, network.maps, both.scores)),
        lambda: evaluate(network, (images, labels)),
    ]
    for use in uses:
        with pytest.raises(LeNet5Error) as error:
            use()
        said = "pictures of integers from 0 to 1; expected uint8 from 0 to 255, or floats in [0, 1]"
        assert str(error.value) == said
    for others in (images * 0, images * 2, images / 255, images / 1.0):
        assert network.scores(others).shape == (1, 10)


@pytest.mark.parametrize(
    ("use", "said"),
    [
        (lambda: given_pictures([np.zeros((28, 28)), np.zeros((20, 28))]), "pictures of several shapes"),
        (lambda: as_labels([[1], [2, 3]], 2), "labels of several shapes"),
        (lambda: as_pictures(np.ma.zeros((1, 28, 28))), "pictures in a masked array"),
        (lambda: as_labels(np.ma.zeros(1, int), 1), "labels in a masked array"),
    ],
)
def test_what_makes_no_plain_array_is_refused(use: Callable[[], Any], said: str) -> None:
    """What a mask hides was taken for numbers."""
    expected = "expected a plain one, such as its .filled(0)" if "masked" in said else "expected all in one array"
    with pytest.raises(LeNet5Error) as error:
        use()
    assert str(error.value) == f"{said}; {expected}"
