"""Is F an antiderivative of f? Points first, in rigorous ball arithmetic; a proof after.

F is differentiated exactly, then F' and f are compared

1. at 1,500 real points in complex128, drawn anew each time, spread over many scales and between
   all the places where a radicand, an absolute value or a sign changes, so that every branch is
   met;
2. where those suspect a difference, at a spread of the points where f is real, and about the
   special points of the expressions (see `points`), in Arb balls: disjoint balls prove a
   difference, at least three overlapping balls narrower than 1e-40 are needed to agree. Where f is
   nowhere real, its complex values on the real line count, and where it has none there, points of
   the complex plane;
3. where nothing differs, `proving` tries to prove the identity, by cases of signs. Points at which
   a case fails are looked at in turn.

A single proved difference inside the domain refutes the answer, however small. Agreement at points
alone is called sampled, never verified.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.verification import sample_points as pt
from sciml.symbolic.verification.result import PROOFS

DIGITS = 40
_PRECISIONS = (192, 512, 1536)
_NEEDED = 3
_SPREAD = 9
_BASE = 4
_SPECIAL = 12
"""Choices of the constants that must be decided; and for which special points are looked for."""
_MOST_BITS = 30_000
_UNDECIDED = "too few points could be decided"


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
        refuted: whether a difference was proved at some point.
    """

    status: str
    how: str
    holds: str = ""
    points: int = 0
    seconds: float = 0.0
    continuous: bool | None = None
    note: str = ""
    refuted: bool = False

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


def identity(
    f: Expr, g: Expr, name: str, *, avoid: tuple[Expr, ...] = (), thorough: bool = True,
    seed: int | None = None,
) -> Check:  # fmt: skip
    """Whether f and g agree wherever f is real: at points.

    Args:
        f, g: the two sides.
        name: the variable.
        avoid: further expressions whose branch changes must be looked between (the answer).
        thorough: whether to look at special points and at many values of the constants.
        seed: of the points; drawn anew without one.
    """
    started = time.perf_counter()
    if g is f:
        return Check("verified", "symbolic", "everywhere it is defined", 0, 0.0)
    rng = np.random.default_rng(None if seed is None else seed & 0xFFFFFFFF)
    sides, parts = _Sides(f, g), (f, g, *avoid)
    constants = sorted((f.free | g.free) - {name})
    total, first = 0, ""
    for i, sample in enumerate(pt.constant_values(constants, parts, rng, thorough)):
        # After the first few, values of the constants for which f is nowhere real tell nothing.
        how, count, place = _compare(sides, parts, name, sample, rng, i >= _BASE)
        if how == "agrees" and thorough and i < _SPECIAL:
            for at in pt.special(parts, name, sample, rng):
                if sides.differ({**sample, name: at}):
                    how, place = "differs on part of the domain", f"not at {float(at):.6g}"
                    break
        total += count
        if how == "agrees":
            first = first or place
        elif i < _BASE or how != _UNDECIDED:
            note = f"{place} (constants {_shown(sample)})" if sample else place
            return Check("unverified", how, note, total, time.perf_counter() - started,
                         refuted=how != _UNDECIDED)  # fmt: skip
    return Check("sampled", "numeric", first, total, time.perf_counter() - started)


