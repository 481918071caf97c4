"""Kill training at random moments, go on, and compare with a run that was never killed.

``python benchmarks/crashes.py --kills 200`` makes the table in docs/results.md. Each recipe trains in small on built-in
digits; its process and helpers are killed with SIGKILL at a moment drawn evenly over the time that a run needs, again
and again, and each time the run is taken up by ``--resume``, or begun afresh where there is no checkpoint yet. After
every kill the checkpoint must be readable; at the end its bytes must be those of the run that was never killed, but for
the seconds, and no file may be left over.
"""

import argparse
import os
import signal
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import lenet5_cli
from lenet5_cli.storage import checkpoint

TRAIN = [sys.executable, "-m", "lenet5_cli", "train", "--data", "builtin:300", "--seed", "1"]
SMALL = {  # so many epochs that most of the time goes into them, so few images that a checkpoint is often written
    "report": ["--config", "report", "--epochs", "30", "--samples-per-epoch", "20"],
    "quick": ["--config", "quick", "--epochs", "20"],
    "best": ["--config", "best", "--epochs", "10", "--validation", "50"],
    "lecun1998": ["--config", "lecun1998", "--epochs", "20", "--samples-per-epoch", "60"],
}


@dataclass
class Tally:
    """What was seen of one recipe.

    Attributes:
        kills: how often it was killed.
        afresh: after how many there was no checkpoint yet.
        writing: how many came while a checkpoint was being written.
        unreadable: after how many the checkpoint could not be read.
        runs: how many runs came to their end.
        different: how many of those ended with other bytes, or left another file.
    """

    kills: int = 0
    afresh: int = 0
    writing: int = 0
    unreadable: int = 0
    runs: int = 0
    different: int = 0


def start(folder: Path, arguments: list[str]) -> subprocess.Popen[bytes]:
    """Start a run in a folder, in a group of its own."""
    environment = {**os.environ, "PYTHONPATH": str(Path(lenet5_cli.__file__).parents[1])}
    return subprocess.Popen(
        [*TRAIN[:4], *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def without_seconds(path: Path) -> bytes:
    """Return the bytes of a checkpoint, the seconds of its epochs struck out."""
    content = path.read_bytes()
    for epoch in checkpoint.read(path).history:
        content = content.replace(struct.pack(">d", epoch.seconds), b"*" * 8)
    return content


def crash(recipe: list[str], kills: int, seed: int = 1) -> Tally:
    """Kill runs of a recipe that many times, and bring the last, or one begun afresh after it, to its end."""
    moments, tally = np.random.default_rng(seed), Tally()
    afresh = [*TRAIN[4:], *recipe]
    with TemporaryDirectory() as whole, TemporaryDirectory() as broken:
        begun = time.monotonic()
        start(Path(whole), afresh).wait()
        lasts = time.monotonic() - begun
        expected = without_seconds(Path(whole) / "model.pkl")
        model = Path(broken) / "model.pkl"
        while True:
            process = start(Path(broken), ["--resume"] if model.exists() else afresh)
            try:
                process.wait(lasts * moments.random() if tally.kills < kills else None)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                tally.kills += 1
                tally.afresh += not model.exists()
                tally.writing += model.with_name(".model.pkl.part").exists()
                tally.unreadable += not readable(model)
                continue
            tally.runs += 1
            left = sorted(path.name for path in Path(broken).iterdir())
            # A run that was killed after its last epoch has nothing to go on with, and says so.
            tally.different += left != ["model.pkl"] or without_seconds(model) != expected
            model.unlink()
            if tally.kills == kills:
                return tally


def readable(model: Path) -> bool:
    """Tell whether a checkpoint is whole, if it is there."""
    try:
        return not model.exists() or bool(checkpoint.read(model))
    except lenet5_cli.LeNet5Error:
        return False


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="in all")
    options = parser.parse_args()
    if options.kills < len(SMALL):
        parser.error(f"--kills {options.kills}; expected {len(SMALL)} or more, as there are {len(SMALL)} recipes")
    print("| recipe | kills | before the first checkpoint | while one was written | unreadable | runs | not the same |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    kills, more = divmod(options.kills, len(SMALL))
    for place, (name, recipe) in enumerate(SMALL.items()):
        tally = crash(recipe, kills + (place < more))
        cells = (tally.kills, tally.afresh, tally.writing, tally.unreadable, tally.runs, tally.different)
        print(f"| `{name}` | {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
