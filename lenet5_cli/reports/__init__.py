"""Pictures and words about a network, its training and its answers."""

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#b8b8b8"  # told apart by the colour-blind, and in grey
