"""Genetic programming for symbolic regression: expression trees evolve, Levenberg-Marquardt fits
their constants, an archive keeps the best formula of every complexity.

The first population holds what a model proposes, sums of few terms (`sparse_sums`) and formulas
from a dictionary of terms (`dictionary`). Every tree is scored with its best scale and offset
(`formula.with_best_scale`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from sciml.symbolic.regression import dictionary
from sciml.symbolic.regression.formula import (
    BINARY,
    UNARY,
    UNDEFINED,
    Array,
    Formula,
    Tree,
    node_count,
    with_best_scale,
)
from sciml.symbolic.regression.sparse_sums import sparse_sums

Position = tuple[int, ...]
"""Child indices from the root to a subtree."""


class Evolution:
    """A search: population, archive, CPU time limit.

    Args:
        X, y: points [n, columns] and values [n].
        operators: names of `formula.UNARY` and `formula.BINARY`.
        seed: of the random numbers.
        cpu_seconds: CPU time of the search.
        population: trees per generation.
        max_nodes: nodes of the largest tree.

    Attributes:
        archive: the best formula of each complexity.
    """

    def __init__(
        self, X: Array, y: Array, operators: Sequence[str], seed: int, cpu_seconds: float,
        population: int, max_nodes: int,
    ) -> None:  # fmt: skip
        self.X, self.y = X, y
        self.rng = np.random.default_rng(seed)
        self.unary = [o for o in operators if o in UNARY]
        self.binary = [o for o in operators if o in BINARY]
        self.deadline = time.process_time() + cpu_seconds
        self.population_size, self.max_nodes = population, max_nodes
        self.archive: dict[int, Formula] = {}
        self.exact_error = 1e-28 * max(float(np.var(y)), 1e-300)
        self.scores: dict[Tree, Formula] = {}

    def time_left(self) -> float:
        """CPU seconds."""
        return self.deadline - time.process_time()

    def is_solved(self) -> bool:
        """Whether a formula is exact, but for rounding."""
        return any(f.error <= self.exact_error for f in self.archive.values())

    def run(self, proposals: list[Tree]) -> None:
        """Search until the time is over or a formula is exact."""
        operators = (self.unary, self.binary)
        starts = sparse_sums(self.X, self.y, *operators, self.time_left)
        starts += dictionary.candidates(self.X, self.y, *operators)
        trees = [t for t in proposals + starts if node_count(t) <= self.max_nodes]
        trees += [("x", i) for i in range(self.X.shape[1])]
        missing = self.population_size - min(len(trees), self.population_size)
        trees += [self.random_tree(3) for _ in range(missing)]
        self._fit_proposals(proposals)
        population = [self.score(t) for t in trees if node_count(t) <= self.max_nodes]
        generation = 0
        while self.time_left() > 0 and not self.is_solved():
            generation += 1
            elite = self._best(self.population_size // 20)
            population = self._next_generation(population, elite)
            if generation % 4 == 0:
                for formula in self._best(4):
                    if self.time_left() > 0:
                        self.refine(formula)
            if generation % 60 == 0:  # a fresh population; the archive stays
                fresh = [self.score(self.random_tree(3)) for _ in range(self.population_size)]
                population = fresh + elite

    def _best(self, count: int) -> list[Formula]:
        return sorted(self.archive.values(), key=lambda f: f.error)[:count]

    def _fit_proposals(self, proposals: list[Tree]) -> None:
        """The constants of a proposed skeleton are placeholders.

        They are fitted from their own values and from the best of many random ones: the basin of
        attraction of a frequency is narrow.
        """
        for tree in proposals:
            if node_count(tree) > self.max_nodes:
                continue
            constants = self._constants(tree)
            drawn = []
            for _ in range(64 if constants else 0):
                candidate = tree
                for at in constants:
                    size = self.rng.choice((-1, 1)) * self.rng.lognormal(0, 1.2)
                    candidate = _replaced(candidate, at, ("c", float(size)))
                drawn.append(self.score(candidate))
            best = sorted(drawn, key=lambda f: f.error)[:4]
            for start in (self.score(tree), *best):
                if self.time_left() < 0 or self.is_solved():
                    return
                self.refine(start)

    def _next_generation(self, population: list[Formula], elite: list[Formula]) -> list[Formula]:
        children = list(elite)
        while len(children) < self.population_size and self.time_left() > 0:
            parent = self._tournament(population).tree
            if self.rng.random() < 0.5:
                tree = self.crossover(parent, self._tournament(population).tree)
            else:
                tree = self.mutate(parent)
            if node_count(tree) <= self.max_nodes:
                children.append(self.score(tree))
        return children

    def _tournament(self, population: list[Formula]) -> Formula:
        picks = self.rng.integers(len(population), size=4)
        return min((population[i] for i in picks), key=lambda f: f.error * 1.01**f.complexity)

    def score(self, tree: Tree) -> Formula:
        """The tree with its best scale and offset; enters the archive where it is the best."""
        formula = self.scores.get(tree)
        if formula is None:
            formula = with_best_scale(tree, self.X, self.y)
            if len(self.scores) > 200_000:
                self.scores.clear()
            self.scores[tree] = formula
            best = self.archive.get(formula.complexity)
            if best is None or formula.error < best.error:
                self.archive[formula.complexity] = formula
        return formula

    # ------------------------------------------------------------------ variation
    def random_tree(self, depth: int) -> Tree:
        """A random tree of at most that depth."""
        r = self.rng.random()
        if depth == 0 or r < 0.25:
            if self.rng.random() < 0.75:
                return ("x", int(self.rng.integers(self.X.shape[1])))
            return ("c", float(np.round(self.rng.normal(0, 2), 2)))
        if self.unary and (r < 0.5 or not self.binary):
            return (self._pick(self.unary), self.random_tree(depth - 1))
        return (self._pick(self.binary), self.random_tree(depth - 1), self.random_tree(depth - 1))

    def _pick(self, items: list[str]) -> str:
        return items[int(self.rng.integers(len(items)))]

    def mutate(self, tree: Tree) -> Tree:
        """One subtree changed: a constant moved, an operator exchanged, a node removed or inserted,
        or a new random subtree."""
        positions = _positions(tree)
        at = positions[int(self.rng.integers(len(positions)))]
        old = _subtree(tree, at)
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
            new = (self._pick(self.binary), old, self.random_tree(1))
        elif r < 0.9 and self.unary:
            new = (self._pick(self.unary), old)
        else:
            new = self.random_tree(int(self.rng.integers(1, 3)))
        return _replaced(tree, at, new)

    def crossover(self, a: Tree, b: Tree) -> Tree:
        """`a` with one of its subtrees replaced by one of `b`."""
        in_a, in_b = _positions(a), _positions(b)
        return _replaced(
            a, in_a[int(self.rng.integers(len(in_a)))],
            _subtree(b, in_b[int(self.rng.integers(len(in_b)))]),
        )  # fmt: skip

    # ------------------------------------------------------------------ constants
    def _constants(self, tree: Tree) -> list[Position]:
        return [at for at in _positions(tree) if _subtree(tree, at)[0] == "c"]

    def refine(self, formula: Formula) -> Formula:
        """Constants by Levenberg-Marquardt, then snapped to simple numbers where that is free."""
        from scipy.optimize import least_squares

        tree = formula.tree
        constants = self._constants(tree)
        if not 0 < len(constants) <= 6:
            return formula

        def with_values(values: Array) -> Tree:
            out = tree
            for at, v in zip(constants, values, strict=True):
                out = _replaced(out, at, ("c", float(v)))
            return out

        def residual(values: Array) -> Array:
            formula = with_best_scale(with_values(values), self.X, self.y)
            if formula.error == UNDEFINED:
                return np.full(len(self.y), 1e6)
            return self.y - formula.predict(self.X)

        start = np.array([_subtree(tree, at)[1] for at in constants])
        fitted = least_squares(residual, start, max_nfev=40 * len(constants)).x
        best = self.score(with_values(fitted))
        for i in range(len(fitted)):
            simple = float(Fraction(float(fitted[i])).limit_denominator(12))
            if abs(simple - fitted[i]) < 1e-3 * max(1.0, abs(simple)):
                snapped = fitted.copy()
                snapped[i] = simple
                scored = self.score(with_values(snapped))
                if scored.error <= best.error * (1 + 1e-6) + self.exact_error:
                    fitted, best = snapped, scored
        return best


def _positions(tree: Tree, at: Position = ()) -> list[Position]:
    """Positions of all subtrees, the root's first."""
    out = [at]
    if tree[0] not in ("x", "c"):
        for i, child in enumerate(tree[1:], 1):
            out += _positions(child, (*at, i))
    return out


def _subtree(tree: Tree, at: Position) -> Tree:
    for i in at:
        tree = tree[i]
    return tree


def _replaced(tree: Tree, at: Position, new: Tree) -> Tree:
    """The tree with the subtree at a position replaced."""
    if not at:
        return new
    i = at[0]
    return (*tree[:i], _replaced(tree[i], at[1:], new), *tree[i + 1 :])
