"""Time the report's whole job as a command, with its peak memory, against the report's listing, in Markdown.

    python benchmarks/job.py [--data builtin:60000] [--runs 3]

The listing would take most of an hour, so it is timed over some images and steps and scaled: it does all images alike.
"""

import argparse
import os
import statistics
import sys
import tempfile

from peers import SEED, Listing
from speed import machine, timed
from watch import watched

from lenet5_cli import LeNet5
from lenet5_cli.config import Config
from lenet5_cli.data import drawn

STEPS, SCORED = 20 * 6000, 20 * 60_000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("LENET5_DATA", "builtin:60000"), help="60,000 training images")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    listing = Listing(LeNet5(Config(seed=SEED)))
    batch, targets = listing.prepare(*drawn.draw(50, seed=0))
    seconds, peaks, listed = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        given = ["--config", "report", "--data", options.data, "--seed", "1", "--overwrite"]
        command = [sys.executable, "-m", "lenet5_cli", "train", *given]
        for _ in range(options.runs):
            a_step = timed(lambda: listing.train(batch, targets), 1) / len(batch)
            an_image = timed(lambda: listing.scores(batch), 1) / len(batch)
            listed.append(STEPS * a_step + SCORED * an_image)
            duration, memory = watched([*command, "--output", f"{folder}/model.pkl"])
            seconds.append(duration)
            peaks.append(memory)
    ratio = statistics.median(theirs / ours for theirs, ours in zip(listed, seconds, strict=True))
    print(f"{machine()}; {options.runs} runs\n\n| | seconds | peak memory |\n|---|--:|--:|")
    took = f"{statistics.median(seconds):.1f} ({min(seconds):.1f} to {max(seconds):.1f})"
    print(f"| lenet5 | {took} | {max(peaks):.0f} MiB |")
    print(f"| the report's listing, scaled up, **{ratio:.0f}x** | {statistics.median(listed):,.0f} | |")


if __name__ == "__main__":
    main()
