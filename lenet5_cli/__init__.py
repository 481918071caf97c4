"""LeNet-5 over a layer engine written from scratch in NumPy einsum.

The Python interface is what ``__all__`` names; docs/python.md shows it at work. Beside it stands
``lenet5_cli.sklearn``, a classifier for scikit-learn.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lenet5_cli.commands.progress import bar
    from lenet5_cli.config import Config
    from lenet5_cli.data.sources import Split
    from lenet5_cli.engine.committee import Committee
    from lenet5_cli.engine.network import LeNet5
    from lenet5_cli.errors import LeNet5Error
    from lenet5_cli.pictures.lines import Text
    from lenet5_cli.pictures.read import read_digits, read_picture
    from lenet5_cli.training.inputs import load_data
    from lenet5_cli.training.loop import evaluate
    from lenet5_cli.training.metrics import Tally
    from lenet5_cli.training.runs import Run, train

__all__ = [
    "Committee",
    "Config",
    "LeNet5",
    "LeNet5Error",
    "Run",
    "Split",
    "Tally",
    "Text",
    "bar",
    "evaluate",
    "load_data",
    "read_digits",
    "read_picture",
    "train",
]
__version__ = "0.1.0"

_PLACES = {
    "Committee": "engine.committee.Committee",
    "Config": "config.Config",
    "LeNet5": "engine.network.LeNet5",
    "LeNet5Error": "errors.LeNet5Error",
    "Run": "training.runs.Run",
    "Split": "data.sources.Split",
    "Tally": "training.metrics.Tally",
    "Text": "pictures.lines.Text",
    "bar": "commands.progress.bar",
    "evaluate": "training.loop.evaluate",
    "load_data": "training.inputs.load_data",
    "read_digits": "pictures.read.read_digits",
    "read_picture": "pictures.read.read_picture",
    "train": "training.runs.train",
}


if not TYPE_CHECKING:  # to whom every name would be one

    def __getattr__(name: str) -> Any:
        """Import a public name when it is first used, so that ``lenet5 --help`` does not wait for NumPy."""
        if name not in _PLACES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module  # noqa: PLC0415

        module, _, attribute = _PLACES[name].rpartition(".")
        return getattr(import_module(f"{__name__}.{module}"), attribute)


def __dir__() -> list[str]:
    """Return the names of this module, with the public ones, of which none may be imported yet."""
    return sorted({*globals(), *__all__} - {"Any", "TYPE_CHECKING"})
