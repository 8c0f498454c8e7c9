"""Sums and products. A closed form S(n) is proved by S(n) - S(n - 1) = f(n) and its first value;
infinite ones are compared with the value that extrapolation gives (mpmath's nsum and nprod), which
is no proof."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from sciml.symbolic.definite.limits import growth_order
from sciml.symbolic.definite.outcome import Outcome
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import TimeUp, at_most
from sciml.symbolic.expr.evaluate import evaluate
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
from sciml.symbolic.operations.limits import INFINITY, limit_of

_DIGITS = 18
_MOST_TERMS = 5000


def sum_of(f: Expr, k: str, low: End, high: End, seconds: float, product: bool) -> Outcome:
    """The sum (or product) of f for k from `low` to `high`."""
    if low.at is None:
        return no_answer("the lower limit must be finite")
    last = frozenset() if high.at is None else high.at.free
    names = sorted((f.free | low.at.free | last) - {k})
    if high.infinite and not names and not product:
        order = growth_order(f, k, End(None, 1), 1)
        if order is not None and order < 1 + 1e-6 and _keeps_its_sign(f, k):
            return Outcome("diverges", how="the terms do not fall fast enough")
    for make in (by_sympy, _by_limit) if high.infinite else (_by_pairs, by_sympy):
        try:
            with at_most(0.4 * seconds):
                value = make(f, k, low, high, names, product, seconds)
            if value is None or value.free - set(names):
                continue
            with at_most(0.4 * seconds):
                confirmed = (_infinite if high.infinite else _finite)(
                    f, k, low, high, value, names, product
                )
        except (TimeUp, *ERRORS):
            continue
        if confirmed:
            holds = "" if confirmed == "verified" else conditions(names)
            how = "telescoping" if confirmed == "verified" else "the numerical value agrees"
            method = "pairs of terms" if make is _by_pairs else "SymPy"
            return Outcome(confirmed, value, how, holds, method)
    return no_answer("no closed form was confirmed")


def _keeps_its_sign(f: Expr, k: str) -> bool:
    """Whether neighbouring terms are real and of one sign, far out."""
    values = [complex(evaluate(ex.substitute(f, {ex.symbol(k): 10**j + i}), {}))
              for j in (2, 3, 4) for i in range(6)]  # fmt: skip
    signs = {v.real > 0 for v in values if abs(v.imag) <= 1e-9 * abs(v)}
    return len(signs) == 1 and all(abs(v.imag) <= 1e-9 * abs(v) for v in values)


def by_sympy(
    f: Expr, k: str, low: End, high: End, names: list[str], product: bool, seconds: float
) -> Expr | None:
    """SymPy's closed form, of positive symbols; None where it has none."""
    import sympy as sp

    from sciml.symbolic.expr.printing import to_sympy

    symbols = positive_symbols(names)
    symbols |= {n: sp.Symbol(n, integer=True, positive=True) for n in _integers(low, high)}
    symbols[k] = sp.Symbol(k, integer=True, positive=True)
    ends = [sp.oo if e.at is None else to_sympy(e.at, symbols) for e in (low, high)]
    compute: Callable[..., Any] = sp.product if product else sp.summation
    term = to_sympy(f, symbols)
    if term.has(sp.gamma):
        term = sp.combsimp(term.rewrite(sp.factorial))
    term = sp.factor(term) if product else term
    value = compute(term, (symbols[k], *ends))
    value = value.replace(sp.Piecewise, _generic)
    if value.has(sp.Sum, sp.Product, sp.zoo, sp.nan):
        return None
    if value in (sp.oo, -sp.oo):
        return None
    return from_positive(min((value, sp.simplify(value)), key=sp.count_ops))


def _generic(*pieces: Any) -> Any:
    """The value of a Piecewise but for isolated values of its symbols."""
    import sympy as sp

    return next((value for value, c in pieces if not isinstance(c, sp.Eq)), pieces[-1][0])


