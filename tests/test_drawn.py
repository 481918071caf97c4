"""The digits that we draw ourselves: repeatable, balanced, and finished as MNIST's are."""

import hashlib
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from numpy._core._multiarray_umath import __cpu_dispatch__

from lenet5_cli.data import drawn, styles
from tests.conftest import environment

COUNT = 1200
MANY = 4000  # hands: a mean or a deviation of so many random numbers is off by 5 % once in thousands of seeds


class Still:
    """Random numbers in the middle of their ranges, but those of some calls: what these do is then seen alone."""

    def __init__(self, *moving: int) -> None:
        self.moving, self.rng, self.calls = moving, np.random.default_rng(5), 0
        self.integers = self.rng.integers

    def normal(self, mean: float, deviation: float, size: tuple[int, ...]) -> np.ndarray:
        return self._call(self.rng.normal(mean, deviation, size), mean)

    def uniform(self, low: float, high: float, size: tuple[int, ...]) -> np.ndarray:
        return self._call(self.rng.uniform(low, high, size), (low + high) / 2)

    def _call(self, numbers: np.ndarray, middle: float) -> np.ndarray:
        self.calls += 1
        return numbers if self.calls - 1 in self.moving else np.full(numbers.shape, middle)


either_spread = pytest.mark.parametrize("spread", [1, 0.5])


def is_uniform(numbers: np.ndarray, low: float, high: float) -> None:
    """Check the range and the deviation of uniform random numbers."""
    assert low - 1e-9 <= numbers.min() < low + 0.01 * (high - low)
    assert high - 0.01 * (high - low) < numbers.max() <= high + 1e-9
    assert numbers.std() == pytest.approx((high - low) / 12**0.5, rel=0.05)


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


@pytest.mark.parametrize("digit", range(10))
def test_the_curves_of_every_style_pass_through_its_points_in_their_order(digit):
    for _, style in styles.DIGITS[digit]:
        points, basis, down = drawn._compile(style)
        words = style.replace("/", " ").split()
        np.testing.assert_array_equal(
            points, [[float(value) for value in word.strip("!").split(",")] for word in words]
        )
        pieces = np.split(basis @ points, np.flatnonzero(~down)[:-1] + 1)
        passed = np.concatenate([piece[:: drawn._STEPS] for piece in pieces])
        # A piece ends at a corner, and the next begins there.
        twice = [1 + word.endswith("!") for word in words]
        np.testing.assert_allclose(passed, np.repeat(points, twice, axis=0), atol=1e-12)


def test_a_smooth_curve_keeps_its_direction_at_a_control_point():
    points, basis, _ = drawn._compile("0,0 4,4 8,0")
    before, after = np.diff(basis @ points, axis=0)[drawn._STEPS - 1 : drawn._STEPS + 1]
    # By symmetry the curve is level at its middle point: it rises before it as much as it falls after it.
    np.testing.assert_allclose(before * (1, -1), after)
    assert abs(before[1]) < abs(before[0])


def test_a_pen_has_a_width_of_its_own_and_presses_more_and_less_along_its_way() -> None:
    pressed = drawn._press(MANY, 64, np.random.default_rng(0))  # two periods
    assert pressed.shape == (MANY, 64)
    low, high = pressed.min(1), pressed.max(1)
    width = (low + high) / 2
    np.testing.assert_allclose((high - low) / (high + low), 0.25, atol=0.003)
    # The logarithm of the width is normal, around -1.32 with deviation 0.36, within 0.14 and 0.75.
    np.testing.assert_allclose(np.quantile(width, [0.1587, 0.5, 0.8413]), np.exp([-1.68, -1.32, -0.96]), rtol=0.04)
    assert (width.min(), width.max()) == (pytest.approx(0.14, rel=0.01), pytest.approx(0.75, rel=0.01))
    # sin(t + 1/5) + sin(t - 1/5) is 2 cos(1/5) sin(t), and what is constant is not in differences.
    change = np.diff(pressed, axis=1)
    np.testing.assert_allclose(change[:, 2:] + change[:, :-2], 2 * np.cos(0.2) * change[:, 1:-1], atol=1e-12)
    # Every phase is as frequent: a quarter of all sines are above sin 45 degrees, a quarter below its negative.
    first = (pressed[:, 0] / width - 1) / 0.25
    for sign in (-1, 1):
        for begun in (first, (pressed[:, 8] / width - 1) / 0.25):  # a quarter of a period on
            assert (sign * begun > 0.5**0.5).mean() == pytest.approx(0.25, abs=0.03)


