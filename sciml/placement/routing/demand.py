"""The demand for wires of a placement, estimated without routing: RUDY.

Spindler and Johannes, "Fast and accurate routing demand estimation for efficient
routability-driven placement" (DATE 2007): the wire of a net is spread evenly over its bounding
box, here each direction apart, as tracks that it needs in every global cell.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from sciml.placement.design import Design
from sciml.placement.routing.grid import RoutingGrid


@njit(cache=True, nogil=True)
def _spread(
    start: Any, x: Any, y: Any, weight: Any, most: int, horizontal: Any, vertical: Any
) -> None:
    """Tracks by net, at pin coordinates in global cells from the lower left."""
    R, C = horizontal.shape
    for n in range(start.shape[0] - 1):
        a = start[n]
        b = start[n + 1]
        if b - a < 2 or b - a > most:
            continue
        x0 = min(max(x[a:b].min(), 0.0), float(C))
        x1 = min(max(x[a:b].max(), 0.0), float(C))
        y0 = min(max(y[a:b].min(), 0.0), float(R))
        y1 = min(max(y[a:b].max(), 0.0), float(R))
        c0 = min(int(x0), C - 1)
        c1 = min(int(x1), C - 1)
        r0 = min(int(y0), R - 1)
        r1 = min(int(y1), R - 1)
        for r in range(r0, r1 + 1):
            dy = min(y1, r + 1.0) - max(y0, float(r))
            # A net on one line belongs wholly to the row or column that it is in.
            share_y = dy / (y1 - y0) if y1 > y0 else 1.0
            for c in range(c0, c1 + 1):
                dx = min(x1, c + 1.0) - max(x0, float(c))
                share_x = dx / (x1 - x0) if x1 > x0 else 1.0
                horizontal[r, c] += weight[n] * share_y * dx
                vertical[r, c] += weight[n] * share_x * dy


def wire_demand(
    design: Design, grid: RoutingGrid, most_pins: int = 400
) -> tuple[np.ndarray, np.ndarray]:
    """Horizontal and vertical tracks that are needed in every global cell, [R, C] each.

    Args:
        most_pins: nets of more pins (clocks, resets) are left out.
    """
    xy = design.pin_xy()
    horizontal, vertical = np.zeros(grid.shape), np.zeros(grid.shape)
    _spread(
        design.net_start, (xy[:, 0] - grid.x0) / grid.width, (xy[:, 1] - grid.y0) / grid.height,
        np.ones(design.nets), most_pins, horizontal, vertical,
    )  # fmt: skip
    return horizontal, vertical


def crowding(design: Design, grid: RoutingGrid) -> np.ndarray:
    """[R, C] demand over supply of every global cell, the larger of both directions."""
    horizontal, vertical = wire_demand(design, grid)
    return np.maximum(
        horizontal / np.maximum(grid.horizontal, 1e-9), vertical / np.maximum(grid.vertical, 1e-9)
    )
