"""Segment a page: hypotheses about its ink, the ink's connected components, and the groups that may be one digit."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from lenet5_cli.pictures.decode import Box

Plane: TypeAlias = NDArray[Any]  # uint8: OpenCV's stubs do not say which numbers its functions return

# Ink and background.
CONTRAST: Final = 20  # of 255: the minimum contrast of ink; the paper's grain has less
RIVAL: Final = 0.8  # of the stronger polarity's contrast: dark corners of a photo give the other polarity as much
WINDOW: Final = 0.2  # of the longer side: the window for the local background; wider than any stroke
# Deviation of the local background from the page's shade, as a fraction of the contrast. Up to EVEN, only the page's
# shade is used as background, beyond UNEVEN only the local one. Between them both are; the local one is the more likely
# from STRAY on.
EVEN, STRAY, UNEVEN = 0.06, 0.12, 0.24
TILE: Final = 64  # pixels of the longer side: a smaller picture may be cut out so tightly that strokes fill the window
TWO_SHADES: Final = 0.9  # of the variance: if two shades explain more of such a picture, its light is even
MISFIT: Final = 10.0  # prior of the less likely background between EVEN and UNEVEN
STRONGEST: Final = 0.0003  # of the pixels: full ink is the mean of the strongest; a small digit has this many pixels
LEVELS: Final = {0.4: 0.0, 0.2: 5.0}  # thresholds for ink as fractions of full ink, and priors: faint ink may be grain

# Colours and soft edges.
GLANCE: Final = 256  # pixels of the longer side of the copy that is searched for hidden ink
COLOURED: Final = 0.4  # of full ink, in each pixel's best channel: the threshold for certain ink
HIDDEN: Final = 0.7  # of a pixel's contrast in its best channel: with less in the page's channel, ink may be missed
LOST: Final = 0.05  # of the ink: if more is hidden, the page has pens of several colours
GRAIN: Final = 9  # neighbouring shades that are counted together to find the most common one
THUMB: Final = 96  # pixels of the longer side of the copy in which the channels' contrast is measured
SLOW: Final = THUMB // 4  # pixels of that copy: changes over a longer distance are due to the light
SOFT: Final = 0.04  # of a digit's longer side: the width of its soft edges

# Ruled lines and boxes.
RUN: Final = 0.12  # of the page's longer side: the length for which a ruled line must be straight, its run
RUN_MIN: Final = 16  # pixels: in small pictures, strokes of a pen of one pixel are straight for a shorter run, too
BOXED: Final = 40  # pixels: the minimum shorter side of a box
NEAR_SIDE: Final = 0.06  # of the shorter side: the maximum distance of a box's sides from the lines' bounding box
DRAWN: Final = 0.5  # of each side: the minimum of straight lines along it; where strokes cross a side, these are kept
INKED: Final = 0.5  # of the bounding box: the maximum ink of a box; a solid has more
SIDE_RUN: Final = 0.5  # of the shorter side: the run of a box's side, or of a line that divides a table
SIDE_LENGTH: Final = 0.85  # of the box's side: the minimum length of such a line
OUTSIDE: Final = 0.25  # of the bounding box's side: how far a digit may extend beyond its box
SPAN: Final = 0.8  # of the page's parallel side: the minimum length of a ruled line; strokes are hardly ever as long
SLIM: Final = 8  # the minimum ratio of a line's run to its width; strokes as straight are shorter
DRIFT: Final = 12  # the ratio of a line's run to its maximum drift: nearly 5 degrees
OWN: Final = 0.3  # quantile of the widths along a line that is its own width: elsewhere strokes lie on it
WIDENED: Final = 1.3  # of that width, plus 2 pixels: where the ink is thicker, a stroke crosses the line and is kept

# Frames and marks.
FRAMES: Final = 100  # the longest components, which may be frames or marks; limits the work on a page of specks
FRAMED: Final = 0.05  # of a frame's or sheet's longer side: a shorter component is a speck on it
FLAT: Final = 4  # the minimum ratio of width to height of an underline
FILLED: Final = 0.9  # of the bounding box: the minimum area of a block; a thick 0 with a closed loop has about pi / 4
SQUARE: Final = 0.4  # of the longer side: the minimum width of a block; a slimmer one may be a 1
DOT: Final = 0.5  # of the longest stroke: a shorter block is a dot

# Sheets on a desk.
SHEET: Final = 0.05  # of the page's pixels: the minimum area of a sheet; smaller parts are shapes
ON_SHEET: Final = 60  # of 255: the minimum difference, in any channel, of something on a sheet from the sheet's median
EDGES: Final = 2  # the maximum number of page edges that a sheet touches; with three, it is a side of the page
ALONE: Final = 4  # the maximum number of sheets of one lightness that are also read one by one; more are cards in a set
SOLID: Final = 0.6  # of the bounding box: the minimum area of a sheet; a square at 20 degrees has it, a letter less
BORDER: Final = 0.01  # of a sheet's longer side: the width of its soft edge and its shadow
RULED: Final = 0.008  # of the page's longer side: wider lines of a form divide a sheet
NEAR: Final = 0.125  # of the page's longer side: the radius of the window for the shade of a pixel outside a sheet
FEW: Final = 1e-3  # of the pixels of the window: if fewer are on the sheet, the shade is the mean of the whole sheet


class Ink(NamedTuple):
    """A hypothesis about the ink on a page."""

    plane: Plane  # (h, w), 0 paper to 255 full ink
    mask: Plane  # (h, w), 1 where it is ink, else 0
    dark: bool  # dark ink on a light background
    local: bool  # thresholded against the local background, not against one shade of the page
    prior: float  # penalty of the hypothesis, which is added to the squared distance to a glyph

    @property
    def kind(self) -> tuple[bool, bool, float]:
        """The kind of hypothesis, which does not depend on the size of the page."""
        return self.dark, self.local, self.prior


class Component(NamedTuple):
    """A connected component of ink; ``right`` and ``bottom`` are exclusive."""

    label: int
    left: int
    top: int
    right: int
    bottom: int
    area: int  # pixels
    edge: bool  # touches the page's edge

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""
        return self.bottom - self.top

    @property
    def length(self) -> int:
        """The longer side in pixels."""
        return max(self.right - self.left, self.height)

    def near(self, box: Box, distance: float) -> bool:
        """Tell whether the component is less than ``distance`` from a box, horizontally and vertically."""
        left, top, right, bottom = box
        return (
            left - distance < self.right
            and self.left < right + distance
            and top - distance < self.bottom
            and self.top < bottom + distance
        )

    @property
    def flat(self) -> bool:
        """Whether the component is as wide and low as an underline."""
        return self.right - self.left >= FLAT * self.height

    @property
    def block(self) -> bool:
        """Whether the component fills its bounding box and is not slim."""
        width = self.right - self.left
        return self.area >= FILLED * width * self.height and min(width, self.height) >= SQUARE * self.length

    def underlines(self, other: "Component") -> bool:
        """Tell whether the component is below at least half of another, at most that one's length away."""
        shared = min(self.right, other.right) - max(self.left, other.left)
        below = other.bottom <= self.bottom and self.top < other.bottom + other.length
        return below and 2 * shared >= other.right - other.left


