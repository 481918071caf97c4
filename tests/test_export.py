"""``lenet5 export``: what every target has in common, and NumPy archives."""

import io
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from lenet5_cli import LeNet5, LeNet5Error
from lenet5_cli.config import Config
from lenet5_cli.engine import Layer
from lenet5_cli.export import TARGETS, fixed, layers, npz, write
from lenet5_cli.files import BUNDLED_MODEL
from lenet5_cli.storage import checkpoint
from lenet5_cli.storage.checkpoint import Checkpoint
from tests.conftest import run
from tests.exporting import IMAGES, NETWORKS, saved

SAVED = checkpoint.read(BUNDLED_MODEL)
SMALL = ["npz", "c", "hex"]  # what needs no extra
FILLED = "holds files already; --overwrite replaces those with the same names and leaves the others"
EXISTS = {name: FILLED if target.types else "exists; --overwrite replaces it" for name, target in TARGETS.items()}


class AveragePooling(Layer):
    """A layer without parameters that no export knows."""

    def __init__(self) -> None:
        super().__init__((6, 28, 28), (6, 14, 14), {}, np.float32)

    def _bind(self, n: int) -> None: ...

    def _forward(self, x: np.ndarray) -> np.ndarray:
        return x.reshape(-1, 6, 14, 2, 14, 2).mean(axis=(3, 5))

    def backward_params(self, dy: np.ndarray) -> None: ...

    def backward_input(self) -> np.ndarray:
        return np.zeros(1)


@pytest.mark.parametrize("target", SMALL)
def test_it_says_on_stderr_what_it_wrote_and_writes_nothing_else(target: str, tmp_path: Path) -> None:
    result = run("export", "--to", target)
    assert (result.stdout, result.stderr) == ("", f"{TARGETS[target].output}: written\n")
    assert [path.name for path in tmp_path.iterdir()] == [TARGETS[target].output]


@pytest.mark.parametrize("target", SMALL)
def test_the_same_network_gives_the_same_bytes(target: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        run("export", BUNDLED_MODEL, "--to", target, "--output", name)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def contents(path: Path) -> dict[str, bytes]:
    return {
        file.name if path.is_dir() else "": file.read_bytes() for file in (path.iterdir() if path.is_dir() else [path])
    }


def test_the_archive_holds_the_network() -> None:
    network = LeNet5.load()
    archive = np.load(io.BytesIO(npz.render(network, SAVED)), allow_pickle=False)
    expected = {f"{layer.name}.{name}": value for layer in network.layers for name, value in layer.params.items()}
    expected["output.codes"] = network.codes
    assert set(archive.files) == {*expected, "network.json"}
    for name, value in expected.items():
        np.testing.assert_array_equal(archive[name], value, err_msg=name)
    described = json.loads(archive["network.json"])
    assert [layer["name"] for layer in described["layers"]] == [layer.name for layer in network.layers]
    assert [layer.get("size") for layer in described["layers"]] == [5, 2, 5, 2, 5, None, None]
    assert described["config"] == SAVED.config
    assert described["input"] == {
        "setting": "grey",
        "pixels": "from 0 (paper) to 255 (ink)",
        "threshold": None,
        "padding": 2,
        "step": 1 / 255,
        "low": 0,
    }


def test_the_archive_has_the_same_bytes_on_every_system(monkeypatch: pytest.MonkeyPatch) -> None:
    network = LeNet5.load()
    written = npz.render(network, SAVED)
    monkeypatch.setattr(sys, "platform", "linux" if sys.platform == "win32" else "win32")
    assert npz.render(network, SAVED) == written


def test_the_archive_says_which_maps_are_read() -> None:
    network = LeNet5(Config(seed=1, connections="lecun1998", input="binary", activation="tanh"))
    archive = np.load(io.BytesIO(npz.render(network, Checkpoint(network.pairs()))), allow_pickle=False)
    described = json.loads(archive["network.json"])
    c3 = described["layers"][2]
    assert (c3["kind"], c3["size"], c3["activation"]) == ("conv", 5, "tanh")
    assert c3["connections"] == (archive["c3.weight"] != 0).any(axis=(2, 3)).astype(int).tolist()
    assert described["input"]["threshold"] == 40


@pytest.mark.parametrize("name", ["bundled", "lecun1998", "tanh binary"])
def test_the_archive_alone_gives_the_distances(name: str) -> None:
    """By what the page on exports says; the numbers of the scaled tanh were nowhere in it."""
    network = NETWORKS[name]()
    archive = np.load(io.BytesIO(npz.render(network, saved(network))), allow_pickle=False)
    described = json.loads(archive["network.json"])
    given, tanh = described["input"], described["tanh"]
    x = np.pad(IMAGES, ((0, 0), *[[given["padding"]] * 2] * 2))
    if given["threshold"] is not None:
        x = np.where(x >= given["threshold"], 255, 0)
    x = given["low"] + given["step"] * x[:, None]
    for layer in described["layers"][:-1]:
        weight, bias = (archive[f"{layer['name']}.{part}"] for part in ("weight", "bias"))
        if layer["kind"] == "conv":
            windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], axis=(2, 3))
            z = np.einsum("ncijuv,kcuv->nkij", windows, weight, optimize=True)
        elif layer["kind"] == "subsampling":
            _, i, j = layer["output_shape"]
            z = x.reshape(len(x), len(weight), i, layer["size"], j, layer["size"]).sum(axis=(3, 5))
            z = z * weight[:, None, None]
        else:
            z = x.reshape(len(x), -1) @ weight
        z = z + bias.reshape(-1, *[1] * (z.ndim - 2))
        scaled = layer["activation"] == "tanh"
        x = tanh["amplitude"] * np.tanh(tanh["slope"] * z) if scaled else 1 / (1 + np.exp(-z))
    distances = ((x[:, None] - archive["output.codes"]) ** 2).sum(axis=2)
    np.testing.assert_allclose(distances, -network.scores(IMAGES), atol=1e-3)


