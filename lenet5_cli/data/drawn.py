"""Digits that we draw ourselves: pen strokes in several writing styles, finished as MNIST's images are.

A style is a list of strokes on a sheet of squared paper, 10 squares wide and 14 high, y downwards. A stroke is a
smooth curve through its control points. For each image the points are moved, the sheet is bent, tapered, stretched,
slanted and turned, and a pen of random width follows the curve.

The styles and the ranges of the random numbers were chosen by eye, and by how well a network trained on these images
reads MNIST's training images; MNIST's test images were not used.
"""

from functools import cache
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from PIL import Image, ImageDraw

# Strokes are separated by "/", control points "x,y" by blanks; the pen turns sharply at a point marked "!".
_STYLES: Final = (
    (  # 0
        "6,0 2,2 0,7 2,12 5,14 9,11 10,6 8,1 5,0",  # an oval, anticlockwise from the top
        "4,0 8,1 10,7 8,12 5,14 1,11 0,6 2,1 5,0",  # the same, clockwise
        "8,2 4,0 1,4 0,9 3,14 8,12 10,6 9,1 5,1 4,4",  # the end curls inside
        "9,0 5,1 1,5 1,11 4,14 8,12 10,6 8,2 3,1",  # the two ends cross
        "4,0 1,3 0,8 2,13 6,14 9,11 10,5 7,0",  # left open at the top
    ),
    (  # 1
        "5,0 5,5 5,9 5,14",  # a bare stroke
        "5,0 5,14",  # a straight one
        "6,0 5,4 5,9 6,14",  # bent
        "2,4 4,2 5,0! 5,7 5,14",  # with a flag
        "2,3 4,2 5,0! 5,7 5,14 / 1,14 5,14 9,14",  # with a flag and a foot
    ),
    (  # 2
        "1,3 4,0 8,1 9,4 6,8 1,14! 5,14 10,14",  # a sharp corner
        "1,3 4,0 8,1 9,5 5,10 1,14! 4,13 7,14 10,13",  # with a wave for a base
        "1,3 4,0 8,1 9,4 6,9 2,13 0,12 2,10 5,12 10,14",  # a loop in the corner
        "0,2 5,0 8,3 7,9 3,13 0,12 3,9 7,11 11,12",  # a wide loop
        "2,2 5,0 8,2 8,6 5,12 1,14 0,11 2,8 6,9 11,12",  # a high one
        "3,2 6,0 8,2 7,8 5,13 2,14 1,11 5,9 8,10 10,12",  # as a d
        "2,4 1,2 4,0 7,2 7,6 5,12 1,14 0,11 3,10 7,13 10,11",  # hooks at both ends
        "1,1 4,0 7,1 7,4 4,9 1,13! 6,13 12,12",  # a long base
    ),
    (  # 3
        "1,1 5,0 9,2 7,5 4,7! 8,8 9,11 6,14 1,13",  # two bows
        "1,2 5,0 8,3 6,6 4,7 7,8 9,11 5,14 0,12",  # a soft waist
        "1,0 5,0 9,0! 4,6! 9,9 8,13 3,14 0,12",  # a flat top
        "1,2 5,0 8,3 5,7 3,7 5,6 9,9 7,13 1,13",  # a loop in the waist
        "2,2 5,0 7,2 6,4 4,5! 8,6 10,9 7,13 3,14 0,12",  # a large lower bow
        "0,2 4,0 9,2 8,6 3,8! 7,8 8,11 5,14 1,13",  # a large upper bow
    ),
    (  # 4
        "1,0 1,4 0,8! 5,8 10,8 / 8,0 8,7 8,14",  # open
        "3,0 1,4 0,8! 5,7 10,7 / 7,3 6,8 5,14",  # open, with a short stem
        "7,0 3,5 0,9! 5,9 10,9 / 7,0 7,7 7,14",  # closed
        "1,0 1,5 4,7 9,6 / 9,0 9,7 8,14",  # open and round
        "8,14 8,7 8,0! 4,4 0,9! 5,9 10,9",  # in one stroke
        "0,1 1,6 4,8 8,6 10,0! 8,7 8,14",  # round, in one stroke
        "0,0 1,6! 5,7 9,6! 10,0! 9,7 8,14",  # square, in one stroke
    ),
    (  # 5
        "2,0 1,6! 5,5 9,8 8,13 4,14 0,12 / 2,0 6,0 10,0",  # the top drawn last
        "9,0 5,0 2,0! 1,6! 5,5 9,8 8,13 4,14 0,12",  # in one stroke
        "9,0 4,0 2,3 4,6 8,9 7,13 1,14",  # as an s
        "11,0 7,1 4,1! 2,6! 5,6 7,9 5,13 0,14",  # a long top, a small bow
        "3,1 2,6! 4,6 6,9 4,13 0,13 / 4,1 8,0 12,0",  # the same, the top drawn last
        "9,0 5,1 4,4! 6,8 6,12 3,14 1,11",  # narrow, a hook below
        "9,0 3,0! 2,6! 6,5 9,8 8,12 4,14 1,12 3,10",  # the end curls up
    ),
    (  # 6
        "7,0 3,4 0,10 3,14 8,13 9,9 6,7 1,11",  # a curved stem
        "4,0 1,6 0,11 4,14 9,12 8,8 4,8 1,12",  # a large loop
        "8,0 4,3 1,9 3,13 6,13 7,10 5,9 2,12",  # a small loop
        "2,0 1,5 1,11 4,14 8,12 7,9 4,9 1,13",  # a straight stem
        "6,0 2,4 0,9 2,13 6,14 9,11 8,8",  # left open
    ),
    (  # 7
        "0,0 5,0 10,0! 7,6 4,14",  # plain
        "0,1 5,1 10,0! 7,4 6,9 6,14",  # a curved stem
        "0,0 5,0 10,0! 7,6 4,14 / 3,7 6,7 10,7",  # with a bar
        "0,3 1,0! 5,1 10,0! 7,6 4,14",  # with a serif
        "0,4 1,1 4,1 8,0 8,4 6,9 5,14",  # round, with a hook
        "0,4 1,1 4,1 8,0 8,4 6,9 5,14 / 3,8 6,8 10,7",  # the same with a bar
        "0,4 3,1 7,0 9,2 8,6 7,14",  # an arch
    ),
    (  # 8
        "8,2 5,0 2,2 4,5 7,8 9,11 5,14 1,11 3,8 7,5 9,2",  # in one stroke from the top right
        "5,7 2,4 4,0 8,2 7,5 3,8 2,12 5,14 8,11 5,7",  # in one stroke from the waist
        "5,0 2,3 5,6 8,3 5,0 / 5,6 1,10 5,14 9,10 5,6",  # two rings
        "9,1 5,0 2,3 6,7 8,11 5,14 2,12 5,7 10,0",  # open at the top
        "7,1 3,0 1,3 4,6 6,10 4,14 1,12 3,8 7,4 12,1",  # a long tail
        "8,3 8,0 4,0 2,3 5,6 7,9 6,13 3,14 2,11 5,7 8,3",  # a narrow one
        "8,1 4,0 1,3 4,6 7,9 6,13 3,13 3,10 6,6 10,1",  # a small lower ring
        "4,0 2,3 5,6 9,9 7,13 3,14 0,11 3,7 6,4 6,1 3,0",  # a small upper ring
    ),
    (  # 9
        "9,2 5,0 1,3 3,7 7,6 9,1! 9,7 8,14",  # a straight stem
        "9,2 5,0 1,3 3,7 7,6 9,1! 9,8 6,13 1,13",  # a curved tail
        "8,3 5,0 1,3 3,6 7,5 8,2 7,8 4,14",  # in one swing
        "8,2 4,1 1,4 4,7 8,4 9,0! 7,7 5,14",  # a slanted stem
        "7,1 3,1 0,5 2,8 6,6 9,1! 8,7 8,14",  # a wide loop
        "9,1 5,0 2,2 3,4 6,4 9,1! 8,7 6,14",  # a small loop
        "8,0 4,1 1,5 3,7 6,5 9,1! 8,7 7,14",  # a pointed loop
        "7,0 2,1 0,5 3,8 8,6 8,0! 9,7 9,14",  # a tall loop
        "9,0 5,0 1,4 3,7 8,3! 8,8 7,14",  # the start sticks out
    ),
)
_BLOCK: Final = 1000  # images drawn from one random stream
_STEPS: Final = 4  # straight segments between two control points
_SCALE: Final = 4  # canvas pixels for each image pixel, in either direction
_SIDE: Final = 28
_BOX: Final = 20  # the ink fits in a square of this side


