"""A quick proof that two expressions are equal: as rational functions of their parts.

Every function and every root is a new symbol, with the relations root**q = radicand,
sin**2 + cos**2 = 1 and cosh**2 - sinh**2 = 1. Equality as rational functions of these symbols holds
for all their values, so no case of signs is needed; the converse is false, and `proving` decides
the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sciml.symbolic.algebra import field as fd
from sciml.symbolic.algebra.field import GENERATORS, Q0, Q1, Failure, Poly, Quotient
from sciml.symbolic.algebra.rewriting import without_inverse_exponents
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.rational import factor_integer

_ERRORS = (Failure, ex.TooLarge, ex.Undefined, ZeroDivisionError, RecursionError, OverflowError)
_BY_SINE = {"tan": (1, -1), "cot": (-1, 1), "sec": (0, -1), "csc": (-1, 0), "sin": (1, 0),
            "cos": (0, 1)}  # fmt: skip
"""Powers of sine and cosine."""
_ARGUMENT_OF = frozenset((*_BY_SINE, "sinh", "cosh", "tanh", "coth", "sech", "csch"))
_MAX_SIZE, _MAX_TERMS = 3000, 4000


def equal_as_rational_functions(f: Expr, g: Expr) -> bool:
    """Whether f = g is proved in this way."""
    if ex.size(f) + ex.size(g) > _MAX_SIZE:
        return False
    f, g = without_inverse_exponents(f), without_inverse_exponents(g)
    nodes = [n for e in (f, g) for n in ex.subtrees(e) if n.op in _ARGUMENT_OF]
    parts = _Parts(frozenset(n.args[0] for n in nodes))
    try:
        difference = parts.convert(f) - parts.convert(g)
        defined = parts.reduce(difference.d) != 0
        return bool(defined and parts.reduce(difference.n) == 0)
    except _ERRORS:
        return False


@dataclass
class _Parts:
    """The symbols of the parts and their relations.

    Attributes:
        angles: the arguments of sines and cosines; functions of twice an angle are written by those
            of the angle.
        index: the number of each part's symbol.
        relations: (number, order, power): symbol**order = power.
        orders: the least common order of the roots of each radicand.
    """

    angles: frozenset[Expr]
    index: dict[object, int] = field(default_factory=dict)
    relations: list[tuple[int, int, Quotient]] = field(default_factory=list)
    memo: dict[Expr, Quotient] = field(default_factory=dict)

    def _symbol(self, key: object) -> int:
        i = self.index.get(key)
        if i is None:
            i = self.index[key] = len(self.index)
            if i >= fd.VARIABLES:
                raise Failure("too many parts")
        return i

    def convert(self, e: Expr) -> Quotient:
        """The expression as a rational function of its parts."""
        out = self.memo.get(e)
        if out is None:
            out = self.memo[e] = self._converted(e)
        return out

    def _converted(self, e: Expr) -> Quotient:
        if e.op == "num":
            return fd.constant(e.value)
        if e.op == "add":
            out = Q0
            for a in e.args:
                out = out + self.convert(a)
            return out
        if e.op == "mul":
            out = Q1
            for a in e.args:
                out = out * self.convert(a)
            return out
        if e.op == "pow" and e.args[1].op == "num":
            return self._power(e.args[0], e.args[1].value)
        if e.op == "pow":
            return self._symbolic_power(*e.args)
        if e.op == "exp":
            return self._exponential(e.args[0])
        if e.op == "I":
            return self._root_of_part(fd.constant(-1), 2)
        name = e.op[:-1] if e.op.endswith("h") else e.op
        if name in _BY_SINE and e.op != "Shi":
            return self._circular(e, name, "h" if name != e.op else "")
        return fd.generator(self._symbol(e))

    def _power(self, base: Expr, exponent: ex.Fraction) -> Quotient:
        if exponent.denominator == 1:
            return self.convert(base) ** exponent.numerator
        return self._root(base, exponent.denominator) ** exponent.numerator

    def _root(self, base: Expr, order: int) -> Quotient:
        """base**(1/order); positive rational factors are taken out of it."""
        power = self.convert(base)
        power = Quotient(self.reduce(power.n), power.d)
        if power.is_zero:
            return Q0
        above, below = int(power.n.content()), int(power.d.content())
        out = Q1
        for content, side in ((above, 1), (below, -1)):
            for prime, times in factor_integer(abs(content)).items():
                root = self._root_of_part(fd.constant(prime), order)
                out = out * root ** (side * times)
        rest = Quotient(power.n // above, power.d // below, False)
        if rest.n == 1 and rest.d == 1:
            return out
        return out * self._root_of_part(rest, order)

    def _root_of_part(self, power: Quotient, order: int) -> Quotient:
        key = (order, str(power.n), str(power.d))
        if key not in self.index:
            i = self._symbol(key)
            self.relations.append((i, order, power))
        return fd.generator(self.index[key])

    def _symbolic_power(self, base: Expr, exponent: Expr) -> Quotient:
        """base**e as a product over the terms c t of e: (base**(t/q))**(c q) with integers c q."""
        out, inside = Q1, self.convert(base)
        for term in exponent.args if exponent.op == "add" else (exponent,):
            if term.op == "num":
                out = out * self._power(base, term.value)
                continue
            c, rest = ex.split_coefficient(term)
            unit = ex.mul((ex.number(ex.Fraction(1, c.denominator)), rest))
            key = ("power", str(inside.n), str(inside.d), unit)
            out = out * fd.generator(self._symbol(key)) ** c.numerator
        return out

    def _exponential(self, u: Expr) -> Quotient:
        out = Q1
        for term in u.args if u.op == "add" else (u,):
            factors = term.args if term.op == "mul" else (term,)
            logs = [a for a in factors if a.op == "log"]
            if len(logs) == 1:  # exp(n log(u)) = u**n
                others = ex.mul([a for a in factors if a is not logs[0]])
                out = out * self._symbolic_power(logs[0].args[0], others)
                continue
            c, rest = ex.split_coefficient(term)
            unit = ex.mul((ex.number(ex.Fraction(1, c.denominator)), rest))
            symbol = fd.generator(self._symbol(ex.call("exp", unit)))
            out = out * symbol**c.numerator
        return out

    def _circular(self, e: Expr, name: str, h: str) -> Quotient:
        u = e.args[0]
        up, across = _BY_SINE[name]
        halved = self._by_half_angle(u, h)
        if halved is not None:
            return halved[0] ** up * halved[1] ** across
        key = ("sin" + h, u)
        if key not in self.index:
            s, c = self._symbol(key), self._symbol(("cos" + h, u))
            cosine = Quotient(GENERATORS[c] ** 2)
            self.relations.append((s, 2, cosine - Q1 if h else Q1 - cosine))
        s, c = self.index[key], self.index["cos" + h, u]
        return fd.generator(s) ** up * fd.generator(c) ** across

    def _by_half_angle(self, u: Expr, h: str) -> tuple[Quotient, Quotient] | None:
        """Sine and cosine of u (hyperbolic where h is "h") by those of w/2, with w = u, u - pi/2,
        i u or i u - pi/2, where w/2 is one of the angles."""
        v = ex.I * u if h else u
        for shift in (ex.ZERO, ex.PI / 4):
            half = v / 2 - shift
            if half not in self.angles or half is u:
                continue
            a, b = (self.convert(ex.call(name, half)) for name in ("sin", "cos"))
            two = fd.constant(2)
            sine, cosine = two * a * b, Q1 - two * a * a
            if shift is not ex.ZERO:  # sin(v) = cos(w), cos(v) = -sin(w)
                sine, cosine = cosine, -sine
            return (-self.convert(ex.I) * sine, cosine) if h else (sine, cosine)
        return None

    def reduce(self, p: Poly) -> Poly:
        """A polynomial by the relations, up to a factor that is not 0."""
        for i, order, power in reversed(self.relations):
            high = fd.degrees(p)[i] if p != 0 else 0
            if high < order:
                continue
            times = high // order
            out = fd.ZERO
            for k, c in enumerate(fd.by_degree(p, i, high)):
                if c != 0:
                    whole, rest = divmod(k, order)
                    out = out + c * GENERATORS[i] ** rest * power.n**whole * power.d ** (
                        times - whole
                    )
                    if len(out) > _MAX_TERMS:
                        raise Failure("a polynomial grew too large")
            p = out
        return p
