"""The derivative of an answer whose special functions have locally constant factors.

The factor sqrt(1 - x) sqrt(1 + x)/sqrt(1 - x**2) of an elliptic integral has the derivative 0,
which its product rule hides: A' F would be evaluated at every point, for nothing. Whether
A = product of p**e is locally constant is decided exactly, as A'/A = sum e p'/p is rational.
"""

from __future__ import annotations

from sciml.symbolic.algebra import field as fd
from sciml.symbolic.algebra.field import Q0, Failure, Poly, Quotient
from sciml.symbolic.algebra.tower import Tower
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr

_ERRORS = (Failure, ex.TooLarge, ex.Undefined, ZeroDivisionError, RecursionError)
_MAX_SIZE = 600
_KINDS = ("variable", "constant", "imaginary", "sin", "cos", "tan", "exp", "log")
"""Kernels whose relations the tower knows."""


def derivative(answer: Expr, name: str) -> Expr:
    """d answer / d name; locally constant algebraic factors of special functions are constants."""
    if not any(n.op in ex.SPECIAL and name in n.free for n in ex.subtrees(answer)):
        return answer.diff(name)
    constants: dict[Expr, Expr] = {}
    terms = []
    for term in answer.args if answer.op == "add" else (answer,):
        factors = term.args if term.op == "mul" else (term,)
        special = [f for f in factors if _is_special(f, name)]
        rest = [f for f in factors if name in f.free and f not in special]
        constant = _constant_factors(rest, name) if special else []
        if constant:
            outside = ex.mul(constant)
            symbol = constants.setdefault(outside, ex.symbol(f"_A{len(constants)}"))
            term = ex.mul([symbol, *(f for f in factors if f not in constant)])
        terms.append(term)
    slope = ex.add([term.diff(name) for term in terms])
    return ex.substitute(slope, {symbol: value for value, symbol in constants.items()})


def _constant_factors(factors: list[Expr], name: str) -> list[Expr]:
    """All of the factors, or all but one, whose product is locally constant; else none."""
    for kept in (factors, *([g for g in factors if g is not f] for f in factors)):
        if len(kept) > 1 and is_locally_constant(ex.mul(kept), name):
            return kept
    return []


def _is_special(e: Expr, name: str) -> bool:
    return any(n.op in ex.SPECIAL and name in n.free for n in ex.subtrees(e))


def is_locally_constant(e: Expr, name: str) -> bool:
    """Whether a product of powers with constant exponents is proved to have the derivative 0."""
    parts: list[tuple[Expr, Expr]] = []
    if not _collect(e, ex.ONE, name, parts) or sum(ex.size(p) for p, _ in parts) > _MAX_SIZE:
        return False
    try:
        tower = Tower(name)
        bases = tower.convert_all([p for p, _ in parts])
        if any(k.kind not in _KINDS for k in tower.kernels):
            return False
        total: Quotient = Q0
        for (_, exponent), base in zip(parts, bases, strict=True):
            total = total + tower.convert(exponent) * tower.derivative(base) / base
        return _vanishes(tower, total.n)
    except _ERRORS:
        return False


def _vanishes(tower: Tower, p: Poly) -> bool:
    """Whether a polynomial is 0 by the relations of i and of square roots of constants."""
    p = tower.reduce(p)
    for i, kernel in enumerate(tower.kernels):
        degree = fd.degrees(p)[i] if p != 0 else 0
        root = kernel.kind == "constant" and kernel.expr.op == "pow"
        if degree < 2 or not root or kernel.expr.args[1] is not ex.HALF:
            continue
        radicand = tower.convert(kernel.expr.args[0])
        parts = fd.by_degree(p, i, degree)
        halves = [Q0, Q0]
        for k, c in enumerate(parts):
            halves[k % 2] = halves[k % 2] + Quotient(c) * radicand ** (k // 2)
        return all(_vanishes(tower, half.n) for half in halves)
    return bool(p == 0)


def _collect(e: Expr, exponent: Expr, name: str, parts: list[tuple[Expr, Expr]]) -> bool:
    """The factors p**k of e**exponent that depend on the variable; False where one is no power."""
    if name not in e.free:
        return True
    if e.op == "mul":
        return all(_collect(f, exponent, name, parts) for f in e.args)
    if e.op == "pow" and name not in e.args[1].free:
        return _collect(e.args[0], ex.mul((exponent, e.args[1])), name, parts)
    if e.op not in ("sym", "add", "sin", "cos", "exp", "sinh", "cosh"):
        return False
    parts.append((e, exponent))
    return True
