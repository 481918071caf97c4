"""Rows of digits: a page's connected components in rows, without boxes, ruled lines, the page's edge and brackets."""

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from lenet5_cli.pictures import segment
from lenet5_cli.pictures.segment import Component, Ink, Plane

if TYPE_CHECKING:
    from lenet5_cli.pictures.decode import Box

MARKS_MAX: Final = 2000  # components as large as digits: a full sheet has some hundred; it bounds the work
DUST: Final = 8  # pixels of the longer side: what is smaller is none of a digit
BAR: Final = 0.5  # of the page's width: what is as wide and at its edge is a window's title bar, not touching digits

# In heights of a digit: on a page the median, in a row the quantile ROW.
UPPER: Final = 0.75  # quantile of all heights, whose median is that of what has BODY of it: most marks may be specks
BODY: Final = 0.5  # what is lower is no digit: a sign, a dot, a part
LARGE: Final = 3.0  # higher components are drawings or the page's edge
BEYOND: Final = 1.6  # higher components at the page's edge belong to what lies beyond it, such as the desk
ROW: Final = 0.4  # quantile of a row's heights that is a digit's: brackets are higher
TRIED: Final = 0.25  # of the highest component, a bracket perhaps: what is lower says nothing of a row's height
OVERLAP: Final = 0.45  # of the lower height: neighbours in a row share it
BESIDE: Final = 3  # components of a row that the next one stands beside: a digit may be in pieces
ASIDE: Final = 0.25  # of the lower height: two rows, one to the right of the other, are one if they share it
HELD: Final = 0.15  # of a box's height: a digit in it is higher, a speck in the loop of a digit is lower

# Ruled lines, and what their removal leaves of boxes at a slant.
RULE: Final = 1.3  # heights of the highest digits: no stroke runs straight as far
HIGHEST: Final = 0.9  # quantile of a page's heights that counts as theirs: a 1 or a 9 may be twice the median height
SLIM: Final = 5  # lengths of such a remnant by its width at least
THIN: Final = 1.5  # of the width of the ruled lines that were removed: wider strokes are a pen's

# Brackets.
BRACKET: Final = 1.1  # heights of a digit: brackets and many slashes are higher than the digits beside them
BOWED: Final = 0.14  # of a digit's height, that a bracket bows: of MNIST's 1s, 7 in 1,000 do
SMOOTH: Final = 0.03  # of its height: standard deviation from a parabola
SLENDER: Final = 0.25  # of its height, that a bracket is wide in any row of pixels


class TooManyError(Exception):
    """An ink hypothesis has more than ``MARKS_MAX`` components."""


def rows_of(ink: Ink, *, brackets: bool) -> tuple[Plane, list[list[Component]], int]:
    """Return the labels (h, w) of an ink hypothesis, and the rows of components that may be digits, from the top.

    Also returned is how many pixels belong to components that are too high for digits and not at the page's edge.
    ``brackets``: they stay, as one may be a class of its own.

    Raises:
        TooManyError: there are more than ``MARKS_MAX`` components.
    """
    whole, long = segment.components(ink.mask, segment.BOXED)
    unboxed = segment.without_boxes(ink.mask, whole, long)
    height, _, found = _measured(unboxed)
    run = RULE * _highest(found, height)
    mask = segment.without_rules(unboxed, run, (run, run)) if height else unboxed
    height, labels, found = _measured(mask)
    drawings = [each for each in found if each.height > LARGE * height]
    found = [each for each in found if each.height <= LARGE * height]
    found = _without_remnants(found, labels, whole, cv2.subtract(ink.mask, mask))
    rows = [row for row in _in_rows(found) if any(each.height >= BODY * height for each in row)]
    rows = _joined([row for row in rows if len(rows) == 1 or not _is_edge(row, ink.mask.shape[1])])
    if not brackets:
        rows = [row for row in (_without_brackets(row, labels) for row in rows) if row]
    return labels, [_on_page(row) for row in rows], segment.area_of(each for each in drawings if not each.edge)


def _measured(mask: Plane) -> tuple[float, Plane, list[Component]]:
    """Return the height of the digits on a mask, 0 if there are none, the labels of its components, and these."""
    labels, found = segment.components(mask, DUST)
    if len(found) > MARKS_MAX:
        raise TooManyError
    found = _without_frames(found, labels)
    heights = np.array([each.height for each in found if each.height >= DUST])
    if not len(heights):
        return 0.0, labels, []
    return float(np.median(heights[heights >= BODY * np.quantile(heights, UPPER)])), labels, found


def _highest(found: list[Component], height: float) -> float:
    """Return the height of the highest of most digits, whose median is ``height``; borders at the edge are none."""
    high = [each.height for each in found if BODY * height <= each.height <= LARGE * height and not each.edge]
    return float(np.quantile([height, *high], HIGHEST))


