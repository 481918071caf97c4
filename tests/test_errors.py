"""The errors that a user sees."""

import pytest

from lenet5_cli.errors import LeNet5Error, counted, missing


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Größe ✓.pkl: empty", "Größe ✓.pkl: empty"),
        ("a\nb\t", r"a\nb\t"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("name-\udcff", r"name-\udcff"),
        ("\u202etxt", r"\u202etxt"),
    ],
)
def test_what_could_control_a_terminal_is_escaped(text: str, shown: str) -> None:
    assert str(LeNet5Error(text)) == shown


def test_a_missing_library_is_an_import_error_too() -> None:
    error = missing("onnx", ImportError("no\nmodule"), "onnx", instead="write npz")
    assert isinstance(error, LeNet5Error)
    assert isinstance(error, ImportError)
    assert str(error) == r"onnx cannot be imported: no\nmodule; pip install 'lenet5-cli[onnx]' or write npz"


def test_a_count_has_its_noun() -> None:
    counts = [counted(0, "image"), counted(1, "image"), counted(1, "class"), counted(2000, "class")]
    assert counts == ["0 images", "1 image", "1 class", "2,000 classes"]
