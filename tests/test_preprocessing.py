"""The report's preprocessing."""

import numpy as np
import pytest

from lenet5_cli.preprocessing import binarize


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pixels_from_40_on_are_1_and_two_pixels_of_0_surround_them(dtype: type) -> None:
    images = np.zeros((3, 28, 28), np.uint8)
    images[1, 0, 0], images[1, 27, 27], images[2, 5, 7] = 40, 255, 39
    x = binarize(images, dtype)
    assert x.shape == (3, 1, 32, 32)
    assert x.dtype == dtype
    assert np.argwhere(x).tolist() == [[1, 0, 2, 2], [1, 0, 29, 29]]
    assert x.max() == 1
