"""Numerical verification of an antiderivative at random points, and the proof that follows it.

F is differentiated exactly, then F' and f are compared

1. in complex128, at 1,500 random real points of many scales and between all the points where a
   radicand, an absolute value or a sign changes, so that every branch is sampled;
2. in Arb balls, at the points where step 1 suspects a difference, at a selection of the points
   where f is real, and about the special points of the expressions (see `sample_points`). Disjoint
   balls prove a difference; for agreement, at least three points need overlapping balls narrower
   than 1e-40. Where f is nowhere real, its complex values on the real line are compared, and where
   it is undefined there, its values at points of the complex plane;
3. if no point differs, `proving` tries to prove the identity by cases of signs. Points at which the
   proof of a case fails are compared in turn.

A single proved difference inside the domain refutes the answer, however small. Agreement at points
alone is called sampled, never verified.
"""

from __future__ import annotations

import time
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import fraction, precision
from sciml.symbolic.verification import sample_points as pt
from sciml.symbolic.verification.exact_equality import equal_as_rational_functions
from sciml.symbolic.verification.result import Check
from sciml.symbolic.verification.slopes import derivative

DIGITS = 40
_PRECISIONS = (192, 512, 1536)
_MIN_AGREEING = 3
_SPREAD_POINTS = 9
_GENERIC_CONSTANTS = 4
_SPECIAL_CONSTANTS = 12
"""How many values of the constants must be decided, and for how many special points are tried."""
_MAX_BITS = 30_000
_UNDECIDED = "too few points could be decided"


def compare_at_points(
    f: Expr, g: Expr, name: str, *, avoid: tuple[Expr, ...] = (), thorough: bool = True,
    seed: int | None = None,
) -> Check:  # fmt: skip
    """Whether f and g agree at random points wherever f is real.

    Args:
        f, g: the two sides.
        name: the variable.
        avoid: further expressions (the answer); points are also taken between their branch changes.
        thorough: whether to add special points and many values of the constants.
        seed: seed of the random points; None: a fresh one.
    """
    started = time.perf_counter()
    if g is f or not _holds_signs(f, g, *avoid) and equal_as_rational_functions(f, g):
        seconds = time.perf_counter() - started
        return Check("verified", "symbolic", "everywhere it is defined", 0, seconds)
    rng = np.random.default_rng(None if seed is None else seed & 0xFFFFFFFF)
    comparison, expressions = _Comparison(f, g), (f, g, *avoid)
    constants = sorted((f.free | g.free) - {name})
    agreeing, domain = 0, ""
    for i, sample in enumerate(pt.constant_values(constants, expressions, rng, thorough)):
        # After the generic ones, constants for which f is nowhere real are skipped.
        how, count, where = _compare(
            comparison, expressions, name, sample, rng, i >= _GENERIC_CONSTANTS
        )
        if how == "agrees" and thorough and i < _SPECIAL_CONSTANTS:
            for at in pt.special_points(expressions, name, sample, rng):
                if comparison.differ({**sample, name: at}):
                    how, where = "differs on part of the domain", f"not at {float(at):.6g}"
                    break
        agreeing += count
        if how == "agrees":
            domain = domain or where
        elif i < _GENERIC_CONSTANTS or how != _UNDECIDED:
            note = f"{where} (constants {_shown(sample)})" if sample else where
            return Check("unverified", how, note, agreeing, time.perf_counter() - started,
                         refuted=how != _UNDECIDED)  # fmt: skip
    return Check("sampled", "numeric", domain, agreeing, time.perf_counter() - started)


def _holds_signs(*expressions: Expr) -> bool:
    """Whether a part has a derivative that is right for real arguments, or piece by piece, only."""
    return any(n.op in ("abs", "sign", "floor") for e in expressions for n in ex.subtrees(e))


