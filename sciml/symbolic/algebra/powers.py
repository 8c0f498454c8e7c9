"""How answers are shown: x**n for exp(n*log(x)), and the values of the constants for which an
answer is undefined."""

from __future__ import annotations

from sciml.symbolic.algebra.rewriting import invert, together
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr

_ERRORS = (ex.TooLarge, ex.Undefined)


def as_powers(e: Expr) -> Expr:
    """exp(a + b*log(u)) as exp(a)*u**b, which is the same except for u = 0."""
    memo: dict[Expr, Expr] = {}
    for n in ex.subtrees(e):
        args = tuple(memo[a] for a in n.args)
        out = n if args == n.args else ex.rebuild(n, args)
        memo[n] = _power(out) if out.op == "exp" else out
    return memo[e]


def _power(e: Expr) -> Expr:
    u = e.args[0]
    rest: list[Expr] = []
    powers: list[Expr] = []
    for term in u.args if u.op == "add" else (u,):
        factors = term.args if term.op == "mul" else (term,)
        logs = [f for f in factors if f.op == "log"]
        exponent = ex.mul([f for f in factors if f.op != "log"])
        if len(logs) == 1 and exponent.free:
            powers.append(ex.power(logs[0].args[0], exponent))
        else:
            rest.append(term)
    return ex.mul([ex.call("exp", ex.add(rest)), *powers]) if powers else e


def excluded_constants(answer: Expr, problem: Expr, names: set[str]) -> str:
    """The values of constants for which the answer divides by zero and the problem does not, such
    as "not for n = -1" for x**(n + 1)/(n + 1); empty where there are none.

    Args:
        answer: the answer.
        problem: the problem.
        names: the variable and other symbols that are no constants.
    """
    allowed = set(_divisors(problem, names))
    divisors = [d for d in dict.fromkeys(_divisors(answer, names)) if d not in allowed]
    return f"not for {', '.join(sorted(map(_zero_of, divisors)))}" if divisors else ""


def _divisors(e: Expr, names: set[str]) -> list[Expr]:
    """Factors of denominators that depend on constants alone."""
    out = []
    for n in ex.subtrees(e):
        if n.op != "pow" or n.args[1].op != "num" or n.args[1].value > 0:
            continue
        base = n.args[0]
        if base.free and not base.free & names:
            product = together(base)
            factors = product.args if product.op == "mul" else (product,)
            for f in factors:
                if f.free and not (f.op == "pow" and ex.negative(f.args[1])):
                    out.append(f.args[0] if f.op == "pow" else f)
    return out


def _zero_of(divisor: Expr) -> str:
    """Where a divisor is 0, solved for its symbol where that is possible."""
    if len(divisor.free) == 1:
        (name,) = divisor.free
        try:
            value = invert(divisor, name, ex.ZERO)
        except _ERRORS:
            value = None
        if value is not None and not value.free:
            return f"{name} = {value}"
    return f"{divisor} = 0"
