"""Formulas from a dictionary of terms: all pairs of 900 small terms at once, and power laws.

A formula is often one or two simple terms, or their reciprocal, root or exponential. For all pairs
of dictionary terms the least squares fit of a + b f + c g to the values (or to their reciprocals,
squares, logarithms) has a closed form in the terms' correlations, so that all are compared in one
matrix expression; the best pairs are then extended by a third term (orthogonal matching pursuit,
Pati et al. 1993). Products of powers are a line in logarithms. The formulas seed the first
population of the search (`evolution`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np

from sciml.symbolic.regression.formula import Array, Tree, evaluate
from sciml.symbolic.regression.sparse_sums import simple_fraction

MAX_TERMS = 900
"""Size of the dictionary."""
_BEST = 6
"""Single terms, and half the pairs, that are proposed for each target."""
_ONE: Tree = ("c", 1.0)


def candidates(X: Array, y: Array, unary: Sequence[str], binary: Sequence[str]) -> list[Tree]:
    """Trees that fit well, to start a search from; of each kind the best first."""
    if not {"add", "mul"} <= set(binary):
        return []
    out = list(_power_law(X, y, unary, binary))
    trees, columns = _dictionary(X, unary, binary)
    for kind, target in _targets(y, unary, binary):
        out += _fits(kind, target, trees, columns)
    return out


def _targets(y: Array, unary: Sequence[str], binary: Sequence[str]) -> Iterator[tuple[str, Array]]:
    """(outer function, z) such that y = z, 1 / z, sqrt(z), exp(z): z is what a sum is fitted to."""
    yield "sum", y
    if "div" in binary and (np.abs(y) > 1e-9 * np.abs(y).max()).all():
        yield "div", 1 / y
    if "sqrt" in unary and (y >= 0).all():
        yield "sqrt", y * y
    if "exp" in unary and (y > 0).all():
        yield "exp", np.log(y)


def _arguments(width: int, unary: Sequence[str], binary: Sequence[str]) -> list[Tree]:
    """Arguments of functions: columns, their squares, sums, differences, products, quotients."""

    def square(t: Tree) -> Tree:
        return ("square", t) if "square" in unary else ("mul", t, t)

    leaves: list[Tree] = [("x", i) for i in range(width)]
    squares = [square(t) for t in leaves]
    out = leaves + squares
    for t, t2 in zip(leaves, squares, strict=True):
        out += [("add", t, _ONE), ("add", t2, _ONE), ("add", t, t2)]
    for a, b in itertools.combinations(range(width), 2):
        out += [("mul", leaves[a], leaves[b]), ("add", leaves[a], leaves[b])]
        if "sub" in binary:
            out += [("sub", leaves[a], leaves[b]), ("sub", squares[a], squares[b])]
        out += [("add", squares[a], squares[b])]
    if "div" in binary:
        out += [("div", leaves[a], leaves[b]) for a, b in itertools.permutations(range(width), 2)]
    return out


def _dictionary(X: Array, unary: Sequence[str], binary: Sequence[str]) -> tuple[list[Tree], Array]:
    """Terms and their values [points, terms]; none is constant, no two are proportional."""
    width = X.shape[1]
    inner = _arguments(width, unary, binary)
    single = [u for u in unary if u not in ("square", "neg")]
    atoms = inner + [(u, t) for u in single for t in inner]
    simple = inner[: 2 * width] + [(u, t) for u in single for t in inner[: 2 * width]]
    products = [("mul", a, b) for a, b in itertools.combinations_with_replacement(simple, 2)]
    quotients = [("div", _ONE, t) for t in inner] if "div" in binary else []
    if "div" in binary:
        quotients += [("div", a, b) for a, b in itertools.permutations(simple, 2)]
    trees: list[Tree] = []
    columns: list[Array] = []
    seen: set[tuple[float, ...]] = set()
    with np.errstate(all="ignore"):
        for tree in itertools.chain(atoms, quotients[: 2 * MAX_TERMS], products):
            if len(trees) == MAX_TERMS:
                break
            values = evaluate(tree, X)
            unit = values - values.mean()
            norm = np.linalg.norm(unit)
            if not np.isfinite(norm) or not 1e-9 < norm < 1e9:
                continue
            unit = unit / norm * np.sign(unit[np.argmax(np.abs(unit))])
            key = tuple(np.round(unit, 9)[:12])
            if key not in seen:
                seen.add(key)
                trees.append(tree)
                columns.append(values)
    return trees, np.stack(columns, 1) if columns else np.zeros((len(X), 0))


def _fits(kind: str, target: Array, trees: list[Tree], columns: Array) -> list[Tree]:
    """The best single terms, pairs and triples of the dictionary for one target."""
    centred = target - target.mean()
    norm = np.linalg.norm(centred)
    if not trees or not np.isfinite(norm) or norm < 1e-300:
        return []
    z = centred / norm
    raw, columns = columns, columns - columns.mean(0)
    columns = columns / np.linalg.norm(columns, axis=0)
    correlation = columns.T @ z
    chosen: list[tuple[int, ...]] = [(int(i),) for i in np.argsort(-(correlation**2))[:_BEST]]
    gram = columns.T @ columns
    # R^2 of a pair with correlations a, b to z and g to each other:
    # (a^2 + b^2 - 2 a b g) / (1 - g^2).
    gap = 1 - gram**2
    first, second = correlation[:, None], correlation[None, :]
    r_squared = (first**2 + second**2 - 2 * first * second * gram) / np.maximum(gap, 1e-6)
    r_squared[gap < 1e-6] = -1
    order = np.argpartition(-np.triu(r_squared, 1), 2 * _BEST, axis=None)[: 2 * _BEST]
    order = order[np.argsort(-r_squared.ravel()[order])]
    pairs = [tuple(int(v) for v in divmod(int(k), len(trees))) for k in order]
    chosen += pairs
    for pair in pairs[:_BEST]:  # a third term for the residual of the pair
        basis = np.linalg.qr(columns[:, list(pair)])[0]
        rest = columns - basis @ (basis.T @ columns)
        length = np.maximum(np.linalg.norm(rest, axis=0), 1e-5)
        third = int(np.argmax(np.abs(rest.T @ z) / length))
        if third not in pair:
            chosen.append((*pair, third))
    fitted = (_tree(kind, target, [trees[i] for i in g], raw[:, list(g)]) for g in chosen)
    return [tree for tree in fitted if tree is not None]


def _tree(kind: str, target: Array, terms: list[Tree], columns: Array) -> Tree | None:
    """The best a + b f + c g + ... inside the outer function, up to the scale and offset that
    `formula.with_best_scale` adds."""
    matrix = np.column_stack([columns, np.ones(len(target))])
    values = np.linalg.lstsq(matrix, target, rcond=None)[0]
    lead = values[int(np.argmax(np.abs(values[:-1]) * columns.std(0)))]
    if not np.isfinite(values).all() or abs(lead) < 1e-200 or kind == "sqrt" and lead < 0:
        return None
    if kind != "exp":  # exp(c z) is no multiple of exp(z)
        values = values / lead
    out: Tree | None = None
    for value, term in zip(values, terms, strict=False):
        value = simple_fraction(float(value))
        if value:
            part = term if value == 1.0 else ("mul", ("c", value), term)
            out = part if out is None else ("add", out, part)
    if out is None or kind == "sum":
        return out
    offset = simple_fraction(float(values[-1]))
    if kind != "exp" and abs(offset) > 1e-9:
        out = ("add", ("c", offset), out)
    return ("div", _ONE, out) if kind == "div" else (kind, out)


def _power_law(X: Array, y: Array, unary: Sequence[str], binary: Sequence[str]) -> Iterator[Tree]:
    """A product of powers of the columns, with exponents that are multiples of 1/2, where X and y
    do not change sign."""
    if not (X > 0).all() or not ((y > 0).all() or (y < 0).all()):
        return
    matrix = np.column_stack([np.log(X), np.ones(len(y))])
    exponents = np.linalg.lstsq(matrix, np.log(np.abs(y)), rcond=None)[0][:-1]
    if np.abs(exponents).max() > 6:
        return
    numerator: list[Tree] = []
    denominator: list[Tree] = []
    for i, value in enumerate(exponents):
        exponent = Fraction(round(2 * value), 2)
        if abs(float(exponent) - value) > 0.2:
            return
        side = numerator if exponent > 0 else denominator
        whole, half = divmod(abs(exponent), 1)
        side += [("x", i)] * int(whole)
        if half:
            if "sqrt" not in unary:
                return
            side.append(("sqrt", ("x", i)))
    if denominator and "div" not in binary:
        return
    top = _product(numerator, unary) or _ONE
    bottom = _product(denominator, unary)
    if bottom is not None:
        yield ("div", top, bottom)
    elif numerator:
        yield top


def _product(factors: list[Tree], unary: Sequence[str]) -> Tree | None:
    """The product of the factors, equal neighbours as squares where squares are allowed."""
    out: Tree | None = None
    items = list(factors)
    while items:
        factor = items.pop(0)
        if "square" in unary and items and items[0] == factor:
            items.pop(0)
            factor = ("square", factor)
        out = factor if out is None else ("mul", out, factor)
    return out
