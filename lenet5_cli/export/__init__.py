"""A trained network in forms that other programs read: a target a module, each of which returns what is to be written.

``onnx``, ``page`` and ``npz`` have ``render(network, saved) -> bytes``, the content of a file; ``c`` and ``hex``, which
are written in one of several types of number, ``render(network, saved, kind, golden) -> {name: bytes}``, a folder's.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from shutil import rmtree
from typing import NamedTuple

from lenet5_cli.errors import LeNet5Error
from lenet5_cli.files import replacing


class Target(NamedTuple):
    """What ``--to`` can name.

    Attributes:
        output: the file or folder that is written by default.
        types: the types of number it can be written in, the default first; none where there is no choice.
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


def write(path: Path, rendered: bytes | Mapping[str, bytes]) -> None:
    """Write a file, or the files of a folder, which is made if need be: all of them or none.

    Raises:
        LeNet5Error: the disk is full, or the folder cannot be written; what was there before stays.
    """
    if isinstance(rendered, bytes):
        with replacing(path) as file:
            file.write(rendered)
        return
    if path.exists() and not path.is_dir():
        raise LeNet5Error(f"{path}: a file; expected a folder")
    target = path.resolve()
    temporary = target.with_name(f".{target.name}.part")
    try:
        _fill(temporary, rendered)
        if target.exists():
            for name in rendered:
                (temporary / name).replace(target / name)
        else:
            temporary.rename(target)
    except OSError as error:
        raise LeNet5Error(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        rmtree(temporary, ignore_errors=True)


def _fill(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make a folder of files that are on the disk."""
    rmtree(folder, ignore_errors=True)  # left by a run that was killed while it wrote
    folder.mkdir()
    for name, content in files.items():
        with (folder / name).open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
