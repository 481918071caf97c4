"""A training run, with its settings, network and history: begin, resume, train and save it."""

import multiprocessing
import platform
import queue
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from os import PathLike
from time import monotonic
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lenet5_cli import __version__
from lenet5_cli.config import Config, known
from lenet5_cli.data import cache, sources
from lenet5_cli.engine import optim
from lenet5_cli.engine.einsum import Array
from lenet5_cli.engine.network import LeNet5
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.storage import checkpoint
from lenet5_cli.storage.checkpoint import Checkpoint, Epoch
from lenet5_cli.training.loop import Track, evaluate, fit, untracked
from lenet5_cli.training.metrics import Tally

POLL = 0.2  # seconds between looks at whether several runs shall stop
FREE = ("epochs", "patience", "max_time")  # settings that say only when a run ends: a resumed one may change them


class Run:
    """A run of training on one split: ``train`` yields its epochs, ``network`` learns.

    Attributes:
        config: the settings.
        split: the images and labels: those to train on, and at their end those held out.
        network: the network after the latest epoch.
        history: the epochs trained so far.
        ended: why it ended before its last epoch, in a sentence; empty where it did not.
    """

    def __init__(self, config: Config, split: sources.Split) -> None:
        """Begin a run.

        Raises:
            LeNet5Error: the images held out would be all there are.
        """
        if config.validation >= len(split.labels):
            raise LeNet5Error(f"validation: {config.validation} of {len(split.labels)} images; none would be left")
        self.config = config
        self.split = split
        self.network = LeNet5(config)
        self.history: list[Epoch] = []
        self.ended = ""
        self._optimizer = optim.optimizer(config, self.network.parameters)
        self._best = self.network.pairs()  # the parameters that a checkpoint keeps
        self._distances: Array | None = None  # of the images held out, with these parameters
        held_out = len(split.labels) - config.validation
        self._training = split.part(slice(held_out))
        self._validation = split.part(slice(held_out, None)) if config.validation else None

    @classmethod
    def resume(cls, saved: Checkpoint, split: sources.Split, config: Config | None = None) -> Self:
        """Continue a run from its checkpoint, to the same bytes as a run that was never interrupted.

        Args:
            saved: the checkpoint.
            split: the images that the run was trained on, wherever they are now.
            config: what ``continued`` made of the run's settings; they themselves if not given.

        Raises:
            LeNet5Error: it is not the checkpoint of a run, it was trained on other images, or it is finished.
        """
        if saved.data.get("sha256") != split.sha256:
            raise LeNet5Error(f"{saved.where}was trained on other images than those of {split.source}")
        run = cls(config or continued(saved, {}), split)
        run._take_up(saved)
        return run

    def _take_up(self, saved: Checkpoint) -> None:
        validated = [epoch.epoch for epoch in saved.history if epoch.validation_accuracy is not None]
        if not saved.history or len(validated) != (saved.epoch if self.config.validation else 0):
            raise LeNet5Error(f"{saved.where}its history is not of such a run; a run of lenet5 can be resumed")
        self.history = list(saved.history)
        self.network.assign(saved.pairs, saved.where)
        self._best, self._distances = saved.pairs, saved.distances
        state = self._state()
        if _shapes(saved.state) != _shapes(state):
            optimizer = self.config.optimizer
            raise LeNet5Error(f"{saved.where}the state of its {optimizer} is not there; it cannot be resumed")
        for name, value in saved.state.items():
            state[name][...] = value

    def train(
        self, *, output: str | PathLike[str] | None = None, threads: int = 1, track: Track = untracked
    ) -> Iterator[Epoch]:
        """Train the epochs that are missing; yield each when it is done and, with ``output``, saved.

        Raises:
            LeNet5Error: the loss is no longer finite, or the checkpoint cannot be written.
        """
        deadline = monotonic() + self.config.seconds()
        for epoch in fit(
            self.network,
            self._optimizer,
            self._training,
            self.config,
            first=len(self.history) + 1,
            validation=self._validation,
            threads=threads,
            track=track,
        ):
            if _is_best(epoch, self.history):
                self._best, self._distances = self.network.pairs(), self._calibrated()
            self.history.append(epoch)
            if output is not None:
                checkpoint.write(output, self.checkpoint())
            yield epoch
            self.ended = self._why_to_end(monotonic() + epoch.seconds > deadline)
            if self.ended:
                return

    def _why_to_end(self, late: bool) -> str:
        patience = self.config.patience
        scores = [epoch.validation_accuracy or 0 for epoch in self.history]
        if patience and len(scores) > patience and max(scores[-patience:]) <= max(scores[:-patience]):
            return f"No epoch of the last {patience} validated better; the best is kept."
        if late and len(self.history) < self.config.epochs:
            return f"Another epoch would end later than {self.config.max_time} after the start."
        return ""

    def kept(self) -> LeNet5:
        """Return the network that a checkpoint keeps: the best on the images held out, or the latest without such."""
        return LeNet5.restore(self.checkpoint())

    def checkpoint(self) -> Checkpoint:
        """Return all that is needed to use the network and to resume the run."""
        # A cosine schedule depends on the number of epochs, so that --epochs cannot extend it.
        finished = self.config.schedule == "cosine" and len(self.history) == self.config.epochs
        return Checkpoint(
            self._best,
            self.network.codes,
            asdict(self.config),
            self.history,
            {"name": self.split.source, "images": len(self.split.labels), "sha256": self.split.sha256},
            {"lenet5": __version__, "python": platform.python_version(), "numpy": np.__version__},
            {} if finished else self._state(),
            self._distances,
        )

    def _calibrated(self) -> Array | None:
        """Return quantiles of the squared distances of the images held out to their nearest codes."""
        if self._validation is None:
            return None
        nearest = -self.network.scores(np.asarray(self._validation.images[:])).max(axis=1)
        quantiles: Array = np.quantile(nearest, np.linspace(0, 1, checkpoint.QUANTILES), method="inverted_cdf")
        return quantiles

    def _state(self) -> dict[str, Array]:
        """Return the arrays that the next step depends on, beside the parameters that are kept."""
        latest = {"parameters": self.network.parameters} if self.config.validation else {}
        return self._optimizer.state | latest


