"""Several ranks: the same bytes as one, one voice, and one end, however one of them fails.

Most of it is tested in threads, over an MPI of a few lines; what a launcher does is tested with that of MPICH.
"""

import contextlib
import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from threading import Barrier, RLock, Thread
from types import SimpleNamespace
from typing import Any

import click
import numpy as np
import pytest
import threadpoolctl

import lenet5_cli
from lenet5_cli import LeNet5, LeNet5Error
from lenet5_cli.commands import launch, options
from lenet5_cli.config import Config
from lenet5_cli.data import glyphs
from lenet5_cli.data.augmentation import draw
from lenet5_cli.engine import optim
from lenet5_cli.storage import checkpoint
from lenet5_cli.training import loop, ranks, runs, several, step
from lenet5_cli.training.loop import evaluate, fit
from lenet5_cli.training.metrics import Tally
from lenet5_cli.training.ranks import ALONE, Ended, Place, Ranks, UnheardError, launched
from lenet5_cli.training.step import Step
from tests.conftest import bars, environment, history, left_behind, run, train, without_seconds

SPLIT = bars(300)
ANY = -1


class World:
    """``MPI.COMM_WORLD`` of one of some threads, as far as ``Ranks`` uses it; messages arrive in order."""

    class Status:
        source = tag = ANY

    class Sent:
        def __init__(self, source: int, tag: int, content: Any, *, taken: bool) -> None:
            self.source, self.tag, self.content, self.taken = source, tag, content, taken

        def Test(self) -> bool:  # noqa: N802 - as in mpi4py
            return self.taken

        def recv(self) -> Any:
            self.taken = True
            return self.content

        def Recv(self, array: np.ndarray) -> None:  # noqa: N802
            np.asarray(array).reshape(-1).view(np.uint8)[:] = self.recv()

    def __init__(self, rank: int, size: int, common: dict[Any, Any], name: str = "world") -> None:
        self.rank, self.size, self.common, self.name, self.copies = rank, size, common, name, 0
        self.lock = common.setdefault("lock", RLock())

    def Dup(self) -> "World":  # noqa: N802
        self.copies += 1
        return World(self.rank, self.size, self.common, f"{self.name}.{self.copies}")

    def allgather(self, value: Any) -> list[Any]:
        self.common["gathered", self.rank] = value
        self.common["barrier"].wait()
        return [self.common["gathered", rank] for rank in range(self.size)]

    def _post(self, sent: "World.Sent", rank: int) -> "World.Sent":
        with self.lock:
            self.common.setdefault((self.name, rank), []).append(sent)
        return sent

    def isend(self, value: Any, rank: int, tag: int) -> "World.Sent":
        done = self.Sent(self.rank, tag, value, taken=False)
        self._post(done, rank)
        return self.Sent(self.rank, tag, None, taken=True)

    def issend(self, value: Any, rank: int, tag: int) -> "World.Sent":
        return self._post(self.Sent(self.rank, tag, value, taken=False), rank)

    def Isend(self, array: np.ndarray, rank: int, tag: int) -> "World.Sent":  # noqa: N802
        return self._post(self.Sent(self.rank, tag, np.array(array).reshape(-1).view(np.uint8), taken=False), rank)

    def _find(self, source: int, tag: int, *, take: bool) -> Any:
        with self.lock:
            waiting = self.common.get((self.name, self.rank), [])
            for at, sent in enumerate(waiting):
                if source in (ANY, sent.source) and tag in (ANY, sent.tag):
                    return waiting.pop(at) if take else sent
        return None

    def iprobe(self, source: int = ANY, tag: int = ANY) -> bool:
        return self._find(source, tag, take=False) is not None

    def improbe(self, source: int = ANY, tag: int = ANY, status: Any = None) -> Any:
        if found := self._find(source, tag, take=True):
            status.source, status.tag = found.source, found.tag
        return found

    def recv(self, source: int = ANY, tag: int = ANY, status: Any = None) -> Any:
        return self.improbe(source, tag, status or self.Status()).recv()

    def Abort(self, code: int) -> None:  # noqa: N802
        self.common["aborted"] = self.rank, code


