"""Symbolic regression at equal CPU time: this package, gplearn and Operon (pyoperon).

    python benchmarks/symbolic_regression.py --peer-python VENV/bin/python --set nguyen

The peers have an environment of their own. Every method has the same CPU seconds per problem on one
thread, the same points and functions (+ - * / sin cos exp log sqrt square) and three seeds. A
formula counts as recovered if it predicts the noise-free values at 500 new points, from a domain an
eighth wider at each end than that of the training points, to a root mean square error of 1e-3 (with
noise in the training values: 0.02) of their standard deviation: wrong formulas do not extrapolate.
Nguyen: Uy et al. 2011 (doi 10.1007/s10710-010-9121-2), table 1; feynman: Udrescu & Tegmark 2020
(arXiv:1905.11481), from their table of equations; noisy: some of both with 5 % Gaussian noise;
unseen: Livermore formulas (Mundhenk et al. 2021, arXiv:2111.00053) and further ones of Feynman's
(two of them reduced), chosen after this package's search was developed on the other sets.
Writes benchmarks/results/symbolic_regression.json after every fit, and a table beside it: the same
command goes on where it was stopped, and results of other sets and methods stay.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from machine import json_output, processor

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import numpy as np

Array = np.ndarray
Problem = tuple[Callable[..., Array], int, float, float, int, float]
"""(function of the columns, columns, low, high, points, noise as a share of the deviation)."""
s, c, e = np.sin, np.cos, np.exp
NGUYEN: dict[str, Problem] = {
    "1": (lambda x: x**3 + x**2 + x, 1, -1, 1, 20, 0),
    "2": (lambda x: x**4 + x**3 + x**2 + x, 1, -1, 1, 20, 0),
    "3": (lambda x: x**5 + x**4 + x**3 + x**2 + x, 1, -1, 1, 20, 0),
    "4": (lambda x: x**6 + x**5 + x**4 + x**3 + x**2 + x, 1, -1, 1, 20, 0),
    "5": (lambda x: s(x**2) * c(x) - 1, 1, -1, 1, 20, 0),
    "6": (lambda x: s(x) + s(x + x**2), 1, -1, 1, 20, 0),
    "7": (lambda x: np.log(x + 1) + np.log(x**2 + 1), 1, 0, 2, 20, 0),
    "8": (lambda x: np.sqrt(x), 1, 0, 4, 20, 0),
    "9": (lambda x, y: s(x) + s(y**2), 2, 0, 1, 100, 0),
    "10": (lambda x, y: 2 * s(x) * c(y), 2, 0, 1, 100, 0),
}
FEYNMAN: dict[str, Problem] = {
    "I.6.20a": (lambda t: e(-(t**2) / 2) / np.sqrt(2 * np.pi), 1, 1, 3, 200, 0),
    "I.12.1": (lambda m, n: m * n, 2, 1, 5, 200, 0),
    "I.12.4": (lambda q, eps, r: q / (4 * np.pi * eps * r**2), 3, 1, 5, 200, 0),
    "I.14.4": (lambda k, x: k * x**2 / 2, 2, 1, 5, 200, 0),
    "I.16.6": (lambda c_, v, u: (u + v) / (1 + u * v / c_**2), 3, 1, 5, 200, 0),
    "I.25.13": (lambda q, cap: q / cap, 2, 1, 5, 200, 0),
    "I.27.6": (lambda a, b, n: 1 / (1 / a + n / b), 3, 1, 5, 200, 0),
    "I.39.1": (lambda p, v: 1.5 * p * v, 2, 1, 5, 200, 0),
    "II.3.24": (lambda p, r: p / (4 * np.pi * r**2), 2, 1, 5, 200, 0),
    "II.11.28": (lambda n, a: 1 + n * a / (1 - n * a / 3), 2, 0, 1, 200, 0),
}
NOISY: dict[str, Problem] = {
    **{f"nguyen {k}": (*NGUYEN[k][:4], 100, 0.05) for k in ("1", "6", "7", "10")},
    **{f"feynman {k}": (*FEYNMAN[k][:5], 0.05) for k in ("I.12.4", "I.14.4", "I.27.6", "II.3.24")},
}
UNSEEN: dict[str, Problem] = {
    "L1": (lambda x: 1 / 3 + x + s(x**2), 1, -3, 3, 100, 0),
    "L3": (lambda x: s(x**3) * c(x**2) - 1, 1, -1, 1, 100, 0),
    "L4": (lambda x: np.log(x + 1) + np.log(x**2 + 1) + np.log(x), 1, 0.1, 2, 100, 0),
    "L5": (lambda x, y: x**4 - x**3 + x**2 - y, 2, 0, 1, 100, 0),
    "L7": (lambda x: np.sinh(x), 1, -1, 1, 100, 0),
    "L9": (lambda x: sum(x**k for k in range(1, 10)), 1, -1, 1, 100, 0),
    "L11": (lambda x, y: x**4 / (x + y), 2, 0.1, 1, 100, 0),
    "L12": (lambda x, y: x**5 / y**3, 2, 0.3, 1, 100, 0),
    "L14": (lambda x: x**3 + x**2 + x + s(x) + s(x**2), 1, -1, 1, 100, 0),
    "L19": (lambda x: x**5 + x**4 + x**2 + x, 1, -1, 1, 100, 0),
    "L20": (lambda x: e(-(x**2)), 1, -1, 1, 100, 0),
    "I.10.7": (lambda m, v: m / np.sqrt(1 - v**2), 2, 0.1, 0.8, 200, 0),
    "I.13.4": (lambda m, a, b, d: m * (a**2 + b**2 + d**2) / 2, 4, 1, 5, 200, 0),
    "I.24.6": (lambda m, a, b, x: m * (a**2 + b**2) * x**2 / 4, 4, 1, 3, 200, 0),
    "I.50.26": (lambda a, w, k: a * (c(w) + k * c(w) ** 2), 3, 1, 3, 200, 0),
    "II.15.4": (lambda m, b, t: -m * b * c(t), 3, 1, 5, 200, 0),
}
SETS = {"nguyen": NGUYEN, "feynman": FEYNMAN, "noisy": NOISY, "unseen": UNSEEN}


def points(problem: Problem, seed: int) -> tuple[Array, Array, Array, Array]:
    """Training points and values, and new points of a wider domain with noise-free values."""
    function, width, low, high, count, noise = problem
    rng = np.random.default_rng(seed)
    X = rng.uniform(low, high, (count, width))
    y = function(*X.T)
    y = y + noise * np.std(y) * rng.normal(size=count)
    margin = (high - low) / 8
    # A formula with roots or logarithms need not be defined below its domain.
    fresh = rng.uniform(low if low >= 0 else low - margin, high + margin, (500, width))
    return X, y, fresh, function(*fresh.T)


def with_sciml(X: Array, y: Array, seed: int, seconds: float) -> Callable[[Array], Array]:
    from sciml.symbolic import SymbolicRegressor

    return SymbolicRegressor(cpu_seconds=seconds, random_state=seed).fit(X, y).predict


def with_operon(X: Array, y: Array, seed: int, seconds: float) -> Callable[[Array], Array]:
    """Its own limit is wall-clock time: how many evaluations fit in the CPU time is measured first
    (and not counted)."""
    from pyoperon.sklearn import SymbolicRegressor

    def model(evaluations: int) -> Any:
        return SymbolicRegressor(
            allowed_symbols="add,sub,mul,div,sin,cos,exp,log,sqrt,square,constant,variable",
            generations=10**6, max_evaluations=evaluations, n_threads=1, optimizer_iterations=5,
            random_state=seed,
        )  # fmt: skip

    evaluations, began = 20_000, time.process_time()
    for _ in range(2):  # an evaluation takes longer as the trees grow
        start = time.process_time()
        model(evaluations).fit(X, y)
        spent = max(time.process_time() - start, 1e-3)
        evaluations = max(2000, int(evaluations * min(seconds / spent, 4.0)))
    CLOCK["uncounted"] += time.process_time() - began
    return model(evaluations).fit(X, y).predict


def with_gplearn(X: Array, y: Array, seed: int, seconds: float) -> Callable[[Array], Array]:
    from gplearn.functions import make_function
    from gplearn.genetic import SymbolicRegressor

    def exponential(x: Array) -> Array:
        return np.exp(np.clip(x, -50, 50))

    def square(x: Array) -> Array:
        return x * x

    own = [make_function(function=f, name=f.__name__, arity=1) for f in (exponential, square)]
    model = SymbolicRegressor(
        population_size=1000, generations=1, metric="mse", const_range=(-5.0, 5.0),
        parsimony_coefficient=0.0005, stopping_criteria=1e-12, random_state=seed, warm_start=True,
        function_set=("add", "sub", "mul", "div", "sin", "cos", "log", "sqrt", *own),
    )  # fmt: skip
    end = time.process_time() + seconds
    while True:  # one generation after the other, until the time is over or it is exact
        model.fit(X, y)
        if time.process_time() > end or model._program.raw_fitness_ < 1e-12:
            return model.predict
        model.set_params(generations=model.generations + 1)


CLOCK = {"uncounted": 0.0}
"""CPU seconds of a fit that are not counted."""
SIDES: dict[str, dict[str, Callable[..., Callable[[Array], Array]]]] = {
    "sciml": {"sciml": with_sciml},
    "peer": {"Operon": with_operon, "gplearn": with_gplearn},
}


def read(out: Path) -> dict[str, Any]:
    """The results so far."""
    return json.loads(out.read_text()) if out.exists() else {"sets": {}}


def write(out: Path, result: dict[str, Any]) -> None:
    """Replace the file atomically."""
    part = out.with_suffix(".part")
    part.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    part.replace(out)


def of_set(result: dict[str, Any], name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The results of a set with these settings; those with other settings are dropped."""
    entry: dict[str, Any] = result["sets"].get(name, {})
    if {key: entry.get(key) for key in settings} != settings:
        entry = {**settings, "methods": {}}
    entry.setdefault("rows", {})
    result["sets"][name] = entry
    return entry


