"""The Python interface: the same bytes as the command line, what data can be, messages, bars, and the tour."""

import io
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image
from tqdm import tqdm

import lenet5_cli
from lenet5_cli import (
    Committee,
    Config,
    LeNet5,
    LeNet5Error,
    bar,
    evaluate,
    load_data,
    read_digits,
    read_picture,
    train,
)
from lenet5_cli.data import idx
from lenet5_cli.files import only_writer, shipped_folder
from lenet5_cli.storage import checkpoint
from lenet5_cli.training.inputs import as_split
from tests.conftest import bars, drawing, left_behind, run, without_seconds

TOUR = Path(__file__).parent.parent / "docs" / "tour.ipynb"
NUMBER = re.compile(r"\d+(?:\.\d+)?")
SETTINGS = {"epochs": 2, "samples_per_epoch": 50, "seed": 3}


def test_every_public_name_is_there_and_documented() -> None:
    assert set(lenet5_cli.__all__) <= set(dir(lenet5_cli))
    assert not {name for name in dir(lenet5_cli) if name[:1].isupper()} - set(lenet5_cli.__all__)
    for name in lenet5_cli.__all__:
        assert getattr(lenet5_cli, name).__doc__, name
    with pytest.raises(AttributeError, match="module 'lenet5_cli' has no attribute 'trian'"):
        _ = lenet5_cli.trian


def test_type_checkers_know_what_is_there() -> None:
    pytest.importorskip("mypy")
    Path("own.py").write_text(
        "from lenet5_cli import LeNet5, Run, Split, Tally, Text, load_data, trian\n"
        "network, data = LeNet5(), load_data('builtin')\n"
        "for images in (data.images, data.images[:3], [[0.5] * 784]):\n"
        "    network.probabilities(images)\n"
        "    network.maps(images)\n"
        "network.loss_and_gradient(data.images, [1, 2])\n",
        encoding="utf-8",
    )
    # A process of its own: mypy raises the recursion limit of the one that imports it, for all tests that follow.
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir=cache", "own.py"]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.stdout.splitlines() == [
        'own.py:1: error: Module "lenet5_cli" has no attribute "trian"; maybe "train"?  [attr-defined]',
        "Found 1 error in 1 file (checked 1 source file)",
    ]


def test_train_writes_the_bytes_of_the_command_line(bars_folder: Path) -> None:
    run("train", "--data", bars_folder, "--epochs", 2, "--samples-per-epoch", 50, "--seed", 3)
    for config, settings in ((None, SETTINGS), (Config(**SETTINGS), {}), ("report", SETTINGS | {"clip": 2.0})):
        trained = train(config, data=str(bars_folder), output="python.pkl", overwrite=True, **settings)
        assert without_seconds("python.pkl") == without_seconds("model.pkl")
        assert [epoch.epoch for epoch in trained.history] == [1, 2]


def test_data_is_a_split_a_folder_or_arrays(bars_folder: Path) -> None:
    split = load_data(str(bars_folder))
    forms: list[Any] = [
        bars_folder,
        split,
        (split.images, split.labels),
        (split.images.reshape(-1, 784) / 255, split.labels.astype(np.int64)),
    ]
    networks = [train(data=data, **SETTINGS).kept() for data in forms]
    for network in networks[1:]:
        np.testing.assert_array_equal(network.parameters, networks[0].parameters)
    tallies = [evaluate(networks[0], data) for data in forms[1:]]
    assert [tally.images for tally in tallies] == [300, 300, 300]
    assert evaluate(networks[0], bars_folder).images == 50  # of a folder, those to test on
    assert len({tally.loss for tally in tallies}) == 1


