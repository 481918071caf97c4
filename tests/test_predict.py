"""``lenet5 predict``: pictures in, answers out; the bundled model."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageChops, ImageDraw
from tqdm import tqdm

from lenet5_cli import LeNet5
from lenet5_cli.commands import lenet5
from lenet5_cli.commands.answers import _cell, printer
from lenet5_cli.config import Config
from lenet5_cli.data import glyphs
from lenet5_cli.files import BUNDLED_MODEL
from lenet5_cli.pictures.read import read_sample
from lenet5_cli.reports import explanation
from lenet5_cli.reports.explanation import LONG_NAME, SIDE
from lenet5_cli.storage import checkpoint
from lenet5_cli.storage.checkpoint import Checkpoint
from tests.conftest import drawing, run


def answers(*arguments: object, code: int = 0) -> list[dict[str, object]]:
    return [json.loads(line) for line in run("predict", "--json", *arguments, code=code).stdout.splitlines()]


def untrained(path: Path) -> Path:
    checkpoint.write(path, Checkpoint(LeNet5(Config(seed=1)).pairs(), glyphs.read()))
    return path


def test_clean_drawings_are_read() -> None:
    for digit in range(10):
        drawing(digit, size=80 + 40 * digit, ink=digit % 2 * 255, paper=(1 - digit % 2) * 255).save(f"{digit}.png")
    read = answers(*(f"{digit}.png" for digit in range(10)))
    assert [answer["file"] for answer in read] == [f"{digit}.png" for digit in range(10)]
    assert [answer["digit"] for answer in read] == list(range(10))
    for answer in read:
        assert sum(answer["probabilities"]) == pytest.approx(1, abs=1e-5)
        assert answer["probability"] == max(answer["probabilities"])
        assert answer["distances"][answer["digit"]] == min(answer["distances"])
        assert answer["others"] == 0


def test_the_table_names_files_as_they_are() -> None:
    drawing(3).save("[red]three.png")
    result = run("predict", "--top", 3, "[red]three.png")
    assert "[red]three.png" in result.stdout
    assert re.fullmatch(r"\[red\]three\.png +3 +[01]\.\d{4}", result.stdout.splitlines()[1])


def test_a_bar_leaves_the_line_before_a_row_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal, rows began behind the bar, in the middle of its line."""
    for at in range(4):
        drawing(3).save(f"{at}.png")
    Path("4.png").write_bytes(b"no picture")
    files = [f"{at}.png" for at in range(5)]
    plain = run("predict", *files, code=1).output
    at_once = {"delay": 0, "ncols": 60}
    monkeypatch.setattr("lenet5_cli.commands.predict.progress", lambda **how: tqdm(**how | at_once))
    shown = run("predict", *files, code=1).output
    assert all(f" {done}/5 " in shown for done in range(5))  # it is there again after each row
    assert [on_screen(line) for line in shown.split("\n")] == plain.split("\n")


def on_screen(line: str) -> str:
    """Return what a terminal shows of a line in which the cursor returns to its beginning."""
    shown = ""
    for part in line.split("\r"):
        shown = part + shown[len(part) :]
    return shown.rstrip()


def test_the_model_is_the_one_named_then_model_pkl_then_the_bundled_one() -> None:
    drawing(3).save("three.png")
    assert run("predict", "three.png").stderr == "Reading with the bundled model.\n"
    untrained(Path("model.pkl"))
    said = "Reading with model.pkl; --model bundled reads with the bundled model.\n"
    assert run("predict", "three.png").stderr.startswith(said)
    assert run("predict", "--model", "bundled", "three.png").stderr == "Reading with the bundled model.\n"
    untrained(Path("other.pkl"))
    assert run("predict", "--model", "other.pkl", "three.png").stderr == "Reading with other.pkl.\n"


def test_the_bundled_model_is_small_and_says_how_it_was_made() -> None:
    assert BUNDLED_MODEL.stat().st_size < 300_000
    saved = checkpoint.read(BUNDLED_MODEL)
    assert saved.epoch == saved.config["epochs"] == len(saved.history)
    assert saved.config["data"] == "mnist"
    pictures = np.zeros((2, 28, 28), np.uint8)
    boxed, named = LeNet5.load(), LeNet5.load(BUNDLED_MODEL)
    assert (boxed.probabilities(pictures) == named.probabilities(pictures)).all()


