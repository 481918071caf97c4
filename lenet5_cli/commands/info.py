"""``lenet5 info``."""

import json
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lenet5_cli import __version__, config
from lenet5_cli.commands.options import (
    MODEL,
    GroupedCommand,
    Named,
    UsageError,
    complete_config,
    console,
    data_option,
    option,
    overwrite_option,
    plain,
    source_of,
)
from lenet5_cli.commands.outputs import refuse_existing, say_written
from lenet5_cli.commands.reading import data_of, load, model_name
from lenet5_cli.errors import LeNet5Error

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from lenet5_cli.data.sources import Split
    from lenet5_cli.engine.network import LeNet5
    from lenet5_cli.storage.checkpoint import Checkpoint

# What is drawn of a history, and which of its values is the best.
CURVES = {"loss": min, "accuracy": max, "validation_loss": min, "validation_accuracy": max}
WIDTH = 60  # columns of a curve, at most
LEVELS = "▁▂▃▄▅▆▇█"
ASCII_LEVELS = ".:-=+*#@"


@click.command(cls=GroupedCommand)
@click.argument("model", type=MODEL, required=False, metavar="[MODEL|bundled]")
@option(
    "--config",
    "recipe",
    group="Main",
    metavar="NAME|FILE",
    shell_complete=complete_config,
    help="Show a preset or a TOML file instead.",
)
@option("--json", "as_json", group="Output", is_flag=True, help="Print one JSON object instead of tables.")
@option(
    "--figures",
    "folder",
    group="Output",
    type=Named("a folder", file_okay=False),
    metavar="FOLDER",
    help="Draw its kernels, maps, curves and glyphs into this folder (needs matplotlib).",
)
@data_option
@overwrite_option
def info(
    model: Path | None, recipe: str | None, as_json: bool, folder: Path | None, data: str | None, overwrite: bool
) -> None:
    """Show how a checkpoint was made, or what a recipe sets.

    For a checkpoint: its layers, the settings that differ from the nearest preset, the training data, loss and accuracy
    over the epochs, and the versions it was made with. For a recipe: every setting, and where it differs from the
    default.

    --figures draws the checkpoint: kernels.png; maps.png, the feature maps for the first test image of each class of
    --data; curves.png, loss and accuracy over the epochs; glyphs.png.

    \b
    Examples:
      lenet5 info model.pkl
      lenet5 info model.pkl --figures pictures
      lenet5 info model.pkl --json | jq .settings
      lenet5 info --config report
    """
    if folder and not model:
        raise UsageError("--figures draws a checkpoint; give a MODEL")
    if source_of("data") == "COMMANDLINE" and not folder:
        raise UsageError("--data names the images of --figures; give --figures FOLDER too")
    if model and not recipe:
        _model(model, as_json, folder, data, overwrite)
    elif recipe and not model:
        _recipe(recipe, as_json)
    else:
        raise UsageError("expected either MODEL or --config")


def _recipe(name: str, as_json: bool) -> None:
    settings, default = _preset(name), _for_json(asdict(config.Config()))
    if as_json:
        click.echo(json.dumps({"config": name, "settings": settings, "defaults": default}))
        return
    differing = _differing(settings, default)
    screen = console()
    table = _table(screen, "setting", "value", *(["default"] if differing else []))
    table.columns[0].no_wrap = True
    for setting, value in settings.items():
        cells = [setting, value, default[setting]] if setting in differing else [setting, value]
        table.add_row(*(_text(screen, cell) for cell in cells), style="bold" if setting in differing else "")
    screen.print(table)
    if differing:
        _say(screen, f"{len(differing)} of {len(settings)} settings differ from the defaults.")
    else:
        _say(screen, f"All {len(settings)} settings are the defaults.")


def _model(path: Path, as_json: bool, folder: Path | None, data: str | None, overwrite: bool) -> None:
    from lenet5_cli.engine.network import LeNet5
    from lenet5_cli.storage import checkpoint

    saved = checkpoint.read(path)
    network = LeNet5.restore(saved)
    facts = _facts(path, saved, network)
    if folder:
        _draw(network, saved, folder, data, overwrite)
    if as_json:
        click.echo(json.dumps(facts))
        return
    screen = console()
    _show_network(screen, facts)
    if saved.sheet is None:
        _say(screen, "The file holds no glyphs; its output layer is the shipped sheet.")
    _show_origin(screen, facts)


def _facts(path: Path, saved: "Checkpoint", network: "LeNet5") -> dict[str, Any]:
    from lenet5_cli.storage.checkpoint import sha256_of

    return {
        "model": model_name(path),
        "bytes": path.stat().st_size,
        "sha256": sha256_of(saved.pairs),
        "dtype": str(network.dtype),
        "parameters": sum(layer.size for layer in network.layers),
        "layers": _layers(network),
        "classes": list(network.names),
        "settings": _for_json(saved.config),
        "data": _for_json(saved.data),
        "epoch": saved.epoch,
        "history": [epoch.record() for epoch in saved.history],
        "versions": _for_json(saved.versions),
    }


