"""Does a function solve a differential equation? Substitute it and look at the residual.

The residual is evaluated in balls at many values of the variable and of the constants, in all
patterns of signs; disjoint from zero, it refutes. A solution of a differential equation is a
function on an interval, so the residual has to vanish on an interval; isolated agreements do not
count. Where it vanishes on a part only, that part is named (`Region`) or the solution is refused.
Only a residual that reduces to zero by algebra is called verified, else the solution is sampled.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.verification.checking import Check

_POINTS = 40
_RUN = 5
_PRECISIONS = (192, 640)
_WIDTH = 1e-30
_PROOF_SECONDS = 2.0
_SIGNS = ((1, 1), (1, -1), (-1, 1), (-1, -1))
REAL, COMPLEX = "where it is real", "with complex values"


@dataclass(frozen=True)
class Region:
    """A part of the plane: where `quantity`, of x, y and y', is positive."""

    text: str
    quantity: Expr


def regions(x: str, y: str, constants: Sequence[str] = ()) -> list[Region]:
    """The parts that are looked for: signs of x, y, y', x y, x y', then of the constants."""
    out = []
    sx, sy, slope = ex.symbol(x), ex.symbol(y), ex.symbol(y + "'")
    for e in [sx, sy, slope, sx * sy, sx * slope, *map(ex.symbol, constants)]:
        out += [Region(f"{e} > 0", e), Region(f"{e} < 0", -e)]
    return out


def _branching(e: Expr, names: set[str]) -> list[Region]:
    """Where what stands under roots, in logarithms and absolute values is positive, or negative."""
    found: dict[Expr, None] = {}
    for n in ex.subtrees(e):
        root = n.op == "pow" and n.args[1].op == "num" and n.args[1].value.denominator > 1
        if (root or n.op in ("log", "abs", "sign")) and n.args[0].free & names:
            found[n.args[0]] = None
    small = [u for u in sorted(found, key=ex.size) if ex.size(u) < 30][:4]
    return [Region(f"{v} {sign} 0", v if sign == ">" else -v) for v in small for sign in "><"]


def _quadrants(x: str, y: str) -> list[Region]:
    out = []
    for sx, sy in _SIGNS:
        u, v = sx * ex.symbol(x), sy * ex.symbol(y)
        both = (ex.call("abs", u) + u) * (ex.call("abs", v) + v)
        text = f"{x} {'>' if sx > 0 else '<'} 0 and {y} {'>' if sy > 0 else '<'} 0"
        out.append(Region(text, both))
    return out


def _residual_parts(residual: Expr, mapping: dict[Expr, Expr]) -> list[Expr]:
    """The terms of the residual, apart, so that their size is known."""
    terms = residual.args if residual.op == "add" else (residual,)
    return [ex.substitute(t, mapping) for t in terms]


def _values(program: Program, point: dict[str, Fraction], count: int) -> tuple[bool | None, list]:
    """(verdict, the values after the first `count`): True: the first vanish together to 30 digits;
    False: proved not to; None: not defined or not decided."""
    from flint import arb, ctx

    before = ctx.prec
    rest: list[Any] = []
    try:
        for precision in _PRECISIONS:
            ctx.prec = precision
            inside = {k: arb(v.numerator) / v.denominator for k, v in point.items()}
            values = program.balls(inside)
            values, rest = values[:count], values[count:]
            if not all(v.is_finite() for v in values):
                continue
            total = values[0]
            size = abs(values[0]).upper()
            for v in values[1:]:
                total = total + v
                size = size + abs(v).upper()
            if not total.contains(0):
                return False, rest
            if float(abs(total).upper()) <= _WIDTH * max(float(size), 1e-30):
                return True, rest
        return None, rest
    except (ValueError, OverflowError, ZeroDivisionError):
        return None, rest
    finally:
        ctx.prec = before


def _real(z: Any) -> float | None:
    """The value of a ball that is finite and not proved complex."""
    return float(z.real.mid()) if z.is_finite() and z.imag.contains(0) else None


