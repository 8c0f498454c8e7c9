"""Symbolic mathematics: a verified integrator, differential equations, symbolic regression.

>>> from sciml.symbolic import integrate
>>> str(integrate("x*exp(x)"))
'(x - 1)*exp(x)'
"""

from __future__ import annotations

import importlib
from typing import Any

_EXPORTS = {
    "integrate": "integration.api", "verify": "integration.api", "dsolve": "ode.api",
    "parse": "expr.parser", "parse_prefix": "expr.tokens", "to_prefix": "expr.tokens",
    "Expr": "expr.expression", "Result": "verification.result",
    "SymbolicRegressor": "regression.regressor", "Seq2Seq": "neural.model",
}  # fmt: skip
__all__ = list(_EXPORTS)


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_EXPORTS[name]}"), name)
