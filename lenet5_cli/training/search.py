"""Hyperparameter search with Optuna (the extra ``tune``).

Optuna chooses the settings of each trial from a search space, decides which trials to prune, and keeps the study in a
journal that several machines can share. A trial trains in a process of its own, on one core; only this process uses
Optuna.
"""

import json
import multiprocessing
import os
import platform
import secrets
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from math import inf
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lenet5_cli.config import Config, shown
from lenet5_cli.data.sources import Split
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.files import only_writer, open_regular, unwritable
from lenet5_cli.processes import ctrl_c_held_back
from lenet5_cli.storage import checkpoint
from lenet5_cli.storage.checkpoint import Epoch
from lenet5_cli.training.inputs import load
from lenet5_cli.training.metrics import wilson
from lenet5_cli.training.runs import Run
from lenet5_cli.training.several import train_trial
from lenet5_cli.training.space import Space, contains, no_optuna, rounded

try:
    import optuna
    from optuna.distributions import BaseDistribution, distribution_to_json
    from optuna.exceptions import UpdateFinishedTrialError
    from optuna.pruners import MedianPruner
    from optuna.samplers import BaseSampler, TPESampler
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
    from optuna.study import Study, StudyDirection
    from optuna.trial import FrozenTrial, TrialState
except ImportError as error:
    raise no_optuna(error) from None

HELD_OUT = 6  # one of so many training images is held out unless the settings give a number: 10,000 of MNIST's
STARTUP = 5  # complete trials before any is pruned: the median of fewer says little
WARMUP = 2  # epochs in which no trial is pruned, as the learning rate may take as long to warm up
RETRIES = 2  # times that a trial whose process died begins again before the search ends
POLL = 0.2  # seconds between checks of whether to stop
BEAT = 10.0  # seconds between two heartbeats of a searching process in the journal
SILENCE = 60.0  # seconds without a heartbeat after which its trials are lost; clocks may differ by some seconds
WEIGHED = 8  # complete trials that importances need at least
BEST = 0.25  # the fraction of them that importances compare with all: of 20 trials the five that the method needs
READ = {"data": "images are", "glyphs": "glyphs are", "teacher": "teacher's parameters are"}  # compared by SHA-256
STUDY = "lenet5"  # its name in a journal
# What a damaged journal makes Optuna raise.
DAMAGE = (ValueError, LookupError, TypeError, AttributeError, AssertionError, RecursionError)


class Trial(NamedTuple):
    """A trial that has ended.

    Attributes:
        number: in the order in which trials began, from 1.
        settings: the settings that were searched, by name.
        curve: the validation accuracy after each epoch.
        seconds: the time that its epochs took.
        reason: why it ended before its last epoch; empty if it did not.
        lost: whether its process died, so that it begins again.
        keep: which epoch is kept, ``best`` or ``last``.
    """

    number: int
    settings: dict[str, Any]
    curve: tuple[float, ...]
    seconds: float
    reason: str
    lost: bool = False
    keep: str = "best"

    @property
    def accuracy(self) -> float:
        """The validation accuracy of the epoch that is kept."""
        return max(self.curve[-1:] if self.keep == "last" else self.curve, default=0.0)


