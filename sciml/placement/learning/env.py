"""Placing macros one by one, as a gymnasium environment.

An episode places every movable hard macro on a grid; fixed macros and ports are placed from the
start. The reward is the negative growth of the half-perimeter (dense), and with `reward="proxy"` at
the end also the negative proxy after the soft macros were pulled to their nets. With `refine` the
episode goes on with moves, swaps and flips of single macros.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import gymnasium
import numpy as np
from gymnasium import spaces

from sciml.config import Range
from sciml.errors import InputError
from sciml.placement.cost.proxy import Evaluator
from sciml.placement.design import MACRO, SOFT, Design
from sciml.placement.learning.masks import (  # fmt: skip
    cheapest,
    cover,
    extend,
    forbidden,
    macro_nets,
    observe,
    order_of,
    wire_axis,
)


@dataclass(frozen=True)
class EnvConfig:
    """Settings of an episode."""

    columns: Annotated[int, Range(min=4, max=1024)] = 32
    """Grid columns."""
    rows: Annotated[int, Range(min=4, max=1024)] = 32
    """Grid rows."""
    order: Literal["area", "nets", "connected", "given"] = "area"
    """Order in which macros are placed; see `masks.order_of`."""
    reward: Literal["hpwl", "proxy"] = "hpwl"
    """Growth of the half-perimeter alone, or with the negative proxy at the end."""
    refine: Annotated[int, Range(min=0)] = 0
    """Steps of refinement after all macros are placed."""
    soft_steps: Annotated[int, Range(min=0)] = 12
    """Rounds of pulling soft macros to their nets before the proxy is evaluated."""


class PlacementEnv(gymnasium.Env[dict[str, np.ndarray], np.int64]):
    """See the module. Observations:

    | key | shape | meaning |
    |---|---|---|
    | mask | [rows, columns] int8 | 1: the next macro may have its corner here |
    | wire | [rows, columns] float32 | half-perimeter growth over its mean, 0 where not allowed |
    | filled | [rows, columns] float32 | share of each cell that macros cover |
    | node | [1] int32 | index of the next macro among the movable ones (their number: none) |
    | places | [macros, 2] float32 | centres over the canvas size, -1: not placed |

    Action: cell r * columns + c. One that is not allowed is replaced by the nearest allowed cell
    and costs `penalty`; a macro without an allowed cell ends the episode (a dead end).
    In refinement an action moves the macro `node` (in turn) to that cell, swaps it with the macro
    of equal size there, or flips it if it is its own cell.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 4}
    penalty = -0.1

    def __init__(
        self, design: Design, config: EnvConfig | None = None, render_mode: str | None = None
    ) -> None:
        self.design, self.config = design, config or EnvConfig()
        self.render_mode = render_mode
        c = self.config
        self.nodes = order_of(design, c.order)
        if not len(self.nodes):
            raise InputError("no movable hard macro in this design", where=design.source)
        canvas = design.canvas
        self.cell_width, self.cell_height = canvas.width / c.columns, canvas.height / c.rows
        self.width = design.width[self.nodes].copy()
        self.height = design.height[self.nodes].copy()
        fixed = np.flatnonzero((design.kind == MACRO) & design.fixed)
        w, h = design.size()
        self.obstacles = np.stack(
            [
                design.x[fixed] - w[fixed] / 2 - canvas.x0,
                design.y[fixed] - h[fixed] / 2 - canvas.y0,
                design.x[fixed] + w[fixed] / 2 - canvas.x0,
                design.y[fixed] + h[fixed] / 2 - canvas.y0,
            ]
        )
        upright = design.at(design.x, design.y, np.where(design.fixed, design.orientation, 0))
        self.nets = macro_nets(upright, self.nodes, design.fixed & (design.kind != SOFT))
        self.start_design = upright
        self.norm = 0.5 * (canvas.width + canvas.height) * max(len(np.unique(self.nets.nets)), 1)
        n, R, C = len(self.nodes), c.rows, c.columns
        self.observation_space = spaces.Dict(  # type: ignore[assignment]
            {
                "mask": spaces.Box(0, 1, (R, C), np.int8),
                "wire": spaces.Box(0, np.inf, (R, C), np.float32),
                "filled": spaces.Box(0, np.inf, (R, C), np.float32),
                "node": spaces.Box(0, n, (1,), np.int32),
                "places": spaces.Box(-1, 2, (n, 2), np.float32),
            }
        )
        self.action_space = spaces.Discrete(R * C)
        self.count = np.zeros((R, C), np.int32)
        self.wire_x, self.wire_y = np.zeros(C), np.zeros(R)
        self._clear()

    # -- the state -------------------------------------------------------------------------
    def _clear(self) -> None:
        n, m = len(self.nodes), self.obstacles.shape[1]
        self.step_count, self.placed = 0, 0
        self.rectangles = np.zeros((4, n + m))
        self.rectangles[:, :m] = self.obstacles
        self.low, self.high = self.nets.fixed_low.copy(), self.nets.fixed_high.copy()
        self.corner = np.full((n, 2), np.nan)
        self.mirrored = np.zeros(n, np.int8)
        self.filled = np.zeros((self.config.rows, self.config.columns), np.float32)
        for k in range(m):
            self._fill(self.rectangles[:, k], 1.0)
        self._masks()

    def state(self) -> dict[str, np.ndarray]:
        """The state of the episode, for `restore`."""
        return {
            "counts": np.array([self.step_count, self.placed]),
            "rectangles": self.rectangles.copy(),
            "low": self.low.copy(),
            "high": self.high.copy(),
            "corner": self.corner.copy(),
            "mirrored": self.mirrored.copy(),
            "filled": self.filled.copy(),
        }

    def restore(self, state: dict[str, np.ndarray]) -> None:
        self.step_count, self.placed = (int(v) for v in state["counts"])
        for key in ("rectangles", "low", "high", "corner", "mirrored", "filled"):
            setattr(self, key, state[key].copy())
        self._masks()

    def _fill(self, box: np.ndarray, sign: float) -> None:
        x0, y0, x1, y1 = box
        cover(
            self.filled,
            x0 / self.cell_width,
            y0 / self.cell_height,
            x1 / self.cell_width,
            y1 / self.cell_height,
            sign,
        )

    @property
    def current(self) -> int:
        """Index of the macro to act on; in refinement they take turns."""
        n = len(self.nodes)
        return self.placed if self.placed < n else (self.step_count - n) % n

    def _masks(self) -> None:
        i = self.current
        n, m = self.placed, self.obstacles.shape[1]
        others = self.rectangles
        if n == len(self.nodes) and n:
            others = np.delete(self.rectangles, m + i, 1)
            n -= 1
            if self.placed == len(self.nodes):
                self._extents(skip=i)
        w, h = self.width[i], self.height[i]
        W, H = self.design.canvas.width, self.design.canvas.height
        self.free = forbidden(
            n + m, *others, w, h, self.cell_width, self.cell_height, W, H, self.count
        )
        t = self.nets
        a, b = t.start[i], t.start[i + 1]
        wire_axis(a, b, t.nets, self.low[0], self.high[0], t.weight, t.pin_low[0], t.pin_high[0],
                  self.cell_width, self.wire_x)  # fmt: skip
        wire_axis(a, b, t.nets, self.low[1], self.high[1], t.weight, t.pin_low[1], t.pin_high[1],
                  self.cell_height, self.wire_y)  # fmt: skip

    def _extents(self, skip: int = -1) -> None:
        """Net extents from scratch, without macro `skip`."""
        t = self.nets
        self.low, self.high = t.fixed_low.copy(), t.fixed_high.copy()
        for k in range(len(self.nodes)):
            if k != skip:
                self._extend(k)

    def _extend(self, k: int) -> None:
        t = self.nets
        a, b = t.start[k], t.start[k + 1]
        for axis in range(2):
            low, high = t.pin_low[axis], t.pin_high[axis]
            if self.mirrored[k] >> axis & 1:
                size = (self.width if axis == 0 else self.height)[k]
                low, high = size - high, size - low
            extend(a, b, t.nets, self.low[axis], self.high[axis], low, high, self.corner[k, axis])

    # -- gymnasium -------------------------------------------------------------------------
    def action_mask(self) -> np.ndarray:
        """Allowed cells, [rows * columns] bool."""
        return (self.count == 0).ravel()

    def observation(self) -> dict[str, np.ndarray]:
        canvas, n = self.design.canvas, len(self.nodes)
        shape = self.count.shape
        mask, wire = np.empty(shape, np.int8), np.empty(shape, np.float32)
        filled = np.empty(shape, np.float32)
        observe(self.count, self.wire_x, self.wire_y, self.filled, mask, wire, filled)
        size = np.stack([self.width, self.height], 1) / 2
        places = (self.corner + size) / [canvas.width, canvas.height]
        done = self.placed >= n and self.step_count >= n + self.config.refine
        return {
            "mask": mask,
            "wire": wire,
            "filled": filled,
            "node": np.array([n if done else self.current], np.int32),
            "places": np.where(np.isnan(places), -1, places).astype(np.float32),
        }

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        super().reset(seed=seed)
        self._clear()
        observation = self.observation()
        return observation, {"action_mask": observation["mask"].view(np.bool_).ravel()}

    def greedy_action(self) -> int:
        """The allowed cell with the least wire; -1 if there is none."""
        return int(cheapest(self.count, self.wire_x, self.wire_y, self.wire_x.view(np.int64))[0])

    def step(self, action: Any) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        c, n = self.config, len(self.nodes)
        if self.step_count >= n + c.refine or (self.placed < n and not self.free):
            raise InputError("the episode is over", hint="Call reset()")
        row, column = divmod(int(action), c.columns)
        reward = 0.0
        replaced = False
        if self.placed == n:
            reward += self._refine(row, column)
        else:
            if self.count[row, column] != 0:
                rows, columns = np.nonzero(self.count == 0)
                k = int(np.argmin(np.abs(rows - row) + np.abs(columns - column)))
                row, column, replaced = int(rows[k]), int(columns[k]), True
                reward += self.penalty
            reward -= (self.wire_x[column] + self.wire_y[row]) / self.norm
            self._put(self.placed, column, row)
            self.placed += 1
        self.step_count += 1
        terminated = self.step_count == n + c.refine
        dead = False
        if not terminated:
            self._masks()
            dead = self.placed < n and not self.free
        if dead:
            terminated = True
            reward -= 1.0
        elif terminated and c.reward == "proxy":
            reward -= self.proxy()
        observation = self.observation()
        info: dict[str, Any] = {
            "action_mask": observation["mask"].view(np.bool_).ravel(), "replaced": replaced,
        }  # fmt: skip
        if terminated:
            info |= {"dead_end": dead, "hpwl": None if dead else self.macro_hpwl()}
        return observation, float(reward), terminated, False, info

    def _put(self, k: int, column: int, row: int) -> None:
        x, y = column * self.cell_width, row * self.cell_height
        m = self.obstacles.shape[1]
        self.corner[k] = x, y
        self.rectangles[:, m + k] = x, y, x + self.width[k], y + self.height[k]
        self._extend(k)
        self._fill(self.rectangles[:, m + k], 1.0)

    def _refine(self, row: int, column: int) -> float:
        """Move, swap or flip the current macro; the reward is the half-perimeter saved."""
        k, m = self.current, self.obstacles.shape[1]
        before = self.macro_hpwl()
        x, y = column * self.cell_width, row * self.cell_height
        r = self.rectangles[:, m:]
        under = (r[0] <= x + EPS_CELL) & (x + EPS_CELL < r[2])
        under &= (r[1] <= y + EPS_CELL) & (y + EPS_CELL < r[3])
        inside = np.flatnonzero(under)
        if len(inside) and inside[0] == k:
            self.mirrored[k] = (self.mirrored[k] + 1) % 4
        elif self.count[row, column] == 0:
            self._fill(r[:, k], -1.0)
            self._put(k, column, row)
        elif len(inside):
            j = int(inside[0])
            if self.width[j] == self.width[k] and self.height[j] == self.height[k]:
                self.corner[[j, k]] = self.corner[[k, j]]
                self.rectangles[:, [m + j, m + k]] = self.rectangles[:, [m + k, m + j]]
        return (before - self.macro_hpwl()) / self.norm

    # -- results ---------------------------------------------------------------------------
    def placement(self) -> Design:
        """The design with the macros placed so far; the others stay where the design has them."""
        d, canvas = self.start_design, self.design.canvas
        x, y, orientation = d.x.copy(), d.y.copy(), d.orientation.copy()
        done = ~np.isnan(self.corner[:, 0])
        nodes = self.nodes[done]
        x[nodes] = canvas.x0 + self.corner[done, 0] + self.width[done] / 2
        y[nodes] = canvas.y0 + self.corner[done, 1] + self.height[done] / 2
        orientation[nodes] = np.array([0, 2, 3, 1], np.int8)[self.mirrored[done]]
        return d.at(x, y, orientation)

    def macro_hpwl(self) -> float:
        """Half-perimeter over the pins of placed macros and fixed nodes [design units]."""
        self._extents()
        extent = np.where(self.high >= self.low, self.high - self.low, 0.0)
        return float(extent.sum())

    def proxy(self) -> float:
        """The proxy of the present macros with soft macros pulled to their nets.

        A pin outside the canvas, which leaves the proxy undefined, counts in the nearest cell.
        """
        placed = draw_soft(self.placement(), self.config.soft_steps)
        return float(Evaluator(placed).load(placed).cost[3])

    def render(self) -> np.ndarray:
        """The canvas as an image [256, 256, 3] uint8."""
        picture = np.full((256, 256, 3), 255, np.uint8)
        W, H = self.design.canvas.width, self.design.canvas.height
        m = self.obstacles.shape[1]
        for k in range(m + self.placed):
            x0, y0, x1, y1 = self.rectangles[:, k]
            a, b = int(256 * x0 / W), max(int(256 * x1 / W), int(256 * x0 / W) + 1)
            c, d = int(256 * y0 / H), max(int(256 * y1 / H), int(256 * y0 / H) + 1)
            picture[256 - d : 256 - c, a:b] = (60, 60, 60) if k < m else (200, 85, 61)
        return picture


