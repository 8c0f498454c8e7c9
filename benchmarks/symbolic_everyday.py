"""A working day of a mathematician, beside SymPy: how many of its tasks are answered, and how many
answers are right.

    python benchmarks/symbolic_everyday.py --out benchmarks/results/symbolic_everyday.json

The tasks with their right answers are `tests/symbolic/everyday.py`. Both solvers run in a process
of their own; one judge compares their answers with the right ones at random
points to 10 digits. For equations and antiderivatives it puts the answer into the problem. Limits
are CPU seconds, so that the results do not depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "symbolic"))

from everyday import POSITIVE, TASKS, Row  # noqa: E402

CONSTANTS = ["a", "b", "c", "n", "w", "k", "r", "K", "L", "R", "V", "F", "A", "v"]
Answer = tuple[str, Any]
"""("answered" | "diverges" | "none" | "error", SymPy's expression or a list of them)."""


def read(text: str) -> Any:
    """Text of the list of tasks, which is part of this project, in SymPy."""
    import sympy as sp

    names = {n: sp.Symbol(n, positive=True) for n in POSITIVE}
    names |= {n: sp.Symbol(n) for n in ("x", "t", "s", "c1", "c2", "c3", "c4", "A", "v", "c", "y")}
    return sp.sympify(text, locals=names)


def plain(e: Any) -> Any:
    """The expression with real symbols."""
    import sympy as sp

    return e.xreplace({s: sp.Symbol(s.name.replace("C", "c"), real=True) for s in e.free_symbols})


class Here:
    """Solves jobs in this process, whose clock is CPU time."""

    def ask(self, job: Any, seconds: float) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The final message and the interim ones, as of `Worker.ask`."""
        from sciml.symbolic.worker_process import run

        sent: list[dict[str, Any]] = []
        try:
            return run(job, sent.append), sent
        except (ValueError, ArithmeticError, RecursionError) as error:
            return {"status": "no_answer", "how": f"{type(error).__name__}: {error}"}, sent


HERE = Here()


# ------------------------------------------------------------------ solvers
def ours(row: Row, timeout: float) -> Answer:
    """The answer of this package."""
    import sciml.symbolic as own
    from sciml.errors import InputError

    kind, args, _ = row
    try:
        result = _ours(own, kind, args, timeout)
    except (InputError, AttributeError, TypeError) as error:
        return "error", str(error)[:200]
    if result.status == "diverges":
        return "diverges", None
    if kind == "solve":
        return ("answered", result.exprs) if result.expression else ("none", None)
    e = result.expr
    return ("none", result.how) if e is None else ("answered", e)


def _ours(own: Any, kind: str, args: tuple, timeout: float) -> Any:
    common: dict[str, Any] = {"timeout": timeout, "worker": HERE}
    if kind == "definite":
        f, x, low, high = args
        return own.integrate(f, x, limits=(low, high), constants=CONSTANTS, **common)
    if kind == "indefinite":
        return own.integrate(*args, **common)
    if kind == "ode":
        equation, conditions = args
        return own.dsolve(equation, "y", "x", ics=conditions, constants=CONSTANTS, **common)
    rest = [c for c in CONSTANTS if c not in args[1:3]]
    return getattr(own, kind)(*args, constants=rest, **common)


def sympys(row: Row, timeout: float) -> Answer:
    """The answer of SymPy alone."""
    import sympy as sp

    from sciml.symbolic.expr.clock import TimeUp, at_most

    kind, args, _ = row
    unevaluated = (sp.Integral, sp.Sum, sp.Product, sp.Limit, sp.Derivative)
    try:
        with at_most(timeout):
            e = _sympys(sp, kind, args)
    except TimeUp:
        return "timeout", None
    except Exception as error:
        return "error", f"{type(error).__name__}: {error}"[:200]
    if isinstance(e, list):
        return ("answered", e) if e else ("none", None)
    if kind in ("definite", "summation", "product") and e in (sp.oo, -sp.oo, sp.zoo, sp.nan):
        return "diverges", None
    if e is None or e.has(*unevaluated) or e.has(sp.core.function.AppliedUndef):
        return "none", None
    return "answered", e


def _sympys(sp: Any, kind: str, args: tuple) -> Any:
    if kind == "ode":
        return _sympys_dsolve(sp, *args)
    x = read(args[1])
    if kind == "solve":
        left, _, right = args[0].partition("=")
        return sp.solve(read(left) - read(right or "0"), x)
    f = read(args[0])
    if kind == "definite":
        return sp.integrate(f, (x, read(args[2]), read(args[3])), conds="none")
    if kind == "indefinite":
        return sp.integrate(f, x)
    if kind == "limit":
        return sp.limit(f, x, read(args[2]), "+")
    if kind == "series":
        return sp.series(f, x, read(args[2]), args[3]).removeO()
    if kind == "summation":
        return sp.summation(f, (x, read(args[2]), read(args[3])))
    if kind == "product":
        return sp.product(f, (x, read(args[2]), read(args[3])))
    if kind == "laplace":
        return sp.laplace_transform(f, x, read(args[2]), noconds=True)
    k = read(args[2])
    return sp.fourier_transform(f, x, k).subs(k, k / (2 * sp.pi))


def _sympys_dsolve(sp: Any, text: str, conditions: dict[str, str]) -> Any:
    x, y = sp.Symbol("x", real=True), sp.Function("y")
    residual = _residual(text, y(x), x)
    ics = {}
    for left, right in conditions.items():
        at = read(left[left.index("(") + 1 : -1])
        order = left.count("'")
        ics[y(x).diff(x, order).subs(x, at) if order else y(at)] = plain(read(right))
    out = sp.dsolve(residual, y(x), ics=ics or None)
    out = out[0] if isinstance(out, list) else out
    return out.rhs if out.lhs == y(x) else None


def _residual(text: str, y: Any, x: Any) -> Any:
    left, right = text.split("=")
    e = f"({left})-({right})"
    for order in (4, 3, 2, 1):
        e = e.replace("y" + "'" * order, f"D{order}")
    from sympy import Symbol

    made = plain(read(e))
    return made.xreplace({Symbol("y", real=True): y}).xreplace(
        {Symbol(f"D{k}", real=True): y.diff(x, k) for k in (1, 2, 3, 4)}
    )


# ------------------------------------------------------------------ the judge
def right(row: Row, answer: Answer) -> bool:
    """Whether the answer is right."""
    import sympy as sp

    kind, args, correct = row
    status, e = answer
    if correct == "diverges" or status == "diverges":
        return correct == status
    if kind == "solve":
        expected = [read(part) for part in correct.split(";")]
        return len(e) == len(expected) and all(any(_same(a, b) for b in e) for a in expected)
    if kind == "indefinite":
        x = sp.Symbol("x", real=True)
        return _same(sp.diff(plain(e), x), sp.diff(plain(read(correct)), x), real=True)
    if kind == "ode":
        if args[1]:
            return _same(e, read(correct), real=True)
        x = sp.Symbol("x", real=True)
        missing = {s.name for s in read(correct).free_symbols} - {
            s.name for s in plain(e).free_symbols
        }
        if missing:
            return False
        return _same(_residual(args[0], plain(e), x).doit(), sp.Integer(0), real=True)
    return _same(e, read(correct), real=True)


def _same(a: Any, b: Any, real: bool = False) -> bool:
    """Whether two expressions agree at random positive values of their symbols."""
    import sympy as sp

    a, b = plain(a), plain(b)
    if a in (sp.oo, -sp.oo) or b in (sp.oo, -sp.oo):
        return a == b
    generator = random.Random(5)
    symbols = sorted(a.free_symbols | b.free_symbols, key=lambda s: s.name)
    agreeing = 0
    for _ in range(6):
        point = {s: sp.Rational(generator.randint(20, 99), 70) for s in symbols}
        try:
            u, v = (complex(sp.N(e.subs(point), 30)) for e in (a, b))
        except (TypeError, ValueError):
            continue
        if u != u or v != v:
            continue
        if abs(u - v) > 1e-10 * (1e-3 + abs(v)):
            return False
        agreeing += 1
    return agreeing > 2


# ------------------------------------------------------------------ running
def _child(pipe: Any, solver: str, timeout: float) -> None:
    import sympy  # noqa: F401  # its start-up counts for neither

    from sciml.symbolic.expr import clock

    clock.use_cpu_time()
    sys.setrecursionlimit(6000)
    solve = {"ours": ours, "sympy": sympys}[solver]
    for row in iter(pipe.recv, None):
        started = time.process_time()
        answer = solve(row, timeout)
        seconds = time.process_time() - started
        try:
            ok = answer[0] in ("answered", "diverges") and right(row, answer)
        except Exception as error:
            ok, answer = False, ("error", f"judge: {type(error).__name__}: {error}")
        pipe.send((answer[0], str(answer[1])[:300], ok, seconds))


def measure(solver: str, rows: list[Row], timeout: float) -> list[dict[str, Any]]:
    """Status, verdict and seconds of every row."""
    context = multiprocessing.get_context("spawn")
    child: Any = None
    here: Any = None
    out: list[dict[str, Any]] = []
    for row in rows:
        if child is None or not child.is_alive():
            here, there = context.Pipe()
            child = context.Process(
                target=_child, args=(there, solver, timeout), daemon=solver == "sympy"
            )
            child.start()
        here.send(row)
        if here.poll(60 + 30 * timeout):  # a last resort, on the wall
            status, text, ok, seconds = here.recv()
        else:
            child.kill()
            child.join()
            status, text, ok, seconds = "timeout", "", False, timeout
        out.append({"kind": row[0], "task": list(map(str, row[1])), "status": status,
                    "answer": text, "right": ok, "seconds": round(seconds, 2)})  # fmt: skip
        print(f"{solver:6} {'right' if ok else status:9} {seconds:6.2f} {row[0]} {row[1]}"
              + ("" if ok else f"  {text[:100]}"), file=sys.stderr, flush=True)  # fmt: skip
    if child is not None and child.is_alive():
        here.send(None)
        child.join(10)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--timeout", type=float, default=10.0)
    parser.add_argument("--solver", choices=["ours", "sympy", "both"], default="both")
    parser.add_argument("--kind", default="")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    from machine import processor  # beside this file, which tests load from elsewhere

    rows = [row for row in TASKS if options.kind in ("", row[0])]
    results: dict[str, Any] = {
        "machine": processor(), "date": time.strftime("%Y-%m-%d"),
        "timeout": options.timeout, "tasks": len(rows),
    }  # fmt: skip
    for solver in ["ours", "sympy"] if options.solver == "both" else [options.solver]:
        answers = measure(solver, rows, options.timeout)
        by_kind: dict[str, list[int]] = {}
        for a in answers:
            counts = by_kind.setdefault(a["kind"], [0, 0, 0])
            counts[0] += a["right"]
            counts[1] += a["status"] in ("answered", "diverges") and not a["right"]
            counts[2] += 1
        results[solver] = {
            "right": sum(a["right"] for a in answers),
            "wrong": sum(c[1] for c in by_kind.values()),
            "median_seconds": sorted(a["seconds"] for a in answers)[len(answers) // 2],
            "by_kind": {k: {"right": c[0], "wrong": c[1], "of": c[2]} for k, c in by_kind.items()},
            "answers": answers,
        }
        print({k: v for k, v in results[solver].items() if k != "answers"})
    if options.out:
        options.out.write_text(json.dumps(results, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
