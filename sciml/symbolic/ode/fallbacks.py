"""Proposals used when the package's own methods fail: a neural network, SymPy's dsolve."""

from __future__ import annotations

from collections.abc import Iterator

from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.jobs import DsolveJob
from sciml.symbolic.ode.tools import Proposal


def network_proposals(
    residual: Expr, x: str, y: str, order: int, job: DsolveJob
) -> Iterator[Proposal]:
    """Solutions that a network proposes."""
    # torch is loaded only where the rules failed
    from sciml.symbolic.neural.candidates import ode_solutions

    answers = ode_solutions(str(job.model), residual, x, y, order, job.beam)
    for number, answer in enumerate(answers, 1):
        yield "explicit", answer, f"neural, hypothesis {number}"


def sympy_proposals(residual: Expr, x: str, y: str, order: int) -> Iterator[Proposal]:
    """Solutions by SymPy's dsolve."""
    import sympy as sp

    from sciml.errors import InputError
    from sciml.symbolic.expr.printing import from_sympy, to_sympy

    sx, f = sp.Symbol(x), sp.Function(y)
    names = {sp.Symbol(y + "'" * k): sp.Derivative(f(sx), (sx, k)) for k in range(1, order + 1)}
    names[sp.Symbol(y)] = f(sx)
    equation = to_sympy(residual).xreplace(names)
    try:
        solutions = sp.dsolve(equation, f(sx))
    except (NotImplementedError, ValueError, TypeError, AttributeError, KeyError, IndexError,
            ZeroDivisionError, RecursionError, sp.PolynomialError):  # fmt: skip
        return
    back = {sp.Symbol(f"C{k}"): sp.Symbol(f"c{k}") for k in range(1, order + 1)}
    for solution in solutions if isinstance(solutions, list) else [solutions]:
        try:
            left, right = (side.xreplace(back) for side in (solution.lhs, solution.rhs))
            if left == f(sx):
                yield "explicit", from_sympy(right.doit()), "SymPy's dsolve"
                continue
            relation = from_sympy((left - right).doit().xreplace({f(sx): sp.Symbol(y)}))
        except (InputError, AttributeError):
            continue
        from sciml.symbolic.algebra.rewriting import invert

        constant = invert(relation, "c1", ex.ZERO)
        if constant is not None:
            yield "implicit", constant, "SymPy's dsolve"
