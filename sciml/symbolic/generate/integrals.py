"""Functions with their antiderivatives, compiled: BWD, FWD, IBP (Lample & Charton 2020, section 4).

BWD differentiates a random function; FWD integrates one, here with the ansatz of `integration`; IBP
integrates by parts over a table of known integrals. Sample k depends on the seed and k alone.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from sciml.symbolic.expr import expression as ex
from sciml.symbolic.generate import arena
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
from sciml.symbolic.generate.arena_products import times
from sciml.symbolic.generate.arena_text import infix, prefix, read, without_constant
from sciml.symbolic.generate.problems import Row
from sciml.symbolic.generate.trees import MAX_OPERATORS, function, seeded, uniform

MAX_TOKENS = 510
"""Longest problem or answer, in the published vocabulary."""
FULL_LENGTH, THINNING = 26.0, 1.6
FORWARD_LENGTH, FORWARD_THINNING = 17.0, 3.0
"""A random function of n tokens is accepted with probability (n / FULL_LENGTH) ** THINNING, one to
be integrated with the other two: the published sets have had their duplicates removed over 10**7
samples and more, which thins the short ones out; this gives a file of any size the same lengths."""
FORWARD_MAX_TOKENS = 40
_KNOWN_INTEGRALS = 150_000
"""Size of the table of IBP."""
_IBP_OPERATORS, _IBP_TRIES = 4, 60
_ROOM = 16384
"""Bytes of text that must be free before a sample is written."""


def bwd(seed: int, start: int, count: int) -> list[Row]:
    """BWD samples number start .. start + count - 1."""
    text, ends, keys = _buffers(count, 2048)
    written = _bwd(arena.shared(), seed, start, count, MAX_OPERATORS, text, ends, keys)
    return _rows(text, ends, keys, written)


def ibp(seed: int, start: int, count: int) -> list[Row]:
    """IBP samples; one of them may come to nothing."""
    known, order, known_ends, pool = _known_integrals(seed)
    text, ends, keys = _buffers(count, 1024)
    written = _ibp(
        arena.shared(), seed + 1, start, count, _IBP_OPERATORS, _IBP_TRIES, known, order,
        known_ends, pool, text, ends, keys,
    )  # fmt: skip
    return _rows(text, ends, keys, written)


def fwd(seed: int, start: int, count: int) -> list[Row]:
    """FWD samples: random functions that the ansatz integrates. Its work is bounded by size, not by
    the clock, so that the same samples come out on a slower machine."""
    from sciml.symbolic.expr.clock import now
    from sciml.symbolic.expr.parser import parse
    from sciml.symbolic.expr.tokens import to_prefix
    from sciml.symbolic.integration import ansatz
    from sciml.symbolic.verification.checking import check

    rows = []
    for key, problem, _ in random_functions(seed, start, count, MAX_OPERATORS):
        f = parse(problem)
        deadline = now() + 20
        for answer, _ in ansatz.candidates(f, "x", deadline, styles=1, supports=2, specials=False):
            if check(f, answer, "x", thorough=False, seed=f.key).agrees:
                if ex.size(answer) < 400 and len(to_prefix(answer)) <= MAX_TOKENS:
                    rows.append((key, problem, str(answer)))
                break
    return rows


def random_functions(seed: int, start: int, count: int, max_operators: int) -> list[Row]:
    """Random functions of x with empty answers."""
    text, ends, keys = _buffers(count, 2048)
    written = _functions(arena.shared(), seed, start, count, max_operators, text, ends, keys)
    return _rows(text, ends, keys, written)


def _buffers(count: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For so many samples: infix bytes; [count, 2] where problem and answer end in them; structural
    keys of the problems, 0 where a sample came to nothing."""
    text = np.empty(count * size + 65536, np.uint8)
    return text, np.zeros((count, 2), np.int64), np.zeros(count, np.int64)


def _rows(text: np.ndarray, ends: np.ndarray, keys: np.ndarray, written: int) -> list[Row]:
    decoded = text[: ends[written - 1, 1]].tobytes().decode() if written else ""
    rows, at = [], 0
    for key, (middle, end) in zip(keys[:written].tolist(), ends[:written].tolist(), strict=True):
        if key:
            rows.append((key, decoded[at:middle], decoded[middle:end]))
        at = end
    return rows


@njit
def _bwd(
    a: Any, seed: int, start: int, count: int, max_operators: int, text: Any, ends: Any, keys: Any
) -> int:
    """Fill the buffers (see `_buffers`) with BWD samples; returns how many `text` had room for."""
    tokens = np.empty(1024, np.int64)
    buffer = np.empty(MAX_TOKENS + 66, np.int64)
    at = 0
    for k in range(count):
        rng = seeded(seed, start + k)
        while True:
            begin(a)
            e = function(a, rng, max_operators, tokens)
            if e == 1:
                continue
            e = without_constant(a, e, HAS_X)
            d = derivative(a, e)
            if a[A_STATE + ERROR] or a[A_OP + d] == NUM and d == 1:
                continue
            size_d = prefix(a, d, buffer)
            size_e = prefix(a, e, buffer)
            if size_d < 0 or size_e < 0 or size_d > MAX_TOKENS or size_e > MAX_TOKENS:
                continue
            if uniform(rng) > (size_e / FULL_LENGTH) ** THINNING:
                continue
            break
        if at > len(text) - _ROOM:
            return k
        n = infix(a, d, text[at:])
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
    return count


