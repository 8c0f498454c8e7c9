"""A closed form for a number known to many digits, by lattice reduction.

A relation a0 v + a1 b1 + ... = 0 with small integers among v and constants b1, ... is a short
vector of a lattice (A. K. Lenstra, H. W. Lenstra, L. Lovasz (1982)). It counts only if its integers
have far fewer digits than v: chance relations of `MARGIN` more bits than that have probability
2**-MARGIN. The constants are those that integrals of the kind of f have: pi, logarithms and roots
of small numbers, and functions of the numbers in the problem.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from sciml.symbolic.definite.numerical_value import Digits
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import ball, precision

MARGIN = 50
_PRIMES = (2, 3, 5, 7)


def _log(n: int) -> Expr:
    return ex.call("log", ex.number(n))


def _scales() -> list[Expr]:
    """Constants whose rational multiples are tried first."""
    roots = [ex.sqrt(n) for n in (1, 2, 3, 5, 6, 7, 10)]
    powers = [ex.power(ex.PI, ex.number(Fraction(k, 2))) for k in (0, 2, 1, 4, 6, 8, -1, 3, -2)]
    return [p * r for p in powers for r in roots]


def _bases() -> Iterator[list[Expr]]:
    """Sets of constants, from the likeliest to the largest."""
    one, pi, logs = ex.ONE, ex.PI, [_log(n) for n in _PRIMES]
    yield [one, pi]
    yield [one, *logs[:2]]
    yield [pi * logs[0], pi * logs[1]]
    yield [one, pi**2, logs[0] ** 2, pi * logs[0]]
    yield [one, ex.sqrt(2), pi * ex.sqrt(2), ex.sqrt(2) * ex.call("log", 1 + ex.sqrt(2)),
           ex.call("log", 1 + ex.sqrt(2))]  # fmt: skip
    yield [one, pi, ex.sqrt(3), pi * ex.sqrt(3), logs[0], logs[1]]
    yield [one, pi, *logs]
    yield [one, pi, pi**2, logs[0], pi * logs[0], logs[0] ** 2]
    yield [one, ex.sqrt(5), ex.call("log", (1 + ex.sqrt(5)) / 2), pi,
           ex.sqrt(5) * ex.call("log", (1 + ex.sqrt(5)) / 2)]  # fmt: skip
    yield [one, ex.sqrt(pi), ex.sqrt(2 * pi)]


def _of_problem(f: Expr, ends: list[Expr]) -> Iterator[list[Expr]]:
    """Sets of constants with functions of numbers in the problem."""
    numbers = {1, 2}
    for node in [n for e in (f, *ends) for n in ex.subtrees(e)]:
        if node.op == "num" and node.value.denominator == 1 and 1 <= abs(node.value) <= 50:
            numbers.add(abs(int(node.value)))
    names = {n.op for e in (f, *ends) for n in ex.subtrees(e)}
    small = sorted(numbers)[:5]
    if names & {"exp", "cosh", "sinh", "cos", "sin", "tanh"} or ex.E in ends:
        for k in small:
            for sign in (1, -1):
                power = ex.call("exp", ex.number(sign * k))
                yield [power * ex.PI]
                yield [ex.ONE, power]
                yield [power * ex.PI * ex.call("sin", ex.number(k)),
                       power * ex.PI * ex.call("cos", ex.number(k))]  # fmt: skip
                yield [power * ex.sqrt(ex.PI)]
    if names & {"sin", "cos", "tan"}:
        for k in small:
            sine, cosine = (ex.call(name, ex.number(k)) for name in ("sin", "cos"))
            yield [ex.ONE, sine, cosine]
            yield [ex.ONE, ex.PI, sine, cosine]
    for k in small:
        if k > 7:
            yield [ex.ONE, _log(k), _log(2), _log(3)]


def recognise(digits: Digits, f: Expr, ends: list[Expr]) -> Expr | None:
    """A closed form that has the digits, or None.

    Args:
        digits: the number.
        f: the integrand.
        ends: the finite limits.
    """
    value = digits.value
    if value.imag.contains(0):
        value = value.real
    else:
        return None
    with precision(digits.bits + 100):
        for scale in _scales():
            found = _relation(value, [scale], digits.bits)
            if found is not None:
                return found
        for basis in [*_bases(), *_of_problem(f, ends)]:
            found = _relation(value, basis, digits.bits)
            if found is not None:
                return found
        square = _relation(value**2, [ex.PI], digits.bits - 2)
        if square is not None and value > 0:
            return ex.sqrt(square)
    return None


def _relation(value: Any, basis: list[Expr], bits: int) -> Expr | None:
    """The value as a combination of the basis with small rational coefficients."""
    from flint import arb, fmpz_mat

    values = [ball(b).real for b in basis]
    if not all(v.is_finite() for v in values):
        return None
    largest = max([abs(value).mid(), *(abs(v).mid() for v in values)])
    unit = arb(2) ** (bits - 4) / abs(value).mid()
    columns = [int((v.mid() * unit).mid().floor().fmpz()) for v in (value, *values)]
    count = len(columns)
    rows = [[int(i == j) for j in range(count)] + [columns[i]] for i in range(count)]
    if not largest > 0:
        return None
    reduced = fmpz_mat(rows).lll()
    relation = [int(reduced[0, j]) for j in range(count)]
    lengths = sum(abs(r).bit_length() for r in relation)
    if not relation[0] or lengths + MARGIN + 4 > bits:
        return None
    closed = ex.add(
        [Fraction(-r, relation[0]) * b for r, b in zip(relation[1:], basis, strict=True)]
    )
    return closed if closed is not ex.ZERO and ball(closed).real.overlaps(value) else None
