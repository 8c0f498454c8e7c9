"""An encoder of expressions made of any trunk that was pretrained on them.

The tokens of the source go through the embedder of pretraining (`TokenEmbedder`) and the trunk, and
a linear layer brings the node embeddings to the width of the decoder, which attends to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from sciml import trunks
from sciml.config import from_dict, to_dict
from sciml.errors import InputError
from sciml.nn.tree import prefix_paths
from sciml.symbolic.neural import vocabulary as vb
from sciml.symbolic.neural.pretraining import DEPTH, TokenEmbedder
from sciml.trunks.base import Trunk
from sciml.trunks.sequence import Memory


def describe(trunk: Trunk) -> dict[str, Any]:
    """The settings that rebuild a trunk, with its `name`."""
    return {"name": trunks.name_of(type(trunk)), **to_dict(trunk.config)}


class TrunkEncoder(nn.Module):
    """Token ids [B, N] -> `Memory`: node embeddings [B, N, dim] and the mask of real tokens.

    Args:
        settings: of the trunk, with its `name`. They may come from a file, which brings no code: a
            trunk of your own must have been imported.
        dim: width of the decoder.

    Raises:
        InputError: no such trunk or setting.
    """

    def __init__(self, settings: Mapping[str, Any], dim: int) -> None:
        super().__init__()
        if not isinstance(settings.get("name"), str):
            raise InputError("`encoder` must have the `name` of a trunk",
                             hint=", ".join(trunks.names()))  # fmt: skip
        kind = trunks.named_in_file(settings["name"])
        config = {key: value for key, value in settings.items() if key != "name"}
        self.trunk = kind(from_dict(kind.Config, config, where="encoder"))
        self.embedder = TokenEmbedder(self.trunk.dim, self.trunk.pair_dim)
        self.project = nn.Linear(self.trunk.dim, dim)
        self.register_buffer("arity", vb.arities(), persistent=False)
        self.arity: Tensor

    def forward(self, source: Tensor) -> Memory:
        """See the class."""
        from torch_geometric.data import Data

        mask = source != vb.PAD
        paths = prefix_paths(source, self.arity, DEPTH)
        encoded = self.trunk(self.embedder(Data(node_token=source, node_path=paths, mask=mask)))
        return Memory(self.project(encoded.nodes), mask)
