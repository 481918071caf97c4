"""From a page to hypotheses about its ink, the ink's connected components, and those that may be one digit."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from lenet5_cli.pictures.decode import Box

Plane: TypeAlias = NDArray[Any]  # uint8: OpenCV's stubs do not say which numbers its functions return

CONTRAST: Final = 20  # of 255: the faintest ink that is told from the paper's grain
RIVAL: Final = 0.8  # of the stronger contrast: the other polarity has as much where a photo's corners are dark
WINDOW: Final = 0.2  # of the longer side: around a pixel, what its background is taken from; wider than any stroke
# Of the contrast: how far what lies near strays from the page's shade. Up to EVEN that shade alone is the background,
# beyond UNEVEN what lies near alone, and between them the latter is likelier from STRAY on.
EVEN, STRAY, UNEVEN = 0.06, 0.12, 0.24
MISFIT: Final = 10.0  # prior of the less likely background between EVEN and UNEVEN
STRONGEST: Final = 0.0003  # of the pixels: the full ink is their mean, as a small digit on a large page has as many
LEVELS: Final = {0.4: 0.0, 0.2: 5.0}  # of the full ink: what is ink, and its prior: faint ink may be the paper's grain
STRONG: Final = {0.65: 9.0}  # likewise, where the edge of a shadow or a crease of the paper is darker than faint ink
GLANCE: Final = 256  # pixels of the longer side of the copy in which hidden ink is looked for
COLOURED: Final = 0.4  # of a page's full ink, in the colour that tells it best: what surely is ink
HIDDEN: Final = 0.7  # of the contrast in its best colour: ink that the page's one colour tells by less may be missed
LOST: Final = 0.05  # of the ink: where more is hidden, pens are of several colours
GRAIN: Final = 9  # shades next to each other that count as one when the commonest is looked for
THUMB: Final = 96  # pixels of the longer side of the copy in which the colours' contrast is measured
SLOW: Final = THUMB // 4  # pixels of that copy: what changes over more is the light
SOFT: Final = 0.04  # of a digit's longer side: how far its soft edges reach
RUN: Final = 0.12  # of the longer side: a straight run of a page's ruled line
RUN_MIN: Final = 16  # pixels of a run: in small pictures, a pen of one pixel draws straight strokes too
BOXED: Final = 40  # pixels of a box's shorter side at least
NEAR_SIDE: Final = 0.06  # of the shorter side: as near to the edges of a box its sides are
DRAWN: Final = 0.9  # of each side of a box is ink; of a round 0, less
INKED: Final = 0.5  # of a box is ink at most: more is a solid
SIDE_RUN: Final = 0.5  # of the shorter side: a straight run of a box's side, or of a line that divides a table
SIDE_LENGTH: Final = 0.85  # of the box: how long such a line is at least
SPAN: Final = 0.8  # of the side along them: ruled lines reach over more of it; the strokes of a digit hardly do
SLIM: Final = 8  # lengths of a rule's run by its width at least; a stroke that is as straight is shorter
DRIFT: Final = 12  # lengths of a rule's run by how far it may stray: nearly 5 degrees
OWN: Final = 0.3  # quantile of the widths along a rule that is its own: elsewhere strokes lie on it
WIDENED: Final = 1.3  # of that width, and 2 pixels: what a rule is removed up to, so that strokes that cross it stay
FRAMES: Final = 100  # components that may be frames or marks, the longest: it bounds the work on a page of specks
FRAMED: Final = 0.05  # of a frame's or sheet's longer side: what is shorter is a speck on it
FLAT: Final = 4  # heights of an underline, that it is wide at least
FILLED: Final = 0.9  # of its box, which a block fills; a thick 0 whose loop is closed fills less, as an ellipse pi / 4
SQUARE: Final = 0.4  # of its longer side, that a block is wide at least: what is slimmer may be a 1
DOT: Final = 0.5  # of the longest stroke: what fills its box and is shorter is a dot, not a block
SHEET: Final = 0.05  # of the page's pixels: smaller parts are shapes rather than sheets
ON_SHEET: Final = 60  # of 255, in any colour: what differs by more from most of a sheet is on it
EDGES: Final = 2  # of the page, which a sheet reaches at most: with three, it is a side of the page, in other light
ALONE: Final = 4  # sheets of one lightness that are also read one by one; of more, each is a card among others
SOLID: Final = 0.6  # of its box: a letter is less, a square sheet turned by 20 degrees as much
BORDER: Final = 0.01  # of a sheet's longer side: how far its soft edge and its shadow reach
RULED: Final = 0.008  # of the page's longer side: form lines that are wider divide a sheet
NEAR: Final = 0.125  # of the page's longer side: how far around a pixel beyond a sheet its shade is taken from
FEW: Final = 1e-3  # of the pixels near: of fewer inside, the average is the whole sheet's


class Ink(NamedTuple):
    """A hypothesis about the ink on a page."""

    plane: Plane  # (h, w), 0 paper to 255 full ink
    mask: Plane  # (h, w), 1 where it is ink, else 0
    dark: bool  # dark on light
    local: bool  # told from the background near it, not from one shade everywhere
    prior: float  # what speaks against it: how much nearer to a glyph, squared, it must be

    @property
    def kind(self) -> tuple[bool, bool, float]:
        """How it was told from the paper, the same on a page of any size."""
        return self.dark, self.local, self.prior


class Component(NamedTuple):
    """A connected component of ink; ``right`` and ``bottom`` are exclusive."""

    label: int
    left: int
    top: int
    right: int
    bottom: int
    area: int  # pixels
    edge: bool  # on the page's edge

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""
        return self.bottom - self.top

    @property
    def length(self) -> int:
        """The longer side in pixels."""
        return max(self.right - self.left, self.height)

    def near(self, box: Box, distance: float) -> bool:
        """Tell whether it is less than a distance from a box, across and down."""
        left, top, right, bottom = box
        return (
            left - distance < self.right
            and self.left < right + distance
            and top - distance < self.bottom
            and self.top < bottom + distance
        )

    @property
    def flat(self) -> bool:
        """Whether it is as wide and low as an underline."""
        return self.right - self.left >= FLAT * self.height

    @property
    def block(self) -> bool:
        """Whether it fills its box and is not slim."""
        width = self.right - self.left
        return self.area >= FILLED * width * self.height and min(width, self.height) >= SQUARE * self.length

    def underlines(self, other: "Component") -> bool:
        """Tell whether it runs below at least half of another component, no farther away than that is long."""
        shared = min(self.right, other.right) - max(self.left, other.left)
        below = other.bottom <= self.bottom and self.top < other.bottom + other.length
        return below and 2 * shared >= other.right - other.left


def grey(page: Plane) -> Plane:
    """Return a page (h, w) or (h, w, 3) in one shade a pixel, (h, w): the colour that tells ink from paper best.

    Slow changes do not count: they are the light's, where quick ones are ink against paper.
    """
    if page.ndim == 2:
        return page
    small = reduced(page, THUMB).astype(np.float32)
    detail = small - cv2.blur(small, (SLOW, SLOW))
    return cv2.extractChannel(page, int((detail**2).sum(axis=(0, 1)).argmax()))


def shades_of(page: Plane) -> Iterator[Plane]:
    """Yield a page (h, w) or (h, w, 3) in one shade a pixel: as ``grey`` and, where that hides ink, as another.

    The other is how far each pixel is, in any colour, from the page's commonest: pens may be of several colours.
    """
    yield grey(page)
    if page.ndim == 3 and _hides_ink(reduced(page, GLANCE)):
        yield 255 - _apart(page)


def _hides_ink(page: Plane) -> bool:
    """Tell whether some of a page's ink (h, w, 3) is told much worse in its best colour than in another."""
    apart, shades = _apart(page), grey(page)
    ink = apart > max(CONTRAST, COLOURED * _full(apart))
    hidden = ink & (cv2.absdiff(shades, _commonest(shades)) < HIDDEN * apart)
    return bool(hidden.sum() > LOST * ink.sum())


