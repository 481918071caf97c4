"""The pool of processes: every chunk computed once, whoever computes it, and nothing left behind."""

import errno
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from pathlib import Path
from threading import Thread, get_ident
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from lenet5_cli.errors import LeNet5Error
from lenet5_cli.training import parallel
from lenet5_cli.training.parallel import Buffer, Pool

CHUNKS = 12


class Squares:
    """Writes the square of each number beside it, plus a number that changes from task to task."""

    layout = np.dtype(
        [("offset", np.int64), ("numbers", np.int64, CHUNKS), ("squares", np.int64, CHUNKS), ("by", np.int64, CHUNKS)]
    )

    def __init__(self) -> None:
        self.offset = 0

    def begin(self, buffer: Buffer) -> None:
        self.offset = int(buffer.offset[0])

    def compute(self, buffer: Buffer, chunk: int) -> None:
        buffer.squares[chunk] = buffer.numbers[chunk] ** 2 + self.offset
        buffer.by[chunk] = os.getpid()


def squares(pool: Pool, offset: int = 0, chunks: int = CHUNKS) -> list[int]:
    """Have the pool compute, and return what it found and by how many processes."""
    buffer = pool.buffer
    pool.work.offset = buffer.offset[0] = offset
    buffer.numbers[:] = np.arange(CHUNKS) + offset
    buffer.squares[:] = -1
    pool.run(chunks)
    return buffer.squares.tolist()


def expected(offset: int = 0) -> list[int]:
    return [(chunk + offset) ** 2 + offset for chunk in range(CHUNKS)]


def until(condition: Callable[[], object]) -> None:
    """Wait for what another process does."""
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("it did not happen within ten seconds")


def gone(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").split(")")[1].split()[0] == "Z"
    except OSError:
        return True


def shared_files(process: int | str = "self") -> list[Path]:
    """Return the files of the shared memory that a process has open, where the system has such files."""
    maps = Path(f"/proc/{process}/maps")
    names = re.findall(r"/dev/shm/psm_\w+", maps.read_text(encoding="utf-8")) if maps.exists() else []  # noqa: S108
    return [Path(name) for name in names]


def none_is_left(files: list[Path]) -> bool:
    return not any(file.exists() for file in files)


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_every_chunk_of_every_task_is_computed(processes: int) -> None:
    with Pool(Squares(), processes) as pool:
        assert squares(pool) == expected()  # while the others may not be ready yet
        pool.wait_until_ready()
        assert len(pool.processes) == processes - 1
        for offset in (0, 7, 9):
            assert squares(pool, offset) == expected(offset)
        assert set(pool.buffer.by) == {os.getpid(), *pool.processes}


def test_no_more_chunks_are_computed_than_there_are() -> None:
    with Pool(Squares(), 3) as pool:
        pool.wait_until_ready()
        assert squares(pool, chunks=2) == expected()[:2] + [-1] * (CHUNKS - 2)
        assert squares(pool) == expected()


def test_a_process_that_waits_long_is_still_there() -> None:
    with Pool(Squares(), 2) as pool:
        pool.wait_until_ready()
        time.sleep(0.05)  # longer than it spins
        assert squares(pool) == expected()
        assert len(set(pool.buffer.by)) == 2


def test_chunks_of_a_process_that_was_killed_are_computed_by_this_one() -> None:
    with Pool(Squares(), 2) as pool:
        pool.wait_until_ready()
        (process,) = pool.processes
        os.kill(process, signal.SIGTERM)
        until(lambda: gone(process))
        assert squares(pool) == expected()
        assert pool.processes == []
        assert squares(pool, 3) == expected(3)


def test_processes_and_memory_go_with_the_block() -> None:
    with Pool(Squares(), 2) as pool:
        pool.wait_until_ready()
        (process,) = pool.processes
        files = shared_files()
    assert gone(process)
    assert none_is_left(files)


