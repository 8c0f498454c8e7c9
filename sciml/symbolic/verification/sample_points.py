"""Where to compare two functions: points and values of constants where a difference would show.

Random points, near and far, are not enough: exp(-(x - 300)**2) is below 10**-300 at most of them,
|a - 1000| is 1000 - a for most a. So the expressions themselves are asked: points come from both
sides of the zeros of what their branches depend on, from the zeros and the stationary points of the
arguments of their functions, and from the numbers that occur in them.
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

_HIDDEN = 12
_MOST = 48
_LINE = np.concatenate([np.geomspace(1e-8, 1e14, 1100), np.linspace(0.013, 30.1, 500)])
_ERRORS = (ex.TooLarge, ex.Undefined, OverflowError, ZeroDivisionError, ValueError)


def grid(rng: np.random.Generator) -> np.ndarray:
    """1,500 real points: uniform, and log-uniform from 1e-4 to 1e6 on both sides."""
    near = rng.uniform(-12, 12, 640)
    unit = rng.uniform(-1.6, 1.6, 360)
    scale = 10 ** rng.uniform(-4, 3, 360)
    large = 10 ** rng.uniform(3, 6, 60)
    far = np.concatenate([scale, large]) * rng.choice([-1.0, 1.0], 420)
    return np.sort(np.concatenate([near, unit, far]))


def beyond(points: np.ndarray) -> np.ndarray:
    """The points and some as far as 1e12."""
    far = 10 ** np.linspace(6.1, 12, 24)
    return np.concatenate([-far[::-1], points, far])


def thresholds(parts: Iterable[Expr]) -> np.ndarray:
    """Sizes at which something may happen: the numbers of the expressions, their roots, squares
    and quotients by pi, sorted."""
    found: set[float] = set()
    for e in parts:
        for node in ex.subtrees(e):
            for a in (node, *node.args):
                if not a.free and a.op not in ("pi", "I"):
                    z = complex(Program(a).complex({})[0])
                    size = abs(z)
                    if np.isfinite(size) and size > 0:
                        found.add(size)
    numbers = sorted(v for v in found if v not in (1.0, 2.0, 0.5))
    if len(numbers) > 24:
        numbers = numbers[:12] + numbers[-12:]
    sizes = {v**p for v in numbers for p in (1, 0.5, -1, 2) if 1e-150 < v < 1e150}
    sizes |= {v * w for v in numbers for w in numbers[-4:] if 1e-150 < v < 1e150 > w > 1e-150}
    return np.array(sorted(v for v in sizes if 1e-300 < v < 1e300))


def branching(parts: Iterable[Expr], name: str) -> list[Expr]:
    """Radicands and the arguments of functions with branches: where they change sign, the
    expressions may change their form."""
    found: dict[Expr, None] = {}
    for e in parts:
        for node in ex.subtrees(e):
            if name not in node.free:
                continue
            if node.op in ("abs", "sign", "log", "asin", "acos", "acosh", "atanh", "asech"):
                found[node.args[0]] = None
            elif node.op == "pow" and node.args[1].op == "num":
                if node.args[1].value.denominator % 2 == 0:
                    found[node.args[0]] = None
    return list(found)


def real_parts(found: list[Expr], name: str, values: dict, points: np.ndarray) -> np.ndarray:
    """[arguments, points] real parts; 0 where there is no value."""
    out = Program(*found).complex({**values, name: points})
    return np.stack([np.nan_to_num(np.broadcast_to(z.real, points.shape)) for z in out])


def hidden(found: list[Expr], name: str, values: dict, points: np.ndarray) -> list[float]:
    """Points of branches that the grid would miss: beyond it, between two sign changes in one step,
    and where an argument dips below zero and comes back within a step."""
    z = real_parts(found, name, values, points)
    out: list[float] = []
    changed = (z[:, :-1] > 0) != (z[:, 1:] > 0)
    ends = np.stack([points[:-1], points[1:]])
    outer = ends[np.abs(ends).argmax(0), np.arange(len(points) - 1)]
    out += outer[changed.any(0) & (np.abs(outer) > 1e6)][:_HIDDEN].tolist()
    for i in np.nonzero(changed.sum(0) > 1)[0][:_HIDDEN]:
        rows = [found[k] for k in np.nonzero(changed[:, i])[0]]
        program, ones = Program(*rows), np.ones(len(rows))
        roots = np.sort(_bisected(program, name, values, points[i] * ones, points[i + 1] * ones))
        apart = np.diff(roots) > 1e-9 * (1e-9 + np.abs(roots[:-1]))
        out += (0.57 * roots[:-1] + 0.43 * roots[1:])[apart].tolist()
    # The parabola through three neighbours whose vertex is beyond zero: a point off the middle,
    # where a difference might vanish by symmetry.
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
    return out + at[dips][:_HIDDEN].tolist()


def sign_changes(
    u: Expr, name: str, values: dict, points: np.ndarray, places: np.ndarray
) -> np.ndarray:
    """Where u changes its sign in the steps that begin at these places."""
    return _bisected(Program(u), name, values, points[places], points[places + 1])


def _bisected(
    program: Program, name: str, values: dict, left: np.ndarray, right: np.ndarray
) -> np.ndarray:
    """Where the k-th output changes sign between the k-th points; or the only one, in all steps."""

    def positive(at: np.ndarray) -> np.ndarray:
        out = [np.broadcast_to(z.real, at.shape) for z in program.complex({**values, name: at})]
        return (out[0] if len(out) == 1 else np.stack(out).diagonal()) > 0

    before = positive(left)
    for _ in range(52):
        middle = (left + right) / 2
        same = positive(middle) == before
        left, right = np.where(same, middle, left), np.where(same, right, middle)
    return right


def breaks(found: list[Expr], name: str, values: dict, points: np.ndarray) -> list[int]:
    """Points between neighbouring sign changes of the arguments."""
    signs = np.zeros(len(points), dtype=np.int64)
    for z in real_parts(found, name, values, points):
        signs = (signs * 3 + np.sign(z).astype(np.int64) + 1) % 1_000_003
    edges = np.nonzero(np.diff(signs))[0]
    picks = np.concatenate([[0], edges + 1, [len(points)]])
    return [int((a + b) // 2) for a, b in zip(picks[:-1], picks[1:], strict=True) if b > a][:40]


def line(parts: Iterable[Expr], rng: np.random.Generator) -> np.ndarray:
    """Points of all sizes up to 1e14 on both sides, and about every number that occurs."""
    sizes = thresholds(parts)
    near = np.concatenate([sizes * (1 + s * 10.0 ** rng.uniform(-9, -0.5, len(sizes)))
                           for s in (-1, 1)])  # fmt: skip
    half = np.concatenate([_LINE * (1 + rng.uniform(-1e-3, 1e-3, len(_LINE))), near])
    half = half[(half < 1e100) & (half > 1e-100)]
    return np.unique(np.concatenate([-half, half]))


def special(
    parts: tuple[Expr, ...], name: str, sample: dict[str, Fraction], rng: np.random.Generator
) -> list[Fraction]:
    """Points about the zeros and the stationary points of the arguments of functions, at distances
    of the size in which the functions change there."""
    arguments: dict[Expr, None] = {}
    for e in parts:
        for node in ex.subtrees(e):
            if name not in node.free or not node.args:
                continue
            if node.op == "pow":
                u = node.args[0] if node.args[1].op == "num" else node.args[1]
                if u is node.args[0] and node.args[1].value >= 0:
                    continue
            elif node.op in ("add", "mul"):
                continue
            else:
                u = node.args[0]
            if u.op != "sym":
                arguments[u] = None
    chosen = list(arguments)[:24]
    if not chosen:
        return []
    points = line(parts, rng)
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
                        out += _around(root, slope, bend, name, sample, rng)
        except _ERRORS:
            continue
    if len(out) > _MOST:
        out = [out[i] for i in rng.permutation(len(out))[:_MOST]]
    return out


def _roots(
    v: Expr, slope: Expr, name: str, values: dict, sample: dict, points: np.ndarray,
    rng: np.random.Generator,
) -> list[Fraction]:  # fmt: skip
    """Some sign changes of v, to many digits."""
    z = real_parts([v], name, values, points)[0]
    places = np.nonzero((z[:-1] > 0) != (z[1:] > 0))[0]
    if len(places) > 3:
        near = places[np.argsort(np.abs(points[places]))[:2]]
        places = np.concatenate([near, rng.choice(places, 2)])
    program = Program(v, slope)
    starts = sign_changes(v, name, values, points, places)
    return [polished(program, name, sample, start) for start in starts]


def polished(program: Program, name: str, sample: dict, start: float) -> Fraction:
    """Newton's method in 300 bits."""
    from flint import arb, ctx

    before, ctx.prec = ctx.prec, 300
    try:
        values: dict[str, Any] = {k: arb(w.numerator) / w.denominator for k, w in sample.items()}
        x, best = arb(float(start)), Fraction(float(start))
        for _ in range(6):
            v, slope = program.balls({**values, name: x})
            step = v.real.mid() / slope.real.mid()
            if not (step.is_finite() and abs(step) <= 1e-3 * (1 + abs(x))):
                break
            x = (x - step).mid()
            mantissa, exponent = x.man_exp()
            best = Fraction(int(mantissa)) * Fraction(2) ** int(exponent)
        return best
    except (*_ERRORS, TypeError):
        return Fraction(float(start))
    finally:
        ctx.prec = before


