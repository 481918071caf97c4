"""What the network makes of the candidates for a digit on a picture, and the choice among them."""

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

LOOK: Final = 512  # pixels of the longer side at which a page is looked at first
SPECK: Final = 0.03  # of the longest component: what is shorter is no part of a digit
SMALLEST: Final = 5  # pixels of a digit's longer side
COMPARABLE: Final = 0.4  # of the digit's longer side, or height: what is larger and apart could be another digit
HIGH: Final = 0.7  # of the highest digit's height: of digits so high, the surest is taken, not a bracket beside it
DIGITS: Final = 0.5  # of the ink in rows, in two digits or more: they are several, not parts of one thing

# Prior, in squared distance, were all ink left over, without what touches the page's edge, frames, and what is farther
# away than the candidate is long, as the holes of a binder are.
UNEXPLAINED: Final = 40
MARKED: Final = 1.0  # prior where an underline or a block is left out: among a user's own classes it may be part of one
IN_REFUSAL: Final = 0.5  # of the prior counts beside the distance where the threshold decides


@dataclass(frozen=True)
class Candidate:
    """A way to read a picture: some ink, and what the network says of it."""

    image: Plane  # (28, 28), white on black: what the network reads
    ink: Plane  # (h, w), 0 to 255, of the box and a little around it
    box: Box  # in pixels of what was looked at
    dark: bool  # dark ink on a light background
    local: bool = False  # told from the background near it
    others: int = 0  # comparable components beside them
    prior: float = 0.0  # what is added to the distance
    distances: NDArray[Any] = field(default_factory=lambda: np.zeros(10))  # (k,), squared, to each glyph

    @property
    def score(self) -> float:
        """The squared distance to the nearest glyph and the prior; the lowest is chosen."""
        return float(self.distances.min()) + self.prior


@dataclass(frozen=True)
class Reading:
    """What was read in a picture.

    ``page`` is the picture, upright and opaque, as it was looked at. ``candidates`` is in the order of their scores;
    empty if nothing stands out.
    """

    digit: int | None  # the label of its class; None: no digit, for ``reason``
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
        """Whether the picture already was as MNIST's are."""
        return np.array_equal(segment.grey(self.page), self.chosen.image)

    @property
    def beside(self) -> str:
        """What to say of comparable components beside the digit; nothing where there are none."""
        others = self.chosen.others if self.candidates else 0
        return f"; {others} more beside it: --all reads them" if others else ""


def read_picture(source: Source, network: Classifier | None = None, *, rotate: int = 0) -> Plane:
    """Return a picture of a digit, of any size and mode, as (28, 28) uint8, white on black.

    Of the ways to read it, it is the one that the network, the bundled model if None, answers best. A picture that
    already has MNIST's form is returned unchanged, one that has it in black on white, inverted, unless the network
    takes it for no digit.

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
    return np.array(reading.chosen.image)  # which may be a view of what was read, and not to be written to


def read_sample(source: Source, *, as_is: bool = False) -> Plane:
    """Return a picture to train on as (28, 28) uint8, white on black, without asking a network.

    Of the ways to read it that ``read`` would weigh, it is the plainest: the one with the lowest prior. A network's
    word would favour what it knows already, and it may know other classes.
    ``as_is``: only scaled to fit and centred, as a picture of a garment needs it.

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
    """Return a picture scaled to fit 28x28, and centred."""
    image = Image.fromarray(pixels).convert("L")
    return np.asarray(ImageOps.pad(image, (SIDE, SIDE), Image.Resampling.BILINEAR))


def read(source: Source, network: Classifier, *, name: str | None = None, rotate: int = 0) -> Reading:
    """Read the digit on a picture, turned clockwise by ``rotate`` degrees; of several, one that stands out.

    A network that was trained on pictures as they are, the setting ``as_is``, reads it as it is, too.

    Raises:
        LeNet5Error: ``name`` (else ``source``) cannot be read as a picture.
    """
    return _of_page(decode(source, name, rotate=rotate), network)


