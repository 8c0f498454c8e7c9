"""Expressions as JSON, to pass them between processes: lists of nodes, never code."""

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
    """The expression that `dump` was given."""
    built: list[Expr] = []
    for op, value, args in nodes:
        operands = tuple(built[i] for i in args)
        if op == "num":
            built.append(ex.number(Fraction(value)))
        elif op == "sym":
            built.append(ex.symbol(value))
        elif op in ("pi", "I"):
            built.append(ex.PI if op == "pi" else ex.I)
        elif op in ("add", "mul", "pow") or op in (*ex.FUNCTIONS, *ex.SPECIAL, "DiracDelta"):
            built.append(ex._node(op, operands))
        else:
            raise InputError(f"unknown node {op!r}")
    return built[-1]