def measure(side: str, name: str, settings: dict[str, Any], methods: list[str], out: Path) -> None:
    """Fit every problem of a set with the methods of one environment; fits in the file are kept."""
    warnings.filterwarnings("ignore")
    np.seterr(all="ignore")
    seeds, seconds = settings["seeds"], settings["cpu_seconds_a_problem"]
    chosen = {method: fit for method, fit in SIDES[side].items() if method in methods}
    for fit in chosen.values():  # imports are not timed
        fit(np.linspace(0, 1, 20)[:, None], np.linspace(0, 1, 20), 0, 1.0)
    for (key, problem), seed, (method, fit) in itertools.product(
        SETS[name].items(), range(seeds), chosen.items()
    ):
        result = read(out)
        rows = of_set(result, name, settings)["rows"].setdefault(method, {}).setdefault(key, {})
        if str(seed) in rows:
            continue
        X, y, fresh, clean = points(problem, 1000 + seed)
        started, CLOCK["uncounted"] = time.process_time(), 0.0
        try:
            predicted = fit(X, y, seed, seconds)(fresh)
            error = float(np.sqrt(np.mean((predicted - clean) ** 2)) / np.std(clean))
        except (ValueError, RuntimeError, FloatingPointError):
            error = float("inf")
        spent = time.process_time() - started - CLOCK["uncounted"]
        rows[str(seed)] = {
            "cpu_seconds": round(spent, 3), "error": error if error < 1e9 else 1e9,
            "recovered": bool(error < (0.02 if problem[-1] else 1e-3)),
        }  # fmt: skip
        write(out, result)
        print(name, method, key, seed, rows[str(seed)], file=sys.stderr, flush=True)


