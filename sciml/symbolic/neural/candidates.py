"""Candidates that the trained network writes: antiderivatives for `integration.search`, solutions
for `ode.solver`. The callers verify them like any other candidate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

import torch

from sciml.errors import InputError
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr, TooLarge, Undefined
from sciml.symbolic.neural.coefficients import refitted
from sciml.symbolic.neural.model import Seq2Seq

_UNREADABLE = (InputError, TooLarge, Undefined)
"""What a problem raises that is too long for the model, or not in its vocabulary."""


@lru_cache(maxsize=2)
def _model(path: str) -> Seq2Seq:
    # One thread on the CPU: this runs in a worker process of limited memory.
    torch.set_num_threads(1)
    return Seq2Seq.from_pretrained(path, device="cpu")


def antiderivatives(path: str, beam: int = 10) -> Callable[[Expr, str], Iterator[tuple[Expr, str]]]:
    """A function (integrand, variable) -> (candidate, method): the beam's hypotheses first, then
    the same with their coefficients solved for (`coefficients`).

    Args:
        path: a model's weights.
        beam: hypotheses per problem.
    """

    def propose(f: Expr, x: str) -> Iterator[tuple[Expr, str]]:
        try:
            problem = _rename(f, {x: "x"})
            answers = _model(path).propose([problem], beam)[0]
        except _UNREADABLE:
            return
        for rank, answer in enumerate(answers, 1):
            yield _rename(answer, {"x": x}), f"neural, hypothesis {rank}"
        for answer, how in refitted(problem, answers, "x"):
            yield _rename(answer, {"x": x}), f"neural, {how}"

    return propose


def ode_solutions(
    path: str, residual: Expr, x: str, y: str, order: int, beam: int = 10
) -> list[Expr]:
    """The beam's solutions y(x; c1, c2) of residual = 0, best first; none for an equation that the
    model cannot read."""
    names = {x: "x", **{y + "'" * k: "y" + "'" * k for k in range(order + 1)}}
    try:
        answers = _model(path).propose([_rename(residual, names)], beam, f"ode{order}")[0]
    except _UNREADABLE:
        return []
    return [_rename(answer, {"x": x}) for answer in answers]


def _rename(e: Expr, names: dict[str, str]) -> Expr:
    """`e` with other names for its symbols."""
    mapping = {ex.symbol(old): ex.symbol(new) for old, new in names.items() if old != new}
    return ex.substitute(e, mapping) if mapping else e
