"""Several networks that answer together: probabilities, distances, and what eval and predict make of them."""

import csv
import io
import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lenet5_cli import LeNet5, evaluate, read_digits
from lenet5_cli.config import Config
from lenet5_cli.data import glyphs
from lenet5_cli.data.sources import Split
from lenet5_cli.engine.committee import Committee, together
from lenet5_cli.engine.losses import cross_entropy, softmax
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.pictures.read import read
from lenet5_cli.storage import checkpoint
from lenet5_cli.training.metrics import wilson
from tests.conftest import bars, drawing, left_behind, run, written

IMAGES = bars(60).images
OTHERS = {  # of which no two prepare a picture alike, compute in the same precision and have the same codes
    "grey": Config(seed=1, input="grey"),
    "binary": Config(seed=2, init="normal", dtype="float64"),
    "tanh": Config(seed=3, input="lecun", activation="tanh", loss="discriminative", init="lecun"),
}


@pytest.fixture
def members() -> list[LeNet5]:
    return [LeNet5(config) for config in OTHERS.values()]


@pytest.fixture
def saved(members: list[LeNet5], bars_folder: Path) -> list[str]:
    """Return the names of checkpoints of three members, the last two of which know distances."""
    names = []
    for name, network in zip(OTHERS, members, strict=True):
        distances = None if name == "grey" else np.linspace(0, 300, checkpoint.QUANTILES).astype(network.dtype)
        settings = {key: value for key, value in vars(network.config).items() if key != "dtype"}
        kept = checkpoint.Checkpoint(
            network.pairs(), network.sheet, settings, data={"name": str(bars_folder)}, distances=distances
        )
        checkpoint.write(f"{name}.pkl", kept)
        names.append(f"{name}.pkl")
    return names


def test_probabilities_are_the_mean_and_the_largest_score_is_the_mean_distance(members: list[LeNet5]) -> None:
    committee = Committee(members)
    expected = np.mean([softmax(member.scores(IMAGES).astype(float)) for member in members], axis=0)
    nearest = np.mean([member.scores(IMAGES).max(axis=1) for member in members], axis=0)
    scores = committee.scores(IMAGES)
    assert scores.dtype == committee.dtype == np.float64
    np.testing.assert_allclose(committee.probabilities(IMAGES), expected, rtol=1e-4)
    np.testing.assert_allclose(scores.max(axis=1), nearest, rtol=1e-5)
    labels = np.arange(60) % 10
    assert committee.loss(scores, labels) == pytest.approx(-np.log(expected[np.arange(60), labels]).mean(), rel=1e-4)


def test_of_pictures_in_nine_places_the_probabilities_are_the_mean_and_the_distance_is_that_of_the_middle(
    members: list[LeNet5],
) -> None:
    around = np.pad(IMAGES, ((0, 0), (2, 2), (2, 2)))
    places = [np.roll(around, (down, right), axis=(1, 2))[:, 2:-2, 2:-2] for down in (-1, 0, 1) for right in (-1, 0, 1)]
    for some in (members[:1], members):
        committee = Committee(some, shifted=True)
        expected = np.mean([member.probabilities(place) for member in some for place in places], axis=0)
        np.testing.assert_allclose(committee.probabilities(IMAGES), expected, rtol=1e-4)
        nearest = np.mean([member.scores(IMAGES).max(axis=1) for member in some], axis=0)
        np.testing.assert_allclose(committee.scores(IMAGES).max(axis=1), nearest, rtol=1e-5)
    edge = np.zeros((1, 28, 28), np.uint8)
    edge[0, 0] = edge[0, :, -1] = 255
    assert np.isfinite(Committee(members, shifted=True).scores(edge)).all()
    assert together(members[:1]) is members[0]