def summary(rows: dict[str, dict[str, dict]], seeds: int) -> dict[str, Any]:
    """A method's results on a set."""
    own = [fits[str(seed)] for fits in rows.values() for seed in range(seeds)]
    by_seed = [
        statistics.mean(fits[str(seed)]["recovered"] for fits in rows.values())
        for seed in range(seeds)
    ]
    return {
        "recovery_rate": round(statistics.mean(by_seed), 4),
        "by_seed": [round(v, 4) for v in by_seed],
        "median_error": float(f"{statistics.median(r['error'] for r in own):.3g}"),
        "median_cpu_seconds": round(statistics.median(r["cpu_seconds"] for r in own), 2),
        "solved_by_no_seed": [
            key for key, fits in rows.items() if not any(f["recovered"] for f in fits.values())
        ],
    }  # fmt: skip


def table(result: dict[str, Any]) -> str:
    """Markdown: the share of formulas recovered, mean and range over seeds, set by set."""
    from sciml.report import markdown  # not in the peers' environment

    methods = [method for side in SIDES.values() for method in side]
    lines = []
    for name in (name for name in SETS if name in result["sets"]):
        entry = result["sets"][name]
        cells = []
        for method in methods:
            scores = entry["methods"].get(method)
            low, high = (min(scores["by_seed"]), max(scores["by_seed"])) if scores else (0, 0)
            cells.append(f"{scores['recovery_rate']:.2f} ({low:.2f}-{high:.2f})" if scores else "")
        lines.append([name, entry["problems"], entry["seeds"], *cells])
    head = "Share of formulas recovered at equal CPU seconds per problem; in brackets: by seed.\n\n"
    return head + markdown.table(["set", "formulas", "seeds", *methods], lines)


