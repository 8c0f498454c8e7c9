"""Linear equations of any order with constant coefficients, which may be symbols: roots of the
characteristic polynomial and undetermined coefficients.

With y = Q(x) exp(m x) the equation P(D) y = x**n exp(m x) is sum_k P^(k)(m) / k! Q^(k) = x**n,
solved from the highest power down; the first s coefficients vanish where m is a root of order s.

Source: E. A. Coddington and N. Levinson, "Theory of Ordinary Differential Equations" (1955),
chapter 3, section 6.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import comb

from sciml.symbolic.algebra.rewriting import expand
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.ode.constant_coefficients import (
    MAX_DEGREE,
    MAX_TERMS,
    Pair,
    Term,
    is_zero,
    over,
    read_term,
    times,
    with_polynomial,
)
from sciml.symbolic.ode.tools import Context, Proposal, is_independent, tidy, without_symbol

_LARGEST_ROOT = 40
"""Nodes of a root; the roots of general cubics are larger, and useless."""
_ZERO: Pair = (ex.ZERO, ex.ZERO)


def linear_coefficients(residual: Expr, c: Context, order: int) -> tuple[list[Expr], Expr] | None:
    """([a0, ..., an], r) with residual = a0 y + a1 y' + ... - r; None for a nonlinear equation."""
    names = [c.y + "'" * k for k in range(order + 1)]
    zero = {ex.symbol(name): ex.ZERO for name in names}
    coefficients = []
    for name in names:
        a = residual.diff(name)
        if not all(is_independent(a, other) for other in names):
            return None
        try:
            coefficients.append(tidy(ex.substitute(tidy(a), zero)))
        except ex.Undefined:
            return None
    return coefficients, tidy(-ex.substitute(residual, zero))


def constant_coefficient_proposals(residual: Expr, c: Context, order: int) -> Iterator[Proposal]:
    """The general solution of a linear equation with constant coefficients."""
    linear = linear_coefficients(residual, c, order)
    if linear is None:
        return
    coefficients, r = linear
    leading = coefficients[-1]
    constant = [without_symbol(tidy(a / leading), c, c.x) for a in coefficients]
    known = [a for a in constant if a is not None]
    if len(known) <= order:
        return
    system = fundamental_system(known, c.sx)
    if system is None:
        return
    general = ex.add([ex.symbol(f"c{k}") * u for k, u in enumerate(system, 1)])
    if r is ex.ZERO:
        yield "explicit", general, "constant coefficients"
        return
    particular = undetermined_coefficients(known, tidy(r / leading), c.x)
    if particular is not None:
        yield "explicit", general + particular, "constant coefficients, undetermined coefficients"


def fundamental_system(coefficients: list[Expr], x: Expr) -> list[Expr] | None:
    """Independent solutions of a0 y + a1 y' + ... + y^(n) = 0 in exp, cos and sin."""
    import sympy as sp

    from sciml.errors import InputError
    from sciml.symbolic.expr.printing import from_sympy, to_sympy

    names = sorted(frozenset().union(*(a.free for a in coefficients)))
    symbols = {name: sp.Symbol(name, positive=True) for name in names}
    plain = {s: sp.Symbol(s.name) for s in symbols.values()}
    m = sp.Symbol("_m")
    polynomial = sp.Poly([to_sympy(a, symbols) for a in reversed(coefficients)], m)
    roots = sp.roots(polynomial)
    if sum(roots.values()) != len(coefficients) - 1:
        return None
    out: list[Expr] = []
    for root, count in sorted(roots.items(), key=lambda item: sp.default_sort_key(item[0])):
        try:
            growth, turn = (
                from_sympy(sp.simplify(part).xreplace(plain)) for part in root.as_real_imag()
            )
        except InputError:
            return None
        if ex.size(growth) + ex.size(turn) > _LARGEST_ROOT:
            return None
        if turn is not ex.ZERO and ex.negative(turn):
            continue  # its conjugate is there, too
        base = ex.call("exp", growth * x)
        waves = (
            [ex.ONE] if turn is ex.ZERO else [ex.call("cos", turn * x), ex.call("sin", turn * x)]
        )
        out += [x**k * base * wave for k in range(count) for wave in waves]
    return out if len(out) == len(coefficients) - 1 else None


def undetermined_coefficients(coefficients: list[Expr], r: Expr, x: str) -> Expr | None:
    """A particular solution of a0 y + ... + y^(n) = r; None unless r is a sum of products of powers
    of x, exponentials, and one sine or cosine of linear arguments."""
    expanded = expand(r)
    terms = expanded.args if expanded.op == "add" else (expanded,)
    if len(terms) > MAX_TERMS:
        return None
    solutions = []
    for term in terms:
        parsed = read_term(term, x)
        if parsed is None or parsed.power > MAX_DEGREE:
            return None
        solutions.append(_solution_for_term(parsed, coefficients, x))
    return ex.add(solutions)


def _taylor(coefficients: list[Expr], m: Pair) -> list[Pair]:
    """P^(k)(m) / k! for k = 0, ..., n."""
    powers: list[Pair] = [(ex.ONE, ex.ZERO)]
    for _ in coefficients:
        powers.append(times(powers[-1], m))
    out = []
    for k in range(len(coefficients)):
        parts = [(a * comb(j, k), powers[j - k]) for j, a in enumerate(coefficients) if j >= k]
        out.append((tidy(ex.add([a * z[0] for a, z in parts])),
                    tidy(ex.add([a * z[1] for a, z in parts]))))  # fmt: skip
    return out


def _solution_for_term(t: Term, coefficients: list[Expr], x: str) -> Expr:
    p = _taylor(coefficients, (t.growth, t.turn))
    s = next(k for k, value in enumerate(p) if not is_zero(value))
    n = t.power
    # W = Q^(s) satisfies p_s W + p_(s+1) W' + ... = x**n; W_j is its coefficient of x**j.
    W: list[Pair] = [_ZERO] * (n + 1)
    for j in range(n, -1, -1):
        rest: Pair = (ex.ONE, ex.ZERO) if j == n else _ZERO
        for k in range(1, min(len(p) - s, n - j + 1)):
            factor = 1
            for i in range(k):
                factor *= j + k - i
            term = times(p[s + k], W[j + k])
            rest = (rest[0] - factor * term[0], rest[1] - factor * term[1])
        W[j] = over(rest, p[s])
    for _ in range(s):
        W = [_ZERO, *((a / (j + 1), b / (j + 1)) for j, (a, b) in enumerate(W))]
    return with_polynomial(t, W, x)
