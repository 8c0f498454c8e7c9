"""Ordinary differential equations of first and second order: isolate, try, substitute back.

Every proposal of `ode_first` and `ode_second` is put back into the equation and its residual is
evaluated in ball arithmetic at random values of the variable and the constants; SymPy's dsolve is
asked last, and the method says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from sciml.symbolic import expression as ex
from sciml.symbolic.algebra import together
from sciml.symbolic.clock import now
from sciml.symbolic.expression import Expr
from sciml.symbolic.ode_check import check_explicit, check_implicit
from sciml.symbolic.ode_first import METHODS, Context, Proposal, exact, solve_for, tidy
from sciml.symbolic.ode_second import METHODS_SECOND
from sciml.symbolic.ode_substitution import transformed, transformed_second, transformed_swapped
from sciml.symbolic.wire import dump, load

_ERRORS = (ex.TooLarge, ex.Undefined, RecursionError, OverflowError, ZeroDivisionError)


def order_of(residual: Expr, y: str) -> int:
    """The order of the highest derivative."""
    return max((name.count("'") for name in residual.free if name.rstrip("'") == y), default=0)


def _isolated(residual: Expr, name: str) -> list[Expr]:
    """The highest derivative from residual = 0: linear, quadratic, or occurring once."""
    top = ex.symbol(name)
    slope = residual.diff(name)
    if name not in slope.free:
        return [tidy(-ex.substitute(residual, {top: ex.ZERO}) / slope)]
    tidied = tidy(slope)
    if name not in tidied.free:
        return [tidy(-ex.substitute(tidy(residual), {top: ex.ZERO}) / tidied)]
    return [tidy(f) for f in solve_for(residual, top, ex.ZERO)]


def _factors(residual: Expr, name: str) -> list[Expr]:
    """The factors of the equation in which the highest derivative occurs."""
    whole = together(residual)
    parts = whole.args if whole.op == "mul" else (whole,)
    found = [
        part.args[0] if part.op == "pow" else part
        for part in parts
        if name in part.free and not (part.op == "pow" and ex.negative(part.args[1]))
    ]
    return found if len(found) > 1 else [residual]


def _clairaut(residual: Expr, c: Context) -> Iterator[Proposal]:
    """y = x p + g(p): lines with p = c1; and p = a constant root in general."""
    p = ex.symbol(c.y + "'")
    for y_of in solve_for(residual, c.sy, ex.ZERO):
        rest = tidy(y_of - c.sx * p)
        if c.x not in rest.free:
            yield (
                "explicit",
                c.sx * ex.symbol("c1") + ex.substitute(rest, {p: ex.symbol("c1")}),
                "Clairaut",
            )
        else:
            yield from _lagrange(y_of, p, c)


def _lagrange(y_of: Expr, p: Expr, c: Context) -> Iterator[Proposal]:
    """y = x f(p) + g(p): linear in x as a function of p; explicit where p can be eliminated."""
    from sciml.symbolic.ode_first import linear

    f = y_of.diff(c.x)
    if c.x in f.free:
        return
    g = tidy(y_of - c.sx * f)
    if c.x in g.free:
        return
    name = p.value
    turned = (f.diff(name) * c.sx + g.diff(name)) / (p - f)
    inner = Context(name, c.x, c.deadline)
    for _, x_of, _ in linear(tidy(turned), inner):
        for p_of in solve_for(x_of, p, c.sx):
            yield "explicit", tidy(ex.substitute(y_of, {p: p_of})), "Lagrange"


def proposals(residual: Expr, c: Context, order: int) -> Iterator[Proposal]:
    """Solutions worth checking, in the order of the methods."""
    name = c.y + "'" * order
    methods = METHODS if order == 1 else METHODS_SECOND
    forms = [F for factor in _factors(residual, name) for F in _isolated(factor, name)]
    for method in methods:
        for F in forms[:3]:
            if c.left() < 0:
                return
            try:
                yield from method(F, c)
            except _ERRORS:
                continue
    if order == 1:
        p = ex.symbol(name)
        try:
            for F in forms[:2]:
                pieces = tidy(F)
                below = ex.ONE
                for factor in pieces.args if pieces.op == "mul" else (pieces,):
                    if (
                        factor.op == "pow"
                        and factor.args[1].op == "num"
                        and factor.args[1].value < 0
                    ):
                        below = below / factor
                yield from exact(tidy(-F * below), below, c)
                yield from exact(-F, ex.ONE, c)
            if p.value in residual.diff(name).free:
                yield from _clairaut(residual, c)
        except _ERRORS:
            pass


def substituted(residual: Expr, c: Context, order: int) -> Iterator[Proposal]:
    """Further solutions, by a new unknown function."""
    name = c.y + "'" * order
    forms = [F for factor in _factors(residual, name) for F in _isolated(factor, name)]
    for F in forms[:2]:
        if order == 2:
            yield from transformed_second(F, c, METHODS_SECOND[:4])
            continue
        yield from transformed(F, c)
        yield from transformed_swapped(F, c)


def solve_job(job: dict[str, Any], send: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Solve residual = 0 in the worker."""
    residual, x, y = load(job["f"]), job["variable"], job["function"]
    order = order_of(residual, y)
    started = now()
    end = started + job["timeout"]
    best: dict[str, Any] | None = None
    if job.get("rules", True) and order in (1, 2):
        share = 0.6 if job.get("sympy", True) else 0.85 if job.get("model") else 0.95
        c = Context(x, y, started + share * job["timeout"])
        for stage in (proposals, substituted):
            for answer in _checked(residual, x, y, order, stage(residual, c, order)):
                if _rank(answer) == 3:
                    return answer
                if best is None or _rank(answer) > _rank(best):
                    best = answer
                    send(answer)
                if now() > c.deadline:
                    break
            if best is not None and _rank(best) == 2:
                return best
    if best is not None and best["status"] == "verified":
        return best
    if job.get("model") and order in (1, 2) and now() < end:
        for answer in _checked(residual, x, y, order, _guesses(residual, x, y, order, job)):
            if answer["status"] == "verified":
                return answer
            best = best or answer
    if job.get("sympy", True) and now() < end:
        for answer in _checked(residual, x, y, order, _sympy(residual, x, y, order)):
            if answer["status"] == "verified":
                return answer
            best = best or answer
    if best is not None:
        return best
    late = now() - started > 0.9 * job["timeout"]
    return {"status": "timeout" if late else "no_answer"}