def test_a_bad_picture_does_not_stop_the_others() -> None:
    drawing(3).save("three.png")
    Path("bad.png").write_bytes(b"hello")
    result = run("predict", "bad.png", "three.png", code=1)
    assert result.stderr.splitlines()[1].startswith("bad.png: not a picture")
    assert "three.png" in result.stdout
    bad, three = answers("bad.png", "three.png", code=1)
    assert bad == {"file": "bad.png", "error": result.stderr.splitlines()[1]}
    assert three["digit"] == 3


def test_a_folder_gives_its_pictures_in_order_and_recursive_those_below() -> None:
    Path("scans/deeper").mkdir(parents=True)
    drawing(7).save("scans/b.JPG")
    drawing(3).save("scans/a.png")
    drawing(1).save("scans/deeper/c.bmp")
    drawing(7).save("scans/c.jfif")  # what browsers on Windows call a JPEG
    for name in ("notes.txt", "._a.png", "__MACOSX/a.png", ".thumbnails/a.png"):
        Path("scans", name).parent.mkdir(exist_ok=True)
        Path("scans", name).write_text("no picture", encoding="utf-8")
    assert [(answer["file"], answer["digit"]) for answer in answers("scans")] == [
        ("scans/a.png", 3),
        ("scans/b.JPG", 7),
        ("scans/c.jfif", 7),
    ]
    deeper = [answer["file"] for answer in answers("scans", "--recursive")]
    assert deeper == ["scans/a.png", "scans/b.JPG", "scans/c.jfif", "scans/deeper/c.bmp"]


def test_a_folder_without_pictures_is_told() -> None:
    Path("empty/deeper").mkdir(parents=True)
    told = "Error: empty: no pictures in this folder"
    assert run("predict", "empty", code=1).stderr == f"{told}; --recursive searches its subfolders too\n"
    assert run("predict", "--recursive", "empty", code=1).stderr == f"{told}\n"


def test_a_broken_link_in_a_folder_is_told_and_does_not_stop_the_others() -> None:
    Path("scans").mkdir()
    Path("scans/gone.png").symlink_to("nowhere.png")
    drawing(3).save("scans/three.png")
    gone, three = answers("scans", code=1)
    there = "a symbolic link to nowhere.png, which does not exist"
    assert gone == {"file": "scans/gone.png", "error": f"scans/gone.png: {there}; expected a picture"}
    assert three["digit"] == 3


def test_what_may_not_be_looked_at_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    drawing(3).save("three.png")
    looked_at = Path.stat

    def stat(path: Path, **how: Any) -> os.stat_result:
        if path.name == "locked.png":
            raise PermissionError(13, "Permission denied", str(path))
        return looked_at(path, **how)

    monkeypatch.setattr(Path, "stat", stat)
    locked, three = answers("locked.png", "three.png", code=1)
    there = "locked.png: cannot be read: Permission denied; expected a picture"
    assert locked == {"file": "locked.png", "error": there}
    assert three["digit"] == 3


def test_a_folder_that_cannot_be_listed_is_told_and_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("scans/locked").mkdir(parents=True)
    drawing(3).save("scans/three.png")
    listed = os.scandir

    def scandir(path: Any) -> Any:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", path)
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert [answer["digit"] for answer in answers("scans")] == [3]
    told = "scans/locked: cannot be read: Permission denied"
    locked, three = answers("--recursive", "scans", code=1)
    assert locked == {"file": "scans/locked", "error": told}
    assert three["digit"] == 3
    assert answers("scans/locked", "scans/three.png", code=1) == [locked, three]
    assert run("predict", "scans/locked", code=1).stderr == f"Reading with the bundled model.\n{told}\n"


def test_a_dash_is_standard_input() -> None:
    content = io.BytesIO()
    drawing(3).save(content, format="PNG")
    result = CliRunner().invoke(lenet5, ["predict", "--json", "-"], input=content.getvalue())
    assert result.exit_code == 0
    assert json.loads(result.stdout)["digit"] == 3
    result = CliRunner().invoke(lenet5, ["predict", "-"], input=b"hello")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[1].startswith("standard input: not a picture")


