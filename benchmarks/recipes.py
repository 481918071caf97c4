"""Train the recipes with several seeds each, and print what they reach on the test set, in Markdown.

    LENET5_DATA=mnist_data python benchmarks/recipes.py [--recipes quick best record lecun1998] [--seeds 5] [--without]

Each line is the command ``lenet5 train --config RECIPE --seed N``, its seconds with all that it does. With
``--without``, each recipe is trained again with one of its ingredients at a time put back to the default.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict

from speed import machine

from lenet5_cli.config import Config, read

INGREDIENTS = ("augment", "input", "order", "schedule", "init", "glyphs", "ema")


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipes", nargs="+", default=["quick", "best", "record", "lecun1998"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--without", action="store_true", help="leave out one ingredient at a time")
    options = parser.parse_args()
    print(f"{machine()}; seeds 1 to {options.seeds}\n")
    print(
        "| recipe | test accuracy, mean | deviation | minimum | maximum | seconds |\n|---|--:|--:|--:|--:|--:|",
        flush=True,
    )
    for recipe in options.recipes:
        measure(recipe, recipe, {}, options.seeds)
        if options.without:
            defaults, settings = asdict(Config()), read(recipe)
            for name in INGREDIENTS:
                if settings.get(name, defaults[name]) != defaults[name]:
                    change = {name: defaults[name]}
                    measure(f"{recipe}, {name} {defaults[name]}", recipe, change, options.seeds)


def measure(title: str, recipe: str, change: dict[str, object], seeds: int) -> None:
    """Print a line: a recipe, perhaps changed, over all seeds."""
    changed = [text for name, value in change.items() for text in (f"--{name}", str(value))]
    accuracies, seconds = [], []
    with tempfile.TemporaryDirectory() as folder:
        model = f"{folder}/model.pkl"
        for seed in range(1, seeds + 1):
            start = time.perf_counter()
            command = [sys.executable, "-m", "lenet5_cli", "train", "--config", recipe, "--seed", str(seed), *changed]
            subprocess.run([*command, "--overwrite", "-o", model], check=True, capture_output=True)
            seconds.append(time.perf_counter() - start)
            measured = subprocess.run(
                [sys.executable, "-m", "lenet5_cli", "eval", "--json", model], check=True, capture_output=True
            )
            accuracies.append(100 * json.loads(measured.stdout)["accuracy"])
            print(f"{title} seed {seed}: {accuracies[-1]:.2f} % in {seconds[-1]:.0f} s", file=sys.stderr, flush=True)
    spread = f"{statistics.stdev(accuracies):.2f}" if seeds > 1 else "-"
    cells = [f"**{statistics.mean(accuracies):.2f} %**", spread, f"{min(accuracies):.2f}", f"{max(accuracies):.2f}"]
    print(f"| {title} | {' | '.join(cells)} | {statistics.mean(seconds):.0f} |", flush=True)


if __name__ == "__main__":
    main()
