"""Substitutions for roots: Euler's, Chebyshev's, those for one radical and for linear radicands."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from sciml.symbolic.algebra.rewriting import expand, for_positive, together
from sciml.symbolic.algebra.univariate import as_rational, fraction
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.integration.radical_substitutions import (
    goursat_substitutions,
    radical_substitutions,
)
from sciml.symbolic.integration.rational_functions import to_expr
from sciml.symbolic.integration.substitution import Substitution, linear, proposed, replace_base


def _quadratic(u: Expr, x: str) -> tuple[Expr, Expr, Expr] | None:
    """(a, b, c) of a quadratic polynomial in x."""
    second = u.diff(x).diff(x)
    if x in second.free or second is ex.ZERO:
        second = expand(u).diff(x).diff(x)
        if x in second.free or second is ex.ZERO:
            return None
    zero = {ex.symbol(x): ex.ZERO}
    return second / 2, ex.substitute(u.diff(x), zero), ex.substitute(u, zero)


def euler_substitutions(f: Expr, x: str, t: str) -> Iterator[Substitution | None]:
    """Euler's substitutions for the square root of a quadratic polynomial."""
    symbol, w = ex.symbol(x), ex.symbol(t)
    bases = {
        n.args[0]
        for n in ex.subtrees(f)
        if n.op == "pow" and x in n.args[0].free and n.args[1].op == "num"
        and n.args[1].value.denominator == 2
    }  # fmt: skip
    for base in sorted(bases, key=lambda e: e.key):
        coefficients = _quadratic(base, x)
        if coefficients is None:
            continue
        a, b, c = coefficients
        candidates: list[tuple[Expr, Expr, Expr]] = []  # x(t), root(t), t(x)
        radical = ex.sqrt(base)
        if not (a.op == "num" and a.value < 0):
            ra = ex.sqrt(a)
            x_of_t = (w**2 - c) / (b + 2 * ra * w)
            candidates.append((x_of_t, w - ra * x_of_t, radical + ra * symbol))
        if c.op == "num" and c.value > 0:
            rc = ex.sqrt(c)
            x_of_t = (2 * rc * w - b) / (a - w**2)
            candidates.append((x_of_t, x_of_t * w + rc, (radical - rc) / symbol))
        discriminant = b**2 - 4 * a * c
        if discriminant.op == "num" and discriminant.value > 0:
            r1 = (-b + ex.sqrt(discriminant)) / (2 * a)
            r2 = (-b - ex.sqrt(discriminant)) / (2 * a)
            x_of_t = (a * r2 - r1 * w**2) / (a - w**2)
            candidates.append((x_of_t, (x_of_t - r1) * w, radical / (symbol - r1)))
        candidates.sort(key=lambda way: _irrationals(way[0]))
        for x_of_t, root, stands_for in candidates[:2]:
            root = together(root)
            g = replace_base(f, base, 2, root)
            g = for_positive(ex.substitute(g, {symbol: together(x_of_t)}), t)
            yield proposed("Euler substitution", g * together(x_of_t.diff(t)), t, stands_for)