def test_an_unknown_target_is_told_the_known_ones() -> None:
    result = run("export", "--to", "tflite", code=2)
    assert "'tflite' is not one of 'onnx', 'c', 'page', 'npz', 'hex'." in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "npz", "--type", "int8"], "--type goes with c and hex, not with npz"),
        (["--to", "page", "--golden", "3"], "--golden goes with c and hex, not with page"),
        (["--to", "hex", "--type", "float32"], "--type float32 does not go with hex; expected int8 or int16"),
        (["--to", "npz", "--output", "none/a.npz"], "none/a.npz: there is no folder none"),
    ],
)
def test_what_does_not_go_together_is_a_usage_error(arguments: list[str], message: str, tmp_path: Path) -> None:
    assert run("export", *arguments, code=2).stderr.endswith(f"Error: {message}\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("target", TARGETS)
def test_what_exists_stays(target: str) -> None:
    output = Path(TARGETS[target].output)
    mine = output / "lenet5.h" if TARGETS[target].types else output
    mine.parent.mkdir(exist_ok=True)
    mine.write_bytes(b"mine")
    assert run("export", "--to", target, code=2).stderr.endswith(f"Error: {output} {EXISTS[target]}\n")
    assert mine.read_bytes() == b"mine"


@pytest.mark.parametrize("target", ["npz", "onnx", "page"])
def test_the_checkpoint_that_is_read_is_not_written_over(target: str) -> None:
    Path("m.pkl").write_bytes(BUNDLED_MODEL.read_bytes())
    Path("link.pkl").symlink_to("m.pkl")
    for output in ("m.pkl", "link.pkl"):
        said = run("export", "m.pkl", "--to", target, "--output", output, "--overwrite", code=2).stderr
        assert said.endswith(f"Error: {output}: is also read by MODEL; give the output another name\n")
    assert Path("m.pkl").read_bytes() == BUNDLED_MODEL.read_bytes()


@pytest.mark.parametrize(("target", "name"), [("c", "lenet5.h"), ("hex", "image.hex")])
def test_the_checkpoint_is_not_written_over_by_a_file_of_a_folder(target: str, name: str) -> None:
    model = Path("there", name)
    model.parent.mkdir()
    model.write_bytes(BUNDLED_MODEL.read_bytes())
    said = run("export", model, "--to", target, "--output", "there", "--overwrite", code=2).stderr
    assert said.endswith(f"Error: {model}: is also read by MODEL; give the output another name\n")
    assert list(Path("there").iterdir()) == [model]
    assert model.read_bytes() == BUNDLED_MODEL.read_bytes()


@pytest.mark.parametrize("target", ["npz", "hex"])
def test_what_another_process_has_written_meanwhile_stays(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    output = Path(TARGETS[target].output)
    theirs = output / "lenet5.h" if TARGETS[target].types else output

    def check(_: LeNet5) -> None:
        theirs.parent.mkdir(exist_ok=True)
        theirs.write_bytes(b"theirs")

    monkeypatch.setattr(layers, "check", check)
    assert run("export", "--to", target, code=2).stderr.endswith(f"Error: {output} {EXISTS[target]}\n")
    assert [path for path in Path().rglob("*") if path.is_file()] == [theirs]
    assert theirs.read_bytes() == b"theirs"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "m.pkl: no such file; expected a checkpoint"),
        (b"", "m.pkl: empty; expected a checkpoint"),
        (b"\x89PNG", "m.pkl: looks like a PNG image; expected a checkpoint"),
    ],
)
@pytest.mark.parametrize("target", TARGETS)
def test_no_checkpoint_is_refused(target: str, content: bytes | None, message: str) -> None:
    if content is not None:
        Path("m.pkl").write_bytes(content)
    assert run("export", "m.pkl", "--to", target, code=1).stderr == f"Error: {message}\n"
    assert not Path(TARGETS[target].output).exists()


