"""C99 without dependencies, for a computer or a microcontroller: every layer as loops over n c k i j u v."""

from dataclasses import dataclass
from math import prod
from textwrap import TextWrapper, fill
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet5_cli import __version__
from lenet5_cli.engine import Conv, Subsampling
from lenet5_cli.engine.activations import AMPLITUDE, SLOPE
from lenet5_cli.engine.network import LeNet5
from lenet5_cli.engine.preprocessing import PADDING, THRESHOLD
from lenet5_cli.export.fixed import INTERVALS, PIXEL_ONE, FixedPoint
from lenet5_cli.export.layers import (
    Weights,
    by_output,
    check_float32,
    codes,
    golden_images,
    pixel_scale,
    pixels,
    weighted,
)
from lenet5_cli.storage.checkpoint import Checkpoint

WIDTH = 116  # characters a line of numbers
TOLERANCE = 1e-3  # for floating point, as C adds in another order


@dataclass(frozen=True, eq=False)  # of arrays, whose equality has no truth value
class Form:
    """What differs between the types of number.

    Attributes:
        number: the C type of a layer's output.
        weight: of a weight.
        total: of a sum, of a bias and of a distance.
        one: the output that stands for 1.
        pixel: the C expression for the number that ``pixel``, 0 to 255, becomes.
        activation: the C function that turns a sum into an output, and what it needs.
        calls: how each layer calls it on ``sum``.
        arrays: weight[k, ...] and bias[k] of each of these layers.
        codes: [k, c].
        threshold: the largest distance of a digit; None where there is none.
        maps: what each layer makes of the images to check by, by name; of the last layer, the distances.
        tolerance: by how much they may differ.
        print: how C prints a number: a conversion, and the type that it takes.
    """

    number: str
    weight: str
    total: str
    one: int
    pixel: str
    activation: str
    calls: dict[str, str]
    arrays: dict[str, tuple[NDArray[Any], NDArray[Any]]]
    codes: NDArray[Any]
    threshold: float | None
    maps: dict[str, NDArray[Any]]
    tolerance: str
    print: tuple[str, str]


def render(network: LeNet5, saved: Checkpoint, kind: str, golden: int) -> dict[str, bytes]:
    """Return ``lenet5.h`` and ``lenet5.c``, and ``lenet5_test.c``, which checks them.

    It compares with ``lenet5_golden.h``: the values of every layer for ``golden`` images.

    Raises:
        LeNet5Error: a number is too large for the type.
    """
    images = golden_images(golden)
    form = _floating(network, images) if kind == "float32" else _fixed(FixedPoint(network, kind), images)
    texts = {
        "lenet5.h": _header(network, form, f"{kind}; epochs of training: {saved.epoch}"),
        "lenet5.c": _source(network, form),
        "lenet5_golden.h": _golden(network, form, images),
        "lenet5_test.c": _test(network, form),
    }
    return {name: text.encode() for name, text in texts.items()}


def _floating(network: LeNet5, images: NDArray[np.uint8]) -> Form:
    check_float32(network)
    layers = weighted(network)
    scale = pixel_scale(network)
    pixel = f"pixel < {THRESHOLD} ? 0.0f : 1.0f"
    if network.config.input != "binary":
        low = f" - {_literal(np.float32(-scale.low))}" if scale.low else ""
        pixel = f"{_literal(np.float32(scale.step))} * (float)pixel{low}"
    function = "1.0f / (1.0f + expf(-sum))"
    if network.config.activation == "tanh":
        function = f"{_literal(np.float32(AMPLITUDE))} * tanhf({_literal(np.float32(SLOPE))} * sum)"
    parameters = [(layer, by_output(layer)) for layer in layers]
    maps = network.maps(images)
    output = network.layers[-1].name
    return Form(
        number="float",
        weight="float",
        total="float",
        one=1,
        pixel=pixel,
        activation=FLOATING.format(function=function),
        calls={layer.name: "activate(sum)" for layer in layers},
        arrays={
            layer.name: (weight.astype(np.float32), bias.astype(np.float32)) for layer, (weight, bias) in parameters
        },
        codes=codes(network).astype(np.float32),
        threshold=network.threshold,
        maps={name: (-y if name == output else y).astype(np.float32) for name, y in maps.items()},
        tolerance=f"{TOLERANCE}f",
        print=("%.6g", "double"),
    )


