"""The Risch-like ansatz (parallel or Norman-Risch integration).

In reading order: `parallel_risch` (`candidates`: towers, supports and the assembled answer),
`support` (the denominator and the monomials of the answer), `logarithmic_terms`,
`special_functions` and `torsion` (further functions, as columns), `modular_points` and
`linear_system` (the coefficients modulo primes), `rational_reconstruction` (from these to rational
functions of the parameters). Differential towers are in `sciml.symbolic.algebra.tower`.
"""

from sciml.symbolic.algebra.field import Failure
from sciml.symbolic.integration.ansatz.parallel_risch import candidates

__all__ = ["Failure", "candidates"]