@either_spread
def test_a_hand_moves_neighbouring_points_alike_and_is_more_or_less_steady(spread: float) -> None:
    points = np.broadcast_to([5.0, 14.0], (1000, 200, 2))
    moved = drawn._move(points, np.random.default_rng(0), spread)
    assert moved.shape == points.shape
    drift = moved - (0, 1)  # from the sheet's middle, 5 and 7, in units of 7 squares
    assert np.abs(drift.mean((0, 1))).max() < 0.005
    # Each is the sum of two of 0.065 times 0.3 to 1.4, of which the next has one.
    steadiness = drift.std((1, 2)) / (spread * 0.065 * 2**0.5)
    assert np.quantile(steadiness, [0.02, 0.5, 0.98]) == pytest.approx([0.31, 0.85, 1.38], abs=0.05)
    x, y = np.moveaxis(drift, 2, 0)
    together = (drift[:, 1:] * drift[:, :-1]).mean() / (drift**2).mean()
    assert together == pytest.approx(0.5, abs=0.02)
    assert (drift[:, 2:] * drift[:, :-2]).mean() / (drift**2).mean() == pytest.approx(0, abs=0.02)
    assert (x * y).mean() / (drift**2).mean() == pytest.approx(0, abs=0.02)


def test_curves_and_pens_are_scaled_so_that_the_ink_fills_the_box() -> None:
    """Ink reaches half a pen beyond the points where the pen is down, or was until there.

    The first pen goes from x = 0, 2 wide, to x = 4, 4 wide: its ink from -1 to 6, the middle of which is 2.5, and from
    -2 to 2 in height. The second goes down 10, 2 wide: 12 high. What comes next is far away, with the pen up.
    """
    curves = np.array([[(0.0, 0), (4, 0), (99, 99)], [(1, 5), (1, 15), (-99, 99)]])
    widths = np.array([[2.0, 4, 50], [2, 2, 50]])
    down = np.array([[True, False, False]] * 2)
    fitted, pens = drawn._fit(curves, widths, down)
    box, middle = drawn._BOX * drawn._SCALE - 2, drawn._SIDE * drawn._SCALE / 2  # a pixel on each side is Pillow's
    scale = np.array([box / 7, box / 12])
    expected = [[(-2.5, 0), (1.5, 0), (96.5, 99)], [(0, -5), (0, 5), (-100, 89)]]
    np.testing.assert_allclose(fitted, middle + expected * scale[:, None, None])
    np.testing.assert_allclose(pens, widths * scale[:, None])


def test_a_stroke_is_solid_from_end_to_end_and_round_there() -> None:
    """From the middle of pixel 6 to that of pixel 22, two pixels wide: its sides are a pixel from its curve."""
    ends = np.array([[(6.5, 14), (22.5, 14), (14, 26)]]) * drawn._SCALE
    [image] = drawn._rasterise(ends, np.full((1, 3), 2.0 * drawn._SCALE), np.array([[True, False, False]]))
    assert (image[13:15, 6:23] > 180).all()  # Pillow draws a pixel of the canvas too few, or too many, on a side
    assert not image[:12].any()
    assert not image[16:].any()
    ink = image.sum(dtype=float) / 255
    assert ink == pytest.approx(2 * 16 + np.pi, rel=0.15)


