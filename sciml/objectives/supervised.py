"""Supervised heads on any trunk: fine-tuning, training from scratch, and the student of
self-training."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.config import Range
from sciml.errors import InputError
from sciml.graph import layout, optional
from sciml.nn.constants import constant
from sciml.objectives.base import Embedder, mlp, real, wide
from sciml.trunks import lora
from sciml.trunks.base import Trunk

if TYPE_CHECKING:
    from torch_geometric.data import Data

LABELS = {
    "graph": ("y", "weight"),
    "node": ("node_y", "node_weight"),
    "pair": ("pair_y", "pair_weight"),
}
"""Level -> keys of the labels and their weights in a batch."""

Loss = Literal["cross_entropy", "binary", "mse", "smooth_l1", "quantile"]


@dataclass(frozen=True)
class SupervisedConfig:
    """What is predicted, and how much of the trunk may change."""

    outputs: Annotated[int, Range(min=1)] = 2
    """Classes (`cross_entropy`), binary labels (`binary`), or values per graph (or node)."""
    loss: Loss = "cross_entropy"
    """What is minimised; `quantile` fits `quantiles` of each value."""
    level: Literal["graph", "node", "pair"] = "graph"
    """What has labels: graphs (`y`), nodes (`node_y`), or pairs of nodes (`pair_y`)."""
    smoothing: Annotated[float, Range(min=0, max=1)] = 0.0
    """Label smoothing of `cross_entropy`."""
    quantiles: tuple[float, ...] = (0.16, 0.5, 0.84)
    """Probabilities of the quantiles to fit, for `quantile`."""
    hidden: Annotated[int, Range(min=0)] = 0
    """Width of the head's hidden layer; 0 = one linear layer."""
    frozen: bool = False
    """Train the head alone (a linear probe by gradient descent)."""
    lora: Annotated[int, Range(min=0)] = 0
    """Rank of low-rank changes to the trunk, which is frozen otherwise; 0 = train all of it."""


class Supervised(nn.Module):
    """Trunk + head with labels from the batch; `predict(batch)` gives outputs without labels.

    Labels: `y` [B] (or `node_y` [S] / [B, N]) int64 classes, negative where unknown; or soft
    classes [B, outputs] float that sum to 1; or values. Optional `weight` [B], `node_weight`.
    Labels of pairs, `pair_y` [B, N, N] and `pair_weight`, are symmetric and of dense batches only;
    their head reads the product and the sum of both nodes and, where there are pairs, those.
    The loss is the weighted mean over known labels and "count" the sum of their weights.
    """

    Config = SupervisedConfig

    def __init__(
        self,
        trunk: Trunk,
        embedder: Embedder,
        config: SupervisedConfig | None = None,
        *,
        augment: object = None,
    ) -> None:
        super().__init__()
        self.trunk, self.embedder, self.config = trunk, embedder, config or self.Config()
        config = self.config
        outputs = config.outputs * (len(config.quantiles) if config.loss == "quantile" else 1)
        width = trunk.dim if config.level != "pair" else 2 * trunk.dim + trunk.pair_dim
        self.head: nn.Module = (
            mlp(width, config.hidden, outputs) if config.hidden else nn.Linear(width, outputs)
        )
        # In training an augmentation, if there is one, makes the noise of a noised student.
        self.augment = augment if callable(augment) else None
        if config.frozen or config.lora:
            self.trunk.requires_grad_(False)
            self.embedder.requires_grad_(False)
        if config.lora and not config.frozen:
            lora.inject(self.trunk, config.lora)  # `lora.merge(trunk)` when trained

    def train(self, mode: bool = True) -> Supervised:
        """Training mode; a frozen trunk keeps to evaluation mode (no dropout)."""
        super().train(mode)
        if self.config.frozen:
            self.trunk.eval()
            self.embedder.eval()
        return self

    def predict(self, batch: Data) -> Tensor:
        """Head outputs: [B, outputs], or one row per real node [S, outputs], or one per real pair
        i < j in the order of `pairs_of`."""
        return self._outputs(batch, self._places(batch))

    def _places(self, batch: Data) -> tuple[Tensor, ...]:
        """Indices of the real nodes, or of the pairs of them, that have a label of their own.

        How many there are is the only thing that an accelerator is waited for.
        """
        if self.config.level == "graph":
            return ()
        if self.config.level == "node":
            return real(batch).nonzero(as_tuple=True)
        return pairs_of(batch)

    def _outputs(self, batch: Data, places: tuple[Tensor, ...]) -> Tensor:
        embedded = self.embedder(batch)
        encoded = self.trunk(embedded)
        if self.config.level == "graph":
            return self.head(encoded.graph)
        if self.config.level == "node":
            return self.head(encoded.nodes[places])
        graph, i, j = places
        one, other = encoded.nodes[graph, i], encoded.nodes[graph, j]
        features = [one * other, one + other]
        if self.trunk.pair_dim:
            pairs = optional(embedded, "pair") if encoded.pairs is None else encoded.pairs
            both = one.new_zeros(len(one), self.trunk.pair_dim)
            features.append(both if pairs is None else pairs[graph, i, j] + pairs[graph, j, i])
        return self.head(torch.cat(features, -1))

    def forward(self, batch: Data) -> dict[str, Tensor]:
        """The losses of a labelled raw batch.

        Raises:
            InputError: the batch has no labels, or more classes than `outputs`.
        """
        name, weight_name = LABELS[self.config.level]
        labels, weight = optional(batch, name), optional(batch, weight_name)
        if labels is None:
            raise InputError(
                f"supervised training needs the label `{name}` in the batch",
                hint=f"It holds {sorted(batch.keys())}",
            )
        batch = self.noised(batch)
        places = self._places(batch)
        if places:
            labels = labels[places]
            weight = None if weight is None else weight[places]
        outputs = self._outputs(batch, places) if places else self.predict(batch)
        return self.losses(outputs, labels, weight)

    def noised(self, batch: Data) -> Data:
        """The batch as training sees it: through the augmentation, if there is one."""
        return self.augment(batch) if self.training and self.augment is not None else batch

    def losses(self, outputs: Tensor, labels: Tensor, weight: Tensor | None) -> dict[str, Tensor]:
        """Weighted mean loss of [K, outputs] head outputs against K labels."""
        outputs = wide(outputs)
        terms, labelled, metrics = _terms(outputs, labels, self.config)
        weight = labelled.float() if weight is None else labelled * weight.float()
        count = weight.sum()
        mean = (terms * weight).sum() / count.clamp_min(1e-12)
        metrics = {
            key: (value * weight).sum() / count.clamp_min(1e-12) for key, value in metrics.items()
        }
        return {"loss": mean, "count": count, **{k: v.detach() for k, v in metrics.items()}}


