"""The layers of LeNet-5, one a file, forward beside backward."""

from lenet5_cli.layers.activations import SIGMOID, TANH, Activation
from lenet5_cli.layers.base import Layer
from lenet5_cli.layers.conv import Conv
from lenet5_cli.layers.dense import Dense
from lenet5_cli.layers.rbf import RBF
from lenet5_cli.layers.subsampling import Subsampling

__all__ = ["RBF", "SIGMOID", "TANH", "Activation", "Conv", "Dense", "Layer", "Subsampling"]
