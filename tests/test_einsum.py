"""The fast roads compute what their einsum strings say."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lenet5_cli.engine import einsum
from lenet5_cli.engine.einsum import contraction, images_first, images_last

SIZES = dict(zip("rpqkcijn", (75, 2, 2, 4, 3, 3, 6, 7), strict=True))
STRINGS = [
    "rpqk,rijn->pqkijn",
    "rijn,pqkijn->rpqk",
    "rpqk,pqkijn->rijn",
    "ck,cn->kn",
    "cn,kn->ck",
    "ck,kn->cn",
    "nk,kc->nc",
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("images", [1, 7])
@pytest.mark.parametrize("subscripts", STRINGS)
def test_contraction_is_einsum_of_what_the_arrays_then_hold(subscripts: str, images: int, dtype: type) -> None:
    rng = np.random.default_rng(0)
    operands, result = subscripts.split("->")
    sizes = SIZES | {"n": images}
    a, b = (np.empty([sizes[letter] for letter in letters], dtype) for letters in operands.split(","))
    out = np.empty([sizes[letter] for letter in result], dtype)
    compute = contraction(subscripts, a, b, out=out)
    terms = a.size * b.size // out.size
    for _ in range(2):
        a[...], b[...] = rng.standard_normal(a.shape), rng.standard_normal(b.shape)
        compute()
        reference = np.einsum(subscripts, a.astype(np.float64), b.astype(np.float64))
        np.testing.assert_allclose(out, reference, rtol=0, atol=np.finfo(dtype).eps * (10 + terms))


@given(st.integers(1, 5000), st.sampled_from(["kn,cn->kc", "nk,nc->kc", "kn,nc->kc", "nk,cn->kc"]))
def test_a_sum_of_any_length_is_complete(terms: int, subscripts: str) -> None:
    sizes = {"n": terms, "k": 2, "c": 3}
    a, b = (np.zeros([sizes[letter] for letter in letters]) for letters in subscripts[:5].split(","))
    found = np.empty((2, 3))
    compute = contraction(subscripts, a, b, out=found)
    a[...], b[...] = np.arange(2.0 * terms).reshape(a.shape), 1
    compute()
    np.testing.assert_allclose(found, np.einsum(subscripts, a, b), rtol=1e-12)


@pytest.mark.parametrize("terms", [20011, 20000])
def test_a_sum_of_a_prime_number_of_terms_takes_no_more_memory(terms: int) -> None:
    """It was summed in as many blocks of one term, each of which had a sum of its own."""
    a, b, found = np.ones((terms, 100)), np.ones((terms, 30)), np.empty((100, 30))
    tracemalloc.start()
    compute = contraction("nk,nc->kc", a, b, out=found)
    compute()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2**20
    assert (found == terms).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("small", [1, 3000])
@pytest.mark.parametrize("images", [16, 47])
@pytest.mark.parametrize("subscripts", STRINGS)
def test_a_product_in_pieces_is_the_whole_product(
    subscripts: str, images: int, small: int, dtype: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pieces of more multiplications than ``small``: of either side of the result, whatever its length."""
    monkeypatch.setattr("lenet5_cli.engine.einsum.SMALL", small)
    test_contraction_is_einsum_of_what_the_arrays_then_hold(subscripts, images, dtype)


@pytest.mark.parametrize("terms", [7, 5000])
def test_contraction_writes_into_a_transposed_matrix(terms: int) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, terms)), rng.standard_normal((3, terms))
    out = np.empty((3, 2)).T
    contraction("kn,cn->kc", a, b, out=out)()
    np.testing.assert_allclose(out, a @ b.T, atol=1e-11)


@pytest.mark.parametrize("terms", [7, 1000, 5000])
def test_a_product_takes_no_memory_each_time(terms: int) -> None:
    a, b, out = np.ones((16, terms)), np.ones((terms, 64)), np.empty((16, 64))
    compute = contraction("kn,nc->kc", a, b, out=out)
    compute()
    tracemalloc.start()
    compute()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < out.nbytes


def test_contraction_refuses_memory_that_is_not_a_matrix() -> None:
    """A copy would be of what the array holds now, or be written in vain."""
    with pytest.raises(ValueError, match="copy"):
        contraction("kij,cij->kc", np.ones((2, 4, 4))[:, :, :2], np.ones((3, 4, 2)), out=np.ones((2, 3)))


@pytest.mark.parametrize("subscripts", ["kc,kc->kc", "kcn,kn->cn", "ckc,cn->kn", "kc,kn->nc", "k,c->kc"])
def test_contraction_refuses_what_is_not_one_product(subscripts: str) -> None:
    with pytest.raises(ValueError, match="not one matrix product"):
        contraction(subscripts, np.ones((2, 2)), np.ones((2, 2)), out=np.ones((2, 2)))


def test_image_axis_moves_without_a_copy() -> None:
    x = np.arange(24.0).reshape(2, 3, 4)
    assert images_last(x).shape == (3, 4, 2)
    assert np.shares_memory(images_first(images_last(x)), x)
    np.testing.assert_array_equal(images_first(images_last(x)), x)


@pytest.mark.parametrize(
    ("subscripts", "k", "n", "c", "road"),
    [
        ("kn,nc->kc", 2, 1024, 3, "whole"),
        ("kn,nc->kc", 2, 1025, 3, "in blocks"),
        ("kn,nc->kc", 2, 10, 50, "whole"),  # a thousand multiplications
        ("kn,nc->kc", 3, 10, 50, "in pieces"),
        ("kn,nc->kc", 50, 10, 3, "in pieces"),
        ("kn,nc->kc", 2, 20, 31, "whole"),  # no piece would be of two registers
        ("kn,nc->kc", 2, 20, 32, "in pieces"),
        ("kn,cn->kc", 3, 10, 50, "whole"),  # of rows that are not in memory as they are read
    ],
)
def test_the_road_is_chosen_by_the_size(
    subscripts: str, k: int, n: int, c: int, road: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(einsum, "SMALL", 1000)
    monkeypatch.setattr(einsum, "_in_pieces", lambda *_: "in pieces")
    monkeypatch.setattr(einsum, "_sum_of_blocks", lambda *_: "in blocks")
    sizes = {"k": k, "n": n, "c": c}
    a, b = (np.ones([sizes[letter] for letter in letters]) for letters in subscripts[:5].split(","))
    found = einsum.contraction(subscripts, a, b, out=np.empty((k, c)))
    assert (found if isinstance(found, str) else "whole") == road
