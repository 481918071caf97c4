"""``lenet5 predict``: pictures in, answers out; the bundled model."""

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from lenet5_cli import LeNet5
from lenet5_cli.commands import lenet5
from lenet5_cli.config import Config
from lenet5_cli.data import glyphs
from lenet5_cli.files import BUNDLED_MODEL
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
    assert len(re.findall(r"[01]\.\d{4}", result.stdout)) == 3


def test_the_model_is_the_one_named_then_model_pkl_then_the_one_in_the_box() -> None:
    drawing(3).save("three.png")
    assert run("predict", "three.png").stderr == "Reading with the bundled model.\n"
    untrained(Path("model.pkl"))
    assert run("predict", "three.png").stderr == "Reading with model.pkl.\n"
    untrained(Path("other.pkl"))
    assert run("predict", "--model", "other.pkl", "three.png").stderr == "Reading with other.pkl.\n"


def test_the_model_in_the_box_is_small_and_says_how_it_was_made() -> None:
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
    Path("scans/notes.txt").write_text("no picture", encoding="utf-8")
    assert [(answer["file"], answer["digit"]) for answer in answers("scans")] == [
        ("scans/a.png", 3),
        ("scans/b.JPG", 7),
    ]
    assert [answer["file"] for answer in answers("scans", "--recursive")][-1] == "scans/deeper/c.bmp"


def test_a_folder_without_pictures_is_told() -> None:
    Path("empty/deeper").mkdir(parents=True)
    told = "Error: empty: no picture in this folder"
    assert run("predict", "empty", code=1).stderr == f"{told}; --recursive looks into its folders too\n"
    assert run("predict", "--recursive", "empty", code=1).stderr == f"{told}\n"


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


def test_explain_draws_what_was_seen_and_says_it() -> None:
    drawing(3).save("three.png")
    result = run("predict", "--explain", "seen.png", "three.png")
    said = result.stderr.splitlines()[1]
    assert re.fullmatch(
        r"three.png: light background, inverted; ink \d+ % of the picture; nearest 3 at \d+\.\d, then \d at \d+\.\d",
        said,
    )
    with Image.open("seen.png") as seen:
        assert seen.size == (1240, 380)
        assert {(0, 114, 178), (213, 94, 0)} <= {colour for _, colour in seen.getcolors(1 << 20)}  # a bar, the frame


def test_explain_takes_any_name_of_a_file() -> None:
    drawing(3).save("a\nb.png")
    assert "a\\nb.png: light background" in run("predict", "--explain", "seen.png", "a\nb.png").stderr
    assert Path("seen.png").exists()


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


def test_several_digits_are_told() -> None:
    page = Image.new("L", (400, 200), 255)
    page.paste(drawing(3), (0, 0))
    page.paste(drawing(7, size=150), (220, 20))
    page.save("page.png")
    result = run("predict", "page.png")
    assert result.stderr.splitlines()[1] == "page.png: 2 digits or the like; the largest is read"
    assert answers("page.png")[0]["others"] == 1


def test_an_empty_page_gets_a_reason_instead_of_a_digit() -> None:
    Image.new("L", (100, 100), 200).save("empty.png")
    result = run("predict", "empty.png", code=1)
    assert result.stderr.splitlines()[1].startswith("empty.png: ")
    assert result.stdout == ""
