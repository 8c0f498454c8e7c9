"""The proxy cost and wire length: whole, and move by move."""

from sciml.moved import former

__getattr__ = former(__name__, "proxy")  # this package was a module in version 0.1
