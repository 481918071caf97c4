"""``lenet5 export``."""

from functools import partial
from importlib import import_module
from pathlib import Path

import click

from lenet5_cli.commands.options import FILE, FOLDER, MODEL, Integer, UsageError, overwrite_option
from lenet5_cli.commands.outputs import refuse_existing, refuse_filled, refuse_read, say_written
from lenet5_cli.commands.reading import note_glyphs
from lenet5_cli.export import TARGETS
from lenet5_cli.files import BUNDLED

TYPES = sorted({kind for target in TARGETS.values() for kind in target.types})
TYPED = " and ".join(name for name, target in TARGETS.items() if target.types)


@click.command()
@click.argument("model", type=MODEL, metavar="[MODEL|bundled]", default=BUNDLED)
@click.option("--to", "target", type=click.Choice(list(TARGETS)), required=True, help="Format to write.")
@click.option(
    "-o",
    "--output",
    metavar="PATH",
    help="File to write; for c and hex, a folder.  [default: by format]",
)
@click.option(
    "--type",
    "kind",
    type=click.Choice(TYPES),
    help=f"Number type, for {TYPED}.  [default: float32; int8 for hex]",
)
@click.option(
    "--golden",
    type=Integer(1, 1000),
    metavar="N",
    help=f"Images with reference values for tests, for {TYPED}.  [default: 1]",
)
@overwrite_option
def export(model: Path, target: str, output: str | None, kind: str | None, golden: int | None, overwrite: bool) -> None:
    """Write a trained network for use elsewhere.

    MODEL is a checkpoint; the default is the bundled model.

    \b
    onnx  a file for ONNX runtimes, from the pixels of a picture to the class
    c     C99 without dependencies, and a test program, for a computer or a microcontroller
    page  one HTML file to draw digits on
    npz   NumPy's arrays by name, with a JSON description
    hex   weights and values of every layer for $readmemh, for FPGAs

    \b
    Examples:
      lenet5 export --to page
      lenet5 export model.pkl --to onnx --output digits.onnx
      lenet5 export model.pkl --to c --type int8 --golden 10
    """
    types = TARGETS[target].types
    if not types and (kind or golden):
        raise UsageError(f"{'--type' if kind else '--golden'} goes with {TYPED}, not with {target}")
    if kind and kind not in types:
        raise UsageError(f"--type {kind} does not go with {target}; expected {' or '.join(types)}")
    given = TARGETS[target].output if output is None else output
    context = click.get_current_context()
    option = next(each for each in context.command.params if each.name == "output")
    path = (FOLDER if types else FILE).convert(given, option, context)
    demand = partial(refuse_filled if types else refuse_existing, overwrite, path)
    demand()
    from lenet5_cli.engine.network import LeNet5
    from lenet5_cli.export import layers, write
    from lenet5_cli.storage import checkpoint

    saved = checkpoint.read(model)
    network = LeNet5.restore(saved)
    layers.check(network)
    note_glyphs(saved)
    module = import_module(f"lenet5_cli.export.{target}")
    rendered = module.render(network, saved, *((kind or types[0], golden or 1) if types else ()))
    refuse_read([("MODEL", model)], *([path / name for name in rendered] if types else [path]))
    write(path, rendered, demand)  # another process may have written it meanwhile
    say_written(path)
