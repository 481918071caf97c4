"""What all commands share: help, options, how they end."""

import atexit
import gc
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import click
import cv2
import pytest
from click.shell_completion import ShellComplete

import lenet5_cli
from lenet5_cli import LeNet5, __main__
from lenet5_cli.commands import COMMANDS, Group, lenet5
from lenet5_cli.commands.outputs import in_shell
from lenet5_cli.config import Config
from lenet5_cli.pictures import read
from lenet5_cli.storage import checkpoint
from tests.conftest import drawing, environment, run


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_every_help_has_an_example(command: str | None) -> None:
    result = run(*filter(None, [command]), "--help")
    assert re.search(rf"Examples:\n +lenet5 {command or 'train'}", result.stdout)
    assert max(map(len, result.stdout.splitlines())) <= 100
    assert "..." not in result.stdout.partition("Commands:")[2]  # what each does is said whole


@pytest.mark.parametrize("command", ["train", "tune"])
def test_a_help_names_no_option_that_the_command_has_not(command: str) -> None:
    found = lenet5.get_command(None, command)
    shown = [option for option in found.params if not option.hidden]
    told = " ".join([found.help, *(option.help for option in shown)]).replace("train --from", "")
    assert set(re.findall(r"--[a-z-]+", told)) <= {name for option in shown for name in option.opts}


def test_version_and_module() -> None:
    assert run("--version").stdout == f"lenet5, version {lenet5_cli.__version__}\n"
    result = subprocess.run(
        [sys.executable, "-m", "lenet5_cli", "--version"], capture_output=True, text=True, check=True,
        cwd=Path(lenet5_cli.__file__).parents[1],
    )  # fmt: skip
    assert result.stdout == f"lenet5, version {lenet5_cli.__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--data", "builtin:9", "--output", "one.png", "--plot", "./one.png"],
        ["train", "--data", "builtin:9", "--log", "one.png", "--plot", "one.png", "--overwrite"],
        ["tune", "--data", "builtin:9", "--storage", "one.png", "--plot", "one.png"],
        ["eval", "bundled", "--data", "builtin:9", "--plot", "one.png", "--errors", "one.png"],
    ],
)
def test_one_file_cannot_hold_two_things(arguments: list[str]) -> None:
    result = run(*arguments, code=2)
    message = "one.png is given for two outputs; give each its own file"
    assert result.stderr.splitlines()[-1] == f"Error: {message}"
    assert not Path("one.png").exists()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("model.pkl", "model.pkl"),
        ("my mödel's.pkl", """'my mödel'"'"'s.pkl'"""),
        (os.fsdecode(b"it's \xff7.pkl"), r"$'it\047s \3777.pkl'"),
        ("a\nb\\\u202e ü", r"$'a\012b\134\342\200\256 ü'"),
    ],
)
def test_a_name_to_copy_is_printable_and_the_shell_reads_it(name: str, shown: str) -> None:
    assert in_shell(name) == shown
    read = subprocess.run(["bash", "-c", f"printf %s {shown}"], stdout=subprocess.PIPE, check=True).stdout  # noqa: S607
    assert read == os.fsencode(name)


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--data", "builtin:9", "--output", "loop.png"],
        ["train", "--data", "builtin:9", "--log", "loop.png"],
        ["tune", "--data", "builtin:9", "--trials", "1", "--epochs", "1", "--output", "loop.png"],
        ["eval", "bundled", "--data", "builtin:9", "--errors", "loop.png"],
        ["predict", "three.png", "--explain", "loop.png"],
        ["render-glyphs", "--output", "loop.png"],
    ],
)
def test_a_loop_of_links_is_no_file_to_write(arguments: list[str]) -> None:
    Path("loop.png").symlink_to("loop.png")
    drawing(3).save("three.png")
    assert run(*arguments, code=1).stderr.endswith("Error: loop.png: a loop of symbolic links; expected a file\n")
    assert Path("loop.png").is_symlink()


