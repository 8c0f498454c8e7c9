"""Textbook rules: substitutions and integration by parts.

A rule only proposes: `substitutions` yields an integrand in a new variable and the expression that
the variable stands for, `by_parts` yields a factorisation. `search` integrates the proposal,
substitutes back and verifies, so a rule may use identities that hold on one branch only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

from sciml.symbolic.algebra.prepare import rational_ratio
from sciml.symbolic.algebra.rewriting import INVERSES, expand, for_positive, invert
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.integration.algebraic_rules import (
    chebyshev_substitution,
    common_radicands,
    euler_in_square,
    euler_substitutions,
    linear_radicals,
    one_radical,
)
from sciml.symbolic.integration.substitution import Substitution, linear, proposed, replace_base

_DIFFERENTIATED = ("log", "asin", "acos", "atan", "asinh", "acosh", "atanh", "acot", "asec", "acsc",
          "acoth", "asech", "acsch", "erf", "erfi", "Ei", "Si", "Ci", "dilog", "li")  # fmt: skip
_TRIG = ("sin", "cos", "tan", "cot", "sec", "csc")
_HYPERBOLIC = ("sinh", "cosh", "tanh", "coth", "sech", "csch")


def substitutions(f: Expr, x: str, depth: int) -> Iterator[Substitution]:
    """Substitutions for f dx, the most promising kinds first."""
    t = f"t{depth}"
    for rule in (
        common_radicands,
        _exponential_substitution,
        _trigonometric,
        _power_of_x,
        euler_substitutions,
        _inner_function,
        one_radical,
        euler_in_square,
        chebyshev_substitution,
        linear_radicals,
    ):
        try:
            for substitution in rule(f, x, t):
                if substitution is not None and x not in substitution.integrand.free:
                    yield substitution
        except (ex.TooLarge, ex.Undefined, ZeroDivisionError):
            continue


def _inner_function(f: Expr, x: str, t: str) -> Iterator[Substitution | None]:
    """t = an inner function with an inverse: radicals from the outside in, then exp, log, ..."""
    symbol, target = ex.symbol(x), ex.symbol(t)
    candidates: list[tuple[int, Expr, int, str]] = []
    for node in ex.subtrees(f):
        if x not in node.free or node is symbol:
            continue
        if ex.is_radical(node):
            q = node.args[1].value.denominator
            root = ex.power(node.args[0], ex.number(Fraction(1, q)))
            candidates.append((-ex.size(root), root, q, "radical"))
        elif node.op in INVERSES or node.op == "LambertW" and len(node.args) == 1:
            candidates.append((ex.size(node), node, 1, node.op))
    seen: set[Expr] = set()
    for _, node, q, name in sorted(candidates, key=lambda item: (item[3] != "radical", item[0])):
        if node in seen:
            continue
        seen.add(node)
        back = invert(node, x, target)
        if back is None:
            continue
        g = f
        if q > 1:
            g = replace_base(g, node.args[0], q, target)
        g = ex.substitute(g, {node: target})
        g = ex.substitute(g, {symbol: back})
        if name in ("asin", "acos"):  # of angles in the principal range
            other = ex.call("cos" if name == "asin" else "sin", target)
            g = ex.substitute(g, {ex.sqrt(1 - ex.call(INVERSES[name], target) ** 2): other})
        g = for_positive(g, t) * back.diff(t)
        if name == "radical" or ex.size(g) <= 2 * ex.size(f) + 10:
            yield proposed(f"substitution t = {node}", g, t, node)


def _exponential_substitution(f: Expr, x: str, t: str) -> Iterator[Substitution | None]:
    """t = exp(k x), if x occurs only in exponentials and hyperbolic functions of k x."""
    target = ex.symbol(t)
    nodes = [
        n
        for n in ex.subtrees(f)
        if x in n.free and (n.op == "exp" or n.op in _HYPERBOLIC) and linear(n.args[0], x)
    ]
    if not nodes:
        return
    unit = _common_unit([n.args[0] for n in nodes], x)
    if unit is None:
        return
    mapping: dict[Expr, Expr] = {}
    for n in nodes:
        u = n.args[0]
        rest = u - ex.substitute(u, {ex.symbol(x): ex.ZERO})
        multiple = rational_ratio(rest, unit, x)
        if multiple is None:
            return
        shift = ex.call("exp", u - rest)
        power = ex.power(target, ex.number(multiple)) * shift
        mapping[n] = _from_exponential(n.op, power)
    g = ex.substitute(f, mapping)
    unit_slope = unit.diff(x)
    if x not in g.free:
        yield proposed("substitution t = exp", g / (target * unit_slope), t, ex.call("exp", unit))


def _from_exponential(name: str, z: Expr) -> Expr:
    inverse = 1 / z
    if name == "exp":
        return z
    s, c = (z - inverse) / 2, (z + inverse) / 2
    square = z * z
    return {"sinh": s, "cosh": c, "tanh": (square - 1) / (square + 1),
            "coth": (square + 1) / (square - 1), "sech": 2 * z / (square + 1),
            "csch": 2 * z / (square - 1)}[name]  # fmt: skip


def _common_unit(arguments: list[Expr], x: str) -> Expr | None:
    """The largest u of which all arguments, without their constant terms, are integer multiples."""
    zero = {ex.symbol(x): ex.ZERO}
    arguments_without_constants = [u - ex.substitute(u, zero) for u in arguments]
    ratios = []
    for r in arguments_without_constants:
        k = rational_ratio(r, arguments_without_constants[0], x)
        if k is None:
            return None
        ratios.append(k)
    import math

    denominator = math.lcm(*[k.denominator for k in ratios])
    numerator = math.gcd(*[int(k * denominator) for k in ratios])
    return arguments_without_constants[0] * ex.number(Fraction(numerator, denominator))


def _trigonometric(f: Expr, x: str, t: str) -> Iterator[Substitution | None]:
    """Bioche's rules t = sin, cos, tan and the half angle, circular and hyperbolic."""
    for names, h in ((_TRIG, ""), (_HYPERBOLIC, "h")):
        nodes = [
            n for n in ex.subtrees(f) if n.op in names and x in n.free and linear(n.args[0], x)
        ]
        if not nodes:
            continue
        unit = _common_unit([n.args[0] for n in nodes], x)
        if unit is None:
            continue
        s, c = ex.symbol("_s"), ex.symbol("_c")
        mapping = in_sine_cosine(nodes, unit, x, s, c, h)
        if mapping is None:
            continue
        g = ex.substitute(f, mapping)
        if x in g.free:
            continue
        yield from _bioche(g, unit, unit.diff(x), t, h)


