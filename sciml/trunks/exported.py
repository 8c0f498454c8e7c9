"""A trunk as one graph of operations on tensors (`torch.export`), for code that has neither this
package's classes nor a batch object.

    >>> from sciml import graph, trunks
    >>> import torch
    >>> trunk = trunks.build("sequence", dim=8, heads=2, groups=2, encoder_layers=1)
    >>> batch = graph.make_dense([{"x": torch.randn(5, 8)}, {"x": torch.randn(3, 8)}])
    >>> program = trunks.export(trunk, batch)
    >>> program.module()(batch.to_dict())["nodes"].shape
    torch.Size([2, 5, 8])

Shapes are those of the example, and the layout is the trunk's own: the way from one layout to the
other has shapes that depend on the data. For the same reason edges must be given, and hypergraphs
are refused. A program may call operators of this package (`sciml::...`): a process that loads one
imports the trunk's module first, such as `sciml.trunks.message_passing`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from sciml.errors import InputError
from sciml.graph import layout
from sciml.trunks.base import Trunk

if TYPE_CHECKING:
    from torch_geometric.data import Data
else:
    Data = Any


class _OnTensors(nn.Module):
    """A trunk from a dictionary of tensors to a dictionary of tensors."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        from torch_geometric.data import Data as Carrier

        encoded = self.trunk(Carrier(**tensors))
        return {key: value for key, value in vars(encoded).items() if value is not None}


def export(trunk: Trunk, batch: Data) -> ExportedProgram:
    """The trunk in evaluation mode as a program on batches of one shape.

    Args:
        trunk: any trunk; its mode stays as it is.
        batch: an example, in the trunk's own layout (`sciml.graph.to_layout`).

    Returns:
        the program: a dictionary of the batch's tensors -> a dictionary with `nodes`, `graph` and,
        where the trunk has them, `pairs` and `vectors`, as in `Encoded`.

    Raises:
        InputError: the batch is in the other layout, or has edges that must be computed.
    """
    if trunk.layout not in (None, layout(batch)):
        raise InputError(
            f"{type(trunk).__name__} is exported in the {trunk.layout} layout, "
            f"got a {layout(batch)} batch",
            hint=f'sciml.graph.to_layout(batch, "{trunk.layout}")',
        )
    modes = [(module, module.training) for module in trunk.modules()]
    trunk.eval()
    try:
        with torch.no_grad():
            return torch.export.export(_OnTensors(trunk), (batch.to_dict(),), strict=False)
    finally:
        for module, training in modes:
            module.training = training