def grey(page: Plane) -> Plane:
    """Return the channel of a page (h, w) or (h, w, 3) with the most contrast between ink and paper, (h, w).

    Only changes over short distances count; those over long distances are due to the light.
    """
    if page.ndim == 2:
        return page
    small = reduced(page, THUMB).astype(np.float32)
    detail = small - cv2.blur(small, (SLOW, SLOW))
    return cv2.extractChannel(page, int((detail**2).sum(axis=(0, 1)).argmax()))


def shades_of(page: Plane) -> Iterator[Plane]:
    """Yield a page (h, w) or (h, w, 3) in one channel, (h, w): that of ``grey`` and, if this hides ink, another one.

    The second shows how far each pixel is, in any channel, from the page's most common shade. It is for pages with pens
    of several colours.
    """
    yield grey(page)
    if page.ndim == 3 and _hides_ink(reduced(page, GLANCE)):
        yield 255 - _apart(page)


def _hides_ink(page: Plane) -> bool:
    """Tell whether part of a page's ink (h, w, 3) has much less contrast in the page's best channel than in another."""
    apart, shades = _apart(page), grey(page)
    ink = apart > max(CONTRAST, COLOURED * _full(apart))
    hidden = ink & (cv2.absdiff(shades, _commonest(shades)) < HIDDEN * apart)
    return bool(hidden.sum() > LOST * ink.sum())


