"""An expression as a quotient of polynomials, exactly, in one case of signs of its parts.

Radicals, logarithms and absolute values obey no identity on the whole real line: sqrt(a b) is
sqrt(a) sqrt(b) unless both are negative. Where the sign of every irreducible polynomial that occurs
in them is known, everything is: |g| = -g, sqrt(g) = i sqrt(|g|), log(g) = log|g| + i pi. So an
expression of real variables becomes a quotient of polynomials in

- the variables, pi and i;
- roots |g|**(1/q) of irreducible g, with their relation;
- exp(u) > 0 and t = tan(u / 2) of real u, one for all rational multiples of u;
- logarithms log|g|, and further functions, each without relations.

A sign is taken from a sample point where it cannot change in the part of the line at hand (the real
roots of its norm are the ends of these parts, in `Refinement.breaks`), else both are tried
(`Split`). Whatever the signs, only identities that hold for all such values are used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from flint import fmpz_poly

from sciml.symbolic import expression as ex
from sciml.symbolic.ansatz import field as fd
from sciml.symbolic.ansatz.field import GENERATORS, ONE, Q0, Q1, Failure, Poly, Quotient
from sciml.symbolic.clock import now
from sciml.symbolic.evaluate import BALLS
from sciml.symbolic.expression import Expr
from sciml.symbolic.rational import factor_integer

_RECIPROCAL = {"acot": "atan", "asec": "acos", "acsc": "asin", "acoth": "atanh",
               "asech": "acosh", "acsch": "asinh"}  # fmt: skip
_REAL = frozenset("atan erf erfi Si Shi fresnels fresnelc".split())
"""Functions that are real for every real argument."""
_ODD = frozenset("atan asin erf erfi Si Shi fresnels fresnelc".split())
_MOST_TURNS = 40
_MOST_TERMS = 8
_MOST_NORM = 64
_SIGN_PRECISIONS = (128, 512, 2048)


class Split(Exception):
    """Both signs of a polynomial must be tried."""

    def __init__(self, key: str) -> None:
        self.key = key


class Again(Exception):
    """The refinement has grown: begin again."""


@dataclass
class Refinement:
    """What has been learned about the generators that all cases need.

    Attributes:
        units: of each argument of exp and tan, the unit of which all multiples are whole.
        orders: of each root, the least common multiple of its orders.
        breaks: of each variable, a polynomial whose real roots separate the parts of the line.
        positive: the variables that take positive values only.
        stands_for: (exp or tan, symbol, unit) of a variable exp(unit symbol), tan(unit symbol / 2).
    """

    units: dict[str, Fraction] = field(default_factory=dict)
    orders: dict[str, int] = field(default_factory=dict)
    breaks: dict[str, Any] = field(default_factory=dict)
    positive: set[str] = field(default_factory=set)
    stands_for: dict[str, tuple[str, str, Fraction]] = field(default_factory=dict)


@dataclass
class Generator:
    """One generator.

    Attributes:
        name: the same in every case.
        kind: variable, pi, imaginary, root, exp, tan, log or function.
        value: its value at the sample point, as a ball.
        over: the variables it depends on algebraically; empty for a number.
        real, positive: whether it is real, positive, in this case.
        order, power: of a root: generator**order = power.
        log: its logarithm, where that is known.
        inside: the argument, of a root (a polynomial) or function (a quotient).
        bound: for an algebraic integer, a bound of all its conjugates; 0 for anything else.
    """

    name: str
    kind: str
    value: Callable[[], Any]
    over: frozenset[int] = frozenset()
    real: bool = True
    positive: bool = False
    order: int = 0
    power: Poly = None
    log: Quotient | None = None
    inside: Any = None
    bound: float = 0.0
    symbols: frozenset[str] = frozenset()


class Case:
    """One case of signs.

    Args:
        refinement: what earlier rounds have learned; extended.
        samples: of each variable with breaks, a rational point of the part at hand.
        signs: signs that were chosen, by polynomial.
        deadline: value of the clock to stop at.
    """

    def __init__(
        self, refinement: Refinement, samples: dict[str, Fraction], signs: dict[str, int],
        deadline: float,
    ) -> None:  # fmt: skip
        self.refinement, self.samples, self.signs = refinement, samples, signs
        self.deadline = deadline
        self.generators: list[Generator] = []
        self.index: dict[str, int] = {}
        self.memo: dict[Expr, Quotient] = {}
        self.free: dict[str, frozenset[str]] = {}  # the symbols of polynomials with chosen signs
        self.opaque = False  # whether a complex argument met a function with a cut

    # ------------------------------------------------------------------ generators
    def _new(self, generator: Generator) -> int:
        if len(self.generators) >= fd.VARIABLES:
            raise Failure("too many kernels")
        inside = generator.inside[1] if isinstance(generator.inside, tuple) else generator.inside
        for p in (inside.n, inside.d) if isinstance(inside, Quotient) else (inside,):
            if p is not None and not isinstance(p, str):
                generator.symbols |= self.symbols(p)
        if generator.kind == "variable":
            generator.symbols = frozenset((generator.name,))
        self.generators.append(generator)
        self.index[generator.name] = len(self.generators) - 1
        return len(self.generators) - 1

    def _parameter(self, name: str, kind: str, **more: Any) -> int:
        """A generator that takes its values from the samples."""
        i = self.index.get(name)
        if i is None:
            i = self._new(Generator(name, kind, lambda: _ball(self.samples[name]), **more))
            self.generators[i].over = frozenset((i,))
        return i

    def imaginary(self) -> Quotient:
        i = self.index.get("I")
        if i is None:
            i = self._new(Generator("I", "imaginary", lambda: _ball(0, 1), real=False, order=2,
                                    power=-ONE, bound=1.0))  # fmt: skip
        return fd.generator(i)

    def pi(self) -> Quotient:
        i = self.index.get("pi")
        if i is None:
            i = self._new(Generator("pi", "pi", lambda: _pi(), positive=True))
        return fd.generator(i)

    def used(self, p: Poly) -> list[int]:
        """The generators of a polynomial."""
        return [i for i, d in enumerate(fd.degrees(p)) if d]

    def over(self, *polynomials: Poly) -> frozenset[int]:
        return frozenset().union(*(self.generators[i].over for p in polynomials
                                   for i in self.used(p)))  # fmt: skip

    def real(self, *polynomials: Poly) -> bool:
        return all(self.generators[i].real for p in polynomials for i in self.used(p))

    def symbols(self, p: Poly) -> frozenset[str]:
        """The variables that a polynomial depends on, through everything."""
        return frozenset().union(*(self.generators[i].symbols for i in self.used(p)))

    def free_of(self, key: str, variable: str) -> bool:
        """Whether a chosen sign is of a polynomial without the variable."""
        return variable not in self.free.get(key, {variable})

    def name(self, p: Poly) -> str:
        """A polynomial as text that is the same in every case."""
        terms = []
        for monomial, c in p.terms():
            factors = [f"{self.generators[i].name}^{e}"
                       for i, e in enumerate(fd.exponents(monomial)) if e]  # fmt: skip
            terms.append("*".join([str(int(c)), *sorted(factors)]))
        return "(" + "+".join(sorted(terms)) + ")"

    def value(self, p: Poly) -> Any:
        """A polynomial at the sample point."""
        total = _ball(0)
        for monomial, c in p.terms():
            part = _ball(int(c))
            for i, e in enumerate(fd.exponents(monomial)):
                if e:
                    part = part * self.generators[i].value() ** e
            total = total + part
        return total

    def bound(self, p: Poly) -> float:
        """A bound of all conjugates of a number; 0 where it is not known to be algebraic."""
        total = 0.0
        for monomial, c in p.terms():
            part = float(abs(int(c)))
            for i, e in enumerate(fd.exponents(monomial)):
                if e:
                    part *= self.generators[i].bound ** e
            if part == 0:
                return 0.0
            total += part
        return total

    # ------------------------------------------------------------------ arithmetic
    def reduce(self, p: Poly) -> Poly:
        """A polynomial by the relations of the roots."""
        for i in range(len(self.generators) - 1, -1, -1):
            g = self.generators[i]
            if not g.order or p == 0 or fd.degrees(p)[i] < g.order:
                continue
            parts: dict[int, dict] = {}
            for monomial, c in p.terms():
                m = list(fd.exponents(monomial))
                times, m[i] = divmod(m[i], g.order)
                parts.setdefault(times, {})[tuple(m)] = c
            p = fd.ZERO
            for times, part in parts.items():
                p = p + fd.RING.from_dict(part) * g.power**times
            if len(p) > 20_000:
                raise Failure("a polynomial grew too large")
        return p

    def _reduced(self, q: Quotient) -> Quotient:
        if now() > self.deadline:
            raise Failure("the time ran out")
        n, d = self.reduce(q.n), self.reduce(q.d)
        if d == 0:
            raise Failure("division by zero")
        return q if n == q.n and d == q.d else Quotient(n, d)

    def _sum(self, items: Iterable[Quotient]) -> Quotient:
        out = Q0
        for item in items:
            out = self._reduced(out + item)
        return out

    def _product(self, items: Iterable[Quotient]) -> Quotient:
        out = Q1
        for item in items:
            out = self._reduced(out * item)
        return out

    def _power(self, base: Quotient, k: int) -> Quotient:
        return self._reduced(base**k)

    # ------------------------------------------------------------------ signs
    def sign(self, p: Poly) -> int:
        """+1 or -1: the sign of a real polynomial in this case.

        Raises:
            Split, Again: where it has to be settled first.
        """
        if not self.real(p):
            raise Failure("the sign of a complex number")
        terms = list(p.terms())
        out = 1 if int(terms[0][1]) > 0 else -1
        if out < 0:
            p = -p
            terms = list(p.terms())
        if all(int(c) > 0 and self._never_negative(fd.exponents(m)) for m, c in terms):
            return out
        over = self.over(p)
        if not over:
            return out * self._number_sign(p)
        if len(terms) == 1:  # a product of generators, which may each be negative
            for i, e in enumerate(fd.exponents(terms[0][0])):
                if e % 2 and not self.generators[i].positive:
                    out *= self._sign_of_one(GENERATORS[i], self.generators[i].over)
            return out
        return out * self._sign_of_one(p, over)

    def _never_negative(self, exponents: tuple[int, ...]) -> bool:
        return all(e % 2 == 0 or self.generators[i].positive for i, e in enumerate(exponents) if e)

    def _number_sign(self, p: Poly) -> int:
        from flint import ctx

        before = ctx.prec
        try:
            for ctx.prec in _SIGN_PRECISIONS:
                v = self.value(p).real
                if v > 0:
                    return 1
                if v < 0:
                    return -1
        finally:
            ctx.prec = before
        raise Failure("the sign of a number that may be zero")

    def _sign_of_one(self, p: Poly, over: frozenset[int]) -> int:
        if len(over) == 1:
            norm = self._norm(p, *over)
            if norm is not None:
                name = self.generators[next(iter(over))].name
                self._refine(name, norm, self.generators[next(iter(over))].positive)
                if name not in self.samples:
                    raise Failure("a sign where no sample is given")
                return self._number_sign(p)
        key = self.name(p)
        self.free[key] = self.symbols(p)
        if key not in self.signs:
            raise Split(key)
        return self.signs[key]

    def _refine(self, name: str, norm: Any, positive: bool) -> None:
        """Make the roots of `norm` ends of the parts of the line of a variable."""
        known = self.refinement.breaks.get(name)
        if known is None:
            known = fmpz_poly([0, 1] if positive else [1])
            if positive:
                self.refinement.positive.add(name)
        elif norm.degree() == 0 or norm.gcd(known).degree() == norm.degree():
            return
        self.refinement.breaks[name] = known * (norm // norm.gcd(known))
        if self.refinement.breaks[name].degree() > 200:
            raise Failure("too many parts of the line")
        raise Again

    def _norm(self, p: Poly, variable: int) -> Any:
        """A square-free polynomial of one variable that vanishes where p does; None: not found."""
        size = 1
        for i in range(len(self.generators) - 1, -1, -1):
            if i == variable or not fd.degrees(p)[i]:
                continue
            g = self.generators[i]
            if not g.order:
                return None
            size *= g.order
            if size > _MOST_NORM or len(p) > 400:
                return None
            p = p.resultant(GENERATORS[i] ** g.order - g.power, i)
            if p == 0:
                return None
        coefficients = [0] * (fd.degrees(p)[variable] + 1)
        for monomial, c in p.terms():
            coefficients[fd.exponents(monomial)[variable]] = int(c)
        return square_free(fmpz_poly(coefficients))

    # ------------------------------------------------------------------ roots and logarithms
    def _factors(self, u: Quotient) -> tuple[Fraction, list[tuple[Poly, int]]]:
        """The rational factor and the irreducible factors with their exponents."""
        top, over = fd.factor(u.n)
        below, under = fd.factor(u.d)
        factors = [(g, int(e)) for g, e in over] + [(g, -int(e)) for g, e in under]
        return Fraction(int(top), int(below)), factors

    def _turn(self, c: Fraction, factors: list[tuple[Poly, int]]) -> int:
        out = 1 if c > 0 else -1
        for g, e in factors:
            if e % 2:
                out *= self.sign(g)
        return out

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
            parts += [self._magnitude(g, e * exponent) for g, e in factors]
            if self._turn(c, factors) < 0:
                parts.append(self._power(self._turned(exponent.denominator), exponent.numerator))
            return self._product(parts)
        inner = self._reduced(-self.imaginary() * u)
        if self.real(inner.n, inner.d):  # u = i v: a quarter turn
            turn = self._turned(2 * exponent.denominator)
            quarter = self._turn(*self._factors(inner)) * exponent.numerator
            return self._product([*parts, *(self._magnitude(g, e * exponent) for g, e in
                                            self._factors(inner)[1]),
                                  self._power(turn, quarter)])  # fmt: skip
        self._settle(u)
        rest = u / fd.constant(abs(c))
        q, base = exponent.denominator, f"{self.name(rest.n)}/{self.name(rest.d)}"
        order = self._order(base, q)
        i = self.index.get(base)
        if i is None:  # the root times the denominator, which is a root of a polynomial
            power = self.reduce(rest.n * rest.d ** (order - 1))
            i = self._new(Generator(
                base, "root", lambda: _root(self.value(rest.n) / self.value(rest.d), order)
                * self.value(rest.d), self.over(rest.n, rest.d), False, order=order, power=power,
                inside=power))  # fmt: skip
        one = fd.generator(i) / Quotient(rest.d)
        return self._product([*parts, self._power(one, int(exponent * order))])

    def _settle(self, u: Quotient) -> None:
        """See to it that a complex u does not cross the real axis, where principal values may
        jump, in this case; where that is beyond us, the case is called opaque."""
        part = self.imaginary_part(u)
        if part is None:
            self.opaque = True
            return
        for g, _ in fd.factor(part)[1]:
            self.sign(g)

    def imaginary_part(self, u: Quotient) -> Poly | None:
        """A polynomial that vanishes where the imaginary part of u does; None: not known."""
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
        """Whether a generator vanishes at single points at most, whatever relations are hidden."""
        g = self.generators[i]
        plain = (
            g.kind == "root"
            and g.inside is not None
            and all(self.generators[k].kind == "variable" for k in self.used(g.inside))
        )
        return g.kind in ("variable", "pi", "exp") or plain

    def _number_root(self, c: Fraction, exponent: Fraction) -> Quotient:
        out = Q1
        for whole, side in ((c.numerator, 1), (c.denominator, -1)):
            for prime, times in factor_integer(whole).items():
                out = out * self._magnitude(ONE * prime, side * times * exponent)
        return out

    def _order(self, name: str, q: int) -> int:
        known = self.refinement.orders.get(name, 1)
        order = math.lcm(known, q)
        if order != known:
            self.refinement.orders[name] = order
            if name in self.index:
                raise Again
        return order

    def _magnitude(self, g: Poly, exponent: Fraction) -> Quotient:
        """|g| ** exponent of an irreducible real polynomial (or a whole number)."""
        turn = self.sign(g)
        if exponent.denominator == 1:
            return self._power(Quotient(g * turn), int(exponent))
        alone = next((i for i in self.used(g) if g == GENERATORS[i]), None)
        if alone is not None:
            inner = self.generators[alone]
            if inner.kind == "root" and inner.positive:
                return self._magnitude(inner.inside, exponent / inner.order)
            if inner.kind == "exp":
                self.refinement.units[inner.inside] /= exponent.denominator
                raise Again
        name = f"|{self.name(g * turn)}|"
        order = self._order(name, exponent.denominator)
        i = self.index.get(name)
        if i is None:
            i = self._new(Generator(
                name, "root", lambda: _root(self.value(g * turn), order), self.over(g),
                positive=True, order=order, power=self.reduce(g * turn), inside=g * turn,
                bound=self.bound(g) ** (1 / order)))  # fmt: skip
        return self._power(fd.generator(i), int(exponent * order))

    def _turned(self, q: int) -> Quotient:
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
            k = self._new(Generator(name, "root", lambda: (_ball(0, 1) * _pi() / q).exp(),
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
                turn = fd.constant(Fraction(self._turn(*self._factors(inner)), 2))
                size = self.logarithm(inner if int(turn.n.leading_coefficient()) > 0 else -inner)
                return self._reduced(size + turn * self.imaginary() * self.pi())
            self._settle(u)
            return out + self._named("log", u / fd.constant(abs(c)), real=False, cut=False)
        for g, e in factors:
            out = out + fd.constant(e) * self._log_magnitude(g)
        if self._turn(c, factors) < 0:
            out = out + self.imaginary() * self.pi()
        return self._reduced(out)

    def _number_logarithm(self, c: Fraction) -> Quotient:
        out = Q0
        for whole, side in ((c.numerator, 1), (c.denominator, -1)):
            for prime, times in factor_integer(whole).items():
                out = out + fd.constant(side * times) * self._log_magnitude(ONE * prime)
        return out

    def _log_magnitude(self, g: Poly) -> Quotient:
        turn = self.sign(g)
        alone = next((i for i in self.used(g) if g == GENERATORS[i]), None)
        if alone is not None:
            inner = self.generators[alone]
            if inner.log is not None:
                return inner.log
            if inner.kind == "root" and inner.positive:
                return self._log_magnitude(inner.inside) / fd.constant(inner.order)
        name = f"log{self.name(g * turn)}"
        conjugate = self._conjugate(g) if name not in self.index else None
        if conjugate is not None:
            turn2 = self.sign(conjugate)
            known = self.index.get(f"log{self.name(conjugate * turn2)}")
            if known is not None:  # log|a + b r| = log|a^2 - b^2 r^2| - log|a - b r|
                norm = self.reduce(g * conjugate)
                size = self.logarithm(Quotient(norm * norm)) / fd.constant(2)
                return self._reduced(size - fd.generator(known))
        if not self.over(g):
            i = self.index.get(name)
            if i is None:
                i = self._new(Generator(name, "log", lambda: self.value(g * turn).log(),
                                        inside=g * turn))  # fmt: skip
            return fd.generator(i)
        return fd.generator(self._parameter(name, "log", inside=g * turn))

    def _conjugate(self, g: Poly) -> Poly | None:
        """a - b r of a + b r with the last square root r that occurs, primitive."""
        for i in reversed(self.used(g)):
            if self.generators[i].order == 2 and self.generators[i].real:
                a, b = fd.by_degree(self.reduce(g), i, 1)
                p = a - b * GENERATORS[i]
                return p // int(p.content()) if p != 0 else None
        return None

    # ------------------------------------------------------------------ exponentials and angles
    def _terms(self, u: Quotient) -> list[tuple[str, Fraction, bool, Quotient]]:
        """u as a sum of rational multiples of distinct quotients: (name, multiple, whether times
        i, quotient)."""
        found: dict[tuple[str, bool], tuple[Fraction, Quotient]] = {}
        i = self.index.get("I")
        for c, m in self._summands(u, i):
            turned = i is not None and m.n != 0 and fd.degrees(m.n)[i] == 1 and len(m.n) == 1
            if turned and i is not None:
                m = Quotient(m.n // GENERATORS[i], m.d, False)
            name = f"{self.name(m.n)}/{self.name(m.d)}"
            old = found.get((name, turned), (Fraction(0), m))[0]
            found[name, turned] = old + c, m
        return [(name, c, turned, part) for (name, turned), (c, part) in found.items() if c]

    def _summands(self, u: Quotient, i: int | None) -> list[tuple[Fraction, Quotient]]:
        """(rational factor, primitive quotient) of each term; a quotient of many terms by a sum
        stays in one piece."""
        parts = [u.n]
        whole = len(u.d) > 1 and len(u.n) > _MOST_TERMS and (i is None or not fd.degrees(u.n)[i])
        if not whole:
            parts = [fd.RING.from_dict({m: c}) for m, c in u.n.terms()]
        out = []
        for n in parts:
            part = Quotient(n, u.d)
            top, below = int(part.n.content()), int(part.d.content())
            if int(part.n.leading_coefficient()) < 0:
                top = -top
            if int(part.d.leading_coefficient()) < 0:
                below = -below
            out.append((Fraction(top, below), Quotient(part.n // top, part.d // below, False)))
        return out

    def _multiple(self, kind: str, name: str, c: Fraction) -> tuple[Fraction, int]:
        """The unit of an argument and how often it goes into `c`."""
        name = f"{kind} {name}"
        unit = self.refinement.units.get(name)
        if unit is None:
            self.refinement.units[name] = unit = abs(c)
        times = c / unit
        if times.denominator != 1:
            below = math.lcm(unit.denominator, c.denominator)
            self.refinement.units[name] = Fraction(
                math.gcd(int(unit * below), int(c * below)), below
            )
            raise Again
        if abs(times) > _MOST_TURNS:
            raise Failure("a multiple is too high")
        return unit, int(times)

    def exponential(self, u: Quotient) -> Quotient:
        """exp(u)."""
        out = Q1
        for name, c, turned, part in self._terms(u):
            if turned:
                sine, cosine = self._angle(name, c, part)
                out = self._product([out, cosine + self.imaginary() * sine])
            else:
                out = self._product([out, self._exponential(name, c, part)])
        return out

    def _exponential(self, name: str, c: Fraction, part: Quotient) -> Quotient:
        logarithm = self._alone(part, "log")
        if logarithm is not None and logarithm.real:
            if not self.used(logarithm.inside):
                return self._number_root(Fraction(int(logarithm.inside.leading_coefficient())), c)
            return self._magnitude(logarithm.inside, c)
        unit, times = self._multiple("exp", name, c)
        real, over = self.real(part.n, part.d), self.over(part.n, part.d)
        full = f"exp({unit}*{name})"
        i = self.index.get(full)
        if i is None:
            known: dict[str, Any] = {
                "real": real, "positive": real, "inside": f"exp {name}",
                "log": fd.constant(unit) * part if real else None,
                "symbols": self.symbols(part.n) | self.symbols(part.d),
            }  # fmt: skip
            if over or not real:
                i = self._parameter(full, "exp", **known)
                self._meaning(full, "exp", unit, part)
            else:
                i = self._new(Generator(full, "exp", lambda: (
                    self.value(part.n) / self.value(part.d) * _ball(unit)).exp(),
                    **known))  # fmt: skip
        return fd.generator(i) ** times

    def _meaning(self, name: str, kind: str, unit: Fraction, part: Quotient) -> None:
        symbol = self._alone(part, "variable")
        if symbol is not None:
            self.refinement.stands_for[name] = kind, symbol.name, unit

    def _alone(self, q: Quotient, kind: str) -> Generator | None:
        """The generator that a quotient is, if it is of this kind."""
        if q.d != ONE:
            return None
        for i in self.used(q.n):
            if q.n == GENERATORS[i] and self.generators[i].kind == kind:
                return self.generators[i]
        return None

    def angle(self, u: Quotient) -> tuple[Quotient, Quotient]:
        """(sin u, cos u)."""
        s, c = Q0, Q1
        for name, multiple, turned, part in self._terms(u):
            if turned:  # cos(i u) = cosh(u), sin(i u) = i sinh(u)
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
        if self._alone(part, "pi"):
            exact = self._exact_angle(c)
            if exact is not None:
                return exact
        inverse = self._alone(part, "function")
        if inverse is not None and c.denominator == 1 and abs(c) <= _MOST_TURNS:
            first = self._angle_of_inverse(inverse)
            if first is not None:
                return self._turns(*first, int(c))
        unit, times = self._multiple("tan", name, c)
        full = f"tan({unit}/2*{name})"
        i = self.index.get(full)
        if i is None:
            real = self.real(part.n, part.d)
            if self.over(part.n, part.d) or not real:
                within = self.symbols(part.n) | self.symbols(part.d)
                i = self._parameter(full, "tan", real=real, symbols=within)
                self._meaning(full, "tan", unit, part)
            else:
                i = self._new(Generator(full, "tan", lambda: (
                    self.value(part.n) / self.value(part.d) * _ball(unit / 2)).tan()))  # fmt: skip
        # (cos + i sin)(k u) = (1 + i t)**(2k) / (1 + t**2)**k
        t, k = GENERATORS[i], abs(times)
        parts = [fd.ZERO, fd.ZERO]
        for power in range(2 * k + 1):
            parts[power % 2] += (-1) ** (power // 2) * math.comb(2 * k, power) * t**power
        below = (1 + t * t) ** k
        return Quotient(parts[1] * (1 if times > 0 else -1), below), Quotient(parts[0], below)

    def _turns(self, s: Quotient, c: Quotient, times: int) -> tuple[Quotient, Quotient]:
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
        from sciml.symbolic.parser import parse

        first = (self.convert(parse(table[q])) for table in (sines, cosines))
        return self._turns(*first, c.numerator % (2 * q))

    # ------------------------------------------------------------------ conversion
    def convert(self, e: Expr) -> Quotient:
        """The quotient that equals `e` in this case."""
        known = self.memo.get(e)
        if known is None:
            known = self.memo[e] = self._convert(e)
        return known

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
        half = fd.constant(Fraction(1, 2))
        if op == "exp":
            return self.exponential(u)
        if op == "log":
            return self.logarithm(u)
        if op in ("sin", "cos", "tan", "cot", "sec", "csc"):
            s, c = self.angle(u)
            above, below = {"sin": (s, Q1), "cos": (c, Q1), "tan": (s, c), "cot": (c, s),
                            "sec": (Q1, c), "csc": (Q1, s)}[op]  # fmt: skip
            return self._reduced(above / below)
        if op in ("sinh", "cosh", "tanh", "coth", "sech", "csch"):
            up, down = self.exponential(u), self.exponential(-u)
            s, c = self._reduced(half * (up - down)), self._reduced(half * (up + down))
            above, below = {"sinh": (s, Q1), "cosh": (c, Q1), "tanh": (s, c), "coth": (c, s),
                            "sech": (Q1, c), "csch": (Q1, s)}[op]  # fmt: skip
            return self._reduced(above / below)
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
            return -self._named(op, -u)
        return self._named(op, u)

    def _inverse_angle(self, op: str, u: Quotient) -> Quotient:
        """atan(u), or asin(u) = atan(u / sqrt(1 - u**2)) where it is real; the arctangents of u and
        1 / u add up to a right angle."""
        if op == "asin":
            square = self._sum([Q1, -self._product([u, u])])
            if square.is_zero or self._turn(*self._factors(square)) < 0:
                return self._named(op, u, cut=False)
            return self._inverse_angle(
                "atan", self._product([u, self.root(square, Fraction(-1, 2))])
            )
        if int(u.n.leading_coefficient()) < 0:
            return -self._inverse_angle(op, -u)
        over = Quotient(u.d, u.n)
        side = -1 if int(over.n.leading_coefficient()) < 0 else 1
        if f"atan({self.name(side * over.n)}/{self.name(over.d)})" in self.index:
            turn = fd.constant(Fraction(self._turn(*self._factors(u)), 2))
            known = self._named(op, Quotient(side * over.n, over.d, False))
            return turn * self.pi() - fd.constant(side) * known
        return self._named(op, u)

    def _absolute(self, op: str, u: Quotient) -> Quotient:
        if u.is_zero:
            return Q0
        if not self.real(u.n, u.d):
            (a, b), (c, d) = self._real_and_imaginary(u.n), self._real_and_imaginary(u.d)
            size = self.root(Quotient(a * a + b * b, c * c + d * d), Fraction(1, 2))
            return size if op == "abs" else self._reduced(u / size)
        turn = fd.constant(self._turn(*self._factors(u)))
        if op == "sign":
            self._really_not_zero(u)
        return turn if op == "sign" else turn * u

    def _real_and_imaginary(self, p: Poly) -> tuple[Poly, Poly]:
        i = self.index.get("I")
        if i is None or not all(g.real for k, g in enumerate(self.generators)
                                if k != i and fd.degrees(p)[k]):  # fmt: skip
            raise Failure("the size of a complex number")
        a, b = fd.by_degree(self.reduce(p), i, 1)
        return a, b

    def _really_not_zero(self, u: Quotient) -> None:
        """The sign of what vanishes without being seen to is 0: only polynomials and algebraic
        functions of one variable, whose norm does not vanish, are sure not to."""
        over = self.over(u.n)
        plain = all(self.generators[i].kind == "variable" for i in self.used(u.n))
        if not (plain or not over or len(over) == 1 and self._norm(u.n, *over) is not None):
            raise Failure("the sign of a quantity that may vanish")

    def _named(self, op: str, u: Quotient, real: bool | None = None, cut: bool = True) -> Quotient:
        """A function without relations; `cut`: whether it may have one where it is not real."""
        name = f"{op}({self.name(u.n)}/{self.name(u.d)})"
        i = self.index.get(name)
        if i is None:
            inside = self.real(u.n, u.d)
            if real is None:
                real = inside and op in _REAL
            self.opaque = self.opaque or cut and not real
            if self.over(u.n, u.d) or not real:
                i = self._parameter(name, "function", real=real, inside=(op, u))
            else:
                i = self._new(Generator(name, "function", lambda: BALLS[op](
                    self.value(u.n) / self.value(u.d)), real=real, inside=(op, u)))  # fmt: skip
        return fd.generator(i)


def square_free(p: Any) -> Any:
    """The product of the distinct factors, primitive."""
    if p.degree() < 1:
        return fmpz_poly([1])
    out = p // p.gcd(p.derivative())
    return out // int(out.content())


def _ball(value: Fraction | int, imaginary: int = 0) -> Any:
    from flint import acb, arb, fmpq

    value = Fraction(value)
    return acb(arb(fmpq(value.numerator, value.denominator)), imaginary)


def _pi() -> Any:
    from flint import acb

    return acb.pi()


def _root(z: Any, q: int) -> Any:
    return z.sqrt() if q == 2 else (z.log() / q).exp()
