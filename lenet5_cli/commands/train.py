"""``lenet5 train``."""

import secrets
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from lenet5_cli.commands.launch import agree, demand_command, joined
from lenet5_cli.commands.logs import BOARD, Note, folder_held, log_places, refuse_events, to_file, to_tensorboard
from lenet5_cli.commands.options import (
    FILE,
    MODEL,
    Integer,
    SharedCommand,
    UsageError,
    complete_file,
    config_of,
    console,
    option,
    overwrite_option,
    settings,
    source_of,
    threads_of,
    threads_option,
    timeout_option,
)
from lenet5_cli.commands.outputs import (
    data_read,
    demand_plot,
    files_read,
    in_shell,
    refuse_existing,
    refuse_folder_among,
    refuse_read,
    refuse_shared,
    say_written,
)
from lenet5_cli.commands.reading import load, model_name, note_as_is, note_glyphs, note_missing, note_trained_on
from lenet5_cli.commands.stopping import Stop
from lenet5_cli.config import Config, known, read
from lenet5_cli.errors import LeNet5Error, counted, printable

if TYPE_CHECKING:
    from lenet5_cli.data.sources import Split
    from lenet5_cli.storage.checkpoint import Checkpoint, Epoch
    from lenet5_cli.training.metrics import Tally
    from lenet5_cli.training.ranks import Ranks
    from lenet5_cli.training.runs import Run

FINETUNE = "finetune"  # the preset of a run that starts from a trained model
START_KEPT = "No epoch improved on the starting model's validation accuracy; keeping the starting model."
FEW = 0.5  # training accuracy below which a network has not learned, or has diverged


def _use_preset(ctx: click.Context, _: click.Parameter, start: Path | None) -> Path | None:
    """Use the preset ``finetune`` as defaults, which ``--config`` overrides."""
    if start is not None:
        ctx.default_map = {**read(FINETUNE), **(ctx.default_map or {})}
    return start


@click.command(cls=SharedCommand)
@settings
@option(
    "--from",
    "start",
    group="Main",
    type=MODEL,
    metavar="MODEL|bundled",
    is_eager=True,
    callback=_use_preset,
    help=f"Start from a trained model; the defaults are then those of the preset {FINETUNE}.",
)
@option("-o", "--output", group="Output", type=FILE, default="model.pkl", show_default=True, help="Checkpoint.")
@overwrite_option
@option(
    "--log",
    group="Output",
    metavar=f"FILE|{BOARD}FOLDER",
    shell_complete=complete_file,
    help="Write a line for each epoch: CSV if the name ends in .csv, else JSON; or an event for TensorBoard.",
)
@option("--plot", group="Output", type=FILE, help="Draw loss and accuracy over the epochs (needs matplotlib).")
@option("--resume", group="Main", is_flag=True, help="Continue the run whose checkpoint is --output.")
@option("--runs", group="Main", type=Integer(1), metavar="N", default=1, help="Train N seeds, keep the best.")
@threads_option
@timeout_option
def train(
    output: Path,
    overwrite: bool,
    runs: int,
    resume: bool,
    threads: int,
    timeout: float,
    start: Path | None,
    log: str | None,
    plot: Path | None,
    **values: Any,
) -> None:
    """Train a network and save it.

    The defaults are the report's except --clip; --config report does not clip. The checkpoint is written after every
    epoch. One line per epoch goes to stdout, then the accuracy on the test set. Ctrl-C stops after the current step;
    --resume continues as if the run had never stopped.

    \b
    Examples:
      lenet5 train --epochs 20 --lr 0.5
      lenet5 train --config report --epochs 5 --log run.jsonl --plot run.png
      lenet5 train --resume --epochs 20
      lenet5 train --from bundled --data my_digits/ --rehearse 0.5
    """
    if resume and runs > 1:
        raise UsageError("--resume continues one run; --runs begins several")
    if start and resume:
        raise UsageError("--from begins a new run; --resume continues one, wherever it started from")
    from lenet5_cli.reports import figures

    with joined(timeout) as ranks, ExitStack() as held:
        demand_command(ranks, f"train{' --resume' * resume}")
        threads, runs = threads_of(ranks, threads), ranks.share(lambda: runs)
        outputs = [output.with_stem(f"{output.stem}-{run + 1}") for run in range(runs)] if runs > 1 else []
        opened: AbstractContextManager[Note] = to_file(None)
        if ranks.leader:
            written = _Outputs([output, *outputs], *log_places(log), plot)
            written.demand(values, start, overwrite=overwrite, resume=resume)
            opened = written.hold(held, overwrite=overwrite, resume=resume)
        begin = _resumed(output, values, ranks) if resume else _begun(values, start, ranks)
        note = held.enter_context(opened)  # only now, as it replaces an existing log: all checks have passed
        with Stop(ranks.leader) as stop:
            if runs > 1:
                history = _train_several(begin, output, outputs, threads, ranks, note, stop)
            else:
                history = _train_one(begin, output, threads, ranks, note, stop)
        name = in_shell(output)
        what = "digit" if begin.run.network.sheet.noun == "digit" else "picture"
        hint = f"lenet5 predict --model {name} {what}.png reads a {what} with it."
        click.echo(f"The model is in {name}; {hint}", err=True)
        if begin.notice:
            click.echo(begin.notice, err=True)
        if plot and ranks.leader:
            figures.history(history, plot)
            say_written(plot)


