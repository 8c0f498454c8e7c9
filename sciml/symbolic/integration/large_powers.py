"""Integrands with large exponents, such as sin(x)**2025 cos(x), without expanding anything.

With f = b**n h and h = phi(b) b' for a Laurent polynomial phi, F is that of u**n phi(u) at u = b.
The coefficients of phi are solved for at points; the identity phi(b) b' = h, from which F' = f
follows, is then proved, and holds small exponents only. Rational functions of x**g are cancelled
as functions of one symbol first.
"""

from __future__ import annotations

from fractions import Fraction
from math import gcd

from sciml.errors import InputError
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.expr.intervals import fraction, precision

LARGE = 100
"""Exponents above this are not expanded."""
_EXPONENTS = range(-3, 7)
_LARGEST_DENOMINATOR = 10_000
_SECONDS = 2.0


def has_large_powers(f: Expr, x: str) -> bool:
    """Whether a power of a function of x has a large exponent."""
    return any(_large(n, x) for n in ex.subtrees(f))


def _large(n: Expr, x: str) -> bool:
    return n.op == "pow" and x in n.free and n.args[1].op == "num" and abs(n.args[1].value) > LARGE


def integrate_large_powers(f: Expr, x: str) -> Expr | None:
    """An antiderivative whose derivative is proved to be f; None where the rule does not apply."""
    f = _cancelled(f, x)
    answers = []
    for t in f.args if f.op == "add" else (f,):
        answer = _of_term(t, x)
        if answer is None:
            return None
        answers.append(answer)
    return ex.add(answers)


def _cancelled(f: Expr, x: str) -> Expr:
    """A rational function of x**g as a sum of cancelled terms; f itself where it is none."""
    import sympy as sp

    from sciml.symbolic.expr.printing import from_sympy, to_sympy

    place = ex.symbol(x)
    powers = [n for n in ex.subtrees(f) if n.op == "pow" and n.args[0] is place]
    if not powers or any(n.args[1].op != "num" or n.args[1].value.denominator > 1 for n in powers):
        return f
    g = gcd(*[int(n.args[1].value) for n in powers])
    y = ex.symbol("y__0")
    inner = ex.substitute(f, {n: y ** ex.number(n.args[1].value / g) for n in powers})
    if g < 2 or x in inner.free or any(n.op in ex.NAMED for n in ex.subtrees(inner)):
        return f
    if any(_large(n, "y__0") for n in ex.subtrees(inner)):
        return f
    try:
        short = from_sympy(sp.expand(sp.cancel(to_sympy(inner))))
    except (InputError, ex.Undefined, ex.TooLarge, sp.PolynomialError):
        return f
    return ex.substitute(short, {y: ex.power(place, ex.number(g))})


def _of_term(t: Expr, x: str) -> Expr | None:
    from sciml.symbolic.verification.proving import prove_identity

    if x not in t.free:
        return t * ex.symbol(x)
    factors = t.args if t.op == "mul" else (t,)
    large = [n for n in factors if _large(n, x)]
    if not large:
        base = next((n for n in factors if n.op == "pow" and n.args[0] is ex.symbol(x)), None)
        large = [base] if base is not None and base.args[1].op == "num" else []
    if len(large) != 1:
        return None
    b, n = large[0].args[0], large[0].args[1].value
    h = ex.mul([g for g in factors if g is not large[0]])
    slope = b.diff(x)
    coefficients = _laurent(h / slope, b, x)
    if coefficients is None:
        return None
    phi = ex.add([c * ex.power(b, ex.number(k)) for k, c in coefficients.items()])
    if phi * slope is not h and not prove_identity(phi * slope, h, x, None, _SECONDS).holds:
        return None
    out = []
    for k, c in coefficients.items():
        m = n + k + 1
        out.append(c * (ex.call("log", b) if m == 0 else ex.power(b, ex.number(m)) / m))
    return ex.add(out)


def _laurent(q: Expr, b: Expr, x: str) -> dict[int, Fraction] | None:
    """The rational coefficients of q as a Laurent polynomial in b, by its values at points."""
    from flint import arb_mat

    count = len(_EXPONENTS)
    if q.free - {x}:
        return None
    program = Program(q, b)
    rows, values = [], []
    with precision(400):
        for i in range(3 * count):
            try:
                value, base = program.balls({x: fraction(Fraction(2 * i + 3, 2 * count + 7))})
            except (ValueError, ArithmeticError):
                continue
            if not (value.is_finite() and base.is_finite() and value.imag.contains(0)):
                continue
            if base.contains(0):
                continue
            rows.append([base.real**k for k in _EXPONENTS])
            values.append([value.real])
            if len(rows) == count:
                break
        if len(rows) < count:
            return None
        try:
            solution = arb_mat(rows).solve(arb_mat(values))
        except ZeroDivisionError:
            return None
        out = {}
        for i, k in enumerate(_EXPONENTS):
            c = solution[i, 0]
            text = c.mid().str(60, radius=False)
            rational = Fraction(text).limit_denominator(_LARGEST_DENOMINATOR)
            if not c.overlaps(fraction(rational)) or c.rad() > 1e-10:
                return None
            if rational:
                out[k] = rational
    return out
