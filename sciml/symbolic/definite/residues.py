"""Integrals over the whole line of R(x) cos(w x) and R(x) sin(w x), R rational, by residues.

For w > 0 and deg denominator > deg numerator, the integral of R(x) exp(i w x) is 2 pi i times the
sum of the residues in the upper half plane (Jordan's lemma); R must have no real pole. The number
is confirmed by quadrature: beyond the poles, the path is turned by a right angle into the upper
half plane, where the integrand falls like exp(-w t).

Source: L. V. Ahlfors, "Complex Analysis", chapter 4, section 5.3.
"""

from __future__ import annotations

from typing import Any

from sciml.errors import InputError
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr


def _parts(f: Expr, x: str) -> tuple[Expr, Expr, Expr] | None:
    """(A, B, w) with f = A cos(w x) + B sin(w x) and w > 0, if all circular functions in f have the
    same argument w x."""
    nodes = [n for n in ex.subtrees(f) if n.op in ("sin", "cos") and x in n.free]
    arguments = {n.args[0] for n in nodes}
    if len(arguments) != 1:
        return None
    (argument,) = arguments
    w = argument / ex.symbol(x)
    if x in w.free or ex.negative(w):
        return None
    c, s = ex.symbol("_cos"), ex.symbol("_sin")
    marked = ex.substitute(f, {n: c if n.op == "cos" else s for n in nodes})
    zero = {c: ex.ZERO, s: ex.ZERO}
    A, B = marked.diff("_cos"), marked.diff("_sin")
    if {"_cos", "_sin"} & (A.free | B.free) or ex.substitute(marked, zero) is not ex.ZERO:
        return None
    return A, B, w


def fourier_integral(f: Expr, x: str, constants: tuple[str, ...] = ()) -> Expr | None:
    """The integral of f over the whole line, for positive constants; None where the theorem does
    not apply or a pole is not known in closed form."""
    import sympy as sp

    from sciml.symbolic.expr.printing import from_sympy, to_sympy

    parts = _parts(f, x)
    if parts is None:
        return None
    A, B, w = parts
    z = sp.Symbol("_z")
    names: dict[str, Any] = {c: sp.Symbol(c, positive=True) for c in constants}
    names[x] = z
    frequency = to_sympy(w, names)
    total = sp.Integer(0)
    for part, take in ((A, sp.re), (B, sp.im)):
        if part is ex.ZERO:
            continue
        top, bottom = sp.fraction(sp.together(to_sympy(part, names)))
        if not (top.is_polynomial(z) and bottom.is_polynomial(z)):
            return None
        if not sp.degree(bottom, z) > sp.degree(top, z):
            return None
        poles = sp.roots(sp.Poly(bottom, z))
        if sum(poles.values()) != sp.degree(bottom, z):
            return None
        residues = sp.Integer(0)
        for pole, order in poles.items():
            height = sp.im(pole).doit()
            if height.is_zero or height.is_positive is None:
                return None
            if not height.is_positive:
                continue
            regular = top / sp.prod(
                [sp.LC(sp.Poly(bottom, z)), *((z - p) ** k for p, k in poles.items() if p != pole)]
            )
            term = sp.diff(regular * sp.exp(sp.I * frequency * z), z, order - 1)
            residues += term.subs(z, pole) / sp.factorial(order - 1)
        total += take(sp.expand_complex(sp.simplify(2 * sp.pi * sp.I * residues)))
    value = sp.simplify(total.doit())
    try:
        return from_sympy(value.xreplace({s: sp.Symbol(s.name) for s in value.free_symbols}))
    except (InputError, ex.Undefined, ex.TooLarge):
        return None


def turned_contour(f: Expr, x: str, radius: int) -> list[tuple[Expr, int, str]] | None:
    """(integrand, 0 or 1, part) whose integrals over [-radius, radius] (0) and [0, oo) (1), of
    which the real part or the imaginary part is taken, add up to that of f over the line."""
    parts = _parts(f, x)
    if parts is None:
        return None
    A, B, w = parts
    s, out = ex.symbol(x), [(f, 0, "real")]
    for part, name in ((A, "real"), (B, "imag")):
        for side in (1, -1):
            path = side * radius + ex.I * s
            there = ex.substitute(part, {s: path}) * ex.call("exp", ex.I * w * side * radius)
            out.append((side * ex.I * there * ex.call("exp", -w * s), 1, name))
    return [piece for piece in out if piece[0] is not ex.ZERO]
