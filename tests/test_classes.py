"""Other classes than the ten digits: from the sheet through training, checkpoint, tables, pictures and exports."""

import json
import re
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lenet5_cli import LeNet5, train
from lenet5_cli.commands.reading import note_missing
from lenet5_cli.config import Config
from lenet5_cli.data import glyphs, idx, sources
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.export import c, npz, onnx, page
from lenet5_cli.export import hex as hexadecimal
from lenet5_cli.reports import figures
from lenet5_cli.storage import checkpoint
from lenet5_cli.storage.checkpoint import Checkpoint
from lenet5_cli.training import runs
from lenet5_cli.training.metrics import Tally
from lenet5_cli.training.runs import Run
from tests.conftest import bars, drawing, run

LETTERS = glyphs.read("letters")
PAIRS = LeNet5(Config(seed=1)).pairs()
QUICK = ["--config", "quick", "--epochs", "1", "--seed", "1"]
NONDIGITS: dict[str, Any] = {"nondigits": 10, "loss": "discriminative"}
DRAWN_TOO = "nondigits: the drawn images include letters and signs, but {} is a class; leave it out"
NAMES = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=16)


def sheet(names: list[str]) -> glyphs.Sheet:
    codes = np.random.default_rng(1).integers(0, 2, (len(names), 84), dtype=np.uint8)
    return glyphs.Sheet(codes, tuple(names))


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model of 26 classes trained for an epoch on 600 letters."""
    path = tmp_path_factory.mktemp("letters") / "letters.pkl"
    train("quick", data="builtin-letters:600", glyphs="letters", epochs=1, seed=1, output=str(path))
    return path


@settings(max_examples=30)
@given(names=st.lists(NAMES, min_size=2, max_size=40, unique_by=glyphs.composed))
def test_a_checkpoint_keeps_any_names(names: list[str]) -> None:
    kept = sheet(names)
    checkpoint.write("model.pkl", Checkpoint(PAIRS, kept))
    read = checkpoint.read("model.pkl").sheet
    assert read
    assert read.names == kept.names
    np.testing.assert_array_equal(read.codes, kept.codes)
    assert LeNet5.load("model.pkl").names == kept.names


def test_digits_need_no_names_in_a_checkpoint() -> None:
    for name, names in (("digits", glyphs.DIGITS), ("others", tuple("abcdefghij"))):
        checkpoint.write(name, Checkpoint(PAIRS, glyphs.read()._replace(names=names)))
    assert b"names" not in Path("digits").read_bytes()
    assert b"names" in Path("others").read_bytes()
    assert LeNet5.load("digits").names == glyphs.DIGITS


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        (LETTERS._replace(names=("A", "A")), "damaged: two classes are named A; expected a different name for each"),
        (LETTERS._replace(names=("A", "B")), "damaged: the glyphs are not (2, 84) zeros and ones"),
        (LETTERS._replace(names=("A", "")), "damaged: the name ''; expected 1 to 16 printable characters"),
        (LETTERS._replace(names=("A", 2)), "damaged: the names of the classes are not a list of strings"),
        (LETTERS._replace(names=("A",)), "damaged: 1 class; expected 2 to 128"),
        (glyphs.Sheet(2 * LETTERS.codes, LETTERS.names), "damaged: the glyphs are not (26, 84) zeros and ones"),
    ],
)
def test_a_forged_sheet_is_refused(kept: glyphs.Sheet, message: str) -> None:
    checkpoint.write("model.pkl", Checkpoint(PAIRS, kept))
    with pytest.raises(LeNet5Error) as error:
        checkpoint.read("model.pkl")
    assert str(error.value) == f"model.pkl: {message}"


def test_a_name_cannot_be_changed_unseen() -> None:
    checkpoint.write("model.pkl", Checkpoint(PAIRS, sheet(["first", "other"])))
    content = Path("model.pkl").read_bytes()
    Path("model.pkl").write_bytes(content.replace(b"other", b"OTHER"))
    with pytest.raises(LeNet5Error, match=r"^model\.pkl: damaged: its content does not match the stored SHA-256"):
        checkpoint.read("model.pkl")


@pytest.mark.parametrize(
    ("sheet", "settings", "message"),
    [
        (
            "letters",
            {"drawn": 10},
            "drawn: the glyph sheet has A as class 0, counted from 0, where the drawn set has 0;"
            " expected the ten digits before all others; leave it out",
        ),
        (
            "five.txt",
            {"drawn": 10},
            "drawn: the glyph sheet has 5 classes, and the drawn set has 10;"
            " expected the ten digits before all others; leave it out",
        ),
        ("letters", NONDIGITS, DRAWN_TOO.format("A")),
        ("digits-letters", NONDIGITS, DRAWN_TOO.format("A")),
        ("digits-letters", {"drawn": 10}, ""),
        ("codes", {"drawn": 10} | NONDIGITS, ""),
    ],
)
def test_drawn_images_are_of_their_classes_or_refused(sheet: str, settings: dict[str, Any], message: str) -> None:
    digits = glyphs.read()
    glyphs.write("five.txt", glyphs.Sheet(digits.codes[:5], digits.names[:5]))
    with pytest.raises(LeNet5Error, match=f"^{message}$") if message else nullcontext():
        Run(Config(glyphs=sheet, seed=1, **settings), bars(5))


@pytest.mark.parametrize("sign", ["?", "\xf7", "\u0416", "\u6728", "e\u0301"])
def test_no_class_is_drawn_as_none(sign: str) -> None:
    """Only the letters of ASCII were known to be drawn; a digit of any script, and a longer name, may be a class."""
    split = replace(bars(5), labels=np.arange(5, dtype=np.uint8) % 2)
    Run(Config(seed=1, **NONDIGITS), split, sheet=sheet(["\u0667", "-1", "7", "yes"]))
    with pytest.raises(LeNet5Error, match=f"^{re.escape(DRAWN_TOO.format(sign))}$"):
        Run(Config(seed=1, **NONDIGITS), split, sheet=sheet(["\u0667", sign]))


def test_labels_outside_the_sheet_are_refused_before_training() -> None:
    folder = Path("data")
    folder.mkdir()
    images = np.zeros((3, 28, 28), np.uint8)
    for prefix, labels in (("train", [0, 1, 2]), ("t10k", [0, 10, 9])):
        idx.write(folder / f"{prefix}-images-idx3-ubyte", images)
        idx.write(folder / f"{prefix}-labels-idx1-ubyte", np.array(labels, np.uint8))
    message = (
        "label 10 at index 1, counted from 0; expected digits from 0 to 9; set glyphs to train with a larger sheet"
    )
    refused = run("train", "--data", folder, *QUICK, code=1)
    assert refused.stderr.splitlines()[-1] == f"Error: data/t10k-labels-idx1-ubyte: {message}"
    refused = run("eval", "bundled", "--data", folder, code=1)
    assert refused.stderr.splitlines()[-1] == f"Error: data/t10k-labels-idx1-ubyte: {message}"
    assert not Path("model.pkl").exists()
    idx.write(folder / "train-labels-idx1-ubyte", np.array([0, 26, 2], np.uint8))
    refused = run("train", "--data", folder, "--glyphs", "letters", *QUICK, code=1)
    expected = (
        "label 26 at index 1, counted from 0; expected classes from 0 to 25; set glyphs to train with a larger sheet"
    )
    assert refused.stderr.splitlines()[-1] == f"Error: data/train-labels-idx1-ubyte: {expected}"


def test_labels_that_may_be_places_are_noted_once() -> None:
    split = bars(200)
    labels = split.labels % 4 + 1
    np.savez("own.npz", x_train=split.images, y_train=labels, x_test=split.images, y_test=labels)
    glyphs.write("own.txt", sheet(list("12345")))
    said = "its labels, such as 1, are taken as class names, not as indices from 0"
    note = f"NOTE: own.npz: {said}; if they are indices, replace them by class names."
    noted = run("train", "--data", "own.npz", "--glyphs", "own.txt", *QUICK)
    assert noted.stderr.splitlines().count(note) == 1
    assert note in run("eval", "model.pkl").stderr.splitlines()


def test_classes_without_an_image_are_named(bars_folder: Path) -> None:
    noted = run("train", "--data", bars_folder, "--glyphs", "letters", *QUICK)
    missing = "K, L, M, N, O, P, Q, R, S, T, U, V, W, X, Y, Z"
    note = f"{bars_folder}/train-labels-idx1-ubyte: no images of classes {missing}; expected some of each"
    assert note in noted.stderr.splitlines()


def test_classes_that_are_all_held_out_are_named() -> None:
    """As the last images are, of data in the order of its classes."""
    split = bars(300)
    order = np.argsort(split.labels, kind="stable")
    sorted_ = {"x_train": split.images[order], "y_train": split.labels[order]}
    np.savez("sorted.npz", **sorted_, x_test=split.images, y_test=split.labels)
    kind = "no images of digits 8, 9 outside the 60 validation images"
    for command in ("train", "tune"):
        more = ("--trials", 1, "--threads", 1) if command == "tune" else ()
        said = run(command, "--data", "sorted.npz", "--epochs", 1, "--seed", 1, "--validation", 60, *more).stderr
        assert f"sorted.npz: {kind}; expected some of each" in said.splitlines()


def test_a_class_whose_only_image_is_held_out_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    split = bars(10)
    ten = replace(split, labels=np.array([1, 0, *range(2, 10)], np.uint8))
    note_missing(glyphs.read(), replace(ten, labels=ten.labels[:9]), ten)
    note = "no images of digit 9 outside the 1 validation image; expected some of each"
    assert capsys.readouterr().err == f"{split.labels_path}: {note}\n"


@pytest.mark.parametrize(
    ("more", "noted"), [(["--validation", 30], 1), (["--validation", 0], 0), (["--from", "bundled"], 0)]
)
def test_images_in_the_order_of_their_classes_are_told_where_the_last_are_held_out(
    more: list[object], noted: int
) -> None:
    """All that were held out were of one class, and as some of it were left, nothing said so."""
    split = bars(400)
    order = np.argsort(split.labels, kind="stable")
    assert np.count_nonzero(split.labels == split.labels.max()) > 30
    np.savez("own.npz", x_train=split.images[order], y_train=split.labels[order])
    np.savez("mixed.npz", x_train=split.images, y_train=split.labels)
    there = "its images are sorted by class, so the validation images, the last ones, lack some classes"
    for data, count in (("own.npz", noted), ("mixed.npz", 0)):
        said = run("train", "--data", data, *more, "--epochs", 1, "--seed", 1, "--test-fraction", 0.05, "--overwrite")
        note = f"NOTE: {data}: {there}; shuffle them."
        assert said.stderr.splitlines().count(note) == count


@pytest.mark.usefixtures("drawn_once")
def test_letters_are_evaluated_on_80_columns(letters: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = run("eval", letters).stdout.splitlines()
    assert max(map(len, shown)) <= 80
    assert any(line.split() == ["┃", "class", "┃", "images", "┃", "precision", "┃", "recall", "┃", "F1", "┃", "taken", "for", "┃"] for line in shown)  # fmt: skip # noqa: E501
    rows = [line.split("│") for line in shown if line.startswith("│")]
    assert [row[1].strip() for row in rows if row[1].strip()] == list(LETTERS.names)
    assert not any("Confusions" in line for line in shown)
    facts = json.loads(run("eval", letters, "--json").stdout)
    assert facts["classes"] == list(LETTERS.names)
    assert np.shape(facts["confusion"]) == (26, 26)
    most = facts["confused"][0]
    assert (f"{most['class']} read as {most['answer']}: {most['count']} of {most['of']} ") in "\n".join(shown)


DIGIT = "class 0 is not in the glyph sheet; expected one of A, B, C, D, E, F, G, H, I, J, K, L, M, N, O, P, Q, R, S, T,"


@pytest.mark.usefixtures("drawn_once")
@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["eval", "{model}", "--data", "builtin"], f"builtin: {DIGIT}"),
        (["compare", "{model}", "a.pkl", "--data", "builtin:60"], f"builtin:60: {DIGIT}"),
        (["train", "--data", "builtin:60", "--glyphs", "letters"], f"builtin:60: {DIGIT}"),
        (["train", "--data", "builtin:60", "--from", "{model}"], f"builtin:60: {DIGIT}"),
        (["data", "show", "builtin:60", "--model", "{model}"], "builtin:60: has class 0, which {model} does not know"),
        (
            ["eval", "bundled", "--data", "builtin-letters"],
            "builtin-letters: class A is not in the glyph sheet; expected one of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9;",
        ),
    ],
)
def test_digits_are_not_measured_as_letters_nor_letters_as_digits(
    letters: Path, command: list[str], message: str
) -> None:
    Path("a.pkl").write_bytes(letters.read_bytes())
    said = run(*(each.format(model=letters) for each in command), code=1).stderr
    assert f"Error: {message.format(model=letters)}" in said


def test_a_data_set_whose_classes_are_known_is_read_by_their_names() -> None:
    def labels(source: str, names: tuple[str, ...]) -> list[int]:
        return sources.load(source, "train", sources.LoadOptions(names=names)).labels.tolist()

    for source, names in (("builtin:60", glyphs.DIGITS), ("builtin-letters:60", LETTERS.names)):
        known = labels(source, names)
        assert labels(source, (*glyphs.DIGITS, *LETTERS.names)) == [label + 10 * (names[0] == "A") for label in known]
        assert labels(source, names[::-1]) == [len(names) - 1 - label for label in known]
        other = tuple(f"{name}'" for name in names)  # in another script: the sheet says which they are
        assert labels(source, other) == known
        with pytest.raises(
            LeNet5Error, match=rf"^{source}: class {names[0]} is not in the glyph sheet; expected one of X, Y; "
        ):
            labels(source, ("X", "Y"))


@pytest.mark.parametrize("form", ["folders", "npz", "csv"])
def test_labels_that_are_the_ten_digits_are_their_names(form: str) -> None:
    split = bars(200)
    source = "own" if form == "folders" else f"own.{form}"
    if form == "folders":
        for digit in range(10):
            for size in (60, 64, 68) if digit else (60,):  # of the first there is none to test on
                Path(source, str(digit)).mkdir(parents=True, exist_ok=True)
                drawing(digit, size).save(Path(source, str(digit), f"{size}.png"))
    elif form == "npz":
        np.savez(source, x_train=split.images, y_train=split.labels)
    else:
        rows = zip(split.labels, split.images.reshape(-1, 784).tolist(), strict=True)
        Path(source).write_text("".join(f"{label},{','.join(map(str, row))}\n" for label, row in rows))

    def load(names: tuple[str, ...]) -> list[int]:
        return runs.load(Config(data=source), "test", names).labels.tolist()

    digits = load(glyphs.DIGITS)
    assert load(tuple("abcdefghij")) == digits
    assert load((*"abc", *glyphs.DIGITS)) == [digit + 3 for digit in digits]
    with pytest.raises(LeNet5Error, match=r"^own.*: class [0-9] is not in the glyph sheet; expected one of A, B, C"):
        load(LETTERS.names)
    checkpoint.write("model.pkl", Checkpoint(PAIRS, LETTERS))
    refused = run("data", "show", source, "--model", "model.pkl", code=1).stderr
    assert re.search(
        rf"Error: {source}: has class [0-9], which model\.pkl does not know; leave out --model, or", refused
    )


@pytest.mark.parametrize(("labels", "refused"), [([0, 9], True), ([0, 10], False)])
def test_what_stands_in_the_place_of_mnist_may_be_other_data(
    labels: list[int], refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("own").mkdir()
    idx.write("own/train-images-idx3-ubyte", np.zeros((2, 28, 28), np.uint8))
    idx.write("own/train-labels-idx1-ubyte", np.array(labels, np.uint8))
    monkeypatch.setenv("LENET5_DATA", "own")
    message = "^mnist: class 0 is not in the glyph sheet; expected one of A, B, C"
    with pytest.raises(LeNet5Error, match=message) if refused else nullcontext():
        assert sources.load("mnist", "train", sources.LoadOptions(names=LETTERS.names)).labels.tolist() == labels


def test_labels_of_mnist_become_the_places_that_a_sheet_gives_the_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("own").mkdir()
    idx.write("own/train-images-idx3-ubyte", np.zeros((3, 28, 28), np.uint8))
    idx.write("own/train-labels-idx1-ubyte", np.array([0, 1, 9], np.uint8))
    monkeypatch.setenv("LENET5_DATA", "own")
    for names, labels in ((glyphs.DIGITS[::-1], [9, 8, 0]), (("A", *glyphs.DIGITS), [1, 2, 10])):
        assert sources.load("mnist", "train", sources.LoadOptions(names=names)).labels.tolist() == labels


@pytest.mark.usefixtures("drawn_once", "unrendered")
def test_without_its_own_data_maps_are_of_drawn_images_of_its_classes_or_left_out(letters: Path) -> None:
    saved = checkpoint.read(letters)
    saved.data["name"] = "gone"
    for name, drawn in (("letters", "letters"), ("digits-letters", "digits"), ("other", None)):
        kept = sheet(["first", "other"]) if name == "other" else glyphs.read(name)
        checkpoint.write("model.pkl", replace(saved, sheet=kept))
        said = run("info", "model.pkl", "--figures", name).stderr
        absent = "There are no images of its classes, so no maps are drawn; give some with --data.\n"
        assert (f"\nThe maps show built-in {drawn} instead.\n" if drawn else absent) in said
        assert Path(name, "maps.png").exists() == bool(drawn)


@pytest.mark.usefixtures("drawn_once", "unrendered")
def test_info_names_the_classes(letters: Path) -> None:
    assert f"26 classes: {' '.join(LETTERS.names)}" in run("info", letters).stdout
    assert json.loads(run("info", letters, "--json").stdout)["classes"] == list(LETTERS.names)
    run("info", letters, "--figures", "figures", "--data", "builtin-letters")
    assert {path.name for path in Path("figures").iterdir()} == {"kernels.png", "maps.png", "curves.png", "glyphs.png"}


def test_info_tells_names_with_spaces_apart() -> None:
    spaced = sheet(["a cat", "no cat"])
    checkpoint.write("cats.pkl", Checkpoint(LeNet5(Config(seed=1), spaced).pairs(), spaced))
    assert "2 classes: a cat, no cat" in run("info", "cats.pkl").stdout.splitlines()


@pytest.mark.usefixtures("drawn_once")
def test_predict_prints_names(letters: Path) -> None:
    images = sources.load("builtin-letters", "test", sources.LoadOptions(names=LETTERS.names)).images[:1]
    Image.fromarray(images[0]).save("letter.png")
    network = LeNet5.load(letters)
    name = network.names[network.scores(images)[0].argmax()]
    shown = run("predict", "letter.png", "--model", letters).stdout.splitlines()
    assert shown[0].split() == ["file", "class", "probability"]
    assert shown[1].split()[:2] == ["letter.png", name]
    found = json.loads(run("predict", "letter.png", "--model", letters, "--json").stdout)
    assert (found["class"], len(found["distances"])) == (name, 26)
    rows = run("predict", "letter.png", "--model", letters, "--csv").stdout.splitlines()
    assert rows[0] == "file,class,probability,distance,reason"
    assert rows[1].startswith(f"letter.png,{name},")
    run("predict", "letter.png", "--model", letters, "--explain", "seen.png")
    assert Path("seen.png").exists()


def test_exports_name_the_classes(letters: Path) -> None:
    saved = checkpoint.read(letters)
    network = LeNet5.restore(saved)
    names = list(network.names)
    assert f'"names": {json.dumps(names[:1])[:-1]}' in page.render(network, saved).decode().replace('":[', '": [')
    Path("model.npz").write_bytes(npz.render(network, saved))
    with np.load("model.npz") as arrays:
        assert arrays["output.codes"].shape == (26, 84)
        assert json.loads(arrays["network.json"])["names"] == names
    header = c.render(network, saved, "float32", 1)
    assert b"#define LENET5_CLASSES 26\n" in header["lenet5.h"]
    assert b'lenet5_names[LENET5_CLASSES] = {\n    "A", "B", "C"' in header["lenet5.c"]
    assert b"from class 0: `A` `B` `C`" in hexadecimal.render(network, saved, "int8", 1)["README.md"]
    assert b'["A", "B", "C"' in onnx.render(network, saved)


def test_any_name_is_code_in_markdown() -> None:
    """A name with a backtick ended the code, and turned the names behind it inside out."""
    named = sheet(["a`b", "``", "*x*"])
    saved = Checkpoint(LeNet5(Config(seed=1), named).pairs(), named)
    rendered = hexadecimal.render(LeNet5.restore(saved), saved, "int8", 1)["README.md"]
    assert b"from class 0: `` a`b `` ``` `` ``` `*x*`\n" in rendered


def test_any_name_is_a_string_of_c() -> None:
    assert c._string('a"\\??/é1') == r'"a\042\134\077\077/\303\2511"'


def draw_figures(count: int) -> None:
    """Draw all figures of so many classes."""
    named = sheet([f"name {k}" if k % 2 else "$" + chr(65 + k) for k in range(count)])
    measured = Tally(4, named.names)
    labels = np.arange(count)
    measured.add(1.0, labels, -np.abs(labels[:, None] - labels[::-1] // 2 * 2.0))
    images = np.zeros((len(measured.worst.images), 28, 28), np.uint8)
    network = LeNet5(Config(seed=1), named)
    figures.evaluation(measured, Path("evaluation.png"))
    figures.errors(images, measured.worst, measured, Path("errors.png"))
    figures.glyphs(named, Path("glyphs.png"))
    figures.maps(network.maps(images[:2]), labels[:2], named, Path("maps.png"))


def test_figures_of_many_classes() -> None:
    draw_figures(26)
    for path in Path().glob("*.png"):
        with Image.open(path) as image:
            assert max(image.size) < 6000


def test_figures_of_more_classes_are_no_larger_than_a_screen_can_scroll(unrendered: list[Any]) -> None:
    draw_figures(62)
    assert len(unrendered) == 4
    for figure in unrendered:
        assert max(figure.get_size_inches()) * figures.DOTS < 6000


def test_render_glyphs_says_which_pairs_are_too_close(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    result = run("render-glyphs", "--characters", "O0Q", "--output", "o.png")
    assert result.stderr == "o.png: written\no.names.txt: written\n"
    drawn = glyphs.read("o.png")
    close = [(a, b, n) for a, b, n in glyphs.pairs(drawn.codes) if n < glyphs.MIN_DISTANCE]
    told = ", ".join(f"{drawn.names[a]} and {drawn.names[b]} {n}" for a, b, n in close)
    assert close
    assert result.stdout.splitlines()[-1] == f"too close, under {glyphs.MIN_DISTANCE} pixels: {told}"
    shown = run("render-glyphs", "--sheet", "letters", "--output", "l.txt").stdout.splitlines()
    assert shown[-1] == "closest pair: D and O, 8 of 84 pixels differ"
    assert max(map(len, shown)) <= 80
    assert run("render-glyphs", "--sheet", "letters", "--characters", "AB", code=2).stderr.splitlines()[-1] == (
        "Error: expected either --sheet or --characters, not both"
    )
    refused = run("render-glyphs", "--characters", "AB", "-o", "o.png", code=2)
    assert refused.stderr.splitlines()[-1] == "Error: o.png exists; --overwrite replaces it"


def test_a_network_of_two_classes_learns() -> None:
    digits = sources.load("builtin:400", "train")
    two = replace(digits, images=digits.images[digits.labels < 2], labels=digits.labels[digits.labels < 2])
    network = LeNet5(Config(seed=1, init="normal", input="grey"), sheet(["zero", "one"]))
    losses = []
    for _ in range(40):
        losses.append(network.loss_and_gradient(two.images, two.labels))
        network.parameters -= 0.1 * network.gradients
    assert losses[-1] < losses[0] / 2
