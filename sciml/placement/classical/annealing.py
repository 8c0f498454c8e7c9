"""Simulated annealing on the exact proxy cost, with go-with-the-winners, anytime and resumable.

Hard macros shift (sliding along what they hit), swap, flip and jump towards their nets and stay
legal throughout (by halos, blockages, fences, SYMMETRY and the die, too: `macro_limits`); soft
macros shift, move towards their nets, snap to grid columns and swap. The temperature falls
geometrically between two multiples of the mean uphill move at the start; step widths follow the
acceptance rate. With several chains the worst half takes over the positions of the best half
between stages (Aldous and Vazirani 1994).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from sciml.config import Range
from sciml.errors import InputError
from sciml.placement.classical.annealing_kernel import SHIFT, SOFT_SHIFT, anneal, seed_state, uphill
from sciml.placement.classical.legalise import spread_macros
from sciml.placement.classical.macro_limits import limits_of
from sciml.placement.cost.incremental import make_scratch, refresh
from sciml.placement.cost.proxy import Evaluator
from sciml.placement.design import MACRO, Design

COARSE = 1 << 14
"""Cells of a grid up to which the time of a move hardly depends on the grid."""
CHUNK = 2000
KINDS = np.array([0.45, 0.3, 0.15, 0.1, 0.35, 0.4, 0.1, 0.15])
"""First share of each kind of move, among the four of hard macros and the four of soft ones."""


@dataclass(frozen=True)
class AnnealingConfig:
    """How to anneal; temperatures are relative to the mean uphill move at the start."""

    hot: Annotated[float, Range(min=0)] = 0.5
    """First temperature, in mean uphill moves at the start."""
    cold: Annotated[float, Range(min=0, exclusive=True)] = 0.0036
    """Last temperature, in the same unit."""
    hard_share: Annotated[float, Range(min=0, max=1)] = 0.3
    """Share of the moves that move hard macros."""
    least_tried: Annotated[float, Range(min=0, max=1, exclusive=True)] = 0.15
    """A kind of move that is never accepted is still tried at this multiple of its share."""
    chains: Annotated[int, Range(min=1, max=256)] = 1
    """Independent searches that share the budget; the worst take over from the best."""
    workers: Annotated[int, Range(min=1, max=256)] = 1
    """Threads for the chains."""
    stages: Annotated[int, Range(min=1)] = 25
    """Parts of the run, after each of which chains exchange positions and the state is saved."""
    centred: bool = False
    """Keep hard macros at centres of grid cells, as Circuit Training places them."""
    robust: bool = False
    """Minimise the robust proxy instead of the exact one."""


class Chain:
    """One search: a state, its random numbers and step widths, and the best seen so far."""

    def __init__(self, design: Design, config: AnnealingConfig, seed: Any) -> None:
        self.config = config
        self.evaluator = Evaluator(design, config.robust)
        p = self.problem = self.evaluator.problem
        self.state = self.evaluator.load(design)
        self.scratch = make_scratch(p, self.state)
        refresh(p, self.state, self.scratch)
        free = ~design.fixed[self.evaluator.order]
        self.limits_of_macros = limits_of(design, self.evaluator.order[: p.hard])
        self.hard = np.flatnonzero(free[: p.hard]).astype(np.int64)
        self.soft = (p.hard + np.flatnonzero(free[p.hard : p.macros])).astype(np.int64)
        self.random = seed_state(seed)
        self.accepted = np.ones(8)  # running acceptance rate of each kind of move
        cell = max(p.cell_width, p.cell_height)
        size = max(p.cell_width * p.columns, p.cell_height * p.rows)
        self.limits = np.array([0.28 * size, 0.2 * size, 1.12 * size])
        self.window = np.array([0.28 * size, 0.07 * size, 1.12 * size])
        self.counts = np.zeros((8, 3), np.int64)
        self.moves = 0
        self.seconds = 0.0
        self.smallest = 0.005 * cell
        self.best = np.inf
        self.keep()

    @property
    def share(self) -> np.ndarray:
        """Share of hard moves; cumulative shift, swap, flip | soft shift, pull, snap.

        Kinds that are hardly accepted any more are tried less: late swaps only cost time.
        """
        weight = KINDS * np.clip(self.accepted / 0.1, self.config.least_tried, 1.0)
        hard, soft = weight[:4].cumsum() / weight[:4].sum(), weight[4:].cumsum() / weight[4:].sum()
        return np.array([self.config.hard_share, *hard[:3], *soft[:3]])

    @property
    def cost(self) -> float:
        """The proxy (pins of fixed nodes off the grid count in the nearest cell)."""
        return float(self.state.cost[3])

    def keep(self) -> None:
        """Keep the present placement if it is the best so far."""
        if self.cost < self.best:
            self.best = self.cost
            s = self.state
            self.best_places = (s.x.copy(), s.y.copy(), s.orientation.copy())

    def scale(self) -> float:
        """The mean cost of an uphill move with steps of one grid cell."""
        p = self.problem
        window = np.array([p.cell_width, p.cell_width, self.limits[2]])
        args = (p, self.state, self.scratch, self.random, self.hard, self.soft, self.share)
        value = uphill(
            *args, window, int(self.config.centred), self.limits_of_macros, self.fewer(1000)
        )
        refresh(p, self.state, self.scratch)
        return value

    def fewer(self, moves: int) -> int:
        """`moves`, or on a fine grid, where a move costs more, as many as take equally long."""
        cells = self.problem.columns * self.problem.rows
        return max(moves * COARSE // max(cells, COARSE), 1)

    def step(self, temperature: float, progress: float, moves: int) -> None:
        """`moves` steps at one temperature; the widths then follow the acceptance rate."""
        p, s, m = self.problem, self.state, self.scratch
        # Largest gain expected of a term not yet computed: if that is too little, refuse early.
        m.slack[:] = 0.0006, 0.004
        self.window[2] = max(self.limits[2] * (1 - progress), 0.14 * self.limits[2])
        counts = np.zeros((8, 3), np.int64)
        centred = int(self.config.centred)
        anneal(
            p, s, m, self.random, self.hard, self.soft, self.share, self.window, centred,
            self.limits_of_macros, temperature, moves, counts,
        )  # fmt: skip
        self.counts += counts
        done = counts[:, 1] / np.maximum(counts[:, 0], 1)
        self.accepted += np.where(counts[:, 0] > 0, 0.05 * (done - self.accepted), 0.0)
        self.moves += moves
        for index, kind, target_rate, rate in ((0, SOFT_SHIFT, 0.3, 0.15), (1, SHIFT, 0.25, 0.3)):
            tried = counts[kind, 0]
            if tried > 20:
                wider = np.exp(rate * (counts[kind, 1] / tried - target_rate))
                self.window[index] = np.clip(
                    self.window[index] * wider, self.smallest, self.limits[index]
                )
        if self.moves % (200 * CHUNK) == 0:
            refresh(p, s, m)  # removes rounding drift

    def adopt(self, other: Chain) -> None:
        """Continue from the positions of another chain."""
        for key in ("x", "y", "orientation"):
            getattr(self.state, key)[:] = getattr(other.state, key)
        self.window[:], self.accepted[:] = other.window, other.accepted
        refresh(self.problem, self.state, self.scratch)
        self.keep()

    def result(self) -> Design:
        """The design at the best positions so far."""
        s = self.state
        saved = s.x.copy(), s.y.copy(), s.orientation.copy()
        s.x[:], s.y[:], s.orientation[:] = self.best_places
        design = self.evaluator.store(s)
        s.x[:], s.y[:], s.orientation[:] = saved
        return design


class Annealer:
    """A resumable annealing run over one or several chains.

    Args:
        design: where it starts; hard macros should be legal (`spread_macros`).
        seed: of every random choice.
        cpu_seconds: budget over all chains.
        max_moves: budget in moves over all chains instead; the outcome then depends on nothing
            but the seed.
        starts: one placement per chain instead of `design`.
    """

    def __init__(
        self,
        design: Design,
        config: AnnealingConfig | None = None,
        seed: int = 0,
        cpu_seconds: float = 60.0,
        max_moves: int | None = None,
        starts: list[Design] | None = None,
    ) -> None:
        self.config = config or AnnealingConfig()
        self.by_moves = max_moves is not None
        self.budget, self.seed = cpu_seconds if max_moves is None else float(max_moves), seed
        starts = starts or [design] * self.config.chains
        self.chains = [Chain(start, self.config, [seed, k]) for k, start in enumerate(starts)]
        self.stage, self.spent = 0, 0.0
        first = self.chains[0]
        self.idle = len(first.hard) + len(first.soft) == 0
        if not self.idle:
            first.step(0.0, 0.0, 0)  # compiled, or read from the cache, before time counts
        self.scale = 0.0 if self.idle else float(np.mean([c.scale() for c in self.chains]))
        self.scale = self.scale or 1e-6
        self.history: list[dict[str, float]] = []

    @property
    def best(self) -> Chain:
        return min(self.chains, key=lambda chain: chain.best)

    @property
    def moves(self) -> int:
        return sum(chain.moves for chain in self.chains)

    def temperature(self, progress: float) -> float:
        c = self.config
        return self.scale * c.hot * (c.cold / c.hot) ** progress if c.hot > 0 else 0.0

    def _run_chain(self, chain: Chain, begin: float, end: float, until: Callable[[], bool]) -> None:
        share = (end - begin) * self.budget / len(self.chains)
        clock = time.thread_time()
        done = 0.0
        while done < share and not until():
            progress = begin + (end - begin) * done / share
            moves = chain.fewer(CHUNK)
            if self.by_moves:
                moves = min(moves, int(np.ceil(share - done)))
            chain.step(self.temperature(progress), progress, moves)
            done = done + moves if self.by_moves else time.thread_time() - clock
        chain.seconds += time.thread_time() - clock
        # Without rounding drift, as after `resume`.
        refresh(chain.problem, chain.state, chain.scratch)
        chain.keep()

    def run(self, report: Callable[[dict[str, float]], None] | None = None) -> Chain:
        """Go on to the end of the budget; Ctrl-C ends early and keeps the best.

        Returns the chain with the best placement. `report` gets a dictionary per stage.
        """
        stop = False
        workers = min(self.config.workers, len(self.chains))
        pool = ThreadPoolExecutor(workers) if workers > 1 else None
        try:
            while self.stage < self.config.stages and not self.idle:
                a, b = self.stage / self.config.stages, (self.stage + 1) / self.config.stages
                if pool is None:
                    for chain in self.chains:
                        self._run_chain(chain, a, b, lambda: False)
                else:
                    jobs = [
                        pool.submit(self._run_chain, chain, a, b, lambda: stop)
                        for chain in self.chains
                    ]
                    for job in jobs:
                        job.result()
                self.stage += 1
                self._follow_the_winners()
                self._record(b)
                if report is not None:
                    report(self.history[-1])
        except KeyboardInterrupt:
            stop = True
            for chain in self.chains:
                refresh(chain.problem, chain.state, chain.scratch)
                chain.keep()
        finally:
            stop = True
            if pool is not None:
                pool.shutdown()
        return self.best

    def _record(self, progress: float) -> None:
        best = min(self.chains, key=lambda chain: chain.cost)
        p, cost = best.problem, best.state.cost
        self.history.append(
            {
                "progress": progress,
                "cpu_seconds": sum(c.seconds for c in self.chains),
                "moves": float(self.moves),
                "temperature": self.temperature(progress),
                "wirelength": float(cost[0] / p.norm),
                "density": float(cost[1]),
                "congestion": float(cost[2]),
                "proxy": float(cost[3]),
                "best": self.best.best,
            }
        )

    def _follow_the_winners(self) -> None:
        if len(self.chains) < 2 or self.stage >= self.config.stages:
            return
        ranked = sorted(self.chains, key=lambda chain: chain.cost)
        half = len(ranked) // 2
        for loser, winner in zip(ranked[-half:], ranked[:half], strict=True):
            if self.stage % 3 == 0:
                loser.adopt(winner)

    def state(self) -> dict[str, np.ndarray]:
        """All that `restore` needs to go on from the end of the last stage."""
        arrays: dict[str, Any] = {
            "meta": [self.stage, self.budget, self.scale, self.seed, self.by_moves],
            "columns": len(self.chains),
            "history": json.dumps(self.history),
        }
        for k, chain in enumerate(self.chains):
            s = chain.state
            x, y, orientation = chain.best_places
            arrays |= {
                f"x{k}": s.x, f"y{k}": s.y, f"t{k}": s.orientation, f"r{k}": chain.random,
                f"w{k}": chain.window, f"a{k}": chain.accepted, f"l{k}": s.level,
                f"bx{k}": x, f"by{k}": y, f"bt{k}": orientation,
                f"n{k}": [chain.moves, chain.seconds, chain.best],
            }  # fmt: skip
        return {key: np.array(value) for key, value in arrays.items()}

    def restore(self, arrays: Mapping[str, np.ndarray], where: object = None) -> None:
        """Take up the `state` of a run of the same design.

        Raises:
            InputError: it belongs to another design, seed or budget, or is damaged.
        """
        try:
            stage, budget, scale, seed, by_moves = arrays["meta"]
            if int(arrays["columns"]) != len(self.chains) or seed != self.seed:
                raise InputError("was saved with another seed or number of chains", where=where)
            if budget != self.budget or bool(by_moves) != self.by_moves:
                raise InputError("was saved with another budget", where=where)
            for k, chain in enumerate(self.chains):
                s = chain.state
                s.x[:], s.y[:], s.orientation[:] = arrays[f"x{k}"], arrays[f"y{k}"], arrays[f"t{k}"]
                chain.random[:], chain.window[:] = arrays[f"r{k}"], arrays[f"w{k}"]
                chain.accepted[:] = arrays[f"a{k}"]
                refresh(chain.problem, s, chain.scratch)
                s.level[:] = arrays[f"l{k}"]
                chain.best_places = (arrays[f"bx{k}"], arrays[f"by{k}"], arrays[f"bt{k}"])
                moves, chain.seconds, chain.best = (float(v) for v in arrays[f"n{k}"])
                chain.moves = int(moves)
            self.stage, self.scale = int(stage), float(scale)
            if "history" in arrays:
                self.history = json.loads(str(arrays["history"]))
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"cannot be resumed from: {error}", where=where) from None


def zero_start(design: Design, seed: int) -> Design:
    """A start that does not depend on the positions in the file, but for those of fixed nodes.

    Hard macros are spread legally in random order, soft macros around the middle.
    """
    rng = np.random.default_rng([seed, 1])
    x, y, orientation = design.x.copy(), design.y.copy(), design.orientation.copy()
    free = ~design.fixed
    canvas = design.canvas
    x[free], y[free], orientation[free] = canvas.x0, canvas.y0, 0
    soft = np.flatnonzero(free & (design.kind != MACRO))
    for axis, low, extent, size in (
        (x, canvas.x0, canvas.width, design.width),
        (y, canvas.y0, canvas.height, design.height),
    ):
        middle = low + extent / 2 + rng.normal(0, 0.14 * extent, len(soft))
        half = np.minimum(size[soft] / 2, extent / 2)
        axis[soft] = np.clip(middle, low + half, low + extent - half)
    return spread_macros(design.at(x, y, orientation), rng)
