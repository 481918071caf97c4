"""How digits and signs are written: shares of 100, and strokes that can be drawn."""

import numpy as np

from lenet5_cli.data import drawn, styles


def test_the_shares_of_a_digits_styles_add_up():
    for digit in styles.DIGITS:
        assert sum(share for share, _ in digit) == 100
        assert len({strokes for _, strokes in digit}) == len(digit)


def test_no_sign_is_there_twice_or_a_digit_too():
    every = [*(strokes for group in drawn._STYLES for strokes in group), *styles.SILHOUETTES]
    assert len(set(every)) == len(every)


def test_every_sign_is_drawn_within_its_box():
    table = drawn._table(drawn._STYLES[10:])
    images = drawn._ink(
        *drawn._write(table, np.arange(table.first[-1]), np.random.default_rng(0)), np.random.default_rng(0)
    )
    assert images.any((1, 2)).all()
    assert not images[:, :4].any()
    assert not images[:, :, :4].any()
    assert not images[:, -4:].any()
    assert not images[:, :, -4:].any()
