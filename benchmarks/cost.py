"""Show where the time of lenet5 goes and how it grows with batch, threads and images: tables in Markdown.

python benchmarks/cost.py [--images 1000000]
"""

import argparse
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from peers import take_step
from speed import machine

from lenet5_cli import LeNet5
from lenet5_cli.commands.options import available_cores
from lenet5_cli.config import Config
from lenet5_cli.data import drawn, idx
from lenet5_cli.data.sources import load
from lenet5_cli.engine import SIGMOID, conv, dense, rbf, windows
from lenet5_cli.engine.einsum import contraction
from lenet5_cli.engine.windows import Kernels, Windows
from lenet5_cli.training.loop import evaluate
from lenet5_cli.training.step import Step

IMAGES, LABELS = drawn.draw(4096, seed=0)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1_000_000, help="the largest data set to evaluate")
    options = parser.parse_args()
    print(f"{machine()}\n")
    by_kind()
    by_batch()
    by_images(options.images)


def by_kind() -> None:
    """Print what a training step spends on, one thread: the kinds are timed where the engine calls them."""
    kinds: Counter[str] = Counter()

    def timed(kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                kinds[kind] += time.perf_counter() - start

        return call

    for module in (conv, dense, rbf, windows):
        module.contraction = lambda *arrays, **out: timed("matrix products", contraction(*arrays, **out))
    Windows.im2col = timed("im2col", Windows.im2col)
    Windows._col2im = timed("col2im", Windows._col2im)
    Kernels.fill = timed("kernels of tiles and their gradients", Kernels.fill)
    Kernels.sum = timed("kernels of tiles and their gradients", Kernels.sum)
    activation = replace(
        SIGMOID,
        apply=timed("sigmoid and its gradient", SIGMOID.apply),
        gradient=timed("sigmoid and its gradient", SIGMOID.gradient),
    )
    print("Where a step goes, one thread, microseconds an image:\n")
    print("| | batch 1 | batch 64 |\n|---|--:|--:|")
    columns = []
    for size in (1, 64):
        network = LeNet5(Config(seed=1))
        for layer in network.layers:
            if hasattr(layer, "activation"):
                layer.activation = activation
        with Step(network) as step:
            run(step, size, 20)
            kinds.clear()
            kinds["all"] = run(step, size, max(20, 2000 // size)) * max(20, 2000 // size) * size
        calls = max(20, 2000 // size) * size
        columns.append({kind: seconds / calls * 1e6 for kind, seconds in kinds.items()})
    for kind in columns[0]:
        if kind != "all":
            print(f"| {kind} | {columns[0][kind]:.1f} | {columns[1][kind]:.1f} |")
    rest = [column["all"] - sum(value for kind, value in column.items() if kind != "all") for column in columns]
    print(f"| everything else: biases, sub-sampling, loss, update, Python | {rest[0]:.1f} | {rest[1]:.1f} |")
    print(f"| in all | {columns[0]['all']:.1f} | {columns[1]['all']:.1f} |\n")


def by_batch() -> None:
    """Print the time of a step by batch and cores."""
    counts = range(1, available_cores() + 1)
    heads = ["one core", *(f"{count} cores" for count in counts[1:])]
    print("A training step, microseconds an image, by batch:\n")
    print(f"| batch | {' | '.join(heads)} |\n|--:|{'--:|' * len(counts)}")
    for size in (1, 4, 16, 64, 128, 256, 1024, 4096):
        cells = []
        for threads in counts:
            with Step(LeNet5(Config(seed=1)), threads) as step:
                step.pool.wait_until_ready()
                run(step, size, 3)
                calls = max(2, 1000 // size)
                cells.append(f"{statistics.median(run(step, size, calls) for _ in range(5)) * 1e6:.1f}")
        print(f"| {size:,} | {' | '.join(cells)} |")
    print()


def by_images(most: int) -> None:
    """Print the time of an evaluation by the number of images in a file."""
    print("Evaluation of a file, all cores:\n\n| images | seconds | microseconds an image |\n|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as folder:
        count = 1000
        while count <= most:
            repeats = -(-count // len(IMAGES))
            idx.write(Path(folder) / "t10k-images-idx3-ubyte", np.tile(IMAGES, (repeats, 1, 1))[:count])
            idx.write(Path(folder) / "t10k-labels-idx1-ubyte", np.tile(LABELS, repeats)[:count])
            start = time.perf_counter()
            evaluate(LeNet5(Config(seed=1)), load(folder, "test"), threads=available_cores())
            seconds = time.perf_counter() - start
            print(f"| {count:,} | {seconds:.2f} | {seconds / count * 1e6:.1f} |")
            count *= 10


def run(step: Step, size: int, calls: int) -> float:
    """Return the seconds an image of some training steps."""
    start = time.perf_counter()
    for _ in range(calls):
        take_step(step, IMAGES[:size], LABELS[:size])
    return (time.perf_counter() - start) / calls / size


if __name__ == "__main__":
    main()