def test_eval_and_predict_look_at_nine_places(saved: list[str], members: list[LeNet5], bars_folder: Path) -> None:
    committee = Committee(members[1:2], shifted=True)
    found = json.loads(run("eval", "--json", "--shifted", saved[1]).stdout)
    assert found["shifted"] is True
    assert found["accuracy"] == evaluate(committee, str(bars_folder)).accuracy
    assert found["loss"] == pytest.approx(evaluate(committee, str(bars_folder)).loss)
    assert "Each model alone" in run("eval", "--shifted", *saved[:2]).stdout
    drawing(3).save("3.png")
    found = json.loads(run("predict", "--json", "--shifted", "--model", saved[1], "--accept", "1", "3.png").stdout)
    np.testing.assert_allclose(found["probabilities"], read("3.png", committee).probabilities, rtol=1e-5)
    refused = run("eval", saved[1], "--shifted", "--type", "int8", code=2)
    assert "--type evaluates a single exported model; leave it out with --shifted" in refused.stderr


def test_members_answer_elsewhere_too(members: list[LeNet5]) -> None:
    committee, one = Committee(members), members[0]
    together, alone = committee.scores(IMAGES), one.scores(IMAGES)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda network: network.scores(IMAGES), [committee, one] * 20))
    for place, scores in enumerate(found):
        np.testing.assert_array_equal(scores, alone if place % 2 else together)


def test_probabilities_of_zero_do_no_harm(members: list[LeNet5]) -> None:
    """A member is sure beyond what float32 holds; another disagrees."""
    one, other = members[0], deepcopy(members[0])
    scores = {id(one): np.full((1, 10), -900, np.float32), id(other): np.full((1, 10), -800, np.float32)}
    scores[id(one)][0, 3], scores[id(other)][0, 7] = -10, -30
    for member in (one, other):
        member.forward = lambda _, member=member: scores[id(member)]  # type: ignore[method-assign]
    together = Committee([one, other]).scores(IMAGES[:1])
    assert np.isfinite(together).all()
    np.testing.assert_allclose(softmax(together)[0, [3, 7]], [0.5, 0.5])
    assert together.max() == -20


def test_a_committee_has_nothing_to_train_in_the_precision_of_its_scores(members: list[LeNet5]) -> None:
    for some in (members, members[::2]):  # the one in float64 among them, or not
        committee = Committee(some)
        assert committee.parameters.size == committee.gradients.size == 0
        assert committee.parameters.dtype == committee.gradients.dtype == committee.dtype


def test_one_network_is_itself_and_as_a_committee_answers_the_same(members: list[LeNet5]) -> None:
    assert together(members[:1]) is members[0]
    np.testing.assert_allclose(Committee(members[:1]).scores(IMAGES), members[0].scores(IMAGES), rtol=1e-5)


def test_the_order_of_two_members_changes_nothing(members: list[LeNet5]) -> None:
    np.testing.assert_array_equal(Committee(members[:2]).scores(IMAGES), Committee(members[1::-1]).scores(IMAGES))


def test_a_batch_gives_what_its_images_give_on_any_number_of_cores(members: list[LeNet5]) -> None:
    committee = Committee(members)
    one_by_one = np.concatenate([committee.scores(image) for image in IMAGES])
    np.testing.assert_allclose(committee.scores(IMAGES), one_by_one, rtol=1e-5)
    split = bars(200)
    one, two = (evaluate(committee, split, threads=threads) for threads in (1, 2))
    assert (one.loss_sum, one.right) == (two.loss_sum, two.right)
    np.testing.assert_array_equal(one.confusion, two.confusion)
    assert one.loss == pytest.approx(committee.loss(committee.scores(split.images), split.labels))


def test_copies_and_pickles_answer_the_same(members: list[LeNet5]) -> None:
    committee = Committee(members)
    for other in (deepcopy(committee), pickle.loads(pickle.dumps(committee))):
        np.testing.assert_array_equal(other.scores(IMAGES), committee.scores(IMAGES))


def test_the_threshold_is_the_mean_of_theirs(members: list[LeNet5]) -> None:
    for place, member in enumerate(members, 1):
        member.distances = place * np.linspace(0, 10, checkpoint.QUANTILES) ** 2
    committee = Committee(members)
    for accept in (0.5, 0.995):
        for each in (committee, *members):
            each.accept = accept
        assert committee.threshold == pytest.approx(np.mean([member.threshold for member in members]))
    expected, members[0].accept = committee.threshold, 0.5
    assert committee.threshold == Committee(members).threshold == expected
    committee.accept = 1
    assert committee.threshold is None
    members[1].distances = None
    assert Committee(members).threshold is None


