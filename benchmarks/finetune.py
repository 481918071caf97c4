"""Fine-tuning on few pictures: outlined digits, which the bundled model does not know, 25 of each.

``python benchmarks/finetune.py`` prints, over 5 seeds, the error on 1,000 outlined digits of the bundled model, of
``lenet5 train --from bundled``, of the same with ``--rehearse 0.5``, and of a new network trained on the same pictures
with the preset quick; beside it the accuracy on MNIST's test images, and the seconds. ``--choose`` compares settings
for the preset finetune, on pictures held out in training with other seeds.
"""

import argparse
from statistics import mean
from time import perf_counter

import cv2
import numpy as np

from lenet5_cli import LeNet5, evaluate, load_data, train
from lenet5_cli.data.augmentation import distort, draw
from lenet5_cli.pictures.normalise import normalise

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
CHOICES = {"lr": (0.001, 0.002, 0.004), "loss": ("cross-entropy", "discriminative"), "epochs": (30, 60)}


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
    """Print the error on the pictures held out, the mean of 3 seeds, for each combination of settings."""
    for lr in CHOICES["lr"]:
        for loss in CHOICES["loss"]:
            for epochs in CHOICES["epochs"]:
                runs = [
                    train(
                        "finetune",
                        data=outlined(250, seed),
                        start="bundled",
                        seed=seed,
                        lr=lr,
                        loss=loss,
                        epochs=epochs,
                    )
                    for seed in (11, 12, 13)
                ]
                kept = [
                    min((1 - each.validation_accuracy, each.validation_loss) for each in run.history) for run in runs
                ]
                error, fit = mean(each for each, _ in kept), mean(each for _, each in kept)
                print(f"lr {lr}  {loss:15} {epochs} epochs: error {error:.3f}, loss {fit:.3f}", flush=True)


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
            start = perf_counter()
            network = train(data=outlined(250, seed), seed=seed, **how).kept() if how else LeNet5.load()
            seconds.append(perf_counter() - start)
            errors.append(1 - evaluate(network, outlined(1000, 1000 + seed)).accuracy)
            kept.append(evaluate(network, mnist).accuracy)
        figures = f"{mean(errors):6.3f} {max(errors):6.3f}  {mean(kept):.4f}  {min(kept):.4f}  {mean(seconds):7.1f}"
        print(f"{name:30} {figures}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="how many runs a way")
    parser.add_argument("--choose", action="store_true", help="compare settings on pictures held out")
    arguments = parser.parse_args()
    choose() if arguments.choose else table(arguments.seeds)
