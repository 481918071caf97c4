"""LeNet-5 as a classifier of scikit-learn (the extra ``sklearn``)."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lenet5_cli.config import Config, known
from lenet5_cli.data import glyphs
from lenet5_cli.data.sources import ARRAYS, Split
from lenet5_cli.engine import optim
from lenet5_cli.engine.losses import softmax
from lenet5_cli.engine.network import LeNet5
from lenet5_cli.engine.preprocessing import SIDE
from lenet5_cli.errors import LeNet5Error, counted, missing
from lenet5_cli.training.loop import fit
from lenet5_cli.training.runs import Run
from lenet5_cli.training.step import Step

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils.multiclass import check_classification_targets, unique_labels
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise missing("scikit-learn, which LeNet5Classifier needs,", error, "sklearn") from None

PIXELS = SIDE * SIDE
# Settings that partial_fit cannot change: of the network, and of the optimiser that its first pass makes.
NETWORK = ("loss", "rubbish", "maps", "glyphs", "input", "activation", "connections", "init", "dtype")
OPTIMIZER = ("optimizer", "clip", "weight_decay", "ema")
ROUNDED = 1e-6  # fraction of white by which pixels may be out of range, as scalers round


class LeNet5Classifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """LeNet-5 as a scikit-learn classifier of pictures of 28x28 pixels, white on black.

    X is (n, 784) or (n, 28, 28): numbers from 0 to 255, or from 0 to 1 if the largest number in ``fit`` is at most 1,
    or booleans. y is (n,), labels of any kind. The sorted classes are given the glyphs of the sheet in order, so that
    there can be at most as many classes as glyphs: ten with the sheet of digits.

    Args:
        epochs: passes over the training data; this and those below are settings of ``Config``, which describes them.
        lr: learning rate of the first epoch.
        batch_size: images in a step.
        seed: the seed of the initial weights and of the images of each epoch; None: a new one for each call.
        optimizer, clip, weight_decay, schedule, lr_decay, warmup, ema, loss, rubbish, augment, order,
            samples_per_epoch, validation, keep, patience, max_time, maps, glyphs, input, activation, connections, init,
            dtype: likewise.
        threads: cores to compute on; the results are the same for any number.

    Attributes:
        classes_: (k,), the labels, sorted.
        n_features_in_: 784.
        network_: the trained ``LeNet5``.
        history_: an ``Epoch`` for each pass of ``fit``.
        pixel_max_: the value of white in X: 255 or 1.

    Example:
        >>> LeNet5Classifier(epochs=20).fit(X, y).score(X_test, y_test)  # doctest: +SKIP
    """

    def __init__(
        self,
        *,
        epochs: int = 30,
        lr: float = 0.004,
        batch_size: int = 32,
        seed: int | None = 0,
        optimizer: str = "adam",
        clip: float = 2.0,
        weight_decay: float = 0.0,
        schedule: str = "cosine",
        lr_decay: float = 0.95,
        warmup: float = 0.5,
        ema: float = 0.0,
        loss: str = "discriminative",
        rubbish: float = 5.0,
        augment: str = "affine",
        order: str = "shuffled",
        samples_per_epoch: int = 60_000,
        validation: int = 0,
        keep: str = "best",
        patience: int = 0,
        max_time: str = "",
        maps: str = "6,16,120",
        glyphs: str = "digits",
        input: str = "lecun",  # noqa: A002 - the setting's name
        activation: str = "tanh",
        connections: str = "full",
        init: str = "lecun",
        dtype: str = "float32",
        threads: int = 1,
    ) -> None:
        self.epochs = epochs
        self.lr = lr
        self.batch_size = batch_size
        self.seed = seed
        self.optimizer = optimizer
        self.clip = clip
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.lr_decay = lr_decay
        self.warmup = warmup
        self.ema = ema
        self.loss = loss
        self.rubbish = rubbish
        self.augment = augment
        self.order = order
        self.samples_per_epoch = samples_per_epoch
        self.validation = validation
        self.keep = keep
        self.patience = patience
        self.max_time = max_time
        self.maps = maps
        self.glyphs = glyphs
        self.input = input
        self.activation = activation
        self.connections = connections
        self.init = init
        self.dtype = dtype
        self.threads = threads

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:  # noqa: N803 - scikit-learn's name
        """Train a new network on pictures X and labels y (n,).

        Raises:
            ValueError: X or y has another shape or other values, or there are more classes than glyphs.
        """
        with self._all_or_nothing():
            images, y = self._checked(X, y, classes=None)
            run = Run(self._config(), self._split(images, y), sheet=self._sheet())
            self.history_ = list(run.train(threads=self.threads))
            self.network_ = run.kept()
            self._optimizer: optim.SGD | None = None
        return self

    def partial_fit(self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None) -> Self:  # noqa: N803
        """Train for one more pass, at the constant learning rate ``lr``, over pictures X with labels y (n,).

        The settings of the network must not change after ``fit`` or the first call, nor those of the optimiser,
        ``optimizer``, ``clip``, ``weight_decay`` and ``ema``, after the first call.

        Args:
            X: as for ``fit``; whether white is 255 or 1 is decided by the first call.
            y: some of the classes.
            classes: all classes; required in the first call unless ``fit`` came before, and the same in later calls.

        Raises:
            ValueError: X or y has another shape or other values, a label is not one of the classes, or the classes or a
                setting that must not change have changed.
        """
        first = not hasattr(self, "network_")
        if first and classes is None:
            raise ValueError("classes: not given; the first call of partial_fit needs all of them")
        if not first and classes is not None and not np.array_equal(unique_labels(classes), self.classes_):
            raise ValueError(f"classes: {unique_labels(classes)}; expected the same as before, {self.classes_}")
        with self._all_or_nothing():
            images, y = self._checked(X, y, classes=self.classes_ if classes is None else classes, reset=first)
            if unknown := set(np.unique(y)) - set(self.classes_):
                raise ValueError(f"y: {min(map(str, unknown))} is not one of the classes {self.classes_}")
            own = self._config()
            config = replace(own, schedule="exponential", lr_decay=1.0, warmup=0.0, validation=0, patience=0)
            if first:
                self.network_, self._optimizer = LeNet5(own, self._sheet()), None
            else:  # train copies, so that the fitted network is unchanged if this pass fails
                self.network_, self._optimizer = deepcopy(self.network_), deepcopy(self._optimizer)
            _demand_same(NETWORK, config, self.network_.config)
            if self._optimizer is None:
                self._optimizer, self._begun = optim.optimizer(config, self.network_.parameters), config
            _demand_same(OPTIMIZER, config, self._begun)
            self.passes_ = getattr(self, "passes_", 0) + 1
            once = replace(config, epochs=self.passes_)
            split = self._split(images, y)
            for _ in fit(self.network_, self._optimizer, split, once, first=self.passes_, threads=self.threads):
                pass
        return self

    def decision_function(self, X: ArrayLike) -> NDArray[np.floating]:  # noqa: N803
        """Return scores (n, k), minus the squared distance to each glyph; of two classes, the difference (n,).

        Raises:
            ValueError: X has another shape or other values, or ``threads`` is not at least 1.
            NotFittedError: nothing has been fitted.
        """
        scores = self._scores(X)
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    def predict_proba(self, X: ArrayLike) -> NDArray[np.floating]:  # noqa: N803
        """Return the probability (n, k) of each class: the softmax of the scores; raises as ``decision_function``."""
        scores = self._scores(X)
        with np.errstate(under="ignore"):  # for pictures far from a code
            return softmax(scores)

    def predict(self, X: ArrayLike) -> NDArray[Any]:  # noqa: N803
        """Return the label (n,) of each picture; raises as ``decision_function``."""
        answers = self._scores(X).argmax(axis=1)
        labels: NDArray[Any] = self.classes_[answers]
        return labels

    def __sklearn_tags__(self) -> Any:
        """Declare that X has no negative numbers."""
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        return tags

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Restore all attributes if fitting fails; raise a LeNet5Error as the ValueError that scikit-learn expects."""
        before = dict(self.__dict__)
        try:
            yield
        except BaseException as error:
            self.__dict__.clear()
            self.__dict__.update(before)
            if isinstance(error, LeNet5Error):
                raise ValueError(str(error)) from None
            raise

    def _config(self) -> Config:
        config = Config(**known(self.get_params()))
        return config if config.seed is not None else replace(config, seed=secrets.randbelow(2**32))

    def _sheet(self) -> glyphs.Sheet:
        """Return a sheet with the first glyphs, one for each class."""
        codes, names = glyphs.read(self.glyphs)
        if not 2 <= len(self.classes_) <= len(codes):
            there = f"y: {counted(len(self.classes_), 'class')}"
            raise ValueError(f"{there}; expected 2 to {len(codes)}, as many as the sheet {self.glyphs} has glyphs")
        return glyphs.Sheet(codes[: len(self.classes_)], names[: len(self.classes_)])

    def _checked(
        self,
        X: ArrayLike,  # noqa: N803
        y: ArrayLike,
        classes: ArrayLike | None,
        reset: bool = True,
    ) -> tuple[NDArray[np.uint8], NDArray[Any]]:
        """Return X as images and y as an array; with ``reset``, take over the classes and what white is."""
        _demand_unmasked(y, "y")
        pixels, labels = validate_data(self, _flat(X), y, reset=reset, dtype="numeric")
        check_classification_targets(labels)
        if reset:
            self.classes_ = unique_labels(labels if classes is None else classes)
            self.pixel_max_ = 1 if pixels.max() <= 1 + ROUNDED else 255
            self.passes_ = 0
            self._sheet()
        return self._images(pixels), labels

    def _scores(self, X: ArrayLike) -> NDArray[np.floating]:  # noqa: N803
        check_is_fitted(self, "network_")  # where fitting failed, other attributes may be there
        images = self._images(validate_data(self, _flat(X), reset=False, dtype="numeric"))
        try:
            with Step(self.network_, self.threads) as step:
                return step.scores(images)
        except LeNet5Error as error:
            raise ValueError(str(error)) from None

    def _images(self, X: NDArray[Any]) -> NDArray[np.uint8]:  # noqa: N803
        """Return X (n, 784) as images (n, 28, 28), 0 to 255."""
        if X.shape[1] != PIXELS:
            raise ValueError(f"X: {X.shape[1]} feature(s); expected {PIXELS}, the pixels of 28x28")
        if X.dtype.kind == "b" and self.pixel_max_ > 1:
            raise ValueError(f"X: booleans; expected numbers from 0 to {self.pixel_max_}, as in training")
        rounded = ROUNDED * self.pixel_max_
        if X.min() < -rounded or X.max() > self.pixel_max_ + rounded:
            raise ValueError(f"X: numbers from {_range(X)}; expected 0 to {self.pixel_max_}")
        if self.pixel_max_ > 1 and 0 < X.max() < 2:  # nearly black throughout
            white = "as in training" if X.max() <= 1 + ROUNDED else "or 0 to 1 in fit and predict"
            raise ValueError(f"X: numbers from {_range(X)}; expected 0 to 255, {white}")
        if X.dtype != np.uint8 or self.pixel_max_ != 255:
            X = X * (255 / self.pixel_max_)  # noqa: N806
            X = np.rint(np.clip(X, 0, 255, out=X), out=X).astype(np.uint8)  # noqa: N806
        return X.reshape(-1, SIDE, SIDE)

    def _split(self, images: NDArray[np.uint8], y: NDArray[Any]) -> Split:
        return Split(ARRAYS, images, np.searchsorted(self.classes_, y).astype(np.uint8), ARRAYS, ARRAYS)


