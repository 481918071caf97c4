"""Data sets by name and folders of IDX files, loaded as splits of images and their labels."""

from __future__ import annotations

import difflib
import hashlib
import os
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, Literal, Protocol
from urllib.parse import urlsplit

import numpy as np

from lenet5_cli.data import drawn, idx
from lenet5_cli.errors import LeNet5Error

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

NAMES = ("mnist", "fashion-mnist", "builtin", "builtin-letters")

VARIABLE = "LENET5_DATA"  # of the environment: the folder of the default data set, mnist

_LOCAL_MNIST = Path("mnist_data")  # the report's place, in the current folder
_PREFIXES = {"train": "train", "test": "t10k"}
_DRAWN = ("builtin", "builtin-letters")
_BUILTIN_COUNTS = {"train": 10_000, "test": 2_000}
_BUILTIN_SEEDS = {"train": 1, "test": 2}
_ADDED_SEED = 3  # of the drawn images added to others
_BUILTIN_MAX = 1_000_000
_WHERE = "--data says where the images are now"
_CHUNK = 4096  # images hashed at a time
_PATIENCE = 3.0  # seconds for a mirror's first answer
_STALL = 10.0  # seconds without a byte in the middle of a file


@dataclass(frozen=True)
class _Remote:
    """A data set that can be downloaded: its web page, its mirrors, the SHA-256 of its files."""

    page: str
    mirrors: tuple[str, ...]
    sha256: dict[str, str]


