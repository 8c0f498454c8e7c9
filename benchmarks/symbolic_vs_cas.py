"""Integrals solved, on identical rows: this package, SymPy, Maxima, Giac, FriCAS.

    python benchmarks/symbolic_vs_cas.py --shared ../shared --rows 100

Every answer, whoever gave it, is read by the whitelist parser and judged by the same verification.
Each solver has 10 CPU seconds a problem in a process of its own (so that other work on the machine
counts little); the start of a computer algebra system is not counted. Systems that are not
installed are left out (Debian: maxima maxima-share fricas xcas). The sets: published BWD and FWD
rows, own IBP rows with an unseen seed, independent Rubi problems; and for this package the families
k f, f + g, f(x + k), f(k x) of what it solved. Writes benchmarks/results/symbolic_vs_cas.json.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from sciml.errors import InputError
from sciml.symbolic import expression as ex
from sciml.symbolic.checking import check
from sciml.symbolic.expression import Expr
from sciml.symbolic.parser import parse
from sciml.symbolic.tokens import parse_prefix

LIMIT = 10.0
SLACK = 12.0
START = {"Maxima": 3.0, "Giac": 1.0, "FriCAS": 4.0}


def published(path: Path) -> list[Expr]:
    lines = gzip.open(path, "rt").read().splitlines()
    return [parse_prefix(line.split("|")[1].split("\t")[0].split()[2:]) for line in lines]


def load_sets(shared: Path | None, rows: int, wanted: list[str] | None) -> dict[str, list[Expr]]:
    out: dict[str, list[Expr]] = {}
    if shared is not None:
        folder = shared / "data" / "symbolic"
        for name, file in (("BWD", "prim_bwd.test.first3000.gz"), ("FWD", "prim_fwd.valid.gz")):
            items = published(folder / file)
            out[name] = items[5 :: max(1, len(items) // rows)][:rows]
        lines = gzip.open(folder / "rubi_independent_x_only.shared.jsonl.gz", "rt").readlines()
        rubi = []
        for line in lines:
            try:
                rubi.append(parse(json.loads(line)["integrand"]))
            except InputError:
                continue
        out["Rubi"] = rubi[:: max(1, len(rubi) // rows)][:rows]
    if wanted is not None and "IBP" not in wanted:
        return out
    from sciml.symbolic import generate

    stream = generate.stream("ibp", 990_001)
    out["IBP"] = [parse(next(stream)[1]) for _ in range(rows)]
    return out


def ours(f: Expr) -> Expr | None:
    from sciml.symbolic.search import Search

    found = Search(time.perf_counter() + LIMIT * SLACK).integrate(f, "x")
    return found.answer if found else None


def with_sympy(f: Expr) -> Expr | None:
    import sympy as sp

    from sciml.symbolic.printing import from_sympy, to_sympy

    found = sp.integrate(to_sympy(f), sp.Symbol("x"))
    return None if found.has(sp.Integral) else from_sympy(found)


def _run(command: list[str], text: str, seconds: float) -> str:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (int(seconds + 1), int(seconds + 1)))

    try:
        return subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=seconds * SLACK,
            preexec_fn=limit, check=False,
        ).stdout  # fmt: skip
    except subprocess.TimeoutExpired:
        return ""


def _read(text: str) -> Expr | None:
    try:
        return parse(text)
    except InputError:
        return None


def with_maxima(f: Expr) -> Expr | None:
    shown = str(f).replace("E", "%e").replace("pi", "%pi").replace("I", "%i")
    shown = shown.replace("sign(", "signum(")
    program = f'display2d:false$\nlinel:100000$\nprint("@@", integrate({shown},x), "@@")$\n'
    out = _run(["maxima", "--very-quiet"], program, LIMIT + START["Maxima"])
    found = re.search(r"@@(.*?)@@", out.replace("\\\n", "").replace("\n", " "))
    if not found or "integrate" in found.group(1):
        return None
    text = found.group(1).replace("%e", "E").replace("%pi", "pi").replace("%i", "I")
    return _read(text.replace("signum(", "sign(").replace("expintegral_ei", "Ei"))


def with_giac(f: Expr) -> Expr | None:
    shown = str(f).replace("E", "e").replace("I", "i")
    out = _run(["giac", f"integrate({shown},x)"], "", LIMIT + START["Giac"])
    lines = [line for line in out.splitlines() if line.strip() and not line.startswith("//")]
    if not lines or "integrate" in lines[-1]:
        return None
    text = re.sub(r"\bi\b", "I", lines[-1].strip('" '))
    return _read(text.replace("ln(", "log(").replace("surd", "root"))


def with_fricas(f: Expr) -> Expr | None:
    shown = str(f).replace("E", "%e").replace("pi", "%pi").replace("I", "%i")
    program = (
        ")set messages autoload off\n)set output length 245\n"
        f"unparse((integrate({shown},x))::InputForm)\n"
    )
    out = _run(["fricas", "-nosman"], program, LIMIT + START["FriCAS"])
    found = re.search(r'"(.*)"', out, re.S)
    if not found:
        return None
    text = re.sub(r"\n\s*", "", found.group(1)).replace("pi()", "pi").replace("%i", "I")
    text = re.sub(r"%e\b|exp\(1\)", "E", text)
    if text.startswith("["):
        text = text[1:].split(",")[0]
    return _read(text)


def judged(solver: Callable[[Expr], Expr | None], f: Expr) -> bool:
    try:
        answer = solver(f)
        return answer is not None and check(f, answer, "x").verified
    except (InputError, RecursionError, ArithmeticError, ValueError, AttributeError, TypeError,
            NotImplementedError, IndexError, KeyError):  # fmt: skip
        return False


def in_process(name: str, solver: Callable[[Expr], Expr | None], f: Expr) -> tuple[bool, float]:
    """Solved within the limit of CPU time, in a child that can be ended."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        cap = int(LIMIT + START.get(name, 0) + 20)
        resource.setrlimit(resource.RLIMIT_CPU, (cap, cap))
        sys.stdout = sys.stderr = open(os.devnull, "w")
        started = time.process_time()
        good = judged(solver, f)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = time.process_time() - started
        seconds += max(0.0, used.ru_utime + used.ru_stime - START.get(name, 0.0))
        os.write(write, json.dumps([good, seconds]).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        text = pipe.read()
    _, _, usage = os.wait4(child, 0)
    good, seconds = json.loads(text) if text else (False, usage.ru_utime)
    return bool(good) and seconds <= LIMIT, seconds


def families(f: Expr, other: Expr) -> dict[str, Expr]:
    x = ex.symbol("x")
    return {
        "k f": 7919 * f, "f + g": f + other, "f(x + k)": f.subs({x: x + 1234}),
        "f(k x)": f.subs({x: 4321 * x}),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--solvers", nargs="*", default=None)
    parser.add_argument("--sets", nargs="*", default=None)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    solvers: dict[str, Callable[[Expr], Expr | None]] = {
        "sciml (rules)": ours, "SymPy": with_sympy, "Maxima": with_maxima, "Giac": with_giac,
        "FriCAS": with_fricas,
    }  # fmt: skip
    binaries = {"Maxima": "maxima", "Giac": "giac", "FriCAS": "fricas"}
    sets = load_sets(
        options.shared if options.shared.is_dir() else None, options.rows, options.sets
    )
    target = options.out / "symbolic_vs_cas.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    result = json.loads(target.read_text()) if target.exists() else {"table": {}, "brittle": {}}
    result |= {
        "device": platform.processor() or platform.machine(), "cores": os.cpu_count(),
        "python": platform.python_version(), "date": date.today().isoformat(),
        "limit_cpu_seconds": LIMIT,
    }  # fmt: skip
    solved_by_us: list[Expr] = []
    for name, solver in solvers.items():
        if options.solvers is not None and name not in options.solvers:
            continue
        if name in binaries and shutil.which(binaries[name]) is None:
            print(f"{name} is not installed", file=sys.stderr)
            continue
        for kind, problems in sets.items():
            if options.sets is not None and kind not in options.sets:
                continue
            found = [in_process(name, solver, f) for f in problems]
            hits = sum(good for good, _ in found)
            if name.startswith("sciml"):
                solved_by_us += [f for f, (good, _) in zip(problems, found, strict=True) if good]
            result["table"].setdefault(kind, {})[name] = {
                "solved": hits, "of": len(problems),
                "median_cpu_seconds": round(statistics.median(t for _, t in found), 4),
            }  # fmt: skip
            print(kind, name, result["table"][kind][name], flush=True)
            target.write_text(json.dumps(result, indent=1) + "\n")
    if solved_by_us:
        sample = solved_by_us[:: max(1, len(solved_by_us) // options.rows)][: options.rows]
        kept: dict[str, list[bool]] = {}
        for i, f in enumerate(sample):
            for family, g in families(f, sample[i - 1]).items():
                kept.setdefault(family, []).append(in_process("sciml", ours, g)[0])
        result["brittle"] = {
            family: {"still_solved": sum(v), "of": len(v)} for family, v in kept.items()
        }
        print(result["brittle"], flush=True)
        target.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
