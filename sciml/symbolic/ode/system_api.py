"""Systems of equations for `dsolve`: reading them, and their result."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sciml.errors import InputError
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.parser import parse
from sciml.symbolic.expr.printing import from_sympy, latex, symbols_of, to_sympy
from sciml.symbolic.expr.symbols import reserved
from sciml.symbolic.expr.wire import load
from sciml.symbolic.integration.api import check_timeout, constant_names, read, variable_name
from sciml.symbolic.jobs import SystemJob
from sciml.symbolic.verification.result import Result
from sciml.symbolic.worker import Worker, shared


@dataclass(frozen=True)
class SystemResult(Result):
    """The solution of a system; `expression` is that of the first function.

    Attributes:
        solutions: the expression of each function, by its name.
    """

    solutions: Mapping[str, Expr] = field(default_factory=dict, kw_only=True)

    @property
    def exprs(self) -> dict[str, Any]:
        """The solutions in SymPy; c1, c2, ... are C1, C2, ... there."""
        from sciml.symbolic.ode.api import with_sympy_constants

        return {
            name: with_sympy_constants(to_sympy(e, self.symbols))
            for name, e in self.solutions.items()
        }

    def __str__(self) -> str:
        if not self.solutions:
            return super().__str__()
        return "; ".join(f"{name} = {e}" for name, e in self.solutions.items())

    def latex(self) -> str:
        rows = r" \\ ".join(f"{name} &= {latex(e)}" for name, e in self.solutions.items())
        return rf"\begin{{aligned}} {rows} \end{{aligned}}" if rows else ""

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), "solutions": {k: str(v) for k, v in self.solutions.items()}}


def read_equation(problem: Any, functions: Sequence[str], variable: str) -> Expr:
    """The residual of one equation of a system; x, x', x'' become symbols of these names.

    Raises:
        InputError: for anything but text, SymPy's Eq or an expression.
    """
    if isinstance(problem, Expr):
        return problem
    if isinstance(problem, str):
        return _from_text(problem, functions, variable)
    import sympy as sp
    from sympy.core.function import AppliedUndef

    if isinstance(problem, sp.Equality):
        problem = problem.lhs - problem.rhs
    if not isinstance(problem, sp.Expr):
        raise InputError(f"an equation must be text or SymPy, got {type(problem).__name__}")
    unknown = {f: sp.Symbol(f.func.__name__) for f in problem.atoms(AppliedUndef)
               if f.func.__name__ in functions}  # fmt: skip
    slopes = {d: sp.Symbol(d.expr.func.__name__ + "'" * int(d.derivative_count))
              for d in problem.atoms(sp.Derivative) if d.expr in unknown}  # fmt: skip
    return from_sympy(problem.xreplace(slopes).xreplace(unknown))


_MARK = "__D"


def _from_text(text: str, functions: Sequence[str], variable: str) -> Expr:
    from sciml.symbolic.expr import expression as ex

    if "\\" in text:
        raise InputError("the equations of a system are read as plain text, not LaTeX",
                         hint="Write x' = y.")  # fmt: skip
    names = "|".join(map(re.escape, functions))
    x = re.escape(variable)
    text = re.sub(rf"\b({names})('*)\(\s*{x}\s*\)", r"\1\2", text)
    text = re.sub(rf"\bd({names})\s*/\s*d{x}\b", r"\1'", text)
    text = re.sub(rf"\bd(?:\^|\*\*)2\s*({names})\s*/\s*d{x}(?:\^|\*\*)2", r"\1''", text)
    text = re.sub(rf"\b(?:Derivative|diff)\(\s*({names})\s*((?:,\s*{x}\s*)+)\)",
                  lambda m: m[1] + "'" * m[2].count(","), text)  # fmt: skip
    text = re.sub(rf"\b({names})('+)", lambda m: f"{m[1]}{_MARK}{len(m[2])}", text)
    left, _, right = text.partition("=")
    if "=" in right:
        raise InputError("an equation has two sides", where=text)
    residual = parse(left) - parse(right or "0")
    back: dict[Expr, ex.ExprLike] = {}
    for name in residual.free:
        match = re.fullmatch(rf"(.+){_MARK}(\d+)", name)
        if match:
            back[ex.symbol(name)] = ex.symbol(match[1] + "'" * int(match[2]))
    return ex.substitute(residual, back)


def dsolve_system(
    equations: Sequence[Any], functions: Any, variable: Any, ics: Mapping[Any, Any] | None,
    constants: Collection[Any], timeout: float, worker: Worker | None,
) -> SystemResult:  # fmt: skip
    """Solve a system; arguments as of `dsolve`.

    Raises:
        InputError: as `dsolve`, and for another number of functions than of equations.
    """
    from sciml.symbolic.ode.api import read_conditions

    started = time.perf_counter()
    check_timeout(timeout)
    if functions is None or isinstance(functions, str):
        functions = (functions or "").replace(",", " ").split()
    names = [variable_name(getattr(getattr(f, "func", f), "__name__", f)) or "" for f in functions]
    if len(names) != len(equations) or len(set(names)) != len(names):
        raise InputError(f"{len(equations)} equations need as many functions, got {names}",
                         hint='Name them: ["x", "y"].')  # fmt: skip
    arguments = {a for f in functions for a in getattr(f, "args", ())}
    if variable is None and len(arguments) == 1:
        (variable,) = arguments
    t, named = variable_name(variable) or "t", constant_names(constants)
    for name in (t, *names, *named):
        if reserved(name):
            raise InputError(f"{name!r} cannot be a symbol: it is a function or a number here")
    residuals = tuple(read_equation(e, names, t) for e in equations)
    conditions = []
    for key, value in (ics or {}).items():
        for name in names:
            if str(key).replace(" ", "").startswith((f"{name}(", f"{name}'")) or (
                not isinstance(key, str) and re.search(rf"\b{re.escape(name)}\(", str(key))
            ):
                ((order, at, b),) = read_conditions({key: value}, name, t)
                conditions.append((name + "'" * order, at, b))
                break
        else:
            read(value)
            raise InputError(f"{key!r} is no value of {', '.join(names)}")
    allowed = {t, *named}
    symbols = {n for e in residuals for n in e.free} | {
        n for _, a, b in conditions for n in a.free | b.free
    }
    extra = sorted(n for n in symbols if n.rstrip("'") not in names and n not in allowed)
    if extra:
        raise InputError(f"unknown symbol {extra[0]!r}",
                         hint=f"Name it as a constant: constants={extra!r}.")  # fmt: skip
    if any(re.fullmatch(r"c[1-9]", n) for n in (*symbols, t)):
        raise InputError("c1, c2, ... are the solution's constants: rename those of the equations")
    job = SystemJob(residuals[0], t, timeout, equations=residuals, functions=tuple(names),
                    conditions=tuple(conditions))  # fmt: skip
    message, _ = (worker or shared()).ask(job, timeout)
    if message is None:
        message = {"status": "timeout", "how": "the time ran out"}
    if message["status"] == "refused":
        raise InputError(message["how"], hint=message.get("hint"))
    answers = {k: load(v) for k, v in message.get("answers", {}).items()}
    return SystemResult(
        "; ".join(map(str, residuals)), answers.get(names[0]), message["status"],
        message.get("method", ""), message.get("how", ""), message.get("holds", ""),
        time.perf_counter() - started, symbols_of(*equations), solutions=answers,
    )  # fmt: skip
