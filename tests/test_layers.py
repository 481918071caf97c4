"""What every layer promises, over a table of all of them; and each against its formula written out."""

import copy
import pickle
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from lenet5_cli.config import Config, read
from lenet5_cli.engine import RBF, SIGMOID, TANH, Conv, Dense, Layer, Subsampling, base
from lenet5_cli.engine.network import LeNet5
from lenet5_cli.errors import LeNet5Error

RNG = np.random.default_rng(7)
SPARSE = np.array([[True, False], [False, True], [True, True], [True, False]])
CODES = np.random.default_rng(1).integers(0, 2, (4, 6))

# name: (layer of a dtype, shape of one image in, shape of one image out)
LAYERS: dict[str, tuple[Callable[[type], Layer], tuple[int, ...], tuple[int, ...]]] = {
    "conv": (lambda dtype: Conv((2, 8, 6), 3, 4, rng=RNG, dtype=dtype), (2, 8, 6), (4, 6, 4)),
    "conv, tile": (lambda dtype: Conv((2, 8, 6), 3, 4, rng=RNG, tile=2, dtype=dtype), (2, 8, 6), (4, 3, 2, 2, 2)),
    "conv, of tiles": (lambda dtype: Conv((2, 8, 6), 3, 4, rng=RNG, dtype=dtype), (2, 4, 3, 2, 2), (4, 6, 4)),
    "conv, whole image": (lambda dtype: Conv((2, 5, 5), 5, 3, rng=RNG, dtype=dtype), (2, 5, 5), (3, 1, 1)),
    "conv, sparse": (
        lambda dtype: Conv((2, 8, 6), 3, 4, rng=RNG, tile=2, connections=SPARSE, activation=TANH, dtype=dtype),
        (2, 8, 6),
        (4, 3, 2, 2, 2),
    ),
    "subsampling": (lambda dtype: Subsampling((3, 6, 4), 2, rng=RNG, dtype=dtype), (3, 6, 4), (3, 3, 2)),
    "subsampling, of tiles": (
        lambda dtype: Subsampling((3, 6, 4), 2, rng=RNG, dtype=dtype),
        (3, 3, 2, 2, 2),
        (3, 3, 2),
    ),
    "dense": (lambda dtype: Dense((5,), 4, rng=RNG, dtype=dtype), (5,), (4,)),
    "dense, maps": (lambda dtype: Dense((5, 1, 1), 4, rng=RNG, dtype=dtype), (5, 1, 1), (4,)),
    "dense, tanh": (lambda dtype: Dense((5,), 4, rng=RNG, activation=TANH, dtype=dtype), (5,), (4,)),
    "rbf": (lambda dtype: RBF(CODES, dtype=dtype), (6,), (4,)),
}


def layer_of_a_network(preset: str, place: int) -> Callable[[type], Layer]:
    return lambda dtype: LeNet5(Config(**read(preset) | {"seed": 1, "dtype": np.dtype(dtype).name})).layers[place]


