"""Placing macros one by one, as a gymnasium environment.

An episode puts every movable hard macro on a grid, the largest first. It begins with all nodes
where electrostatic placement has them (`guide`), so that every state has a proxy: of the macros
that are placed at their cells, of the others and of the soft macros where the guide has them. The
reward of a step is what the proxy falls by, over all nets with their weights, density and
congestion. At the end the soft macros settle around the hard ones, from where they are, if that
costs less. With `refine` the episode goes on with moves and swaps of single macros before that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import gymnasium
import numpy as np
from gymnasium import spaces

from sciml.config import Range
from sciml.errors import InputError
from sciml.placement.cost.incremental import Incremental
from sciml.placement.cost.proxy import LEVEL
from sciml.placement.design import MACRO, Design
from sciml.placement.learning.guide import electrostatic_guide, settle
from sciml.placement.learning.masks import (
    MOST,
    cheapest,
    cover,
    forbidden,
    net_extents,
    observe,
    order_of,
    wire_axis,
)
from sciml.renamed import Formerly

SCALE = 10.0
"""Reward for a proxy that is lower by 1."""
DEAD_END = -10.0
"""Reward of an episode that ends because a macro has no allowed cell."""
REPLACED = -0.1
"""Reward of an action that is not allowed."""
FINEST, COARSEST = 96, 16
"""Limits of the columns and rows that follow the sizes of macros."""
MAPS = ("wire", "filled", "density", "congestion")
_TURNS = np.array([[0, 3], [2, 1]], np.int8)  # [left and right exchanged, top and bottom]


@dataclass(frozen=True)
class EnvConfig:
    """Settings of an episode."""

    columns: Annotated[int, Range(min=0, max=1024)] = 0
    """Grid columns; 0: two or more to a small macro, between 16 and 96."""
    rows: Annotated[int, Range(min=0, max=1024)] = 0
    """Grid rows; 0: as `columns`."""
    order: Literal["area", "nets", "connected", "given"] = "area"
    """Order in which macros are placed; see `masks.order_of`."""
    reward: Literal["hpwl", "proxy"] = "proxy"
    """The proxy, or its first term, the weighted half-perimeter, alone."""
    refine: Annotated[int, Range(min=0)] = 0
    """Steps of refinement after all macros are placed."""
    settle: Annotated[int, Range(min=0), Formerly("soft_steps")] = 60
    """Steps of electrostatic placement of the soft macros at the end."""


class PlacementEnv(gymnasium.Env[dict[str, np.ndarray], np.int64]):
    """See the module. Observations, all finite:

    | key | shape | meaning |
    |---|---|---|
    | mask | [rows, columns] int8 | 1: the next macro may have its corner here |
    | wire | [rows, columns] float32 | growth of its nets over the mean growth, 0: not allowed |
    | filled | [rows, columns] float32 | share of each cell that placed and fixed macros cover |
    | density | [rows, columns] float32 | share that all macros cover, hard and soft |
    | congestion | [rows, columns] float32 | routing demand over supply, the busier direction |
    | node | [1] int32 | index of the next macro among the movable ones (their number: none) |
    | macro | [4] float32 | its width and height, and its centre in the guide, over the canvas |
    | places | [macros, 2] float32 | centres of all movable macros as they are, over the canvas |

    Action: cell r * columns + c of the lower-left corner; of the orientations N, FN, FS and S that
    the macro may have, it takes the one with the shortest wire. A cell that is not allowed is
    replaced by the nearest allowed one, which costs `REPLACED`; a macro without an allowed cell
    ends the episode (a dead end, `DEAD_END`). In refinement an action moves the macro `node` (in
    turn) to that cell, or exchanges it with the macro of equal size there.

    Args:
        design: fixed nodes stay where they are; coordinates of movable ones are not read.
        guide: in place of the electrostatic placement of `design`.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 4}

    def __init__(
        self, design: Design, config: EnvConfig | None = None, render_mode: str | None = None,
        guide: Design | None = None,
    ) -> None:  # fmt: skip
        self.design, self.config = design, config or EnvConfig()
        self.render_mode = render_mode
        c, canvas = self.config, design.canvas
        self.nodes = order_of(design, c.order)
        if not len(self.nodes):
            raise InputError("no movable hard macro in this design", where=design.source)
        self.width, self.height = design.width[self.nodes], design.height[self.nodes]
        self.columns = c.columns or _cells(canvas.width, self.width)
        self.rows = c.rows or _cells(canvas.height, self.height)
        self.cell_width, self.cell_height = canvas.width / self.columns, canvas.height / self.rows
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
        self.start_design = electrostatic_guide(design) if guide is None else guide
        weights = (0.5, 0.5) if c.reward == "proxy" else (0.0, 0.0)
        self.moves = Incremental(self.start_design, weights=weights)
        self.start_proxy = self.moves.proxy
        self.rank = self.moves.rank[self.nodes]
        rules = design.constraints
        turns = np.full(len(self.nodes), 0xFF) if rules is None else rules.allowed[self.nodes]
        south, mirrored, upside_down = ((turns >> k & 1).astype(bool) for k in (1, 2, 3))
        self.flips_x, self.flips_y = mirrored, upside_down & (south | ~mirrored)
        p = self.moves.problem
        most = int(np.diff(p.node_net_start)[self.rank].max())
        self.low, self.high, self.pin_low, self.pin_high = np.zeros((4, 2, most))
        self.weight = np.zeros(most)
        n, R, C = len(self.nodes), self.rows, self.columns
        self.guide = np.stack([self.start_design.x - canvas.x0, self.start_design.y - canvas.y0], 1)
        self.guide = np.clip(self.guide[self.nodes] / [canvas.width, canvas.height], 0, 1)
        self.observation_space = spaces.Dict(  # type: ignore[assignment]
            {
                "mask": spaces.Box(0, 1, (R, C), np.int8),
                **{name: spaces.Box(0, MOST, (R, C), np.float32) for name in MAPS},
                "node": spaces.Box(0, n, (1,), np.int32),
                "macro": spaces.Box(0, 1, (4,), np.float32),
                "places": spaces.Box(0, 1, (n, 2), np.float32),
            }
        )
        self.action_space = spaces.Discrete(R * C)
        self.count = np.zeros((R, C), np.int32)
        self.wire_x, self.wire_y = np.zeros(C), np.zeros(R)
        self.mirrored_x, self.mirrored_y = np.zeros(C), np.zeros(R)
        self._row = ((np.arange(R) + 0.5) * p.rows / R).astype(np.int64)
        self._column = ((np.arange(C) + 0.5) * p.columns / C).astype(np.int64)
        self._clear()

    # -- the state -------------------------------------------------------------------------
    def _clear(self) -> None:
        n, m, start = len(self.nodes), self.obstacles.shape[1], self.start_design
        self.step_count, self.placed, self.settled = 0, 0, False
        self.rectangles = np.zeros((4, n + m))
        self.rectangles[:, :m] = self.obstacles
        self.corner = np.full((n, 2), np.nan)
        self.filled = np.zeros((self.rows, self.columns), np.float32)
        for k in range(m):
            self._fill(self.rectangles[:, k], 1.0)
        self._load(start.x, start.y, start.orientation)
        self._masks()

    def _load(self, x: np.ndarray, y: np.ndarray, orientation: np.ndarray) -> float:
        """All nodes at other positions; earlier moves do not change the last digits of the cost."""
        self.moves.state.level[:] = LEVEL
        return self.moves.load(x, y, orientation)

    def state(self) -> dict[str, np.ndarray]:
        """The state of the episode, for `restore`.

        Rounding errors that moves have added up are removed, here and there alike.
        """
        placed = self.moves.design()
        self._load(placed.x, placed.y, placed.orientation)
        soft = np.stack([placed.x, placed.y]) if self.settled else np.zeros((2, 0))
        return {
            "counts": np.array([self.step_count, self.placed]),
            "rectangles": self.rectangles.copy(),
            "corner": self.corner.copy(),
            "orientation": placed.orientation[self.nodes],
            "filled": self.filled.copy(),
            "settled": soft,
        }

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go back to a `state` of this environment, or of one of the same design and settings."""
        self.step_count, self.placed = (int(v) for v in state["counts"])
        for key in ("rectangles", "corner", "filled"):
            setattr(self, key, state[key].copy())
        x, y, orientation = self._places(self.start_design, state["orientation"])
        self.settled = state["settled"].shape[1] > 0
        if self.settled:
            x, y = state["settled"]
        self._load(x, y, orientation)
        self._masks()

    def __getstate__(self) -> dict[str, Any]:
        self.state()  # the copy is free of rounding errors: so should this be
        return self.__dict__

    def _places(
        self, start: Design, turns: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x, y and orientation of all nodes with the macros that are placed."""
        x, y, orientation = start.x.copy(), start.y.copy(), start.orientation.copy()
        done = ~np.isnan(self.corner[:, 0])
        nodes, canvas = self.nodes[done], self.design.canvas
        x[nodes] = canvas.x0 + self.corner[done, 0] + self.width[done] / 2
        y[nodes] = canvas.y0 + self.corner[done, 1] + self.height[done] / 2
        orientation[nodes] = turns[done]
        return x, y, orientation

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
        if n == len(self.nodes):
            others = np.delete(self.rectangles, m + i, 1)
            n -= 1
        w, h = self.width[i], self.height[i]
        W, H = self.design.canvas.width, self.design.canvas.height
        self.free = forbidden(
            n + m, *others, w, h, self.cell_width, self.cell_height, W, H, self.count
        )
        nets = self.nets = net_extents(
            self.moves.problem, self.moves.state, int(self.rank[i]), self.low, self.high,
            self.pin_low, self.pin_high, self.weight,
        )  # fmt: skip
        for axis, size, step, flips, wire, mirrored in (
            (0, w, self.cell_width, self.flips_x, self.wire_x, self.mirrored_x),
            (1, h, self.cell_height, self.flips_y, self.wire_y, self.mirrored_y),
        ):
            args = (nets, self.low[axis], self.high[axis], self.weight, self.pin_low[axis],
                    self.pin_high[axis], size)  # fmt: skip
            wire_axis(*args, False, step, wire)
            mirrored[:] = np.inf
            if flips[i]:
                wire_axis(*args, True, step, mirrored)

    # -- gymnasium -------------------------------------------------------------------------
    def action_mask(self) -> np.ndarray:
        """Allowed cells, [rows * columns] bool."""
        return (self.count == 0).ravel()

    def wire(self) -> tuple[np.ndarray, np.ndarray]:
        """f(c) [columns] and g(r) [rows]: what the current macro adds to its nets' weighted
        half-perimeters [units] at cell (r, c) is f(c) + g(r), in its best orientation there."""
        return np.minimum(self.wire_x, self.mirrored_x), np.minimum(self.wire_y, self.mirrored_y)

    def observation(self) -> dict[str, np.ndarray]:
        """What the agent sees now."""
        canvas, n, s = self.design.canvas, len(self.nodes), self.moves.state
        size = [canvas.width, canvas.height]
        mask = np.empty(self.count.shape, np.int8)
        maps = np.empty((len(MAPS), *mask.shape), np.float32)
        observe(self.count, *self.wire(), self.filled, s.density, s.value_h, s.value_v, self._row,
                self._column, mask, maps)  # fmt: skip
        i = self.current
        done = self.placed >= n and self.step_count >= n + self.config.refine
        macro = [self.width[i] / size[0], self.height[i] / size[1], *self.guide[i]]
        places = np.stack([s.x[self.rank], s.y[self.rank]], 1) / size
        return {
            "mask": mask,
            **dict(zip(MAPS, maps, strict=True)),
            "node": np.array([n if done else i], np.int32),
            "macro": np.minimum(macro, 1).astype(np.float32),
            "places": np.clip(places, 0, 1).astype(np.float32),
        }

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """A new episode of the same design."""
        super().reset(seed=seed)
        self._clear()
        observation = self.observation()
        return observation, {"action_mask": observation["mask"].view(np.bool_).ravel()}

    def greedy_action(self) -> int:
        """The allowed cell with the least wire; -1 if there is none."""
        wire_x, wire_y = self.wire()
        return int(cheapest(self.count, wire_x, wire_y, wire_x.view(np.int64))[0])

    def guided_action(self) -> int:
        """The allowed cell nearest to where the guide has the macro; -1 if there is none."""
        return self.nearest(*self.guide[self.current])

    def nearest(self, x: float, y: float) -> int:
        """The allowed cell in which the current macro's centre is nearest to x, y (over the
        canvas size); -1 if there is none."""
        i, canvas = self.current, self.design.canvas
        along = np.arange(self.columns) * self.cell_width + self.width[i] / 2 - x * canvas.width
        up = np.arange(self.rows) * self.cell_height + self.height[i] / 2 - y * canvas.height
        distance = np.where(self.count == 0, along[None] ** 2 + up[:, None] ** 2, np.inf)
        cell = int(distance.argmin())
        return cell if np.isfinite(distance.flat[cell]) else -1

    def step(self, action: Any) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """Place (or in refinement move) the current macro; see the class.

        Raises:
            InputError: the episode is over.
        """
        n, last = len(self.nodes), len(self.nodes) + self.config.refine
        if self.step_count >= last or (self.placed < n and not self.free):
            raise InputError("the episode is over", hint="Call reset()")
        row, column = divmod(int(action), self.columns)
        before, reward, replaced = self.moves.proxy, 0.0, False
        if self.placed == n:
            self._refine(row, column)
        else:
            if self.count[row, column] != 0:
                rows, columns = np.nonzero(self.count == 0)
                k = int(np.argmin(np.abs(rows - row) + np.abs(columns - column)))
                row, column, replaced = int(rows[k]), int(columns[k]), True
                reward += REPLACED
            self._put(self.placed, column, row)
            self.placed += 1
        self.step_count += 1
        terminated, dead = self.step_count == last, False
        if terminated:
            self._settle()
        self._masks()
        if not terminated and self.placed < n and not self.free:
            terminated = dead = True
            reward += DEAD_END
        reward += SCALE * (before - self.moves.proxy)
        observation = self.observation()
        info: dict[str, Any] = {
            "action_mask": observation["mask"].view(np.bool_).ravel(), "replaced": replaced,
        }  # fmt: skip
        if terminated:
            info |= {
                "dead_end": dead,
                "hpwl": None if dead else self.hpwl(),
                "proxy": None if dead else self.moves.proxy,
                "start_proxy": self.start_proxy,
            }
        return observation, float(reward), terminated, False, info

    def _put(self, k: int, column: int, row: int) -> None:
        x, y = column * self.cell_width, row * self.cell_height
        m, canvas = self.obstacles.shape[1], self.design.canvas
        turn = _TURNS[
            int(self.mirrored_x[column] < self.wire_x[column]),
            int(self.mirrored_y[row] < self.wire_y[row]),
        ]
        self.corner[k] = x, y
        self.rectangles[:, m + k] = x, y, x + self.width[k], y + self.height[k]
        self._fill(self.rectangles[:, m + k], 1.0)
        centre = canvas.x0 + x + self.width[k] / 2, canvas.y0 + y + self.height[k] / 2
        self.moves.put(int(self.nodes[k]), *centre, int(turn))

    def _refine(self, row: int, column: int) -> None:
        """Move or exchange the current macro."""
        k, m = self.current, self.obstacles.shape[1]
        x, y = column * self.cell_width, row * self.cell_height
        r = self.rectangles[:, m:]
        under = (r[0] <= x + EPS_CELL) & (x + EPS_CELL < r[2])
        under &= (r[1] <= y + EPS_CELL) & (y + EPS_CELL < r[3])
        inside = np.flatnonzero(under)
        if self.count[row, column] == 0:
            self._fill(r[:, k], -1.0)
            self._put(k, column, row)
        elif len(inside) and inside[0] != k:
            j = int(inside[0])
            if self.width[j] == self.width[k] and self.height[j] == self.height[k]:
                self.corner[[j, k]] = self.corner[[k, j]]
                self.rectangles[:, [m + j, m + k]] = self.rectangles[:, [m + k, m + j]]
                centre, s = self.moves.evaluator.design.canvas, self.moves.state
                a, b = int(self.rank[j]), int(self.rank[k])
                for node, x, y, turn in (
                    (j, s.x[b], s.y[b], s.orientation[a]), (k, s.x[a], s.y[a], s.orientation[b]),
                ):  # fmt: skip
                    self.moves.put(int(self.nodes[node]), centre.x0 + x, centre.y0 + y, int(turn))

    def _settle(self) -> None:
        """Soft macros around the hard ones, if that costs less."""
        now = self.moves.design()
        before = self._load(now.x, now.y, now.orientation)
        then = settle(now, self.config.settle)
        after = before if then is now else self._load(then.x, then.y, then.orientation)
        self.settled = after < before
        if not self.settled:
            self._load(now.x, now.y, now.orientation)

    # -- results ---------------------------------------------------------------------------
    def placement(self) -> Design:
        """The design as it is: macros that are not placed yet where the guide has them."""
        return self.moves.design()

    def hpwl(self) -> float:
        """Weighted half-perimeter of all nets as placed [design units]."""
        return float(self.moves.state.cost[0])

    def proxy(self) -> float:
        """What the reward is counted in, as placed: the proxy (or the first term of it alone).

        A pin outside the canvas, which leaves the proxy undefined, counts in the nearest cell.
        """
        return self.moves.proxy

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


def _cells(extent: float, sizes: np.ndarray) -> int:
    """Cells along an axis: two or more to a macro that is smaller than nine of ten."""
    small = max(float(np.quantile(sizes, 0.1)), 1e-9)
    return int(np.clip(np.ceil(2 * extent / small), COARSEST, FINEST))
