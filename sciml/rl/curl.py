"""A contrastive loss beside reinforcement learning: CURL (Laskin, Srinivas and Abbeel 2020).

Two views of every observation are encoded, one as a query, one as a key; a query should pick its
own key among those of the batch (arXiv:2004.04136, section 4 and algorithm 1). The similarity is
bilinear, q W k, and keys come from a moving average of the encoder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn

from sciml.config import Range
from sciml.objectives.contrastive import frozen_copy, move_average

Inputs = dict[str, Tensor]


@dataclass(frozen=True)
class CURLConfig:
    """The contrastive head; off unless its weight is positive."""

    weight: Annotated[float, Range(min=0)] = 0.0
    """Weight of the contrastive loss beside PPO's; 0 = no such head."""
    width: Annotated[int, Range(min=2)] = 64
    """Width of queries and keys."""
    momentum: Annotated[float, Range(min=0, max=1)] = 0.95
    """Share of its own weights that the key encoder keeps in each gradient step."""
    shift: Annotated[int, Range(min=0)] = 2
    """A view is the observation shifted by up to this many cells each way."""


def bilinear_infonce(query: Tensor, key: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """(loss, accuracy) of picking each query's own key: -log softmax(q W k), averaged.

    Args:
        query, key: [B, D], row by row of the same observation. weight: [D, D].
    """
    logits = query @ weight @ key.T
    own = torch.arange(len(query), device=query.device)
    loss = nn.functional.cross_entropy(logits, own)
    return loss, (logits.argmax(1) == own).to(query.dtype).mean().detach()


class CURL(nn.Module):
    """The head: `forward(inputs)` gives the weighted loss; `after_step` moves the key encoder.

    Args:
        encoder: the network that learns, the policy's own.
        encode: (encoder, inputs) -> features [B, dim].
        views: inputs -> inputs, another random view at each call.
        dim: width of the features.
    """

    def __init__(
        self,
        encoder: nn.Module,
        encode: Callable[[nn.Module, Inputs], Tensor],
        views: Callable[[Inputs], Inputs],
        dim: int,
        config: CURLConfig,
    ) -> None:
        super().__init__()
        self.encoder, self.encode, self.views, self.config = encoder, encode, views, config
        self.project = nn.Sequential(nn.Linear(dim, config.width), nn.LayerNorm(config.width))
        self.bilinear = nn.Parameter(torch.eye(config.width) / config.width**0.5)
        self.key = frozen_copy(nn.ModuleList([encoder, self.project]))

    def forward(self, inputs: Inputs) -> dict[str, Tensor]:
        """Losses of a batch of at least two observations."""
        query = self.project(self.encode(self.encoder, self.views(inputs)))
        with torch.no_grad():
            encoder, project = self.key.children()
            key = project(self.encode(encoder, self.views(inputs)))
        loss, accuracy = bilinear_infonce(query, key, self.bilinear)
        return {"loss": self.config.weight * loss, "contrastive": loss.detach(),
                "contrastive_accuracy": accuracy}  # fmt: skip

    def after_step(self) -> None:
        """key <- momentum * key + (1 - momentum) * query, weight by weight."""
        move_average(
            self.key, nn.ModuleList([self.encoder, self.project]), self.config.momentum
        )  # fmt: skip
