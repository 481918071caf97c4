"""What the network makes of the candidates for a digit on a picture, and the choice among them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter
from typing import Any, Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from lenet5_cli.engine.losses import softmax
from lenet5_cli.engine.network import LeNet5
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.pictures import segment
from lenet5_cli.pictures.decode import Page, Source, decode, name_of, reduced
from lenet5_cli.pictures.normalise import SIDE, is_normal, normalise
from lenet5_cli.pictures.segment import Plane

LOOK: Final = 512  # pixels of the longer side at which a page is looked at first
NEAR: Final = 40  # pixels: a digit that is smaller there is looked at again from nearer, twice as large as the box
SMALLEST: Final = 5  # pixels of a digit's longer side
COMPARABLE: Final = 0.4  # of the digit's longer side: what is longer and apart could be another digit

# The prior, in squared distance to a glyph: what a reading must be nearer by to be chosen over a plainer one.
AGAINST: Final = 15  # ink of the shade that differs less from the page's commonest, as the inside of a loop does
RULED: Final = 5  # long thin lines kept: they are the paper's more often than strokes
MISFIT: Final = 20  # a local background on an even page, where it takes the inside of a loop for ink, or the other way
FAINT: Final = 5  # faint ink: it may be the paper's grain
UNEXPLAINED: Final = 5  # all of the page's ink left over; half of it counts half
SMALL: Final = 15  # nothing of the longest ink: of several digits, the largest stands out
CUT: Final = 5  # ink along the page's edge for the length of the digit

Box: TypeAlias = tuple[int, int, int, int]  # left, top, right, bottom; right and bottom are exclusive


@dataclass(frozen=True)
class Candidate:
    """A way to read a picture: some ink, and what the network says of it."""

    image: Plane  # (28, 28), white on black: what the network reads
    ink: Plane  # (h, w), 0 to 255, of the box and a little around it
    box: Box  # in pixels of what was looked at
    dark: bool  # dark ink on a light background
    local: bool  # told from the background near it
    components: int  # that were joined
    others: int  # comparable components beside them
    prior: float  # what is added to the distance
    distances: NDArray[Any]  # (k,), squared, to each glyph

    @property
    def score(self) -> float:
        """The squared distance to the nearest glyph and the prior; the lowest is chosen."""
        return float(self.distances.min()) + self.prior


@dataclass(frozen=True)
class Reading:
    """What was read in a picture.

    ``page`` is the picture, upright and opaque, as it was looked at: all of it, or from nearer where the digit is
    small. ``candidates`` is in the order of their scores; empty if nothing stands out.
    """

    digit: int | None  # the label of its class; None: no digit, for ``reason``
    reason: str | None
    page: Plane  # (h, w) or (h, w, 3)
    box: Box | None  # of the digit, in pixels of the picture before it was reduced
    candidates: list[Candidate]
    unchanged: bool = False  # the picture already was as MNIST's are

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
    def beside(self) -> str:
        """What to say of comparable components beside the digit; nothing where there are none."""
        others = self.chosen.others if self.candidates else 0
        return f"; {others} more like it beside it: --all reads them" if others else ""


def read_picture(source: Source, network: LeNet5 | None = None, *, rotate: int = 0) -> Plane:
    """Return a picture of a digit, of any size and mode, as (28, 28) uint8, white on black.

    Of the ways to read it, it is the one that the network, the bundled model if None, answers best. A picture that
    already has MNIST's form is returned unchanged, one that has it in black on white, inverted.

    Raises:
        LeNet5Error: the source cannot be read as a picture, or nothing is on it.
    """
    reading = read(source, network or LeNet5.load(), rotate=rotate)
    if not reading.candidates:
        raise LeNet5Error(f"{name_of(source)}: {reading.reason}; expected a digit on a plain background")
    return reading.chosen.image


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
        return _fitted(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) if pixels.ndim == 3 else pixels)
    shades = segment.grey(reduced(pixels, LOOK))
    if ready := _ready(shades):
        return ready[0].image
    plainest = min(_candidates(shades), key=itemgetter(0), default=None)
    if plainest is None:
        raise LeNet5Error(f"{name_of(source)}: nothing on it stands out")
    return plainest[1]().image


def _fitted(shades: Plane) -> Plane:
    """Return shades (h, w) scaled to fit into (28, 28), centred on black."""
    height, width = (max(1, round(SIDE * side / max(shades.shape))) for side in shades.shape)
    kind = cv2.INTER_AREA if max(shades.shape) > SIDE else cv2.INTER_LINEAR
    picture = np.zeros((SIDE, SIDE), np.uint8)
    top, left = (SIDE - height) // 2, (SIDE - width) // 2
    picture[top : top + height, left : left + width] = cv2.resize(shades, (width, height), interpolation=kind)
    return picture


def read(source: Source, network: LeNet5, *, name: str | None = None, rotate: int = 0) -> Reading:
    """Read the digit on a picture, turned clockwise by ``rotate`` degrees; of several, one that stands out.

    Raises:
        LeNet5Error: ``name`` (else ``source``) cannot be read as a picture.
    """
    return read_page(decode(source, name, rotate=rotate), network)


def read_page(page: Page, network: LeNet5) -> Reading:
    """Read the digit on a decoded page."""
    look = reduced(page.pixels, LOOK)
    reading = _read(look, network)
    scale = page.size[0] / look.shape[1]
    if not reading.candidates:
        return reading
    left, top, right, bottom = reading.chosen.box
    length = max(right - left, bottom - top)
    if length < NEAR and page.pixels.shape[1] > look.shape[1]:
        factor = page.pixels.shape[1] / look.shape[1]
        x, y = (max(0, round(factor * (start - length))) for start in (left, top))
        near = page.pixels[y : round(factor * (bottom + length)), x : round(factor * (right + length))]
        nearer = _read(reduced(near, LOOK), network)
        if nearer.candidates and nearer.chosen.score < reading.chosen.score:
            others = replace(nearer.chosen, others=reading.chosen.others)
            reading = replace(nearer, candidates=[others, *nearer.candidates[1:]])
    return replace(reading, box=tuple(round(scale * edge) for edge in (left, top, right, bottom)))


def _read(look: Plane, network: LeNet5) -> Reading:
    shades = segment.grey(look)
    found = _ready(shades)
    unchanged = bool(found) and not found[0].dark
    found = found or [candidate() for _, candidate in _candidates(shades)]
    if not found:
        return Reading(None, "nothing on it stands out", look, None, [])
    distances = -network.scores(np.stack([each.image for each in found]))
    found = [replace(each, distances=row) for each, row in zip(found, distances, strict=True)]
    found.sort(key=lambda each: each.score)
    digit, distance = int(found[0].distances.argmin()), float(found[0].distances.min())
    limit = network.threshold
    if limit is not None and distance > limit:
        reason = f"the nearest glyph, {network.names[digit]}, is at {distance:.1f}, beyond {limit:.1f}"
        return Reading(None, reason, look, None, found, unchanged)
    return Reading(digit, None, look, None, found, unchanged)


def _ready(shades: Plane) -> list[Candidate]:
    """Return a picture in MNIST's form, in white on black or black on white, as the one candidate."""
    for dark, image in ((False, shades), (True, 255 - shades)):
        if is_normal(image):
            left, top, width, height = cv2.boundingRect(image)
            return [_candidate(image, image, (left, top, left + width, top + height), dark)]
    return []


