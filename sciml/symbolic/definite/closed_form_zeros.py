"""Zeros in closed form: the point that a narrow cell holds, solved for by hand.

Simple numbers are tried first; then polynomials in x, or in one function of x that can be inverted,
and sines and cosines of multiples of one angle. What is found is checked in ball arithmetic.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from sciml.symbolic.definite.discontinuities import BITS, Cell
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import ball, plain, precision

_ERRORS = (ValueError, ZeroDivisionError, OverflowError, ArithmeticError)

_POINTS = {"asin": (-1, 1), "acos": (-1, 1), "atanh": (-1, 1), "acosh": (-1, 1),
           "asec": (0, -1, 1), "acsc": (0, -1, 1), "acoth": (0, -1, 1), "asech": (0, -1, 1),
           "li": (0, 1), "dilog": (1,)}  # fmt: skip


def _equations(n: Expr) -> list[Expr]:
    """Expressions, one of which is zero where the node may be discontinuous."""
    u = n.args[0]
    if n.op in ("tan", "sec"):
        return [ex.call("cos", u)]
    if n.op in ("cot", "csc"):
        return [ex.call("sin", u)]
    return [u - p for p in _POINTS.get(n.op, (0,))]


def exact(cell: Cell, x: str) -> Expr | None:
    """The point of the cell in closed form; None where it is not found."""
    with precision(BITS):
        near = cell.ball()
        for n in sorted(cell.nodes, key=ex.size):
            for equation in _equations(n):
                found = locate(equation, x, near)
                if found is not None:
                    return found
    return None


def locate(q: Expr, x: str, near: Any) -> Expr | None:
    """The zero of q that lies in the ball `near`, in closed form."""
    try:
        return _locate(q, x, near, 0)
    except (ex.Undefined, ex.TooLarge, RecursionError, *_ERRORS):
        return None


def _zero_at(q: Expr, x: str, p: Expr) -> bool:
    try:
        value = ex.substitute(q, {ex.symbol(x): p})
    except (ex.Undefined, ex.TooLarge):
        return False
    if value is ex.ZERO:
        return True
    with precision(2 * BITS):
        z = ball(value)
        return bool(z.is_finite() and z.contains(0))


def touches(n: Expr, x: str, p: Expr | None) -> bool:
    """Whether what makes the node discontinuous happens exactly at p."""
    return p is not None and any(_zero_at(q, x, p) for q in _equations(n))


def _inside(p: Expr, near: Any) -> bool:
    z = ball(p)
    return bool(z.is_finite() and z.imag.contains(0) and z.real.overlaps(near))


def _locate(q: Expr, x: str, near: Any, depth: int) -> Expr | None:
    if x not in q.free or depth > 8:
        return None
    for p in _guesses(near):
        if _inside(p, near) and _zero_at(q, x, p):
            return p
    if q.op == "mul":
        for factor in q.args:
            found = _locate(factor, x, near, depth + 1)
            if found is not None:
                return found
        return None
    if q.op in ("pow", "abs", "sin", "sinh", "tan", "asin", "atan", "tanh", "log"):
        u = q.args[0]
        goals = [u - 1] if q.op == "log" else [u]
        if q.op in ("sin", "tan"):
            turn = _nearest(u, x, near, ex.PI)
            goals = [u - ex.number(turn) * ex.PI]
        return _first(goals, x, near, depth)
    if q.op == "cos":
        u = q.args[0]
        turn = _nearest(u - ex.PI / 2, x, near, ex.PI)
        return _first([u - (turn + Fraction(1, 2)) * ex.PI], x, near, depth)
    return _polynomial(q, x, near, depth)


def _first(goals: list[Expr], x: str, near: Any, depth: int) -> Expr | None:
    for goal in goals:
        found = _locate(goal, x, near, depth + 1)
        if found is not None:
            return found
    return None


def _guesses(near: Any) -> list[Expr]:
    """Simple rational numbers and rational multiples of pi that the ball may hold."""
    from flint import arb

    out = []
    for unit, size in ((ex.ONE, arb(1)), (ex.PI, arb.pi())):
        value = near / size
        middle = value.mid()
        limit = Fraction(str(middle.str(40, radius=False)))
        guess = limit.limit_denominator(10_000)
        if abs(guess) < 10**9:
            out.append(ex.number(guess) * unit)
    return out


def _nearest(u: Expr, x: str, near: Any, period: Expr) -> int:
    """The multiple of the period that u is nearest to."""
    value = Program(u / period).balls({x: near})[0].real
    return round(float(value.mid()))


def _polynomial(q: Expr, x: str, near: Any, depth: int) -> Expr | None:
    """Zeros of a polynomial in x, or in one function of x that can be inverted."""
    kernels = _kernels(q, x)
    if kernels is None:
        q, kernels = _half_angle(q, x)
        if kernels is None:
            return None
    (kernel,) = kernels
    target = ex.symbol("_k")
    poly = ex.substitute(q, {kernel: target}) if kernel.op != "sym" else ex.substitute(
        q, {ex.symbol(x): target})  # fmt: skip
    if x in poly.free:
        return None
    value = Program(kernel).balls({x: near})[0]
    for root in _roots(poly, "_k"):
        z = ball(root)
        if not z.is_finite() or not z.real.overlaps(value.real) or not z.imag.contains(0):
            continue
        if kernel.op == "sym":
            return root
        found = _invert(kernel, root, x, near, depth)
        if found is not None:
            return found
    return None


def _invert(kernel: Expr, root: Expr, x: str, near: Any, depth: int) -> Expr | None:
    """x with kernel(x) = root, near the ball."""
    from sciml.symbolic.algebra.rewriting import INVERSES

    u = kernel.args[0]
    if kernel.op == "pow":
        if kernel.args[1].op != "num":
            return None
        return _first([u - plain(ex.power(root, 1 / kernel.args[1]))], x, near, depth)
    if kernel.op not in INVERSES:
        return None
    start = plain(ex.call(INVERSES[kernel.op], root))
    goals = [start]
    if kernel.op in ("sin", "cos", "tan"):
        period = ex.PI if kernel.op == "tan" else 2 * ex.PI
        other = {"sin": [ex.PI - start], "cos": [-start], "tan": []}[kernel.op]
        goals = [g + ex.number(_nearest(u - g, x, near, period)) * period for g in (start, *other)]
    elif kernel.op == "cosh":
        goals = [start, -start]
    return _first([u - g for g in goals], x, near, depth)


def _kernels(q: Expr, x: str) -> list[Expr] | None:
    """The only function of x that q is a polynomial or a fraction in, outermost."""
    found: dict[Expr, None] = {}

    def walk(n: Expr) -> None:
        if x not in n.free:
            return
        if n.op in ("add", "mul"):
            for a in n.args:
                walk(a)
        elif n.op == "pow" and n.args[1].op == "num" and n.args[1].value.denominator == 1:
            walk(n.args[0])
        elif n.op == "pow" and n.args[1].op == "num":
            found[ex.power(n.args[0], ex.number(Fraction(1, n.args[1].value.denominator)))] = None
        else:
            found[n] = None

    walk(q)
    return list(found) if len(found) == 1 else None


def _half_angle(q: Expr, x: str) -> tuple[Expr, list[Expr] | None]:
    """sin, cos and tan of multiples of one angle as fractions in the tangent of its half."""
    nodes = [n for n in ex.subtrees(q) if n.op in ("sin", "cos", "tan") and x in n.free]
    if not nodes:
        return q, None
    unit = min((n.args[0] for n in nodes), key=ex.size)
    t = ex.call("tan", unit / 2)
    mapping: dict[Expr, ex.ExprLike] = {}
    turn = (1 - t**2) / (1 + t**2), 2 * t / (1 + t**2)
    for n in nodes:
        ratio = n.args[0] / unit
        if ratio.op != "num" or ratio.value.denominator > 1 or not 0 < ratio.value <= 8:
            return q, None
        c, s = ex.ONE, ex.ZERO
        for _ in range(int(ratio.value)):
            c, s = c * turn[0] - s * turn[1], s * turn[0] + c * turn[1]
        mapping[n] = {"cos": c, "sin": s, "tan": s / c}[n.op]
    q = ex.substitute(q, mapping)
    return q, _kernels(q, x)


def _roots(poly: Expr, name: str) -> list[Expr]:
    """Zeros in closed form of a fraction in one symbol: of factors of degree 1, 2 and of
    a k**n + b."""
    import sympy as sp

    from sciml.symbolic.expr.printing import from_sympy, to_sympy

    k = sp.Symbol(name)
    fractional = [n.args[1].value.denominator for n in ex.subtrees(poly)
                  if n.op == "pow" and n.args[1].op == "num"]  # fmt: skip
    if max(fractional, default=1) > 24:
        return []
    top, _ = sp.fraction(sp.together(to_sympy(poly)))
    try:
        factors = sp.factor_list(sp.expand(top), k)[1]
        out = []
        for factor, _ in factors:
            p = sp.Poly(factor, k)
            if p.degree() <= 2 or len(p.terms()) == 2:
                out += [from_sympy(sp.radsimp(r)) for r in sp.roots(p)]
        return out
    except (sp.PolynomialError, sp.CoercionFailed, NotImplementedError, ValueError):
        return []
