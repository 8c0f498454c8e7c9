"""Integrals and differential equations solved on identical rows: this package and other systems.

    python benchmarks/symbolic_vs_cas.py --shared ../shared --rows 100 --minutes 4
    python benchmarks/symbolic_vs_cas.py --file symbolic_suites --seconds 5 --rows 40 --fresh \
        --suites ../integration-test-suites --sets suites --solvers systems

Measured are this package's rules, its network's proposals (beam 1 and 10), and both (hybrid: the
rules, then the network in the remaining time). A row that the rules solve within a second is taken
over for the hybrid with its time, since the network is not reached; on every other row the hybrid
is run from the beginning.

Every answer is read by the whitelist parser and verified in the same way; it counts as confirmed,
proved or not, if it agrees at every point tried. Confirmed answers are checked once more without
this package's derivatives and evaluator, by central differences of SymPy's numbers. A definite
integral is confirmed if it has the published value to 12 digits. Each solver has the same CPU
seconds per problem in a process of its own, so that other work on the machine matters
little; the start of a computer algebra system is not counted. Systems that are not installed are
left out (Debian: maxima maxima-share fricas xcas).

Sets: those of `symbolic_sets`, with an unseen seed where they are generated (`--ode-model` names
the weights that propose solutions of equations), and the families k f, f + g, f(x + k), f(k x) of
the integrals that this package solved ("brittle"). The rows of a set are in one fixed shuffled
order and every solver starts from the first, so that any two can be compared on the rows that both
have tried. The same command goes on where it was stopped and tries contradicted rows again; `--redo
NAME` starts a solver again. Writes benchmarks/results/FILE.json and a table beside it.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from symbolic_everyday import HERE
from symbolic_record import HYBRID, OURS, Record
from symbolic_sets import CHAPTERS, DEFINITE, EQUATIONS, INTEGRALS, SKIPPED, Definite, load

from sciml.errors import InputError
from sciml.symbolic import cas, cas_equations
from sciml.symbolic.expr import clock
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import ball, precision
from sciml.symbolic.expr.parser import Unknown, parse
from sciml.symbolic.verification.checking import check

limit = 10.0
"""CPU seconds per problem."""
SLACK = 6.0
"""Wall-clock seconds per CPU second that other systems are given."""
VERIFICATION = 30
"""CPU seconds that the verification of an answer may take, beside the problem's."""
Answer = Expr | tuple[str, Expr] | list[tuple[str, Expr]] | None


# ---------------------------------------------------------------------- the solvers
def ours(f: Expr, beam: int = 0, rules: bool = True) -> Expr | None:
    """Rules alone, the shipped network's `beam` proposals alone, or both."""
    from sciml.symbolic.integration.search import Search

    search = Search(clock.now() + limit, _network(beam) if beam else None, use_rules=rules)
    antiderivative = search.integrate(f, "x")
    return antiderivative.answer if antiderivative else None


@functools.cache
def _network(beam: int) -> Any:
    import torch

    from sciml.symbolic.neural.candidates import antiderivatives

    torch.set_num_threads(1)  # a process with more could not be forked
    return antiderivatives("integrate-small", beam=beam)


def by_sympy(f: Expr) -> Expr | None:
    import sympy as sp

    from sciml.symbolic.expr.printing import from_sympy, to_sympy

    integral = sp.integrate(to_sympy(f), sp.Symbol("x"))
    return None if integral.has(sp.Integral) else from_sympy(integral)


def equation(
    residual: Expr, model: str | None, beam: int = 0, rules: bool = True, sympy: bool = False
) -> Answer:
    """A differential equation by this package's methods, by a network's `beam` proposals, by both,
    or by SymPy's dsolve."""
    from sciml.symbolic.expr.wire import load as load_expression
    from sciml.symbolic.jobs import DsolveJob
    from sciml.symbolic.ode.solver import solve_job

    job = DsolveJob(residual, "x", limit, model if beam else None, rules, beam, sympy=sympy)
    solution = solve_job(job, lambda message: None)
    if not solution.get("answer"):
        return None
    return solution["kind"], load_expression(solution["answer"])


