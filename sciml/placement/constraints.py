"""Placement rules of the files: where objects may be placed, and in which orientation.

Meanings are those of the LEF/DEF 5.8 language reference:

| rule | meaning here |
|---|---|
| SYMMETRY (LEF) | X allows FS, Y FN, both S too, R90 the quarter turns; N always; none: N alone |
| PLACEMENT blockage | nothing is placed inside; SOFT and PARTIAL bind initial placement alone |
| PARTIAL d | standard cells fill at most d per cent of its area |
| HALO l b r t | a blockage around the component for others, rotated with it; SOFT as above |
| REGION | members are inside; FENCE: and no others; GUIDE: a preference |
| DIEAREA | everything is inside this polygon |
| channel | hard macros are at least this far apart, along x or along y |
| window | the object stays within this box (soft-fixed) |
| aligned | the hard macros of a group share an edge or a middle |

The last three are a user's (`rules`), not the files'. Components whose SOURCE is TIMING or DIST
(buffers, clock trees, fillers, taps) come after initial placement, so that SOFT and PARTIAL do not
apply to them. Blockages do not apply to fixed objects.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from sciml.errors import InputError

if TYPE_CHECKING:
    from sciml.placement.design import Canvas, Design

ANY_ORIENTATION = 0xFF
HARD, SOFT, PARTIAL = 0, 1, 2
INSIDE, FENCE, GUIDE = 0, 1, 2
BLOCKAGE_KINDS = ("", "SOFT", "PARTIAL")
REGION_KINDS = ("", "FENCE", "GUIDE")

MIRRORED = np.array([2, 3, 0, 1, 6, 7, 4, 5], np.int8)
"""The orientation after a mirror in y (left and right exchanged), by index."""
UPRIGHT = np.array([1, -1, 1, -1, 1, -1, 1, -1], np.int8)
"""+1: the bottom rail of N is below; -1: it is above (S, FS)."""
_SIDES = np.array(  # the sides of N that are left, bottom, right, top in each orientation
    [
        [0, 1, 2, 3],  # N
        [2, 3, 0, 1],  # S
        [2, 1, 0, 3],  # FN
        [0, 3, 2, 1],  # FS
        [1, 2, 3, 0],  # E
        [3, 0, 1, 2],  # W
        [3, 2, 1, 0],  # FE
        [1, 0, 3, 2],  # FW
    ]
)


def allowed_orientations(symmetry: set[str]) -> int:
    """Bits of the orientations that a LEF SYMMETRY allows (bit k: `design.ORIENTATIONS[k]`)."""
    bits = 0b1
    if "X" in symmetry:
        bits |= 0b1000
    if "Y" in symmetry:
        bits |= 0b100
    if {"X", "Y"} <= symmetry:
        bits |= 0b10
    if "R90" in symmetry:
        bits = ANY_ORIENTATION if symmetry & {"X", "Y"} else bits | 0b110010
    return bits


@dataclass(frozen=True)
class Region:
    """A named union of rectangles [K, 4] (x0 y0 x1 y1, design units)."""

    name: str
    kind: int
    boxes: np.ndarray


@dataclass(frozen=True)
class Blockages:
    """Placement blockages: boxes [K, 4], kind, largest density (0 to 1), owner node or -1."""

    boxes: np.ndarray = field(default_factory=lambda: np.empty((0, 4)))
    kind: np.ndarray = field(default_factory=lambda: np.empty(0, np.int8))
    density: np.ndarray = field(default_factory=lambda: np.empty(0))
    owner: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    def __len__(self) -> int:
        return len(self.kind)


EDGES = ("left", "bottom", "right", "top", "x", "y")
"""What an aligned group shares; x and y are the middles."""


@dataclass(frozen=True)
class Aligned:
    """Hard macros [K] (indices of nodes) that share one of `EDGES`."""

    edge: str
    members: np.ndarray

    @property
    def axis(self) -> int:
        """0: they share a coordinate in x, 1: in y."""
        return EDGES.index(self.edge) % 2

    @property
    def side(self) -> float:
        """Where that is, in half sizes from the centre."""
        return {"left": -1.0, "bottom": -1.0, "right": 1.0, "top": 1.0}.get(self.edge, 0.0)


@dataclass(frozen=True)
class Constraints:
    """Rules of a design; arrays are per node, lengths in design units.

    allowed uint8: bits of the orientations; halo [N, 4]: left bottom right top of the object as N;
    late: not bound by rules of initial placement; region: index into `regions` or -1; rail int8:
    +1 if the power rail at the bottom (as N) is that of single-row cells, -1 if it is the other;
    site: index into `sites` or -1; unplaced: the file gives no position; die [V, 2]: corners, or
    None for the canvas itself; grid: the manufacturing grid, of which positions are multiples (0:
    none); window [N, 4]: the box that each object stays in, None for no such boxes; obstacles [K]:
    cells that macros keep away from, None for none.
    """

    allowed: np.ndarray
    halo: np.ndarray
    halo_soft: np.ndarray
    late: np.ndarray
    region: np.ndarray
    rail: np.ndarray
    site: np.ndarray
    unplaced: np.ndarray
    sites: tuple[str, ...] = ()
    regions: tuple[Region, ...] = ()
    blockages: Blockages = field(default_factory=Blockages)
    die: np.ndarray | None = None
    grid: float = 0.0
    channel: float = 0.0
    window: np.ndarray | None = None
    aligned: tuple[Aligned, ...] = ()
    obstacles: np.ndarray | None = None

    @classmethod
    def none(cls, nodes: int) -> Constraints:
        """No rules for this number of nodes; add some with `dataclasses.replace`."""
        return cls(
            allowed=np.full(nodes, ANY_ORIENTATION, np.uint8),
            halo=np.zeros((nodes, 4)),
            halo_soft=np.zeros(nodes, bool),
            late=np.zeros(nodes, bool),
            region=np.full(nodes, -1),
            rail=np.ones(nodes, np.int8),
            site=np.full(nodes, -1),
            unplaced=np.zeros(nodes, bool),
        )

    def required_region(self) -> np.ndarray:
        """The region that each node must be in, -1 for none (GUIDE regions do not bind)."""
        kinds = np.array([r.kind for r in self.regions] + [GUIDE])
        return np.where(kinds[self.region] == GUIDE, -1, self.region)

    def named(self) -> list[str]:
        """The kinds of rules that the design has, in words."""
        out = []
        if len(self.blockages):
            out.append("placement blockages")
        if self.halo.any():
            out.append("halos")
        if self.regions:
            out.append("regions")
        if self.die is not None:
            out.append("the die's polygon")
        if (self.allowed != ANY_ORIENTATION).any():
            out.append("SYMMETRY")
        if self.channel:
            out.append("the channel between macros")
        if self.window is not None:
            out.append("soft-fixed objects")
        if self.aligned:
            out.append("aligned macros")
        if self.obstacles is not None:
            out.append("fixed cells")
        return out


def mark_placed(design: Design, nodes: np.ndarray) -> Design:
    """The design with these nodes (a mask or indices) no longer marked as unplaced."""
    rules = design.constraints
    if rules is None or not rules.unplaced.any():
        return design
    unplaced = rules.unplaced.copy()
    unplaced[nodes] = False
    return replace(design, constraints=replace(rules, unplaced=unplaced))


def oriented_halo(halo: np.ndarray, orientation: np.ndarray) -> np.ndarray:
    """Halos [N, 4] as placed: rotated with their objects."""
    return np.take_along_axis(halo, _SIDES[orientation], 1)


def without(constraints: Constraints | None, what: str) -> None:
    """Warn which rules a format cannot express; once per written file."""
    if constraints is not None and (names := constraints.named()):
        warnings.warn(f"{what} cannot say {', '.join(names)}: not written", stacklevel=3)


# -- rectangles ----------------------------------------------------------------------------
def inside_polygon(points: np.ndarray, where: object = None) -> np.ndarray:
    """Disjoint boxes [K, 4] that make up a rectilinear polygon (corners [V, 2], even-odd rule).

    Raises:
        InputError: an edge is neither horizontal nor vertical, or the polygon has no area.
    """
    closed = np.concatenate([points, points[:1]])
    step = np.diff(closed, axis=0)
    if ((step[:, 0] != 0) & (step[:, 1] != 0)).any():
        raise InputError("a polygon's edges must be horizontal or vertical", where=where)
    xs, ys = np.unique(points[:, 0]), np.unique(points[:, 1])
    middle = (xs[1:] + xs[:-1]) / 2
    crossings = np.zeros((max(len(ys) - 1, 0), len(middle)), np.int64)
    for (x, a), (_, b) in zip(closed[:-1], closed[1:], strict=True):
        if a != b:  # vertical: everything to its right changes sides
            low, high = np.searchsorted(ys, min(a, b)), np.searchsorted(ys, max(a, b))
            crossings[low:high, middle > x] += 1
    boxes = _boxes(crossings % 2 == 1, xs, ys)
    if not len(boxes):
        raise InputError("the polygon has no area", where=where)
    return boxes


def outside_boxes(boxes: np.ndarray, canvas: Canvas) -> np.ndarray:
    """Disjoint boxes [K, 4]: the canvas without the union of `boxes`."""
    lows, highs = [canvas.x0, canvas.y0], [canvas.x1, canvas.y1]
    boxes = np.clip(boxes, lows * 2, highs * 2)
    xs = np.unique(np.concatenate([boxes[:, 0], boxes[:, 2], [canvas.x0, canvas.x1]]))
    ys = np.unique(np.concatenate([boxes[:, 1], boxes[:, 3], [canvas.y0, canvas.y1]]))
    free = np.ones((len(ys) - 1, len(xs) - 1), bool)
    for x0, y0, x1, y1 in boxes:
        rows = slice(*np.searchsorted(ys, [y0, y1]))
        free[rows, slice(*np.searchsorted(xs, [x0, x1]))] = False
    return _boxes(free, xs, ys)


def _boxes(inside: np.ndarray, xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
    """Merge grid cells into few boxes: runs along x, then equal runs of neighbouring rows."""
    out: list[list[float]] = []
    open_runs: dict[tuple[int, int], list[float]] = {}
    for r in range(len(inside)):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], inside[r].astype(np.int8), [0]])))
        runs = {}
        for a, b in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            box = open_runs.get((a, b))
            if box is None:
                box = [float(xs[a]), float(ys[r]), float(xs[b]), float(ys[r + 1])]
                out.append(box)
            else:
                box[3] = float(ys[r + 1])
            runs[a, b] = box
        open_runs = runs
    return np.array(out, np.float64).reshape(-1, 4)


# -- keep-out boxes of placers -------------------------------------------------------------
def keep_out(design: Design, movable: np.ndarray) -> np.ndarray:
    """Boxes [K, 4] that initial placement keeps out of: off the die, blockages.

    Raises:
        InputError: a blockage belongs to a component that moves.
    """
    rules = design.constraints
    if rules is None:
        return np.empty((0, 4))
    parts = []
    if rules.die is not None:
        parts.append(outside_boxes(inside_polygon(rules.die), design.canvas))
    blocks = rules.blockages
    use = blocks.kind != PARTIAL
    for owner in blocks.owner[use & (blocks.owner >= 0)].tolist():
        if movable[owner]:
            raise InputError(
                f"a placement blockage belongs to component {design.names[owner]!r}, which moves: "
                "not yet honoured", where=design.source, hint="Fix the component",
            )  # fmt: skip
    parts.append(blocks.boxes[use])
    return np.concatenate(parts)


def region_keep_out(design: Design) -> dict[int, np.ndarray]:
    """Boxes [K, 4] that a member of each region (-1: of none) must keep out of."""
    rules = design.constraints
    if rules is None:
        return {-1: np.empty((0, 4))}
    fences = {k: r.boxes for k, r in enumerate(rules.regions) if r.kind == FENCE}
    out = {}
    for k in [-1, *np.unique(rules.required_region()).tolist()]:
        parts = [boxes for j, boxes in fences.items() if j != k]
        if k >= 0:
            parts.append(outside_boxes(rules.regions[k].boxes, design.canvas))
        out[k] = np.concatenate(parts) if parts else np.empty((0, 4))
    return out
