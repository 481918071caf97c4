"""What is published: the archive of the sources passes its own tests, and the wheel made from it has all it needs."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from lenet5_cli import __version__

ROOT = Path(__file__).parent.parent
# What reads the files that stand beside the package, and a whole network; every other test is collected, but for those
# that need what takes seconds to import.
IMPORTED = ("test_figures.py", "test_sklearn.py")
QUICK = "test_config or test_files or test_glyphs or test_network or test_supply_chain or test_links"
SLOW = "round_trip or largest"


def python(*arguments: object, cwd: Path, **variables: str) -> str:
    """Run Python, and return what it printed."""
    command = [sys.executable, *map(str, arguments)]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_XDIST")}
    result = subprocess.run(
        command, cwd=cwd, env={**environment, **variables}, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.sdist
def test_the_archive_of_the_sources_passes_its_own_tests(tmp_path: Path) -> None:
    python("-m", "build", "--no-isolation", "--outdir", tmp_path, ROOT, cwd=tmp_path)  # the wheel, of the archive
    [archive] = tmp_path.glob("lenet5_cli-*.tar.gz")
    [wheel] = tmp_path.glob("lenet5_cli-*.whl")
    with tarfile.open(archive) as packed:
        packed.extraction_filter = getattr(tarfile, "data_filter", None)  # from Python 3.11.4
        packed.extractall(tmp_path)  # noqa: S202 - our own
    unpacked = tmp_path / archive.name.removesuffix(".tar.gz")

    assert {path.name for path in (unpacked / "tests").iterdir()} == {
        path.name for path in (ROOT / "tests").iterdir() if path.name != "__pycache__"
    }
    tested = ["-m", "pytest", "--quiet", "--numprocesses=0", "--assert=plain", "-m", "not sdist"]
    tested += [f"--ignore=tests/{name}" for name in IMPORTED]
    passed = python(*tested, "-k", f"({QUICK}) and not ({SLOW})", cwd=unpacked)
    count = re.search(r"^(\d+) passed", passed.splitlines()[-1])
    assert int(count[1]) > 190

    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as packed:  # all that pip does with a wheel of Python alone
        packed.extractall(installed)  # noqa: S202 - our own
    shown = python("-m", "lenet5_cli", "info", "--config", "best", cwd=tmp_path, PYTHONPATH=str(installed))
    assert "augment" in shown
    picture = unpacked / "docs" / "photo.jpg"
    assert python("-m", "lenet5_cli", "predict", picture, cwd=tmp_path, PYTHONPATH=str(installed)).strip()


def test_the_citation_names_the_version_that_is_published() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {__version__}\n" in citation
