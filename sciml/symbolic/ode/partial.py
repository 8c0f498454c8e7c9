"""Linear partial differential equations of first order in two variables, a u_x + b u_y + c u = d.

The characteristics y' = b/a have the invariant xi(x, y); along one of them the equation is an
ordinary one. Its solution is u = A F(xi) + B with any function F. The three identities
a xi_x + b xi_y = 0, a A_x + b A_y + c A = 0 and a B_x + b B_y + c B = d are proved, or sampled.

Source: R. Courant and D. Hilbert, "Methods of Mathematical Physics", volume II, chapter I, 5.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from sciml.errors import InputError
from sciml.symbolic.algebra.rewriting import invert
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import TimeUp, at_most, now
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.parser import parse
from sciml.symbolic.expr.printing import from_sympy, latex, symbols_of
from sciml.symbolic.expr.symbols import reserved
from sciml.symbolic.expr.wire import dump, load
from sciml.symbolic.integration.api import TIMEOUT, check_timeout, constant_names, variable_name
from sciml.symbolic.integration.search import ERRORS
from sciml.symbolic.jobs import PartialJob
from sciml.symbolic.ode.first_order import FIRST_ORDER_METHODS
from sciml.symbolic.ode.tools import Context, is_independent, numerically_equal, tidy
from sciml.symbolic.verification.proving import prove_identity
from sciml.symbolic.verification.result import Result
from sciml.symbolic.worker import Worker, shared

_PROOF_SECONDS = 2.0


@dataclass(frozen=True)
class PartialResult(Result):
    """A general solution u = factor * F(invariant) + particular with an arbitrary function F;
    `expression` holds the symbol F in the place of F(invariant).

    Attributes:
        factor, invariant, particular: its parts; None where there is no answer.
    """

    factor: Expr | None = field(default=None, kw_only=True)
    invariant: Expr | None = field(default=None, kw_only=True)
    particular: Expr | None = field(default=None, kw_only=True)

    def __str__(self) -> str:
        if self.expression is None:
            return super().__str__()
        return re.sub(r"\bF\b", f"F({self.invariant})", str(self.expression))

    @property
    def expr(self) -> Any:
        """The solution in SymPy, with its function F."""
        import sympy as sp

        e = Result.expr.fget(self)  # type: ignore[attr-defined]
        if e is None or self.invariant is None:
            return None
        from sciml.symbolic.expr.printing import to_sympy

        inner = to_sympy(self.invariant, self.symbols)
        return e.xreplace({sp.Symbol("F"): sp.Function("F")(inner)})

    def latex(self) -> str:
        if self.expression is None or self.invariant is None:
            return ""
        inner = rf"F\left({latex(self.invariant)}\right)"
        return re.sub(
            r"(?<![A-Za-z\\])\{?F\}?(?![A-Za-z])", lambda m: inner, latex(self.expression)
        )


def pdsolve(
    equation: Any, function: Any = "u", variables: Any = ("x", "y"), *,
    constants: Collection[Any] = (), timeout: float = TIMEOUT, worker: Worker | None = None,
) -> PartialResult:  # fmt: skip
    """The general solution of a linear partial differential equation of first order.

    Args:
        equation: ``"u_x + c*u_y = 0"``, or SymPy's Eq or expression with u(x, y).
        function: the name of the unknown function.
        variables: the names of its two variables.
        constants: names of symbols that stand for constants.
        timeout: seconds.
        worker: the process to work in.

    Raises:
        InputError: for equations that are not linear, of higher order, or with other symbols.
    """
    started = time.perf_counter()
    check_timeout(timeout)
    u = variable_name(getattr(getattr(function, "func", function), "__name__", function)) or "u"
    x, y = (variable_name(v) or "" for v in variables)
    named = constant_names(constants)
    for name in (u, x, y, *named):
        if reserved(name) or name == "F":
            raise InputError(f"{name!r} cannot be a symbol here")
    residual = _read(equation, u, x, y)
    extra = sorted(residual.free - {u, x, y, f"{u}_{x}", f"{u}_{y}", *named})
    if extra:
        raise InputError(f"unknown symbol {extra[0]!r}",
                         hint=f"Name it as a constant: constants={extra!r}. Derivatives are "
                         f"{u}_{x} and {u}_{y}.")  # fmt: skip
    job = PartialJob(residual, x, timeout, function=u, other=y)
    message, _ = (worker or shared()).ask(job, timeout)
    if message is None:
        message = {"status": "timeout", "how": "the time ran out"}
    if message["status"] == "refused":
        raise InputError(message["how"], hint=message.get("hint"))
    factor, invariant, particular = (
        load(message[k]) if message.get(k) else None for k in ("factor", "invariant", "particular")
    )
    answer = None
    if factor is not None and particular is not None:
        answer = factor * ex.symbol("F") + particular
    return PartialResult(
        str(residual), answer, message["status"], message.get("method", ""),
        message.get("how", ""), message.get("holds", ""), time.perf_counter() - started,
        symbols_of(equation), factor=factor, invariant=invariant, particular=particular,
    )  # fmt: skip


def _read(equation: Any, u: str, x: str, y: str) -> Expr:
    if isinstance(equation, str):
        left, _, right = equation.partition("=")
        return parse(left) - parse(right or "0")
    import sympy as sp
    from sympy.core.function import AppliedUndef

    if isinstance(equation, sp.Equality):
        equation = equation.lhs - equation.rhs
    if not isinstance(equation, sp.Expr):
        raise InputError(f"an equation must be text or SymPy, got {type(equation).__name__}")
    slopes = {}
    for d in equation.atoms(sp.Derivative):
        if int(d.derivative_count) != 1:
            raise InputError("equations of first order are solved")
        slopes[d] = sp.Symbol(f"{u}_{d.variables[0].name}")
    plain = equation.xreplace(slopes)
    functions = {f: sp.Symbol(u) for f in plain.atoms(AppliedUndef) if f.func.__name__ == u}
    return from_sympy(plain.xreplace(functions))


# ------------------------------------------------------------------ in the worker process
def solve_partial(job: PartialJob) -> dict[str, Any]:
    """The message with the three parts of the solution."""
    end = now() + job.timeout
    try:
        with at_most(job.timeout):
            coefficients = _coefficients(job)
            for parts in _proposals(*coefficients, job, end):
                status = _confirm(parts, *coefficients, job)
                if status:
                    names = ("invariant", "factor", "particular")
                    return {"status": status, "method": "characteristics",
                            "how": "symbolic" if status == "verified" else "at complex points",
                            **{k: dump(v) for k, v in zip(names, parts, strict=True)}}  # fmt: skip
    except TimeUp:
        return {"status": "timeout", "how": "the time ran out"}
    except InputError as error:
        return {"status": "refused", "how": error.what, "hint": error.hint}
    except ERRORS:
        pass
    return {"status": "no_answer", "how": "the characteristics were not found in closed form"}


def _coefficients(job: PartialJob) -> tuple[Expr, Expr, Expr, Expr]:
    u, x, y = job.function, job.variable, job.other
    names = [f"{u}_{x}", f"{u}_{y}", u]
    zero: dict[Expr, ex.ExprLike] = {ex.symbol(n): ex.ZERO for n in names}
    out = []
    for name in names:
        a = tidy(job.f.diff(name))
        if not all(is_independent(a, other) for other in names):
            raise InputError("the equation must be linear in the function and its derivatives")
        out.append(ex.substitute(a, zero))
    a, b, c = out
    if a is ex.ZERO and b is ex.ZERO:
        raise InputError(f"there is no derivative: write {names[0]} and {names[1]}")
    return a, b, c, tidy(-ex.substitute(job.f, zero))


def _proposals(
    a: Expr, b: Expr, c: Expr, d: Expr, job: PartialJob, end: float
) -> Iterator[tuple[Expr, Expr, Expr]]:
    """(invariant, factor, particular)."""
    x, y = job.variable, job.other
    if a is ex.ZERO:
        x, y, a, b = y, x, b, a
    context = Context(x, y, end)
    for Y, xi in _characteristics(tidy(b / a), context):
        on_curve = {ex.symbol(y): Y}
        p, q = (tidy(ex.substitute(e / a, on_curve)) for e in (c, d))
        exponent = ex.ZERO if p is ex.ZERO else context.integral(p, x)
        if exponent is None:
            continue
        factor = tidy(ex.call("exp", -exponent))
        forced = ex.ZERO if q is ex.ZERO else context.integral(tidy(q / factor), x)
        if forced is None:
            continue
        back = {ex.symbol("c1"): xi}
        yield xi, tidy(ex.substitute(factor, back)), tidy(ex.substitute(factor * forced, back))


def _characteristics(slope: Expr, context: Context) -> Iterator[tuple[Expr, Expr]]:
    """(Y, xi): the curves y = Y(x, c1), and c1 as a function xi of x and y."""
    if slope is ex.ZERO:
        yield ex.symbol("c1"), context.sy
        return
    for method in FIRST_ORDER_METHODS:
        try:
            for kind, Y, _ in method(slope, context):
                xi = invert(Y, "c1", context.sy) if kind == "explicit" else None
                if xi is not None:
                    yield Y, tidy(xi)
        except ERRORS:
            continue


def _confirm(
    parts: tuple[Expr, Expr, Expr], a: Expr, b: Expr, c: Expr, d: Expr, job: PartialJob
) -> str:
    xi, factor, particular = parts
    x, y = job.variable, job.other

    def applied(e: Expr, with_c: bool) -> Expr:
        return a * e.diff(x) + b * e.diff(y) + (c * e if with_c else ex.ZERO)

    if not xi.free & {x, y} or "c1" in xi.free | factor.free | particular.free:
        return ""
    residuals = [applied(xi, False), applied(factor, True), applied(particular, True) - d]
    if not all(numerically_equal(r, ex.ZERO) for r in residuals):
        return ""
    proved = all(r is ex.ZERO or prove_identity(r, ex.ZERO, x, None, _PROOF_SECONDS).holds
                 for r in residuals)  # fmt: skip
    return "verified" if proved else "sampled"
