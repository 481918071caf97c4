"""Pictures and words about a network, its training and its answers."""

from unicodedata import bidirectional

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#b8b8b8"  # told apart by the colour-blind, and in grey


def in_place(name: str) -> str:
    """Return a name as it stands in a line of a picture: one from right to left between marks that keep what is beside.

    Without them, where fonts are laid out by Unicode's rules, two Hebrew names would change sides of an arrow.
    """
    return f"\u200e{name}\u200e" if {*map(bidirectional, name)} & {"R", "AL", "AN"} else name
