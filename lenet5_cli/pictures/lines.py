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
from lenet5_cli.pictures.segment import Box, Component, Ink, Plane

ENLARGED: Final = 600  # pixels: a page with a shorter longer side is enlarged, so that cuts and rules have room
MARKS_MAX: Final = 2000  # components as large as digits: a full sheet has some hundred; it bounds the work
DUST: Final = 8  # pixels of the longer side: what is smaller is none of a digit

# In heights of a digit: of all, the median; of a row, the median of the components that the network takes for digits.
RULE: Final = 1.4  # a straight run as long is no stroke
SMALL: Final = 0.12  # a shorter longer side is dust
LARGE: Final = 3.0  # higher components are drawings or the page's edge
BODY: Final = 0.5  # what is lower is no digit: a sign, a dot, a part
TRIED: Final = 0.25  # of the highest component, a bracket perhaps: what is lower says nothing of a row's height
BESIDE: Final = 3  # components of a row whose highest the next one stands beside: a digit may be in pieces
HELD: Final = 0.4  # of a box's height: the digit in it is higher
OVERLAP: Final = 0.45  # of the lower height: neighbours in a row share it
GAP: Final = 0.25  # between strokes of one digit at most
WIDE: Final = 1.6  # of a digit at most
TOUCHING: Final = 0.85  # wider components may be several digits
STEP: Final = 0.1  # between two cuts: the thinnest digit, an upright 1, is as wide

# In nats, as are the squared distances of a network that was trained with the rubbish class.
CERTAIN: Final = 7.0  # below the threshold a distance says no more: training stops caring (LeCun et al. 1998, eq. 9)
NOISE: Final = 4.5  # what costs less is hardly ever noise
SKIPPED: Final = 10.0  # for what is no digit and as high, or each DIGIT_WIDTH of it: as much as any digit costs
DIGIT_WIDTH: Final = 0.7  # heights: of a usual digit
UNEVEN: Final = 6.0  # for a digit e times as high as its row, or as low: signs are low; 1.2 times costs 1
CUT: Final = 0.5  # for a cut, and
CUT_THROUGH: Final = 6.0  # for each height of ink in it
NEAREST: Final = 0.03  # quantile of the windows' distances that is a digit's, where the network keeps no threshold
PRIOR: Final = 0.1  # a digit, of the prior of its ink: on a page, many digits speak for the ink together


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


class Step(NamedTuple):
    """Consecutive pieces of a row, from ``first`` to ``last``, exclusive: a digit, or, without an image, none."""

    first: int
    last: int
    cost: float
    pieces: tuple[Component, ...]
    image: Plane | None = None  # (28, 28), white on black


class Found(NamedTuple):
    """A digit on the best path through its row."""

    pieces: tuple[Component, ...]
    image: Plane  # (28, 28), white on black
    cost: float
    distances: Plane  # (k,), squared, to each glyph

    @property
    def box(self) -> Box:
        """The box in pixels of what was looked at."""
        return segment.box_of(self.pieces)

    def placed(self, factor: float) -> Digit:
        """Return it as a digit on a page that is ``factor`` times as large as what was looked at."""
        left, top, right, bottom = (round(factor * edge) for edge in self.box)
        probability = float(softmax(-self.distances[None]).max())
        return Digit(int(self.distances.argmin()), probability, float(self.distances.min()), (left, top, right, bottom))


class Rows(NamedTuple):
    """The hypothesis about a page's ink in which most is read, and the digits in it."""

    ink: Ink
    labels: Plane  # (h, w), of the components
    digits: list[list[Found]]
    area: int  # pixels of the components in rows, of digits and of what is none


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
    """Return all digits on a decoded page; ``name`` is what the message calls it if it shows too many components."""
    try:
        rows = find(page, network)
    except LeNet5Error as error:
        raise LeNet5Error(f"{name}: {error}") from None
    if rows is None:
        return Text([], page)
    factor = page.size[0] / rows.ink.mask.shape[1]
    return Text([[each.placed(factor) for each in row] for row in rows.digits], page)


