"""Legalise a given placement, and engineering change orders, with the least displacement.

Macros go to the nearest free places (`classical.legalise`), cells onto rows and sites by Abacus,
whose result is then brought nearer to the given places (`classical.displacement`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sciml.errors import InputError, unknown
from sciml.placement.classical.displacement import reduce_displacement
from sciml.placement.classical.legalise import legalise_macros
from sciml.placement.classical.rows import legalise_cells
from sciml.placement.constraints import mark_placed
from sciml.placement.cost.wirelength import hpwl
from sciml.placement.design import CELL, MACRO, PORT, Design
from sciml.placement.legality import check
from sciml.placement.netlist import without_unplaced
from sciml.placement.placer import on_grid, refuse_soft_fixed_cells, with_obstacles

MOVABLE = ("macros", "cells", "all")
ROUNDS = 20


@dataclass(frozen=True)
class Legalised:
    """A legal placement near a given one; displacements |dx| + |dy| in design units."""

    design: Design
    displacement: np.ndarray
    """[N] of every node that had a place; 0 for new ones."""
    new: np.ndarray
    """Nodes [N] bool that were placed and had none, or are not in the older design."""
    hpwl_before: float
    violations: list[str] = field(default_factory=list)
    """Rules that nodes which were to be moved break."""

    def scores(self) -> dict[str, Any]:
        """Total, mean and largest displacement, nodes moved and new, HPWL and legality."""
        moved = self.displacement > 1e-6
        movable = (self.design.kind != PORT) & ~self.design.fixed & ~self.new
        farthest = int(self.displacement.argmax()) if moved.any() else -1
        return {
            "total_displacement": float(self.displacement.sum()),
            "mean_displacement": float(self.displacement.sum() / max(int(movable.sum()), 1)),
            "max_displacement": float(self.displacement.max(initial=0.0)),
            "farthest": self.design.names[farthest] if farthest >= 0 else "",
            "moved": int(moved.sum()),
            "new": int(self.new.sum()),
            "hpwl_before": self.hpwl_before,
            "hpwl": hpwl(without_unplaced(self.design)),
            "legal": check(self.design).legal,
        }


def legalise(
    design: Design,
    *,
    movable: str = "all",
    only_new: bool = False,
    near: Design | None = None,
) -> Legalised:
    """The nearest legal placement, by total displacement; what is legal stays where it is.

    Args:
        design: its positions are the desired ones. Nodes without a position come near what they are
            connected to.
        movable: "macros", "cells" (standard cells) or "all".
        only_new: nothing moves but nodes that have no position or are not in `near`.
        near: an older version of the design; nodes of both are wanted where it has them.

    Raises:
        InputError: `movable` is unknown, there is nothing to move or no room, or a rule cannot be
            kept.
    """
    if movable not in MOVABLE:
        raise unknown("`movable`", movable, MOVABLE)
    original = design
    new = np.zeros(design.nodes, bool)
    if design.constraints is not None:
        new |= design.constraints.unplaced
    if near is not None:
        design, missing = _at_older_places(design, near)
        new = np.where(missing, True, new & ~_placed_in(design, near))
    new &= (design.kind != PORT) & ~design.fixed
    nowhere = new & (design.constraints.unplaced if design.constraints is not None else new)
    chosen = ~design.fixed & (design.kind != PORT)
    if movable != "all":
        chosen &= (design.kind == CELL) == (movable == "cells")
    if only_new:
        chosen &= new
    if not chosen.any():
        what = "no new node" if only_new else "nothing movable"
        raise InputError(f"there is {what} in this design", where=design.source)
    wanted = _near_neighbours(design, nowhere & chosen)
    work = replace(with_obstacles(wanted), fixed=design.fixed | ~chosen)
    if only_new and work.constraints is not None:  # placed cells are obstacles to new macros
        cells = np.flatnonzero(work.fixed & (work.kind == CELL) & ~new)
        work = replace(work, constraints=replace(work.constraints, obstacles=cells))
    refuse_soft_fixed_cells(work)
    if (chosen & (design.kind == MACRO)).any():
        work = on_grid(legalise_macros(work))
    if (chosen & (design.kind == CELL)).any():
        work = reduce_displacement(legalise_cells(work), wanted)
    placed = original.at(work.x, work.y, work.orientation)
    placed = mark_placed(placed, chosen | ~new & ~original.fixed)
    distance = np.abs(placed.x - wanted.x) + np.abs(placed.y - wanted.y)
    verdict = check(placed)
    violations = [] if verdict.legal else verdict.involving(chosen, ~chosen & ~original.fixed)
    distance[new] = 0.0
    return Legalised(placed, distance, new & chosen, hpwl(without_unplaced(original)),
                     violations)  # fmt: skip


def _placed_in(design: Design, older: Design) -> np.ndarray:
    """Which nodes [N] an older design has with a position."""
    index = older.names.find(design.names)
    lost = np.zeros(older.nodes, bool) if older.constraints is None else older.constraints.unplaced
    return (index >= 0) & ~lost[np.maximum(index, 0)]


def _at_older_places(design: Design, older: Design) -> tuple[Design, np.ndarray]:
    """(the design where an older one has its movable nodes, nodes [N] that it has not)."""
    index = older.names.find(design.names)
    missing = index < 0
    if missing[design.kind != PORT].all():
        raise InputError("has no node of this design", where=older.source,
                         hint="--near takes an earlier version of the same design")  # fmt: skip
    scale = older.unit_um / design.unit_um
    use = _placed_in(design, older) & ~design.fixed & (design.kind != PORT)
    x, y, orientation = design.x.copy(), design.y.copy(), design.orientation.copy()
    old_width, old_height = older.size()
    orientation[use] = older.orientation[index[use]]
    turned = design.at(x, y, orientation)
    width, height = turned.size()
    for axis, size, old, old_size in (
        (x, width, older.x, old_width), (y, height, older.y, old_height),
    ):  # fmt: skip
        # The lower left corner stays if a cell was exchanged for a larger one.
        corner = (old[index[use]] - old_size[index[use]] / 2) * scale
        axis[use] = corner + size[use] / 2
    placed = mark_placed(design.at(x, y, orientation), use)
    return placed, missing


def _near_neighbours(design: Design, nowhere: np.ndarray) -> Design:
    """Nodes without a position in the middle of the nets that they are on."""
    if not nowhere.any():
        return design
    x, y = design.x.copy(), design.y.copy()
    canvas = design.canvas
    x[nowhere], y[nowhere] = (canvas.x0 + canvas.x1) / 2, (canvas.y0 + canvas.y1) / 2
    known = ~nowhere
    if design.constraints is not None:
        known &= ~design.constraints.unplaced
    net = np.repeat(np.arange(design.nets), np.diff(design.net_start))
    node = design.pin_node
    for _ in range(ROUNDS):
        use = known[node]
        weight = np.bincount(net[use], minlength=design.nets)
        middle = np.stack([
            np.bincount(net[use], axis[node[use]], design.nets) / np.maximum(weight, 1)
            for axis in (x, y)
        ])  # fmt: skip
        part = nowhere[node] & (weight[net] > 0)
        count = np.bincount(node[part], minlength=design.nodes)
        reached = nowhere & (count > 0)
        if not reached.any():
            break
        for axis, values in ((x, middle[0]), (y, middle[1])):
            total = np.bincount(node[part], values[net[part]], design.nodes)
            axis[reached] = total[reached] / count[reached]
        known = known | reached
    return design.at(x, y)
