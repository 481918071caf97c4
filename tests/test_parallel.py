"""Several workers: the same bits as one, and nothing left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lenet5_cli import LeNet5
from lenet5_cli.engine.losses import cross_entropy
from lenet5_cli.engine.network import PIECE, pieces
from lenet5_cli.engine.preprocessing import prepare
from lenet5_cli.training.parallel import CAPACITY, Workers
from tests.conftest import bars

SPLIT = bars(300)


def until(condition: Callable[[], object]) -> None:
    """Wait for what another process does."""
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("it did not happen within ten seconds")


def start_helpers(workers: Workers) -> None:
    workers.scores(SPLIT.images)
    until(lambda: workers._board.ready.sum() == workers._count - 1)


@pytest.mark.parametrize("images", [0, 1, 24, 25, 33, 99, 100, 101, CAPACITY])
def test_pieces_are_the_whole_batch_in_nearly_equal_parts(images: int) -> None:
    parts = pieces(images)
    sizes = [part.stop - part.start for part in parts]
    assert [i for part in parts for i in range(images)[part]] == list(range(images))
    assert len(parts) <= 1 or len(parts) % 2 == 0
    assert max(sizes, default=0) <= PIECE
    assert max(sizes, default=0) - min(sizes, default=0) <= 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("images", [1, 40, 300])
def test_the_gradient_is_that_of_the_mean_loss(images: int, dtype: type) -> None:
    network, twin = LeNet5(seed=0, dtype=dtype), LeNet5(seed=0, dtype=dtype)
    labels = SPLIT.labels[:images]
    loss, dscores = cross_entropy(twin.forward(prepare(SPLIT.images[:images], dtype=dtype)), labels)
    twin.backward(dscores)
    with Workers(network) as workers:
        assert workers.differentiate(SPLIT.images[:images], labels) == pytest.approx(loss * images, rel=1e-5)
    atol = 100 * np.finfo(dtype).eps * abs(twin.gradients).max()
    np.testing.assert_allclose(network.gradients, twin.gradients, rtol=0, atol=atol)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_any_number_of_workers_finds_the_same_bits(dtype: type) -> None:
    found = []
    for count in (1, 2, 3):
        network = LeNet5(seed=0, dtype=dtype)
        with Workers(network, count) as workers:
            start_helpers(workers)
            scores = workers.scores(SPLIT.images)
            loss_sum = workers.differentiate(SPLIT.images, SPLIT.labels)
        found.append((loss_sum, scores.tobytes(), network.gradients.tobytes()))
    assert found[0] == found[1] == found[2]


def test_more_images_than_the_board_holds() -> None:
    split = bars(CAPACITY + 50)
    network, twin = LeNet5(seed=0, dtype=np.float64), LeNet5(seed=0, dtype=np.float64)
    with Workers(network) as workers:
        np.testing.assert_array_equal(workers.scores(split.images)[CAPACITY:], twin.scores(split.images[CAPACITY:]))
        loss_sum = workers.differentiate(split.images, split.labels)
    sums = np.zeros_like(twin.gradients)
    for part in (slice(0, CAPACITY), slice(CAPACITY, None)):
        with Workers(twin) as workers:
            loss_sum -= workers.differentiate(split.images[part], split.labels[part])
        sums += twin.gradients * len(split.labels[part])
    np.testing.assert_allclose(network.gradients, sums / len(split.labels), atol=1e-15)
    assert loss_sum == pytest.approx(0, abs=1e-8)


def test_a_helper_that_is_killed_changes_nothing() -> None:
    network, twin = LeNet5(seed=0), LeNet5(seed=0)
    with Workers(twin) as alone:
        alone.differentiate(SPLIT.images, SPLIT.labels)
    with Workers(network, 2) as workers:
        start_helpers(workers)
        (helper,) = workers._helpers
        helper._process.kill()
        helper._process.wait()
        workers.differentiate(SPLIT.images, SPLIT.labels)
        assert workers._helpers == []
    assert network.gradients.tobytes() == twin.gradients.tobytes()


def test_helpers_end_with_the_block_and_small_batches_start_none() -> None:
    with Workers(LeNet5(seed=0), 2) as workers:
        workers.differentiate(SPLIT.images[:8], SPLIT.labels[:8])
        assert workers._helpers == []
        start_helpers(workers)
        process = workers._helpers[0]._process
        assert process.poll() is None
    assert process.poll() is not None


@pytest.mark.skipif(os.name != "posix", reason="helpers need POSIX")
def test_helpers_end_when_their_parent_is_killed() -> None:
    code = """
import sys, time, numpy as np
from lenet5_cli import LeNet5
from lenet5_cli.training.parallel import Workers
with Workers(LeNet5(seed=0), 2) as workers:
    images = np.zeros((100, 28, 28), np.uint8)
    workers.scores(images)
    while not workers._board.ready.any():
        time.sleep(0.01)
    workers.scores(images)
    print(workers._helpers[0]._process.pid, flush=True)
    time.sleep(60)
"""
    root = Path(__file__).parent.parent
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=root) as parent:
        helper = int(parent.stdout.readline())
        os.kill(helper, 0)
        parent.send_signal(signal.SIGKILL)

    def gone() -> bool:
        try:
            return Path(f"/proc/{helper}/stat").read_text(encoding="utf-8").split(")")[1].split()[0] == "Z"
        except OSError:
            return True

    until(gone)
