"""How long an integral takes, and how long it would if every rule that failed had not been tried.

`Routes` is the package's search, which keeps account of the time in what came to nothing: rules
without an answer, answers that the check refused, sub-problems of those. What is left is the time
of the way to the answer, checks and the making of substitutions included.
"""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from sciml.symbolic.expr.clock import TimeUp, at_most, now
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.parser import parse
from sciml.symbolic.generate.problems import stream
from sciml.symbolic.integration import search
from sciml.symbolic.integration.ansatz import parallel_risch

PROBLEMS = 15
"""Of each kind and seed."""
RULES = [name for name in vars(search) if name.startswith("integrate_")]


class Routes(search.Search):
    """A search that knows which of its time was for nothing, in `wasted` [s]."""

    wasted: float = 0.0

    def account(self, call: Callable[..., Any], *args: Any) -> Any:
        """Call; all of its time is wasted if nothing comes of it."""
        before, began = self.wasted, now()
        result = call(*args)
        if not result:
            self.wasted = before + now() - began
        return result

    def _solve(self, *args: Any) -> Any:
        return self.account(super()._solve, *args)

    def _accept(self, *args: Any) -> Any:
        return self.account(super()._accept, *args)

    def _termwise(self, *args: Any) -> Any:
        return self.account(super()._termwise, *args)

    def _by_substitution(self, *args: Any) -> Any:
        return self.account(super()._by_substitution, *args)

    def _by_parts(self, f: Expr, x: str, proposals: list, depth: int, end: float) -> Any:
        ways = (self.account(super(Routes, self)._by_parts, f, x, [p], depth, end)
                for p in proposals)  # fmt: skip
        return next((way for way in ways if way), None)

    def proposals(self, *args: Any, **options: Any) -> Iterator[Any]:
        """The candidates of the ansatz; up to the last tower, time is wasted."""
        candidates = parallel_risch.candidates(*args, **options)
        while True:
            began = self.tower = now()
            item = next(candidates, None)
            ended = now()
            if item is None:
                self.wasted += ended - began
                return
            self.wasted += self.tower - began
            yield item
            self.wasted += ended - self.tower  # the candidate was refused


def answer(f: Expr, seconds: float) -> tuple[float, float]:
    """(CPU-seconds to an answer, those on the way to it); infinite without one."""
    routes = Routes(now() + seconds)
    originals = {name: getattr(search, name) for name in RULES}
    prepare, ansatz = parallel_risch._prepare, search.ansatz

    def prepared(*args: Any, **options: Any) -> Any:
        routes.tower = now()
        return prepare(*args, **options)

    began = now()
    try:
        for name, rule in originals.items():
            setattr(search, name, lambda *args, rule=rule: routes.account(rule, *args))
        parallel_risch._prepare = prepared
        setattr(search, "ansatz", SimpleNamespace(candidates=routes.proposals))  # noqa: B010
        with at_most(seconds):
            found = routes.integrate(f, "x")
        taken = now() - began
    except TimeUp:
        found, taken = None, seconds
    finally:
        for name, rule in originals.items():
            setattr(search, name, rule)
        parallel_risch._prepare, search.ansatz = prepare, ansatz
    return (taken, taken - routes.wasted) if found else (np.inf, np.inf)


def generated(kind: Any, seed: int) -> list[Expr]:
    """Integrands of one of the generators."""
    return [parse(row[1]) for row in itertools.islice(stream(kind, 2400 + seed), PROBLEMS)]


def listed(file: Path, part: int, parts: int) -> list[Expr]:
    """Every so many of the problems of a file of JSON lines (`integrand` or `problem`)."""
    opened = gzip.open(file, "rt") if file.suffix == ".gz" else file.open()
    with opened as lines:
        rows = [json.loads(line) for line in lines]
    texts = [row.get("integrand") or row["problem"] for row in rows]
    chosen = np.linspace(0, len(texts) - 1, min(parts * PROBLEMS, len(texts))).astype(int)
    return [parse(texts[i]) for i in chosen[part::parts]]
