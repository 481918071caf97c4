"""Read the digit on a picture: score the candidates with the network, and choose the best."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from lenet5_cli.engine.losses import softmax
from lenet5_cli.engine.network import Classifier, LeNet5, demand_network
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.pictures import lines, segment
from lenet5_cli.pictures.decode import MAX_STRIP, Box, Page, Source, decode, name_of, scaled
from lenet5_cli.pictures.lines import LEANING, Digit, Found, Text
from lenet5_cli.pictures.normalise import SIDE, is_normal, normalise
from lenet5_cli.pictures.segment import Component, Ink, Plane

LOOK: Final = 512  # pixels of the longer side of the reduced copy in which a single digit is looked for
SPECK: Final = 0.03  # of the longest component's length: a shorter component is not part of a digit
SMALLEST: Final = 5  # pixels: the minimum longer side of a digit
COMPARABLE: Final = 0.4  # of the digit's longer side: a larger separate component could be another digit
HIGH: Final = 0.7  # of the highest digit's height: the surest of the digits this high is chosen, not a bracket
DIGITS: Final = 0.5  # of the ink in rows: if two digits or more hold as much, they are not parts of a single shape

# The prior, in squared distance, if all ink were left unexplained. Ink does not count if it touches the page's edge, if
# it is a frame, or if it is farther away than the candidate is long, such as the holes of a binder.
UNEXPLAINED: Final = 40
MARKED: Final = 1.0  # prior if an underline or a block is left out, which may be part of a class of the user's own
DISAGREEMENT: Final = 0.35  # fraction of the disagreement that is added to the distance when a digit may be refused


@dataclass(frozen=True)
class Candidate:
    """A candidate for the digit on a picture: some ink, and the scores of the network."""

    image: Plane  # (28, 28), white on black: what the network reads
    ink: Plane  # (h, w), 0 to 255, of the box with a small margin
    box: Box  # in pixels of the copy of the page that was read
    dark: bool  # dark ink on a light background
    local: bool = False  # thresholded against the local background
    others: int = 0  # number of comparable components beside it
    prior: float = 0.0  # added to the squared distance
    distances: NDArray[Any] = field(default_factory=lambda: np.zeros(10))  # (k,), squared, to each glyph
    disagreement: float = 0.0  # of all candidates, about the digit of this one

    @property
    def distance(self) -> float:
        """The squared distance to the nearest glyph."""
        return float(self.distances.min())

    @property
    def score(self) -> float:
        """The distance plus the prior; the candidate with the lowest score is chosen."""
        return self.distance + self.prior

    @property
    def rejection(self) -> float:
        """The distance plus a fraction of the disagreement; a higher number than the network's threshold is refused."""
        return self.distance + DISAGREEMENT * self.disagreement


@dataclass(frozen=True)
class Reading:
    """The result of reading a picture.

    ``page`` is the upright, opaque and reduced copy of the picture that was read. ``candidates`` are in the order of
    their scores; there are none if nothing stands out.
    """

    digit: int | None  # the label of the class; None if it is no digit, for which ``reason`` gives the reason
    reason: str | None
    page: Plane  # (h, w) or (h, w, 3)
    box: Box | None  # of the digit, in pixels of the picture before it was reduced
    candidates: list[Candidate]

    @property
    def chosen(self) -> Candidate:
        """The candidate that was chosen."""
        return self.candidates[0]

    @property
    def probabilities(self) -> NDArray[Any]:
        """The probabilities (k,) of the chosen candidate."""
        probabilities: NDArray[Any] = softmax(-self.chosen.distances[None])[0]
        return probabilities

    @property
    def unchanged(self) -> bool:
        """Whether the picture already had MNIST's form."""
        return np.array_equal(segment.grey(self.page), self.chosen.image)

    @property
    def beside(self) -> str:
        """The part of a message about comparable components beside the digit; empty if there are none."""
        others = self.chosen.others if self.candidates else 0
        return f"; {others} more beside it: --all reads them" if others else ""


def read_picture(source: Source, network: Classifier | None = None, *, rotate: int = 0) -> Plane:
    """Return a picture of a digit, of any size and mode, as (28, 28) uint8, white on black.

    Of several candidates, the one with the best score is returned; the network is the bundled model if None. A picture
    that already has MNIST's form is returned unchanged, or inverted if it is black on white, unless the network refuses
    it as no digit.

    Args:
        source: a path, bytes, an open file, a Pillow image, or an array (h, w), (h, w, 3) or (h, w, 4), uint8 or floats
            in [0, 1].
        network: a network, or a committee of several.
        rotate: degrees by which the picture is turned clockwise first, a multiple of 90.

    Raises:
        LeNet5Error: the source cannot be read as a picture, or nothing is on it.
    """
    network = LeNet5.load() if network is None else network
    demand_network(network)
    reading = read(source, network, rotate=rotate)
    if not reading.candidates:
        raise LeNet5Error(f"{name_of(source)}: {reading.reason}; expected a digit on a plain background")
    return np.array(reading.chosen.image)  # a copy, as this may be a read-only view of the picture


