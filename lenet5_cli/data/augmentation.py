"""Data augmentation: rotate, scale, shear, shift, bend, thicken or thin images, as if written by another hand.

The distortion of an image is a row of ``NUMBERS`` numbers; all zeros leave it unchanged:

=======  ========================================================================================================
0        angle, in radians, anticlockwise
1, 2     logarithms of the horizontal and vertical scale: above 0 is larger
3        slant: pixels to the right for each pixel above the centre
4, 5     shift to the right and down, in pixels
6        thickness, -1 to 1: how far to blend into the image's erosion (below 0) or dilation (above 0)
7 to 56  elastic field at 5x5 nodes: from how far down, then from how far to the right, a pixel is sampled
=======  ========================================================================================================
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

KINDS: Final = ("none", "affine", "elastic")  # each includes those before it

_NODES: Final = 5  # a side of the elastic field
_SPACING: Final = 6.0  # pixels between two nodes
_SPREAD: Final = 4.0  # pixels, standard deviation of a node's Gaussian (Simard et al. 2003, section 2)
_PLAIN: Final = 7  # numbers that are not nodes
NUMBERS: Final = _PLAIN + 2 * _NODES**2

_HIGH: Final = np.array([np.deg2rad(12), 0.2, 0.2, 0.2, 2, 2, 0.7])
# Erode at most halfway: a thin stroke then stays above the threshold of binary input.
_LOW: Final = np.array([*-_HIGH[:6], -0.5])
_BEND: Final = 0.4  # pixels, standard deviation of the elastic field; with 0.8, a small network is less accurate

_SIDE: Final = 28
_EDGE: Final = 2  # pixels around an image: dilation may reach the inner ring, the outer ring stays black
_WIDE: Final = _SIDE + 2 * _EDGE
_CHUNK: Final = 32  # images at a time: their work arrays stay in cache, and float32 indexes their pixels exactly


def _basis() -> NDArray[np.float32]:
    """Return [term, pixel]: 1, pixels below the centre, pixels right of it, and a Gaussian around each node.

    A field of nodes drawn from normal(0, 1) has a standard deviation of 1 pixel over the image.
    """
    place = np.arange(_SIDE) - (_SIDE - 1) / 2
    nodes = (np.arange(_NODES) - (_NODES - 1) / 2) * _SPACING
    bells = np.exp(-(((place - nodes[:, None]) / _SPREAD) ** 2) / 2)
    bells /= np.sqrt((bells**2).sum(0).mean())
    down, right = np.meshgrid(place, place, indexing="ij")
    field = np.einsum("ai,bj->abij", bells, bells)
    plane = np.stack([np.ones_like(down), down, right])
    return np.vstack([plane.reshape(3, -1), field.reshape(_NODES**2, -1)]).astype(np.float32)


_BASIS: Final = _basis()


def draw(kind: str, count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the random numbers of ``count`` images, (count, NUMBERS), for one of ``KINDS``.

    ``none``: zeros. ``affine``: uniform; angle within 12 degrees, scales within exp(-0.2) and exp(0.2), slant within
    0.2, shifts within 2 pixels, thickness from -0.5 to 0.7. ``elastic``: the same, and a smooth field of displacements
    of about 0.4 pixels (Simard et al. 2003, section 2, but with the noise on a grid of 5x5 nodes, not at every pixel).
    """
    level = KINDS.index(kind)
    numbers = np.zeros((count, NUMBERS), np.float32)
    if level > 0:
        numbers[:, :_PLAIN] = rng.uniform(_LOW, _HIGH, (count, _PLAIN))
    if level > 1:
        numbers[:, _PLAIN:] = _BEND * rng.standard_normal((count, NUMBERS - _PLAIN), np.float32)
    return numbers


def distort(images: NDArray[np.uint8], numbers: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return images[n,h,w], 28x28 and white on black, each distorted by its row of numbers[n,NUMBERS].

    ``y[p] = x'[A (p - centre - shift) + centre + field[p]]``: x' is x made thicker or thinner, interpolated bilinearly
    and black outside; A undoes the turn, then the slant, then the scales.
    """
    y = np.empty_like(images)
    for start in range(0, len(images), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        y[chunk] = _read(_thicken(images[chunk], numbers[chunk, 6]), _places(numbers[chunk]))
    return y


def _thicken(images: NDArray[np.uint8], thickness: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the images, (n, 32, 32), blended with the maximum or minimum of each pixel and its four neighbours."""
    x = np.zeros((len(images), _WIDE, _WIDE), np.uint8)
    x[:, _EDGE:-_EDGE, _EDGE:-_EDGE] = images
    light, dark = x, x
    for step in (1, -1, _WIDE, -_WIDE):
        neighbour = np.roll(x, step)  # of all images as one row; the pixels that wrap around are black
        light, dark = np.maximum(light, neighbour), np.minimum(dark, neighbour)
    change = np.where((thickness > 0)[:, None, None], light - x, x - dark)
    y: NDArray[np.float32] = change * thickness[:, None, None]
    y += x
    return y


def _places(numbers: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the position at which each pixel is sampled, (n, 2, 784): row and column of the padded image."""
    angle, wider, taller, slant, right, down, _ = np.ascontiguousarray(numbers[:, :_PLAIN].T)
    cos, sin = np.cos(angle), np.sin(angle)
    terms = np.empty((len(numbers), 2, len(_BASIS)), np.float32)
    terms[:, 0, 1] = cos * np.exp(-taller)
    terms[:, 0, 2] = sin * np.exp(-taller)
    terms[:, 1, 1] = (slant * cos - sin) * np.exp(-wider)
    terms[:, 1, 2] = (slant * sin + cos) * np.exp(-wider)
    terms[:, :, 0] = (_WIDE - 1) / 2 - terms[:, :, 1] * down[:, None] - terms[:, :, 2] * right[:, None]
    terms[:, :, 3:] = numbers[:, _PLAIN:].reshape(-1, 2, _NODES**2)
    # matmul makes one product per image, so that rounding does not depend on the number of images.
    places: NDArray[np.float32] = terms @ _BASIS
    return np.clip(places, 0, _WIDE - 1, out=places)


def _read(x: NDArray[np.float32], places: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the images x, (n, 32, 32), interpolated at ``places``, (n, 2, 784), and rounded: (n, 28, 28)."""
    corner = np.floor(places)
    below, beyond = (places - corner).swapaxes(0, 1)
    index = corner[:, 0] * _WIDE + corner[:, 1]
    index += np.arange(len(x), dtype=np.float32)[:, None] * _WIDE**2
    pixel, source = index.astype(np.intp), x.ravel()

    def between(start: int) -> NDArray[np.float32]:
        left, y = (np.take(source[start + step :], pixel, mode="clip") for step in (0, 1))
        y -= left
        y *= beyond
        y += left
        return y

    top, y = between(0), between(_WIDE)
    y -= top
    y *= below
    y += top
    y += np.float32(0.5)
    return y.astype(np.uint8).reshape(-1, _SIDE, _SIDE)
