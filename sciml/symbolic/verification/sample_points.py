"""Sample points and values of constants at which a difference of two functions would show.

Random points, near and far, are not enough: exp(-(x - 300)**2) is below 10**-300 at most of them,
and |a - 1000| is 1000 - a for most a. So points are also derived from the expressions: from both
sides of the zeros of radicands and of other arguments with branches, about the zeros and stationary
points of the arguments of their functions, and from the numbers that occur in them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import numpy as np

from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import precision
from sciml.symbolic.verification.root_isolation import exact_midpoint

_MAX_MISSED = 12
_MAX_SPECIAL = 48
_LOG_GRID = np.concatenate([np.geomspace(1e-8, 1e14, 1100), np.linspace(0.013, 30.1, 500)])
_ERRORS = (ex.TooLarge, ex.Undefined, OverflowError, ZeroDivisionError, ValueError)


def random_points(rng: np.random.Generator) -> np.ndarray:
    """1,500 real points: uniform, and log-uniform from 1e-4 to 1e6 on both sides."""
    near = rng.uniform(-12, 12, 640)
    unit = rng.uniform(-1.6, 1.6, 360)
    scale = 10 ** rng.uniform(-4, 3, 360)
    large = 10 ** rng.uniform(3, 6, 60)
    far = np.concatenate([scale, large]) * rng.choice([-1.0, 1.0], 420)
    return np.sort(np.concatenate([near, unit, far]))


def with_far_points(points: np.ndarray) -> np.ndarray:
    """The points and some more with absolute values up to 1e12."""
    far = 10 ** np.linspace(6.1, 12, 24)
    return np.concatenate([-far[::-1], points, far])


def magnitudes(parts: Iterable[Expr]) -> np.ndarray:
    """Absolute values at which the behaviour may change: the numbers in the expressions, their
    roots, squares, inverses and some products, sorted."""
    absolute_values: set[float] = set()
    for e in parts:
        for node in ex.subtrees(e):
            for a in (node, *node.args):
                if not a.free and a.op not in ("pi", "I"):
                    z = complex(Program(a).complex({})[0])
                    size = abs(z)
                    if np.isfinite(size) and size > 0:
                        absolute_values.add(size)
    values = sorted(v for v in absolute_values if v not in (1.0, 2.0, 0.5))
    if len(values) > 24:
        values = values[:12] + values[-12:]
    sizes = {v**p for v in values for p in (1, 0.5, -1, 2) if 1e-150 < v < 1e150}
    sizes |= {v * w for v in values for w in values[-4:] if 1e-150 < v < 1e150 > w > 1e-150}
    return np.array(sorted(v for v in sizes if 1e-300 < v < 1e300))


def branch_arguments(parts: Iterable[Expr], name: str) -> list[Expr]:
    """Radicands and the arguments of functions with branches: where these change sign, the
    expressions may change to another branch."""
    arguments: dict[Expr, None] = {}
    for e in parts:
        for node in ex.subtrees(e):
            if name not in node.free:
                continue
            if node.op in ("abs", "sign", "log", "asin", "acos", "acosh", "atanh", "asech"):
                arguments[node.args[0]] = None
            elif node.op == "floor":
                arguments[ex.call("sin", ex.PI * node.args[0])] = None
            elif node.op == "pow" and node.args[1].op == "num":
                if node.args[1].value.denominator % 2 == 0:
                    arguments[node.args[0]] = None
    return list(arguments)


def real_parts(arguments: list[Expr], name: str, values: dict, points: np.ndarray) -> np.ndarray:
    """[arguments, points] real parts; 0 where undefined."""
    out = Program(*arguments).complex({**values, name: points})
    return np.stack([np.nan_to_num(np.broadcast_to(z.real, points.shape)) for z in out])


def missed_branches(
    arguments: list[Expr], name: str, values: dict, points: np.ndarray
) -> list[float]:
    """Points on branches that the other points miss: far out, between two sign changes in one step,
    and where an argument changes sign twice within a step."""
    z = real_parts(arguments, name, values, points)
    out: list[float] = []
    sign_changed = (z[:, :-1] > 0) != (z[:, 1:] > 0)
    step_ends = np.stack([points[:-1], points[1:]])
    outer = step_ends[np.abs(step_ends).argmax(0), np.arange(len(points) - 1)]
    out += outer[sign_changed.any(0) & (np.abs(outer) > 1e6)][:_MAX_MISSED].tolist()
    for i in np.nonzero(sign_changed.sum(0) > 1)[0][:_MAX_MISSED]:
        rows = [arguments[k] for k in np.nonzero(sign_changed[:, i])[0]]
        program, ones = Program(*rows), np.ones(len(rows))
        roots = np.sort(_bisected(program, name, values, points[i] * ones, points[i + 1] * ones))
        apart = np.diff(roots) > 1e-9 * (1e-9 + np.abs(roots[:-1]))
        out += (0.57 * roots[:-1] + 0.43 * roots[1:])[apart].tolist()
    # The parabola through three neighbours has its vertex beyond zero: take a point beside the
    # vertex, at which a difference might vanish by symmetry.
    a, b, c = points[:-2], points[1:-1], points[2:]
    with np.errstate(all="ignore"):
        left, right = (z[:, 1:-1] - z[:, :-2]) / (b - a), (z[:, 2:] - z[:, 1:-1]) / (c - b)
        bend = (right - left) / (c - a)
        slope = left + bend * (b - a)
        vertex = z[:, 1:-1] - slope**2 / (4 * bend)
        at = b - slope / (2 * bend) + 0.4 * np.sqrt(np.abs(vertex / bend))
        dips = (z[:, :-2] > 0) == (z[:, 1:-1] > 0)
        dips &= (z[:, 1:-1] > 0) == (z[:, 2:] > 0)
        dips &= (vertex > 0) != (z[:, 1:-1] > 0)
        dips &= (at > a) & (at < c) & np.isfinite(vertex) & (vertex != 0)
    return out + at[dips][:_MAX_MISSED].tolist()


def sign_changes(
    u: Expr, name: str, values: dict, points: np.ndarray, steps: np.ndarray
) -> np.ndarray:
    """The zeros of u in the steps points[i], points[i + 1] whose indices i are `steps`."""
    return _bisected(Program(u), name, values, points[steps], points[steps + 1])


def _bisected(
    program: Program, name: str, values: dict, left: np.ndarray, right: np.ndarray
) -> np.ndarray:
    """The sign change of the k-th output between the k-th points, by bisection; a single output is
    used for all steps."""

    def positive(at: np.ndarray) -> np.ndarray:
        out = [np.broadcast_to(z.real, at.shape) for z in program.complex({**values, name: at})]
        return (out[0] if len(out) == 1 else np.stack(out).diagonal()) > 0

    before = positive(left)
    for _ in range(52):
        middle = (left + right) / 2
        same = positive(middle) == before
        left, right = np.where(same, middle, left), np.where(same, right, middle)
    return right


def between_sign_changes(
    arguments: list[Expr], name: str, values: dict, points: np.ndarray
) -> list[int]:
    """Indices of points midway between neighbouring sign changes of the arguments."""
    signs = np.zeros(len(points), dtype=np.int64)
    for z in real_parts(arguments, name, values, points):
        signs = (signs * 3 + np.sign(z).astype(np.int64) + 1) % 1_000_003
    changes = np.nonzero(np.diff(signs))[0]
    bounds = np.concatenate([[0], changes + 1, [len(points)]])
    return [int((a + b) // 2) for a, b in zip(bounds[:-1], bounds[1:], strict=True) if b > a][:40]


def log_grid(parts: Iterable[Expr], rng: np.random.Generator) -> np.ndarray:
    """Log-spaced points of both signs up to 1e14, and points about every number that occurs."""
    sizes = magnitudes(parts)
    near = np.concatenate([sizes * (1 + s * 10.0 ** rng.uniform(-9, -0.5, len(sizes)))
                           for s in (-1, 1)])  # fmt: skip
    half = np.concatenate([_LOG_GRID * (1 + rng.uniform(-1e-3, 1e-3, len(_LOG_GRID))), near])
    half = half[(half < 1e100) & (half > 1e-100)]
    return np.unique(np.concatenate([-half, half]))


def special_points(
    parts: tuple[Expr, ...], name: str, sample: dict[str, Fraction], rng: np.random.Generator
) -> list[Fraction]:
    """Points about the zeros and the stationary points of the arguments of functions, at distances
    on the scale on which the functions vary there."""
    arguments: dict[Expr, None] = {}
    for e in parts:
        for node in ex.subtrees(e):
            if name not in node.free or not node.args:
                continue
            if node.op == "pow":
                base, exponent = node.args
                if exponent.op == "num" and exponent.value >= 0:
                    continue
                u = base if exponent.op == "num" else exponent
            elif node.op in ("add", "mul"):
                continue
            else:
                u = node.args[0]
            if u.op != "sym":
                arguments[u] = None
    chosen = list(arguments)[:24]
    if not chosen:
        return []
    points = log_grid(parts, rng)
    values = {k: float(v) for k, v in sample.items()}
    out: list[Fraction] = []
    for u in chosen:
        try:
            slope = u.diff(name)
            bend = slope.diff(name)
            if ex.size(bend) > 2000:
                continue
            for v, next_ in ((u, slope), (slope, bend)):
                if name in v.free:
                    for root in _roots(v, next_, name, values, sample, points, rng):
                        out += _points_around(root, slope, bend, name, sample, rng)
        except _ERRORS:
            continue
    if len(out) > _MAX_SPECIAL:
        out = [out[i] for i in rng.permutation(len(out))[:_MAX_SPECIAL]]
    return out


def _roots(
    v: Expr, slope: Expr, name: str, values: dict, sample: dict, points: np.ndarray,
    rng: np.random.Generator,
) -> list[Fraction]:  # fmt: skip
    """Some sign changes of v, refined to many digits."""
    z = real_parts([v], name, values, points)[0]
    steps = np.nonzero((z[:-1] > 0) != (z[1:] > 0))[0]
    if len(steps) > 3:
        near = steps[np.argsort(np.abs(points[steps]))[:2]]
        steps = np.concatenate([near, rng.choice(steps, 2)])
    program = Program(v, slope)
    starts = sign_changes(v, name, values, points, steps)
    return [refine_root(program, name, sample, start) for start in starts]


def refine_root(program: Program, name: str, sample: dict, start: float) -> Fraction:
    """A root near `start` by Newton's method in 300 bits; `program` gives value and derivative."""
    from flint import arb

    try:
        with precision(300):
            values: dict[str, Any] = {
                k: arb(w.numerator) / w.denominator for k, w in sample.items()
            }
            x, root = arb(float(start)), Fraction(float(start))
            for _ in range(6):
                v, slope = program.balls({**values, name: x})
                step = v.real.mid() / slope.real.mid()
                if not (step.is_finite() and abs(step) <= 1e-3 * (1 + abs(x))):
                    break
                x = (x - step).mid()
                root = exact_midpoint(x)
            return root
    except (*_ERRORS, TypeError):
        return Fraction(float(start))


