"""``lenet5 tune``."""

import time
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lenet5_cli.commands.options import (
    FILE,
    GroupedCommand,
    Integer,
    UsageError,
    config_of,
    console,
    cores_option,
    offered,
    option,
    overwrite_option,
    plain,
    settings,
    source_of,
)
from lenet5_cli.commands.outputs import (
    demand_plot,
    files_read,
    in_shell,
    refuse_existing,
    refuse_read,
    refuse_shared,
    say_written,
)
from lenet5_cli.commands.reading import load, note_missing
from lenet5_cli.commands.stopping import Stop
from lenet5_cli.config import Config, as_toml, seconds, spaces
from lenet5_cli.errors import LeNet5Error, counted, printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.shell_completion import CompletionItem

    from lenet5_cli.training.search import Search, Trial

SHOWN = 10  # trials in the table
WIDE = 60  # columns of a terminal from which on the table has intervals and seconds
FOUND = "# Found by lenet5 tune"  # the start of the output file
WRITES, BETWEEN = 20, 0.1  # attempts to lock the output, and seconds between; another machine holds it for milliseconds


def _as_seconds(_: click.Context, __: click.Parameter, text: str) -> float:
    try:
        return seconds("--time", text)
    except LeNet5Error as error:
        raise UsageError(str(error)) from None


def _complete_space(_: click.Context, __: click.Parameter, start: str) -> "list[CompletionItem]":
    return offered(start, spaces())


@click.command(cls=GroupedCommand)
@partial(settings, hidden=("rehearse",))  # a trial starts from no model
@option(
    "--trials",
    group="Main",
    type=Integer(1),
    metavar="N",
    default=50,
    show_default=True,
    help="Trials in the study, including those already in --storage.",
)
@option(
    "--time",
    "limit",
    group="Main",
    metavar="TIME",
    default="",
    callback=_as_seconds,
    help="End the search after this time: 90s, 30m, 1h30m; --max-time limits each trial.",
)
@option(
    "--space",
    group="Main",
    metavar="NAME|FILE",
    shell_complete=_complete_space,
    default="default",
    show_default=True,
    help="Search space: a TOML file of ranges, or a shipped one.",
)
@option(
    "--storage",
    group="Main",
    type=FILE,
    metavar="FILE",
    help="Journal of the study: the same command continues it, even on several machines at once.",
)
@cores_option("Trials to run in parallel, one core each.")
@option("-o", "--output", group="Output", type=FILE, default="best.toml", show_default=True, help="Best settings.")
@option("--plot", group="Output", type=FILE, help="Draw trials and importances of settings (needs matplotlib).")
@overwrite_option
def tune(
    trials: int,
    limit: float,
    space: str,
    storage: Path | None,
    threads: int,
    output: Path,
    plot: Path | None,
    overwrite: bool,
    **values: Any,
) -> None:
    """Search for good settings (needs Optuna).

    Each trial trains with settings from a search space. Trials are compared by validation accuracy, on a sixth of the
    training images unless --validation gives a number. A trial worse than the median at the same epoch is ended early.
    The first trial has the settings given. The best settings go to a TOML file for train --config; the test images are
    never loaded. Ctrl-C keeps the best so far.

    \b
    Examples:
      lenet5 tune --config quick --trials 50 --time 30m
      lenet5 tune --config quick --space mine.toml --storage journal.log
      lenet5 train --config best.toml
    """
    refuse_shared(output, storage, plot)
    _refuse_to_replace(overwrite, storage, output, plot)
    refuse_read([("--space", Path(space)), *files_read(values)], output, storage, plot)
    from lenet5_cli.data import glyphs
    from lenet5_cli.files import only_writer
    from lenet5_cli.reports import figures
    from lenet5_cli.training.search import Search
    from lenet5_cli.training.space import read_space

    demand_plot("--plot", plot)
    if not storage:  # with a storage, other processes of the study write the output too
        click.get_current_context().with_resource(only_writer(output))
        refuse_existing(overwrite, output)  # another search may just have ended
    keep_best = _keep_best_of_all if storage else _keep_best
    ranges = read_space(space)
    config = config_of(values, ranges)
    _refuse_unwritable(config)
    split = load(config, "train")
    if source_of("validation") == "DEFAULT":
        config = replace(config, validation=Search.held_out(split))
    search = Search(config, split, ranges, storage)
    note_missing(glyphs.read(config.glyphs), split.part(slice(len(split.labels) - config.validation)), split)
    click.echo(f"seed: {search.config.seed}", err=True)
    click.echo(_announced(search, trials, threads, len(split.labels)), err=True)
    exit_code = _run(search, trials, threads, limit, partial(keep_best, search, output))
    if search.ranked:
        if plot:
            figures.search(search.trials, search.importances(), plot)
        _show(search)
        say_written(output, plot)
        click.echo(f"lenet5 train --config {in_shell(output)} trains with it.", err=True)
    if exit_code:
        if not search.ranked:
            click.echo(printable(f"Stopped before a trial finished; {output} was not written."), err=True)
        if storage:
            click.echo(f"The same command continues the search in {in_shell(storage)}.", err=True)
        click.get_current_context().exit(exit_code)
    if not search.ranked:
        raise LeNet5Error(f"no trial finished; {output} was not written")


