"""What several test files use."""

import gc
import multiprocessing
import os
import signal
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import settings
from PIL import Image, ImageDraw

import lenet5_cli
from lenet5_cli.commands import lenet5
from lenet5_cli.data import drawn, idx
from lenet5_cli.data.sources import Split
from lenet5_cli.reports import figures
from lenet5_cli.storage import checkpoint
from lenet5_cli.storage.checkpoint import Epoch
from lenet5_cli.training.ranks import own_cores

settings.register_profile("timeless", deadline=None)  # a busy machine is no failure
settings.load_profile("timeless")

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as in the background of a shell; programs inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


NUMBERS = count(1)  # of the tests' folders

any_bytes = pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names of files are Unicode")

gc.set_threshold(100_000, 50, 100)  # the collector looks less often: an eighth of the tests' time


# Files whose tests take seconds each, most of them in other processes. They come first, so that what is left at the end
# is short and all workers end together; and as a worker takes over the last tests of another, no browser starts twice.
LONGEST = ("test_distribution.py", "test_walk.py", "test_page.py", "test_ranks.py", "test_export_c.py")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return how many processes run the tests: one more than there are cores, as a fifth of the time is waiting."""
    return len(own_cores()) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


def pytest_collection_finish() -> None:
    """Spare the garbage collector the modules that are loaded."""
    gc.freeze()


@pytest.fixture
def tmp_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a new empty folder: pytest's own takes longer than most tests, as it looks through those before it."""
    folder = tmp_path_factory.getbasetemp() / f"test{next(NUMBERS)}"
    folder.mkdir()
    return folder


