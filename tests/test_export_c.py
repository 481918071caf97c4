"""``lenet5 export --to c`` and ``--to hex``: C compiled with every warning an error and run, numbers read back."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lenet5_cli import LeNet5, LeNet5Error
from lenet5_cli.config import Config
from lenet5_cli.data.sources import load
from lenet5_cli.engine import RBF, Conv, Dense, Subsampling
from lenet5_cli.export import TARGETS, c, fixed, write
from lenet5_cli.export import hex as target_hex
from lenet5_cli.export.fixed import FixedPoint
from lenet5_cli.export.layers import description, golden_images
from lenet5_cli.files import BUNDLED_MODEL
from lenet5_cli.storage import checkpoint
from tests.conftest import run
from tests.exporting import IMAGES, NETWORKS, PRESETS, saved

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
import exports

sys.path.pop(0)

MNIST = os.environ.get("LENET5_DATA")
TYPES = TARGETS["c"].types
EVERY = {*PRESETS, "other shapes"} - {"record"}  # what it has of its own, its codes, is the same in every type
CASES = [(name, kind) for name in NETWORKS for kind in TYPES if kind == "int8" or name in EVERY]
needs_cc = pytest.mark.skipif(not exports.on_path("cc"), reason="no C compiler is installed")
needs_arm = pytest.mark.skipif(
    not exports.on_path(exports.ARM, exports.QEMU), reason=f"{exports.ARM} or {exports.QEMU} is not installed"
)


@needs_cc
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_c_computes_what_the_network_does(name: str, kind: str, tmp_path: Path) -> None:
    """With every read and write checked; the whole numbers are equal bit for bit."""
    network, images = NETWORKS[name](), IMAGES[-12:]  # the last are black and white
    write(tmp_path, c.render(network, saved(network), kind, 1))
    digits, distances = exports.run_c(tmp_path, images, kind, *exports.SANITIZERS)
    if kind == "float32":
        np.testing.assert_allclose(distances, -network.scores(images), atol=1e-3)
    else:
        np.testing.assert_array_equal(distances, FixedPoint(network, kind).distances(images))
    np.testing.assert_array_equal(digits, distances.argmin(axis=1))


@needs_cc
@pytest.mark.parametrize("kind", TYPES)
def test_the_test_program_says_where_a_value_differs(kind: str, tmp_path: Path) -> None:
    write(tmp_path, c.render(LeNet5.load(), saved(LeNet5.load()), kind, 2))
    whole = run_test_program(tmp_path)
    assert (whole.returncode, whole.stdout) == (0, as_expected(2))
    # Another value for c3's map 4, row 2, column 7 of the second image.
    value = LeNet5.load().maps(golden_images(2))["c3"][1, 4, 2, 7]
    one = 1 if kind == "float32" else FixedPoint(LeNet5.load(), kind).one
    other = str(max(1, int(0.75 * one)) if value < 0.5 else 0)
    change_golden(tmp_path / "lenet5_golden.h", "golden_c3", 1600 + (4 * 10 + 2) * 10 + 7, other)
    broken = run_test_program(tmp_path)
    assert broken.returncode == 1
    place = rf"image 0: .*\nlayer c3, map 4, row 2, column 7: {other} expected, ([\d.e-]+) found\n"
    told = re.fullmatch(place, broken.stdout)
    assert float(told[1]) / one == pytest.approx(value, abs=0.02)


def test_names_of_classes_are_whole_in_lines_of_any_length() -> None:
    """Lines were broken within them, at hyphens and where a name of many bytes is longer than a line."""
    figures = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    names = ("left-handed-one", "\u043f" * 16, "no-way-out-here1", *(f"twenty-{figure}" for figure in figures * 4))
    strings = [c._string(name) for name in names]
    lines = c._lines(", ".join(strings)).split("\n")
    assert len(lines) > 2
    assert [text for line in lines for text in line.strip(" ,").split(", ")] == strings


def as_expected(count: int) -> str:
    """Return what the test program of the bundled model prints where all is well."""
    network = LeNet5.load()
    scores = network.scores(golden_images(count))
    limit = np.inf if network.threshold is None else network.threshold
    accepted = ["" if -nearest <= limit else "not " for nearest in scores.max(axis=1)]
    return "".join(
        f"image {n}: class {digit}, {word}accepted, every layer as expected\n"
        for n, (digit, word) in enumerate(zip(scores.argmax(axis=1), accepted, strict=True))
    )


def run_test_program(folder: Path) -> subprocess.CompletedProcess[str]:
    program = exports.compiled(folder, [folder / "lenet5_test.c"])
    return subprocess.run([program], capture_output=True, text=True, check=False)


MAIN = """\
#include <stdint.h>
#include <stdio.h>

