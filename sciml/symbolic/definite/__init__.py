"""Definite integrals: pieces between the jumps, limits at their ends, rigorous quadrature."""

from sciml.moved import former

__getattr__ = former(__name__, "integral")  # this package was a module in version 0.1
