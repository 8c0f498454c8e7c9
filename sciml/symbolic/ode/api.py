"""`dsolve`: reads the equation, solves it in a process that can be killed, returns the result."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from sciml.errors import InputError
from sciml.symbolic.algebra.powers import as_powers, excluded_constants
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.parser import Unknown, parse
from sciml.symbolic.expr.printing import symbols_of, to_sympy
from sciml.symbolic.expr.symbols import ambiguity_hint, reserved
from sciml.symbolic.expr.wire import load
from sciml.symbolic.integration.api import (
    TIMEOUT,
    check_timeout,
    constant_names,
    read,
    variable_name,
)
from sciml.symbolic.jobs import DsolveJob
from sciml.symbolic.neural.shipped import model_path
from sciml.symbolic.ode.solver import order_of
from sciml.symbolic.verification.result import Result
from sciml.symbolic.worker import Worker, shared

MAX_ORDER = 6
"""Highest order of an equation."""


@dataclass(frozen=True)
class Solution:
    """A further solution: y = expression or, if `implicit`, expression(x, y) = c1. It is checked in
    the equation like the first one. Attributes as of `Result`."""

    expression: Expr
    implicit: bool
    status: str
    how: str
    holds: str
    symbols: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def expr(self) -> Any:
        """The expression in SymPy; c1, c2, ... are C1, C2, ... there."""
        return with_sympy_constants(to_sympy(self.expression, self.symbols))

    def __str__(self) -> str:
        return f"{self.expression} = c1" if self.implicit else str(self.expression)


def with_sympy_constants(e: Any) -> Any:
    """A SymPy expression with c1, c2, ... renamed to C1, C2, ..., as SymPy's dsolve writes them."""
    import sympy as sp

    return e.xreplace({sp.Symbol(f"c{k}"): sp.Symbol(f"C{k}") for k in range(1, MAX_ORDER + 1)})


@dataclass(frozen=True)
class OdeResult(Result):
    """A solution: y = expression or, if `implicit`, expression(x, y) = c1.

    c1, c2, ... are the constants of integration.

    Attributes:
        function, variable: the names of y and x.
        implicit: the form of the solution.
        others: other branches of the general solution.
        singular: solutions that the general one does not contain for any value of its constants.
            If more solutions of either kind may exist, `note` says so.
    """

    function: str = "y"
    variable: str = "x"
    implicit: bool = False
    others: tuple[Solution, ...] = field(default=(), kw_only=True)
    singular: tuple[Solution, ...] = field(default=(), kw_only=True)

    def further(self) -> list[str]:
        """One line for each other branch and singular solution."""
        return [
            f"{kind}: {solution}" + (f"  ({solution.holds})" if "only" in solution.holds else "")
            for kind, several in (("another branch", self.others), ("singular", self.singular))
            for solution in several
        ]

    @property
    def expr(self) -> Any:
        """In SymPy: the expression of y(x), or Eq(G(x, y(x)), C1) for an implicit solution."""
        import sympy as sp

        answer = Result.expr.fget(self)  # type: ignore[attr-defined]
        if answer is None:
            return None
        answer = with_sympy_constants(answer)
        if not self.implicit:
            return answer
        x = self.symbols.get(self.variable) or sp.Symbol(self.variable)
        f = sp.Function(self.function)
        return sp.Eq(answer.xreplace({sp.Symbol(self.function): f(x)}), sp.Symbol("C1"))

    def __str__(self) -> str:
        text = super().__str__()
        return f"{text} = c1" if self.implicit and self.expression is not None else text

    def latex(self) -> str:
        if self.expression is None:
            return ""
        import sympy as sp

        return str(sp.latex(self.expr))

    def as_dict(self) -> dict[str, Any]:
        out = super().as_dict()
        out["implicit"] = self.implicit
        for name, several in (("others", self.others), ("singular", self.singular)):
            out[name] = [
                {"expr": str(s), "implicit": s.implicit, "status": s.status, "how": s.how,
                 "holds": s.holds} for s in several
            ]  # fmt: skip
        if self.expression is not None:
            out["expr"] = str(self)
        return out


