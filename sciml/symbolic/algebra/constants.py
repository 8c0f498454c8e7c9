"""Short forms of real constants: p + q sqrt(d), sqrt(p + q sqrt(d)) and their products with the
radicals and circular functions that occur in them.

A form is guessed by an integer relation of 300-bit values (Lenstra, Lenstra and Lovasz 1982) and
confirmed by an enclosure of 2,000 bits. That is no proof: an answer that is rewritten with it is
verified again.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from typing import Any

from flint import arb, fmpz_mat

from sciml.symbolic.algebra.field import rational_root
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import precision
from sciml.symbolic.expr.rational import factor_integer

_BITS, _CONFIRM = 300, 2000
_MAX_COEFFICIENT = 2**50
"""Larger coefficients of a relation between 300-bit numbers may be chance."""
_MAX_SCALES, _MAX_ROOTS = 40, 4
_CIRCULAR = ("sin", "cos", "tan")


class ShortConstants:
    """Short forms of the constants of one expression; a nested radical that one of them needs is
    used for the others, too, so that they stay in one small field."""

    def __init__(self) -> None:
        self.radicals: list[Expr] = []
        self.memo: dict[Expr, Expr] = {}

    def __call__(self, e: Expr) -> Expr:
        """The shortest form of a constant that is found; `e` itself where none is shorter."""
        if e not in self.memo:
            self.memo[e] = self._shorten(e)
        return self.memo[e]

    def _shorten(self, e: Expr) -> Expr:
        if ex.size(e) < 5 or e.free or any(n.op == "I" for n in ex.subtrees(e)):
            return e
        value = _value(e, _BITS)
        if value is None:
            return e
        best, cost = e, self._cost(e)
        for form in _forms(e, value, self.radicals):
            size = self._cost(form)
            if size < cost and _equal(form, e):
                best = form
                break
        for n in ex.subtrees(best):
            if _nested(n) and n not in self.radicals:
                self.radicals.append(n)
        return best

    def _cost(self, e: Expr) -> int:
        """The size; a nested radical that is not yet in use counts twice."""
        new = sum(ex.size(n) for n in ex.subtrees(e) if _nested(n) and n not in self.radicals)
        return ex.size(e) + new


def _nested(n: Expr) -> bool:
    return n.op == "pow" and n.args[0].op == "add" and n.args[1] is ex.HALF


@lru_cache(maxsize=2000)
def _value(e: Expr, bits: int) -> arb | None:
    """An enclosure of a real constant; None where it is not real or not determined."""
    try:
        with precision(bits + 200):
            z = Program(e).balls({})[0]
            sharp = z.is_finite() and z.imag.contains(0) and z.real.rel_accuracy_bits() > bits
            return z.real if sharp or z.real == 0 else None
    except (ValueError, OverflowError, ZeroDivisionError):
        return None


def _equal(a: Expr, b: Expr) -> bool:
    first, second = _value(a, _CONFIRM), _value(b, _CONFIRM)
    return first is not None and second is not None and bool(first.overlaps(second))


def _forms(e: Expr, value: arb, radicals: list[Expr]) -> Iterator[Expr]:
    """Forms that `e` may have, simplest first."""
    nodes = ex.subtrees(e)
    roots = _square_free(nodes)
    for scale in _scales(nodes, radicals):
        unit = _value(scale, _BITS)
        if unit is None or unit == 0:
            continue
        with precision(_BITS):
            ratio = value / unit
            square = ratio * ratio
            sign = 1 if ratio > 0 else -1
        for d in roots:
            linear = _in_quadratic_field(ratio, d)
            if linear is not None:
                p, q = linear
                yield scale * (ex.number(p) + ex.number(q) * ex.sqrt(d))
                break
            squared = _in_quadratic_field(square, d)
            if squared is not None:
                yield scale * sign * _root_of(*squared, d)
                break


def _root_of(p: Fraction, q: Fraction, d: int) -> Expr:
    """sqrt(p + q sqrt(d)), as a sum of square roots where it is one."""
    inner = rational_root(p * p - q * q * d)
    if inner is not None:
        first, second = ex.sqrt(ex.number((p + inner) / 2)), ex.sqrt(ex.number((p - inner) / 2))
        return first + second if q > 0 else first - second
    bottom = math.lcm(p.denominator, q.denominator)
    content = Fraction(math.gcd(int(p * bottom), int(q * bottom)), bottom)
    rest = ex.sqrt(ex.number(p / content) + ex.number(q / content) * ex.sqrt(d))
    return ex.sqrt(ex.number(content)) * rest


def _square_free(nodes: list[Expr]) -> list[int]:
    """1 and the square-free d for which sqrt(d) occurs, or may by the angles that occur."""
    found: dict[int, None] = {1: None}
    for n in nodes:
        if n.op in _CIRCULAR:
            found.update(dict.fromkeys((2, 3, 5)))
        if n.op == "pow" and n.args[1].op == "num" and n.args[1].value.denominator % 2 == 0:
            base = n.args[0]
            if base.op == "num" and base.value > 0:
                found[base.value.numerator * base.value.denominator] = None
    plain = list(found)[: _MAX_ROOTS + 1]
    for a, b in itertools.combinations(plain[1:], 2):
        product = ex.sqrt(a * b)
        if product.op == "pow":
            found[int(product.args[0].value)] = None
    return [d for d in list(found)[: 2 * _MAX_ROOTS] if d > 0]


def _scales(nodes: list[Expr], nested: list[Expr]) -> Iterator[Expr]:
    """1, products of the radicals of primes that occur, and these times a nested radical or a
    circular function."""
    steps: dict[int, int] = {}
    circular: list[Expr] = []
    for n in nodes:
        if n.op == "pow" and n.args[0].op == n.args[1].op == "num":
            base, q = n.args[0].value, n.args[1].value.denominator
            if q > 1 and base > 0:
                for prime in factor_integer(base.numerator * base.denominator):
                    steps[prime] = max(steps.get(prime, 1), q)
        elif n.op in _CIRCULAR or (n.op == "pow" and n.args[0].op == "add"):
            circular.append(n)
    powers = [[Fraction(k, q) for k in range(q)] for q in steps.values()]
    radicals = [
        ex.mul([ex.power(ex.number(p), ex.number(k)) for p, k in zip(steps, ks, strict=True)])
        for ks in itertools.islice(itertools.product(*powers), _MAX_SCALES)
    ]
    for extra in (ex.ONE, *nested[:4], *circular[:2]):
        for radical in radicals:
            yield radical * extra


def _in_quadratic_field(v: Any, d: int) -> tuple[Fraction, Fraction] | None:
    """(p, q) with v = p + q sqrt(d), as far as 300 bits show."""
    with precision(_BITS):
        basis = [v, arb(1)] if d == 1 else [v, arb(1), arb(d).sqrt()]
        scale = arb(2) ** (_BITS - 60)
        rows = []
        for k, b in enumerate(basis):
            digits = (b * scale).mid().unique_fmpz() or (b * scale).floor().unique_fmpz()
            if digits is None:
                return None
            rows.append([int(k == j) for j in range(len(basis))] + [int(digits)])
    relation = [int(c) for c in fmpz_mat(rows).lll().table()[0]]
    if not relation[0] or max(map(abs, relation)) > _MAX_COEFFICIENT:
        return None
    p = Fraction(-relation[1], relation[0])
    return p, Fraction(-relation[2], relation[0]) if d > 1 else Fraction(0)
