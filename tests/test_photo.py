"""From a picture to MNIST's form."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lenet5_cli import handwriting
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.photo import read_picture
from tests.conftest import drawing


def read(image: Image.Image, tmp_path: Path, name: str = "digit.png", **options: object) -> np.ndarray:
    image.save(tmp_path / name, **options)
    return read_picture(tmp_path / name)


def centre_of_mass(picture: np.ndarray) -> np.ndarray:
    return np.array([np.average(np.arange(28), weights=picture.sum(axis=1 - axis)) for axis in (0, 1)])


@pytest.mark.parametrize("size", [28, 64, 200, 1500])
@pytest.mark.parametrize(("ink", "paper"), [(0, 255), (255, 0), (90, 200), (160, 40)])
def test_a_digit_fills_the_box_and_lies_in_the_middle(size: int, ink: int, paper: int, tmp_path: Path) -> None:
    picture = read(drawing(4, size, ink, paper), tmp_path)
    assert picture.shape == (28, 28)
    assert picture.dtype == np.uint8
    assert picture.max() == 255
    rows, columns = np.nonzero(picture > 20)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 in (19, 20)
    np.testing.assert_allclose(centre_of_mass(picture), 13.5, atol=0.75)


@pytest.mark.parametrize(
    ("mode", "ink", "paper"),
    [
        ("RGB", (20, 30, 120), (250, 245, 230)),
        ("RGBA", (0, 0, 0, 255), (0, 0, 0, 0)),
        ("RGBA", (255, 255, 255, 255), (255, 255, 255, 0)),
        ("LA", (0, 255), (0, 0)),
        ("1", 0, 1),
        ("P", 1, 0),
        ("I;16", 1000, 60000),
        ("CMYK", (0, 0, 0, 255), (0, 0, 0, 0)),
    ],
)
def test_every_mode_is_read_alike(mode: str, ink: object, paper: object, tmp_path: Path) -> None:
    if mode == "I;16":
        grey = np.asarray(drawing(7), np.uint16)
        image = Image.fromarray(np.where(grey < 128, ink, paper).astype(np.uint16))
    else:
        image = drawing(7, ink=ink, paper=paper, mode=mode)
    if mode == "P":
        image.putpalette([255, 255, 255, 0, 0, 0])
    suffix = "tif" if mode in ("CMYK", "I;16") else "png"
    picture = read(image, tmp_path, f"digit.{suffix}")
    expected = read(drawing(7), tmp_path).astype(int)
    assert abs(picture - expected).mean() < 6


def test_place_and_margin_do_not_matter(tmp_path: Path) -> None:
    page = Image.new("L", (1200, 900), 255)
    page.paste(drawing(5), (850, 40))
    np.testing.assert_array_equal(read(page, tmp_path), read(drawing(5), tmp_path))


def test_exif_orientation_is_followed(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned a quarter: the viewer turns it back
    turned = drawing(4).transpose(Image.Transpose.ROTATE_90)
    np.testing.assert_array_equal(read(turned, tmp_path, exif=exif), read(drawing(4), tmp_path))


def test_pictures_in_mnists_form_pass_unchanged(tmp_path: Path) -> None:
    images, _ = handwriting.draw(20, seed=0)
    for image in images:
        np.testing.assert_array_equal(read(Image.fromarray(image), tmp_path), image)


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_an_empty_page_is_refused(shade: int, tmp_path: Path) -> None:
    with pytest.raises(LeNet5Error) as error:
        read(Image.new("L", (50, 40), shade), tmp_path)
    assert str(error.value) == f"{tmp_path / 'digit.png'}: one even colour; a digit on a plain background was wanted"


def test_files_that_are_no_pictures(tmp_path: Path) -> None:
    path = tmp_path / "digit.png"
    formats = "PNG, JPEG, BMP, GIF, TIFF, WEBP, PPM"
    path.write_bytes(b"hello")
    with pytest.raises(LeNet5Error, match=rf"digit.png: not a picture; one of {formats} was wanted$"):
        read_picture(path)
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.raises(LeNet5Error, match=rf"digit.png: not a picture; one of {formats} was wanted$"):
        read_picture(path)
    with pytest.raises(LeNet5Error, match=r"none.png: No such file or directory$"):
        read_picture(tmp_path / "none.png")
    with pytest.raises(LeNet5Error, match=r": Is a directory$"):
        read_picture(tmp_path)
    drawing(3).save(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(
        LeNet5Error, match=r"digit.png: (image file is truncated|broken data|unrecognized data|Truncated)"
    ):
        read_picture(path)


def test_a_picture_of_too_many_pixels_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = drawing(3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(LeNet5Error, match=r"digit.png: more pixels than the 1,000 that are read$"):
        read(image, tmp_path)