def _apart(page: Plane) -> Plane:
    """Return the largest difference, over the channels, of each pixel (h, w, 3) from the page's most common shade."""
    farthest: Plane = np.maximum.reduce([cv2.absdiff(each, _commonest(each)) for each in cv2.split(page)])
    return farthest


def _commonest(shades: Plane) -> Plane:
    """Return an array (h, w) filled with the most common of the shades (h, w)."""
    counts = np.bincount(shades.ravel(), minlength=256)
    return np.full_like(shades, int(np.convolve(counts, np.ones(GRAIN), "same").argmax()))


def reduced(pixels: Plane, side: int) -> Plane:
    """Reduce pixels (h, w) or (h, w, 3) to a longer side of at most ``side``."""
    scale = side / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    return cv2.resize(pixels, [max(1, round(scale * n)) for n in pixels.shape[1::-1]], interpolation=cv2.INTER_AREA)


def inks(shades: Plane) -> Iterator[Ink]:
    """Yield hypotheses about the ink of shades (h, w), one for each threshold and polarity, the stronger first.

    The background is the page's most common shade, on an unevenly lit page the local one; if it is unclear whether the
    light is even, both are tried. A small picture of two shades is taken for evenly lit. Nothing is yielded if no ink
    differs from its background by ``CONTRAST``.
    """
    page = _commonest(shades)
    size = (round(WINDOW * max(shades.shape)) | 1,) * 2
    window = cv2.getStructuringElement(cv2.MORPH_RECT, size)
    near = [
        cv2.blur(cv2.morphologyEx(shades, kind, window, borderType=cv2.BORDER_REPLICATE), size)
        for kind in (cv2.MORPH_CLOSE, cv2.MORPH_OPEN)
    ]
    strays = [cv2.mean(cv2.absdiff(each, page))[0] for each in near]
    stray = min(strays) / max(1.0, _full(cv2.absdiff(shades, page)))
    if max(shades.shape) <= TILE and _has_two_shades(shades):
        stray = 0.0
    if stray <= UNEVEN:
        yield from _on(shades, page, page, local=False, prior=MISFIT if stray > STRAY else 0)
    if stray > EVEN:
        yield from _on(shades, *near, local=True, prior=0 if stray > STRAY else MISFIT)


def _has_two_shades(shades: Plane) -> bool:
    """Tell whether most of the variance of shades (h, w) is between the two classes of Otsu's threshold."""
    _, light = cv2.threshold(shades, 0, 1, cv2.THRESH_OTSU)
    classes = shades[light == 1], shades[light == 0]
    within = sum(each.size * each.var() for each in classes if each.size)
    return bool(within < (1 - TWO_SHADES) * shades.size * shades.var())


def _on(shades: Plane, light: Plane, dark: Plane, *, local: bool, prior: float) -> Iterator[Ink]:
    """Yield the hypotheses of dark ink on the background ``light`` and of light ink on ``dark``, (h, w) each."""
    planes = {True: cv2.subtract(light, shades), False: cv2.subtract(shades, dark)}
    contrasts = {is_dark: _full(plane) for is_dark, plane in planes.items()}
    for is_dark, contrast in sorted(contrasts.items(), key=lambda each: -each[1]):
        if contrast >= max(CONTRAST, RIVAL * max(contrasts.values())):
            ink = cv2.convertScaleAbs(planes[is_dark], alpha=255 / contrast)
            for level, unlike in LEVELS.items():
                yield Ink(ink, (ink > 255 * level).astype(np.uint8), is_dark, local, prior + unlike)


