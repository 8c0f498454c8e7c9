"""Normal form: an expression as a quotient of polynomials, in one case of signs of its parts.

Radicals, logarithms and absolute values obey no identity on the whole real line: sqrt(a b) is
sqrt(a) sqrt(b) unless both are negative. Where the sign of every irreducible polynomial that occurs
in them is known, everything is: |g| = -g, sqrt(g) = i sqrt(|g|), log(g) = log|g| + i pi. So an
expression of real variables becomes a quotient of polynomials in

- the variables, pi and i;
- roots |g|**(1/q) of irreducible g, with their relation;
- exp(u) > 0 and t = tan(u / 2) of real u, one for all rational multiples of u;
- logarithms log|g|, and further functions, each without relations.

A sign is read off at a sample point if it cannot change in the current part of the line (the real
roots of its norm are the ends of these parts, see `Refinement.separators`), else both are tried
(`CaseSplit`). Only identities that hold for all values with these signs are used.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from sciml.symbolic.algebra import field as fd
from sciml.symbolic.algebra.field import GENERATORS, ONE, Q0, Q1, Failure, Quotient
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.verification.principal_values import PrincipalValues
from sciml.symbolic.verification.sign_conditions import Generator, Restart, ball

_RECIPROCAL = {"acot": "atan", "asec": "acos", "acsc": "asin", "acoth": "atanh",
               "asech": "acosh", "acsch": "asinh"}  # fmt: skip
_ODD = frozenset("atan asin erf erfi Si Shi fresnels fresnelc".split())
_MAX_MULTIPLE = 40
_MAX_SPLIT_TERMS = 8


class Case(PrincipalValues):
    """One case of signs; see `SignCase` for its arguments."""

    # ------------------------------------------------------------------ exponentials and angles
    def _rational_multiples(self, u: Quotient) -> list[tuple[str, Fraction, bool, Quotient]]:
        """u as a sum of rational multiples of distinct quotients: (name, multiple, whether times
        i, quotient)."""
        by_name: dict[tuple[str, bool], tuple[Fraction, Quotient]] = {}
        i = self.index.get("I")
        for c, m in self._summands(u, i):
            imaginary = i is not None and m.n != 0 and fd.degrees(m.n)[i] == 1 and len(m.n) == 1
            if imaginary and i is not None:
                m = Quotient(m.n // GENERATORS[i], m.d, False)
            name = f"{self.name(m.n)}/{self.name(m.d)}"
            coefficient = by_name.get((name, imaginary), (Fraction(0), m))[0]
            by_name[name, imaginary] = coefficient + c, m
        return [(name, c, imaginary, part) for (name, imaginary), (c, part) in by_name.items() if c]

    def _summands(self, u: Quotient, i: int | None) -> list[tuple[Fraction, Quotient]]:
        """(rational factor, primitive quotient) of each term. A long quotient by a sum stays in one
        piece, and so does every quotient if `Refinement.keep_sums`."""
        numerators = [u.n]
        long_quotient = len(u.d) > 1 and len(u.n) > _MAX_SPLIT_TERMS
        if i is not None and fd.degrees(u.n)[i] or not (long_quotient or self.refinement.keep_sums):
            numerators = [fd.RING.from_dict({m: c}) for m, c in u.n.terms()]
        out = []
        for n in numerators:
            part = Quotient(n, u.d)
            content_n, content_d = int(part.n.content()), int(part.d.content())
            if int(part.n.leading_coefficient()) < 0:
                content_n = -content_n
            if int(part.d.leading_coefficient()) < 0:
                content_d = -content_d
            out.append(
                (
                    Fraction(content_n, content_d),
                    Quotient(part.n // content_n, part.d // content_d, False),
                )
            )
        return out

    def _multiple(self, kind: str, name: str, c: Fraction) -> tuple[Fraction, int]:
        """The unit of an argument, and `c` as an integer multiple of it."""
        name = f"{kind} {name}"
        unit = self.refinement.units.get(name)
        if unit is None:
            self.refinement.units[name] = unit = abs(c)
        times = c / unit
        if times.denominator != 1:
            common_denominator = math.lcm(unit.denominator, c.denominator)
            self.refinement.units[name] = Fraction(
                math.gcd(int(unit * common_denominator), int(c * common_denominator)),
                common_denominator,
            )
            raise Restart
        if abs(times) > _MAX_MULTIPLE:
            raise Failure("a multiple is too high")
        return unit, int(times)

    def exponential(self, u: Quotient) -> Quotient:
        """exp(u)."""
        out = Q1
        for name, c, imaginary, part in self._rational_multiples(u):
            if imaginary:
                sine, cosine = self._angle(name, c, part)
                out = self._product([out, cosine + self.imaginary() * sine])
            else:
                out = self._product([out, self._exponential(name, c, part)])
        return out

    def _exponential(self, name: str, c: Fraction, part: Quotient) -> Quotient:
        """exp(c times a quotient), a power of the exponential of the unit argument."""
        logarithm = self._single_generator(part, "log")
        if logarithm is not None and logarithm.real:
            if not self.used(logarithm.inside):
                return self._number_root(Fraction(int(logarithm.inside.leading_coefficient())), c)
            return self._absolute_power(logarithm.inside, c)
        unit, times = self._multiple("exp", name, c)
        real, variables = self.real(part.n, part.d), self.depends_on(part.n, part.d)
        full = f"exp({unit}*{name})"
        i = self.index.get(full)
        if i is None:
            properties: dict[str, Any] = {
                "real": real, "positive": real, "inside": f"exp {name}",
                "log": fd.constant(unit) * part if real else None,
                "symbols": self.symbols(part.n) | self.symbols(part.d),
            }  # fmt: skip
            if variables or not real:
                i = self._parameter(full, "exp", **properties)
                self._record_kernel(full, "exp", unit, part)
            else:
                i = self._new(Generator(full, "exp", lambda: (
                    self.value(part.n) / self.value(part.d) * ball(unit)).exp(),
                    **properties))  # fmt: skip
        return fd.generator(i) ** times

    def _record_kernel(self, name: str, kind: str, unit: Fraction, part: Quotient) -> None:
        symbol = self._single_generator(part, "variable")
        if symbol is not None:
            self.refinement.kernel_of[name] = kind, symbol.name, unit

    def _single_generator(self, q: Quotient, kind: str) -> Generator | None:
        """The generator that equals the quotient, if it is of this kind."""
        if q.d != ONE:
            return None
        for i in self.used(q.n):
            if q.n == GENERATORS[i] and self.generators[i].kind == kind:
                return self.generators[i]
        return None

    def angle(self, u: Quotient) -> tuple[Quotient, Quotient]:
        """(sin u, cos u)."""
        s, c = Q0, Q1
        for name, multiple, imaginary, part in self._rational_multiples(u):
            if imaginary:  # cos(i u) = cosh(u), sin(i u) = i sinh(u)
                up, down = (self._exponential(name, side * multiple, part) for side in (1, -1))
                half = fd.constant(Fraction(1, 2))
                s2 = self._product([self.imaginary(), half, up - down])
                c2 = half * (up + down)
            else:
                s2, c2 = self._angle(name, multiple, part)
            s, c = (self._sum([self._product([s, c2]), self._product([c, s2])]),
                    self._sum([self._product([c, c2]), -self._product([s, s2])]))  # fmt: skip
        return s, c

    def _angle(self, name: str, c: Fraction, part: Quotient) -> tuple[Quotient, Quotient]:
        """Sine and cosine of c times a quotient, by the tangent of half a unit angle."""
        if self._single_generator(part, "pi"):
            exact = self._exact_angle(c)
            if exact is not None:
                return exact
        inverse = self._single_generator(part, "function")
        if inverse is not None and c.denominator == 1 and abs(c) <= _MAX_MULTIPLE:
            sine_cosine = self._angle_of_inverse(inverse)
            if sine_cosine is not None:
                return self._multiple_angle(*sine_cosine, int(c))
        unit, times = self._multiple("tan", name, c)
        full = f"tan({unit}/2*{name})"
        i = self.index.get(full)
        if i is None:
            real = self.real(part.n, part.d)
            if self.depends_on(part.n, part.d) or not real:
                within = self.symbols(part.n) | self.symbols(part.d)
                i = self._parameter(full, "tan", real=real, symbols=within)
                self._record_kernel(full, "tan", unit, part)
            else:
                i = self._new(Generator(full, "tan", lambda: (
                    self.value(part.n) / self.value(part.d) * ball(unit / 2)).tan()))  # fmt: skip
        # (cos + i sin)(k u) = (1 + i t)**(2k) / (1 + t**2)**k
        t, k = GENERATORS[i], abs(times)
        parts = [fd.ZERO, fd.ZERO]
        for power in range(2 * k + 1):
            parts[power % 2] += (-1) ** (power // 2) * math.comb(2 * k, power) * t**power
        denominator = (1 + t * t) ** k
        return Quotient(parts[1] * (1 if times > 0 else -1), denominator), Quotient(
            parts[0], denominator
        )

    def _multiple_angle(self, s: Quotient, c: Quotient, times: int) -> tuple[Quotient, Quotient]:
        """Sine and cosine of a multiple of an angle."""
        a, b = Q0, Q1
        for _ in range(abs(times)):
            a, b = (self._sum([self._product([a, c]), self._product([b, s])]),
                    self._sum([self._product([b, c]), -self._product([a, s])]))  # fmt: skip
        return (a if times > 0 else -a), b

    def _angle_of_inverse(self, g: Generator) -> tuple[Quotient, Quotient] | None:
        """Sine and cosine of asin(v), atan(v)."""
        op, v = g.inside
        square = self._product([v, v])
        if op == "asin":
            return v, self.root(Q1 - square, Fraction(1, 2))
        if op == "atan":
            c = self.root(Q1 + square, Fraction(-1, 2))
            return self._product([v, c]), c
        return None

    def _exact_angle(self, c: Fraction) -> tuple[Quotient, Quotient] | None:
        """Sine and cosine of c pi in radicals, for denominators 1 to 6, 8, 10, 12."""
        q = c.denominator
        cosines = {1: "-1", 2: "0", 3: "1/2", 4: "sqrt(2)/2", 5: "(1+sqrt(5))/4", 6: "sqrt(3)/2",
                   8: "sqrt(2+sqrt(2))/2", 10: "sqrt(10+2*sqrt(5))/4",
                   12: "(sqrt(6)+sqrt(2))/4"}  # fmt: skip
        sines = {1: "0", 2: "1", 3: "sqrt(3)/2", 4: "sqrt(2)/2", 5: "sqrt(10-2*sqrt(5))/4",
                 6: "1/2", 8: "sqrt(2-sqrt(2))/2", 10: "(sqrt(5)-1)/4",
                 12: "(sqrt(6)-sqrt(2))/4"}  # fmt: skip
        if q not in cosines:
            return None
        from sciml.symbolic.expr.parser import parse

        s, cosine = (self.convert(parse(table[q])) for table in (sines, cosines))
        return self._multiple_angle(s, cosine, c.numerator % (2 * q))

    # ------------------------------------------------------------------ conversion
    def convert(self, e: Expr) -> Quotient:
        """The quotient that equals `e` in this case."""
        quotient = self.memo.get(e)
        if quotient is None:
            quotient = self.memo[e] = self._convert(e)
        return quotient

    def _convert(self, e: Expr) -> Quotient:
        op = e.op
        if op == "num":
            return fd.constant(e.value)
        if op == "sym":
            return fd.generator(self._parameter(e.value, "variable"))
        if op == "pi":
            return self.pi()
        if op == "I":
            return self.imaginary()
        if op == "add":
            return self._sum(self.convert(a) for a in e.args)
        if op == "mul":
            return self._product(self.convert(a) for a in e.args)
        if op == "pow":
            if e.args[1].op == "num":
                return self.root(self.convert(e.args[0]), e.args[1].value)
            exponent, base = self.convert(e.args[1]), self.convert(e.args[0])
            return self.exponential(self._product([exponent, self.logarithm(base)]))
        if op in _RECIPROCAL:
            return self.convert(ex.call(_RECIPROCAL[op], 1 / e.args[0]))
        return self._function(op, self.convert(e.args[0]))

    def _function(self, op: str, u: Quotient) -> Quotient:
        """A function of u, by exponentials, logarithms, roots and angles where possible."""
        half = fd.constant(Fraction(1, 2))
        if op == "exp":
            return self.exponential(u)
        if op == "log":
            return self.logarithm(u)
        if op in ("sin", "cos", "tan", "cot", "sec", "csc"):
            return self._by_sine_cosine(op, *self.angle(u))
        if op in ("sinh", "cosh", "tanh", "coth", "sech", "csch"):
            up, down = self.exponential(u), self.exponential(-u)
            s, c = self._reduced(half * (up - down)), self._reduced(half * (up + down))
            return self._by_sine_cosine(op.removesuffix("h"), s, c)
        if op in ("abs", "sign"):
            return self._absolute(op, u)
        if op == "acos":
            return half * self.pi() - self._function("asin", u)
        if op == "atanh":
            return self._reduced(half * (self.logarithm(Q1 + u) - self.logarithm(Q1 - u)))
        if op == "asinh":
            root = self.root(self._sum([Q1, self._product([u, u])]), Fraction(1, 2))
            return self.logarithm(self._sum([u, root]))
        if op == "acosh":
            roots = [self.root(self._sum([u, fd.constant(k)]), Fraction(1, 2)) for k in (1, -1)]
            return self.logarithm(self._sum([u, self._product(roots)]))
        if u.is_zero:
            raise Failure(f"{op} of zero")
        if op in ("asin", "atan") and self.real(u.n, u.d):
            return self._inverse_angle(op, u)
        if op in _ODD and int(u.n.leading_coefficient()) < 0:
            return -self._opaque_function(op, -u)
        return self._opaque_function(op, u)

    def _by_sine_cosine(self, op: str, s: Quotient, c: Quotient) -> Quotient:
        """A circular or hyperbolic function by its sine and cosine."""
        numerator, denominator = {"sin": (s, Q1), "cos": (c, Q1), "tan": (s, c), "cot": (c, s),
                                  "sec": (Q1, c), "csc": (Q1, s)}[op]  # fmt: skip
        return self._reduced(numerator / denominator)

    def _inverse_angle(self, op: str, u: Quotient) -> Quotient:
        """atan(u), or asin(u) = atan(u / sqrt(1 - u**2)) where it is real; the arctangents of u and
        1 / u add up to a right angle."""
        if op == "asin":
            square = self._sum([Q1, -self._product([u, u])])
            if square.is_zero or self._sign_of_product(*self._factors(square)) < 0:
                return self._opaque_function(op, u, cut=False)
            return self._inverse_angle(
                "atan", self._product([u, self.root(square, Fraction(-1, 2))])
            )
        if int(u.n.leading_coefficient()) < 0:
            return -self._inverse_angle(op, -u)
        reciprocal = Quotient(u.d, u.n)
        side = -1 if int(reciprocal.n.leading_coefficient()) < 0 else 1
        if f"atan({self.name(side * reciprocal.n)}/{self.name(reciprocal.d)})" in self.index:
            quarter_turns = fd.constant(Fraction(self._sign_of_product(*self._factors(u)), 2))
            arctangent = self._opaque_function(
                op, Quotient(side * reciprocal.n, reciprocal.d, False)
            )
            return quarter_turns * self.pi() - fd.constant(side) * arctangent
        return self._opaque_function(op, u)

    def _absolute(self, op: str, u: Quotient) -> Quotient:
        if u.is_zero:
            return Q0
        if not self.real(u.n, u.d):
            (a, b), (c, d) = self._real_and_imaginary(u.n), self._real_and_imaginary(u.d)
            size = self.root(Quotient(a * a + b * b, c * c + d * d), Fraction(1, 2))
            return size if op == "abs" else self._reduced(u / size)
        sign = fd.constant(self._sign_of_product(*self._factors(u)))
        if op == "sign":
            self._require_nonzero(u)
        return sign if op == "sign" else sign * u

    def _require_nonzero(self, u: Quotient) -> None:
        """Refuse a quantity that may be identically zero, whose sign would be 0. Polynomials, and
        algebraic functions of one variable with a non-zero norm, are certainly not."""
        variables = self.depends_on(u.n)
        polynomial = all(self.generators[i].kind == "variable" for i in self.used(u.n))
        if not (
            polynomial
            or not variables
            or len(variables) == 1
            and self.norm(u.n, *variables) is not None
        ):
            raise Failure("the sign of a quantity that may vanish")
