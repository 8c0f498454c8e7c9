"""Change of the independent variable in linear second-order equations: t(x) = 1/x, exp(x), and sin,
cos or tan of the common angle of the circular functions make the coefficients rational.

With t' and t'', the equation y'' + p y' + q y = 0 becomes
u'' + (t'' + p t')/t'**2 u' + q/t'**2 u = 0 for u(t).
"""

from __future__ import annotations

from collections.abc import Iterator

from sciml.symbolic.algebra.rewriting import together
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.integration.rules import common_angle, in_sine_cosine
from sciml.symbolic.ode.tools import Context

NEW_VARIABLE = "_t"


def in_new_variable(p: Expr, q: Expr, c: Context) -> Iterator[tuple[Expr, Expr, Expr]]:
    """(P, Q, t(x)) with u'' + P u' + Q u = 0, where P and Q are functions of `NEW_VARIABLE`."""
    for new, old in _variables(p, q, c):
        first, second = new.diff(c.x), new.diff(c.x).diff(c.x)
        try:
            P, Q = (
                together(ex.substitute(e, old))
                for e in ((second + p * first) / first**2, q / first**2)
            )
        except (ex.TooLarge, ex.Undefined):
            continue
        if c.x not in P.free | Q.free:
            yield P, Q, new


def _variables(p: Expr, q: Expr, c: Context) -> Iterator[tuple[Expr, dict[Expr, Expr]]]:
    """(t(x), replacements of the functions of x by functions of t)."""
    t = ex.symbol(NEW_VARIABLE)
    functions = [n for e in (p, q) for n in ex.subtrees(e) if n.op in ex.NAMED]
    functions = [n for n in functions if c.x in n.free]
    if not functions:
        yield 1 / c.sx, {c.sx: 1 / t}
        return
    exponential = ex.call("exp", c.sx)
    if all(n.op == "exp" for n in functions):
        yield exponential, {c.sx: ex.call("log", t)}
        return
    angle = common_angle(functions, c.x)
    if angle is None:
        return
    s, k = ex.symbol("_s"), ex.symbol("_c")
    sine, cosine = ex.call("sin", angle), ex.call("cos", angle)
    nodes = [*functions, sine, cosine]
    mapping = in_sine_cosine(nodes, angle, c.x, s, k, "")
    if mapping is None:
        return
    cofunction, secant = ex.sqrt(1 - t**2), ex.sqrt(1 + t**2)
    for new, values in (
        (cosine, {s: cofunction, k: t}), (sine, {s: t, k: cofunction}),
        (ex.call("tan", angle), {s: t / secant, k: 1 / secant}),
    ):  # fmt: skip
        inner = {n: ex.substitute(v, values) for n, v in mapping.items()}
        inner[ex.call("tan", angle)] = values[s] / values[k]
        yield new, inner
