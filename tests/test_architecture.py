"""The order of the names, who may print and exit, how long a function is; each check is shown to fail."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "lenet5_cli"
FLOORS = [  # each imports only from those above it
    {"errors"},
    {"files", "processes"},
    {"config", "data"},
    {"storage"},
    {"engine"},
    {"pictures", "export"},
    {"training"},
    {"reports", "sklearn"},
    {"commands"},
    {"__init__", "__main__"},
]
FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names}
COMMANDS = FLOOR["commands"]
FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
MAX_LINES = 40  # of a function, as many as a screen shows at once
HEAVY = {
    "numpy",
    "PIL",
    "tqdm",
    "rich",
    "pooch",
    "matplotlib",
    "threadpoolctl",
    "cv2",
    "onnx",
    "mpi4py",
    "optuna",
    "sklearn",
    "tensorboard",
}
TESTED_TOGETHER = {  # modules whose tests stand in one file; those of every other have its name
    "layers": ["base", "conv", "dense", "rbf", "subsampling", "activations"],
    "commands": ["options", "outputs", "reading"],
    "terminals": ["progress"],
    "train": ["logs", "stopping"],
    "ranks": ["launch"],
    "predict": ["answers", "explanation"],
    "export": ["layers", "npz"],
    "export_c": ["c", "fixed", "hex"],
    "export_onnx": ["onnx"],
    "python": ["inputs"],
    "sources": ["mnist"],
}


def top(file: str) -> str:
    """Return which of the names a file belongs to."""
    return Path(file).with_suffix("").parts[0]


def parsed(file: str) -> ast.Module:
    return ast.parse((PACKAGE / file).read_text(encoding="utf-8"))


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
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def upward_imports(file: str, tree: ast.AST) -> set[str]:
    """Return what a file imports from its own floor or one that stands on it, its own folder apart."""
    own = top(file)
    names = {name.split(".")[1] for name in imports(tree) if name.startswith("lenet5_cli.")}
    return {name for name in names - {own} if name in FLOOR and FLOOR[name] >= FLOOR[own]}


def forbidden_outside_commands(tree: ast.AST) -> set[str]:
    """Return what a file does that only commands may: print, exit, know the terminal."""
    libraries = {name.partition(".")[0] for name in imports(tree)} & {"click", "tqdm", "rich"}
    exits = imports(tree) & {"sys.exit", "os._exit"}
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    raised = {ast.unparse(node.exc) for node in ast.walk(tree) if isinstance(node, ast.Raise) and node.exc}
    exits |= {"SystemExit" for text in raised if text.startswith("SystemExit")}
    return libraries | exits | called & {"print", "exit", "quit", "sys.exit", "os._exit", "input"}


def untested(files: list[str], tests: set[str]) -> list[str]:
    """Return the modules whose tests cannot be found by name."""
    together = {module: f"test_{tests}.py" for tests, modules in TESTED_TOGETHER.items() for module in modules}
    modules = [Path(file).stem for file in files if not Path(file).stem.startswith("__")]
    return [module for module in modules if not {f"test_{module}.py", together.get(module)} & tests]


def long_functions(tree: ast.AST) -> dict[str, int]:
    """Return the functions that have more lines than one sees at a glance, docstring and signature apart."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            start = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
            found[node.name] = (node.end_lineno or 0) - start.lineno + 1
    return {name: lines for name, lines in found.items() if lines > MAX_LINES}


def circle(trees: dict[str, ast.Module]) -> list[str]:
    """Return modules of which each imports the next, and the last the first; none where there is no such circle."""
    modules = {f"lenet5_cli.{file.removesuffix('.py').replace('/', '.')}": tree for file, tree in trees.items()}
    known = {
        module: {other for name in imports(tree) for other in (name, name.rpartition(".")[0]) if other in modules}
        for module, tree in modules.items()
    }
    try:
        TopologicalSorter({module: others - {module} for module, others in known.items()}).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def loaded_with(module: str) -> set[str]:
    """Return the libraries that importing a module loads."""
    code = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_every_name_has_a_floor() -> None:
    assert {top(file) for file in FILES} <= FLOOR.keys()