def test_memory_goes_where_an_error_holds_an_array_over_it(capsys: pytest.CaptureFixture[str]) -> None:
    held = []
    with pytest.raises(ZeroDivisionError), Pool(Squares(), 2) as pool:  # noqa: PT012
        held.append(pool.buffer.squares)
        files = shared_files()
        raise ZeroDivisionError
    del pool
    assert none_is_left(files)
    held[0][:] = 5
    held.clear()
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="descriptors are counted in /proc")
def test_what_is_interrupted_leaves_no_descriptor() -> None:
    """That of the shared memory was left and, with it, the memory, until the process ended."""

    def interrupted() -> int:
        with pytest.raises(KeyboardInterrupt), Pool(Squares(), 2) as pool:
            raise KeyboardInterrupt(pool.buffer.squares)  # as a traceback would hold it
        return len(list(Path("/proc/self/fd").iterdir()))

    first = interrupted()
    assert [interrupted() for _ in range(3)] == [first] * 3


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are looked up in /proc")
def test_processes_end_when_the_first_is_killed() -> None:
    code = """
import time
from tests.test_parallel import Pool, Squares
with Pool(Squares(), 2) as pool:
    pool.wait_until_ready()
    print(*pool.processes, flush=True)
    time.sleep(60)
"""
    root = Path(__file__).parent.parent
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=root
    ) as first:
        process = int(first.stdout.readline())
        os.kill(process, 0)
        files = shared_files(first.pid)
        first.kill()
    assert files or sys.platform != "linux"
    until(lambda: gone(process))
    until(lambda: none_is_left(files))


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no such signal")
def test_a_terminal_that_is_closed_ends_all_without_a_word() -> None:
    """It ended Python's tracker too, and another, which knew of no shared memory, complained."""
    code = """
import os, signal, sys
from tests.test_parallel import Pool, Squares
signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
with Pool(Squares(), 2) as pool:
    pool.wait_until_ready()
    os.killpg(0, signal.SIGHUP)
"""
    root, how = Path(__file__).parent.parent, {"capture_output": True, "text": True, "start_new_session": True}
    ended = subprocess.run([sys.executable, "-c", code], cwd=root, check=False, **how)
    assert (ended.returncode, ended.stderr) == (129, "")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there may be no limit to it")
def test_shared_memory_that_cannot_be_made_whole_is_told_alone() -> None:
    """Python's tracker, which did not know of it yet, complained that it was removed."""
    code = """
from tests.test_parallel import LeNet5Error, Pool, Squares, resource_tracker
from tests.conftest import room_for
with room_for(100), Pool(Squares(), 2) as pool:
    try:
        pool.buffer
    except LeNet5Error as error:
        print(error)
resource_tracker._resource_tracker._stop()
"""
    root, how = Path(__file__).parent.parent, {"capture_output": True, "text": True}
    said = subprocess.run([sys.executable, "-c", code], cwd=root, check=True, **how)
    assert (said.stdout, said.stderr) == ("shared memory: File too large; set threads to 1, which needs none\n", "")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no /dev/shm")
def test_too_little_shared_memory_is_told_and_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fstatvfs", lambda _: SimpleNamespace(f_blocks=2, f_bavail=1, f_frsize=4096))
    said = r"^shared memory: 4,096 bytes are free in /dev/shm; expected [\d,]+; set threads to 1, which needs none$"
    made: list[str] = []
    release = parallel._release
    monkeypatch.setattr(parallel, "_release", lambda memory: (made.append(memory.name), release(memory)))
    with Pool(Squares(), 2) as pool, pytest.raises(LeNet5Error, match=said):
        pool.buffer  # noqa: B018
    assert not Path("/dev/shm", made[0]).exists()  # noqa: S108
    monkeypatch.setattr(os, "fstatvfs", lambda _: SimpleNamespace(f_blocks=0, f_bavail=0, f_frsize=4096))
    with Pool(Squares(), 2) as pool:  # without a limit
        assert squares(pool) == expected()


