"""The inner loop of the annealer: propose, attempt, adapt; compiled, with its own random numbers.

The generator is xoshiro256** (Blackman and Vigna 2021) on an explicit state, so that a search can
be saved and resumed bitwise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from sciml.placement.classical.macro_limits import apart, clear, clip, slide
from sciml.placement.cost.incremental import attempt, overlaps_hard
from sciml.placement.cost.topsum import FAST, INLINE

SHIFT, SWAP, FLIP, JUMP, SOFT_SHIFT, SOFT_PULL, SOFT_SNAP, SOFT_SWAP = range(8)


def seed_state(seed: int) -> np.ndarray:
    """Four words of generator state from a seed."""
    return np.random.SeedSequence(seed).generate_state(4, np.uint64)


@njit(**FAST)
def _rotl(x: Any, k: int) -> Any:
    return (x << np.uint64(k)) | (x >> np.uint64(64 - k))


@njit(**FAST)
def uniform(g: Any) -> float:
    """The next random number in (0, 1)."""
    out = _rotl(g[1] * np.uint64(5), 7) * np.uint64(9)
    t = g[1] << np.uint64(17)
    g[2] ^= g[0]
    g[3] ^= g[1]
    g[1] ^= g[2]
    g[0] ^= g[3]
    g[2] ^= t
    g[3] = _rotl(g[3], 45)
    return (float(out >> np.uint64(11)) + 0.5) * (1.0 / 9007199254740992.0)


@njit(**FAST)
def normal(g: Any) -> float:
    """A number from the normal distribution (Box and Muller 1958)."""
    return np.sqrt(-2.0 * np.log(uniform(g))) * np.cos(6.283185307179586 * uniform(g))


@njit(**FAST)
def pick(g: Any, n: int) -> int:
    """A random index below n."""
    return min(int(uniform(g) * n), n - 1)


@njit(**INLINE)
def _clip(p: Any, m: Any, k: int) -> None:
    """Keep the proposed centre where the node is inside the canvas."""
    i = m.node[k]
    w = p.width[i] / 2
    h = p.height[i] / 2
    m.x[k] = min(max(m.x[k], w), p.columns * p.cell_width - w)
    m.y[k] = min(max(m.y[k], h), p.rows * p.cell_height - h)


@njit(**INLINE)
def _slide(p: Any, s: Any, m: Any) -> bool:
    """Push the proposed position out of the first overlap, the shorter way; False if that fails."""
    i = m.node[0]
    for _ in range(2):
        hit = -1
        for j in range(p.hard):
            if (
                j != i
                and abs(s.x[j] - m.x[0]) < (p.width[i] + p.width[j]) * 0.5 - 1e-9
                and abs(s.y[j] - m.y[0]) < (p.height[i] + p.height[j]) * 0.5 - 1e-9
            ):
                hit = j
                break
        if hit < 0:
            return True
        gap_x = (p.width[i] + p.width[hit]) * 0.5
        gap_y = (p.height[i] + p.height[hit]) * 0.5
        dx = m.x[0] - s.x[hit]
        dy = m.y[0] - s.y[hit]
        if gap_x - abs(dx) < gap_y - abs(dy):
            m.x[0] = s.x[hit] + (gap_x if dx > 0 else -gap_x)
        else:
            m.y[0] = s.y[hit] + (gap_y if dy > 0 else -gap_y)
        _clip(p, m, 0)
    return not overlaps_hard(p, s, i, m.x[0], m.y[0], -1)


@njit(**INLINE)
def _pull(p: Any, s: Any, m: Any, g: Any, window: float) -> bool:
    """Propose a position towards a pin of one of the node's nets."""
    i = m.node[0]
    a = p.node_net_start[i]
    b = p.node_net_start[i + 1]
    if a == b:
        return False
    net = p.node_nets[a + pick(g, b - a)]
    q = p.net_start[net] + pick(g, p.net_start[net + 1] - p.net_start[net])
    if p.pin_node[q] == i:
        return False
    f = uniform(g) if uniform(g) < 0.5 else 1.0
    m.x[0] = s.x[i] + f * (s.pin_x[q] - s.x[i]) + window * 0.3 * normal(g)
    m.y[0] = s.y[i] + f * (s.pin_y[q] - s.y[i]) + window * 0.3 * normal(g)
    return True