class Search:
    """A study: trials that are compared by their accuracy on the validation images.

    The settings of a trial depend only on the seed, its place among the trials, and the trials that ended before it. So
    with one trial at a time, a search that is continued ends as one that was never stopped. The first trial has the
    settings that the search starts from. The test images are never loaded.

    Attributes:
        config: the settings that the search starts from, with the study's seed.
        space: the search space.
    """

    def __init__(self, config: Config, split: Split, space: Space, storage: Path | None = None) -> None:
        """Begin a study, or continue the one in the journal ``storage``.

        Raises:
            LeNet5Error: no image is held out; the settings, the space and the data do not fit; or the storage has
                another study or is not a journal.
        """
        if not config.validation:
            raise LeNet5Error(
                f"validation: no validation images of {split.source}; trials are compared on them; set validation"
            )
        run = Run(replace(config, seed=0), split)  # raises an error if no trial could train
        _demand_readable(space, config)
        self.space, self._where = space, storage
        self._sha256 = "" if "glyphs" in space else split.sha256  # labels depend on the glyph sheet
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = _study(storage)
        with only_writer(storage, wait=True) if storage else nullcontext():  # if several begin it at once, one is first
            seed = self._study.user_attrs.get("seed")
            own = secrets.randbelow(2**32) if config.seed is None else config.seed
            seed = own if seed is None or config.seed is not None else seed
            self.config = replace(config, data=split.source, seed=seed)
            try:
                self._agree(run)
            except (LookupError, TypeError, AttributeError):
                if storage is None:
                    raise
                raise _no_journal(storage) from None
        self._study.sampler = _Sampler(self.config.seed or 0)
        self._me = f"{platform.node()} {os.getpid()} {secrets.token_hex(4)}"  # this process, among all that search
        self._last_beat = -inf

    @staticmethod
    def held_out(split: Split) -> int:
        """Return the default number of validation images of a split."""
        return len(split.labels) // HELD_OUT

    @property
    def trials(self) -> list[Trial]:
        """The trials that ended, in the order in which they began; lost ones are not included."""
        return [_ended(each) for each in self._in(TrialState.COMPLETE, TrialState.PRUNED)]

    @property
    def ranked(self) -> list[Trial]:
        """The complete trials, best first; of equally accurate ones, the earlier first."""
        return sorted(map(_ended, self._in(TrialState.COMPLETE)), key=lambda trial: -trial.accuracy)

    def interval(self, trial: Trial) -> tuple[float, float]:
        """Return the 95 % confidence interval of a trial's accuracy."""
        return wilson(trial.accuracy * self.config.validation, self.config.validation)

    def with_settings(self, trial: Trial) -> Config:
        """Return all settings of a trial, including those that were not searched."""
        return replace(self.config, **trial.settings)

    def importances(self) -> dict[str, float]:
        """Return the importance of each setting for being among the best quarter of trials; they sum to 1.

        Empty if there are too few complete trials, or if all are equally accurate.

        Source: Watanabe et al. 2023 (PED-ANOVA).
        """
        complete = self._in(TrialState.COMPLETE)
        if len(complete) < WEIGHED or len({each.value for each in complete}) == 1:
            return {}
        # Imported late, as it imports scikit-learn if that is installed, which is slow.
        from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances  # noqa: PLC0415

        with warnings.catch_warnings(action="ignore"):  # raised if nearly all are equally accurate
            return get_param_importances(self._study, evaluator=PedAnovaImportanceEvaluator(target_quantile=BEST))

    def run(
        self,
        trials: int,
        *,
        cores: int = 1,
        seconds: float = inf,
        stopped: Callable[[], bool] = lambda: False,
        waiting: Callable[[int], None] = lambda _: None,
    ) -> Iterator[Trial]:
        """Run trials until the study has so many; yield each when it has ended.

        As many run in parallel as there are ``cores``. At the end, this waits for trials on other machines, and begins
        those that are lost again; ``waiting`` is called once, with the number of these trials. When the time is over or
        ``stopped`` returns true, running trials are killed, and begin again when the search is continued. Processes are
        started by ``multiprocessing``: a script that calls this needs ``if __name__ == "__main__"``.

        Raises:
            LeNet5Error: the process of a trial died repeatedly or cannot be started, or the data cannot be loaded any
                more.
        """
        deadline = time.monotonic() + seconds
        running: dict[Connection, _Running] = {}
        reported = False
        try:
            while not stopped() and time.monotonic() < deadline:
                self._beat()
                while len(running) < cores and self._missing(trials):
                    begun = self._begin()
                    running[begun.events] = begun
                pause = max(0.0, min(POLL, deadline - time.monotonic()))
                if not running:
                    if len(self.trials) >= trials:
                        return
                    if not reported:
                        waiting(trials - len(self.trials))
                        reported = True
                    time.sleep(pause)
                    continue
                for events in wait(list(running), pause):
                    each = running[events]  # type: ignore[index]
                    if ended := self._receive(each):
                        del running[each.events]
                        each.close()
                        yield ended
        finally:
            for each in running.values():
                each.close()
            for each in running.values():
                self._retry(each.trial, each.attempt)

    def _in(self, *states: TrialState) -> list[FrozenTrial]:
        """Return the trials in these states, in the order in which they began."""
        return self._study.get_trials(deepcopy=False, states=states)

    def _missing(self, trials: int) -> bool:
        """Tell whether fewer trials than these have ended or are running, on all machines."""
        return len(self._in(TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)) < trials

    def _agree(self, run: Run) -> None:
        """Check that the study in the storage is this one; describe a new study in its attributes."""
        settings = {name: value for name, value in asdict(self.config).items() if name != "data"}
        own: dict[str, Any] = {
            "seed": self.config.seed,
            "settings": {name: value for name, value in settings.items() if name not in self.space},
            "space": {name: json.loads(distribution_to_json(each)) for name, each in self.space.items()},
            "glyphs": run.network.sheet.sha256,
            "teacher": run.teacher_sha256,
            "data": run.split.sha256,
        }
        found = self._study.user_attrs
        if "data" in found:
            self._demand_same(found, own)
            return
        for name, value in own.items():
            self._study.set_user_attr(name, value)
        start = asdict(self.config)
        self._study.enqueue_trial(
            {name: start[name] for name, each in self.space.items() if contains(each, start[name])}
        )

    def _demand_same(self, found: dict[str, Any], own: dict[str, Any]) -> None:
        """Raise LeNet5Error if the description of the study in the storage differs from that of this one."""
        here = own["settings"] | own["space"]
        # The defaults are for settings that are newer than the journal.
        there = asdict(Config()) | found["settings"] | found["space"]
        differing = [
            f"{name} is {_in_words(there[name])} there, but {_in_words(here[name])} here"
            for name in here
            if there[name] != here[name]
        ]
        differing += [
            f"its {what} not those of {getattr(self.config, name)}"
            for name, what in READ.items()
            if name not in self.space and found.get(name, own[name]) != own[name]  # an older journal says less
        ]
        if differing:
            where = f"{self._where}: another study: {differing[0]}"
            raise LeNet5Error(f"{where}; name a new file, or use the same settings")

    def _begin(self) -> "_Running":
        """Ask Optuna for settings, and start a trial with them."""
        trial = self._study.ask(self.space)
        trial.set_user_attr("searcher", self._me)
        start = asdict(self.config)
        searched = {name: rounded(value, self.space[name], start[name]) for name, value in trial.params.items()}
        trial.set_user_attr("settings", searched)
        settings = {**start, **searched}
        trial.set_user_attr("keep", settings["keep"])
        spawn, attempt = multiprocessing.get_context("spawn"), trial.user_attrs.get("attempt", 1)
        try:
            events, sender = spawn.Pipe(duplex=False)
            process = spawn.Process(target=train_trial, args=(settings, sender, self._sha256), daemon=True)
            with ctrl_c_held_back():
                process.start()
        except OSError as error:
            self._retry(trial, attempt)
            there = f"trial {trial.number + 1}: cannot start its process: {error.strerror}"
            raise LeNet5Error(f"{there}; use fewer --threads") from None
        sender.close()  # so that reading ends when the process does
        return _Running(trial, process, events, attempt, settings["epochs"])

    def _receive(self, each: "_Running") -> Trial | None:
        """Receive the next event of a trial; return the trial if it has ended."""
        try:
            event = each.events.recv()
        except (EOFError, OSError):
            return self._lost(each)
        if isinstance(event, LeNet5Error):
            raise LeNet5Error(f"trial {each.trial.number + 1}: {event}")
        try:
            if isinstance(event, Epoch):
                each.seconds += event.seconds
                each.trial.report(event.validation_accuracy or 0.0, event.epoch)
                if event.epoch == each.epochs or not each.trial.should_prune():
                    return None
                return self._end(each, TrialState.PRUNED, "worse than the median")
            if isinstance(event, str):
                return self._end(each, TrialState.PRUNED, event)
            return self._end(each, TrialState.COMPLETE)
        except UpdateFinishedTrialError:  # this machine was suspended, and another one took the trial over
            return _ended(each.frozen)._replace(reason="another machine took it over", lost=True)

    def _end(self, each: "_Running", state: TrialState, reason: str = "") -> Trial:
        """Tell Optuna that a trial has ended, and why if it ended early."""
        each.trial.set_user_attr("seconds", each.seconds)
        each.trial.set_user_attr("reason", reason)
        value = _ended(each.frozen).accuracy if state == TrialState.COMPLETE else None
        self._study.tell(each.trial, value, state)
        return _ended(each.frozen)

    def _lost(self, each: "_Running") -> Trial:
        """Let a trial begin again whose process died, for example because the system killed it."""
        each.process.join()
        reason = f"its process ended with exit code {each.process.exitcode}"
        if each.attempt > RETRIES:
            raise LeNet5Error(
                f"trial {each.trial.number + 1}: {reason}, as {RETRIES} times before; fewer --threads need less memory"
            )
        self._retry(each.trial, each.attempt + 1)
        return _ended(each.frozen)._replace(reason=reason, lost=True)

    def _retry(self, trial: "optuna.Trial | FrozenTrial", attempt: int) -> None:
        """Mark a trial as failed, and enqueue its settings to be tried again."""
        try:
            self._study.tell(trial.number, state=TrialState.FAIL)
        except (UpdateFinishedTrialError, ValueError):  # another machine was faster
            return
        self._study.enqueue_trial(trial.params, user_attrs={"attempt": attempt})

    def _beat(self) -> None:
        """Write a heartbeat every ``BEAT`` seconds, and requeue the trials of processes that no longer do."""
        if time.monotonic() - self._last_beat < BEAT:
            return
        self._last_beat, now = time.monotonic(), time.time()
        self._study.set_user_attr(self._me, now)
        beats = self._study.user_attrs  # the latest of each searching process, by its name
        for trial in self._in(TrialState.RUNNING):
            begun = trial.datetime_start.timestamp() if trial.datetime_start else now
            searcher = str(trial.user_attrs.get("searcher"))
            if searcher != self._me and now - beats.get(searcher, begun) > SILENCE:
                self._retry(trial, trial.user_attrs.get("attempt", 1))


