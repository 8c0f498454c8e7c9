"""Substitutions and integration by parts: how a textbook turns one integral into another.

Every rule only proposes: `substitutions` yields an integrand in a new variable and what that
variable stands for, `parts` yields two factors. The search in `solve` integrates what is proposed,
goes back and verifies, so that a rule may assume what holds on one branch only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from sciml.symbolic.algebra.prepare import rational_ratio
from sciml.symbolic.algebra.rewriting import INVERSES, ex_expand, invert, smooth, together
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr

_PARTS = ("log", "asin", "acos", "atan", "asinh", "acosh", "atanh", "acot", "asec", "acsc",
          "acoth", "asech", "acsch", "erf", "erfi", "Ei", "Si", "Ci", "dilog", "li")  # fmt: skip
_TRIG = ("sin", "cos", "tan", "cot", "sec", "csc")
_HYPERBOLIC = ("sinh", "cosh", "tanh", "coth", "sech", "csch")
MAX_SIZE = 1500


@dataclass(frozen=True)
class Substitution:
    """`integrand` dt equals the problem's f dx when t stands for `stands_for`."""

    name: str
    integrand: Expr
    variable: str
    stands_for: Expr


def _fresh(x: str, depth: int) -> str:
    return f"t{depth}"


def _make(name: str, g: Expr, t: str, back: Expr) -> Substitution | None:
    g = smooth(g, t)
    if ex.size(g) > MAX_SIZE:
        return None
    return Substitution(name, g, t, back)


def substitutions(f: Expr, x: str, depth: int) -> Iterator[Substitution]:
    """Proposals for f dx, the most promising kinds first."""
    t = _fresh(x, depth)
    for rule in (_exponential, _circular, _powers, _euler, _inner, _chebyshev, _two_roots):
        try:
            for found in rule(f, x, t):
                if found is not None and x not in found.integrand.free:
                    yield found
        except (ex.TooLarge, ex.Undefined, ZeroDivisionError):
            continue


def _replace_base(f: Expr, base: Expr, q: int, value: Expr) -> Expr:
    """Replace base ** (k/q) by value ** k, for every k."""
    mapping = {
        node: ex.power(value, ex.number(node.args[1].value * q))
        for node in ex.subtrees(f)
        if node.op == "pow" and node.args[0] is base and node.args[1].op == "num"
        and node.args[1].value.denominator > 1
    }  # fmt: skip
    return ex.substitute(f, mapping)


def _inner(f: Expr, x: str, t: str) -> Iterator[Substitution | None]:
    """t = an inner function that can be inverted: radicals outside in, then exp, log and others."""
    symbol, target = ex.symbol(x), ex.symbol(t)
    found: list[tuple[int, Expr, int, str]] = []
    for node in ex.subtrees(f):
        if x not in node.free or node is symbol:
            continue
        if node.op == "pow" and node.args[1].op == "num" and node.args[1].value.denominator > 1:
            q = node.args[1].value.denominator
            root = ex.power(node.args[0], ex.number(Fraction(1, q)))
            found.append((-ex.size(root), root, q, "radical"))
        elif node.op in INVERSES:
            found.append((ex.size(node), node, 1, node.op))
    done: set[Expr] = set()
    for _, node, q, name in sorted(found, key=lambda item: (item[3] != "radical", item[0])):
        if node in done:
            continue
        done.add(node)
        back = invert(node, x, target)
        if back is None:
            continue
        g = f
        if q > 1:
            g = _replace_base(g, node.args[0], q, target)
        g = ex.substitute(g, {node: target})
        g = smooth(ex.substitute(g, {symbol: back}), t) * back.diff(t)
        if name == "radical" or ex.size(g) <= 2 * ex.size(f) + 10:
            yield _make(f"substitution t = {node}", g, t, node)


