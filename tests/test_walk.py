"""The walk of docs/design.md for real: one new file and one changed line make a network with average pooling."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lenet5_cli import LeNet5, LeNet5Error
from tests.conftest import drawing

# One process for many commands, as a line of Python each: to start one takes longer than most of them.
COMMANDS = """
import json, sys
from click.testing import CliRunner
from lenet5_cli import LeNet5
from lenet5_cli.commands import lenet5

outputs = []
for arguments in json.loads(sys.argv[1]):
    result = CliRunner().invoke(lenet5, arguments)
    assert result.exit_code == 0, result.output
    outputs.append(result.stdout)
same = (LeNet5.load("short.pkl").parameters == LeNet5.load("model.pkl").parameters).all()
print(json.dumps([bool(same), outputs]))
"""
ROOT = Path(__file__).parent.parent


@pytest.fixture
def lenet5(tmp_path: Path) -> Callable[..., str]:
    """Return what runs Python on a copy of the project in which s2 is average pooling."""
    copy = tmp_path / "copy"
    for name in ("lenet5_cli", "glyphs", "configs", "tests", "pyproject.toml"):
        if (ROOT / name).is_dir():
            halves = shutil.ignore_patterns("*.pyc.*")  # what another process is compiling
            shutil.copytree(ROOT / name, copy / name, ignore=halves)
        else:
            shutil.copy(ROOT / name, copy / name)
    page = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(import numpy as np\n.*?class AveragePooling.*?)\nlayer = ", page, re.DOTALL)[1]
    code = f'"""Average pooling."""\n\n{code.rstrip()}\n'
    (copy / "lenet5_cli" / "engine" / "pooling.py").write_text(code, encoding="utf-8")
    line = re.search(r"`(self\.add\(\"s2\", AveragePooling.*?\))`", page)[1]
    network = copy / "lenet5_cli" / "engine" / "network.py"
    text, count = re.subn(r"self\.add\(\"s2\", .*\)", line, network.read_text(encoding="utf-8"))
    assert count == 1
    after = "from lenet5_cli.engine.preprocessing"
    text = text.replace(after, f"from lenet5_cli.engine.pooling import AveragePooling\n{after}")
    network.write_text(text, encoding="utf-8")

    def run(*arguments: object, folder: Path = tmp_path) -> str:
        result = subprocess.run(
            [sys.executable, *map(str, arguments)], cwd=folder, env={**os.environ, "PYTHONPATH": str(copy)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    return run


def test_a_layer_without_parameters_works_everywhere(
    lenet5: Callable[..., str], bars_folder: Path, tmp_path: Path
) -> None:
    run_contract = ("-m", "pytest", "-q", "-p", "no:xdist", "-o", "addopts=", "--assert=plain", "tests/test_layers.py")
    lenet5("-m", "ruff", "check", "lenet5_cli/engine", folder=tmp_path / "copy")
    lenet5("-m", "ruff", "format", "--check", "lenet5_cli/engine", folder=tmp_path / "copy")
    contract = lenet5(*run_contract, "-k", "report-s2 or report-c3", folder=tmp_path / "copy")
    assert int(re.search(r"(\d+) passed", contract)[1]) >= 18
    drawing(3).save(tmp_path / "three.png")
    settings = ["--config", "quick", "--augment", "none", "--batch-size", "10", "--seed", "1"]
    settings += ["--data", str(bars_folder)]
    commands = [
        ["train", *settings, "--epochs", "14", "-o", "whole.pkl"],
        ["train", *settings, "--epochs", "3", "-o", "short.pkl"],
        ["train", *settings, "--epochs", "3", "--max-time", "0s", "-o", "model.pkl"],  # after the first epoch
        ["train", "--resume", "-o", "model.pkl", "--max-time", "1h"],
        ["info", "whole.pkl", "--json", "--figures", "drawn"],
        ["eval", "whole.pkl", "--json"],
        ["predict", "--model", "whole.pkl", "--accept", "1", "three.png"],
    ]
    same, (*_, info, evaluated, read) = json.loads(lenet5("-c", COMMANDS, json.dumps(commands)))
    assert same
    facts = json.loads(info)
    assert facts["layers"][1] == {
        "name": "s2",
        "kind": "AveragePooling",
        "in": [6, 28, 28],
        "out": [6, 14, 14],
        "parameters": 0,
    }
    assert facts["parameters"] == 60_900 - 12
    assert len(list((tmp_path / "drawn").iterdir())) == 4
    assert json.loads(evaluated)["accuracy"] > 0.9
    assert "three.png" in read
    with pytest.raises(LeNet5Error, match=r"^whole\.pkl: 5 pairs \[weight, bias\]; expected 6, of c1 s2 c3 s4 c5 f6"):
        LeNet5.load("whole.pkl")  # by the project itself