class _Sides:
    """Two expressions at points, in balls of a precision that the numbers in them call for: a
    number of n bits may make a difference of 2**-n."""

    def __init__(self, f: Expr, g: Expr) -> None:
        self.f, self.program = f, Program(f, g)
        numbers = [n.value for e in (f, g) for n in ex.subtrees(e) if n.op == "num"]
        sizes = [max(v.numerator.bit_length(), v.denominator.bit_length()) for v in numbers]
        bits = min(max(sizes, default=0), 4000)
        self.precisions = [p + 2 * bits for p in _PRECISIONS]
        self.digits = DIGITS + int(0.61 * bits)

    def differ(self, values: dict[str, Any]) -> bool:
        """Whether they are proved different where f may be real, by however little."""
        from flint import ctx

        if self.agree(values) == (False, True):
            return True
        before, precisions = ctx.prec, self.precisions
        try:  # where both are large, a difference that is not must still show
            ctx.prec = precisions[0]
            size = abs(self.program.balls(self._point(values))[0]).upper()
            if not (size.is_finite() and size > 1):
                return False
            bits = int(float(size.log()) * 1.4427) + 1
            self.precisions = [min(precisions[0] + bits, _MOST_BITS)]
            return bits > 4 and self.agree(values) == (False, True)
        except (ValueError, OverflowError, ZeroDivisionError):
            return False
        finally:
            ctx.prec, self.precisions = before, precisions

    def _point(self, values: dict[str, Any]) -> dict[str, Any]:
        from flint import acb, arb, fmpq

        return {k: arb(fmpq(v.numerator, v.denominator)) if isinstance(v, Fraction)
                else acb(v.real, v.imag) for k, v in values.items()}  # fmt: skip

    def agree(self, values: dict[str, Any]) -> tuple[bool | None, bool]:
        """(agree, real): agree is True, False (proved different) or None (not decided); real
        whether f may be real there."""
        from flint import arb, ctx

        before = ctx.prec
        try:
            for ctx.prec in self.precisions:
                f, g = self.program.balls(self._point(values))
                if not (f.is_finite() and g.is_finite()):
                    continue
                gap, real = f - g, bool(f.imag.contains(0))
                if not gap.contains(0):
                    if real and not f.imag == 0:  # or so it seems: a small part is a part
                        ctx.prec = self.precisions[-1] + 4000
                        real = bool(self.program.balls(self._point(values))[0].imag.contains(0))
                    return False, real
                size = abs(f).upper()
                if abs(gap).upper() <= arb(10) ** -self.digits * (size if size > 1 else 1):
                    return True, real
            return None, False
        except (ValueError, OverflowError, ZeroDivisionError):
            return None, False
        finally:
            ctx.prec = before


def _shown(sample: dict[str, Fraction]) -> str:
    return ", ".join(f"{k}={float(v):.6g}" for k, v in sample.items())


def _compare(
    sides: _Sides, parts: tuple[Expr, ...], name: str, sample: dict[str, Fraction],
    rng: np.random.Generator, only_real: bool,
) -> tuple[str, int, str]:  # fmt: skip
    """(how, points that agree, where) for one choice of the constants; how is ``agrees`` or why
    not."""
    points = pt.grid(rng)
    numbers = {k: float(v) for k, v in sample.items()}
    branching = pt.branching(parts, name)
    hidden: list[float] = []
    if branching:
        hidden = pt.hidden(branching, name, numbers, pt.beyond(points))
    far = 10 ** rng.uniform(6, 15, 16) * rng.choice([-1.0, 1.0], 16)
    points = np.sort(np.concatenate([points, hidden, far]))
    values = sides.program.complex({**numbers, name: points})
    a, b = (np.broadcast_to(z, points.shape) for z in values)
    with np.errstate(all="ignore"):
        finite = np.isfinite(a)
        real = finite & (np.abs(a.imag) <= 1e-9 * (1e-9 + np.abs(a.real)))
        gap = np.abs(a - b) / (np.abs(a) + np.abs(b) + 1e-12)
        suspect = ~(gap < 1e-7)
    middle = pt.breaks(branching, name, numbers, points) if branching else []
    middle += np.searchsorted(points, np.sort(np.concatenate([hidden, far]))).tolist()
    for domain, must_be_real, kind in (
        (real, True, "where the integrand is real"),
        (finite, False, "on the real line, with complex values"),
    ):
        if not domain.any() or only_real and not must_be_real:
            continue
        found = _on_line(sides, name, sample, points, domain, suspect, middle, must_be_real)
        if found[0] != _UNDECIDED:
            return found[0], found[1], kind if found[0] == "agrees" else found[2]
    if finite.any() or only_real:
        return _UNDECIDED, 0, "unknown"
    return _compare_complex(sides, name, sample, rng)


