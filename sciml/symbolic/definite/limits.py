"""One-sided limits, at a point or at infinity, in closed form.

In t > 0, the distance from the point (or 1/|x|), the expression is followed by its leading term;
where leading terms cancel, SymPy's Gruntz algorithm is asked. A limit counts only when the
expression itself, in ball arithmetic down to t = 2**-400, agrees.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sciml.errors import InputError
from sciml.symbolic.definite.leading_terms import Leading, Unknown, sign_of
from sciml.symbolic.definite.numerical_limits import Probe
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import End, plain

_ERRORS = (ValueError, ZeroDivisionError, OverflowError, ArithmeticError)


@dataclass(frozen=True)
class Limit:
    """A limit: `value`, or plus or minus infinity (`infinite`; 2 for what is not bounded), or
    none for ever (`oscillates`). `sure` where leading terms show it."""

    value: Expr | None
    infinite: int = 0
    oscillates: bool = False
    sure: bool = False


def _in_distance(e: Expr, x: str, end: End, side: int) -> Expr:
    t = ex.symbol("_t")
    if end.at is None:
        return ex.substitute(e, {ex.symbol(x): end.sign / t})
    return ex.substitute(e, {ex.symbol(x): end.at + side * t})


def limit(e: Expr, x: str, end: End, side: int, seconds: float = 2.0) -> Limit | None:
    """The limit of e as x tends to the end, from above (side 1) or below (-1).

    Returns:
        None where it is not found or not confirmed by the values near the end.
    """
    if x not in e.free:
        return Limit(e)
    probe = Probe(e, x, end, side)
    if end.at is not None:
        try:
            value = plain(ex.substitute(e, {ex.symbol(x): end.at}))
            if probe.agrees(value):
                return Limit(value)
        except (ex.Undefined, ex.TooLarge):
            pass
    for method in (_leading, _gruntz):
        found = method(e, x, end, side, seconds)
        if found is None:
            continue
        if found.oscillates:
            return found if probe.oscillates() else None
        if found.infinite:
            return found if probe.grows() else None
        if found.value is not None:
            if probe.agrees(found.value) or (found.sure and probe.approaches(found.value)):
                return found
    return Limit(None, 2) if probe.grows(0.97) else None


def _leading(e: Expr, x: str, end: End, side: int, _: float) -> Limit | None:
    try:
        term = Leading("_t").term(_in_distance(e, x, end, side))
        if term.vanishes:
            return Limit(ex.ZERO, sure=True)
        if term.bound:
            return None
        return Limit(term.c, sure=True) if term.constant else Limit(None, sign_of(term.c))
    except (Unknown, ex.Undefined, ex.TooLarge, RecursionError, *_ERRORS):
        return None


def order(e: Expr, x: str, end: End, side: int) -> float | None:
    """The power of the distance from the end (of 1/|x| at infinity) that e goes like.

    Returns:
        None where it goes like no power, or where its leading term says otherwise than its values.
    """
    if x not in e.free:
        return 0.0
    found = Probe(e, x, end, side).order()
    if found is None:
        return None
    try:
        term = Leading("_t").term(_in_distance(e, x, end, side))
    except (Unknown, ex.Undefined, ex.TooLarge, RecursionError, *_ERRORS):
        return found
    agrees = term.a is not None and abs(float(term.a) - found) < 1e-6 and not term.bound
    return found if agrees else None


class _TooLong(Exception):
    """The time that a limit may take is up."""


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Interrupt what takes longer; only the main thread can be interrupted."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: Any) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _gruntz(e: Expr, x: str, end: End, side: int, seconds: float) -> Limit | None:
    import sympy as sp

    from sciml.symbolic.expr.printing import from_sympy, to_sympy

    if ex.size(e) > 400 or seconds <= 0:
        return None
    symbol = sp.Symbol(x, real=True)
    to = sp.oo * end.sign if end.at is None else to_sympy(end.at)
    try:
        with _at_most(seconds):
            found = sp.limit(to_sympy(e, {x: symbol}), symbol, to, "+" if side > 0 else "-")
        if isinstance(found, sp.AccumBounds) and found.min != found.max:
            return Limit(None, oscillates=True)
        if found in (sp.oo, -sp.oo):
            return Limit(None, 1 if found is sp.oo else -1)
        return Limit(plain(from_sympy(found)))
    except (_TooLong, InputError, NotImplementedError, ArithmeticError, RecursionError, ValueError,
            TypeError, AttributeError, sp.PoleError):  # fmt: skip
        return None
