"""The Risch-like ansatz: parallel (Norman-Risch) integration.

The answer is written as an unknown combination of monomials over a denominator, logarithms and
inverse functions; it is differentiated, and the coefficients are solved for modulo primes. Several
differential towers, supports and sets of extra functions are tried in turn.

Sources: A. C. Norman, P. M. A. Moore (1977), "Implementing the new Risch integration algorithm";
M. Bronstein (2007), "Structure theorems for parallel integration".
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
from sciml.symbolic.integration.ansatz.logarithmic_terms import logarithmic_columns, times_constants
from sciml.symbolic.integration.ansatz.special_functions import special_columns
from sciml.symbolic.integration.ansatz.support import (
    Monomial,
    Problem,
    check_size,
    dense_support,
    pose,
    sparse_support,
    with_constants,
)
from sciml.symbolic.integration.ansatz.torsion import torsion_columns

_STYLES: tuple[dict[str, bool], ...] = (
    {},
    {"signs": True},
    {"logarithmic": True},
    {"split": True},
    {"pair": True},
    {"halves": True},
    {"normal": True, "split": True, "pair": True, "signs": True},
)
"""Options of the tower, in the order in which they are tried."""
_ERRORS = (Failure, ex.TooLarge, ex.Undefined, RecursionError, OverflowError)


def _supports(problem: Problem) -> Iterator[tuple[str, list[Monomial] | None]]:
    yield "closure 1", sparse_support(problem, 600, 1)
    yield "box 0", dense_support(problem, 0, 500)
    yield "closure 2", sparse_support(problem, 1200, 2)
    yield "box 1", dense_support(problem, 1, 2500)
    yield "closure 5", sparse_support(problem, 2500, 5)


def assemble(problem: Problem, solution: Solution) -> Expr:
    """The antiderivative as an expression."""
    tower = problem.tower
    content, factors = problem.denominator.factor()
    denominator = ex.number(int(content))
    for q, e in factors:
        denominator = denominator * tower.poly_expr(q) ** int(e)
    terms = []
    for monomial, coefficient in solution.monomials.items():
        powers = [tower.kernels[i].expr ** e for i, e in enumerate(monomial) if e]
        terms.append(ex.mul([coefficient, *powers]))
    logarithms = [coefficient * column.build() for coefficient, column in solution.columns]
    return ex.add([ex.add(terms) / denominator, *logarithms])


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
    """Antiderivatives that solve the linear system, each with the strategy that found it.

    Their derivatives are right in the differential field of the tower; the caller has to verify the
    choice of branches.

    Args:
        integrand: a function of `variable`; other symbols are constants.
        variable: its name.
        deadline: value of the clock to stop at.
        seed: seed of the random points.
        styles: how many options of the tower to try.
        supports: how many supports to try, smallest first.
        specials: whether to try erf, Ei, li, Si, Ci and dilogarithms at the end.
    """
    rng = np.random.default_rng(seed)
    seen: set[tuple] = set()
    for style in _STYLES[:styles]:
        if now() > deadline:
            return
        prepared = _prepare(Tower(variable, **style), integrand, seen)
        if prepared is not None:
            yield from _solutions(*prepared, rng, deadline, style, supports)
    if styles >= len(_STYLES):
        yield from _for_radicals(integrand, variable, rng, deadline)
    for keep_sums in (False, True) if specials else ():
        if now() > deadline:
            return
        prepared = _prepare(Tower(variable, whole=keep_sums), integrand, seen, specials=True)
        if prepared is not None:
            yield from _solutions(*prepared, rng, deadline, {"special": True}, supports)


def _prepare(
    tower: Tower, integrand: Expr, seen: set[tuple], specials: bool = False
) -> tuple[Problem, list[Column]] | None:
    """The problem in a tower and the columns beside its monomials; None if it cannot be posed, or
    equals one in `seen`, to which it is added."""
    try:
        problem = pose(tower, integrand)
        check_size(problem)
        signature = (specials, *_signature(problem))
        if signature in seen:
            return None
        seen.add(signature)
        columns = logarithmic_columns(problem)
        return problem, columns + special_columns(problem) if specials else columns
    except _ERRORS:
        return None


def _for_radicals(
    integrand: Expr, variable: str, rng: np.random.Generator, deadline: float
) -> Iterator[tuple[Expr, str]]:
    """Antiderivatives of integrands with radicals: with the radicands in the denominator of the
    answer, and with the logarithms of torsion points of their curves."""
    for under_roots, name in ((True, "under roots"), (False, "torsion")):
        try:
            problem = pose(Tower(variable, signs=True), integrand, under_roots=under_roots)
            check_size(problem)
            if not any(k.kind == "radical" for k in problem.tower.kernels):
                return
            torsion_terms = [] if under_roots else torsion_columns(problem)
            if under_roots or torsion_terms:
                extra_columns = logarithmic_columns(problem) + torsion_terms
                extra_columns += times_constants(problem, torsion_terms)
                yield from _solutions(problem, extra_columns, rng, deadline, {name: True}, 2)
        except _ERRORS:
            continue


def _solutions(
    problem: Problem, extra_columns: list[Column], rng: np.random.Generator, deadline: float,
    style: dict, max_supports: int,
) -> Iterator[tuple[Expr, str]]:  # fmt: skip
    """The answers of the linear systems for the supports of one problem."""
    seen: set[tuple] = set()
    supports = itertools.islice(_supports(problem), max_supports)
    while now() < deadline:
        try:
            name, monomials = next(supports)
        except StopIteration:
            return
        except (Failure, OverflowError, ValueError):
            return
        if monomials is None or not (monomials or extra_columns):
            continue
        monomial_set = tuple(sorted(monomials))
        if monomial_set in seen:
            continue
        seen.add(monomial_set)
        try:
            monomials = with_constants(problem.tower, monomials)
            solution = solve(problem, monomials, extra_columns, rng, deadline)
            if solution is not None:
                answer = assemble(problem, solution)
                yield answer, f"ansatz {name}" + "".join(f", {k}" for k in style)
        except (Failure, ex.TooLarge, ex.Undefined, OverflowError):
            continue


def _signature(problem: Problem) -> tuple:
    """Equal for two towers that lead to the same linear systems."""
    kernels = tuple((k.kind, k.expr, str(k.slope.d)) for k in problem.tower.kernels)
    return (kernels, str(problem.f.d), len(problem.f.n))
