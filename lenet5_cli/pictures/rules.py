"""Ruled lines, form lines and the sides of boxes, and the page without them."""

from typing import Final

import cv2
import numpy as np

from lenet5_cli.pictures.segment import Plane

# In heights of a digit:
LENGTH: Final = 1.7  # of a rule at least: no stroke is as long
SIDE: Final = 1.0  # of a box's side at least, between two rules
GAP: Final = 0.9  # in a rule, where strokes cross it
STROKES: Final = 0.25  # of a rule at least between two gaps
THIN: Final = 0.15  # of a rule at most
BEYOND: Final = 0.4  # that a rule may go on unseen

DETAIL: Final = (
    64  # pixels of a digit's height in the copy in which rules are looked for: at 32, arcs count as straight
)
VOTES: Final = 0.8  # heights of ink on a line before it is followed (Hough transform)
COVERED: Final = 0.8  # of a rule: its ink; digits side by side on one line cover less
BROKEN: Final = 0.25  # heights: the longest gap without any ink in a rule; between two digits there is more
SLOPE: Final = 0.15  # of a rule at most: 9 degrees
WIDENED: Final = 1.3  # of its median width: what a rule is removed up to, so that strokes that cross it stay
USUAL: Final = 0.3  # quantile of the widths along a rule that is its own: elsewhere strokes lie on it


def without_rules(mask: Plane, height: float) -> Plane:
    """Return a mask (h, w) without the rules on it, the digits being ``height`` pixels high.

    Horizontal and vertical lines are found by a Hough transform; what is no thicker than they are is removed.
    """
    across = _rules(mask, height, None)
    upright = _rules(mask.T, height, across.T).T
    return mask & ~(across | upright)


def _rules(mask: Plane, height: float, ends: Plane | None) -> Plane:
    """Return the pixels of the horizontal rules; shorter ones count if they run from one of ``ends`` to another."""
    mask = np.ascontiguousarray(mask)
    none = np.zeros_like(mask)
    shortest = LENGTH if ends is None or not ends.any() else SIDE
    if shortest * height > mask.shape[1]:
        return none
    scale = min(1.0, DETAIL / height)
    unit = scale * height
    size = [max(1, round(scale * side)) for side in mask.shape[::-1]]
    thick = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((max(4, round(THIN * height)), 1), np.uint8))
    thin = _shrunk(mask & ~thick, size)
    strokes = np.ones((1, max(3, round(STROKES * unit))), np.uint8)
    thin &= cv2.morphologyEx(cv2.dilate(thin, np.ones((3, 1), np.uint8)), cv2.MORPH_OPEN, strokes)
    lines = cv2.HoughLinesP(thin, 1, np.pi / 180, round(VOTES * unit), None, shortest * unit, GAP * unit)
    if lines is None:
        return none
    ink = cv2.dilate(_shrunk(mask, size), np.ones((3, 1), np.uint8))
    between = None if ends is None else cv2.dilate(_shrunk(ends, size), np.ones((5, 5), np.uint8))
    along, widths = np.zeros_like(thin), []
    for x0, y0, x1, y1 in lines.reshape(-1, 4).tolist():
        slope, count = (y1 - y0) / max(1, x1 - x0), x1 - x0 + 1
        x, y = np.arange(x0, x1 + 1), np.rint(np.linspace(y0, y1, max(0, count))).astype(int)
        inked = np.flatnonzero(np.concatenate([[1], ink[y, x], [1]]))
        if abs(slope) > SLOPE or len(inked) < COVERED * count or np.diff(inked).max() > BROKEN * unit:
            continue
        if count < LENGTH * unit and not (between is not None and between[y0, x0] and between[y1, x1]):
            continue
        widths.append(np.quantile(_widths(mask, (y / scale).astype(int), (x / scale).astype(int)), USUAL))
        beyond = BEYOND * unit
        start, stop = (round(x0 - beyond), round(y0 - slope * beyond)), (round(x1 + beyond), round(y1 + slope * beyond))
        cv2.line(along, start, stop, 1, 3)
    if not widths:
        return none
    kernel = np.ones((round(WIDENED * float(np.median(widths)) + 2), 1), np.uint8)
    lean = mask & ~cv2.morphologyEx(mask, cv2.MORPH_OPEN, kernel)
    rules: Plane = lean & cv2.resize(along, mask.shape[::-1], interpolation=cv2.INTER_NEAREST)
    return rules


def _shrunk(mask: Plane, size: list[int]) -> Plane:
    """Return a smaller mask, with ink where a fifth of what a pixel stands for has some."""
    return (cv2.resize(255 * mask, size, interpolation=cv2.INTER_AREA) > 50).astype(np.uint8)


def _widths(mask: Plane, rows: Plane, columns: Plane) -> Plane:
    """Return the length of the vertical run of ink through each place."""
    reach = 40
    padded = np.pad(mask, ((reach, reach + 1), (0, 0)))
    around = padded[
        np.minimum(rows, len(mask) - 1) + np.arange(2 * reach + 1)[:, None], np.minimum(columns, mask.shape[1] - 1)
    ]
    up, down = around[reach::-1].cumprod(axis=0).sum(axis=0), around[reach + 1 :].cumprod(axis=0).sum(axis=0)
    return (up + down)[up > 0] if up.any() else np.ones(1)