int read_letter(const uint8_t *image);
int read_digit(const uint8_t *image);

int main(void)
{
    static uint8_t image[784];
    while (fread(image, 1, sizeof image, stdin) == sizeof image)
        printf("%d %d\\n", read_letter(image), read_digit(image));
    return 0;
}
"""


@needs_cc
def test_two_models_in_one_program_as_the_page_says(tmp_path: Path) -> None:
    page = (Path(__file__).parent.parent / "docs" / "export.md").read_text(encoding="utf-8")
    (letter,) = re.findall(r"^```c\n(#define lenet5_classify .*?)^```$", page, re.MULTILINE | re.DOTALL)
    digit = letter.replace("letters", "digits").replace("read_letter", "read_digit")
    networks = {"letters": LeNet5(Config(seed=1, glyphs="letters", init="normal")), "digits": LeNet5.load()}
    sources = {"main.c": MAIN, "letters.c": letter, "digits.c": digit}
    for name, source in sources.items():
        (tmp_path / name).write_text(source, encoding="utf-8")
    for (name, network), kind in zip(networks.items(), ("float32", "int8"), strict=True):
        write(tmp_path / name, c.render(network, saved(network), kind, 1))
    program = exports.compiled(tmp_path, [tmp_path / name for name in sources])
    output = subprocess.run([program], input=IMAGES.tobytes(), capture_output=True, check=True).stdout
    distances = [-networks["letters"].scores(IMAGES), FixedPoint(networks["digits"], "int8").distances(IMAGES)]
    expected = zip(*(each.argmin(axis=1) for each in distances), strict=True)
    assert output.decode().splitlines() == [f"{letter} {digit}" for letter, digit in expected]


def change_golden(header: Path, array: str, place: int, value: str) -> None:
    """Replace one number of an array in a header."""
    before, start, after = header.read_text(encoding="utf-8").partition(f"{array}[")
    declared, equals, numbers = after.partition("=")
    spans = [match.span() for match in re.finditer(r"[-\d.e]+f?", numbers)]
    begin, end = spans[place]
    header.write_text(before + start + declared + equals + numbers[:begin] + value + numbers[end:], encoding="utf-8")


@needs_cc
@pytest.mark.parametrize("kind", TYPES)
def test_images_beyond_the_threshold_are_not_accepted(kind: str, tmp_path: Path) -> None:
    network = LeNet5.load()
    nearest = -network.scores(IMAGES).max(axis=1)
    network.distances = np.full(2, np.median(nearest))
    write(tmp_path, c.render(network, saved(network), kind, 1))
    program = exports.compiled(tmp_path, [exports.SOURCES / "classify.c", tmp_path / "lenet5.c"])
    output = subprocess.run([program], input=IMAGES.tobytes(), capture_output=True, check=True).stdout
    accepted = np.frombuffer(output, np.int32).reshape(len(IMAGES), -1)[:, 1]
    if kind != "float32":
        quantised = FixedPoint(network, kind)
        nearest = quantised.distances(IMAGES).min(axis=1)
        assert quantised.threshold == int(network.threshold * quantised.one**2)
        np.testing.assert_array_equal(accepted, nearest <= quantised.threshold)
    else:
        clear = abs(nearest - network.threshold) > 1e-3
        np.testing.assert_array_equal(accepted[clear], (nearest <= network.threshold)[clear])
    assert 10 < accepted.sum() < 30


@pytest.mark.parametrize("kind", TYPES)
def test_no_variable_that_is_written_outlives_a_call(kind: str) -> None:
    """Every array is constant: it can stay in flash, and two threads can classify at once."""
    source = c.render(LeNet5.load(), saved(LeNet5.load()), kind, 1)["lenet5.c"].decode()
    variables = re.findall(r"^(\w[^(;]*) =", source, re.MULTILINE)
    assert len(variables) >= 13
    assert all(variable.startswith(("static const ", "const char *const ")) for variable in variables)
    assert "malloc" not in source
    assert set(re.findall(r"#include <(\w+)", source)) <= {"math"}
    assert ("#include <math.h>" in source) == (kind == "float32")


@pytest.mark.parametrize("kind", TYPES)
def test_constants_stay_in_the_flash_of_an_avr(kind: str) -> None:
    """Its compiler copies to RAM what is only const; the codes, and weights and biases of six layers, are the least."""
    source = c.render(LeNet5.load(), saved(LeNet5.load()), kind, 1)["lenet5.c"].decode()
    arrays = re.findall(r"^static const (\w+) .* =$", source, re.MULTILINE)
    assert arrays == ["LENET5_FLASH"] * (13 if kind == "float32" else 14)
    assert (
        "#if defined(__FLASH) && !defined(__STRICT_ANSI__)\n#define LENET5_FLASH __flash\n#else\n#define LENET5_FLASH\n"
        in source
    )


@needs_arm
@pytest.mark.parametrize("kind", TYPES)
def test_a_cortex_m4_finds_every_layer_as_expected(kind: str, tmp_path: Path) -> None:
    write(tmp_path, c.render(LeNet5.load(), saved(LeNet5.load()), kind, 1))
    finished = exports.on_cortex_m4(tmp_path, [tmp_path / "lenet5_test.c"])
    assert finished.stdout == as_expected(1)
    assert finished.returncode == 0


@needs_arm
def test_int8_fits_a_small_chip(tmp_path: Path) -> None:
    write(tmp_path, c.render(LeNet5.load(), saved(LeNet5.load()), "int8", 1))
    assert exports.flash_bytes(tmp_path) < 80_000
    _, stack = exports.measure(tmp_path)
    assert 0 < stack + exports.work_bytes(tmp_path) < 12_000


@pytest.mark.parametrize("kind", TARGETS["hex"].types)
@pytest.mark.parametrize("name", ["bundled", "other shapes", "lecun1998", "tanh binary"])
def test_the_hex_files_alone_give_their_golden_values(name: str, kind: str) -> None:
    """By plain loops over what the files say, as the README that comes with them tells it."""
    network = NETWORKS[name]()
    files = target_hex.render(network, saved(network), kind, 1)
    arrays = {path.removesuffix(".hex"): readmemh(text.decode()) for path, text in files.items() if path != "README.md"}
    readme = files["README.md"].decode()
    shifts = {
        row[0]: int(row[1]) for row in re.findall(r"^\| (\w+) \| `y.*` \| (\d+) \| [\d.e-]+ \|$", readme, re.MULTILINE)
    }
    end, bits, mask, half = map(
        int, re.search(r"min\(sum >> shift, (\d+)\).*>> (\d+)`,\n.*& (\d+)`.*\n.*\+ (\d+)\)", readme).groups()
    )
    listed = set(re.findall(r"^\| `(\w+).hex` \| (\d+) \| (\w+) \|", readme, re.MULTILINE))
    types = {name: files[f"{name}.hex"].decode().partition("\n")[0].split(", ")[-1] for name in arrays}
    assert {(name, str(array.size), types[name]) for name, array in arrays.items()} == listed
    assert min(arrays[name].min() for name in types if types[name] == "uint8") >= 0 > arrays["c1_weight"].min()

    top, last = map(int, re.search(r"reg signed \[(\d+):0\] weight \[0:(\d+)\];", readme).groups())
    assert (top + 1, last + 1) == (8 * np.dtype(kind).itemsize, arrays["c1_weight"].size)
    assert {types[f"{each.name}_golden"] for each in network.layers[:-1]} == {types["input_golden"], types["table"]}
    threshold = FixedPoint(network, kind).threshold
    none = "This model has no threshold above which an image belongs to no class."
    assert (f"Above a distance of {threshold}, the image belongs to no class." if threshold else none) in readme

    x = as_read(arrays["image"], readme)
    np.testing.assert_array_equal(x, arrays["input_golden"])
    for layer in network.layers[:-1]:
        weight, bias = arrays[f"{layer.name}_weight"], arrays[f"{layer.name}_bias"]
        sums = plain_sums(layer, x, weight) + bias.reshape(-1, *[1] * (len(layer.output_shape) - 1))
        position = np.where(sums < 0, 0, np.minimum(sums >> shifts[layer.name], end))
        entry, along = position >> bits, position & mask
        table = arrays["table"]
        x = table[entry] + (((table[entry + 1] - table[entry]) * along + half) >> bits)
        np.testing.assert_array_equal(x, arrays[f"{layer.name}_golden"].reshape(x.shape), err_msg=layer.name)
    distances = ((x.reshape(1, 1, -1) - arrays["output_codes"]) ** 2).sum(axis=2)
    np.testing.assert_array_equal(distances, arrays["output_golden"])


def readmemh(text: str) -> np.ndarray:
    """Return a file's numbers in the shape and type that its first line says."""
    comment, *lines = text.splitlines()
    shape = [int(size) for size in re.findall(r"\[\w+: (\d+)\]", comment)]
    dtype = np.dtype(comment.split(", ")[-1])
    assert {len(line) for line in lines} == {2 * dtype.itemsize}
    numbers = np.array([int(line, 16) for line in lines], f"u{dtype.itemsize}")
    return numbers.view(dtype).reshape(shape).astype(np.int64)