def _demand_same(names: tuple[str, ...], config: Config, begun: Config) -> None:
    """Raise ValueError if a setting has changed since the network or its optimiser was made."""
    for name in names:
        now, before = getattr(config, name), getattr(begun, name)
        if now != before:
            raise ValueError(f"{name}: {now!r}; expected {before!r}, as in earlier calls; fit starts over")


def _range(X: NDArray[Any]) -> str:  # noqa: N803
    return f"{X.min():.7g} to {X.max():.7g}"


def _demand_unmasked(given: object, name: str) -> None:
    """Raise ValueError for a masked array, whose mask scikit-learn would forget."""
    if isinstance(given, np.ma.MaskedArray):
        raise ValueError(f"{name}: a masked array; expected a plain one, such as its .filled(0)")


def _flat(X: Any) -> Any:  # noqa: N803
    """Return pictures (n, 28, 28) as (n, 784), and leave everything else to scikit-learn's own checks.

    Raises:
        ValueError: they are masked, or have three or more dimensions and are not 28x28.
    """
    _demand_unmasked(X, "X")
    shape = tuple(np.shape(X) if isinstance(X, list | tuple) else getattr(X, "shape", ()))
    if shape[1:] == (SIDE, SIDE):
        return np.reshape(np.asarray(X), (-1, PIXELS))
    if len(shape) > 2:
        raise ValueError(f"X: of shape {shape}; expected (n, {PIXELS}) or (n, {SIDE}, {SIDE})")
    return X
