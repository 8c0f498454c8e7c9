"""Rewriting of expressions: over one denominator, expanded, solved for a symbol, inverse functions
cancelled, simplified for a positive variable."""

from __future__ import annotations

from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr

INVERSES = {
    "exp": "log", "log": "exp", "asin": "sin", "acos": "cos", "atan": "tan", "asinh": "sinh",
    "acosh": "cosh", "atanh": "tanh", "tan": "atan", "tanh": "atanh", "sinh": "asinh",
    "sin": "asin", "cos": "acos", "cosh": "acosh",
}  # fmt: skip

_COLLAPSING = ("asin", "acos", "atan", "asinh", "acosh", "atanh")


def cancel_inverses(e: Expr) -> Expr:
    """cos(acos(u)) = u, sin(acos(u)) = sqrt(1 - u**2) and the like, for every complex u."""
    memo: dict[Expr, Expr] = {}
    for node in ex.subtrees(e):
        args = tuple(memo[a] for a in node.args)
        out = node if args == node.args else ex.rebuild(node, args)
        inner = out.args[0] if len(out.args) == 1 else out
        if inner is not out and inner.op in _COLLAPSING:
            u = inner.args[0]
            if INVERSES[inner.op] == out.op:
                out = u
            elif (out.op, inner.op) in (("sin", "acos"), ("cos", "asin")):
                out = ex.sqrt(1 - u**2)
            elif (out.op, inner.op) == ("cosh", "asinh"):
                out = ex.sqrt(1 + u**2)
            elif inner.op == "atan" and out.op in ("sin", "cos"):
                out = (u if out.op == "sin" else ex.ONE) / ex.sqrt(1 + u**2)
        elif out.op in ("sin", "cos", "tan"):
            out = _of_half_angle(out)
        memo[node] = out
    return memo[e]


def without_inverse_exponents(e: Expr, x: str | None = None) -> Expr:
    """exp(n atanh(u)) as (1 + u)**(n/2) (1 - u)**(-n/2), and the same of acoth and of i atan, where
    it depends on x (None: everywhere). These are the powers of the logarithms by which the
    functions are defined."""
    mapping = {}
    for node in ex.subtrees(e):
        if node.op != "exp" or x is not None and x not in node.free:
            continue
        outside, rest = [], []
        for term in node.args[0].args if node.args[0].op == "add" else (node.args[0],):
            factors = term.args if term.op == "mul" else (term,)
            inverse = [a for a in factors if a.op in ("atanh", "acoth", "atan", "acot")]
            n = ex.mul([a for a in factors if a not in inverse])
            if len(inverse) != 1 or x is not None and x in n.free:
                rest.append(term)
                continue
            u = inverse[0].args[0]
            u = 1 / u if inverse[0].op in ("acoth", "acot") else u
            if inverse[0].op in ("atan", "acot"):  # atan(u) = -i atanh(i u)
                u, n = ex.I * u, -ex.I * n
            outside += [ex.power(1 + u, n / 2), ex.power(1 - u, -n / 2)]
        if outside:
            mapping[node] = ex.mul([ex.call("exp", ex.add(rest)), *outside])
    return ex.substitute(e, mapping) if mapping else e


def _of_half_angle(e: Expr) -> Expr:
    """sin, cos and tan of asin(u)/2 and acos(u)/2, which lie where the roots are principal."""
    coefficient, angle = ex.split_coefficient(e.args[0])
    if coefficient != ex.HALF.value or angle.op not in ("asin", "acos"):
        return e
    u = angle.args[0]
    cosine = u if angle.op == "acos" else ex.sqrt(1 - u**2)
    if e.op == "cos":
        return ex.sqrt((1 + cosine) / 2)
    if angle.op == "acos":
        return ex.sqrt((1 - u) / 2) if e.op == "sin" else ex.sqrt(1 - u) / ex.sqrt(1 + u)
    return u / (ex.sqrt(2 + 2 * cosine) if e.op == "sin" else 1 + cosine)


