"""Systems of linear equations with constant coefficients, which may be symbols.

The system is brought to X' = A X + b(t), with the derivatives below the highest order among the
components of X. With p the characteristic polynomial of A, and f_0, ..., f_(n-1) the solutions of
p(D) f = 0 with f_k^(j)(0) = 1 if j = k and 0 else, exp(A t) = f_0 I + f_1 A + ... . If w solves
p(D) w = b, a particular solution is adj(D - A) w. Every component is put into every equation.

Source: I. E. Leonard (1996), "The matrix exponential", SIAM Review 38, 507.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sciml.errors import InputError
from sciml.symbolic.definite.quadrature import BALL_ERRORS
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import TimeUp, at_most, now
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.printing import from_sympy, to_sympy
from sciml.symbolic.expr.wire import dump
from sciml.symbolic.jobs import SystemJob
from sciml.symbolic.ode.constant_coefficients import fundamental_system as of_second_order
from sciml.symbolic.ode.higher_order import fundamental_system, undetermined_coefficients
from sciml.symbolic.ode.tools import is_independent, numerically_equal, tidy
from sciml.symbolic.verification.proving import prove_identity

MAX_SIZE = 8
"""Most components of the system of first order."""
_PROOF_SECONDS = 2.0
_ERRORS = (*BALL_ERRORS, InputError, ex.Undefined, ex.TooLarge, RecursionError, TypeError,
           NotImplementedError, AttributeError, IndexError, KeyError)  # fmt: skip


@dataclass(frozen=True)
class FirstOrder:
    """X' = A X + b: `names` are those of the components of X, such as x, x', y."""

    names: list[str]
    A: Any
    b: list[Expr]


def solve_system(job: SystemJob) -> dict[str, Any]:
    """The message with one answer per function, each confirmed in every equation."""
    end = now() + job.timeout
    try:
        with at_most(job.timeout):
            return _solve(job, end)
    except TimeUp:
        return {"status": "timeout", "how": "the time ran out"}
    except InputError as error:
        return {"status": "refused", "how": error.what, "hint": error.hint}


def _solve(job: SystemJob, end: float) -> dict[str, Any]:
    system = first_order_form(job.equations, job.functions, job.variable)
    t = job.variable
    try:
        general = _general_solution(system, t)
    except _ERRORS as error:
        return {"status": "no_answer", "how": str(error)[:200]}
    if general is None:
        return {"status": "no_answer", "how": "the eigenvalues have no short closed form, or the "
                "right side is no sum of powers, exponentials, sines and cosines"}  # fmt: skip
    if job.conditions:
        general = _with_conditions(general, system, job)
        if general is None:
            return {"status": "no_answer", "how": "no constants satisfy the conditions"}
    answers = {name: general[system.names.index(name)] for name in job.functions}
    status = _confirm(job, answers, end)
    if not status:
        return {"status": "no_answer", "how": "the solution was refuted in an equation"}
    how = "symbolic" if status == "verified" else "residuals at complex points"
    method = "matrix exponential" + (", conditions" if job.conditions else "")
    dumped = {name: dump(answer) for name, answer in answers.items()}
    return {"status": status, "answers": dumped, "how": how, "method": method}


# ------------------------------------------------------------------ the form X' = A X + b
def first_order_form(equations: Sequence[Expr], functions: Sequence[str], t: str) -> FirstOrder:
    """The system of first order.

    Raises:
        InputError: for equations that are not linear with constant coefficients, or that do not
            determine the highest derivatives.
    """
    import sympy as sp

    orders = {f: _order(equations, f) for f in functions}
    for f, order in orders.items():
        if order == 0:
            raise InputError(f"no equation holds a derivative of {f!r}")
    names = [f + "'" * k for f in functions for k in range(orders[f])]
    highest = [f + "'" * orders[f] for f in functions]
    if len(names) > MAX_SIZE:
        raise InputError(f"the system has {len(names)} components, the limit is {MAX_SIZE}")
    everything = [*names, *highest]
    zero = {ex.symbol(name): ex.ZERO for name in everything}
    rows, rests = [], []
    for equation in equations:
        coefficients = []
        for name in everything:
            a = tidy(equation.diff(name))
            if not all(is_independent(a, other) for other in (*everything, t)):
                raise InputError("the equations must be linear with constant coefficients",
                                 where=str(equation))  # fmt: skip
            coefficients.append(ex.substitute(a, {**zero, ex.symbol(t): ex.ZERO}))
        rows.append(coefficients)
        rests.append(ex.substitute(equation, zero))
    M = sp.Matrix([[to_sympy(c) for c in row[len(names) :]] for row in rows])
    if sp.simplify(M.det()) == 0:
        raise InputError("the equations do not determine the highest derivatives")
    inverse = M.inv()
    N = -inverse * sp.Matrix([[to_sympy(c) for c in row[: len(names)]] for row in rows])
    r = -inverse * sp.Matrix([to_sympy(e) for e in rests])
    A = sp.zeros(len(names), len(names))
    b = [ex.ZERO] * len(names)
    for i, f in enumerate(functions):
        start, last = names.index(f), names.index(f) + orders[f] - 1
        for k in range(start, last):
            A[k, k + 1] = 1
        A[last, :] = N[i, :].applyfunc(sp.cancel)
        b[last] = tidy(from_sympy(r[i]))
    return FirstOrder(names, A, b)


def _order(equations: Sequence[Expr], f: str) -> int:
    names = frozenset().union(*(e.free for e in equations))
    return max((n.count("'") for n in names if n.rstrip("'") == f), default=0)


# ------------------------------------------------------------------ the general solution
def _general_solution(system: FirstOrder, t: str) -> list[Expr] | None:
    import sympy as sp

    A, n = system.A, len(system.names)
    time = ex.symbol(t)
    m = sp.Symbol("_m")
    coefficients = [from_sympy(sp.factor(c)) for c in reversed(A.charpoly(m).all_coeffs())]
    if n == 2:
        basis = list(of_second_order(coefficients[1], coefficients[0], time))
    else:
        basis = fundamental_system(coefficients, time) or []
    if not basis:
        return None
    powers = [sp.eye(n)]
    for _ in range(n - 1):
        powers.append((powers[-1] * A).applyfunc(sp.cancel))
    modes = _modes(basis, t)
    constants = sp.Matrix([sp.Symbol(f"c{i}") for i in range(1, n + 1)])
    columns = [(power * constants).applyfunc(sp.expand) for power in powers]
    general = []
    for i in range(n):
        parts = [from_sympy(column[i]) * mode for column, mode in zip(columns, modes, strict=True)]
        general.append(_collected(ex.add(parts), basis, n, t))
    if all(e is ex.ZERO for e in system.b):
        return general
    w = [undetermined_coefficients(coefficients, e, t) for e in system.b]
    known = [e for e in w if e is not None]
    if len(known) < n:
        return None
    adjugate = (m * sp.eye(n) - A).adjugate()
    return [
        general[i] + _tidy_sum(ex.add([_operate(adjugate[i, j], m, known[j], t) for j in range(n)]))
        for i in range(n)
    ]


def _modes(basis: list[Expr], t: str) -> list[Expr]:
    """The combinations f_k of the basis with f_k^(j)(0) = 1 if j = k, else 0."""
    import sympy as sp

    n, zero = len(basis), {ex.symbol(t): ex.ZERO}
    rows, slopes = [], list(basis)
    for _ in range(n):
        rows.append([to_sympy(ex.substitute(u, zero)) for u in slopes])
        slopes = [u.diff(t) for u in slopes]
    inverse = sp.Matrix(rows).inv().applyfunc(sp.simplify)
    return [ex.add([from_sympy(inverse[i, k]) * basis[i] for i in range(n)]) for k in range(n)]


def _collected(e: Expr, basis: list[Expr], count: int, t: str) -> Expr:
    """A sum of multiples of the basis, with the coefficients simplified."""
    import sympy as sp

    marks = {u: ex.symbol(f"u__{i}") for i, u in enumerate(basis) if u is not ex.ONE}
    from sciml.symbolic.algebra.rewriting import expand

    total = expand(e)
    terms = total.args if total.op == "add" else (total,)
    by_basis: dict[Expr, list[Expr]] = {}
    for term in terms:
        for u in sorted(marks, key=ex.size, reverse=True):
            rest = term / u
            if t not in rest.free:
                by_basis.setdefault(u, []).append(rest)
                break
        else:
            by_basis.setdefault(ex.ONE, []).append(term)
    constants = [sp.Symbol(f"c{i}") for i in range(1, count + 1)]
    out = []
    for u, parts in by_basis.items():
        coefficient = sp.collect(sp.expand(sp.together(to_sympy(ex.add(parts)))), constants,
                                 sp.factor)  # fmt: skip
        out.append(from_sympy(coefficient) * u)
    return ex.add(out)


def _tidy_sum(e: Expr) -> Expr:
    import sympy as sp

    try:
        short = from_sympy(sp.simplify(to_sympy(e)))
    except _ERRORS:
        return e
    return min((e, short), key=ex.size)


def _operate(polynomial: Any, m: Any, w: Expr, t: str) -> Expr:
    """The polynomial in D = d/dt, applied to w."""
    import sympy as sp

    out, slope = ex.ZERO, w
    for c in reversed(sp.Poly(polynomial, m).all_coeffs()):
        out = out + from_sympy(sp.cancel(c)) * slope
        slope = slope.diff(t)
    return out


# ------------------------------------------------------------------ conditions and confirmation
def _with_conditions(
    general: list[Expr], system: FirstOrder, job: SystemJob
) -> list[Expr] | None:  # fmt: skip
    import sympy as sp

    equations = []
    for name, at, value in job.conditions:
        if name not in system.names:
            raise InputError(f"a condition is on {name}, which is no component of the system",
                             hint=f"They are {', '.join(system.names)}.")  # fmt: skip
        there = ex.substitute(general[system.names.index(name)], {ex.symbol(job.variable): at})
        equations.append(sp.simplify(to_sympy(there - value)))
    constants = [sp.Symbol(f"c{i}") for i in range(1, len(general) + 1)]
    solutions = sp.solve(equations, constants, dict=True)
    if not solutions:
        return None
    values: dict[Expr, ex.ExprLike] = {
        ex.symbol(c.name): from_sympy(sp.simplify(v)) for c, v in solutions[0].items()
    }
    out = [_tidy_sum(ex.substitute(e, values)) for e in general]
    for name, at, value in job.conditions:
        there = ex.substitute(out[system.names.index(name)], {ex.symbol(job.variable): at})
        if not numerically_equal(there, value):
            return None
    return out


def _confirm(job: SystemJob, answers: dict[str, Expr], end: float) -> str:
    """``verified`` where every residual is proved to vanish, ``sampled`` where it does at complex
    points; else empty."""
    values: dict[Expr, ex.ExprLike] = {}
    for name, answer in answers.items():
        slope = answer
        for k in range(_order(job.equations, name) + 1):
            values[ex.symbol(name + "'" * k)] = slope
            slope = slope.diff(job.variable)
    proved = True
    for equation in job.equations:
        residual = ex.substitute(equation, values)
        if not numerically_equal(residual, ex.ZERO):
            return ""
        seconds = max(0.1, min(_PROOF_SECONDS, end - now()))
        try:
            proved = proved and bool(
                prove_identity(residual, ex.ZERO, job.variable, None, seconds).holds
            )
        except _ERRORS:
            proved = False
    return "verified" if proved else "sampled"
