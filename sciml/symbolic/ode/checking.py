"""Verification of solutions of differential equations by the residual.

The solution is substituted and the residual evaluated in balls at many values of the variable and
of the constants, in all patterns of signs; a ball without zero refutes the solution. A solution is
a function on an interval, so the residual must vanish on an interval; isolated zeros do not count.
If it vanishes on a part only, that part is named (`Region`), or the solution is refused. The
solution is called verified if the residual is proved to be zero, else sampled.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import precision
from sciml.symbolic.ode.regions import (
    QUADRANTS,
    Region,
    Verdicts,
    branch_regions,
    quadrant_regions,
    sign_regions,
)
from sciml.symbolic.verification.result import Check

_POINTS_PER_LINE = 40
_MIN_RUN = 5
_PRECISIONS = (192, 640)
_RELATIVE_WIDTH = 1e-30
_PROOF_SECONDS = 2.0
REAL, COMPLEX = "where it is real", "with complex values"


def _residual_parts(residual: Expr, mapping: dict[Expr, Expr]) -> list[Expr]:
    """The terms of the residual, separately: their magnitudes set the scale of the residual."""
    terms = residual.args if residual.op == "add" else (residual,)
    return [ex.substitute(t, mapping) for t in terms]


def _values(program: Program, point: dict[str, Fraction], count: int) -> tuple[bool | None, list]:
    """(verdict, values of the outputs after the first `count`). The verdict is True if the first
    `count` outputs sum to zero to 30 digits, False if their sum is proved non-zero, None if it is
    undefined or undecided."""
    from flint import arb

    others: list[Any] = []
    try:
        for bits in _PRECISIONS:
            with precision(bits):
                values = program.balls({k: arb(v.numerator) / v.denominator
                                        for k, v in point.items()})  # fmt: skip
                values, others = values[:count], values[count:]
                if not all(v.is_finite() for v in values):
                    continue
                residual = values[0]
                scale = abs(values[0]).upper()
                for v in values[1:]:
                    residual = residual + v
                    scale = scale + abs(v).upper()
                if not residual.contains(0):
                    return False, others
                if float(abs(residual).upper()) <= _RELATIVE_WIDTH * max(float(scale), 1e-30):
                    return True, others
        return None, others
    except (ValueError, OverflowError, ZeroDivisionError):
        return None, others


def _real_value(z: Any) -> float | None:
    """The value of a ball that is finite and not proved complex."""
    return float(z.real.mid()) if z.is_finite() and z.imag.contains(0) else None


def _constant_samples(names: list[str], rng: np.random.Generator) -> list[dict[str, Fraction]]:
    """Values of the constants: all patterns of signs (of up to three), several magnitudes."""
    samples = []
    for round_ in range(8 if len(names) > 1 else 4):
        scale = (1, 1, 10, Fraction(1, 10))[round_ // 2 % 4 if len(names) > 1 else round_ // 2]
        sample = {}
        for i, name in enumerate(names):
            v = Fraction(int(rng.integers(30, 240)), 89) * scale
            sample[name] = -v if round_ >> (i % 3) & 1 else v
        samples.append(sample)
    return samples


def _points_of_line(rng: np.random.Generator) -> np.ndarray:
    """Random values of the variable, in ascending order."""
    return np.sort(np.concatenate([rng.uniform(-5, 5, _POINTS_PER_LINE // 2),
                                   rng.uniform(0.05, 3, _POINTS_PER_LINE // 2)]))  # fmt: skip


def _derivatives(answer: Expr, x: str, y: str, order: int) -> dict[Expr, Expr]:
    mapping: dict[Expr, Expr] = {ex.symbol(y): answer}
    slope = answer
    for k in range(1, order + 1):
        slope = slope.diff(x)
        mapping[ex.symbol(y + "'" * k)] = slope
    return mapping


def check_explicit(
    residual: Expr, answer: Expr, x: str, y: str, order: int, *, general: bool = True,
    prove: bool = True, extra_regions: Sequence[Region] = (),
) -> Check:  # fmt: skip
    """Whether y = answer(x, c1, ..., constants) makes the residual vanish on an interval.

    Args:
        residual: the residual of the equation (residual = 0).
        answer: the solution.
        x, y: the names of the variable and of the function.
        order: the order of the equation.
        general: whether all constants of integration must occur and be independent.
        prove: whether to try a proof.
        extra_regions: regions on which the answer may hold, in addition to the usual ones.
    """
    started = time.perf_counter()
    if y in answer.free or any(n.startswith(y + "'") for n in answer.free):
        return Check("unverified", "the answer contains the function itself")
    constants = {f"c{k}" for k in range(1, order + 1)}
    if general:
        if not constants <= answer.free:
            return Check("unverified", "constants of integration are missing")
        if not _constants_are_independent(answer, sorted(constants), x):
            return Check("unverified", "the constants are not independent")
    mapping = _derivatives(answer, x, y, order)
    try:
        terms = _residual_parts(residual, mapping)
    except ex.Undefined:
        return Check("unverified", "the equation is not defined for it")
    names = sorted((residual.free | answer.free) - {x, *(e.value for e in mapping)})
    candidates = [*extra_regions, *sign_regions(x, y, names), *branch_regions(answer, {x}),
                  *branch_regions(residual, {y})]  # fmt: skip
    quantities = [ex.substitute(r.quantity, mapping) for r in candidates]
    outcome = _check_on_intervals(terms, [answer, *quantities], names, x, answer.key, candidates)
    if prove and outcome.holds in (REAL, COMPLEX):
        domain = _proved_domain(ex.add(terms), answer, x)
        if domain:
            domain = COMPLEX if outcome.holds == COMPLEX else domain.replace("the integrand", "it")
            outcome = replace(outcome, status="verified", how="symbolic", holds=domain)
    kink = _kink(answer, x, order, names) if outcome.agrees else None
    if kink is not None and "only" not in outcome.holds:
        outcome = replace(outcome, holds=f"only on either side of {kink} = 0")
    return replace(outcome, seconds=time.perf_counter() - started)


def _proved_domain(residual: Expr, answer: Expr, x: str) -> str:
    """The domain on which the residual is proved to vanish, in words; empty if it is not."""
    if residual is ex.ZERO and not any(n.op in ("abs", "sign") for n in ex.subtrees(answer)):
        return "everywhere it is defined"
    from sciml.symbolic.verification.proving import prove_identity

    return prove_identity(residual, ex.ZERO, x, answer, _PROOF_SECONDS).holds


def _kink(answer: Expr, x: str, order: int, names: list[str]) -> Expr | None:
    """The u of an |u| or sign(u) at whose zero the solution, or a derivative of it below the order
    of the equation, jumps: these are two solutions, not one."""
    absolute_arguments = [
        n.args[0] for n in ex.subtrees(answer) if n.op in ("abs", "sign") and x in n.free
    ]
    if not absolute_arguments:
        return None
    derivatives = [answer]
    while len(derivatives) < order:
        derivatives.append(derivatives[-1].diff(x))
    rng = np.random.default_rng(answer.key & 0xFFFF)
    values = {n: float(rng.uniform(0.4, 2.4)) for n in names}
    line = np.linspace(-7.003, 7.001, 1201)
    for u in dict.fromkeys(absolute_arguments):
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
            points = np.array(
                [ends[0] - 2 * step, ends[0] - step, ends[1] + step, ends[1] + 2 * step]
            )
            for z in Program(*derivatives).complex({**values, x: points}):
                z = np.broadcast_to(z, points.shape)
                left, right = 2 * z[1] - z[0], 2 * z[2] - z[3]
                if np.isfinite(z).all() and abs(right - left) > 1e-4 * (1 + abs(left)):
                    if max(abs(z[1] - z[0]), abs(z[3] - z[2])) < 1e-2 * abs(right - left):
                        return u
    return None


def quick(residual: Expr, answer: Expr, x: str, y: str, order: int) -> bool:
    """A cheap version of `check_explicit` in complex128, for generators of equations."""
    mapping = _derivatives(answer, x, y, order)
    program = Program(*_residual_parts(residual, mapping), answer)
    rng = np.random.default_rng(answer.key & 0xFFFF)
    decided = 0
    for sample in _constant_samples(sorted(answer.free - {x}), rng):
        points = _points_of_line(rng)
        values = [np.broadcast_to(v, points.shape) for v in program.complex(
            {x: points, **{k: float(v) for k, v in sample.items()}})]  # fmt: skip
        *terms, solution = values
        with np.errstate(all="ignore"):
            size = sum(np.abs(p) for p in terms)
            residual_size = np.abs(sum(terms))
            valid = np.isfinite(size) & np.isfinite(solution) & (np.abs(solution.imag) < 1e-9)
            agrees = valid & (residual_size <= 1e-8 * size)
            differs = valid & ~agrees
        if not valid.any():
            continue
        decided += 1
        run = longest = 0
        for ok, bad in zip(agrees, differs, strict=True):
            run = run + 1 if ok else (0 if bad else run)
            longest = max(longest, run)
        if longest < _MIN_RUN and (differs.any() or agrees.sum() < 3):
            return False
    return decided > 0


def _constants_are_independent(answer: Expr, constants: list[str], x: str) -> bool:
    """Whether the solution depends on the constants independently: the Wronskian of its derivatives
    by the constants is not zero."""
    from sciml.symbolic.ode.tools import numerically_equal

    if len(constants) < 2:
        return not numerically_equal(answer.diff(constants[0]), ex.ZERO)
    if len(constants) == 2:
        u, v = (answer.diff(name) for name in constants)
        return not numerically_equal(u * v.diff(x), v * u.diff(x))
    rows = [[answer.diff(name) for name in constants]]
    while len(rows) < len(constants):
        rows.append([u.diff(x) for u in rows[-1]])
    names = sorted(answer.free)
    rng = np.random.default_rng(7)
    point = {n: complex(rng.uniform(0.4, 1.4), rng.uniform(0.1, 0.6)) for n in names}
    flat = Program(*(u for row in rows for u in row)).complex(point)
    matrix = np.array([complex(v) for v in flat]).reshape(len(constants), -1)
    if not np.isfinite(matrix).all():
        return False
    size = np.linalg.norm(matrix, axis=0)
    return bool((size > 0).all() and abs(np.linalg.det(matrix / size)) > 1e-9)


def _check_on_intervals(
    terms: list[Expr], quantities: list[Expr], names: list[str], x: str, seed: int,
    candidates: list[Region], real: bool = True,
) -> Check:  # fmt: skip
    """Whether the terms sum to zero on intervals; `quantities` are the answer and the quantities of
    the candidate regions, `real` says whether only real values of the answer count."""
    program = Program(*terms, *quantities)
    rng = np.random.default_rng(seed & 0xFFFF)
    verdicts = Verdicts([], [])
    decided = lasting = failing = 0
    for sample in _constant_samples(names, rng):
        run = longest = 0
        agreeing = differing = 0
        for point in _points_of_line(rng):
            at = Fraction(float(point)).limit_denominator(10**6)
            vanishes, rest = _values(program, {**sample, x: at}, len(terms))
            if vanishes is None or real and (not rest or _real_value(rest[0]) is None):
                continue
            verdicts.add(vanishes, [_real_value(v) for v in rest[1:]])
            run = run + 1 if vanishes else 0
            agreeing, differing = agreeing + vanishes, differing + (not vanishes)
            longest = max(longest, run)
        if agreeing + differing:
            decided += 1
            if longest >= _MIN_RUN or (not differing and agreeing >= 3):
                lasting += 1
            elif differing:
                failing += 1
    if not decided:
        if real:
            return _check_on_intervals(terms, quantities, names, x, seed, candidates, False)
        return Check("unverified", "too few points could be decided")
    points = len(verdicts.agreeing)
    if not verdicts.differing and lasting:
        return Check("sampled", "numeric", REAL if real else COMPLEX, points)
    if not lasting:
        return Check("unverified", "the residual does not vanish")
    region = verdicts.region(candidates)
    if region is not None:
        return Check("sampled", "numeric", f"only where {region.text}", points)
    if failing:
        return Check("unverified", "the residual does not vanish", "", points)
    return Check("sampled", "numeric", "only on a part of the line", points)


def check_implicit(
    residual: Expr, relation: Expr, x: str, y: str, *, prove: bool = True,
    extra_regions: Sequence[Region] = (),
) -> Check:  # fmt: skip
    """Whether relation(x, y) = c1 solves a first-order equation, by y' = -G_x / G_y at points of
    all four quadrants. Arguments as of `check_explicit`."""
    started = time.perf_counter()
    gx, gy = relation.diff(x), relation.diff(y)
    if gy is ex.ZERO or (x not in relation.free and x in residual.free):
        return Check("unverified", "the relation does not contain the function")
    p = ex.symbol(y + "'")
    slope = -gx / gy
    try:
        terms = _residual_parts(residual, {p: slope})
    except ex.Undefined:
        return Check("unverified", "the equation is not defined for it")
    names = sorted((residual.free | relation.free) - {x, y, y + "'"})
    candidates = [*extra_regions, *sign_regions(x, y, names), *quadrant_regions(x, y),
                  *branch_regions(relation, {x, y})]  # fmt: skip
    quantities = [ex.substitute(r.quantity, {p: slope}) for r in candidates]
    program = Program(*terms, relation, gy, *quantities)
    equation = Program(*(residual.args if residual.op == "add" else (residual,)), *quantities)
    count = len(terms)
    verdicts = Verdicts([], [])
    rng = np.random.default_rng(relation.key & 0xFFFF)
    for round_, sample in enumerate(_constant_samples(names, rng)):
        for sx, sy in QUADRANTS * (4 if round_ < 4 else 2):
            px, py = (s * _random_size(rng) for s in (sx, sy))
            point = {**sample, x: px, y: py}
            vanishes, rest = _values(program, point, count)
            if not rest or not all(v.is_finite() for v in rest[:2]):
                vanishes = None
            if not vanishes and not _is_defined(
                equation, {**point, p.value: _random_size(rng)}, count
            ):
                continue  # the equation itself is undefined there
            if vanishes is None:
                verdicts.add(False, [_sign(r, x, y, sx, sy) for r in candidates])
            else:
                verdicts.add(vanishes, [_real_value(v) for v in rest[2:]])
    return replace(
        _implicit_verdict(verdicts, candidates, ex.add(terms), relation, x, prove),
        seconds=time.perf_counter() - started,
    )


def _implicit_verdict(
    verdicts: Verdicts,
    candidates: list[Region],
    residual: Expr,
    relation: Expr,
    x: str,
    prove: bool,
) -> Check:
    points = len(verdicts.agreeing)
    if points < 6:
        return Check("unverified", "the residual does not vanish", "", 0)
    if not verdicts.differing:
        if prove and _proved_domain(residual, relation, x):
            return Check("verified", "symbolic", "as an implicit relation", points)
        return Check("sampled", "numeric", "as an implicit relation", points)
    region = verdicts.region(candidates)
    if region is None:
        return Check("unverified", "the residual does not vanish", "", 0)
    return Check("sampled", "numeric", f"as an implicit relation, only where {region.text}", points)


def _random_size(rng: np.random.Generator) -> Fraction:
    return Fraction(float(10 ** rng.uniform(-1.2, 1.0))).limit_denominator(10**4)


def _is_defined(program: Program, point: dict[str, Fraction], count: int) -> bool:
    from flint import arb

    try:
        balls = {k: arb(v.numerator) / v.denominator for k, v in point.items()}
        values = program.balls(balls)[:count]
    except (ValueError, OverflowError, ZeroDivisionError):
        return False
    return all(_real_value(v) is not None for v in values)


def _sign(region: Region, x: str, y: str, sx: int, sy: int) -> float | None:
    """The sign of a region's quantity in a quadrant; None if it depends on more than x and y."""
    simple = {x: sx, y: sy}
    q = region.quantity
    if not q.free <= set(simple):
        return None
    from sciml.symbolic.expr.evaluate import evaluate

    value: Callable[..., Any] = evaluate
    return float(np.real(value(q, simple)))