def as_read(images: np.ndarray, readme: str) -> np.ndarray:
    """Return images (n, 28, 28) as the network's input (n, 1, 32, 32), as the README tells it."""
    if binary := re.search(r"to 255 \(ink\); (\d+) or more becomes (\d+), less becomes 0", readme):
        images = np.where(images >= int(binary[1]), int(binary[2]), 0)
    padding = int(re.search(r"the image with (\d+) pixels of 0 around it", readme)[1])
    subtracted = re.search(r"; then (\d+) is subtracted from every number, padding included", readme)
    around = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    return np.pad(images[:, None], around) - (int(subtracted[1]) if subtracted else 0)


def plain_sums(layer: object, x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    if isinstance(layer, Conv):
        size = weight.shape[-1]
        k, i, j = layer.output_shape
        sums = np.zeros((1, k, i, j), np.int64)
        for u in range(size):
            for v in range(size):
                sums += np.einsum("ncij,kc->nkij", x[:, :, u : u + i, v : v + j], weight[:, :, u, v])
        return sums
    if isinstance(layer, Subsampling):
        s = layer.kernel_size
        sums = sum(x[:, :, u::s, v::s] for u in range(s) for v in range(s))
        return sums * weight[:, None, None]
    return np.einsum("nc,kc->nk", x.reshape(1, -1), weight)


def test_pixels_are_told_as_the_model_takes_them() -> None:
    """A model of pictures as they are, which are black on white, was said to take white ones on black."""
    told = "from 0 (black) to 255 (white), as in the picture itself"
    for as_is, pixels in ((False, "from 0 (paper) to 255 (ink)"), (True, told)):
        network = LeNet5(Config(seed=1, as_is=as_is))
        header = c.render(network, saved(network), "float32", 1)["lenet5.h"].decode()
        assert f"\n * The image is 28 rows of 28 pixels, {pixels}.\n" in header
        readme = target_hex.render(network, saved(network), "int8", 1)["README.md"].decode()
        assert f"; a pixel is a number {pixels}; 40 or more becomes 255, less becomes 0.\n" in readme
        assert description(network, saved(network))["input"]["pixels"] == pixels


@pytest.mark.parametrize("kind", fixed.TYPES)
def test_no_sum_overflows_where_weights_and_pixels_are_extreme(kind: str) -> None:
    network = LeNet5(Config(seed=1, input="grey"))
    for layer in network.layers[:-1]:
        layer.params["weight"][...] = np.sign(layer.params["weight"])
        layer.params["bias"][...] = 3
    quantised = FixedPoint(network, kind)
    x = quantised.maps(IMAGES[-2:])
    for stage, y in zip(quantised.stages, x.values(), strict=False):
        sums = fixed._sums(stage, y.astype(np.float64))
        assert abs(sums).max() <= fixed.INT32_MAX
        assert (sums == np.rint(sums)).all()


def test_an_output_is_quantised_as_worked_by_hand() -> None:
    """f6 alone, of one unit: 120 inputs of 1 (255), weights of 0.0625, a bias of -7.5.

    z = 120 * 0.0625 - 7.5 = 0, whose sigmoid is 0.5: 255 * 0.5 = 127.5, in the table as 128 (the even one).
    """
    network = LeNet5(Config(seed=1, input="grey"))
    f6 = network.layers[5]
    f6.params["weight"][...] = 0.0625
    f6.params["bias"][...] = -7.5
    quantised = FixedPoint(network, "int8")
    stage = quantised.stages[5]
    # The largest power of two with which 0.0625 / 255 * 2^bits is at most 127 is 2^18; that no sum, of which the
    # largest is 120 * 255 * 64 + (16 + 7.5) * 2^18 = 8,118,272, passes 2^31, is no limit here.
    assert (stage.weight == 64).all()
    assert stage.scale == 0.5**18 * 255
    assert stage.shift == 18 - 4 - 4
    assert (stage.bias == (16 - 7.5) * 2**18 + 2**9).all()
    sums = fixed._sums(stage, np.full((1, 120), 255.0))
    # 120 * 255 * 64 = 1,958,400 for 7.5 * 2^18 = 1,966,080: the weights are rounded, to 64 from 64.25.
    assert (sums == 1_958_400 + 8.5 * 2**18 + 512).all()
    # (1,958,400 + 2,228,224 + 512) >> 10 = 4,089 = 255 * 16 + 9: between the entries at z = -1/16 (124) and at 0 (128),
    # 9/16 of the way: 124 + (4 * 9 + 8 >> 4) = 126.
    assert (quantised._activated(sums, stage.shift) == 126).all()


def test_large_numbers_are_literals_of_c() -> None:
    assert c._literal(np.float32(1e10)) == "1e+10f"


@pytest.mark.parametrize("kind", fixed.TYPES)
@pytest.mark.parametrize("name", ["weight", "bias"])
@pytest.mark.parametrize("value", [1e7, 1e38])
def test_weights_and_biases_that_do_not_fit_are_refused(kind: str, name: str, value: float, bars_folder: Path) -> None:
    network = LeNet5(Config(seed=1))
    params = network.layers[2].params
    params[name].flat[0] = value
    checkpoint.write("large.pkl", saved(network))
    weights, biases = (f"{abs(params[each]).max():.3g}" for each in ("weight", "bias"))
    there = f"c3: weights up to {weights} and biases up to {biases} are too large for {kind}"
    message = f"Error: {there}; expected smaller ones, or another type\n"
    assert run("export", "large.pkl", "--to", "c", "--type", kind, code=1).stderr == message
    assert run("eval", "large.pkl", "--data", bars_folder, "--type", kind, code=1).stderr.endswith(message)


def test_codes_that_are_too_long_are_refused() -> None:
    """128 differences of up to 4096 have squares that add up to 2^31."""
    network = LeNet5(Config(seed=1))
    del network.layers[5:]
    network.add("f6", Dense((120, 1, 1), 128, rng=np.random.default_rng(1)))
    network.add("output", RBF(np.zeros((10, 128))))
    assert FixedPoint(network, "int8").codes.shape == (10, 128)
    message = (
        "output: distances to codes of 128 numbers are too large for int16; expected smaller ones, or another type"
    )
    with pytest.raises(LeNet5Error, match=f"^{message}$"):
        FixedPoint(network, "int16")


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("kind", "off"), [("int8", 0.03), ("int16", 0.0015)])
def test_every_layer_is_near_that_of_the_network(name: str, kind: str, off: float) -> None:
    network = NETWORKS[name]()
    quantised = FixedPoint(network, kind)
    expected, found = network.maps(IMAGES), quantised.maps(IMAGES)
    assert list(found) == list(expected)
    for layer in network.layers[:-1]:
        difference = abs(found[layer.name] / quantised.one - expected[layer.name])
        assert difference.mean() < off, layer.name
    assert abs(quantised.scores(IMAGES) - network.scores(IMAGES)).mean() < 10 * off


