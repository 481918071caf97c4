"""Checkpoints from strangers: nothing in them is executed, imported or written, and none takes time or memory.

The corpus is ours: pickles that would run a command, that abuse what NumPy's arrays are made by, that loop, nest,
repeat and promise, and checkpoints whose digest is right and whose contents are not.
"""

import json
import os
import pickle
import pickletools
import re
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lenet5_cli
from lenet5_cli import LeNet5
from lenet5_cli.config import Config
from lenet5_cli.data import glyphs
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.storage import checkpoint, safe_pickle
from lenet5_cli.storage.checkpoint import Checkpoint, Epoch
from tests.conftest import Calls, environment

PAIRS = LeNet5(Config(seed=1)).pairs()
ENTRY = {"epoch": 1, "loss": 2.5, "accuracy": 0.5, "lr": 0.5, "images": 6, "seconds": 0.25}
GOOD = Checkpoint(
    PAIRS,
    glyphs.read(),
    asdict(Config(data="builtin:20", seed=1, epochs=2)),
    [Epoch(**ENTRY)],
    {"name": "builtin:20", "images": 20, "sha256": "0" * 64},
    {"lenet5": "0.1.0"},
)
ONLY = "a checkpoint holds only arrays, numbers and strings; nothing was executed"
CALLS = {
    "a shell": b"cposix\nsystem\n(Vtouch canary\ntR.",
    "os.system": b"cos\nsystem\n(Vtouch canary\ntR.",
    "eval": b"cbuiltins\neval\n(Vopen('canary','w')\ntR.",
    "eval of Python 2": b"c__builtin__\neval\n(Vopen('canary','w')\ntR.",
    "exec": b"cbuiltins\nexec\n(Vopen('canary','w')\ntR.",
    "an import": b"ccanary\nfire\n.",
    "an import from within a package": b"cos.path\njoin\n.",
    "a dotted name": b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.",
    "a name hidden in a module": b"\x80\x04\x8c\x0dnumpy.ndarray\x8c\x06tofile\x93.",
    "subprocess": b"csubprocess\nPopen\n((lp0\nVtouch\naVcanary\natR.",
    "partial": b"cfunctools\npartial\n(cos\nsystem\ntR.",
    "getattr": b"cbuiltins\ngetattr\n(cos\nsystem\nVx\ntR.",
    "copyreg": b"ccopyreg\n_reconstructor\n(cbuiltins\nlist\ncbuiltins\nlist\nNtR.",
    "torch": b"ctorch._utils\n_rebuild_tensor_v2\n)R.",
    "numpy.load": b"cnumpy\nload\n(Vcanary\ntR.",
    "numpy.memmap": b"cnumpy\nmemmap\n(Vcanary\nVuint8\nVw+\nK\x00K\x09tR.",
    "an object of NumPy's": b"cnumpy.core.multiarray\nscalar\n)R.",
    "a name as long as a page": b"c" + b"x" * 5000 + b"\n" + b"y" * 5000 + b"\n.",
    "a name that steers": b"c\x1b]0;title\x07\nx\n.",
}


def touch(name: str) -> None:
    """Leave a file behind: what a hostile file would like to be called."""
    Path(name).touch()


def operations() -> dict[str, bytes]:
    """Return a pickle around every operation that there is, with an argument where it takes one."""
    numbered = b"\x01\x00\x00\x00\x00\x00\x00\x00"
    made = {}
    for opcode in pickletools.opcodes:
        length = opcode.arg.n if opcode.arg else 0
        argument = b"1\n" if length < 0 and "nl" in opcode.arg.name else numbered + b"x" if length < 0 else numbered
        argument = b"os\nsystem\n" if opcode.arg and opcode.arg.name == "stringnl_noescape_pair" else argument
        code = opcode.code.encode("latin1")
        made[opcode.name] = b"](K\x01K\x02K\x03" + code + argument[: length if length > 0 else None] * bool(opcode.arg)
    return {f"operation {name}": content + b"." for name, content in made.items()}


def record(**changes: Any) -> bytes:
    """Return a checkpoint of which some parts are others, its digest right: whoever writes the file computes that."""
    path = Path("forged.pkl")
    checkpoint.write(path, replace(GOOD, **changes))
    content = path.read_bytes()
    path.unlink()
    return content


def unsigned(**changes: Any) -> bytes:
    """Return a checkpoint with values that cannot be digested."""
    sheet = {"sheet": None, "glyphs": GOOD.sheet.codes}
    described = {"format": 1, **asdict(replace(GOOD, sheet=None)), "history": [ENTRY], **sheet, **changes}
    return pickle.dumps([*PAIRS, described])