def _exponential(f: Expr, x: str, t: str) -> Iterator[Substitution | None]:
    """t = exp(k x), where x occurs only in exponentials and hyperbolic functions of k x."""
    target = ex.symbol(t)
    nodes = [
        n
        for n in ex.subtrees(f)
        if x in n.free and (n.op == "exp" or n.op in _HYPERBOLIC) and _linear(n.args[0], x)
    ]
    if not nodes:
        return
    unit = _unit([n.args[0] for n in nodes], x)
    if unit is None:
        return
    mapping: dict[Expr, Expr] = {}
    for n in nodes:
        u = n.args[0]
        rest = u - ex.substitute(u, {ex.symbol(x): ex.ZERO})
        k = rational_ratio(rest, unit, x)
        if k is None:
            return
        shift = ex.call("exp", u - rest)
        power = ex.power(target, ex.number(k)) * shift
        mapping[n] = _from_exponential(n.op, power)
    g = ex.substitute(f, mapping)
    slope = unit.diff(x)
    if x not in g.free:
        yield _make("substitution t = exp", g / (target * slope), t, ex.call("exp", unit))


def _from_exponential(name: str, z: Expr) -> Expr:
    over = 1 / z
    if name == "exp":
        return z
    s, c = (z - over) / 2, (z + over) / 2
    square = z * z
    return {"sinh": s, "cosh": c, "tanh": (square - 1) / (square + 1),
            "coth": (square + 1) / (square - 1), "sech": 2 * z / (square + 1),
            "csch": 2 * z / (square - 1)}[name]  # fmt: skip


def _linear(u: Expr, x: str) -> bool:
    slope = u.diff(x)
    return slope is not ex.ZERO and x not in slope.free


def _unit(arguments: list[Expr], x: str) -> Expr | None:
    """The largest u with all arguments (without constants) integer multiples of it."""
    zero = {ex.symbol(x): ex.ZERO}
    rests = [u - ex.substitute(u, zero) for u in arguments]
    ratios = []
    for r in rests:
        k = rational_ratio(r, rests[0], x)
        if k is None:
            return None
        ratios.append(k)
    import math

    bottom = math.lcm(*[k.denominator for k in ratios])
    shared = math.gcd(*[int(k * bottom) for k in ratios])
    return rests[0] * ex.number(Fraction(shared, bottom))


def _circular(f: Expr, x: str, t: str) -> Iterator[Substitution | None]:
    """Bioche's rules t = sin, cos, tan and the half angle, circular and hyperbolic."""
    for names, h in ((_TRIG, ""), (_HYPERBOLIC, "h")):
        nodes = [
            n for n in ex.subtrees(f) if n.op in names and x in n.free and _linear(n.args[0], x)
        ]
        if not nodes:
            continue
        unit = _unit([n.args[0] for n in nodes], x)
        if unit is None:
            continue
        s, c = ex.symbol("_s"), ex.symbol("_c")
        mapping = by_sine_cosine(nodes, unit, x, s, c, h)
        if mapping is None:
            continue
        g = ex.substitute(f, mapping)
        if x in g.free:
            continue
        yield from _bioche(g, unit, unit.diff(x), t, h)


def circular_unit(nodes: list[Expr], x: str) -> Expr | None:
    """The u of whose multiples every function is circular; None where there are others."""
    if not all(n.op in _TRIG and _linear(n.args[0], x) for n in nodes):
        return None
    return _unit([n.args[0] for n in nodes], x)


def by_sine_cosine(
    nodes: list[Expr], unit: Expr, x: str, s: Expr, c: Expr, h: str
) -> dict[Expr, Expr] | None:
    """Every function in `nodes` by the symbols s and c for sine and cosine of `unit`."""
    sign = -1 if h else 1
    out = {}
    for n in nodes:
        u = n.args[0]
        rest = u - ex.substitute(u, {ex.symbol(x): ex.ZERO})
        k = rational_ratio(rest, unit, x)
        if k is None or k.denominator != 1 or abs(k) > 8:
            return None
        a, b = s, c
        for _ in range(abs(int(k)) - 1):
            a, b = ex_expand(a * c + b * s), ex_expand(b * c - sign * a * s)
        if k < 0:
            a = -a
        shift = u - rest
        if shift is not ex.ZERO:
            ss, cc = ex.call("sin" + h, shift), ex.call("cos" + h, shift)
            a, b = a * cc + b * ss, b * cc - sign * a * ss
        kind = n.op[: len(n.op) - len(h)] if h else n.op
        out[n] = {"sin": a, "cos": b, "tan": a / b, "cot": b / a, "sec": 1 / b, "csc": 1 / a}[kind]
    return out


