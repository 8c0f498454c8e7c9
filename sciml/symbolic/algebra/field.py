"""Multivariate polynomials over the integers and their field of fractions, on python-flint.

One ring of `VARIABLES` generators serves every problem: generator i is kernel i of its tower.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from flint import Ordering, fmpq_mpoly_ctx, fmpz_mpoly_ctx

VARIABLES = 24
_MAX_NUMERATOR, _MAX_DENOMINATOR = 20_000, 5_000
"""Terms of the largest polynomials."""

RING = fmpz_mpoly_ctx.get([f"v{i}" for i in range(VARIABLES)], Ordering.lex)
_RATIONAL = fmpq_mpoly_ctx.get([f"v{i}" for i in range(VARIABLES)], Ordering.lex)
GENERATORS = RING.gens()
ONE = RING.from_dict({(0,) * VARIABLES: 1})
ZERO = RING.from_dict({})
Poly = Any


class Failure(Exception):
    """The method cannot be applied to this problem."""


class Quotient:
    """n / d with polynomials n, d, in lowest terms unless `reduce` is False."""

    __slots__ = ("n", "d")

    def __init__(self, n: Poly, d: Poly = ONE, reduce: bool = True) -> None:
        if reduce and d != ONE:
            if n == 0:
                d = ONE
            else:
                g = n.gcd(d)
                if g != 1:
                    n, d = n // g, d // g
        if len(n) > _MAX_NUMERATOR or len(d) > _MAX_DENOMINATOR:
            raise Failure("a polynomial grew too large")
        self.n, self.d = n, d

    def __add__(self, other: Quotient) -> Quotient:
        if self.d == other.d:
            return Quotient(self.n + other.n, self.d)
        return Quotient(self.n * other.d + other.n * self.d, self.d * other.d)

    def __neg__(self) -> Quotient:
        return Quotient(-self.n, self.d, False)

    def __sub__(self, other: Quotient) -> Quotient:
        return self + (-other)

    def __mul__(self, other: Quotient) -> Quotient:
        return Quotient(self.n * other.n, self.d * other.d)

    def __truediv__(self, other: Quotient) -> Quotient:
        if other.n == 0:
            raise Failure("division by zero")
        return Quotient(self.n * other.d, self.d * other.n)

    def __pow__(self, k: int) -> Quotient:
        if abs(k) > 40 and (len(self.n) > 1 or len(self.d) > 1):
            raise Failure("a power is too high")
        if abs(k) > 2000:
            raise Failure("a power is too high")
        if k >= 0:
            return Quotient(self.n**k, self.d**k, False)
        if self.n == 0:
            raise Failure("division by zero")
        return Quotient(self.d ** (-k), self.n ** (-k), False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quotient) and self.n * other.d == other.n * self.d

    __hash__ = None  # type: ignore[assignment]

    @property
    def is_zero(self) -> bool:
        return self.n == 0


def constant(value: Fraction | int) -> Quotient:
    """A rational number as a quotient."""
    value = Fraction(value)
    return Quotient(ONE * value.numerator, ONE * value.denominator, False)


Q0, Q1 = Quotient(ZERO), Quotient(ONE)


def generator(i: int, power: int = 1) -> Quotient:
    """Generator i to a power."""
    return Quotient(GENERATORS[i] ** power)


def exponents(monomial: Any) -> tuple[int, ...]:
    """The exponent vector of a monomial as plain integers."""
    return tuple(map(int, monomial))


def degrees(p: Poly) -> list[int]:
    """The degree of `p` in each generator; zeros for the zero polynomial."""
    return [0] * VARIABLES if p == 0 else [int(z) for z in p.degrees()]


def lcm(a: Poly, b: Poly) -> Poly:
    """Least common multiple."""
    return a * (b // a.gcd(b))


def factor(p: Poly) -> tuple[Any, list[tuple[Poly, Any]]]:
    """The content and the irreducible factors with their multiplicities."""
    try:
        content, factors = p.factor()
    except OverflowError:  # python-flint 0.9 sorts factors by their coefficients as C integers
        content, over_q = _RATIONAL.from_dict(p.to_dict()).factor()
        factors = [(RING.from_dict({m: c.p for m, c in q.to_dict().items()}), e)
                   for q, e in over_q]  # fmt: skip
        content = content.p
    return content, factors


def square_root(p: Poly) -> tuple[int, Poly] | None:
    """(k, s) with p = k * s**2, k an integer, or None."""
    if p == 0:
        return None
    content, factors = factor(p)
    root = ONE
    for q, e in factors:
        if int(e) % 2:
            return None
        root = root * q ** (int(e) // 2)
    return int(content), root


def rational_root(k: Fraction) -> Fraction | None:
    """The positive square root of a rational number, where it is rational."""
    if k <= 0:
        return None
    n, d = math.isqrt(k.numerator), math.isqrt(k.denominator)
    return Fraction(n, d) if n * n == k.numerator and d * d == k.denominator else None


def signed_square_root(u: Quotient) -> tuple[Fraction, Quotient] | None:
    """(k, w) with u = k * w**2 and k a square-free rational up to sign, or None."""
    if u.n == 0:
        return None
    top, bottom = square_root(u.n), square_root(u.d)
    if top is None or bottom is None:
        return None
    return Fraction(top[0], bottom[0]), Quotient(top[1], bottom[1])


def quotient_root(u: Quotient) -> Quotient | None:
    """w with w**2 = u, or None."""
    parts = signed_square_root(u)
    if parts is None:
        return None
    k, w = parts
    root = rational_root(k)
    return None if root is None else constant(root) * w


def by_degree(p: Poly, i: int, degree: int) -> list[Poly]:
    """Coefficients of p as a polynomial in generator i: [p0, p1, ..., p_degree]."""
    parts: list[dict[tuple[int, ...], Any]] = [{} for _ in range(degree + 1)]
    for monomial, c in p.terms():
        rest = list(exponents(monomial))
        k = rest[i]
        rest[i] = 0
        parts[k][tuple(rest)] = c
    return [RING.from_dict(part) for part in parts]