def between(problem: Definite) -> Expr | None:
    """A definite integral by this package."""
    from sciml.symbolic import integrate

    ends = problem.low, problem.high
    return integrate(
        problem.f,
        "x",
        limits=ends,
        timeout=limit,
        model=None,
        worker=HERE,
    ).expression


def between_by_sympy(problem: Definite) -> Expr | None:
    import sympy as sp

    from sciml.symbolic.expr.printing import from_sympy, to_sympy

    infinity = {1: sp.oo, -1: -sp.oo}
    ends = [infinity[e.sign] if e.at is None else to_sympy(e.at)
            for e in (problem.low, problem.high)]  # fmt: skip
    value = sp.integrate(to_sympy(problem.f), (sp.Symbol("x"), *ends))
    return None if value.has(sp.Integral) else from_sympy(value)


def confirmed(problem: Expr | Definite, answer: Answer) -> bool:
    """Whether an answer agrees at every point tried; of several, whether one does."""
    if answer is None:
        return False
    if isinstance(problem, Definite):
        return isinstance(answer, Expr) and _same_number(answer, problem.value)
    if isinstance(answer, list):
        return any(confirmed(problem, one) for one in answer)
    if isinstance(answer, Expr):
        return check(problem, answer, "x").agrees
    from sciml.symbolic.ode.checking import check_explicit, check_implicit
    from sciml.symbolic.ode.solver import order_of

    kind, e = answer
    if kind == "explicit":
        return check_explicit(problem, e, "x", "y", order_of(problem, "y")).agrees
    return check_implicit(problem, e, "x", "y").agrees


def _same_number(a: Expr, b: Expr) -> bool:
    """Whether two constants agree to 12 digits."""
    with precision(300):
        x, y = ball(a), ball(b)
        return bool(abs(x - y) <= 1e-12 * abs(y)) if b is not ex.ZERO else bool(abs(x) < 1e-12)


def agrees_by_differences(f: Any, answer: Answer) -> bool | None:
    """Central differences of SymPy's 70-digit numbers at real points; None where it has none."""
    import sympy as sp

    from sciml.symbolic.expr.printing import to_sympy

    if not isinstance(answer, Expr) or isinstance(f, Definite):
        return None
    x, g, big = sp.Symbol("x"), to_sympy(f), to_sympy(answer)
    h, seen = sp.Float("1e-25", 90), 0
    for point in ("0.3171", "1.2345", "2.7361", "-0.4379", "-1.8127", "5.4321"):
        at = sp.Float(point, 90)
        # Exactly: floating point makes some number of 0/0 where x - |x| is 0.
        value = g.subs(x, sp.Rational(point)).evalf(70)
        ends = [big.evalf(70, subs={x: at + s * h}) for s in (1, -1)]
        if not all(v.is_number and v.is_finite for v in (value, *ends)):
            continue
        if abs(sp.im(value)) > 1e-20 or abs(value) > 1e6:  # far too steep for differences
            continue
        slope = (ends[0] - ends[1]) / (2 * h)
        if abs(slope - value) > 1e-6 * (1 + abs(value)):
            return False
        seen += 1
    return True if seen else None


def _by_system(solve: Callable[[Expr, float, float], Answer], f: Expr) -> Answer:
    """The answer of another system within the limit."""
    return solve(f, limit, SLACK * limit)


def _between_by_system(name: str, problem: Definite) -> Expr | None:
    ends = problem.low, problem.high
    return cas.BETWEEN[name](problem.f, *ends, limit, SLACK * limit)


ANTIDERIVATIVES: dict[str, Callable[[Any], Answer]] = {
    OURS: ours, HYBRID: partial(ours, beam=10),
    "network, beam 1": partial(ours, beam=1, rules=False),
    "network, beam 10": partial(ours, beam=10, rules=False),
    "SymPy": by_sympy,
    **{name: partial(_by_system, solve) for name, solve in cas.SYSTEMS.items()},
}  # fmt: skip
VALUES: dict[str, Callable[[Any], Answer]] = {
    OURS: between, "SymPy": between_by_sympy,
    **{name: partial(_between_by_system, name) for name in cas.BETWEEN},
}  # fmt: skip
FAMILY = "of solved: "
SETS = (*INTEGRALS, *EQUATIONS, *DEFINITE)
GROUPS = {
    "suites": ["BWD", *CHAPTERS, "Blake", "Hebisch", "MIT Bee", "Kamke", "Kamke with parameters"],
    "systems": [OURS, "SymPy", *cas.SYSTEMS],
}
"""Names of several sets or solvers."""


