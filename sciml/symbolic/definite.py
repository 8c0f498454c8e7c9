"""Definite integrals through a verified antiderivative, checked for what lies between the limits.

The integrand is bounded rigorously over pieces of the interval with Arb; where it stays finite and
the antiderivative is continuous, F(b) - F(a) is the value. A jump of the antiderivative (a branch,
a tangent of a half angle) splits the interval; a singularity of the integrand refuses it. The value
is then compared with Arb's own rigorous quadrature.
"""

from __future__ import annotations

import time
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from sciml.errors import InputError
from sciml.symbolic import expression as ex
from sciml.symbolic.evaluate import Program
from sciml.symbolic.expression import Expr
from sciml.symbolic.result import Result

_PIECES = 4001
_PRECISION = 100
_TOLERANCE = 1e-9
"""Between quadrature and the value by an antiderivative that was verified."""
_STRICT = 1e-20
"""And by one that was not: it may hold between the limits, or be slightly wrong."""
_NOT_ANALYTIC = frozenset("abs sign asin acos atan acot asec acsc asinh acosh atanh acoth asech "
                          "acsch Ei li Ci Chi dilog".split())  # fmt: skip
"""Functions that are not analytic everywhere, but for logarithms and powers."""


class Singular(InputError):
    """The integrand is not finite everywhere between the limits."""


def between(f: Expr, x: str, found: Result, low: Expr, high: Expr, started: float) -> Result:
    """The definite integral of f from `low` to `high`, given an antiderivative's result.

    Raises:
        Singular: where the integrand has a pole or is not real between the limits.
        InputError: for limits that are not real numbers, or an integrand with constants.
    """
    if f.free - {x}:
        raise InputError("a definite integral with symbolic constants is not supported")
    a, b = _real(low), _real(high)
    shown = f"integral of {f} from {low} to {high}"
    _finite(f, x, min(a, b), max(a, b))
    if a == b:
        return replace(found, problem=shown, expression=ex.ZERO, status="verified")
    points = np.linspace(min(a, b), max(a, b), _PIECES)[1:-1]
    if found.expression is None:
        return replace(found, problem=shown, seconds=time.perf_counter() - started)
    value = _difference(found.expression, x, low, high, points, a > b)
    number = _quadrature(f, x, low, high)
    how = found.how
    if value is None:
        return replace(found, problem=shown, expression=None, status="no_answer",
                       how="the antiderivative jumps at a place that could not be located exactly",
                       seconds=time.perf_counter() - started)  # fmt: skip
    value = _plain_number(value)
    shown_value = complex(Program(value).complex({})[0])
    status = "unverified"
    if number is None:
        how = "the value could not be compared with quadrature"
    elif not _agree(value, *number, found.verified):
        how = f"quadrature gives {float(number[0]):.12g}, which does not confirm it"
    else:
        status, how = "verified", how if found.verified else "numeric"
    return replace(
        found, problem=shown, expression=value, status=status, how=how,
        holds=f"numerically {shown_value.real:.15g}", seconds=time.perf_counter() - started,
    )  # fmt: skip


def _real(e: Expr) -> float:
    if e.free:
        raise InputError(f"a limit must be a number, got {e}")
    z = complex(Program(e).complex({})[0])
    if not np.isfinite(z.real) or abs(z.imag) > 1e-12:
        raise InputError(f"a limit must be a real number, got {e}")
    return z.real


def _finite(f: Expr, x: str, low: float, high: float) -> None:
    """Raise `Singular` unless f is bounded and real on pieces that cover [low, high]."""
    from flint import acb, arb, ctx

    program = Program(f)
    before, ctx.prec = ctx.prec, 80
    try:
        stack = [(low, high, 0)]
        while stack:
            left, right, depth = stack.pop()
            middle, radius = (left + right) / 2, (right - left) / 2
            try:
                value = program.balls({x: acb(arb(middle, radius))})[0]
                good = value.is_finite() and value.imag.contains(0)
            except (ValueError, ZeroDivisionError):
                good = False
            if good:
                continue
            if depth > 40 or len(stack) > 4000:
                at = middle
                raise Singular(
                    f"the integrand is singular or not real near {x} = {at:.6g}",
                    hint="Split the interval there, or take one-sided limits.",
                )
            stack += [(left, middle, depth + 1), (middle, right, depth + 1)]
    finally:
        ctx.prec = before


