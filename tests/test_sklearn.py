"""The classifier as scikit-learn uses it: its own checks, its tools, labels of any kind, pictures in either form."""

import contextlib
import importlib
import pickle
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path
from typing import Any
from unittest import SkipTest

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from lenet5_cli import Config, LeNet5Error
from lenet5_cli.data import idx
from lenet5_cli.sklearn import LeNet5Classifier
from tests.conftest import bars

QUICK: dict[str, Any] = {"epochs": 4, "batch_size": 16, "augment": "none", "loss": "cross-entropy"}
# scikit-learn's checks that fit tables of 1 to 10 columns, and so are refused: a picture has 784 pixels.
WIDTH = {
    "check_fit_score_takes_y",
    "check_estimators_overwrite_params",
    "check_dont_overwrite_parameters",
    "check_estimators_fit_returns_self",
    "check_readonly_memmap_input",
    "check_n_features_in_after_fitting",
    "check_positive_only_tag_during_fit",
    "check_estimators_dtypes",
    "check_dtype_object",
    "check_pipeline_consistency",
    "check_estimators_nan_inf",
    "check_estimators_pickle",
    "check_f_contiguous_array_estimator",
    "check_classifier_data_not_an_array",
    "check_classifiers_classes",
    "check_estimators_partial_fit_n_features",
    "check_classifiers_train",
    "check_supervised_y_2d",
    "check_decision_proba_consistency",
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
    "check_dict_unchanged",
    "check_fit_idempotent",
    "check_fit_check_is_fitted",
    "check_n_features_in",
    "check_fit2d_predict1d",
}
NOT_PICTURES = {
    "check_classifiers_train": "demands 83 % on three clouds of points in the plane, and negative numbers",
    "check_decision_proba_consistency": "predicts for negative numbers",
}


class Columns(LeNet5Classifier):
    """The classifier for tables of up to 10 columns, drawn as rows of a picture: for the checks that WIDTH names."""

    def _images(self, X: Any) -> Any:  # noqa: N803
        if X.min() < 0:
            raise ValueError("Negative values in data passed to X")
        images = np.zeros((len(X), 28, 28), np.uint8)
        for column, values in enumerate(np.asarray(X, float).T[:10]):
            images[:, 4 + 2 * column : 6 + 2 * column, 4:24] = np.clip(25 * values, 0, 255)[:, None, None]
        return images


@pytest.mark.filterwarnings("ignore")
def test_the_checks_of_scikit_learn_pass_but_for_those_of_another_width() -> None:
    from sklearn.utils.estimator_checks import check_estimator

    found = check_estimator(LeNet5Classifier(epochs=1), on_fail=None, on_skip=None)
    assert {each["check_name"] for each in found if each["status"] == "failed"} == WIDTH
    assert len([each for each in found if each["status"] == "passed"]) >= 26


@pytest.mark.filterwarnings("ignore")
def test_the_checks_of_another_width_pass_where_columns_are_drawn_into_a_picture() -> None:
    from sklearn.utils.estimator_checks import estimator_checks_generator

    estimator = Columns(epochs=1, samples_per_epoch=40, augment="none", dtype="float64")
    run = set()
    for each, check in estimator_checks_generator(estimator):
        name = check.func.__name__
        if name in WIDTH - NOT_PICTURES.keys():
            with contextlib.suppress(SkipTest):  # pandas is not there
                check(each)
            run.add(name)
    assert run == WIDTH - NOT_PICTURES.keys()


def test_parameters_are_settings() -> None:
    settings = set(LeNet5Classifier().get_params()) - {"threads"}
    assert settings <= set(Config.__dataclass_fields__)
    assert set(Config.__dataclass_fields__) - settings == {
        "data",
        "test_fraction",
        "as_is",
        "drawn",
        "nondigits",
        "rehearse",
        "teacher",
    }


@pytest.fixture(scope="module")
def fitted() -> LeNet5Classifier:
    split = bars(200)
    return LeNet5Classifier(**QUICK).fit(split.images, split.labels)


@pytest.mark.parametrize("labels", [np.arange(10), np.array(list("abcdefghij")), np.arange(10) - 0.0, -np.arange(10)])
def test_labels_of_any_kind(labels: np.ndarray) -> None:
    split = bars(200)
    y = labels[split.labels]
    model = LeNet5Classifier(**QUICK).fit(split.images, y)
    np.testing.assert_array_equal(model.classes_, np.unique(labels))
    assert model.predict(split.images).dtype == labels.dtype
    assert model.score(split.images, y) > 0.9


