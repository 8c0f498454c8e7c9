"""From a flat netlist to a clustered one, as in Circuit Training: cells become soft macros.

Cells are partitioned by multilevel hypergraph partitioning (Mt-KaHyPar; Gottesbueren and others,
ACM TALG 2024) into parts of about equal area that nets connect as little as possible (km1: the
number of parts that a net reaches, less one). Hard macros and ports stay as they are. As in Circuit
Training's grouping, a net within one part goes, nets from one part to the same sinks become one of
their summed weight, a part has one pin in its middle, and it is a square of its cells' area where
their centre of gravity is (in the middle of the canvas, if they have no positions).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from sciml.errors import InputError, load_extra
from sciml.placement.constraints import without
from sciml.placement.design import CELL, MACRO, SOFT, Design, build
from sciml.placement.tokens import Names

CELLS_PER_CLUSTER = 113
"""As in the clustered Ariane133 of TILOS MacroPlacement (88,411 cells, 782 clusters)."""
WIDEST_NET = 1000
"""Nets of more cells (clocks, resets) say nothing about who belongs together."""
AREA_STEPS = 1000
"""Weight of the mean cell, as partitioners take whole numbers."""


@dataclass(frozen=True)
class Clustered:
    """A clustered design, and of each node of the flat one its index there."""

    design: Design
    index: np.ndarray
    """[N]; -1 for cells that no net reaches, which are left out."""
    cut: float
    """km1 of the partition: weight of the nets, times the parts they reach less one."""


def cluster(
    design: Design,
    clusters: int | None = None,
    *,
    seed: int = 0,
    imbalance: float = 0.05,
    utilisation: float = 1.0,
    threads: int = 1,
) -> Clustered:
    """A design of hard macros, soft macros and ports from a flat one.

    Args:
        design: has standard cells; soft macros that it has already stay.
        clusters: number of parts; by default one for every `CELLS_PER_CLUSTER` cells.
        seed: of the partitioning, which is deterministic.
        imbalance: how much larger than the mean a part may be (in area).
        utilisation: of the soft macros by their cells; below 1 they are larger.
        threads: of the partitioning.

    Raises:
        InputError: there are no cells on nets, or a number is out of range.
        MissingExtra: Mt-KaHyPar is not installed.
    """
    if not 0 < utilisation <= 1:
        raise InputError(f"`utilisation` must be > 0 and at most 1, got {utilisation:g}")
    if not 0 < imbalance <= 1:
        raise InputError(f"`imbalance` must be > 0 and at most 1, got {imbalance:g}")
    on_net = np.bincount(design.pin_node, minlength=design.nodes) > 0
    cells = np.flatnonzero((design.kind == CELL) & on_net)
    if not len(cells):
        raise InputError("has no standard cells on nets to cluster", where=design.source)
    count = max(round(len(cells) / CELLS_PER_CLUSTER), 1) if clusters is None else clusters
    if not 1 <= count <= len(cells):
        raise InputError(f"`clusters` must be 1 to {len(cells):,}, the number of cells, "
                         f"got {count:,}", where=design.source)  # fmt: skip
    part, cut = _partition(design, cells, count, seed, imbalance, threads)
    _, part = np.unique(part, return_inverse=True)  # an empty part would be a macro without area
    others = np.flatnonzero(design.kind != CELL)
    index = np.full(design.nodes, -1)
    index[others], index[cells] = np.arange(len(others)), len(others) + part
    return Clustered(_contract(design, others, cells, part, index, utilisation), index, cut)


@functools.cache
def _library(threads: int) -> tuple[Any, Any]:
    mtkahypar = load_extra("mtkahypar", "placement", "clustering a netlist")
    return mtkahypar, mtkahypar.initialize(threads)


def _partition(
    design: Design, cells: np.ndarray, count: int, seed: int, imbalance: float, threads: int
) -> tuple[np.ndarray, float]:
    """(part of each cell, km1)."""
    if count == 1:
        return np.zeros(len(cells), np.int64), 0.0
    rank = np.full(design.nodes, -1)
    rank[cells] = np.arange(len(cells))
    net = np.repeat(np.arange(design.nets), np.diff(design.net_start))
    on_cell = rank[design.pin_node] >= 0
    pairs = np.unique(np.stack([net[on_cell], rank[design.pin_node[on_cell]]], 1), axis=0)
    starts = np.flatnonzero(np.append(True, pairs[1:, 0] != pairs[:-1, 0]))
    ends = np.append(starts[1:], len(pairs))
    use = (ends - starts >= 2) & (ends - starts <= WIDEST_NET)
    edges = [pairs[a:b, 1].tolist() for a, b in zip(starts[use], ends[use], strict=True)]
    weight = design.net_weight[pairs[starts[use], 0]]
    scale = 1.0 if (weight == np.round(weight)).all() else 100 / max(float(weight.mean()), 1e-12)
    area = (design.width * design.height)[cells]
    steps = np.maximum(np.round(area / max(float(area.mean()), 1e-30) * AREA_STEPS), 1)
    mtkahypar, library = _library(threads)
    mtkahypar.set_seed(seed)
    context = library.context_from_preset(mtkahypar.PresetType.DETERMINISTIC)
    context.set_partitioning_parameters(count, imbalance, mtkahypar.Objective.KM1)
    context.logging = False
    hypergraph = library.create_hypergraph(
        context, len(cells), len(edges), edges, steps.astype(int).tolist(),
        np.maximum(np.round(weight * scale), 1).astype(int).tolist(),
    )  # fmt: skip
    parts = hypergraph.partition(context)
    part = np.array([parts.block_id(i) for i in range(len(cells))])
    return part, float(parts.km1()) / scale


def _contract(
    design: Design, others: np.ndarray, cells: np.ndarray, part: np.ndarray, index: np.ndarray,
    utilisation: float,
) -> Design:  # fmt: skip
    """The clustered design; nodes: `others`, then the parts."""
    n, parts = len(others), int(part.max()) + 1
    area = (design.width * design.height)[cells]
    mass = np.maximum(area, 1e-30)
    total = np.bincount(part, area, parts)
    side = np.sqrt(total / utilisation)
    canvas = design.canvas
    middle = ((canvas.x0 + canvas.x1) / 2, (canvas.y0 + canvas.y1) / 2)
    placed = np.ones(len(cells), bool)
    if design.constraints is not None:
        placed = ~design.constraints.unplaced[cells]
    weight = np.bincount(part[placed], mass[placed], parts)
    centres = []
    for axis, start in zip((design.x, design.y), middle, strict=True):
        moment = np.bincount(part[placed], (mass * axis[cells])[placed], parts)
        centres.append(np.where(weight > 0, moment / np.maximum(weight, 1e-300), start))
    names = [design.names[i] for i in others]
    taken = set(names)
    labels = [f"Grp_{k}" for k in range(parts)]
    while taken & set(labels):
        labels = [f"{label}_" for label in labels]
    zeros = np.zeros(parts)
    references = design.references
    without(design.constraints, "a clustered netlist")
    return build(
        design.source, name=design.name, names=Names.of([*names, *labels]),
        kind=np.append(design.kind[others], np.full(parts, SOFT)),
        width=np.append(design.width[others], side), height=np.append(design.height[others], side),
        x=np.append(design.x[others], centres[0]), y=np.append(design.y[others], centres[1]),
        orientation=np.append(design.orientation[others], zeros),
        fixed=np.append(design.fixed[others], zeros),
        canvas=canvas, grid=design.grid, unit_um=design.unit_um, canvas_from=design.canvas_from,
        references=None if references is None else
        [*(references[i] for i in others), *([""] * parts)],
        **_merged_nets(design, index, n),
    )  # fmt: skip


def _merged_nets(design: Design, index: np.ndarray, first_part: int) -> dict[str, Any]:
    """The nets between nodes of the clustered design; parts have one pin each, at their middle."""
    node = index[design.pin_node]
    soft = node >= first_part
    hard = design.kind[design.pin_node] == MACRO
    merged: dict[tuple[tuple[int, ...], ...], float] = {}
    for k, (a, b) in enumerate(zip(design.net_start[:-1], design.net_start[1:], strict=True)):
        # One pin for each part; pins of hard macros stay apart.
        pins: dict[tuple[int, ...], None] = {}
        for p in range(int(a), int(b)):
            pins[(int(node[p]), -1) if soft[p] or not hard[p] else (int(node[p]), p)] = None
        if len({i for i, _ in pins}) < 2:
            continue
        driver, *sinks = pins
        key = (driver, *sorted(sinks))
        merged[key] = merged.get(key, 0.0) + float(design.net_weight[k])
    nodes, offsets, labels, counts = [], [], [], [0]
    for key in merged:
        for i, p in key:
            nodes.append(i)
            offsets.append((design.pin_dx[p], design.pin_dy[p]) if p >= 0 else (0.0, 0.0))
            labels.append(design.pin_names[p] if p >= 0 and design.pin_names is not None else "")
        counts.append(len(nodes))
    dx, dy = np.array(offsets, np.float64).reshape(-1, 2).T
    first = np.zeros(len(nodes), bool)
    first[counts[:-1]] = True
    return {
        "pin_node": np.array(nodes, np.int64), "pin_dx": dx, "pin_dy": dy, "pin_output": first,
        "pin_names": labels, "net_start": np.array(counts),
        "net_weight": np.array([*merged.values()]),
    }  # fmt: skip