def y_of(layer: Layer) -> tuple[int, ...]:
    """Return the shape in which a layer gives the y of an image."""
    k, *size = layer.output_shape
    t = getattr(layer, "tile", 1)
    return (k, *(side // t for side in size), t, t) if t > 1 else layer.output_shape


# Every layer of the report's network and of the paper's: a new one is held to the contract as soon as it is in there.
for preset in ("report", "lecun1998"):
    for place, layer in enumerate(LeNet5(Config(**read(preset))).layers):
        name = f"{preset}-{layer.name}"
        LAYERS[name] = (layer_of_a_network(preset, place), layer.input_shape, y_of(layer))

every_layer = pytest.mark.parametrize(("make", "x_shape", "y_shape"), LAYERS.values(), ids=LAYERS)
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def normal(*shape: int, dtype: type = np.float64) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)


@every_dtype
@every_layer
def test_contract(make: Callable[[type], Layer], x_shape: tuple, y_shape: tuple, dtype: type) -> None:
    layer = make(dtype)
    params = {name: value.copy() for name, value in layer.params.items()}
    arrays = {name: id(value) for name, value in layer.params.items()}
    x, dy = normal(3, *x_shape, dtype=dtype), normal(3, *y_shape, dtype=dtype)
    x_before, dy_before = x.copy(), dy.copy()
    y = layer.forward(x)
    dx = layer.backward(dy)
    assert y.shape == (3, *y_shape)
    assert dx.shape == x.shape
    assert y.dtype == dx.dtype == dtype
    assert layer.grads.keys() == layer.params.keys()
    assert all(grad.shape == params[name].shape and grad.dtype == dtype for name, grad in layer.grads.items())
    np.testing.assert_array_equal(x, x_before)
    np.testing.assert_array_equal(dy, dy_before)
    for name, value in layer.params.items():
        np.testing.assert_array_equal(value, params[name])
        assert id(value) == arrays[name]
    whole = np.rint(4 * x)  # the same numbers in either type
    y = layer.forward(whole).copy()
    again = layer.forward(whole.astype(np.float32 if dtype is np.float64 else np.float64))
    assert again.dtype == dtype
    np.testing.assert_array_equal(again, y)


@every_dtype
@every_layer
def test_a_batch_is_its_images_one_by_one(
    make: Callable[[type], Layer], x_shape: tuple, y_shape: tuple, dtype: type
) -> None:
    layer = make(dtype)
    x, dy = normal(5, *x_shape, dtype=dtype), normal(5, *y_shape, dtype=dtype)
    y = layer.forward(x).copy()
    dx = layer.backward(dy).copy()
    grads = {name: grad.copy() for name, grad in layer.grads.items()}
    close = {"rtol": 0, "atol": 2000 * np.finfo(dtype).eps}
    sums = {name: np.zeros_like(grad) for name, grad in grads.items()}
    for image in range(5):
        one = slice(image, image + 1)
        np.testing.assert_allclose(layer.forward(x[one]), y[one], **close)
        np.testing.assert_allclose(layer.backward(dy[one]), dx[one], **close)
        for name, grad in layer.grads.items():
            sums[name] += grad
    for name, grad in grads.items():
        np.testing.assert_allclose(sums[name], grad, **close)


@every_layer
def test_gradients_along_a_random_direction(make: Callable[[type], Layer], x_shape: tuple, y_shape: tuple) -> None:
    """The slope of <y, dy> along a direction, by central difference, is the inner product of gradient and direction.

    The difference of step h is off by about h^2 (third derivatives near 1) and eps / h: 1e-10 each at h = 1e-5.
    """
    layer = make(np.float64)
    h = 1e-5
    x, dy = normal(2, *x_shape), normal(2, *y_shape)
    points = {"x": x, **layer.params}
    directions = {name: np.random.default_rng(5).standard_normal(value.shape) for name, value in points.items()}
    for name, value in layer.params.items():
        directions[name] *= value != 0  # a connection that is not there has no slope

    def value(shift: float) -> float:
        moved = {name: point + shift * directions[name] for name, point in points.items()}
        kept = {name: param.copy() for name, param in layer.params.items()}
        for name, param in layer.params.items():
            param[...] = moved[name]
        result = float((layer.forward(moved["x"]) * dy).sum())
        for name, param in layer.params.items():
            param[...] = kept[name]
        return result

    slope = (value(h) - value(-h)) / (2 * h)
    layer.forward(x)
    gradients = {"x": layer.backward(dy), **layer.grads}
    product = sum((gradients[name] * directions[name]).sum() for name in points)
    assert slope == pytest.approx(product, rel=1e-7, abs=1e-7)


@every_layer
def test_work_arrays_follow_the_batch(make: Callable[[type], Layer], x_shape: tuple, y_shape: tuple) -> None:
    """A short last batch, then a full one again: no number of an earlier batch stays behind."""
    layer, fresh = make(np.float64), make(np.float64)
    for name, param in fresh.params.items():
        param[...] = layer.params[name]
    x, dy = normal(4, *x_shape), normal(4, *y_shape)
    for images in (4, 1, 4):
        layer.forward(x[:images] + images)
        layer.backward(dy[:images])
    np.testing.assert_array_equal(layer.forward(x), fresh.forward(x))
    np.testing.assert_array_equal(layer.backward(dy), fresh.backward(dy))


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))], ids=["copy", "pickle"]
)
@every_layer
def test_a_copy_works_on_arrays_of_its_own(
    make: Callable[[type], Layer], x_shape: tuple, y_shape: tuple, copied: Callable[[Layer], Layer]
) -> None:
    layer = make(np.float64)
    x, dy = normal(4, *x_shape), normal(4, *y_shape)
    y, dx = layer.forward(x), layer.backward(dy)
    expected = y.copy(), dx.copy()
    twin = copied(layer)
    np.testing.assert_array_equal(twin.forward(x), expected[0])
    np.testing.assert_array_equal(twin.backward(dy), expected[1])
    for param in twin.params.values():
        param[...] = 1
    twin.forward(-x)
    twin.backward(-dy)
    np.testing.assert_array_equal(y, expected[0])
    np.testing.assert_array_equal(dx, expected[1])