def test_more_pictures_than_are_read_together_keep_their_order() -> None:
    Path("many").mkdir()
    for number in range(130):
        drawing(number % 10, size=60).save(f"many/{number:03}.png")
    drawn = [(f"many/{number:03}.png", number % 10) for number in range(130)]
    read = [(answer["file"], answer["digit"]) for answer in answers("many")]
    assert [file for file, _ in read] == [file for file, _ in drawn]
    assert sum(a == b for a, b in zip(read, drawn, strict=True)) >= 125


def test_standard_input_is_one_picture_and_a_file_of_its_name_another() -> None:
    said = run("predict", "-", "three.png", "-", code=2).stderr
    assert said.endswith("Error: - is given twice; standard input is a single picture\n")
    drawing(3).save("-", format="PNG")
    assert [(each["file"], each["digit"]) for each in answers("./-")] == [(str(Path("-").absolute()), 3)]


def test_explain_draws_what_was_seen_and_says_it() -> None:
    drawing(3).save("three.png")
    result = run("predict", "--explain", "seen.png", "three.png")
    said = result.stderr.splitlines()[1]
    assert re.fullmatch(
        r"three.png: dark ink, the best of \d+ candidates; nearest 3 at \d+\.\d, then \d at \d+\.\d", said
    )
    with Image.open("seen.png") as seen:
        assert seen.size == (1240, 556)
        assert {(0, 114, 178), (213, 94, 0)} <= {colour for _, colour in seen.getcolors(1 << 20)}  # a bar, the frame


def test_explain_of_a_picture_read_as_it_is_tells_of_no_ink() -> None:
    """Dark ink was called light, and its negative was shown as the ink that was found."""
    drawing(3).save("three.png")
    network, sheet = LeNet5(Config(seed=1, as_is=True)), glyphs.read()
    checkpoint.write("as-is.pkl", Checkpoint(network.pairs(), sheet, config={"as_is": True}))
    result = run("predict", "--model", "as-is.pkl", "--explain", "seen.png", "three.png")
    said = result.stderr.splitlines()[1]
    assert re.fullmatch(r"three.png: only scaled; nearest \d at \d+\.\d, then \d at \d+\.\d", said)
    read = Image.fromarray(read_sample("three.png", as_is=True)).resize((SIDE, SIDE), 0)
    with Image.open("seen.png") as seen:  # the second panel, inside its frame
        assert not ImageChops.difference(seen.crop((328, 44, 608, 324)).convert("L"), read).getbbox()


def test_explain_of_mnists_own_form_says_that_it_is_refused() -> None:
    Image.fromarray(read_sample(np.asarray(drawing(3)))).save("three.png")
    result = run("predict", "--accept", "0", "--explain", "seen.png", "three.png", code=1)
    nearest = r"nearest 3 at \d+\.\d, then \d at \d+\.\d; no digit"
    assert re.fullmatch(f"three.png: already in MNIST's format; {nearest}", result.stderr.splitlines()[1])


def test_explain_shows_names_whole_beside_their_bars() -> None:
    """Of names longer than two characters, the first two stood there, which several classes may share."""
    drawing(3).save("three.png")
    codes, panels = glyphs.read().codes[:3], []
    for other in ("class 2", "class 3"):
        sheet = glyphs.Sheet(codes, ("class 1", other, "class 10"))
        checkpoint.write("named.pkl", Checkpoint(LeNet5(Config(seed=1), sheet).pairs(), sheet))
        run("predict", "--model", "named.pkl", "--explain", "seen.png", "three.png", "--overwrite")
        with Image.open("seen.png") as seen:
            panels.append(seen.crop((936, 44, 1216, 324)))
    assert ImageChops.difference(*panels).getbbox()