def test_without_shared_memory_the_message_says_what_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(**_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(parallel, "_Memory", refused)
    said = "^shared memory: Read-only file system; set threads to 1, which needs none$"
    with Pool(Squares(), 2) as pool, pytest.raises(LeNet5Error, match=said):
        pool.buffer  # noqa: B018
    with Pool(Squares(), 1) as pool:
        assert squares(pool) == expected()


def test_without_another_process_the_message_says_what_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(parallel.subprocess, "Popen", refused)
    said = "^cannot start a process: Too many open files; set threads to 1, which needs none$"
    with Pool(Squares(), 2) as pool, pytest.raises(LeNet5Error, match=said):
        pool.buffer  # noqa: B018


def test_a_program_that_does_not_know_its_python_is_told_what_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that embeds Python may not."""
    monkeypatch.setattr(sys, "executable", None)
    with (
        Pool(Squares(), 2) as pool,
        pytest.raises(LeNet5Error, match=r"^cannot start a process: .+; set threads to 1, which needs none$"),
    ):
        pool.buffer  # noqa: B018


def test_a_process_whose_maker_has_ended_meanwhile_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource_tracker, "register", resource_tracker.register)  # which it replaces
    parallel.serve(1, "psm_gone", 0, 1)


class Observed(Squares):
    """Says which thread computes a chunk, and what becomes of a number that overflows there."""

    def compute(self, buffer: Buffer, chunk: int) -> None:
        super().compute(buffer, chunk)
        buffer.by[chunk] = get_ident()
        if chunk % 2:  # in the other process, where it is no error
            buffer.numbers[chunk] = np.isinf(np.float32(3e38) * np.float32(10))


class Here:
    """What stands in the place of another process: a thread of this one, which runs the same code."""

    pid = 1

    def __init__(self, line: list[str], *, stdin: int, stdout: int, bufsize: int, start_new_session: bool) -> None:
        assert (stdin, stdout, bufsize, start_new_session) == (subprocess.PIPE, subprocess.PIPE, 0, True)
        (source, told), (heard, sink) = os.pipe(), os.pipe()
        self.stdin, self.stdout = os.fdopen(told, "wb", 0), os.fdopen(heard, "rb", 0)
        ends = os.fdopen(source, "rb"), os.fdopen(sink, "wb")  # with buffers, as a process has them
        parallel.sys.stdin, parallel.sys.stdout = (SimpleNamespace(buffer=end) for end in ends)
        self.thread = Thread(target=self.run, args=(line, ends))
        self.thread.start()

    def run(self, line: list[str], ends: tuple[Any, Any]) -> None:
        with ends[0], ends[1]:
            assert line[:2] == [sys.executable, "-c"]
            exec(line[2], {})  # noqa: S102

    def poll(self) -> int | None:
        return None if self.thread.is_alive() else 0

    def kill(self) -> None:
        self.stdin.close()

    def communicate(self) -> None:
        self.thread.join(10)
        self.stdout.close()


def test_a_path_among_the_places_of_modules_is_passed_over_as_python_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [Path("modules"), *sys.path])
    with Pool(Squares(), 2) as pool:
        pool.wait_until_ready()
        assert len(pool.processes) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="processes are started otherwise")
def test_another_process_takes_up_each_task_and_computes_its_chunks_until_its_input_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held: list[int] = []  # threads to which BLAS is held

    @contextmanager
    def limit(limits: int) -> Iterator[None]:
        held.append(limits)
        yield
        held.pop()

    monkeypatch.setattr(
        parallel, "sys", SimpleNamespace(executable=sys.executable, path=sys.path, platform=sys.platform)
    )
    monkeypatch.setattr(parallel, "_blas", lambda: SimpleNamespace(limit=limit))
    monkeypatch.setattr(parallel.subprocess, "Popen", Here)
    monkeypatch.setattr(resource_tracker, "register", resource_tracker.register)  # which the other one replaces
    with Pool(Observed(), 2) as pool:
        assert held == [1]
        pool.wait_until_ready()
        assert held == [1]  # by both, which are in one process here
        assert pool.processes == [1]
        for offset in (0, 7):
            assert squares(pool, offset) == expected(offset)
            one, other = set(pool.buffer.by[::2].tolist()), set(pool.buffer.by[1::2].tolist())
            assert one == {get_ident()} != other
            assert len(other) == 1
            assert (pool.buffer.numbers[1::2] == 1).all()
        del one, other
    assert held == []


def test_blas_is_held_until_the_last_of_blocks_that_overlap_ends() -> None:
    """The one that ended first gave BLAS its threads back, and the last left one thread for good."""

    def threads() -> list[int]:
        return [each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"]

    with threadpool_limits(2, "blas"):
        before = threads()
        first, last = Pool(Squares()), Pool(Squares())
        first.__enter__()
        last.__enter__()
        first.__exit__()
        assert threads() == [1] * len(before)
        last.__exit__()
        assert threads() == before == [2] * len(before)