def test_a_seed_that_is_not_given_is_drawn_and_kept() -> None:
    first, second = (train(data=bars(20), epochs=1).config.seed for _ in range(2))
    assert isinstance(first, int)
    assert first != second


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(19, int), "labels of shape (19,) for 20 pictures; expected one for each"),
        (np.zeros((20, 1), int), "labels of shape (20, 1) for 20 pictures; expected one for each"),
        (np.zeros(20), "labels of float64; expected integers, the indices of their glyphs"),
        (np.full(20, -1), "label -1 at index 0, counted from 0; expected 0 to 255"),
        (
            np.full(20, 10),
            "arrays: label 10 at index 0, counted from 0; expected digits from 0 to 9; "
            "set glyphs to train with a larger sheet",
        ),
    ],
)
def test_labels_that_do_not_fit(labels: np.ndarray, message: str) -> None:
    for use in (lambda data: train(data=data, epochs=1), lambda data: evaluate(LeNet5(), data)):
        with pytest.raises(LeNet5Error, match=f"^{re.escape(message)}$"):
            use((bars(20).images, labels))


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (bars(20).images, "of type ndarray"),
        ([bars(20).images, bars(20).labels], "of type list"),
        ((bars(20).images, bars(20).labels, bars(20).labels), "a tuple of 3"),
    ],
    ids=["pictures alone", "list", "three"],
)
def test_what_is_no_data_is_told_as_such(data: Any, what: str) -> None:
    message = f"data: {what}; expected a name, a path, a Split, or (pictures, labels)"
    for use in (lambda: train(data=data, epochs=1), lambda: evaluate(LeNet5(), data)):
        with pytest.raises(LeNet5Error, match=f"^{re.escape(message)}$"):
            use()


def test_a_part_without_pictures_is_told() -> None:
    for use in (lambda data: train(data=data, epochs=1), lambda data: evaluate(LeNet5(), data)):
        with pytest.raises(LeNet5Error, match=r"^no pictures; expected at least one$"):
            use(bars(20).part(slice(0)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": np.full(20, -1)}, "label -1 at index 0, counted from 0; expected 0 to 255"),
        ({"labels": np.zeros(5, np.uint8)}, "labels of shape (5,) for 20 pictures; expected one for each"),
        ({"images": np.zeros((20, 27, 28), np.uint8)},
         "pictures of shape (20, 27, 28); expected (n, 28, 28), (n, 784) or (28, 28)"),
        ({"images": np.full((20, 28, 28), 255.0)},
         "pictures of float64 from 255.0 to 255.0; expected uint8, or floats in [0, 1]"),
        ({"images": np.ones((20, 28, 28), np.uint8)},
         "pictures of integers from 0 to 1; expected uint8 from 0 to 255, or floats in [0, 1]"),
    ],
    ids=["negative labels", "few labels", "shape", "range", "black"],
)  # fmt: skip
def test_a_split_of_ones_own_is_looked_at_as_a_pair_of_arrays_is(changes: dict[str, Any], message: str) -> None:
    """A label of -1 was learned as the last class, and fewer labels than pictures were taken."""
    split = replace(bars(20), **changes)
    for use in (lambda: train(data=split, epochs=1), lambda: evaluate(LeNet5(), split)):
        with pytest.raises(LeNet5Error, match=f"^{re.escape(message)}$"):
            use()


def test_a_split_of_floats_is_read_as_a_pair_of_arrays_is() -> None:
    """Large batches of them were cut to 0 and 1."""
    split, network = bars(300), LeNet5(Config(seed=1, input="grey"))
    expected = evaluate(network, split).loss
    assert evaluate(network, replace(split, images=split.images / 255)).loss == expected
    assert evaluate(network, replace(split, labels=split.labels.astype(int))).loss == expected
    assert as_split(split, "test") is split
    assert as_split(replace(split, labels=split.labels.astype(int)), "test").sha256 == split.sha256


def test_of_a_split_that_is_read_on_demand_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idx, "MEMORY_LIMIT", 0)
    split = bars(20)
    idx.write("images", split.images)
    stored = replace(split, images=idx.read_images("images"))
    assert isinstance(stored.images, idx.Stored)
    assert as_split(stored, "test") is stored
    idx.write("images", split.images[:, :27])
    with pytest.raises(LeNet5Error, match=r"^pictures of shape \(20, 27, 28\); expected \(n, 28, 28\)"):
        as_split(replace(split, images=idx.read_images("images")), "test")