@every_layer
def test_wrong_shape_is_refused(make: Callable[[type], Layer], x_shape: tuple, y_shape: tuple) -> None:  # noqa: ARG001
    layer = make(np.float32)
    layer.name = "c9"
    expected = ", ".join(map(str, ("n", *layer.input_shape)))
    with pytest.raises(LeNet5Error) as error:
        layer.forward(np.zeros((3, 1, 1, 2)))
    assert str(error.value) == f"c9: x has shape (3, 1, 1, 2); expected ({expected})"


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def windows(x: np.ndarray, size: int) -> np.ndarray:
    """x[n,c,i+u,j+v] as [n,c,i,j,u,v]."""
    return np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(2, 3))


@pytest.mark.parametrize("tile", [1, 2])
def test_conv_is_the_reports_einsum(tile: int) -> None:
    layer = Conv((2, 8, 6), 3, 4, rng=RNG, tile=tile, dtype=np.float64)
    weight, bias = layer.params.values()
    x, dy = normal(3, 2, 8, 6), normal(3, 4, 6, 4)
    y = sigmoid(np.einsum("ncijuv,kcuv->nkij", windows(x, 3), weight) + bias[:, None, None])
    dz = dy * y * (1 - y)
    padded = np.pad(dz, ((0, 0), (0, 0), (2, 2), (2, 2)))  # kernel - 1 on every side
    dx = np.einsum("nkijuv,kcuv->ncij", windows(padded, 3), weight[:, :, ::-1, ::-1])

    def tiled(a: np.ndarray) -> np.ndarray:
        return a if tile == 1 else a.reshape(3, 4, 3, 2, 2, 2).transpose(0, 1, 2, 4, 3, 5)

    np.testing.assert_allclose(layer.forward(x), tiled(y), atol=1e-14)
    np.testing.assert_allclose(layer.backward(tiled(dy)), dx, atol=1e-13)
    np.testing.assert_allclose(layer.grads["weight"], np.einsum("ncijuv,nkij->kcuv", windows(x, 3), dz), atol=1e-12)
    np.testing.assert_allclose(layer.grads["bias"], np.einsum("nkij->k", dz), atol=1e-12)


def test_subsampling_is_the_reports_einsum() -> None:
    layer = Subsampling((3, 6, 4), 2, rng=RNG, dtype=np.float64)
    weight, bias = layer.params.values()
    x, dy = normal(2, 3, 6, 4), normal(2, 3, 3, 2)
    split = x.reshape(2, 3, 3, 2, 2, 2)  # n c i u j v
    y = sigmoid(np.einsum("nciujv,c->ncij", split, weight) + bias[:, None, None])
    dz = dy * y * (1 - y)
    dx = np.einsum("ncij,c->ncij", dz, weight).repeat(2, axis=2).repeat(2, axis=3)
    np.testing.assert_allclose(layer.forward(x), y, rtol=1e-13)
    np.testing.assert_allclose(layer.backward(dy), dx, rtol=1e-12)
    np.testing.assert_allclose(layer.grads["weight"], np.einsum("nciujv,ncij->c", split, dz), rtol=1e-12)
    np.testing.assert_allclose(layer.grads["bias"], np.einsum("ncij->c", dz), rtol=1e-12)


