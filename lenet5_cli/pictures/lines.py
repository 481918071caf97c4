"""Read several digits: over-segment each row, score the windows with the network, and find the cheapest path."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import ClassVar, Final, NamedTuple, TypeAlias

import cv2
import numpy as np

from lenet5_cli.engine.losses import softmax
from lenet5_cli.engine.network import Classifier
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.pictures import segment
from lenet5_cli.pictures.decode import Box, Page, scaled
from lenet5_cli.pictures.normalise import normalise
from lenet5_cli.pictures.rows import BODY, BRACKET, MARKS_MAX, TooManyError, height_of, rows_of
from lenet5_cli.pictures.segment import Component, Ink, Plane

ENLARGED: Final = 600  # pixels: a page with a shorter longer side is enlarged, for precise cuts and line removal
# Pixels of all windows of a hypothesis: a page of 1,000 digits has fewer, the grain of cloth or a barcode has more.
WORK_MAX: Final = 300_000_000
EACH: Final = 5000  # the fixed work for each window, expressed in pixels
SMALL: Final = 36  # pixels: if the digits' median height is less, the page is also read enlarged
FINER: Final = 2  # how many times it is then enlarged
PROMISING: Final = 0.5  # of the best evidence: kinds of ink with less are not read enlarged, which takes long
COARSE: Final = 700  # pixels of the longer side of a reduced copy, in which grain no longer looks like ink

# In heights of a digit.
HIGHER: Final = 1.4  # of the row's height, which low letters may determine: a row with higher numbers is read again
GAP: Final = 0.25  # maximum gap between the strokes of a digit
SPACE: Final = 0.3  # minimum space between words
WIDE: Final = 1.6  # maximum width of a digit
TOUCHING: Final = 0.85  # wider components may be several digits that touch
STEP: Final = 0.08  # distance between two cuts: the thinnest digit, an upright 1, is hardly wider
STROKE: Final = 0.5  # maximum ink in a cut: more is an upright stroke, not a place where two digits touch

# Non-digits that the network takes for digits.
STRAIGHT: Final = 1.5  # stroke widths: the maximum width of a single straight stroke
LEANING: Final = 0.25  # width by height: how much farther a slash leans to the right than the page's digits: 14 degrees
ALIKE: Final = 0.15  # maximum standard deviation of the lean of digits by one hand; over all of MNIST it is 0.25
LOW: Final = 0.7  # of the median height of the digits that are not straight: rows of lower straight strokes are specks
FAINT: Final = 0.5  # of the median strength of the digits on a page: fainter ink is a fold, or shines through the paper

# In nats, as are the squared distances of a network that was trained with the rubbish class.
CERTAIN: Final = 7.0  # distances this far below the threshold cost 0: training ignores them (LeCun et al. 1998, eq. 9)
NOISE: Final = 4.5  # cost below which a window is hardly ever noise
STRAIGHT_WORTH: Final = 0.25  # weight of the evidence of straight strokes: lines and edges of a page are straight, too
SKIPPED: Final = 10.0  # cost of a non-digit as high as the digits, for each DIGIT_WIDTH: as much as any digit costs
DIGIT_WIDTH: Final = 0.7  # heights of a digit: its usual width
UNEVEN: Final = 6.0  # cost of a digit e times as high as its row, or as low, as signs are; 1.2 times costs 1
CUT: Final = 8.0  # cost of a cut through ink as long as the digit is high
SURE: Final = 2.0  # cost below which a window surely looks like a digit, as many letters do
UNLIKE: Final = 3  # minimum number of windows unlike digits in a sure word: a sum seldom has as many signs
NEAREST: Final = 0.03  # quantile of a row's distances that is taken for a digit's if the network has no threshold


class Digit(NamedTuple):
    """A digit on a page."""

    digit: int
    probability: float
    distance: float  # squared, to the glyph of the digit
    box: Box  # left, top, right, bottom in pixels of the picture before it was reduced; right and bottom are exclusive


@dataclass(frozen=True, eq=False)  # comparing arrays does not give a truth value
class Text:
    """The digits on a page: rows from top to bottom, the digits in each from left to right."""

    NO_DIGIT: ClassVar = "none was found on it"  # the reason if there is none

    rows: list[list[Digit]]
    page: Page = field(repr=False)

    def __str__(self) -> str:
        """Return the labels, one row per line, separated by spaces if a label has two figures."""
        highest = max((each.digit for row in self.rows for each in row), default=0)
        return self.named([str(label) for label in range(highest + 1)])

    def named(self, names: Sequence[str]) -> str:
        """Return the names of the digits, one row per line, separated by spaces if a name has several characters."""
        between = "" if all(len(name) == 1 for name in names) else " "
        return "\n".join(between.join(names[each.digit] for each in row) for row in self.rows)


class Window(NamedTuple):
    """Consecutive pieces of a row, from ``first`` to ``last``, exclusive, which may be a digit."""

    first: int
    last: int
    pieces: tuple[Component, ...]
    width: int
    height: int
    cut: float  # the cost of the cut at its right end


class Found(NamedTuple):
    """A window that may be a digit, with the scores of the network."""

    pieces: tuple[Component, ...]
    image: Plane  # (28, 28), white on black
    cost: float
    distances: Plane  # (k,), squared, to each glyph
    strength: float  # mean strength of its ink, 0 to 255

    @property
    def box(self) -> Box:
        """The bounding box in pixels of the copy of the page that was read."""
        return segment.box_of(self.pieces)

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""
        return self.box[3] - self.box[1]

    @property
    def digit(self) -> int:
        """The label of the nearest glyph."""
        return int(self.distances.argmin())

    @property
    def lean(self) -> float:
        """The slant to the right, width by height, computed from the image moments."""
        moments = cv2.moments(self.image)
        return -moments["mu11"] / moments["mu02"]

    @property
    def straight(self) -> bool:
        """Whether it is a single straight stroke: its variance across is at most that of a bar STRAIGHT pens wide."""
        moments = cv2.moments(self.image)
        across, down, both = (moments[name] / moments["m00"] for name in ("mu20", "mu02", "mu11"))
        least = (across + down - np.hypot(across - down, 2 * both)) / 2
        _, pen = segment.strokes((self.image > 127).astype(np.uint8))
        return bool(12 * least <= (STRAIGHT * max(1.0, pen)) ** 2)

    def on(self, page: Page, looked_at: Plane) -> Digit:
        """Return it as a digit on a page, with the box scaled from the copy (h, w) in which it was found."""
        probability = float(softmax(-self.distances[None]).max())
        box = scaled(self.box, looked_at.shape[1::-1], page.size)
        return Digit(self.digit, probability, float(self.distances.min()), box)


Labels: TypeAlias = tuple[tuple[int, ...], ...]  # of the digits in each row
Taken: TypeAlias = tuple[Window, Found | None]  # a step of a path: a window, and the digit in it or None if it has none


class Word(NamedTuple):
    """A part of a row without spaces: a number, or letters, some of which look like digits."""

    digits: list[Found]
    unlike: int  # number of non-digits that are not low, and of digits that hardly look like one

    @property
    def like(self) -> int:
        """The number of digits that surely look like one."""
        return sum(each.cost <= SURE for each in self.digits)


class Rows(NamedTuple):
    """A hypothesis about a page's ink, and the digits that are read in it."""

    ink: Ink
    labels: Plane  # (h, w), of the components
    digits: list[list[Found]]
    area: int  # pixels of the components in rows, whether digits or not, and of drawings

    @property
    def found(self) -> list[Found]:
        """The digits of all rows."""
        return [each for row in self.digits for each in row]

    @property
    def labelled(self) -> Labels:
        """The labels of the digits of all rows."""
        return tuple(tuple(each.digit for each in row) for row in self.digits)

    def evidence(self) -> float:
        """How much less the digits cost than noise: the sum of the differences, each times the digit's relative height.

        The height, relative to the page's, is a weight because a faint grid is read as many low 1s. Straight strokes
        count less because the sides of a sheet are read as high 1s. A digit that costs more than noise, such as a
        letter, does not count: it says nothing about the ink.
        """
        saved = ((STRAIGHT_WORTH if each.straight else 1.0) * max(0.0, NOISE - each.cost) for each in self.found)
        return float(np.dot(list(saved), [each.height for each in self.found])) / len(self.ink.mask)


