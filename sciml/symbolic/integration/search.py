"""The order of attempts: ansatz first, then sums term by term, substitutions, parts, recursion.

Every answer that is returned has passed `checking.check` against the problem as posed;
answers of sub-problems only have to hold somewhere, since a substitution lives on one branch.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from sciml.symbolic.algebra.rewriting import collapsed, ex_expand, together
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import now
from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.integration import ansatz, rules
from sciml.symbolic.integration.dilogarithms import integrate_with_logarithm
from sciml.symbolic.integration.rational_functions import integrate_rational, square_free
from sciml.symbolic.verification.checking import Check, check

MAX_DEPTH = 4
RULES_SHARE = 0.85
"""Of the time, what the rules may use where a source of guesses comes after them."""
_ERRORS = (ex.TooLarge, ex.Undefined, RecursionError, OverflowError, ZeroDivisionError)
Propose = Callable[[Expr, str], Iterator[tuple[Expr, str]]]
"""A source of guessed antiderivatives: (integrand, variable) -> (answer, method), ..."""


@dataclass(frozen=True)
class Found:
    """An answer and how good it is."""

    answer: Expr
    method: str
    check: Check


@dataclass
class Search:
    """One problem's search, with a deadline and a memory of what has been tried.

    Attributes:
        deadline: value of the clock to stop at.
        propose: guesses asked for after the rules at depth 0, such as a trained model's.
        best: the best answer so far that was not confirmed, for repair and for reporting as such.
        refused: answers that were refuted later.
    """

    deadline: float
    propose: Propose | None = None
    use_rules: bool = True
    best: Found | None = None
    memo: dict[tuple[Expr, str], Found | None] = field(default_factory=dict)
    refused: set[Expr] = field(default_factory=set)

    def left(self) -> float:
        return self.deadline - now()

    def integrate(self, f: Expr, x: str) -> Found | None:
        """An antiderivative that passed, or None (then `best` may hold one that did not)."""
        scale, core = constant_factor(square_free(f, x), x)
        if self.use_rules:
            value = constant_value(f, x)
            found = value and self._final(f, value * ex.symbol(x), x, "constant in disguise")
            if found:
                return found
            share = 1.0 if self.propose is None else RULES_SHARE
            found = self._solve(core, x, 0, share * self.left())
            if found is not None:
                if core is f:  # looked at already
                    return found
                final = self._final(f, scale * found.answer, x, found.method)
                if final is not None:
                    return final
            found = self._repaired(f, x)
            if found is not None:
                return found
        if self.propose is not None:
            for answer, method in self.propose(f, x):
                final = self._final(f, answer, x, method)
                if final is not None:
                    return final
                if self.left() < 0:
                    break
        return None

    def _final(self, f: Expr, answer: Expr, x: str, method: str) -> Found | None:
        """An answer to the problem as posed, looked at more closely; None where it differs, or has
        been refused."""
        if answer in self.refused:
            return None
        checked = check(f, answer, x, thorough=False, seed=f.key)
        if checked.agrees:
            checked = check(f, answer, x)
        found = Found(answer, method, checked)
        if not checked.agrees:
            self._remember(found)
        return found if checked.agrees else None

    def refuse(self, found: Found) -> None:
        """Go on without an answer that was refuted after all."""
        self.refused.add(found.answer)
        self.best = None
        self.memo.clear()
        self._remember(found)

    def _remember(self, found: Found) -> None:
        if self.best is None or found.check.points > self.best.check.points:
            self.best = found

    def _repaired(self, f: Expr, x: str) -> Found | None:
        """An answer that holds on one side only, with the sign of a factor put right."""
        if self.best is None or not self.best.check.points:
            return None
        answer = self.best.answer
        for u in _sign_arguments(f, answer, x)[:6]:
            if self.left() < 0:
                return None
            try:
                tried = answer * ex.call("abs", u) / u
                found = self._final(f, tried, x, self.best.method + ", sign repaired")
            except _ERRORS:
                continue
            if found is not None:
                return found
        return None

    # ------------------------------------------------------------------ the recursion
    def _solve(self, f: Expr, x: str, depth: int, budget: float) -> Found | None:
        key = (f, x)
        if key in self.memo:
            return self.memo[key]
        self.memo[key] = None
        end = now() + min(budget, self.left())
        try:
            found = self._attempts(f, x, depth, end)
        except _ERRORS:
            found = None
        self.memo[key] = found
        return found

    def _accept(self, f: Expr, answer: Expr, x: str, method: str, depth: int) -> Found | None:
        try:
            checked = check(f, answer, x, thorough=False, seed=f.key)
            if depth == 0 and checked.agrees:
                checked = check(f, answer, x)
        except _ERRORS:
            return None
        if answer in self.refused:
            return None
        found = Found(answer, method, checked)
        if checked.agrees:
            return found
        if depth == 0:
            if checked.points:
                self._remember(found)
            return None
        return found if checked.points >= 2 else None

    def _attempts(self, f: Expr, x: str, depth: int, end: float) -> Found | None:
        if x not in f.free:
            return self._accept(f, f * ex.symbol(x), x, "constant", depth)
        whole = integrate_rational(f, x)
        found = whole and self._accept(f, whole, x, "rational function", depth)
        if found:
            return found
        share = (end - now()) * (0.45 if depth == 0 else 0.5)
        stop = now() + share
        for answer, method in ansatz.candidates(f, x, stop, styles=99 if depth == 0 else 4):
            found = self._accept(f, answer, x, method, depth)
            if found is not None:
                return found
        whole = integrate_with_logarithm(f, x)
        found = whole and self._accept(f, whole, x, "dilogarithms", depth)
        if found or depth >= MAX_DEPTH or now() > end:
            return found or None
        found = self._termwise(f, x, depth, end)
        if found is not None:
            return found
        return self._by_rules(f, x, depth, end)

    def _termwise(self, f: Expr, x: str, depth: int, end: float) -> Found | None:
        g = f if f.op == "add" else ex_expand(f)
        if g.op != "add" or len(g.args) > 12:
            return None
        answers, methods = [], []
        for term in g.args:
            left = end - now()
            scale, core = constant_factor(term, x)
            found = self._solve(core, x, depth + 1, left / 2) if left > 0 else None
            if found is None:
                return None
            answers.append(scale * found.answer)
            methods.append(found.method)
        return self._accept(f, ex.add(answers), x, "term by term: " + methods[0], depth)

    def _by_rules(self, f: Expr, x: str, depth: int, end: float) -> Found | None:
        queue: list[tuple[int, int, rules.Substitution]] = []
        seen: set[Expr] = set()
        for count, s in enumerate(rules.substitutions(f, x, depth)):
            if s.integrand not in seen:
                seen.add(s.integrand)
                heapq.heappush(queue, (_hardness(s.integrand), count, s))
            if count > 24:
                break
        by_parts = list(rules.parts(f, x))
        tried_parts = False
        while queue and now() < end:
            _, _, s = heapq.heappop(queue)
            found = self._substitute(f, x, s, depth, end)
            if found is not None:
                return found
            if not tried_parts and by_parts:
                tried_parts = True
                found = self._parts(f, x, by_parts, depth, end)
                if found is not None:
                    return found
        return None if tried_parts else self._parts(f, x, by_parts, depth, end)

    def _substitute(
        self, f: Expr, x: str, s: rules.Substitution, depth: int, end: float
    ) -> Found | None:
        scale, core = constant_factor(s.integrand, s.variable)
        left = end - now()
        inner = self._solve(core, s.variable, depth + 1, left / 2.5)
        if inner is None:
            return None
        try:
            back = {ex.symbol(s.variable): s.stands_for}
            answer = collapsed(scale * ex.substitute(inner.answer, back))
        except _ERRORS:
            return None
        return self._accept(f, answer, x, f"{s.name}; {inner.method}", depth)

    def _parts(
        self, f: Expr, x: str, proposals: list[tuple[str, Expr, Expr]], depth: int, end: float
    ) -> Found | None:
        for name, first, second in proposals:
            left = end - now()
            if left < 0:
                return None
            whole = self._solve(second, x, depth + 1, left / 3)
            if whole is None:
                continue
            try:
                rest = together(whole.answer * first.diff(x))
            except _ERRORS:
                continue
            scale, core = constant_factor(rest, x)
            left = end - now()
            inner = self._solve(core, x, depth + 1, left / 2) if left > 0 else None
            if inner is None:
                continue
            answer = first * whole.answer - scale * inner.answer
            found = self._accept(f, answer, x, f"{name}; {inner.method}", depth)
            if found is not None:
                return found
        return None


def constant_factor(f: Expr, x: str) -> tuple[Expr, Expr]:
    """f as (factor without x) * rest."""
    if f.op != "mul":
        return ex.ONE, f
    fixed = [a for a in f.args if x not in a.free]
    return ex.mul(fixed), ex.mul([a for a in f.args if x in a.free])


def constant_value(f: Expr, x: str) -> Expr | None:
    """The rational number that f seems to be everywhere, such as 1 for sin(x)**2 + cos(x)**2."""
    if f.free != {x} or f.op in ("sym", "pow"):
        return None
    points = np.array([0.317, 0.871, 1.433, 2.718, -0.613, -1.907, 3.391, -4.123])
    z = np.broadcast_to(Program(f).complex({x: points})[0], points.shape)
    z = z[np.isfinite(z)]
    if len(z) < 4 or np.abs(z - z[0]).max() > 1e-9 * abs(z[0]) or abs(z[0].imag) > 1e-12:
        return None
    near = ex.Fraction(float(z[0].real)).limit_denominator(1000)
    return ex.number(near) if near and abs(float(near) - z[0].real) < 1e-9 * abs(z[0]) else None


def _hardness(f: Expr) -> int:
    """Radicals and nested functions weigh most, then size."""
    out = 0
    for node in ex.subtrees(f):
        if not node.free:
            continue
        out += 1
        if node.op == "pow" and node.args[1].op == "num" and node.args[1].value.denominator > 1:
            out += 15
        elif node.op in ex.FUNCTIONS:
            out += 20
    return out


def _sign_arguments(f: Expr, answer: Expr, x: str) -> list[Expr]:
    """What may have changed its sign between two branches, simplest first."""
    found: dict[Expr, None] = {ex.symbol(x): None}
    for e in (f, answer):
        for node in ex.subtrees(e):
            if x in node.free and node.op == "pow" and node.args[1].op == "num":
                if node.args[1].value.denominator > 1:
                    inside = node.args[0]
                    for g in inside.args if inside.op == "mul" else (inside,):
                        found[g.args[0] if g.op == "pow" else g] = None
                    slope = constant_factor(inside.diff(x), x)[1]
                    if slope.free and ex.size(slope) < 30:
                        found[slope] = None
                elif node.args[1].value < 0:
                    found[node.args[0]] = None
            elif x in node.free and node.op in ("sin", "cos", "tan", "abs", "sinh"):
                found[node.args[0] if node.op == "abs" else node] = None
    return sorted(found, key=ex.size)
