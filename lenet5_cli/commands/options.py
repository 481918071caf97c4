"""What the commands share: options as decorators, settings, reading models and data, stopping at a signal."""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import Field, fields
from functools import partial
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, get_args

import click
from click.shell_completion import CompletionItem

from lenet5_cli.commands.launch import joined
from lenet5_cli.commands.progress import USUAL, Download, bar, progress
from lenet5_cli.config import READ_AS, Config, choices, known, presets, read
from lenet5_cli.errors import LeNet5Error, printable
from lenet5_cli.files import BUNDLED, BUNDLED_MODEL, shipped_sheets
from lenet5_cli.training.ranks import TIMEOUT, Ranks, launched, own_cores

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from rich.console import Console
    from rich.text import Text

    from lenet5_cli.data.cache import Progress
    from lenet5_cli.data.glyphs import Sheet
    from lenet5_cli.data.sources import Split
    from lenet5_cli.engine.network import LeNet5
    from lenet5_cli.storage.checkpoint import Checkpoint
    from lenet5_cli.training.loop import Batch

Command = TypeVar("Command", bound=Callable[..., Any])

GOES_WITH = {  # settings that have an effect only with another one
    "lr_decay": ("schedule", "exponential"),
    "rubbish": ("loss", "discriminative"),
    "clip": ("optimizer", "sgd"),
}
# Settings that have an effect only on certain data.
READ_OF = {"test_fraction": "data that is not split already", "as_is": "folders of pictures"}
UNREADABLE = 10  # pictures that are listed, with the reason, when data is loaded


class Integer(click.IntRange):
    """An integer between bounds, called an integer, not an integer range, in Click's messages."""

    name = "integer"


class Number(click.FloatRange):
    """A number between bounds; nan, which compares as neither below nor above them, is refused."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number."""
        number = float(super().convert(value, param, ctx))
        if isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