def find(page: Page, network: Classifier, *, cut: bool = True) -> Rows | None:
    """Return the rows of digits on a decoded page, and how they were found; None where nothing may be one.

    ``cut``: wide components may be several digits that touch.

    Raises:
        LeNet5Error: there are more than ``MARKS_MAX`` components.
    """
    scale = max(1, ENLARGED // max(page.pixels.shape[:2]))
    shades = cv2.resize(segment.grey(page.pixels), None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    inks = list(segment.inks(shades))
    rows = [[(ink, labels, row) for labels, row in _rows(ink)] for ink in inks]
    heights = _heights([row for of_ink in rows for row in of_ink], network)
    steps = [[_steps(*row, next(heights), cut) for row in of_ink] for of_ink in rows]
    images = [step.image for of_ink in steps for row in of_ink for step in row if step.image is not None]
    if not images:
        return None
    scores = network.scores(np.stack(images))
    distances, limit = iter(-scores), _limit(scores, network)
    read, evidence = [], []
    for ink, of_ink, ways in zip(inks, rows, steps, strict=True):
        digits = [found for row in ways if (found := _best(row, distances, limit))]
        labels = of_ink[0][1] if of_ink else ink.mask
        read.append(Rows(ink, labels, digits, sum(segment.area_of(row) for _, _, row in of_ink)))
        evidence.append(sum(NOISE - PRIOR * ink.prior - each.cost for row in digits for each in row))
    return read[int(np.argmax(evidence))]


def _limit(scores: Plane, network: Classifier) -> float:
    """Return the distance within which a window of scores (n, k) is a digit."""
    if network.threshold is not None:
        return network.threshold
    return CERTAIN - float(np.quantile(scores.max(axis=1), 1 - NEAREST))


def _heights(rows: list[tuple[Ink, Plane, list[Component]]], network: Classifier) -> Iterator[float]:
    """Yield the height of each row: the median of the components that are digits on their own.

    Where fewer than two are, it is the median of all that are not low.
    """
    tried = [_not_below(TRIED, row) for _, _, row in rows]
    images = [
        normalise(segment.isolate(ink, labels, [each]))
        for (ink, labels, _), some in zip(rows, tried, strict=True)
        for each in some
    ]
    if not images:
        return
    scores = network.scores(np.stack(images))
    near = iter((-scores.max(axis=1) <= _limit(scores, network)).tolist())
    for some in tried:
        digits = [each for each in some if next(near)]
        yield float(np.median([each.height for each in (digits if len(digits) > 1 else _not_below(BODY, some))]))


def _not_below(fraction: float, row: list[Component]) -> list[Component]:
    """Return the components that are at least a fraction as high as the highest."""
    highest = max(each.height for each in row)
    return [each for each in row if each.height >= fraction * highest]


def _rows(ink: Ink) -> Iterator[tuple[Plane, list[Component]]]:
    """Yield the labels and the rows of an ink hypothesis from the top."""
    height, _, found = _measured(ink.mask)
    if found and min(np.array(found[0][3:5]) - found[0][1:3] - segment.SPAN * np.array(ink.mask.shape[::-1])) > 0:
        ink = segment.without_lines(ink)  # squared paper, or a table, which the digits touch
        height, *_ = _measured(ink.mask)
    mask = segment.without_rules(ink.mask, RULE * height, (RULE * height, RULE * height)) if height else ink.mask
    height, labels, found = _measured(mask)
    found = [each for each in found if each.length >= SMALL * height and each.height <= LARGE * height]
    rows = [row for row in _in_rows(found) if any(each.height >= BODY * height for each in row)]
    for row in rows:
        if len(rows) == 1 or len(row) > 1 or not row[0].edge:  # what stands alone at the page's edge is the edge
            yield labels, row


def _measured(mask: Plane) -> tuple[float, Plane, list[Component]]:
    """Return the height of the digits on a mask, 0 if there are none, the labels of its components, and these."""
    labels, found = segment.components(mask, DUST)
    if len(found) > MARKS_MAX:
        raise LeNet5Error(f"more than {MARKS_MAX:,} marks that may be digits; crop it to the digits")
    found = _without_frames(found)
    heights = np.array([each.height for each in found if each.height >= DUST])
    if not len(heights):
        return 0.0, labels, []
    return float(np.median(heights[heights >= BODY * np.quantile(heights, 0.75)])), labels, found


def _without_frames(found: list[Component]) -> list[Component]:
    """Return components without those around another one that is not much smaller: they are boxes for digits."""
    left, top, right, bottom = np.array([each[1:5] for each in found]).reshape(-1, 4).T
    holds = (left[:, None] < left) & (right < right[:, None]) & (top[:, None] < top) & (bottom < bottom[:, None])
    large = bottom - top >= HELD * (bottom - top)[:, None]
    return [each for each, frame in zip(found, (holds & large).any(axis=1), strict=True) if not frame]


def _in_rows(found: list[Component]) -> list[list[Component]]:
    """Return components in rows from the top: each beside the last of its row, so that a row may slope."""
    rows: list[list[Component]] = []
    for each in sorted(found, key=lambda each: each.left + each.right):
        beside = [max(row[-BESIDE:], key=lambda last: last.height) for row in rows]
        shared = [min(each.bottom, last.bottom) - max(each.top, last.top) for last in beside]
        place = int(np.argmax(shared)) if rows else 0
        if rows and shared[place] > OVERLAP * min(each.height, beside[place].height):
            rows[place].append(each)
        else:
            rows.append([each])
    return sorted(rows, key=lambda row: np.mean([each.top + each.bottom for each in row]))


def _steps(ink: Ink, labels: Plane, row: list[Component], height: float, cut: bool) -> list[Step]:
    """Return what a path over a row may take; ``labels`` are changed where a component is cut."""
    fresh = count(int(labels.max()) + 1)
    pieces = [piece for each in row for piece in (_cut(labels, each, height, fresh) if cut else [(each, 0.0)])]
    pieces.sort(key=lambda piece: piece[0].left + piece[0].right)
    steps = []
    for first in range(len(pieces)):
        for last in range(first + 1, len(pieces) + 1):
            group, cuts = zip(*pieces[first:last], strict=True)
            left, top, right, bottom = segment.box_of(group)
            wide, tall = right - left, bottom - top
            gap = group[-1].left - max((each.right for each in group[:-1]), default=right)
            if gap > GAP * height or (last > first + 1 and wide > WIDE * max(height, tall)):
                break
            size = wide / DIGIT_WIDTH if wide > height else min(height, max(wide, tall))
            steps.append(Step(first, last, cuts[-1] + SKIPPED * size / height, group))
            if tall >= BODY * height:
                cost = cuts[-1] + UNEVEN * abs(float(np.log(tall / height)))
                steps.append(Step(first, last, cost, group, normalise(segment.isolate(ink, labels, group))))
    return steps


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
    edges = sorted({0, *places, len(ink)})
    for start, stop in pairwise(edges):
        rows, columns = np.nonzero(mine[:, start:stop])
        new = next(fresh)
        labels[top:bottom, left + start : left + stop][mine[:, start:stop]] = new
        first, last = int(columns.min()), int(columns.max()) + 1
        cost = 0.0 if stop == len(ink) else CUT + CUT_THROUGH * float(ink[stop]) / height
        box = (left + start + first, top + int(rows.min()), left + start + last, top + int(rows.max()) + 1)
        yield Component(new, *box, len(rows), 0), cost


def _best(row: list[Step], distances: Iterator[Plane], limit: float) -> list[Found]:
    """Return the digits on the best path through a row, and take the distances of its images."""
    paths: list[tuple[float, list[Found]]] = [(0.0, []), *[(np.inf, [])] * max(step.last for step in row)]
    for step in row:
        cost, digits = step.cost, []
        if step.image is not None:
            each = next(distances)
            distance = float(each.min())
            if distance > limit:
                continue
            cost += max(0.0, distance - limit + CERTAIN)
            digits = [Found(step.pieces, step.image, cost, each)]
        before, found = paths[step.first]
        if before + cost < paths[step.last][0]:
            paths[step.last] = (before + cost, found + digits)
    return paths[-1][1]
