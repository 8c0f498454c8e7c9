"""Symbolic mathematics: a verified integrator, differential equations, symbolic regression.

>>> from sciml.symbolic import integrate
>>> str(integrate("x*exp(x)"))
'(x - 1)*exp(x)'

Packages, each built on those before it: `expr` (expressions, parsers, printing, numbers); `algebra`
(towers of kernels), `generate` (random problems), `regression` (formulas from data);
`verification` (of antiderivatives), `neural` (networks that propose); `integration`, `definite`,
`ode`, `operations` (limits, series, sums, equations, transforms). `jobs` are run by `worker` in a
process that can be killed.
"""

from __future__ import annotations

from sciml.exports import lazy

_EXPORTS = {
    "integrate": "integration.api",
    "verify": "integration.api",
    "dsolve": "ode.api",
    "limit": "operations.api",
    "series": "operations.api",
    "summation": "operations.api",
    "product": "operations.api",
    "solve": "operations.api",
    "laplace": "operations.api",
    "fourier": "operations.api",
    "Result": "verification.result",
    "OperationResult": "operations.api",
    "Solutions": "operations.api",
    "OdeResult": "ode.api",
    "Check": "verification.checking",
    "Expr": "expr.expression",
    "parse": "expr.parser",
    "parse_prefix": "expr.tokens",
    "to_prefix": "expr.tokens",
    "from_sympy": "expr.printing",
    "to_sympy": "expr.printing",
    "SymbolicRegressor": "regression.regressor",
    "SkeletonModel": "neural.skeletons",
    "Seq2Seq": "neural.model",
}
__all__ = sorted(_EXPORTS)
__getattr__, __dir__ = lazy(__name__, _EXPORTS)
