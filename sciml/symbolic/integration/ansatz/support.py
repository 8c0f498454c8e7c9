"""The shape of the answer: its denominator, and the monomials its numerator may hold.

A factor q**e of the integrand's denominator stays whole if q divides its own derivative (special:
exponentials, 1 + tan**2) and loses one power if not (normal). Two supports are tried: the sparse
closure under "one step of differentiation behind a known monomial", and a dense box of degrees.
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
    """An integrand in its tower.

    Attributes:
        tower: the kernels.
        expr: the integrand.
        f: the integrand as a quotient, its denominator in terms of radicals.
        factors: the denominator's factors and their exponents.
        denominator: the answer's denominator.
    """

    tower: Tower
    expr: Expr
    f: Quotient
    factors: list[tuple[Poly, int]]
    denominator: Poly


def pose(tower: Tower, integrand: Expr, *, under_roots: bool = False) -> Problem:
    """Convert the integrand and find its denominator's factors.

    With `under_roots`, what stands under square roots may also stand below the answer: the kernels'
    polynomials need not hold every function without poles, such as cos(x)/sqrt(1 + sin(x)).
    """
    f = tower.convert(integrand)
    top = tower.reduce(f.n)
    content, raw = factor(f.d)
    below = ONE * int(content)
    counted: dict[str, tuple[Poly, int]] = {}
    for q, e in raw:
        e = int(e)
        for i, kernel in enumerate(tower.kernels):
            if kernel.degree and kernel.radicand.d == ONE and kernel.kind != "imaginary":
                if kernel.radicand.n == q or kernel.radicand.n == -q:
                    if kernel.radicand.n == -q:
                        below = below * (-1) ** e
                    q, e = GENERATORS[i], e * kernel.degree
                    break
        below = below * q**e
        known = counted.get(str(q))
        counted[str(q)] = (q, e + (known[1] if known else 0))
    factors = list(counted.values())
    denominator = ONE
    for q, e in factors:
        slope = tower.derivative(Quotient(q))
        if slope.is_zero:  # a constant: part of the coefficients
            continue
        special = slope.n.gcd(q) in (q, -q)
        denominator = denominator * q ** (e if special else e - 1)
    if under_roots:
        for kernel in tower.kernels:
            if kernel.kind == "radical" and kernel.radicand.d == ONE:
                denominator = denominator * kernel.radicand.n
    return Problem(tower, integrand, Quotient(top, below, False), factors, denominator)


def closure(problem: Problem, most: int, rounds: int) -> list[Monomial] | None:
    """Monomials mu such that terms of D(mu / V) meet monomials of f, and so on `rounds` times."""
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
    whole = Quotient(common)
    fixed = _constant_mask(tower)
    shifts: set[Monomial] = set()
    if not slope_v.is_zero:
        shifts |= {_masked(m, fixed) for m, _ in (whole * slope_v).n.terms()}
    for i, kernel in enumerate(kernels):
        if kernel.slope.is_zero:
            continue
        for m, _ in (whole * kernel.slope).n.terms():
            shift = list(_masked(m, fixed))
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
    known = {_masked(m, fixed) for m, _ in tower.reduce((whole * target).n).terms()}
    front = set(known)
    found: set[Monomial] = set()
    used = len(kernels)
    for turn in range(rounds):
        new: set[Monomial] = set()
        for m in front:
            for s in shifts:
                mu = tuple(a - b for a, b in zip(m, s, strict=True))
                if min(mu) < 0 or mu in found:
                    continue
                if any(mu[i] >= q for i, q in limits.items()):
                    continue
                new.add(mu)
            if len(found) + len(new) > 3 * most:
                return None
        found |= new
        if len(found) > most:
            return [m[:used] for m in sorted(found - new)] if turn else None
        reached: set[Monomial] = set()
        for mu in new:
            for s in shifts:
                out = tuple(a + b for a, b in zip(mu, s, strict=True))
                if min(out) >= 0:
                    reached.add(out)
        front = reached - known
        known |= reached
    return [m[:used] for m in sorted(found)]


def _constant_mask(tower: Tower) -> tuple[int, ...]:
    """1 for kernels that vary, 0 for constants, whose powers belong to the coefficients."""
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


def _total(p: Poly) -> int:
    return max((sum(fd.exponents(m)) for m, _ in p.terms()), default=0)


def _pair_total(p: Poly, i: int) -> int:
    return max((int(m[i]) + int(m[i - 1]) for m, _ in p.terms()), default=0)


def _bounds(problem: Problem, level: int) -> list[int]:
    tower = problem.tower
    top, below, v = problem.f.n, problem.f.d, problem.denominator
    dn, dd, dv = fd.degrees(top), fd.degrees(below), fd.degrees(v)
    out = []
    for i, kernel in enumerate(tower.kernels):
        d = dn[i] - dd[i] + dv[i]
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
            below_total = _pair_total(below, i)
            d = max(_pair_total(top, i) - below_total + _pair_total(v, i), 0)
            d += 2 * (level > 0 or below_total > 0)
        elif kernel.degree:
            d = kernel.degree - 1 if kernel.radicand.d == ONE else max(d + kernel.degree - 1, 0)
        out.append(max(d, 0))
    for i in (*tower.parameters(), *tower.algebraic_constants()):
        out[i] = 0
    return out


def _alone(problem: Problem, indices: tuple[int, ...]) -> bool:
    """Whether the kernels occur in no other kernel's slope and in no factor but monomials."""
    for q, _ in problem.factors:
        high = fd.degrees(q)
        if len(q) > 1 and any(high[i] for i in indices):
            return False
    for j, kernel in enumerate(problem.tower.kernels):
        if j not in indices:
            n, d = fd.degrees(kernel.slope.n), fd.degrees(kernel.slope.d)
            if any(n[i] or d[i] for i in indices):
                return False
        elif len(indices) == 1 and fd.degrees(kernel.slope.n)[j] > 1:
            return False
    return True


