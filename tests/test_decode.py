"""From a file, bytes, an image or an array to upright pixels, within limits."""

import io
import struct
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont, ImageOps

from lenet5_cli import read_picture
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.pictures import decode as decode_module
from lenet5_cli.pictures.decode import FORMATS, PAGE_SIDE, decode
from tests.conftest import drawing, named_pipe, same, tiff, written


def read(image: Image.Image, form: str = "PNG", **options: object) -> np.ndarray:
    return read_picture(written(image, form, **options))


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


@pytest.mark.parametrize("none", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("ink", "paper", "around"), [(0, None, None), (-7, None, None), (250, 200, None), (3, 90, 90)])
def test_what_is_no_number_is_as_what_is_transparent(
    ink: float, paper: float | None, around: float | None, none: float
) -> None:
    x = np.where(np.asarray(drawing(7)) < 128, ink, none if paper is None else paper).astype(np.float32)
    x[:20] = x[:, :50] = none if around is None else around
    x[0, 0] = none
    assert same(read(Image.fromarray(x), "TIFF"), read(drawing(7))) > 0.95


def test_a_picture_without_a_number_is_a_blank_page() -> None:
    assert (decode(Image.fromarray(np.full((30, 40), np.nan, np.float32))).pixels == 255).all()


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_premultiplied_pixels_of_pillow_are_read_as_others(mode: str) -> None:
    image = drawing(7, ink=(0, 255) if mode == "LA" else (0, 0, 0, 255), paper=(0,) * len(mode), mode=mode)
    premultiplied = image.convert({"LA": "La", "RGBA": "RGBa"}[mode])
    np.testing.assert_array_equal(decode(premultiplied).pixels, decode(image).pixels)


