"""Draw synthetic digits, capital letters and non-digits as strokes, in MNIST's form.

For each image, the control points of a style are shifted at random, the curve is bent, tapered, stretched, slanted and
rotated, and drawn with a pen of random width. Non-digits are signs, scribbles, rows of signs or digits, fragments of
digits, blots, silhouettes of things, edges of pages and noise.

The styles and the ranges of the random numbers were chosen by eye, and by the accuracy on MNIST's training images of a
network trained on these images; MNIST's test images were not used.
"""

from collections.abc import Callable
from functools import cache, partial
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from lenet5_cli.data import styles
from lenet5_cli.data.letters import LETTERS

_BLOCK: Final = 1000  # images that are drawn from one random stream
_STEPS: Final = 4  # straight segments between two control points
_SCALE: Final = 4  # canvas pixels for each image pixel, in either direction
_SIDE: Final = 28
_BOX: Final = 20  # side of the square into which the ink is scaled
_STROKES: Final = ((4,), (6,), (9,), (14,), (4, 4), (6, 5), (3, 3, 3))  # control points of the strokes of a scribble
# A digit, and the side of a cut on which the fragment does not look like a digit: 1 left, -1 right.
_CUTS: Final = (*((digit, 1) for digit in (0, 2, 3, 4, 7, 8, 9)), *((digit, -1) for digit in (0, 2, 5, 6)))
_NONDIGITS: Final = 10  # seeds the random streams of non-digits, so that they differ from those of digits
_LETTERS: Final = 26  # likewise for letters; that it is their number is a coincidence
_DIGITS: Final = tuple(tuple(strokes for _, strokes in digit) for digit in styles.DIGITS)
_PLAIN: Final = "AEFHKLMNPRTVWX"  # capital letters of which no style is also a handwritten form of a digit
_CAPITALS: Final = tuple(style for letter in _PLAIN for style in LETTERS[ord(letter) - ord("A")])
_LATIN: Final = (*styles.LATIN, *_CAPITALS)
_SIGNS: Final = (*styles.SIGNS, *styles.OUTLINES)
_STYLES: Final = (*_DIGITS, styles.OPENING, styles.CLOSING, styles.ARITHMETIC, _LATIN, _SIGNS)
_THINGS: Final = (styles.OUTLINES, styles.SILHOUETTES)
_SHARES: Final = 100  # sum of the shares of a digit's styles
_CALM: Final = 0.7  # of the ranges of drift, stretch, slant and rotation: with 1, the report's job does not converge
_EXACT: Final = 2.0**-20  # canvas pixels: coordinates and widths are rounded to multiples of this
_LONGEST: Final = 4  # maximum number of digits or signs in a row
_CORNERS: Final = (3, 4, 5, 6, 10, 12)  # possible numbers of corners of an angular blot
_OUTLINE: Final = 60  # points of a blot's outline: a multiple of each number of corners, so all sides have as many

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


class _Table(NamedTuple):
    """All styles: number ``s`` has the control points ``points[s]`` and the curve ``basis[s] @ points[s]``."""

    first: np.ndarray  # (groups + 1,): the styles of group g, such as a digit, are first[g] to first[g + 1] - 1
    points: np.ndarray  # (styles, K, 2)
    basis: np.ndarray  # (styles, P, K)
    down: np.ndarray  # (styles, P) bool: whether the pen draws from this point of the curve to the next


def _spline_basis(count: int) -> np.ndarray:
    """Return the Catmull-Rom basis through ``count`` points: ``_STEPS`` rows per span, and one for the last point."""
    knots = np.eye(count)
    knots = np.vstack([2 * knots[0] - knots[1], knots, 2 * knots[-1] - knots[-2]])
    a, b, c, d = knots[:-3], knots[1:-2], knots[2:-1], knots[3:]
    t = (np.arange(_STEPS) / _STEPS)[:, None, None]
    spans = b + t / 2 * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    return np.vstack([spans.swapaxes(0, 1).reshape(-1, count), knots[-2]])