def _bioche(g: Expr, unit: Expr, slope: Expr, t: str, h: str) -> Iterator[Substitution | None]:
    s, c, w = ex.symbol("_s"), ex.symbol("_c"), ex.symbol(t)
    one = 1 + w**2 if h else 1 - w**2
    other = w**2 - 1 if h else 1 - w**2
    back = {name: ex.call(name + h, unit) for name in ("sin", "cos", "tan")}
    below = 1 - w**2 if h else 1 + w**2
    half = ex.call("tan" + h, unit / 2)
    tries = [
        ("sin", {s: w, c: ex.sqrt(one)}, 1 / ex.sqrt(one), ex.sqrt(one), back["sin"]),
        ("cos", {c: w, s: ex.sqrt(other)}, (1 if h else -1) / ex.sqrt(other), ex.sqrt(other),
         back["cos"]),
        ("tan", {s: w / ex.sqrt(below), c: 1 / ex.sqrt(below)}, 1 / below, ex.sqrt(below),
         back["tan"]),
    ]  # fmt: skip
    for name, values, dx, root, stands in tries:
        out = ex.substitute(g, values) * dx
        bad = any(
            n.op == "pow" and n.args[0] is root.args[0] and n.args[1].value.denominator > 1
            for n in ex.subtrees(out)
            if n.op == "pow" and n.args[1].op == "num"
        ) if root.op == "pow" else False  # fmt: skip
        if not bad:
            yield _make(f"substitution t = {name}{h}", out / slope, t, stands)
    out = ex.substitute(g, {s: 2 * w / below, c: (1 + w**2 if h else 1 - w**2) / below})
    yield _make("half-angle substitution", out * 2 / (below * slope), t, half)