def _apart(page: Plane) -> Plane:
    """Return how far each pixel (h, w, 3) is, in the colour in which it is farthest, from the page's commonest."""
    farthest: Plane = np.maximum.reduce([cv2.absdiff(each, _commonest(each)) for each in cv2.split(page)])
    return farthest


def _commonest(shades: Plane) -> Plane:
    """Return the commonest of shades (h, w), everywhere."""
    counts = np.bincount(shades.ravel(), minlength=256)
    return np.full_like(shades, int(np.convolve(counts, np.ones(GRAIN), "same").argmax()))


def reduced(pixels: Plane, side: int) -> Plane:
    """Return pixels (h, w) or (h, w, 3) with a longer side of at most ``side``."""
    scale = side / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    return cv2.resize(pixels, [max(1, round(scale * n)) for n in pixels.shape[1::-1]], interpolation=cv2.INTER_AREA)


def inks(shades: Plane, levels: dict[float, float] | None = None) -> Iterator[Ink]:
    """Yield the hypotheses about the ink of shades (h, w): at each of the levels, dark or light, the stronger first.

    It is told from the page's commonest shade, on an uneven page from what is near, from both where that is unclear.
    None is yielded where nothing differs from its background by ``CONTRAST``. ``levels``: else ``LEVELS``.
    """
    levels = LEVELS if levels is None else levels
    page = _commonest(shades)
    size = (round(WINDOW * max(shades.shape)) | 1,) * 2
    window = cv2.getStructuringElement(cv2.MORPH_RECT, size)
    near = [
        cv2.blur(cv2.morphologyEx(shades, kind, window, borderType=cv2.BORDER_REPLICATE), size)
        for kind in (cv2.MORPH_CLOSE, cv2.MORPH_OPEN)
    ]
    strays = [cv2.mean(cv2.absdiff(each, page))[0] for each in near]
    stray = min(strays) / max(1.0, _full(cv2.absdiff(shades, page)))
    if stray <= UNEVEN:
        yield from _on(shades, page, page, levels=levels, local=False, prior=MISFIT if stray > STRAY else 0)
    if stray > EVEN:
        yield from _on(shades, *near, levels=levels, local=True, prior=0 if stray > STRAY else MISFIT)