def _compile(style: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the control points of a style, (K, 2), its basis, (P, K), and where the pen is down, (P,)."""
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
def _table(groups: tuple[tuple[str, ...], ...]) -> _Table:
    """Return all styles in one table. Short ones are padded: the curve stays at its last point with the pen up."""
    styles = [_compile(style) for group in groups for style in group]
    controls = max(len(points) for points, _, _ in styles)
    longest = max(len(down) for _, _, down in styles)
    table = _Table(
        first=np.cumsum([0, *(len(group) for group in groups)]),
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


@cache
def _decks() -> NDArray[np.intp]:
    """Return the numbers of the styles of each digit, (10, 100), each repeated as often as its share."""
    shares = np.array([share for digit in styles.DIGITS for share, _ in digit])
    return np.repeat(np.arange(len(shares)), shares).reshape(10, _SHARES)


def draw(count: int, seed: int, *, evenly: bool = False) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return ``count`` drawn digits, (count, 28, 28) uint8, white ink on black, and their labels, (count,) uint8.

    The same arguments give the same bytes, and the images of a smaller ``count`` are the first ones of a larger
    ``count`` with the same seed. Every thousand images hold a hundred of each digit, in random order. The images have
    MNIST's form (LeCun et al. 1998, section III.A): the ink is scaled to fit into 20x20 pixels, with anti-aliased
    edges, and its centre of mass is moved to the middle.

    Styles are as frequent as in MNIST or, with ``evenly``, all equally frequent, and drawn with more variation.
    """
    return _in_blocks(partial(_digit_block, evenly=evenly), count, seed)


def draw_letters(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return ``count`` drawn capital letters, (count, 28, 28) uint8, and their labels, (count,) uint8: A is 0, Z is 25.

    They are drawn as by ``draw``, but all styles of a letter are equally frequent.
    """
    return _in_blocks(_letter_block, count, seed)


def draw_nondigits(count: int, seed: int) -> NDArray[np.uint8]:
    """Return ``count`` non-digits, (count, 28, 28) uint8, in the form of the images of ``draw``.

    The same arguments give the same bytes, and the images of a smaller ``count`` are the first ones of a larger
    ``count`` with the same seed. Every thousand images hold as many of each kind as ``_KINDS`` says, in random order.
    """
    blocks = [
        _draw_nondigits(np.random.default_rng([seed, start // _BLOCK, _NONDIGITS])) for start in range(0, count, _BLOCK)
    ]
    return np.concatenate([np.empty((0, _SIDE, _SIDE), np.uint8), *blocks])[:count]


def _in_blocks(
    block: Callable[[int, list[int]], tuple[np.ndarray, np.ndarray]], count: int, seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return ``count`` images and labels, drawn in blocks that have a random stream each."""
    blocks = [block(min(_BLOCK, count - start), [seed, start // _BLOCK]) for start in range(0, count, _BLOCK)]
    images = [np.empty((0, _SIDE, _SIDE), np.uint8), *(images for images, _ in blocks)]
    labels = [np.empty(0, np.uint8), *(labels for _, labels in blocks)]
    return np.concatenate(images), np.concatenate(labels)


def _digit_block(count: int, seed: list[int], evenly: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the first ``count`` images and labels of a block; random numbers are drawn for the whole block."""
    rng = np.random.default_rng(seed)
    table = _table(_DIGITS)
    labels = rng.permutation(np.arange(_BLOCK) % 10).astype(np.uint8)
    shares = _decks()[labels, rng.integers(_SHARES, size=_BLOCK)]
    chosen = rng.integers(table.first[labels], table.first[labels + 1]) if evenly else shares
    drawn = _ink(*_write(table, chosen, rng, 1 if evenly else _CALM), rng, count)
    return _centre(drawn), labels[:count]


def _letter_block(count: int, seed: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the first ``count`` images and labels of a block of letters, as ``_digit_block`` does for digits."""
    rng = np.random.default_rng([*seed, _LETTERS])
    table = _table(LETTERS)
    labels = rng.permutation(np.arange(_BLOCK) % len(LETTERS)).astype(np.uint8)
    chosen = rng.integers(table.first[labels], table.first[labels + 1])
    return _centre(_ink(*_write(table, chosen, rng, _CALM), rng, count)), labels[:count]


def _write(
    table: _Table, chosen: NDArray[np.integer], rng: np.random.Generator, spread: float = 1
) -> tuple[Array, Mask]:
    """Return the curves of styles, (n, P, 2), each with its own random variation, and where the pen is down, (n, P)."""
    points = _move(table.points[chosen], rng, spread)
    return _bend(table.basis[chosen] @ points, rng, spread), table.down[chosen]


def _draw_nondigits(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a block of non-digits."""
    images = np.concatenate([kind(count, rng) for kind, count in _KINDS])
    return _centre(images)[rng.permutation(_BLOCK)]


def _ink(curves: Array, down: Mask, rng: np.random.Generator, count: int | None = None) -> NDArray[np.uint8]:
    """Return the images of the first ``count`` curves, or of all, each drawn with a pen of random width."""
    curves, widths = _fit(curves, _press(curves.shape[0], curves.shape[1], rng), down)
    return _rasterise(curves[:count], widths[:count], down[:count])


def _signs(count: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return signs, (count, 28, 28): an eighth are arithmetic, three eighths Latin letters, the others of any kind."""
    table = _table(_STYLES)
    arithmetic, latin, others = table.first[12:15]
    chosen = rng.integers(table.first[10], table.first[-1], size=count)
    eighth, half = count // 8, count // 2
    chosen[:eighth] = rng.integers(arithmetic, latin, size=eighth)
    chosen[eighth:half] = rng.integers(latin, others, size=half - eighth)
    return _ink(*_write(table, chosen, rng), rng)


def _rows(count: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return rows of two to four digits or signs, more or less close together, (count, 28, 28).

    A quarter of the rows are signs. An eighth each are digits after an opening bracket, digits before a closing one,
    and digits with a sign, which is arithmetic in half of these rows. The others are digits only.
    """
    table = _table(_STYLES)
    digits, opening, closing, arithmetic, _, last = table.first[10:]
    length = rng.choice([2, 3, 4], count, p=[0.6, 0.25, 0.15])
    chosen = rng.integers(digits, size=(count, _LONGEST))
    signs, opened, closed, mixed, _ = np.split(np.arange(count), np.arange(2, 6) * count // 8)
    chosen[signs] = rng.integers(digits, last, size=(len(signs), _LONGEST))
    chosen[opened, 0] = rng.integers(digits, opening, size=len(opened))
    chosen[closed, length[closed] - 1] = rng.integers(opening, closing, size=len(closed))
    chosen[mixed, rng.integers(length[mixed])] = rng.integers(closing, np.where(mixed % 2, arithmetic, last))

    curves, down = _write(table, chosen.ravel(), rng)
    curves *= np.exp(rng.normal(0, 0.15, (len(curves), 1, 1)))
    left = np.where(down, curves[..., 0], np.inf).min(1)
    width = np.where(down, curves[..., 0], -np.inf).max(1) - left + rng.normal(0.2, 0.2, len(left))
    width = width.reshape(-1, _LONGEST)
    place = np.cumsum(width, 1) - width
    curves[..., 0] += (place.ravel() - left)[:, None]
    curves[..., 1] += rng.normal(0, 0.12, (len(curves), 1))
    down = down.reshape(count, _LONGEST, -1) & (np.arange(_LONGEST) < length[:, None])[..., None]
    return _ink(curves.reshape(count, -1, 2), down.reshape(count, -1), rng)


def _fragments(count: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return fragments of digits on one side of a cut, too small to look like another digit, (count, 28, 28)."""
    table = _table(_DIGITS)
    digits, sides = np.array(_CUTS)[rng.integers(len(_CUTS), size=count)].T
    curves, down = _write(table, _decks()[digits, rng.integers(_SHARES, size=count)], rng)
    angle = rng.normal(0, 0.2, (count, 1))
    along = sides[:, None] * (curves[..., 0] * np.cos(angle) + curves[..., 1] * np.sin(angle))
    low = np.where(down, along, np.inf).min(1, keepdims=True)
    high = np.where(down, along, -np.inf).max(1, keepdims=True)
    down = down & (along < low + (high - low) * rng.uniform(0.25, 0.55, (count, 1)))
    return _ink(curves, down, rng)


def _scribbles(count: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return smooth curves through random points, in one to three strokes, (count, 28, 28)."""
    table = _table((_SCRIBBLES,))
    chosen = rng.integers(len(_SCRIBBLES), size=count)
    points = rng.normal(0, 1, (count, *table.points.shape[1:])) * np.exp(rng.normal(0, 0.3, (count, 1, 2)))
    return _ink(table.basis[chosen] @ points, table.down[chosen], rng)


def _blots(count: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return random filled outlines, half of them with corners, plain or mottled, (count, 28, 28)."""
    outline = np.concatenate([_round(count // 2, rng), _angular(count - count // 2, rng)])
    outline = np.stack([outline.real, outline.imag], -1) * np.exp(rng.normal(0, 0.2, (count, 1, 2)))
    return _filled(outline, rng)


def _things(count: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return silhouettes of things, plain or mottled, (count, 28, 28)."""
    table = _table(_THINGS)
    return _filled(_write(table, rng.integers(table.first[-1], size=count), rng)[0], rng)


def _filled(outlines: Array, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Fill outlines, (count, P, 2), half of them with a mottled texture; return images, (count, 28, 28)."""
    count = len(outlines)
    outlines, _ = _fit(outlines, np.zeros(outlines.shape[:2]), np.ones(outlines.shape[:2], bool))
    canvas, pen = _canvas(count)
    for points in outlines + (np.arange(count) * _SIDE * _SCALE)[:, None, None] * [0, 1]:
        pen.polygon([tuple(point) for point in points.tolist()], 255, 255)
    images = _cells(canvas)
    shade = 1 - rng.uniform(0, 1, (count, 1, 1)) * (rng.random((count, 1, 1)) < 0.5) * _texture(count, _SIDE, rng)
    return np.rint(images * shade).astype(np.uint8)


def _round(count: int, rng: np.random.Generator) -> NDArray[np.complex128]:
    """Return smooth closed outlines around 0, (count, _OUTLINE)."""
    angle = np.linspace(0, 2 * np.pi, _OUTLINE, endpoint=False)
    waves = np.arange(1, 7)[:, None]
    size = rng.normal(0, 0.7, (count, 6, 1)) / waves.T[..., None] * rng.uniform(0.2, 1.2, (count, 1, 1))
    outline: NDArray[np.complex128] = np.exp(
        (size * np.cos(waves * angle + rng.uniform(0, 7, (count, 6, 1)))).sum(1) + 1j * angle
    )
    return outline


def _angular(count: int, rng: np.random.Generator) -> NDArray[np.complex128]:
    """Return closed outlines with corners around 0, (count, _OUTLINE): straight or bowed sides, half are symmetric."""
    outlines = np.empty((count, _OUTLINE), complex)
    for i, corners in enumerate(rng.choice(_CORNERS, count)):
        steps = _OUTLINE // corners
        angle = (np.arange(corners) + 0.5 + rng.uniform(-0.2, 0.2, corners)) * 2 * np.pi / corners
        start = np.exp(rng.normal(0, 0.3, corners) + 1j * angle)[:, None]
        side = np.roll(start, -1, 0) - start
        bow = rng.normal(0, 0.25, (corners, 1)) * (rng.random((corners, 1)) < 0.5)
        along = np.arange(steps) / steps
        outline = (start + side * (along + 4j * bow * along * (1 - along))).ravel()
        if rng.random() < 0.5:  # the mean of the outline and its mirror image, which begins with the last corner
            outline = (outline + np.roll(outline[::-1].conj(), 1 - steps)) / 2
        outlines[i] = outline * 1j ** rng.integers(4) * np.exp(1j * rng.normal(0, 0.15))
    return outlines


def _edges(count: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return solid areas outside a page: along a straight edge, or around a corner of the page, (count, 28, 28).

    Along an edge, the area fills nearly half of the box or more, as a narrow upright one looks like a 1. No corner is
    at the top right, as that looks like a 7.
    """
    across, down = np.meshgrid(*[np.arange(_BOX) - (_BOX - 1) / 2] * 2)
    corner = rng.random((count, 1, 1)) < 0.5
    # The direction in which the page ends: at a corner, right, below or left, and also a quarter turn further.
    angle = rng.choice([0, np.pi / 2, np.pi], (count, 1, 1)) + rng.uniform(-0.2, 0.2, (count, 1, 1))
    angle = np.where(corner, angle, rng.uniform(0, 2 * np.pi, (count, 1, 1)))
    beside = angle + np.pi / 2 + rng.uniform(-0.05, 0.05, (count, 1, 1))
    near, far = rng.uniform(0, 6, (2, count, 1, 1))
    beyond = across * np.cos(angle) + down * np.sin(angle) - np.where(corner, near, near / 5 - 1)
    beyond = np.where(corner, np.maximum(beyond, across * np.cos(beside) + down * np.sin(beside) - far), beyond)
    margin = (_SIDE - _BOX) // 2
    return np.pad(np.rint(255 * np.clip(0.5 + beyond, 0, 1)).astype(np.uint8), ((0, 0), *[(margin, margin)] * 2))


def _noise(count: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return noise as of paper, cloth or a bad threshold, coarse or fine, grey or black, boxed, (count, 28, 28)."""
    level, slope = rng.uniform(0.3, 0.8, (count, 1, 1)), np.exp(rng.uniform(0.5, 4, (count, 1, 1)))
    margin = (_SIDE - _BOX) // 2
    ink = np.clip(0.5 + slope * (_texture(count, _BOX, rng) - level), 0, 1)
    return np.pad(np.rint(255 * ink).astype(np.uint8), ((0, 0), (margin, margin), (margin, margin)))


def _texture(count: int, side: int, rng: np.random.Generator) -> Array:
    """Return smooth noise from 0 to 1, (count, side, side), with a random grain size for each image and direction."""
    grain = np.exp(rng.uniform(np.log(0.4), np.log(6), (2, count, 1, 1)))
    distance = np.arange(side) - np.arange(side)[:, None]
    down, across = np.exp(-((distance / grain) ** 2) / 2)
    noise = down @ rng.normal(0, 1, (count, side, side)) @ across
    low, high = noise.min((1, 2), keepdims=True), noise.max((1, 2), keepdims=True)
    texture: Array = (noise - low) / (high - low)
    return texture


def _move(points: np.ndarray, rng: np.random.Generator, spread: float) -> np.ndarray:
    """Scale the control points, (n, K, 2), to heights from -1 to 1, and shift them at random, more or less strongly."""
    n, k, _ = points.shape
    drift = rng.normal(0, 0.065 * spread, (n, k + 1, 2)) * rng.uniform(0.3, 1.4, (n, 1, 1))
    # The shifts of neighbouring points are correlated: a hand drifts rather than trembles.
    return (points - (5, 7)) / 7 + drift[:, 1:] + drift[:, :-1]


def _bend(curves: np.ndarray, rng: np.random.Generator, spread: float) -> np.ndarray:
    """Bend the curves, (n, P, 2), by a slow wave in x and y, then taper, stretch, slant and rotate them."""
    n = len(curves)
    waves, phases = rng.normal(0, 2, (n, 2, 2)), rng.uniform(0, 2 * np.pi, (n, 1, 2))
    # Most curves are bent a little, some much.
    height = rng.normal(0, 0.14, (n, 1, 2)) * rng.uniform(0.1, 1.4, (n, 1, 1))
    curves = curves + height * np.sin(curves @ waves + phases)
    x, y = curves[..., 0], curves[..., 1]
    x = x * (1 + rng.normal(0, 0.12, (n, 1)) * y) * np.exp(spread * rng.uniform(-0.45, 0.45, (n, 1)))
    x = x - rng.normal(0.17, 0.3 * spread, (n, 1)) * y
    angle = spread * rng.uniform(-0.3, 0.3, (n, 1))
    return np.stack([x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)], -1)


def _press(count: int, steps: int, rng: np.random.Generator) -> Array:
    """Return the width of the pen, (n, P): random for each image, and varying along the curve as pressure does."""
    width = np.clip(rng.lognormal(-1.32, 0.36, (count, 1)), 0.14, 0.75)
    phase = rng.uniform(0, 2 * np.pi, (count, 1))
    pressed: Array = width * (1 + 0.25 * np.sin(np.arange(steps) / 5 + phase))
    return pressed


def _fit(curves: Array, widths: Array, down: Mask) -> tuple[Array, Array]:
    """Convert curves and widths to canvas pixels, scaled so that the ink just fits into the box."""
    reach = widths[..., None] / 2
    inked = down.copy()  # a segment has ink at both ends
    inked[:, 1:] |= down[:, :-1]
    low = np.where(inked[..., None], curves - reach, np.inf).min(1, keepdims=True)
    high = np.where(inked[..., None], curves + reach, -np.inf).max(1, keepdims=True)
    # Pillow may draw one pixel beyond the width on each side.
    scale = (_BOX * _SCALE - 2) / (high - low).max(2, keepdims=True)
    curves, widths = _SIDE * _SCALE / 2 + (curves - (low + high) / 2) * scale, widths * scale[..., 0]
    # The outermost ink ends exactly at the edge of a pixel, where the last bit decides whether the pixel is drawn. That
    # bit depends on the processor's vector instructions: without rounding, other machines would draw other images.
    return np.rint(curves / _EXACT) * _EXACT, np.rint(widths / _EXACT) * _EXACT


def _rasterise(curves: Array, widths: Array, down: Mask) -> NDArray[np.uint8]:
    """Draw the images, (n, 28, 28) uint8: enlarged, below each other on one tall canvas, which is then reduced."""
    canvas, pen = _canvas(len(curves))
    n, p = np.nonzero(down)
    below = np.stack([np.zeros_like(n), n * _SIDE * _SCALE], -1)
    starts, ends = (curves[n, p] + below).tolist(), (curves[n, p + 1] + below).tolist()
    for start, end, width in zip(starts, ends, widths[n, p].tolist(), strict=True):
        pen.line((*start, *end), 255, round(width))
        pen.circle(start, width / 2, 255)
        pen.circle(end, width / 2, 255)
    return _cells(canvas)


def _canvas(images: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    canvas = Image.new("L", (_SIDE * _SCALE, _SIDE * _SCALE * images))
    return canvas, ImageDraw.Draw(canvas)


def _cells(canvas: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(canvas.reduce(_SCALE)).reshape(-1, _SIDE, _SIDE)


def _centre(images: np.ndarray) -> np.ndarray:
    """Shift each image by whole pixels, its centre of mass to (14, 14), but without moving ink beyond the edge."""
    n, grid = np.arange(len(images)), np.arange(_SIDE)
    mass = images.sum((1, 2), dtype=float)
    margin = (_SIDE - _BOX) // 2
    rows, columns = (
        (grid + np.clip(np.rint(images.sum(axis) @ grid / mass - 14), -margin, margin)[:, None].astype(int)) % _SIDE
        for axis in (2, 1)
    )
    return np.ascontiguousarray(images[n[:, None, None], rows[:, :, None], columns[:, None, :]])


# The strokes of scribbles, as placeholders: their control points are replaced by random ones.
_SCRIBBLES: Final = tuple(" / ".join(" ".join(["0,0"] * points) for points in strokes) for strokes in _STROKES)
_KINDS: Final = (
    (_signs, 480),
    (_rows, 220),
    (_fragments, 90),
    (_scribbles, 70),
    (_blots, 60),
    (_things, 30),
    (_edges, 20),
    (_noise, 30),
)
