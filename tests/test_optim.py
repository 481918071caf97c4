"""Optimisers and schedules, by hand."""

import numpy as np
import pytest

from lenet5_cli.config import Config
from lenet5_cli.engine.optim import OPTIMIZERS, SGD, Adam, learning_rate, optimizer


def test_sgd_by_hand() -> None:
    parameters, gradients = np.array([1.0, 2.0]), np.array([10.0, -4.0])
    SGD(parameters).step(parameters, gradients, 0.5)
    np.testing.assert_array_equal(parameters, [-4, 4])  # 1 - 0.5 10, 2 + 0.5 4
    np.testing.assert_array_equal(gradients, [5, -2])  # the step


def test_adam_by_hand() -> None:
    parameters = np.array([1.0])
    adam = Adam(parameters)
    adam.step(parameters, np.array([3.0]), 0.1)  # the first step is lr g / |g|
    assert parameters[0] == pytest.approx(0.9)
    # mean 0.9 0.3 + 0.1 (-1) = 0.17, / 0.19; square 0.999 0.009 + 0.001 1 = 0.009991, / 0.001999
    adam.step(parameters, np.array([-1.0]), 0.1)
    assert parameters[0] == pytest.approx(0.9 - 0.1 * (0.17 / 0.19) / np.sqrt(0.009991 / 0.001999))


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
