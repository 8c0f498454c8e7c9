"""Ordinary differential equations of first and second order.

In reading order: `api` (`dsolve`), `solver` (search, checks, completion), `methods` (their order;
Clairaut, Lagrange), `first_order` with `separation`, `second_order` (variation of parameters) with
`constant_coefficients`, `liouvillian` (Kovacic), `change_of_variable` and `special_functions`,
`point_transformations`, `absolute_values`, `fallbacks`, `singular_solutions` (and other branches),
`checking` with `regions` (verification by the residual). `tools` serves all of them.
"""

from sciml.moved import former

__getattr__ = former(__name__, "solver")  # this package was a module in version 0.1
