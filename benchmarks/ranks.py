"""What MPI costs a training step, a model of it, and what large batches reach: tables in Markdown.

``python benchmarks/ranks.py`` starts two ranks of one core each on this machine, and compares their step with that of
two cores of one process, in pairs. It measures what the model needs (the step of one core, latency and bandwidth of
messages), says how well the model predicts the measured steps, and then what it predicts for other numbers of hosts.

``--accuracy`` trains the preset quick with batches of 1,024 and 4,096 instead: the rule for rate and warm-up is chosen
on held-out images, and seeds 1 to 3 are then measured on the test images. It takes minutes on an idle machine.
"""

import argparse
import math
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from speed import machine

from lenet5_cli import LeNet5, evaluate, load_data, train
from lenet5_cli.config import Config, read
from lenet5_cli.data import drawn
from lenet5_cli.data.augmentation import draw
from lenet5_cli.engine.optim import optimizer
from lenet5_cli.training.ranks import Ranks, join
from lenet5_cli.training.step import Step, cuts
from lenet5_cli.training.sums import deal

SIZES = (128, 1024, 4096)
LARGE = (1024, 4096)
ROUNDS = 15  # pairs of measurements
SECONDS = 0.4  # that one of them takes, about
RATE, BATCH = 0.01, 128  # by the root, this gives the rate of the preset quick, 0.006 for 48
HELD_OUT = 5000
RULES = {  # rate and warm-up in epochs by the batch
    "rate 0.01, warm-up half an epoch": lambda _: {"lr": RATE},
    "rate times the root of the batch, warm-up 1 epoch": lambda size: {"lr": _rooted(size), "warmup": 1.0},
    "rate times the root of the batch, warm-up 3 epochs": lambda size: {"lr": _rooted(size), "warmup": 3.0},
}


class Costs(NamedTuple):
    """What the model is made of, in seconds."""

    image: float  # of a chunk, on one core
    drawn: float  # for an image's distortion: every rank draws those of the whole batch
    update: float  # by the optimiser, on the leader alone
    latency: float  # of a message
    byte: float  # for a byte of a message
    added: float  # for a partial sum added to another


class Network(NamedTuple):
    """How messages travel between hosts."""

    name: str
    latency: float  # seconds
    bandwidth: float  # bytes a second


NETWORKS = (Network("10 Gbit/s Ethernet, TCP", 30e-6, 1.1e9), Network("InfiniBand, 100 Gbit/s", 3e-6, 11e9))
HOSTS = (1, 8, 64, 512)
PAPER = (128, 1024, 4096, 16_384, 65_536)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--accuracy", action="store_true", help="train with large batches instead")
    parser.add_argument("--threads", type=int, default=2, help="cores that --accuracy trains on")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.accuracy:
        large_batches(options.threads)
    elif options.inside:
        measure(join(timeout=600))
    else:
        mpiexec = shutil.which("mpiexec", path=Path(sys.executable).parent) or shutil.which("mpiexec")
        if not mpiexec:
            sys.exit('there is no mpiexec, beside Python or on the PATH; pip install "lenet5-cli[mpi]" mpich')
        subprocess.run([mpiexec, "-n", "2", sys.executable, __file__, "--inside"], check=True)


class Job:
    """Training steps of the preset quick on images in memory, at one batch size."""

    def __init__(self, size: int, threads: int, ranks: Ranks) -> None:
        self.config = Config(**{**read("quick"), "batch_size": size, "seed": 1})
        self.images, self.labels = drawn.draw(256, seed=0)
        self.images, self.labels = (np.tile(each, (16, *[1] * (each.ndim - 1))) for each in (self.images, self.labels))
        self.size, self.rng = size, np.random.default_rng(1)
        self.step = Step(LeNet5(self.config), threads, ranks)
        self.optimizer = optimizer(self.config, self.step.network.parameters)
        self.step.__enter__()
        self.step.pool.wait_until_ready()

    def run(self, calls: int) -> float:
        """Return the seconds of a step."""
        start = time.perf_counter()
        for _ in range(calls):
            distortions = draw("affine", self.size, self.rng)
            self.step.loss_and_gradient(self.images[: self.size], self.labels[: self.size], distortions)
            if self.step.ranks.leader:
                self.update()
        return (time.perf_counter() - start) / calls

    def update(self) -> None:
        """Have the optimiser take its step."""
        network = self.step.network
        self.optimizer.step(network.parameters, network.gradients, 1e-4)


