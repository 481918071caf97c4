"""Search spaces: a range or choices for each setting that a search varies, as Optuna's distributions."""

from dataclasses import Field
from functools import partial
from math import ceil, isfinite, log10
from pathlib import Path
from typing import Any

import numpy as np

from lenet5_cli.config import SETTINGS, check, choices, keyed, nearest, shown, spaces
from lenet5_cli.errors import LeNet5Error, missing
from lenet5_cli.files import shipped_folder

no_optuna = partial(missing, "Optuna, which a search needs,", extra="tune")

try:
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
except ImportError as error:
    raise no_optuna(error) from None

KEPT = ("seed", "data", "test_fraction", "as_is", "validation", "max_time")  # must be equal to compare trials
ROUNDED = 1e-3  # a float is rounded by at most this fraction of its range, to have few digits
SMALLEST = 1e-300  # and to multiples of no less than this, as a range may be arbitrarily narrow

Space = dict[str, BaseDistribution]
"""A search space: distributions of settings, by name."""


def read_space(name: str) -> Space:
    """Return a shipped search space, or that of a TOML file.

    Raises:
        LeNet5Error: no such file, not TOML, a key that is no setting or is not searched, a range that is empty, or a
            value that the setting cannot have.
    """
    if not name:
        raise LeNet5Error("an empty name; expected a search space or a TOML file of ranges of settings")
    path = shipped_folder("configs") / "spaces" / f"{name}.toml" if name in spaces() else Path(name)
    ranges, place = keyed(path, "a TOML file of ranges of settings")
    for key, given in ranges.items():
        try:
            ranges[key] = _distribution(SETTINGS[key], given)
        except LeNet5Error as error:
            raise LeNet5Error(f"{path}: {place(key)}{error}") from None
    if not ranges:
        raise LeNet5Error(f"{path}: no range of a setting; expected at least one")
    return ranges


def _distribution(setting: Field[Any], given: Any) -> BaseDistribution:
    name = setting.name
    if name in KEPT:
        raise LeNet5Error(f"{name}: decides how trials are compared, so it must be the same for all; leave it out")
    if name == "rehearse":
        raise LeNet5Error(f"{name}: trials do not start from a model with data to rehearse; leave it out")
    if isinstance(given, list):
        for value in given:
            check(setting, value)
        if len(set(given)) != len(given) or len(given) < 2:
            raise LeNet5Error(f"{name}: {shown(given)}; expected two or more different choices")
        return CategoricalDistribution(given)
    if setting.type not in (int, float):
        among = f" among {', '.join(choices(setting))}" if choices(setting) else ""
        raise LeNet5Error(f"{name}: {shown(given)}; expected a list of choices{among}")
    return _range(setting, given, IntDistribution if setting.type is int else FloatDistribution)


def _range(setting: Field[Any], given: Any, kind: type[IntDistribution | FloatDistribution]) -> BaseDistribution:
    name = setting.name
    if not isinstance(given, dict) or not {"low", "high"} <= given.keys():
        example = "{ low = 0.01, high = 1.0 }" if kind is FloatDistribution else "{ low = 1, high = 100 }"
        raise LeNet5Error(f"{name}: {shown(given)}; expected a range such as {example}, or a list of choices")
    known = {"low", "high", "log"}
    for key in given.keys() - known:
        raise LeNet5Error(f"{name}: {key[:60]} is not a key of a range{nearest(key[:60], known)}")
    low, high, log = given["low"], given["high"], given.get("log", False)
    check(setting, low)
    check(setting, high)
    if not low < high:
        raise LeNet5Error(f"{name}: from {low} to {high} is an empty range; expected low to be below high")
    if not isinstance(log, bool):
        raise LeNet5Error(f"{name}: log = {shown(log)}; expected true or false")
    if log and low <= 0:
        raise LeNet5Error(f"{name}: from {low} to {high} has no logarithm; expected low to be above 0, or log = false")
    return kind(low, high, log=log)


def contains(distribution: BaseDistribution, value: Any) -> bool:
    """Tell whether a value is in a distribution."""
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    assert isinstance(distribution, IntDistribution | FloatDistribution)  # noqa: S101 - there are no others in a space
    return value is not None and distribution.low <= value <= distribution.high


def rounded(value: Any, distribution: BaseDistribution, start: Any) -> Any:
    """Round a searched float to few digits, within its range; leave the value that the search starts from unchanged."""
    if not isinstance(distribution, FloatDistribution) or value == start or not isfinite(value):
        return value
    low, high = distribution.low, distribution.high
    width = value * float(np.log(high) - np.log(low)) if distribution.log else high - low
    places = ceil(-log10(max(2 * ROUNDED * width, SMALLEST))) if isfinite(width) else 0
    return min(max(round(value, places), low), high)