def _on(
    shades: Plane, light: Plane, dark: Plane, *, levels: dict[float, float], local: bool, prior: float
) -> Iterator[Ink]:
    """Yield the hypotheses of dark ink on a light background and of light ink on a dark one, (h, w) each."""
    planes = {True: cv2.subtract(light, shades), False: cv2.subtract(shades, dark)}
    contrasts = {is_dark: _full(plane) for is_dark, plane in planes.items()}
    for is_dark, contrast in sorted(contrasts.items(), key=lambda each: -each[1]):
        if contrast >= max(CONTRAST, RIVAL * max(contrasts.values())):
            ink = cv2.convertScaleAbs(planes[is_dark], alpha=255 / contrast)
            for level, unlike in levels.items():
                yield Ink(ink, (ink > 255 * level).astype(np.uint8), is_dark, local, prior + unlike)


def without_lines(ink: Ink, labels: Plane, found: Sequence[Component]) -> Ink | None:
    """Return a hypothesis without lines over most of the page and boxes that touch something; None where none are.

    ``labels`` and ``found`` are its components, at least those of ``BOXED`` pixels, the longest first.
    """
    height, width = ink.mask.shape
    if (run := RUN * max(height, width)) < RUN_MIN:
        return None
    mask = without_rules(without_boxes(ink.mask, labels, found), run, (SPAN * width, SPAN * height))
    removed = cv2.subtract(ink.mask, mask)
    kept = mask | (1 - cv2.dilate(removed, np.ones((3, 3), np.uint8)))
    return ink._replace(plane=ink.plane * kept, mask=mask) if removed.any() else None


def _full(plane: Plane) -> float:
    """Return the full ink of a plane: the mean of its strongest pixels."""
    place = -min(plane.size, max(9, round(STRONGEST * plane.size)))
    return float(np.partition(plane.ravel(), place)[place:].mean())


def without_rules(mask: Plane, run: float, shortest: tuple[float, float]) -> Plane:
    """Return a mask (h, w) without ruled lines, form lines and the sides of boxes; strokes that cross them stay.

    They are straight and slim for ``run`` pixels everywhere and at least ``shortest`` pixels long, across and down.
    """
    for least in shortest:
        mask = np.ascontiguousarray(_without_horizontal(mask, run, least).T)
    return mask


def _without_horizontal(mask: Plane, run: float, shortest: float) -> Plane:
    near = 1 + round(run / DRIFT)
    wide = cv2.dilate(mask, np.ones((near, 1), np.uint8))
    whole = cv2.morphologyEx(wide, cv2.MORPH_CLOSE, np.ones((1, near), np.uint8))
    straight = cv2.morphologyEx(whole, cv2.MORPH_OPEN, np.ones((1, round(run)), np.uint8))
    if not straight.any():
        return mask
    labels, found = components(straight, shortest)
    left = mask.copy()
    for label, x, y, right, bottom, *_ in found:
        band = np.s_[max(0, y - round(run)) : bottom + round(run), x:right]
        rule = cv2.bitwise_and(mask[band], (labels[band] == label).astype(np.uint8))
        width = float(np.quantile(rule.sum(axis=0), OWN))
        if SLIM * width <= run and right - x >= shortest:
            tall = cv2.morphologyEx(mask[band], cv2.MORPH_OPEN, np.ones((round(WIDENED * width + 2), 1), np.uint8))
            left[band] = cv2.subtract(left[band], cv2.subtract(rule, tall))
    return left