def _difference(
    big: Expr, x: str, low: Expr, high: Expr, points: np.ndarray, reverse: bool
) -> Expr | None:
    """F(high) - F(low) less the jumps of F, each of which must be recognised as a multiple of a
    simple constant."""
    symbol = ex.symbol(x)
    try:
        plain = ex.substitute(big, {symbol: high}) - ex.substitute(big, {symbol: low})
    except ex.Undefined:
        return None
    values = Program(big).complex({x: points})[0]
    values = np.broadcast_to(values, points.shape)
    if not np.isfinite(values).all():
        return None
    steps = np.diff(values)
    usual = np.median(np.abs(steps)) + 1e-12
    jumps = np.nonzero(np.abs(steps) > 200 * usual + 1e-7)[0]
    if len(jumps) > 40:
        return None
    total = complex(0)
    for j in jumps:
        after = int(j) + 1 if j + 1 < len(steps) else int(j) - 1
        total += steps[j] - (steps[j - 1] + steps[after]) / 2
    if not len(jumps):
        return plain
    return _without_jump(plain, big, total * (-1 if reverse else 1))


def _without_jump(plain: Expr, big: Expr, total: complex) -> Expr | None:
    """plain minus the jumps, which are rational multiples of pi times the factor of an atan."""
    coefficients: list[Expr] = [ex.ONE]
    terms = big.args if big.op == "add" else (big,)
    for term in terms:
        factors = term.args if term.op == "mul" else (term,)
        if any(g.op in ("atan", "acot", "asin", "acos", "log") for g in factors):
            rest = ex.mul([g for g in factors if not g.free])
            coefficients.append(rest)
    for c in coefficients:
        size: Any = complex(Program(c * ex.PI).complex({})[0])
        ratio = total / size
        if abs(ratio.imag) < 1e-3:
            near = Fraction(ratio.real).limit_denominator(4)
            if near and abs(float(near) - ratio.real) < 2e-3:
                return plain - ex.number(near) * c * ex.PI
    return None


def _plain_number(value: Expr) -> Expr:
    """With the values that SymPy knows of functions at simple numbers: cos(pi/2) is 0."""
    from sciml.symbolic.printing import from_sympy, to_sympy

    try:
        return from_sympy(to_sympy(value))
    except InputError:
        return value


def _agree(value: Expr, number: Any, error: float, verified: bool) -> bool:
    """Whether what quadrature found, `number` up to `error`, confirms the exact value."""
    from flint import ctx

    before, ctx.prec = ctx.prec, _PRECISION
    try:
        gap = abs(Program(value).balls({})[0] - number)
        if not gap.is_finite():
            return False
        scale = max(1.0, abs(float(number)))
        if verified:
            return float(gap.upper()) <= _TOLERANCE * scale
        return float(gap.upper()) + error <= _STRICT * scale
    finally:
        ctx.prec = before


def _quadrature(f: Expr, x: str, low: Expr, high: Expr) -> tuple[Any, float] | None:
    """The integral by Arb's rigorous quadrature, or by Scipy's adaptive rule, and its error; None
    where neither converges."""
    from flint import acb, arb, ctx

    cut = [n.args[0] for n in ex.subtrees(f) if x in n.free and _has_cut(n)]
    program = Program(f, *cut)

    def value_at(z: Any, analytic: bool) -> Any:
        """Not a number where the quadrature asks for an analytic function and finds a cut."""
        out, *arguments = program.balls({x: z})
        if analytic and any(u.imag.contains(0) and not u.real > 0 for u in arguments):
            return acb("nan")
        return out

    before, ctx.prec = ctx.prec, _PRECISION
    try:
        a, b = (acb(Program(end).balls({})[0].real) for end in (low, high))
        value = None
        if not any(n.op in _NOT_ANALYTIC for n in ex.subtrees(f)):
            value = acb.integral(value_at, a, b, eval_limit=20000)
        if value is not None and value.is_finite() and float(value.real.rad()) < 1e-9:
            return value.real.mid(), float(value.real.rad())
        found = _plain_quadrature(program, x, float(a.real), float(b.real))
        return found and (arb(found[0]), found[1])
    except (ValueError, ZeroDivisionError, OverflowError):
        return None
    finally:
        ctx.prec = before


def _has_cut(n: Expr) -> bool:
    """Whether the function is analytic but where its argument is a real number below 0."""
    if n.op == "pow":
        return n.args[1].op != "num" or n.args[1].value.denominator > 1
    return n.op == "log"


def _plain_quadrature(program: Program, x: str, a: float, b: float) -> tuple[float, float] | None:
    """Scipy's adaptive rule, for integrands that are not analytic."""
    from scipy.integrate import quad

    value, error = quad(lambda t: float(program.complex({x: t})[0].real), a, b, limit=400)
    return (value, error) if error < 1e-8 * max(1.0, abs(value)) else None