def array(*args: Any, state: Any = None, function: Any = np.ndarray) -> bytes:
    """Return six pairs of arrays that are made by some call."""
    call = Calls(function, *args)
    if state is not None:
        call.call = (*call.call, state)
    return pickle.dumps([[call, np.zeros(6)], *PAIRS[1:]])


def corpus() -> dict[str, bytes]:
    reconstruct, frombuffer = (np.zeros(1).__reduce__()[0], np.zeros(1).__reduce_ex__(5)[0])
    start = (np.ndarray, (0,), b"b")
    laughs = b"\x80\x04]q\x00" + b"".join(b"](h%ch%ceq%c" % (at, at, at + 1) for at in range(100)) + b"."
    return {
        **CALLS,
        **{
            f"protocol {protocol}": pickle.dumps([Calls(touch, "canary"), *PAIRS], protocol)
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
        },
        **operations(),
        "inst": b"(Vtouch canary\nios\nsystem\n.",
        "obj": b"(cos\nsystem\nVtouch canary\no.",
        "newobj": b"\x80\x02cos\nsystem\nVtouch canary\n\x85\x81.",
        "newobj_ex": b"\x80\x04cos\nsystem\n)}\x92.",
        "newobj of an array": b"\x80\x04cnumpy\nndarray\n)\x81.",
        "extension": b"\x80\x02\x82\x01.",
        "persistent": b"Pcanary\n.",
        "persistent from the stack": b"Vcanary\nQ.",
        "a buffer outside": b"\x80\x05\x97.",
        "the class itself changed": b"\x80\x04cnumpy\nndarray\n}(Vx\nVy\nub.",
        "a class as a key": b"}(cnumpy\nndarray\nK\x01u.",
        "an array with strides": array((6, 1, 5, 5), "<f8", bytes(8), 0, (0, 0, 0, 0)),
        "an array of objects": array((6,), "|O8", bytes(48)),
        "an array of records": array((6,), "<f4,<f4", bytes(48)),
        "an array of texts": array((6,), "<U4", bytes(96)),
        "a type as long as a page": array((6,), "f" * 5000, bytes(96)),
        "an array of 10^15": array((10**15,), "<f8", bytes(8)),
        "an array of 2^64": array((2**32, 2**32), "<f8", bytes(8)),
        "an array of 0 times 2^63": array((0, 2**63 - 1, 2**63 - 1), "<f8", b""),
        "a negative shape": array((-6, -1), "<f4", bytes(24)),
        "a shape of truths": array((True,), "<f4", bytes(4)),
        "a shape of fractions": array((1.5,), "<f4", bytes(4)),
        "a shape that is a number": array(6, "<f4", bytes(24)),
        "a shape of shapes": array(((6,),), "<f4", bytes(24)),
        "a shape of 1000 sizes": array((1,) * 1000, "<f4", bytes(4)),
        "bytes that are a list": array((6,), "<f4", [0] * 24),
        "bytes that are a text": array((6,), "<f4", "x" * 24),
        "an array never completed": array(*start, function=reconstruct),
        "an array completed twice": array(*start, function=reconstruct, state=(2, (6,), np.dtype("f4"), False, b"")),
        "a list in the place of bytes": array(
            *start, function=reconstruct, state=(1, (6,), np.dtype("O"), False, [touch] * 6)
        ),
        "a subclass of arrays": pickle.dumps([Calls(reconstruct, np.matrix, (0,), b"b"), *PAIRS[1:]]),
        "another buffer": array(b"", np.dtype("f4"), (10**12,), "C", function=frombuffer),
        "a type of types": pickle.dumps([Calls(np.dtype, np.dtype("f4"), False, True), *PAIRS]),
        "a type with metadata": array((6,), np.dtype("f4", metadata={"a": 1}), bytes(24)),
        "float128": pickle.dumps([[np.zeros(6, np.longdouble)] * 2, *PAIRS[1:]]),
        "complex": pickle.dumps([[np.zeros(6, complex), np.zeros(6)], *PAIRS[1:]]),
        "a scalar of NumPy": pickle.dumps([[np.float64(1), np.zeros(6)], *PAIRS[1:]]),
        "a list that holds itself": b"\x80\x04]\x94h\x00a.",
        "a list that holds itself, in protocol 0": b"(lp0\ng0\na.",
        "a dict that holds itself": b"\x80\x04}\x94\x8c\x01ah\x00s.",
        "a pair that is used six times": pickle.dumps([PAIRS[0]] * 6),
        "lists doubled a hundred times": laughs,
        "a memo that is not there": b"\x80\x04]h\x07a.",
        "a memo of the far future": b"]r\xff\xff\xff\x7f.",
        "a negative memo": b"]p-5\n.",
        "lists 100,000 deep": b"]" * 100_000 + b"a" * 99_999 + b".",
        "marks 100,000 deep": b"(" * 100_000 + b"l" * 100_000 + b".",
        "tuples 100,000 deep": b")" + b"\x85" * 100_000 + b".",
        "a key 100,000 deep": b"})" + b"\x85" * 100_000 + b"Ns.",
        "a shape 100,000 deep": b"cnumpy\nndarray\n)" + b"\x85" * 100_000 + b"V<f4\nN\x87R.",
        "a type 100,000 deep": b"cnumpy\nndarray\n))" + b"\x85" * 100_000 + b"N\x87R.",
        "dicts 100,000 deep": b"}" + b"V\n}" * 100_000 + b"s" * 100_000 + b".",
        "a number of 8 million bits": b"\x8b" + struct.pack("<i", 1 << 20) + b"\x7f" * (1 << 20) + b".",
        "a number of a million digits": b"L" + b"9" * 1_000_000 + b"L\n.",
        "a number of minus 2^31 bytes": b"\x8b\x00\x00\x00\x80.",
        "a promise of 2^63 bytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**63) + b"x.",
        "a promise of 2^40 letters": b"\x80\x04\x8d" + struct.pack("<Q", 2**40) + b"x.",
        "a promise of a frame of 2^60": b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"].",
        "a protocol of the future": b"\x80\xff].",
        "half a letter": b"\x80\x04\x8c\x01\xff.",
        "another pickle behind": pickle.dumps(PAIRS) + pickle.dumps(Calls(touch, "canary")),
        "two checkpoints": record() + record(),
        "keys that are numbers": b"}(K\x01K\x02u.",
        "keys without values": b"}(V1\nV2\nV3\nu.",
        "a set": pickle.dumps([{1, 2}, *PAIRS], 4),
        "a frozen set": pickle.dumps([frozenset((1, 2)), *PAIRS], 4),
        "a text of Python 2": b"](U\x03abce.",
        "a list in the place of the record": pickle.dumps([*PAIRS, []]),
        "another format": unsigned(format=2),
        "a format that is a list": unsigned(format=[1]),
        "a format that is an array": unsigned(format=np.zeros(2)),
        "a digest that is an array": unsigned(sha256=np.zeros(2)),
        "a setting that is an array": unsigned(config={"lr": np.zeros(2)}),
        "a history of arrays": unsigned(history=[np.zeros(2)]),
        "a name of a state as long as a book": unsigned(state={"x" * 1_000_000: 1}),
        "an order that is an array": array(bytes(24), np.dtype("f4"), (6,), np.zeros(2), function=frombuffer),
        "an encoding that is an array": b"](c_codecs\nencode\n(Vx\n" + pickle.dumps(np.zeros(2), 5)[11:-1] + b"tRe.",
        "a version that is an array": array(
            *start, function=reconstruct, state=(np.zeros(2), (6,), np.dtype("f4"), False, bytes(24))
        ),
        "a type whose version is an array": pickle.dumps([[Calls(np.dtype, "f4")] * 2, *PAIRS]).replace(b"K\x03", b")"),
        "a state of one array a thousand times": unsigned(
            state=dict.fromkeys(map(str, range(1000)), np.zeros(60900, np.float32))
        ),
        "a call made again and again": (
            b"]((cnumpy\nndarray\n\x94(M\x00\x01\x85V|u1\nB\x00\x01\x00\x00" + bytes(256) + b"t\x94Rh\x00h\x01RlR."
        ),
        "a state that is an array": array(*start, function=reconstruct, state=np.zeros(2)),
        "a call of 100,000 values": b"](cnumpy\nndarray\n(" + b"N" * 100_000 + b"tRe.",
        "a fraction of a million digits": b"F" + b"1" * 1_000_000 + b"\n.",
        "no glyphs": unsigned(glyphs=None),
        "glyphs of twos": record(sheet=glyphs.Sheet(np.full((10, 84), 2, np.uint8), glyphs.DIGITS)),
        "a digest that is none": unsigned(sha256=None),
        **{f"settings: {name}": record(config={**GOOD.config, **wrong}) for name, wrong in SETTINGS.items()},
        **{f"history: {name}": unsigned(history=wrong) for name, wrong in HISTORIES.items()},
        "settings that are a list": unsigned(config=[]),
        "a setting of bytes": unsigned(config={"data": b"x"}),
        "data that is a text": unsigned(data="mnist"),
        "data without a name": record(data={"name": ["mnist"]}),
        "data as a dict": record(data={"name": {"a": 1}}),
        "a version of bytes": unsigned(versions={"numpy": b"1"}),
        "a state of texts": unsigned(state={"velocity": "x"}),
        "a state of NaN": record(state={"velocity": np.full(60900, np.nan, np.float32)}),
        "a state of numbers that are whole": record(state={"velocity": np.zeros(60900, np.uint8)}),
        "weights of NaN": record(pairs=[[PAIRS[0][0] * np.float32(np.nan), PAIRS[0][1]], *PAIRS[1:]]),
        "weights of infinity": record(pairs=[[PAIRS[0][0] + np.float32(np.inf), PAIRS[0][1]], *PAIRS[1:]]),
        "weights transposed": record(pairs=[[PAIRS[0][0].T, PAIRS[0][1]], *PAIRS[1:]]),
    }