def _guesses(residual: Expr, x: str, y: str, order: int, job: dict[str, Any]) -> Iterator[Proposal]:
    """Solutions that a network proposes."""
    from sciml.symbolic.model import solutions  # torch is loaded only where the rules failed

    found = solutions(job["model"], residual, x, y, order, job.get("beam", 10))
    for number, answer in enumerate(found, 1):
        yield "explicit", answer, f"neural, hypothesis {number}"


def _rank(answer: dict[str, Any]) -> int:
    """3: verified, explicit and real; 2: verified and implicit; 1: verified with complex values."""
    if answer["status"] != "verified":
        return 0
    if "complex" in answer["holds"]:
        return 1
    return 3 if answer["kind"] == "explicit" else 2


def _checked(
    residual: Expr, x: str, y: str, order: int, found: Iterator[Proposal]
) -> Iterator[dict[str, Any]]:
    seen: set[tuple[str, Expr]] = set()
    while True:
        try:
            kind, answer, method = next(found)
            if (kind, answer) in seen or ex.size(answer) > 4000:
                continue
            seen.add((kind, answer))
            if kind == "explicit":
                checked = check_explicit(residual, answer, x, y, order)
            elif order == 1:
                checked = check_implicit(residual, answer, x, y)
            else:
                continue
        except StopIteration:
            return
        except _ERRORS:
            continue
        if checked.status == "verified" or checked.points:
            yield {
                "answer": dump(answer), "kind": kind, "method": method, "status": checked.status,
                "how": checked.how, "holds": checked.holds,
            }  # fmt: skip


def _sympy(residual: Expr, x: str, y: str, order: int) -> Iterator[Proposal]:
    """Solutions by SymPy's dsolve."""
    import sympy as sp

    from sciml.errors import InputError
    from sciml.symbolic.printing import from_sympy, to_sympy

    sx, f = sp.Symbol(x), sp.Function(y)
    names = {sp.Symbol(y + "'" * k): sp.Derivative(f(sx), (sx, k)) for k in range(1, order + 1)}
    names[sp.Symbol(y)] = f(sx)
    equation = to_sympy(residual).xreplace(names)
    try:
        found = sp.dsolve(equation, f(sx))
    except (NotImplementedError, ValueError, TypeError, AttributeError, KeyError, IndexError,
            ZeroDivisionError, RecursionError, sp.PolynomialError):  # fmt: skip
        return
    back = {sp.Symbol("C1"): sp.Symbol("c1"), sp.Symbol("C2"): sp.Symbol("c2")}
    for solution in found if isinstance(found, list) else [found]:
        try:
            left, right = (side.xreplace(back) for side in (solution.lhs, solution.rhs))
            if left == f(sx):
                yield "explicit", from_sympy(right.doit()), "SymPy's dsolve"
                continue
            relation = from_sympy((left - right).doit().xreplace({f(sx): sp.Symbol(y)}))
        except (InputError, AttributeError):
            continue
        from sciml.symbolic.algebra import invert

        constant = invert(relation, "c1", ex.ZERO)
        if constant is not None:
            yield "implicit", constant, "SymPy's dsolve"
