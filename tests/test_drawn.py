"""The digits that we draw ourselves: repeatable, balanced, and finished as MNIST's are."""

import numpy as np
import pytest

from lenet5_cli.data import drawn, styles

COUNT = 1200


@pytest.fixture(scope="module")
def sample() -> tuple[np.ndarray, np.ndarray]:
    return drawn.draw(COUNT, seed=1)


def test_images_and_labels_are_bytes_of_mnists_shape(sample):
    images, labels = sample
    assert (images.shape, images.dtype) == ((COUNT, 28, 28), np.uint8)
    assert (labels.shape, labels.dtype) == ((COUNT,), np.uint8)


def test_nothing_drawn_is_still_an_array():
    images, labels = drawn.draw(0, seed=1)
    assert (images.shape, images.dtype) == ((0, 28, 28), np.uint8)
    assert (labels.shape, labels.dtype) == ((0,), np.uint8)


# Within the first block of a thousand, at its end and beyond it.
@pytest.mark.parametrize("count", [1, 999, 1000, 1001])
def test_a_short_draw_begins_a_longer_one(sample, count):
    images, labels = drawn.draw(count, seed=1)
    np.testing.assert_array_equal(images, sample[0][:count])
    np.testing.assert_array_equal(labels, sample[1][:count])


def test_another_seed_draws_other_images(sample):
    images, labels = drawn.draw(COUNT, seed=2)
    assert (images != sample[0]).any((1, 2)).all()
    assert (labels != sample[1]).any()


def test_no_two_images_are_equal(sample):
    assert len({image.tobytes() for image in sample[0]}) == COUNT


def test_every_thousand_images_hold_a_hundred_of_each_digit(sample):
    assert np.bincount(sample[1][:1000]).tolist() == [100] * 10


def test_digits_come_in_no_order(sample):
    assert len(set(sample[1][:30].tolist())) > 5
    assert (np.diff(sample[1].astype(int)) == 1).mean() < 0.2


def test_the_ink_just_fits_in_twenty_pixels(sample):
    images, _ = sample
    height = np.array([np.ptp(np.flatnonzero(image.any(1))) + 1 for image in images])
    width = np.array([np.ptp(np.flatnonzero(image.any(0))) + 1 for image in images])
    assert set(np.maximum(height, width).tolist()) <= {19, 20}


def test_the_centre_of_mass_is_in_the_middle(sample):
    images = sample[0].astype(float)
    mass = images.sum((1, 2))
    for axis in (1, 2):
        centre = images.sum(axis) @ np.arange(28) / mass
        assert np.abs(centre - 14).max() < 1
        assert np.median(np.abs(centre - 14)) < 0.5


def test_ink_is_white_on_black_with_grey_edges(sample):
    images, _ = sample
    assert (images.max((1, 2)) == 255).mean() > 0.95
    assert ((images > 0) & (images < 255)).any((1, 2)).all()
    assert ((images >= 40).mean((1, 2)) > 0.01).all()
    assert ((images >= 40).mean((1, 2)) < 0.4).all()


@pytest.mark.parametrize("shift", [(9, 0), (-9, 0), (0, 9), (0, -9)])
def test_centring_never_pushes_ink_over_the_edge(shift):
    # One heavy corner of the box: its middle lies further off than the box may move.
    image = np.zeros((1, 28, 28), np.uint8)
    image[0, 14 + shift[0], 14 + shift[1]] = 255
    image[0, 14 - shift[0], 14 - shift[1]] = 1
    moved = drawn._centre(image)
    down, right = np.argwhere(moved[0] == 255)[0] - np.argwhere(image[0] == 255)[0]
    assert (down, right) == (-4 * np.sign(shift[0]), -4 * np.sign(shift[1]))
    assert np.count_nonzero(moved) == 2