class _Outputs(NamedTuple):
    """The files that a run writes."""

    models: list[Path]  # --output, then the file of each run of several
    board: Path | None  # the folder of a log for TensorBoard
    log: Path | None  # the file of any other log
    plot: Path | None

    def demand(self, values: dict[str, Any], start: Path | None, *, overwrite: bool, resume: bool) -> None:
        """Check that the files can be written, do not exist yet, and are not read by the run."""
        from lenet5_cli.storage import checkpoint

        refuse_existing(overwrite or resume, *self.models)
        refuse_shared(*self.models, self.log, self.plot)
        refuse_read(files_read(values), *self.models, self.log, self.plot)
        refuse_folder_among(values.get("data") or "", self.board)
        if start:
            # --output may replace the model, but not the files of several runs, which are removed at the end.
            refuse_read([("--from", start)], *self.models[1:], self.log, self.plot)
        if start and values["rehearse"]:
            rehearsed = data_read(checkpoint.read(start).data.get("name", ""), "--rehearse")
            refuse_read(rehearsed, *self.models, self.log, self.plot)
        refuse_existing(overwrite, self.log, self.plot)
        refuse_events(overwrite, self.board)
        demand_plot("--plot", self.plot)
        if resume:  # reading it now refuses a file that is not a checkpoint before anything is written
            saved = checkpoint.read(self.models[0])
            rehearsed = data_read(saved.data.get("rehearsed", ""), "--rehearse")
            refuse_read([*files_read(known(saved.config)), *rehearsed], self.log, self.plot)

    def hold(self, held: ExitStack, *, overwrite: bool, resume: bool) -> AbstractContextManager[Note]:
        """Lock the files until the stack is closed, and return the context manager that opens the log."""
        from lenet5_cli.files import only_writer

        device = self.log and self.log.exists() and not self.log.is_file()  # needs no lock
        logs = [self.log] if self.log and not device else []
        for path in [*self.models, *logs]:
            held.enter_context(only_writer(path))
        refuse_existing(overwrite or resume, *self.models)  # again: another run may have written them meanwhile
        refuse_existing(overwrite, *logs)
        if not self.board:
            return to_file(self.log)
        held.enter_context(folder_held(self.board))
        refuse_events(overwrite, self.board)
        return to_tensorboard(self.board)


class _Begin(NamedTuple):
    """A run that is ready to train, and what belongs to it."""

    run: "Run"
    test: "Split"
    notice: str  # a note if the default data could not be downloaded and drawn digits are used; else empty
    start: "Checkpoint | None" = None  # the trained model that it begins from


def _begun(values: dict[str, Any], start: Path | None, ranks: "Ranks") -> _Begin:
    from lenet5_cli.storage import checkpoint
    from lenet5_cli.training import runs
    from lenet5_cli.training.loop import demand_classes

    def begin() -> "tuple[Config, Checkpoint | None, list[str]]":
        config, saved = config_of(values), checkpoint.read(start) if start else None
        if not start and _chosen(config, "rehearse"):
            raise UsageError("--rehearse mixes in training images of the --from model; give --from too")
        if start and source_of("init") == "COMMANDLINE":
            raise UsageError("--init: the initial weights are those of the --from model; leave it out")
        held_out = config.validation or (start and source_of("validation") == "DEFAULT")  # --from holds out a fifth
        for name in ("patience", "keep"):
            if not held_out and _chosen(config, name):
                raise UsageError(f"--{name}: there are no validation images; give --validation too")
        config = replace(config, seed=secrets.randbelow(2**32)) if config.seed is None else config
        return config, saved, [name for name in values if source_of(name) != "DEFAULT"]

    config, saved, given = ranks.share(begin)
    click.echo(f"seed: {config.seed}", err=True)
    names = runs.names_of(saved, given)
    split, test, notice = ranks.led(lambda: _load(config, names, fall_back="data" not in given))
    run = runs.begin(config, split, saved, given)
    if saved and "glyphs" not in given:
        note_glyphs(saved)
    demand_classes(run.network, test)
    note_missing(run.network.sheet, run.training, split)
    learned_from = [*filter(None, [saved]), *map(checkpoint.read, run.config.teachers)]
    if ranks.leader:
        note_trained_on(learned_from, run.config, test)  # which may load more
    agree(ranks, run, training=split, test=test, rehearsed=run.rehearsed)
    _note_rehearsed(run, saved)
    note_as_is(run.config.as_is, learned_from, run.config.data)
    return _Begin(run, test, notice, saved)


