"""`solve_job`: the search for the solutions of a differential equation in the worker process.

Every proposal of `methods` and `fallbacks` is substituted into the equation and its residual is
evaluated in ball arithmetic at random values of the variable and the constants (`checking`). The
general solution is then completed: by its other branches, by singular solutions and by proofs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from sciml.errors import InputError
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import now
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.wire import dump
from sciml.symbolic.integration.search import ERRORS
from sciml.symbolic.jobs import DsolveJob
from sciml.symbolic.ode.absolute_values import split_absolute_values
from sciml.symbolic.ode.checking import check_explicit, check_implicit
from sciml.symbolic.ode.conditions import with_conditions
from sciml.symbolic.ode.fallbacks import network_proposals, sympy_proposals
from sciml.symbolic.ode.impulses import is_switched, switched_solution
from sciml.symbolic.ode.methods import (
    classical_proposals,
    explicit_forms,
    order_of,
    transformed_proposals,
)
from sciml.symbolic.ode.power_series import series_solution
from sciml.symbolic.ode.real_forms import real_form
from sciml.symbolic.ode.regions import Region
from sciml.symbolic.ode.second_order import as_linear
from sciml.symbolic.ode.singular_solutions import (
    conjugates,
    constant_solutions,
    has_periodic_zeros,
    is_covered,
    is_function_of_x,
    is_repeated,
    no_slopes,
    plain_number,
    singular_candidates,
    tidy_roots,
)
from sciml.symbolic.ode.tools import Context, Proposal, is_independent, tidy
from sciml.symbolic.verification.result import PROOFS

__all__ = ["order_of", "solve_job"]

_NOT_COMPLETED = "other branches and singular solutions were not searched"
_MAY_BE_INCOMPLETE = "further solutions may be left out"
Send = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Candidate:
    """A solution and the outcome of its check in the equation.

    Attributes:
        kind: "explicit", y = expr(x, c1, ...), or "implicit", expr(x, y) = c1.
        expr: the expression.
        method: the method that proposed it.
        status, how, holds: as of `verification.checking.Check`.
    """

    kind: str
    expr: Expr
    method: str
    status: str
    how: str
    holds: str

    @property
    def agrees(self) -> bool:
        """Whether it is proved, or solves the equation at all points tried."""
        return self.status in PROOFS

    @property
    def partial(self) -> bool:
        """Whether it holds on a part of its domain only."""
        return "only" in self.holds

    @property
    def rank(self) -> int:
        """4: explicit and real; 3: on a part only; 2: implicit; 1: with complex values, or implicit
        on a part only; 0: not confirmed."""
        if not self.agrees:
            return 0
        if "complex" in self.holds:
            return 1
        return (4 if self.kind == "explicit" else 2) - self.partial

    def message(self) -> dict[str, Any]:
        """The candidate as a message of the worker process."""
        return {"answer": dump(self.expr), "kind": self.kind, "method": self.method,
                "status": self.status, "how": self.how, "holds": self.holds}  # fmt: skip


def solve_job(job: DsolveJob, send: Send) -> dict[str, Any]:
    """Solve residual = 0.

    Args:
        job: the equation and its options.
        send: receives interim messages, with the best candidate so far.

    Returns:
        The message with the general solution, ``others`` (its other branches), ``singular``
        solutions, each checked in the equation, and a ``note`` on what may be missing.
    """
    residual, x, y = job.f, job.variable, job.function
    if job.terms:
        return series_solution(job)
    if job.rules and is_switched(residual, x):
        try:
            switched = switched_solution(job, order_of(residual, y))
        except InputError as error:
            return {"status": "refused", "how": error.what, "hint": error.hint}
        if switched is not None:
            return switched
    started = now()
    end = started + job.timeout

    def send_interim(candidate: Candidate) -> None:
        if job.conditions:
            return
        send({**candidate.message(), "note": _NOT_COMPLETED})

    sides = (
        split_absolute_values(residual, y) if order_of(residual, y) in (1, 2) and job.rules else []
    )
    solutions: list[Candidate] = []
    missing = ""
    for k, (side, region) in enumerate(sides):
        until = now() + (end - now()) / (len(sides) - k + 1)
        best = _general_solution(side, job, until, send_interim, residual, (region,))
        if best is not None and best.agrees:
            # On its side of u = 0 the equation is the one without |u|: a proof there suffices.
            proved = _with_proof(side, replace(best, holds=""), x, y)
            solutions.append(replace(best, status=proved.status, how=proved.how))
        else:
            missing = f"no solution was found where {region.text}"
    if missing or not sides or any(s.kind != "explicit" for s in solutions):
        single = _general_solution(residual, job, end, send_interim, residual, ())
        if single is not None and (not solutions or not single.partial):
            solutions, missing = [single], ""
    if not solutions:
        late = now() - started > 0.9 * job.timeout
        return {"status": "timeout" if late else "no_answer"}
    if not solutions[0].agrees:
        return solutions[0].message()
    send_interim(solutions[0])
    solutions[0] = _with_proof(residual, solutions[0], x, y)
    send_interim(solutions[0])
    message = _completed(residual, job, end, solutions, missing)
    return with_conditions(message, job, end) if job.conditions else message


def _general_solution(
    residual: Expr, job: DsolveJob, end: float, send_interim: Callable[[Candidate], None],
    equation: Expr, extra_regions: Sequence[Region],
) -> Candidate | None:  # fmt: skip
    """The best general solution of `residual`, checked in the residual `equation`."""
    x, y = job.variable, job.function
    order = order_of(residual, y)
    started = now()
    best: Candidate | None = None

    def checked(proposals: Iterator[Proposal]) -> Iterator[Candidate]:
        return _checked(equation, x, y, order, proposals, extra_regions)

    if job.rules:
        share = 0.6 if job.sympy else 0.85 if job.model else 0.95
        c = Context(x, y, started + share * (end - started))
        for stage in (classical_proposals, transformed_proposals):
            for candidate in checked(stage(residual, c, order)):
                if candidate.rank == 4:
                    return candidate
                if best is None or candidate.rank > best.rank:
                    best = candidate
                    if best.rank:
                        send_interim(best)
                if now() > c.deadline:
                    break
            if best is not None and best.rank >= 2:
                return best
    if best is not None and best.agrees:
        return best
    sources: list[Callable[[], Iterator[Proposal]]] = []
    if job.model and order in (1, 2):
        sources.append(lambda: network_proposals(residual, x, y, order, job))
    if job.sympy:
        sources.append(lambda: sympy_proposals(residual, x, y, order))
    for source in sources:
        if now() < end:
            for candidate in checked(source()):
                if candidate.agrees:
                    return candidate
                best = best or candidate
    return best


def _checked(
    residual: Expr, x: str, y: str, order: int, proposals: Iterator[Proposal],
    extra_regions: Sequence[Region] = (),
) -> Iterator[Candidate]:  # fmt: skip
    """The proposals that solve the equation at some points, with the outcome of the check."""
    seen: set[tuple[str, Expr]] = set()
    while True:
        try:
            kind, expr, method = next(proposals)
            expr = real_form(expr)
            if (kind, expr) in seen or ex.size(expr) > 4000:
                continue
            seen.add((kind, expr))
            if kind == "explicit":
                check = check_explicit(residual, expr, x, y, order, prove=False,
                                       extra_regions=extra_regions)  # fmt: skip
            elif order == 1:
                check = check_implicit(residual, expr, x, y, prove=False,
                                       extra_regions=extra_regions)  # fmt: skip
            else:
                continue
        except StopIteration:
            return
        except ERRORS:
            continue
        if check.agrees or check.points:
            yield Candidate(kind, expr, method, check.status, check.how, check.holds)


def _with_proof(residual: Expr, candidate: Candidate, x: str, y: str) -> Candidate:
    """The candidate after a check that tries a proof; unchanged if that does not confirm it."""
    if candidate.partial:
        return candidate
    if candidate.kind == "explicit":
        order = order_of(residual, y)
        general = {f"c{k}" for k in range(1, order + 1)} <= candidate.expr.free
        check = check_explicit(residual, candidate.expr, x, y, order, general=general)
    else:
        check = check_implicit(residual, candidate.expr, x, y)
    if not check.agrees:
        return candidate
    return replace(candidate, status=check.status, how=check.how, holds=check.holds)


# ------------------------------------------------------------------ other branches, singular ones
def _completed(
    residual: Expr, job: DsolveJob, end: float, solutions: list[Candidate], missing: str
) -> dict[str, Any]:
    """The final message: the solutions, their other branches, singular solutions, and a note."""
    x, y = job.variable, job.function
    order = order_of(residual, y)
    c = Context(x, y, now() + 0.5 * max(0.0, end - now()))
    main, others = solutions[0], solutions[1:]
    singular: list[Candidate] = []
    complete = False
    try:
        forms = explicit_forms(residual, y + "'" * order)
        complete = len(forms) == 1 and not missing and _is_linear(forms[0], c, order)
        if not complete and not missing and order <= 2:
            others += _other_branches(residual, forms, job, c, [main, *others])
        if not complete and order <= 2:
            singular = _singular_solutions(residual, forms, c, order, [main, *others])
    except ERRORS:
        pass
    notes = [missing] if missing else []
    if singular and has_periodic_zeros(residual, y):
        notes.append("zeros of circular functions repeat: with a period added they are solutions")
    if not complete:
        notes.append(_MAY_BE_INCOMPLETE)

    def proved(candidates: list[Candidate]) -> list[dict[str, Any]]:
        return [
            (_with_proof(residual, s, x, y) if now() < end - 0.2 else s).message()
            for s in candidates
        ]

    return {**main.message(), "others": proved(others), "singular": proved(singular),
            "note": "; ".join(notes)}  # fmt: skip


def _is_linear(F: Expr, c: Context, order: int) -> bool:
    """Whether y' = F or y'' = F is linear, so that the general solution contains every solution."""
    if order == 2:
        return as_linear(F, c) is not None
    if order > 2:
        names = [c.y + "'" * k for k in range(order)]
        return all(is_independent(F.diff(a), b) for a in names for b in names)
    return is_independent(F.diff(c.y), c.y) and not any(
        n.op in ("abs", "sign") and c.y in n.free for n in ex.subtrees(F)
    )


