"""Zero test: a proof that f = g for all real values of their symbols, by cases of signs.

In every case (see `normal_form`) the difference is a quotient of polynomials whose numerator is
reduced by the relations of its roots. Where the roots satisfy further relations, as in
sqrt(2 + sqrt(3)) = (sqrt(6) + sqrt(2)) / 2, a number is shown to be zero by a norm bound: a
non-zero algebraic integer of degree n whose conjugates are at most B in absolute value is at least
B**(1-n), because the product of its conjugates is a non-zero integer. An algebraic function of one
variable is zero if it vanishes at more points than its norm can have roots.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import Any

from sciml.symbolic.algebra import field as fd
from sciml.symbolic.algebra.field import Failure, Poly, Quotient
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import now
from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import fraction, precision
from sciml.symbolic.verification.normal_form import Case
from sciml.symbolic.verification.sign_conditions import CaseSplit, Refinement, Restart

_MAX_RESTARTS = 60
_MAX_CASES = 400
_MAX_SPLITS = 7
_MAX_SUSPECTS = 40
_MAX_BITS = 30_000
_MAX_POINTS = 400
_ERRORS = (Failure, ex.TooLarge, ex.Undefined, RecursionError, OverflowError, ZeroDivisionError,
           ValueError)  # fmt: skip


@dataclass
class Proof:
    """The outcome of an attempted proof.

    Attributes:
        holds: the domain on which f = g is proved, in words; empty if it is not.
        suspects: values of all symbols in the cases that could not be proved: possible
            counterexamples.
    """

    holds: str = ""
    suspects: list[dict[str, Fraction]] = field(default_factory=list)


def prove_identity(
    f: Expr, g: Expr, variable: str, answer: Expr | None = None, seconds: float = 5.0
) -> Proof:
    """Try to prove f = g.

    The identity is proved for all real values except isolated ones: zeros of denominators, branch
    points, constants for which a part vanishes.

    Args:
        f, g: the two sides.
        variable: the variable; f may be complex on parts of the real line.
        answer: the antiderivative whose derivative g is; the arguments of its absolute values must
            be real, because their derivative is right only then.
        seconds: time limit.
    """
    started = now()
    proof = Proof()
    absolute_arguments = [
        node.args[0] for node in ex.subtrees(answer or ex.ZERO) if node.op in ("abs", "sign")
    ]
    for keep_sums, share in ((False, 0.6), (True, 1.0)):
        refinement = Refinement(keep_sums)
        suspects = proof.suspects
        try:
            for _ in range(_MAX_RESTARTS):
                try:
                    proof.suspects = []
                    proof.holds = _prove_in_all_cases(
                        f,
                        g,
                        variable,
                        absolute_arguments,
                        refinement,
                        started + share * seconds,
                        proof,
                    )
                    break
                except Restart:
                    continue
        except _ERRORS:
            pass
        proof.suspects = suspects + proof.suspects
        if proof.holds or suspects or proof.suspects:
            break
    return proof


def _prove_in_all_cases(
    f: Expr, g: Expr, variable: str, absolute_arguments: list[Expr], refinement: Refinement,
    deadline: float, proof: Proof,
) -> str:  # fmt: skip
    """The domain on which every case is proved; empty if one is not (see `Proof.suspects`)."""
    names = sorted(refinement.separators)
    samples_by_name = [
        _interval_samples(refinement.separators[n], n in refinement.positive) for n in names
    ]
    if math.prod(map(len, samples_by_name)) > _MAX_CASES:
        raise Failure("too many cases")
    failed = False
    constants = (f.free | g.free) - {variable}
    # For each condition on the constants: whether f is real in some proved case.
    real_under: dict[tuple, bool] = {}
    nowhere_real: set[tuple] = set()
    for choice in itertools.product(*samples_by_name):
        samples = dict(zip(names, choice, strict=True))
        pending: list[dict[str, int]] = [{}]
        while pending:
            signs = pending.pop()
            case = Case(refinement, samples, signs, deadline)
            try:
                left = case.convert(f)
                opaque = case.opaque
                difference = left - case.convert(g)
                proved = _vanishes(case, case.reduce(difference.n)) and _are_all_real(
                    case, absolute_arguments
                )
            except CaseSplit as split:
                if len(signs) >= _MAX_SPLITS:
                    raise Failure("too many signs") from None
                pending += [{**signs, split.key: side} for side in (1, -1)]
                continue
            on_constants = [(n, v) for n, v in samples.items() if not case.varies_with(n, variable)]
            on_constants += [
                (k, Fraction(v)) for k, v in signs.items() if case.sign_is_free_of(k, variable)
            ]
            condition = tuple(sorted(on_constants))
            if proved:
                is_real = real_under.get(condition, False) or case.imaginary_part(left) == 0
                real_under[condition] = is_real
            elif _nowhere_real(case, left, f, variable, names, opaque, bool(constants)):
                nowhere_real.add(condition)
            else:
                failed = True
                if len(proof.suspects) < _MAX_SUSPECTS:
                    proof.suspects += _counterexample_points(
                        refinement, samples, f.free | g.free, variable
                    )
    if failed or not real_under or not all(real_under.get(c, False) for c in nowhere_real):
        return ""
    return "where the integrand is real" if nowhere_real else "everywhere it is defined"


def _are_all_real(case: Case, expressions: list[Expr]) -> bool:
    quotients = [case.convert(e) for e in expressions]
    return all(case.real(case.reduce(q.n), case.reduce(q.d)) for q in quotients)


def _counterexample_points(
    refinement: Refinement, samples: dict[str, Fraction], symbols: frozenset[str], variable: str
) -> list[dict[str, Fraction]]:  # fmt: skip
    """Values of all symbols at which the samples are taken: samples of symbols are used as they
    are, samples of exp(c x) and tan(c x / 2) are solved for x."""
    rng = random.Random()
    fixed = {n: v for n, v in samples.items() if n in symbols}
    points = []
    kernel_values = [
        (refinement.kernel_of[n], v) for n, v in samples.items() if n in refinement.kernel_of
    ]
    for _ in range(2):
        values = {n: Fraction(rng.choice([-1, 1]) * rng.randint(30, 400), 97) for n in symbols}
        points.append({**values, **fixed})
        for (kind, symbol, unit), v in kernel_values:
            if symbol == variable or symbol not in fixed:
                points.append({**values, **fixed, symbol: _kernel_preimage(kind, unit, v, rng)})
    return points


def _kernel_preimage(kind: str, unit: Fraction, v: Fraction, rng: random.Random) -> Fraction:
    """u with exp(unit u) = v or tan(unit u / 2) = v."""
    from flint import arb

    with precision(400):
        z = fraction(v)
        argument = z.log() if kind == "exp" else 2 * (z.atan() + rng.randint(-2, 2) * arb.pi())
        return _exact(argument) / unit


def _nowhere_real(
    case: Case, q: Quotient, f: Expr, variable: str, names: list[str], opaque: bool,
    constants: bool,
) -> bool:  # fmt: skip
    """Whether f is shown to be complex in a case except at isolated points: an analytic function
    that is not real at one point of an interval is real at isolated points only."""
    imaginary = case.imaginary_part(q)
    if imaginary is not None:
        if imaginary == 0:
            return False
        single_term = len(list(imaginary.terms())) == 1
        if single_term and all(map(case.surely_not_zero, case.used(imaginary))):
            return True
    with precision(256):
        variables = case.depends_on(imaginary) if imaginary is not None else frozenset()
        if imaginary is not None and len(variables) <= 1:  # analytic in its one variable
            free = {case.generators[i].name for i in variables} - set(case.samples)
            case.samples = {**case.samples, **dict.fromkeys(free, Fraction(3, 7))}
            return not case.value(imaginary).real.contains(0)
        if names not in ([], [variable]) or case.signs or opaque or constants:
            return False
        z = Program(f).balls({variable: fraction(case.samples.get(variable, Fraction(3, 7)))})[0]
        return bool(z.is_finite() and not z.imag.contains(0))


def _interval_samples(polynomial: Any, positive: bool) -> list[Fraction]:
    """A rational point between every two neighbouring real roots, and one beyond each outer root;
    only positive ones if `positive`."""
    isolated = _isolated_roots(polynomial) if polynomial.degree() > 0 else []
    if not isolated:
        return [Fraction(3, 7)]
    low, high = isolated[0][0], isolated[-1][1]
    samples = [
        _simple_between(low - 1 - abs(low), low),
        *(_simple_between(a[1], b[0]) for a, b in pairwise(isolated)),
        _simple_between(high, high + 1 + abs(high)),
    ]
    return [p for p in samples if p > 0] if positive else samples


def _isolated_roots(polynomial: Any) -> list[tuple[Fraction, Fraction]]:
    """Disjoint enclosures (low, high) of the real roots, in ascending order."""
    bits = 128
    while True:
        with precision(bits):
            roots = [z.real for z, _ in polynomial.complex_roots() if z.imag == 0]
            try:
                enclosures = sorted((_exact(r.lower()), _exact(r.upper())) for r in roots)
            except ValueError:
                enclosures = []
        if len(enclosures) == len(roots) and all(a[1] < b[0] for a, b in pairwise(enclosures)):
            return enclosures
        if bits > 10_000:
            raise Failure("roots too close together")
        bits *= 4


def _exact(r: Any) -> Fraction:
    mantissa, exponent = r.mid().man_exp()
    return Fraction(int(mantissa)) * Fraction(2) ** int(exponent)


def _simple_between(low: Fraction, high: Fraction) -> Fraction:
    """A rational number with few digits strictly between two numbers."""
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
    variables = frozenset().union(*(case.generators[i].depends_on for i in roots))
    if len(variables) > 1:
        return False
    algebraic = {i for i in case.used(p) if case.generators[i].depends_on <= variables
             and (case.generators[i].order or i in variables)}  # fmt: skip
    return all(_is_zero_function(case, q, variables) for q in _coefficients(p, algebraic))


def _coefficients(p: Poly, algebraic: set[int]) -> Iterator[Poly]:
    """The coefficients of p as a polynomial in the generators outside `algebraic`."""
    by_outside: dict[tuple[int, ...], dict[tuple[int, ...], Any]] = {}
    for monomial, c in p.terms():
        m = fd.exponents(monomial)
        outside = tuple(0 if i in algebraic else e for i, e in enumerate(m))
        inside = tuple(e if i in algebraic else 0 for i, e in enumerate(m))
        by_outside.setdefault(outside, {})[inside] = c
    for part in by_outside.values():
        yield fd.RING.from_dict(part)


def _root_tower(case: Case, p: Poly) -> list[int]:
    """The generators of p and, recursively, those of the radicands of its roots."""
    indices: set[int] = set()
    pending = [p]
    while pending:
        for i in case.used(pending.pop()):
            if i not in indices:
                indices.add(i)
                if case.generators[i].order:
                    pending.append(case.generators[i].power)
    return sorted(indices)


def _is_zero_function(case: Case, p: Poly, variables: frozenset[int]) -> bool:
    """Whether an algebraic function of at most one variable is zero: it is evaluated at more points
    than the degree of its norm."""
    if not variables or not any(i in variables for i in _root_tower(case, p)):
        return _is_zero_number(case, p, {})
    (variable,) = variables
    name = case.generators[variable].name
    degree = math.prod(case.generators[i].order or 1 for i in _root_tower(case, p))
    growth: dict[int, Fraction] = {}
    for i in _root_tower(case, p):
        g = case.generators[i]
        growth[i] = (Fraction(1) if i == variable else
                     _growth(g.power, growth) / g.order if g.order else Fraction(0))  # fmt: skip
    max_zeros = int(degree * _growth(p, growth)) + 1
    if max_zeros > _MAX_POINTS or name not in case.samples:
        return False
    centre, half = _interval_about_sample(case, name)
    old = case.samples
    try:
        for k in range(max_zeros + 1):
            point = centre + half * Fraction(2 * k - max_zeros, 2 * max_zeros + 2)
            case.samples = {**old, name: point}
            if not _is_zero_number(case, p, {variable: point}):
                return False
    finally:
        case.samples = old
    return True


def _growth(p: Poly, growth: dict[int, Fraction]) -> Fraction:
    """The degree in the variable; roots count with their fractional degrees `growth`."""
    return max((sum((growth.get(i, Fraction(0)) * e for i, e in enumerate(fd.exponents(m)) if e),
                    Fraction(0)) for m, _ in p.terms()), default=Fraction(0))  # fmt: skip


def _interval_about_sample(case: Case, name: str) -> tuple[Fraction, Fraction]:
    """The sample point and a distance within which no end of its part of the line lies."""
    polynomial, point = case.refinement.separators[name], case.samples[name]
    if polynomial.degree() < 1:
        return point, Fraction(1)
    with precision(256):
        at = fraction(point)
        distances = [_exact(abs(z.real - at).lower()) for z, _ in polynomial.complex_roots()
                     if z.imag == 0]  # fmt: skip
    near = min([d for d in distances if d > 0], default=Fraction(1))
    return point, _simple_between(near / 4, near / 2)


def _is_zero_number(case: Case, p: Poly, points: dict[int, Fraction]) -> bool:
    """Whether p is zero at a rational value of its variable, by a bound on its conjugates."""
    bounds: dict[int, tuple[float, int]] = {}
    degree = 1
    for i in _root_tower(case, p):
        g = case.generators[i]
        if g.kind == "root" and not g.real and g.depends_on:
            return False  # a principal root may jump
        if i in points:  # n / d is the integer n times 1 / d
            bounds[i] = (float(abs(points[i].numerator)) or 1.0, points[i].denominator)
        elif g.kind == "imaginary" or g.order and g.power is not None:
            bound, denominator = _conjugate_bound(g.power, bounds)
            scale = max(1.0, denominator ** (1 - 1 / g.order))
            bounds[i] = (bound ** (1 / g.order) * scale, denominator)
            degree *= g.order
        else:
            return False
    bound, denominator = _conjugate_bound(p, bounds)
    if not (math.isfinite(bound) and bound > 0):
        return False
    bits = int(degree * max(1.0, math.log2(bound * 1.01))) + 64
    if bits > _MAX_BITS:
        return False
    with precision(2 * bits + 256):
        z = case.value(p)
        # denominator * p is an algebraic integer; it is zero if it is smaller than the bound.
        return bool(z.is_finite() and float((abs(z) * denominator * 2 ** (bits - 64)).upper())
                    < 1)  # fmt: skip


def _conjugate_bound(p: Poly, bounds: dict[int, tuple[float, int]]) -> tuple[float, int]:
    """(B, d) such that d p is an algebraic integer whose conjugates are at most B in absolute
    value, from the same for the generators."""
    denominator = 1
    for monomial, _ in p.terms():
        d = math.prod(bounds[i][1] ** e for i, e in enumerate(fd.exponents(monomial)) if e)
        denominator = math.lcm(denominator, d)
    total = 0.0
    for monomial, c in p.terms():
        term, d = float(abs(int(c))), 1
        for i, e in enumerate(fd.exponents(monomial)):
            if e:
                term *= bounds[i][0] ** e
                d *= bounds[i][1] ** e
        total += term * float(denominator // d)
    return total, denominator
