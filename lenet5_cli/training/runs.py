"""A training run: its settings, network and history; begin, resume, train and save it."""

import platform
import secrets
from collections.abc import Collection, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from os import PathLike, fspath
from pathlib import Path
from time import monotonic
from types import UnionType
from typing import Any, Self

import numpy as np

from lenet5_cli import __version__
from lenet5_cli.config import READ_AS, Config, demand_known, differing, known, read
from lenet5_cli.data import glyphs, sources
from lenet5_cli.engine import optim
from lenet5_cli.engine.committee import together
from lenet5_cli.engine.einsum import Array
from lenet5_cli.engine.network import Classifier, LeNet5
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.files import BUNDLED, BUNDLED_MODEL, only_writer
from lenet5_cli.storage import checkpoint
from lenet5_cli.storage.checkpoint import Checkpoint, Epoch
from lenet5_cli.training.inputs import Data, as_split, load
from lenet5_cli.training.loop import Track, demand_classes, demand_track, evaluate, fit, untracked
from lenet5_cli.training.metrics import Tally
from lenet5_cli.training.ranks import ALONE, Ranks

FREE = {"epochs", "patience", "max_time"}  # settings that only decide when a run ends: --resume may change them
NETWORK = ("maps", "input", "activation", "connections", "dtype")  # settings that a trained model fixes
HISTORY = 1 << 20  # bytes of a checkpoint that are reserved for its history
HELD_OUT = 5  # when fine-tuning, one of so many images is held out unless the settings give a number


def train(
    config: Config | str | PathLike[str] | None = None,
    *,
    data: Data | None = None,
    start: str | PathLike[str] | None = None,
    output: str | PathLike[str] | None = None,
    overwrite: bool = False,
    threads: int = 1,
    track: Track = untracked,
    **settings: Any,
) -> "Run":
    """Train a network to its last epoch, as ``lenet5 train`` does, and return the run.

    Args:
        config: the settings, or the name of a preset or TOML file; by default those of the report, except ``clip``.
            With ``start``, settings that are not given are taken from the preset ``finetune``, unless ``config`` is a
            ``Config``, which has all settings. In a ``Config``, ``validation``, ``glyphs`` and the settings of the
            network count as not given if they equal the defaults: a fifth of the images is held out, and the classes
            and the network are those of ``start``.
        data: what to train on, if not the ``data`` of the settings: a name or path, a split, or a pair of pictures,
            uint8 or floats in [0, 1] of shape (n, 28, 28) or (n, 784), white on black, and integer labels (n,).
        start: a checkpoint to start from, or ``bundled``.
        output: where to save a checkpoint after each epoch.
        overwrite: whether to replace an existing file, but never one of the data, the glyphs or the teachers.
        threads: cores to compute on; the results are the same for any number.
        track: shows progress, as ``lenet5_cli.bar`` does.
        settings: settings by name, which override those of ``config``.

    Raises:
        LeNet5Error: a setting or the data does not fit, the loss is no longer finite, or the output cannot be written,
            exists or is read.
    """
    _demand_type(
        "config", config, Config | PathLike, "a Config, a preset's name or a TOML file; pass settings as keywords"
    )
    _demand_type("start", start, PathLike, f"the path of a checkpoint, or {BUNDLED!r}")
    _demand_type("output", output, PathLike, "the path of a checkpoint")
    demand_track(track)
    if isinstance(config, Config):
        given = differing(config)
    else:
        given = ({} if start is None else read("finetune")) | ({} if config is None else read(fspath(config)))
    given |= settings
    demand_known(given)
    config = Config(**given)
    saved = None if start is None else checkpoint.read(start)
    if isinstance(data, str | PathLike):
        config, data = replace(config, data=fspath(data)), None
    split = load(config, "train", names_of(saved, given)) if data is None else as_split(data, "train")
    run = begin(config, split, saved, given)
    with nullcontext() if output is None else only_writer(output):  # fails now if the file cannot be written
        if output is not None and Path(output).exists() and not overwrite:
            raise LeNet5Error(f"{fspath(output)} exists; overwrite=True replaces it")
        if output is not None:
            _demand_not_read(Path(output), run)
        for _ in run.train(output=output, threads=threads, track=track):
            pass
    return run


