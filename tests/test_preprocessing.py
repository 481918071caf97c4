"""The report's preprocessing."""

import numpy as np
import pytest

from lenet5_cli.engine.preprocessing import prepare


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