def _powers(f: Expr, x: str, t: str) -> Iterator[Substitution | None]:
    """t = x**n where only powers of x**n are left after dx = t**(1/n - 1)/n dt."""
    import math

    symbol, target = ex.symbol(x), ex.symbol(t)
    exponents = {
        node.args[1].value
        for node in ex.subtrees(f)
        if node.op == "pow" and node.args[0] is symbol and node.args[1].op == "num"
    }
    if not exponents:
        return
    bottom = math.lcm(*[e.denominator for e in exponents])
    if bottom > 1:
        over = Fraction(1, bottom)
        g = ex.substitute(f, {symbol: ex.power(target, ex.number(bottom))})
        yield _make(
            "substitution t = root of x", smooth(g, t) * bottom * target ** (bottom - 1), t,
            ex.power(symbol, ex.number(over)),
        )  # fmt: skip
        return
    whole = {abs(int(e)) for e in exponents}
    shared = {math.gcd(a, b) for a in whole for b in whole} | whole
    shared |= {k // 2 for k in whole if k % 2 == 0}
    for n in sorted((k for k in shared if k > 1), reverse=True):
        root = ex.power(target, ex.number(Fraction(1, n)))
        g = smooth(ex.substitute(f, {symbol: root}), t)
        g = smooth(g * ex.power(target, ex.number(Fraction(1, n) - 1)) / n, t)
        if not any(
            node.op == "pow" and node.args[0] is target and node.args[1].op == "num"
            and node.args[1].value.denominator > 1
            for node in ex.subtrees(g)
        ):  # fmt: skip
            yield _make(f"substitution t = x**{n}", g, t, symbol**n)


def _quadratic(u: Expr, x: str) -> tuple[Expr, Expr, Expr] | None:
    """(a, b, c) of a quadratic polynomial in x."""
    second = u.diff(x).diff(x)
    if x in second.free or second is ex.ZERO:
        second = ex_expand(u).diff(x).diff(x)
        if x in second.free or second is ex.ZERO:
            return None
    zero = {ex.symbol(x): ex.ZERO}
    return second / 2, ex.substitute(u.diff(x), zero), ex.substitute(u, zero)


def _euler(f: Expr, x: str, t: str) -> Iterator[Substitution | None]:
    """Euler's substitutions for the square root of a quadratic polynomial."""
    symbol, w = ex.symbol(x), ex.symbol(t)
    bases = {
        n.args[0]
        for n in ex.subtrees(f)
        if n.op == "pow" and x in n.args[0].free and n.args[1].op == "num"
        and n.args[1].value.denominator == 2
    }  # fmt: skip
    for base in sorted(bases, key=lambda e: e.key):
        found = _quadratic(base, x)
        if found is None:
            continue
        a, b, c = found
        ways: list[tuple[Expr, Expr, Expr]] = []  # x(t), root(t), t(x)
        radical = ex.sqrt(base)
        if not (a.op == "num" and a.value < 0):
            ra = ex.sqrt(a)
            xt = (w**2 - c) / (b + 2 * ra * w)
            ways.append((xt, w - ra * xt, radical + ra * symbol))
        if c.op == "num" and c.value > 0:
            rc = ex.sqrt(c)
            xt = (2 * rc * w - b) / (a - w**2)
            ways.append((xt, xt * w + rc, (radical - rc) / symbol))
        discriminant = b**2 - 4 * a * c
        if discriminant.op == "num" and discriminant.value > 0:
            r1 = (-b + ex.sqrt(discriminant)) / (2 * a)
            r2 = (-b - ex.sqrt(discriminant)) / (2 * a)
            xt = (a * r2 - r1 * w**2) / (a - w**2)
            ways.append((xt, (xt - r1) * w, radical / (symbol - r1)))
        ways.sort(key=lambda way: _irrationals(way[0]))
        for xt, root, stands in ways[:2]:
            root = together(root)
            g = _replace_base(f, base, 2, root)
            g = smooth(ex.substitute(g, {symbol: together(xt)}), t)
            yield _make("Euler substitution", g * together(xt.diff(t)), t, stands)


def _irrationals(e: Expr) -> int:
    return sum(1 for n in ex.subtrees(e) if n.op == "pow" and not n.free)


def _chebyshev(f: Expr, x: str, t: str) -> Iterator[Substitution | None]:
    """(a + b x**n)**(p/n): t**n = a x**-n + b makes the radical t x."""
    symbol, w = ex.symbol(x), ex.symbol(t)
    for node in ex.subtrees(f):
        if node.op != "pow" or x not in node.args[0].free or node.args[1].op != "num":
            continue
        q, base = node.args[1].value.denominator, node.args[0]
        if q < 2 or base.op != "add" or len(base.args) != 2:
            continue
        a, rest = base.args
        b = rest / symbol**q
        if x in a.free or x in b.free:
            continue
        xt = ex.power(a / (w**q - b), ex.number(Fraction(1, q)))
        g = _replace_base(f, base, q, w * symbol)
        g = ex.substitute(g, {symbol: xt}) * xt.diff(t)
        yield _make("Chebyshev substitution", together(smooth(g, t)), t,
                    ex.power(base, ex.number(Fraction(1, q))) / symbol)  # fmt: skip


def _two_roots(f: Expr, x: str, t: str) -> Iterator[Substitution | None]:
    """sqrt(u) and sqrt(v) of linear u, v: t = sqrt(u) leaves one quadratic root."""
    symbol, w = ex.symbol(x), ex.symbol(t)
    bases = [
        n.args[0]
        for n in ex.subtrees(f)
        if n.op == "pow" and n.args[1].op == "num" and n.args[1].value.denominator == 2
        and _linear(n.args[0], x)
    ]  # fmt: skip
    for base in dict.fromkeys(bases):
        slope = base.diff(x)
        xt = (w**2 - ex.substitute(base, {symbol: ex.ZERO})) / slope
        g = ex.substitute(_replace_base(f, base, 2, w), {symbol: xt}) * 2 * w / slope
        yield _make("substitution of a linear root", g, t, ex.sqrt(base))


def parts(f: Expr, x: str) -> Iterator[tuple[str, Expr, Expr]]:
    """(name, L, g) with f = L g: integrate g, differentiate L."""
    factors = f.args if f.op == "mul" else (f,)
    for factor in factors:
        base = factor.args[0] if factor.op == "pow" and factor.args[1].op == "num" else factor
        if factor.op == "pow" and not (base is not factor and factor.args[1].value > 0):
            continue
        if base.op in _PARTS and x in base.free:
            yield f"parts with {base.op}", factor, f / factor
    if f.op != "mul":
        return
    for factor in factors:  # algebraic times exponential or circular
        if factor.op in ("exp", "sin", "cos", "sinh", "cosh") and x in factor.free:
            yield f"parts with {factor.op}", f / factor, factor