def _draw(network: "LeNet5", saved: "Checkpoint", folder: Path, data: str | None, overwrite: bool) -> None:
    """Draw a network into a folder, which is made if it is not there."""
    from lenet5_cli.files import filling
    from lenet5_cli.reports import figures

    figures.require("--figures")
    paths = {name: folder / f"{name}.png" for name in ("kernels", "maps", "curves", "glyphs")}
    if not saved.history:
        click.echo(f"No training history; {paths.pop('curves')} is left out.", err=True)
    if folder.exists():
        refuse_existing(overwrite, *paths.values())
    samples = _samples(network, saved, data)
    with filling(folder) as drawn:
        figures.kernels(network, drawn / paths["kernels"].name)
        if samples:
            images, labels = samples
            figures.maps(network.maps(images), labels, network.sheet, drawn / paths["maps"].name)
        else:
            del paths["maps"]
        figures.glyphs(network.sheet, drawn / paths["glyphs"].name)
        if saved.history:
            figures.history(saved.history, drawn / paths["curves"].name)
    say_written(*paths.values())


def _samples(
    network: "LeNet5", saved: "Checkpoint", data: str | None
) -> "tuple[NDArray[np.uint8], NDArray[np.uint8]] | None":
    """Return the first test image of each class: of ``--data``, else of the model's data, else of drawn images."""
    import numpy as np

    from lenet5_cli.training.loop import demand_classes

    own = saved.data.get("name")
    try:
        if not data and not isinstance(own, str):
            raise LeNet5Error("The file does not say what the network was trained on.")
        split = load(data_of(saved, data), "test", network.names)
    except LeNet5Error as error:
        if data:
            raise
        click.echo(str(error), err=True)
        drawn = _drawn(network, saved)
        if drawn is None:
            click.echo("There are no images of its classes, so no maps are drawn; give some with --data.", err=True)
            return None
        split = drawn
    demand_classes(network, split)
    _, first = np.unique(split.labels, return_index=True)
    return np.asarray(split.images[first]), split.labels[first]


def _drawn(network: "LeNet5", saved: "Checkpoint") -> "Split | None":
    """Return built-in images of a network's classes, with a note; None if there are none."""
    from lenet5_cli.data.sources import classes_of, places

    for source, what in (("builtin", "digits"), ("builtin-letters", "letters")):
        if places(source, network.names).keys() >= set(classes_of(source)):
            click.echo(f"The maps show built-in {what} instead.", err=True)
            return load(data_of(saved, source), "test", network.names)
    return None


def _layers(network: "LeNet5") -> list[dict[str, Any]]:
    return [
        {
            "name": layer.name,
            "kind": type(layer).__name__,
            "in": list(layer.input_shape),
            "out": list(layer.output_shape),
            "parameters": layer.size,
        }
        for layer in network.layers
    ]


def _show_network(screen: "Console", facts: dict[str, Any]) -> None:
    from lenet5_cli.data.glyphs import noun

    title = f": {facts['parameters']:,} parameters in {facts['dtype']}, {facts['bytes']:,} bytes"
    screen.print(_text(screen, facts["model"] + title))
    screen.print(_text(screen, f"SHA-256 of the parameters: {facts['sha256']}"))
    table = _table(screen, "layer", "kind", "in -> out", "parameters")
    for column in table.columns:
        column.no_wrap = column.header != "in -> out"
    table.columns[-1].justify = "right"
    for layer in facts["layers"]:
        shapes = " -> ".join("x".join(map(str, layer[end])) for end in ("in", "out"))
        table.add_row(layer["name"], layer["kind"], shapes, f"{layer['parameters']:,}")
    table.add_row("total", "", "", f"{facts['parameters']:,}", style="bold")
    screen.print("", table)
    if noun(facts["classes"]) != "digit":
        between = ", " if any(" " in name for name in facts["classes"]) else " "
        _say(screen, f"{len(facts['classes'])} classes: {between.join(facts['classes'])}")


def _show_origin(screen: "Console", facts: dict[str, Any]) -> None:
    settings = facts["settings"]
    if not any(facts[what] for what in ("settings", "data", "epoch", "history", "versions")):
        _say(screen, "The file says nothing about how it was made.")
        return
    if settings:
        _show_settings(screen, settings)
    if facts["data"]:
        table = _table(screen, "data", "")
        for name, value in facts["data"].items():
            table.add_row(_text(screen, name), _text(screen, f"{value:,}" if type(value) is int else value))
        screen.print("", table)
    _say(screen, f"epochs trained: {facts['epoch']}" + (f" of {settings['epochs']}" if "epochs" in settings else ""))
    for name in CURVES:
        _show_curve(screen, name, facts["history"])
    if facts["versions"]:
        _say(screen, f"made with {_joined(f'{name} {version}' for name, version in facts['versions'].items())}")


