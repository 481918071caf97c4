"""Finding a digit's ink on whatever it was written on."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Plane = NDArray[np.float32]
Mask = NDArray[np.bool_]

EDGE = 0.04  # of a digit's longer side: how far soft edges reach
EVEN = 0.12  # of the contrast: paper that varies by less has one shade
FAINTEST = 0.08  # as a part of the paper's shade: less is no ink
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
THUMB = 96  # the longer side of the small copy on which polarity and evenness are judged
WINDOWS = ((0.03, 512), (0.08, 256), (0.15, 128), (0.3, 128), (0.5, THUMB), (0.98, THUMB))  # and seen at which size


class Thing(NamedTuple):
    """A connected piece of ink, or several that belong together."""

    top: int
    left: int
    bottom: int  # exclusive, as right
    right: int
    area: int
    edge: int  # how many of its pixels lie on the picture's edge
    labels: tuple[int, ...]  # of its pieces

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left

    @property
    def length(self) -> int:
        """The longer of the two."""
        return max(self.height, self.width)


def brightness(colours: Plane) -> Plane:
    """Return colours[row, column, channel], 0 to 255, as one shade each, along the line on which they differ most.

    Only what changes from place to place counts, so that it is the ink's colour against the paper's, not the light's.
    """
    small = shrunk(colours, THUMB)
    smooth = Image.fromarray(small.astype(np.uint8)).resize((4, 4), Image.Resampling.BOX)
    even = np.asarray(smooth.resize(small.shape[1::-1], Image.Resampling.BICUBIC), np.float32)
    detail = (small - even).reshape(-1, 3)
    chroma = detail - detail.mean(1, keepdims=True)
    if (chroma**2).sum() < 0.05 * (detail**2).sum():
        axis = LUMA
    else:
        axis = np.linalg.eigh(detail.T @ detail)[1][:, -1]
        axis = axis * (1 if axis.sum() >= 0 else -1) / np.abs(axis).sum()
    if axis.min() > -0.1:
        axis = np.maximum(axis, 0)
        return np.asarray(colours @ (axis / axis.sum()), np.float32)
    return np.asarray((colours @ axis + 255) / 2, np.float32)


def shrunk(x: Plane, side: int) -> Plane:
    """Return x[row, column] or [row, column, channel] averaged over blocks, its longer side at most ``side``."""
    factor = -(-max(x.shape[:2]) // side)
    if factor == 1:
        return x
    down, across = (min(factor, n) for n in x.shape[:2])
    height, width = x.shape[0] // down, x.shape[1] // across
    blocks = x[: height * down, : width * across].reshape(height, down, width, across, *x.shape[2:])
    return np.asarray(blocks.mean((1, 3), dtype=np.float32))


def slide(pick: np.ufunc, x: Plane, size: int) -> Plane:
    """Return ``pick``, np.maximum or np.minimum, of the size x size pixels around each; size is odd."""
    reach = size // 2
    for _ in range(2):
        n = len(x)
        x = x[np.clip(np.arange(-reach, n + reach), 0, n - 1)]
        span = 1
        while 2 * span <= size:
            x = pick(x[:-span], x[span:])
            span *= 2
        if size > span:
            x = pick(x[: span - size], x[size - span :])
        x = np.ascontiguousarray(x.T)
    return x


def on_even_paper(plane: Plane) -> tuple[bool, Plane] | None:
    """Return whether the paper is lighter than the ink, and the ink, 0 to 1, if the paper has one shade everywhere.

    The shade is the middle one along the border, which most of the border then has, and no pixel lies beyond it.
    """
    border = np.concatenate([plane[0], plane[-1], plane[1:-1, 0], plane[1:-1, -1]])
    paper = np.median(border)
    low, high = float(paper - plane.min()), float(plane.max() - paper)
    light, most = low > high, max(low, high)
    if min(low, high) > EVEN * most or _quantile(abs(border - paper), 0.6) > EVEN / 2 * most:
        return None
    return light, np.asarray(np.clip((paper - plane) / (most if light else -most), 0, 1), np.float32)


def looks(plane: Plane) -> list[tuple[bool, float]]:
    """Return whether the paper is lighter than the ink, and the window that fills the strokes, as a part of the side.

    The likelier answer comes first, then the other one. Both are tried, with windows of several sizes, and what is
    found is judged as a digit. Narrow windows count more: what fills only a wide one often lies between the strokes.
    """
    views = {side: shrunk(plane, side) for _, side in WINDOWS}
    least = 5 / min(plane.shape) if min(plane.shape) >= 64 else 0.5
    windows = [window for window in WINDOWS if window[0] >= least]
    dark = _dark(views[THUMB])
    answers = []
    for light, inked in ((True, dark), (False, 2 - dark)):
        tried = [_tried(views[side], light, part, inked) for part, side in windows]
        # Strokes stay as they are when the window grows, what lies between strokes grows with it.
        steady = [min(1.0, area / max(more, 1e-9)) for (_, area), (_, more) in pairwise([*tried, tried[-1]])]
        weighted = [
            score * part**-0.45 * float(np.interp(share, (0.5, 0.9), (0.5, 1)))
            for (score, _), (part, _), share in zip(tried, windows, steady, strict=True)
        ]
        at = int(np.argmax(weighted))
        score = weighted[at] * float(np.interp(inked, (0.2, 0.7, 1.3, 1.8), (1.6, 1.15, 0.87, 0.62)))
        while wider := [i for i in (at + 1, at + 2) if i < len(tried) and _fuller(tried[i], tried[at])]:
            at = wider[0]
        answers.append((score, light, min(1.6 * windows[at][0], WINDOWS[-1][0])))
    return [answer[1:] for answer in sorted(answers, reverse=True)]


def _fuller(wide: tuple[float, float], narrow: tuple[float, float]) -> bool:
    """Tell whether a wider window finds more of the same: a longer or stronger piece, or one that is not hollow."""
    return wide[0] > 1.04 * narrow[0] or (wide[0] > 0.95 * narrow[0] and wide[1] > 1.1 * narrow[1])


def _tried(view: Plane, light: bool, part: float, inked: float) -> tuple[float, float]:
    """Return how likely the best piece is the digit, and how much of the picture it covers.

    A piece at the edge is one of a digit that was cut tightly only if there is less ink than paper.
    """
    ink = darkness(view, light, part)
    least = threshold(ink)
    if not least:
        return 0.0, 0.0
    labels, pieces = things(ink > least)
    tried = [(0.0, 0.0)]
    for piece in sorted(pieces, key=lambda piece: piece.length, reverse=True)[:8]:
        doubt = 0.3 if piece.edge and inked > 1.1 else 1
        tried.append((doubt * likely(piece, labels, ink), piece.area / ink.size))
    return max(tried)


def _size(plane: Plane, part: float) -> int:
    return int(max(3, round(part * min(plane.shape)))) | 1


def _dark(view: Plane) -> float:
    """Return which part of the picture is dark, and which part of its border, added; where dark and light are near."""
    window = (min(view.shape) // 2) | 1
    high, low = slide(np.maximum, view, window), slide(np.minimum, view, window)
    contrast = high - low
    counts = contrast >= 0.5 * contrast.max()
    dark = view < (high + low) / 2
    border = np.ones_like(dark)
    border[1:-1, 1:-1] = False
    on_border = counts & border
    part = dark[counts].mean()
    return float(part + (dark[on_border].mean() if on_border.any() else part))


def darkness(plane: Plane, light: bool, part: float) -> Plane:
    """Return how much darker than the paper around it each pixel is, 0 to 1: 1 - plane / paper.

    The paper is the closing of the picture: what is left when everything narrower than a window is filled, a window
    just wide enough for the strongest strokes, so that shadows stay part of the paper.
    """
    size = _size(plane, part)
    if light:
        paper = slide(np.minimum, slide(np.maximum, plane, size), size)
        ink = (paper - plane) / (paper + 24)
    else:
        ink = (plane - slide(np.maximum, slide(np.minimum, plane, size), size)) / 255
    return np.asarray(np.maximum(ink - _quantile(ink, 0.1), 0), np.float32)


def _quantile(x: NDArray[np.floating], part: float) -> float:
    """Return the value that this part of all values lies below."""
    place = int(part * (x.size - 1))
    return float(np.partition(x, place, axis=None)[place])


def threshold(ink: Plane) -> float:
    """Return the amount of ink that divides what is ink from what is not, or 0 where there is none."""
    noise = 2.3 * _quantile(ink, 0.2)  # of a normal distribution, from its first tenth to here
    values = ink[ink > max(FAINTEST, 3 * noise)]
    if not values.size:
        return 0.0
    top = _quantile(values, 0.95)
    return min(max(_otsu(values), 0.35 * top), 0.6 * top)


def _otsu(values: NDArray[np.floating]) -> float:
    """Return the value that divides values into the two classes that are farthest apart (Otsu 1979)."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        return low
    counts = np.bincount(((values - low) * (63 / (high - low))).astype(np.intp), minlength=64)
    sums = np.cumsum(counts * np.arange(64))
    below = np.cumsum(counts)
    above = below[-1] - below
    apart = sums * above - (sums[-1] - sums) * below
    between = apart.astype(float) ** 2 / np.maximum(below * above, 1)
    return low + (int(between.argmax()) + 1) * (high - low) / 63


