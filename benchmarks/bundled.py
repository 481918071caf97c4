"""Train the bundled model again: the same bytes on the same machine, but for the versions that it names.

    python benchmarks/bundled.py [--output lenet5_cli/bundled.pkl] [--seed 1] [--threads 2]

The recipe is configs/bundled.toml. Five minutes on two cores. The seconds that an epoch took are not kept: they are the
only thing in a checkpoint that differs between two runs.
"""

import argparse
from dataclasses import replace

from lenet5_cli.config import Config, read
from lenet5_cli.data import sources
from lenet5_cli.files import BUNDLED_MODEL
from lenet5_cli.storage import checkpoint
from lenet5_cli.training.loop import evaluate
from lenet5_cli.training.runs import Run


def main() -> None:
    """Train, print each epoch and the accuracy on the test set, and write the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default=str(BUNDLED_MODEL))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=int, help="fewer than the recipe's, to see that it runs")
    options = parser.parse_args()
    changes = {"epochs": options.epochs} if options.epochs else {}
    config = Config(**read("bundled") | {"seed": options.seed} | changes)
    run = Run(config, sources.load(config.data, "train"))
    for epoch in run.train(threads=options.threads):
        print(f"epoch {epoch.epoch}: loss {epoch.loss:.5f}, validation {epoch.validation_accuracy:.4f}", flush=True)
    saved = run.checkpoint()
    saved.history = [replace(epoch, seconds=0.0) for epoch in saved.history]
    checkpoint.write(options.output, saved)
    tally = evaluate(run.kept(), sources.load(config.data, "test"), threads=options.threads)
    threshold = run.kept().threshold
    print(f"seed {options.seed}: test accuracy {tally.accuracy:.4f}; digits within {threshold:.2f} of a glyph")


if __name__ == "__main__":
    main()
