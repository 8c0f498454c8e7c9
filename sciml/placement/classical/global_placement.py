"""Electrostatic global placement: smooth wire length against a charge density, by Nesterov.

Lu et al., "ePlace" (ACM TODAES 2015) and Lin et al., "DREAMPlace" (DAC 2019). Wires of nets with at
most `max_pins` pins pull, charges push (`electrostatics`); filler charges take up the white space.
The weight of the density grows while the wire length allows it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any

import numpy as np

from sciml.config import Range
from sciml.placement.classical.electrostatics import Field, deposit, gather, wire_gradient
from sciml.placement.constraints import PARTIAL, keep_out, oriented_halo
from sciml.placement.design import MACRO, PORT, Design

USUAL_STEPS = 450
"""Steps that a placement takes if there is time enough."""
HEAVIEST = 1e20
"""Largest weight of the density, whose products single precision still holds."""


@dataclass(frozen=True)
class GlobalConfig:
    """Settings of the electrostatic placer."""

    bins: Annotated[int, Range(min=0)] = 0
    """Bins of the density along each axis, a power of two; 0 = from the number of nodes."""
    target: Annotated[float, Range(min=0, max=1)] = 0.95
    """Largest density of a bin."""
    iterations: Annotated[int, Range(min=1)] = 900
    """Largest number of steps."""
    overflow: Annotated[float, Range(min=0, max=1)] = 0.1
    """Stop when this share of the movable area is in overfull bins."""
    first_weight: Annotated[float, Range(min=0, exclusive=True)] = 0.001
    """First weight of the density, over the ratio of the two gradients."""
    calm: Annotated[float, Range(min=0, exclusive=True)] = 0.002
    """The density gains weight while wires grow by less than this share per step."""
    device: str = ""
    """A torch device such as "cuda" for the forces; empty: compiled code on the CPU."""
    max_pins: Annotated[int, Range(min=2)] = 400
    """Larger nets (clocks, resets) do not pull."""


@dataclass(frozen=True)
class Descent:
    """Nesterov's method between two steps; coordinates [2, nodes and fillers; bins]."""

    u: np.ndarray
    """Major solution."""
    v: np.ndarray
    """Reference solution."""
    last_v: np.ndarray | None = None
    last_gradient: np.ndarray | None = None
    a: float = 1.0
    weight: Any = None
    """Of the density (single precision); None: not yet set."""
    length: float | None = None
    """Half-perimeter at the last step [bins]."""
    best: np.ndarray = field(default_factory=lambda: np.empty(0))
    """The solution of least overflow."""
    best_overflow: float = np.inf
    haste: float = 1.0
    """How much faster than usual the density gains weight."""
    step: int = 0
    spent: float = 0.0
    """CPU-seconds."""
    overflow: float = 1.0
    finished: bool = False

    def arrays(self) -> dict[str, np.ndarray]:
        """As arrays by name, for a file."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: np.array(v) for name, v in values.items() if v is not None}

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> Descent:
        """The inverse of `arrays`; names of others are ignored."""
        own: dict[str, Any] = {f.name: arrays[f.name] for f in fields(cls) if f.name in arrays}
        for name, value in own.items():
            if value.ndim == 0:  # the weight's precision is part of the state
                own[name] = value[()] if value.dtype == np.float32 else value.item()
        return cls(**own)


class GlobalPlacer:
    """Global placement of one design; `run` returns centres of all nodes.

    Args:
        design: fixed nodes and, for `start="file"`, where movable ones start.
        start: "zero" puts all movable nodes around the middle.
    """

    def __init__(
        self, design: Design, config: GlobalConfig | None = None, seed: int = 0,
        start: str = "zero",
    ) -> None:  # fmt: skip
        self.config = config or GlobalConfig()
        self.design = design
        c, canvas = self.config, design.canvas
        self.movable = np.flatnonzero(~design.fixed & (design.kind != PORT))
        count = len(self.movable)
        bins = c.bins or int(2 ** np.clip(np.round(np.log2(max(count, 16)) / 2 + 0.4), 4, 10))
        self.bins = bins
        self.bw, self.bh = canvas.width / bins, canvas.height / bins
        width, height = design.size()
        rng = np.random.default_rng(seed)
        f32 = np.float32
        # Fixed nodes give a constant density; only their part inside the canvas counts.
        fixed = np.flatnonzero(design.fixed & (design.kind != PORT) & (width * height > 0))
        self.fixed_density = np.zeros((bins, bins), f32)
        deposit(
            ((design.x[fixed] - canvas.x0) / self.bw).astype(f32),
            ((design.y[fixed] - canvas.y0) / self.bh).astype(f32),
            (width[fixed] / self.bw / 2).astype(f32), (height[fixed] / self.bh / 2).astype(f32),
            np.ones(len(fixed), f32), self.fixed_density,
        )  # fmt: skip
        self._keep_out(fixed)
        np.minimum(self.fixed_density, 1.0, out=self.fixed_density)
        free = float((1 - self.fixed_density).sum()) * self.bw * self.bh
        w, h = width[self.movable], height[self.movable]
        area = float((w * h).sum())
        # Some white space remains, so that a design that is nearly full can still be spread.
        self.target = float(np.clip(c.target, min(1.0, area / max(free, 1e-30) * 1.02), 1.0))
        fill = max(free * self.target - area, 0.0)
        small = np.sort(w * h)[int(0.05 * count) : max(int(0.95 * count), 1)]
        size = math.sqrt(max(float(small.mean()) if len(small) else 1.0, 1e-12))
        fillers = int(min(fill / size**2, count // 2))
        size = math.sqrt(fill / fillers) if fillers else 0.0
        self.count, self.fillers = count, fillers
        all_w = np.concatenate([w, np.full(fillers, size)]) / self.bw
        all_h = np.concatenate([h, np.full(fillers, size)]) / self.bh
        # Nodes smaller than a bin are widened, with the same charge (ePlace, eq. 33).
        min_width = math.sqrt(2.0)
        wide, high = np.maximum(all_w, min_width), np.maximum(all_h, min_width)
        self.half_w, self.half_h = (wide / 2).astype(f32), (high / 2).astype(f32)
        self.charge = (all_w * all_h / (wide * high)).astype(f32)
        self.mass = (all_w * all_h).astype(f32)
        # Hard macros have less charge than area, or they would never come to rest.
        hard = np.flatnonzero(design.kind[self.movable] == MACRO)
        self.charge[hard] *= self.target
        self.low_x = np.minimum(all_w / 2, bins / 2).astype(f32)
        self.low_y = np.minimum(all_h / 2, bins / 2).astype(f32)
        self.high_x, self.high_y = f32(bins) - self.low_x, f32(bins) - self.low_y
        self._members()
        if start == "zero":
            x = rng.normal(bins / 2, 0.01 * bins, count)
            y = rng.normal(bins / 2, 0.01 * bins, count)
        else:
            x = (design.x[self.movable] - canvas.x0) / self.bw
            y = (design.y[self.movable] - canvas.y0) / self.bh
        self.x = np.concatenate([x, rng.uniform(0, bins, fillers)]).astype(f32)
        self.y = np.concatenate([y, rng.uniform(0, bins, fillers)]).astype(f32)
        self._nets()
        self.field = Field(bins, bins)
        self.forces = None
        if c.device:
            from sciml.placement.classical.global_tensors import TensorForces

            self.forces = TensorForces(self, c.device)
        self.descent: Descent | None = None

    def _keep_out(self, fixed: np.ndarray) -> None:
        """Halos, blockages and everything off the die are full, PARTIAL blockages in part."""
        design, f32 = self.design, np.float32
        rules = design.constraints
        if rules is None:
            return
        width, height = design.size()
        halo = oriented_halo(rules.halo, design.orientation)[fixed]
        x, y, w, h = design.x[fixed], design.y[fixed], width[fixed] / 2, height[fixed] / 2
        around = np.stack([x - w, y - h, x + w, y + h], 1) + halo * [-1, -1, 1, 1]
        partial = rules.blockages.kind == PARTIAL
        parts = [around[halo.any(1)], keep_out(design, ~design.fixed),
                 rules.blockages.boxes[partial]]  # fmt: skip
        charge = np.ones(sum(map(len, parts)), f32)
        charge[len(charge) - int(partial.sum()) :] = 1 - rules.blockages.density[partial]
        boxes = np.concatenate(parts)
        canvas = design.canvas
        deposit(
            ((boxes[:, 0] + boxes[:, 2] - 2 * canvas.x0) / self.bw / 2).astype(f32),
            ((boxes[:, 1] + boxes[:, 3] - 2 * canvas.y0) / self.bh / 2).astype(f32),
            ((boxes[:, 2] - boxes[:, 0]) / self.bw / 2).astype(f32),
            ((boxes[:, 3] - boxes[:, 1]) / self.bh / 2).astype(f32), charge, self.fixed_density,
        )  # fmt: skip

    def _members(self) -> None:
        """Members of a region stay within its extent."""
        rules, canvas = self.design.constraints, self.design.canvas
        if rules is None or not rules.regions:
            return
        region = rules.required_region()[self.movable]
        for k in np.unique(region[region >= 0]).tolist():
            i = np.flatnonzero(region == k)
            box = rules.regions[k].boxes
            for low, high, first, size, step in (
                (self.low_x, self.high_x, 0, canvas.x0, self.bw),
                (self.low_y, self.high_y, 1, canvas.y0, self.bh),
            ):
                a, b = (box[:, first].min() - size) / step, (box[:, first + 2].max() - size) / step
                half = np.minimum(low[i], (b - a) / 2)
                high[i] = np.clip(b, 0, self.bins) - half
                low[i] = np.minimum(np.clip(a, 0, self.bins) + half, high[i])

    def _nets(self) -> None:
        """Nets in bins; fixed nodes are added after the movable ones."""
        d, f32 = self.design, np.float32
        xy = d.pin_xy()
        rank = np.full(d.nodes, -1)
        rank[self.movable] = np.arange(self.count)
        moving = rank[d.pin_node] >= 0
        dx = np.where(moving, xy[:, 0] - d.x[d.pin_node], 0) / self.bw
        dy = np.where(moving, xy[:, 1] - d.y[d.pin_node], 0) / self.bh
        # Each pin of a fixed node is a node of its own.
        still = np.flatnonzero(~moving)
        node = rank[d.pin_node].copy()
        node[still] = self.count + np.arange(len(still))
        self.still_x = ((xy[still, 0] - d.canvas.x0) / self.bw).astype(f32)
        self.still_y = ((xy[still, 1] - d.canvas.y0) / self.bh).astype(f32)
        # Nets without movable pins have no force.
        touched = np.zeros(d.nets, bool)
        net_of = np.repeat(np.arange(d.nets), np.diff(d.net_start))
        touched[net_of[moving]] = True
        touched &= np.diff(d.net_start) >= 2
        keep = touched[net_of]
        self.pin_node = node[keep].astype(np.int32)
        self.pin_dx, self.pin_dy = dx[keep].astype(f32), dy[keep].astype(f32)
        self.start = np.concatenate([[0], np.cumsum(np.diff(d.net_start)[touched])])
        self.weight = d.net_weight[touched].astype(f32)
        self.buffer = np.zeros((3, int(np.diff(self.start).max(initial=2))), f32)
        self.aspect = self.bh / self.bw
        self.pins_of = np.bincount(
            self.pin_node[self.pin_node < self.count], minlength=self.count
        ).astype(f32)

    def wire(self, x: np.ndarray, y: np.ndarray, gamma: float) -> tuple[float, np.ndarray]:
        """(half-perimeter in bins, gradient [2, count])."""
        if self.forces is not None:
            return self.forces.wire(x, y, gamma)
        ax = np.concatenate([x[: self.count], self.still_x])
        ay = np.concatenate([y[: self.count], self.still_y])
        g = np.zeros((2, len(ax)), np.float32)
        length = wire_gradient(
            self.start, self.pin_node, self.pin_dx, self.pin_dy, self.weight, ax, ay,
            np.float32(1 / gamma), self.config.max_pins, g[0], g[1], self.buffer,
        )  # fmt: skip
        g[1] *= self.aspect
        return length, g[:, : self.count]

    def crowd(self, x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
        """(overflow, gradient of the density energy [2, nodes and fillers])."""
        if self.forces is not None:
            return self.forces.crowd(x, y)
        density = self.fixed_density * np.float32(self.target)
        args = (self.half_w, self.half_h, self.charge)
        n = self.count
        deposit(x[:n], y[:n], *(a[:n] for a in args), density)
        over = float(np.maximum(density - self.target, 0).sum() / max(self.mass[:n].sum(), 1e-12))
        if self.fillers:
            deposit(x[n:], y[n:], *(a[n:] for a in args), density)
        field_x, field_y = self.field(density)
        g = np.empty((2, len(x)), np.float32)
        gather(x, y, *args, field_x, field_y, g[0], g[1])
        return over, -g

    def run(
        self, seconds: float = np.inf, report: Callable[[dict[str, float]], None] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Place within `seconds` of CPU time; returns centres x, y of all nodes.

        After an interruption it continues from the last complete step (`descent`).
        """
        c, n = self.config, self.count
        if self.descent is None:
            u = np.stack(self._inside(self.x, self.y))
            self.descent = Descent(u, u.copy(), best=u.copy())
        d = self.descent
        began = time.process_time() - d.spent
        for k in range(d.step, c.iterations if not d.finished else 0):
            over, crowd = self.crowd(d.v[0], d.v[1])
            gamma = 0.5 * 8.0 * 10 ** (20 / 9 * min(over, 1.0) - 11 / 9)
            length, pull = self.wire(d.v[0], d.v[1], max(gamma, 0.05))
            weight, haste = d.weight, d.haste
            if weight is None:
                weight = (
                    c.first_weight * np.abs(pull).sum() / max(np.abs(crowd[:, :n]).sum(), 1e-12)
                )
            gradient = weight * crowd
            gradient[:, :n] += pull
            pins = np.zeros(d.u.shape[1], np.float32)
            pins[:n] = self.pins_of
            gradient /= np.maximum(pins + np.float32(weight) * self.mass, 1.0)
            if d.last_gradient is None:
                step = 0.1 / max(float(np.abs(gradient).max()), 1e-12)
            else:  # inverse of the estimated Lipschitz constant
                moved = float(np.linalg.norm(d.v - d.last_v))
                changed = float(np.linalg.norm(gradient - d.last_gradient))
                step = moved / max(changed, 1e-12)
            u = np.stack(self._inside(*(d.v - np.float32(step) * gradient)))
            a = (1 + math.sqrt(4 * d.a * d.a + 1)) / 2
            v = np.stack(self._inside(*(u + np.float32((d.a - 1) / a) * (u - d.u))))
            if d.length is not None:
                change = (length - d.length) / (haste * c.calm * max(length, 1e-9))
                mu = 1.05 if change < 0 else max(1.05 ** (1 - change), 0.95)
                weight = min(weight * min(mu, 1.05) ** haste, HEAVIEST)
            finished = over < c.overflow and k > 20
            best, best_overflow = d.best, d.best_overflow
            if over < best_overflow or k < 20 or finished:
                best, best_overflow = u.copy(), over
            spent = time.process_time() - began
            if k == 10:  # fewer steps than usual can be afforded: the density gains faster
                haste = float(np.clip(USUAL_STEPS * spent / (k + 1) / seconds, 1.0, 4.0))
            # In one assignment, so that Ctrl-C leaves a complete step.
            d = self.descent = Descent(
                u, v, d.v, gradient, a, weight, length, best, best_overflow, haste, k + 1, spent,
                over, finished,
            )  # fmt: skip
            if report is not None and k % 50 == 0:
                report({"progress": min(1.0, (1 - over) ** 2), "overflow": over,
                        "hpwl": float(length) * self.bw})  # fmt: skip
            if finished or spent > seconds:
                break
        return self.centres(d.best)

    def now(self) -> np.ndarray:
        """The major solution after the last complete step."""
        return np.stack([self.x, self.y]) if self.descent is None else self.descent.u

    def centres(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """x, y of all nodes [design units], those that move at u [2, nodes and fillers; bins]."""
        x, y = self.design.x.copy(), self.design.y.copy()
        x[self.movable] = self.design.canvas.x0 + u[0, : self.count] * self.bw
        y[self.movable] = self.design.canvas.y0 + u[1, : self.count] * self.bh
        return x, y

    def _inside(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.clip(x, self.low_x, self.high_x), np.clip(y, self.low_y, self.high_y)