def bent(*moving: int, spread: float = 1) -> np.ndarray:
    """Return where MANY hands bring the points right, above, below and left of the middle, and the middle itself."""
    cross = np.array([(1.0, 0), (0, -1), (0, 1), (-1, 0), (0, 0)])
    return drawn._bend(np.broadcast_to(cross, (MANY, 5, 2)), Still(*moving), spread).transpose(1, 0, 2)


def test_a_still_hand_slants() -> None:
    np.testing.assert_allclose(bent()[:, 0], [(1, 0), (0.17, -1), (-0.17, 1), (-1, 0), (0, 0)], atol=1e-12)


def test_a_sheet_is_bent_by_slow_waves_of_its_own_each_way() -> None:
    wave = bent(0, 1, 2) - bent()  # on the right, above, below, on the left, in the middle
    wave[..., 0] += 0.17 * wave[..., 1]  # the slant, of the wave too
    # Amplitudes of deviation 0.14, 0.75 of it in a hand as steady as most, times sines, whose mean square is a half.
    height = 0.14 * 0.75
    np.testing.assert_allclose(wave.std((1,)), height / 2**0.5, rtol=0.06)
    assert np.abs(wave.mean(1)).max() < 0.01
    assert np.abs((wave[..., 0] * wave[..., 1]).mean(1)).max() < 0.001
    # Frequencies of deviation 2: after a step of 1 the mean product has fallen by exp(-2^2 / 2), after 2 by its fourth.
    assert (wave[:4] * wave[4]).mean() * 2 / height**2 == pytest.approx(np.exp(-2), abs=0.04)
    assert (wave[0] * wave[3]).mean() * 2 / height**2 == pytest.approx(np.exp(-8), abs=0.06)
    # One hand bends from 0.1 to 1.4 of it: the mean square is (1.4^3 - 0.1^3) / (3 (1.4 - 0.1)) = 0.703.
    bends = (bent(0, 1, 2, 3) - bent())[..., 1]
    assert bends.std() == pytest.approx(0.14 * 0.703**0.5 / 2**0.5, rel=0.05)
    # Its tails are longer than those of a hand that is always the same, whose fourth moment is 3 x 3/2 squares.
    assert (bends**4).mean() / (bends**2).mean() ** 2 > 1.2 * 4.5


@either_spread
def test_a_sheet_is_tapered_stretched_slanted_and_turned(spread: float) -> None:
    corners = np.broadcast_to([(1.0, 1), (1, -1)], (MANY, 2, 2))
    tapered = drawn._bend(corners, Still(4), spread).transpose(1, 0, 2)
    taper = tapered[:, :, 0] + 0.17 * tapered[:, :, 1] - 1  # the lower corner as far in as the upper one out
    np.testing.assert_allclose(taper[0], -taper[1], atol=1e-12)
    assert taper.std() == pytest.approx(0.12, rel=0.05)

    right, _, below, *_ = bent(5, spread=spread)
    is_uniform(np.log(right[:, 0]), -0.45 * spread, 0.45 * spread)
    np.testing.assert_allclose(below, [(-0.17, 1)] * MANY)

    right, _, below, *_ = bent(6, spread=spread)
    assert (-below[:, 0]).mean() == pytest.approx(0.17, abs=0.02)
    assert below[:, 0].std() == pytest.approx(0.3 * spread, rel=0.05)
    np.testing.assert_array_equal(right, [(1, 0)] * MANY)

    right, _, below, *_ = bent(7, spread=spread)
    angle = np.arctan2(right[:, 1], right[:, 0])
    is_uniform(angle, -0.3 * spread, 0.3 * spread)
    np.testing.assert_allclose(right, np.stack([np.cos(angle), np.sin(angle)], 1), atol=1e-12)
    slanted = np.stack([-0.17 * np.cos(angle) - np.sin(angle), -0.17 * np.sin(angle) + np.cos(angle)], 1)
    np.testing.assert_allclose(below, slanted, atol=1e-12)


