"""Read digits in drawn scenes, such as a shadow or ruled paper, or in listed pictures, with steps left out.

    LENET5_DATA=mnist_data python benchmarks/pictures.py [--model model.pkl] [--count 50] [--seed 0]
    python benchmarks/pictures.py --list singles.csv --folder pictures/singles
    python benchmarks/pictures.py --list several.csv --folder pictures/several --all

The digits of the scenes are MNIST's test images, enlarged, five in a row with ``--all``. A list has the columns
``path`` and ``label``; paths are below the folder; a label that is no digit is right when the picture is refused. With
``--all``, a label is all digits on the picture in reading order, and the edits that turn what was read into it count.
Every row of the table is the reader without one step. ``--accept`` is that of ``lenet5 predict``.
"""

import argparse
import csv
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from functools import partial
from operator import eq
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np
from numpy.typing import NDArray

from lenet5_cli import LeNet5
from lenet5_cli.data import sources
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.pictures import lines, normalise, read, rows, segment
from lenet5_cli.pictures.decode import Page, decode

Plane = NDArray[np.float32]
Rng = np.random.Generator
SIDE = 480  # pixels of a scene
INK, PAPER = 45, 225  # shades

Steps = dict[str, tuple[object, dict[str, object]]]  # what is left out: a module, and the names that leave it out

STEPS: Steps = {
    "all steps": (read, {}),
    "no prior against ink left over": (read, {"UNEXPLAINED": 0}),
    "candidates may disagree": (read, {"DISAGREEMENT": 0}),
    "the stronger polarity alone": (segment, {"RIVAL": 1.0}),
    "one background everywhere": (segment, {"EVEN": 255.0, "STRAY": 255.0, "UNEVEN": 255.0}),
    "no faint ink": (segment, {"LEVELS": {0.4: 0.0}}),
    "frames stay": (segment, {"FRAMES": 0}),
    "underlines and blocks stay": (segment, {"FLAT": 1e9, "FILLED": 2.0}),
    "no sheets": (segment, {"SHEET": 2.0}),
    "rules stay": (segment, {"RUN_MIN": 10_000}),
    "one colour for all ink": (segment, {"LOST": 2.0}),
    "boxes that digits touch stay": (segment, {"BOXED": 10_000}),
    "brightness alone": (segment, {"grey": lambda x: x if x.ndim == 2 else cv2.cvtColor(x, cv2.COLOR_RGB2GRAY)}),
    "thin strokes stay thin": (normalise, {"PEN": 0.1}),
}

OF_BOTH = ("all steps", "no faint ink", "the stronger polarity alone", "one background everywhere", "no sheets")
OF_BOTH += ("one colour for all ink", "boxes that digits touch stay")
STEPS_OF_ALL: Steps = {name: STEPS[name] for name in OF_BOTH} | {
    "small pages are not enlarged": (lines, {"ENLARGED": 1}),
    "small digits are not read enlarged": (lines, {"SMALL": 0}),
    "pages are not reduced": (lines, {"COARSE": 10_000}),
    "hypotheses do not count for each other": (lines, {"is_part": lambda *_: False}),
    "... but where they read whole rows alike": (lines, {"is_part": eq}),
    "specks count": (rows, {"DUST": 0}),
    "rules stay": (rows, {"RULE": 30}),
    "remnants of boxes at a slant stay": (rows, {"SLIM": 1e9}),
    "boxes stay": (rows, {"HELD": 1e9}),
    "bars along the edge stay": (rows, {"BAR": 1e9}),
    "what reaches over the edge stays": (rows, {"BEYOND": 1e9}),
    "brackets stay": (rows, {"BOWED": 1e9}),
    "a row's height is its median": (rows, {"ROW": 0.5}),
    "beside the last component alone": (rows, {"BESIDE": 1}),
    "rows do not go on higher": (rows, {"ASIDE": 1e9}),
    "no cuts": (lines, {"STEP": 1e3}),
    "cuts are free": (lines, {"CUT": 0.0}),
    "strokes of a digit as far apart as may be": (lines, {"GAP": 1e9}),
    "uneven heights are free": (lines, {"UNEVEN": 0.0}),
    "low letters say how high a row is": (lines, {"HIGHER": 1e9}),
    "words stay": (lines, {"UNLIKE": 10**9}),
    "slashes stay": (lines, {"LEANING": 1e9}),
    "what is faint stays": (lines, {"FAINT": 0.0}),
    "rows of low strokes stay": (lines, {"LOW": 0.0}),
}


