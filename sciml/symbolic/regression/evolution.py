"""The search for formulas: evolution of trees, constants by Levenberg-Marquardt, an archive of the
best formula of every complexity.

It starts from what a model proposes, from sparse sums and from a dictionary (see `dictionary`).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from sciml.symbolic.regression import dictionary
from sciml.symbolic.regression.formula import (
    BAD,
    BINARY,
    UNARY,
    Array,
    Formula,
    Tree,
    evaluate,
    nodes,
    scaled,
)


class Evolution:
    """The search: a population, an archive of the best for each complexity, the clock."""

    def __init__(
        self, X: Array, y: Array, operators: Sequence[str], seed: int, seconds: float,
        population: int, nodes_most: int,
    ) -> None:  # fmt: skip
        self.X, self.y = X, y
        self.rng = np.random.default_rng(seed)
        self.unary = [o for o in operators if o in UNARY]
        self.binary = [o for o in operators if o in BINARY]
        self.end = time.process_time() + seconds
        self.size, self.most = population, nodes_most
        self.archive: dict[int, Formula] = {}
        self.floor = 1e-28 * max(float(np.var(y)), 1e-300)
        self.seen: dict[Tree, Formula] = {}

    def left(self) -> float:
        return self.end - time.process_time()

    def random(self, depth: int) -> Tree:
        r = self.rng.random()
        if depth == 0 or r < 0.25:
            if self.rng.random() < 0.75:
                return ("x", int(self.rng.integers(self.X.shape[1])))
            return ("c", float(np.round(self.rng.normal(0, 2), 2)))
        if self.unary and (r < 0.5 or not self.binary):
            return (self._pick(self.unary), self.random(depth - 1))
        return (self._pick(self.binary), self.random(depth - 1), self.random(depth - 1))

    def _pick(self, items: list[str]) -> str:
        return items[int(self.rng.integers(len(items)))]

    def score(self, tree: Tree) -> Formula:
        known = self.seen.get(tree)
        if known is None:
            known = scaled(tree, self.X, self.y)
            if len(self.seen) > 200_000:
                self.seen.clear()
            self.seen[tree] = known
            best = self.archive.get(known.complexity)
            if best is None or known.error < best.error:
                self.archive[known.complexity] = known
        return known

    def solved(self) -> bool:
        return any(f.error <= self.floor for f in self.archive.values())

    def _places(self, tree: Tree, at: tuple[int, ...] = ()) -> list[tuple[int, ...]]:
        out = [at]
        if tree[0] not in ("x", "c"):
            for i, child in enumerate(tree[1:], 1):
                out += self._places(child, (*at, i))
        return out

    def _get(self, tree: Tree, at: tuple[int, ...]) -> Tree:
        for i in at:
            tree = tree[i]
        return tree

    def _put(self, tree: Tree, at: tuple[int, ...], new: Tree) -> Tree:
        if not at:
            return new
        i = at[0]
        return (*tree[:i], self._put(tree[i], at[1:], new), *tree[i + 1 :])

    def mutate(self, tree: Tree) -> Tree:
        places = self._places(tree)
        at = places[int(self.rng.integers(len(places)))]
        old = self._get(tree, at)
        r = self.rng.random()
        if r < 0.25 and old[0] == "c":
            value = old[1] * self.rng.normal(1, 0.3) + self.rng.normal(0, 0.1)
            new: Tree = ("c", float(value))
        elif r < 0.45 and old[0] in self.unary and len(self.unary) > 1:
            new = (self._pick(self.unary), old[1])
        elif r < 0.45 and old[0] in self.binary:
            new = (self._pick(self.binary), old[1], old[2])
        elif r < 0.65 and old[0] not in ("x", "c"):
            new = old[1 + int(self.rng.integers(len(old) - 1))]
        elif r < 0.8 and self.binary:
            new = (self._pick(self.binary), old, self.random(1))
        elif r < 0.9 and self.unary:
            new = (self._pick(self.unary), old)
        else:
            new = self.random(int(self.rng.integers(1, 3)))
        return self._put(tree, at, new)

    def cross(self, a: Tree, b: Tree) -> Tree:
        pa, pb = self._places(a), self._places(b)
        return self._put(
            a, pa[int(self.rng.integers(len(pa)))],
            self._get(b, pb[int(self.rng.integers(len(pb)))]),
        )  # fmt: skip

    def _tournament(self, population: list[Formula]) -> Formula:
        picks = self.rng.integers(len(population), size=4)
        return min((population[i] for i in picks), key=lambda f: f.error * 1.01**f.complexity)

    def _powers(self, exponents: tuple[int, ...]) -> Tree:
        out: Tree | None = None
        for i, e in enumerate(exponents):
            if e:
                power = self._power(("x", i), e)
                out = power if out is None else ("mul", out, power)
        return out or ("c", 1.0)

    def _power(self, x: Tree, e: int) -> Tree:
        """x to the e in as few nodes as squares allow."""
        if e == 1:
            return x
        if e % 2 == 0 and "square" in self.unary:
            return ("square", self._power(x, e // 2))
        return ("mul", x, self._power(x, e - 1))

    def sparse_sums(self) -> list[Tree]:
        """Sums of few monomials and single functions, by least squares whose small terms are
        dropped again and again (Brunton et al. 2016, arXiv:1509.03580)."""
        if not {"add", "mul"} <= set(self.binary):
            return []
        width = self.X.shape[1]
        most = {1: 6, 2: 4, 3: 3}.get(width, 2 if width < 12 else 1)
        powers = [
            e for e in itertools.product(range(most + 1), repeat=width) if 1 <= sum(e) <= most
        ]
        monomials = [self._powers(e) for e in powers]
        extra = [[], *([(u, ("x", i)) for i in range(width)] for u in self.unary)]
        out: list[Tree] = []
        for more in extra:
            library = monomials + more
            with np.errstate(all="ignore"):
                columns = [evaluate(t, self.X) for t in library]
            kept = [i for i, c in enumerate(columns) if np.isfinite(c).all() and np.ptp(c) > 0]
            if len(kept) + 1 >= len(self.y) or self.left() < 0:
                continue
            for threshold in (1e-7, 1e-3, 0.03, 0.2):
                tree = self._thresholded(library, columns, list(kept), threshold)
                if tree is not None:
                    out.append(tree)
        return out

    def _thresholded(
        self, library: list[Tree], columns: list[Array], active: list[int], threshold: float
    ) -> Tree | None:
        while active:
            matrix = np.stack([columns[i] for i in active] + [np.ones(len(self.y))], 1)
            values = np.linalg.lstsq(matrix, self.y, rcond=None)[0][:-1]
            weight = np.abs(values) * np.array([np.std(columns[i]) for i in active])
            small = weight < threshold * weight.max()
            if not small.any():
                break
            active = [i for i, drop in zip(active, small, strict=True) if not drop]
        if not active:
            return None
        tree: Tree | None = None
        for i, value in zip(active, values, strict=True):
            near = float(Fraction(float(value)).limit_denominator(60))
            value = near if abs(near - value) < 1e-7 * max(1.0, abs(value)) else float(value)
            term = library[i] if value == 1.0 else ("mul", ("c", value), library[i])
            tree = term if tree is None else ("add", tree, term)
        return tree

    def run(self, start: list[Tree]) -> None:
        """Search until the time is over or a formula is exact."""
        found = self.sparse_sums() + dictionary.seeds(self.X, self.y, self.unary, self.binary)
        trees = [t for t in start + found if nodes(t) <= self.most]
        trees += [("x", i) for i in range(self.X.shape[1])]
        trees += [self.random(3) for _ in range(self.size - min(len(trees), self.size))]
        for tree in start:  # constants of what was proposed are not yet fitted
            spots = [at for at in self._places(tree) if self._get(tree, at)[0] == "c"]
            for turn in range(5 if spots else 1):
                if self.left() < 0 or nodes(tree) > self.most or self.solved():
                    break
                for at in spots if turn else ():
                    tree = self._put(tree, at, ("c", float(self.rng.normal(0, 2))))
                self.refine(self.score(tree))
        population = [self.score(t) for t in trees if nodes(t) <= self.most]
        turn = 0
        while self.left() > 0 and not self.solved():
            turn += 1
            elite = sorted(self.archive.values(), key=lambda f: f.error)[: self.size // 20]
            children = list(elite)
            while len(children) < self.size and self.left() > 0:
                first = self._tournament(population).tree
                if self.rng.random() < 0.5:
                    tree = self.cross(first, self._tournament(population).tree)
                else:
                    tree = self.mutate(first)
                if nodes(tree) <= self.most:
                    children.append(self.score(tree))
            population = children
            if turn % 4 == 0:
                for formula in sorted(self.archive.values(), key=lambda f: f.error)[:4]:
                    if self.left() > 0:
                        self.refine(formula)
            if turn % 60 == 0:  # a fresh population keeps the archive
                population = [self.score(self.random(3)) for _ in range(self.size)] + elite

    def refine(self, formula: Formula) -> Formula:
        """Constants by Levenberg-Marquardt, then snapped to simple numbers where that is free."""
        from scipy.optimize import least_squares

        tree = formula.tree
        spots = [at for at in self._places(tree) if self._get(tree, at)[0] == "c"]
        if not 0 < len(spots) <= 6:
            return formula

        def with_values(values: Array) -> Tree:
            out = tree
            for at, v in zip(spots, values, strict=True):
                out = self._put(out, at, ("c", float(v)))
            return out

        def residual(values: Array) -> Array:
            formula = scaled(with_values(values), self.X, self.y)
            if formula.error == BAD:
                return np.full(len(self.y), 1e6)
            return self.y - formula.predict(self.X)

        begin = np.array([self._get(tree, at)[1] for at in spots])
        found = least_squares(residual, begin, max_nfev=40 * len(spots))
        best = self.score(with_values(found.x))
        snapped = found.x.copy()
        for i in range(len(snapped)):
            near = float(Fraction(float(snapped[i])).limit_denominator(12))
            if abs(near - snapped[i]) < 1e-3 * max(1.0, abs(near)):
                tried = snapped.copy()
                tried[i] = near
                scored = self.score(with_values(tried))
                if scored.error <= best.error * (1 + 1e-6) + self.floor:
                    snapped, best = tried, scored
        return best
