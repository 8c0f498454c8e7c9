"""Tools of the methods for differential equations: names and time limit, numerical equality,
elimination of symbols, solving for the unknown function.

A function that does not depend on a symbol is written without it by substituting a value. That must
not introduce numbers of its own, such as sin(1), into the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from sciml.symbolic.algebra.rewriting import expand, invert, together
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import now
from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.integration.search import Search, constant_factor

C1 = ex.symbol("c1")

Proposal = tuple[str, Expr, str]
"""("explicit" or "implicit", expression, method)."""


@dataclass
class Context:
    """The names of variable and function, and the deadline.

    Attributes:
        x: the name of the variable.
        y: the name of the unknown function.
        deadline: value of the clock to stop at.
    """

    x: str
    y: str
    deadline: float

    @property
    def sx(self) -> Expr:
        """The symbol x."""
        return ex.symbol(self.x)

    @property
    def sy(self) -> Expr:
        """The symbol y."""
        return ex.symbol(self.y)

    def time_left(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - now()

    def integral(self, f: Expr, name: str) -> Expr | None:
        """An antiderivative that holds on some interval; the solution is checked later."""
        if name not in f.free:
            return f * ex.symbol(name)
        budget = min(2.0, self.time_left() / 3)
        if budget <= 0.02:
            return None
        scale, core = constant_factor(tidy(f), name)
        fractions = partial_fractions(core, name)
        if fractions is not None:
            return scale * fractions
        search = Search(now() + budget)
        antiderivative = search.integrate(core, name) or search.best
        return None if antiderivative is None else scale * antiderivative.answer


def tidy(e: Expr) -> Expr:
    """e as one cancelled fraction, unless that is much larger."""
    out = together(e)
    return out if ex.size(out) <= 2 * ex.size(e) + 20 else e


def numerically_equal(f: Expr, g: Expr, *, tolerance: float = 1e-9) -> bool:
    """Whether two expressions agree at eight generic complex points."""
    names = sorted(f.free | g.free)
    rng = np.random.default_rng(5)
    values = {n: rng.uniform(0.3, 1.9, 8) + 1j * rng.uniform(0.05, 0.7, 8) for n in names}
    a, b = Program(f, g).complex(values)
    with np.errstate(all="ignore"):
        a, b = np.broadcast_to(a, 8), np.broadcast_to(b, 8)
        finite = np.isfinite(a) & np.isfinite(b)
        if finite.sum() < 3:
            return False
        relative_difference = np.abs(a - b)[finite] / (np.abs(a) + np.abs(b) + 1e-3)[finite]
    return bool((relative_difference < tolerance).all())


def is_independent(e: Expr, name: str) -> bool:
    """Whether e does not depend on the symbol, in form or in value."""
    return name not in e.free or numerically_equal(e.diff(name), ex.ZERO)


def at(e: Expr, symbol: Expr, value: Expr | int | Fraction) -> Expr:
    """e with a value substituted for the symbol."""
    return ex.substitute(e, {symbol: value})


def without_symbol(e: Expr, c: Context, name: str) -> Expr | None:
    """An expression equal to e that is free of the symbol; None if e depends on it."""
    if name not in e.free:
        return e
    if not is_independent(e, name):
        return None
    t = tidy(e)
    if name not in t.free:
        return t
    for value in PLAIN_VALUES:
        try:
            out = at(t, ex.symbol(name), value)
            if not introduces_numbers(out, t) and numerically_equal(out, t):
                return out
        except ex.Undefined:
            continue
    return None


PLAIN_VALUES = (Fraction(0), Fraction(1), Fraction(-1), Fraction(2))
"""Values substituted for a symbol on which an expression does not depend."""


def _numbers(e: Expr) -> set[Expr]:
    """The irrational numbers in e, such as sin(1), log(2) and 3**(1/2)."""
    return {
        n for n in ex.subtrees(e) if not n.free and n.op not in ("num", "add", "mul", "I", "pi")
    }


def _offsets(e: Expr) -> set[Fraction]:
    """The numbers added to arguments of functions and to radicands, such as 1 in sin(y + 1)."""
    offsets = set()
    for n in ex.subtrees(e):
        for u in n.args if n.op in ex.NAMED or n.op == "pow" else ():
            offsets |= {t.value for t in terms(u) if t.op == "num" and u.op == "add"}
    return offsets


def introduces_numbers(new: Expr, old: Expr) -> bool:
    """Whether `new` contains numbers that stem from a value substituted into `old`."""
    return not (_numbers(new) <= _numbers(old) and _offsets(new) <= _offsets(old))


def solve_for(relation: Expr, y: Expr, rhs: Expr) -> list[Expr]:
    """The solutions y of relation(y) = rhs, if y occurs once or the equation is quadratic."""
    name = y.value
    solutions = []
    for form in dict.fromkeys((relation, tidy(relation), merge_logarithms(relation))):
        inverted = invert(form, name, rhs)
        if inverted is not None:
            solutions.append(inverted)
            _negative_root(form, name, rhs, inverted, solutions)
            break
    if not solutions:
        equation = numerator(tidy(relation - rhs))
        second_derivative = equation.diff(name).diff(name)
        if name not in second_derivative.free and second_derivative is not ex.ZERO:
            b, c = at(equation.diff(name), y, 0), at(equation, y, 0)
            root = ex.sqrt(tidy(b**2 - 2 * second_derivative * c))
            solutions += [(-b + root) / second_derivative, (-b - root) / second_derivative]
        elif second_derivative is ex.ZERO and name in equation.free:
            solutions.append(-at(equation, y, 0) / at(equation.diff(name), y, 0))
    return solutions


def _negative_root(form: Expr, name: str, rhs: Expr, inverted: Expr, solutions: list[Expr]) -> None:
    """Add the negative root where an even power of y was inverted."""
    base = form
    while base.op in ("add", "mul"):
        containing = [a for a in base.args if name in a.free]
        if len(containing) != 1:
            return
        base = containing[0]
    if base.op == "pow" and base.args[0] is ex.symbol(name) and base.args[1].op == "num":
        if base.args[1].value.numerator % 2 == 0:
            solutions.append(-inverted)


def numerator(e: Expr) -> Expr:
    """e without its negative powers, expanded (for an equation e = 0)."""
    factors = e.args if e.op == "mul" else (e,)
    positive_powers = [f for f in factors if not ex.is_negative_power(f)]
    return expand(ex.mul(positive_powers))


def merge_logarithms(e: Expr) -> Expr:
    """a log(u) + b log(v) + ... as log(u**a v**b) + ..."""
    if e.op != "add":
        return e
    arguments, rest = [], []
    for term in e.args:
        k, core = ex.split_coefficient(term)
        if core.op == "log":
            arguments.append(ex.power(core.args[0], ex.number(k)))
        else:
            rest.append(term)
    if len(arguments) < 2:
        return e
    return ex.add([ex.call("log", tidy(ex.mul(arguments))), *rest])


def terms(e: Expr) -> tuple[Expr, ...]:
    """The summands."""
    return e.args if e.op == "add" else (e,)


def partial_fractions(f: Expr, name: str) -> Expr | None:
    """The antiderivative of k / ((a y + b) (c y + d) ...) with symbols among a, b, c, d, by partial
    fractions; None for any other integrand."""
    y = ex.symbol(name)
    constant, linear_factors = ex.ONE, []
    for part in f.args if f.op == "mul" else (f,):
        if name not in part.free:
            constant = constant * part
            continue
        base, exponent = ex.base_and_exponent(part)
        if exponent is not ex.MINUS or name in (slope := base.diff(name)).free:
            return None
        linear_factors.append((base, slope))
    if len(linear_factors) < 2 or not f.free - {name}:
        return None
    terms = []
    for base, slope in linear_factors:
        root = at(base, y, 0) / (-slope)
        others = ex.mul([at(other, y, root) for other, _ in linear_factors if other is not base])
        residue = tidy(constant / (slope * others))
        terms.append(residue * ex.call("log", base))
    return ex.add(terms)