def together(size: int, work: Callable[[Ranks], Any], timeout: float = 60) -> list[Any]:
    """Return what each of some ranks returns, or raises."""
    common: dict[Any, Any] = {"barrier": Barrier(size)}
    results: list[Any] = [None] * size

    def one(rank: int) -> None:
        own = Ranks(World(rank, size, common), World.Status, timeout)
        try:
            results[rank] = work(own)
        except BaseException as error:  # noqa: BLE001 - it is what is looked at
            results[rank] = error

    threads = [Thread(target=one, args=(rank,), daemon=True) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    return results


class System:
    """``os`` as ranks see it: what would end the streams of this process, which is not about to end, does nothing."""

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def dup2(self, *_: int) -> None:
        pass


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "GRACE", 0.3)
    monkeypatch.setattr(ranks, "STAGGER", 0.6)
    monkeypatch.setattr(ranks, "os", System())
    for variable in ("PMI_RANK", "PMI_SIZE", "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "MPI_LOCALRANKID"):
        monkeypatch.delenv(variable, raising=False)


# In threads: the same bytes


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("images", [20, 90, 250])
def test_any_number_of_ranks_finds_the_same_bits(images: int, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if images == 250:  # as of a batch of many thousands
        monkeypatch.setattr(step, "CAPACITY", 110)
        monkeypatch.setattr(step, "HELD", 4)
    split = bars(images)
    distortions = draw("elastic", images, np.random.default_rng(1))

    def work(own: Ranks) -> Any:
        network = LeNet5(Config(seed=own.rank, dtype=dtype))  # the leader's parameters count
        with Step(network, 1, own) as both:
            found = [both.scores(split.images), both.loss_and_gradient(split.images, split.labels, distortions)]
            network.parameters[...] *= 1.5
            found.append(both.loss_and_gradient(split.images, split.labels))
        return np.hstack([np.ravel(each) for each in found]).tobytes(), network.gradients.tobytes()

    expected = work(ALONE)
    for size in (2, 3, 4):
        assert together(size, work)[0] == expected


class Seen:
    """Images that note which of them were read."""

    def __init__(self, images: np.ndarray, read: set[int]) -> None:
        self.images, self.read, self.rows = images, read, np.arange(len(images))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, part: Any) -> np.ndarray:
        self.read |= set(np.atleast_1d(self.rows[part]).tolist())
        return self.images[part]


def test_each_rank_reads_the_images_of_its_own_chunks_alone() -> None:
    def work(own: Ranks) -> set[int]:
        read: set[int] = set()
        with Step(LeNet5(Config(seed=0)), 1, own) as part:
            part.loss_and_gradient(Seen(SPLIT.images, read), SPLIT.labels)
        return read

    assert together(4, work) == [set(range(100)), set(range(100, 200)), set(range(200, 250)), set(range(250, 300))]


def test_a_fit_and_an_evaluation_are_those_of_one_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (loop, step):
        monkeypatch.setattr(module, "EVALUATED", 100)
    monkeypatch.setattr(step, "CAPACITY", 120)
    config = Config(seed=1, epochs=2, batch_size=130, samples_per_epoch=280, order="shuffled", augment="affine")

    def work(own: Ranks) -> Any:
        network = LeNet5(config)
        learner = optim.optimizer(config, network.parameters)
        done = list(fit(network, learner, SPLIT.part(slice(250)), config, validation=bars(123, 2), ranks=own))
        tally = evaluate(network, bars(450, 3), keep=5, ranks=own)
        own.end()
        facts = [
            (
                epoch.loss,
                epoch.accuracy,
                epoch.validation_loss,
                np.concatenate([part for part, _ in held.nearest]).tolist(),
            )
            for epoch, held in done
            if held
        ]
        return (
            facts,
            network.parameters.tobytes(),
            tally.loss_sum,
            tally.confusion.tolist(),
            tally.worst.images.tolist(),
        )

    expected = work(ALONE)
    leader, *others = together(3, work)
    assert leader == expected
    assert [other[0] for other in others] == [[], []]


def test_no_rank_waits_for_a_leader_that_scores_what_is_held_out_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many images, that took longer than the others waited."""
    monkeypatch.setattr(LeNet5, "scores", lambda *_: pytest.fail("a rank scores alone"))
    config = Config(seed=1, epochs=2, batch_size=60, samples_per_epoch=120, validation=100)

    def work(own: Ranks) -> Any:
        run = runs.Run(config, SPLIT)
        epochs = len(list(run.train(ranks=own)))
        own.end()
        return epochs, None if run.checkpoint().distances is None else np.unique(run.checkpoint().distances).tolist()

    epochs, distances = work(ALONE)
    assert (epochs, len(distances or [])) == (2, 100)
    assert together(2, work) == [(2, distances), (0, None)]


def test_a_leader_that_stops_ends_what_the_others_compute() -> None:
    config = Config(seed=1, epochs=50, batch_size=100, samples_per_epoch=300)

    def work(own: Ranks) -> str:
        network = LeNet5(config)
        epochs = fit(network, optim.optimizer(config, network.parameters), SPLIT, config, ranks=own)
        next(epochs, None)
        epochs.close()
        own.end()
        return "ended"

    assert together(3, work) == ["ended"] * 3


def test_what_the_leader_makes_is_shared_by_any_number_of_ranks() -> None:
    for size in range(1, 10):

        def work(own: Ranks) -> Any:
            first = own.share(lambda: [own.rank])
            return first, own.led(lambda: own.rank * 2)

        assert together(size, work) == [([0], 2 * rank) for rank in range(size)]


def test_runs_are_dealt_out_to_ranks_and_saved_by_the_leader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def events(own: dict[int, tuple[Config, str]], *_: object) -> Iterator[Any]:
        yield None
        for place, (config, output) in own.items():
            Path(output).write_text(str(config.seed), encoding="utf-8")
            yield place, history(1)[0]
            yield place, Tally()

    monkeypatch.setattr(several, "_train_here", events)
    monkeypatch.setattr(several, "POLL", 0.001)
    configs = [Config(seed=seed) for seed in range(5)]
    outputs = [str(tmp_path / str(place)) for place in range(5)]

    def work(own: Ranks) -> list[Any]:
        found = list(several.side_by_side(configs, outputs, several.Shared(), lambda: False, own))
        own.end()
        return found

    leader, *others = together(3, work)
    assert others == [[], []]
    assert sorted(place for place, event in leader if isinstance(event, Tally)) == list(range(5))
    assert [Path(output).read_text(encoding="utf-8") for output in outputs] == list("01234")


def test_runs_that_the_leader_stops_are_stopped_on_every_rank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def events(_: Any, __: several.Shared, stopped: Callable[[], bool]) -> Iterator[Any]:
        while not stopped():
            time.sleep(0.001)
            yield None

    monkeypatch.setattr(several, "_train_here", events)
    monkeypatch.setattr(several, "POLL", 0.001)
    outputs = [str(tmp_path / str(place)) for place in range(4)]
    until = time.monotonic() + 0.1

    def work(own: Ranks) -> list[Any]:
        found = list(
            several.side_by_side([Config()] * 4, outputs, several.Shared(), lambda: time.monotonic() > until, own)
        )
        own.end()
        return found

    assert together(4, work) == [[]] * 4


# In threads: failures


def test_a_rank_that_does_not_answer_is_missed_while_the_leader_has_runs_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def events(*_: object) -> Iterator[Any]:
        for _ in range(1000):
            time.sleep(0.01)
            yield None
        pytest.fail("the leader's own runs have ended")

    monkeypatch.setattr(several, "_train_here", events)
    outputs = [str(tmp_path / str(place)) for place in range(2)]

    def work(own: Ranks) -> Any:
        own.agree({}, "")
        if own.rank == 1:
            return time.sleep(2)
        with pytest.raises(LeNet5Error) as error:
            list(several.side_by_side([Config()] * 2, outputs, several.Shared(), lambda: False, own))
        return str(error.value)

    missed = "no answer for 0.2 seconds; --timeout sets the limit"
    assert together(2, work, timeout=0.2)[0] == f"rank 1 on {ranks._host()}: {missed}"


def test_a_rank_whose_runs_have_ended_waits_for_those_of_others_however_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there were more runs than ranks, it said after two minutes that the leader did not answer."""

    def events(own: dict[int, Any], *_: object) -> Iterator[Any]:
        for place in own:
            for _ in range(150 * (place != 1)):
                time.sleep(0.01)
                yield None
            yield place, Tally()

    monkeypatch.setattr(several, "_train_here", events)
    monkeypatch.setattr(several, "POLL", 0.01)
    outputs = [str(tmp_path / str(place)) for place in range(3)]

    def work(own: Ranks) -> list[int]:
        own.agree({}, "")
        found = list(several.side_by_side([Config()] * 3, outputs, several.Shared(), lambda: False, own))
        own.end()
        return [place for place, _ in found]

    assert together(2, work, timeout=0.2) == [[1, 0, 2], []]


def test_who_waits_for_reports_asks_each_time_that_the_timeout_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    now, asked = [0.0], list[float]()
    monkeypatch.setattr(ranks, "monotonic", lambda: now[0])
    own, common = leader_of(("there", CORES))
    monkeypatch.setattr(own, "demand_answers", lambda: asked.append(now[0]))
    own.timeout = 1.0
    now[0] = 5.0
    assert own.reports() == []  # before the first step, loading may take as long as it takes
    World(1, 2, common, "world.1").isend(({}, ""), 0, ranks._OBJECT)
    own.agree({}, "")
    for now[0] in (5.5, 6.0, 6.25, 7.0, 7.25, 7.5):
        assert own.reports() == []
    assert asked == [6.25, 7.5]


def test_an_error_of_another_rank_is_the_leaders_with_its_name() -> None:
    def work(own: Ranks) -> None:
        if own.rank == 1:
            try:
                raise LeNet5Error("bars: cannot be read")
            except LeNet5Error as error:
                own.tell(error)
        try:
            own.collect(1) if own.leader else own.share(lambda: None)
        finally:
            if own.leader:
                own.abort(1)

    leader, *others = together(3, work)
    assert str(leader).startswith("rank 1 on ")
    assert str(leader).endswith(": bars: cannot be read")
    assert [type(other) for other in others] == [Ended, Ended]


def test_an_error_that_nobody_foresaw_says_where_it_was() -> None:
    def work(own: Ranks) -> Any:
        if own.leader:
            with pytest.raises(LeNet5Error) as told:
                own.collect(1)
            own.abort(1)
            return str(told.value)
        try:
            return {}[own.rank]
        except KeyError as error:
            return own.tell(error)

    assert together(2, work)[0].partition(": ")[2].startswith("KeyError: 1 (test_ranks.py:")


@pytest.mark.parametrize("silent", [0, 2])
def test_a_rank_that_does_not_answer_is_named_by_the_first_that_notices(silent: int) -> None:
    def work(own: Ranks) -> Any:
        own.agree({}, "")
        if own.rank == silent:
            time.sleep(2)
            return "late"
        try:
            own.collect((own.rank + 1) % 3)
        except LeNet5Error as error:
            if not own.leader:
                with contextlib.suppress(UnheardError):
                    own.tell(error)
            own.abort(1)
            return type(error), str(error).partition(" on ")[0], str(error).partition(": ")[2]
        return None

    results = together(3, work, timeout=0.2)
    said = "no answer for 0.2 seconds; --timeout sets the limit"
    first = results[1 if silent == 0 else 0]
    assert first == (UnheardError if silent == 0 else LeNet5Error, f"rank {silent}", said)


def test_others_wait_for_a_leader_that_is_busy_at_its_end() -> None:
    def work(own: Ranks) -> str:
        own.agree({}, "")
        if own.leader:
            time.sleep(1)
        own.end()
        return "ended"

    assert together(2, work, timeout=0.1) == ["ended", "ended"]


def test_a_leader_that_does_not_take_it_leaves_an_error_to_who_made_it() -> None:
    def work(own: Ranks) -> Any:
        if own.leader:
            return time.sleep(1)
        with pytest.raises(UnheardError, match=r"^rank 1 on .*: bars: empty$"):
            own.tell(LeNet5Error("bars: empty"))
        return own.abort(1)

    assert together(2, work, timeout=0.1) == [None, None]


def test_other_data_or_versions_are_refused_and_another_arithmetic_is_named() -> None:
    def agreed(arithmetic: list[str], *facts: dict[str, str]) -> Any:
        return together(len(facts), lambda own: (own.agree(facts[own.rank], arithmetic[own.rank]), own.end())[0])[0]

    same = {"NumPy": "2.4"}
    assert agreed(["a", "a"], same, same) == []
    (named,) = agreed(["a", "a", "b"], same, same, same)
    assert named.startswith("rank 2 on ")
    assert named.endswith(" (b)")

    def work(own: Ranks) -> Any:
        try:
            return launch.agree(own, training=SPLIT if own.leader else bars(300, seed=own.rank))
        finally:
            if own.leader:
                own.abort(1)

    refused = str(together(2, work)[0])
    digest = SPLIT.sha256[:12]
    assert refused.startswith("rank 1 on ")
    assert (
        f": training images of SHA-256 {bars(300, seed=1).sha256[:12]}, but of SHA-256 {digest} on rank 0 " in refused
    )
    assert refused.endswith("; expected the same on every rank")


def test_an_error_of_the_leader_has_its_name_among_several() -> None:
    def broken(_: Any) -> np.ndarray:
        raise LeNet5Error("bars: ends at byte 7")

    images = Seen(SPLIT.images, set())
    images.__class__ = type("Broken", (Seen,), {"__getitem__": lambda _, part: broken(part)})

    def work(own: Ranks) -> None:
        try:
            with Step(LeNet5(Config(seed=0)), 1, own) as part:
                part.loss_and_gradient(images if own.leader else SPLIT.images, SPLIT.labels)
        finally:
            if own.leader:
                own.abort(1)

    leader, other = together(2, work)
    assert str(leader).startswith("rank 0 on ")
    assert str(leader).endswith(": bars: ends at byte 7")
    assert isinstance(other, Ended)
    with pytest.raises(LeNet5Error, match=r"^bars: ends at byte 7$"), Step(LeNet5(Config(seed=0))) as part:
        part.loss_and_gradient(images, SPLIT.labels)


# With a launcher

MPIEXEC = Path(sys.executable).with_name("mpiexec")
SETTINGS = [
    "--seed",
    "3",
    "--samples-per-epoch",
    "290",
    "--batch-size",
    "200",
    "--order",
    "shuffled",
    "--augment",
    "affine",
]
SETTINGS += ["--optimizer", "adam", "--lr", "0.01", "--validation", "60", "--data", "bars"]

launcher = pytest.mark.skipif(not MPIEXEC.exists(), reason="MPICH is not installed")


def started(size: int, *arguments: object, **more: str) -> "subprocess.Popen[str]":
    """Start some ranks on this machine, bound to its own address."""
    line = [MPIEXEC, "-iface", "lo", "-n", size, sys.executable, "-m", "lenet5_cli", *arguments]
    around = environment(**{"UCX_TLS": "self,sm", **more})
    return subprocess.Popen(
        [str(part) for part in line], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=around
    )


def mpiexec(size: int, *arguments: object, code: int = 0, **more: str) -> tuple[str, str]:
    """Run a command on some ranks, and return what it prints."""
    with started(size, *arguments, **more) as process:
        stdout, stderr = process.communicate(timeout=100)
    assert process.returncode == code, stdout + stderr
    return stdout, stderr


def process_of(rank: int, folder: Path) -> int:
    """Return the process ID of a rank that works in a folder."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            line, variables = ((process / name).read_bytes().split(b"\0") for name in ("cmdline", "environ"))
            if b"lenet5_cli" in line and b"PMI_RANK=%d" % rank in variables and (process / "cwd").samefile(folder):
                return int(process.name)
    raise AssertionError(f"no rank {rank}")


@launcher
def test_settings_are_those_of_the_leader_whatever_another_rank_finds_in_its_folder(bars_folder: Path) -> None:
    """A file that another host does not have ended its rank without a word, for which the leader waited for ever."""
    Path("mine.toml").write_text(f"epochs = 1\nbatch_size = 100\nseed = 2\ndata = '{bars_folder}'\n", encoding="utf-8")
    Path("there").mkdir()
    command = [sys.executable, "-m", "lenet5_cli", "train", "--config", "mine.toml", "-o", "two.pkl"]
    with started(1, *command[3:], ":", "-n", 1, "-wdir", Path("there").resolve(), *command) as process:
        try:
            said = process.communicate(timeout=60)[1]
        finally:
            process.terminate()  # what still waits
    assert process.returncode == 0, said
    run("train", "--config", "mine.toml", "-o", "one.pkl")
    assert checkpoint.read("two.pkl").config == checkpoint.read("one.pkl").config
    np.testing.assert_array_equal(LeNet5.load("two.pkl").parameters, LeNet5.load("one.pkl").parameters)
    assert not list(Path("there").iterdir())


@launcher
def test_a_model_to_start_from_is_within_the_reach_of_the_leader_alone(bars_folder: Path) -> None:
    """Of several runs, those of another rank ended with `no such file`."""
    train(bars_folder, "-o", "start.pkl")
    Path("there").mkdir()
    given = ["train", "--data", bars_folder, "--from", "start.pkl", "--epochs", 1, "--seed", 3, "--runs", 2]
    command = [sys.executable, "-m", "lenet5_cli", *given, "--threads", 1, "-o", "two.pkl"]
    mpiexec(1, *command[3:], ":", "-n", 1, "-wdir", Path("there").resolve(), *command)
    run(*given)
    assert without_seconds("two.pkl") == without_seconds("model.pkl")
    assert not list(Path("there").iterdir())


@launcher
@pytest.mark.parametrize("more", [[], ["--runs", 2]])
def test_another_glyph_sheet_on_one_rank_is_refused(more: list[Any], bars_folder: Path) -> None:
    """Under the same name, in the folders of two hosts: a wrong model was trained without a word."""
    sheet, said = glyphs.read(), []
    for folder, codes in (("here", sheet.codes), ("there", sheet.codes[::-1])):
        Path(folder).mkdir()
        glyphs.write(f"{folder}/own.txt", own := glyphs.Sheet(codes, sheet.names))
        said.append(own.sha256[:12])
    given = ["train", "--data", bars_folder, "--epochs", 1, "--batch-size", 100, "--glyphs", "own.txt", *more]
    other = ["-n", 1, "-wdir", Path("there").resolve(), sys.executable, "-m", "lenet5_cli", *given]
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir("here")
        stderr = mpiexec(1, *given, ":", *other, code=1)[1]
    host = ranks._host()
    differ = f"glyph sheet of SHA-256 {said[1]}, but of SHA-256 {said[0]} on rank 0 on {host}"
    assert stderr.endswith(f"Error: rank 1 on {host}: {differ}; expected the same on every rank\n")
    assert sorted(map(str, Path().glob("*here/*"))) == ["here/own.txt", "there/own.txt"]


@launcher
@pytest.mark.parametrize("place", [0, 1])
def test_a_wrong_command_line_on_one_rank_ends_all(place: int, bars_folder: Path) -> None:
    """As where another version of lenet5 is on another host: the ranks that could begin waited for ever."""
    command = [sys.executable, "-m", "lenet5_cli", "train", "--data", bars_folder, "--epochs", 1]
    lines = [command, command]
    lines[place] = [*command, "--nope"]
    with started(1, *lines[0][3:], ":", "-n", 1, *lines[1]) as process:
        try:
            said = process.communicate(timeout=60)[1]
        finally:
            process.terminate()  # what still waits
    message = "Error: No such option '--nope'." if place == 0 else "Error: rank 1 on "
    assert (process.returncode, message in said, "No such option '--nope'." in said) == (2 - place, True, True), said


@launcher
def test_a_settings_file_that_the_leader_does_not_find_ends_all() -> None:
    assert mpiexec(2, "train", "--config", "none.toml", code=1)[1].startswith(
        "Error: none.toml: no such file or preset"
    )


@launcher
def test_ranks_that_a_launcher_starts_train_resume_and_measure_to_the_same_bytes(bars_folder: Path) -> None:
    whole = train(bars_folder, *SETTINGS)
    first = mpiexec(2, "train", *SETTINGS, "--epochs", 2, "--threads", 2, "-o", "two.pkl", "--log", "two.jsonl")
    assert first[0] == whole.stdout
    assert "idle" not in first[1]
    mpiexec(3, "train", *SETTINGS, "--epochs", 1, "-o", "three.pkl")
    mpiexec(2, "train", "--resume", "--epochs", 2, "-o", "three.pkl")
    assert without_seconds("two.pkl") == without_seconds("model.pkl")
    three = LeNet5.load("three.pkl")  # of a run that was to have one epoch, and then two
    np.testing.assert_array_equal(three.parameters, LeNet5.load("model.pkl").parameters)
    assert len(Path("two.jsonl").read_text(encoding="utf-8").splitlines()) == 2
    assert left_behind() == ["bars", "model.pkl", "three.pkl", "two.jsonl", "two.pkl"]
    shown = run("eval", "model.pkl", "--split", "train", "--json", "--type", "int8").stdout
    assert mpiexec(3, "eval", "model.pkl", "--split", "train", "--json", "--type", "int8")[0] == shown


@launcher
def test_ranks_share_pictures_and_whole_runs_and_print_as_one_does(bars_folder: Path) -> None:
    pictures = [Path("nothing.png"), *sorted((Path(lenet5_cli.__file__).parents[1] / "docs").glob("*.jpg"))] * 2
    alone = run("predict", *pictures, "--csv", "--model", "bundled", code=1)
    assert mpiexec(2, "predict", *pictures, "--csv", "--model", "bundled", code=1)[0] == alone.stdout
    given = ["--data", bars_folder, "--seed", 3, "--epochs", 1, "--samples-per-epoch", 50, "--runs", 3]
    shown = mpiexec(2, "train", *given, "--threads", 1, "-o", "two.pkl")[0]
    expected = run("train", *given, "--threads", 1).stdout
    assert sorted(shown.splitlines()) == sorted(expected.splitlines())
    assert shown.splitlines()[6:] == expected.splitlines()[6:]
    assert without_seconds("two.pkl") == without_seconds("model.pkl")
    assert left_behind() == ["bars", "model.pkl", "two.pkl"]


@launcher
def test_another_command_is_run_by_one_rank_and_an_error_is_told_once(bars_folder: Path) -> None:
    assert mpiexec(2, "info", "--config", "quick")[0] == run("info", "--config", "quick").stdout
    Path("mpi4py.py").write_text("raise ImportError('broken')", encoding="utf-8")
    here = f"{Path.cwd()}{os.pathsep}{Path(lenet5_cli.__file__).parents[1]}"
    without = mpiexec(3, "train", "--data", bars_folder, code=1, PYTHONPATH=here, PYTHONDONTWRITEBYTECODE="1")
    assert without == (
        "",
        "Error: started by mpiexec, but mpi4py cannot be imported: broken; pip install 'lenet5-cli[mpi]'\n",
    )
    assert left_behind() == ["bars", "mpi4py.py"]


@launcher
def test_data_that_differ_between_ranks_are_refused_before_the_first_step(bars_folder: Path) -> None:
    other = ["-n", 1, "-env", "LENET5_DATA", "other", sys.executable, "-m", "lenet5_cli", "train"]
    stdout, stderr = mpiexec(1, "train", ":", *other, code=1, LENET5_DATA=str(bars_folder))
    assert not stdout
    assert "Error: rank 1 on " in stderr
    assert "LENET5_DATA: other: no such folder" in stderr
    assert stderr.count("Error") == 1
    assert left_behind() == ["bars"]


@launcher
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are looked up in /proc")
def test_a_rank_that_is_killed_ends_all_and_the_run_resumes_to_the_same_bytes(
    bars_folder: Path, tmp_path: Path
) -> None:
    many = ["--epochs", 20, "--validation", 100]
    whole = train(bars_folder, *SETTINGS, *many, "-o", "whole.pkl")
    with started(2, "train", *SETTINGS, *many, "-o", "killed.pkl") as process:
        assert process.stdout
        lines = [process.stdout.readline() for _ in range(2)]
        number = process_of(1, tmp_path)
        os.kill(number, signal.SIGKILL)
        stderr = process.communicate(timeout=60)[1]
    assert process.returncode
    assert lines == whole.stdout.splitlines(keepends=True)[:2]
    assert stderr.count("Error") == 1
    assert f": its process, {number}, was killed or has crashed\n" in stderr.partition("Error: rank 1 on ")[2]
    run("train", "--resume", "-o", "killed.pkl")
    assert without_seconds("killed.pkl") == without_seconds("whole.pkl")
    assert left_behind() == ["bars", "killed.pkl", "whole.pkl"]


@launcher
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are looked up in /proc")
@pytest.mark.usefixtures("bars_folder")
def test_a_rank_that_hangs_ends_all_and_ctrl_c_does_as_with_one(tmp_path: Path) -> None:
    with started(3, "train", *SETTINGS, "--epochs", 9999, "--timeout", 3) as process:
        assert process.stdout
        process.stdout.readline()
        os.kill(process_of(2, tmp_path), signal.SIGSTOP)
        stderr = process.communicate(timeout=60)[1]
    assert process.returncode in (1, 9)  # where the launcher kills a rank before it has heard of the end
    assert stderr.count("Error") == 1
    assert ": no answer for 3 seconds; --timeout sets the limit\n" in stderr.partition("Error: rank 2 on ")[2]
    assert left_behind() == ["bars", "model.pkl"]
    with started(2, "train", "--resume", "--epochs", 9998) as process:
        assert process.stdout
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        stderr = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert stderr.endswith("lenet5 train --resume --output model.pkl continues it.\n")
    assert left_behind() == ["bars", "model.pkl"]


# What surrounds them


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({}, Place(0, 1, 0)),
        ({"PMI_RANK": "3", "PMI_SIZE": "4", "MPI_LOCALRANKID": "1"}, Place(3, 4, 1)),
        ({"OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_SIZE": "3", "OMPI_COMM_WORLD_LOCAL_RANK": "0"}, Place(2, 3, 0)),
        ({"PMIX_RANK": "5", "SLURM_STEP_NUM_TASKS": "8", "SLURM_LOCALID": "1"}, Place(5, 8, 1)),
        ({"PMIX_RANK": "1"}, Place(1, 0, 1)),
        ({"SLURM_PROCID": "1", "SLURM_NTASKS": "2", "SLURM_LOCALID": "0"}, Place(0, 1, 0)),
    ],
)
def test_the_environment_tells_of_a_launcher(
    variables: dict[str, str], place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OMPI_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert launched() == place


def test_an_mpi_library_that_is_missing_or_anothers_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PMI_RANK", "0")
    monkeypatch.setenv("PMI_SIZE", "4")
    monkeypatch.setitem(sys.modules, "mpi4py", SimpleNamespace(rc=SimpleNamespace()))
    with pytest.raises(
        LeNet5Error, match=r"^mpi4py finds no MPI library \(.*\); install that of the launcher, or pip "
    ):
        ranks.join(1)
    world = SimpleNamespace(size=1)
    other = SimpleNamespace(COMM_WORLD=world, Get_library_version=lambda: "Open MPI v5\n")
    monkeypatch.setitem(sys.modules, "mpi4py", SimpleNamespace(rc=SimpleNamespace(), MPI=other))
    message = "^the launcher started 4 ranks, but the library of mpi4py sees 1; expected the mpiexec of Open MPI v5$"
    with pytest.raises(LeNet5Error, match=message):
        ranks.join(1)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LeNet5Error("x"), 1),
        (click.UsageError("x"), 2),
        (KeyboardInterrupt(), 130),
        (SystemExit(143), 143),
        (OSError(), 1),
    ],
)
def test_an_error_of_the_leader_takes_all_down_with_its_exit_code(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Any] = []
    own = Ranks()
    monkeypatch.setattr(launch, "launched", lambda: Place(0, 2, 0))
    monkeypatch.setattr(launch, "join", lambda _: own)
    monkeypatch.setattr(launch.atexit, "register", lambda *call: kept.append(call))
    with pytest.raises(type(error)), launch.joined(1):
        raise error
    assert kept == [(launch._leave, own), (own.abort, code)]


def test_cores_are_shared_out_among_the_ranks_of_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "own_cores", lambda: frozenset(range(8)))
    assert together(3, lambda own: own.cores) == [2, 2, 2]
    monkeypatch.setattr(options, "source_of", {"threads": "DEFAULT"}.__getitem__)
    assert together(4, lambda own: options.threads_of(own, 64)) == [2, 2, 2, 2]
    assert options.threads_of(ALONE, 64) == 64


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what is another rank than the leader of two, by an environment that says so."""
    monkeypatch.setenv("PMI_RANK", "1")
    monkeypatch.setenv("PMI_SIZE", "2")
    seen = SimpleNamespace(leader=False, told=[], ended=[], kept=[], answer=Ended())

    def tell(error: BaseException) -> None:
        seen.told.append(error)
        raise seen.answer

    seen.tell, seen.end, seen.leave, seen.abort = tell, lambda: seen.ended.append(True), lambda: None, lambda _: None
    monkeypatch.setattr(launch, "join", lambda _: seen)
    monkeypatch.setattr(launch.signal, "signal", lambda number, how: seen.kept.append((number, how)))
    monkeypatch.setattr(launch.atexit, "register", lambda *call: seen.kept.append(call))
    monkeypatch.setattr(launch.atexit, "unregister", lambda call: seen.kept.remove((call, 1)))
    return seen


def test_another_rank_ends_with_the_leader_and_leaves_signals_to_it(other: Any) -> None:
    with launch.joined(1) as joined:
        assert joined is other
    with launch.joined(1):
        raise Ended
    assert other.ended == [True]
    numbers = {signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}  # UCX takes SIGHUP for itself
    joining, ignored = ([(number, how) for number in numbers] for how in (signal.SIG_DFL, signal.SIG_IGN))
    assert other.kept == [*joining, *ignored, (launch._leave, other)] * 2


@launcher
@pytest.mark.parametrize("answer", ["ctrl-c", "timeout"])
def test_ranks_that_wait_for_one_that_never_joins_can_be_ended(answer: str, bars_folder: Path) -> None:
    """The library waits in C, for ever, where neither Ctrl-C nor SIGTERM was heard."""
    train = ["train", "--data", bars_folder, "--timeout", 600 if answer == "ctrl-c" else 2]
    with started(1, *train, ":", "-n", 1, "sh", "-c", "exit 0") as process:
        try:
            if answer == "ctrl-c":
                time.sleep(2)
                process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
        finally:
            process.terminate()
    assert process.returncode != 0


@launcher
def test_ranks_of_different_commands_say_so(bars_folder: Path) -> None:
    train = [sys.executable, "-m", "lenet5_cli", "train", "--data", bars_folder, "--epochs", 1]
    for other, name in (
        (["eval", "bundled", "--data", bars_folder], "eval"),
        ([*train[3:], "--resume"], "train --resume"),
    ):
        with started(1, *train[3:], ":", "-n", 1, *train[:3], *other) as process:
            said = process.communicate(timeout=60)[1]
        assert process.returncode == 1
        assert re.search(
            rf"^Error: rank 1 on \S+: lenet5 {name}, but lenet5 train on rank 0 on \S+; expected", said, re.MULTILINE
        )


def test_another_rank_tells_the_leader_of_an_error_and_shows_it_only_where_that_does_not(
    other: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    error = LeNet5Error("bars: empty")
    with launch.joined(1):
        raise error
    assert other.told == [error]
    assert (other.abort, 1) not in other.kept
    launch.mute()
    muted = sys.stderr
    assert muted.name == os.devnull
    other.answer = UnheardError("rank 1 on here: bars: empty")
    with pytest.raises(UnheardError), launch.joined(1):
        raise error
    assert sys.stderr is sys.__stderr__
    assert (other.abort, 1) in other.kept
    muted.close()


@pytest.mark.filterwarnings("ignore:unclosed file")  # a muted process ends with its streams
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_another_rank_says_nothing_and_leaves_other_commands_to_the_leader(
    other: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = run("info", "bundled")
    assert (said.stdout, said.stderr) == ("", "")
    said = run("train", "--epochs", "none")
    assert (said.stdout, said.stderr) == ("", "")
    assert "Invalid value for '--epochs': 'none'" in str(other.told[0])  # which the leader shows
    monkeypatch.setenv("PMI_RANK", "0")
    assert run("info", "--config", "quick").stdout


@pytest.mark.parametrize("local", [0, 1])
def test_a_library_that_is_missing_is_told_once_a_host(local: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: float) -> None:
        raise LeNet5Error("mpi4py is missing")

    monkeypatch.setattr(launch, "launched", lambda: Place(3, 4, local))
    monkeypatch.setattr(launch.signal, "signal", lambda *_: None)
    monkeypatch.setattr(launch, "join", missing)
    spoken: list[bool] = []
    monkeypatch.setattr(launch, "unmute", lambda: spoken.append(True))
    with pytest.raises(LeNet5Error, match=r"^mpi4py is missing$"), launch.joined(1):
        pytest.fail("there is nobody to join")
    assert spoken == [True] * (not local)


def test_ranks_compare_versions_images_and_what_computes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    blas = [{"internal_api": "openblas", "architecture": "Haswell"}, {"internal_api": "mkl"}]
    monkeypatch.setattr(threadpoolctl, "threadpool_info", lambda: blas)
    compared: list[Any] = []
    own = {"named": contextlib.nullcontext, "agree": lambda *facts: compared.extend(facts) or ["rank 1"]}
    sheet = glyphs.Sheet(glyphs.read().codes[:2], ("A", "B"))
    drawn = hashlib.sha256(sheet.codes.tobytes() + b"A\nB").hexdigest()
    trained = SimpleNamespace(teacher_sha256="0123456789abcdef", network=SimpleNamespace(sheet=sheet))
    launch.agree(SimpleNamespace(size=2, **own), trained, training=SPLIT, test=bars(40), rehearsed=None)  # type: ignore[arg-type]
    facts, arithmetic = compared
    assert facts == {
        "lenet5": lenet5_cli.__version__,
        "NumPy": np.__version__,
        "training images": f"of SHA-256 {SPLIT.sha256[:12]}",
        "test images": f"of SHA-256 {bars(40).sha256[:12]}",
        "teacher": "of SHA-256 0123456789ab",
        "glyph sheet": f"of SHA-256 {drawn[:12]}",
    }
    assert arithmetic == "openblas Haswell, mkl "
    noted = "NOTE: rank 1 may round differently from rank 0; the last bits may vary with the ranks.\n"
    assert capsys.readouterr().err == noted
    launch.agree(SimpleNamespace(size=1, **own), training=SPLIT)  # type: ignore[arg-type]
    assert (len(compared), capsys.readouterr().err) == (2, "")


@pytest.mark.parametrize(("rank", "images"), [(1, 8), (2, 60)])
def test_a_rank_without_a_part_in_a_batch_has_no_result(rank: int, images: int) -> None:
    """Of two ranks and one chunk, and of three ranks and two chunks."""
    other = Ranks()
    other.rank, other.size = rank, rank + 1
    part = Step(LeNet5(Config(seed=0)), 1, other)
    assert part.loss_and_gradient(SPLIT.images[:images], SPLIT.labels[:images]) == 0
    scores = part.scores(SPLIT.images[:images])
    assert (scores.shape, scores.dtype) == ((0, 10), np.float32)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells which signals a process ignores")
@pytest.mark.parametrize("left", [True, False])
def test_a_guard_says_which_process_is_gone_unless_it_has_left(left: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("sleep").write_text("#!/bin/sh\n", encoding="utf-8")  # so that it does not wait before it speaks
    Path("sleep").chmod(0o755)
    monkeypatch.setenv("PATH", f".{os.pathsep}{os.environ['PATH']}")
    own, ignored = Ranks(), 1 << signal.SIGINT - 1 | 1 << signal.SIGTERM - 1
    with Path("said").open("wb") as said:
        monkeypatch.setattr(subprocess, "Popen", partial(subprocess.Popen, stderr=said))
        own._guard = guard = ranks._start_guard(3)
        status = Path(f"/proc/{guard.pid}/status")
        while int(status.read_text(encoding="utf-8").partition("SigIgn:")[2].split()[0], 16) & ignored != ignored:
            time.sleep(0.001)
        for number in (signal.SIGINT, signal.SIGTERM):
            guard.send_signal(number)
        if left:
            own.leave()
            own.leave()
        else:
            guard.communicate(b"")
    assert guard.returncode == 0
    gone = f"Error: rank 3 on {ranks._host()}: its process, {os.getpid()}, was killed or has crashed\n"
    assert Path("said").read_text(encoding="utf-8") == ("" if left else gone)


def test_a_rank_joins_those_that_the_library_knows_and_has_a_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(1, 2, {"barrier": Barrier(1), ("gathered", 0): ("there", frozenset())})
    library = SimpleNamespace(rc=SimpleNamespace(), MPI=SimpleNamespace(COMM_WORLD=world, Status=World.Status))
    monkeypatch.setitem(sys.modules, "mpi4py", library)
    monkeypatch.setattr(ranks, "_start_guard", lambda rank: SimpleNamespace(rank=rank))
    for variables in ({"PMI_RANK": "1", "PMI_SIZE": "2"}, {"PMIX_RANK": "1"}):  # the second does not say how many
        for name in ("PMI_RANK", "PMI_SIZE", "PMIX_RANK", "SLURM_STEP_NUM_TASKS"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        own = ranks.join(7)
        assert (own.rank, own.size, own.timeout, own._guard.rank) == (1, 2, 7, 1)
        assert own._status is World.Status
        assert library.rc.thread_level == "funneled"
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(LeNet5Error) as error:
        ranks.join(7)
    assert (
        str(error.value)
        == "started by mpiexec, but mpi4py cannot be imported: import of mpi4py halted; None in sys.modules;"
        " pip install 'lenet5-cli[mpi]'"
    )


CORES = frozenset(range(8))


def leader_of(*others: tuple[str, frozenset[int]]) -> tuple[Ranks, dict[Any, Any]]:
    """Return the leader of ranks on these hosts and cores, which say nothing, and what they have in common."""
    common: dict[Any, Any] = {"barrier": Barrier(1)}
    common |= {("gathered", rank): place for rank, place in enumerate(others, 1)}
    return Ranks(World(0, 1 + len(others), common), World.Status, 0.1), common


@pytest.mark.parametrize(
    ("others", "cores"),
    [
        ([("here", CORES)], 4),
        ([("here", CORES), ("there", CORES)], 4),
        ([("here", frozenset({8, 9}))], 8),  # bound to others
        ([("here", frozenset({7, 8}))], 4),
        ([("here", CORES)] * 11, 1),
    ],
)
def test_cores_are_shared_with_ranks_of_the_same_host_that_may_use_them(
    others: list[tuple[str, frozenset[int]]], cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranks, "_host", lambda: "here")
    monkeypatch.setattr(ranks, "own_cores", lambda: CORES)
    own, _ = leader_of(*others)
    assert own.cores == cores
    assert own.name(1) == f"rank 1 on {others[0][0]}"
    assert ALONE.cores == 0


def test_ranks_that_do_not_answer_at_the_end_are_taken_down_by_the_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    def silence(into: int, stream: int) -> None:
        silenced.append((os.fstat(into).st_rdev == Path(os.devnull).stat().st_rdev, stream))
        os.close(into)

    silenced: list[tuple[bool, int]] = []
    monkeypatch.setattr(ranks, "GRACE", 0.01)
    own, common = leader_of(("there", CORES))
    monkeypatch.setattr(ranks.os, "dup2", silence)
    left: list[bytes] = []
    own._guard = SimpleNamespace(communicate=left.append)
    own.abort(3)
    assert common["aborted"] == (0, 3)
    assert left == [b"\n"]
    assert silenced == [(True, 2)]  # what the library would say of itself
    ALONE.abort(3)  # nobody is there
    assert len(silenced) == 1


def test_cores_are_those_that_the_system_grants_or_else_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", {0: {2, 5}}.__getitem__)
    assert ranks.own_cores() == {2, 5}
    monkeypatch.delattr(os, "sched_getaffinity")
    for count, cores in ((3, {0, 1, 2}), (None, {0})):
        monkeypatch.setattr(os, "cpu_count", lambda count=count: count)
        assert ranks.own_cores() == cores


def test_an_error_that_nobody_foresaw_has_the_innermost_place_if_it_has_one() -> None:
    def fail() -> None:
        raise ValueError("x")

    with pytest.raises(ValueError, match="x") as error:
        fail()
    assert ranks._described(error.value) == f"ValueError: x (test_ranks.py:{fail.__code__.co_firstlineno + 1})"
    assert ranks._described(ValueError("x")) == "ValueError: x"


def test_a_rank_that_answers_is_awaited_no_longer_only_where_a_message_of_it_is_missing() -> None:
    def work(own: Ranks) -> str | None:
        if not own.leader:
            return own.end()
        own.demand_answers()
        with pytest.raises(LeNet5Error) as error:
            own.demand_answers(1)
        own.abort(1)
        return str(error.value)

    missed = "no answer for 0.2 seconds; --timeout sets the limit"
    said, other = together(2, work, timeout=0.2)
    assert (said.partition(": ")[2], other) == (missed, None)


def test_a_rank_that_does_not_answer_is_missed_though_no_message_of_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "GRACE", 0.01)
    own, common = leader_of(("there", CORES))
    with pytest.raises(LeNet5Error, match=r"^rank 1 on there: no answer for 0\.1 seconds; "):
        own.demand_answers()
    World(1, 2, common, "world.1").Isend(np.zeros(2), 0, ranks._ARRAY)  # no report
    assert own.reports() == []
