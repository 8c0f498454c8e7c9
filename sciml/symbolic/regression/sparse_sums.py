"""Sums of few monomials and single functions, by sequentially thresholded least squares (SINDy:
Brunton et al. 2016, arXiv:1509.03580).

Least squares over a library of terms, small terms dropped, again and again until all that are left
count. The sums seed the first population of the search (`evolution`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np

from sciml.symbolic.regression.formula import Array, Tree, evaluate

_THRESHOLDS = (1e-7, 1e-3, 0.03, 0.2)
"""A term is dropped whose contribution is below this share of the largest."""


def sparse_sums(
    X: Array, y: Array, unary: Sequence[str], binary: Sequence[str], time_left: Callable[[], float]
) -> list[Tree]:
    """Sums fitted to y, for each library and threshold.

    Args:
        X, y: points [n, columns] and values [n].
        unary, binary: operators allowed.
        time_left: seconds left; where there are none, the libraries that remain are left out.
    """
    if not {"add", "mul"} <= set(binary):
        return []
    width = X.shape[1]
    degree = {1: 6, 2: 4, 3: 3}.get(width, 2 if width < 12 else 1)
    exponents = [
        e for e in itertools.product(range(degree + 1), repeat=width) if 1 <= sum(e) <= degree
    ]
    monomials = [_monomial(e, unary) for e in exponents]
    functions = [[], *([(u, ("x", i)) for i in range(width)] for u in unary)]
    sums: list[Tree] = []
    for terms in functions:
        library = monomials + terms
        with np.errstate(all="ignore"):
            columns = [evaluate(t, X) for t in library]
        usable = [i for i, c in enumerate(columns) if np.isfinite(c).all() and np.ptp(c) > 0]
        if len(usable) + 1 >= len(y) or time_left() < 0:
            continue
        for threshold in _THRESHOLDS:
            tree = _thresholded(y, library, columns, list(usable), threshold)
            if tree is not None:
                sums.append(tree)
    return sums


def _thresholded(
    y: Array, library: list[Tree], columns: list[Array], active: list[int], threshold: float
) -> Tree | None:
    """Algorithm 1 of the paper's supplement on the active terms; None where no term is left."""
    while active:
        matrix = np.stack([columns[i] for i in active] + [np.ones(len(y))], 1)
        coefficients = np.linalg.lstsq(matrix, y, rcond=None)[0][:-1]
        size = np.abs(coefficients) * np.array([np.std(columns[i]) for i in active])
        small = size < threshold * size.max()
        if not small.any():
            break
        active = [i for i, drop in zip(active, small, strict=True) if not drop]
    if not active:
        return None
    tree: Tree | None = None
    for i, value in zip(active, coefficients, strict=True):
        value = simple_fraction(float(value))
        term = library[i] if value == 1.0 else ("mul", ("c", value), library[i])
        tree = term if tree is None else ("add", tree, term)
    return tree


def simple_fraction(value: float) -> float:
    """The nearest fraction with a denominator of at most 60, where that is within rounding."""
    near = float(Fraction(value).limit_denominator(60))
    return near if abs(near - value) < 1e-7 * max(1.0, abs(value)) else value


def _monomial(exponents: tuple[int, ...], unary: Sequence[str]) -> Tree:
    out: Tree | None = None
    for i, exponent in enumerate(exponents):
        if exponent:
            factor = _power(("x", i), exponent, unary)
            out = factor if out is None else ("mul", out, factor)
    return out or ("c", 1.0)


def _power(x: Tree, exponent: int, unary: Sequence[str]) -> Tree:
    """x to an integer power in as few nodes as squares allow."""
    if exponent == 1:
        return x
    if exponent % 2 == 0 and "square" in unary:
        return ("square", _power(x, exponent // 2, unary))
    return ("mul", x, _power(x, exponent - 1, unary))
