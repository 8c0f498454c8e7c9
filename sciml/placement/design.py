"""One circuit in memory: nodes, pins, nets, canvas, grid and rows as flat numpy arrays.

Every reader makes a `Design`, every tool takes one. Lengths are in the design's own unit
(`unit_um` micrometres each), y points up, and a node's x, y is its CENTRE.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sciml.errors import InputError
from sciml.placement.constraints import Constraints
from sciml.placement.tokens import LARGEST, Names, too_large

MACRO, SOFT, CELL, PORT = 0, 1, 2, 3
"""Kinds of node: hard macro, soft macro (a cluster of cells), standard cell, port."""
KINDS = ("macro", "soft macro", "cell", "port")

ORIENTATIONS = ("N", "S", "FN", "FS", "E", "W", "FE", "FW")
ROTATION = np.array(
    [  # (x, y) -> (a x + b y, c x + d y), rows a b c d, as LEF/DEF names them
        [1, 0, 0, 1],
        [-1, 0, 0, -1],
        [-1, 0, 0, 1],
        [1, 0, 0, -1],
        [0, 1, -1, 0],
        [0, -1, 1, 0],
        [0, -1, -1, 0],
        [0, 1, 1, 0],
    ],
    np.float64,
)


@dataclass(frozen=True)
class Canvas:
    """The rectangle that nodes must stay in [design units]."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def width(self) -> float:
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        return self.y1 - self.y0


@dataclass(frozen=True)
class Grid:
    """The grid of the proxy cost and its routing supply, as a .plc header gives them."""

    columns: int = 24
    rows: int = 24
    routes_horizontal: float = 57.031
    routes_vertical: float = 56.818
    macro_routes_horizontal: float = 39.583
    macro_routes_vertical: float = 30.303
    smooth: int = 0


@dataclass(frozen=True)
class Rows:
    """Standard-cell rows, one entry per subrow: y and x0..x1 [units], height, site pitch.

    A cell has the `orientation` of its row, up to a mirror in y; where `any_orientation` is set,
    the file does not state one. `sites` names each row's site, where the format has names.
    """

    y: np.ndarray
    height: np.ndarray
    x0: np.ndarray
    x1: np.ndarray
    site: np.ndarray
    orientation: np.ndarray
    any_orientation: np.ndarray | None = None
    sites: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.y)


