"""Circuit placement: designs, exact and incremental cost, search, learning, legal placements.

>>> from sciml.placement import read_design, proxy_cost, place
>>> design = read_design("netlist.pb.txt.gz", plc="initial.plc")
>>> placed = place(design, budget=60, seed=0)
>>> proxy_cost(placed.design).proxy
"""

from __future__ import annotations

import importlib
from typing import Any

_WHERE = {
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

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_WHERE[name]}")
    value = getattr(module, name)
    globals()[name] = value
    return value
