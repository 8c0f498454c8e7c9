"""Prefix tokens and infix bytes from the compiled arena, and prefix tokens back into it."""

from __future__ import annotations

from typing import Any

import numpy as np

from sciml.symbolic.generate.arena import (  # fmt: skip
    A_COUNT,
    A_FLAGS,
    A_OP,
    A_P,
    A_Q,
    A_STATE,
    ADD,
    CODES,
    ERROR,
    EXP,
    FACTORS,
    MUL,
    NUM,
    POW,
    SYM,
    TERMS,
    add,
    add_two,
    child,
    negative,
    njit,
    number,
    push_term,
    scale,
)
from sciml.symbolic.generate.arena_products import call, power, product, push, times

TOKENS = (
    "x", "INT+", "INT-", *"0123456789", "add", "mul", "div", "pow", "sqrt", "E", "sub",
    "exp", "ln", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh",
    "acosh", "atanh", "abs", "sign", "pow2", "pow3", "pow4", "pow5",
)  # fmt: skip
INDEX = {token: i for i, token in enumerate(TOKENS)}
T_X, T_PLUS, T_MINUS, T_DIGIT = 0, 1, 2, 3
T_ADD, T_MUL, T_DIV, T_POW, T_SQRT, T_E, T_SUB = (
    INDEX[t] for t in ("add", "mul", "div", "pow", "sqrt", "E", "sub")
)
T_FUNCTION = INDEX["exp"]
T_POW2 = INDEX["pow2"]
_ORDER = [CODES["log" if t == "ln" else t] for t in TOKENS[T_FUNCTION:T_POW2]]
OP_OF = np.array(_ORDER, np.int64)
TOKEN_OF = np.full(64, -1, np.int64)
for _i, _op in enumerate(_ORDER):
    TOKEN_OF[_op] = T_FUNCTION + _i
_NAMES = ["log" if t == "ln" else t for t in TOKENS[T_FUNCTION:T_POW2]]
NAME_BYTES = np.zeros((64, 8), np.uint8)
for _op, _name in zip(_ORDER, _NAMES, strict=True):
    NAME_BYTES[_op, : len(_name)] = np.frombuffer(_name.encode(), np.uint8)


