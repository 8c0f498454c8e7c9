"""Circuit placement: designs, exact and incremental cost, search, learning, legal placements.

>>> from sciml.placement import read_design, proxy_cost, place
>>> design = read_design("netlist.pb.txt.gz", plc="initial.plc")
>>> placed = place(design, cpu_seconds=60, seed=0)
>>> proxy_cost(placed.design).proxy
"""

from __future__ import annotations

from sciml.exports import lazy

_EXPORTS = {
    "Annealer": "classical.annealing",
    "AnnealingConfig": "classical.annealing",
    "Design": "design",
    "EnvConfig": "learning.env",
    "Evaluator": "cost.proxy",
    "GridPolicy": "learning.policy",
    "Incremental": "cost.incremental",
    "Placed": "placer",
    "PlacementEnv": "learning.env",
    "check": "legality",
    "convert": "formats.io",
    "hpwl": "cost.wirelength",
    "place": "placer",
    "proxy_cost": "cost.proxy",
    "read_design": "formats.io",
    "score": "placer",
    "write_design": "formats.io",
}

__all__ = sorted(_EXPORTS)
__getattr__, __dir__ = lazy(__name__, _EXPORTS)
