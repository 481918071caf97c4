"""What the commands share: options as decorators, loading data with a bar, refusing to replace files."""

import atexit
import os
import signal
import sys
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import Field, fields
from functools import partial
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, get_args

import click
from click.shell_completion import CompletionItem

from lenet5_cli.config import READ_AS, Config, choices, known, presets, read
from lenet5_cli.errors import LeNet5Error, printable
from lenet5_cli.files import BUNDLED, BUNDLED_MODEL, FILLING, shipped_sheets
from lenet5_cli.training.ranks import ALONE, TIMEOUT, Ended, Place, Ranks, UnheardError, join, launched, own_cores

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rich.console import Console
    from rich.text import Text

    from lenet5_cli.data.cache import Progress
    from lenet5_cli.data.glyphs import Sheet
    from lenet5_cli.data.sources import Split
    from lenet5_cli.engine.network import LeNet5
    from lenet5_cli.storage.checkpoint import Checkpoint
    from lenet5_cli.training.loop import Batch
    from lenet5_cli.training.runs import Run

Command = TypeVar("Command", bound=Callable[..., Any])

LAST = 10  # seconds that the MPI library may take to end
USUAL, ROWS = 80, 24  # columns of a terminal, and rows
GOES_WITH = {  # else without effect
    "lr_decay": ("schedule", "exponential"),
    "rubbish": ("loss", "discriminative"),
    "clip": ("optimizer", "sgd"),
}
READ_OF = {"test_fraction": "data that is not split already", "as_is": "folders of pictures"}  # else without effect
UNREADABLE = 10  # pictures that are listed, with the reason, when data is loaded


class Integer(click.IntRange):
    """An integer between bounds, which is called so in messages, and not an integer range."""

    name = "integer"


class Number(click.FloatRange):
    """A number between bounds, which nan is not, though it compares as neither below nor above."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number."""
        number = float(super().convert(value, param, ctx))
        if isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


class Named(click.Path):
    """A path; an empty name, as of a shell's variable that is not set, is not the current folder."""

    def __init__(self, expected: str, **how: Any) -> None:
        super().__init__(path_type=Path, readable=False, **how)  # who reads it says why it cannot be read
        self.expected = expected

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path."""
        if not str(value):
            self.fail(f"an empty name; expected {self.expected}", param, ctx)
        if not self.dir_okay and str(value).endswith(os.sep):  # which a Path leaves out
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
    """Return how a user names a checkpoint."""
    return BUNDLED if path == BUNDLED_MODEL else str(path)


def read_models(paths: "Sequence[Path]") -> "tuple[list[LeNet5], list[Checkpoint]]":
    """Return the networks of some checkpoints, and what was read of them; none may be given twice."""
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
    """Say which glyphs a checkpoint that holds none, as the report's code writes it, is read with."""
    for each in saved:
        if each.sheet is None:
            there = f"{each.where}it holds no glyphs, and is read with the sheet digits"
            click.echo(printable(f"NOTE: {there}, which is wrong if it was trained with others."), err=True)


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(own_cores())


GROUPS = ("Main", "Data", "Optimisation", "Network", "Output", "Other")  # of options, in the order of --help


