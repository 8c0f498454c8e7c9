"""`integrate` and `verify`. The work runs in a process that can be killed (see `worker`)."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from sciml.errors import InputError
from sciml.symbolic.algebra.powers import as_powers, excluded_constants
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.indexed import Indexed, from_sympy_series, with_symbols_of, written_out
from sciml.symbolic.expr.integral_call import called_integral
from sciml.symbolic.expr.latex_integral import whole_integral
from sciml.symbolic.expr.parser import parse
from sciml.symbolic.expr.printing import integral_parts, symbol_name, symbols_of
from sciml.symbolic.expr.symbols import check_symbols
from sciml.symbolic.expr.wire import dump, load
from sciml.symbolic.integration.impulses import (
    has_impulses,
    impulses_between,
    refuse_impulses,
    split_impulses,
    steps_of,
)
from sciml.symbolic.jobs import IntegrateJob, StepsJob, VerifyJob
from sciml.symbolic.neural.shipped import model_path
from sciml.symbolic.verification.result import PROOFS, Check, Result, Step
from sciml.symbolic.worker import Worker, shared

TIMEOUT = 10.0
"""Default time limit in seconds."""


def read(problem: Any) -> Expr:
    """An expression from text, LaTeX, a number, SymPy or an expression.

    Raises:
        InputError: for text that is not an expression, numbers that are not finite, and impulses
            (DiracDelta), which have no values.
    """
    return refuse_impulses(read_with_impulses(problem))


def read_with_impulses(problem: Any, series: list[Indexed] | None = None) -> Expr:
    """As `read`, with impulses, and with a symbol for each sum and product over an index, which are
    added to `series`; without it they are refused."""
    if isinstance(problem, Expr):
        return problem
    if isinstance(problem, str):
        return parse(problem, series=series)
    if isinstance(problem, (int, float)):
        if isinstance(problem, bool) or not math.isfinite(problem):
            raise InputError(f"a number must be finite, got {problem}")
        return ex.number(Fraction(str(problem)))
    from sciml.symbolic.expr.printing import from_sympy

    if series is not None and hasattr(problem, "atoms"):
        problem = from_sympy_series(problem, series)
    return from_sympy(problem)


def variable_name(variable: Any) -> str | None:
    """The name of a variable given as text or as a SymPy symbol.

    Raises:
        InputError: for anything that is not a name.
    """
    if variable is None:
        return None
    named = getattr(variable, "is_Symbol", False)
    name = symbol_name(variable) if named else getattr(variable, "name", variable)
    if not isinstance(name, str) or not name.isidentifier() or len(name) > 40:
        raise InputError(f"a variable must be a name, got {variable!r}")
    return name


def constant_names(constants: Any) -> list[str]:
    """The names of constants given as text or as SymPy symbols."""
    items = [constants] if isinstance(constants, str) else list(constants)
    return [variable_name(c) or "" for c in items]


def integrate(
    f: Any,
    variable: Any = None,
    *,
    limits: Any = None,
    principal_value: bool = False,
    constants: Collection[Any] = (),
    conditions: Collection[str] = (),
    timeout: float = TIMEOUT,
    model: str | os.PathLike[str] | None = "auto",
    rules: bool = True,
    beam: int = 10,
    steps: bool = False,
    worker: Worker | None = None,
) -> Result:
    """An antiderivative of f, proved or verified at all points tried; or a definite integral.

    Args:
        f: the integrand: text such as ``"x*exp(x)"``, LaTeX (``\\int x e^{x}\\,dx`` may contain
            variable and limits), or a SymPy expression, whose symbols the answer uses again.
        variable: its variable; may be left out if the integrand has only one symbol.
        limits: (a, b) for a definite integral: numbers, expressions without the variable, or
            infinity (``"oo"``, ``float("inf")``, SymPy's ``oo``), or SymPy's (x, a, b). The status
            may then be ``diverges``; see `sciml.symbolic.definite.integral` for what is proved. A
            list ``[("x", 0, 1), ("y", 0, "x")]`` of two or three stands for a multiple integral;
            limits may hold variables of other entries.
        principal_value: ask for Cauchy's principal value, where the integral itself diverges.
        constants: names of symbols that stand for constants; any other symbol is refused. The
            symbols of a SymPy expression beside a named variable are constants anyway, with their
            assumptions.
        conditions: what is known of the constants of a definite integral, ``["a > 1", "n != 0"]``;
            without any they are taken to be positive. ``.conditions`` of the result has those under
            which it holds.
        timeout: seconds.
        model: the trained model that proposes answers if the rules fail: a name or a path,
            ``"auto"`` for the one that is shipped, None for rules only.
        rules: whether to use the rules; False uses the model alone.
        beam: width of the model's beam search.
        steps: whether to explain an antiderivative step by step, in ``.steps`` of the result.
        worker: the process to work in; by default one for the whole session.

    Returns:
        A `Result`; without an answer, its status says why.

    Raises:
        InputError: for text that is not an expression, unknown symbols, a timeout that is not
            positive.
    """
    started = time.perf_counter()
    if limits is None and isinstance(variable, (list, tuple)):  # integrate(f, (x, 0, 1))
        variable, limits = None, variable
    symbols = symbols_of(f, variable, *_parts_of(limits))
    if isinstance(f, str):
        f, variable, limits = _without_sign(f, variable_name(variable), limits)
    elif type(f).__name__ == "Integral" and len(f.limits) > 1 and variable is limits is None:
        f, limits = f.function, [tuple(r) for r in f.limits]
    elif type(f).__name__ == "Integral":
        f, variable, limits = integral_parts(f, variable, limits)
    if limits is not None:
        from sciml.symbolic.definite.integral import (
            integrate_between,
            integrate_over,
            read_ends,
            read_ranges,
        )

        ranges = read_ranges(limits, read, variable_name)
        variables: list[str | None] = [name for name, _, _ in ranges]
        variables = variables or [variable_name(variable)]
        constants, conditions = _with_assumptions(symbols, variables, constants, conditions)
        if len(ranges) > 1:
            check_timeout(timeout)
            job = IntegrateJob(read(f), ranges[0][0], timeout, None, rules, beam)
            return integrate_over(
                job.f, ranges, job, worker or shared(), symbols, constant_names(constants), started
            )
        if ranges:
            variable, *limits = ranges[0]
        ends = read_ends(limits, read)
    else:
        names = [variable_name(variable)]
        constants, _ = _with_assumptions(symbols, names, constants, ())
    series: list[Indexed] = []
    e = read_with_impulses(f, series)
    check_timeout(timeout)
    x = check_symbols(
        with_symbols_of(e, series), variable_name(variable), constant_names(constants), symbols
    )
    if has_impulses(e):
        smooth, impulses = split_impulses(e, x)
        return _with_impulses(
            e,
            integrate(
                smooth,
                x,
                limits=limits,
                principal_value=principal_value,
                constants=constants,
                conditions=conditions,
                timeout=timeout,
                model=model,
                rules=rules,
                beam=beam,
                worker=worker,
            ),
            impulses_between(impulses, x, *ends) if limits is not None else steps_of(impulses, x),
        )
    model = model_path(model, "integrate")
    job = IntegrateJob(e, x, timeout, model, rules, beam, tuple(series))
    worker = worker or shared()
    if limits is not None:
        return integrate_between(*ends, job, worker, symbols, constant_names(constants), started,
                                 principal_value, conditions)  # fmt: skip
    if principal_value or conditions:
        raise InputError("principal_value and conditions are for integrals with limits")
    message, before = worker.ask(job, timeout)
    if message is None:
        message = before[-1] if before else {"status": "timeout", "how": "the time ran out"}
    answer, candidate = (load(message[key]) if message.get(key) else None
                         for key in ("answer", "candidate"))  # fmt: skip
    note = message.get("note", "")
    if answer is not None:
        known = ex.add([e, *(s.term for s in series)])
        note = "; ".join(filter(None, (note, excluded_constants(answer, known, {x}))))
        answer = as_powers(answer)
    return Result(
        written_out(str(e), series), answer, message["status"], message.get("method", ""),
        message.get("how", ""), message.get("holds", ""), time.perf_counter() - started, symbols,
        candidate=candidate,
        continuous=message.get("continuous"), note=note,
        steps=() if not steps or answer is None else _steps(e, x, answer, message, timeout, worker),
    )  # fmt: skip


def _steps(
    f: Expr, x: str, answer: Expr, message: dict[str, Any], timeout: float, worker: Worker
) -> tuple[Step, ...]:
    """The steps from f to its antiderivative."""
    job = StepsJob(f, x, timeout, answer=answer, method=message.get("method", ""))
    found, _ = worker.ask(job, timeout)
    rows = (found or {}).get("steps") or [[job.method, dump(answer), dump(ex.ZERO)]]
    return tuple(Step(f, x, text, load(F), load(g)) for text, F, g in rows)


def _parts_of(limits: Any) -> list[Any]:
    """The values in limits or ranges that hold SymPy's symbols."""
    if isinstance(limits, (list, tuple)):
        return [part for item in limits for part in _parts_of(item)]
    return [limits] if hasattr(limits, "free_symbols") else []


def _with_assumptions(
    symbols: Mapping[str, Any], variables: Sequence[str | None], constants: Collection[Any],
    conditions: Collection[str],
) -> tuple[list[Any], list[str]]:  # fmt: skip
    """The constants with SymPy's other symbols, and the conditions with their assumptions, where
    the variables are named."""
    named, known = list(constants), [conditions] if isinstance(conditions, str) else [*conditions]
    if None in variables:
        return named, known
    own = [n for n in symbols if n not in variables and n not in constant_names(constants)]
    known += [f"{n} < 0" for n in own if symbols[n].is_negative]
    return [*named, *own], known


def _with_impulses(f: Expr, smooth: Result, part: Expr) -> Result:
    """The result for the smooth part of f with what the impulses contribute."""
    if smooth.expression is None:
        return replace(smooth, problem=str(f))
    method = "; ".join(filter(None, (smooth.method, "impulses")))
    return replace(smooth, problem=str(f), expression=smooth.expression + part, method=method,
                   holds="", continuous=None)  # fmt: skip


def _without_sign(
    text: str, variable: str | None, limits: tuple[Any, Any] | None
) -> tuple[str, str | None, tuple[Any, Any] | None]:
    """Integrand, variable and limits of a text that may be an integral: with its sign, or as a call
    of a computer algebra system."""
    integral = whole_integral(text) or called_integral(text)
    if integral is None:
        return text, variable, limits
    integrand, name, own_limits = integral
    if variable not in (None, name):
        raise InputError(f"the integral is over {name!r}, the variable given is {variable!r}")
    if own_limits and limits:
        raise InputError("the integral has limits already")
    return integrand, name, own_limits or limits


def check_timeout(timeout: float) -> None:
    """Refuse a time limit that is not positive or exceeds a day.

    Raises:
        InputError: for such a limit.
    """
    if not 0 < timeout <= 86_400:
        raise InputError(f"timeout must be positive seconds, at most a day, got {timeout}")


def verify(
    integrand: Any, answer: Any, variable: Any = None, *, constants: Collection[Any] = (),
    timeout: float = TIMEOUT, seed: int | None = None,
) -> Check:  # fmt: skip
    """Whether d answer / d variable = integrand: at random points, then by a proof, in a process
    that is killed when the time is up. Without a `seed`, the points differ from call to call.

    Returns:
        A `Check` with ``.verified`` (proved), ``.proof``, ``.status``, ``.continuous``, ``.how``,
        ``.holds``; true when it is proved.
    """
    started = time.perf_counter()
    check_timeout(timeout)
    f, candidate = read(integrand), read(answer)
    names = constant_names(constants)
    chosen = variable_name(variable)
    symbols = symbols_of(integrand, answer, variable)
    x = chosen or check_symbols(ex.add((f, candidate)), chosen, names, symbols)
    for e in (f, candidate):
        check_symbols(e, x, names, symbols)
    job = VerifyJob(f, x, timeout, answer=candidate, seed=seed)
    message, before = shared().ask(job, timeout)
    seconds = time.perf_counter() - started
    if message is None and before:
        message = before[-1]  # the time ran out during the proof: the outcome of sampling
    if message is None:
        return Check("timeout", "the time ran out", "", 0, seconds)
    status = message["status"] if message["status"] in (*PROOFS, "timeout") else "unverified"
    return Check(
        status, message.get("how", ""),
        message.get("holds", ""), message.get("points", 0), seconds, message.get("continuous"),
        message.get("note", ""), message.get("refuted", False),
    )  # fmt: skip
