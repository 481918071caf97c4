"""Train the recipes with several seeds each, and print what they reach on the test set, in Markdown.

    LENET5_DATA=mnist_data python benchmarks/recipes.py [--recipes quick best ...] [--seeds 5] [--without] [--taught]
        [--from-nothing]

Each line is the command ``lenet5 train --config RECIPE --seed N --data mnist``, its seconds with all that it does. With
``--without``, each recipe is trained again with one of its ingredients at a time put back to the default; with
``--taught``, with as many other seeds, by ``--teacher`` with the models of all seeds before. ``--from-nothing`` trains
``quick`` on digits that lenet5 draws, and others, taught by these models, on more of them; no image of MNIST is used.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from speed import machine
from watch import run

from lenet5_cli.config import Config, read

INGREDIENTS = ("augment", "input", "order", "schedule", "init", "glyphs", "ema", "clip", "weight_decay")
DRAWN: dict[str, object] = {"data": "builtin:60000", "augment": "elastic"}
MORE = {"drawn": 60000, "samples-per-epoch": 120000, "glyphs": "codes", "epochs": 40}  # for those that are taught


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipes", nargs="+", default=["quick", "best", "record", "lecun1998"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--without", action="store_true", help="leave out one ingredient at a time")
    parser.add_argument("--taught", action="store_true", help="have the models of a recipe teach it to others")
    parser.add_argument("--from-nothing", action="store_true", help="train on drawn digits in place of the recipes")
    options = parser.parse_args()
    print(f"{machine()}; seeds 1 to {options.seeds}\n")
    print(
        "| recipe | test accuracy, mean | deviation | minimum | maximum | in nine places, mean | seconds |\n"
        "|---|--:|--:|--:|--:|--:|--:|",
        flush=True,
    )
    seeds = range(1, options.seeds + 1)
    if options.from_nothing:
        from_nothing(seeds)
        return
    for recipe in options.recipes:
        with tempfile.TemporaryDirectory() as folder:
            measure(recipe, recipe, {}, seeds, folder)
            if options.taught:
                teach(recipe, recipe, {}, seeds, folder)
            if options.without:
                leave_out(recipe, seeds, folder)


def from_nothing(seeds: range) -> None:
    """Print a line for ``quick`` on drawn digits, and one for what it teaches."""
    with tempfile.TemporaryDirectory() as folder:
        measure("`quick` on drawn digits", "quick", DRAWN, seeds, folder)
        teach("... on more", "quick", DRAWN | MORE, seeds, folder)


def teach(title: str, recipe: str, change: dict[str, object], seeds: range, folder: str) -> None:
    """Print a line for a recipe with as many other seeds, taught by the models of these seeds in the folder."""
    teacher = ",".join(f"{folder}/{seed}.pkl" for seed in seeds)
    others = range(seeds.stop, seeds.stop + len(seeds))
    measure(f"{title}, taught by {len(seeds)}", recipe, {**change, "teacher": teacher}, others, folder)


def leave_out(recipe: str, seeds: Iterable[int], folder: str) -> None:
    """Print a line for each ingredient of a recipe that is put back to the default."""
    defaults, settings = asdict(Config()), read(recipe)
    for name in INGREDIENTS:
        if settings.get(name, defaults[name]) != defaults[name]:
            measure(f"{recipe}, {name} {defaults[name]}", recipe, {name: defaults[name]}, seeds, folder)


def measure(title: str, recipe: str, change: dict[str, object], seeds: Iterable[int], folder: str) -> None:
    """Print a line: a recipe, perhaps changed, over all seeds, whose models are then in the folder."""
    changed = [
        text
        for name, value in {"data": "mnist", **change}.items()
        for text in (f"--{name.replace('_', '-')}", str(value))
    ]
    accuracies, shifted, seconds = [], [], []
    for seed in seeds:
        start, model = time.perf_counter(), str(Path(folder) / f"{seed}.pkl")
        command = [sys.executable, "-m", "lenet5_cli", "train", "--config", recipe, "--seed", str(seed), *changed]
        run([*command, "--overwrite", "-o", model])
        seconds.append(time.perf_counter() - start)
        accuracies.append(accuracy(model))
        shifted.append(accuracy(model, "--shifted"))
        found = f"{accuracies[-1]:.2f} %, in nine places {shifted[-1]:.2f} %, in {seconds[-1]:.0f} s"
        print(f"{title} seed {seed}: {found}", file=sys.stderr, flush=True)
    spread = f"{statistics.stdev(accuracies):.2f}" if len(accuracies) > 1 else "-"
    cells = [f"**{statistics.mean(accuracies):.2f} %**", spread, f"{min(accuracies):.2f}", f"{max(accuracies):.2f}"]
    cells += [f"{statistics.mean(shifted):.2f} %", f"{statistics.mean(seconds):.0f}"]
    print(f"| {title} | {' | '.join(cells)} |", flush=True)


def accuracy(model: str, *how: str) -> float:
    """Return how many per cent of MNIST's test images a model reads."""
    command = [sys.executable, "-m", "lenet5_cli", "eval", "--json", "--data", "mnist", *how, model]
    return float(100 * json.loads(run(command))["accuracy"])


if __name__ == "__main__":
    main()
