"""Solutions that are real for positive constants, but are written with roots of negative numbers:
sqrt(-a) tan(sqrt(-a) x) is -sqrt(a) tanh(sqrt(a) x)."""

from __future__ import annotations

from collections.abc import Callable

from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.ode.tools import numerically_equal

_OF_IMAGINARY: dict[str, Callable[[Expr], Expr]] = {
    "tan": lambda u: ex.I * ex.call("tanh", u), "sin": lambda u: ex.I * ex.call("sinh", u),
    "cos": lambda u: ex.call("cosh", u), "cot": lambda u: -ex.I * ex.call("coth", u),
    "sec": lambda u: ex.call("sech", u), "csc": lambda u: -ex.I * ex.call("csch", u),
    "atan": lambda u: ex.I * ex.call("atanh", u),
}  # fmt: skip
"""A function of i u."""


def real_form(e: Expr) -> Expr:
    """The same function with hyperbolic in place of circular functions of roots of what has a minus
    sign; e itself where an imaginary unit stays, or the two are not equal."""
    roots: dict[Expr, ex.ExprLike] = {
        n: ex.I * ex.sqrt(-n.args[0]) for n in ex.subtrees(e)
        if n.op == "pow" and n.args[1] is ex.HALF and n.free and ex.negative(n.args[0])
    }  # fmt: skip
    if not roots:
        return e
    memo: dict[Expr, Expr] = {}
    for n in ex.subtrees(ex.substitute(e, roots)):
        args = tuple(memo[a] for a in n.args)
        out = n if args == n.args else ex.rebuild(n, args)
        if out.op in _OF_IMAGINARY and out.args[0].op == "mul" and ex.I in out.args[0].args:
            rest = ex.mul([a for a in out.args[0].args if a is not ex.I])
            out = _OF_IMAGINARY[out.op](rest)
        memo[n] = out
    real = out
    if any(n.op == "I" for n in ex.subtrees(real)):
        return e
    return real if numerically_equal(real, e) else e