def on_paper(digits: str, size: int) -> Image.Image:
    image = Image.new("L", (size * (len(digits) + 1), 2 * size), 255)
    ImageDraw.Draw(image).text((size // 2, size // 3), digits, 0, ImageFont.load_default(size))
    return image


@pytest.mark.parametrize("size", [30, 120])
@pytest.mark.parametrize("form", ["GIF", "PNG"])
def test_paper_that_is_keyed_out_of_soft_edges_is_paper(form: str, size: int) -> None:
    """Grey pixels at the edges of the ink were taken for shades on a page of the ink's colour: a 7 was read as a 1."""
    paper = on_paper("7", size)
    keyed = paper.quantize(32)
    file = written(keyed, form, transparency=keyed.getpixel((0, 0)))
    assert (abs(decode(file).pixels[..., 0].astype(int) - np.asarray(paper)) < 64).all()
    light = np.asarray(ImageOps.invert(paper))
    on_black = decode(np.dstack([light, light, light, np.where(light > 5, 255, 0).astype(np.uint8)]))
    np.testing.assert_array_equal(on_black.pixels[..., 0], np.where(light > 5, light, 0))


@pytest.mark.parametrize("paper", [250, 200])
def test_a_page_that_is_cut_out_goes_on_around_it(paper: int) -> None:
    page = np.full((200, 200, 4), 0, np.uint8)
    page[20:180, 20:180] = paper, paper, paper, 255
    page[60:140, 90:110, :3] = 30
    pixels = decode(page).pixels
    assert (pixels[:20] == paper).all()
    assert (pixels[60:140, 90:110] == 30).all()


def test_what_is_hardly_transparent_is_opaque() -> None:
    page = np.full((40, 40, 4), 200, np.uint8)
    page[10:30, 15:25, :3] = 0
    assert np.ptp(decode(page).pixels) > 128


def test_reading_in_threads_leaves_the_filters_of_warnings_alone() -> None:
    picture = written(drawing(4)).getvalue()
    with warnings.catch_warnings():
        before = list(warnings.filters)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(decode, [picture] * 40))
        assert list(warnings.filters) == before


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("rotate", [0, 90])
@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF"])
def test_the_size_is_that_of_the_upright_picture(form: str, rotate: int, turn: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    page = decode(written(Image.new("L", (2803, 2802)), form, exif=exif), rotate=rotate)
    assert page.size == ((2803, 2802) if (turn > 4) == (rotate == 90) else (2802, 2803))


def test_a_transparent_colour_of_a_palette_is_paper() -> None:
    image = drawing(7, ink=1, paper=0, mode="P")
    image.putpalette([0, 0, 0, 0, 0, 0])
    for form in ("PNG", "GIF"):
        assert same(read(image, form, transparency=0), read(drawing(7))) > 0.95


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_is_read(form: str) -> None:
    assert same(read(drawing(3), form), read(drawing(3))) > 0.9


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_exif_orientation_is_followed(turn: int, form: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # what undoes it, in Pillow's order of transpositions
    turned = drawing(4) if turn == 1 else drawing(4).transpose(Image.Transpose(back[turn]))
    options = {"quality": 95} if form in ("JPEG", "WEBP") else {}
    assert same(read(turned, form, exif=exif, **options), read(drawing(4))) > 0.9


@pytest.mark.parametrize("size", [(1, 100_000), (100_000, 1), (30, 2000)])
def test_absurd_shapes_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(
        LeNet5Error, match=rf"^x: {size[0]:,} x {size[1]:,} pixels; expected a longer side of at most 40 "
    ):
        decode(written(Image.new("L", size)), "x")
    assert decode(written(Image.new("L", (1200, 20))), longest=60).size == (1200, 20)


def test_a_picture_of_too_many_pixels_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    bombs = written(Image.new("1", (9000, 9000)))
    with pytest.raises(LeNet5Error, match=r"^x: 9,000 x 9,000 pixels, more than the 36,000,000 that are read; make it"):
        decode(bombs, "x")
    with pytest.raises(LeNet5Error, match=r"^x: more pixels than the 36,000,000 that are read; make it smaller$"):
        decode(written(Image.new("1", (15000, 15000))), "x")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    read = "that Pillow reads, twice its Image.MAX_IMAGE_PIXELS in this program"
    with pytest.raises(LeNet5Error, match=rf"^x: more pixels than the 2,000 {read}; make it smaller$"):
        decode(written(Image.new("1", (90, 90))), "x")


def refusal(source: Any) -> str:
    with pytest.raises(LeNet5Error) as error:
        decode(source, "x")
    return str(error.value)


@pytest.mark.parametrize(
    ("tile", "said"),
    [
        ((6000, 6001), "tiles of 6,000 x 6,001 pixels, more than the 36,000,000 that are read; make them smaller"),
        ((32.5, 32), "damaged: tiles without a size"),
    ],
)
def test_large_tiles_of_a_small_picture_are_refused(tile: tuple[float, float], said: str) -> None:
    assert refusal(tiff(28, 28, tile)) == f"x: {said}"
    assert decode(tiff(28, 28, (6000, 6000))).size == (28, 28)


TWO: dict[str, Any] = {"save_all": True, "append_images": [Image.new("RGB", (24, 24))]}  # frames of an MPO


STARTS = Image.Exif()  # of scans, as in a thumbnail
STARTS[0x9286] = b"\xff\xda" * 200


def in_scans(more: int, colours: int = 1, frame: int = 0xC2, side: int = 8) -> bytes:
    """Return a grey JPEG that has a scan of each colour's means, if it is progressive, and more that change nothing."""

    def segment(kind: int, content: bytes) -> bytes:
        return struct.pack(">BBH", 0xFF, kind, len(content) + 2) + content

    tables = segment(0xC4, b"\x00\x01" + bytes(16)) + segment(0xC4, b"\x10\x01" + bytes(16))
    each = b"".join(bytes([colour, 0x11, 0]) for colour in range(colours))
    start = segment(0xDB, bytes([0, *[1] * 64])) + segment(frame, struct.pack(">BHHB", 8, side, side, colours) + each)
    last = 63 if frame == 0xC0 else 0
    scans = [segment(0xDA, bytes([1, at, 0, 0, last, 0])) + b"\x00" for at in range(colours)]
    scans += [segment(0xDA, bytes([1, 0, 0, 1, 63, 0])) + b"\x00"] * more
    return b"\xff\xd8" + start + tables + b"".join(scans) + b"\xff\xd9"


def test_a_jpeg_of_many_scans_is_refused() -> None:
    assert decode(in_scans(99)).size == (8, 8)
    assert refusal(in_scans(100)) == "x: a JPEG of 101 scans; expected at most 100; save it again"
    assert decode(in_scans(1) + b"\xff\xda" * 200).size == (8, 8)  # bytes behind it, as the film of a moving photo


@pytest.mark.parametrize(
    ("file", "most"),
    [
        (in_scans(0, side=24), 575),
        (in_scans(0, 3, side=24), 191),
        (in_scans(0, 3, 0xC0, side=24), 191),
        (written(Image.new("RGB", (24, 24)), "JPEG", progressive=True, exif=STARTS).getvalue(), 191),
        (written(Image.new("RGB", (24, 24)), "MPO", **TWO, progressive=True).getvalue(), 191),
    ],
    ids=["grey", "colours", "a scan a colour", "of Pillow", "MPO"],
)
def test_of_a_jpeg_of_several_scans_all_pixels_count(file: bytes, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    values = 576 if most == 575 else 3 * 576
    monkeypatch.setattr(decode_module, "MAX_KEPT", values)
    assert decode(file).size == (24, 24)
    monkeypatch.setattr(decode_module, "MAX_KEPT", 576 - 1)
    there = f"24 x 24 pixels in a progressive JPEG; expected at most {most}"
    assert refusal(file) == f"x: {there}; make it smaller, or save it as a plain one"


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("form", ["JPEG", "MPO"])
def test_a_plain_jpeg_is_decoded_as_small_as_it_is_needed(
    mode: str, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode_module, "MAX_KEPT", 0)
    file = written(Image.new(mode, (2900, 40)), form, **(TWO if form == "MPO" else {}))
    assert decode(file, longest=100).size == (2900, 40)


def test_files_are_as_large_as_they_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = written(drawing(3)).getvalue()
    (tmp_path / "digit.png").write_bytes(content)
    monkeypatch.setattr(decode_module, "PICTURE_LIMIT", len(content))
    for source in (tmp_path / "digit.png", content):
        assert decode(source).size == (200, 200)
    monkeypatch.setattr(decode_module, "PICTURE_LIMIT", len(content) - 1)
    for source in (tmp_path / "digit.png", content):
        assert refusal(source) == f"x: {len(content):,} bytes; expected a picture of at most {len(content) - 1:,}"


@pytest.mark.parametrize("header", [b"P5 #", b"P5 2 1 #", b"P4 2 #", b"Pf#\n", b"P5\n2 " + b"#" * 65_536])
def test_a_comment_without_an_end_is_refused(header: bytes) -> None:
    said = "x: a PPM file whose header does not end in its first 65,536 bytes; expected a shorter comment"
    assert refusal(header + b"a" * 100_000) == said


@pytest.mark.parametrize(
    "header", [b"P5 #a\n2#b\r 1\n#c\n255 ", b"P5 2 1 255\n", b"P4 #\n2 1\n", b"P5 #" + b"a" * 60_000 + b"\n2 1 255\n"]
)
def test_comments_of_a_ppm_file_are_passed_over(header: bytes) -> None:
    assert decode(header + b"#a").size == (2, 1)


@pytest.mark.parametrize("exif", [b"\xff" * 20, b"II*\0", b"Exif\0\0II*\0"])
def test_a_picture_whose_exif_is_damaged_is_read_upright(exif: bytes) -> None:
    assert decode(written(drawing(3), exif=exif)).size == (200, 200)


def test_files_that_are_no_pictures(tmp_path: Path) -> None:
    path = tmp_path / "digit.png"
    formats = "PNG, JPEG, BMP, GIF, TIFF, WEBP, PPM, HEIC"
    for empty in (path, b""):
        path.write_bytes(b"")
        with pytest.raises(LeNet5Error, match=r"(digit.png|picture): empty; expected a picture$"):
            read_picture(empty)
    for other in (b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"):
        path.write_bytes(other)
        with pytest.raises(LeNet5Error, match=rf"digit.png: not a picture; expected one of {formats}$"):
            read_picture(path)
    with pytest.raises(LeNet5Error, match=r"none.png: no such file; expected a picture$"):
        read_picture(tmp_path / "none.png")
    kinds = "a path, bytes, an open file, a Pillow image or an array"
    with pytest.raises(LeNet5Error, match=rf"^picture: of type NoneType; expected {kinds}$"):
        read_picture(None)  # type: ignore[arg-type]
    drawing(3).save(path)
    with path.open(encoding="latin-1") as text:
        for other in (text, io.StringIO("x")):
            with pytest.raises(LeNet5Error, match=r"^picture: a file opened as text; expected one opened as bytes, "):
                read_picture(other)  # type: ignore[arg-type]
    with pytest.raises(LeNet5Error, match=r": a folder; expected a picture$"):
        read_picture(tmp_path)
    drawing(3).save(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(LeNet5Error, match=r"digit.png: damaged: "):
        read_picture(path)
    pipe = named_pipe(tmp_path / "pipe")
    with pytest.raises(LeNet5Error, match=r"pipe: a pipe; expected a picture$"):
        read_picture(pipe)
    with pytest.raises(LeNet5Error, match=r"^/dev/zero: a device or socket; expected a picture$"):
        read_picture("/dev/zero")


def test_a_file_that_a_pipe_replaces_meanwhile_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe, before = named_pipe(tmp_path / "pipe"), Path(__file__).stat()
    monkeypatch.setattr(Path, "stat", lambda _: before)
    with pytest.raises(LeNet5Error) as refused:
        decode(pipe)
    assert str(refused.value) == f"{pipe}: a pipe; expected a picture"


def test_only_the_first_frame_counts() -> None:
    frames = [drawing(digit) for digit in (3, 8)]
    for form in ("GIF", "TIFF", "PNG", "WEBP"):
        frame_file = written(frames[0], form, save_all=True, append_images=frames[1:])
        assert same(read_picture(frame_file), read(frames[0])) > 0.9


CORPUS = [
    written(drawing(8, 60, mode=mode, ink=ink, paper=paper), form).getvalue()
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
CORPUS.append(written(drawing(8, 60), "TIFF", compression="tiff_lzw").getvalue())


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
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
        page = decode(BytesIO(file), "damaged")
    except LeNet5Error as error:
        assert str(error).startswith("damaged: ")  # noqa: PT017 - most are refused, some can be read
    else:
        assert page.pixels.dtype == np.uint8
        assert page.pixels.ndim == 2 or page.pixels.shape[2] == 3


def test_a_path_bytes_an_image_and_an_array_are_the_same_picture(tmp_path: Path) -> None:
    image = drawing(5, mode="RGB", ink=(200, 30, 40), paper=(250, 250, 240))
    image.save(tmp_path / "five.png")
    content = (tmp_path / "five.png").read_bytes()
    pixels = np.asarray(image)
    for source in (
        str(tmp_path / "five.png"),
        content,
        BytesIO(content),
        image,
        pixels,
        pixels / 255,
        pixels / np.float32(255),
    ):
        np.testing.assert_array_equal(decode(source).pixels, pixels)
    np.testing.assert_array_equal(np.asarray(image), pixels)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((3, 4, 5)), "an array of shape (3, 4, 5); expected (h, w), (h, w, 3) or (h, w, 4)"),
        (np.zeros((0, 4)), "an array of shape (0, 4); expected (h, w), (h, w, 3) or (h, w, 4)"),
        (np.full((3, 4), 255.0), "float64 from 255.0 to 255.0; expected uint8, or floats in [0, 1]"),
        (np.full((3, 4), np.nan), "float64 from nan to nan; expected uint8, or floats in [0, 1]"),
        (np.full((3, 4), None), "object; expected uint8, or floats in [0, 1]"),
        (np.full((3, 4), 7), "int64 from 7 to 7; expected uint8, or floats in [0, 1]"),
    ],
)
def test_other_arrays_are_refused_by_name(array: np.ndarray, said: str) -> None:
    with pytest.raises(LeNet5Error) as error:
        decode(array)
    assert str(error.value) == f"picture: {said}"


@pytest.mark.parametrize("form", ["L", "RGB"])
def test_rotate_turns_clockwise(form: str) -> None:
    image = drawing(4, mode=form, ink=0 if form == "L" else (0, 0, 0), paper=255 if form == "L" else (255, 255, 255))
    on_its_side = image.transpose(Image.Transpose.ROTATE_90)  # counterclockwise
    np.testing.assert_array_equal(decode(on_its_side, rotate=90).pixels, np.asarray(image))
    np.testing.assert_array_equal(decode(on_its_side, rotate=270).pixels, np.asarray(image)[::-1, ::-1])
    with pytest.raises(LeNet5Error, match=r"^rotate: 45 degrees; expected a multiple of 90$"):
        decode(image, rotate=45)
    with pytest.raises(LeNet5Error, match=r"^rotate: of type str; expected a multiple of 90 degrees$"):
        decode(image, rotate="90")  # type: ignore[arg-type]


def test_a_large_picture_is_reduced_and_keeps_its_size() -> None:
    page = decode(Image.new("L", (5000, 3000)))
    assert page.size == (5000, 3000)
    assert page.pixels.shape == (round(PAGE_SIDE * 3 / 5), PAGE_SIDE)
    assert decode(Image.new("L", (5000, 3000)), rotate=90).size == (3000, 5000)


def heic() -> bytes:
    import pillow_heif

    pillow_heif.register_heif_opener()
    return written(drawing(6, mode="RGB", ink=(0, 0, 0), paper=(255, 255, 255)), "HEIF", quality=90).getvalue()


def test_heic_is_read(tmp_path: Path) -> None:
    (tmp_path / "six.heic").write_bytes(heic())
    for source in (tmp_path / "six.heic", heic()):
        assert same(read_picture(source), read(drawing(6))) > 0.9
    with pytest.raises(LeNet5Error, match=r"^picture: damaged: "):
        decode(heic()[:-300])


def test_heic_without_its_library_says_why_and_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = heic()
    (tmp_path / "pillow_heif.py").write_text("raise ImportError('libheif.so.1: no such file')", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pillow_heif")
    with pytest.raises(LeNet5Error) as error:
        decode(content, "six.heic")
    assert str(error.value) == (
        "six.heic: not a picture; expected one of PNG, JPEG, BMP, GIF, TIFF, WEBP, PPM, HEIC, which needs pillow-heif, "
        "which cannot be imported: libheif.so.1: no such file; pip install 'lenet5-cli[heic]'"
    )


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("", "picture: an empty name; expected a picture"),
        (Image.new("L", (0, 0)), "picture: 0 x 0 pixels; expected one at least"),
        (Image.new("L", (0, 5)), "picture: 0 x 5 pixels; expected one at least"),
        (np.ma.zeros((28, 28)), "picture: a masked array; expected a plain one, as its .filled(0) is"),
    ],
)
def test_what_holds_no_picture_is_told(source: Any, said: str) -> None:
    with pytest.raises(LeNet5Error) as error:
        decode(source)
    assert str(error.value) == said


@pytest.mark.parametrize("mode", ["P", "CMYK", "YCbCr", "HSV"])
def test_colours_stay_in_every_mode_that_has_some(mode: str) -> None:
    colours = Image.new("RGB", (40, 30), (204, 51, 51))  # both are in the palette
    colours.paste((51, 51, 204), (0, 0, 20, 30))
    pixels = decode(colours.convert(mode)).pixels.astype(int)
    np.testing.assert_allclose(pixels, decode(colours).pixels, atol=4)
