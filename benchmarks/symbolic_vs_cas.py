"""Integrals and differential equations solved on identical rows: this package and other systems.

    python benchmarks/symbolic_vs_cas.py --shared ../shared --rows 100 --minutes 4

Measured are this package's rules, its network's proposals (beam 1 and 10), and both (hybrid: the
rules, then the network in the remaining time). A row that the rules solve within a second is taken
over for the hybrid with its time, since the network is not reached; on every other row the hybrid
is run from the beginning.

Every answer is read by the whitelist parser and verified in the same way; it counts as confirmed,
proved or not, if it agrees at every point tried. Confirmed answers are checked once more without
this package's derivatives and evaluator, by central differences of SymPy's numbers. Each solver has
10 CPU seconds per problem in a process of its own, so that other work on the machine matters
little; the start of a computer algebra system is not counted. Systems that are not installed are
left out (Debian: maxima maxima-share fricas xcas).

Sets: published BWD and FWD rows, generated IBP rows with an unseen seed, independent Rubi problems,
Rubi's chapters in x alone and with parameters; generated first- and second-order equations with an
unseen seed and Kamke's equations (also with SymPy's dsolve; `--ode-model` names the weights that
propose solutions); the families k f, f + g, f(x + k), f(k x) of the integrals that this package
solved. The rows of a set are in one fixed shuffled order and every solver starts from the first, so
that any two can be compared on the rows that both have tried. The same command goes on where it was
stopped and tries contradicted rows again; `--redo NAME` starts a solver again. Writes
benchmarks/results/symbolic_vs_cas.json and a table beside it.
"""

from __future__ import annotations

import argparse
import functools
import gzip
import json
import os
import resource
import select
import signal
import statistics
import sys
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from machine import processor

from sciml.errors import InputError
from sciml.report import markdown
from sciml.symbolic import cas
from sciml.symbolic.expr import clock
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.parser import Unknown, parse
from sciml.symbolic.expr.tokens import parse_prefix
from sciml.symbolic.verification.checking import check

LIMIT = 10.0
"""CPU seconds per problem."""
SLACK = 6.0
"""Wall-clock seconds per CPU second that other systems are given."""
UNSEEN = 990_001
OURS, HYBRID = "sciml (rules)", "hybrid"
AT_ONCE = 1.0
"""CPU seconds within which a solution by the rules is taken over for the hybrid."""
Answer = Expr | tuple[str, Expr] | None


# ---------------------------------------------------------------------- the rows
def _published(path: Path) -> list[Expr]:
    lines = gzip.open(path, "rt").read().splitlines()
    return [parse_prefix(line.split("|")[1].split("\t")[0].split()[2:]) for line in lines]


def _texts(path: Path, key: str, ode: bool = False, parameters: bool | None = None) -> list[Expr]:
    """The rows of a file that are read; `parameters`: with symbols (True), without, or all."""
    out = []
    for line in gzip.open(path, "rt"):
        row = json.loads(line)
        symbols = bool(row.get("parameters") or row.get("constants"))
        if row.get("arbitrary_functions") or parameters not in (None, symbols):
            continue
        try:
            out.append(parse(row[key], unknown=Unknown("y", "x") if ode else None))
        except InputError:
            continue
    return out


def _generated(kind: str, rows: int) -> list[Expr]:
    from sciml.symbolic.generate import problems as generate

    stream = generate.stream(kind, UNSEEN)  # type: ignore[arg-type]
    unknown = Unknown("y", "x") if kind.startswith("ode") else None
    return [parse(next(stream)[1], unknown=unknown) for _ in range(rows)]


def load(name: str, shared: Path, rows: int) -> list[Expr]:
    """The rows of a set, in their fixed order."""
    folder = shared / "data" / "symbolic"
    if name in ("IBP", "ODE1", "ODE2"):
        return _generated(name.lower(), rows)
    if not folder.is_dir():
        return []
    if name in ("BWD", "FWD"):
        published = {"BWD": "prim_bwd.test.first3000.gz", "FWD": "prim_fwd.valid.gz"}[name]
        items = _published(folder / published)
    elif name == "Rubi":
        items = _texts(folder / "rubi_independent_x_only.shared.jsonl.gz", "integrand")
    elif name.startswith("Rubi"):
        file = folder / "rubi_main.shared.jsonl.gz"
        items = _texts(file, "integrand", parameters=name.endswith("with parameters"))
    else:
        file = folder / "kamke_odes_odd.jsonl.gz"
        items = _texts(file, "equation", ode=True, parameters=name.endswith("with parameters"))
    order = np.random.default_rng(7).permutation(len(items))[:rows]
    return [items[i] for i in order]


