"""Event generation, parton showers and a detector: jets with their truth."""

from sciml.moved import former

__getattr__ = former(__name__, "jet_table")  # this package was a module in version 0.1
