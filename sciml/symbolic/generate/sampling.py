"""Random expressions, compiled: uniform unary-binary trees and the pairs made from them.

The distribution is the one of Lample & Charton (ICLR 2020, appendix C): trees with a given number
of operators are uniform; leaves are x (75 %) or an integer 1..5 (25 %); operators are drawn by
weight. Every sample has a random stream of its own, seeded by (seed, index), so that it does not
depend on which worker makes it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sciml.symbolic.generate.arena import (
    A_FLAGS,
    A_KEY,
    A_OP,
    A_STATE,
    ERROR,
    HAS_X,
    NUM,
    add_two,
    begin,
    njit,
)
from sciml.symbolic.generate.arena_calculus import derivative
from sciml.symbolic.generate.arena_products import product, push
from sciml.symbolic.generate.arena_text import (
    INDEX,
    T_DIGIT,
    T_PLUS,
    T_X,
    infix,
    prefix,
    read,
    without_constant,
)

MAX_OPERATORS = 15
MAX_TOKENS = 510
MAX_INTEGER = 5
FULL_LENGTH, THINNING = 26.0, 1.6
FORWARD_LENGTH, FORWARD_THINNING = 17.0, 3.0
FORWARD_LONGEST = 40
"""A random function of n tokens is kept with probability (n / FULL_LENGTH) ** THINNING, one to be
integrated with the other two: the published sets have had their duplicates removed over 10**7
samples and more, which thins the short ones out; this gives a file of any size the same lengths."""
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


def _counts(most: int) -> np.ndarray:
    """counts[e, n]: trees with n operators still to come that grow from e empty nodes."""
    wide = 2 * most + 3
    out = np.zeros((wide, most + 1))
    out[:, 0] = 1.0
    for n in range(1, most + 1):
        for e in range(1, wide - 1):
            out[e, n] = out[e - 1, n] + out[e, n - 1] + out[e + 1, n - 1]
    return out


COUNTS = _counts(2 * MAX_OPERATORS)


@njit
def _next(rng: Any) -> float:
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
        _next(rng)
    return rng


@njit
def below(rng: Any, n: int) -> int:
    """Uniform in 0..n-1."""
    return min(int(_next(rng) * n), n - 1)


@njit
def tree(rng: Any, operators: int, out: Any) -> int:
    """Write the prefix tokens of a random tree; their number. Holds x at least once."""
    shape = np.empty(4 * operators + 4, np.int64)  # token, or -1 for an empty node
    shape[0] = -1
    size, empty, leaves, passed = 1, 1, 1, 0
    for left in range(operators, 0, -1):
        u = _next(rng) * COUNTS[empty, left]
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
        v = _next(rng)
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
            if _next(rng) < 0.75:
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
def operator_count(rng: Any, most: int) -> int:
    """3..most operators; one time in forty 0..2."""
    if below(rng, 40) == 0:
        return below(rng, 3)
    return 3 + below(rng, most - 2)


@njit
def function(a: Any, rng: Any, most: int, tokens: Any) -> int:
    """A random function of x in the arena; 1 (zero) where it came to nothing."""
    n = tree(rng, operator_count(rng, most), tokens)
    e = read(a, tokens, n)
    if a[A_STATE + ERROR] or not a[A_FLAGS + e] & HAS_X:
        return 1
    return e


@njit
def backward(
    a: Any, seed: int, start: int, count: int, most: int, text: Any, ends: Any, keys: Any,
    lengths: Any, thin: bool,
) -> int:  # fmt: skip
    """BWD pairs number start..start+count-1: derivative and function as infix bytes in `text`.

    Returns how many were made before `text` was full. `ends` [count, 2] are the ends of problem
    and answer, `keys` the structural keys of the problems, `lengths` [count, 2] token counts;
    `thin` drops short ones as removing duplicates from a very large set does.
    """
    tokens = np.empty(1024, np.int64)
    shown = np.empty(MAX_TOKENS + 66, np.int64)
    at = 0
    for k in range(count):
        rng = seeded(seed, start + k)
        while True:
            begin(a)
            e = function(a, rng, most, tokens)
            if e == 1:
                continue
            e = without_constant(a, e, HAS_X)
            d = derivative(a, e)
            if a[A_STATE + ERROR] or a[A_OP + d] == NUM and d == 1:
                continue
            size_d = prefix(a, d, shown)
            size_e = prefix(a, e, shown)
            if size_d < 0 or size_e < 0 or size_d > MAX_TOKENS or size_e > MAX_TOKENS:
                continue
            if thin and _next(rng) > (size_e / FULL_LENGTH) ** THINNING:
                continue
            break
        if at > len(text) - 16384:
            return k
        room = text[at:]
        n = infix(a, d, room)
        if n < 0:
            return k
        at += n
        ends[k, 0] = at
        n = infix(a, e, text[at:])
        if n < 0:
            return k
        at += n
        ends[k, 1] = at
        keys[k] = a[A_KEY + d]
        lengths[k, 0], lengths[k, 1] = size_d, size_e
    return count


@njit
def forward(
    a: Any, seed: int, start: int, count: int, most: int, text: Any, ends: Any, keys: Any
) -> int:
    """Random functions number start..start+count-1 as infix bytes; how many fitted."""
    tokens = np.empty(1024, np.int64)
    shown = np.empty(MAX_TOKENS + 66, np.int64)
    at = 0
    for k in range(count):
        rng = seeded(seed, start + k)
        while True:
            begin(a)
            e = function(a, rng, most, tokens)
            if e == 1:
                continue
            n = prefix(a, e, shown)
            if not 0 < n <= FORWARD_LONGEST:
                continue
            if _next(rng) <= (n / FORWARD_LENGTH) ** FORWARD_THINNING:
                break
        if at > len(text) - 16384:
            return k
        n = infix(a, e, text[at:])
        if n < 0:
            return k
        at += n
        ends[k, 0] = ends[k, 1] = at
        keys[k] = a[A_KEY + e]
    return count


@njit
def _product(a: Any, x: int, y: int) -> int:
    start = a[A_STATE + 3]
    push(a, x, 1, 1)
    push(a, y, 1, 1)
    return product(a, start)


@njit
def known_integrals(
    a: Any, seed: int, count: int, most: int, keys: Any, ends: Any, pool: Any
) -> int:
    """Fill a table of derivatives' keys and their functions' tokens; the entries that fitted."""
    tokens = np.empty(1024, np.int64)
    shown = np.empty(MAX_TOKENS + 66, np.int64)
    used = 0
    for k in range(count):
        rng = seeded(seed, k)
        while True:
            begin(a)
            e = function(a, rng, most, tokens)
            if e == 1:
                continue
            e = without_constant(a, e, HAS_X)
            d = derivative(a, e)
            n = prefix(a, e, shown)
            if not a[A_STATE + ERROR] and 0 < n < 80:
                break
        if used + n > len(pool):
            return k
        for i in range(n):
            pool[used + i] = shown[i]
        used += n
        keys[k] = a[A_KEY + d]
        ends[k] = used
    return count


@njit
def by_parts(
    a: Any, seed: int, start: int, count: int, most: int, tries: int, known: Any, order: Any,
    ends: Any, pool: Any, text: Any, out: Any, keys: Any,
) -> int:  # fmt: skip
    """IBP pairs: for random F, G with derivatives f, g and a known integral of F g, the integral
    of f G is F G - int F g. Sample k is one of count; out[k] stays 0 where `tries` pairs did not
    meet a known integral. Returns how many samples fitted in `text`."""
    tokens = np.empty(1024, np.int64)
    shown = np.empty(MAX_TOKENS + 66, np.int64)
    at = 0
    for k in range(count):
        rng = seeded(seed, start + k)
        keys[k] = 0
        for _ in range(tries):
            begin(a)
            big_f = function(a, rng, most, tokens)
            big_g = function(a, rng, most, tokens)
            if big_f == 1 or big_g == 1 or a[A_STATE + ERROR]:
                continue
            f = derivative(a, big_f)
            g = derivative(a, big_g)
            for turn in range(2):
                if turn == 1:
                    big_f, big_g, f, g = big_g, big_f, g, f
                rest = _product(a, big_f, g)
                if a[A_STATE + ERROR]:
                    break
                key = a[A_KEY + rest]
                i = np.searchsorted(known, key)
                if i >= len(known) or known[i] != key:
                    continue
                j = order[i]
                first = ends[j - 1] if j > 0 else 0
                inner = read(a, pool[first : ends[j]], ends[j] - first)
                problem = _product(a, f, big_g)
                answer = add_two(a, _product(a, big_f, big_g), 1, inner, -1)
                if a[A_STATE + ERROR] or not a[A_FLAGS + problem] & HAS_X:
                    continue
                n = prefix(a, problem, shown)
                if n < 0 or n > MAX_TOKENS or prefix(a, answer, shown) < 0:
                    continue
                keys[k] = a[A_KEY + problem]
                break
            if keys[k] != 0:
                break
        if at > len(text) - 16384:
            return k
        if keys[k] != 0:
            n = infix(a, problem, text[at:])
            m = infix(a, answer, text[at + max(n, 0) :])
            if n < 0 or m < 0:
                keys[k] = 0
                n = m = 0
            out[k, 0], out[k, 1] = at + n, at + n + m
            at += n + m
        else:
            out[k, 0] = out[k, 1] = at
    return count