@njit
def _functions(
    a: Any, seed: int, start: int, count: int, max_operators: int, text: Any, ends: Any, keys: Any
) -> int:
    """The same with random functions alone."""
    tokens = np.empty(1024, np.int64)
    buffer = np.empty(MAX_TOKENS + 66, np.int64)
    at = 0
    for k in range(count):
        rng = seeded(seed, start + k)
        while True:
            begin(a)
            e = function(a, rng, max_operators, tokens)
            if e == 1:
                continue
            n = prefix(a, e, buffer)
            if not 0 < n <= FORWARD_MAX_TOKENS:
                continue
            if uniform(rng) <= (n / FORWARD_LENGTH) ** FORWARD_THINNING:
                break
        if at > len(text) - _ROOM:
            return k
        n = infix(a, e, text[at:])
        if n < 0:
            return k
        at += n
        ends[k, 0] = ends[k, 1] = at
        keys[k] = a[A_KEY + e]
    return count


@lru_cache(maxsize=2)
def _known_integrals(seed: int) -> tuple[np.ndarray, ...]:
    """Sorted keys of functions; of each, the index of its antiderivative; where the tokens of each
    antiderivative end; those tokens."""
    keys, ends = np.zeros(_KNOWN_INTEGRALS, np.int64), np.zeros(_KNOWN_INTEGRALS, np.int64)
    tokens = np.zeros(_KNOWN_INTEGRALS * 24, np.int64)
    written = _fill_known(
        arena.shared(), seed, _KNOWN_INTEGRALS, _IBP_OPERATORS + 2, keys, ends, tokens
    )
    unique, order = np.unique(keys[:written], return_index=True)
    return unique, order.astype(np.int64), ends[:written], tokens


@njit
def _fill_known(
    a: Any, seed: int, count: int, max_operators: int, keys: Any, ends: Any, pool: Any
) -> int:
    """Fill a table of derivatives' keys and their functions' tokens; returns how many entries
    `pool` had room for."""
    tokens = np.empty(1024, np.int64)
    buffer = np.empty(MAX_TOKENS + 66, np.int64)
    used = 0
    for k in range(count):
        rng = seeded(seed, k)
        while True:
            begin(a)
            e = function(a, rng, max_operators, tokens)
            if e == 1:
                continue
            e = without_constant(a, e, HAS_X)
            d = derivative(a, e)
            n = prefix(a, e, buffer)
            if not a[A_STATE + ERROR] and 0 < n < 80:
                break
        if used + n > len(pool):
            return k
        for i in range(n):
            pool[used + i] = buffer[i]
        used += n
        keys[k] = a[A_KEY + d]
        ends[k] = used
    return count


@njit
def _ibp(
    a: Any, seed: int, start: int, count: int, max_operators: int, tries: int, known: Any,
    order: Any, known_ends: Any, pool: Any, text: Any, ends: Any, keys: Any,
) -> int:  # fmt: skip
    """For random F, G with derivatives f, g and a known integral of F g, the integral of f G is
    F G - int F g. A sample whose `tries` pairs met no known integral keeps the key 0."""
    tokens = np.empty(1024, np.int64)
    buffer = np.empty(MAX_TOKENS + 66, np.int64)
    at = 0
    for k in range(count):
        rng = seeded(seed, start + k)
        keys[k] = 0
        for _ in range(tries):
            begin(a)
            big_f = function(a, rng, max_operators, tokens)
            big_g = function(a, rng, max_operators, tokens)
            if big_f == 1 or big_g == 1 or a[A_STATE + ERROR]:
                continue
            f = derivative(a, big_f)
            g = derivative(a, big_g)
            for swap in range(2):
                if swap == 1:
                    big_f, big_g, f, g = big_g, big_f, g, f
                remaining = times(a, big_f, g)
                if a[A_STATE + ERROR]:
                    break
                key = a[A_KEY + remaining]
                i = np.searchsorted(known, key)
                if i >= len(known) or known[i] != key:
                    continue
                j = order[i]
                first = known_ends[j - 1] if j > 0 else 0
                integral = read(a, pool[first : known_ends[j]], known_ends[j] - first)
                problem = times(a, f, big_g)
                answer = add_two(a, times(a, big_f, big_g), 1, integral, -1)
                if a[A_STATE + ERROR] or not a[A_FLAGS + problem] & HAS_X:
                    continue
                n = prefix(a, problem, buffer)
                if n < 0 or n > MAX_TOKENS or prefix(a, answer, buffer) < 0:
                    continue
                keys[k] = a[A_KEY + problem]
                break
            if keys[k] != 0:
                break
        if at > len(text) - _ROOM:
            return k
        if keys[k] != 0:
            n = infix(a, problem, text[at:])
            m = infix(a, answer, text[at + max(n, 0) :])
            if n < 0 or m < 0:
                keys[k] = 0
                n = m = 0
            ends[k, 0], ends[k, 1] = at + n, at + n + m
            at += n + m
        else:
            ends[k, 0] = ends[k, 1] = at
    return count