def test_explain_writes_no_long_name_over_what_stands_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ends: dict[str, list[tuple[float, float]]] = {"name": [], "score": [], "distance": []}
    write = ImageDraw.ImageDraw.text

    def text(pen: ImageDraw.ImageDraw, place: tuple[float, float], said: str, fill: str, font: Any, **how: Any) -> None:
        kinds = {"name": r"W+\.\.\.W*\d\d", "score": r" at \S+ \+ \S+", "distance": r"\d+\.\d"}
        for kind in (kind for kind, pattern in kinds.items() if re.fullmatch(pattern, said)):
            ends[kind].append((place[0], place[0] + font.getlength(said)))
        write(pen, place, said, fill, font, **how)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    drawing(3).save("three.png")
    sheet = glyphs.Sheet(glyphs.read().codes, tuple(f"{14 * 'W'}{place}{place}" for place in range(10)))
    checkpoint.write("named.pkl", Checkpoint(LeNet5(Config(seed=1), sheet).pairs(), sheet))
    run("predict", "--model", "named.pkl", "--explain", "seen.png", "three.png")
    names, candidates = ends["name"][:10], list(zip(ends["name"][10:], ends["score"], strict=True))
    assert len(candidates) > 1
    assert candidates[0][0][0] >= 0
    assert all(name[1] == score[0] for name, score in candidates)
    assert all(one[1][1] < other[0][0] for one, other in pairwise(candidates))
    assert max(end for _, end in names) <= 12 + LONG_NAME  # where the glyphs begin
    assert max(end for _, end in ends["distance"]) <= SIDE


@pytest.mark.parametrize(("sheet", "which"), [("digits", "each glyph"), ("letters", "the 10 nearest")])
def test_explain_says_of_which_glyphs_the_distances_are(
    sheet: str, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda _pen, _place, said, *_, **__: written.append(said))
    drawing(3).save("three.png")
    network = LeNet5(Config(seed=1, glyphs=sheet))
    checkpoint.write("own.pkl", Checkpoint(network.pairs(), network.sheet))
    run("predict", "--model", "own.pkl", "--explain", "seen.png", "three.png")
    assert [said for said in written if said.startswith("squared")] == [f"squared distance to {which}"]


def test_explain_keeps_names_that_run_from_right_to_left_in_their_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """A candidate was "at 33.6 + 0.0 א", and the path א/2.png was 2/א.png."""
    written: list[str] = []
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda _pen, _place, said, *_, **__: written.append(said))
    Path("א").mkdir()
    drawing(3).save("א/2.png")
    sheet = glyphs.Sheet(glyphs.read().codes[:2], ("ב", "ג"))
    checkpoint.write("named.pkl", Checkpoint(LeNet5(Config(seed=1), sheet).pairs(), sheet))
    run("predict", "--model", "named.pkl", "--explain", "seen.png", "א/2.png")
    assert written[-1].startswith("\u200eא\u200e/\u200e2.png: dark ink")
    candidates = [name for name, said in pairwise(written) if re.fullmatch(r" at \d+\.\d \+ \d+\.\d", said)]
    assert len(candidates) > 1
    assert set(candidates) <= {"ב", "ג"}


def test_explain_writes_what_pillows_own_font_has_not() -> None:
    """Two different characters were the same box."""
    pytest.importorskip("matplotlib")
    codes, pictures = glyphs.read().codes[:2], []
    for name in "éЖ":
        drawing(3).save(f"{name}.png")
        sheet = glyphs.Sheet(codes, (name, "b"))
        checkpoint.write("named.pkl", Checkpoint(LeNet5(Config(seed=1), sheet).pairs(), sheet))
        run("predict", "--model", "named.pkl", "--explain", "seen.png", f"{name}.png", "--overwrite")
        with Image.open("seen.png") as seen:
            pictures.append(seen.copy())
    for part in ((936, 44, 1216, 324), (0, 500, 1240, 556)):  # the bars, the words
        assert ImageChops.difference(*(picture.crop(part) for picture in pictures)).getbbox()


