"""Definite integrals by an antiderivative, each confirmed by quadrature that does not use it.

The interval is split where the integrand or the sign of one of its parts changes its form, exactly;
on each piece the value is F(b-) - F(a+) less the jumps of F, which are located by ball arithmetic
and known in closed form. Then rigorous quadrature must hold the value.

What *verified* (proved) means here: F' = f is proved as an identity; ball arithmetic covered every
piece and left no point where F may jump but those whose jumps were taken off; the limits of F at
the ends are in closed form and agree with F near them; and the enclosure of the integral, of
relative width below 1e-9, holds the value. Next to a singular or infinite end the enclosure stops
where F says that less than 1e-9 is left, or at 2**-200 where leading terms prove the limit of F;
where f oscillates too fast for the rule, it holds for parts of the interval.
*sampled* says the same but for F' = f, which then agrees at every point tried.

Nothing is compared with an absolute tolerance, and constant factors are taken out first, so that f
and 10**-40 f have the same status.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from math import gcd, lcm
from typing import Any

from sciml.errors import InputError
from sciml.symbolic.definite.confirmation import digits
from sciml.symbolic.definite.newton_leibniz import SHARE, Find, Outcome, Stop, Task
from sciml.symbolic.definite.quadrature import ERRORS
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import now
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import End, ball, infinity, plain, precision
from sciml.symbolic.expr.intervals import real as real_number
from sciml.symbolic.expr.wire import load
from sciml.symbolic.jobs import DefiniteJob, IntegrateJob
from sciml.symbolic.verification.result import Result
from sciml.symbolic.worker import Worker


# ------------------------------------------------------------------ the front
def read_ends(limits: Any, read: Callable[[Any], Expr]) -> tuple[End, End]:
    """Both limits of integration.

    Raises:
        InputError: for what is no pair of limits.
    """
    if isinstance(limits, str) or not hasattr(limits, "__len__") or len(limits) != 2:
        raise InputError(f"limits must be two, (low, high), got {limits!r}")
    low, high = limits
    return read_end(low, read), read_end(high, read)


def read_end(value: Any, read: Callable[[Any], Expr]) -> End:
    """A limit of integration: a number, an expression, or infinity in any spelling.

    Raises:
        InputError: for nan, complex infinity and what is no expression.
    """
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


def between(
    low: End, high: End, job: IntegrateJob, worker: Worker,
    symbols: Mapping[str, Any], constants: list[str], started: float,
) -> Result:  # fmt: skip
    """The definite integral of the job's integrand from `low` to `high`, in the worker's process.

    Raises:
        InputError: for limits that are not real, that hold undeclared symbols or the variable, or
            an integrand that is not real between them.
    """
    f, x = job.f, job.variable
    for end in (low, high):
        if end.at is None:
            continue
        if x in end.at.free:
            raise InputError(f"a limit holds the variable {x}, got {end.at}",
                             hint="Name the limit otherwise, as a constant.")  # fmt: skip
        strange = sorted(end.at.free - set(constants))
        if strange:
            raise InputError(f"a limit must be a number, got {end.at}",
                             hint=f"Or name {strange[0]} as a constant.")  # fmt: skip
        if not end.at.free:
            with precision(300):
                real_number(end.at)
    shown = f"integral of {f} from {low} to {high}"
    definite_integral = DefiniteJob(
        f, x, job.timeout, job.model, job.rules, job.beam, low=low, high=high
    )
    message, _ = worker.ask(definite_integral, job.timeout)
    if message is None:
        late = time.perf_counter() - started >= job.timeout
        message = {"status": "timeout" if late else "no_answer",
                   "how": "the time ran out" if late else "the worker process ended"}  # fmt: skip
    if message["status"] == "refused":
        raise InputError(message["how"], hint=message.get("hint"))
    answer, candidate = (load(message[key]) if message.get(key) else None
                         for key in ("answer", "candidate"))  # fmt: skip
    return Result(
        shown, answer, message["status"], message.get("method", ""), message.get("how", ""),
        message.get("holds", ""), time.perf_counter() - started, symbols, candidate=candidate,
        note=message.get("note", ""),
    )  # fmt: skip


def definite_job(job: DefiniteJob, find: Find) -> dict[str, Any]:
    """What the worker does; the message to send back."""
    f, x, low, high = job.f, job.variable, job.low, job.high
    deadline = now() + job.timeout
    try:
        free = f.free - {x} or any(e.at is not None and e.at.free for e in (low, high))
        solve = parametric if free else definite
        return solve(f, x, low, high, find, deadline).message()
    except InputError as error:
        return {"status": "refused", "how": error.what, "hint": error.hint}


# ------------------------------------------------------------------ the value
def definite(
    f: Expr, x: str, low: End, high: End, find: Find, deadline: float
) -> Outcome:  # fmt: skip
    """The integral of f, without further symbols, from `low` to `high`.

    Raises:
        InputError: where f is not real between the limits, or both limits are the same infinity.
    """
    order = _order(low, high)
    if order == 0:
        if low.infinite:
            raise InputError("both limits are the same infinity")
        return Outcome("verified", ex.ZERO, "the limits are equal", "numerically 0")
    if order > 0:
        low, high = high, low
    factor, core = content(f, x)
    if core is ex.ZERO or factor is ex.ZERO:
        return Outcome("verified", ex.ZERO, "the integrand is 0", "numerically 0")
    task = Task(core, x, low, high, find, deadline)
    try:
        outcome = task.solve()
    except Stop as stop:
        return stop.outcome
    scale = factor if order < 0 else -factor
    value = None if outcome.value is None else plain(scale * outcome.value)
    known = task.total
    holds = ""
    if known is not None:
        with precision(300):
            shown = digits(known * ball(scale))
        holds = f"numerically {shown}" if shown else ""
    how = outcome.how
    if outcome.status == "no_answer" and holds:
        how, holds = f"{how}; {holds}", ""
    return Outcome(outcome.status, value, how, holds, outcome.method, outcome.note)


def _order(low: End, high: End) -> int:
    if low.at is None or high.at is None:
        a, b = low.sign, high.sign
        return (a > b) - (a < b)
    if low.at is high.at or plain(low.at - high.at) is ex.ZERO:
        return 0
    for bits in (300, 3000):
        with precision(bits):
            gap = real_number(low.at) - real_number(high.at)
        if not gap.contains(0):
            return 1 if gap > 0 else -1
    return 0


def content(f: Expr, x: str) -> tuple[Expr, Expr]:
    """f as a factor without x, times a rest whose coefficients are coprime integers."""
    if x not in f.free:
        return f, ex.ONE
    if f.op == "mul":
        parts = [content(a, x) for a in f.args]
        return ex.mul([c for c, _ in parts]), ex.mul([p for _, p in parts])
    if f.op == "add":
        terms = [content(t, x) for t in f.args]
        numbers = [ex.split_coefficient(c)[0] for c, _ in terms]
        top = gcd(*[c.numerator for c in numbers])
        shared = Fraction(top, lcm(*[c.denominator for c in numbers]))
        if not shared or shared == 1:
            return ex.ONE, f
        rest = ex.add([c / shared * p for c, p in terms])
        return (ex.number(shared), rest) if (shared * rest) is f else (ex.ONE, f)
    if f.op == "pow" and f.args[1].op == "num":
        c, rest = content(f.args[0], x)
        whole = f.args[1].value.denominator == 1
        if c is not ex.ONE and (whole or (c.op == "num" and c.value > 0)):
            return ex.power(c, f.args[1]), ex.power(rest, f.args[1])
    if f.op == "abs":
        c, rest = content(f.args[0], x)
        if c.op == "num":
            return ex.number(abs(c.value)), ex.call("abs", rest)
    return ex.ONE, f


# ------------------------------------------------------------------ with symbols
_ENTIRE = frozenset("exp sin cos sinh cosh erf erfi Si Shi fresnels fresnelc".split())


def parametric(f: Expr, x: str, low: End, high: End, find: Find, deadline: float) -> Outcome:
    """The integral with symbols in f or in the limits, where F is an entire function of x: then
    F(b) - F(a) holds for all their values for which it is defined."""
    if low.at is not None and low.at is high.at:
        return Outcome("verified", ex.ZERO, "the limits are equal")
    if low.at is None or high.at is None:
        return Outcome("no_answer", how="infinite limits with symbolic constants are not supported")
    found = find(f, SHARE * (deadline - now()))
    if not found.get("answer"):
        return Outcome(found["status"], how="no antiderivative was found")
    big = load(found["answer"])
    for n in ex.subtrees(big):
        whole = n.op in ("sym", "add", "mul") or n.op in _ENTIRE
        if n.op == "pow" and x not in n.args[1].free:
            k = n.args[1]
            whole = k.op == "num" and k.value.denominator == 1 and k.value > 0
        if x in n.free and not whole:
            return Outcome(
                "no_answer",
                how="with symbolic constants a value is given only where the antiderivative is "
                f"an entire function of {x}, which {big} is not",
            )
    x_symbol = ex.symbol(x)
    try:
        value = plain(
            ex.substitute(big, {x_symbol: high.at}) - ex.substitute(big, {x_symbol: low.at})
        )
    except (ex.Undefined, ex.TooLarge):
        return Outcome("no_answer", how="the antiderivative has no value at a limit")
    names = sorted(value.free | f.free - {x})
    tried = 0
    for numbers in ((3, 5, 7, 11), (-2, 3, 13, 5), (Fraction(1, 3), -4, Fraction(7, 5), 2)):
        at: dict[Expr, ex.ExprLike] = {
            ex.symbol(name): numbers[i % 4] for i, name in enumerate(names)
        }
        number, goal = (ex.substitute(e, at) for e in (f, value))
        ends = [End(ex.substitute(e, at)) for e in (low.at, high.at)]
        held = _holds(number, x, ends, goal, find, deadline)
        if held is False:
            return Outcome("no_answer", value, "quadrature refutes the value")
        tried += held is True
    conditions = _conditions(big)
    if not tried:
        return Outcome("no_answer", value, "the value could not be compared with quadrature")
    return Outcome(
        "verified" if found["status"] == "verified" else "sampled", value,
        "the antiderivative is an entire function", conditions, found.get("method", ""),
    )  # fmt: skip


def _holds(
    f: Expr, x: str, ends: list[End], goal: Expr, find: Find, deadline: float
) -> bool | None:
    """Whether quadrature of f, a numeric example, holds the value; None where it cannot tell."""
    order = _order(*ends)
    if not order:
        return None
    low, high = ends if order < 0 else ends[::-1]
    task = Task(f, x, low, high, find, deadline)
    try:
        total = task.number()
    except (Stop, InputError, *ERRORS):
        return None
    with precision(300):
        z = ball(goal) * -order
        if total is None or not z.is_finite():
            return None
        return bool(z.overlaps(total))


def _conditions(big: Expr) -> str:
    """For which constants F is defined."""
    zero = [n.args[0] for n in ex.subtrees(big) if n.op == "pow" and n.free
            and (n.args[1].op != "num" or n.args[1].value < 0)]  # fmt: skip
    return f"where {', '.join(map(str, zero))} is not 0" if zero else "for all constants"
