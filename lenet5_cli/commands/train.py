"""``lenet5 train``."""

import json
import secrets
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lenet5_cli import __version__
from lenet5_cli.commands.options import FILE, bar, load, overwrite_option, refuse_existing, settings, threads_option
from lenet5_cli.config import Config

if TYPE_CHECKING:
    from lenet5_cli.checkpoint import Checkpoint
    from lenet5_cli.datasets import Split
    from lenet5_cli.network import LeNet5


@click.command()
@settings
@click.option(
    "-o", "--output", type=FILE, default="model.pkl", show_default=True, help="Checkpoint, written each epoch."
)
@overwrite_option
@threads_option
@click.option("--log", type=FILE, help="Write one JSON object an epoch to this file.")
@click.option("--plot", type=FILE, help="Draw loss and accuracy over the epochs (needs matplotlib).")
def train(output: Path, overwrite: bool, threads: int, log: Path | None, plot: Path | None, **values: Any) -> None:
    """Train a network and save it.

    The defaults are the report's. The checkpoint is written after every epoch. One line an epoch goes to stdout, then
    the accuracy on the test set.

    \b
    Examples:
      lenet5 train --epochs 20 --lr 0.5
      lenet5 train --data builtin --seed 1 --output drawn.pkl
      lenet5 train --config report --epochs 5 --log run.jsonl --plot run.png
    """
    refuse_existing(overwrite, output, log, plot)
    from lenet5_cli import checkpoint, figures, glyphs
    from lenet5_cli.network import LeNet5
    from lenet5_cli.training import evaluate, fit

    if plot:
        figures.require_matplotlib()
    config = _seeded(Config(**values))
    codes = glyphs.read(config.glyphs)
    explicit = click.get_current_context().get_parameter_source("data") is not click.core.ParameterSource.DEFAULT
    train_split, test_split, notice = _load(config.data, explicit)
    network = LeNet5(codes, seed=config.seed, dtype=config.dtype)
    saved = _checkpoint(network, replace(config, data=train_split.source), train_split)
    with log.open("w", encoding="utf-8") if log else nullcontext() as lines:
        for epoch in fit(network, train_split, config, threads=threads, track=bar):
            saved.pairs, saved.epoch = network.pairs(), epoch.epoch
            saved.history.append(asdict(epoch))
            checkpoint.write(output, saved)
            click.echo(f"epoch: {epoch.epoch}  loss: {epoch.loss:.5f}  acc: {epoch.accuracy:.5f}")
            if lines:
                print(json.dumps(asdict(epoch)), file=lines, flush=True)
    tally = evaluate(network, test_split, threads=threads, track=bar)
    click.echo(f"test accuracy: {tally.accuracy:.4f} ({tally.right} of {tally.images})")
    if plot:
        figures.history(saved.history, plot)
    click.echo(f"The model is in {output}; lenet5 predict --model {output} digit.png reads a digit with it.", err=True)
    if notice:
        click.echo(notice, err=True)


def _seeded(config: Config) -> Config:
    """Draw the seed that was not given, and say which, so that any run can be run again."""
    if config.seed is None:
        config = replace(config, seed=secrets.randbelow(2**32))
    click.echo(f"seed: {config.seed}", err=True)
    return config


def _load(source: str, explicit: bool) -> tuple["Split", "Split", str | None]:
    """Load both splits; where the default data cannot be had, the built-in digits and a notice that says so."""
    from lenet5_cli.datasets import DownloadError

    notice = None
    try:
        return load(source, "train"), load(source, "test"), notice
    except DownloadError as error:
        if explicit:
            raise
        notice = f"NOTE: trained on the built-in drawn digits, not on MNIST, as that could not be had.\n{error}"
        click.echo(notice.replace("trained", "training", 1), err=True)
    return load("builtin", "train"), load("builtin", "test"), notice


def _checkpoint(network: "LeNet5", config: Config, split: "Split") -> "Checkpoint":
    """Return the checkpoint of a run that has not begun."""
    import platform

    import numpy as np

    from lenet5_cli.checkpoint import Checkpoint

    return Checkpoint(
        network.pairs(),
        network.codes,
        asdict(config),
        data={"name": split.source, "images": len(split.labels), "sha256": split.sha256},
        versions={"lenet5": __version__, "python": platform.python_version(), "numpy": np.__version__},
    )
