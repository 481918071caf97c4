"""Installed fonts, as matplotlib finds them."""

from collections.abc import Iterator, Set
from contextlib import suppress


def installed() -> Iterator[tuple[str, str, Set[int]]]:
    """Yield family, path and characters of the upright fonts of normal weight, the usual one first.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib import font_manager  # noqa: PLC0415 - it is optional

    usual = font_manager.FontProperties()
    fonts = [font for font in font_manager.fontManager.ttflist if (font.style, font.weight) == ("normal", 400)]
    others = [(font.name, font.fname) for font in fonts if not font.name.startswith("Last Resort")]
    for family, path in [(usual.get_name(), str(font_manager.findfont(usual))), *others]:
        with suppress(OSError, RuntimeError):  # it has gone since they were listed
            yield family, path, font_manager.get_font(path).get_charmap().keys()
