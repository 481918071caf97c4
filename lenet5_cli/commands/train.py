"""``lenet5 train``."""

import json
import secrets
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from lenet5_cli import __version__
from lenet5_cli.commands.options import (
    FILE,
    Stop,
    console,
    load,
    overwrite_option,
    refuse_existing,
    settings,
    source_of,
    threads_option,
)
from lenet5_cli.config import Config
from lenet5_cli.errors import LeNet5Error, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lenet5_cli.data.sources import Split
    from lenet5_cli.storage.checkpoint import Checkpoint
    from lenet5_cli.training.metrics import Tally

    Note = Callable[[dict[str, Any]], None]


@click.command()
@settings
@click.option("-o", "--output", type=FILE, default="model.pkl", show_default=True, help="Checkpoint, one an epoch.")
@overwrite_option
@click.option("--runs", type=click.IntRange(min=1), metavar="N", default=1, help="Train with N seeds, keep the best.")
@click.option("--resume", is_flag=True, help="Go on with the run whose checkpoint --output is.")
@threads_option
@click.option("--log", type=FILE, help="Write one JSON object an epoch to this file.")
@click.option("--plot", type=FILE, help="Draw loss and accuracy over the epochs (needs matplotlib).")
def train(
    output: Path,
    overwrite: bool,
    runs: int,
    resume: bool,
    threads: int,
    log: Path | None,
    plot: Path | None,
    **values: Any,
) -> None:
    """Train a network and save it.

    The defaults are the report's. The checkpoint is written after every epoch. One line an epoch goes to stdout, then
    the accuracy on the test set. Ctrl-C stops at the end of a step, and --resume goes on as if it had not happened.

    \b
    Examples:
      lenet5 train --epochs 20 --lr 0.5
      lenet5 train --config report --epochs 5 --log run.jsonl --plot run.png
      lenet5 train --resume --epochs 20
    """
    if resume and runs > 1:
        raise click.UsageError("--resume goes on with one run; --runs begins several")
    outputs = [output.with_stem(f"{output.stem}-{run + 1}") for run in range(runs)] if runs > 1 else [output]
    refuse_existing(overwrite or resume, output, *outputs)
    refuse_existing(overwrite, log, plot)
    from lenet5_cli.data import sources
    from lenet5_cli.files import only_writer
    from lenet5_cli.reports import figures
    from lenet5_cli.storage import checkpoint

    if plot:
        figures.require("--plot", plot)
    values["data"] = sources.absolute(values["data"])
    if resume:
        checkpoint.read(output)  # what is none is refused before anything is written
    with ExitStack() as locks:
        for path in {output, *outputs}:
            locks.enter_context(only_writer(path))
        refuse_existing(overwrite or resume, output, *outputs)  # another run may just have ended
        _run(output, outputs, resume, threads, log, plot, values)


def _run(
    output: Path,
    outputs: list[Path],
    resume: bool,
    threads: int,
    log: Path | None,
    plot: Path | None,
    values: dict[str, Any],
) -> None:
    """Train, once nobody else writes the checkpoints."""
    from lenet5_cli.reports import figures
    from lenet5_cli.storage import checkpoint

    saved = checkpoint.read(output) if resume else None
    config = _continued(output, saved, values) if saved else _seeded(Config(**values))
    fall_back = not resume and source_of("data") == "DEFAULT"
    *splits, notice = _load(config.data, fall_back=fall_back)
    if not saved:
        config = replace(config, data=splits[0].source)
    if config.validation >= len(splits[0].labels):
        raise LeNet5Error(f"validation: {config.validation} of {len(splits[0].labels)} images; none would be left")
    if saved and saved.data.get("sha256") != splits[0].sha256:
        raise LeNet5Error(f"{output}: was trained on other images than those of {config.data}")
    with _log(log) as note, Stop() as stop:
        done = []
        for run, path in enumerate(outputs):
            begun = saved or _begun(replace(config, seed=(config.seed or 0) + run), splits[0])
            done.append(_Run(path, begun, _train(begun, path, splits, threads, note, stop)))
    if len(outputs) > 1:
        saved = _best_of(done, output)
    if plot:
        figures.history((saved or begun).history, plot)
    name = printable(str(output))
    click.echo(f"The model is in {name}; lenet5 predict --model {name} digit.png reads a digit with it.", err=True)
    if notice:
        click.echo(notice, err=True)


