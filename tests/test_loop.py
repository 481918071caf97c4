"""The report's training: the step by hand, which images, what is counted, what stops it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lenet5_cli import LeNet5
from lenet5_cli.config import Config
from lenet5_cli.data import sources
from lenet5_cli.engine.losses import cross_entropy
from lenet5_cli.engine.network import CHUNK
from lenet5_cli.engine.optim import SGD, optimizer
from lenet5_cli.engine.preprocessing import prepare
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.training import loop, runs, step
from lenet5_cli.training.inputs import as_split
from lenet5_cli.training.loop import Batch, Epoch, batches, choose, evaluate, fit
from lenet5_cli.training.metrics import Tally
from lenet5_cli.training.ranks import Closed, Ranks
from lenet5_cli.training.step import Step
from tests.conftest import bars

SPLIT = bars(300)


def chosen(images: int, epoch: int = 1, **settings: Any) -> NDArray[np.intp]:
    config = Config(**{"seed": 4, **settings})
    return choose(images, config, np.random.default_rng([config.seed, epoch]))


def trained(network: LeNet5, config: Config, **options: Any) -> list[Epoch]:
    return [epoch for epoch, _ in fit(network, optimizer(config, network.parameters), SPLIT, config, **options)]


CONFIG = Config(epochs=2, samples_per_epoch=60, seed=4)


@pytest.mark.parametrize("batch_size", [1, 100])
def test_what_numpy_shall_raise_is_the_users_and_not_the_networks(batch_size: int) -> None:
    """Far from every code, a probability is too small for its type, and counts as 0."""
    config = replace(CONFIG, lr=0.001, batch_size=batch_size, loss="discriminative", activation="tanh", input="lecun")
    first, second = LeNet5(config), LeNet5(config)
    trained(first, config, validation=SPLIT)
    with np.errstate(all="raise"):
        trained(second, config, validation=SPLIT)
        assert evaluate(second, SPLIT).loss == evaluate(first, SPLIT).loss
    np.testing.assert_array_equal(second.parameters, first.parameters)


def test_epochs_take_about_the_asked_number_in_file_order_and_each_its_own() -> None:
    first, second = chosen(60_000, seed=1, epoch=1), chosen(60_000, seed=1, epoch=2)
    assert abs(len(first) - 6000) < 5 * np.sqrt(6000 * 0.9)  # five standard deviations of a binomial
    assert (np.diff(first) > 0).all()
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, chosen(60_000, seed=1, epoch=1))
    assert not np.array_equal(first, chosen(60_000, seed=2, epoch=1))


def test_every_image_is_taken_where_there_are_no_more_than_asked_for_and_never_none() -> None:
    np.testing.assert_array_equal(chosen(60, samples_per_epoch=60), np.arange(60))
    np.testing.assert_array_equal(chosen(10, samples_per_epoch=60), np.arange(10))
    counts = [len(chosen(1000, samples_per_epoch=1, epoch=epoch)) for epoch in range(1, 30)]
    assert min(counts) == 1
    assert max(counts) > 1


def test_the_order_of_many_images_takes_four_bytes_each() -> None:
    order = chosen(1000, order="shuffled", samples_per_epoch=1000)
    np.testing.assert_array_equal(np.sort(order), np.arange(1000))
    assert order.itemsize == 4


def test_drawing_a_part_at_a_time_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = chosen(1000, samples_per_epoch=300)
    monkeypatch.setattr(loop, "CHANCES", 7)
    np.testing.assert_array_equal(chosen(1000, samples_per_epoch=300), at_once)


def test_shuffled_epochs_take_exactly_the_asked_number_each_once() -> None:
    every = chosen(100, order="shuffled")
    assert sorted(every) == list(range(100))
    assert not np.array_equal(every, np.arange(100))
    some = chosen(100, order="shuffled", samples_per_epoch=30)
    assert len(set(some)) == 30


@pytest.mark.parametrize("size", [1, 7, 32, 300, 1000])
def test_batches_are_every_image_once_in_order(size: int) -> None:
    cut = list(batches(SPLIT, size))
    assert {len(labels) for _, labels in cut[:-1]} <= {size}
    np.testing.assert_array_equal(np.concatenate([np.asarray(images[:]) for images, _ in cut]), SPLIT.images)
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in cut]), SPLIT.labels)


def test_evaluate_counts_every_image_once() -> None:
    network = LeNet5(Config(seed=0, dtype="float64"))
    split = bars(2 * CHUNK + 1)
    tally = evaluate(network, split)
    scores = network.scores(split.images)
    loss, _ = cross_entropy(scores, split.labels)
    assert tally.images == 2 * CHUNK + 1
    assert tally.loss == pytest.approx(loss)
    assert tally.right == (scores.argmax(axis=1) == split.labels).sum()
    np.testing.assert_array_equal(tally.confusion.sum(axis=1), np.bincount(split.labels, minlength=10))
    assert tally.bins[0].sum() == tally.images
    assert len(tally.worst.images) == 0


def test_evaluate_keeps_the_worst_of_the_wrong_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "EVALUATED", 64)
    network = LeNet5(Config(seed=0, dtype="float64"))
    scores = network.scores(SPLIT.images)
    margins = scores.max(axis=1) - scores[np.arange(300), SPLIT.labels]
    worst = evaluate(network, SPLIT, keep=7).worst
    np.testing.assert_array_equal(worst.images, np.argsort(-margins, kind="stable")[:7])
    np.testing.assert_array_equal(worst.labels, SPLIT.labels[worst.images])
    np.testing.assert_allclose(worst.scores, scores[worst.images])


def test_fit_yields_an_epoch_at_a_time() -> None:
    network = LeNet5(Config(seed=4))
    run = fit(network, SGD(), SPLIT, CONFIG)
    first, _ = next(run)
    after_first = network.parameters.copy()
    second, held_out = next(run)
    assert held_out is None
    assert [first.epoch, second.epoch] == [1, 2]
    assert [first.lr, second.lr] == pytest.approx([0.5, 0.475])
    assert first.images == len(chosen(300, samples_per_epoch=60))
    assert second.accuracy == evaluate(network, SPLIT).accuracy
    assert not np.array_equal(network.parameters, after_first)
    assert next(run, None) is None


def test_fit_is_the_reports_loop_over_single_images() -> None:
    network, twin = LeNet5(Config(seed=4, dtype="float64")), LeNet5(Config(seed=4, dtype="float64"))
    epochs = trained(network, replace(CONFIG, clip=0))
    for number, lr in ((1, 0.5), (2, 0.475)):
        losses = []
        for image in chosen(300, number, samples_per_epoch=60):
            one = slice(image, image + 1)
            loss, dscores = cross_entropy(twin.forward(prepare(SPLIT.images[one], dtype=np.float64)), SPLIT.labels[one])
            twin.backward(dscores)
            twin.parameters -= lr * twin.gradients
            losses.append(loss)
        assert epochs[number - 1].loss == pytest.approx(np.mean(losses))
    np.testing.assert_allclose(network.parameters, twin.parameters, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_seed_gives_the_same_bytes(dtype: str) -> None:
    runs = [LeNet5(Config(seed=4, dtype=dtype)) for _ in range(2)]
    for network in runs:
        trained(network, replace(CONFIG, dtype=dtype, batch_size=10))
    assert runs[0].parameters.tobytes() == runs[1].parameters.tobytes()


def test_a_rate_of_zero_changes_nothing_and_the_loss_is_the_mean_of_all_images_chosen() -> None:
    network = LeNet5(Config(seed=4))
    config = replace(CONFIG, lr=0, order="shuffled", batch_size=7)  # the last batch of 60 has four
    for epoch in trained(network, config):
        images = chosen(300, epoch.epoch, order="shuffled", samples_per_epoch=60)
        expected = network.loss(network.scores(SPLIT.images[images]), SPLIT.labels[images])
        assert epoch.loss == pytest.approx(expected, rel=1e-5)
    np.testing.assert_array_equal(network.parameters, LeNet5(Config(seed=4)).parameters)


def test_a_loss_that_is_no_longer_finite_stops_the_run() -> None:
    with pytest.raises(LeNet5Error) as error:
        trained(LeNet5(Config(seed=4)), replace(CONFIG, lr=1e39))
    assert str(error.value) == "epoch 1: the loss is no longer finite at learning rate 1e+39; try a smaller lr"


def test_a_run_that_no_checkpoint_can_hold_is_stopped() -> None:
    with pytest.raises(LeNet5Error) as error:
        trained(LeNet5(Config(seed=4, dtype="float64")), replace(CONFIG, lr=1e101, batch_size=300))
    assert str(error.value) == "epoch 1: the loss is no longer finite at learning rate 1e+101; try a smaller lr"


RECIPES = {
    "sgd": {},
    "adam": {"optimizer": "adam", "lr": 0.01, "schedule": "cosine", "warmup": 0.5, "batch_size": 40, "init": "normal"},
    "augmented": {"augment": "elastic", "order": "shuffled", "input": "grey", "batch_size": 64},
    "averaged": {"optimizer": "adam", "lr": 0.01, "ema": 0.9, "batch_size": 40, "init": "normal"},
}


def test_each_epoch_rehearses_other_images(monkeypatch: pytest.MonkeyPatch) -> None:
    rehearsed = list[bytes]()

    def mixed(*given: Any) -> sources.Split:
        split = loop_mixed(*given)
        rehearsed.append(split.images[len(SPLIT.labels) :].tobytes())
        return split

    loop_mixed = loop.mixed
    monkeypatch.setattr(loop, "mixed", mixed)
    config = replace(CONFIG, rehearse=0.1)
    trained(LeNet5(config), config, rehearsed=bars(300, seed=9))
    assert len(set(rehearsed)) == 2


@pytest.mark.parametrize("settings", RECIPES.values(), ids=RECIPES)
def test_a_run_taken_up_again_gives_the_same_bits(settings: dict[str, Any]) -> None:
    config = Config(**{"epochs": 4, "samples_per_epoch": 100, "seed": 4, **settings})
    whole, broken = LeNet5(config), LeNet5(config)
    trained(whole, config)
    first = optimizer(config, broken.parameters)
    run = fit(broken, first, SPLIT, config)
    next(run), next(run)
    run.close()
    again = LeNet5(config)
    again.parameters[...] = broken.parameters
    second = optimizer(config, again.parameters)
    for name, value in first.state.items():
        second.state[name][...] = value
    list(fit(again, second, SPLIT, config, first=3))
    assert again.parameters.tobytes() == whole.parameters.tobytes()


@pytest.mark.parametrize("settings", RECIPES.values(), ids=RECIPES)
def test_the_same_bits_on_any_number_of_cores(settings: dict[str, Any]) -> None:
    config = Config(**{"epochs": 1, "samples_per_epoch": 200, "seed": 4, **settings})
    networks = [LeNet5(config) for _ in range(2)]
    for threads, network in enumerate(networks, 1):
        trained(network, config, threads=threads)
    assert networks[0].parameters.tobytes() == networks[1].parameters.tobytes()


def test_everything_that_takes_time_can_be_tracked_by_its_name_and_its_number_of_images() -> None:
    tracked = []

    def track(batches: Iterator[Batch], total: int, what: str) -> Iterator[Batch]:
        tracked.append([what, total, 0])
        for images, labels in batches:
            tracked[-1][2] += len(labels)
            yield images, labels

    epochs = trained(LeNet5(CONFIG), CONFIG, validation=bars(40, seed=9), track=track)
    evaluated = [["evaluation", 300, 300], ["evaluation", 40, 40]]
    assert tracked == [
        step for epoch in epochs for step in ([f"epoch {epoch.epoch}", epoch.images, epoch.images], *evaluated)
    ]
    network = LeNet5(CONFIG)
    found = loop.answers(network, SPLIT, track=track)
    np.testing.assert_array_equal(found, network.scores(SPLIT.images).argmax(axis=1))
    assert tracked[-1] == ["evaluation", 300, 300]


def test_evaluate_takes_the_test_images_of_a_folder_or_arrays(bars_folder: Path) -> None:
    network, split = LeNet5(CONFIG), sources.load(str(bars_folder), "test")
    expected = evaluate(network, split)
    arrays = np.asarray(split.images), split.labels.astype(int)
    for data in (bars_folder, arrays):
        tally = evaluate(network, data)
        assert (tally.images, tally.right, tally.loss) == (50, expected.right, expected.loss)
    found = as_split(arrays, "test")
    assert (found.source, found.images_path, found.labels_path) == ("arrays", "arrays", "arrays")


def test_validation_measures_the_images_held_out() -> None:
    network = LeNet5(Config(seed=4))
    held_out = bars(40, seed=9)
    epoch = trained(network, CONFIG, validation=held_out)[-1]
    tally = evaluate(network, held_out)
    assert (epoch.validation_accuracy, epoch.validation_loss) == (tally.accuracy, tally.loss)


def test_the_rate_of_an_epoch_is_that_of_its_middle() -> None:
    config = replace(CONFIG, schedule="cosine", warmup=1, lr=1)
    rates = [epoch.lr for epoch in trained(LeNet5(config), config)]
    # (1 + cos(pi / 4)) / 2 halfway up the warm-up, then (1 + cos(3 pi / 4)) / 2
    assert rates == pytest.approx([(1 + 0.5**0.5) / 4, (1 - 0.5**0.5) / 2])


def test_a_run_of_one_step_learns() -> None:
    """By the cosine schedule, whose last rate is 0, it kept its initial weights."""
    config = Config(epochs=1, batch_size=64, order="shuffled", schedule="cosine", seed=1)
    network = LeNet5(config)
    before = network.parameters.copy()
    list(fit(network, optimizer(config, network.parameters), bars(40), config))
    assert (network.parameters != before).any()


def test_each_step_has_the_rate_of_the_images_done_with_it() -> None:
    rates = []

    class Recording(SGD):
        def step(self, parameters: NDArray[Any], gradients: NDArray[Any], lr: float) -> None:
            rates.append(lr)
            super().step(parameters, gradients, lr)

    config = replace(CONFIG, schedule="cosine", lr=1, order="shuffled", batch_size=20)
    network = LeNet5(config)
    list(fit(network, Recording(), SPLIT, config))
    # (1 + cos(pi t)) / 2 after a sixth, a third, a half of two epochs of three steps, and so on to their end
    assert rates == pytest.approx([(2 + 3**0.5) / 4, 3 / 4, 1 / 2, 1 / 4, (2 - 3**0.5) / 4, 0])


class Left(Ranks):
    """Rank 1 of two, whose leader has ended what they did together."""

    def __init__(self) -> None:
        super().__init__()
        self.rank, self.size = 1, 2

    def announce(self, *_: Any) -> None:
        raise Closed


def test_a_rank_whose_leader_ends_an_evaluation_has_counted_nothing() -> None:
    tally = evaluate(LeNet5(CONFIG), SPLIT, ranks=Left())
    assert (tally.images, tally.right) == (0, 0)


def test_parameters_that_are_no_longer_finite_stop_the_run_though_the_loss_is() -> None:
    class Overflowing(SGD):
        def step(self, parameters: NDArray[Any], *_: Any) -> None:
            parameters[-1] = np.inf

    network = LeNet5(Config(seed=4))
    config = replace(CONFIG, batch_size=100)
    with pytest.raises(LeNet5Error) as error:
        next(fit(network, Overflowing(), SPLIT, config))
    assert str(error.value) == "epoch 1: the loss is no longer finite at learning rate 0.5; try a smaller lr"


def test_nothing_is_drawn_for_images_that_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr(loop, "draw", lambda kind, count, _: drawn.append((kind, count)))
    for kind in ("none", "affine"):
        config = replace(CONFIG, augment=kind, epochs=1, order="shuffled", batch_size=40)
        trained(LeNet5(config), config)
    assert drawn == [("affine", 40), ("affine", 20)]


def test_what_computes_takes_one_core_unless_it_is_given_more(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, pool = [], step.Pool

    def one(work: Any, threads: int) -> Any:
        asked.append(threads)
        return pool(work, 1)

    monkeypatch.setattr(step, "Pool", one)
    network, config = LeNet5(CONFIG), replace(CONFIG, epochs=1)
    for given in ({}, {"threads": 3}):
        Step(network, **given)
        evaluate(network, SPLIT, **given)
        loop.answers(network, SPLIT, **given)
        trained(network, config, **given)
        list(runs.Run(config, SPLIT).train(**given))
        runs.train(config, data=SPLIT, **given)
    assert asked == [1] * 6 + [3] * 6


def test_scores_that_are_given_are_counted_with_the_loss_of_the_network() -> None:
    network = LeNet5(CONFIG)

    def score(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return -np.abs(np.arange(10) - images[:, :, 0].argmax(axis=1)[:, None] % 7).astype(np.float32)

    tally = evaluate(network, SPLIT, score=score)
    scores = score(SPLIT.images)
    assert tally.right == (scores.argmax(axis=1) == SPLIT.labels).sum()
    assert tally.loss == pytest.approx(network.loss(scores, SPLIT.labels), rel=1e-6)


def test_the_distances_of_single_images_are_kept_of_those_held_out_and_not_of_those_to_train_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tallies = []

    class Noted(Tally):
        def __post_init__(self) -> None:
            super().__post_init__()
            tallies.append(self)

    monkeypatch.setattr(loop, "Tally", Noted)
    network = LeNet5(CONFIG)
    trained(network, CONFIG, validation=bars(40))
    kept = [(tally.images, sum(len(distances) for distances, _ in tally.nearest)) for tally in tallies]
    assert kept == [(300, 0), (40, 40)] * 2
    assert sum(len(distances) for distances, _ in evaluate(network, SPLIT).nearest) == 300


def test_an_epoch_says_how_long_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 12.5, 20.0, 23.0])
    monkeypatch.setattr(loop, "perf_counter", lambda: next(clock))
    assert [epoch.seconds for epoch in trained(LeNet5(CONFIG), CONFIG)] == [2.5, 3]


def test_without_a_seed_the_numbers_are_those_of_0() -> None:
    one, other = LeNet5(CONFIG), LeNet5(CONFIG)
    for epoch in trained(one, replace(CONFIG, seed=None)):
        assert epoch.images == len(chosen(300, epoch.epoch, samples_per_epoch=60, seed=0))
    trained(other, replace(CONFIG, seed=0))
    np.testing.assert_array_equal(one.parameters, other.parameters)


def test_labels_in_arrays_are_what_a_byte_holds_and_one_for_each_picture() -> None:
    pictures = SPLIT.images[:2]
    found = as_split((pictures, np.array([0, 255])), "test")
    assert (found.labels.tolist(), found.labels.dtype) == ([0, 255], np.uint8)
    whole = "expected integers, the indices of their glyphs"
    for labels, count, said in (
        ([0, 256], 2, "label 256 at index 1, counted from 0; expected 0 to 255"),
        ([-1, 255], 2, "label -1 at index 0, counted from 0; expected 0 to 255"),
        ([0.0, 1.0], 2, f"labels of float64; {whole}"),
        ([], 0, "no pictures; expected at least one"),
        ([[0, 1]], 2, "labels of shape (1, 2) for 2 pictures; expected one for each"),
    ):
        with pytest.raises(LeNet5Error) as refused:
            as_split((pictures[:count], np.array(labels)), "test")
        assert str(refused.value) == said


def test_a_rank_whose_leader_ends_a_run_has_learned_nothing() -> None:
    network = LeNet5(CONFIG)
    assert trained(network, replace(CONFIG, batch_size=100, order="shuffled"), ranks=Left()) == []
    np.testing.assert_array_equal(network.parameters, LeNet5(CONFIG).parameters)