def without_lines(ink: Ink, labels: Plane, found: Sequence[Component]) -> Ink | None:
    """Return a hypothesis without lines over most of the page and without boxes that touch something; None if no such.

    ``labels`` and ``found`` are the connected components, at least those of ``BOXED`` pixels, the longest first.
    """
    height, width = ink.mask.shape
    if (run := RUN * max(height, width)) < RUN_MIN:
        return None
    mask = without_rules(without_boxes(ink.mask, labels, found), run, (SPAN * width, SPAN * height))
    removed = cv2.subtract(ink.mask, mask)
    kept = mask | (1 - cv2.dilate(removed, np.ones((3, 3), np.uint8)))
    return ink._replace(plane=ink.plane * kept, mask=mask) if removed.any() else None


def _full(plane: Plane) -> float:
    """Return the value of full ink in a plane: the mean of the strongest pixels."""
    place = -min(plane.size, max(9, round(STRONGEST * plane.size)))
    return float(np.partition(plane.ravel(), place)[place:].mean())


def without_rules(mask: Plane, run: float, shortest: tuple[float, float]) -> Plane:
    """Remove ruled lines, lines of forms and sides of boxes from a mask (h, w), but keep the strokes that cross them.

    Such lines are straight and slim for ``run`` pixels everywhere. ``shortest`` is their minimum length in pixels, for
    horizontal and for vertical ones.
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
    """Remove the sides of boxes and tables from a mask (h, w) if something in them touches the sides.

    ``labels`` and ``found`` are the connected components, at least those of ``BOXED`` pixels, the longest first.
    """
    left = mask.copy()
    for each in found[:FRAMES]:
        if min(each.right - each.left, each.height) < BOXED:
            continue
        box = np.s_[each.top : each.bottom, each.left : each.right]
        shape = (labels[box] == each.label).astype(np.uint8)
        left[box] = cv2.subtract(left[box], _box_lines(shape))
    return left


def _box_lines(shape: Plane) -> Plane:
    """Return the sides of a box, and lines in it as long, in a shape (h, w), of which a part may be outside the box.

    All is 0 if the shape has no box, or hardly anything else.
    """
    nothing = np.zeros_like(shape)
    if shape.mean() > INKED:
        return nothing
    sides = _lines(shape, (1 - OUTSIDE) * np.array(shape.shape))
    if not _is_box(sides):
        return nothing
    _, _, width, height = cv2.boundingRect(sides)
    lines = _lines(shape, np.array([height, width]))
    rest = cv2.subtract(shape, lines)
    return lines if components(rest, FRAMED * max(shape.shape))[1] else nothing


def _lines(shape: Plane, size: NDArray[np.number]) -> Plane:
    """Return the straight lines of a shape (h, w) that could be sides of a box of a size (h, w)."""
    height, width = SIDE_LENGTH * size
    run = SIDE_RUN * min(shape.shape)
    rest = without_rules(np.pad(shape, 1), run, (width, height))[1:-1, 1:-1]
    return cv2.subtract(shape, rest)


def _is_box(lines: Plane) -> bool:
    """Tell whether straight lines (h, w) are along each of the four sides of their bounding box."""
    x, y, width, height = cv2.boundingRect(lines)
    shape, near = lines[y : y + height, x : x + width], round(NEAR_SIDE * min(width, height))
    sides = shape[:near], shape[-near:], shape[:, :near].T, shape[:, -near:].T
    return near > 0 and all(side.any(axis=0).mean() >= DRAWN for side in sides)


def components(mask: Plane, minimum: float = 0) -> tuple[Plane, list[Component]]:
    """Return the labels (h, w) of a mask and its connected components (with 8 neighbours), the longest first.

    Components whose longer side is below ``minimum`` pixels are left out of the list.
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    lengths = stats[1:, cv2.CC_STAT_WIDTH : cv2.CC_STAT_AREA].max(axis=1)  # label 0 is the background
    found = []
    for label in (1 + np.flatnonzero(lengths >= minimum)).tolist():
        left, top, width, height, area = stats[label].tolist()
        right, bottom = left + width, top + height
        edge = left == 0 or top == 0 or right == mask.shape[1] or bottom == mask.shape[0]
        found.append(Component(label, left, top, right, bottom, area, edge))
    return labels, sorted(found, key=lambda each: -each.length)


