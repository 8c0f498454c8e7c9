"""The value of a definite integral by quadrature alone, to as many digits as its ends allow.

Ball arithmetic bounds the error of the rule, but next to a singular or infinite end the integral is
cut off. Two cuts, of which the second leaves at most the square of what the first leaves for every
power and every exponential, tell how much is missing; that estimate is not rigorous.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from sciml.symbolic.definite.confirmation import Piece, is_bounded_at_end
from sciml.symbolic.definite.quadrature import (
    BALL_ERRORS,
    absolute_arguments_are_real,
    integrate_chart,
)
from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.intervals import Chart, precision

BITS = 150
_EVALUATIONS = 40_000


def _cuts(bits: int) -> tuple[int, int]:
    """The integral is cut off at 2**-cut from a singular end."""
    return 3 * bits // 4, 3 * bits // 2


@dataclass(frozen=True)
class Digits:
    """A number known to `bits` binary digits, relative to its size: `value` is a ball."""

    value: Any
    bits: int


def numerical_value(pieces: list[Piece], x: str, bits: int = BITS) -> Digits | None:
    """The integral over the pieces; None where the rule does not converge, and where less than two
    fifths of the binary digits asked for are certain."""
    from flint import acb, arb

    with precision(4 * bits):
        parts = _enclose(pieces, x, bits)
        if parts is None:
            return None
        total, size, error = parts
        scale = abs(total).mid()
        if not size > 0 or not scale > 0 or not error < scale:
            return None
        known = bits if error == 0 else int(float((scale / error).log() / arb(2).log()))
        known = min(known, bits)
        radius = arb(0, scale * arb(2) ** -known)
        value = acb(total.real.mid() + radius, total.imag.mid() + radius)
        return Digits(value, known) if known >= 0.4 * bits else None


def is_absolutely_small(pieces: list[Piece], x: str) -> bool:
    """Whether quadrature converges, to a number that is nothing beside the parts that it adds."""
    with precision(4 * BITS):
        parts = _enclose(pieces, x, 80)
        if parts is None:
            return False
        total, size, error = parts
        return bool(error < (1 + size) * 1e-12 and abs(total).lower() <= error)


def _enclose(pieces: list[Piece], x: str, bits: int) -> tuple[Any, Any, Any] | None:
    """(total, sum of the sizes of its parts, bound on the error); None where the rule does not
    converge."""
    from flint import acb, arb

    total, missing, size = acb(0), arb(0), arb(0)
    for piece in pieces:
        program = Program(piece.f)
        for chart in piece.charts:
            samples = [chart.point(Fraction(k, 16)) for k in (1, 5, 8, 13, 15)]
            if not absolute_arguments_are_real(piece.f, x, samples):
                return None
            try:
                value, tail = _on_chart(program, x, chart, bits)
            except BALL_ERRORS:
                return None
            if not value.is_finite():
                return None
            total, size, missing = total + value, size + abs(value).upper(), missing + tail
    return total, size, max(total.real.rad(), total.imag.rad()) + missing


def _on_chart(program: Program, x: str, chart: Chart, bits: int) -> tuple[Any, Any]:
    """(integral over the chart, estimate of what is missing at its ends)."""
    from flint import acb, arb

    stops = (
        chart.far or not is_bounded_at_end(program, x, chart, False),
        not is_bounded_at_end(program, x, chart, True),
    )
    if not any(stops):
        with precision(bits + 80):
            return integrate_chart(program, x, chart, stops, 0, 0, bits, _EVALUATIONS), arb(0)
    negligible = [_negligible_from(program, x, chart, end, bits) if stops[end] else 0
                  for end in (0, 1)]  # fmt: skip
    with precision(3 * bits + 80):
        values = []
        for cut in _cuts(bits):
            depth = (negligible[0] or cut, negligible[1] or cut)
            values.append(integrate_chart(program, x, chart, stops, depth, 0, bits, _EVALUATIONS))
            if not values[-1].is_finite():
                return acb("nan"), arb(0)
            if all(n or not stop for n, stop in zip(negligible, stops, strict=True)):
                return values[0], arb(0)
    tail = abs(values[1] - values[0]).upper()
    return values[1], tail if tail >= 1 else tail**1.5


def _negligible_from(program: Program, x: str, chart: Chart, end: int, bits: int) -> int:
    """The k for which the integrand is negligible nearer than 2**-k to an end of the chart, as
    exponentials are; 0 where it falls like a power or not at all."""
    from flint import acb, arb

    def size(k: int) -> Any:
        s = arb(2) ** -k
        try:
            z = program.balls({x: acb(chart.at(1 - s if end else s))})[0] * chart.slope(
                1 - s if end else s
            )
        except BALL_ERRORS:
            return arb("nan")
        return abs(z * s).upper()

    with precision(4 * bits):
        largest = max((v for k in range(1, 12) if (v := size(k)).is_finite()), default=arb(0))
        bound = largest * arb(2) ** -(bits + 60)
        for k in range(1, 60):
            if all((v := size(j)).is_finite() and v <= bound for j in (k, k + 1, k + 2)):
                return k
    return 0
