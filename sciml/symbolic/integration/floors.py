"""Integrands with floor(a x + b): an antiderivative that is continuous across the steps.

Between two steps n = floor(a x + b) is constant, and G(x, n) is an antiderivative. At the point x_k
where a x + b = k, it jumps by h(k) = G(x_k, k) - G(x_k, k - 1). If T(n) - T(n - 1) = h(n) for every
integer n, then G(x, n) - T(n) is continuous. T is an indefinite sum of h, which SymPy finds and a
proof of this identity confirms.

Source: D. J. Jeffrey and A. C. Norman (2004), "Not seeing the roots for the branches"; R. L.
Graham, D. E. Knuth and O. Patashnik, "Concrete Mathematics", section 2.6.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sciml.errors import InputError
from sciml.symbolic.algebra.rewriting import expand
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import TimeUp, at_most
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import simplify_constant

_NAME = "n__step"  # no user's symbol
STEP = ex.symbol(_NAME)
"""The number of a step, n."""
_S = ex.symbol("s__step")  # (-1)**n
_SECONDS = 3.0
_SMOOTH = frozenset("exp sin cos sinh cosh erf erfi Si Shi fresnels fresnelc atan asinh".split())


@dataclass(frozen=True)
class Stepwise:
    """An antiderivative; whether F' = f is proved, and whether F is proved to be continuous."""

    answer: Expr
    proved: bool
    continuous: bool


def integrate_between_steps(
    f: Expr, x: str, integrate: Callable[[Expr], tuple[Expr, bool] | None]
) -> Stepwise | None:
    """An antiderivative of f across the steps of floor(a x + b).

    Args:
        f, x: integrand and variable.
        integrate: antiderivative of an integrand without steps, and whether it is proved.

    Returns:
        None where the steps are not those of one linear function, or no antiderivative between
        them is found.
    """
    f = with_steps(f, x)
    nodes = [n for n in ex.subtrees(f) if n.op == "floor" and x in n.free]
    u = nodes[0].args[0]
    slope = u.diff(x)
    if x in slope.free:
        return None
    values: dict[Expr, ex.ExprLike] = {}
    for n in nodes:
        if n.args[0] is u:
            values[n] = STEP
        elif (whole := expand(n.args[0] + u)).op == "num" and whole.value.denominator == 1:
            values[n] = whole - 1 - STEP  # floor(-u) = -1 - floor(u) between the steps
        elif (whole := expand(n.args[0] - u)).op == "num" and whole.value.denominator == 1:
            values[n] = STEP + whole
        else:
            return None
    between = integrate(_with_parity(ex.substitute(f, values)))
    if between is None:
        return None
    G, proved = between
    G = ex.substitute(G, {_S: ex.power(ex.MINUS, STEP)})
    at_step = (STEP - ex.substitute(u, {ex.symbol(x): ex.ZERO})) / slope
    try:
        before = ex.substitute(G, {STEP: STEP - 1})
        height = ex.substitute(G - before, {ex.symbol(x): at_step})
        total = indefinite_sum(expand(height))
    except (ex.Undefined, ex.TooLarge):
        return None
    whole_part = ex.call("floor", u)
    if total is None:
        return Stepwise(ex.substitute(G, {STEP: whole_part}), proved, False)
    answer = ex.substitute(G - total, {STEP: whole_part})
    smooth = all(n.op in _SMOOTH or _is_whole_power(n, x) for n in ex.subtrees(G) if x in n.free)
    return Stepwise(answer, proved, smooth)


def _sum_of_wave(t: Expr) -> Expr | None:
    """The indefinite sum of c cos(a n + b) or c sin(a n + b); None for other terms."""
    factors = t.args if t.op == "mul" else (t,)
    inside = [g for g in factors if _NAME in g.free]
    if len(inside) != 1 or inside[0].op not in ("sin", "cos"):
        return None
    angle = inside[0].args[0]
    a = angle.diff(_NAME)
    size = ex.call("sin", a / 2)
    if a.free or simplify_constant(size) is ex.ZERO:
        return None
    other, sign = ("sin", 1) if inside[0].op == "cos" else ("cos", -1)
    wave = ex.call(other, expand(angle + a / 2)) / (2 * size)
    return sign * ex.mul([wave, *(g for g in factors if g is not inside[0])])


_SIGNS: dict[str, Callable[[Expr], Expr]] = {
    "sin": lambda u: u / ex.PI, "cos": lambda u: u / ex.PI + ex.HALF,
    "tan": lambda u: 2 * u / ex.PI,
}  # fmt: skip
"""The sign of a circular function of u is (-1)**floor of this, but for its zeros."""