def _show_settings(screen: "Console", settings: dict[str, Any]) -> None:
    """Print the settings that differ from the most similar preset, and how many are equal."""
    presets, default = {name: _preset(name) for name in config.presets()}, _for_json(asdict(config.Config()))

    def distance(name: str) -> tuple[int, int]:
        """Return the sort key of a preset: how many settings differ, then how many of its own differ from defaults."""
        return len(_differing(settings, presets[name])), len(_differing(default, presets[name]))

    nearest = min(presets, key=distance)
    preset, differing = presets[nearest], _differing(settings, presets[nearest])
    unknown = [setting for setting in settings if setting not in preset]
    if differing or unknown:
        table = _table(screen, "setting", "value", f"{nearest} preset")
        for setting in differing + unknown:
            other = preset.get(setting) if setting in preset else f"unknown to lenet5 {__version__}"
            table.add_row(*(_text(screen, cell) for cell in (setting, settings[setting], other)))
        screen.print("", table)
    others = len(settings) - len(differing) - len(unknown)
    if others:
        which = f"The other {others}" if differing or unknown else f"All {others} settings"
        _say(screen, f"{which} are as in the {nearest} preset (lenet5 info --config {nearest}).")
    missing = [setting for setting in preset if setting not in settings]
    if missing:
        _say(screen, f"Settings missing from the file: {_joined(missing)}.")


def _differing(settings: dict[str, Any], preset: dict[str, Any]) -> list[str]:
    return [name for name in preset if name in settings and settings[name] != preset[name]]


def _preset(name: str) -> dict[str, Any]:
    settings: dict[str, Any] = _for_json(asdict(config.Config(**config.read(name))))
    return settings


def _show_curve(screen: "Console", name: str, history: list[dict[str, Any]]) -> None:
    """Print the first, last and best value of a number over the epochs, and a sparkline; nothing if there are none."""
    values = {epoch["epoch"]: epoch[name] for epoch in history if name in epoch}
    if not values:
        return
    first, *_, last = [*values.values()] * 2
    best = CURVES[name](values.values())
    at_best = next(epoch for epoch, value in values.items() if value == best)
    _say(screen, f"{name}: first {first:.5f}, last {last:.5f}, best {best:.5f} in epoch {at_best}")
    levels = ASCII_LEVELS if screen.options.ascii_only else LEVELS
    screen.print(_text(screen, _curve([*values.values()], min(WIDTH, screen.width), levels)))


def _curve(values: list[float], width: int, levels: str) -> str:
    """Draw values as a sparkline of block characters; if there are more than columns, they are averaged."""
    from statistics import fmean

    columns, count = min(len(values), width), len(values)
    means = [fmean(values[count * at // columns : count * (at + 1) // columns]) for at in range(columns)]
    low = min(means)
    span = max(means) - low or 1
    return "".join(levels[round((len(levels) - 1) * (mean - low) / span)] for mean in means)


def _table(screen: "Console", *headers: str) -> "Table":
    from rich.table import Column, Table

    columns = (Column(header, overflow="fold") for header in headers)
    return Table(*columns, box=None, pad_edge=False, padding=(0, 2 if screen.width >= 60 else 1, 0, 0))


def _say(screen: "Console", sentence: str) -> None:
    screen.print()
    screen.print(_text(screen, sentence))


def _text(screen: "Console", value: Any) -> "Text":
    """Return a value as text."""
    match value:
        case None:
            shown = "not set"
        case bool():
            shown = str(value).lower()
        case "":
            shown = '""'
        case list():
            shown = _joined(value)
        case dict():
            shown = _joined(f"{name} {item}" for name, item in value.items())
        case _:
            shown = str(value)
    return plain(screen, shown)


def _joined(items: "Iterable[Any]") -> str:
    return ", ".join(map(str, items))


def _for_json(value: Any, depth: int = 2) -> Any:
    """Return a value that JSON can hold, for any value from a file, even a list that contains itself."""
    match value:
        case None | bool() | str():
            return value
        case float():
            return value if isfinite(value) else str(value)
        case int() if value.bit_length() <= 1024:
            return value
        case list() | tuple() if depth:
            return [_for_json(item, depth - 1) for item in value]
        case dict() if depth:
            return {str(_for_json(name, 0)): _for_json(item, depth - 1) for name, item in value.items()}
        case _:
            return f"<{type(value).__name__}>"