def for_positive(e: Expr, t: str) -> Expr:
    """`e` simplified for a positive t: (t**2)**(1/2) = t, log(t**k) = k log(t)."""
    memo: dict[Expr, Expr] = {}
    for node in ex.subtrees(e):
        args = tuple(memo[a] for a in node.args)
        out = node if args == node.args else ex.rebuild(node, args)
        if t in out.free:
            if out.op == "pow" and out.args[1].op == "num":
                out = _power_for_positive(out.args[0], out.args[1], t)
            elif out.op == "log":
                u = out.args[0]
                if u.op == "exp":
                    out = u.args[0]
                elif u.op == "pow" and u.args[0] is ex.symbol(t):
                    out = u.args[1] * ex.call("log", u.args[0])
            elif out.op == "abs" and out.args[0] is ex.symbol(t):
                out = out.args[0]
        memo[node] = out
    return memo[e]


def _power_for_positive(base: Expr, exponent: Expr, t: str) -> Expr:
    if exponent.value.denominator > 1:
        if base.op == "pow" and base.args[1].op == "num":
            return ex.power(base.args[0], base.args[1] * exponent)
        if base.op == "exp":
            return ex.call("exp", base.args[0] * exponent)
        if base.op == "mul":
            return ex.mul([_power_for_positive(f, exponent, t) for f in base.args])
        if base.op == "add":
            joined = together(base)
            if joined.op == "mul":
                return ex.mul([_power_for_positive(f, exponent, t) for f in joined.args])
            if joined.op == "pow":
                return _power_for_positive(joined, exponent, t)
    return ex.power(base, exponent)


def together(e: Expr) -> Expr:
    """A sum of fractions over one denominator, in lowest terms and factored; `e` itself where it
    is too large."""
    from sciml.symbolic.algebra.field import Failure, Quotient, factor
    from sciml.symbolic.algebra.tower import Tower

    names = sorted(e.free)
    if not names or ex.size(e) > 300:
        return e
    try:
        tower = Tower(names[0])
        q: Quotient = tower.convert(e)
        out = ex.ONE
        for p, side in ((tower.reduce(q.n), 1), (tower.reduce(q.d), -1)):
            content, factors = factor(p)
            out = out * ex.number(int(content)) ** side
            for g, k in factors:
                out = out * tower.poly_expr(g) ** (int(k) * side)
        return out
    except (Failure, ex.TooLarge, ex.Undefined, RecursionError):
        return e


def invert(e: Expr, x: str, target: Expr) -> Expr | None:
    """x from e(x) = target, where x occurs once and every function round it has an inverse; else
    None."""
    while not (e.op == "sym" and e.value == x):
        inside = [a for a in e.args if x in a.free]
        if len(inside) != 1:
            return None
        (u,) = inside
        if e.op == "add":
            target = target - ex.add([a for a in e.args if a is not u])
        elif e.op == "mul":
            target = target / ex.mul([a for a in e.args if a is not u])
        elif e.op == "pow" and u is e.args[0]:
            if e.args[1].op != "num":
                return None
            target = ex.power(target, ex.number(1 / e.args[1].value))
        elif e.op == "pow":
            target = ex.call("log", target) / ex.call("log", e.args[0])
        elif e.op in INVERSES:
            target = ex.call(INVERSES[e.op], target)
        elif e.op == "LambertW" and len(e.args) == 1:
            target = target * ex.call("exp", target)
        else:
            return None
        e = u
    return target


def expand(e: Expr) -> Expr:
    """Products of sums multiplied out."""
    if e.op == "add":
        return ex.add([expand(a) for a in e.args])
    if e.op == "pow" and e.args[0].op == "add" and e.args[1].op == "num":
        n = e.args[1].value
        if n.denominator == 1 and 2 <= n <= 6:
            out = e.args[0]
            for _ in range(int(n) - 1):
                out = _times(out, e.args[0])
            return out
        return e
    if e.op == "mul":
        out = ex.ONE
        for a in e.args:
            out = _times(out, expand(a))
        return out
    return e


def _times(a: Expr, b: Expr) -> Expr:
    left = a.args if a.op == "add" else (a,)
    right = b.args if b.op == "add" else (b,)
    if len(left) * len(right) > 400:
        return a * b
    return ex.add([p * q for p in left for q in right])
