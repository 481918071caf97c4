"""LeNet-5: the report's seven layers, from a seed and a glyph sheet."""

from itertools import pairwise
from os import PathLike
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lenet5_cli.config import Config
from lenet5_cli.data import glyphs
from lenet5_cli.engine import RBF, SIGMOID, TANH, Conv, Dense, Layer, Subsampling
from lenet5_cli.engine.einsum import Array
from lenet5_cli.engine.losses import LOSSES, softmax
from lenet5_cli.engine.preprocessing import prepare
from lenet5_cli.files import BUNDLED_MODEL
from lenet5_cli.storage import checkpoint

# Which maps of s2 each map of c3 reads: LeCun et al. 1998, table I.
TABLE = [
    *("012", "123", "234", "345", "450", "501"),
    *("0123", "1234", "2345", "3450", "4501", "5012", "0134", "1245", "0235"),
    "012345",
]
LECUN1998 = np.array([[str(c) in maps for c in range(6)] for maps in TABLE])

SETTINGS = ("input", "activation", "connections", "loss")  # that a trained network depends on

PIECE = 50  # images computed together: enough to make long loops, few enough for their buffers to stay in cache


def pieces(images: int) -> list[slice]:
    """Cut a batch into equal pieces, computed one by one or side by side: an even number, from half a PIECE on."""
    count = min(images, 1) if images < PIECE // 2 else 2 * -(-images // (2 * PIECE))
    size, larger = divmod(images, count or 1)  # the larger ones first, as layers bind anew where the size changes
    starts = [piece * size + min(piece, larger) for piece in range(count + 1)]
    return [slice(start, end) for start, end in pairwise(starts)]