def _on_line(
    sides: _Sides, name: str, sample: dict, points: np.ndarray, domain: np.ndarray,
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
    needed = len(set(first))
    for rank, i in enumerate(dict.fromkeys([*first, *spare])):
        if rank >= needed and (len(agreeing) >= _NEEDED or differing or undecided > 80):
            break
        at = Fraction(float(points[i])).limit_denominator(10**9)
        agree, is_real = sides.agree({**sample, name: at})
        if agree is None or (only_real and not is_real):
            undecided += 1
        elif agree:
            agreeing.append(float(at))
        else:
            differing.append(float(at))
    if differing:
        if not agreeing:
            return "differs everywhere it was looked at", 0, "nowhere"
        return "differs on part of the domain", len(agreeing), _part(agreeing, differing)
    if len(agreeing) < _NEEDED:
        return _UNDECIDED, len(agreeing), "unknown"
    return "agrees", len(agreeing), ""


def _part(good: list[float], bad: list[float]) -> str:
    worst, best = min(bad), max(bad)
    if min(good) > best:
        return f"for {min(good):.4g} and above"
    if max(good) < worst:
        return f"for {max(good):.4g} and below"
    return f"not at {worst:.6g}"


def _compare_complex(
    sides: _Sides, name: str, sample: dict, rng: np.random.Generator
) -> tuple[str, int, str]:
    agreeing = differing = 0
    for _ in range(60):
        z = complex(rng.uniform(-3, 3), rng.uniform(-3, 3))
        agree, _ = sides.agree({**sample, name: z})
        agreeing += agree is True
        differing += agree is False
        if agreeing + differing >= 12:
            break
    if differing:
        return "differs at complex points", agreeing, "nowhere" if not agreeing else "in part"
    if agreeing < _NEEDED:
        return _UNDECIDED, agreeing, "unknown"
    return "agrees", agreeing, "in the complex plane"


def check(
    integrand: Expr, answer: Expr, name: str, *, symbolic: bool = False, thorough: bool = True,
    seed: int | None = None,
) -> Check:  # fmt: skip
    """Whether d answer / d name = integrand; the core of `verify`, without a process of its own.

    Args:
        integrand, answer: f and F.
        name: the variable.
        symbolic: whether to try a proof, and to look for jumps; only that makes it ``verified``.
        thorough: whether to look at special points and at many values of the constants.
        seed: of the points; drawn anew without one.
    """
    started = time.perf_counter()
    slope = answer.diff(name)
    found = identity(integrand, slope, name, avoid=(answer,), thorough=thorough, seed=seed)
    found = replace(found, seconds=time.perf_counter() - started)
    return prove(found, integrand, answer, name) if symbolic else found


def prove(found: Check, f: Expr, answer: Expr, name: str, seconds: float = 5.0) -> Check:
    """What sampling found, raised by a proof or refuted where a case of it fails; and whether the
    answer jumps. `seconds`: what the proof may take."""
    from sciml.symbolic.verification.jumps import continuous
    from sciml.symbolic.verification.proving import attempt

    if found.refuted:
        return found
    started, slope = time.perf_counter(), answer.diff(name)
    proof = attempt(f, slope, name, answer, seconds)
    if proof.holds:
        found = replace(found, status="verified", how="symbolic", holds=proof.holds)
    elif found.status == "sampled":
        sides = _Sides(f, slope)
        for values in proof.suspects:
            if sides.differ(values):
                return replace(
                    found, status="unverified", how="differs on part of the domain",
                    holds=f"not at {_shown(values)}", refuted=True,
                )  # fmt: skip
    if not found.agrees:
        return found
    smooth, note = continuous(f, answer, name)
    whole = found.seconds + time.perf_counter() - started
    return replace(found, continuous=smooth, note=note, seconds=whole)
