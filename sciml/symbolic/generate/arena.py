"""The expression arena: the rules of `expr.expression`, compiled with numba, for the generators.

Nodes are rows of a table, interned by a hash table, so that equal expressions have equal indices;
every operand has a smaller index than its node. Numbers are 64-bit fractions; an overflow, a
division by zero or an even root of a negative number sets the error flag, and the sample is
discarded. The variable is real, as in the published generators: sqrt(u**2) is |u| for real u.

All exponents are rational numbers; the published operators produce no others.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numba
import numpy as np

from sciml.symbolic.expr.expression import FUNCTIONS

NUM, SYM, PI, IMAGINARY, EXP, POW, MUL, ADD = range(8)
_FIRST = 10
CODES = {name: (EXP if name == "exp" else _FIRST + i) for i, name in enumerate(FUNCTIONS)}
LOG, SIN, COS, TAN = (CODES[n] for n in ("log", "sin", "cos", "tan"))
ASIN, ACOS, ATAN = (CODES[n] for n in ("asin", "acos", "atan"))
SINH, COSH, TANH = (CODES[n] for n in ("sinh", "cosh", "tanh"))
ASINH, ACOSH, ATANH = (CODES[n] for n in ("asinh", "acosh", "atanh"))
ABS, SIGN = CODES["abs"], CODES["sign"]
HAS_X, REAL, NONNEGATIVE = 1, 2, 4
NODES, POOL, TABLE = 1 << 14, 1 << 17, 1 << 15
STACK, GATHER = 4096, 1024
_LARGEST = 1e15
NODE_COUNT, POOL_END, ERROR, FACTORS, TERMS = range(5)
"""Places in the field STATE: how many nodes there are, where their operands end in the pool,
whether an operation failed, and the heights of the stacks of factors and of terms."""
njit = numba.njit(cache=True, nogil=True, error_model="numpy")


_SIZES = (
    *[(name, NODES) for name in "OP P Q FIRST COUNT KEY FLAGS SLOT MEMO".split()],
    ("POOL", POOL), ("TABLE", TABLE), ("STATE", 16),
    *[(name, STACK) for name in "BASE BP BQ TERMS TP TQ".split()],
    *[(name, GATHER) for name in "GATHERED GP GQ".split()],
)  # fmt: skip
_AT = {name: sum(n for _, n in _SIZES[:i]) for i, (name, _) in enumerate(_SIZES)}
# One flat array holds everything: a compiled function with one array argument compiles twenty
# times faster than one with twenty. A_X is where the array of field X begins.
A_OP = _AT["OP"]
A_P = _AT["P"]
A_Q = _AT["Q"]
A_FIRST = _AT["FIRST"]
A_COUNT = _AT["COUNT"]
A_KEY = _AT["KEY"]
A_FLAGS = _AT["FLAGS"]
A_SLOT = _AT["SLOT"]
A_POOL = _AT["POOL"]
A_TABLE = _AT["TABLE"]
A_STATE = _AT["STATE"]
A_MEMO = _AT["MEMO"]
A_BASE = _AT["BASE"]
A_BP = _AT["BP"]
A_BQ = _AT["BQ"]
A_GATHERED = _AT["GATHERED"]
A_GP = _AT["GP"]
A_GQ = _AT["GQ"]
A_TERMS = _AT["TERMS"]
A_TP = _AT["TP"]
A_TQ = _AT["TQ"]


@lru_cache(maxsize=1)
def shared() -> np.ndarray:
    """The arena of this process."""
    return new()


def new() -> np.ndarray:
    """An empty arena with the nodes x (0), 0 (1), 1 (2), -1 (3) and 2 (4) made."""
    a: np.ndarray = np.zeros(sum(n for _, n in _SIZES), np.int64)
    a[A_TABLE : A_TABLE + TABLE] = -1
    begin(a)
    return a


@njit
def begin(a: Any) -> None:
    """Forget every node but the first five."""
    for i in range(a[A_STATE + NODE_COUNT]):
        a[A_TABLE + a[A_SLOT + i]] = -1
    a[A_STATE : A_STATE + 16] = 0
    intern(a, SYM, 0, 1, 0)
    number(a, 0, 1)
    number(a, 1, 1)
    number(a, -1, 1)
    number(a, 2, 1)


@njit
def _mix(h: np.uint64, v: np.uint64) -> np.uint64:
    h = h * np.uint64(0x9E3779B97F4A7C15) + v * np.uint64(0xD1342543DE82EF95) + np.uint64(1)
    h ^= h >> np.uint64(29)
    h *= np.uint64(0xBF58476D1CE4E5B9)
    return h ^ (h >> np.uint64(32))


@njit
def intern(a: Any, op: int, p: int, q: int, n: int) -> int:
    """The node `op` with value or exponent p/q and the n operands at the end of the pool; an equal
    node where there is one."""
    at = a[A_STATE + POOL_END]
    h = _mix(_mix(_mix(np.uint64(op + 1), np.uint64(p)), np.uint64(q)), np.uint64(n))
    flags = 0
    for i in range(n):
        operand = a[A_POOL + at + i]
        h = _mix(h, np.uint64(a[A_KEY + operand]))
        flags |= a[A_FLAGS + operand] & HAS_X
    code = np.int64(h >> np.uint64(1))
    slot = code & (TABLE - 1)
    while a[A_TABLE + slot] >= 0:
        other = a[A_TABLE + slot]
        if a[A_KEY + other] == code and a[A_OP + other] == op:
            return other
        slot = (slot + 1) & (TABLE - 1)
    new = a[A_STATE + NODE_COUNT]
    if new >= NODES - 8 or at + n >= POOL - 4096:
        a[A_STATE + ERROR] = 1
        return 0
    a[A_OP + new], a[A_P + new], a[A_Q + new] = op, p, q
    a[A_FIRST + new], a[A_COUNT + new], a[A_KEY + new] = at, n, code
    a[A_TABLE + slot], a[A_SLOT + new] = new, slot
    a[A_STATE + NODE_COUNT] += 1
    a[A_STATE + POOL_END] += n
    a[A_MEMO + new] = -1
    a[A_FLAGS + new] = flags | _kind(a, new) | (HAS_X if op == SYM else 0)
    return new


@njit
def _kind(a: Any, e: int) -> int:
    """REAL and NONNEGATIVE, for a real variable."""
    op = a[A_OP + e]
    if op == NUM:
        return REAL | (NONNEGATIVE if a[A_P + e] >= 0 else 0)
    if op == SYM:
        return REAL
    if op == PI:
        return REAL | NONNEGATIVE
    every = REAL | NONNEGATIVE
    for i in range(a[A_COUNT + e]):
        every &= a[A_FLAGS + a[A_POOL + a[A_FIRST + e] + i]]
    if op == POW:
        inside = a[A_FLAGS + a[A_POOL + a[A_FIRST + e]]]
        if inside & NONNEGATIVE:
            return REAL | NONNEGATIVE
        if a[A_Q + e] == 1 and inside & REAL:
            return REAL | (NONNEGATIVE if a[A_P + e] % 2 == 0 else 0)
        return 0
    if op == ADD or op == MUL:
        return every
    real = every & REAL
    if op == EXP or op == COSH or op == ABS:
        return real | NONNEGATIVE if real else 0
    if op == SIN or op == COS or op == TAN or op == SINH or op == TANH:
        return real
    if op == ATAN or op == ASINH or op == SIGN:
        return real
    return 0


@njit
def gcd(a: int, b: int) -> int:
    """Greatest common divisor, not negative."""
    a, b = abs(a), abs(b)
    while b:
        a, b = b, a % b
    return a


@njit
def number(a: Any, p: int, q: int) -> int:
    """The node of the fraction p/q."""
    if q == 0 or abs(p) > _LARGEST or abs(q) > _LARGEST:
        a[A_STATE + ERROR] = 1
        return 1
    g = gcd(p, q)
    if g > 1:
        p //= g
        q //= g
    if q < 0:
        p, q = -p, -q
    return intern(a, NUM, p, q, 0)


@njit
def _unary(a: Any, op: int, u: int, p: int, q: int) -> int:
    a[A_POOL + a[A_STATE + POOL_END]] = u
    return intern(a, op, p, q, 1)


@njit
def _before(a: Any, x: int, y: int) -> bool:
    return a[A_OP + x] < a[A_OP + y] or (a[A_OP + x] == a[A_OP + y] and a[A_KEY + x] < a[A_KEY + y])


@njit
def _nary(a: Any, op: int, nodes: Any, n: int) -> int:
    """The sorted sum or product of n >= 2 nodes."""
    for i in range(1, n):
        v = nodes[i]
        j = i - 1
        while j >= 0 and _before(a, v, nodes[j]):
            nodes[j + 1] = nodes[j]
            j -= 1
        nodes[j + 1] = v
    at = a[A_STATE + POOL_END]
    for i in range(n):
        a[A_POOL + at + i] = nodes[i]
    return intern(a, op, 0, 1, n)


@njit
def child(a: Any, e: int, i: int) -> int:
    """Operand i of a node."""
    return a[A_POOL + a[A_FIRST + e] + i]


@njit
def with_coefficient(a: Any, p: int, q: int, rest: int) -> int:
    """p/q times a node that is no number and no sum and has no coefficient of its own."""
    if p == 0:
        return 1
    if p == 1 and q == 1:
        return rest
    c = number(a, p, q)
    at = a[A_STATE + POOL_END]
    a[A_POOL + at] = c
    if a[A_OP + rest] == MUL:
        n = a[A_COUNT + rest]
        for i in range(n):
            a[A_POOL + at + 1 + i] = child(a, rest, i)
        return intern(a, MUL, 0, 1, n + 1)
    a[A_POOL + at + 1] = rest
    return intern(a, MUL, 0, 1, 2)


@njit
def without_coefficient(a: Any, e: int) -> int:
    """A product without its leading number."""
    n = a[A_COUNT + e] - 1
    if n == 1:
        return child(a, e, 1)
    at = a[A_STATE + POOL_END]
    for i in range(n):
        a[A_POOL + at + i] = child(a, e, i + 1)
    return intern(a, MUL, 0, 1, n)


@njit
def _too_large(x: float) -> bool:
    return abs(x) > _LARGEST


@njit
def multiply(a: Any, p: int, q: int, r: int, s: int) -> tuple[int, int]:
    """p/q times r/s; sets the error flag on overflow."""
    if _too_large(float(p) * float(r)) or _too_large(float(q) * float(s)):
        a[A_STATE + ERROR] = 1
        return 1, 1
    p, q = p * r, q * s
    g = gcd(p, q)
    if g > 1:
        p //= g
        q //= g
    if q < 0:
        p, q = -p, -q
    return p, q


@njit
def plus(a: Any, p: int, q: int, r: int, s: int) -> tuple[int, int]:
    """p/q plus r/s; sets the error flag on overflow."""
    if _too_large(float(p) * float(s)) or _too_large(float(r) * float(q)):
        a[A_STATE + ERROR] = 1
        return 1, 1
    return multiply(a, p * s + r * q, q * s, 1, 1)


@njit
def push_term(a: Any, e: int, p: int, q: int) -> None:
    """Push p/q * e on the stack of terms."""
    n = a[A_STATE + TERMS]
    if n >= 4000:
        a[A_STATE + ERROR] = 1
        return
    a[A_TERMS + n], a[A_TP + n], a[A_TQ + n] = e, p, q
    a[A_STATE + TERMS] = n + 1


@njit
def add(a: Any, start: int) -> int:
    """The sum of the stacked terms from `start` on, which are popped."""
    cp, cq = 0, 1
    m = 0
    terms = np.empty(256, np.int64)
    ps = np.empty(256, np.int64)
    qs = np.empty(256, np.int64)
    i = start
    while i < a[A_STATE + TERMS] and not a[A_STATE + ERROR]:
        e, p, q = a[A_TERMS + i], a[A_TP + i], a[A_TQ + i]
        i += 1
        op = a[A_OP + e]
        if op == NUM:
            p, q = multiply(a, p, q, a[A_P + e], a[A_Q + e])
            cp, cq = plus(a, cp, cq, p, q)
            continue
        if op == ADD:
            for j in range(a[A_COUNT + e]):
                push_term(a, child(a, e, j), p, q)
            continue
        if op == MUL and a[A_OP + child(a, e, 0)] == NUM:
            c = child(a, e, 0)
            p, q = multiply(a, p, q, a[A_P + c], a[A_Q + c])
            e = without_coefficient(a, e)
        k = 0
        while k < m and terms[k] != e:
            k += 1
        if k == m:
            if m == 256:
                a[A_STATE + ERROR] = 1
                break
            terms[m], ps[m], qs[m] = e, p, q
            m += 1
        else:
            ps[k], qs[k] = plus(a, ps[k], qs[k], p, q)
    a[A_STATE + TERMS] = start
    n = 0
    for k in range(m):
        if ps[k] != 0:
            terms[n] = with_coefficient(a, ps[k], qs[k], terms[k])
            n += 1
    if cp != 0 and n < 256:
        terms[n] = number(a, cp, cq)
        n += 1
    if n == 0:
        return 1
    return terms[0] if n == 1 else _nary(a, ADD, terms, n)


@njit
def add_two(a: Any, x: int, p: int, y: int, q: int) -> int:
    """p x + q y with integers p, q."""
    start = a[A_STATE + TERMS]
    push_term(a, x, p, 1)
    push_term(a, y, q, 1)
    return add(a, start)


@njit
def scale(a: Any, e: int, p: int, q: int) -> int:
    """p/q times e."""
    start = a[A_STATE + TERMS]
    push_term(a, e, p, q)
    return add(a, start)


@njit
def negative(a: Any, e: int) -> bool:
    """See `expr.expression.negative`."""
    op = a[A_OP + e]
    if op == NUM:
        return a[A_P + e] < 0
    if op == MUL:
        c = child(a, e, 0)
        return a[A_OP + c] == NUM and a[A_P + c] < 0
    if op == ADD:
        minus = 0
        for i in range(a[A_COUNT + e]):
            c = child(a, e, i)
            if a[A_OP + c] == MUL:
                c = child(a, c, 0)
            if a[A_OP + c] == NUM and a[A_P + c] < 0:
                minus += 1
        return 2 * minus > a[A_COUNT + e]
    return False