def find(pixels: Plane, network: Classifier, *, touching: float = TOUCHING) -> Rows | None:
    """Return the rows of digits on a page (h, w) or (h, w, 3), and how they were found; None if nothing stands out.

    Rows are cut into more pieces than there are digits. The network's squared distances decide which pieces are joined
    and which are skipped as non-digits. Words of letters, brackets, slashes and faint ink are left out.

    Of several hypotheses about the ink of the page, or of a sheet on it, the one with the most evidence is returned.
    Hypotheses that read the same digits, or only a part of them, add their evidence. If its digits are small, the page
    is also read enlarged. If it has fewer than two digits, or they cost as much as noise, the page is also read without
    lines over most of the page, since on dark squared paper all may be one component, and it is read reduced.

    ``touching``: components wider than this, in heights of a digit, may be several digits that touch.

    Raises:
        LeNet5Error: nothing is read, and a hypothesis has more than ``MARKS_MAX`` components.

    Source: LeCun et al. 1998, section V, heuristic over-segmentation.
    """
    inks = list(_inks(pixels))
    read = [_read(ink, network, touching) for ink in inks]
    best = agreed(read)
    if best and len(best.found) > 1 and np.median([each.height for each in best.found]) < SMALL:
        enough = PROMISING * best.evidence()
        promising = {each.ink.kind for each in read if each and each.evidence() >= enough}
        read += [_read(ink, network, touching) for ink in _inks(pixels, FINER) if ink.kind in promising]
        best = agreed(read)
    if best is None or len(best.found) < 2 or not best.evidence():
        coarse = _inks(segment.reduced(pixels, COARSE)) if max(pixels.shape) > COARSE else ()
        further = chain(
            (segment.without_lines(ink, *segment.components(ink.mask, segment.BOXED)) for ink in inks), coarse
        )
        read += [_read(ink, network, touching) for ink in further if ink]
        best = agreed(read)
    if None in read and not (best and best.found):
        raise LeNet5Error(f"more than {MARKS_MAX:,} marks that may be digits; crop it to the digits")
    return best


