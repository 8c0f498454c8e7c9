"""The grid of global routing: cells, and how many wires fit through each boundary between two.

Nam, Sze and Yildiz, "The ISPD global routing benchmark suite" (ISPD 2008): the die is cut into
global cells; all layers of one direction are one layer, and an edge between neighbours holds as
many wires as tracks cross it. Hard macros take up their share of the tracks above them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sciml.errors import InputError
from sciml.placement.design import MACRO, Design

ROWS_A_CELL = 3.0
"""Side of a global cell [standard-cell rows]."""
MOST_CELLS = 1 << 22


@dataclass(frozen=True)
class RoutingGrid:
    """Supply and geometry of a routing grid, R rows by C columns.

    width, height: of a global cell [design units]. horizontal [R, C], vertical [R, C]: tracks
    through each global cell. across [R, C - 1], up [R - 1, C]: tracks over the edge between two
    neighbours, the mean of theirs.
    """

    x0: float
    y0: float
    width: float
    height: float
    horizontal: np.ndarray
    vertical: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, columns."""
        return self.horizontal.shape

    @property
    def across(self) -> np.ndarray:
        return (self.horizontal[:, 1:] + self.horizontal[:, :-1]) / 2

    @property
    def up(self) -> np.ndarray:
        return (self.vertical[1:] + self.vertical[:-1]) / 2

    def cells_of(self, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Row and column of points [P, 2]; those outside belong to the nearest global cell."""
        rows, columns = self.shape
        column = np.floor((xy[:, 0] - self.x0) / self.width)
        row = np.floor((xy[:, 1] - self.y0) / self.height)
        return (
            np.clip(row, 0, rows - 1).astype(np.int64),
            np.clip(column, 0, columns - 1).astype(np.int64),
        )


def routing_grid(design: Design, cell: float | None = None) -> RoutingGrid:
    """The routing grid of a design, with its `tracks` or those of the header of its .plc.

    Args:
        cell: side of a global cell [um]; None: three standard-cell rows, or without rows the cells
            of the grid of the proxy.

    Raises:
        InputError: the design has no tracks, a number is not positive, or there are more than four
            million global cells.
    """
    canvas, unit, grid = design.canvas, design.unit_um, design.grid
    supply = design.tracks
    if supply is None and design.canvas_from == "plc":
        supply = (grid.routes_horizontal, grid.routes_vertical)
    if supply is None:
        raise InputError("states no routing tracks", where=design.source,
                         hint="Give --tracks HORIZONTAL VERTICAL [per um], or a LEF with the "
                              "PITCH and DIRECTION of its routing layers")  # fmt: skip
    if not all(0 < t < 1e6 for t in supply):
        raise InputError(f"tracks must be two numbers > 0, got {supply[0]:g} {supply[1]:g}",
                         where=design.source)  # fmt: skip
    if cell is not None:
        if not cell > 0:
            raise InputError(f"the side of a global cell must be > 0 um, got {cell:g}")
        side_x = side_y = cell / unit
    elif design.rows is not None and len(design.rows):
        side_x = side_y = ROWS_A_CELL * float(design.rows.height.min())
    else:
        side_x, side_y = canvas.width / grid.columns, canvas.height / grid.rows
    columns = max(round(canvas.width / side_x), 2)
    rows = max(round(canvas.height / side_y), 2)
    if rows * columns > MOST_CELLS:
        raise InputError(f"{columns} x {rows} global cells are more than {MOST_CELLS:,}",
                         where=design.source, hint="Give a larger side, --gcell UM")  # fmt: skip
    width, height = canvas.width / columns, canvas.height / rows
    covered = _covered(design, rows, columns)
    blocked_h = min(grid.macro_routes_horizontal / grid.routes_horizontal, 1.0)
    blocked_v = min(grid.macro_routes_vertical / grid.routes_vertical, 1.0)
    horizontal = supply[0] * unit * height * (1 - covered * blocked_h)
    vertical = supply[1] * unit * width * (1 - covered * blocked_v)
    return RoutingGrid(canvas.x0, canvas.y0, width, height, horizontal, vertical)


def _covered(design: Design, rows: int, columns: int) -> np.ndarray:
    """[R, C] share of each global cell under hard macros, at most 1."""
    canvas = design.canvas
    share = np.zeros((rows, columns))
    width, height = design.size()
    step_x, step_y = canvas.width / columns, canvas.height / rows
    for i in np.flatnonzero(design.kind == MACRO).tolist():
        parts = []
        for middle, size, low, step, count in (
            (design.y[i], height[i], canvas.y0, step_y, rows),
            (design.x[i], width[i], canvas.x0, step_x, columns),
        ):
            a, b = (middle - size / 2 - low) / step, (middle + size / 2 - low) / step
            edges = np.arange(count)
            parts.append(np.clip(np.minimum(b, edges + 1) - np.maximum(a, edges), 0, 1))
        share += np.outer(*parts)
    return np.minimum(share, 1.0)
