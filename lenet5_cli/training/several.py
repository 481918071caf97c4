"""Runs in processes of their own: several side by side, on the ranks of one command, and the trials of a search."""

import multiprocessing
import os
import queue
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from time import sleep
from typing import Any

from lenet5_cli.config import Config
from lenet5_cli.data import glyphs
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.files import replacing
from lenet5_cli.processes import ctrl_c_held_back, leave_ctrl_c_alone, start_tracker
from lenet5_cli.storage.checkpoint import Checkpoint, Epoch
from lenet5_cli.training.inputs import load
from lenet5_cli.training.loop import evaluate
from lenet5_cli.training.metrics import Tally
from lenet5_cli.training.ranks import ALONE, Ranks
from lenet5_cli.training.runs import Run, to_rehearse

POLL = 0.2  # seconds between looks at whether several runs shall stop
END = getattr(signal, "SIGUSR1", signal.SIGTERM)  # which the first process alone sends to that of a run; see _run_apart

Event = tuple[int, Epoch | Tally]
"""The place of a run among several, and an epoch that it has saved, or at its end what it does on the test split."""


def side_by_side(
    configs: list[Config],
    outputs: list[str],
    threads: int,
    stopped: Callable[[], bool],
    start: Checkpoint | None = None,
    ranks: Ranks = ALONE,
    sheet: glyphs.Sheet | None = None,
) -> Generator[Event, None, None]:
    """Train several runs, all from the checkpoint ``start`` if given, as many at a time as there are threads.

    The classes are those of ``sheet``; if not given, of the settings' glyph sheet.

    Each is saved in its own file. Yields, with the place of the run, each epoch when it is saved, then what the network
    does on the test split; the bytes are those of the same runs one after the other. It returns early once ``stopped``
    says so. Processes are started by ``multiprocessing``: a script that calls this needs
    ``if __name__ == "__main__"``.

    Runs are dealt to the ranks in turn. The leader yields what all do, and saves it; the others yield nothing. Who
    iterates no further closes it, which ends the processes.

    Raises:
        LeNet5Error: a run failed; the others are ended.
    """
    own = {place: (configs[place], outputs[place]) for place in range(ranks.rank, len(configs), ranks.size)}
    if not ranks.leader:
        _report(own, threads, start, ranks, sheet)
        return
    at_work, closed = set(range(1, ranks.size)), False
    with closing(_events(own, threads, stopped, start, sheet)) as events:
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
    """Yield what other ranks have reported of their runs, saved; whose runs have ended is no longer at work."""
    for rank, report in ranks.reports():
        if report is None:
            at_work.discard(rank)
            continue
        place, event, content = report
        if content is not None:
            with replacing(outputs[place]) as file:
                file.write(content)
        yield place, event


def _report(
    own: dict[int, tuple[Config, str]],
    threads: int,
    start: Checkpoint | None,
    ranks: Ranks,
    sheet: glyphs.Sheet | None,
) -> None:
    """Train the runs of another rank than the leader, and report each event to it, an epoch with its checkpoint."""
    with TemporaryDirectory() as folder:
        own = {place: (config, str(Path(folder) / f"{place}.pkl")) for place, (config, _) in own.items()}
        with closing(_events(own, threads, ranks.stopped, start, sheet)) as events:
            for place, event in filter(None, events):
                content = Path(own[place][1]).read_bytes() if isinstance(event, Epoch) else None
                ranks.report((place, event, content))
    ranks.report(None)
    while not ranks.stopped():  # however long the runs of others take
        sleep(POLL)
    ranks.close()


def _events(
    own: dict[int, tuple[Config, str]],
    threads: int,
    stopped: Callable[[], bool],
    start: Checkpoint | None,
    sheet: glyphs.Sheet | None,
) -> Generator[Event | None, None, None]:
    """Train runs in processes of this machine, and yield what they send; None now and then while they send nothing.

    ``own`` are the settings and the file of each, by its place among all. When it is closed, the processes are ended.
    """
    spawn = multiprocessing.get_context("spawn")
    with _granted("shared memory"):
        start_tracker()
        events, starts = spawn.Queue(), spawn.Queue()  # a checkpoint is too much to hand over while a process starts
    starts.cancel_join_thread()  # one that ends early takes none
    width = max(1, min(len(own), threads))
    waiting = [
        (place, spawn.Process(target=_run_apart, args=(place, *run, starts, threads // width, events, sheet)))
        for place, run in own.items()
    ]
    running: dict[int, Any] = {}
    try:
        while (waiting or running) and not stopped():
            while waiting and len(running) < width and not stopped():
                place, process = waiting.pop(0)
                running[place] = process
                starts.put(start)
                with _granted("another process"), ctrl_c_held_back():
                    process.start()
            dead = [place for place, process in running.items() if process.exitcode is not None]
            try:
                place, event = events.get(timeout=POLL)
            except queue.Empty:
                if dead:  # and has sent no more
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
            if process.pid:  # else it could not be started
                _end(process)
                process.join()


def _end(process: Any) -> None:
    if process.exitcode is None:
        os.kill(process.pid, END)


@contextmanager
def _granted(what: str) -> Iterator[None]:
    """Say what the system does not grant for runs side by side, and what needs none."""
    try:
        yield
    except OSError as error:
        hint = "--runs 1 --threads 1, once for each seed, needs none"
        raise LeNet5Error(f"--runs: {what}: {error.strerror}; {hint}") from None


def _run_apart(
    place: int,
    config: Config,
    output: str,
    starts: Any,
    threads: int,
    events: Any,
    sheet: glyphs.Sheet | None = None,
) -> None:
    """Train one of several runs in a process of its own, and send what ``side_by_side`` yields.

    It takes the checkpoint that it begins from, or None, from the queue ``starts``. The first process decides when it
    ends, also where Slurm or systemd sends SIGTERM to all: a run that ended before would be taken for one that failed.
    """
    leave_ctrl_c_alone()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(END, signal.default_int_handler)  # an exception: no half-written file stays
    first = multiprocessing.parent_process()
    try:
        start = starts.get()
        rehearsed = to_rehearse(config, start) if start else None
        train, test = (load(config, split, sheet.names if sheet else None) for split in ("train", "test"))
        run = Run(config, train, start, rehearsed, sheet)
        for epoch in run.train(output=output, threads=threads):
            if first and not first.is_alive():
                return
            events.put((place, epoch))
        events.put((place, evaluate(run.kept(), test, threads=threads)))
    except LeNet5Error as error:
        events.put((place, f"seed {config.seed}: {error}"))
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(END, signal.SIG_DFL)  # nothing is written any more: end at once, without a traceback


def train_apart(settings: dict[str, Any], events: Connection, sha256: str = "") -> None:
    """Train in a process of its own, and send each epoch; then None, or why it cannot go on. Nothing is saved.

    Why is a text where the settings are to blame, and the error itself where the data cannot be loaded, or has another
    SHA-256 than is given.
    """
    leave_ctrl_c_alone()
    try:
        config = Config(**settings)
        try:
            split = load(config, "train")
            if sha256 and split.sha256 != sha256:
                there = f"{split.source}: its images have changed since the search began"
                raise LeNet5Error(f"{there}; put the old ones back, or begin another search")
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