def test_pictures_in_either_shape_and_range_are_the_same(fitted: LeNet5Classifier) -> None:
    split = bars(200)
    flat = split.images.reshape(-1, 784)
    np.testing.assert_array_equal(fitted.predict_proba(split.images), fitted.predict_proba(flat))
    of_one = LeNet5Classifier(**QUICK).fit(flat / 255, split.labels)
    np.testing.assert_array_equal(of_one.predict_proba(flat / 255), fitted.predict_proba(flat))
    np.testing.assert_allclose(fitted.predict_proba(flat).sum(axis=1), 1, rtol=1e-5)


class Tensor:
    """Numbers of another library, which NumPy can read."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shape = values, values.shape

    def __len__(self) -> int:
        return len(self.values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.values, dtype, copy=copy)


def test_pictures_may_be_those_of_other_libraries(fitted: LeNet5Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three dimensions were refused, even of a split's images where a large file holds them."""
    images = bars(20).images
    monkeypatch.setattr(idx, "MEMORY_LIMIT", 0)
    idx.write("images", images)
    for given in (Tensor(images), tuple(images), idx.read_images("images")):
        np.testing.assert_array_equal(fitted.predict_proba(given), fitted.predict_proba(images))


def test_a_mask_is_not_forgotten(fitted: LeNet5Classifier) -> None:
    data = bars(20)
    said = "a masked array; expected a plain one, such as its .filled(0)"
    for use in (fitted.predict, lambda X: LeNet5Classifier().fit(X, data.labels)):  # noqa: N803
        with pytest.raises(ValueError, match=f"^X: {re.escape(said)}$"):
            use(np.ma.masked_greater(data.images, 100))
    with pytest.raises(ValueError, match=f"^y: {re.escape(said)}$"):
        LeNet5Classifier().fit(data.images, np.ma.masked_equal(data.labels, 3))


def test_booleans_are_0_and_1_and_refused_where_white_is_255(fitted: LeNet5Classifier) -> None:
    split = bars(200)
    X = split.images > 128  # noqa: N806
    of_booleans = LeNet5Classifier(**QUICK).fit(X, split.labels)
    assert of_booleans.pixel_max_ == 1
    np.testing.assert_array_equal(of_booleans.predict_proba(X), of_booleans.predict_proba(X.astype(float)))
    refusal = "X: booleans; expected numbers from 0 to 255, as in training"
    with pytest.raises(ValueError, match=refusal):
        fitted.predict(X)
    with pytest.raises(ValueError, match=refusal):
        fitted.partial_fit(X, split.labels)


def test_numbers_that_rounding_takes_beyond_0_and_1_are_white_and_black() -> None:
    """As ``MinMaxScaler`` gives them; what was fitted on them was black throughout."""
    split = bars(100)
    X = split.images.reshape(-1, 784) / 255  # noqa: N806
    beyond = X * (1 + 4e-16) - 1e-17
    assert beyond.max() > 1
    assert beyond.min() < 0
    expected = LeNet5Classifier(**QUICK).fit(X, split.labels)
    model = LeNet5Classifier(**QUICK).fit(beyond, split.labels)
    assert model.pixel_max_ == 1
    for each in (X, beyond, np.float32(X) * np.float32(1 + 5e-7)):
        np.testing.assert_array_equal(model.predict_proba(each), expected.predict_proba(X))
    with pytest.raises(ValueError, match=r"^X: numbers from 0 to 1\.000002; expected 0 to 1$"):
        model.predict(X * (1 + 2e-6))
    for high, said in ((1.000002, r"1\.000002"), (1.9, r"1\.9")):
        with pytest.raises(
            ValueError, match=rf"^X: numbers from 0 to {said}; expected 0 to 255, or 0 to 1 in fit and predict$"
        ):
            LeNet5Classifier().fit(high * X, split.labels)


def test_bytes_are_not_converted(fitted: LeNet5Classifier) -> None:
    """MNIST's 44 MB took 700 MB more on their way to what they were."""
    X = bars(20).images.reshape(-1, 784)  # noqa: N806
    assert np.shares_memory(fitted._images(X), X)


def test_without_a_seed_another_is_drawn_for_each_call() -> None:
    """The order of an epoch's images was that of seed 0."""
    data = bars(20)
    model = LeNet5Classifier(epochs=1, seed=None)
    fits = [model.fit(data.images, data.labels).network_.config.seed for _ in range(2)]
    seeds = [*fits, clone(model).partial_fit(data.images, data.labels, range(10)).network_.config.seed]
    assert None not in seeds
    assert len(set(seeds)) == 3


