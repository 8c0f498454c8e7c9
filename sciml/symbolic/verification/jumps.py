"""Spurious discontinuities: jumps of an antiderivative where its integrand is continuous.

F' = f holds between the jumps, yet F(b) - F(a) is not the integral across one. Examples are
-cos(x) sign(sin(x)) for |sin(x)| and atan(tan(x / 2) / sqrt(3)) for 1 / (2 + cos(x)). The search
covers points where a sign changes or a denominator vanishes, and neighbouring points whose values
differ by more than f allows; each jump is confirmed in ball arithmetic on both sides.

Source of the problem: D. J. Jeffrey (1994), "The importance of being continuous".
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np

from sciml.symbolic.algebra import field as fd
from sciml.symbolic.algebra.field import Failure
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import now
from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import fraction, precision
from sciml.symbolic.verification import sample_points as pt
from sciml.symbolic.verification.normal_form import Case
from sciml.symbolic.verification.proving import prove_identity
from sciml.symbolic.verification.sign_conditions import CaseSplit, Refinement, Restart

_POLES = {"tan": "cos", "sec": "cos", "cot": "sin", "csc": "sin", "coth": "sinh", "csch": "sinh",
          "acot": "", "acsc": "", "asec": "", "acsch": "", "acoth": "", "asech": ""}  # fmt: skip
"""Functions with poles or jumps and the function that vanishes there; empty: their argument."""
_CUTS = frozenset("log asin acos acosh atanh asinh atan Ei li Ci Chi dilog".split())
_NEAR, _NEARER = Fraction(1, 10**20), Fraction(1, 10**30)
_MAX_JUMPS = 20
_ERRORS = (Failure, Restart, CaseSplit, ex.TooLarge, ex.Undefined, OverflowError, ZeroDivisionError,
           ValueError, RecursionError)  # fmt: skip


def continuity(f: Expr, answer: Expr, name: str) -> tuple[bool | None, str]:
    """Whether the antiderivative is continuous where f is.

    Returns:
        (True, "") if its form shows that it is; (False, the confirmed jumps in words); (None, "")
        if no jump was confirmed and none could be excluded.
    """
    try:
        arguments, safe = _break_arguments(answer, name)
        if safe and (not arguments or _signs_make_no_jump(answer, name, arguments)):
            return True, ""
        jumps = _jumps(f, answer, name, arguments)
    except _ERRORS:
        return None, ""
    if not jumps:
        return None, ""
    points = ", ".join(f"{float(p) if abs(p) > _NEAR else 0:.6g}" for p in sorted(jumps[:3]))
    more = ", ..." if len(jumps) > 3 else ""
    return False, f"jumps at {name} = {points}{more} although the integrand is continuous there"


def _signs_make_no_jump(answer: Expr, name: str, arguments: list[Expr]) -> bool:
    """Whether only signs of polynomials could cause a jump, and they are proved to cause none."""
    signs = {n.args[0] for n in ex.subtrees(answer) if n.op == "sign"}
    steps = _exact_steps(answer, name) if signs >= set(arguments) else None
    return steps is not None and all(
        step is ex.ZERO or bool(prove_identity(step, ex.ZERO, name).holds) for _, step in steps
    )


def _break_arguments(e: Expr, name: str) -> tuple[list[Expr], bool]:
    """Expressions that vanish where e may jump; and whether e is certain to jump nowhere else."""
    arguments: dict[Expr, None] = {}
    safe = True
    for node in ex.subtrees(e):
        if name not in node.free:
            continue
        if node.op == "I" or node.op == "pow" and node.args[1].op != "num":
            safe = False
        elif node.op == "sign":
            arguments[node.args[0]] = None
        elif node.op == "floor":
            arguments[ex.call("sin", ex.PI * node.args[0])] = None
        elif node.op == "pow" and node.args[1].value < 0:
            if not _never_zero(node.args[0], name):
                arguments[node.args[0]] = None
        elif node.op in _POLES:
            inner = _POLES[node.op]
            arguments[ex.call(inner, node.args[0]) if inner else node.args[0]] = None
        if node.op in _CUTS or ex.is_radical(node):
            safe = safe and not any(_may_be_complex(n) for n in ex.subtrees(node.args[0]))
    safe = safe and not any(n.op == "I" for n in ex.subtrees(e))
    return list(arguments), safe


def _may_be_complex(n: Expr) -> bool:
    return bool(n.free) and (
        n.op in ("log", "asin", "acos", "acosh", "atanh", "asec", "acsc", "acoth", "asech")
        or n.op == "pow"
        and (n.args[1].op != "num" or n.args[1].value.denominator > 1)
    )


def _never_zero(u: Expr, name: str) -> bool:
    """Whether u, a rational function of one of x, exp(c x), tan(c x / 2), is proved not to vanish
    and not to tend to 0 where the tangent has its pole."""
    refinement = Refinement()
    for _ in range(20):
        try:
            case = Case(refinement, {}, {}, now() + 0.5)
            q = case.convert(u)
            break
        except Restart:
            continue
        except _ERRORS:
            return False
    else:
        return False
    variables = case.depends_on(q.n)
    if not case.used(q.n):  # 1 / (1 + tan(x)**2) tends to 0 at the poles of the tangent
        return not any(case.generators[i].kind == "tan" for i in case.used(q.d))
    if len(variables) != 1 or set(case.used(q.n)) != set(variables):
        return False
    (i,) = variables
    kind = case.generators[i].kind
    if kind not in ("variable", "exp", "tan"):
        return False
    if kind == "tan" and fd.degrees(q.n)[i] != fd.degrees(q.d)[i]:
        return False
    norm = case.norm(q.n, i)
    roots = [z.real for z, _ in norm.complex_roots() if z.imag == 0]
    return not [r for r in roots if kind != "exp" or not r < 0]


def _jumps(f: Expr, answer: Expr, name: str, arguments: list[Expr]) -> list[Fraction]:
    """Confirmed jumps, those near 0 first."""
    rng = np.random.default_rng()
    constants = sorted((f.free | answer.free) - {name})
    confirmed: list[Fraction] = []
    for sample in pt.constant_values(constants, (f, answer), rng, False):
        values = {k: float(v) for k, v in sample.items()}
        candidates = _zeros_of_arguments(arguments, name, values, sample, (f, answer), rng)
        candidates += _large_steps(f, answer, name, values, sample)
        pair = Program(answer, f)
        for point in sorted(candidates, key=abs)[:_MAX_JUMPS]:
            if _is_jump(pair, name, sample, point) and all(
                abs(point - other) > max(abs(point) / 10**9, _NEAR) for other in confirmed
            ):
                confirmed.append(point)
        if confirmed:
            break
    return confirmed


def _zeros_of_arguments(
    arguments: list[Expr], name: str, values: dict, sample: dict, parts: tuple[Expr, ...],
    rng: np.random.Generator,
) -> list[Fraction]:  # fmt: skip
    """Some sign changes of the arguments, to many digits."""
    points = pt.log_grid(parts, rng)
    zeros: list[Fraction] = []
    for u in arguments[:12]:
        z = pt.real_parts([u], name, values, points)[0]
        changes = np.nonzero((z[:-1] > 0) != (z[1:] > 0))[0]
        changes = changes[np.argsort(np.abs(points[changes]))][:8]
        program = Program(u, u.diff(name))
        for start in pt.sign_changes(u, name, values, points, changes):
            zeros.append(pt.refine_root(program, name, sample, start))
        if u.op == "sym":
            zeros.append(Fraction(0))
    return zeros


def _large_steps(f: Expr, answer: Expr, name: str, values: dict, sample: dict) -> list[Fraction]:
    """Points about which the antiderivative changes by much more than f allows."""
    points = np.linspace(-12.03, 12.07, 2400)
    program = Program(answer, f)
    if any(n.op in ex.SPECIAL and name in n.free for n in ex.subtrees(answer)):
        points = _affordable(program, name, values, points[::8])
    F, slope = (np.broadcast_to(z, points.shape) for z in
                program.complex({**values, name: points}))  # fmt: skip
    with np.errstate(all="ignore"):
        step = np.abs(np.diff(F))
        allowed = np.maximum(np.abs(slope[:-1]), np.abs(slope[1:])) * np.diff(points)
        large = np.nonzero(np.isfinite(step) & (step > 4 * allowed + 1e-9 * np.abs(F[1:])))[0]
    program = Program(answer)
    out = []
    for i in large[np.argsort(np.abs(points[large]))][:6]:
        point = _bisect_step(program, name, sample, Fraction(points[i]), Fraction(points[i + 1]))
        if point is not None:
            out.append(point)
    return out


def _affordable(program: Program, name: str, values: dict, points: np.ndarray) -> np.ndarray:
    """As many of the points, from the middle, as slow functions can be evaluated at in a second."""
    count = len(points)
    for half in (2, 10, 40):
        started = now()
        middle = points[count // 2 - half : count // 2 + half]
        program.complex({**values, name: middle})
        each = (now() - started) / (2 * half)
        if each * count > 1:
            return points[max(0, count // 2 - int(0.5 / each)) : count // 2 + int(0.5 / each) + 1]
    return points


def _bisect_step(
    program: Program, name: str, sample: dict, low: Fraction, high: Fraction
) -> Fraction | None:
    """The point of a jump between two points, by bisection towards the larger step."""
    first, last = (_values_at(program, name, sample, p) for p in (low, high))
    for _ in range(120):
        middle = (low + high) / 2
        between = _values_at(program, name, sample, middle)
        if first is None or last is None or between is None:
            return None
        if abs(between[0] - first[0]).mid() > abs(last[0] - between[0]).mid():
            high, last = middle, between
        else:
            low, first = middle, between
    return (low + high) / 2


def _values_at(program: Program, name: str, sample: dict, point: Fraction) -> list[Any] | None:
    """The outputs at a point, in 500-bit balls; None where one is undefined."""
    try:
        with precision(500):
            balls = program.balls({k: fraction(v) for k, v in {**sample, name: point}.items()})
            return balls if all(z.is_finite() for z in balls) else None
    except (ValueError, ZeroDivisionError, OverflowError):
        return None


def _is_jump(pair: Program, name: str, sample: dict, point: Fraction) -> bool:
    """Whether the difference of F across the point tends to a constant while that of f vanishes."""
    size = max(abs(point), Fraction(1))
    steps, changes, values = [], [], []
    for near in (_NEAR, _NEARER):
        left, right = (_values_at(pair, name, sample, point + s * near * size) for s in (-1, 1))
        if left is None or right is None:
            return False
        if not (left[1].imag.contains(0) and right[1].imag.contains(0)):
            return False  # jumps where f is not real do not count
        steps.append(right[0] - left[0])
        changes.append(abs(complex(right[1] - left[1])))
        values += [abs(complex(side[1])) for side in (left, right)]
    step = abs(complex(steps[1]))
    if not abs(complex(steps[0] - steps[1])) < 1e-3 * step:
        return False
    if step <= 1e3 * max(values) * float(_NEARER * size) or max(values) > 1e9 * max(step, 1e-300):
        return False
    return changes[1] <= max(1e-6 * min(values), 0.5 * changes[0])


def without_jumps(answer: Expr, name: str) -> Expr | None:
    """The antiderivative without the jumps that signs of polynomials cause: at each root r where
    the signs change, half the exact step times sign(x - r) is subtracted. None where the roots have
    no closed form, or nothing changes."""
    steps = _exact_steps(answer, name)
    if not steps:
        return None
    x = ex.symbol(name)
    smooth = ex.add([answer, *(-ex.HALF * step * ex.call("sign", x - r) for r, step in steps)])
    return smooth if smooth is not answer else None


def _exact_steps(answer: Expr, name: str) -> list[tuple[Expr, Expr]] | None:
    """(r, step at r) for every real root of a polynomial whose sign occurs; None: unknown."""
    from sciml.symbolic.algebra.univariate import as_rational

    signs = [n for n in ex.subtrees(answer) if n.op in ("sign", "abs") and name in n.free]
    roots: dict[float, Expr] = {}
    for node in signs:
        quotient = as_rational(node.args[0], name)
        if quotient is None or quotient[1].degree() > 0:
            return None
        for factor, _ in quotient[0].factor()[1]:
            closed = _closed_roots(factor)
            if closed is None:
                return None
            roots |= {float(Program(r).complex({})[0].real): r for r in closed}
    positions = sorted(roots)
    if not positions:
        return None
    ends = [positions[0] - 1, *positions, positions[-1] + 1]
    try:
        sides = [_with_signs(answer, signs, name, (a + b) / 2) for a, b in pairwise(ends)]
        return [(roots[at], ex.substitute(right - left, {ex.symbol(name): roots[at]}))
                for at, (left, right) in zip(positions, pairwise(sides), strict=True)]  # fmt: skip
    except _ERRORS:
        return None


def _with_signs(answer: Expr, signs: list[Expr], name: str, at: float) -> Expr:
    """The answer with every sign replaced by its value at a point."""
    mapping = {}
    for node in signs:
        side = 1 if float(Program(node.args[0]).complex({name: at})[0].real) > 0 else -1
        mapping[node] = ex.number(side) if node.op == "sign" else side * node.args[0]
    return ex.substitute(answer, mapping)


def _closed_roots(p: Any) -> list[Expr] | None:
    """The real roots of an irreducible polynomial of degree at most two."""
    c = [ex.Fraction(int(v.p), int(v.q)) for v in p.coeffs()]
    if len(c) == 2:
        return [ex.number(-c[0] / c[1])]
    if len(c) != 3:
        return [] if not [z for z, _ in p.numer().complex_roots() if z.imag == 0] else None
    square = c[1] ** 2 - 4 * c[0] * c[2]
    if square < 0:
        return []
    return [(-c[1] + side * ex.sqrt(square)) / (2 * c[2]) for side in (-1, 1)]
