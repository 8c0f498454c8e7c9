"""Ordinary differential equations of first and second order: isolate, try, substitute back.

Every proposal of `ode_first` and `ode_second` is put back into the equation and its residual is
evaluated in ball arithmetic at random values of the variable and the constants; SymPy's dsolve is
asked last, and the method says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from sciml.symbolic.algebra.rewriting import together
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import now
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.wire import dump, load
from sciml.symbolic.jobs import DsolveJob
from sciml.symbolic.ode.absolute_values import pieces
from sciml.symbolic.ode.checking import Region, check_explicit, check_implicit
from sciml.symbolic.ode.fallbacks import by_sympy, guesses
from sciml.symbolic.ode.first_order import METHODS, exact
from sciml.symbolic.ode.point_transformations import (
    transformed,
    transformed_second,
    transformed_swapped,
)
from sciml.symbolic.ode.second_order import METHODS_SECOND, as_linear
from sciml.symbolic.ode.singular_solutions import (
    candidates,
    conjugates,
    constant_solutions,
    covered,
    plain,
    plain_number,
    repeated,
    repeats,
    tidy_roots,
)
from sciml.symbolic.ode.tools import Context, Proposal, independent, solve_for, tidy
from sciml.symbolic.verification.result import PROOFS

_ERRORS = (ex.TooLarge, ex.Undefined, RecursionError, OverflowError, ZeroDivisionError)


def order_of(residual: Expr, y: str) -> int:
    """The order of the highest derivative."""
    return max((name.count("'") for name in residual.free if name.rstrip("'") == y), default=0)


def _isolated(residual: Expr, name: str) -> list[Expr]:
    """The highest derivative from residual = 0: linear, quadratic, or occurring once."""
    top = ex.symbol(name)
    slope = residual.diff(name)
    if name not in slope.free:
        return [tidy(-ex.substitute(residual, {top: ex.ZERO}) / slope)]
    tidied = tidy(slope)
    if name not in tidied.free:
        return [tidy(-ex.substitute(tidy(residual), {top: ex.ZERO}) / tidied)]
    return [tidy(f) for f in solve_for(residual, top, ex.ZERO)]


def _factors(residual: Expr, name: str) -> list[Expr]:
    """The factors of the equation in which the highest derivative occurs."""
    whole = together(residual)
    parts = whole.args if whole.op == "mul" else (whole,)
    found = [
        part.args[0] if part.op == "pow" else part
        for part in parts
        if name in part.free and not (part.op == "pow" and ex.negative(part.args[1]))
    ]
    return found if len(found) > 1 else [residual]


def _clairaut(residual: Expr, c: Context) -> Iterator[Proposal]:
    """y = x p + g(p): lines with p = c1; and p = a constant root in general."""
    p = ex.symbol(c.y + "'")
    for y_of in solve_for(residual, c.sy, ex.ZERO):
        rest = tidy(y_of - c.sx * p)
        if c.x not in rest.free:
            yield (
                "explicit",
                c.sx * ex.symbol("c1") + ex.substitute(rest, {p: ex.symbol("c1")}),
                "Clairaut",
            )
        else:
            yield from _lagrange(y_of, p, c)


def _lagrange(y_of: Expr, p: Expr, c: Context) -> Iterator[Proposal]:
    """y = x f(p) + g(p): linear in x as a function of p; explicit where p can be eliminated."""
    from sciml.symbolic.ode.first_order import linear

    f = y_of.diff(c.x)
    if c.x in f.free:
        return
    g = tidy(y_of - c.sx * f)
    if c.x in g.free:
        return
    name = p.value
    turned = (f.diff(name) * c.sx + g.diff(name)) / (p - f)
    inner = Context(name, c.x, c.deadline)
    for _, x_of, _ in linear(tidy(turned), inner):
        for p_of in solve_for(x_of, p, c.sx):
            yield "explicit", tidy(ex.substitute(y_of, {p: p_of})), "Lagrange"


def proposals(residual: Expr, c: Context, order: int) -> Iterator[Proposal]:
    """Solutions worth checking, in the order of the methods."""
    name = c.y + "'" * order
    methods = METHODS if order == 1 else METHODS_SECOND
    forms = [F for factor in _factors(residual, name) for F in _isolated(factor, name)]
    for method in methods:
        for F in forms[:3]:
            if c.left() < 0:
                return
            try:
                yield from method(F, c)
            except _ERRORS:
                continue
    if order == 1:
        p = ex.symbol(name)
        try:
            for F in forms[:2]:
                pieces = tidy(F)
                below = ex.ONE
                for factor in pieces.args if pieces.op == "mul" else (pieces,):
                    if (
                        factor.op == "pow"
                        and factor.args[1].op == "num"
                        and factor.args[1].value < 0
                    ):
                        below = below / factor
                yield from exact(tidy(-F * below), below, c)
                yield from exact(-F, ex.ONE, c)
            if p.value in residual.diff(name).free:
                yield from _clairaut(residual, c)
        except _ERRORS:
            pass


def substituted(residual: Expr, c: Context, order: int) -> Iterator[Proposal]:
    """Further solutions, by a new unknown function."""
    name = c.y + "'" * order
    forms = [F for factor in _factors(residual, name) for F in _isolated(factor, name)]
    for F in forms[:2]:
        if order == 2:
            yield from transformed_second(F, c, METHODS_SECOND[:4])
            continue
        yield from transformed(F, c)
        yield from transformed_swapped(F, c)


NOT_LOOKED = "other branches and singular solutions were not looked for"
MAY_LACK = "further solutions may be left out"


def solve_job(job: DsolveJob, send: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Solve residual = 0 in the worker.

    The reply holds the general solution, ``others`` (its other branches) and ``singular``
    solutions, each checked in the equation, and a ``note`` on what may be left out.
    """
    residual, y = job.f, job.function
    started = now()
    end = started + job.timeout

    def first(answer: dict[str, Any]) -> None:
        send({**answer, "note": NOT_LOOKED})

    sides = pieces(residual, y) if order_of(residual, y) in (1, 2) and job.rules else []
    found: list[dict[str, Any]] = []
    missing = ""
    for k, (side, region) in enumerate(sides):
        until = now() + (end - now()) / (len(sides) - k + 1)
        best = _general(side, job, until, first, residual, (region,))
        if best is not None and best["status"] in PROOFS:
            # On its side of u = 0 the equation is the one without |u|: a proof there suffices.
            proof = _proved(side, {**best, "holds": ""}, job.variable, y)
            best["status"] = proof.get("status", best["status"])
            best["how"] = proof.get("how", best["how"])
            found.append(best)
        else:
            missing = f"no solution was found where {region.text}"
    if missing or not sides or any(f["kind"] != "explicit" for f in found):
        whole = _general(residual, job, end, first, residual, ())
        if whole is not None and (not found or "only" not in whole["holds"]):
            found, missing = [whole], ""
    if not found:
        late = now() - started > 0.9 * job.timeout
        return {"status": "timeout" if late else "no_answer"}
    if found[0]["status"] not in PROOFS:
        return found[0]
    first(found[0])
    found[0].update(_proved(residual, found[0], job.variable, y))
    first(found[0])
    return _completed(residual, job, end, found, missing)


