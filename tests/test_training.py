"""The report's training: the step by hand, which images, what is counted, what stops it."""

from dataclasses import replace

import numpy as np
import pytest

from lenet5_cli import LeNet5
from lenet5_cli.config import Config
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.losses import cross_entropy
from lenet5_cli.metrics import Tally
from lenet5_cli.network import PIECE
from lenet5_cli.optim import SGD, exponential
from lenet5_cli.preprocessing import binarize
from lenet5_cli.training import batches, choose, evaluate, fit, step
from lenet5_cli.workers import Workers
from tests.conftest import bars

SPLIT = bars(300)
CONFIG = Config(epochs=2, samples_per_epoch=60, seed=4)


def test_sgd_step_by_hand() -> None:
    parameters, gradients = np.array([1.0, 2.0]), np.array([10.0, -4.0])
    SGD(0.5).step(parameters, gradients)
    np.testing.assert_array_equal(parameters, [-4, 4])  # 1 - 0.5 10, 2 + 0.5 4
    np.testing.assert_array_equal(gradients, [10, -4])


def test_learning_rate_decays_after_each_epoch() -> None:
    assert [exponential(0.5, 0.95, epoch) for epoch in (1, 2, 3)] == pytest.approx([0.5, 0.475, 0.45125])
    assert exponential(0.5, 0, 1) == 0.5
    assert exponential(0.5, 0, 2) == 0


def test_step_goes_down_the_gradient_of_the_mean_loss() -> None:
    network, twin = LeNet5(seed=0, dtype=np.float64), LeNet5(seed=0, dtype=np.float64)
    images, labels = SPLIT.images[:7], SPLIT.labels[:7]
    loss_sum = step(Workers(network), SGD(0.25), images, labels)
    loss, dscores = cross_entropy(twin.forward(binarize(images, np.float64)), labels)
    twin.backward(dscores)
    assert loss_sum == pytest.approx(7 * loss)
    np.testing.assert_allclose(network.parameters, twin.parameters - 0.25 * twin.gradients, rtol=1e-12)


def test_epochs_take_about_the_asked_number_in_file_order_and_each_its_own() -> None:
    config = Config(seed=1)
    first, second = choose(60_000, config, 1), choose(60_000, config, 2)
    assert abs(len(first) - 6000) < 5 * np.sqrt(6000 * 0.9)  # five standard deviations of a binomial
    assert (np.diff(first) > 0).all()
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, choose(60_000, config, 1))
    assert not np.array_equal(first, choose(60_000, replace(config, seed=2), 1))


def test_every_image_is_taken_where_there_are_no_more_than_asked_for_and_never_none() -> None:
    np.testing.assert_array_equal(
        choose(300, CONFIG, 1)[:3], np.flatnonzero(np.random.default_rng([4, 1]).random(300) < 0.2)[:3]
    )
    np.testing.assert_array_equal(choose(60, CONFIG, 1), np.arange(60))
    np.testing.assert_array_equal(choose(10, CONFIG, 1), np.arange(10))
    assert {len(choose(1000, replace(CONFIG, samples_per_epoch=1), epoch)) for epoch in range(1, 30)} >= {1, 2}
    assert min(len(choose(1000, replace(CONFIG, samples_per_epoch=1), epoch)) for epoch in range(1, 30)) == 1


@pytest.mark.parametrize("size", [1, 7, 32, 300, 1000])
def test_batches_are_every_image_once_in_order(size: int) -> None:
    pieces = list(batches(SPLIT, size))
    assert {len(labels) for _, labels in pieces[:-1]} <= {size}
    np.testing.assert_array_equal(np.concatenate([images for images, _ in pieces]), SPLIT.images)
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in pieces]), SPLIT.labels)


def test_evaluate_counts_every_image_once() -> None:
    network = LeNet5(seed=0, dtype=np.float64)
    split = bars(2 * PIECE + 1)
    tally = evaluate(network, split)
    scores = network.scores(split.images)
    loss, _ = cross_entropy(scores, split.labels)
    assert tally.images == 2 * PIECE + 1
    assert tally.loss == pytest.approx(loss)
    assert tally.right == (scores.argmax(axis=1) == split.labels).sum()
    np.testing.assert_array_equal(tally.confusion.sum(axis=1), np.bincount(split.labels, minlength=10))


def test_tally_by_hand() -> None:
    tally = Tally()
    tally.add(1.5, np.array([0, 0, 1]), np.array([0, 1, 1]))
    tally.add(0.5, np.array([2]), np.array([1]))
    assert (tally.images, tally.right, tally.accuracy, tally.loss) == (4, 2, 0.5, 0.5)
    np.testing.assert_allclose(tally.precision[:3], [1, 1 / 3, 0])  # 0: 1 of 1; 1: 1 of 3; 2: never answered
    np.testing.assert_allclose(tally.recall[:3], [1 / 2, 1, 0])


def test_fit_yields_an_epoch_at_a_time() -> None:
    network = LeNet5(seed=4)
    run = fit(network, SPLIT, CONFIG)
    first = next(run)
    after_first = network.parameters.copy()
    second = next(run)
    assert [first.epoch, second.epoch] == [1, 2]
    assert [first.lr, second.lr] == pytest.approx([0.5, 0.475])
    assert first.images == len(choose(300, CONFIG, 1))
    assert second.accuracy == evaluate(network, SPLIT).accuracy
    assert not np.array_equal(network.parameters, after_first)
    assert next(run, None) is None


def test_fit_is_the_reports_loop_over_single_images() -> None:
    network, twin = LeNet5(seed=4, dtype=np.float64), LeNet5(seed=4, dtype=np.float64)
    epochs = list(fit(network, SPLIT, CONFIG))
    for number, lr in ((1, 0.5), (2, 0.475)):
        losses = []
        for image in choose(300, CONFIG, number):
            one = slice(image, image + 1)
            loss, dscores = cross_entropy(twin.forward(binarize(SPLIT.images[one], np.float64)), SPLIT.labels[one])
            twin.backward(dscores)
            twin.parameters -= lr * twin.gradients
            losses.append(loss)
        assert epochs[number - 1].loss == pytest.approx(np.mean(losses))
    np.testing.assert_allclose(network.parameters, twin.parameters, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_seed_gives_the_same_bytes(dtype: str) -> None:
    runs = [LeNet5(seed=4, dtype=dtype) for _ in range(2)]
    for network in runs:
        list(fit(network, SPLIT, replace(CONFIG, dtype=dtype, batch_size=10)))
    assert runs[0].parameters.tobytes() == runs[1].parameters.tobytes()


def test_a_rate_of_zero_changes_nothing() -> None:
    network = LeNet5(seed=4)
    list(fit(network, SPLIT, replace(CONFIG, lr=0)))
    np.testing.assert_array_equal(network.parameters, LeNet5(seed=4).parameters)


def test_a_loss_that_is_no_longer_finite_stops_the_run() -> None:
    with pytest.raises(LeNet5Error) as error:
        list(fit(LeNet5(seed=4), SPLIT, replace(CONFIG, lr=1e39)))
    assert str(error.value) == "epoch 1: the loss is no longer finite at learning rate 1e+39; try a smaller --lr"
