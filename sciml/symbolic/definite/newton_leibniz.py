"""A definite integral piece by piece: where to split, F between the points, and quadrature.

The pieces end where f or the sign of a part of it changes its form, in closed form. On each the
value is F(b-) - F(a+) less the jumps of F, each located by ball arithmetic; then rigorous
quadrature of f must hold the sum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from sciml.errors import InputError
from sciml.symbolic.algebra.rewriting import ex_expand
from sciml.symbolic.definite.closed_form_zeros import exact, touches
from sciml.symbolic.definite.confirmation import (
    AGREEMENT,
    NEAR,
    STRICT,
    Piece,
    confirmed,
    quadrature,
)
from sciml.symbolic.definite.discontinuities import Cell, resolved, troubles
from sciml.symbolic.definite.limits import Limit, limit, order
from sciml.symbolic.definite.quadrature import ERRORS
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import now
from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import Chart, End, ball, charts, fraction, plain, precision
from sciml.symbolic.expr.intervals import real as real_number
from sciml.symbolic.expr.wire import dump, load

SHARE = 0.65
"""Of the time, what the search for an antiderivative may use."""
_ERRORS = (*ERRORS, ex.Undefined, ex.TooLarge)
Find = Callable[[Expr, float], dict[str, Any]]
"""(integrand, seconds) -> the message of the search for its antiderivative."""


@dataclass(frozen=True)
class Outcome:
    """What came of a definite integral, as `Result` has it."""

    status: str
    value: Expr | None = None
    how: str = ""
    holds: str = ""
    method: str = ""
    note: str = ""

    def message(self) -> dict[str, Any]:
        """For the wire."""
        key = "answer" if self.status in ("verified", "sampled") else "candidate"
        out: dict[str, Any] = {"status": self.status, "how": self.how, "holds": self.holds,
                               "method": self.method, "note": self.note}  # fmt: skip
        return out | ({key: dump(self.value)} if self.value is not None else {})


class Stop(Exception):
    """No value can be had; the outcome says why."""

    def __init__(self, status: str, how: str) -> None:
        super().__init__(how)
        self.outcome = Outcome(status, how=how)


@dataclass
class Task:
    """One integral on its way: the split points, the pieces, the total of quadrature."""

    f: Expr
    x: str
    low: End
    high: End
    find: Find
    deadline: float
    total: Any = None
    keep: set[Expr] = field(default_factory=set)
    charts: list[Chart] = field(default_factory=list)

    def solve(self) -> Outcome:
        self.charts = _charts(self.low, self.high)
        points = self.splits()
        pieces = self.pieces(points, None)
        for piece in pieces:
            self.refuse_divergence(piece)
        found = self.find(self.f, SHARE * (self.deadline - now()))
        big = load(found["answer"]) if found.get("answer") else None
        guess = big is None and bool(found.get("candidate"))
        if guess:
            big = load(found["candidate"])
        if big is not None:
            pieces = self.pieces(self.merged(points, self.corners(big)), big)
        for piece in pieces:
            piece.proved = found["status"] == "verified"
        method = found.get("method", "")
        if big is None or guess:
            separate = len(pieces) > 1 or pieces[0].f is not self.f
            each = self.find_each(pieces) if separate else ""
            if each:
                guess, method = False, each
            elif big is None:
                return self.unknown(pieces, found["status"])
        value = plain(ex.add([t for p in pieces for t in self.difference(p)]))
        proved = all(p.proved or self.proved(p) for p in pieces)
        how, self.total = confirmed(pieces, self.x, value, STRICT if guess else AGREEMENT)
        if how:
            return Outcome("no_answer", value, how, method=method)
        return Outcome(
            "verified" if proved else "sampled", value,
            "proved, within rigorous quadrature" if proved else "within rigorous quadrature",
            method=method,
        )  # fmt: skip

    def number(self) -> Any:
        """The integral by quadrature alone, a ball; None where that does not converge."""
        self.charts = _charts(self.low, self.high)
        found = quadrature(self.pieces(self.splits(), None), self.x)
        return None if found is None else found.total

    # -------------------------------------------------------------- where to split
    def splits(self) -> list[Expr]:
        """Points between the limits where f may not be analytic, in closed form."""
        out: list[Expr] = []
        for chart in self.charts:
            cells = troubles(self.f, self.x, chart, self.deadline)
            if cells is None:
                raise Stop("no_answer", "the integrand has too many singular points or corners")
            for cell in cells:
                point = self.point(cell)
                if point is not None:
                    out.append(point)
                elif not cell.first and not cell.last and not self.bounded(cell):
                    self.singular(cell)
        return self.merged(out, [])

    def point(self, cell: Cell) -> Expr | None:
        """The point of the cell; where it has no closed form, its nodes keep their form."""
        point = exact(cell, self.x)
        if point is None:
            ends = [end.at for end, there in ((self.low, cell.first), (self.high, cell.last))
                    if there]  # fmt: skip
            self.keep |= {n for n in cell.nodes if not any(touches(n, self.x, p) for p in ends)}
        return point

    def bounded(self, cell: Cell) -> bool:
        """Whether f is bounded on a narrow cell."""
        with precision(300):
            try:
                return bool(Program(self.f).balls({self.x: cell.ball()})[0].is_finite())
            except _ERRORS:
                return False

    def singular(self, cell: Cell) -> None:
        """f is not bounded at a point that has no closed form: does it go like 1/distance?"""
        program = Program(self.f)
        with precision(300):
            middle = cell.ball().mid()
            far = abs(cell.chart.point(cell.high) - cell.chart.point(cell.low)).mid()
            logs = []
            for k in (16, 24, 32):
                z = program.balls({self.x: middle + far * 2**k})[0]
                logs.append(float(abs(z).log().mid()) if z.is_finite() else 0.0)
            orders = [
                (b - a) / (8 * 0.6931471805599453) for a, b in zip(logs, logs[1:], strict=False)
            ]
            at = f"{self.x} = {float(middle):.6g}"
        if all(abs(o - round(o)) < 1e-3 and o < -0.9 for o in orders):
            raise Stop("diverges", f"the integral diverges near {at}")
        raise Stop("no_answer", f"the integrand may be singular near {at}")

    def corners(self, big: Expr) -> list[Expr]:
        """Points where a sign in F changes that does not in f."""
        out = []
        only = frozenset(("abs", "sign"))
        for chart in self.charts:
            cells = troubles(big, self.x, chart, self.deadline, only)
            if cells is None:
                raise Stop("no_answer", "the antiderivative changes its form at too many places")
            out += [point for point in map(self.point, cells) if point is not None]
        return out

    def merged(self, points: list[Expr], more: list[Expr]) -> list[Expr]:
        """In order, each once, and only those that lie between the limits."""
        with precision(300):
            placed = sorted(((ball(p).real, p) for p in {*points, *more}), key=lambda i: i[0].mid())
            inside = [
                (z, p) for z, p in placed
                if (self.low.at is None or z > real_number(self.low.at))
                and (self.high.at is None or z < real_number(self.high.at))
            ]  # fmt: skip
            out: list[tuple[Any, Expr]] = []
            for z, p in inside:
                if not out or not z.overlaps(out[-1][0]):
                    out.append((z, p))
        return [p for _, p in out]

    def pieces(self, points: list[Expr], big: Expr | None) -> list[Piece]:
        ends = [self.low, *(End(p) for p in points), self.high]
        out = []
        for low, high in zip(ends[:-1], ends[1:], strict=True):
            covering = _charts(low, high)
            chart = covering[0]
            with precision(300):
                middle = chart.point(Fraction(61, 128))
                f = self.form(self.f, middle, chart)
                here = big and self.form(big, middle, chart)
            self.refuse_complex(f, chart)
            out.append(Piece(low, high, covering, f, here))
        return out

    def form(self, e: Expr, middle: Any, chart: Chart) -> Expr:
        """e without abs and sign, as it is on a chart; e itself where their values differ."""
        try:
            form = resolved(e, self.x, middle, self.keep)
        except (ex.Undefined, ex.TooLarge):
            return e
        if form is e:
            return e
        program = Program(e, form)
        for k in range(1, 64, 4):
            try:
                a, b = program.balls({self.x: chart.point(Fraction(k, 64))})
            except _ERRORS:
                continue
            if a.is_finite() and b.is_finite() and not a.overlaps(b):
                return e
        return form

    def refuse_complex(self, f: Expr, chart: Chart) -> None:
        """f without I must have real values."""
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
        """Stop where f grows like a power that has no integral, or does not fall at infinity."""
        for end, side in ((piece.low, 1), (piece.high, -1)):
            power = order(piece.f, self.x, end, side)
            if power is None:
                continue
            if (end.infinite and power < 1 + 1e-6) or (not end.infinite and power < -1 + 1e-6):
                raise Stop("diverges", f"the integral diverges at {self.x} = {end}")

    # -------------------------------------------------------------- pieces
    def find_each(self, pieces: list[Piece]) -> str:
        """Antiderivatives of the pieces by themselves; the method, empty where one is missing."""
        method = ""
        answers: list[Expr] = []
        known: dict[Expr, dict[str, Any]] = {}
        for i, piece in enumerate(pieces):
            if piece.f not in known:
                left = (self.deadline - now()) * 0.6 / (len(pieces) - i)
                known[piece.f] = self.find(piece.f, left)
            found = known[piece.f]
            if not found.get("answer"):
                return ""
            answers.append(load(found["answer"]))
            method = found.get("method", "")
        for piece, big in zip(pieces, answers, strict=True):
            piece.big, piece.proved = big, known[piece.f]["status"] == "verified"
        return f"piece by piece: {method}"

    def proved(self, piece: Piece) -> bool:
        """Whether F' = f is proved on the piece."""
        from sciml.symbolic.verification.checking import check

        assert piece.big is not None
        if piece.big.diff(self.x) is piece.f:
            return True
        if now() > self.deadline:
            return False
        try:
            return check(piece.f, piece.big, self.x, symbolic=True).verified
        except _ERRORS:
            return False

    def difference(self, piece: Piece) -> list[Expr]:
        """F at the upper end, less F at the lower, less the jumps between."""
        assert piece.big is not None
        for end, side in ((piece.low, 1), (piece.high, -1)):
            found = limit(piece.big, self.x, end, side, min(2.0, (self.deadline - now()) / 3))
            piece.ends.append(self.settled(found, end))
            piece.sure &= found is not None and found.sure
        piece.jumps = self.jumps(piece)
        return [piece.ends[1], -piece.ends[0], *(-j for j in piece.jumps)]

    def settled(self, found: Limit | None, end: End) -> Expr:
        if found is None:
            raise Stop(
                "no_answer", f"the limit of the antiderivative at {self.x} = {end} was not found"
            )
        if found.value is None:
            raise Stop("diverges", f"the integral diverges at {self.x} = {end}")
        return found.value

    def jumps(self, piece: Piece) -> list[Expr]:
        """The jumps of F inside the piece, in closed form."""
        big = piece.big
        assert big is not None
        out: list[Expr] = []
        for chart in piece.charts:
            cells = troubles(big, self.x, chart, self.deadline)
            if cells is None:
                raise Stop("no_answer", "the antiderivative jumps at too many places")
            cells = [c for c in cells if not (c.first or c.last)]
            piece.cells += cells
            sizes = _sizes(big, self.x) if cells else []
            for cell in cells:
                out.append(self.jump(big, cell, sizes))
        return [j for j in out if j is not ex.ZERO]

    def jump(self, big: Expr, cell: Cell, sizes: list[Expr]) -> Expr:
        """F after the cell less F before it: nothing, or a simple multiple of a known size."""
        if (cell.low == 0) or (cell.high == 1):
            raise Stop("no_answer", "the antiderivative may jump where two charts meet")
        with precision(600):
            program = Program(big)
            after, before = (program.balls({self.x: cell.chart.point(s)})[0]
                             for s in (cell.high, cell.low))  # fmt: skip
            if cell.chart.far and cell.chart.a > 0:
                after, before = before, after
            gap = after - before
            scale = max(abs(z).upper() for z in (after, before, *self.sizes(program, cell)))
            if gap.is_finite():
                if abs(gap).upper() <= scale * 1e-8:
                    return ex.ZERO
                for size in sizes:
                    ratio = gap / ball(size)
                    near = Fraction(float(ratio.real.mid())).limit_denominator(6)
                    off = abs(ratio - fraction(near))
                    if near and abs(near) <= 12 and off.upper() < 1e-8:
                        return ex.number(near) * size
        point = exact(cell, self.x)
        if point is not None:
            right, left = (limit(big, self.x, End(point), side) for side in (1, -1))
            if right and left and right.value is not None and left.value is not None:
                return plain(right.value - left.value)
        raise Stop(
            "no_answer", "the antiderivative jumps at a place that could not be located exactly"
        )

    def sizes(self, program: Program, cell: Cell) -> list[Any]:
        """Values of F elsewhere on the chart."""
        points = (cell.chart.point(Fraction(k, 16)) for k in (1, 5, 11, 15))
        values = [program.balls({self.x: p})[0] for p in points]
        return [z for z in values if z.is_finite()]

    def unknown(self, pieces: list[Piece], status: str) -> Outcome:
        """Without an antiderivative: the number alone, where quadrature has it."""
        found = quadrature(pieces, self.x)
        self.total = None if found is None else found.total
        how = "no antiderivative was found"
        if status == "timeout" and self.total is None:
            return Outcome("timeout", how="the time ran out")
        return Outcome("no_answer", how=how)


def _charts(low: End, high: End) -> list[Chart]:
    with precision(4 * NEAR):
        return charts(low, high)


def _sizes(big: Expr, x: str) -> list[Expr]:
    """What F may jump by: pi times the factors of its functions with cuts."""
    out: dict[Expr, None] = {}
    big = ex_expand(big)
    for term in big.args if big.op == "add" else (big,):
        factors = term.args if term.op == "mul" else (term,)
        if any(g.op in ("atan", "acot", "asin", "acos", "log", "acsc", "asec", "atanh", "acoth")
               and x in g.free for g in factors):  # fmt: skip
            c = ex.mul([g for g in factors if x not in g.free]) * ex.PI
            c = plain(c)
            out[c] = None
            out[c * ex.I] = None
    sizes = list(out)
    if 1 < len(sizes) <= 8:  # two functions that jump at the same point
        out |= {a + s * b: None for i, a in enumerate(sizes) for b in sizes[:i] for s in (1, -1)}
    return [c for c in out if c is not ex.ZERO]
