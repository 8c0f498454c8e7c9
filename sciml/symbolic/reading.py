"""What the readers of infix text and of LaTeX share: a limit, an error that points, an unknown."""

from __future__ import annotations

from dataclasses import dataclass

from sciml.errors import InputError

MAX_LENGTH = 10_000
"""Characters of one expression."""


class ExpressionError(InputError):
    """Text that is not an expression; `position` is the character (from 0) where it was noticed."""

    def __init__(self, what: str, text: str, position: int, hint: str | None = None) -> None:
        self.position = position
        start = max(0, position - 12)
        shown = "".join(c if c.isprintable() else "?" for c in text[start : position + 12])
        near = f" near {shown!r}" if shown else ""
        super().__init__(f"{what} at character {position + 1}{near}", hint=hint)


@dataclass(frozen=True)
class Unknown:
    """The unknown function of a differential equation: y, y', y(x), Derivative(y(x), x, x)."""

    name: str
    variable: str