def _other_branches(
    residual: Expr, forms: list[Expr], job: DsolveJob, c: Context, solutions: list[Candidate]
) -> list[Candidate]:
    """Further general solutions: with the other sign of a root, or for another form of y'."""
    order = order_of(residual, c.y)
    constants = [f"c{k}" for k in range(1, order + 1)]
    out: list[Candidate] = []

    def is_new(Z: Expr) -> bool:
        families = [s.expr for s in [*solutions, *out] if s.kind == "explicit"]
        return not any(is_covered(Y, Z, c.x, constants) for Y in families)

    def add_conjugates(solution: Candidate) -> None:
        for Z in conjugates(solution.expr) if solution.kind == "explicit" else ():
            if c.time_left() < 0 or len(out) > 4:
                return
            proposal = ("explicit", Z, solution.method + ", another branch")
            candidates = list(_checked(residual, c.x, c.y, order, iter([proposal])))
            if candidates and candidates[0].rank >= 3 and is_new(Z):
                out.append(candidates[0])

    add_conjugates(solutions[0])
    if order == 1 and len(forms) > 1:
        for F in forms[:3]:
            equation = ex.symbol(c.y + "'") - F
            if c.time_left() < 0:
                break
            if any(_solves(equation, s, c) for s in [*solutions, *out]):
                continue
            branch = _general_solution(
                equation, replace(job, model=None, sympy=False), now() + c.time_left() / 2,
                lambda candidate: None, residual, (),
            )  # fmt: skip
            if branch is not None and branch.rank:
                out.append(branch)
                add_conjugates(branch)
    if order == 2 and _any_constant_solves(residual, c.y) and is_new(ex.number(Fraction(137, 100))):
        out.append(Candidate("explicit", ex.symbol("c1"), "constants", "verified", "symbolic",
                             "everywhere it is defined"))  # fmt: skip
    return out


