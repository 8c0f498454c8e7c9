"""The measurements of `ceilings.py`: what each part does now, and what a perfect guess is worth.

Each is a generator of rows {"part", "case", "seed", "budget", way: score, ...}: some ways are the
present ones, some stand for a perfect learned part.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

Row = dict[str, Any]
Known = Callable[[Row], bool]
"""Whether a row with these values has been measured."""
LONG = 20.0
"""CPU-seconds of the annealing whose outcome is the perfect answer."""
SIZES = ((60, 200), (200, 640), (600, 1600))
"""Hard macros and clusters."""
NOISE = {"perfect + 2 % noise": 0.02, "perfect + 10 % noise": 0.1}
"""Deviation of every coordinate, in sides of the canvas."""


def placement(seeds: int, known: Known, budgets: tuple[float, ...]) -> Iterator[Row]:
    """Proxy after annealing from a random order, an electrostatic placement, and the outcome of a
    long annealing of the same design with noise on every hard and soft macro. The guess itself
    costs nothing. Lower is better; a seed is a design."""
    from sciml.placement import place
    from sciml.placement.classical.annealing import Annealer, AnnealingConfig
    from sciml.placement.classical.electrostatic_start import HOT
    from sciml.placement.classical.legalise import legalise_macros
    from sciml.placement.design import MACRO, SOFT
    from sciml.placement.generate import NetlistConfig, netlist

    small = netlist(NetlistConfig(macros=20, clusters=60, ports=20), seed=1)
    place(small, cpu_seconds=0.2, start="electrostatic")  # compiled
    for seed in range(seeds):
        for macros, clusters in SIZES:
            case = {"part": "placement", "case": f"{macros} macros", "seed": seed}
            if known(case):
                continue
            design = netlist(NetlistConfig(macros=macros, clusters=clusters, ports=200), seed)
            perfect = place(design, cpu_seconds=LONG, start="electrostatic", seed=seed)
            rng = np.random.default_rng([seed, macros])
            moves = np.isin(design.kind, (MACRO, SOFT)) & ~design.fixed
            best, canvas = perfect.design, design.canvas
            starts = {"perfect": best}
            for way, noise in NOISE.items():
                step = noise * rng.normal(size=(2, len(moves))) * moves
                x = np.clip(best.x + step[0] * canvas.width, canvas.x0, canvas.x1)
                y = np.clip(best.y + step[1] * canvas.height, canvas.y0, canvas.y1)
                starts[way] = legalise_macros(best.at(x, y))
            for budget in budgets:
                row: Row = {**case, "budget": budget, "reference": perfect.scores["proxy"]}
                zero = place(design, cpu_seconds=budget, start="zero", seed=seed)
                placed = place(design, cpu_seconds=budget, start="electrostatic", seed=seed)
                row |= {"zero": zero.scores["proxy"], "electrostatic": placed.scores["proxy"]}
                for way, start in starts.items():
                    annealer = Annealer(start, AnnealingConfig(hot=HOT), seed, budget)
                    row[way] = annealer.run().best
                yield row


LAWS = {
    "feynman": {
        "I.6.20a": "exp(-x0**2/2)/2.5066282746310002", "I.12.4": "x0/(12.566370614359172*x1*x2**2)",
        "I.16.6": "(x2+x1)/(1+x2*x1/x0**2)", "I.27.6": "1/(1/x0+x2/x1)",
        "II.11.28": "1+x0*x1/(1-x0*x1/3)", "I.10.7": "x0/sqrt(1-x1**2)",
        "I.24.6": "x0*(x1**2+x2**2)*x3**2/4", "I.50.26": "x0*(cos(x1)+x2*cos(x1)**2)",
    },
    "nguyen and livermore": {
        "N4": "x0**6+x0**5+x0**4+x0**3+x0**2+x0", "N7": "log(x0+1)+log(x0**2+1)",
        "N10": "2*sin(x0)*cos(x1)", "L1": "1/3+x0+sin(x0**2)", "L3": "sin(x0**3)*cos(x0**2)-1",
        "L4": "log(x0+1)+log(x0**2+1)+log(x0)", "L11": "x0**4/(x0+x1)",
        "L14": "x0**3+x0**2+x0+sin(x0)+sin(x0**2)",
    },
}  # fmt: skip
DOMAINS = {"I.6.20a": (1, 3), "II.11.28": (0, 1), "I.10.7": (0.1, 0.8), "I.24.6": (1, 3),
           "I.50.26": (1, 3), "N4": (-1, 1), "N7": (0, 2), "N10": (0, 1), "L1": (-3, 3),
           "L3": (-1, 1), "L4": (0.1, 2), "L11": (0.1, 1), "L14": (-1, 1)}  # fmt: skip
GENERATED = 8
"""Laws drawn as the skeleton model's training examples are, per seed."""