def _function_and_variable(problem: Any, function: Any, variable: Any) -> tuple[str, str]:
    """The names of the unknown function and of its variable; if left out, those of the only
    function of an equation in SymPy, or y and x."""
    name = getattr(getattr(function, "func", function), "__name__", function)
    functions = [function] if hasattr(function, "args") else []
    if not functions and hasattr(problem, "atoms"):
        from sympy.core.function import AppliedUndef

        functions = [f for f in problem.atoms(AppliedUndef) if name in (None, f.func.__name__)]
    if name is None and len({f.func for f in functions}) == 1:
        name = functions[0].func.__name__
    variables = {f.args[0] for f in functions if getattr(f.args[0], "is_Symbol", False)}
    if variable is None and len(variables) == 1:
        (variable,) = variables
    return variable_name(name) or "y", variable_name(variable) or "x"


def read_ode(problem: Any, function: str, variable: str) -> Expr:
    """The residual of an equation given as text, or as Eq or expression in SymPy.

    y, y', y'' become symbols of these names.
    """
    if isinstance(problem, Expr):
        return problem
    if isinstance(problem, str):
        return parse(problem, unknown=Unknown(function, variable))
    import sympy as sp

    from sciml.symbolic.expr.printing import from_sympy

    if isinstance(problem, sp.Equality):
        problem = problem.lhs - problem.rhs
    if not isinstance(problem, sp.Expr):
        raise InputError(f"an equation must be text or SymPy, got {type(problem).__name__}")
    from sympy.core.function import AppliedUndef

    x = symbols_of(problem).get(variable, sp.Symbol(variable))
    functions = {f: sp.Symbol(function) for f in problem.atoms(AppliedUndef)
             if f.func.__name__ == function and f.args == (x,)}  # fmt: skip
    slopes = {d: sp.Symbol(function + "'" * int(d.derivative_count))
              for d in problem.atoms(sp.Derivative) if d.expr in functions}  # fmt: skip
    return from_sympy(problem.xreplace(slopes).xreplace(functions))


def read_conditions(
    ics: Mapping[Any, Any] | None, function: str, variable: str
) -> tuple[tuple[int, Expr, Expr], ...]:
    """Conditions (k, a, b): the k-th derivative of the function is b at a.

    Raises:
        InputError: for a key that is not a value of the function or of a derivative.
    """
    out = []
    for key, value in (ics or {}).items():
        order, place = _value_of(key, function, variable)
        out.append((order, read(place), read(value)))
    for _, a, b in out:
        if variable in a.free | b.free or function in a.free | b.free:
            raise InputError(
                f"a condition contains {variable} or {function}",
                hint="Conditions are at one point, with constants as values.",
            )
    return tuple(out)


def _value_of(key: Any, function: str, variable: str) -> tuple[int, Any]:
    """(k, a) of y^(k)(a), as text or in SymPy."""
    hint = f"Write {function}(0) or {function}'(0)."
    if isinstance(key, str):
        match = re.fullmatch(rf"\s*{re.escape(function)}\s*('*)\s*\((.+)\)\s*", key)
        if match is None:
            raise InputError(f"{key!r} is no value of {function}", hint=hint)
        return len(match[1]), match[2]
    import sympy as sp

    order = 0
    if isinstance(key, sp.Subs) and isinstance(key.expr, sp.Derivative):
        order, (place,) = int(key.expr.derivative_count), key.point
        inner = key.expr.expr
    elif len(getattr(key, "args", ())) == 1:
        place, inner = key.args[0], key
    else:
        raise InputError(f"{key} is no value of {function}", hint=hint)
    if getattr(getattr(inner, "func", None), "__name__", "") != function:
        raise InputError(f"{key} is no value of {function}", hint=hint)
    return order, place


