"""Prediction of a node's content from its embedding: heads and losses of all objectives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from sciml.objectives.base import Embedder, Standardise, mean_of, mlp, wide


class Content(nn.Module):
    """A head for each of the embedder's targets: regression of float, classes of integer ones.

    The loss is the mean over nodes of the sum over targets of the cross-entropy, or of the smooth
    L1 distance between standardised features (mean over features).

    Args:
        embedder: defines the targets of a node and their widths.
        dim: width of a node's features.
        smoothing: label smoothing of the cross-entropy.
    """

    def __init__(self, embedder: Embedder, dim: int, smoothing: float = 0.0) -> None:
        super().__init__()
        widths = embedder.target_sizes()
        self.smoothing = smoothing
        self.heads = nn.ModuleDict({name: mlp(dim, dim, width) for name, width in widths.items()})
        self.scales = nn.ModuleDict({name: Standardise(width) for name, width in widths.items()})

    def forward(self, nodes: Tensor, targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Losses of nodes [M, dim] that should predict `targets`, each [M] or [M, F]."""
        result: dict[str, Tensor] = {}
        total = nodes.new_zeros(len(nodes))
        for name, head in self.heads.items():
            prediction, target = wide(head(nodes)), targets[name].detach()
            if target.is_floating_point():
                scale = cast(Standardise, self.scales[name])
                if self.training:
                    scale.update(target)
                term = F.smooth_l1_loss(prediction, wide(scale(target)), reduction="none").mean(-1)
            else:
                labelled = target >= 0
                term = labelled * F.cross_entropy(
                    prediction, target.clamp_min(0), reduction="none",
                    label_smoothing=self.smoothing,
                )  # fmt: skip
                hits = (
                    (prediction.argmax(-1) == target) & labelled
                ).sum() / labelled.sum().clamp_min(1)
                result[f"{name}_accuracy"] = hits.detach()
            result[f"{name}_loss"] = mean_of(term)[0].detach()
            total = total + term
        loss, count = mean_of(total)
        return {"loss": loss, "count": count, **result}
