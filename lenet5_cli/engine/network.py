"""LeNet-5: the report's seven layers, built from settings and a glyph sheet."""

from copy import deepcopy
from functools import lru_cache
from itertools import pairwise
from math import ceil
from os import PathLike, fspath
from threading import RLock
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lenet5_cli.config import Config, known
from lenet5_cli.data import glyphs
from lenet5_cli.engine import ACTIVATIONS, RBF, Conv, Dense, Layer, Subsampling
from lenet5_cli.engine.einsum import Array
from lenet5_cli.engine.losses import Targets, criterion, softmax
from lenet5_cli.engine.preprocessing import INPUT_SHAPE, as_labels, as_pictures, given_pictures, prepare
from lenet5_cli.engine.windows import untiled
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.files import BUNDLED
from lenet5_cli.storage import checkpoint

# Which maps of s2 each map of c3 reads: LeCun et al. 1998, table I.
TABLE = [
    *("012", "123", "234", "345", "450", "501"),
    *("0123", "1234", "2345", "3450", "4501", "5012", "0134", "1245", "0235"),
    "012345",
]
LECUN1998 = np.array([[str(c) in maps for c in range(6)] for maps in TABLE])

CHUNK = 50  # images computed together at most: enough for long loops, few enough for work arrays to stay in cache
EQUAL = 32  # images in a chunk at least if chunks are made smaller in order to be of equal size
ACCEPT = 0.995  # of the validation images: one in 200 is refused, about as many as are misread without refusal