def _general(
    residual: Expr, job: DsolveJob, end: float, send: Callable[[dict[str, Any]], None],
    whole: Expr, known: Sequence[Region],
) -> dict[str, Any] | None:  # fmt: skip
    """The best general solution of `residual`, checked in the equation `whole`."""
    x, y = job.variable, job.function
    order = order_of(residual, y)
    started = now()
    best: dict[str, Any] | None = None

    def checked(found: Iterator[Proposal]) -> Iterator[dict[str, Any]]:
        return _checked(whole, x, y, order, found, known)

    if job.rules and order in (1, 2):
        share = 0.6 if job.sympy else 0.85 if job.model else 0.95
        c = Context(x, y, started + share * (end - started))
        for stage in (proposals, substituted):
            for answer in checked(stage(residual, c, order)):
                if _rank(answer) == 4:
                    return answer
                if best is None or _rank(answer) > _rank(best):
                    best = answer
                    if _rank(best):
                        send(answer)
                if now() > c.deadline:
                    break
            if best is not None and _rank(best) >= 2:
                return best
    if best is not None and best["status"] in PROOFS:
        return best
    if job.model and order in (1, 2) and now() < end:
        for answer in checked(guesses(residual, x, y, order, job)):
            if answer["status"] in PROOFS:
                return answer
            best = best or answer
    if job.sympy and now() < end:
        for answer in checked(by_sympy(residual, x, y, order)):
            if answer["status"] in PROOFS:
                return answer
            best = best or answer
    return best


