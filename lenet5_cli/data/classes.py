"""Which class of a glyph sheet each label in the data stands for: labels are names of classes, or their indices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lenet5_cli.data.glyphs import DIGITS, composed
from lenet5_cli.errors import LeNet5Error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray


def places(labels: Sequence[str], names: Sequence[str], *, certain: bool = False) -> dict[str, int]:
    """Return the index in ``names`` that each label of a source stands for, given all of its labels.

    Either all labels are names, or all are indices. If they are ``certain`` to be names, as the ten digits are, but
    ``names`` has others of the same number, they are matched by order: the names may be digits in another script.
    """
    labels = [composed(label) for label in labels]
    named = {composed(name): place for place, name in enumerate(names)}
    numbers = {str(place): place for place in range(len(names))}
    if set(labels) == set(DIGITS):
        labels, certain = list(DIGITS), True
    if labels and named.keys() >= set(labels):
        return named
    if certain:
        return {name: place for place, name in enumerate(labels)} if len(labels) == len(names) else named
    return numbers if numbers.keys() >= set(labels) else named


def indices(
    labels: Sequence[str], known: Mapping[str, int], names: Sequence[str], where: Callable[[int], str]
) -> NDArray[np.uint8]:
    """Return the index of each label in the names of the classes, looked up in ``known``."""
    labels = [composed(label) for label in labels]
    for at, label in enumerate(labels):
        if label not in known:
            there = ", ".join(names) if len(names) <= 40 else f"{', '.join(names[:40])} and others"
            shown = label if len(label) <= 60 else f"{label[:60]}..."
            expected = f"expected one of {there}; set glyphs to train with another sheet"
            raise LeNet5Error(f"{where(at)}: class {shown} is not in the glyph sheet; {expected}")
    return np.array([known[label] for label in labels], np.uint8)


def note(source: str, names: Sequence[str], stated: Callable[[str], Sequence[str] | None]) -> str:
    """Return a note if the labels of a source were taken as names but could also be indices of other classes.

    ``stated`` returns all labels of the source; it is called only if it matters, as it may have to read them.
    """
    moved = {name for place, name in enumerate(names) if name != str(place)}
    numbers = set(map(str, range(len(names))))
    if not moved & numbers:
        return ""
    labels = set(stated(source) or ())
    if labels == set(DIGITS) or not labels <= numbers & set(names) or not labels & moved:
        return ""
    label = min(labels & moved, key=int)
    read = f"its labels, such as {label}, are taken as class names, not as indices from 0"
    return f"{source}: {read}; if they are indices, replace them by class names"
