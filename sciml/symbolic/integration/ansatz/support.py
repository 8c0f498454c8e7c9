"""The form of the answer: its denominator and its support, the monomials of its numerator.

A factor q**e of the integrand's denominator keeps its power if q divides its own derivative (q is
special: exponentials, 1 + tan**2) and loses one if not (q is normal). There are two kinds of
support: a sparse one, closed under "the derivative has a monomial that is needed", and a dense one,
all monomials within degree bounds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sciml.symbolic.algebra import field as fd
from sciml.symbolic.algebra.field import GENERATORS, ONE, Failure, Poly, Quotient, factor
from sciml.symbolic.algebra.tower import Tower
from sciml.symbolic.expr.expression import Expr

Monomial = tuple[int, ...]


@dataclass
class Problem:
    """An integrand in its differential tower.

    Attributes:
        tower: the kernels.
        expr: the integrand.
        f: the integrand as a quotient, its denominator in terms of radicals.
        factors: the irreducible factors of its denominator and their exponents.
        denominator: the denominator of the answer.
    """

    tower: Tower
    expr: Expr
    f: Quotient
    factors: list[tuple[Poly, int]]
    denominator: Poly


def pose(tower: Tower, integrand: Expr, *, under_roots: bool = False) -> Problem:
    """Convert the integrand and factor its denominator.

    With `under_roots`, radicands become factors of the answer's denominator: not every function
    without poles is a polynomial in the kernels, see cos(x)/sqrt(1 + sin(x)).
    """
    f = tower.convert(integrand)
    numerator = tower.reduce(f.n)
    content, factors_of_f = factor(f.d)
    denominator_f = ONE * int(content)
    by_factor: dict[str, tuple[Poly, int]] = {}
    for q, e in factors_of_f:
        e = int(e)
        for i, kernel in enumerate(tower.kernels):
            if kernel.degree and kernel.radicand.d == ONE and kernel.kind != "imaginary":
                if kernel.radicand.n == q or kernel.radicand.n == -q:
                    if kernel.radicand.n == -q:
                        denominator_f = denominator_f * (-1) ** e
                    q, e = GENERATORS[i], e * kernel.degree
                    break
        denominator_f = denominator_f * q**e
        previous = by_factor.get(str(q))
        by_factor[str(q)] = (q, e + (previous[1] if previous else 0))
    factors = list(by_factor.values())
    denominator = ONE
    for q, e in factors:
        slope = tower.derivative(Quotient(q))
        if slope.is_zero:  # constant factors belong to the coefficients
            continue
        special = slope.n.gcd(q) in (q, -q)
        denominator = denominator * q ** (e if special else e - 1)
    if under_roots:
        for kernel in tower.kernels:
            if kernel.kind == "radical" and kernel.radicand.d == ONE:
                denominator = denominator * kernel.radicand.n
    f = Quotient(numerator, denominator_f, False)
    return Problem(tower, integrand, f, factors, denominator)


def sparse_support(problem: Problem, max_size: int, rounds: int) -> list[Monomial] | None:
    """Monomials mu for which a term of D(mu / V) is a monomial of f, and, `rounds` times, those
    needed for the new terms that these bring in; None where there are too many."""
    tower, kernels = problem.tower, problem.tower.kernels
    v = Quotient(problem.denominator)
    common = ONE
    for kernel in kernels:
        common = fd.lcm(common, kernel.slope.d)
    slope_v = tower.derivative(v) / v
    common = fd.lcm(common, slope_v.d)
    target = Quotient(problem.f.n * problem.denominator, problem.f.d)
    common = fd.lcm(common, target.d)
    if len(common) > 60:
        return None
    common_denominator = Quotient(common)
    varying = _constant_mask(tower)
    shifts: set[Monomial] = set()
    if not slope_v.is_zero:
        shifts |= {_masked(m, varying) for m, _ in (common_denominator * slope_v).n.terms()}
    for i, kernel in enumerate(kernels):
        if kernel.slope.is_zero:
            continue
        for m, _ in (common_denominator * kernel.slope).n.terms():
            shift = list(_masked(m, varying))
            shift[i] -= 1
            shifts.add(tuple(shift))
    for i, kernel in enumerate(kernels):
        if kernel.kind == "sin":  # 1 = s**2 + c**2 brings in lower degrees
            for shift_ in list(shifts):
                for j in (i, i + 1):
                    lower = list(shift_)
                    lower[j] -= 2
                    if lower[j] >= -1:
                        shifts.add(tuple(lower))
    limits = {i: k.degree for i, k in enumerate(kernels) if k.degree}
    target_n = tower.reduce((common_denominator * target).n)
    reached_monomials = {_masked(m, varying) for m, _ in target_n.terms()}
    front = set(reached_monomials)
    support: set[Monomial] = set()
    used = len(kernels)
    for turn in range(rounds):
        new: set[Monomial] = set()
        for m in front:
            for s in shifts:
                mu = tuple(a - b for a, b in zip(m, s, strict=True))
                if min(mu) < 0 or mu in support:
                    continue
                if any(mu[i] >= q for i, q in limits.items()):
                    continue
                new.add(mu)
            if len(support) + len(new) > 3 * max_size:
                return None
        support |= new
        if len(support) > max_size:
            return [m[:used] for m in sorted(support - new)] if turn else None
        reached: set[Monomial] = set()
        for mu in new:
            for s in shifts:
                out = tuple(a + b for a, b in zip(mu, s, strict=True))
                if min(out) >= 0:
                    reached.add(out)
        front = reached - reached_monomials
        reached_monomials |= reached
    return [m[:used] for m in sorted(support)]


def _constant_mask(tower: Tower) -> tuple[int, ...]:
    """1 for kernels that vary, 0 for constant kernels, whose powers belong to the coefficients."""
    out = [1] * fd.VARIABLES
    for i in (*tower.parameters(), *tower.algebraic_constants()):
        out[i] = 0
    return tuple(out)


def _masked(monomial: Iterable[int], mask: tuple[int, ...]) -> Monomial:
    return tuple(int(e) * keep for e, keep in zip(monomial, mask, strict=True))


def with_constants(tower: Tower, monomials: list[Monomial]) -> list[Monomial]:
    """The monomials times every reduced monomial in the algebraic constants."""
    basis = constant_basis(tower)
    if len(basis) == 1:
        return monomials
    return [tuple(a + b for a, b in zip(m, t, strict=True)) for m in monomials for t in basis]


def constant_basis(tower: Tower) -> list[Monomial]:
    """Reduced monomials in the algebraic constants, the empty one first."""
    basis: list[Monomial] = [(0,) * len(tower.kernels)]
    for i in tower.algebraic_constants():
        unit = tuple(int(j == i) for j in range(len(tower.kernels)))
        basis = [
            tuple(a + e * b for a, b in zip(t, unit, strict=True))
            for t in basis
            for e in range(tower.kernels[i].degree)
        ]
    if len(basis) > 16:
        raise Failure("too many algebraic constants")
    return basis


def _total_degree(p: Poly) -> int:
    return max((sum(fd.exponents(m)) for m, _ in p.terms()), default=0)


def _pair_degree(p: Poly, i: int) -> int:
    return max((int(m[i]) + int(m[i - 1]) for m, _ in p.terms()), default=0)


def _degree_bounds(problem: Problem, level: int) -> list[int]:
    """Bounds on the degree of the answer's numerator in each kernel; `level` 1 allows one more
    logarithm or inverse function."""
    tower = problem.tower
    numerator, denominator, v = problem.f.n, problem.f.d, problem.denominator
    degrees_n, degrees_d, degrees_v = fd.degrees(numerator), fd.degrees(denominator), fd.degrees(v)
    bounds = []
    for i, kernel in enumerate(tower.kernels):
        d = degrees_n[i] - degrees_d[i] + degrees_v[i]
        if kernel.kind == "variable":
            d += 1
        elif kernel.kind == "root":
            d += tower.root
        elif kernel.kind in ("log", "inverse", "special"):
            d += level
        elif kernel.kind == "tan":
            d -= level == 0
        elif kernel.kind == "sin":
            d = 1
        elif kernel.kind == "cos":
            denominator_degree = _pair_degree(denominator, i)
            d = max(_pair_degree(numerator, i) - denominator_degree + _pair_degree(v, i), 0)
            d += 2 * (level > 0 or denominator_degree > 0)
        elif kernel.degree:
            d = kernel.degree - 1 if kernel.radicand.d == ONE else max(d + kernel.degree - 1, 0)
        bounds.append(max(d, 0))
    for i in (*tower.parameters(), *tower.algebraic_constants()):
        bounds[i] = 0
    return bounds


def _occurs_alone(problem: Problem, indices: tuple[int, ...]) -> bool:
    """Whether the kernels occur in no other kernel's derivative and in monomial factors only."""
    for q, _ in problem.factors:
        degrees = fd.degrees(q)
        if len(q) > 1 and any(degrees[i] for i in indices):
            return False
    for j, kernel in enumerate(problem.tower.kernels):
        if j not in indices:
            n, d = fd.degrees(kernel.slope.n), fd.degrees(kernel.slope.d)
            if any(n[i] or d[i] for i in indices):
                return False
        elif len(indices) == 1 and fd.degrees(kernel.slope.n)[j] > 1:
            return False
    return True


