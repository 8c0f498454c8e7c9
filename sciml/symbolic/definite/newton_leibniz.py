"""The Newton-Leibniz formula piece by piece.

The interval is split where f, or the sign of a part of it, changes its form; these points are in
closed form. On each piece the value is F(b-) - F(a+) less the jumps of F, which ball arithmetic
locates. Rigorous quadrature of f must contain the sum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from sciml.errors import InputError
from sciml.symbolic.definite.antiderivative_jumps import jumps_of
from sciml.symbolic.definite.closed_form_zeros import exact_point, is_zero_of_node
from sciml.symbolic.definite.confirmation import (
    END_BITS,
    STRICT_TOLERANCE,
    TOLERANCE,
    Piece,
    confirm,
    enclose_integral,
)
from sciml.symbolic.definite.discontinuities import Cell, find_discontinuities, resolve_signs
from sciml.symbolic.definite.limits import Limit, growth_order, limit
from sciml.symbolic.definite.outcome import NoValue, Outcome
from sciml.symbolic.definite.quadrature import BALL_ERRORS
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import now
from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import Chart, End, ball, charts, precision, simplify_constant
from sciml.symbolic.expr.intervals import real as real_number
from sciml.symbolic.expr.wire import load

SEARCH_SHARE = 0.65
"""The share of the time that the search for an antiderivative may use."""
_ERRORS = (*BALL_ERRORS, ex.Undefined, ex.TooLarge)
Integrator = Callable[[Expr, float], dict[str, Any]]
"""(integrand, seconds) -> the message of the search for its antiderivative."""


@dataclass
class DefiniteIntegral:
    """One definite integral.

    Attributes:
        f, x: integrand and variable.
        low, high: the limits, in ascending order.
        integrator: searches for antiderivatives.
        deadline: value of the clock to stop at.
        total: the integral as far as it is known, a ball.
        unresolved: nodes with absolute values or signs that change at points without closed form.
        charts: cover the interval.
    """

    f: Expr
    x: str
    low: End
    high: End
    integrator: Integrator
    deadline: float
    total: Any = None
    unresolved: set[Expr] = field(default_factory=set)
    charts: list[Chart] = field(default_factory=list)

    def solve(self) -> Outcome:
        self.charts = _charts(self.low, self.high)
        points = self.split_points()
        pieces = self.make_pieces(points, None)
        for piece in pieces:
            self.refuse_divergence(piece)
        message = self.integrator(self.f, SEARCH_SHARE * (self.deadline - now()))
        F = load(message["answer"]) if message.get("answer") else None
        unconfirmed = F is None and bool(message.get("candidate"))
        if unconfirmed:
            F = load(message["candidate"])
        if F is not None:
            pieces = self.make_pieces(self.merge_points(points, self.sign_changes(F)), F)
        for piece in pieces:
            piece.proved = message["status"] == "verified"
        method = message.get("method", "")
        if F is None or unconfirmed:
            differs = len(pieces) > 1 or pieces[0].f is not self.f
            method_of_pieces = self.integrate_each(pieces) if differs else ""
            if method_of_pieces:
                unconfirmed, method = False, method_of_pieces
            elif F is None:
                return self.numerical_outcome(pieces, message["status"])
        value = simplify_constant(ex.add([t for p in pieces for t in self.newton_leibniz(p)]))
        proved = all(p.proved or self.is_proved(p) for p in pieces)
        how, self.total = confirm(
            pieces, self.x, value, STRICT_TOLERANCE if unconfirmed else TOLERANCE
        )
        if how:
            return Outcome("no_answer", value, how, method=method)
        return Outcome(
            "verified" if proved else "sampled", value,
            "proved, within rigorous quadrature" if proved else "within rigorous quadrature",
            method=method,
        )  # fmt: skip

    def numerical_value(self) -> Any:
        """The integral by quadrature alone, a ball; None where it does not converge."""
        enclosure = enclose_integral(self.pieces(), self.x)
        return None if enclosure is None else enclosure.total

    def pieces(self) -> list[Piece]:
        """The pieces between the points where f changes its form."""
        self.charts = _charts(self.low, self.high)
        return self.make_pieces(self.split_points(), None)

    # -------------------------------------------------------------- where to split
    def split_points(self) -> list[Expr]:
        """Points between the limits where f may not be analytic, in closed form."""
        points: list[Expr] = []
        for chart in self.charts:
            cells = find_discontinuities(self.f, self.x, chart, self.deadline)
            if cells is None:
                raise NoValue("no_answer", "the integrand has too many singular points or corners")
            for cell in cells:
                point = self.point(cell)
                if point is not None:
                    points.append(point)
                elif not cell.first and not cell.last and not self.is_bounded(cell):
                    self.refuse_singularity(cell)
        return self.merge_points(points, [])

    def point(self, cell: Cell) -> Expr | None:
        """The point of the cell in closed form; where there is none, its nodes stay unresolved."""
        point = exact_point(cell, self.x)
        if point is None:
            ends = [end.at for end, applies in ((self.low, cell.first), (self.high, cell.last))
                    if applies]  # fmt: skip
            self.unresolved |= {
                n for n in cell.nodes
                if not any(is_zero_of_node(n, self.x, p) for p in ends)
                and not (cell.chart.far and 0 in (cell.low, cell.high)
                         and has_no_far_zeros(n.args[0], self.x))
            }  # fmt: skip
        return point

    def is_bounded(self, cell: Cell) -> bool:
        """Whether f is bounded on a narrow cell."""
        with precision(300):
            try:
                return bool(Program(self.f).balls({self.x: cell.ball()})[0].is_finite())
            except _ERRORS:
                return False

    def refuse_singularity(self, cell: Cell) -> None:
        """Stop at an unbounded point without closed form; if f grows like a pole, it diverges."""
        program = Program(self.f)
        with precision(300):
            middle = cell.ball().mid()
            width = abs(cell.chart.point(cell.high) - cell.chart.point(cell.low)).mid()
            logs = []
            for k in (16, 24, 32):
                z = program.balls({self.x: middle + width * 2**k})[0]
                logs.append(float(abs(z).log().mid()) if z.is_finite() else 0.0)
            orders = [
                (b - a) / (8 * 0.6931471805599453) for a, b in zip(logs, logs[1:], strict=False)
            ]
            place = f"{self.x} = {float(middle):.6g}"
        if all(abs(o - round(o)) < 1e-3 and o < -0.9 for o in orders):
            raise NoValue("diverges", f"the integral diverges near {place}")
        raise NoValue("no_answer", f"the integrand may be singular near {place}")

    def sign_changes(self, F: Expr) -> list[Expr]:
        """Points where an absolute value, sign or floor in F changes its form."""
        points = []
        only = frozenset(("abs", "sign", "floor"))
        for chart in self.charts:
            cells = find_discontinuities(F, self.x, chart, self.deadline, only)
            if cells is None:
                raise NoValue("no_answer", "the antiderivative changes its form at too many places")
            points += [point for point in map(self.point, cells) if point is not None]
        return points

    def merge_points(self, points: list[Expr], others: list[Expr]) -> list[Expr]:
        """The distinct points strictly between the limits, in ascending order."""
        with precision(300):
            located = sorted(
                ((ball(p).real, p) for p in {*points, *others}), key=lambda i: i[0].mid()
            )
            inside = [
                (z, p) for z, p in located
                if (self.low.at is None or z > real_number(self.low.at))
                and (self.high.at is None or z < real_number(self.high.at))
            ]  # fmt: skip
            distinct: list[tuple[Any, Expr]] = []
            for z, p in inside:
                if not distinct or not z.overlaps(distinct[-1][0]):
                    distinct.append((z, p))
        return [p for _, p in distinct]

    def make_pieces(self, points: list[Expr], F: Expr | None) -> list[Piece]:
        """The pieces between the points, with f and F in the forms that they have there."""
        ends = [self.low, *(End(p) for p in points), self.high]
        pieces = []
        for low, high in zip(ends[:-1], ends[1:], strict=True):
            covering = _charts(low, high)
            chart = covering[0]
            with precision(300):
                middle = chart.point(Fraction(61, 128))
                f = self.without_signs(self.f, middle, chart)
                F_here = F and self.without_signs(F, middle, chart)
            self.refuse_complex(f, chart)
            pieces.append(Piece(low, high, covering, f, F_here))
        return pieces

    def without_signs(self, e: Expr, middle: Any, chart: Chart) -> Expr:
        """The form of e on a chart, without abs and sign; e itself where the values differ."""
        try:
            resolved = resolve_signs(e, self.x, middle, self.unresolved)
        except (ex.Undefined, ex.TooLarge):
            return e
        if resolved is e:
            return e
        program = Program(e, resolved)
        for k in range(1, 64, 4):
            try:
                a, b = program.balls({self.x: chart.point(Fraction(k, 64))})
            except _ERRORS:
                continue
            if a.is_finite() and b.is_finite() and not a.overlaps(b):
                return e
        return resolved

    def refuse_complex(self, f: Expr, chart: Chart) -> None:
        """Refuse complex values of an integrand that does not contain I.

        Raises:
            InputError: where such a value is found.
        """
        if any(n.op == "I" for n in ex.subtrees(self.f)):
            return
        program = Program(f)
        with precision(300):
            for k in (1, 9, 23, 31, 47, 62):
                point = chart.point(Fraction(k, 64))
                try:
                    z = program.balls({self.x: point})[0]
                except _ERRORS:
                    continue
                if z.is_finite() and not z.imag.contains(0):
                    raise InputError(
                        f"the integrand is not real near {self.x} = {float(point.mid()):.6g}",
                        hint="Choose limits between which it is real.",
                    )

    # -------------------------------------------------------------- divergence
    def refuse_divergence(self, piece: Piece) -> None:
        """Stop where f grows like a power that is not integrable, or does not decay at infinity."""
        for end, side in ((piece.low, 1), (piece.high, -1)):
            power = growth_order(piece.f, self.x, end, side)
            if power is None:
                continue
            if (end.infinite and power < 1 + 1e-6) or (not end.infinite and power < -1 + 1e-6):
                raise NoValue("diverges", f"the integral diverges at {self.x} = {end}")

    # -------------------------------------------------------------- pieces
    def integrate_each(self, pieces: list[Piece]) -> str:
        """Find an antiderivative for each piece separately; returns the method, empty if one is
        missing."""
        method = ""
        answers: list[Expr] = []
        messages: dict[Expr, dict[str, Any]] = {}
        for i, piece in enumerate(pieces):
            if piece.f not in messages:
                remaining = (self.deadline - now()) * 0.6 / (len(pieces) - i)
                messages[piece.f] = self.integrator(piece.f, remaining)
            message = messages[piece.f]
            if not message.get("answer"):
                return ""
            answers.append(load(message["answer"]))
            method = message.get("method", "")
        for piece, F in zip(pieces, answers, strict=True):
            piece.antiderivative, piece.proved = F, messages[piece.f]["status"] == "verified"
        return f"piece by piece: {method}"

    def is_proved(self, piece: Piece) -> bool:
        """Whether F' = f is proved on the piece."""
        from sciml.symbolic.verification.checking import check

        assert piece.antiderivative is not None
        if piece.antiderivative.diff(self.x) is piece.f:
            return True
        if now() > self.deadline:
            return False
        try:
            return check(piece.f, piece.antiderivative, self.x, symbolic=True).verified
        except _ERRORS:
            return False

    def newton_leibniz(self, piece: Piece) -> list[Expr]:
        """The terms of F(b-) - F(a+) less the jumps of F between them."""
        F = piece.antiderivative
        assert F is not None
        for end, side in ((piece.low, 1), (piece.high, -1)):
            end_limit = limit(F, self.x, end, side, min(2.0, (self.deadline - now()) / 3))
            piece.end_limits.append(self.limit_value(end_limit, end))
            piece.limits_proved &= end_limit is not None and end_limit.proved
        piece.jumps, piece.cells = jumps_of(F, self.x, piece.charts, self.deadline)
        return [piece.end_limits[1], -piece.end_limits[0], *(-j for j in piece.jumps)]

    def limit_value(self, end_limit: Limit | None, end: End) -> Expr:
        """The value of a finite limit of F; stops at any other."""
        if end_limit is None:
            raise NoValue(
                "no_answer", f"the limit of the antiderivative at {self.x} = {end} was not found"
            )
        if end_limit.value is None:
            raise NoValue("diverges", f"the integral diverges at {self.x} = {end}")
        return end_limit.value

    def numerical_outcome(self, pieces: list[Piece], status: str) -> Outcome:
        """The outcome without an antiderivative; `total` is the numerical value, if any."""
        enclosure = enclose_integral(pieces, self.x)
        self.total = None if enclosure is None else enclosure.total
        how = "no antiderivative was found"
        if status == "timeout" and self.total is None:
            return Outcome("timeout", how="the time ran out")
        return Outcome("no_answer", how=how)


def has_no_far_zeros(q: Expr, x: str) -> bool:
    """Whether q is a polynomial whose zeros are all nearer than the cells at infinity (Cauchy's
    bound)."""
    from sciml.symbolic.algebra.univariate import as_rational

    quotient = as_rational(q, x)
    if quotient is None or quotient[1].degree() > 0 or quotient[0].degree() < 1:
        return False
    *lower, leading = quotient[0].coeffs()
    return all(abs(c / leading) < 2**60 for c in lower)


def _charts(low: End, high: End) -> list[Chart]:
    with precision(4 * END_BITS):
        return charts(low, high)
