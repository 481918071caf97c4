"""Rates, counts, images and weights at the edge of what there can be: each is defined, or told."""

import json
import re

import numpy as np
import pytest
from click.testing import CliRunner, Result

from lenet5_cli import LeNet5, LeNet5Error
from lenet5_cli.commands import lenet5
from lenet5_cli.config import Config
from lenet5_cli.data import glyphs, idx
from lenet5_cli.storage import checkpoint
from lenet5_cli.storage.checkpoint import Checkpoint
from lenet5_cli.training.step import Step
from tests.conftest import bars, drawing

SHORT = ["--data", "bars", "--epochs", "2", "--samples-per-epoch", "20", "--seed", "1", "--threads", "1"]


def run(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(lenet5, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(autouse=True)
def _data(bars_folder: object) -> None:
    """Have the folder ``bars``."""


@pytest.mark.parametrize("labels", [[7], [7] * 40], ids=["one image", "one digit"])
def test_one_image_and_one_digit_are_enough(labels: list[int]) -> None:
    for prefix in ("train", "t10k"):
        idx.write(f"bars/{prefix}-images-idx3-ubyte", bars(len(labels)).images)
        idx.write(f"bars/{prefix}-labels-idx1-ubyte", np.uint8(labels))
    run("train", *SHORT)
    facts = json.loads(run("eval", "model.pkl", "--json").stdout, parse_constant=pytest.fail)
    assert facts["images"] == len(labels)
    assert 0 <= facts["interval"][0] <= facts["accuracy"] <= facts["interval"][1] <= 1
    run("eval", "model.pkl")


def test_no_images_are_told() -> None:
    idx.write("bars/train-images-idx3-ubyte", np.zeros((0, 28, 28), np.uint8))
    idx.write("bars/train-labels-idx1-ubyte", np.zeros(0, np.uint8))
    result = run("train", *SHORT, code=1)
    assert result.stderr.endswith("bars/train-images-idx3-ubyte: no images; expected at least one\n")


@pytest.mark.parametrize("value", [0.5, np.nan, np.inf])
def test_images_of_fractions_are_told(value: float) -> None:
    idx.write("bars/train-images-idx3-ubyte", np.full((300, 28, 28), value, np.float32))
    result = run("train", *SHORT, code=1)
    assert result.stderr.endswith(
        "float32 of shape (300, 28, 28); expected images, uint8 of shape (n, rows, columns)\n"
    )


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("rate", ["0", "-0.0", "1e-300", "1e9"])
def test_any_rate_trains_and_what_it_trained_can_be_read(rate: str, optimizer: str) -> None:
    run("train", *SHORT, "--lr", rate, "--optimizer", optimizer)
    history = json.loads(run("info", "model.pkl", "--json").stdout, parse_constant=pytest.fail)["history"]
    assert len(history) == 2
    assert np.isfinite([epoch["loss"] for epoch in history]).all()
    if float(rate) == 0:
        np.testing.assert_array_equal(LeNet5.load("model.pkl").parameters, LeNet5(Config(seed=1)).parameters)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lr", "nan"], "Invalid value for '--lr': 'nan' is not a number."),
        (["--lr", "inf"], "lr: inf; expected a finite number"),
        (["--lr", "1e300"], "epoch 1: the loss is no longer finite at learning rate 1e+300; try a smaller lr"),
        (["--seed", str(2**63)], f"seed: {2**63}; expected {2**63 - 1} or less"),
        (["--batch-size", str(10**30)], f"batch_size: {10**30}; expected {2**63 - 1} or less"),
        (["--samples-per-epoch", str(10**400)],
         f"samples_per_epoch: {str(10**400)[:60]}...; expected {2**63 - 1} or less"),
        (["--validation", str(2**63 - 1)], f"validation: {2**63 - 1} of 300 images; none would be left to train on"),
    ],
)  # fmt: skip
def test_numbers_that_are_too_much_are_told(arguments: list[str], message: str) -> None:
    code = 2 if re.search("expected|Invalid", message) else 1  # what no data can make right is wrong usage
    assert run("train", *SHORT, *arguments, code=code).stderr.splitlines()[-1] == f"Error: {message}"


@pytest.mark.parametrize("option", ["--batch-size", "--samples-per-epoch", "--patience"])
def test_the_largest_counts_are_harmless(option: str) -> None:
    more = ["--validation", "30"] if option == "--patience" else []
    for order in ("file", "shuffled"):
        run("train", *SHORT, option, 2**63 - 1, "--order", order, "--overwrite", *more)


TOO_LARGE = "the scores are not finite: the parameters are too large for float32"


@pytest.mark.parametrize("seed", range(4))
def test_weights_as_large_as_can_be_give_numbers_or_a_message(seed: int) -> None:
    drawn = LeNet5(Config(seed=seed)).pairs()
    pairs = [[np.sign(value) * np.float32(3e38) for value in pair] for pair in drawn]
    checkpoint.write("model.pkl", Checkpoint(pairs, glyphs.read()))
    drawing(3).save("three.png")
    for arguments in (["predict", "three.png", "--json"], ["eval", "model.pkl", "--data", "bars", "--json"]):
        result = CliRunner().invoke(lenet5, arguments)
        notices = [line for line in result.stderr.splitlines() if not line.startswith(("Load ", "Reading with "))]
        said = json.loads(result.stdout or "{}", parse_constant=pytest.fail)
        if result.exit_code:
            assert (result.exit_code, said.get("error") or notices) in [(1, TOO_LARGE), (1, [f"Error: {TOO_LARGE}"])]
        else:
            assert notices == []
    run("info", "model.pkl")


@pytest.mark.parametrize("images", [1, 100])
def test_scores_that_are_not_finite_are_told(images: int) -> None:
    network = LeNet5(Config(seed=1))
    network.parameters[-1] = np.nan
    with Step(network) as step, pytest.raises(LeNet5Error) as refused:
        step.scores(bars(images).images)
    assert str(refused.value) == TOO_LARGE
