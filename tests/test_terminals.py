"""Whatever reads what is printed: narrow and dumb terminals, old encodings, closed pipes, odd names of files."""

import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from lenet5_cli import LeNet5
from lenet5_cli.commands import lenet5
from lenet5_cli.commands.progress import progress
from lenet5_cli.config import Config
from lenet5_cli.data import glyphs
from lenet5_cli.storage import checkpoint
from tests.conftest import any_bytes, drawing, environment

COMMANDS = {
    "eval": ["eval", "model.pkl", "--data", "bars", "--threads", "1"],
    "predict": ["predict", "three.png", "--top", "2"],
    "info": ["info", "model.pkl"],
    "info --config": ["info", "--config", "best"],
    "render-glyphs": ["render-glyphs", "--overwrite"],
    "train": ["train", "--data", "bars", "--epochs", "2", "--samples-per-epoch", "20", "--seed", "1", "-o", "new.pkl",
              "--overwrite", "--threads", "1"],
}  # fmt: skip
COLOURED = ("eval", "predict")
EVERY = pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
POSIX = pytest.mark.skipif(os.name != "posix", reason="there are no such terminals")


@pytest.fixture(autouse=True)
def _things(bars_folder: Path) -> None:
    checkpoint.write(
        "model.pkl",
        checkpoint.Checkpoint(
            LeNet5(Config(seed=1)).pairs(), glyphs.read(), {"lr": 0.25}, data={"name": str(bars_folder)}
        ),
    )
    drawing(3).save("three.png")


# One process for many commands: to start one takes longer than most of them.
IN_TURN = """
import json, sys
from lenet5_cli.commands import lenet5

for arguments in json.loads(sys.argv[1]):
    try:
        lenet5(arguments, prog_name="lenet5")
    except SystemExit as end:
        if end.code:
            raise
    sys.stderr.flush()
    print(end="\\0", flush=True)
"""


def on_a_terminal(*commands: list[str], columns: int = 80, **variables: str) -> list[str]:
    """Return what each command shows on a terminal, stdout and stderr."""
    import fcntl
    import pty
    import struct
    import termios

    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
    changes = {"TERM": "xterm-256color", **variables}
    command = [sys.executable, "-c", IN_TURN, json.dumps(commands)]
    with subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=environment(**changes)) as process:
        os.close(its)
        shown = b""
        try:
            while piece := os.read(ours, 65536):
                shown += piece
        except OSError:  # the terminal was hung up
            pass
    os.close(ours)
    assert process.returncode == 0, shown.decode()
    *each, rest = shown.decode().split("\0")
    assert (len(each), rest) == (len(commands), "")
    return each


@POSIX
def test_a_dumb_terminal_and_a_narrow_one() -> None:
    for name, shown in zip(COMMANDS, on_a_terminal(*COMMANDS.values(), TERM="dumb"), strict=True):
        assert shown, name
        assert "\x1b" not in shown, name
    for name, shown in zip(COMMANDS, on_a_terminal(*COMMANDS.values(), columns=40), strict=True):
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
        drawn = [line for line in re.split("[\r\n]+", plain) if re.search("[━─│┃█▁]", line)]
        assert max(map(len, drawn), default=0) <= 40, name
        assert name not in COLOURED or "\x1b[" in shown, name  # bold, at least


@pytest.fixture
def resize(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int, int], io.StringIO]]:
    """Make stderr a terminal, and return what gives it a size, and returns what is written."""
    import fcntl
    import pty
    import struct
    import termios

    ours, its = pty.openpty()
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "fileno", lambda: its)
    monkeypatch.setattr(terminal, "isatty", lambda: True)

    def size(rows: int, columns: int) -> io.StringIO:
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
        monkeypatch.setattr(sys, "stderr", terminal)
        return terminal

    yield size
    os.close(its)
    os.close(ours)


