"""An antiderivative F without its jumps, where ball arithmetic locates all of them.

Few jumps on the whole line: half the height times sign(x - r) is subtracted for each. Jumps that
repeat with the period P of circular functions: at r + k P, F jumps by J(k); with T(k) - T(k - 1) =
J(k), the steps T(floor((x - r) / P)) are subtracted, J floor((x - r) / P) where J is constant.

Source: D. J. Jeffrey (1994), "The importance of being continuous".
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm

from sciml.errors import InputError
from sciml.symbolic.algebra.rewriting import expand
from sciml.symbolic.definite.closed_form_zeros import exact_point
from sciml.symbolic.definite.discontinuities import Cell, find_discontinuities, resolve_signs
from sciml.symbolic.definite.limits import limit
from sciml.symbolic.definite.newton_leibniz import has_no_far_zeros
from sciml.symbolic.definite.quadrature import BALL_ERRORS
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import TimeUp, at_most, now
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import End, ball, charts, precision, simplify_constant
from sciml.symbolic.integration.floors import STEP, indefinite_sum

_CIRCULAR = frozenset("sin cos tan cot sec csc".split())
_START = Fraction(137, 1000)  # of a period: no special point
_MAX_JUMPS = 12
_LINE = (End(None, -1), End(None, 1))
_ERRORS = (*BALL_ERRORS, ex.Undefined, ex.TooLarge, InputError, RecursionError,
           NotImplementedError, TypeError, AttributeError)  # fmt: skip


@dataclass(frozen=True)
class Jump:
    """A jump of F at `at`; the height may hold the symbol of `floors`, the number of the period."""

    at: Expr
    height: Expr


def without_located_jumps(F: Expr, x: str, deadline: float) -> tuple[Expr, bool] | None:
    """F without its jumps, and whether they are all: far out, they may not be excluded. None where
    a jump is not known in closed form, or there is none."""
    if F.free != {x}:
        return None
    try:
        with at_most(max(0.1, deadline - now())):
            period = _period(F, x)
            if period is None:
                return _without_jumps_of_the_line(F, x, deadline)
            smooth = _without_periodic_jumps(F, x, period, deadline)
            return None if smooth is None else (smooth, True)
    except (TimeUp, *_ERRORS):
        return None


# ------------------------------------------------------------------ on the whole line
def _without_jumps_of_the_line(F: Expr, x: str, deadline: float) -> tuple[Expr, bool] | None:
    cells = _cells(F, x, *_LINE, deadline)
    if cells is None:
        return None
    inner = [c for c in cells if not (c.first or c.last)]
    jumps = [_jump(F, x, cell) for cell in inner]
    if None in jumps or all(j is None or j.height is ex.ZERO for j in jumps):
        return None
    place = ex.symbol(x)
    steps = [j.height / 2 * ex.call("sign", place - j.at) for j in jumps if j is not None]
    ends = [n for c in cells if c.first or c.last for n in c.nodes]
    return ex.add([F, *(-s for s in steps)]), all(has_no_far_zeros(n.args[0], x) for n in ends)


def _cells(F: Expr, x: str, low: End, high: End, deadline: float) -> list[Cell] | None:
    """Where F may be discontinuous; None where that is not clear, or at too many places."""
    with precision(300):
        covering = charts(low, high)
    out: list[Cell] = []
    for chart in covering:
        cells = find_discontinuities(F, x, chart, deadline)
        if cells is None or len(cells) > _MAX_JUMPS:
            return None
        out += cells
    return out


def _jump(F: Expr, x: str, cell: Cell) -> Jump | None:
    """The jump in the cell: by the signs on both of its sides where signs alone may cause it, else
    by limits."""
    point = exact_point(cell, x)
    sides = _by_signs(F, x, cell)
    if point is None or sides is None:
        return _jump_by_limits(F, x, cell)
    at = {ex.symbol(x): point}
    return Jump(point, simplify_constant(ex.substitute(sides[1] - sides[0], at)))


def _by_signs(F: Expr, x: str, cell: Cell) -> tuple[Expr, Expr] | None:
    """The forms of F on the left and on the right of the cell, without signs; None where something
    else may be discontinuous there."""
    if any(n.op not in ("sign", "abs") for n in cell.nodes) or cell.low == 0 or cell.high == 1:
        return None
    with precision(300):
        ends = sorted((cell.chart.point(s) for s in (cell.low, cell.high)), key=lambda z: z.mid())
        left, right = (resolve_signs(F, x, end) for end in ends)
    if any(n.op in ("sign", "abs") and x in n.free for e in (right, left) for n in ex.subtrees(e)):
        return None
    return left, right


def _jump_by_limits(F: Expr, x: str, cell: Cell) -> Jump | None:
    """The jump in the cell as the difference of two proved limits."""
    point = exact_point(cell, x)
    if point is None:
        return None
    sides = [limit(F, x, End(point), side, 0.5) for side in (1, -1)]
    right, left = (s.value if s is not None and s.proved else None for s in sides)
    if right is None or left is None:
        return None
    return Jump(point, simplify_constant(right - left))


# ------------------------------------------------------------------ that repeat
def _period(F: Expr, x: str) -> Expr | None:
    """The period of the circular functions in F; None where there is none, or x occurs otherwise
    in the argument of another function."""
    nodes = _circular(F, x)
    slopes = [n.args[0].diff(x) for n in nodes]
    if not nodes or any(s.free for s in slopes):
        return None
    inside = _marked(F, nodes)
    if any(n.op not in ("sym", "mul", "add", "pow", "exp") and x in n.free
           for n in ex.subtrees(inside)):  # fmt: skip
        return None
    ratios = [simplify_constant(s / slopes[0]) for s in slopes]
    if any(r.op != "num" for r in ratios):
        return None
    values = [abs(r.value) for r in ratios]
    common = Fraction(gcd(*[v.numerator for v in values]), lcm(*[v.denominator for v in values]))
    return simplify_constant(2 * ex.PI / (ex.call("abs", slopes[0]) * ex.number(common)))


def _circular(F: Expr, x: str) -> list[Expr]:
    return [n for n in ex.subtrees(F) if n.op in _CIRCULAR and x in n.free]


def _marked(F: Expr, nodes: list[Expr]) -> Expr:
    """F with a symbol for each of the circular functions."""
    return ex.substitute(F, {n: ex.symbol(f"_t{i}") for i, n in enumerate(nodes)})


def _without_periodic_jumps(F: Expr, x: str, period: Expr, deadline: float) -> Expr | None:
    start = period * _START
    cells = _cells(F, x, End(start), End(start + period), deadline)
    if cells is None:
        return None
    terms = F.args if F.op == "add" else (F,)
    rest = ex.add([t for t in terms if not _is_polynomial(t, x)])
    is_periodic = x not in _marked(rest, _circular(rest, x)).free
    jumps = []
    for cell in cells:
        jump = _jump(F, x, cell) if is_periodic else _jump_of_signs(F, x, period, cell)
        if jump is None:
            return None
        if jump.height is not ex.ZERO:
            jumps.append(jump)
    if not jumps:
        return None
    if all(j.height is jumps[0].height for j in jumps) and _equally_spaced(jumps, period):
        if not jumps[0].height.free:
            period, jumps = period / len(jumps), jumps[:1]
    steps = []
    for jump in jumps:
        number = ex.symbol(x) / period - simplify_constant(jump.at / period)
        if jump.height.free:
            total = indefinite_sum(expand(jump.height))
            if total is None:
                return None
            steps.append(ex.substitute(total, {STEP: ex.call("floor", number)}))
        else:
            floor = ex.call("floor", number)
            parts = floor.args if floor.op == "add" else (floor,)
            steps.append(jump.height * ex.add([t for t in parts if t.free]))
    return ex.add([F, *(-s for s in steps)])


def _is_polynomial(t: Expr, x: str) -> bool:
    return all(
        n.op in ("sym", "mul")
        or n.op == "pow" and n.args[1].op == "num" and n.args[1].value.denominator == 1
        and n.args[1].value > 0
        for n in ex.subtrees(t) if x in n.free
    )  # fmt: skip


def _jump_of_signs(F: Expr, x: str, period: Expr, cell: Cell) -> Jump | None:
    """The jump in the cell and its repetitions, where signs of circular functions cause it."""
    point = exact_point(cell, x)
    nodes = _circular(F, x)
    sides = _by_signs(F, x, cell)
    if point is None or sides is None:
        return None
    for n in ex.subtrees(F):
        if n.op in ("sign", "abs") and x in _marked(n, nodes).free:
            return None
    difference = expand(sides[1] - sides[0])
    values: dict[Expr, ex.ExprLike] = {
        n: simplify_constant(ex.substitute(n, {ex.symbol(x): point}))
        for n in _circular(difference, x)
    }
    values[ex.symbol(x)] = point + STEP * period
    return Jump(point, expand(ex.substitute(difference, values)))


def _equally_spaced(jumps: list[Jump], period: Expr) -> bool:
    """Whether the jumps divide the period into equal parts."""
    step = period / len(jumps)
    with precision(300):
        return all(
            ball(b.at - a.at - step).contains(0) for a, b in zip(jumps[:-1], jumps[1:], strict=True)
        )
