"""Is F an antiderivative of f? Numbers first, in rigorous ball arithmetic; algebra after.

F is differentiated exactly, then F' and f are compared

1. at 1,500 real points in complex128, spread over many scales and between all the places where a
   radicand, an absolute value or a sign changes, so that every branch is met;
2. where those suspect a difference, and at a spread of the points where f is real, in Arb balls:
   disjoint balls prove a difference, at least three overlapping balls narrower than 1e-40 are
   needed to agree. Where f is nowhere real, its complex values on the real line count, and where it
   has none there, points of the complex plane;
3. when the numbers agree, the difference is reduced in the differential field of f, which proves
   the identity when it comes out as zero.

A single proved difference inside the domain makes the answer `unverified`, however small.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from sciml.symbolic import expression as ex
from sciml.symbolic.evaluate import Program
from sciml.symbolic.expression import Expr
from sciml.symbolic.result import PROOFS

DIGITS = 40
_PRECISIONS = (192, 512, 1536)
_NEEDED = 3
_SPREAD = 9
_HIDDEN = 12


@dataclass(frozen=True)
class Check:
    """The outcome of a verification.

    Attributes:
        status: ``verified`` (proved), ``sampled`` (agrees at every point tried), ``unverified``
            (refuted, or not confirmed) or ``timeout``.
        how: in words: what proved it, what was compared, or why it is not verified.
        holds: where the identity was seen to hold.
        points: the number of points that agree to 40 digits.
        seconds: wall-clock time.
        continuous: whether the answer is continuous where the integrand is; None: unknown.
        note: where it jumps.
    """

    status: str
    how: str
    holds: str = ""
    points: int = 0
    seconds: float = 0.0
    continuous: bool | None = None
    note: str = ""

    @property
    def verified(self) -> bool:
        """Whether it is proved."""
        return self.status == "verified"

    @property
    def agrees(self) -> bool:
        """Whether it is proved, or agrees at every point tried."""
        return self.status in PROOFS

    @property
    def proof(self) -> str:
        """``proved``, ``sampled``, or empty."""
        return PROOFS.get(self.status, "")

    def __bool__(self) -> bool:
        return self.verified


def grid(seed: int) -> np.ndarray:
    """1,500 real points: uniform, and log-uniform from 1e-4 to 1e6 on both sides."""
    rng = np.random.default_rng(seed & 0xFFFFFFFF)
    near = rng.uniform(-12, 12, 640)
    unit = rng.uniform(-1.6, 1.6, 360)
    scale = 10 ** rng.uniform(-4, 3, 360)
    large = 10 ** rng.uniform(3, 6, 60)
    far = np.concatenate([scale, large]) * rng.choice([-1.0, 1.0], 420)
    return np.sort(np.concatenate([near, unit, far]))


def _beyond(points: np.ndarray) -> np.ndarray:
    """The points and some as far as 1e12."""
    far = 10 ** np.linspace(6.1, 12, 24)
    return np.concatenate([-far[::-1], points, far])


def _branching(parts: Iterable[Expr], name: str) -> list[Expr]:
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


def _arguments(found: list[Expr], name: str, values: dict, points: np.ndarray) -> np.ndarray:
    """[arguments, points] real parts; 0 where there is no value."""
    out = Program(*found).complex({**values, name: points})
    return np.stack([np.nan_to_num(np.broadcast_to(z.real, points.shape)) for z in out])


def _hidden(found: list[Expr], name: str, values: dict, points: np.ndarray) -> list[float]:
    """Points of branches that the grid would miss: beyond it, between two sign changes in one step,
    and where an argument dips below zero and comes back within a step."""
    z = _arguments(found, name, values, points)
    out: list[float] = []
    changed = (z[:, :-1] > 0) != (z[:, 1:] > 0)
    ends = np.stack([points[:-1], points[1:]])
    outer = ends[np.abs(ends).argmax(0), np.arange(len(points) - 1)]
    out += outer[changed.any(0) & (np.abs(outer) > 1e6)][:_HIDDEN].tolist()
    for i in np.nonzero(changed.sum(0) > 1)[0][:_HIDDEN]:
        rows = [found[k] for k in np.nonzero(changed[:, i])[0]]
        low, high = np.full(len(rows), points[i]), np.full(len(rows), points[i + 1])
        before = _arguments(rows, name, values, low).diagonal() > 0
        for _ in range(50):
            middle = (low + high) / 2
            same = (_arguments(rows, name, values, middle).diagonal() > 0) == before
            low, high = np.where(same, middle, low), np.where(same, high, middle)
        roots = np.sort(high)
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


def _breaks(found: list[Expr], name: str, values: dict, points: np.ndarray) -> list[int]:
    """Points between neighbouring sign changes of the arguments."""
    signs = np.zeros(len(points), dtype=np.int64)
    for z in _arguments(found, name, values, points):
        signs = (signs * 3 + np.sign(z).astype(np.int64) + 1) % 1_000_003
    edges = np.nonzero(np.diff(signs))[0]
    picks = np.concatenate([[0], edges + 1, [len(points)]])
    return [int((a + b) // 2) for a, b in zip(picks[:-1], picks[1:], strict=True) if b > a][:40]


def _balls(program: Program, values: dict[str, Any]) -> tuple[bool | None, bool]:
    """(agree, real): agree is True, False (proved different) or None (not decided)."""
    from flint import arb, ctx

    before = ctx.prec
    try:
        for precision in _PRECISIONS:
            ctx.prec = precision
            point = {k: arb(v.numerator) / v.denominator for k, v in values.items()}
            f, g = program.balls(point)
            if not (f.is_finite() and g.is_finite()):
                continue
            gap = f - g
            if not gap.contains(0):
                return False, _is_real(f)
            width = float(abs(gap).upper())
            scale = float(abs(f).upper())
            if width <= 10.0**-DIGITS * max(1.0, scale):
                return True, _is_real(f)
        return None, False
    except (ValueError, OverflowError, ZeroDivisionError):
        return None, False
    finally:
        ctx.prec = before


def _is_real(z: Any) -> bool:
    return bool(z.imag.contains(0))


def _complex_balls(program: Program, name: str, z: complex, values: dict) -> bool | None:
    from flint import acb, arb, ctx

    before = ctx.prec
    try:
        ctx.prec = _PRECISIONS[1]
        point: dict[str, Any] = {k: arb(v.numerator) / v.denominator for k, v in values.items()}
        point[name] = acb(z.real, z.imag)
        f, g = program.balls(point)
        if not (f.is_finite() and g.is_finite()):
            return None
        gap = f - g
        if not gap.contains(0):
            return False
        return float(abs(gap).upper()) <= 10.0**-DIGITS * max(1.0, float(abs(f).upper())) or None
    except (ValueError, OverflowError, ZeroDivisionError):
        return None
    finally:
        ctx.prec = before


def _constant_values(names: list[str], seed: int) -> list[dict[str, Fraction]]:
    """Generic rational values of the named constants, of both signs and several sizes."""
    if not names:
        return [{}]
    rng = np.random.default_rng(seed & 0xFFFF)
    out = []
    for round_, scale in enumerate(map(Fraction, ("1", "10", "1/10", "10"))):
        sample = {}
        for i, name in enumerate(names):
            value = scale * Fraction(int(rng.integers(40, 260)), 97)
            sample[name] = -value if round_ == 1 and i % 2 == 0 else value
            if round_ == 2 and i % 2 == 1:
                sample[name] = -value
        out.append(sample)
    return out


def identity(f: Expr, g: Expr, name: str, *, avoid: tuple[Expr, ...] = ()) -> Check:
    """Whether f and g agree wherever f is real.

    Args:
        f, g: the two sides.
        name: the variable.
        avoid: further expressions whose branch changes must be looked between (the answer).
    """
    started = time.perf_counter()
    if g is f:
        return Check("verified", "symbolic", "everywhere it is defined", 0, 0.0)
    program = Program(f, g)
    constants = sorted((f.free | g.free) - {name})
    total = 0
    where: list[str] = []
    for sample in _constant_values(constants, f.key):
        status, count, place = _compare(program, f, g, name, sample, avoid)
        total += count
        where.append(place)
        if status != "agrees":
            note = f"{place} (constants {_shown(sample)})" if sample else place
            return Check("unverified", status, note, total, time.perf_counter() - started)
    return Check("sampled", "numeric", where[0], total, time.perf_counter() - started)


def _shown(sample: dict[str, Fraction]) -> str:
    return ", ".join(f"{k}={float(v):.3g}" for k, v in sample.items())


def _compare(
    program: Program, f: Expr, g: Expr, name: str, sample: dict, avoid: tuple[Expr, ...]
) -> tuple[str, int, str]:
    points = grid(f.key)
    numbers = {k: float(v) for k, v in sample.items()}
    branching = _branching((f, g, *avoid), name)
    hidden: list[float] = _hidden(branching, name, numbers, _beyond(points)) if branching else []
    points = np.sort(np.concatenate([points, hidden]))
    a, b = (np.broadcast_to(z, points.shape) for z in program.complex({**numbers, name: points}))
    with np.errstate(all="ignore"):
        finite = np.isfinite(a)
        real = finite & (np.abs(a.imag) <= 1e-9 * (1e-9 + np.abs(a.real)))
        gap = np.abs(a - b) / (np.abs(a) + np.abs(b) + 1e-12)
        suspect = ~(gap < 1e-7)
    middle = _breaks(branching, name, numbers, points) if branching else []
    middle += np.searchsorted(points, np.sort(hidden)).tolist()
    for domain, only_real, kind in (
        (real, True, "where the integrand is real"),
        (finite, False, "on the real line, with complex values"),
    ):
        if not domain.any():
            continue
        found = _on_line(program, name, sample, points, domain, suspect, middle, only_real)
        if found[0] != "too few points could be decided":
            return found[0], found[1], kind if found[0] == "agrees" else found[2]
    if finite.any():
        return "too few points could be decided", 0, "unknown"
    return _compare_complex(program, name, sample, f)


def _on_line(
    program: Program, name: str, sample: dict, points: np.ndarray, domain: np.ndarray,
    suspect: np.ndarray, middle: list[int], only_real: bool,
) -> tuple[str, int, str]:  # fmt: skip
    """Compare at points of the real line; with `only_real`, at those where f is proved not to be
    complex (in ball arithmetic, not by a tolerance)."""
    inside = np.nonzero(domain)[0]
    allowed = set(inside.tolist())
    chosen = inside[np.linspace(0, len(inside) - 1, min(_SPREAD, len(inside))).astype(int)]
    doubtful = np.nonzero(domain & suspect)[0]
    if len(doubtful) > 12:
        doubtful = doubtful[np.linspace(0, len(doubtful) - 1, 12).astype(int)]
    agreeing: list[float] = []
    differing: list[float] = []
    undecided = 0
    first = [*doubtful.tolist(), *chosen.tolist(), *(i for i in middle if i in allowed)]
    spare = inside[np.argsort(np.abs(points[inside]))].tolist()
    for rank, i in enumerate(dict.fromkeys([*first, *spare])):
        if rank >= len(first) and (len(agreeing) >= _NEEDED or differing or undecided > 80):
            break
        at = {**sample, name: Fraction(float(points[i])).limit_denominator(10**9)}
        agree, is_real = _balls(program, at)
        if agree is None or (only_real and not is_real):
            undecided += 1
        elif agree:
            agreeing.append(points[i])
        else:
            differing.append(points[i])
    if differing:
        if not agreeing:
            return "differs everywhere it was looked at", 0, "nowhere"
        return "differs on part of the domain", len(agreeing), _part(agreeing, differing)
    if len(agreeing) < _NEEDED:
        return "too few points could be decided", len(agreeing), "unknown"
    return "agrees", len(agreeing), ""


def _part(good: list[float], bad: list[float]) -> str:
    worst, best = min(bad), max(bad)
    if min(good) > best:
        return f"for {name_free(min(good))} and above"
    if max(good) < worst:
        return f"for {name_free(max(good))} and below"
    return f"not at {worst:.4g}"


def name_free(v: float) -> str:
    return f"{v:.4g}"


def _compare_complex(program: Program, name: str, sample: dict, f: Expr) -> tuple[str, int, str]:
    rng = np.random.default_rng(f.key & 0xFFFF)
    agreeing = differing = 0
    for _ in range(60):
        z = complex(rng.uniform(-3, 3), rng.uniform(-3, 3))
        agree = _complex_balls(program, name, z, sample)
        agreeing += agree is True
        differing += agree is False
        if agreeing + differing >= 12:
            break
    if differing:
        return "differs at complex points", agreeing, "nowhere" if not agreeing else "in part"
    if agreeing < _NEEDED:
        return "too few points could be decided", agreeing, "unknown"
    return "agrees", agreeing, "in the complex plane"


def check(integrand: Expr, answer: Expr, name: str, *, symbolic: bool = False) -> Check:
    """Whether d answer / d name = integrand; the core of `verify`, without a process of its own."""
    started = time.perf_counter()
    slope = answer.diff(name)
    found = identity(integrand, slope, name, avoid=(answer,))
    status, how = found.status, found.how
    if symbolic and status == "sampled" and _proved(integrand, slope, name):
        status, how = "verified", "symbolic"
    return Check(status, how, found.holds, found.points, time.perf_counter() - started)


def _proved(f: Expr, g: Expr, name: str) -> bool:
    """Whether the difference reduces to zero in the differential field of both."""
    from sciml.symbolic.ansatz.kernels import Failure, Tower

    try:
        tower = Tower(name)
        difference = tower.convert_all([f, g])
        return tower.is_zero(difference[0] - difference[1])
    except (Failure, ex.TooLarge, ex.Undefined, RecursionError):
        return False
