"""Runs side by side and apart: what they send, what they leave, how they end."""

import errno
import json
import multiprocessing
import os
import queue
import re
import signal
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import pytest

from lenet5_cli import LeNet5, LeNet5Error
from lenet5_cli.config import Config
from lenet5_cli.data import glyphs, sources
from lenet5_cli.storage import checkpoint
from lenet5_cli.training import runs, several
from lenet5_cli.training.loop import evaluate
from lenet5_cli.training.metrics import Tally
from tests.conftest import history, left_behind, run, train, without_seconds


def test_a_trial_apart_sends_its_epochs_then_nothing_more(bars_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handlers: dict[int, object] = {}
    monkeypatch.setattr(signal, "signal", handlers.__setitem__)
    sent: list[Any] = []
    settings = {"data": str(bars_folder), "epochs": 2, "samples_per_epoch": 20, "seed": 3}
    several.train_trial(settings, SimpleNamespace(send=sent.append))  # type: ignore[arg-type]
    assert handlers == {signal.SIGINT: signal.SIG_IGN}  # the first process decides
    assert [epoch.epoch for epoch in sent[:2]] == [1, 2]
    assert sent[2:] == [None]


def test_a_trial_apart_tells_data_that_is_not_there_from_settings_that_do_not_fit(
    bars_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    sent: list[Any] = []
    for settings in ({"data": str(bars_folder), "validation": 300}, {"data": "none/here"}):
        several.train_trial(settings, SimpleNamespace(send=sent.append))  # type: ignore[arg-type]
    assert sent[0] == "validation: 300 of 300 images; none would be left to train on"
    assert isinstance(sent[1], LeNet5Error)
    assert str(sent[1]) == "none/here: no such folder or file; if it has moved, give its new path"
    assert len(sent) == 2


def test_a_trial_apart_does_not_train_on_other_images_than_the_search_began_with(
    bars_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures that were added meanwhile: its accuracy was compared with that of trials without them."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    sent: list[Any] = []
    several.train_trial({"data": str(bars_folder)}, SimpleNamespace(send=sent.append), "0" * 64)  # type: ignore[arg-type]
    there = f"{bars_folder}: its images have changed since the search began"
    assert [str(each) for each in sent] == [f"{there}; put the old ones back, or start over"]
    assert isinstance(sent[0], LeNet5Error)


@pytest.fixture
def apart(bars_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what does the work of one process of several here, and gives back what it sends."""
    handlers: dict[int, list[object]] = {signal.SIGINT: [], signal.SIGTERM: [], several.END: []}
    monkeypatch.setattr(signal, "signal", lambda number, handler: handlers[number].append(handler))

    def work(sha256: str = "", **settings: Any) -> list[Any]:
        events: queue.Queue[Any] = queue.Queue()
        config = Config(data=str(bars_folder), epochs=2, samples_per_epoch=50, seed=3, **settings)
        inputs: queue.Queue[Any] = queue.Queue()
        inputs.put(several.Shared(sha256=sha256))
        several._train_run(4, config, "model.pkl", inputs, events)
        # The first process decides on Ctrl-C and on SIGTERM, which Slurm sends to all; an end by it becomes an
        # exception, so that nothing half-written stays. Once all is written, it is the system's again, and shows no
        # traceback.
        assert handlers == {
            signal.SIGINT: [signal.SIG_IGN],
            signal.SIGTERM: [signal.SIG_IGN],
            several.END: [signal.default_int_handler, signal.SIG_DFL],
        }
        return list(events.queue)

    return work


def test_a_run_apart_sends_its_epochs_then_its_test(apart: Any, bars_folder: Path) -> None:
    *epochs, (place, tally) = apart()
    assert epochs == [(4, epoch) for epoch in checkpoint.read("model.pkl").history]
    expected = evaluate(LeNet5.load("model.pkl"), sources.load(str(bars_folder), "test"))
    assert (place, tally.images, tally.right, tally.loss) == (4, 50, expected.right, expected.loss)


def test_a_run_apart_sends_why_it_failed(apart: Any) -> None:
    assert apart(lr=1e39) == [
        (4, "seed 3: epoch 1: the loss is no longer finite at learning rate 1e+39; try a smaller lr")
    ]


class EndedMeanwhileError(LeNet5Error):
    """An error during whose message the process is ended, as another run has failed just before."""

    def __str__(self) -> str:
        raise KeyboardInterrupt


@pytest.mark.parametrize("error", [KeyboardInterrupt(), EndedMeanwhileError("")])
def test_a_run_apart_that_is_ended_says_nothing(
    error: BaseException, apart: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is also ended while it sends why it failed: that left a traceback."""

    def ended(*_: object) -> None:
        raise error

    monkeypatch.setattr(checkpoint, "write", ended)
    assert apart() == []


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what runs side by side without processes: each sends an epoch and a tally as soon as it starts."""
    seen = SimpleNamespace(started=[], blocked=[], joined=[], terminated=[], exitcode=None, tracked=[])
    seen.sends = (*history(1), Tally())
    seen.lacking = ""

    def new_queue() -> Any:
        assert seen.tracked  # by a tracker that was started for it
        if seen.lacking == "cannot use shared memory":
            raise OSError(errno.EROFS, "Read-only file system")
        made: Any = queue.Queue()
        made.cancel_join_thread = lambda: None
        return made

    class Process:
        pid = None

        def __init__(self, target: object, args: tuple[Any, ...]) -> None:
            assert target is several._train_run
            self.place, self.config, self.output, self.inputs, self.events = args
            self.exitcode = seen.exitcode

        def start(self) -> None:
            if seen.lacking == "cannot start a process" and seen.started:
                raise OSError(errno.EMFILE, "Too many open files")
            self.pid = 1
            seen.started.append((self.place, self.config.seed, self.output, self.inputs.get().threads))
            seen.blocked.append(signal.pthread_sigmask(signal.SIG_BLOCK, []))
            for event in seen.sends:
                self.events.put((self.place, event))

        def join(self) -> None:
            seen.joined.append(self.place)

    contexts = {"spawn": SimpleNamespace(Queue=new_queue, Process=Process)}
    monkeypatch.setattr(several.multiprocessing, "get_context", contexts.__getitem__)
    monkeypatch.setattr(several, "start_tracker", lambda: seen.tracked.append(True))
    monkeypatch.setattr(several, "_end", lambda process: seen.terminated.append(process.place))
    monkeypatch.setattr(several, "POLL", 0.001)
    configs = [Config(seed=seed) for seed in (5, 6, 7)]

    def run(threads: int, stops: int = 1000) -> Any:
        left = iter([False] * stops)
        return several.side_by_side(configs, ["a", "b", "c"], several.Shared(threads), lambda: next(left, True))

    return seen, run


@pytest.mark.parametrize(("threads", "each"), [(1, 1), (2, 1), (3, 1), (7, 2)])
def test_runs_take_as_many_threads_as_there_are_and_each_reports_and_ends(beside: Any, threads: int, each: int) -> None:
    seen, run = beside
    found = run(threads)
    first = next(found)
    assert first == (0, *history(1))
    assert len(seen.started) == min(threads, 3)
    rest = list(found)
    assert [place for place, event in rest if isinstance(event, Tally)] == [0, 1, 2]
    assert [(place, event) for place, event in rest if not isinstance(event, Tally)] == [
        (place, *history(1)) for place in (1, 2)
    ]
    assert seen.started == [(0, 5, "a", each), (1, 6, "b", each), (2, 7, "c", each)]
    assert (seen.joined, seen.terminated) == ([0, 1, 2], [])
    assert seen.blocked == [{signal.SIGINT}] * 3  # in the processes, from their first instruction on
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


def test_runs_that_are_stopped_are_ended_and_no_more_are_started(beside: Any) -> None:
    seen, run = beside
    assert [place for place, _ in run(2, stops=3)] == [0]
    assert [place for place, *_ in seen.started] == [0, 1]
    assert (seen.joined, seen.terminated) == ([0, 1], [0, 1])


def test_a_run_whose_process_dies_without_a_word_is_named_and_the_others_ended(beside: Any) -> None:
    seen, run = beside
    seen.exitcode, seen.sends = -9, ()
    with pytest.raises(LeNet5Error, match=r"^run 1: its process ended with exit code -9$"):
        list(run(2))
    assert (seen.joined, seen.terminated) == ([0, 1], [0, 1])
    seen.exitcode = 0  # without a result
    with pytest.raises(LeNet5Error, match=r"^run 1: its process ended with exit code 0$"):
        list(run(2))


@pytest.mark.parametrize(
    ("what", "reason", "ended"),
    [("cannot use shared memory", "Read-only file system", []), ("cannot start a process", "Too many open files", [0])],
)
def test_what_the_system_does_not_grant_to_runs_is_named(beside: Any, what: str, reason: str, ended: list[int]) -> None:
    seen, run = beside
    seen.lacking = what
    said = rf"^--runs: {what}: {reason}; train one seed at a time with --runs 1 --threads 1$"
    with pytest.raises(LeNet5Error, match=said):
        list(run(2))
    assert (seen.joined, seen.terminated) == (ended, ended)


def test_what_a_run_says_of_its_failure_is_raised_and_the_others_ended(beside: Any) -> None:
    seen, run = beside
    seen.sends = ("seed 5: lr is too large",)
    with pytest.raises(LeNet5Error, match=r"^seed 5: lr is too large$"):
        list(run(2))
    assert (seen.joined, seen.terminated) == ([0, 1], [0, 1])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no such device")
def test_several_runs_whose_log_is_full_end_at_once(bars_folder: Path) -> None:
    """It was told, and then all went on to their end."""
    result = train(
        bars_folder, "--runs", 2, "--threads", 2, "--epochs", 999, "--log", "/dev/full", "--overwrite", code=1
    )
    assert result.stderr.endswith("Error: /dev/full: cannot be written: No space left on device\n")
    assert multiprocessing.active_children() == []


def test_several_runs_log_which_is_which_and_show_all_of_it_on_a_narrow_terminal(
    bars_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    shown = train(bars_folder, "--runs", 2, "--threads", 2, "--log", "run.jsonl").stdout
    assert "\n┃ seed     ┃ epochs ┃ g       ┃ test   ┃\n" in shown  # training, in two lines
    lines = [json.loads(line) for line in Path("run.jsonl").read_text(encoding="utf-8").splitlines()]
    assert sorted((line["run"], line["seed"], line["epoch"]) for line in lines) == [
        (1, 3, 1), (1, 3, 2), (2, 4, 1), (2, 4, 2),
    ]  # fmt: skip


def test_several_runs_say_which_ended_early_and_why(bars_folder: Path) -> None:
    """Only a single run did."""
    common = ["--runs", 2, "--threads", 2, "--lr", 0, "--epochs", 3, "--validation", 20]
    result = train(bars_folder, *common, "--patience", 1)
    said = sorted(line for line in result.stderr.splitlines() if line.startswith("seed: ") and "  " in line)
    assert said == [
        f"seed: {seed}  Validation accuracy has not improved in the last epoch; the best is kept." for seed in (3, 4)
    ]
    result = train(bars_folder, *common, "--max-time", "0s", "--overwrite")
    said = sorted(line for line in result.stderr.splitlines() if line.startswith("seed: ") and "  " in line)
    assert said == [f"seed: {seed}  Another epoch would end later than 0s after the start." for seed in (3, 4)]


def test_a_run_of_several_that_fails_is_named_and_ends_the_others(bars_folder: Path) -> None:
    result = train(bars_folder, "--runs", 2, "--lr", 1e39, code=1)
    assert re.search(
        r"Error: seed [34]: epoch 1: the loss is no longer finite at learning rate 1e\+39; try a smaller lr\n$",
        result.stderr,
    )
    assert left_behind() == ["bars"]


@pytest.mark.parametrize(
    ("saved", "said"),
    [
        (0, "Stopped before any run finished an epoch; nothing was saved.\n"),
        (
            2,
            "Stopped; finished epochs are in 'my model-1.pkl', 'my model-2.pkl'.\n"
            "lenet5 train --resume --output 'my model-1.pkl' continues that run.\n",
        ),
    ],
)
def test_several_runs_that_are_stopped_say_what_they_leave(
    saved: int, said: str, bars_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> Any:
        yield from ((place, history(1)[0]) for place in range(saved))
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(several, "side_by_side", stopped)
    assert train(bars_folder, "--runs", 2, "-o", "my model.pkl", code=130).stderr.endswith(said)


def test_a_run_of_several_does_not_train_on_other_images_than_the_first(apart: Any, bars_folder: Path) -> None:
    """Where pictures were added meanwhile, accuracies on different images stood in one table."""
    there = f"seed 3: {bars_folder}: its images have changed since the runs began"
    assert apart(sha256="0" * 64) == [(4, f"{there}; put the old ones back, or start over")]
    assert not Path("model.pkl").exists()


def test_the_runs_of_a_command_are_told_the_images_that_it_began_with(
    bars_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begun(_: object, __: object, shared: several.Shared, *___: object) -> Any:
        assert shared.sha256 == sources.load(str(bars_folder), "train").sha256
        raise LeNet5Error("seed 3: it has begun")
        yield

    monkeypatch.setattr(several, "side_by_side", begun)
    assert train(bars_folder, "--runs", 2, code=1).stderr.splitlines()[-1] == "Error: seed 3: it has begun"


def test_several_runs_write_over_nothing(bars_folder: Path) -> None:
    Path("model-2.pkl").write_bytes(b"mine")
    result = train(bars_folder, "--runs", 2, code=2)
    assert result.stderr.endswith("Error: model-2.pkl exists; --overwrite replaces it\n")
    assert Path("model-2.pkl").read_bytes() == b"mine"


@pytest.mark.parametrize("keep", ["best", "last"])
def test_several_runs_keep_the_best_on_the_images_held_out(keep: str, bars_folder: Path) -> None:
    result = train(bars_folder, "--runs", 3, "--validation", 60, "--keep", keep)
    assert left_behind() == ["bars", "model.pkl"]
    assert "3 runs; the best on the validation images is kept" in result.stdout.splitlines()
    saved = checkpoint.read("model.pkl")
    for seed in (3, 4, 5):
        train(bars_folder, "--validation", 60, "--keep", keep, "--seed", seed, "-o", f"{seed}.pkl")
    curves = {seed: checkpoint.read(f"{seed}.pkl").history for seed in (3, 4, 5)}
    reached = {
        seed: max(epoch.validation_accuracy for epoch in (curve if keep == "best" else curve[-1:]))
        for seed, curve in curves.items()
    }
    assert saved.config["seed"] == max(reached, key=lambda seed: reached[seed])
    assert without_seconds("model.pkl") == without_seconds(f"{saved.config['seed']}.pkl")
    assert run("train", "--runs", 2, "--resume", "--output", "3.pkl", code=2)


def test_several_runs_leave_a_link_also_to_another_disk(bars_folder: Path) -> None:
    """After all had been trained, there was an error."""
    other = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
    with TemporaryDirectory(dir=other) as elsewhere:
        real = Path(elsewhere, "real.pkl")
        Path("link.pkl").symlink_to(real)
        train(bars_folder, "--runs", 2, "-o", "link.pkl")
        assert Path("link.pkl").is_symlink()
        assert checkpoint.read(real).epoch == 2
    assert left_behind() == ["bars", "link.pkl"]


@pytest.mark.skipif(os.name != "posix", reason="there are no such modes")
def test_several_runs_leave_who_may_read_the_file_as_it_was(bars_folder: Path) -> None:
    Path("model.pkl").touch(mode=0o600)
    train(bars_folder, "--runs", 2, "--overwrite")
    assert Path("model.pkl").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("alive", [True, False])
def test_a_run_apart_goes_on_while_the_first_process_is_there(
    alive: bool, apart: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(several.multiprocessing, "parent_process", lambda: SimpleNamespace(is_alive=lambda: alive))
    assert len(apart()) == (3 if alive else 0)


@pytest.mark.parametrize("rehearse", [0.0, 0.5])
def test_a_run_apart_from_a_model_is_the_one_that_trains_here(rehearse: float, bars_folder: Path) -> None:
    """By the classes in the model, though the file of its sheet has others by now."""
    sheet = glyphs.read()._replace(names=tuple("KLMNOPQRST"))
    glyphs.write("own.txt", sheet)
    (bars_folder / "names.txt").write_text("\n".join(sheet.names))
    short: dict[str, Any] = {"data": str(bars_folder), "epochs": 1, "samples_per_epoch": 50, "seed": 3}
    first = runs.train(Config(glyphs="own.txt", **short), output="start.pkl")
    glyphs.write("own.txt", sheet._replace(codes=sheet.codes[::-1], names=sheet.names[::-1]))
    here = runs.begin(Config(rehearse=rehearse, **short), first.split, checkpoint.read("start.pkl"))
    assert len(list(here.train(output="here.pkl"))) == 1
    inputs, events = queue.Queue[Any](), queue.Queue[Any]()
    inputs.put(several.Shared(1, first.split.sha256, checkpoint.read("start.pkl"), here.network.sheet))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(signal, "signal", lambda *_: None)
        several._train_run(0, here.config, "apart.pkl", inputs, events)
    (_, epoch), (_, tally) = events.queue
    assert replace(epoch, seconds=0) == replace(here.history[0], seconds=0)
    assert without_seconds("apart.pkl") == without_seconds("here.pkl")
    test = sources.load(str(bars_folder), "test", sources.LoadOptions(names=sheet.names))
    expected = evaluate(here.kept(), test)
    assert (tally.right, tally.loss) == (expected.right, expected.loss)


@pytest.mark.parametrize("rank", [0, 1])
def test_the_runs_of_a_rank_are_ended_by_an_error_of_another(rank: int, beside: Any) -> None:
    """They had gone on for as long as the error was being shown, and the launcher killed all."""

    def broken(*_: object) -> None:
        raise LeNet5Error("rank 2 on there: it failed")

    seen, _ = beside
    own = SimpleNamespace(
        rank=rank, size=3, leader=rank == 0, reports=broken, report=broken, stopped=lambda: False, timeout=9
    )
    seen.sends = (Tally(),)
    with pytest.raises(LeNet5Error) as error:
        list(several.side_by_side([Config()] * 5, ["a"] * 5, several.Shared(2), lambda: False, own))
    assert str(error.value) == "rank 2 on there: it failed"
    assert error.traceback  # which holds what ran
    assert seen.terminated == [rank, rank + 3]


def test_a_run_of_another_rank_that_dies_is_named_by_its_place_among_all(beside: Any) -> None:
    seen, _ = beside
    seen.exitcode, seen.sends = -9, ()
    own = SimpleNamespace(rank=1, size=2, leader=False, stopped=lambda: False)
    with pytest.raises(LeNet5Error, match=r"^run 2: its process ended with exit code -9$"):
        list(several.side_by_side([Config()] * 4, ["a"] * 4, several.Shared(), lambda: False, own))


def test_a_leader_whose_runs_are_done_waits_for_the_others_and_lets_them_go_once(
    beside: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, _ = beside
    waits: list[Any] = [[], [], [], [], [(1, (1, Tally(), None))], [(1, None)]]
    closed = list[int]()
    monkeypatch.setattr(several, "sleep", lambda _: None)
    leader = SimpleNamespace(
        rank=0, size=2, leader=True, reports=lambda: waits.pop(0) if waits else [],
        close=lambda: closed.append(len(waits)),
    )  # fmt: skip
    configs = [Config(seed=seed) for seed in (5, 6)]
    found = list(several.side_by_side(configs, ["a", "b"], several.Shared(), lambda: False, leader))
    assert [place for place, _ in found] == [0, 0, 1]
    assert [each[:3] for each in seen.started] == [(0, 5, "a")]
    assert closed == [0]
    waits += [[], [], [(1, None)]]
    assert list(several.side_by_side(configs, ["a", "b"], several.Shared(), lambda: True, leader)) == []
    assert closed == [0, 2]


@pytest.mark.parametrize("stops", [False, True])
def test_the_leader_waits_for_the_runs_of_other_ranks_and_closes_once(
    stops: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    epoch, tally = history(1)[0], Tally()
    heard = {0.5: [(1, (1, epoch, b"a model"))], 1.5: [(2, None), (1, (1, tally, None))], 2.75: [(1, None)]}
    now, closed = [0.0], []

    def sleep(seconds: float) -> None:
        now[0] += seconds
        assert now[0] < 9

    monkeypatch.setattr(several, "POLL", 0.25)
    monkeypatch.setattr(several, "sleep", sleep)
    monkeypatch.setattr(several, "_train_here", lambda *_: (event for event in [None, (0, tally)]))
    own = SimpleNamespace(
        rank=0, size=3, leader=True, reports=lambda: heard.pop(now[0], []), close=lambda: closed.append(now[0])
    )
    outputs = ["own.pkl", "others.pkl", "third.pkl"]
    found = list(several.side_by_side([Config()] * 3, outputs, several.Shared(), lambda: stops and now[0] >= 1, own))
    assert found == [(0, tally), (1, epoch), (1, tally)]
    assert Path("others.pkl").read_bytes() == b"a model"
    assert closed == [1.0 if stops else 3.0]
