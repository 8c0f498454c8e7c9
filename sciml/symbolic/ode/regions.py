"""Regions of the plane on which a solution of a differential equation may hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr

QUADRANTS = ((1, 1), (1, -1), (-1, 1), (-1, -1))
"""Signs of x and y in the four quadrants."""


@dataclass(frozen=True)
class Region:
    """The part of the plane where `quantity`, a function of x, y and y', is positive; `text` names
    it."""

    text: str
    quantity: Expr


def sign_regions(x: str, y: str, constants: Sequence[str] = ()) -> list[Region]:
    """The regions given by the signs of x, y, y', x y, x y' and of the constants."""
    out = []
    sx, sy, slope = ex.symbol(x), ex.symbol(y), ex.symbol(y + "'")
    for e in [sx, sy, slope, sx * sy, sx * slope, *map(ex.symbol, constants)]:
        out += [Region(f"{e} > 0", e), Region(f"{e} < 0", -e)]
    return out


def branch_regions(e: Expr, names: set[str]) -> list[Region]:
    """The regions given by the signs of radicands and of arguments of logarithms, abs and sign."""
    arguments: dict[Expr, None] = {}
    for n in ex.subtrees(e):
        root = ex.is_radical(n)
        if (root or n.op in ("log", "abs", "sign")) and n.args[0].free & names:
            arguments[n.args[0]] = None
    simplest = [u for u in sorted(arguments, key=ex.size) if ex.size(u) < 30][:4]
    return [Region(f"{v} {sign} 0", v if sign == ">" else -v) for v in simplest for sign in "><"]


def quadrant_regions(x: str, y: str) -> list[Region]:
    """The four quadrants."""
    out = []
    for sx, sy in QUADRANTS:
        u, v = sx * ex.symbol(x), sy * ex.symbol(y)
        both = (ex.call("abs", u) + u) * (ex.call("abs", v) + v)
        text = f"{x} {'>' if sx > 0 else '<'} 0 and {y} {'>' if sy > 0 else '<'} 0"
        out.append(Region(text, both))
    return out


@dataclass
class Verdicts:
    """The points at which the residual vanishes (agreeing) or not (differing); for each point, the
    values of the quantities of the candidate regions."""

    agreeing: list[list[float | None]]
    differing: list[list[float | None]]

    def add(self, vanishes: bool, quantities: list[float | None]) -> None:
        """Record a point."""
        (self.agreeing if vanishes else self.differing).append(quantities)

    def region(self, candidates: Sequence[Region]) -> Region | None:
        """The first region that contains all agreeing points and no differing one."""
        for i, region in enumerate(candidates):
            at_agreeing = [row[i] for row in self.agreeing]
            at_differing = [row[i] for row in self.differing]
            if all(v is not None and v > 0 for v in at_agreeing) and not any(
                v is not None and v > 0 for v in at_differing
            ):
                return region
        return None
