"""Synthetic netlists that resemble clustered circuits, every property drawn at random.

Clusters are the leaves of a hidden tree. A net starts at a leaf and spans a subtree whose level is
drawn so that the number of wires leaving a block of s clusters grows as s**p, which is Rent's rule
(Landman and Russo 1971; p between 0.5 and 0.75 in real logic). Hard macros come in families of
equal arrays whose pins lie along one edge, as memories have them, and neighbours in the tree share
a family. No real design is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from sciml.config import Range
from sciml.errors import InputError
from sciml.placement.design import CELL, MACRO, PORT, SOFT, Canvas, Design, Grid, Rows, build
from sciml.placement.tokens import Names


@dataclass(frozen=True)
class NetlistConfig:
    """Sizes and statistics of a synthetic netlist; lengths in micrometres."""

    macros: Annotated[int, Range(min=0, max=5000)] = 32
    """Hard macros."""
    clusters: Annotated[int, Range(min=0, max=200_000)] = 128
    """Soft macros (clusters of cells)."""
    ports: Annotated[int, Range(min=0)] = 64
    """Ports around the canvas."""
    nets_per_node: Annotated[float, Range(min=0.1)] = 8.0
    """Nets that start at a node, on average."""
    rent: Annotated[float, Range(min=0.3, max=0.95)] = 0.65
    """Rent exponent p."""
    degree: Annotated[float, Range(min=2, max=20)] = 3.2
    """Mean number of pins of a net."""
    families: Annotated[int, Range(min=1)] = 3
    """Sizes of hard macros."""
    macro_area: Annotated[float, Range(min=0, max=0.95)] = 0.5
    """Share of the total area that is hard macros."""
    utilisation: Annotated[float, Range(min=0.05, max=0.95)] = 0.65
    """Total area over canvas area."""
    aspect: Annotated[float, Range(min=0.25, max=4.0)] = 1.0
    """Canvas height over width."""
    fixed: Annotated[float, Range(min=0, max=1)] = 0.0
    """Share of hard macros that are fixed at legal positions."""


def randomised(rng: np.random.Generator, scale: float = 1.0) -> NetlistConfig:
    """A configuration with random properties; `scale` multiplies the sizes."""
    return NetlistConfig(
        macros=max(2, int(scale * rng.integers(8, 64))),
        clusters=max(4, int(scale * rng.integers(40, 240))),
        ports=max(4, int(scale * rng.integers(16, 128))),
        nets_per_node=float(rng.uniform(4, 14)),
        rent=float(rng.uniform(0.5, 0.75)),
        degree=float(rng.uniform(2.4, 4.5)),
        families=int(rng.integers(1, 5)),
        macro_area=float(rng.uniform(0.3, 0.7)),
        utilisation=float(rng.uniform(0.5, 0.72)),
        aspect=float(np.exp(rng.uniform(-0.4, 0.4))),
    )


def netlist(config: NetlistConfig, seed: int, name: str | None = None) -> Design:
    """One synthetic design; movable nodes start at the canvas's middle.

    Raises:
        InputError: the configuration has no nodes.
    """
    rng = np.random.default_rng([seed, 77])
    hard, soft, ports = config.macros, config.clusters, config.ports
    nodes = hard + soft
    if nodes < 2:
        raise InputError(f"a netlist needs at least 2 macros or clusters, got {nodes}")
    width, height = np.zeros(nodes + ports), np.zeros(nodes + ports)
    share = config.macro_area if hard and soft else float(hard > 0)
    total = 5000.0 * nodes * float(rng.uniform(0.5, 2))
    # Leaves of the hidden tree: neighbours share a family of macros.
    position = rng.permutation(nodes)
    family = (position[:hard] * config.families // max(nodes, 1)).astype(int)
    ratio = np.exp(rng.uniform(-0.9, 0.9, config.families))
    weight = np.exp(rng.normal(0, 0.5, config.families))[family] if hard else np.zeros(0)
    area = np.concatenate(
        [
            share * total * weight / max(weight.sum(), 1e-9),
            (1 - share) * total * _normalised(np.exp(rng.normal(0, 0.4, soft))),
        ]
    )
    shape = np.concatenate([ratio[family] if hard else np.zeros(0), np.ones(soft)])
    canvas_area = area.sum() / config.utilisation
    canvas = Canvas(
        0.0, 0.0, float(np.sqrt(canvas_area / config.aspect)),
        float(np.sqrt(canvas_area * config.aspect)),
    )  # fmt: skip
    w = np.minimum(np.sqrt(area / shape), 0.45 * canvas.width)
    h = np.minimum(area / w, 0.45 * canvas.height)
    width[:nodes], height[:nodes] = np.round(w, 3), np.round(h, 3)

    pins = _wire(config, rng, position, width, height)
    side = rng.integers(0, 4, ports)
    along = rng.random(ports)
    x, y = np.full(nodes + ports, canvas.x1 / 2), np.full(nodes + ports, canvas.y1 / 2)
    inset = 1e-3 * min(canvas.width, canvas.height)
    x[nodes:] = np.select([side == 0, side == 1], [inset, canvas.x1 - inset], along * canvas.x1)
    y[nodes:] = np.select([side == 2, side == 3], [inset, canvas.y1 - inset], along * canvas.y1)
    kind = np.repeat([MACRO, SOFT, PORT], [hard, soft, ports]).astype(np.int8)
    cells = int(np.clip(np.sqrt(nodes) * 1.6, 6, 60))
    # Supply such that a typical placement is congested but not absurd, as real grids are.
    wires = 0.35 * len(pins["weight"]) / cells
    supply = max(wires / (canvas.height / cells), 1e-6) * 3
    grid = Grid(
        columns=cells, rows=max(int(round(cells * config.aspect)), 3),
        routes_horizontal=supply, routes_vertical=supply,
        macro_routes_horizontal=0.65 * supply, macro_routes_vertical=0.55 * supply, smooth=0,
    )  # fmt: skip
    labels = [f"macro_{i}" for i in range(hard)] + [f"cluster_{i}" for i in range(soft)]
    labels += [f"port_{i}" for i in range(ports)]
    design = build(
        name or f"synthetic_{seed}",
        name=name or f"synthetic_{seed}", names=Names.of(labels), kind=kind,
        width=width, height=height, x=x, y=y, orientation=np.zeros(nodes + ports, np.int8),
        fixed=kind == PORT, pin_node=pins["node"], pin_dx=pins["dx"], pin_dy=pins["dy"],
        pin_output=pins["output"], net_start=pins["start"], net_weight=pins["weight"],
        canvas=canvas, grid=grid,
    )  # fmt: skip
    if config.fixed > 0 and hard:
        from sciml.placement.classical.legalise import spread_macros

        design = spread_macros(design, rng)
        design.fixed[: int(round(config.fixed * hard))] = True
    return design


def synthetic(seed: int, scale: float = 1.0, **settings: Any) -> Design:
    """A synthetic design with random properties, but for these `settings`."""
    drawn = randomised(np.random.default_rng([seed, 5]), scale)
    return netlist(replace(drawn, **settings), seed)


def _normalised(values: np.ndarray) -> np.ndarray:
    return values / max(values.sum(), 1e-9)


def _wire(
    config: NetlistConfig, rng: np.random.Generator, position: np.ndarray,
    width: np.ndarray, height: np.ndarray,
) -> dict[str, Any]:  # fmt: skip
    """Nets over the leaves of the hidden tree, ports on some of the wide ones."""
    nodes, hard, ports = len(position), config.macros, config.ports
    leaf = np.argsort(position)  # node at each leaf
    levels = max(int(np.ceil(np.log2(nodes))), 1)
    chance = 2.0 ** (-(1 - config.rent) * np.arange(1, levels + 1))
    count = max(int(config.nets_per_node * nodes), 1)
    driver = rng.integers(0, nodes, count)
    level = 1 + rng.choice(levels, count, p=chance / chance.sum())
    sinks = 1 + rng.geometric(1 / max(config.degree - 1, 1.0), count) - 1
    sinks = np.clip(sinks, 1, 60)
    members: list[np.ndarray] = []
    side = rng.integers(0, 4, hard)
    for n in range(count):
        size = 1 << int(level[n])
        low = position[driver[n]] // size * size
        high = min(low + size, nodes)
        others = leaf[rng.integers(low, high, sinks[n])]
        net = np.concatenate([[driver[n]], others])
        if ports and rng.random() < ports / count:
            net = np.append(net, nodes + rng.integers(ports))
        keep = np.unique(net, return_index=True)[1]
        net = net[np.sort(keep)]
        if len(net) > 1:
            members.append(net)
    start = np.concatenate([[0], np.cumsum([len(net) for net in members])]).astype(np.int64)
    node = np.concatenate(members) if members else np.zeros(0, np.int64)
    dx, dy = np.zeros(len(node)), np.zeros(len(node))
    on = np.flatnonzero(node < hard)
    along = rng.uniform(-0.45, 0.45, len(on))
    edge = side[node[on]]
    w, h = width[node[on]], height[node[on]]
    dx[on] = np.select([edge == 0, edge == 1], [-0.48 * w, 0.48 * w], along * w)
    dy[on] = np.select([edge == 2, edge == 3], [-0.48 * h, 0.48 * h], along * h)
    output = np.zeros(len(node), bool)
    output[start[:-1]] = True
    return {
        "node": node, "dx": np.round(dx, 3), "dy": np.round(dy, 3), "output": output,
        "start": start, "weight": np.ones(len(members)),
    }  # fmt: skip


def standard_cells(count: int, seed: int = 0, rent: float = 0.65, degree: float = 3.4) -> Design:
    """A flat synthetic design of `count` standard cells on rows, ports around, 70 % full.

    Nets follow the same hidden tree as those of `netlist`. One unit is a site, rows are 8 high.
    """
    if count < 2:
        raise InputError(f"a design needs at least 2 cells, got {count}")
    rng = np.random.default_rng([seed, 78])
    position = rng.permutation(count)
    leaf = np.argsort(position)
    levels = max(int(np.ceil(np.log2(count))), 1)
    chance = 2.0 ** (-(1 - rent) * np.arange(1, levels + 1))
    driver = rng.permutation(count)
    span = np.int64(1) << (1 + rng.choice(levels, count, p=chance / chance.sum()))
    sinks = np.clip(rng.geometric(1 / (degree - 1), count), 1, 60)
    start = np.concatenate([[0], np.cumsum(sinks + 1)])
    low = position[driver] // span * span
    high = np.minimum(low + span, count)
    net = np.repeat(np.arange(count), sinks + 1)
    pins = leaf[(low[net] + rng.random(len(net)) * (high - low)[net]).astype(np.int64)]
    pins[start[:-1]] = driver
    ports = max(int(np.sqrt(count)), 4)  # the last sink of some nets is a port
    pins[start[1:][rng.choice(count, ports, replace=False)] - 1] = count + np.arange(ports)
    width = rng.integers(2, 14, count).astype(np.float64)
    rows = max(int(np.sqrt(width.sum() * 8 / 0.7) / 8), 1)
    size = np.ceil(width.sum() / 0.7 / rows)
    kind = np.repeat([CELL, PORT], [count, ports]).astype(np.int8)
    zero = np.zeros(ports)
    x = np.concatenate([np.full(count, size / 2), np.resize([0.0, size], ports)])
    y = np.concatenate([np.full(count, rows * 4.0), rng.random(ports) * rows * 8])
    output = np.zeros(len(pins), bool)
    output[start[:-1]] = True
    labels = [f"c{i}" for i in range(count)] + [f"p{i}" for i in range(ports)]
    return build(
        f"cells_{count}", name=f"cells_{count}", names=Names.of(labels), kind=kind,
        width=np.concatenate([width, zero]), height=np.concatenate([np.full(count, 8.0), zero]),
        x=x, y=y, orientation=np.zeros(count + ports, np.int8), fixed=kind == PORT,
        pin_node=pins, pin_dx=np.zeros(len(pins)), pin_dy=np.zeros(len(pins)), pin_output=output,
        net_start=start, net_weight=np.ones(count),
        canvas=Canvas(0.0, 0.0, float(size), rows * 8.0),
        rows=Rows(np.arange(rows) * 8.0, np.full(rows, 8.0), np.zeros(rows), np.full(rows, size),
                  np.ones(rows), np.zeros(rows, np.int8)),
    )  # fmt: skip


def make(
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    count: int = 64,
    seed: int = 0,
    scale: float = 1.0,
    cells: int = 0,
    shards: int = 0,
    shard: int | None = None,
) -> None:
    """Write synthetic netlists as netlist.pb.txt.gz with .plc, one folder each.

    Args:
        out: Folder for the netlists.
        count: How many.
        seed: The first seed; netlist k has seed + k.
        scale: Multiplies the sizes.
        cells: Flat designs of so many standard cells on rows instead, in Bookshelf.
        shards: Write so many Parquet files instead, which `sciml run pretrain` reads.
        shard: Make this one of them alone (0 is the first): for jobs on several machines.
    """
    from sciml.placement.formats.io import write_design

    if count < 1:
        raise InputError(f"count must be >= 1, got {count}")
    if shards or shard is not None:
        if cells:
            raise InputError("shards hold netlists of macros and clusters, not of cells")
        _make_shards(Path(out), count, seed, scale, shards, shard)
        return
    for k in range(seed, seed + count):
        folder = Path(out) / (f"cells_{k:05d}" if cells else f"synthetic_{k:05d}")
        folder.mkdir(parents=True, exist_ok=True)
        if cells:
            write_design(standard_cells(cells, k), folder / "cells.aux")
        else:
            write_design(synthetic(k, scale), folder / "netlist.pb.txt.gz")


def _make_shards(
    out: Path, count: int, seed: int, scale: float, shards: int, only: int | None
) -> None:
    import tempfile

    from sciml.data import shards as files
    from sciml.placement.formats.io import write_design

    def rows(numbers: range) -> Iterator[dict[str, str]]:
        for k in numbers:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "netlist.pb.txt"
                write_design(synthetic(seed + k, scale), path)
                yield {
                    "name": f"synthetic_{seed + k:05d}",
                    "netlist": path.read_text(encoding="utf-8"),
                    "plc": path.with_suffix("").with_suffix(".plc").read_text(encoding="utf-8"),
                }

    facts = {"count": count, "seed": seed, "scale": scale}
    for number, path in files.to_make(out, shards, only, facts):
        share = files.share(count, number, shards)
        made = {**facts, "shards": shards, "shard": number}
        files.write(path, "netlist", rows(share), made, group=8)
        print(f"{path}: {len(share)} netlists")
