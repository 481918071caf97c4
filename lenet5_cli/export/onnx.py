"""ONNX: preprocessing, network and answer as one graph of standard operators."""

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lenet5_cli import __version__
from lenet5_cli.engine import Dense, Subsampling
from lenet5_cli.engine.activations import AMPLITUDE, SLOPE
from lenet5_cli.engine.network import LeNet5
from lenet5_cli.engine.preprocessing import PADDING, THRESHOLD
from lenet5_cli.errors import missing
from lenet5_cli.export.layers import Scale, Weights, by_output, check_float32, codes, description, pixel_scale, weighted
from lenet5_cli.storage.checkpoint import Checkpoint

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto

OPSET = 17
IR_VERSION = 8  # the one of opset 17's time, which older runtimes read too


def render(network: LeNet5, saved: Checkpoint) -> bytes:
    """Return a model that takes ``images`` uint8 [n,28,28], white on black, and gives four outputs.

    These are ``distances`` float32 [n,k], squared, to each code, ``scores``, which are minus these, ``probabilities``,
    their softmax, and ``digit``, or of other classes ``class``, int64 [n]; the metadata has their names.

    Raises:
        LeNet5Error: the package onnx cannot be imported, or a number is too large for float32.
    """
    check_float32(network)
    try:
        from onnx import TensorProto, checker, helper  # noqa: PLC0415 - it is optional
    except ImportError as error:
        raise missing("onnx", error, "onnx") from None
    graph = _Graph()
    graph.add_network(network)
    side = network.layers[0].input_shape[-1] - 2 * PADDING
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", side, side])
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", len(network.codes)])
        for name in ("distances", "scores", "probabilities")
    ]
    outputs.append(helper.make_tensor_value_info(network.sheet.noun, TensorProto.INT64, ["n"]))
    model = helper.make_model(
        helper.make_graph(graph.nodes, "lenet5", [images], outputs, graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="lenet5",
        producer_version=__version__,
    )
    helper.set_model_props(model, _metadata(network, saved))
    checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


class _Graph:
    """Nodes in order, each reading the output of the one before.

    The scale of the numbers between two layers, of a pixel or of a tanh, is part of the weights that follow: a layer is
    one node, and its activation function one more.
    """

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self.latest = "images"

    def add(self, operator: str, output: str, *constants: NDArray[Any], **attributes: Any) -> None:
        """Append a node that reads the latest output, and constants, which are named after its own output."""
        from onnx import helper, numpy_helper  # noqa: PLC0415 - it is optional

        names = [f"{output}.{number}" for number in range(len(constants))]
        self.constants += [
            numpy_helper.from_array(np.ascontiguousarray(array), name)
            for array, name in zip(constants, names, strict=True)
        ]
        self.nodes.append(helper.make_node(operator, [self.latest, *names], [output], name=output, **attributes))
        self.latest = output

    def add_network(self, network: LeNet5) -> None:
        """Append all from the pixels to the digit."""
        from onnx import TensorProto  # noqa: PLC0415 - it is optional

        scale = pixel_scale(network)
        if network.config.input == "binary":
            self.add("GreaterOrEqual", "ink", np.array(THRESHOLD, np.uint8))
            scale = Scale(255 * scale.step)
        self.add("Cast", "pixels", to=TensorProto.FLOAT)
        self.add("Unsqueeze", "input", np.array([1]))
        for layer in weighted(network):
            scale = self._add_layer(layer, scale)
        if scale.step != 1:  # not in the codes and the distances, which would then be rounded
            self.add("Mul", "outputs", np.array(scale.step, np.float32))
        self.add("Sub", "differences", codes(network).T[None, :, :, None].astype(np.float32))
        self.add("ReduceSumSquare", "distances", axes=[1, 3], keepdims=0)
        self.add("Neg", "scores")
        self.add("Softmax", "probabilities", axis=1)
        self.latest = "scores"
        self.add("ArgMax", network.sheet.noun, axis=1, keepdims=0)

    def _add_layer(self, layer: Weights, scale: Scale) -> Scale:
        """Append a layer and its activation function, and return what a number of its output stands for."""
        weight, bias = by_output(layer)
        attributes: dict[str, Any] = {}
        if isinstance(layer, Subsampling):
            size = (layer.kernel_size, layer.kernel_size)
            weight = np.broadcast_to(weight[:, None, None, None], (len(weight), 1, *size))
            attributes = {"group": len(weight), "strides": size}
        if isinstance(layer, Dense):  # a window as large as the map
            weight = weight.reshape(len(weight), *(*layer.input_shape, 1, 1)[:3])
        attributes["kernel_shape"] = weight.shape[2:]  # some readers do not take it from the weight
        if self.latest == "input":
            attributes["pads"] = [PADDING] * 4
        tanh = layer.activation.name == "tanh"
        slope = SLOPE if tanh else 1
        bias = bias + scale.low * weight.sum(axis=(1, 2, 3))
        constants = [(slope * array).astype(np.float32) for array in (scale.step * weight, bias)]
        self.add("Conv", f"{layer.name}.sum", *constants, **attributes)
        self.add("Tanh" if tanh else "Sigmoid", layer.name)
        return Scale(AMPLITUDE if tanh else 1)


def _metadata(network: LeNet5, saved: Checkpoint) -> dict[str, str]:
    """Return the description, each entry a JSON text, with the glyph codes, and the licence of the bundled model."""
    entries = description(network, saved)
    entries["codes"] = ["".join(map(str, code)) for code in network.codes.tolist()]
    if np.array_equal(network.parameters, LeNet5.load().parameters):
        entries["licence"] = "MIT"
    return {name: json.dumps(entry) for name, entry in entries.items()}