def test_a_link_into_a_folder_that_is_not_there_is_told() -> None:
    """It was said that nothing can be written into it."""
    Path("link.pkl").symlink_to("none/model.pkl")
    told = f"Error: link.pkl: there is no folder {Path('none').absolute()}\n"
    assert run("train", "--data", "builtin:9", "-o", "link.pkl", code=2).stderr.endswith(told)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "quick", "--lr-decay", "0.9"], "--lr-decay goes with --schedule exponential, not with cosine"),
        (["--config", "quick", "--clip", "1"], "--clip goes with --optimizer sgd, not with adam"),
        (["--rubbish", "14"], "--rubbish goes with --loss discriminative, not with cross-entropy"),
    ],
)
@pytest.mark.parametrize("command", ["train", "tune"])
def test_a_setting_without_effect_is_a_usage_error(command: str, arguments: list[str], message: str) -> None:
    Path("space.toml").write_text("epochs = [1, 2]", encoding="utf-8")
    space = ["--space", "space.toml"] if command == "tune" else []
    assert run(command, "--data", "builtin:9", *space, *arguments, code=2).stderr.endswith(f"Error: {message}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--data", "builtin:9", "--output", "-"],
        ["eval", "bundled", "--plot", "-"],
        ["export", "--to", "page", "--output", "-"],
    ],
)
def test_no_file_goes_to_stdout(arguments: list[str]) -> None:
    result = run(*arguments, code=2)
    assert result.stderr.endswith("Error: -: expected a file name; this output cannot go to stdout\n")
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--data", "builtin:9", "--output", "new/"],
        ["eval", "bundled", "--data", "builtin:9", "--plot", "new.png/"],
    ],
)
def test_a_name_that_ends_as_a_folder_is_no_file(arguments: list[str]) -> None:
    """The file was written without what the name ends in."""
    said = run(*arguments, code=2).stderr
    assert said.endswith(f": {arguments[-1]} names a folder; expected a file\n")
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["train", "--output", ""], 2, "Invalid value for '-o' / '--output': an empty name; expected a file"),
        (["train", "--from", ""], 2, "Invalid value for '--from': an empty name; expected a checkpoint"),
        (["train", "--log", ""], 2, "--log '': an empty name; expected a file, or tensorboard:FOLDER"),
        (
            ["train", "--log", "tensorboard:"],
            2,
            "--log 'tensorboard:': an empty name; expected a file, or tensorboard:FOLDER",
        ),
        (["train", "--log", "folder"], 2, "--log 'folder': a folder; expected a file, or tensorboard:FOLDER"),
        (["info", "bundled", "--figures", ""], 2, "'--figures': an empty name; expected a folder"),
        (["export", "--to", "c", "--output", ""], 2, "'--output': an empty name; expected a folder"),
        (["data", "convert", "builtin:9", ""], 2, "'TARGET': an empty name; expected a file or folder"),
        (["data", "show", ""], 1, "(nothing): no such data set, folder or file;"),
        (["train", "--data", ""], 1, "(nothing): no such data set, folder or file;"),
    ],
)
def test_an_empty_name_is_not_the_current_folder(arguments: list[str], code: int, message: str) -> None:
    for label in "01":
        Path("folder", label).mkdir(parents=True)
        Path(label).mkdir()
        drawing(int(label)).save(f"{label}/digit.png")
    before = sorted(Path.cwd().rglob("*"))
    assert message in run(*arguments, "--overwrite", code=code).stderr
    assert sorted(Path.cwd().rglob("*")) == before


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(11, "Resource temporarily unavailable"), "Resource temporarily unavailable"),
        (OSError(5, "Input/output error", "some\x1b.file"), r"some\x1b.file: Input/output error"),
        (OSError("encoder error -2"), "encoder error -2"),
    ],
    ids=["", "of a file", "of a library"],
)
def test_what_no_module_expects_of_the_system_is_told(
    error: OSError, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_: object) -> None:
        raise error

    monkeypatch.setattr(checkpoint, "read", failing)
    assert run("info", "model.pkl", code=1).stderr == f"Error: {told}\n"


