"""Designs that the placement tests share."""

from dataclasses import replace

import numpy as np
import pytest

from sciml.placement.design import Design
from sciml.placement.formats.protobuf_netlist import read_netlist
from sciml.placement.generate import NetlistConfig, netlist


@pytest.fixture(scope="session")
def clustered(shared) -> Design:
    """Clustered Ariane133 at its commercial placement."""
    folder = shared / "data/placement/ariane133-ng45"
    return read_netlist(folder / "netlist.pb.txt.gz", folder / "legalized.plc")


@pytest.fixture
def small() -> Design:
    """A synthetic design of 8 macros and 20 clusters, scattered, with turned macros."""
    design = netlist(NetlistConfig(macros=8, clusters=20, ports=10, nets_per_node=5), 3)
    rng = np.random.default_rng(0)
    free = ~design.fixed
    design.x[free] = rng.uniform(0.15, 0.85, free.sum()) * design.canvas.width
    design.y[free] = rng.uniform(0.15, 0.85, free.sum()) * design.canvas.height
    design.orientation[:8] = rng.integers(0, 4, 8)
    return replace(design, grid=replace(design.grid, columns=11, rows=9))