def _chosen(config: Config, name: str) -> bool:
    """Tell whether a setting is on the command line with another value than its default."""
    return source_of(name) == "COMMANDLINE" and getattr(config, name) != getattr(Config, name)


def _resumed(output: Path, values: dict[str, Any], ranks: "Ranks") -> _Begin:
    from lenet5_cli.data.sources import ARRAYS
    from lenet5_cli.storage import checkpoint
    from lenet5_cli.training.runs import Run, continued

    def begin() -> "tuple[Checkpoint, dict[str, Any]]":
        changed = [name for name in values if source_of(name) not in ("DEFAULT", "ENVIRONMENT")]
        return checkpoint.read(output), {name: values[name] for name in changed}

    saved, changes = ranks.share(begin)
    data = changes.pop("data", None)  # may be given, as the data may have moved: it is checked by its SHA-256
    config = continued(saved, changes)
    if data is None and config.data == ARRAYS:
        said = "was trained on arrays, not a data set; give one with the same images by --data"
        raise LeNet5Error(f"{saved.where}{said}")
    there = replace(config, data=data or config.data)
    split, test, notice = ranks.led(lambda: _load(there, saved.names, fall_back=False))
    run = Run.resume(saved, split, config)
    agree(ranks, run, training=split, test=test, rehearsed=run.rehearsed)
    return _Begin(run, test, notice)


def _load(config: Config, names: "tuple[str, ...] | None", *, fall_back: bool) -> "tuple[Split, Split, str]":
    """Load both splits; if they cannot be downloaded and ``fall_back``, load the built-in digits, with a notice."""
    from lenet5_cli.data.sources import DownloadError

    try:
        return load(config, "train", names), load(config, "test", names), ""
    except DownloadError as error:
        if not fall_back:
            raise
        fell_back = f"on the built-in drawn digits, not on MNIST, which could not be downloaded.\n{error}"
        click.echo(f"NOTE: training {fell_back}", err=True)
    config = replace(config, data="builtin")
    return load(config, "train"), load(config, "test"), f"NOTE: trained {fell_back}"


def _train_one(begin: _Begin, output: Path, threads: int, ranks: "Ranks", note: Note, stop: Stop) -> "list[Epoch]":
    """Train one network, print its accuracy on the test set, and return its history."""
    from lenet5_cli.training.loop import evaluate

    run = begin.run
    _note_idle(run.config, ranks)
    try:
        for epoch in run.history:  # the epochs before --resume, so that the log is complete
            note(epoch.record())
        for epoch in run.train(output=output, threads=threads, ranks=ranks, track=stop.track):
            click.echo(_line(epoch))
            note(epoch.record())
        if run.ended:
            click.echo(run.ended, err=True)
        if run.improved:
            note_few(run.history, run.config, fine_tuned=run.fine_tuned)
        else:
            click.echo(START_KEPT, err=True)
        tally = evaluate(run.kept(), begin.test, threads=threads, ranks=ranks, track=stop.track)
    except Stop.Requested:
        click.echo(_stopped_at(in_shell(output), len(run.history), run.config.epochs), err=True)
        click.get_current_context().exit(stop.exit_code)
    if ranks.leader:
        click.echo(_result(tally, run.config.data))
    return run.history


