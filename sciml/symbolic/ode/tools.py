"""What the methods for differential equations share: names and the clock, sampling, separating
variables, solving for the function, and integrals that leave no number of their own behind.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from sciml.symbolic.algebra.rewriting import ex_expand, invert, together
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
    """What the methods share: names and the clock."""

    x: str
    y: str
    deadline: float

    @property
    def sx(self) -> Expr:
        return ex.symbol(self.x)

    @property
    def sy(self) -> Expr:
        return ex.symbol(self.y)

    def left(self) -> float:
        return self.deadline - now()

    def integral(self, f: Expr, name: str) -> Expr | None:
        """An antiderivative that holds somewhere; the equation itself is the judge."""
        if name not in f.free:
            return f * ex.symbol(name)
        budget = min(2.0, self.left() / 3)
        if budget <= 0.02:
            return None
        scale, core = constant_factor(tidy(f), name)
        by_parts = linear_fractions(core, name)
        if by_parts is not None:
            return scale * by_parts
        search = Search(now() + budget)
        found = search.integrate(core, name) or search.best
        return None if found is None else scale * found.answer


def tidy(e: Expr) -> Expr:
    """One fraction, cancelled, where that is not much larger."""
    out = together(e)
    return out if ex.size(out) <= 2 * ex.size(e) + 20 else e


def same(f: Expr, g: Expr, *, tolerance: float = 1e-9) -> bool:
    """Whether two expressions agree at eight generic complex points."""
    names = sorted(f.free | g.free)
    rng = np.random.default_rng(5)
    values = {n: rng.uniform(0.3, 1.9, 8) + 1j * rng.uniform(0.05, 0.7, 8) for n in names}
    a, b = Program(f, g).complex(values)
    with np.errstate(all="ignore"):
        a, b = np.broadcast_to(a, 8), np.broadcast_to(b, 8)
        good = np.isfinite(a) & np.isfinite(b)
        if good.sum() < 3:
            return False
        gap = np.abs(a - b)[good] / (np.abs(a) + np.abs(b) + 1e-3)[good]
    return bool((gap < tolerance).all())


def independent(e: Expr, name: str) -> bool:
    """Whether e does not vary with the symbol, syntactically or in value."""
    return name not in e.free or same(e.diff(name), ex.ZERO)


def at(e: Expr, symbol: Expr, value: Expr | int | Fraction) -> Expr:
    return ex.substitute(e, {symbol: value})


def freeze(e: Expr, c: Context, name: str) -> Expr | None:
    """e without the symbol on which it does not really depend."""
    if name not in e.free:
        return e
    if not independent(e, name):
        return None
    t = tidy(e)
    if name not in t.free:
        return t
    for value in _PLAIN:
        try:
            out = at(t, ex.symbol(name), value)
            if not foreign(out, t) and same(out, t):
                return out
        except ex.Undefined:
            continue
    return None


_PLAIN = (Fraction(0), Fraction(1), Fraction(-1), Fraction(2))
"""Where a function that does not vary is looked at; larger numbers would stay in the answer."""


def _numbers(e: Expr) -> set[Expr]:
    """The irrational numbers in e: sin(1), log(2), 3**(1/2), without those of other numbers."""
    return {
        n for n in ex.subtrees(e) if not n.free and n.op not in ("num", "add", "mul", "I", "pi")
    }


def _offsets(e: Expr) -> set[Fraction]:
    """The numbers added inside functions and roots: 1 of sin(y + 1)."""
    out = set()
    for n in ex.subtrees(e):
        for u in n.args if n.op in ex.FUNCTIONS or n.op == "pow" else ():
            out |= {t.value for t in terms(u) if t.op == "num" and u.op == "add"}
    return out


def foreign(new: Expr, old: Expr) -> bool:
    """Whether `new` holds a number that comes from the point that was put into `old`."""
    return not (_numbers(new) <= _numbers(old) and _offsets(new) <= _offsets(old))


def _sums_of_angles(e: Expr) -> Expr:
    """sin(a + b) and cos(a + b) multiplied out."""
    memo: dict[Expr, Expr] = {}
    for n in ex.subtrees(e):
        args = tuple(memo[a] for a in n.args)
        out = n if args == n.args else ex.rebuild(n, args)
        if out.op in ("sin", "cos") and out.args[0].op == "add":
            first, *rest = out.args[0].args
            a, b = (_sums_of_angles(ex.call(f, first)) for f in ("sin", "cos"))
            s, c = (_sums_of_angles(ex.call(f, ex.add(rest))) for f in ("sin", "cos"))
            out = a * c + b * s if out.op == "sin" else b * c - a * s
        memo[n] = out
    return ex_expand(memo[e])


def _split_sums(e: Expr) -> list[Expr]:
    """The factors, exp(a + b) and c**(a + b) taken apart."""
    factors: list[Expr] = []
    for f in e.args if e.op == "mul" else (e,):
        base, exponent = ex.base_and_exponent(f)
        if exponent.op == "add" and (f.op == "exp" or not base.free):
            factors += [ex._node("exp", (t,)) if f.op == "exp" else ex.power(base, t)
                        for t in exponent.args]  # fmt: skip
        else:
            factors.append(f)
    return factors


def separated(F: Expr, x: str, y: str) -> tuple[Expr, Expr] | None:
    """(g, h) with F = g(x) h(y), by its factors; else by its values at a point that leaves no
    number of its own behind."""
    for form in dict.fromkeys((F, tidy(F), _sums_of_angles(F))):
        g, h = ex.ONE, ex.ONE
        for f in _split_sums(form):
            if y not in f.free:
                g = g * f
            elif x not in f.free:
                h = h * f
            else:
                break
        else:
            return g, h
    sx, sy = ex.symbol(x), ex.symbol(y)
    for x0, y0 in itertools.product((*_PLAIN, Fraction(3)), repeat=2):
        try:
            g, h = (
                constant_factor(tidy(at(F, s, v)), n)[1] for s, v, n in ((sy, y0, x), (sx, x0, y))
            )
            if not (x in g.free and y in h.free) or foreign(g, F) or foreign(h, F):
                continue
            k = _ratio(F, g * h)
            if k is not None and same(F, k * g * h):
                return k * g, h
        except ex.Undefined:
            continue
    return None


def _ratio(f: Expr, g: Expr) -> Expr | None:
    """The number f/g, where it or its square is a plain rational; by its value at a point."""
    names = sorted(f.free | g.free)
    if len(names) > 2:
        return None
    for k in range(1, 8):
        point = {n: 0.37 * k + 0.11 * i for i, n in enumerate(names)}
        a, b = (complex(z) for z in Program(f, g).complex(point))
        if not (np.isfinite(a) and np.isfinite(b) and abs(b) > 1e-9 and abs(a) > 1e-9):
            continue
        ratio = a / b
        for value, root in ((ratio, False), (ratio * ratio, True)):
            plain = Fraction(value.real).limit_denominator(2000)
            if plain and abs(value - float(plain)) < 1e-11 * abs(value):
                sign = 1 if not root or ratio.real > 0 else -1
                return sign * ex.sqrt(ex.number(plain)) if root else ex.number(plain)
        return None
    return None


def solve_for(relation: Expr, y: Expr, rhs: Expr) -> list[Expr]:
    """y from relation(y) = rhs where that is elementary: one occurrence, or a quadratic."""
    name = y.value
    out = []
    for form in dict.fromkeys((relation, tidy(relation), merge_logarithms(relation))):
        direct = invert(form, name, rhs)
        if direct is not None:
            out.append(direct)
            _other_branches(form, name, rhs, direct, out)
            break
    if not out:
        top = numerator(tidy(relation - rhs))
        second = top.diff(name).diff(name)
        if name not in second.free and second is not ex.ZERO:
            b, c = at(top.diff(name), y, 0), at(top, y, 0)
            root = ex.sqrt(tidy(b**2 - 2 * second * c))
            out += [(-b + root) / second, (-b - root) / second]
        elif second is ex.ZERO and name in top.free:
            out.append(-at(top, y, 0) / at(top.diff(name), y, 0))
    return out


def _other_branches(form: Expr, name: str, rhs: Expr, direct: Expr, out: list[Expr]) -> None:
    """The negative root, where y**2 was undone."""
    base = form
    while base.op in ("add", "mul"):
        inside = [a for a in base.args if name in a.free]
        if len(inside) != 1:
            return
        base = inside[0]
    if base.op == "pow" and base.args[0] is ex.symbol(name) and base.args[1].op == "num":
        if base.args[1].value.numerator % 2 == 0:
            out.append(-direct)


def numerator(e: Expr) -> Expr:
    """e without its negative powers (for an equation e = 0)."""
    factors = e.args if e.op == "mul" else (e,)
    kept = [
        f for f in factors if not (f.op == "pow" and f.args[1].op == "num" and f.args[1].value < 0)
    ]
    return ex_expand(ex.mul(kept))


def merge_logarithms(e: Expr) -> Expr:
    """exp of a sum of logarithms of one relation: a log(u) + b log(v) -> log(u**a v**b)."""
    if e.op != "add":
        return e
    inside, rest = [], []
    for term in e.args:
        k, core = ex.split_coefficient(term)
        if core.op == "log":
            inside.append(ex.power(core.args[0], ex.number(k)))
        else:
            rest.append(term)
    if len(inside) < 2:
        return e
    return ex.add([ex.call("log", tidy(ex.mul(inside))), *rest])


def from_integrals(
    left: Expr | None, right: Expr | None, c: Context, name: str
) -> Iterator[Proposal]:
    """left(y) = right(x) + c1: explicit where y can be had."""
    if left is None or right is None:
        return
    scale = _scale_of_logarithms(left, c.y)
    plain = left if scale is ex.ONE else ex.add([tidy(t / scale) for t in terms(left)])
    for shape in dict.fromkeys((plain, merge_logarithms(plain))):
        k, core = ex.split_coefficient(shape)
        if core.op == "log":  # log(u) = r + c as u = c exp(r), which holds for both signs of u
            inner = _half_angle(core.args[0])
            power = C1 * ex.call("exp", tidy(right / scale) / ex.number(k))
            for found in solve_for(inner, c.sy, power):
                yield "explicit", found, name
        for found in solve_for(shape, c.sy, tidy(right / scale) + C1):
            yield "explicit", found, name
    yield "implicit", left - right, name


def terms(e: Expr) -> tuple[Expr, ...]:
    """The summands."""
    return e.args if e.op == "add" else (e,)


def _scale_of_logarithms(left: Expr, y: str) -> Expr:
    """The symbols before all logarithms of a sum of such: k of k log(u) - 2 k log(v)."""
    factors = []
    for term in terms(left):
        found = [f for f in (term.args if term.op == "mul" else (term,)) if f.op == "log"]
        if len(found) != 1 or y not in found[0].free:
            return ex.ONE
        factors.append(tidy(term / found[0]))
    first = factors[0]
    if not first.free or y in first.free:
        return ex.ONE
    return first if all(tidy(f / first).op == "num" for f in factors) else ex.ONE


def _half_angle(e: Expr) -> Expr:
    """sin(u)/(1 + cos(u)) as tan(u/2)."""
    for n in e.args if e.op == "mul" else ():
        if n.op == "sin":
            u = n.args[0]
            short = ex.call("tan", u / 2)
            rest = e * (1 + ex.call("cos", u)) / n
            if not any(m.op in ("sin", "cos") for m in ex.subtrees(rest)):
                return rest * short
    return e


def linear_fractions(f: Expr, name: str) -> Expr | None:
    """The antiderivative of k / ((a y + b) (c y + d) ...) with symbols among a, b, c, d."""
    y = ex.symbol(name)
    factor, lines = ex.ONE, []
    for part in f.args if f.op == "mul" else (f,):
        if name not in part.free:
            factor = factor * part
            continue
        base, exponent = ex.base_and_exponent(part)
        if exponent is not ex.MINUS or name in (slope := base.diff(name)).free:
            return None
        lines.append((base, slope))
    if len(lines) < 2 or not f.free - {name}:
        return None
    out = []
    for base, slope in lines:
        root = at(base, y, 0) / (-slope)
        others = ex.mul([at(other, y, root) for other, _ in lines if other is not base])
        value = tidy(factor / (slope * others))
        out.append(value * ex.call("log", base))
    return ex.add(out)
