"""Run a command, say why where it fails, and watch the memory of it and of all that it starts (Linux)."""

import re
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryFile

INTERVAL = 0.1  # seconds between two looks


def run(command: list[str]) -> str:
    """Return what a command writes to stdout; where it fails, end with what it writes to stderr."""
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        sys.exit(f"{' '.join(command)}\n{ended.stderr}")
    return ended.stdout


def watched(command: list[str]) -> tuple[float, float]:
    """Return the seconds that a command took and its peak memory in MiB, what processes share counted once (PSS).

    Where it fails, end with what it writes to stderr.
    """
    start, peak = time.perf_counter(), 0.0
    with TemporaryFile("w+") as errors:
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors) as process:
            while process.poll() is None:
                peak = max(peak, sum(map(_memory, _family(process.pid))))
                time.sleep(INTERVAL)
        if process.returncode:
            errors.seek(0)
            sys.exit(f"{' '.join(command)}\n{errors.read()}")
    return time.perf_counter() - start, peak


def _family(pid: int) -> list[int]:
    """Return a process and all that come from it."""
    try:
        children = " ".join(path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children"))
    except OSError:  # it has just ended
        return [pid]
    return [pid, *(member for child in children.split() for member in _family(int(child)))]


def _memory(pid: int) -> float:
    try:
        found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) / 1024 if found else 0