@pytest.fixture
def inked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return where curves and pens go, in place of images."""
    seen = []

    def ink(curves: np.ndarray, down: np.ndarray, _: object) -> np.ndarray:
        seen.append((curves, down))
        return np.zeros((len(curves), 28, 28), np.uint8)

    monkeypatch.setattr(drawn, "_ink", ink)
    return seen


def test_rows_stand_side_by_side_on_one_line(inked: list) -> None:
    assert len(drawn._rows(3000, np.random.default_rng(0))) == 3000
    [(curves, down)] = inked
    assert len(curves) == 3000
    x, y = np.moveaxis(curves.reshape(len(curves), 4, -1, 2), 3, 0)
    pens = down.reshape(len(curves), 4, -1)
    lengths = pens.any(2).sum(1)
    np.testing.assert_allclose(np.bincount(lengths, minlength=5) / len(curves), [0, 0, 0.6, 0.25, 0.15], atol=0.05)
    assert (pens.any(2) == (np.arange(4) < lengths[:, None])).all()  # the first ones, without a gap
    left, right = np.where(pens, x, np.inf).min(2), np.where(pens, x, -np.inf).max(2)
    gaps = left[:, 1] - right[:, 0]
    assert gaps.mean() == pytest.approx(0.2, abs=0.03)
    assert gaps.std() == pytest.approx(0.2, rel=0.1)
    # Their middles stand on one line, give or take 0.12 and what styles and hands add.
    two = slice(None), slice(2)  # that every row has
    middle = (np.where(pens, y, np.inf).min(2)[two] + np.where(pens, y, -np.inf).max(2)[two]) / 2
    assert 0.12 < (middle - middle.mean()).std() < 0.3


def test_rows_are_signs_or_digits_some_with_a_bracket_or_a_sign(inked: list, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen, write = [], drawn._write
    monkeypatch.setattr(
        drawn, "_write", lambda table, styles, *rest: chosen.append(styles) or write(table, styles, *rest)
    )
    drawn._rows(800, np.random.default_rng(0))
    first = drawn._table(drawn._STYLES).first
    is_digit, is_opening = first[10] > chosen[0], (first[10] <= chosen[0]) & (chosen[0] < first[11])
    is_closing = (first[11] <= chosen[0]) & (chosen[0] < first[12])
    written = inked[0][1].reshape(800, 4, -1).any(2)
    kinds = [np.where(written, is_kind.reshape(800, 4), False) for is_kind in (is_digit, is_opening, is_closing)]
    digits, opening, closing = kinds
    last = written.sum(1) - 1
    assert not digits[:200].any()
    assert opening[200:300, 0].all()
    assert closing[range(300, 400), last[300:400]].all()
    assert (digits.sum(1)[200:500] == last[200:500]).all()
    mixed = (~digits & written)[400:500]
    assert set(mixed.argmax(1).tolist()) == {0, 1, 2, 3}
    signs = chosen[0].reshape(800, 4)[400:500][mixed]
    assert (signs[1::2] < first[13]).all()
    assert {*np.searchsorted(first, signs, "right")} == {13, 14, 15}  # arithmetic, letters and other signs
    assert (digits == written)[500:].all()


def test_signs_are_of_every_kind_and_half_arithmetic_or_letters_beyond_their_share(
    inked: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, write = [], drawn._write
    monkeypatch.setattr(
        drawn, "_write", lambda table, styles, *rest: chosen.append(styles) or write(table, styles, *rest)
    )
    drawn._signs(800, np.random.default_rng(0))
    [signs], [(curves, _)] = chosen, inked
    assert len(curves) == len(signs) == 800
    first = drawn._table(drawn._STYLES).first
    assert signs.min() >= first[10]
    of_each = np.histogram(signs, first[10:])[0]
    expected = 400 * np.diff(first[10:]) / (first[-1] - first[10]) + [0, 0, 100, 300, 0]
    np.testing.assert_allclose(of_each, expected, atol=40)  # four deviations of what is chosen evenly are at most 40


def test_a_fragment_is_what_a_slanted_cut_leaves_on_its_side(inked: list, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a circle of radius 1 around the middle, 0.4 of the way across are the points below 2 0.4 - 1 along it."""
    angle = np.linspace(0, 2 * np.pi, 360, endpoint=False) + 0.001
    circle = np.stack([np.cos(angle), np.sin(angle)], 1)

    def write(_: object, chosen: np.ndarray, __: object) -> tuple[np.ndarray, np.ndarray]:
        return np.tile(circle, (len(chosen), 1, 1)), np.ones((len(chosen), 360), bool)

    monkeypatch.setattr(drawn, "_write", write)
    drawn._fragments(200, Still())
    [(_, down)] = inked
    left, right = np.cos(angle) < -0.2, np.cos(angle) > 0.2
    assert all((row == left).all() or (row == right).all() for row in down)
    assert len(np.unique(down, axis=0)) == 2
    drawn._fragments(MANY, Still(0))
    turned = np.arctan2(*(inked[-1][1] @ circle).T[::-1])  # the middle of what is left
    turned = (turned + np.pi / 2) % np.pi - np.pi / 2
    assert turned.mean() == pytest.approx(0, abs=0.02)
    assert turned.std() == pytest.approx(0.2, rel=0.06)
    assert set((inked[-1][1].sum(1)).tolist()) <= set(range(155, 160))  # 2 arccos 0.2 is 157 degrees
    drawn._fragments(MANY, Still(1))
    is_uniform((1 - np.cos(np.deg2rad(inked[-1][1].sum(1) / 2))) / 2, 0.25, 0.55)


