"""What comes with lenet5: a model; glyph sheets and presets, in a checkout beside the package, in a wheel inside."""

from pathlib import Path

_PACKAGE = Path(__file__).parent

BOXED_MODEL = _PACKAGE / "boxed.pkl"  # made by the command that the README names


def folder(name: str) -> Path:
    """Return the folder ``glyphs`` or ``configs``, wherever this copy of lenet5 keeps it."""
    packed = _PACKAGE / "data" / name
    return packed if packed.is_dir() else _PACKAGE.parent / name
