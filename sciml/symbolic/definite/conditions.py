"""Conditions on the symbols of a problem, such as a > 0, n > -1, b != 0: reading them, numbers that
satisfy them, and SymPy's symbols with the signs that follow from them."""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from sciml.errors import InputError
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.parser import parse

POSITIVE_EXAMPLES = (
    (2, 3, Fraction(7, 5), Fraction(1, 2)), (Fraction(4, 7), 2, Fraction(2, 3), 3),
    (5, Fraction(2, 3), 2, Fraction(9, 4)),
    (Fraction(4, 5), Fraction(11, 3), 1, 6),
)  # fmt: skip
_POOL = tuple(Fraction(n, d) for n, d in (
    (2, 1), (3, 1), (7, 5), (1, 2), (4, 7), (9, 4), (5, 1), (11, 3), (8, 1), (13, 1), (1, 5),
    (1, 9), (-2, 1), (-1, 3), (-5, 2), (-7, 1), (-1, 2), (-3, 4), (-1, 6), (25, 1)
))  # fmt: skip
_COUNT = 4
_TRIES = 4000


@dataclass(frozen=True)
class Condition:
    """quantity > 0, or quantity != 0 where not `positive`."""

    text: str
    quantity: Expr
    positive: bool

    def holds(self, at: dict[str, float]) -> bool:
        """Whether it is satisfied at the numbers."""
        value = complex(Program(self.quantity).complex(at)[0])
        return value.real > 0 and value.imag == 0 if self.positive else value != 0


@dataclass(frozen=True)
class Conditions:
    """All that is taken for granted of some symbols."""

    names: tuple[str, ...]
    given: tuple[Condition, ...]

    @property
    def texts(self) -> tuple[str, ...]:
        """The conditions in words; symbols without one are positive."""
        return (*(c.text for c in self.given), *(f"{n} > 0" for n in self._others()))

    def _others(self) -> list[str]:
        covered = frozenset().union(*(c.quantity.free for c in self.given))
        return [n for n in self.names if n not in covered]

    def examples(self) -> Iterator[dict[Expr, ex.ExprLike]]:
        """Numbers for the names that satisfy the conditions; none where few are found."""
        out: list[dict[Expr, ex.ExprLike]] = []
        rng = random.Random(7)
        others = self._others()
        for i in range(_TRIES):
            if i < len(POSITIVE_EXAMPLES):
                numbers = [POSITIVE_EXAMPLES[i][k % 4] for k in range(len(self.names))]
            else:
                numbers = [rng.choice(_POOL) for _ in self.names]
            at = {n: float(v) for n, v in zip(self.names, numbers, strict=True)}
            if all(at[n] > 0 for n in others) and all(c.holds(at) for c in self.given):
                out.append({ex.symbol(n): v for n, v in zip(self.names, numbers, strict=True)})
            if len(out) == _COUNT:
                break
        yield from out

    def symbols(self) -> dict[str, Any]:
        """SymPy's symbols by name."""
        import sympy as sp

        others = self._others()
        out = {}
        for n in self.names:
            sign = 1 if n in others else self._sign(n)
            assumption = {1: "positive", -1: "negative", 0: "real"}[sign]
            out[n] = sp.Symbol(n, **{assumption: True})
        return out

    def _sign(self, name: str) -> int:
        """The sign that a condition a - c > 0 or -a - c > 0 with c >= 0 gives; 0: none."""
        for c in self.given:
            slope = c.quantity.diff(name)
            rest = ex.substitute(c.quantity, {ex.symbol(name): ex.ZERO})
            if c.positive and slope.op == rest.op == "num" and rest.value <= 0 and slope.value:
                return 1 if slope.value > 0 else -1
        return 0


def read_conditions(texts: Collection[str], names: Collection[str]) -> tuple[Condition, ...]:
    """Conditions from text.

    Args:
        texts: such as ``"a > 0"``, ``"a < b"``, ``"n != 1"``.
        names: the symbols that they may hold.

    Raises:
        InputError: for text that is no such condition, and for other symbols.
    """
    out = []
    for text in [texts] if isinstance(texts, str) else texts:
        match = re.fullmatch(r"([^<>=!]+)(<=?|>=?|!=)([^<>=!]+)", str(text))
        if match is None:
            raise InputError(f"a condition must be like a > 0 or a != 1, got {text!r}")
        left, right = parse(match[1]), parse(match[3])
        quantity = right - left if match[2][0] == "<" else left - right
        unknown = sorted(quantity.free - set(names))
        if unknown or not quantity.free:
            raise InputError(f"the condition {text!r} is not on the constants",
                             hint=f"They are {', '.join(sorted(names)) or 'none'}.")  # fmt: skip
        out.append(Condition(" ".join(str(text).split()), quantity, match[2] != "!="))
    return tuple(out)


def conditions_on(names: Sequence[str], given: Collection[Condition]) -> Conditions:
    """The conditions on the names, given or that they are positive."""
    used = tuple(c for c in given if c.quantity.free <= set(names))
    return Conditions(tuple(names), used)