def written(image: NDArray[np.uint8], rng: Rng) -> Plane:
    """Return how much ink a page of SIDE x SIDE holds, 0 to 1, of a digit, or a row of some, somewhere on it."""
    row = image.shape[1] // len(image)  # digits
    length = int(rng.integers(SIDE // (row + 3), SIDE // (row + 1)))
    large = cv2.resize(image, (row * length, length), interpolation=cv2.INTER_CUBIC)
    large = cv2.GaussianBlur(large, (0, 0), length / 60)
    page = np.zeros((SIDE, SIDE), np.float32)
    top, left = (int(rng.integers(0, SIDE - side)) for side in (length, row * length))
    page[top : top + length, left : left + row * length] = np.clip((large / 255 - 0.4) * 5 + 0.5, 0, 1)
    return page


def light(rng: Rng, darkest: float) -> Plane:
    """Return light that falls off to one side, 1 to ``darkest``."""
    corners = rng.uniform(darkest, 1, (2, 2)).astype(np.float32)
    return cv2.resize(corners, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)


def shadow(ink: Plane, rng: Rng) -> Plane:
    """Return a page with the edge of a shadow across it."""
    cast = np.ones((SIDE, SIDE), np.float32)
    cast[:, int(rng.integers(SIDE // 4, 3 * SIDE // 4)) :] = rng.uniform(0.4, 0.7)
    return (PAPER - (PAPER - INK) * ink) * cv2.GaussianBlur(cast, (0, 0), 6) * light(rng, 0.6)


def vignette(ink: Plane, rng: Rng) -> Plane:
    """Return a page whose corners are dark."""
    away = np.linspace(-1, 1, SIDE, dtype=np.float32) ** 2
    return (PAPER - (PAPER - INK) * ink) * (1 - rng.uniform(0.3, 0.45) * (away[:, None] + away))


def low_light(ink: Plane, rng: Rng) -> Plane:
    """Return a dim page full of noise."""
    return (PAPER - (PAPER - INK) * ink) * light(rng, 0.5) * 0.3 + rng.normal(0, 4, ink.shape)


def ruled(ink: Plane, rng: Rng, squares: bool = False) -> Plane:
    """Return a page with printed lines, or squares."""
    lines = np.zeros((SIDE, SIDE), np.float32)
    spacing, slope = int(rng.integers(30, 70)), int(rng.integers(-6, 7))
    for at in range(spacing // 2, SIDE, spacing):
        cv2.line(lines, (0, at), (SIDE, at + slope), 0.6, 2)
        if squares:
            cv2.line(lines, (at, 0), (at - slope, SIDE), 0.6, 2)
    return PAPER - (PAPER - INK) * np.maximum(ink, lines)


def framed(ink: Plane, rng: Rng, crossed: bool = False) -> Plane:
    """Return a page with a frame around the digit, as of a form's box, which the digit may cross."""
    (top, left), (bottom, right) = np.argwhere(ink > 0.5).min(axis=0), np.argwhere(ink > 0.5).max(axis=0)
    away = rng.integers(12, 80, 4)
    if crossed:
        away[rng.integers(4)] = -rng.integers((bottom - top) // 6)
    corners = (left - away[0], top - away[1]), (right + away[2], bottom + away[3])
    frame = cv2.rectangle(np.zeros_like(ink), *corners, 1, 4)
    return PAPER - (PAPER - INK) * np.maximum(ink, frame)


def on_a_desk(ink: Plane, rng: Rng) -> Plane:
    """Return a sheet of paper on the grain of a desk."""
    grain = rng.normal(90, 12, (SIDE // 6, SIDE // 6)).astype(np.float32)
    turned = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), float(rng.uniform(-15, 15)), 0.65)
    sheet, around = (
        cv2.warpAffine(page, turned, (SIDE, SIDE)) for page in (PAPER - (PAPER - INK) * ink, np.ones_like(ink))
    )
    return (cv2.resize(grain, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) * (1 - around) + sheet) * light(rng, 0.7)


def underlined(ink: Plane, rng: Rng) -> Plane:
    """Return a page with an underlined digit."""
    (_, left), (bottom, right) = np.argwhere(ink > 0.5).min(axis=0), np.argwhere(ink > 0.5).max(axis=0)
    far, width = int(rng.integers(6, 40)), int(rng.integers(3, 9))
    start = (int(left - rng.integers(40)), int(bottom) + far)
    end = (int(right + rng.integers(40)), int(bottom) + far + int(rng.integers(-5, 6)))
    line = cv2.line(np.zeros_like(ink), start, end, 1, width)
    return PAPER - (PAPER - INK) * np.maximum(ink, line)


PLAIN = shadow, low_light, ruled, framed, underlined, on_a_desk
SCENES = {scene.__name__: scene for scene in PLAIN}
SCENES |= {"squared": partial(ruled, squares=True), "boxed": partial(framed, crossed=True)}


def scenes(count: int, seed: int, several: int = 1) -> Iterator[tuple[str, str, Page]]:
    """Yield the kind, the label and the page of ``count`` scenes of each kind, with one digit or a row of some."""
    test = sources.load("mnist", "test")
    for name, kind in (SCENES | ({"vignette": vignette} if several > 1 else {})).items():
        rng = np.random.default_rng(seed)
        for places in rng.choice(len(test.images), (count, several), replace=False):
            page = kind(written(np.hstack(test.images[places]), rng), rng)
            page = np.clip(np.rint(page), 0, 255).astype(np.uint8)
            yield name, "".join(map(str, test.labels[places])), decode(page)


def listed(path: Path, folder: Path) -> Iterator[tuple[str, str, Page]]:
    """Yield the kind, the label and the page of each picture of a list."""
    table = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
    if not {"path", "label"} <= set(table.fieldnames or ()):
        raise LeNet5Error(f"{path}: the columns {table.fieldnames or []}; expected path and label among them")
    for row in table:
        yield row.get("diff", "listed"), row["label"], decode(folder / row["path"])


def edits(read: str, label: str) -> int:
    """Return how many digits must be put in, left out or replaced to turn what was read into a label."""
    row = list(range(len(label) + 1))
    for i, digit in enumerate(read, 1):
        before, row = row, [i]
        for j, expected in enumerate(label, 1):
            row.append(min(row[-1] + 1, before[j] + 1, before[j - 1] + (digit != expected)))
    return row[-1]


def answered(page: Page, network: LeNet5, every: bool) -> str:
    """Return the digit on a page, or all of them in reading order, as text; empty where there is none."""
    if every:
        try:
            return "".join(filter(str.isdigit, str(read.read_digits(page.pixels, network))))
        except LeNet5Error:  # more marks than digits
            return ""
    digit = read.read(page.pixels, network).digit
    return "" if digit is None else str(digit)


def main() -> None:
    """Print how many pictures of each kind are read right, with each step left out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--accept", type=float, default=0.995)
    parser.add_argument("--list", type=Path)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--all", action="store_true")
    options = parser.parse_args()
    given = [path for path in (options.list, options.folder) if path]
    if given and not (len(given) == 2 and options.list.is_file() and options.folder.is_dir()):
        parser.error(f"--list {options.list}, --folder {options.folder}; expected a CSV file and a folder")
    if not 0 <= options.accept <= 1:
        parser.error(f"--accept {options.accept}; expected a number from 0 to 1")
    try:
        network = LeNet5.load(options.model)
        pictures = list(listed(*given) if given else scenes(options.count, options.seed, 5 if options.all else 1))
    except LeNet5Error as error:
        parser.error(str(error))
    if not pictures:
        parser.error(f"{options.list or '--count'}: no picture; expected one or more")
    network.accept = options.accept
    for name, (module, changes) in (STEPS_OF_ALL if options.all else STEPS).items():
        with patch.multiple(module, **changes) if changes else nullcontext():
            read_as = [(kind, answered(page, network, options.all), label) for kind, label, page in pictures]
        print(f"{name:42} {summary(read_as, edited=options.all)}", flush=True)


def summary(read_as: Iterable[tuple[str, str, str]], *, edited: bool) -> str:
    """Return how many answers are right, of each kind, too, and, if asked, the edits in all."""
    wrong: dict[str, list[int]] = {}
    for kind, answer, label in read_as:
        wrong.setdefault(kind, []).append(edits(answer, label if label.isdecimal() else ""))
    every = [each for counts in wrong.values() for each in counts]
    kinds = ", ".join(f"{kind} {counts.count(0)}/{len(counts)}" for kind, counts in wrong.items())
    whole = f"{every.count(0)}/{len(every)} {every.count(0) / max(1, len(every)):.4f}"
    return f"{whole}{f'  edits {sum(every)}' if edited else ''}  {kinds}"


if __name__ == "__main__":
    main()
