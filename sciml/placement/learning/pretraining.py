"""Netlists as a corpus for pretraining: `sciml run pretrain --data FOLDER`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from sciml.data import shards
from sciml.data.shards import Row, Rows
from sciml.errors import InputError
from sciml.objectives.base import changed
from sciml.objectives.corpus import Corpus
from sciml.placement.design import Design
from sciml.placement.formats.io import read_design
from sciml.placement.learning.embedder import (
    ASPECT,
    HEIGHT,
    WIDTH,
    NetlistEmbedder,
    X,
    Y,
    collate,
    netlist_graph,
)

if TYPE_CHECKING:
    from torch_geometric.data import Data

ENDINGS = (".aux", ".aux.gz", ".pb.txt", ".pb.txt.gz", ".def", ".def.gz")


class Netlists:
    """Graphs of designs, read on access; large ones are cut to a connected part.

    Args:
        sources: files, designs, or rows of Parquet shards.
        max_nodes: of an example.
    """

    def __init__(
        self, sources: Sequence[Path] | Sequence[Design] | Rows, max_nodes: int = 4000
    ) -> None:
        self.sources, self.max_nodes = sources, max_nodes

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: int) -> Data:
        source = self.sources[index]
        if isinstance(source, Row):
            design = _of_row(source)
        else:
            design = source if isinstance(source, Design) else read_design(source)
        return netlist_graph(connected_part(design, self.max_nodes))


def _of_row(row: Row) -> Design:
    """The design in a row of a shard: the text of a netlist and of its placement."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "netlist.pb.txt"
        path.write_text(row["netlist"], encoding="utf-8")
        path.with_name("netlist.plc").write_text(row["plc"], encoding="utf-8")
        return read_design(path)


def connected_part(design: Design, max_nodes: int) -> Design:
    """At most `max_nodes` connected nodes, grown from a node drawn by torch's generator."""
    from dataclasses import replace

    if design.nodes <= max_nodes:
        return design
    net_of = np.repeat(np.arange(design.nets), np.diff(design.net_start))
    inside = np.zeros(design.nodes, bool)
    inside[int(torch.randint(design.nodes, (1,)))] = True
    small = np.diff(design.net_start) <= 64
    while inside.sum() < max_nodes:
        nets = np.zeros(design.nets, bool)
        nets[net_of[inside[design.pin_node]]] = True
        grown = np.unique(design.pin_node[(nets & small)[net_of]])
        new = grown[~inside[grown]]
        if not len(new):
            break
        inside[new[: max_nodes - int(inside.sum())]] = True
    rank = np.cumsum(inside) - 1
    keep = inside[design.pin_node]
    count = np.bincount(net_of[keep], minlength=design.nets)
    use = count >= 2
    keep &= use[net_of]
    nodes = np.flatnonzero(inside)
    per_node = ("kind", "width", "height", "x", "y", "orientation", "fixed")
    per_pin = ("pin_dx", "pin_dy", "pin_output")
    return replace(
        design,
        names=design.names[nodes],
        **{key: getattr(design, key)[nodes] for key in per_node},
        **{key: getattr(design, key)[keep] for key in per_pin},
        pin_node=rank[design.pin_node[keep]].astype(np.int32),
        net_start=np.concatenate([[0], np.cumsum(count[use])]),
        net_weight=design.net_weight[use],
        net_names=None, pin_names=None, references=None, plc_index=None, rows=None,
    )  # fmt: skip


def augment(batch: Data) -> Data:
    """Another view with the same meaning: a mirrored or transposed canvas, some pins dropped."""
    x, attr, pos = batch.x.clone(), batch.edge_attr.clone(), batch.pos.clone()
    flips = torch.randint(0, 2, (3,))
    for axis in range(2):
        if flips[axis]:
            x[:, (X, Y)[axis]] *= -1
            attr[:, axis] *= -1
            pos[:, axis] = 1 - pos[:, axis]
    if flips[2]:
        is_node = (batch.node_kind == 0)[:, None]
        size = [WIDTH, HEIGHT]
        x[:, size] = torch.where(is_node, x[:, [HEIGHT, WIDTH]], x[:, size])
        x[:, [ASPECT]] = torch.where(is_node, -x[:, [ASPECT]], x[:, [ASPECT]])
        x[:, [X, Y]] = x[:, [Y, X]]
        attr[:, [0, 1]] = attr[:, [1, 0]]
        pos = pos[:, [1, 0]]
    keep = torch.rand(len(attr)) > 0.1
    return changed(batch, x=x, pos=pos, edge_attr=attr[keep], edge_index=batch.edge_index[:, keep])


def corpus(sources: Sequence[Path] | Sequence[Design] | Rows, name: str = "netlists") -> Corpus:
    """Designs, their files or the rows of their shards as a corpus."""
    return Corpus(
        name=name,
        dataset=Netlists(sources),
        collate=collate,
        embedder=NetlistEmbedder,
        augment=augment,
        settings={"domain": "placement"},
    )


def read_netlists(path: Path) -> Corpus:
    """Netlists from a file, from all files of a folder, or from Parquet shards.

    Raises:
        InputError: there is none.
    """
    if found := shards.files(path):
        rows = Rows(found, "netlist", "plc")
        if len(rows):
            _of_row(rows[0])
        return corpus(rows, name=path.name)
    files = [path]
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.name.lower().endswith(ENDINGS))
    if not files:
        raise InputError("no netlist in this folder", where=path, hint=f"Looked for {ENDINGS}")
    read_design(files[0])  # a first file that cannot be read is reported before training
    return corpus(files, name=path.name)


READERS: dict[str, Callable[[Path], Corpus]] = {
    "placement": read_netlists,
    "netlist": read_netlists,
    ".aux": read_netlists,
    ".pb.txt": read_netlists,
    ".def": read_netlists,
}
