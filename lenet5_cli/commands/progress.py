"""Progress bars, on a terminal or in a notebook only."""

import os
import sys
from functools import cache
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lenet5_cli.training.loop import Batch

USUAL, ROWS = 80, 24  # columns of a terminal, and rows


def bar(batches: "Iterator[Batch]", total: int, what: str) -> "Iterator[Batch]":
    """Pass batches through and show progress on a terminal or in a notebook; for arguments ``track``."""
    with progress(total=total, desc=what, unit=" images", leave=False, delay=0.2) as shown:
        for batch in batches:
            yield batch
            shown.update(len(batch[1]))


class NoBar:
    """A bar that shows nothing, and does not import tqdm."""

    disable = True

    def __enter__(self) -> Self:
        """Show nothing."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing."""

    def clear(self) -> None:
        """Clear nothing."""

    close = clear

    def update(self, count: int = 1) -> None:
        """Show nothing."""


class Download:
    """A bar that is drawn only when bytes arrive: files in the cache are not downloaded."""

    disable = False
    total: float | None = None

    def __init__(self, **how: Any) -> None:
        self._how = how
        self._bar: Any = None

    def __enter__(self) -> Self:
        """Draw nothing yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the bar of an incomplete download."""
        self.close()

    def update(self, count: int = 1) -> None:
        """Show that bytes arrived."""
        if self._bar is None:
            self._bar = progress(**self._how, total=self.total)
        self._bar.update(count)

    def close(self) -> None:
        """Finish a file; another may come."""
        if self._bar is not None:
            self._bar.close()
        self._bar = None

    reset = close


def progress(**how: Any) -> Any:
    """Return a tqdm bar for a notebook or a terminal."""
    if "ipykernel" in sys.modules:
        from tqdm.auto import tqdm

        return _unlocking(tqdm)(**how)
    if not hasattr(sys.stderr, "isatty") or not sys.stderr.isatty():  # None in a program without a console
        return NoBar()
    from tqdm import tqdm as on_terminal

    kind = _unlocking(on_terminal)
    try:
        columns, rows = os.get_terminal_size(sys.stderr.fileno())
    except OSError:  # an editor's output pane, which is not a terminal
        columns = rows = 0
    if not (columns and rows):  # a terminal of unknown size, on which tqdm draws nothing
        return kind(**how, ncols=columns or USUAL, nrows=ROWS)
    return kind(**how, dynamic_ncols=True)  # the window may be resized


@cache
def _unlocking(kind: Any) -> Any:
    """Return a class of progress bars that release the lock shared by all bars if Ctrl-C interrupts drawing.

    With tqdm's own class, the lock would stay locked, and a thread that shows a bar later would wait for ever.
    """

    class Bar(kind):  # type: ignore[misc]
        def refresh(self, *_: Any, **__: Any) -> Any:
            with self.get_lock():
                return super().refresh(nolock=True)

    return Bar
