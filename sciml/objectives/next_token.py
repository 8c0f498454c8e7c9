"""Predicting each node from those before it: GPT's objective (Radford et al. 2019), on any nodes.

Tokens of an expression in prefix order, the columns of an alignment, a jet's particles by falling
momentum (as OmniJet-alpha orders them, arXiv:2403.05618). The head predicts node i + 1 from the
trunk's embedding of node i, so the trunk must be causal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.config import Range
from sciml.errors import InputError
from sciml.graph import optional, sizes
from sciml.objectives.base import Embedder, changed, per_node, position, real
from sciml.objectives.content import Content
from sciml.trunks.base import Trunk

if TYPE_CHECKING:
    from torch_geometric.data import Data


@dataclass(frozen=True)
class NextTokenConfig:
    """Settings of the cross-entropy."""

    smoothing: Annotated[float, Range(min=0, max=1)] = 0.0
    """Label smoothing: probability spread evenly over the classes of a target."""


class NextToken(nn.Module):
    """Predict the content of each node from the nodes before it; the trunk must be causal.

    Whether it is, is checked on the first batch: other content in the later half must not change
    the trunk's embedding of the earlier one.
    """

    Config = NextTokenConfig

    def __init__(
        self,
        trunk: Trunk,
        embedder: Embedder,
        config: NextTokenConfig | None = None,
        *,
        augment: object = None,
    ) -> None:
        super().__init__()
        self.trunk, self.embedder, self.config = trunk, embedder, config or self.Config()
        self.content = Content(embedder, trunk.dim, self.config.smoothing)
        self.checked = False

    def forward(self, batch: Data) -> dict[str, Tensor]:
        """The losses of a raw batch whose nodes are in an order that means something.

        Raises:
            InputError: tokens are the target and the batch has none, or the trunk looks ahead.
        """
        if "token" in self.content.heads and optional(batch, "node_token") is None:
            raise InputError(
                "next-token prediction needs `node_token` in the batch",
                hint=f"It holds {sorted(batch.keys())}",
            )
        if not self.checked:
            self._check_causal(batch)
            self.checked = True
        # The only thing that an accelerator is waited for: how many nodes have a successor.
        before = followed(batch).flatten().nonzero()[:, 0]
        axes = real(batch).ndim - 1

        def rows(values: Tensor, index: Tensor) -> Tensor:
            return values.flatten(0, axes).index_select(0, index)

        targets = {k: rows(v, before + 1) for k, v in self.embedder.targets(batch).items()}
        return self.content(rows(self.trunk(self.embedder(batch)).nodes, before), targets)

    @torch.no_grad()
    def _check_causal(self, batch: Data) -> None:
        nodes = real(batch)
        later = nodes & (2 * position(batch) >= per_node(sizes(batch), batch))
        other = {"x": torch.where(later.unsqueeze(-1), 2 * batch.x, batch.x)}
        tokens = optional(batch, "node_token")
        if tokens is not None:
            other["node_token"] = tokens.clone()
            other["node_token"][later] = tokens[later].roll(1)
        training = self.training
        self.eval()
        seen = [
            self.trunk(self.embedder(b)).nodes[nodes & ~later]
            for b in (batch, changed(batch, **other))
        ]
        self.train(training)
        if not seen[0].numel():
            return
        scale = seen[0].abs().max().clamp_min(1e-6)
        if (seen[0] - seen[1]).abs().max() > 1e-3 * scale:
            raise InputError(
                f"the trunk {type(self.trunk).__name__} looks ahead: its embedding of a node "
                "depends on later ones, so it could copy the answer",
                hint="Use 'pair_transformer' with `causal`, 'sequence' with kind 'decoder', or "
                "the objective 'masked'",
            )


def followed(batch: Data) -> Tensor:
    """bool, one per node: which nodes have a successor, the next row of their graph."""
    nodes = real(batch)
    if nodes.dim() == 2:
        following = nodes[:, 1:] & nodes[:, :-1]
    else:
        following = batch.batch[1:] == batch.batch[:-1]
    return F.pad(following, (0, 1))