def dense_support(problem: Problem, level: int, max_size: int) -> list[Monomial] | None:
    """All monomials within degree bounds; None where there are more than `max_size`."""
    kernels = problem.tower.kernels
    numerator, denominator, v = problem.f.n, problem.f.d, problem.denominator
    degrees_d, degrees_v = fd.degrees(denominator), fd.degrees(v)
    bounds = _degree_bounds(problem, level)
    exact: dict[int, set[int]] = {}
    parity: dict[int, set[int]] = {}
    for i, kernel in enumerate(kernels):
        if kernel.kind == "exp" and _occurs_alone(problem, (i,)):
            exact[i] = {int(m[i]) - degrees_d[i] + degrees_v[i] for m, _ in numerator.terms()}
        elif kernel.kind == "sin" and _occurs_alone(problem, (i, i + 1)):
            shift = degrees_v[i] + degrees_v[i + 1] - degrees_d[i] - degrees_d[i + 1]
            parity[i] = {(int(m[i]) + int(m[i + 1]) + shift) % 2 for m, _ in numerator.terms()}
    total = _total_degree(numerator) - _total_degree(denominator) + _total_degree(v)
    total += level + problem.tower.root + sum(1 for k in kernels if k.degree)
    total = max(total, 0)
    monomials: list[Monomial] = []

    def extend(i: int, chosen: list[int], left: int) -> None:
        if len(monomials) > max_size:
            return
        if i == len(kernels):
            monomials.append(tuple(chosen))
            return
        for e in range(min(bounds[i], left) + 1):
            if i in exact and e not in exact[i]:
                continue
            if kernels[i].kind == "cos":
                if chosen[-1] + e > bounds[i]:
                    break
                if i - 1 in parity and (chosen[-1] + e) % 2 not in parity[i - 1]:
                    continue
            extend(i + 1, [*chosen, e], left - e)

    extend(0, [], total)
    return None if len(monomials) > max_size else monomials


def check_size(problem: Problem) -> None:
    """Refuse integrands that would take too long.

    Raises:
        Failure: for numerators and denominators with too many terms.
    """
    if len(problem.f.n) > 4000 or len(problem.f.d) > 2000:
        raise Failure("the integrand is too large")
