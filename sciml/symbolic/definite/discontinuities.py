"""Where an expression may stop being continuous on an interval, and exactly where that is.

`troubles` covers the interval with balls: a cell is clear when the arguments of every function with
a pole, a corner or a cut keep away from them, and is halved when not. What is left after
`DEPTH` halvings are narrow cells about single points; `zeros` solves for them. Between two such
points abs and sign can be `resolved`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import now
from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import Chart, precision

DEPTH = 64
BITS = 192
MAX_CELLS = 400
MAX_STEPS = 150_000
_ERRORS = (ValueError, ZeroDivisionError, OverflowError, ArithmeticError)
Ball = Any


def _at(z: Ball, *points: int) -> bool:
    """Whether z may be one of the real points, or is no number."""
    return not z.is_finite() or any((z - p).contains(0) for p in points)


def _off_axis(z: Ball) -> bool:
    """Whether z may leave the real axis: only then can a cut be crossed along the real line."""
    return not z.imag == 0  # a ball is unequal to 0 only where it does not hold 0


def _cut(z: Ball, beyond: int, upward: bool = False) -> bool:
    """Whether z may cross the real axis below (above) `beyond`."""
    side = z.real > beyond if not upward else z.real < beyond
    return _off_axis(z) and bool(z.imag.contains(0)) and not side


def _ends(z: Ball) -> bool:
    return _at(z, -1, 1) or _cut(z, -1) or _cut(z, 1, upward=True)


def _imaginary(z: Ball) -> bool:
    """Whether z may cross the imaginary axis beyond i or -i."""
    if not z.is_finite():
        return True
    return _off_axis(z) and bool(z.real.contains(0)) and not abs(z.imag) < 1


def _over(test: Callable[[Ball], bool]) -> Callable[[Ball], bool]:
    return lambda z: _at(z, 0) or test(1 / z)


_TESTS: dict[str, Callable[[Ball], bool]] = {
    "abs": lambda z: _at(z, 0), "sign": lambda z: _at(z, 0) or _off_axis(z),
    "log": lambda z: _at(z, 0) or _cut(z, 0),
    "asin": _ends, "acos": _ends, "atanh": _ends, "atan": _imaginary, "asinh": _imaginary,
    "acosh": lambda z: _at(z, -1, 1) or _cut(z, 1),
    "acot": _over(_imaginary), "acsch": _over(_imaginary), "asec": _over(_ends),
    "acsc": _over(_ends), "acoth": _over(_ends),
    "asech": _over(lambda z: _at(z, -1, 1) or _cut(z, 1)),
    "Ei": lambda z: _at(z, 0) or _cut(z, 0), "Ci": lambda z: _at(z, 0) or _cut(z, 0),
    "Chi": lambda z: _at(z, 0) or _cut(z, 0), "li": lambda z: _at(z, 0, 1) or _cut(z, 1),
    "dilog": lambda z: _at(z, 1) or _cut(z, 1, upward=True),
}  # fmt: skip
_POLES = frozenset("tan cot sec csc tanh coth sech csch".split())


@dataclass(frozen=True)
class Cell:
    """A narrow stretch low <= s <= high of a chart that could not be cleared, and the nodes that
    may be discontinuous there."""

    chart: Chart
    low: Fraction
    high: Fraction
    nodes: tuple[Expr, ...]

    @property
    def first(self) -> bool:
        """Whether it lies at the beginning of what the charts cover."""
        return self.low == 0 and not self.chart.inner[0]

    @property
    def last(self) -> bool:
        """Whether it lies at an end of what the charts cover."""
        return self.high == 1 and not self.chart.inner[1]

    def ball(self) -> Any:
        """The points x of the cell."""
        return self.chart.cell(self.low, self.high)


_REAL = frozenset("num sym pi add mul exp sin cos sinh cosh tanh sech atan asinh erf abs sign Si "
                  "fresnels fresnelc Shi erfi".split())  # fmt: skip


def is_real(e: Expr) -> bool:
    """Whether e is real for every real x by its form alone."""
    return all(
        n.op in _REAL or (n.op == "pow" and n.args[1].op == "num"
                          and (n.args[1].value.denominator == 1 or positive(n.args[0])))
        for n in ex.subtrees(e)
    )  # fmt: skip


def positive(e: Expr, least: int = 1) -> bool:
    """Whether e is above 0 for every real x by its form alone (`least` 0: or equal)."""
    if e.op == "num":
        return e.value > 0 or (e.value == 0 and not least)
    if e.op in ("exp", "cosh", "sech"):
        return is_real(e.args[0])
    if e.op == "abs":
        return not least or positive(e.args[0])
    if e.op == "mul":
        return all(positive(a, least) for a in e.args)
    if e.op == "add":
        return all(positive(a, 0) for a in e.args) and any(positive(a, least) for a in e.args)
    if e.op == "pow" and e.args[1].op == "num":
        k = e.args[1].value
        if positive(e.args[0]):
            return True
        even = k.denominator == 1 and k.numerator % 2 == 0 and k > 0
        return even and not least and is_real(e.args[0])
    return e.op == "pi"


def critical(e: Expr, x: str) -> list[Expr]:
    """The nodes of e that may be discontinuous for some x."""
    out = []
    for n in ex.subtrees(e):
        if x not in n.free:
            continue
        if n.op in ("pow", "log", "abs", "sign") and positive(n.args[0]):
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


def is_clear(op: str, u: Ball, out: Ball) -> bool:
    """Whether the function is continuous about the value u of its operand; `out` is its value."""
    if op in _POLES:
        return bool(out.is_finite())
    return op not in _TESTS or not _TESTS[op](u)


def _troubled(n: Expr, z: Ball, out: Ball) -> bool:
    if n.op == "pow":
        k = n.args[1]
        if k.op == "num" and k.value.denominator == 1:
            return _at(z, 0)
        return _at(z, 0) or _cut(z, 0)
    return not is_clear(n.op, z, out)


def troubles(
    e: Expr, x: str, chart: Chart, deadline: float, only: frozenset[str] | None = None
) -> list[Cell] | None:
    """The cells of the chart that are left; None when they are too many, or no narrow ones.

    Args:
        only: names of operators to look at; all that may be discontinuous by default.
    """
    nodes = [n for n in critical(e, x) if only is None or n.op in only]
    if not nodes:
        return []
    for bits in (BITS, 5 * BITS):  # where terms nearly cancel, as in 1 - tanh(x)**2
        found = _covered(_Cover(nodes, x, chart), deadline, bits)
        if found is not None:
            return _merged(found, nodes, chart)
    return None


class _Cover:
    """Which of the nodes may be discontinuous in a cell."""

    def __init__(self, nodes: list[Expr], x: str, chart: Chart) -> None:
        inner = [n.args[0] for n in nodes]
        self.nodes, self.x, self.chart = nodes, x, chart
        self.program, self.middle = Program(*inner, *nodes), Program(*inner)
        self.slopes = Program(*[u.diff(x) for u in inner])
        # exp(x) - 1 is 0 where 1 - exp(-x) is, but balls about large values hold 0
        self.other = {i: Program(*_without_growth(u)) for i, u in enumerate(inner) if is_real(u)}

    def left(self, low: Fraction, high: Fraction, depth: int) -> list[int]:
        """The numbers of the nodes that are not cleared."""
        nodes = self.nodes
        at = {self.x: self.chart.cell(low, high)}
        cell = at[self.x]
        try:
            values = self.program.balls(at)
        except _ERRORS:
            return list(range(len(nodes)))
        bad = [i for i, n in enumerate(nodes) if _troubled(n, values[i], values[len(nodes) + i])]
        bad = [i for i in bad if not self.never_zero(i, at)]
        if not bad or depth < 8:
            return bad
        try:  # the mean value theorem tells u from a point where it only touches
            slope, center = self.slopes.balls(at), self.middle.balls({self.x: cell.mid()})
        except _ERRORS:
            return bad
        step = cell - cell.mid()
        return [
            i for i in bad
            if nodes[i].op in _POLES or _troubled(nodes[i], center[i] + slope[i] * step, values[i])
        ]  # fmt: skip

    def never_zero(self, i: int, at: dict[str, Ball]) -> bool:
        """Whether another form of a real operand, for which only 0 matters, is not 0."""
        if i not in self.other or self.nodes[i].op not in ("pow", "log", "abs", "sign"):
            return False
        try:
            return any(z.is_finite() and not z.contains(0) for z in self.other[i].balls(at))
        except _ERRORS:
            return False


def _without_growth(u: Expr) -> list[Expr]:
    """u over each of the exponentials in its terms."""
    if u.op != "add":
        return []
    exponents = {f.args[0] for t in u.args for f in (t.args if t.op == "mul" else (t,))
                 if f.op == "exp" and f.free}  # fmt: skip
    return [ex.add([t * ex.call("exp", -v) for t in u.args]) for v in list(exponents)[:4]]


def _covered(
    cover: _Cover, deadline: float, bits: int
) -> list[tuple[Fraction, Fraction, list[int]]] | None:
    """The cells that are left at the last depth; None where they are too many."""
    with precision(bits):
        first = 16
        stack = [(Fraction(k, first), Fraction(k + 1, first), 4) for k in reversed(range(first))]
        found: list[tuple[Fraction, Fraction, list[int]]] = []
        steps = 0
        while stack:
            low, high, depth = stack.pop()
            steps += 1
            late = steps % 64 == 0 and now() > deadline
            if late or steps > MAX_STEPS or len(found) > 8 * MAX_CELLS:
                return None
            bad = cover.left(low, high, depth)
            if not bad:
                continue
            if depth >= DEPTH:
                found.append((low, high, bad))
                continue
            middle = (low + high) / 2
            stack += [(middle, high, depth + 1), (low, middle, depth + 1)]
    return None if len(found) > 64 * MAX_CELLS else found


def _merged(
    found: list[tuple[Fraction, Fraction, list[int]]], nodes: list[Expr], chart: Chart
) -> list[Cell] | None:
    out: list[Cell] = []
    for low, high, bad in found:
        names = [nodes[i] for i in bad]
        if out and out[-1].high == low:
            names = list(dict.fromkeys([*out[-1].nodes, *names]))
            out[-1] = Cell(chart, out[-1].low, high, tuple(names))
        else:
            out.append(Cell(chart, low, high, tuple(names)))
    wide = any(c.high - c.low > Fraction(1, 2 ** (DEPTH - 16)) for c in out)
    return None if wide or len(out) > MAX_CELLS else out


# ------------------------------------------------------------------ signs between the points
def resolved(e: Expr, x: str, middle: Any, keep: Collection[Expr] = ()) -> Expr:
    """e with abs(q), sign(q) and the roots of q**2 written without them, for the signs that the
    real factors have at the point `middle`; nodes in `keep`, which change theirs, stay."""

    def sign(q: Expr) -> int:
        try:
            z = Program(q).balls({x: middle})[0]
        except _ERRORS:
            return 0
        if not z.is_finite() or not z.imag == 0 or z.real.contains(0):
            return 0
        return 1 if z.real > 0 else -1

    memo: dict[Expr, Expr] = {}
    for n in ex.subtrees(e):
        args = tuple(memo[a] for a in n.args)
        out = n if args == n.args else ex.rebuild(n, args)
        if x in out.free and n not in keep:
            if out.op in ("abs", "sign"):
                s = sign(out.args[0])
                if s:
                    out = s * out.args[0] if out.op == "abs" else ex.number(s)
            elif out.op == "pow" and out.args[1].op == "num" and out.args[1].value.denominator > 1:
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
