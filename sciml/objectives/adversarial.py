"""Domain-adversarial training: features that predict the label but not the domain.

Ganin et al. 2016, arXiv:1505.07818: a domain classifier learns on the trunk's features through a
layer that is the identity forward and reverses the gradient backward (eq. 16-18), with the
adversary's strength rising as in section 5.2.2 of the paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.config import Range
from sciml.errors import InputError
from sciml.graph import optional
from sciml.objectives.base import Embedder, mlp, wide
from sciml.trunks.base import Trunk

if TYPE_CHECKING:
    from torch_geometric.data import Data


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, strength: float | Tensor) -> Tensor:
        ctx.strength = strength
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradients[0], None


def reverse_gradient(values: Tensor, strength: float | Tensor = 1.0) -> Tensor:
    """`values` forward; backward, the gradient times -strength."""
    return _Reverse.apply(values, strength)


@dataclass(frozen=True)
class AdversarialConfig:
    """The classes, the domains, and the adversary's strength."""

    outputs: Annotated[int, Range(min=2)] = 2
    """Number of classes of `y`."""
    domains: Annotated[int, Range(min=2)] = 2
    """Number of domains (simulation and data, two generators, ...)."""
    strength: Annotated[float, Range(min=0)] = 1.0
    """Weight of the reversed gradient at the end of the ramp."""
    ramp: Annotated[int, Range(min=1)] = 1000
    """Steps until the adversary has its full strength."""


class DomainAdversarial(nn.Module):
    """Classify `y` [B] (negative = unlabelled) while hiding `domain` [B] from an adversary.

    The mean over graphs of: the domain cross-entropy, plus the class cross-entropy where there is
    a label. `domain_accuracy` near 1 / domains means that the features no longer show the domain.
    """

    Config = AdversarialConfig
    progress: Tensor

    def __init__(
        self,
        trunk: Trunk,
        embedder: Embedder,
        config: AdversarialConfig | None = None,
        *,
        augment: object = None,
    ) -> None:
        super().__init__()
        self.trunk, self.embedder, self.config = trunk, embedder, config or self.Config()
        self.head = nn.Linear(trunk.dim, self.config.outputs)
        self.adversary = mlp(trunk.dim, trunk.dim, self.config.domains, layers=3)
        self.register_buffer("progress", torch.zeros(()))

    def strength(self) -> float:
        """strength * (2 / (1 + exp(-10 p)) - 1) with p the progress from 0 to 1."""
        return float(self._strength())

    def _strength(self) -> Tensor:
        """The same where the module is, which reads nothing back."""
        return self.config.strength * (2 / (1 + (-10 * self.progress).exp()) - 1)

    def predict(self, batch: Data) -> Tensor:
        """[B, outputs] class logits."""
        return self.head(self.trunk(self.embedder(batch)).graph)

    def forward(self, batch: Data) -> dict[str, Tensor]:
        """The losses of a raw batch with `y` and `domain`.

        Raises:
            InputError: one of the two is missing.
        """
        labels, domain = optional(batch, "y"), optional(batch, "domain")
        if labels is None or domain is None:
            raise InputError(
                "domain-adversarial training needs `y` and `domain` in the batch",
                hint=f"It holds {sorted(batch.keys())}; y = -1 where unlabelled",
            )
        features = self.trunk(self.embedder(batch)).graph
        labelled = labels >= 0
        logits = wide(self.head(features))
        task = F.cross_entropy(logits, labels.clamp_min(0), reduction="none") * labelled
        guess = wide(self.adversary(reverse_gradient(features, self._strength())))
        hiding = F.cross_entropy(guess, domain, reduction="none")
        right = ((logits.argmax(1) == labels) & labelled).sum() / labelled.sum().clamp_min(1)
        return {
            "loss": (task + hiding).mean(),
            "count": torch.full((), float(len(labels)), device=labels.device),
            "accuracy": right.detach(),
            "domain_accuracy": (guess.argmax(1) == domain).float().mean().detach(),
        }

    def after_step(self, step: int) -> None:
        """Raise the adversary's strength."""
        self.progress.fill_(min(1.0, step / self.config.ramp))