def regression(seeds: int, known: Known, budgets: tuple[float, ...]) -> Iterator[Row]:
    """Share of laws recovered (root mean square error at 500 new points of a wider domain below
    1e-3 of their deviation) by the search alone, and with the true skeleton among the first
    population, its constants not told. Higher is better."""
    from sciml.symbolic import SymbolicRegressor
    from sciml.symbolic.neural import skeletons
    from sciml.symbolic.regression.formula import evaluate

    for seed in range(seeds):
        rng = np.random.default_rng([seed, 24])
        laws: dict[str, list[tuple[Any, float, float, int, float]]] = {"generated": []}
        for name, texts in LAWS.items():
            laws[name] = [(tree_of(t), *DOMAINS.get(n, (1, 5)), 200, 0.0) for n, t in texts.items()]
        laws["feynman, 5 % noise"] = [(*law[:4], 0.05) for law in laws["feynman"][::2]]
        while len(laws["generated"]) < GENERATED:
            tree = skeletons.random_tree(rng, int(rng.integers(3, 8)), int(rng.integers(1, 4)))
            low = float(rng.choice([-2.0, 0.0, 0.5, 1.0]))
            X = rng.uniform(low, low + 3, (500, skeletons.COLUMNS))
            y = evaluate(tree, X)
            if np.isfinite(y).all() and 1e-3 < np.std(y) and np.abs(y).max() < 1e4:
                laws["generated"].append((tree, low, low + 3, 100, 0.0))
        for name, group in laws.items():
            for budget in budgets:
                case = {"part": "regression", "case": name, "seed": seed, "budget": budget}
                if known(case):
                    continue
                hits: dict[str, list[bool]] = {"search": [], "true skeleton": []}
                for number, (tree, low, high, points, noise) in enumerate(group):
                    columns = 1 + max(columns_of(tree))
                    rng = np.random.default_rng([seed, number])
                    X = rng.uniform(low, high, (points, columns))
                    margin = (high - low) / 8
                    fresh = rng.uniform(low if low >= 0 else low - margin, high + margin,
                                        (500, columns))  # fmt: skip
                    y, truth = evaluate(tree, X), evaluate(tree, fresh)
                    y = y + noise * np.std(y) * rng.normal(size=points)
                    defined = np.isfinite(truth)
                    for way, seeding in (
                        ("search", None),
                        ("true skeleton", lambda X, y, t=tree: [skeleton(t)]),
                    ):
                        model = SymbolicRegressor(
                            cpu_seconds=budget, random_state=seed, proposals=seeding
                        ).fit(X, y)
                        error = (model.predict(fresh) - truth)[defined]
                        most = 0.02 if noise else 1e-3
                        rms = np.sqrt(np.mean(error**2)) / np.std(truth[defined])
                        hits[way].append(bool(rms < most))
                yield {
                    **case,
                    "laws": len(group),
                    **{k: float(np.mean(v)) for k, v in hits.items()},
                }


