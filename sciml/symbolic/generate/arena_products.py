"""Products, powers, and functions in the compiled arena (see `arena`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from sciml.symbolic.generate.arena import (  # fmt: skip
    A_BASE,
    A_BP,
    A_BQ,
    A_COUNT,
    A_FLAGS,
    A_GATHERED,
    A_GP,
    A_GQ,
    A_OP,
    A_P,
    A_Q,
    A_STATE,
    ABS,
    ACOS,
    ACOSH,
    ADD,
    ASIN,
    ASINH,
    ATAN,
    ATANH,
    COS,
    COSH,
    ERROR,
    EXP,
    FACTORS,
    LOG,
    MUL,
    NONNEGATIVE,
    NUM,
    POW,
    REAL,
    SIGN,
    SIN,
    SINH,
    TAN,
    TANH,
    TERMS,
    _nary,
    _unary,
    add,
    child,
    multiply,
    negative,
    njit,
    number,
    plus,
    push_term,
    scale,
)


@njit
def push(a: Any, e: int, p: int, q: int) -> None:
    """Push e ** (p/q) on the stack of factors."""
    n = a[A_STATE + FACTORS]
    if n >= 4000:
        a[A_STATE + ERROR] = 1
        return
    a[A_BASE + n], a[A_BP + n], a[A_BQ + n] = e, p, q
    a[A_STATE + FACTORS] = n + 1


@njit
def _gather(a: Any, m: int, e: int, p: int, q: int) -> int:
    """Add an exponent to the entry of its base; returns the number of entries."""
    for k in range(m):
        if a[A_GATHERED + k] == e:
            a[A_GP + k], a[A_GQ + k] = plus(a, a[A_GP + k], a[A_GQ + k], p, q)
            return m
    if m >= 1000:
        a[A_STATE + ERROR] = 1
        return m
    a[A_GATHERED + m], a[A_GP + m], a[A_GQ + m] = e, p, q
    return m + 1


@njit
def _whole_power(a: Any, b: int, n: int) -> int:
    """b**n for integers n >= 0, with the error flag on overflow."""
    out = 1
    for _ in range(n):
        if abs(float(out) * float(b)) > 1e15:
            a[A_STATE + ERROR] = 1
            return 1
        out *= b
    return out


@njit
def _push_number(a: Any, m: int, e: int, p: int, q: int, c: np.ndarray) -> int:
    """Multiply the rational power of a number into the coefficient c and prime bases; returns the
    number of entries."""
    top, below = a[A_P + e], a[A_Q + e]
    if q == 1:
        if abs(p) > 200 or (top == 0 and p < 0):
            a[A_STATE + ERROR] = 1
            return m
        if p < 0:
            top, below = below, top
        top, below = _whole_power(a, top, abs(p)), _whole_power(a, below, abs(p))
        c[0], c[1] = multiply(a, c[0], c[1], top, below)
        return m
    if top <= 0:
        if top == 0 and p > 0:
            c[0], c[1] = 0, 1
        else:
            a[A_STATE + ERROR] = 1
        return m
    for side in range(2):
        n = top if side == 0 else below
        sign = 1 if side == 0 else -1
        f = 2
        while n > 1:
            if f * f > n or f > 2000:
                f = n
            times = 0
            while n % f == 0:
                n //= f
                times += 1
            if times:
                m = _gather(a, m, number(a, f, 1), p * sign * times, q)
            f += 1
    return m


@njit
def product(a: Any, start: int) -> int:
    """The product of the stacked factors from `start` on, which are popped."""
    c = np.ones(2, np.int64)
    m = 0
    i = start
    exponents = a[A_STATE + TERMS]  # the terms above are those of the joint exponential
    changed = True
    while changed and not a[A_STATE + ERROR]:
        while i < a[A_STATE + FACTORS] and not a[A_STATE + ERROR]:
            e, p, q = a[A_BASE + i], a[A_BP + i], a[A_BQ + i]
            i += 1
            m = _take(a, m, e, p, q, c)
        changed = False
        if a[A_STATE + TERMS] > exponents:
            changed = _unlog(a, add(a, exponents))
        if not changed:
            changed = _simplify_powers(a, m, c)
    total = add(a, exponents) if a[A_STATE + TERMS] > exponents else 1
    a[A_STATE + FACTORS], a[A_STATE + TERMS] = start, exponents
    if a[A_STATE + ERROR] or c[0] == 0:
        return 1
    return _finish(a, m, c, total)


@njit
def _take(a: Any, m: int, e: int, p: int, q: int, c: np.ndarray) -> int:
    """Add one factor e ** (p/q) to the coefficient, the exponential or the gathered bases."""
    op = a[A_OP + e]
    if op == NUM:
        return _push_number(a, m, e, p, q, c)
    if op == EXP and (q == 1 or a[A_FLAGS + child(a, e, 0)] & REAL):
        push_term(a, child(a, e, 0), p, q)
        return m
    if op == MUL:
        if q == 1:
            for j in range(a[A_COUNT + e]):
                push(a, child(a, e, j), p, 1)
            return m
        first = child(a, e, 0)
        if a[A_OP + first] == NUM and not (abs(a[A_P + first]) == 1 and a[A_Q + first] == 1):
            push(a, number(a, abs(a[A_P + first]), a[A_Q + first]), p, q)
            push(a, scale(a, e, a[A_Q + first], abs(a[A_P + first])), p, q)
            return m
        nonnegative = False  # such factors leave the root
        for j in range(a[A_COUNT + e]):
            if a[A_FLAGS + child(a, e, j)] & NONNEGATIVE:
                nonnegative = True
        if nonnegative:
            start = a[A_STATE + FACTORS]
            for j in range(a[A_COUNT + e]):
                if not a[A_FLAGS + child(a, e, j)] & NONNEGATIVE:
                    push(a, child(a, e, j), 1, 1)
            left = _plain_product(a, start)
            for j in range(a[A_COUNT + e]):
                if a[A_FLAGS + child(a, e, j)] & NONNEGATIVE:
                    push(a, child(a, e, j), p, q)
            if left != 2:
                m = _gather(a, m, left, p, q)
            return m
        return _gather(a, m, e, p, q)
    if op == POW:
        b, r, s = child(a, e, 0), a[A_P + e], a[A_Q + e]
        x, y = multiply(a, p, q, r, s)
        if q == 1 or abs(r) < s or a[A_FLAGS + b] & NONNEGATIVE:
            push(a, b, x, y)
            return m
        if s == 1 and r % 2 == 0 and a[A_FLAGS + b] & REAL:
            push(a, absolute(a, b), x, y)
            return m
        return _gather(a, m, e, p, q)
    if op == ABS and q == 1 and p % 2 == 0 and a[A_FLAGS + child(a, e, 0)] & REAL:
        push(a, child(a, e, 0), p, q)
        return m
    return _gather(a, m, e, p, q)


@njit
def _plain_product(a: Any, start: int) -> int:
    """The product of factors that are already in normal form (all exponents 1)."""
    n = a[A_STATE + FACTORS] - start
    a[A_STATE + FACTORS] = start
    if n == 0:
        return 2
    if n == 1:
        return a[A_BASE + start]
    nodes = np.empty(n, np.int64)
    for j in range(n):
        nodes[j] = a[A_BASE + start + j]
    return _nary(a, MUL, nodes, n)


@njit
def _unlog(a: Any, total: int) -> bool:
    """exp(rest + sum c log(u)): push u**c, keep the rest as terms; whether there was a
    logarithm."""
    has_logarithm = False
    n = a[A_COUNT + total] if a[A_OP + total] == ADD else 1
    for j in range(n):
        term = child(a, total, j) if a[A_OP + total] == ADD else total
        p, q, inner = 1, 1, term
        if a[A_OP + term] == MUL and a[A_COUNT + term] == 2 and a[A_OP + child(a, term, 0)] == NUM:
            c = child(a, term, 0)
            p, q, inner = a[A_P + c], a[A_Q + c], child(a, term, 1)
        if a[A_OP + inner] == LOG:
            push(a, child(a, inner, 0), p, q)
            has_logarithm = True
        elif term != 1:
            push_term(a, term, 1, 1)
    return has_logarithm


@njit
def _simplify_powers(a: Any, m: int, c: np.ndarray) -> bool:
    """Simplify bases by their gathered exponents: whole powers of primes, even powers of |u|;
    whether anything was pushed."""
    changed = False
    for k in range(m):
        e, p, q = a[A_GATHERED + k], a[A_GP + k], a[A_GQ + k]
        if p == 0:
            continue
        if a[A_OP + e] == NUM:
            whole = p // q
            if whole != 0:
                a[A_GP + k] = p - whole * q
                if abs(whole) > 60:
                    a[A_STATE + ERROR] = 1
                    return False
                n = _whole_power(a, a[A_P + e], abs(whole))
                if whole > 0:
                    c[0], c[1] = multiply(a, c[0], c[1], n, 1)
                else:
                    c[0], c[1] = multiply(a, c[0], c[1], 1, n)
        elif a[A_OP + e] == ABS and q == 1 and p % 2 == 0 and a[A_FLAGS + child(a, e, 0)] & REAL:
            a[A_GP + k] = 0
            push(a, child(a, e, 0), p, 1)
            changed = True
        elif q == 1 and (a[A_OP + e] == MUL or a[A_OP + e] == POW):
            a[A_GP + k] = 0
            push(a, e, p, 1)
            changed = True
    return changed


@njit
def _finish(a: Any, m: int, c: np.ndarray, total: int) -> int:
    """The node of coefficient, gathered powers and exp(total)."""
    nodes = np.empty(m + 2, np.int64)
    n = 0
    for k in range(m):
        p, q = a[A_GP + k], a[A_GQ + k]
        if p == 0:
            continue
        e = a[A_GATHERED + k]
        nodes[n] = e if (p == 1 and q == 1) else _unary(a, POW, e, p, q)
        n += 1
    if total != 1:
        nodes[n] = _unary(a, EXP, total, 0, 1)
        n += 1
    if n == 0:
        return number(a, c[0], c[1])
    if c[0] == 1 and c[1] == 1:
        return nodes[0] if n == 1 else _nary(a, MUL, nodes, n)
    if n == 1 and a[A_OP + nodes[0]] == ADD:
        return scale(a, nodes[0], c[0], c[1])
    nodes[n] = number(a, c[0], c[1])
    return _nary(a, MUL, nodes, n + 1)


@njit
def absolute(a: Any, u: int) -> int:
    """|u| for real u."""
    if a[A_OP + u] == NUM:
        return number(a, abs(a[A_P + u]), a[A_Q + u])
    if a[A_FLAGS + u] & NONNEGATIVE or a[A_OP + u] == ABS:
        return u
    if negative(a, u):
        u = scale(a, u, -1, 1)
    return _unary(a, ABS, u, 0, 1)


@njit
def power(a: Any, b: int, p: int, q: int) -> int:
    """b ** (p/q)."""
    start = a[A_STATE + FACTORS]
    push(a, b, p, q)
    return product(a, start)


@njit
def times(a: Any, x: int, y: int) -> int:
    """x * y."""
    start = a[A_STATE + FACTORS]
    push(a, x, 1, 1)
    push(a, y, 1, 1)
    return product(a, start)


@njit
def call(a: Any, op: int, u: int) -> int:
    """The function with code `op` of u."""
    if op == EXP:
        return 2 if u == 1 else _exp(a, u, a[A_STATE + FACTORS])
    zero = u == 1
    if op == LOG:
        if zero:
            a[A_STATE + ERROR] = 1
        if u == 2:
            return 1
        if a[A_OP + u] == EXP and a[A_FLAGS + child(a, u, 0)] & REAL:
            return child(a, u, 0)
    elif op == ABS:
        return absolute(a, u) if a[A_FLAGS + u] & REAL else _unary(a, ABS, u, 0, 1)
    elif zero:
        if op == COS or op == COSH:
            return 2
        if op != ACOS and op != ACOSH:
            return 1
    undone = (op == SIN and a[A_OP + u] == ASIN) or (op == COS and a[A_OP + u] == ACOS)
    undone |= (op == TAN and a[A_OP + u] == ATAN) or (op == SINH and a[A_OP + u] == ASINH)
    undone |= (op == COSH and a[A_OP + u] == ACOSH) or (op == TANH and a[A_OP + u] == ATANH)
    if undone:
        return child(a, u, 0)
    odd = op == SIN or op == TAN or op == ASIN or op == ATAN or op == SIGN
    odd |= op == SINH or op == TANH or op == ASINH or op == ATANH
    if (odd or op == COS or op == COSH) and negative(a, u):
        positive = _unary(a, op, scale(a, u, -1, 1), 0, 1)
        return scale(a, positive, -1, 1) if odd else positive
    return _unary(a, op, u, 0, 1)


@njit
def _exp(a: Any, u: int, start: int) -> int:
    raw = _unary(a, EXP, u, 0, 1)
    push(a, raw, 1, 1)
    return product(a, start)
