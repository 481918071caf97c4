"""The search: studies, trials that are ended early, lost, stopped and gone on with."""

import errno
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from lenet5_cli.config import Config
from lenet5_cli.data import glyphs, sources
from lenet5_cli.engine.network import LeNet5
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.storage import checkpoint
from lenet5_cli.training import runs, search
from lenet5_cli.training.metrics import wilson
from lenet5_cli.training.search import Search
from lenet5_cli.training.space import Space
from tests.conftest import left_behind, room_for

SPACE = {"lr": FloatDistribution(0.001, 0.1, log=True), "batch_size": IntDistribution(5, 50)}
LETTERS = f"{', '.join(glyphs.read('letters').names)}; set glyphs to train with another sheet"


@pytest.fixture
def config(bars_folder: Path) -> Config:
    adam = {"optimizer": "adam", "input": "grey", "init": "normal", "lr": 0.01, "batch_size": 10}
    return Config(
        data=str(bars_folder), epochs=2, samples_per_epoch=50, order="shuffled", seed=3, validation=60, **adam
    )


def study(config: Config, storage: Path | None = None, space: Space = SPACE) -> Search:
    return Search(config, sources.load(config.data, "train"), space, storage)


def test_trials_start_from_the_settings_given_and_train_as_a_run_does(
    config: Config, begun: list[dict[str, Any]]
) -> None:
    found = study(config)
    ended = list(found.run(3))
    assert [trial.number for trial in ended] == [1, 2, 3]
    assert ended[0].settings == {"lr": 0.01, "batch_size": 10}
    for trial, settings in zip(ended, begun, strict=True):
        assert replace(config, **trial.settings) == Config(**settings) == found.with_settings(trial)
        run = runs.Run(Config(**settings), sources.load(config.data, "train"))
        assert trial.curve == tuple(epoch.validation_accuracy for epoch in run.train())
        assert trial.accuracy == max(trial.curve)
        assert 0.001 <= trial.settings["lr"] <= 0.1
        assert 5 <= trial.settings["batch_size"] <= 50
        assert found.interval(trial) == wilson(trial.accuracy * 60, 60)
    assert found.trials == ended
    assert found.ranked == sorted(ended, key=lambda trial: -trial.accuracy)
    assert len({tuple(trial.settings.values()) for trial in ended}) == 3


@pytest.mark.usefixtures("begun")
def test_trials_that_keep_their_last_epoch_are_compared_by_it(config: Config) -> None:
    [ended] = study(replace(config, keep="last")).run(1)
    assert ended._replace(curve=(0.1, 0.9, 0.8)).accuracy == 0.8
    [ended] = study(config).run(1)
    assert ended._replace(curve=(0.1, 0.9, 0.8)).accuracy == 0.9