def test_a_curve_passes_through_its_control_points_and_turns_sharply_only_where_marked():
    points, basis, down = drawn._compile("0,0 4,0! 4,4 / 9,9 9,1")
    curve = basis @ points
    for point in points:
        assert np.isclose(curve, point).all(1).any()
    # The corner ends one piece and starts the next; the pen is up between pieces and after the last.
    steps = drawn._STEPS
    assert np.flatnonzero(~down).tolist() == [steps, 2 * steps + 1, 3 * steps + 2]
    # Two points alone make a straight line, walked evenly.
    np.testing.assert_allclose(curve[: steps + 1, 0], np.linspace(0, 4, steps + 1))
    np.testing.assert_allclose(curve[: steps + 1, 1], 0, atol=1e-12)


def test_a_smooth_curve_keeps_its_direction_at_a_control_point():
    points, basis, _ = drawn._compile("0,0 4,4 8,0")
    before, after = np.diff(basis @ points, axis=0)[drawn._STEPS - 1 : drawn._STEPS + 1]
    # By symmetry the curve is level at its middle point: it rises before it as much as it falls after it.
    np.testing.assert_allclose(before * (1, -1), after)
    assert abs(before[1]) < abs(before[0])


@pytest.mark.parametrize("evenly", [False, True])
def test_styles_are_drawn_as_often_as_their_shares_say_or_evenly(monkeypatch, evenly):
    chosen, write = [], drawn._write
    monkeypatch.setattr(
        drawn, "_write", lambda table, styles, *rest: chosen.append(styles) or write(table, styles, *rest)
    )
    for seed in range(10):
        drawn._draw_block(1, [seed], evenly)
    first = drawn._table(drawn._DIGITS).first
    frequencies = np.bincount(np.concatenate(chosen), minlength=first[-1]) / 1000
    shares = [share / 100 for digit in styles.DIGITS for share, _ in digit]
    expected = np.repeat(1 / np.diff(first), np.diff(first)) if evenly else shares
    # A thousand images of each digit: four deviations of a frequency are at most 4 sqrt(0.5 * 0.5 / 1000).
    np.testing.assert_allclose(frequencies, expected, atol=0.064)


@pytest.fixture(scope="module")
def nondigits() -> np.ndarray:
    return drawn.draw_nondigits(COUNT, seed=1)


def test_what_is_no_digit_has_the_form_of_digits(nondigits):
    assert (nondigits.shape, nondigits.dtype) == ((COUNT, 28, 28), np.uint8)
    assert drawn.draw_nondigits(0, seed=1).shape == (0, 28, 28)
    assert len({image.tobytes() for image in nondigits}) == COUNT
    # There is ink on each, and what is drawn with a pen just fits in twenty pixels.
    assert (nondigits.max((1, 2)) >= 60).all()
    for axis in (1, 2):
        inked = nondigits.any(axis)
        extent = 28 - inked.argmax(1) - inked[:, ::-1].argmax(1)
        assert extent.max() <= 20


@pytest.mark.parametrize("count", [1, 999, 1000, 1001])
def test_a_short_draw_of_nondigits_begins_a_longer_one(nondigits, count):
    np.testing.assert_array_equal(drawn.draw_nondigits(count, seed=1), nondigits[:count])


def test_other_seeds_and_digits_come_from_other_random_numbers(sample, nondigits):
    assert (drawn.draw_nondigits(100, seed=2) != nondigits[:100]).any((1, 2)).all()
    assert not {image.tobytes() for image in sample[0]} & {image.tobytes() for image in nondigits}


@pytest.mark.parametrize(("kind", "count"), drawn._KINDS, ids=lambda value: getattr(value, "__name__", ""))
def test_each_kind_of_nondigit_gives_images_with_ink(kind, count):
    images = kind(12, np.random.default_rng(0))
    assert (images.shape, images.dtype) == ((12, 28, 28), np.uint8)
    assert (images.max((1, 2)) >= 60).all()
    assert 0 < count < drawn._BLOCK


def test_the_kinds_make_a_block():
    assert sum(count for _, count in drawn._KINDS) == drawn._BLOCK