class Option(click.Option):
    """An option that says under which heading of --help it stands."""

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
    """A command whose work the ranks that an MPI launcher started share."""

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Parse the command line; what is wrong with it on one rank ends all, as others may join and wait for it."""
        try:
            return super().make_context(*args, **extra)
        except (click.ClickException, LeNet5Error) as error:
            if launched().size == 1:
                raise
            with joined(TIMEOUT) as ranks:
                if ranks.leader or isinstance(error, LeNet5Error):
                    raise
                raise LeNet5Error(error.format_message()) from None
        raise click.exceptions.Exit  # another rank, whose error the leader has shown


def option(*names: str, group: str = "Other", **how: Any) -> Callable[[Command], Command]:
    """Add an option under a heading of --help."""
    return click.option(*names, cls=Option, group=group, **how)


def cores_option(what_for: str) -> Callable[[Command], Command]:
    """Add --threads, by default the cores that there are."""
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


def config_of(values: dict[str, Any]) -> Config:
    """Return the settings of the command line; it is wrong where one is out of bounds, or two do not go together."""
    for name, (other, needed) in GOES_WITH.items():
        if source_of(name) == "COMMANDLINE" and values[other] != needed:
            given, needs = (f"--{each.replace('_', '-')}" for each in (name, other))
            raise click.UsageError(f"{given} goes with {needs} {needed}, not with {values[other]}")
    try:
        return Config(**values)
    except LeNet5Error as error:
        raise click.UsageError(str(error)) from None


def _use_config(ctx: click.Context, _: click.Parameter, name: str | None) -> None:
    if name is not None and not launched().rank:  # another rank is told the leader's settings
        ctx.default_map = {**(ctx.default_map or {}), **read(name)}
        ctx.meta["config"] = name


@contextmanager
def joined(timeout: float) -> "Iterator[Ranks]":
    """Join the ranks that an MPI launcher started, of which rank 0 leads; without one, there is nobody to join.

    An error of another rank becomes the leader's, which then takes all down when it has shown it.
    """
    place = launched()
    if place.size == 1:
        yield ALONE
        return
    ranks = _join(place, timeout)
    try:
        yield ranks
        ranks.end()
    except Ended:
        pass
    except click.exceptions.Exit:
        ranks.end()
        raise
    except BaseException as error:
        atexit.register(ranks.abort, _exit_code(error))
        if not ranks.leader:
            _tell(ranks, error)
            return
        raise


def demand_command(ranks: Ranks, command: str) -> None:
    """Raise LeNet5Error where a rank was given another command than the leader."""
    leaders = ranks.share(lambda: command)
    if command != leaders:
        raise LeNet5Error(f"lenet5 {command}, but lenet5 {leaders} on {ranks.name(0)}; expected the same on every rank")


def _tell(ranks: Ranks, error: BaseException) -> None:
    """Have the leader show an error, and return when this rank is to end; where it does not, show it here."""
    try:
        ranks.tell(error)
    except Ended:
        atexit.unregister(ranks.abort)
    except UnheardError:
        unmute()
        raise


def _join(place: Place, timeout: float) -> Ranks:
    numbers = (signal.SIGINT, signal.SIGTERM)
    # Until all have joined, the library waits in C, where no handler of Python's runs, for ranks that may never come.
    before = {number: signal.signal(number, signal.SIG_DFL) for number in numbers}
    with _ended_after(timeout):
        try:
            ranks = join(timeout)
        except LeNet5Error:
            if not place.local_rank:  # one message a host
                unmute()
            raise
    for number in numbers:
        signal.signal(number, signal.SIG_IGN if place.rank else before[number])  # the leader decides
    atexit.register(_leave, ranks)
    return ranks


@contextmanager
def _ended_after(seconds: float) -> "Iterator[None]":
    """End the process by a signal where the block takes longer; not outside POSIX."""
    if not hasattr(signal, "setitimer"):
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _leave(ranks: Ranks) -> None:
    """Leave the ranks at the end of the process."""
    ranks.leave()
    if hasattr(signal, "alarm"):
        signal.alarm(LAST)  # messages that nobody takes any more must not keep the library from ending


def _exit_code(error: BaseException) -> int:
    if isinstance(error, KeyboardInterrupt):
        return 128 + signal.SIGINT
    code = error.code if isinstance(error, SystemExit) else getattr(error, "exit_code", 1)
    return code if isinstance(code, int) else 1


def threads_of(ranks: Ranks, threads: int) -> int:
    """Return on how many cores a rank computes: if nobody has said so, its host's are shared out."""
    return ranks.cores if ranks.size > 1 and source_of("threads") == "DEFAULT" else threads


def mute() -> None:
    """Let nothing be printed by this process."""
    sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115


def unmute() -> None:
    """Print again."""
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__


def agree(ranks: Ranks, run: "Run | None" = None, /, **splits: "Split | None") -> None:
    """Demand the same versions, images, glyphs and teacher on every rank, and say where rounding may differ."""
    if ranks.size == 1:
        return
    from lenet5_cli.training.inputs import agreed

    own = (run.teacher_sha256, run.network.sheet) if run else ()
    for name in agreed(ranks, {name: split for name, split in splits.items() if split}, *own):
        click.echo(f"NOTE: {name} may round otherwise than rank 0: other ranks, other last bits.", err=True)


def refuse_existing(overwrite: bool, *paths: Path | None) -> None:
    """Stop with exit code 2 if a file to be written may not be replaced, or its folder is not there or is read-only."""
    for path in filter(None, paths):
        if str(path) == "-":
            raise click.UsageError("-: expected the name of a file; no file is written to stdout")
        if not path.parent.is_dir():
            raise click.UsageError(printable(f"{path}: there is no folder {path.parent}"))
        if path.exists() and not overwrite:
            raise click.UsageError(printable(f"{path} exists; --overwrite replaces it"))
        folder = os.path.dirname(os.path.realpath(path))  # noqa: PTH120 - a Path of a loop of links would not resolve
        if (path.is_file() or not path.exists()) and not os.access(folder, os.W_OK):
            raise click.UsageError(printable(f"{path}: nothing can be written into the folder {folder}"))


