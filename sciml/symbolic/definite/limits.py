"""One-sided limits, at a point or at infinity, in closed form.

The leading term in t > 0, the distance from the point (or 1/|x|), gives the limit; where leading
terms cancel, SymPy's Gruntz algorithm does. A limit is accepted only if the values of the
expression, in ball arithmetic down to t = 2**-400, agree with it.
"""

from __future__ import annotations

from dataclasses import dataclass

from sciml.errors import InputError
from sciml.symbolic.definite.leading_terms import LeadingTerms, UnknownTerm, sign_of
from sciml.symbolic.definite.numerical_limits import NumericalLimit
from sciml.symbolic.definite.quadrature import BALL_ERRORS
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import TimeUp, at_most
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import End, simplify_constant


@dataclass(frozen=True)
class Limit:
    """A one-sided limit.

    Attributes:
        value: the finite limit.
        infinite: 1 or -1 for plus or minus infinity; 2 for an unbounded expression.
        oscillates: whether there is no limit because of oscillation.
        proved: whether leading terms prove the limit.
    """

    value: Expr | None
    infinite: int = 0
    oscillates: bool = False
    proved: bool = False


def _in_distance(e: Expr, x: str, end: End, side: int) -> Expr:
    t = ex.symbol("_t")
    if end.at is None:
        return ex.substitute(e, {ex.symbol(x): end.sign / t})
    return ex.substitute(e, {ex.symbol(x): end.at + side * t})


def limit(e: Expr, x: str, end: End, side: int, seconds: float = 2.0) -> Limit | None:
    """The limit of e as x tends to the end, from above (side 1) or below (-1).

    Returns:
        None if it is not found or not confirmed by the values near the end.
    """
    if x not in e.free:
        return Limit(e)
    numerical = NumericalLimit(e, x, end, side)
    if end.at is not None:
        try:
            value = simplify_constant(ex.substitute(e, {ex.symbol(x): end.at}))
            if numerical.tends_to(value):
                return Limit(value)
        except (ex.Undefined, ex.TooLarge):
            pass
    for method in (_by_leading_terms, _gruntz):
        candidate = method(e, x, end, side, seconds)
        if candidate is None:
            continue
        if candidate.oscillates:
            return candidate if numerical.oscillates() else None
        if candidate.infinite:
            return candidate if numerical.is_unbounded() else None
        if candidate.value is not None:
            if numerical.tends_to(candidate.value) or (
                candidate.proved and numerical.approaches_slowly(candidate.value)
            ):
                return candidate
    return Limit(None, 2) if numerical.is_unbounded(0.97) else None


def _by_leading_terms(e: Expr, x: str, end: End, side: int, _: float) -> Limit | None:
    try:
        term = LeadingTerms("_t").term(_in_distance(e, x, end, side))
        if term.vanishes:
            return Limit(ex.ZERO, proved=True)
        if term.bound:
            return None
        return Limit(term.c, proved=True) if term.constant else Limit(None, sign_of(term.c))
    except (UnknownTerm, ex.Undefined, ex.TooLarge, RecursionError, *BALL_ERRORS):
        return None


def growth_order(e: Expr, x: str, end: End, side: int) -> float | None:
    """The exponent a for which e behaves like the a-th power of the distance from the end (of 1/|x|
    at infinity).

    Returns:
        None if there is none, or if the leading term disagrees with the values.
    """
    if x not in e.free:
        return 0.0
    power = NumericalLimit(e, x, end, side).power_order()
    if power is None:
        return None
    try:
        term = LeadingTerms("_t").term(_in_distance(e, x, end, side))
    except (UnknownTerm, ex.Undefined, ex.TooLarge, RecursionError, *BALL_ERRORS):
        return power
    confirmed = term.a is not None and abs(float(term.a) - power) < 1e-6 and not term.bound
    return power if confirmed else None


def _gruntz(e: Expr, x: str, end: End, side: int, seconds: float) -> Limit | None:
    import sympy as sp

    from sciml.symbolic.expr.printing import from_sympy, to_sympy

    if ex.size(e) > 400 or seconds <= 0:
        return None
    symbol = sp.Symbol(x, real=True)
    end_point = sp.oo * end.sign if end.at is None else to_sympy(end.at)
    try:
        with at_most(seconds):
            sympy_limit = sp.limit(
                to_sympy(e, {x: symbol}), symbol, end_point, "+" if side > 0 else "-"
            )
        if isinstance(sympy_limit, sp.AccumBounds) and sympy_limit.min != sympy_limit.max:
            return Limit(None, oscillates=True)
        if sympy_limit in (sp.oo, -sp.oo):
            return Limit(None, 1 if sympy_limit is sp.oo else -1)
        return Limit(simplify_constant(from_sympy(sympy_limit)))
    except (TimeUp, InputError, NotImplementedError, ArithmeticError, RecursionError, ValueError,
            TypeError, AttributeError, sp.PoleError):  # fmt: skip
        return None
