"""Circuit placement: designs, exact and incremental cost, search, learning, legal placements.

>>> from sciml.placement import read_design, proxy_cost, place
>>> design = read_design("netlist.pb.txt.gz", plc="initial.plc")
>>> placed = place(design, budget=60, seed=0)
>>> proxy_cost(placed.design).proxy
"""

from __future__ import annotations

from sciml.exports import lazy

_EXPORTS = {
    "Design": "design",
    "read_design": "formats.io",
    "write_design": "formats.io",
    "convert": "formats.io",
    "proxy_cost": "cost.proxy",
    "Evaluator": "cost.proxy",
    "Incremental": "cost.incremental",
    "PlacementEnv": "learning.env",
    "place": "placer",
    "score": "placer",
    "check": "legality",
    "hpwl": "cost.wirelength",
}

__all__ = sorted(_EXPORTS)
__getattr__, __dir__ = lazy(__name__, _EXPORTS)
