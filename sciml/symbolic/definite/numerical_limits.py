"""Numerical limits: values of an expression at points that approach an end, in ball arithmetic."""

from __future__ import annotations

from typing import Any

from sciml.symbolic.definite.quadrature import BALL_ERRORS
from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import End, ball, precision

BITS = 1000
STEPS = tuple(range(50, 401, 50))


class NumericalLimit:
    """Values of e at distances 2**-k from an end, from above (side 1) or below (-1); at infinity,
    values at |x| = 2**k."""

    def __init__(self, e: Expr, x: str, end: End, side: int) -> None:
        self.program, self.x, self.end, self.side = Program(e), x, end, side
        self.values: dict[int, Any] = {}

    def at(self, k: int) -> Any:
        """The enclosure of the value at step k; not finite where e is undefined."""
        from flint import acb, arb

        if k not in self.values:
            with precision(BITS + 6 * k):  # terms up to t**-6 may cancel
                t = arb(2) ** -k
                if self.end.at is None:
                    point = self.end.sign / t
                else:
                    point = ball(self.end.at).real
                    point += self.side * t * max(1.0, abs(float(point.mid())))
                try:
                    self.values[k] = self.program.balls({self.x: acb(point)})[0]
                except BALL_ERRORS:
                    self.values[k] = acb("nan")
        return self.values[k]

    def tends_to(self, value: Expr) -> bool:
        """Whether the values tend to `value`: the distance falls to a millionth of their size."""
        with precision(BITS):
            limit = ball(value)
            first, last = self.at(STEPS[1]), self.at(STEPS[-1])
            if not (limit.is_finite() and first.is_finite() and last.is_finite()):
                return False
            size = max(abs(limit).upper(), abs(self.at(4)).upper(), abs(first).upper())
            distance, earlier = abs(last - limit).upper(), abs(first - limit).upper()
            return bool(
                distance <= size * 1e-6 and (distance <= earlier / 2 or distance <= size * 1e-60)
            )

    def approaches_slowly(self, value: Expr) -> bool:
        """Whether the distance from `value` falls at every step, and by half in total: the rate of
        1/log(t)."""
        with precision(BITS):
            limit = ball(value)
            distances = [abs(self.at(k) - limit) for k in STEPS]
            if not all(z.is_finite() for z in distances):
                return False
            nearer = all(b < a for a, b in zip(distances[:-1], distances[1:], strict=True))
            return nearer and bool(distances[-1] < distances[0] / 2)

    def is_unbounded(self, least: float = 0.82) -> bool:
        """Whether the absolute values grow without bound: by increments that shrink no faster than
        those of log(log(1/t)); for `least` near 1, those of log(1/t)."""
        with precision(BITS):
            sizes = [abs(self.at(k)).mid() for k in STEPS]
            if not all(z.is_finite() for z in sizes):
                return False
            steps = [b - a for a, b in zip(sizes[:-1], sizes[1:], strict=True)]
            last = zip(steps[-3:-1], steps[-2:], strict=True)
            return all(s > 0 for s in steps) and all(b > a * least for a, b in last)

    def oscillates(self) -> bool:
        """Whether the spread of the values stays the same at ever farther points."""
        from flint import acb, arb

        if self.end.at is not None:
            return False
        spreads = []
        with precision(BITS):
            for k in (30, 100, 300):
                far = [self.end.sign * (arb(2) ** k + arb(j) * 1.37) for j in range(40)]
                try:
                    values = [self.program.balls({self.x: acb(p)})[0] for p in far]
                except BALL_ERRORS:
                    return False
                if not all(z.is_finite() for z in values):
                    return False
                spreads.append(
                    max(abs(z - w).mid() for i, z in enumerate(values) for w in values[:i])
                )
            return all(s > spreads[0] * 0.7 for s in spreads) and bool(spreads[0] > 0)

    def power_order(self) -> float | None:
        """The exponent a for which e behaves like the a-th power of the distance (of 1/|x| at
        infinity); None if there is none."""
        from flint import arb

        with precision(BITS):
            logs, turns = [], []
            for k in STEPS[2:]:
                z = self.at(k)
                if not z.is_finite() or not abs(z) > 0:
                    return None
                logs.append(-abs(z).log() / arb(2).log())
                turns.append(z / abs(z))
            width = STEPS[1] - STEPS[0]
            orders = [(b - a) / width for a, b in zip(logs[:-1], logs[1:], strict=True)]
            steady = all(abs(o - orders[-1]) < 1e-9 for o in orders)
            same = all(abs(t - turns[-1]) < 1e-6 for t in turns)
            return float(orders[-1].mid()) if steady and same else None