def without_boxes(mask: Plane, labels: Plane, found: Sequence[Component]) -> Plane:
    """Return a mask (h, w) without the sides of boxes and tables that what is in them touches.

    ``labels`` and ``found`` are its components, at least those of ``BOXED`` pixels, the longest first.
    """
    left = mask.copy()
    for each in found[:FRAMES]:
        if min(each.right - each.left, each.height) < BOXED:
            continue
        box = np.s_[each.top : each.bottom, each.left : each.right]
        shape = (labels[box] == each.label).astype(np.uint8)
        if _is_boxed(shape):
            left[box] = cv2.subtract(left[box], cv2.subtract(shape, _without_sides(shape)))
    return left


def _is_boxed(shape: Plane) -> bool:
    """Tell whether a shape (h, w) is slim strokes, with one along each of its four sides."""
    width = round(NEAR_SIDE * min(shape.shape))
    sides = shape[:width], shape[-width:], shape[:, :width].T, shape[:, -width:].T
    return bool(shape.mean() <= INKED) and all(side.any(axis=0).mean() >= DRAWN for side in sides)


def _without_sides(shape: Plane) -> Plane:
    """Return a boxed shape (h, w) without long straight lines; as it is where hardly anything else is in it."""
    height, width = shape.shape
    run, least = SIDE_RUN * min(shape.shape), SIDE_LENGTH * np.array([width, height])
    inner = without_rules(np.pad(shape, 1), run, (least[0], least[1]))[1:-1, 1:-1]
    labels, found = components(inner)
    for each in found:
        if each.right - each.left >= least[0] or each.height >= least[1]:  # a line that was not straight enough
            inner[labels == each.label] = 0
    return inner if components(inner, FRAMED * max(width, height))[1] else shape


