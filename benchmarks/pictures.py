"""Draw pictures of digits as people take and make them, have them read, and print what is read right, by kind.

    LENET5_DATA=mnist_data python benchmarks/pictures.py [--model model.pkl] [--count 200] [--seed 0] [--without]

The digits are MNIST's test images, made large and smooth, in their own pen or along their middle lines in a pen of any
width, those of several pieces and those whose loops have run together left out; for every fifth picture, neat strokes
of the built-in digits. Paper, pens, light, cameras, scanners and drawing programs are imitated. The same seed gives the
same pictures. With ``--without``, all are read again with one step of the normaliser at a time left out; ``--sheet``
writes the first two of each kind to a file.
"""

import argparse
import functools
import os
import statistics
import time
from collections.abc import Callable
from io import BytesIO
from unittest import mock

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from lenet5_cli import LeNet5
from lenet5_cli.data import drawn, sources
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.pictures import ink, photo

Plane = NDArray[np.float32]
Rng = np.random.Generator
SIDE = 480  # pixels of a digit's sheet


class Hand:
    """A digit that can be drawn with any pen: an outline, and the lines along its middle."""

    def __init__(self, outline: Image.Image | None, lines: list[tuple[float, float, float, float]], own: float) -> None:
        self.outline = outline  # SIDE x SIDE, white on black
        self.lines = lines  # from and to, in pixels of the sheet
        self.own = own  # the pen it was written with, as a part of the digit's longer side

    def drawn(self, length: int, pen: float | None = None, angle: float = 0.0) -> Plane:
        """Return the ink of each pixel, 0 to 1, cut to the ink: ``length`` pixels long, in a pen of ``pen`` pixels."""
        if pen is None and self.outline is not None:
            sheet = self.outline
        else:
            sheet = self._along(length, pen if pen is not None else self.own * length)
        if angle:
            sheet = sheet.rotate(angle, Image.Resampling.BICUBIC)
        sheet = sheet.crop(sheet.getbbox())
        scale = length / max(sheet.size)
        size = (max(1, round(sheet.width * scale)), max(1, round(sheet.height * scale)))
        return (
            np.asarray(
                sheet.resize(size, Image.Resampling.BOX if scale < 0.5 else Image.Resampling.BICUBIC), np.float32
            )
            / 255
        )

    def _along(self, length: int, pen: float) -> Image.Image:
        points = np.array(self.lines)
        xs, ys = points[:, ::2], points[:, 1::2]
        reach = max(np.ptp(xs), np.ptp(ys))
        width = pen * reach / max(length - pen, 0.3 * length)
        sheet = Image.new("L", (2 * SIDE, 2 * SIDE))
        draw = ImageDraw.Draw(sheet)
        for x0, y0, x1, y1 in points + SIDE / 2:
            draw.line((x0, y0, x1, y1), 255, max(1, round(width)))
            draw.circle((x0, y0), width / 2, 255)
            draw.circle((x1, y1), width / 2, 255)
        return sheet


