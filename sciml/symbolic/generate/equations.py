"""Differential equations with their solutions: ODE1 and ODE2 of Lample & Charton (2020, section 4).

A random function y = f(x, c1) is solved for c1 and differentiated, so that c1 drops out; with two
constants it is done twice. What cannot be solved for a constant is dropped.
"""

from __future__ import annotations

import numpy as np

from sciml.errors import InputError
from sciml.symbolic.algebra.rewriting import invert, together
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.tokens import parse_prefix
from sciml.symbolic.generate import trees
from sciml.symbolic.generate.arena_text import TOKENS
from sciml.symbolic.generate.problems import Row

_TRIES = 40
"""Functions that are tried for one sample."""
_MAX_OPERATORS = {1: 8, 2: 7}
_MAX_SIZE = 160
"""Nodes of the largest equation."""


def odes(order: int, seed: int, start: int, count: int) -> list[Row]:
    """Samples number start .. start + count - 1; one of them may come to nothing."""
    from sciml.symbolic.ode.checking import quick

    tokens = np.empty(1024, np.int64)
    rows: list[Row] = []
    for k in range(start, start + count):
        rng = trees.seeded(seed, k)
        for _ in range(_TRIES):
            operators = trees.operator_count(rng, _MAX_OPERATORS[order])
            n = trees.tree(rng, operators, tokens)
            solution = _with_constants([TOKENS[t] for t in tokens[:n]], order, rng)
            pair = None if solution is None else equation(solution, order)
            if pair is not None and quick(*pair, "x", "y", order):
                residual, answer = pair
                rows.append((residual.key, str(residual), str(answer)))
                break
    return rows


def _with_constants(tokens: list[str], order: int, rng: np.ndarray) -> list[str] | None:
    """One leaf replaced by c1, for second order another one by c2; None without a leaf x left."""
    leaves = [i for i, token in enumerate(tokens) if token in ("x", "INT+")]
    if len(leaves) < order + 1:
        return None
    chosen: list[int] = []
    while len(chosen) < order:
        i = leaves[trees.below(rng, len(leaves))]
        if i not in chosen:
            chosen.append(i)
    out, in_number = [], False
    for i, token in enumerate(tokens):
        if in_number and token.isdigit():
            continue
        in_number = False
        if i in chosen:
            out.append(f"c{chosen.index(i) + 1}")
            in_number = token == "INT+"
        else:
            out.append(token)
    return out if "x" in out else None


def equation(tokens: list[str], order: int) -> tuple[Expr, Expr] | None:
    """(residual, solution) from the prefix tokens of y = f(x, c1, ...); None where a constant
    cannot be isolated or the equation is too large."""
    y, slope = ex.symbol("y"), ex.symbol("y'")
    try:
        solution = parse_prefix(tokens)
        if not {"x", "c1", *(["c2"] if order == 2 else [])} <= solution.free:
            return None
        relation = invert(solution, f"c{order}", y)
        if relation is None:
            return None
        residual = relation.diff("x") + relation.diff("y") * slope
        if order == 2:
            c1 = invert(_numerator(together(residual)), "c1", ex.ZERO)
            if c1 is None or "y'" not in c1.free:
                return None
            residual = c1.diff("x") + c1.diff("y") * slope + c1.diff("y'") * ex.symbol("y''")
        residual = _numerator(together(residual))
    except (ex.TooLarge, ex.Undefined, InputError, RecursionError):
        return None
    highest = "y" + "'" * order
    if highest not in residual.free or {"c1", "c2"} & residual.free:
        return None
    return None if ex.size(residual) > _MAX_SIZE else (residual, solution)


def _numerator(e: Expr) -> Expr:
    """The factors in which the unknown function occurs, without denominators and exponentials."""
    factors = e.args if e.op == "mul" else (e,)
    return ex.mul(
        f
        for f in factors
        if any(name.startswith("y") for name in f.free)
        and not (f.op == "pow" and f.args[1].op == "num" and f.args[1].value < 0)
        and f.op != "exp"
    )
