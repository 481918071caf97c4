"""The layers of LeNet-5, one a file, forward beside backward."""

from lenet5_cli.engine.activations import ACTIVATIONS, SIGMOID, TANH, Activation
from lenet5_cli.engine.base import Layer
from lenet5_cli.engine.conv import Conv
from lenet5_cli.engine.dense import Dense
from lenet5_cli.engine.rbf import RBF
from lenet5_cli.engine.subsampling import Subsampling

__all__ = ["ACTIVATIONS", "RBF", "SIGMOID", "TANH", "Activation", "Conv", "Dense", "Layer", "Subsampling"]
