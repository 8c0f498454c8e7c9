"""The problems that a worker process is given, as typed values, and their form as JSON.

`worker.Worker.ask` writes a job as one line; `worker_process` reads it and solves it. Expressions
travel as lists of nodes (`expr.wire`), never as code.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.indexed import Indexed
from sciml.symbolic.expr.intervals import End
from sciml.symbolic.expr.wire import dump, load


@dataclass(frozen=True)
class Job:
    """A problem.

    Attributes:
        f: the integrand, or the residual of a differential equation (residual = 0).
        variable: the name of its variable.
        timeout: wall-clock seconds.
    """

    f: Expr
    variable: str = "x"
    timeout: float = 10.0


@dataclass(frozen=True)
class IntegrateJob(Job):
    """Find an antiderivative of `f`.

    Attributes:
        model: path of the weights of the network that proposes where the rules fail; None: no
            network.
        rules: whether the rules are used.
        beam: hypotheses of the network's beam search.
        series: the sums and products in whose place `f` holds a symbol.
    """

    model: str | None = None
    rules: bool = True
    beam: int = 10
    series: tuple[Indexed, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DefiniteJob(IntegrateJob):
    """Integrate `f` from `low` to `high`.

    Attributes:
        principal: whether Cauchy's principal value is asked for.
        conditions: on the constants, in words.
    """

    low: End
    high: End
    principal: bool = False
    conditions: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MultipleJob(IntegrateJob):
    """Integrate `f` over several variables, the last of which is the innermost.

    Attributes:
        names: the variables.
        lows, highs: their limits, which may hold variables before them.
    """

    names: tuple[str, ...]
    lows: tuple[End, ...]
    highs: tuple[End, ...]


@dataclass(frozen=True)
class DsolveJob(IntegrateJob):
    """Solve `f` = 0, an equation in x, y, y', y'', for the function y.

    Attributes:
        function: the name of the unknown function.
        sympy: whether SymPy's dsolve is tried last.
        conditions: initial and boundary values, (k, a, b) for the k-th derivative b at a.
        terms: of a power series that is asked for, the power below which terms are given; 0: none.
    """

    function: str = "y"
    sympy: bool = True
    conditions: tuple[tuple[int, Expr, Expr], ...] = ()
    terms: int = 0


@dataclass(frozen=True, kw_only=True)
class SystemJob(Job):
    """Solve `equations` = 0 for several functions of one variable; `f` is the first of them.

    Attributes:
        functions: the names of the unknown functions, as many as there are equations.
        conditions: (x', a, b): x'(a) = b.
    """

    equations: tuple[Expr, ...]
    functions: tuple[str, ...]
    conditions: tuple[tuple[str, Expr, Expr], ...] = ()


@dataclass(frozen=True, kw_only=True)
class PartialJob(Job):
    """Solve `f` = 0, a partial differential equation for `function` of `variable` and `other`."""

    function: str
    other: str


@dataclass(frozen=True)
class OperationJob(Job):
    """A limit, series, sum, product, equation or transform of `f`.

    Attributes:
        operation: its name in `operations`.
        ends: a point, or limits.
        number: a count, such as the order of a series.
        name: a further name, such as the variable of a transform.
    """

    operation: str = ""
    ends: tuple[End, ...] = ()
    number: int = 0
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class VerifyJob(Job):
    """Check that d `answer` / d `variable` = `f`, at points drawn with `seed` (None: at random)."""

    answer: Expr
    seed: int | None = None


@dataclass(frozen=True, kw_only=True)
class StepsJob(Job):
    """Explain, step by step, how `f` is integrated to `answer` with `method`."""

    answer: Expr
    method: str = ""


@dataclass(frozen=True)
class SymPyIntegrateJob(Job):
    """Integrate `f` with SymPy alone, for comparisons."""


_KINDS: dict[str, type[Job]] = {
    kind.__name__: kind
    for kind in (
        IntegrateJob,
        DefiniteJob,
        MultipleJob,
        DsolveJob,
        SystemJob,
        PartialJob,
        OperationJob,
        VerifyJob,
        StepsJob,
        SymPyIntegrateJob,
    )
}


def to_json(job: Job) -> dict[str, Any]:
    """The job as values that JSON holds."""
    out: dict[str, Any] = {"job": type(job).__name__}
    for field in fields(job):
        out[field.name] = _to_json(getattr(job, field.name))
    return out


def _to_json(value: Any) -> Any:
    if isinstance(value, Expr):
        return {"expr": dump(value)}
    if isinstance(value, End):
        return {"end": None if value.at is None else dump(value.at), "sign": value.sign}
    if isinstance(value, Indexed):
        return {"indexed": [_to_json(getattr(value, field.name)) for field in fields(value)]}
    return [_to_json(item) for item in value] if isinstance(value, tuple) else value


def from_json(message: dict[str, Any]) -> Job:
    """The job of `to_json`."""
    values = dict(message)
    kind = _KINDS[values.pop("job")]
    return kind(**{name: _from_json(value) for name, value in values.items()})


def _from_json(value: Any) -> Any:
    if isinstance(value, dict) and "expr" in value:
        return load(value["expr"])
    if isinstance(value, dict) and "indexed" in value:
        return Indexed(*map(_from_json, value["indexed"]))
    if isinstance(value, dict):
        return End(load(value["end"]) if value["end"] else None, value["sign"])
    return tuple(_from_json(item) for item in value) if isinstance(value, list) else value
