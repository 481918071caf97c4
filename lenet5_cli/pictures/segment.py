"""From a page to hypotheses about its ink, the ink's connected components, and those that may be one digit."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Plane: TypeAlias = NDArray[Any]  # uint8: OpenCV's stubs do not say which numbers its functions return

CONTRAST: Final = 20  # of 255: the faintest ink that is told from the paper's grain
WINDOW: Final = 0.2  # of the longer side: around a pixel, what its background is taken from; wider than any stroke
STRONGEST: Final = 0.0003  # of the pixels: the full ink is their mean, as a small digit on a large page has as many
LEVELS: Final = (0.4, 0.2)  # of the full ink: what is ink; the second for strokes that faded
EVEN, UNEVEN = 0.05, 0.2  # of the contrast: how far the background of a page of one shade, of several, strays
GRAIN: Final = 9  # shades next to each other that count as one when the commonest is looked for
COLOURFUL: Final = 0.05  # of the variance: with more of it in colour, brightness does not tell ink from paper
THUMB: Final = 96  # pixels of the longer side of the copy from which the colours' line is computed
RULE_RUN: Final = (
    0.12  # of the longer side: a straight run of a ruled line; shorter than where a slope of 1:50 breaks it
)
RULE_MIN: Final = 16  # pixels of a run: in small pictures, a pen of one pixel draws straight strokes too
RULE_WIDTH: Final = 0.015  # of the longer side: ruled lines are thinner
RULE_SPAN: Final = 0.8  # of the page: lines reach over more of it; the strokes of a digit hardly do
SPECK: Final = 0.05  # of a digit's longer side: smaller components are dust
JOIN: Final = 0.12  # of a digit's longer side: the widest gap between its strokes
STANDING_OUT: Final = 3  # components that are tried as the digit, or as part of it, the longest first
SOFT: Final = 0.04  # of a digit's longer side: how far its soft edges reach


class Ink(NamedTuple):
    """A hypothesis about the ink on a page."""

    plane: Plane  # (h, w), 0 paper to 255 full ink
    mask: Plane  # (h, w), 1 where it is ink, else 0
    dark: bool  # dark on light
    local: bool  # told from the background near it, not from one shade everywhere
    against: float  # 0 where ink of the other shade would differ less from the background, up to 1 where this does
    misfit: float  # 0 where the page is as even, or as uneven, as the background assumes, to 1
    level: float  # of the full ink, from which on it counts as ink
    ruled: bool = False  # with long thin lines in it


class Component(NamedTuple):
    """A connected component of ink; ``right`` and ``bottom`` are exclusive."""

    label: int
    left: int
    top: int
    right: int
    bottom: int
    area: int  # pixels
    edge: int  # pixels on the page's edge

    @property
    def length(self) -> int:
        """The longer side in pixels."""
        return max(self.right - self.left, self.bottom - self.top)


def grey(page: Plane) -> Plane:
    """Return a page (h, w) or (h, w, 3) in one shade a pixel, (h, w): along the line on which colours differ most.

    Slow changes do not count: they are the light's, where quick ones are ink against paper.
    """
    if page.ndim == 2:
        return page
    scale = min(1.0, THUMB / max(page.shape))
    size = [max(1, round(scale * side)) for side in page.shape[1::-1]]
    small = cv2.resize(page, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    detail = (small - cv2.blur(small, (THUMB // 4, THUMB // 4))).reshape(-1, 3)
    chroma = detail - detail.mean(axis=1, keepdims=True)
    if (chroma**2).sum() <= COLOURFUL * (detail**2).sum():
        return cv2.cvtColor(page, cv2.COLOR_RGB2GRAY)
    axis = np.linalg.eigh(detail.T @ detail)[1][:, -1]
    axis /= abs(axis).sum() * (1 if axis.sum() >= 0 else -1)
    darkest = 255 * axis[axis < 0].sum()
    return cv2.transform(page, np.append(axis, -darkest)[None])


def inks(shades: Plane) -> Iterator[Ink]:
    """Yield the hypotheses about the ink of shades (h, w).

    It is dark or light, against the page's commonest shade or what is near, full or faint, ruled lines are ink or not.
    None is yielded where nothing differs from its background by ``CONTRAST``.
    """
    size = (round(WINDOW * max(shades.shape)) | 1,) * 2
    window = cv2.getStructuringElement(cv2.MORPH_RECT, size)
    counts = np.bincount(shades.ravel(), minlength=256)
    paper = int(np.argmax(np.convolve(counts, np.ones(GRAIN), "same")))
    page = np.full_like(shades, paper)
    planes: dict[tuple[bool, bool], Plane] = {
        (True, False): cv2.subtract(page, shades),
        (False, False): cv2.subtract(shades, page),
    }
    strays = []
    for dark, kind in ((True, cv2.MORPH_CLOSE), (False, cv2.MORPH_OPEN)):
        near = cv2.blur(cv2.morphologyEx(shades, kind, window, borderType=cv2.BORDER_REPLICATE), size)
        planes[dark, True] = cv2.subtract(near, shades) if dark else cv2.subtract(shades, near)
        strays.append(cv2.mean(cv2.absdiff(near, page))[0])
    full = {key: _full(plane) for key, plane in planes.items()}
    uneven = float(np.interp(min(strays) / max(1.0, *full.values()), (EVEN, UNEVEN), (0, 1)))
    contrast = {dark: (1 - uneven) * full[dark, False] + uneven * full[dark, True] for dark in (True, False)}
    for (dark, local), plane in planes.items():
        if full[dark, local] >= CONTRAST:
            against = 1 - contrast[dark] / max(1.0, *contrast.values())
            even = 1 - uneven if local else uneven
            yield from _levels(cv2.convertScaleAbs(plane, alpha=255 / full[dark, local]), dark, local, against, even)


def _levels(plane: Plane, dark: bool, local: bool, against: float, misfit: float) -> Iterator[Ink]:
    """Yield the hypotheses that take a plane's full ink, its faint too, or what is left without ruled lines."""
    for level in LEVELS:
        ink = Ink(plane, (plane > 255 * level).astype(np.uint8), dark, local, against, misfit, level)
        lines = ruled_lines(ink.mask) if level == LEVELS[0] else np.zeros(0)
        yield ink._replace(ruled=bool(lines.any()))
        if lines.any():
            rest = cv2.bitwise_not(cv2.dilate(lines * 255, np.ones((3, 3), np.uint8)))
            yield ink._replace(plane=cv2.bitwise_and(plane, rest), mask=cv2.bitwise_and(ink.mask, rest))


