"""Random functions of x: uniform unary-binary trees (Lample & Charton 2020, appendix C), compiled.

Trees with a given number of operators are uniform; leaves are x (75 %) or an integer 1..5 (25 %);
operators are drawn by weight. Every sample has a random stream of its own, seeded by (seed, index),
so that it does not depend on which worker process makes it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sciml.symbolic.generate.arena import A_FLAGS, A_STATE, ERROR, HAS_X, njit
from sciml.symbolic.generate.arena_text import INDEX, T_DIGIT, T_PLUS, T_X, read

MAX_OPERATORS = 15
MAX_INTEGER = 5
UNARY = {
    "sqrt": 4, "pow2": 4, "ln": 4, "exp": 4, "sin": 4, "cos": 4, "tan": 4, "pow3": 2, "pow4": 1,
    "pow5": 1, "asin": 1, "acos": 1, "atan": 1, "sinh": 1, "cosh": 1, "tanh": 1, "asinh": 1,
    "acosh": 1, "atanh": 1,
}  # fmt: skip
BINARY = {"add": 10, "mul": 10, "sub": 3, "div": 5}
_UNARY_TOKENS = np.array([INDEX[name] for name in UNARY], np.int64)
_UNARY_SUM = np.cumsum(np.array(list(UNARY.values()), np.float64)) / sum(UNARY.values())
_BINARY_TOKENS = np.array([INDEX[name] for name in BINARY], np.int64)
_BINARY_SUM = np.cumsum(np.array(list(BINARY.values()), np.float64)) / sum(BINARY.values())


def _counts(operators: int) -> np.ndarray:
    """D(e, n) of the appendix: the trees with n operators that grow from e empty nodes."""
    rows = 2 * operators + 3
    out = np.zeros((rows, operators + 1))
    out[:, 0] = 1.0
    for n in range(1, operators + 1):
        for e in range(1, rows - 1):
            out[e, n] = out[e - 1, n] + out[e, n - 1] + out[e + 1, n - 1]
    return out


COUNTS = _counts(2 * MAX_OPERATORS)


@njit
def uniform(rng: Any) -> float:
    """Uniform in [0, 1): splitmix64."""
    rng[0] += np.uint64(0x9E3779B97F4A7C15)
    z = rng[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return float(z >> np.uint64(11)) / 9007199254740992.0


@njit
def seeded(seed: int, index: int) -> Any:
    """The random stream of one sample."""
    rng = np.zeros(1, np.uint64)
    rng[0] = np.uint64(seed) * np.uint64(0xD1342543DE82EF95) + np.uint64(index) * np.uint64(
        0xAF251AF3B0F025B5
    )
    for _ in range(3):
        uniform(rng)
    return rng


@njit
def below(rng: Any, n: int) -> int:
    """Uniform in 0..n-1."""
    return min(int(uniform(rng) * n), n - 1)


@njit
def tree(rng: Any, operators: int, out: Any) -> int:
    """Write the prefix tokens of a random tree to `out`; returns their number.

    Algorithm 2 of the appendix; leaves are drawn anew until one of them is x.
    """
    shape = np.empty(4 * operators + 4, np.int64)  # token, or -1 for an empty node
    shape[0] = -1
    size, empty, leaves, passed = 1, 1, 1, 0
    for left in range(operators, 0, -1):
        u = uniform(rng) * COUNTS[empty, left]
        skipped = 0
        binary = False
        total = 0.0
        for k in range(2 * empty):
            binary = k >= empty
            skipped = k % empty
            ahead = empty - skipped + (1 if binary else 0)
            total += COUNTS[ahead, left - 1]
            if u < total:
                break
        v = uniform(rng)
        token, j = 0, 0
        if binary:
            while j < 3 and v > _BINARY_SUM[j]:
                j += 1
            token = _BINARY_TOKENS[j]
        else:
            while j < 18 and v > _UNARY_SUM[j]:
                j += 1
            token = _UNARY_TOKENS[j]
        arity = 2 if binary else 1
        passed += skipped
        seen, at = 0, 0
        while True:
            if shape[at] == -1:
                if seen == passed:
                    break
                seen += 1
            at += 1
        for i in range(size - 1, at, -1):
            shape[i + arity] = shape[i]
        shape[at] = token
        for i in range(arity):
            shape[at + 1 + i] = -1
        size += arity
        empty += arity - 1 - skipped
        leaves += arity - 1
    kinds = np.empty(leaves, np.int64)
    while True:
        with_x = False
        for i in range(leaves):
            if uniform(rng) < 0.75:
                kinds[i] = 0
                with_x = True
            else:
                kinds[i] = 1 + below(rng, MAX_INTEGER)
        if with_x:
            break
    n, leaf = 0, 0
    for i in range(size):
        if shape[i] >= 0:
            out[n] = shape[i]
            n += 1
        else:
            if kinds[leaf] == 0:
                out[n] = T_X
                n += 1
            else:
                out[n] = T_PLUS
                out[n + 1] = T_DIGIT + kinds[leaf]
                n += 2
            leaf += 1
    return n


@njit
def operator_count(rng: Any, maximum: int) -> int:
    """3..maximum operators; one time in forty 0..2."""
    if below(rng, 40) == 0:
        return below(rng, 3)
    return 3 + below(rng, maximum - 2)


@njit
def function(a: Any, rng: Any, max_operators: int, tokens: Any) -> int:
    """The node of a random function of x; 1 (the number 0) where it is undefined or constant."""
    n = tree(rng, operator_count(rng, max_operators), tokens)
    e = read(a, tokens, n)
    if a[A_STATE + ERROR] or not a[A_FLAGS + e] & HAS_X:
        return 1
    return e
