"""NPZ: arrays by name, and metadata as JSON, for any language that reads zip and NumPy's format."""

import io
import json
import zipfile

import numpy as np

from lenet5_cli.engine import RBF
from lenet5_cli.engine.network import LeNet5
from lenet5_cli.export.layers import description
from lenet5_cli.storage.checkpoint import Checkpoint

DESCRIPTION = "network.json"


def render(network: LeNet5, saved: Checkpoint) -> bytes:
    """Return an NPZ archive: ``c1.weight`` and so on, the codes as ``output.codes``, and ``network.json``.

    The shapes are the engine's: weight is (k, c, u, v) of a convolution, (c,) of a sub-sampling, (c, k) of a fully
    connected layer; codes are (k, c). The same network gives the same bytes.
    """
    arrays = {f"{layer.name}.{name}": value for layer in network.layers for name, value in layer.params.items()}
    arrays |= {f"{layer.name}.codes": layer.codes for layer in network.layers if isinstance(layer, RBF)}
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as members:
        for name, value in arrays.items():
            array = io.BytesIO()
            np.lib.format.write_array(array, np.ascontiguousarray(value), allow_pickle=False)
            members.writestr(_info(f"{name}.npy"), array.getvalue())
        text = json.dumps(description(network, saved), indent=2)
        members.writestr(_info(DESCRIPTION), text + "\n")
    return archive.getvalue()


def _info(name: str) -> zipfile.ZipInfo:
    """Return the zip entry of a member, with fixed time and system, so that the bytes are reproducible."""
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    return info
