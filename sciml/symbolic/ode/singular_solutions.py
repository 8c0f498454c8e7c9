"""Candidates for solutions outside the general solution: its other branches, singular solutions.

Branches come from inverting even powers, cosines and the like (y**2 = 2 c - x**2 has two), and from
equations with several values of y'. Singular solutions are searched where the family has an
envelope (dY/dc = 0, or the p-discriminant), for infinite constants, and where y' vanishes, is not
unique or was divided by. `checking` decides whether a candidate is a solution, `is_covered` whether
the family contains it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from sciml.symbolic.algebra.rewriting import together
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.evaluate import Program
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.integration.search import ERRORS
from sciml.symbolic.ode.tools import C1, Context, numerator, solve_for, tidy

_MAX_FLIPS = 3
_MAX_CONSTANT = 1e4
"""A larger constant counts as infinite: its solution does not belong to the family."""


def conjugates(Y: Expr) -> Iterator[Expr]:
    """Y with other values of its multivalued functions: roots, logarithms, inverse functions."""
    flips: dict[tuple[str, Expr], dict[Expr, Expr]] = {}
    for n in ex.subtrees(Y):
        if not n.free:
            continue
        if ex.is_radical(n):
            flips.setdefault(("root", n.args[0]), {})[n] = n
        elif n.op in ("acos", "acosh", "abs"):
            flips[n.op, n] = {n: -n}
        elif n.op == "asin":
            flips[n.op, n] = {n: ex.PI - n}
        elif n.op == "log":
            flips[n.op, n] = {n: ex.call("log", -n.args[0])}
    for (kind, base), nodes in flips.items():
        if kind != "root":
            continue
        q = int(np.lcm.reduce([n.args[1].value.denominator for n in nodes]))
        for n in nodes:
            e = n.args[1].value
            times = int(e * q)
            sign = ex.MINUS if times % 2 else ex.ONE
            nodes[n] = sign * n if q % 2 == 0 else sign * ex.power(-base, n.args[1])
    flippable = list(flips.values())[:_MAX_FLIPS]
    for count in range(1, len(flippable) + 1):
        for some in itertools.combinations(flippable, count):
            mapping = {k: v for nodes in some for k, v in nodes.items()}
            try:
                conjugate = ex.substitute(Y, mapping)
            except ERRORS:
                continue
            if conjugate is not Y:
                yield conjugate


def is_covered(Y: Expr, Z: Expr, x: str, constants: list[str]) -> bool:
    """Whether Z equals Y for some finite values of its constants of integration, by a numerical
    fit."""
    from scipy.optimize import least_squares

    rng = np.random.default_rng(3)
    others = sorted((Y.free | Z.free) - {x, *constants})
    family, single = Program(Y), Program(Z)
    hits = tried = 0
    for _ in range(4):
        fixed = {n: complex(rng.uniform(0.4, 2.4)) for n in others}
        own = {n: complex(rng.uniform(-2.4, 2.4)) for n in constants}
        points = np.sort(np.concatenate([rng.uniform(-3, 3, 60), rng.uniform(0.1, 2, 20)]))
        z = np.broadcast_to(single.complex({**fixed, **own, x: points})[0], points.shape)
        valid = np.isfinite(z) & (np.abs(z.imag) < 1e-9) & (np.abs(z) < 1e3)
        if valid.sum() < 6:
            continue
        if hits < tried:
            return False
        tried += 1
        sample = points[valid][:: max(1, int(valid.sum()) // 6)]
        target = z[valid].real[:: max(1, int(valid.sum()) // 6)]

        def residuals(c: np.ndarray, sample: np.ndarray = sample, target: np.ndarray = target,
                      fixed: dict[str, complex] = fixed) -> np.ndarray:  # fmt: skip
            values = {**fixed, **dict(zip(constants, c.astype(complex), strict=True)), x: sample}
            out = np.broadcast_to(family.complex(values)[0], sample.shape) - target
            out = np.concatenate([out.real, out.imag])
            return np.clip(np.where(np.isfinite(out), out, 1e6), -1e6, 1e6)

        scale = 1e-9 * (1 + np.abs(target).max())
        if not constants:
            hits += bool(np.abs(residuals(np.zeros(0))).max() < scale * 10)
            continue
        for start in (0.0, 0.5, -0.5, 2.0, -2.0, 8.0, -8.0, 0.1):
            first = np.full(len(constants), start) + rng.normal(0, 0.01, len(constants))
            try:
                fit = least_squares(
                    residuals, first, xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=60
                )
            except ValueError:
                continue
            c = fit.x
            if np.abs(fit.fun).max() < scale * 10 and np.abs(c).max() < _MAX_CONSTANT:
                # If the family hardly depends on the constant, the fit tends to infinity.
                if np.abs(residuals(c + 0.1 + 0.1 * np.abs(c))).max() > 1e-5:
                    hits += 1
                    break
    return tried > 0 and hits == tried


def is_repeated(Z: Expr, solutions: list[Expr], x: str) -> bool:
    """Whether Z equals one of the solutions where it is real, numerically."""
    return any(is_covered(Y, Z, x, []) for Y in solutions)


def _zeros(e: Expr, y: Expr) -> Iterator[Expr]:
    """The solutions y of e = 0, factor by factor; for circular functions those next to 0."""
    for form in dict.fromkeys((e, together(e))):
        for f in form.args if form.op == "mul" else (form,):
            if y.value not in f.free:
                continue
            if f.op == "pow":
                if f.args[1].op != "num" or f.args[1].value > 0:
                    yield from _zeros(f.args[0], y)
            elif f.op == "log":
                yield from _zeros(f.args[0] - 1, y)
                yield from _zeros(f.args[0] + 1, y)  # log(u**2) may have been written 2 log(u)
            elif f.op in _ZEROS:
                for zero in _ZEROS[f.op]:
                    yield from _zeros(f.args[0] - zero, y)
            elif f.op != "exp":
                try:
                    solutions = solve_for(f, y, ex.ZERO)
                    yield from solutions
                    squared = _squared(f, y) if not solutions else None
                    if squared is not None:
                        yield from _zeros(squared, y)
                except ERRORS:
                    continue


def _squared(e: Expr, y: Expr) -> Expr | None:
    """a**2 - b**2 u for e = a + b sqrt(u) with one square root that depends on y; else None."""
    bases = {n.args[0] for n in ex.subtrees(e) if n.op == "pow" and n.args[1].op == "num"
             and n.args[1].value.denominator == 2 and y.value in n.args[0].free}  # fmt: skip
    if len(bases) != 1:
        return None
    (u,) = bases
    s = ex.symbol("_s")
    mapping = {n: ex.power(s, n.args[1] * 2) for n in ex.subtrees(e)
               if n.op == "pow" and n.args[0] is u and n.args[1].op == "num"}  # fmt: skip
    equation = numerator(tidy(ex.substitute(e, mapping)))
    b = equation.diff("_s")
    if "_s" in b.free:
        return None
    return tidy(ex.substitute(equation, {s: ex.ZERO}) ** 2 - b**2 * u)


def tidy_roots(Z: Expr) -> Expr:
    """Z with every radicand as one cancelled fraction."""
    memo: dict[Expr, Expr] = {}
    for n in ex.subtrees(Z):
        args = tuple(memo[a] for a in n.args)
        out = n if args == n.args else ex.rebuild(n, args)
        if ex.is_radical(out):
            out = ex.power(tidy(out.args[0]), out.args[1])
        memo[n] = out
    return memo[Z]


def plain_number(Z: Expr) -> Expr:
    """A constant as a rational number or rational multiple of pi, if it equals one numerically:
    acos(-1) becomes pi. Like every candidate it is checked later."""
    if Z.free or Z.op == "num":
        return Z
    value = complex(Program(Z).complex({})[0])
    if not np.isfinite(value):
        return Z
    for unit, e in ((np.pi, ex.PI), (1.0, ex.ONE)):
        near = Fraction(value.real / unit).limit_denominator(60)
        if abs(value - float(near) * unit) < 1e-13 * (1 + abs(value)):
            return ex.number(near) * e
    return Z


_ZEROS = {
    **dict.fromkeys(("abs", "sign", "sinh", "asinh", "tanh", "atanh", "asin", "atan", "erf"),
                    (ex.ZERO,)),
    "sin": (ex.ZERO, ex.PI), "tan": (ex.ZERO, ex.PI), "cos": (ex.PI / 2, -ex.PI / 2),
    "acos": (ex.ONE,),
}  # fmt: skip


def has_periodic_zeros(residual: Expr, y: str) -> bool:
    """Whether the equation contains circular functions of y, whose zeros repeat periodically."""
    return any(n.op in ("sin", "cos", "tan", "cot", "sec", "csc") and y in n.free
               for n in ex.subtrees(residual))  # fmt: skip


def _poles(G: Expr) -> Iterator[Expr]:
    """Expressions that vanish where G is infinite."""
    for n in ex.subtrees(G):
        if n.op == "log":
            yield n.args[0]
            yield together(n.args[0])
            inner = together(n.args[0])
            for f in inner.args if inner.op == "mul" else (inner,):
                if ex.is_negative_power(f):
                    yield f.args[0]
        elif ex.is_negative_power(n):
            yield n.args[0]
        elif n.op == "atanh":
            yield 1 - n.args[0] ** 2


def singular_candidates(
    residual: Expr, forms: list[Expr], solution: tuple[str, Expr] | None, c: Context
) -> Iterator[Expr]:
    """Functions of x that may solve the first-order equation but not belong to its general
    solution; `solution` is its (kind, expression)."""
    y, p = c.sy, ex.symbol(c.y + "'")
    makers = [
        lambda: _constants_and_curves(residual, forms, y, p),
        lambda: _envelopes(residual, solution, y, p),
        lambda: _lines_through_origin(residual, c, p),
        lambda: _for_infinite_constant(solution),
    ]
    for make in makers:
        candidates = make()
        while True:
            try:
                yield next(candidates)
            except StopIteration:
                break
            except ERRORS:
                break


def _constants_and_curves(residual: Expr, forms: list[Expr], y: Expr, p: Expr) -> Iterator[Expr]:
    """Curves on which y' = 0 solves the equation, or a root or logarithm of y ends."""
    for e in [*forms, *_substituted(residual, {p: ex.ZERO})]:
        yield from _zeros(e, y)
    for n in ex.subtrees(residual):  # where a radicand vanishes, y' may not be unique
        if y.value in n.free and ex.is_radical(n) and p.value not in n.args[0].free:
            yield from _zeros(n.args[0], y)