def read_sample(source: Source, *, as_is: bool = False) -> Plane:
    """Return a picture to train on as (28, 28) uint8, white on black, without a network.

    Of the candidates of ``read``, the one with the lowest prior is returned. A network is not used because it would
    favour what it has learned already, and it may have other classes.
    With ``as_is``, the picture is only scaled to fit and centred, as needed for pictures of garments.

    Raises:
        LeNet5Error: the source cannot be read as a picture, or nothing is on it.
    """
    pixels = decode(source).pixels
    if as_is:
        return _fitted(pixels)
    found = _candidates(segment.reduced(pixels, LOOK))
    if not found:
        raise LeNet5Error(f"{name_of(source)}: nothing on it stands out")
    return min(found, key=lambda each: each.prior).image


def _fitted(pixels: Plane) -> Plane:
    """Return a picture scaled to fit into 28x28 pixels, and centred."""
    image = Image.fromarray(pixels).convert("L")
    return np.asarray(ImageOps.pad(image, (SIDE, SIDE), Image.Resampling.BILINEAR))


def read(source: Source, network: Classifier, *, name: str | None = None, rotate: int = 0) -> Reading:
    """Read the digit on a picture, turned clockwise by ``rotate`` degrees; of several, one that stands out.

    If the network was trained with the setting ``as_is``, the picture is only scaled and centred.

    Raises:
        LeNet5Error: ``name`` (else ``source``) cannot be read as a picture.
    """
    return _of_page(decode(source, name, rotate=rotate), network)


def read_digits(source: Source, network: Classifier | None = None, *, name: str | None = None, rotate: int = 0) -> Text:
    """Return all digits on a picture in reading order, as ``network`` reads them, the bundled model if None.

    If there are no digits in rows, for instance because the page is not all paper, or if the network was trained with
    ``as_is``, the picture is read as a single digit, which is returned unless it is refused.

    Args:
        source: a path, bytes, an open file, a Pillow image, or an array (h, w), (h, w, 3) or (h, w, 4), uint8 or floats
            in [0, 1].
        network: a network, or a committee of several.
        name: what messages call the picture; its path if not given.
        rotate: degrees by which the picture is turned clockwise first, a multiple of 90.

    Raises:
        LeNet5Error: ``name`` (else ``source``) cannot be read as a picture, or shows too many components.
    """
    name, network = name or name_of(source), LeNet5.load() if network is None else network
    demand_network(network)
    page = decode(source, name, rotate=rotate, longest=MAX_STRIP)
    try:
        rows = None if network.config.as_is else lines.find(page.pixels, network)
    except LeNet5Error as error:
        raise LeNet5Error(f"{name}: {error}") from None
    digits = [[each.on(page, rows.ink.mask) for each in row] for row in rows.digits] if rows else []
    large = [[each for each in row if max(np.subtract(each.box[2:], each.box[:2])) >= SMALLEST] for row in digits]
    if any(large):
        return Text([row for row in large if row], page)
    one = _of_page(page, network)
    if one.digit is None or one.box is None:
        return Text([], page)
    probability, distance = float(one.probabilities.max()), one.chosen.distance
    return Text([[Digit(one.digit, probability, distance, one.box)]], page)


def _of_page(page: Page, network: Classifier) -> Reading:
    """Read a single digit on a page; of several, one that stands out."""
    look = segment.reduced(page.pixels, LOOK)
    if network.config.as_is:
        image, whole = _fitted(page.pixels), (0, 0, *look.shape[1::-1])
        found = _scored([Candidate(image, image, whole, dark=False)], network)
        return _chosen(found, network, look, page)
    found = _scored(_candidates(look), network)
    if not found:
        return Reading(None, "nothing on it stands out", look, None, [])
    if _reason(found[0], network) or found[0].local:
        found = sorted([*found, *_scored(_further(look), network)], key=lambda each: each.score)
    if _reason(found[0], network):
        found = sorted([*found, *_of_several(look, network)], key=lambda each: each.score)
    return _chosen(found, network, look, page)


def _chosen(found: list[Candidate], network: Classifier, look: Plane, page: Page) -> Reading:
    """Return the reading of a page by its best candidate, the first one."""
    reason = _reason(found[0], network)
    digit = None if reason else int(found[0].distances.argmin())
    return Reading(digit, reason, look, scaled(found[0].box, look.shape[1::-1], page.size), found)


def _reason(chosen: Candidate, network: Classifier) -> str | None:
    """Return why a candidate is refused as no digit; None if it is accepted, or the network has no threshold."""
    if network.threshold is None or chosen.rejection <= network.threshold:
        return None
    distance, limit = chosen.distance, network.threshold
    above = distance if distance > limit else chosen.rejection
    places = next((n for n in (1, 2, 3) if f"{above:.{n}f}" != f"{limit:.{n}f}"), 4)  # decimals that make them differ
    against = f", {above:.{places}f} with the other candidates" if distance <= limit else ""
    name = network.names[int(chosen.distances.argmin())]
    return f"the nearest glyph, {name}, is at {distance:.{places}f}{against}, beyond {limit:.{places}f}"