def common_angle(nodes: list[Expr], x: str) -> Expr | None:
    """The angle of whose multiples every node is a circular function; None if one is not."""
    if not all(n.op in _TRIG and linear(n.args[0], x) for n in nodes):
        return None
    return _common_unit([n.args[0] for n in nodes], x)


def in_sine_cosine(
    nodes: list[Expr], unit: Expr, x: str, s: Expr, c: Expr, h: str
) -> dict[Expr, Expr] | None:
    """Every function in `nodes` in terms of the symbols s and c for sine and cosine of `unit`; None
    where that is not possible. `h` is "h" for hyperbolic functions, else empty."""
    sign = -1 if h else 1
    mapping = {}
    for n in nodes:
        u = n.args[0]
        multiple_of_unit = u - ex.substitute(u, {ex.symbol(x): ex.ZERO})
        k = rational_ratio(multiple_of_unit, unit, x)
        if k is None or k.denominator != 1 or abs(k) > 8:
            return None
        a, b = s, c
        for _ in range(abs(int(k)) - 1):
            a, b = expand(a * c + b * s), expand(b * c - sign * a * s)
        if k < 0:
            a = -a
        shift = u - multiple_of_unit
        if shift is not ex.ZERO:
            ss, cc = ex.call("sin" + h, shift), ex.call("cos" + h, shift)
            a, b = a * cc + b * ss, b * cc - sign * a * ss
        kind = n.op[: len(n.op) - len(h)] if h else n.op
        mapping[n] = {"sin": a, "cos": b, "tan": a / b, "cot": b / a, "sec": 1 / b, "csc": 1 / a}[
            kind
        ]
    return mapping


