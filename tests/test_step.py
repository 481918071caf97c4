"""A batch on several cores: the same bits on any number of them."""

from types import SimpleNamespace

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from lenet5_cli import LeNet5
from lenet5_cli.config import Config
from lenet5_cli.data.augmentation import distort, draw
from lenet5_cli.engine.losses import cross_entropy
from lenet5_cli.engine.network import CHUNK, chunks
from lenet5_cli.engine.preprocessing import prepare
from lenet5_cli.training import parallel
from lenet5_cli.training import step as step_module
from lenet5_cli.training.step import CAPACITY, Step
from tests.conftest import bars

SPLIT = bars(300)

both_types = pytest.mark.parametrize("dtype", ["float32", "float64"])


@pytest.mark.parametrize("images", [0, 1, 24, 25, 33, 99, 100, 101, CAPACITY])
def test_chunks_are_the_whole_batch_in_nearly_equal_parts(images: int) -> None:
    parts = chunks(images)
    sizes = [part.stop - part.start for part in parts]
    assert [i for part in parts for i in range(images)[part]] == list(range(images))
    assert len(parts) <= 1 or len(parts) % 2 == 0
    assert max(sizes, default=0) <= CHUNK
    assert max(sizes, default=0) - min(sizes, default=0) <= 1


@both_types
@pytest.mark.parametrize("distorted", [False, True])
@pytest.mark.parametrize("images", [1, 40, 300])
def test_the_gradient_is_that_of_the_mean_loss(images: int, distorted: bool, dtype: str) -> None:
    network, twin = (LeNet5(Config(seed=0, dtype=dtype)) for _ in range(2))
    labels = SPLIT.labels[:images]
    distortions = draw("elastic", images, np.random.default_rng(1)) if distorted else None
    pictures = distort(SPLIT.images[:images], distortions) if distorted else SPLIT.images[:images]
    loss, dscores = cross_entropy(twin.forward(prepare(pictures, dtype=dtype)), labels)
    twin.backward(dscores)
    with Step(network) as step:
        assert step.loss_and_gradient(SPLIT.images[:images], labels, distortions) == pytest.approx(loss, rel=1e-5)
    atol = 100 * np.finfo(dtype).eps * abs(twin.gradients).max()
    np.testing.assert_allclose(network.gradients, twin.gradients, rtol=0, atol=atol)


@both_types
def test_any_number_of_cores_finds_the_same_bits(dtype: str) -> None:
    found = []
    for threads in (1, 2, 3):
        network = LeNet5(Config(seed=0, dtype=dtype))
        with Step(network, threads) as step:
            step.pool.wait_until_ready()
            scores = step.scores(SPLIT.images)
            loss = step.loss_and_gradient(SPLIT.images, SPLIT.labels)
            network.parameters[...] *= 1.5  # the processes follow
            again = step.loss_and_gradient(SPLIT.images, SPLIT.labels)
            assert len(step.pool.processes) == threads - 1  # none is lost, whose chunks the first would compute
        found.append((loss, again, scores.tobytes(), network.gradients.tobytes()))
    assert found[0] == found[1] == found[2]


def test_more_images_than_the_buffer_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    capacity = 512  # of a small buffer
    monkeypatch.setattr("lenet5_cli.training.step.CAPACITY", capacity)
    monkeypatch.setattr("lenet5_cli.training.step.HELD", len(chunks(capacity)))
    split = bars(capacity + 50)
    network, twin = (LeNet5(Config(seed=0, dtype="float64")) for _ in range(2))
    with Step(network) as step:
        # In other chunks, and so to rounding.
        np.testing.assert_allclose(step.scores(split.images)[capacity:], twin.scores(split.images[capacity:]), 1e-13)
        loss_sum = step.loss_and_gradient(split.images, split.labels) * len(split.labels)
    sums = np.zeros_like(twin.gradients)
    for part in (slice(0, capacity), slice(capacity, None)):
        with Step(twin) as step:
            loss_sum -= step.loss_and_gradient(split.images[part], split.labels[part]) * len(split.labels[part])
        sums += twin.gradients * len(split.labels[part])
    np.testing.assert_allclose(network.gradients, sums / len(split.labels), atol=1e-15)
    assert loss_sum == pytest.approx(0, abs=1e-8)


def test_a_small_buffer_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for room, held in ((step_module.ROOM, step_module.HELD), (1, 4)):
        monkeypatch.setattr(step_module, "ROOM", room)
        network = LeNet5(Config(seed=0))
        with Step(network) as step:
            loss, scores = step.loss_and_gradient(SPLIT.images, SPLIT.labels), step.scores(SPLIT.images)
            assert step.pool.buffer.gradients.shape == (held, network.gradients.size)
        found.append((loss, scores.tobytes(), network.gradients.tobytes()))
    assert found[0] == found[1]
    assert len(chunks(len(SPLIT.labels))) > 4


def test_the_buffer_of_the_largest_network_is_small_enough_for_numpy() -> None:
    parameters = np.empty(2**22)  # those of --maps 256,256,256 are fewer
    network = SimpleNamespace(
        dtype=parameters.dtype, parameters=parameters, gradients=parameters, codes=np.empty((128, 84))
    )
    with Step(network) as step:  # type: ignore[type-var]
        assert step.pool.work.layout["gradients"].shape == (4, 2**22)


def test_small_batches_start_no_processes() -> None:
    network = LeNet5(Config(seed=0))
    with Step(network, 2) as step:
        step.loss_and_gradient(SPLIT.images[:8], SPLIT.labels[:8])
        np.testing.assert_array_equal(step.scores(SPLIT.images[:8]), network.scores(SPLIT.images[:8]))
        assert "buffer" not in vars(step.pool)


@both_types
def test_scores_have_the_type_of_the_network_and_end_at_the_last_image(dtype: str) -> None:
    network = LeNet5(Config(seed=0, dtype=dtype))
    for images in (8, 300):
        with Step(network) as step:
            scores = step.scores(SPLIT.images[:images])
        assert scores.dtype == network.dtype
        np.testing.assert_allclose(scores, network.scores(SPLIT.images[:images]), rtol=1e-4)


def test_a_process_takes_up_the_parameters_of_the_first() -> None:
    own, other = LeNet5(Config(seed=0)), LeNet5(Config(seed=1))
    with Step(own) as step, Step(other) as there:
        step.loss_and_gradient(SPLIT.images, SPLIT.labels)
        there.pool.work.begin(step.pool.buffer)
    np.testing.assert_array_equal(other.parameters, own.parameters)


def test_blas_has_one_thread_until_a_block_ends() -> None:
    def blas() -> set[int]:
        return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}

    parallel._blas.cache_clear()  # since it was asked, a library may have brought another BLAS
    with threadpool_limits(2, "blas"):
        before = blas()
        with Step(LeNet5()):
            assert blas() == {1}
        assert blas() == before