def test_a_round_outline_goes_once_around_on_six_waves_of_its_own_and_is_more_or_less_smooth() -> None:
    outlines = drawn._round(MANY, np.random.default_rng(0))
    turned = np.exp(2j * np.pi * np.arange(drawn._OUTLINE) / drawn._OUTLINE)
    np.testing.assert_allclose(outlines / np.abs(outlines), np.tile(turned, (MANY, 1)), atol=1e-12)
    waves = np.fft.rfft(np.log(np.abs(outlines))) * 2 / drawn._OUTLINE
    np.testing.assert_allclose(np.delete(waves, range(1, 7), axis=1), 0, atol=1e-12)
    # The mean square of 0.7 z u / w is 0.7^2 (1.2^3 - 0.2^3) / 3 / w^2, with z normal and u from 0.2 to 1.2.
    size = np.abs(waves[:, 1:7]) * np.arange(1, 7)
    np.testing.assert_allclose((size**2).mean(0), 0.7**2 * (1.2**3 - 0.2**3) / 3, rtol=0.08)
    # u is that of all six waves: the squares of two have the mean product of u^4, whose mean is (1.2^5 - 0.2^5) / 5.
    product = (size[:, :3] ** 2 * size[:, 3:] ** 2).mean()
    assert product == pytest.approx(0.7**4 * (1.2**5 - 0.2**5) / 5, rel=0.1)


def test_half_of_the_outlines_with_corners_are_symmetric_and_nearly_all_go_once_around() -> None:
    assert all(drawn._OUTLINE % corners == 0 for corners in drawn._CORNERS)
    outlines = drawn._angular(400, np.random.default_rng(0))
    assert outlines.shape == (400, drawn._OUTLINE)
    turns = np.angle(np.roll(outlines, -1, 1) / outlines).sum(1)
    assert np.isclose(turns, 2 * np.pi).mean() > 0.95  # a side may bow in beyond the middle
    # Points come in pairs, equally far from the middle, but for two on the axis.
    distances = np.sort(np.abs(outlines), 1).round(9)
    symmetric = (distances[:, 1:] == distances[:, :-1]).sum(1) >= drawn._OUTLINE // 2 - 1
    assert symmetric.mean() == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("corner", [True, False])
