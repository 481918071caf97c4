"""Read the models and the data that a command is given, and print notes about them."""

import os
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lenet5_cli.commands.options import UsageError, available_cores, source_of
from lenet5_cli.commands.progress import Download, progress
from lenet5_cli.config import READ_AS, Config, known
from lenet5_cli.errors import LeNet5Error, counted, printable
from lenet5_cli.files import BUNDLED, BUNDLED_MODEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from lenet5_cli.data.cache import Progress
    from lenet5_cli.data.glyphs import Sheet
    from lenet5_cli.data.sources import Split
    from lenet5_cli.engine.network import LeNet5
    from lenet5_cli.storage.checkpoint import Checkpoint

# Settings that have an effect only on certain data.
READ_OF = {"test_fraction": "data that has no test split", "as_is": "folders of pictures"}
UNREADABLE = 10  # pictures that are listed, with the reason, when data is loaded


def model_name(path: Path) -> str:
    """Return the name of a checkpoint as the user gave it."""
    return BUNDLED if path == BUNDLED_MODEL else str(path)


def read_models(paths: "Sequence[Path]") -> "tuple[list[LeNet5], list[Checkpoint]]":
    """Return the networks of some checkpoints, and the checkpoints; none may be given twice."""
    from lenet5_cli.engine.network import LeNet5
    from lenet5_cli.storage import checkpoint

    for path in paths:
        if paths.count(path) > 1:
            raise UsageError(f"{model_name(path)} is given twice; expected different models")
    saved = [checkpoint.read(path) for path in paths]
    networks = [LeNet5.restore(each) for each in saved]
    note_glyphs(*saved)
    return networks, saved


def note_glyphs(*saved: "Checkpoint") -> None:
    """Print a note with the glyphs that are used for a checkpoint without any, as the report's code writes it."""
    for each in saved:
        if each.sheet is None:
            there = f"{each.where}holds no glyphs, so the sheet digits is used"
            click.echo(printable(f"NOTE: {there}, which is wrong if it was trained with other glyphs."), err=True)


def data_of(saved: "Checkpoint", data: str | None, *, test_fraction: float | None = None) -> Config:
    """Return settings to load the training data of a checkpoint, or other data in the same way.

    A ``test_fraction`` replaces the checkpoint's.
    """
    from lenet5_cli.data.sources import ARRAYS

    kept = {name: value for name, value in known(saved.config).items() if name in READ_AS}
    if test_fraction is not None:
        kept["test_fraction"] = test_fraction
    if data is None and saved.data.get("name") == ARRAYS:
        raise LeNet5Error(f"{saved.where}was trained on arrays, not a data set; give one to evaluate on by --data")
    return Config(data=data or str(saved.data.get("name", "mnist")), **kept)


def load(config: Config, split: str, names: "Sequence[str] | None" = None, *, option: str = "--data ") -> "Split":
    """Load a split of a data set as ``loading`` does.

    ``option`` stands before the name of data in what messages advise; nothing where that is an argument.
    """
    from lenet5_cli.data import sources
    from lenet5_cli.training import inputs

    for setting, goes_with in READ_OF.items():
        if source_of(setting) == "COMMANDLINE" and setting not in sources.read_as(config.data):
            given = f"--{setting.replace('_', '-')}"
            raise UsageError(f"{given} goes with {goes_with}, not with {config.data}")
    get = partial(inputs.load, config, split, names, cores=available_cores(), option=option)
    return loading(config.data, split, lambda shown: get(progress=shown))


def loading(source: str, split: str, get: "Callable[[Progress | None], Split]") -> "Split":
    """Load a split, with a progress bar for a download or for pictures; print what was loaded and what could not be."""
    from lenet5_cli.data.sources import NAMES, is_drawn

    there = source not in NAMES and os.path.exists(source)  # noqa: PTH110 - any text may be given
    how: dict[str, Any] = {"leave": False, "desc": f"load {printable(source)}"}
    if is_drawn(source):
        shown = progress(**how, bar_format="{desc}")  # without a total
    else:
        shown = progress(**how, unit=" pictures") if there else Download(**how, unit="B", unit_scale=True)
    with shown as bar:
        loaded = get(None if bar.disable else bar)
    n, *sides = loaded.images.shape
    size = "x".join(map(str, sides))
    click.echo(printable(f"Load {split}: {counted(n, 'image')} of {size} pixels from {loaded.images_path}"), err=True)
    said = click.get_current_context().meta.setdefault("notes", set())
    if loaded.note and loaded.note not in said:  # once for both splits
        said.add(loaded.note)
        click.echo(printable(f"NOTE: {loaded.note}."), err=True)
    for message in loaded.unreadable[:UNREADABLE]:
        click.echo(printable(f"  not read: {message}"), err=True)
    if (more := len(loaded.unreadable) - UNREADABLE) > 0:
        click.echo(f"  and {more:,} more pictures that cannot be read; lenet5 data show lists them", err=True)
    return loaded


