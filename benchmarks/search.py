"""What a search finds from the report's settings, beside the recipe quick, which was found by hand.

``LENET5_DATA=mnist_data python benchmarks/search.py [--time 30m] [--epochs 12] [--seeds 3]`` trains quick with several
seeds, each on one core, and takes its seconds for the budget. From the report's settings, but with the passes over the
images that quick makes, ``lenet5 tune`` then searches on all cores for ``--time``; each of its trials has one core and
that budget. The recipe found is trained like quick, with the same seeds, which are not that of the search. All of this
sees training images alone, 10,000 of them held out; the test accuracies are measured last, once.
``--found FILE.toml`` measures a recipe that was found before.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean, stdev
from time import perf_counter

from speed import machine

from lenet5_cli import LeNet5, evaluate, load_data, train
from lenet5_cli.commands.options import available_cores
from lenet5_cli.config import read, seconds
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.training.runs import Run

HELD_OUT = 10_000
SEARCH_SEED = 100  # none of those that the recipes are compared with
CORES = available_cores()


def main() -> None:
    """Train, search, train what was found, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--time", default="30m", help="of the search")
    parser.add_argument("--epochs", type=int, default=read("quick")["epochs"], help="of quick, and of every trial")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--found", type=lambda path: Path(path).absolute(), help="by a search before: none is made")
    options = parser.parse_args()
    try:
        seconds("--time", options.time)
        if options.found:
            read(str(options.found))
        test = load_data("mnist", "test")
    except LeNet5Error as error:
        parser.error(str(error))
    with tempfile.TemporaryDirectory() as folder:
        kept = trained("quick", options.seeds, Path(folder) / "quick", epochs=options.epochs)
        budget = mean(each for each, _ in kept)
        best = options.found or Path(folder) / "best.toml"
        if not options.found:
            search(best, options.time, options.epochs, budget)
        print(f"\n```toml\n{best.read_text(encoding='utf-8')}```\n")
        found = trained(str(best), options.seeds, Path(folder) / "found")
        print(f"{machine()}; each run on one of them; seeds 1 to {options.seeds}, {HELD_OUT:,} images held out\n")
        print("| recipe | seconds | held-out accuracy, mean | deviation | test accuracy, mean | deviation |")
        print("|---|--:|--:|--:|--:|--:|")
        for name, runs in (("quick", kept), ("found", found)):
            validated = [max(epoch.validation_accuracy or 0 for epoch in run.history) for _, run in runs]
            models = sorted(Path(folder).glob(f"{name}-*.pkl"))
            tested = [evaluate(LeNet5.load(model), test, threads=CORES).accuracy for model in models]
            print(f"| {name} | {mean(each for each, _ in runs):.1f} | {spread(validated)} | {spread(tested)} |")


def trained(recipe: str, seeds: int, output: Path, **settings: object) -> list[tuple[float, Run]]:
    """Train a recipe with several seeds on one core, save the models, and return the seconds of each with its run."""
    runs = []
    for seed in range(1, seeds + 1):
        start, model = perf_counter(), output.with_name(f"{output.name}-{seed}.pkl")
        run = train(recipe, seed=seed, validation=HELD_OUT, threads=1, output=model, **settings)
        runs.append((perf_counter() - start, run))
    return runs


def search(output: Path, time: str, epochs: int, seconds: float) -> None:
    """Search from the report's settings, and write what was found."""
    quick = read("quick")
    report = ["--config", "report", "--order", quick["order"], "--samples-per-epoch", str(quick["samples_per_epoch"])]
    trial = ["--epochs", str(epochs), "--validation", str(HELD_OUT), "--max-time", f"{round(seconds)}s"]
    how = ["--trials", "1000", "--time", time, "--seed", str(SEARCH_SEED), "--output", str(output)]
    subprocess.run([sys.executable, "-m", "lenet5_cli", "tune", *report, *trial, *how], check=True)


def spread(values: list[float]) -> str:
    """Return mean and deviation of accuracies in percent, as two cells of a table."""
    return f"{100 * mean(values):.2f} | {100 * stdev(values):.2f}" if len(values) > 1 else f"{100 * values[0]:.2f} | "


if __name__ == "__main__":
    main()