def _by_pairs(
    f: Expr, k: str, low: End, high: End, names: list[str], product: bool, seconds: float
) -> Expr | None:
    """The sum whose first and last, second and last but one, ... terms add up to one value."""
    assert low.at is not None and high.at is not None
    if product or names or not low.at.op == high.at.op == "num":
        return None
    index = ex.symbol(k)
    pair = f + ex.substitute(f, {index: low.at + high.at - index})
    first = [ex.substitute(pair, {index: low.at + i}) for i in range(3)]
    with precision(300):
        values = [ball(e) for e in first]
        near = Fraction(str(values[0].real.mid().str(30, radius=False))).limit_denominator(10**6)
        constant = ex.number(near)
        if not all((v - ball(constant)).contains(0) for v in values):
            return None
    return constant * (high.at - low.at + 1) / 2


def _integers(low: End, high: End) -> set[str]:
    return {name for e in (low, high) if e.at is not None for name in e.at.free}


def _by_limit(
    f: Expr, k: str, low: End, high: End, names: list[str], product: bool, seconds: float
) -> Expr | None:
    """The limit of the finite sum."""
    n = "last"
    partial = by_sympy(f, k, low, End(ex.symbol(n)), [*names, n], product, seconds)
    if partial is None:
        return None
    outcome = limit_of(partial, n, End(None, 1), 0, 0.3 * seconds)
    return None if outcome.value is None or INFINITY.value in outcome.value.free else outcome.value


def _finite(
    f: Expr, k: str, low: End, high: End, value: Expr, names: list[str], product: bool
) -> str:
    """ "verified" by telescoping, "sampled" by adding up, empty where it is refuted."""
    assert low.at is not None and high.at is not None
    n = high.at
    if n.op == "sym" and n.value not in low.at.free | f.free:
        from sciml.symbolic.verification.proving import prove_identity

        before = ex.substitute(value, {n: n - 1})
        last = ex.substitute(f, {ex.symbol(k): n})
        step = value / before - last if product else value - before - last
        first = ex.substitute(value, {n: low.at}) - ex.substitute(f, {ex.symbol(k): low.at})
        if _vanishes(first, names):
            if step is ex.ZERO or prove_identity(step, ex.ZERO, n.value, None, 2.0).holds:
                return "verified"
    for example in examples(names):
        integers = {ex.symbol(name): 4 + i for i, name in enumerate(sorted(_integers(low, high)))}
        at = {**example, **integers}
        a, b = (int(complex(evaluate(ex.substitute(e, at), {})).real) for e in (low.at, n))
        if b - a > _MOST_TERMS:
            return ""
        with precision(300):
            total = ball(ex.ONE if product else ex.ZERO)
            for i in range(a, b + 1):
                term = ball(ex.substitute(f, {**at, ex.symbol(k): i}))
                total = total * term if product else total + term
            if not total.overlaps(ball(ex.substitute(value, at))):
                return ""
    return "sampled"


def _vanishes(e: Expr, names: list[str]) -> bool:
    if e is ex.ZERO:
        return True
    with precision(300):
        return all(ball(ex.substitute(e, example)).contains(0) for example in examples(names))


def _infinite(
    f: Expr, k: str, low: End, high: End, value: Expr, names: list[str], product: bool
) -> str:
    """ "sampled" where extrapolation of the partial sums agrees, else empty."""
    import mpmath

    for example in examples(names):
        term, start = (ex.substitute(e, example) for e in (f, low.at or ex.ONE))
        first = int(complex(evaluate(start, {})).real)

        def at(i: Any, term: Expr = term) -> Any:
            return evaluate(ex.substitute(term, {ex.symbol(k): int(i)}), {}, "mpmath")

        with mpmath.workdps(_DIGITS + 12):
            if example:
                at(first)
            add = mpmath.nprod if product else mpmath.nsum
            total = add(at, [first, mpmath.inf])
            expected = evaluate(ex.substitute(value, example), {}, "mpmath")
            if not abs(total - expected) <= mpmath.mpf(10) ** -_DIGITS * abs(expected):
                return ""
    return "sampled"
