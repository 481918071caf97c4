"""What is read on a picture, and what is no digit."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from lenet5_cli import Config, LeNet5
from lenet5_cli.data import drawn
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.pictures.read import Reading, read, read_digits, read_picture, read_sample
from tests.conftest import drawing, same

NETWORK = LeNet5.load()


@pytest.mark.parametrize("size", [(60, 2000), (52, 1399), (2000, 60), (333, 2999)])
def test_a_box_is_where_the_digit_is_on_a_picture_of_any_shape(size: tuple[int, int]) -> None:
    """Both of its axes were scaled by the rounded width: boxes lay below tall pictures."""
    image, side = Image.new("L", size, 255), min(size) - 8
    image.paste(drawing(4, side), (size[0] - side - 4, size[1] - side - 4))
    rows, columns = np.nonzero(np.asarray(image) < 128)
    box = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    found = [read(image, NETWORK).box, *(each.box for row in read_digits(image, NETWORK).rows for each in row)]
    assert len(found) == 2
    np.testing.assert_allclose(found, [box, box], rtol=0, atol=max(size) / 400)


def test_red_ink_on_a_card_on_a_dark_desk() -> None:
    """In red, in which card and desk differ most, the ink is nearly as light as the card."""
    desk = Image.new("RGB", (400, 400), (15, 15, 15))
    desk.paste(drawing(7, 340, ink=(185, 95, 95), paper=(200, 190, 170), mode="RGB"), (30, 30))
    assert read(desk, NETWORK).digit == 7


def normal(image: Image.Image) -> np.ndarray:
    return read_picture(image, NETWORK)


def assert_reads(image: Image.Image, digit: int, minimum: float = 0.6) -> Reading:
    """Check that a picture's digit is read, and comes out as the plain drawing of it does."""
    reading = read(image, NETWORK)
    assert reading.digit == digit
    assert same(reading.chosen.image, normal(drawing(digit))) >= minimum
    return reading


@pytest.mark.parametrize("size", [28, 64, 200, 1500])
@pytest.mark.parametrize(("ink", "paper"), [(0, 255), (255, 0), (90, 200), (160, 40)])
def test_a_digit_fills_the_box_and_lies_in_the_middle(size: int, ink: int, paper: int) -> None:
    picture = normal(drawing(4, size, ink, paper))
    assert picture.shape == (28, 28)
    assert picture.dtype == np.uint8
    assert picture.max() == 255
    rows, columns = np.nonzero(picture > 20)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 in (19, 20)
    centre = [np.average(np.arange(28), weights=picture.sum(axis=1 - axis)) for axis in (0, 1)]
    np.testing.assert_allclose(centre, 13.5, atol=0.75)


def test_a_page_in_a_transparent_frame_keeps_its_own_colours() -> None:
    image = Image.new("RGBA", (400, 400))
    image.paste(drawing(7, 300), (50, 50))
    assert assert_reads(image, 7).chosen.dark


def test_place_and_margin_do_not_matter() -> None:
    for place in ((850, 40), (300, 500), (40, 560)):
        page = Image.new("L", (1200, 900), 255)
        page.paste(drawing(5, 320), place)
        assert_reads(page, 5, 0.8)


def test_a_small_digit_on_a_large_page_is_read() -> None:
    page = Image.new("L", (2000, 1500), 250)
    page.paste(drawing(2, 160, 0, 250), (1500, 300))
    _, top, _, bottom = assert_reads(page, 2, 0.7).box
    assert bottom - top > 50


