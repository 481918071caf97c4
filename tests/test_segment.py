"""From a page to hypotheses about its ink, and components that may be one digit."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from lenet5_cli.pictures import segment
from tests.conftest import drawing


def test_grey_is_brightness_where_colours_do_not_tell_more() -> None:
    shades = np.asarray(drawing(3))
    np.testing.assert_array_equal(segment.grey(shades), shades)
    np.testing.assert_array_equal(segment.grey(np.stack([shades] * 3, axis=-1)), shades)


@pytest.mark.parametrize(("ink", "paper"), [((220, 60, 60), (60, 135, 120)), ((40, 60, 200), (250, 120, 60))])
def test_grey_tells_colours_of_one_brightness_apart(ink: tuple[int, ...], paper: tuple[int, ...]) -> None:
    shades = segment.grey(np.asarray(drawing(5, ink=ink, paper=paper, mode="RGB"))).astype(int)
    where = np.asarray(drawing(5)) == 0
    assert abs(shades[where].mean() - shades[~where].mean()) > 40


def test_where_one_colour_hides_ink_how_far_all_are_from_the_paper_is_another_shade() -> None:
    page = np.full((120, 300, 3), 255, np.uint8)
    for place, colour in enumerate(((255, 0, 0), (0, 255, 0), (0, 0, 255))):
        page[30:90, 50 + 80 * place : 60 + 80 * place] = colour
    shades, told = segment.shades_of(page)
    assert len(segment.components((shades < 128).astype(np.uint8))[1]) == 2
    assert len(segment.components((told < 128).astype(np.uint8))[1]) == 3
    page[page.min(axis=2) < 255] = (0, 0, 90)
    assert len(list(segment.shades_of(page))) == len(list(segment.shades_of(page[..., 0]))) == 1


@pytest.mark.parametrize("dark", [True, False])
def test_the_plainest_hypothesis_of_a_clean_drawing_is_its_ink(dark: bool) -> None:
    shades = np.asarray(drawing(8, 300, *((60, 220) if dark else (220, 60))))
    first = next(ink for ink in segment.inks(shades) if ink.dark == dark)
    np.testing.assert_array_equal(first.mask, (shades < 140) == dark)
    assert not first.local
    assert first.prior == 0
    assert first.plane.max() == 255


def test_a_local_background_takes_a_shadow_away_and_the_page_is_uneven() -> None:
    shades = np.asarray(drawing(2, 300, 40, 230)).astype(float)
    shades[:, :120] *= 0.35
    dark = [ink for ink in segment.inks(shades.astype(np.uint8)) if ink.dark]
    where = np.asarray(drawing(2, 300)) < 128
    assert all(ink.local for ink in dark)
    assert (dark[0].mask == where).mean() > 0.98
    assert dark[0].prior == 0


def test_a_tile_that_wide_strokes_fill_is_no_uneven_page(monkeypatch: pytest.MonkeyPatch) -> None:
    shades = np.full((32, 32), 255, np.uint8)
    cv2.ellipse(shades, (13, 9), (9, 6), 0, -120, 90, (0,), 8)
    cv2.ellipse(shades, (13, 22), (10, 7), 0, -90, 120, (0,), 8)  # a 3
    assert not any(ink.local for ink in segment.inks(shades))
    np.testing.assert_array_equal(next(segment.inks(shades)).mask, shades == 0)
    monkeypatch.setattr(segment, "TILE", 31)
    assert any(ink.local for ink in segment.inks(shades))


def test_the_stronger_polarity_comes_first_and_one_that_is_nearly_as_strong_is_followed_too() -> None:
    shades = np.full((100, 100), 128, np.uint8)
    shades[20:40, 20:40], shades[60:80, 60:80] = 255, 18
    assert [ink.dark for ink in segment.inks(shades)] == [False, False, True, True]
    shades[60:80, 60:80] = 40  # 88 darker, where the other is 127 lighter
    assert [ink.dark for ink in segment.inks(shades)] == [False, False]


def test_an_even_page_has_no_ink() -> None:
    noise = np.random.default_rng(0).integers(120, 120 + segment.CONTRAST // 2, (80, 90), dtype=np.uint8)
    assert list(segment.inks(noise)) == []


def test_components_are_found_with_their_boxes_and_their_contact_with_the_edge() -> None:
    mask = np.zeros((20, 30), np.uint8)
    mask[2:10, 5], mask[10, 6] = 1, 1  # joined by a corner
    mask[0, 20:24] = 1
    labels, found = segment.components(mask)
    assert [each[1:] for each in found] == [(5, 2, 7, 11, 9, False), (20, 0, 24, 1, 4, True)]
    assert (labels == found[0].label).sum() == found[0].area


@settings(max_examples=50, deadline=None)
@given(mask=arrays.arrays(np.uint8, st.tuples(st.integers(1, 30), st.integers(1, 30)), elements=st.integers(0, 1)))
def test_components_cover_the_mask_once(mask: np.ndarray) -> None:
    labels, found = segment.components(mask)
    np.testing.assert_array_equal(labels > 0, mask > 0)
    assert sum(each.area for each in found) == mask.sum()
    assert all(found[i].length >= found[i + 1].length for i in range(len(found) - 1))


@pytest.mark.parametrize("slope", [-4, 0, 4])
def test_rules_are_removed_and_the_strokes_that_cross_them_stay(slope: int) -> None:
    mask = np.zeros((200, 400), np.uint8)
    cv2.line(mask, (0, 99), (399, 99 + slope), 1, 2)
    mask[:, 300:302] = 1
    mask[60:140, 200:206] = 1
    left = segment.without_rules(mask, 100, (100, 100))
    assert not np.delete(left, np.s_[199:207], axis=1).any()
    assert left[60:140, 200:206].mean() > 0.95


def test_strokes_that_are_as_straight_as_rules_but_short_or_thick_stay() -> None:
    mask = np.zeros((200, 400), np.uint8)
    mask[98:100, 50:130] = 1
    mask[150:170] = 1
    np.testing.assert_array_equal(segment.without_rules(mask, 100, (100, 100)), mask)


def test_squared_paper_is_removed_up_to_its_crossings() -> None:
    mask = np.zeros((300, 300), np.uint8)
    mask[::30] = mask[1::30] = 1
    mask[:, ::30] = mask[:, 1::30] = 1
    assert not segment.without_rules(mask, 36, (240, 240)).any()


@pytest.mark.parametrize("pen", [2, 5])
def test_the_sides_of_a_box_are_removed_from_what_touches_them(pen: int) -> None:
    """A digit and its box, or a table of digits, were one component."""
    mask = np.zeros((200, 260), np.uint8)
    for left, right in ((30, 130), (130, 230)):
        mask = cv2.rectangle(mask, (left, 40), (right, 160), (1,), pen)
    digits = np.zeros_like(mask)
    cv2.ellipse(digits, (80, 125), (20, 38), 0, 0, 360, (1,), pen)  # reaches over the lower side
    cv2.line(digits, (170, 60), (195, 120), (1,), pen)
    left = segment.without_boxes(mask | digits, *segment.components(mask | digits))
    assert (left & (1 - digits)).sum() <= 0.05 * mask.sum()  # beside strokes that cross a side
    assert (left & digits).sum() >= 0.9 * digits.sum()


@pytest.mark.parametrize("side", ["left", "top", "right", "bottom"])
def test_a_box_is_removed_from_a_digit_that_extends_beyond_it(side: str) -> None:
    """Its box was kept if the digit was outside by more than a sixteenth of it, and the digit was refused."""
    left, top, right, bottom = {
        "left": (85, 30, 160, 170),
        "top": (50, 70, 150, 170),
        "right": (40, 30, 115, 170),
        "bottom": (50, 30, 150, 130),
    }[side]
    box = cv2.rectangle(np.zeros((200, 200), np.uint8), (left, top), (right, bottom), (1,), 3)
    digit = np.zeros_like(box)
    cv2.ellipse(digit, (100, 100), (30, 50), 0, 0, 360, (1,), 6)
    kept = segment.without_boxes(box | digit, *segment.components(box | digit))
    assert (kept & (1 - digit)).sum() <= 0.1 * box.sum()
    assert (kept & digit).sum() >= 0.95 * digit.sum()


def test_a_square_digit_is_no_box() -> None:
    """What is left of it without its sides is nothing, or a line."""
    for bar in (False, True):
        mask = cv2.rectangle(np.zeros((200, 200), np.uint8), (50, 30), (150, 170), (1,), 6)
        mask[97:103, 50:150] |= bar
        np.testing.assert_array_equal(segment.without_boxes(mask, *segment.components(mask)), mask)
    round_ = cv2.ellipse(np.zeros((200, 200), np.uint8), (100, 100), (50, 70), 0, 0, 360, (1,), 6)
    round_[98:104, 90:110] = 1
    np.testing.assert_array_equal(segment.without_boxes(round_, *segment.components(round_)), round_)


def test_isolating_keeps_soft_edges_and_drops_neighbours() -> None:
    image = Image.new("L", (300, 100))
    image.paste(Image.new("L", (20, 60), 255), (100, 20))
    image.paste(Image.new("L", (2, 60), 90), (120, 20))  # its soft edge
    image.paste(Image.new("L", (20, 60), 255), (124, 20))  # a neighbour
    plane = np.asarray(image)
    ink = segment.Ink(plane, (plane > 102).astype(np.uint8), dark=False, local=False, prior=0)
    labels, found = segment.components(ink.mask)
    alone, strength = segment.isolate(ink, labels, [min(found, key=lambda each: each.left)])
    assert strength == pytest.approx(255)
    assert (alone == 255).sum() == 20 * 60
    assert (alone == 90).sum() == 2 * 60
    assert (alone > 0).sum() == 22 * 60


def test_frames_stand_on_all_four_sides_of_what_is_no_speck_in_them() -> None:
    mask = np.zeros((200, 400), np.uint8)
    mask[20:180, 20:180] = 1
    mask[25:175, 25:175] = 0  # a box
    mask[60:90, 60:90] = mask[110:140, 60:90] = 1  # in it
    mask[100, 150] = 1  # a speck in it
    mask[20:180, 220:225] = mask[175:180, 220:380] = 1  # two sides of a box
    mask[60:90, 300:330] = 1
    labels, found = segment.components(mask, minimum=2)
    boxes = [(each.left, each.top) for each in found]
    assert [(each.left, each.top) for each in segment.without_frames(found, labels)] == [
        box for box in boxes if box != (20, 20)
    ]
    assert len(segment.without_frames(found, labels, fewest=2)) == len(found) - 1
    assert len(segment.without_frames(found, labels, fewest=3)) == len(found)


def test_lines_below_a_stroke_and_a_block_beside_it_are_marks() -> None:
    mask = np.zeros((300, 500), np.uint8)
    mask[50:150, 100:110] = mask[50:60, 100:160] = 1  # a stroke
    mask[170:178, 90:180] = mask[190:198, 90:180] = 1  # twice underlined
    mask[170:178, 300:400] = 1  # under nothing
    mask[20:28, 100:160] = 1  # above it
    mask[50:130, 400:470] = 1  # a block
    _, found = segment.components(mask)
    marks = {(each.left, each.top) for each in set(found).difference(segment.without_marks(found))}
    assert marks == {(90, 170), (90, 190), (400, 50)}
    mask[200:280, 400:470] = 1  # two blocks are a drawing
    _, found = segment.components(mask)
    marks = {(each.left, each.top) for each in set(found).difference(segment.without_marks(found))}
    assert marks == {(90, 170), (90, 190)}


def test_a_dot_is_no_block() -> None:
    mask = np.zeros((200, 200), np.uint8)
    mask[60:160, 100:108] = mask[30:42, 98:110] = 1  # an i
    _, found = segment.components(mask)
    assert segment.without_marks(found) == found


def test_a_component_is_near_a_box_by_less_than_a_distance_across_and_down() -> None:
    _, [each] = segment.components(np.pad(np.ones((10, 10), np.uint8), 50))
    assert each.near((70, 50, 90, 60), 11)
    assert not each.near((70, 50, 90, 60), 10)
    assert each.near((50, 30, 60, 40), 11)
    assert not each.near((70, 30, 90, 40), 10)


@pytest.mark.parametrize("colours", [1, 3])
def test_a_sheet_is_a_page_that_goes_on_in_its_own_shades(colours: int) -> None:
    page = np.full((300, 400, colours), 60, np.uint8)
    page[50:250, 50:300] = np.linspace(200, 240, 250)[:, None]
    page[120:170, 150:180] = 80
    [sheet] = segment.sheets(page[..., 0] if colours == 1 else page)
    sheet = sheet.reshape(page.shape)
    np.testing.assert_array_equal(sheet[60:240, 60:290], page[60:240, 60:290])
    outside = np.ones((300, 400), bool)
    outside[50:250, 50:300] = False
    assert sheet[outside].min() >= 195
    assert sheet[outside].max() <= 240


def test_a_table_on_a_sheet_does_not_divide_it() -> None:
    page = np.full((600, 800), 60, np.uint8)
    page[100:500, 100:600] = 220
    page[100:500, 200:600:100] = page[200:500:100, 100:600] = 100
    page[230:270, 330:360] = 80
    [sheet] = segment.sheets(page)
    np.testing.assert_array_equal(sheet[120:480, 120:580], page[120:480, 120:580])
    assert sheet[:80].min() > 180


def test_a_note_whose_ink_is_darker_than_it_is_a_sheet() -> None:
    """Of white paper, a grey note and black ink, the note and its ink were the dark part, with nothing on it."""
    page = np.full((300, 400), 255, np.uint8)
    page[80:200, 100:320] = 190
    assert not list(segment.sheets(page))
    page[110:170, 200:210] = 40
    (sheet,) = segment.sheets(page)
    assert 180 <= sheet[0, 0] <= 190  # goes on around it
    assert sheet[140, 205] == 40


def test_cards_that_are_as_light_are_a_page_together() -> None:
    page = np.full((300, 600), 60, np.uint8)
    for left in (40, 230, 420):
        page[60:220, left : left + 140] = 220
        page[110:170, left + 60 : left + 75] = 80
    *alone, together = segment.sheets(page)
    marks = [segment.components((each < 120).astype(np.uint8))[1] for each in (*alone, together)]
    assert [len(each) for each in marks] == [1, 1, 1, 3]
    page = np.tile(page, (2, 1))  # six, each of which would be a page of its own to read
    (together,) = segment.sheets(page)
    assert len(segment.components((together < 120).astype(np.uint8))[1]) == 6


def test_neither_a_bare_part_nor_a_letter_nor_the_page_itself_is_a_sheet() -> None:
    bare = np.full((300, 400), 60, np.uint8)
    bare[50:250, 50:300] = 220
    page = np.full((300, 400), 220, np.uint8)
    page[100:150, 150:180] = 60
    letter = np.full((300, 400), 220, np.uint8)
    letter[50:250, 100:300] = 60
    letter[70:140, 130:280] = letter[160:230, 130:280] = 220
    for pixels in (bare, page, letter):
        assert list(segment.sheets(pixels)) == []


def test_on_a_page_of_specks_frames_are_bounded_work() -> None:
    mask = np.zeros((512, 512), np.uint8)
    mask[::3, ::3] = mask[1::3, ::3] = 1
    labels, found = segment.components(mask, minimum=2)
    assert len(found) > 20_000
    assert segment.without_frames(found, labels) == found


def test_on_a_page_of_dashes_marks_are_bounded_work() -> None:
    dashes = np.zeros((512, 512), np.uint8)
    dashes[::3, :504] = [0, *[1] * 6] * 72
    dashes[:256] = dashes.T[:256]
    _, found = segment.components(dashes)
    assert len(found) > 10_000
    assert len(segment.without_marks(found)) >= len(found) - segment.FRAMES


def test_what_is_near_may_be_to_the_right_and_below() -> None:
    _, [each] = segment.components(np.pad(np.ones((10, 10), np.uint8), 50))
    assert each.near((20, 20, 40, 40), 11)
    assert not each.near((20, 45, 40, 65), 10)
    assert not each.near((45, 20, 65, 40), 10)
