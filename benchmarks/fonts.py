"""Pictures of the characters of a font, each distorted in its own way, as a folder of IDX files.

    python benchmarks/fonts.py FONT.ttf CHARACTERS FOLDER [--train 10000] [--test 2000] [--seed 1]

Label k is the k-th character, as on the sheet that ``lenet5 render-glyphs --font FONT.ttf --characters CHARACTERS``
draws. A picture is finished as MNIST's are, then turned, scaled, slanted, bent and thickened or thinned at random.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lenet5_cli.data import glyphs, idx
from lenet5_cli.data.augmentation import distort, draw
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.pictures.normalise import normalise

SIZE = 100  # pixels an em: several times what is left of it in 28x28
SPLITS = {"train": "train", "test": "t10k"}


def character(font: ImageFont.FreeTypeFont, text: str) -> np.ndarray:
    """Return a character (28, 28), its ink brought to the size and weight of MNIST's digits."""
    canvas = Image.new("L", (4 * SIZE, 4 * SIZE))
    ImageDraw.Draw(canvas).text((2 * SIZE, 2 * SIZE), text, fill=255, font=font, anchor="mm")
    return normalise(np.asarray(canvas))


def pictures(path: str, characters: str, count: int, seed: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return ``count`` pictures (n, 28, 28) of a font's characters, as many of each, and their labels (n,)."""
    font = ImageFont.truetype(path, SIZE, layout_engine=ImageFont.Layout.BASIC)
    plain = np.stack([character(font, text) for text in characters])
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % len(characters)).astype(np.uint8)
    return distort(plain[labels], draw("elastic", count, rng)), labels


def main() -> None:
    """Write both splits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("font")
    parser.add_argument("characters")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, default=10_000, help="pictures to train on")
    parser.add_argument("--test", type=int, default=2_000, help="pictures to test on")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.folder.exists() and not (options.folder.is_dir() and not any(options.folder.iterdir())):
        parser.error(f"{options.folder}: is there already; expected a new or empty folder")
    try:
        glyphs.from_font(options.font, options.characters)
    except LeNet5Error as error:
        parser.error(str(error))
    for number, (split, prefix) in enumerate(SPLITS.items()):
        images, labels = pictures(
            options.font, options.characters, getattr(options, split), seed=[options.seed, number]
        )
        options.folder.mkdir(parents=True, exist_ok=True)
        idx.write(options.folder / f"{prefix}-images-idx3-ubyte", images)
        idx.write(options.folder / f"{prefix}-labels-idx1-ubyte", labels)
        print(f"{options.folder}: {len(labels):,} pictures to {split} on")


if __name__ == "__main__":
    main()
