"""What commands share: options as decorators, loading data with a bar, refusing to replace a file."""

import os
import signal
from collections.abc import Callable
from dataclasses import Field, fields
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, get_args

import click

from lenet5_cli.config import Config, read
from lenet5_cli.errors import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from lenet5_cli.data.sources import Split
    from lenet5_cli.training.loop import Batch

Command = TypeVar("Command", bound=Callable[..., Any])

DATA_VARIABLE = "LENET5_DATA"
FILE = click.Path(dir_okay=False, path_type=Path)


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


threads_option = click.option(
    "--threads",
    type=click.IntRange(min=1),
    metavar="N",
    default=available_cores,
    show_default="the cores this process may use",
    help="Cores to compute on; the results are the same for any number.",
)
data_option = click.option(
    "--data",
    metavar="NAME|FOLDER",
    envvar=DATA_VARIABLE,
    show_envvar=True,
    help="Data set or folder.  [default: what it was trained on]",
)
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace files that exist.")


def settings(command: Command) -> Command:
    """Add ``--config``, and an option for every field of ``Config``."""
    for setting in reversed(fields(Config)):
        command = _setting(setting)(command)
    return click.option(
        "--config",
        metavar="NAME|FILE",
        is_eager=True,
        expose_value=False,
        callback=_use_config,
        help="Take settings from a preset, such as report, or a TOML file; options given beside it win.",
    )(command)


def _setting(setting: Field[Any]) -> Callable[[Command], Command]:
    limits, default = setting.metadata, setting.default
    kind: click.ParamType[Any] = click.STRING
    if limits["choices"]:
        kind = click.Choice(limits["choices"])
    elif int in (setting.type, *get_args(setting.type)):
        kind = click.IntRange(limits["min"], limits["max"])
    elif setting.type is float:
        kind = click.FloatRange(limits["min"], limits["max"])
    return click.option(
        f"--{setting.name.replace('_', '-')}",
        type=kind,
        metavar=limits["metavar"],
        default=default,
        show_default=default is not None,
        envvar=DATA_VARIABLE if setting.name == "data" else None,
        show_envvar=True,
        help=limits["help"],
    )


def _use_config(ctx: click.Context, _: click.Parameter, name: str | None) -> None:
    if name is not None:
        ctx.default_map = {**(ctx.default_map or {}), **read(name)}


def refuse_existing(overwrite: bool, *paths: Path | None) -> None:
    """Stop with exit code 2 if a file to be written is there and may not be replaced, or its folder is not there."""
    for path in filter(None, paths):
        if not path.parent.is_dir():
            raise click.UsageError(printable(f"{path}: there is no folder {path.parent}"))
        if path.exists() and not overwrite:
            raise click.UsageError(printable(f"{path} exists; --overwrite replaces it"))


def say_written(*paths: Path | None) -> None:
    """Say on stderr which files were written."""
    for path in filter(None, paths):
        click.echo(printable(f"{path}: written"), err=True)


def load(source: str, split: Literal["train", "test"]) -> "Split":
    """Load a split, with a bar for a download, and say what was loaded."""
    from tqdm import tqdm

    from lenet5_cli.data import sources

    with tqdm(
        unit="B", unit_scale=True, leave=False, disable=None, desc=printable(f"download {source}"), total=1
    ) as bar:
        loaded = sources.load(source, split, progress=None if bar.disable else bar)
    for kind, path, array in (
        ("images", loaded.images_path, loaded.images),
        ("labels", loaded.labels_path, loaded.labels),
    ):
        columns = prod(array.shape[1:])
        shown = printable(f"Load {kind} from {path}, number: {len(array)}, data shape: ({len(array)}, {columns})")
        click.echo(shown, err=True)
    return loaded


def bar(batches: "Iterator[Batch]", total: int, what: str) -> "Iterator[Batch]":
    """Pass batches through and show how far they are, on a terminal only."""
    from tqdm import tqdm

    with tqdm(total=total, desc=what, unit="image", leave=False, disable=None, delay=0.2) as shown:
        for batch in batches:
            yield batch
            shown.update(len(batch[1]))


class Stop:
    """Turns the first Ctrl-C or SIGTERM into a stop at the end of the running step, the second into one at once."""

    class Requested(Exception):  # noqa: N818 - nothing has gone wrong
        """The step has ended."""

    def __enter__(self) -> Self:
        """Catch the signals."""
        self.exit_code = 0
        self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
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
        click.echo("\nStopping at the end of this step; once more stops at once.", err=True)


def source_of(name: str) -> str:
    """Return where the value of an option comes from: DEFAULT, DEFAULT_MAP, ENVIRONMENT or COMMANDLINE."""
    source = click.get_current_context().get_parameter_source(name)
    return source.name if source else "DEFAULT"


def console() -> "Console":
    """Return rich's console for stdout; what its encoding cannot take is replaced, not a crash."""
    from rich.console import Console

    return Console(highlight=False)
