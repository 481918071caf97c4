"""Several digits on a picture: what is read in rows, touching digits, what is no digit, bounded work."""

import json
import re
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from lenet5_cli.config import Config
from lenet5_cli.data import glyphs
from lenet5_cli.engine.network import LeNet5
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.pictures import lines, segment
from lenet5_cli.pictures import read as one
from lenet5_cli.pictures.decode import Page
from lenet5_cli.pictures.lines import Text
from lenet5_cli.pictures.normalise import normalise
from lenet5_cli.pictures.read import read_digits
from lenet5_cli.pictures.rows import MARKS_MAX
from lenet5_cli.reports.explanation import draw_text, text_in_words
from lenet5_cli.storage import checkpoint
from tests.conftest import run
from tests.pages import SIDE, Nearest, read, sheet, write

PHOTO = Path(__file__).parent.parent / "docs" / "photo.jpg"


@pytest.fixture(scope="module")
def network() -> Nearest:
    return Nearest()


def test_rows_are_read_from_the_top_and_each_from_the_left(network: Nearest) -> None:
    text = read(sheet(["72104", "90 18", "356"]), network)
    assert str(text) == "72104\n9018\n356"
    assert [[each.digit for each in row] for row in text.rows] == [[7, 2, 1, 0, 4], [9, 0, 1, 8], [3, 5, 6]]
    boxes = [each.box for row in text.rows for each in row]
    assert all(left < right and top < bottom for left, top, right, bottom in boxes)
    assert all(top >= 30 and bottom <= 110 for _, top, _, bottom in boxes[:5])


@pytest.mark.parametrize("dark", [True, False])
def test_several_digits_on_a_canvas_are_read_and_its_border_is_not(network: Nearest, dark: bool) -> None:
    page = Image.new("L", (500, 420), 255)
    page.paste(sheet(["25"]), (200, 60))
    if dark:
        page = Image.fromarray(255 - np.asarray(page))
    canvas = Image.new("L", (700, 520), 235)
    canvas.paste(page, (100, 50))
    ImageDraw.Draw(canvas).rectangle((97, 47, 602, 472), outline=0, width=4)
    assert str(read(canvas, network)) == "25"


def test_several_digits_on_a_sheet_on_a_desk_are_read(network: Nearest) -> None:
    photo = np.full((500, 700), 70.0)
    photo[60:440, 150:600] = 230
    photo[100:360, 250:450] = np.minimum(230, np.asarray(sheet(["3", "25"])))
    photo += np.random.default_rng(0).normal(0, 4, photo.shape)
    text = read(Image.fromarray(np.clip(photo, 0, 255).astype(np.uint8)), network)
    assert str(text).split() == ["3", "25"]


def test_digits_in_several_colours_are_all_read(network: Nearest) -> None:
    """The page's one colour that told ink from paper best did not tell them all."""
    ink = ImageOps.invert(sheet(["5380"]))
    page = Image.new("RGB", ink.size, "white")
    part = ink.width // 4
    for place, pen in enumerate(("red", "lime", "blue", "orange")):
        box = (place * part, 0, (place + 1) * part, ink.height)
        page.paste(pen, box, ink.crop(box))
    assert str(read(page, network)) == "5380"