EPS_CELL = 1e-7


def draw_soft(design: Design, rounds: int = 12) -> Design:
    """Pull soft macros to the mean of the other pins of their nets, spread over crowded cells.

    Damped averaging with a push against the density gradient: fast and deterministic; annealing
    does better and takes longer.
    """
    soft = np.flatnonzero((design.kind == SOFT) & ~design.fixed)
    if not len(soft) or not rounds:
        return design
    x, y = design.x.copy(), design.y.copy()
    canvas = design.canvas
    x[soft], y[soft] = canvas.x0 + canvas.width / 2, canvas.y0 + canvas.height / 2
    net_of = np.repeat(np.arange(design.nets), np.diff(design.net_start))
    degree = np.diff(design.net_start)
    node = design.pin_node
    pull = 1.0 / np.maximum(degree - 1, 1)
    columns, rows = 24, 24
    for k in range(rounds):
        xy = design.pin_xy(x, y)
        for axis, target in ((0, x), (1, y)):
            total = np.bincount(net_of, xy[:, axis], design.nets)
            others = (total[net_of] - xy[:, axis]) / np.maximum(degree[net_of] - 1, 1)
            use = degree[net_of] > 1
            mass = np.bincount(node[use], pull[net_of[use]], design.nodes)
            force = np.bincount(node[use], (pull[net_of] * others)[use], design.nodes)
            mean = np.where(mass > 0, force / np.maximum(mass, 1e-12), target)
            target[soft] = 0.3 * target[soft] + 0.7 * mean[soft]
        cell_width, cell_height = canvas.width / columns, canvas.height / rows
        c = np.clip((x - canvas.x0) / cell_width, 0, columns - 1).astype(int)
        r = np.clip((y - canvas.y0) / cell_height, 0, rows - 1).astype(int)
        area = np.bincount(r * columns + c, design.width * design.height, rows * columns)
        smooth = np.pad((area / (cell_width * cell_height)).reshape(rows, columns), 1, mode="edge")
        slope_y = np.gradient(smooth, axis=0)
        slope_x = np.gradient(smooth, axis=1)
        strength = 0.6 * (k + 1) / rounds
        x[soft] -= strength * cell_width * np.clip(slope_x[r + 1, c + 1], -2, 2)[soft]
        y[soft] -= strength * cell_height * np.clip(slope_y[r + 1, c + 1], -2, 2)[soft]
        half_w, half_h = design.width[soft] / 2, design.height[soft] / 2
        x[soft] = np.clip(x[soft], canvas.x0 + half_w, canvas.x1 - half_w)
        y[soft] = np.clip(y[soft], canvas.y0 + half_h, canvas.y1 - half_h)
    return design.at(x, y)
