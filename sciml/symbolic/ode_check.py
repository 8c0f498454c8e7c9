"""Does a function solve a differential equation? Substitute it and look at the residual in balls.

A solution of a differential equation is a function on an interval, so the residual has to vanish on
an interval for every sampled choice of the constants; isolated agreements do not count.
"""

from __future__ import annotations

import time
from fractions import Fraction

import numpy as np

from sciml.symbolic import expression as ex
from sciml.symbolic.checking import Check
from sciml.symbolic.evaluate import Program
from sciml.symbolic.expression import Expr

_POINTS = 40
_RUN = 5
_PRECISIONS = (192, 640)
_WIDTH = 1e-30


def _residual_parts(residual: Expr, mapping: dict[Expr, Expr]) -> list[Expr]:
    """The terms of the residual, apart, so that their size is known."""
    terms = residual.args if residual.op == "add" else (residual,)
    return [ex.substitute(t, mapping) for t in terms]


def _agrees(program: Program, point: dict[str, Fraction], solution_last: bool) -> bool | None:
    """True: vanishes to 30 digits; False: proved not to; None: not defined or not decided."""
    from flint import arb, ctx

    before = ctx.prec
    try:
        for precision in _PRECISIONS:
            ctx.prec = precision
            inside = {k: arb(v.numerator) / v.denominator for k, v in point.items()}
            values = program.balls(inside)
            if solution_last:
                y = values.pop()
                if not y.is_finite() or not y.imag.contains(0):
                    return None
            if not all(v.is_finite() for v in values):
                continue
            total = values[0]
            size = abs(values[0]).upper()
            for v in values[1:]:
                total = total + v
                size = size + abs(v).upper()
            if not total.contains(0):
                return False
            if float(abs(total).upper()) <= _WIDTH * max(float(size), 1e-30):
                return True
        return None
    except (ValueError, OverflowError, ZeroDivisionError):
        return None
    finally:
        ctx.prec = before


def _samples(names: list[str], rng: np.random.Generator) -> list[dict[str, Fraction]]:
    out = []
    for turn in range(4):
        sample = {}
        for i, name in enumerate(names):
            v = Fraction(int(rng.integers(30, 240)), 89)
            sample[name] = -v if turn & (1 + (i % 2)) and name.startswith("c") else v
        out.append(sample)
    return out


def check_explicit(residual: Expr, answer: Expr, x: str, y: str, order: int) -> Check:
    """Whether y = answer(x, c1, ..., constants) makes the residual vanish on an interval."""
    started = time.perf_counter()
    if y in answer.free or any(n.startswith(y + "'") for n in answer.free):
        return Check("unverified", "the answer holds the function itself")
    constants = {f"c{k}" for k in range(1, order + 1)}
    if not constants <= answer.free:
        return Check("unverified", "constants of integration are missing")
    mapping: dict[Expr, Expr] = {ex.symbol(y): answer}
    slope = answer
    for k in range(1, order + 1):
        slope = slope.diff(x)
        mapping[ex.symbol(y + "'" * k)] = slope
    if not _really_general(answer, sorted(constants), x):
        return Check("unverified", "the constants are not independent")
    parts = _residual_parts(residual, mapping)
    if ex.add(parts) is ex.ZERO:
        return Check("verified", "symbolic", "everywhere it is defined", 0,
                     time.perf_counter() - started)  # fmt: skip
    program = Program(*parts, answer)
    names = sorted((residual.free | answer.free) - {x, *mapping_names(mapping)})
    return _on_intervals(program, names, x, answer.key, started, True)


def quick(residual: Expr, answer: Expr, x: str, y: str, order: int) -> bool:
    """`check_explicit` in complex128: cheap, for generators; the final word is the other's."""
    mapping: dict[Expr, Expr] = {ex.symbol(y): answer}
    slope = answer
    for k in range(1, order + 1):
        slope = slope.diff(x)
        mapping[ex.symbol(y + "'" * k)] = slope
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


def mapping_names(mapping: dict[Expr, Expr]) -> list[str]:
    return [e.value for e in mapping]


def _really_general(answer: Expr, constants: list[str], x: str) -> bool:
    """Whether the constants act differently (the Wronskian of the parameters is not zero)."""
    from sciml.symbolic.ode_first import same

    if len(constants) < 2:
        return not same(answer.diff(constants[0]), ex.ZERO)
    u, v = (answer.diff(name) for name in constants[:2])
    return not same(u * v.diff(x), v * u.diff(x))


def _on_intervals(
    program: Program, names: list[str], x: str, seed: int, started: float, real: bool
) -> Check:
    rng = np.random.default_rng(seed & 0xFFFF)
    good = bad = 0
    decided_samples = 0
    whole = True
    for sample in _samples(names, rng):
        points = np.sort(np.concatenate([rng.uniform(-5, 5, _POINTS // 2),
                                         rng.uniform(0.05, 3, _POINTS // 2)]))  # fmt: skip
        run = longest = wrong = right = 0
        for point in points:
            at = Fraction(float(point)).limit_denominator(10**6)
            value = _agrees(program, {**sample, x: at}, real)
            if value is True:
                run += 1
                right += 1
                longest = max(longest, run)
            elif value is False:
                wrong += 1
                run = 0
        good += right
        bad += wrong
        if right + wrong == 0:
            continue
        decided_samples += 1
        if longest < _RUN and not (wrong == 0 and right >= 3):
            return Check("unverified", "the residual does not vanish", "", 0,
                         time.perf_counter() - started)  # fmt: skip
        whole &= wrong == 0
    seconds = time.perf_counter() - started
    if not decided_samples:
        if real:
            return _on_intervals(program_without_last(program), names, x, seed, started, False)
        return Check("unverified", "too few points could be decided", "", 0, seconds)
    holds = "where it is real" if whole else "on an interval"
    return Check("verified", "numeric", holds if real else "with complex values", good, seconds)


def program_without_last(program: Program) -> Program:
    """The same program without its last output (the solution itself)."""
    out = object.__new__(Program)
    out.steps, out.outputs = program.steps, program.outputs[:-1]
    return out


def check_implicit(residual: Expr, relation: Expr, x: str, y: str) -> Check:
    """Whether relation(x, y) = c1 solves a first-order equation: y' = -G_x / G_y."""
    started = time.perf_counter()
    gx, gy = relation.diff(x), relation.diff(y)
    if gy is ex.ZERO or (x not in relation.free and x in residual.free):
        return Check("unverified", "the relation does not hold the function")
    mapping = {ex.symbol(y + "'"): -gx / gy}
    program = Program(*_residual_parts(residual, mapping), gy)
    names = sorted((residual.free | relation.free) - {x, y, y + "'"})
    rng = np.random.default_rng(relation.key & 0xFFFF)
    right = wrong = 0
    for sample in _samples(names, rng):
        for _ in range(16):
            px, py = (Fraction(int(rng.integers(5, 300)), 97) for _ in range(2))
            value = _agrees(program, {**sample, x: px, y: py}, True)
            right += value is True
            wrong += value is False
    seconds = time.perf_counter() - started
    if wrong or right < 6:
        points = 0 if wrong else right
        return Check("unverified", "the residual does not vanish", "", points, seconds)
    return Check("verified", "numeric", "as an implicit relation", right, seconds)
