"""Whether a value of a definite integral lies in what rigorous quadrature finds without F."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from sciml.symbolic import expression as ex
from sciml.symbolic.breaks import Cell
from sciml.symbolic.evaluate import Program
from sciml.symbolic.expression import Expr
from sciml.symbolic.intervals import Chart, End, ball, fraction, precision
from sciml.symbolic.quadrature import ERRORS, enclosure, real_where_it_matters

AGREEMENT = 1e-9
"""Largest width of the enclosure, relative to the value, that confirms it."""
STRICT = 1e-20
"""And where the antiderivative itself was not confirmed, or, of the integral of |f|, where the
value is 0."""
NEAR = 200
"""Binary digits: how near to a singular end the enclosure goes."""
Ball = Any


@dataclass
class Piece:
    """A stretch between two neighbouring split points.

    Attributes:
        low, high: its ends.
        charts: what covers it.
        f: the integrand, in the form that it has there.
        big: an antiderivative.
        proved: whether F' = f is proved.
        ends: the limits of F at the ends.
        jumps: the jumps of F between them.
        cells: where F may be discontinuous.
    """

    low: End
    high: End
    charts: list[Chart]
    f: Expr
    big: Expr | None = None
    proved: bool = False
    ends: list[Expr] = field(default_factory=list)
    jumps: list[Expr] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)


def confirmed(pieces: list[Piece], x: str, value: Expr, tolerance: float) -> tuple[str, Ball]:
    """An empty text when quadrature confirms the value, else why it does not; and the integral as
    far as it is known (a ball, or None)."""
    try:
        total, missed = quadrature(pieces, x)
    except ERRORS:
        total, missed = None, None
    with precision(4 * NEAR):
        goal = ball(value)
        if not goal.is_finite():
            return "the value could not be computed", total
        if total is not None:
            if not abs(goal - total).lower() <= abs(missed).upper():
                return f"quadrature gives {digits(total, 12)}, which refutes the value", total
            size = abs(goal).lower()
            zero = value is ex.ZERO or not size > 0
            width = max(total.real.rad(), total.imag.rad()) + abs(missed).upper()
            if width <= (_size(pieces, x) * STRICT if zero else size * tolerance):
                return "", goal
        if tolerance > STRICT and _in_parts(pieces, x):
            return "", goal
    if total is None:
        return "the value could not be compared with quadrature", None
    return "quadrature is not sharp enough to confirm the value", total


def quadrature(pieces: list[Piece], x: str) -> tuple[Ball, Ball]:
    """A ball that holds the integral, None where there is none, and how much there is by F between
    the enclosure and the singular ends."""
    from flint import acb

    total, missed = acb(0), acb(0)
    for piece in pieces:
        for chart in piece.charts:
            found = _of_chart(piece, x, chart)
            if found is None:
                return None, None
            with precision(4 * NEAR):
                total, missed = total + found[0], missed + found[1]
    return total, missed


def _of_chart(piece: Piece, x: str, chart: Chart) -> tuple[Ball, Ball] | None:
    from flint import acb

    program = Program(piece.f)
    if x not in piece.f.free and not chart.far:
        with precision(4 * NEAR):
            return program.balls({})[0] * (chart.b - chart.a), acb(0)
    first = chart.far or not _calm(program, x, chart, False)
    last = not _calm(program, x, chart, True)
    with precision(300):
        samples = [chart.point(Fraction(k, 16)) for k in (1, 5, 8, 13, 15)]
        if not real_where_it_matters(piece.f, x, samples):
            return None
    if not (first or last):
        with precision(160):
            found, _, _ = enclosure(program, x, chart, (False, False), NEAR)
            return (found, acb(0)) if found.is_finite() else None
    with precision(2 * NEAR + 100):
        depth, missed = _depth(piece, x, chart, first, last)
        found, _, _ = enclosure(program, x, chart, (first, last), depth)
        return (found, missed) if found.is_finite() and missed.is_finite() else None


def _depth(piece: Piece, x: str, chart: Chart, first: bool, last: bool) -> tuple[int, Ball]:
    """How near to its singular ends (2**-depth) the chart is integrated, and what F says is left;
    nearer only where what is left matters."""
    from flint import acb, arb

    if piece.big is None or not piece.ends:
        return NEAR, acb(0)
    big = Program(piece.big)
    low, high = (ball(e) for e in piece.ends)
    start = high if chart.far and chart.a > 0 else low
    depth, missed = 0, acb("nan")
    for depth in (4, 8, 16, 32, 64, 128, NEAR):
        s = arb(2) ** -depth
        missed = acb(0)
        try:
            if first:
                missed += abs(big.balls({x: chart.at(s)})[0] - start)
            if last:
                missed += abs(big.balls({x: chart.at(1 - s)})[0] - high)
        except ERRORS:
            missed = acb("nan")
        if missed.is_finite() and abs(missed).upper() <= abs(high - low).lower() * 1e-24:
            break
    return depth, missed


def _calm(program: Program, x: str, chart: Chart, last: bool) -> bool:
    """Whether f is bounded at an end of the chart."""
    step = Fraction(1, 2**48)
    with precision(160):
        try:
            cell = chart.cell(1 - step, Fraction(1)) if last else chart.cell(Fraction(0), step)
            return bool(program.balls({x: cell})[0].is_finite())
        except ERRORS:
            return False


def _in_parts(pieces: list[Piece], x: str) -> bool:
    """Whether quadrature over short stretches holds what F gives for them, where it does not
    converge over the whole; that is enough for a proved F."""
    for piece in pieces:
        if piece.big is None or not piece.proved:
            return False
        program, big = Program(piece.f), Program(piece.big)
        for chart in piece.charts:
            held = 0
            for k in (1, 3, 7, 10, 12, 14):
                low, high = Fraction(k, 16), Fraction(k, 16) + Fraction(1, 2**12)
                if any(c.chart is chart and c.low <= high and low <= c.high for c in piece.cells):
                    continue
                with precision(200):
                    ends = sorted((chart.point(low), chart.point(high)), key=lambda z: z.mid())
                    part = Chart(*ends)
                    found, _, _ = enclosure(program, x, part, (False, False), NEAR)
                    try:
                        gap = big.balls({x: part.b})[0] - big.balls({x: part.a})[0]
                    except ERRORS:
                        continue
                    if not found.is_finite() or not gap.is_finite():
                        continue
                    if not found.overlaps(gap):
                        return False
                    held += bool(abs(found - gap).upper() <= abs(gap).lower() * AGREEMENT)
            if held < 3:
                return False
    return True


def _size(pieces: list[Piece], x: str) -> Ball:
    """The integral of |f|, roughly."""
    from flint import arb

    out = arb(0)
    for piece in pieces:
        program = Program(piece.f)
        for chart in piece.charts:
            for k in range(16):
                s = fraction(Fraction(2 * k + 1, 32))
                z = program.balls({x: chart.at(s)})[0]
                if z.is_finite():
                    out += abs(z).mid() * chart.slope(s) / 16
    return out


def digits(z: Any, count: int = 15) -> str:
    """The middle of a ball, to `count` digits or what is known of them."""
    if not z.is_finite():
        return ""
    real, imag = (_part(part, count) for part in (z.real, z.imag))
    if z.imag.contains(0):
        return real
    return f"{imag}*I" if z.real.contains(0) else f"{real} + {imag}*I"


def _part(part: Any, count: int) -> str:
    if part.contains(0):
        return "0"
    value = float(part.mid())
    small = 1e-300 < abs(value) < 1e300
    return f"{value:.{count}g}" if small else part.mid().str(count, radius=False)
