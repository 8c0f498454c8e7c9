"""Symbolic mathematics: a verified integrator, differential equations, symbolic regression.

>>> from sciml.symbolic import integrate
>>> str(integrate("x*exp(x)"))
'(x - 1)*exp(x)'
"""

from __future__ import annotations

from sciml.exports import lazy

_EXPORTS = {
    "integrate": "integration.api", "verify": "integration.api", "dsolve": "ode.api",
    "parse": "expr.parser", "parse_prefix": "expr.tokens", "to_prefix": "expr.tokens",
    "Expr": "expr.expression", "Result": "verification.result",
    "SymbolicRegressor": "regression.regressor", "Seq2Seq": "neural.model",
}  # fmt: skip
__all__ = sorted(_EXPORTS)
__getattr__, __dir__ = lazy(__name__, _EXPORTS)
