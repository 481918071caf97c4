"""Runs in processes of their own: several seeds side by side, also on MPI ranks, and the trials of a search."""

import multiprocessing
import os
import queue
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from time import sleep
from typing import Any, NamedTuple

from lenet5_cli.config import Config
from lenet5_cli.data import glyphs
from lenet5_cli.data.sources import Split
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.files import replacing
from lenet5_cli.processes import ctrl_c_held_back, leave_ctrl_c_alone, start_tracker
from lenet5_cli.storage.checkpoint import Checkpoint, Epoch
from lenet5_cli.training.inputs import load
from lenet5_cli.training.loop import evaluate
from lenet5_cli.training.metrics import Tally
from lenet5_cli.training.ranks import ALONE, Ranks
from lenet5_cli.training.runs import Run, to_rehearse

POLL = 0.2  # seconds between checks of whether the runs are to stop
END = getattr(signal, "SIGUSR1", signal.SIGTERM)  # sent by the first process alone to end a run; see _train_run

Event = tuple[int, Epoch | Tally]
"""The place of a run among several, and an epoch that it has saved, or at its end what it does on the test split."""

Runs = dict[int, tuple[Config, str]]
"""The settings and the output file of each run, by its place among all."""


class Shared(NamedTuple):
    """What the runs of one command have in common.

    Attributes:
        threads: the cores of a rank, for all of its runs; in the process of a run, those of this run.
        sha256: of the training images when the command began; a run that finds others fails. Not checked if empty.
        start: the checkpoint that all runs start from, or None.
        sheet: the glyph sheet, whose file may have changed; None for the one that the settings name.
    """

    threads: int = 1
    sha256: str = ""
    start: Checkpoint | None = None
    sheet: glyphs.Sheet | None = None


def side_by_side(
    configs: list[Config],
    outputs: list[str],
    shared: Shared,
    stopped: Callable[[], bool],
    ranks: Ranks = ALONE,
) -> Generator[Event, None, None]:
    """Train several runs, as many at a time as there are threads, and save each in its own file.

    Yields, with the place of the run, each epoch when it is saved, then the result on the test split. The checkpoints
    have the same bytes as those of the same runs one after the other. The generator returns early once ``stopped``
    returns true. A caller that stops iterating must close it, which ends the processes. They are started by
    ``multiprocessing``: a script that calls this needs ``if __name__ == "__main__"``.

    The runs are dealt to the ranks in turn. The leader saves all runs and yields their events; the others yield
    nothing.

    Raises:
        LeNet5Error: a run failed; the others are ended.
    """
    own = {place: (configs[place], outputs[place]) for place in range(ranks.rank, len(configs), ranks.size)}
    if not ranks.leader:
        _train_and_report(own, shared, ranks)
        return
    at_work, closed = set(range(1, ranks.size)), False
    with closing(_train_here(own, shared, stopped)) as events:
        for event in events:
            if event:
                yield event
            yield from _reported(ranks, outputs, at_work)
    while at_work:
        yield from _reported(ranks, outputs, at_work)
        if stopped() and not closed:
            ranks.close()
            closed = True
        sleep(POLL)
    if not closed:
        ranks.close()


def _reported(ranks: Ranks, outputs: list[str], at_work: set[int]) -> Iterator[Event]:
    """Save and yield what other ranks have reported, and remove ranks whose runs have ended from ``at_work``."""
    for rank, report in ranks.reports():
        if report is None:
            at_work.discard(rank)
            continue
        place, event, content = report
        if content is not None:
            with replacing(outputs[place]) as file:
                file.write(content)
        yield place, event


def _train_and_report(own: Runs, shared: Shared, ranks: Ranks) -> None:
    """Train the runs of a rank that does not lead; report each event to the leader, an epoch with its checkpoint."""
    with TemporaryDirectory() as folder:
        own = {place: (config, str(Path(folder) / f"{place}.pkl")) for place, (config, _) in own.items()}
        with closing(_train_here(own, shared, ranks.stopped)) as events:
            for place, event in filter(None, events):
                content = Path(own[place][1]).read_bytes() if isinstance(event, Epoch) else None
                ranks.report((place, event, content))
    ranks.report(None)
    while not ranks.stopped():  # however long the runs of others take
        sleep(POLL)
    ranks.close()