SETTINGS = {
    "a count that is a text": {"epochs": "x"},
    "a count that is true": {"epochs": True},
    "a count of none": {"epochs": 0},
    "a count of 2^63": {"epochs": 2**63},
    "a list": {"activation": ["sigmoid"]},
    "a dict": {"input": {"a": 1}},
    "nothing": {"loss": None},
    "another loss": {"loss": "l2"},
    "NaN": {"lr": float("nan")},
    "infinity": {"lr": float("inf")},
    "a text of a million letters": {"data": "x" * 1_000_000},
    "a name of a million letters": {"x" * 1_000_000: 1},
    "lists in lists in lists": {"other": [[[[1]]]]},
}
HISTORIES: dict[str, list[Any]] = {
    "not dicts": [3],
    "texts": [{**ENTRY, "loss": "low"}],
    "nothing": [{**ENTRY, "accuracy": None}],
    "a truth": [{**ENTRY, "epoch": True}],
    "an array": [{**ENTRY, "loss": np.zeros(2)}],
    "a number that is not the next": [ENTRY, {**ENTRY}],
    "infinity": [{**ENTRY, "seconds": float("inf")}],
    "a number that no curve can show": [{**ENTRY, "loss": -1e308}],
    "no loss": [{"epoch": 1}],
    "a list": [{**ENTRY, "validation_accuracy": [1]}],
    "a long text": [{**ENTRY, "note": "x" * 5000}],
    "a deep list": [{**ENTRY, "note": [[[[]]]]}],
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the corpus on disk."""
    folder = tmp_path_factory.mktemp("corpus")
    before = Path.cwd()
    os.chdir(folder)
    made = {}
    for number, (name, content) in enumerate(corpus().items()):
        made[name] = folder / f"{number}.pkl"
        made[name].write_bytes(content)
    os.chdir(before)
    return made


@pytest.mark.parametrize("name", ["README.md", "SECURITY.md", "docs/results.md"])
def test_as_many_are_tried_as_is_told(name: str, files: dict[str, Path]) -> None:
    page = Path(__file__).parent.parent / name
    told = re.search(
        r"has (\d+) hostile files|hostile checkpoints, written by us \| (\d+)|hostile checkpoints .* 0 of (\d+)",
        page.read_text(encoding="utf-8"),
    )
    assert str(len(files)) in told.groups()


def test_each_is_refused_with_a_message_of_ours(files: dict[str, Path]) -> None:
    for name, path in files.items():
        with pytest.raises(LeNet5Error) as refused:
            LeNet5.load(path)
        message = str(refused.value)
        assert message.startswith(f"{path}: "), name
        assert message.isprintable()
        assert 10 < len(message) - len(str(path)) < 400, (name, message)
        assert "Error" not in message, (name, message)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a shell", f"it would call posix.system; {ONLY}"),
        ("a dotted name", f"it would call numpy.ndarray.tofile; {ONLY}"),
        ("a name that steers", rf"it would call \x1b]0;title\x07.x; {ONLY}"),
        ("the class itself changed", "it would change numpy.ndarray; nothing was executed"),
        ("extension", "byte 2 is the pickle operation EXT1, which no checkpoint needs"),
        ("a list that holds itself", "damaged: one list is used twice, at byte 4"),
        ("a number of 8 million bits", "damaged: an integer of 8,388,607 bits, at byte 0"),
        ("keys that are numbers", "damaged: a dict key of type int; expected str, at byte 6"),
        ("settings: a count that is a text", "config: epochs: 'x'; expected an integer"),
        ("settings: a list", "config: activation: ['sigmoid']; expected sigmoid or tanh"),
        ("settings: NaN", "config.lr: nan; expected a finite number"),
        ("settings: a text of a million letters",
         "config.data: a string of 1,000,000 characters; expected at most 4,096"),
        ("history: not dicts", "history[0]: int; expected a dict"),
        ("history: texts", "history[0].loss: 'low'; expected a finite number"),
        ("history: infinity", "history[0].seconds: inf; expected a finite number"),
        ("history: a number that no curve can show", "history[0].loss: -1e+308; expected at most 1e+100"),
        ("history: no loss", "history[0]: no loss; expected epoch, loss, accuracy, lr, images, seconds"),
        ("history: a number that is not the next", "history[1].epoch: 1; expected 2"),
        ("weights transposed", "c1.weight: shape (5, 5, 1, 6); expected (6, 1, 5, 5)"),
        ("data without a name", "data.name: ['mnist']; expected a string"),
        ("weights of NaN", "c1.weight: holds NaN or infinity"),
    ],
)  # fmt: skip
def test_the_message_is_precise(name: str, message: str, files: dict[str, Path]) -> None:
    with pytest.raises(LeNet5Error) as refused:
        LeNet5.load(files[name])
    assert str(refused.value) == f"{files[name]}: {message}"


WATCHED = """
import json, os, pickle, sys
from pathlib import Path
from click.testing import CliRunner
from lenet5_cli.commands import lenet5
from lenet5_cli.files import shipped_folder
from PIL import Image

good, picture, data, *files = sys.argv[1:]
SHEETS = str(shipped_folder("glyphs"))
seen = []
HARMLESS = {"sys._getframe", "object.__getattr__", "object.__setattr__", "object.__delattr__", "code.__new__",
            "builtins.id", "gc.get_objects", "cpython.run_interactivehook", "signal.pthread_kill"}

def watch(event, args):
    if not watching or event in HARMLESS:
        return
    reading = event == "open" and not args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    if reading and (str(args[0]) == allowed or type(args[0]) is int):  # of a number, once it is open
        return
    if (reading or event in ("pathlib.Path.glob", "os.scandir")) and str(args[0]).startswith(SHEETS):
        return  # the shipped sheet, for a file that holds no glyphs
    if event in ("pathlib.Path.glob", "os.scandir") and str(args[0]).rstrip("/") == data:  # with it from Python 3.14 on
        return  # whose files are not written over
    seen.append([allowed, event, repr(args)])

watching, allowed = False, None
sys.addaudithook(watch)

def commands(path):
    yield ["eval", path, "--data", data]
    yield ["info", path]
    yield ["info", path, "--json"]
    yield ["predict", "--model", path, picture]
    yield ["train", "--resume", "--output", path, "--data", data]

def run(arguments):
    result = CliRunner().invoke(lenet5, arguments)
    return [result.exit_code, type(result.exception).__name__, result.stdout, result.stderr]

for arguments in commands(good):  # what is imported on the way is loaded
    run(arguments)
for codec in ("unicode_escape", "raw_unicode_escape"):
    "x".encode(codec)
answers = []
for number, allowed in enumerate(files):
    every = list(commands(allowed))
    for arguments in every if number < 20 else [every[number % 5]]:
        watching = True
        answer = run(arguments)
        watching = False
        answers.append([allowed, arguments[0], *answer])
noticed, seen = seen, []
watching = True
pickle.loads(b"ccanary\\nfire\\n.")
watching = False
print(json.dumps({"answers": answers, "seen": noticed, "control": [event for _, event, _ in seen]}))
"""


def test_no_command_executes_imports_opens_or_writes_anything(
    files: dict[str, Path], bars_folder: Path, tmp_path: Path
) -> None:
    """The files of the corpus given to the commands that read one, while Python reports what is done.

    The first twenty, which are those that would call something, are given to every command, the others to one each.
    """
    (tmp_path / "canary.py").write_text("def fire(): pass\nopen('canary', 'w')\n", encoding="utf-8")
    checkpoint.write(tmp_path / "good.pkl", GOOD)
    picture = Path(lenet5_cli.__file__).parents[1] / "glyphs" / "digits.png"
    around = environment()
    around["PYTHONPATH"] += f"{os.pathsep}{tmp_path}"
    before = {path: path.read_bytes() for path in files.values()}
    result = subprocess.run(
        [sys.executable, "-c", WATCHED, *map(str, (tmp_path / "good.pkl", picture, bars_folder, *files.values()))],
        capture_output=True,
        text=True,
        check=True,
        env=around,
    )
    report = json.loads(result.stdout)
    assert report["seen"] == []
    assert {"pickle.find_class", "import", "open"} <= set(report["control"])  # of Python's unpickler, it is seen
    assert len(report["answers"]) == len(files) + 4 * 20
    for path, command, code, exception, stdout, stderr in report["answers"]:
        assert (code, exception, stdout) == (1, "SystemExit", ""), (path, command, stderr)
        assert stderr.startswith(f"Error: {path}: "), (command, stderr)
        assert stderr.count("\n") == 1
        assert stderr[:-1].isprintable()
    left = {path.name for path in tmp_path.iterdir()} - {"__pycache__"}
    assert left == {"bars", "canary", "canary.py", "good.pkl"}  # the canary is the control's
    assert {path: path.read_bytes() for path in files.values()} == before
    assert not {path.name for path in next(iter(files.values())).parent.iterdir() if path.suffix != ".pkl"}


SIZE = 64 << 20  # the most that is read
MEGABYTE = b"X" + struct.pack("<I", 1 << 20) + b"x" * (1 << 20) + b"\x94"  # a text, noted under 0
ENCODE = b"(h\x00Vlatin1\ntR"
COUNTED = "more than 2,097,152 pickle operations; expected fewer in a checkpoint"
FLOODS: dict[str, tuple[Callable[[], bytes], str]] = {
    "dicts": (lambda: b"\x80\x04" + b"}" * (SIZE - 3) + b".", COUNTED),
    "a text again and again": (
        lambda: MEGABYTE + b"h\x00" * (31 << 20) + b".",
        "damaged: a large value is reused too often, at byte 1,048,708",
    ),
    "a text as bytes again and again": (
        lambda: b"](" + MEGABYTE + b"c_codecs\nencode\n\x94" + ENCODE + (b"h\x01" + ENCODE) * 1_000_000 + b"e.",
        "damaged: a large value is reused too often, at byte 1,048,718",
    ),
    "an array again and again": (
        lambda: b"](cnumpy\nndarray\n(M\0\1\x85V|u1\nB\0\1\0\0" + bytes(256) + b"tR\x94" + b"h\0" * 9_000_000 + b"e.",
        "damaged: a large value is reused too often, at byte 140,917",
    ),
    "keys of one hash": (
        lambda: (
            b"\x80\x04}(" + b"".join(b"I%d\nN" % (at * (2**61 - 1)) for at in range(-3, 4)) + b"I1\nN" * 500_000 + b"u."
        ),
        "damaged: a dict key of type int; expected str, at byte 2,000,143",
    ),
    "a long text": (
        lambda: b"X" + struct.pack("<I", SIZE - 6) + b"x" * (SIZE - 6) + b".",
        "a pickle, but not a checkpoint; expected a list of [weight, bias] pairs",
    ),
    "a short text again and again": (
        lambda: b"](" + (b"\x8c\x1c" + "\U0001f600".encode() * 7) * 2_090_000 + b"e.",
        "a pickle, but not a checkpoint; expected a list of [weight, bias] pairs",
    ),
    "many short texts": (
        lambda: b"](" + b"".join(b"\x8c\x1c%028d" % number for number in range(70_000)) + b"e.",
        "damaged: more than 65,536 different strings, at byte 1,966,082",
    ),
    "a long number": (
        lambda: b"\x8b" + struct.pack("<i", SIZE - 6) + b"\x7f" * (SIZE - 6) + b".",
        "damaged: an integer of 536,870,863 bits, at byte 0",
    ),
}
# Each file is read by a process of its own, which is forked: to start one takes longer than to read most of the files.
MEASURED = r"""
import os, re, sys
from pathlib import Path
from lenet5_cli import LeNet5Error
from lenet5_cli.storage import checkpoint

def most():
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

for path in map(str.strip, sys.stdin):
    if os.fork():
        os.wait()
        continue
    before = most()
    try:
        checkpoint.read(path)
    except LeNet5Error as error:
        print(most() - before, error, flush=True)
    os._exit(0)
"""


@pytest.fixture(scope="module")
def measured() -> Iterator[Callable[[Path], tuple[int, str]]]:
    """Return a function that says by how many bytes a process grows that reads a file, and its message."""
    command = [sys.executable, "-c", MEASURED]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
    ) as reader:

        def read(path: Path) -> tuple[int, str]:
            print(path, file=reader.stdin, flush=True)
            grown, message = reader.stdout.readline().split(" ", 1)
            return int(grown), message

        yield read


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the memory that a process had is told by Linux")
@pytest.mark.parametrize(("flood", "told"), FLOODS.values(), ids=FLOODS)
def test_a_large_hostile_file_takes_memory_for_a_few_of_its_size(
    flood: Callable[[], bytes], told: str, measured: Callable[[Path], tuple[int, str]], tmp_path: Path
) -> None:
    path = tmp_path / "flood.pkl"
    path.write_bytes(flood())
    grown, message = measured(path)
    assert message == f"{path}: {told}\n"
    assert 0 < grown < 4 * SIZE


@pytest.mark.parametrize(("length", "refused"), [(15, False), (16, True)])
def test_as_much_as_the_whole_file_may_be_reused(length: int, refused: bool) -> None:
    """A string and fifteen bytes around it, that have it twice more."""
    text = "x" * length
    content = b"\x80\x04(X" + struct.pack("<I", length) + text.encode() + b"\x94h\x00h\x00t."
    if refused:
        with pytest.raises(LeNet5Error, match="a large value is reused too often"):
            safe_pickle.read(content)
    else:
        assert safe_pickle.read(content) == (text, text, text)


def test_the_longest_run_can_be_read_back(tmp_path: Path) -> None:
    """As many epochs as a run can have are fewer operations than a file may have."""
    history = [
        Epoch(**{**ENTRY, "epoch": epoch}, validation_loss=0.5, validation_accuracy=0.5) for epoch in range(1, 1001)
    ]
    checkpoint.write(tmp_path / "model.pkl", replace(GOOD, history=history))
    content = (tmp_path / "model.pkl").read_bytes()
    an_epoch = sum(1 for _ in pickletools.genops(content)) / 1000
    assert an_epoch * 100_000 < safe_pickle.OPERATIONS
    assert len(content) / 1000 * 100_000 < checkpoint.SIZE_LIMIT
    assert checkpoint.read(tmp_path / "model.pkl").history == history


REFUSED = {
    "a name as long as a page": f"it would call {'x' * 100}...; {ONLY}",
    "a scalar of NumPy": f"it would call numpy._core.multiarray.scalar; {ONLY}",
    "a subclass of arrays": f"it would call numpy.matrix; {ONLY}",
    "eval of Python 2": f"it would call __builtin__.eval; {ONLY}",
    "operation LONG4": "damaged: byte 14, 0x00, is not a pickle operation",
    "operation STRING": "damaged: the pickle operation at byte 8 cannot be read",
    "operation APPEND": "damaged: int; expected list",
    "operation SETITEM": "damaged: int; expected dict",
    "operation SETITEMS": "damaged: list; expected dict",
    "operation STACK_GLOBAL": "damaged: int; expected str",
    "operation REDUCE": "damaged: int; expected tuple",
    "operation BUILD": "damaged: int; expected call",
    "operation GET": "damaged: GET at byte 8 needs a value that is not there",
    "operation DICT": "damaged: a dict with a key without a value",
    "a class as a key": "damaged: a dict key of type name; expected str",
    "an array with strides": "damaged: numpy.ndarray with 5 arguments that do not fit",
    "a call of 100,000 values": "damaged: numpy.ndarray with 100000 arguments that do not fit",
    "an encoding that is an array": "damaged: _codecs.encode with 2 arguments that do not fit",
    "a type as long as a page": f"numbers of type {'f' * 20}; expected float32 or float64",
    "a type 100,000 deep": "numbers of type tuple; expected float32 or float64",
    "an array of 0 times 2^63": f"damaged: 0 bytes for an array of f8 of shape (0, {2**63 - 1}, {2**63 - 1})",
    "a negative shape": "damaged: 24 bytes for an array of f4 of shape (-6, -1)",
    "a shape of truths": "damaged: an array whose shape is not a tuple of integers",
    "a shape that is a number": "damaged: an array whose shape is not a tuple of integers",
    "a shape of 1000 sizes": "damaged: an array whose shape is not a tuple of integers",
    "bytes that are a text": "damaged: str; expected the bytes of an array",
    "an array never completed": "c1.weight: call; expected an array",
    "an array completed twice": "damaged: the state of numpy.core.multiarray._reconstruct is not as NumPy writes it",
    "a type with metadata": "damaged: the state of numpy.dtype is not as NumPy writes it",
    "an order that is an array": "c1.weight: shape (6,); expected (6, 1, 5, 5)",
    "a number of minus 2^31 bytes": "damaged: the pickle operation at byte 0 cannot be read",
    "a dict that holds itself": "damaged: one dict is used twice",
    "a call made again and again": "damaged: one tuple is used twice",
    "a state of one array a thousand times": "damaged: a large value is reused too often",
    "a promise of 2^40 letters": "cut off or damaged: the operation at byte 2 extends past the end",
    "a list in the place of the record": "pair 7: not a pair; expected [weight, bias]",
    "a digest that is none": "damaged: its content does not match the stored SHA-256",
    "a name of a state as long as a book": "state[0]: a string of 1,000,000 characters; expected at most 4,096",
    "settings: a name of a million letters": "config: a string of 1,000,000 characters; expected at most 4,096",
    "history: a long text": "history[0].note: a string of 5,000 characters; expected at most 4,096",
    "history: a deep list": "history[0].note[0]: list; expected a number or a string",
    "history: an array": "history[0].loss: ndarray; expected a number or a string",
    "settings that are a list": "damaged: config is of type list; expected dict",
    "data that is a text": "damaged: data is of type str; expected dict",
    "a version of bytes": "versions.numpy: bytes; expected a number or a string",
    "a state of texts": "state.velocity: str; expected an array",
    "a state of numbers that are whole": "state.velocity: uint8 numbers; expected float32 or float64",
    "weights of infinity": "c1.weight: holds NaN or infinity",
}


def test_each_refusal_says_what_is_there_and_what_was_expected(files: dict[str, Path]) -> None:
    """Without the places in what NumPy pickled, which another version of it may move."""
    told = {}
    for name in REFUSED:
        with pytest.raises(LeNet5Error) as refused:
            LeNet5.load(files[name])
        told[name] = re.sub(r", at byte [\d,]+$", "", str(refused.value).removeprefix(f"{files[name]}: "))
    assert told == REFUSED


def test_a_history_of_what_no_epoch_has_and_one_that_is_no_list(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    for history, said in (
        ([{**ENTRY, "note": 1}], f"history[0]: 'note'; expected {', '.join(checkpoint._EPOCH)}"),
        ({}, "damaged: history is of type dict; expected list"),
    ):
        path.write_bytes(unsigned(history=history))
        with pytest.raises(LeNet5Error) as refused:
            checkpoint.read(path)
        assert str(refused.value) == f"{path}: {said}"


def test_distances_are_as_many_ascending_numbers_as_a_run_writes(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    ascending = np.sort(np.random.default_rng(1).random(checkpoint.QUANTILES, np.float32))
    ascending[7] = ascending[6]  # two may be equal
    checkpoint.write(path, replace(GOOD, distances=ascending))
    np.testing.assert_array_equal(checkpoint.read(path).distances, ascending)
    for wrong in (ascending[1:], ascending[::-1], ascending[:, None]):
        checkpoint.write(path, replace(GOOD, distances=wrong))
        with pytest.raises(LeNet5Error) as refused:
            checkpoint.read(path)
        assert str(refused.value) == f"{path}: distances: not 1,001 ascending numbers"


@pytest.mark.parametrize(
    "value",
    [
        np.zeros(0), np.arange(5, dtype=np.uint8), np.array([True, False]), np.ones((1, 2, 3, 4), ">f4"),
        2**64 - 1, -(2**63), 1.5, None, (), {"a": [(1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)]}, "ä", b"x",
    ],
)  # fmt: skip
def test_what_a_checkpoint_may_hold_is_read_as_python_reads_it(value: Any) -> None:
    for protocol in range(3, pickle.HIGHEST_PROTOCOL + 1):  # earlier ones call `bytes` for none of them
        read = safe_pickle.read(pickle.dumps(value, protocol))
        np.testing.assert_equal(read, value)
        assert type(read) is type(value)
        assert np.asarray(read).dtype == np.asarray(value).dtype


LONG = b"c" + b"x" * 50 + b"\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (pickle.dumps(2**64, 2), "damaged: an integer of 65 bits, at byte 2"),
        (pickle.dumps(np.zeros((1,) * 5), 5), "damaged: an array whose shape is not a tuple of integers, at byte "),
        (b"]q\x02.", "damaged: memo entry 2, at byte 1"),
        (
            b"cnumpy\nndarray\n(K\x01\x85cnumpy\ndtype\n)RC\x04fourtR.",  # a type of nothing
            "numbers of type nonetype; expected float32 or float64",
        ),
        (b"c_codecs\nencode\n(V\\u0100\nVlatin1\ntR.", "damaged: a string that does not encode bytes, at byte 34"),
        (LONG + b"y" * 49 + b"\n.", f"it would call {'x' * 50}.{'y' * 49}; {ONLY}"),
        (LONG + b"y" * 50 + b"\n.", f"it would call {'x' * 50}.{'y' * 49}...; {ONLY}"),
    ],
)
def test_what_is_a_little_more_than_may_be_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(LeNet5Error) as refused:
        safe_pickle.read(content)
    assert str(refused.value).rstrip("0123456789") == said.rstrip("0123456789")


def test_a_memo_may_leave_one_out_and_a_file_have_as_many_operations_as_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    assert safe_pickle.read(b"]q\x01.") == []
    for operations in (3, 2):
        monkeypatch.setattr(safe_pickle, "OPERATIONS", operations)
        if operations == 3:
            assert safe_pickle.read(b"]q\x01.") == []
            continue
        with pytest.raises(LeNet5Error, match=r"^more than 2 pickle operations; expected fewer in a checkpoint$"):
            safe_pickle.read(b"]q\x01.")