def _substituted(e: Expr, mapping: dict[Expr, Expr]) -> list[Expr]:
    try:
        return [ex.substitute(e, mapping)]
    except ERRORS:
        return []


def _envelopes(
    residual: Expr, solution: tuple[str, Expr] | None, y: Expr, p: Expr
) -> Iterator[Expr]:
    """Envelopes, from the family and from the equation (its p-discriminant)."""
    if solution is not None and solution[0] == "explicit":
        Y = solution[1]
        for form in dict.fromkeys((Y.diff("c1"), tidy(Y.diff("c1")))):
            for root in _zeros(form, C1):
                yield ex.substitute(Y, {C1: root})
    elif solution is not None:
        for u in _poles(solution[1]):
            yield from _zeros(u, y)
    slope_derivative = tidy(residual.diff(p.value))
    if p.value in slope_derivative.free:
        for slope in solve_for(slope_derivative, p, ex.ZERO):
            for rest in _substituted(residual, {p: slope}):
                yield from _zeros(rest, y)


def _lines_through_origin(residual: Expr, c: Context, p: Expr) -> Iterator[Expr]:
    """Lines y = v x, which are lost when the equation is divided by the derivative of y/x."""
    v = ex.symbol("_v")
    rest = tidy(ex.substitute(residual, {c.sy: v * c.sx, p: v}))
    for f in rest.args if rest.op == "mul" else (rest,):
        f = f.args[0] if f.op == "pow" else f
        if c.x not in f.free and "_v" in f.free:
            for root in _zeros(f, v):
                yield root * c.sx


