"""Which exponentials and circular functions of a tower share a kernel: their arguments are rational
multiples of one another.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from sciml.symbolic.algebra.field import Failure
from sciml.symbolic.algebra.prepare import expand_product, prepare, rational_ratio
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr

FAMILY = {"exp": "exp", "sin": "trig", "cos": "trig", "tan": "trig", "sinh": "hyp",
           "cosh": "hyp", "tanh": "hyp"}  # fmt: skip


@dataclass
class Group:
    """Functions of one family whose arguments are rational multiples of `base`.

    Attributes:
        multiples: of each argument, its ratio to `base`, later to `unit`.
        names: the functions that occur.
        unit: the argument of the kernel, of which all arguments are integer multiples.
        index: of the kernel; -1 before it is made.
    """

    base: Expr
    multiples: dict[Expr, Fraction]
    names: set[str]
    unit: Expr = ex.ONE
    index: int = -1

    def finish(self, parts: int) -> None:
        """Choose the unit; all arguments become integer multiples of `parts` times it."""
        ratios = list(self.multiples.values())
        bottom = math.lcm(*[r.denominator for r in ratios])
        shared = math.gcd(*[int(r * bottom) for r in ratios]) or 1
        scale = Fraction(shared, bottom * parts)
        self.unit = self.base * ex.number(scale)
        self.multiples = {a: r / scale for a, r in self.multiples.items()}


class Groups:
    """The part of a `Tower` that scans expressions before they are converted.

    Attributes:
        root: q where roots x**(p/q) of the variable occur; else 1.
        radicals: of each other radicand, the common denominator of its exponents.
        half_angles: constant angles of which several circular functions occur.
        groups: by family, the groups of arguments.
    """

    def __init__(self, variable: str, split: bool, whole: bool, halves: bool) -> None:
        self.x, self.variable = ex.symbol(variable), variable
        self.split, self.whole, self.halves = split, whole, halves
        self.root = 1
        self.radicals: dict[Expr, int] = {}
        self.half_angles: set[Expr] = set()
        self.groups: dict[str, list[Group]] = {"exp": [], "trig": [], "hyp": []}
        self._group_of: dict[tuple[str, Expr], Group] = {}

    def arguments(self, node: Expr) -> list[Expr]:
        """The arguments of a function for its group: the terms of its sum, where it is split."""
        u = node.args[0]
        u = expand_product(u)
        if u.op == "add" and (node.op == "exp" and not self.whole or self.split):
            constants = [t for t in u.args if self.variable not in t.free]
            parts = [t for t in u.args if self.variable in t.free]
            return parts + ([ex.add(constants)] if constants else [])
        return [u]

    def scan(self, items: list[Expr]) -> None:
        """Find the groups of arguments, the radicals, and the root of the variable that occur."""
        nodes: dict[Expr, None] = {}
        pending = list(items)
        while pending:
            for node in ex.subtrees(pending.pop(0)):
                if node in nodes:
                    continue
                nodes[node] = None
                if node.op in FAMILY and self.variable in node.free:
                    # Expanded, an argument may contain other functions: exp(x)^2 is exp(2x).
                    pending += [prepare(u) for u in self.arguments(node)]
        angles: dict[Expr, set[str]] = {}
        for node in nodes:
            if self.variable not in node.free and node.op in ("sin", "cos", "tan"):
                angles.setdefault(node.args[0], set()).add(node.op)
        self.half_angles = {u for u, names in angles.items() if len(names) > 1}
        for node in nodes:
            if node.op == "pow" and node.args[1].op == "num":
                q = node.args[1].value.denominator
                if q > 1 and node.args[0] is self.x:
                    self.root = math.lcm(self.root, q)
                elif q > 1:
                    base = node.args[0]
                    self.radicals[base] = math.lcm(self.radicals.get(base, 1), q)
            family = FAMILY.get(node.op)
            if family and self.variable in node.free:
                for u in self.arguments(node):
                    if node.op != "exp" or self.variable in u.free:
                        self._register(family, node.op, u)
        for groups in self.groups.values():
            for group in groups:
                group.finish(2 if self.halves and group.names != {"exp"} else 1)

    def _register(self, family: str, name: str, u: Expr) -> None:
        if (family, u) in self._group_of:
            self._group_of[family, u].names.add(name)
            return
        for group in self.groups[family]:
            ratio = rational_ratio(u, group.base, self.variable)
            if ratio is not None:
                break
        else:
            group, ratio = Group(u, {}, set()), Fraction(1)
            self.groups[family].append(group)
        group.multiples[u] = ratio
        group.names.add(name)
        self._group_of[family, u] = group

    def group(self, family: str, u: Expr) -> Group:
        """The group of an argument."""
        if (family, u) not in self._group_of:
            raise Failure(f"an argument that the scan missed: {u}")
        return self._group_of[family, u]
