"""Differential towers: an expression as a quotient of polynomials in kernels whose derivatives are
quotients of polynomials in the same kernels (the frame of parallel, or Norman-Risch, integration;
Bronstein, Symbolic Integration I, chapter 10).

One kernel serves a group of exponentials or circular functions whose arguments are rational
multiples of one another: tan where no other function of the group occurs, otherwise the pair sin,
cos. Exponentials of sums are split. Numbers such as pi or exp(1) are kernels with derivative 0.
Radicals and absolute values are kept modulo their algebraic relation.
"""

from __future__ import annotations

import math
from fractions import Fraction

from sciml.symbolic.algebra import field as fd
from sciml.symbolic.algebra.field import GENERATORS, ONE, Q0, Q1, Failure, Poly, Quotient
from sciml.symbolic.algebra.groups import FAMILY, Groups
from sciml.symbolic.algebra.prepare import prepare
from sciml.symbolic.algebra.radicals import Kernel, Radicals
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.calculus import DERIVATIVES
from sciml.symbolic.expr.expression import Expr


class Tower(Groups, Radicals):
    """The kernels of expressions of one variable.

    Args:
        variable: the name of the variable of integration.
        split: expand sin, cos, sinh, cosh of a sum by the addition theorems.
        logarithmic: write the slope of a radical r of u as r u' / (q u) instead of
            u' / (q r**(q-1)); decides which denominators appear.
        normal: pull squares out of radicands and make them polynomials.
        pair: write tangents by sine and cosine even where they stand alone.
        whole: do not split exponentials of sums.
        signs: write |u| as s u with a constant s, s**2 = 1, instead of a radical.
        halves: write circular and hyperbolic functions by those of half the argument.
    """

    def __init__(
        self,
        variable: str,
        *,
        split: bool = False,
        logarithmic: bool = False,
        normal: bool = False,
        pair: bool = False,
        signs: bool = False,
        whole: bool = False,
        halves: bool = False,
    ) -> None:
        Groups.__init__(self, variable, split, whole, halves)
        self.logarithmic, self.normal, self.pair, self.signs = logarithmic, normal, pair, signs
        self.kernels: list[Kernel] = []
        self.memo: dict[Expr, Quotient] = {}

    # ------------------------------------------------------------------ conversion
    def convert(self, e: Expr) -> Quotient:
        """The quotient of one expression; builds the tower."""
        return self.convert_all([e])[0]

    def convert_all(self, items: list[Expr]) -> list[Quotient]:
        """The quotients of expressions that share one tower."""
        prepared = [prepare(e) for e in items]
        self.scan(prepared)
        q = self.root
        i = self.new(Kernel("variable" if q == 1 else "root", self._x_root(q)))
        self.kernels[i].slope = Q1 if q == 1 else Quotient(ONE, GENERATORS[i] ** (q - 1) * q)
        return [self._convert(e) for e in prepared]

    def _x_root(self, q: int) -> Expr:
        return ex.power(self.x, ex.number(Fraction(1, q)))

    def _convert(self, e: Expr) -> Quotient:
        if e not in self.memo:
            self.memo[e] = self._convert_new(e)
        return self.memo[e]

    def _convert_new(self, e: Expr) -> Quotient:
        op = e.op
        if e is self.x:
            return fd.generator(0, self.root)
        if op == "num":
            return fd.constant(e.value)
        if op == "add":
            out = Q0
            for a in e.args:
                out = out + self._convert(a)
            return out
        if op == "mul":
            out = Q1
            for a in e.args:
                out = out * self._convert(a)
            return out
        if op == "pow" and e.args[1].op == "num":
            return self._power(e.args[0], e.args[1].value)
        if op == "I":
            return self.imaginary()
        if op == "exp":
            return self._exponential(e)
        if self.variable not in e.free:
            return self._constant_function(e)
        if op in FAMILY:
            return self._circular(e)
        if op == "abs":
            return self.absolute(self._convert(e.args[0]))
        if op == "sign":
            u = self._convert(e.args[0])
            return self.absolute(u) / u
        return self._function(e)

    def _constant_function(self, e: Expr) -> Quotient:
        """A function of a constant; sine and cosine of the same angle by the tangent of half of
        it."""
        if e.op in ("sin", "cos", "tan") and e.args[0] in self.half_angles:
            t = fd.generator(self._constant(ex.call("tan", e.args[0] * ex.HALF)))
            square = t * t
            two_t = fd.constant(2) * t
            if e.op == "sin":
                return two_t / (Q1 + square)
            return (Q1 - square) / (Q1 + square) if e.op == "cos" else two_t / (Q1 - square)
        return fd.generator(self._constant(e))

    def _constant(self, e: Expr) -> int:
        for i, kernel in enumerate(self.kernels):
            if kernel.kind == "constant" and kernel.expr is e:
                return i
        return self.new(Kernel("constant", e))

    def _power(self, base: Expr, exponent: Fraction) -> Quotient:
        if exponent.denominator == 1:
            return self._convert(base) ** exponent.numerator
        if base is self.x:
            return fd.generator(0) ** int(exponent * self.root)
        if self.variable not in base.free and base.op != "num":
            return fd.generator(self._constant(ex.power(base, ex.number(exponent))))
        if base not in self.radicals:
            raise Failure(f"a root that the scan missed: {base}")
        q = self.radicals[base]
        e = ex.power(base, ex.number(Fraction(1, q)))
        return self.radical(self._convert(base), q, e) ** int(exponent * q)

    def _exponential(self, e: Expr) -> Quotient:
        out = Q1
        for u in self.arguments(e):
            if self.variable not in u.free:
                if u.op == "num" and u.value.denominator == 1:
                    out = out * fd.generator(self._constant(ex.E)) ** u.value.numerator
                else:
                    out = out * fd.generator(self._constant(ex.call("exp", u)))
                continue
            group = self.group("exp", u)
            if group.index < 0:
                slope = self.derivative(self._convert(prepare(group.unit)))
                i = self.new(Kernel("exp", ex.call("exp", group.unit)))
                self.kernels[i].slope = slope * fd.generator(i)
                group.index = i
            out = out * fd.generator(group.index) ** int(group.multiples[u])
        return out

    def _circular(self, e: Expr) -> Quotient:
        family = FAMILY[e.op]
        sign = 1 if family == "trig" else -1
        parts = [self._sine_cosine(family, u) for u in self.arguments(e)]
        if isinstance(parts[0], Quotient):  # tangents only
            t = parts[0]
            for other in parts[1:]:
                t = (t + other) / (Q1 - fd.constant(sign) * t * other)  # type: ignore[operator]
            return t
        s, c = parts[0]
        for s2, c2 in parts[1:]:  # type: ignore[misc]
            s, c = s * c2 + c * s2, c * c2 - fd.constant(sign) * s * s2
        if e.op in ("sin", "sinh"):
            return s
        return c if e.op in ("cos", "cosh") else s / c

    def _sine_cosine(self, family: str, u: Expr) -> Quotient | tuple[Quotient, Quotient]:
        group = self.group(family, u)
        sign = 1 if family == "trig" else -1
        h = "" if sign == 1 else "h"
        tangent = group.names == {"tan" + h} and not self.pair
        if self.split and tangent:
            tangent = all(g.names == {"tan" + h} for g in self.groups[family])
        multiple = int(group.multiples[u])
        if group.index < 0:
            slope = self.derivative(self._convert(prepare(group.unit)))
            if tangent:
                i = self.new(Kernel("tan", ex.call("tan" + h, group.unit), sign=sign))
                self.kernels[i].slope = slope * Quotient(ONE + sign * GENERATORS[i] ** 2)
            else:
                i = self.new(Kernel("sin", ex.call("sin" + h, group.unit), sign=sign))
                j = self.new(Kernel("cos", ex.call("cos" + h, group.unit), sign=sign))
                self.kernels[i].slope = slope * fd.generator(j)
                self.kernels[j].slope = slope * fd.constant(-sign) * fd.generator(i)
            group.index = i
        i = group.index
        if tangent:
            t = out = fd.generator(i)
            for _ in range(abs(multiple) - 1):
                out = (out + t) / (Q1 - fd.constant(sign) * out * t)
            return out if multiple > 0 else -out
        if abs(multiple) > 60:
            raise Failure("a multiple angle is too high")
        s, c = GENERATORS[i], GENERATORS[i + 1]
        a, b = s, c
        for _ in range(abs(multiple) - 1):
            a, b = self.reduce(a * c + b * s), self.reduce(b * c - sign * a * s)
        return Quotient(a if multiple > 0 else -a), Quotient(b)

    def _function(self, e: Expr) -> Quotient:
        u = self._convert(e.args[0])
        du = self.derivative(u)
        kind = "inverse"
        if e.op == "log":
            slope, kind = du / u, "log"
        elif e.op in ("asin", "acos"):
            slope = du / self._square_root(Q1 - u * u, 1 - e.args[0] ** 2)
            slope = -slope if e.op == "acos" else slope
        elif e.op == "asinh":
            slope = du / self._square_root(Q1 + u * u, 1 + e.args[0] ** 2)
        elif e.op == "acosh":
            slope = du / self._square_root(u * u - Q1, e.args[0] ** 2 - 1)
        elif e.op == "atan":
            slope = du / (Q1 + u * u)
        elif e.op == "atanh":
            slope = du / (Q1 - u * u)
        elif e.op in DERIVATIVES:
            outer = prepare(DERIVATIVES[e.op](ex.symbol("_u")))
            slope, kind = self._special(outer, e.args[0]) * du, "special"
        else:
            raise Failure(f"{e.op} of the variable")
        i = self.new(Kernel(kind, e, slope))
        return fd.generator(i)

    def _special(self, outer: Expr, u: Expr) -> Quotient:
        """The derivative of a special function in existing kernels; fails where one is missing."""
        inner = prepare(ex.substitute(outer, {ex.symbol("_u"): u}))
        for node in ex.subtrees(inner):
            family = FAMILY.get(node.op)
            if family and any(
                (family, a) not in self._group_of and a.op != "num" for a in self.arguments(node)
            ):
                raise Failure("a special function's kernel is missing")
            if node.op == "pow" and node.args[1].op == "num":
                q = node.args[1].value.denominator
                if q > 1:
                    self.radicals[node.args[0]] = math.lcm(self.radicals.get(node.args[0], 1), q)
        return self._convert(inner)

    def parameters(self) -> list[int]:
        """The kernels that are constants without a relation: the coefficients' field is Q of
        these."""
        return [i for i, k in enumerate(self.kernels) if k.kind == "constant"]

    def algebraic_constants(self) -> list[int]:
        """The kernels that are constants with a relation, such as sqrt(2)."""
        return [
            i
            for i, k in enumerate(self.kernels)
            if k.degree and (self.variable not in k.expr.free or k.kind == "sign")
        ]

    # ------------------------------------------------------------------ calculus and relations
    def derivative(self, r: Quotient) -> Quotient:
        """d r / dx."""
        top = self._poly_derivative(r.n)
        if r.d == ONE:
            return top
        bottom = self._poly_derivative(r.d)
        return top / Quotient(r.d) - Quotient(r.n) * bottom / Quotient(r.d**2)

    def _poly_derivative(self, p: Poly) -> Quotient:
        out = Q0
        for i, kernel in enumerate(self.kernels):
            if not kernel.slope.is_zero:
                d = p.derivative(i)
                if d != 0:
                    out = out + Quotient(d) * kernel.slope
        return out

    def reduce(self, p: Poly) -> Poly:
        """p modulo sin**2 = 1 - cos**2 and radical**q = radicand (where that is a polynomial)."""
        changed = p != 0
        while changed and p != 0:
            changed = False
            high = fd.degrees(p)
            for i, kernel in enumerate(self.kernels):
                if kernel.kind == "sin":
                    q = 2
                    u = (ONE - GENERATORS[i + 1] ** 2) * kernel.sign
                elif kernel.degree and kernel.radicand.d == ONE:
                    q, u = kernel.degree, kernel.radicand.n
                else:
                    continue
                if high[i] < q:
                    continue
                parts: dict[int, dict] = {}
                for monomial, c in p.terms():
                    m = list(fd.exponents(monomial))
                    times, m[i] = divmod(m[i], q)
                    parts.setdefault(times, {})[tuple(m)] = c
                p = fd.ZERO
                for times, part in parts.items():
                    p = p + fd.RING.from_dict(part) * u**times
                    if len(p) > 20_000:
                        raise Failure("a polynomial grew too large")
                changed = True
                if p == 0:
                    break
                high = fd.degrees(p)
        return p

    def reduced(self, r: Quotient) -> Quotient:
        """Numerator and denominator reduced."""
        return Quotient(self.reduce(r.n), self.reduce(r.d))

    def is_zero(self, r: Quotient) -> bool:
        """Whether r vanishes modulo the relations; False does not prove that it is not 0."""
        return self.reduce(r.n) == 0

    # ------------------------------------------------------------------ back to expressions
    def poly_expr(self, p: Poly) -> Expr:
        """The expression of a polynomial."""
        terms = []
        for monomial, c in p.terms():
            factors: list[Expr] = [ex.number(int(c))]
            for i, e in enumerate(fd.exponents(monomial)):
                if e:
                    factors.append(ex.power(self.kernels[i].expr, ex.number(e)))
            terms.append(ex.mul(factors))
        return ex.add(terms)
