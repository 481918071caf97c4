"""Compare every export with the NumPy network on a whole test set, and print tables in Markdown.

    python benchmarks/exports.py [MODEL ...] [--data mnist] [--repeats 7]

What runs is the exported file: ONNX in onnxruntime, C as a program of the compiler `cc`, and on an emulated Cortex-M4,
where `arm-none-eabi-gcc` and `qemu-system-arm` are installed. Times are taken one after the other in every repeat.
"""

import argparse
import re
import shutil
import statistics
import subprocess
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from speed import machine, timed

from lenet5_cli import LeNet5
from lenet5_cli.commands.options import available_cores
from lenet5_cli.data.sources import load
from lenet5_cli.export import TARGETS, c, onnx, write
from lenet5_cli.export.fixed import FixedPoint
from lenet5_cli.files import BUNDLED_MODEL
from lenet5_cli.storage import checkpoint
from lenet5_cli.training.step import Step

SOURCES = Path(__file__).parent / "c"
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-pedantic"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover"]
ARM = "arm-none-eabi-gcc"
QEMU = "qemu-system-arm"
CORTEX_M4 = ["-std=gnu99", "-O3", "-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"]
TYPES = TARGETS["c"].types
BATCHES = (1, 100)
SECONDS = 0.4  # of one timed block


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", metavar="MODEL", type=Path, nargs="*", default=[BUNDLED_MODEL])
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    split = load(options.data, "test")
    images, labels = np.asarray(split.images), split.labels
    print(f"{machine()}; onnxruntime {version('onnxruntime')}, {compiler()}\n")
    for model in options.models:
        agreement(model, images, labels)
    sizes(options.models[0], images, labels)
    times(options.models[0], images, options.repeats)


def agreement(model: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """Print how often each export gives the network's digit, and by how much a distance is off."""
    saved = checkpoint.read(model)
    network = LeNet5.restore(saved)
    scores = network.scores(images)
    right = (scores.argmax(axis=1) == labels).sum()
    print(f"{model.name}: {right} of {len(images)} right in NumPy, {network.dtype}.\n")
    print("| export | same digit | right | largest difference of a distance | equal to its integer reference |")
    print("|---|--:|--:|--:|--:|")
    answers = {"onnx": run_onnx(onnx.render(network, saved), images, network.sheet.noun)}
    for kind in TYPES:
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), c.render(network, saved, kind, 1))
            answers[f"c {kind}"] = run_c(Path(folder), images, kind, "-O2")
    for name, (digits, distances) in answers.items():
        kind = name.split()[-1]
        same, off, equal = (digits == scores.argmax(axis=1)).sum(), distances, ""
        if kind in TYPES[1:]:
            fixed = FixedPoint(network, kind)
            off = distances / fixed.one**2
            equal = f"{(distances == fixed.distances(images)).all(axis=1).sum()}"
        off = abs(off + scores).max()
        print(f"| {name} | {same} | {(digits == labels).sum()} | {off:.2g} | {equal} |", flush=True)
    print()


def sizes(model: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """Print what the C exports take of a Cortex-M4."""
    if not on_path(ARM, QEMU):
        print(f"{ARM} or {QEMU} is not installed.\n")
        return
    saved = checkpoint.read(model)
    network = LeNet5.restore(saved)
    print(
        f"On a Cortex-M4 with {' '.join(CORTEX_M4[1:2])}, in bytes; instructions counted by QEMU; accuracy in NumPy.\n"
    )
    print("| type | flash | work buffer | stack | instructions an image | accuracy |\n|---|--:|--:|--:|--:|--:|")
    for kind in TYPES:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder)
            write(path, c.render(network, saved, kind, 1))
            flash, work = flash_bytes(path), work_bytes(path)
            instructions, stack = measure(path)
        scores = (network if kind == "float32" else FixedPoint(network, kind)).scores(images)
        accuracy = (scores.argmax(axis=1) == labels).mean()
        print(f"| {kind} | {flash:,} | {work:,} | {stack} | {instructions:,} | {accuracy:.2%} |", flush=True)
    print()


def times(model: Path, images: np.ndarray, repeats: int) -> None:
    """Print our time an image beside onnxruntime's, each with all cores, from the bytes to the scores."""
    saved = checkpoint.read(model)
    network = LeNet5.restore(saved)
    session = session_of(onnx.render(network, saved), available_cores())
    print(f"Microseconds an image, from bytes to scores: median of {repeats} repeats (minimum to maximum).\n")
    print("| batch | lenet5 | onnxruntime | onnxruntime / lenet5 |\n|--:|--:|--:|--:|")
    with Step(network, available_cores()) as step:
        for size in BATCHES:
            batch = np.ascontiguousarray(images[:size])
            runs = [
                lambda batch=batch: step.scores(batch),
                lambda batch=batch: session.run(["scores"], {"images": batch}),
            ]
            calls = [max(1, round(SECONDS / timed(run, 20))) for run in runs]
            rows = [
                [timed(run, count) / size * 1e6 for run, count in zip(runs, calls, strict=True)] for _ in range(repeats)
            ]
            cells = [
                f"{statistics.median(row):.1f} ({min(row):.1f} to {max(row):.1f})" for row in zip(*rows, strict=True)
            ]
            ratio = statistics.median(theirs / ours for ours, theirs in rows)
            print(f"| {size} | {' | '.join(cells)} | {ratio:.2f} |", flush=True)