def _samples(names: list[str], rng: np.random.Generator) -> list[dict[str, Fraction]]:
    """Values of the constants: of every pattern of signs (of up to three), of several sizes."""
    out = []
    for turn in range(8 if len(names) > 1 else 4):
        scale = (1, 1, 10, Fraction(1, 10))[turn // 2 % 4 if len(names) > 1 else turn // 2]
        sample = {}
        for i, name in enumerate(names):
            v = Fraction(int(rng.integers(30, 240)), 89) * scale
            sample[name] = -v if turn >> (i % 3) & 1 else v
        out.append(sample)
    return out


def _line(rng: np.random.Generator) -> list[Fraction]:
    points = np.sort(np.concatenate([rng.uniform(-5, 5, _POINTS // 2),
                                     rng.uniform(0.05, 3, _POINTS // 2)]))  # fmt: skip
    return [Fraction(float(p)).limit_denominator(10**6) for p in points]


@dataclass
class _Seen:
    """What the points said: (verdict, values of the quantities of the regions)."""

    right: list[list[float | None]]
    wrong: list[list[float | None]]

    def region(self, known: Sequence[Region]) -> Region | None:
        """The first region that holds all right points and no wrong one."""
        for i, region in enumerate(known):
            inside = [row[i] for row in self.right]
            outside = [row[i] for row in self.wrong]
            if all(v is not None and v > 0 for v in inside) and not any(
                v is not None and v > 0 for v in outside
            ):
                return region
        return None


def _slopes(answer: Expr, x: str, y: str, order: int) -> dict[Expr, Expr]:
    mapping: dict[Expr, Expr] = {ex.symbol(y): answer}
    slope = answer
    for k in range(1, order + 1):
        slope = slope.diff(x)
        mapping[ex.symbol(y + "'" * k)] = slope
    return mapping


def check_explicit(
    residual: Expr, answer: Expr, x: str, y: str, order: int, *, general: bool = True,
    prove: bool = True, known: Sequence[Region] = (),
) -> Check:  # fmt: skip
    """Whether y = answer(x, c1, ..., constants) makes the residual vanish on an interval.

    Args:
        residual: the equation's.
        answer: the solution.
        x, y: the names of the variable and of the function.
        order: of the equation.
        general: whether all constants of integration must occur, and act differently.
        prove: whether to look for a proof.
        known: parts of the plane in which the answer may hold, beside the usual ones.
    """
    started = time.perf_counter()
    if y in answer.free or any(n.startswith(y + "'") for n in answer.free):
        return Check("unverified", "the answer holds the function itself")
    constants = {f"c{k}" for k in range(1, order + 1)}
    if general:
        if not constants <= answer.free:
            return Check("unverified", "constants of integration are missing")
        if not _really_general(answer, sorted(constants), x):
            return Check("unverified", "the constants are not independent")
    mapping = _slopes(answer, x, y, order)
    try:
        parts = _residual_parts(residual, mapping)
    except ex.Undefined:
        return Check("unverified", "the equation is not defined for it")
    names = sorted((residual.free | answer.free) - {x, *(e.value for e in mapping)})
    look = [*known, *regions(x, y, names), *_branching(answer, {x}), *_branching(residual, {y})]
    quantities = [ex.substitute(r.quantity, mapping) for r in look]
    found = _on_intervals(parts, [answer, *quantities], names, x, answer.key, look)
    if prove and found.holds in (REAL, COMPLEX):
        place = _proof(ex.add(parts), answer, x)
        if place:
            place = COMPLEX if found.holds == COMPLEX else place.replace("the integrand", "it")
            found = replace(found, status="verified", how="symbolic", holds=place)
    kink = _kink(answer, x, order, names) if found.agrees else None
    if kink is not None and "only" not in found.holds:
        found = replace(found, holds=f"only on either side of {kink} = 0")
    return replace(found, seconds=time.perf_counter() - started)


def _proof(residual: Expr, answer: Expr, x: str) -> str:
    """Where the residual is proved to vanish; empty where it is not."""
    if residual is ex.ZERO and not any(n.op in ("abs", "sign") for n in ex.subtrees(answer)):
        return "everywhere it is defined"
    from sciml.symbolic.verification.proving import prove_identity

    return prove_identity(residual, ex.ZERO, x, answer, _PROOF_SECONDS).holds


def _kink(answer: Expr, x: str, order: int, names: list[str]) -> Expr | None:
    """u of an |u| or sign(u) at whose zero the solution, or a slope of it below the order of the
    equation, jumps: it is two solutions there, not one."""
    sizes = [n.args[0] for n in ex.subtrees(answer) if n.op in ("abs", "sign") and x in n.free]
    if not sizes:
        return None
    parts = [answer]
    while len(parts) < order:
        parts.append(parts[-1].diff(x))
    rng = np.random.default_rng(answer.key & 0xFFFF)
    values = {n: float(rng.uniform(0.4, 2.4)) for n in names}
    line = np.linspace(-7.003, 7.001, 1201)
    for u in dict.fromkeys(sizes):
        inside = Program(u)

        def side(at: np.ndarray, inside: Program = inside) -> np.ndarray:
            out = inside.complex({**values, x: at})[0]
            return np.broadcast_to(out, at.shape).real > 0

        for i in np.nonzero(np.diff(side(line).astype(int)))[0][:8]:
            ends = line[i : i + 2].copy()
            for _ in range(60):
                middle = ends.mean()
                ends[int(side(np.array([middle]))[0] != side(ends[:1])[0])] = middle
            step = 1e-7
            near = np.array(
                [ends[0] - 2 * step, ends[0] - step, ends[1] + step, ends[1] + 2 * step]
            )
            for z in Program(*parts).complex({**values, x: near}):
                z = np.broadcast_to(z, near.shape)
                left, right = 2 * z[1] - z[0], 2 * z[2] - z[3]
                if np.isfinite(z).all() and abs(right - left) > 1e-4 * (1 + abs(left)):
                    if max(abs(z[1] - z[0]), abs(z[3] - z[2])) < 1e-2 * abs(right - left):
                        return u
    return None


def quick(residual: Expr, answer: Expr, x: str, y: str, order: int) -> bool:
    """`check_explicit` in complex128: cheap, for generators; the final word is the other's."""
    mapping = _slopes(answer, x, y, order)
    program = Program(*_residual_parts(residual, mapping), answer)
    rng = np.random.default_rng(answer.key & 0xFFFF)
    decided = 0
    for sample in _samples(sorted(answer.free - {x}), rng):
        points = np.sort(np.concatenate([rng.uniform(-5, 5, _POINTS // 2),
                                         rng.uniform(0.05, 3, _POINTS // 2)]))  # fmt: skip
        values = [np.broadcast_to(v, points.shape) for v in program.complex(
            {x: points, **{k: float(v) for k, v in sample.items()}})]  # fmt: skip
        *parts, solution = values
        with np.errstate(all="ignore"):
            size = sum(np.abs(p) for p in parts)
            gap = np.abs(sum(parts))
            known = np.isfinite(size) & np.isfinite(solution) & (np.abs(solution.imag) < 1e-9)
            good = known & (gap <= 1e-8 * size)
            wrong = known & ~good
        if not known.any():
            continue
        decided += 1
        run = longest = 0
        for ok, bad in zip(good, wrong, strict=True):
            run = run + 1 if ok else (0 if bad else run)
            longest = max(longest, run)
        if longest < _RUN and (wrong.any() or good.sum() < 3):
            return False
    return decided > 0


def _really_general(answer: Expr, constants: list[str], x: str) -> bool:
    """Whether the constants act differently (the Wronskian of the parameters is not zero)."""
    from sciml.symbolic.ode.tools import same

    if len(constants) < 2:
        return not same(answer.diff(constants[0]), ex.ZERO)
    u, v = (answer.diff(name) for name in constants[:2])
    return not same(u * v.diff(x), v * u.diff(x))


def _on_intervals(
    parts: list[Expr], beside: list[Expr], names: list[str], x: str, seed: int,
    look: list[Region], real: bool = True,
) -> Check:  # fmt: skip
    """`beside` is the answer and the quantities of the regions."""
    program = Program(*parts, *beside)
    rng = np.random.default_rng(seed & 0xFFFF)
    seen = _Seen([], [])
    decided = lasting = failing = 0
    for sample in _samples(names, rng):
        run = longest = 0
        right = wrong = 0
        for at in _line(rng):
            value, rest = _values(program, {**sample, x: at}, len(parts))
            if value is None or real and (not rest or _real(rest[0]) is None):
                continue
            row = [_real(v) for v in rest[1:]]
            (seen.right if value else seen.wrong).append(row)
            run = run + 1 if value else 0
            right, wrong = right + value, wrong + (not value)
            longest = max(longest, run)
        if right + wrong:
            decided += 1
            if longest >= _RUN or (not wrong and right >= 3):
                lasting += 1
            elif wrong:
                failing += 1
    if not decided:
        if real:
            return _on_intervals(parts, beside, names, x, seed, look, False)
        return Check("unverified", "too few points could be decided")
    points = len(seen.right)
    if not seen.wrong and lasting:
        return Check("sampled", "numeric", REAL if real else COMPLEX, points)
    if not lasting:
        return Check("unverified", "the residual does not vanish")
    region = seen.region(look)
    if region is not None:
        return Check("sampled", "numeric", f"only where {region.text}", points)
    if failing:
        return Check("unverified", "the residual does not vanish", "", points)
    return Check("sampled", "numeric", "only on a part of the line", points)


def check_implicit(
    residual: Expr, relation: Expr, x: str, y: str, *, prove: bool = True,
    known: Sequence[Region] = (),
) -> Check:  # fmt: skip
    """Whether relation(x, y) = c1 solves a first-order equation: y' = -G_x / G_y, looked at in all
    four quadrants. Arguments as of `check_explicit`."""
    started = time.perf_counter()
    gx, gy = relation.diff(x), relation.diff(y)
    if gy is ex.ZERO or (x not in relation.free and x in residual.free):
        return Check("unverified", "the relation does not hold the function")
    p = ex.symbol(y + "'")
    slope = -gx / gy
    try:
        parts = _residual_parts(residual, {p: slope})
    except ex.Undefined:
        return Check("unverified", "the equation is not defined for it")
    names = sorted((residual.free | relation.free) - {x, y, y + "'"})
    look = [*known, *regions(x, y, names), *_quadrants(x, y), *_branching(relation, {x, y})]
    quantities = [ex.substitute(r.quantity, {p: slope}) for r in look]
    program = Program(*parts, relation, gy, *quantities)
    plain = Program(*(residual.args if residual.op == "add" else (residual,)), *quantities)
    count = len(parts)
    seen = _Seen([], [])
    rng = np.random.default_rng(relation.key & 0xFFFF)
    for turn, sample in enumerate(_samples(names, rng)):
        for sx, sy in _SIGNS * (4 if turn < 4 else 2):
            px, py = (s * _spread(rng) for s in (sx, sy))
            point = {**sample, x: px, y: py}
            value, rest = _values(program, point, count)
            if not rest or not all(v.is_finite() for v in rest[:2]):
                value = None
            row = [_real(v) for v in rest[2:]]
            if value is False and not _defined(plain, {**point, p.value: _spread(rng)}, count):
                continue
            if value is None:  # the relation has no value: does the equation have one?
                if _defined(plain, {**point, p.value: _spread(rng)}, count):
                    seen.wrong.append([_sign(r, x, y, sx, sy) for r in look])
            else:
                (seen.right if value else seen.wrong).append(row)
    return replace(
        _implicit_verdict(seen, look, ex.add(parts), relation, x, prove),
        seconds=time.perf_counter() - started,
    )


def _implicit_verdict(
    seen: _Seen, look: list[Region], residual: Expr, relation: Expr, x: str, prove: bool
) -> Check:
    points = len(seen.right)
    if points < 6:
        return Check("unverified", "the residual does not vanish", "", 0)
    if not seen.wrong:
        if prove and _proof(residual, relation, x):
            return Check("verified", "symbolic", "as an implicit relation", points)
        return Check("sampled", "numeric", "as an implicit relation", points)
    region = seen.region(look)
    if region is None:
        return Check("unverified", "the residual does not vanish", "", 0)
    return Check("sampled", "numeric", f"as an implicit relation, only where {region.text}", points)


def _spread(rng: np.random.Generator) -> Fraction:
    return Fraction(float(10 ** rng.uniform(-1.2, 1.0))).limit_denominator(10**4)


def _defined(program: Program, point: dict[str, Fraction], count: int) -> bool:
    from flint import arb

    try:
        inside = {k: arb(v.numerator) / v.denominator for k, v in point.items()}
        values = program.balls(inside)[:count]
    except (ValueError, OverflowError, ZeroDivisionError):
        return False
    return all(_real(v) is not None for v in values)


def _sign(region: Region, x: str, y: str, sx: int, sy: int) -> float | None:
    """The sign of a region's quantity where the slope is not known."""
    simple = {x: sx, y: sy}
    q = region.quantity
    if not q.free <= set(simple):
        return None
    from sciml.symbolic.expr.evaluate import evaluate

    value: Callable[..., Any] = evaluate
    return float(np.real(value(q, simple)))
