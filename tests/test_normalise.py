"""From any ink to MNIST's form."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageDraw

from lenet5_cli.data import drawn, idx
from lenet5_cli.pictures.normalise import PEN, SIDE, THICK, is_normal, normalise
from tests.conftest import drawing, same

DATA = os.environ.get("LENET5_DATA")


def stroke(pen: int, size: int = 400) -> np.ndarray:
    """Return a 7 of a pen's width."""
    image = Image.new("L", (size, size))
    ImageDraw.Draw(image).line([(120, 100), (280, 100), (200, 300)], 255, pen, joint="curve")
    return np.asarray(image)


@settings(max_examples=100, deadline=None)
@given(ink=arrays.arrays(np.uint8, st.tuples(st.integers(1, 60), st.integers(1, 60)), fill=st.just(0)).filter(np.any))
def test_any_ink_fills_the_box_with_its_mass_in_the_middle(ink: np.ndarray) -> None:
    picture = normalise(ink)
    assert picture.shape == (SIDE, SIDE)
    assert picture.dtype == np.uint8
    assert picture.max() == 255
    left, top, width, height = cv2.boundingRect(picture)
    assert max(width, height) <= 20
    rows, columns = np.indices(picture.shape)
    for axis, start, extent in ((rows, top, height), (columns, left, width)):
        off = abs(np.average(axis, weights=picture) - 13.5)
        assert off <= 0.75 or start == 0 or start + extent == SIDE  # as near as the picture's edge allows


def test_ink_whose_mass_is_far_to_one_side_stays_whole() -> None:
    ink = np.zeros((100, 100), np.uint8)
    ink[:, :20] = ink[48:52] = 255
    for turns in range(4):
        left, top, width, height = cv2.boundingRect(np.rot90(normalise(np.rot90(ink, -turns)), turns).copy())
        assert (left + width, width) == (SIDE, 20)  # the mass is as near to the middle as the edge allows
        assert top == pytest.approx((SIDE - height) / 2, abs=1)


@pytest.mark.parametrize("digit", range(10))
def test_the_size_of_the_ink_does_not_matter(digit: int) -> None:
    pictures = [normalise(255 - np.asarray(drawing(digit, size))) for size in (100, 300, 900)]
    # A line two pixels wide may fall between pixels.
    assert min(same(pictures[0], pictures[2]), same(pictures[1], pictures[2])) > 0.6


def test_thin_strokes_are_widened_thick_ones_thinned_and_the_rest_left() -> None:
    def width(pen: int) -> float:
        large = cv2.resize(normalise(stroke(pen)), None, fx=10, fy=10, interpolation=cv2.INTER_CUBIC)
        distances = cv2.distanceTransform((large > 127).astype(np.uint8), cv2.DIST_L2, 5)
        return 0.4 * float(distances[distances > 0].mean())  # across a stroke, the mean is a quarter of its width

    thin, common, thick = width(1), width(30), width(90)
    assert thin == pytest.approx(PEN, abs=0.6)
    assert PEN < common < THICK
    assert thick == pytest.approx(THICK, abs=1)


def test_pens_of_all_widths_come_out_alike() -> None:
    assert same(normalise(stroke(1)), normalise(stroke(12))) > 0.6
    assert same(normalise(stroke(4)), normalise(stroke(20))) > 0.7


def test_mnists_form_is_known() -> None:
    for image in drawn.draw(20, seed=0)[0]:
        assert is_normal(image)
        assert not is_normal(np.roll(image, 3, axis=1))
        assert not is_normal(255 - image)
        assert not is_normal(image[:, :-1])
    assert not is_normal(np.zeros((SIDE, SIDE), np.uint8))


@pytest.mark.skipif(not DATA, reason="LENET5_DATA names no folder with MNIST")
def test_all_of_mnist_has_mnists_form() -> None:
    for part in ("train", "t10k"):
        [path] = Path(str(DATA)).glob(f"{part}-images*")
        assert all(map(is_normal, idx.read(path)))
