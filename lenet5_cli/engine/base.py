"""The layer contract: parameters and gradients by name, forward, backward."""

from abc import ABC, abstractmethod
from math import prod

import numpy as np
from numpy.typing import DTypeLike

from lenet5_cli.engine.einsum import Array
from lenet5_cli.engine.windows import tiled, untiled
from lenet5_cli.errors import LeNet5Error

Shape = tuple[int, ...]


class Layer(ABC):
    """A differentiable function of a batch, with parameters that an optimiser may change in place.

    A batch is x[n, *input_shape]; a layer's y is [n, *output_shape]. Maps x[n,c,h,w] may also be passed as tiles
    x[n,c,i,j,p,q] of t x t pixels: pixel (p, q) of tile (i, j) is the one in row ``t i + p`` and column ``t j + q``. A
    tiled convolution computes its output in this order. dx has the form of x, and dy that of y. Only layers that set
    ``reads_tiles`` are given tiles; for all others, ``forward`` and ``backward`` convert them to and from plain maps.

    The arrays returned (y, dx, the gradients) belong to the layer and are valid until its next forward or backward.

    Attributes:
        name: the name in the network, such as ``c1``.
        input_shape: the shape of one image in, such as (c, h, w).
        output_shape: the shape of one image out.
        params: the trainable arrays by name; written in place, never replaced by the layer. It may be empty.
        grads: the gradient of the loss by each of ``params``, same keys and shapes; set by ``backward``, not added to.
        dtype: float32 or float64, of every array in and out.
        reads_tiles: the side t of the tiles that the layer can read; 0 if it reads only plain maps.
    """

    reads_tiles = 0

    def __init__(self, input_shape: Shape, output_shape: Shape, params: dict[str, Array], dtype: DTypeLike) -> None:
        self.name = type(self).__name__
        self.input_shape = input_shape
        self.output_shape = output_shape
        self.dtype = np.dtype(dtype)
        self.params = {name: value.astype(self.dtype) for name, value in params.items()}
        self.grads = {name: np.zeros_like(value) for name, value in self.params.items()}
        self._images: int | None = None  # the batch size that the work arrays are for
        self._bound: Shape = ()  # an x of this shape can be passed to ``_forward`` without ``_adapt``
        self._untiled = 0  # side of the tiles that ``forward`` converted to plain maps; 0 if it converted none
        self._memory: list[Array] = []  # buffers of the work arrays, in the order in which ``_bind`` makes them
        self._spare: list[Array] = []  # buffers of the previous batch size that ``_array`` has not reused yet
        self._lasting: frozenset[str] | None = None  # names of the attributes that are not work arrays

    def forward(self, x: Array) -> Array:
        """Return y[n, ...] for x[n, ...], and remember what ``backward`` will need.

        Raises:
            LeNet5Error: the shape of an image in x is not ``input_shape``.
        """
        if x.shape != self._bound:
            x = self._adapt(x)
        return self._forward(np.asarray(x, self.dtype))

    def _adapt(self, x: Array) -> Array:
        """Return x, as plain maps if need be, and make work arrays for it; not called for the next x of this shape."""
        tile = x.shape[-1] if x.ndim == 6 and x.shape[-1] != self.reads_tiles else 0
        if tile:
            x = untiled(x)
        self._check(x)
        self._untiled = tile
        if len(x) != self._images:
            self._lasting = self._lasting or frozenset(self.__dict__)
            self._spare, self._memory = self._memory, []
            self._bind(len(x))
            self._images = len(x)
        self._bound = () if self._untiled else x.shape
        return x

    def backward(self, dy: Array) -> Array:
        """Set ``grads`` and return dx, from dy and the latest ``forward``."""
        self.backward_params(dy)
        dx = self.backward_input()
        return tiled(dx, self._untiled) if self._untiled else dx

    def unbind(self) -> None:
        """Have the next ``forward`` use arrays that have replaced those in ``params`` and ``grads``."""
        self._images, self._bound = None, ()

    def __getstate__(self) -> dict[str, object]:
        """Return the state to copy or pickle: all but the work arrays, which are views of this layer's memory."""
        lasting = self._lasting or self.__dict__.keys()
        return {name: self.__dict__[name] for name in lasting} | {
            "_images": None,
            "_bound": (),
            "_memory": [],
            "_lasting": None,
        }

    def _bind(self, n: int) -> None:  # noqa: B027 - a simple layer needs none
        """Make the work arrays for batches of n images, and the ``contraction`` functions that use them."""

    @abstractmethod
    def _forward(self, x: Array) -> Array:
        """Compute ``forward`` of an x of the right shape and dtype."""

    @abstractmethod
    def backward_params(self, dy: Array) -> None:
        """Do the first half of ``backward``: set ``grads``, and keep what ``backward_input`` needs of dy."""

    @abstractmethod
    def backward_input(self) -> Array:
        """Do the second half of ``backward``: return dx. A network's first layer does not need it."""

    @property
    def size(self) -> int:
        """The number of trainable parameters."""
        return sum(value.size for value in self.params.values())

    def _check(self, x: Array) -> None:
        if x.shape[1:] != self.input_shape:
            expected = ", ".join(map(str, ("n", *self.input_shape)))
            raise LeNet5Error(f"{self.name}: x has shape {x.shape}; expected ({expected})")

    def _array(self, *shape: int) -> Array:
        """Return an uninitialised work array for ``_bind``, in a buffer of the previous one if that is large enough."""
        size = prod(shape)
        memory = self._spare.pop(0) if self._spare else np.empty(size, self.dtype)
        if memory.size < size:
            memory = np.empty(size, self.dtype)
        self._memory.append(memory)
        return memory[:size].reshape(shape)


def initial(init: str, rng: np.random.Generator, weight: Shape, bias: Shape, terms: int) -> dict[str, Array]:
    """Return random initial weights and biases of the given shapes; each output sums ``terms`` products.

    ``uniform``: all in [-1, 1) (report, convolution layer). ``normal``: weights with standard deviation
    ``2 / sqrt(terms)``, as a sigmoid's slope is at most a quarter; biases 0. ``lecun``: all in plus or minus
    ``2.4 / terms`` (LeCun et al. 1998, appendix A).
    """
    if init == "normal":
        return {"weight": rng.normal(0, 2 / terms**0.5, weight), "bias": np.zeros(bias)}
    bound = {"uniform": 1, "lecun": 2.4 / terms}[init]
    return {"weight": rng.uniform(-bound, bound, weight), "bias": rng.uniform(-bound, bound, bias)}