def _points_around(
    root: Fraction, slope: Expr, bend: Expr, name: str, sample: dict, rng: np.random.Generator
) -> list[Fraction]:
    at = {**{k: float(v) for k, v in sample.items()}, name: float(root)}
    first, second = (abs(complex(z)) for z in Program(slope, bend).complex(at))
    widths = [w for w in (1 / first if first else 0, (2 / second) ** 0.5 if second else 0)
              if np.isfinite(w) and 1e-100 < w < 1e100]  # fmt: skip
    return [root + Fraction(side * w * rng.uniform(low, high))
            for w in widths or [1e-3 * (1e-3 + abs(float(root)))]
            for side, low, high in ((1, 0.2, 0.6), (-1, 0.8, 1.6))]  # fmt: skip


def constant_values(
    names: list[str], parts: tuple[Expr, ...], rng: np.random.Generator, thorough: bool
) -> list[dict[str, Fraction]]:
    """Values of the named constants: four generic ones of both signs and several magnitudes. When
    thorough, also all patterns of signs (random ones for more than four constants), magnitudes from
    1e-6 to 1e6, and values on both sides of each branch change."""
    if not names:
        return [{}]
    samples = []
    for turn, scale in enumerate(map(Fraction, ("1", "10", "1/10", "10"))):
        sample = {}
        for i, name in enumerate(names):
            value = scale * Fraction(int(rng.integers(40, 260)), 97)
            sample[name] = -value if turn in (1, 2) and (turn == 1) == (i % 2 == 0) else value
        samples.append(sample)
    if not thorough:
        samples[3] = {name: -value for name, value in samples[3].items()}
        return samples
    patterns = list(itertools.product((1, -1), repeat=len(names))) if len(names) <= 4 else [
        tuple(rng.choice([-1, 1], len(names))) for _ in range(20)]  # fmt: skip
    for pattern in patterns:
        for wide in (False, True):
            sizes = 10 ** (
                rng.uniform(-6, 6, len(names)) if wide else rng.uniform(-1, 1, len(names))
            )
            samples.append(
                {n: _short_rational(s * v) for n, s, v in zip(names, pattern, sizes, strict=True)}
            )
    return samples + _either_side(names, parts, rng)


