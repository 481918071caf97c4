"""Turn what training and evaluation are given into a split: a data set by name or path, a split, or arrays."""

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike, fspath
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lenet5_cli.config import READ_AS, Config, demand_known
from lenet5_cli.data import cache, glyphs, idx, sources
from lenet5_cli.data.sources import ARRAYS, Split
from lenet5_cli.engine.network import Classifier
from lenet5_cli.engine.preprocessing import SIDE, as_labels, given_pictures
from lenet5_cli.errors import LeNet5Error

Data = Split | str | PathLike[str] | tuple[ArrayLike, ArrayLike]
"""A split; what ``data.sources.load`` takes; or pictures, as ``LeNet5.scores`` takes them, and labels (n,)."""


def load_data(source: str | PathLike[str], split: str = "train", **how: Any) -> Split:
    """Load a split, ``train`` or ``test``, of what ``--data`` takes: a data set, a folder, a CSV or an .npz file.

    ``how`` are the settings that affect reading: ``test_fraction``, ``as_is``, and ``glyphs``, the sheet in which a
    label is the index of its class.

    Raises:
        LeNet5Error: there is no such data, it is damaged, or it could not be downloaded; or ``how`` has other settings.
    """
    if not isinstance(source, str | PathLike):
        raise LeNet5Error(f"source: of type {type(source).__name__}; expected a name or a path")
    if not isinstance(split, str):
        raise LeNet5Error(f"split: of type {type(split).__name__}; expected a name such as train or test")
    demand_known(how)
    for name in sorted(how.keys() - {*READ_AS, "glyphs"}):
        expected = f"expected {', '.join(READ_AS)} or glyphs"
        raise LeNet5Error(f"{name} does not affect how data is read; {expected}")
    return load(Config(data=fspath(source), **how), split)


def load(
    config: Config,
    split: str,
    names: Sequence[str] | None = None,
    *,
    cores: int = 1,
    progress: cache.Progress | None = None,
    option: str = "",
) -> sources.Split:
    """Load a split of the data that the settings name, with the classes ``names``, by default the glyph sheet's.

    ``option``, such as ``--data ``, is put before the names of data sets in messages on the command line. Pictures are
    read by ``cores`` processes; a script that asks for more than one needs ``if __name__ == "__main__"``.

    Raises:
        LeNet5Error: there is no such data, or it is damaged.
    """
    names = glyphs.read(config.glyphs).names if names is None else names
    how = sources.LoadOptions(config.test_fraction, config.as_is, names, _read_picture, cores, progress, option)
    return replace(sources.load(config.data, split, how), read_as={name: getattr(config, name) for name in READ_AS})


def _read_picture(path: str, as_is: bool) -> NDArray[np.uint8]:
    from lenet5_cli.pictures.read import read_sample  # noqa: PLC0415 - needs OpenCV, which IDX files do not

    return read_sample(path, as_is=as_is)


def as_split(data: Data, split: str, network: Classifier | None = None) -> Split:
    """Return data as a split of images and labels; of a name or path, load the one called ``split``.

    A name or path is read as the training data of ``network`` was, and labels become indices in its names; without a
    network, with the default settings and the ten digits.

    Raises:
        LeNet5Error: the data cannot be read, or pictures or labels have another shape or other values.
    """
    if isinstance(data, str | PathLike):
        if network is None:
            return load(Config(data=fspath(data)), split)
        how = {name: getattr(network.config, name) for name in READ_AS}
        return load(Config(data=fspath(data), **how), split, network.names)
    found = _checked(data) if isinstance(data, Split) else _of_arrays(data)
    if not len(found.labels):
        raise LeNet5Error("no pictures; expected at least one")
    return found


def _checked(split: Split) -> Split:
    """Return a split, which a caller may have made, with its pictures and labels checked and converted."""
    images = split.images
    if not (isinstance(images, idx.Stored) and images.dtype == np.uint8 and images.shape[1:] == (SIDE, SIDE)):
        images = given_pictures(images)
    labels = as_labels(split.labels, len(images))
    same = images is split.images and labels is split.labels
    return split if same else replace(split, images=images, labels=labels)


def _of_arrays(data: object) -> Split:
    if not isinstance(data, tuple) or len(data) != 2:
        what = f"a tuple of {len(data)}" if isinstance(data, tuple) else f"of type {type(data).__name__}"
        raise LeNet5Error(f"data: {what}; expected a name, a path, a Split, or (pictures, labels)")
    images = given_pictures(data[0])
    # An empty list of labels has the type of floats.
    labels = as_labels(data[1], len(images)) if len(images) else np.empty(0, np.uint8)
    return Split(ARRAYS, images, labels, ARRAYS, ARRAYS)
