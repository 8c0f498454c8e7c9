"""R(x) L(x) for a rational R and a function L whose derivative is rational with simple poles, such
as log(P), atan(x/2) or atanh(1/x): by parts, and by one dilogarithm for each pair of poles.

With L' = sum m_a / (x - a) and a square-free part h/s = sum r_b / (x - b) left of R, the integral
of L h/s is sum r_b m_a D(a, b) + (L - sum m_a log(x - a)) sum r_b log(x - b), where D(a, b) =
log(x - a) log((x - b)/(a - b)) + Li2((x - a)/(b - a)). The bracket is constant between the cuts, so
that the formula is right on all of them. Source: L. Lewin, "Polylogarithms and Associated
Functions" (1981), section 8.
"""

from __future__ import annotations

from dataclasses import dataclass

from flint import fmpq_poly

from sciml.symbolic.algebra.univariate import as_rational
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.integration.ansatz.root_sums import Complex, Root
from sciml.symbolic.integration.rational_functions import (
    closed_roots,
    fraction,
    integrate_rational,
    shown,
    without_powers,
)

_INNER = ("log", "atan", "atanh", "acot", "acoth", "asinh", "acosh", "asin", "acos")
_MOST_PAIRS = 36


@dataclass(frozen=True)
class Pole:
    """A simple pole and its residue, both constants."""

    at: Expr
    residue: Expr
    number: complex


def integrate_with_logarithm(f: Expr, x: str) -> Expr | None:
    """An antiderivative of a function linear in one such L, or None."""
    if f.free != {x}:
        return None
    inner = [n for n in ex.subtrees(f) if n.op in _INNER and x in n.free]
    if len(inner) != 1:
        return None
    (level,) = inner
    mark = ex.symbol("_L")
    marked = ex.substitute(f, {level: mark})
    factor = marked.diff("_L")
    if "_L" in factor.free:
        return None
    slope = as_rational(level.diff(x), x)
    ratio = as_rational(factor, x)
    rest = integrate_rational(ex.substitute(marked, {mark: ex.ZERO}), x)
    if slope is None or ratio is None or rest is None:
        return None
    whole, proper = divmod(ratio[0], ratio[1])
    top, below, h, s = without_powers(proper, ratio[1])
    symbol = ex.symbol(x)
    outside = shown(whole.integral(), symbol) + shown(top, symbol) / shown(below, symbol)
    by_parts = integrate_rational(outside * level.diff(x), x)
    if by_parts is None:
        return None
    out = rest + outside * level - by_parts
    if not h:
        return out
    inner_poles, outer_poles = _poles(*slope), _poles(h, s)
    if inner_poles is None or outer_poles is None:
        return None
    if len(inner_poles) * len(outer_poles) > _MOST_PAIRS:
        return None
    terms = []
    for b in outer_poles:
        for a in inner_poles:
            terms.append(a.residue * b.residue * _pair(a, b, symbol))
    logarithms = ex.add([a.residue * ex.call("log", symbol - a.at) for a in inner_poles])
    others = ex.add([b.residue * ex.call("log", symbol - b.at) for b in outer_poles])
    return out + ex.add(terms) + (level - logarithms) * others


def _pair(a: Pole, b: Pole, x: Expr) -> Expr:
    """The integral of log(x - a) / (x - b)."""
    first = ex.call("log", x - a.at)
    if abs(a.number - b.number) < 1e-9:
        return first**2 / 2
    ratio = ex.call("log", (x - b.at) / (a.at - b.at))
    return first * ratio + ex.call("dilog", (x - a.at) / (b.at - a.at))


def _poles(n: fmpq_poly, d: fmpq_poly) -> list[Pole] | None:
    """The poles of n/d with their residues where all are simple and have closed forms."""
    if n.degree() >= d.degree() or d.gcd(d.derivative()).degree():
        return None
    out = []
    for q, _ in d.factor()[1]:
        found = closed_roots(q)
        if found is None:
            return None
        slope = d.derivative()
        for root in found:
            for z in (root,) if root.im is ex.ZERO else (root, Complex(root.re, -root.im)):
                top, below = _at(n % q, z), _at(slope % q, z)
                c = top * below.inverse()
                at = z.re + ex.I * z.im
                out.append(Pole(at, c.re + ex.I * c.im, complex(Program(at).complex({})[0])))
    return out


def _at(p: fmpq_poly, z: Root) -> Complex:
    total = Complex(ex.ZERO, ex.ZERO)
    for k, c in enumerate(p.coeffs()):
        total = total + z.power(k).scale(ex.number(fraction(c)))
    return total