def _either_side(
    names: list[str], parts: tuple[Expr, ...], rng: np.random.Generator
) -> list[dict[str, Fraction]]:  # fmt: skip
    """Values on both sides of the branch changes in each constant, the others being random."""
    points, out = log_grid(parts, rng), []
    for name in names:
        others = {n: _short_rational(rng.uniform(0.5, 3) * rng.choice([-1, 1]))
                  for n in names if n != name}  # fmt: skip
        branch_args = [u for u in branch_arguments(parts, name) if u.free <= set(names)]
        values_of_name: list[float] = []
        if branch_args:
            values = {k: float(v) for k, v in others.items()}
            index = between_sign_changes(branch_args, name, values, points)
            values_of_name += [points[i] for i in rng.permutation(index)[:6]]
            values_of_name += missed_branches(branch_args, name, values, points)[:6]
            ends = np.nonzero((np.diff(np.sign(real_parts(branch_args, name, values, points))) != 0)
                              .any(0))[0]  # fmt: skip
            values_of_name += [points[i + k] for i in rng.permutation(ends)[:4] for k in (0, 1)]
        sizes = magnitudes(parts)
        values_of_name += (rng.permutation(sizes)[:4] * rng.choice([-1.0, 1.0]) * 1.013).tolist()
        out += [{**others, name: _short_rational(v)} for v in values_of_name]
    return out


def _short_rational(v: float) -> Fraction:
    """A rational number with few digits near v."""
    exact = Fraction(float(v))
    below = 10**9
    while below < 10**320 and abs(exact.limit_denominator(below) - exact) > abs(exact) / 10**9:
        below *= 10**6
    return exact.limit_denominator(below)