def test_explain_writes_each_part_in_a_font_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the font of a Thai or Devanagari name has no Latin letters, or the other way, these were boxes."""
    fonts = [("letters", "letters.ttf", {*map(ord, "one")}), ("kannada", "kannada.ttf", {ord("ಕ")})]
    monkeypatch.setattr(explanation.fonts, "installed", lambda: iter(fonts))
    assert explanation._pieces("o/ಕಕ.png") == ["o/", "ಕಕ", ".png"]
    assert explanation._installed("ಕಕ") == ("kannada.ttf", True)
    assert explanation._pieces("ಕಕ") == ["ಕಕ"]


def test_explain_takes_any_name_of_a_picture_and_writes_what_its_own_name_says() -> None:
    drawing(3).save("a\nb.png")
    assert "a\\nb.png: dark ink" in run("predict", "--explain", "seen.jpg", "a\nb.png").stderr
    with Image.open("seen.jpg") as seen:
        assert seen.format == "JPEG"
    said = "--explain seen.pdf: expected a name that ends in .png, .jpg, .jpeg, .webp"
    assert said in run("predict", "--explain", "seen.pdf", "a\nb.png", code=2).stderr


def test_explain_is_for_one_picture_and_replaces_nothing_unasked() -> None:
    drawing(3).save("three.png")
    result = run("predict", "--explain", "seen.png", "three.png", "three.png", code=2)
    assert "--explain shows one picture; 2 were given" in result.stderr
    assert not Path("seen.png").exists()
    Path("seen.png").write_bytes(b"mine")
    assert "--overwrite replaces it" in run("predict", "--explain", "seen.png", "three.png", code=2).stderr
    assert Path("seen.png").read_bytes() == b"mine"
    run("predict", "--explain", "seen.png", "three.png", "--overwrite")
    assert Path("seen.png").read_bytes() != b"mine"


def test_explain_does_not_replace_the_picture_it_reads() -> None:
    drawing(3).save("three.png")
    before = Path("three.png").read_bytes()
    result = run("predict", "--explain", "./three.png", "three.png", "--overwrite", code=2)
    assert result.stderr.endswith("--explain three.png: is the picture to read; give the output another name\n")
    assert Path("three.png").read_bytes() == before


def test_several_digits_are_told() -> None:
    page = Image.new("L", (400, 200), 255)
    page.paste(drawing(3), (0, 0))
    page.paste(drawing(7, size=150), (220, 20))
    page.save("page.png")
    for form in ((), ("--csv",)):
        result = run("predict", "page.png", *form)
        assert result.stderr.splitlines()[1] == "page.png: 1 more beside it; --all reads them"
    assert answers("page.png")[0]["others"] == 1


def test_an_empty_page_gets_a_reason_instead_of_a_digit() -> None:
    Image.new("L", (100, 100), 200).save("empty.png")
    result = run("predict", "empty.png", code=1)
    assert result.stderr.splitlines()[1] == "empty.png: no digit: nothing on it stands out"
    assert result.stdout == ""
    assert answers("empty.png", code=1) == [{"file": "empty.png", "digit": None, "reason": "nothing on it stands out"}]


@pytest.mark.parametrize("option", ["--accept", "--timeout"])
def test_what_is_not_a_number_is_refused(option: str) -> None:
    said = run("predict", option, "nan", "three.png", code=2).stderr
    assert said.endswith(f"Error: Invalid value for '{option}': 'nan' is not a number.\n")


@pytest.mark.parametrize(
    ("option", "reason"), [("--rotate=0", "nothing on it stands out"), ("--all", "none was found on it")]
)
def test_explain_of_an_empty_page_says_once_that_nothing_is_on_it(option: str, reason: str) -> None:
    Image.new("L", (100, 100), 200).save("empty.png")
    result = run("predict", option, "--explain", "seen.png", "empty.png", code=1)
    assert result.stderr.splitlines()[1:] == [
        "seen.png: not written",
        f"empty.png: no digit: {reason}",
    ]
    assert not Path("seen.png").exists()


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Have every network that is read keep distances of held-out digits, from 0 to 2."""
    distances = [0.0, 1.0, 2.0]
    restore = LeNet5.restore.__func__

    def restored(cls: type[LeNet5], saved: Checkpoint) -> LeNet5:
        network = restore(cls, saved)
        network.distances = np.array(distances)
        return network

    monkeypatch.setattr(LeNet5, "restore", classmethod(restored))
    return distances


