"""Zeros in closed form: the exact point in a narrow cell.

Simple numbers are tried first, then polynomials in x, or in one invertible function of x, and sines
and cosines of multiples of one angle. Every zero is checked in ball arithmetic.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from sciml.symbolic.definite.discontinuities import BITS, Cell
from sciml.symbolic.definite.quadrature import BALL_ERRORS
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import ball, precision, simplify_constant

_POINTS = {"asin": (-1, 1), "acos": (-1, 1), "atanh": (-1, 1), "acosh": (-1, 1),
           "asec": (0, -1, 1), "acsc": (0, -1, 1), "acoth": (0, -1, 1), "asech": (0, -1, 1),
           "li": (0, 1), "dilog": (1,)}  # fmt: skip


def _equations(n: Expr, x: str, near: Any) -> list[Expr]:
    """Expressions, one of which is zero where the node may be discontinuous near a ball."""
    u = n.args[0]
    if n.op == "floor":
        z = Program(u).balls({x: near})[0].real
        return [u - int((z.mid() + 0.5).floor().unique_fmpz())] if z.is_finite() else []
    if n.op in ("tan", "sec"):
        return [ex.call("cos", u)]
    if n.op in ("cot", "csc"):
        return [ex.call("sin", u)]
    return [u - p for p in _POINTS.get(n.op, (0,))]


def exact_point(cell: Cell, x: str) -> Expr | None:
    """The point in the cell in closed form; None where none is found."""
    with precision(BITS):
        near = cell.ball()
        for n in sorted(cell.nodes, key=ex.size):
            for equation in _equations(n, x, near):
                point = solve_near(equation, x, near)
                if point is not None:
                    return point
    return None


def solve_near(q: Expr, x: str, near: Any) -> Expr | None:
    """The zero of q in the ball `near`, in closed form; None where none is found."""
    try:
        return _solve(q, x, near, 0)
    except (ex.Undefined, ex.TooLarge, RecursionError, *BALL_ERRORS):
        return None


def _vanishes_at(q: Expr, x: str, p: Expr) -> bool:
    try:
        value = ex.substitute(q, {ex.symbol(x): p})
    except (ex.Undefined, ex.TooLarge):
        return False
    if value is ex.ZERO:
        return True
    with precision(2 * BITS):
        z = ball(value)
        return bool(z.is_finite() and z.contains(0))


def is_zero_of_node(n: Expr, x: str, p: Expr | None) -> bool:
    """Whether the node may be discontinuous exactly at p: p is a zero of one of its equations."""
    return p is not None and any(_vanishes_at(q, x, p) for q in _equations(n, x, ball(p)))


def _lies_in(p: Expr, near: Any) -> bool:
    z = ball(p)
    return bool(z.is_finite() and z.imag.contains(0) and z.real.overlaps(near))


def _solve(q: Expr, x: str, near: Any, depth: int) -> Expr | None:
    if x not in q.free or depth > 8:
        return None
    for p in _simple_numbers(near):
        if _lies_in(p, near) and _vanishes_at(q, x, p):
            return p
    if q.op == "mul":
        for factor in q.args:
            solution = _solve(factor, x, near, depth + 1)
            if solution is not None:
                return solution
        return None
    if q.op in ("pow", "abs", "sin", "sinh", "tan", "asin", "atan", "tanh", "log"):
        u = q.args[0]
        equations = [u - 1] if q.op == "log" else [u]
        if q.op in ("sin", "tan"):
            multiple = _nearest_multiple(u, x, near, ex.PI)
            equations = [u - ex.number(multiple) * ex.PI]
        return _first_solution(equations, x, near, depth)
    if q.op == "cos":
        u = q.args[0]
        multiple = _nearest_multiple(u - ex.PI / 2, x, near, ex.PI)
        return _first_solution([u - (multiple + Fraction(1, 2)) * ex.PI], x, near, depth)
    return _polynomial(q, x, near, depth)


def _first_solution(equations: list[Expr], x: str, near: Any, depth: int) -> Expr | None:
    for equation in equations:
        solution = _solve(equation, x, near, depth + 1)
        if solution is not None:
            return solution
    return None


def _simple_numbers(near: Any) -> list[Expr]:
    """Simple rational numbers and rational multiples of pi that the ball may contain."""
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


def _nearest_multiple(u: Expr, x: str, near: Any, period: Expr) -> int:
    """The integer k for which k times the period is nearest to u."""
    value = Program(u / period).balls({x: near})[0].real
    return round(float(value.mid()))


def _polynomial(q: Expr, x: str, near: Any, depth: int) -> Expr | None:
    """The zero of a polynomial in x, or in one invertible function of x."""
    kernels = _kernels(q, x)
    if kernels is None:
        q, kernels = _in_half_angle(q, x)
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
        solution = _invert(kernel, root, x, near, depth)
        if solution is not None:
            return solution
    return None


def _invert(kernel: Expr, root: Expr, x: str, near: Any, depth: int) -> Expr | None:
    """x in the ball with kernel(x) = root."""
    from sciml.symbolic.algebra.rewriting import INVERSES

    u = kernel.args[0]
    if kernel.op == "pow":
        if kernel.args[1].op != "num":
            return None
        return _first_solution(
            [u - simplify_constant(ex.power(root, 1 / kernel.args[1]))], x, near, depth
        )
    if kernel.op not in INVERSES:
        return None
    principal = simplify_constant(ex.call(INVERSES[kernel.op], root))
    solutions = [principal]
    if kernel.op in ("sin", "cos", "tan"):
        period = ex.PI if kernel.op == "tan" else 2 * ex.PI
        other = {"sin": [ex.PI - principal], "cos": [-principal], "tan": []}[kernel.op]
        solutions = [
            g + ex.number(_nearest_multiple(u - g, x, near, period)) * period
            for g in (principal, *other)
        ]
    elif kernel.op == "cosh":
        solutions = [principal, -principal]
    return _first_solution([u - g for g in solutions], x, near, depth)


def _kernels(q: Expr, x: str) -> list[Expr] | None:
    """The outermost function of x in which q is rational, as a list; None unless there is one."""
    kernels: dict[Expr, None] = {}

    def walk(n: Expr) -> None:
        if x not in n.free:
            return
        if n.op in ("add", "mul"):
            for a in n.args:
                walk(a)
        elif n.op == "pow" and n.args[1].op == "num" and n.args[1].value.denominator == 1:
            walk(n.args[0])
        elif n.op == "pow" and n.args[1].op == "num":
            kernels[ex.power(n.args[0], ex.number(Fraction(1, n.args[1].value.denominator)))] = None
        else:
            kernels[n] = None

    walk(q)
    return list(kernels) if len(kernels) == 1 else None


def _in_half_angle(q: Expr, x: str) -> tuple[Expr, list[Expr] | None]:
    """q with sin, cos and tan of multiples of one angle as rational functions of the tangent of
    half the angle, and its kernels."""
    nodes = [n for n in ex.subtrees(q) if n.op in ("sin", "cos", "tan") and x in n.free]
    if not nodes:
        return q, None
    unit = min((n.args[0] for n in nodes), key=ex.size)
    t = ex.call("tan", unit / 2)
    mapping: dict[Expr, ex.ExprLike] = {}
    cosine_sine = (1 - t**2) / (1 + t**2), 2 * t / (1 + t**2)
    for n in nodes:
        ratio = n.args[0] / unit
        if ratio.op != "num" or ratio.value.denominator > 1 or not 0 < ratio.value <= 8:
            return q, None
        c, s = ex.ONE, ex.ZERO
        for _ in range(int(ratio.value)):
            c, s = c * cosine_sine[0] - s * cosine_sine[1], s * cosine_sine[0] + c * cosine_sine[1]
        mapping[n] = {"cos": c, "sin": s, "tan": s / c}[n.op]
    q = ex.substitute(q, mapping)
    return q, _kernels(q, x)


def _roots(poly: Expr, name: str) -> list[Expr]:
    """Zeros in closed form of a rational function of one symbol: of its factors of degree 1 and 2,
    and of binomials a k**n + b."""
    import sympy as sp

    from sciml.symbolic.expr.printing import from_sympy, to_sympy

    k = sp.Symbol(name)
    fractional = [n.args[1].value.denominator for n in ex.subtrees(poly)
                  if n.op == "pow" and n.args[1].op == "num"]  # fmt: skip
    if max(fractional, default=1) > 24:
        return []
    numerator, _ = sp.fraction(sp.together(to_sympy(poly)))
    try:
        factors = sp.factor_list(sp.expand(numerator), k)[1]
        out = []
        for factor, _ in factors:
            p = sp.Poly(factor, k)
            if p.degree() <= 2 or len(p.terms()) == 2:
                out += [from_sympy(sp.radsimp(r)) for r in sp.roots(p)]
        return out
    except (sp.PolynomialError, sp.CoercionFailed, NotImplementedError, ValueError):
        return []
