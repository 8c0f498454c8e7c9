"""Which nodes of a batch hear which: the edges given, or found from positions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from sciml.errors import InputError
from sciml.graph import optional
from sciml.nn.neighbours import fully_connected, knn, radius_graph

if TYPE_CHECKING:
    from torch_geometric.data import Data
else:
    Data = Any

EdgeRule = Literal["auto", "given", "knn", "radius", "all"]
MOST_PAIRS = 1 << 26
"""Complete graphs of more pairs than this are refused: they are nearly always a mistake."""


@torch.compiler.disable
def edges_of(
    batch: Data, rule: EdgeRule, *, k: int, radius: float, coordinates: str = "pos"
) -> tuple[Tensor, Tensor | None]:
    """Edges of a ragged batch.

    Args:
        batch: ragged; `edge_index` for "given", coordinates for "knn" and "radius".
        rule: "auto" takes `edge_index` if there is one, else the k nearest, else all pairs of a
            graph.
        k: neighbours of a node, for "knn".
        radius: cut-off in the unit of the coordinates, for "radius".
        coordinates: key of the coordinates.

    Returns:
        (edge_index [2, E], edge_attr [E, P] or None). Where edges are found anew, a pair that is
        among the given edges keeps its features and any other pair has zeros.

    Raises:
        InputError: the batch lacks what the rule needs, or "all" would be too many.
    """
    given, pos = optional(batch, "edge_index"), optional(batch, coordinates)
    attr = optional(batch, "edge_attr")
    if rule == "auto":
        rule = "given" if given is not None else "knn" if pos is not None else "all"
    if rule == "given":
        if given is None:
            raise InputError(
                "the batch has no `edge_index`", hint='Set edges: "knn", "radius" or "all"'
            )
        return given, attr
    if rule == "all":
        pairs = int(batch.ptr.diff().square().sum())
        if pairs > MOST_PAIRS:
            raise InputError(
                f"all pairs of these graphs would be {pairs} edges",
                hint="Give `edge_index`, or `pos` for nearest neighbours",
            )
        found = fully_connected(batch.ptr)
    elif pos is None:
        raise InputError(
            f'the batch has no `{coordinates}` to find edges with (edges: "{rule}")',
            hint="Give it, or name other `coordinates`",
        )
    elif rule == "knn":
        found = knn(pos, k, batch.batch)
    else:
        found = radius_graph(pos, radius, batch.batch)
    if attr is None or given is None:
        return found, None
    return found, _looked_up(found, given, attr, len(batch.x))


def _looked_up(found: Tensor, given: Tensor, attr: Tensor, nodes: int) -> Tensor:
    """Features of the given edges for the found ones, zeros where there are none."""
    if given.shape[1] == 0:
        return attr.new_zeros(found.shape[1], attr.shape[1])
    keys, order = torch.sort(given[1] * nodes + given[0])
    wanted = found[1] * nodes + found[0]
    place = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
    known = keys[place] == wanted
    return torch.where(known.unsqueeze(-1), attr[order[place]], 0.0)
