"""Several digits: rows of components, cut and joined where the network's distances say so, and the best path."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, pairwise
from typing import ClassVar, Final, NamedTuple

import cv2
import numpy as np

from lenet5_cli.engine.losses import softmax
from lenet5_cli.engine.network import Classifier, LeNet5
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.pictures import segment
from lenet5_cli.pictures.decode import Page, Source, decode, name_of
from lenet5_cli.pictures.normalise import normalise
from lenet5_cli.pictures.rules import without_rules
from lenet5_cli.pictures.segment import Box, Component, Ink, Plane

ENLARGED: Final = 600  # pixels: a page with a shorter longer side is enlarged, so that cuts and rules have room
PIECES_MAX: Final = (
    2000  # of components that are cut, on a page: a full sheet has some hundred digits; it bounds the work
)
DUST: Final = 8  # pixels of height: what is lower does not count when the height of the digits is estimated

# In heights of a digit: of all, the median; of a row, the median of its components.
SMALL: Final = 0.12  # a shorter longer side is dust
LARGE: Final = 3.0  # higher components are drawings or the page's edge
BODY: Final = 0.5  # lower components are signs, dots or broken strokes: they neither make a row nor are a digit
OVERLAP: Final = 0.45  # of the lower height: neighbours in a row share it
NEAR: Final = 0.15  # of a sign above or below its row
THIN: Final = 0.3  # of a row's median area by length, an upright 1 having about half: less is another pen's
GAP: Final = 0.25  # between strokes of one digit at most
WIDE: Final = 1.6  # of a digit at most
TOUCHING: Final = 0.85  # wider components may be several digits
STEP: Final = 0.1  # between two cuts: the thinnest digit, an upright 1, is as wide
CUT_INK: Final = 0.45  # in a column that is cut, at most: a cut along a stroke is none

# In nats, as are the squared distances of a network that was trained with the rubbish class.
CERTAIN: Final = 7.0  # below the threshold a distance says no more: training stops caring (LeCun et al. 1998, eq. 9)
EVIDENCE: Final = 2.5  # below the threshold: what is nearer to its glyph is hardly ever noise
SKIPPED: Final = 10.0  # for a component that is no digit, or each DIGIT_WIDTH of it: above what any digit costs
DIGIT_WIDTH: Final = 0.7  # heights: of a usual digit
SPECK: Final = 0.15  # of SKIPPED at least, in proportion to its longer side, for a sign
CUT: Final = 0.5  # for a cut, and
CUT_THROUGH: Final = 6.0  # for each height of ink in it
NEAREST: Final = 0.03  # quantile of the windows' distances that is a digit's, where the network keeps no threshold
PRIOR: Final = 0.1  # a digit, of the prior of its ink: on a page, many digits speak for the ink together
UNLIKELY: Final = 18.0  # the prior of an ink hypothesis that is not followed
STROKES_MAX: Final = 4  # components that are joined into one digit


class Digit(NamedTuple):
    """A digit on a page."""

    digit: int
    probability: float
    distance: float  # squared, to its glyph
    box: Box  # left, top, right, bottom in pixels of the picture before it was reduced; right and bottom are exclusive


@dataclass(frozen=True)
class Text:
    """The digits on a page, in rows from the top, each from the left."""

    NO_DIGIT: ClassVar = "nothing on it is one"  # the reason if there is none

    rows: list[list[Digit]]
    page: Page

    def __str__(self) -> str:
        """Return the digits, a line a row."""
        return "\n".join("".join(str(each.digit) for each in row) for row in self.rows)


class Window(NamedTuple):
    """Consecutive pieces of a row that may be one digit: from ``first`` to ``last``, exclusive."""

    first: int
    last: int
    box: Box
    image: Plane  # (28, 28), white on black


class Row(NamedTuple):
    """The pieces of a row from the left, and what the path over them may take."""

    pieces: list[Component]
    skips: list[list[tuple[int, float]]]  # from each piece: up to which, exclusive, at which cost
    cuts: list[float]  # the cost of ending behind each piece
    windows: list[Window]


def read_digits(source: Source, network: Classifier | None = None, *, name: str | None = None, rotate: int = 0) -> Text:
    """Return all digits on a picture in reading order, as ``network`` reads them, the bundled model if None.

    Rows are cut into more pieces than there are digits, and the network's squared distances choose among the ways to
    join them and to skip what is no digit; of several hypotheses about the ink, the one in which most is read.

    Raises:
        LeNet5Error: ``name`` (else ``source``) cannot be read as a picture, or shows too many components.

    Source: LeCun et al. 1998, section V, heuristic over-segmentation.
    """
    return read_page(decode(source, name, rotate=rotate), network or LeNet5.load(), name or name_of(source))


def read_page(page: Page, network: Classifier, name: str) -> Text:
    """Return all digits on a decoded page."""
    scale = max(1, ENLARGED // max(page.pixels.shape[:2]))
    shades = cv2.resize(segment.grey(page.pixels), None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    found: list[tuple[float, list[Row]]] = []
    crowded = False
    for ink in segment.inks(shades):
        if ink.prior <= UNLIKELY:
            rows = _rows(ink)
            crowded |= rows is None
            found.append((PRIOR * ink.prior, rows or []))
    windows = [window for _, rows in found for row in rows for window in row.windows]
    if crowded and not windows:
        raise LeNet5Error(f"{name}: more than {PIECES_MAX:,} marks that may be digits; crop it to the digits")
    if not windows:
        return Text([], page)
    scores = network.scores(np.stack([window.image for window in windows]))
    nearest = -float(np.quantile(scores.max(axis=1), 1 - NEAREST))
    limit = nearest + CERTAIN if network.threshold is None else network.threshold
    distances = iter(-scores)
    factor = page.size[0] / shades.shape[1]
    texts, evidence = [], []
    for prior, rows in found:
        read = [_best(row, [next(distances) for _ in row.windows], limit, factor) for row in rows]
        texts.append([digits for digits in read if digits])
        near = [min(CERTAIN, limit - each.distance) for digits in read for each in digits]
        evidence.append(sum(near) - (EVIDENCE + prior) * len(near))
    return Text(texts[int(np.argmax(evidence))], page)


def _rows(ink: Ink) -> list[Row] | None:
    """Return the rows of an ink hypothesis from the top, None if there are too many components."""
    height, _, _ = _measured(ink.mask)
    if not height:
        return []
    mask = without_rules(ink.mask, height)
    height, labels, stats = _measured(mask)
    if not height:
        return []
    longest = stats[:, 2:4].max(axis=1)
    places = 1 + np.flatnonzero((longest[1:] >= SMALL * height) & (stats[1:, 3] <= LARGE * height))
    wide = stats[places, 2][stats[places, 2] > TOUCHING * height]
    if len(places) + wide.sum() / (STEP * height) > PIECES_MAX:
        return None
    found = [
        Component(int(place), left, top, left + width, top + tall, area, 0)
        for place, (left, top, width, tall, area) in zip(places, stats[places].tolist(), strict=True)
    ]
    bodies = [each for each in found if each.height >= BODY * height]
    rows = _in_rows([each for each in bodies if not any(_holds(each, other) for other in bodies)])
    for sign in found:
        if sign.height < BODY * height and not _cut_off(sign, mask.shape):
            _add_sign(rows, sign, NEAR * height)
    fresh = count(int(labels.max()) + 1)
    return [_row(ink._replace(mask=mask), labels, _inked_alike(row), fresh) for row in rows]


def _measured(mask: Plane) -> tuple[float, Plane, Plane]:
    """Return the height of the digits on a mask, 0 if there are none, the labels of its components and their stats."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    heights = stats[1:, 3][stats[1:, 3] >= DUST]
    if not len(heights):
        return 0.0, labels, stats
    return float(np.median(heights[heights >= BODY * np.quantile(heights, 0.75)])), labels, stats