def test_a_table_whose_digits_touch_its_lines_is_read(network: Nearest) -> None:
    page = sheet(["53", "81"])
    draw = ImageDraw.Draw(page)
    boxes = [each.box for row in read(page, network).rows for each in row]
    lefts, _, rights, bottoms = zip(*boxes, strict=True)
    edges = (min(lefts) - 12, (max(lefts[0], lefts[2]) + 40), max(rights) + 12)
    for x in (edges[0], (rights[0] + lefts[1]) // 2, edges[2]):
        draw.line((x, 5, x, bottoms[3]), fill=0, width=3)
    for y in (5, bottoms[0], bottoms[3]):
        draw.line((edges[0], y, edges[2], y), fill=0, width=3)
    assert str(read(page, network)) == "53\n81"


@pytest.mark.parametrize(("shade", "turn"), [(150, 0), (190, 2)])
def test_squared_paper_holds_digits_and_not_ones(network: Nearest, shade: int, turn: int) -> None:
    """Dark squares hold all digits together; of faint ones, turned, much is left that is like a 1."""
    image = sheet(["27103", "48653"])
    squares = Image.new("L", image.size, 255)
    for place in range(0, max(image.size), 24):
        ImageDraw.Draw(squares).line((place, 0, place, image.height), fill=shade)
        ImageDraw.Draw(squares).line((0, place, image.width, place), fill=shade)
    paper = squares.rotate(turn, fillcolor=255, resample=Image.Resampling.BICUBIC)
    page = Image.fromarray(np.minimum(np.array(image), np.array(paper)))
    assert str(read(page, network)) == "27103\n48653"


def test_touching_digits_are_cut(network: Nearest) -> None:
    image = sheet(["  20  "], pitch=SIDE)
    write(image, "5", 50 + 5 * SIDE, 40)
    write(image, "2", 50 + 5 * SIDE + 42, 40)
    assert str(read(image, network)).endswith("52")


@pytest.mark.parametrize("threshold", [18.0, None])
def test_without_all_one_digit_of_a_row_is_answered_and_the_others_are_counted(threshold: float | None) -> None:
    network = Nearest()
    network.threshold = threshold
    image = sheet(["72104"], pitch=90)
    reading = one.read(image, network)  # type: ignore[arg-type]
    assert reading.digit in {7, 2, 1, 0, 4}
    assert reading.beside == "; 4 more beside it: --all reads them"
    found = next(each for row in read(image, network).rows for each in row if each.digit == reading.digit)
    assert found.box == pytest.approx(reading.box, abs=2)
    for place in range(6):
        ImageDraw.Draw(image).line((32 + 90 * place, 20, 32 + 90 * place, 120), fill=0, width=2)
    for edge in (20, 120):
        ImageDraw.Draw(image).line((32, edge, 482, edge), fill=0, width=2)
    assert one.read(image, network).chosen.others == 4  # type: ignore[arg-type]


def test_parts_of_what_is_no_digit_are_not_answered_as_digits(network: Nearest) -> None:
    joined = sheet(["11"], pitch=50)
    ImageDraw.Draw(joined).line([(50 + 21, 40), (75 + 21, 80), (100 + 21, 40)], fill=0, width=5)
    among = sheet(["20      "], pitch=70)
    draw = ImageDraw.Draw(among)
    for left in range(200, 560, 70):
        draw.line([(left, 45), (left + 12, 100), (left + 25, 60), (left + 38, 100), (left + 50, 45)], fill=0, width=8)
    specks = np.full((900, 1200), 255, np.uint8)
    specks[::16, ::24] = specks[8::16, ::24] = 0
    for image in (joined, specks):
        reading = one.read(image, network)  # type: ignore[arg-type]
        assert reading.digit is None
        assert reading.beside == ""
    reading = one.read(among, network)  # type: ignore[arg-type]
    assert reading.digit in {2, 0}
    assert reading.beside == "; 7 more beside it: --all reads them"


@pytest.mark.parametrize("slope", [3, 5, 8])
def test_of_a_line_at_a_slant_nothing_is_read(network: Nearest, slope: int) -> None:
    image = Image.new("L", (700, 400), 255)
    ImageDraw.Draw(image).line((50, 100, 650, 100 + 600 // slope), fill=0, width=8)
    assert read(image, network).rows == []


def test_a_digit_in_pieces_may_reach_the_edge(network: Nearest) -> None:
    image = sheet(["5"]).crop((45, 40, 105, 115))  # its bar lies on the edge
    ImageDraw.Draw(image).rectangle((0, 44, 60, 47), fill=255)
    reading = one.read(image, network)  # type: ignore[arg-type]
    assert reading.digit == 5


class Upright:
    """Stands in for a network: one component that is higher than wide is near to a digit."""

    threshold = 18.0
    names = tuple("0123456789")
    config = Config()

    def __init__(self, near: float, far: float) -> None:
        self.near, self.far = near, far

    def scores(self, images: np.ndarray) -> np.ndarray:
        scores = np.full((len(images), 10), -40.0)
        for row, image in zip(scores, images, strict=True):
            _, _, width, height = cv2.boundingRect(image)
            one = cv2.connectedComponents((image > 63).astype(np.uint8))[0] == 2
            row[1] = -self.near if one and height > width else -self.far
        return scores


def bars(*boxes: tuple[int, int, int, int], side: int = 200) -> Image.Image:
    """Return a page of filled rectangles."""
    image = Image.new("L", (side, side), 255)
    for box in boxes:
        ImageDraw.Draw(image).rectangle(box, fill=0)
    return image


@pytest.mark.parametrize(
    ("page", "answered"),
    [
        (bars((50, 50, 60, 150), (90, 50, 100, 150)), True),
        (bars((6, 8, 8, 19), (16, 8, 18, 19), side=28), True),
        (bars((20, 50, 30, 150), (70, 50, 80, 150), (120, 50, 130, 150), (20, 140, 130, 150)), False),  # one, cut
        (bars((50, 50, 60, 150), (90, 50, 100, 150), (110, 120, 190, 150)), False),  # and as much of something else
    ],
)
def test_whole_digits_side_by_side_are_several(page: Image.Image, answered: bool) -> None:
    reading = one.read(page, Upright(8, 18.5))  # type: ignore[arg-type]
    assert reading.digit == (1 if answered else None)
    assert reading.beside == ("; 1 more beside it: --all reads them" if answered else "")


def test_whole_digits_are_several_beside_a_little_else_and_none_where_they_are_as_far_as_noise() -> None:
    digits = (50, 50, 60, 150), (90, 50, 100, 150)
    assert one.read(bars(*digits, (110, 135, 190, 150)), Upright(8, 18.5)).digit == 1  # type: ignore[arg-type]
    assert one.read(bars(*digits), Upright(16, 18.5)).digit is None  # type: ignore[arg-type]


def test_upright_strokes_of_which_one_is_on_the_edge_of_a_page_are_not_digits() -> None:
    strokes = (50, 50, 60, 150), (90, 50, 100, 150)
    assert one.read(bars(*strokes), Upright(9, 18.5)).digit == 1  # type: ignore[arg-type]
    assert one.read(bars(*strokes, (189, 50, 199, 150)), Upright(9, 18.5)).digit is None  # type: ignore[arg-type]


def test_the_date_of_a_camera_is_not_answered_for_a_wide_digit() -> None:
    image, network = Image.new("L", (720, 540), 130), LeNet5.load()
    ImageDraw.Draw(image).ellipse((80, 70, 400, 320), outline=30, width=18)
    date = sheet(["2318523"]).resize((300, 90)).point([255] * 140 + [0] * 116)
    image.paste(250, (400, 440), date)
    assert one.read(image, network).digit == 0


def test_a_stroke_is_refused_as_a_digit_if_the_other_candidates_disagree() -> None:
    page = bars((50, 20, 60, 180), (90, 130, 170, 140))
    reading = one.read(page, Upright(14, 30))  # type: ignore[arg-type]
    assert reading.digit is None
    assert reading.reason == "the nearest glyph, 1, is at 14.0, 19.6 with the other candidates, beyond 18.0"
    assert one.read(page, Upright(10, 30)).digit == 1  # type: ignore[arg-type]


def test_signs_and_letters_are_skipped_one_by_one(network: Nearest) -> None:
    image = sheet(["2 7  3"], pitch=70)
    draw = ImageDraw.Draw(image)
    draw.line((130, 70, 160, 70), fill=0, width=5)
    draw.line((145, 55, 145, 85), fill=0, width=5)
    draw.line([(270, 45), (290, 100), (305, 60), (320, 100), (340, 45)], fill=0, width=5)
    assert str(read(image, network)) == "273"


def write_word(image: Image.Image, shapes: str, left: int, top: int) -> None:
    """Write digits, and zigzags for what is none, without a space between them."""
    for x, shape in zip(range(left, image.width, 46), shapes, strict=False):
        if shape.isdigit():
            write(image, shape, x, top)
        else:
            zigzag = [(x + 8 * place, top + SIDE * (place % 2)) for place in range(6)]
            ImageDraw.Draw(image).line(zigzag, fill=0, width=5)


def test_words_of_letters_are_left_out_and_numbers_with_signs_stay(network: Nearest) -> None:
    image = sheet(["       720", ""])
    write_word(image, "7w2", 50, 150)
    write_word(image, "w0", 300, 150)
    assert str(read(image, network)) == "720\n720"
    write_word(image, "w0wwww0", 50, 40)  # a page with a word may have short ones, too
    assert str(read(image, network)) == "720\n72"


def test_signs_of_a_sum_close_to_its_digits_are_no_word(network: Nearest) -> None:
    image = sheet(["    "])
    write(image, "2", 69, 40)
    write(image, "6", 180, 40)
    brackets = [[(55, 28), (40, 50), (40, 90), (55, 112)], [(235, 28), (250, 50), (250, 90), (235, 112)]]
    for sign in [*brackets, [(126, 52), (166, 92)], [(126, 92), (166, 52)]]:
        ImageDraw.Draw(image).line(sign, fill=0, width=5)
    assert str(read(image, network)) == "26"


@pytest.mark.parametrize("lean", [25, 40])
def test_a_slash_between_digits_is_no_one_and_an_upright_stroke_is(lean: int) -> None:
    image, network = sheet(["72 05 36"]), LeNet5.load()
    ImageDraw.Draw(image).line((195 + lean // 2, 36, 195 - lean // 2, 104), fill=0, width=5)
    assert str(read_digits(image, network)) == "720536"
    ImageDraw.Draw(image).line((375, 36, 375, 104), fill=0, width=5)
    assert str(read_digits(image, network)) == "7205136"


@pytest.mark.parametrize(("top", "text"), [(28, "720536"), (40, "7210536")])
def test_where_digits_do_not_lean_alike_a_slash_is_high(monkeypatch: pytest.MonkeyPatch, top: int, text: str) -> None:
    monkeypatch.setattr(lines, "ALIKE", 0)
    image = sheet(["72 05 36"])
    ImageDraw.Draw(image).line((215, top, 175, 140 - top), fill=0, width=5)
    assert str(read_digits(image, LeNet5.load())) == text


def test_a_slash_that_is_a_class_of_its_own_stays() -> None:
    image, network = sheet(["72 05 36"]), LeNet5.load()
    network.names = ("0", "/", *"23456789")
    ImageDraw.Draw(image).line((210, 36, 180, 104), fill=0, width=5)
    assert read_digits(image, network).named(network.names) == "72/0536"


def test_a_leaning_stroke_that_begins_a_row_is_a_one() -> None:
    image = sheet([" 205"])
    ImageDraw.Draw(image).line((90, 40, 70, 100), fill=0, width=5)
    assert str(read_digits(image, LeNet5.load())) == "1205"


def test_what_is_much_fainter_than_the_digits_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    image, network = sheet(["72 05"]), LeNet5.load()
    ImageDraw.Draw(image).line((195, 36, 195, 104), fill=135, width=5)
    assert str(read_digits(image, network)) == "7205"
    monkeypatch.setattr(lines, "FAINT", 0)
    assert str(read_digits(image, network)) == "72105"


def test_rows_of_low_straight_strokes_are_specks(monkeypatch: pytest.MonkeyPatch) -> None:
    image = sheet(["7204", "", "1"])
    for left in (60, 130, 220):
        ImageDraw.Draw(image).line((left, 160, left, 195), fill=0, width=5)
    assert str(read_digits(image)) == "7204\n1"
    monkeypatch.setattr(lines, "LOW", 0)
    assert str(read_digits(image)) == "7204\n111\n1"


def test_low_letters_do_not_say_how_high_the_digits_of_a_row_are(network: Nearest) -> None:
    image = sheet(["4  6  9"])
    for left in (105, 150, 295, 340):
        ImageDraw.Draw(image).line([(left + 6 * n, 70 + 27 * (n % 2)) for n in range(6)], fill=0, width=5)
    found = lines.find(np.asarray(image), network)  # type: ignore[arg-type]
    assert found is not None
    assert [int(each.distances.argmin()) for each in found.found] == [4, 6, 9]
    assert max(each.cost for each in found.found) < 1  # none is uneven


def test_low_words_with_letters_like_digits_do_not_either(network: Nearest) -> None:
    image = sheet(["        4  6"])
    word = Image.new("L", (320, 80), 255)
    write_word(word, "0w5w0w", 10, 10)
    image.paste(ImageOps.scale(word, 0.5), (50, 60))
    found = lines.find(np.asarray(image), network)  # type: ignore[arg-type]
    assert found is not None
    assert [each.digit for each in found.found] == [4, 6]
    assert max(each.cost for each in found.found) < 1


def test_what_is_hardly_a_digit_does_not_speak_against_others(network: Nearest) -> None:
    page = lines.find(np.asarray(sheet(["7204"])), network)  # type: ignore[arg-type]
    assert page is not None
    poor = page.found[0]._replace(cost=9.0)
    assert page._replace(digits=[*page.digits, [poor]]).evidence() == page.evidence() > 0


def test_readings_that_agree_outweigh_a_better_one(network: Nearest) -> None:
    page = lines.find(np.asarray(sheet(["72"])), network)  # type: ignore[arg-type]
    assert page is not None
    seven, two = (each._replace(cost=2.0) for each in page.found)
    both, again = page._replace(digits=[[seven, two]]), page._replace(digits=[[seven._replace(cost=2.5), two]])
    better = page._replace(digits=[[seven._replace(cost=0.0), two._replace(distances=two.distances[::-1])]])
    assert better.labelled != both.labelled == again.labelled
    assert lines.agreed([None, again, better]) is better
    assert lines.agreed([better, again, None, both]) is both
    assert lines.agreed([None]) is None


def test_a_reading_of_some_rows_speaks_for_one_of_more(network: Nearest) -> None:
    page = lines.find(np.asarray(sheet(["72"])), network)  # type: ignore[arg-type]
    assert page is not None
    poor = [each._replace(cost=4.0) for each in page.found]
    more, other = page._replace(digits=[poor, poor[:1]]), page._replace(digits=[poor[:1], poor[1:]])
    assert page.evidence() > more.evidence() > other.evidence() > 0
    assert lines.agreed([page, more, other]) is more
    assert lines.agreed([page, other]) is page
    assert lines.agreed([other, more._replace(digits=[])]) is other


def test_a_reading_of_a_part_of_a_row_speaks_for_the_whole(network: Nearest) -> None:
    """What lies in the shadow of a hand is read in few hypotheses about the ink, and those that lost it outvoted it."""
    page = lines.find(np.asarray(sheet(["7204"])), network)  # type: ignore[arg-type]
    assert page is not None
    row = [each._replace(cost=4.0) for each in page.found]
    lost = [page._replace(digits=[[each._replace(cost=3.0) for each in row[1:]]]) for _ in range(2)]
    whole, apart = page._replace(digits=[row]), page._replace(digits=[[row[0], *row[2:]]])
    assert whole.evidence() < lost[0].evidence() == lost[1].evidence()
    assert lines.agreed([*lost, whole]) is whole
    assert lines.agreed([*lost, apart]) is lost[0]


def test_grain_is_averaged_where_little_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    page = cv2.resize(np.asarray(sheet(["72"]), np.float32)[20:130, 30:190], None, fx=2, fy=2)
    page = (120 + page / 6 + np.random.default_rng(0).normal(0, 13, page.shape)).astype(np.uint8)
    monkeypatch.setattr(lines, "COARSE", max(page.shape) // 2)
    assert str(read_digits(page)) == "72"
    monkeypatch.setattr(lines, "COARSE", max(page.shape))
    assert str(read_digits(page)) != "72"


@pytest.mark.parametrize("height", [9, 10, 12])
def test_small_digits_are_read_enlarged(monkeypatch: pytest.MonkeyPatch, height: int) -> None:
    rows = sheet(["72104963", "90518372", "36254817"], pitch=48)
    page = Image.new("L", (640, 400), 255)
    page.paste(ImageOps.scale(rows, height / SIDE, Image.Resampling.LANCZOS), (100, 80))
    assert str(read_digits(page)) == "72104963\n90518372\n36254817"
    monkeypatch.setattr(lines, "SMALL", 0)
    assert str(read_digits(page)) != "72104963\n90518372\n36254817"


def test_only_promising_inks_are_read_enlarged(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ImageOps.scale(sheet(["72104963", "90518372", "36254817"], pitch=48), 12 / SIDE, Image.Resampling.LANCZOS)
    page = np.full((400, 640), 255.0)
    page[80 : 80 + rows.height, 100 : 100 + rows.width] = rows
    page = (page * np.linspace(0.75, 1, 640)).astype(np.uint8)  # light from one side: the background may be uneven
    images = {}
    for promising in (0.0, lines.PROMISING):
        network = LeNet5.load()
        network.scores = counted = Mock(wraps=network.scores)  # type: ignore[method-assign]
        monkeypatch.setattr(lines, "PROMISING", promising)
        assert str(read_digits(page, network)) == "72104963\n90518372\n36254817"
        images[promising] = sum(len(call.args[0]) for call in counted.call_args_list)
    assert images[lines.PROMISING] < images[0.0]


@pytest.mark.parametrize("shade", [255, 0, 128])
def test_an_empty_page_has_no_digit(network: Nearest, shade: int) -> None:
    text = read(Image.new("L", (300, 200), shade), network)
    assert text.rows == []
    assert str(text) == ""


def test_specks_are_bounded_work(network: Nearest) -> None:
    few = np.full((900, 1200), 255, np.uint8)
    few[::3, ::3] = 0
    before = network.images
    assert read(Image.fromarray(few), network).rows == []
    assert network.images - before < 30  # the candidates for one digit
    before = network.images
    marks = np.full((900, 1200), 255, np.uint8)
    for row, column in product(range(6, 880, 16), range(6, 1180, 24)):
        marks[row : row + 12, column : column + 3] = 0
    with pytest.raises(LeNet5Error) as caught:
        read_digits(marks, network)  # type: ignore[arg-type]
    assert str(caught.value) == "picture: more than 2,000 marks that may be digits; crop it to the digits"
    assert network.images - before < MARKS_MAX  # of the page reduced


def test_a_sheet_on_a_table_is_read_in_rows() -> None:
    answer = json.loads(run("predict", "--all", "--json", PHOTO).stdout)
    [digit] = answer["digits"]
    assert (answer["text"], digit["digit"]) == ("4", 4)
    assert digit["box"] == pytest.approx(json.loads(run("predict", "--json", PHOTO).stdout)["box"], abs=2)


def test_where_no_row_has_a_digit_the_page_is_read_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "find", lambda *_: None)
    answer = json.loads(run("predict", "--json", PHOTO).stdout)
    said = {name: answer[name] for name in ("digit", "probability", "distance", "box")}
    expected = {"file": str(PHOTO), "text": "4", "digits": [said]}
    assert json.loads(run("predict", "--all", "--json", PHOTO).stdout) == expected


def test_what_is_no_digit_as_a_page_has_no_text(network: Nearest) -> None:
    page = Image.new("L", (200, 200), 255)
    ImageDraw.Draw(page).line((20, 100, 180, 104), fill=0, width=5)
    reading = one.read(page, network)  # type: ignore[arg-type]
    assert reading.candidates
    assert reading.digit is None
    assert read(page, network).rows == []


def test_labels_of_two_figures_are_apart() -> None:
    row = [lines.Digit(label, 1.0, 0.0, (0, 0, 1, 1)) for label in (1, 18, 9)]
    assert str(Text([row, row[:1]], None)) == "1 18 9\n1"  # type: ignore[arg-type]


def test_predict_all_prints_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    sheet(["72104", "90210"]).save("form.png")
    Image.new("L", (60, 60), 255).save("empty.png")
    expected = Text([[lines.Digit(7, 0.5, 1.25, (1, 2, 3, 4))], [lines.Digit(0, 1.0, 0.0, (5, 6, 7, 8))]], None)  # type: ignore[arg-type]
    monkeypatch.setattr(
        one, "read_digits", lambda source, *_, **__: expected if source.name == "form.png" else Text([], None)
    )
    result = run("predict", "--all", "--threads", 1, "form.png", "empty.png", code=1)
    assert [line.split() for line in result.stdout.splitlines()] == [["file", "digits"], ["form.png", "7"], ["0"]]
    assert "empty.png: no digit: none was found on it" in result.stderr
    answers = [
        json.loads(line)
        for line in run("predict", "--all", "--json", "form.png", "empty.png", code=1).stdout.splitlines()
    ]
    first = {"digit": 7, "probability": 0.5, "distance": 1.25, "box": [1, 2, 3, 4]}
    assert answers[0]["text"] == "7\n0"
    assert answers[0]["digits"][0] == first
    assert answers[1] == {"file": "empty.png", "text": "", "digits": [], "reason": "none was found on it"}
    table = run("predict", "--all", "--csv", "form.png", "empty.png", code=1).stdout.splitlines()
    assert table[0] == "file,digit,probability,distance,left,top,right,bottom,reason"
    assert table[1] == "form.png,7,0.5000,1.2500,1,2,3,4,"
    assert table[3] == "empty.png,,,,,,,,none was found on it"


@pytest.mark.parametrize(
    ("names", "text"), [("KLMNOPQRST", "LMT"), (("one", *"LMNOPQRS", "two words"), "L M two words")]
)
def test_names_of_several_characters_stay_apart(
    names: Sequence[str], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint.write(
        "named.pkl", checkpoint.Checkpoint(LeNet5.load().pairs(), glyphs.read()._replace(names=tuple(names)))
    )
    row = [lines.Digit(place, 0.5, 1.25, (1, 2, 3, 4)) for place in (1, 2, 9)]
    monkeypatch.setattr(one, "read_digits", lambda *_, **__: Text([row], None))  # type: ignore[arg-type]
    Image.new("L", (60, 60), 255).save("form.png")
    result = run("predict", "--all", "--model", "named.pkl", "form.png")
    assert result.stdout.splitlines()[1].split(maxsplit=1) == ["form.png", text]


def test_one_digit_is_called_a_digit() -> None:
    digit = lines.Digit(3, 0.5, 1.25, (1, 2, 3, 4))
    words = [text_in_words(Text([[digit] * count], None), glyphs.DIGITS) for count in (1, 2)]  # type: ignore[arg-type]
    assert [text.split(";")[0] for text in words] == ["1 digit", "2 digits"]


def test_explain_draws_the_boxes() -> None:
    sheet(["205"]).save("form.png")
    result = run("predict", "--all", "--explain", "seen.png", "form.png")
    assert re.search(r"form\.png: \d digits; the farthest from its glyph: \d at \d+\.\d", result.stderr)
    with Image.open("seen.png") as seen:
        assert seen.width >= 1000
        assert (np.asarray(seen.convert("RGB")).std(axis=2) > 20).any()


@pytest.mark.parametrize(("size", "high"), [((200, 120), 16), ((1400, 900), 90), ((60, 1400), 20)])
def test_what_was_read_stands_above_each_digit(size: tuple[int, int], high: int) -> None:
    """On a sheet of small digits it stood in the boxes of the row above."""
    page = Page(np.full(size[::-1], 255, np.uint8), size)
    boxes = [(10, top, 10 + high // 2, top + high) for top in range(2 * high, size[1] - high, 2 * high)]
    text = Text([[lines.Digit(4, 1.0, 3.0, box)] for box in boxes], page)
    image = draw_text(text, list("0123456789"))
    scale = image.width // size[0]
    assert image.size == (scale * size[0], scale * size[1])
    assert scale * high >= 48 or scale == max(1, 8000 // max(size))
    written = (np.asarray(image.convert("RGB")) == (0, 114, 178)).all(axis=2).nonzero()[0]  # its blue
    inside = [(scale * top + 1 <= written) & (written < scale * bottom - 1) for _, top, _, bottom in boxes]
    assert len(written)
    assert not np.any(inside)


def test_top_is_for_one_digit() -> None:
    result = run("predict", "--all", "--top", 2, "form.png", code=2)
    assert "--top goes with the table of one digit per picture, not with --all\n" in result.stderr


def test_straight_strokes_are_little_evidence_for_an_ink() -> None:
    """The sides of a sheet, as 1s, outvoted the digits on it."""

    def read(drawn: str) -> lines.Rows:
        images = [normalise(255 - np.asarray(sheet([digit]))) for digit in drawn]
        piece = segment.Component(1, 0, 0, 20, 40, 400, edge=False)
        found = [
            lines.Found((piece,), image, 0.0, 1 - np.eye(10)[int(digit)], 255.0)
            for digit, image in zip(drawn, images, strict=True)
        ]
        ink = segment.Ink(np.zeros((100, 100)), np.zeros((100, 100)), True, False, 0.0)
        return lines.Rows(ink, np.zeros((100, 100)), [found], 400)

    strokes, digits = read("1111"), read("23")
    assert strokes.evidence() == pytest.approx(digits.evidence() / 2)
    assert lines.agreed([strokes, digits]) is digits


def test_stripes_are_not_read_for_long() -> None:
    """Of a picture of 170 stripes, windows of half its width were read, for minutes."""
    stripes = np.full((1000, 1400), 255, np.uint8)
    stripes[20:-20].reshape(960, -1, 8)[..., :4] = 0
    images = Nearest()
    lines.find(stripes, images)
    assert images.images < 20_000


def test_what_has_too_many_windows_is_grain(network: Nearest, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a photo of sand, 100,000 windows were read, for half a minute."""
    page = np.asarray(sheet(["25", "31"]))
    assert [len(row) for row in lines.find(page, network).digits] == [2, 2]  # type: ignore[union-attr, arg-type]
    monkeypatch.setattr(lines, "WORK_MAX", 0)
    before = network.images
    windows = lines._windows
    made: list[lines.Window] = []

    def counted(*row: Any) -> Iterator[lines.Window]:
        for each in windows(*row):
            made.append(each)
            yield each

    monkeypatch.setattr(lines, "_windows", counted)
    assert lines.find(page, network).digits == []  # type: ignore[union-attr, arg-type]
    assert network.images == before
    assert len(made) <= 12  # one for each ink: those behind it are not listed


@pytest.mark.parametrize(("pitch", "most"), [(30, 3), (40, 1)])
def test_strokes_that_are_apart_or_wide_together_are_not_one_digit(pitch: int, most: int) -> None:
    row = [segment.Component(n, pitch * n, 0, pitch * n + 20, 60, 1200, edge=False) for n in range(6)]
    windows = {(each.first, each.last) for each in lines._windows(np.zeros((60, 300)), row, 60, lines.TOUCHING)}
    assert windows == {(n, n + count) for count in range(1, most + 1) for n in range(7 - count)}


def test_touching_digits_are_cut_where_there_is_least_ink() -> None:
    mask = np.ones((60, 150), np.uint8)
    mask[2:, 71] = 0
    _, [whole] = segment.components(mask)
    (left, cost), (right, last) = lines._cut(mask, whole, 60, lines.TOUCHING)
    assert (left[1:5], right[1:5]) == ((0, 0, 71, 60), (71, 0, 150, 60))
    assert left.area + right.area == whole.area
    assert cost == pytest.approx(lines.CUT * 2 / 60)
    assert last == 0
