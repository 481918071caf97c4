"""The seven layers together."""

import copy
import os
import pickle
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lenet5_cli import LeNet5
from lenet5_cli.config import Config
from lenet5_cli.data import glyphs
from lenet5_cli.engine import RBF
from lenet5_cli.engine.losses import cross_entropy, softmax
from lenet5_cli.engine.network import LECUN1998
from lenet5_cli.engine.preprocessing import prepare
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.storage.checkpoint import Checkpoint, write

IMAGES = np.random.default_rng(3).integers(0, 256, (70, 28, 28), dtype=np.uint8)


def test_layers_and_parameter_counts_of_the_paper() -> None:
    network = LeNet5(Config(seed=0))
    assert [(layer.name, layer.size) for layer in network.layers] == [
        ("c1", 156),  # 6 (5 5 + 1)
        ("s2", 12),  # 6 2
        ("c3", 2416),  # 16 (6 5 5 + 1)
        ("s4", 32),  # 16 2
        ("c5", 48120),  # 120 (16 5 5 + 1)
        ("f6", 10164),  # 84 (120 + 1)
        ("output", 0),
    ]
    assert network.parameters.size == 60_900
    assert [layer.output_shape for layer in network.layers] == [
        (6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5), (120, 1, 1), (84,), (10,),
    ]  # fmt: skip


def test_the_papers_table_leaves_60_000_parameters() -> None:
    network = LeNet5(Config(seed=0, connections="lecun1998"))
    sizes = {layer.name: layer.size for layer in network.layers}
    assert sizes["c3"] == 1516  # 60 kernels of 25, and 16 biases
    assert sum(sizes.values()) == 60_000
    readers = LECUN1998.sum(axis=1)
    assert sorted(readers) == [3] * 6 + [4] * 9 + [6]
    np.testing.assert_array_equal(LECUN1998.sum(axis=0), 10)


def test_parameters_and_gradients_are_one_vector_and_its_views() -> None:
    network = LeNet5(Config(seed=0))
    network.parameters[:] = np.arange(60_900)
    network.gradients[:] = np.arange(60_900)
    for role in ("params", "grads"):
        values = [value.ravel() for layer in network.layers for value in getattr(layer, role).values()]
        np.testing.assert_array_equal(np.concatenate(values), np.arange(60_900))


def test_what_is_assigned_to_parameters_and_gradients_is_the_layers_own() -> None:
    """It took the place of their vector, and the network learned nothing more."""
    network = LeNet5(Config(seed=0))
    network.parameters = network.parameters * 0 + 0.5
    network.gradients = np.full(60_900, 2.0)
    network.parameters -= 0.1 * network.gradients
    for layer in network.layers:
        for role, value in (("params", 0.3), ("grads", 2)):
            for array in getattr(layer, role).values():
                np.testing.assert_allclose(array, value, rtol=1e-6)
    for name in ("parameters", "gradients"):
        with pytest.raises(LeNet5Error, match=rf"^{name}: shape \(3,\); expected \(60900,\)$"):
            setattr(network, name, np.zeros(3))


PAPER = {"init": "lecun", "input": "lecun", "activation": "tanh", "connections": "lecun1998", "loss": "discriminative"}


@pytest.mark.parametrize("settings", [{}, PAPER, {"init": "normal", "input": "grey"}], ids=["report", "paper", "grey"])
def test_gradient_of_the_whole_network_along_a_random_direction(settings: dict[str, str]) -> None:
    network = LeNet5(Config(seed=1, dtype="float64", **settings))
    labels = np.array([3, 1, 4])
    start, h = network.parameters.copy(), 1e-6
    direction = np.random.default_rng(0).standard_normal(start.size) * (start != 0)

    def loss(shift: float) -> float:
        network.parameters[:] = start + shift * direction
        return network.loss(network.scores(IMAGES[:3]), labels)

    slope = (loss(h) - loss(-h)) / (2 * h)
    network.parameters[:] = start
    assert network.loss_and_gradient(IMAGES[:3], labels) == pytest.approx(loss(0))
    assert slope == pytest.approx(network.gradients @ direction, rel=1e-6)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-4), ("float64", 1e-12)])