def _train_here(own: Runs, shared: Shared, stopped: Callable[[], bool]) -> Generator[Event | None, None, None]:
    """Train runs in processes on this machine, and yield what they send; None now and then while they send nothing.

    Closing the generator ends the processes.
    """
    spawn = multiprocessing.get_context("spawn")
    with _resource_errors("cannot use shared memory"):
        start_tracker()
        events, inputs = spawn.Queue(), spawn.Queue()  # a checkpoint is too large for the arguments of a new process
    inputs.cancel_join_thread()  # a process that ends early does not take its own
    width = max(1, min(len(own), shared.threads))
    shared = shared._replace(threads=shared.threads // width)
    waiting = [
        (place, spawn.Process(target=_train_run, args=(place, *run, inputs, events))) for place, run in own.items()
    ]
    running: dict[int, Any] = {}
    try:
        while (waiting or running) and not stopped():
            while waiting and len(running) < width and not stopped():
                place, process = waiting.pop(0)
                running[place] = process
                inputs.put(shared)
                with _resource_errors("cannot start a process"), ctrl_c_held_back():
                    process.start()
            dead = [place for place, process in running.items() if process.exitcode is not None]
            try:
                place, event = events.get(timeout=POLL)
            except queue.Empty:
                if dead:  # and everything that it sent has been received
                    code = running[dead[0]].exitcode
                    raise LeNet5Error(f"run {dead[0] + 1}: its process ended with exit code {code}") from None
                yield None
                continue
            if isinstance(event, str):
                raise LeNet5Error(event)
            yield place, event
            if isinstance(event, Tally):
                running.pop(place).join()
    finally:
        for process in running.values():
            if process.pid:  # None if it could not be started
                _end(process)
                process.join()


def _end(process: Any) -> None:
    if process.exitcode is None:
        os.kill(process.pid, END)


@contextmanager
def _resource_errors(what: str) -> Iterator[None]:
    """Turn an error of the system, for want of a resource, into one that says how to do without it."""
    try:
        yield
    except OSError as error:
        hint = "train one seed at a time with --runs 1 --threads 1"
        raise LeNet5Error(f"--runs: {what}: {error.strerror}; {hint}") from None


def _train_run(place: int, config: Config, output: str, inputs: Any, events: Any) -> None:
    """Train one of several runs in a process of its own, and send what ``side_by_side`` yields.

    ``inputs`` is the queue from which it takes what the runs share. The first process decides when this one ends, also
    where Slurm or systemd sends SIGTERM to all: a run that ended before would be taken for one that failed.
    """
    leave_ctrl_c_alone()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with suppress(KeyboardInterrupt):  # at any moment, also while it sends why it failed: two runs may fail at once
        signal.signal(END, signal.default_int_handler)  # an exception, so that no half-written file stays
        first = multiprocessing.parent_process()
        try:
            threads, sha256, start, sheet = inputs.get()
            names = sheet.names if sheet else None
            train, test = _load_unchanged(config, names, sha256, "runs"), load(config, "test", names)
            rehearsed = to_rehearse(config, start) if start else None
            run = Run(config, train, start, rehearsed, sheet)
            for epoch in run.train(output=output, threads=threads):
                if first and not first.is_alive():
                    return
                events.put((place, epoch))
            events.put((place, evaluate(run.kept(), test, threads=threads)))
        except LeNet5Error as error:
            events.put((place, f"seed {config.seed}: {error}"))
        finally:
            signal.signal(END, signal.SIG_DFL)  # nothing is written any more: end at once, without a traceback


def train_trial(settings: dict[str, Any], events: Connection, sha256: str = "") -> None:
    """Train one trial of a search in a process of its own, and send each epoch. Nothing is saved.

    The last thing sent is None, or why the trial cannot go on: a text where the settings are to blame, the error itself
    where the data cannot be loaded or its SHA-256 is not the one given.
    """
    leave_ctrl_c_alone()
    try:
        config = Config(**settings)
        try:
            split = _load_unchanged(config, None, sha256, "search")
        except LeNet5Error as error:
            events.send(error)
            return
        for epoch in Run(config, split).train():
            events.send(epoch)
        events.send(None)
    except LeNet5Error as error:
        events.send(str(error))
    except BrokenPipeError:  # the first process is gone
        pass


def _load_unchanged(config: Config, names: Sequence[str] | None, sha256: str, what: str) -> Split:
    """Load the training split as it was when the runs or the search began: ``what`` is for the message.

    Raises:
        LeNet5Error: it cannot be loaded, or its SHA-256 is not the one given.
    """
    split = load(config, "train", names)
    if sha256 and split.sha256 != sha256:
        there = f"{split.source}: its images have changed since the {what} began"
        raise LeNet5Error(f"{there}; put the old ones back, or start over")
    return split
