"""Laplace's transform, the integral of f(t) exp(-s t) over t > 0, and Fourier's, the integral of
f(x) exp(-i w x) over the line, by SymPy; quadrature of the integral must agree at examples."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from sciml.symbolic.definite.newton_leibniz import DefiniteIntegral
from sciml.symbolic.definite.numerical_value import numerical_value
from sciml.symbolic.definite.outcome import NoValue, Outcome
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import TimeUp, at_most, now
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import End, ball, precision
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
    f: Expr, x: str, new: str, value: Expr, names: list[str], fourier: bool, end: float
) -> bool:
    line = (End(None, -1), End(None, 1)) if fourier else (End(ex.ZERO), End(None, 1))
    s, variable = ex.symbol(new), ex.symbol(x)
    kernels = [ex.call("exp", -s * variable)]
    if fourier:
        kernels = [ex.call("cos", s * variable), -ex.I * ex.call("sin", s * variable)]
    for place in _PLACES:
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
                    digits = numerical_value(integral.pieces(), x, 45)
                    if digits is None:
                        return False
                    total = total + digits.value
                if not abs(expected - total).upper() <= abs(expected).lower() * 1e-8:
                    return False
    return True