@njit(**INLINE)
def propose(
    p: Any, s: Any, m: Any, g: Any, hard: Any, soft: Any, share: Any, window: Any, centred: int,
    c: Any,
) -> tuple[int, int]:  # fmt: skip
    """Draw one move into m. Returns (kind, number of nodes), 0 nodes if it is not legal.

    hard, soft: movable nodes; share: cumulative probabilities of hard moves, then of each kind;
    window: soft and hard step, swap radius; centred: macros only at centres of grid cells; c: the
    `Limits` of hard macros.
    """
    gw = p.cell_width
    gh = p.cell_height
    if len(soft) == 0 or (len(hard) > 0 and uniform(g) < share[0]):
        i = hard[pick(g, len(hard))]
        u = uniform(g)
        m.node[0] = i
        m.x[0] = s.x[i]
        m.y[0] = s.y[i]
        m.orientation[0] = s.orientation[i]
        if u < share[1] or (u < share[2] and len(hard) < 2):
            v = uniform(g)
            if v < 0.5 or v >= 0.8:
                m.x[0] += max(window[1], gw * centred) * normal(g)
            if v >= 0.5:
                m.y[0] += max(window[1], gh * centred) * normal(g)
            kind = SHIFT
        elif u < share[2]:
            j = hard[pick(g, len(hard))]
            for _ in range(12):
                near = abs(s.x[i] - s.x[j]) < window[2] and abs(s.y[i] - s.y[j]) < window[2]
                if j != i and near:
                    break
                j = hard[pick(g, len(hard))]
            if i == j:
                return SWAP, 0
            m.node[1] = j
            m.x[0] = s.x[j]
            m.y[0] = s.y[j]
            m.x[1] = s.x[i]
            m.y[1] = s.y[i]
            m.orientation[1] = s.orientation[j]
            if c.active:
                clip(c, m, 0)
                clip(c, m, 1)
                if not (
                    clear(p, s, c, i, m.x[0], m.y[0], m.orientation[0], j)
                    and clear(p, s, c, j, m.x[1], m.y[1], m.orientation[1], i)
                    and apart(
                        c, i, m.x[0], m.y[0], m.orientation[0], j, m.x[1], m.y[1], m.orientation[1]
                    )
                ):
                    return SWAP, 0
            elif p.width[i] != p.width[j] or p.height[i] != p.height[j]:
                _clip(p, m, 0)
                _clip(p, m, 1)
                if overlaps_hard(p, s, i, m.x[0], m.y[0], j):
                    return SWAP, 0
                if overlaps_hard(p, s, j, m.x[1], m.y[1], i):
                    return SWAP, 0
                if (
                    abs(m.x[0] - m.x[1]) < (p.width[i] + p.width[j]) * 0.5 - 1e-9
                    and abs(m.y[0] - m.y[1]) < (p.height[i] + p.height[j]) * 0.5 - 1e-9
                ):
                    return SWAP, 0
            return SWAP, 2
        elif u < share[3]:
            m.orientation[0] = (s.orientation[i] + 1 + pick(g, 3)) % 4
            if c.active:
                m.orientation[0] |= s.orientation[i] & 4  # quarter turns are kept
                if not c.turns[i] >> m.orientation[0] & 1:
                    return FLIP, 0
                if not clear(p, s, c, i, s.x[i], s.y[i], m.orientation[0], -1):
                    return FLIP, 0
            return FLIP, 1
        else:
            kind = JUMP
            if not _pull(p, s, m, g, window[0]):
                return JUMP, 0
            if uniform(g) < 0.5:
                m.orientation[0] = pick(g, 4)
                if c.active:
                    m.orientation[0] |= s.orientation[i] & 4
                    if not c.turns[i] >> m.orientation[0] & 1:
                        m.orientation[0] = s.orientation[i]
        if centred:
            m.x[0] = (np.floor(m.x[0] / gw) + 0.5) * gw
            m.y[0] = (np.floor(m.y[0] / gh) + 0.5) * gh
            if c.active:
                x = m.x[0]
                y = m.y[0]
                clip(c, m, 0)
                inside = x == m.x[0] and y == m.y[0]
                return kind, 1 if inside and clear(p, s, c, i, x, y, m.orientation[0], -1) else 0
            w = p.width[i] / 2
            h = p.height[i] / 2
            if m.x[0] < w or m.y[0] < h:
                return kind, 0
            if m.x[0] + w > p.columns * gw or m.y[0] + h > p.rows * gh:
                return kind, 0
            return kind, 0 if overlaps_hard(p, s, i, m.x[0], m.y[0], -1) else 1
        if c.active:
            return kind, 1 if slide(p, s, c, m) else 0
        _clip(p, m, 0)
        return kind, 1 if _slide(p, s, m) else 0
    i = soft[pick(g, len(soft))]
    u = uniform(g)
    m.node[0] = i
    m.orientation[0] = s.orientation[i]
    if u < share[4]:
        v = uniform(g)
        m.x[0] = s.x[i]
        m.y[0] = s.y[i]
        if v < 0.4 or v >= 0.8:
            m.x[0] += window[0] * normal(g)
        if v >= 0.4:
            m.y[0] += window[0] * normal(g)
        kind = SOFT_SHIFT
    elif u < share[5]:
        kind = SOFT_PULL
        if not _pull(p, s, m, g, window[0]):
            return kind, 0
    elif u < share[6]:
        kind = SOFT_SNAP
        m.x[0] = (np.floor((s.x[i] + window[0] * normal(g)) / gw) + 0.5) * gw
        m.y[0] = s.y[i] + window[0] * normal(g)
    else:
        j = soft[pick(g, len(soft))]
        for _ in range(12):
            near = abs(s.x[i] - s.x[j]) < 3 * window[0] and abs(s.y[i] - s.y[j]) < 3 * window[0]
            if j != i and near:
                break
            j = soft[pick(g, len(soft))]
        if i == j:
            return SOFT_SWAP, 0
        m.node[1] = j
        m.orientation[1] = s.orientation[j]
        m.x[0] = s.x[j]
        m.y[0] = s.y[j]
        m.x[1] = s.x[i]
        m.y[1] = s.y[i]
        _clip(p, m, 0)
        _clip(p, m, 1)
        return SOFT_SWAP, 2
    _clip(p, m, 0)
    return kind, 1


