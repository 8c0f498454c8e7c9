"""Powers of binomials by hypergeometric functions, and powers times exponentials by the incomplete
gamma function.

With a linear function u of x,

    u**m (a + b u**n)**p               2F1(-p, s; s + 1; -b u**n/a), s = (m + 1)/n
    u**m (a + b u**n)**p (c + d u**n)**q      F1(s; -p, -q; s + 1; -b u**n/a, -d u**n/c)
    u**m exp(a + b u**n)               Gamma(s, -b u**n)

up to locally constant factors, which are written by the very powers that occur.

Source: NIST Digital Library of Mathematical Functions, 8.2.2, 15.6.1, 16.15.1; A. D. Rich et al.,
"Rule-based integration" (2018), rules 1.1.3 and 2.3.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from sciml.symbolic.algebra.rewriting import expand, together
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import ONE, Expr
from sciml.symbolic.integration.substitution import linear

_ERRORS = (ex.TooLarge, ex.Undefined, ZeroDivisionError)


@dataclass(frozen=True)
class _Binomial:
    """(a + b u**n)**p, with `power` the factor itself; of a power u**p alone a = 0."""

    a: Expr
    b: Expr
    n: Expr
    p: Expr
    base: Expr


@dataclass(frozen=True)
class Binomial:
    """An antiderivative, the name of the method, and whether none is elementary: for one binomial,
    by Chebyshev's theorem, unless p, s or s + p is an integer."""

    answer: Expr
    method: str
    certain: bool


def integrate_binomial(f: Expr, x: str) -> Binomial | None:
    """An antiderivative of such an integrand; None for any other."""
    factors = list(f.args if f.op == "mul" else (f,))
    constants = ex.mul([a for a in factors if x not in a.free])
    factors = [a for a in factors if x in a.free]
    if len(factors) > 5:
        return None
    results = []
    for u in _linear_parts(factors, x):
        try:
            found = _integrate(factors, x, u)
        except _ERRORS:
            continue
        if found is not None:
            results.append(replace(found, answer=constants * found.answer / u.diff(x)))
    return min(results, key=lambda r: r.method == "Appell function") if results else None


def has_symbolic_exponent(f: Expr, x: str) -> bool:
    """Whether a function of x other than x itself has a symbolic exponent."""
    return any(n.op == "pow" and n.args[0].op != "sym" and x in n.args[0].free
               and n.args[1].op != "num" for n in ex.subtrees(f))  # fmt: skip


def _linear_parts(factors: list[Expr], x: str) -> list[Expr]:
    """x, and the linear functions under powers."""
    parts: dict[Expr, None] = {ex.symbol(x): None}
    for f in factors:
        base = f.args[0] if f.op == "pow" else f
        if base.op == "add" and linear(base, x):
            parts[base] = None
    return list(parts)


def _integrate(factors: list[Expr], x: str, u: Expr) -> Binomial | None:
    m: Expr = ex.ZERO
    outside = ONE
    binomials: list[_Binomial] = []
    exponents: list[tuple[Expr, Expr, Expr]] = []
    for f in factors:
        if f.op == "exp" or f.op == "pow" and x in f.args[1].free and x not in f.args[0].free:
            argument = f.args[0] if f.op == "exp" else f.args[1] * ex.call("log", f.args[0])
            parts = _as_binomial(argument, x, u)
            if parts is None:
                return None
            exponents.append(parts)
            continue
        base, p = (f.args[0], f.args[1]) if f.op == "pow" else (f, ONE)
        if x in p.free:
            return None
        parts = _as_binomial(base, x, u)
        if parts is None:
            return None
        a, b, n = parts
        if a is ex.ZERO:  # (b u**n)**p
            m = m + n * p
            if base is not u and p.op != "num" or p.op == "num" and p.value.denominator > 1:
                outside = outside * f * ex.power(u, -n * p)
            else:
                outside = outside * ex.power(b, p)
        else:
            binomials.append(_Binomial(a, b, n, p, base))
    s1 = together(m + 1)
    if s1 is ex.ZERO:
        return None
    if exponents and not binomials:
        return _gamma(s1, exponents, outside, u)
    if exponents or not 1 <= len(binomials) <= 2:
        return None
    if all(_integer(b.p) for b in binomials) and _integer(m) and _integer(binomials[0].n):
        return None
    n = binomials[0].n
    if any(expand(b.n - n) is not ex.ZERO for b in binomials):
        return None
    return _hypergeometric(s1, binomials, outside, u)


