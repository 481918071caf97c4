"""Fine-tuning on few pictures: outlined digits, which the bundled model does not know, 25 of each.

``python benchmarks/finetune.py`` prints, over 5 seeds, the error on 1,000 outlined digits of the bundled model, of
``lenet5 train --from bundled``, of the same with ``--rehearse 0.5``, and of a new network trained on the same pictures
with the preset quick; beside it the accuracy on MNIST's test images, and the seconds of the processor. ``--choose``
compares settings for the preset finetune, on pictures held out and other seeds.
"""

import argparse
from statistics import mean
from time import process_time

import cv2
import numpy as np

from lenet5_cli import LeNet5, evaluate, load_data, train
from lenet5_cli.config import Config, read
from lenet5_cli.data.augmentation import distort, draw
from lenet5_cli.files import BUNDLED_MODEL
from lenet5_cli.pictures.normalise import normalise
from lenet5_cli.storage import checkpoint
from lenet5_cli.training.inputs import Data, as_split
from lenet5_cli.training.runs import Run, begin

# Each digit as pen strokes: points in a box of 10 x 14.
STROKES = [
    ["5,0 2,1 0,5 0,9 2,13 5,14 8,13 10,9 10,5 8,1 5,0"],
    ["2,3 5,0 5,14", "2,14 8,14"],
    ["0,3 2,0 8,0 10,3 9,6 0,14 10,14"],
    ["0,0 10,0 5,5 9,7 10,10 8,13 4,14 0,12"],
    ["7,14 7,0 0,10 10,10"],
    ["10,0 1,0 0,6 6,5 10,8 9,12 5,14 0,13"],
    ["8,0 2,5 0,9 1,13 5,14 9,13 10,10 8,8 4,7 0,9"],
    ["0,0 10,0 4,14", "2,7 9,7"],
    ["5,7 1,5 0,3 2,0 8,0 10,3 9,5 5,7 1,9 0,12 2,14 8,14 10,12 9,9 5,7"],
    ["10,5 6,7 2,6 0,4 1,1 5,0 9,1 10,5 8,10 2,14"],
]
UNIT, MARGIN = 8, 24  # pixels of the large drawing: a box's unit, and around the box
OUTER, INNER = 26, 12  # pixels: widths of the pen, and of what is taken out of its middle
JITTER = 0.6  # units, by which each point is off
MNIST_HELD_OUT = 5000  # of its training images, at their end: the bundled model has not learned them
CHOICES = {  # what is tried in the place of the preset's settings
    "the preset": {},
    "no average": {"ema": 0.0},
    "no average, cosine schedule": {"ema": 0.0, "schedule": "cosine"},
    "half the rate": {"lr": 0.002},
    "twice the rate": {"lr": 0.008},
    "half the epochs": {"epochs": 30},
    "twice the epochs": {"epochs": 120},
    "batches of 32": {"batch_size": 32},
    "discriminative, j = 14": {"loss": "discriminative", "rubbish": 14.0},
}


def outlined(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return outlined digits (n, 28, 28) and their labels (n,), as many of each."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(count) % 10).astype(np.uint8)
    images = np.stack([normalise(_outline(digit, rng)) for digit in labels])
    return distort(images, draw("affine", count, rng)), labels


def _outline(digit: int, rng: np.random.Generator) -> np.ndarray:
    canvas = np.zeros((14 * UNIT + 2 * MARGIN, 10 * UNIT + 2 * MARGIN), np.uint8)
    points = [np.array([point.split(",") for point in stroke.split()], float) for stroke in STROKES[digit]]
    points = [np.rint((each + rng.normal(0, JITTER, each.shape)) * UNIT + MARGIN).astype(np.int32) for each in points]
    cv2.polylines(canvas, points, False, 255, OUTER, cv2.LINE_AA)
    cv2.polylines(canvas, points, False, 0, INNER, cv2.LINE_AA)
    return canvas


def choose() -> None:
    """Print the errors on pictures held out, outlined ones and MNIST's last training images, rehearsing the others."""
    saved, mnist = checkpoint.read(BUNDLED_MODEL), load_data("mnist", "train")
    taught, held_out = mnist.part(slice(-MNIST_HELD_OUT)), mnist.part(slice(-MNIST_HELD_OUT, None))
    print(f"error of the bundled model on {MNIST_HELD_OUT:,} of MNIST: {error(LeNet5.load(), held_out):.4f}")
    for name, changes in CHOICES.items():
        errors = []
        for seed in (11, 12, 13):
            split = as_split(outlined(250, seed), "train")
            given = read("finetune") | {"rehearse": 0.5, "seed": seed} | changes
            run = Run(begin(Config(**given), split, saved, given).config, split, saved, taught)
            for _ in run.train():
                pass
            errors.append([error(run.kept(), outlined(1000, 2000 + seed)), error(run.kept(), held_out)])
        own, known = np.mean(errors, axis=0)
        print(f"{name:40} outlined {own:.4f}  MNIST {known:.4f}", flush=True)


def error(network: LeNet5, data: Data) -> float:
    """Return the fraction that a network reads wrongly."""
    return 1 - evaluate(network, data).accuracy


def table(seeds: int) -> None:
    """Print the error on outlined digits and the accuracy on MNIST of each way to train."""
    mnist = load_data("mnist", "test")
    ways = {
        "bundled, as it is": None,
        "--from bundled": {"start": "bundled"},
        "--from bundled --rehearse 0.5": {"start": "bundled", "rehearse": 0.5},
        "a new network, --config quick": {"config": "quick", "epochs": 60, "batch_size": 16},
    }
    print("way                             error  worst  MNIST   lowest  seconds")
    for name, how in ways.items():
        errors, kept, seconds = [], [], []
        for seed in range(1, seeds + 1):
            start = process_time()
            network = train(data=outlined(250, seed), seed=seed, **how).kept() if how else LeNet5.load()
            seconds.append(process_time() - start)
            errors.append(error(network, outlined(1000, 1000 + seed)))
            kept.append(1 - error(network, mnist))
        figures = f"{mean(errors):6.3f} {max(errors):6.3f}  {mean(kept):.4f}  {min(kept):.4f}  {mean(seconds):7.1f}"
        print(f"{name:30} {figures}", flush=True)


def main() -> None:
    """Print a table, or with ``--choose`` the errors of other settings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="how many runs a way")
    parser.add_argument("--choose", action="store_true", help="compare settings on pictures held out")
    options = parser.parse_args()
    if options.choose:
        choose()
    else:
        table(options.seeds)


if __name__ == "__main__":
    main()
