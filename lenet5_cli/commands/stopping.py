"""Stop a training at the end of a step when a signal comes, so that what is done can be saved."""

import signal
from typing import TYPE_CHECKING, Self

import click

from lenet5_cli.commands.progress import bar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lenet5_cli.training.loop import Batch


class Stop:
    """Makes the first Ctrl-C or SIGTERM stop the command at the end of the running step, the second one at once."""

    class Requested(Exception):  # noqa: N818 - nothing has gone wrong
        """The step has ended."""

    def __init__(self, listen: bool = True) -> None:
        """Catch the signals only if ``listen`` is true."""
        self._numbers = (signal.SIGINT, signal.SIGTERM) if listen else ()

    def __enter__(self) -> Self:
        """Catch the signals."""
        self.exit_code = 0
        self._before = {number: signal.signal(number, self._note) for number in self._numbers}
        return self

    def __exit__(self, *_: object) -> None:
        """Restore the previous handlers of the signals."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def track(self, batches: "Iterator[Batch]", total: int, what: str) -> "Iterator[Batch]":
        """Pass batches through as ``bar`` does, and stop after the one during which a signal came."""
        for batch in bar(batches, total, what):
            yield batch
            if self.exit_code:
                raise self.Requested

    def _note(self, number: int, _: object) -> None:
        if self.exit_code:
            raise SystemExit(self.exit_code)
        self.exit_code = 128 + number
        click.echo("\nStopping at the end of this step; Ctrl-C again stops immediately.", err=True)
