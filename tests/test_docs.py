"""The documentation is true: its commands and its code run and print what it shows, its links lead somewhere.

A console block shows commands behind "$ " and what they print; "..." on a line of its own stands for lines left out.
Commands without "$ " are run for their exit code alone. A comment above a block says how it is run:

    <!-- in small -->   on a few images, for one epoch: each line shown must be printed, whatever its numbers
    <!-- not run -->    not at all: it installs, downloads, or takes minutes

The Python blocks of a page run in one namespace, one after the other; a text block right behind one is what it prints.
``LENET5_DOCS=write python -m pytest tests/test_docs.py`` writes what is printed now into the pages.
"""

import contextlib
import io
import os
import re
import shlex
import shutil
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from lenet5_cli import LeNet5
from lenet5_cli.commands import COMMANDS, lenet5
from lenet5_cli.commands.data import data
from lenet5_cli.data import drawn, idx
from lenet5_cli.storage import checkpoint

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
README_LINES = 150  # one that is read to its end; what is longer belongs into docs/
WRITE = os.environ.get("LENET5_DOCS") == "write"

BLOCK = re.compile(r"(?:^<!-- (in small|not run) -->\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PRINTED = re.compile(
    r"(?<!<!-- not run -->\n)^```python\n(?P<code>.*?)^```\n(?:\n```text\n(?P<printed>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)
COMMAND = re.compile(r"^(?:.*&& |\$ )?(lenet5 .*)$", re.MULTILINE)
WRITTEN = {"train": "model.pkl", "tune": "best.toml", "render-glyphs": "glyphs.png"}  # where no name is given
BENCHMARK_OPTIONS = {
    "--choose",
    "--train",
    "--from-nothing",
    "--recipes",
    "--taught",
    "--without",
    "--kills",
    "--seeds",
    "--repeats",
    "--list",
    "--folder",
    "--accuracy",
}
OTHER_OPTIONS = {
    "--help",
    "--version",
    "--strict",
    "--requirement",
    "--pdb",
    "--mpi",
}  # of Click, mkdocs, pytest, srun ...
ALL = [lenet5.get_command(click.Context(lenet5), name) for name in COMMANDS] + [*data.commands.values()]
SMALL = {
    "train": ["--epochs", "1", "--overwrite"],
    "tune": ["--epochs", "3", "--trials", "1", "--threads", "2", "--overwrite"],
}


@dataclass
class Console:
    """A console block: where it stands, how it is run, and what it says."""

    page: Path
    line: int
    how: str
    text: str


def _consoles() -> list[Console]:
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in BLOCK.finditer(text):
            how, kind, content = block.groups(default="")
            if kind == "console" and how != "not run":
                found.append(Console(page, 1 + text.count("\n", 0, block.start(2)), how, content))
    return found


def _python_pages() -> list[Path]:
    return [page for page in PAGES if PRINTED.search(page.read_text(encoding="utf-8"))]


@pytest.fixture(scope="session")
def few_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the files of MNIST, of which each has 50 images."""
    folder = tmp_path_factory.mktemp("few")
    images, labels = drawn.draw(50, seed=1)
    for prefix in ("train", "t10k"):
        idx.write(folder / f"{prefix}-images-idx3-ubyte", images)
        idx.write(folder / f"{prefix}-labels-idx1-ubyte", labels)
    return folder


@pytest.fixture(autouse=True)
def _as_in_a_checkout(tmp_path: Path, few_images: Path) -> None:
    """Give the commands what lies beside the README, and data."""
    shutil.copytree(ROOT / "docs", tmp_path / "docs", ignore=shutil.ignore_patterns("*.md"))
    shutil.copytree(few_images, tmp_path / "mnist_data")


@pytest.mark.usefixtures("drawn_once", "unrendered")
@pytest.mark.parametrize("block", _consoles(), ids=lambda block: f"{block.page.name}-{block.line}")
def test_commands_print_what_is_shown(block: Console) -> None:
    if "best.toml" in block.text:  # found by an earlier block
        shutil.copy(ROOT / "configs" / "quick.toml", "best.toml")
    if "model.pkl" in block.text:  # trained by an earlier block
        network = LeNet5()
        checkpoint.write("model.pkl", checkpoint.Checkpoint(network.pairs(), network.sheet))
    steps = re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]
    if not steps:
        for command in COMMAND.findall(block.text):
            _run(command, small=True)
        return
    shown = []
    for step in steps:
        command, _, expected = step.partition("\n")
        printed = _run(command, small=block.how == "in small")
        if block.how == "in small":
            forms = {_form(line) for line in printed.splitlines()}
            missing = [line for line in expected.splitlines() if line != "..." and _form(line) not in forms]
            assert not missing, printed
        elif not WRITE:
            assert _matches(expected, printed), printed
        shown.append(f"$ {command}\n{expected if _matches(expected, printed) else printed}")
    if WRITE and block.how != "in small":
        _replace(block.page, block.text, "".join(shown))


@pytest.mark.usefixtures("unrendered")
def test_the_readme_can_be_followed_from_its_first_command_to_its_last() -> None:
    text = README.read_text(encoding="utf-8")
    commands = COMMAND.findall("\n".join(content for _, kind, content in BLOCK.findall(text) if kind == "console"))
    assert [shlex.split(command)[1] for command in commands] == ["train", "predict", "train", "eval"]
    for command in commands:
        arguments = shlex.split(command.replace("--epochs 20", "--epochs 1"))[1:]
        result = CliRunner().invoke(lenet5, arguments)
        assert result.exit_code == 0, result.output
        assert arguments[0] != "predict" or f"```console\n$ {command}\n{result.output}```" in text


def test_no_command_meets_a_file_of_an_earlier_one() -> None:
    """The README, the guide and the report's page can be followed in one folder, one after the other."""
    there: set[str] = set()
    for page in (README, ROOT / "docs" / "guide.md", ROOT / "docs" / "report.md"):
        for _, kind, content in BLOCK.findall(page.read_text(encoding="utf-8")):
            for command in _commands(content) if kind == "console" else ():
                written = _written(shlex.split(command)[1:])
                assert not there & written or {"--overwrite", "--resume"} & set(command.split()), command
                there |= written
    assert {"model.pkl", "found.pkl", "best.toml", "explained.png", "builtin.png", "drawn", "sheet.txt"} <= there


@pytest.mark.usefixtures("drawn_once")
@pytest.mark.parametrize("page", _python_pages(), ids=lambda page: page.name)
def test_code_prints_what_is_shown(page: Path) -> None:
    namespace: dict[str, object] = {}
    for block in PRINTED.finditer(page.read_text(encoding="utf-8")):
        stdout = io.StringIO()
        with contextlib.redirect_stdout(stdout):
            exec(block["code"], namespace)  # noqa: S102 - our own
        if WRITE and block["printed"] is not None:
            _replace(page, block[0], block[0].replace(f"```text\n{block['printed']}", f"```text\n{stdout.getvalue()}"))
        else:
            assert stdout.getvalue() == (block["printed"] or ""), block["code"]


def test_the_blocks_that_show_most_are_there() -> None:
    names = {shlex.split(command)[1] for block in _consoles() for command in COMMAND.findall(block.text)}
    assert names >= set(COMMANDS)
    assert {page.name for page in _python_pages()} >= {"README.md", "report.md"}


def test_every_block_is_one_that_is_tested_or_says_why_not() -> None:
    for page in PAGES:
        for block in BLOCK.finditer(page.read_text(encoding="utf-8")):
            how, kind, content = block.groups(default="")
            assert kind not in {"bash", "sh", "shell"}, f"{page.name}: {kind} is not run; expected console"
            foreign = [line for line in content.splitlines() if line.startswith("$ ") and not COMMAND.match(line)]
            assert how == "not run" or not foreign, f"{page.name}: {foreign}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_and_option_that_is_named_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    known = {option for command in ALL for param in command.params for option in param.opts}
    assert set(re.findall(r"(?<=[` ])--[a-z][a-z-]+", text)) <= known | BENCHMARK_OPTIONS | OTHER_OPTIONS
    assert set(re.findall(r"`lenet5 ([a-z-]+)", text)) <= set(COMMANDS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        path, _, heading = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        assert ROOT in there.parents, f"{target} leads out of the repository"
        assert not heading or heading in _headings(there), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_lists_in_lists_are_such_on_the_site_too(page: Path) -> None:
    """GitHub takes less: the site's Markdown needs four spaces, and a blank line after a paragraph of an item."""
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    assert re.findall(r"^ {1,3}(?:[-*]|\d+\.) .*|(?<=\n\n) {1,3}\S.*", text, re.MULTILINE) == []
    assert re.findall(r"(?<=\n\n)(?: {4}.*\n)+(?:[-*]|\d+\.) .*", text) == []


def test_the_guide_has_every_option() -> None:
    guide = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
    options = {max(param.opts, key=len) for command in ALL for param in command.params}
    assert {name for name in options if name.startswith("--") and f"`{name}" not in guide} == set()


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= README_LINES


def test_every_picture_in_docs_is_used() -> None:
    texts = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    pictures = [path.name for path in (ROOT / "docs").iterdir() if path.suffix in (".png", ".jpg")]
    assert [name for name in pictures if name not in texts] == []


def _commands(text: str) -> list[str]:
    """Return the commands of a block: what is behind "$ ", or each line where nothing is."""
    lines = text.splitlines()
    return COMMAND.findall("\n".join([line for line in lines if line.startswith("$ ")] or lines))


def _written(arguments: list[str]) -> set[str]:
    """Return the names of what a command writes."""
    match arguments:
        case ["data", "convert", _, target, *_]:
            return {target}
        case ["data", "show", *_]:
            options = {"--sheet"}
        case _:
            options = {"-o", "--output", "--log", "--plot", "--errors", "--explain", "--figures"}
    given = {name for option, name in pairwise(arguments) if option in options}
    own = WRITTEN.get(arguments[0])
    return given | ({own} if own and not {"-o", "--output"} & set(arguments) else set())


def _run(command: str, *, small: bool) -> str:
    """Run a command, and return what it prints on stdout and stderr, without blanks at the end of lines."""
    arguments = shlex.split(command)[1:]
    extra = SMALL.get(arguments[0], []) if small and not {"--resume", "--help"} & set(arguments) else []
    result = CliRunner().invoke(lenet5, [*arguments, *extra])
    assert result.exit_code == 0 or result.output.splitlines()[-1].startswith("Error: "), result.output
    return "".join(f"{line.rstrip()}\n" for line in result.output.splitlines())


def _matches(expected: str, printed: str) -> bool:
    lines = [r"(?:.*\n)*?" if line == "..." else re.escape(line) + r"\n" for line in expected.splitlines()]
    return re.fullmatch("".join(lines), printed) is not None


def _form(line: str) -> str:
    """Return a line without its numbers, nor how wide they make it."""
    without = re.sub(r"[\d.,]*\d|·", "0", line)
    return re.sub(r"[ ━─]+", " ", without).strip()


def _headings(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as both GitHub and mkdocs make them of plain words."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles}


def _replace(page: Path, old: str, new: str) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.count(old) == 1, old
    page.write_text(text.replace(old, new), encoding="utf-8")
