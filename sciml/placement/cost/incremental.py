"""Moves that update the proxy cost instead of computing it anew: microseconds, not milliseconds.

A move changes the position or orientation of one or two nodes. `attempt` computes the terms from
cheap to expensive (density, wirelength, congestion), stops as soon as the move cannot be accepted
any more and then undoes it; otherwise it commits. Two guesses, `slack`, bound how much the terms
that are not yet computed may gain; with slack = inf every term is computed and the decision is
exact. An accepted cost is always exact.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from sciml.placement.cost import proxy_kernels as kernels
from sciml.placement.cost.proxy import Evaluator
from sciml.placement.cost.proxy_kernels import (
    ROT,
    Problem,
    State,
    add_blockage,
    add_density,
    congestion_values,
    density_cost,
    net_length,
)
from sciml.placement.cost.routing_kernels import reroute
from sciml.placement.cost.topsum import FAST, INLINE, top_sum
from sciml.placement.design import Design


class Scratch(NamedTuple):
    """What a move needs to be undone."""

    density: np.ndarray
    macro_h: np.ndarray
    macro_v: np.ndarray
    diff_h: np.ndarray
    diff_v: np.ndarray
    pin_x: np.ndarray
    pin_y: np.ndarray
    pin_cell: np.ndarray
    pin_row: np.ndarray
    net: np.ndarray
    net_length: np.ndarray
    net_seen: np.ndarray
    clock: np.ndarray
    node: np.ndarray
    x: np.ndarray
    y: np.ndarray
    orientation: np.ndarray
    saved: np.ndarray
    saved_orientation: np.ndarray
    slack: np.ndarray  # expected best relative gain of (congestion, wirelength)


def make_scratch(p: Problem, s: State) -> Scratch:
    """Arrays for what one move changes, as large as the largest node needs."""
    max_pins = int(np.diff(p.node_pin_start).max(initial=0)) * 2 + 2
    max_nets = int(np.diff(p.node_net_start).max(initial=0)) * 2 + 2
    nets = len(p.net_weight)
    return Scratch(
        density=s.density.copy(),
        macro_h=s.macro_h.copy(),
        macro_v=s.macro_v.copy(),
        diff_h=s.diff_h.copy(),
        diff_v=s.diff_v.copy(),
        pin_x=np.zeros(max_pins),
        pin_y=np.zeros(max_pins),
        pin_cell=np.zeros(max_pins, np.int32),
        pin_row=np.zeros(max_pins, np.int32),
        net=np.zeros(max_nets, np.int32),
        net_length=np.zeros(max_nets),
        net_seen=np.zeros(nets, np.int64),
        clock=np.zeros(1, np.int64),
        node=np.zeros(2, np.int64),
        x=np.zeros(2),
        y=np.zeros(2),
        orientation=np.zeros(2, np.int8),
        saved=np.zeros((2, 2)),
        saved_orientation=np.zeros(2, np.int8),
        slack=np.array([np.inf, np.inf]),
    )


@njit(**FAST)
def _copy(to: Any, source: Any) -> None:
    for i in range(to.shape[0]):
        to[i] = source[i]


@njit(**FAST)
def _copy_map(to: Any, source: Any) -> None:
    for i in range(to.shape[0]):
        for j in range(to.shape[1]):
            to[i, j] = source[i, j]


@njit(**FAST)
def refresh(p: Any, s: Any, m: Any) -> None:
    """Evaluate from scratch, as the state to return to; removes rounding drift."""
    kernels.evaluate(p, s)
    _copy(m.density, s.density)
    _copy_map(m.macro_h, s.macro_h)
    _copy_map(m.macro_v, s.macro_v)
    _copy_map(m.diff_h, s.diff_h)
    _copy_map(m.diff_v, s.diff_v)


@njit(**FAST)
def attempt(p: Any, s: Any, m: Any, count: int, limit: float) -> int:
    """Move m.node[:count] to m.x, m.y, m.orientation if the proxy then is <= limit.

    Returns 1 if accepted, 0 if refused (and undone), -1 if a pin would leave the grid.
    """
    wd = p.weight_density
    wc = p.weight_congestion
    shift = False
    resized = False
    for k in range(count):
        i = m.node[k]
        if m.x[k] != s.x[i] or m.y[k] != s.y[i]:
            shift = True
    if count == 2:  # an exchange of equal sizes leaves density and blockage as they are
        i = m.node[0]
        j = m.node[1]
        same = p.width[i] == p.width[j] and p.height[i] == p.height[j]
        same = same and m.x[0] == s.x[j] and m.y[0] == s.y[j]
        same = same and m.x[1] == s.x[i] and m.y[1] == s.y[i]
        resized = not (same and (i < p.hard) == (j < p.hard))
    else:
        resized = shift
    density = s.cost[1]
    best_congestion = wc * s.cost[2] * max(1.0 - m.slack[0], 0.0)
    best_length = s.cost[0] / p.norm * max(1.0 - m.slack[1], 0.0)
    if resized:
        for k in range(count):
            i = m.node[k]
            if i < p.macros:
                add_density(p, s, i, s.x[i], s.y[i], -1.0)
                add_density(p, s, i, m.x[k], m.y[k], 1.0)
        worst = (limit - best_length - best_congestion) / wd if wd > 0 else 1e300
        density = density_cost(p, s, worst)
        if density > worst:
            _copy(s.density, m.density)
            return 0

    m.clock[0] += 1
    key = m.clock[0]
    n = 0
    for k in range(count):
        i = m.node[k]
        t = m.orientation[k]
        r0 = ROT[t, 0]
        r1 = ROT[t, 1]
        r2 = ROT[t, 2]
        r3 = ROT[t, 3]
        x = m.x[k]
        y = m.y[k]
        for q in range(p.node_pin_start[i], p.node_pin_start[i + 1]):
            pin = p.node_pins[q]
            m.pin_x[n] = s.pin_x[pin]
            m.pin_y[n] = s.pin_y[pin]
            n += 1
            s.pin_x[pin] = x + r0 * p.pin_dx[pin] + r1 * p.pin_dy[pin]
            s.pin_y[pin] = y + r2 * p.pin_dx[pin] + r3 * p.pin_dy[pin]
    nets = 0
    length = s.cost[0]
    for k in range(count):
        i = m.node[k]
        for q in range(p.node_net_start[i], p.node_net_start[i + 1]):
            net = p.node_nets[q]
            if m.net_seen[net] != key:
                m.net_seen[net] = key
                old = s.net_length[net]
                new = net_length(p, s, net)
                m.net[nets] = net
                m.net_length[nets] = old
                nets += 1
                s.net_length[net] = new
                length += new - old
    result = 0
    cheap = length / p.norm + wd * density
    new_cost = cheap + wc * s.cost[2]
    congestion = s.cost[2]
    touched = False
    blocked = False
    routed = False
    if cheap + best_congestion <= limit:
        routed = True
        n = 0
        for k in range(count):
            i = m.node[k]
            for q in range(p.node_pin_start[i], p.node_pin_start[i + 1]):
                pin = p.node_pins[q]
                x = s.pin_x[pin]
                y = s.pin_y[pin]
                c = int(x / p.cell_width)
                r = int(y / p.cell_height)
                if x < 0 or y < 0 or c >= p.columns or r >= p.rows:
                    result = -1
                m.pin_cell[n] = r * p.columns + c
                m.pin_row[n] = r
                n += 1
        n = 0
        for k in range(count):
            i = m.node[k]
            for q in range(p.node_pin_start[i], p.node_pin_start[i + 1]):
                pin = p.node_pins[q]
                old_cell = s.pin_cell[pin]
                old_row = s.pin_row[pin]
                if result == 0 and m.pin_cell[n] != old_cell:
                    reroute(p, s, pin, m.pin_cell[n], m.pin_row[n])
                    touched = True
                m.pin_cell[n] = old_cell  # from here on: what to undo
                m.pin_row[n] = old_row
                n += 1
        if result == 0:
            if resized:
                for k in range(count):
                    i = m.node[k]
                    if i < p.hard:
                        add_blockage(p, s, i, s.x[i], s.y[i], -1.0)
                        add_blockage(p, s, i, m.x[k], m.y[k], 1.0)
                        blocked = True
            if touched or blocked:
                congestion_values(p, s)
                worst = (limit - cheap) / wc if wc > 0 else 1e300
                k5 = p.top_congestion
                congestion = top_sum(s.value, s.value_bits, k5, s.level, 1, worst * k5) / k5
            new_cost = cheap + wc * congestion
            if new_cost <= limit:
                result = 1
    if result == 1:
        for k in range(count):
            i = m.node[k]
            s.x[i] = m.x[k]
            s.y[i] = m.y[k]
            s.orientation[i] = m.orientation[k]
        s.cost[0] = length
        s.cost[1] = density
        s.cost[2] = congestion
        s.cost[3] = new_cost
        if resized:
            _copy(m.density, s.density)
        if touched:
            _copy_map(m.diff_h, s.diff_h)
            _copy_map(m.diff_v, s.diff_v)
        if blocked:
            _copy_map(m.macro_h, s.macro_h)
            _copy_map(m.macro_v, s.macro_v)
        return 1
    if resized:
        _copy(s.density, m.density)
    n = 0
    for k in range(count):
        i = m.node[k]
        for q in range(p.node_pin_start[i], p.node_pin_start[i + 1]):
            pin = p.node_pins[q]
            s.pin_x[pin] = m.pin_x[n]
            s.pin_y[pin] = m.pin_y[n]
            if routed:
                s.pin_cell[pin] = m.pin_cell[n]
                s.pin_row[pin] = m.pin_row[n]
            n += 1
    for q in range(nets):
        s.net_length[m.net[q]] = m.net_length[q]
    if touched:
        _copy_map(s.diff_h, m.diff_h)
        _copy_map(s.diff_v, m.diff_v)
    if blocked:
        _copy_map(s.macro_h, m.macro_h)
        _copy_map(s.macro_v, m.macro_v)
    return result


@njit(**INLINE)
def overlaps_hard(p: Any, s: Any, i: int, x: float, y: float, other: int) -> bool:
    """Would hard macro i at x, y overlap another one (but for `other`) by more than 1e-9?"""
    w = p.width[i]
    h = p.height[i]
    for j in range(p.hard):
        if (
            abs(s.x[j] - x) < (w + p.width[j]) * 0.5 - 1e-9
            and abs(s.y[j] - y) < (h + p.height[j]) * 0.5 - 1e-9
            and j != i
            and j != other
        ):
            return True
    return False


class Incremental:
    """A placement whose proxy follows moves; see the module for the method.

    >>> moves = Incremental(design)
    >>> moves.move(node, x, y)          # always done; returns the new proxy
    >>> moves.move(node, x, y, limit=moves.proxy)   # only if it is no worse
    """

    def __init__(
        self, design: Design, robust: bool = False, weights: tuple[float, float] = (0.5, 0.5)
    ) -> None:
        self.arguments = robust, weights
        self.evaluator = Evaluator(design, robust, weights)
        self.problem, self.state = self.evaluator.problem, self.evaluator.load(design)
        self.scratch = make_scratch(self.problem, self.state)
        self.rank = np.empty(design.nodes, np.int64)
        self.rank[self.evaluator.order] = np.arange(design.nodes)

    @property
    def proxy(self) -> float:
        return float(self.state.cost[3])

    def move(
        self, node: int, x: float, y: float, orientation: int | None = None, limit: float = np.inf
    ) -> float:
        """Move a node's centre to x, y if the proxy is then <= limit; returns the proxy."""
        i, m, canvas = int(self.rank[node]), self.scratch, self.evaluator.design.canvas
        m.node[0], m.x[0], m.y[0] = i, x - canvas.x0, y - canvas.y0
        m.orientation[0] = self.state.orientation[i] if orientation is None else orientation
        attempt(self.problem, self.state, m, 1, limit)
        return self.proxy

    def put(self, node: int, x: float, y: float, orientation: int) -> float:
        """`move` in any case; a pin off the grid, for which the proxy is undefined, counts in the
        nearest cell."""
        i, m, s = int(self.rank[node]), self.scratch, self.state
        canvas = self.evaluator.design.canvas
        m.node[0], m.x[0], m.y[0], m.orientation[0] = i, x - canvas.x0, y - canvas.y0, orientation
        if attempt(self.problem, s, m, 1, np.inf) != 1:
            s.x[i], s.y[i], s.orientation[i] = m.x[0], m.y[0], orientation
            refresh(self.problem, s, m)
        return self.proxy

    def load(self, x: np.ndarray, y: np.ndarray, orientation: np.ndarray) -> float:
        """All nodes at other positions, evaluated from scratch."""
        s, canvas, order = self.state, self.evaluator.design.canvas, self.evaluator.order
        s.x[:], s.y[:] = x[order] - canvas.x0, y[order] - canvas.y0
        s.orientation[:] = orientation[order]
        refresh(self.problem, s, self.scratch)
        return self.proxy

    def __getstate__(self) -> dict[str, Any]:
        """Arrays of the state share memory, which a copy of each would not: it is built anew."""
        return {"design": self.design(), "arguments": self.arguments}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Incremental.__init__(self, state["design"], *state["arguments"])

    def swap(self, one: int, two: int, limit: float = np.inf) -> float:
        """Exchange the centres of two nodes if the proxy is then <= limit."""
        a, b, s, m = int(self.rank[one]), int(self.rank[two]), self.state, self.scratch
        m.node[:] = a, b
        m.x[:], m.y[:] = (s.x[b], s.x[a]), (s.y[b], s.y[a])
        m.orientation[:] = s.orientation[a], s.orientation[b]
        attempt(self.problem, self.state, m, 2, limit)
        return self.proxy

    def design(self) -> Design:
        return self.evaluator.store(self.state)
