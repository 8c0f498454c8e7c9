"""Where electrostatic placement has the nodes: the guide of an episode, and what ends it.

The guide places hard and soft macros at once (`global_placement`), so that the proxy of a netlist
is known before its first macro is placed. When all hard macros are placed, the soft ones settle
around them: a short electrostatic descent from where they are, not a placement anew.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import Any

import numpy as np

from sciml.placement.classical.electrostatic_start import CONFIG
from sciml.placement.classical.global_placement import GlobalConfig, GlobalPlacer
from sciml.placement.design import CELL, MACRO, PORT, Design
from sciml.placement.saved_search import digest

FEW = 400
"""Movable nodes up to which half as many bins along each axis are enough."""
WARM = 0.1
"""First weight of the density when soft macros settle: a hundred times that of a placement anew,
since they are spread already. On a synthetic design with 18 macros as annealing left them, 200
steps from the guide gave a proxy of .705 with .1, .788 with .3 and .846 with 1."""
KEPT = 32
"""Guides that are kept; environments of one design share it."""
_guides: OrderedDict[Any, tuple[np.ndarray, np.ndarray]] = OrderedDict()


def electrostatic_guide(design: Design) -> Design:
    """Every movable node where electrostatic placement has it, upright; macros may overlap.

    It depends on the netlist and on fixed nodes alone, not on where movable ones are. Standard
    cells have no size in it, as in the start of annealing.
    """
    fixed, canvas = design.fixed, design.canvas
    places = np.stack([design.x, design.y])[:, fixed].tobytes()
    turns, weights = design.orientation[fixed].tobytes(), design.net_weight.tobytes()
    key = digest(design), places, turns, weights, canvas
    if key not in _guides:
        upright = design.at(design.x, design.y, np.where(fixed, design.orientation, 0))
        placer = GlobalPlacer(_cells_as_points(upright), replace(CONFIG, bins=_bins(design)))
        _guides[key] = _inside(design, *placer.run())
        if len(_guides) > KEPT:
            _guides.popitem(last=False)
    _guides.move_to_end(key)
    return design.at(*_guides[key], np.where(fixed, design.orientation, 0))


def settle(design: Design, steps: int) -> Design:
    """The design after `steps` of electrostatic placement in which hard macros do not move."""
    soft = ~design.fixed & (design.kind != MACRO) & (design.kind != PORT)
    if not steps or not soft.any():
        return design
    config = GlobalConfig(
        bins=_bins(design), target=CONFIG.target, calm=CONFIG.calm, overflow=CONFIG.overflow,
        iterations=steps, first_weight=WARM,
    )  # fmt: skip
    still = replace(_cells_as_points(design), fixed=~soft)
    return design.at(*_inside(still, *GlobalPlacer(still, config, start="file").run()))


def _cells_as_points(design: Design) -> Design:
    cells = design.kind == CELL
    sizes: dict[str, Any] = {
        name: np.where(cells, 0.0, getattr(design, name)) for name in ("width", "height")
    }
    return replace(design, **sizes)


def _bins(design: Design) -> int:
    return CONFIG.bins // (2 if int((~design.fixed).sum()) <= FEW else 1)


def _inside(design: Design, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    canvas = design.canvas
    return (
        np.where(design.fixed, design.x, np.clip(x, canvas.x0, canvas.x1)),
        np.where(design.fixed, design.y, np.clip(y, canvas.y0, canvas.y1)),
    )