def _completed(
    residual: Expr, job: DsolveJob, end: float, found: list[dict[str, Any]], missing: str
) -> dict[str, Any]:
    """The reply: the solutions found, proved where possible, with what they leave out."""
    x, y = job.variable, job.function
    order = order_of(residual, y)
    c = Context(x, y, now() + 0.5 * max(0.0, end - now()))
    main, others = found[0], found[1:]
    singular: list[dict[str, Any]] = []
    complete = False
    try:
        name = y + "'" * order
        forms = [F for g in _factors(residual, name) for F in _isolated(g, name)]
        complete = len(forms) == 1 and not missing and _is_linear(forms[0], c, order)
        if not complete and not missing:
            others += _branches(residual, forms, job, c, [main, *others])
        if not complete:
            singular = _singular(residual, forms, c, order, [main, *others])
    except _ERRORS:
        pass
    notes = [missing] if missing else []
    if singular and repeats(residual, y):
        notes.append("zeros of circular functions repeat: with a period added they are solutions")
    if not complete:
        notes.append(MAY_LACK)
    for solution in (*others, *singular):
        if now() < end - 0.2:
            solution.update(_proved(residual, solution, x, y))
    return {**main, "others": others, "singular": singular, "note": "; ".join(notes)}


def _proved(residual: Expr, solution: dict[str, Any], x: str, y: str) -> dict[str, Any]:
    """Status, how and where, with a proof looked for."""
    answer, order = load(solution["answer"]), order_of(residual, y)
    if "only" in solution["holds"]:
        return {}
    if solution["kind"] == "explicit":
        general = {f"c{k}" for k in range(1, order + 1)} <= answer.free
        check = check_explicit(residual, answer, x, y, order, general=general)
    else:
        check = check_implicit(residual, answer, x, y)
    if check.status not in PROOFS:
        return {}
    return {"status": check.status, "how": check.how, "holds": check.holds}


def _is_linear(F: Expr, c: Context, order: int) -> bool:
    """Whether y' = F or y'' = F is linear, so that the general solution is the whole."""
    if order == 2:
        return as_linear(F, c) is not None
    return independent(F.diff(c.y), c.y) and not any(
        n.op in ("abs", "sign") and c.y in n.free for n in ex.subtrees(F)
    )


