"""Rigorous quadrature: balls that are proved to contain an integral.

Arb's adaptive Gauss-Legendre rule (F. Johansson (2018), "Numerical integration in
arbitrary-precision ball arithmetic") bounds its error by the values of f on complex ellipses on
which f is analytic. So for every function with a branch cut or a corner, the evaluation must report
whether its argument may meet it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sciml.symbolic.expr.evaluate import BALLS, FOLDS, Program
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import Chart

BITS = 80
"""Default relative accuracy, in binary digits."""
EVALUATIONS = 40_000
BALL_ERRORS = (ValueError, ZeroDivisionError, OverflowError, ArithmeticError)
"""Raised by evaluation in balls where a function is undefined."""
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
_RECIPROCALS = {"acot": "atan", "asec": "acos", "acsc": "asin", "acoth": "atanh", "asech": "acosh",
             "acsch": "asinh"}  # fmt: skip


def evaluate_analytic(program: Program, values: dict[str, Ball], flag: bool) -> list[Ball]:
    """The outputs of the program; not finite if `flag` requires an analytic function and it may not
    be analytic.

    abs and sign are replaced by their analytic continuations from the real line.
    """
    from flint import acb, arb, fmpq

    values_of_steps: list[Ball] = []
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
            out = values_of_steps[args[0]]
            for i in args[1:]:
                out = FOLDS[op](out, values_of_steps[i])
        elif op == "pow":
            z = values_of_steps[args[0]]
            if value is not None and value.denominator == 1:
                out = z ** int(value.numerator)
            elif value is not None and value.denominator == 2:
                out = z.sqrt(analytic=flag) ** int(value.numerator)
            else:
                out = (z.log(analytic=flag) * values_of_steps[args[1]]).exp()
        elif op == "log":
            out = values_of_steps[args[0]].log(analytic=flag)
        elif op == "abs":
            out = values_of_steps[args[0]].real_abs(analytic=flag)
        elif op == "sign":
            out = values_of_steps[args[0]].real_sgn(analytic=flag)
        elif op == "floor":
            out = values_of_steps[args[0]].real_floor(analytic=flag)
        else:
            z = values_of_steps[args[0]]
            name = _RECIPROCALS.get(op, op)
            z = z if name == op else 1 / z
            if flag and name in _CUTS and (not z.is_finite() or _CUTS[name](z)):
                out = acb("nan")
            else:
                out = BALLS[name](z)
        values_of_steps.append(out)
    return [values_of_steps[i] for i in program.outputs]


def absolute_arguments_are_real(f: Expr, x: str, points: list[Any]) -> bool:
    """Whether the arguments of abs, sign and floor are real at the points, as `evaluate_analytic`
    assumes."""
    from sciml.symbolic.expr import expression as ex

    inner = [n.args[0] for n in ex.subtrees(f) if n.op in ("abs", "sign", "floor") and x in n.free]
    if not inner:
        return True
    program = Program(*inner)
    return all(z.imag == 0 for p in points for z in program.balls({x: p}))


def integrate_chart(
    program: Program,
    x: str,
    chart: Chart,
    singular: tuple[bool, bool],
    depth: int | tuple[int, int],
    scale: Any = 0,
    bits: int = BITS,
    evaluations: int = EVALUATIONS,
) -> Ball:
    """A ball that contains the integral of the program's first output over most of a chart.

    Args:
        program, x: the integrand and its variable.
        chart: the part of the line.
        singular: whether to stop short of s = 0 and of s = 1, where f is not bounded.
        depth: distance 2**-depth at which to stop, the same or one for each end; there the
            variable is u with s = exp(-u).
        scale: the accuracy is relative to this size, if it exceeds that of the integral.
        bits: relative accuracy, in binary digits.
        evaluations: limit on evaluations of the integrand.

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
    first, last = depth if isinstance(depth, tuple) else (depth, depth)
    middle = one / 2 if singular[1] else one
    total = acb(0)
    if chart.far or singular[0]:
        total += integral(left, -middle.log(), first * arb(2).log())
    else:
        total += integral(plain, zero, middle)
    if singular[1]:
        total += integral(right, -(one - middle).log(), last * arb(2).log())
    return total


def _value(program: Program, x: str, chart: Chart, s: Ball, flag: bool) -> Ball:
    """f(x(s)) |dx/ds|."""
    from flint import acb

    try:
        return evaluate_analytic(program, {x: chart.at(s)}, flag)[0] * chart.slope(s)
    except BALL_ERRORS:
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
    except BALL_ERRORS:
        return acb("nan")
