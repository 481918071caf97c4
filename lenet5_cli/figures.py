"""Pictures of a training run, drawn by matplotlib."""

import io
from pathlib import Path
from typing import Any

from lenet5_cli.errors import LeNet5Error
from lenet5_cli.files import replacing

BLUE, ORANGE = "#0072b2", "#d55e00"  # told apart by the colour-blind, and in grey


def require_matplotlib() -> None:
    """Raise LeNet5Error where matplotlib is missing."""
    try:
        import matplotlib  # noqa: F401, PLC0415 - it is optional
    except ImportError:
        raise LeNet5Error("matplotlib is not installed; pip install 'lenet5[plot]' or leave out --plot") from None


def history(epochs: list[dict[str, Any]], path: Path) -> None:
    """Draw loss and accuracy over epochs, as the report's figure does; the file's ending says which format.

    Raises:
        LeNet5Error: matplotlib is missing, does not know the ending, or the file cannot be written.
    """
    require_matplotlib()
    from matplotlib.figure import Figure  # noqa: PLC0415 - it is optional, and slow to import

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, 2)
    numbers = [epoch["epoch"] for epoch in epochs]
    for panel, key, colour in zip(panels, ("loss", "accuracy"), (ORANGE, BLUE), strict=True):
        panel.plot(numbers, [epoch[key] for epoch in epochs], color=colour, marker="o", markersize=3)
        panel.set(xlabel="epoch", ylabel=key, title=f"{key} on the training set")
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.grid(alpha=0.3)
    panels[0].set_ylim(bottom=0)
    accuracies = [epoch["accuracy"] for epoch in epochs]
    if "validation_accuracy" in epochs[0]:
        validated = [epoch["validation_accuracy"] for epoch in epochs]
        panels[1].plot(numbers, validated, color=ORANGE, linestyle="--", label="held out")
        panels[1].legend(loc="lower right")
        panels[1].set_title("accuracy on the training set, and held out")
        accuracies += validated
    lowest = min(accuracies)
    panels[1].set_ylim(0 if lowest < 0.9 else lowest - (1 - lowest) / 10, 1)
    content = io.BytesIO()
    try:
        figure.savefig(content, format=path.suffix[1:] or "png", dpi=150)
    except ValueError as error:
        raise LeNet5Error(f"{path}: {error}") from None
    with replacing(path) as file:
        file.write(content.getvalue())