def _fixed(fixed: FixedPoint, images: NDArray[np.uint8]) -> Form:
    number = f"{fixed.activation}_t"
    binary = fixed.network.config.input == "binary"
    pixel = f"pixel < {THRESHOLD} ? 0 : {PIXEL_ONE}" if binary else "pixel"
    if fixed.pixel_offset:
        pixel = f"({number})(({pixel}) - {-fixed.pixel_offset})"
    bits = fixed.type.line_bits
    table = _array(f"LENET5_FLASH {number} table[{INTERVALS + 1}]", fixed.table)
    return Form(
        number=number,
        weight=f"{fixed.type.weight}_t",
        total="int32_t",
        one=fixed.one,
        pixel=pixel,
        activation=FIXED.format(
            table=table, last=(INTERVALS << bits) - 1, bits=bits, mask=(1 << bits) - 1, half=(1 << bits) >> 1
        ),
        calls={stage.layer.name: f"activate(sum, {stage.shift})" for stage in fixed.stages},
        arrays={stage.layer.name: (stage.weight, stage.bias) for stage in fixed.stages},
        codes=fixed.codes,
        threshold=fixed.threshold,
        maps=fixed.maps(images),
        tolerance="0",
        print=("%ld", "long"),
    )


FLOATING = """
#include <math.h>

static number activate(total sum)
{{
    return {function};
}}
"""

FIXED = """
/* The activation function from -16 to 16, in steps of 1/16. */
{table}
/* A bias includes the table's offset and the half for rounding: a sum below 0 lies before the table. */
static number activate(total sum, int shift)
{{
    total position = sum < 0 ? 0 : sum >> shift;
    if (position > {last})
        position = {last};
    const total entry = position >> {bits}, along = position & {mask};
    const total rise = table[entry + 1] - table[entry];
    return (number)(table[entry] + ((rise * along + {half}) >> {bits}));
}}
"""


HEADER = """\
/* LeNet-5 in C99, written by lenet5 {version}: {made}. */
#ifndef LENET5_H
#define LENET5_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

#define LENET5_PIXELS {pixels}
#define LENET5_CLASSES {classes}
extern const char *const lenet5_names[LENET5_CLASSES]; /* in UTF-8 */

typedef {number} lenet5_number;
typedef {total} lenet5_distance;

/* Buffers for the layers: each reads one and writes the other. They need no initialisation, and keep no state. */
typedef struct {{
    lenet5_number even[{even}];
    lenet5_number odd[{odd}];
}} lenet5_work;

/*
 * Returns the class whose glyph is nearest to the network's output for an image, and sets the squared distances to
 * all glyphs{unit}.
 * The image is {side} rows of {side} pixels, {pixel_range}.
 */
int lenet5_classify(const uint8_t image[LENET5_PIXELS], lenet5_distance distances[LENET5_CLASSES], lenet5_work *work);

/* {accept} */
int lenet5_accept(const lenet5_distance distances[LENET5_CLASSES]);

#ifdef __cplusplus
}}
#endif

#endif
"""

SOURCE = """\
#include "lenet5.h"

/* On AVR, constants are copied to RAM unless declared __flash, which GNU C has but C++ and -std=c99 do not. */
#if defined(__FLASH) && !defined(__STRICT_ANSI__)
#define LENET5_FLASH __flash
#else
#define LENET5_FLASH
#endif

const char *const lenet5_names[LENET5_CLASSES] = {{
{names}
}};

typedef lenet5_number number;
typedef {weight} weight;
typedef {total} total;
{activation}
/* The image with {padding} pixels of 0 around it. */
static void input(const uint8_t *image, number *x)
{{
    for (int i = 0; i < {side}; i++)
        for (int j = 0; j < {side}; j++) {{
            const int inside = i >= {padding} && i < {end} && j >= {padding} && j < {end};
            const uint8_t pixel = inside ? image[(i - {padding}) * {image_side} + j - {padding}] : 0;
            x[i * {side} + j] = {pixel};
        }}
}}
{layers}
{codes}
/* {output}: squared distances to the codes, and the index of the smallest. */
static int {output}(const number *x, lenet5_distance *y)
{{
    int nearest = 0;
    for (int k = 0; k < {classes}; k++) {{
        total sum = 0;
        for (int c = 0; c < {length}; c++) {{
            const total difference = (total)x[c] - (total){output}_codes[k][c];
            sum += difference * difference;
        }}
        y[k] = sum;
        if (sum < y[nearest])
            nearest = k;
    }}
    return nearest;
}}

int lenet5_classify(const uint8_t image[LENET5_PIXELS], lenet5_distance distances[LENET5_CLASSES], lenet5_work *work)
{{
    input(image, work->even);
{calls}    return {output}(work->{last}, distances);
}}

int lenet5_accept(const lenet5_distance distances[LENET5_CLASSES])
{{
{accept}}}
"""