def _holds(frame: Component, other: Component) -> bool:
    """Tell whether a component is a frame around another one."""
    return (
        frame.left < other.left and other.right < frame.right and frame.top < other.top and other.bottom < frame.bottom
    )


def _cut_off(sign: Component, shape: tuple[int, ...]) -> bool:
    """Tell whether a low component touches the page's edge: it is the rest of another row."""
    return sign.left == 0 or sign.top == 0 or sign.right == shape[1] or sign.bottom == shape[0]


def _in_rows(bodies: list[Component]) -> list[list[Component]]:
    """Return components in rows from the top: each beside the last of its row, so that a row may slope."""
    rows: list[list[Component]] = []
    for each in sorted(bodies, key=lambda each: each.left + each.right):
        shared = [min(each.bottom, row[-1].bottom) - max(each.top, row[-1].top) for row in rows]
        lower = [min(each.height, row[-1].bottom - row[-1].top) for row in rows]
        fitting = [(pixels, i) for i, pixels in enumerate(shared) if pixels > OVERLAP * lower[i]]
        if fitting:
            rows[max(fitting)[1]].append(each)
        else:
            rows.append([each])
    return sorted(rows, key=lambda row: np.mean([each.top + each.bottom for each in row]))


def _inked_alike(row: list[Component]) -> list[Component]:
    """Return a row without what is drawn with a much thinner pen: margins and sides of boxes that look like a 1."""
    usual = np.median([each.area / each.length for each in row])
    return [each for each in row if each.area / each.length >= THIN * usual]