def load(
    config: Config,
    split: str,
    names: Sequence[str] | None = None,
    *,
    cores: int = 1,
    progress: cache.Progress | None = None,
) -> sources.Split:
    """Load a split of the data that the settings name, with the classes ``names``, by default the ten digits.

    Pictures are read by as many processes as there are ``cores``; a script that asks for several needs
    ``if __name__ == "__main__"``.

    Raises:
        LeNet5Error: there is no such data, or it is damaged.
    """
    names = sources.DIGITS if names is None else names
    how = sources.Reading(config.test_fraction, config.as_is, names, _read_picture, cores, progress)
    return sources.load(config.data, split, how)


def _read_picture(path: str, as_is: bool) -> NDArray[np.uint8]:
    from lenet5_cli.pictures.read import read_sample  # noqa: PLC0415 - needs OpenCV, which IDX files do not

    return read_sample(path, as_is=as_is)


def continued(saved: Checkpoint, changes: dict[str, object]) -> Config:
    """Return the settings of a resumed run: its own, except changes to those that only say when it ends.

    Raises:
        LeNet5Error: the checkpoint does not say how it was trained, the change would make another run, or the run is
            finished.
    """
    if not saved.config:
        raise LeNet5Error(f"{saved.where}does not say how it was trained; a run of lenet5 can be resumed")
    unknown = saved.config.keys() - known(saved.config).keys()
    if unknown:
        raise LeNet5Error(f"{saved.where}{min(unknown)} is a setting that this lenet5 does not know")
    config = Config(**saved.config)
    free = FREE if config.schedule == "exponential" else FREE[1:]
    for name, value in changes.items():
        own = getattr(config, name)
        if value != own and name not in free:
            raise LeNet5Error(f"{saved.where}{name} is {own} in this run; {value} would be another run")
    config = replace(config, **{name: value for name, value in changes.items() if name in free})  # type: ignore[arg-type]
    if saved.epoch >= config.epochs:
        raise LeNet5Error(
            f"{saved.where}has {saved.epoch} of {config.epochs} epochs already; give a larger --epochs to continue"
        )
    return config


def _shapes(arrays: dict[str, Array]) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in arrays.items()}


def _is_best(epoch: Epoch, history: list[Epoch]) -> bool:
    """Return whether an epoch validated better than all before it; without images held out, the latest is the best."""
    validated = epoch.validation_accuracy
    return validated is None or validated > max((past.validation_accuracy or 0 for past in history), default=-1)


def side_by_side(
    configs: list[Config], outputs: list[str], threads: int, stopped: Callable[[], bool]
) -> Iterator[tuple[int, Epoch | Tally]]:
    """Train several runs, as many at a time as there are threads, each saved in its own file.

    Yields, with the place of the run, each epoch when it is saved, then what the network does on the test split; the
    bytes are those of the same runs one after the other. It returns early once ``stopped`` says so. Processes are
    started by ``multiprocessing``: a script that calls this needs ``if __name__ == "__main__"``.

    Raises:
        LeNet5Error: a run failed; the others are ended.
    """
    spawn = multiprocessing.get_context("spawn")
    events = spawn.Queue()
    width = min(len(configs), threads)
    waiting = [
        spawn.Process(target=_run_apart, args=(place, *run, threads // width, events))
        for place, run in enumerate(zip(configs, outputs, strict=True))
    ]
    running: dict[int, Any] = {}
    try:
        while (waiting or running) and not stopped():
            while waiting and len(running) < width:
                running[len(configs) - len(waiting)] = waiting[0]
                waiting.pop(0).start()
            try:
                place, event = events.get(timeout=POLL)
            except queue.Empty:
                _demand_alive(running)
                continue
            if isinstance(event, str):
                raise LeNet5Error(event)
            yield place, event
            if isinstance(event, Tally):
                running.pop(place).join()
    finally:
        for process in running.values():
            process.terminate()
            process.join()


def _demand_alive(running: dict[int, Any]) -> None:
    """Raise LeNet5Error where a run has ended without a word, as one that the system kills does."""
    for place, process in running.items():
        if process.exitcode not in (None, 0):
            raise LeNet5Error(f"run {place + 1}: its process ended with exit code {process.exitcode}")


def _run_apart(place: int, config: Config, output: str, threads: int, events: Any) -> None:
    """Train one of several runs in a process of its own, and send what ``side_by_side`` yields."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process decides
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # an exception: no half-written file stays
    try:
        run = Run(config, load(config, "train"))
        for epoch in run.train(output=output, threads=threads):
            events.put((place, epoch))
        events.put((place, evaluate(run.kept(), load(config, "test"), threads=threads)))
    except LeNet5Error as error:
        events.put((place, f"seed {config.seed}: {error}"))
    except KeyboardInterrupt:
        pass