def equations(model: str | None) -> dict[str, Callable[[Expr], Answer]]:
    """The solvers of differential equations; those with a network where there is one."""
    solver = partial(equation, model=model)
    learned = {
        HYBRID: partial(solver, beam=10),
        "network, beam 1": partial(solver, beam=1, rules=False),
        "network, beam 10": partial(solver, beam=10, rules=False),
    }  # fmt: skip
    dsolve = partial(solver, rules=False, sympy=True)
    others = {name: partial(_by_system, solve) for name, solve in cas_equations.EQUATIONS.items()}
    return {OURS: solver, **(learned if model else {}), "SymPy": dsolve, **others}


_ERRORS = (InputError, RecursionError, ArithmeticError, ValueError, AttributeError, TypeError,
           NotImplementedError, IndexError, KeyError, MemoryError)  # fmt: skip


def in_process(name: str, solver: Callable[[Any], Answer], f: Any) -> tuple[bool, float, bool]:
    """(solved within the CPU time limit, CPU seconds, contradicted by differences), in a child that
    can be killed. The time of verification is not counted."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        try:
            _solve_in_child(name, solver, f, write)
        finally:  # whatever is raised: the child must not go on as its parent
            os._exit(0)
    os.close(write)
    lines = _read_until(read, time.monotonic() + SLACK * (limit + VERIFICATION), child).splitlines()
    os.wait4(child, 0)
    if not lines:
        return False, limit, False
    good, seconds, contradicted = json.loads(lines[-1])
    return bool(good), seconds, bool(contradicted)


def _solve_in_child(name: str, solver: Callable[[Any], Answer], f: Any, write: int) -> None:
    end = int(limit) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (end, end + VERIFICATION))
    resource.setrlimit(resource.RLIMIT_DATA, (2_500_000_000, 2_500_000_000))
    sys.setrecursionlimit(6000)
    sys.stdout = sys.stderr = open(os.devnull, "w")
    clock.use_cpu_time()
    started = time.process_time()
    answer: Answer = None
    good = contradicted = False
    try:
        answer = solver(f)
    except _ERRORS:
        pass
    resource.setrlimit(resource.RLIMIT_CPU, (end + VERIFICATION, end + VERIFICATION))
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = time.process_time() - started
    start = cas.START_UP if name in cas.SYSTEMS else 0.0
    seconds += max(0.0, used.ru_utime + used.ru_stime - start)
    if seconds <= limit:
        try:
            good = confirmed(f, answer)
            os.write(write, json.dumps([good, seconds, False]).encode() + b"\n")
            contradicted = good and agrees_by_differences(f, answer) is False
        except _ERRORS:
            pass
    os.write(write, json.dumps([good, seconds, contradicted]).encode() + b"\n")


def _read_until(read: int, end: float, child: int) -> bytes:
    """What a child writes before it ends; killed at `end`, for a limit of CPU time never ends a
    process that waits, for a pipe, a lock or another process."""
    out = b""
    with os.fdopen(read, "rb", buffering=0) as pipe:
        while (left := end - time.monotonic()) > 0:
            if select.select([pipe], [], [], left)[0]:
                data = pipe.read(1 << 16)
                if not data:
                    return out
                out += data
    os.kill(child, signal.SIGKILL)
    return out


def families(f: Expr, other: Expr, rng: np.random.Generator) -> dict[str, Expr]:
    """Variants of f, with k of either sign up to 10**4, log-uniform."""
    x = ex.symbol("x")
    a, b, c = (int(10 ** rng.uniform(0.3, 4)) * int(rng.choice([-1, 1])) for _ in range(3))
    return {
        "k f": a * f, "f + g": f + other, "f(x + k)": f.subs({x: x + b}),
        "f(k x)": f.subs({x: c * x}),
    }  # fmt: skip


def is_family(kind: str, sets: list[str]) -> bool:
    return kind.startswith(FAMILY) and "brittle" in sets


def brittleness(record: Record, shared: Path, rows: int, end: float) -> None:
    """How many of the integrals that this package solved it still solves in each family."""
    by_set = []
    for kind in INTEGRALS[:4]:
        bits = record.rows.get(kind, {}).get(OURS, {"solved": ""})["solved"]
        problems = load(kind, shared, None, len(bits)).problems
        by_set.append([f for f, bit in zip(problems, bits, strict=True) if bit == "1"])
    in_turn = [f for group in zip(*by_set, strict=False) for f in group][:rows]
    for i, f in enumerate(in_turn):
        near = families(f, in_turn[i - 1], np.random.default_rng([11, i]))
        for family, problem in near.items():
            kind = FAMILY + family
            if time.monotonic() > end:
                return
            if i in record.todo(kind, OURS, i + 1):
                record.put(kind, OURS, i, in_process(OURS, ours, problem))


def main() -> None:
    global limit
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--suites", type=Path, help="a checkout of integration-test-suites")
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=limit, help="CPU seconds per problem")
    parser.add_argument("--fresh", action="store_true", help="leave out rows used before")
    parser.add_argument("--solvers", nargs="*", default=list(ANTIDERIVATIVES))
    parser.add_argument("--sets", nargs="*", default=[*SETS, "brittle"])
    parser.add_argument("--ode-model", help="weights of a network for differential equations")
    parser.add_argument(
        "--redo", nargs="*", default=[], help="solvers to start again on these sets"
    )
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after this time")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--file", default="symbolic_vs_cas")
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    limit = options.seconds
    sets, solvers = ([word for name in names for word in GROUPS.get(name, [name])]
                     for names in (options.sets, options.solvers))  # fmt: skip
    options.out.mkdir(parents=True, exist_ok=True)
    record = Record(options.out / f"{options.file}.json", limit)
    for kind, entries in record.rows.items():
        for name in options.redo if kind in sets or is_family(kind, sets) else ():
            entries.pop(name, None)
    solvers_of = dict.fromkeys(INTEGRALS, ANTIDERIVATIVES)
    solvers_of |= dict.fromkeys(EQUATIONS, equations(options.ode_model))
    solvers_of |= dict.fromkeys(DEFINITE, VALUES)
    clock.use_cpu_time()
    for name in set(solvers) & {OURS, HYBRID, "network, beam 1", "network, beam 10"}:
        ANTIDERIVATIVES[name](parse("x*exp(x)"))  # load modules, tables, weights before the forks
    if options.ode_model:
        equation(parse("y' - y", unknown=Unknown("y", "x")), options.ode_model, 1, rules=False)
    import sympy  # noqa: F401

    for kind in (k for k in sets if k in solvers_of):
        rows = load(kind, options.shared, options.suites, options.rows, options.fresh)
        if not rows.problems:
            continue
        record.sets[kind] = {
            "rows_in_the_set": rows.of, "not_read": rows.unread,
            "rows_left_out_in_front": SKIPPED.get(kind, 0) if options.fresh else 0,
        }  # fmt: skip
        for name in solvers:
            if name not in solvers_of[kind]:
                continue
            if name in cas.SYSTEMS and name not in cas.installed():
                print(f"{name} is not installed", file=sys.stderr)
                continue
            for row in record.todo(kind, name, len(rows.problems)):
                if time.monotonic() > end:
                    break
                result = record.at_once(kind, row) if name == HYBRID else None
                if result is None:
                    result = in_process(name, solvers_of[kind][name], rows.problems[row])
                record.put(kind, name, row, result)
            print(kind, name, record.of(kind, name)["solved"].count("1"),
                  "of", len(record.of(kind, name)["solved"]), flush=True)  # fmt: skip
    if "brittle" in sets and OURS in solvers:
        brittleness(record, options.shared, options.rows, end)
    record.save()
    print(record.path.with_suffix(".md").read_text())


if __name__ == "__main__":
    main()
