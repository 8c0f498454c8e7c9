"""Closed forms of sums and products over an index whose terms are functions of x.

In this order: few terms are written out; terms that vanish from some index on between the limits
(those of floor(x/k)) are written out up to there; sums of p(k) u**k; products and sums that
telescope for u -> u**q or u -> q u; SymPy sums the rest, with one symbol for x**a in the powers
x**(a k + b). A closed form must agree with the partial sums at points between the limits of
integration, at which these converge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import TimeUp, at_most
from sciml.symbolic.expr.evaluate import Program, evaluate
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.indexed import Indexed
from sciml.symbolic.expr.intervals import End, precision
from sciml.symbolic.operations.examples import ERRORS
from sciml.symbolic.operations.geometric_sums import by_geometric
from sciml.symbolic.operations.sums import by_sympy
from sciml.symbolic.operations.telescoping import by_duplication

_WRITTEN_OUT = 60
_MOST_STEPS = 5000
_HIGH = 12
_LONGEST = 60
_PARTIAL = (40, 160, 640)
"""The numbers of terms of the partial sums that must approach a closed form."""
_DIGITS = 18
_TINY = 1e-18
_BITS = 400
_INSIDE = tuple(Fraction(k, 37) for k in (2, 9, 17, 26, 35))
_UNLIMITED = (Fraction(-13, 17), Fraction(-3, 11), Fraction(2, 13), Fraction(7, 17),
              Fraction(15, 19), Fraction(7, 3))  # fmt: skip


@dataclass(frozen=True)
class ClosedForm:
    """A closed form; `how` says why it is believed, `proved` whether that is a proof."""

    value: Expr
    proved: bool
    how: str


def closed_form(
    s: Indexed, x: str, limits: tuple[End, End] | None, seconds: float
) -> ClosedForm | None:  # fmt: skip
    """The closed form of a sum or product as a function of x between the limits, or where it
    converges; None where none is confirmed in the time."""
    if s.low.at is None or s.low.at.op != "num" or s.low.at.value.denominator != 1:
        return None
    first = int(s.low.at.value)
    count = _count(s)
    if count is not None and count <= _WRITTEN_OUT:
        terms = [ex.substitute(s.term, {ex.symbol(s.index): first + k}) for k in range(count)]
        return ClosedForm(ex.mul(terms) if s.product else ex.add(terms), True, "written out")
    if s.high.at is not None and count is None:
        return None
    points = points_between(limits)
    makers: tuple[Callable[[], Expr | None], ...] = (
        lambda: _until_it_vanishes(s, x, limits, seconds),
        lambda: by_geometric(s),
        lambda: by_duplication(s, x),
        lambda: _by_sympy(s, x, seconds),
    )
    for make in makers:
        try:
            with at_most(0.7 * seconds):
                value = make()
            if value is None or s.index in value.free:
                continue
            with at_most(0.5 * seconds):
                if _agrees(s, value, x, points, count, limits is not None):
                    return ClosedForm(value, False, "which partial sums agree with")
        except (TimeUp, *ERRORS):
            continue
    return None


def points_between(limits: Sequence[End] | None) -> list[Fraction]:
    """Some numbers between the limits; without limits, numbers of both signs."""
    if limits is None:
        return list(_UNLIMITED)
    ends = [None if e.at is None else Fraction(float(complex(evaluate(e.at, {})).real))
            for e in limits]  # fmt: skip
    low, high = ends
    if low is not None and high is not None:
        return [(low + (high - low) * t).limit_denominator(10**9) for t in _INSIDE]
    if low is not None:
        return [(low + t / (1 - t)).limit_denominator(10**6) for t in _INSIDE]
    if high is not None:
        return [(high - t / (1 - t)).limit_denominator(10**6) for t in _INSIDE]
    return list(_UNLIMITED)


def simpler(f: Expr, x: str) -> Expr:
    """The integrand after a closed form was put in, where SymPy makes it shorter; high powers of x
    that lie near each other are x**n times low ones, x**n a symbol."""
    import sympy as sp

    from sciml.symbolic.expr.printing import from_sympy, to_sympy

    place, high = ex.symbol(x), ex.symbol("high__")
    exponents = [int(n.args[1].value) for n in ex.subtrees(f)
                 if n.op == "pow" and n.args[0] is place and n.args[1].op == "num"
                 and n.args[1].value.denominator == 1 and n.args[1].value > _HIGH]  # fmt: skip
    least = min(exponents, default=0)
    if any(n - least > _HIGH for n in exponents):
        return f
    powers = {place**n: high * place ** (n - least) for n in exponents}
    simplified = from_sympy(sp.factor(sp.together(to_sympy(ex.substitute(f, powers)))))
    return min((f, ex.substitute(simplified, {high: place**least})), key=ex.size)


def _count(s: Indexed) -> int | None:
    """The number of terms; None if it is no number, or none is finite."""
    if s.high.at is None or s.high.at.op != "num" or s.high.at.value.denominator != 1:
        return None
    assert s.low.at is not None
    return max(0, int(s.high.at.value) - int(s.low.at.value) + 1)


# ------------------------------------------------------------------ ways to a closed form
def _until_it_vanishes(
    s: Indexed, x: str, limits: tuple[End, End] | None, seconds: float
) -> Expr | None:  # fmt: skip
    """The terms up to the index from which on every floor in them is 0 between the limits, and the
    sum of what the terms are without the floors."""
    floors = [n for n in ex.subtrees(s.term) if n.op == "floor" and s.index in n.free]
    if limits is None or s.product or not floors or not s.high.infinite:
        return None
    if any(e.at is None for e in limits):
        return None
    low, high = (float(complex(evaluate(e.at, {})).real) for e in limits if e.at is not None)
    k, place = ex.symbol(s.index), ex.symbol(x)
    assert s.low.at is not None
    first = int(s.low.at.value)

    def vanish(at: int) -> bool:
        for n in floors:
            for point in (low, (low + high) / 2, high):
                u = ex.substitute(n.args[0], {k: at, place: ex.number(Fraction(point))})
                value = complex(evaluate(u, {}))
                if not (0 <= value.real < 1 or value.real == 1 and point == high) or value.imag:
                    return False
        return True

    last = first
    while last - first < _MOST_STEPS and not vanish(last):
        last += 1
    if last - first >= _MOST_STEPS or not all(vanish(last + j) for j in (1, 2, 10, 100, 1000)):
        return None
    plain = ex.substitute(s.term, {n: ex.ZERO for n in floors})
    terms = [ex.substitute(s.term - plain, {k: j}) for j in range(first, last)]
    rest: Expr | None = ex.ZERO
    if plain is not ex.ZERO:
        rest = _by_sympy(Indexed(s.name, plain, s.index, s.low, s.high, False), x, seconds)
    return None if rest is None else ex.add([*terms, rest])


def _by_sympy(s: Indexed, x: str, seconds: float) -> Expr | None:
    names = sorted(s.term.free - {s.index})
    term, meanings = _with_bases(s.term, s.index)
    names = [*names, *(str(name.value) for name in meanings)]
    value = by_sympy(term, s.index, s.low, s.high, names, s.product, seconds)
    if value is None or ex.size(value) > _LONGEST + 4 * ex.size(term):  # written out
        return None
    return ex.substitute(value, meanings)


def _with_bases(term: Expr, k: str) -> tuple[Expr, dict[Expr, ex.ExprLike]]:
    """The term with u**k q in the place of x**(a k + b), u a symbol for x**a, and what the symbols
    stand for."""
    meanings: dict[Expr, ex.ExprLike] = {}
    values: dict[Expr, ex.ExprLike] = {}
    index = ex.symbol(k)
    for n in ex.subtrees(term):
        if n.op != "pow" or k not in n.args[1].free or k in n.args[0].free:
            continue
        slope = n.args[1].diff(k)
        if slope.op != "num" or slope.value.denominator != 1 or slope is ex.ONE:
            continue
        offset = ex.substitute(n.args[1], {index: ex.ZERO})
        if n.args[1] is not slope * index + offset:
            continue
        u = ex.symbol(f"base__{len(meanings)}")
        meanings[u] = ex.power(n.args[0], slope)
        values[n] = ex.power(u, index) * ex.power(n.args[0], offset)
    return ex.substitute(term, values), meanings


# ------------------------------------------------------------------ confirmation
def _agrees(
    s: Indexed, value: Expr, x: str, points: Sequence[Fraction], count: int | None, inside: bool
) -> bool:
    """Whether partial sums (or products) approach the value at all the points; with `inside` False,
    at those where it converges, of which there must be three."""
    names = sorted((s.term.free | value.free) - {s.index, x})
    if names:
        return False
    good = 0
    depends = x in s.term.free
    for point in points if depends else points[:1]:
        verdict = _agrees_at(s, value, {x: point}, count)
        if verdict is None and not inside:
            continue
        if not verdict:
            return False
        good += 1
    return good >= (3 if depends else 1)


def _agrees_at(s: Indexed, value: Expr, at: dict[str, Fraction], count: int | None) -> bool | None:
    """Whether the sum has the value at a point; None where it does not seem to converge."""
    import mpmath
    from flint import acb, arb, fmpq

    assert s.low.at is not None
    first = int(s.low.at.value)
    with precision(_BITS):
        point = {name: acb(arb(fmpq(v.numerator, v.denominator))) for name, v in at.items()}
        program = Program(s.term)
        expected = Program(value).balls(point)[0]

        def term_at(i: int) -> Any:
            return program.balls({**point, s.index: acb(i)})[0]

        total, gaps = acb(1 if s.product else 0), []
        for i in range(count or max(_PARTIAL)):
            total = total * term_at(first + i) if s.product else total + term_at(first + i)
            if i + 1 in (_PARTIAL if count is None else (count,)):
                gaps.append(abs(total - expected))
        scale = abs(expected) + _TINY
        if count is not None or gaps[-1] < _TINY * scale:
            return bool(gaps[-1] < _TINY * scale)
        if not (gaps[0] > gaps[1] > gaps[2] and gaps[2] < gaps[0] / 3):
            return None if not gaps[2] < gaps[0] or gaps[2] > 1 else False
        with mpmath.workdps(_DIGITS + 12):
            add = mpmath.nprod if s.product else mpmath.nsum
            limit = add(lambda i: _number(term_at(int(i))), [first, mpmath.inf])
            return bool(abs(limit - _number(expected)) < mpmath.mpf(10) ** (3 - _DIGITS) * (
                abs(limit) + mpmath.mpf(10) ** -_DIGITS))  # fmt: skip


def _number(z: Any) -> Any:
    """A ball's middle as mpmath's number."""
    import mpmath

    real, imag = (part.mid().str(_DIGITS + 20, radius=False) for part in (z.real, z.imag))
    return mpmath.mpc(real, imag)
