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

from typing import TYPE_CHECKING

from sciml.exports import lazy

if TYPE_CHECKING:
    from sciml.symbolic.expr.expression import Expr as Expr
    from sciml.symbolic.expr.parser import parse as parse
    from sciml.symbolic.expr.printing import from_sympy as from_sympy
    from sciml.symbolic.expr.printing import to_sympy as to_sympy
    from sciml.symbolic.expr.tokens import parse_prefix as parse_prefix
    from sciml.symbolic.expr.tokens import to_prefix as to_prefix
    from sciml.symbolic.integration.api import integrate as integrate
    from sciml.symbolic.integration.api import verify as verify
    from sciml.symbolic.neural.model import Seq2Seq as Seq2Seq
    from sciml.symbolic.neural.skeletons import SkeletonModel as SkeletonModel
    from sciml.symbolic.ode.api import OdeResult as OdeResult
    from sciml.symbolic.ode.api import dsolve as dsolve
    from sciml.symbolic.ode.partial import PartialResult as PartialResult
    from sciml.symbolic.ode.partial import pdsolve as pdsolve
    from sciml.symbolic.ode.system_api import SystemResult as SystemResult
    from sciml.symbolic.operations.api import OperationResult as OperationResult
    from sciml.symbolic.operations.api import Solutions as Solutions
    from sciml.symbolic.operations.api import fourier as fourier
    from sciml.symbolic.operations.api import inverse_fourier as inverse_fourier
    from sciml.symbolic.operations.api import inverse_laplace as inverse_laplace
    from sciml.symbolic.operations.api import laplace as laplace
    from sciml.symbolic.operations.api import limit as limit
    from sciml.symbolic.operations.api import product as product
    from sciml.symbolic.operations.api import series as series
    from sciml.symbolic.operations.api import solve as solve
    from sciml.symbolic.operations.api import summation as summation
    from sciml.symbolic.regression.regressor import SymbolicRegressor as SymbolicRegressor
    from sciml.symbolic.verification.result import Check as Check
    from sciml.symbolic.verification.result import Result as Result
    from sciml.symbolic.verification.result import Step as Step

_EXPORTS = {
    "integrate": "integration.api",
    "verify": "integration.api",
    "dsolve": "ode.api",
    "pdsolve": "ode.partial",
    "limit": "operations.api",
    "series": "operations.api",
    "summation": "operations.api",
    "product": "operations.api",
    "solve": "operations.api",
    "laplace": "operations.api",
    "fourier": "operations.api",
    "inverse_laplace": "operations.api",
    "inverse_fourier": "operations.api",
    "Result": "verification.result",
    "Step": "verification.result",
    "OperationResult": "operations.api",
    "Solutions": "operations.api",
    "OdeResult": "ode.api",
    "SystemResult": "ode.system_api",
    "PartialResult": "ode.partial",
    "Check": "verification.result",
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
