"""What the commands share: options as decorators, the settings that they give, and the console."""

import os
from collections.abc import Callable
from dataclasses import Field, fields
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import click
from click.shell_completion import CompletionItem

from lenet5_cli.commands.launch import joined
from lenet5_cli.commands.progress import USUAL
from lenet5_cli.config import Config, choices, presets, read
from lenet5_cli.errors import LeNet5Error, printable
from lenet5_cli.files import BUNDLED, BUNDLED_MODEL, shipped_sheets
from lenet5_cli.training.ranks import TIMEOUT, Ranks, launched, own_cores

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from rich.console import Console
    from rich.text import Text

Command = TypeVar("Command", bound=Callable[..., Any])

GOES_WITH = {  # settings that have an effect only with another one
    "lr_decay": ("schedule", "exponential"),
    "rubbish": ("loss", "discriminative"),
    "clip": ("optimizer", "sgd"),
}


class UsageError(click.UsageError):
    """A mistake on the command line, of exit code 2; its message may hold any text, as that of a LeNet5Error may."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


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
    help="Under mpiexec: end if a rank does not answer for this long.",
)
shifted_option = option(
    "--shifted",
    group="Main",
    is_flag=True,
    help="Average the probabilities over nine shifts of up to a pixel: nine times the work.",
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
        help=f"Settings of a preset ({', '.join(presets())}) or a TOML file; other options override them.",
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
        given, needs = (f"--{each.replace('_', '-')}" for each in (name, other))
        there = f"goes with {needs} {needed}, not with {values[other]}"
        may_go = values[other] == needed or (other in searched and name not in searched)
        if source_of(name) == "COMMANDLINE" and not may_go:
            raise UsageError(f"{given} {there}")
        if name in searched and other not in searched and values[other] != needed:
            raise UsageError(f"--space: {name} {there}; search {other} too, or leave {name} out")
    try:
        return Config(**values)
    except LeNet5Error as error:
        raise UsageError(str(error)) from None


def _use_config(ctx: click.Context, _: click.Parameter, name: str | None) -> None:
    if name is not None and not launched().rank:  # the other ranks receive the leader's settings
        ctx.default_map = {**(ctx.default_map or {}), **read(name)}
        ctx.meta["config"] = name


def threads_of(ranks: Ranks, threads: int) -> int:
    """Return the number of cores for a rank: as given, or its share of the host's cores."""
    return ranks.cores if ranks.size > 1 and source_of("threads") == "DEFAULT" else threads


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