def box(problem: Problem, level: int, most: int) -> list[Monomial] | None:
    """All monomials within degree bounds; None where there are more than `most`."""
    kernels = problem.tower.kernels
    top, below, v = problem.f.n, problem.f.d, problem.denominator
    dd, dv = fd.degrees(below), fd.degrees(v)
    high = _bounds(problem, level)
    exact: dict[int, set[int]] = {}
    parity: dict[int, set[int]] = {}
    for i, kernel in enumerate(kernels):
        if kernel.kind == "exp" and _alone(problem, (i,)):
            exact[i] = {int(m[i]) - dd[i] + dv[i] for m, _ in top.terms()}
        elif kernel.kind == "sin" and _alone(problem, (i, i + 1)):
            shift = dv[i] + dv[i + 1] - dd[i] - dd[i + 1]
            parity[i] = {(int(m[i]) + int(m[i + 1]) + shift) % 2 for m, _ in top.terms()}
    total = _total(top) - _total(below) + _total(v) + level + problem.tower.root
    total = max(total + sum(1 for k in kernels if k.degree), 0)
    out: list[Monomial] = []

    def extend(i: int, chosen: list[int], left: int) -> None:
        if len(out) > most:
            return
        if i == len(kernels):
            out.append(tuple(chosen))
            return
        for e in range(min(high[i], left) + 1):
            if i in exact and e not in exact[i]:
                continue
            if kernels[i].kind == "cos":
                if chosen[-1] + e > high[i]:
                    break
                if i - 1 in parity and (chosen[-1] + e) % 2 not in parity[i - 1]:
                    continue
            extend(i + 1, [*chosen, e], left - e)

    extend(0, [], total)
    return None if len(out) > most else out


def check_size(problem: Problem) -> None:
    """Refuse what would take too long before it is tried."""
    if len(problem.f.n) > 4000 or len(problem.f.d) > 2000:
        raise Failure("the integrand is too large")
