"""The compiled terms of the proxy cost: density, macro blockage, congestion, wire length.

Definitions follow the open re-implementation of Circuit Training's cost (TILOS MacroPlacement,
`CodeElements/Plc_client`, and its `Docs/ProxyCost`). `Problem` holds the constants of a design,
`State` what moves change. Nets are routed by `routing_kernels`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from sciml.placement.cost.routing_kernels import route
from sciml.placement.cost.topsum import FAST, INLINE, top_sum
from sciml.placement.design import ROTATION

ROT = ROTATION


class Problem(NamedTuple):
    """Constants of one design: nodes are ordered hard macros, soft macros, all others."""

    columns: int
    rows: int
    cell_width: float
    cell_height: float
    scale_h: float  # 1 / (cell height * horizontal routes per unit)
    scale_v: float
    block_h: float  # routes that a macro takes per unit, horizontal
    block_v: float
    smooth: int
    robust: int  # 1: blockage proportional to the overlap area, nothing taken back out
    top_density: int
    top_congestion: int
    norm: float  # wirelength cost = wirelength / norm
    weight_density: float
    weight_congestion: float
    hard: int  # number of hard macros
    macros: int  # number of hard and soft macros
    width: np.ndarray
    height: np.ndarray
    net_start: np.ndarray
    net_weight: np.ndarray
    net_demand: np.ndarray
    pin_node: np.ndarray
    pin_dx: np.ndarray
    pin_dy: np.ndarray
    pin_net: np.ndarray
    node_pins: np.ndarray  # pins of node i: node_pins[node_pin_start[i]:node_pin_start[i + 1]]
    node_pin_start: np.ndarray
    node_nets: np.ndarray
    node_net_start: np.ndarray


class State(NamedTuple):
    """A placement with everything that the cost needs, kept up to date by moves."""

    x: np.ndarray
    y: np.ndarray
    orientation: np.ndarray
    pin_x: np.ndarray
    pin_y: np.ndarray
    pin_cell: np.ndarray  # row * columns + column
    pin_row: np.ndarray
    net_length: np.ndarray
    density: np.ndarray  # [rows * columns]
    density_bits: np.ndarray  # the same memory as int64
    macro_h: np.ndarray  # [columns, rows]
    macro_v: np.ndarray  # [rows, columns]
    diff_h: np.ndarray  # [columns + 1, rows]
    diff_v: np.ndarray  # [rows + 1, columns]
    value: np.ndarray  # congestion of every cell; then its bits and halves
    value_bits: np.ndarray
    value_h: np.ndarray  # [columns, rows]
    value_v: np.ndarray  # [rows, columns]
    line: np.ndarray
    stamp: np.ndarray
    clock: np.ndarray
    cells: np.ndarray
    cell_rows: np.ndarray
    level: np.ndarray  # threshold and spacing of values of the two top-k sums
    cost: np.ndarray  # wirelength [units], density, congestion, proxy, undefined (0 or 1)


@njit(**INLINE)
def add_density(p: Any, s: Any, i: int, x: float, y: float, sign: float) -> None:
    """Add the exact overlap of macro i, centred at x, y, to the density of every cell."""
    C = p.columns
    # In units of cells, clipped to the grid.
    x0 = max((x - p.width[i] / 2) / p.cell_width, 0.0)
    x1 = min((x + p.width[i] / 2) / p.cell_width, float(C))
    y0 = max((y - p.height[i] / 2) / p.cell_height, 0.0)
    y1 = min((y + p.height[i] / 2) / p.cell_height, float(p.rows))
    if x1 <= x0 or y1 <= y0:
        return
    c0 = int(x0)
    c1 = min(int(x1), C - 1)
    r0 = int(y0)
    r1 = min(int(y1), p.rows - 1)
    for r in range(r0, r1 + 1):
        dy = sign * (min(y1, r + 1.0) - max(y0, float(r)))
        for c in range(c0, c1 + 1):
            s.density[r * C + c] += dy * (min(x1, c + 1.0) - max(x0, float(c)))


@njit(**INLINE)
def add_blockage(p: Any, s: Any, i: int, x: float, y: float, sign: float) -> None:
    """Add the routes that hard macro i takes from every cell.

    The exact rule feeds dx to the vertical and dy to the horizontal map, whatever the overlap in
    the other direction, and takes the top row (rightmost column) back out when the macro's first
    or last row (column) is only partly covered. The robust rule scales both by the share of the
    cell that is covered and takes nothing out.
    """
    gw = p.cell_width
    gh = p.cell_height
    C = p.columns
    R = p.rows
    x0 = x - p.width[i] / 2
    x1 = x + p.width[i] / 2
    y0 = y - p.height[i] / 2
    y1 = y + p.height[i] / 2
    c0 = int(np.floor(x0 / gw))
    c1 = int(np.floor(x1 / gw))
    r0 = int(np.floor(y0 / gh))
    r1 = int(np.floor(y1 / gh))
    if c1 < 0 or r1 < 0 or c0 >= C or r0 >= R:
        return
    c0 = max(c0, 0)
    r0 = max(r0, 0)
    c1 = min(c1, C - 1)
    r1 = min(r1, R - 1)
    v = sign * p.block_v * p.scale_v
    h = sign * p.block_h * p.scale_h
    if p.robust:
        for r in range(r0, r1 + 1):
            dy = max(min(y1, (r + 1) * gh) - max(y0, r * gh), 0.0)
            for c in range(c0, c1 + 1):
                dx = max(min(x1, (c + 1) * gw) - max(x0, c * gw), 0.0)
                s.macro_v[r, c] += v * dx * dy / gh
                s.macro_h[c, r] += h * dy * dx / gw
        return
    # "Partly covered" is judged on overlaps that count as 0 where either of the two is 0.
    top = y1 - r1 * gh if y1 < (r1 + 1) * gh else gh
    partly_rows = False
    partly_columns = False
    some_x = False
    some_y = False
    all_x = True
    all_y = True
    for c in range(c0, c1 + 1):
        dx = min(x1, (c + 1) * gw) - max(x0, c * gw)
        some_x = some_x or dx > 0
        all_x = all_x and dx > 0
        if (c == c0 or c == c1) and abs(max(dx, 0.0) - gw) > 1e-5:
            partly_columns = True
    for r in range(r0, r1 + 1):
        dy = min(y1, (r + 1) * gh) - max(y0, r * gh)
        some_y = some_y or dy > 0
        all_y = all_y and dy > 0
        if (r == r0 or r == r1) and abs(max(dy, 0.0) - gh) > 1e-5:
            partly_rows = True
    if not all_x:
        partly_rows = True  # a cell of the edge row with dx = 0 counts as dy = 0
    if not all_y:
        partly_columns = True
    partly_rows = partly_rows and r0 != r1
    partly_columns = partly_columns and c0 != c1
    if not (some_x and some_y) or top < 0:
        return
    for r in range(r0, r1 + 1):
        dy = min(y1, (r + 1) * gh) - max(y0, r * gh)
        if dy <= 0:
            continue
        for c in range(c0, c1 + 1):
            dx = min(x1, (c + 1) * gw) - max(x0, c * gw)
            if dx <= 0:
                continue
            if not (partly_rows and r == r1):
                s.macro_v[r, c] += v * dx
            if not (partly_columns and c == c1):
                s.macro_h[c, r] += h * dy


@njit(**INLINE)
def congestion_values(p: Any, s: Any) -> None:
    """Fill `s.value` from the difference arrays; `p.smooth` > 0 smooths the part of the nets."""
    _accumulate(s.diff_h, s.macro_h, s.value_h, s.line, p.scale_h, p.smooth)
    _accumulate(s.diff_v, s.macro_v, s.value_v, s.line, p.scale_v, p.smooth)


@njit(**FAST)
def _accumulate(diff: Any, macro: Any, value: Any, use: Any, scale: float, S: int) -> None:
    """value[i, j] = macro[i, j] + scale * sum of diff[:i + 1, j], spread over j-S .. j+S."""
    A = macro.shape[0]
    B = macro.shape[1]
    for j in range(B):
        use[j] = 0.0
    for i in range(A):
        if S == 0:
            for j in range(B):
                u = use[j] + diff[i, j]
                use[j] = u
                value[i, j] = macro[i, j] + scale * u
            continue
        for j in range(B):
            use[j] += diff[i, j]
            value[i, j] = macro[i, j]
        for j in range(B):
            a = max(j - S, 0)
            b = min(j + S, B - 1)
            share = scale * use[j] / (b - a + 1)
            for t in range(a, b + 1):
                value[i, t] += share


@njit(**INLINE)
def net_length(p: Any, s: Any, net: int) -> float:
    """Weighted half-perimeter of one net at the present positions of its pins."""
    a = p.net_start[net]
    x0 = s.pin_x[a]
    x1 = x0
    y0 = s.pin_y[a]
    y1 = y0
    for i in range(a + 1, p.net_start[net + 1]):
        x = s.pin_x[i]
        y = s.pin_y[i]
        x0 = min(x0, x)
        x1 = max(x1, x)
        y0 = min(y0, y)
        y1 = max(y1, y)
    return p.net_weight[net] * (x1 - x0 + y1 - y0)


@njit(**INLINE)
def density_cost(p: Any, s: Any, limit: float) -> float:
    """Half the mean of the densest tenth of the cells; `limit` as in `top_sum`."""
    k = p.top_density
    if k > 0:
        return 0.5 * top_sum(s.density, s.density_bits, k, s.level, 0, 2.0 * k * limit) / k
    total = 0.0
    n = 0
    for i in range(s.density.shape[0]):
        if s.density[i] > 1e-12:
            total += s.density[i]
            n += 1
    return 0.5 * total / n if n else 0.0


@njit(**FAST)
def evaluate(p: Any, s: Any) -> None:
    """All terms from scratch at s.x, s.y, s.orientation; the result is in `s.cost`."""
    C = p.columns
    R = p.rows
    outside = 0.0
    for i in range(p.pin_node.shape[0]):
        node = p.pin_node[i]
        t = s.orientation[node]
        x = s.x[node] + ROT[t, 0] * p.pin_dx[i] + ROT[t, 1] * p.pin_dy[i]
        y = s.y[node] + ROT[t, 2] * p.pin_dx[i] + ROT[t, 3] * p.pin_dy[i]
        s.pin_x[i] = x
        s.pin_y[i] = y
        c = int(np.floor(x / p.cell_width))
        r = int(np.floor(y / p.cell_height))
        if c < 0 or r < 0 or c >= C or r >= R:
            outside = 1.0
            c = min(max(c, 0), C - 1)
            r = min(max(r, 0), R - 1)
        s.pin_cell[i] = r * C + c
        s.pin_row[i] = r
    s.density[:] = 0
    s.macro_h[:] = 0
    s.macro_v[:] = 0
    s.diff_h[:] = 0
    s.diff_v[:] = 0
    length = 0.0
    for net in range(p.net_weight.shape[0]):
        s.net_length[net] = net_length(p, s, net)
        length += s.net_length[net]
        route(p, s, net, 1.0)
    for i in range(p.macros):
        add_density(p, s, i, s.x[i], s.y[i], 1.0)
    for i in range(p.hard):
        add_blockage(p, s, i, s.x[i], s.y[i], 1.0)
    congestion_values(p, s)
    s.cost[0] = length
    s.cost[1] = density_cost(p, s, 1e300)
    k = p.top_congestion
    s.cost[2] = top_sum(s.value, s.value_bits, k, s.level, 1, 1e300) / k
    s.cost[3] = length / p.norm + p.weight_density * s.cost[1] + p.weight_congestion * s.cost[2]
    s.cost[4] = outside
