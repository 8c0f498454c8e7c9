"""Whether a value of a definite integral lies in what rigorous quadrature finds without F."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from sciml.symbolic.definite.discontinuities import Cell
from sciml.symbolic.definite.quadrature import BITS, ERRORS, enclosure, real_where_it_matters
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import Chart, End, ball, fraction, precision

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
        sure: whether the limits at the ends are known from leading terms, not from SymPy.
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
    sure: bool = True
    ends: list[Expr] = field(default_factory=list)
    jumps: list[Expr] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)


def confirmed(pieces: list[Piece], x: str, value: Expr, tolerance: float) -> tuple[str, Ball]:
    """An empty text when quadrature confirms the value, else why it does not; and the integral as
    far as it is known (a ball, or None)."""
    with precision(4 * NEAR):
        goal = ball(value)
    if not goal.is_finite():
        return "the value could not be computed", None
    proved = all(piece.proved for piece in pieces)
    found = None
    for bits in (40, 80) if proved else (80,):
        found = quadrature(pieces, x, abs(goal).upper(), bits)
        if found is None:
            continue
        with precision(4 * NEAR):
            if not goal.overlaps(found.total + found.tail):
                known = digits(found.total, 12)
                return f"quadrature gives {known}, which refutes the value", found.total
            zero = value is ex.ZERO or not abs(goal).lower() > 0
            bound = _size(pieces, x) * STRICT if zero else abs(goal).lower() * tolerance
            sure = proved and all(piece.sure for piece in pieces)
            if found.width <= bound and (sure or found.missed <= bound):
                return "", goal
    if tolerance > STRICT and _in_parts(pieces, x):
        return "", goal
    if found is None:
        return "the value could not be compared with quadrature", None
    return "quadrature is not sharp enough to confirm the value", found.total


@dataclass(frozen=True)
class Found:
    """What quadrature found: a ball that holds the integral but for what lies nearest to singular
    ends, which is `tail` by F, and at most `missed` in size."""

    total: Ball
    tail: Ball
    missed: Any

    @property
    def width(self) -> Any:
        """The radius of the ball."""
        return max(self.total.real.rad(), self.total.imag.rad())


def quadrature(pieces: list[Piece], x: str, scale: Any = 0, bits: int = BITS) -> Found | None:
    """The integral by rigorous quadrature, to about `bits` binary digits of its own size or of
    `scale`; None where the rule does not converge."""
    from flint import acb, arb

    total, tail, missed = acb(0), acb(0), arb(0)
    for piece in pieces:
        for chart in piece.charts:
            try:
                part, tails = _of_chart(piece, x, chart, scale, bits)
            except ERRORS:
                return None
            with precision(4 * NEAR):
                total += part
                for t in tails:
                    tail, missed = tail + t, missed + abs(t).upper()
            if not (total.is_finite() and tail.is_finite()):
                return None
    return Found(total, tail, missed)


def _of_chart(piece: Piece, x: str, chart: Chart, scale: Any, bits: int) -> tuple[Ball, list[Ball]]:
    from flint import acb

    program = Program(piece.f)
    if x not in piece.f.free and not chart.far:
        with precision(4 * NEAR):
            return program.balls({})[0] * (chart.b - chart.a), []
    first = chart.far or not _calm(program, x, chart, False)
    last = not _calm(program, x, chart, True)
    with precision(300):
        samples = [chart.point(Fraction(k, 16)) for k in (1, 5, 8, 13, 15)]
        if not real_where_it_matters(piece.f, x, samples):
            return acb("nan"), []
    if not (first or last):
        with precision(160):
            return enclosure(program, x, chart, (False, False), NEAR, scale, bits), []
    with precision(2 * NEAR + 100):
        depth, tails = _tails(piece, x, chart, first, last)
        return enclosure(program, x, chart, (first, last), depth, scale, bits), tails


def _tails(piece: Piece, x: str, chart: Chart, first: bool, last: bool) -> tuple[int, list[Ball]]:
    """How near to its singular ends (2**-depth) the chart is integrated, and what is left there by
    F; nearer only where what is left matters."""
    from flint import acb, arb

    if piece.big is None or not piece.ends:
        return NEAR, []
    big = Program(piece.big)
    ends = [ball(e) for e in piece.ends]
    downward = chart.far and chart.a > 0  # s = 0 is the upper end of the chart
    sign = -1 if downward else 1
    start, stop = reversed(ends) if downward else ends
    depth, tails = 0, [acb("nan")]
    for depth in (4, 8, 16, 32, 64, 128, NEAR):
        s = arb(2) ** -depth
        tails = []
        try:
            if first:
                tails.append(sign * (big.balls({x: chart.at(s)})[0] - start))
            if last:
                tails.append(sign * (stop - big.balls({x: chart.at(1 - s)})[0]))
        except ERRORS:
            tails = [acb("nan")]
        little = abs(stop - start).lower() * 1e-24
        if all(t.is_finite() and abs(t).upper() <= little for t in tails):
            break
    return depth, tails


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
        for chart in piece.charts:
            held = 0
            for k in (1, 3, 7, 10, 12, 14):
                for narrow in (12, 20, 30, 40):
                    found = _in_part(piece, x, chart, Fraction(k, 16), narrow)
                    if found is not None:
                        break
                if found is False:
                    return False
                held += bool(found)
            if held < 3:
                return False
    return True


def _in_part(piece: Piece, x: str, chart: Chart, low: Fraction, narrow: int) -> bool | None:
    """Whether quadrature over one stretch holds what F gives; None where it cannot tell."""
    if piece.big is None:
        return None
    high = low + Fraction(1, 2**narrow)
    if any(c.chart is chart and c.low <= high and low <= c.high for c in piece.cells):
        return None
    with precision(200):
        part = Chart(*sorted((chart.point(low), chart.point(high)), key=lambda z: z.mid()))
        try:
            values = [Program(piece.big).balls({x: p})[0] for p in (part.a, part.b)]
        except ERRORS:
            return None
        gap = values[1] - values[0]
        size = abs(gap).lower()
        found = enclosure(Program(piece.f), x, part, (False, False), NEAR, size, BITS, 4000)
        if not found.is_finite() or not gap.is_finite():
            return None
        if not found.overlaps(gap):
            return False
        return bool(abs(found - gap).upper() <= size * AGREEMENT) or None


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
