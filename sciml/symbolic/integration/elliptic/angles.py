"""Square roots of linear functions of a sine or cosine, circular or hyperbolic, by elliptic
integrals of half the angle.

With X = sin(w/2)**2, cos(w) = 1 - 2 X and dw = dX/(sqrt(X) sqrt(1 - X)), so an integrand that is
even in sin(w) is algebraic in X, and asin(sqrt(X)) = w/2 goes on smoothly. A sine is the cosine of
w = v - pi/2, cosh(v) that of w = i v, and i sinh(v) that of w = i v - pi/2.

Source: Byrd and Friedman, Handbook of Elliptic Integrals (1971), 280-300.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sciml.symbolic.algebra.field import Failure
from sciml.symbolic.algebra.prepare import rational_ratio
from sciml.symbolic.algebra.rewriting import expand
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.integration.elliptic.integrals import (
    Elliptic,
    elliptic_form,
    integrate_form,
)
from sciml.symbolic.integration.substitution import linear

_CIRCULAR = ("sin", "cos", "tan", "cot", "sec", "csc")
_HYPERBOLIC = ("sinh", "cosh", "tanh", "coth", "sech", "csch")
_ERRORS = (Failure, ex.TooLarge, ex.Undefined, ZeroDivisionError)
_SINE, _COSINE, _X, _T = ex.symbol("_s"), ex.symbol("_c"), ex.symbol("_X"), ex.symbol("_T")
_MAX_MULTIPLE = 6


@dataclass(frozen=True)
class _Angle:
    """The angle w of one substitution: cos(w), sin(w) and w itself; and sine and cosine of the
    integrand in terms of the symbols of cos(w) and of the other function."""

    w: Expr
    cosine: Expr
    sine: Expr
    given_sine: Expr
    given_cosine: Expr


def integrate_elliptic_angle(f: Expr, x: str) -> Elliptic | None:
    """An antiderivative of such an integrand; None for any other."""
    nodes = [n for n in ex.subtrees(f) if n.op in (*_CIRCULAR, *_HYPERBOLIC) and x in n.free]
    roots = [n for n in ex.subtrees(f) if ex.is_radical(n) and x in n.free]
    if not nodes or not roots or any(n.args[1].value.denominator != 2 for n in roots):
        return None
    hyperbolic = nodes[0].op in _HYPERBOLIC
    if any((n.op in _HYPERBOLIC) != hyperbolic or not linear(n.args[0], x) for n in nodes):
        return None
    v = min((n.args[0] for n in nodes), key=lambda u: abs(_slope_number(u, nodes[0].args[0], x)))
    for angle in _angles(v, hyperbolic):
        try:
            g = _in_terms_of_angle(f, x, nodes, v, angle, hyperbolic)
            form = None if g is None else elliptic_form(g, "_X")
            found = None if form is None else integrate_form(form, _X, angle=True)
        except _ERRORS:
            continue
        if found is not None:
            return Elliptic(_back(found.answer, angle) / angle.w.diff(x), found.third_kind)
    return None


def _slope_number(u: Expr, other: Expr, x: str) -> float:
    ratio = rational_ratio(u.diff(x), other.diff(x), x)
    return 1e9 if ratio is None else float(ratio)


def _angles(v: Expr, hyperbolic: bool) -> Iterator[_Angle]:
    if hyperbolic:
        s, c = ex.call("sinh", v), ex.call("cosh", v)
        yield _Angle(ex.I * v, c, ex.I * s, -ex.I * _SINE, _COSINE)
        yield _Angle(ex.I * v - ex.PI / 2, ex.I * s, -c, -ex.I * _COSINE, -_SINE)
        return
    s, c = ex.call("sin", v), ex.call("cos", v)
    yield _Angle(v, c, s, _SINE, _COSINE)
    yield _Angle(v - ex.PI / 2, s, -c, _COSINE, -_SINE)


def _in_terms_of_angle(
    f: Expr, x: str, nodes: list[Expr], v: Expr, angle: _Angle, hyperbolic: bool
) -> Expr | None:
    """f dx/dw as an algebraic function of X; None where it is not even in sin(w)."""
    mapping = {}
    for n in nodes:
        k = rational_ratio(n.args[0].diff(x), v.diff(x), x)
        if k is None or k.denominator != 1 or abs(k) > _MAX_MULTIPLE:
            return None
        if expand(n.args[0] - ex.number(k) * v) is not ex.ZERO:
            return None
        s, c = angle.given_sine, angle.given_cosine
        a, b = s, c
        for _ in range(abs(int(k)) - 1):
            sign = 1 if hyperbolic else -1
            a, b = expand(a * c + b * s), expand(b * c + sign * a * s)
        a = a if k > 0 else -a
        kind = n.op[:-1] if hyperbolic else n.op
        mapping[n] = {"sin": a, "cos": b, "tan": a / b, "cot": b / a, "sec": 1 / b, "csc": 1 / a}[
            kind
        ]
    g = ex.substitute(f, mapping)
    squares = {
        n: (1 - _COSINE**2) ** (n.args[1].value.numerator // 2)
        for n in ex.subtrees(g)
        if n.op == "pow" and n.args[0] is _SINE and n.args[1].op == "num"
        and n.args[1].value.denominator == 1 and n.args[1].value % 2 == 0
    }  # fmt: skip
    g = ex.substitute(g, squares)
    if x in g.free or "_s" in g.free:
        return None
    g = ex.substitute(g, {_COSINE: 1 - 2 * _X})
    return g / (ex.sqrt(_X) * ex.sqrt(1 - _X))


def _back(answer: Expr, angle: _Angle) -> Expr:
    """The answer in terms of the angle. sqrt(X) sqrt(1 - X) is sin(w)/2; neither root occurs
    alone."""
    out = ex.substitute(answer, {ex.call("asin", ex.sqrt(_X)): angle.w / 2})
    out = ex.substitute(out, {ex.sqrt(_X): _T, ex.sqrt(1 - _X): angle.sine / (2 * _T)})
    out = ex.substitute(out, {_X: (1 - angle.cosine) / 2})
    if "_T" in out.free:
        raise ex.Undefined("a root that does not cancel")
    return out
