"""Differential towers over multivariate polynomials, and rewriting of expressions by them.

`field` has polynomials and their quotients, `prepare` reduces the kinds of function, `radicals` and
`tower` turn expressions into quotients of polynomials in kernels with known derivatives (the frame
of Norman-Risch integration), `univariate` is the case of rational functions; `rewriting` and
`powers` use them to rewrite expressions, and `constants` has short forms of numbers.
"""

from sciml.moved import former

__getattr__ = former(__name__, "rewriting")  # this package was a module in version 0.1
