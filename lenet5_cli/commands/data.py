"""``lenet5 data``."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lenet5_cli.commands.options import (
    FILE,
    MODEL,
    GroupedCommand,
    Named,
    Number,
    UsageError,
    complete_data,
    console,
    option,
    overwrite_option,
)
from lenet5_cli.commands.outputs import (
    SOURCE,
    data_read,
    refuse_existing,
    refuse_filled,
    refuse_folder_among,
    refuse_read,
    say_written,
)
from lenet5_cli.commands.reading import load, loading, model_name, note_as_is, note_glyphs
from lenet5_cli.config import Config
from lenet5_cli.errors import LeNet5Error, printable
from lenet5_cli.files import unwritable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from lenet5_cli.data.sources import Split
    from lenet5_cli.engine.network import LeNet5

SHEET = 20  # images of each class on a contact sheet
LISTED = 20  # doubtful labels and duplicates that are listed
BATCH = 1000  # images that the model reads at a time
GAP = 2  # pixels between two images on a contact sheet
FORMATS = ("idx", "npz", "folders")


def _reading(command: "Callable[..., Any]") -> "Callable[..., Any]":
    """Add the options that say how a source is read."""
    command = option("--as-is", group="Data", is_flag=True, help="Only scale pictures to 28x28.")(command)
    return option(
        "--test-fraction",
        group="Data",
        type=Number(0, 1),
        metavar="FRACTION",
        default=0.2,
        show_default=True,
        help="Test fraction of data that has no test split.",
    )(command)


@click.group()
def data() -> None:
    """Show, convert and download data.

    \b
    Examples:
      lenet5 data list
      lenet5 data show own_pictures
    """


@data.command("list")
def list_() -> None:
    """List the data sets known by name.

    Shows the numbers of images and classes, the licence, and whether the data is in the cache.

    \b
    Examples:
      lenet5 data list
    """
    from rich.table import Table

    from lenet5_cli.data import remote

    table = Table("name", "images", "classes", "licence", "in cache", "published at", box=None, pad_edge=False)
    for name, each in remote.SETS.items():
        cached = "yes" if remote.in_cache(name) else "no"
        table.add_row(name, f"{each.images:,}", str(each.classes), each.licence, cached, each.page)
    for name, classes in (("builtin", 10), ("builtin-letters", 26)):
        table.add_row(f"{name}[:N]", "12,000", str(classes), "MIT", "-", "drawn by lenet5 itself")
    screen = console()
    screen.width = max(screen.width, 140)  # so that links to pages are not cut
    screen.print(table)


def _complete_set(_: click.Context, __: click.Parameter, start: str) -> list[str]:
    from lenet5_cli.data import remote

    return [name for name in remote.SETS if name.startswith(start)]


@data.command("fetch")
@click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=_complete_set)
def fetch(names: "tuple[str, ...]") -> None:
    """Download data sets into the cache and verify them.

    \b
    Examples:
      lenet5 data fetch mnist emnist-letters
    """
    from lenet5_cli.data import remote

    for name in names:
        if name not in remote.SETS:
            raise LeNet5Error(f"{name}: not a downloadable data set; expected one of: {', '.join(remote.SETS)}")
    for name in names:
        for split in remote.SETS[name].splits:
            _fetch(name, split)


def _fetch(name: str, split: str) -> None:
    """Download a split into the cache, even if the data is also in a folder of the user."""
    from lenet5_cli.data import remote
    from lenet5_cli.data.sources import DownloadError, LoadOptions, fetched

    try:
        loading(name, split, lambda shown: fetched(name, split, LoadOptions(progress=shown)))
    except DownloadError as error:
        advice = f"try again later, or get it from {remote.SETS[name].page}"
        raise LeNet5Error(f"{error.problem}; {advice}") from None


@data.command("show", cls=GroupedCommand)
@click.argument("source", metavar=SOURCE, shell_complete=complete_data)
@_reading
@option("--sheet", group="Output", type=FILE, help=f"Draw a contact sheet: {SHEET} images of each class.")
@option("--model", group="Main", type=MODEL, metavar="MODEL|bundled", help="List the labels that it contradicts most.")
@overwrite_option
def show(
    source: str, test_fraction: float, as_is: bool, sheet: Path | None, model: Path | None, overwrite: bool
) -> None:
    """Show what a data set contains.

    The images of each class, the sizes of pictures, those that cannot be read, and images that are in both splits.

    \b
    Examples:
      lenet5 data show mnist
      lenet5 data show own_pictures --sheet sheet.png --model bundled
    """
    if sheet and sheet.suffix.lower() != ".png":
        raise UsageError(f"--sheet {sheet}: expected a name that ends in .png")
    refuse_existing(overwrite, sheet)
    refuse_read([*data_read(source, SOURCE), *([("--model", model)] if model else [])], sheet)
    splits, names = _load_both(source, test_fraction, as_is)
    _show_counts(splits, names)
    _show_sizes(splits)
    for message in (message for split in splits.values() for message in split.unreadable):
        click.echo(printable(f"not read: {message}"))
    _show_loose(splits)
    _show_duplicates(splits, names)
    if model:
        _show_doubtful(splits, names, model, as_is)
    if sheet:
        _draw_sheet(splits["train"], sheet)
        say_written(sheet)


@data.command("convert", cls=GroupedCommand)
@click.argument("source", metavar=SOURCE, shell_complete=complete_data)
@click.argument("target", type=Named("a file or folder"))
@option(
    "--to", "form", group="Main", type=click.Choice(FORMATS), default="idx", show_default=True, help="Format to write."
)
@_reading
@overwrite_option
def convert(source: str, target: Path, form: str, test_fraction: float, as_is: bool, overwrite: bool) -> None:
    """Write both splits of a data set in another format.

    TARGET is a folder of IDX files, an .npz file, or a folder with train/ and test/, each with a folder of PNGs for
    each class, which --as-is reads back as the same images.

    \b
    Examples:
      lenet5 data convert own_pictures digits
      lenet5 data convert mnist mnist.npz --to npz
      lenet5 data convert digits.csv pictures --to folders
    """
    demand = partial(_check_target, target, form, overwrite)
    demand()
    if form == "npz":
        refuse_read(data_read(source, SOURCE), target)
    else:
        refuse_folder_among(source, target)
    splits, names = _load_both(source, test_fraction, as_is)
    write = {"idx": _to_idx, "npz": _to_npz, "folders": _to_folders}[form]
    try:
        write(splits, names, target, demand)  # another process may have written it meanwhile
    except OSError as error:
        raise unwritable(error.filename or target, error) from None
    say_written(target)


def _check_target(target: Path, form: str, overwrite: bool) -> None:
    """Refuse to replace existing data, and a target whose name or content belongs to another format."""
    from lenet5_cli.data import folders, sources

    if form == "npz" and target.suffix != ".npz":
        raise UsageError(f"{target}: expected a name that ends in .npz")
    if form != "npz" and target.suffix == ".npz":
        raise UsageError(f"{target}: ends in .npz; expected a folder for --to {form}, or --to npz")
    if form != "npz" and target.is_file():
        raise UsageError(f"{target}: a file; expected a folder for --to {form}")
    if form == "folders" and target.is_dir() and not all(folders.of_system(each.name) for each in target.iterdir()):
        raise UsageError(f"{target} holds files; expected an empty folder for pictures")
    (refuse_existing if form == "npz" else refuse_filled)(overwrite, target)
    if form == "idx" and sources.holds_pictures(target):
        raise UsageError(f"{target} holds folders of pictures, which IDX files would hide; name another")


def _load_both(source: str, test_fraction: float, as_is: bool) -> "tuple[dict[str, Split], Sequence[str]]":
    """Return both splits by name, and the names of the classes."""
    from lenet5_cli.data import sources

    config = Config(data=source, test_fraction=test_fraction, as_is=as_is)
    names = sources.class_names(source)
    return {split: load(config, split, names, option="") for split in ("train", "test")}, names


def _show_counts(splits: "dict[str, Split]", names: "Sequence[str]") -> None:
    import numpy as np
    from rich.table import Table

    table = Table("class", *splits, box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    counts = [np.bincount(split.labels, minlength=256).tolist() for split in splits.values()]
    for label, name in enumerate(names):
        if any(count[label] for count in counts):
            table.add_row(printable(name), *(f"{count[label]:,}" for count in counts))
    table.add_section()
    table.add_row("all", *(f"{sum(count):,}" for count in counts))
    console().print(table)


def _show_sizes(splits: "dict[str, Split]") -> None:
    """Print the sizes of the pictures in a folder."""
    from lenet5_cli.pictures.decode import size_of

    files = [path for split in splits.values() for path in split.places if Path(path).is_file()]
    if sizes := sorted(map(size_of, files), key=lambda sides: (sides[0] * sides[1], sides)):
        smallest, middle, largest = ("x".join(map(str, sizes[at])) for at in (0, len(sizes) // 2, -1))
        to = "" if smallest == largest else f" to {largest}"
        half = "" if smallest == largest else f", median {middle}"
        click.echo(f"{len(sizes):,} pictures of {smallest}{to} pixels{half}")


def _show_loose(splits: "dict[str, Split]") -> None:
    """Print the names of pictures that are not in the folder of a class."""
    from lenet5_cli.data.folders import is_picture

    files = [Path(place) for split in splits.values() for place in split.places]
    beside = [each for top in {path.parent.parent for path in files if path.is_file()} for each in top.iterdir()]
    if loose := sorted(each for each in beside if is_picture(each.name) and each.is_file()):
        click.echo(f"pictures outside class folders: {len(loose):,}")
        for path in loose[:LISTED]:
            click.echo(printable(f"  {path}"))


def _digests(images: "NDArray[np.uint8]") -> "list[bytes]":
    from hashlib import sha256

    return [sha256(image).digest() for image in images]


def _place(split: "Split", at: int) -> str:
    return split.places[at] if split.places else f"image {at:,}"


def _show_duplicates(splits: "dict[str, Split]", names: "Sequence[str]") -> None:
    """Print which test images are also training images, and which equal images of a split have different labels."""
    import numpy as np

    digests = {name: _digests(np.asarray(split.images)) for name, split in splits.items()}
    first = {name: {each: at for at, each in reversed(list(enumerate(found)))} for name, found in digests.items()}
    shared = [
        ("test", at, "train", first["train"][each]) for at, each in enumerate(digests["test"]) if each in first["train"]
    ]
    click.echo(f"{len(shared):,} of {len(digests['test']):,} test images are training images too.")
    _list_pairs(shared, splits, names)
    equal = [(name, at, name, first[name][each]) for name, found in digests.items() for at, each in enumerate(found)]
    torn = [pair for pair in equal if splits[pair[0]].labels[pair[1]] != splits[pair[0]].labels[pair[3]]]
    if torn:
        click.echo(f"identical images with different labels: {len(torn):,}")
        _list_pairs(torn, splits, names)


def _list_pairs(pairs: "list[tuple[str, int, str, int]]", splits: "dict[str, Split]", names: "Sequence[str]") -> None:
    """Print groups of equal images: the place of each, and its label if they differ."""
    for a, at, b, known in pairs[:LISTED]:
        labels = [names[splits[a].labels[at]], names[splits[b].labels[known]]]
        differ = "" if labels[0] == labels[1] else f", labelled {labels[0]} and {labels[1]}"
        click.echo(printable(f"  {a} {_place(splits[a], at)} is {b} {_place(splits[b], known)}{differ}"))


def _show_doubtful(splits: "dict[str, Split]", names: "Sequence[str]", model: Path, as_is: bool) -> None:
    """Print the labels that a model contradicts, the most probable answers first."""
    from lenet5_cli.engine.network import LeNet5
    from lenet5_cli.storage import checkpoint

    saved = checkpoint.read(model)
    network = LeNet5.restore(saved)
    note_glyphs(saved)
    note_as_is(as_is, [saved], splits["train"].source)
    doubts = sorted(doubt for name, split in splits.items() for doubt in _doubts(network, name, split, names, model))
    count = "1 label differs" if len(doubts) == 1 else f"{len(doubts):,} labels differ"
    end = ", most confident first:" if len(doubts) > 1 else ":" if doubts else "."
    click.echo(f"{count} from what the model reads{end}")
    for _, text in doubts[:LISTED]:
        click.echo(printable(f"  {text}"))


def _doubts(
    network: "LeNet5", name: str, split: "Split", names: "Sequence[str]", model: Path
) -> "Iterator[tuple[float, str]]":
    """Yield, for each label that the network contradicts, minus the probability of its answer and the line to print."""
    import numpy as np

    from lenet5_cli.data.sources import places
    from lenet5_cli.engine.losses import softmax

    known = places(split.source, network.names)
    if unknown := [names[label] for label in np.unique(split.labels) if names[label] not in known]:
        there = f"{split.source}: has class {unknown[0]}, which {model_name(model)} does not know"
        raise LeNet5Error(f"{there}; leave out --model, or give one with these classes")
    for start in range(0, len(split.labels), BATCH):
        labels = [known[names[label]] for label in split.labels[start : start + BATCH].tolist()]
        scores = network.scores(np.asarray(split.images[start : start + BATCH]))
        probabilities = softmax(scores)
        for at, own in enumerate(labels):
            read = int(scores[at].argmax())
            if read != own:
                sure = f"labelled {network.names[own]}, reads {network.names[read]} ({probabilities[at, read]:.4f})"
                yield -float(probabilities[at, read]), f"{name} {_place(split, start + at)}: {sure}"


def _draw_sheet(split: "Split", path: Path) -> None:
    """Draw a contact sheet: a row of images for each class."""
    import numpy as np
    from PIL import Image

    from lenet5_cli.files import replacing

    classes, counts = np.unique(split.labels, return_counts=True)
    step, across = 28 + GAP, min(SHEET, int(counts.max()))
    sheet = np.full((len(classes) * step + GAP, across * step + GAP), 64, np.uint8)
    for row, label in enumerate(classes):
        for column, at in enumerate(np.flatnonzero(split.labels == label)[:SHEET]):
            top, left = GAP + row * step, GAP + column * step
            sheet[top : top + 28, left : left + 28] = split.images[int(at)]
    with replacing(path) as file:
        Image.fromarray(sheet).resize([2 * side for side in sheet.shape[::-1]], Image.Resampling.NEAREST).save(
            file, "PNG"
        )


def _to_idx(splits: "dict[str, Split]", names: "Sequence[str]", target: Path, demand: "Callable[[], None]") -> None:
    import numpy as np

    from lenet5_cli.data import glyphs, idx, mnist, sources
    from lenet5_cli.files import filling

    named = not _numbers(names)
    used = np.arange(len(names)) if named else np.unique(np.concatenate([split.labels for split in splits.values()]))
    counted = not named and used[-1] < len(used)  # a label is the place of its class
    if counted:
        digits = used[-1] < len(glyphs.DIGITS) and sources.are_digits(splits["train"].source)
        kept = glyphs.DIGITS if digits else ()
    else:
        kept = glyphs.checked_names([names[label] for label in used.tolist()], "names of classes: ")
    with filling(target) as folder:
        demand()
        if kept:
            (folder / mnist.NAMES_FILE).write_text("".join(f"{name}\n" for name in kept), encoding="utf-8")
        for prefix, split in zip(("train", "t10k"), splits.values(), strict=True):
            labels = split.labels if counted else np.searchsorted(used, split.labels).astype(np.uint8)
            idx.write(folder / f"{prefix}-images-idx3-ubyte", split.images)
            idx.write(folder / f"{prefix}-labels-idx1-ubyte", labels)
    if not kept:
        (target / mnist.NAMES_FILE).unlink(missing_ok=True)  # from other data that is replaced


def _to_npz(splits: "dict[str, Split]", names: "Sequence[str]", target: Path, demand: "Callable[[], None]") -> None:
    import numpy as np

    from lenet5_cli.files import replacing

    labels = np.arange(len(names), dtype=np.uint8) if _numbers(names) else np.array(names)
    arrays = {f"x_{name}": np.asarray(split.images) for name, split in splits.items()}
    arrays |= {f"y_{name}": labels[split.labels] for name, split in splits.items()}
    with replacing(target) as file:
        demand()
        np.savez_compressed(file, allow_pickle=False, **arrays)


def _to_folders(splits: "dict[str, Split]", names: "Sequence[str]", target: Path, demand: "Callable[[], None]") -> None:
    import numpy as np
    from PIL import Image

    from lenet5_cli.files import filling

    for name in names:
        if Path(name).name != name or name.startswith("."):
            there = f"the name of class {name} cannot be that of a folder"
            raise LeNet5Error(f"{target}: {there}; use --to npz")
    with filling(target) as folder:
        demand()
        for name, split in splits.items():
            for at, label in enumerate(split.labels.tolist()):
                path = folder / name / names[label] / f"{at:06}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.asarray(split.images[at])).save(path)


def _numbers(names: "Sequence[str]") -> bool:
    """Tell whether the classes have no names of their own."""
    return tuple(names) == tuple(map(str, range(len(names))))
