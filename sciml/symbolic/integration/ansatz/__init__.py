"""Ansatz (parallel, Norman-Risch) integration: write the answer as an unknown combination of
monomials over a denominator, logarithms and inverse functions; differentiate; solve for the
coefficients modulo primes. See `kernels`, `support`, `columns`, `linear` for the four parts.

Source of the method: A. C. Norman, P. M. A. Moore (1977), "Implementing the new Risch
integration algorithm"; M. Bronstein (2007), "Structure theorems for parallel integration".
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from sciml.symbolic.algebra.field import Failure
from sciml.symbolic.algebra.tower import Tower
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import now
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.integration.ansatz.linear_system import Column, Solution, solve
from sciml.symbolic.integration.ansatz.logarithmic_terms import columns, times_constants
from sciml.symbolic.integration.ansatz.special_functions import special
from sciml.symbolic.integration.ansatz.support import (
    Monomial,
    Problem,
    box,
    check_size,
    closure,
    pose,
    with_constants,
)
from sciml.symbolic.integration.ansatz.torsion import torsion

__all__ = ["Failure", "candidates"]

_STYLES: tuple[dict[str, bool], ...] = (
    {},
    {"signs": True},
    {"logarithmic": True},
    {"split": True},
    {"pair": True},
    {"halves": True},
    {"normal": True, "split": True, "pair": True, "signs": True},
)
"""Ways to set up the tower, in the order in which they are tried."""


def _supports(problem: Problem) -> Iterator[tuple[str, list[Monomial] | None]]:
    yield "closure 1", closure(problem, 600, 1)
    yield "box 0", box(problem, 0, 500)
    yield "closure 2", closure(problem, 1200, 2)
    yield "box 1", box(problem, 1, 2500)
    yield "closure 5", closure(problem, 2500, 5)


def assemble(problem: Problem, solution: Solution) -> Expr:
    """The answer's expression."""
    tower = problem.tower
    terms = []
    content, factors = problem.denominator.factor()
    below = ex.number(int(content))
    for q, e in factors:
        below = below * tower.poly_expr(q) ** int(e)
    for monomial, value in solution.monomials.items():
        parts: list[Expr] = [value]
        for i, e in enumerate(monomial):
            if e:
                parts.append(tower.kernels[i].expr ** e)
        terms.append(ex.mul(parts))
    logs = [value * column.build() for value, column in solution.columns]
    return ex.add([ex.add(terms) / below, *logs])


def candidates(
    integrand: Expr,
    variable: str,
    deadline: float,
    *,
    seed: int = 1,
    styles: int = len(_STYLES),
    supports: int = 5,
    specials: bool = True,
) -> Iterator[tuple[Expr, str]]:
    """Antiderivatives that solve the linear system, with the strategy that found each.

    They are right in the field of the tower; branches are for the caller to verify.

    Args:
        integrand: a function of `variable`; other symbols are constants.
        variable: its name.
        deadline: value of the clock to stop at.
        seed: of the random points.
        styles: how many ways of setting up the tower to try.
        supports: how many supports to try, smallest first.
        specials: also try erf, Ei, li, Si, Ci and dilogarithms at the end.
    """
    rng = np.random.default_rng(seed)
    seen: set[tuple] = set()
    for style in _STYLES[:styles]:
        if now() > deadline:
            return
        try:
            problem = pose(Tower(variable, **style), integrand)
            check_size(problem)
            token = _signature(problem)
            if token in seen:
                continue
            seen.add(token)
            beside = columns(problem)
        except (Failure, ex.TooLarge, ex.Undefined, RecursionError, OverflowError):
            continue
        yield from _tries(problem, beside, rng, deadline, style, supports)
    if styles >= len(_STYLES):
        yield from _beyond(integrand, variable, rng, deadline)
    for whole in (False, True) if specials else ():
        if now() > deadline:
            return
        try:
            problem = pose(Tower(variable, whole=whole), integrand)
            check_size(problem)
            token = ("special", *_signature(problem))
            if token in seen:
                continue
            seen.add(token)
            beside = columns(problem) + special(problem)
        except (Failure, ex.TooLarge, ex.Undefined, RecursionError, OverflowError):
            continue
        yield from _tries(problem, beside, rng, deadline, {"special": True}, supports)


def _beyond(
    integrand: Expr, variable: str, rng: np.random.Generator, deadline: float
) -> Iterator[tuple[Expr, str]]:
    """For radicals: with their radicands below the answer, and with logarithms on their curve."""
    for under_roots, name in ((True, "under roots"), (False, "torsion")):
        try:
            problem = pose(Tower(variable, signs=True), integrand, under_roots=under_roots)
            check_size(problem)
            if not any(k.kind == "radical" for k in problem.tower.kernels):
                return
            more = [] if under_roots else torsion(problem)
            if under_roots or more:
                beside = columns(problem) + more + times_constants(problem, more)
                yield from _tries(problem, beside, rng, deadline, {name: True}, 2)
        except (Failure, ex.TooLarge, ex.Undefined, RecursionError, OverflowError):
            continue


def _tries(
    problem: Problem, beside: list[Column], rng: np.random.Generator, deadline: float, style: dict,
    most: int,
) -> Iterator[tuple[Expr, str]]:  # fmt: skip
    tried: set[tuple] = set()
    supports = itertools.islice(_supports(problem), most)
    while now() < deadline:
        try:
            name, monomials = next(supports)
        except StopIteration:
            return
        except (Failure, OverflowError, ValueError):
            return
        if monomials is None or not (monomials or beside):
            continue
        token = tuple(sorted(monomials))
        if token in tried:
            continue
        tried.add(token)
        try:
            monomials = with_constants(problem.tower, monomials)
            solution = solve(problem, monomials, beside, rng, deadline)
            if solution is not None:
                answer = assemble(problem, solution)
                yield answer, f"ansatz {name}" + "".join(f", {k}" for k in style)
        except (Failure, ex.TooLarge, ex.Undefined, OverflowError):
            continue


def _signature(problem: Problem) -> tuple:
    """What tells two set-ups apart."""
    kernels = tuple((k.kind, k.expr, str(k.slope.d)) for k in problem.tower.kernels)
    return (kernels, str(problem.f.d), len(problem.f.n))