def test_equal_to_pytorch(dtype: str, tolerance: float) -> None:
    """Scores, loss and every gradient, from the same parameters in PyTorch's own layers."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    functional = torch.nn.functional
    network = LeNet5(Config(seed=2, dtype=dtype))
    params = [
        torch.tensor(value.copy(), requires_grad=True) for layer in network.layers for value in layer.params.values()
    ]
    c1, b1, s2, t2, c3, b3, s4, t4, c5, b5, f6, b6 = params
    x, labels = prepare(IMAGES[:6], dtype=dtype), np.arange(6)
    y = torch.sigmoid(functional.conv2d(torch.tensor(x.copy()), c1, b1))
    y = torch.sigmoid(4 * functional.avg_pool2d(y, 2) * s2[:, None, None] + t2[:, None, None])
    y = torch.sigmoid(functional.conv2d(y, c3, b3))
    y = torch.sigmoid(4 * functional.avg_pool2d(y, 2) * s4[:, None, None] + t4[:, None, None])
    y = torch.sigmoid(functional.conv2d(y, c5, b5)).flatten(1)
    y = torch.sigmoid(y @ f6 + b6)
    scores = -((y[:, None] - torch.tensor(network.codes.astype(dtype))) ** 2).sum(2)
    loss = functional.cross_entropy(scores, torch.tensor(labels))
    loss.backward()
    our_scores = network.forward(x)
    our_loss, dscores = cross_entropy(our_scores, labels)
    network.backward(dscores)
    np.testing.assert_allclose(our_scores, scores.detach().numpy(), rtol=tolerance, atol=tolerance)
    assert our_loss == pytest.approx(loss.item(), rel=tolerance)
    theirs = np.concatenate([param.grad.numpy().ravel() for param in params])
    np.testing.assert_allclose(network.gradients, theirs, rtol=0, atol=tolerance * abs(theirs).max())


def test_the_same_seed_draws_the_same_network_and_another_seed_another() -> None:
    np.testing.assert_array_equal(LeNet5(Config(seed=5)).parameters, LeNet5(Config(seed=5)).parameters)
    assert not np.array_equal(LeNet5(Config(seed=5)).parameters, LeNet5(Config(seed=6)).parameters)
    np.testing.assert_array_equal(
        LeNet5(Config(seed=5)).parameters, LeNet5(Config(seed=5, dtype="float64")).parameters.astype("f4")
    )


def test_scores_of_pictures_are_those_of_the_prepared_images_one_by_one() -> None:
    network = LeNet5(Config(seed=0, dtype="float64"))
    scores = network.scores(IMAGES)
    assert scores.shape == (70, 10)
    for image in (0, 31, 32, 69):
        one = network.forward(prepare(IMAGES[image : image + 1], dtype=np.float64))
        np.testing.assert_allclose(scores[image], one[0], rtol=1e-12)
    np.testing.assert_allclose(network.probabilities(IMAGES), softmax(scores), rtol=1e-12)
    assert network.scores(IMAGES[:0]).shape == (0, 10)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_load_gives_back_the_network_that_was_saved(dtype: str, tmp_path: Path) -> None:
    codes, names = glyphs.read("letters")
    sheet = glyphs.Sheet(codes[::-1].copy(), names[::-1])
    network = LeNet5(Config(seed=3, dtype=dtype), sheet)
    write(tmp_path / "model.pkl", Checkpoint(network.pairs(), sheet))
    loaded = LeNet5.load(os.fspath(tmp_path / "model.pkl"))
    assert loaded.dtype == dtype
    np.testing.assert_array_equal(loaded.parameters, network.parameters)
    assert loaded.names == tuple("ZYXWVUTSRQPONMLKJIHGFEDCBA")
    np.testing.assert_array_equal(loaded.scores(IMAGES), network.scores(IMAGES))


def test_a_network_of_the_papers_settings_comes_back_from_its_checkpoint(tmp_path: Path) -> None:
    network = LeNet5(Config(seed=3, **PAPER))
    write(tmp_path / "model.pkl", Checkpoint(network.pairs(), network.sheet, PAPER))
    loaded = LeNet5.load(tmp_path / "model.pkl")
    assert all(getattr(loaded.config, name) == value for name, value in PAPER.items())
    np.testing.assert_array_equal(loaded.scores(IMAGES), network.scores(IMAGES))


def test_the_bundled_model_has_a_name() -> None:
    assert np.array_equal(LeNet5.load("bundled").parameters, LeNet5.load().parameters)


def test_a_name_is_no_config() -> None:
    with pytest.raises(LeNet5Error) as error:
        LeNet5("quick")  # type: ignore[arg-type]
    hint = "train takes a preset's name, LeNet5.load a checkpoint's"
    assert str(error.value) == f"config: of type str; expected a Config; {hint}"


def test_settings_in_a_checkpoint_are_checked(tmp_path: Path) -> None:
    network = LeNet5(Config(seed=3))
    write(tmp_path / "model.pkl", Checkpoint(network.pairs(), network.sheet, {"activation": "relu"}))
    with pytest.raises(LeNet5Error, match=r"model.pkl: config: activation: 'relu'; expected sigmoid or tanh$"):
        LeNet5.load(tmp_path / "model.pkl")


@pytest.mark.parametrize("kind", ["binary", "grey"])
def test_a_step_by_hand_takes_pictures_in_every_form(kind: str) -> None:
    network, labels = LeNet5(Config(seed=1, input=kind)), np.arange(3)
    x, loss = network.prepare(IMAGES[:3]), network.loss_and_gradient(IMAGES[:3], labels)
    for form in (IMAGES[:3] / 255, IMAGES[:3].reshape(3, 784)):
        np.testing.assert_array_equal(network.prepare(form), x)
        assert network.loss_and_gradient(form, labels) == loss
    with pytest.raises(LeNet5Error, match=r"^pictures of float64 from 0\.0 to 255\.0; expected uint8, or floats"):
        network.prepare(IMAGES[:3].astype(float))


@pytest.mark.parametrize("settings", [{}, {"activation": "tanh", "connections": "lecun1998", "input": "lecun"}])
def test_maps_are_what_each_layer_gives(settings: dict[str, str]) -> None:
    network = LeNet5(Config(seed=1, dtype="float64", **settings))
    pictures = IMAGES[:3]
    maps = network.maps(pictures)
    assert list(maps) == ["input", "c1", "s2", "c3", "s4", "c5", "f6", "output"]
    assert [maps[layer.name].shape for layer in network.layers] == [
        (3, *layer.output_shape) for layer in network.layers
    ]
    np.testing.assert_array_equal(maps["input"], network.prepare(pictures))
    for name, below in (("c1", "input"), ("c3", "s2")):  # the two that come as windows of four
        layer = next(layer for layer in network.layers if layer.name == name)
        windows = np.lib.stride_tricks.sliding_window_view(maps[below], (5, 5), axis=(2, 3))
        y = np.einsum("ncijuv,kcuv->nkij", windows, layer.params["weight"]) + layer.params["bias"][:, None, None]
        layer.activation.apply(y)
        np.testing.assert_allclose(maps[name], y)
    np.testing.assert_array_equal(maps["output"], network.scores(pictures))


def test_maps_of_no_picture_are_empty() -> None:
    maps = LeNet5(Config(seed=1)).maps(IMAGES[:0])
    assert maps["input"].shape == (0, 1, 32, 32)
    assert all(len(y) == 0 for y in maps.values())


def test_threads_that_share_a_network_get_what_one_gets() -> None:
    """Layers have one set of work arrays: what two threads wrote into it at once was the answer to neither."""
    network = LeNet5(Config(seed=1))
    parts = [IMAGES[start : start + 40] for start in range(20)]
    alone = [(network.scores(part), network.maps(part)["c1"]) for part in parts]
    with ThreadPoolExecutor(4) as pool:
        shared = list(pool.map(lambda part: (network.scores(part), network.maps(part)["c1"]), parts))
    for (scores, c1), (expected, expected_c1) in zip(shared, alone, strict=True):
        np.testing.assert_array_equal(scores, expected)
        np.testing.assert_array_equal(c1, expected_c1)


def test_threads_that_take_gradients_take_turns_too() -> None:
    """What another thread read meanwhile was wrong."""
    network, labels = LeNet5(Config(seed=1)), np.arange(40) % 10
    expected = network.scores(IMAGES[:20])
    loss = network.loss_and_gradient(IMAGES[20:60], labels)
    with ThreadPoolExecutor(1) as pool:
        losses = pool.submit(lambda: {network.loss_and_gradient(IMAGES[20:60], labels) for _ in range(60)})
        while not losses.done():
            np.testing.assert_array_equal(network.scores(IMAGES[:20]), expected)
        assert losses.result() == {loss}


def test_maps_stay_when_the_network_goes_on() -> None:
    network = LeNet5(Config(seed=1))
    maps = network.maps(IMAGES[:3])
    before = {name: value.copy() for name, value in maps.items()}
    network.maps(IMAGES[3:6])
    for name, value in maps.items():
        np.testing.assert_array_equal(value, before[name])


def test_layers_follow_their_parameters_when_a_layer_is_added() -> None:
    network, x = LeNet5(Config(seed=0)), np.ones((1, 1, 32, 32), np.float32)
    network.forward(x)
    network.add("again", RBF(np.zeros((3, 10))))
    network.parameters[...] = 0
    np.testing.assert_array_equal(network.layers[0].forward(x), 0.5)
    network.backward(np.ones_like(network.forward(x)))
    assert all(np.shares_memory(grad, network.gradients) for layer in network.layers for grad in layer.grads.values())
    assert network.gradients.any()


@pytest.mark.parametrize("batch_size", [None, 3, 12])
def test_the_gradient_of_a_chunk_is_its_summand_in_that_of_the_batch(batch_size: int | None) -> None:
    network, labels = LeNet5(Config(seed=0, dtype="float64")), np.array([3, 1, 4])
    _, dscores = cross_entropy(network.forward(network.prepare(IMAGES[:3])), labels)
    network.backward(dscores)
    alone = network.gradients.copy()
    network.loss_and_gradient(IMAGES[:3], labels, batch_size)
    np.testing.assert_allclose(network.gradients, alone * 3 / (batch_size or 3), rtol=1e-12)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([3, -1, 4]), "label -1 at index 1, counted from 0; expected 0 to 255"),
        (np.array([3, 1]), "labels of shape (2,) for 3 pictures; expected one for each"),
        (np.eye(10)[:3], "labels of shape (3, 10) for 3 pictures; expected one for each"),
        (np.array([True, False, True]), "labels of bool; expected integers, the indices of their glyphs"),
    ],
    ids=["negative", "two", "one-hot", "bool"],
)
def test_a_step_is_taken_with_labels_alone(labels: np.ndarray, message: str) -> None:
    """A label of -1 was learned as the last class."""
    network = LeNet5(Config(seed=0))
    with pytest.raises(LeNet5Error, match=f"^{re.escape(message)}$"):
        network.loss_and_gradient(IMAGES[:3], labels)
    listed: Any = [3, 1, 4]
    assert network.loss_and_gradient(IMAGES[:3], listed) == network.loss_and_gradient(IMAGES[:3], np.array(listed))


def test_of_a_teacher_the_probabilities_are_learned_and_not_the_labels() -> None:
    network, teacher = LeNet5(Config(seed=0)), LeNet5(Config(seed=1, input="grey"))
    _, dscores = cross_entropy(network.forward(network.prepare(IMAGES[:3])), teacher.probabilities(IMAGES[:3]))
    network.backward(dscores)
    expected = network.gradients.copy()
    network.teacher = teacher
    losses = {network.loss_and_gradient(IMAGES[:3], np.full(3, label)) for label in (0, 9)}
    np.testing.assert_array_equal(network.gradients, expected)
    assert len(losses) == 1
    twin = pickle.loads(pickle.dumps(network))  # as other processes get it
    assert {twin.loss_and_gradient(IMAGES[:3], np.zeros(3, int))} == losses


def test_a_teacher_that_answers_elsewhere_too_is_waited_for() -> None:
    network, teacher = LeNet5(Config(seed=0)), LeNet5(Config(seed=1))
    network.teacher = teacher
    expected = network.loss_and_gradient(IMAGES[:20], np.zeros(20, int))
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(lambda: [teacher.scores(IMAGES[20:40]) for _ in range(60)])
        while not done.done():
            assert network.loss_and_gradient(IMAGES[:20], np.zeros(20, int)) == expected


def test_of_no_pictures_there_is_nothing_to_prepare() -> None:
    assert LeNet5(Config(seed=0)).prepare(IMAGES[:0]).shape == (0, 1, 32, 32)


def test_a_loaded_network_has_the_settings_that_made_it() -> None:
    assert LeNet5.load().config.seed == 1


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))],
    ids=["copy", "deepcopy", "pickle"],
)
@pytest.mark.parametrize("used", [False, True])
def test_a_copy_of_a_network_learns_by_itself(copied: Callable[[LeNet5], LeNet5], used: bool) -> None:
    network, labels = LeNet5(Config(seed=0, **PAPER)), np.arange(60) % 10
    if used:
        network.loss_and_gradient(IMAGES[:60], labels)
    twin = copied(network)
    before = network.parameters.copy()
    losses = []
    for _ in range(3):
        losses.append(twin.loss_and_gradient(IMAGES[:60], labels))
        twin.parameters -= 0.01 * twin.gradients
    assert losses[0] > losses[1] > losses[2]
    np.testing.assert_array_equal(network.parameters, before)
    network.loss_and_gradient(IMAGES[:60], labels)
    network.parameters -= 0.01 * network.gradients
    assert network.loss_and_gradient(IMAGES[:60], labels) == losses[1]


def test_a_network_is_shown_as_the_table_of_its_layers() -> None:
    assert repr(LeNet5(Config(maps="6,10,84"))).splitlines() == [
        "LeNet5, float32",
        "  c1      Conv         1x32x32 -> 6x28x28         156",
        "  s2      Subsampling  6x28x28 -> 6x14x14          12",
        "  c3      Conv         6x14x14 -> 10x10x10      1,510",  # 10 (6 5 5 + 1)
        "  s4      Subsampling  10x10x10 -> 10x5x5          20",
        "  c5      Conv         10x5x5 -> 84x1x1        21,084",  # 84 (10 5 5 + 1)
        "  f6      Dense        84x1x1 -> 84             7,140",  # 84 (84 + 1)
        "  output  RBF          84 -> 10                     0",
        "                                               29,922",
    ]


def test_a_checkpoint_is_read_by_the_shape_that_it_says(tmp_path: Path) -> None:
    network = LeNet5(Config(seed=3, maps="6,10,120"))
    write(tmp_path / "model.pkl", Checkpoint(network.pairs(), network.sheet, {"maps": "6,10,120"}))
    loaded = LeNet5.load(tmp_path / "model.pkl")
    np.testing.assert_array_equal(loaded.scores(IMAGES), network.scores(IMAGES))
    write(tmp_path / "model.pkl", Checkpoint(network.pairs(), network.sheet))
    with pytest.raises(LeNet5Error) as refused:
        LeNet5.load(tmp_path / "model.pkl")
    there = f"{tmp_path / 'model.pkl'}: c3.weight: shape (10, 6, 5, 5); expected (16, 6, 5, 5)"
    assert str(refused.value) == there
    write(tmp_path / "model.pkl", Checkpoint(network.pairs()[:5], network.sheet, {"maps": "6,10,120"}))
    with pytest.raises(LeNet5Error, match=r"5 pairs \[weight, bias\]; expected 6, of c1 s2 c3 s4 c5 f6$"):
        LeNet5.load(tmp_path / "model.pkl")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pictures_are_prepared_in_the_type_of_the_network(dtype: str) -> None:
    """In another, their scaling would be rounded otherwise."""
    x = LeNet5(Config(seed=0, dtype=dtype, input="lecun")).prepare(IMAGES[:2])
    assert x.dtype == dtype
    np.testing.assert_array_equal(x, prepare(IMAGES[:2], "lecun", dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scores_that_are_not_finite_are_told_with_their_type(dtype: str) -> None:
    network = LeNet5(Config(seed=0, dtype=dtype))
    network.parameters[...] = np.nan
    said = f"^the scores are not finite: the parameters are too large for {dtype}$"
    with pytest.raises(LeNet5Error, match=said):
        network.scores(IMAGES[:1])
