"""One case of sign conditions (see `normal_form`): its generators, their arithmetic, and the signs
of polynomials in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from flint import acb, fmpz_poly

from sciml.symbolic.algebra import field as fd
from sciml.symbolic.algebra.field import GENERATORS, ONE, Q0, Q1, Failure, Poly, Quotient
from sciml.symbolic.expr.clock import now
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import fraction, precision

_MAX_NORM = 64
_SIGN_PRECISIONS = (128, 512, 2048)


class CaseSplit(Exception):
    """The sign of a polynomial is undetermined: both signs must be tried."""

    def __init__(self, key: str) -> None:
        self.key = key


class Restart(Exception):
    """The refinement has grown: all cases must be rebuilt."""


@dataclass
class Refinement:
    """Facts about the generators that all cases share; they accumulate over restarts.

    Attributes:
        keep_sums: whether sine, cosine and exponential of a sum are kept in one piece: fewer
            relations are recognised, but polynomials stay small.
        units: for each argument of exp and tan, the unit of which all multiples are integral.
        orders: for each radicand, the least common multiple of the orders of its roots.
        separators: for each variable, a polynomial whose real roots separate the parts of the line.
        positive: the variables that take positive values only.
        kernel_of: (exp or tan, symbol, unit) of a variable exp(unit symbol), tan(unit symbol / 2).
    """

    keep_sums: bool = False
    units: dict[str, Fraction] = field(default_factory=dict)
    orders: dict[str, int] = field(default_factory=dict)
    separators: dict[str, Any] = field(default_factory=dict)
    positive: set[str] = field(default_factory=set)
    kernel_of: dict[str, tuple[str, str, Fraction]] = field(default_factory=dict)


@dataclass
class Generator:
    """One generator of the polynomial ring.

    Attributes:
        name: the same in every case.
        kind: variable, pi, imaginary, root, exp, tan, log or function.
        value: computes its value at the sample point, as a ball.
        depends_on: the variables that it depends on algebraically; empty for a number.
        real, positive: whether it is real, positive, in this case.
        order, power: for a root: generator**order = power.
        log: its logarithm, where known.
        inside: the argument of a root (a polynomial) or function (a quotient).
        bound: for an algebraic integer, a bound on all its conjugates; 0 for anything else.
        symbols: the names of the variables that it depends on in any way.
    """

    name: str
    kind: str
    value: Callable[[], Any]
    depends_on: frozenset[int] = frozenset()
    real: bool = True
    positive: bool = False
    order: int = 0
    power: Poly = None
    log: Quotient | None = None
    inside: Any = None
    bound: float = 0.0
    symbols: frozenset[str] = frozenset()


class SignCase:
    """One case of sign conditions: generators, arithmetic, signs.

    Args:
        refinement: facts from earlier rounds; extended in place.
        samples: for each variable with separators, a rational point of the current part of it.
        signs: the signs chosen in this case, by polynomial.
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
        self.sign_symbols: dict[str, frozenset[str]] = {}  # of the polynomials with chosen signs
        self.opaque = False  # whether a function with a branch cut has a complex argument

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
        """The index of a generator whose values are the samples; made if it is new."""
        i = self.index.get(name)
        if i is None:
            i = self._new(Generator(name, kind, lambda: ball(self.samples[name]), **more))
            self.generators[i].depends_on = frozenset((i,))
        return i

    def imaginary(self) -> Quotient:
        """The generator i with i**2 = -1."""
        i = self.index.get("I")
        if i is None:
            i = self._new(Generator("I", "imaginary", lambda: ball(0, 1), real=False, order=2,
                                    power=-ONE, bound=1.0))  # fmt: skip
        return fd.generator(i)

    def pi(self) -> Quotient:
        """The generator pi."""
        i = self.index.get("pi")
        if i is None:
            i = self._new(Generator("pi", "pi", acb.pi, positive=True))
        return fd.generator(i)

    def used(self, p: Poly) -> list[int]:
        """The indices of the generators that occur in a polynomial."""
        return [i for i, d in enumerate(fd.degrees(p)) if d]

    def depends_on(self, *polynomials: Poly) -> frozenset[int]:
        """The variables on which polynomials depend algebraically."""
        return frozenset().union(*(self.generators[i].depends_on for p in polynomials
                                   for i in self.used(p)))  # fmt: skip

    def real(self, *polynomials: Poly) -> bool:
        """Whether all generators of the polynomials are real in this case."""
        return all(self.generators[i].real for p in polynomials for i in self.used(p))

    def symbols(self, p: Poly) -> frozenset[str]:
        """The names of the variables that a polynomial depends on in any way."""
        return frozenset().union(*(self.generators[i].symbols for i in self.used(p)))

    def sign_is_free_of(self, key: str, variable: str) -> bool:
        """Whether the polynomial with a chosen sign does not depend on the variable."""
        return variable not in self.sign_symbols.get(key, {variable})

    def varies_with(self, name: str, variable: str) -> bool:
        """Whether the generator of this name depends on the variable."""
        i = self.index.get(name)
        return i is None or variable in self.generators[i].symbols

    def name(self, p: Poly) -> str:
        """A text that identifies a polynomial in every case."""
        terms = []
        for monomial, c in p.terms():
            factors = [f"{self.generators[i].name}^{e}"
                       for i, e in enumerate(fd.exponents(monomial)) if e]  # fmt: skip
            terms.append("*".join([str(int(c)), *sorted(factors)]))
        return "(" + "+".join(sorted(terms)) + ")"

    def value(self, p: Poly) -> Any:
        """The value of a polynomial at the sample point, a ball."""
        total = ball(0)
        for monomial, c in p.terms():
            part = ball(int(c))
            for i, e in enumerate(fd.exponents(monomial)):
                if e:
                    part = part * self.generators[i].value() ** e
            total = total + part
        return total

    def bound(self, p: Poly) -> float:
        """A bound on all conjugates of a number; 0 where it is not known to be algebraic."""
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
        """A polynomial reduced by the relations of the roots."""
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
            CaseSplit, Restart: where the sign is not determined yet.
        """
        if not self.real(p):
            raise Failure("the sign of a complex number")
        terms = list(p.terms())
        sign = 1 if int(terms[0][1]) > 0 else -1
        if sign < 0:
            p = -p
            terms = list(p.terms())
        if all(int(c) > 0 and self._is_never_negative(fd.exponents(m)) for m, c in terms):
            return sign
        variables = self.depends_on(p)
        if not variables:
            return sign * self._number_sign(p)
        if len(terms) == 1:  # a product of generators, which may each be negative
            for i, e in enumerate(fd.exponents(terms[0][0])):
                if e % 2 and not self.generators[i].positive:
                    sign *= self._irreducible_sign(GENERATORS[i], self.generators[i].depends_on)
            return sign
        return sign * self._irreducible_sign(p, variables)

    def _is_never_negative(self, exponents: tuple[int, ...]) -> bool:
        return all(e % 2 == 0 or self.generators[i].positive for i, e in enumerate(exponents) if e)

    def _number_sign(self, p: Poly) -> int:
        for bits in _SIGN_PRECISIONS:
            with precision(bits):
                v = self.value(p).real
                if v > 0:
                    return 1
                if v < 0:
                    return -1
        raise Failure("the sign of a number that may be zero")

    def _irreducible_sign(self, p: Poly, variables: frozenset[int]) -> int:
        if len(variables) == 1:
            norm = self.norm(p, *variables)
            if norm is not None:
                name = self.generators[next(iter(variables))].name
                self._separate_roots(name, norm, self.generators[next(iter(variables))].positive)
                if name not in self.samples:
                    raise Failure("a sign where no sample is given")
                return self._number_sign(p)
        key = self.name(p)
        self.sign_symbols[key] = self.symbols(p)
        if key not in self.signs:
            raise CaseSplit(key)
        return self.signs[key]

    def _separate_roots(self, name: str, norm: Any, positive: bool) -> None:
        """Split the line of a variable at the roots of `norm`.

        Raises:
            Restart: unless they separate its parts already.
        """
        separator = self.refinement.separators.get(name)
        if separator is None:
            separator = fmpz_poly([0, 1] if positive else [1])
            if positive:
                self.refinement.positive.add(name)
        elif norm.degree() == 0 or norm.gcd(separator).degree() == norm.degree():
            return
        self.refinement.separators[name] = separator * (norm // norm.gcd(separator))
        if self.refinement.separators[name].degree() > 200:
            raise Failure("too many parts of the line")
        raise Restart

    def norm(self, p: Poly, variable: int) -> Any:
        """A square-free polynomial in one variable that vanishes where p does (the norm of p); None
        where the generators of p are not algebraic over it."""
        size = 1
        for i in range(len(self.generators) - 1, -1, -1):
            if i == variable or not fd.degrees(p)[i]:
                continue
            g = self.generators[i]
            if not g.order:
                return None
            size *= g.order
            if size > _MAX_NORM or len(p) > 400:
                return None
            p = p.resultant(GENERATORS[i] ** g.order - g.power, i)
            if p == 0:
                return None
        coefficients = [0] * (fd.degrees(p)[variable] + 1)
        for monomial, c in p.terms():
            coefficients[fd.exponents(monomial)[variable]] = int(c)
        return square_free(fmpz_poly(coefficients))


def square_free(p: Any) -> Any:
    """The product of the distinct factors, primitive."""
    if p.degree() < 1:
        return fmpz_poly([1])
    out = p // p.gcd(p.derivative())
    return out // int(out.content())


def ball(value: Fraction | int, imaginary: int = 0) -> Any:
    """The complex number value + imaginary * i as a ball."""
    return acb(fraction(Fraction(value)), imaginary)


def ball_root(z: Any, q: int) -> Any:
    """The principal q-th root of a ball."""
    return z.sqrt() if q == 2 else (z.log() / q).exp()