@pytest.mark.parametrize("digit", range(10))
@pytest.mark.parametrize("light", [True, False])
def test_a_tightly_cut_digit_keeps_its_polarity(digit: int, light: bool) -> None:
    image = drawing(digit, 700, *((10, 245) if light else (245, 10)))
    rows, columns = np.nonzero((np.asarray(image) < 128) == light)
    cut = image.crop((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
    if digit == 1:  # all ink: nothing tells it from paper
        cut = image.crop((columns.min() - 30, rows.min(), columns.max() + 31, rows.max() + 1))
    assert assert_reads(cut, digit).chosen.dark == light


@pytest.mark.parametrize("digit", [0, 1, 2, 3, 5, 7])
def test_uneven_light_noise_and_blur_do_not_matter(digit: int) -> None:
    rng = np.random.default_rng(digit)
    sheet = np.asarray(drawing(digit, 500, 40, 230), np.float32)
    sheet *= np.linspace(0.35, 1, 500)[:, None] * np.linspace(1, 0.6, 500)
    sheet[:, 350:] *= 0.7  # a shadow with an edge
    sheet += rng.normal(0, 4, sheet.shape)
    image = Image.fromarray(np.clip(sheet, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(1.5))
    assert assert_reads(image, digit).chosen.dark


@pytest.mark.parametrize(  # squares take so much of a 4 that it is refused
    ("digit", "squares"),
    [(0, False), (2, False), (4, False), (7, False), (8, False), *((n, True) for n in (0, 2, 7, 8))],
)
def test_ruled_lines_are_no_ink(digit: int, squares: bool) -> None:
    image = drawing(digit, 400)
    page = Image.new("L", image.size, 255)
    draw = ImageDraw.Draw(page)
    for at in range(13, 420, 55):
        draw.line((0, at, 400, at + 9), 90, 2)
        if squares:
            draw.line((at, 0, at - 9, 400), 90, 2)
    assert_reads(Image.fromarray(np.minimum(image, page)), digit, 0.4)


def test_a_table_around_the_page_is_no_ink() -> None:
    for sides in ((30, 30, 30, 30), (0, 40, 25, 0), (60, 0, 0, 0)):
        image = np.full((400, 400), 60, np.uint8)
        top, right, bottom, left = sides
        image[top : 400 - bottom, left : 400 - right] = np.asarray(drawing(3, 400))[
            top : 400 - bottom, left : 400 - right
        ]
        assert assert_reads(Image.fromarray(image), 3, 0.9).chosen.dark


@pytest.mark.parametrize("digit", range(10))
@pytest.mark.parametrize("across", [230, 360])
def test_a_digit_in_a_frame_is_read(digit: int, across: int) -> None:
    """On the canvas of a drawing program, and in the box of a form, the frame was taken for the digit, and refused."""
    image = drawing(digit, 400)
    ImageDraw.Draw(image).rectangle((200 - across // 2, 15, 200 + across // 2, 385), width=4)
    bare = read(drawing(digit, 400), NETWORK).box
    assert assert_reads(image, digit, 0.75).box == pytest.approx(bare, abs=2)


@pytest.mark.parametrize("digit", range(10))
@pytest.mark.parametrize("width", [3, 8])
def test_a_digit_that_touches_its_frame_is_read(digit: int, width: int) -> None:
    """The two were one component, and refused."""
    image = drawing(digit, 400)
    left, top, _, bottom = read(image, NETWORK).box or (0, 0, 0, 0)
    side = bottom - top + 60
    frame = (left - 40, bottom - 2 - side, left - 40 + side, bottom - 2)
    ImageDraw.Draw(image).rectangle(frame, width=width)
    assert_reads(image, digit, 0.75)


@pytest.mark.parametrize("pens", [("yellow", "navy"), ("red", "lime"), ("blue", "orange")])
def test_a_digit_in_two_colours_is_read_whole(pens: tuple[str, str]) -> None:
    image = drawing(4, 400)
    mask = ImageOps.invert(image.convert("L"))
    page = Image.new("RGB", image.size, "white")
    for half, pen in enumerate(pens):
        box = (200 * half, 0, 200 + 200 * half, 400)
        page.paste(pen, box, mask.crop(box))
    assert_reads(page, 4, 0.75)


def test_a_speck_in_its_loop_makes_no_frame_of_a_digit() -> None:
    image = drawing(0, 400)
    draw = ImageDraw.Draw(image)
    draw.ellipse((192, 195, 208, 211), fill=0)
    draw.rectangle((0, 0, 400, 12), fill=0)  # a dark edge, longer than the digit
    assert_reads(image, 0, 0.9)


@pytest.mark.parametrize("colour", [(140, 200, 250), (250, 235, 100), (250, 150, 190)])
def test_a_digit_on_a_note_on_a_desk_is_read(colour: tuple[int, int, int]) -> None:
    """The desk near its edges was taken for ink, which hid the digit or was read as a 1."""
    rng = np.random.default_rng(0)
    grain = Image.fromarray(rng.normal(100, 8, (100, 134)).astype(np.uint8)).resize(
        (800, 600), Image.Resampling.BICUBIC
    )
    wood = np.asarray(grain)[..., None] * (1.2, 0.85, 0.6) * np.linspace(1, 0.7, 800)[:, None]
    for digit in range(10):
        note = Image.new("RGB", (360, 360), colour)
        note.paste((40, 40, 70), (80, 80), drawing(digit, 200, ink=255, paper=0))
        photo = Image.fromarray(wood.clip(0, 255).astype(np.uint8))
        photo.paste(note.rotate(5, expand=True), (200, 100), Image.new("L", note.size, 255).rotate(5, expand=True))
        assert_reads(photo, digit, 0.4)


def test_the_holes_of_a_binder_do_not_speak_against_a_digit() -> None:
    image = Image.new("L", (700, 400), 255)
    image.paste(drawing(8, 400), (300, 0))
    clean = read(image, NETWORK).chosen
    for y in range(30, 400, 68):
        ImageDraw.Draw(image).ellipse((20, y, 48, y + 28), fill=40)
    assert assert_reads(image, 8, 0.75).chosen.score == pytest.approx(clean.score, abs=0.5)


@pytest.mark.parametrize("digit", range(10))
def test_an_underlined_digit_is_read(digit: int) -> None:
    """The line counted as ink that the digit leaves unexplained, and most were refused."""
    image = drawing(digit, 400)
    ImageDraw.Draw(image).line((90, 350, 330, 340), fill=0, width=12)
    assert_reads(image, digit, 0.75)


def test_a_sample_keeps_what_underlines_it() -> None:
    """Among a user's own classes may be one that differs from another in this alone."""
    image = Image.new("L", (300, 300), 255)
    draw = ImageDraw.Draw(image)
    draw.line([(200, 60), (90, 120), (200, 180)], fill=0, width=12)
    bare = read_sample(np.asarray(image))
    draw.line((90, 220, 200, 220), fill=0, width=12)
    sign = read_sample(np.asarray(image))
    rows = [np.flatnonzero(each.max(axis=1) > 128) for each in (bare, sign)]
    assert [len(each) for each in rows] == [pytest.approx(20, abs=2)] * 2
    assert (sign[rows[1][-1]] > 128).sum() >= 10
    assert (bare[rows[0][-1]] > 128).sum() < 10


def test_a_stamp_does_not_hide_a_digit() -> None:
    image = Image.new("RGB", (800, 600), (200, 175, 135))
    image.paste((40, 45, 90), (150, 200), drawing(5, 320, ink=255, paper=0))
    ImageDraw.Draw(image).rectangle((600, 30, 780, 320), fill=(180, 60, 60))
    assert_reads(image, 5, 0.4)


def test_others_are_counted_wherever_they_are() -> None:
    image = Image.new("L", (900, 900), 255)
    for place in ((0, 0), (500, 0), (0, 600)):
        image.paste(drawing(3, 300), place)
    image.paste(drawing(3, 340), (520, 560))
    assert read(image, NETWORK).chosen.others == 3


def test_specks_are_no_ink() -> None:
    rng = np.random.default_rng(0)
    image = np.array(drawing(6, 300))
    image[tuple(rng.integers(0, 300, (2, 60)))] = 0
    assert_reads(Image.fromarray(image), 6, 0.85)


def test_faint_strokes_on_even_paper_stay_as_faint_as_they_are() -> None:
    dark, pale = np.asarray(drawing(0, 64)), np.asarray(drawing(0, 64, ink=130))
    ring = np.concatenate([dark[:, :36], pale[:, 36:]], axis=1)
    picture = normal(Image.fromarray(ring).filter(ImageFilter.GaussianBlur(1)))
    strength = [int(picture[12:16, columns].max()) for columns in (slice(14), slice(14, 28))]
    assert strength[0] > 200
    assert 60 < strength[1] < 200  # 125 of 255, a little less or more by the blur


def test_broken_strokes_stay_together() -> None:
    image = np.array(drawing(5, 300))
    whole = normal(Image.fromarray(image))
    image[:, 152:158][image[:, 152:158] < 255] = 255  # the pen ran dry
    reading = read(image, NETWORK)
    assert same(reading.chosen.image, whole) > 0.8
    assert reading.chosen.others == 0


def test_the_bar_of_a_five_may_stand_apart() -> None:
    image = Image.new("L", (300, 300), 255)
    draw = ImageDraw.Draw(image)
    draw.line([(140, 100), (135, 150), (170, 150), (190, 180), (175, 215), (130, 215)], 0, 9, joint="curve")
    draw.line([(155, 92), (205, 86)], 0, 9)
    _, top, right, bottom = read(image, NETWORK).box
    assert top < 90
    assert right > 200
    assert bottom > 212


@pytest.mark.parametrize("digit", range(10))
def test_of_several_digits_the_largest_is_read(digit: int) -> None:
    page = Image.new("L", (500, 400), 255)
    page.paste(drawing(digit, 300), (0, 50))
    page.paste(drawing((digit + 3) % 10, 200), (300, 100))
    reading = assert_reads(page, digit, 0.9)
    assert reading.chosen.others == 1
    assert reading.beside == "; 1 more beside it: --all reads them"


def test_a_drawing_is_not_passed_over_for_ticks_beside_it() -> None:
    image = Image.new("L", (400, 400), 255)
    pen = ImageDraw.Draw(image)
    pen.arc((90, 110, 270, 350), 0, 180, 0, 14)
    for x in (97, 263):
        pen.line((x, 60, x, 230), 0, 14)
    for x in (310, 332, 354, 376):
        pen.line((x, 300, x, 314), 0, 3)
    assert str(read_digits(image)) == "1111"
    assert read(image, NETWORK).digit is None


def test_straight_strokes_alone_are_not_several_digits() -> None:
    page = Image.new("L", (400, 300), 255)
    for place in range(4):  # a W in pieces
        top, bottom = (60, 240) if place % 2 == 0 else (240, 60)
        ImageDraw.Draw(page).line((80 + 60 * place, top, 120 + 60 * place, bottom), fill=0, width=12)
    assert str(read_digits(page, NETWORK)) != ""
    assert read(page, NETWORK).digit is None


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA"])
def test_pictures_in_mnists_form_pass_unchanged(mode: str) -> None:
    images, _ = drawn.draw(20, seed=0)
    for image in images:
        for light, shown in ((False, image), (True, 255 - image)):
            reading = read(Image.fromarray(shown).convert(mode), NETWORK)
            np.testing.assert_array_equal(reading.chosen.image, image)
            assert (reading.chosen.dark, reading.unchanged) == (light, not light)
            top, left, bottom, right = reading.box
            assert max(bottom - top, right - left) in (19, 20)


def test_what_is_read_can_be_written_to_in_any_form() -> None:
    """A picture in MNIST's form was read-only, all others were not."""
    for picture in (drawn.draw(1, seed=0)[0][0], drawing(4, 300, 60, 220)):
        assert read_picture(picture, NETWORK).flags.writeable


# --- the choice, and what is no digit


def test_a_reading_says_what_was_seen() -> None:
    image = drawing(4, 300, 60, 220)
    reading = read(image, NETWORK)
    rows, columns = np.nonzero(np.asarray(image) < 140)
    assert reading.box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    np.testing.assert_array_equal(reading.page, image)
    np.testing.assert_array_equal(reading.chosen.image, read_picture(image))
    assert (reading.chosen.dark, reading.chosen.local, reading.chosen.others, reading.reason) == (True, False, 0, None)
    scores = [each.score for each in reading.candidates]
    assert scores == sorted(scores)
    assert reading.digit == reading.chosen.distances.argmin() == reading.probabilities.argmax()
    np.testing.assert_allclose(reading.chosen.distances, -NETWORK.scores(reading.chosen.image)[0], rtol=1e-4)
    assert not read(drawing(4, 300, 220, 60), NETWORK).chosen.dark


def test_the_box_is_in_pixels_of_the_whole_picture() -> None:
    page = Image.new("L", (3000, 2400), 250)
    page.paste(drawing(2, 160, 0, 250), (1500, 300))
    rows, columns = np.nonzero(np.asarray(page) < 128)
    expected = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    np.testing.assert_allclose(read(page, NETWORK).box, expected, atol=8)


def test_beyond_the_networks_threshold_there_is_no_digit() -> None:
    network = LeNet5.load()
    distance = read(drawing(3), network).chosen.distances.min()
    for limit, digit in ((distance + 1, 3), (distance - 1, None)):
        network.distances = np.full(101, limit)
        reading = read(drawing(3), network)
        assert reading.digit == digit
    assert reading.reason == f"the nearest glyph, 3, is at {distance:.1f}, beyond {distance - 1:.1f}"
    network.accept = 1
    assert read(drawing(3), network).digit == 3


def test_a_distance_just_beyond_the_threshold_is_told_to_more_places() -> None:
    """It was said to be at 14.1, beyond 14.1."""
    network = LeNet5.load()
    distance = read(drawing(3), network).chosen.distances.min()
    network.distances = np.full(101, distance - 0.002)
    told = re.fullmatch(r"the nearest glyph, 3, is at ([\d.]+), beyond ([\d.]+)", read(drawing(3), network).reason)
    assert float(told[1]) > float(told[2])


def test_the_prior_decides_between_candidates_that_are_as_near() -> None:
    found = read(drawing(7), NETWORK).candidates
    plain = found[0]
    assert plain.prior == min(each.prior for each in found)
    assert replace(plain, prior=plain.prior + 3).score == pytest.approx(plain.score + 3)


@pytest.mark.parametrize("across", [40, 55, 70])
@pytest.mark.parametrize("pen", [20, 40])
def test_a_one_with_a_flag_and_no_foot_is_no_seven(across: int, pen: int) -> None:
    image = Image.new("L", (400, 400), 255)
    flag = (200 - across, 80 + 0.7 * across)
    ImageDraw.Draw(image).line([flag, (200, 80), (200, 320)], fill=0, width=pen, joint="curve")
    assert read(image, NETWORK).digit == 1


@pytest.mark.parametrize(
    "picture", [np.zeros((50, 40)), np.full((50, 40), 1.0), np.full((1, 1), 0.5)], ids=["black", "white", "a pixel"]
)
def test_on_an_even_page_nothing_stands_out(picture: np.ndarray) -> None:
    assert read(picture, NETWORK).reason == "nothing on it stands out"
    with pytest.raises(LeNet5Error) as error:
        read_picture(picture)
    assert str(error.value) == "picture: nothing on it stands out; expected a digit on a plain background"


@settings(max_examples=50, deadline=None)
@given(
    height=st.integers(1, 28),
    width=st.integers(1, 28),
    seed=st.integers(0, 2**32 - 1),
    levels=st.sampled_from([2, 3, 256]),
    smooth=st.booleans(),
)
@example(height=4, width=20, seed=1_387_474_605, levels=3, smooth=False)
def test_any_pixels_are_read_or_refused(height: int, width: int, seed: int, levels: int, smooth: bool) -> None:
    pixels = np.random.default_rng(seed).integers(0, levels, (height, width)) * (255 // (levels - 1))
    image = Image.fromarray(pixels.astype(np.uint8))
    if smooth:
        image = image.resize((5 * width, 5 * height), Image.Resampling.BICUBIC)
    reading = read(image, NETWORK)
    if not reading.candidates:
        assert reading.digit is None
        return
    for candidate in reading.candidates:
        assert candidate.image.max() == 255
        left, top, right, bottom = candidate.box
        assert 0 <= top < bottom <= image.height
        assert 0 <= left < right <= image.width


def test_no_digit_is_smaller_than_a_few_pixels() -> None:
    """Enlarged, two black pixels were read as four digits, with boxes that had no width."""
    picture = np.array([[0, 255], [255, 0]], np.uint8)
    assert read_digits(picture).rows == []
    assert read(picture, NETWORK).digit is None


def test_a_network_of_pictures_as_they_are_reads_them_so() -> None:
    """It was given what is written on them, centred: another picture than those that it was trained on."""
    picture = np.zeros((90, 60), np.uint8)
    picture[70:80, 5:50] = 255
    network = LeNet5(Config(seed=1, as_is=True))
    reading = read(picture, network)
    np.testing.assert_array_equal(reading.chosen.image, read_sample(picture, as_is=True))
    assert np.flatnonzero(reading.chosen.image.max(axis=1) > 100).tolist() == [22, 23, 24]
    assert (reading.box, len(reading.candidates)) == ((0, 0, 60, 90), 1)
    np.testing.assert_array_equal(read_picture(picture, network), reading.chosen.image)
    assert [[(each.digit, each.box) for each in row] for row in read_digits(picture, network).rows] == [
        [(reading.digit, (0, 0, 60, 90))]
    ]


def test_on_a_picture_whose_white_is_1_nothing_stands_out() -> None:
    """It is black, also in MNIST's form."""
    image = Image.fromarray(normal(drawing(3)) // 255)
    assert read(image, NETWORK).reason == "nothing on it stands out"