def _for_infinite_constant(solution: tuple[str, Expr] | None) -> Iterator[Expr]:
    """The members of the family for an infinite constant and for the constant zero."""
    if solution is None or solution[0] != "explicit":
        return
    t = ex.symbol("_t")
    in_inverse = tidy(ex.substitute(solution[1], {C1: 1 / t}))
    yield ex.substitute(in_inverse, {t: ex.ZERO})
    yield ex.substitute(tidy(solution[1]), {C1: ex.ZERO})


def no_slopes(y: str) -> dict[Expr, Expr]:
    """The derivatives of a constant function, as a substitution."""
    return {ex.symbol(y + "'"): ex.ZERO, ex.symbol(y + "''"): ex.ZERO}


def constant_solutions(residual: Expr, forms: list[Expr], c: Context) -> Iterator[Expr]:
    """Constants that may solve a second-order equation."""
    for e in [residual, *forms]:
        for rest in _substituted(e, no_slopes(c.y)):
            try:
                yield from _zeros(rest, c.sy)
            except ERRORS:
                continue


def is_function_of_x(e: Expr, y: str, constants: list[str]) -> bool:
    """Whether a candidate depends on x and constants of the equation only, and is short."""
    return not any(n.startswith("_") or n.rstrip("'") == y or n in constants for n in e.free) and (
        ex.size(e) < 200
    )