def test_a_pages_edge_is_neither_a_narrow_bar_nor_a_corner_at_the_top_right(corner: bool) -> None:
    rng = np.random.default_rng(0)
    either = SimpleNamespace(
        random=lambda size: np.full(size, 0.4 if corner else 0.6),
        choice=rng.choice,
        normal=rng.normal,
        uniform=rng.uniform,
    )
    inked = drawn._edges(400, either)[:, 4:24, 4:24] > 127
    if corner:  # above, left and right, and below
        ends = np.stack([inked[:, 0, 0], inked[:, 0, -1], inked[:, -1, 0], inked[:, -1, -1]], 1)
        kinds = {(True, True, True, False), (True, False, True, True), (False, True, True, True)}
        assert set(map(tuple, ends.tolist())) == kinds
    else:
        assert inked.mean((1, 2)).min() > 0.4
        assert inked.mean((1, 2)).max() < 0.6


def test_smooth_noise_fills_its_range_and_has_a_grain_of_its_own_each_way() -> None:
    noise = drawn._texture(400, 72, np.random.default_rng(0))
    assert noise.shape == (400, 72, 72)
    np.testing.assert_array_equal(noise.min((1, 2)), 0)
    np.testing.assert_array_equal(noise.max((1, 2)), 1)
    # White noise smoothed by the bell b correlates with the next pixel by sum b(d) b(d + 1) / sum b(d)^2. The grain is
    # from 0.4 to 6, every ratio as frequent: 0.4 15^q at the quantile q.
    apart = noise - noise.mean((1, 2), keepdims=True)
    power = (apart**2).mean((1, 2))
    down, across = (apart[:, 1:] * apart[:, :-1]).mean((1, 2)), (apart[..., 1:] * apart[..., :-1]).mean((1, 2))
    for alike in (down / power, across / power):
        for quantile in (0.05, 0.5, 0.95):
            bell = np.exp(-((np.arange(-30, 31) / (0.4 * 15**quantile)) ** 2) / 2)
            expected = (bell[1:] * bell[:-1]).sum() / (bell**2).sum()
            assert np.quantile(alike, quantile) == pytest.approx(expected, abs=0.08 if quantile < 0.9 else 0.01)
    assert abs(np.corrcoef(down / power, across / power)[0, 1]) < 0.2


@pytest.mark.parametrize("evenly", [False, True])
def test_styles_are_drawn_as_often_as_their_shares_say_or_evenly(monkeypatch, evenly):
    chosen, write = [], drawn._write
    monkeypatch.setattr(
        drawn, "_write", lambda table, styles, *rest: chosen.append(styles) or write(table, styles, *rest)
    )
    for seed in range(10):
        drawn._digit_block(1, [seed], evenly)
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


