"""Definite integrals with symbols in the integrand or in the limits.

If the antiderivative is an entire function of x, F(b) - F(a) is right for all values of the symbols
for which it is defined. Else the symbols are taken to be positive, unless other conditions are
given, and the answer says so: a value from the limits of F, from residues or from SymPy is compared
with quadrature at numbers of different sizes that satisfy the conditions, and is *sampled* if it
agrees at all of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from fractions import Fraction
from typing import Any

from sciml.errors import InputError
from sciml.symbolic.definite.conditions import Condition, Conditions, conditions_on
from sciml.symbolic.definite.newton_leibniz import SEARCH_SHARE, DefiniteIntegral, Integrator
from sciml.symbolic.definite.numerical_value import numerical_value
from sciml.symbolic.definite.outcome import NoValue, Outcome
from sciml.symbolic.definite.quadrature import BALL_ERRORS
from sciml.symbolic.definite.residues import fourier_integral, turned_contour
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import TimeUp, at_most, now
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import (
    End,
    ball,
    compare_ends,
    precision,
    simplify_constant,
)
from sciml.symbolic.expr.wire import load

_ENTIRE = frozenset("exp sin cos sinh cosh erf erfi Si Shi fresnels fresnelc".split())
_ERRORS = (*BALL_ERRORS, ex.Undefined, ex.TooLarge, InputError, NoValue, RecursionError,
           NotImplementedError, TypeError, AttributeError, KeyError)  # fmt: skip
EXAMPLES = ((3, 5, 7, 11), (-2, 3, 13, 5), (Fraction(1, 3), -4, Fraction(7, 5), 2))


def parametric(
    f: Expr, x: str, low: End, high: End, integrator: Integrator, deadline: float,
    given: Collection[Condition] = (),
) -> Outcome:  # fmt: skip
    """The integral with symbols in f or in the limits, for which the conditions are given."""
    if low.at is not None and low.at is high.at:
        return Outcome("verified", ex.ZERO, "the limits are equal")
    message = integrator(f, 0.6 * SEARCH_SHARE * (deadline - now()))
    F = load(message["answer"]) if message.get("answer") else None
    if F is not None and low.at is not None and high.at is not None and is_entire(F, x):
        outcome = _by_entire_antiderivative(F, f, x, low, high, integrator, deadline, message)
        if outcome is not None:
            return outcome
    conditions = conditions_on(sorted({*f.free, *_free(low), *_free(high)} - {x}), given)
    examples = list(conditions.examples())
    if len(examples) < 3:
        return Outcome("no_answer", how="too few numbers were found that satisfy the conditions")
    for value, method in _candidates(f, x, low, high, F, conditions, deadline):
        if value.free - set(conditions.names):
            continue
        if _agrees(f, x, low, high, value, examples, integrator, deadline):
            return Outcome("sampled", value, "within quadrature at every example tried",
                           f"for {', '.join(conditions.texts)}", method,
                           conditions=conditions.texts)  # fmt: skip
    how = "no value was confirmed" if F is not None else "no antiderivative was found"
    return Outcome("no_answer", how=how)


def _free(end: End) -> frozenset[str]:
    return frozenset() if end.at is None else end.at.free


def is_entire(F: Expr, x: str) -> bool:
    """Whether F is built as an entire function of x."""
    for n in ex.subtrees(F):
        entire = n.op in ("sym", "add", "mul") or n.op in _ENTIRE
        if n.op == "pow" and x not in n.args[1].free:
            k = n.args[1]
            entire = k.op == "num" and k.value.denominator == 1 and k.value > 0
        if x in n.free and not entire:
            return False
    return True


def _by_entire_antiderivative(
    F: Expr, f: Expr, x: str, low: End, high: End, integrator: Integrator, deadline: float,
    message: dict[str, Any],
) -> Outcome | None:  # fmt: skip
    if low.at is None or high.at is None:
        return None
    x_symbol = ex.symbol(x)
    try:
        value = simplify_constant(
            ex.substitute(F, {x_symbol: high.at}) - ex.substitute(F, {x_symbol: low.at})
        )
    except (ex.Undefined, ex.TooLarge):
        return Outcome("no_answer", how="the antiderivative has no value at a limit")
    names = sorted(value.free | f.free - {x})
    confirmed_examples = 0
    for numbers in EXAMPLES:
        at: dict[Expr, ex.ExprLike] = {
            ex.symbol(name): numbers[i % 4] for i, name in enumerate(names)
        }
        example, value_there = (ex.substitute(e, at) for e in (f, value))
        ends = [End(ex.substitute(e, at)) for e in (low.at, high.at)]
        confirmed = _confirm_example(example, x, ends, value_there, integrator, deadline)
        if confirmed is False:
            return Outcome("no_answer", value, "quadrature refutes the value")
        confirmed_examples += confirmed is True
    if not confirmed_examples:
        return Outcome("no_answer", value, "the value could not be compared with quadrature")
    nonzero = _nonzero(F)
    return Outcome(
        "verified" if message["status"] == "verified" else "sampled", value,
        "the antiderivative is an entire function",
        f"where {', '.join(nonzero)} is not 0" if nonzero else "for all constants",
        message.get("method", ""), conditions=tuple(f"{u} != 0" for u in nonzero),
    )  # fmt: skip


def _candidates(
    f: Expr,
    x: str,
    low: End,
    high: End,
    F: Expr | None,
    conditions: Conditions,
    deadline: float,
) -> Iterator[tuple[Expr, str]]:
    """Possible values under the conditions, with the method."""
    import sympy as sp

    from sciml.symbolic.expr.printing import from_sympy, to_sympy

    names, symbols = conditions.names, conditions.symbols()
    symbols[x] = sp.Symbol(x, real=True)
    plain = {s: sp.Symbol(s.name) for s in symbols.values()}

    def end(e: End) -> Any:
        return sp.oo * e.sign if e.at is None else to_sympy(e.at, symbols)

    def by_limits() -> Any:
        if F is None:
            return None
        there = to_sympy(F, symbols)
        return sp.limit(there, symbols[x], end(high), "-") - sp.limit(
            there, symbols[x], end(low), "+"
        )

    def by_residues() -> Any:
        if not (high.infinite and (low.infinite or low.at is ex.ZERO)):
            return None
        even = ex.substitute(f, {ex.symbol(x): -ex.symbol(x)}) is f
        if not (low.infinite or even):
            return None
        value = fourier_integral(f, x, names)
        return None if value is None else to_sympy(value, symbols) / (1 if low.infinite else 2)

    def by_sympy() -> Any:
        return sp.integrate(to_sympy(f, symbols), (symbols[x], end(low), end(high)), conds="none")

    for make, method in ((by_limits, "limits of the antiderivative"), (by_residues, "residues"),
                         (by_sympy, "SymPy")):  # fmt: skip
        try:
            with at_most(0.5 * (deadline - now())):
                value = make()
                if value is None or value.has(sp.Integral, sp.oo, sp.zoo, sp.nan, sp.Limit):
                    continue
                short = min((value, sp.simplify(value)), key=sp.count_ops)
                expression = from_sympy(short.xreplace(plain))
        except (TimeUp, *_ERRORS):
            continue
        yield expression, method


def _agrees(
    f: Expr, x: str, low: End, high: End, value: Expr, examples: list[dict[Expr, ex.ExprLike]],
    integrator: Integrator, deadline: float,
) -> bool:  # fmt: skip
    """Whether quadrature converges and agrees with the value at every example: where it does not
    converge at one, the value may hold for some of the numbers only."""
    for at in examples:
        try:
            with at_most(max(0.1, min(3.0, 0.4 * (deadline - now())))):
                ends = [e if e.at is None else End(ex.substitute(e.at, at)) for e in (low, high)]
                agrees = _agrees_at(ex.substitute(f, at), x, ends, ex.substitute(value, at),
                                    integrator, deadline)  # fmt: skip
        except (TimeUp, *_ERRORS):
            agrees = None
        if not agrees:
            return False
    return True


def _agrees_at(
    f: Expr, x: str, ends: list[End], value: Expr, integrator: Integrator, deadline: float
) -> bool | None:
    """Whether quadrature contains the value, to 8 digits; None where it does not converge."""
    from flint import arb

    order = compare_ends(*ends)
    if not order:
        return None
    low, high = ends if order < 0 else ends[::-1]
    contour = None
    if low.infinite and high.infinite:
        contour = turned_contour(f, x, 64)
    parts: list[tuple[Expr, End, End, str]] = [(f, low, high, "")]
    if contour is not None:
        middle = (End(ex.number(-64)), End(ex.number(64)))
        far = (End(ex.ZERO), End(None, 1))
        parts = [(g, *(far if beyond else middle), part) for g, beyond, part in contour]
    with precision(400):
        total: Any = arb(0)
        for g, a, b, part in parts:
            pieces = DefiniteIntegral(g, x, a, b, integrator, deadline).pieces()
            digits = numerical_value(pieces, x, 45)
            if digits is None or digits.bits < 28:
                return None
            total = total + (digits.value.imag if part == "imag" else digits.value.real)
        z = ball(value)
        if not z.is_finite():
            return False
        gap = abs(z * -order - total).upper()
        return bool(gap <= abs(total).lower() * 1e-8)


def _confirm_example(
    f: Expr, x: str, ends: list[End], value: Expr, integrator: Integrator, deadline: float
) -> bool | None:
    """Whether quadrature of a numerical example contains the value; None where it does not
    converge."""
    try:
        order = compare_ends(*ends)
    except InputError:  # a limit that is not real there
        return None
    if not order:
        return None
    low, high = ends if order < 0 else ends[::-1]
    integral = DefiniteIntegral(f, x, low, high, integrator, deadline)
    try:
        total = integral.numerical_value()
    except (NoValue, InputError, *BALL_ERRORS):
        return None
    with precision(300):
        z = ball(value) * -order
        if total is None or not z.is_finite():
            return None
        return bool(z.overlaps(total))


def _nonzero(F: Expr) -> list[str]:
    """The expressions in the constants that F divides by."""
    return [str(n.args[0]) for n in ex.subtrees(F) if n.op == "pow" and n.free
            and (n.args[1].op != "num" or n.args[1].value < 0)]  # fmt: skip