class Named(click.Path):
    """A path; an empty name, as from an unset shell variable, is refused and not taken for the current folder."""

    def __init__(self, expected: str, **how: Any) -> None:
        super().__init__(path_type=Path, readable=False, **how)  # the code that reads it has the better message
        self.expected = expected

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path."""
        if not str(value):
            self.fail(f"an empty name; expected {self.expected}", param, ctx)
        if not self.dir_okay and str(value).endswith(os.sep):  # pathlib drops it
            self.fail(printable(f"{value} names a folder; expected {self.expected}"), param, ctx)
        return Path(super().convert(value, param, ctx))  # type: ignore[arg-type]


class ModelFile(Named):
    """A checkpoint: a file, or the bundled model by its name."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path of the file."""
        return super().convert(BUNDLED_MODEL if value == BUNDLED else value, param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        """Return what completes the beginning of a name."""
        return offered(incomplete, [BUNDLED])


def offered(start: str, names: "Iterable[str]" = ()) -> list[CompletionItem]:
    """Return what completes the beginning of a name: these, or a file."""
    fitting = [CompletionItem(name) for name in names if name.startswith(start)]
    file = CompletionItem(start, type="file")
    return [file, *fitting] if start else [*fitting, file]  # bash leaves out what comes before a file


FILE = Named("a file", dir_okay=False)
FOLDER = Named("a folder", file_okay=False)
MODEL = ModelFile("a checkpoint", dir_okay=False)


def model_name(path: Path) -> str:
    """Return the name of a checkpoint as the user gave it."""
    return BUNDLED if path == BUNDLED_MODEL else str(path)


def read_models(paths: "Sequence[Path]") -> "tuple[list[LeNet5], list[Checkpoint]]":
    """Return the networks of some checkpoints, and the checkpoints; none may be given twice."""
    from lenet5_cli.engine.network import LeNet5
    from lenet5_cli.storage import checkpoint

    for path in paths:
        if paths.count(path) > 1:
            raise click.UsageError(printable(f"{model_name(path)} was given twice; each model answers once"))
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


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(own_cores())


GROUPS = ("Main", "Data", "Optimisation", "Network", "Output", "Other")  # of options, in the order of --help


class Option(click.Option):
    """An option that belongs to a group, which is a heading in --help."""

    def __init__(self, *names: Any, group: str = "Other", **how: Any) -> None:
        super().__init__(*names, **how)
        self.group = group


class GroupedCommand(click.Command):
    """A command whose --help shows its options by group."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section for each group that has options."""
        for group in GROUPS:
            options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
            members = [param for param in options if getattr(param, "group", "Other") == group]
            records = [record for param in members if (record := param.get_help_record(ctx))]
            if records:
                with formatter.section(group if group != "Other" else "Other options"):
                    formatter.write_dl(records)


class SharedCommand(GroupedCommand):
    """A command whose work is shared by the ranks of an MPI launcher."""

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Parse the command line; an error on one rank ends all, as the others may be waiting for it to join."""
        try:
            return super().make_context(*args, **extra)
        except (click.ClickException, LeNet5Error) as error:
            if launched().size == 1:
                raise
            with joined(TIMEOUT) as ranks:
                if ranks.leader or isinstance(error, LeNet5Error):
                    raise
                raise LeNet5Error(error.format_message()) from None
        raise click.exceptions.Exit  # on another rank: the leader has shown the error


def option(*names: str, group: str = "Other", **how: Any) -> Callable[[Command], Command]:
    """Add an option under a heading of --help."""
    return click.option(*names, cls=Option, group=group, **how)


def cores_option(what_for: str) -> Callable[[Command], Command]:
    """Add --threads, by default the number of cores."""
    cores = "the cores this process may use"
    kind = Integer(min=1)
    return option(
        "--threads", group="Main", type=kind, metavar="N", default=available_cores, show_default=cores, help=what_for
    )


threads_option = cores_option("Cores to compute on; the results are the same for any number.")
timeout_option = option(
    "--timeout",
    group="Main",
    type=Number(min=0, max=10**6, min_open=True),
    metavar="SECONDS",
    default=TIMEOUT,
    show_default=True,
    help="Under mpiexec: end when a rank does not answer for this long.",
)
shifted_option = option(
    "--shifted",
    group="Main",
    is_flag=True,
    help="Average the probabilities of each picture in nine places, up to a pixel off: nine times the work.",
)
overwrite_option = option("--overwrite", group="Output", is_flag=True, help="Replace files that exist.")


def complete_data(_: click.Context, __: click.Parameter, start: str) -> list[CompletionItem]:
    """Return what completes the beginning of the name of data, or of a file or folder of them."""
    from lenet5_cli.data.sources import NAMES

    return offered(start, NAMES)


def complete_config(_: click.Context, __: click.Parameter, start: str) -> list[CompletionItem]:
    """Return what completes the beginning of the name of a preset or TOML file."""
    return offered(start, presets())


def complete_sheet(_: click.Context, __: click.Parameter, start: str) -> list[CompletionItem]:
    """Return what completes the beginning of the name of a glyph sheet."""
    return offered(start, shipped_sheets())


def complete_file(_: click.Context, __: click.Parameter, start: str) -> list[CompletionItem]:
    """Return what completes the beginning of the name of a file."""
    return offered(start)


_COMPLETED = {"data": complete_data, "glyphs": complete_sheet, "teacher": complete_file}  # settings


data_option = option(
    "--data",
    group="Data",
    metavar="NAME|PATH",
    shell_complete=complete_data,
    help="Data set, folder or file.  [default: what it was trained on]",
)


def settings(command: Command, hidden: tuple[str, ...] = ()) -> Command:
    """Add ``--config``, and an option for every field of ``Config``; those that are ``hidden`` are not in --help."""
    for setting in reversed(fields(Config)):
        command = _setting(setting, setting.name in hidden)(command)
    return option(
        "--config",
        group="Main",
        metavar="NAME|FILE",
        is_eager=True,
        expose_value=False,
        callback=_use_config,
        shell_complete=complete_config,
        help=f"Settings of a preset ({', '.join(presets())}) or a TOML file; options given beside it win.",
    )(command)


def _setting(setting: Field[Any], hidden: bool) -> Callable[[Command], Command]:
    limits, default = setting.metadata, setting.default
    kind: click.ParamType[Any] = click.STRING
    text = limits["help"]
    if choices(setting):
        kind = click.Choice(choices(setting))
    elif int in (setting.type, *get_args(setting.type)):
        kind = Integer(limits["min"], limits["max"])
    elif setting.type is bool:
        kind = click.BOOL
    elif setting.type is float:
        kind = Number(limits["min"], limits["max"])
    if setting.name == "glyphs":
        text = f"Glyph sheet of the output layer: a text or image file, or shipped: {', '.join(shipped_sheets())}."
    return option(
        f"--{setting.name.replace('_', '-')}",
        group=limits["group"],
        type=kind,
        is_flag=setting.type is bool,
        metavar=limits["metavar"],
        default=default,
        show_default=default not in (None, "", False),
        shell_complete=_COMPLETED.get(setting.name),
        hidden=hidden,
        help=text,
    )


def config_of(values: dict[str, Any], searched: "Collection[str]" = ()) -> Config:
    """Return the settings of the command line; a usage error if one is out of bounds or two do not fit together.

    Those that are ``searched`` have other values too, with which one that is not may go.
    """
    for name, (other, needed) in GOES_WITH.items():
        may_go = values[other] == needed or (other in searched and name not in searched)
        if source_of(name) == "COMMANDLINE" and not may_go:
            given, needs = (f"--{each.replace('_', '-')}" for each in (name, other))
            raise click.UsageError(f"{given} goes with {needs} {needed}, not with {values[other]}")
    try:
        return Config(**values)
    except LeNet5Error as error:
        raise click.UsageError(str(error)) from None


def _use_config(ctx: click.Context, _: click.Parameter, name: str | None) -> None:
    if name is not None and not launched().rank:  # the other ranks receive the leader's settings
        ctx.default_map = {**(ctx.default_map or {}), **read(name)}
        ctx.meta["config"] = name


def threads_of(ranks: Ranks, threads: int) -> int:
    """Return the number of cores for a rank: as given, or its share of the host's cores."""
    return ranks.cores if ranks.size > 1 and source_of("threads") == "DEFAULT" else threads


def data_of(saved: "Checkpoint", data: str | None, **given: Any) -> Config:
    """Return settings to load the training data of a checkpoint, or other data in the same way."""
    from lenet5_cli.data.sources import ARRAYS

    kept = {name: value for name, value in known(saved.config).items() if name in READ_AS}
    kept |= {name: value for name, value in given.items() if value is not None}
    if data is None and saved.data.get("name") == ARRAYS:
        raise LeNet5Error(f"{saved.where}was trained on arrays, not on a data set; --data names one to measure on")
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
            raise click.UsageError(printable(f"{given} goes with {goes_with}, not with {config.data}"))
    get = partial(inputs.load, config, split, names, cores=available_cores(), option=option)
    return loading(config.data, split, lambda shown: get(progress=shown))


def note_trained_on(saved: "Iterable[Checkpoint]", where: Config, images: "Split") -> None:
    """Print a note for each model that was trained on some of the test images, because of another --test-fraction."""
    from lenet5_cli.data import sources

    if "test_fraction" not in sources.read_as(where.data):
        return
    for each in saved:
        own = data_of(each, where.data)
        if own.test_fraction < where.test_fraction and _learned(each, own) & _told_apart(images):
            fractions = f"{where.test_fraction:g} in place of {own.test_fraction:g}"
            name = model_name(Path(each.path))
            click.echo(
                printable(f"NOTE: at --test-fraction {fractions}, {name} was trained on some of these."), err=True
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
            return _told_apart(split)
    return set()


def _told_apart(split: "Split") -> "set[str | bytes]":
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
    among = f" but among the {len(split.labels) - len(training.labels):,} held out" if elsewhere else ""
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
        there = "its images are sorted by class, and the last ones, which are held out, lack some classes"
        click.echo(printable(f"NOTE: {split.labels_path}: {there}; shuffle them."), err=True)


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
    images = "1 image" if n == 1 else f"{n:,} images"
    click.echo(printable(f"Load {split}: {images} of {size} pixels from {loaded.images_path}"), err=True)
    said = click.get_current_context().meta.setdefault("notes", set())
    if loaded.note and loaded.note not in said:  # once for both splits
        said.add(loaded.note)
        click.echo(printable(f"NOTE: {loaded.note}."), err=True)
    for message in loaded.unreadable[:UNREADABLE]:
        click.echo(printable(f"  not read: {message}"), err=True)
    if (more := len(loaded.unreadable) - UNREADABLE) > 0:
        click.echo(f"  and {more:,} more pictures that cannot be read; lenet5 data show lists them", err=True)
    return loaded


class Stop:
    """Makes the first Ctrl-C or SIGTERM stop the command at the end of the running step, the second one at once."""

    class Requested(Exception):  # noqa: N818 - nothing has gone wrong
        """The step has ended."""

    def __init__(self, listen: bool = True) -> None:
        """Catch the signals only if ``listen`` is true."""
        self._numbers = (signal.SIGINT, signal.SIGTERM) if listen else ()

    def __enter__(self) -> Self:
        """Catch the signals."""
        self.exit_code = 0
        self._before = {number: signal.signal(number, self._note) for number in self._numbers}
        return self

    def __exit__(self, *_: object) -> None:
        """Restore the previous handlers of the signals."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def track(self, batches: "Iterator[Batch]", total: int, what: str) -> "Iterator[Batch]":
        """Pass batches through as ``bar`` does, and stop after the one during which a signal came."""
        for batch in bar(batches, total, what):
            yield batch
            if self.exit_code:
                raise self.Requested

    def _note(self, number: int, _: object) -> None:
        if self.exit_code:
            raise SystemExit(self.exit_code)
        self.exit_code = 128 + number
        click.echo("\nStopping at the end of this step; Ctrl-C again stops immediately.", err=True)


def source_of(name: str) -> str:
    """Return the source of the value of an option: DEFAULT, DEFAULT_MAP, ENVIRONMENT or COMMANDLINE."""
    source = click.get_current_context().get_parameter_source(name)
    return source.name if source else "DEFAULT"


def console() -> "Console":
    """Return a rich console for stdout, without markup, so that names in brackets are printed as they are."""
    from rich.console import Console

    screen = Console(highlight=False, emoji=False, markup=False)
    screen.width = screen.width or USUAL  # COLUMNS=0 is what a terminal of unknown size may say
    return screen


def plain(screen: "Console", text: str) -> "Text":
    """Return a text in which control characters, and what stdout cannot encode, are escaped."""
    from rich.text import Text

    return Text(printable(text).encode(screen.encoding, "backslashreplace").decode(screen.encoding))
