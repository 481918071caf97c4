"""Activation functions, applied in place, each with its gradient."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lenet5_cli.engine.einsum import Array


@dataclass(frozen=True)
class Activation:
    """An elementwise function y = f(z).

    Attributes:
        name: its name in ``--activation``.
        paper: the value in the output layer's codes for the background (paper) of a glyph; ink is 1.
        apply: replaces z by f(z), in place.
        gradient: writes dz = dy f'(z) into its third argument, from y = f(z) and dy.
    """

    name: str
    paper: float
    apply: Callable[[Array], None]
    gradient: Callable[[Array, Array, Array], None]

    def code(self, glyphs: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return the codes of glyphs: 1 for ink, and ``paper`` instead of 0."""
        return np.where(glyphs, 1.0, self.paper)


HALF = np.array(0.5, np.float32)  # exact in float64 too; an array, as NumPy takes twice as long with a Python number


def _sigmoid(z: Array) -> None:
    """Replace z by 1 / (1 + exp(-z)), as (1 + tanh(z / 2)) / 2, which is equal and never overflows."""
    z *= HALF
    np.tanh(z, out=z)
    z *= HALF
    z += HALF


def _sigmoid_gradient(y: Array, dy: Array, dz: Array) -> None:
    """Write dz = dy (y - y^2)."""
    np.multiply(y, y, out=dz)
    np.subtract(y, dz, out=dz)
    np.multiply(dz, dy, out=dz)


AMPLITUDE, SLOPE = 1.7159, 2 / 3


def _tanh(z: Array) -> None:
    """Replace z by 1.7159 tanh(2 z / 3), which is 1 at z = 1, where it curves most (LeCun et al. 1998, appendix A)."""
    z *= SLOPE
    np.tanh(z, out=z)
    z *= AMPLITUDE


def _tanh_gradient(y: Array, dy: Array, dz: Array) -> None:
    """Write dz = dy 2/3 (1.7159 - y^2 / 1.7159)."""
    np.multiply(y, y, out=dz)
    dz *= -SLOPE / AMPLITUDE
    dz += SLOPE * AMPLITUDE
    np.multiply(dz, dy, out=dz)


SIGMOID = Activation("sigmoid", 0, _sigmoid, _sigmoid_gradient)
TANH = Activation("tanh", -1, _tanh, _tanh_gradient)
ACTIVATIONS = {activation.name: activation for activation in (SIGMOID, TANH)}
