"""Numbers for the symbols of an answer, and SymPy's expressions with positive symbols."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from sciml.errors import InputError
from sciml.symbolic.definite.outcome import Outcome
from sciml.symbolic.definite.quadrature import BALL_ERRORS
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr

ERRORS = (*BALL_ERRORS, ex.Undefined, ex.TooLarge, InputError, RecursionError, NotImplementedError,
          TypeError, AttributeError, KeyError, IndexError)  # fmt: skip
_NUMBERS = (
    (2, 3, Fraction(7, 5), Fraction(1, 2)), (Fraction(4, 7), 2, Fraction(2, 3), 3),
    (5, Fraction(2, 3), 2, Fraction(9, 4)),
)  # fmt: skip


def examples(names: Sequence[str]) -> Iterator[dict[Expr, Any]]:
    """Positive numbers for the names; a single empty example if there are none."""
    for numbers in _NUMBERS if names else _NUMBERS[:1]:
        yield {ex.symbol(name): numbers[i % 4] for i, name in enumerate(names)}


def positive_symbols(names: Sequence[str]) -> dict[str, Any]:
    """SymPy's symbols, positive, by name."""
    import sympy as sp

    return {name: sp.Symbol(name, positive=True) for name in names}


def from_positive(e: Any) -> Expr:
    """An expression from a SymPy one whose symbols have assumptions.

    Raises:
        InputError: for a function that this package does not know.
    """
    import sympy as sp

    from sciml.symbolic.expr.printing import from_sympy

    return from_sympy(e.xreplace({s: sp.Symbol(s.name) for s in e.free_symbols}))


def conditions(names: Sequence[str]) -> str:
    """The condition that the names are positive, in words."""
    return "for " + ", ".join(f"{name} > 0" for name in names) if names else ""


def no_answer(how: str) -> Outcome:
    """An outcome without an answer."""
    return Outcome("no_answer", how=how)
