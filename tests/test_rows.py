"""Rows of digits: boxes, ruled lines, the page's edge, pieces of digits, brackets."""

from itertools import product

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from lenet5_cli.engine.network import LeNet5
from lenet5_cli.pictures import rows, segment
from lenet5_cli.pictures.read import read_digits
from tests.pages import SIDE, Nearest, read, sheet, write


@pytest.fixture(scope="module")
def network() -> Nearest:
    return Nearest()


def test_a_row_may_slope_and_ink_may_be_light(network: Nearest) -> None:
    sloping = sheet(["4207135"]).rotate(4, expand=True, fillcolor=255, resample=Image.Resampling.BICUBIC)
    assert str(read(sloping, network)) == "4207135"
    assert str(read(Image.eval(sheet(["2043"]), lambda x: 255 - x), network)) == "2043"


def test_boxes_and_a_table_around_the_digits_are_no_digits(network: Nearest) -> None:
    image = sheet(["72104", "90210"], pitch=90)
    draw = ImageDraw.Draw(image)
    for row, place in product(range(2), range(5)):
        left, top = 50 + 90 * place - 18, 40 + 110 * row - 15
        draw.rectangle((left, top, left + 90, top + 90), outline=0, width=2)
    assert str(read(image, network)) == "72104\n90210"


def test_boxes_apart_are_frames(network: Nearest) -> None:
    image = sheet(["3507"], pitch=110)
    for place in range(4):
        left = 50 + 110 * place - 20
        ImageDraw.Draw(image).rectangle((left, 22, left + 84, 120), outline=0, width=3)
    assert str(read(image, network)) == "3507"


def test_rings_around_small_digits_are_no_digits(network: Nearest, monkeypatch: pytest.MonkeyPatch) -> None:
    image = sheet(["46"], pitch=260, leading=260)
    image = ImageOps.expand(image, (100, 100, 0, 0), 255)
    for place in range(2):
        left = 72 + 260 * place
        ImageDraw.Draw(image).ellipse((left, 50, left + 220, 290), outline=0, width=5)
    assert str(read(image, network)) == "46"
    monkeypatch.setattr(rows, "HELD", 0.4)
    assert str(read(image, network)) != "46"


def test_what_is_high_and_at_the_edge_is_beyond_the_page(network: Nearest, monkeypatch: pytest.MonkeyPatch) -> None:
    image = sheet(["2578"])
    right = image.width - 1
    ImageDraw.Draw(image).line((right, 5, right, 125), fill=0, width=14)
    assert str(read(image, network)) == "2578"
    monkeypatch.setattr(rows, "BEYOND", 9)
    assert str(read(image, network)) == "25781"


@pytest.mark.parametrize("lean", [-0.13, 0.13])
def test_sides_of_boxes_at_a_slant_are_no_ones_and_a_one_on_a_line_is(network: Nearest, lean: float) -> None:
    image = sheet(["35217"], pitch=90)
    draw = ImageDraw.Draw(image)
    for place in range(6):
        left = 32 + 90 * place
        draw.line((left - 50 * lean, 20, left + 50 * lean, 120), fill=0, width=2)
    for edge in (20, 120):
        draw.line((32, edge, 482, edge), fill=0, width=2)
    assert str(read(image, network)) == "35217"
    image = sheet(["35217"])
    ImageDraw.Draw(image).line((0, 98, image.width, 98), fill=0, width=2)
    assert str(read(image, network)) == "35217"


def test_digits_stand_on_a_ruled_line(network: Nearest) -> None:
    image = sheet(["27103"])
    draw = ImageDraw.Draw(image)
    draw.line((0, 102, image.width, 99), fill=0, width=2)
    assert str(read(image, network)) == "27103"


def test_a_one_that_is_higher_than_most_digits_is_no_ruled_line(monkeypatch: pytest.MonkeyPatch) -> None:
    image, network = sheet(["72 05 36", "20 9 05"]), LeNet5.load()
    for left in (170, 290):
        ImageDraw.Draw(image).line((left, 125, left, 216), fill=0, width=5)
    assert str(read_digits(image, network)) == "720536\n2019105"
    monkeypatch.setattr(rows, "HIGHEST", 0)
    assert str(read_digits(image, network)) == "720536\n20905"