@pytest.mark.parametrize("kind", fixed.TYPES)
def test_eval_measures_the_whole_numbers(kind: str, bars_folder: Path) -> None:
    result = run("eval", BUNDLED_MODEL, "--data", bars_folder, "--type", kind, "--json")
    measured = json.loads(result.stdout)
    split = load(str(bars_folder), "test")
    right = int((FixedPoint(LeNet5.load(), kind).scores(np.asarray(split.images)).argmax(axis=1) == split.labels).sum())
    assert (measured["type"], measured["right"]) == (kind, right)


@pytest.fixture(scope="module")
def mnist() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the test images and labels, and the scores of the bundled model."""
    if not MNIST:
        pytest.skip("LENET5_DATA names no folder with MNIST")
    split = load(MNIST, "test")
    images = np.asarray(split.images)
    return images, split.labels, LeNet5.load().scores(images)


@needs_cc
@pytest.mark.parametrize(("kind", "points", "step"), [("float32", 0, 5), ("int8", 0.10, 1), ("int16", 0.02, 1)])
def test_mnist(
    kind: str, points: float, step: int, mnist: tuple[np.ndarray, np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    """What rounding to integers costs takes all images to see; that numbers are equal shows on a fifth of them."""
    images, labels, scores = (each[::step] for each in mnist)
    network = LeNet5.load()
    write(tmp_path, c.render(network, saved(network), kind, 1))
    digits, distances = exports.run_c(tmp_path, images, kind, "-O3")
    lost = ((scores.argmax(axis=1) == labels).mean() - (digits == labels).mean()) * 100
    assert lost <= points + 1e-9
    if kind == "float32":
        np.testing.assert_array_equal(digits, scores.argmax(axis=1))
        np.testing.assert_allclose(distances, -scores, atol=1e-3)
    else:
        np.testing.assert_array_equal(distances[::5], FixedPoint(network, kind).distances(images[::5]))
