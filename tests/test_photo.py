"""From a picture to MNIST's form."""

import os
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lenet5_cli.pictures.photo import Reading, examine, read_picture
from PIL import Image, ImageDraw, ImageFilter

from lenet5_cli.data import drawn, idx
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.pictures import photo
from tests.conftest import drawing

DATA = os.environ.get("LENET5_DATA")


def file(image: Image.Image, form: str = "PNG", **options: object) -> BytesIO:
    written = BytesIO()
    image.save(written, form, **options)
    written.seek(0)
    return written


def read(image: Image.Image, form: str = "PNG", **options: object) -> np.ndarray:
    return read_picture(file(image, form, **options))


def centre_of_mass(picture: np.ndarray) -> np.ndarray:
    return np.array([np.average(np.arange(28), weights=picture.sum(axis=1 - axis)) for axis in (0, 1)])


def same(one: np.ndarray, other: np.ndarray) -> float:
    """Return how much ink two pictures share, 0 to 1, if one may be moved by a pixel."""
    one, other = one.astype(int), other.astype(int)
    moved = [np.roll(one, (down, right), (0, 1)) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    return max(float(np.minimum(x, other).sum() / np.maximum(x, other).sum()) for x in moved)


def assert_reads(image: Image.Image, digit: int, least: float = 0.7) -> Reading:
    """Check that a picture's digit comes out as the plain drawing of it does."""
    reading = examine(file(image), "picture")
    assert same(reading.image, read(drawing(digit))) >= least
    return reading


@pytest.mark.parametrize("size", [28, 64, 200, 1500])
@pytest.mark.parametrize(("ink", "paper"), [(0, 255), (255, 0), (90, 200), (160, 40)])
def test_a_digit_fills_the_box_and_lies_in_the_middle(size: int, ink: int, paper: int) -> None:
    picture = read(drawing(4, size, ink, paper))
    assert picture.shape == (28, 28)
    assert picture.dtype == np.uint8
    assert picture.max() == 255
    rows, columns = np.nonzero(picture > 20)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 in (19, 20)
    np.testing.assert_allclose(centre_of_mass(picture), 13.5, atol=0.75)


@pytest.mark.parametrize("digit", range(10))
def test_a_reading_says_what_was_seen(digit: int) -> None:
    image = drawing(digit, 300, 60, 220)
    reading = examine(file(image))
    np.testing.assert_array_equal(reading.grey, image)
    assert reading.ink.shape == (300, 300)
    assert reading.ink.dtype == np.float32
    assert (reading.ink >= 0).all()
    assert (reading.ink <= 1).all()
    np.testing.assert_allclose(reading.ink, np.asarray(image) < 140, atol=0.1)
    rows, columns = np.nonzero(np.asarray(image) < 140)
    assert reading.box == (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
    np.testing.assert_array_equal(reading.image, read_picture(file(image)))
    assert (reading.light, reading.others, reading.unchanged) == (True, 0, False)
    assert not examine(file(drawing(digit, 300, 220, 60))).light


@pytest.mark.parametrize(
    ("mode", "ink", "paper"),
    [
        ("RGB", (20, 30, 120), (250, 245, 230)),
        ("RGBA", (0, 0, 0, 255), (0, 0, 0, 0)),
        ("RGBA", (255, 255, 255, 255), (255, 255, 255, 0)),
        ("RGBA", (200, 30, 40, 255), (0, 0, 0, 0)),
        ("RGBA", (0, 0, 0, 255), (255, 255, 255, 255)),
        ("LA", (0, 255), (0, 0)),
        ("LA", (255, 255), (0, 0)),
        ("1", 0, 1),
        ("P", 1, 0),
        ("CMYK", (0, 0, 0, 255), (0, 0, 0, 0)),
        ("CMYK", (255, 255, 0, 0), (0, 0, 20, 0)),
        ("YCbCr", (40, 128, 128), (230, 128, 128)),
        ("LAB", (40, 128, 128), (230, 128, 128)),
        ("LAB", (150, 60, 128), (150, 190, 128)),
        ("I;16", 1000, 60000),
        ("I", 100_000, -5),
        ("F", 0.25, 0.75),
    ],
)
def test_every_mode_is_read_alike(mode: str, ink: object, paper: object) -> None:
    if mode in ("I;16", "I", "F"):
        kind = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
        image = Image.fromarray(np.where(np.asarray(drawing(7)) < 128, ink, paper).astype(kind))
    else:
        image = drawing(7, ink=ink, paper=paper, mode=mode)
    assert image.mode == mode
    if mode == "P":
        image.putpalette([255, 255, 255, 0, 0, 0])
    form = "PNG" if mode in ("RGB", "RGBA", "LA", "1", "P", "I;16") else "TIFF"
    options = {"compression": "tiff_lzw"} if mode == "YCbCr" else {}  # Pillow 12 cannot read its own plain ones
    assert same(read(image, form, **options), read(drawing(7))) > 0.95


def test_a_transparent_colour_of_a_palette_is_paper() -> None:
    image = drawing(7, ink=1, paper=0, mode="P")
    image.putpalette([0, 0, 0, 0, 0, 0])
    for form in ("PNG", "GIF"):
        assert same(read(image, form, transparency=0), read(drawing(7))) > 0.95


def test_a_page_in_a_transparent_frame_keeps_its_own_colours() -> None:
    image = Image.new("RGBA", (400, 400))
    image.paste(drawing(7, 300), (50, 50))
    assert assert_reads(image, 7).light


@pytest.mark.parametrize("form", photo.FORMATS)
def test_every_format_is_read(form: str) -> None:
    assert same(read(drawing(3), form), read(drawing(3))) > 0.9


@pytest.mark.parametrize(("ink", "paper"), [((220, 60, 60), (60, 135, 120)), ((40, 60, 200), (250, 120, 60))])
def test_colours_of_one_brightness_are_told_apart(ink: tuple[int, ...], paper: tuple[int, ...]) -> None:
    assert_reads(drawing(5, ink=ink, paper=paper, mode="RGB"), 5, 0.95)


def test_place_and_margin_do_not_matter() -> None:
    for place in ((850, 40), (300, 500), (40, 600)):
        page = Image.new("L", (1200, 900), 255)
        page.paste(drawing(5), place)
        assert_reads(page, 5, 0.9)


def test_a_small_digit_on_a_large_page_is_seen_from_near() -> None:
    page = Image.new("L", (2000, 1500), 250)
    page.paste(drawing(2, 160, 0, 250), (1500, 300))
    reading = assert_reads(page, 2, 0.9)
    top, _, bottom, _ = reading.box
    assert bottom - top > 50
    assert reading.grey.shape == reading.ink.shape


@pytest.mark.parametrize("digit", range(10))
@pytest.mark.parametrize("light", [True, False])
def test_a_tightly_cut_digit_keeps_its_polarity(digit: int, light: bool) -> None:
    image = drawing(digit, 700, *((10, 245) if light else (245, 10)))
    rows, columns = np.nonzero((np.asarray(image) < 128) == light)
    cut = image.crop((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
    if digit == 1:  # all ink: nothing tells it from paper
        cut = image.crop((columns.min() - 30, rows.min(), columns.max() + 31, rows.max() + 1))
    assert assert_reads(cut, digit).light == light


@pytest.mark.parametrize("digit", [0, 1, 2, 3, 5, 7])
def test_uneven_light_noise_and_blur_do_not_matter(digit: int) -> None:
    rng = np.random.default_rng(digit)
    sheet = np.asarray(drawing(digit, 500, 40, 230), np.float32)
    sheet *= np.linspace(0.35, 1, 500)[:, None] * np.linspace(1, 0.6, 500)
    sheet[:, 350:] *= 0.7  # a shadow with an edge
    sheet += rng.normal(0, 4, sheet.shape)
    image = Image.fromarray(np.clip(sheet, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(1.5))
    assert assert_reads(image, digit).light


@pytest.mark.parametrize("digit", [0, 2, 4, 7, 8])
@pytest.mark.parametrize("squares", [False, True])
def test_ruled_lines_are_no_ink(digit: int, squares: bool) -> None:
    image = drawing(digit, 400)
    page = Image.new("L", image.size, 255)
    draw = ImageDraw.Draw(page)
    for at in range(13, 420, 55):
        draw.line((0, at, 400, at + 9), 90, 2)
        if squares:
            draw.line((at, 0, at - 9, 400), 90, 2)
    assert_reads(Image.fromarray(np.minimum(image, page)), digit)


def test_a_table_around_the_page_is_no_ink() -> None:
    for sides in ((30, 30, 30, 30), (0, 40, 25, 0), (60, 0, 0, 0)):
        image = np.full((400, 400), 60, np.uint8)
        top, right, bottom, left = sides
        image[top : 400 - bottom, left : 400 - right] = np.asarray(drawing(3, 400))[
            top : 400 - bottom, left : 400 - right
        ]
        assert assert_reads(Image.fromarray(image), 3, 0.9).light


def test_specks_are_no_ink() -> None:
    rng = np.random.default_rng(0)
    image = np.array(drawing(6, 300))
    image[tuple(rng.integers(0, 300, (2, 60)))] = 0
    assert_reads(Image.fromarray(image), 6, 0.85)


def test_faint_strokes_on_even_paper_stay_as_faint_as_they_are() -> None:
    dark, pale = np.asarray(drawing(0, 64)), np.asarray(drawing(0, 64, ink=130))
    ring = np.concatenate([dark[:, :36], pale[:, 36:]], axis=1)
    picture = read(Image.fromarray(ring).filter(ImageFilter.GaussianBlur(1)))
    strength = [int(picture[12:16, columns].max()) for columns in (slice(14), slice(14, 28))]
    assert strength[0] > 200
    assert 60 < strength[1] < 200  # 125 of 255, a little less or more by the blur


def test_broken_strokes_stay_together() -> None:
    image = np.array(drawing(5, 300))
    whole = read(Image.fromarray(image))
    image[:, 152:158][image[:, 152:158] < 255] = 255  # the pen ran dry
    reading = examine(file(Image.fromarray(image)))
    assert same(reading.image, whole) > 0.8
    assert reading.others == 0


def test_the_bar_of_a_five_may_stand_apart() -> None:
    image = Image.new("L", (300, 300), 255)
    draw = ImageDraw.Draw(image)
    draw.line([(140, 100), (135, 150), (170, 150), (190, 180), (175, 215), (130, 215)], 0, 9, joint="curve")
    draw.line([(155, 92), (205, 86)], 0, 9)
    top, _, bottom, right = examine(file(image)).box
    assert top < 90
    assert right > 200
    assert bottom > 212


@pytest.mark.parametrize("digit", range(10))
def test_of_several_digits_the_largest_is_read(digit: int) -> None:
    page = Image.new("L", (500, 400), 255)
    page.paste(drawing(digit, 300), (0, 50))
    page.paste(drawing((digit + 3) % 10, 200), (280, 100))
    assert assert_reads(page, digit, 0.9).others == 1


def test_pens_of_all_widths_come_out_alike() -> None:
    def picture(pen: int) -> np.ndarray:
        image = Image.new("L", (400, 400), 255)
        draw = ImageDraw.Draw(image)
        draw.line([(120, 100), (280, 100), (200, 300)], 0, pen, joint="curve")
        return read(image)

    assert same(picture(1), picture(12)) > 0.6
    assert same(picture(4), picture(20)) > 0.7


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_exif_orientation_is_followed(turn: int, form: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # what undoes it, in Pillow's order of transpositions
    turned = drawing(4) if turn == 1 else drawing(4).transpose(Image.Transpose(back[turn]))
    options = {"quality": 95} if form in ("JPEG", "WEBP") else {}
    assert same(read(turned, form, exif=exif, **options), read(drawing(4))) > 0.9


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA"])
def test_pictures_in_mnists_form_pass_unchanged(mode: str) -> None:
    images, _ = drawn.draw(20, seed=0)
    for image in images:
        for light, shown in ((False, image), (True, 255 - image)):
            reading = examine(file(Image.fromarray(shown).convert(mode)))
            np.testing.assert_array_equal(reading.image, image)
            np.testing.assert_array_equal(reading.grey, shown)
            assert (reading.light, reading.unchanged) == (light, not light)
            top, left, bottom, right = reading.box
            assert max(bottom - top, right - left) in (19, 20)


@pytest.mark.skipif(not DATA, reason="LENET5_DATA names no folder with MNIST")
def test_all_of_mnist_has_mnists_form() -> None:
    for part in ("train", "t10k"):
        [path] = Path(str(DATA)).glob(f"{part}-images*")
        assert all(photo._is_mnist(image) for image in idx.read(path))


def test_enlarged_pixels_are_read_in_their_own_size() -> None:
    small = np.pad(drawn.draw(1, seed=0)[0][0], ((0, 4), (3, 1)))
    for factor in (2, 10, 33):
        large = Image.fromarray(small).resize((32 * factor, 32 * factor), Image.Resampling.NEAREST)
        np.testing.assert_array_equal(read(large), read(Image.fromarray(small)))


# --- what is refused

WANTED = "; expected a digit on a plain background"


def checkerboard(squares: int, side: int = 240) -> np.ndarray:
    rows, columns = np.indices((side, side)) * squares // side
    return (255 * ((rows + columns) % 2)).astype(np.uint8)


def noise(side: int = 200) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (side, side)).astype(np.uint8)


def ruled() -> np.ndarray:
    page = np.full((300, 400), 250, np.uint8)
    page[20::40] = 120
    return page


def grid() -> np.ndarray:
    page = ruled()
    page[:, 10::40] = 120
    return page


def blot() -> np.ndarray:
    rows, columns = np.indices((200, 200)) - 100
    return np.where(rows**2 + columns**2 < 3000, 0, 255).astype(np.uint8)


def dash() -> np.ndarray:
    page = np.full((200, 200), 255, np.uint8)
    page[98:104, 40:160] = 0
    return page


@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        (np.zeros((50, 40), np.uint8), "one even colour"),
        (np.full((50, 40), 255, np.uint8), "one even colour"),
        (np.full((1, 1), 7, np.uint8), "one even colour"),
        (np.tile(np.linspace(120, 255, 300).astype(np.uint8), (200, 1)), ""),
        (checkerboard(8), ""),
        (checkerboard(20), ""),
        (checkerboard(120), ""),
        (noise(), ""),
        (noise(28), ""),
        (np.random.default_rng(0).integers(0, 256, (50, 50, 4)).astype(np.uint8), "only specks"),
        (ruled(), "nothing on it stands out"),
        (grid(), "nothing on it stands out"),
        (blot(), "only a blot"),
        (255 - blot(), "only a blot"),
        (dash(), "only a line"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_can_be_no_digit_is_refused(picture: np.ndarray, reason: str) -> None:
    with pytest.raises(LeNet5Error) as error:
        examine(file(Image.fromarray(picture)), "page.png")
    message = str(error.value)
    assert message.startswith(f"page.png: {reason}")
    assert message.endswith(WANTED)


@pytest.mark.parametrize("size", [(1, 100_000), (100_000, 1), (30, 2000)])
def test_absurd_shapes_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(LeNet5Error, match=rf"^x: {size[0]:,} x {size[1]:,} pixels; no digit is so narrow$"):
        examine(file(Image.new("L", size)), "x")


def test_a_picture_of_too_many_pixels_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    bombs = file(Image.new("1", (9000, 9000)))
    with pytest.raises(LeNet5Error, match=r"^x: 9,000 x 9,000 pixels, more than the 36,000,000 that are read; make it"):
        examine(bombs, "x")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    for image in (Image.new("1", (40, 40)), Image.new("1", (90, 90))):
        with pytest.raises(LeNet5Error, match=r"^x: more pixels than the 36,000,000 that are read; make it smaller$"):
            examine(file(image), "x")


def test_files_that_are_no_pictures(tmp_path: Path) -> None:
    path = tmp_path / "digit.png"
    formats = "PNG, JPEG, BMP, GIF, TIFF, WEBP, PPM"
    for other in (b"", b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"):
        path.write_bytes(other)
        with pytest.raises(LeNet5Error, match=rf"digit.png: not a picture; expected one of {formats}$"):
            read_picture(path)
    with pytest.raises(LeNet5Error, match=r"none.png: No such file or directory$"):
        read_picture(tmp_path / "none.png")
    with pytest.raises(LeNet5Error, match=r": a folder; expected a picture$"):
        read_picture(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(LeNet5Error, match=r"pipe: not a regular file; expected a picture$"):
        read_picture(tmp_path / "pipe")
    with pytest.raises(LeNet5Error, match=r"^/dev/zero: not a regular file; expected a picture$"):
        read_picture("/dev/zero")
    drawing(3).save(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(LeNet5Error, match=r"digit.png: damaged: "):
        read_picture(path)


def test_only_the_first_frame_counts() -> None:
    frames = [drawing(digit) for digit in (3, 8)]
    for form in ("GIF", "TIFF", "PNG", "WEBP"):
        written = file(frames[0], form, save_all=True, append_images=frames[1:])
        assert same(read_picture(written), read(frames[0])) > 0.9


CORPUS = [
    file(drawing(8, 60, mode=mode, ink=ink, paper=paper), form).getvalue()
    for form, mode, ink, paper in [
        ("PNG", "L", 0, 255),
        ("PNG", "RGBA", (0, 0, 0, 255), (0, 0, 0, 0)),
        ("PNG", "P", 1, 0),
        ("PNG", "1", 0, 1),
        ("JPEG", "RGB", (0, 0, 0), (255, 255, 255)),
        ("JPEG", "CMYK", (0, 0, 0, 255), (0, 0, 0, 0)),
        ("BMP", "RGB", (0, 0, 0), (255, 255, 255)),
        ("BMP", "1", 0, 1),
        ("GIF", "L", 0, 255),
        ("TIFF", "LAB", (0, 128, 128), (255, 128, 128)),
        ("TIFF", "F", 0.0, 1.0),
        ("TIFF", "CMYK", (0, 0, 0, 255), (0, 0, 0, 0)),
        ("WEBP", "RGB", (0, 0, 0), (255, 255, 255)),
        ("PPM", "L", 0, 255),
    ]
]
CORPUS.append(file(drawing(8, 60), "TIFF", compression="tiff_lzw").getvalue())


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused(data: st.DataObject) -> None:
    file = bytearray(data.draw(st.sampled_from(CORPUS)))
    for _ in range(data.draw(st.integers(1, 6))):
        # Headers are small and matter most.
        place = data.draw(st.integers(0, min(len(file) - 1, data.draw(st.sampled_from([40, 200, 10_000])))))
        file[place] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del file[data.draw(st.integers(0, len(file))) :]
    try:
        reading = examine(BytesIO(file), "damaged")
    except LeNet5Error as error:
        assert str(error).startswith("damaged: ")  # noqa: PT017 - most are refused, some can be read
    else:
        assert reading.image.shape == (28, 28)


@settings(max_examples=150, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    seed=st.integers(0, 2**32 - 1),
    levels=st.sampled_from([2, 3, 256]),
    smooth=st.booleans(),
)
def test_any_pixels_are_read_or_refused(height: int, width: int, seed: int, levels: int, smooth: bool) -> None:
    pixels = np.random.default_rng(seed).integers(0, levels, (height, width)) * (255 // (levels - 1))
    image = Image.fromarray(pixels.astype(np.uint8))
    if smooth:
        image = image.resize((7 * width, 7 * height), Image.Resampling.BICUBIC)
    try:
        reading = examine(file(image), "any")
    except LeNet5Error as error:
        assert str(error).startswith("any: ")  # noqa: PT017 - most are refused, some could be a digit
        return
    assert reading.image.max() == 255
    assert reading.ink.shape == reading.grey.shape
    top, left, bottom, right = reading.box
    assert 0 <= top < bottom <= reading.grey.shape[0]
    assert 0 <= left < right <= reading.grey.shape[1]
    assert not np.delete(reading.ink, np.s_[max(0, top - 9) : bottom + 9], axis=0).any()