def test_a_file_that_cannot_be_read_is_told_by_what_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Click would refuse all files for the sake of one, with another exit code, by what it thinks is allowed."""

    def denied(path: str, *_: object) -> None:
        raise PermissionError(13, "Permission denied", path)

    drawing(3).save("three.png")
    Path("model.pkl").touch()
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert run("predict", "three.png", "--model", "bundled").stdout.splitlines()[1].split() == [
        "three.png",
        "3",
        "1.0000",
    ]
    monkeypatch.setattr(os, "open", denied)
    message = "Error: model.pkl: cannot be read: Permission denied; expected a checkpoint\n"
    assert run("info", "model.pkl", code=1).stderr == message


def test_no_option_shares_a_name_with_another() -> None:
    context = click.Context(lenet5)
    for command in (lenet5.get_command(context, each) for each in COMMANDS):
        assert command
        names = [name for param in command.params if isinstance(param, click.Option) for name in param.opts]
        assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("eval b", ["bundled"]),
        ("export ", ["bundled"]),
        ("predict --model m", []),
        ("train --from bundled", ["bundled"]),
        ("train --data mn", ["mnist"]),
        ("train --config qu", ["quick"]),
        ("train --glyphs le", ["letters"]),
        ("train --teacher m", []),
        ("train --log r", []),
        ("tune --space d", ["default"]),
        ("info --config rep", ["report"]),
        ("data show emnist-l", ["emnist-letters"]),
        ("data convert builtin", ["builtin", "builtin-letters"]),
        ("render-glyphs --sheet di", ["digits", "digits-letters"]),
    ],
)
def test_the_shell_completes_names_and_files(line: str, names: list[str]) -> None:
    *words, start = line.split(" ")
    found = ShellComplete(lenet5, {}, "lenet5", "_LENET5_COMPLETE").get_completions(words, start)
    file, plain = ("file", start), [("plain", name) for name in names]
    # Bash leaves out names before a file, and offers files only where no name fits: with no beginning, files alone.
    assert [(each.type, each.value) for each in found] == ([file, *plain] if start else [*plain, file])


def test_a_command_is_imported_when_it_is_asked_for() -> None:
    code = (
        "import sys; from lenet5_cli.commands import lenet5; lenet5(['info', 'bundled'], standalone_mode=False);"
        "print(*(name for name in sys.modules if name.startswith('lenet5_cli.commands.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = [f"lenet5_cli.commands.{name}" for name in ("launch", "progress", "options", "outputs", "reading", "info")]
    assert done.stdout.splitlines()[-1].split() == loaded


def test_a_start_waits_for_no_garbage_collector_and_no_threads() -> None:
    code = (
        "import atexit, gc; from threadpoolctl import threadpool_info;"
        "looks = lambda: sum(each['collections'] for each in gc.get_stats());"
        "threads = lambda: threadpool_info()[0]['num_threads'];"
        "atexit.register(lambda: print(looks(), gc.get_freeze_count(), threads()));"
        "from lenet5_cli.__main__ import main; main()"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    command = [sys.executable, "-c", code, "info", "bundled"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    looks, frozen, threads = map(int, done.stdout.split()[-3:])
    assert looks < 25
    assert frozen > 10_000
    assert threads == 1


def test_what_is_no_command_is_told() -> None:
    said = run("evall", code=2).stderr.splitlines()[-1]
    hint = " Did you mean 'eval'?" if hasattr(click.exceptions, "NoSuchCommand") else ""  # which older ones do not have
    assert said == f"Error: No such command 'evall'.{hint}"


def test_a_checkpoint_that_is_none_is_told() -> None:
    Path("model.pkl").write_bytes(b"hello")
    drawing(3).save("three.png")
    told = "Error: model.pkl: looks like text; expected a checkpoint"
    assert run("eval", "model.pkl", code=1).stderr == f"{told}\n"
    assert run("predict", "three.png", code=1).stderr == f"{told}; --model bundled reads with the bundled model\n"


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["eval", "dump.pkl", "--data", "bars"], 1),
        (["eval", "dump.pkl", "bundled", "--data", "bars"], 1),
        (["predict", "three.png", "--model", "dump.pkl"], 1),
        (["export", "dump.pkl", "--to", "npz"], 1),
        (["compare", "bundled", "dump.pkl", "--data", "bars"], 1),
        (["data", "show", "bars", "--model", "dump.pkl"], 1),
        (["train", "--from", "dump.pkl", "--data", "bars", "--epochs", "1"], 1),
        (["train", "--from", "dump.pkl", "--data", "bars", "--epochs", "1", "--glyphs", "codes"], 0),
        (["eval", "bundled", "--data", "bars"], 0),
    ],
)
@pytest.mark.usefixtures("bars_folder")
def test_with_which_glyphs_a_file_of_the_reports_is_read_is_told(arguments: list[str], count: int) -> None:
    """A network that was trained with others read a third of what it had read, and nothing was said."""
    Path("dump.pkl").write_bytes(pickle.dumps(LeNet5(Config(seed=1)).pairs()))
    drawing(3).save("three.png")
    there = "dump.pkl: holds no glyphs, so the sheet digits is used"
    note = f"NOTE: {there}, which is wrong if it was trained with other glyphs."
    lines = run(*arguments).stderr.splitlines()
    assert [line for line in lines if "glyphs" in line] == [note] * count


@pytest.mark.skipif(os.name != "posix", reason="a current folder is not deleted")
def test_a_current_folder_that_was_deleted_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = Path("gone").absolute()
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    for arguments in (["train", "--data", "builtin:9"], ["tune", "--data", "builtin:9"], ["render-glyphs"]):
        assert run(*arguments, code=1).stderr == "Error: the current folder: No such file or directory\n"


def test_a_closed_pipe_ends_quietly(bars_folder: Path) -> None:
    command = f"{sys.executable} -m lenet5_cli eval bundled --data {bars_folder} | head -1"
    result = subprocess.run(["sh", "-c", command], env=environment(), capture_output=True, text=True, check=True)  # noqa: S607
    assert result.stdout.startswith("test accuracy: ")
    assert [line for line in result.stderr.splitlines() if not line.startswith("Load ")] == []


def test_ctrl_c_exits_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "read", interrupted)
    assert run("eval", "model.pkl", code=130).stderr == "Interrupted.\n"
    monkeypatch.setattr(Group, "list_commands", interrupted)  # the help imports every command
    assert run("--help", code=130).stderr == "Interrupted.\n"


def test_too_little_memory_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(error: Exception) -> Callable[..., None]:
        def refused(*_: object, **__: object) -> None:
            raise error

        return refused

    drawing(3).save("three.png")
    told = "Error: out of memory; close other programs, or raise the memory limit\n"
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "read", refusing(MemoryError()))
        assert run("info", "model.pkl", code=1).stderr == told
    of_opencv = (cv2.error("std::bad_alloc"), cv2.error("OpenCV: (-4:Insufficient memory) Failed to allocate 9 bytes"))
    for error, place in (
        (RuntimeError("can't start new thread"), (threading.Thread, "start")),
        *((error, (read, "read")) for error in of_opencv),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(*place, refusing(error))
            said = run("predict", "three.png", "--model", "bundled", code=1).stderr
        assert said == f"Reading with the bundled model.\n{told}"


def test_a_second_ctrl_c_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the first was told, it became a failure of Click's."""

    def interrupted(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(checkpoint, "read", interrupted)
    monkeypatch.setattr(click, "echo", interrupted)
    run("eval", "model.pkl", code=130)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no such signal")
def test_other_signals_end_a_command_as_an_exception_does(monkeypatch: pytest.MonkeyPatch) -> None:
    cleared, numbers = [], (signal.SIGTERM, signal.SIGHUP)

    def command(prog_name: str) -> None:
        try:
            signal.raise_signal(number)
        finally:
            cleared.append((prog_name, number))

    monkeypatch.setitem(sys.modules, "lenet5_cli.commands", SimpleNamespace(lenet5=command))
    monkeypatch.setattr(gc, "set_threshold", lambda _: None)
    monkeypatch.setattr(atexit, "register", lambda _: None)
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    before = {number: signal.signal(number, signal.SIG_DFL) for number in numbers}
    try:
        for number in numbers:
            with pytest.raises(SystemExit) as ended:
                __main__.main()
            assert ended.value.code == 128 + number
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # by nohup
        __main__.main()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert cleared == [("lenet5", number) for number in (*numbers, signal.SIGHUP)]


def test_ctrl_c_ends_the_start_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Imported:
        """What stands for the commands: while they are imported, Ctrl-C is pressed."""

        @property
        def lenet5(self) -> None:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setitem(sys.modules, "lenet5_cli.commands", Imported())
    monkeypatch.setattr(os, "_exit", sys.exit)
    monkeypatch.setattr(gc, "set_threshold", lambda _: None)
    monkeypatch.setattr(atexit, "register", lambda _: None)
    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit) as ended:
            __main__.main()
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended.value.code == 130
