"""The groups that act on positions: random elements, and their action on a batch.

group        acts on `pos` by                                     D
SO(3)        rotations                                            3
O(3)         rotations and reflections                            3
SE(3), E(3)  the same and translations                            3
Lorentz      rotations and boosts of (E, px, py, pz)              4
collider     rotations about the beam and boosts along it         4
permutation  a new order of each graph's nodes, `pos` included
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.errors import InputError, unknown
from sciml.graph import is_edge_key, is_node_key, is_pair_key, layout, optional, sizes
from sciml.nn.layers import pair_mask

if TYPE_CHECKING:
    from torch_geometric.data import Data
else:
    Data = Any

POSITION_DIM = {"SO(3)": 3, "O(3)": 3, "SE(3)": 3, "E(3)": 3, "Lorentz": 4, "collider": 4}
GROUPS = ("permutation", *POSITION_DIM)
Kind = str | Callable[[Tensor, Tensor], Tensor]


class Element(NamedTuple):
    """x -> matrix @ x + shift."""

    matrix: Float[Tensor, "D D"]
    shift: Float[Tensor, " D"]


def random_rotation(generator: torch.Generator | None = None) -> Float[Tensor, "3 3"]:
    """A rotation drawn uniformly (Haar), float64."""
    normal = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    q, r = torch.linalg.qr(normal)
    q = q * torch.diagonal(r).sign()
    return q * torch.linalg.det(q).sign()


def boost(velocity: Float[Tensor, 3]) -> Float[Tensor, "4 4"]:
    """The Lorentz boost to a frame moving with -velocity (in units of c, |velocity| < 1)."""
    velocity = velocity.to(torch.float64)
    square = velocity.square().sum()
    gamma = (1 - square).rsqrt()
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[0, 0] = gamma
    matrix[0, 1:] = matrix[1:, 0] = gamma * velocity
    if square > 0:
        matrix[1:, 1:] += (gamma - 1) * torch.outer(velocity, velocity) / square
    return matrix


def random_element(
    group: str, generator: torch.Generator | None = None, *, improper: bool = False
) -> Element:
    """A random element of a group that acts on positions, in float64.

    Args:
        group: one of `POSITION_DIM`.
        generator: source of randomness.
        improper: for O(3) and E(3), an element with a reflection.

    Raises:
        InputError: unknown group.
    """
    if group not in POSITION_DIM:
        raise unknown("group", group, POSITION_DIM)
    rotation = random_rotation(generator)
    shift = torch.zeros(POSITION_DIM[group], dtype=torch.float64)
    if group in ("O(3)", "E(3)") and improper:
        rotation = -rotation
    if group in ("SE(3)", "E(3)"):
        shift = torch.randn(3, generator=generator, dtype=torch.float64)
    if POSITION_DIM[group] == 3:
        return Element(rotation, shift)
    velocity = torch.randn(3, generator=generator, dtype=torch.float64)
    velocity *= 0.6 * torch.rand((), generator=generator, dtype=torch.float64) / velocity.norm()
    matrix = torch.eye(4, dtype=torch.float64)
    if group == "Lorentz":
        matrix[1:, 1:] = rotation
        return Element(boost(velocity) @ matrix, shift)
    angle = 2 * torch.pi * torch.rand((), generator=generator, dtype=torch.float64)
    cos, sin = angle.cos(), angle.sin()
    matrix[1:3, 1:3] = torch.stack([torch.stack([cos, -sin]), torch.stack([sin, cos])])
    velocity[:2] = 0
    return Element(boost(velocity) @ matrix, shift)


def act(batch: Data, element: Element) -> Data:
    """A copy of the batch with the element applied to its positions (in float64)."""
    moved = copy.copy(batch)
    pos = batch.pos.double() @ element.matrix.to(batch.pos.device).T + element.shift.to(
        batch.pos.device
    )
    moved.pos = pos.to(batch.pos.dtype)
    return moved


def random_order(batch: Data, generator: torch.Generator | None = None) -> Tensor:
    """A new order of nodes within each graph: [B, N] indices (padding moves too), or [S] rows."""
    if layout(batch) == "dense":
        return torch.rand(batch.mask.shape, generator=generator).argsort(1)
    noise = torch.rand(len(batch.x), generator=generator, dtype=torch.float64)
    return (batch.batch.cpu() + noise).argsort()


def reorder(batch: Data, order: Tensor) -> Data:
    """A copy whose node number i is the old node number order[i], in each graph."""
    result = copy.copy(batch)
    for key in batch.keys():
        if is_node_key(key) or key == "mask":
            result[key] = reorder_nodes(batch[key], order)
        elif is_pair_key(key):
            result[key] = reorder_pairs(batch[key], order)
        elif is_edge_key(key):
            result[key] = batch[key]
    edge_index = optional(batch, "edge_index")
    if edge_index is not None:
        result.edge_index = order.argsort().to(edge_index.device)[edge_index]
    return result


def reorder_nodes(values: Tensor, order: Tensor) -> Tensor:
    """[B, N, ...] or [S, ...] in the order of `reorder`."""
    order = order.to(values.device)
    if order.ndim == 1:
        return values[order]
    return values[torch.arange(len(order), device=order.device)[:, None], order]


def reorder_pairs(values: Tensor, order: Tensor) -> Tensor:
    """[B, N, N, ...] in the order of `reorder` of a dense batch."""
    order = order.to(values.device)
    graph = torch.arange(len(order), device=order.device)[:, None, None]
    return values[graph, order[:, :, None], order[:, None, :]]


def transform(value: Tensor, kind: Kind, element: Element) -> Tensor:
    """The expected output of this kind after the element has acted on the positions.

    Args:
        value: the output.
        kind: "invariant"; "vector" (last axis rotates); "point" (rotates and shifts); e3nn irreps
            such as "8x0e+4x1o" (last axis; needs e3nn); or a function (value, matrix) -> value.
        element: the group element.
    """
    matrix, shift = element.matrix.to(value), element.shift.to(value)
    if callable(kind):
        return kind(value, matrix)
    if kind == "invariant":
        return value
    if kind == "vector":
        return value @ matrix.T
    if kind == "point":
        return value @ matrix.T + shift
    from sciml.nn.irreps import join, parse, split, wigner_matrices

    irreps = parse(kind)
    sign = torch.linalg.det(matrix).sign()  # -1: a reflection, which flips odd irreps
    turns = wigner_matrices(sign * matrix, max(ir.l for ir in irreps))
    return join(
        [
            turns[ir.l] @ feature * (sign if ir.p == -1 else 1.0)
            for ir, feature in zip(irreps, split(value, irreps), strict=True)
        ]
    )


def rows_of(value: Tensor, batch: Data) -> str:
    """The kind of rows of an output, by its shape: nodes, pairs or graphs."""
    mask = dense_mask(batch)
    if value.ndim > 3 and value.shape[:3] == (*mask.shape, mask.shape[1]):
        return "pair"  # dense in either layout
    if "mask" in batch:
        return "node" if value.ndim > 2 and value.shape[:2] == mask.shape else "graph"
    return "node" if value.ndim and len(value) == len(batch.x) else "graph"


def dense_mask(batch: Data) -> Tensor:
    """True = a real node of the dense form of the batch, [B, N]."""
    if "mask" in batch:
        return batch.mask
    counts = sizes(batch)
    return torch.arange(int(counts.max()), device=counts.device) < counts[:, None]


def reorder_output(value: Tensor, batch: Data, order: Tensor) -> Tensor:
    """An output of `batch` with nodes in the order of `reorder`."""
    axes = rows_of(value, batch)
    if axes == "node":
        return reorder_nodes(value, order)
    if axes == "pair":
        mask = dense_mask(batch)
        if order.ndim == 1:  # over all rows: within each graph, padding stays in place
            index = torch.arange(mask.shape[1]).expand(mask.shape).clone()
            index[mask] = order - batch.ptr[batch.batch]
            order = index
        return reorder_pairs(value, order)
    return value


def outputs_of(result: Any) -> dict[str, Tensor]:
    """The floating-point tensors of a module's result, by name."""
    if isinstance(result, Tensor):
        return {"output": result}
    if dataclasses.is_dataclass(result):
        result = {f.name: getattr(result, f.name) for f in dataclasses.fields(result)}
    elif isinstance(result, tuple | list):
        result = {f"output[{i}]": value for i, value in enumerate(result)}
    if not isinstance(result, Mapping):
        raise InputError(f"cannot check a result of type {type(result).__name__}")
    return {k: v for k, v in result.items() if isinstance(v, Tensor) and v.is_floating_point()}


def real_rows(outputs: Mapping[str, Tensor], batch: Data) -> dict[str, Tensor]:
    """Each output's values that belong to real nodes, pairs and graphs, in one order."""
    real = {}
    for name, value in outputs.items():
        axes = rows_of(value, batch)
        if "mask" in batch and axes == "node":
            value = value[batch.mask]
        elif axes == "pair":
            value = value[pair_mask(dense_mask(batch))]
        real[name] = value
    return real
