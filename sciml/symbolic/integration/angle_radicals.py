"""Roots of a (1 +- cos v) and a (1 +- sin v) in integrands that are otherwise functions of that
cosine or sine: half the angle makes them rational.

With 1 + cos w = 2 cos(w/2)**2 and t = sin(w/2), sqrt(a + a cos w) = k cos(w/2), where k is constant
between the zeros of the root, cos w = 1 - 2 t**2 and dw = 2 dt/cos(w/2); the odd powers of cos(w/2)
cancel. Factors of cos w beside 1 + cos w, as in a + a sec w, stay roots of 1 - 2 t**2. The other
cases are w = v + pi, v - pi/2, v + pi/2.

Source: Gradshteyn and Ryzhik 2.576.
"""

from __future__ import annotations

from collections.abc import Iterator

from sciml.symbolic.algebra.rewriting import expand, together
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import ONE, Expr
from sciml.symbolic.integration.substitution import Substitution, linear, proposed

_TRIG = ("sin", "cos", "tan", "cot", "sec", "csc")
_C, _S, _Q = ex.symbol("_c"), ex.symbol("_s"), ex.symbol("_q")
_HALF_PI = ex.PI / 2


def angle_radicals(f: Expr, x: str, t: str) -> Iterator[tuple[Expr, Substitution]]:
    """(k, substitution): f dx is k times the substitution's integrand dt, k constant between the
    zeros of a root."""
    nodes = [n for n in ex.subtrees(f) if n.op in _TRIG and x in n.free]
    if not nodes or any(n.args[0] is not nodes[0].args[0] for n in nodes):
        return
    v = nodes[0].args[0]
    if not linear(v, x):
        return
    roots = [n for n in ex.subtrees(f) if ex.is_radical(n) and x in n.free]
    if not roots or any(n.args[1].value.denominator != 2 for n in roots):
        return
    for cosine in (True, False):
        mapping = {n: _in(n.op, cosine) for n in nodes}
        for base in dict.fromkeys(n.args[0] for n in roots):
            inside = together(ex.substitute(base, mapping))
            for plus in (True, False):
                share = _share(inside, plus)
                if share is None:
                    continue
                found = _substituted(f, base, share, mapping, v, x, t, cosine, plus)
                if found is not None:
                    yield found


def _in(op: str, cosine: bool) -> Expr:
    """The function in terms of c = cos v and s = sin v, or of c = sin v and s = cos v."""
    sin, cos = (_S, _C) if cosine else (_C, _S)
    return {"sin": sin, "cos": cos, "tan": sin / cos, "cot": cos / sin, "sec": 1 / cos,
            "csc": 1 / sin}[op]  # fmt: skip


def _share(inside: Expr, plus: bool) -> tuple[Expr, int] | None:
    """(a, j) with inside = a (1 +- c) c**j; None for any other."""
    if "_s" in inside.free:
        return None
    one = 1 + _C if plus else 1 - _C
    for j in (0, -1):
        a = together(expand(inside * _C ** (-j)) / one)
        if not a.free & {"_c", "_s"}:
            return a, j
        slope = expand(inside * _C ** (-j)).diff("_c")
        if not slope.free & {"_c", "_s"}:
            a = slope if plus else -slope
            if expand(inside * _C ** (-j) - a * one) is ex.ZERO:
                return a, j
    return None


def _substituted(
    f: Expr, base: Expr, share: tuple[Expr, int], mapping: dict[Expr, Expr], v: Expr, x: str,
    t: str, cosine: bool, plus: bool,
) -> tuple[Expr, Substitution] | None:  # fmt: skip
    a, j = share
    new = ex.symbol(t)
    angle = v if cosine else v - _HALF_PI  # its cosine is c
    half = angle / 2 if plus else (angle + ex.PI) / 2  # so that 1 +- c = 2 cos(half)**2
    c = 1 - 2 * new**2 if plus else 2 * new**2 - 1
    values: dict[Expr, ex.ExprLike] = {}
    odd = False
    for n in ex.subtrees(f):
        if ex.is_radical(n) and n.args[0] is base:
            k = int(n.args[1].value * 2)
            values[n] = ex.symbol("_k") * (2 * a) ** ((k - 1) // 2) * _Q**k * ex.power(
                _C, ex.number(j * n.args[1].value))  # fmt: skip
            odd = True
    g = ex.substitute(ex.substitute(f, values), mapping)
    if not odd or x in g.free:
        return None
    k_symbol = ex.symbol("_k")
    factor = g.diff("_k")  # linear in k, the root of 2 a
    if "_k" in factor.free or expand(g - k_symbol * factor) is not ex.ZERO:
        return None
    even = ex.substitute(factor, {_S**2: 1 - _C**2, _S**4: (1 - _C**2) ** 2,
                                  _S**-2: 1 / (1 - _C**2)})  # fmt: skip
    if "_s" in even.free:
        return None
    g = even * 2 / (_Q * v.diff(x))
    rational = _without_odd_powers(g, 1 - new**2)
    if rational is None:
        return None
    substitution = proposed("half-angle substitution", ex.substitute(rational, {_C: c}), t,
                            ex.call("sin", half))  # fmt: skip
    if substitution is None:
        return None
    constant = ex.sqrt(base) / ex.call("cos", half)
    if j:
        cos_v = ex.call("cos" if cosine else "sin", v)
        constant = constant / ex.power(cos_v, ex.number(j) / 2)
    return constant, substitution


def _without_odd_powers(g: Expr, square: Expr) -> Expr | None:
    """g, a product, with the square in the place of q**2."""
    power, rest = 0, ONE
    for n in g.args if g.op == "mul" else (g,):
        if n is _Q or n.op == "pow" and n.args[0] is _Q and n.args[1].op == "num":
            power += 1 if n is _Q else int(n.args[1].value)
        elif "_q" in n.free:
            return None
        else:
            rest = rest * n
    return None if power % 2 else rest * square ** (power // 2)
