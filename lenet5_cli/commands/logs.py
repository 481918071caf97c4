"""Training logs: for each epoch, a line of JSON or CSV in a file, or an event for TensorBoard."""

import csv
import io
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

from lenet5_cli.commands.options import UsageError
from lenet5_cli.errors import LeNet5Error, missing
from lenet5_cli.files import unwritable

BOARD = "tensorboard:"  # prefix of the folder of a log for TensorBoard
EVENTS = "events.out.tfevents.*"  # the names of TensorBoard's files

Note: TypeAlias = Callable[[dict[str, Any]], None]  # writes the record of an epoch to the log


def log_places(log: str | None) -> tuple[Path | None, Path | None]:
    """Return the folder for TensorBoard and the file of ``--log``, of which at most one is not None."""
    if log is None:
        return None, None
    name, board = log.removeprefix(BOARD), log.startswith(BOARD)
    if not name or (not board and Path(name).is_dir()):
        there = "a folder" if name else "an empty name"
        raise UsageError(f"--log {log!r}: {there}; expected a file, or {BOARD}FOLDER")
    if not board:
        return None, Path(name)
    try:
        import tensorboard  # noqa: F401 - it is optional
    except ImportError as error:
        raise missing("tensorboard", error, "tensorboard", instead="log to a file") from None
    folder = Path(name)
    if folder.exists() and not folder.is_dir():
        raise LeNet5Error(f"{folder}: a file; expected a folder for TensorBoard")
    return folder, None


def _events(folder: Path) -> Iterator[Path]:
    """Yield TensorBoard's files in a folder, of one run or several."""
    for pattern in (EVENTS, f"seed-*/{EVENTS}"):
        yield from folder.glob(pattern)


def refuse_events(overwrite: bool, folder: Path | None) -> None:
    """Stop with exit code 2 if a folder for TensorBoard holds a log that may not be replaced."""
    if folder and not overwrite and any(_events(folder)):
        raise UsageError(f"{folder} holds another log; --overwrite replaces it")


@contextmanager
def folder_held(folder: Path) -> Iterator[None]:
    """Make a folder for TensorBoard and lock it until the block ends.

    Missing parents are made too; those folders that are still empty at the end are removed.
    """
    from lenet5_cli.files import only_writer

    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from None
    try:
        with only_writer(folder / "events.out.tfevents"):
            yield
    finally:
        with suppress(OSError):  # it is not empty
            for each in made:
                each.rmdir()


@contextmanager
def to_tensorboard(folder: Path) -> Iterator[Note]:
    """Open a log for TensorBoard, and yield the function that writes a record: each run has a subfolder of its own."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    for earlier in list(_events(folder)):
        earlier.unlink()
    with ExitStack() as writers:
        writers.callback(setattr, threading, "excepthook", threading.excepthook)
        threading.excepthook = lambda _: None  # errors of TensorBoard's thread are raised in ``note`` too
        opened: dict[Path, Any] = {}

        def note(record: dict[str, Any]) -> None:
            place = folder / f"seed-{record['seed']}" if "run" in record else folder
            values = [
                Summary.Value(tag=name, simple_value=value)
                for name, value in record.items()
                if name not in ("epoch", "run", "seed")
            ]
            try:
                if place not in opened:
                    opened[place] = EventFileWriter(str(place))
                    writers.callback(opened[place].close)
                event = Event(wall_time=time.time(), step=record["epoch"], summary=Summary(value=values))
                opened[place].add_event(event)
                opened[place].flush()
            except OSError as error:
                raise unwritable(place, error) from None

        yield note


@contextmanager
def to_file(path: Path | None) -> Iterator[Note]:
    """Open a log file, and yield the function that writes a record to it; without a path, one that does nothing."""
    if path is None:
        yield lambda _: None
        return
    as_csv, columns = path.suffix.lower() == ".csv", list[str]()
    try:
        file = open(path, "wb", buffering=0, opener=_appending)  # noqa: SIM115 - closed below
    except OSError as error:
        raise unwritable(path, error) from None

    def note(record: dict[str, Any]) -> None:
        line = _csv(record, columns) if as_csv else json.dumps(record) + "\n"
        content = line.encode()
        try:
            while content:
                content = content[file.write(content) :]
        except OSError as error:
            raise unwritable(path, error) from None

    with file:
        yield note


def _appending(path: str, flags: int) -> int:
    """Open a file that is written at its end, wherever that is: logrotate may have emptied it (copytruncate)."""
    return os.open(path, flags | os.O_APPEND, 0o666)


def _csv(record: dict[str, Any], columns: list[str]) -> str:
    """Return a record as a line of CSV, the first one after a header line; all records have the same names."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if not columns:
        columns.extend(record)
        writer.writerow(columns)
    writer.writerow(record[name] for name in columns)
    return text.getvalue()