def _without_frames(found: list[Component], labels: Plane) -> list[Component]:
    """Return components without boxes for digits: around one that is not much smaller, or around several."""
    heights = np.array([each.height for each in found])
    held = segment.holding(found, found) & (heights >= HELD * heights[:, None])
    rest = [each for each, inner in zip(found, held, strict=True) if not inner.any()]
    return segment.without_frames(rest, labels, fewest=2)


def _without_remnants(found: list[Component], labels: Plane, whole: Plane, rules: Plane) -> list[Component]:
    """Return components without those that the removal of ``rules`` has left of what, ``whole``, was one with them.

    They are straight, slim and no wider than the rules, as the sides of a box at a slant.
    """
    if not rules.any():
        return found
    ruled, (_, width) = np.unique(whole[rules > 0]), segment.strokes(rules)

    def is_remnant(each: Component) -> bool:
        shape = _shape(each, labels)
        before = whole[each.top : each.bottom, each.left : each.right][shape][0]
        return before in ruled and _is_line(shape, THIN * width)

    return [each for each in found if not is_remnant(each)]


def _is_line(shape: Plane, width: float) -> bool:
    """Tell whether a shape (h, w) is straight, slim and no wider than ``width``."""
    _, sides, _ = cv2.minAreaRect(np.argwhere(shape).astype(np.int32))
    slim = max(sides) + 1 >= SLIM * (min(sides) + 1)
    return slim and segment.strokes(np.pad(shape.astype(np.uint8), 1))[1] <= width


def _shape(each: Component, labels: Plane) -> Plane:
    """Return the mask (h, w) of a component in its box."""
    shape: Plane = labels[each.top : each.bottom, each.left : each.right] == each.label
    return shape


def _in_rows(found: list[Component]) -> list[list[Component]]:
    """Return components in rows, the leftmost row first: each beside the last of its row, so that a row may slope."""
    rows: list[list[Component]] = []
    for each in sorted(found, key=lambda each: each.left + each.right):
        beside = [segment.box_of(row[-BESIDE:]) for row in rows]
        shared = [min(each.bottom, bottom) - max(each.top, top) for _, top, _, bottom in beside]
        place = int(np.argmax(shared)) if rows else 0
        if rows and shared[place] > OVERLAP * min(each.height, beside[place][3] - beside[place][1]):
            rows[place].append(each)
        else:
            rows.append([each])
    return rows


def _is_edge(row: list[Component], width: int) -> bool:
    """Tell whether a row is only the edge of a page of a ``width``.

    All its high components touch the edge, and there is only one, or one is a bar along it.
    """
    height = height_of(row)
    high = [each for each in row if each.height >= BODY * height]
    bar = max(each.right - each.left for each in high) >= BAR * width
    return all(each.edge for each in high) and (bar or len(high) == 1)


def height_of(row: list[Component]) -> float:
    """Return the height of a row's digits."""
    highest = max(each.height for each in row)
    return float(np.quantile([each.height for each in row if each.height >= TRIED * highest], ROW))


def _joined(rows: list[list[Component]]) -> list[list[Component]]:
    """Return rows from the top; one that continues another to its right, a little higher or lower, is joined to it."""
    joined: list[list[Component]] = []
    boxes: list[Box] = []
    for row in rows:
        left, top, _, bottom = box = segment.box_of(row)
        shared = [
            (min(bottom, low) - max(top, high)) / min(bottom - top, low - high) if right <= left else 0.0
            for _, high, right, low in boxes
        ]
        if shared and max(shared) > ASIDE:
            place = int(np.argmax(shared))
            joined[place] += row
            boxes[place] = segment.box_of(joined[place])
        else:
            joined.append(row)
            boxes.append(box)
    return sorted(joined, key=lambda row: np.mean([each.top + each.bottom for each in row]))


def _without_brackets(row: list[Component], labels: Plane) -> list[Component]:
    """Return the components of a row without brackets."""
    height = height_of(row)
    least, bow = BRACKET * height, BOWED * height
    return [each for each in row if each.height < least or not _is_bracket(_shape(each, labels), bow)]


def _is_bracket(shape: Plane, bow: float) -> bool:
    """Tell whether a shape (h, w) is one stroke along a parabola, top to bottom, that bows by ``bow`` pixels."""
    height, width = shape.shape
    left, right = shape.argmax(axis=1), width - shape[:, ::-1].argmax(axis=1)
    if (right - left).max() > SLENDER * height:  # as the loops of an 8, of little ink
        return False
    middle = shape @ np.arange(width) / shape.sum(axis=1)
    places = np.linspace(-1, 1, height)
    parabola = np.polynomial.Polynomial.fit(places, middle, 2)
    stray = np.std(middle - parabola(places))
    return bool(abs(parabola.coef[2]) >= bow and stray <= SMOOTH * height)


def _on_page(row: list[Component]) -> list[Component]:
    """Return the components of a row without high ones that reach over the page's edge."""
    height = height_of(row)
    return [each for each in row if not each.edge or each.height < BEYOND * height]