@contextmanager
def _log(path: Path | None) -> "Iterator[Note]":
    """Open a log, and return what writes the record of an epoch into it, or nowhere where none was asked for."""
    if path is None:
        yield lambda _: None
        return
    try:
        file = path.open("wb", buffering=0)
    except OSError as error:
        raise LeNet5Error(f"{path}: cannot be written: {error.strerror}") from None

    def note(record: dict[str, Any]) -> None:
        line = json.dumps(record).encode() + b"\n"
        try:
            while line:
                line = line[file.write(line) :]
        except OSError as error:
            raise LeNet5Error(f"{path}: cannot be written: {error.strerror}") from None

    with file:
        yield note


class _Run(NamedTuple):
    path: Path
    saved: "Checkpoint"
    test: "Tally"


def _train(saved: "Checkpoint", output: Path, splits: "list[Split]", threads: int, note: "Note", stop: Stop) -> "Tally":
    """Train one network to its end, and return what it does on the test set."""
    from lenet5_cli.engine.network import LeNet5
    from lenet5_cli.training.loop import evaluate

    config = Config(**saved.config)
    try:
        for record in saved.history:  # of a run that goes on: its log is whole
            note(record)
        for record in _epochs(saved, splits[0], config, output, threads, stop):
            note(record)
        tally = evaluate(LeNet5.restore(saved), splits[1], threads=threads, track=stop.track)
    except Stop.Requested:
        if saved.epoch:
            name = printable(str(output))
            click.echo(f"Stopped; {name} has {saved.epoch} of {config.epochs} epochs.", err=True)
            click.echo(f"lenet5 train --resume --output {name} goes on.", err=True)
        else:
            click.echo("Stopped before the end of the first epoch; nothing was saved.", err=True)
        click.get_current_context().exit(stop.exit_code)
    click.echo(f"test accuracy: {tally.accuracy:.4f} ({tally.right} of {tally.images})")
    return tally


def _best_of(done: list[_Run], output: Path) -> "Checkpoint":
    """Show a table of several runs, keep the best under the name asked for, and return it; the test set has no say."""
    from statistics import mean, stdev

    from rich.table import Table

    if done[0].saved.config["validation"]:
        name, reached = "validation", [max(epoch["validation_accuracy"] for epoch in run.saved.history) for run in done]
    else:
        name, reached = "training", [run.saved.history[-1]["accuracy"] for run in done]
    best = done[reached.index(max(reached))]
    table = Table("seed", "epochs", name, "test", title=f"{len(done)} runs; the best on the {name} images is kept")
    for run, accuracy in zip(done, reached, strict=True):
        kept = f"{accuracy:.4f}{' *' if run is best else ''}"
        table.add_row(str(run.saved.config["seed"]), str(run.saved.epoch), kept, f"{run.test.accuracy:.4f}")
    tests = [run.test.accuracy for run in done]
    table.add_section()
    table.add_row("mean", "", f"{mean(reached):.4f}", f"{mean(tests):.4f}")
    table.add_row("deviation", "", f"{stdev(reached):.4f}", f"{stdev(tests):.4f}")
    console().print(table)
    best.path.replace(output)
    for run in done:
        run.path.unlink(missing_ok=True)
    return best.saved


def _epochs(
    saved: "Checkpoint", split: "Split", config: Config, output: Path, threads: int, stop: Stop
) -> "Iterator[dict[str, Any]]":
    """Train the epochs that are missing; print and save each, and yield its record."""
    from lenet5_cli.engine.network import LeNet5
    from lenet5_cli.engine.optim import optimizer
    from lenet5_cli.storage import checkpoint
    from lenet5_cli.training.loop import fit

    network = LeNet5.restore(saved) if saved.epoch else LeNet5.new(config)
    steps = optimizer(config, network.parameters)
    state = steps.state | ({"parameters": network.parameters} if config.validation else {})
    if saved.epoch and {name: value.shape for name, value in saved.state.items()} != {
        name: value.shape for name, value in state.items()
    }:
        raise LeNet5Error(f"{output}: the state of its {config.optimizer} is not there; it cannot be resumed")
    for name, value in saved.state.items():
        state[name][...] = value
    held_out = len(split.labels) - config.validation
    validation = split.part(slice(held_out, None)) if config.validation else None
    deadline = monotonic() + config.seconds()
    run = fit(
        network,
        steps,
        split.part(slice(held_out)),
        config,
        first=saved.epoch + 1,
        validation=validation,
        threads=threads,
        track=stop.track,
    )
    for epoch in run:
        record = asdict(epoch)
        validated = epoch.validation_accuracy
        if validated is None:
            del record["validation_accuracy"]
        if validated is None or validated > max((past["validation_accuracy"] for past in saved.history), default=-1):
            saved.pairs = network.pairs()
        ended = config.schedule == "cosine" and epoch.epoch == config.epochs  # --epochs cannot ask for more
        saved.epoch, saved.state = epoch.epoch, {} if ended else state
        saved.history.append(record)
        checkpoint.write(output, saved)
        shown = "" if validated is None else f"  val: {validated:.5f}"
        click.echo(f"epoch: {epoch.epoch}  loss: {epoch.loss:.5f}  acc: {epoch.accuracy:.5f}{shown}")
        yield record
        if _patience_is_out(saved.history, config):
            click.echo(f"No epoch of the last {config.patience} validated better; the best is kept.", err=True)
            return
        if monotonic() + epoch.seconds > deadline and epoch.epoch < config.epochs:
            click.echo(f"Another epoch would end later than {config.max_time} after the start.", err=True)
            return