def _full(plane: Plane) -> float:
    """Return the full ink of a plane: the mean of its strongest pixels."""
    place = -min(plane.size, max(9, round(STRONGEST * plane.size)))
    return float(np.partition(plane.ravel(), place)[place:].mean())


def ruled_lines(mask: Plane) -> Plane:
    """Return where a mask has thin lines, across or down, that go over half of the page; strokes across them stay."""
    lines = np.zeros_like(mask)
    side = max(mask.shape)
    long, thick = max(RULE_MIN, round(RULE_RUN * side)), max(2, round(RULE_WIDTH * side))
    for across, down in (((long, 1), (1, thick)), ((1, long), (thick, 1))):
        thin = cv2.subtract(mask, cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones(down[::-1], np.uint8)))
        runs = cv2.morphologyEx(thin, cv2.MORPH_OPEN, np.ones(across[::-1], np.uint8))
        *_, width, height = cv2.boundingRect(runs)
        if max(width / mask.shape[1] * (across[0] > 1), height / mask.shape[0] * (across[1] > 1)) > RULE_SPAN:
            lines |= runs
    return lines


def components(mask: Plane) -> tuple[NDArray[Any], list[Component]]:
    """Return the labels (h, w) of a mask's connected components (of 8 neighbours) and these, the longest first."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    border = np.concatenate([labels[0], labels[-1], labels[1:-1, 0], labels[1:-1, -1]])
    edges = np.bincount(border, minlength=len(stats)).tolist()
    found = [
        Component(label, left, top, left + width, top + height, area, edge)
        for label, ((left, top, width, height, area), edge) in enumerate(zip(stats.tolist(), edges, strict=True))
    ]
    return labels, sorted(found[1:], key=lambda each: -each.length)  # the first is the paper


def gap(a: Component, b: Component) -> int:
    """Return how many pixels lie between two components' boxes, 0 where these overlap."""
    return max(0, a.left - b.right, b.left - a.right, a.top - b.bottom, b.top - a.bottom)


def groups(found: list[Component]) -> Iterator[list[Component]]:
    """Yield what may be one digit: a component that stands out, it and the strokes near it, and all inside the page."""
    inside = [each for each in found if not each.edge]
    seeds = inside[:STANDING_OUT] + [each for each in found[:1] if each.edge]
    for seed in seeds:
        yield [seed]
        strokes = [
            each for each in found if each.length >= SPECK * seed.length and gap(each, seed) <= JOIN * seed.length
        ]
        if len(strokes) > 1:
            yield strokes
    if len(inside) > 1:
        yield inside


def isolate(ink: Ink, labels: NDArray[Any], group: list[Component]) -> Plane:
    """Return the ink of a group and a margin, 0 to 255, with its soft edges and without its neighbours."""
    left, top, right, bottom = box_of(group)
    margin = 2 + round(SOFT * max(right - left, bottom - top))
    near = np.s_[max(0, top - margin) : bottom + margin, max(0, left - margin) : right + margin]
    plane, around = ink.plane[near], labels[near]
    chosen = np.zeros(int(around.max()) + 1, np.uint8)
    chosen[[each.label for each in group]] = 1
    mine = chosen[around]
    reach = cv2.dilate(mine, np.ones((2 * margin + 1,) * 2, np.uint8))
    away = cv2.dilate(((around > 0) & (mine == 0)).astype(np.uint8), np.ones((3, 3), np.uint8))
    full = cv2.mean(plane, mine)[0]
    kept: Plane = cv2.bitwise_and(plane, plane, mask=mine | (reach > away).astype(np.uint8))
    return cv2.convertScaleAbs(kept, alpha=255 / max(1.0, full))


def box_of(group: list[Component]) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of components."""
    return (
        min(each.left for each in group),
        min(each.top for each in group),
        max(each.right for each in group),
        max(each.bottom for each in group),
    )
