"""The proxy cost and wire length: whole, move by move, and in batches."""

from sciml.moved import former

__getattr__ = former(__name__, "proxy")  # this package was a module in version 0.1
