"""A formula from data."""

from sciml.moved import former

__getattr__ = former(__name__, "regressor")  # this package was a module in version 0.1
