"""Netlists with fewer pins: without some nodes, or with nodes merged into groups."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sciml.placement.design import Design
from sciml.placement.tokens import Names


def without_pins(design: Design, absent: np.ndarray) -> Design:
    """The design with every net reduced to its other pins; `absent` [N] bool. Nodes stay."""
    dropped = absent[design.pin_node]
    return chosen_pins(design, ~dropped) if dropped.any() else design


def chosen_pins(design: Design, pins: np.ndarray) -> Design:
    """The design with these pins [P] bool only; every net stays, some without pins."""
    counts = np.concatenate([[0], np.cumsum(pins)])
    names = design.pin_names
    return replace(
        design,
        pin_node=design.pin_node[pins],
        pin_dx=design.pin_dx[pins],
        pin_dy=design.pin_dy[pins],
        pin_output=design.pin_output[pins],
        pin_names=None if names is None else [names[i] for i in np.flatnonzero(pins)],
        net_start=counts[design.net_start],
    )


def chosen_nets(design: Design, nets: np.ndarray) -> Design:
    """The design with these nets [M] bool only."""
    sizes = np.diff(design.net_start)
    reduced = chosen_pins(design, np.repeat(nets, sizes))
    names = design.net_names
    return replace(
        reduced,
        net_start=np.concatenate([[0], np.cumsum(sizes[nets])]),
        net_weight=design.net_weight[nets],
        net_names=None if names is None else Names.of([names[i] for i in np.flatnonzero(nets)]),
    )


def without_unplaced(design: Design, movable: np.ndarray | None = None) -> Design:
    """Without the pins of nodes that have no position and will get none.

    A DEF has such components before its global placement. They are nowhere, so that no net reaches
    them; at the die's corner, where they are held in memory, they would pull macros there.
    """
    rules = design.constraints
    if rules is None or not rules.unplaced.any():
        return design
    return without_pins(design, rules.unplaced if movable is None else rules.unplaced & ~movable)
