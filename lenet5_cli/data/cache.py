"""The user's cache: downloads, and pictures and tables that were converted to 28x28 images."""

from __future__ import annotations

import json
import os
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from lenet5_cli.data import idx
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.files import content, replacing

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

VARIABLE = "LENET5_CACHE"  # of the environment: the folder of the cache

_PATIENCE = 3.0  # seconds to wait for a mirror's first answer
_STALL = 10.0  # seconds without a byte in the middle of a file
_NOTES_LIMIT = 2**28  # bytes of the notes of a conversion: labels, and reasons for what could not be read


class Progress(Protocol):
    """A progress bar for a download, as pooch expects it, or a conversion. It must be truthy: a tqdm bar needs a total.

    ``total`` is set, in bytes or pictures, at the start; ``update`` is called on the way. A download calls ``reset``,
    ``update(total)`` and ``close`` at the end of each file.
    """

    total: float | None

    def update(self, n: int, /) -> object:
        """Add n bytes or pictures."""

    def reset(self) -> object:
        """Start again from 0."""

    def close(self) -> object:
        """Finish."""


def folder() -> Path:
    """Return the folder of the cache: ``LENET5_CACHE``, or the user's cache folder.

    Raises:
        OSError: the user has no home folder, as with a user id that /etc/passwd does not list.
    """
    import pooch  # noqa: PLC0415  (the import takes longer than `lenet5 --help` may)

    try:
        return Path(os.environ.get(VARIABLE) or pooch.os_cache("lenet5").expanduser())
    except RuntimeError:  # of platformdirs, or of `expanduser` where an older one returns ~/.cache
        raise OSError(f"no home folder for the cache; set {VARIABLE} to a folder") from None


def converted(
    key: str,
    make: Callable[[], tuple[NDArray[np.uint8], dict[str, Any]]],
    holds: Callable[[dict[str, Any]], bool] = lambda _: True,
    *,
    unchanged: Callable[[], bool] = lambda: True,
) -> tuple[NDArray[np.uint8] | idx.Stored, dict[str, Any]]:
    """Return the images and notes that are cached under a key, or make and cache them.

    The key is a digest of everything that the result depends on. ``holds`` tells whether cached notes are still true.
    ``unchanged`` is called after ``make`` and tells whether the key is still that of the input: if not, nothing is
    cached. If the cache cannot be written, the result is made each time.
    """
    try:
        place = folder() / "converted" / key
    except OSError:
        return make()
    with suppress(LeNet5Error, ValueError):  # missing or damaged: make it again
        notes = json.loads(content(place / "notes.json", _NOTES_LIMIT, "notes"))
        kept = idx.read_images(place / "images-idx3-ubyte")
        if holds(notes):
            return kept, notes
    images, notes = make()
    if not unchanged():
        return images, notes
    with suppress(OSError, LeNet5Error):
        place.mkdir(parents=True, exist_ok=True)
        with replacing(place / "notes.json") as file:
            file.write(json.dumps(notes).encode())
        idx.write(place / "images-idx3-ubyte", images)  # last, as it marks the conversion as complete
    return images, notes


def download(urls: list[str], digest: str, place: Path, progress: Progress | None = None) -> Path:
    """Return a file from the cache, or download it from the first of the URLs whose file has the right digest.

    Args:
        urls: where the file is published.
        digest: its SHA-256 in hex, or ``md5:`` and its MD5 where no SHA-256 is published.
        place: where it is kept.
        progress: shows the download.

    Raises:
        OSError: no URL has it; the message gives the reason for each host.
    """
    import pooch  # noqa: PLC0415

    pooch.get_logger().setLevel("WARNING")  # it would print each URL
    get = _downloader(progress)
    failures = []
    for url in urls:
        host = urlsplit(url).hostname
        try:
            return Path(pooch.retrieve(url, digest, place.name, place.parent, downloader=get))
        except OSError as problem:  # the network's errors are OSErrors as well
            cause = _root_cause(problem)
            if isinstance(cause, OSError) and cause.filename:  # writing the cache failed, not the download
                there = f"{place.parent}: cannot be written: {cause.strerror}"
                raise OSError(f"{there}; set {VARIABLE} to another folder") from None
            reason = getattr(cause, "strerror", None) or str(cause).partition(" for url")[0]
            failures.append(f"{host}: {reason}")
        except ValueError:
            failures.append(f"{host}: its file has the wrong {'MD5' if digest.startswith('md5:') else 'SHA-256'}")
    raise OSError("; ".join(failures))


def _downloader(progress: Progress | None) -> Callable[[str, str, Any], None]:
    import pooch  # noqa: PLC0415

    http = pooch.HTTPDownloader(
        progressbar=False if progress is None else progress, chunk_size=2**16, timeout=(_PATIENCE, _STALL)
    )

    def get(url: str, output: str, registry: Any) -> None:
        _demand_answer(http, url)
        http(url, output, registry)

    return get


def _demand_answer(http: Callable[..., bool], url: str) -> None:
    """Raise `OSError` unless the mirror confirms within ``_PATIENCE`` that it has the file.

    The timeout of a request covers neither name resolution nor trying several addresses in turn. So the request runs in
    a thread, which is abandoned when the time is up.
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


def _root_cause(problem: BaseException) -> BaseException:
    """Return the first error of a chain."""
    while cause := problem.__cause__ or (None if problem.__suppress_context__ else problem.__context__):
        problem = cause
    return problem
