"""Roots of an equation, by SymPy; each must make the equation vanish, and for a polynomial their
number tells whether all are there."""

from __future__ import annotations

from dataclasses import dataclass

from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import TimeUp, at_most
from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import precision
from sciml.symbolic.operations.examples import ERRORS, examples, from_positive


@dataclass(frozen=True)
class Roots:
    """The confirmed roots, and a remark on whether there are more."""

    roots: list[Expr]
    note: str


def roots_of(f: Expr, x: str, seconds: float) -> Roots:
    """The roots of f = 0 that SymPy finds and substitution confirms."""
    import sympy as sp

    from sciml.symbolic.expr.printing import to_sympy

    symbol = sp.Symbol(x)
    equation = to_sympy(f)
    try:
        with at_most(0.8 * seconds):
            found = sp.solve(equation, symbol)
    except (TimeUp, *ERRORS):
        return Roots([], "no root was found")
    roots: list[Expr] = []
    for e in found[:100]:
        try:
            root = from_positive(e)
            if root not in roots and x not in root.free and _solves(f, x, root):
                roots.append(root)
        except ERRORS:
            continue
    numerator = sp.fraction(sp.together(equation))[0]
    complete = False
    if numerator.is_polynomial(symbol):
        squarefree = sp.Poly(numerator, symbol).sqf_part()
        complete = len(roots) == squarefree.degree()
    return Roots(roots, "all solutions" if complete else "there may be further solutions")


def _solves(f: Expr, x: str, root: Expr) -> bool:
    """Whether the terms of f cancel at the root, to 60 digits, for positive constants."""
    terms = f.args if f.op == "add" else (f,)
    placed = [ex.substitute(t, {ex.symbol(x): root}) for t in terms]
    if ex.add(placed) is ex.ZERO:
        return True
    names = sorted(frozenset().union(*(t.free for t in placed)))
    for example in examples(names):
        with precision(400):
            values = Program(*(ex.substitute(t, example) for t in placed)).balls({})
            if not all(v.is_finite() for v in values):
                return False
            total, size = values[0], abs(values[0]).upper()
            for v in values[1:]:
                total, size = total + v, size + abs(v).upper()
            if len(values) == 1:
                size = size + 1
            if not (total.contains(0) and abs(total).upper() <= size * 1e-60):
                return False
    return True
