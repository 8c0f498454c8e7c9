"""Global routing of a placement: how far it overflows the routing supply.

Every net becomes a Steiner tree; its segments are routed as L patterns, those that use overfull
edges are ripped up and routed as Z patterns, then as mazes, while costs of overfull edges grow from
round to round (negotiated congestion, McMurchie and Ebeling, "PathFinder", FPGA 1995; as in
FastRoute, Pan and Chu, ICCAD 2006). Segments of one net are wires of their own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from sciml.placement.design import Design
from sciml.placement.routing.grid import RoutingGrid, routing_grid
from sciml.placement.routing.kernels import (
    Edges,
    Maze,
    Paths,
    Price,
    find_crowded,
    route_mazes,
    route_patterns,
)
from sciml.placement.routing.trees import segments

WORST = (0.5, 1.0, 2.0, 5.0)
"""Percent of edges that ACE averages over."""


@dataclass(frozen=True)
class RouterConfig:
    """Settings of the global router."""

    rounds: int = 20
    """Rounds of rip-up and rerouting, at most."""
    patterns: int = 3
    """The first rounds, with patterns alone."""
    last: int = 3
    """The last rounds, in which nothing adds to the overflow."""
    patience: int = 3
    """Rounds without a gain of 1 % after which costs are no longer negotiated."""
    most_cells: int = 1000
    """Nets with pins in more global cells (clocks, resets) are left out."""
    penalty: float = 2.0
    """What a wire too many costs [edges]; it doubles every other round, up to 64."""
    history: float = 0.5
    """How much dearer an overfull edge gets each round."""
    margin: int = 8
    """Global cells by which the window of a maze reaches beyond its segment, at first."""


@dataclass(frozen=True)
class Routed:
    """A routed design. Lengths in micrometres, overflow and demand in wires.

    overflow: wires above the supply, summed over edges; worst: of the fullest edge. utilisation:
    ACE, the mean percentage of demand over supply of the worst 0.5, 1, 2 and 5 % of edges, and
    `mean` of the four (Viswanathan et al., "The DAC 2012 routability-driven placement contest").
    across [R, C - 1], up [R - 1, C]: demand of the edges.
    """

    overflow: float
    overflow_horizontal: float
    overflow_vertical: float
    overfull_edges: int
    worst: float
    utilisation: dict[str, float]
    length: float
    bends: int
    segments: int
    left_out: int
    rounds: int
    cpu_seconds: float
    grid: RoutingGrid = field(repr=False)
    across: np.ndarray = field(repr=False)
    up: np.ndarray = field(repr=False)

    def as_dict(self) -> dict[str, object]:
        """Numbers for a person or JSON; the grid as rows and columns."""
        own = {k: v for k, v in self.__dict__.items() if k not in ("grid", "across", "up")}
        rows, columns = self.grid.shape
        return {**own, "rows": rows, "columns": columns}

    def crowding(self) -> np.ndarray:
        """[R, C] the largest demand over supply of the edges of every global cell."""
        out = np.zeros(self.grid.shape)
        across = self.across / np.maximum(self.grid.across, 1e-9)
        up = self.up / np.maximum(self.grid.up, 1e-9)
        for part, values in (
            (out[:, 1:], across), (out[:, :-1], across), (out[1:], up), (out[:-1], up),
        ):  # fmt: skip
            np.maximum(part, values, out=part)
        return out


def route(
    design: Design,
    cell: float | None = None,
    config: RouterConfig | None = None,
    report: Callable[[dict[str, float]], None] | None = None,
) -> Routed:
    """Route all nets of a placement on a grid of global cells.

    Args:
        cell: side of a global cell [um], see `routing_grid`.
        report: called after every round with `round` and `overflow`.

    Raises:
        InputError: see `routing_grid`.
    """
    began = time.process_time()
    c = config or RouterConfig()
    grid = routing_grid(design, cell)
    row, column = grid.cells_of(design.pin_xy())
    ends, left_out = segments(design.net_start, row, column, grid.shape, c.most_cells)
    h, v = (
        Edges(supply, np.zeros_like(supply), np.zeros_like(supply))
        for supply in (grid.across, grid.up)
    )
    count = len(ends)
    paths = Paths(
        ends, 4 * np.arange(count), np.zeros(count, np.int64),
        np.zeros((8 * count + 64, 2), np.int32), np.array([4 * count]),
    )  # fmt: skip
    span = np.abs(ends[:, 0] - ends[:, 2]) + np.abs(ends[:, 1] - ends[:, 3])
    order = np.argsort(span, kind="stable")  # short ones have the least choice
    route_patterns(h, v, paths, order, Price(c.penalty, np.inf), 1)
    best, rounds, maze = (h.demand.copy(), v.demand.copy()), 0, None
    least = _overflow(h) + _overflow(v)
    bends = _bends(paths)
    negotiated, idle = c.rounds - c.last, 0
    for k in range(c.rounds):
        if report is not None:
            report({"round": k, "overflow": _overflow(h) + _overflow(v)})
        full = np.zeros(count, bool)
        find_crowded(h, v, paths, full)
        if not full.any() or k >= negotiated + c.last:
            break
        rounds = k + 1
        for e in (h, v):
            e.history[e.demand > e.supply] += c.history if k else 0.0
        price = Price(min(c.penalty * 2 ** (k // 2), 64.0), np.inf)
        if k >= negotiated:  # no longer negotiated: nothing adds to the overflow
            price = Price(1000.0, 1.0)
            for e in (h, v):
                e.history[:] = 0.0
        chosen = order[full[order]]
        if k < c.patterns:
            route_patterns(h, v, paths, chosen, price, 2)
        else:
            maze = maze or _maze(grid.shape)
            margin = c.margin * 2 ** ((k - c.patterns) // 4)
            while len(chosen):
                done = route_mazes(h, v, maze, paths, chosen, price, margin)
                chosen = chosen[done:]
                if len(chosen):
                    paths = _roomier(paths)
        total = _overflow(h) + _overflow(v)
        idle = 0 if total < 0.99 * least else idle + 1
        if idle >= c.patience and k >= c.patterns:
            negotiated = min(negotiated, k + 1)
        if total < least:
            least, best, bends = total, (h.demand.copy(), v.demand.copy()), _bends(paths)
    across, up = best
    over_h, over_v = np.maximum(across - h.supply, 0), np.maximum(up - v.supply, 0)
    lines = float(across.sum()) * grid.width + float(up.sum()) * grid.height
    return Routed(
        overflow=float(over_h.sum() + over_v.sum()),
        overflow_horizontal=float(over_h.sum()), overflow_vertical=float(over_v.sum()),
        overfull_edges=int((over_h > 0).sum() + (over_v > 0).sum()),
        worst=float(max(over_h.max(initial=0), over_v.max(initial=0))),
        utilisation=_utilisation(across, up, h.supply, v.supply), length=lines * design.unit_um,
        bends=bends, segments=count, left_out=left_out, rounds=rounds,
        cpu_seconds=time.process_time() - began, grid=grid, across=across, up=up,
    )  # fmt: skip


def _overflow(edges: Edges) -> float:
    return float(np.maximum(edges.demand - edges.supply, 0).sum())


def _bends(paths: Paths) -> int:
    return int((paths.number - 2).sum())


def _maze(shape: tuple[int, int]) -> Maze:
    cells = shape[0] * shape[1]
    heap = 4 * cells + 16  # a cell is pushed once from each neighbour, at most
    return Maze(
        np.zeros(cells), np.zeros(cells, np.int64), np.zeros(cells, np.int64),
        np.zeros(1, np.int64), np.zeros(heap), np.zeros(heap, np.int64),
    )  # fmt: skip


def _roomier(paths: Paths) -> Paths:
    """Paths without the gaps that ripped-up ones left, in a pool twice as large as they need."""
    first = np.concatenate([[0], np.cumsum(paths.number)])
    total = int(first[-1])
    index = np.repeat(paths.first - first[:-1], paths.number) + np.arange(total)
    pool = np.zeros((2 * total + 64 + len(paths.pool), 2), np.int32)
    pool[:total] = paths.pool[index]
    return Paths(paths.ends, first[:-1].copy(), paths.number, pool, np.array([total]))


def _utilisation(
    across: np.ndarray, up: np.ndarray, supply_h: np.ndarray, supply_v: np.ndarray
) -> dict[str, float]:
    demand = np.concatenate([across.ravel(), up.ravel()])
    supply = np.concatenate([supply_h.ravel(), supply_v.ravel()])
    open_edges = supply > 0
    worst = np.sort(demand[open_edges] / supply[open_edges])[::-1]
    values = {
        f"{share:g}": 100 * float(worst[: max(round(len(worst) * share / 100), 1)].mean())
        for share in WORST
    }
    return {**values, "mean": float(np.mean(list(values.values())))}
