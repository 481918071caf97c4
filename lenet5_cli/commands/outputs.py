"""Checks of the files that a command writes: they must not be lost, nor replace files that it reads."""

import os
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from lenet5_cli.commands.options import UsageError
from lenet5_cli.errors import printable
from lenet5_cli.files import FILLING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

SOURCE = "NAME|PATH"  # the argument of ``data``
OF_DATA = ("--data", "--rehearse", SOURCE)  # what stands for a file or folder of data


def refuse_existing(overwrite: bool, *paths: Path | None) -> None:
    """Stop with exit code 2 if a file to be written may not be replaced, or its folder is not there or is read-only."""
    for path in filter(None, paths):
        if str(path) == "-":
            raise UsageError("-: expected a file name; this output cannot go to stdout")
        if not path.parent.is_dir():
            raise UsageError(f"{path}: there is no folder {path.parent}")
        if path.exists() and not overwrite:
            raise UsageError(f"{path} exists; --overwrite replaces it")
        folder = os.path.dirname(os.path.realpath(path))  # noqa: PTH120 - a Path of a loop of links would not resolve
        if not os.path.isdir(folder):  # noqa: PTH112 - where a link leads
            raise UsageError(f"{path}: there is no folder {folder}")
        if (path.is_file() or not path.exists()) and not os.access(folder, os.W_OK):
            raise UsageError(f"{path}: the folder {folder} is not writable")


def refuse_filled(overwrite: bool, folder: Path) -> None:
    """Stop with exit code 2 if there are files in a folder to be filled, or nothing is there to make it in."""
    if not folder.is_dir():
        refuse_existing(overwrite, folder)
    elif not overwrite and any(each.name not in FILLING for each in folder.iterdir()):
        message = f"{folder} holds files already; --overwrite replaces those with the same names and leaves the others"
        raise UsageError(message)


def demand_plot(name: str, path: Path | None) -> None:
    """Stop if a plot is wanted and matplotlib is missing, or with exit code 2 if it cannot write this format."""
    if path:
        from lenet5_cli.reports import figures

        figures.require(name)
        if not figures.writes(path):
            ends = "expected a name that ends in .png, .pdf, .svg or another that matplotlib writes"
            raise UsageError(f"{name} {path}: {ends}")


def refuse_shared(*paths: Path | None) -> None:
    """Stop with exit code 2 if two outputs are the same file, as one would be lost."""
    given = [path for path in paths if path]
    meant = list(map(os.path.realpath, given))  # a Path of a loop of links would not resolve
    for path, target in zip(given, meant, strict=True):
        if meant.count(target) > 1:
            raise UsageError(f"{path} is given for two outputs; give each its own file")


def files_read(values: "Mapping[str, Any]") -> "Iterator[tuple[str, Path]]":
    """Yield the files or folders that settings refer to, each with the option that names it."""
    yield from data_read(values.get("data") or "")
    if sheet := values.get("glyphs"):
        yield from sheet_read("--glyphs", sheet)
    yield from (("--teacher", Path(each)) for each in (values.get("teacher") or "").split(",") if each)
    if config := click.get_current_context().meta.get("config"):
        yield "--config", Path(config)


def sheet_read(option: str, sheet: str) -> "Iterator[tuple[str, Path]]":
    """Yield the files that a glyph sheet is read from."""
    from lenet5_cli.data import glyphs

    yield from ((option, path) for path in glyphs.files_read(sheet))


def data_read(data: str, option: str = "--data") -> "Iterator[tuple[str, Path]]":
    """Yield the file or folder of data that an option stands for, if it does not name a data set."""
    from lenet5_cli.data.sources import NAMES

    if data and data not in NAMES:
        yield option, Path(data)


def refuse_read(read: "Iterable[tuple[str, Path]]", *written: Path | None) -> None:
    """Stop with exit code 2 if a file that the command reads, or one in a folder of data, would be replaced.

    Likewise where a new file would become a picture of the data.
    """
    there = [path for path in written if path and path.is_file()]
    for option, path in read:
        if option in OF_DATA:
            _refuse_among(path, [other for other in written if other and other not in there])
        for other in there:
            if path.is_file() and other.resolve() == path.resolve():
                raise UsageError(f"{other}: is also read by {option}; give the output another name")
            files = _files_of(path) if option in OF_DATA else ()  # only data is read of a folder
            if any(each.is_file() and other.samefile(each) for each in files):
                raise UsageError(f"{other}: is a file of the data {path}; give the output another name")


def _refuse_among(data: Path, written: "Iterable[Path]") -> None:
    """Stop with exit code 2 if a new file would be in the folder of a class, where it would count as a picture."""
    for path in written:
        if _is_class(path.parent, data):
            raise UsageError(f"{path}: would become a picture of the data {data}; write it somewhere else")


def refuse_folder_among(data: str, folder: Path | None) -> None:
    """Stop with exit code 2 if a new folder would be, or would be in, the folder of a class in the data."""
    for _, pictures in data_read(data):
        if folder and not folder.exists() and (_is_class(folder, pictures) or _is_class(folder.parent, pictures)):
            raise UsageError(f"{folder}: would be among the pictures of the data {pictures}; write it somewhere else")


def _is_class(folder: Path, data: Path) -> bool:
    """Tell whether a folder is that of a class in a folder of pictures."""
    from lenet5_cli.data import folders, mnist

    place = Path(os.path.realpath(folder))  # a Path of a loop of links would not resolve
    among = any(place.parent == Path(os.path.realpath(top)) for top in folders.tops(data))
    return among and not folders.of_system(place.name) and not mnist.holds_idx(data)


def _files_of(data: Path) -> "Iterator[Path]":
    """Yield the files of a folder of data: IDX files and the names of their classes, or the pictures of each class."""
    from lenet5_cli.data import mnist

    for pattern in ("*ubyte*", mnist.NAMES_FILE) if mnist.holds_idx(data) else ("*/*", "train/*/*", "test/*/*"):
        yield from data.glob(pattern)


def say_written(*paths: Path | None) -> None:
    """Say on stderr which files were written."""
    for path in filter(None, paths):
        click.echo(printable(f"{path}: written"), err=True)


def in_shell(path: "str | os.PathLike[str]") -> str:
    """Return a file name as a shell reads it, for a command to copy: quoted where needed, and printable.

    With unprintable characters it is ``$'...'``, with their bytes in octal, as ``ls`` writes it.
    """
    name = os.fspath(path)
    if name.isprintable():
        return quote(name)
    escaped = (_octal(each) if each in "\\'" or not each.isprintable() else each for each in name)
    return f"$'{''.join(escaped)}'"


def _octal(character: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in os.fsencode(character))