def test_subsampling_refuses_a_size_that_leaves_pixels_over() -> None:
    with pytest.raises(LeNet5Error, match=r"^a map of 7x6 cannot be divided into windows of 2x2$"):
        Subsampling((3, 7, 6), 2, rng=RNG)


def test_dense_is_the_reports_einsum() -> None:
    layer = Dense((5,), 4, rng=RNG, dtype=np.float64)
    weight, bias = layer.params.values()
    assert weight.shape == (5, 4)
    x, dy = normal(3, 5), normal(3, 4)
    y = sigmoid(np.einsum("nc,ck->nk", x, weight) + bias)
    dz = dy * y * (1 - y)
    np.testing.assert_allclose(layer.forward(x), y, rtol=1e-13)
    np.testing.assert_allclose(layer.backward(dy), np.einsum("nk,ck->nc", dz, weight), rtol=1e-12)
    np.testing.assert_allclose(layer.grads["weight"], np.einsum("nc,nk->ck", x, dz), rtol=1e-12)


def test_rbf_by_hand() -> None:
    layer = RBF(np.array([[1, 0], [0, 1], [1, 1]]), dtype=np.float64)
    # 0.5 and 0.25 from the codes: .5 .25 | -.5 -.75... squared and summed, negated:
    # (0.5-1)^2 + (0.25-0)^2 = 0.3125; (0.5-0)^2 + (0.25-1)^2 = 0.8125; (0.5-1)^2 + (0.25-1)^2 = 0.8125
    np.testing.assert_array_equal(layer.forward(np.array([[0.5, 0.25]])), [[-0.3125, -0.8125, -0.8125]])
    # dx = -2 sum_k dy_k (x - code_k): with dy = (1, 0, 2), -2 (1 (-0.5) + 2 (-0.5)) = 3 and -2 (0.25 + 2 (-0.75)) = 2.5
    np.testing.assert_array_equal(layer.backward(np.array([[1.0, 0.0, 2.0]])), [[3.0, 2.5]])
    assert layer.size == 0


@every_dtype
def test_sigmoid_never_overflows(dtype: type) -> None:
    z = np.array([-np.finfo(dtype).max, -1000, -1, 0, 1, 1000, np.finfo(dtype).max], dtype)
    SIGMOID.apply(z)
    assert z.dtype == dtype
    np.testing.assert_allclose(z, [0, 0, 0.2689414213699951, 0.5, 0.7310585786300049, 1, 1], atol=np.finfo(dtype).eps)


def test_initial_parameters_are_uniform_between_minus_one_and_one() -> None:
    weight = Dense((1000,), 100, rng=np.random.default_rng(0)).params["weight"]
    assert -1 <= weight.min() < -0.999
    assert 0.999 < weight.max() < 1
    assert abs(weight.mean()) < 5 / np.sqrt(3 * weight.size)  # five standard errors; the variance is 1/3
    assert weight.var() == pytest.approx(1 / 3, rel=0.02)


def test_sparse_connections_stay_away() -> None:
    layer = Conv((2, 8, 6), 3, 4, rng=RNG, connections=SPARSE)
    assert layer.size == 5 * 9 + 4  # five kernels and four biases
    layer.forward(normal(3, 2, 8, 6, dtype=np.float32))
    layer.backward(normal(3, 4, 6, 4, dtype=np.float32))
    for values in (layer.params["weight"], layer.grads["weight"]):
        np.testing.assert_array_equal(values[~SPARSE], 0)
        assert (values[SPARSE] != 0).all()


