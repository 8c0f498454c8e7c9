"""Next-token prediction (GPT-2, Radford et al. 2019), and its conditional form, translation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.config import Range
from sciml.errors import InputError
from sciml.graph import dense, optional
from sciml.objectives.base import Embedder, changed, mean_of, wide
from sciml.trunks.base import Trunk

if TYPE_CHECKING:
    from torch_geometric.data import Data


@dataclass(frozen=True)
class NextTokenConfig:
    """Settings of the cross-entropy."""

    smoothing: Annotated[float, Range(min=0, max=1)] = 0.0
    """Label smoothing: probability spread evenly over the vocabulary."""


def token_losses(
    logits: Tensor, tokens: Tensor, known: Tensor, smoothing: float = 0.0
) -> dict[str, Tensor]:
    """Mean cross-entropy over the known tokens.

    Args:
        logits: [B, T, V].
        tokens: [B, T] int64, what each row of `logits` should have predicted.
        known: [B, T] bool, False on padding.
        smoothing: label smoothing.
    """
    logits, tokens = wide(logits[known]), tokens[known]
    terms = F.cross_entropy(logits, tokens, reduction="none", label_smoothing=smoothing)
    loss, count = mean_of(terms)
    hits = (logits.argmax(-1) == tokens).float()
    return {"loss": loss, "count": count, "accuracy": mean_of(hits)[0].detach()}


class NextToken(nn.Module):
    """Predict `node_token` [B, N] from the tokens before it; the trunk must be causal.

    Whether it is, is checked on the first batch: the last tokens must not change what the trunk
    says of the ones before.
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
        widths = embedder.target_sizes()
        if "token" not in widths:
            raise InputError(
                f"next-token prediction needs an embedder with a target `token`, got {list(widths)}"
            )
        self.vocabulary = widths["token"]
        self.head = nn.Linear(trunk.dim, self.vocabulary, bias=False)
        self.checked = False

    def forward(self, batch: Data) -> dict[str, Tensor]:
        """The losses of a raw batch of token sequences.

        Raises:
            InputError: the batch has no `node_token`, or the trunk looks ahead.
        """
        batch = dense(batch)
        if optional(batch, "node_token") is None:
            raise InputError(
                "next-token prediction needs `node_token` in the batch",
                hint=f"It holds {sorted(batch.keys())}",
            )
        if not self.checked:
            self._check_causal(batch)
            self.checked = True
        nodes = self.trunk(self.embedder(batch)).nodes
        mask = batch.mask
        known = mask[:, 1:] & mask[:, :-1]
        return token_losses(
            self.head(nodes[:, :-1]), batch.node_token[:, 1:], known, self.config.smoothing
        )

    @torch.no_grad()
    def _check_causal(self, batch: Data) -> None:
        half = batch.mask.shape[1] // 2
        if half == 0:
            return
        tokens = batch.node_token.clone()
        tokens[:, half:] = (tokens[:, half:] + 1) % self.vocabulary
        training = self.training
        self.eval()
        seen = [
            self.trunk(self.embedder(b)).nodes[:, :half][batch.mask[:, :half]]
            for b in (batch, changed(batch, node_token=tokens))
        ]
        self.train(training)
        scale = seen[0].abs().max().clamp_min(1e-6)
        if (seen[0] - seen[1]).abs().max() > 1e-3 * scale:
            raise InputError(
                f"the trunk {type(self.trunk).__name__} looks ahead: what it says of a token "
                "depends on later ones, so it could copy the answer",
                hint="Use the trunk 'sequence' with kind 'decoder', or the objective 'masked'",
            )