def _integer(e: Expr) -> bool:
    return e.op == "num" and e.value.denominator == 1


def _hypergeometric(
    s1: Expr, binomials: list[_Binomial], outside: Expr, u: Expr
) -> Binomial | None:
    n = binomials[0].n
    s = together(s1 / n)
    if s.op == "num" and s.value.denominator == 1 and s.value <= 0:
        return None
    arguments = [together(-b.b / b.a) * ex.power(u, n) for b in binomials]
    for b, z in zip(binomials, arguments, strict=True):
        outside = outside * ex.power(b.base, b.p) * ex.power(1 - z, -b.p)
    if len(binomials) == 1:
        function = ex.call("hyp2f1", -binomials[0].p, s, s + 1, arguments[0])
        name, p = "hypergeometric function", binomials[0].p
        certain = not any(_integer(e) for e in (p, s, together(s + p)))
    else:
        function = ex.call("appellf1", s, *(-b.p for b in binomials), s + 1, *arguments)
        name = "Appell function"
        certain = any(b.p.op != "num" for b in binomials)
    return Binomial(outside * ex.power(u, s1) / s1 * function, name, certain)


def _gamma(
    s1: Expr, exponents: list[tuple[Expr, Expr, Expr]], outside: Expr, u: Expr
) -> Binomial | None:
    n = exponents[0][2]
    if any(e[2] is not n for e in exponents) or n is ex.ZERO:
        return None
    a, b = ex.add([e[0] for e in exponents]), together(ex.add([e[1] for e in exponents]))
    s = together(s1 / n)
    if s.op == "num" and s.value.denominator == 1 and s.value > 0 or b is ex.ZERO:
        return None
    z = -b * ex.power(u, n)
    answer = -ex.call("exp", a) * outside * ex.power(u, s1) * ex.power(z, -s) / n
    certain = s.op != "num" or s.value.denominator > 2
    answer = answer * ex.call("uppergamma", s, z)
    return Binomial(answer, "incomplete gamma function", certain)


def _as_binomial(e: Expr, x: str, u: Expr) -> tuple[Expr, Expr, Expr] | None:
    """(a, b, n) with e = a + b u**n; None where it is not of this form."""
    w = ex.symbol("_u")
    if u.op == "sym":
        e = ex.substitute(e, {u: w})
    else:
        slope = u.diff(x)
        at_zero = ex.substitute(u, {ex.symbol(x): ex.ZERO})
        e = ex.substitute(e, {u: w})
        if x in e.free:
            e = expand(ex.substitute(e, {ex.symbol(x): (w - at_zero) / slope}))
    if x in e.free:
        return None
    if "_u" not in e.free:
        return e, ex.ZERO, ex.ZERO
    e = e if e.op in ("add", "pow", "sym") else expand(e)
    terms = e.args if e.op == "add" else (e,)
    a = ex.add([t for t in terms if "_u" not in t.free])
    powers: dict[Expr, Expr] = {}
    for t in terms:
        if "_u" not in t.free:
            continue
        factors = t.args if t.op == "mul" else (t,)
        n: Expr = ex.ZERO
        for g in factors:
            if g is w:
                n = n + 1
            elif g.op == "pow" and g.args[0] is w and "_u" not in g.args[1].free:
                n = n + g.args[1]
            elif "_u" in g.free:
                return None
        rest = ex.mul([g for g in factors if "_u" not in g.free])
        powers[n] = powers.get(n, ex.ZERO) + rest
    if len(powers) != 1:
        return None
    ((n, b),) = powers.items()
    if n is ex.ZERO or n.op == "num" and n.value == Fraction(0):
        return None
    return a, together(b), n
