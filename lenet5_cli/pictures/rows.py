"""Group a page's connected components into rows of digits, without boxes, ruled lines, the page's edge and brackets."""

from typing import Final

import cv2
import numpy as np

from lenet5_cli.pictures import segment
from lenet5_cli.pictures.segment import Component, Ink, Plane

MARKS_MAX: Final = 2000  # components of at least DUST pixels; limits the work: a full sheet has some hundred
DUST: Final = 8  # pixels: components whose longer side is shorter are not part of a digit
BAR: Final = 0.5  # of the page's width: a component this wide at the page's edge is a title bar, not touching digits

# In heights of a digit, which is a median on a page, and the quantile ROW in a row.
UPPER: Final = 0.75  # quantile of all heights: the median is of heights of at least BODY of it, as most may be specks
BODY: Final = 0.5  # lower components are not digits, but signs, dots or parts of digits
LARGE: Final = 3.0  # higher components are drawings or the page's edge
BEYOND: Final = 1.6  # higher components at the page's edge belong to something outside the page, such as the desk
ROW: Final = 0.4  # quantile of the heights in a row that is the height of its digits, since brackets are higher
TRIED: Final = 0.25  # of the highest component, perhaps a bracket: lower ones are ignored for the height of a row
OVERLAP: Final = 0.45  # of the lower height: the minimum vertical overlap of neighbours in a row
BESIDE: Final = 3  # the last components of a row with which the next must overlap: a digit may be in pieces
ASIDE: Final = 0.25  # of the lower height: rows side by side are one row if they overlap vertically by more
EXPONENT: Final = 2  # components: the maximum of a row that is inside another one
HELD: Final = 0.15  # of a box's height: a digit in a box is higher, a speck in the loop of a digit is lower

# Ruled lines, and the remnants of slanted boxes after the removal of ruled lines.
RULE: Final = 1.3  # heights of the highest digits: no stroke of a digit is straight for so long
HIGHEST: Final = 0.9  # quantile of the heights on a page for the highest digits: a 1 or 9 may be twice the median
SLIM: Final = 5  # minimum ratio of length to width of a remnant
THIN: Final = 1.5  # of the width of the removed lines: wider strokes are from a pen

# Brackets.
BRACKET: Final = 1.1  # heights of a digit: brackets and many slashes are higher than the digits beside them
BOWED: Final = 0.14  # of a digit's height: the minimum bow of a bracket, which 7 in 1,000 of MNIST's 1s have
SMOOTH: Final = 0.03  # of a bracket's height: the maximum standard deviation from a parabola
SLENDER: Final = 0.25  # of a bracket's height: its maximum width in any row of pixels


class TooManyError(Exception):
    """An ink hypothesis has more than ``MARKS_MAX`` components."""


def rows_of(ink: Ink, *, brackets: bool) -> tuple[Plane, list[list[Component]], int]:
    """Return the labels (h, w), the rows from the top, and the area of the drawings in an ink hypothesis.

    The rows hold the components that may be digits. Drawings are the components that are too high for digits and not at
    the page's edge. With ``brackets``, brackets are kept, as one may be a class of the network.

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
    """Return the height of the digits on a mask, 0 if there are none, the labels, and the components."""
    labels, found = segment.components(mask, DUST)
    if len(found) > MARKS_MAX:
        raise TooManyError
    found = _without_frames(found, labels)
    heights = np.array([each.height for each in found if each.height >= DUST])
    if not len(heights):
        return 0.0, labels, []
    return float(np.median(heights[heights >= BODY * np.quantile(heights, UPPER)])), labels, found


def _highest(found: list[Component], height: float) -> float:
    """Return the quantile HIGHEST of the digits' heights, whose median is ``height``, without those at the edge."""
    high = [each.height for each in found if BODY * height <= each.height <= LARGE * height and not each.edge]
    return float(np.quantile([height, *high], HIGHEST))


def _without_frames(found: list[Component], labels: Plane) -> list[Component]:
    """Return components without the boxes around digits: around one that is not much smaller, or around several."""
    heights = np.array([each.height for each in found])
    held = segment.holding(found, found) & (heights >= HELD * heights[:, None])
    rest = [each for each, inner in zip(found, held, strict=True) if not inner.any()]
    return segment.without_frames(rest, labels, fewest=2)