def note_trained_on(saved: "Iterable[Checkpoint]", where: Config, images: "Split") -> None:
    """Print a note for each model that was trained on some of the test images, because of another --test-fraction."""
    from lenet5_cli.data import sources

    if "test_fraction" not in sources.read_as(where.data):
        return
    for each in saved:
        own = data_of(each, where.data)
        if own.test_fraction < where.test_fraction and _learned(each, own) & _image_keys(images):
            fractions = f"{where.test_fraction:g} instead of {own.test_fraction:g}"
            name = model_name(Path(each.path))
            click.echo(
                printable(f"NOTE: at --test-fraction {fractions}, {name} was trained on some test images."), err=True
            )


def note_as_is(as_is: bool, saved: "Iterable[Checkpoint]", data: str | None = None) -> None:
    """Print a note for each model trained on pictures read with another ``as_is`` than now, if ``data`` is pictures."""
    from lenet5_cli.data import sources

    for each in saved:
        if bool(each.config.get("as_is")) != as_is and (data is None or "as_is" in sources.read_as(data)):
            now, then = ("with", "without") if as_is else ("without", "with")
            there = f"{model_name(Path(each.path))} was trained {then} it and may be less accurate"
            click.echo(printable(f"NOTE: pictures are read {now} --as-is; {there}."), err=True)


def _learned(saved: "Checkpoint", where: Config) -> "set[str | bytes]":
    """Return the images of the data that a model was trained on, if their SHA-256 matches; else none."""
    from lenet5_cli.training import inputs

    with suppress(LeNet5Error):  # if they cannot be read like this, the model was not trained on them
        split = inputs.load(where, "train", saved.names, cores=available_cores())
        if split.sha256 == saved.data.get("sha256"):
            return _image_keys(split)
    return set()


def _image_keys(split: "Split") -> "set[str | bytes]":
    """Return a key for each image of a split: its place in the data if known, else its content."""
    import numpy as np

    return set(split.places) or {image.tobytes() for image in np.asarray(split.images)}


def note_missing(sheet: "Sheet", training: "Split", split: "Split") -> None:
    """Print a note with the classes of the glyph sheet that have no training image, and one on the images' order."""
    import numpy as np

    _note_order(training, split)
    present = set(np.unique(training.labels).tolist())
    missing = [name for label, name in enumerate(sheet.names) if label not in present]
    if not missing:
        return
    kind = sheet.noun if len(missing) == 1 else {"digit": "digits", "class": "classes"}[sheet.noun]
    elsewhere = set(np.unique(split.labels).tolist()) - present
    held_out = len(split.labels) - len(training.labels)
    among = f" outside the {counted(held_out, 'validation image')}" if elsewhere else ""
    note = f"{split.labels_path}: no images of {kind} {', '.join(missing)}{among}; expected some of each"
    click.echo(printable(note), err=True)


def _note_order(training: "Split", split: "Split") -> None:
    """Print a note if images are sorted by class, so that those held out, the last ones, lack some classes."""
    import numpy as np

    labels, count = split.labels, len(training.labels)
    lacking = len(np.unique(labels[count:])) < len(np.unique(labels))
    if count == len(labels) or not lacking or (labels[1:] < labels[:-1]).any():
        return
    if np.array_equal(labels[:count], training.labels):  # else the images held out are chosen at random
        there = "its images are sorted by class, so the validation images, the last ones, lack some classes"
        click.echo(printable(f"NOTE: {split.labels_path}: {there}; shuffle them."), err=True)
