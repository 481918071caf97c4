"""Pages of drawn digits, and what reads them without a trained network."""

from itertools import product

import numpy as np
from PIL import Image, ImageDraw

from lenet5_cli.config import Config
from lenet5_cli.engine.network import Classifier
from lenet5_cli.pictures.lines import Text
from lenet5_cli.pictures.normalise import normalise
from lenet5_cli.pictures.read import read_digits
from tests.conftest import STROKES, same

SIDE = 60  # pixels of a digit's height and the pitch of a line


class Nearest(Classifier):
    """Stands in for a network: the squared distance is 40 times what a picture lacks to be one of ten drawings."""

    threshold: float | None = 18.0
    names = tuple("0123456789")
    config = Config()

    def __init__(self) -> None:
        super().__init__()
        self.known = [normalise(255 - np.array(sheet([str(digit)]))) for digit in range(10)]
        self.images = 0

    def scores(self, images: np.ndarray) -> np.ndarray:
        self.images += len(images)
        return np.array([[40 * same(image, known) - 40 for known in self.known] for image in images])


def sheet(rows: list[str], pitch: int = SIDE, leading: int = 110, pen: int = 5) -> Image.Image:
    """Return a page of rows of drawn digits; a blank leaves a place out."""
    image = Image.new("L", (80 + pitch * max(map(len, rows)), 40 + leading * len(rows)), 255)
    for (y, row), place in product(enumerate(rows), range(max(map(len, rows)))):
        if row[place : place + 1].strip():
            write(image, row[place], 50 + pitch * place, 40 + leading * y, pen)
    return image


def write(image: Image.Image, digit: str, left: int, top: int, pen: int = 5) -> None:
    draw, unit = ImageDraw.Draw(image), SIDE / 14
    for stroke in STROKES[int(digit)]:
        squares = [map(float, point.split(",")) for point in stroke.split()]
        draw.line([(left + unit * x, top + unit * y) for x, y in squares], fill=0, width=pen, joint="curve")


def read(image: Image.Image, network: Nearest) -> Text:
    return read_digits(image, network)  # type: ignore[arg-type]
