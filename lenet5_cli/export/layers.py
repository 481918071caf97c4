"""Code shared by the export targets: checks of the layers, images for tests, and the scale of the network's input."""

from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from lenet5_cli import __version__
from lenet5_cli.engine import RBF, Conv, Dense, Layer, Subsampling
from lenet5_cli.engine.activations import AMPLITUDE, SLOPE
from lenet5_cli.engine.network import LeNet5
from lenet5_cli.engine.preprocessing import PADDING, SCALES, THRESHOLD
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.storage.checkpoint import Checkpoint

KINDS: tuple[type[Layer], ...] = (Conv, Subsampling, Dense, RBF)

Weights = Conv | Subsampling | Dense

_GOLDEN_SEED = 3


def check(network: LeNet5) -> None:
    """Refuse a network with a layer that the targets do not support.

    Raises:
        LeNet5Error: a layer is of another kind than the engine's own, or has another activation function than the
            settings say, or the last layer is not the only RBF.
    """
    for layer in network.layers:
        if type(layer) not in KINDS:
            expected = " or ".join(kind.__name__ for kind in KINDS)
            raise LeNet5Error(f"{layer.name}: {type(layer).__name__} cannot be exported; expected {expected}")
        if isinstance(layer, Weights) and layer.activation.name != network.config.activation:
            expected = f"expected {network.config.activation}, as in the settings"
            raise LeNet5Error(f"{layer.name}: {layer.activation.name} cannot be exported; {expected}")
    if [layer for layer in network.layers if isinstance(layer, RBF)] != network.layers[-1:]:
        raise LeNet5Error(f"{network.layers[-1].name}: expected an RBF layer at the end, and only there")


def check_float32(network: LeNet5) -> None:
    """Refuse a network of float64 with a number that float32 does not hold.

    Raises:
        LeNet5Error: there is one.
    """
    for layer in network.layers:
        for name, values in layer.params.items():
            if np.abs(values).max() > np.finfo(np.float32).max:
                there = f"{layer.name}.{name}: holds a number too large for float32"
                raise LeNet5Error(f"{there}; --to npz writes float64 too")


def golden_images(count: int) -> NDArray[np.uint8]:
    """Return the drawn digits (n, 28, 28) by which an export is tested, other than those of training and test."""
    from lenet5_cli.data import drawn  # noqa: PLC0415 - needs Pillow, which some of the targets do not

    return drawn.draw(count, _GOLDEN_SEED)[0]


class Scale(NamedTuple):
    """A linear scale: an integer stands for ``step`` times itself, plus ``low``."""

    step: float
    low: float = 0.0


def pixel_scale(network: LeNet5) -> Scale:
    """Return the scale of pixels 0 to 255; for binary input, of pixels that the threshold has set to 0 or 255."""
    low, high = SCALES[network.config.input]
    return Scale((high - low) / 255, low)


def pixels(network: LeNet5) -> str:
    """Describe the values of pixels 0 and 255 in words."""
    ends = "(black) to 255 (white), as in the picture itself" if network.config.as_is else "(paper) to 255 (ink)"
    return f"from 0 {ends}"


def weighted(network: LeNet5) -> list[Weights]:
    """Return all layers but the last."""
    return [layer for layer in network.layers if isinstance(layer, Weights)]


def codes(network: LeNet5) -> NDArray[Any]:
    """Return the codes (k, c) that the last layer compares with, in float64."""
    return cast("RBF", network.layers[-1]).codes.astype(np.float64)


def by_output(layer: Weights) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return weight[k, ...] and bias[k] of a layer, in float64, the output map or unit first."""
    weight, bias = (layer.params[name].astype(np.float64) for name in ("weight", "bias"))
    return (weight.T if isinstance(layer, Dense) else weight), bias


def description(network: LeNet5, saved: Checkpoint) -> dict[str, Any]:
    """Return the metadata of a network, everything but its arrays, as plain lists, dicts, strings and numbers."""
    return {
        "lenet5": __version__,
        "input": {
            "setting": network.config.input,
            "pixels": pixels(network),
            "threshold": THRESHOLD if network.config.input == "binary" else None,
            "padding": PADDING,
            **pixel_scale(network)._asdict(),
        },
        "layers": [_layer(layer) for layer in network.layers],
        "tanh": {"amplitude": AMPLITUDE, "slope": SLOPE},
        "threshold": network.threshold,
        "names": list(network.names),
        "config": saved.config,
        "data": saved.data,
        "epoch": saved.epoch,
        "training_accuracy": saved.history[-1].accuracy if saved.history else None,
        "versions": saved.versions,
    }


def _layer(layer: Layer) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": layer.name,
        "kind": type(layer).__name__.lower(),
        "input_shape": layer.input_shape,
        "output_shape": layer.output_shape,
    }
    if isinstance(layer, Weights):
        described["activation"] = layer.activation.name
    if isinstance(layer, Subsampling):
        described["size"] = layer.kernel_size
    if isinstance(layer, Conv):
        described["size"] = layer.params["weight"].shape[-1]
        described["connections"] = None if layer.connections is None else layer.connections.astype(int).tolist()
    return described
