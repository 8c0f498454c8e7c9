"""`limit`, `series`, `summation`, `product`, `solve`, `laplace`, `fourier` and their inverses.

An answer is `verified` (proved) or `sampled` (it agrees with numerical values of the thing itself);
what could not be confirmed is `no_answer`.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from sciml.errors import InputError
from sciml.symbolic.definite.integral import read_end
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import End
from sciml.symbolic.expr.printing import symbols_of, to_sympy
from sciml.symbolic.expr.symbols import check_symbols
from sciml.symbolic.expr.wire import load
from sciml.symbolic.integration.api import (
    TIMEOUT,
    check_timeout,
    constant_names,
    read,
    variable_name,
)
from sciml.symbolic.jobs import OperationJob
from sciml.symbolic.verification.result import Result
from sciml.symbolic.worker import Worker, shared

_MOST_TERMS = 50


@dataclass(frozen=True)
class OperationResult(Result):
    """The result of an operation; infinity is `oo`."""

    @property
    def expr(self) -> Any:
        """The answer in SymPy, with its infinity."""
        import sympy as sp

        answer = Result.expr.fget(self)  # type: ignore[attr-defined]
        return None if answer is None else answer.subs(sp.Symbol("oo"), sp.oo)

    def latex(self) -> str:
        """The answer in LaTeX; empty where there is none."""
        import sympy as sp

        return "" if self.expression is None else str(sp.latex(self.expr))


@dataclass(frozen=True)
class Solutions(Result):
    """The solutions of an equation; `expression` is the first.

    Attributes:
        solutions: all that were found and confirmed; `note` says whether there may be more.
    """

    solutions: tuple[Expr, ...] = field(default=(), kw_only=True)

    @property
    def exprs(self) -> list[Any]:
        """The solutions in SymPy."""
        return [to_sympy(e, self.symbols) for e in self.solutions]

    def __str__(self) -> str:
        return "; ".join(map(str, self.solutions)) if self.solutions else super().__str__()

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), "solutions": [str(e) for e in self.solutions]}


def limit(
    f: Any, variable: Any = None, at: Any = 0, *, side: str = "both",
    constants: Collection[Any] = (), timeout: float = TIMEOUT, worker: Worker | None = None,
) -> OperationResult:  # fmt: skip
    """The limit of f as the variable tends to `at`.

    Args:
        f: text, LaTeX or SymPy.
        variable: its variable.
        at: the point, or infinity.
        side: ``"both"``, ``"right"`` (from above) or ``"left"``.
        constants: names of symbols that stand for constants; they are taken to be positive.
        timeout: seconds.
        worker: the process to work in.

    Raises:
        InputError: for text that is not an expression, unknown symbols, an unknown side.
    """
    sides = {"both": 0, "right": 1, "left": -1, "+": 1, "-": -1}
    if side not in sides:
        raise InputError(f"side must be both, right or left, got {side!r}")
    settings = {"ends": (read_end(at, read),), "number": sides[side]}
    return OperationResult(*_ask("limit", f, variable, settings, constants, timeout, worker)[:-1])


def series(
    f: Any, variable: Any = None, at: Any = 0, terms: int = 6, *,
    constants: Collection[Any] = (), timeout: float = TIMEOUT, worker: Worker | None = None,
) -> OperationResult:  # fmt: skip
    """The terms of the series of f about `at` below the power `terms` of (variable - at). Arguments
    as of `limit`.

    Raises:
        InputError: as `limit`, and for a number of terms outside 1 to 50.
    """
    if not 1 <= terms <= _MOST_TERMS:
        raise InputError(f"terms must be 1 to {_MOST_TERMS}, got {terms}")
    point = read_end(at, read)
    if point.infinite:
        raise InputError("a series is about a finite point",
                         hint="Put 1/x for x, and 0 for infinity.")  # fmt: skip
    settings = {"ends": (point,), "number": terms}
    return OperationResult(*_ask("series", f, variable, settings, constants, timeout, worker)[:-1])


def summation(
    f: Any, variable: Any, low: Any, high: Any, *, constants: Collection[Any] = (),
    timeout: float = TIMEOUT, worker: Worker | None = None,
) -> OperationResult:  # fmt: skip
    """The sum of f for the variable from `low` to `high`, which may be symbols or infinity.
    Arguments and errors as of `limit`; the status may be ``diverges``."""
    return _added("summation", f, variable, low, high, constants, timeout, worker)


def product(
    f: Any, variable: Any, low: Any, high: Any, *, constants: Collection[Any] = (),
    timeout: float = TIMEOUT, worker: Worker | None = None,
) -> OperationResult:  # fmt: skip
    """The product of f for the variable from `low` to `high`; as `summation`."""
    return _added("product", f, variable, low, high, constants, timeout, worker)


def _added(
    operation: str, f: Any, variable: Any, low: Any, high: Any, constants: Collection[Any],
    timeout: float, worker: Worker | None,
) -> OperationResult:  # fmt: skip
    ends = read_end(low, read), read_end(high, read)
    named = set(constant_names(constants))
    named |= {name for e in ends if e.at is not None for name in e.at.free}
    settings = {"ends": ends}
    return OperationResult(
        *_ask(operation, f, variable, settings, sorted(named), timeout, worker)[:-1]
    )


def solve(
    equation: Any, variable: Any = None, *, constants: Collection[Any] = (),
    timeout: float = TIMEOUT, worker: Worker | None = None,
) -> Solutions:  # fmt: skip
    """The solutions of ``"left = right"``, of an expression = 0 or of SymPy's Eq, complex ones
    included. Arguments and errors as of `limit`."""
    if isinstance(equation, str) and equation.count("=") == 1:
        left, right = equation.split("=")
        equation = read(left) - read(right)
    elif hasattr(equation, "lhs") and hasattr(equation, "rhs"):
        equation = equation.lhs - equation.rhs
    *fields, message = _ask("solve", equation, variable, {}, constants, timeout, worker)
    return Solutions(*fields, note=message.get("note", ""),
                     solutions=tuple(load(e) for e in message.get("answers", ())))  # fmt: skip


def laplace(
    f: Any, variable: Any = "t", new: Any = "s", *, constants: Collection[Any] = (),
    timeout: float = TIMEOUT, worker: Worker | None = None,
) -> OperationResult:  # fmt: skip
    """Laplace's transform: the integral of f(t) exp(-s t) over t > 0. Arguments and errors as of
    `limit`; `new` is the variable of the transform."""
    settings = {"name": variable_name(new)}
    return OperationResult(*_ask("laplace", f, variable, settings, constants, timeout, worker)[:-1])


def fourier(
    f: Any, variable: Any = "x", new: Any = "w", *, constants: Collection[Any] = (),
    timeout: float = TIMEOUT, worker: Worker | None = None,
) -> OperationResult:  # fmt: skip
    """Fourier's transform in angular frequency: the integral of f(x) exp(-i w x) over the line.
    Arguments and errors as of `laplace`."""
    settings = {"name": variable_name(new)}
    return OperationResult(*_ask("fourier", f, variable, settings, constants, timeout, worker)[:-1])


def inverse_laplace(
    f: Any, variable: Any = "s", new: Any = "t", *, constants: Collection[Any] = (),
    timeout: float = TIMEOUT, worker: Worker | None = None,
) -> OperationResult:  # fmt: skip
    """The function of `new` > 0 whose Laplace transform is f. Arguments and errors as of `limit`;
    impulses are written DiracDelta."""
    return _inverse("inverse_laplace", f, variable, new, constants, timeout, worker)


def inverse_fourier(
    f: Any, variable: Any = "w", new: Any = "x", *, constants: Collection[Any] = (),
    timeout: float = TIMEOUT, worker: Worker | None = None,
) -> OperationResult:  # fmt: skip
    """The function of `new` whose Fourier transform, as of `fourier`, is f. Arguments and errors as
    of `limit`."""
    return _inverse("inverse_fourier", f, variable, new, constants, timeout, worker)


def _inverse(
    operation: str, f: Any, variable: Any, new: Any, constants: Collection[Any], timeout: float,
    worker: Worker | None,
) -> OperationResult:  # fmt: skip
    settings = {"name": variable_name(new)}
    return OperationResult(*_ask(operation, f, variable, settings, constants, timeout, worker)[:-1])


def _ask(
    operation: str, f: Any, variable: Any, settings: dict[str, Any], constants: Collection[Any],
    timeout: float, worker: Worker | None,
) -> tuple:  # fmt: skip
    """The fields of a Result, and the worker's message."""
    started = time.perf_counter()
    check_timeout(timeout)
    symbols = symbols_of(f, variable)
    e, names = read(f), constant_names(constants)
    x = check_symbols(e, variable_name(variable), names, symbols)
    for end in settings.get("ends", ()):
        if isinstance(end, End) and end.at is not None:
            if x in end.at.free:
                raise InputError(f"a limit contains the variable {x}, got {end.at}")
            check_symbols(end.at, x, names, symbols)
    job = OperationJob(e, x, timeout, operation, **settings)
    message, _ = (worker or shared()).ask(job, timeout)
    if message is None:
        message = {"status": "timeout", "how": "the time ran out"}
    answer = load(message["answer"]) if message.get("answer") else None
    return (
        f"{operation} of {e}", answer, message["status"], message.get("method", ""),
        message.get("how", ""), message.get("holds", ""), time.perf_counter() - started, symbols,
        message,
    )  # fmt: skip