def test_a_foreign_layer_is_refused_by_name() -> None:
    network = LeNet5(Config(seed=1))
    network.layers[1] = AveragePooling()
    network.layers[1].name = "s2"
    message = "s2: AveragePooling cannot be exported; expected Conv or Subsampling or Dense or RBF"
    with pytest.raises(LeNet5Error, match=f"^{message}$"):
        layers.check(network)
    with pytest.raises(LeNet5Error, match=message):
        fixed.FixedPoint(network, "int8")


@pytest.mark.parametrize("target", ["c", "onnx", "page"])
def test_a_number_beyond_float32_is_refused(target: str, tmp_path: Path) -> None:
    network = LeNet5(Config(seed=1, dtype="float64"))
    network.layers[2].params["bias"][3] = -1e39
    checkpoint.write("large.pkl", Checkpoint(network.pairs(), network.sheet))
    message = "Error: c3.bias: holds a number too large for float32; --to npz writes float64 too\n"
    assert run("export", "large.pkl", "--to", target, code=1).stderr == message
    run("export", "large.pkl", "--to", "npz")
    with np.load(tmp_path / "lenet5.npz") as archive:
        assert archive["c3.bias"][3] == -1e39


def test_a_foreign_activation_and_a_missing_output_are_refused() -> None:
    network = LeNet5(Config(seed=1))
    network.config = replace(network.config, activation="tanh")
    with pytest.raises(LeNet5Error, match=r"^c1: sigmoid cannot be exported; expected tanh, as in the settings$"):
        layers.check(network)
    network = LeNet5(Config(seed=1))
    del network.layers[-1]
    with pytest.raises(LeNet5Error, match=r"^f6: expected an RBF layer at the end, and only there$"):
        layers.check(network)


@pytest.mark.parametrize("before", [None, b"old"])
def test_where_the_disk_is_full_nothing_changes(
    before: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if before:
        (tmp_path / "lenet5_c").mkdir()
        (tmp_path / "lenet5_c" / "lenet5.c").write_bytes(before)
    real, synced = os.fsync, []

    def fsync(handle: int) -> None:
        synced.append(handle)
        if len(synced) == 3:  # of four files
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    message = run("export", "--to", "c", "--overwrite", code=1).stderr
    assert message == "Error: lenet5_c: cannot be written: No space left on device\n"
    left = {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == ({"lenet5_c/lenet5.c": b"old"} if before else {})


def test_a_folder_keeps_what_else_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "lenet5_c").mkdir()
    (tmp_path / "lenet5_c" / "main.c").write_text("int main(void) { return 0; }")
    run("export", "--to", "c", "--overwrite")
    assert (tmp_path / "lenet5_c" / "main.c").read_text() == "int main(void) { return 0; }"
    assert (tmp_path / "lenet5_c" / "lenet5.c").exists()


def test_a_file_is_no_folder_and_a_folder_no_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"mine")
    (tmp_path / "folder").mkdir()
    for target, output, reason in (
        ("c", "f", "Directory 'f' is a file."),
        ("page", "folder", "File 'folder' is a directory."),
        ("page", "site/", "site/ names a folder; expected a file"),
        ("hex", "", "an empty name; expected a folder"),
    ):
        refused = run("export", "--to", target, "--output", output, "--overwrite", code=2)
        assert refused.stderr.endswith(f"Error: Invalid value for '-o' / '--output': {reason}\n")
    with pytest.raises(LeNet5Error, match=r"a folder; expected a file$"):
        write(tmp_path, b"")


def test_of_a_folder_all_files_are_written_or_none(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"mine")
    (tmp_path / "b").mkdir()
    with pytest.raises(LeNet5Error, match=r": cannot be written: b is a folder$"):
        write(tmp_path, {"a": b"new", "b": b"new"})
    assert (tmp_path / "a").read_bytes() == b"mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_exports_to_one_folder_wait_for_each_other(tmp_path: Path) -> None:
    contents = [{name: bytes([number]) * 4096 for name in "abcdef"} for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(partial(write, tmp_path / "out"), contents))
    written = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert written in contents


def test_an_empty_folder_is_filled() -> None:
    Path("empty").mkdir()
    run("export", "--to", "hex", "--output", "empty")
    assert Path("empty/c1_weight.hex").exists()