def test_a_digit_in_pieces_stays_in_its_row(network: Nearest) -> None:
    image = sheet(["27503"])
    ImageDraw.Draw(image).rectangle((50 + 2 * SIDE, 70, 40 + 3 * SIDE, 73), fill=255)
    assert str(read(image, network)) == "27503"


def test_a_broken_digit_joins_the_row_that_its_parts_stand_in_together(network: Nearest) -> None:
    image = sheet(["27503"])
    ImageDraw.Draw(image).rectangle((50 + SIDE, 66, 40 + 2 * SIDE, 70), fill=255)  # both in halves, one above the other
    ImageDraw.Draw(image).rectangle((50 + 2 * SIDE, 70, 40 + 3 * SIDE, 73), fill=255)
    assert str(read(image, network)) == "27503"


def test_a_row_may_go_on_higher(network: Nearest, monkeypatch: pytest.MonkeyPatch) -> None:
    image = sheet(["72", "", "36"])
    image = ImageOps.expand(image, (0, 20, 250, 0), 255)
    for place, digit in enumerate("504"):
        write(image, digit, 230 + SIDE * place, 20)
    assert str(read(image, network)) == "72504\n36"
    monkeypatch.setattr(rows, "ASIDE", 1)
    assert str(read(image, network)) == "504\n72\n36"


def test_an_exponent_is_read_in_its_row(network: Nearest, monkeypatch: pytest.MonkeyPatch) -> None:
    image = ImageOps.expand(sheet(["5 43", "", "6071"]), (0, 50, 0, 0), 255)
    write(image, "2", 50 + SIDE, 50)
    assert str(read(image, network)) == "5243\n6071"
    monkeypatch.setattr(rows, "EXPONENT", 0)
    assert str(read(image, network)) == "2\n543\n6071"


def test_brackets_do_not_say_how_high_the_digits_of_a_row_are(network: Nearest) -> None:
    image = sheet(["  27  "], leading=200)
    for middle, side in ((140, -1), (330, 1)):
        arc = [(middle + side * bulge, top) for top, bulge in ((8, 0), (40, 18), (100, 26), (160, 18), (190, 0))]
        ImageDraw.Draw(image).line(arc, fill=0, width=5)
    assert str(read(image, network)) == "27"


def test_brackets_are_no_ones_and_join_no_digit(monkeypatch: pytest.MonkeyPatch) -> None:
    image, network = sheet([" 27 0 "]), LeNet5.load()
    for middle, side in ((105, -1), (235, 1)):
        arc = [(middle + side * bulge, top) for top, bulge in ((30, 0), (45, 9), (70, 14), (95, 9), (110, 0))]
        ImageDraw.Draw(image).line(arc, fill=0, width=5, joint="curve")
    assert str(read_digits(image, network)) == "270"
    network.names = tuple("0(23456789")  # a class of its own stays
    assert read_digits(image, network).named(network.names) == "(27(0"
    network.names = tuple("0123456789")
    monkeypatch.setattr(rows, "BOWED", 1)
    assert str(read_digits(image, network)) == "12710"


def test_an_eight_that_bows_is_no_bracket() -> None:
    image = ImageOps.expand(sheet(["2 7"]), (0, 30, 0, 0), 255)
    turn = np.linspace(0, 2 * np.pi, 60)
    across, along = 14 * np.cos(turn), 26 * np.sin(turn)
    for middle, lean in ((60, -0.4), (108, 0.4)):  # one loop leans to the right, the one below it to the left
        x, y = 138 + across + lean * along, middle + along
        ImageDraw.Draw(image).line(list(zip(x.tolist(), y.tolist(), strict=True)), fill=0, width=3)
    _, [row], _ = rows.rows_of(next(segment.inks(np.asarray(image))), brackets=False)
    assert len(row) == 3


def test_a_high_bracket_hardly_bows(monkeypatch: pytest.MonkeyPatch) -> None:
    image, network = ImageOps.expand(sheet([" 27"]), 30, 255), LeNet5.load()
    arc = [(127 - bulge, top) for top, bulge in ((43, 0), (70, 8), (102, 11), (135, 8), (162, 0))]
    ImageDraw.Draw(image).line(arc, fill=0, width=5, joint="curve")
    assert str(read_digits(image, network)) == "27"
    monkeypatch.setattr(rows, "BOWED", 0.2)
    assert str(read_digits(image, network)) == "127"


