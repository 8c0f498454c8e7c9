"""The search for an antiderivative: the methods in order, applied recursively.

Rational functions come first, then the Risch-like ansatz, dilogarithms, sums term by term,
substitutions and integration by parts. Every answer that is returned has passed `checking.check`
against the original problem; answers of sub-problems only have to hold on some interval, because a
substitution is valid on one branch.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from sciml.symbolic.algebra.rewriting import (
    cancel_inverses,
    expand,
    together,
    without_inverse_exponents,
)
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import now
from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.integration import ansatz, rules
from sciml.symbolic.integration.angle_radicals import angle_radicals
from sciml.symbolic.integration.binomials import has_symbolic_exponent, integrate_binomial
from sciml.symbolic.integration.dilogarithms import integrate_with_logarithm
from sciml.symbolic.integration.elliptic.angles import integrate_elliptic_angle
from sciml.symbolic.integration.elliptic.integrals import integrate_elliptic
from sciml.symbolic.integration.integral_functions import integrate_over_linear
from sciml.symbolic.integration.parametric_angles import integrate_parametric_angle
from sciml.symbolic.integration.parametric_rational import integrate_parametric_rational
from sciml.symbolic.integration.polylogarithms import integrate_with_exponentials
from sciml.symbolic.integration.radicands import extract_squares
from sciml.symbolic.integration.rational_functions import integrate_rational
from sciml.symbolic.integration.substitution import one_linear_argument
from sciml.symbolic.verification.checking import check
from sciml.symbolic.verification.result import Check

MAX_DEPTH = 4
RULES_SHARE = 0.85
"""The share of the time that the rules may use if a source of proposals follows them."""
ELEMENTARY_SHARE = 0.8
"""The share of it in which special functions are used only where nothing elementary can exist."""
ERRORS = (ex.TooLarge, ex.Undefined, RecursionError, OverflowError, ZeroDivisionError)
"""Raised by rewriting where an expression is undefined or grows too large."""
_STYLES_AT_DEPTH = (99, 6, 4)
"""How many towers the ansatz tries for the problem, for what its first substitution makes of it,
and below."""
Propose = Callable[[Expr, str], Iterator[tuple[Expr, str]]]
"""A source of proposed antiderivatives: (integrand, variable) -> (answer, method), ..."""


@dataclass(frozen=True)
class Antiderivative:
    """An antiderivative, the method that found it and the outcome of its verification."""

    answer: Expr
    method: str
    check: Check


@dataclass
class Search:
    """The search for one integral, with a deadline and a memory of the sub-problems.

    Attributes:
        deadline: value of the clock to stop at.
        propose: source of proposals used after the rules, such as a trained model.
        use_rules: whether to use the rules at all.
        best: the best unconfirmed answer so far, for sign repair and for the report.
        memo: the outcome for each sub-problem.
        refused: answers that were refuted later.
        special: also use special functions where an elementary antiderivative may exist.
        postponed: whether one was passed over because of that.
    """

    deadline: float
    propose: Propose | None = None
    use_rules: bool = True
    best: Antiderivative | None = None
    memo: dict[tuple[Expr, str], Antiderivative | None] = field(default_factory=dict)
    refused: set[Expr] = field(default_factory=set)
    special: bool = False
    postponed: bool = False

    def time_left(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - now()

    def integrate(self, f: Expr, x: str) -> Antiderivative | None:
        """A verified antiderivative, or None (then `best` may hold an unconfirmed one)."""
        scale, core = constant_factor(extract_squares(f, x), x)
        if self.use_rules:
            constant = constant_value(f, x)
            if constant:
                final = self._check_final(f, constant * ex.symbol(x), x, "constant in disguise")
                if final is not None:
                    return final
            rules_share = 1.0 if self.propose is None else RULES_SHARE
            total = rules_share * self.time_left()
            shift = one_linear_argument(core, x)
            if shift is not None:
                g, u = shift
                solved = self._solve(g, x, 0, 0.6 * total)
                if solved is not None:
                    answer = scale * ex.substitute(solved.answer, {ex.symbol(x): u}) / u.diff(x)
                    final = self._check_final(f, answer, x, solved.method)
                    if final is not None:
                        return final
                total = rules_share * self.time_left()
            solved = self._solve(core, x, 0, ELEMENTARY_SHARE * total)
            if solved is None and self.postponed:
                self.special = True
                self.memo = {key: answer for key, answer in self.memo.items() if answer}
                solved = self._solve(core, x, 0, (1 - ELEMENTARY_SHARE) * total)
            if solved is not None:
                if core is f:  # already checked against f
                    return solved
                final = self._check_final(f, scale * solved.answer, x, solved.method)
                if final is not None:
                    return final
            repaired = self._repair_sign(f, x)
            if repaired is not None:
                return repaired
        if self.propose is not None:
            for answer, method in self.propose(f, x):
                final = self._check_final(f, answer, x, method)
                if final is not None:
                    return final
                if self.time_left() < 0:
                    break
        return None

    def _check_final(self, f: Expr, answer: Expr, x: str, method: str) -> Antiderivative | None:
        """The answer with a thorough check against the original problem; None if it fails or has
        been refused before."""
        if answer in self.refused:
            return None
        checked = check(f, answer, x, thorough=False, seed=f.key)
        if checked.agrees:
            checked = check(f, answer, x)
        antiderivative = Antiderivative(answer, method, checked)
        if not checked.agrees:
            self._keep_best(antiderivative)
        return antiderivative if checked.agrees else None

    def refuse(self, antiderivative: Antiderivative) -> None:
        """Exclude an answer that was refuted later from the rest of the search."""
        self.refused.add(antiderivative.answer)
        self.best = None
        self.memo.clear()
        self._keep_best(antiderivative)

    def _keep_best(self, candidate: Antiderivative) -> None:
        if self.best is None or candidate.check.points > self.best.check.points:
            self.best = candidate

    def _repair_sign(self, f: Expr, x: str) -> Antiderivative | None:
        """The best unconfirmed answer times |u| / u for a factor u that makes it right on both
        sides of the zeros of u."""
        if self.best is None or not self.best.check.points:
            return None
        answer = self.best.answer
        for u in _sign_arguments(f, answer, x)[:6]:
            if self.time_left() < 0:
                return None
            try:
                flipped = answer * ex.call("abs", u) / u
                repaired = self._check_final(f, flipped, x, self.best.method + ", sign repaired")
            except ERRORS:
                continue
            if repaired is not None:
                return repaired
        return None

    # ------------------------------------------------------------------ the recursion
    def _solve(self, f: Expr, x: str, depth: int, budget: float) -> Antiderivative | None:
        key = (f, x)
        if key in self.memo:
            return self.memo[key]
        self.memo[key] = None
        end = now() + min(budget, self.time_left())
        try:
            antiderivative = self._attempts(f, x, depth, end)
        except ERRORS:
            antiderivative = None
        self.memo[key] = antiderivative
        return antiderivative

    def _accept(
        self, f: Expr, answer: Expr, x: str, method: str, depth: int
    ) -> Antiderivative | None:
        """The answer if it passes the check; in a sub-problem, if it holds at two points at
        least."""
        try:
            checked = check(f, answer, x, thorough=False, seed=f.key)
            if depth == 0 and checked.agrees:
                checked = check(f, answer, x)
        except ERRORS:
            return None
        if answer in self.refused:
            return None
        candidate = Antiderivative(answer, method, checked)
        if checked.agrees:
            return candidate
        if depth == 0:
            if checked.points:
                self._keep_best(candidate)
            return None
        return candidate if checked.points >= 2 else None

    def _attempts(self, f: Expr, x: str, depth: int, end: float) -> Antiderivative | None:
        if x not in f.free:
            return self._accept(f, f * ex.symbol(x), x, "constant", depth)
        rational = integrate_rational(f, x)
        accepted = rational and self._accept(f, rational, x, "rational function", depth)
        if accepted:
            return accepted
        parametric = integrate_parametric_rational(f, x)
        accepted = parametric and self._accept(f, parametric, x, "rational function", depth)
        if accepted:
            return accepted
        over_linear = integrate_over_linear(f, x)
        accepted = over_linear and self._accept(f, over_linear, x, "integral functions", depth)
        if accepted:
            return accepted
        by_powers = without_inverse_exponents(f, x)
        if by_powers is not f:
            inner = self._solve(by_powers, x, depth + 1, (end - now()) / 2)
            accepted = inner and self._accept(f, inner.answer, x, inner.method, depth)
            if accepted:
                return accepted
        elliptic = integrate_elliptic(f, x) or integrate_elliptic_angle(f, x)
        if elliptic is not None and not elliptic.third_kind:
            return self._accept(f, elliptic.answer, x, "elliptic integrals", depth)
        binomial = integrate_binomial(f, x)
        if binomial is not None and binomial.certain and elliptic is None:
            accepted = self._accept(f, binomial.answer, x, binomial.method, depth)
            if accepted:
                return accepted
        uncertain = [(elliptic.answer, "elliptic integrals")] if elliptic is not None else []
        if binomial is not None:
            uncertain.append((binomial.answer, binomial.method))
        self.postponed |= bool(uncertain)
        for answer, method in uncertain if self.special else ():
            accepted = self._accept(f, answer, x, method, depth)
            if accepted:
                return accepted
        polylogarithms = None if binomial else integrate_with_exponentials(f, x)
        if polylogarithms is not None and f.free != {x}:  # with symbols, too slow for the ansatz
            accepted = self._accept(f, polylogarithms, x, "polylogarithms", depth)
            if accepted:
                return accepted
        if f.free != {x}:
            accepted = self._by_angle_radicals(f, x, depth, end)
            if accepted:
                return accepted
        angle = integrate_parametric_angle(f, x)
        share = 0.45 if depth == 0 else 0.5
        if angle is not None or polylogarithms is not None or has_symbolic_exponent(f, x):
            share = 0.15
        ansatz_end = now() + (end - now()) * share
        styles = _STYLES_AT_DEPTH[min(depth, 2)]
        for answer, method in ansatz.candidates(f, x, ansatz_end, styles=styles):
            accepted = self._accept(f, answer, x, method, depth)
            if accepted:
                return accepted
        accepted = angle and self._accept(f, angle, x, "half-angle substitution", depth)
        if accepted:
            return accepted
        accepted = polylogarithms and self._accept(f, polylogarithms, x, "polylogarithms", depth)
        if accepted:
            return accepted
        dilogarithmic = integrate_with_logarithm(f, x)
        accepted = dilogarithmic and self._accept(f, dilogarithmic, x, "dilogarithms", depth)
        if accepted or depth >= MAX_DEPTH or now() > end:
            return accepted or None
        return self._termwise(f, x, depth, end) or self._by_rules(f, x, depth, end)

    def _termwise(self, f: Expr, x: str, depth: int, end: float) -> Antiderivative | None:
        g = f if f.op == "add" else expand(f)
        if g.op != "add" or len(g.args) > 12:
            return None
        answers, methods = [], []
        for term in g.args:
            remaining = end - now()
            scale, core = constant_factor(term, x)
            solved = self._solve(core, x, depth + 1, remaining / 2) if remaining > 0 else None
            if solved is None:
                return None
            answers.append(scale * solved.answer)
            methods.append(solved.method)
        return self._accept(f, ex.add(answers), x, "term by term: " + methods[0], depth)

    def _by_rules(self, f: Expr, x: str, depth: int, end: float) -> Antiderivative | None:
        """Substitutions, easiest first; integration by parts after the first of them."""
        accepted = self._by_angle_radicals(f, x, depth, end) if f.free == {x} else None
        if accepted is not None:
            return accepted
        queue: list[tuple[int, int, rules.Substitution]] = []
        seen: set[Expr] = set()
        for count, s in enumerate(rules.substitutions(f, x, depth)):
            if s.integrand not in seen:
                seen.add(s.integrand)
                heapq.heappush(queue, (_difficulty(s.integrand), count, s))
            if count > 24:
                break
        splits = list(rules.by_parts(f, x))
        parts_tried = False
        while queue and now() < end:
            _, _, s = heapq.heappop(queue)
            antiderivative = self._by_substitution(f, x, s, depth, end)
            if antiderivative is not None:
                return antiderivative
            if not parts_tried and splits:
                parts_tried = True
                antiderivative = self._by_parts(f, x, splits, depth, end)
                if antiderivative is not None:
                    return antiderivative
        return None if parts_tried else self._by_parts(f, x, splits, depth, end)

    def _by_angle_radicals(
        self, f: Expr, x: str, depth: int, end: float
    ) -> Antiderivative | None:  # fmt: skip
        for factor, substitution in angle_radicals(f, x, f"t{depth}"):
            accepted = self._by_substitution(f, x, substitution, depth, end, factor)
            if accepted is not None or now() > end:
                return accepted
        return None

    def _by_substitution(
        self, f: Expr, x: str, s: rules.Substitution, depth: int, end: float,
        factor: Expr = ex.ONE,
    ) -> Antiderivative | None:  # fmt: skip
        scale, core = constant_factor(s.integrand, s.variable)
        remaining = end - now()
        inner = self._solve(core, s.variable, depth + 1, remaining / 2.5)
        if inner is None:
            return None
        try:
            back = {ex.symbol(s.variable): s.stands_for}
            answer = factor * cancel_inverses(scale * ex.substitute(inner.answer, back))
        except ERRORS:
            return None
        return self._accept(f, answer, x, f"{s.name}; {inner.method}", depth)

    def _by_parts(
        self, f: Expr, x: str, proposals: list[tuple[str, Expr, Expr]], depth: int, end: float
    ) -> Antiderivative | None:
        for name, first, second in proposals:
            remaining = end - now()
            if remaining < 0:
                return None
            second_integral = self._solve(second, x, depth + 1, remaining / 3)
            if second_integral is None:
                continue
            try:
                rest = together(second_integral.answer * first.diff(x))
            except ERRORS:
                continue
            scale, core = constant_factor(rest, x)
            remaining = end - now()
            inner = self._solve(core, x, depth + 1, remaining / 2) if remaining > 0 else None
            if inner is None:
                continue
            answer = first * second_integral.answer - scale * inner.answer
            antiderivative = self._accept(f, answer, x, f"{name}; {inner.method}", depth)
            if antiderivative is not None:
                return antiderivative
        return None


def constant_factor(f: Expr, x: str) -> tuple[Expr, Expr]:
    """(c, g) with f = c g, where c is the product of the factors without x."""
    if f.op != "mul":
        return ex.ONE, f
    constants = [a for a in f.args if x not in a.free]
    return ex.mul(constants), ex.mul([a for a in f.args if x in a.free])


def constant_value(f: Expr, x: str) -> Expr | None:
    """The rational number that f equals at all of some points, such as 1 for sin(x)**2 + cos(x)**2;
    None where there is no such number."""
    if f.free != {x} or f.op in ("sym", "pow"):
        return None
    points = np.array([0.317, 0.871, 1.433, 2.718, -0.613, -1.907, 3.391, -4.123])
    z = np.broadcast_to(Program(f).complex({x: points})[0], points.shape)
    z = z[np.isfinite(z)]
    if len(z) < 4 or np.abs(z - z[0]).max() > 1e-9 * abs(z[0]) or abs(z[0].imag) > 1e-12:
        return None
    fraction = ex.Fraction(float(z[0].real)).limit_denominator(1000)
    near = fraction and abs(float(fraction) - z[0].real) < 1e-9 * abs(z[0])
    return ex.number(fraction) if near else None


def _difficulty(f: Expr) -> int:
    """The priority of a substitution's integrand, easiest first: radicals and functions count
    most, then size."""
    score = 0
    for node in ex.subtrees(f):
        if not node.free:
            continue
        score += 1
        if ex.is_radical(node):
            score += 15
        elif node.op in ex.NAMED:
            score += 20
    return score


def _sign_arguments(f: Expr, answer: Expr, x: str) -> list[Expr]:
    """Factors whose sign may differ between two branches of the answer, simplest first."""
    arguments: dict[Expr, None] = {ex.symbol(x): None}
    for e in (f, answer):
        for node in ex.subtrees(e):
            if x in node.free and node.op == "pow" and node.args[1].op == "num":
                if node.args[1].value.denominator > 1:
                    inside = node.args[0]
                    for g in inside.args if inside.op == "mul" else (inside,):
                        arguments[g.args[0] if g.op == "pow" else g] = None
                    slope = constant_factor(inside.diff(x), x)[1]
                    if slope.free and ex.size(slope) < 30:
                        arguments[slope] = None
                elif node.args[1].value < 0:
                    arguments[node.args[0]] = None
            elif x in node.free and node.op in ("sin", "cos", "tan", "abs", "sinh"):
                arguments[node.args[0] if node.op == "abs" else node] = None
    return sorted(arguments, key=ex.size)