def versions(python: str) -> str:
    code = (
        "from importlib.metadata import version as v\n"
        "for n in ('sciml','gplearn','pyoperon','scikit-learn','numpy'):\n"
        "    try: print(n, v(n), end='; ')\n"
        "    except Exception: pass\n"
    )
    return subprocess.run([python, "-c", code], capture_output=True, text=True).stdout.strip("; ")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peer-python", help="python of an environment with gplearn and pyoperon")
    parser.add_argument("--set", choices=list(SETS), required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    every = [method for side in SIDES.values() for method in side]
    parser.add_argument("--methods", nargs="+", choices=every, default=every)
    parser.add_argument("--side", choices=list(SIDES), help=argparse.SUPPRESS)
    results = Path(__file__).parent / "results"
    parser.add_argument("--out", type=Path, default=results / "symbolic_regression.json")
    options = parser.parse_args()
    name, out = options.set, options.out
    settings = {
        "problems": len(SETS[name]), "seeds": options.seeds,
        "cpu_seconds_a_problem": options.seconds,
    }  # fmt: skip
    if options.side:
        measure(options.side, name, settings, options.methods, out)
        print(json.dumps("done"))
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    pythons = {"sciml": sys.executable, "peer": options.peer_python}
    for side, python in pythons.items():
        if python is None or not set(SIDES[side]) & set(options.methods):
            continue
        json_output(
            python, __file__, "--side", side, "--set", name, "--seeds", options.seeds,
            "--seconds", options.seconds, "--out", out, "--methods", *options.methods,
        )  # fmt: skip
    result = read(out)
    entry = of_set(result, name, settings)
    for method, rows in entry["rows"].items():
        if sum(len(fits) for fits in rows.values()) == len(SETS[name]) * options.seeds:
            entry["methods"][method] = summary(rows, options.seeds)
            print(name, method, entry["methods"][method], flush=True)
    result |= {
        "what": "formulas recovered from points at equal CPU seconds per problem, one thread",
        "device": f"{processor()}, {os.cpu_count()} cores", "date": date.today().isoformat(),
        "command": "python benchmarks/symbolic_regression.py --peer-python VENV/bin/python "
        "--set nguyen|feynman|noisy|unseen",
    }  # fmt: skip
    used = {side: versions(python) for side, python in pythons.items() if python}
    before = result.get("versions", {})
    result["versions"] = {**(before if isinstance(before, dict) else {}), **used}
    write(out, result)
    out.with_suffix(".md").write_text(table(result), encoding="utf-8")


if __name__ == "__main__":
    main()