def read_digits(source: Source, network: Classifier | None = None, *, name: str | None = None, rotate: int = 0) -> Text:
    """Return all digits on a picture in reading order, as ``network`` reads them, the bundled model if None.

    Where there are none in rows, as a page may not be all paper, or where a network reads pictures as they are, it is
    the one digit on it, if it is one.

    Args:
        source: a path, bytes, an open file, a Pillow image, or an array (h, w), (h, w, 3) or (h, w, 4), uint8 or floats
            in [0, 1].
        network: a network, or a committee of several.
        name: what messages call the picture; its path if not given.
        rotate: degrees by which it is turned clockwise first, a multiple of 90.

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
    probability, distance = float(one.probabilities.max()), float(one.chosen.distances.min())
    return Text([[Digit(one.digit, probability, distance, one.box)]], page)


def _of_page(page: Page, network: Classifier) -> Reading:
    """Return the one digit of a page; of several, one that stands out."""
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
    left, top, right, bottom = found[0].box
    refused = _reason(found[0], network) is not None
    if refused or right - left > bottom - top:
        least = 0 if refused else COMPARABLE * (bottom - top)  # what is lower, beside a wide 0, is a camera's date
        several = [each for each in _of_several(look, network) if each.box[3] - each.box[1] > least]
        found = sorted([*found, *several], key=lambda each: each.score)
    return _chosen(found, network, look, page)


def _chosen(found: list[Candidate], network: Classifier, look: Plane, page: Page) -> Reading:
    """Return what is said of a page by the first candidate."""
    reason = _reason(found[0], network)
    digit = None if reason else int(found[0].distances.argmin())
    return Reading(digit, reason, look, scaled(found[0].box, look.shape[1::-1], page.size), found)


def _reason(chosen: Candidate, network: Classifier) -> str | None:
    """Return why a candidate is no digit; None if it is one, as everything is to a network without a threshold."""
    distance, against = float(chosen.distances.min()), IN_REFUSAL * chosen.prior
    if network.threshold is None or distance + against <= network.threshold:
        return None
    prior, limit = distance <= network.threshold, network.threshold
    above = distance + against if prior else distance
    places = next((n for n in (1, 2, 3) if f"{above:.{n}f}" != f"{limit:.{n}f}"), 4)  # at which they differ
    half = f", {above:.{places}f} with half the prior" if prior else ""
    name = network.names[int(chosen.distances.argmin())]
    return f"the nearest glyph, {name}, is at {distance:.{places}f}{half}, beyond {limit:.{places}f}"


def _scored(candidates: list[Candidate], network: Classifier) -> list[Candidate]:
    """Return candidates with their distances, in the order of their scores."""
    if not candidates:
        return []
    distances = -network.scores(np.stack([each.image for each in candidates]))
    scored = [replace(each, distances=row) for each, row in zip(candidates, distances, strict=True)]
    return sorted(scored, key=lambda each: each.score)


def _of_several(look: Plane, network: Classifier) -> list[Candidate]:
    """Return the surest of the high digits of a page that shows little but several, each whole; else nothing."""
    try:
        rows = lines.find(look, network, touching=np.inf)
    except LeNet5Error:  # more marks than digits
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
    """Tell whether digits are all straight strokes but no 1s, such as a W in pieces or the edges of a page.

    They lean unlike each other, or one of them touches the page's edge.
    """
    cut = any(piece.edge for each in digits for piece in each.pieces)
    return all(each.straight for each in digits) and (cut or float(np.ptp([each.lean for each in digits])) > LEANING)


def _candidates(look: Plane) -> list[Candidate]:
    """Return the plain ways to read a page, without the network's word; a picture in MNIST's form is the only one."""
    shades, *hidden = segment.shades_of(look)
    for dark, image in ((False, shades), (True, 255 - shades)):
        if is_normal(image):
            left, top, width, height = cv2.boundingRect(image)
            return [Candidate(image, image, (left, top, left + width, top + height), dark)]
    return _of_inks(ink for each in (shades, *hidden) for ink in segment.inks(each))


def _further(look: Plane) -> list[Candidate]:
    """Return further ways to read a page that is not plain: its strongest ink alone, and each sheet on it."""
    strong = segment.inks(segment.grey(look), segment.STRONG)
    return _of_inks([*strong, *(ink for sheet in segment.sheets(look) for ink in segment.inks(segment.grey(sheet)))])


def _of_inks(inks: Iterable[Ink]) -> list[Candidate]:
    """Return the candidates of ink hypotheses, each with the page's lines and without."""
    candidates: list[Candidate] = []
    for ink in inks:
        labels, found = segment.components(ink.mask, minimum=2)
        candidates += _of_ink(ink, labels, found)
        if without := segment.without_lines(ink, labels, found):
            candidates += _of_ink(without, *segment.components(without.mask, minimum=2))
    return candidates


def _of_ink(ink: Ink, labels: Plane, found: list[Component]) -> Iterator[Candidate]:
    """Yield what may be one digit of an ink hypothesis: the longest component, inside the page or at all, or all."""
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
