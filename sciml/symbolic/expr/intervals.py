"""Intervals of the real line with exact, possibly infinite ends, for ball arithmetic.

A `Chart` parametrises a part of an interval by x(s), 0 <= s <= 1, so that its cells can be enclosed
in balls; a part that reaches to infinity is x = m / s.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from sciml.errors import InputError
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr

INFINITE = {1: "oo", -1: "-oo"}
_INFINITY = re.compile(r"(oo|inf|infty|infinity|\\infty|\\infinity|\N{INFINITY})", re.IGNORECASE)


@dataclass(frozen=True)
class End:
    """An end of an interval: a real number `at`, or plus or minus infinity by `sign`."""

    at: Expr | None
    sign: int = 0

    @property
    def infinite(self) -> bool:
        return self.at is None

    def __str__(self) -> str:
        return INFINITE[self.sign] if self.at is None else str(self.at)


@contextmanager
def precision(bits: int) -> Iterator[None]:
    """Arb's working precision within a `with` block."""
    from flint import ctx

    before, ctx.prec = ctx.prec, bits
    try:
        yield
    finally:
        ctx.prec = before


def infinity(value: Any) -> int:
    """1 or -1 for plus or minus infinity in any spelling (text, float, SymPy's oo), else 0."""
    text = re.sub(r"[\s{}()$]|\\[,;!]", "", str(value)[:60])
    sign = -1 if text.startswith("-") else 1
    if text[:1] in ("+", "-"):
        text = text[1:]
    return sign if _INFINITY.fullmatch(text) else 0


def ball(e: Expr) -> Any:
    """The enclosure (acb) of a constant at the working precision; not finite where undefined."""
    from flint import acb

    from sciml.symbolic.expr.evaluate import Program  # numpy loads where it is used

    try:
        return Program(e).balls({})[0]
    except (ValueError, ZeroDivisionError, OverflowError):
        return acb("nan")


def real(e: Expr) -> Any:
    """The enclosure (arb) of a real constant.

    Raises:
        InputError: for a limit that is no real number.
    """
    z = ball(e)
    if not z.is_finite() or not z.imag.contains(0) or z.imag.rad() > 1e-12:
        raise InputError(f"a limit must be a real number, got {e}")
    return z.real


def fraction(value: Fraction) -> Any:
    """A rational number as a ball."""
    from flint import arb, fmpq

    return arb(fmpq(value.numerator, value.denominator))


@dataclass(frozen=True, eq=False)
class Chart:
    """x = a + (b - a) s from `a` to `b`, or x = a / s from infinity (of a's sign) to `a`.

    `inner` says whether s = 0 and s = 1 are inner points of the interval that the charts cover.
    """

    a: Any
    b: Any = None
    inner: tuple[bool, bool] = (False, False)

    @property
    def far(self) -> bool:
        return self.b is None

    def at(self, s: Any) -> Any:
        """x(s) for a ball s."""
        return self.a / s if self.b is None else self.a + (self.b - self.a) * s

    def point(self, s: Fraction) -> Any:
        """x(s), an arb."""
        return self.at(fraction(s))

    def cell(self, low: Fraction, high: Fraction) -> Any:
        """A ball that holds x(s) for low <= s <= high; not finite for a cell with infinity."""
        return self.point(low).union(self.point(high))

    def slope(self, s: Any) -> Any:
        """|dx/ds| at a ball s."""
        return abs(self.a) / s**2 if self.b is None else self.b - self.a


def charts(low: End, high: End) -> list[Chart]:
    """Charts that together cover the interval."""
    from flint import arb

    a = None if low.at is None else real(low.at)
    b = None if high.at is None else real(high.at)
    if a is not None and b is not None:
        return [Chart(a, b)]
    seam = arb(165) / 128  # where two charts meet: no special point of any function
    left, right = -seam, seam
    if a is not None:
        left = a
        right = a if a > 0.5 else seam if a > -1 else -a * seam
    elif b is not None:
        right = b
        left = b if b < -0.5 else -seam if b < 1 else -b * seam
    inner = left is not right
    out = []
    if a is None:
        out.append(Chart(left, inner=(False, inner)))
    if inner:
        out.append(Chart(left, right, (a is None, b is None)))
    if b is None:
        out.append(Chart(right, inner=(False, inner)))
    return out


def simplify_constant(value: Expr) -> Expr:
    """A constant simplified by SymPy's values of functions at simple numbers, such as cos(pi/2) =
    0, where ball arithmetic confirms them; else unchanged."""
    from sciml.symbolic.expr.printing import from_sympy, to_sympy

    if value.op in ("num", "pi") or value.free:
        return value
    try:
        simplified = from_sympy(to_sympy(value))
    except (InputError, ex.Undefined, ex.TooLarge, ArithmeticError, RecursionError):
        return value
    if simplified is value:
        return value
    with precision(200):
        before, after = ball(value), ball(simplified)
        same = before.is_finite() and after.is_finite() and before.overlaps(after)
    return simplified if same else value


def compare_ends(low: End, high: End) -> int:
    """-1, 0 or 1 as the limit `low` is below, equal to or above `high`."""
    if low.at is None or high.at is None:
        a, b = low.sign, high.sign
        return (a > b) - (a < b)
    if low.at is high.at or simplify_constant(low.at - high.at) is ex.ZERO:
        return 0
    for bits in (300, 3000):
        with precision(bits):
            gap = real(low.at) - real(high.at)
        if not gap.contains(0):
            return 1 if gap > 0 else -1
    return 0