def _add_sign(rows: list[list[Component]], sign: Component, reach: float) -> None:
    """Add a low component to the row in which its middle lies, if there is one."""
    x, y = (sign.left + sign.right) / 2, (sign.top + sign.bottom) / 2
    for row in rows:
        beside = min(row, key=lambda each: max(each.left - x, x - each.right))
        if beside.top - reach < y < beside.bottom + reach:
            row.append(sign)
            return


def _row(ink: Ink, labels: Plane, row: list[Component], fresh: Iterator[int]) -> Row:
    """Return a row's pieces, costs and windows; ``labels`` are changed where a component is cut."""
    height = float(np.median([each.height for each in row]))
    pieces, parents, costs = [], {}, {}
    for each in row:
        for piece, cost in _cut(labels, each, height, fresh):
            pieces.append(piece)
            parents[piece.label], costs[piece.label] = each, cost
    pieces.sort(key=lambda each: each.left + each.right)
    whole = [parents[each.label] for each in pieces]
    skips = [_skips(pieces, whole, i, height) for i in range(len(pieces))]
    windows = []
    for first in range(len(pieces)):
        for last in range(first + 1, len(pieces) + 1):
            group = pieces[first:last]
            left, top, right, bottom = box = segment.box_of(group)
            gap = pieces[last - 1].left - max((each.right for each in group[:-1]), default=right)
            if gap > GAP * height or (last > first + 1 and right - left > WIDE * max(height, bottom - top)):
                break
            if len({each.label for each in whole[first:last]}) > STROKES_MAX:
                break
            if bottom - top >= BODY * height:
                windows.append(Window(first, last, box, normalise(segment.isolate(ink, labels, group))))
    return Row(pieces, skips, [costs[each.label] for each in pieces], windows)


def _skips(pieces: list[Component], whole: list[Component], i: int, height: float) -> list[tuple[int, float]]:
    """Return what may be skipped from piece i on: it, and all of the component that was cut and begins with it."""
    piece, parent = pieces[i], whole[i]
    if piece == parent:
        return [(i + 1, SKIPPED * min(1, max(SPECK, piece.length / height)))]
    skips = [(i + 1, SKIPPED)]
    if parent not in whole[:i]:
        last = max(j for j, each in enumerate(whole) if each == parent)
        between = sum(each != parent for each in whole[i:last])
        cost = SKIPPED * max(1, (parent.width) / (DIGIT_WIDTH * height)) + SPECK * SKIPPED * between
        skips.append((last + 1, cost))
    return skips


def _cut(labels: Plane, component: Component, height: float, fresh: Iterator[int]) -> Iterator[tuple[Component, float]]:
    """Yield the pieces of a component, each with the cost of the cut behind it, and give them labels of their own."""
    label, left, top, right, bottom, *_ = component
    if bottom - top < BODY * height or right - left <= TOUCHING * min(height, bottom - top):
        yield component, 0.0
        return
    mine = labels[top:bottom, left:right] == label
    ink = mine.sum(axis=0)
    starts = np.arange(STEP * height, len(ink) - 2 * STEP * height, max(2.0, STEP * height)).astype(int)
    places = [start + int(ink[start : start + max(2, int(STEP * height))].argmin()) for start in starts.tolist()]
    edges = sorted({0, *(place for place in places if ink[place] <= CUT_INK * height), len(ink)})
    for start, stop in pairwise(edges):
        rows, columns = np.nonzero(mine[:, start:stop])
        new = next(fresh)
        labels[top:bottom, left + start : left + stop][mine[:, start:stop]] = new
        first, last = int(columns.min()), int(columns.max()) + 1
        cost = 0.0 if stop == len(ink) else CUT + CUT_THROUGH * float(ink[stop]) / height
        box = (left + start + first, top + int(rows.min()), left + start + last, top + int(rows.max()) + 1)
        yield Component(new, *box, len(rows), 0), cost


def _best(row: Row, distances: list[Plane], limit: float, factor: float) -> list[Digit]:
    """Return the digits on the best path through a row."""
    end = len(row.pieces)
    steps: list[list[tuple[int, float, list[Digit]]]] = [
        [(last, cost, []) for last, cost in skips] for skips in row.skips
    ]
    for window, each in zip(row.windows, distances, strict=True):
        if (distance := float(each.min())) <= limit:
            left, top, right, bottom = (round(factor * edge) for edge in window.box)
            digit = Digit(int(each.argmin()), float(softmax(-each[None]).max()), distance, (left, top, right, bottom))
            steps[window.first].append((window.last, max(0.0, distance - limit + CERTAIN), [digit]))
    paths: list[tuple[float, list[Digit]]] = [(0.0, []), *[(np.inf, [])] * end]
    for i in range(end):
        for last, step, digits in steps[i]:
            cost = paths[i][0] + step + row.cuts[last - 1]
            if cost < paths[last][0]:
                paths[last] = (cost, paths[i][1] + digits)
    return paths[-1][1]