def test_settings_of_a_file_are_named_by_a_path_too() -> None:
    Path("own.toml").write_text("epochs = 1\nseed = 2\n", encoding="utf-8")
    assert train(Path("own.toml"), data=bars(20)).config == train("own.toml", data=bars(20)).config


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"config": {"lr": 0.1}}, "config: of type dict; expected a Config, a preset's name or a TOML file"),
        ({"start": ""}, "an empty name; expected a checkpoint"),
        ({"start": LeNet5()}, "start: of type LeNet5; expected the path of a checkpoint, or 'bundled'"),
        ({"output": 5}, "output: of type int; expected the path of a checkpoint"),
        ({"track": True}, "track: of type bool; expected a function such as lenet5_cli.bar"),
        ({"threads": -1}, "threads: -1; expected an integer, 1 or more"),
        ({"threads": None}, "threads: None; expected an integer, 1 or more"),
        ({"threads": 2.5}, "threads: 2.5; expected an integer, 1 or more"),
        ({"threads": "2"}, "threads: '2'; expected an integer, 1 or more"),
    ],
    ids=["settings", "no name", "network", "output", "track", "threads", "no threads", "half a thread", "text"],
)
def test_arguments_of_another_kind_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(LeNet5Error, match=f"^{re.escape(message)}"):
        train(data=bars(20), **SETTINGS | arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"track": None}, "track: of type NoneType; expected a function such as lenet5_cli.bar"),
        ({"keep": -1}, "keep: -1; expected an integer, 0 or more"),
        ({"keep": 2.5}, "keep: 2.5; expected an integer, 0 or more"),
    ],
)
def test_arguments_of_an_evaluation_are_named_too(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(LeNet5Error, match=f"^{re.escape(message)}$"):
        evaluate(LeNet5(), bars(20), **arguments)


def test_none_is_the_bundled_model_for_what_reads_pictures_alone() -> None:
    said = "network: of type NoneType; expected the network itself, as LeNet5.load or run.kept() returns it"
    for use in (lambda: evaluate(None, bars(20)), lambda: Committee([None]), lambda: Committee([LeNet5(), None])):  # type: ignore[arg-type,list-item]
        with pytest.raises(LeNet5Error, match=f"^{re.escape(said)}$"):
            use()
    for read in (
        lambda network: str(read_digits(drawing(3), network)),
        lambda network: read_picture(drawing(3), network),
    ):
        assert np.array_equal(read(None), read(LeNet5.load()))


def test_what_is_no_path_is_no_checkpoint() -> None:
    for given, kind in ((3, "int"), (LeNet5(), "LeNet5"), (b"model.pkl", "bytes")):
        with pytest.raises(LeNet5Error) as error:
            LeNet5.load(given)  # type: ignore[arg-type]
        assert str(error.value) == f"path: of type {kind}; expected the path of a checkpoint, or 'bundled'"


@pytest.mark.parametrize("folder", [".", b"."])
def test_an_entry_of_a_folder_is_a_path(folder: Any) -> None:
    """Messages showed the entry, and one of bytes could not be read."""
    saved = train(data=bars(20), output="model.pkl", epochs=1, seed=1).kept()
    Path("model.pkl").rename("a.pkl")
    with os.scandir(folder) as entries:
        (entry,) = (each for each in entries if os.fsdecode(each.name) == "a.pkl")
    assert np.array_equal(LeNet5.load(entry).parameters, saved.parameters)
    assert checkpoint.read(entry).path == os.fsdecode(entry)


def test_an_output_that_cannot_be_written_is_refused_before_the_first_epoch() -> None:
    Path("folder").mkdir()

    def never(*_: object) -> Any:
        raise AssertionError

    for output, message in (
        ("none/model.pkl", "none/model.pkl: cannot be written: No such file or directory"),
        ("folder", "folder: a folder; expected a file"),
    ):
        with pytest.raises(LeNet5Error, match=f"^{re.escape(message)}$"):
            train(data=bars(20), output=output, track=never, **SETTINGS)
    with only_writer("model.pkl"), pytest.raises(LeNet5Error, match=r"^model\.pkl: another run is writing it"):
        train(data=bars(20), output="model.pkl", **SETTINGS)
    train(data=bars(20), output="model.pkl", **SETTINGS)
    assert sorted(Path().iterdir()) == [Path("folder"), Path("model.pkl")]


def test_a_model_is_replaced_where_that_is_said_alone() -> None:
    """A finished model was replaced without a word."""
    train(data=bars(20), output="model.pkl", epochs=1, seed=1)
    for output in ("model.pkl", Path("model.pkl")):
        with pytest.raises(LeNet5Error, match=r"^model\.pkl exists; overwrite=True replaces it$"):
            train(data=bars(20), output=output, epochs=1, seed=2)
    assert LeNet5.load("model.pkl").config.seed == 1
    train(data=bars(20), output="model.pkl", overwrite=True, epochs=1, seed=2)
    assert LeNet5.load("model.pkl").config.seed == 2


def test_no_output_replaces_what_a_run_reads() -> None:
    """A file of data became a checkpoint."""
    split = bars(20)
    np.savez("own.npz", x_train=split.images, y_train=split.labels, x_test=split.images, y_test=split.labels)
    train(data="own.npz", output="first.pkl", epochs=1, seed=1)
    Path("own.txt").write_bytes((shipped_folder("glyphs") / "digits.txt").read_bytes())
    for name in ("own.npz", "own.txt", "first.pkl"):
        before = Path(name).read_bytes()
        message = f"^{name}: is also read by the run; give the output another name$"
        settings = {"data": "own.npz", "glyphs": "own.txt", "teacher": "first.pkl", "epochs": 1, "seed": 1}
        with pytest.raises(LeNet5Error, match=message):
            train(output=name, overwrite=True, **settings)
        assert Path(name).read_bytes() == before


def test_an_empty_name_is_not_the_bundled_model() -> None:
    with pytest.raises(LeNet5Error, match=r"^an empty name; expected a checkpoint$"):
        LeNet5.load("")


def test_a_name_is_no_network() -> None:
    picture, trained = drawing(3), train(data=bars(20), epochs=1, seed=1)
    for use in (
        lambda name: evaluate(name, bars(20)),
        lambda name: Committee([name]),
        lambda name: read_picture(picture, name),
        lambda name: read_digits(picture, name),
    ):
        for given, what in (
            ("model.pkl", "a name, 'model.pkl'"),
            (Path("model.pkl"), "a name, 'model.pkl'"),
            (trained, "of type Run"),
            ([LeNet5()], "of type list"),
        ):
            said = f"network: {what}; expected the network itself, as LeNet5.load or run.kept() returns it"
            with pytest.raises(LeNet5Error, match=f"^{re.escape(said)}$"):
                use(given)


@pytest.mark.parametrize(
    ("source", "how", "message"),
    [
        (None, {}, "source: of type NoneType; expected a name or a path"),
        ("builtin", {"epochs": 3}, "epochs does not affect how data is read; expected test_fraction, as_is or glyphs"),
        ("builtin", {"data": "x"}, "data does not affect how data is read; expected test_fraction, as_is or glyphs"),
        ("builtin", {"glyph": "letters"}, "glyph is not a setting; did you mean glyphs?"),
    ],
)
def test_data_is_loaded_by_what_says_how_it_is_read_alone(source: Any, how: dict[str, Any], message: str) -> None:
    with pytest.raises(LeNet5Error, match=f"^{re.escape(message)}$"):
        load_data(source, **how)
    with pytest.raises(LeNet5Error, match=r"^split: of type list; expected a name such as train or test$"):
        load_data("builtin", ["train", "test"])  # type: ignore[arg-type]


def test_settings_may_be_scalars_of_numpy_and_the_checkpoint_can_be_read() -> None:
    given: dict[str, Any] = {"lr": np.float64(0.1), "batch_size": np.int64(2), "as_is": np.True_, "epochs": np.array(1)}
    config = train(data=bars(20), output="model.pkl", **given, optimizer=np.str_("adam"), seed=1).config
    named = [getattr(config, name) for name in given]
    assert (named, list(map(type, named))) == ([0.1, 2, True, 1], [float, int, bool, int])
    assert LeNet5.load("model.pkl").config.optimizer == "adam"
    with pytest.raises(LeNet5Error, match=r"^epochs: 1\.5; expected an integer$"):
        Config(epochs=np.float32(1.5))  # type: ignore[arg-type]


def test_a_precision_may_be_a_type_of_numpy() -> None:
    assert Config(dtype=LeNet5(Config(dtype="float64")).dtype) == Config(dtype="float64")  # type: ignore[arg-type]
    with pytest.raises(LeNet5Error, match=r"^dtype: 'int8'; expected float32 or float64$"):
        Config(dtype=np.dtype("int8"))  # type: ignore[arg-type]


def test_an_array_of_choices_is_none() -> None:
    for choice, said in ((np.array(["sgd", "adam"]), r"array\(\['sgd', 'adam'\].*\)"), (["sgd"], r"\['sgd'\]")):
        with pytest.raises(LeNet5Error, match=rf"^optimizer: {said}; expected sgd or adam$"):
            Config(optimizer=choice)  # type: ignore[arg-type]


def test_settings_are_checked() -> None:
    with pytest.raises(LeNet5Error, match=r"^epochs: 0; expected 1 or more$"):
        train(data=bars(20), epochs=0)


def test_data_that_is_named_is_read_by_the_settings_and_by_the_classes_of_the_network() -> None:
    split = bars(120)
    rows = zip(split.labels, split.images.reshape(120, -1).tolist(), strict=True)
    Path("own.csv").write_text("".join(f"{'KLMNOPQRST'[label]},{','.join(map(str, row))}\n" for label, row in rows))
    settings: dict[str, Any] = {"epochs": 1, "glyphs": "letters", "test_fraction": 0.5, "seed": 1}
    first = train(data=Path("own.csv"), **settings)
    network = first.kept()
    half = load_data("own.csv", "train", glyphs="letters", test_fraction=0.5)
    assert first.split.sha256 == half.sha256
    assert set(half.labels) == set(range(10, 20))  # K is the eleventh letter
    half = load_data("own.csv", "test", glyphs="letters", test_fraction=0.5)
    assert evaluate(network, "own.csv").images == len(half.labels)  # as in training
    checkpoint.write("model.pkl", first.checkpoint())
    assert train(data="own.csv", start="model.pkl", epochs=1, seed=1).network.names == network.names


def test_a_split_keeps_how_it_was_read_for_the_checkpoint() -> None:
    """Of a folder read as it is, the checkpoint said that it was read as digits: ``eval`` measured other images."""
    for at, image in enumerate(bars(60).images):
        path = Path(f"own/{at % 2}/{at}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    how = {"as_is": True, "test_fraction": 0.4}
    split = load_data("own", "train", **how)
    run = train(data=split, epochs=1, seed=1)
    assert (run.config.as_is, run.config.test_fraction, run.config.data) == (True, 0.4, "own")
    named = train(data="own", epochs=1, seed=1, **how)
    assert run.checkpoint().config == named.checkpoint().config
    assert evaluate(run.kept(), "own").images == len(load_data("own", "test", **how).labels)
    assert evaluate(Committee([run.kept(), run.kept()]), "own").images == len(load_data("own", "test", **how).labels)


def test_a_model_of_arrays_is_measured_on_what_is_named(bars_folder: Path) -> None:
    split = bars(60)
    train(data=(split.images, split.labels), epochs=1, seed=1, output="model.pkl")
    refused = run("eval", "model.pkl", code=1).stderr
    assert refused == "Error: model.pkl: was trained on arrays, not a data set; give one to evaluate on by --data\n"
    run("eval", "model.pkl", "--data", bars_folder)


def test_a_run_on_arrays_is_resumed_on_what_holds_the_same(bars_folder: Path) -> None:
    split = load_data(bars_folder)
    train(data=(split.images, split.labels), epochs=1, seed=1, output="model.pkl", schedule="exponential")
    refused = run("train", "--resume", "--epochs", 2, code=1).stderr
    assert refused == (
        "Error: model.pkl: was trained on arrays, not a data set; give one with the same images by --data\n"
    )
    run("train", "--resume", "--epochs", 2, "--data", bars_folder)


def slow_batches() -> Any:
    time.sleep(0.3)  # longer than a bar waits before it shows
    yield from [(np.zeros((2, 28, 28), np.uint8), np.zeros(2, np.uint8))] * 2


def test_the_last_line_of_a_notebook_cell_shows_no_arrays(bars_folder: Path) -> None:
    split = load_data(bars_folder, "test")
    tally = evaluate(LeNet5.load(), split)
    assert repr(split) == f"Split({str(bars_folder)!r}, {len(split.labels)} images)"
    assert repr(tally) == f"Tally({tally.right} of {len(split.labels)} right)"
    assert re.fullmatch(r"Checkpoint\('[^']+bundled\.pkl', 70 epochs\)", repr(checkpoint.read("bundled")))
    page = np.full((100, 100), 255, np.uint8)
    page[20:80, 48:54] = 0
    shown = repr(read_digits(page))
    assert shown.startswith("Text(rows=[[Digit(digit=1, ")
    assert "array" not in shown


@pytest.mark.parametrize("notebook", [False, True])
def test_a_bar_shows_in_a_notebook_and_not_on_other_streams(
    notebook: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if notebook:
        monkeypatch.setitem(sys.modules, "ipykernel", sys)
    assert len(list(bar(slow_batches(), 4, "epoch 1"))) == 2
    assert ("epoch 1" in capsys.readouterr().err) == notebook


def test_a_bar_that_ctrl_c_ends_leaves_no_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the same notebook, a thread that showed one later waited for ever."""

    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            if not self.tell():
                super().write(".")
                raise KeyboardInterrupt
            return super().write(text)

    def free(lock: Any) -> bool:
        return lock.acquire(False) and lock.release() is None

    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    monkeypatch.setattr(sys, "stderr", Stream())
    with pytest.raises(KeyboardInterrupt):
        list(bar(slow_batches(), 4, "epoch 1"))
    with ThreadPoolExecutor(1) as other:
        assert list(other.map(free, tqdm.get_lock().locks)) == [True, True]


@pytest.mark.usefixtures("drawn_once")
def test_the_tour_prints_what_it_shows(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Its code cells run in order; they print what is stored, an accuracy nearly, and draw as many figures."""
    mpl.use("agg")
    import matplotlib.pyplot as plt

    monkeypatch.chdir(TOUR.parent)
    namespace: dict[str, Any] = {}
    before = left_behind()
    for cell in json.loads(TOUR.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] != "code":
            continue
        exec("".join(cell["source"]), namespace)  # noqa: S102 - our own
        stored = "".join("".join(output["text"]) for output in cell["outputs"] if output["output_type"] == "stream")
        printed = capsys.readouterr().out
        if stored.startswith("accuracy"):  # on another kind of processor, the last bits are others
            assert [float(n) for n in NUMBER.findall(printed)] == pytest.approx(
                [float(n) for n in NUMBER.findall(stored)], abs=0.03
            )
            printed, stored = (NUMBER.sub("0", text) for text in (printed, stored))
        assert printed == stored
        figures = [output for output in cell["outputs"] if "image/png" in output.get("data", {})]
        assert len(plt.get_fignums()) == len(figures)
        plt.close("all")
    assert left_behind() == before
