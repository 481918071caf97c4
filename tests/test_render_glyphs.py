"""``lenet5 render-glyphs``: exit code, stdout, stderr and the files left behind."""

import io
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from lenet5_cli.commands import lenet5
from lenet5_cli.data import glyphs

FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans-Bold.ttf"
ZERO_TO_FOUR = """\
 ▄██▄    ▄██    ▄████▄  ██████    ▄██
██▀▀██  ████    ▀▀  ██     ▄█▀   ▄███
██  ██    ██       ▄██   ▄██▄   ▄█▀██
██  ██    ██     ▄██▀    ▀▀▀██  ██▄██▄
██▄▄██    ██    ██▀         ██  ▀▀▀██▀
 ▀██▀   ██████  ██████  █████▀     ██
"""
DISTANCES = """\
   0  1  2  3  4  5  6  7  8  9
0  0 47 36 40 30 29 23 44 22 23
1 47  0 31 35 37 38 38 35 33 40
2 36 31  0 30 42 33 39 20 26 31
3 40 35 30  0 36 19 29 28 24 25
4 30 37 42 36  0 41 27 42 32 39
5 29 38 33 19 41  0 22 37 23 24
6 23 38 39 29 27 22  0 47 21 34
7 44 35 20 28 42 37 47  0 36 31
8 22 33 26 24 32 23 21 36  0 29
9 23 40 31 25 39 24 34 31 29  0

closest pair: 3 and 5, 19 of 84 pixels differ
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def render(*arguments: str) -> Result:
    return CliRunner().invoke(lenet5, ["render-glyphs", *arguments])


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_shipped_sheet(folder):
    result = render()
    assert (result.exit_code, result.stderr) == (0, "glyphs.png: written\n")
    assert lines(result.stdout)[-len(lines(DISTANCES)) :] == lines(DISTANCES)
    assert [line[:39].rstrip() for line in lines(result.stdout)[:6]] == lines(ZERO_TO_FOUR)
    assert files(folder) == ["glyphs.png"]
    with Image.open("glyphs.png") as image:
        assert image.size == (70, 12)
    np.testing.assert_array_equal(glyphs.read("glyphs.png").codes, glyphs.read().codes)


def test_a_shipped_sheet_goes_before_a_folder_of_its_name(folder):
    (folder / "digits").mkdir()
    (folder / "own").mkdir()
    assert render("--sheet", "digits").stdout == render("--overwrite").stdout
    refused = render("--sheet", "own", "--overwrite")
    assert refused.exit_code == 2
    assert lines(refused.stderr)[-1] == "Error: Invalid value for '--sheet': File 'own' is a directory."


def test_a_file_named_like_a_shipped_sheet_is_read_where_its_folder_is_given():
    """The shipped one was shown in its place."""
    own = glyphs.read("codes")
    glyphs.write("letters.txt", own)
    Path("letters.txt").rename("letters")
    assert render("--sheet", "./letters", "-o", "own.png").exit_code == 0
    np.testing.assert_array_equal(glyphs.read("own.png").codes, own.codes)
    np.testing.assert_array_equal(glyphs.read(Path("letters")).codes, own.codes)
    assert glyphs.read("letters").names[0] == "A"


def test_narrow_terminal_wraps_between_digits(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    result = render()
    assert lines(result.stdout)[:6] == lines(ZERO_TO_FOUR)
    assert all(len(line) <= 40 for line in lines(result.stdout))


def test_pipe_has_no_colour_codes():
    assert "\x1b" not in render().output


def test_other_encodings_get_ascii(monkeypatch):
    stdout = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", stdout)
    lenet5(["render-glyphs"], standalone_mode=False)
    stdout.seek(0)
    shown = stdout.read()
    assert lines(shown)[:2] == [
        "..##... ..##... .####.. ######. ...##.. ######. ...###. ######. ..##... .####..",
        ".####.. .###... ######. ######. ..###.. ######. ..###.. ######. .####.. ######.",
    ]
    assert lines(shown)[-1] == "closest pair: 3 and 5, 19 of 84 pixels differ"


def test_text_out_and_in_again(folder):
    assert render("--output", "mine.txt").exit_code == 0
    text = Path("mine.txt").read_text(encoding="utf-8")
    assert text == glyphs.to_text(glyphs.read())
    # Digit 3 takes the shape of digit 5 but for one pixel: the two are now the closest pair.
    digits = text.split("\n\n")
    digits[4] = digits[6].replace("= 5", "= 3").replace("######.", "#####..", 1)
    Path("mine.txt").write_text("\n\n".join(digits), encoding="utf-8")
    result = render("--sheet", "mine.txt", "-o", "mine.png")
    assert result.exit_code == 0
    assert lines(result.stdout)[-2:] == [
        "closest pair: 3 and 5, 1 of 84 pixels differ",
        "too close, under 7 pixels: 3 and 5 1",
    ]
    assert files(folder) == ["mine.png", "mine.txt"]


def test_image_in(folder):
    assert render("--output", "large.png", "--scale", "10").exit_code == 0
    with Image.open("large.png") as image:
        assert image.size == (700, 120)
    assert render("--sheet", "large.png").exit_code == 0
    assert files(folder) == ["glyphs.png", "large.png"]
    np.testing.assert_array_equal(glyphs.read("glyphs.png").codes, glyphs.read().codes)


def test_font():
    result = render("--font", str(FONT))
    assert (result.exit_code, result.stderr) == (0, "glyphs.png: written\n")
    codes = glyphs.from_font(FONT).codes
    np.testing.assert_array_equal(glyphs.read("glyphs.png").codes, codes)
    a, b, apart = glyphs.closest(codes)
    assert lines(result.stdout)[-1] == f"closest pair: {a} and {b}, {apart} of 84 pixels differ"


def test_a_character_in_two_parts_is_one_class():
    """As some systems spell an umlaut."""
    assert render("--font", str(FONT), "--characters", "a\u0308e\u0301", "-o", "two.txt").exit_code == 0
    assert glyphs.read("two.txt").names == ("\xe4", "\xe9")


def test_existing_file_is_kept_unless_overwritten():
    """The glyphs are shown all the same, for which the command may have been given."""
    Path("glyphs.png").write_bytes(b"mine")
    result = render()
    assert (result.exit_code, result.stdout) == (2, render("--output", "other.png").stdout)
    assert lines(result.stderr)[-1] == "Error: glyphs.png exists; --overwrite replaces it"
    assert Path("glyphs.png").read_bytes() == b"mine"
    assert render("--overwrite").exit_code == 0
    np.testing.assert_array_equal(glyphs.read("glyphs.png").codes, glyphs.read().codes)


@pytest.mark.parametrize(
    ("option", "name", "target"),
    [
        ("sheet", "own.txt", "own.txt"),
        ("sheet", "own.png", "own.png"),
        ("sheet", "own.png", "own.names.txt"),  # the names of the glyphs of the image
        ("font", "font.txt", "font.txt"),
    ],
)
def test_what_is_read_is_not_written_over(option, name, target):
    glyphs.write("own.png", glyphs.read("letters"))
    glyphs.write("own.txt", glyphs.read("letters"))
    Path("font.txt").write_bytes(FONT.read_bytes())
    before = Path(target).read_bytes()
    refused = render(f"--{option}", name, "-o", target, "--overwrite")
    assert refused.exit_code == 2
    message = f"Error: {target}: is also read by --{option}; give the output another name"
    assert lines(refused.stderr)[-1] == message
    assert Path(target).read_bytes() == before
    assert render("--sheet", "own.txt", "-o", "own.png", "--overwrite").exit_code == 0  # beside a text are none


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["--sheet", "a.txt", "--font", "b.ttf"], 2, "expected either --sheet or --font, not both"),
        (["--scale", "2", "--output", "a.txt"], 2, "--scale enlarges an image; a.txt is text"),
        (["--scale", "0"], 2, "Invalid value for '--scale': 0 is not in the range 1<=x<=100."),
        (
            ["--sheet", "a"],
            1,
            "a: no such file or sheet; the sheets that come with lenet5 are codes, digits, digits-letters, letters",
        ),
        (["--font", "none.ttf"], 1, "none.ttf: no such file; expected a font"),
        (["-o", "a.jpg"], 2, "--output a.jpg: expected a name that ends in .png, for an image, or .txt, for a text"),
        (["-o", "none/a.png"], 2, "none/a.png: there is no folder none"),
    ],
)
def test_refusals(folder, arguments, exit_code, message):
    result = render(*arguments)
    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert lines(result.stderr)[-1] == f"Error: {message}"
    assert files(folder) == []


def test_help_has_an_example():
    result = render("--help")
    assert result.exit_code == 0
    assert "\n    lenet5 render-glyphs --scale 10\n" in result.stdout
