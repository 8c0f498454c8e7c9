"""Confirmation of the value of a definite integral by rigorous quadrature of the integrand."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from sciml.symbolic.definite.discontinuities import Cell
from sciml.symbolic.definite.quadrature import (
    BALL_ERRORS,
    BITS,
    EVALUATIONS,
    absolute_arguments_are_real,
    integrate_chart,
)
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import Chart, End, ball, fraction, precision

TOLERANCE = 1e-9
"""Largest relative width of an enclosure that confirms a value."""
STRICT_TOLERANCE = 1e-20
"""The same if the antiderivative itself was not confirmed; for the value 0, it is relative to the
integral of |f|."""
_FEW = 3000
"""Evaluations up to infinity where f may oscillate."""
END_BITS = 200
"""The enclosure stops at 2**-END_BITS from a singular end."""
Ball = Any


@dataclass
class Piece:
    """The part of the interval between two neighbouring split points.

    Attributes:
        low, high: its ends.
        charts: cover it.
        f: the integrand, in the form that it has there.
        antiderivative: F.
        proved: whether F' = f is proved.
        limits_proved: whether the limits at the ends follow from leading terms, not from SymPy.
        end_limits: the limits of F at the ends.
        jumps: the jumps of F between them.
        cells: where F may be discontinuous.
    """

    low: End
    high: End
    charts: list[Chart]
    f: Expr
    antiderivative: Expr | None = None
    proved: bool = False
    limits_proved: bool = True
    end_limits: list[Expr] = field(default_factory=list)
    jumps: list[Expr] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)


def confirm(pieces: list[Piece], x: str, value: Expr, tolerance: float) -> tuple[str, Ball]:
    """(reason, total): the reason is empty if quadrature confirms the value, else why it does not;
    total is the integral as far as it is known (a ball, or None)."""
    with precision(4 * END_BITS):
        value_ball = ball(value)
    if not value_ball.is_finite():
        return "the value could not be computed", None
    proved = all(piece.proved for piece in pieces)
    enclosure = None
    for bits in (40, 80) if proved else (80,):
        enclosure = enclose_integral(pieces, x, abs(value_ball).upper(), bits)
        if enclosure is None:
            continue
        with precision(4 * END_BITS):
            if not value_ball.overlaps(enclosure.total + enclosure.tail):
                digits = decimal_digits(enclosure.total, 12)
                return f"quadrature gives {digits}, which refutes the value", enclosure.total
            if value is ex.ZERO or not abs(value_ball).lower() > 0:
                bound = _integral_of_absolute_value(pieces, x) * STRICT_TOLERANCE
            else:
                bound = abs(value_ball).lower() * tolerance
            fully_proved = proved and all(piece.limits_proved for piece in pieces)
            if enclosure.width <= bound and (fully_proved or enclosure.max_tail <= bound):
                return "", value_ball
    if tolerance > STRICT_TOLERANCE and _confirm_on_parts(pieces, x):
        return "", value_ball
    if enclosure is None:
        return "the value could not be compared with quadrature", None
    return "quadrature is not sharp enough to confirm the value", enclosure.total


@dataclass(frozen=True)
class Enclosure:
    """An enclosure of an integral.

    Attributes:
        total: a ball that contains the integral without the tails next to singular ends.
        tail: the sum of the tails, according to F.
        max_tail: a bound on the sum of their absolute values.
    """

    total: Ball
    tail: Ball
    max_tail: Any

    @property
    def width(self) -> Any:
        """The radius of the ball."""
        return max(self.total.real.rad(), self.total.imag.rad())


def enclose_integral(
    pieces: list[Piece], x: str, scale: Any = 0, bits: int = BITS
) -> Enclosure | None:
    """The integral by rigorous quadrature, to about `bits` binary digits relative to its own size
    or to `scale`; None where the rule does not converge."""
    from flint import acb, arb

    total, tail, missed = acb(0), acb(0), arb(0)
    for piece in pieces:
        for chart in piece.charts:
            try:
                part, tails = _enclose_chart(piece, x, chart, scale, bits)
            except BALL_ERRORS:
                return None
            with precision(4 * END_BITS):
                total += part
                for t in tails:
                    tail, missed = tail + t, missed + abs(t).upper()
            if not (total.is_finite() and tail.is_finite()):
                return None
    return Enclosure(total, tail, missed)


def _enclose_chart(
    piece: Piece, x: str, chart: Chart, scale: Any, bits: int
) -> tuple[Ball, list[Ball]]:
    from flint import acb

    program = Program(piece.f)
    if x not in piece.f.free and not chart.far:
        with precision(4 * END_BITS):
            return program.balls({})[0] * (chart.b - chart.a), []
    stop_at_start = chart.far or not is_bounded_at_end(program, x, chart, False)
    stop_at_end = not is_bounded_at_end(program, x, chart, True)
    with precision(300):
        samples = [chart.point(Fraction(k, 16)) for k in (1, 5, 8, 13, 15)]
        if not absolute_arguments_are_real(piece.f, x, samples):
            return acb("nan"), []
    if not (stop_at_start or stop_at_end):
        with precision(160):
            return integrate_chart(program, x, chart, (False, False), END_BITS, scale, bits), []
    with precision(2 * END_BITS + 100):
        depth, tails = _tails(piece, x, chart, stop_at_start, stop_at_end)
        return integrate_chart(
            program, x, chart, (stop_at_start, stop_at_end), depth, scale, bits,
            _FEW if chart.far and _may_oscillate(piece.f, x) else EVALUATIONS,
        ), tails  # fmt: skip


def _may_oscillate(f: Expr, x: str) -> bool:
    """Whether f may oscillate up to infinity, so that quadrature rarely converges there."""
    names = {n.op for n in ex.subtrees(f) if x in n.free}
    return bool(names & {"sin", "cos"}) and "exp" not in names


def _tails(
    piece: Piece, x: str, chart: Chart, stop_at_start: bool, stop_at_end: bool
) -> tuple[int, list[Ball]]:
    """(depth, tails): the chart is integrated up to 2**-depth from its singular ends, and the tails
    left there, according to F. The depth grows until the tails are negligible."""
    from flint import acb, arb

    if piece.antiderivative is None or not piece.end_limits:
        return END_BITS, []
    F = Program(piece.antiderivative)
    ends = [ball(e) for e in piece.end_limits]
    downward = chart.far and chart.a > 0  # s = 0 is the upper end of the chart
    sign = -1 if downward else 1
    start, stop = reversed(ends) if downward else ends
    depth, tails = 0, [acb("nan")]
    for depth in (4, 8, 16, 32, 64, 128, END_BITS):
        s = arb(2) ** -depth
        tails = []
        try:
            if stop_at_start:
                tails.append(sign * (F.balls({x: chart.at(s)})[0] - start))
            if stop_at_end:
                tails.append(sign * (stop - F.balls({x: chart.at(1 - s)})[0]))
        except BALL_ERRORS:
            tails = [acb("nan")]
        negligible = abs(stop - start).lower() * 1e-24
        if all(t.is_finite() and abs(t).upper() <= negligible for t in tails):
            break
    return depth, tails


def is_bounded_at_end(program: Program, x: str, chart: Chart, last: bool) -> bool:
    """Whether f is bounded at an end of the chart."""
    step = Fraction(1, 2**48)
    with precision(160):
        try:
            cell = chart.cell(1 - step, Fraction(1)) if last else chart.cell(Fraction(0), step)
            return bool(program.balls({x: cell})[0].is_finite())
        except BALL_ERRORS:
            return False


def _confirm_on_parts(pieces: list[Piece], x: str) -> bool:
    """Whether quadrature over short parts of every chart contains the differences of F there. For a
    proved F that suffices where quadrature does not converge over the whole interval."""
    for piece in pieces:
        if piece.antiderivative is None or not piece.proved:
            return False
        for chart in piece.charts:
            confirmed = 0
            for k in (1, 3, 7, 10, 12, 14):
                for narrow in (12, 20, 30, 40):
                    outcome = _confirm_on_part(piece, x, chart, Fraction(k, 16), narrow)
                    if outcome is not None:
                        break
                if outcome is False:
                    return False
                confirmed += bool(outcome)
            if confirmed < 3:
                return False
    return True


def _confirm_on_part(piece: Piece, x: str, chart: Chart, low: Fraction, narrow: int) -> bool | None:
    """Whether quadrature over one part contains the difference of F; None where it does not
    converge."""
    if piece.antiderivative is None:
        return None
    high = low + Fraction(1, 2**narrow)
    if any(c.chart is chart and c.low <= high and low <= c.high for c in piece.cells):
        return None
    with precision(200):
        part = Chart(*sorted((chart.point(low), chart.point(high)), key=lambda z: z.mid()))
        try:
            values = [Program(piece.antiderivative).balls({x: p})[0] for p in (part.a, part.b)]
        except BALL_ERRORS:
            return None
        difference = values[1] - values[0]
        size = abs(difference).lower()
        integral = integrate_chart(
            Program(piece.f), x, part, (False, False), END_BITS, size, BITS, 4000
        )
        if not integral.is_finite() or not difference.is_finite():
            return None
        if not integral.overlaps(difference):
            return False
        return bool(abs(integral - difference).upper() <= size * TOLERANCE) or None


def _integral_of_absolute_value(pieces: list[Piece], x: str) -> Ball:
    """A rough estimate of the integral of |f|."""
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


def decimal_digits(z: Any, count: int = 15) -> str:
    """The midpoint of a ball as text with `count` digits; empty if it is not finite."""
    if not z.is_finite():
        return ""
    real, imag = (_decimal(part, count) for part in (z.real, z.imag))
    if z.imag.contains(0):
        return real
    return f"{imag}*I" if z.real.contains(0) else f"{real} + {imag}*I"


def _decimal(part: Any, count: int) -> str:
    if part.contains(0):
        return "0"
    value = float(part.mid())
    in_float_range = 1e-300 < abs(value) < 1e300
    return f"{value:.{count}g}" if in_float_range else part.mid().str(count, radius=False)
