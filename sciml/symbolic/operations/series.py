"""Power series: Taylor's coefficients from exact derivatives, or SymPy's series with exponents that
are negative or fractions, of which the remainder must be small of the order that is claimed."""

from __future__ import annotations

from math import factorial

from sciml.symbolic.definite.numerical_limits import NumericalLimit
from sciml.symbolic.definite.outcome import Outcome
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import TimeUp, at_most
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import End, ball, precision, simplify_constant
from sciml.symbolic.operations.examples import ERRORS, from_positive, no_answer, positive_symbols

_NOT_ANALYTIC = frozenset(("abs", "sign", "floor"))


def series_of(f: Expr, x: str, at: Expr, terms: int, seconds: float) -> Outcome:
    """The terms of f about x = at below the power `terms` of (x - at)."""
    try:
        with at_most(0.5 * seconds):
            taylor = _taylor(f, x, at, terms)
    except (TimeUp, *ERRORS):
        taylor = None
    if taylor is not None:
        return Outcome("verified", taylor, "exact derivatives", "", "Taylor")
    if f.free - {x} or at.free:
        return no_answer("with symbols only Taylor series are found")
    return _general(f, x, at, terms, seconds)


def _taylor(f: Expr, x: str, at: Expr, terms: int) -> Expr | None:
    """Taylor's polynomial; None where f may not be analytic."""
    if any(n.op in _NOT_ANALYTIC and x in n.free for n in ex.subtrees(f)):
        return None
    step, out, slope = ex.symbol(x) - at, [], f
    for k in range(terms):
        value = simplify_constant(ex.substitute(slope, {ex.symbol(x): at}))
        if not value.free:
            with precision(200):
                if not ball(value).is_finite():
                    return None
        out.append(value / factorial(k) * step**k)
        slope = slope.diff(x)
        if ex.size(slope) > 20_000:
            return None
    return ex.add(out)


def _general(f: Expr, x: str, at: Expr, terms: int, seconds: float) -> Outcome:
    import sympy as sp

    from sciml.symbolic.expr.printing import to_sympy

    symbols = positive_symbols([x])
    shifted = ex.substitute(f, {ex.symbol(x): at + ex.symbol(x)})
    try:
        with at_most(0.8 * seconds):
            found = sp.series(to_sympy(shifted, symbols), symbols[x], 0, terms).removeO()
        polynomial = from_positive(sp.expand(found))
    except (TimeUp, *ERRORS, sp.PoleError):
        return no_answer("the series was not found")
    remainder = shifted - polynomial
    if remainder is not ex.ZERO:
        order = NumericalLimit(remainder, x, End(ex.ZERO), 1).power_order()
        if order is None or order < terms - 1e-6:
            return no_answer("the remainder is not of the order that the series claims")
    answer = ex.substitute(polynomial, {ex.symbol(x): ex.symbol(x) - at})
    return Outcome("sampled", answer, "the remainder is of the right order for x > " + str(at), "",
                   "SymPy")  # fmt: skip