def test_what_does_not_fit_is_refused(fitted: LeNet5Classifier) -> None:
    split = bars(40)
    dark = "X: numbers from 0 to 1; expected 0 to 255, as in training"
    for images in (bars(40).images / 255, bars(40).images // 255):
        with pytest.raises(ValueError, match=dark):
            fitted.predict(images)
    with pytest.raises(ValueError, match=r"X: numbers from 0 to 1\.5; expected 0 to 255, or 0 to 1 in fit and predict"):
        fitted.predict(split.images / 170)
    with pytest.raises(ValueError, match="X: numbers from 0 to 256; expected 0 to 255"):
        fitted.predict(np.full((1, 784), 256.0) * np.eye(1, 784))
    with pytest.raises(ValueError, match=r"X: 64 feature\(s\); expected 784, the pixels of 28x28"):
        LeNet5Classifier().fit(np.ones((40, 64)), split.labels)
    with pytest.raises(ValueError, match=r"^X: of shape \(4, 28, 28, 1\); expected \(n, 784\) or \(n, 28, 28\)$"):
        LeNet5Classifier().fit(np.zeros((4, 28, 28, 1)), np.arange(4))
    with pytest.raises(ValueError, match="y: 11 classes; expected 2 to 10, as many as the sheet digits has glyphs"):
        LeNet5Classifier().fit(split.images[:22], np.arange(22) % 11)
    with pytest.raises(ValueError, match="optimizer: 'newton'; expected sgd or adam"):
        LeNet5Classifier(optimizer="newton").fit(split.images, split.labels)
    with pytest.raises(NotFittedError):
        LeNet5Classifier().predict(split.images)
    with pytest.raises(ValueError, match=r"^threads: 0; expected an integer, 1 or more$"):
        deepcopy(fitted).set_params(threads=0).predict(split.images)


def test_a_fit_that_fails_leaves_what_was_fitted_before() -> None:
    data = bars(100)
    model = LeNet5Classifier(epochs=1, seed=1).fit(data.images, data.labels)
    before = model.predict(data.images)
    for wrong in ({"validation": 10**6}, {"threads": 0}, {"glyphs": "no such file"}, {"lr": -1.0}):
        with pytest.raises(ValueError, match="no such file" if "glyphs" in wrong else next(iter(wrong))):
            model.set_params(**wrong).fit(data.images / 255, np.where(data.labels > 4, "b", "a"))
        model.set_params(validation=0, threads=1, glyphs="digits", lr=0.004)
        np.testing.assert_array_equal(model.predict(data.images), before)
        assert model.predict_proba(data.images).shape[1] == len(model.classes_)


def test_a_pass_that_fails_leaves_what_was_fitted_before() -> None:
    data = bars(100)
    model = LeNet5Classifier(epochs=1, seed=1).fit(data.images, data.labels)
    for _ in range(2):
        before = model.predict_proba(data.images)
        with pytest.raises(ValueError, match="no longer finite"):
            model.set_params(lr=1e300).partial_fit(data.images, data.labels)
        np.testing.assert_array_equal(model.predict_proba(data.images), before)
        model.set_params(lr=0.004).partial_fit(data.images, data.labels)


def test_two_classes_have_one_column_of_decisions() -> None:
    split = bars(200)
    of_two = split.labels < 2
    X, y = split.images[of_two], split.labels[of_two]  # noqa: N806
    model = LeNet5Classifier(**QUICK).fit(X, y)
    decisions = model.decision_function(X)
    assert decisions.shape == (len(X),)
    np.testing.assert_array_equal(model.predict(X), model.classes_[(decisions > 0).astype(int)])
    assert model.predict_proba(X).shape == (len(X), 2)


def test_partial_fit_learns_pass_by_pass_what_is_given() -> None:
    split = bars(200)
    model = LeNet5Classifier(**QUICK)
    with pytest.raises(ValueError, match="classes: not given; the first call of partial_fit needs all of them"):
        model.partial_fit(split.images, split.labels)
    with pytest.raises(ValueError, match="y: 0 is not one of the classes"):
        model.partial_fit(split.images, split.labels, classes=[1, 2])
    with pytest.raises(NotFittedError):  # nothing was learned
        model.predict(split.images)
    for _ in range(4):
        for start in (0, 100):
            part = slice(start, start + 100)
            model.partial_fit(split.images[part], split.labels[part], classes=np.arange(10))
    assert model.score(split.images, split.labels) > 0.9
    with pytest.raises(ValueError, match="y: 11 is not one of the classes"):
        model.partial_fit(split.images[:1], [11])
    with pytest.raises(ValueError, match=r"classes: \[0 1\]; expected the same as before, \[0 1 2 3 4 5 6 7 8 9\]"):
        model.partial_fit(split.images[:1], split.labels[:1], classes=[1, 0])


def test_partial_fit_refuses_settings_that_it_would_pass_over() -> None:
    split = bars(40)
    model = LeNet5Classifier(**QUICK).partial_fit(split.images, split.labels, classes=np.arange(10))
    others: dict[str, Any] = {
        "loss": "discriminative",
        "rubbish": 4.0,
        "maps": "4,8,60",
        "glyphs": "letters",
        "input": "binary",
        "activation": "sigmoid",
        "connections": "lecun1998",
        "init": "normal",
        "dtype": "float64",
    }
    of_optimizer: dict[str, Any] = {"optimizer": "sgd", "clip": 1.0, "ema": 0.9}
    for name, other in (others | of_optimizer).items():
        own = getattr(model, name)
        said = f"{name}: {other!r}; expected {own!r}, as in earlier calls; fit starts over"
        with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
            model.set_params(**{name: other}).partial_fit(split.images, split.labels)
        model.set_params(**{name: own})
    model.set_params(lr=0.001, batch_size=8, augment="affine", seed=3).partial_fit(split.images, split.labels)
    model.fit(split.images, split.labels)
    model.set_params(**of_optimizer).partial_fit(split.images, split.labels)  # whose optimiser is new
    with pytest.raises(ValueError, match=r"^maps: '4,8,60'; expected '6,16,120', as in earlier calls; "):
        model.set_params(maps="4,8,60").partial_fit(split.images, split.labels)


def test_what_numpy_is_told_to_raise_does_not_matter(fitted: LeNet5Classifier) -> None:
    model = deepcopy(fitted)
    model.network_.layers[-2].params["bias"][...] = 99 * (2.0 * model.network_.codes[0] - 1)  # all but the first: 0
    X = bars(120).images  # noqa: N806
    expected = model.predict_proba(X)
    with np.errstate(all="raise"):
        np.testing.assert_array_equal(model.predict_proba(X), expected)


def test_without_scikit_learn_the_module_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "lenet5_cli.sklearn")
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    with pytest.raises(ImportError) as error:
        importlib.import_module("lenet5_cli.sklearn")
    assert isinstance(error.value, LeNet5Error)
    assert str(error.value) == (
        "scikit-learn, which LeNet5Classifier needs, cannot be imported: import of sklearn.base halted; None in"
        " sys.modules; pip install 'lenet5-cli[sklearn]'"
    )