def unruled(mask: Mask) -> Mask:
    """Return a mask without ruled lines: straight, thin, all across the picture, two or more side by side."""
    mask = mask & ~_ruled(mask)
    return mask & ~_ruled(mask.T).T


def _ruled(mask: Mask) -> Mask:
    height, width = mask.shape
    found = np.zeros_like(mask)
    starts, stops = _runs(mask.T)
    lengths = stops - starts
    thin = lengths <= max(2, 0.03 * min(mask.shape))
    lean = _between(starts[thin], stops[thin], mask.T.shape).T
    columns = np.arange(0, width, max(1, width // 96))
    where = lean[:, columns]
    rows, which = np.nonzero(where)
    if min(mask.shape) < 64 or not 0 < len(rows) < 0.5 * where.size:
        return found
    tall, wide = np.nonzero(lean)
    most = round(0.15 * width)
    step = max(1, width // 256)
    for rise in range(-most // step * step, most + 1, step):
        line = rows - np.rint(columns[which] * (rise / width)).astype(np.intp) + most + step
        counts = np.bincount(line, minlength=height + 2 * (most + step) + 1)
        full = counts >= 0.75 * len(columns)
        if full.any() and np.count_nonzero(np.diff(np.flatnonzero(full)) > 1) >= 1:
            on = full[tall - np.rint(wide * (rise / width)).astype(np.intp) + most + step]
            found[tall[on], wide[on]] = True
    if not found.any():
        return found
    total = np.concatenate([[0], np.cumsum(np.pad(found.T, ((0, 0), (2, 2))))])
    lined = total[stops] > total[starts]
    thin = lined & (lengths <= 1.5 * np.median(lengths[lined]) + 1)
    return _between(starts[thin], stops[thin], mask.T.shape).T


def _between(starts: NDArray[np.intp], stops: NDArray[np.intp], shape: tuple[int, int]) -> Mask:
    """Return the mask of some runs."""
    change = np.zeros((shape[0], shape[1] + 4), np.int8).reshape(-1)
    change[starts] = 1
    change[stops] = -1
    return np.cumsum(change, dtype=np.int8).reshape(shape[0], -1)[:, 2:-2].astype(bool)


def _runs(mask: Mask) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where the runs of a mask's rows start and stop, row after row, two empty pixels at both ends of each."""
    height, width = mask.shape
    flat = np.zeros((height, width + 4), np.int8)
    flat[:, 2:-2] = mask
    flat = flat.reshape(-1)
    changes = 1 + np.flatnonzero(flat[1:] != flat[:-1])
    return changes[::2], changes[1::2]


def things(mask: Mask) -> tuple[NDArray[np.intp], list[Thing]]:
    """Return each pixel's label, -1 where there is no ink, and the connected pieces; corners connect."""
    height, width = mask.shape
    starts, stops = _runs(mask)
    labels = np.full((height, width + 4), -1, np.intp)
    if not len(starts):
        return labels[:, 2:-2], []
    row = width + 4
    first = np.searchsorted(stops, starts + row - 1, "right")  # of the runs below that touch this one
    last = np.searchsorted(starts, stops + row + 1, "left")
    counts = np.maximum(last - first, 0)
    upper = np.repeat(np.arange(len(starts)), counts)
    lower = np.arange(len(upper)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)
    root = np.arange(len(starts))
    while True:
        a, b = root[upper], root[lower]
        apart = a != b
        if not apart.any():
            break
        np.minimum.at(root, np.maximum(a, b)[apart], np.minimum(a, b)[apart])
        while (root[root] != root).any():
            root = root[root]
    label = (np.cumsum(root == np.arange(len(root))) - 1)[root]
    flat = labels.reshape(-1)
    lengths = stops - starts
    flat[np.repeat(starts - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())] = np.repeat(
        label, lengths
    )
    labels = labels[:, 2:-2]
    n = label.max() + 1
    y, left, right = starts // row, starts % row - 2, stops % row - 2
    box = np.empty((5, n), np.intp)
    box[:2] = max(height, width)
    box[2:] = 0
    np.minimum.at(box[0], label, y)
    np.minimum.at(box[1], label, left)
    np.maximum.at(box[2], label, y + 1)
    np.maximum.at(box[3], label, right)
    np.add.at(box[4], label, lengths)
    rim = np.concatenate([labels[0], labels[-1], labels[1:-1, 0], labels[1:-1, -1]])
    edge = np.bincount(rim[rim >= 0], minlength=n)
    return labels, [
        Thing(top, left, bottom, right, area, touching, (i,))
        for i, (top, left, bottom, right, area, touching) in enumerate(
            [*zip(*box.tolist(), edge.tolist(), strict=True)]
        )
    ]


def likely(piece: Thing, labels: NDArray[np.intp], ink: Plane) -> float:
    """Return how likely a piece is the digit, or its main part: long, thin, strong, and not along the edge."""
    box = labels[piece.top : piece.bottom, piece.left : piece.right] == piece.labels[0]
    strength = float(ink[piece.top : piece.bottom, piece.left : piece.right][box].mean())
    edge = 1.0
    if piece.edge:
        spread = min(piece.height / labels.shape[0], piece.width / labels.shape[1])
        deep = piece.area > 0.13 * min(labels.shape) * piece.edge  # it does not lie along the edge, as a frame does
        cut = spread > 0.3 and piece.edge < 1.6 * piece.length and deep
        edge = 0.8 if cut else 0.4 if piece.edge < 0.95 * piece.length else 0.12
    solid = 0.05 if _holds(box, 0.34 * piece.length) else 0.6 if _holds(box, 0.25 * piece.length) else 1
    return float(piece.length / max(labels.shape) * strength * edge * solid)


def _holds(mask: Mask, side: float) -> bool:
    """Tell whether a square of this side fits into a mask."""
    size = int(side) + 1 | 1
    x = np.zeros((mask.shape[0] + 2, mask.shape[1] + 2), np.int8)
    x[1:-1, 1:-1] = mask
    return min(mask.shape) >= size and bool(slide(np.minimum, x, size).any())


def together(labels: NDArray[np.intp], pieces: list[Thing], ink: Plane) -> tuple[Thing, list[Thing]]:
    """Return the digit, its broken strokes put together, and the other pieces."""
    rest = sorted(pieces, key=lambda piece: piece.length, reverse=True)[:200]
    rest.sort(key=lambda piece: likely(piece, labels, ink), reverse=True)
    digit = rest.pop(0)
    points = {digit.labels[0]: _points(labels, digit)}
    grown = True
    while grown:
        grown = False
        for piece in rest:
            if piece.area < 0.01 * digit.area or (piece.edge > 0.5 * piece.length and not digit.edge):
                continue
            reach = _reach(digit, piece)
            if _gap_of_boxes(digit, piece) > reach:
                continue
            mine = points.setdefault(piece.labels[0], _points(labels, piece))
            if min(_distance(points[label], mine) for label in digit.labels) <= reach:
                digit = _joined(digit, piece)
                rest.remove(piece)
                grown = True
                break
    return digit, rest


def _reach(digit: Thing, piece: Thing) -> float:
    """Return how far from the digit a piece may lie and still be a stroke of it, in pixels."""
    both = _joined(digit, piece)
    low = min(piece.height, digit.height) / both.height
    shared = min(digit.right, piece.right) - max(digit.left, piece.left)
    if piece.length < 0.15 * digit.length:  # as well a speck
        return 0.1 * digit.length
    if shared >= 0.5 * min(digit.width, piece.width):  # above, below or inside
        return (0.3 if low < 0.5 else 0.18) * both.length
    if piece.width > 1.5 * piece.height and piece.top + piece.bottom < 2 * digit.top + 0.7 * digit.height:
        return 0.45 * digit.length if piece.right > digit.right else 0.3 * digit.length  # the bar of a 5
    return float(np.interp(low, (0.3, 0.6), (0.3, 0.06))) * both.height


def _gap_of_boxes(a: Thing, b: Thing) -> int:
    return max(a.top - b.bottom, b.top - a.bottom, a.left - b.right, b.left - a.right, 0)


def _points(labels: NDArray[np.intp], piece: Thing) -> NDArray[np.float32]:
    box = labels[piece.top : piece.bottom, piece.left : piece.right] == piece.labels[0]
    points = np.argwhere(box).astype(np.float32) + np.array([piece.top, piece.left], np.float32)
    return points[:: max(1, len(points) // 500)]


def _distance(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(np.sqrt(((a[:, None] - b) ** 2).sum(-1).min()))


def _joined(a: Thing, b: Thing) -> Thing:
    return Thing(
        min(a.top, b.top),
        min(a.left, b.left),
        max(a.bottom, b.bottom),
        max(a.right, b.right),
        a.area + b.area,
        a.edge + b.edge,
        a.labels + b.labels,
    )


def comparable(piece: Thing, digit: Thing) -> bool:
    """Tell whether another piece could be a digit beside the digit."""
    return not piece.edge and piece.length > 0.4 * digit.length and piece.width < 3 * piece.height


def doubt(labels: NDArray[np.intp], digit: Thing, rest: list[Thing]) -> str:
    """Return why the digit can be none, or nothing."""
    mask = np.isin(labels[digit.top : digit.bottom, digit.left : digit.right], digit.labels)
    side = max(labels.shape)
    alike = sum(comparable(piece, digit) for piece in rest)
    if digit.length < max(5, 0.01 * side) or (digit.length < 0.04 * side and alike > 20):
        return "only specks"
    if alike > 40:
        return f"{alike + 1} things of one size"
    if digit.width > 4 * digit.height:
        return "only a line"
    if _holds(mask, 0.42 * digit.length):
        return "only a blot"
    height, width = labels.shape
    left, right, top, bottom = digit.left == 0, digit.right == width, digit.top == 0, digit.bottom == height
    deep = digit.width if left != right else digit.height if top != bottom else side
    if digit.edge > 0.95 * digit.length and deep < 0.3 * digit.length:
        return "only something at its edge"
    return ""


def only(ink: Plane, mask: Mask, labels: NDArray[np.intp], digit: Thing) -> Plane:
    """Return the digit's ink alone, 0 to 1, with its soft edges, 1 where it is as strong as it mostly is."""
    mine = np.isin(labels, digit.labels)
    near = slide(np.maximum, mine.view(np.int8), (2 * round(EDGE * digit.length) + 5) | 1) > 0
    away = slide(np.maximum, (mask & ~mine).view(np.int8), 3) > 0
    level = _quantile(ink[mine], 0.8)
    return np.where(mine | (near & ~away), np.minimum(ink / level, 1), 0).astype(np.float32)
