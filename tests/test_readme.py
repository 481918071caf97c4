"""The README's commands and code run, and its links lead somewhere."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from lenet5_cli import LeNet5
from lenet5_cli.commands import lenet5
from lenet5_cli.config import Config
from lenet5_cli.data import glyphs
from lenet5_cli.storage import checkpoint
from lenet5_cli.storage.checkpoint import Checkpoint

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(
    r"^(?:\$ |.*&& )?(lenet5 [^\n]*)$", "".join(code for kind, code in BLOCKS if kind == "console"), re.MULTILINE
)
SMALL = {"train": ["--data", "builtin:100", "--epochs", "1", "--overwrite"], "eval": ["--data", "builtin"]}


@pytest.fixture(autouse=True)
def _as_in_the_checkout(tmp_path: Path) -> None:
    """Give the commands what they find beside the README, and a model."""
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    checkpoint.write(tmp_path / "model.pkl", Checkpoint(LeNet5(Config(seed=1)).pairs(), glyphs.read()))


def test_there_are_commands() -> None:
    assert {shlex.split(command)[1] for command in COMMANDS} >= {"train", "eval", "predict"}


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_run(command: str) -> None:
    arguments = shlex.split(command)[1:]
    result = CliRunner().invoke(lenet5, [*arguments, *SMALL.get(arguments[0], [])])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("code", [code for kind, code in BLOCKS if kind == "python"])
def test_code_runs(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(code, {})  # noqa: S102 - our own
    assert re.fullmatch(r"\[\d\]\n", capsys.readouterr().out)


def test_every_inline_command_and_option_exists() -> None:
    known = {option for command in lenet5.commands.values() for param in command.params for option in param.opts}
    benchmarks = {"--recipes", "--without"}
    assert set(re.findall(r"(?<=[` ])--[a-z][a-z-]+", README)) <= known | benchmarks | {"--help", "--version"}
    assert set(re.findall(r"`lenet5 ([a-z-]+)", README)) <= set(lenet5.commands)


def test_links_lead_to_files() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("https://"):
            assert (ROOT / target).exists(), target
