"""Figures of a network and its training, and explanations of its answers."""

from unicodedata import bidirectional

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#b8b8b8"  # told apart by the colour-blind, and in grey


def isolated(name: str) -> str:
    """Return a name for a line of text in a picture: right-to-left names are put between left-to-right marks.

    Without these, Unicode's bidirectional layout would swap two Hebrew names around an arrow.
    """
    return f"\u200e{name}\u200e" if {*map(bidirectional, name)} & {"R", "AL", "AN"} else name
