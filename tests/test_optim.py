"""Optimisers and schedules, by hand."""

import numpy as np
import pytest

from lenet5_cli.config import Config
from lenet5_cli.engine.optim import OPTIMIZERS, SGD, Adam, Averaged, learning_rate, optimizer


def test_sgd_by_hand() -> None:
    parameters, gradients = np.array([1.0, 2.0]), np.array([10.0, -4.0])
    SGD().step(parameters, gradients, 0.5)
    np.testing.assert_array_equal(parameters, [-4, 4])  # 1 - 0.5 10, 2 + 0.5 4
    np.testing.assert_array_equal(gradients, [5, -2])  # the step


def test_longer_gradients_are_clipped_to_the_length() -> None:
    parameters = np.array([1.0, 2.0])
    clipped = SGD(clip=5)
    clipped.step(parameters, np.array([30.0, -40.0]), 0.5)  # 50 long, so a tenth of it
    np.testing.assert_allclose(parameters, [1 - 0.5 * 3, 2 + 0.5 * 4])
    clipped.step(parameters, np.array([3.0, -4.0]), 0.5)  # 5 long: whole
    np.testing.assert_allclose(parameters, [-0.5 - 1.5, 4 + 2])


def test_the_settings_say_what_is_clipped() -> None:
    for clip, step in ((0, 30.0), (2, 2.0)):
        parameters = np.zeros(1)
        optimizer(Config(clip=clip), parameters).step(parameters, np.array([-30.0]), 1.0)
        assert parameters == step


def test_adam_by_hand() -> None:
    parameters = np.array([1.0])
    adam = Adam(parameters)
    adam.step(parameters, np.array([3.0]), 0.1)  # the first step is lr g / |g|
    assert parameters[0] == pytest.approx(0.9)
    # mean 0.9 0.3 + 0.1 (-1) = 0.17, / 0.19; square 0.999 0.009 + 0.001 1 = 0.009991, / 0.001999
    adam.step(parameters, np.array([-1.0]), 0.1)
    assert parameters[0] == pytest.approx(0.9 - 0.1 * (0.17 / 0.19) / np.sqrt(0.009991 / 0.001999))
    assert adam.state.keys() == {"mean", "square", "steps"}  # as checkpoints have it


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weights_shrink_before_a_step_apart_from_the_gradients(name: str) -> None:
    plain, shrunk = (optimizer(Config(optimizer=name, weight_decay=decay), np.zeros(2)) for decay in (0, 0.5))
    parameters, other = np.array([4.0, -8.0]), np.array([4.0, -8.0])
    for lr in (0.1, 0.2):
        parameters *= 1 - lr * 0.5
        plain.step(parameters, np.array([30.0, 40.0]), lr)
        shrunk.step(other, np.array([30.0, 40.0]), lr)
        np.testing.assert_array_equal(other, parameters)


def test_averaged_by_hand() -> None:
    parameters, one = np.array([8.0]), np.array([1.0])
    averaged = optimizer(Config(ema=0.5, clip=0), parameters)
    assert isinstance(averaged, Averaged)
    with averaged.epoch(parameters):
        averaged.step(parameters, 4 * one, 1)  # 8 - 4 = 4, whose mean is 4
        averaged.step(parameters, 2 * one, 1)  # 4 - 2 = 2, mean (4 + 2) / 2 = 3
        assert parameters == 2
    assert (parameters, averaged.state["live"], averaged.state["averaged"]) == (3, 2, 2)
    with averaged.epoch(parameters):
        averaged.step(parameters, -5 * one, 1)  # 2 + 5 = 7, average 3 + (1 - 0.5) (7 - 3) = 5
        averaged.step(parameters, 6 * one, 1)  # 7 - 6 = 1, average 5 + (1 - 0.5) (1 - 5) = 3
    assert (parameters, averaged.state["live"], averaged.state["averaged"]) == (3, 1, 4)