@pytest.mark.usefixtures("strict")
def test_what_is_far_from_every_glyph_is_no_digit_unless_all_is_accepted() -> None:
    drawing(3).save("three.png")
    [answer] = answers("three.png", code=1)
    assert answer["digit"] is None
    assert answer["reason"] == f"the nearest glyph, 3, is at {answer['distance']:.1f}, beyond 2.0"
    [answer] = answers("three.png", "--accept", "0.5", code=1)
    assert answer["reason"].endswith(", beyond 1.0")
    [answer] = answers("three.png", "--accept", "1")
    assert answer["digit"] == 3
    assert "reason" not in answer


def test_accept_needs_a_model_that_knows_the_distances_of_digits() -> None:
    drawing(3).save("three.png")
    untrained(Path("model.pkl"))
    said = "Error: model.pkl: has no distances of validation images, which --accept needs; leave it out\n"
    assert run("predict", "--accept", "0.9", "three.png", code=1).stderr.endswith(said)
    run("predict", "--accept", "1", "three.png")


def test_a_broken_model_pkl_says_how_to_read_without_it() -> None:
    drawing(3).save("three.png")
    Path("model.pkl").write_bytes(b"")
    said = "Error: model.pkl: empty; expected a checkpoint; --model bundled reads with the bundled model\n"
    assert run("predict", "three.png", code=1).stderr == said
    assert (
        run("predict", "--model", "model.pkl", "three.png", code=1).stderr
        == "Error: model.pkl: empty; expected a checkpoint\n"
    )
    run("predict", "--model", "bundled", "three.png")


def test_rotate_turns_what_lies_on_its_side() -> None:
    drawing(3).transpose(Image.Transpose.ROTATE_90).save("side.png")
    assert answers("side.png", "--rotate", "90")[0]["digit"] == 3


def test_a_folder_without_pictures_among_others_is_a_line_of_its_own() -> None:
    drawing(3).save("a.png")
    Path("empty").mkdir()
    result = run("predict", "a.png", "empty", code=1)
    assert result.stdout.splitlines()[1].split()[:2] == ["a.png", "3"]
    assert result.stderr == "Reading with the bundled model.\nempty: no pictures in this folder\n"


def test_csv_has_a_row_a_picture() -> None:
    drawing(3).save("a,b.png")
    Image.new("L", (100, 100), 200).save("empty.png")
    Path("bad.png").write_bytes(b"hello")
    rows = list(csv.reader(run("predict", "--csv", "a,b.png", "empty.png", "bad.png", code=1).stdout.splitlines()))
    assert rows[0] == ["file", "digit", "probability", "distance", "reason"]
    assert rows[1][:2] == ["a,b.png", "3"]
    assert rows[1][4] == ""
    assert rows[2] == ["empty.png", "", "", "", "nothing on it stands out"]
    assert rows[3][:4] == ["bad.png", "", "", ""]
    assert rows[3][4].startswith("not a picture")
    assert "give one" in run("predict", "--csv", "--json", "a,b.png", code=2).stderr


def test_csv_controls_no_terminal_and_is_exact_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {"file": "\x1b[2J.png", "error": r"\x1b[2J.png: empty; expected a picture"}
    for terminal, name in ((True, r"\x1b[2J.png"), (False, "\x1b[2J.png")):
        monkeypatch.setattr(sys, "stdout", printed := io.StringIO())
        monkeypatch.setattr(printed, "isatty", lambda terminal=terminal: terminal)
        printer(glyphs.read(), 1, every=False, as_json=False, as_csv=True)(answer)
        assert printed.getvalue().splitlines()[1] == f"{name},,,,empty; expected a picture"


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such names of files")
def test_csv_quotes_a_name_that_has_the_end_of_a_line() -> None:
    for name in ("carriage\rreturn.png", "new\nline.png", 'a "quote".png'):
        drawing(3).save(name)
        printed = run("predict", "--csv", name).stdout_bytes.decode()
        assert printed.startswith("file,digit,probability,distance,reason\n")
        assert printed.count("\r\n") == 0
        _, row = csv.reader(io.StringIO(printed, newline=""))
        assert row[:2] == [name, "3"]


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("three.png", "three.png "),
        ("thirteen.p", "thirteen.p"),
        ("seventeen.png", "seve…n.png"),
        ("三.png", "三.png    "),  # which takes two columns
        ("三三三.png", "三三三.png"),
        ("三三三三.png", "三三三…png"),
        (20 * "三", "三三…三三 "),
    ],
)
def test_a_name_fills_ten_columns(name: str, cell: str) -> None:
    assert _cell(name, 10) == cell


