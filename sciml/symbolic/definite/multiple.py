"""Double and triple integrals, one variable after the other, the innermost first.

The value is *verified* where the antiderivatives of the inner integrals are entire functions, and
the outermost integral is verified. Any value is compared with a rule of double exponential
quadrature in all variables at once, which does not use the order of integration; without a proof, a
value that it does not confirm is no answer.

Source: H. Takahasi and M. Mori (1974), "Double exponential formulas for numerical integration".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from sciml.errors import InputError
from sciml.symbolic.definite.conditions import POSITIVE_EXAMPLES
from sciml.symbolic.definite.newton_leibniz import Integrator
from sciml.symbolic.definite.outcome import Outcome
from sciml.symbolic.definite.parameters import parametric
from sciml.symbolic.expr.clock import TimeUp, at_most, now
from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import End
from sciml.symbolic.jobs import MultipleJob

Range = tuple[str, End, End]
_NODES = {2: (60, 120), 3: (34, 56)}
"""Nodes in each variable, of the coarse and of the fine rule."""
_TOLERANCE = 1e-8
_WORD = re.compile(r"[A-Za-z_]\w*")


def ordered_ranges(ranges: Sequence[Range]) -> list[Range]:
    """The ranges, outermost first: limits hold variables of ranges before them only.

    Raises:
        InputError: where the limits depend on each other in a circle, or a variable comes twice.
    """
    left, out = list(ranges), []
    if len({name for name, _, _ in left}) < len(left):
        raise InputError("a variable of integration occurs twice")
    while left:
        inside = {name for name, _, _ in left}
        outer = next((r for r in left if not _symbols(r) & (inside - {r[0]})), None)
        if outer is None or outer[0] in _symbols(outer):
            raise InputError("the limits of integration depend on each other")
        out.append(outer)
        left.remove(outer)
    return out


def _symbols(r: Range) -> frozenset[str]:
    return frozenset().union(*(e.at.free for e in r[1:] if e.at is not None))


def multiple_job(job: MultipleJob, integrator_of: Any) -> dict[str, Any]:
    """Solve the job in the worker process.

    Args:
        job: the integrand and its ranges, outermost first.
        integrator_of: the search for antiderivatives in a variable.
    """
    deadline = now() + job.timeout
    try:
        with at_most(job.timeout):
            return _multiple(job, integrator_of, deadline).message()
    except TimeUp:
        return {"status": "timeout", "how": "the time ran out"}
    except InputError as error:
        return {"status": "refused", "how": error.what, "hint": error.hint}


def _multiple(job: MultipleJob, integrator_of: Any, deadline: float) -> Outcome:
    from sciml.symbolic.definite.integral import definite

    ranges: list[Range] = list(zip(job.names, job.lows, job.highs, strict=True))
    g, proved = job.f, True
    conditions: dict[str, None] = {}
    for depth, (name, low, high) in enumerate(reversed(ranges)):
        integrator: Integrator = integrator_of(name)
        share = now() + (deadline - now()) * (0.8 if depth + 1 == len(ranges) else 0.4)
        free = g.free - {name} | _symbols((name, low, high))
        solve = parametric if free else definite
        outcome = solve(g, name, low, high, integrator, share)
        if outcome.value is None or outcome.status not in ("verified", "sampled"):
            return Outcome(outcome.status, how=f"over {name}: {outcome.how}")
        proved = proved and outcome.status == "verified"
        conditions |= dict.fromkeys(outcome.conditions)
        g = outcome.value
    agrees = _agrees(job.f, ranges, g)
    if agrees is False:
        return Outcome("no_answer", g, "quadrature in all variables refutes the value")
    if agrees is None and not proved:
        return Outcome("no_answer", g, "quadrature in all variables does not confirm the value")
    of_constants = tuple(c for c in conditions if not set(_WORD.findall(c)) & set(job.names))
    how = "one variable after the other" + (", within quadrature in all" if agrees else "")
    holds = f"for {', '.join(of_constants)}" if of_constants else ""
    return Outcome("verified" if proved else "sampled", g, how, holds, "iterated integrals",
                   conditions=of_constants)  # fmt: skip


# ------------------------------------------------------------------ quadrature in all variables
def _agrees(f: Expr, ranges: Sequence[Range], value: Expr) -> bool | None:
    """Whether quadrature has the value, at examples of the symbols; None where it does not
    converge."""
    variables = {name for name, _, _ in ranges}
    names = sorted({*f.free, *value.free, *(n for r in ranges for n in _symbols(r))} - variables)
    confirmed = 0
    for numbers in POSITIVE_EXAMPLES[: 3 if names else 1]:
        at: dict[str, float] = {n: float(numbers[i % 4]) for i, n in enumerate(names)}
        coarse, fine = (_quadrature(f, ranges, at, n) for n in _NODES[len(ranges)])
        if not np.isfinite(fine) or abs(fine - coarse) > 1e-6 * abs(fine):
            continue
        exact = complex(Program(value).complex(at)[0])
        if abs(exact - fine) > max(_TOLERANCE * abs(fine), 10 * abs(fine - coarse)):
            return False
        confirmed += 1
    return True if confirmed else None


def _quadrature(f: Expr, ranges: Sequence[Range], at: dict[str, float], count: int) -> complex:
    """The integral by the double exponential rule."""
    points: dict[str, Any] = dict(at)
    weights: Any = np.ones(1)
    for name, low, high in ranges:
        size = len(weights)
        a, b = (_end(e, points, size) for e in (low, high))
        x, w = _rule(a, b, count)  # [size, count]
        points = {k: np.repeat(v, count) if np.ndim(v) else v for k, v in points.items()}
        points[name] = x.ravel()
        weights = np.repeat(weights, count) * w.ravel()
    with np.errstate(all="ignore"):
        values = np.broadcast_to(Program(f).complex(points)[0], weights.shape)
        terms = np.where((weights == 0) | ~np.isfinite(values), 0, values * weights)
    return complex(terms.sum())


def _end(e: End, points: dict[str, Any], size: int) -> Any:
    if e.at is None:
        return np.full(size, e.sign * np.inf)
    return np.broadcast_to(Program(e.at).complex(points)[0].real, (size,))


def _rule(a: Any, b: Any, count: int) -> tuple[Any, Any]:
    """Nodes and weights of the rule from a to b, each [size, count]."""
    t, step = np.linspace(-3.2, 3.2, count, retstep=True)
    s, ds = np.pi / 2 * np.sinh(t), np.pi / 2 * np.cosh(t) * step
    if np.isinf(a).any() and np.isinf(b).any():
        x, w = np.sinh(s), np.cosh(s) * ds
    elif np.isinf(b).any():
        x = a[:, None] + np.exp(s)[None, :]
        w = (np.exp(s) * ds)[None, :] + 0 * x
    elif np.isinf(a).any():
        x = b[:, None] - np.exp(s)[None, :]
        w = (np.exp(s) * ds)[None, :] + 0 * x
    else:
        half, middle = (b - a)[:, None] / 2, (a + b)[:, None] / 2
        x, w = middle + half * np.tanh(s), half * ds / np.cosh(s) ** 2
    shape = (max(np.size(a), np.size(b)), count)
    return np.broadcast_to(x, shape), np.broadcast_to(w, shape)