@njit(**FAST)
def anneal(
    p: Any, s: Any, m: Any, g: Any, hard: Any, soft: Any, share: Any, window: Any,
    centred: int, c: Any, temperature: float, moves: int, counts: Any,
) -> None:  # fmt: skip
    """`moves` Metropolis steps at one temperature. counts[kind] += (tried, accepted, illegal)."""
    for _ in range(moves):
        kind, n = propose(p, s, m, g, hard, soft, share, window, centred, c)
        if n == 0:
            counts[kind, 2] += 1
            continue
        counts[kind, 0] += 1
        limit = s.cost[3] - temperature * np.log(uniform(g))
        if attempt(p, s, m, n, limit) == 1:
            counts[kind, 1] += 1


@njit(**FAST)
def uphill(
    p: Any, s: Any, m: Any, g: Any, hard: Any, soft: Any, share: Any, window: Any,
    centred: int, c: Any, moves: int,
) -> float:  # fmt: skip
    """The mean increase of the cost over uphill moves: the scale of temperatures."""
    total = 0.0
    n = 0
    for _ in range(moves):
        _, count = propose(p, s, m, g, hard, soft, share, window, centred, c)
        if count == 0:
            continue
        before = s.cost[3]
        for k in range(count):
            i = m.node[k]
            m.saved[k, 0] = s.x[i]
            m.saved[k, 1] = s.y[i]
            m.saved_orientation[k] = s.orientation[i]
        if attempt(p, s, m, count, 1e300) != 1:
            continue
        if s.cost[3] > before:
            total += s.cost[3] - before
            n += 1
        for k in range(count):
            m.x[k] = m.saved[k, 0]
            m.y[k] = m.saved[k, 1]
            m.orientation[k] = m.saved_orientation[k]
        attempt(p, s, m, count, 1e300)
    return total / n if n else 0.0