@dataclass
class _Running:
    """A running trial: its process, and the connection on which it sends events."""

    trial: "optuna.Trial"
    process: Any
    events: Connection
    attempt: int
    epochs: int
    seconds: float = 0.0

    @property
    def frozen(self) -> FrozenTrial:
        """The trial as it is in the study, with all that was reported."""
        return self.trial.study.get_trials(deepcopy=False)[self.trial.number]

    def close(self) -> None:
        """End the process if it has not ended."""
        self.process.kill()
        self.process.join()
        self.events.close()


class _Sampler(BaseSampler):
    """TPE, seeded for each trial with the study's seed and the trial's place, so that no state has to be saved."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._tpe = TPESampler()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        earlier = study.get_trials(deepcopy=False)[: trial.number]
        place = sum(each.state != TrialState.FAIL for each in earlier)  # failed ones begin again: they do not count
        numbers = np.random.default_rng([self._seed, place])
        self._tpe = TPESampler(seed=int(numbers.integers(2**32)))

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._tpe.infer_relative_search_space(study, trial)

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: Space) -> dict[str, Any]:
        return self._tpe.sample_relative(study, trial, search_space)

    def sample_independent(self, study: Study, trial: FrozenTrial, name: str, distribution: BaseDistribution) -> Any:
        return self._tpe.sample_independent(study, trial, name, distribution)


class _Journal(JournalFileBackend):
    """A journal whose write errors, as on a full disk, are messages with its name."""

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        try:
            super().append_logs(logs)
        except OSError as error:
            raise unwritable(self._file_path, error) from None


def _study(storage: Path | None) -> Study:
    """Return the study of a journal, or a new one."""
    pruner = MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=WARMUP + 1)  # the first epoch is step 1
    if storage is None:
        return optuna.create_study(pruner=pruner, direction="maximize")
    lock = JournalFileOpenLock(str(storage))
    if storage.exists():
        _repair(storage, lock)
    try:
        journal = JournalStorage(_Journal(str(storage), lock))
        names = [study.study_name for study in journal.get_all_studies()]
    except OSError as error:
        raise unwritable(storage, error) from None
    except DAMAGE:
        raise _no_journal(storage) from None
    if names and STUDY not in names:
        raise LeNet5Error(f"{storage}: has the study {shown(names[0])}, which is not lenet5's; name a new file")
    how: dict[str, Any] = {"pruner": pruner, "direction": "maximize", "load_if_exists": True}
    study = optuna.create_study(storage=journal, study_name=STUDY, **how)
    try:
        sound = study.directions == [StudyDirection.MAXIMIZE] and all(map(_is_sound, study.get_trials(deepcopy=False)))
    except DAMAGE:
        sound = False
    if not sound:
        raise _no_journal(storage)
    return study


def _is_sound(trial: FrozenTrial) -> bool:
    """Tell whether the attributes of a trial are those of a search of lenet5."""
    ended = _ended(trial)
    numbers = all(isinstance(number, int | float) for number in (*ended.curve, ended.seconds))
    return numbers and isinstance(ended.settings, dict) and isinstance(ended.reason, str)


def _repair(storage: Path, lock: JournalFileOpenLock) -> None:
    """Cut off an incomplete last line of a journal, as after a power failure: what is appended would be unreadable.

    Raises:
        LeNet5Error: it is no journal, or not a regular file.
    """
    open_regular(storage, "the journal of a search").close()
    lock.acquire()
    try:
        content = storage.read_bytes()
        if content and not content.startswith(b'{"op_code":'):
            raise _no_journal(storage)
        os.truncate(storage, content.rfind(b"\n") + 1)
    finally:
        lock.release()


def _no_journal(storage: Path) -> LeNet5Error:
    return LeNet5Error(f"{storage}: not the journal of a search, or damaged; name another file")


def _ended(trial: FrozenTrial) -> Trial:
    """Return one of Optuna's trials as one of ours."""
    attributes = trial.user_attrs
    curve = tuple(accuracy for _, accuracy in sorted(trial.intermediate_values.items()))
    settings = attributes.get("settings", trial.params)
    spent, reason, keep = attributes.get("seconds", 0.0), attributes.get("reason", ""), attributes.get("keep", "best")
    return Trial(trial.number + 1, settings, curve, spent, reason, keep=keep)


def _demand_readable(space: Space, config: Config) -> None:
    """Check that every glyph sheet in the space can be read and fits the data, and that every teacher can be read.

    Raises:
        LeNet5Error: one does not.
    """
    readers: dict[str, Callable[[str], object]] = {
        "glyphs": lambda sheet: load(replace(config, glyphs=sheet), "train"),
        "teacher": lambda paths: [checkpoint.read(path) for path in paths.split(",") if path],
    }
    for name in space.keys() & readers.keys():
        for choice in space[name].choices:  # type: ignore[attr-defined]
            try:
                readers[name](choice)
            except LeNet5Error as error:
                raise LeNet5Error(f"space: {name} {shown(choice)}: {error}") from None


def _in_words(part: Any) -> str:
    """Return the value or distribution of a setting in words, for a message."""
    if not isinstance(part, dict):
        return shown(part)
    values = part.get("attributes", {})
    if "choices" in values:
        return f"one of {', '.join(map(str, values['choices']))}"
    return f"from {values.get('low')} to {values.get('high')}{', log' if values.get('log') else ''}"
