"""Time training and inference against PyTorch, JAX and the report's listing, and print a table in Markdown.

    python benchmarks/speed.py [--repeats 7] [--quick]

All run in this one process, one after the other in every repeat, on the same images and from the same parameters, each
at its own best thread count; in float32, the listing in float64. First it is checked that all compute the same scores
and gradients. Our times contain the preprocessing of the bytes; the others start from prepared floats.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from peers import Peer, installed

from lenet5_cli.commands.options import available_cores
from lenet5_cli.data import drawn

JOBS = [("train", size) for size in (1, 64, 256, 1024)] + [("infer", size) for size in (1, 100, 1000)]
LISTING = "the report's listing"  # takes one image at a time, so that a larger batch would tell nothing new
SECONDS = 0.4  # of one timed block
CPUINFO = Path("/proc/cpuinfo")  # of Linux

Makers = dict[str, list[Callable[[], Peer]]]


def main() -> None:
    """Check, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument(
        "--quick", action="store_true", help="leave out the compiled PyTorch, which takes minutes to compile"
    )
    options = parser.parse_args()
    images, labels = drawn.draw(1024, seed=0)
    makers = installed(available_cores())
    if options.quick:
        makers.pop("PyTorch compiled", None)
    check(makers, images[:8], labels[:8])
    others = [name for name in makers if name != "lenet5"]
    print(f"{machine()}\n\nMicroseconds an image: median of {options.repeats} repeats (minimum to maximum), and how")
    print("many times faster lenet5 is: median of the ratios within a repeat.\n")
    print(f"| | lenet5 | {' | '.join(others)} |\n|---|{'--:|' * len(makers)}", flush=True)
    for what, size in JOBS:
        times = race(makers, what, images[:size], labels[:size], options.repeats)
        cells = [cell(times, name) for name in makers]
        print(f"| {what}, batch {size} | {' | '.join(cells)} |", flush=True)


def check(makers: Makers, images: np.ndarray, labels: np.ndarray) -> None:
    """Stop unless all compute the same scores and gradients, to the rounding of float32."""
    expected = None
    for name, peers in makers.items():
        peer = peers[0]()
        batch, targets = peer.prepare(images, labels)
        found = peer.scores(batch), peer.gradients(batch, targets)
        expected = expected or [value.copy() for value in found]
        for value, reference in zip(found, expected, strict=True):
            np.testing.assert_allclose(value, reference, atol=2e-4 * abs(reference).max(), rtol=0, err_msg=name)


def race(makers: Makers, what: str, images: np.ndarray, labels: np.ndarray, repeats: int) -> dict[str, list[float]]:
    """Return each peer's microseconds an image, a number a repeat."""
    runners = {
        name: best([runner(make(), what, images, labels) for make in peers])
        for name, peers in makers.items()
        if name != LISTING or len(images) == 1
    }
    calls = {name: max(1, round(SECONDS / timed(run, 3))) for name, run in runners.items()}
    times: dict[str, list[float]] = {name: [] for name in runners}
    for _ in range(repeats):
        for name, run in runners.items():
            times[name].append(timed(run, calls[name]) / len(images) * 1e6)
    return times


def runner(peer: Peer, what: str, images: np.ndarray, labels: np.ndarray) -> Callable[[], object]:
    """Return the call that is timed, warmed up."""
    batch, targets = peer.prepare(images, labels)
    run: Callable[[], object] = (
        (lambda: peer.train(batch, targets)) if what == "train" else (lambda: peer.scores(batch))
    )
    timed(run, 3)
    return run


def best(runners: list[Callable[[], object]]) -> Callable[[], object]:
    """Return the fastest: of one peer at several thread counts."""
    return min(runners, key=lambda run: statistics.median(timed(run, 10) for _ in range(3)))


def timed(run: Callable[[], object], calls: int) -> float:
    """Return the mean seconds of a call."""
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - start) / calls


def cell(times: dict[str, list[float]], name: str) -> str:
    """Return a peer's entry in the table."""
    if name not in times:
        return "-"
    own = times[name]
    figure = f"{statistics.median(own):,.4g} ({min(own):,.4g} to {max(own):,.4g})"
    if name == "lenet5":
        return figure
    ratios = [other / ours for other, ours in zip(own, times["lenet5"], strict=True)]
    return f"{figure}, **{statistics.median(ratios):.3g}x**"


def machine() -> str:
    """Return processor, cores and versions."""
    facts = CPUINFO.read_text(encoding="utf-8").splitlines() if CPUINFO.exists() else []
    named = (fact.split(":")[1].strip() for fact in facts if fact.startswith("model name"))  # an ARM has none
    processor = next(named, platform.processor() or platform.machine())
    found = [f"Python {platform.python_version()}"]
    for package, name in (("numpy", "NumPy"), ("torch", "PyTorch"), ("jax", "JAX")):
        try:
            found.append(f"{name} {version(package)}")
        except PackageNotFoundError:
            continue
    return f"{processor}, {available_cores()} cores; {', '.join(found)}; {platform.system()}"


if __name__ == "__main__":
    main()