def _around(
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
    """Values of the named constants: generic, of both signs and several sizes; when thorough, in
    all patterns of signs (of up to four; random ones of more), from 1e-6 to 1e6 and on both sides
    of what the expressions name."""
    if not names:
        return [{}]
    out = []
    for round_, scale in enumerate(map(Fraction, ("1", "10", "1/10", "10"))):
        sample = {}
        for i, name in enumerate(names):
            value = scale * Fraction(int(rng.integers(40, 260)), 97)
            sample[name] = -value if round_ in (1, 2) and (round_ == 1) == (i % 2 == 0) else value
        out.append(sample)
    if not thorough:
        out[3] = {name: -value for name, value in out[3].items()}
        return out
    patterns = list(itertools.product((1, -1), repeat=len(names))) if len(names) <= 4 else [
        tuple(rng.choice([-1, 1], len(names))) for _ in range(20)]  # fmt: skip
    for pattern in patterns:
        for wide in (False, True):
            sizes = 10 ** (
                rng.uniform(-6, 6, len(names)) if wide else rng.uniform(-1, 1, len(names))
            )
            out.append({n: _short(s * v) for n, s, v in zip(names, pattern, sizes, strict=True)})
    return out + _either_side(names, parts, rng)


def _either_side(
    names: list[str], parts: tuple[Expr, ...], rng: np.random.Generator
) -> list[dict[str, Fraction]]:  # fmt: skip
    """One constant at a time, on both sides of where a branch of the constants changes."""
    points, out = line(parts, rng), []
    for name in names:
        others = {n: _short(rng.uniform(0.5, 3) * rng.choice([-1, 1])) for n in names if n != name}
        found = [u for u in branching(parts, name) if u.free <= set(names)]
        chosen: list[float] = []
        if found:
            values = {k: float(v) for k, v in others.items()}
            index = breaks(found, name, values, points)
            chosen += [points[i] for i in rng.permutation(index)[:6]]
            chosen += hidden(found, name, values, points)[:6]
            ends = np.nonzero((np.diff(np.sign(real_parts(found, name, values, points))) != 0)
                              .any(0))[0]  # fmt: skip
            chosen += [points[i + k] for i in rng.permutation(ends)[:4] for k in (0, 1)]
        sizes = thresholds(parts)
        chosen += (rng.permutation(sizes)[:4] * rng.choice([-1.0, 1.0]) * 1.013).tolist()
        out += [{**others, name: _short(v)} for v in chosen]
    return out


def _short(v: float) -> Fraction:
    """A rational number of few digits near v."""
    exact = Fraction(float(v))
    below = 10**9
    while below < 10**320 and abs(exact.limit_denominator(below) - exact) > abs(exact) / 10**9:
        below *= 10**6
    return exact.limit_denominator(below)
