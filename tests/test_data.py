"""``lenet5 data``."""

import io
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tqdm import tqdm

from lenet5_cli import LeNet5, commands
from lenet5_cli.commands import progress
from lenet5_cli.commands.data import GAP, SHEET, _draw_sheet
from lenet5_cli.config import Config
from lenet5_cli.data import glyphs, remote
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.storage import checkpoint
from lenet5_cli.training import runs
from tests.conftest import SHORT, bars, drawing, left_behind, run


@pytest.fixture
def own() -> Path:
    """Return a folder of drawn digits, 4 of each in train/ and 1 in test/."""
    for digit in range(10):
        for size in (60, 64, 68, 72, 83):
            path = Path("own", "test" if size == 83 else "train", str(digit), f"{size}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            drawing(digit, size).save(path)
    return Path("own")


def test_show_counts_every_class(own: Path) -> None:
    Path("own/train/3/none.png").write_text("no picture")
    result = run("data", "show", own)
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["class", "train", "test"]
    assert [line.split() for line in lines[1:11]] == [[str(digit), "4", "1"] for digit in range(10)]
    assert lines[11].split() == ["all", "40", "10"]
    assert lines[12] == "50 pictures of 60x60 to 83x83 pixels, median 68x68"
    assert lines[13].startswith("not read: own/train/3/none.png: not a picture; expected one of PNG,")
    assert lines[14:] == ["0 of 10 test images are training images too."]
    assert "  not read: own/train/3/none.png: not a picture" in result.stderr


def test_pictures_upright_and_lying_are_of_two_sizes() -> None:
    """Of as many pixels each, whether there were two sizes depended on the order of the pictures."""
    for upright in range(4):
        for at in range(4):
            Path("own", str(upright)).mkdir(parents=True, exist_ok=True)
            page = Image.new("L", (60, 80) if at == upright else (80, 60), 255)
            page.paste(drawing(upright * 2 + at, 50), (5, 5))
            page.save(f"own/{upright}/{at}.png")
    lines = run("data", "show", "own", "--test-fraction", "0.5").stdout.splitlines()
    assert "16 pictures of 60x80 to 80x60 pixels, median 80x60" in lines


def test_show_finds_duplicates_and_doubtful_labels(own: Path) -> None:
    Path("own/train/3/60.png").rename("own/train/8/three.png")
    Path("own/test/2/copy.png").write_bytes(Path("own/train/5/64.png").read_bytes())
    Path("own/train/4/seven.png").write_bytes(Path("own/train/7/68.png").read_bytes())
    lines = run("data", "show", own, "--model", "bundled").stdout.splitlines()
    torn = lines.index("identical images with different labels: 1")
    paths = ("own/train/4/seven.png", "own/train/7/68.png")
    either = ["  train {} is train {}, labelled 4 and 7".format(*paths)]
    either.append("  train {} is train {}, labelled 7 and 4".format(*reversed(paths)))
    assert lines[torn + 1] in either
    assert "1 of 11 test images are training images too." in lines
    assert "  test own/test/2/copy.png is train own/train/5/64.png, labelled 2 and 5" in lines
    doubtful = [line for line in lines if "labelled" in line and "reads" in line]
    assert f"{len(doubtful)} labels differ from what the model reads, most confident first:" in lines
    wrong = re.compile(r"  train own/train/8/three\.png: labelled 8, reads 3 \([01]\.\d{4}\)")
    assert any(map(wrong.fullmatch, doubtful))
    assert any(line.startswith("  test own/test/2/copy.png: labelled 2, reads 5 (") for line in doubtful)
    Path("own/test/2/copy.png").unlink()
    Path("own/train/4/seven.png").unlink()
    lines = run("data", "show", own, "--model", "bundled").stdout.splitlines()
    assert "1 label differs from what the model reads:" in lines


def test_show_names_pictures_that_are_in_no_class(own: Path) -> None:
    """They were passed over without a word."""
    assert "outside class folders" not in run("data", "show", own).stdout
    for name in ("train/forgotten.JPG", "train/notes.txt", "train/._forgotten.jpg", "beside.png"):
        Path(own, name).touch()
    lines = run("data", "show", own).stdout.splitlines()
    at = lines.index("pictures outside class folders: 1")
    assert lines[at + 1] == "  own/train/forgotten.JPG"


def test_show_draws_a_contact_sheet(bars_folder: Path) -> None:
    assert run("data", "show", bars_folder, "--sheet", "sheet.png").stderr.endswith("sheet.png: written\n")
    with Image.open("sheet.png") as image:
        sheet = np.asarray(image)[::2, ::2]
    step = 28 + GAP
    assert sheet.shape == (10 * step + GAP, SHEET * step + GAP)
    train = bars(300)
    for digit in (0, 7):
        first = train.images[train.labels == digit][0]
        np.testing.assert_array_equal(sheet[GAP + digit * step :, GAP:][:28, :28], first)
    assert "exists; --overwrite" in run("data", "show", bars_folder, "--sheet", "sheet.png", code=2).stderr
    few = bars(40)
    _draw_sheet(few, Path("few.png"))
    most = np.bincount(few.labels).max()
    with Image.open("few.png") as image:
        assert image.width == 2 * (most * step + GAP)  # no wider than the largest class
    refused = run("data", "show", bars_folder, "--sheet", "sheet.jpg", code=2).stderr
    assert refused.endswith("Error: --sheet sheet.jpg: expected a name that ends in .png\n")


def test_classes_with_other_names(own: Path) -> None:
    for split in ("train", "test"):
        Path(f"own/{split}/7").rename(f"own/{split}/seven")
    assert re.search(r"^seven +4 +1$", run("data", "show", own).stdout, re.MULTILINE)
    result = run("data", "show", own, "--model", "bundled", code=1)
    assert result.stderr.endswith(
        "Error: own: has class seven, which bundled does not know; leave out --model, or give one with these classes\n"
    )


@pytest.mark.parametrize(("form", "target"), [("idx", "digits"), ("npz", "digits.npz"), ("folders", "digits")])
def test_convert_keeps_images_and_labels(bars_folder: Path, form: str, target: str) -> None:
    run("data", "convert", bars_folder, target, "--to", form)
    for split in ("train", "test"):
        before, after = (runs.load(Config(data=str(data), as_is=True), split) for data in (bars_folder, target))
        if form == "folders":  # they have no order, and each is a picture of its own
            pairs = [
                sorted((image.tobytes(), label) for image, label in zip(each.images, each.labels.tolist(), strict=True))
                for each in (before, after)
            ]
            assert pairs[0] == pairs[1]
        else:
            assert before.sha256 == after.sha256


@pytest.mark.parametrize("names", [("1", "2", "3"), ("10", "20", "30"), ("0", "1", "2"), ("7", "x")])
def test_classes_whose_names_are_numbers_are_the_same_in_every_form(names: tuple[str, ...]) -> None:
    """In IDX files without names, dice of 1 to 6 became the classes at the places 1 to 6 of a sheet."""
    rows = {name: bars(30, seed).images.reshape(30, -1) for seed, name in enumerate(names)}
    lines = [f"{name},{','.join(map(str, row))}\n" for name, own in rows.items() for row in own]
    Path("own.csv").write_text("".join(lines))
    sheet = glyphs.read("digits")
    known = dict(zip([*names, "other"], sheet.codes, strict=False))
    glyphs.write("own.txt", glyphs.Sheet(np.array(list(known.values())), tuple(known)))
    run("data", "convert", "own.csv", "idx")
    run("data", "convert", "own.csv", "own.npz", "--to", "npz")
    run("data", "convert", "own.csv", "pictures", "--to", "folders")
    assert Path("idx/names.txt").exists() == (names != ("0", "1", "2"))
    for split in ("train", "test"):
        found = [
            sorted(zip(map(bytes, each.images), each.labels.tolist(), strict=True))
            for data in ("own.csv", "idx", "own.npz", "pictures")
            for each in [runs.load(Config(data=data, glyphs="own.txt", as_is=True), split)]
        ]
        assert found[0] == found[1] == found[2] == found[3]


@pytest.fixture
def letters() -> Path:
    """Return a CSV file of bars whose classes are B, A and C, each bar its own."""
    split = bars(60)
    rows = [
        f"{'BAC'[label]},{','.join(map(str, image.ravel()))}\n"
        for image, label in zip(split.images, split.labels, strict=True)
        if label < 3
    ]
    Path("letters.csv").write_text("".join(rows))
    return Path("letters.csv")


SHEET_OF_LETTERS = glyphs.Sheet(glyphs.read("letters").codes[[23, 1, 0, 2]], ("X", "B", "A", "C"))


@pytest.mark.parametrize(("form", "target"), [("idx", "other"), ("npz", "other.npz"), ("folders", "other")])
def test_names_of_classes_go_through_every_form(letters: Path, form: str, target: str) -> None:
    lines = [line.split() for line in run("data", "show", letters).stdout.splitlines()[1:4]]
    assert [line[0] for line in lines] == ["A", "B", "C"]
    assert sum(int(count) for line in lines for count in line[1:]) == 18
    run("data", "convert", letters, target, "--to", form)
    assert [line.split() for line in run("data", "show", target).stdout.splitlines()[1:4]] == lines
    for split in ("train", "test"):
        read = runs.load(Config(data=target, as_is=True), split, SHEET_OF_LETTERS.names)
        rows = read.images.reshape(-1, 28, 28)[:].astype(int).sum(axis=2).argmax(axis=1)
        assert [SHEET_OF_LETTERS.names[label] for label in read.labels] == ["BAC"[row // 2 - 2] for row in rows]
    with pytest.raises(LeNet5Error, match=r"^other.*: class [ABC] is not in the glyph sheet; expected one of 0, 1,"):
        runs.load(Config(data=target), "train")


def test_doubtful_labels_are_told_by_the_names_of_the_sheet(letters: Path) -> None:
    network = LeNet5(Config(seed=1), SHEET_OF_LETTERS)
    checkpoint.write("model.pkl", checkpoint.Checkpoint(network.pairs(), network.sheet))
    lines = run("data", "show", letters, "--model", "model.pkl").stdout.splitlines()
    told = [re.fullmatch(r"  \w+ letters.csv: line \d+: labelled ([ABC]), reads ([XABC]) .*", line) for line in lines]
    assert any(told)
    assert all(match[1] != match[2] for match in told if match)


def test_a_contact_sheet_replaces_no_picture_of_the_data(own: Path) -> None:
    picture = next(own.rglob("*.png"))
    before = picture.read_bytes()
    refused = run("data", "show", own, "--sheet", picture, "--overwrite", code=2)
    assert refused.stderr.endswith(f"Error: {picture}: is a file of the data own; give the output another name\n")
    assert picture.read_bytes() == before


def test_a_contact_sheet_becomes_no_picture_of_the_data(own: Path) -> None:
    sheet = own / "train/3/sheet.png"
    refused = run("data", "show", own, "--sheet", sheet, code=2)
    message = f"{sheet}: would become a picture of the data own; write it somewhere else"
    assert refused.stderr.endswith(f"Error: {message}\n")
    assert not sheet.exists()


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("own/train/idx", "would be among the pictures of the data own; write it somewhere else"),
        ("own/test/3/idx", "would be among the pictures of the data own; write it somewhere else"),
        ("own/train/3/own.npz", "would become a picture of the data own; write it somewhere else"),
    ],
)
def test_what_is_converted_becomes_no_picture_of_the_data(target: str, said: str, own: Path) -> None:
    form = "npz" if target.endswith(".npz") else "idx"
    assert run("data", "convert", own, target, "--to", form, code=2).stderr.endswith(f"Error: {target}: {said}\n")
    assert not Path(target).exists()
    run("data", "convert", own, Path(target).name, "--to", form)


def test_names_that_a_converted_class_cannot_have(letters: Path) -> None:
    text = letters.read_text()
    letters.write_text(text.replace("B,", "../B,"))
    refused = run("data", "convert", letters, "out", "--to", "folders", code=1)
    assert refused.stderr.endswith("Error: out: the name of class ../B cannot be that of a folder; use --to npz\n")
    letters.write_text(text.replace("B,", f"{17 * 'B'},"))
    refused = run("data", "convert", letters, "out", code=1)
    there = f"the name '{16 * 'B'}'... of 17 characters; expected 1 to 16 printable characters"
    assert refused.stderr.endswith(f"Error: names of classes: {there}\n")
    assert [path.name for path in Path.cwd().iterdir()] == ["letters.csv"]
    letters.write_text(
        "".join(f"{at},".join(["c", ""]) + text.partition(",")[2].partition("\n")[0] + "\n" for at in range(129))
    )
    refused = run("data", "show", letters, code=1)
    assert refused.stderr == "Error: letters.csv: 129 classes; expected at most 128\n"


@pytest.mark.usefixtures("drawn_once")
def test_names_in_a_folder_of_idx_files_are_checked(letters: Path, bars_folder: Path) -> None:
    run("data", "convert", letters, "idx")
    Path("idx/names.txt").write_text("A\nB\n")
    refused = run("data", "show", "idx", code=1).stderr
    assert re.fullmatch(
        r"Error: idx/train-labels-idx1-ubyte: label 2 at index \d+, counted from 0, but 2 names in idx/names.txt\n",
        refused,
    )
    Path("idx/names.txt").write_bytes(b"A\n\xff\nC\n")
    assert (
        run("data", "show", "idx", code=1).stderr
        == "Error: idx/names.txt: byte 2 is 0xff, not UTF-8; expected one name per line\n"
    )
    run("data", "convert", bars_folder, "idx", "--overwrite")
    assert not Path("idx/names.txt").exists()  # those of other data, and nothing says that these are digits
    run("data", "convert", "builtin:40", "idx", "--overwrite")
    assert Path("idx/names.txt").read_text() == "".join(f"{digit}\n" for digit in range(10))


@pytest.mark.usefixtures("drawn_once")
@pytest.mark.parametrize(("form", "target"), [("idx", "drawn"), ("npz", "drawn.npz"), ("folders", "drawn")])
def test_digits_stay_digits_in_every_form(form: str, target: str) -> None:
    """IDX files lost it: a sheet with the letters first took a 0 as an A."""
    run("data", "convert", "builtin:40", target, "--to", form)
    letters = glyphs.read("letters").names
    for names in ((*letters, *glyphs.DIGITS), tuple("9876543210"), tuple("abcdefghij")):
        counts = [
            np.bincount(runs.load(Config(data=data, as_is=True), "train", names).labels).tolist()
            for data in ("builtin:40", target)
        ]
        assert counts[0] == counts[1]
    with pytest.raises(
        LeNet5Error, match=r"^drawn.*: class [0-9] is not in the glyph sheet; expected one of A, B, C, "
    ):
        runs.load(Config(data=target), "train", letters)


def test_convert_replaces_nothing(bars_folder: Path) -> None:
    Path("there").mkdir()
    Path("there/file").touch()
    said = run("data", "convert", bars_folder, "there", code=2).stderr
    filled = "holds files already; --overwrite replaces those with the same names and leaves the others"
    assert said.endswith(f"Error: there {filled}\n")
    for given in ([], ["--overwrite"]):  # which is not advised, as it would not help
        result = run("data", "convert", bars_folder, "there", "--to", "folders", *given, code=2)
        assert result.stderr.endswith("Error: there holds files; expected an empty folder for pictures\n")
    assert (
        "digits: expected a name that ends in .npz"
        in run("data", "convert", bars_folder, "digits", "--to", "npz", code=2).stderr
    )


def test_folders_of_pictures_are_written_whole_or_not_at_all(
    bars_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an interruption or a full disk left was read as a smaller data set, without a test split."""
    save = Image.Image.save

    def interrupted(image: Image.Image, path: Path) -> None:
        if path.name == "000040.png":
            raise KeyboardInterrupt
        save(image, path)

    Path("empty").mkdir()
    with monkeypatch.context() as stopped:
        stopped.setattr(Image.Image, "save", interrupted)
        for target in ("new", "empty"):
            run("data", "convert", bars_folder, target, "--to", "folders", "--overwrite", code=130)
    assert left_behind() == ["bars", "empty"]
    assert not list(Path("empty").iterdir())
    run("data", "convert", bars_folder, "new", "--to", "folders")
    assert sorted(path.name for path in Path("new").iterdir()) == ["test", "train"]


@pytest.mark.parametrize(("form", "name"), [("idx", "new/mine"), ("folders", "new/mine"), ("npz", "new.npz")])
def test_convert_replaces_nothing_that_came_meanwhile(form: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*given: Any) -> Any:
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(b"mine")
        return real(*given)

    real = commands.data._load_both
    monkeypatch.setattr(commands.data, "_load_both", load)
    target = name.removesuffix("/mine")
    said = run("data", "convert", "builtin:9", target, "--to", form, code=2).stderr
    message = {
        "folders": "holds files; expected an empty folder for pictures",
        "idx": "holds files already; --overwrite replaces those with the same names and leaves the others",
        "npz": "exists; --overwrite replaces it",
    }[form]
    assert said.endswith(f"Error: {target} {message}\n")
    assert [path for path in Path().rglob("*") if path.is_file()] == [Path(name)]
    assert Path(name).read_bytes() == b"mine"


def test_a_file_is_not_converted_into_itself() -> None:
    run("data", "convert", "builtin:9", "own.npz", "--to", "npz")
    before = Path("own.npz").read_bytes()
    refused = run("data", "convert", "own.npz", "own.npz", "--to", "npz", "--overwrite", code=2).stderr
    assert refused.endswith("Error: own.npz: is also read by NAME|PATH; give the output another name\n")
    assert Path("own.npz").read_bytes() == before


def test_convert_refuses_a_name_or_folder_of_another_form(own: Path) -> None:
    before = sorted(own.rglob("*"))
    Path("file").touch()
    for target, form, message in (
        (own, "idx", "own holds folders of pictures, which IDX files would hide; name another"),
        ("file", "idx", "file: a file; expected a folder for --to idx"),
        ("file", "folders", "file: a file; expected a folder for --to folders"),
        ("own.npz", "idx", "own.npz: ends in .npz; expected a folder for --to idx, or --to npz"),
    ):
        refused = run("data", "convert", "builtin:9", target, "--to", form, "--overwrite", code=2).stderr
        assert refused.endswith(f"Error: {message}\n")
    assert sorted(own.rglob("*")) == before
    assert not Path("own.npz").exists()


def test_advice_names_no_option_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(remote, "load", load)
    for command in (["show", "kmnist"], ["convert", "kmnist", "target"]):
        said = run("data", *command, code=1).stderr
        assert said.endswith("and give their folder, or use builtin, which needs no download\n")
    said = run("eval", "bundled", "--data", "kmnist", code=1).stderr
    assert said.endswith("and give --data their folder, or use --data builtin, which needs no download\n")
    assert run("data", "show", "at --data /own", code=1).stderr.startswith("Error: at --data /own: no such folder")
    assert run("data", "show", "nowhere/own", code=1).stderr == (
        "Error: nowhere/own: no such folder or file; if it has moved, give its new path\n"
    )


def test_list_names_every_data_set() -> None:
    lines = run("data", "list").stdout.splitlines()
    assert lines[0].split(maxsplit=4)[4].split("  ")[0] == "in cache"
    assert [line.split()[0] for line in lines] == ["name", *remote.SETS, "builtin[:N]", "builtin-letters[:N]"]
    assert all(
        each.page in line and each.licence in line for line, each in zip(lines[1:], remote.SETS.values(), strict=False)
    )


def test_list_works_where_the_cache_may_not_be_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    before, looked_at = run("data", "list").stdout, os.stat

    def stat(path: Any, **how: Any) -> os.stat_result:
        if str(path).startswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return looked_at(path, **how)

    monkeypatch.setenv("LENET5_CACHE", "locked")
    monkeypatch.setattr(os, "stat", stat)
    assert run("data", "list").stdout == before


def test_fetch_loads_every_split_into_the_cache(bars_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LENET5_DATA", str(bars_folder))  # another place of MNIST
    (bars_folder / "mnist_data").symlink_to(bars_folder)
    monkeypatch.chdir(bars_folder)  # and another
    asked = []

    def load(name: str, split: str, _: object) -> tuple[np.ndarray, np.ndarray, tuple[str, str]]:
        asked.append((name, split))
        return np.zeros((3, 28, 28), np.uint8), np.array([0, 1, 46], np.uint8), (f"{name}-images", f"{name}-labels")

    monkeypatch.setattr(remote, "load", load)
    result = run("data", "fetch", "mnist", "qmnist", "emnist-balanced")
    assert asked == [
        ("mnist", "train"),
        ("mnist", "test"),
        ("qmnist", "train"),
        ("qmnist", "test"),
        ("qmnist", "test50k"),
        ("emnist-balanced", "train"),
        ("emnist-balanced", "test"),
    ]
    assert "Load test50k: 3 images of 28x28 pixels from qmnist-images\n" in result.stderr
    assert run("data", "fetch", "cifar", code=1).stderr == (
        f"Error: cifar: not a downloadable data set; expected one of: {', '.join(remote.SETS)}\n"
    )


def test_a_download_has_its_bar_though_a_folder_has_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar of pictures, whose number is not known at first, is none that pooch can take."""
    terminal = io.StringIO()

    def load(_: str, __: str, bar: progress.Download) -> None:
        for total in (2000, 4000):  # two files, as pooch shows them
            assert bar
            bar.total = total
            bar.update(1000)
            bar.reset()
            bar.update(total)
            bar.close()
        bar.update(1000)
        raise OSError("no network")

    monkeypatch.setattr(remote, "load", load)
    monkeypatch.setattr(progress, "progress", lambda **how: tqdm(**how, file=terminal, mininterval=0, ascii=True))
    Path("kmnist").mkdir()
    run("data", "fetch", "kmnist", code=1)
    shown = [line.rstrip() for line in terminal.getvalue().split("\r")]
    parts = [re.sub(r"\|.*\|", "", line.partition(" [")[0]) for line in shown if line]
    half, whole, quarter, all_of_it = (
        f"load kmnist: {part}"
        for part in (" 50% 1.00k/2.00k", "100% 2.00k/2.00k", " 25% 1.00k/4.00k", "100% 4.00k/4.00k")
    )
    assert [part for part in parts if "  0%" not in part] == [half, whole, quarter, all_of_it, quarter]
    assert shown[-1] == ""  # the line is free again


def test_a_failed_fetch_says_where_else_the_data_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(remote, "load", load)
    page = remote.SETS["mnist"].page
    message = f"Error: mnist: no network; try again later, or get it from {page}\n"
    assert run("data", "fetch", "mnist", code=1).stderr == message


def test_own_pictures_are_trained_on_evaluated_and_resumed(own: Path) -> None:
    (own / "train").rename("flat")
    result = run("train", "--data", "flat", "--test-fraction", "0.5", *SHORT)
    count = int(re.search(r"test accuracy: .* of (\d+)\)", result.stdout)[1])
    assert 0 < count < 40
    evaluated = run("eval", "model.pkl")
    assert f" of {count})" in evaluated.stdout
    assert "NOTE" not in evaluated.stderr
    evaluated = run("eval", "model.pkl", "--test-fraction", "1")
    assert " of 40)" in evaluated.stdout
    note = "NOTE: at --test-fraction 1 instead of 0.5, model.pkl was trained on some test images.\n"
    assert evaluated.stderr.endswith(note)
    assert "epoch: 3" in run("train", "--resume", "--epochs", "3").stdout
    Path("flat/3/60.png").unlink()
    result = run("train", "--resume", "--epochs", "4", code=1)
    advice = "give its own with --data, or begin another run with --from"
    assert result.stderr.endswith(f"Error: model.pkl: was not trained on the images of flat; {advice}\n")


def test_a_model_to_learn_from_that_learned_the_test_images_is_named(own: Path) -> None:
    (own / "train").rename("flat")
    run("train", "--data", "flat", "--test-fraction", "0.2", *SHORT, "-o", "few.pkl")
    note = "NOTE: at --test-fraction 0.6 instead of 0.2, few.pkl was trained on some test images.\n"
    for fraction, noted in ((0.6, True), (0.2, False)):
        given = ["--data", "flat", "--test-fraction", fraction, "--from", "few.pkl", "--epochs", 1, "--overwrite"]
        assert (note in run("train", *given).stderr) == noted


def test_of_several_models_each_that_learned_what_it_is_measured_on_is_named(own: Path) -> None:
    (own / "train").rename("flat")
    run("train", "--data", "flat", "--test-fraction", "0.6", *SHORT, "-o", "most.pkl")
    run("train", "--data", "flat", "--test-fraction", "0.2", *SHORT, "-o", "few.pkl")
    note = "NOTE: at --test-fraction 0.6 instead of 0.2, few.pkl was trained on some test images.\n"
    for command, noted in (
        (["eval", "most.pkl", "few.pkl"], note),
        (["eval", "few.pkl", "most.pkl", "--test-fraction", "0.6"], note),
        (["eval", "few.pkl", "most.pkl"], ""),
        (["compare", "most.pkl", "few.pkl"], note),
        (["compare", "few.pkl", "most.pkl"], ""),
        (["compare", "most.pkl", "few.pkl", "--split", "train"], ""),
    ):
        result = run(*command)
        assert "".join(line for line in result.stderr.splitlines(True) if "NOTE" in line) == noted


def test_of_several_models_each_for_which_pictures_are_read_otherwise_is_named(own: Path) -> None:
    """Its accuracy was another than alone, and nothing said why."""
    (own / "train").rename("flat")
    run("train", "--data", "flat", *SHORT, "-o", "found.pkl")
    run("train", "--data", "flat", *SHORT, "-o", "whole.pkl", "--as-is")
    with_it = "with --as-is; found.pkl was trained without it and may be less accurate.\n"
    without = "without --as-is; whole.pkl was trained with it and may be less accurate.\n"
    for command, noted in (
        (["eval", "whole.pkl", "found.pkl"], with_it),
        (["eval", "found.pkl", "whole.pkl"], without),
        (["eval", "found.pkl", "whole.pkl", "--data", "builtin"], ""),
        (["compare", "whole.pkl", "found.pkl"], with_it),
        (["predict", "--model", "found.pkl", "--model", "whole.pkl", "flat/3/60.png"], without),
        (["data", "show", "flat", "--model", "whole.pkl"], without),
        (["data", "show", "flat", "--model", "whole.pkl", "--as-is"], ""),
    ):
        said = [line for line in run(*command).stderr.splitlines(True) if "NOTE" in line]
        assert said == ([f"NOTE: pictures are read {noted}"] if noted else [])


def test_a_model_knows_what_it_was_trained_on_by_its_images_not_their_name(own: Path) -> None:
    (own / "train").rename("flat")
    run("train", "--data", "flat", *SHORT)
    more = ("--test-fraction", "1")
    note = "NOTE: at --test-fraction 1 instead of 0.2, model.pkl was trained on some test images.\n"
    assert run("eval", "model.pkl", "--data", "./flat", *more).stderr.endswith(note)
    Path("flat").rename("moved")
    assert run("eval", "model.pkl", "--data", "moved", *more).stderr.endswith(note)
    for digit in range(10):
        drawing(digit, 90).save(f"moved/{digit}/90.png")
    Path("moved").rename("flat")
    assert "NOTE" not in run("eval", "model.pkl", "--data", "flat", *more).stderr


def test_tables_are_known_by_their_images_too() -> None:
    images = bars(40)
    np.savez("own.npz", x_train=images.images, y_train=images.labels)
    run("train", "--data", "own.npz", *SHORT)
    note = "NOTE: at --test-fraction 0.5 instead of 0.2, model.pkl was trained on some test images.\n"
    assert run("eval", "model.pkl", "--test-fraction", "0.5").stderr.endswith(note)
    assert "NOTE" not in run("eval", "model.pkl").stderr


@pytest.mark.usefixtures("own")
def test_how_data_is_read_is_refused_where_it_decides_nothing() -> None:
    run("train", "--data", "own", "--as-is", *SHORT)
    run("data", "convert", "own", "idx")
    run("data", "convert", "own", "own.npz", "--to", "npz")
    fraction = "--test-fraction goes with data that has no test split, not with"
    for command, message in (
        (["eval", "model.pkl", "--test-fraction", "1"], f"{fraction} own"),
        (["eval", "model.pkl", "--data", "idx", "--test-fraction", "1"], f"{fraction} idx"),
        (["train", "--data", "own.npz", "--test-fraction", "0.2", "--overwrite"], f"{fraction} own.npz"),
        (["train", "--test-fraction", "0.5", "--overwrite"], f"{fraction} mnist"),
        (["data", "show", "builtin:9", "--test-fraction", "0.5"], f"{fraction} builtin:9"),
        (["tune", "--data", "idx", "--as-is"], "--as-is goes with folders of pictures, not with idx"),
        (["data", "convert", "own.npz", "x", "--as-is"], "--as-is goes with folders of pictures, not with own.npz"),
    ):
        assert run(*command, code=2).stderr.endswith(f"\nError: {message}\n")
    Path("mine.toml").write_text("as_is = true\ntest_fraction = 0.5\n")
    run("train", "--config", "mine.toml", "--data", "idx", "--overwrite", *SHORT)  # where it is written for other data
    refused = run("train", "--data", "gone", "--as-is", "--overwrite", code=1).stderr
    assert "Error: gone: no such data set, folder or file" in refused
    refused = run("eval", "model.pkl", "--data", "mine.toml", "--test-fraction", "1", code=1).stderr
    assert refused == "Error: mine.toml: a file; expected a folder, or a file that ends in .csv or .npz\n"


@pytest.mark.usefixtures("own")
def test_as_is_is_a_setting_of_the_run() -> None:
    Path("mine.toml").write_text("as_is = true\ndata = 'own'\n")
    run("train", "--config", "mine.toml", *SHORT)
    run("train", "--data", "own", "--as-is", "--output", "other.pkl", *SHORT)
    one, other = (checkpoint.read(path) for path in ("model.pkl", "other.pkl"))
    assert one.config["as_is"] is other.config["as_is"] is True
    assert one.data == other.data
    run("eval", "model.pkl")


def test_a_class_in_brackets_is_shown_as_it_is() -> None:
    names, pixels = np.array(["[/b]", "[red]z"]), np.zeros((2, 28, 28), np.uint8)
    np.savez("odd.npz", x_train=pixels, y_train=names, x_test=pixels, y_test=names)
    rows = [line.split() for line in run("data", "show", "odd.npz").stdout.splitlines()]
    assert rows[1:3] == [["[/b]", "1", "1"], ["[red]z", "1", "1"]]


def test_one_image_is_no_images() -> None:
    assert "Load train: 1 image of 28x28 pixels from builtin\n" in run("data", "show", "builtin:1").stderr
