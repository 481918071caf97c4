"""Glyph sheets: the shipped one, round trips, fonts, and each refusal with its whole message."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lenet5_cli.data import glyphs
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.files import shipped_folder, shipped_sheets
from tests.conftest import tiff

FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
DIGITS = glyphs.read()
SHIPPED = DIGITS.codes
TEXT = glyphs.to_text(DIGITS)
LINES = TEXT.split("\n")

NAMES = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=16)


@st.composite
def sheets(draw: st.DrawFn) -> glyphs.Sheet:
    """Any names, and as many glyphs, each a number of 84 bits, one a pixel."""
    names = draw(st.lists(NAMES, min_size=2, max_size=40, unique_by=glyphs.composed))
    numbers = draw(st.lists(st.integers(1, 2**84 - 1), min_size=len(names), max_size=len(names), unique=True))
    return glyphs.Sheet(np.array([[int(bit) for bit in f"{n:084b}"] for n in numbers], np.uint8), tuple(names))


def same(one: glyphs.Sheet, other: glyphs.Sheet) -> bool:
    return one.names == other.names and np.array_equal(one.codes, other.codes)


def text_of(codes: np.ndarray) -> bytes:
    return glyphs.to_text(glyphs.Sheet(codes, glyphs.DIGITS)).encode()


SIZE = "expected 70x12 for the ten digits, or enlarged 2 to 100 times"
SIZE += "; put other names into sheet.names.txt, one per line"
NAMELESS = "expected a line '= NAME' before each; only the ten digits need no names"


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
    assert shipped_sheets() == ["codes", "digits", "digits-letters", "letters"]
    for name in shipped_sheets():
        image = glyphs.read(shipped_folder("glyphs") / f"{name}.png")
        assert same(image, glyphs.read(name))
        assert glyphs.to_text(image) == (shipped_folder("glyphs") / f"{name}.txt").read_text(encoding="utf-8")
        assert glyphs.closest(image.codes)[2] >= glyphs.MIN_DISTANCE
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    assert (glyphs.read("letters").names, glyphs.read("digits-letters").names) == (
        tuple(letters),
        tuple("0123456789" + letters),
    )
    # Ten codes differ in no more than 5 x 5 pairs of 45 a pixel: on average in 84 x 25 / 45 = 46.7 (Plotkin's bound).
    assert glyphs.closest(glyphs.read("codes").codes)[2] == 46
    assert SHIPPED.shape == (10, 84)
    assert SHIPPED.dtype == np.uint8
    with Image.open(shipped_folder("glyphs") / "digits.png") as image:
        assert (image.size, image.mode) == ((70, 12), "1")


def test_shipped_digits_are_easy_to_tell_apart():
    assert glyphs.closest(SHIPPED) == (3, 5, 19)


def test_text_is_drawn_as_it_is_read():
    assert "\n= 7\n######.\n######.\n....##.\n....##.\n...##..\n" in TEXT
    assert SHIPPED[7].reshape(12, 7)[2].tolist() == [0, 0, 0, 0, 1, 1, 0]


def test_image_is_black_on_white_side_by_side():
    pixels = np.asarray(strip(mode="L"))
    assert pixels.shape == (12, 70)
    for k in range(10):
        np.testing.assert_array_equal(pixels[:, 7 * k : 7 * k + 7], 255 - 255 * SHIPPED[k].reshape(12, 7))


@settings(max_examples=40)
@given(sheet=sheets())
def test_text_round_trip(tmp_path_factory, sheet):
    path = tmp_path_factory.getbasetemp() / "sheet.txt"
    assert glyphs.files(path, sheet) == [path]
    glyphs.write(path, sheet)
    assert same(glyphs.read(path), sheet)


@settings(max_examples=40)
@given(sheet=sheets(), scale=st.integers(1, 5))
def test_image_round_trip(tmp_path_factory, sheet, scale):
    path = tmp_path_factory.getbasetemp() / "sheet.png"
    assert glyphs.files(path, sheet) == [path, path.with_name("sheet.names.txt")]
    glyphs.write(path, sheet, scale)
    assert same(glyphs.read(path), sheet)


def test_names_that_are_there_do_not_become_those_of_digits(tmp_path):
    path = tmp_path / "sheet.png"
    glyphs.write(path, glyphs.read("letters"))
    glyphs.write(path, DIGITS)
    assert same(glyphs.read(path), DIGITS)
    assert (tmp_path / "sheet.names.txt").read_text(encoding="utf-8") == "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n"


def test_an_image_keeps_its_names_however_its_own_is_written(tmp_path):
    letters = glyphs.read("letters")
    glyphs.write(tmp_path / "SHEET.PNG", letters)
    assert same(glyphs.read(tmp_path / "SHEET.PNG"), letters)


def test_spaces_around_names_beside_an_image_are_no_part_of_them(tmp_path):
    glyphs.write(tmp_path / "sheet.png", glyphs.read("letters"))
    names = tmp_path / "sheet.names.txt"
    names.write_text(names.read_text(encoding="utf-8").replace("\n", " \t\n"), encoding="utf-8")
    assert same(glyphs.read(tmp_path / "sheet.png"), glyphs.read("letters"))


def test_largest_image_is_read(tmp_path):
    glyphs.write(tmp_path / "sheet.png", DIGITS, glyphs.MAX_SCALE)
    assert same(glyphs.read(tmp_path / "sheet.png"), DIGITS)
    assert [file.name for file in tmp_path.iterdir()] == ["sheet.png"]


@pytest.mark.parametrize("name", ["PNG", "BMP", "GIF", "TIFF", "PPM"])
@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
def test_image_formats(tmp_path, name, mode):
    path = tmp_path / "sheet.txt"  # the content tells, not the name
    path.write_bytes(encoded(strip(mode=mode), name))
    assert same(glyphs.read(path), DIGITS)


@pytest.mark.parametrize("mode", ["P", "LA", "RGBA"])
def test_image_modes(tmp_path, mode):
    path = tmp_path / "sheet.png"
    path.write_bytes(encoded(strip(mode=mode)))
    assert same(glyphs.read(path), DIGITS)


def test_transparent_is_paper(tmp_path):
    image = Image.new("RGBA", (70, 12), (0, 0, 0, 0))
    image.paste("black", mask=strip(mode="L").point(lambda value: 255 - value))
    (tmp_path / "sheet.png").write_bytes(encoded(image))
    assert same(glyphs.read(tmp_path / "sheet.png"), DIGITS)


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
        "".join(line + "\n" for line in LINES if not line.startswith("=")).encode(),
        TEXT.replace("\n\n=", "\n=").encode(),
        TEXT.replace("= ", "=").encode(),
        TEXT.replace("\n= 4\n", "\n= 4\n\n").encode(),
    ],
)
def test_text_may_be_written_otherwise(tmp_path, content):
    (tmp_path / "sheet").write_bytes(content)
    assert same(glyphs.read(tmp_path / "sheet"), DIGITS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", f"0 glyphs without names; {NAMELESS}"),
        (
            "".join(f"{line}\n" for line in LINES[:128] if "=" not in line).encode(),
            f"9 glyphs without names; {NAMELESS}",
        ),
        (
            with_line(7, ""),
            "line 8: a glyph without a name; expected a line '= NAME' before each, or before none",
        ),
        ("\n".join(LINES[:16]).encode(), "1 class; expected 2 to 128"),
        (
            with_line(17, "= 1\n#######"),
            "line 18: 1 row in the glyph of 1 that begins here; expected 12, then a blank line or the next name",
        ),
        (with_line(20, "#"), "line 20: 1 column in glyph 1; expected 7"),
        (with_line(20, "######"), "line 20: 6 columns in glyph 1; expected 7"),
        (with_line(20, "########"), "line 20: 8 columns in glyph 1; expected 7"),
        (with_line(20, "..##o.."), "line 20: 'o' in column 5 of glyph 1; expected '#' for ink or '.' for paper"),
        (with_line(4, "= 5"), "two classes are named 5; expected a different name for each"),
        (with_line(4, "="), "line 4: the name ''; expected 1 to 16 printable characters"),
        (with_line(4, "= a\x1bb"), r"line 4: the name 'a\x1bb'; expected 1 to 16 printable characters"),
        (
            with_line(4, "= " + 17 * "x"),
            f"line 4: the name '{16 * 'x'}'... of 17 characters; expected 1 to 16 printable characters",
        ),
        (with_line(4, "= a\n= 0"), "line 4: no glyph under the name a; expected 12 rows"),
        (TEXT.encode() + b"= a\n", "line 143: no glyph under the name a; expected 12 rows"),
        (
            "".join(f"= {n}\n" + 12 * "#######\n" for n in range(129)).encode(),
            "129 classes; expected 2 to 128",
        ),
        (
            TEXT.encode("utf-16"),
            "byte 0 is 0xff, not UTF-8; expected a text of # and ., or a PNG, BMP, GIF, TIFF or PNM image",
        ),
        (
            b"\xff\xd8\xff\xe0",
            "looks like a JPEG image; expected a text of # and ., or a PNG, BMP, GIF, TIFF or PNM image",
        ),
        (text_of(0 * SHIPPED), "the glyph of 0 is blank; expected ink in every glyph"),
        (
            text_of(SHIPPED[[0, 1, 2, 3, 4, 5, 6, 7, 3, 9]]),
            "3 and 8 have the same glyph; expected a different one for each",
        ),
        (
            encoded(glyphs.to_image(SHIPPED[[0, 1, 2, 3, 4, 5, 6, 7, 8, 0]])),
            "0 and 9 have the same glyph; expected a different one for each",
        ),
        (
            encoded(Image.new("1", (71, 12))),
            f"71x12 pixels; {SIZE}",
        ),
        (
            encoded(Image.new("1", (140, 12))),
            f"140x12 pixels; {SIZE}",
        ),
        (
            encoded(Image.new("1", (7070, 1212))),
            f"7070x1212 pixels; {SIZE}",
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


def test_tiles_are_refused_by_the_header(tmp_path):
    path = tmp_path / "sheet.tif"
    path.write_bytes(tiff(70, 12, (46336, 46272)))
    with pytest.raises(LeNet5Error) as error:
        glyphs.read(path)
    assert str(error.value) == f"{path}: a tiled TIFF; expected one in strips"


def test_an_image_of_many_glyphs_is_enlarged_less(tmp_path):
    path, names = tmp_path / "sheet.png", [f"n{number}" for number in range(128)]
    path.with_name("sheet.names.txt").write_text("\n".join(names), encoding="utf-8")
    path.write_bytes(encoded(Image.new("1", (128 * 7 * 100, 1200))))
    expected = "expected 896x12 for the 128 names in sheet.names.txt, or enlarged 2 to 55 times"
    assert refusal(glyphs.read, path) == f"{path}: 89600x1200 pixels; {expected}"
    sheet = glyphs.Sheet(np.eye(128, 84, dtype=np.uint8), tuple(names))
    assert refusal(glyphs.write, path, sheet, 56) == f"{path}: 128 glyphs enlarged 56 times; expected at most 55 times"


@pytest.mark.parametrize(("function", "expected"), [(glyphs.read, "a glyph sheet"), (glyphs.from_font, "a font")])
def test_missing_file_and_folder_are_refused(tmp_path, function, expected):
    known = f"no such file or sheet; the sheets that come with lenet5 are {', '.join(shipped_sheets())}"
    missing = known if function is glyphs.read else f"no such file; expected {expected}"
    for path in (tmp_path / "none", "leters"):
        assert refusal(function, path) == f"{path}: {missing}"
    assert refusal(function, tmp_path) == f"{tmp_path}: a folder; expected {expected}"
    unreadable = missing if function is glyphs.read else f"cannot be read: embedded null byte; expected {expected}"
    assert refusal(function, "a\0b") == rf"a\x00b: {unreadable}"


@pytest.mark.parametrize(("name", "there"), [("sheet.jpg", "ends in '.jpg'"), ("sheet", "has no ending")])
def test_other_endings_are_not_written(tmp_path, name, there):
    path = tmp_path / name
    expected = f"{path}: {there}; expected '.png' for an image or '.txt' for a text"
    assert refusal(glyphs.write, path, DIGITS) == expected
    assert not path.exists()


def test_unwritable_file_is_refused(tmp_path):
    path = tmp_path / "none" / "sheet.png"
    message = refusal(glyphs.write, path, DIGITS)
    assert message == f"{path}: cannot be written: No such file or directory"


@pytest.mark.parametrize("name", ["DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSerif.ttf", "cmr10.ttf"])
def test_font_fills_its_cells(name):
    codes = glyphs.from_font(FONTS / name).codes
    digits = codes.reshape(10, 12, 7)
    assert codes.dtype == np.uint8
    assert set(codes.ravel().tolist()) == {0, 1}
    assert digits.any(axis=(0, 1)).all()  # the widest digit takes the whole width


def test_font_digits_stand_on_one_line_and_are_centred():
    digits = glyphs.from_font(FONTS / "DejaVuSans.ttf").codes.reshape(10, 12, 7)
    feet = set()
    for digit in digits:
        rows, columns = np.flatnonzero(digit.any(axis=1)), np.flatnonzero(digit.any(axis=0))
        feet.add(int(rows[-1]))
        assert 0 <= (6 - columns[-1]) - columns[0] <= 1  # an odd column goes to the right
    assert len(feet) == 1


def test_old_style_digits_hang_below_their_line_and_rise_above_it():
    digits = glyphs.from_font(FONTS / "cmmi10.ttf").codes.reshape(10, 12, 7)
    inked = [np.flatnonzero(digit.any(axis=1)) for digit in digits]
    heads, feet = np.array([[rows[0], rows[-1]] for rows in inked]).T
    line = feet[0]
    assert set(np.flatnonzero(feet == line)) == {0, 1, 2, 6, 8}
    assert (feet[[3, 4, 5, 7, 9]] > line).all()
    assert set(np.flatnonzero(heads == heads.min())) == {6, 8}


def test_file_that_is_no_font_is_refused(tmp_path):
    path = tmp_path / "font.ttf"
    path.write_text(TEXT, encoding="utf-8")
    expected = f"{path}: not a usable font; expected a TrueType or OpenType font"
    assert refusal(glyphs.from_font, path) == expected


def test_font_without_digits_is_refused():
    path = FONTS / "STIXSizOneSymReg.ttf"
    assert refusal(glyphs.from_font, path) == f"{path}: the glyph of 0 is blank; expected ink in every glyph"


def test_distances_by_hand():
    codes = np.zeros((10, 84), np.uint8)
    codes[:, :10] = np.tri(10)  # digit k has k + 1 pixels of ink, so that a and b differ in |a - b|
    codes[:9, 80:] = 1  # four pixels more wherever 9 is one of them
    expected = [[abs(a - b) + 4 * ((a == 9) != (b == 9)) for b in range(10)] for a in range(10)]
    np.testing.assert_array_equal(glyphs.distances(codes), expected)
    assert glyphs.closest(codes[[9, 0, 8, 2, 6, 4, 7, 1, 3, 5]]) == (1, 7, 1)  # 0 and 1 of before, the first at 1


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (b"", "sheet.names.txt: 0 classes; expected 2 to 128"),
        (b"a\na\n", "sheet.names.txt: two classes are named a; expected a different name for each"),
        (  # in two spellings, of which data of either went to the later class
            "\xe9\ne\u0301\n".encode(),
            "sheet.names.txt: two classes are named e\u0301; expected a different name for each",
        ),
        (b"a\n\nb\n", "sheet.names.txt: line 2: the name ''; expected 1 to 16 printable characters"),
        (b"a\n\xff\n", "sheet.names.txt: byte 2 is 0xff, not UTF-8; expected one name per line"),
        (
            b"a\nb\n",
            "sheet.png: 70x12 pixels; expected 14x12 for the 2 names in sheet.names.txt, or enlarged 2 to 100 times",
        ),
    ],
)
def test_names_beside_an_image_are_refused(names, message):
    Path("sheet.png").write_bytes(encoded(strip()))
    Path("sheet.names.txt").write_bytes(names)
    assert refusal(glyphs.read, "sheet.png") == message


@pytest.mark.parametrize("name", ["DejaVuSans.ttf", "DejaVuSerif.ttf"])
def test_wide_letters_are_narrowed_and_the_others_keep_their_height(name):
    codes = glyphs.from_font(FONTS / name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ").codes
    letters = codes.reshape(26, 12, 7)
    assert letters[[0, 12]].any(axis=1).all()  # A and M take the whole width
    assert (letters.any(axis=2).sum(axis=1) >= 8).all()  # Q and J hang below the line of the others
    assert len([pair for pair in glyphs.pairs(codes) if pair[2] < glyphs.MIN_DISTANCE]) <= 3


@pytest.mark.parametrize(("font", "characters"), [(None, "Ab?!"), (FONTS / "DejaVuSans.ttf", "AбΩ?")])
def test_font_draws_any_characters(font, characters):
    sheet = glyphs.from_font(font, characters)
    assert sheet.names == tuple(characters)
    assert sheet.codes.shape == (4, 84)


@pytest.mark.parametrize(
    ("characters", "message"),
    [
        ("A", "characters: 1 class; expected 2 to 128"),
        ("ABA", "characters: two classes are named A; expected a different name for each"),
        ("A B", "characters: the name ' '; expected 1 to 16 printable characters"),
        ("A一", "the font: has no glyph for 一; expected a font with all the characters"),
        # Nor is it put together of A and accents, as Pillow does where it has Raqm: a font gives the same everywhere.
        ("AǺ", "the font: has no glyph for Ǻ; expected a font with all the characters"),
    ],
)
def test_characters_that_cannot_be_drawn_are_refused(characters, message):
    path = FONTS / "DejaVuSansMono.ttf"
    assert refusal(glyphs.from_font, path, characters) == message.replace("the font", str(path))


def test_the_font_in_pillow_is_named_as_such():
    message = "the font in Pillow: has no glyph for 一; expected a font with all the characters (--font)"
    assert refusal(glyphs.from_font, None, "A一") == message


def test_a_sheet_is_not_enlarged_unless_that_is_asked_for(tmp_path):
    assert glyphs.to_image(SHIPPED).size == (70, 12)
    glyphs.write(tmp_path / "sheet.png", DIGITS)
    with Image.open(tmp_path / "sheet.png") as image:
        assert image.size == (70, 12)


def test_pairs_are_all_there_are_the_closest_first_and_of_equal_ones_the_first():
    codes = np.zeros((4, 84), np.uint8)
    codes[1, :3], codes[2, 3:5], codes[3, 5:6] = 1, 1, 1
    assert glyphs.pairs(codes) == [(0, 3, 1), (0, 2, 2), (0, 1, 3), (2, 3, 3), (1, 3, 4), (1, 2, 5)]
    assert glyphs.closest(codes) == (0, 3, 1)


DRAWN = {
    ("DejaVuSans.ttf", "4gW."): """\
