"""Ordinary differential equations of first and second order."""

from sciml.moved import former

__getattr__ = former(__name__, "solver")  # this package was a module in version 0.1
