"""The quantised network: what the exports to C and hex compute with int8 or int16, bit for bit.

An output of 1 is represented by the integer ``one``. The weights of a layer are integers times a power of two, chosen
such that an int32 holds every possible sum: sums are exact and never overflow, in any order.

``sum = sum_c x[n,c] weight[k,c] + bias[k]``, ``position = clamp(sum >> shift)``, ``y[n,k] = f(position)``

f is a table of the activation function with linear interpolation. No calibration images are needed to find the scales,
because the activation function bounds every output.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet5_cli.engine import ACTIVATIONS, Conv, Subsampling
from lenet5_cli.engine.network import LeNet5
from lenet5_cli.engine.preprocessing import PADDING, THRESHOLD
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.export.layers import Scale, Weights, by_output, check, codes, pixel_scale, weighted

Integers = NDArray[np.integer[Any]]
Whole = NDArray[np.float64]  # integers in float64, which is exact here and for which BLAS is fast

PIXEL_ONE = 255  # the value of a binary pixel that is 1
INT32_MAX = 2**31 - 1
TABLE_END = 16  # the table goes from -16 to 16, beyond which both functions are flat
TABLE_BITS = 4  # its entries are 1/16 apart: the error of linear interpolation is below 0.0002
INTERVALS = 2 * TABLE_END << TABLE_BITS
CHUNK = 100  # images computed together; their windows take some 16 MB


@dataclass(frozen=True)
class Type:
    """A type of quantised numbers.

    Attributes:
        weight: the type of a weight.
        one: the integer that represents an output of 1, by activation function.
        line_bits: the number of bits of a position between two entries of the table.
    """

    weight: np.dtype[Any]
    one: dict[str, int]
    line_bits: int


TYPES = {
    "int8": Type(np.dtype(np.int8), {"sigmoid": 255, "tanh": 74}, 4),  # 1.7159 * 74 is 127
    "int16": Type(np.dtype(np.int16), {"sigmoid": 4096, "tanh": 1024}, 8),
}


@dataclass(frozen=True, eq=False)  # of arrays, whose equality has no truth value
class Stage:
    """A quantised layer.

    Attributes:
        layer: the layer that was quantised.
        weight: [k, ...], the output map or unit first.
        bias: [k], int32, with the start of the table and one half, for rounding, already added.
        shift: the number of bits by which a sum is shifted right to give the position in the table.
        scale: the factor from an integer weight to the real one: a power of two over the step of the input.
    """

    layer: Weights
    weight: Integers
    bias: Integers
    shift: int
    scale: float


class FixedPoint:
    """A quantised network, and the integer arithmetic of its exports.

    Attributes:
        network: the network that was quantised.
        type: the type of the numbers.
        one: the integer that represents an output of 1.
        activation: the type of an output, and of a pixel of the input.
        pixel_offset: what is added to a pixel of 0 to 255 so that it fits ``activation``.
        table: f at the ``INTERVALS + 1`` ends of the intervals.
        stages: the layers but the last, in order.
        codes: (k, c), the codes of the last layer.
        threshold: the network's, in units of ``distances``.
    """

    def __init__(self, network: LeNet5, kind: str) -> None:
        """Quantise a network.

        Raises:
            LeNet5Error: a layer cannot be exported, or its weights are too large.
        """
        check(network)
        self.network, self.type = network, TYPES[kind]
        function = ACTIVATIONS[network.config.activation]
        self.one = self.type.one[function.name]
        table = np.arange(-TABLE_END, TABLE_END + 2**-TABLE_BITS, 2.0**-TABLE_BITS)
        function.apply(table)
        table = np.rint(self.one * table)
        self.activation = np.dtype(np.int16 if kind == "int16" else np.int8 if table.min() < 0 else np.uint8)
        self.table = table.astype(self.activation)
        self.pixel_offset = -128 if self.activation == np.int8 else 0
        self.stages: list[Stage] = []
        scale = pixel_scale(network)
        scale, largest = Scale(scale.step, scale.low - scale.step * self.pixel_offset), 255 + self.pixel_offset
        for layer in weighted(network):
            self.stages.append(self._quantised(layer, scale, max(largest, -self.pixel_offset)))
            scale, largest = Scale(1 / self.one), int(table.max())
        self.codes: Integers = np.rint(self.one * codes(network)).astype(self.activation)
        apart = np.maximum(table.max() - self.codes, self.codes - table.min())
        if (apart**2).sum(axis=1).max() > INT32_MAX:
            there = f"{network.layers[-1].name}: distances to codes of {self.codes.shape[1]} numbers"
            raise LeNet5Error(f"{there} are too large for {kind}; expected smaller ones, or another type")
        threshold = network.threshold
        self.threshold = None if threshold is None else int(min(threshold * self.one**2, INT32_MAX))

    def _quantised(self, layer: Weights, scale: Scale, largest: int) -> Stage:
        """Quantise a layer with the finest scale at which all weights fit their type and all sums an int32."""
        weight, bias = by_output(layer)
        pixels = layer.kernel_size**2 if isinstance(layer, Subsampling) else 1
        min_bits = TABLE_BITS + self.type.line_bits
        axes = tuple(range(1, weight.ndim))
        with np.errstate(over="ignore", invalid="ignore"):
            for bits in range(31, min_bits - 1, -1):
                whole = np.rint(weight * scale.step * 2.0**bits)
                sums = pixels * whole.sum(axis=axes)
                shift = bits - min_bits
                start = (TABLE_END << bits) + ((1 << shift) >> 1)
                biases = np.rint(bias * 2.0**bits + sums * (scale.low / scale.step)) + start
                bounds = pixels * largest * abs(whole).sum(axis=axes) + abs(biases)
                if abs(whole).max() <= np.iinfo(self.type.weight).max and bounds.max() <= INT32_MAX:
                    return Stage(
                        layer, whole.astype(self.type.weight), biases.astype(np.int32), shift, 0.5**bits / scale.step
                    )
        there = f"{layer.name}: weights up to {abs(weight).max():.3g} and biases up to {abs(bias).max():.3g}"
        raise LeNet5Error(f"{there} are too large for {self.type.weight}; expected smaller ones, or another type")

    def maps(self, images: NDArray[np.uint8]) -> dict[str, Integers]:
        """Return the integer output of each layer, by name, for pictures (n, 28, 28), white on black.

        The first is ``input``, (n, 1, 32, 32), and the last is what ``distances`` returns.
        """
        return {name: y.astype(np.int32) for name, y in self._layers(images)}

    def distances(self, images: NDArray[np.uint8]) -> Integers:
        """Return the squared distances (n, k) of pictures (n, 28, 28) to each code, int32: ``one**2`` is 1."""
        chunks = [images[start : start + CHUNK] for start in range(0, len(images), CHUNK)]
        return np.concatenate([list(self._layers(chunk))[-1][1].astype(np.int32) for chunk in chunks])

    def scores(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return scores (n, k) as ``LeNet5.scores`` does: minus the squared distances."""
        scores: NDArray[np.float64] = self.distances(images) / -float(self.one**2)
        return scores

    def _layers(self, images: NDArray[np.uint8]) -> Iterator[tuple[str, Whole]]:
        """Yield the input and each layer's output, each with its name."""
        binary = self.network.config.input == "binary"
        pixels = np.where(images >= THRESHOLD, PIXEL_ONE, 0) if binary else images
        around = ((0, 0), (0, 0), (PADDING, PADDING), (PADDING, PADDING))
        x = np.pad(pixels[:, None].astype(np.float64), around) + self.pixel_offset
        yield "input", x
        for stage in self.stages:
            x = self._activated(_sums(stage, x), stage.shift)
            yield stage.layer.name, x
        differences = x.reshape(len(x), 1, -1) - self.codes.astype(np.float64)
        yield self.network.layers[-1].name, np.einsum("nkc,nkc->nk", differences, differences)

    def _activated(self, sums: Whole, shift: int) -> Whole:
        """Return the activation function of sums, by the table."""
        bits = self.type.line_bits
        position = np.clip(sums.astype(np.int64) >> shift, 0, (INTERVALS << bits) - 1)
        entry, along = position >> bits, position & ((1 << bits) - 1)
        table = self.table.astype(np.int64)
        rise = (table[entry + 1] - table[entry]) * along
        y: Integers = table[entry] + ((rise + ((1 << bits) >> 1)) >> bits)
        return y.astype(np.float64)


def _sums(stage: Stage, x: Whole) -> Whole:
    """Return the sums of products of a stage, with the bias, for x (n, ...)."""
    layer, weight = stage.layer, stage.weight.astype(np.float64)
    if isinstance(layer, Conv):
        windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], axis=(2, 3))
        sums: Whole = np.einsum("ncijuv,kcuv->nkij", windows, weight, optimize=True)
        return sums + stage.bias[:, None, None]
    if isinstance(layer, Subsampling):
        c, i, j = layer.output_shape
        s = layer.kernel_size
        windows = x.reshape(-1, c, i, s, j, s)
        sums = np.einsum("nciujv,c->ncij", windows, weight)
        return sums + stage.bias[:, None, None]
    return x.reshape(len(x), -1) @ weight.T + stage.bias