def dsolve(
    ode: Any,
    function: Any = None,
    variable: Any = None,
    *,
    ics: Mapping[Any, Any] | None = None,
    constants: Collection[Any] = (),
    timeout: float = TIMEOUT,
    rules: bool = True,
    model: str | os.PathLike[str] | None = "auto",
    sympy: bool = True,
    terms: int | None = None,
    worker: Worker | None = None,
) -> Any:
    """Solve an ordinary differential equation of first or second order, a linear one with constant
    coefficients of any order up to 6, or a system of linear ones with constant coefficients.

    Args:
        ode: ``"y'' + y = x"``, ``"Derivative(y(x), x) - y(x)"``, SymPy's Eq or expression. A list
            of these is a system, ``dsolve(["x' = y", "y' = -x"], ["x", "y"], "t")``, with as many
            functions.
        function: the name of the unknown function, or SymPy's f(t); left out, it is y, or the only
            function of an equation in SymPy.
        variable: the name of its variable; left out, it is x, or the t of f(t).
        ics: initial or boundary values, ``{"y(0)": 1, "y'(0)": "v"}`` or as SymPy's dsolve takes
            them, ``{f(0): 1, f(x).diff(x).subs(x, 0): v}``.
        constants: names of symbols that stand for constants; any other symbol is refused. c1, c2,
            ... are reserved for the solution.
        timeout: seconds.
        rules: whether to use this package's own methods.
        model: the trained network that proposes solutions if the rules fail: a name or a path
            (`sciml run symbolic_math` with ode1 or ode2 among its `shares` trains one), ``"auto"``
            for the one shipped for equations (none so far), None for no network.
        sympy: whether to try SymPy's dsolve when both fail.
        terms: ask for a power series instead, with the terms below this power, about the point of
            the conditions or 0; what comes back is said to be a series.
        worker: the process to work in.

    Returns:
        An `OdeResult`; for a system a `SystemResult`, with ``.solutions`` by function.

    Raises:
        InputError: for text that is not an equation or a condition, unknown symbols, an order
            beyond 6.
    """
    if isinstance(ode, (list, tuple)):
        from sciml.symbolic.ode.system_api import dsolve_system

        return dsolve_system(ode, function, variable, ics, constants, timeout, worker)
    started = time.perf_counter()
    name, x = _function_and_variable(ode, function, variable)
    check_timeout(timeout)
    residual, named = read_ode(ode, name, x), constant_names(constants)
    for symbol in (x, name, *named):
        if reserved(symbol):
            raise InputError(f"{symbol!r} cannot be a symbol: it is a function or a number here")
    if terms is not None and not 1 <= terms <= 30:
        raise InputError(f"terms must be 1 to 30, got {terms}")
    conditions = read_conditions(ics, name, x)
    order = order_of(residual, name)
    own = {f"c{k}" for k in range(1, max(order, 2) + 1)}
    valued = frozenset().union(*(e.free for _, a, b in conditions for e in (a, b)))
    if own & {x, name, *residual.free, *named, *valued}:
        raise InputError("c1 and c2 are the solution's constants: rename those of the equation")
    slopes = {name + "'" * k for k in range(1, MAX_ORDER + 1)}
    allowed = {x, name, *slopes, *named}
    unknown_in_conditions = sorted(valued - {*named})
    if unknown_in_conditions:
        raise InputError(
            f"unknown symbol {unknown_in_conditions[0]!r} in a condition",
            hint=f"Name it as a constant: constants={unknown_in_conditions!r}.",
        )
    extra = sorted(residual.free - allowed)
    if order == 0:
        raise InputError(f"there is no derivative of {name!r} in the equation",
                         hint=f"Write {name}' or d{name}/d{x}, or name the function.")  # fmt: skip
    if order > MAX_ORDER:
        raise InputError(f"equations up to order {MAX_ORDER} are solved, this is of order {order}")
    if any(k >= order for k, _, _ in conditions):
        raise InputError(
            f"a condition holds a derivative of order {order} or higher",
            hint="Conditions are on lower derivatives than the equation's.",
        )
    if extra:
        raise InputError(
            f"unknown symbol {extra[0]!r}",
            hint=" ".join(
                filter(
                    None, (ambiguity_hint(extra[0]), f"Name it as a constant: constants={extra!r}.")
                )
            ),
        )
    job = DsolveJob(
        residual, x, timeout, model_path(model, "dsolve"), rules, function=name, sympy=sympy,
        conditions=conditions, terms=terms or 0,
    )  # fmt: skip
    message, before = (worker or shared()).ask(job, timeout)
    if message is None:
        message = before[-1] if before else {"status": "timeout", "how": "the time ran out"}
    if message["status"] == "refused":
        raise InputError(message["how"], hint=message.get("hint"))
    answer = load(message["answer"]) if message.get("answer") else None
    symbols = symbols_of(ode, variable)
    others, singular = (
        tuple(Solution(as_powers(load(s["answer"])), s["kind"] == "implicit", s["status"], s["how"],
                       s["holds"], symbols) for s in message.get(key, ()))
        for key in ("others", "singular")
    )  # fmt: skip
    note = message.get("note", "")
    if answer is not None:
        names = {x, name, *slopes, *own}
        note = "; ".join(filter(None, (excluded_constants(answer, residual, names), note)))
        answer = as_powers(answer)
    return OdeResult(
        str(residual), answer, message["status"], message.get("method", ""),
        message.get("how", ""), message.get("holds", ""), time.perf_counter() - started,
        symbols, name, x, message.get("kind") == "implicit",
        note=note, others=others, singular=singular,
    )  # fmt: skip
