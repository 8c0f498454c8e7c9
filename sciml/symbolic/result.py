"""What `integrate` and `dsolve` return: the answer, how far it can be trusted, how it was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sciml.symbolic.expression import Expr

STATUSES = ("verified", "unverified", "timeout", "no_answer")


@dataclass(frozen=True)
class Result:
    """An answer with its credentials.

    Attributes:
        problem: the problem as text.
        expression: the answer in this package's own type; None where there is none.
        status: ``verified``, ``unverified`` (an answer that was not confirmed), ``timeout`` (no
            answer, the time ran out) or ``no_answer``.
        method: by which method it was found.
        how: ``numeric`` or ``symbolic`` for a verified answer, else why it is not verified.
        holds: where the answer was seen to hold.
        seconds: wall-clock time.
        symbols: the symbols of a problem given in SymPy, which `expr` uses again.
    """

    problem: str
    expression: Expr | None
    status: str
    method: str = ""
    how: str = ""
    holds: str = ""
    seconds: float = 0.0
    symbols: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def verified(self) -> bool:
        """Whether the answer passed verification."""
        return self.status == "verified"

    @property
    def expr(self) -> Any:
        """The answer as a SymPy expression; None where there is none."""
        if self.expression is None:
            return None
        from sciml.symbolic.printing import to_sympy

        return to_sympy(self.expression, self.symbols)

    def __bool__(self) -> bool:
        return self.verified

    def __str__(self) -> str:
        if self.expression is None:
            return f"no answer ({self.status}) for {self.problem}"
        return str(self.expression)

    def latex(self) -> str:
        """The answer in LaTeX; empty where there is none."""
        if self.expression is None:
            return ""
        from sciml.symbolic.printing import latex

        return latex(self.expression)

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$" if self.expression is not None else str(self)

    def as_dict(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "problem": self.problem,
            "expr": None if self.expression is None else str(self.expression),
            "verified": self.verified,
            "status": self.status,
            "method": self.method,
            "how": self.how,
            "holds": self.holds,
            "seconds": round(self.seconds, 4),
        }