def test_threads_that_share_a_model_get_what_one_gets(fitted: LeNet5Classifier) -> None:
    X = bars(120).images  # noqa: N806
    parts = [X[start : start + 100] for start in range(20)]
    alone = [fitted.predict_proba(part) for part in parts]
    with ThreadPoolExecutor(4) as pool:
        for found, expected in zip(pool.map(fitted.predict_proba, parts), alone, strict=True):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
def test_tools_of_scikit_learn(tmp_path: Path, fitted: LeNet5Classifier) -> None:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.model_selection import GridSearchCV, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler

    split = bars(120)
    X, y = split.images.reshape(-1, 784), split.labels  # noqa: N806
    short = LeNet5Classifier(**QUICK | {"epochs": 1})
    with joblib.parallel_config("multiprocessing"):  # which need not import scikit-learn once more
        assert cross_val_score(clone(short), X, y, cv=2, n_jobs=2).shape == (2,)
    model = LeNet5Classifier(**QUICK | {"epochs": 8})
    search = GridSearchCV(model, {"lr": np.array([0.0, 0.004])}, cv=2).fit(X, y)
    assert search.best_params_ == {"lr": 0.004}
    scaled = make_pipeline(MinMaxScaler(), model)
    assert scaled.fit(X, y).score(X, y) > 0.8
    calibrated = CalibratedClassifierCV(short, cv=2).fit(X, y)
    assert calibrated.predict_proba(X).shape == (120, 10)
    joblib.dump(fitted, tmp_path / "model.joblib")
    for copy in (joblib.load(tmp_path / "model.joblib"), pickle.loads(pickle.dumps(fitted))):
        np.testing.assert_array_equal(copy.predict_proba(X), fitted.predict_proba(X))
