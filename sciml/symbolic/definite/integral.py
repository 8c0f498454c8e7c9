"""Definite integrals by an antiderivative, each confirmed by quadrature that does not use it.

The interval is split exactly where the integrand, or the sign of one of its parts, changes its
form. On each piece the value is F(b-) - F(a+) less the jumps of F, which ball arithmetic locates
and which are known in closed form. Rigorous quadrature must then contain the value.

*verified* (proved) means here: F' = f is proved as an identity; ball arithmetic covered every piece
and left no point where F may jump except those whose jumps were subtracted; the limits of F at the
ends are in closed form and agree with F near them; and the enclosure of the integral, of relative
width below 1e-9, contains the value. Next to a singular or infinite end the enclosure stops where,
according to F, less than 1e-9 is left, or at 2**-200 where leading terms prove the limit of F.
Where f oscillates too fast for the quadrature rule, parts of the interval are compared.
*sampled* means the same, but F' = f is not proved: it agrees at every point tried.

No comparison uses an absolute tolerance, and constant factors are taken out first, so that f and
10**-40 f have the same status.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from math import gcd, lcm
from typing import Any

from sciml.errors import InputError
from sciml.symbolic.algebra.rewriting import expand
from sciml.symbolic.definite.alternatives import (
    Alternatives,
    holds_floor,
    holds_large_exponent,
    is_moment,
)
from sciml.symbolic.definite.conditions import Condition, read_conditions
from sciml.symbolic.definite.confirmation import decimal_digits
from sciml.symbolic.definite.multiple import Range, ordered_ranges
from sciml.symbolic.definite.newton_leibniz import DefiniteIntegral, Integrator
from sciml.symbolic.definite.outcome import NoValue, Outcome
from sciml.symbolic.definite.parameters import parametric
from sciml.symbolic.definite.principal_value import principal_value
from sciml.symbolic.definite.unit_steps import by_unit_steps
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import TimeUp, at_most, now
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.indexed import written_out
from sciml.symbolic.expr.intervals import (
    End,
    ball,
    compare_ends,
    infinity,
    precision,
    simplify_constant,
)
from sciml.symbolic.expr.intervals import real as real_number
from sciml.symbolic.expr.wire import load
from sciml.symbolic.jobs import DefiniteJob, IntegrateJob, MultipleJob
from sciml.symbolic.verification.result import Result
from sciml.symbolic.worker import Worker

FIRST_SHARE = 0.55
"""The share of the time for Newton and Leibniz before other ways are tried."""


# ------------------------------------------------------------------ the interface
def read_ends(limits: Any, read: Callable[[Any], Expr]) -> tuple[End, End]:
    """Both limits of integration; `read` parses an expression.

    Raises:
        InputError: for anything but a pair of limits.
    """
    if isinstance(limits, str) or not hasattr(limits, "__len__") or len(limits) != 2:
        raise InputError(f"limits must be two, (low, high), got {limits!r}")
    low, high = limits
    return read_end(low, read), read_end(high, read)


def read_ranges(
    limits: Any, read: Callable[[Any], Expr], name_of: Callable[[Any], str | None]
) -> list[Range]:  # fmt: skip
    """The ranges (x, a, b) of a single or multiple integral; none for a pair of limits.

    Raises:
        InputError: for an entry that is no such range.
    """
    if isinstance(limits, str) or not hasattr(limits, "__len__") or not len(limits):
        return []
    several = all(isinstance(item, (list, tuple)) for item in limits)
    named = isinstance(limits[0], str) or hasattr(limits[0], "is_Symbol")
    if not several and (len(limits) != 3 or not named):
        return []
    out = []
    for item in limits if several else [limits]:
        if len(item) != 3:
            raise InputError(f"a range of integration must be (x, a, b), got {item!r}")
        out.append((name_of(item[0]) or "", read_end(item[1], read), read_end(item[2], read)))
    return out


def read_end(value: Any, read: Callable[[Any], Expr]) -> End:
    """A limit of integration: a number, an expression, or infinity in any spelling.

    Raises:
        InputError: for nan, complex infinity and anything that is not an expression.
    """
    if isinstance(value, End):
        return value
    sign = infinity(value)
    if sign:
        return End(None, sign)
    if str(value).strip().lower() in ("nan", "zoo", "none", ""):
        raise InputError(f"a limit must be a number or oo, got {value!r}")
    if type(value).__module__ == "numpy" and getattr(value, "ndim", 1) == 0:
        value = value.item()
    if isinstance(value, (Fraction, Decimal)) or type(value).__name__ == "mpf":
        return End(ex.number(Fraction(str(value))))
    return End(read(value))


def integrate_between(
    low: End, high: End, job: IntegrateJob, worker: Worker,
    symbols: Mapping[str, Any], constants: list[str], started: float,
    principal: bool = False, conditions: Collection[str] = (),
) -> Result:  # fmt: skip
    """The definite integral of the job's integrand from `low` to `high`, in the worker's process.

    Args:
        low, high: the limits.
        job: integrand and variable.
        worker: the process.
        symbols: SymPy's symbols of the problem.
        constants: the names of its constants.
        started: when the work began.
        principal: whether the principal value is asked for.
        conditions: on the constants, in words.

    Raises:
        InputError: for limits that are not real or contain undeclared symbols or the variable, and
            for an integrand that is not real between them.
    """
    f, x = job.f, job.variable
    for end in (low, high):
        if end.at is None:
            continue
        if x in end.at.free:
            raise InputError(f"a limit contains the variable {x}, got {end.at}",
                             hint="Name the limit otherwise, as a constant.")  # fmt: skip
        undeclared = sorted(end.at.free - set(constants))
        if undeclared:
            raise InputError(f"a limit must be a number, got {end.at}",
                             hint=f"Or name {undeclared[0]} as a constant.")  # fmt: skip
        if not end.at.free:
            with precision(300):
                real_number(end.at)
    problem = f"integral of {written_out(str(f), job.series)} from {low} to {high}"
    texts = tuple(c.text for c in read_conditions(conditions, constants))
    if principal and (
        f.free - {x, *(s.name for s in job.series)}
        or any(e.at is not None and e.at.free for e in (low, high))
    ):
        raise InputError("a principal value is found for integrands without other symbols")
    definite_integral = DefiniteJob(
        f, x, job.timeout, job.model, job.rules, job.beam, job.series, low=low, high=high,
        principal=principal, conditions=texts,
    )  # fmt: skip
    return _asked(definite_integral, problem, worker, symbols, started)


def integrate_over(
    f: Expr, ranges: Sequence[Range], job: IntegrateJob, worker: Worker,
    symbols: Mapping[str, Any], constants: list[str], started: float,
) -> Result:  # fmt: skip
    """The integral of f over several variables; arguments as of `integrate_between`.

    Raises:
        InputError: for undeclared symbols, and limits that depend on each other in a circle.
    """
    ordered = ordered_ranges(ranges)
    names = tuple(name for name, _, _ in ordered)
    if not 2 <= len(names) <= 3:
        raise InputError(f"an integral is over one, two or three variables, got {len(names)}")
    ends = [e.at for _, a, b in ordered for e in (a, b) if e.at is not None]
    undeclared = sorted(f.free.union(*(e.free for e in ends)) - {*names, *constants})
    if undeclared:
        raise InputError(f"unknown symbol {undeclared[0]!r}",
                         hint=f"Name it as a constant: constants={undeclared!r}.")  # fmt: skip
    where = ", ".join(f"{name} from {a} to {b}" for name, a, b in ordered)
    multiple = MultipleJob(
        f, names[-1], job.timeout, job.model, job.rules, job.beam, names=names,
        lows=tuple(a for _, a, _ in ordered), highs=tuple(b for _, _, b in ordered),
    )  # fmt: skip
    return _asked(multiple, f"integral of {f} over {where}", worker, symbols, started)


def _asked(
    job: DefiniteJob | MultipleJob, problem: str, worker: Worker, symbols: Mapping[str, Any],
    started: float,
) -> Result:  # fmt: skip
    message, _ = worker.ask(job, job.timeout)
    if message is None:
        late = time.perf_counter() - started >= job.timeout
        message = {"status": "timeout" if late else "no_answer",
                   "how": "the time ran out" if late else "the worker process ended"}  # fmt: skip
    if message["status"] == "refused":
        raise InputError(message["how"], hint=message.get("hint"))
    answer, candidate = (load(message[key]) if message.get(key) else None
                         for key in ("answer", "candidate"))  # fmt: skip
    return Result(
        problem, answer, message["status"], message.get("method", ""), message.get("how", ""),
        message.get("holds", ""), time.perf_counter() - started, symbols, candidate=candidate,
        note=message.get("note", ""), conditions=tuple(message.get("conditions", ())),
    )  # fmt: skip


def definite_job(job: DefiniteJob, integrator: Integrator) -> dict[str, Any]:
    """Solve the job in the worker process; returns the message to send back."""
    f, x, low, high = job.f, job.variable, job.low, job.high
    deadline = now() + job.timeout
    try:
        free = f.free - {x} or any(e.at is not None and e.at.free for e in (low, high))
        with at_most(job.timeout):
            if free:
                names = f.free.union(*(e.at.free for e in (low, high) if e.at is not None)) - {x}
                given = [c for text in job.conditions for c in _condition(text, names)]
                return parametric(f, x, low, high, integrator, deadline, given).message()
            solve = principal_value if job.principal else definite
            return solve(f, x, low, high, integrator, deadline).message()
    except TimeUp:
        return {"status": "timeout", "how": "the time ran out"}
    except InputError as error:
        return {"status": "refused", "how": error.what, "hint": error.hint}


def _condition(text: str, names: Collection[str]) -> tuple[Condition, ...]:
    """The condition; none where it is on symbols that the problem does not hold."""
    try:
        return read_conditions([text], names)
    except InputError:
        return ()


# ------------------------------------------------------------------ the value
def definite(
    f: Expr, x: str, low: End, high: End, integrator: Integrator, deadline: float
) -> Outcome:  # fmt: skip
    """The integral of f, without further symbols, from `low` to `high`.

    Raises:
        InputError: where f is not real between the limits, or both limits are the same infinity.
    """
    order = compare_ends(low, high)
    if order == 0:
        if low.infinite:
            raise InputError("both limits are the same infinity")
        return Outcome("verified", ex.ZERO, "the limits are equal", "numerically 0")
    if order > 0:
        low, high = high, low
    factor, core = content(f, x)
    if core is ex.ZERO or factor is ex.ZERO:
        return Outcome("verified", ex.ZERO, "the integrand is 0", "numerically 0")
    others = Alternatives(core, x, low, high, integrator, deadline)
    symmetric = others.by_symmetry()
    if symmetric is not None:
        return symmetric
    units = by_unit_steps(core, x, low, high, integrator, deadline)
    if units is not None:
        return _scaled(units, factor if order < 0 else -factor)
    if holds_large_exponent(core) or is_moment(core, x) or holds_floor(core):
        reflected = others.solve((others.by_beta, others.by_reflection))
        if reflected is not None:
            return _scaled(reflected, factor if order < 0 else -factor)
    budget = FIRST_SHARE * (deadline - now())
    integral = DefiniteIntegral(core, x, low, high, integrator, now() + budget)
    try:
        with at_most(budget):
            outcome = integral.solve()
    except NoValue as stop:
        outcome = stop.outcome
    except TimeUp:
        outcome = Outcome("timeout", how="the time ran out")
    if outcome.status in ("no_answer", "timeout"):
        outcome = others.solve() or outcome
    scale = factor if order < 0 else -factor
    value = None if outcome.value is None else _real(simplify_constant(scale * outcome.value))
    total = integral.total
    if outcome.status in ("no_answer", "timeout") and total is None and others.digits is not None:
        total = others.digits.value
        outcome = Outcome("no_answer", outcome.value, "no antiderivative was found")
    holds = ""
    if total is None and value is not None and outcome.status == "sampled":
        total = ball(outcome.value)  # type: ignore[arg-type]
    if total is not None:
        with precision(300):
            digits = decimal_digits(total * ball(scale))
        holds = f"numerically {digits}" if digits else ""
    how = outcome.how
    if outcome.status == "no_answer" and holds:
        how, holds = f"{how}; {holds}", ""
    return Outcome(outcome.status, value, how, holds, outcome.method, outcome.note)


def _real(value: Expr) -> Expr:
    """The value without imaginary parts that cancel, such as those of logarithms of negative
    numbers."""
    if not any(n.op == "I" for n in ex.subtrees(value)):
        return value
    try:
        expanded = simplify_constant(expand(value))
    except (ex.TooLarge, ex.Undefined):
        return value
    return value if any(n.op == "I" for n in ex.subtrees(expanded)) else expanded


def _scaled(outcome: Outcome, scale: Expr) -> Outcome:
    assert outcome.value is not None
    return replace(outcome, value=simplify_constant(scale * outcome.value))


def content(f: Expr, x: str) -> tuple[Expr, Expr]:
    """(c, g) with f = c g: the content c is free of x, the coefficients of g are coprime."""
    if x not in f.free:
        return f, ex.ONE
    if f.op == "mul":
        parts = [content(a, x) for a in f.args]
        return ex.mul([c for c, _ in parts]), ex.mul([p for _, p in parts])
    if f.op == "add":
        terms = [content(t, x) for t in f.args]
        numbers = [ex.split_coefficient(c)[0] for c, _ in terms]
        numerator_gcd = gcd(*[c.numerator for c in numbers])
        common = Fraction(numerator_gcd, lcm(*[c.denominator for c in numbers]))
        if not common or common == 1:
            return ex.ONE, f
        rest = ex.add([c / common * p for c, p in terms])
        return (ex.number(common), rest) if (common * rest) is f else (ex.ONE, f)
    if f.op == "pow" and f.args[1].op == "num":
        c, rest = content(f.args[0], x)
        integral_power = f.args[1].value.denominator == 1
        if c is not ex.ONE and (integral_power or (c.op == "num" and c.value > 0)):
            return ex.power(c, f.args[1]), ex.power(rest, f.args[1])
    if f.op == "abs":
        c, rest = content(f.args[0], x)
        if c.op == "num":
            return ex.number(abs(c.value)), ex.call("abs", rest)
    return ex.ONE, f
