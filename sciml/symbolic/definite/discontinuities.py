"""Possible discontinuities of an expression on an interval, by interval subdivision.

`find_discontinuities` covers the interval with balls. A cell is cleared if the arguments of every
function with a pole, a corner or a branch cut keep away from these, and is halved if not. After
`DEPTH` halvings narrow cells about single points remain, which `closed_form_zeros` solves for.
Between two such points, `resolve_signs` removes abs and sign.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from sciml.symbolic.definite.quadrature import BALL_ERRORS
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import now
from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import Chart, precision

DEPTH = 64
BITS = 192
MAX_CELLS = 400
MAX_STEPS = 150_000
Ball = Any


def _may_equal(z: Ball, *points: int) -> bool:
    """Whether z may equal one of the real points, or is not finite."""
    return not z.is_finite() or any((z - p).contains(0) for p in points)


def _may_be_complex(z: Ball) -> bool:
    """Whether z may leave the real axis; only then can x, moving along the real line, cross a cut
    of the function."""
    return not z.imag == 0  # exactly zero, not a ball about zero


def _may_cross_cut(z: Ball, beyond: int, upward: bool = False) -> bool:
    """Whether z may cross the real axis below (above) `beyond`."""
    side = z.real > beyond if not upward else z.real < beyond
    return _may_be_complex(z) and bool(z.imag.contains(0)) and not side


def _may_cross_imaginary_axis(z: Ball) -> bool:
    """Whether z may cross the imaginary axis beyond i or -i."""
    if not z.is_finite():
        return True
    return _may_be_complex(z) and bool(z.real.contains(0)) and not abs(z.imag) < 1


def _meets_both_cuts(z: Ball) -> bool:
    """Whether z may meet the cuts beyond the branch points -1 and 1."""
    return _may_equal(z, -1, 1) or _may_cross_cut(z, -1) or _may_cross_cut(z, 1, upward=True)


def _meets_cut(*points: int, end: int, upward: bool = False) -> Callable[[Ball], bool]:
    """The test for singular points and a cut from `end` to -oo, or to oo if `upward`."""
    return lambda z: _may_equal(z, *points) or _may_cross_cut(z, end, upward)


def _of_reciprocal(test: Callable[[Ball], bool]) -> Callable[[Ball], bool]:
    return lambda z: _may_equal(z, 0) or test(1 / z)


_TESTS: dict[str, Callable[[Ball], bool]] = {
    "abs": lambda z: _may_equal(z, 0),
    "sign": lambda z: _may_equal(z, 0) or _may_be_complex(z),
    "floor": lambda z: not z.is_finite() or z.real.contains_integer() or _may_be_complex(z),
    "log": _meets_cut(0, end=0), "Ei": _meets_cut(0, end=0), "Ci": _meets_cut(0, end=0),
    "Chi": _meets_cut(0, end=0), "li": _meets_cut(0, 1, end=1),
    "dilog": _meets_cut(1, end=1, upward=True),
    "asin": _meets_both_cuts, "acos": _meets_both_cuts, "atanh": _meets_both_cuts,
    "atan": _may_cross_imaginary_axis, "asinh": _may_cross_imaginary_axis,
    "acosh": _meets_cut(-1, 1, end=1),
    "acot": _of_reciprocal(_may_cross_imaginary_axis),
    "acsch": _of_reciprocal(_may_cross_imaginary_axis),
    "asec": _of_reciprocal(_meets_both_cuts), "acsc": _of_reciprocal(_meets_both_cuts),
    "acoth": _of_reciprocal(_meets_both_cuts),
    "asech": _of_reciprocal(_meets_cut(-1, 1, end=1)),
}  # fmt: skip
"""Whether a function may be discontinuous for some argument in a ball."""
_POLES = frozenset("tan cot sec csc tanh coth sech csch".split())


@dataclass(frozen=True)
class Cell:
    """A narrow part low <= s <= high of a chart that could not be cleared.

    Attributes:
        nodes: the nodes that may be discontinuous there.
    """

    chart: Chart
    low: Fraction
    high: Fraction
    nodes: tuple[Expr, ...]

    @property
    def first(self) -> bool:
        """Whether it lies at the lower end of the interval that the charts cover."""
        return self.low == 0 and not self.chart.inner[0]

    @property
    def last(self) -> bool:
        """Whether it lies at the upper end of the interval that the charts cover."""
        return self.high == 1 and not self.chart.inner[1]

    def ball(self) -> Any:
        """A ball that contains the points x of the cell."""
        return self.chart.cell(self.low, self.high)


_REAL = frozenset("num sym pi add mul exp sin cos sinh cosh tanh sech atan asinh erf abs sign Si "
                  "fresnels fresnelc Shi erfi".split())  # fmt: skip


def is_real(e: Expr) -> bool:
    """Whether e is real for every real x by its form alone."""
    return all(
        n.op in _REAL or (n.op == "pow" and n.args[1].op == "num"
                          and (n.args[1].value.denominator == 1 or is_positive(n.args[0])))
        for n in ex.subtrees(e)
    )  # fmt: skip


def is_positive(e: Expr, strict: int = 1) -> bool:
    """Whether e is positive for every real x by its form alone (`strict` 0: or zero)."""
    if e.op == "num":
        return e.value > 0 or (e.value == 0 and not strict)
    if e.op in ("exp", "cosh", "sech"):
        return is_real(e.args[0])
    if e.op == "abs":
        return not strict or is_positive(e.args[0])
    if e.op == "mul":
        return all(is_positive(a, strict) for a in e.args)
    if e.op == "add":
        return all(is_positive(a, 0) for a in e.args) and any(
            is_positive(a, strict) for a in e.args
        )
    if e.op == "pow" and e.args[1].op == "num":
        k = e.args[1].value
        if is_positive(e.args[0]):
            return True
        even = k.denominator == 1 and k.numerator % 2 == 0 and k > 0
        return even and not strict and is_real(e.args[0])
    return e.op == "pi"


def discontinuous_nodes(e: Expr, x: str) -> list[Expr]:
    """The nodes of e that may be discontinuous for some x."""
    out = []
    for n in ex.subtrees(e):
        if x not in n.free:
            continue
        if n.op in ("pow", "log", "abs", "sign") and is_positive(n.args[0]):
            continue
        if n.op in ("tanh", "sech", "atan", "asinh") and is_real(n.args[0]):
            continue
        if n.op == "pow":
            k = n.args[1]
            if k.op != "num" or k.value.denominator > 1 or k.value < 0:
                out.append(n)
        elif n.op in _TESTS or n.op in _POLES:
            out.append(n)
    return out


def is_continuous_at(op: str, u: Ball, out: Ball) -> bool:
    """Whether the function is continuous on the ball u of its argument; `out` is its value."""
    if op in _POLES:
        return bool(out.is_finite())
    return op not in _TESTS or not _TESTS[op](u)


def _may_be_discontinuous(n: Expr, z: Ball, out: Ball) -> bool:
    if n.op == "pow":
        k = n.args[1]
        if k.op == "num" and k.value.denominator == 1:
            return _may_equal(z, 0)
        return _may_equal(z, 0) or _may_cross_cut(z, 0)
    return not is_continuous_at(n.op, z, out)


def find_discontinuities(
    e: Expr, x: str, chart: Chart, deadline: float, only: frozenset[str] | None = None
) -> list[Cell] | None:
    """The cells of the chart that could not be cleared; None if they are too many, or not narrow.

    Args:
        e, x: the expression and its variable.
        chart: the part of the line to cover.
        deadline: value of the clock to stop at.
        only: names of the operators to examine; by default all that may be discontinuous.
    """
    nodes = [n for n in discontinuous_nodes(e, x) if only is None or n.op in only]
    if not nodes:
        return []
    for bits in (BITS, 5 * BITS):  # where terms nearly cancel, as in 1 - tanh(x)**2
        cells = _subdivide(_Cover(nodes, x, chart), deadline, bits)
        if cells is not None:
            return _merge_cells(cells, nodes, chart)
    return None


class _Cover:
    """Decides which of the nodes may be discontinuous in a cell."""

    def __init__(self, nodes: list[Expr], x: str, chart: Chart) -> None:
        inner = [n.args[0] for n in nodes]
        self.nodes, self.x, self.chart = nodes, x, chart
        self.program, self.middle = Program(*inner, *nodes), Program(*inner)
        self.slopes = Program(*[u.diff(x) for u in inner])
        # exp(x) - 1 vanishes where 1 - exp(-x) does, but its balls at large values contain 0
        self.other = {
            i: Program(*_divided_by_exponentials(u)) for i, u in enumerate(inner) if is_real(u)
        }

    def uncleared(self, low: Fraction, high: Fraction, depth: int) -> list[int]:
        """The indices of the nodes that are not cleared."""
        nodes = self.nodes
        at = {self.x: self.chart.cell(low, high)}
        cell = at[self.x]
        try:
            values = self.program.balls(at)
        except BALL_ERRORS:
            return list(range(len(nodes)))
        bad = [
            i for i, n in enumerate(nodes)
            if _may_be_discontinuous(n, values[i], values[len(nodes) + i])
            and not self.never_zero(i, at)
        ]  # fmt: skip
        if not bad or depth < 8:
            return bad
        try:  # the mean value form is narrower
            slope, center = self.slopes.balls(at), self.middle.balls({self.x: cell.mid()})
        except BALL_ERRORS:
            return bad
        step = cell - cell.mid()
        mean_value = {i: center[i] + slope[i] * step for i in bad}
        return [
            i for i in bad
            if nodes[i].op in _POLES or _may_be_discontinuous(nodes[i], mean_value[i], values[i])
        ]  # fmt: skip

    def never_zero(self, i: int, at: dict[str, Ball]) -> bool:
        """Whether a real argument, of which only zeros matter, is non-zero in another form."""
        if i not in self.other or self.nodes[i].op not in ("pow", "log", "abs", "sign"):
            return False
        try:
            return any(z.is_finite() and not z.contains(0) for z in self.other[i].balls(at))
        except BALL_ERRORS:
            return False


def _divided_by_exponentials(u: Expr) -> list[Expr]:
    """The sum u divided by each of the exponentials in its terms."""
    if u.op != "add":
        return []
    exponents = {f.args[0] for t in u.args for f in (t.args if t.op == "mul" else (t,))
                 if f.op == "exp" and f.free}  # fmt: skip
    return [ex.add([t * ex.call("exp", -v) for t in u.args]) for v in list(exponents)[:4]]


def _subdivide(
    cover: _Cover, deadline: float, bits: int
) -> list[tuple[Fraction, Fraction, list[int]]] | None:
    """(low, high, uncleared nodes) of the cells left at the last depth; None if too many."""
    with precision(bits):
        initial = 16
        stack = [
            (Fraction(k, initial), Fraction(k + 1, initial), 4) for k in reversed(range(initial))
        ]
        cells: list[tuple[Fraction, Fraction, list[int]]] = []
        steps = 0
        while stack:
            low, high, depth = stack.pop()
            steps += 1
            timed_out = steps % 64 == 0 and now() > deadline
            if timed_out or steps > MAX_STEPS or len(cells) > 8 * MAX_CELLS:
                return None
            uncleared = cover.uncleared(low, high, depth)
            if not uncleared:
                continue
            if depth >= DEPTH:
                cells.append((low, high, uncleared))
                continue
            middle = (low + high) / 2
            stack += [(middle, high, depth + 1), (low, middle, depth + 1)]
    return None if len(cells) > 64 * MAX_CELLS else cells


def _merge_cells(
    cells: list[tuple[Fraction, Fraction, list[int]]], nodes: list[Expr], chart: Chart
) -> list[Cell] | None:
    merged: list[Cell] = []
    for low, high, uncleared in cells:
        names = [nodes[i] for i in uncleared]
        if merged and merged[-1].high == low:
            names = list(dict.fromkeys([*merged[-1].nodes, *names]))
            merged[-1] = Cell(chart, merged[-1].low, high, tuple(names))
        else:
            merged.append(Cell(chart, low, high, tuple(names)))
    wide = any(c.high - c.low > Fraction(1, 2 ** (DEPTH - 16)) for c in merged)
    return None if wide or len(merged) > MAX_CELLS else merged


# ------------------------------------------------------------------ signs between discontinuities
def resolve_signs(e: Expr, x: str, middle: Any, unresolved: Collection[Expr] = ()) -> Expr:
    """e with abs(q), sign(q), floor(q) and roots of q**2 rewritten for the real q at the point
    `middle`; the nodes in `unresolved`, whose signs change, are kept."""

    def sign(q: Expr) -> int:
        try:
            z = Program(q).balls({x: middle})[0]
        except BALL_ERRORS:
            return 0
        if not z.is_finite() or not z.imag == 0 or z.real.contains(0):
            return 0
        return 1 if z.real > 0 else -1

    def step(n: Expr) -> Expr:
        try:
            z = Program(n).balls({x: middle})[0]
            return ex.number(int(z.real.unique_fmpz())) if z.imag == 0 else n
        except (*BALL_ERRORS, TypeError):  # no single integer
            return n

    memo: dict[Expr, Expr] = {}
    for n in ex.subtrees(e):
        args = tuple(memo[a] for a in n.args)
        out = n if args == n.args else ex.rebuild(n, args)
        if x in out.free and n not in unresolved:
            if out.op == "floor":
                out = step(out)
            elif out.op in ("abs", "sign"):
                s = sign(out.args[0])
                if s:
                    out = s * out.args[0] if out.op == "abs" else ex.number(s)
            elif ex.is_radical(out):
                out = _root(out.args[0], out.args[1], x, sign)
        memo[n] = out
    return memo[e]


def _root(base: Expr, exponent: Expr, x: str, sign: Callable[[Expr], int]) -> Expr:
    """(q**2 r)**k as (|q|)**(2 k) r**k for a real q."""
    outside, inside = [], []
    for factor in base.args if base.op == "mul" else (base,):
        q, k = ex.base_and_exponent(factor)
        even = k.op == "num" and k.value.denominator == 1 and k.value % 2 == 0 and x in q.free
        s = sign(q) if even and q is not ex.E else 0
        if s:
            outside.append(ex.power(s * q, k * exponent))
        else:
            inside.append(factor)
    if not outside:
        return ex.power(base, exponent)
    return ex.mul([*outside, ex.power(ex.mul(inside), exponent)])
