"""Derivatives in the compiled arena (see `arena`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from sciml.symbolic.generate.arena import (  # fmt: skip
    A_COUNT,
    A_FLAGS,
    A_MEMO,
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
    HAS_X,
    LOG,
    MUL,
    NODE_COUNT,
    NODES,
    POW,
    SIGN,
    SIN,
    SINH,
    SYM,
    TAN,
    TANH,
    TERMS,
    add,
    add_two,
    child,
    njit,
    number,
    push_term,
    scale,
)
from sciml.symbolic.generate.arena_products import call, power, product, push, times


@njit
def slope(a: Any, op: int, u: int, e: int) -> int:
    """d op(u) / du, where e is op(u); exact on the principal branch."""
    start = a[A_STATE + FACTORS]
    if op == EXP:
        return e
    if op == LOG:
        return power(a, u, -1, 1)
    if op == SIN:
        return call(a, COS, u)
    if op == COS:
        return scale(a, call(a, SIN, u), -1, 1)
    if op == TAN:
        return add_two(a, power(a, e, 2, 1), 1, 2, 1)
    if op == SINH:
        return call(a, COSH, u)
    if op == COSH:
        return call(a, SINH, u)
    if op == TANH:
        return add_two(a, power(a, e, 2, 1), -1, 2, 1)
    if op == ABS:
        return call(a, SIGN, u)
    if op == SIGN:
        return 1
    if op == ACOSH:
        push(a, add_two(a, u, 1, 2, -1), -1, 2)
        push(a, add_two(a, u, 1, 2, 1), -1, 2)
        return product(a, start)
    square = power(a, u, 2, 1)
    if op == ASIN or op == ACOS:
        out = power(a, add_two(a, square, -1, 2, 1), -1, 2)
        return out if op == ASIN else scale(a, out, -1, 1)
    if op == ASINH:
        return power(a, add_two(a, square, 1, 2, 1), -1, 2)
    if op == ATAN:
        return power(a, add_two(a, square, 1, 2, 1), -1, 1)
    if op == ATANH:
        return power(a, add_two(a, square, -1, 2, 1), -1, 1)
    a[A_STATE + ERROR] = 1
    return 1


@njit
def derivative(a: Any, root: int) -> int:
    """The derivative with respect to x; operands come before their nodes, so one sweep does."""
    needed = np.zeros(root + 1, np.bool_)
    needed[root] = True
    for e in range(root, -1, -1):
        if needed[e]:
            for i in range(a[A_COUNT + e]):
                needed[child(a, e, i)] = True
    for e in range(root + 1):
        if not needed[e]:
            continue
        if a[A_STATE + ERROR]:
            return 1
        if not a[A_FLAGS + e] & HAS_X:
            a[A_MEMO + e] = 1
        elif a[A_OP + e] == SYM:
            a[A_MEMO + e] = 2
        elif a[A_OP + e] == ADD:
            start = a[A_STATE + TERMS]
            for i in range(a[A_COUNT + e]):
                push_term(a, a[A_MEMO + child(a, e, i)], 1, 1)
            a[A_MEMO + e] = add(a, start)
        elif a[A_OP + e] == MUL:
            a[A_MEMO + e] = _product_rule(a, e)
        elif a[A_OP + e] == POW:
            b, p, q = child(a, e, 0), a[A_P + e], a[A_Q + e]
            start = a[A_STATE + FACTORS]
            push(a, number(a, p, q), 1, 1)
            push(a, b, p - q, q)
            push(a, a[A_MEMO + b], 1, 1)
            a[A_MEMO + e] = product(a, start)
        else:
            u = child(a, e, 0)
            a[A_MEMO + e] = times(a, slope(a, a[A_OP + e], u, e), a[A_MEMO + u])
        if a[A_STATE + NODE_COUNT] > NODES - 200:
            a[A_STATE + ERROR] = 1
    return a[A_MEMO + root]


@njit
def _product_rule(a: Any, e: int) -> int:
    start = a[A_STATE + TERMS]
    for i in range(a[A_COUNT + e]):
        di = a[A_MEMO + child(a, e, i)]
        if di == 1:
            continue
        factors = a[A_STATE + FACTORS]
        for j in range(a[A_COUNT + e]):
            push(a, di if j == i else child(a, e, j), 1, 1)
        push_term(a, product(a, factors), 1, 1)
    return add(a, start)
