"""LeNet5Classifier beside scikit-learn's own classifiers on ``sklearn.datasets.load_digits``.

``python benchmarks/estimators.py`` prints the accuracy of 5-fold cross-validation, stratified and shuffled with seed 0,
and the seconds of a fit. The digits have 8x8 pixels of 17 shades; they are enlarged to 20x20 and put into 28x28, as
MNIST's are, and all classifiers get the same 784 numbers from 0 to 1. Each runs with its defaults, apart from what the
table says, on one core. LeNet5Classifier's defaults were chosen on one split of these digits, seed 5, 70 to 30.
"""

import argparse
import sys

import cv2
import numpy as np

from lenet5_cli.errors import LeNet5Error


def enlarged() -> tuple[np.ndarray, np.ndarray]:
    """Return the 1,797 digits, (n, 784) from 0 to 1, and their labels (n,)."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    large = [cv2.resize(image, (20, 20), interpolation=cv2.INTER_CUBIC) for image in digits.images.astype(np.float32)]
    return np.pad(np.clip(large, 0, 16) / 16, ((0, 0), (4, 4), (4, 4))).reshape(-1, 784), digits.target


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    try:
        from lenet5_cli.sklearn import LeNet5Classifier
    except LeNet5Error as error:
        sys.exit(str(error))
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import StratifiedKFold, cross_validate
    from sklearn.neural_network import MLPClassifier
    from sklearn.svm import SVC
    from threadpoolctl import threadpool_limits

    beside = {
        "LeNet5Classifier()": LeNet5Classifier(),
        "SVC()": SVC(),
        "RandomForestClassifier()": RandomForestClassifier(random_state=0),
        "MLPClassifier(max_iter=500)": MLPClassifier(max_iter=500, random_state=0),
    }
    X, y = enlarged()  # noqa: N806
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    print(f"{'classifier':30} accuracy  lowest fold  seconds a fit")
    with threadpool_limits(1):
        for name, estimator in beside.items():
            found = cross_validate(estimator, X, y, cv=folds)
            accuracy, seconds = found["test_score"], np.median(found["fit_time"])
            print(f"{name:30} {accuracy.mean():8.4f}  {accuracy.min():11.4f}  {seconds:13.1f}", flush=True)


if __name__ == "__main__":
    main()