def components(mask: Plane, minimum: float = 0) -> tuple[Plane, list[Component]]:
    """Return the labels (h, w) of a mask's connected components (of 8 neighbours) and these, the longest first.

    Those whose longer side is below ``minimum`` pixels are left out.
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    lengths = stats[1:, cv2.CC_STAT_WIDTH : cv2.CC_STAT_AREA].max(axis=1)  # the first is the paper
    found = []
    for label in (1 + np.flatnonzero(lengths >= minimum)).tolist():
        left, top, width, height, area = stats[label].tolist()
        right, bottom = left + width, top + height
        edge = left == 0 or top == 0 or right == mask.shape[1] or bottom == mask.shape[0]
        found.append(Component(label, left, top, right, bottom, area, edge))
    return labels, sorted(found, key=lambda each: -each.length)


def holding(frames: Sequence[Component], found: Sequence[Component]) -> NDArray[np.bool_]:
    """Return [frame, component]: whether the frame's box holds the component's."""
    outer, inner = (np.array([each[1:5] for each in group]).reshape(-1, 2, 2) for group in (frames, found))
    within = (outer[:, None, 0] < inner[:, 0]) & (inner[:, 1] < outer[:, None, 1])  # across, down
    holds: NDArray[np.bool_] = np.logical_and.reduce(within, axis=2)
    return holds


def without_frames(found: Sequence[Component], labels: Plane, fewest: int = 1) -> list[Component]:
    """Return components, the longest first, without boxes and borders: those around at least ``fewest`` others."""
    lengths = np.array([each.length for each in found])
    within = holding(found[:FRAMES], found) & (lengths >= FRAMED * lengths[:FRAMES, None])
    frames = {
        frame
        for frame, inner in zip(found, within, strict=False)
        if sum(_around(frame, found[place], labels) for place in np.flatnonzero(inner).tolist()) >= fewest
    }
    return [each for each in found if each not in frames]


def _around(frame: Component, other: Component, labels: Plane) -> bool:
    """Tell whether a component is on all four sides of another one, which its box holds."""
    row, column = labels[(other.top + other.bottom) // 2], labels[:, (other.left + other.right) // 2]
    sides = row[: other.left], row[other.right :], column[: other.top], column[other.bottom :]
    return all(bool((side == frame.label).any()) for side in sides)


def without_marks(found: Sequence[Component]) -> list[Component]:
    """Return components, the longest first, without underlines and without a lone block, such as a stamp.

    Several blocks are a drawing, and stay.
    """
    lines = [each for each in found if each.flat][:FRAMES]
    strokes = [each for each in found if not each.flat and not each.block][:FRAMES]
    marks = {line for line in lines if any(map(line.underlines, strokes))}
    blocks = [each for each in found if each.block and strokes and each.length >= DOT * strokes[0].length]
    marks.update(blocks if len(blocks) == 1 else [])
    return [each for each in found if each not in marks]


def sheets(page: Plane) -> Iterator[Plane]:
    """Yield each large and solid part of a page with something on it, as a page of its own: a sheet on a desk.

    Thin lines on it, such as a table's, do not divide it. Beyond the edges of the sheet, that page has the shades near
    them. Several of one lightness, such as cards or buttons in a row, are also a page together.
    """
    shades = grey(page)
    for kind in (cv2.THRESH_BINARY, cv2.THRESH_BINARY_INV):
        _, mask = cv2.threshold(shades, 0, 1, kind | cv2.THRESH_OTSU)
        whole = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((1 + round(RULED * max(mask.shape)),) * 2, np.uint8))
        labels, found = components(whole, minimum=FRAMED * max(mask.shape))
        insides = []
        for each in found:
            edges = (each.left == 0) + (each.top == 0) + (each.right == mask.shape[1]) + (each.bottom == mask.shape[0])
            box = (each.right - each.left) * each.height
            if each.area >= max(SHEET * mask.size, SOLID * box) and edges <= EDGES:
                inside = _inside(labels == each.label, page, each.length)
                insides += [] if inside is None else [inside]
        alone = insides if len(insides) <= ALONE else []
        together = [np.maximum.reduce(insides)] if len(insides) > 1 else []
        yield from (_continued(page, each) for each in [*alone, *together])


def _inside(part: Plane, page: Plane, length: int) -> Plane | None:
    """Return a part (h, w) of a page without its border and with what is on it, 1 each; None where nothing is."""
    outline, _ = cv2.findContours(part.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    filled = cv2.drawContours(np.zeros(part.shape, np.uint8), outline, -1, (1,), cv2.FILLED)
    border = np.ones((3 + 2 * round(BORDER * length),) * 2, np.uint8)
    inside = cv2.erode(filled, border, borderType=cv2.BORDER_CONSTANT, borderValue=(0,))
    if not inside.any():
        return None
    colours = page[inside > 0].reshape(int(inside.sum()), -1)
    apart = np.abs(page.reshape(*part.shape, -1) - np.median(colours, axis=0).astype(np.float32)).max(axis=2)
    _, found = components((apart > ON_SHEET) * inside, minimum=FRAMED * length)
    return inside if found else None


def _continued(page: Plane, inside: Plane) -> Plane:
    """Return a page (h, w) or (h, w, 3) that is unchanged inside; outside, it has the mean shade of what is near."""
    size = (2 * round(NEAR * max(inside.shape)) + 1,) * 2
    kept: Plane = cv2.bitwise_and(page, page, mask=inside).astype(np.float32)
    mean = np.array(cv2.mean(page, inside)[: kept[0, 0].size])
    each_colour = (*inside.shape, *[1] * (page.ndim - 2))
    weight = cv2.blur(inside.astype(np.float32), size).reshape(each_colour)
    around = (cv2.blur(kept, size) + FEW * mean) / (weight + FEW)
    return np.where(inside.reshape(each_colour), page, around).astype(np.uint8)


def isolate(ink: Ink, labels: Plane, group: Sequence[Component]) -> tuple[Plane, float]:
    """Return a group's ink and a margin, 0 to 255, with soft edges and without neighbours, and how strong it was."""
    left, top, right, bottom = box_of(group)
    margin = 2 + round(SOFT * max(right - left, bottom - top))
    x, y = max(0, left - margin), max(0, top - margin)
    near = np.s_[y : bottom + margin, x : right + margin]
    plane, around = ink.plane[near], labels[near]
    mine = np.zeros_like(plane)
    inside = np.isin(labels[top:bottom, left:right], [each.label for each in group])
    mine[top - y : bottom - y, left - x : right - x] = inside
    reach = cv2.dilate(mine, np.ones((2 * margin + 1,) * 2, np.uint8))
    kept = cv2.bitwise_and(plane, plane, mask=mine | reach * (around == 0).astype(np.uint8))
    strength = cv2.mean(plane, mine)[0]
    return cv2.convertScaleAbs(kept, alpha=255 / max(1.0, strength)), strength


def strokes(mask: Plane) -> tuple[Plane, float]:
    """Return how far the pixels of a mask (h, w) are from the outline, and the mean width of its strokes.

    Across a stroke, the mean distance is a quarter of its width.
    """
    distances = cv2.distanceTransform(mask, cv2.DIST_L2, 3)
    return distances, 4 * cv2.mean(distances, mask)[0] - 1


def area_of(group: Iterable[Component]) -> int:
    """Return the pixels of components."""
    return sum(each.area for each in group)


def box_of(group: Sequence[Component]) -> Box:
    """Return left, top, right and bottom of components."""
    _, lefts, tops, rights, bottoms, *_ = zip(*group, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)
