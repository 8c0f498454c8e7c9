"""Calls of special functions in infix text: elliptic_f(x, m), hyper([a, b], [c], z)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from sciml.errors import InputError
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.reading import ExpressionError
from sciml.symbolic.expr.special_functions import called, hypergeometric


class Reader(Protocol):
    """What is needed of the parser."""

    i: int
    system: str

    def peek(self) -> str:
        """The current token."""

    def expect(self, value: str) -> None:
        """Go on behind the token `value`."""

    def sum(self) -> Expr:
        """The sum that starts here."""

    def fail(self, what: str, hint: str | None = None, back: int = 0) -> ExpressionError:
        """The error at the current token."""

    def guarded(self, make: Callable[[], Expr], back: int = 1) -> Expr:
        """What is made, or an error at the current token."""


def special_call(p: Reader, word: str) -> Expr:
    """elliptic_f(x, m), EllipticF[x, m], hyper([a, b], [c], z) and the like."""
    p.expect("(")
    arguments: list[Expr] = []
    lists: list[list[Expr]] = []
    listed = word in ("hyper", "hypergeom")
    while not (arguments or lists) or p.peek() == ",":
        p.i += bool(arguments or lists)
        if listed and len(lists) < 2:
            lists.append(_listed(p))
        else:
            arguments.append(p.sum())
    p.expect(")")
    if listed and len(arguments) != 1:
        raise p.fail(f"{word} has two lists and an argument", back=1)
    try:
        if listed:
            return hypergeometric(lists[0], lists[1], arguments[0])
        return p.guarded(lambda: called(word, arguments, p.system))
    except ExpressionError:
        raise
    except InputError as error:
        raise p.fail(error.what, back=1) from None


def _listed(p: Reader) -> list[Expr]:
    """(a, b), (c,), [a, b] or []."""
    opening = p.peek()
    closing = {"(": ")", "[": "]"}.get(opening)
    if closing is None:
        raise p.fail("a list of parameters is needed")
    p.i += 1
    out: list[Expr] = []
    while p.peek() != closing:
        out.append(p.sum())
        if p.peek() == ",":
            p.i += 1
        elif p.peek() != closing:
            raise p.fail(f"expected , or {closing}")
    p.i += 1
    return out
