"""Data sets that can be downloaded: who publishes them, their digests and licences, and how they are stored.

The mirrors are hosts that publish the originals, or that their publishers name. The digests are those of well-known
loaders.
The SHA-256 of MNIST, Fashion-MNIST, Kuzushiji-MNIST and QMNIST are those of TensorFlow Datasets or of torchvision's
prototype loaders (``torchvision/prototype/datasets/_builtin/mnist.py``, 0.13), that of EMNIST's archive is that of
Julia's MLDatasets (torchvision has its MD5 alone, 58c8d27c78d21e728a6bc7b3cc06412e), and the MD5 of Kannada-MNIST are
those of a Keras loader.

The licences are what the publishers say: MNIST's as Keras quotes it; those of Fashion-MNIST, Kuzushiji-MNIST and QMNIST
stand in their repositories. NIST's page of EMNIST and the repository of Kannada-MNIST state none.
"""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lenet5_cli.data import cache, idx
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.files import replacing

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MEMBER_LIMIT = 2**28  # bytes of a packed file in an archive
_COPIED = 2**20  # bytes at a time

_MNIST_FILES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}


@dataclass(frozen=True)
class Remote:
    """A data set that can be downloaded."""

    page: str
    licence: str
    images: int  # of all splits
    classes: int
    mirrors: tuple[str, ...]
    digests: dict[str, str]  # of each file: SHA-256, or ``md5:`` and MD5
    splits: dict[str, tuple[str, str]] = field(default_factory=_MNIST_FILES.copy)  # images and labels files
    archive: str = ""  # the zip file in which the files are
    first: int = 0  # the label of the first class
    transposed: bool = False  # images are stored with rows and columns exchanged

    @property
    def plain(self) -> bool:
        """Whether the files can be used from a folder as they are."""
        return self.splits == _MNIST_FILES and not self.archive


def _emnist(name: str, images: int, classes: int, first: int = 0) -> Remote:
    return Remote(
        "https://www.nist.gov/itl/products-and-services/emnist-dataset",
        "none stated",
        images,
        classes,
        ("https://biometrics.nist.gov/cs_links/EMNIST/",),
        {"gzip.zip": "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e"},
        {
            split: (
                f"gzip/emnist-{name}-{split}-images-idx3-ubyte.gz",
                f"gzip/emnist-{name}-{split}-labels-idx1-ubyte.gz",
            )
            for split in ("train", "test")
        },
        archive="gzip.zip",
        first=first,
        transposed=True,
    )