@pytest.mark.parametrize("stream", [None, SimpleNamespace(write=len)])
def test_there_is_no_bar_where_stderr_is_none_or_cannot_tell(stream: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a program without a console, or one that puts an object of its own there."""
    monkeypatch.setattr(sys, "stderr", stream)
    with progress(total=9, desc="read") as bar:
        assert bar.disable


@POSIX
def test_a_bar_fits_a_terminal_that_has_been_made_narrower(resize: Callable[[int, int], io.StringIO]) -> None:
    """Each time it moved, it filled lines more."""
    terminal = resize(24, 100)
    with progress(total=9, desc="read") as bar:
        wide = len(terminal.getvalue().split("\r")[-1])
        resize(24, 40)
        bar.refresh()
        narrow = len(terminal.getvalue().split("\r")[-1].rstrip())
    assert 40 < wide < 100
    assert narrow <= 40


@POSIX
@pytest.mark.parametrize(("rows", "columns", "width"), [(0, 0, 80), (24, 0, 80), (0, 60, 60)])
def test_a_bar_on_a_terminal_of_unknown_size(
    resize: Callable[[int, int], io.StringIO], rows: int, columns: int, width: int
) -> None:
    """There was none."""
    terminal = resize(rows, columns)
    with progress(total=9, desc="read"):
        shown = terminal.getvalue().split("\r")[-1]
    assert shown.startswith("read:   0%|")
    assert shown.endswith("| 0/9 [00:00<?, ?it/s]")
    assert len(shown) == width


@POSIX
def test_what_is_drawn_or_there_already_is_not_said_to_be_downloaded() -> None:
    Path("bars").rename("mnist_data")
    drawn, there = on_a_terminal(["data", "show", "builtin:9"], ["data", "show", "mnist"])
    assert "load builtin:9\r" in drawn
    assert there.startswith("Load train: 300 images of 28x28 pixels from mnist_data/train-images-idx3-ubyte\r\n")
    for shown in (drawn, there):
        assert not re.search("download|%|B/s", shown)


@POSIX
def test_colours_are_for_terminals_that_want_them() -> None:
    colour = re.compile(r"\x1b\[[0-9;]*(3[0-7]|9[0-7]|38|48)[;m]")
    shown = on_a_terminal(*(COMMANDS[name] for name in COLOURED), NO_COLOR="1")
    assert not any(map(colour.search, shown))


@EVERY
@pytest.mark.parametrize("charset", ["utf-8", "cp1252", "ascii"])
def test_any_encoding_of_stdout(charset: str, arguments: list[str]) -> None:
    result = CliRunner(charset=charset).invoke(lenet5, arguments)
    assert result.exit_code == 0, result.output
    assert "\x1b" not in result.output
    result.stdout_bytes.decode(charset)


@any_bytes
@EVERY
@pytest.mark.parametrize("charset", ["utf-8", "ascii"])
def test_names_of_files_that_are_no_text_or_would_steer(charset: str, arguments: list[str], tmp_path: Path) -> None:
    odd = os.fsdecode(b"a\xff\x1b[31m\x07b")
    for name in ("model.pkl", "three.png"):
        shutil.copy(name, f"{odd}{name}")
    (tmp_path / "bars").rename(f"{odd}bars")
    named = ("model.pkl", "three.png", "bars", "new.pkl")
    given = [f"{odd}{argument}" if argument in named else argument for argument in arguments]
    if arguments[0] == "predict":
        given += ["--model", f"{odd}model.pkl"]
    if arguments[0] == "render-glyphs":
        given += ["--output", f"{odd}.png"]
    result = CliRunner(charset=charset).invoke(lenet5, given)
    assert result.exit_code == 0, result.output
    assert not {"\x1b", "\x07", "\ufffd"} & set(result.output)
    if arguments[0] in ("eval", "predict", "info") and "best" not in given:
        whole = [argument for argument in given if argument not in ("--top", "2")]  # of the table alone
        answer = json.loads(CliRunner(charset=charset).invoke(lenet5, [*whole, "--json"]).stdout)
        assert os.fsencode(answer.get("model") or answer["file"]).startswith(b"a\xff\x1b")


@POSIX
@EVERY
def test_names_in_messages_are_escaped(arguments: list[str]) -> None:
    given = [os.fsdecode(b"\xff\x1b[31m") if argument in ("model.pkl", "three.png", "best", "bars") else argument
             for argument in arguments]  # fmt: skip
    if arguments[0] == "render-glyphs":
        given += ["--sheet", os.fsdecode(b"\xff\x1b[31m")]
    result = CliRunner().invoke(lenet5, given)
    assert result.exit_code == 1
    assert r"\udcff\x1b[31m" in result.stderr
    assert "\x1b" not in result.output


def assert_quiet(line: str) -> None:
    """Check that a line of the shell succeeds, and prints nothing but results and notices."""
    result = subprocess.run(["sh", "-c", line], capture_output=True, text=True, env=environment(), check=False)  # noqa: S607
    assert result.returncode == 0, result.stderr
    known = ("Load ", "seed: ", "The model is in ", "NOTE: training accuracy is ")
    assert [shown for shown in result.stderr.replace("\0", "").splitlines() if not shown.startswith(known)] == []


@POSIX
@pytest.mark.parametrize("name", ["eval", "info", "train"])
def test_a_pipe_that_is_closed(name: str) -> None:
    assert_quiet(f"{sys.executable} -m lenet5_cli {' '.join(COMMANDS[name])} | head -1")
    assert name != "train" or checkpoint.read("new.pkl").epoch in (1, 2)


@POSIX
@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&- <&-"])
def test_streams_that_are_closed(redirection: str) -> None:
    """Nothing ends in a file that it does not belong in."""
    commands = json.dumps([COMMANDS[name] for name in ("eval", "info", "train")])
    assert_quiet(shlex.join([sys.executable, "-c", IN_TURN, commands]) + f" {redirection}")
    assert checkpoint.read("new.pkl").epoch == 2


@POSIX
def test_ctrl_c_ends_the_wait_for_standard_input() -> None:
    """It was waited for in a thread, which no signal reaches; the second Ctrl-C was a fatal error of Python."""
    command = [sys.executable, "-m", "lenet5_cli", "predict", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as process:
        try:
            assert process.stderr
            assert (
                process.stderr.readline() == b"Reading with model.pkl; --model bundled reads with the bundled model.\n"
            )
            time.sleep(0.5)  # until it waits
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=20) == 130
            assert process.stderr.read() == b"Interrupted.\n"
        finally:
            process.kill()


@POSIX
@pytest.mark.parametrize(("number", "said"), [(signal.SIGINT, b"Interrupted.\n"), (signal.SIGTERM, b"")])
def test_signals_end_the_wait_for_a_picture(number: signal.Signals, said: bytes) -> None:
    """Python waited for the thread that was reading it; a second Ctrl-C then ended that with SIGABRT."""
    code = """
import time
from lenet5_cli.__main__ import main
from lenet5_cli.pictures import read
read.read = lambda *_, **__: print("begun", flush=True) or time.sleep(600)
main()
"""
    command, pipe = [sys.executable, "-c", code, "predict", "three.png", "--model", "bundled"], subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, env=environment()) as process:
        try:
            assert process.stdout.readline() == b"begun\n"
            process.send_signal(number)
            assert process.wait(timeout=60) == 128 + number
            assert process.stderr.read() == b"Reading with the bundled model.\n" + said
        finally:
            process.kill()


@POSIX
def test_a_home_that_cannot_be_written_is_no_concern_of_a_plot() -> None:
    """matplotlib said in four lines that it keeps its fonts elsewhere."""
    command = [sys.executable, "-m", "lenet5_cli", "eval", "model.pkl", "--data", "bars", "--plot", "plot.png"]
    around = {name: value for name, value in environment(HOME="/dev/null").items() if name != "MPLCONFIGDIR"}
    result = subprocess.run(command, capture_output=True, text=True, env=around, check=False)
    assert re.fullmatch(r"Load test: .*\nplot.png: written\n", result.stderr)


@any_bytes
def test_a_name_of_odd_bytes_goes_nowhere_with_the_rest() -> None:
    """What a closed stream cannot encode ended in a traceback."""
    name = os.fsdecode(b"odd\xff.png")
    Path(name).write_bytes(b"no picture")
    line = shlex.join([sys.executable, "-m", "lenet5_cli", "predict", "--csv", name]) + " >&-"
    result = subprocess.run(["sh", "-c", line], capture_output=True, text=True, env=environment(), check=False)  # noqa: S607
    assert (result.returncode, result.stderr) == (
        1,
        "Reading with model.pkl; --model bundled reads with the bundled model.\n",
    )


DOCS = Path(__file__).parents[1] / "docs"
PAGES = [str(DOCS / name) for name in ("three.png", "page.png")]  # the second takes a while


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
@pytest.mark.parametrize("unbuffered", ["", "1"])  # as in many containers
@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["info", "model.pkl"], ["predict", "--all", "--model", "bundled", "--csv", *PAGES]],
    ids=["help", "version", "info", "predict, while a thread reads"],
)
def test_output_that_cannot_be_written_is_told(arguments: list[str], unbuffered: str) -> None:
    with Path("/dev/full").open("w") as full:
        command, around = [sys.executable, "-m", "lenet5_cli", *arguments], environment(PYTHONUNBUFFERED=unbuffered)
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=around, check=False)
    assert (result.returncode, result.stderr.removeprefix("Reading with the bundled model.\n")) == (
        1,
        "Error: standard output: cannot be written: No space left on device\n",
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_messages_that_cannot_be_written_stop_no_work(unbuffered: str) -> None:
    """Not even the first epoch of training began."""
    lines = {0: ["-c", IN_TURN, json.dumps([COMMANDS[name] for name in ("eval", "info", "train")])]}
    lines |= {1: ["-m", "lenet5_cli", "info", "none.pkl"], 2: ["-m", "lenet5_cli", "none"]}
    how = {"stdout": subprocess.PIPE, "env": environment(PYTHONUNBUFFERED=unbuffered)}
    with Path("/dev/full").open("w") as full:
        results = [subprocess.run([sys.executable, *line], stderr=full, **how, check=False) for line in lines.values()]
    assert [result.returncode for result in results] == list(lines)
    assert results[0].stdout.count(b"\0") == 3
    assert checkpoint.read("new.pkl").epoch == 2
