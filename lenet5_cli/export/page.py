"""A page to draw on: one HTML file in which the network computes, with nothing to install and nothing to download.

The page is put together from ``web/``: its markup, its style and its scripts, which stand in it as they are. What comes
from a checkpoint is data: JSON in which no character can end the element that holds it, shown as text and never as
markup. The page's policy lets nothing run but the scripts and the style that it was written with, known by their
digests, and lets no request leave it.
"""

import json
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from lenet5_cli.data import drawn, glyphs
from lenet5_cli.engine import RBF, Layer
from lenet5_cli.engine.network import LeNet5
from lenet5_cli.errors import printable
from lenet5_cli.export.layers import check_float32, description
from lenet5_cli.storage.checkpoint import Checkpoint

WEB = Path(__file__).parent / "web"
# In this order: each uses those before it.
SCRIPTS = ("network.js", "picture.js", "pad.js", "maps.js", "inspector.js", "page.js")
EXAMPLES = 4  # pictures a class: those of ten digits take 21 kB of the page, of all letters 54 kB
EXAMPLE_SEED = 1


def render(network: LeNet5, saved: Checkpoint) -> bytes:
    """Return the page of a network, in UTF-8.

    Raises:
        LeNet5Error: a number is too large for float32.
    """
    check_float32(network)
    style = "\n" + _part("page.css")
    script = '\n(() => {\n"use strict";\n' + "".join(map(_part, SCRIPTS)) + "})();\n"
    page = Template(_part("page.html")).substitute(
        policy=_policy(script, style), style=style, script=script, model=_inert_json(_model(network, saved))
    )
    return page.encode()


def _part(name: str) -> str:
    return (WEB / name).read_text(encoding="utf-8")


def _policy(script: str, style: str) -> str:
    """Return a Content-Security-Policy: only this script and style, no request; the icon is within the page."""
    allowed = {
        "default-src": "'none'",
        "script-src": _digest(script),
        "style-src": _digest(style),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{kind} {source}" for kind, source in allowed.items())


def _digest(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _inert_json(value: Any) -> str:
    """Return JSON in ASCII without <, > and &, so that within an element of HTML it is nothing but data."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _model(network: LeNet5, saved: Checkpoint) -> dict[str, Any]:
    """Return what the scripts need to know: see ``Network`` in network.js."""
    described = description(network, saved)
    numbers: list[bytes] = []
    start = 0
    for layer, spec in zip(network.layers, described["layers"], strict=True):
        spec["parameters"] = layer.size
        spec["numbers"] = {}
        for name, values in _arrays(layer).items():
            numbers.append(values.astype("<f4").tobytes())  # the type of a script's Float32Array
            spec["numbers"][name] = [start, start + values.size]
            start += values.size
    return {
        "input": described["input"],
        "layers": described["layers"],
        "numbers": b64encode(b"".join(numbers)).decode(),
        "tanh": described["tanh"],
        "threshold": described["threshold"],
        "names": described["names"],
        "noun": network.sheet.noun,
        "glyph": [glyphs.ROWS, glyphs.COLUMNS],
        "as_is": network.config.as_is,
        "examples": _examples([] if network.config.as_is else described["names"]),
        "about": _about(described),
    }


def _arrays(layer: Layer) -> dict[str, Any]:
    return {"codes": layer.codes} if isinstance(layer, RBF) else layer.params


def _examples(names: list[str]) -> dict[str, Any]:
    """Return pictures of the classes that are digits or capital letters, drawn here.

    These are a name each, and the pixels in 4 bits, row by row.
    """
    digits, letters = drawn.draw(100, EXAMPLE_SEED), drawn.draw_letters(260, EXAMPLE_SEED)
    examples = [
        (name, image)
        for alphabet, (images, labels) in ((glyphs.DIGITS, digits), (glyphs.LETTERS, letters))
        for label, name in enumerate(alphabet)
        if name in names
        for image in images[labels == label][:EXAMPLES]
    ]
    pixels = np.array([image for _, image in examples], np.uint8).reshape(-1, 2) >> 4
    return {
        "names": [name for name, _ in examples],
        "pixels": b64encode((pixels[:, 0] << 4 | pixels[:, 1]).tobytes()).decode(),
    }


def _about(described: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what is known of a model, each with its name, as texts."""
    layers = described["layers"]
    facts = {
        "parameters": f"{sum(layer['parameters'] for layer in layers):,}",
        "input": described["input"]["setting"],
        "activation": layers[0]["activation"],
    }
    if described["epoch"]:
        facts["trained on"] = described["data"].get("name", "unknown data")
        facts["epochs"] = f"{described['epoch']:,}"
    if isinstance(described["training_accuracy"], float):
        facts["accuracy in the last epoch"] = f"{100 * described['training_accuracy']:.2f} % of the training images"
    facts["written by"] = f"lenet5 {described['lenet5']}"
    return [(name, printable(str(value))) for name, value in facts.items()]
