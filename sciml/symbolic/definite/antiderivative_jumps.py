"""The jumps of an antiderivative F inside a piece, located by ball arithmetic, in closed form."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from sciml.symbolic.algebra.rewriting import expand
from sciml.symbolic.definite.closed_form_zeros import exact_point
from sciml.symbolic.definite.discontinuities import Cell, find_discontinuities
from sciml.symbolic.definite.limits import limit
from sciml.symbolic.definite.outcome import NoValue
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import Chart, End, ball, fraction, precision, simplify_constant


def jumps_of(
    F: Expr, x: str, charts: list[Chart], deadline: float
) -> tuple[list[Expr], list[Cell]]:
    """The jumps of F inside the charts, and the cells in which it may be discontinuous.

    Raises:
        NoValue: where a jump is not known in closed form.
    """
    jumps: list[Expr] = []
    all_cells: list[Cell] = []
    for chart in charts:
        cells = find_discontinuities(F, x, chart, deadline)
        if cells is None:
            raise NoValue("no_answer", "the antiderivative jumps at too many places")
        cells = [c for c in cells if not (c.first or c.last)]
        all_cells += cells
        heights = _jump_heights(F, x) if cells else []
        jumps += [_jump(F, x, cell, heights) for cell in cells]
    return [j for j in jumps if j is not ex.ZERO], all_cells


def _jump(F: Expr, x: str, cell: Cell, heights: list[Expr]) -> Expr:
    """The jump of F across the cell: zero, or a simple multiple of a possible height."""
    if (cell.low == 0) or (cell.high == 1):
        raise NoValue("no_answer", "the antiderivative may jump where two charts meet")
    with precision(600):
        program = Program(F)
        after, before = (program.balls({x: cell.chart.point(s)})[0] for s in (cell.high, cell.low))
        if cell.chart.far and cell.chart.a > 0:
            after, before = before, after
        difference = after - before
        elsewhere = _values_on_chart(program, x, cell.chart)
        scale = max(abs(z).upper() for z in (after, before, *elsewhere))
        if difference.is_finite():
            if abs(difference).upper() <= scale * 1e-8:
                return ex.ZERO
            for height in heights:
                ratio = difference / ball(height)
                multiple = Fraction(float(ratio.real.mid())).limit_denominator(6)
                error = abs(ratio - fraction(multiple))
                if multiple and abs(multiple) <= 12 and error.upper() < 1e-8:
                    return ex.number(multiple) * height
    point = exact_point(cell, x)
    if point is not None:
        right, left = (limit(F, x, End(point), side) for side in (1, -1))
        if right and left and right.value is not None and left.value is not None:
            return simplify_constant(right.value - left.value)
    raise NoValue(
        "no_answer", "the antiderivative jumps at a place that could not be located exactly"
    )


def _values_on_chart(program: Program, x: str, chart: Chart) -> list[Any]:
    """Some finite values of F on the chart."""
    points = (chart.point(Fraction(k, 16)) for k in (1, 5, 11, 15))
    values = [program.balls({x: p})[0] for p in points]
    return [z for z in values if z.is_finite()]


def _jump_heights(F: Expr, x: str) -> list[Expr]:
    """Possible heights of jumps of F: pi times the factors of its functions with branch cuts."""
    heights: dict[Expr, None] = {}
    F = expand(F)
    for term in F.args if F.op == "add" else (F,):
        factors = term.args if term.op == "mul" else (term,)
        if any(g.op in ("atan", "acot", "asin", "acos", "log", "acsc", "asec", "atanh", "acoth")
               and x in g.free for g in factors):  # fmt: skip
            c = ex.mul([g for g in factors if x not in g.free]) * ex.PI
            c = simplify_constant(c)
            heights[c] = None
            heights[c * ex.I] = None
    single = list(heights)
    if 1 < len(single) <= 8:  # two functions that jump at the same point
        heights |= {
            a + s * b: None for i, a in enumerate(single) for b in single[:i] for s in (1, -1)
        }
    return [c for c in heights if c is not ex.ZERO]