@functools.cache
def _levels(quantiles: tuple[float, ...]) -> Tensor:
    """The quantiles as a tensor of the CPU."""
    return torch.tensor(quantiles)


def pairs_of(batch: Data) -> tuple[Tensor, Tensor, Tensor]:
    """(graph, i, j), each [K] int64: the pairs i < j of real nodes of a dense batch.

    Raises:
        InputError: the batch is ragged.
    """
    if layout(batch) != "dense":
        raise InputError("pairs have labels in dense batches only")
    both = real(batch)[:, :, None] & real(batch)[:, None]
    graph, i, j = both.triu(1).nonzero(as_tuple=True)
    return graph, i, j


def _terms(
    outputs: Tensor, labels: Tensor, config: SupervisedConfig
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """([K] loss terms, [K] bool known, {[K] metrics})."""
    if config.loss == "cross_entropy":
        if labels.is_floating_point() and labels.dim() == 2:
            labelled = labels.sum(1) > 0
            terms = F.cross_entropy(
                outputs, labels, reduction="none", label_smoothing=config.smoothing
            )
            right = outputs.argmax(1) == labels.argmax(1)
        else:
            labels = labels.long()
            labelled = labels >= 0
            # Elsewhere reading it would wait for the device, whose own kernel refuses the label.
            read = labels.device.type == "cpu" and not torch.compiler.is_compiling()
            if read and int(labels.max()) >= config.outputs:
                raise InputError(
                    f"a label is {int(labels.max())}, but the head has {config.outputs} classes",
                    hint="Set `outputs` to the number of classes",
                )
            terms = F.cross_entropy(
                outputs, labels.clamp_min(0), reduction="none", label_smoothing=config.smoothing
            )
            right = outputs.argmax(1) == labels
        return terms, labelled, {"accuracy": right.float()}
    values = labels.reshape(len(outputs), config.outputs).float()
    labelled = values.isfinite().all(1)
    values = values.nan_to_num()
    if config.loss == "binary":
        terms = F.binary_cross_entropy_with_logits(outputs, values, reduction="none").mean(1)
        return terms, labelled, {"accuracy": ((outputs > 0) == (values > 0.5)).float().mean(1)}
    if config.loss == "quantile":
        levels = constant(_levels(config.quantiles), outputs.device)
        miss = values[:, :, None] - outputs.view(len(values), config.outputs, len(levels))
        terms = torch.maximum(levels * miss, (levels - 1) * miss).mean((1, 2))
        return terms, labelled, {}
    loss = F.mse_loss if config.loss == "mse" else F.smooth_l1_loss
    terms = loss(outputs, values, reduction="none").mean(1)
    return terms, labelled, {"absolute_error": (outputs - values).abs().mean(1)}
