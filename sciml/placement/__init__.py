"""Circuit placement: designs, exact and incremental cost, search, learning, legal placements.

>>> from sciml.placement import read_design, proxy_cost, place
>>> design = read_design("netlist.pb.txt.gz", plc="initial.plc")
>>> placed = place(design, cpu_seconds=60, seed=0)
>>> proxy_cost(placed.design).proxy
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sciml.exports import lazy

if TYPE_CHECKING:
    from sciml.placement.classical.annealing import Annealer as Annealer
    from sciml.placement.classical.annealing import AnnealingConfig as AnnealingConfig
    from sciml.placement.clustering import Clustered as Clustered
    from sciml.placement.clustering import cluster as cluster
    from sciml.placement.cost.incremental import Incremental as Incremental
    from sciml.placement.cost.proxy import Evaluator as Evaluator
    from sciml.placement.cost.proxy import proxy_cost as proxy_cost
    from sciml.placement.cost.wirelength import hpwl as hpwl
    from sciml.placement.design import Design as Design
    from sciml.placement.eco import Legalised as Legalised
    from sciml.placement.eco import legalise as legalise
    from sciml.placement.formats.io import convert as convert
    from sciml.placement.formats.io import read_design as read_design
    from sciml.placement.formats.io import write_design as write_design
    from sciml.placement.learning.env import EnvConfig as EnvConfig
    from sciml.placement.learning.env import PlacementEnv as PlacementEnv
    from sciml.placement.learning.policy import GridPolicy as GridPolicy
    from sciml.placement.legality import check as check
    from sciml.placement.placer import Placed as Placed
    from sciml.placement.placer import place as place
    from sciml.placement.placer import score as score
    from sciml.placement.viewer import Comparison as Comparison
    from sciml.placement.viewer import compare as compare

_EXPORTS = {
    "Annealer": "classical.annealing",
    "AnnealingConfig": "classical.annealing",
    "Clustered": "clustering",
    "Comparison": "viewer",
    "Design": "design",
    "EnvConfig": "learning.env",
    "Evaluator": "cost.proxy",
    "GridPolicy": "learning.policy",
    "Incremental": "cost.incremental",
    "Legalised": "eco",
    "Placed": "placer",
    "PlacementEnv": "learning.env",
    "check": "legality",
    "cluster": "clustering",
    "compare": "viewer",
    "convert": "formats.io",
    "hpwl": "cost.wirelength",
    "legalise": "eco",
    "place": "placer",
    "proxy_cost": "cost.proxy",
    "read_design": "formats.io",
    "score": "placer",
    "write_design": "formats.io",
}

__all__ = sorted(_EXPORTS)
__getattr__, __dir__ = lazy(__name__, _EXPORTS)
