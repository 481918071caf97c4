"""The same network in PyTorch, in JAX, and as the report's listing has it: what we are measured against.

Each peer starts from the parameters of a ``LeNet5`` and offers the same three calls: ``train`` on a prepared batch,
``scores`` of one, and ``gradients`` of one as a single vector in our order, for the check that all compute the same.
"""

import atexit
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np

from lenet5_cli import LeNet5
from lenet5_cli.config import Config
from lenet5_cli.engine.losses import cross_entropy
from lenet5_cli.engine.optim import SGD
from lenet5_cli.engine.preprocessing import prepare
from lenet5_cli.training.step import Step

LR = 0.01
SEED = 1
Vector = np.ndarray
STEPS = ExitStack()  # of every ``Ours``, open until the end
atexit.register(STEPS.close)


class Peer(Protocol):
    """One implementation of the network, its training step and its inference."""

    def train(self, batch: Any, labels: Any) -> None:
        """Take one step of SGD."""

    def scores(self, batch: Any) -> Vector:
        """Return scores (n, 10)."""

    def gradients(self, batch: Any, labels: Any) -> Vector:
        """Return the gradient of the mean loss by every parameter, in our order."""

    def prepare(self, images: Vector, labels: Vector) -> tuple[Any, Any]:
        """Turn pictures (n, 28, 28) and labels into what the other calls take: not part of the time."""


class Ours:
    """lenet5: starts from the bytes, so its time has the preprocessing in it."""

    def __init__(self, network: LeNet5, threads: int) -> None:
        self.network = network
        self.step = STEPS.enter_context(Step(network, threads))
        self.step.pool.wait_until_ready()

    def prepare(self, images: Vector, labels: Vector) -> tuple[Any, Any]:
        return images, labels

    def train(self, batch: Any, labels: Any) -> None:
        take_step(self.step, batch, labels)

    def scores(self, batch: Any) -> Vector:
        return self.step.scores(batch)

    def gradients(self, batch: Any, labels: Any) -> Vector:
        scores = self.network.forward(prepare(batch, dtype=self.network.dtype))
        self.network.backward(cross_entropy(scores, labels)[1])
        return self.network.gradients.copy()


class Torch:
    """PyTorch on the CPU, eager or compiled, with its own layers, autograd and optimiser."""

    def __init__(self, network: LeNet5, threads: int, *, compiled: bool) -> None:
        import torch

        torch.set_num_threads(threads)
        torch.compiler.reset()  # what was compiled for another batch would count against the limit of recompilations
        self.torch, self.threads = torch, threads
        self.params = [torch.tensor(value.copy(), requires_grad=True) for value in values(network)]
        self.codes = torch.tensor(network.codes.astype(np.float32))
        self.optimizer = torch.optim.SGD(self.params, LR)
        self.forward = torch.compile(self._forward, dynamic=False) if compiled else self._forward

    def _forward(self, x: Any) -> Any:
        functional, sigmoid = self.torch.nn.functional, self.torch.sigmoid
        c1, b1, s2, t2, c3, b3, s4, t4, c5, b5, f6, b6 = self.params
        y = sigmoid(functional.conv2d(x, c1, b1))
        y = sigmoid(functional.avg_pool2d(y, 2) * (4 * s2[:, None, None]) + t2[:, None, None])
        y = sigmoid(functional.conv2d(y, c3, b3))
        y = sigmoid(functional.avg_pool2d(y, 2) * (4 * s4[:, None, None]) + t4[:, None, None])
        y = sigmoid(functional.conv2d(y, c5, b5)).flatten(1)
        y = sigmoid(self.torch.addmm(b6, y, f6))
        # The squares multiplied out: a third of the time of the differences squared.
        return 2 * (y @ self.codes.T) - (y * y).sum(1, keepdim=True) - self.codes.sum(1)

    def prepare(self, images: Vector, labels: Vector) -> tuple[Any, Any]:
        x = np.ascontiguousarray(prepare(images))
        return self.torch.tensor(x), self.torch.tensor(labels.astype(np.int64))

    def train(self, batch: Any, labels: Any) -> None:
        self.torch.set_num_threads(self.threads)
        self.optimizer.zero_grad()
        self.torch.nn.functional.cross_entropy(self.forward(batch), labels).backward()
        self.optimizer.step()

    def scores(self, batch: Any) -> Vector:
        self.torch.set_num_threads(self.threads)
        with self.torch.inference_mode():
            return self.forward(batch).numpy()

    def gradients(self, batch: Any, labels: Any) -> Vector:
        self.optimizer.zero_grad()
        self.torch.nn.functional.cross_entropy(self.forward(batch), labels).backward()
        return np.concatenate([param.grad.numpy().ravel() for param in self.params])


