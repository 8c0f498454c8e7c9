"""The result of `integrate` and `dsolve`, and the outcome of a verification."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sciml.symbolic.expr.expression import Expr

STATUSES = ("verified", "sampled", "no_answer", "timeout", "diverges", "error")
PROOFS = {"verified": "proved", "sampled": "sampled"}
"""The statuses that have an answer, and the strength of its verification."""
NOT_PROVED = "agrees at every point tried, not proved"


@dataclass(frozen=True)
class Check:
    """The outcome of a verification.

    Attributes:
        status: ``verified`` (proved), ``sampled`` (agrees at every point tried), ``unverified``
            (refuted, or not confirmed) or ``timeout``.
        how: the kind of verification, or why the identity is not verified, in words.
        holds: the domain on which the identity was verified, in words.
        points: the number of points that agree to 40 digits.
        seconds: wall-clock time.
        continuous: whether the answer is continuous where the integrand is; None: unknown.
        note: the points where the answer jumps, in words.
        refuted: whether a difference was proved at some point.
    """

    status: str
    how: str
    holds: str = ""
    points: int = 0
    seconds: float = 0.0
    continuous: bool | None = None
    note: str = ""
    refuted: bool = False

    @property
    def verified(self) -> bool:
        """Whether it is proved."""
        return self.status == "verified"

    @property
    def agrees(self) -> bool:
        """Whether it is proved, or agrees at every point tried."""
        return self.status in PROOFS

    @property
    def proof(self) -> str:
        """``proved``, ``sampled``, or empty."""
        return PROOFS.get(self.status, "")

    def __bool__(self) -> bool:
        return self.verified


def _plain_in_text(text: str) -> str:
    """The text without the characters that mean something else within \\text{}."""
    other = {"\\": "", "{": "(", "}": ")", "$": "", "_": " ", "^": "**", "%": " per cent", "#": "",
             "&": "and", "~": " "}  # fmt: skip
    return "".join(other.get(character, character) for character in text)


@dataclass(frozen=True)
class Step:
    """One step of an integration: the integral is `integrated` plus that of `left`.

    Attributes:
        problem: the integrand.
        variable: its variable.
        text: what the step does.
        integrated: what has been integrated so far.
        left: the integrand that is left; 0 after the last step.
    """

    problem: Expr
    variable: str
    text: str
    integrated: Expr
    left: Expr

    def __str__(self) -> str:
        done, rest = str(self.integrated), f"int({self.left}, {self.variable})"
        shown = done if str(self.left) == "0" else rest if done == "0" else f"{done} + {rest}"
        return f"{self.text}: {shown}"

    def latex(self) -> str:
        """The integral as what is integrated and what is left, in LaTeX."""
        from sciml.symbolic.expr.printing import latex

        done = "" if str(self.integrated) == "0" else latex(self.integrated)
        rest = rf"\int {latex(self.left)}\,d{self.variable}" if str(self.left) != "0" else ""
        right = " + ".join(part for part in (done, rest) if part) or "0"
        return rf"\int {latex(self.problem)}\,d{self.variable} = {right}"

    def html(self) -> str:
        """The step as HTML, with its formula in MathML, which browsers show by themselves."""
        from html import escape, unescape

        import sympy as sp

        from sciml.symbolic.expr.printing import to_sympy

        integral = to_sympy(self.integrated)
        if str(self.left) != "0":
            integral = integral + sp.Integral(to_sympy(self.left), sp.Symbol(self.variable))
        formula = sp.mathml(integral, printer="presentation")
        return f"<li>{escape(self.text)}: <math>{unescape(formula)}</math></li>"


@dataclass(frozen=True)
class Result:
    """An answer and how it was verified, or the reason why there is none.

    An expression that was refuted or not confirmed is never the answer: passed as `expression` with
    a status other than those of `PROOFS`, it becomes the `candidate`, and ``unverified`` becomes
    ``no_answer``.

    Attributes:
        problem: the problem as text.
        expression: the answer in this package's own type; None unless it is verified or sampled.
        status: ``verified`` (proved), ``sampled`` (agrees at every point tried), ``no_answer``,
            ``timeout`` (no answer, the time ran out), ``diverges`` (a definite integral) or
            ``error`` (a mistake in this package; `how` names it).
        method: the method that produced the answer.
        how: the kind of verification, or why there is no answer.
        holds: the domain on which the answer was verified, in words.
        seconds: wall-clock time.
        symbols: the symbols of a problem given in SymPy, which `expr` uses again.
        candidate: an expression that was refuted or not confirmed.
        continuous: whether an antiderivative is continuous where the integrand is; None: unknown.
        note: remarks on the answer, such as the points where it jumps.
        conditions: on the constants of a definite integral, under which the answer holds.
        steps: of an antiderivative, where they were asked for; each differentiates to the one
            before.
    """

    problem: str
    expression: Expr | None
    status: str
    method: str = ""
    how: str = ""
    holds: str = ""
    seconds: float = 0.0
    symbols: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    candidate: Expr | None = field(default=None, kw_only=True)
    continuous: bool | None = field(default=None, kw_only=True)
    note: str = field(default="", kw_only=True)
    conditions: tuple[str, ...] = field(default=(), kw_only=True)
    steps: tuple[Step, ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            object.__setattr__(self, "status", "no_answer")
        if self.expression is not None and self.status not in PROOFS:
            if self.candidate is None:
                object.__setattr__(self, "candidate", self.expression)
            object.__setattr__(self, "expression", None)
        if self.expression is None and self.status in PROOFS:
            object.__setattr__(self, "status", "no_answer")

    @property
    def proof(self) -> str:
        """``proved``, ``sampled``, or empty where there is no answer."""
        return PROOFS.get(self.status, "")

    @property
    def verified(self) -> bool:
        """Whether the answer is proved."""
        return self.status == "verified"

    @property
    def expr(self) -> Any:
        """The answer as a SymPy expression; None where there is none."""
        if self.expression is None:
            return None
        from sciml.symbolic.expr.printing import to_sympy

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
        from sciml.symbolic.expr.printing import latex

        return latex(self.expression)

    def further(self) -> list[str]:
        """One line for each further solution, or for each step."""
        return [str(step) for step in self.steps]

    def steps_html(self) -> str:
        """The steps as an ordered list in HTML; empty where there are none."""
        return f"<ol>{''.join(step.html() for step in self.steps)}</ol>" if self.steps else ""

    def remarks(self) -> str:
        """Remarks to show beside the answer: that it is not proved, where it jumps."""
        caveat = NOT_PROVED if self.status == "sampled" else ""
        return "; ".join(part for part in (caveat, self.note) if part)

    def _repr_latex_(self) -> str:
        if self.expression is None:
            return str(self)
        beside = "; ".join(filter(None, (self.status, self.how, self.holds, self.remarks())))
        beside = rf" \quad \text{{({_plain_in_text(beside)})}}"
        return f"$\\displaystyle {self.latex()}{beside}$"

    def as_dict(self) -> dict[str, Any]:
        """The values that `--json` prints; ``answer`` and ``expr`` are the same."""
        answer = None if self.expression is None else str(self)
        return {
            "problem": self.problem,
            "answer": answer,
            "expr": answer,
            "verified": self.verified,
            "status": self.status,
            "proof": self.proof,
            "candidate": None if self.candidate is None else str(self.candidate),
            "continuous": self.continuous,
            "note": self.note,
            "conditions": list(self.conditions),
            "steps": [str(step) for step in self.steps],
            "method": self.method,
            "how": self.how,
            "holds": self.holds,
            "seconds": round(self.seconds, 4),
        }