def measure(ranks: Ranks) -> None:
    """Compare two ranks with two cores of one process, in pairs; the other rank sleeps meanwhile."""
    if ranks.leader:
        print(f"{machine()}; {ROUNDS} pairs a row\n")
    costs = _costs(ranks)
    rows = [_compared(size, ranks, costs) for size in SIZES]
    if ranks.leader:
        print("| batch | one core, ms | two cores, ms | two ranks, ms | overhead | bytes sent a step | model, ms |")
        print("|--:|--:|--:|--:|--:|--:|--:|")
        print("\n".join(rows))
        print("\nTimes: minimum; overhead: median over the pairs of ranks / cores - 1, and the middle half of them.\n")
        _show(costs)
    ranks.end()
    ranks.leave()


def _compared(size: int, ranks: Ranks, costs: Costs) -> str:
    shared = Job(size, 1, ranks)
    single, pool = (Job(size, count, Ranks()) for count in (1, 2)) if ranks.leader else (None, None)
    counted = _counting(ranks)
    shared.run(2)
    sent = _total(ranks, counted)
    calls = max(1, round(SECONDS / ranks.share(lambda: pool.run(3) if pool else 0.0)))
    times: dict[str, list[float]] = {"one": [], "cores": [], "ranks": []}
    for _ in range(ROUNDS):
        if single and pool:
            times["cores"].append(pool.run(calls))
            if len(times["one"]) < ROUNDS // 3:
                times["one"].append(single.run(max(1, calls // 2)))
        ranks.share(lambda: None)
        times["ranks"].append(shared.run(calls))
    shared.step.__exit__(None)
    if not (single and pool):
        return ""
    for job in (single, pool):
        job.step.__exit__(None)
    ratios = [ours / theirs - 1 for ours, theirs in zip(times["ranks"], times["cores"], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    least = [min(times[name]) * 1e3 for name in ("one", "cores", "ranks")]
    model = predicted(size, 2, costs) * 1e3
    cells = " | ".join(f"{each:.2f}" for each in least)
    return f"| {size:,} | {cells} | {middle:+.1%} ({low:+.1%} to {high:+.1%}) | {sent:,} | {model:.2f} |"


def _counting(ranks: Ranks) -> list[int]:
    """Return a list to which the size of each array that this rank sends is added."""
    sizes: list[int] = []
    send = ranks.send

    def counted(array: Any, rank: int) -> None:
        sizes.append(array.nbytes)
        send(array, rank)

    ranks.send = counted  # type: ignore[method-assign]
    return sizes


def _total(ranks: Ranks, sizes: list[int]) -> int:
    """Return the bytes that all ranks have sent, a step."""
    ranks.send = type(ranks).send.__get__(ranks)  # type: ignore[method-assign]
    steps = 2
    if not ranks.leader:
        ranks.report(sum(sizes))
        return 0
    return (sum(sizes) + sum(ranks.collect(rank) for rank in range(1, ranks.size))) // steps


def _costs(ranks: Ranks) -> Costs:
    """Measure what the model needs: each the minimum of several."""
    size = 1024
    network = LeNet5(Config(seed=1))
    message, small = np.zeros_like(network.gradients), np.zeros(1)
    there = [_least(lambda array=array: _ping(ranks, array)) / 2 for array in (small, message)]
    byte = max(0.0, there[1] - there[0]) / message.nbytes
    rng, other = np.random.default_rng(1), np.ones_like(message)
    drawn_one = _least(lambda: draw("affine", size, rng)) / size
    added = _least(lambda: np.add(message, other, out=message))
    job = Job(size, 1, Ranks())
    update = _least(job.update)
    image = (_least(lambda: job.run(1)) - update) / size - drawn_one if ranks.leader else 0.0
    job.step.__exit__(None)
    return ranks.share(lambda: Costs(image, drawn_one, update, there[0], byte, added))


def _least(call: Callable[[], object], repeats: int = 20) -> float:
    """Return the seconds of a call, the minimum of several."""
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return min(found)


def _ping(ranks: Ranks, array: np.ndarray) -> None:
    """Send an array from the leader to the other rank and back."""
    if ranks.leader:
        ranks.send(array, 1)
        ranks.receive(array, 1)
    else:
        ranks.receive(array, 0)
        ranks.send(array, 0)


def predicted(size: int, hosts: int, costs: Costs, network: Network | None = None, cores: int = 1) -> float:
    """Return the seconds of a step on a number of hosts, each with so many cores at work.

    The rank with most chunks computes them; parameters go down a tree of ranks and sums up one, a message a level, and
    one more where a block of chunks is cut in two; the leader adds one sum a level and updates.
    """
    chunks, images = len(cuts(size)), size
    working = min(hosts, chunks)
    starts = deal(chunks, working)
    most = max(end - start for start, end in pairwise(starts))
    compute = costs.image * images / chunks * -(-most // cores)
    latency, byte = (network.latency, 1 / network.bandwidth) if network else (costs.latency, costs.byte)
    values = LeNet5(Config(seed=1)).gradients.nbytes
    levels = math.ceil(math.log2(working)) if working > 1 else 0
    cut = any(start % 4 for start in starts[1:-1])
    down, up = levels * (latency + values * byte), (levels + cut) * (latency + values * byte + costs.added)
    return compute + costs.drawn * size + costs.update + down + up


def _show(costs: Costs) -> None:
    byte = f"{1e-9 / costs.byte:.1f} GB/s" if costs.byte else "no time for the bytes"
    print(
        f"The model: {costs.image * 1e6:.1f} us an image on one core, {costs.drawn * 1e6:.2f} us to draw\n"
        f"its distortion, {costs.update * 1e6:.0f} us an update, {costs.latency * 1e6:.0f} us a message and {byte}\n"
        f"between ranks, {costs.added * 1e6:.0f} us to add a sum.\n"
    )
    for network in NETWORKS:
        speed = f"{network.latency * 1e6:.0f} us, {network.bandwidth / 1e9:.1f} GB/s"
        print(f"On paper, hosts of 2 cores, {network.name} ({speed}): milliseconds a step, times as fast as 1 host\n")
        heads = ["batch", "1 host", *(f"{hosts} hosts" for hosts in HOSTS[1:])]
        print(f"| {' | '.join(heads)} |\n{'|--:' * len(heads)}|")
        for size in PAPER:
            alone = predicted(size, 1, costs, network, cores=2)
            cells = []
            for hosts in HOSTS:
                step = predicted(size, hosts, costs, network, cores=2)
                cells.append(f"{step * 1e3:.2f} ({alone / step:.1f}x)" if hosts <= len(cuts(size)) else "-")
            print(f"| {size:,} | {' | '.join(cells)} |")
        print()


def _rooted(size: int) -> float:
    return RATE * math.sqrt(size / BATCH)


def large_batches(threads: int) -> None:
    """Choose a rule on images held out, and print what it reaches on the test images."""
    print(f"On the last {HELD_OUT:,} training images, held out (seed 11, last epoch):\n")
    print(f"| rule | {' | '.join(f'batch {size:,}' for size in LARGE)} |\n|---|{'--:|' * len(LARGE)}")
    reached = {}
    for name, rule in RULES.items():
        cells = []
        for size in LARGE:
            run = train("quick", batch_size=size, seed=11, validation=HELD_OUT, threads=threads, **rule(size))
            cells.append(run.history[-1].validation_accuracy or 0.0)
        reached[name] = statistics.mean(cells)
        print(f"| {name} | {' | '.join(f'{cell:.4f}' for cell in cells)} |", flush=True)
    best = max(reached, key=lambda name: reached[name])
    print(f"\nOn the test images: {best}.\n\n| batch | seed 1 | seed 2 | seed 3 | mean |\n|--:|--:|--:|--:|--:|")
    test = load_data("mnist", "test")
    for size in LARGE:
        runs = [train("quick", batch_size=size, seed=seed, threads=threads, **RULES[best](size)) for seed in (1, 2, 3)]
        found = [evaluate(run.network, test, threads=threads).accuracy for run in runs]
        cells = " | ".join(f"{accuracy:.4f}" for accuracy in (*found, statistics.mean(found)))
        print(f"| {size:,} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
