"""What several test files use."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageDraw, ImageFont

from lenet5_cli import idx
from lenet5_cli.datasets import Split


@pytest.fixture(autouse=True)
def _plain_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Run every test in an empty folder, without the settings of the machine."""
    for variable in ("LENET5_DATA", "LENET5_CACHE", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def runner() -> CliRunner:
    return CliRunner()


def bars(count: int, seed: int = 0) -> Split:
    """Return an easy split: digit k is a bright row 2k + 4 on noise too faint to count, or on noise that does."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(count) % 10).astype(np.uint8)
    images = rng.integers(0, 50, (count, 28, 28), dtype=np.uint8)
    images[np.arange(count), 2 * labels + 4] = 255
    return Split("bars", images, labels, "bars", "bars")


@pytest.fixture
def bars_folder(tmp_path: Path) -> Path:
    """Return a folder of IDX files: 300 training and 50 test images of ``bars``."""
    folder = tmp_path / "bars"
    folder.mkdir()
    for prefix, split in (("train", bars(300)), ("t10k", bars(50, seed=1))):
        idx.write(folder / f"{prefix}-images-idx3-ubyte", split.images)
        idx.write(folder / f"{prefix}-labels-idx1-ubyte", split.labels)
    return folder


def drawing(digit: int, size: int = 200, ink: object = 0, paper: object = 255, mode: str = "L") -> Image.Image:
    """Return a clean drawing of a digit, a third of the picture high."""
    image = Image.new(mode, (size, size), paper)
    font = ImageFont.load_default(size / 2.2)
    ImageDraw.Draw(image).text((size / 2, size / 2), str(digit), fill=ink, font=font, anchor="mm")
    return image
