"""Laplace's transform, the integral of f(t) exp(-s t) over t > 0, Fourier's, the integral of
f(x) exp(-i w x) over the line, and their inverses, by SymPy or residues.

Quadrature of the integral must agree at examples. A function proposed for an inverse is
transformed forward, and compared with what it is the inverse of.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from sciml.symbolic.definite.newton_leibniz import DefiniteIntegral
from sciml.symbolic.definite.numerical_value import numerical_value
from sciml.symbolic.definite.outcome import NoValue, Outcome
from sciml.symbolic.definite.residues import fourier_integral
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import TimeUp, at_most, now
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import End, ball, precision
from sciml.symbolic.integration.impulses import split_impulses
from sciml.symbolic.operations.examples import (
    ERRORS,
    conditions,
    examples,
    from_positive,
    no_answer,
    positive_symbols,
)

_PLACES = (Fraction(5, 2), Fraction(13, 3))
"""Values of the new variable at which the integral is computed."""
_INVERSE_PLACES = (Fraction(17, 2), Fraction(61, 5), Fraction(73, 3))
"""The same for the transform of an inverse, which may grow exponentially."""


def transform_of(f: Expr, x: str, new: str, seconds: float, fourier: bool) -> Outcome:
    """The transform of f as a function of the variable `new`."""
    names = sorted(f.free - {x})
    if new in f.free or new == x:
        return no_answer(f"{new} occurs in the function already")
    end = now() + seconds
    try:
        with at_most(0.4 * seconds):
            value, holds = _by_sympy(f, x, new, names, fourier)
    except (TimeUp, *ERRORS):
        return no_answer("the transform was not found")
    try:
        with at_most(max(0.1, 0.9 * (end - now()))):
            confirmed = _confirmed(f, x, new, value, names, fourier, end)
    except (TimeUp, NoValue, *ERRORS):
        confirmed = False
    if not confirmed:
        return no_answer("the transform was not confirmed by quadrature")
    holds = ", ".join(filter(None, (holds, conditions(names))))
    return Outcome("sampled", value, "within quadrature at every example tried", holds, "SymPy")


def inverse_of(F: Expr, s: str, new: str, seconds: float, fourier: bool) -> Outcome:
    """The function of the variable `new` whose transform is F(s): for new > 0, or on the line."""
    names = sorted(F.free - {s})
    if new in F.free or new == s:
        return no_answer(f"{new} occurs in the function already")
    end = now() + seconds
    how = "the inverse was not found"
    for propose in (_inverse_by_residues, _inverse_by_sympy) if fourier else (_inverse_by_sympy,):
        try:
            with at_most(max(0.1, 0.4 * (end - now()))):
                f = propose(F, s, new, names, fourier)
            if f is None:
                continue
            with at_most(max(0.1, 0.6 * (end - now()))):
                if _transform_is(f, F, new, s, names, fourier, end):
                    holds = ", ".join(filter(None, (
                        "" if fourier else f"for {new} > 0", conditions(names))))  # fmt: skip
                    method = "residues" if propose is _inverse_by_residues else "SymPy"
                    return Outcome("sampled", f, "its transform agrees at every example tried",
                                   holds, method)  # fmt: skip
            how = "the inverse was not confirmed: its transform differs"
        except (TimeUp, NoValue, *ERRORS):
            continue
    return no_answer(how)


def _transform_is(
    f: Expr, F: Expr, x: str, s: str, names: list[str], fourier: bool, end: float
) -> bool:
    """Whether the transform of f is F; impulses are transformed exactly."""
    smooth, impulses = split_impulses(f, x)
    exponent = -ex.symbol(s) * (ex.I if fourier else ex.ONE)
    known = ex.add([w * ex.call("exp", exponent * r) for r, w in impulses])
    rest = F - known
    if smooth is ex.ZERO:
        return _vanishes(rest, s, names)
    if not fourier:
        return _confirmed(smooth, x, s, rest, names, False, end, _INVERSE_PLACES)
    if _confirmed(smooth, x, s, rest, names, True, end):
        return True
    backward = ex.substitute(2 * ex.PI * smooth, {ex.symbol(x): -ex.symbol(x)})
    return not impulses and _confirmed(F, s, x, backward, names, True, end)


def _vanishes(e: Expr, s: str, names: list[str]) -> bool:
    with precision(200):
        return all(
            ball(ex.substitute(e, {**example, ex.symbol(s): place})).contains(0)
            for place in _INVERSE_PLACES for example in examples(names)
        )  # fmt: skip


def _inverse_by_sympy(F: Expr, s: str, new: str, names: list[str], fourier: bool) -> Expr | None:
    import sympy as sp

    from sciml.symbolic.expr.printing import to_sympy

    symbols: dict[str, Any] = positive_symbols(names)
    symbols[s] = sp.Symbol(s, real=True) if fourier else sp.Symbol(s)
    target = sp.Symbol(new, real=True)
    made = to_sympy(F, symbols)
    if s not in F.free:
        return F * ex.call("DiracDelta", ex.symbol(new))
    if fourier:
        k = sp.Symbol("_k", real=True)
        value = sp.inverse_fourier_transform(made.subs(symbols[s], 2 * sp.pi * k), k, target)
    else:
        value = sp.inverse_laplace_transform(sp.factor(made), symbols[s], target)
        value = value.subs(sp.Heaviside(target), 1)  # for t > 0
    if value.has(sp.Integral, sp.InverseLaplaceTransform, sp.InverseFourierTransform):
        return None
    return from_positive(min((value, sp.simplify(value)), key=sp.count_ops))


def _inverse_by_residues(
    F: Expr, w: str, new: str, names: list[str], fourier: bool
) -> Expr | None:  # fmt: skip
    """The inverse of an even rational function, as a function of |x|."""
    if ex.substitute(F, {ex.symbol(w): -ex.symbol(w)}) is not F:
        return None
    wave = ex.call("cos", ex.symbol(w) * ex.symbol(new))
    value = fourier_integral(F * wave, w, (*names, new))
    if value is None:
        return None
    return ex.substitute(value, {ex.symbol(new): ex.call("abs", ex.symbol(new))}) / (2 * ex.PI)


def _by_sympy(f: Expr, x: str, new: str, names: list[str], fourier: bool) -> tuple[Expr, str]:
    import sympy as sp

    from sciml.symbolic.expr.printing import to_sympy

    symbols: dict[str, Any] = positive_symbols(names)
    symbols[x] = sp.Symbol(x, real=True) if fourier else sp.Symbol(x, positive=True)
    target = sp.Symbol(new, real=True) if fourier else sp.Symbol(new)
    made = to_sympy(f, symbols)
    if fourier:
        k = sp.Symbol("_k", real=True)
        value = sp.fourier_transform(made, symbols[x], k).subs(k, target / (2 * sp.pi))
        holds = ""
    else:
        value, abscissa, _ = sp.laplace_transform(made, symbols[x], target)
        holds = "" if abscissa == -sp.oo else f"for re({new}) > {abscissa}"
    if value.has(sp.Integral, sp.LaplaceTransform, sp.FourierTransform):
        raise NotImplementedError
    return from_positive(min((value, sp.simplify(value)), key=sp.count_ops)), holds


def _confirmed(
    f: Expr, x: str, new: str, value: Expr, names: list[str], fourier: bool, end: float,
    places: Sequence[Fraction] = _PLACES,
) -> bool:  # fmt: skip
    line = (End(None, -1), End(None, 1)) if fourier else (End(ex.ZERO), End(None, 1))
    s, variable = ex.symbol(new), ex.symbol(x)
    kernels = [ex.call("exp", -s * variable)]
    if fourier:
        kernels = [ex.call("cos", s * variable), -ex.I * ex.call("sin", s * variable)]
    for place in places:
        for example in examples(names):
            at = {**example, s: place}
            with precision(300):
                expected: Any = ball(ex.substitute(value, at))
                total: Any = 0
                for kernel in kernels:
                    g = ex.substitute(f * kernel, at)
                    if fourier and ex.substitute(g, {variable: -variable}) is -g:
                        continue
                    integral = DefiniteIntegral(g, x, *line, lambda e, t: {}, end)
                    pieces = integral.pieces()
                    digits = numerical_value(pieces, x, 45)
                    if digits is None or digits.bits < 30:
                        digits = numerical_value(pieces, x, 110)
                    if digits is None:
                        return False
                    total = total + digits.value
                if not abs(expected - total).upper() <= abs(expected).lower() * 1e-8:
                    return False
    return True