# ---------------------------------------------------------------------- the solvers
def ours(f: Expr, beam: int = 0, rules: bool = True) -> Expr | None:
    """Rules alone, the shipped network's `beam` proposals alone, or both."""
    from sciml.symbolic.integration.search import Search

    search = Search(clock.now() + LIMIT, _network(beam) if beam else None, use_rules=rules)
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

    job = DsolveJob(residual, "x", LIMIT, model if beam else None, rules, beam, sympy=sympy)
    solution = solve_job(job, lambda message: None)
    if not solution.get("answer"):
        return None
    return solution["kind"], load_expression(solution["answer"])


def confirmed(problem: Expr, answer: Answer) -> bool:
    """Whether an answer agrees at every point tried."""
    if answer is None:
        return False
    if isinstance(answer, Expr):
        return check(problem, answer, "x").agrees
    from sciml.symbolic.ode.checking import check_explicit, check_implicit
    from sciml.symbolic.ode.solver import order_of

    kind, e = answer
    if kind == "explicit":
        return check_explicit(problem, e, "x", "y", order_of(problem, "y")).agrees
    return check_implicit(problem, e, "x", "y").agrees


def agrees_by_differences(f: Expr, answer: Answer) -> bool | None:
    """Central differences of SymPy's 70-digit numbers at real points; None where it has none."""
    import sympy as sp

    from sciml.symbolic.expr.printing import to_sympy

    if not isinstance(answer, Expr):
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


def _by_system(solve: Callable[[Expr, float, float], Expr | None], f: Expr) -> Answer:
    """The answer of another system within the limit."""
    return solve(f, LIMIT, SLACK * LIMIT)


INTEGRALS: dict[str, Callable[[Expr], Answer]] = {
    OURS: ours, HYBRID: partial(ours, beam=10),
    "network, beam 1": partial(ours, beam=1, rules=False),
    "network, beam 10": partial(ours, beam=10, rules=False),
    "SymPy": by_sympy,
    **{name: partial(_by_system, solve)
       for name, solve in cas.SYSTEMS.items()},
}  # fmt: skip
CHAPTERS = ("Rubi's chapters", "Rubi's chapters with parameters")
INTEGRAL_SETS = ("BWD", "FWD", "IBP", "Rubi", *CHAPTERS)
FAMILY = "of solved: "
EQUATION_SETS = ("ODE1", "ODE2", "Kamke", "Kamke with parameters")
SETS = (*INTEGRAL_SETS, *EQUATION_SETS)


def equations(model: str | None) -> dict[str, Callable[[Expr], Answer]]:
    """The solvers of differential equations; those with a network where there is one."""
    solver = partial(equation, model=model)
    learned = {
        HYBRID: partial(solver, beam=10),
        "network, beam 1": partial(solver, beam=1, rules=False),
        "network, beam 10": partial(solver, beam=10, rules=False),
    }  # fmt: skip
    dsolve = partial(solver, rules=False, sympy=True)
    return {OURS: solver, **(learned if model else {}), "SymPy": dsolve}


_ERRORS = (InputError, RecursionError, ArithmeticError, ValueError, AttributeError, TypeError,
           NotImplementedError, IndexError, KeyError, MemoryError)  # fmt: skip