@lru_cache(maxsize=8)
def chunks(images: int) -> tuple[slice, ...]:
    """Cut a batch into chunks, which are computed one by one or in parallel.

    Fewer than CHUNK / 2 images are one chunk; otherwise the number of chunks is even. They are of equal size if that is
    possible with at least EQUAL images, because layers make new work arrays where the size changes; otherwise sizes
    differ by one. They depend only on the number of images, so that results do not depend on the number of processes.
    """
    fewest = 2 * -(-images // (2 * CHUNK))
    equal = (count for count in range(fewest, images // EQUAL + 1, 2) if images % count == 0)
    count = min(images, 1) if images < CHUNK // 2 else next(equal, fewest)
    size, larger = divmod(images, count or 1)  # the larger ones first, so that the size changes once
    starts = [chunk * size + min(chunk, larger) for chunk in range(count + 1)]
    return tuple(slice(start, end) for start, end in pairwise(starts))


def finite(scores: Array) -> Array:
    """Return scores.

    Raises:
        LeNet5Error: one is not finite.
    """
    if not np.isfinite(scores).all():
        raise LeNet5Error(f"the scores are not finite: the parameters are too large for {scores.dtype}")
    return scores


def demand_network(network: object) -> None:
    """Check that an argument is a network or a committee.

    Raises:
        LeNet5Error: it is something else, such as the name of a network, a run or a list.
    """
    if not isinstance(network, Classifier):
        name = f"a name, {fspath(network)!r}" if isinstance(network, str | PathLike) else ""
        expected = "expected the network itself, as LeNet5.load or run.kept() returns it"
        raise LeNet5Error(f"network: {name or f'of type {type(network).__name__}'}; {expected}")


class Classifier:
    """A classifier of pictures: a network, or a committee of several.

    Attributes:
        config: the settings; those of the first member in a committee.
        codes: (k, 84), the glyphs of the output layer, ink 1 and paper 0.
        names: the names of the k classes, as in the glyph sheet.
        dtype: float32 or float64, the type of the scores.
        distances: quantiles of the squared distances of the validation images, as in ``Checkpoint``; None if there
            were none.
        accept: the fraction of the validation images that are within ``threshold``, 0 to 1.
        parameters: all trainable numbers in one vector.
        gradients: the gradient of the latest loss, likewise.
        lock: held while scores or a gradient are computed, as threads share the work arrays of the layers.
    """

    config: Config
    codes: NDArray[np.uint8]
    names: tuple[str, ...]
    dtype: np.dtype[Any]
    distances: NDArray[np.floating] | None = None
    accept: float = ACCEPT
    parameters: Array
    gradients: Array

    def __init__(self) -> None:
        self.lock = RLock()

    def __getstate__(self) -> dict[str, object]:
        """Return the state to copy or pickle: all but the lock."""
        return {name: value for name, value in self.__dict__.items() if name != "lock"}

    def __setstate__(self, state: dict[str, object]) -> None:
        """Restore a copy, with a lock of its own."""
        self.__dict__.update(state, lock=RLock())

    def prepare(self, images: NDArray[np.uint8]) -> Any:
        """Return pictures (n, 28, 28) in the form that ``forward`` takes."""
        raise NotImplementedError

    def forward(self, x: Any) -> Array:
        """Return scores (n, k) for prepared images; the largest score is the answer."""
        raise NotImplementedError

    def loss(self, scores: Array, labels: NDArray[np.integer]) -> float:
        """Return the mean loss of scores (n, k) with labels (n,)."""
        raise NotImplementedError

    @property
    def sheet(self) -> glyphs.Sheet:
        """The glyphs and names of the classes."""
        return glyphs.Sheet(self.codes, self.names)

    @property
    def threshold(self) -> float | None:
        """The squared distance to the nearest code above which a picture is refused; None: no picture is refused.

        At least the fraction ``accept`` of the validation images are within it; with 1, there is no threshold.

        Source: LeCun et al. 1998, section II.C.
        """
        if self.distances is None or self.accept >= 1:
            return None
        return float(self.distances[ceil(self.accept * (len(self.distances) - 1))])

    def scores(self, images: ArrayLike) -> Array:
        """Return scores (n, k) of pictures, white on black: minus the squared distance to each code.

        The pictures are (n, 28, 28), (n, 784) or one of (28, 28); uint8, or floats in [0, 1].

        Raises:
            LeNet5Error: they have another shape, or other numbers.
        """
        images = given_pictures(images)
        scores = np.empty((len(images), len(self.codes)), self.dtype)
        with self.lock, np.errstate(all="ignore"):  # ``finite`` raises an error for overflows
            for chunk in chunks(len(images)):
                scores[chunk] = self.forward(self.prepare(images[chunk]))
        return finite(scores)

    def probabilities(self, images: ArrayLike) -> Array:
        """Return the probability (n, k) of each class for pictures, white on black, as ``scores`` takes them."""
        with np.errstate(under="ignore"):  # for pictures far from a code
            return softmax(self.scores(images))


class LeNet5(Classifier):
    """The seven layers of the report.

    Attributes:
        codes, names, dtype, distances, accept: see ``Classifier``.
        config: the settings that it was made with.
        layers: the layers in order: ``c1 s2 c3 s4 c5 f6 output``.
        teacher: a classifier whose probabilities are learned instead of the labels (distillation), or None.

    Source: report, building LeNet5; LeCun et al. 1998, section II.B.
    """

    teacher: Classifier | None = None

    def __init__(self, config: Config | None = None, sheet: glyphs.Sheet | None = None) -> None:
        """Make a new network, with the initial weights of the seed.

        Args:
            config: the settings; the report's if not given.
            sheet: a glyph and a name for each class; the sheet that the settings name if not given.
        """
        super().__init__()
        if not isinstance(config, Config | None):
            hint = "train takes a preset's name, LeNet5.load a checkpoint's"
            raise LeNet5Error(f"config: of type {type(config).__name__}; expected a Config; {hint}")
        self.config = config = config or Config()
        self.codes, self.names = glyphs.read(config.glyphs) if sheet is None else sheet
        self.dtype = np.dtype(config.dtype)
        self._criterion = criterion(config)
        self.layers: list[Layer] = []
        rng, activation = np.random.default_rng(config.seed), ACTIVATIONS[config.activation]
        common: dict[str, Any] = {"rng": rng, "init": config.init, "activation": activation, "dtype": self.dtype}
        c1, c3, c5 = config.map_counts
        table = LECUN1998 if config.connections == "lecun1998" else None
        self.add("c1", Conv(INPUT_SHAPE, 5, c1, tile=2, **common))
        self.add("s2", Subsampling(self.output_shape, 2, **common))
        self.add("c3", Conv(self.output_shape, 5, c3, tile=2, connections=table, **common))
        self.add("s4", Subsampling(self.output_shape, 2, **common))
        self.add("c5", Conv(self.output_shape, 5, c5, **common))
        self.add("f6", Dense(self.output_shape, self.codes.shape[1], **common))
        self.add("output", RBF(activation.code(self.codes), dtype=self.dtype))

    @classmethod
    def load(cls, path: str | PathLike[str] | None = None) -> Self:
        """Return the network of a checkpoint, or of the bundled model, ready to classify.

        Raises:
            LeNet5Error: the file is missing, damaged or not a checkpoint; nothing in it is executed.
        """
        if not isinstance(path, str | PathLike | None):
            there = f"path: of type {type(path).__name__}"
            raise LeNet5Error(f"{there}; expected the path of a checkpoint, or {BUNDLED!r}")
        return cls.restore(checkpoint.read(BUNDLED if path is None else path))

    @classmethod
    def restore(cls, saved: checkpoint.Checkpoint) -> Self:
        """Return the network of a checkpoint that has been read.

        Raises:
            LeNet5Error: its parameters are not those of the network that its settings describe.
        """
        config = Config(**{"seed": 0} | known(saved.config) | {"dtype": saved.dtype})
        network = cls(config, saved.sheet)
        network.assign(saved.pairs, where=saved.where)
        network.distances = saved.distances
        return network

    def assign(self, pairs: list[list[Array]], where: str = "") -> None:
        """Copy parameters, ``[weight, bias]`` of each layer that has some, into the network.

        Raises:
            LeNet5Error: there are too few or too many, or one has another shape; the message begins with ``where``.
        """
        layers = [layer for layer in self.layers if layer.params]
        if len(pairs) != len(layers):
            names = " ".join(layer.name for layer in layers)
            raise LeNet5Error(f"{where}{len(pairs)} pairs [weight, bias]; expected {len(layers)}, of {names}")
        for layer, pair in zip(layers, pairs, strict=True):
            for (name, param), value in zip(layer.params.items(), pair, strict=True):
                if value.shape != param.shape:
                    raise LeNet5Error(f"{where}{layer.name}.{name}: shape {value.shape}; expected {param.shape}")
                param[...] = value

    def pairs(self) -> list[list[Array]]:
        """Return ``[weight, bias]`` of each trainable layer, copied, in the shapes of the report."""
        return [[value.copy() for value in layer.params.values()] for layer in self.layers if layer.params]

    def add(self, name: str, layer: Layer) -> Self:
        """Append a layer under a name, and return the network."""
        layer.name = name
        self.layers.append(layer)
        self._gather_vectors()
        return self

    @property
    def output_shape(self) -> Any:
        """The shape of the last layer's output for one image."""
        return self.layers[-1].output_shape

    @property
    def parameters(self) -> Array:
        """All trainable numbers in one vector; the layers' ``params`` are views of it, assignment copies into it."""
        return self._parameters

    @parameters.setter
    def parameters(self, values: ArrayLike) -> None:
        _write(self._parameters, values, "parameters")

    @property
    def gradients(self) -> Array:
        """The gradient of the latest loss by ``parameters``, likewise; the layers' ``grads`` are views of it."""
        return self._gradients

    @gradients.setter
    def gradients(self, values: ArrayLike) -> None:
        _write(self._gradients, values, "gradients")

    def forward(self, x: Array) -> Array:
        """Return scores (n, k) for prepared images x (n, 1, 32, 32); the largest score is the answer.

        They are valid until the network computes again. This method does not take ``lock``: a thread that shares the
        network must hold it until it has read the scores.
        """
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dscores: Array) -> None:
        """Set ``gradients``, given the gradient of the loss by the latest scores, (n, k)."""
        first, *rest = self.layers
        for layer in reversed(rest):
            dscores = layer.backward(dscores)
        first.backward_params(dscores)

    def loss_and_gradient(self, images: ArrayLike, labels: ArrayLike, batch_size: int | None = None) -> float:
        """Return the mean loss of pictures, as ``scores`` takes them, with labels (n,), and set ``gradients``.

        Unlike ``scores``, this accepts integers from 0 to 1: a distorted picture may have no others.

        If the pictures are a chunk of a larger batch of ``batch_size``, ``gradients`` are scaled by n / ``batch_size``,
        so that the sum over chunks is the gradient of the batch's mean loss. With a ``teacher``, the targets are its
        probabilities for the same pictures, not the labels (Hinton et al. 2015, at temperature 1; Beyer et al. 2022).
        With the ``discriminative`` loss, a teacher's probability of no class follows from its largest score; for a
        committee, that is the mean of its members' distances, not of their probabilities.

        Raises:
            LeNet5Error: the pictures or labels have another shape, or other numbers.
        """
        images = as_pictures(images)
        if not len(images):
            raise LeNet5Error("no pictures; expected at least one")
        targets: Targets = as_labels(labels, len(images))
        if self.teacher is not None:
            with self.teacher.lock:  # other threads may use it too
                targets = self._criterion.probabilities(self.teacher.forward(self.teacher.prepare(images)))
        with self.lock:
            loss, dscores = self._criterion.loss(self.forward(self.prepare(images)), targets)
            if batch_size and batch_size != len(images):
                dscores *= len(images) / batch_size
            self.backward(dscores)
        return loss

    def loss(self, scores: Array, labels: NDArray[np.integer]) -> float:
        """Return the mean loss of scores (n, k) with labels (n,)."""
        return self._criterion.loss(scores, labels)[0]

    def prepare(self, images: ArrayLike) -> Array:
        """Return pictures, as ``scores`` takes them, as the network's input (n, 1, 32, 32)."""
        return prepare(as_pictures(images), self.config.input, self.dtype)

    def maps(self, images: ArrayLike) -> dict[str, Array]:
        """Return a copy of each layer's output, (n, *output_shape), by name, for pictures as ``scores`` takes them.

        The first is ``input``, the prepared pictures (n, 1, 32, 32).
        """
        images = given_pictures(images)
        if not len(images):
            blank = np.zeros((1, *images.shape[1:]), np.uint8)
            return {name: y[:0] for name, y in self.maps(blank).items()}
        x = self.prepare(images)
        maps: dict[str, Array] = {"input": x.copy()}
        with self.lock:
            for layer in self.layers:
                x = layer.forward(x)
                maps[layer.name] = untiled(x) if x.ndim == 6 else x.copy()
        return maps

    def __repr__(self) -> str:
        """Return a table of the layers: name, kind, shapes, trainable parameters."""
        rows = [
            (layer.name, type(layer).__name__, f"{_size(layer.input_shape)} -> {_size(layer.output_shape)}", layer.size)
            for layer in self.layers
        ]
        total = ("", "", "", sum(layer.size for layer in self.layers))
        return "\n".join(
            [f"LeNet5, {self.dtype}"]
            + [f"  {name:7} {kind:12} {shapes:20} {size:>9,}".rstrip() for name, kind, shapes, size in [*rows, total]]
        )

    def __getstate__(self) -> dict[str, object]:
        """Return the state to copy or pickle, without the two vectors: they are rebuilt from the layers' arrays."""
        state = super().__getstate__()
        return {name: value for name, value in state.items() if name not in ("_parameters", "_gradients")}

    def __setstate__(self, state: dict[str, object]) -> None:
        """Restore a copy, whose layers share its own vectors."""
        super().__setstate__(state)
        self._gather_vectors()

    def __copy__(self) -> Self:
        """Return a deep copy: a shallow one would share its layers, whose arrays can be views of one vector only."""
        return deepcopy(self)

    def _gather_vectors(self) -> None:
        """Move all layers' arrays into two vectors, on which an optimiser takes a step in two NumPy calls."""
        self._parameters = _shared_vector([layer.params for layer in self.layers], self.dtype)
        self._gradients = _shared_vector([layer.grads for layer in self.layers], self.dtype)
        for layer in self.layers:
            layer.unbind()


def _shared_vector(arrays: list[dict[str, Array]], dtype: np.dtype[Any]) -> Array:
    """Return one vector with the numbers of all arrays, and put views of it in their place."""
    values = [value.ravel() for named in arrays for value in named.values()]
    vector: Array = np.concatenate([np.empty(0, dtype), *values])
    start = 0
    for named in arrays:
        for name, value in named.items():
            named[name] = vector[start : start + value.size].reshape(value.shape)
            start += value.size
    return vector


def _write(vector: Array, values: ArrayLike, name: str) -> None:
    """Copy values into a vector; a new one would not be shared with the layers.

    Raises:
        LeNet5Error: they are of another shape.
    """
    if np.shape(values) != vector.shape:
        raise LeNet5Error(f"{name}: shape {np.shape(values)}; expected {vector.shape}")
    vector[...] = values


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