def session_of(model: bytes, threads: int = 1) -> Any:
    """Return onnxruntime's session of a model."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run_onnx(model: bytes, images: np.ndarray, noun: str) -> tuple[np.ndarray, np.ndarray]:
    """Return what onnxruntime makes of images: digits (n,), the output ``noun``, and distances (n, k)."""
    digits, distances = session_of(model).run([noun, "distances"], {"images": images})
    return digits, distances


def run_c(folder: Path, images: np.ndarray, kind: str, *flags: str) -> tuple[np.ndarray, np.ndarray]:
    """Return what a C export makes of images: digits (n,) and distances (n, k), in its type."""
    program = compiled(folder, [SOURCES / "classify.c", folder / "lenet5.c"], *flags)
    output = subprocess.run([program], input=images.tobytes(), capture_output=True, check=True).stdout
    classes = int(re.search(r"LENET5_CLASSES (\d+)", (folder / "lenet5.h").read_text(encoding="utf-8"))[1])
    answer = np.dtype([("answer", np.int32, 2), ("distances", np.float32 if kind == "float32" else np.int32, classes)])
    answers = np.frombuffer(output, answer)
    return answers["answer"][:, 0], answers["distances"]


def compiled(folder: Path, sources: list[Path], *flags: str) -> Path:
    """Compile C sources with every warning an error, and return the program."""
    program = folder / sources[0].stem
    subprocess.run(["cc", *STRICT, *flags, f"-I{folder}", *sources, "-o", program, "-lm"], check=True)
    return program


def flash_bytes(folder: Path) -> int:
    """Return the bytes of code and constants of an export on a Cortex-M4, with what it takes of the C library."""
    linking = ["-nostartfiles", "--specs=nosys.specs", "-Wl,--entry=lenet5_classify,-u,lenet5_accept,--gc-sections"]
    compile_arm(folder, [folder / "lenet5.c"], "-ffunction-sections", *linking)
    listed = subprocess.run(["arm-none-eabi-size", folder / "arm.elf"], capture_output=True, text=True, check=True)
    text, data = map(int, listed.stdout.splitlines()[1].split()[:2])
    return text + data


def work_bytes(folder: Path) -> int:
    """Return the size of the work buffer."""
    sizes = {"float": 4, "int16_t": 2, "int8_t": 1, "uint8_t": 1}
    header = (folder / "lenet5.h").read_text(encoding="utf-8")
    number = re.search(r"typedef (\w+) lenet5_number", header)[1]
    return sizes[number] * sum(map(int, re.findall(r"lenet5_number \w+\[(\d+)\]", header)))


def measure(folder: Path) -> tuple[int, int]:
    """Return the instructions and the bytes of stack that one image takes on a Cortex-M4."""
    printed = on_cortex_m4(folder, [SOURCES / "measure.c", folder / "lenet5.c"]).stdout
    instructions, stack = re.fullmatch(r"(\d+) instructions, (\d+) bytes of stack\n", printed).groups()
    return int(instructions), int(stack)


def on_cortex_m4(folder: Path, sources: list[Path]) -> subprocess.CompletedProcess[str]:
    """Run a program on QEMU's Cortex-M4, an instruction a nanosecond."""
    linking = ["-nostartfiles", "--specs=rdimon.specs", "-Wl,--gc-sections", f"-T{SOURCES / 'link.ld'}"]
    program = compile_arm(folder, [*sources, SOURCES / "start.c"], *linking)
    machine = ["-M", "mps2-an386", "-nographic", "-monitor", "none", "-icount", "shift=0"]
    semihosting = ["-semihosting-config", "enable=on,target=native"]
    command = [QEMU, *machine, *semihosting, "-kernel", program]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def compile_arm(folder: Path, sources: list[Path], *flags: str) -> Path:
    """Compile for a Cortex-M4, and return the program."""
    program = folder / "arm.elf"
    quiet = "-Wl,--no-warn-rwx-segments"
    subprocess.run([ARM, *CORTEX_M4, f"-I{folder}", *sources, *flags, quiet, "-o", program, "-lm"], check=True)
    return program


def on_path(*programs: str) -> bool:
    """Return whether programs are installed."""
    return all(map(shutil.which, programs))


def compiler() -> str:
    """Return the name and version of ``cc``."""
    return subprocess.run(["cc", "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]


if __name__ == "__main__":
    main()
