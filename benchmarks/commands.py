"""Time whole commands: from start to answer, and from start to a model that reads 99 %, beside PyTorch. In Markdown.

    LENET5_DATA=mnist_data python benchmarks/commands.py [--seeds 2] [--epochs 7]

The model is trained by the preset ``quick``, shortened to some epochs. PyTorch trains the same network from the same
weights on the same distorted batches at the same rates, with its own Adam; a process of its DataLoader prepares them
meanwhile. Every time is of a fresh process, from its start until it has written its checkpoint and ended; so
``compiled`` contains the compilation, but in the second line for each seed finds the compiler's cache. All accuracies
are computed by lenet5, from the parameters in the checkpoint.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from peers import Torch, values
from PIL import Image
from speed import machine
from watch import run

from lenet5_cli import LeNet5
from lenet5_cli.commands.options import available_cores
from lenet5_cli.config import Config, read
from lenet5_cli.data import drawn
from lenet5_cli.data.augmentation import distort, draw
from lenet5_cli.data.sources import Split, load
from lenet5_cli.engine.optim import learning_rate
from lenet5_cli.engine.preprocessing import prepare
from lenet5_cli.training.loop import batches, choose, evaluate

GOAL = 0.99  # of the test images
STARTS = 15  # runs of a short command
CALIBRATION = 200  # steps, to find the best number of threads
LENET5 = [sys.executable, "-m", "lenet5_cli"]
PEERS = ("PyTorch eager", "PyTorch compiled")


def main() -> None:
    """Measure and print; or, with ``--peer``, be a process that is measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("LENET5_DATA", "mnist"))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=7)
    parser.add_argument(
        "--images", type=int, default=468 * 128, help="of an epoch: whole batches, as each size is compiled"
    )
    parser.add_argument("--peer", choices=PEERS, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--output", help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program does not compile itself anew at each start
    if options.peer:
        train_peer(options)
    else:
        print(f"{machine()}\n", flush=True)
        print_starts(options.data)
        print_trainings(options)


def print_starts(data: str) -> None:
    """Print the seconds of short commands."""
    print(f"Seconds from start to end, median of {STARTS} runs (minimum to maximum):\n\n| | |\n|---|--:|")
    with tempfile.TemporaryDirectory() as folder:
        picture = f"{folder}/digit.png"
        Image.fromarray(drawn.draw(1, seed=0)[0][0]).save(picture)
        rows = {
            "`python -c 'import numpy'`": [sys.executable, "-c", "import numpy"],
            "`lenet5 --help`": [*LENET5, "--help"],
            "`lenet5 predict` of a PNG of 28x28": [*LENET5, "predict", "--model", "bundled", picture],
            "`lenet5 eval bundled`, all test images": [*LENET5, "eval", "bundled", "--data", data],
        }
        for name, command in rows.items():
            seconds(command)
            found = [seconds(command) for _ in range(STARTS)]
            print(f"| {name} | {statistics.median(found):.3f} ({min(found):.3f} to {max(found):.3f}) |", flush=True)


def print_trainings(options: argparse.Namespace) -> None:
    """Print the seconds and the accuracy of each training."""
    print(f"\nSeconds from the command to the checkpoint, `quick` for {options.epochs} epochs:\n")
    print(f"| | seed | seconds | test accuracy | {GOAL:.1%} |\n|---|--:|--:|--:|---|", flush=True)
    test = load(options.data, "test")
    peers = PEERS if find_spec("torch") else ()
    size = ["--epochs", str(options.epochs), "--data", options.data]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = f"{folder}/calibration"
        threads = best_threads([*peer_command(PEERS[0], options), *size]) if peers else 0
        for seed in range(1, options.seeds + 1):
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = f"{folder}/cache"
            model = f"{folder}/model.pkl"
            own = [*LENET5, "train", "--config", "quick", *size, "--samples-per-epoch", str(options.images)]
            took = seconds([*own, "--seed", str(seed), "--overwrite", "--output", model])
            print_training("lenet5", seed, took, evaluate(LeNet5.load(model), test).accuracy)
            for peer in peers:
                output = f"{folder}/model.pt"
                found = [*peer_command(peer, options), *size, "--threads", str(threads), "--seed", str(seed)]
                took = seconds([*found, "--output", output])
                print_training(
                    f"{peer}, {threads} thread{'s' * (threads > 1)}", seed, took, accuracy_of(output, seed, test)
                )


def print_training(name: str, seed: int, took: float, accuracy: float) -> None:
    """Print a line of the table."""
    print(f"| {name} | {seed} | {took:.1f} | {accuracy:.2%} | {'yes' if accuracy >= GOAL else 'no'} |", flush=True)


def seconds(command: list[str]) -> float:
    """Return the seconds that a command takes from start to end."""
    start = time.perf_counter()
    run(command)
    return time.perf_counter() - start


def peer_command(peer: str, options: argparse.Namespace) -> list[str]:
    """Return the command that trains with a peer."""
    return [sys.executable, __file__, "--peer", peer, "--images", str(options.images)]


def best_threads(command: list[str]) -> int:
    """Return PyTorch's best number of threads beside the process that prepares its batches."""
    counts = sorted({1, available_cores()})
    command = [*command, "--seed", "1", "--steps", str(CALIBRATION), "--output", os.devnull]
    return min(counts, key=lambda count: seconds([*command, "--threads", str(count)]))


def accuracy_of(checkpoint: str, seed: int, test: Split) -> float:
    """Return the test accuracy of the parameters in a checkpoint of PyTorch."""
    import torch

    network = LeNet5(recipe(seed, 1))
    for value, saved in zip(values(network), torch.load(checkpoint), strict=True):
        value[...] = saved.numpy()
    return evaluate(network, test).accuracy


def recipe(seed: int, epochs: int) -> Config:
    """Return the settings of ``quick`` for some epochs."""
    return replace(Config(**read("quick")), seed=seed, epochs=epochs)


def prepared(split: Split, config: Config, steps: int | None) -> Iterator[tuple[Any, Any, float]]:
    """Yield the inputs, labels and learning rate of every step: those of lenet5, as tensors."""
    import torch

    taken = 0
    for epoch in range(1, config.epochs + 1):
        rng = np.random.default_rng([config.seed or 0, epoch])
        chosen = choose(len(split.labels), config, rng)
        done = 0
        for images, labels in batches(split, config.batch_size, chosen):
            if taken == steps:
                return
            x = prepare(distort(images, draw(config.augment, len(labels), rng)), config.input)
            done, taken = done + len(labels), taken + 1
            rate = learning_rate(config, epoch, done / len(chosen))
            yield torch.from_numpy(np.ascontiguousarray(x)), torch.from_numpy(labels.astype(np.int64)), rate


def train_peer(options: argparse.Namespace) -> None:
    """Train with PyTorch and write a checkpoint."""
    import torch

    config = replace(recipe(options.seed, options.epochs), samples_per_epoch=options.images)
    split = load(options.data, "train")

    class Steps(torch.utils.data.IterableDataset):  # type: ignore[misc] - only known once torch is here
        def __iter__(self) -> Iterator[tuple[Any, Any, float]]:
            return prepared(split, config, options.steps)

    peer = Torch(LeNet5(config), options.threads, compiled=options.peer == PEERS[1])
    peer.optimizer = torch.optim.Adam(peer.params, fused=True)
    for x, labels, rate in torch.utils.data.DataLoader(Steps(), batch_size=None, num_workers=1, prefetch_factor=8):
        peer.optimizer.param_groups[0]["lr"] = rate
        peer.train(x, labels)
    if Path(options.output) != Path(os.devnull):
        torch.save([param.detach() for param in peer.params], options.output)


if __name__ == "__main__":
    main()