@dataclass
class Design:
    """A netlist with a placement.

    Nodes (N): names, kind int8, width and height (as oriented N) >= 0, x and y (centre),
    orientation int8 (index into `ORIENTATIONS`), fixed bool. Pins (P) are grouped by net, the
    driver first: pin_node int32, pin_dx and pin_dy (offset from the centre, before orientation),
    pin_output bool. Nets (M): net_start int64 [M + 1], net_weight float64.
    """

    name: str
    names: Names
    kind: np.ndarray
    width: np.ndarray
    height: np.ndarray
    x: np.ndarray
    y: np.ndarray
    orientation: np.ndarray
    fixed: np.ndarray
    pin_node: np.ndarray
    pin_dx: np.ndarray
    pin_dy: np.ndarray
    pin_output: np.ndarray
    net_start: np.ndarray
    net_weight: np.ndarray
    canvas: Canvas
    grid: Grid = field(default_factory=Grid)
    rows: Rows | None = None
    net_names: Names | None = None
    pin_names: list[str] | None = None
    references: list[str] | None = None
    """The library cell of each node, where the format has one."""
    plc_index: np.ndarray | None = None
    """Index of each node in its netlist.pb.txt (a .plc file names nodes by it)."""
    netlist_turns: np.ndarray | None = None
    """Orientations in the netlist itself, where a .plc may have others."""
    unit_um: float = 1.0
    source: str = ""
    canvas_from: str = "file"
    """ "plc" or "file": stated there; "derived": guessed from the extent; "given": by the user."""
    origin: object | None = None
    """A `def_update.Origin` of a design that was read from a DEF: it is written back into that."""
    constraints: Constraints | None = None
    """Placement rules of the files; None: only rows."""
    tracks: tuple[float, float] | None = None
    """Horizontal and vertical routing tracks per micrometre over all layers; None: not stated."""

    @property
    def nodes(self) -> int:
        return len(self.kind)

    @property
    def nets(self) -> int:
        return len(self.net_weight)

    @property
    def pins(self) -> int:
        return len(self.pin_node)

    def where(self, kind: int) -> np.ndarray:
        """Indices of the nodes of one kind."""
        return np.flatnonzero(self.kind == kind)

    def size(self) -> tuple[np.ndarray, np.ndarray]:
        """Width and height as placed: exchanged where a node is turned by 90 degrees."""
        sideways = self.orientation >= 4
        return (
            np.where(sideways, self.height, self.width),
            np.where(sideways, self.width, self.height),
        )

    def pin_xy(self, x: np.ndarray | None = None, y: np.ndarray | None = None) -> np.ndarray:
        """Pin positions [P, 2] at the node centres `x`, `y` (default: the design's own)."""
        x, y = self.x if x is None else x, self.y if y is None else y
        a, b, c, d = ROTATION[self.orientation[self.pin_node]].T
        return np.stack(
            [
                x[self.pin_node] + a * self.pin_dx + b * self.pin_dy,
                y[self.pin_node] + c * self.pin_dx + d * self.pin_dy,
            ],
            1,
        )

    def at(self, x: np.ndarray, y: np.ndarray, orientation: np.ndarray | None = None) -> Design:
        """The same design at other positions (arrays are copied, the netlist is shared)."""
        return replace(
            self,
            x=np.array(x, np.float64),
            y=np.array(y, np.float64),
            orientation=np.array(self.orientation if orientation is None else orientation, np.int8),
        )

    def rescaled(self, scale: float) -> Design:
        """The same design in another unit: lengths times `scale`, to six decimals.

        Without `constraints` and `origin`.
        """

        def times(values: np.ndarray) -> np.ndarray:
            return np.round(values * scale, 6)

        canvas, rows = self.canvas, self.rows
        edges = np.array([canvas.x0, canvas.y0, canvas.x1, canvas.y1])
        if rows is not None:
            lengths: dict[str, Any] = {
                key: times(getattr(rows, key)) for key in ("y", "height", "x0", "x1", "site")
            }
            rows = replace(rows, **lengths)
        keys = ("x", "y", "width", "height", "pin_dx", "pin_dy")
        scaled: dict[str, Any] = {key: times(getattr(self, key)) for key in keys}
        return replace(
            self, canvas=Canvas(*times(edges).tolist()), rows=rows, origin=None, constraints=None,
            unit_um=self.unit_um / scale, **scaled,
        )  # fmt: skip

    def copy(self) -> Design:
        return copy.deepcopy(self)

    def summary(self) -> str:
        """One line for a person."""
        parts = [
            f"{n:,} {KINDS[k]}{'s' if n != 1 else ''}"
            for k in range(4)
            if (n := int((self.kind == k).sum()))
        ]
        return f"{self.name}: {', '.join(parts)}; {self.nets:,} nets, {self.pins:,} pins"


def build(where: object, **fields: object) -> Design:
    """A `Design` with checked, tightly packed arrays; drivers are moved to the front.

    Raises:
        InputError: a repeated name, a negative size, a non-finite number, a macro that is
            larger than the canvas, or more movable area than the canvas has.
    """
    design = Design(**fields)  # type: ignore[arg-type]
    for key, dtype in (
        ("kind", np.int8),
        ("width", np.float64),
        ("height", np.float64),
        ("x", np.float64),
        ("y", np.float64),
        ("orientation", np.int8),
        ("fixed", np.bool_),
        ("pin_node", np.int32),
        ("pin_dx", np.float64),
        ("pin_dy", np.float64),
        ("pin_output", np.bool_),
        ("net_start", np.int64),
        ("net_weight", np.float64),
    ):
        setattr(design, key, np.ascontiguousarray(getattr(design, key), dtype))
    design.source = str(where)
    _drivers_first(design)
    check_sizes(design, where)
    return design