....##. ....... #..#..# .......
...###. ....... #..#..# .......
..#.##. ..##.#. #..#..# .......
..#.##. .#..##. ....... .......
.#..##. #....#. ..#.#.. .......
#...##. #....#. .##.##. .......
####### #....#. .##.##. .......
....##. ##..##. .##.##. .......
....##. .#####. .#...#. ...#...
....... .....#. ....... .......
....... ....##. ....... .......
....... .####.. ....... .......
""",
    ("cmr10.ttf", "47gM"): """\
....#.. ###.... ....... ##...##
...##.. ######. ....... .#...#.
..###.. #...#.. ....... .##.##.
..###.. ...#... .#####. .##.##.
.#.##.. ...#... ##.##.. .##.##.
.#.##.. ..#.... ##.##.. ..#..#.
######. ..#.... .###... ..##.#.
...##.. ..#.... .#..... ...#.#.
..####. ..#.... .####.. ##.#.##
....... ..#.... #...##. .......
....... ....... #...##. .......
....... ....... .####.. .......
""",
}


@pytest.mark.parametrize(("font", "characters"), DRAWN)
def test_characters_stand_on_a_line_thickened_and_centred_and_the_widest_is_narrowed(font, characters):
    """But for two pixels, which other versions of FreeType and OpenCV may round otherwise."""
    rows = DRAWN[font, characters].splitlines()
    expected = np.array([[list(cell) for cell in row.split()] for row in rows]) == "#"
    codes = glyphs.from_font(FONTS / font, characters).codes.reshape(4, 12, 7)
    assert (codes.transpose(1, 0, 2) != expected).sum() <= 2


def test_files_that_are_too_large_are_not_read():
    Path("sheet.png").write_bytes(encoded(strip()))
    for name, limit, what, read in (
        ("sheet.names.txt", 1_048_576, "the names of classes", lambda: glyphs.read("sheet.png")),
        ("font.ttf", 67_108_864, "a font", lambda: glyphs.from_font("font.ttf")),
    ):
        with Path(name).open("wb") as file:
            file.truncate(limit + 1)
        with pytest.raises(LeNet5Error) as refused:
            read()
        assert str(refused.value) == f"{name}: {limit + 1:,} bytes; expected {what} of at most {limit:,}"


@pytest.mark.parametrize("box", [(0, 0, glyphs._MAX_GLYPH + 1, 1), (3, -2, 4, glyphs._MAX_GLYPH - 1)])
def test_a_character_of_many_ems_is_not_drawn(box):
    with pytest.raises(ValueError):  # noqa: PT011 - whose message nobody sees
        glyphs._drawn(SimpleNamespace(getbbox=lambda *_, **__: box), "a")


@pytest.mark.parametrize("stroke", [3, 6, 9, 12, 17])
def test_characters_upside_down_and_mirrored_have_codes_that_are(stroke):
    """Strokes thicken by as much on all sides, characters stand in the middle of their cells and keep their rows."""
    rng = np.random.default_rng(stroke)
    characters = []
    for columns in (1, 3, 3, 5, 5, 7, 7):  # an even number cannot be in the middle of seven
        ink = np.zeros((144, 12 * columns), np.uint8)
        for _ in range(2):
            row, column = rng.integers(144 - stroke), rng.integers(max(1, 12 * columns - stroke))
            ink[row : row + stroke] = ink[:, column : column + stroke] = 255
        characters.append((0, ink))
    codes = glyphs._in_cells(characters)
    turned = glyphs._in_cells([(0, ink[::-1, ::-1].copy()) for _, ink in characters])
    np.testing.assert_array_equal(turned, codes[:, ::-1])
    # All ink is there, in cells that it covers by half once it is thickened to 12 of these pixels.
    for code, (_, ink) in zip(codes.reshape(-1, 12, 7), characters, strict=True):
        columns = ink.shape[1] // 12
        cells = code[:, (7 - columns) // 2 :][:, :columns]
        assert cells.sum() == code.sum()
        if stroke == 17:
            covered = ink.reshape(12, 12, columns, 12).mean((1, 3)) >= 127.5
            np.testing.assert_array_equal(cells, covered)
        assert (cells.any(1)).all()
        assert (cells.any(0)).all()


def test_a_pixel_of_a_thick_character_is_ink_where_half_of_it_is():
    whole = np.zeros((12 * 16, 7 * 16), np.uint8)
    whole[: 3 * 16 + 8, : 4 * 16 + 8] = 255  # half of the fourth row, a quarter of its fifth pixel
    whole[11 * 16 :, 6 * 16 :] = 255
    expected = np.zeros((12, 7))
    expected[:4, :4] = expected[:3, 4] = expected[11, 6] = 1
    np.testing.assert_array_equal(glyphs._in_cells([(0, whole)]).reshape(12, 7), expected)
    fine = np.tile(np.uint8([[255], [0], [0], [255]]), (12 * 16, 7 * 64))  # stripes finer than those it is drawn with
    assert glyphs._in_cells([(0, fine)]).all()


def test_a_thin_slanted_line_becomes_as_thick_as_a_pixel():
    row, column = np.indices((12 * 16, 7 * 16)) + 0.5

    def away(row: np.ndarray, column: np.ndarray, slope: float) -> np.ndarray:
        return np.abs(row - slope * column) / np.hypot(1, slope)

    codes = glyphs._in_cells([(0, np.uint8(255 * (away(row, column, 12 / 7) < 1)))]).reshape(12, 7)
    thick = away(row - 8, column - 8, 11 / 6) <= 8  # from the middle of the first pixel to that of the last
    covered = thick.reshape(12, 16, 7, 16).mean((1, 3))
    clear = np.abs(covered - 0.5) > 0.05
    assert clear.sum() > 70
    np.testing.assert_array_equal(codes[clear], covered[clear] > 0.5)
