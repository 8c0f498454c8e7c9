"""Branch choice: principal values of roots and logarithms in one case of sign conditions.

Where the sign of every irreducible factor g is known, sqrt(g) is sqrt(|g|) or i sqrt(|g|) and
log(g) is log|g| or log|g| + i pi (see `normal_form`).
"""

from __future__ import annotations

import math
from fractions import Fraction

from flint import acb

from sciml.symbolic.algebra import field as fd
from sciml.symbolic.algebra.field import GENERATORS, ONE, Q0, Q1, Failure, Poly, Quotient
from sciml.symbolic.expr.evaluate import BALLS
from sciml.symbolic.expr.rational import factor_integer
from sciml.symbolic.verification.sign_conditions import (
    Generator,
    Restart,
    SignCase,
    ball,
    ball_root,
)

_REAL = frozenset("atan erf erfi Si Shi fresnels fresnelc".split())
"""Functions that are real for every real argument."""


class PrincipalValues(SignCase):
    """The part of `normal_form.Case` for roots, logarithms and functions without relations."""

    def _factors(self, u: Quotient) -> tuple[Fraction, list[tuple[Poly, int]]]:
        """The content and the irreducible factors with their exponents."""
        content, above = fd.factor(u.n)
        content_below, below = fd.factor(u.d)
        factors = [(g, int(e)) for g, e in above] + [(g, -int(e)) for g, e in below]
        return Fraction(int(content), int(content_below)), factors

    def _sign_of_product(self, c: Fraction, factors: list[tuple[Poly, int]]) -> int:
        """The sign of a content times powers of real polynomials."""
        sign = 1 if c > 0 else -1
        for g, e in factors:
            if e % 2:
                sign *= self.sign(g)
        return sign

    def root(self, u: Quotient, exponent: Fraction) -> Quotient:
        """u ** exponent, principal value."""
        if exponent.denominator == 1:
            if u.is_zero and exponent < 0:
                raise Failure("division by zero")
            return self._power(u, int(exponent))
        if u.is_zero:
            if exponent < 0:
                raise Failure("division by zero")
            return Q0
        c, factors = self._factors(u)
        parts = [self._number_root(abs(c), exponent)]
        if self.real(u.n, u.d):
            parts += [self._absolute_power(g, e * exponent) for g, e in factors]
            if self._sign_of_product(c, factors) < 0:
                parts.append(
                    self._power(self._root_of_minus_one(exponent.denominator), exponent.numerator)
                )
            return self._product(parts)
        inner = self._reduced(-self.imaginary() * u)
        if self.real(inner.n, inner.d):  # u = i v: a quarter turn
            unit_root = self._root_of_minus_one(2 * exponent.denominator)
            quarter = self._sign_of_product(*self._factors(inner)) * exponent.numerator
            return self._product([*parts, *(self._absolute_power(g, e * exponent) for g, e in
                                            self._factors(inner)[1]),
                                  self._power(unit_root, quarter)])  # fmt: skip
        self._fix_half_plane(u)
        rest = u / fd.constant(abs(c))
        q, base = exponent.denominator, f"{self.name(rest.n)}/{self.name(rest.d)}"
        order = self._common_order(base, q)
        i = self.index.get(base)
        if i is None:  # the root times the denominator, which is a root of a polynomial
            power = self.reduce(rest.n * rest.d ** (order - 1))
            i = self._new(Generator(
                base, "root", lambda: ball_root(self.value(rest.n) / self.value(rest.d), order)
                * self.value(rest.d), self.depends_on(rest.n, rest.d), False, order=order,
                power=power, inside=power))  # fmt: skip
        one = fd.generator(i) / Quotient(rest.d)
        return self._product([*parts, self._power(one, int(exponent * order))])

    def _fix_half_plane(self, u: Quotient) -> None:
        """Fix the signs of the factors of Im u, so that a complex u does not cross the real axis,
        where principal values may jump; where Im u is unknown, the case becomes opaque."""
        part = self.imaginary_part(u)
        if part is None:
            self.opaque = True
            return
        for g, _ in fd.factor(part)[1]:
            self.sign(g)

    def imaginary_part(self, u: Quotient) -> Poly | None:
        """A polynomial that vanishes where the imaginary part of u does; None: unknown."""
        i = self.index.get("I")
        for p in (u.n, u.d):
            if not all(g.real for k, g in enumerate(self.generators)
                       if k != i and fd.degrees(p)[k]):  # fmt: skip
                return None
        if i is None:
            return fd.ZERO
        (a, b), (c, d) = self._real_and_imaginary(u.n), self._real_and_imaginary(u.d)
        return self.reduce(b * c - a * d)

    def surely_not_zero(self, i: int) -> bool:
        """Whether a generator is certain to vanish at isolated points at most."""
        g = self.generators[i]
        plain = (
            g.kind == "root"
            and g.inside is not None
            and all(self.generators[k].kind == "variable" for k in self.used(g.inside))
        )
        return g.kind in ("variable", "pi", "exp") or plain

    def _number_root(self, c: Fraction, exponent: Fraction) -> Quotient:
        out = Q1
        for integer, sign in ((c.numerator, 1), (c.denominator, -1)):
            for prime, times in factor_integer(integer).items():
                out = out * self._absolute_power(ONE * prime, sign * times * exponent)
        return out

    def _common_order(self, name: str, q: int) -> int:
        previous = self.refinement.orders.get(name, 1)
        order = math.lcm(previous, q)
        if order != previous:
            self.refinement.orders[name] = order
            if name in self.index:
                raise Restart
        return order

    def _absolute_power(self, g: Poly, exponent: Fraction) -> Quotient:
        """|g| ** exponent of an irreducible real polynomial (or an integer)."""
        sign = self.sign(g)
        if exponent.denominator == 1:
            return self._power(Quotient(g * sign), int(exponent))
        generator_index = next((i for i in self.used(g) if g == GENERATORS[i]), None)
        if generator_index is not None:
            inner = self.generators[generator_index]
            if inner.kind == "root" and inner.positive:
                return self._absolute_power(inner.inside, exponent / inner.order)
            if inner.kind == "exp":
                self.refinement.units[inner.inside] /= exponent.denominator
                raise Restart
        name = f"|{self.name(g * sign)}|"
        order = self._common_order(name, exponent.denominator)
        i = self.index.get(name)
        if i is None:
            i = self._new(Generator(
                name, "root", lambda: ball_root(self.value(g * sign), order), self.depends_on(g),
                positive=True, order=order, power=self.reduce(g * sign), inside=g * sign,
                bound=self.bound(g) ** (1 / order)))  # fmt: skip
        return self._power(fd.generator(i), int(exponent * order))

    def _root_of_minus_one(self, q: int) -> Quotient:
        """The principal q-th root of -1."""
        i = self.imaginary()
        half = fd.constant(Fraction(1, 2))
        if q == 2:
            return i
        if q == 3:
            return self._product([half, Q1 + i * self._number_root(Fraction(3), Fraction(1, 2))])
        if q == 4:
            return self._product([half, Q1 + i, self._number_root(Fraction(2), Fraction(1, 2))])
        if q == 6:
            return self._product([half, i + self._number_root(Fraction(3), Fraction(1, 2))])
        name = f"root {q} of -1"
        k = self.index.get(name)
        if k is None:
            k = self._new(Generator(name, "root", lambda: (ball(0, 1) * acb.pi() / q).exp(),
                                    real=False, order=q, power=-ONE, inside=-ONE,
                                    bound=1.0))  # fmt: skip
        return fd.generator(k)

    def logarithm(self, u: Quotient) -> Quotient:
        """log(u), principal value."""
        if u.is_zero:
            raise Failure("logarithm of zero")
        c, factors = self._factors(u)
        out = self._number_logarithm(abs(c))
        if not self.real(u.n, u.d):
            inner = self._reduced(-self.imaginary() * u)
            if self.real(inner.n, inner.d):
                quarter_turns = fd.constant(
                    Fraction(self._sign_of_product(*self._factors(inner)), 2)
                )
                log_size = self.logarithm(
                    inner if int(quarter_turns.n.leading_coefficient()) > 0 else -inner
                )
                return self._reduced(log_size + quarter_turns * self.imaginary() * self.pi())
            self._fix_half_plane(u)
            return out + self._opaque_function(
                "log", u / fd.constant(abs(c)), real=False, cut=False
            )
        for g, e in factors:
            out = out + fd.constant(e) * self._log_magnitude(g)
        if self._sign_of_product(c, factors) < 0:
            out = out + self.imaginary() * self.pi()
        return self._reduced(out)

    def _number_logarithm(self, c: Fraction) -> Quotient:
        out = Q0
        for integer, sign in ((c.numerator, 1), (c.denominator, -1)):
            for prime, times in factor_integer(integer).items():
                out = out + fd.constant(sign * times) * self._log_magnitude(ONE * prime)
        return out

    def _log_magnitude(self, g: Poly) -> Quotient:
        """log|g| of an irreducible real polynomial (or an integer)."""
        sign = self.sign(g)
        generator_index = next((i for i in self.used(g) if g == GENERATORS[i]), None)
        if generator_index is not None:
            inner = self.generators[generator_index]
            if inner.log is not None:
                return inner.log
            if inner.kind == "root" and inner.positive:
                return self._log_magnitude(inner.inside) / fd.constant(inner.order)
        name = f"log{self.name(g * sign)}"
        conjugate = self._conjugate(g) if name not in self.index else None
        if conjugate is not None:
            conjugate_sign = self.sign(conjugate)
            conjugate_log = self.index.get(f"log{self.name(conjugate * conjugate_sign)}")
            if conjugate_log is not None:  # log|a + b r| = log|a^2 - b^2 r^2| - log|a - b r|
                norm = self.reduce(g * conjugate)
                log_norm = self.logarithm(Quotient(norm * norm)) / fd.constant(2)
                return self._reduced(log_norm - fd.generator(conjugate_log))
        if not self.depends_on(g):
            i = self.index.get(name)
            if i is None:
                i = self._new(Generator(name, "log", lambda: self.value(g * sign).log(),
                                        inside=g * sign))  # fmt: skip
            return fd.generator(i)
        return fd.generator(self._parameter(name, "log", inside=g * sign))

    def _conjugate(self, g: Poly) -> Poly | None:
        """The primitive part of a - b r for p = a + b r with its last square root r."""
        for i in reversed(self.used(g)):
            if self.generators[i].order == 2 and self.generators[i].real:
                a, b = fd.by_degree(self.reduce(g), i, 1)
                p = a - b * GENERATORS[i]
                return p // int(p.content()) if p != 0 else None
        return None

    def _real_and_imaginary(self, p: Poly) -> tuple[Poly, Poly]:
        i = self.index.get("I")
        if i is None or not all(g.real for k, g in enumerate(self.generators)
                                if k != i and fd.degrees(p)[k]):  # fmt: skip
            raise Failure("the size of a complex number")
        a, b = fd.by_degree(self.reduce(p), i, 1)
        return a, b

    def _opaque_function(
        self, op: str, u: Quotient, real: bool | None = None, cut: bool = True
    ) -> Quotient:
        """A function of u as a generator without relations; `cut`: whether it may have a branch cut
        where it is not real."""
        name = f"{op}({self.name(u.n)}/{self.name(u.d)})"
        i = self.index.get(name)
        if i is None:
            real_argument = self.real(u.n, u.d)
            if real is None:
                real = real_argument and op in _REAL
            self.opaque = self.opaque or cut and not real
            if self.depends_on(u.n, u.d) or not real:
                i = self._parameter(name, "function", real=real, inside=(op, u))
            else:
                i = self._new(Generator(name, "function", lambda: BALLS[op](
                    self.value(u.n) / self.value(u.d)), real=real, inside=(op, u)))  # fmt: skip
        return fd.generator(i)
