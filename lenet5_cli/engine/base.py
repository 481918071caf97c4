"""What every layer is: parameters and gradients by name, forward, backward."""

from abc import ABC, abstractmethod
from math import prod

import numpy as np
from numpy.typing import DTypeLike

from lenet5_cli.engine.einsum import Array
from lenet5_cli.errors import LeNet5Error

Shape = tuple[int, ...]


class Layer(ABC):
    """A differentiable function of a batch, with parameters that an optimiser may change in place.

    Arrays handed out (y, dx, the gradients) are the layer's own: they hold until its next forward or backward.

    Attributes:
        name: what the network calls it, such as ``c1``.
        input_shape: the shape of one image in, such as (c, h, w).
        output_shape: the shape of one image out.
        params: the trainable arrays by name; written in place, never replaced by the layer.
        grads: the gradient of the loss by each of ``params``, same keys and shapes; set by ``backward``, not added to.
        dtype: float32 or float64, of every array in and out.
    """

    def __init__(self, input_shape: Shape, output_shape: Shape, params: dict[str, Array], dtype: DTypeLike) -> None:
        self.name = type(self).__name__
        self.input_shape = input_shape
        self.output_shape = output_shape
        self.dtype = np.dtype(dtype)
        self.params = {name: value.astype(self.dtype) for name, value in params.items()}
        self.grads = {name: np.zeros_like(value) for name, value in self.params.items()}
        self._images: int | None = None
        self._memory: dict[str, Array] = {}

    def forward(self, x: Array) -> Array:
        """Return y[n, ...] for x[n, ...], and remember what ``backward`` will need.

        Raises:
            LeNet5Error: the shape of an image in x is not ``input_shape``.
        """
        self._check(x)
        if len(x) != self._images:
            self._bind(len(x))
            self._images = len(x)
        return self._forward(np.asarray(x, self.dtype))

    def backward(self, dy: Array) -> Array:
        """Set ``grads`` and return dx, from dy and the latest ``forward``."""
        self.backward_params(dy)
        return self.backward_input()

    def unbind(self) -> None:
        """Have the next ``forward`` take up arrays that were put in the place of ``params`` and ``grads``."""
        self._images = None

    def __getstate__(self) -> dict[str, object]:
        """Return what a copy takes over: not the binding, which is to these arrays."""
        return self.__dict__ | {"_images": None}

    @abstractmethod
    def _bind(self, n: int) -> None:
        """Make the work arrays for batches of n images, and the products of these arrays."""

    @abstractmethod
    def _forward(self, x: Array) -> Array:
        """Compute ``forward`` of an x of the right shape and dtype."""

    @abstractmethod
    def backward_params(self, dy: Array) -> None:
        """Do the first half of ``backward``: set ``grads``."""

    @abstractmethod
    def backward_input(self) -> Array:
        """Do the second half of ``backward``: return dx. A network's first layer can do without."""

    @property
    def size(self) -> int:
        """The number of trainable parameters."""
        return sum(value.size for value in self.params.values())

    def _check(self, x: Array) -> None:
        if x.shape[1:] != self.input_shape:
            expected = ", ".join(map(str, ("n", *self.input_shape)))
            raise LeNet5Error(f"{self.name}: x has shape {x.shape}; expected ({expected})")

    def _array(self, name: str, *shape: int) -> Array:
        """Return the work array of this name, uninitialised, in memory that is kept while it is large enough."""
        size = prod(shape)
        if name not in self._memory or self._memory[name].size < size:
            self._memory[name] = np.empty(size, self.dtype)
        return self._memory[name][:size].reshape(shape)


def drawn(init: str, rng: np.random.Generator, weight: Shape, bias: Shape, terms: int) -> dict[str, Array]:
    """Draw first weights and biases of the shapes given, each output being a sum of ``terms`` products.

    ``uniform``: all in [-1, 1) (report, convolution layer). ``normal``: weights with standard deviation
    ``2 / sqrt(terms)``, as a sigmoid's slope is at most a quarter; biases 0. ``lecun``: all in plus or minus
    ``2.4 / terms`` (LeCun et al. 1998, appendix A).
    """
    if init == "normal":
        return {"weight": rng.normal(0, 2 / terms**0.5, weight), "bias": np.zeros(bias)}
    most = 2.4 / terms if init == "lecun" else 1
    return {"weight": rng.uniform(-most, most, weight), "bias": rng.uniform(-most, most, bias)}
