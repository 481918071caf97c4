"""Export a trained network for other programs: each target is a module, which returns the content to write.

``onnx``, ``page`` and ``npz`` have ``render(network, saved) -> bytes``, the content of a file; ``c`` and ``hex``, which
are written in one of several types of number, ``render(network, saved, kind, golden) -> {name: bytes}``, a folder's.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from lenet5_cli.files import filling, replacing


class Target(NamedTuple):
    """A choice of ``--to``.

    Attributes:
        output: the file or folder that is written by default.
        types: the types of number it can be written in, the default first; empty if there is no choice.
    """

    output: str
    types: tuple[str, ...] = ()


TARGETS = {
    "onnx": Target("lenet5.onnx"),
    "c": Target("lenet5_c", ("float32", "int8", "int16")),
    "page": Target("lenet5.html"),
    "npz": Target("lenet5.npz"),
    "hex": Target("lenet5_hex", ("int8", "int16")),
}


def write(path: Path, rendered: bytes | Mapping[str, bytes], demand: Callable[[], None] = lambda: None) -> None:
    """Write a file, or the files of a folder, which is made if need be: all of them or none.

    ``demand`` is called while the output is locked, and raises an error if existing files must not be replaced.

    Raises:
        LeNet5Error: the disk is full, or it cannot be written; existing files stay.
    """
    if isinstance(rendered, bytes):
        with replacing(path) as file:
            demand()
            file.write(rendered)
        return
    with filling(path) as folder:
        demand()
        for name, content in rendered.items():
            (folder / name).write_bytes(content)