def euler_in_square(f: Expr, x: str, t: str) -> Iterator[Substitution | None]:
    """t**2 = sqrt(a) x**2 + sqrt(u) for u = a x**4 + b x**2 + c, where a root of a sum with sqrt(u)
    occurs: x is then the root of a rational function of t."""
    symbol, w, y = ex.symbol(x), ex.symbol(t), ex.symbol("_y")
    outer = [n.args[0] for n in ex.subtrees(f) if ex.is_radical(n) and n.args[0].op == "add"]
    bases = [n.args[0] for u in outer for n in ex.subtrees(u)
             if ex.is_radical(n) and n.args[1].value.denominator == 2]  # fmt: skip
    for base in dict.fromkeys(bases):
        in_square = ex.substitute(base, {symbol**4: y**2, symbol**2: y})
        coefficients = None if x in in_square.free else _quadratic(in_square, "_y")
        if coefficients is None:
            continue
        a, b, c = coefficients
        if ex.negative(a):
            continue
        lead = for_positive(ex.sqrt(a), t)
        for sign in (1, -1):
            above, below = w**4 - c, expand(b + sign * 2 * lead * w**2)
            square = above / below
            root = together(w**2 - sign * lead * square)
            if b is ex.ZERO:
                back = ex.sqrt(expand(above / (sign * 2 * lead))) / w
            else:
                back = ex.sqrt(expand(above * below)) / below
            powers = {symbol**k: square ** (k // 2) for k in (-8, -6, -4, -2, 2, 4, 6, 8)}
            g = ex.substitute(replace_base(f, base, 2, root), {**powers, symbol: back})
            g = _one_root(for_positive(g * together(square.diff(t)) / (2 * back), t))
            stands_for = ex.sqrt(sign * lead * symbol**2 + ex.sqrt(base))
            yield Substitution("Euler substitution in x**2", g, t, stands_for)


def _one_root(e: Expr) -> Expr:
    """A product with its square roots under one root, above and below."""
    roots: dict[Fraction, list[Expr]] = {}
    others = []
    for a in e.args if e.op == "mul" else (e,):
        if ex.is_radical(a) and a.free and a.args[1].value.denominator == 2:
            roots.setdefault(a.args[1].value, []).append(a.args[0])
        else:
            others.append(a)
    powers = [ex.power(expand(ex.mul(u)), ex.number(k)) for k, u in roots.items()]
    return ex.mul([*others, *powers])


def _irrationals(e: Expr) -> int:
    return sum(1 for n in ex.subtrees(e) if n.op == "pow" and not n.free)


def one_radical(f: Expr, x: str, t: str) -> Iterator[Substitution | None]:
    """t = w/p**(1/q) that make an integrand with the one radical p**(1/q) rational."""
    for integrand, stands_for in radical_substitutions(f, x, t):
        yield proposed("substitution of the radical", integrand, t, stands_for)
    for integrand, stands_for in goursat_substitutions(f, x, t):
        yield Substitution("Goursat substitution", integrand, t, stands_for)


def chebyshev_substitution(f: Expr, x: str, t: str) -> Iterator[Substitution | None]:
    """(a + b x**n)**(p/n): t**n = a x**-n + b makes the radical t x."""
    symbol, w = ex.symbol(x), ex.symbol(t)
    for node in ex.subtrees(f):
        if node.op != "pow" or x not in node.args[0].free or node.args[1].op != "num":
            continue
        q, base = node.args[1].value.denominator, node.args[0]
        if q < 2 or base.op != "add" or len(base.args) != 2:
            continue
        a, second = base.args
        b = second / symbol**q
        if x in a.free or x in b.free:
            continue
        x_of_t = ex.power(a / (w**q - b), ex.number(Fraction(1, q)))
        g = replace_base(f, base, q, w * symbol)
        g = ex.substitute(g, {symbol: x_of_t}) * x_of_t.diff(t)
        yield proposed("Chebyshev substitution", together(for_positive(g, t)), t,
                    ex.power(base, ex.number(Fraction(1, q))) / symbol)  # fmt: skip


def linear_radicals(f: Expr, x: str, t: str) -> Iterator[Substitution | None]:
    """sqrt(u) and sqrt(v) of linear u, v: t = sqrt(u) leaves the root of one quadratic."""
    symbol, w = ex.symbol(x), ex.symbol(t)
    bases = [
        n.args[0]
        for n in ex.subtrees(f)
        if n.op == "pow" and n.args[1].op == "num" and n.args[1].value.denominator == 2
        and linear(n.args[0], x)
    ]  # fmt: skip
    for base in dict.fromkeys(bases):
        slope = base.diff(x)
        x_of_t = (w**2 - ex.substitute(base, {symbol: ex.ZERO})) / slope
        g = ex.substitute(replace_base(f, base, 2, w), {symbol: x_of_t}) * 2 * w / slope
        yield proposed("substitution of a linear root", g, t, ex.sqrt(base))


def common_radicands(f: Expr, x: str, t: str) -> Iterator[Substitution | None]:
    """Square roots of polynomials with a common factor, which cancels or comes out of the root:
    sqrt(1 - x**4)/sqrt(1 - x**2) is sqrt(1 + x**2)."""
    factors = f.args if f.op == "mul" else (f,)
    roots = [a for a in factors if ex.is_radical(a) and a.args[1].value.denominator == 2]
    quotients = [q for a in roots if (q := as_rational(a.args[0], x)) and not q[1].degree()]
    if len(roots) < 2 or len(quotients) < len(roots):
        return
    exponents: dict[Expr, Fraction] = {}
    outside = ex.mul([a for a in factors if a not in roots])
    for root, quotient in zip(roots, quotients, strict=True):
        content, parts = (quotient[0] * (1 / quotient[1][0])).factor()
        k = root.args[1].value
        pairs = [(ex.number(fraction(content)), k)]
        pairs += [(to_expr(p, ex.symbol(x)), k * int(e)) for p, e in parts]
        for base, power in pairs:
            exponents[base] = exponents.get(base, Fraction(0)) + power
    if all(k.denominator == 2 for b, k in exponents.items() if b.free):
        return  # no common factor
    half = Fraction(1, 2)
    below = ex.mul([b for b, k in exponents.items() if k.denominator == 2])
    whole = [ex.power(b, ex.number(k - half if k.denominator == 2 else k))
             for b, k in exponents.items()]  # fmt: skip
    g = ex.mul([outside, *whole, ex.sqrt(expand(below))])
    yield Substitution("common factor of radicands", ex.substitute(g, {ex.symbol(x): ex.symbol(t)}),
                       t, ex.symbol(x))  # fmt: skip