def _header(network: LeNet5, form: Form, made: str) -> str:
    sizes = [prod(layer.input_shape) for layer in network.layers]
    side = network.layers[0].input_shape[-1] - 2 * PADDING
    accept = "Always returns 1: this model has no threshold above which an image belongs to no class."
    if form.threshold is not None:
        accept = (
            f"Returns 1 if the nearest glyph is at most {_limit(form)} away; else 0, as the image belongs to no class."
        )
    return HEADER.format(
        version=__version__,
        made=made,
        pixels=side * side,
        classes=len(form.codes),
        number=form.number,
        total=form.total,
        even=max(sizes[::2]),
        odd=max(sizes[1::2]),
        unit="" if form.one == 1 else f", in units of 1 / ({form.one} * {form.one})",
        side=side,
        pixel_range=pixels(network),
        accept=accept,
    )


def _source(network: LeNet5, form: Form) -> str:
    layers = weighted(network)
    output = network.layers[-1].name
    side = network.layers[0].input_shape[-1]
    calls = [f"    {layer.name}(work->{_buffer(n)}, work->{_buffer(n + 1)});\n" for n, layer in enumerate(layers)]
    return SOURCE.format(
        names=_lines(", ".join(map(_string, network.names))),
        weight=form.weight,
        total=form.total,
        activation=form.activation,
        padding=PADDING,
        side=side,
        end=side - PADDING,
        image_side=side - 2 * PADDING,
        pixel=form.pixel,
        layers="".join(_layer(layer, form) for layer in layers),
        codes=_array(f"LENET5_FLASH number {output}_codes{_dimensions(form.codes)}", form.codes),
        output=output,
        classes=len(form.codes),
        length=form.codes.shape[1],
        calls="".join(calls),
        last=_buffer(len(layers)),
        accept=_accept(form),
    )


def _accept(form: Form) -> str:
    if form.threshold is None:
        return "    (void)distances;\n    return 1;\n"
    return f"""\
    for (int k = 0; k < LENET5_CLASSES; k++)
        if (distances[k] <= {_limit(form)})
            return 1;
    return 0;
"""


def _limit(form: Form) -> str:
    return _literal(np.float32(form.threshold)) if form.one == 1 else str(form.threshold)


def _buffer(layer: int) -> str:
    """Return the input array of a layer, by its number from 0."""
    return "odd" if layer % 2 else "even"


def _layer(layer: Weights, form: Form) -> str:
    """Return the arrays and the function of a layer."""
    name, (weight, bias) = layer.name, form.arrays[layer.name]
    if isinstance(layer, Conv):
        what, body = "y[k,i,j] = f(sum_cuv x[c,i+u,j+v] weight[k,c,u,v] + bias[k])", _conv(layer, form)
    elif isinstance(layer, Subsampling):
        what, body = "y[c,i,j] = f(weight[c] sum_uv x[c,{s}i+u,{s}j+v] + bias[c])", _subsampling(layer, form)
        what = what.replace("{s}", str(layer.kernel_size))
    else:
        what, body = "y[k] = f(sum_c x[c] weight[k,c] + bias[k])", _dense(layer, form)
    return f"""
{_array(f"LENET5_FLASH weight {name}_weight{_dimensions(weight)}", weight)}
{_array(f"LENET5_FLASH total {name}_bias{_dimensions(bias)}", bias)}
/* {name}: {what} */
static void {name}(const number *x, number *y)
{{
{body}}}
"""


def _conv(layer: Conv, form: Form) -> str:
    (c, h, w), (k, i, j) = layer.input_shape, layer.output_shape
    size = h - i + 1
    return f"""\
    for (int k = 0; k < {k}; k++)
        for (int i = 0; i < {i}; i++)
            for (int j = 0; j < {j}; j++) {{
                total sum = {layer.name}_bias[k];
                for (int c = 0; c < {c}; c++)
                    for (int u = 0; u < {size}; u++)
                        for (int v = 0; v < {size}; v++)
                            sum += (total)x[(c * {h} + i + u) * {w} + j + v] * (total){layer.name}_weight[k][c][u][v];
                y[(k * {i} + i) * {j} + j] = {form.calls[layer.name]};
            }}
"""


def _subsampling(layer: Subsampling, form: Form) -> str:
    (_, h, w), (c, i, j), s = layer.input_shape, layer.output_shape, layer.kernel_size
    return f"""\
    for (int c = 0; c < {c}; c++)
        for (int i = 0; i < {i}; i++)
            for (int j = 0; j < {j}; j++) {{
                total sum = 0;
                for (int u = 0; u < {s}; u++)
                    for (int v = 0; v < {s}; v++)
                        sum += (total)x[(c * {h} + {s} * i + u) * {w} + {s} * j + v];
                sum = sum * (total){layer.name}_weight[c] + {layer.name}_bias[c];
                y[(c * {i} + i) * {j} + j] = {form.calls[layer.name]};
            }}
"""


def _dense(layer: Weights, form: Form) -> str:
    c, (k,) = prod(layer.input_shape), layer.output_shape
    return f"""\
    for (int k = 0; k < {k}; k++) {{
        total sum = {layer.name}_bias[k];
        for (int c = 0; c < {c}; c++)
            sum += (total)x[c] * (total){layer.name}_weight[k][c];
        y[k] = {form.calls[layer.name]};
    }}
"""


