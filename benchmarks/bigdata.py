"""Train on a made file of millions of images, and on 60,000 of them: images a second and peak memory, in Markdown.

    LENET5_DATA=mnist_data python benchmarks/bigdata.py [--images 8000000] [--folder /tmp]

Each is trained on once, in shuffled batches of 128, and then evaluated. The file, of 784 bytes an image, is removed.
"""

import argparse
import os
import struct
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from speed import machine
from watch import watched

from lenet5_cli.data.sources import load

SMALL = 60_000
SETTINGS = ["--config", "quick", "--augment", "none", "--epochs", "1", "--seed", "1"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=8_000_000)
    parser.add_argument("--folder", help="where the files are made")
    options = parser.parse_args()
    train, test = (load(os.environ.get("LENET5_DATA", "builtin:60000"), split) for split in ("train", "test"))
    print(f"{machine()}\n\n| images | bytes | seconds | images a second | peak memory |\n|--:|--:|--:|--:|--:|")
    for count in (SMALL, options.images):
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            for prefix, split, images in (("train", train, count), ("t10k", test, len(test.labels))):
                repeat(Path(folder) / f"{prefix}-images-idx3-ubyte", np.asarray(split.images), images)
                repeat(Path(folder) / f"{prefix}-labels-idx1-ubyte", np.asarray(split.labels), images)
            settings = [*SETTINGS, "--samples-per-epoch", str(count)]
            command = ["train", "--data", folder, *settings, "--output", f"{folder}/model.pkl"]
            seconds, peak = watched([sys.executable, "-m", "lenet5_cli", *command])
        print(f"| {count:,} | {784 * count:,} | {seconds:.1f} | {count / seconds:,.0f} | {peak:.0f} MiB |", flush=True)


def repeat(path: Path, array: NDArray[np.uint8], count: int) -> None:
    """Write an IDX file of ``count`` elements along the first axis, those of an array again and again."""
    with path.open("wb") as file:
        file.write(struct.pack(f">2xBB{array.ndim}I", 0x08, array.ndim, count, *array.shape[1:]))
        for start in range(0, count, len(array)):
            file.write(array[: count - start].tobytes())


if __name__ == "__main__":
    main()
