"""Distortions: nothing at 0, exact where they can be, each in its direction, each image on its own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lenet5_cli.data import augmentation
from lenet5_cli.data.augmentation import KINDS, NUMBERS, distort, draw

ANGLE, WIDER, TALLER, SLANT, RIGHT, DOWN, THICKNESS, *NODES = range(NUMBERS)


def noise(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 28, 28), np.uint8)


def box(rows, columns):
    image = np.zeros((28, 28), np.uint8)
    image[rows, columns] = 255
    return image


def only(image, **values):
    """Distort one image by the numbers named."""
    numbers = np.zeros((1, NUMBERS), np.float32)
    for name, value in values.items():
        numbers[0, globals()[name]] = value
    return distort(image[None], numbers)[0]


def spread(image, axis):
    """Return the standard deviation, in pixels, of where the ink is along an axis."""
    mass, place = image.sum(1 - axis, dtype=float), np.arange(28)
    mean = place @ mass / mass.sum()
    return np.sqrt((place - mean) ** 2 @ mass / mass.sum())


def field(nodes):
    """Return how far down and right each pixel reaches for its ink, (2, 28, 28), to 1/9 of a pixel.

    Grey that rises by 9 a pixel shows it; pixels that reach beyond the image do not.
    """
    ramp = np.broadcast_to(9 * np.arange(28, dtype=np.uint8), (28, 28))
    numbers = np.zeros((1, NUMBERS), np.float32)
    numbers[0, NODES] = nodes
    reach = [distort(image[None], numbers)[0] / 9.0 - image / 9.0 for image in (ramp.T, ramp)]
    return np.stack(reach)


@given(st.integers(0, 70), st.integers(0, 2**32))
@settings(max_examples=20)
def test_zeros_change_nothing(count, seed):
    images = noise(count, seed)
    np.testing.assert_array_equal(distort(images, np.zeros((count, NUMBERS), np.float32)), images)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [0, 1, 31, 33, 100])
def test_a_batch_equals_its_images_one_by_one(kind, count):
    images, numbers = noise(count), draw(kind, count, np.random.default_rng(1))
    before = images.copy(), numbers.copy()
    y = distort(images, numbers)
    assert (y.shape, y.dtype) == ((count, 28, 28), np.uint8)
    for n in range(count):
        np.testing.assert_array_equal(distort(images[n : n + 1], numbers[n : n + 1])[0], y[n])
    np.testing.assert_array_equal(images, before[0])
    np.testing.assert_array_equal(numbers, before[1])


def test_any_layout_of_the_images_gives_the_same():
    images, numbers = noise(40), draw("elastic", 40, np.random.default_rng(1))
    np.testing.assert_array_equal(
        distort(np.asfortranarray(images), np.asfortranarray(numbers)), distort(images, numbers)
    )


@given(st.integers(-30, 30), st.integers(-30, 30))
@settings(max_examples=50)
def test_whole_pixels_move_an_image_exactly(right, down):
    image = noise(1)[0]
    expected = np.zeros((90, 90), np.uint8)
    expected[31 + down :][:28, 31 + right :][:, :28] = image
    np.testing.assert_array_equal(only(image, RIGHT=right, DOWN=down), expected[31:59, 31:59])


def test_half_a_pixel_is_the_mean_of_two():
    image = box(14, 10)
    moved = only(image, RIGHT=0.5)
    assert moved[14, 9:13].tolist() == [0, 128, 128, 0]  # 127.5, rounded up


@pytest.mark.parametrize("turns", [-1, 1, 2])
def test_quarter_turns_are_anticlockwise(turns):
    image = noise(1)[0]
    turned = only(image, ANGLE=turns * np.pi / 2)
    assert np.abs(turned.astype(int) - np.rot90(image, turns)).max() <= 1


def test_turns_come_before_shifts():
    image = noise(1)[0]
    turned = only(image, ANGLE=np.pi / 2, RIGHT=3).astype(int)
    assert np.abs(turned[:, 3:] - np.rot90(image)[:, :-3]).max() <= 1


@pytest.mark.parametrize(("name", "axis"), [("WIDER", 1), ("TALLER", 0)])
@pytest.mark.parametrize("log", [-0.2, 0.2])
def test_scales_are_of_their_own_axis(name, axis, log):
    image = box(slice(8, 20), slice(8, 20))
    y = only(image, **{name: log})
    assert spread(y, axis) / spread(image, axis) == pytest.approx(np.exp(log), rel=0.02)
    assert spread(y, 1 - axis) == pytest.approx(spread(image, 1 - axis), rel=0.01)


def test_twice_as_large_repeats_the_middle():
    # Pixel p reads 13.5 + (p - 13.5) / 2: three quarters of the nearest pixel and a quarter of the next.
    y = only(box(slice(None), slice(14, None)), WIDER=np.log(2))
    assert y[5, 11:17].tolist() == [0, 0, 64, 191, 255, 255]


def test_slant_moves_the_top_to_the_right():
    y = only(box(slice(4, 24), slice(13, 15)), SLANT=0.2)
    columns = y @ np.arange(28.0) / y.sum(1, where=y > 0, initial=1)
    # Row 4 is 9.5 pixels above the middle, row 23 as far below.
    assert columns[4] - 13.5 == pytest.approx(1.9, abs=0.1)
    assert columns[23] - 13.5 == pytest.approx(-1.9, abs=0.1)


@given(st.floats(0, 1, width=32), st.integers(0, 2**32))
@settings(max_examples=30)
def test_thickening_never_darkens_and_thinning_never_brightens(thickness, seed):
    image = noise(1, seed)[0]
    assert (only(image, THICKNESS=thickness) >= image).all()
    assert (only(image, THICKNESS=-thickness) <= image).all()


def test_thickness_by_hand():
    cross = box(14, 13) | box(14, 14) | box(14, 15) | box(13, 14) | box(15, 14)
    np.testing.assert_array_equal(only(box(14, 14), THICKNESS=1), cross)
    np.testing.assert_array_equal(only(cross, THICKNESS=-1), box(14, 14))
    assert only(box(14, 14), THICKNESS=0.4)[13:16, 13:16].tolist() == [[0, 102, 0], [102, 255, 102], [0, 102, 0]]
    assert only(cross, THICKNESS=-0.4)[14, 12:17].tolist() == [0, 153, 255, 153, 0]


def test_ink_at_the_edge_thickens_into_its_own_image_only():
    images = np.stack([box(27, slice(None)), box(slice(0), 0), box(slice(None), 27)])
    numbers = np.zeros((3, NUMBERS), np.float32)
    numbers[:, THICKNESS] = 1
    rows = distort(images, numbers)
    np.testing.assert_array_equal(
        rows, [box(slice(26, None), slice(None)), images[1], box(slice(None), slice(26, None))]
    )
    numbers[:, DOWN] = -1  # what thickened beyond the edge is there to be moved in, and black behind it
    assert (distort(images, numbers)[0, 24:] == np.array([[0], [255], [255], [255]])).all()
    numbers[:, DOWN] = -5
    assert distort(images, numbers)[0, :, 3].tolist() == [0] * 21 + [255] * 3 + [0] * 4


def test_the_basis_is_a_plane_and_bells_whose_squares_have_the_mean_1() -> None:
    basis = augmentation._basis().reshape(-1, 28, 28)
    down, right = np.indices((28, 28)) - 13.5
    np.testing.assert_array_equal(basis[:3], [np.ones((28, 28)), down, right])
    assert (basis[3:] ** 2).sum(0).mean() == pytest.approx(1)
    # Relative to its value in the middle, where the node (0, 0) is, each falls with the distance from its own node.
    nodes = [(6 * a, 6 * b) for a in range(-2, 3) for b in range(-2, 3)]
    for bell, (a, b) in zip(basis[3:], nodes, strict=True):
        exponent = -((down - a) ** 2 + (right - b) ** 2) / (2 * 4**2)
        np.testing.assert_allclose(bell, basis[15, 13, 13] * np.exp(exponent + 0.5 / (2 * 4**2)), rtol=1e-4)
    np.testing.assert_array_equal(augmentation._BASIS, augmentation._basis())


def test_fields_are_smooth():
    middle = (slice(None), slice(5, 23), slice(5, 23))
    for nodes in 0.8 * np.random.default_rng(0).standard_normal((20, len(NODES))):
        reach = field(nodes)[middle]
        assert reach.any()
        # A pixel on changes it by less than 0.7 of a pixel (so ink never folds over), give or take 1/9 for rounding.
        assert np.abs(np.diff(reach, axis=1)).max() < 0.7 + 1 / 9
        assert np.abs(np.diff(reach, axis=2)).max() < 0.7 + 1 / 9


def test_fields_have_the_spread_of_their_nodes():
    middle = (slice(None), slice(5, 23), slice(5, 23))
    reach = np.array([field(nodes)[middle] for nodes in np.random.default_rng(0).standard_normal((200, len(NODES)))])
    assert reach.std() == pytest.approx(1, rel=0.15)
    assert np.abs(reach.mean((0, 2, 3))).max() < 0.1


@pytest.mark.parametrize(("half", "axis"), [(slice(0, 25), 0), (slice(25, 50), 1)])
def test_half_of_the_nodes_reach_down_and_half_right(half, axis):
    nodes = np.zeros(len(NODES))
    nodes[half][12] = 1
    reach = field(nodes)
    assert not reach[1 - axis].any()
    # One bell in the middle, which falls with distance.
    assert reach[axis].argmax() in {13 * 28 + 13, 13 * 28 + 14, 14 * 28 + 13, 14 * 28 + 14}
    assert 0.3 < reach[axis].max() < 1.5
    assert not reach[axis][:, 0].any()


@pytest.mark.parametrize("kind", KINDS)
def test_draws_stay_within_their_ranges(kind):
    numbers = draw(kind, 2000, np.random.default_rng(0))
    assert (numbers.shape, numbers.dtype) == ((2000, NUMBERS), np.float32)
    plain, nodes = numbers[:, :7], numbers[:, 7:]
    if kind == "none":
        assert not numbers.any()
        return
    low = np.array([-np.pi / 15, -0.2, -0.2, -0.2, -2, -2, -0.5])
    high = np.array([np.pi / 15, 0.2, 0.2, 0.2, 2, 2, 0.7])
    assert (plain >= np.float32(low)).all()
    assert (plain <= np.float32(high)).all()
    # All of the range is used: the extremes of 2000 numbers are not far from its ends.
    assert (np.ptp(plain, 0) > 0.98 * (high - low)).all()
    assert np.std(nodes) == (pytest.approx(0.4, rel=0.02) if kind == "elastic" else 0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_stream_gives_the_same_numbers(kind):
    first, second = (draw(kind, 5, np.random.default_rng([3, 1])) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert draw(kind, 0, np.random.default_rng(0)).shape == (0, NUMBERS)