def test_other_classes_are_refused(members: list[LeNet5]) -> None:
    letters = LeNet5(Config(glyphs="letters"))
    said = "has 26 classes, and {} has 10; "
    end = "only models with the same classes can be combined"
    with pytest.raises(LeNet5Error) as error:
        Committee([*members, letters])
    assert str(error.value) == f"network 4: {said.format('the first')}{end}"
    sheet = members[0].sheet
    swapped = LeNet5(Config(), sheet._replace(names=(*sheet.names[:8], "9", "8")))
    with pytest.raises(LeNet5Error) as error:
        Committee([members[0], swapped])
    assert str(error.value) == f"network 2: has 9 as class 8, counted from 0, where the first has 8; {end}"
    checkpoint.write("digits.pkl", checkpoint.Checkpoint(members[0].pairs(), members[0].sheet))
    checkpoint.write("letters.pkl", checkpoint.Checkpoint(letters.pairs(), letters.sheet))
    for command in (["eval", "digits.pkl", "letters.pkl"],
                    ["predict", "--model", "digits.pkl", "--model", "letters.pkl", "x.png"]):  # fmt: skip
        result = run(*command, code=1)
        assert result.stderr == f"Error: letters.pkl: {said.format('digits.pkl')}{end}\n"


def test_pictures_are_read_as_by_one_network() -> None:
    """A committee of a network and its copy answers as the network, in one picture and in a row of digits."""
    network = LeNet5.load()
    committee = Committee([network, deepcopy(network)])
    assert committee.threshold == pytest.approx(network.threshold)
    picture = written(drawing(4))
    alone, both = (read(picture, each) for each in (network, committee))
    assert (alone.digit, alone.box, len(alone.candidates)) == (both.digit, both.box, len(both.candidates))
    np.testing.assert_allclose(both.chosen.distances, alone.chosen.distances, rtol=1e-3)
    assert str(read_digits(picture, committee)) == str(read_digits(picture, network)) == "4"


def test_eval_measures_each_and_all_together(saved: list[str], members: list[LeNet5]) -> None:
    facts = json.loads(run("eval", *saved, "--json", "--reject").stdout)
    split = Split("bars", bars(50, seed=1).images, bars(50, seed=1).labels, "", "")
    for name, member, alone in zip(saved, members, facts["models"], strict=True):
        tally = evaluate(member, split)
        loss, _ = cross_entropy(member.scores(split.images), split.labels)  # the criterion of one is another
        assert alone == {
            "model": name,
            "right": tally.right,
            "accuracy": tally.right / 50,
            "interval": list(wilson(tally.right, 50)),
            "loss": pytest.approx(loss, rel=1e-4),
        }
    tally = evaluate(Committee(members), split)
    assert (facts["right"], facts["images"], facts["split"]) == (tally.right, 50, "test")
    assert facts["loss"] == pytest.approx(tally.loss)
    assert "model" not in facts
    assert facts["reject"]["model"] is None
    single = json.loads(run("eval", saved[2], "--json").stdout)
    assert single["model"] == saved[2]
    assert single["loss"] == pytest.approx(evaluate(members[2], split).loss)
    assert single["loss"] != pytest.approx(facts["models"][2]["loss"], rel=1e-2)
    assert "models" not in single


@pytest.mark.usefixtures("unrendered")
def test_eval_shows_each_then_all_together(saved: list[str]) -> None:
    lines = run("eval", *saved, "--reject", "--plot", "both.png", "--errors", "errors.png").stdout.splitlines()
    assert lines[0].strip() == "Each model alone"
    assert [line.split()[1] for line in lines[4:7]] == saved
    assert lines[8] == "Average of the 3 models' probabilities:"
    assert lines[9].startswith("test accuracy: ")
    assert lines[-1] == "The models share no threshold: one of them was trained without --validation."
    assert left_behind() == ["bars", "binary.pkl", "both.png", "errors.png", "grey.pkl", "tanh.pkl"]


