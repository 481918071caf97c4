"""Train the bundled model again: the same bytes on the same machine, but for the versions that it names.

    python benchmarks/bundled.py [--output lenet5_cli/bundled.pkl] [--seed 1] [--threads 2]

The recipe is configs/bundled.toml: five networks learn it in half its epochs, seeds 1 to 5, and teach the one that is
kept. The seconds that an epoch took are not written: they are the only thing in a checkpoint that differs between two
runs.
"""

import argparse
from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from lenet5_cli.config import Config, read
from lenet5_cli.data import sources
from lenet5_cli.data.sources import Split
from lenet5_cli.files import BUNDLED_MODEL
from lenet5_cli.storage import checkpoint
from lenet5_cli.training.loop import evaluate
from lenet5_cli.training.runs import Run

TEACHERS = {seed: f"teacher-{seed}.pkl" for seed in range(1, 6)}


def main() -> None:
    """Train the teachers, then the network that is kept; print each epoch and the accuracy on the test set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=int, help="fewer than the recipe's, to see that it runs; with --output")
    options = parser.parse_args()
    if options.epochs and not options.output:
        parser.error(f"--epochs {options.epochs} without --output would replace {BUNDLED_MODEL}; say where to write")
    config = Config(**read("bundled"))
    config = replace(config, epochs=options.epochs or config.epochs)
    split, output = sources.load(config.data, "train"), (options.output or BUNDLED_MODEL).absolute()
    with TemporaryDirectory() as folder, chdir(folder):  # the checkpoint says the teachers' names
        for seed, name in TEACHERS.items():
            train(replace(config, seed=seed, epochs=max(1, config.epochs // 2)), split, options.threads, Path(name))
        taught = replace(config, seed=options.seed, teacher=",".join(TEACHERS.values()))
        train(taught, split, options.threads, output)


def train(config: Config, split: Split, threads: int, output: Path) -> None:
    """Train one network, and print how."""
    run = Run(config, split)
    print(f"seed {config.seed}, {f'taught by {config.teacher}' if config.teacher else 'a teacher'}:")
    for epoch in run.train(threads=threads):
        print(f"epoch {epoch.epoch}: loss {epoch.loss:.5f}, validation {epoch.validation_accuracy:.4f}", flush=True)
    saved = run.checkpoint()
    saved.history = [replace(epoch, seconds=0.0) for epoch in saved.history]
    checkpoint.write(output, saved)
    tally = evaluate(run.kept(), sources.load(config.data, "test"), threads=threads)
    print(f"test accuracy {tally.accuracy:.4f}; digits within {run.kept().threshold:.2f} of a glyph", flush=True)


if __name__ == "__main__":
    main()
