"""Leading terms c t**a log(1/t)**b of expressions as t > 0 tends to 0.

Where leading terms of a sum cancel, the sum is expanded in a Taylor series if it is analytic;
otherwise its leading term is unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from sciml.symbolic.definite.discontinuities import is_continuous_at
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import ball, precision, simplify_constant

_LINEAR = frozenset("sin tan sinh tanh asin atan asinh atanh Si Shi fresnelc".split())
_AT_INFINITY = {
    "atan": ex.PI / 2, "erf": ex.ONE, "tanh": ex.ONE, "Si": ex.PI / 2, "fresnels": ex.HALF,
    "fresnelc": ex.HALF, "coth": ex.ONE,
}  # fmt: skip
_BY_SINE: dict[str, Callable[[Expr, Expr], Expr]] = {
    "tan": lambda s, c: s / c, "cot": lambda s, c: c / s,
    "sec": lambda s, c: 1 / c, "csc": lambda s, c: 1 / s,
}  # fmt: skip
_LIKE_LOG = frozenset(("Ei", "Ci", "Chi"))


@dataclass(frozen=True)
class LeadingTerm:
    """c t**a log(1/t)**b, up to a factor that tends to 1; if `bound`, an upper bound of the order.

    `a` is None for terms that decay faster than every power.
    """

    c: Expr
    a: Fraction | None
    b: Fraction = Fraction(0)
    bound: bool = False

    @property
    def vanishes(self) -> bool:
        """Whether it tends to 0."""
        return self.c is ex.ZERO or self.a is None or self.a > 0 or (self.a == 0 and self.b < 0)

    @property
    def grows(self) -> bool:
        """Whether it tends to infinity."""
        return not self.vanishes and not self.constant

    @property
    def constant(self) -> bool:
        """Whether it tends to c."""
        return self.a == 0 and self.b == 0


class UnknownTerm(Exception):
    """The leading term is not found."""


_ZERO = LeadingTerm(ex.ZERO, Fraction(0))


def _constant(c: Expr) -> LeadingTerm:
    c = simplify_constant(c)
    if c is ex.ZERO:
        return _ZERO
    with precision(300):
        z = ball(c)
    if not z.is_finite() or z.contains(0):
        raise UnknownTerm
    return LeadingTerm(c, Fraction(0))


def sign_of(c: Expr) -> int:
    """1 or -1 for a real constant."""
    with precision(300):
        z = ball(c)
    if not z.is_finite() or not z.imag.contains(0) or z.real.contains(0):
        raise UnknownTerm
    return 1 if z.real > 0 else -1


class LeadingTerms:
    """The leading terms of the subexpressions of one expression in t."""

    def __init__(self, t: str) -> None:
        self.t = t
        self.memo: dict[Expr, LeadingTerm] = {}

    def term(self, e: Expr) -> LeadingTerm:
        """The leading term of e.

        Raises:
            UnknownTerm: where leading terms cancel, or a function is not supported there.
        """
        term = self.memo.get(e)
        if term is None:
            term = self.memo[e] = self._term(e)
        return term

    def _term(self, e: Expr) -> LeadingTerm:
        if self.t not in e.free:
            return _constant(e)
        if e.op == "sym":
            return LeadingTerm(ex.ONE, Fraction(1))
        if e.op == "mul":
            return self._product([self.term(a) for a in e.args])
        if e.op == "add":
            return self._sum(e)
        if e.op == "pow":
            return self._power(e)
        return self._function(e, self.term(e.args[0]), e.op)

    def _product(self, terms: list[LeadingTerm]) -> LeadingTerm:
        if any(f.c is ex.ZERO for f in terms):
            return _ZERO
        c = simplify_constant(ex.mul([f.c for f in terms]))
        bound = any(f.bound for f in terms)
        if any(f.a is None for f in terms):
            return LeadingTerm(c, None, bound=True)
        a = sum((f.a for f in terms if f.a is not None), Fraction(0))
        return LeadingTerm(c, a, sum((f.b for f in terms), Fraction(0)), bound)

    def _sum(self, e: Expr) -> LeadingTerm:
        terms = [f for f in map(self.term, e.args) if f.c is not ex.ZERO]
        powers = [f for f in terms if f.a is not None]
        if not powers:
            return LeadingTerm(ex.ONE, None, bound=True) if terms else _ZERO
        first = min((f.a, -f.b) for f in powers if f.a is not None)
        leading = [f for f in powers if (f.a, -f.b) == first]
        if any(f.bound for f in leading):
            return LeadingTerm(ex.ONE, first[0], -first[1], True)
        c = simplify_constant(ex.add([f.c for f in leading]))
        if c is ex.ZERO:
            return self._taylor(e)
        return LeadingTerm(_constant(c).c, first[0], -first[1])

    def _taylor(self, e: Expr) -> LeadingTerm:
        """The first non-zero Taylor coefficient at t = 0 of a sum that is analytic there."""
        if any(n.op in ("abs", "sign", "floor") for n in ex.subtrees(e) if self.t in n.free):
            raise UnknownTerm
        at = {ex.symbol(self.t): ex.ZERO}
        slope, factor = e, 1
        for k in range(1, 7):
            slope, factor = slope.diff(self.t), factor * k
            if ex.size(slope) > 4000:
                break
            try:
                value = simplify_constant(ex.substitute(slope, at))
            except (ex.Undefined, ex.TooLarge):
                break
            if value is not ex.ZERO:
                return LeadingTerm(_constant(value).c / factor, Fraction(k))
        raise UnknownTerm

    def _power(self, e: Expr) -> LeadingTerm:
        u, k = self.term(e.args[0]), e.args[1]
        if k.op != "num":
            return self._exp(self.term(k * ex.call("log", e.args[0])))
        if u.c is ex.ZERO and k.value > 0:
            return _ZERO
        if u.a is None or u.bound:
            if k.value > 0 and u.vanishes:
                return LeadingTerm(
                    ex.ONE, None if u.a is None else u.a * k.value, u.b * k.value, True
                )
            raise UnknownTerm
        if u.c is ex.ZERO:
            raise UnknownTerm
        return LeadingTerm(simplify_constant(ex.power(u.c, k)), u.a * k.value, u.b * k.value)

    def _function(self, e: Expr, u: LeadingTerm, op: str) -> LeadingTerm:
        if op == "exp":
            return self._exp(u)
        if op == "floor":
            return self._floor(e.args[0], u)
        if u.c is ex.ZERO:
            return _constant(ex.call(op, ex.ZERO))
        if op == "abs" and not u.bound:
            return LeadingTerm(sign_of(u.c) * u.c, u.a, u.b)
        if op == "sign" and not u.bound:
            return _constant(ex.number(sign_of(u.c)))
        if u.grows:
            return self._at_infinity(op, u)
        if u.bound and not u.vanishes:
            if op in ("sin", "cos"):
                return LeadingTerm(ex.ONE, Fraction(0), bound=True)
            raise UnknownTerm
        return self._at_constant(e, op, u.c) if u.constant else self._at_zero(op, u)

    def _floor(self, argument: Expr, u: LeadingTerm) -> LeadingTerm:
        if u.bound or not (u.constant or u.vanishes):
            raise UnknownTerm
        c = u.c if u.constant else ex.ZERO
        with precision(300):
            z = ball(c)
            if z.imag == 0 and not z.real.contains_integer():
                return _constant(ex.number(int(z.real.floor().unique_fmpz())))
        if c.op != "num":
            raise UnknownTerm
        gap = self.term(argument - c)
        return _constant(c if gap.c is ex.ZERO or sign_of(gap.c) > 0 else c - 1)

    def _at_zero(self, op: str, u: LeadingTerm) -> LeadingTerm:
        if op in _LINEAR or op == "dilog":
            return u
        if op in ("cos", "cosh", "sech", "sec"):
            return _constant(ex.ONE)
        if op in ("erf", "erfi"):
            return LeadingTerm(
                2 * ex.power(ex.PI, ex.number(Fraction(-1, 2))) * u.c, u.a, u.b, u.bound
            )
        if op == "acos":
            return _constant(ex.PI / 2)
        if u.a is not None and not u.bound:
            if op in ("cot", "csc", "coth", "csch"):
                return LeadingTerm(1 / u.c, -u.a, -u.b)
            if (op == "log" or op in _LIKE_LOG) and u.a > 0:
                return LeadingTerm(ex.number(-u.a), Fraction(0), Fraction(1))
        raise UnknownTerm

    def _at_constant(self, e: Expr, op: str, c: Expr) -> LeadingTerm:
        if op == "dilog" and c is ex.ONE:
            return LeadingTerm(ex.PI**2 / 6, Fraction(0))
        try:
            value = simplify_constant(ex.call(op, c))
        except ex.Undefined:
            raise UnknownTerm from None
        if value is ex.ZERO:
            try:
                return self._taylor(e)
            except UnknownTerm:  # it tends to 0, perhaps slowly
                return LeadingTerm(ex.ONE, Fraction(0), Fraction(-1, 10**6), True)
        with precision(300):
            clear = op in ("asin", "acos") or is_continuous_at(op, ball(c), ball(value))
        if not clear and op in _BY_SINE:  # a pole
            (u,) = e.args
            return self.term(_BY_SINE[op](ex.call("sin", u), ex.call("cos", u)))
        if not clear:
            raise UnknownTerm
        return _constant(value)

    def _at_infinity(self, op: str, u: LeadingTerm) -> LeadingTerm:
        if op in ("sin", "cos"):
            return LeadingTerm(ex.ONE, Fraction(0), bound=True)
        if u.bound:
            raise UnknownTerm
        if op in _AT_INFINITY:
            return _constant(sign_of(u.c) * _AT_INFINITY[op])
        if op == "log" and u.a:
            return LeadingTerm(ex.number(-u.a), Fraction(0), Fraction(1))
        if op == "acot":
            return LeadingTerm(1 / u.c, None if u.a is None else -u.a, -u.b)
        if op == "Ci" and sign_of(u.c) > 0 and u.a is not None:
            return LeadingTerm(ex.ONE, -u.a, -u.b, True)
        if op in ("sech", "csch") or (op == "Ei" and sign_of(u.c) < 0):
            return LeadingTerm(ex.ONE, None, bound=True)
        if op == "dilog" and sign_of(u.c) < 0 and u.a is not None and u.a < 0:
            return LeadingTerm(ex.number(-u.a * u.a / 2), Fraction(0), Fraction(2))
        raise UnknownTerm

    def _exp(self, u: LeadingTerm) -> LeadingTerm:
        if u.vanishes:
            return _constant(ex.ONE)
        if u.constant and not u.bound:
            return _constant(ex.call("exp", u.c))
        if u.bound or u.a is None:
            raise UnknownTerm
        with precision(300):
            falls = ball(u.c).real < 0
        if u.a < 0 and falls:
            return LeadingTerm(ex.ONE, None, bound=True)
        if u.a == 0 and u.b == 1 and u.c.op == "num" and u.c.value < 0:
            return LeadingTerm(
                ex.ONE, -u.c.value / 2, bound=True
            )  # exp(c log(1/t) + smaller terms)
        raise UnknownTerm