def note_few(history: "list[Epoch]", config: Config, *, fine_tuned: bool = False) -> None:
    """Print a note if the network that is kept has a low training accuracy: the likely reason, and what to do."""
    if not history:
        return
    kept, best = _kept(history, config, fine_tuned), max(history, key=lambda epoch: epoch.accuracy)
    if kept.accuracy >= FEW:
        return
    now, once = (f"{100 * epoch.accuracy:.0f} %" for epoch in (kept, best))
    if best.accuracy > 2 * kept.accuracy:
        there = f"training accuracy is {once} in epoch {best.epoch} but {now} in epoch {kept.epoch}"
        if best.epoch < kept.epoch:
            clip = ", or --clip 2" if config.optimizer == "sgd" and not config.clip else ""
            there += ": a step was too large"
            hint = f"try another --seed, a smaller --lr{clip}"
        else:
            there += ", kept as the best on the validation images"
            hint = "try a larger --validation, or --keep last"
    else:
        steps = sum(-(-epoch.images // config.batch_size) for epoch in history[: kept.epoch])
        there = f"training accuracy is {now} after {counted(steps, 'step')}"
        model = "" if fine_tuned else ", or start from a trained model: --from bundled"
        hint = f"try more --epochs, another --lr{model}"
    click.echo(f"NOTE: {there}; {hint}.", err=True)


def _kept(history: "list[Epoch]", config: Config, fine_tuned: bool) -> "Epoch":
    """Return the epoch whose network is kept."""
    from lenet5_cli.training.runs import quality

    if not config.validation or config.keep == "last":
        return history[-1]
    return max(history, key=lambda epoch: quality(epoch, fine_tuned))


def _stopped_at(name: str, done: int, epochs: int) -> str:
    """Return the message for a run that was stopped after ``done`` epochs."""
    if not done:
        return "Stopped before the end of the first epoch; nothing was saved."
    if done == epochs:
        return f"Stopped after the last epoch; {name} is complete.\nlenet5 eval {name} evaluates it."
    return f"Stopped; {name} has {done} of {epochs} epochs.\nlenet5 train --resume --output {name} continues it."


def _note_rehearsed(run: "Run", start: "Checkpoint | None") -> None:
    """Print a note if fewer images can be rehearsed than ``--rehearse`` asks for, or others than the model learned."""
    from lenet5_cli.training.loop import asked_for

    config = run.config
    if run.rehearsed is None or start is None:
        return
    if run.rehearsed.sha256 != start.data.get("sha256", run.rehearsed.sha256):
        there = f"{model_name(Path(start.path))} was not trained on the images that are now in {run.rehearsed.source}"
        click.echo(printable(f"NOTE: {there}, which --rehearse mixes in; put its own back to rehearse them."), err=True)
    own, others = len(run.training.labels) + config.drawn + config.nondigits, len(run.rehearsed.labels)
    if others < (number := asked_for(own, config.rehearse)):
        there = f"--rehearse {config.rehearse:g} asks for {number:,} images, but the model was trained on {others:,}"
        click.echo(f"NOTE: {there}; {100 * others / (own + others):.0f} % of each epoch is rehearsed.", err=True)


def _note_idle(config: Config, ranks: "Ranks", runs: int = 1) -> None:
    """Print a note if some ranks have nothing to do in training."""
    from lenet5_cli.training.step import working

    size = config.batch_size
    busy = working(size, ranks) if runs == 1 else min(runs, ranks.size)
    if idle := ranks.size - busy:
        batch = f"a batch of {counted(size, 'image')}"
        why = f"{runs} runs occupy {busy}" if runs > 1 else f"{batch} occupies {busy}"
        hint = "" if runs > 1 else "; a larger --batch-size occupies more, --runs one for each run"
        click.echo(
            f"{idle} of {ranks.size} ranks {'is' if idle == 1 else 'are'} idle in training: {why}{hint}.", err=True
        )


def _train_several(
    begin: _Begin,
    output: Path,
    outputs: list[Path],
    threads: int,
    ranks: "Ranks",
    note: Note,
    stop: Stop,
) -> "list[Epoch]":
    """Train with several seeds, side by side; keep the best under the output name, and return its history."""
    from lenet5_cli.storage import checkpoint
    from lenet5_cli.training.metrics import Tally
    from lenet5_cli.training.runs import improved
    from lenet5_cli.training.several import Shared, side_by_side

    first = begin.run.config
    _note_idle(first, ranks, len(outputs))
    configs = [replace(first, seed=(first.seed or 0) + place) for place in range(len(outputs))]
    histories: list[list[Epoch]] = [[] for _ in outputs]
    tests: list[Tally | None] = [None for _ in outputs]
    names = [str(path) for path in outputs]
    shared = Shared(threads, begin.run.split.sha256, begin.start, begin.run.network.sheet)
    events = side_by_side(configs, names, shared, lambda: bool(stop.exit_code), ranks)
    try:
        with closing(events):  # so that no process goes on after an error
            for place, event in events:
                which = f"seed: {configs[place].seed}  "
                if isinstance(event, Tally):
                    tests[place] = event
                    _say_end(which, configs[place], histories[place], event)
                else:
                    histories[place].append(event)
                    click.echo(which + _line(event))
                    note({"run": place + 1, "seed": configs[place].seed, **event.record()})
    except LeNet5Error:
        click.echo(_stopped(dict(zip(names, histories, strict=True))), err=True)
        raise
    if stop.exit_code:
        click.echo(_stopped(dict(zip(names, histories, strict=True))), err=True)
        click.get_current_context().exit(stop.exit_code)
    if not ranks.leader:
        return []
    runs = zip(configs, outputs, histories, tests, strict=True)
    done = [_Done(config, path, history, test) for config, path, history, test in runs if test]
    history = _best_of(done, output, begin.run.started_at)
    if improved(checkpoint.read(output)):
        note_few(history, first, fine_tuned=begin.start is not None)
    else:
        click.echo(START_KEPT, err=True)
    return history


def _say_end(which: str, config: Config, history: "list[Epoch]", test: "Tally") -> None:
    """Print the end of one of several runs: why it came early, if it did, and what the run does on the test set."""
    from lenet5_cli.training.runs import why_ended

    if ended := why_ended(history, config, late=True):  # if not out of patience, it was late
        click.echo(which + ended, err=True)
    click.echo(which + _result(test, config.data))


def _stopped(histories: "dict[str, list[Epoch]]") -> str:
    """Return the message for several runs that were stopped; ``histories`` is keyed by file name."""
    names = [in_shell(name) for name, history in histories.items() if history]
    if not names:
        return "Stopped before any run finished an epoch; nothing was saved."
    said = f"Stopped; finished epochs are in {', '.join(names)}."
    return f"{said}\nlenet5 train --resume --output {names[0]} continues that run."


def _line(epoch: "Epoch") -> str:
    validated = "" if epoch.validation_accuracy is None else f"  val: {epoch.validation_accuracy:.5f}"
    return f"epoch: {epoch.epoch}  loss: {epoch.loss:.5f}  acc: {epoch.accuracy:.5f}{validated}"


def _result(tally: "Tally", data: str) -> str:
    where = " on the built-in digits" if data.partition(":")[0] == "builtin" else ""
    return f"test accuracy{where}: {tally.accuracy:.4f} ({tally.right} of {tally.images})"


class _Done(NamedTuple):
    """One of several runs, at its end."""

    config: Config
    path: Path
    history: "list[Epoch]"
    test: "Tally"


def _best_of(done: list[_Done], output: Path, started_at: float | None) -> "list[Epoch]":
    """Print a table of several runs, keep the best, and return its history; it is not chosen by the test set."""
    from statistics import mean, stdev

    from rich.table import Column, Table

    from lenet5_cli.files import replacing
    from lenet5_cli.storage import checkpoint
    from lenet5_cli.training.runs import improved, quality

    fine_tuned = started_at is not None
    kept = [_kept(run.history, run.config, fine_tuned) for run in done]
    better = [not fine_tuned or improved(checkpoint.read(run.path)) for run in done]  # else the starting model is kept
    if done[0].config.validation:
        name = "validation"
        reached = [
            (epoch.validation_accuracy if own else started_at) or 0 for own, epoch in zip(better, kept, strict=True)
        ]
    else:
        name, reached = "training", [epoch.accuracy for epoch in kept]
    # Ties are broken by the quality by which a single run keeps its best epoch.
    qualities = [(*each, quality(epoch, fine_tuned)) for *each, epoch in zip(reached, better, kept, strict=True)]
    best = done[qualities.index(max(qualities))]
    click.echo(f"{len(done)} runs; the best on the {name} images is kept")
    table = Table(*(Column(header, overflow="fold") for header in ("seed", "epochs", name, "test")))
    for run, accuracy in zip(done, reached, strict=True):
        marked = f"{accuracy:.4f}{' *' if run is best else ''}"
        table.add_row(str(run.config.seed), str(len(run.history)), marked, f"{run.test.accuracy:.4f}")
    tests = [run.test.accuracy for run in done]
    table.add_section()
    table.add_row("mean", "", f"{mean(reached):.4f}", f"{mean(tests):.4f}")
    table.add_row("std. dev.", "", f"{stdev(reached):.4f}", f"{stdev(tests):.4f}")
    console().print(table)
    with replacing(output) as file:  # copied, not renamed: a link may lead to another disk
        file.write(best.path.read_bytes())
    for run in done:
        run.path.unlink(missing_ok=True)
    return best.history