def _branches(
    residual: Expr, forms: list[Expr], job: DsolveJob, c: Context, found: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Further general solutions: with the other sign of a root, or of another slope."""
    order = order_of(residual, c.y)
    constants = [f"c{k}" for k in range(1, order + 1)]
    out: list[dict[str, Any]] = []

    def new(Z: Expr) -> bool:
        families = [load(f["answer"]) for f in [*found, *out] if f["kind"] == "explicit"]
        return not any(covered(Y, Z, c.x, constants) for Y in families)

    def turn_round(known: dict[str, Any]) -> None:
        for Z in conjugates(load(known["answer"])) if known["kind"] == "explicit" else ():
            if c.left() < 0 or len(out) > 4:
                return
            method = known["method"] + ", another branch"
            tried = list(_checked(residual, c.x, c.y, order, iter([("explicit", Z, method)])))
            if tried and _rank(tried[0]) >= 3 and new(Z):
                out.append(tried[0])

    turn_round(found[0])
    if order == 1 and len(forms) > 1:
        for F in forms[:3]:
            equation = ex.symbol(c.y + "'") - F
            if c.left() < 0:
                break
            if any(_solves(equation, f, c) for f in [*found, *out]):
                continue
            more = _general(equation, replace(job, model=None, sympy=False),
                            now() + c.left() / 2, lambda message: None, residual, ())  # fmt: skip
            if more is not None and _rank(more):
                out.append(more)
                turn_round(more)
    if order == 2 and _any_constant(residual, c.y) and new(ex.number(Fraction(137, 100))):
        out.append({"answer": dump(ex.symbol("c1")), "kind": "explicit", "method": "constants",
                    "status": "verified", "how": "symbolic",
                    "holds": "everywhere it is defined"})  # fmt: skip
    return out


def _any_constant(residual: Expr, y: str) -> bool:
    """Whether y = c1 solves a second-order equation."""
    still = {ex.symbol(y + "'"): ex.ZERO, ex.symbol(y + "''"): ex.ZERO}
    try:
        return ex.substitute(residual, still) is ex.ZERO
    except ex.Undefined:
        return False


def _solves(equation: Expr, found: dict[str, Any], c: Context) -> bool:
    answer = load(found["answer"])
    if found["kind"] == "explicit":
        return check_explicit(equation, answer, c.x, c.y, 1, prove=False).points > 4
    return check_implicit(equation, answer, c.x, c.y, prove=False).points > 4


def _without_sizes(Z: Expr, residual: Expr) -> Expr:
    """u for |u| = sqrt(u**2), where the equation holds none: a root of a square has two values,
    and both are candidates."""
    if any(n.op in ("abs", "sign") for n in ex.subtrees(residual)):
        return Z
    return ex.substitute(Z, {n: n.args[0] for n in ex.subtrees(Z) if n.op == "abs"})


def _singular(
    residual: Expr, forms: list[Expr], c: Context, order: int, found: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Solutions without constants that no family found covers."""
    constants = [f"c{k}" for k in range(1, order + 1)]
    out: list[dict[str, Any]] = []
    seen: set[Expr] = set()
    if order == 1:
        solution = (found[0]["kind"], load(found[0]["answer"]))
        tries = candidates(residual, forms, solution, c)
    else:
        tries = constant_solutions(residual, forms, c)
    while c.left() > 0 and len(out) < 6:
        Z = next(tries, None)
        if Z is None:
            break
        Z = tidy(_without_sizes(tidy(_without_sizes(tidy_roots(Z), residual)), residual))
        Z = plain_number(Z)
        if Z in seen or not plain(Z, c.y, constants):
            continue
        seen.add(Z)
        try:
            check = check_explicit(residual, Z, c.x, c.y, order, general=False, prove=False)
            if check.status not in PROOFS or "complex" in check.holds:
                continue
            families = [load(f["answer"]) for f in found
                        if f["kind"] == "explicit" and "only" not in f["holds"]]  # fmt: skip
            if any(covered(Y, Z, c.x, constants) for Y in families):
                continue
            if repeated(Z, [load(s["answer"]) for s in out], c.x):
                continue
        except _ERRORS:
            continue
        out.append({"answer": dump(Z), "kind": "explicit", "method": "singular",
                    "status": check.status, "how": check.how, "holds": check.holds})  # fmt: skip
    return out


def _rank(answer: dict[str, Any]) -> int:
    """4: explicit and real; 3: on a part only; 2: implicit; 1: with complex values, or implicit on
    a part only; 0: not confirmed."""
    if answer["status"] not in PROOFS:
        return 0
    if "complex" in answer["holds"]:
        return 1
    part = "only" in answer["holds"]
    return (4 if answer["kind"] == "explicit" else 2) - part


def _checked(
    residual: Expr,
    x: str,
    y: str,
    order: int,
    found: Iterator[Proposal],
    known: Sequence[Region] = (),
) -> Iterator[dict[str, Any]]:
    seen: set[tuple[str, Expr]] = set()
    while True:
        try:
            kind, answer, method = next(found)
            if (kind, answer) in seen or ex.size(answer) > 4000:
                continue
            seen.add((kind, answer))
            if kind == "explicit":
                checked = check_explicit(residual, answer, x, y, order, prove=False, known=known)
            elif order == 1:
                checked = check_implicit(residual, answer, x, y, prove=False, known=known)
            else:
                continue
        except StopIteration:
            return
        except _ERRORS:
            continue
        if checked.agrees or checked.points:
            yield {
                "answer": dump(answer), "kind": kind, "method": method, "status": checked.status,
                "how": checked.how, "holds": checked.holds,
            }  # fmt: skip