def _golden(network: LeNet5, form: Form, images: NDArray[np.uint8]) -> str:
    """Return the header with drawn images and the output of each layer for them."""
    output = network.layers[-1].name
    arrays = [_array(f"uint8_t golden_image[{len(images)}][LENET5_PIXELS]", images.reshape(len(images), -1))]
    for name, y in form.maps.items():
        kind = "lenet5_distance" if name == output else "lenet5_number"
        arrays.append(_array(f"{kind} golden_{name}[{len(y)}][{y[0].size}]", y.reshape(len(y), -1)))
    return "\n".join([f"#define GOLDEN {len(images)}\n", *arrays])


def _test(network: LeNet5, form: Form) -> str:
    """Return the program that runs the layers one by one and says where the first value differs."""
    conversion, kind = form.print
    layers = weighted(network)
    checks = [
        "        input(golden_image[n], work.even);\n",
        _check("input", network.layers[0].input_shape, "work.even"),
    ]
    for number, layer in enumerate(layers):
        x, y = (f"work.{_buffer(place)}" for place in (number, number + 1))
        checks += [f"        {layer.name}({x}, {y});\n", _check(layer.name, layer.output_shape, y)]
    output = network.layers[-1]
    checks += [
        "        const int answer = lenet5_classify(golden_image[n], distances, &work);\n",
        _check(output.name, output.output_shape, "distances"),
    ]
    return TEST.format(
        total=form.total, tolerance=form.tolerance, conversion=conversion, kind=kind, checks="".join(checks)
    )


def _check(name: str, shape: tuple[int, ...], found: str) -> str:
    rows, columns = (*shape, 1, 1)[1:3]
    arguments = f"golden_{name}[n][at], {found}[at]"
    return f"""\
        for (int at = 0; at < {prod(shape)}; at++)
            if (differ({arguments}))
                return report("{name}", at, {rows}, {columns}, {arguments});
"""


TEST = """\
/* Checks every layer of lenet5.c on the images of lenet5_golden.h, and reports the first value that differs. */
#include "lenet5.c"
#include "lenet5_golden.h"

#include <stdio.h>

static int differ(total expected, total found)
{{
    return !(found - expected <= {tolerance} && expected - found <= {tolerance});
}}

static int report(const char *layer, int at, int rows, int columns, total expected, total found)
{{
    printf("layer %s, map %d, row %d, column %d: {conversion} expected, {conversion} found\\n", layer,
           at / columns / rows, at / columns % rows, at % columns, ({kind})expected, ({kind})found);
    return 1;
}}

int main(void)
{{
    static lenet5_work work;
    lenet5_distance distances[LENET5_CLASSES];
    for (int n = 0; n < GOLDEN; n++) {{
{checks}        printf("image %d: class %s, %saccepted, every layer as expected\\n", n, lenet5_names[answer],
               lenet5_accept(distances) ? "" : "not ");
    }}
    return 0;
}}
"""


def _array(declaration: str, values: NDArray[Any]) -> str:
    """Return the definition of a constant array, with lines that are not too long."""
    return f"static const {declaration} =\n{_braced(values, 1)};\n"


def _braced(values: NDArray[Any], depth: int) -> str:
    indent = "    " * depth
    if values.ndim > 1:
        return indent + "{\n" + ",\n".join(_braced(value, depth + 1) for value in values) + "\n" + indent + "}"
    numbers = ", ".join(map(_literal, values if values.dtype.kind == "f" else values.tolist()))
    text = f"{indent}{{{numbers}"
    if len(text) > WIDTH:
        text = fill(numbers, WIDTH, initial_indent=indent + "{", subsequent_indent=indent + " ")
    return text + "}"


def _lines(text: str) -> str:
    """Join C strings to lines, broken only at spaces, which no string contains."""
    wrapper = TextWrapper(WIDTH, "    ", "    ", break_long_words=False, break_on_hyphens=False)
    return wrapper.fill(text)


def _string(text: str) -> str:
    """Return a text as a C string in ASCII: no character can end it, begin a trigraph or extend an escape before it."""
    plain = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-+.,:;!()=*/&@#$%"
    return '"' + "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in text.encode()) + '"'


def _literal(value: Any) -> str:
    """Return a number as a C literal; a float32 with as many digits as distinguish it from its neighbours."""
    if isinstance(value, np.floating):
        text = str(value) if 1e-4 <= abs(value) < 1e6 else f"{value:.9g}"
        return text + ("f" if "." in text or "e" in text else ".0f")
    return str(value)


def _dimensions(values: NDArray[Any]) -> str:
    return "".join(f"[{size}]" for size in values.shape)