class LeNet5:
    """A stack of layers, added one by one; made with the seven of the report.

    Attributes:
        layers: the layers in order: ``c1 s2 c3 s4 c5 f6 output``.
        codes: (10, 84), the glyphs of the output layer.
        settings: what else the scores depend on: input, activation, connections, loss.
        loss: the loss function.
        threshold: the largest squared distance at which a picture still is a digit; None where none was found.
        parameters: every trainable number in one vector, of which the layers' ``params`` are views.
        gradients: likewise for their ``grads``.

    Source: report, building LeNet5; LeCun et al. 1998, section II.B.
    """

    def __init__(
        self,
        codes: NDArray[np.uint8] | None = None,
        *,
        seed: int | None = None,
        dtype: DTypeLike = np.float32,
        init: str = "uniform",
        input: str = "binary",  # noqa: A002 - the setting's name
        activation: str = "sigmoid",
        connections: str = "full",
        loss: str = "cross-entropy",
    ) -> None:
        """Draw the weights of a new network.

        Args:
            codes: (10, 84), one code a digit, ink 1 and paper 0; the shipped glyph sheet if not given.
            seed: of the initial weights.
            dtype: float32 or float64.
            init: how they are drawn: ``uniform``, ``normal`` or ``lecun``.
            input: how pictures are prepared: ``binary``, ``grey`` or ``lecun``.
            activation: ``sigmoid``, or ``tanh``, with which paper is -1 in the codes.
            connections: ``full``, or ``lecun1998``, the paper's sparse table for c3.
            loss: ``cross-entropy`` or ``discriminative``.
        """
        rng = np.random.default_rng(seed)
        self.codes = glyphs.read() if codes is None else codes
        self.dtype = np.dtype(dtype)
        self.settings = {"input": input, "activation": activation, "connections": connections, "loss": loss}
        self.loss = LOSSES[loss]
        self.threshold: float | None = None
        self.layers: list[Layer] = []
        tanh = activation == "tanh"
        common: dict[str, Any] = {"rng": rng, "init": init, "dtype": dtype, "activation": TANH if tanh else SIGMOID}
        table = LECUN1998 if connections == "lecun1998" else None
        (
            self.add("c1", Conv((1, 32, 32), 5, 6, tile=2, **common))
            .add("s2", Subsampling((6, 28, 28), 2, **common))
            .add("c3", Conv((6, 14, 14), 5, 16, tile=2, connections=table, **common))
            .add("s4", Subsampling((16, 10, 10), 2, **common))
            .add("c5", Conv((16, 5, 5), 5, 120, **common))
            .add("f6", Dense((120, 1, 1), 84, **common))
            .add("output", RBF(2.0 * self.codes - 1 if tanh else self.codes, dtype=dtype))
        )

    @classmethod
    def new(cls, config: Config) -> Self:
        """Return a network as the settings of a run describe it, with the weights of its seed."""
        codes = glyphs.read(config.glyphs)
        return cls(codes, seed=config.seed, dtype=config.dtype, init=config.init, **_settings(config))

    @classmethod
    def load(cls, path: str | PathLike[str] | None = None) -> Self:
        """Return the network of a checkpoint, or of the bundled model, ready to classify.

        Raises:
            LeNet5Error: the file is missing, damaged or not a checkpoint; nothing in it is executed.
        """
        return cls.restore(checkpoint.read(path or BUNDLED_MODEL))

    @classmethod
    def restore(cls, saved: checkpoint.Checkpoint) -> Self:
        """Return the network of a checkpoint that has been read."""
        settings = _settings(Config(**{name: saved.config[name] for name in SETTINGS if name in saved.config}))
        network = cls(saved.codes, seed=0, dtype=saved.pairs[0][0].dtype, **settings)
        for layer, pair in zip(network.layers, saved.pairs, strict=False):
            for param, value in zip(layer.params.values(), pair, strict=True):
                param[...] = value
        return network

    def add(self, name: str, layer: Layer) -> Self:
        """Append a layer under a name, and return the network."""
        layer.name = name
        self.layers.append(layer)
        self.parameters = self._flatten("params")
        self.gradients = self._flatten("grads")
        for each in self.layers:
            each.unbind()
        return self

    def forward(self, x: Array) -> Array:
        """Return scores (n, 10) for prepared images x (n, 1, 32, 32); the largest score is the answer."""
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dscores: Array) -> None:
        """Set ``gradients`` from the gradient by the latest scores, (n, 10)."""
        first, *rest = self.layers
        for layer in reversed(rest):
            dscores = layer.backward(dscores)
        first.backward_params(dscores)

    def prepare(self, images: NDArray[np.uint8]) -> Array:
        """Return pictures (n, 28, 28) as the network's input (n, 1, 32, 32)."""
        return prepare(images, self.settings["input"], self.dtype)

    def scores(self, images: NDArray[np.uint8]) -> Array:
        """Return scores (n, 10) of pictures (n, 28, 28), white on black: minus the squared distance to each code."""
        scores = np.empty((len(images), 10), self.dtype)
        for piece in pieces(len(images)):
            scores[piece] = self.forward(self.prepare(images[piece]))
        return scores

    def probabilities(self, images: NDArray[np.uint8]) -> Array:
        """Return the ten probabilities (n, 10) of each picture (n, 28, 28), white on black."""
        return softmax(self.scores(images))

    def maps(self, images: NDArray[np.uint8]) -> dict[str, Array]:
        """Return what each layer makes of pictures (n, 28, 28), white on black: by name, (n, *output_shape), copies.

        The first is ``input``, the prepared pictures (n, 1, 32, 32).
        """
        x = self.prepare(images)
        maps: dict[str, Array] = {"input": x.copy()}
        for layer in self.layers:
            x = layer.forward(x)
            # A tiled convolution's y[n,k,i,j,p,q] has its rows at 2i+p and its columns at 2j+q.
            untiled = x.transpose(0, 1, 2, 4, 3, 5) if x.ndim > 4 else x
            maps[layer.name] = untiled.copy().reshape(len(x), *layer.output_shape)
        return maps

    def pairs(self) -> list[list[Array]]:
        """Return ``[weight, bias]`` of each trainable layer, copied, in the shapes of the report."""
        return [[value.copy() for value in layer.params.values()] for layer in self.layers if layer.params]

    def _flatten(self, role: str) -> Array:
        """Move every layer's ``params`` or ``grads`` into one vector: an optimiser then takes a step in two calls."""
        arrays = [getattr(layer, role) for layer in self.layers]
        vector = np.concatenate([value.ravel() for named in arrays for value in named.values()])
        start = 0
        for named in arrays:
            for name, value in named.items():
                named[name] = vector[start : start + value.size].reshape(value.shape)
                start += value.size
        return vector


def _settings(config: Config) -> dict[str, str]:
    return {name: getattr(config, name) for name in SETTINGS}