def test_the_edge_of_a_page_is_no_row_but_a_digit_that_reaches_it_is_one(network: Nearest) -> None:
    image = sheet(["203"], leading=250)
    ImageDraw.Draw(image).line((image.width - 3, 150, image.width - 3, 215), fill=0, width=5)
    assert str(read(image, network)) == "203"
    alone = sheet(["1"])
    assert str(read(alone.crop((0, 0, 80, 103)), network)) == "1"


def test_a_bar_along_the_edge_is_no_row_whatever_is_on_it(network: Nearest) -> None:
    page = Image.new("L", (800, 600), 245)  # of a drawing program
    page.paste(sheet(["20315"]).point(lambda shade: min(shade, 245)), (150, 150))
    draw = ImageDraw.Draw(page)
    draw.rectangle((0, 0, 800, 59), fill=90)
    draw.rectangle((8, 0, 59, 59), fill=255)  # what is left of the bar before it is as slim as a 1
    draw.ellipse((96, 20, 110, 37), outline=255, width=3)  # of a title, in which something dark remains
    assert str(read(page, network)) == "20315"


def test_rows_that_all_reach_the_edge_are_read(network: Nearest) -> None:
    assert str(read(sheet(["203", "170"]).crop((0, 40, 260, 211)), network)) == "203\n170"


def test_a_row_may_rise_in_steps() -> None:
    """Each part is beside the one before it, and none beside the first is the last."""
    parts = [segment.Component(n, 100 * n, 100 - 35 * n, 100 * n + 50, 160 - 35 * n, 600, edge=False) for n in range(3)]
    assert rows._joined([[part] for part in parts]) == [parts]


def test_most_marks_may_be_specks() -> None:
    """Were they the digits, these would be as high as drawings."""
    mask = np.zeros((300, 700), np.uint8)
    for place in range(6):
        mask[40:100, 50 + 100 * place : 55 + 100 * place] = 1
        for top in (150, 200):
            mask[top : top + 10, 50 + 100 * place : 54 + 100 * place] = 1
    ink = segment.Ink(255 * mask, mask, dark=False, local=False, prior=0)
    _, found, drawn = rows.rows_of(ink, brackets=False)
    assert [[each.height for each in row] for row in found] == [[60] * 6]
    assert drawn == 0


def test_rows_of_a_slanting_page_share_little_of_their_height() -> None:
    """The digits of one stand between those of the other, a third lower."""
    upper, lower = (
        [segment.Component(n, left, top, left + 40, top + 60, 600, edge=False) for n, left in enumerate(lefts)]
        for lefts, top in ((range(0, 400, 100), 0), (range(50, 450, 100), 40))
    )
    assert rows._in_rows(upper + lower) == [upper, lower]
    sloping = [segment.Component(n, 50 * n, 12 * n, 50 * n + 40, 12 * n + 60, 600, edge=False) for n in range(9)]
    assert rows._in_rows(sloping) == [sloping]


def test_a_thin_one_between_ruled_lines_is_no_remnant_of_them() -> None:
    mask = np.zeros((300, 500), np.uint8)
    mask[60::100] = mask[61::100] = 1
    mask[175:235, 300:302] = 1
    ink = segment.Ink(255 * mask, mask, dark=False, local=False, prior=0)
    _, found, _ = rows.rows_of(ink, brackets=False)
    assert [(each.left, each.top) for row in found for each in row] == [(300, 175)]


def test_digits_of_several_sizes_are_read_and_a_drawing_is_only_counted() -> None:
    mask = np.zeros((400, 1100), np.uint8)
    for place, height in enumerate([60] * 8 + [150, 250]):
        mask[100 : 100 + height, 50 + 100 * place : 70 + 100 * place] = 1
    ink = segment.Ink(255 * mask, mask, dark=False, local=False, prior=0)
    _, found, drawn = rows.rows_of(ink, brackets=False)
    assert sorted(each.height for row in found for each in row) == [60] * 8 + [150]
    assert drawn == 250 * 20


def test_a_bar_along_the_edge_and_what_is_left_of_it_are_no_row() -> None:
    bar = segment.Component(1, 100, 0, 700, 60, 36_000, edge=True)
    button = segment.Component(2, 10, 0, 60, 60, 2500, edge=True)
    assert rows._is_edge([button, bar], 800)
    digits = [button, button._replace(label=3, left=70, right=120)]
    assert not rows._is_edge(digits, 800)