def _run(search: "Search", trials: int, threads: int, limit: float, keep_best: "Callable[[], None]") -> int:
    """Run trials, print each, and write the best settings so far; return the exit code of a signal, or 0."""
    with Stop() as stop:
        keep_best()
        for trial in search.run(
            trials, cores=threads, seconds=limit, stopped=lambda: bool(stop.exit_code), waiting=_say_waiting
        ):
            click.echo(_line(trial), err=trial.lost)
            keep_best()
        keep_best()  # another machine may have ended the last one
    return stop.exit_code


def _say_waiting(trials: int) -> None:
    click.echo(
        f"Waiting for {counted(trials, 'trial')} running elsewhere; one whose process has died restarts here.", err=True
    )


def _refuse_to_replace(overwrite: bool, storage: Path | None, output: Path, plot: Path | None) -> None:
    """Refuse to replace existing files, except settings and plots of a search if a study is continued."""
    from lenet5_cli.reports.figures import SEARCH

    begun = bool(storage and storage.is_file() and storage.stat().st_size)
    refuse_existing(True, storage)
    refuse_existing(overwrite or (begun and _content(output).startswith(FOUND.encode())), output)
    refuse_existing(overwrite or (begun and SEARCH.encode() in _content(plot)), plot)


def _refuse_unwritable(config: Config) -> None:
    """Stop with exit code 2 if a setting cannot be written to a TOML file."""
    for name, value in asdict(config).items():
        if isinstance(value, str) and any("\ud800" <= each <= "\udfff" for each in value):
            raise UsageError(f"{name}: {value} is not UTF-8, as a TOML file of settings must be; rename it")


def _content(path: Path | None) -> bytes:
    """Return the bytes of a regular file, or nothing if there is none."""
    return path.read_bytes() if path and path.is_file() else b""


def _announced(search: "Search", trials: int, threads: int, images: int) -> str:
    done, held_out = len(search.trials), search.config.validation
    went = f" ({done} done)" if done else ""
    return (
        f"Searching {', '.join(search.space)}; trials: {trials}{went}, {min(threads, trials)} in parallel; "
        f"{images - held_out:,} training and {held_out:,} validation images"
    )


def _keep_best(search: "Search", output: Path) -> None:
    """Write the settings of the best trial so far, if there is one."""
    from lenet5_cli.files import replacing

    if ranked := search.ranked:
        with replacing(output) as file:
            file.write(_found(search, ranked[0]).encode())


def _keep_best_of_all(search: "Search", output: Path) -> None:
    """Write the settings of the best trial of a study that several machines may share.

    Only one at a time may write; each looks up the best trial while it holds the lock, so the last one sees all trials.
    """
    from lenet5_cli.files import only_writer

    for left in reversed(range(WRITES)):
        try:
            with only_writer(output):
                _keep_best(search, output)
                return
        except LeNet5Error:
            if not left:
                raise
            time.sleep(BETWEEN)


def _found(search: "Search", best: "Trial") -> str:
    low, high = search.interval(best)
    settings = replace(search.with_settings(best), seed=None)
    return (
        f"{FOUND}: validation accuracy {best.accuracy:.4f} ({low:.4f} to {high:.4f}).\n"
        f"# With --validation 0{' --patience 0' * bool(settings.patience)}, train uses these images too.\n\n"
    ) + as_toml(settings)


def _line(trial: "Trial") -> str:
    if trial.lost:
        return printable(f"trial {trial.number}: {trial.reason}; its settings are tried again")
    early = f"  ended early: {trial.reason}" if trial.reason else ""
    reached = f"trial: {trial.number}  val: {trial.accuracy:.5f}  epochs: {len(trial.curve)}  {_said(trial)}"
    return printable(f"{reached}{early}")


def _said(trial: "Trial") -> str:
    return " ".join(f"{name}={value}" for name, value in trial.settings.items())


def _show(search: "Search") -> None:
    """Print the best trials and the importances of settings."""
    from rich.table import Table

    screen, ranked = console(), search.ranked
    title = f"Best trials ({len(ranked)} of {len(search.trials)} finished)"
    more = ("95 % interval", "seconds") if screen.width >= WIDE else ()
    table = Table("trial", "val", *more, "settings", title=title, box=None, title_justify="left")
    for column in table.columns:
        column.no_wrap, column.overflow = column.header != "settings", "fold"
    for trial in ranked[:SHOWN]:
        low, high = search.interval(trial)
        measured = (f"{low:.4f} to {high:.4f}", f"{trial.seconds:.0f}")[: len(more)]
        table.add_row(str(trial.number), f"{trial.accuracy:.4f}", *measured, plain(screen, _said(trial)))
    screen.print(table)
    importances = search.importances()
    if importances:
        click.echo("Importance of each setting:")
    else:
        click.echo("Importances are unknown: too few trials finished, or all were equally good.")
    for name, fraction in importances.items():
        click.echo(f"{name:16} {fraction:6.1%}".replace("%", " %"))