def test_the_start_has_a_share_of_what_a_run_that_rehearses_keeps_and_none_in_its_steps() -> None:
    parameters, one = np.array([8.0]), np.array([1.0])
    averaged = optimizer(Config(ema=0.5, rehearse=0.5, clip=0), parameters)
    assert isinstance(averaged, Averaged)
    with averaged.epoch(parameters):
        averaged.step(parameters, 4 * one, 1)  # 8 - 4 = 4, whose mean is 4
        averaged.step(parameters, 2 * one, 1)  # 4 - 2 = 2, mean (4 + 2) / 2 = 3
    assert parameters == pytest.approx(0.7 * 3 + 0.3 * 8)
    assert (averaged.state["live"], averaged.state["average"], averaged.state["start"]) == (2, 3, 8)
    with averaged.epoch(parameters):
        averaged.step(parameters, -5 * one, 1)  # 2 + 5 = 7, average 3 + (1 - 0.5) (7 - 3) = 5
    assert parameters == pytest.approx(0.7 * 5 + 0.3 * 8)


def test_averaging_does_not_change_the_steps() -> None:
    alone, together = np.array([3.0, -2.0]), np.array([3.0, -2.0])
    adam, averaged = Adam(alone), optimizer(Config(optimizer="adam", ema=0.9), together)
    visited = []
    for _ in range(3):
        with averaged.epoch(together):
            for _ in range(4):
                adam.step(alone, 2 * alone, 0.1)
                averaged.step(together, 2 * together, 0.1)
                np.testing.assert_array_equal(together, alone)
                visited.append(alone.copy())
    # 12 steps, of which the first 10 have no less than 1 / t: their mean, then 0.9 of it and 0.1 of the new one
    expected = np.mean(visited[:10], axis=0)
    for point in visited[10:]:
        expected = 0.9 * expected + 0.1 * point
    np.testing.assert_allclose(together, expected, rtol=1e-14)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_finds_the_bottom_of_a_bowl(name: str) -> None:
    parameters = np.array([3.0, -2.0])
    chosen = optimizer(Config(optimizer=name), parameters)
    for step in range(2000):
        chosen.step(parameters, 2 * parameters, 0.05 * (1 - step / 2000))
    np.testing.assert_allclose(parameters, 0, atol=1e-6)


def test_exponential_rate_falls_after_each_epoch() -> None:
    rates = [learning_rate(Config(), epoch, fraction) for epoch in (1, 2, 3) for fraction in (0, 0.9)]
    assert rates == pytest.approx([0.5, 0.5, 0.475, 0.475, 0.45125, 0.45125])
    assert learning_rate(Config(lr_decay=0), 1, 0.5) == 0.5
    assert learning_rate(Config(lr_decay=0), 2, 0.5) == 0


def test_cosine_rate_falls_to_nothing() -> None:
    config = Config(schedule="cosine", epochs=4, lr=2)
    rates = [learning_rate(config, epoch, fraction) for epoch, fraction in ((1, 0), (2, 0), (3, 0), (4, 0), (4, 1))]
    assert rates == pytest.approx([2, 1 + 0.5**0.5, 1, 1 - 0.5**0.5, 0])


def test_warmup_grows_from_nothing() -> None:
    config = Config(warmup=2, lr=1, lr_decay=1)
    rates = [learning_rate(config, epoch, fraction) for epoch, fraction in ((1, 0), (1, 0.5), (2, 0), (2, 1), (5, 0.5))]
    assert rates == pytest.approx([0, 0.25, 0.5, 1, 1])


def test_adam_hardly_follows_a_gradient_that_is_hardly_there() -> None:
    parameters = np.array([1.0, 1.0])
    Adam(parameters).step(parameters, np.array([1e-8, 0.0]), 0.1)
    np.testing.assert_allclose(parameters, [1 - 0.1 / 2, 1])  # lr g / (|g| + 1e-8)