@pytest.fixture(autouse=True)
def _plain_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Run every test in an empty folder, without the settings of the machine, on one core unless it asks for more.

    The others are those of the processes that test, and one of ours takes as long to start as most tests take.
    """
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    monkeypatch.setattr(os, "fsync", os.fstat)  # no test cuts the power: none need wait for the disk
    monkeypatch.setenv("LENET5_CACHE", str(tmp_path.with_name(f"{tmp_path.name}-cache")))
    terminal = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES")
    for variable in ("LENET5_DATA", *terminal, "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"):
        monkeypatch.delenv(variable, raising=False)
    # A process that a test starts imports nothing of the program that tests, nor tells mutmut who calls what.
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    if os.environ.get("MUTANT_UNDER_TEST") == "stats":
        monkeypatch.delenv("MUTANT_UNDER_TEST")
    monkeypatch.chdir(tmp_path)
    at_ctrl_c = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, at_ctrl_c)  # a command that was interrupted ignores it from then on


def environment(**changes: str) -> dict[str, str]:
    """Return the variables of a process that finds this package from any folder, and beside it what this one finds."""
    found = [str(Path(lenet5_cli.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, found)), **changes}


def named_pipe(path: Path) -> Path:
    """Make a pipe with a name; the rest of a test, about devices too, is skipped where there are none."""
    if not hasattr(os, "mkfifo"):
        pytest.skip("there are no pipes with names")
    os.mkfifo(path)
    return path


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """Let no file grow beyond some bytes, as on a disk that is full."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def run(*arguments: object, code: int = 0) -> Result:
    """Run a command in this process, and check its exit code."""
    result = CliRunner().invoke(lenet5, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


SHORT = ["--epochs", "2", "--samples-per-epoch", "50", "--seed", "3"]  # of a training run


def left_behind() -> list[str]:
    """Return what stands in the current folder."""
    return sorted(path.name for path in Path().iterdir())


def train(folder: Path, *arguments: object, code: int = 0) -> Result:
    """Train in this process for two short epochs."""
    return run("train", "--data", folder, *SHORT, *arguments, code=code)


@pytest.fixture(scope="session")
def drawings() -> dict[str, Callable[..., Any]]:
    """Return the functions that draw built-in images, by name, each remembering what it drew."""
    return {name: cache(getattr(drawn, name)) for name in ("draw", "draw_letters")}


@pytest.fixture
def drawn_once(drawings: dict[str, Callable[..., Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw the built-in images that tests only use, not test, once for all of them."""
    for name, remembering in drawings.items():
        monkeypatch.setattr(drawn, name, lambda *key, of=remembering, **more: tuple(map(np.copy, of(*key, **more))))


@pytest.fixture
def unrendered(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the figures that are built, where nothing is asked of their pixels: an empty file stands for these."""
    built = []

    def write(figure: Any, path: Path) -> None:
        built.append(figure)
        path.write_bytes(b"")

    monkeypatch.setattr(figures, "_write", write)
    return built


class Calls:
    """Pickles as a call, in the way of each protocol."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.call = function, args

    def __reduce__(self) -> tuple:
        return self.call


def without_seconds(path: str) -> bytes:
    """Return the bytes of a checkpoint, the seconds of its epochs struck out."""
    content = Path(path).read_bytes()
    for epoch in checkpoint.read(path).history:
        content = content.replace(struct.pack(">d", epoch.seconds), b"*" * 8)
    return content


def bars(count: int, seed: int = 0) -> Split:
    """Return an easy split: digit k is a bright row 2k + 4 on noise too faint to count, or on noise that does."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(count) % 10).astype(np.uint8)
    images = rng.integers(0, 50, (count, 28, 28), dtype=np.uint8)
    images[np.arange(count), 2 * labels + 4] = 255
    return Split("bars", images, labels, "bars", "bars")


def history(epochs: int, **more: Any) -> list[Epoch]:
    """Return a loss that falls from 1 and an accuracy that rises from 0, in equal steps."""
    return [Epoch(at + 1, 1 - at / epochs, at / epochs, 0.5, 60, 0.1, **more) for at in range(epochs)]


@pytest.fixture
def bars_folder(tmp_path: Path) -> Path:
    """Return a folder of IDX files: 300 training and 50 test images of ``bars``."""
    folder = tmp_path / "bars"
    folder.mkdir()
    for prefix, split in (("train", bars(300)), ("t10k", bars(50, seed=1))):
        idx.write(folder / f"{prefix}-images-idx3-ubyte", split.images)
        idx.write(folder / f"{prefix}-labels-idx1-ubyte", split.labels)
    return folder


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Run each trial of a search in this process as soon as it begins, and return the settings of those that have."""
    from lenet5_cli.training import search, several

    settings: list[dict[str, Any]] = []

    class Process:
        exitcode = 0

        def __init__(self, target: object, args: tuple[Any, ...], daemon: bool) -> None:
            assert target is several.train_trial
            assert daemon
            self.args = args

        def start(self) -> None:
            settings.append(self.args[0])
            several.train_trial(*self.args)

        def kill(self) -> None:
            pass

        join = kill

    spawn = SimpleNamespace(Pipe=multiprocessing.Pipe, Process=Process)
    monkeypatch.setattr(search.multiprocessing, "get_context", {"spawn": spawn}.__getitem__)
    monkeypatch.setattr(several.signal, "signal", lambda *_: None)
    return settings


# Each digit as pen strokes: lines through points in a box of 10 x 14, as one would click them in a drawing program.
STROKES = [
    ["5,0 2,1 0,4 0,10 2,13 5,14 8,13 10,10 10,4 8,1 5,0"],
    ["5,0 5,14"],
    ["0,4 1,1 4,0 7,0 9,2 9,5 6,9 0,14 10,14"],
    ["0,1 3,0 7,0 9,2 9,5 7,6 4,7 7,7 9,9 9,12 7,14 3,14 0,13"],
    ["2,0 1,5 0,8 10,8", "8,2 8,14"],
    ["9,0 1,0 0,6 4,5 8,6 9,9 8,12 5,14 0,13"],
    ["7,0 3,3 1,7 0,11 2,14 6,14 8,12 8,9 6,8 3,8 1,10"],
    ["0,0 10,0 7,6 4,14"],
    ["5,7 2,5 1,2 3,0 7,0 9,2 8,5 5,7 1,10 1,13 4,14 7,14 9,12 8,9 5,7"],
    ["8,3 6,0 3,0 1,2 1,5 3,7 6,6 8,3 8,8 7,14"],
]


def drawing(digit: int, size: int = 200, ink: object = 0, paper: object = 255, mode: str = "L") -> Image.Image:
    """Return a clean drawing of a digit, two fifths of the picture high."""
    image = Image.new(mode, (size, size), paper)
    draw, unit, pen = ImageDraw.Draw(image), size / 35, max(1, size // 30)
    for stroke in STROKES[digit]:
        squares = [map(float, point.split(",")) for point in stroke.split()]
        points = [(size / 2 + unit * (x - 5), size / 2 + unit * (y - 7)) for x, y in squares]
        draw.line(points, fill=ink, width=pen, joint="curve")
        for x, y in (points[0], points[-1]):
            draw.ellipse([x - pen / 2, y - pen / 2, x + pen / 2, y + pen / 2], fill=ink)
    return image


def written(image: Image.Image, form: str = "PNG", **options: object) -> BytesIO:
    """Return an image as a file of a format."""
    file = BytesIO()
    image.save(file, form, **options)
    file.seek(0)
    return file


def tiff(width: int, height: int, tile: tuple[float, float]) -> bytes:
    """Return a black TIFF file in one strip, which says the width and length of a tile beside it."""
    strip = width * height
    tags = [(256, width), (257, height), (258, 8), (262, 1), (273, 8), (278, height), (279, strip)]
    fields = [struct.pack("<HHLL", tag, 4, 1, value) for tag, value in tags]
    fields += [
        struct.pack("<HHLL" if isinstance(side, int) else "<HHLf", tag, 4 if isinstance(side, int) else 11, 1, side)
        for tag, side in zip((322, 323), tile, strict=True)
    ]
    head = struct.pack("<2sHL", b"II", 42, 8 + strip) + bytes(strip)
    return head + struct.pack("<H", len(fields)) + b"".join(fields) + bytes(4)


def same(one: np.ndarray, other: np.ndarray) -> float:
    """Return how much ink two pictures share, 0 to 1, if one may be moved by a pixel."""
    one, other = one.astype(int), other.astype(int)
    moved = [np.roll(one, (down, right), (0, 1)) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    return max(float(np.minimum(x, other).sum() / np.maximum(x, other).sum()) for x in moved)