# The first four of each kind: the mean of each 4x4 pixels, in hex, a seventeenth of it. Published figures are of these.
SKETCHES = {
    "digits": (
        "000000000038b2005f940004e8000abf80002a91000000000",
        "000000000264000350a000567d00000090000037000004000",
        "0000000018b00003760000789b7000003c000598100000000",
        "0000000014561001329300003a00001c20000b40000050000",
    ),
    "digits in all styles": (
        "00000000047a2000b310000bc8000020a0000469000002000",
        "00000000002800004ce1000c8f00005a900008a1000020000",
        "000000004660001207000004a81000013a000089200000000",
        "000000000793000022c00003990000a950000067000001100",
    ),
    "letters": (
        "000000007314000560900038091000a165000188700000000",
        "0000000000607000623a003b8c300912a0004064000000000",
        "0000030000006003002500a30710009370000061000000000",
        "0000000018840006105500605850060107002636100003000",
    ),
    "signs": (
        "00000000002950002a7200099500008200003800000000000",
        "0000000007140000198000008600000150000281000000000",
        "0000000001b90000a274000939500299b000273c500000000",
        "000000000005200069b200007440002700004860000000000",
    ),
    "rows": (
        "0000000008000008fae200b5bf900004ed000008600000000",
        "0000000000000000015400886550014113000000000000000",
        "00000000321000059e80002a58200430cd000003200000000",
        "0000000000000001043300477790023334000000000000000",
    ),
    "fragments": (
        "0000000000600000620000019000007100001877100000000",
        "00000000000140005bb700aa35100ddfd2001530000000000",
        "0000000000520000005000004200003400000062000000000",
        "000000003a000001100000001100008ee40000ac300000000",
    ),
    "scribbles": (
        "00000000100000024120000175300004b7000000200000000",
        "00000000062210019e800003d400000900000530000000000",
        "0000000004c000009f20000efe2002df700005e4000000000",
        "0000000000000000001500013500035742000000000000000",
    ),
    "blots": (
        "0000000002d50002cfb0007fff7001dfe10006d4000000000",
        "00000000029940008ddc007dcd900aedc3003aa5000000000",
        "0000000000000000eed0002fff2009eee9000000000000000",
        "0000000003b70000bdd0004eed3004edd40008cb000000000",
    ),
    "things": (
        "000000005000000d100000dc10000a4d87003035100000000",
        "00000000000a300028d1000bee3002ee80005bc1000000000",
        "0000000000420000057600258c40000060000001000000000",
        "0000000006c80002ee700009fe3000dec2000d91000000000",
    ),
    "edges": (
        "00000000fffff00fffff00aaabb0000000000000000000000",
        "00000000fff2000ffe0000ffa0000ff60000ff30000000000",
        "00000000fffff00f611000f600000f500000f500000000000",
        "00000000fffff00fffff0036aef0000002000000000000000",
    ),
    "noise": (
        "00000000001db0008841001a22000100740076aa000000000",
        "0000000048950005610000243100000000000000000000000",
        "00000000dffdc00cdf9600f3fa000e2fe70054fad00000000",
        "0000000090000007200000000000001000000000000000000",
    ),
}


@pytest.mark.parametrize("kind", SKETCHES)
def test_what_is_drawn_is_what_it_was(kind: str) -> None:
    """What changes a picture here makes other images of the same name: those of ``builtin``, and those mixed in."""
    kinds = {each.__name__[1:]: each for each, _ in drawn._KINDS}
    if kind in kinds:
        images = kinds[kind](4, np.random.default_rng(1))
    elif kind == "letters":
        images, _ = drawn.draw_letters(4, seed=1)
    else:
        images, _ = drawn.draw(4, seed=1, evenly="all styles" in kind)
    means = images.reshape(4, 7, 4, 7, 4).mean((2, 4)).reshape(4, 49)
    sketched = [[17 * int(digit, 16) for digit in sketch] for sketch in SKETCHES[kind]]
    np.testing.assert_allclose(means, sketched, rtol=0, atol=9.5)  # rounding leaves 8.5; arithmetic may differ by some


def digest_of_all() -> str:
    digits, letters = drawn.draw(2000, 1)[0], drawn.draw_letters(1000, 1)[0]
    return hashlib.sha256(np.concatenate([digits, letters, drawn.draw_nondigits(1000, 3)])).hexdigest()


def test_an_older_processor_draws_the_same() -> None:
    """Without the vectors that NumPy chooses by the processor, and with the plainest products of matrices."""
    plain = {"NPY_DISABLE_CPU_FEATURES": " ".join(__cpu_dispatch__), "OPENBLAS_CORETYPE": "Prescott"}
    # Ignored are warnings of kinds of vectors that this processor does not have anyway.
    script = "from tests.test_drawn import digest_of_all; print(digest_of_all())"
    line = [sys.executable, "-W", "ignore", "-c", script]
    other = subprocess.run(line, env=environment(**plain), capture_output=True, text=True, check=True)
    assert other.stdout.strip() == digest_of_all()


def test_an_angular_outline_is_about_as_far_from_the_middle_symmetric_or_not() -> None:
    outlines = drawn._angular(500, np.random.default_rng(0))
    assert 0.3 < np.abs(outlines).mean(1).min() < np.abs(outlines).mean(1).max() < 2