def tree_of(text: str) -> Any:
    """The regression's tree of a formula in x0, x1, ... (numbers become constants)."""
    from sciml.symbolic.expr.parser import parse

    def tree(e: Any) -> Any:
        if e.op == "num":
            return ("c", float(e.value))
        if e.op == "sym":
            return ("x", int(str(e)[1:]))
        if e.op == "pow":
            base, power = tree(e.args[0]), e.args[1].value
            whole = abs(int(power)) if power.denominator == 1 else 0
            if whole:
                out = base
                for _ in range(whole - 1):
                    out = ("mul", out, base)
                out = ("square", base) if whole == 2 else out
            else:
                out = ("sqrt", base)
            return ("div", ("c", 1.0), out) if power < 0 else out
        parts = [tree(a) for a in e.args]
        if len(parts) == 1:
            return (e.op, parts[0])
        out = parts[0]
        for part in parts[1:]:
            out = (e.op, out, part)
        return out

    return tree(parse(text))


def skeleton(tree: Any) -> Any:
    """The tree with every constant 1."""
    if tree[0] == "c":
        return ("c", 1.0)
    return tree if tree[0] == "x" else (tree[0], *(skeleton(child) for child in tree[1:]))


def columns_of(tree: Any) -> set[int]:
    """Columns that a tree reads."""
    if tree[0] in ("x", "c"):
        return {tree[1]} if tree[0] == "x" else {0}
    return set().union(*(columns_of(child) for child in tree[1:]))


def integration(
    seeds: int, known: Known, budgets: tuple[float, ...], problems_file: Path | None
) -> Iterator[Row]:
    """Share of integrals answered within a budget by the rules in their order, and if nothing but
    the rules on the way to the answer had been tried (`ceiling_routes`): the quickest way that any
    budget found. Higher is better; a seed is a set of problems."""
    from ceiling_routes import answer, generated, listed

    from sciml.symbolic.expr import clock

    clock.use_cpu_time()
    for seed in range(seeds):
        sets = {kind: generated(kind, seed) for kind in ("bwd", "fwd", "ibp")}
        if problems_file is not None:
            sets[problems_file.name.split(".")[0]] = listed(problems_file, seed, seeds)
        for name, problems in sets.items():
            case = {"part": "integration", "case": name, "seed": seed}
            if known(case):
                continue
            order: dict[float, list[float]] = {b: [] for b in budgets}
            routes: list[float] = []
            for f in problems:
                answer(f, max(budgets))  # what is kept between calls is there for all that follow
                ways = [np.inf]
                for budget in budgets:
                    taken, route = answer(f, budget)
                    order[budget].append(taken)
                    ways.append(route)
                routes.append(min(ways))
            for budget in budgets:
                yield {
                    **case, "budget": budget, "problems": len(problems),
                    "rules in order": float(np.mean(np.array(order[budget]) <= budget)),
                    "perfect order": float(np.mean(np.array(routes) <= budget)),
                    "median seconds": float(np.median(order[max(budgets)])),
                    "median seconds, perfect": float(np.median(routes)),
                }  # fmt: skip


def folding(seeds: int, known: Known, families: Path | None) -> Iterator[Row]:
    """TM-score of coarse models folded from the distances of the shipped networks, and from the
    true classes of distance. Higher is better; a seed is a family: folding has no chance in it."""
    from sciml.protein.contacts.coarse_model import CENTERS, fold
    from sciml.protein.contacts.distogram import EDGES
    from sciml.protein.contacts.families import read_families
    from sciml.protein.contacts.predictor import ContactPredictor
    from sciml.protein.measure import metrics

    if families is None:
        return
    networks = {name: ContactPredictor.from_pretrained(name)
                for name in ("contacts-small", "contacts-base")}  # fmt: skip
    for number, family in enumerate(read_families(families)):
        case = {"part": "folding", "case": family.name, "seed": number}
        if known(case):
            continue
        began = time.process_time()
        order = np.argsort(family.column)
        columns, truth = family.column[order], family.ca[order]
        classes = np.digitize(metrics.distances(family.cb[order]), EDGES)
        maps = {name: model.predict(family.alignment).distogram[np.ix_(columns, columns)]
                for name, model in networks.items()}  # fmt: skip
        maps["true distances"] = np.eye(len(CENTERS))[classes]
        scores = {way: metrics.tm_score(fold(d, starts=2, steps=200).ca, truth)
                  for way, d in maps.items()}  # fmt: skip
        yield {**case, "budget": None, **scores, "cpu_seconds": time.process_time() - began}