def _without_remnants(found: list[Component], labels: Plane, whole: Plane, rules: Plane) -> list[Component]:
    """Return components without remnants of ruled lines, such as the sides of a slanted box.

    A remnant is straight, slim and no wider than the removed lines, ``rules``, and was part of a component with one of
    them before the removal, in the labels ``whole``.
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
    """Return the mask (h, w) of a component in its bounding box."""
    shape: Plane = labels[each.top : each.bottom, each.left : each.right] == each.label
    return shape


def _in_rows(found: list[Component]) -> list[list[Component]]:
    """Group components into rows, the leftmost row first: each overlaps the last ones of its row, which may slope."""
    rows: list[list[Component]] = []
    for each in sorted(found, key=_middle):
        beside = [segment.box_of(row[-BESIDE:]) for row in rows]
        shared = [min(each.bottom, bottom) - max(each.top, top) for _, top, _, bottom in beside]
        place = int(np.argmax(shared)) if rows else 0
        if rows and shared[place] > OVERLAP * min(each.height, beside[place][3] - beside[place][1]):
            rows[place].append(each)
        else:
            rows.append([each])
    return rows


def _is_edge(row: list[Component], width: int) -> bool:
    """Tell whether a row is only the edge of a page, which is ``width`` pixels wide.

    All its high components touch the edge, and there is only one of them, or one is a wide bar.
    """
    height = height_of(row)
    high = [each for each in row if each.height >= BODY * height]
    bar = max(each.right - each.left for each in high) >= BAR * width
    return all(each.edge for each in high) and (bar or len(high) == 1)


def height_of(row: list[Component]) -> float:
    """Return the height of the digits in a row."""
    highest = max(each.height for each in row)
    return float(np.quantile([each.height for each in row if each.height >= TRIED * highest], ROW))


def _joined(rows: list[list[Component]]) -> list[list[Component]]:
    """Join rows that continue another row a little higher or lower, such as exponents; return the rows from the top."""
    joined: list[list[Component]] = []
    for row in rows:
        shared = [_overlap(row, _neighbours(row, other)) for other in joined]
        if shared and max(shared) > ASIDE:
            place = int(np.argmax(shared))
            joined[place] = sorted([*joined[place], *row], key=_middle)
        else:
            joined.append(row)
    return sorted(joined, key=lambda row: np.mean([each.top + each.bottom for each in row]))


def _middle(each: Component) -> int:
    """Return twice the horizontal centre of a component."""
    return each.left + each.right


def _neighbours(row: list[Component], other: list[Component]) -> list[Component]:
    """Return another row if a row is to its right, or its components on both sides of a row inside it, an exponent."""
    left, _, right, _ = segment.box_of(row)
    before = [each for each in other if _middle(each) <= 2 * left]
    after = [each for each in other if _middle(each) >= 2 * right]
    if len(before) + len(after) < len(other) or (after and len(row) > EXPONENT):
        return []
    return [*before[-BESIDE:], *after[:BESIDE]] if after else before


def _overlap(row: list[Component], other: list[Component]) -> float:
    """Return by how much of the lower height two groups overlap vertically; 0 if one is empty."""
    if not other:
        return 0.0
    (_, top, _, bottom), (_, high, _, low) = segment.box_of(row), segment.box_of(other)
    return (min(bottom, low) - max(top, high)) / min(bottom - top, low - high)


def _without_brackets(row: list[Component], labels: Plane) -> list[Component]:
    """Return the components of a row without brackets."""
    height = height_of(row)
    least, bow = BRACKET * height, BOWED * height
    return [each for each in row if each.height < least or not _is_bracket(_shape(each, labels), bow)]


def _is_bracket(shape: Plane, bow: float) -> bool:
    """Tell whether a shape (h, w) is a single stroke along a parabola, from top to bottom, bowed by ``bow`` pixels."""
    height, width = shape.shape
    left, right = shape.argmax(axis=1), width - shape[:, ::-1].argmax(axis=1)
    if (right - left).max() > SLENDER * height:  # such as the loops of an 8, which hold little ink
        return False
    middle = shape @ np.arange(width) / shape.sum(axis=1)
    places = np.linspace(-1, 1, height)
    parabola = np.polynomial.Polynomial.fit(places, middle, 2)
    stray = np.std(middle - parabola(places))
    return bool(abs(parabola.coef[2]) >= bow and stray <= SMOOTH * height)


def _on_page(row: list[Component]) -> list[Component]:
    """Return the components of a row without high ones that touch the page's edge."""
    height = height_of(row)
    return [each for each in row if not each.edge or each.height < BEYOND * height]
