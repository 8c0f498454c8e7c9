"""Symbolic mathematics: a verified integrator, differential equations, symbolic regression.

>>> from sciml.symbolic import integrate
>>> str(integrate("x*exp(x)"))
'(x - 1)*exp(x)'
"""

from __future__ import annotations

import importlib
from typing import Any

_EXPORTS = {
    "integrate": "solve", "verify": "solve", "dsolve": "ode_api", "parse": "parser",
    "parse_prefix": "tokens", "to_prefix": "tokens", "Expr": "expression", "Result": "result",
    "SymbolicRegressor": "regression", "Seq2Seq": "model",
}  # fmt: skip
__all__ = list(_EXPORTS)


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_EXPORTS[name]}"), name)