@pytest.mark.parametrize("file", FILES)
def test_imports_go_down(file: str) -> None:
    assert not upward_imports(file, parsed(file))


def test_modules_import_in_no_circle() -> None:
    assert circle({file: parsed(file) for file in FILES}) == []


@pytest.mark.parametrize("file", [file for file in FILES if FLOOR[top(file)] < COMMANDS])
def test_only_commands_print_exit_or_know_the_terminal(file: str) -> None:
    assert not forbidden_outside_commands(parsed(file))


@pytest.mark.parametrize("file", FILES)
def test_no_function_is_long(file: str) -> None:
    assert not long_functions(parsed(file))


def test_every_module_has_its_tests() -> None:
    assert untested(FILES, {path.name for path in Path(__file__).parent.glob("test_*.py")}) == []


def test_every_module_whose_tests_stand_elsewhere_is_there() -> None:
    assert {module for modules in TESTED_TOGETHER.values() for module in modules} <= {Path(file).stem for file in FILES}


@pytest.mark.parametrize(
    ("breach", "found"),
    [
        ("from lenet5_cli.training.loop import fit", {"training"}),
        ("import lenet5_cli.commands.train", {"commands"}),
        ("def load():\n    from lenet5_cli.pictures import read", {"pictures"}),
        ("from lenet5_cli.export import onnx", {"export"}),
        ("from lenet5_cli.storage import checkpoint", set()),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import lenet5_cli.reports.figures", set()),
    ],
)
def test_an_import_upward_is_found(breach: str, found: set[str]) -> None:
    assert upward_imports("engine/network.py", ast.parse(breach)) == found


def test_a_name_without_a_floor_and_a_relative_import_are_found() -> None:
    assert top("helpers/text.py") not in FLOOR
    assert top("utils.py") not in FLOOR
    with pytest.raises(AssertionError, match="a relative import"):
        imports(ast.parse("from . import windows"))


@pytest.mark.parametrize(
    ("breach", "found"),
    [
        ("import click", {"click"}),
        ("from rich.table import Table", {"rich"}),
        ("print(1)", {"print"}),
        ("import sys\nsys.exit(1)", {"sys.exit"}),
        ("from sys import exit", {"sys.exit"}),
        ("def stop():\n    import os\n    os._exit(1)", {"os._exit"}),
        ("raise SystemExit(1)", {"SystemExit"}),
        ("raise SystemExit", {"SystemExit"}),
    ],
)
def test_a_module_that_prints_or_exits_is_found(breach: str, found: set[str]) -> None:
    assert forbidden_outside_commands(ast.parse(breach)) == found


def test_a_long_function_is_found() -> None:
    body = "    x = 1\n" * (MAX_LINES + 1)
    assert long_functions(ast.parse(f'def f():\n    """Do."""\n{body}')) == {"f": MAX_LINES + 1}


def test_a_module_without_tests_is_found() -> None:
    files = ["engine/conv.py", "engine/__init__.py", "engine/pooling.py", "files.py"]
    assert untested(files, {"test_layers.py", "test_files.py"}) == ["pooling"]
    assert untested(files, {"test_files.py"}) == ["conv", "pooling"]


def test_a_circle_is_found() -> None:
    one, other = "from lenet5_cli.engine.conv import Conv", "def run():\n    import lenet5_cli.engine.base"
    found = circle({"engine/base.py": ast.parse(one), "engine/conv.py": ast.parse(other)})
    assert set(found) == {"lenet5_cli.engine.base", "lenet5_cli.engine.conv"}


def test_help_waits_for_nothing_heavy() -> None:
    """NumPy, Pillow, tqdm and rich are imported by the commands that need them, not by ``lenet5 --help``."""
    assert not loaded_with("lenet5_cli.__main__") & HEAVY
    assert {"numpy", "threadpoolctl"} <= loaded_with("lenet5_cli.training.parallel")  # what is loaded is seen


def test_a_trial_of_a_search_waits_for_no_optuna() -> None:
    assert "optuna" not in loaded_with("lenet5_cli.training.runs")