def test_long_names_leave_room_for_the_numbers(saved: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Accuracy and loss ended in an ellipsis."""
    monkeypatch.setenv("COLUMNS", "60")
    names = [f"{'folder_' * 3}{name}" for name in saved[:2]]
    for name, path in zip(names, saved, strict=False):
        Path(path).rename(name)
    shown = run("eval", *names).stdout.partition("Together")[0]
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 60
    loss = json.loads(run("eval", names[0], "--json").stdout)["loss"]
    assert f" {loss:.5f} " in shown


def test_predict_reads_with_several(saved: list[str], members: list[LeNet5]) -> None:
    Path("digit.png").write_bytes(written(drawing(3)).getvalue())
    models = [argument for name in saved for argument in ("--model", name)]
    result = run("predict", *models, "--json", "digit.png", "--explain", "seen.png")
    assert result.stderr.startswith("Reading with grey.pkl, binary.pkl, tanh.pkl.\n")
    answer = json.loads(result.stdout)
    reading = read(Path("digit.png"), Committee(members))
    assert answer["digit"] == reading.digit
    assert answer["probabilities"] == pytest.approx(reading.probabilities.tolist(), rel=1e-5)
    assert answer["distance"] == pytest.approx(reading.chosen.distances.min(), rel=1e-5)
    assert Path("seen.png").is_file()
    [row] = csv.DictReader(io.StringIO(run("predict", *models, "--csv", "digit.png").stdout))
    assert row["digit"] == str(reading.digit)
    assert row["probability"] == f"{reading.probabilities.max():.4f}"
    assert run("predict", *models, "--all", "digit.png").stdout.startswith("file ")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["eval", "grey.pkl", "grey.pkl"], 2, "grey.pkl is given twice; expected different models"),
        (["eval", "bundled", "bundled"], 2, "bundled is given twice; expected different models"),
        (["eval", "grey.pkl", "tanh.pkl", "--type", "int8"], 2,
         "--type evaluates a single exported model; leave it out with several models"),
        (["predict", "--model", "tanh.pkl", "--model", "grey.pkl", "--accept", 0.9, "x.png"], 1,
         "grey.pkl: has no distances of validation images, which --accept needs; leave it out"),
        (["eval", "grey.pkl", "none.pkl"], 1, "none.pkl: no such file; expected a checkpoint"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("saved")
def test_refusals(arguments: list[Any], code: int, message: str) -> None:
    assert run(*arguments, code=code).stderr.splitlines()[-1] == f"Error: {message}"


def test_accept_is_that_of_all(saved: list[str]) -> None:
    """All distances of two members are spread from 0 to 300: what Q lets pass is up to 300 Q."""
    Path("digit.png").write_bytes(written(drawing(3)).getvalue())
    models = ["--model", saved[1], "--model", saved[2]]
    result = run("predict", *models, "--accept", 0.01, "digit.png", code=1)
    assert result.stderr.endswith(", beyond 3.0\n")
    assert run("predict", *models, "--accept", 1, "digit.png").stdout


def test_letters_answer_together_too() -> None:
    sheet = replace(Config(), glyphs="letters")
    both = Committee([LeNet5(replace(sheet, seed=seed)) for seed in (1, 2)])
    assert both.sheet.names == glyphs.read("letters").names
    assert both.scores(IMAGES[:2]).shape == (2, 26)


def test_what_is_no_list_is_no_committee() -> None:
    """Its first letter was."""
    others: list[Any] = ["bundled", LeNet5(), None, Path("bundled")]
    for other in others:
        with pytest.raises(LeNet5Error) as error:
            Committee(other)
        assert str(error.value) == f"networks: of type {type(other).__name__}; expected a list of them"


def test_each_member_has_a_name_or_none(members: list[LeNet5]) -> None:
    with pytest.raises(LeNet5Error, match=r"^names: 1 for 3 networks; expected one for each$"):
        Committee(members, ["one"])


def test_what_numpy_is_told_to_raise_does_not_matter() -> None:
    bundled = LeNet5.load()
    for answering in (bundled, Committee([bundled, bundled])):
        expected = answering.probabilities(IMAGES)
        with np.errstate(all="raise"):
            np.testing.assert_array_equal(answering.probabilities(IMAGES), expected)


def test_a_committee_of_nobody_is_refused() -> None:
    with pytest.raises(LeNet5Error, match=r"^no network; expected at least one$"):
        Committee([])