@njit
def _write_integer(out: Any, n: int, value: int) -> int:
    out[n] = T_PLUS if value >= 0 else T_MINUS
    n += 1
    value = abs(value)
    size = 1
    while value // 10**size > 0:
        size += 1
    for k in range(size - 1, -1, -1):
        out[n] = T_DIGIT + (value // 10**k) % 10
        n += 1
    return n


@njit
def prefix(a: Any, root: int, out: Any) -> int:
    """Write the tokens of a node to `out`; returns their number, -1 where there is no room."""
    stack = np.empty(2048, np.int64)  # >= 0: a node; < 0: a token to write
    top, n = 1, 0
    stack[0] = root
    while top:
        top -= 1
        e = stack[top]
        if n > len(out) - 64 or top > 1900:
            return -1
        if e < 0:
            out[n] = -e - 1
            n += 1
            continue
        op = a[A_OP + e]
        if op == NUM:
            if a[A_Q + e] != 1:
                out[n] = T_DIV
                n = _write_integer(out, n + 1, a[A_P + e])
                n = _write_integer(out, n, a[A_Q + e])
            else:
                n = _write_integer(out, n, a[A_P + e])
        elif op == SYM:
            out[n] = T_X
            n += 1
        elif op == ADD or op == MUL:
            token = T_ADD if op == ADD else T_MUL
            k = a[A_COUNT + e]
            for i in range(k - 1, -1, -1):
                stack[top] = child(a, e, i)
                top += 1
                if 0 < i < k - 1:
                    stack[top] = -token - 1
                    top += 1
            out[n] = token
            n += 1
        elif op == POW:
            if a[A_P + e] == 1 and a[A_Q + e] == 2:
                out[n] = T_SQRT
                n += 1
            else:
                out[n] = T_POW
                n += 1
                stack[top] = number(a, a[A_P + e], a[A_Q + e])
                top += 1
            stack[top] = child(a, e, 0)
            top += 1
        elif op == EXP and child(a, e, 0) == 2:
            out[n] = T_E
            n += 1
        else:
            out[n] = TOKEN_OF[op]
            n += 1
            stack[top] = child(a, e, 0)
            top += 1
    return n


@njit
def apply(a: Any, token: int, x: int, y: int) -> int:
    """The node of an operator token; unary operators ignore y."""
    if token == T_ADD:
        return add_two(a, x, 1, y, 1)
    if token == T_SUB:
        return add_two(a, x, 1, y, -1)
    if token == T_MUL:
        return times(a, x, y)
    if token == T_DIV:
        start = a[A_STATE + FACTORS]
        push(a, x, 1, 1)
        push(a, y, -1, 1)
        return product(a, start)
    if token == T_POW:
        if a[A_OP + y] != NUM:
            a[A_STATE + ERROR] = 1
            return 1
        return power(a, x, a[A_P + y], a[A_Q + y])
    if token == T_SQRT:
        return power(a, x, 1, 2)
    if token >= T_POW2:
        return power(a, x, token - T_POW2 + 2, 1)
    return call(a, OP_OF[token - T_FUNCTION], x)


@njit
def is_binary(token: int) -> bool:
    """Whether the token takes two operands."""
    return token == T_ADD or token == T_SUB or token == T_MUL or token == T_DIV or token == T_POW


@njit
def read(a: Any, tokens: Any, n: int) -> int:
    """The node of n prefix tokens (trusted: made by `prefix` or by the sampler)."""
    stack = np.empty(1024, np.int64)
    top = 0
    value, scale10 = 0, 1
    for i in range(n - 1, -1, -1):
        t = tokens[i]
        if a[A_STATE + ERROR] or top > 1000:
            a[A_STATE + ERROR] = 1
            return 1
        if T_DIGIT <= t < T_DIGIT + 10:
            value += (t - T_DIGIT) * scale10
            scale10 *= 10
            continue
        if t == T_PLUS or t == T_MINUS:
            stack[top] = number(a, value if t == T_PLUS else -value, 1)
            top += 1
            value, scale10 = 0, 1
        elif t == T_X:
            stack[top] = 0
            top += 1
        elif t == T_E:
            stack[top] = call(a, EXP, 2)
            top += 1
        elif is_binary(t):
            stack[top - 2] = apply(a, t, stack[top - 1], stack[top - 2])
            top -= 1
        else:
            stack[top - 1] = apply(a, t, stack[top - 1], 1)
    return stack[0]


@njit
def _write_digits(out: Any, n: int, value: int) -> int:
    size = 1
    while value // 10**size > 0:
        size += 1
    for k in range(size - 1, -1, -1):
        out[n] = 48 + (value // 10**k) % 10
        n += 1
    return n


_OPEN, _CLOSE, _STAR, _PLUS_SIGN, _MINUS_SIGN, _SLASH = 40, 41, 42, 43, 45, 47


@njit
def _write_fraction(out: Any, n: int, p: int, q: int) -> int:
    n = _write_digits(out, n, abs(p))
    if q != 1:
        out[n] = _SLASH
        n = _write_digits(out, n + 1, q)
    return n


@njit
def infix(a: Any, root: int, out: Any) -> int:
    """Write the infix text of a node to `out`; returns its bytes, -1 where there is no room."""
    stack = np.empty(4096, np.int64)  # >= 0: a node, 4 * e + level; < 0: a byte
    top, n = 1, 0
    stack[0] = 4 * root
    while top:
        top -= 1
        item = stack[top]
        if n > len(out) - 64 or top > 3900:
            return -1
        if item < 0:
            out[n] = -item
            n += 1
            continue
        e, level = item // 4, item % 4  # level: 0 anywhere, 1 in a product, 2 under a power
        op = a[A_OP + e]
        if op == SYM:
            out[n] = 120
            n += 1
        elif op == NUM:
            bracket = (a[A_P + e] < 0 or a[A_Q + e] != 1) and level > 0
            if bracket:
                out[n] = _OPEN
                n += 1
            if a[A_P + e] < 0:
                out[n] = _MINUS_SIGN
                n += 1
            n = _write_fraction(out, n, a[A_P + e], a[A_Q + e])
            if bracket:
                out[n] = _CLOSE
                n += 1
        elif op == ADD or op == MUL:
            bracket = level > (0 if op == ADD else 1)
            if bracket:
                out[n] = _OPEN
                n += 1
                stack[top] = -_CLOSE
                top += 1
            k = a[A_COUNT + e]
            for i in range(k - 1, -1, -1):
                c = child(a, e, i)
                if op == ADD:
                    minus = negative(a, c) and a[A_OP + c] != ADD
                    if minus:
                        c = scale(a, c, -1, 1)
                    stack[top] = 4 * c + (1 if a[A_OP + c] == ADD else 0)
                    top += 1
                    if minus or i > 0:
                        stack[top] = -(_MINUS_SIGN if minus else _PLUS_SIGN)
                        top += 1
                else:
                    stack[top] = 4 * c + 1
                    top += 1
                    if i > 0:
                        stack[top] = -_STAR
                        top += 1
        elif op == POW and not (a[A_P + e] == 1 and a[A_Q + e] == 2):
            bracket = a[A_P + e] < 0 or a[A_Q + e] != 1
            if bracket:
                stack[top] = -_CLOSE
                top += 1
            stack[top] = 4 * number(a, a[A_P + e], a[A_Q + e])
            top += 1
            if bracket:
                stack[top] = -_OPEN
                top += 1
            stack[top] = -_STAR
            stack[top + 1] = -_STAR
            stack[top + 2] = 4 * child(a, e, 0) + 3
            top += 3
            if a[A_OP + child(a, e, 0)] == POW and not (
                a[A_P + child(a, e, 0)] == 1 and a[A_Q + child(a, e, 0)] == 2
            ):
                stack[top - 1] = -_CLOSE
                stack[top] = 4 * child(a, e, 0) + 3
                stack[top + 1] = -_OPEN
                top += 2
        else:
            if op == POW:
                for c in (115, 113, 114, 116):
                    out[n] = c
                    n += 1
            else:
                k = 0
                while k < 8 and NAME_BYTES[op, k]:
                    out[n] = NAME_BYTES[op, k]
                    n += 1
                    k += 1
            out[n] = _OPEN
            n += 1
            stack[top] = -_CLOSE
            stack[top + 1] = 4 * child(a, e, 0)
            top += 2
    return n


@njit
def without_constant(a: Any, e: int, has_x: int) -> int:
    """A sum without its terms that do not contain x."""
    if a[A_OP + e] != ADD:
        return e
    start = a[A_STATE + TERMS]
    for i in range(a[A_COUNT + e]):
        if a[A_FLAGS + child(a, e, i)] & has_x:
            push_term(a, child(a, e, i), 1, 1)
    return add(a, start)
