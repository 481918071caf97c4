"""What is published: the archive of the sources passes its own tests, and the wheel made from it has all it needs."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from lenet5_cli import __version__

ROOT = Path(__file__).parent.parent
# The engine, and what reads the files that stand beside the package; every other test is collected.
QUICK = [
    *(f"tests/test_{name}.py" for name in ("config", "files", "glyphs", "layers", "network", "supply_chain")),
    "tests/test_docs.py::test_links_lead_to_files_and_headings",
]


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
    python("-m", "build", "--no-isolation", "--sdist", "--outdir", tmp_path, ROOT, cwd=tmp_path)
    [archive] = tmp_path.glob("lenet5_cli-*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="data")
    unpacked = tmp_path / archive.name.removesuffix(".tar.gz")

    tested = ["-m", "pytest", "--quiet", "--numprocesses=0", "-m", "not sdist"]
    collected = python(*tested, "--collect-only", cwd=unpacked)
    assert {path.name for path in (ROOT / "tests").glob("test_*.py")} == {
        line.partition("::")[0].removeprefix("tests/") for line in collected.splitlines() if "::" in line
    } | {Path(__file__).name}
    passed = python(*tested, *QUICK, cwd=unpacked)
    assert " passed" in passed.splitlines()[-1]

    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", "installed"]
    python(*install, archive, cwd=tmp_path)
    installed = str(tmp_path / "installed")
    shown = python("-m", "lenet5_cli", "info", "--config", "best", cwd=tmp_path, PYTHONPATH=installed)
    assert "augment" in shown
    picture = unpacked / "docs" / "photo.jpg"
    assert python("-m", "lenet5_cli", "predict", picture, cwd=tmp_path, PYTHONPATH=installed).strip()


def test_the_citation_names_the_version_that_is_published() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {__version__}\n" in citation
