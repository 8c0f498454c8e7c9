"""Rigorous quadrature: balls that are proved to hold an integral.

Arb's adaptive Gauss-Legendre rule (Johansson 2018, "Numerical integration in arbitrary-precision
ball arithmetic") bounds its error from the values of f on complex ellipses, wherever f is analytic
on them. So every function with a cut or a corner must say whether its argument keeps clear.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sciml.symbolic.expr.evaluate import BALLS, FOLDS, Program
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import Chart

BITS = 80
"""Relative accuracy asked for."""
EVALUATIONS = 40_000
ERRORS = (ValueError, ZeroDivisionError, OverflowError, ArithmeticError)
Ball = Any


def _crosses(z: Ball, low: bool, above: float) -> bool:
    """Whether z may meet the real numbers beyond `above` (on the low or on the high side)."""
    if not z.imag.contains(0):
        return False
    return not (z.real > above if low else z.real < above)


def _outside(z: Ball) -> bool:
    """Whether z may meet the real numbers beyond 1 or below -1."""
    return _crosses(z, False, 1) or _crosses(z, True, -1)


def _crosses_axis(z: Ball) -> bool:
    """Whether z may meet the imaginary axis beyond i and -i."""
    return bool(z.real.contains(0)) and not abs(z.imag) < 1


_CUTS: dict[str, Callable[[Ball], bool]] = {
    "asin": _outside, "acos": _outside, "atanh": _outside,
    "atan": _crosses_axis, "asinh": _crosses_axis,
    "acosh": lambda z: _crosses(z, True, 1),
    "Ei": lambda z: _crosses(z, True, 0), "Ci": lambda z: _crosses(z, True, 0),
    "Chi": lambda z: _crosses(z, True, 0), "li": lambda z: _crosses(z, True, 1),
    "dilog": lambda z: _crosses(z, False, 1),
}  # fmt: skip
_INVERTED = {"acot": "atan", "asec": "acos", "acsc": "asin", "acoth": "atanh", "asech": "acosh",
             "acsch": "asinh"}  # fmt: skip


def analytic(program: Program, values: dict[str, Ball], flag: bool) -> list[Ball]:
    """The outputs; not finite, where `flag` asks for an analytic function and it may not be one.

    abs and sign stand for their analytic continuations from the real line.
    """
    from flint import acb, arb, fmpq

    done: list[Ball] = []
    for op, args, value in program.steps:
        if op == "num":
            out = acb(arb(fmpq(value.numerator, value.denominator)))
        elif op == "sym":
            out = acb(values[value])
        elif op == "pi":
            out = acb.pi()
        elif op == "I":
            out = acb(0, 1)
        elif op in FOLDS:
            out = done[args[0]]
            for i in args[1:]:
                out = FOLDS[op](out, done[i])
        elif op == "pow":
            z = done[args[0]]
            if value is not None and value.denominator == 1:
                out = z ** int(value.numerator)
            elif value is not None and value.denominator == 2:
                out = z.sqrt(analytic=flag) ** int(value.numerator)
            else:
                out = (z.log(analytic=flag) * done[args[1]]).exp()
        elif op == "log":
            out = done[args[0]].log(analytic=flag)
        elif op == "abs":
            out = done[args[0]].real_abs(analytic=flag)
        elif op == "sign":
            out = done[args[0]].real_sgn(analytic=flag)
        else:
            z = done[args[0]]
            name = _INVERTED.get(op, op)
            z = z if name == op else 1 / z
            if flag and name in _CUTS and (not z.is_finite() or _CUTS[name](z)):
                out = acb("nan")
            else:
                out = BALLS[name](z)
        done.append(out)
    return [done[i] for i in program.outputs]


def real_where_it_matters(f: Expr, x: str, points: list[Any]) -> bool:
    """Whether the arguments of abs and sign are real at the points, as `analytic` assumes."""
    from sciml.symbolic.expr import expression as ex

    inner = [n.args[0] for n in ex.subtrees(f) if n.op in ("abs", "sign") and x in n.free]
    if not inner:
        return True
    program = Program(*inner)
    return all(z.imag == 0 for p in points for z in program.balls({x: p}))


def enclosure(
    program: Program,
    x: str,
    chart: Chart,
    near: tuple[bool, bool],
    depth: int,
    scale: Any = 0,
    bits: int = BITS,
    evaluations: int = EVALUATIONS,
) -> Ball:
    """A ball that holds the integral of the program's first output over most of a chart.

    Args:
        near: whether to stop short of s = 0 and of s = 1, where f is not bounded.
        depth: then at 2**-depth, in the variable u with s = exp(-u).
        scale: what the integral is compared with, where that is more than itself.
        bits: relative accuracy asked for.
        evaluations: of the integrand, at most.

    Returns:
        The ball; not finite where the rule does not converge.
    """
    from flint import acb, arb

    def integral(g: Callable[[Ball, bool], Ball], low: Any, high: Any) -> Ball:
        return _integral(g, low, high, scale, bits, evaluations)

    def plain(s: Ball, flag: bool) -> Ball:
        return _value(program, x, chart, s, flag)

    def left(u: Ball, flag: bool) -> Ball:
        s = (-u).exp()
        return _value(program, x, chart, s, flag) * s

    def right(u: Ball, flag: bool) -> Ball:
        s = (-u).exp()
        return _value(program, x, chart, 1 - s, flag) * s

    zero, one = arb(0), arb(1)
    end = depth * arb(2).log()
    middle = one / 2 if near[1] else one
    total = acb(0)
    if chart.far or near[0]:
        total += integral(left, -middle.log(), end)
    else:
        total += integral(plain, zero, middle)
    if near[1]:
        total += integral(right, -(one - middle).log(), end)
    return total


def _value(program: Program, x: str, chart: Chart, s: Ball, flag: bool) -> Ball:
    """f(x(s)) |dx/ds|."""
    from flint import acb

    try:
        return analytic(program, {x: chart.at(s)}, flag)[0] * chart.slope(s)
    except ERRORS:
        return acb("nan")


def _integral(
    g: Callable[[Ball, bool], Ball], low: Any, high: Any, scale: Any, bits: int, evaluations: int
) -> Ball:
    from flint import acb, arb

    size = arb(0)
    for k in range(64):
        value = g(acb(low + (high - low) * (2 * k + 1) / 128), False)
        if value.is_finite():
            size += abs(value).mid() * (high - low) / 64
    goal = arb(2) ** -bits
    try:
        return acb.integral(
            g, acb(low), acb(high), rel_tol=goal, abs_tol=goal * max(size.mid(), arb(scale).mid()),
            eval_limit=evaluations, depth_limit=4 * BITS,
        )  # fmt: skip
    except ERRORS:
        return acb("nan")
