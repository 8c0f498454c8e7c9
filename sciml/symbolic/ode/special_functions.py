"""Linear equations y'' + p y' + q y = 0 that Bessel, confluent and Gauss hypergeometric functions
solve; the coefficients may hold symbols.

* p = b/x, q = e/x**2 + d x**(k - 2): Bessel functions of (2/k) sqrt(d) x**(k/2) (DLMF 10.13.2).
* p = a + b/x, q = c + d/x + e/x**2: y = x**r exp(s x) w with Kummer's equation for w
  (DLMF 13.2.1), or Bessel's where that degenerates (DLMF 10.13.7).
* three regular singular points, one at infinity: Riemann's P-symbol (DLMF 15.11).

An equation that is even in x is also tried in t = x**2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sciml.errors import InputError
from sciml.symbolic.algebra.powers import as_powers
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.ode.tools import Context

System = tuple[Expr, Expr, str]
"""Two solutions, and the name of the method."""
_ERRORS = (InputError, NotImplementedError, ValueError, TypeError, AttributeError, KeyError,
           ZeroDivisionError, RecursionError, IndexError)  # fmt: skip


def special_systems(p: Expr, q: Expr, c: Context) -> Iterator[System]:
    """Pairs of solutions; they are not checked here."""
    import sympy as sp

    from sciml.symbolic.expr.printing import from_sympy, to_sympy

    x, t = sp.Symbol(c.x), sp.Symbol("_t", positive=True)
    functions = (sp.sin, sp.cos, sp.tan, sp.exp, sp.log, sp.Abs)
    try:
        P, Q = (sp.cancel(sp.together(to_sympy(as_powers(e)))) for e in (p, q))
        if any(e.atoms(*functions) for e in (P, Q)):
            return
        cases = [(P, Q, x, x)]
        xP, even = sp.cancel(x * P), sp.cancel(Q)
        if all(sp.cancel(e - e.subs(x, -x)) == 0 for e in (xP, even)):
            new = [sp.cancel(e.subs(x, sp.sqrt(t))) for e in ((1 + xP) / (2 * t), even / (4 * t))]
            cases.append((*new, t, x**2))
    except _ERRORS:
        return
    for P, Q, variable, stands_for in cases:
        for rule in (_bessel, _confluent, _riemann):
            if c.time_left() < 0:
                return
            try:
                found = rule(sp, P, Q, variable)
                if found is None:
                    continue
                u, v = (from_sympy(e.xreplace({variable: stands_for})) for e in found[:2])
            except _ERRORS:
                continue
            yield u, v, found[2]


def _root(sp: Any, square: Any) -> Any:
    """A square root, without a sign where the square is perfect: both signs are used alike."""
    return sp.powdenest(sp.sqrt(sp.factor(square)), force=True)


def _bessel(sp: Any, P: Any, Q: Any, x: Any) -> tuple[Any, Any, str] | None:
    b = sp.cancel(x * P)
    if b.has(x):
        return None
    rest, power = sp.expand(sp.powsimp(sp.expand(x**2 * Q))).as_independent(x, as_Add=True)
    factor, power = power.as_independent(x, as_Add=False)
    base, k = power.as_base_exp()
    if base != x or k.has(x) or factor == 0 or k == 0:
        return None
    return _bessel_pair(sp, x ** ((1 - b) / 2), _root(sp, (1 - b) ** 2 - 4 * rest) / k, factor,
                        x**k, k)  # fmt: skip


def _bessel_pair(
    sp: Any, outside: Any, order: Any, factor: Any, power: Any, k: Any
) -> tuple[Any, Any, str]:  # fmt: skip
    """outside times Bessel functions of (2/k) sqrt(factor power)."""
    modified = factor.could_extract_minus_sign()
    argument = 2 * sp.sqrt(-factor if modified else factor) / k * sp.sqrt(power)
    first, second = (sp.besseli, sp.besselk) if modified else (sp.besselj, sp.bessely)
    return outside * first(order, argument), outside * second(order, argument), "Bessel functions"


def _confluent(sp: Any, P: Any, Q: Any, x: Any) -> tuple[Any, Any, str] | None:
    try:
        first = sp.Poly(sp.cancel(x * P), x)
        second = sp.Poly(sp.cancel(x**2 * Q), x)
    except sp.PolynomialError:
        return None
    if first.degree() > 1 or second.degree() > 2:
        return None
    b, a = (first.coeff_monomial(x**j) for j in (0, 1))
    e, d, c = (second.coeff_monomial(x**j) for j in (0, 1, 2))
    s = (-a + _root(sp, a**2 - 4 * c)) / 2
    kappa = sp.simplify(-(a + 2 * s))
    exponents = [(1 - b + side * _root(sp, (1 - b) ** 2 - 4 * e)) / 2 for side in (1, -1)]
    out = []
    for r in exponents:
        shift = sp.factor(2 * r * s + a * r + b * s + d)
        below = sp.simplify(2 * r + b)
        outside = x**r * sp.exp(s * x)
        if kappa == 0:
            if shift == 0:
                return None
            return _bessel_pair(sp, outside * x ** ((1 - below) / 2), below - 1, shift, x, 1)
        if below.is_integer and below <= 0:
            return None
        function = sp.hyper((sp.simplify(-shift / kappa),), (below,), kappa * x)
        out.append(outside * function)
    return None if sp.simplify(exponents[0] - exponents[1]) == 0 else (
        out[0], out[1], "confluent hypergeometric functions")  # fmt: skip


def _riemann(sp: Any, P: Any, Q: Any, x: Any) -> tuple[Any, Any, str] | None:
    below = sp.denom(P) * sp.denom(Q)
    roots = set()
    for factor, _ in sp.factor_list(below, x)[1]:
        if sp.degree(factor, x) != 1:
            return None
        roots.add(sp.cancel(-factor.coeff(x, 0) / factor.coeff(x, 1)))
    if len(roots) != 2:
        return None
    low, high = sorted(roots, key=lambda r: (r != 0, sp.default_sort_key(r)))
    exponents = []
    for r in (low, high):
        a = sp.cancel((x - r) * P).subs(x, r)
        b = sp.cancel((x - r) ** 2 * Q).subs(x, r)
        root = _root(sp, (a - 1) ** 2 - 4 * b)
        exponents.append(((1 - a + root) / 2, root))
    far = [_leading(sp, x * P, x), _leading(sp, x**2 * Q, x)]
    if None in far:
        return None
    root = _root(sp, (far[0] - 1) ** 2 - 4 * far[1])
    (alpha, from_other), (gamma, from_high) = exponents
    a, b = (sp.simplify(alpha + gamma + (far[0] - 1 + side * root) / 2) for side in (1, -1))
    c, c2 = 1 + from_other, 1 + from_high
    z = (x - low) / (high - low)
    outside = z**alpha * (1 - z) ** gamma
    first = outside * sp.hyper((a, b), (c,), z)
    second = outside * sp.hyper((a, b), (c2,), 1 - z)
    return first, second, "hypergeometric functions"


def _leading(sp: Any, e: Any, x: Any) -> Any:
    """The limit of a rational function at infinity; None where it is infinite."""
    above, below = sp.fraction(sp.cancel(e))
    above, below = sp.Poly(above, x), sp.Poly(below, x)
    if above.degree() > below.degree():
        return None
    return above.coeff_monomial(x ** below.degree()) / below.LC()