_REMOTES = {
    "mnist": _Remote(
        "https://github.com/cvdfoundation/mnist",
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
    "fashion-mnist": _Remote(
        "https://github.com/zalandoresearch/fashion-mnist",
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
}


class DownloadError(LeNet5Error):
    """A file could not be downloaded from any mirror."""


class Progress(Protocol):
    """What shows a download, as pooch expects it: it must be truthy (a tqdm bar needs a total for that).

    `total` is set, in bytes, at the start of each file; `reset`, `update(total)` and `close` are called at its end.
    """

    total: float | None

    def update(self, n: int, /) -> object:
        """Add n bytes."""

    def reset(self) -> object:
        """Start again from 0."""

    def close(self) -> object:
        """Finish."""


@dataclass(frozen=True, eq=False)
class Split:
    """The training or the test images of a data set, with their labels.

    `images` is uint8 of shape (n, 28, 28), `labels` uint8 of shape (n,), n at least 1. The
    images of a large plain file are read on demand: a slice of them is a view for ``np.asarray`` to read. `source` is
    the argument of `load`, and the two paths are the files, or the name of what is drawn.
    """

    source: str
    images: NDArray[np.uint8] | idx.Stored
    labels: NDArray[np.uint8]
    images_path: str
    labels_path: str

    def part(self, images: slice) -> Split:
        """Return views of some of the images and their labels."""
        return replace(self, images=self.images[images], labels=self.labels[images])

    @cached_property
    def sha256(self) -> str:
        """SHA-256, in hex, of all bytes of the images, then of the labels; the same however the files are stored."""
        digest = hashlib.sha256()
        for array in (self.images, self.labels):
            for start in range(0, len(array), _CHUNK):
                digest.update(np.ascontiguousarray(array[start : start + _CHUNK]).data)
        return digest.hexdigest()


def load(source: str, split: Literal["train", "test"], *, progress: Progress | None = None) -> Split:
    """Load one split of a data set.

    `source` is ``mnist``, ``fashion-mnist``, ``builtin``, ``builtin-letters``, these two with ``:N`` for N training
    images, or a folder; write a folder that is named like a data set as ``./mnist``. ``mnist`` is taken from the folder
    that `LENET5_DATA` names, else from the folder ``mnist_data`` if the split is there, else from the cache
    (`LENET5_CACHE`, or the user's cache folder), into which it is downloaded once.
    `progress` shows the download.

    Raises `DownloadError` if the files cannot be downloaded, `LeNet5Error` if there is no such data or it is damaged.
    """
    if source.partition(":")[0] in _DRAWN:
        return _draw(source, split)
    try:
        images_path, labels_path = _locate(source, split, progress)
    except OSError as problem:
        raise LeNet5Error(f"{source}: cannot be read: {problem.strerror or problem}") from problem
    return _read(source, images_path, labels_path)


def extended(split: Split, digits: int, nondigits: int, *, nonclass: int = 10) -> Split:
    """Return a split with drawn digits behind its images, and behind these pictures of none, labelled ``nonclass``.

    The digits are drawn in all styles evenly, so that there are enough of those that the split lacks.
    """
    if not digits and not nondigits:
        return split
    images, labels = drawn.draw(digits, _ADDED_SEED, evenly=True)
    others = drawn.draw_nondigits(nondigits, _ADDED_SEED)
    return replace(
        split,
        images=np.concatenate([np.asarray(split.images[:]), images, others]),
        labels=np.concatenate([split.labels, labels, np.full(nondigits, nonclass, np.uint8)]),
    )


def _draw(source: str, split: str) -> Split:
    """Draw built-in digits or letters; a number in the source counts training images; test images never change."""
    count = _BUILTIN_COUNTS[split]
    name, colon, number = source.partition(":")
    if colon:
        expected = int(number) if number.isdecimal() and len(number) <= len(str(_BUILTIN_MAX)) else 0
        if not 1 <= expected <= _BUILTIN_MAX:
            raise LeNet5Error(
                f"{source}: expected a number of training images from 1 to {_BUILTIN_MAX:,} after the colon,"
                f" as in {name}:60000"
            )
        count = expected if split == "train" else count
    images, labels = (drawn.draw if name == "builtin" else drawn.draw_letters)(count, _BUILTIN_SEEDS[split])
    return Split(source, images, labels, name, name)


def _locate(source: str, split: str, progress: Progress | None) -> tuple[Path, Path]:
    if source == "mnist" and (folder := os.environ.get(VARIABLE)):
        try:
            return _find_in_folder(folder, split)
        except LeNet5Error as error:
            raise LeNet5Error(f"{VARIABLE}: {error}") from None
    if source == "mnist" and (found := _find(_LOCAL_MNIST, split)):
        return found
    return _fetch(source, split, progress) if source in _REMOTES else _find_in_folder(source, split)


def _read(source: str, images_path: Path, labels_path: Path) -> Split:
    images, labels = idx.read_images(images_path), idx.read_labels(labels_path)
    if len(images) != len(labels):
        raise LeNet5Error(
            f"{images_path}: {len(images):,} images, but {len(labels):,} labels in {labels_path};"
            " expected a label for each image"
        )
    if not len(images):
        raise LeNet5Error(f"{images_path}: no images; expected at least one")
    rows, columns = images.shape[1:]
    if (rows, columns) != (28, 28):
        raise LeNet5Error(f"{images_path}: images of {rows}x{columns} pixels; expected 28x28")
    return Split(source, images, labels, str(images_path), str(labels_path))


def _names(split: str) -> tuple[str, str]:
    prefix = _PREFIXES[split]
    return f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"


def _spellings(name: str) -> tuple[str, ...]:
    """Return the names that a file may have, uncompressed ones first."""
    dotted = name.replace("-idx", ".idx")
    return name, dotted, f"{name}.gz", f"{dotted}.gz"


def _spelled(folder: Path, name: str) -> Path | None:
    """Return the first file with one of these names; a link or pipe counts, so that reading it reports what it is."""
    paths = [folder / spelling for spelling in _spellings(name)]
    return next((path for path in paths if os.path.lexists(path) and not path.is_dir()), None)


def _find(folder: Path, split: str) -> tuple[Path, Path] | None:
    """Return the images and labels files of a split if the folder holds both."""
    images, labels = (_spelled(folder, name) for name in _names(split))
    return (images, labels) if images and labels else None


def _find_in_folder(source: str, split: str) -> tuple[Path, Path]:
    folder = Path(source)
    if not source or not folder.exists():
        raise _unknown(source)
    if not folder.is_dir():
        raise LeNet5Error(f"{source}: a file; expected the folder that holds the images and labels files")
    if found := _find(folder, split):
        return found
    missing = next(name for name in _names(split) if not _spelled(folder, name))
    raise LeNet5Error(f"{source}: no {missing} in this folder; the names tried are {', '.join(_spellings(missing))}")


def _unknown(source: str) -> LeNet5Error:
    if Path(source).name != source:
        return LeNet5Error(f"{source}: no such folder; {_WHERE}")
    near = difflib.get_close_matches(source, NAMES, n=1)
    hint = f"did you mean {near[0]}?" if near else _WHERE
    return LeNet5Error(
        f"{source or '(nothing)'}: neither a data set nor a folder; the data sets are {', '.join(NAMES)}; {hint}"
    )


def _fetch(name: str, split: str, progress: Progress | None) -> tuple[Path, Path]:
    """Return the images and labels files of a split in the cache, downloading them if they are not there."""
    import pooch  # noqa: PLC0415  (the import takes longer than `lenet5 --help` may)

    pooch.get_logger().setLevel("WARNING")  # it would print each URL
    cache = Path(os.environ.get("LENET5_CACHE") or pooch.os_cache("lenet5")) / name
    images, labels = (_retrieve(name, f"{file}.gz", cache, progress) for file in _names(split))
    return images, labels


def _retrieve(name: str, file: str, cache: Path, progress: Progress | None) -> Path:
    """Return a file from the cache, or else from the first mirror with the right one; partial downloads are removed."""
    import pooch  # noqa: PLC0415

    remote = _REMOTES[name]
    download = _downloader(progress)
    failures = []
    for mirror in remote.mirrors:
        host = urlsplit(mirror).hostname
        try:
            return Path(pooch.retrieve(mirror + file, remote.sha256[file], file, cache, downloader=download))
        except OSError as problem:  # the network's errors are OSErrors as well
            failures.append(f"{host}: {_first_cause(problem)}")
        except ValueError:
            failures.append(f"{host}: its file has another SHA-256")
    place = f"put them into {_LOCAL_MNIST}/ or " if name == "mnist" else ""
    raise DownloadError(
        f"{name}: {file} could not be downloaded ({'; '.join(failures)}); get the four files from {remote.page} and"
        f" {place}give their folder with --data FOLDER, or use --data builtin, which needs no download"
    )


def _downloader(progress: Progress | None) -> Callable[[str, str, Any], None]:
    import pooch  # noqa: PLC0415

    http = pooch.HTTPDownloader(
        progressbar=False if progress is None else progress, chunk_size=2**16, timeout=(_PATIENCE, _STALL)
    )

    def download(url: str, output: str, registry: Any) -> None:
        _demand_answer(http, url)
        http(url, output, registry)

    return download


def _demand_answer(http: Callable[..., bool], url: str) -> None:
    """Raise `OSError` unless the mirror confirms in time that it has the file.

    The timeout of a request limits neither name resolution nor the number of addresses tried in turn, so the request is
    abandoned in its thread when time is up.
    """
    answer: Future[bool] = Future()

    def request() -> None:
        try:
            answer.set_result(http(url, None, None, check_only=True))
        except OSError as problem:
            answer.set_exception(problem)

    Thread(target=request, daemon=True).start()
    try:
        found = answer.result(_PATIENCE)
    except TimeoutError:
        raise OSError(f"no answer within {_PATIENCE:g} seconds") from None
    if not found:
        raise OSError("it does not have the file")


def _first_cause(problem: BaseException) -> str:
    """Return the first cause of a chain of errors, in a few words."""
    while cause := problem.__cause__ or (None if problem.__suppress_context__ else problem.__context__):
        problem = cause
    text = getattr(problem, "strerror", None) or str(problem).partition(" for url")[0]
    place = getattr(problem, "filename", None)
    return f"{place}: {text}" if place else text