SETS = {
    "mnist": Remote(
        "https://github.com/cvdfoundation/mnist",
        "CC BY-SA 3.0",
        70_000,
        10,
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        {
            "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        },
    ),
    "fashion-mnist": Remote(
        "https://github.com/zalandoresearch/fashion-mnist",
        "MIT",
        70_000,
        10,
        (
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        ),
        {
            "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        },
    ),
    "kmnist": Remote(
        "https://codh.rois.ac.jp/kmnist/",
        "CC BY-SA 4.0",
        70_000,
        10,
        ("https://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
        {
            "train-images-idx3-ubyte.gz": "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
            "train-labels-idx1-ubyte.gz": "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
            "t10k-images-idx3-ubyte.gz": "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
            "t10k-labels-idx1-ubyte.gz": "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
        },
    ),
    "emnist-digits": _emnist("digits", 280_000, 10),
    "emnist-letters": _emnist("letters", 145_600, 26, first=1),
    "emnist-balanced": _emnist("balanced", 131_600, 47),
    "qmnist": Remote(
        "https://github.com/facebookresearch/qmnist",
        "BSD 3-Clause",
        120_000,
        10,
        ("https://raw.githubusercontent.com/facebookresearch/qmnist/master/",),
        {
            "qmnist-train-images-idx3-ubyte.gz": "9e26a7bf1683614e065d7b76460ccd52807165b3f22561fb782bd9f38c52b51d",
            "qmnist-train-labels-idx2-int.gz": "2c05dc77f6b916b38e455e97ab129a42a444f3dbef09b278a366f82904e0dd9f",
            "qmnist-test-images-idx3-ubyte.gz": "43fc22bf7498b8fc98de98369d72f752d0deabc280a43a7bcc364ab19e57b375",
            "qmnist-test-labels-idx2-int.gz": "9fbcbe594c3766fdf4f0b15c5165dc0d1e57ac604e01422608bb72c906030d06",
        },
        {
            "train": ("qmnist-train-images-idx3-ubyte.gz", "qmnist-train-labels-idx2-int.gz"),
            "test": ("qmnist-test-images-idx3-ubyte.gz", "qmnist-test-labels-idx2-int.gz"),
            "test50k": ("qmnist-test-images-idx3-ubyte.gz", "qmnist-test-labels-idx2-int.gz"),
        },
    ),
    "kannada-mnist": Remote(
        "https://github.com/vinayprabhu/Kannada_MNIST",
        "none stated",
        70_000,
        10,
        ("https://raw.githubusercontent.com/vinayprabhu/Kannada_MNIST/master/data/output_tensors/MNIST_format/",),
        {
            "X_kannada_MNIST_train-idx3-ubyte.gz": "md5:db2cd247b479801b3a882ab980b340c3",
            "y_kannada_MNIST_train-idx1-ubyte.gz": "md5:f1f06031670554894b697988b906b036",
            "X_kannada_MNIST_test-idx3-ubyte.gz": "md5:8682876e8fbc8cd0e7bb07fc2f502335",
            "y_kannada_MNIST_test-idx1-ubyte.gz": "md5:b426d27d50a5fd8411b9e5838868be4b",
        },
        {
            "train": ("X_kannada_MNIST_train-idx3-ubyte.gz", "y_kannada_MNIST_train-idx1-ubyte.gz"),
            "test": ("X_kannada_MNIST_test-idx3-ubyte.gz", "y_kannada_MNIST_test-idx1-ubyte.gz"),
        },
    ),
}

OF_MNIST = {"test50k": 10_000}  # how many images at the start of a split are MNIST's own, and left out


def load(
    name: str, split: str, progress: cache.Progress | None = None
) -> tuple[NDArray[np.uint8] | idx.Stored, NDArray[np.uint8], tuple[str, str]]:
    """Return the images and labels of a split, upright and counted from 0, and the paths of their files.

    Raises:
        OSError: a file could not be downloaded.
        LeNet5Error: a file is not what its digest says, or damaged.
    """
    data = SETS[name]
    images_path, labels_path = (_file(name, file, progress) for file in data.splits[split])
    images: Any = idx.read_images(images_path)
    labels = np.asarray(idx.read(labels_path))
    if labels.ndim == 2:  # QMNIST's extended labels: the class, then the writer and where the digit was on the form
        labels = labels[:, 0]
    if labels.ndim != 1 or not ((labels >= data.first) & (labels < data.first + data.classes)).all():
        raise LeNet5Error(f"{labels_path}: labels of shape {labels.shape}; expected {data.classes} classes")
    start = OF_MNIST.get(split, 0)
    images, labels = images[start:], (labels[start:] - data.first).astype(np.uint8)
    if data.transposed:
        images = np.ascontiguousarray(np.asarray(images).swapaxes(1, 2))
    return images, labels, (str(images_path), str(labels_path))


def in_cache(name: str) -> bool:
    """Tell whether all files of a data set are in the cache; false if the cache cannot be read."""
    try:
        place = _place(name)
    except OSError:
        return False
    return all(os.path.isfile(place / file) for file in SETS[name].digests)  # noqa: PTH113 - a Path would raise


def _place(name: str) -> Path:
    """Return the folder in the cache; those in one archive share it."""
    return cache.folder() / ("emnist" if SETS[name].archive else name)


def _file(name: str, file: str, progress: cache.Progress | None) -> Path:
    """Return a file of a data set from the cache; download it, or unpack it from its archive, if it is not there."""
    data = SETS[name]
    published = data.archive or file
    try:
        urls = [mirror + published for mirror in data.mirrors]
        path = cache.download(urls, data.digests[published], _place(name) / published, progress)
    except OSError as problem:
        raise OSError(f"{published} could not be downloaded ({problem})") from None
    return _unpacked(path, file) if data.archive else path


def _unpacked(archive: Path, member: str) -> Path:
    """Return a file of an archive, unpacked next to it unless that was done before."""
    target = archive.parent / Path(member).name
    try:
        with zipfile.ZipFile(archive) as held:
            info = held.getinfo(member)
            if info.file_size > _MEMBER_LIMIT:
                raise LeNet5Error(f"{archive}: {member}: {info.file_size:,} bytes; the limit is {_MEMBER_LIMIT:,}")
            if not target.is_file() or target.stat().st_size != info.file_size:
                with held.open(info) as source, replacing(target) as file:
                    while chunk := source.read(_COPIED):
                        file.write(chunk)
    except (KeyError, zipfile.BadZipFile) as error:
        raise LeNet5Error(f"{archive}: {error}; expected {member} in it") from None
    return target