def test_names_of_classes_may_be_wide() -> None:
    sheet = glyphs.Sheet(glyphs.read().codes[:3], ("一二三四", "a", "b"))
    network = LeNet5(Config(seed=1), sheet)
    checkpoint.write("wide.pkl", Checkpoint(network.pairs(), sheet))
    drawing(3).save("three.png")
    head, *rows = run("predict", "three.png", "--model", "wide.pkl", "--top", 3).stdout.splitlines()
    assert len(rows) == 3
    for row in rows:
        before = row[: row.rindex("0.")]
        assert len(before) + sum(character in "一二三四" for character in before) == head.index("probability")


def test_long_names_are_cut_in_the_middle_and_unlikely_answers_are_left_out() -> None:
    name = f"a{'b' * 100}c.png"
    drawing(3).save(name)
    head, *rows = run("predict", "--top", 10, name).stdout.splitlines()
    assert head.split() == ["file", "digit", "probability"]
    assert rows[0].split()[0] == f"a{'b' * 23}…{'b' * 20}c.png"
    probabilities = [row.split()[-1] for row in rows]
    assert probabilities == sorted(probabilities, reverse=True)
    assert "0.0000" not in probabilities


@pytest.mark.parametrize(
    ("form", "named"), [("--csv", "--csv"), ("--json", "--json, which has the probability of every class")]
)
def test_further_answers_are_refused_where_they_would_not_be_shown(form: str, named: str) -> None:
    result = run("predict", "--top", 2, form, "three.png", code=2)
    message = "--top goes with the table of one digit per picture, not with"
    assert result.stderr.endswith(f"Error: {message} {named}\n")


def test_an_empty_name_is_not_the_current_folder() -> None:
    drawing(3).save("three.png")
    result = run("predict", "", code=2)
    assert result.stderr.endswith("'PICTURE|FOLDER|-...': an empty name; expected a picture, a folder or -\n")
    assert result.stdout == ""


def test_an_interruption_leaves_what_was_read_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    for digit in range(4):
        drawing(digit).save(f"{digit}.png")
    echo, rows = click.echo, []

    def interrupted(message: object = None, **how: object) -> None:
        if len(rows) == 2 and not how:
            raise KeyboardInterrupt
        if not how:
            rows.append(message)
            echo(message, **how)

    monkeypatch.setattr(click, "echo", interrupted)
    with pytest.raises(SystemExit) as stopped:
        lenet5.main(["predict", "--json", "0.png", "1.png", "2.png", "3.png"])
    assert stopped.value.code == 130
    assert [json.loads(row)["file"] for row in rows[:2]] == ["0.png", "1.png"]


def test_threads_do_not_change_the_answers() -> None:
    for digit in range(10):
        drawing(digit).save(f"{digit}.png")
    assert answers(".", "--threads", 1) == answers(".", "--threads", 4)


def test_without_opencv_the_message_says_how_to_get_it() -> None:
    drawing(3).save("three.png")
    code = "import sys; sys.modules['cv2'] = None; from lenet5_cli.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "predict", "three.png"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("Error: pictures are read with OpenCV, which cannot be imported: ")
    assert done.stderr.endswith("; pip install opencv-python-headless\n")


def test_one_picture_away_from_a_terminal_waits_for_no_bar_and_no_table() -> None:
    drawing(3).save("digit.png")
    code = (
        "import sys; from lenet5_cli.commands import lenet5; lenet5(['predict', 'digit.png'], standalone_mode=False);"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    *_, answer, modules = shown.splitlines()
    assert answer.split() == ["digit.png", "3", answer.split()[-1]]
    assert not set(modules.split()) & {"tqdm", "rich", "pooch", "matplotlib", "optuna", "mpi4py", "multiprocessing"}