def _patience_is_out(history: list[dict[str, Any]], config: Config) -> bool:
    if not config.patience or len(history) <= config.patience:
        return False
    validated: list[float] = [epoch["validation_accuracy"] for epoch in history]
    return max(validated[-config.patience :]) <= max(validated[: -config.patience])


def _seeded(config: Config) -> Config:
    """Draw the seed that was not given, and say which, so that any run can be run again."""
    if config.seed is None:
        config = replace(config, seed=secrets.randbelow(2**32))
    click.echo(f"seed: {config.seed}", err=True)
    return config


def _continued(output: Path, saved: "Checkpoint", values: dict[str, Any]) -> Config:
    """Return the settings of a run that goes on: its own, but for what says only when it ends."""
    if not saved.config:
        raise LeNet5Error(f"{output}: does not say how it was trained; a run of lenet5 can be resumed")
    unknown = saved.config.keys() - asdict(Config()).keys()
    if unknown:
        raise LeNet5Error(f"{output}: {min(unknown)} is a setting that this lenet5 does not know")
    config = Config(**saved.config)
    _demand_history(output, saved, config)
    free = {"epochs", "patience", "max_time"} if config.schedule == "exponential" else {"patience", "max_time"}
    for name, value in values.items():
        if source_of(name) in ("DEFAULT", "ENVIRONMENT") or value == getattr(config, name):
            continue
        if name not in free:
            raise LeNet5Error(f"{output}: {name} is {getattr(config, name)} in this run; {value} would be another run")
        config = replace(config, **{name: value})
    if saved.epoch >= config.epochs:
        raise LeNet5Error(f"{output}: has {saved.epoch} of {config.epochs} epochs already; --epochs can ask for more")
    saved.config = asdict(config)
    return config


def _demand_history(output: Path, saved: "Checkpoint", config: Config) -> None:
    """Refuse to go on where the epochs that were trained are not told one by one, as every run tells them."""
    told = {"epoch", "loss", "accuracy", "seconds"} | ({"validation_accuracy"} if config.validation else set())
    missing = [entry for entry in saved.history if not told <= entry.keys()]
    epochs = [entry.get("epoch") for entry in saved.history]
    if missing or not epochs or epochs != list(range(1, saved.epoch + 1)):
        raise LeNet5Error(f"{output}: its history is not of {saved.epoch} epochs; a run of lenet5 can be resumed")


def _load(source: str, *, fall_back: bool) -> tuple["Split", "Split", str | None]:
    """Load both splits; or else the built-in digits, and a notice that says so, where that is allowed."""
    from lenet5_cli.data.sources import DownloadError

    try:
        return load(source, "train"), load(source, "test"), None
    except DownloadError as error:
        if not fall_back:
            raise
        notice = f"NOTE: trained on the built-in drawn digits, not on MNIST, which could not be downloaded.\n{error}"
        click.echo(notice.replace("trained", "training", 1), err=True)
    return load("builtin", "train"), load("builtin", "test"), notice


def _begun(config: Config, split: "Split") -> "Checkpoint":
    """Return the checkpoint of a run that has not begun."""
    import platform

    import numpy as np

    from lenet5_cli.data import glyphs
    from lenet5_cli.storage.checkpoint import Checkpoint

    return Checkpoint(
        [],
        glyphs.read(config.glyphs),
        asdict(config),
        data={"name": split.source, "images": len(split.labels), "sha256": split.sha256},
        versions={"lenet5": __version__, "python": platform.python_version(), "numpy": np.__version__},
    )