def in_process(name: str, solver: Callable[[Expr], Answer], f: Expr) -> tuple[bool, float, bool]:
    """(solved within the CPU time limit, CPU seconds, contradicted by differences), in a child that
    can be killed. The time of verification is not counted."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        resource.setrlimit(resource.RLIMIT_CPU, (int(LIMIT) + 1, int(LIMIT) + 61))
        resource.setrlimit(resource.RLIMIT_DATA, (2_500_000_000, 2_500_000_000))
        sys.setrecursionlimit(6000)
        sys.stdout = sys.stderr = open(os.devnull, "w")
        clock.use_cpu_time()
        started = time.process_time()
        answer: Answer = None
        good = contradicted = False
        seconds = LIMIT
        try:
            answer = solver(f)
        except _ERRORS:
            pass
        resource.setrlimit(resource.RLIMIT_CPU, (int(LIMIT) + 61, int(LIMIT) + 61))
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = time.process_time() - started
        start = cas.START_UP if name in cas.SYSTEMS else 0.0
        seconds += max(0.0, used.ru_utime + used.ru_stime - start)
        if seconds <= LIMIT:
            try:
                good = confirmed(f, answer)
                os.write(write, json.dumps([good, seconds, False]).encode() + b"\n")
                contradicted = good and agrees_by_differences(f, answer) is False
            except _ERRORS:
                pass
        os.write(write, json.dumps([good, seconds, contradicted]).encode() + b"\n")
        os._exit(0)
    os.close(write)
    lines = _read_until(read, time.monotonic() + SLACK * (LIMIT + 60), child).splitlines()
    os.wait4(child, 0)
    if not lines:
        return False, LIMIT, False
    good, seconds, contradicted = json.loads(lines[-1])
    return bool(good), seconds, bool(contradicted)


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


# ---------------------------------------------------------------------- the results
class Record:
    """The results: for each set and solver a string of 1 and 0 (! where differences contradict a 1)
    and the CPU seconds of each row."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        self.rows: dict[str, dict[str, dict]] = self.data.setdefault("rows", {})
        for entry in (entry for solvers in self.rows.values() for entry in solvers.values()):
            if isinstance(entry["seconds"], str):  # one line in the file
                entry["seconds"] = [float(word) for word in entry["seconds"].split()]
        self.saved = 0.0

    def of(self, kind: str, solver: str) -> dict:
        return self.rows.setdefault(kind, {}).setdefault(solver, {"solved": "", "seconds": []})

    def at_once(self, kind: str, row: int) -> tuple[bool, float, bool] | None:
        """The rules' result, where they solved this row within `AT_ONCE`."""
        ours = self.of(kind, OURS)
        if ours["solved"][row : row + 1] == "1" and ours["seconds"][row] <= AT_ONCE:
            return True, ours["seconds"][row], False
        return None

    def todo(self, kind: str, solver: str, rows: int) -> list[int]:
        """Rows that were not tried or were contradicted."""
        solved = self.of(kind, solver)["solved"]
        return [i for i in range(rows) if solved[i : i + 1] in ("", "!")]

    def put(self, kind: str, solver: str, row: int, result: tuple[bool, float, bool]) -> None:
        entry = self.of(kind, solver)
        bit = "!" if result[2] else str(int(result[0]))
        entry["solved"] = entry["solved"][:row] + bit + entry["solved"][row + 1 :]
        entry["seconds"][row : row + 1] = [round(result[1], 3)]
        if time.monotonic() - self.saved > 5:
            self.save()

    def save(self) -> None:
        packages = ("sympy", "python-flint", "numpy")
        table = {kind: self._summary(kind) for kind in self.rows}
        written = {
            kind: {name: {**entry, "seconds": " ".join(f"{t:g}" for t in entry["seconds"])}
                   for name, entry in solvers.items()}
            for kind, solvers in self.rows.items()
        }  # fmt: skip
        self.data = {
            "device": processor(), "cores": os.cpu_count(),
            "versions": {name: version(name) for name in packages}, "date": str(date.today()),
            "limit_cpu_seconds": LIMIT, "table": table, "rows": written,
        }  # fmt: skip
        self.path.write_text(json.dumps(self.data, indent=1) + "\n")
        self.path.with_suffix(".md").write_text(self._markdown(table))
        self.saved = time.monotonic()

    def _summary(self, kind: str) -> dict[str, dict]:
        out = {}
        ours = self.rows[kind].get(OURS, {"solved": ""})["solved"]
        for solver, entry in self.rows[kind].items():
            n = len(entry["solved"])
            if not n:
                continue
            summary = {
                "solved": entry["solved"].count("1"), "of": n,
                "median_cpu_seconds": round(statistics.median(entry["seconds"]), 4),
                "contradicted": entry["solved"].count("!"),
            }  # fmt: skip
            if solver != OURS and min(n, len(ours)):
                m = min(n, len(ours))
                summary["on_shared_rows"] = {
                    "rows": m, "it": entry["solved"][:m].count("1"), OURS: ours[:m].count("1"),
                }  # fmt: skip
            out[solver] = summary
        return out

    @staticmethod
    def _markdown(table: dict) -> str:
        names = list(INTEGRALS)
        lines = []
        for kind in sorted(table, key=lambda kind: [*SETS, kind].index(kind)):
            cells = []
            for name in names:
                s = table[kind].get(name)
                cell = "" if s is None else f"{s['solved']} of {s['of']}"
                both = (s or {}).get("on_shared_rows")
                all_rows = both and both["rows"] == table[kind][OURS]["of"]
                rules = f" ({both[OURS]} of {both['rows']})" if both and not all_rows else ""
                cells.append(cell + rules)
            lines.append([kind, *cells])
        head = (
            f"Solved within {LIMIT:.0f} CPU seconds and confirmed. In brackets: the rules on the"
            " very same rows, where they are not all. Hybrid: the rules, then the network; rows"
            f" that the rules solve within {AT_ONCE:g} s are taken over from their column. Kamke,"
            " ODE1 and ODE2 are differential equations, with a network that is not shipped (the"
            " tutorial says how it was trained); of solved: variants of integrals that the rules"
            " solved."
            "\n\n"
        )
        return head + markdown.table(["rows", *names], lines)


