"""The user's cache of conversions; of downloads, see test_sources and test_remote."""

import json
import os
import re
import shutil
from http.client import IncompleteRead
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pooch
import pytest

from lenet5_cli.data import cache, remote

IMAGES = np.arange(2 * 784).astype(np.uint8).reshape(2, 28, 28)
NOTES = {"labels": ["a", "\udcff"]}


def made(*, expected: bool) -> None:
    """Ask for a conversion, and check what is returned and whether it was made for that."""
    calls = []

    def make() -> tuple[np.ndarray, dict[str, Any]]:
        calls.append(1)
        return IMAGES, NOTES

    images, notes = cache.converted("key", make)
    np.testing.assert_array_equal(np.asarray(images), IMAGES)
    assert notes == NOTES
    assert bool(calls) == expected


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LENET5_CACHE", "cache")
    return Path("cache/converted/key")


def test_a_conversion_is_made_once(place: Path) -> None:
    made(expected=True)
    made(expected=False)
    assert sorted(path.name for path in place.iterdir()) == ["images-idx3-ubyte", "notes.json"]


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("held", [True, False])
def test_a_conversion_whose_notes_hold_no_longer_is_made_again(held: bool) -> None:
    made(expected=True)
    asked = []

    def holds(notes: dict[str, Any]) -> bool:
        asked.append(notes)
        return held

    for _ in range(2):
        cache.converted("key", lambda: (IMAGES, {"again": 1}), holds)
    assert asked == [NOTES, NOTES if held else {"again": 1}]


def test_what_has_changed_while_it_was_converted_is_not_kept(place: Path) -> None:
    images, _ = cache.converted("key", lambda: (IMAGES, NOTES), unchanged=lambda: False)
    assert images is IMAGES
    assert not place.exists()
    made(expected=True)


@pytest.mark.parametrize("name", ["images-idx3-ubyte", "notes.json"])
@pytest.mark.parametrize("content", [None, b"", b"\xff{"])
def test_what_is_missing_or_damaged_is_made_again(place: Path, name: str, content: bytes | None) -> None:
    made(expected=True)
    if content is None:
        (place / name).unlink()
    else:
        (place / name).write_bytes(content)
    made(expected=True)
    made(expected=False)


def test_a_cache_that_cannot_be_written_is_done_without(place: Path) -> None:
    (place / "notes.json").mkdir(parents=True)
    made(expected=True)
    made(expected=True)
    shutil.rmtree(place.parent.parent)
    place.parent.parent.write_text("a file")
    made(expected=True)
    made(expected=True)


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without a home, as in a container that is started with a user id which it does not know."""
    for variable in ("LENET5_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 10)


@pytest.mark.usefixtures("homeless")
def test_a_user_without_a_home_converts_each_time_and_is_told_why_nothing_is_downloaded() -> None:
    made(expected=True)
    made(expected=True)
    assert not remote.in_cache("mnist")
    with pytest.raises(OSError, match="no home") as error:
        remote.load("mnist", "test")
    assert str(error.value) == (
        "t10k-images-idx3-ubyte.gz could not be downloaded (no home folder for the cache; set LENET5_CACHE to a folder)"
    )


def test_notes_are_plain_json(place: Path) -> None:
    made(expected=True)
    assert json.loads((place / "notes.json").read_bytes()) == NOTES


def test_an_error_is_told_by_its_root_cause() -> None:
    def caused(raised: BaseException, cause: BaseException | None = None) -> str:
        try:
            try:
                raise cause or raised
            except BaseException:
                if cause is None:
                    raise
                raise raised from None
        except BaseException as problem:  # noqa: BLE001
            return str(cache._root_cause(problem))

    assert caused(OSError("one")) == "one"
    assert caused(ValueError("one"), OSError("other")) == "one"  # what is suppressed is no cause
    chained = OSError("outer")
    chained.__context__ = OSError("middle")
    chained.__context__.__cause__ = ValueError("inner")
    assert str(cache._root_cause(chained)) == "inner"


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (IncompleteRead(b"ab", 5), "IncompleteRead(2 bytes read, 5 more expected)"),  # no error of the system
        (OSError(111, "Connection refused"), "Connection refused"),
        (OSError("404 Client Error: Not Found for url: https://a/b"), "404 Client Error: Not Found"),
    ],
)
def test_a_failed_download_is_told_without_its_address(
    problem: Exception, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError("Connection broken") from problem

    monkeypatch.setattr(pooch, "retrieve", broken)
    with pytest.raises(OSError, match=f"^a[.]b: {re.escape(reason)}$"):
        cache.download(["https://a.b/file"], "md5:0", Path("cache/file"))


def test_the_cache_is_that_of_the_user_unless_the_environment_names_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pooch, "os_cache", lambda name: Path("caches", name))
    for named, folder in (("own", "own"), ("", "caches/lenet5")):
        monkeypatch.setenv("LENET5_CACHE", named)
        assert cache.folder() == Path(folder)
    monkeypatch.delenv("LENET5_CACHE")
    assert cache.folder() == Path("caches/lenet5")


def test_a_request_without_an_answer_keeps_no_program_from_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []

    def thread(**how: Any) -> Thread:
        threads.append(Thread(**how))
        return threads[-1]

    monkeypatch.setattr(cache, "Thread", thread)
    cache._demand_answer(lambda *_, **__: True, "https://a/b")
    assert [each.daemon for each in threads] == [True]
