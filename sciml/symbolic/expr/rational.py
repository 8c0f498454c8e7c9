"""Rational numbers: exact powers and roots, with limits on how large they may grow."""

from __future__ import annotations

import math
from fractions import Fraction

from sciml.errors import InputError

MAX_BITS = 8192
"""The largest number that constant folding may build, in bits."""


class TooLarge(InputError):
    """A number or an expression would exceed the limits."""


class Undefined(InputError):
    """A division by zero or a logarithm of zero."""


_PRIMES = [n for n in range(2, 600) if all(n % k for k in range(2, math.isqrt(n) + 1))]


def root(n: int, q: int) -> int | None:
    """The exact q-th root of n >= 0, or None."""
    if q == 2:
        r = math.isqrt(n)
    else:
        r = round(n ** (1.0 / q)) if n.bit_length() < 900 else 0
    return r if r**q == n else None


def factor_integer(n: int) -> dict[int, int]:
    """Prime factors below 600 with their multiplicities, and the cofactor as one factor."""
    out: dict[int, int] = {}
    for p in _PRIMES:
        if p * p > n:
            break
        while n % p == 0:
            out[p] = out.get(p, 0) + 1
            n //= p
    if n > 1:
        for q in (2, 3):
            r = root(n, q)
            if r is not None:
                out[r] = out.get(r, 0) + q
                return out
        out[n] = out.get(n, 0) + 1
    return out


def power(
    base: Fraction, exponent: Fraction
) -> tuple[Fraction, list[tuple[int, Fraction]], Fraction]:
    """base ** exponent as (w, [(p, e), ...], t): a rational number w, times radicals p**e with
    0 < e < 1, times the phase (-1)**t with 0 <= t < 1.

    Raises:
        Undefined: zero to a negative power.
        TooLarge: more than `MAX_BITS` bits.
    """
    if base == 0:
        if exponent < 0:
            raise Undefined("division by zero")
        return Fraction(0), [], Fraction(0)
    if exponent.denominator == 1:
        n = exponent.numerator
        size = max(abs(base.numerator).bit_length(), base.denominator.bit_length())
        if abs(base) != 1 and size * abs(n) > MAX_BITS:
            raise TooLarge(f"a power would have more than {MAX_BITS} bits")
        return base**n, [], Fraction(0)
    value, radicals, phase = Fraction(1), [], Fraction(0)
    for part, side in ((abs(base.numerator), 1), (base.denominator, -1)):
        for prime, count in factor_integer(part).items():
            e = exponent * count * side
            floor = math.floor(e)
            if floor:
                if prime.bit_length() * abs(floor) > MAX_BITS:
                    raise TooLarge(f"a power would have more than {MAX_BITS} bits")
                value *= Fraction(prime) ** floor
            if e != floor:
                radicals.append((prime, e - floor))
    if base < 0:
        floor = math.floor(exponent)
        value *= (-1) ** floor
        phase = exponent - floor
    return value, radicals, phase