def _candidates(shades: Plane) -> Iterator[tuple[float, Callable[[], Candidate]]]:
    """Yield the ways to read shades (h, w), without the network's word: the prior of each, and what makes it."""
    for ink in segment.inks(shades):
        labels, components = segment.components(ink.mask)
        components = [each for each in components if each.length >= 2]
        total = sum(each.area for each in components)
        longest = max((each.length for each in components if not each.edge), default=0)
        for group in segment.groups(components):
            box = segment.box_of(group)
            length = max(box[2] - box[0], box[3] - box[1])
            if length < SMALLEST:
                continue
            prior = (
                AGAINST * ink.against
                + RULED * ink.ruled
                + MISFIT * ink.misfit
                + FAINT * (ink.level < segment.LEVELS[0])
                + UNEXPLAINED * (1 - sum(each.area for each in group) / total)
                + SMALL * (1 - length / max(longest, length))
                + CUT * min(1, sum(each.edge for each in group) / length)
            )
            others = sum(
                not each.edge and each not in group and each.length > COMPARABLE * length for each in components
            )
            yield prior, partial(_isolated, ink, labels, group, box, others, prior)


def _isolated(
    ink: segment.Ink, labels: NDArray[Any], group: list[segment.Component], box: Box, others: int, prior: float
) -> Candidate:
    plane = segment.isolate(ink, labels, group)
    return _candidate(normalise(plane), plane, box, ink.dark, ink.local, len(group), others, prior)


def _candidate(
    image: Plane,
    ink: Plane,
    box: Box,
    dark: bool,
    local: bool = False,
    components: int = 1,
    others: int = 0,
    prior: float = 0.0,
) -> Candidate:
    return Candidate(image, ink, box, dark, local, components, others, prior, np.zeros(10))