def _demand_not_read(output: Path, run: "Run") -> None:
    """Raise LeNet5Error if the output would replace a file that the run reads."""
    rehearsed = run.rehearsed.source if run.rehearsed else ""
    named = (run.config.data, rehearsed, *run.config.teachers)
    for path in [*map(Path, named), *glyphs.files_read(run.config.glyphs)]:
        if output.is_file() and path.is_file() and output.samefile(path):
            raise LeNet5Error(f"{output}: is also read by the run; give the output another name")


def _demand_type(name: str, value: object, kind: type | UnionType, expected: str) -> None:
    """Raise LeNet5Error if an argument is given that is neither a string nor of type ``kind``."""
    if value is not None and not isinstance(value, str | kind):
        raise LeNet5Error(f"{name}: of type {type(value).__name__}; expected {expected}")


def names_of(start: Checkpoint | None, given: Collection[str]) -> tuple[str, ...] | None:
    """Return the names of the classes that a run takes over from a model; None if the settings name a glyph sheet."""
    return start.names if start and "glyphs" not in given else None


def begin(config: Config, split: sources.Split, start: Checkpoint | None = None, given: Collection[str] = ()) -> "Run":
    """Return a new run on a split, which fine-tunes the model ``start`` if given, with its settings of the network.

    If no seed is set, one is drawn. ``given`` are the names of the settings that the user gave.

    Raises:
        LeNet5Error: a given setting does not fit the network of ``start``, or the images to rehearse cannot be loaded
            or have other classes.
    """
    seed = secrets.randbelow(2**32) if config.seed is None else config.seed
    config = replace(config, data=split.source, seed=seed, **split.read_as)
    if start is None:
        return Run(config, split)
    own = {**asdict(Config()), **known(start.config), "dtype": start.dtype}
    for name in NETWORK:
        if name in given and getattr(config, name) != own[name]:
            there = f"{name} is {own[name]} in this network; {getattr(config, name)} would be another network"
            raise LeNet5Error(f"{start.where}{there}; leave it out")
    if config.rehearse and "glyphs" in given:
        _demand_same_classes(glyphs.read(config.glyphs), start)
    own_sheet = "glyphs" not in given  # take the sheet in the starting model, as its file may have changed
    kept = (*NETWORK, "glyphs") if own_sheet else NETWORK
    count = len(split.labels)
    held_out = config.validation if "validation" in given else min(max(1, count // HELD_OUT), count - 1)
    config = replace(config, validation=held_out, **{name: own[name] for name in kept})
    return Run(config, split, start, to_rehearse(config, start), start.sheet if own_sheet else None)


def _demand_same_classes(sheet: glyphs.Sheet, start: Checkpoint) -> None:
    """Check that a glyph sheet has the classes of the images to rehearse, which are those of the starting model.

    Raises:
        LeNet5Error: it has others.
    """
    own = start.names or glyphs.DIGITS
    if sheet.names != own:
        there = f"rehearse: the glyph sheet {glyphs.difference(sheet.names, own, 'the starting model')}"
        raise LeNet5Error(f"{there}; expected the same classes; leave out rehearse or glyphs")


def to_rehearse(config: Config, start: Checkpoint) -> sources.Split | None:
    """Return the images to rehearse: the training images of the starting model, or None without ``rehearse``."""
    if not config.rehearse:
        return None
    how = {name: start.config[name] for name in READ_AS if name in start.config}
    return _load_rehearsed(str(start.data.get("name", "mnist")), how, start.names)


def _load_rehearsed(name: str, how: dict[str, Any], names: Sequence[str] | None) -> sources.Split:
    """Load the training images of the data called ``name``, read with the settings ``how``, as those to rehearse."""
    try:
        return load(Config(data=name, **how), "train", names)
    except sources.AbsentError as error:
        advice = "put it back, or leave out rehearse"
        if isinstance(error, sources.DownloadError):
            advice = f"run lenet5 data fetch {name} where there is a network, or leave out rehearse"
        trained = "the model to start from was trained on it"
        raise LeNet5Error(f"rehearse: {error.problem}; {trained}; {advice}") from None


class Run:
    """A training run on one split.

    A run that fine-tunes a model holds out random images for validation, because small data sets are often sorted by
    class. It keeps the model that it started from unless an epoch is more accurate on them, or as accurate with a
    smaller loss.

    Attributes:
        config: the settings.
        split: all images and labels, validation images included.
        rehearsed: images that are mixed into each epoch, or None.
        teacher_sha256: of the parameters of the teacher; empty without one.
        network: the network after the latest epoch.
        history: the epochs trained so far.
        training: the training images, without the validation images.
        ended: a sentence that says why the run ended before its last epoch; empty if it did not.
        started_at: the validation accuracy of the model that the run started from; None if there is no such model or no
            validation, or if the run was resumed.
    """

    def __init__(
        self,
        config: Config,
        split: sources.Split,
        start: Checkpoint | None = None,
        rehearsed: sources.Split | None = None,
        sheet: glyphs.Sheet | None = None,
    ) -> None:
        """Begin a run, from the parameters of ``start`` if given, with images of ``rehearsed`` mixed into each epoch.

        The classes are those of ``sheet`` or, if that is None, of the settings' glyph sheet.

        Raises:
            LeNet5Error: all images would be held out, or none although there is a ``patience``; a label is not that of
                a class; the classes do not fit drawn images; or there is nothing to rehearse.
        """
        if config.validation >= len(split.labels):
            there = f"validation: {config.validation} of {len(split.labels)} images"
            raise LeNet5Error(f"{there}; none would be left to train on")
        if config.patience and not config.validation:
            raise LeNet5Error("patience: there are no validation images; set validation too, or patience to 0")
        if config.rehearse and rehearsed is None:
            raise LeNet5Error("rehearse: there is no model to start from; start from one, or leave out rehearse")
        self.config = config
        self.split = split
        self.network = LeNet5(config, sheet)
        demand_classes(self.network, split)
        _demand_drawable(config, self.network.names)
        self.network.teacher, self.teacher_sha256 = _teacher(config, self.network)
        self.history: list[Epoch] = []
        self.ended = ""
        self.started_at: float | None = None
        self._best = self.network.pairs()  # the parameters that go into a checkpoint
        self._distances: Array | None = None  # quantiles over the validation images, with these parameters
        self._best_quality: tuple[float, ...] = ()  # of these parameters, see ``quality``
        self._in_training = False
        self.rehearsed, self._origin = rehearsed, _origin(start, rehearsed) if start else {}
        shuffled = _shuffled(split) if start else split
        held_out = len(split.labels) - config.validation
        self.training = shuffled.part(slice(held_out))
        self._validation = shuffled.part(slice(held_out, None)) if config.validation else None
        if start:
            self._start_from(start)
        self._optimizer = optim.optimizer(config, self.network.parameters)

    @classmethod
    def resume(cls, saved: Checkpoint, split: sources.Split, config: Config | None = None) -> Self:
        """Return a run that continues from its checkpoint; its result has the bytes of one never interrupted.

        Args:
            saved: the checkpoint.
            split: the images that the run was trained on, wherever they are now.
            config: the settings, changed by ``continued``; by default those in the checkpoint.

        Raises:
            LeNet5Error: the file is not the checkpoint of a run, was trained on other images, or is finished.
        """
        if saved.data.get("sha256") != split.sha256:
            there = f"was not trained on the images of {split.source}"
            raise LeNet5Error(f"{saved.where}{there}; give its own with --data, or begin another run with --from")
        config = config or continued(saved, {})
        if "from" not in saved.data:
            run = cls(config, split, sheet=saved.sheet)  # the sheet's file may have changed
        else:
            how = {name: saved.data[f"rehearsed_{name}"] for name in READ_AS if f"rehearsed_{name}" in saved.data}
            name = str(saved.data.get("rehearsed"))
            rehearsed = _load_rehearsed(name, how, saved.names) if config.rehearse else None
            run = cls(config, split, saved, rehearsed, saved.sheet)
            if rehearsed and rehearsed.sha256 != saved.data.get("rehearsed_sha256"):
                there = f"rehearsed images that differ from those of {rehearsed.source}"
                raise LeNet5Error(f"{saved.where}{there}; put its own back, or begin another run")
            run._origin = {name: value for name, value in saved.data.items() if name not in run._images()}
            run.started_at = None  # the network is not the starting model any more
        if run.teacher_sha256 != saved.data.get("teacher_sha256", ""):
            there = f"its teacher was not the model that is now in {config.teacher}"
            raise LeNet5Error(f"{saved.where}{there}; give its path with --teacher")
        run._take_up(saved)
        return run

    def _take_up(self, saved: Checkpoint) -> None:
        """Set history, parameters and the optimiser's state to those of a checkpoint.

        Raises:
            LeNet5Error: they do not fit the settings of the run.
        """
        validated = [epoch.epoch for epoch in saved.history if epoch.validation_accuracy is not None]
        if not saved.history or len(validated) != (saved.epoch if self.config.validation else 0):
            expected = "only a checkpoint saved by train can be resumed"
            raise LeNet5Error(f"{saved.where}its history is not that of a run; {expected}")
        self.history = list(saved.history)
        self._best_quality = max(self._best_quality, *(quality(each, self.fine_tuned) for each in self.history))
        self.network.assign(saved.pairs, saved.where)
        self._best, self._distances = saved.pairs, saved.distances
        state = self._state()
        if _shapes(saved.state) != _shapes(state):
            optimizer = self.config.optimizer
            raise LeNet5Error(f"{saved.where}the state of the {optimizer} optimiser is missing; it cannot be resumed")
        for name, value in saved.state.items():
            state[name][...] = value

    def train(
        self,
        *,
        output: str | PathLike[str] | None = None,
        threads: int = 1,
        ranks: Ranks = ALONE,
        track: Track = untracked,
    ) -> Iterator[Epoch]:
        """Train the remaining epochs; yield each when it is done and, with ``output``, saved.

        Of several ranks, the leader yields and saves; the others take part in its steps until it stops.

        Raises:
            LeNet5Error: the loss is no longer finite, or the checkpoint cannot be written.
        """
        deadline = monotonic() + self.config.seconds()
        self.ended = why_ended(self.history, self.config, late=False)  # a resumed run may have run out of patience
        if self.ended:
            if output is not None and ranks.leader:
                checkpoint.write(output, self.checkpoint())  # the settings may have changed
            return
        if output is not None:
            self._demand_readable()
        if self._in_training:
            raise LeNet5Error("this run is already being trained; finish or close the loop over its epochs first")
        self._in_training, latest = True, self._snapshot()
        try:
            for epoch, held_out in fit(
                self.network,
                self._optimizer,
                self.training,
                self.config,
                first=len(self.history) + 1,
                validation=self._validation,
                rehearsed=self.rehearsed,
                threads=threads,
                ranks=ranks,
                track=track,
            ):
                self._take(epoch, held_out)
                if output is not None:
                    checkpoint.write(output, self.checkpoint())
                yield epoch
                latest = self._snapshot()  # with changes that the caller made
                late = monotonic() + epoch.seconds > deadline
                self.ended = why_ended(self.history, self.config, late=late)
                if self.ended:
                    return
        except GeneratorExit:  # the caller left the loop between two epochs
            raise
        except BaseException:  # Ctrl-C or an error within an epoch: undo it, so that it can be trained again
            self._restore(latest)
            raise
        finally:
            self._in_training = False

    def _take(self, epoch: Epoch, held_out: Tally | None) -> None:
        """Add an epoch to the history, and keep its parameters if it is the best, or if the last is kept."""
        reached = quality(epoch, self.fine_tuned)
        if not self._validation or self.config.keep == "last" or reached > self._best_quality:
            self._best_quality = reached
            self._best, self._distances = self.network.pairs(), _quantiles(held_out) if held_out else None
        self.history.append(epoch)

    def _changing(self) -> list[Array]:
        """Return the arrays that training changes."""
        return [self.network.parameters, *self._optimizer.state.values()]

    def _snapshot(self) -> tuple[Any, ...]:
        """Return the state before an epoch, for ``_restore``."""
        copies = [array.copy() for array in self._changing()]
        return copies, len(self.history), self._best, self._distances, self._best_quality

    def _restore(self, before: tuple[Any, ...]) -> None:
        """Undo an epoch."""
        copies, epochs, self._best, self._distances, self._best_quality = before
        for array, copy in zip(self._changing(), copies, strict=True):
            array[...] = copy
        del self.history[epochs:]

    def _demand_readable(self) -> None:
        """Raise LeNet5Error if the checkpoint would be too large to be read again."""
        size = sum(array.nbytes for array in (self.network.parameters, *self._state().values()))
        if size > checkpoint.SIZE_LIMIT - HISTORY:
            there = f"maps: a checkpoint of {self.config.maps} with the state of {self.config.optimizer}"
            limit = f"checkpoints of more than {checkpoint.SIZE_LIMIT:,} are not read"
            raise LeNet5Error(f"{there} has {size:,} bytes; expected fewer maps: {limit}")

    @property
    def fine_tuned(self) -> bool:
        """Whether the run started from a trained model."""
        return bool(self._origin)

    @property
    def improved(self) -> bool:
        """Whether the parameters that are kept are not those of the model that the run started from."""
        return improved(self.checkpoint())

    def _start_from(self, start: Checkpoint) -> None:
        """Copy the parameters of a trained model, and evaluate it on the validation images."""
        self.network.assign(start.pairs, start.where)
        self._best = self.network.pairs()
        if self._validation:
            tally = evaluate(self.network, self._validation)
            self._best_quality = (tally.accuracy, -tally.loss)
            self.started_at = tally.accuracy
            self._distances = _quantiles(tally)

    def kept(self) -> LeNet5:
        """Return the network that is kept: of the best epoch on the validation images, or of the last one."""
        return LeNet5.restore(self.checkpoint())

    def checkpoint(self) -> Checkpoint:
        """Return the checkpoint, with everything needed to use the network and to resume the run."""
        # A finished cosine schedule cannot be extended by --epochs, so its state is not needed.
        finished = self.config.schedule == "cosine" and len(self.history) == self.config.epochs
        return Checkpoint(
            self._best,
            self.network.sheet,
            asdict(self.config),
            list(self.history),
            self._images() | self._origin,
            {"lenet5": __version__, "python": platform.python_version(), "numpy": np.__version__},
            {} if finished else {name: array.copy() for name, array in self._state().items()},
            self._distances,
        )

    def _images(self) -> dict[str, Any]:
        """Return the entries of ``Checkpoint.data`` that describe the training images and the teacher."""
        images = {"name": self.split.source, "images": len(self.split.labels), "sha256": self.split.sha256}
        return images | ({"teacher_sha256": self.teacher_sha256} if self.teacher_sha256 else {})

    def _state(self) -> dict[str, Array]:
        """Return the arrays that the next step depends on, besides the parameters that are kept."""
        latest = {"parameters": self.network.parameters} if self.config.validation else {}
        return self._optimizer.state | latest


def continued(saved: Checkpoint, changes: dict[str, object]) -> Config:
    """Return the settings of a resumed run: its own, with changes of when it ends and where its teacher is.

    Raises:
        LeNet5Error: the checkpoint has no settings, another setting would be changed, or the run is finished.
    """
    if not saved.config:
        raise LeNet5Error(f"{saved.where}has no training settings; only a checkpoint saved by train can be resumed")
    unknown = saved.config.keys() - known(saved.config).keys()
    if unknown:
        there = f"{min(unknown)} is not a setting of this version of lenet5"
        raise LeNet5Error(f"{saved.where}{there}; resume it with the one that saved it")
    config = Config(**saved.config)
    free = FREE - {"epochs"} if config.schedule == "cosine" else set(FREE)  # a cosine is drawn to its last epoch
    if config.teacher and changes.get("teacher"):
        free.add("teacher")  # checked by its SHA-256, as the data is: the file may have moved
    for name, value in changes.items():
        own = getattr(config, name)
        if value != own and name not in free:
            was, would = ("none" if each == "" else each for each in (own, value))
            cosine = (", the end of its cosine schedule", "; begin one with --from")
            there, advice = cosine if name == "epochs" else ("", "; leave it out")
            raise LeNet5Error(f"{saved.where}{name} is {was} in this run{there}; {would} would be another run{advice}")
    config = replace(config, **{name: value for name, value in changes.items() if name in free})  # type: ignore[arg-type]
    if config.patience and not config.validation:
        raise LeNet5Error(f"{saved.where}this run has no validation images, so patience has no effect; leave it out")
    _demand_unfinished(saved, config)
    if not changes.get("teacher"):
        _demand_teachers(saved, config.teachers)
    return config


def _demand_unfinished(saved: Checkpoint, config: Config) -> None:
    """Raise LeNet5Error if a run to resume has no epoch left to train."""
    if saved.epoch < config.epochs:
        return
    more = saved.epoch > config.epochs
    of = f"epochs already, more than {config.epochs}" if more else f"of {config.epochs} epochs already"
    ended = f"{saved.where}has {saved.epoch} {of}"
    if config.schedule == "cosine":
        raise LeNet5Error(f"{ended}, the end of its cosine schedule; begin another run from its model with --from")
    raise LeNet5Error(f"{ended}; give a larger --epochs to continue")


def _demand_teachers(saved: Checkpoint, names: list[str]) -> None:
    """Raise LeNet5Error if a teacher of a run to resume is no longer in the file that its settings name."""
    for name in names:
        if name != BUNDLED and not Path(name).exists():
            raise LeNet5Error(f"{saved.where}its teacher {name} is not there any more; give its path with --teacher")


def why_ended(history: list[Epoch], config: Config, *, late: bool) -> str:
    """Return the reason to end a run before its last epoch, in a sentence; empty if there is none.

    ``late`` is whether another epoch would end after ``max_time``.
    """
    patience = config.patience
    scores = [epoch.validation_accuracy or 0 for epoch in history]
    if patience and len(scores) > patience and max(scores[-patience:]) <= max(scores[:-patience]):
        none = (
            "Validation accuracy has not improved in the last epoch"
            if patience == 1
            else f"Validation accuracy has not improved for {patience} epochs"
        )
        return f"{none}; the {config.keep} is kept."
    if late and len(history) < config.epochs:
        limit = config.max_time + "s" * config.max_time.isdecimal()
        return f"Another epoch would end later than {limit} after the start."
    return ""


def quality(epoch: Epoch, fine_tuned: bool) -> tuple[float, float]:
    """Return the sort key of an epoch, larger is better: validation accuracy and, when fine-tuning, minus the loss.

    With the few validation images of fine-tuning, many epochs are equally accurate; the loss decides between them.
    """
    return epoch.validation_accuracy or 0.0, -(epoch.validation_loss or 0.0) if fine_tuned else 0.0


def _quantiles(held_out: Tally) -> Array:
    """Return quantiles of the squared distances of the validation images to their nearest codes."""
    nearest = np.concatenate([distances for distances, _ in held_out.nearest])
    quantiles: Array = np.quantile(nearest, np.linspace(0, 1, checkpoint.QUANTILES), method="inverted_cdf")
    return quantiles


def improved(saved: Checkpoint) -> bool:
    """Tell whether the parameters of a checkpoint differ from those of the model that its run started from, if any."""
    return saved.data.get("from_sha256") != checkpoint.sha256_of(saved.pairs)


def _shapes(arrays: dict[str, Array]) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in arrays.items()}


def _origin(start: Checkpoint, rehearsed: sources.Split | None) -> dict[str, Any]:
    """Return the entries of ``Checkpoint.data`` that describe the starting model and the rehearsed images."""
    name = BUNDLED if start.path == str(BUNDLED_MODEL) else start.path
    origin = {"from": name, "from_sha256": checkpoint.sha256_of(start.pairs)}
    if rehearsed is None:
        return origin
    how = {f"rehearsed_{name}": start.config[name] for name in READ_AS if name in start.config}
    return origin | {"rehearsed": rehearsed.source, "rehearsed_sha256": rehearsed.sha256} | how


def _demand_drawable(config: Config, names: tuple[str, ...]) -> None:
    """Check that drawn images would have the right labels: digits need the digits' classes, non-digits no other class.

    Raises:
        LeNet5Error: some would be wrong.
    """
    first = names[: len(glyphs.DIGITS)]
    if config.drawn and first != glyphs.DIGITS:
        there = f"drawn: the glyph sheet {glyphs.difference(first, glyphs.DIGITS, 'the drawn set')}"
        raise LeNet5Error(f"{there}; expected the ten digits before all others; leave it out")
    for name in names:
        character = glyphs.composed(name)
        if config.nondigits and len(character) == 1 and not character.isdecimal():
            there = f"nondigits: the drawn images include letters and signs, but {name} is a class"
            raise LeNet5Error(f"{there}; leave it out")


def _teacher(config: Config, network: LeNet5) -> tuple[Classifier | None, str]:
    """Return the teacher that the settings name, or None, and the SHA-256 of its parameters.

    Raises:
        LeNet5Error: a model cannot be read, has other classes, or is given twice.
    """
    if not config.teacher:
        return None, ""
    names = config.teachers
    for path in (paths := [Path(name) for name in names]):
        if paths.count(path) > 1:
            raise LeNet5Error(f"teacher: {path} is given twice; expected different models")
    try:
        saved = [checkpoint.read(name) for name in names]
    except LeNet5Error as error:
        raise LeNet5Error(f"teacher: {error}") from None
    members = [LeNet5.restore(each) for each in saved]
    together([network, *members], ["the network", *(f"teacher: {name}" for name in names)])  # refuses other classes
    for name, member in zip(names, members, strict=True):
        _demand_same_rubbish(name, member.config, config)
    return together(members), checkpoint.sha256_of(pair for each in saved for pair in each.pairs)


def _demand_same_rubbish(name: str, teacher: Config, config: Config) -> None:
    """With the discriminative loss, check that a teacher has the same rubbish class.

    Raises:
        LeNet5Error: it was trained with another loss, or another ``rubbish`` distance.
    """
    if config.loss != "discriminative":
        return
    if teacher.loss != config.loss:
        there = f"teacher: {name} was trained with loss {teacher.loss}, which has no rubbish class"
        raise LeNet5Error(f"{there}; expected a model trained with {config.loss}")
    if teacher.rubbish != config.rubbish:
        there = f"teacher: {name} was trained with rubbish {teacher.rubbish:g}, but this run has {config.rubbish:g}"
        raise LeNet5Error(f"{there}; expected rubbish {teacher.rubbish:g}, or another teacher")


def _shuffled(split: sources.Split) -> sources.Split:
    """Return a split in random order, the same for every seed, so that several runs hold out the same images."""
    order = np.random.default_rng(0).permutation(len(split.labels))
    return replace(split, images=np.asarray(split.images[:])[order], labels=split.labels[order], places=())