def refuse_filled(overwrite: bool, folder: Path) -> None:
    """Stop with exit code 2 if there are files in a folder to be filled, or nothing is there to make it in."""
    if not (folder.is_dir() and all(each.name in FILLING for each in folder.iterdir())):
        refuse_existing(overwrite, folder)


def demand_plot(name: str, path: Path | None) -> None:
    """Stop where a plot is asked for and matplotlib is missing, or with exit code 2 if it writes no such files."""
    if path:
        from lenet5_cli.reports import figures

        figures.require(name)
        if not figures.writes(path):
            ends = "expected a name that ends in .png, .pdf, .svg or another that matplotlib writes"
            raise click.UsageError(printable(f"{name} {path}: {ends}"))


def refuse_shared(*paths: Path | None) -> None:
    """Stop with exit code 2 if two things would be written to one file, of which one would be lost."""
    given = [path for path in paths if path]
    meant = list(map(os.path.realpath, given))  # a Path of a loop of links would not resolve
    for path, target in zip(given, meant, strict=True):
        if meant.count(target) > 1:
            raise click.UsageError(printable(f"{path} is given for two outputs; give each a file of its own"))


def files_read(values: "Mapping[str, Any]") -> "Iterator[tuple[str, Path]]":
    """Yield what may be files or folders that settings have read, with the options that name them."""
    yield from data_read(values.get("data") or "")
    named = {name: values.get(name) for name in ("glyphs", "teacher")}
    named["config"] = click.get_current_context().meta.get("config")
    for name, given in named.items():
        yield from ((f"--{name}", Path(each)) for each in (given or "").split(",") if each)


def data_read(data: str) -> "Iterator[tuple[str, Path]]":
    """Yield the file or folder that ``--data`` names, if it does not name a data set."""
    from lenet5_cli.data.sources import NAMES

    if data and data not in NAMES:
        yield "--data", Path(data)


def refuse_read(read: "Iterable[tuple[str, Path]]", *written: Path | None) -> None:
    """Stop with exit code 2 if a file that an option or argument names, or of a folder of data, would be replaced."""
    there = [path for path in written if path and path.is_file()]
    for option, path in read:
        for other in there:
            if path.is_file() and other.resolve() == path.resolve():
                raise click.UsageError(printable(f"{other}: is read by {option}; give what is written another name"))
            files = _files_of(path) if option == "--data" else ()  # only data is read of a folder
            if any(each.is_file() and other.samefile(each) for each in files):
                message = f"{other}: is a file of the data {path}; give what is written another name"
                raise click.UsageError(printable(message))


def _files_of(data: Path) -> "Iterator[Path]":
    """Yield the files of a folder of data: IDX files and the names of their classes, or the pictures of each class."""
    from lenet5_cli.data import sources

    for pattern in ("*ubyte*", sources.NAMES_FILE) if sources.holds_idx(data) else ("*/*", "train/*/*", "test/*/*"):
        yield from data.glob(pattern)


def say_written(*paths: Path | None) -> None:
    """Say on stderr which files were written."""
    for path in filter(None, paths):
        click.echo(printable(f"{path}: written"), err=True)


def data_of(saved: "Checkpoint", data: str | None, **given: Any) -> Config:
    """Return settings that name the data of a checkpoint, or other data, read as it was read for training."""
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


def note_missing(sheet: "Sheet", training: "Split", split: "Split") -> None:
    """Say which classes of the glyph sheet have no image to learn from, in the part of a split that is trained on."""
    present, there = set(training.labels.tolist()), set(split.labels.tolist())
    missing = [name for label, name in enumerate(sheet.names) if label not in present]
    if not missing:
        return
    kind = sheet.noun if len(missing) == 1 else {"digit": "digits", "class": "classes"}[sheet.noun]
    among = f" but among the {len(split.labels) - len(training.labels):,} held out" if there - present else ""
    note = f"{split.labels_path}: no images of {kind} {', '.join(missing)}{among}; expected some of each"
    click.echo(printable(note), err=True)