def _any_constant_solves(residual: Expr, y: str) -> bool:
    """Whether y = c1 solves a second-order equation."""
    try:
        return ex.substitute(residual, no_slopes(y)) is ex.ZERO
    except ex.Undefined:
        return False


def _solves(equation: Expr, solution: Candidate, c: Context) -> bool:
    """Whether a solution of the whole equation solves this form of it."""
    if solution.kind == "explicit":
        return check_explicit(equation, solution.expr, c.x, c.y, 1, prove=False).points > 4
    return check_implicit(equation, solution.expr, c.x, c.y, prove=False).points > 4


def _without_absolute_values(Z: Expr, residual: Expr) -> Expr:
    """u for |u| = sqrt(u**2), unless the equation contains absolute values: both roots of a square
    are candidates."""
    if any(n.op in ("abs", "sign") for n in ex.subtrees(residual)):
        return Z
    return ex.substitute(Z, {n: n.args[0] for n in ex.subtrees(Z) if n.op == "abs"})


def _singular_solutions(
    residual: Expr, forms: list[Expr], c: Context, order: int, solutions: list[Candidate]
) -> list[Candidate]:
    """Solutions without constants that no family among the solutions contains."""
    constants = [f"c{k}" for k in range(1, order + 1)]
    out: list[Candidate] = []
    seen: set[Expr] = set()
    if order == 1:
        general = (solutions[0].kind, solutions[0].expr)
        candidates = singular_candidates(residual, forms, general, c)
    else:
        candidates = constant_solutions(residual, forms, c)
    while c.time_left() > 0 and len(out) < 6:
        Z = next(candidates, None)
        if Z is None:
            break
        Z = tidy(_without_absolute_values(tidy_roots(Z), residual))
        Z = plain_number(tidy(_without_absolute_values(Z, residual)))
        if Z in seen or not is_function_of_x(Z, c.y, constants):
            continue
        seen.add(Z)
        try:
            check = check_explicit(residual, Z, c.x, c.y, order, general=False, prove=False)
            if not check.agrees or "complex" in check.holds:
                continue
            families = [s.expr for s in solutions if s.kind == "explicit" and not s.partial]
            if any(is_covered(Y, Z, c.x, constants) for Y in families):
                continue
            if is_repeated(Z, [s.expr for s in out], c.x):
                continue
        except ERRORS:
            continue
        out.append(Candidate("explicit", Z, "singular", check.status, check.how, check.holds))
    return out