class Jax:
    """JAX, compiled by XLA for the CPU, the parameters updated in place."""

    def __init__(self, network: LeNet5) -> None:
        import jax
        import jax.numpy as jnp

        self.jax, self.jnp = jax, jnp
        self.codes = jnp.asarray(network.codes, jnp.float32)
        self.params = [jnp.array(value) for value in values(network)]
        self._scores = jax.jit(self._forward)
        self._gradients = jax.jit(jax.grad(self._loss))
        self._train = jax.jit(self._step, donate_argnums=0)

    def _forward(self, params: Any, x: Any) -> Any:
        sigmoid, lax = self.jax.nn.sigmoid, self.jax.lax
        c1, b1, s2, t2, c3, b3, s4, t4, c5, b5, f6, b6 = params

        def conv(x: Any, weight: Any, bias: Any) -> Any:
            return sigmoid(lax.conv(x, weight, (1, 1), "VALID") + bias[:, None, None])

        def subsample(x: Any, weight: Any, bias: Any) -> Any:
            n, c, h, w = x.shape
            sums = x.reshape(n, c, h // 2, 2, w // 2, 2).sum((3, 5))
            return sigmoid(sums * weight[:, None, None] + bias[:, None, None])

        y = conv(subsample(conv(subsample(conv(x, c1, b1), s2, t2), c3, b3), s4, t4), c5, b5)
        y = sigmoid(y.reshape(len(x), -1) @ f6 + b6)
        return 2 * (y @ self.codes.T) - (y * y).sum(1, keepdims=True) - self.codes.sum(1)

    def _loss(self, params: Any, x: Any, labels: Any) -> Any:
        logs = self.jax.nn.log_softmax(self._forward(params, x))
        return -self.jnp.take_along_axis(logs, labels[:, None], 1).mean()

    def _step(self, params: Any, x: Any, labels: Any) -> Any:
        gradients = self.jax.grad(self._loss)(params, x, labels)
        return [param - LR * gradient for param, gradient in zip(params, gradients, strict=True)]

    def prepare(self, images: Vector, labels: Vector) -> tuple[Any, Any]:
        return self.jnp.asarray(np.ascontiguousarray(prepare(images))), self.jnp.asarray(labels.astype(np.int32))

    def train(self, batch: Any, labels: Any) -> None:
        self.params = self.jax.block_until_ready(self._train(self.params, batch, labels))

    def scores(self, batch: Any) -> Vector:
        return np.asarray(self._scores(self.params, batch))

    def gradients(self, batch: Any, labels: Any) -> Vector:
        return np.concatenate([np.asarray(g).ravel() for g in self._gradients(self.params, batch, labels)])


class Listing:
    """The report's listing in our words: one image at a time, float64, ``np.einsum`` without a path."""

    def __init__(self, network: LeNet5) -> None:
        self.params = [value.astype(np.float64) for value in values(network)]
        self.codes = network.codes.astype(np.int32)

    def prepare(self, images: Vector, labels: Vector) -> tuple[Any, Any]:
        return prepare(images, dtype=np.float64).copy(), np.eye(10)[labels]

    def train(self, batch: Any, labels: Any) -> None:
        for x, onehot in zip(batch, labels, strict=True):
            for param, gradient in zip(self.params, self._backward(self._forward(x), onehot), strict=True):
                np.subtract(param, LR / len(batch) * gradient, out=param)

    def scores(self, batch: Any) -> Vector:
        return np.array([self._forward(x) for x in batch])

    def gradients(self, batch: Any, labels: Any) -> Vector:
        total = [np.zeros_like(param) for param in self.params]
        for x, onehot in zip(batch, labels, strict=True):
            for so_far, gradient in zip(total, self._backward(self._forward(x), onehot), strict=True):
                np.add(so_far, gradient / len(batch), out=so_far)
        return np.concatenate([gradient.ravel() for gradient in total])

    def _forward(self, x: Vector) -> Vector:
        self.inputs, self.outputs = [], []
        *maps, f6, b6 = self.params
        for weight, bias in zip(maps[::2], maps[1::2], strict=True):
            self.inputs.append(x)
            if weight.ndim == 1:
                y = np.einsum("cijuv,c->cij", split(x, 2, 2), weight)
            else:
                y = np.einsum("cijuv,kcuv->kij", split(x, weight.shape[2], 1), weight)
            x = 1 / (1 + np.exp(-(y + bias.repeat(y[0].size).reshape(y.shape))))
            self.outputs.append(x)
        self.inputs.append(x.ravel())
        x = 1 / (1 + np.exp(-(np.einsum("c,ck->k", x.ravel(), f6) + b6)))
        self.outputs.append(x)
        scores = np.zeros(10)
        for k in range(10):
            for c in range(84):
                scores[k] -= (x[c] - self.codes[k, c]) ** 2
        return scores

    def _backward(self, scores: Vector, onehot: Vector) -> list[Vector]:
        exponentials = np.exp(scores - scores.max())
        dscores = exponentials / exponentials.sum() - onehot
        x, y = self.inputs[-1], self.outputs[-1]
        dy = np.zeros(84)
        for c in range(84):
            for k in range(10):
                dy[c] -= dscores[k] * 2 * (y[c] - self.codes[k, c])
        dz = dy * y * (1 - y)
        *maps, f6, _ = self.params
        gradients = [dz, np.einsum("c,k->ck", x, dz)]
        dy = np.einsum("k,ck->c", dz, f6).reshape(120, 1, 1)
        for weight, x, y in zip(maps[-2::-2], self.inputs[-2::-1], self.outputs[-2::-1], strict=True):
            dz = dy * y * (1 - y)
            gradients.append(np.einsum("kij->k", dz))
            if weight.ndim == 1:
                gradients.append(np.einsum("cijuv,cij->c", split(x, 2, 2), dz))
                dy = np.einsum("cij,c->cij", dz, weight).repeat(2, axis=1).repeat(2, axis=2)
            else:
                size = weight.shape[2]
                windows = np.lib.stride_tricks.sliding_window_view(x, dz.shape[1:], axis=(1, 2))
                gradients.append(np.einsum("cuvij,kij->kcuv", windows, dz))
                padded = np.pad(dz, ((0, 0), (size - 1, size - 1), (size - 1, size - 1)))
                dy = np.einsum("kijuv,kcuv->cij", split(padded, size, 1), np.rot90(weight, 2, (2, 3)))
        return gradients[::-1]


def take_step(step: Step, images: Vector, labels: Vector) -> None:
    """Take a step of plain SGD with lenet5."""
    step.loss_and_gradient(images, labels)
    SGD().step(step.network.parameters, step.network.gradients, LR)


def split(x: Vector, size: int, stride: int) -> Vector:
    """Return the windows of x[c,h,w] as the view [c,i,j,u,v]."""
    return np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))[:, ::stride, ::stride]


def values(network: LeNet5) -> list[Vector]:
    """Return the parameter arrays in our order: weight and bias of c1, s2, c3, s4, c5, f6."""
    return [value for layer in network.layers for value in layer.params.values()]


def installed(cores: int) -> dict[str, list[Callable[[], Peer]]]:
    """Return how to make each peer that is installed here, ours first: by name, one maker for each thread count."""
    counts = sorted({1, cores})
    makers: dict[str, list[Callable[[], Peer]]] = {
        "lenet5": [partial(Ours, LeNet5(Config(seed=SEED)), t) for t in counts]
    }
    if find_spec("torch"):
        for name, compiled in (("PyTorch eager", False), ("PyTorch compiled", True)):
            makers[name] = [partial(Torch, LeNet5(Config(seed=SEED)), t, compiled=compiled) for t in counts]
    if find_spec("jax"):
        makers["JAX jit"] = [partial(Jax, LeNet5(Config(seed=SEED)))]
    makers["the report's listing"] = [partial(Listing, LeNet5(Config(seed=SEED)))]
    return makers
