"""The outcome of a definite integral."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.wire import dump


@dataclass(frozen=True)
class Outcome:
    """The outcome of a definite integral; fields as of `Result`."""

    status: str
    value: Expr | None = None
    how: str = ""
    holds: str = ""
    method: str = ""
    note: str = ""
    conditions: tuple[str, ...] = ()

    def message(self) -> dict[str, Any]:
        """The outcome as a message of the worker process."""
        key = "answer" if self.status in ("verified", "sampled") else "candidate"
        out: dict[str, Any] = {"status": self.status, "how": self.how, "holds": self.holds,
                               "method": self.method, "note": self.note,
                               "conditions": list(self.conditions)}  # fmt: skip
        return out | ({key: dump(self.value)} if self.value is not None else {})


class NoValue(Exception):
    """There is no value; `outcome` says why."""

    def __init__(self, status: str, how: str) -> None:
        super().__init__(how)
        self.outcome = Outcome(status, how=how)