def check_sizes(design: Design, where: object) -> None:
    """Reject designs that cannot be placed; see `build`."""
    repeated = design.names.first_repeated()
    if repeated >= 0:
        raise InputError(f"node {design.names[repeated]!r} is defined twice", where=where)
    for label, values in (("width", design.width), ("height", design.height)):
        bad = np.flatnonzero(~(values >= 0) | ~np.isfinite(values))
        if len(bad):
            name, value = design.names[int(bad[0])], values[bad[0]]
            raise InputError(f"{label} of {name!r} must be >= 0, got {value:g}", where=where)
    canvas = design.canvas
    _check_range(design, where)
    if not (canvas.width > 0 and canvas.height > 0):
        raise InputError(
            f"the canvas must have an area, got {canvas.width:g} x {canvas.height:g}",
            where=where,
            hint="Give a .plc, a .scl or --canvas WIDTH HEIGHT",
        )
    grid = design.grid
    if grid.columns < 1 or grid.rows < 1 or grid.columns * grid.rows > 1 << 22:
        raise InputError(f"impossible grid {grid.columns} x {grid.rows}", where=where)
    for key in ("routes_horizontal", "routes_vertical"):
        if not 0 < getattr(grid, key) <= LARGEST:
            raise InputError(f"{key} must be > 0, got {getattr(grid, key):g}", where=where)
    for key in ("macro_routes_horizontal", "macro_routes_vertical", "smooth"):
        if not 0 <= getattr(grid, key) <= LARGEST:
            raise InputError(f"{key} must be >= 0, got {getattr(grid, key):g}", where=where)
    width, height = design.size()
    room = 1 + 1e-9
    movable = ~design.fixed & (design.kind != PORT)
    large = np.flatnonzero(
        movable & ((width > canvas.width * room) | (height > canvas.height * room))
    )
    if len(large):
        i = int(large[0])
        raise InputError(
            f"{KINDS[design.kind[i]]} {design.names[i]!r} ({width[i]:g} x {height[i]:g}) is larger "
            f"than the canvas ({canvas.width:g} x {canvas.height:g})",
            where=where,
        )
    hard = movable & (design.kind != SOFT)  # soft macros may overlap
    area = float((width * height)[hard].sum())
    if area > canvas.width * canvas.height * room:
        raise InputError(
            f"the movable area {area:.6g} is larger than the canvas "
            f"{canvas.width * canvas.height:.6g}",
            where=where,
        )


def _check_range(design: Design, where: object) -> None:
    """Reject lengths that 32-bit database units cannot express, from a site to the farthest pin.

    So grid cells, bins and sites are counted in integers everywhere.
    """
    canvas, rows, names = design.canvas, design.rows, design.names
    farthest = 1.0
    for key in ("x", "y", "width", "height"):
        values = getattr(design, key)
        for i in np.flatnonzero(~(np.abs(values) <= LARGEST))[:1].tolist():
            raise too_large(f"{key} of {names[i]!r},", f"{values[i]:g}", where)
        farthest = max(farthest, float(np.abs(values).max(initial=0.0)))
    for key in ("pin_dx", "pin_dy"):
        values = getattr(design, key)
        for i in np.flatnonzero(~(np.abs(values) <= LARGEST))[:1].tolist():
            owner = names[int(design.pin_node[i])]
            raise too_large(f"offset of a pin of {owner!r},", f"{values[i]:g}", where)
        farthest = max(farthest, float(np.abs(values).max(initial=0.0)))
    weight = design.net_weight
    for i in np.flatnonzero(~((weight >= 0) & (weight <= 1e15)))[:1].tolist():
        raise InputError(f"weight of net {i} (from 0) must be >= 0, got {weight[i]:g}", where=where)
    for edge in (canvas.x0, canvas.y0, canvas.x1, canvas.y1):
        if not abs(edge) <= LARGEST:
            raise too_large("an edge of the canvas,", f"{edge:g}", where)
        farthest = max(farthest, abs(edge))
    steps = [("canvas", canvas.width), ("canvas", canvas.height)]
    if rows is not None and len(rows):
        for values in (rows.y, rows.x0, rows.x1):
            if not (largest := float(np.abs(values).max())) <= LARGEST:
                raise too_large("a row's coordinate,", f"{largest:g}", where)
        steps += [("row", float(rows.height.min())), ("site", float(rows.site.min()))]
    for what, step in steps:
        if 0 < step < farthest / LARGEST:
            raise InputError(
                f"a {what} of {step:g} and a coordinate of {farthest:g} are beyond what LEF/DEF "
                "can say (32-bit database units)", where=where,
            )  # fmt: skip


def _drivers_first(design: Design) -> None:
    """Swap the first output pin of every net to its front (the first pin, if there is none)."""
    outputs = np.flatnonzero(design.pin_output)
    if not len(outputs):
        return
    net = np.searchsorted(design.net_start, outputs, side="right") - 1
    first, index = np.unique(net, return_index=True)
    pin, front = outputs[index], design.net_start[first]
    move = pin != front
    if not move.any():
        return
    order = np.arange(design.pins)
    order[pin[move]], order[front[move]] = front[move], pin[move]
    for key in ("pin_node", "pin_dx", "pin_dy", "pin_output"):
        setattr(design, key, getattr(design, key)[order])
    if design.pin_names is not None:
        design.pin_names = [design.pin_names[i] for i in order]
