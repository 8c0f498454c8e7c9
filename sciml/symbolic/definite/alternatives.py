"""Definite integrals where no antiderivative leads to a confirmed value.

In this order: an integrand that is odd about the middle of the interval; exponentials of x as a new
variable; the mean of the integrand and its reflection; products of circular functions as sums;
residues; a closed form recognised from the digits of the integral. A value of residues or from
digits is *sampled*, never *verified*.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from sciml.errors import InputError
from sciml.symbolic.definite.newton_leibniz import DefiniteIntegral, Integrator
from sciml.symbolic.definite.numerical_value import Digits, is_absolutely_small, numerical_value
from sciml.symbolic.definite.outcome import NoValue, Outcome
from sciml.symbolic.definite.quadrature import BALL_ERRORS
from sciml.symbolic.definite.recognition import recognise
from sciml.symbolic.definite.residues import fourier_integral, turned_contour
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.clock import TimeUp, at_most, now
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import End, ball, precision
from sciml.symbolic.expr.special_functions import special

_ERRORS = (*BALL_ERRORS, ex.Undefined, ex.TooLarge, InputError, RecursionError, NoValue,
           NotImplementedError, TypeError, AttributeError)  # fmt: skip
_LINE = (End(None, -1), End(None, 1))
_FAR = (End(ex.ZERO), End(None, 1))
_LARGE = 12
_EXPONENTIAL: dict[str, Callable[[Expr], Expr]] = {
    "sinh": lambda q: (1 - q**2) / (2 * q), "cosh": lambda q: (1 + q**2) / (2 * q),
    "tanh": lambda q: (1 - q**2) / (1 + q**2), "coth": lambda q: (1 + q**2) / (1 - q**2),
    "csch": lambda q: 2 * q / (1 - q**2), "sech": lambda q: 2 * q / (1 + q**2),
}  # fmt: skip
"""Hyperbolic functions of u in q = exp(-u), which is small for large u."""


class Alternatives:
    """The other ways to the integral of f from `low` to `high`, in ascending order."""

    def __init__(
        self, f: Expr, x: str, low: End, high: End, integrator: Integrator, deadline: float
    ) -> None:
        self.f, self.x, self.low, self.high = f, x, low, high
        self.integrator, self.deadline = integrator, deadline
        self.digits: Digits | None = None  # of the integral, if quadrature found them

    def solve(self, methods: Sequence[Callable[[], Outcome | None]] = ()) -> Outcome | None:
        """The first confirmed value of the methods, or of all; None where there is none."""
        usual = (self.by_beta, self.by_exponential, self.by_reflection, self.by_sums,
                 self.by_residues, self.by_recognition)  # fmt: skip
        for method in methods or usual:
            remaining = self.deadline - now()
            if remaining < 0.1:
                return None
            try:
                with at_most(0.8 * remaining):
                    outcome = method()
            except (TimeUp, *_ERRORS):
                continue
            if outcome is not None:
                return outcome
        return None

    def by_symmetry(self) -> Outcome | None:
        """0, where f(a + b - x) = -f(x) is proved and the integral converges."""
        from sciml.symbolic.expr.printing import from_sympy, to_sympy
        from sciml.symbolic.verification.proving import prove_identity

        f, x = self.f, self.x
        if self.low.infinite != self.high.infinite:
            return None
        try:
            twice = ex.ZERO if self.low.at is None else self.low.at + self.high.at  # type: ignore[operator]
            mirrored = ex.substitute(f, {ex.symbol(x): twice - ex.symbol(x)})
            mirrored = from_sympy(to_sympy(mirrored))  # cos(pi - x) = -cos(x)
            if not _opposite(f, mirrored, x):
                return None
            with at_most(0.2 * (self.deadline - now())):
                if f + mirrored is not ex.ZERO:
                    if not prove_identity(f + mirrored, ex.ZERO, x, None, 1.0).holds:
                        return None
                if not is_absolutely_small(self._pieces(f, self.low, self.high), x):
                    return None
        except (TimeUp, *_ERRORS):
            return None
        return Outcome("verified", ex.ZERO, "the integrand is odd about the middle",
                       "numerically 0", "symmetry")  # fmt: skip

    def _mirrored(self) -> Expr | None:
        """f at the other end of the interval: f(a + b - x), or f(1/x)/x**2 between a and 1/a."""
        f, x, low, high = self.f, ex.symbol(self.x), self.low.at, self.high.at
        if low is ex.ZERO and high is None or (
            low is not None and high is not None and low * high is ex.ONE
        ):  # fmt: skip
            inverted = ex.substitute(f, {x: 1 / x}) / x**2
            return ex.substitute(inverted, {ex.call("log", 1 / x): -ex.call("log", x)})  # x > 0
        return None if low is None or high is None else ex.substitute(f, {x: low + high - x})

    def by_reflection(self) -> Outcome | None:
        """The integral of the mean of f and its reflection where that is simpler, as of
        1/(1 + tan(x)**n) and of x f(sin(x)); quadrature of f itself must agree."""
        import sympy as sp

        from sciml.symbolic.expr.printing import from_sympy, to_sympy
        from sciml.symbolic.verification.proving import prove_identity

        f, x = self.f, self.x
        mirrored = self._mirrored()
        if mirrored is None:
            return None
        sum_of_both = _with_floors_of_one_sign(f + from_sympy(to_sympy(mirrored)))
        general, powers = _with_powers_as_symbols(sum_of_both)
        both = sp.simplify(sp.expand_trig(to_sympy(general)), ratio=1)
        mean = ex.substitute(from_sympy(both), powers) / 2
        if _occurrences(mean, x) >= _occurrences(f, x):
            return None
        if not prove_identity(general, from_sympy(both), x, None, 2.0).holds:
            return None
        if mean is ex.ZERO:
            small = is_absolutely_small(self._pieces(f, self.low, self.high), x)
            return Outcome("verified", ex.ZERO, "its reflection is opposite", "numerically 0",
                           "reflection") if small else None  # fmt: skip
        integral = DefiniteIntegral(
            mean, x, self.low, self.high, self.integrator, self.deadline
        ).solve()
        if integral.value is None or integral.status not in ("verified", "sampled"):
            return None
        status, how = integral.status, "reflected"
        finite = not self.low.infinite and not self.high.infinite
        if finite and holds_floor(f) and _is_bounded(f, x):
            # Steps may be too many for quadrature; the identity holds but for isolated points.
            return Outcome(status, integral.value, how, "", "reflection; " + integral.method)
        smaller = _with_small_exponents(f)
        if smaller is not f:  # of these, quadrature must agree
            if holds_large_exponent(mean):
                return None
            status, how = "sampled", how + "; quadrature agrees for smaller exponents"
        digits = numerical_value(self._pieces(smaller, self.low, self.high), x, 60)
        if digits is None or not digits.value.overlaps(ball(integral.value)):
            return None
        return Outcome(status, integral.value, how, "", "reflection; " + integral.method)

    def _pieces(self, f: Expr, low: End, high: End) -> Any:
        integral = DefiniteIntegral(f, self.x, low, high, self.integrator, self.deadline)
        return integral.pieces()

    def by_beta(self) -> Outcome | None:
        """x**p (1 - x**q)**r from 0 to 1 is B((p + 1)/q, r + 1)/q, and x**p (1 + x**q)**-r from 0
        to oo is B((p + 1)/q, r - (p + 1)/q)/q (DLMF 5.12.1, 5.12.3)."""
        far = self.high.infinite
        if self.low.at is not ex.ZERO or not (far or self.high.at is ex.ONE):
            return None
        x, p, binomial = ex.symbol(self.x), Fraction(0), None
        for g in self.f.args if self.f.op == "mul" else (self.f,):
            base, k = g.args if g.op == "pow" else (g, ex.ONE)
            if k.op != "num":
                return None
            if base is x:
                p += k.value
            elif binomial is None:
                binomial = base, k.value
            else:
                return None
        if binomial is None:
            return None
        base, r = binomial
        power = base - 1 if far else 1 - base
        q = power.args[1].value if power.op == "pow" and power.args[1].op == "num" else 1
        if power is not x and (power.op != "pow" or power.args[0] is not x) or q <= 0:
            return None
        a = (p + 1) / Fraction(q)
        b = -r - a if far else r + 1
        if a <= 0 or b <= 0:
            return None
        gammas = [special("gamma", (ex.number(z),)) for z in (a, b, a + b)]
        value = gammas[0] * gammas[1] / gammas[2] / q
        return Outcome("verified", value, "the integral is a beta function", "", "beta function")

    def by_exponential(self) -> Outcome | None:
        """Newton and Leibniz in q = exp(-x) or b**-x, where x stands in such powers alone and the
        interval reaches to infinity: balls of functions of exp(x) grow too wide there."""
        f, x, q = self.f, ex.symbol(self.x), ex.symbol(self.x)
        if not self.high.infinite and not self.low.infinite:
            return None
        f = ex.substitute(f, {n: _EXPONENTIAL[n.op](ex.call("exp", -n.args[0]))
                              for n in ex.subtrees(f) if n.op in _EXPONENTIAL})  # fmt: skip
        values: dict[Expr, ex.ExprLike] = {}
        bases: set[Expr] = set()
        for n in ex.subtrees(f):
            if n.op not in ("exp", "pow") or self.x not in n.args[-1].free:
                continue
            slope = n.args[-1].diff(self.x)
            if slope.op != "num" or n.args[-1] is not slope * x:
                return None
            bases.add(ex.E if n.op == "exp" else n.args[0])
            values[n] = ex.power(q, -slope)
        if len(bases) > 1 or any(b is not ex.E and (b.op != "num" or b.value <= 1) for b in bases):
            return None
        if not values:
            return None
        mark = ex.symbol("exponential__")
        if self.x in ex.substitute(f, dict.fromkeys(values, mark)).free:
            return None
        (base,) = bases
        rate = ex.ONE if base is ex.E else ex.call("log", base)
        g = ex.substitute(f, values) / q / rate
        low = ex.ZERO if self.high.at is None else ex.power(base, -self.high.at)
        high = End(None, 1) if self.low.at is None else End(ex.power(base, -self.low.at))
        outcome = DefiniteIntegral(
            g, self.x, End(low), high, self.integrator, self.deadline
        ).solve()  # fmt: skip
        if outcome.status not in ("verified", "sampled"):
            return None
        return replace(outcome, method=f"q = {ex.power(base, -x)}; {outcome.method}")

    def by_sums(self) -> Outcome | None:
        """Newton and Leibniz for products of circular functions written as sums."""
        import sympy as sp
        from sympy.simplify.fu import TR8

        from sciml.symbolic.expr.printing import from_sympy, to_sympy

        if not any(n.op in ("sin", "cos") for n in ex.subtrees(self.f)):
            return None
        sums = sp.expand(TR8(sp.expand(to_sympy(self.f))))
        f = from_sympy(sums)
        if f is self.f:
            return None
        outcome = DefiniteIntegral(
            f, self.x, self.low, self.high, self.integrator, self.deadline
        ).solve()
        return outcome if outcome.status in ("verified", "sampled") else None

    def by_residues(self) -> Outcome | None:
        """The theorem of residues, compared with quadrature along a turned path."""
        from flint import arb

        f, x = self.f, self.x
        if not self.high.infinite:
            return None
        if self.low.infinite:
            share = ex.ONE
        elif self.low.at is ex.ZERO and ex.substitute(f, {ex.symbol(x): -ex.symbol(x)}) is f:
            share = ex.HALF
        else:
            return None
        value = fourier_integral(f, x)
        contour = turned_contour(f, x, 64)
        if value is None or contour is None:
            return None
        with precision(400):
            total: Any = arb(0)
            for integrand, far, part in contour:
                ends = _FAR if far else (End(ex.number(-64)), End(ex.number(64)))
                digits = numerical_value(self._pieces(integrand, *ends), x)
                if digits is None:
                    return None
                total = total + (digits.value.real if part == "real" else digits.value.imag)
            if not ball(value).real.overlaps(total) or float(total.rad()) > 1e-20:
                return None
            width = float(abs(total - ball(value).real).upper())
            if width > 1e-20 * max(float(abs(total).lower()), 1e-12):
                return None
        return Outcome("sampled", share * value, "within quadrature along a turned path", "",
                       "residues")  # fmt: skip

    def by_recognition(self) -> Outcome | None:
        """A closed form that has the digits of the integral."""
        digits = self.digits = self._digits()
        if digits is None:
            return None
        ends = [end.at for end in (self.low, self.high) if end.at is not None]
        value = recognise(digits, self.f, ends)
        if value is None:
            return None
        count = int(digits.bits * 0.301)
        return Outcome("sampled", value, f"a closed form that agrees with {count} digits of "
                       "quadrature, not proved", "", "recognised from digits")  # fmt: skip

    def _digits(self) -> Digits | None:
        f, low, high, x = self.f, self.low, self.high, self.x
        if any(n.op in _EXPONENTIAL for n in ex.subtrees(f)) and high.infinite:
            if low.infinite:  # fold the line
                f = f + ex.substitute(f, {ex.symbol(x): -ex.symbol(x)})
                low = End(ex.ZERO)
            f = ex.substitute(
                f,
                {
                    n: _EXPONENTIAL[n.op](ex.call("exp", -n.args[0]))
                    for n in ex.subtrees(f)
                    if n.op in _EXPONENTIAL
                },
            )
        return numerical_value(self._pieces(f, low, high), x)


def _occurrences(e: Expr, x: str) -> int:
    """How often the symbol stands in the expression."""
    counts: dict[Expr, int] = {}
    for n in ex.subtrees(e):
        counts[n] = int(n.op == "sym" and n.value == x) + sum(counts[a] for a in n.args)
    return counts[e]


def holds_large_exponent(f: Expr) -> bool:
    """Whether f holds a power that is better not expanded."""
    return any(
        n.op == "pow" and n.free and n.args[1].op == "num" and abs(n.args[1].value) > _LARGE
        for n in ex.subtrees(f)
    )


def holds_floor(f: Expr) -> bool:
    """Whether f holds steps, which its reflection may cancel."""
    return any(n.op == "floor" and n.free for n in ex.subtrees(f))


def is_moment(f: Expr, x: str) -> bool:
    """Whether f is x times a fraction in circular functions: its antiderivative is long or none,
    and the reflection removes the factor x."""
    factors = f.args if f.op == "mul" else ()
    return ex.symbol(x) in factors and any(
        ex.is_negative_power(g) and any(n.op in ("sin", "cos") for n in ex.subtrees(g))
        for g in factors
    )


def _with_floors_of_one_sign(e: Expr) -> Expr:
    """e with -1 - floor(u) in the place of floor(-u), which is equal but where u is whole."""
    return ex.substitute(e, {
        n: -1 - ex.call("floor", -n.args[0])
        for n in ex.subtrees(e) if n.op == "floor" and n.free and ex.negative(n.args[0])
    })  # fmt: skip


def _is_bounded(f: Expr, x: str) -> bool:
    """Whether f is built so that it is bounded on every bounded interval."""
    return all(
        n.op in ("sym", "add", "mul", "sin", "cos", "exp", "floor", "abs", "sign", "atan", "tanh")
        or n.op == "pow" and n.args[1].op == "num" and n.args[1].value > 0
        for n in ex.subtrees(f) if x in n.free
    )  # fmt: skip


def _with_powers_as_symbols(e: Expr) -> tuple[Expr, dict[Expr, ex.ExprLike]]:
    """e with a symbol for each power with a large exponent, and what the symbols stand for: an
    identity that holds for every value of them holds for e."""
    cotangents = {n: 1 / ex.call("tan", n.args[0]) for n in ex.subtrees(e) if n.op == "cot"}
    e = ex.substitute(e, cotangents)
    powers = [n for n in ex.subtrees(e) if n.op == "pow" and n.free and n.args[1].op == "num"
              and n.args[1].value.denominator == 1 and abs(n.args[1].value) > _LARGE]  # fmt: skip
    symbols: dict[tuple[Expr, int], Expr] = {}
    values: dict[Expr, ex.ExprLike] = {}
    for n in powers:
        base, k = n.args[0], n.args[1].value
        p = symbols.setdefault((base, abs(int(k))), ex.symbol(f"p__{len(symbols)}"))
        values[n] = p if k > 0 else 1 / p
    back: dict[Expr, ex.ExprLike] = {
        p: ex.power(base, ex.number(k)) for (base, k), p in symbols.items()
    }
    return ex.substitute(e, values), back


def _with_small_exponents(f: Expr) -> Expr:
    """f with 3 or 4, with the same sign and parity, in place of each large exponent."""
    return ex.substitute(f, {
        n: ex.power(n.args[0], ex.number((4 - n.args[1].value % 2) * (1 if k > 0 else -1)))
        for n in ex.subtrees(f)
        if n.op == "pow" and n.free and n.args[1].op == "num"
        and (k := n.args[1].value).denominator == 1 and abs(k) > _LARGE
    })  # fmt: skip


def _opposite(f: Expr, g: Expr, x: str) -> bool:
    """Whether f = -g at some real points, to double precision; a cheap test before a proof."""
    import numpy as np

    from sciml.symbolic.expr.evaluate import Program

    points = np.array([-3.3, -1.7, -0.61, 0.13, 0.37, 0.77, 1.21, 2.9, 4.3])
    a, b = (np.broadcast_to(v, points.shape) for v in Program(f, g).complex({x: points}))
    with np.errstate(all="ignore"):
        finite = np.isfinite(a) & np.isfinite(b)
        near = np.abs(a + b) <= 1e-8 * (np.abs(a) + np.abs(b))
    return bool(finite.sum() > 2 and near[finite].all())
