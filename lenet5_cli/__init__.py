"""LeNet-5 over a layer engine written from scratch in NumPy einsum.

The Python interface: ``LeNet5``, ``read_picture`` and ``read_digits``; see the README for an example.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lenet5_cli.engine.network import LeNet5
    from lenet5_cli.errors import LeNet5Error
    from lenet5_cli.pictures.lines import read_digits
    from lenet5_cli.pictures.read import read_picture

__all__ = ["LeNet5", "LeNet5Error", "read_digits", "read_picture"]
__version__ = "0.1.0"

_MODULES = {
    "LeNet5": "engine.network",
    "LeNet5Error": "errors",
    "read_digits": "pictures.lines",
    "read_picture": "pictures.read",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``lenet5 --help`` does not wait for NumPy."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
