"""Definite integrals: an antiderivative between its limits, confirmed by rigorous quadrature.

In reading order: `integral` (the entry point), `outcome`, `newton_leibniz` and
`antiderivative_jumps` (F(b-) - F(a+) piece by piece, less the jumps of F), `discontinuities` and
`closed_form_zeros` (where to split, exactly), `limits` with `leading_terms` and `numerical_limits`
(one-sided limits), `quadrature` and `confirmation` (balls that contain the integral; whether the
value lies in them).
"""

from sciml.moved import former

__getattr__ = former(__name__, "integral")  # this package was a module in version 0.1
