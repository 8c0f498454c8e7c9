"""Is f = g for all real values of their symbols? An algebraic proof, by cases of signs.

In every case (see `cases`) the difference is a quotient of polynomials whose numerator is reduced
by the relations of its roots. Where relations are hidden among them, as in
sqrt(2 + sqrt(3)) = (sqrt(6) + sqrt(2)) / 2, a number is shown to be zero by a bound: a non-zero
algebraic integer of degree n whose conjugates are below B is at least B**(1-n) (the product of all
is a whole number). An algebraic function of one variable is zero if it is at more points than its
norm can have roots.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from sciml.symbolic.algebra import field as fd
from sciml.symbolic.algebra.field import Failure, Poly, Quotient
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import now
from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.verification.normal_form import Case
from sciml.symbolic.verification.sign_conditions import Again, Refinement, Split

_ROUNDS = 60
_CASES = 400
_SPLITS = 7
_SUSPECTS = 40
_MOST_BITS = 30_000
_MOST_POINTS = 400
_ERRORS = (Failure, ex.TooLarge, ex.Undefined, RecursionError, OverflowError, ZeroDivisionError,
           ValueError)  # fmt: skip


@dataclass
class Proof:
    """What came of an attempt.

    Attributes:
        holds: where f = g is proved, in words; empty where it is not.
        suspects: values of all symbols in cases that did not come out, to be looked at.
    """

    holds: str = ""
    suspects: list[dict[str, Fraction]] = field(default_factory=list)


def attempt(
    f: Expr, g: Expr, variable: str, answer: Expr | None = None, seconds: float = 5.0
) -> Proof:
    """Try to prove f = g.

    The values compared are those at all real numbers but for single ones: zeros of denominators,
    ends of branches, constants for which a part vanishes.

    Args:
        f, g: the two sides.
        variable: the variable; f is allowed not to be real on parts of its line.
        answer: what g is the derivative of; its absolute values must be of real quantities, for
            that is what their derivative is right for.
        seconds: after which to give up.
    """
    started = now()
    proof = Proof()
    sizes = [node.args[0] for node in ex.subtrees(answer or ex.ZERO) if node.op in ("abs", "sign")]
    for whole, share in ((False, 0.6), (True, 1.0)):
        refinement = Refinement(whole)
        suspects = proof.suspects
        try:
            for _ in range(_ROUNDS):
                try:
                    proof.suspects = []
                    proof.holds = _in_all_cases(
                        f, g, variable, sizes, refinement, started + share * seconds, proof
                    )
                    break
                except Again:
                    continue
        except _ERRORS:
            pass
        proof.suspects = suspects + proof.suspects
        if proof.holds or suspects or proof.suspects:
            break
    return proof


def _in_all_cases(
    f: Expr, g: Expr, variable: str, sizes: list[Expr], refinement: Refinement, deadline: float,
    proof: Proof,
) -> str:  # fmt: skip
    names = sorted(refinement.breaks)
    parts = [_parts(refinement.breaks[n], n in refinement.positive) for n in names]
    if math.prod(map(len, parts)) > _CASES:
        raise Failure("too many cases")
    failed = False
    constants = (f.free | g.free) - {variable}
    # For each choice of the constants: whether f is real in a proved case, not so in a failed one.
    real: dict[tuple, bool] = {}
    skipped: set[tuple] = set()
    for points in itertools.product(*parts):
        samples = dict(zip(names, points, strict=True))
        waiting: list[dict[str, int]] = [{}]
        while waiting:
            signs = waiting.pop()
            case = Case(refinement, samples, signs, deadline)
            try:
                left = case.convert(f)
                opaque = case.opaque
                gap = left - case.convert(g)
                same = _vanishes(case, case.reduce(gap.n)) and _all_real(case, sizes)
            except Split as split:
                if len(signs) >= _SPLITS:
                    raise Failure("too many signs") from None
                waiting += [{**signs, split.key: side} for side in (1, -1)]
                continue
            fixed = [(n, v) for n, v in samples.items() if not case.holds(n, variable)]
            fixed += [(k, Fraction(v)) for k, v in signs.items() if case.free_of(k, variable)]
            choice = tuple(sorted(fixed))
            if same:
                real[choice] = real.get(choice, False) or case.imaginary_part(left) == 0
            elif _nowhere_real(case, left, f, variable, names, opaque, bool(constants)):
                skipped.add(choice)
            else:
                failed = True
                if len(proof.suspects) < _SUSPECTS:
                    proof.suspects += _places(refinement, samples, f.free | g.free, variable)
    if failed or not real or not all(real.get(choice, False) for choice in skipped):
        return ""
    return "where the integrand is real" if skipped else "everywhere it is defined"


def _all_real(case: Case, items: list[Expr]) -> bool:
    found = [case.convert(e) for e in items]
    return all(case.real(case.reduce(q.n), case.reduce(q.d)) for q in found)


def _places(
    refinement: Refinement, samples: dict[str, Fraction], symbols: frozenset[str], variable: str
) -> list[dict[str, Fraction]]:  # fmt: skip
    """Values of all symbols with these samples: of one itself, or of exp(c x), tan(c x / 2)."""
    rng = random.Random()
    fixed = {n: v for n, v in samples.items() if n in symbols}
    out = []
    solved = [
        (refinement.stands_for[n], v) for n, v in samples.items() if n in refinement.stands_for
    ]
    for _ in range(2):
        values = {n: Fraction(rng.choice([-1, 1]) * rng.randint(30, 400), 97) for n in symbols}
        out.append({**values, **fixed})
        for (kind, symbol, unit), v in solved:
            if symbol == variable or symbol not in fixed:
                out.append({**values, **fixed, symbol: _solved(kind, unit, v, rng)})
    return out


def _solved(kind: str, unit: Fraction, v: Fraction, rng: random.Random) -> Fraction:
    """u with exp(unit u) = v or tan(unit u / 2) = v."""
    from flint import arb, ctx, fmpq

    before, ctx.prec = ctx.prec, 400
    try:
        z = arb(fmpq(v.numerator, v.denominator))
        whole = z.log() if kind == "exp" else 2 * (z.atan() + rng.randint(-2, 2) * arb.pi())
        return _exact(whole) / unit
    finally:
        ctx.prec = before


def _nowhere_real(
    case: Case, q: Quotient, f: Expr, variable: str, names: list[str], opaque: bool,
    constants: bool,
) -> bool:  # fmt: skip
    """Whether f is shown not to be real in a case, but at single points: an analytic function that
    is not real at one point of an interval is real at single ones alone."""
    from flint import arb, ctx, fmpq

    part = case.imaginary_part(q)
    if part is not None:
        if part == 0:
            return False
        if len(list(part.terms())) == 1 and all(map(case.surely_not_zero, case.used(part))):
            return True
    before, ctx.prec = ctx.prec, 256
    try:
        over = case.over(part) if part is not None else frozenset()
        if part is not None and len(over) <= 1:  # analytic in the one variable that it depends on
            free = {case.generators[i].name for i in over} - set(case.samples)
            case.samples = {**case.samples, **dict.fromkeys(free, Fraction(3, 7))}
            return not case.value(part).real.contains(0)
        if names not in ([], [variable]) or case.signs or opaque or constants:
            return False
        point = case.samples.get(variable, Fraction(3, 7))
        z = Program(f).balls({variable: arb(fmpq(point.numerator, point.denominator))})[0]
        return bool(z.is_finite() and not z.imag.contains(0))
    finally:
        ctx.prec = before


def _parts(polynomial: Any, positive: bool) -> list[Fraction]:
    """A rational point between every two neighbouring real roots, and beyond the outer ones."""
    from flint import ctx

    before = ctx.prec
    try:
        ends = []
        if polynomial.degree() > 0:
            ctx.prec = 128
            while True:
                roots = [z.real for z, _ in polynomial.complex_roots() if z.imag == 0]
                roots.sort(key=lambda r: float(r.mid()))
                try:
                    ends = [(_exact(r.lower()), _exact(r.upper())) for r in roots]
                except ValueError:
                    ends = []
                ends.sort()
                apart = zip(ends[:-1], ends[1:], strict=True)
                if len(ends) == len(roots) and all(a[1] < b[0] for a, b in apart):
                    break
                if ctx.prec > 10_000:
                    raise Failure("roots too close together")
                ctx.prec *= 4
        if not ends:
            return [Fraction(3, 7)]
        between = [_simple(a[1], b[0]) for a, b in zip(ends[:-1], ends[1:], strict=True)]
        low, high = ends[0][0], ends[-1][1]
        points = [_simple(low - 1 - abs(low), low), *between, _simple(high, high + 1 + abs(high))]
        return [p for p in points if p > 0] if positive else points
    finally:
        ctx.prec = before


def _exact(r: Any) -> Fraction:
    mantissa, exponent = r.mid().man_exp()
    return Fraction(int(mantissa)) * Fraction(2) ** int(exponent)


def _simple(low: Fraction, high: Fraction) -> Fraction:
    """A number of few digits strictly between two."""
    middle, below = (low + high) / 2, 1
    while True:
        near = middle.limit_denominator(below)
        if low < near < high:
            return near
        if below > 10**40:
            return middle
        below *= 10


# --- zero tests ---------------------------------------------------------------------------------


def _vanishes(case: Case, p: Poly) -> bool:
    """Whether a reduced polynomial in the generators is the function zero."""
    if p == 0:
        return True
    roots = [i for i in case.used(p) if case.generators[i].order]
    if not roots:
        return False
    over = frozenset().union(*(case.generators[i].over for i in roots))
    if len(over) > 1:
        return False
    inner = {i for i in case.used(p) if case.generators[i].over <= over
             and (case.generators[i].order or i in over)}  # fmt: skip
    return all(_is_zero_function(case, q, over) for q in _coefficients(p, inner))


def _coefficients(p: Poly, inner: set[int]) -> Iterator[Poly]:
    """The coefficients of p as a polynomial in the generators outside `inner`."""
    parts: dict[tuple[int, ...], dict[tuple[int, ...], Any]] = {}
    for monomial, c in p.terms():
        m = fd.exponents(monomial)
        outside = tuple(0 if i in inner else e for i, e in enumerate(m))
        inside = tuple(e if i in inner else 0 for i, e in enumerate(m))
        parts.setdefault(outside, {})[inside] = c
    for part in parts.values():
        yield fd.RING.from_dict(part)


def _tower(case: Case, p: Poly) -> list[int]:
    """The roots that p needs, and those that these need."""
    found: set[int] = set()
    waiting = [p]
    while waiting:
        for i in case.used(waiting.pop()):
            if i not in found:
                found.add(i)
                if case.generators[i].order:
                    waiting.append(case.generators[i].power)
    return sorted(found)


def _is_zero_function(case: Case, p: Poly, over: frozenset[int]) -> bool:
    if not over or not any(i in over for i in _tower(case, p)):
        return _is_zero_number(case, p, {})
    (variable,) = over
    name = case.generators[variable].name
    degree = math.prod(case.generators[i].order or 1 for i in _tower(case, p))
    growth: dict[int, Fraction] = {}
    for i in _tower(case, p):
        g = case.generators[i]
        growth[i] = (Fraction(1) if i == variable else
                     _growth(g.power, growth) / g.order if g.order else Fraction(0))  # fmt: skip
    most = int(degree * _growth(p, growth)) + 1
    if most > _MOST_POINTS or name not in case.samples:
        return False
    centre, half = _room(case, name)
    old = case.samples
    try:
        for k in range(most + 1):
            point = centre + half * Fraction(2 * k - most, 2 * most + 2)
            case.samples = {**old, name: point}
            if not _is_zero_number(case, p, {variable: point}):
                return False
    finally:
        case.samples = old
    return True


def _growth(p: Poly, growth: dict[int, Fraction]) -> Fraction:
    """The degree in the variable, with that of roots counted."""
    return max((sum((growth.get(i, Fraction(0)) * e for i, e in enumerate(fd.exponents(m)) if e),
                    Fraction(0)) for m, _ in p.terms()), default=Fraction(0))  # fmt: skip


def _room(case: Case, name: str) -> tuple[Fraction, Fraction]:
    """The sample point and the distance that is free of ends on both sides of it."""
    from flint import arb, ctx, fmpq

    polynomial, point = case.refinement.breaks[name], case.samples[name]
    if polynomial.degree() < 1:
        return point, Fraction(1)
    before, ctx.prec = ctx.prec, 256
    try:
        at = arb(fmpq(point.numerator, point.denominator))
        distances = [_exact(abs(z.real - at).lower()) for z, _ in polynomial.complex_roots()
                     if z.imag == 0]  # fmt: skip
    finally:
        ctx.prec = before
    near = min([d for d in distances if d > 0], default=Fraction(1))
    return point, _simple(near / 4, near / 2)


def _is_zero_number(case: Case, p: Poly, points: dict[int, Fraction]) -> bool:
    """Whether p is zero at a rational value of its variable, by a bound of its conjugates."""
    from flint import ctx

    bounds: dict[int, tuple[float, int]] = {}
    degree = 1
    for i in _tower(case, p):
        g = case.generators[i]
        if g.kind == "root" and not g.real and g.over:
            return False  # a principal root may jump
        if i in points:  # n / d: an algebraic integer times 1 / d
            bounds[i] = (float(abs(points[i].numerator)) or 1.0, points[i].denominator)
        elif g.kind == "imaginary" or g.order and g.power is not None:
            size, below = _size(g.power, bounds)
            bounds[i] = (size ** (1 / g.order) * max(1.0, below ** (1 - 1 / g.order)), below)
            degree *= g.order
        else:
            return False
    size, below = _size(p, bounds)
    if not (math.isfinite(size) and size > 0):
        return False
    bits = int(degree * max(1.0, math.log2(size * 1.01))) + 64
    if bits > _MOST_BITS:
        return False
    before = ctx.prec
    try:
        ctx.prec = 2 * bits + 256
        z = case.value(p)
        # |below * p| is an algebraic integer: below 2**-bits it is zero.
        return bool(z.is_finite() and float((abs(z) * below * 2 ** (bits - 64)).upper())
                    < 1)  # fmt: skip
    finally:
        ctx.prec = before


def _size(p: Poly, bounds: dict[int, tuple[float, int]]) -> tuple[float, int]:
    """(size, d) such that d p is an algebraic integer with conjugates of at most this size, given
    the same of the generators."""
    below = 1
    for monomial, _ in p.terms():
        d = math.prod(bounds[i][1] ** e for i, e in enumerate(fd.exponents(monomial)) if e)
        below = math.lcm(below, d)
    total = 0.0
    for monomial, c in p.terms():
        part, d = float(abs(int(c))), 1
        for i, e in enumerate(fd.exponents(monomial)):
            if e:
                part *= bounds[i][0] ** e
                d *= bounds[i][1] ** e
        total += part * float(below // d)
    return total, below
