"""What comes from elsewhere is known: versions and hashes of what CI installs, and where data is downloaded from."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
LOCK = ROOT / ".ci" / "lock.txt"


def test_every_dependency_is_locked_with_hashes_at_a_version_that_is_allowed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    expected = [*project["dependencies"], *(each for extra in extras for each in extra)]
    locked = {}
    for entry in re.split(r"\n(?=\w)", LOCK.read_text(encoding="utf-8"))[1:]:
        name, version = re.match(r"([\w.-]+)(?:\[[\w,-]+\])?==([\w.]+) ", entry).groups()
        assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}", entry)) >= 1, name
        locked[name] = version
    for requirement in expected:
        name, _, lowest = requirement.partition(">=")
        if not name.startswith("lenet5-cli["):
            assert numbers(locked[name]) >= numbers(lowest), name


def numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdecimal()]


def test_nothing_is_fetched_without_encryption() -> None:
    for path in [*(ROOT / "lenet5_cli").rglob("*.py"), ROOT / "pyproject.toml"]:
        assert "http://" not in path.read_text(encoding="utf-8"), path
