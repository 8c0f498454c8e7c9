"""Quotients of polynomials in kernels whose derivatives are known, and rewriting by them."""

from sciml.moved import former

__getattr__ = former(__name__, "rewriting")  # this package was a module in version 0.1