def _bioche(g: Expr, unit: Expr, slope: Expr, t: str, h: str) -> Iterator[Substitution | None]:
    """The choices w = sin, cos, tan of the unit that leave no radical, then the half angle."""
    s, c, w = ex.symbol("_s"), ex.symbol("_c"), ex.symbol(t)
    secant_squared = 1 - w**2 if h else 1 + w**2
    cosine = ex.sqrt(1 + w**2 if h else 1 - w**2)  # for w = sin
    sine = ex.sqrt(w**2 - 1 if h else 1 - w**2)  # for w = cos
    secant = ex.sqrt(secant_squared)  # for w = tan
    choices = [  # w, values of s and c, d unit / dw, the radical that must cancel
        ("sin", {s: w, c: cosine}, 1 / cosine, cosine),
        ("cos", {c: w, s: sine}, (1 if h else -1) / sine, sine),
        ("tan", {s: w / secant, c: 1 / secant}, 1 / secant_squared, secant),
    ]
    for name, values, derivative, radical in choices:
        integrand = ex.substitute(g, values) * derivative
        irrational = radical.op == "pow" and any(
            ex.is_radical(n) and n.args[0] is radical.args[0]
            for n in ex.subtrees(integrand)
        )  # fmt: skip
        if not irrational:
            stands_for = ex.call(name + h, unit)
            yield proposed(f"substitution t = {name}{h}", integrand / slope, t, stands_for)
    integrand = ex.substitute(
        g, {s: 2 * w / secant_squared, c: (1 + w**2 if h else 1 - w**2) / secant_squared}
    )
    half_angle = ex.call("tan" + h, unit / 2)
    yield proposed(
        "half-angle substitution", integrand * 2 / (secant_squared * slope), t, half_angle
    )


def _power_of_x(f: Expr, x: str, t: str) -> Iterator[Substitution | None]:
    """t = x**n, if only powers of x**n remain after dx = t**(1/n - 1)/n dt."""
    symbol, target = ex.symbol(x), ex.symbol(t)
    exponents = {
        node.args[1].value
        for node in ex.subtrees(f)
        if node.op == "pow" and node.args[0] is symbol and node.args[1].op == "num"
    }
    if not exponents:
        return
    denominator = math.lcm(*[e.denominator for e in exponents])
    if denominator > 1:
        g = for_positive(ex.substitute(f, {symbol: ex.power(target, ex.number(denominator))}), t)
        g = g * denominator * target ** (denominator - 1)
        root = ex.power(symbol, ex.number(Fraction(1, denominator)))
        yield proposed("substitution t = root of x", g, t, root)
        return
    magnitudes = {abs(int(e)) for e in exponents}
    common = {math.gcd(a, b) for a in magnitudes for b in magnitudes} | magnitudes
    common |= {k // 2 for k in magnitudes if k % 2 == 0}
    for n in sorted((k for k in common if k > 1), reverse=True):
        root = ex.power(target, ex.number(Fraction(1, n)))
        g = for_positive(ex.substitute(f, {symbol: root}), t)
        g = for_positive(g * ex.power(target, ex.number(Fraction(1, n) - 1)) / n, t)
        if not any(
            ex.is_radical(node) and node.args[0] is target
            for node in ex.subtrees(g)
        ):  # fmt: skip
            yield proposed(f"substitution t = x**{n}", g, t, symbol**n)


def by_parts(f: Expr, x: str) -> Iterator[tuple[str, Expr, Expr]]:
    """Integration by parts: (name, L, g) with f = L g, where g is integrated and L
    differentiated."""
    factors = f.args if f.op == "mul" else (f,)
    for factor in factors:
        base = factor.args[0] if factor.op == "pow" and factor.args[1].op == "num" else factor
        if factor.op == "pow" and not (base is not factor and factor.args[1].value > 0):
            continue
        if base.op in _DIFFERENTIATED and x in base.free:
            yield f"parts with {base.op}", factor, f / factor
    if f.op != "mul":
        return
    for factor in factors:  # algebraic times exponential or circular
        if factor.op in ("exp", "sin", "cos", "sinh", "cosh") and x in factor.free:
            yield f"parts with {factor.op}", f / factor, factor
