"""Search spaces: what is in a file of ranges, what is refused, and how numbers are rounded."""

from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from lenet5_cli.config import Config, read, spaces
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.files import shipped_folder
from lenet5_cli.training.space import contains, read_space, rounded


def test_every_shipped_space_loads_and_has_the_settings_of_the_report() -> None:
    assert spaces() == sorted(path.stem for path in (shipped_folder("configs") / "spaces").iterdir()) == ["default"]
    space, report = read_space("default"), Config(**read("report"))
    assert all(contains(each, getattr(report, name)) for name, each in space.items())


def test_a_space_is_ranges_and_choices(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'lr = { low = 0.01, high = 1, log = true }\nepochs = { low = 1, high = 3 }\nmaps = ["6,16,120", "6,10,84"]\n'
        "batch_size = [1, 10]\n[lr_decay]\nlow = 0\nhigh = 1\n",
        encoding="utf-8",
    )
    assert read_space(str(path)) == {
        "lr": FloatDistribution(0.01, 1, log=True),
        "epochs": IntDistribution(1, 3),
        "maps": CategoricalDistribution(["6,16,120", "6,10,84"]),
        "batch_size": CategoricalDistribution([1, 10]),
        "lr_decay": FloatDistribution(0, 1),
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no range of a setting; expected at least one"),
        ("rate = [1]", "line 1: rate is not a setting; expected one of: " + ", ".join(sorted(Config.__annotations__))),
        ("\nlearn = 1\nepoch = [1, 2]", "line 2: learn is not a setting; expected one of: "
         + ", ".join(sorted(Config.__annotations__))),
        ("lr = 0.5", "line 1: lr: 0.5; expected a range such as { low = 0.01, high = 1.0 }, or a list of choices"),
        ("epochs = { low = 1 }",
         "line 1: epochs: {'low': 1}; expected a range such as { low = 1, high = 100 }, or a list of choices"),
        ("\n[lr]\nlow = 1\nhigh = 0.1", "line 2: lr: from 1 to 0.1 is an empty range; expected low to be below high"),
        ("lr = { low = 1, high = 1 }", "line 1: lr: from 1 to 1 is an empty range; expected low to be below high"),
        ("lr = { low = 0, high = 1, log = true }",
         "line 1: lr: from 0 to 1 has no logarithm; expected low to be above 0, or log = false"),
        ("lr = { low = 0, high = 1, log = 1 }", "line 1: lr: log = 1; expected true or false"),
        ("lr = { low = 0, high = 1, lag = true }", "line 1: lr: lag is not a key of a range; did you mean log?"),
        (f"lr = {{ low = 0, high = 1, {70 * 'x'} = 1 }}", f"line 1: lr: {60 * 'x'} is not a key of a range;"
         " expected one of: high, log, low"),
        ("lr = { low = -1, high = 1 }", "line 1: lr: -1; expected 0 or more"),
        ("lr = { low = 0, high = inf }", "line 1: lr: inf; expected a finite number"),
        ("epochs = { low = 1, high = 2.5 }", "line 1: epochs: 2.5; expected an integer"),
        ('augment = { low = 0, high = 1 }',
         "line 1: augment: {'low': 0, 'high': 1}; expected a list of choices among none, affine, elastic"),
        ('maps = "6,16,120"', "line 1: maps: '6,16,120'; expected a list of choices"),
        ('augment = ["none", "elastick"]', "line 1: augment: 'elastick'; expected none or affine or elastic"),
        ("augment = []", "line 1: augment: []; expected two or more different choices"),
        ('augment = ["none", "none"]', "line 1: augment: ['none', 'none']; expected two or more different choices"),
        ("lr = 1\n\nvalidation = [1, 2]",
         "line 1: lr: 1; expected a range such as { low = 0.01, high = 1.0 }, or a list of choices"),
        ("validation = [1, 2]",
         "line 1: validation: decides how trials are compared, so it must be the same for all; leave it out"),
        ("rehearse = [0.0, 0.5]",
         "line 1: rehearse: trials do not start from a model with data to rehearse; leave it out"),
        ("lr = ", "line 1: not TOML: Invalid value"),
        ('{"lr": 1}', "looks like JSON; expected a TOML file of ranges of settings"),
    ],
)  # fmt: skip
def test_refused_spaces(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(LeNet5Error) as error:
        read_space(str(path))
    assert str(error.value) == f"{path}: {message}"


def test_a_missing_space() -> None:
    with pytest.raises(LeNet5Error) as error:
        read_space("none.toml")
    assert str(error.value) == "none.toml: no such file; expected a TOML file of ranges of settings"


def test_numbers_are_rounded_within_their_range_but_not_those_it_starts_from() -> None:
    between = FloatDistribution(0.0012345, 0.5)
    assert rounded(0.0123456, between, 0.1) == 0.0123
    assert rounded(0.0012346, between, 0.1) == 0.0012345
    assert rounded(0.0123456, between, 0.0123456) == 0.0123456
    assert rounded(0.999543219, FloatDistribution(0.999, 0.9999), 0.9) == 0.999543
    assert rounded(0.999543219, FloatDistribution(0.999, 0.9999, log=True), 0.9) == 0.999543
    wide = FloatDistribution(0.001, 2, log=True)
    assert [rounded(value, wide, 0.1) for value in (0.00123456, 0.123456, 1.23456)] == [0.00123, 0.123, 1.23]
    assert rounded(123456.7, FloatDistribution(1, 1e6), 0.1) == 123000.0
    next_to_1 = FloatDistribution(1, 1 + 2**-52, log=True)
    assert rounded(1 + 2**-52, next_to_1, 0.1) == 1 + 2**-52
    assert rounded(1.234e307, FloatDistribution(1e-3, 1e308, log=True), 0.1) == 1.234e307
    assert rounded(12345, IntDistribution(1, 99999), 1) == 12345
    assert rounded("none", CategoricalDistribution(["none", "affine"]), "affine") == "none"


@pytest.mark.usefixtures("begun")
def test_a_range_has_its_ends_and_choices_have_what_they_name() -> None:
    for between in (FloatDistribution(1, 3), IntDistribution(1, 3)):
        assert [contains(between, value) for value in (None, 0, 1, 2, 3, 4)] == [
            False,
            False,
            True,
            True,
            True,
            False,
        ]
    either = CategoricalDistribution(["none", "affine"])
    assert [contains(either, value) for value in ("none", "elastic")] == [True, False]