def _scored(candidates: list[Candidate], network: Classifier) -> list[Candidate]:
    """Return candidates with their distances and disagreements, in the order of their scores.

    The disagreement is how much farther all candidates are, in the mean weighted by exp(-prior), from the glyph that is
    nearest to one of them. Most hypotheses about the ink of a digit show the same digit. What looks like a digit in
    only one of them, such as a stroke of a letter, is far from that glyph in the mean.
    """
    if not candidates:
        return []
    distances = -network.scores(np.stack([each.image for each in candidates]))
    mean = (softmax(-np.array([[each.prior for each in candidates]])) @ distances)[0]
    disagreements = [max(0.0, float(mean[row.argmin()] - row.min())) for row in distances]
    scored = [
        replace(each, distances=row, disagreement=against)
        for each, row, against in zip(candidates, distances, disagreements, strict=True)
    ]
    return sorted(scored, key=lambda each: each.score)


def _of_several(look: Plane, network: Classifier) -> list[Candidate]:
    """Return the surest of the high digits of a page that shows mainly several digits; otherwise nothing.

    Components are not cut, so each digit is whole.
    """
    try:
        rows = lines.find(look, network, touching=np.inf)
    except LeNet5Error:  # too many components
        return []
    digits = rows.found if rows else []
    if rows is None or len(digits) < 2 or sum(each.cost for each in digits) >= lines.NOISE * len(digits):
        return []
    if _is_strokes(digits):
        return []
    if sum(segment.area_of(each.pieces) for each in digits) < DIGITS * rows.area:
        return []
    ink, others = rows.ink, len(digits) - 1
    heights = [each.box[3] - each.box[1] for each in digits]
    high = [each for each, height in zip(digits, heights, strict=True) if height > HIGH * max(heights)]
    one = min(high, key=lambda each: each.cost)
    plane, _ = segment.isolate(ink, rows.labels, one.pieces)
    box = scaled(one.box, ink.mask.shape[1::-1], look.shape[1::-1])
    return [Candidate(one.image, plane, box, ink.dark, ink.local, others, distances=one.distances)]


def _is_strokes(digits: list[Found]) -> bool:
    """Tell whether digits are all straight strokes but not 1s, such as a W in pieces or the edges of a page.

    They lean differently, or one of them touches the page's edge.
    """
    cut = any(piece.edge for each in digits for piece in each.pieces)
    return all(each.straight for each in digits) and (cut or float(np.ptp([each.lean for each in digits])) > LEANING)


def _candidates(look: Plane) -> list[Candidate]:
    """Return the usual candidates of a page, not yet scored; a picture in MNIST's form is the only candidate."""
    shades, *hidden = segment.shades_of(look)
    for dark, image in ((False, shades), (True, 255 - shades)):
        if is_normal(image):
            left, top, width, height = cv2.boundingRect(image)
            return [Candidate(image, image, (left, top, left + width, top + height), dark)]
    return _of_inks(ink for each in (shades, *hidden) for ink in segment.inks(each))


def _further(look: Plane) -> list[Candidate]:
    """Return further candidates for a page with an uneven background: those of each sheet on it."""
    return _of_inks(ink for sheet in segment.sheets(look) for ink in segment.inks(segment.grey(sheet)))


def _of_inks(inks: Iterable[Ink]) -> list[Candidate]:
    """Return the candidates of ink hypotheses, each with the page's lines and without them."""
    candidates: list[Candidate] = []
    for ink in inks:
        labels, found = segment.components(ink.mask, minimum=2)
        candidates += _of_ink(ink, labels, found)
        if without := segment.without_lines(ink, labels, found):
            candidates += _of_ink(without, *segment.components(without.mask, minimum=2))
    return candidates


def _of_ink(ink: Ink, labels: Plane, found: list[Component]) -> Iterator[Candidate]:
    """Yield the candidates of an ink hypothesis: the longest component that does not touch the edge, or all such ones.

    Frames and marks are left out; other candidates are the longest with these, the longest of all, and all components.
    """
    within = [each for each in found if not each.edge]
    unframed = segment.without_frames(within, labels)
    inside = segment.without_marks(unframed)
    marks = set(unframed).difference(inside)
    whole = [[each for each in group if each.length >= SPECK * group[0].length] for group in (inside, found)]
    groups = [inside[:1], within[:1], found[:1], *whole]
    for place, group in enumerate(groups):
        if not group or group in groups[:place]:
            continue
        left, top, right, bottom = box = segment.box_of(group)
        length = max(right - left, bottom - top)
        if length >= SMALLEST:
            rest = set(inside).difference(group)
            left_over = segment.area_of(each for each in rest if each.near(box, length))
            prior = ink.prior + UNEXPLAINED * left_over / (left_over + segment.area_of(group))
            prior += MARKED if marks.difference(group) else 0
            others = sum(each.length > COMPARABLE * length for each in rest)
            plane, _ = segment.isolate(ink, labels, group)
            yield Candidate(normalise(plane), plane, box, ink.dark, ink.local, others, prior)
