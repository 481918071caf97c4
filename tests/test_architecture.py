"""The order of the modules, and what may not be imported or printed where."""

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "lenet5_cli"
ROWS = [
    {"errors", "resources"},
    {"files"},
    {"contraction", "config", "glyphs", "idx", "metrics", "handwriting", "ink", "pickles"},
    {"datasets", "preprocessing", "layers", "losses", "optim", "checkpoint", "photo", "augmentation"},
    {"network", "figures", "explanation"},
    {"workers"},
    {"training"},
    {"commands"},
    {"__main__", "__init__"},
]
ROW = {module: row for row, modules in enumerate(ROWS) for module in modules}
FILES = sorted(PACKAGE.rglob("*.py"))


def module_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(tree: ast.AST) -> set[str]:
    """Return the dotted names that a file imports at run time; what only type checkers see does not count."""
    guarded = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    found = set()
    for node in set(ast.walk(tree)) - guarded:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_rows_above_its_own(path: Path) -> None:
    module = module_of(path)
    for name in imports(ast.parse(path.read_text(encoding="utf-8"))):
        top, _, rest = name.partition(".")
        other = rest.split(".")[0]
        if top == "lenet5_cli" and other in ROW and other != module:
            assert ROW[other] < ROW[module], f"{module} imports {other}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_commands_print_exit_or_know_the_terminal(path: Path) -> None:
    module = module_of(path)
    if ROW[module] >= ROW["commands"]:
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not {name.partition(".")[0] for name in imports(tree)} & {"click", "tqdm", "rich", "sys.exit"}
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert not called & {"print", "exit", "sys.exit", "os._exit"}


def test_help_waits_for_nothing_heavy() -> None:
    """NumPy, Pillow, tqdm and rich are imported by the commands that need them, not by ``lenet5 --help``."""
    import subprocess

    code = "import sys, lenet5_cli.__main__; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not set(loaded) & {"numpy", "PIL", "tqdm", "rich", "pooch", "matplotlib", "threadpoolctl"}
