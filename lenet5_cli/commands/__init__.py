"""The command line: ``lenet5`` and its commands, a module each."""

import errno
import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import click

import lenet5_cli
from lenet5_cli.commands.launch import mute
from lenet5_cli.commands.options import SharedCommand
from lenet5_cli.errors import LeNet5Error, printable
from lenet5_cli.processes import silence_pillow
from lenet5_cli.training.ranks import launched

COMMANDS = {  # name to module; each command has the name of its module
    "compare": "compare",
    "data": "data",
    "eval": "evaluate",
    "export": "export",
    "info": "info",
    "predict": "predict",
    "render-glyphs": "render_glyphs",
    "train": "train",
    "tune": "tune",
}
INTERRUPTED = 130


class Group(click.Group):
    """The group of all commands; the only place where errors become messages and exit codes."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import and return a command, so that it does not wait for the import of the other eight."""
        if cmd_name not in COMMANDS:
            return None
        module = COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(f"{__name__}.{module}"), module)
        return command

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the command line with standard streams that accept any text."""
        _prepare_streams()
        silence_pillow()
        if launched().rank:
            mute()
        try:
            return super().main(*args, **extra)
        except MemoryError:
            click.echo("Error: out of memory; close other programs, or raise the memory limit", err=True)
            sys.exit(1)
        except OSError as error:  # from a file that no module of ours opens, such as stdout
            click.echo(printable(f"Error: {_where(error)}{error.strerror or error}"), err=True)
            sys.exit(1)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Parse the command line, or show the help, for which every command is imported: exit 130 on Ctrl-C."""
        with _interruptible():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command: exit 1 with a message for what the user can put right, 130 on Ctrl-C."""
        with _interruptible():
            try:
                return super().invoke(ctx)
            except LeNet5Error as error:
                raise click.ClickException(str(error)) from error

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Return the command that the arguments begin with; exit if only rank 0 runs it and this is another."""
        found = super().resolve_command(ctx, args)
        if launched().rank and not isinstance(found[1], SharedCommand):
            ctx.exit()
        return found


@contextmanager
def _interruptible() -> Iterator[None]:
    """Turn Ctrl-C into a message and exit code 130; Click would exit with 1. A second Ctrl-C is ignored."""
    try:
        yield
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # from here on, the process only ends
        click.echo("Interrupted.", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None


def _where(error: OSError) -> str:
    """Return the beginning of the message about an error: a file, the current folder if it has gone, or stdout.

    It is stdout where that fails again or has no room.
    """
    if error.filename:
        return f"{error.filename}: "
    if error.errno == errno.ENOENT:  # a relative name, in a current folder that is gone
        return "the current folder: "
    full = error.errno == errno.ENOSPC  # an unbuffered stream holds nothing that could fail again
    try:
        sys.stdout.flush()
    except OSError:
        sys.stdout = None  # flushing it would fail again when Python ends, which would then exit with 120
        full = True
    return "standard output: cannot be written: " if full else ""


class _Lossy(io.FileIO):
    """A stderr that ignores write errors, as on a full disk: the message is lost, but the work goes on."""

    def write(self, data: Any) -> int:
        """Write bytes, or lose them; a pipe that nobody reads any more ends the command, as usual."""
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError:
            return len(data)


def _prepare_streams() -> None:
    """Let standard streams escape what they cannot encode, and discard output to a closed stream or a full stderr.

    A file that is opened later would get the number of the closed stream, and with it whatever is printed.
    """
    for name in ("stdin", "stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            stream = open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8")  # noqa: PTH123, SIM115
            setattr(sys, name, stream)
        if name != "stdin" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if sys.stderr is sys.__stderr__ and isinstance(sys.stderr, io.TextIOWrapper):
        raw = getattr(sys.stderr.buffer, "raw", sys.stderr.buffer)
        if type(raw) is io.FileIO:  # not a Windows console
            file = io.BufferedWriter(_Lossy(raw.fileno(), "w", closefd=False))
            sys.stderr = io.TextIOWrapper(file, sys.stderr.encoding, "backslashreplace", "\n", line_buffering=True)


@click.group(
    cls=Group,
    commands=dict.fromkeys(COMMANDS),  # the names, for the help and for hints
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(lenet5_cli.__version__, prog_name="lenet5")
def lenet5() -> None:
    """Train LeNet-5, evaluate it, and read digits with it.

    \b
    Examples:
      lenet5 train --epochs 20 --lr 0.5
      lenet5 eval model.pkl
      lenet5 predict digit.png
    """