def test_a_search_that_goes_on_ends_as_one_that_was_never_stopped(
    config: Config, begun: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond its ten random trials, so that what was stored decides too; the fifth is stopped and begins again."""
    config = replace(config, epochs=1, samples_per_epoch=20)
    whole = [trial.settings for trial in study(config).run(13)]
    begun.clear()
    storage = Path("journal.log")
    first = study(config, storage).run(13)
    parts = [next(first).settings for _ in range(4)]
    with monkeypatch.context() as patched:
        patched.setattr(search, "wait", lambda *_: [])
        over = iter([False, True])
        assert list(study(config, storage).run(13, stopped=lambda: next(over))) == []
    again = study(replace(config, seed=None), storage)
    assert again.config.seed == 3
    assert len(again.trials) == 4
    parts += [trial.settings for trial in again.run(13)]
    assert parts == whole
    assert begun[4] == begun[5]
    assert list(study(config, storage).run(13)) == []


def test_a_seed_that_is_not_given_is_one_of_all_that_there_are(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search.secrets, "randbelow", lambda bound: bound - 1)
    assert study(replace(config, seed=None)).config.seed == 2**32 - 1


@pytest.mark.usefixtures("begun")
def test_the_numbers_of_another_seed_are_others(config: Config) -> None:
    config = replace(config, epochs=1, samples_per_epoch=20)
    one, other = ([trial.settings for trial in study(replace(config, seed=seed)).run(2)] for seed in (0, 1))
    assert one[0] == other[0]
    assert one[1] != other[1]


def test_a_trial_worse_than_the_median_is_ended_early_but_not_in_its_last_epoch(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trials 1 to 5 are good, 6 is bad from its first epoch on, which two are spared, and 7 in its last one."""
    curves = {6: [0.0, 0.1, 0.1, 0.9], 7: [0.9, 0.9, 0.9, 0.1]}
    epochs = runs.Epoch(1, 0.5, 0.5, 0.5, 50, 1.5, 0.5, 0.5)
    place = iter(range(1, 8))

    def train(_: dict[str, Any], events: Any, __: str) -> None:
        for number, accuracy in enumerate(curves.get(next(place), [0.8, 0.8, 0.8, 0.8]), 1):
            events.send(replace(epochs, epoch=number, validation_accuracy=accuracy))
        events.send(None)

    killed: list[object] = []
    blocked: list[object] = []

    class Process:
        def __init__(self, args: tuple[Any, ...], **_: object) -> None:
            self.args = args

        def start(self) -> None:
            blocked.append(signal.pthread_sigmask(signal.SIG_BLOCK, []))
            train(*self.args)

        def kill(self) -> None:
            killed.append(self)

        def join(self) -> None:
            pass

    spawn = SimpleNamespace(Pipe=search.multiprocessing.Pipe, Process=Process)
    monkeypatch.setattr(search.multiprocessing, "get_context", lambda _: spawn)
    found = study(replace(config, epochs=4))
    ended = list(found.run(7))
    assert [trial.reason for trial in ended] == ["", "", "", "", "", "worse than the median", ""]
    assert ended[5].curve == (0.0, 0.1, 0.1)
    assert ended[5].seconds == 3 * 1.5
    assert ended[6].curve == (0.9, 0.9, 0.9, 0.1)
    assert [trial.number for trial in found.ranked] == [7, 1, 2, 3, 4, 5]
    assert len(killed) == 7
    assert blocked == [{signal.SIGINT}] * 7  # in the processes, from their first instruction on
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


@pytest.mark.usefixtures("begun")
def test_a_trial_that_cannot_go_on_says_why(config: Config) -> None:
    space: Space = {"batch_size": SPACE["batch_size"]}
    [trial] = study(replace(config, lr=1e39), space=space).run(1)
    assert trial.reason == "epoch 1: the loss is no longer finite at learning rate 1e+39; try a smaller lr"
    assert (trial.curve, trial.accuracy, trial.lost) == ((), 0.0, False)
    space = {"connections": CategoricalDistribution(["full", "lecun1998"])}
    reasons = [trial.reason for trial in study(replace(config, maps="6,10,20", connections="full"), space=space).run(4)]
    assert set(reasons) == {"", "connections: lecun1998 needs 6 maps in c1 and 16 in c3; maps is 6,10,20"}


@pytest.mark.usefixtures("begun")
def test_data_that_cannot_be_loaded_ends_the_search_and_the_trial_begins_again(
    config: Config, bars_folder: Path
) -> None:
    storage = Path("journal.log")
    ending = study(config, storage).run(3)
    first = next(ending)
    bars_folder.rename("elsewhere")
    with pytest.raises(LeNet5Error) as error:
        next(ending)
    assert str(error.value) == f"trial 2: {bars_folder}: no such folder or file; if it has moved, give its new path"
    Path("elsewhere").rename(bars_folder)
    again = study(config, storage)
    assert again.trials == [first]
    assert [each.state for each in again._study.trials][1:] == [TrialState.FAIL, TrialState.WAITING]
    assert [trial.reason for trial in again.run(3)] == ["", ""]
    for name in ("images-idx3", "labels-idx1"):
        (bars_folder / f"t10k-{name}-ubyte").rename(bars_folder / f"train-{name}-ubyte")
    with pytest.raises(LeNet5Error) as error:
        next(again.run(4))
    there = f"trial 5: {bars_folder}: its images have changed since the search began"
    assert str(error.value) == f"{there}; put the old ones back, or start over"


def test_a_killed_trial_begins_again_with_its_settings(config: Config) -> None:
    """With a real process, which is killed as soon as it is there."""
    found = study(replace(config, epochs=1))
    begin, begun = found._begin, []

    def killing() -> Any:
        each = begin()
        begun.append(each.trial.params)
        if len(begun) == 1:
            each.process.kill()
        return each

    found._begin = killing  # type: ignore[method-assign]
    lost, ended = found.run(1)
    assert lost.lost
    assert lost.reason == "its process ended with exit code -9"
    assert begun[0] == begun[1] == ended.settings
    assert (ended.reason, ended.number, len(ended.curve)) == ("", 2, 1)
    assert found.trials == [ended]


def test_a_trial_whose_process_ends_again_and_again_ends_the_search(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = SimpleNamespace(exitcode=-9, start=lambda: None, kill=lambda: None, join=lambda: None)
    spawn = SimpleNamespace(Pipe=search.multiprocessing.Pipe, Process=lambda **_: ends)
    monkeypatch.setattr(search.multiprocessing, "get_context", lambda _: spawn)
    lost: list[search.Trial] = []
    with pytest.raises(LeNet5Error) as error:
        lost.extend(study(config).run(1))
    said = "its process ended with exit code -9"
    assert [(trial.seconds, trial.reason, trial.lost) for trial in lost] == 2 * [(0.0, said, True)]
    assert str(error.value) == (
        "trial 3: its process ended with exit code -9, as 2 times before; fewer --threads need less memory"
    )


def test_a_trial_whose_process_the_system_does_not_grant_is_put_back(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It said no more than that too many files were open."""

    def refused(**_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(search.multiprocessing, "get_context", lambda _: SimpleNamespace(Pipe=refused))
    searching = study(config)
    with pytest.raises(LeNet5Error) as error:
        next(searching.run(1))
    assert str(error.value) == "trial 1: cannot start its process: Too many open files; use fewer --threads"
    assert [each.state for each in searching._study.trials] == [TrialState.FAIL, TrialState.WAITING]


def test_trials_of_a_machine_that_is_silent_begin_again_here(config: Config) -> None:
    storage = Path("journal.log")
    other = study(config, storage)
    trial = other._study.ask(other.space)
    trial.set_user_attr("searcher", other._me)
    trial.set_user_attr("attempt", 2)
    other._beat()
    here = study(config, storage)
    here._beat()
    assert [each.state for each in here._study.trials] == [TrialState.RUNNING]
    other._study.set_user_attr(other._me, time.time() - search.SILENCE - 1)
    here._last_beat -= search.BEAT
    here._beat()
    assert [each.state for each in here._study.trials] == [TrialState.FAIL, TrialState.WAITING]
    assert here._study.trials[1].user_attrs == {"attempt": 2}
    assert here._study.ask(here.space).params == trial.params
    ended = SimpleNamespace(recv=lambda: None)
    back = other._receive(search._Running(trial, SimpleNamespace(), ended, attempt=1, epochs=2))
    assert (back.number, back.reason, back.lost) == (1, "another machine took it over", True)


@pytest.mark.usefixtures("begun")
def test_a_search_waits_for_the_trials_of_others_until_they_end_or_are_lost(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two trials of a killed process, another machine ends one, and the other is taken back."""
    storage, now = Path("journal.log"), time.time()
    other = study(config, storage)
    ends, lost = (other._study.ask(other.space) for _ in range(2))
    here, pauses = study(config, storage), []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 1:
            other._study.tell(ends, 0.5)
        else:
            here._last_beat -= search.BEAT
            monkeypatch.setattr(time, "time", lambda: now + search.SILENCE + 5)

    monkeypatch.setattr(time, "sleep", sleep)
    [back] = here.run(2)
    assert pauses == [search.POLL] * 2
    assert (back.number, back.settings["batch_size"]) == (3, lost.params["batch_size"])
    assert [trial.number for trial in here.trials] == [1, 3]


def test_a_search_waits_no_longer_than_it_may_for_the_trials_of_others(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Path("journal.log")
    other = study(config, storage)
    other._study.ask(other.space)
    here, pauses, stopped = study(config, storage), [], iter([False, True])
    monkeypatch.setattr(time, "sleep", pauses.append)
    assert list(here.run(1, seconds=search.POLL / 2, stopped=lambda: next(stopped))) == []
    assert 0 <= pauses[0] <= search.POLL / 2
    assert [each.state for each in other._study.trials] == [TrialState.RUNNING]


def test_a_trial_that_runs_here_is_not_taken_for_lost(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    runs_on = SimpleNamespace(start=lambda: None, kill=lambda: None, join=lambda: None)
    spawn = SimpleNamespace(Pipe=search.multiprocessing.Pipe, Process=lambda **_: runs_on)
    monkeypatch.setattr(search.multiprocessing, "get_context", lambda _: spawn)
    found = study(config)
    begun = found._begin()
    late = time.time() + search.SILENCE + 1
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", lambda: late)
        found._beat()
    begun.close()
    assert [each.state for each in found._study.trials] == [TrialState.RUNNING]


def test_a_study_knows_what_it_is_about(config: Config, bars_folder: Path) -> None:
    storage = Path("journal.log")
    study(config, storage)
    wider = {**SPACE, "lr": FloatDistribution(0.001, 1)}
    fewer = {"lr": SPACE["lr"]}
    choice = {**SPACE, "augment": CategoricalDistribution(["none", "affine"])}
    for other, space, there in (
        (replace(config, seed=4), SPACE, "seed is 3 there, but 4 here"),
        (replace(config, epochs=5), SPACE, "epochs is 2 there, but 5 here"),
        (config, wider, "lr is from 0.001 to 0.1, log there, but from 0.001 to 1.0 here"),
        (config, fewer, "batch_size is from 5 to 50 there, but 10 here"),
        (config, choice, "augment is 'none' there, but one of none, affine here"),
        (replace(config, data="builtin:200"), SPACE, "its images are not those of builtin:200"),
    ):
        with pytest.raises(LeNet5Error) as error:
            study(other, storage, space)
        assert str(error.value) == f"journal.log: another study: {there}; name a new file, or use the same settings"
    bars_folder.rename("elsewhere")
    assert study(replace(config, data="elsewhere"), storage).trials == []


def test_a_study_knows_its_glyphs_and_its_teacher_by_what_is_in_them(config: Config) -> None:
    storage, config = Path("journal.log"), replace(config, glyphs="own.txt", teacher="own.pkl")
    ours, theirs = glyphs.read(), glyphs.from_font()

    def put(sheet: glyphs.Sheet, seed: int) -> None:
        glyphs.write("own.txt", sheet)
        network = LeNet5(Config(seed=seed), sheet)
        checkpoint.write("own.pkl", checkpoint.Checkpoint(network.pairs(), network.sheet))

    put(ours, seed=1)
    study(config, storage)
    assert study(config, storage).trials == []
    for sheet, seed, there in (
        (theirs, 1, "its glyphs are not those of own.txt"),
        (ours._replace(names=tuple("1023456789")), 1, "its glyphs are not those of own.txt"),
        (ours, 2, "its teacher's parameters are not those of own.pkl"),
    ):
        put(sheet, seed)
        with pytest.raises(LeNet5Error) as error:
            study(config, storage)
        assert str(error.value) == f"journal.log: another study: {there}; name a new file, or use the same settings"
    choice: Space = {"teacher": CategoricalDistribution(["own.pkl", ""])}
    searched = study(config, Path("searched.log"), choice)
    assert study(replace(config, teacher=""), Path("searched.log"), choice).trials == searched.trials


@pytest.mark.parametrize(
    ("name", "choice", "there"),
    [
        ("glyphs", "letters", f"builtin:100: class 0 is not in the glyph sheet; expected one of {LETTERS}"),
        ("teacher", "none.pkl", "none.pkl: no such file; expected a checkpoint"),
    ],
)
def test_a_choice_that_no_trial_could_read_is_refused(name: str, choice: str, there: str, config: Config) -> None:
    """The search ended at the first trial of such a sheet, and again whenever it went on."""
    given = getattr(config, name)
    with pytest.raises(LeNet5Error) as error:
        study(replace(config, data="builtin:100"), space={name: CategoricalDistribution([given, choice])})
    assert str(error.value) == f"space: {name} '{choice}': {there}"


def test_of_those_that_begin_a_study_together_one_is_the_first(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    storage, config, locks = Path("journal.log"), replace(config, seed=None), search.only_writer
    others = []

    @contextmanager
    def late(path: Path, *, wait: bool) -> Iterator[None]:
        monkeypatch.setattr(search, "only_writer", locks)
        others.append(study(config, storage))
        with locks(path, wait=wait):
            yield

    monkeypatch.setattr(search, "only_writer", late)
    here = study(config, storage)
    assert here.config == others[0].config
    assert [each.state for each in here._study.trials] == [TrialState.WAITING]


@pytest.mark.parametrize("content", ["lr = 0.5\n", "{}\n", '{"op_code":99}\n', '{"op_code":0}\n', '{"op_code":0\n\n'])
def test_what_is_no_journal_is_refused(content: str, config: Config) -> None:
    Path("mine").write_text(content, encoding="utf-8")
    with pytest.raises(LeNet5Error) as error:
        study(config, Path("mine"))
    assert str(error.value) == "mine: not the journal of a search, or damaged; name another file"
    assert Path("mine").read_text(encoding="utf-8") == content
    assert left_behind() == ["bars", "mine"]


def line(op_code: int, **more: Any) -> str:
    return json.dumps({"op_code": op_code, "worker_id": "a", **more}) + "\n"


BEGUN = line(0, study_name="lenet5", directions=[2])


def ended(values: dict[str, Any], **attributes: Any) -> str:
    """Return the line of a trial that has ended."""
    states = {"datetime_start": "2020-01-01T00:00:00.000000", "state": 1, "value": 0.5, "system_attrs": {}}
    told = {"user_attrs": attributes, "intermediate_values": values}
    return line(4, study_id=0, distributions={}, params={}, **states, **told)


@pytest.mark.parametrize(
    "content",
    [
        '{"op_code":' + "[" * 100_000 + "\n",
        line(0, study_name="lenet5", directions=[1]),
        line(0, study_name="lenet5", directions=[2, 2]),
        BEGUN + line(2, study_id=0, user_attr={"data": "x"}),
        BEGUN + line(2, study_id=0, user_attr={"data": "x", "settings": 5, "space": []}),
        BEGUN + ended({"1": "a"}),
        BEGUN + ended({"1": 0.5}, settings=5),
        BEGUN + ended({"1": 0.5}, seconds="x"),
        BEGUN + ended({"1": 0.5}, reason=[1]),
    ],
    ids=["deep", "minimize", "two", "no settings", "other settings", "a text", "a trial", "its seconds", "its reason"],
)
def test_a_damaged_journal_is_refused(content: str, config: Config) -> None:
    Path("mine").write_text(content, encoding="utf-8")
    with pytest.raises(LeNet5Error) as error:
        study(config, Path("mine"))
    assert str(error.value) == "mine: not the journal of a search, or damaged; name another file"


@pytest.mark.usefixtures("begun")
def test_a_journal_that_was_cut_off_in_a_line_goes_on(config: Config) -> None:
    storage = Path("journal.log")
    [first, _] = study(config, storage).run(2)
    whole = storage.read_bytes()
    storage.write_bytes(whole[: whole.rindex(b'"state":1') + 5])  # the end of the second trial is lost
    again = study(config, storage)
    assert again.trials == [first]
    over = iter([False, True])
    assert list(again.run(2, stopped=lambda: next(over))) == []  # it still runs, as far as the journal says
    again._study.set_user_attr("of another machine", 1)
    assert study(config, storage).trials == [first]


def test_the_journal_of_someone_else_and_a_folder_are_refused(config: Config) -> None:
    backend = search.JournalFileBackend("theirs", search.JournalFileOpenLock("theirs"))
    optuna.create_study(storage=search.JournalStorage(backend), study_name="cats")
    with pytest.raises(LeNet5Error) as error:
        study(config, Path("theirs"))
    assert str(error.value) == "theirs: has the study 'cats', which is not lenet5's; name a new file"
    with pytest.raises(LeNet5Error) as error:
        study(config, Path())
    assert str(error.value) == ".: a folder; expected the journal of a search"


def test_a_search_needs_images_held_out(config: Config) -> None:
    with pytest.raises(LeNet5Error) as error:
        study(replace(config, validation=0), Path("journal.log"))
    assert str(error.value) == (
        f"validation: no validation images of {config.data}; trials are compared on them; set validation"
    )
    with pytest.raises(LeNet5Error) as error:
        study(replace(config, validation=300), Path("journal.log"))
    assert str(error.value) == "validation: 300 of 300 images; none would be left to train on"
    assert not Path("journal.log").exists()
    assert Search.held_out(sources.load(config.data, "train")) == 50


def test_importances_need_enough_trials_that_differ(config: Config) -> None:
    found = study(config)
    assert found.importances() == {}
    for place in range(search.WEIGHED):
        assert found.importances() == {}
        trial = found._study.ask(found.space)
        found._study.tell(trial, 0.5)
        assert place or trial.params == {"lr": 0.01, "batch_size": 10}
    assert found.importances() == {}
    for _ in range(30):  # the smaller the batch, the better
        trial = found._study.ask(found.space)
        found._study.tell(trial, 1 - trial.params["batch_size"] / 100)
    weights = found.importances()
    assert list(weights) == ["batch_size", "lr"]
    assert sum(weights.values()) == pytest.approx(1)
    assert weights["batch_size"] > 0.6


def test_importances_of_trials_that_did_equally_well_but_for_one(config: Config) -> None:
    """Optuna warns that the best quarter of them is all of them, and warnings are errors here."""
    found = study(config)
    for place in range(search.WEIGHED):
        found._study.tell(found._study.ask(found.space), 0.9 if place == 3 else 0.1)
    assert found.importances().keys() == found.space.keys()


def test_without_optuna_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "lenet5_cli.training.search")
    with pytest.raises(LeNet5Error) as error:
        __import__("lenet5_cli.training.search")
    assert str(error.value) == (
        "Optuna, which a search needs, cannot be imported: import of optuna halted; None in sys.modules; "
        "pip install 'lenet5-cli[tune]'"
    )


def test_the_journal_holds_no_test_image_and_only_what_can_be_read(config: Config) -> None:
    for name in Path(config.data).glob("t10k*"):
        name.unlink()
    assert len(list(study(config, Path("journal.log")).run(2))) == 2
    assert all(map(json.loads, Path("journal.log").read_text(encoding="utf-8").splitlines()))


def test_a_journal_that_cannot_be_written_is_named(config: Config) -> None:
    with pytest.raises(LeNet5Error) as error:
        study(config, Path("none/journal.log"))
    assert str(error.value) == "none/journal.log: cannot be written: No such file or directory"


@pytest.mark.usefixtures("begun")
def test_a_journal_on_a_full_disk_is_named(config: Config) -> None:
    begun = study(config, Path("journal.log"))
    with room_for(Path("journal.log").stat().st_size + 300), pytest.raises(LeNet5Error) as error:
        list(begun.run(9))
    assert str(error.value) == "journal.log: cannot be written: File too large"
    assert len(list(study(config, Path("journal.log")).run(1))) == 1  # what was cut off is mended


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Have processes do nothing, and return how long is waited for them."""
    waited: list[float] = []
    nothing = SimpleNamespace(start=lambda: None, kill=lambda: None, join=lambda: None)
    spawn = SimpleNamespace(Pipe=search.multiprocessing.Pipe, Process=lambda **_: nothing)
    monkeypatch.setattr(search.multiprocessing, "get_context", lambda _: spawn)
    monkeypatch.setattr(search, "wait", lambda _, timeout: waited.append(timeout) or [])
    return waited


def test_a_search_waits_no_longer_than_it_may_and_puts_back_what_it_ends(config: Config, still: list[float]) -> None:
    found = study(config)
    assert list(found.run(3, seconds=0)) == []
    assert still == []
    assert [each.state for each in found._study.trials] == [TrialState.WAITING]  # that of the settings given
    over = iter([False, False, True])
    assert list(found.run(3, stopped=lambda: next(over))) == []
    assert still == [search.POLL] * 2
    assert [(each.state, each.user_attrs.get("attempt")) for each in found._study.trials] == [
        (TrialState.FAIL, None), (TrialState.WAITING, 1),
    ]  # fmt: skip
    over = iter([False, True])
    assert list(found.run(3, cores=2, seconds=search.POLL / 2, stopped=lambda: next(over))) == []
    assert 0 <= still[2] <= search.POLL / 2
    assert [each.state for each in found._study.trials] == [TrialState.FAIL] * 3 + [TrialState.WAITING] * 2


def test_a_trial_of_a_machine_that_never_left_a_sign_begins_again_when_it_is_old(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Path("journal.log")
    other = study(config, storage)
    other._study.ask(other.space)
    here, now = study(config, storage), time.time()
    for later, states in (
        (search.SILENCE - 5, [TrialState.RUNNING]),
        (search.SILENCE + 5, [TrialState.FAIL, TrialState.WAITING]),
    ):
        monkeypatch.setattr(time, "time", lambda late=now + later: late)
        here._last_beat -= search.BEAT
        here._beat()
        assert [each.state for each in here._study.trials] == states
    assert here._study.trials[1].user_attrs == {"attempt": 1}


def test_a_trial_that_another_program_told_has_the_settings_that_were_asked(config: Config) -> None:
    found = study(config)
    found._study.tell(found._study.ask(found.space), 0.5)
    assert found.trials == [search.Trial(1, {"lr": 0.01, "batch_size": 10}, (), 0.0, "")]


def test_a_journal_needs_no_symbolic_links_which_windows_grants_to_few(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(1314, "A required privilege is not held by the client")

    monkeypatch.setattr(os, "symlink", refuse)
    for _ in range(2):  # a new one, and one that is there
        assert study(config, Path("journal.log")).trials == []
    assert left_behind() == ["bars", "journal.log"]
