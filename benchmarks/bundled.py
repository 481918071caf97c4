"""Train the bundled model again: the same bytes on the same machine, but for the versions that it names.

    python benchmarks/bundled.py [--output lenet5_cli/bundled.pkl] [--seed 1] [--threads 2] [--first-stage FILE]

First a network is trained as the preset ``best`` says, but for the images held out; from its parameters, the recipe
configs/bundled.toml. Six minutes on two idle cores. The seconds that an epoch took are not kept: they are the only thing
in a checkpoint that differs between two runs. ``--first-stage`` keeps the first network in a file, or takes it from there.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from lenet5_cli.config import Config, read
from lenet5_cli.data import sources
from lenet5_cli.files import BUNDLED_MODEL
from lenet5_cli.storage import checkpoint
from lenet5_cli.training.loop import evaluate
from lenet5_cli.training.runs import Run


def main() -> None:
    """Train both stages, print each epoch and the accuracy on the test set, and write the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default=str(BUNDLED_MODEL))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=int, help="fewer than the recipes', to see that it runs")
    parser.add_argument("--first-stage", type=Path, metavar="FILE")
    options = parser.parse_args()
    changes = {"seed": options.seed} | ({"epochs": options.epochs} if options.epochs else {})
    config = Config(**read("bundled") | changes)
    training = sources.load(config.data, "train")
    first = Config(**read("best") | changes | {"validation": config.validation})
    run = Run(config, training)
    run.network.assign(first_stage(first, training, options.first_stage, options.threads))
    train(run, options.threads)
    saved = run.checkpoint()
    saved.history = [replace(epoch, seconds=0.0) for epoch in saved.history]
    checkpoint.write(options.output, saved)
    tally = evaluate(run.kept(), sources.load(config.data, "test"), threads=options.threads)
    threshold = run.kept().threshold
    print(f"seed {options.seed}: test accuracy {tally.accuracy:.4f}; digits within {threshold:.2f} of a glyph")


def first_stage(config: Config, training: sources.Split, path: Path | None, threads: int) -> list:
    """Return the parameters of the first network after its last epoch."""
    if path and path.exists():
        return checkpoint.read(path).pairs
    run = Run(config, training)
    train(run, threads)
    if path:
        checkpoint.write(path, replace(run.checkpoint(), pairs=run.network.pairs(), state={}))
    return run.network.pairs()


def train(run: Run, threads: int) -> None:
    """Train a run to its end, and print each epoch."""
    for epoch in run.train(threads=threads):
        print(f"epoch {epoch.epoch}: loss {epoch.loss:.5f}, validation {epoch.validation_accuracy:.4f}", flush=True)


if __name__ == "__main__":
    main()