def loading(source: str, split: str, get: "Callable[[Progress | None], Split]") -> "Split":
    """Get a split of a data set, with a bar for a download or for pictures; say what was loaded, and what was not."""
    from lenet5_cli.data.sources import NAMES, is_drawn

    there = source not in NAMES and os.path.exists(source)  # noqa: PTH110 - any text may be given
    how: dict[str, Any] = {"leave": False, "desc": f"load {printable(source)}"}
    if is_drawn(source):
        shown = progress(**how, bar_format="{desc}")  # it does not count
    else:
        shown = progress(**how, unit=" pictures") if there else Download(**how, unit="B", unit_scale=True)
    with shown as bar:
        loaded = get(None if bar.disable else bar)
    n, *sides = loaded.images.shape
    size = "x".join(map(str, sides))
    images = "1 image" if n == 1 else f"{n:,} images"
    click.echo(printable(f"Load {split}: {images} of {size} pixels from {loaded.images_path}"), err=True)
    for message in loaded.unreadable[:UNREADABLE]:
        click.echo(printable(f"  not read: {message}"), err=True)
    if (more := len(loaded.unreadable) - UNREADABLE) > 0:
        click.echo(f"  and {more:,} more pictures that cannot be read; lenet5 data show lists them", err=True)
    return loaded


def bar(batches: "Iterator[Batch]", total: int, what: str) -> "Iterator[Batch]":
    """Pass batches through and show progress on a terminal or in a notebook: what ``track`` of a function can be."""
    with progress(total=total, desc=what, unit=" images", leave=False, delay=0.2) as shown:
        for batch in batches:
            yield batch
            shown.update(len(batch[1]))


class NoBar:
    """A bar that shows nothing, and does not wait for tqdm."""

    disable = True

    def __enter__(self) -> Self:
        """Show nothing."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing."""

    def clear(self) -> None:
        """Clear nothing."""

    close = clear

    def update(self, count: int = 1) -> None:
        """Show nothing."""


class Download:
    """A bar that is drawn when bytes come: what is there already is not downloaded."""

    disable = False
    total: float | None = None

    def __init__(self, **how: Any) -> None:
        self._how = how
        self._bar: Any = None

    def __enter__(self) -> Self:
        """Draw nothing yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the bar of what did not come whole."""
        self.close()

    def update(self, count: int = 1) -> None:
        """Show that bytes came."""
        if self._bar is None:
            self._bar = progress(**self._how, total=self.total)
        self._bar.update(count)

    def close(self) -> None:
        """Finish a file; another may come."""
        if self._bar is not None:
            self._bar.close()
        self._bar = None

    reset = close


def progress(**how: Any) -> Any:
    """Return a bar of tqdm's: in a notebook, whose streams are no terminals, that of notebooks, else for terminals."""
    if "ipykernel" in sys.modules:
        from tqdm.auto import tqdm

        return tqdm(**how)
    if not sys.stderr.isatty():
        return NoBar()
    from tqdm import tqdm as on_terminal

    columns, rows = os.get_terminal_size(sys.stderr.fileno())
    if not (columns and rows):  # of unknown size, on which tqdm draws nothing
        return on_terminal(**how, ncols=columns or USUAL, nrows=ROWS)
    return on_terminal(**how, dynamic_ncols=True)  # it may be made wider or narrower


class Stop:
    """Turns the first Ctrl-C or SIGTERM into a stop at the end of the running step, the second into one at once."""

    class Requested(Exception):  # noqa: N818 - nothing has gone wrong
        """The step has ended."""

    def __init__(self, listen: bool = True) -> None:
        """Catch the signals only if it is to ``listen``."""
        self._numbers = (signal.SIGINT, signal.SIGTERM) if listen else ()

    def __enter__(self) -> Self:
        """Catch the signals."""
        self.exit_code = 0
        self._before = {number: signal.signal(number, self._note) for number in self._numbers}
        return self

    def __exit__(self, *_: object) -> None:
        """Let them do what they did before."""
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
    """Return where the value of an option comes from: DEFAULT, DEFAULT_MAP, ENVIRONMENT or COMMANDLINE."""
    source = click.get_current_context().get_parameter_source(name)
    return source.name if source else "DEFAULT"


def console() -> "Console":
    """Return rich's console for stdout, to which a name in brackets is a name and no markup."""
    from rich.console import Console

    screen = Console(highlight=False, emoji=False, markup=False)
    screen.width = screen.width or USUAL  # COLUMNS=0 is what a terminal of unknown size may say
    return screen


def plain(screen: "Console", text: str) -> "Text":
    """Return a text with what would steer the terminal, and what stdout cannot take, escaped."""
    from rich.text import Text

    return Text(printable(text).encode(screen.encoding, "backslashreplace").decode(screen.encoding))
