"""Dilogarithms: the integral of R(x) L(x) for a rational R and a function L whose derivative is
rational with simple poles, such as log(P), atan(x/2) or atanh(1/x).

The rational part of the integral of R is removed by parts. With L' = sum m_a / (x - a) and the
remaining square-free part h/s = sum r_b / (x - b) of R, the integral of L h/s is
sum r_b m_a D(a, b) + (L - sum m_a log(x - a)) sum r_b log(x - b), where
D(a, b) = log(x - a) log((x - b)/(a - b)) + Li2((x - a)/(b - a)). The bracket is constant between
branch cuts, so the formula holds on every interval between them. Source: L. Lewin, "Polylogarithms
and Associated Functions" (1981), section 8.
"""

from __future__ import annotations

from dataclasses import dataclass

from flint import fmpq_poly

from sciml.symbolic.algebra.univariate import as_rational
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.integration.rational_functions import (
    horowitz_ostrogradsky,
    integrate_rational,
    roots_in_closed_form,
    to_expr,
    value_at,
)
from sciml.symbolic.integration.root_sums import Complex

_LOGARITHMIC = ("log", "atan", "atanh", "acot", "acoth", "asinh", "acosh", "asin", "acos")
_MAX_PAIRS = 36


@dataclass(frozen=True)
class Pole:
    """A simple pole `at` with its residue; `number` is the value of `at`."""

    at: Expr
    residue: Expr
    number: complex


def integrate_with_logarithm(f: Expr, x: str) -> Expr | None:
    """An antiderivative of an integrand that is linear in one such L, or None."""
    if f.free != {x}:
        return None
    candidates = [n for n in ex.subtrees(f) if n.op in _LOGARITHMIC and x in n.free]
    if len(candidates) != 1:
        return None
    (L,) = candidates
    symbol_L = ex.symbol("_L")
    with_symbol = ex.substitute(f, {L: symbol_L})
    factor = with_symbol.diff("_L")
    if "_L" in factor.free:
        return None
    slope = as_rational(L.diff(x), x)
    ratio = as_rational(factor, x)
    rest = integrate_rational(ex.substitute(with_symbol, {symbol_L: ex.ZERO}), x)
    if slope is None or ratio is None or rest is None:
        return None
    polynomial, proper = divmod(ratio[0], ratio[1])
    numerator, denominator, h, s = horowitz_ostrogradsky(proper, ratio[1])
    symbol = ex.symbol(x)
    rational_part = to_expr(numerator, symbol) / to_expr(denominator, symbol)
    outside = to_expr(polynomial.integral(), symbol) + rational_part
    by_parts = integrate_rational(outside * L.diff(x), x)
    if by_parts is None:
        return None
    out = rest + outside * L - by_parts
    if not h:
        return out
    inner_poles, outer_poles = _poles(*slope), _poles(h, s)
    if inner_poles is None or outer_poles is None:
        return None
    if len(inner_poles) * len(outer_poles) > _MAX_PAIRS:
        return None
    terms = []
    for b in outer_poles:
        for a in inner_poles:
            terms.append(a.residue * b.residue * _integral_of_pair(a, b, symbol))
    logarithms = ex.add([a.residue * ex.call("log", symbol - a.at) for a in inner_poles])
    outer_logarithms = ex.add([b.residue * ex.call("log", symbol - b.at) for b in outer_poles])
    return out + ex.add(terms) + (L - logarithms) * outer_logarithms


def _integral_of_pair(a: Pole, b: Pole, x: Expr) -> Expr:
    """The integral of log(x - a) / (x - b): D(a, b) of the module's formula."""
    log_a = ex.call("log", x - a.at)
    if abs(a.number - b.number) < 1e-9:
        return log_a**2 / 2
    ratio = ex.call("log", (x - b.at) / (a.at - b.at))
    return log_a * ratio + ex.call("dilog", (x - a.at) / (b.at - a.at))


def _poles(n: fmpq_poly, d: fmpq_poly) -> list[Pole] | None:
    """The poles of n/d with their residues; None unless all are simple and have closed forms."""
    if n.degree() >= d.degree() or d.gcd(d.derivative()).degree():
        return None
    out = []
    for q, _ in d.factor()[1]:
        roots = roots_in_closed_form(q)
        if roots is None:
            return None
        slope = d.derivative()
        for root in roots:
            for z in (root,) if root.im is ex.ZERO else (root, Complex(root.re, -root.im)):
                numerator, slope_at = value_at(n % q, z), value_at(slope % q, z)
                c = numerator * slope_at.inverse()
                at = z.re + ex.I * z.im
                out.append(Pole(at, c.re + ex.I * c.im, complex(Program(at).complex({})[0])))
    return out