def agreed(read: list[Rows | None]) -> Rows | None:
    """Return the hypothesis with the most evidence; None if there are none.

    Hypotheses that read the same digits, or only a part of them, add their evidence, because few hypotheses read all
    digits of a page that is partly in a shadow.
    """
    rows = [each for each in read if each]
    labels = [each.labelled for each in rows]
    evidence = [each.evidence() for each in rows]

    def support(place: int) -> tuple[float, float]:
        added = [own for some, own in zip(labels, evidence, strict=True) if _are_among(some, labels[place])]
        return sum(added), evidence[place]

    best = max(range(len(rows)), key=support, default=None)
    return None if best is None else rows[best]


def _are_among(some: Labels, rows: Labels) -> bool:
    """Tell whether each row of ``some`` is one of ``rows``, or a part of one, in the same order."""
    rest = iter(rows)
    return all(any(is_part(row, other) for other in rest) for row in some)


def is_part(row: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Tell whether the labels of a row are a contiguous part of another row."""
    return any(other[at : at + len(row)] == row for at in range(len(other) - len(row) + 1))


def _inks(page: Plane, scale: int = 1) -> Iterator[Ink]:
    """Yield the hypotheses about the ink of a page, enlarged by ``scale``, and of the sheets on it."""
    scale *= max(1, ENLARGED // max(page.shape[:2]))
    page = cv2.resize(page, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    for shades in chain(segment.shades_of(page), map(segment.grey, segment.sheets(page))):
        yield from segment.inks(shades)


def _read(ink: Ink, network: Classifier, touching: float) -> Rows | None:
    """Return the rows of digits of an ink hypothesis; None if it has more than ``MARKS_MAX`` components."""
    try:
        labels, rows, drawn = rows_of(ink, brackets=not all(map(str.isdigit, network.names)))
    except TooManyError:
        return None
    heights = [height_of(row) for row in rows]
    windows: list[list[Window]] = []
    work = 0
    for row, height in zip(rows, heights, strict=True):
        windows.append([])
        for each in _windows(labels, row, height, touching):
            windows[-1].append(each)
            work += EACH + each.width * each.height
            if work > WORK_MAX:
                return Rows(ink, labels, [], 0)
    read = [_read_row(ink, labels, row, height, network) for row, height in zip(windows, heights, strict=True)]
    for place, (row, height) in enumerate(zip(rows, heights, strict=True)):
        high = [digit.height for word in read[place] if not word.unlike for digit in word.digits]
        if high and (higher := float(np.median(high))) > HIGHER * height:
            read[place] = _read_row(ink, labels, list(_windows(labels, row, higher, touching)), higher, network)
    digits = _without_slashes(_without_specks(_without_faint(_without_text(read))), network.names)
    return Rows(ink, labels, [row for row in digits if row], drawn + sum(map(segment.area_of, rows)))


def _read_row(ink: Ink, labels: Plane, windows: list[Window], height: float, network: Classifier) -> list[Word]:
    """Return the words on the cheapest path through the windows of a row with digits of a ``height``."""
    found = _found(ink, labels, [each for each in windows if each.height >= BODY * height], height, network)
    paths: list[tuple[float, list[Taken]]] = [(0.0, []), *[(np.inf, [])] * windows[-1].last]
    for each in windows:
        before, taken = paths[each.first]
        size = each.width / DIGIT_WIDTH if each.width > height else min(height, max(each.width, each.height))
        ways = [paths[each.last], (before + each.cut + SKIPPED * size / height, [*taken, (each, None)])]
        if digit := found.get(each):
            ways.append((before + digit.cost, [*taken, (each, digit)]))
        paths[each.last] = min(ways, key=lambda way: way[0])
    return _words(paths[-1][1], height)


def _words(taken: list[Taken], height: float) -> list[Word]:
    """Split the windows on a path into words, at the spaces between them."""
    words: list[Word] = []
    end = -np.inf
    for window, digit in taken:
        left, _, right, _ = segment.box_of(window.pieces)
        digits, unlike = words.pop() if words and left - end <= SPACE * height else Word([], 0)
        unlike += digit.cost >= CERTAIN if digit else window.height >= BODY * height
        words.append(Word([*digits, digit] if digit else digits, unlike))
        end = max(end, right)
    return words


def _without_text(rows: list[list[Word]]) -> list[list[Found]]:
    """Return the digits of rows without words of letters; if a page has a sure word, a lower limit applies to all."""
    surely = any(word.unlike >= max(UNLIKE, 1 + word.like) for row in rows for word in row)
    return [
        [digit for word in row if not (surely and word.unlike >= max(1, word.like)) for digit in word.digits]
        for row in rows
    ]


def _without_faint(rows: list[list[Found]]) -> list[list[Found]]:
    """Return the digits of rows without those that are much fainter than most, such as folds of the paper."""
    limit = FAINT * float(np.median([each.strength for row in rows for each in row] or [0.0]))
    return [[each for each in row if each.strength >= limit] for row in rows]


def _without_specks(rows: list[list[Found]]) -> list[list[Found]]:
    """Return the rows that do not consist of low straight strokes only, as those of faint squared paper do."""
    limit = LOW * float(np.median([each.height for row in rows for each in row if not each.straight] or [0]))
    return [row for row in rows if any(each.height >= limit or not each.straight for each in row)]


def _without_slashes(rows: list[list[Found]], names: Sequence[str]) -> list[list[Found]]:
    """Return the digits of rows without slashes: straight 1s inside a row that lean farther than the page's digits.

    If the digits lean differently, as by many hands, some 1s lean as far. A slash must then also be higher than digits.
    """
    leans = [each.lean for row in rows for each in row if not each.straight]
    if not leans:
        return rows
    limit = float(np.median(leans)) + LEANING
    height = float(np.median([each.height for row in rows for each in row]))
    least = 0.0 if np.std(leans) <= ALIKE else BRACKET * height

    def is_slash(each: Found) -> bool:
        return names[each.digit] == "1" and each.straight and each.lean > limit and each.height >= least

    return [[*row[:1], *(each for each in row[1:-1] if not is_slash(each)), *row[1:][-1:]] for row in rows]


def _found(ink: Ink, labels: Plane, windows: list[Window], height: float, network: Classifier) -> dict[Window, Found]:
    """Return the windows of a row that the network takes for digits."""
    if not windows:  # such as for a slanted line, of which no piece is high
        return {}
    planes, strengths = zip(*(segment.isolate(ink, labels, each.pieces) for each in windows), strict=True)
    images = np.stack(list(map(normalise, planes)))
    distances = -network.scores(images)
    nearest = distances.min(axis=1)
    limit = CERTAIN + np.quantile(nearest, NEAREST) if network.threshold is None else network.threshold
    uneven = np.abs(np.log([each.height / height for each in windows]))
    costs = [each.cut for each in windows] + np.maximum(0, nearest - limit + CERTAIN) + UNEVEN * uneven
    return {
        each: Found(each.pieces, image, float(cost), row, strength)
        for each, image, cost, row, strength in zip(windows, images, costs, distances, strengths, strict=True)
        if row.min() <= limit
    }


def _windows(labels: Plane, row: list[Component], height: float, touching: float) -> Iterator[Window]:
    """Yield the windows of a row from which a path is built."""
    pieces = [piece for each in row for piece in _cut(labels, each, height, touching)]
    pieces.sort(key=lambda piece: piece[0].left + piece[0].right)
    for first in range(len(pieces)):
        for last in range(first + 1, len(pieces) + 1):
            group, cuts = zip(*pieces[first:last], strict=True)
            left, top, right, bottom = segment.box_of(group)
            wide, tall = right - left, bottom - top
            gap = group[-1].left - max((each.right for each in group[:-1]), default=right)
            if gap > GAP * height or (last > first + 1 and wide > WIDE * max(height, tall)):
                break
            yield Window(first, last, group, wide, tall, cuts[-1])


def _cut(labels: Plane, whole: Component, height: float, touching: float) -> Iterator[tuple[Component, float]]:
    """Yield the pieces of a component, each with the cost of the cut at its right end."""
    label, left, top, right, bottom, *_ = whole
    if whole.height < BODY * height or right - left <= touching * min(height, whole.height):
        yield whole, 0.0
        return
    mine = (labels[top:bottom, left:right] == label).astype(np.uint8)
    ink = mine.sum(axis=0)
    step = max(2, int(STEP * height))
    blocks = np.pad(ink, (0, -len(ink) % step), constant_values=bottom).reshape(-1, step)
    places = (np.arange(0, len(ink), step) + blocks.argmin(axis=1))[1:-1]
    places = places[ink[places] <= STROKE * height]
    for start, stop in pairwise([0, *places.tolist(), len(ink)]):
        x, y, width, tall = cv2.boundingRect(mine[:, start:stop])
        x, y = left + start + x, top + y
        cost = 0.0 if stop == len(ink) else CUT * float(ink[stop]) / height
        yield whole._replace(left=x, top=y, right=x + width, bottom=y + tall, area=int(ink[start:stop].sum())), cost
