"""Glyph sheets: the shipped one, round trips, fonts, and each refusal with its whole message."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lenet5_cli.data import glyphs
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.files import shipped_folder

FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
SHIPPED = glyphs.read()
TEXT = glyphs.to_text(SHIPPED)
LINES = TEXT.split("\n")

# A digit is a number of 84 bits, one a pixel.
SHEETS = st.lists(st.integers(1, 2**84 - 1), min_size=10, max_size=10, unique=True).map(
    lambda numbers: np.array([[int(bit) for bit in f"{number:084b}"] for number in numbers], np.uint8)
)


def strip(scale: int = 1, mode: str = "RGB") -> Image.Image:
    return glyphs.to_image(SHIPPED, scale).convert(mode)


def encoded(image: Image.Image, name: str = "PNG") -> bytes:
    content = BytesIO()
    image.save(content, format=name)
    return content.getvalue()


def with_line(number: int, text: str) -> bytes:
    return "\n".join([*LINES[: number - 1], text, *LINES[number:]]).encode()


def with_pixel(image: Image.Image, position: tuple[int, int], colour: tuple[int, ...]) -> bytes:
    image.putpixel(position, colour)
    return encoded(image)


def refusal(function: Callable[..., object], path: Path | str, *arguments: object) -> str:
    with pytest.raises(LeNet5Error) as refused:
        function(path, *arguments)
    return str(refused.value)


def test_shipped_sheets_are_the_same_digits():
    assert glyphs.shipped() == ["digits"]
    assert SHIPPED.shape == (10, 84)
    assert SHIPPED.dtype == np.uint8
    np.testing.assert_array_equal(glyphs.read(shipped_folder("glyphs") / "digits.png"), SHIPPED)
    assert (shipped_folder("glyphs") / "digits.txt").read_text(encoding="utf-8") == TEXT
    with Image.open(shipped_folder("glyphs") / "digits.png") as image:
        assert (image.size, image.mode) == ((70, 12), "1")


def test_shipped_digits_are_easy_to_tell_apart():
    assert glyphs.closest(SHIPPED) == (3, 5, 19)


def test_text_is_drawn_as_it_is_read():
    assert "\n; 7\n######.\n######.\n....##.\n....##.\n...##..\n" in TEXT
    assert SHIPPED[7].reshape(12, 7)[2].tolist() == [0, 0, 0, 0, 1, 1, 0]


def test_image_is_black_on_white_side_by_side():
    pixels = np.asarray(strip(mode="L"))
    assert pixels.shape == (12, 70)
    for k in range(10):
        np.testing.assert_array_equal(pixels[:, 7 * k : 7 * k + 7], 255 - 255 * SHIPPED[k].reshape(12, 7))


@given(codes=SHEETS)
def test_text_round_trip(tmp_path_factory, codes):
    path = tmp_path_factory.getbasetemp() / "sheet.txt"
    glyphs.write(path, codes)
    np.testing.assert_array_equal(glyphs.read(path), codes)


@given(codes=SHEETS, scale=st.integers(1, 5))
def test_image_round_trip(tmp_path_factory, codes, scale):
    path = tmp_path_factory.getbasetemp() / "sheet.png"
    glyphs.write(path, codes, scale)
    np.testing.assert_array_equal(glyphs.read(path), codes)


def test_largest_image_is_read(tmp_path):
    glyphs.write(tmp_path / "sheet.png", SHIPPED, glyphs.MAX_SCALE)
    np.testing.assert_array_equal(glyphs.read(tmp_path / "sheet.png"), SHIPPED)


@pytest.mark.parametrize("name", ["PNG", "BMP", "GIF", "TIFF", "PPM"])
@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
def test_image_formats(tmp_path, name, mode):
    path = tmp_path / "sheet.txt"  # the content tells, not the name
    path.write_bytes(encoded(strip(mode=mode), name))
    np.testing.assert_array_equal(glyphs.read(path), SHIPPED)


@pytest.mark.parametrize("mode", ["P", "LA", "RGBA"])
def test_image_modes(tmp_path, mode):
    path = tmp_path / "sheet.png"
    path.write_bytes(encoded(strip(mode=mode)))
    np.testing.assert_array_equal(glyphs.read(path), SHIPPED)


def test_transparent_is_paper(tmp_path):
    image = Image.new("RGBA", (70, 12), (0, 0, 0, 0))
    image.paste("black", mask=strip(mode="L").point(lambda value: 255 - value))
    (tmp_path / "sheet.png").write_bytes(encoded(image))
    np.testing.assert_array_equal(glyphs.read(tmp_path / "sheet.png"), SHIPPED)


@pytest.mark.parametrize(
    "content",
    [
        TEXT.replace("\n", "\r\n").encode(),
        TEXT.replace("\n", "\r").encode(),
        TEXT.replace("\n", " \t\n").encode(),
        TEXT.encode("utf-8-sig"),
        TEXT.rstrip().encode(),
        TEXT.replace("\n\n", "\n\n\n\n").encode(),
        with_line(8, "##..##.\n; within a digit"),
        "".join(line + "\n" for line in LINES if not line.startswith(";")).encode(),
    ],
)
def test_text_may_be_written_otherwise(tmp_path, content):
    (tmp_path / "sheet").write_bytes(content)
    np.testing.assert_array_equal(glyphs.read(tmp_path / "sheet"), SHIPPED)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "0 digits; expected 10, a blank line after each"),
        ("\n".join(LINES[:128]).encode(), "9 digits; expected 10, a blank line after each"),
        (with_line(7, ""), "line 5: 2 rows in the digit 0 that begins here; expected 12, then a blank line"),
        (
            with_line(17, ";"),
            "line 5: 24 rows in the digit 0 that begins here; expected 12, then a blank line",
        ),
        (with_line(20, "######"), "line 20: 6 columns in digit 1; expected 7"),
        (with_line(20, "########"), "line 20: 8 columns in digit 1; expected 7"),
        (with_line(20, "..##o.."), "line 20: 'o' in column 5 of digit 1; expected '#' for ink or '.' for paper"),
        (b"one\x00", "line 1: 'o' in column 1 of digit 0; expected '#' for ink or '.' for paper"),
        (
            TEXT.encode("utf-16"),
            "byte 0 is 0xff, not UTF-8; expected a text of # and ., or a PNG, BMP, GIF, TIFF or PNM image",
        ),
        (glyphs.to_text(0 * SHIPPED).encode(), "digit 0 is blank; expected ink in every digit"),
        (
            glyphs.to_text(SHIPPED[[0, 1, 2, 3, 4, 5, 6, 7, 3, 9]]).encode(),
            "digits 3 and 8 are equal; expected ten different digits",
        ),
        (
            encoded(glyphs.to_image(SHIPPED[[0, 1, 2, 3, 4, 5, 6, 7, 8, 0]])),
            "digits 0 and 9 are equal; expected ten different digits",
        ),
        (
            encoded(Image.new("1", (71, 12))),
            "71x12 pixels; expected 70x12, or that enlarged 2 to 100 times",
        ),
        (
            encoded(Image.new("1", (140, 12))),
            "140x12 pixels; expected 70x12, or that enlarged 2 to 100 times",
        ),
        (
            encoded(Image.new("1", (7070, 1212))),
            "7070x1212 pixels; expected 70x12, or that enlarged 2 to 100 times",
        ),
        (
            encoded(Image.new("I;16", (70, 12))),
            "pixels of mode I;16; expected grey or RGB of 8 bits a channel",
        ),
        (
            with_pixel(strip(), (69, 3), (127, 128, 255)),
            "the pixel at x=69, y=3 is #7f80ff; expected black (#000000) or white (#ffffff)",
        ),
        (
            with_pixel(strip(mode="RGBA"), (0, 11), (0, 0, 0, 127)),
            "the pixel at x=0, y=11 is #808080; expected black (#000000) or white (#ffffff)",
        ),
        (
            with_pixel(strip(scale=2), (1, 0), (0, 0, 0)),
            "the pixel at x=1, y=0 differs from the rest of its 2x2 block; expected blocks of one colour",
        ),
        (encoded(strip())[:60], "a damaged image; expected a strip of 70x12 pixels, black on white"),
        (bytes(2**20 + 1), "1,048,577 bytes; expected a glyph sheet of at most 1,048,576"),
    ],
)
def test_sheet_is_refused(tmp_path, content, message):
    path = tmp_path / "sheet"
    path.write_bytes(content)
    assert refusal(glyphs.read, path) == f"{path}: {message}"


def test_huge_image_is_refused_by_its_header(tmp_path):
    path = tmp_path / "sheet"
    path.write_bytes(b"P4 100000 100000\n")  # 1.25 GB, if it were decoded
    expected = f"{path}: a damaged image; expected a strip of 70x12 pixels, black on white"
    assert refusal(glyphs.read, path) == expected


@pytest.mark.parametrize(("function", "expected"), [(glyphs.read, "a glyph sheet"), (glyphs.from_font, "a font")])
def test_missing_file_and_folder_are_refused(tmp_path, function, expected):
    path = tmp_path / "none"
    assert refusal(function, path) == f"{path}: no such file; expected {expected}"
    assert refusal(function, tmp_path) == f"{tmp_path}: a folder; expected {expected}"
    assert refusal(function, "a\0b") == rf"a\x00b: cannot be read: embedded null byte; expected {expected}"


@pytest.mark.parametrize("name", ["sheet.jpg", "sheet"])
def test_other_endings_are_not_written(tmp_path, name):
    path = tmp_path / name
    expected = f"{path}: ends in {path.suffix!r}; expected '.png' for an image or '.txt' for a text"
    assert refusal(glyphs.write, path, SHIPPED) == expected
    assert not path.exists()


def test_unwritable_file_is_refused(tmp_path):
    path = tmp_path / "none" / "sheet.png"
    message = refusal(glyphs.write, path, SHIPPED)
    assert message == f"{path}: cannot be written: No such file or directory"


@pytest.mark.parametrize("name", ["DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSerif.ttf", "cmr10.ttf"])
def test_font_fills_its_cells(name):
    codes = glyphs.from_font(FONTS / name)
    digits = codes.reshape(10, 12, 7)
    assert codes.dtype == np.uint8
    assert set(codes.ravel().tolist()) == {0, 1}
    assert digits.any(axis=(0, 1)).all()  # the widest digit takes the whole width


def test_font_digits_stand_on_one_line_and_are_centred():
    digits = glyphs.from_font(FONTS / "DejaVuSans.ttf").reshape(10, 12, 7)
    feet = set()
    for digit in digits:
        rows, columns = np.flatnonzero(digit.any(axis=1)), np.flatnonzero(digit.any(axis=0))
        feet.add(int(rows[-1]))
        assert 0 <= (6 - columns[-1]) - columns[0] <= 1  # an odd column goes to the right
    assert len(feet) == 1


def test_old_style_digits_hang_below_their_line_and_rise_above_it():
    digits = glyphs.from_font(FONTS / "cmmi10.ttf").reshape(10, 12, 7)
    inked = [np.flatnonzero(digit.any(axis=1)) for digit in digits]
    heads, feet = np.array([[rows[0], rows[-1]] for rows in inked]).T
    line = feet[0]
    assert set(np.flatnonzero(feet == line)) == {0, 1, 2, 6, 8}
    assert (feet[[3, 4, 5, 7, 9]] > line).all()
    assert set(np.flatnonzero(heads == heads.min())) == {6, 8}


def test_file_that_is_no_font_is_refused(tmp_path):
    path = tmp_path / "font.ttf"
    path.write_text(TEXT, encoding="utf-8")
    expected = f"{path}: not a font that can be drawn at any size; expected a TrueType or OpenType font"
    assert refusal(glyphs.from_font, path) == expected


def test_font_without_digits_is_refused():
    path = FONTS / "STIXSizOneSymReg.ttf"
    assert refusal(glyphs.from_font, path) == f"{path}: digit 0 is blank; expected ink in every digit"


def test_distances_by_hand():
    codes = np.zeros((10, 84), np.uint8)
    codes[:, :10] = np.tri(10)  # digit k has k + 1 pixels of ink, so that a and b differ in |a - b|
    codes[:9, 80:] = 1  # four pixels more wherever 9 is one of them
    expected = [[abs(a - b) + 4 * ((a == 9) != (b == 9)) for b in range(10)] for a in range(10)]
    np.testing.assert_array_equal(glyphs.distances(codes), expected)
    assert glyphs.closest(codes[[9, 0, 8, 2, 6, 4, 7, 1, 3, 5]]) == (1, 7, 1)  # 0 and 1 of before, the first at 1