def from_image(image: NDArray[np.uint8]) -> Hand:
    """Return the hand that wrote a 28x28 image."""
    large = Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(5))
    outline = large.point(lambda value: min(255, max(0, (value - 80) * 8)))
    if outline.getbbox() is None:
        outline = large.point(lambda value: min(255, value * 4))
    scale = 4
    small = np.asarray(outline.resize((SIDE // scale, SIDE // scale), Image.Resampling.BOX)) > 127
    thin = skeleton(small)
    length = max(np.ptp(axis) + 1 for axis in np.nonzero(small))
    own = small.sum() / max(thin.sum(), 1) / length
    rows, columns = np.nonzero(thin)
    smooth = smoothed(rows, columns)
    lines = []
    index = np.full(thin.shape, -1)
    index[rows, columns] = np.arange(len(rows))
    for i, (row, column) in enumerate(zip(rows, columns, strict=True)):
        lines.append((*smooth[i], *smooth[i]))
        for down, right in ((0, 1), (1, -1), (1, 0), (1, 1)):
            if (
                row + down < len(index)
                and 0 <= column + right < len(index)
                and (j := index[row + down, column + right]) >= 0
            ):
                lines.append((*smooth[i], *smooth[j]))
    return Hand(outline, [tuple(scale * (value + 0.5) for value in line) for line in lines], own)


LOOPS = ((1,), (0,), (0, 1), (0,), (0, 1), (0,), (1,), (0,), (2,), (1,))


def clear(hand: Hand, digit: int) -> bool:
    """Tell whether a digit is of one piece and its loops are open: a thin pen does not open what a thick one closed."""
    for pen in (None, 6):
        mask = np.pad(hand.drawn(120, pen) > 0.5, 2)
        inked, blank = (sum(thing.area > 25 for thing in ink.things(x)[1]) for x in (mask, ~mask))
        if inked != 1 or blank - 1 not in LOOPS[digit]:
            return False
    return True


def smoothed(rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.floating]:
    """Return the points (x, y), each moved to the middle of those near it."""
    points = np.stack([columns, rows], -1).astype(float)
    for _ in range(2):
        near = np.abs(points[:, None] - points).max(-1) <= 2.5
        points = near @ points / near.sum(1, keepdims=True)
    return points


def skeleton(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the middle lines of a mask that does not touch its border (Zhang and Suen 1984)."""
    mask = mask.copy()
    while True:
        before = mask.sum()
        for first in (True, False):
            ring = [
                np.roll(mask, shift, (0, 1))
                for shift in ((1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1))
            ]
            count = np.sum(ring, 0)
            turns = np.sum([~a & b for a, b in zip(ring, ring[1:] + ring[:1], strict=True)], 0)
            north, east, south, west = ring[0], ring[2], ring[4], ring[6]
            kept = (
                (north & east & south) | (east & south & west)
                if first
                else (north & east & west) | (north & south & west)
            )
            mask &= ~((count >= 2) & (count <= 6) & (turns == 1) & ~kept)
        if mask.sum() == before:
            return mask


def from_strokes(digit: int, rng: Rng) -> Hand:
    """Return a neat hand: one of the built-in styles, a little moved and slanted."""
    table = drawn._table()
    style = int(rng.integers(table.first[digit], table.first[digit + 1]))
    points = (table.points[style] - (5, 7)) / 7 + rng.normal(0, 0.03, table.points[style].shape)
    curve = table.basis[style] @ points
    curve[:, 0] = curve[:, 0] * rng.uniform(0.75, 1.1) - rng.uniform(-0.05, 0.3) * curve[:, 1]
    curve = SIDE / 2 + 0.35 * SIDE * curve
    down = np.flatnonzero(table.down[style])
    return Hand(None, [(*curve[i], *curve[i + 1]) for i in down], rng.uniform(0.06, 0.14))


# --- the world


def uneven(rng: Rng, shape: tuple[int, int], strength: float, cells: int = 3) -> Plane:
    """Return smooth light, 1 at its brightest, down to 1 - strength."""
    field = rng.uniform(0, 1, (cells, cells)).astype(np.float32)
    large = np.asarray(Image.fromarray(field).resize(shape[::-1], Image.Resampling.BICUBIC))
    return 1 - strength * (large - large.min()) / max(np.ptp(large), 1e-6)


def vignette(shape: tuple[int, int], strength: float) -> Plane:
    """Return light that falls off towards the corners."""
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in shape)
    return 1 - strength * (y[:, None] ** 2 + x**2) / 2


def page(rng: Rng, shape: tuple[int, int], colour: tuple[float, float, float]) -> Plane:
    """Return paper of a colour, (h, w, 3), with a fibre to it."""
    grain = rng.normal(0, 1, (shape[0] // 3 + 1, shape[1] // 3 + 1)).astype(np.float32)
    fibre = np.asarray(Image.fromarray(grain).resize(shape[::-1], Image.Resampling.BICUBIC))
    return np.array(colour, np.float32) + rng.uniform(0.5, 3) * fibre[..., None]


def written(
    sheet: Plane, mark: Plane, top: int, left: int, colour: tuple[float, float, float], strength: float = 1.0
) -> Plane:
    """Return the sheet with a mark in a colour on it."""
    sheet = sheet.copy()
    height, width = mark.shape
    cover = strength * mark[..., None]
    part = sheet[top : top + height, left : left + width]
    part[:] = part * (1 - cover) + np.array(colour, np.float32) * cover
    return sheet


def place(rng: Rng, shape: tuple[int, int], mark: Plane, margin: float = 0.06) -> tuple[int, int]:
    """Return where a mark may lie on a sheet: row and column."""
    rest = [n - m for n, m in zip(shape, mark.shape, strict=True)]
    least = [min(round(margin * n), r // 2) for n, r in zip(shape, rest, strict=True)]
    return tuple(int(rng.integers(low, max(low + 1, r - low))) for low, r in zip(least, rest, strict=True))


def middling(rng: Rng, shape: tuple[int, int], mark: Plane) -> tuple[int, int]:
    """Return a place near the middle."""
    rest = [(n - m) / 2 for n, m in zip(shape, mark.shape, strict=True)]
    return tuple(int(np.clip(r + rng.normal(0, 0.25) * r, 0, 2 * r)) for r in rest)


def camera(rng: Rng, sheet: Plane, blur: float = 1.0, noise: float = 4.0, tilt: float = 0.05) -> Image.Image:
    """Return what a phone makes of a sheet: seen askew, a little blurred and noisy."""
    image = Image.fromarray(np.clip(sheet, 0, 255).astype(np.uint8))
    if tilt:
        width, height = image.size
        inset = rng.uniform(0, tilt, (4, 2)) * (width, height)
        (a, b), (c, d), (e, f), (g, h) = inset
        corners = (a, b, c, height - d, width - e, height - f, width - g, h)
        image = image.transform(image.size, Image.Transform.QUAD, corners, Image.Resampling.BICUBIC)
    if blur:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 1) * blur))
    x = np.asarray(image, np.float32)
    x = x + rng.normal(0, rng.uniform(0.3, 1) * noise, x.shape[:2])[..., None] + rng.normal(0, noise / 3, x.shape)
    return Image.fromarray(np.clip(np.rint(x), 0, 255).astype(np.uint8))


def rules(rng: Rng, sheet: Plane, spacing: float, squares: bool) -> Plane:
    """Return the sheet with printed lines, a little turned."""
    height, width = sheet.shape[:2]
    layer = Image.new("L", (width, height))
    draw = ImageDraw.Draw(layer)
    thick = max(1, round(spacing / rng.uniform(18, 30)))
    turn = np.tan(np.deg2rad(rng.uniform(-4, 4)))
    for y in np.arange(rng.uniform(-0.2, 1) * spacing - 0.1 * height, 1.1 * height, spacing):
        draw.line((0, y, width, y + turn * width), 255, thick)
    if squares:
        for x in np.arange(rng.uniform(-0.2, 1) * spacing - 0.1 * width, 1.1 * width, spacing):
            draw.line((x, 0, x - turn * height, height), 255, thick)
    colour = [(130, 160, 215), (150, 150, 160), (160, 190, 220), (200, 150, 160), (110, 140, 190)][rng.integers(5)]
    return written(sheet, np.asarray(layer, np.float32) / 255, 0, 0, colour, rng.uniform(0.5, 1))


def jpeg(image: Image.Image, quality: int) -> bytes:
    """Return an image as a JPEG file."""
    file = BytesIO()
    image.convert("RGB").save(file, "JPEG", quality=quality)
    return file.getvalue()


def png(image: Image.Image) -> bytes:
    """Return an image as a PNG file."""
    file = BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


WHITE = ((250, 250, 248), (240, 238, 232), (228, 226, 222), (245, 240, 225))
DARK = ((30, 30, 34), (25, 35, 110), (20, 20, 20), (45, 45, 60), (20, 60, 150), (150, 25, 30))


def pick(rng: Rng, colours: tuple[tuple[float, float, float], ...]) -> tuple[float, float, float]:
    """Return one of some colours."""
    return colours[rng.integers(len(colours))]


def sides(rng: Rng, low: int = 240, high: int = 900) -> tuple[int, int]:
    """Return a picture's height and width."""
    long = int(rng.integers(low, high))
    short = round(long * rng.uniform(0.65, 1))
    return (long, short) if rng.random() < 0.5 else (short, long)


# --- the kinds


def pencil(rng: Rng, hand: Hand) -> bytes:
    """Return a thin grey stroke with a grain."""
    shape = sides(rng)
    length = round(min(shape) * rng.uniform(0.3, 0.7))
    mark = hand.drawn(length, length * rng.uniform(0.02, 0.05))
    mark = mark * np.clip(rng.normal(0.85, 0.25, mark.shape), 0.2, 1)
    sheet = written(
        page(rng, shape, pick(rng, WHITE)), mark, *place(rng, shape, mark), (95, 95, 100), rng.uniform(0.6, 0.95)
    )
    return jpeg(camera(rng, sheet * uneven(rng, shape, 0.25)[..., None], 0.8, 4), 88)


def ballpoint(rng: Rng, hand: Hand) -> bytes:
    """Return a thin stroke in ink."""
    return _inked(rng, hand, (0.3, 0.7), (0.025, 0.06), place, 0.75, 1.0)


def marker(rng: Rng, hand: Hand) -> bytes:
    """Return a thick stroke."""
    return _inked(rng, hand, (0.4, 0.85), (0.1, 0.2), middling, 0.85, 1.5)


def _inked(
    rng: Rng,
    hand: Hand,
    lengths: tuple[float, float],
    pens: tuple[float, float],
    where: Callable[[Rng, tuple[int, int], Plane], tuple[int, int]],
    palest: float,
    blur: float,
) -> bytes:
    """Return a photo of a stroke in ink: lengths are parts of the paper's shorter side, pens of the digit's length."""
    shape = sides(rng)
    length = round(min(shape) * rng.uniform(*lengths))
    mark = hand.drawn(length, length * rng.uniform(*pens))
    sheet = written(
        page(rng, shape, pick(rng, WHITE)), mark, *where(rng, shape, mark), pick(rng, DARK), rng.uniform(palest, 1)
    )
    return jpeg(camera(rng, sheet * uneven(rng, shape, 0.3)[..., None], blur, 5), 85)


def lined(rng: Rng, hand: Hand, squares: bool = False) -> bytes:
    """Return ruled or squared paper."""
    shape = sides(rng, 360)
    length = round(min(shape) * rng.uniform(0.3, 0.65))
    spacing = length * (rng.uniform(0.2, 0.7) if squares else rng.uniform(0.35, 1.1))
    mark = hand.drawn(length, length * rng.uniform(0.035, 0.09))
    sheet = rules(rng, page(rng, shape, pick(rng, WHITE)), spacing, squares)
    sheet = written(sheet, mark, *place(rng, shape, mark), pick(rng, DARK), rng.uniform(0.85, 1))
    return jpeg(camera(rng, sheet * uneven(rng, shape, 0.25)[..., None], 0.9, 4, 0.03), 88)


def shadow(rng: Rng, hand: Hand) -> bytes:
    """Return a dim, blurred photo taken askew."""
    shape = sides(rng, 400, 1400)
    length = round(min(shape) * rng.uniform(0.25, 0.7))
    mark = hand.drawn(length, length * rng.uniform(0.04, 0.13))
    sheet = written(
        page(rng, shape, pick(rng, WHITE)), mark, *place(rng, shape, mark), pick(rng, DARK), rng.uniform(0.8, 1)
    )
    light = uneven(rng, shape, rng.uniform(0.3, 0.65)) * vignette(shape, rng.uniform(0, 0.5))
    return jpeg(camera(rng, sheet * light[..., None], 2.5, 9, 0.1), int(rng.integers(50, 90)))


def hand_shadow(rng: Rng, hand: Hand) -> bytes:
    """Return a photo with a shadow that has an edge."""
    shape = sides(rng, 400, 1000)
    length = round(min(shape) * rng.uniform(0.25, 0.6))
    mark = hand.drawn(length, length * rng.uniform(0.04, 0.12))
    sheet = written(
        page(rng, shape, pick(rng, WHITE)), mark, *place(rng, shape, mark), pick(rng, DARK), rng.uniform(0.85, 1)
    )
    y, x = np.ogrid[: shape[0], : shape[1]]
    angle = rng.uniform(0, 2 * np.pi)
    side = (
        (x - shape[1] / 2) * np.cos(angle) + (y - shape[0] / 2) * np.sin(angle) - rng.uniform(-0.25, 0.25) * min(shape)
    )
    edge = 1 / (1 + np.exp(np.clip(-side / rng.uniform(2, 30), -30, 30)))
    light = 1 - rng.uniform(0.2, 0.5) * edge.astype(np.float32)
    return jpeg(camera(rng, sheet * light[..., None], 1.5, 5), 85)


def table(rng: Rng, hand: Hand) -> bytes:
    """Return a page that lies on something darker."""
    shape = sides(rng, 400, 1000)
    low, high = (30, 110) if rng.random() < 0.8 else (110, 160)
    sheet = page(rng, shape, tuple(rng.uniform(low, high, 3)))
    edges = rng.uniform(0.02, 0.14, 4) * np.where(rng.random(4) < 0.75, 1, 0)
    top, bottom, left, right = (
        round(edge * n) for edge, n in zip(edges, (shape[0], shape[0], shape[1], shape[1]), strict=True)
    )
    inside = (shape[0] - top - bottom, shape[1] - left - right)
    leaf = page(rng, inside, pick(rng, WHITE))
    length = round(min(inside) * rng.uniform(0.3, 0.75))
    mark = hand.drawn(length, length * rng.uniform(0.04, 0.13))
    leaf = written(leaf, mark, *place(rng, inside, mark, 0.1), pick(rng, DARK), rng.uniform(0.85, 1))
    sheet[top : top + inside[0], left : left + inside[1]] = leaf
    image = Image.fromarray(np.clip(sheet * uneven(rng, shape, 0.25)[..., None], 0, 255).astype(np.uint8))
    image = image.rotate(
        rng.uniform(-4, 4), Image.Resampling.BICUBIC, fillcolor=tuple(int(v) for v in sheet[0, 0].clip(0, 255))
    )
    return jpeg(camera(rng, np.asarray(image, np.float32), 1.2, 5, 0), 85)


def scan(rng: Rng, hand: Hand) -> bytes:
    """Return dark bands at the edges, and specks."""
    shape = sides(rng, 400, 1100)
    length = round(min(shape) * rng.uniform(0.25, 0.7))
    mark = hand.drawn(length, length * rng.uniform(0.03, 0.1))
    sheet = written(page(rng, shape, (250, 250, 250)), mark, *place(rng, shape, mark, 0.12), (25, 25, 30))
    for _ in range(rng.integers(0, 60)):
        y, x, r = rng.integers(shape[0]), rng.integers(shape[1]), rng.integers(1, 2 + max(shape) // 300)
        sheet[y : y + r, x : x + r] = rng.uniform(20, 160)
    for side in range(4):
        if rng.random() < 0.5:
            band = np.rot90(sheet, side)
            band[: round(rng.uniform(0.005, 0.07) * len(band))] = rng.uniform(5, 60)
    image = Image.fromarray(np.clip(sheet, 0, 255).astype(np.uint8)).convert("L")
    if rng.random() < 0.3:
        return png(image.point(lambda value: 255 * (value > 128)).convert("1"))
    return jpeg(image, int(rng.integers(60, 95)))


def paint_thin(rng: Rng, hand: Hand) -> bytes:
    """Return a brush of 1 to 4 pixels."""
    return _painted(rng, hand, 1, 4)


def paint_fat(rng: Rng, hand: Hand) -> bytes:
    """Return a brush of up to 40 pixels."""
    return _painted(rng, hand, 8, 40)


def _painted(rng: Rng, hand: Hand, least: int, most: int) -> bytes:
    """Return a drawing without grey edges, as simple programs make them."""
    shape = sides(rng, 80 if most < 10 else 150, 600)
    length = round(min(shape) * rng.uniform(0.35, 0.85))
    pen = min(rng.uniform(least, most), 0.22 * length)
    mark = (hand.drawn(length, pen) > 0.3).astype(np.float32)
    paper, colour = ((255,) * 3, (0,) * 3) if rng.random() < 0.7 else ((255,) * 3, pick(rng, DARK))
    sheet = written(np.full((*shape, 3), paper, np.float32), mark, *place(rng, shape, mark, 0.03), colour)
    image = Image.fromarray(sheet.astype(np.uint8))
    return png(image.convert(["RGB", "L", "P"][rng.integers(3)])) if rng.random() < 0.7 else jpeg(image, 75)


def tablet(rng: Rng, hand: Hand) -> bytes:
    """Return smooth strokes, mostly light on dark."""
    shape = sides(rng, 200, 800)
    length = round(min(shape) * rng.uniform(0.35, 0.85))
    mark = hand.drawn(length, length * rng.uniform(0.03, 0.15))
    dark = rng.random() < 0.7
    paper = tuple(rng.uniform(0, 45, 3)) if dark else tuple(rng.uniform(235, 255, 3))
    colour = tuple(rng.uniform(190, 255, 3)) if dark else tuple(rng.uniform(0, 120, 3))
    return png(
        Image.fromarray(
            written(np.full((*shape, 3), paper, np.float32), mark, *place(rng, shape, mark, 0.03), colour).astype(
                np.uint8
            )
        )
    )


def blackboard(rng: Rng, hand: Hand) -> bytes:
    """Return chalk."""
    shape = sides(rng)
    length = round(min(shape) * rng.uniform(0.3, 0.7))
    mark = hand.drawn(length, length * rng.uniform(0.05, 0.11))
    mark = mark * np.clip(rng.normal(0.8, 0.25, mark.shape), 0.15, 1)
    board = pick(rng, ((40, 62, 50), (45, 45, 48), (30, 50, 42)))
    sheet = page(rng, shape, board) + 25 * (1 - uneven(rng, shape, 1, 5))[..., None]
    sheet = written(sheet, mark, *place(rng, shape, mark), (225, 225, 215), rng.uniform(0.7, 1))
    return jpeg(camera(rng, sheet * uneven(rng, shape, 0.3)[..., None], 1.2, 5), 85)


def coloured(rng: Rng, hand: Hand) -> bytes:
    """Return ink and paper of any two colours, some equally bright."""
    shape = sides(rng, 150, 700)
    length = round(min(shape) * rng.uniform(0.35, 0.8))
    mark = hand.drawn(length, length * rng.uniform(0.05, 0.13))
    grey = np.array([0.299, 0.587, 0.114])
    while True:
        paper, colour = rng.uniform(20, 250, (2, 3))
        if rng.random() < 0.4:  # of one brightness: a difference in colour alone
            colour = np.clip(colour + grey @ (paper - colour), 0, 255)
        if np.abs(paper - colour).max() > 90:
            break
    sheet = written(page(rng, shape, tuple(paper)), mark, *place(rng, shape, mark), tuple(colour))
    return jpeg(camera(rng, sheet * uneven(rng, shape, 0.15)[..., None], 0.8, 3, 0), 90)


def transparent(rng: Rng, hand: Hand) -> bytes:
    """Return ink with nothing behind it."""
    shape = sides(rng, 60, 500)
    length = round(min(shape) * rng.uniform(0.35, 0.9))
    mark = hand.drawn(length, max(1.5, length * rng.uniform(0.03, 0.13)))
    top, left = place(rng, shape, mark, 0.03)
    layer = np.zeros((*shape, 4), np.uint8)
    layer[..., :3] = pick(rng, ((0, 0, 0), (255, 255, 255), (200, 30, 30), (30, 60, 200), (250, 220, 60)))
    if rng.random() < 0.5:
        layer[..., :3] = np.where(
            np.pad(mark, ((top, shape[0] - top - mark.shape[0]), (left, shape[1] - left - mark.shape[1])))[..., None]
            > 0,
            layer[..., :3],
            0,
        )
    layer[top : top + mark.shape[0], left : left + mark.shape[1], 3] = np.rint(255 * mark)
    image = Image.fromarray(layer)
    if rng.random() < 0.2:
        image = image.quantize(16)
    return png(image)


def tiny(rng: Rng, hand: Hand, side: int = 28) -> bytes:
    """Return a few pixels, light on dark or dark on light."""
    length = round(side * rng.uniform(0.55, 1))
    mark = hand.drawn(length)
    sheet = np.zeros((side, side), np.float32)
    top, left = place(rng, sheet.shape, mark, 0)
    sheet[top : top + mark.shape[0], left : left + mark.shape[1]] = mark
    grey = np.rint(255 * (sheet if rng.random() < 0.5 else 1 - sheet)).astype(np.uint8)
    return png(Image.fromarray(grey))


def tight(rng: Rng, hand: Hand) -> bytes:
    """Return no margin."""
    length = int(rng.integers(24, 400))
    mark = hand.drawn(length, length * rng.uniform(0.06, 0.18))
    mark = np.pad(mark, int(rng.integers(0, 2)))
    paper, colour = ((245, 243, 238), pick(rng, DARK)) if rng.random() < 0.6 else ((10, 10, 12), (240, 240, 240))
    sheet = written(np.full((*mark.shape, 3), paper, np.float32), mark, 0, 0, colour)
    return (
        jpeg(camera(rng, sheet, 0.5, 3, 0), 90) if rng.random() < 0.5 else png(Image.fromarray(sheet.astype(np.uint8)))
    )


def small(rng: Rng, hand: Hand) -> bytes:
    """Return a digit of a twenty-fifth to an eighth of the page."""
    shape = sides(rng, 900, 2400)
    length = round(max(shape) * rng.uniform(0.035, 0.12))
    mark = hand.drawn(length, max(1.5, length * rng.uniform(0.05, 0.1)))
    sheet = written(
        page(rng, shape, pick(rng, WHITE)), mark, *place(rng, shape, mark), pick(rng, DARK), rng.uniform(0.85, 1)
    )
    return jpeg(camera(rng, sheet * uneven(rng, shape, 0.25)[..., None], 0.8, 4, 0.02), 88)


def turned(rng: Rng, hand: Hand) -> bytes:
    """Return a digit that leans more than most."""
    shape = sides(rng, 150, 700)
    length = round(min(shape) * rng.uniform(0.35, 0.8))
    mark = hand.drawn(length, length * rng.uniform(0.04, 0.13), rng.uniform(5, 15) * rng.choice([-1, 1]))
    sheet = written(page(rng, shape, pick(rng, WHITE)), mark, *place(rng, shape, mark), pick(rng, DARK))
    return jpeg(camera(rng, sheet, 0.8, 3), 88)


def two(rng: Rng, hand: Hand, other: Hand) -> bytes:
    """Return the digit, and a smaller one beside it."""
    shape = sides(rng, 300, 900)
    length = round(min(shape) * rng.uniform(0.35, 0.6))
    pen = length * rng.uniform(0.04, 0.1)
    mark = hand.drawn(length, pen)
    beside = other.drawn(round(length * rng.uniform(0.45, 0.75)), pen)
    height = max(shape[0], mark.shape[0] + 20)
    width = mark.shape[1] + beside.shape[1] + round(length * rng.uniform(0.35, 0.8))
    shape = (height, max(shape[1], width + 40))
    sheet = page(rng, shape, pick(rng, WHITE))
    colour = pick(rng, DARK)
    left = (shape[1] - width) // 2
    places = (left, left + width - beside.shape[1]) if rng.random() < 0.5 else (left + width - mark.shape[1], left)
    sheet = written(sheet, mark, place(rng, shape, mark)[0], places[0], colour)
    sheet = written(sheet, beside, place(rng, shape, beside)[0], places[1], colour)
    return jpeg(camera(rng, sheet * uneven(rng, shape, 0.2)[..., None], 0.8, 4, 0.03), 88)


def postal(rng: Rng, hand: Hand) -> bytes:
    """Return 16x16 grey pixels, as the US postal service's digits, enlarged or not."""
    mark = hand.drawn(16)
    sheet = np.zeros((16, 16), np.float32)
    top, left = ((16 - n) // 2 for n in mark.shape)
    sheet[top : top + mark.shape[0], left : left + mark.shape[1]] = mark
    grey = np.rint(255 * np.clip(1.15 * sheet, 0, 1)).astype(np.uint8)
    image = Image.fromarray(grey if rng.random() < 0.5 else 255 - grey)
    factor = int(rng.integers(1, 17))
    return png(
        image.resize(
            (16 * factor, 16 * factor),
            [Image.Resampling.NEAREST, Image.Resampling.BICUBIC, Image.Resampling.BILINEAR][rng.integers(3)],
        )
    )


def artefacts(rng: Rng, hand: Hand) -> bytes:
    """Return a JPEG of low quality."""
    shape = sides(rng, 120, 400)
    length = round(min(shape) * rng.uniform(0.4, 0.8))
    mark = hand.drawn(length, max(2, length * rng.uniform(0.05, 0.13)))
    sheet = written(page(rng, shape, pick(rng, WHITE)), mark, *place(rng, shape, mark), pick(rng, DARK))
    return jpeg(camera(rng, sheet * uneven(rng, shape, 0.2)[..., None], 1, 4), int(rng.integers(8, 30)))


def broken(rng: Rng, hand: Hand) -> bytes:
    """Return a pen that ran dry."""
    shape = sides(rng, 200, 800)
    length = round(min(shape) * rng.uniform(0.4, 0.8))
    mark = hand.drawn(length, length * rng.uniform(0.04, 0.1))
    height, width = mark.shape
    for _ in range(rng.integers(1, 4)):  # the pen runs dry across a thin band
        angle, gap = rng.uniform(0, np.pi), length * rng.uniform(0.01, 0.04)
        y, x = np.ogrid[:height, :width]
        offset = (x - rng.uniform(0.2, 0.8) * width) * np.cos(angle) + (y - rng.uniform(0.2, 0.8) * height) * np.sin(
            angle
        )
        mark = mark * (np.abs(offset) > gap / 2)
    sheet = written(page(rng, shape, pick(rng, WHITE)), mark, *place(rng, shape, mark), pick(rng, DARK))
    return jpeg(camera(rng, sheet * uneven(rng, shape, 0.2)[..., None], 0.7, 4), 88)


def screenshot(rng: Rng, hand: Hand) -> bytes:
    """Return a canvas, light or dark, in a frame."""
    inside = sides(rng, 200, 500)
    length = round(min(inside) * rng.uniform(0.4, 0.85))
    dark = rng.random() < 0.5
    mark = hand.drawn(length, length * rng.uniform(0.04, 0.15))
    canvas = np.full((*inside, 3), 0 if dark else 255, np.float32)
    canvas = written(canvas, mark, *place(rng, inside, mark, 0.05), (255,) * 3 if dark else (0,) * 3)
    around = [round(v) for v in rng.uniform(3, 40, 4)]
    shape = (inside[0] + around[0] + around[1], inside[1] + around[2] + around[3])
    frame = rng.uniform(200, 250) if dark or rng.random() < 0.5 else rng.uniform(30, 120)
    sheet = np.full((*shape, 3), frame, np.float32)
    sheet[around[0] : around[0] + inside[0], around[2] : around[2] + inside[1]] = canvas
    return png(Image.fromarray(sheet.astype(np.uint8)))


KINDS: dict[str, Callable[..., bytes]] = {
    "pencil on paper": pencil,
    "ballpoint on paper": ballpoint,
    "marker on paper": marker,
    "ruled paper": lined,
    "squared paper": functools.partial(lined, squares=True),
    "photo: dim, blurred, askew": shadow,
    "photo: the shadow of a hand": hand_shadow,
    "photo: the page on a table": table,
    "scan: dark edges, specks": scan,
    "drawing program, thin brush": paint_thin,
    "drawing program, fat brush": paint_fat,
    "tablet": tablet,
    "blackboard": blackboard,
    "coloured ink, coloured paper": coloured,
    "transparent": transparent,
    "28x28": tiny,
    "16x16": functools.partial(tiny, side=16),
    "cut tightly": tight,
    "small on a large page": small,
    "turned by 5 to 15 degrees": turned,
    "a smaller digit beside it": two,
    "postal, 16x16 enlarged": postal,
    "strong JPEG": artefacts,
    "broken strokes": broken,
    "screenshot with a frame": screenshot,
}


def draw(kind: str, hands: list[tuple[Hand, int]], rng: Rng) -> tuple[bytes, int]:
    """Return a picture's bytes and its digit."""
    hand, digit = hands[0]
    if kind == "a smaller digit beside it":
        return two(rng, hand, hands[1][0]), digit
    return KINDS[kind](rng, hand), digit


# --- the steps of the normaliser, and what stands in for each


def _plain(plane: Plane, light: bool, part: float) -> Plane:  # noqa: ARG001 - as the step that it replaces
    border = np.concatenate([plane[0], plane[-1], plane[:, 0], plane[:, -1]])
    return np.clip((np.median(border) - plane) * (1 if light else -1) / 255, 0, None).astype(np.float32)


def _everything(_: NDArray[np.intp], pieces: list[ink.Thing], __: Plane) -> tuple[ink.Thing, list[ink.Thing]]:
    return functools.reduce(ink._joined, pieces), []


def _middle(shape: Plane) -> NDArray[np.uint8]:
    picture = np.zeros((28, 28), np.uint8)
    top, left = ((28 - n) // 2 for n in shape.shape)
    picture[top : top + shape.shape[0], left : left + shape.shape[1]] = np.rint(shape)
    return picture


_looks = ink.looks
STEPS: dict[str, tuple[object, str, object]] = {
    "background: even paper is assumed": (ink, "darkness", _plain),
    "polarity: dark ink is assumed": (ink, "looks", lambda plane: [max(_looks(plane))]),
    "colour: brightness alone": (ink, "brightness", lambda colours: colours @ ink.LUMA),
    "lines: ruled paper stays": (ink, "unruled", lambda mask: mask),
    "choice: all pieces are the digit": (ink, "together", _everything),
    "joining: one piece is the digit": (ink, "_reach", lambda *_: -1.0),
    "nearer: small digits from afar": (photo, "NEAR", 0),
    "own pixels: enlarged ones stay": (photo, "_own_pixels", lambda page: page),
    "shades: soft ink is cut sharp": (photo, "_softer", lambda reading, _: reading),
    "stroke width: thin pens stay thin": (photo, "thickened", lambda shape: shape),
    "centre of mass: the box's middle": (photo, "centred", _middle),
}


def hands(images: NDArray[np.uint8], labels: NDArray[np.uint8], rng: Rng, neat: bool) -> tuple[Hand, int]:
    """Return a hand and its digit: neat strokes, or the next clear digit of a data set."""
    if neat:
        digit = int(rng.integers(10))
        return from_strokes(digit, rng), digit
    while True:
        index = int(rng.integers(len(images)))
        hand, digit = from_image(images[index]), int(labels[index])
        if clear(hand, digit):
            return hand, digit


def pictures(
    images: NDArray[np.uint8], labels: NDArray[np.uint8], count: int, seed: int
) -> dict[str, list[tuple[bytes, int]]]:
    """Return ``count`` pictures of each kind, and their digits."""
    drawn: dict[str, list[tuple[bytes, int]]] = {}
    for number, kind in enumerate(KINDS):
        drawn[kind] = []
        for i in range(count):
            rng = np.random.default_rng([seed, number, i])
            written = [hands(images, labels, rng, i % 5 == 4) for _ in range(2 if "beside" in kind else 1)]
            drawn[kind].append(draw(kind, written, rng))
    return drawn


def read(network: LeNet5, files: list[tuple[bytes, int]]) -> tuple[NDArray[np.bool_], int, float]:
    """Return which pictures are read right, how many are refused, and the median of the seconds to normalise one."""
    normal, refused, seconds = np.zeros((len(files), 28, 28), np.uint8), [], []
    for i, (file, _) in enumerate(files):
        start = time.perf_counter()
        try:
            normal[i] = photo.examine(BytesIO(file), "picture").image
        except LeNet5Error:
            refused.append(i)
        seconds.append(time.perf_counter() - start)
    right = network.probabilities(normal).argmax(1) == [digit for _, digit in files]
    right[refused] = False
    return right, len(refused), statistics.median(seconds)


def main() -> None:
    """Draw, read and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("LENET5_DATA", "mnist"))
    parser.add_argument("--model", help="else the bundled model")
    parser.add_argument("--count", type=int, default=200, help="pictures of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--without", action="store_true", help="leave out one step of the normaliser at a time")
    parser.add_argument("--sheet", help="write two pictures of each kind and what the network reads to this file")
    options = parser.parse_args()
    split = sources.load(options.data, "test")
    network = LeNet5.load(options.model)
    drawn = pictures(split.images, split.labels, options.count, options.seed)
    if options.sheet:
        contact(drawn).save(options.sheet)
    print("| pictures | n | right | | refused | ms |\n|---|--:|--:|--:|--:|--:|")
    right = {}
    for kind, files in drawn.items():
        right[kind], refused, seconds = read(network, files)
        line(kind, right[kind], refused, f"{1000 * seconds:.1f}")
    line("**all**", np.concatenate(list(right.values())), "", "")
    if options.without:
        print("\n| without | right | loses most |\n|---|--:|---|")
        for step, patch in STEPS.items():
            with mock.patch.object(*patch):
                less = {kind: read(network, files)[0].mean() for kind, files in drawn.items()}
            worst = sorted(KINDS, key=lambda kind: less[kind] - right[kind].mean())[:2]
            shown = ", ".join(f"{kind} {100 * less[kind]:.1f} %" for kind in worst if less[kind] < right[kind].mean())
            print(f"| {step} | {100 * np.mean(list(less.values())):.2f} % | {shown} |", flush=True)


def line(kind: str, right: NDArray[np.bool_], refused: object, milliseconds: str) -> None:
    """Print a line of the table."""
    print(
        f"| {kind} | {right.size} | {right.sum()} | {100 * right.mean():.2f} % | {refused} | {milliseconds} |",
        flush=True,
    )


def contact(drawn: dict[str, list[tuple[bytes, int]]], side: int = 112) -> Image.Image:
    """Return the first two pictures of each kind, each beside what the network reads."""
    across = 4
    sheet = Image.new("RGB", (across * (2 * side + 12), -(-2 * len(drawn) // across) * (side + 8)), (120, 120, 120))
    for i, (file, _) in enumerate(files[k] for files in drawn.values() for k in range(min(2, len(files)))):
        left, top = i % across * (2 * side + 12), i // across * (side + 8)
        picture = Image.open(BytesIO(file)).convert("RGBA")
        picture.thumbnail((side, side))
        sheet.paste(picture, (left, top), picture)
        normal = Image.fromarray(photo.read_picture(BytesIO(file))).resize((side, side), Image.Resampling.NEAREST)
        sheet.paste(normal, (left + side, top))
    return sheet


if __name__ == "__main__":
    main()
