"""Expressions between processes: lists of nodes that JSON holds, never code."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from sciml.errors import InputError
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr


def dump(e: Expr) -> list[list[Any]]:
    """The nodes of an expression, operands first: [op, value, operand indices]."""
    index: dict[Expr, int] = {}
    out: list[list[Any]] = []
    for node in ex.subtrees(e):
        index[node] = len(out)
        value = str(node.value) if node.value is not None else None
        out.append([node.op, value, [index[a] for a in node.args]])
    return out


def load(nodes: list[list[Any]]) -> Expr:
    """The expression of `dump`."""
    done: list[Expr] = []
    for op, value, args in nodes:
        inside = tuple(done[i] for i in args)
        if op == "num":
            done.append(ex.number(Fraction(value)))
        elif op == "sym":
            done.append(ex.symbol(value))
        elif op in ("pi", "I"):
            done.append(ex.PI if op == "pi" else ex.I)
        elif op in ("add", "mul", "pow") or op in ex.FUNCTIONS:
            done.append(ex._node(op, inside))
        else:
            raise InputError(f"unknown node {op!r}")
    return done[-1]