def holding(frames: Sequence[Component], found: Sequence[Component]) -> NDArray[np.bool_]:
    """Return an array [frame, component] that tells whether the component's bounding box is inside the frame's."""
    outer, inner = (np.array([each[1:5] for each in group]).reshape(-1, 2, 2) for group in (frames, found))
    within = (outer[:, None, 0] < inner[:, 0]) & (inner[:, 1] < outer[:, None, 1])  # horizontally and vertically
    holds: NDArray[np.bool_] = np.logical_and.reduce(within, axis=2)
    return holds


def without_frames(found: Sequence[Component], labels: Plane, fewest: int = 1) -> list[Component]:
    """Return components, the longest first, without frames: those around at least ``fewest`` other components."""
    lengths = np.array([each.length for each in found])
    within = holding(found[:FRAMES], found) & (lengths >= FRAMED * lengths[:FRAMES, None])
    frames = {
        frame
        for frame, inner in zip(found, within, strict=False)
        if sum(_around(frame, found[place], labels) for place in np.flatnonzero(inner).tolist()) >= fewest
    }
    return [each for each in found if each not in frames]


def _around(frame: Component, other: Component, labels: Plane) -> bool:
    """Tell whether a component has ink on all four sides of another one, which is inside its bounding box."""
    row, column = labels[(other.top + other.bottom) // 2], labels[:, (other.left + other.right) // 2]
    sides = row[: other.left], row[other.right :], column[: other.top], column[other.bottom :]
    return all(bool((side == frame.label).any()) for side in sides)


def without_marks(found: Sequence[Component]) -> list[Component]:
    """Return components, the longest first, without underlines and without a single block, such as a stamp.

    Several blocks are kept, as they are a drawing.
    """
    lines = [each for each in found if each.flat][:FRAMES]
    strokes = [each for each in found if not each.flat and not each.block][:FRAMES]
    marks = {line for line in lines if any(map(line.underlines, strokes))}
    blocks = [each for each in found if each.block and strokes and each.length >= DOT * strokes[0].length]
    marks.update(blocks if len(blocks) == 1 else [])
    return [each for each in found if each not in marks]


def sheets(page: Plane) -> Iterator[Plane]:
    """Yield each sheet on a page as a page of its own: each large and solid part with something on it.

    Thin lines, such as a table's, do not divide a sheet. Outside the sheet, the new page has the shade of the nearby
    pixels of the sheet. Several sheets of one lightness, such as cards or buttons in a row, are also yielded together
    as one page.
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
    """Return the mask (h, w) of a part of a page, with its holes filled and without its border; None if it is blank."""
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
    """Fill a page (h, w) or (h, w, 3) outside the mask ``inside`` with the mean shade of the nearby pixels inside."""
    size = (2 * round(NEAR * max(inside.shape)) + 1,) * 2
    kept: Plane = cv2.bitwise_and(page, page, mask=inside).astype(np.float32)
    mean = np.array(cv2.mean(page, inside)[: kept[0, 0].size])
    each_colour = (*inside.shape, *[1] * (page.ndim - 2))
    weight = cv2.blur(inside.astype(np.float32), size).reshape(each_colour)
    around = (cv2.blur(kept, size) + FEW * mean) / (weight + FEW)
    return np.where(inside.reshape(each_colour), page, around).astype(np.uint8)


def isolate(ink: Ink, labels: Plane, group: Sequence[Component]) -> tuple[Plane, float]:
    """Return the ink of a group, 0 to 255, with a margin and soft edges but no neighbours, and its mean strength.

    The ink is scaled so that its mean strength becomes 255.
    """
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
    """Return the distance of each pixel of a mask (h, w) from the outline, and the mean stroke width.

    Across a stroke, the mean distance is a quarter of the stroke width.
    """
    distances = cv2.distanceTransform(mask, cv2.DIST_L2, 3)
    return distances, 4 * cv2.mean(distances, mask)[0] - 1


def area_of(group: Iterable[Component]) -> int:
    """Return the number of pixels of components."""
    return sum(each.area for each in group)


def box_of(group: Sequence[Component]) -> Box:
    """Return the common bounding box of components: left, top, right and bottom."""
    _, lefts, tops, rights, bottoms, *_ = zip(*group, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)
