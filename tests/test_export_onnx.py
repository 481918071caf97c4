"""``lenet5 export --to onnx``: the model that is written, run by onnxruntime."""

import builtins
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lenet5_cli import LeNet5
from lenet5_cli.config import Config
from lenet5_cli.data.sources import load
from lenet5_cli.export import onnx as target
from lenet5_cli.files import BUNDLED_MODEL
from lenet5_cli.storage import checkpoint
from tests.conftest import run
from tests.exporting import IMAGES, NETWORKS, saved

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

DOCS = Path(__file__).parent.parent / "docs" / "export.md"
MNIST = os.environ.get("LENET5_DATA")


def outputs(model: bytes, images: np.ndarray) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"images": images}), strict=True))


@pytest.mark.parametrize("name", NETWORKS)
def test_it_computes_what_the_network_does(name: str) -> None:
    network = NETWORKS[name]()
    found = outputs(target.render(network, saved(network)), IMAGES)
    scores = network.scores(IMAGES)
    # float32 holds seven digits: where distances are in the hundreds, both sides round at 1e-5.
    np.testing.assert_allclose(found["scores"], scores, atol=1e-4, rtol=2e-6)
    np.testing.assert_array_equal(found["distances"], -found["scores"])
    np.testing.assert_array_equal(found["digit"], found["distances"].argmin(axis=1))
    np.testing.assert_allclose(found["probabilities"], network.probabilities(IMAGES), atol=2e-4)
    assert {key: value.dtype.name for key, value in found.items()} == {
        "distances": "float32", "scores": "float32", "probabilities": "float32", "digit": "int64",
    }  # fmt: skip


@pytest.mark.parametrize("count", [1, 2, 7])
def test_any_number_of_images_is_taken(count: int) -> None:
    model = target.render(LeNet5.load(), checkpoint.read(BUNDLED_MODEL))
    np.testing.assert_allclose(
        outputs(model, IMAGES[:count])["scores"], LeNet5.load().scores(IMAGES[:count]), atol=1e-4
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_there_are_no_more_nodes_than_the_layers_need(name: str) -> None:
    """A layer and its function are two; pixels to numbers two or three; distances two or three, then three outputs."""
    network = NETWORKS[name]()
    model = onnx.load_model_from_string(target.render(network, saved(network)))
    pixels = ["GreaterOrEqual"] * (network.config.input == "binary") + ["Cast", "Unsqueeze"]
    tanh = network.config.activation == "tanh"
    hidden = ["Conv", "Tanh" if tanh else "Sigmoid"] * (len(network.layers) - 1)
    distances = ["Mul"] * tanh + ["Sub", "ReduceSumSquare"]
    assert [node.op_type for node in model.graph.node] == pixels + hidden + distances + ["Neg", "Softmax", "ArgMax"]


@pytest.mark.parametrize("name", ["bundled", "other shapes"])
def test_every_convolution_states_its_window(name: str) -> None:
    """ONNX lets it follow from the weight; OpenCV does not read such a model."""
    network = NETWORKS[name]()
    graph = onnx.load_model_from_string(target.render(network, saved(network))).graph
    windows = {array.name: array.dims[2:] for array in graph.initializer}
    stated = {
        node.input[1]: [each.ints for each in node.attribute if each.name == "kernel_shape"]
        for node in graph.node
        if node.op_type == "Conv"
    }
    assert stated == {weight: [windows[weight]] for weight in stated}


def test_the_model_says_what_it_takes_and_where_it_is_from() -> None:
    trained = checkpoint.read(BUNDLED_MODEL)
    model = onnx.load_model_from_string(target.render(LeNet5.load(), trained))
    onnx.checker.check_model(model, full_check=True)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 17)]
    assert model.ir_version == 8  # not that of the onnx that is installed, which older runtimes refuse
    (images,) = model.graph.input
    assert images.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [each.dim_param or each.dim_value for each in images.type.tensor_type.shape.dim] == ["n", 28, 28]
    metadata: dict[str, Any] = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert metadata["config"] == trained.config
    assert metadata["data"]["sha256"] == trained.data["sha256"]
    assert metadata["training_accuracy"] == trained.history[-1].accuracy
    assert metadata["licence"] == "MIT"
    assert metadata["codes"] == ["".join(map(str, code)) for code in LeNet5.load().codes.tolist()]


def test_the_licence_of_a_model_of_somebody_else_is_not_told() -> None:
    network = LeNet5(Config(seed=1))
    model = onnx.load_model_from_string(target.render(network, saved(network)))
    assert "licence" not in {entry.key for entry in model.metadata_props}


def test_without_onnx_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any) -> Any:
        if name.partition(".")[0] == "onnx":
            raise ImportError("No module named 'onnx'")
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    result = run("export", "--to", "onnx", code=1)
    assert result.stderr == "Error: onnx cannot be imported: No module named 'onnx'; pip install 'lenet5-cli[onnx]'\n"


def test_the_code_in_the_docs_runs() -> None:
    for name in ("onnx", "npz"):
        run("export", "--to", name)
    blocks = re.findall(r"^```python\n(.*?)^```", DOCS.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    names: dict[str, Any] = {}
    for block in blocks:
        exec(block, names)  # noqa: S102 - our own
    assert names["digit"].shape == (1,)
    assert [layer["name"] for layer in names["layers"]] == [layer.name for layer in LeNet5.load().layers]


@pytest.mark.skipif(not MNIST, reason="LENET5_DATA names no folder with MNIST")
def test_mnist_gets_the_same_digits() -> None:
    images = np.asarray(load(str(MNIST), "test").images)[::5]
    scores = LeNet5.load().scores(images)
    found = outputs(target.render(LeNet5.load(), checkpoint.read(BUNDLED_MODEL)), images)
    np.testing.assert_array_equal(found["digit"], scores.argmax(axis=1))
    np.testing.assert_allclose(found["scores"], scores, atol=1e-4)
