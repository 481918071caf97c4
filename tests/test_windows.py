"""im2col, col2im and the kernels of a tile against their formulas."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lenet5_cli.engine import windows
from lenet5_cli.engine.windows import Kernels, Windows


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.data())
def test_im2col_copies_what_its_formula_says(c: int, stride: int, size: int, images: int, data: st.DataObject) -> None:
    h, w = (data.draw(st.integers(size, 8)) for _ in "hw")
    x = np.random.default_rng(0).standard_normal((c, h, w, images))
    windows = Windows((c, h, w), size, stride)
    gathered = np.empty((*windows.pixels.shape, images))
    windows.im2col(x, out=gathered)
    gathered = gathered.reshape(c, size, size, *gathered.shape[1:])
    for i, j in np.ndindex(gathered.shape[3:5]):
        top, left = stride * i, stride * j
        np.testing.assert_array_equal(gathered[:, :, :, i, j], x[:, top : top + size, left : left + size])


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.data())
def test_spread_is_the_gradient_of_a_product_with_windows(c: int, stride: int, size: int, data: st.DataObject) -> None:
    """<kernels^T im2col(x), dz> = <x, spread(dz)> for every x and dz; integers, so that the two are equal exactly."""
    h, w = (data.draw(st.integers(size, 8)) for _ in "hw")
    rng = np.random.default_rng(0)
    windows = Windows((c, h, w), size, stride)
    (r, i, j), p, q, k, n = windows.pixels.shape, 2, 1, 3, 2
    x = rng.integers(-9, 10, (c, h, w, n)).astype(float)
    kernels, dz = np.zeros((r, p, q, k)), np.zeros((p, q, k, i, j, n))
    gathered, dx = np.empty((r, i, j, n)), np.empty((c, h, w, n))
    windows.im2col(x, out=gathered)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lenet5_cli.engine.windows.CACHE", data.draw(st.integers(0, 10_000)))  # one map at a time or more
        spread = windows.spread(kernels, dz, out=dx)
    for _ in range(2):
        kernels[...], dz[...] = rng.integers(-9, 10, kernels.shape), rng.integers(-9, 10, dz.shape)
        spread()
        assert np.einsum("rpqk,rijn,pqkijn->", kernels, gathered, dz) == (x * dx).sum()


def test_kernels_of_a_tile_are_its_outputs_kernels_each_in_its_place() -> None:
    weight, bias = np.arange(1.0, 55).reshape(3, 2, 3, 3), np.array([7.0, 8, 9])
    kernels = Kernels(weight, bias, 2)
    kernels.fill()
    window = kernels.matrix[:-1].reshape(2, 4, 4, 2, 2, 3)
    for p, q, k in np.ndindex(2, 2, 3):
        np.testing.assert_array_equal(window[:, p : p + 3, q : q + 3, p, q, k], weight[k])
        assert kernels.matrix[-1, p, q, k] == bias[k]
        assert abs(kernels.matrix[:, p, q, k]).sum() == weight[k].sum() + bias[k]  # 0 everywhere else
    before = weight.copy(), bias.copy()
    kernels.sum()
    np.testing.assert_array_equal(weight, 4 * before[0])
    np.testing.assert_array_equal(bias, 4 * before[1])


def test_entries_of_a_pixel_are_in_order_and_no_more_than_windows_have_it() -> None:
    """Their order is that of the additions, and so decides the last bits."""
    windows = Windows((2, 6, 6), 3, 1)
    entries = windows.entries.reshape(2, 9, 36)
    none = windows.pixels.size
    assert ((np.diff(entries, axis=1) > 0) | (entries[:, 1:] == none)).all()
    for pixel in range(72):
        found = entries[pixel // 36, :, pixel % 36]
        np.testing.assert_array_equal(found[found < none], np.flatnonzero(windows.pixels == pixel))


@pytest.mark.parametrize(("cache", "products"), [(2 * 5184, 2), (2 * 5184 - 1, 4), (1, 4), (10**6, 1)])
def test_a_gradient_is_spread_over_as_many_maps_at_a_time_as_the_cache_holds(
    cache: int, products: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A map takes 9 entries of 6 x 6 pixels of 2 images of 8 bytes, 5184."""
    made = []
    monkeypatch.setattr(windows, "CACHE", cache)
    monkeypatch.setattr(windows, "contraction", lambda *_, **__: made.append(1))
    Windows((4, 6, 6), 3, 1).spread(np.zeros((36, 1, 1, 2)), np.zeros((1, 1, 2, 4, 4, 2)), out=np.zeros((4, 6, 6, 2)))
    assert len(made) == products
