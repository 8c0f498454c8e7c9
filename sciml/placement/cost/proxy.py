"""What a placement costs: the exact proxy, its robust variant, and the usual physical measures.

`proxy_cost` = wirelength + 0.5 density + 0.5 congestion as Circuit Training defines them (see
`proxy_kernels`). It is a proxy: it ranks placements on one netlist and grid, and says nothing about
timing or routability by itself. The *robust* congestion replaces the rule by which a macro that
straddles a grid line gets its last row or column of blockage back: a gain that vanishes there was
an exploit of the metric.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sciml.placement.cost import proxy_kernels as kernels
from sciml.placement.cost.proxy_kernels import Problem, State
from sciml.placement.design import CELL, MACRO, PORT, SOFT, Design

LEVEL = ((0.8, 1e-3), (0.6, 1e-3))
"""First threshold and spacing of the sums over the largest densities and congestions: they follow
the moves, and the last digits of the sums follow them."""


@dataclass(frozen=True)
class Cost:
    """The proxy and its terms; NaN where a term is undefined (a pin outside the canvas)."""

    wirelength: float
    density: float
    congestion: float
    proxy: float
    wirelength_um: float
    robust_congestion: float
    robust_proxy: float
    overflow: float
    """Routing demand beyond the supply, mean over both directions of all grid cells, in supplies of
    a cell."""

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


class Evaluator:
    """The proxy of one design, ready to be evaluated at many placements.

    Args:
        design: the netlist; its own canvas and grid are used.
        robust: blockage proportional to area instead of the exact rule.
        weights: factors of density and congestion in the proxy.
    """

    def __init__(
        self, design: Design, robust: bool = False, weights: tuple[float, float] = (0.5, 0.5)
    ) -> None:
        self.design = design
        others = np.flatnonzero((design.kind == PORT) | (design.kind == CELL))
        self.order = np.concatenate([design.where(MACRO), design.where(SOFT), others])
        self.problem = problem(design, self.order, robust, weights)
        self.state = empty_state(self.problem, design.nodes)

    def load(self, design: Design) -> State:
        """Put the design's placement into the state and evaluate it."""
        s, canvas = self.state, self.design.canvas
        s.x[:] = design.x[self.order] - canvas.x0
        s.y[:] = design.y[self.order] - canvas.y0
        s.orientation[:] = design.orientation[self.order]
        kernels.evaluate(self.problem, s)
        return s

    def store(self, s: State) -> Design:
        """The design at the state's placement."""
        x, y = np.empty(self.design.nodes), np.empty(self.design.nodes)
        orientation = np.empty(self.design.nodes, np.int8)
        x[self.order] = s.x + self.design.canvas.x0
        y[self.order] = s.y + self.design.canvas.y0
        orientation[self.order] = s.orientation
        return self.design.at(x, y, orientation)

    def terms(self, design: Design | None = None) -> tuple[float, float, float, float, float]:
        """(wirelength, density, congestion, proxy, wirelength in design units)."""
        s = self.load(self.design if design is None else design)
        length, density, congestion, total, outside = s.cost
        if outside:
            congestion = total = np.nan
        return length / self.problem.norm, density, congestion, total, length


def proxy_cost(design: Design, weights: tuple[float, float] = (0.5, 0.5)) -> Cost:
    """Exact and robust proxy of a design as it is placed."""
    evaluator = Evaluator(design, weights=weights)
    exact = evaluator.terms()
    excess = float(np.maximum(evaluator.state.value - 1, 0).mean())
    robust = Evaluator(design, True, weights).terms()
    return Cost(
        wirelength=exact[0],
        density=exact[1],
        congestion=exact[2],
        proxy=exact[3],
        wirelength_um=exact[4] * design.unit_um,
        robust_congestion=robust[2],
        robust_proxy=robust[3],
        overflow=excess if np.isfinite(exact[2]) else np.nan,
    )


