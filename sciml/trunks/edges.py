"""The edges of a batch: those it holds, or a neighbour search among its positions."""

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
MAX_PAIRS = 1 << 26
"""Complete graphs of more pairs than this are refused: they are nearly always a mistake."""


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
        (edge_index [2, E], edge_attr [E, P] or None). Where edges are computed here, a pair that
        is among the batch's own edges keeps its features and any other pair has zeros.

    Raises:
        InputError: the batch lacks what the rule needs, "all" would be too many, or edges would
            have to be computed while the trunk is exported.
    """
    edge_index, pos = optional(batch, "edge_index"), optional(batch, coordinates)
    if rule == "auto":
        rule = "given" if edge_index is not None else "knn" if pos is not None else "all"
    if rule != "given":
        return _computed_edges(batch, rule, k=k, radius=radius, coordinates=coordinates)
    if edge_index is None:
        raise InputError(
            "the batch has no `edge_index`", hint='Set edges: "knn", "radius" or "all"'
        )
    return edge_index, optional(batch, "edge_attr")


@torch.compiler.disable
def _computed_edges(
    batch: Data, rule: EdgeRule, *, k: int, radius: float, coordinates: str
) -> tuple[Tensor, Tensor | None]:
    if torch.compiler.is_exporting():
        raise InputError(
            f'edges computed from a batch (edges: "{rule}") cannot be exported',
            hint="Give the batch its `edge_index`; the number of edges must be fixed",
        )
    pos = optional(batch, coordinates)
    if rule == "all":
        pairs = int(batch.ptr.diff().square().sum())
        if pairs > MAX_PAIRS:
            raise InputError(
                f"all pairs of these graphs would be {pairs} edges",
                hint="Give `edge_index`, or `pos` for nearest neighbours",
            )
        edges = fully_connected(batch.ptr)
    elif pos is None:
        raise InputError(
            f'the batch has no `{coordinates}` to find edges with (edges: "{rule}")',
            hint="Give it, or name other `coordinates`",
        )
    elif rule == "knn":
        edges = knn(pos, k, batch.batch)
    else:
        edges = radius_graph(pos, radius, batch.batch)
    edge_index, attr = optional(batch, "edge_index"), optional(batch, "edge_attr")
    if attr is None or edge_index is None:
        return edges, None
    return edges, _features_of(edges, edge_index, attr, len(batch.x))


def _features_of(edges: Tensor, edge_index: Tensor, attr: Tensor, nodes: int) -> Tensor:
    """The features `attr` of `edge_index` for the same pairs among `edges`, zeros for others."""
    if edge_index.shape[1] == 0:
        return attr.new_zeros(edges.shape[1], attr.shape[1])
    keys, order = torch.sort(edge_index[1] * nodes + edge_index[0])
    queries = edges[1] * nodes + edges[0]
    position = torch.searchsorted(keys, queries).clamp(max=len(keys) - 1)
    matches = keys[position] == queries
    return torch.where(matches.unsqueeze(-1), attr[order[position]], 0.0)
