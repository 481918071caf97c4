"""Hexadecimal text that ``$readmemh`` reads: weights and values of every layer in whole numbers, for FPGAs."""

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet5_cli import __version__
from lenet5_cli.engine import Conv, Subsampling
from lenet5_cli.engine.network import LeNet5
from lenet5_cli.engine.preprocessing import PADDING, THRESHOLD
from lenet5_cli.errors import printable
from lenet5_cli.export.fixed import INTERVALS, PIXEL_ONE, FixedPoint, Stage
from lenet5_cli.export.layers import golden_images, pixels
from lenet5_cli.storage.checkpoint import Checkpoint

README = """\
# LeNet-5 in {kind}

Written by lenet5 {version}; epochs of training: {epochs}. Every file is for `$readmemh`: one number per line, the
last index fastest; signed types in two's complement, uint8 unsigned. The first line is a comment with its contents.

    reg signed [{top}:0] weight [0:{last}];
    initial $readmemh("{first}_weight.hex", weight);

## From an image to a class

1. `input[i][j]`, {side} x {side}: the image with {padding} pixels of 0 around it; {pixel}.
2. Each layer computes the sums in the table below as signed 32-bit integers; no sum overflows. A bias includes the
   offset of the activation table and the half for rounding, so a sum below 0 lies before the table.
3. Each sum becomes an output: `position = sum < 0 ? 0 : min(sum >> shift, {end})`, `entry = position >> {bits}`,
   `along = position & {mask}`, `rise = table[entry + 1] - table[entry]`,
   `output = table[entry] + ((rise * along + {half}) >> {bits})`. `table` is the {function} from -16 to 16 in steps of
   1/16; an output of {one} stands for 1.
4. `distance[k] = sum_c (x[c] - codes[k][c])^2`, in 32 bits; {one} * {one} stands for 1. The class is the k of the
   smallest. {threshold}

Class names, from class 0: {names}

## Layers

A weight is its integer times `scale`, a power of two divided by the step of the layer's input.

| layer | sum | shift | scale |
|---|---|--:|--:|
{layers}

## Files

| file | numbers | type | order |
|---|--:|---|---|
{files}

The golden files hold the output of each layer for `image.hex`, {golden}.
"""


def render(network: LeNet5, saved: Checkpoint, kind: str, golden: int) -> dict[str, bytes]:
    """Return the files of a folder: ``README.md``, and a file of numbers for each array.

    Raises:
        LeNet5Error: the weights are too large for the type.
    """
    fixed = FixedPoint(network, kind)
    images = golden_images(golden)
    arrays = _arrays(fixed, images)
    files = {f"{name}.hex": _text(name, *array) for name, array in arrays.items()}
    rows = [f"| `{name}.hex` | {array.size} | {array.dtype} | {order} |" for name, (array, order) in arrays.items()]
    files["README.md"] = _readme(fixed, saved, rows, golden)
    return {name: text.encode() for name, text in files.items()}


def _arrays(fixed: FixedPoint, images: NDArray[np.uint8]) -> dict[str, tuple[NDArray[Any], str]]:
    """Return every array with the order of its indices, by the name of its file."""
    arrays: dict[str, tuple[NDArray[Any], str]] = {"table": (fixed.table, "entry")}
    for stage in fixed.stages:
        order = "k c u v" if isinstance(stage.layer, Conv) else "c" if isinstance(stage.layer, Subsampling) else "k c"
        arrays[f"{stage.layer.name}_weight"] = (stage.weight, order)
        arrays[f"{stage.layer.name}_bias"] = (stage.bias, order[0])
    output = fixed.network.layers[-1].name
    arrays[f"{output}_codes"] = (fixed.codes, "k c")
    arrays["image"] = (images, "n i j")
    for name, y in fixed.maps(images).items():
        typed = y if name == output else y.astype(fixed.activation)
        arrays[f"{name}_golden"] = (typed, "n k i j" if y.ndim > 2 else "n k")
    return arrays


def _text(name: str, array: NDArray[Any], order: str) -> str:
    """Return one number a line, of a type with a sign in two's complement, after a comment."""
    unsigned = array.view(np.dtype(f"u{array.itemsize}")).ravel()
    dimensions = "".join(f"[{index}: {size}]" for index, size in zip(order.split(), array.shape, strict=True))
    lines = [f"// {name}{dimensions}, {array.dtype}", *(f"{number:0{2 * array.itemsize}x}" for number in unsigned)]
    return "\n".join(lines) + "\n"


def _readme(fixed: FixedPoint, saved: Checkpoint, files: list[str], golden: int) -> str:
    network, bits = fixed.network, fixed.type.line_bits
    pixel = f"a pixel is a number {pixels(network)}"
    if network.config.input == "binary":
        pixel += f"; {THRESHOLD} or more becomes {PIXEL_ONE}, less becomes 0"
    if fixed.pixel_offset:
        pixel += f"; then {-fixed.pixel_offset} is subtracted from every number, padding included"
    threshold = "This model has no threshold above which an image belongs to no class."
    if fixed.threshold is not None:
        threshold = f"Above a distance of {fixed.threshold}, the image belongs to no class."
    first = fixed.stages[0]
    return README.format(
        kind=fixed.type.weight,
        version=__version__,
        epochs=saved.epoch,
        top=8 * first.weight.itemsize - 1,
        last=first.weight.size - 1,
        first=first.layer.name,
        side=first.layer.input_shape[-1],
        padding=PADDING,
        pixel=pixel,
        end=(INTERVALS << bits) - 1,
        bits=bits,
        mask=(1 << bits) - 1,
        half=(1 << bits) >> 1,
        function=network.config.activation,
        one=fixed.one,
        threshold=threshold,
        names=" ".join(map(_code, network.names)),
        layers="\n".join(_row(stage) for stage in fixed.stages),
        files="\n".join(files),
        golden="an image drawn by lenet5" if golden == 1 else f"{golden} images drawn by lenet5",
    )


def _code(text: str) -> str:
    """Return a text as code in Markdown, between more backticks than stand side by side in it."""
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    blank = " " if "`" in text else ""  # which keeps one at an end apart, and is not shown
    return f"{fence}{blank}{printable(text)}{blank}{fence}"


def _row(stage: Stage) -> str:
    layer, name = stage.layer, stage.layer.name
    if isinstance(layer, Conv):
        total = f"`y[k,i,j]`: `{name}_bias[k] + sum_cuv x[c,i+u,j+v] * {name}_weight[k,c,u,v]`"
    elif isinstance(layer, Subsampling):
        s = layer.kernel_size
        total = f"`y[c,i,j]`: `{name}_bias[c] + {name}_weight[c] * sum_uv x[c,{s}i+u,{s}j+v]`"
    else:
        total = f"`y[k]`: `{name}_bias[k] + sum_c x[c] * {name}_weight[k,c]`"
    return f"| {name} | {total} | {stage.shift} | {stage.scale:.6g} |"
