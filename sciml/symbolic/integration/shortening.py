"""Shorter forms of an antiderivative: signs that are constant on the domain, constants in short
form, rational functions of the kernels in lowest terms, constants dropped from logarithms and sums.

The rewritings may choose a branch, as those of a substitution do: `shorter` proposes, and its
caller proves the proposals.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sciml.symbolic.algebra.constants import ShortConstants
from sciml.symbolic.algebra.field import Failure, Quotient, factor
from sciml.symbolic.algebra.rewriting import expand
from sciml.symbolic.algebra.tower import Tower
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import TimeUp, at_most
from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.expression import Expr, ExprLike

_ERRORS = (Failure, ex.TooLarge, ex.Undefined, RecursionError, OverflowError, ZeroDivisionError)
_MAX_ROUNDS = 3
_MAX_SIZE = 400
"""Nodes of the largest expression that is brought over one denominator."""


def shorter(answer: Expr, f: Expr, x: str, seconds: float) -> list[Expr]:
    """Forms of an antiderivative of f that have fewer nodes, shortest first.

    Args:
        answer: the antiderivative.
        f: the integrand, on whose real domain signs are evaluated.
        x: the variable.
        seconds: time limit.
    """
    forms: dict[Expr, int] = {}
    try:
        with at_most(seconds):
            domain = _Domain(f, answer, x)
            for start in (domain.without_signs(answer), answer):
                form = start
                for _ in range(_MAX_ROUNDS):
                    before = form
                    for step in _STEPS:
                        form = step(form, domain)
                        forms[form] = ex.size(form)
                    if form is before:
                        break
    except (TimeUp, *_ERRORS):
        pass
    forms.pop(answer, None)
    size = ex.size(answer)
    return sorted((e for e, n in forms.items() if n < size), key=lambda e: forms[e])


class _Domain:
    """Points at which an integrand is real, at which signs are evaluated."""

    def __init__(self, f: Expr, answer: Expr, x: str) -> None:
        self.x = x
        self.constants = ShortConstants()
        rng, count = np.random.default_rng(0), 400
        values = {name: rng.uniform(0.2, 5, count) for name in f.free | answer.free}
        values[x] = rng.choice([-1.0, 1.0], count) * np.exp(rng.uniform(-6, 5, count))
        at_f = np.broadcast_to(Program(f).complex(values)[0], count)
        with np.errstate(all="ignore"):
            real = np.isfinite(at_f) & (np.abs(at_f.imag) <= 1e-9 * np.abs(at_f))
        self.count = int(real.sum())
        self.points = {name: v[real] for name, v in values.items()}

    def sign(self, u: Expr) -> int:
        """The sign that u has at all points; 0 where it changes or u is not real."""
        z = np.broadcast_to(Program(u).complex(self.points)[0], self.count)
        z = z[np.isfinite(z)]
        with np.errstate(all="ignore"):
            if len(z) < 8 or (np.abs(z.imag) > 1e-9 * np.abs(z)).any():
                return 0
        return 1 if (z.real > 0).all() else -1 if (z.real < 0).all() else 0

    def without_signs(self, e: Expr) -> Expr:
        """sign(u) and |u| by the sign of u where that is constant."""

        def at(out: Expr) -> Expr:
            sign = self.sign(out.args[0]) if out.op in ("sign", "abs") and out.free else 0
            if not sign:
                return out
            return ex.number(sign) if out.op == "sign" else sign * out.args[0]

        return _bottom_up(e, at)


def _bottom_up(e: Expr, rule: Callable[[Expr], Expr]) -> Expr:
    memo: dict[Expr, Expr] = {}
    for node in ex.subtrees(e):
        args = tuple(memo[a] for a in node.args)
        memo[node] = rule(node if args == node.args else ex.rebuild(node, args))
    return memo[e]


def _short_constants(e: Expr, domain: _Domain) -> Expr:
    """Every constant part of a sum, a product or an argument in its short form; the largest
    constants first."""
    memo: dict[Expr, Expr] = {}

    def walk(node: Expr) -> Expr:
        if node not in memo:
            memo[node] = rewritten(node)
        return memo[node]

    def rewritten(node: Expr) -> Expr:
        if not node.args:
            return node
        if not node.free:
            short = domain.constants(node)
            if short is not node:
                return short
        constants = [a for a in node.args if not a.free]
        if node.free and node.op in ("add", "mul") and len(constants) > 1:
            join = ex.add if node.op == "add" else ex.mul
            whole = join(constants)
            return join([walk(whole), *(walk(a) for a in node.args if a.free)])
        args = tuple(walk(a) for a in node.args)
        return node if args == node.args else ex.rebuild(node, args)

    return walk(e)


def _short_squares(e: Expr, domain: _Domain) -> Expr:
    """(x - a)**2 + b with constants a, b multiplied out where that is shorter."""
    x = domain.x

    def at(out: Expr) -> Expr:
        if out.op != "add" or x not in out.free or ex.size(out) > 60:
            return out
        if not any(a.op == "pow" and a.args[0].op == "add" for a in out.args):
            return out
        flat = _short_constants(expand(out), domain)
        return flat if ex.size(flat) < ex.size(out) else out

    return _bottom_up(e, at)


def _lowest_terms(e: Expr, domain: _Domain) -> Expr:
    """Quotients of kernels in lowest terms, innermost first, where that is shorter."""
    x = domain.x

    def at(out: Expr) -> Expr:
        if out.op not in ("add", "mul", "pow") or x not in out.free or ex.is_radical(out):
            return out
        if not 8 <= ex.size(out) <= _MAX_SIZE:
            return out
        return min((out, *_over_one_denominator(out, x)), key=ex.size)

    return _bottom_up(e, at)


def _over_one_denominator(e: Expr, x: str) -> list[Expr]:
    """The quotient of polynomials in the kernels, modulo the relations of its radicals: factored
    and, with a short denominator, term by term."""
    try:
        tower = Tower(x)
        q = tower.convert(e)
        previous: Quotient | None = None
        while previous is None or not (previous.n == q.n and previous.d == q.d):
            previous = q
            q = Quotient(tower.reduce(q.n), tower.reduce(q.d))
        forms = [q]
        for i, kernel in enumerate(tower.kernels):
            if kernel.degree == 2 and kernel.kind == "radical" and q.d.degrees()[i] == 1:
                forms.append(_rational_below(tower, q, i))
        out = []
        for form in forms:
            out.append(_factored(tower, form))
            if len(form.n) <= 40:
                below = ex.ONE / _factored(tower, Quotient(form.d))
                terms = tower.poly_expr(form.n)
                parts = terms.args if terms.op == "add" else (terms,)
                out.append(ex.add([t * below for t in parts]))
        return out
    except _ERRORS:
        return []


def _rational_below(tower: Tower, q: Quotient, i: int) -> Quotient:
    """q with its denominator a + b r multiplied by a - b r."""
    from sciml.symbolic.algebra import field as fd

    a, b = fd.by_degree(q.d, i, 1)
    conjugate = a - b * fd.GENERATORS[i]
    return Quotient(tower.reduce(q.n * conjugate), tower.reduce(q.d * conjugate))


def _factored(tower: Tower, q: Quotient) -> Expr:
    out = ex.ONE
    for p, side in ((q.n, 1), (q.d, -1)):
        content, factors = factor(p)
        out = out * ex.number(int(content)) ** side
        for g, k in factors:
            out = out * tower.poly_expr(g) ** (int(k) * side)
    return out


def _collected(e: Expr, domain: _Domain) -> Expr:
    """The constant coefficients of equal functions added up; no additive constants, nor those that
    constant factors of a logarithm's argument make."""
    x = domain.x
    coefficients: dict[Expr, list[Expr]] = {}
    for term in e.args if e.op == "add" else (e,):
        factors = term.args if term.op == "mul" else (term,)
        rest = [a for a in factors if x in a.free]
        if not rest:
            continue
        constant = ex.mul([a for a in factors if x not in a.free])
        parts: list[tuple[Expr, ExprLike]] = [(ex.mul(rest), 1)]
        if len(rest) == 1 and rest[0].op == "log":
            parts = _split(rest[0].args[0], domain)
        for function, sign in parts:
            coefficients.setdefault(function, []).append(sign * constant)
    terms = []
    for function, constants in coefficients.items():
        total = ex.add(constants)
        if not total.free:
            total = domain.constants(total)
        terms.append(total * function)
    return ex.add(terms) if terms else e


def _split(u: Expr, domain: _Domain) -> list[tuple[Expr, ExprLike]]:
    """(function, coefficient) that add up to log(u) and a constant: the logarithms of the positive
    parts of a quotient, and of what is under a root."""
    if ex.is_radical(u) and domain.sign(u.args[0]) == 1:
        return [(g, c * u.args[1]) for g, c in _split(u.args[0], domain)]
    factors = [a for a in (u.args if u.op == "mul" else (u,)) if domain.x in a.free]
    below = [a for a in factors if ex.is_negative_power(a)]
    top = ex.mul([a for a in factors if a not in below])
    bottom = 1 / ex.mul(below)
    if below and domain.sign(bottom) == 1 and bottom.op != "exp":
        out: list[tuple[Expr, ExprLike]] = [(ex.call("log", bottom), -1)]
        return out if top is ex.ONE else [(ex.call("log", top), 1), *out]
    return [(ex.call("log", ex.mul(factors)), 1)]


_STEPS = (_short_constants, _short_squares, _lowest_terms, _short_constants, _collected)