def problem(
    design: Design, order: np.ndarray, robust: bool, weights: tuple[float, float]
) -> Problem:
    """The constants that the kernels need; equal nets are merged and equal pins dropped."""
    rank = np.empty(design.nodes, np.int64)
    rank[order] = np.arange(design.nodes)
    degree = np.diff(design.net_start)
    use = degree >= 2
    driver = design.pin_node[design.net_start[:-1][use]]
    weight = np.where(design.kind[driver] == PORT, 1.0, design.net_weight[use])
    total = float(weight.sum()) or 1.0
    # Pins of soft macros and ports sit at the node itself.
    bare = (design.kind[design.pin_node] == SOFT) | (design.kind[design.pin_node] == PORT)
    dx = np.where(bare, 0.0, design.pin_dx)
    dy = np.where(bare, 0.0, design.pin_dy)
    pins = list(zip(rank[design.pin_node].tolist(), dx.tolist(), dy.tolist(), strict=True))
    merged: dict[tuple[Any, ...], list[float]] = {}
    starts, ends = design.net_start[:-1][use].tolist(), design.net_start[1:][use].tolist()
    for a, b, w in zip(starts, ends, weight.tolist(), strict=True):
        first = pins[a]
        others = sorted(set(pins[a + 1 : b]) - {first})
        if others:
            entry = merged.setdefault((first, *others), [0.0, 0.0])
            entry[0] += w
            entry[1] += w if w > 1 else 1.0
    sizes = [len(key) for key in merged]
    flat = np.array([pin for key in merged for pin in key], np.float64).reshape(-1, 3)
    pin_node = flat[:, 0].astype(np.int32)
    net_start = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    pin_net = np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)
    by_node = np.argsort(pin_node, kind="stable").astype(np.int32)
    pin_start = np.searchsorted(pin_node[by_node], np.arange(design.nodes + 1)).astype(np.int32)
    pairs = np.unique(pin_node.astype(np.int64) * max(len(sizes), 1) + pin_net)
    node_of_pair, net_of_pair = np.divmod(pairs, max(len(sizes), 1))
    values = np.array(list(merged.values()), np.float64).reshape(-1, 2)
    grid, canvas = design.grid, design.canvas
    gw, gh = canvas.width / grid.columns, canvas.height / grid.rows
    cells = grid.columns * grid.rows
    unit = design.unit_um  # routes are counted per micrometre
    hard, soft = int((design.kind == MACRO).sum()), int((design.kind == SOFT).sum())
    return Problem(
        columns=grid.columns,
        rows=grid.rows,
        cell_width=gw,
        cell_height=gh,
        scale_h=1 / (gh * unit * grid.routes_horizontal),
        scale_v=1 / (gw * unit * grid.routes_vertical),
        block_h=grid.macro_routes_horizontal * unit,
        block_v=grid.macro_routes_vertical * unit,
        smooth=grid.smooth,
        robust=int(robust),
        top_density=int(0.1 * cells) if cells >= 10 else 0,
        top_congestion=max(int(0.05 * 2 * cells), 1),
        norm=(canvas.width + canvas.height) * total,
        weight_density=float(weights[0]),
        weight_congestion=float(weights[1]),
        hard=hard,
        macros=hard + soft,
        width=np.ascontiguousarray(design.width[order]),
        height=np.ascontiguousarray(design.height[order]),
        net_start=net_start,
        net_weight=np.ascontiguousarray(values[:, 0]),
        net_demand=np.ascontiguousarray(values[:, 1]),
        pin_node=pin_node,
        pin_dx=np.ascontiguousarray(flat[:, 1]),
        pin_dy=np.ascontiguousarray(flat[:, 2]),
        pin_net=pin_net,
        node_pins=by_node,
        node_pin_start=pin_start,
        node_nets=net_of_pair.astype(np.int32),
        node_net_start=np.searchsorted(node_of_pair, np.arange(design.nodes + 1)).astype(np.int32),
    )


def empty_state(p: Problem, nodes: int) -> State:
    """Room for the state of a problem."""
    pins, nets, cells = len(p.pin_node), len(p.net_weight), p.columns * p.rows
    largest = int(np.diff(p.net_start).max(initial=1))
    density, value = np.zeros(cells), np.zeros(2 * cells)
    return State(
        x=np.zeros(nodes),
        y=np.zeros(nodes),
        orientation=np.zeros(nodes, np.int8),
        pin_x=np.zeros(pins),
        pin_y=np.zeros(pins),
        pin_cell=np.zeros(pins, np.int32),
        pin_row=np.zeros(pins, np.int32),
        net_length=np.zeros(nets),
        density=density,
        density_bits=density.view(np.int64),
        macro_h=np.zeros((p.columns, p.rows)),
        macro_v=np.zeros((p.rows, p.columns)),
        diff_h=np.zeros((p.columns + 1, p.rows)),
        diff_v=np.zeros((p.rows + 1, p.columns)),
        value=value,
        value_bits=value.view(np.int64),
        value_h=value[:cells].reshape(p.columns, p.rows),
        value_v=value[cells:].reshape(p.rows, p.columns),
        line=np.zeros(max(p.columns, p.rows)),
        stamp=np.zeros(cells, np.int64),
        clock=np.zeros(1, np.int64),
        cells=np.zeros(largest + 1, np.int32),
        cell_rows=np.zeros(largest + 1, np.int32),
        level=np.array(LEVEL),
        cost=np.zeros(5),
    )