class _Comparison:
    """Compares two expressions at points, in balls. The precision grows with the numbers that occur
    in them: a number of n bits may make a difference of 2**-n."""

    def __init__(self, f: Expr, g: Expr) -> None:
        self.f, self.program = f, Program(f, g)
        numbers = [n.value for e in (f, g) for n in ex.subtrees(e) if n.op == "num"]
        bit_lengths = [max(v.numerator.bit_length(), v.denominator.bit_length()) for v in numbers]
        bits = min(max(bit_lengths, default=0), 4000)
        self.precisions = [p + 2 * bits for p in _PRECISIONS]
        self.digits = DIGITS + int(0.61 * bits)

    def differ(self, values: dict[str, Any]) -> bool:
        """Whether the two are proved different at a point where f may be real, however slightly."""
        if self.agree(values) == (False, True):
            return True
        precisions = self.precisions
        try:  # where both are large, a small difference must still show
            with precision(precisions[0]):
                size = abs(self.program.balls(self._point(values))[0]).upper()
                if not (size.is_finite() and size > 1):
                    return False
                bits = int(float(size.log()) * 1.4427) + 1
            self.precisions = [min(precisions[0] + bits, _MAX_BITS)]
            return bits > 4 and self.agree(values) == (False, True)
        except (ValueError, OverflowError, ZeroDivisionError):
            return False
        finally:
            self.precisions = precisions

    def _point(self, values: dict[str, Any]) -> dict[str, Any]:
        from flint import acb

        return {k: fraction(v) if isinstance(v, Fraction) else acb(v.real, v.imag)
                for k, v in values.items()}  # fmt: skip

    def agree(self, values: dict[str, Any]) -> tuple[bool | None, bool]:
        """(agree, real): agree is True, False (proved different) or None (undecided); real says
        whether f may be real at the point."""
        from flint import arb, ctx

        try:
            with precision(self.precisions[0]):
                for ctx.prec in self.precisions:
                    f, g = self.program.balls(self._point(values))
                    if not (f.is_finite() and g.is_finite()):
                        continue
                    difference, real = f - g, bool(f.imag.contains(0))
                    if not difference.contains(0):
                        if real and not f.imag == 0:  # a tiny imaginary part makes f complex
                            ctx.prec = self.precisions[-1] + 4000
                            again = self.program.balls(self._point(values))[0]
                            real = bool(again.imag.contains(0))
                        return False, real
                    size = abs(f).upper()
                    if abs(difference).upper() <= arb(10) ** -self.digits * max(size, arb(1)):
                        return True, real
                return None, False
        except (ValueError, OverflowError, ZeroDivisionError):
            return None, False


def _shown(sample: dict[str, Fraction]) -> str:
    return ", ".join(f"{k}={float(v):.6g}" for k, v in sample.items())


def _compare(
    comparison: _Comparison, expressions: tuple[Expr, ...], name: str, sample: dict[str, Fraction],
    rng: np.random.Generator, only_real: bool,
) -> tuple[str, int, str]:  # fmt: skip
    """(how, number of agreeing points, domain) for one choice of the constants; how is ``agrees``
    or the reason why not."""
    points = pt.random_points(rng)
    numbers = {k: float(v) for k, v in sample.items()}
    branch_args = pt.branch_arguments(expressions, name)
    missed: list[float] = []
    if branch_args:
        missed = pt.missed_branches(branch_args, name, numbers, pt.with_far_points(points))
    far = 10 ** rng.uniform(6, 15, 16) * rng.choice([-1.0, 1.0], 16)
    points = np.sort(np.concatenate([points, missed, far]))
    values = comparison.program.complex({**numbers, name: points})
    a, b = (np.broadcast_to(z, points.shape) for z in values)
    with np.errstate(all="ignore"):
        finite = np.isfinite(a)
        real = finite & (np.abs(a.imag) <= 1e-9 * (1e-9 + np.abs(a.real)))
        gap = np.abs(a - b) / (np.abs(a) + np.abs(b) + 1e-12)
        suspect = ~(gap < 1e-7)
    between = pt.between_sign_changes(branch_args, name, numbers, points) if branch_args else []
    between += np.searchsorted(points, np.sort(np.concatenate([missed, far]))).tolist()
    for domain, must_be_real, kind in (
        (real, True, "where the integrand is real"),
        (finite, False, "on the real line, with complex values"),
    ):
        if not domain.any() or only_real and not must_be_real:
            continue
        verdict = _compare_on_line(
            comparison, name, sample, points, domain, suspect, between, must_be_real
        )
        if verdict[0] != _UNDECIDED:
            return verdict[0], verdict[1], kind if verdict[0] == "agrees" else verdict[2]
    if finite.any() or only_real:
        return _UNDECIDED, 0, "unknown"
    return _compare_complex(comparison, name, sample, rng)


