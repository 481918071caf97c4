"""The one error that a user sees."""

import pytest

from lenet5_cli.errors import LeNet5Error


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
