"""Several networks that answer together, or one that looks at a picture in several places."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from lenet5_cli.data.glyphs import difference
from lenet5_cli.engine.einsum import Array
from lenet5_cli.engine.losses import cross_entropy
from lenet5_cli.engine.network import Classifier, LeNet5, demand_network
from lenet5_cli.errors import LeNet5Error

MIDDLE = 4  # of the nine places of a picture, the one where it is


class Committee(Classifier):
    """Networks of the same classes, the average of whose probabilities is the answer; each prepares pictures its way.

    ``p[n,k] = sum_v softmax(scores_v)[n,k] / V``, over the V views: each network's of the picture or, if it is to be
    ``shifted``, of the picture in nine places, up to a pixel from its own (test-time augmentation). So that all that
    reads a network's scores can read these too, they are such that their softmax is p, and the largest is minus the
    mean of the members' distances to their nearest codes, of the picture where it is. ``distances`` is the mean of
    theirs, so that ``threshold`` is the mean of their thresholds with its own ``accept``, whatever theirs are.

    Attributes:
        members: the networks.
        shifted: whether they read each picture in nine places.
        codes: of the first one.
    """

    def __init__(self, members: Sequence[LeNet5], names: Sequence[str] = (), *, shifted: bool = False) -> None:
        """Put networks together; ``names`` are what messages call them.

        Raises:
            LeNet5Error: one has other classes than the first, there is none, or they or their names are no such list.
        """
        super().__init__()
        if isinstance(members, str) or not isinstance(members, Iterable):
            raise LeNet5Error(f"networks: of type {type(members).__name__}; expected a list of them")
        self.members, self.shifted = list(members), shifted
        if not self.members:
            raise LeNet5Error("no network; expected at least one")
        if names and len(names) != len(self.members):
            raise LeNet5Error(f"names: {len(names)} for {len(self.members)} networks; expected one for each")
        for member in self.members:
            demand_network(member)
        first = self.members[0]
        self.config = first.config
        for place, member in enumerate(self.members):
            if member.names != first.names:
                name, other = (names[place], names[0]) if names else (f"network {place + 1}", "the first")
                there = f"{name}: {difference(member.names, first.names, other)}"
                raise LeNet5Error(f"{there}; only models of the same classes can answer together")
        self.codes, self.names = first.codes, first.names
        self.dtype = np.result_type(*(member.dtype for member in self.members))
        self.parameters = self.gradients = np.empty(0, self.dtype)  # nothing that is trained
        quantiles = [member.distances for member in self.members if member.distances is not None]
        self.distances = np.mean(quantiles, axis=0) if len(quantiles) == len(self.members) else None

    def prepare(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return pictures as they are: each member prepares them for itself."""
        return images

    def forward(self, x: NDArray[np.uint8]) -> Array:
        """Return scores (n, k) of pictures (n, 28, 28)."""
        views = list(_shifted(x)) if self.shifted else [x]
        scores = np.empty((len(self.members), len(views), len(x), len(self.codes)), self.dtype)
        for member, own in zip(self.members, scores, strict=True):
            with member.lock:  # it may answer elsewhere, too
                for view, of_view in zip(views, own, strict=True):
                    of_view[...] = member.forward(member.prepare(view))
        nearest = scores[:, MIDDLE if self.shifted else 0].max(axis=2, keepdims=True).mean(axis=0)
        scores -= scores.max(axis=3, keepdims=True)
        scores -= np.log(np.exp(scores).sum(axis=3, keepdims=True))
        logarithms: Array = np.logaddexp.reduce(scores, axis=(0, 1))  # of V p
        together: Array = logarithms - logarithms.max(axis=1, keepdims=True) + nearest
        return together

    def loss(self, scores: Array, labels: NDArray[np.integer]) -> float:
        """Return the mean cross-entropy of the averaged probabilities: the members' own losses may differ."""
        return cross_entropy(scores, labels)[0]


def together(members: Sequence[LeNet5], names: Sequence[str] = (), *, shifted: bool = False) -> Classifier:
    """Return a network as it is; several, or what reads pictures in nine places, as a committee."""
    return Committee(members, names, shifted=shifted) if shifted or len(members) > 1 else members[0]


def _shifted(x: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """Yield pictures (n, h, w) in nine places, from a pixel up and left to a pixel down and right, on more paper."""
    _, height, width = x.shape
    around = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    for down, right in product(range(3), repeat=2):
        yield around[:, 2 - down : 2 - down + height, 2 - right : 2 - right + width]