def has_steps(f: Expr, x: str) -> str:
    """ "floor" where f holds a floor, "sign" where it holds signs or absolute values of circular
    functions, else empty."""
    nodes = ex.subtrees(f)
    if any(n.op == "floor" and x in n.free for n in nodes):
        return "floor"
    return "sign" if any(_changes_sign(n, x) for n in nodes) else ""


def _changes_sign(n: Expr, x: str) -> bool:
    return n.op in ("abs", "sign") and n.args[0].op in _SIGNS and x in n.free


def with_steps(f: Expr, x: str) -> Expr:
    """f with signs of circular functions as powers of -1."""
    values: dict[Expr, ex.ExprLike] = {}
    for n in ex.subtrees(f):
        if _changes_sign(n, x):
            (q,) = n.args
            sign = ex.power(ex.MINUS, ex.call("floor", _SIGNS[q.op](q.args[0])))
            values[n] = sign if n.op == "sign" else sign * q
    return ex.substitute(f, values)


def integrate_between_signs(
    f: Expr, x: str, integrate: Callable[[Expr], tuple[Expr, bool] | None]
) -> Stepwise | None:
    """An antiderivative of f with abs(q) and sign(q), as if the signs were constants; it may jump
    where they change. Arguments as of `integrate_between_steps`."""
    inner = [n for n in ex.subtrees(f) if n.op in ("abs", "sign") and x in n.free]
    signs = {n.args[0]: ex.symbol(f"s__{i}") for i, n in enumerate(inner)}
    values: dict[Expr, ex.ExprLike] = {
        n: signs[n.args[0]] * (1 if n.op == "sign" else n.args[0]) for n in inner
    }
    if any(m.op in ("abs", "sign") for q in signs for m in ex.subtrees(q)):
        return None
    between = integrate(ex.substitute(f, values))
    if between is None:
        return None
    G, proved = between
    back: dict[Expr, ex.ExprLike] = {s: ex.call("sign", q) for q, s in signs.items()}
    return Stepwise(ex.substitute(G, back), proved, False)


def _is_whole_power(n: Expr, x: str) -> bool:
    """Whether the node is a sum, a product, or a power that has no singular point."""
    if n.op == "pow":
        base, exponent = n.args
        whole = exponent.op == "num" and exponent.value.denominator == 1 and exponent.value > 0
        return whole or (x not in base.free and x in exponent.free)
    return n.op in ("sym", "add", "mul")


def _with_parity(f: Expr) -> Expr:
    """f with (-1)**(n + k) in terms of one symbol for (-1)**n."""
    parities: dict[Expr, ex.ExprLike] = {}
    for n in ex.subtrees(f):
        if n.op == "pow" and n.args[0] is ex.MINUS and _NAME in n.free:
            for sign in (1, -1):
                k = expand(n.args[1] - sign * STEP)
                if k.op == "num" and k.value.denominator == 1:
                    parities[n] = _S if k.value.numerator % 2 == 0 else -_S
    return ex.substitute(f, parities)


def indefinite_sum(h: Expr) -> Expr | None:
    """T with T(n) - T(n - 1) = h(n), proved as an identity; None where none is found."""
    import sympy as sp

    from sciml.symbolic.expr.printing import from_sympy, to_sympy
    from sciml.symbolic.verification.proving import prove_identity

    if h is ex.ZERO:
        return ex.ZERO
    terms = expand(h).args if h.op == "add" else (h,)
    waves = {t: _sum_of_wave(t) for t in terms}
    if all(waves.values()):
        return ex.add([t for t in waves.values() if t is not None])
    k, n = sp.Symbol("_k", integer=True), sp.Symbol(_NAME, integer=True, positive=True)
    try:
        with at_most(_SECONDS):
            term = sp.expand(to_sympy(h, {_NAME: k}))  # cos(pi k) is (-1)**k there
            found = sp.expand(sp.simplify(sp.summation(term, (k, 1, n))))
        if found.has(sp.Sum, sp.Piecewise, sp.nan, sp.zoo, sp.oo):
            return None
        plain = sp.Symbol(_NAME)
        total, h = (from_sympy(e.xreplace({n: plain, k: plain})) for e in (found, term))
    except (TimeUp, InputError, ArithmeticError, TypeError, ValueError, AttributeError,
            NotImplementedError, RecursionError):  # fmt: skip
        return None
    step = total - ex.substitute(total, {STEP: STEP - 1})
    if expand(step - h) is ex.ZERO or prove_identity(step, h, _NAME, None, _SECONDS).holds:
        return total
    return None
