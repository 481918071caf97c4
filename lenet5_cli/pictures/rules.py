"""Ruled lines, form lines and the sides of boxes, and the page without them."""

from collections.abc import Iterator
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
NEAR: Final = 3  # pixels of the copy across a rule that belong to it: no rule is quite straight
VOTES: Final = 0.8  # heights of ink on a line before it is followed (Hough transform)
COVERED: Final = 0.8  # of a rule: its ink; digits side by side on one line cover less
BROKEN: Final = 0.25  # heights: the longest gap without any ink in a rule; between two digits there is more
SLOPE: Final = 0.15  # of a rule at most: 9 degrees
WIDENED: Final = 1.3  # of its median width: what a rule is removed up to, so that strokes that cross it stay
INKED: Final = 0.2  # of what a pixel of the copy stands for: thin rules must not vanish in it
WIDEST: Final = 40  # pixels of a rule that are measured on either side
USUAL: Final = 0.3  # quantile of the widths along a rule that is its own: elsewhere strokes lie on it

# Of a page on which nothing is known of the digits, in longer sides:
PAGE_RUN: Final = 0.12  # a straight run of a ruled line; shorter than where a slope of 1:50 breaks it
PAGE_RUN_MIN: Final = 16  # pixels of a run: in small pictures, a pen of one pixel draws straight strokes too
PAGE_WIDTH: Final = 0.015  # ruled lines are thinner
PAGE_SPAN: Final = 0.8  # of the side along them: lines reach over more of it; the strokes of a digit hardly do


def ruled_lines(mask: Plane) -> Plane:
    """Return where a mask has thin lines, across or down, that go over most of the page; strokes across them stay."""
    lines = np.zeros_like(mask)
    side = max(mask.shape)
    long, thick = max(PAGE_RUN_MIN, round(PAGE_RUN * side)), max(2, round(PAGE_WIDTH * side))
    for across, down in (((long, 1), (1, thick)), ((1, long), (thick, 1))):
        thin = cv2.subtract(mask, cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones(down[::-1], np.uint8)))
        runs = cv2.morphologyEx(thin, cv2.MORPH_OPEN, np.ones(across[::-1], np.uint8))
        *_, width, height = cv2.boundingRect(runs)
        if max(width / mask.shape[1] * (across[0] > 1), height / mask.shape[0] * (across[1] > 1)) > PAGE_SPAN:
            lines |= runs
    return lines


def without_rules(mask: Plane, height: float) -> Plane:
    """Return a mask (h, w) without the rules on it, the digits being ``height`` pixels high.

    Horizontal and vertical lines are found by a Hough transform; what is no thicker than they are is removed.
    """
    across = _rules(mask, height, None)
    upright = _rules(mask.T, height, across.T).T
    return cv2.subtract(mask, cv2.bitwise_or(across, upright))


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
    thin = _shrunk(cv2.subtract(mask, thick), size)
    strokes = np.ones((1, max(3, round(STROKES * unit))), np.uint8)
    thin &= cv2.morphologyEx(cv2.dilate(thin, np.ones((NEAR, 1), np.uint8)), cv2.MORPH_OPEN, strokes)
    lines = cv2.HoughLinesP(thin, 1, np.pi / 180, round(VOTES * unit), None, shortest * unit, GAP * unit)
    if lines is None:
        return none
    ink = cv2.dilate(_shrunk(mask, size), np.ones((NEAR, 1), np.uint8))
    between = None if ends is None else cv2.dilate(_shrunk(ends, size), np.ones((NEAR, NEAR), np.uint8))
    along, widths = np.zeros_like(thin), []
    for y, x in _runs(lines.reshape(-1, 4).astype(int).tolist(), ink, BROKEN * unit):
        joins = between is not None and between[y[0], x[0]] and between[y[-1], x[-1]]
        if len(x) >= (SIDE if joins else LENGTH) * unit:
            widths.append(np.quantile(_widths(mask, (y / scale).astype(int), (x / scale).astype(int)), USUAL))
            right, down = BEYOND * unit, BEYOND * unit * (y[-1] - y[0]) / len(x)
            start, stop = (round(x[0] - right), round(y[0] - down)), (round(x[-1] + right), round(y[-1] + down))
            cv2.line(along, start, stop, 1, NEAR)
    if not widths:
        return none
    kernel = np.ones((round(WIDENED * float(np.median(widths)) + 2), 1), np.uint8)
    lean = cv2.subtract(mask, cv2.morphologyEx(mask, cv2.MORPH_OPEN, kernel))
    return cv2.bitwise_and(lean, cv2.resize(along, mask.shape[::-1], interpolation=cv2.INTER_NEAREST))


def _runs(segments: list[list[int]], ink: Plane, gap: float) -> Iterator[tuple[Plane, Plane]]:
    """Yield the rows and columns of each run of ink along nearly horizontal segments, whose gaps are smaller."""
    for x0, y0, x1, y1 in segments:
        if abs(y1 - y0) > SLOPE * (x1 - x0):
            continue
        x, y = np.arange(x0, x1 + 1), np.rint(np.linspace(y0, y1, x1 - x0 + 1)).astype(int)
        inked = np.flatnonzero(ink[y, x])
        for run in np.split(inked, 1 + np.flatnonzero(np.diff(inked) > gap)):
            here = slice(run[0], run[-1] + 1) if len(run) else slice(0)
            if len(run) > COVERED * len(x[here]):
                yield y[here], x[here]


def _shrunk(mask: Plane, size: list[int]) -> Plane:
    """Return a smaller mask, with ink where a fifth of what a pixel stands for is ink."""
    return (cv2.resize(255 * mask, size, interpolation=cv2.INTER_AREA) > 255 * INKED).astype(np.uint8)


def _widths(mask: Plane, rows: Plane, columns: Plane) -> Plane:
    """Return the length of the vertical run of ink through each place."""
    reach = WIDEST
    padded = np.pad(mask, ((reach, reach + 1), (0, 0)))
    around = padded[
        np.minimum(rows, len(mask) - 1) + np.arange(2 * reach + 1)[:, None], np.minimum(columns, mask.shape[1] - 1)
    ]
    up, down = around[reach::-1].cumprod(axis=0).sum(axis=0), around[reach + 1 :].cumprod(axis=0).sum(axis=0)
    return (up + down)[up > 0] if up.any() else np.ones(1)