def _compare_on_line(
    comparison: _Comparison, name: str, sample: dict, points: np.ndarray, domain: np.ndarray,
    suspicious: np.ndarray, between: list[int], only_real: bool,
) -> tuple[str, int, str]:  # fmt: skip
    """Compare at points of the real line. With `only_real`, points count only where f may be real
    in ball arithmetic (no tolerance is involved)."""
    inside = np.nonzero(domain)[0]
    in_domain = set(inside.tolist())
    chosen = inside[np.linspace(0, len(inside) - 1, min(_SPREAD_POINTS, len(inside))).astype(int)]
    doubtful = np.nonzero(domain & suspicious)[0]
    if len(doubtful) > 12:
        doubtful = doubtful[np.linspace(0, len(doubtful) - 1, 12).astype(int)]
    agreeing: list[float] = []
    differing: list[float] = []
    undecided = 0
    required = [*doubtful.tolist(), *chosen.tolist(), *(i for i in between if i in in_domain)]
    spare = inside[np.argsort(np.abs(points[inside]))].tolist()
    required_count = len(set(required))
    for rank, i in enumerate(dict.fromkeys([*required, *spare])):
        if rank >= required_count and (
            len(agreeing) >= _MIN_AGREEING or differing or undecided > 80
        ):
            break
        at = Fraction(float(points[i])).limit_denominator(10**9)
        agree, is_real = comparison.agree({**sample, name: at})
        if agree is None or (only_real and not is_real):
            undecided += 1
        elif agree:
            agreeing.append(float(at))
        else:
            differing.append(float(at))
    if differing:
        if not agreeing:
            return "differs at every point tried", 0, "nowhere"
        return "differs on part of the domain", len(agreeing), _describe_part(agreeing, differing)
    if len(agreeing) < _MIN_AGREEING:
        return _UNDECIDED, len(agreeing), "unknown"
    return "agrees", len(agreeing), ""


def _describe_part(agreeing: list[float], differing: list[float]) -> str:
    first_differing, last_differing = min(differing), max(differing)
    if min(agreeing) > last_differing:
        return f"for {min(agreeing):.4g} and above"
    if max(agreeing) < first_differing:
        return f"for {max(agreeing):.4g} and below"
    return f"not at {first_differing:.6g}"


def _compare_complex(
    comparison: _Comparison, name: str, sample: dict, rng: np.random.Generator
) -> tuple[str, int, str]:
    agreeing = differing = 0
    for _ in range(60):
        z = complex(rng.uniform(-3, 3), rng.uniform(-3, 3))
        agree, _ = comparison.agree({**sample, name: z})
        agreeing += agree is True
        differing += agree is False
        if agreeing + differing >= 12:
            break
    if differing:
        return "differs at complex points", agreeing, "nowhere" if not agreeing else "in part"
    if agreeing < _MIN_AGREEING:
        return _UNDECIDED, agreeing, "unknown"
    return "agrees", agreeing, "in the complex plane"


def check(
    integrand: Expr, answer: Expr, name: str, *, symbolic: bool = False, thorough: bool = True,
    seed: int | None = None,
) -> Check:  # fmt: skip
    """Whether d answer / d name = integrand; `verify` without its worker process.

    Args:
        integrand, answer: f and F.
        name: the variable.
        symbolic: whether to try a proof and to search for jumps; only a proof makes the status
            ``verified``.
        thorough: whether to add special points and many values of the constants.
        seed: seed of the random points; None: a fresh one.
    """
    started = time.perf_counter()
    slope = derivative(answer, name)
    outcome = compare_at_points(
        integrand, slope, name, avoid=(answer,), thorough=thorough, seed=seed
    )
    outcome = replace(outcome, seconds=time.perf_counter() - started)
    return prove(outcome, integrand, answer, name) if symbolic else outcome


def prove(sampled: Check, f: Expr, answer: Expr, name: str, seconds: float = 5.0) -> Check:
    """The outcome of sampling, made ``verified`` by a proof, or refuted at a point where a case of
    the proof fails; with the continuity of the answer.

    Args:
        sampled: the outcome of `check`.
        f, answer, name: integrand, antiderivative and variable.
        seconds: time limit of the proof.
    """
    from sciml.symbolic.verification.jumps import continuity
    from sciml.symbolic.verification.proving import prove_identity

    if sampled.refuted:
        return sampled
    started, slope = time.perf_counter(), derivative(answer, name)
    if sampled.status == "verified":
        is_continuous, note = continuity(f, answer, name)
        total = sampled.seconds + time.perf_counter() - started
        return replace(sampled, continuous=is_continuous, note=note, seconds=total)
    proof = prove_identity(f, slope, name, answer, seconds)
    if proof.holds:
        sampled = replace(sampled, status="verified", how="symbolic", holds=proof.holds)
    elif sampled.status == "sampled":
        comparison = _Comparison(f, slope)
        for values in proof.suspects:
            if comparison.differ(values):
                return replace(
                    sampled, status="unverified", how="differs on part of the domain",
                    holds=f"not at {_shown(values)}", refuted=True,
                )  # fmt: skip
    if not sampled.agrees:
        return sampled
    is_continuous, note = continuity(f, answer, name)
    total = sampled.seconds + time.perf_counter() - started
    return replace(sampled, continuous=is_continuous, note=note, seconds=total)