@every_dtype
def test_tanh_is_the_papers(dtype: type) -> None:
    z = np.array([-1000, -1, 0, 1, 1000], dtype)
    TANH.apply(z)
    np.testing.assert_allclose(z, [-1.7159, -1, 0, 1, 1.7159], atol=1e-5)  # f(1) = 1, f(-1) = -1


@pytest.mark.parametrize(("init", "spread"), [("uniform", 3**-0.5), ("normal", 2 / 30), ("lecun", 2.4 / 900 / 3**0.5)])
def test_first_weights_have_their_spread(init: str, spread: float) -> None:
    layer = Dense((900,), 1000, rng=np.random.default_rng(0), init=init)
    assert layer.params["weight"].std() == pytest.approx(spread, rel=0.02)
    assert abs(layer.params["weight"].mean()) < 0.01 * spread
    bias = layer.params["bias"]
    assert bias.std() == pytest.approx(0 if init == "normal" else spread, rel=0.05)
    assert abs(bias.mean()) <= 0.1 * spread


def test_a_subsampling_of_the_papers_weights_counts_the_pixels_of_its_windows() -> None:
    layer = Subsampling((2000, 2, 2), 2, rng=np.random.default_rng(0), init="lecun")
    for param in layer.params.values():
        assert param.std() == pytest.approx(2.4 / 4 / 3**0.5, rel=0.05)
        assert 0.59 < abs(param).max() <= 0.6


def test_a_subsampling_of_normal_weights_begins_in_the_middle_of_the_sigmoid() -> None:
    """A window of which half the inputs are 1 sums to size^2 / 2, and z is 0 there: the same in every map."""
    layer = Subsampling((3, 6, 9), 3, rng=np.random.default_rng(0), init="normal")
    np.testing.assert_array_equal(layer.params["weight"], [1, 1, 1])
    np.testing.assert_array_equal(layer.params["bias"], [-4.5, -4.5, -4.5])


def test_a_subsampling_reads_tiles_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """As plain maps they would give the same, after a copy."""
    monkeypatch.setattr(base, "untiled", lambda _: pytest.fail("copied"))
    layer = Subsampling((3, 6, 4), 2, rng=RNG)
    layer.forward(np.zeros((5, 3, 3, 2, 2, 2), np.float32))
    assert layer.backward(np.zeros((5, 3, 3, 2), np.float32)).shape == (5, 3, 3, 2, 2, 2)


def test_a_layer_that_no_network_names_is_called_by_its_kind() -> None:
    with pytest.raises(LeNet5Error, match=r"^Dense: x has shape \(3, 4\); expected \(n, 5\)$"):
        Dense((5,), 4, rng=RNG).forward(np.zeros((3, 4)))


def test_a_pickle_holds_no_work_arrays() -> None:
    layer = Dense((5,), 4, rng=RNG)
    before = len(pickle.dumps(layer))
    layer.forward(np.zeros((10_000, 5), np.float32))
    assert len(pickle.dumps(layer)) == before


def test_distances_to_the_codes_take_no_memory_each_time() -> None:
    layer, x = RBF(CODES), np.zeros((10_000, 6), np.float32)  # of which there are four times as many differences
    layer.forward(x)
    tracemalloc.start()
    layer.forward(x)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < x.nbytes


def test_what_was_refused_does_not_change_what_comes_next() -> None:
    """Of refused tiles, the next plain maps got their gradient as tiles."""
    layer = Dense((2, 4, 4), 3, rng=RNG)
    layer.forward(np.zeros((2, 2, 4, 4), np.float32))
    with pytest.raises(LeNet5Error):
        layer.forward(np.zeros((2, 3, 2, 2, 2, 2), np.float32))
    layer.forward(np.zeros((2, 2, 4, 4), np.float32))
    assert layer.backward(np.zeros((2, 3), np.float32)).shape == (2, 2, 4, 4)