class _Table(NamedTuple):
    """All styles: number ``s`` has the control points ``points[s]`` and the curve ``basis[s] @ points[s]``."""

    first: np.ndarray  # (11,): the styles of digit d are first[d] to first[d + 1] - 1
    points: np.ndarray  # (styles, K, 2)
    basis: np.ndarray  # (styles, P, K)
    down: np.ndarray  # (styles, P) bool: the pen draws from this point of the curve to the next


def _spline_basis(count: int) -> np.ndarray:
    """Return the Catmull-Rom basis through ``count`` points: ``_STEPS`` rows a span, and one for the last point."""
    knots = np.eye(count)
    knots = np.vstack([2 * knots[0] - knots[1], knots, 2 * knots[-1] - knots[-2]])
    a, b, c, d = knots[:-3], knots[1:-2], knots[2:-1], knots[3:]
    t = (np.arange(_STEPS) / _STEPS)[:, None, None]
    spans = b + t / 2 * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    return np.vstack([spans.swapaxes(0, 1).reshape(-1, count), knots[-2]])


def _compile(style: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a style's control points, (K, 2), its basis, (P, K), and where the pen is down, (P,)."""
    strokes = [stroke.split() for stroke in style.split("/")]
    words = [word for stroke in strokes for word in stroke]
    points = np.array([[float(value) for value in word.rstrip("!").split(",")] for word in words])
    rows, down, start = [], [], 0
    for stroke in strokes:
        corners = [0, *(i for i, word in enumerate(stroke) if word.endswith("!")), len(stroke) - 1]
        for first, last in pairwise(corners):
            basis = np.zeros(((last - first) * _STEPS + 1, len(words)))
            basis[:, start + first : start + last + 1] = _spline_basis(last - first + 1)
            rows.append(basis)
            down.append(np.arange(len(basis)) < len(basis) - 1)
        start += len(stroke)
    return points, np.vstack(rows), np.concatenate(down)


@cache
def _table() -> _Table:
    """Return all styles in one table, short ones padded: the curve stays at its end and the pen is up."""
    styles = [_compile(style) for digit in _STYLES for style in digit]
    controls = max(len(points) for points, _, _ in styles)
    longest = max(len(down) for _, _, down in styles)
    table = _Table(
        first=np.cumsum([0, *(len(digit) for digit in _STYLES)]),
        points=np.zeros((len(styles), controls, 2)),
        basis=np.zeros((len(styles), longest, controls)),
        down=np.zeros((len(styles), longest), bool),
    )
    for s, (points, basis, down) in enumerate(styles):
        table.points[s, : len(points)] = points
        table.basis[s, : len(basis), : len(points)] = basis
        table.basis[s, len(basis) :, len(points) - 1] = 1
        table.down[s, : len(down)] = down
    return table


def draw(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return ``count`` drawn digits, (count, 28, 28) uint8, white ink on black, and their labels, (count,) uint8.

    The same arguments give the same bytes, and a longer draw starts with a shorter one of the same seed. Every
    thousand images hold a hundred of each digit, in random order. Finished as MNIST is (LeCun et al. 1998, section
    III.A): the ink is scaled to fit in 20x20, grey at its edges, and its centre of mass moved to the middle.
    """
    blocks = [_draw_block(min(_BLOCK, count - start), [seed, start // _BLOCK]) for start in range(0, count, _BLOCK)]
    images = [np.empty((0, _SIDE, _SIDE), np.uint8), *(images for images, _ in blocks)]
    labels = [np.empty(0, np.uint8), *(labels for _, labels in blocks)]
    return np.concatenate(images), np.concatenate(labels)


def _draw_block(count: int, seed: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the first ``count`` images and labels of a block; the random numbers are those of the whole block."""
    rng = np.random.default_rng(seed)
    table = _table()
    labels = rng.permutation(np.arange(_BLOCK) % 10).astype(np.uint8)
    styles = rng.integers(table.first[labels], table.first[labels + 1])
    curves = table.basis[styles] @ _move(table.points[styles], rng)
    curves, widths = _fit(_bend(curves, rng), _press(curves.shape[1], rng))
    images = _rasterise(curves[:count], widths[:count], table.down[styles[:count]])
    return _centre(images), labels[:count]


def _move(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the control points, (n, K, 2), on a sheet from -1 to 1 in height, moved by a more or less steady hand."""
    n, k, _ = points.shape
    drift = rng.normal(0, 0.065, (n, k + 1, 2)) * rng.uniform(0.3, 1.4, (n, 1, 1))
    # Neighbouring points move alike, as in a hand that drifts, not one that trembles.
    return (points - (5, 7)) / 7 + drift[:, 1:] + drift[:, :-1]


def _bend(curves: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the curves, (n, P, 2), bent by a slow wave each way, then tapered, stretched, slanted and turned."""
    n = len(curves)
    waves, phases = rng.normal(0, 2, (n, 2, 2)), rng.uniform(0, 2 * np.pi, (n, 1, 2))
    curves = curves + rng.normal(0, 0.18, (n, 1, 2)) * np.sin(curves @ waves + phases)
    x, y = curves[..., 0], curves[..., 1]
    x = x * (1 + rng.normal(0, 0.12, (n, 1)) * y) * np.exp(rng.uniform(-0.45, 0.45, (n, 1)))
    x = x - rng.normal(0.15, 0.3, (n, 1)) * y
    angle = rng.uniform(-0.3, 0.3, (n, 1))
    return np.stack([x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)], -1)


def _press(steps: int, rng: np.random.Generator) -> np.ndarray:
    """Return the pen's width on the sheet, (n, P): random for each image, with varying pressure along the curve."""
    width = np.clip(rng.lognormal(-1.2, 0.4, (_BLOCK, 1)), 0.14, 0.7)
    phase = rng.uniform(0, 2 * np.pi, (_BLOCK, 1))
    return width * (1 + 0.25 * np.sin(np.arange(steps) / 5 + phase))


def _fit(curves: np.ndarray, widths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return curves and widths in canvas pixels, scaled so that the ink just fits in the box."""
    reach = widths[..., None] / 2
    low, high = (curves - reach).min(1, keepdims=True), (curves + reach).max(1, keepdims=True)
    # Pillow may ink a pixel more on each side than asked.
    scale = (_BOX * _SCALE - 2) / (high - low).max(2, keepdims=True)
    return _SIDE * _SCALE / 2 + (curves - (low + high) / 2) * scale, widths * scale[..., 0]


def _rasterise(curves: np.ndarray, widths: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Return the images, (n, 28, 28) uint8: every image a cell of one tall canvas, drawn large and then reduced."""
    side = _SIDE * _SCALE
    canvas = Image.new("L", (side, side * len(curves)))
    pen = ImageDraw.Draw(canvas)
    n, p = np.nonzero(down)
    below = np.stack([np.zeros_like(n), n * side], -1)
    starts, ends = (curves[n, p] + below).tolist(), (curves[n, p + 1] + below).tolist()
    for start, end, width in zip(starts, ends, widths[n, p].tolist(), strict=True):
        pen.line((*start, *end), 255, round(width))
        pen.circle(start, width / 2, 255)
        pen.circle(end, width / 2, 255)
    return np.asarray(canvas.reduce(_SCALE)).reshape(-1, _SIDE, _SIDE)


def _centre(images: np.ndarray) -> np.ndarray:
    """Return the images moved by whole pixels: each one's centre of mass to (14, 14), but no ink over the edge."""
    n, grid = np.arange(len(images)), np.arange(_SIDE)
    mass = images.sum((1, 2), dtype=float)
    margin = (_SIDE - _BOX) // 2
    rows, columns = (
        (grid + np.clip(np.rint(images.sum(axis) @ grid / mass - 14), -margin, margin)[:, None].astype(int)) % _SIDE
        for axis in (2, 1)
    )
    return np.ascontiguousarray(images[n[:, None, None], rows[:, :, None], columns[:, None, :]])