def is_family(kind: str, sets: list[str]) -> bool:
    return kind.startswith(FAMILY) and "brittle" in sets


def brittleness(record: Record, shared: Path, rows: int, end: float) -> None:
    """How many of the integrals that this package solved it still solves in each family."""
    by_set = []
    for kind in INTEGRAL_SETS[:4]:
        bits = record.rows.get(kind, {}).get(OURS, {"solved": ""})["solved"]
        problems = load(kind, shared, len(bits))
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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--solvers", nargs="*", default=list(INTEGRALS))
    parser.add_argument("--sets", nargs="*", default=[*SETS, "brittle"])
    parser.add_argument("--ode-model", help="weights of a network for differential equations")
    parser.add_argument(
        "--redo", nargs="*", default=[], help="solvers to start again on these sets"
    )
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after this time")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    options.out.mkdir(parents=True, exist_ok=True)
    record = Record(options.out / "symbolic_vs_cas.json")
    for kind, solvers in record.rows.items():
        for name in options.redo if kind in options.sets or is_family(kind, options.sets) else ():
            solvers.pop(name, None)
    solvers_of = dict.fromkeys(INTEGRAL_SETS, INTEGRALS)
    solvers_of |= dict.fromkeys(EQUATION_SETS, equations(options.ode_model))
    clock.use_cpu_time()
    for solver in INTEGRALS.values():  # load modules, tables and weights before the forks
        if getattr(solver, "func", solver) is ours:
            solver(parse("x*exp(x)"))
    if options.ode_model:
        equation(parse("y' - y", unknown=Unknown("y", "x")), options.ode_model, 1, rules=False)
    import sympy  # noqa: F401

    for kind in (k for k in options.sets if k in solvers_of):
        problems = load(kind, options.shared, options.rows)
        for name in options.solvers:
            if name not in solvers_of[kind]:
                continue
            if name in cas.SYSTEMS and name not in cas.installed():
                print(f"{name} is not installed", file=sys.stderr)
                continue
            for row in record.todo(kind, name, len(problems)):
                if time.monotonic() > end:
                    break
                result = record.at_once(kind, row) if name == HYBRID else None
                if result is None:
                    result = in_process(name, solvers_of[kind][name], problems[row])
                record.put(kind, name, row, result)
            print(kind, name, record.of(kind, name)["solved"].count("1"),
                  "of", len(record.of(kind, name)["solved"]), flush=True)  # fmt: skip
    if "brittle" in options.sets and OURS in options.solvers:
        brittleness(record, options.shared, options.rows, end)
    record.save()
    print(record.path.with_suffix(".md").read_text())


if __name__ == "__main__":
    main()
