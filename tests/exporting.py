"""The networks that every export is tested with."""

from collections.abc import Callable
from dataclasses import asdict

import numpy as np

from lenet5_cli import LeNet5, config
from lenet5_cli.config import Config
from lenet5_cli.data import drawn
from lenet5_cli.engine import RBF, SIGMOID, Conv, Dense, Subsampling
from lenet5_cli.storage.checkpoint import Checkpoint

BLACK_AND_WHITE = np.repeat(np.array([0, 255], np.uint8), 28 * 28).reshape(2, 28, 28)
IMAGES = np.concatenate([drawn.draw(38, seed=5)[0], BLACK_AND_WHITE])


def preset(name: str) -> LeNet5:
    """Return the untrained network of a preset."""
    return LeNet5(Config(**config.read(name) | {"seed": 1}))


def other_shapes() -> LeNet5:
    """Return a network whose layers have other sizes than LeNet-5's: windows, maps, units, codes."""
    network = LeNet5(Config(seed=1, input="lecun"))
    common = {"rng": np.random.default_rng(2), "init": "normal", "activation": SIGMOID}
    network.layers = []
    network.add("c1", Conv((1, 32, 32), 3, 3, **common))
    network.add("s2", Subsampling((3, 30, 30), 3, **common))
    network.add("c3", Conv((3, 10, 10), 3, 7, **common))
    network.add("s4", Subsampling((7, 8, 8), 2, **common))
    network.add("f5", Dense((7, 4, 4), 31, **common))
    network.add("f6", Dense((31,), 20, **common))
    network.codes = np.random.default_rng(3).integers(0, 2, (13, 20), dtype=np.uint8)
    network.add("output", RBF(network.codes))
    return network


# What of the settings makes a network: presets that agree in it differ in their training alone.
SETTINGS = ("activation", "connections", "dtype", "glyphs", "init", "input", "maps")
MADE_BY = {name: asdict(Config(**config.read(name))) for name in config.presets()}
PRESETS = {tuple(made[setting] for setting in SETTINGS): name for name, made in MADE_BY.items()}.values()

NETWORKS: dict[str, Callable[[], LeNet5]] = {
    "bundled": LeNet5.load,
    "other shapes": other_shapes,
    **{name: lambda name=name: preset(name) for name in PRESETS},
    "tanh binary": lambda: LeNet5(Config(seed=4, init="lecun", activation="tanh", input="binary")),
    "float64": lambda: LeNet5(Config(seed=5, init="normal", dtype="float64", input="grey")),
    "maps": lambda: LeNet5(Config(seed=6, init="normal", maps="4,10,50")),
}


def saved(network: LeNet5) -> Checkpoint:
    """Return a checkpoint of a network that was not trained."""
    return Checkpoint(network.pairs(), network.sheet)
