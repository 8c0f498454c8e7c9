"""How far a placement, and a placer, can be misled by a netlist that is a little wrong.

Within a tolerance t, either every net's weight is off by a factor up to 1 + t or down to 1 - t, the
total staying what it is, or every pin of a macro by t times the macro's sides, within the macro.
Two questions are asked of a design:

as placed     how much does the wire of one placement change? The largest weighted half-perimeter
              within the tolerance is known in closed form (`worst_weights`, `worst_pins`).
placed anew   how much is lost if the placer is given the wrong netlist and judged on the right one?
              The placer is a black box here: the worst of some random changes, beside the spread
              that its seed alone makes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np

from sciml.errors import InputError, unknown
from sciml.placement.cost.proxy import proxy_cost
from sciml.placement.cost.wirelength import net_hpwl
from sciml.placement.design import MACRO, ROTATION, Design

Kind = Literal["weights", "pins"]
Placer = Callable[[Design, int], Design]
"""(design, seed) -> the design as placed."""


def with_weights(design: Design, change: np.ndarray, tolerance: float) -> Design:
    """The design with weights times 1 + tolerance * change [M], each within [-1, 1]; the total of
    the weights stays."""
    weights = design.net_weight * (1 + tolerance * change)
    total = float(weights.sum())
    scale = float(design.net_weight.sum()) / max(total, 1e-300)
    return replace(design, net_weight=weights * scale)


def with_pins(design: Design, change: np.ndarray, tolerance: float) -> Design:
    """The design with the pins of hard macros moved by tolerance * change [P, 2] of the macro's
    sides (as oriented N), each within [-1, 1], and no farther than its edges."""
    node = design.pin_node
    on_macro = design.kind[node] == MACRO
    out = []
    for axis, (offset, size) in enumerate(
        ((design.pin_dx, design.width), (design.pin_dy, design.height))
    ):
        half = np.maximum(0.5 * size[node], np.abs(offset))  # pins outside stay where they are
        moved = np.clip(offset + tolerance * size[node] * change[:, axis], -half, half)
        out.append(np.where(on_macro, moved, offset))
    return replace(design, pin_dx=out[0], pin_dy=out[1])


def worst_weights(design: Design, tolerance: float) -> np.ndarray:
    """[M] the change of weights that makes the weighted half-perimeter longest.

    Long nets gain what short ones lose: of all ways to part the nets by length, the best.
    """
    length = net_hpwl(design)
    order = np.argsort(-length, kind="stable")
    weight, wire = design.net_weight[order], (design.net_weight * length)[order]
    more = np.concatenate([[0.0], np.cumsum(weight)])
    wires = np.concatenate([[0.0], np.cumsum(wire)])
    # The first k nets are raised, the others lowered; then all are scaled to the old total.
    total = more[-1] + tolerance * (2 * more - more[-1])
    reached = (wires[-1] + tolerance * (2 * wires - wires[-1])) / np.maximum(total, 1e-300)
    change = np.full(len(weight), -1.0)
    change[order[: int(reached.argmax())]] = 1.0
    return change


def worst_pins(design: Design, tolerance: float) -> np.ndarray:
    """[P, 2] the change of pins that makes the half-perimeters longest.

    Of each net and axis, the pin that can get farthest out goes there, at either end; a net of
    which one pin could do both best gives it to the end where more is lost without it.
    """
    node = design.pin_node
    turn = ROTATION[design.orientation[node]].reshape(-1, 2, 2).astype(float)
    here = design.pin_xy()
    change = np.zeros((design.pins, 2))
    all_pins = np.ones((design.pins, 2))
    up, down = (with_pins(design, sign * all_pins, tolerance) for sign in (1.0, -1.0))
    own = np.stack([design.pin_dx, design.pin_dy], 1)
    reach = [np.stack([d.pin_dx, d.pin_dy], 1) - own for d in (down, up)]  # below 0, above 0
    for axis in (0, 1):
        source = np.abs(turn[:, axis]).argmax(1)  # the side of the macro that moves along this axis
        sign = turn[np.arange(len(turn)), axis, source]
        low, high = (r[np.arange(len(turn)), source] * sign for r in reach)
        low, high = np.minimum(low, high), np.maximum(low, high)
        at = here[:, axis]
        for first, last in zip(design.net_start[:-1], design.net_start[1:], strict=True):
            if last - first < 2:
                continue
            part = slice(int(first), int(last))
            rightmost, leftmost = _ends(at[part] + high[part], at[part] + low[part])
            change[first + rightmost, source[first + rightmost]] = sign[first + rightmost]
            change[first + leftmost, source[first + leftmost]] = -sign[first + leftmost]
    return change


def _ends(farthest: np.ndarray, nearest: np.ndarray) -> tuple[int, int]:
    """Indices (i, j), i != j, of the largest farthest[i] - nearest[j]."""
    right, left = np.argsort(-farthest)[:2], np.argsort(nearest)[:2]
    pairs = [(i, j) for i in right for j in left if i != j]
    return max(pairs, key=lambda pair: farthest[pair[0]] - nearest[pair[1]])


CHANGES = {"weights": (with_weights, worst_weights), "pins": (with_pins, worst_pins)}


def _wire(design: Design) -> float:
    """Weighted half-perimeter."""
    return float(design.net_weight @ net_hpwl(design))


def drawn(design: Design, kind: str, rng: np.random.Generator) -> np.ndarray:
    """A random change: each number -1 or 1, which no smaller one outdoes on the mean."""
    shape = (design.nets,) if kind == "weights" else (design.pins, 2)
    return rng.choice((-1.0, 1.0), shape)


def robustness(
    design: Design, placer: Placer, *, kinds: tuple[Kind, ...] = ("weights", "pins"),
    tolerances: tuple[float, ...] = (0.05, 0.1, 0.2), tries: int = 5, seed: int = 0,
) -> list[dict[str, Any]]:  # fmt: skip
    """A row per kind and tolerance, of relative changes.

    "wire, random" and "wire, worst": of the weighted wire length of one placement. "anew, mean"
    and "anew, worst": proxy lost by placements that were made for wrong netlists; "seeds": half the
    range of the proxy that as many seeds make on the right one.

    Raises:
        InputError: an unknown kind, a tolerance that is not within (0, 1), or no try.
    """
    for kind in kinds:
        if kind not in get_args(Kind):
            raise unknown("kind of change", kind, get_args(Kind))
    if any(not 0 < t < 1 for t in tolerances) or not tolerances:
        raise InputError(f"tolerances must be within (0, 1), got {list(tolerances)}")
    if tries < 1:
        raise InputError(f"`tries` must be at least 1, got {tries}")
    rng = np.random.default_rng([seed, 256])
    placed = placer(design, seed)
    right = proxy_cost(placed).proxy
    others = [proxy_cost(placer(design, seed + 1 + k)).proxy for k in range(tries)]
    if not np.isfinite([right, *others]).all():
        raise InputError("has no proxy: a pin is outside the canvas", where=design.source)
    spread = (max([right, *others]) - min([right, *others])) / 2 / right
    base = float(np.mean([right, *others]))
    rows, wire = [], _wire(placed)
    for kind in kinds:
        change, worst = CHANGES[kind]
        for tolerance in tolerances:
            changes = [drawn(placed, kind, rng) for _ in range(tries)]
            random = [_wire(change(placed, c, tolerance)) / wire - 1 for c in changes]
            farthest = _wire(change(placed, worst(placed, tolerance), tolerance)) / wire - 1
            anew = []
            for k in range(tries):
                wrong = placer(change(design, drawn(design, kind, rng), tolerance), seed + 1 + k)
                judged = design.at(wrong.x, wrong.y, wrong.orientation)
                anew.append(proxy_cost(judged).proxy / base - 1)
            rows.append({
                "kind": kind, "tolerance": tolerance,
                "wire, random": float(np.mean(random)), "wire, worst": farthest,
                "anew, mean": float(np.mean(anew)), "anew, worst": float(np.max(anew)),
                "seeds": float(spread),
            })  # fmt: skip
    return rows
