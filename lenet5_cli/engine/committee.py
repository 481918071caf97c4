"""Ensembles: several networks whose probabilities are averaged, and test-time augmentation by shifting the picture."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from lenet5_cli.data.glyphs import difference
from lenet5_cli.engine.einsum import Array
from lenet5_cli.engine.losses import cross_entropy
from lenet5_cli.engine.network import Classifier, LeNet5, demand_network
from lenet5_cli.errors import LeNet5Error

MIDDLE = 4  # index of the unshifted picture among the nine shifts


class Committee(Classifier):
    """An ensemble of networks of the same classes, which averages their probabilities; each prepares pictures itself.

    ``p[n,k] = sum_v softmax(scores_v)[n,k] / V``, over V views: one of each network or, if ``shifted``, nine of each
    network, of the picture shifted by up to a pixel in each direction (test-time augmentation).

    Its scores can be used as those of a network: their softmax is p, and the largest is minus the mean of the members'
    squared distances to their nearest codes, for the unshifted picture. ``distances`` is the mean of the members', so
    that ``threshold`` is the mean of their thresholds at the committee's ``accept``; their own ``accept`` is not used.

    Attributes:
        members: the networks.
        shifted: whether each network reads the picture at nine shifts.
        codes: those of the first network.
    """

    def __init__(self, members: Sequence[LeNet5], names: Sequence[str] = (), *, shifted: bool = False) -> None:
        """Make a committee of networks; ``names`` are their names in messages.

        Raises:
            LeNet5Error: there is no network, one has other classes than the first, or an argument is not a valid list.
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
                raise LeNet5Error(f"{there}; only models with the same classes can be combined")
        self.codes, self.names = first.codes, first.names
        self.dtype = np.result_type(*(member.dtype for member in self.members))
        self.parameters = self.gradients = np.empty(0, self.dtype)  # a committee is not trained
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
            with member.lock:  # other threads may use it too
                for view, of_view in zip(views, own, strict=True):
                    of_view[...] = member.forward(member.prepare(view))
        nearest = scores[:, MIDDLE if self.shifted else 0].max(axis=2, keepdims=True).mean(axis=0)
        scores -= scores.max(axis=3, keepdims=True)
        scores -= np.log(np.exp(scores).sum(axis=3, keepdims=True))
        logarithms: Array = np.logaddexp.reduce(scores, axis=(0, 1))  # log(V p)
        together: Array = logarithms - logarithms.max(axis=1, keepdims=True) + nearest
        return together

    def loss(self, scores: Array, labels: NDArray[np.integer]) -> float:
        """Return the mean cross-entropy of the averaged probabilities, as the members' losses may differ."""
        return cross_entropy(scores, labels)[0]


def together(members: Sequence[LeNet5], names: Sequence[str] = (), *, shifted: bool = False) -> Classifier:
    """Return a single network as it is; several, or any number with ``shifted``, as a committee."""
    return Committee(members, names, shifted=shifted) if shifted or len(members) > 1 else members[0]


def _shifted(x: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """Yield pictures (n, h, w) at nine shifts, from a pixel up and left to a pixel down and right, padded with 0."""
    _, height, width = x.shape
    around = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    for down, right in product(range(3), repeat=2):
        yield around[:, 2 - down : 2 - down + height, 2 - right : 2 - right + width]
