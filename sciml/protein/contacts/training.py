"""Training of the contact network: examples, crops, the chain backwards, losses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.nn.constants import constant
from sciml.protein.contacts.distogram import EDGES
from sciml.protein.contacts.features import (
    FROM_END,
    FROM_START,
    NOISY,
    PAIR_FEATURES,
    PROFILE,
    ContactFeatures,
)
from sciml.protein.contacts.network import ContactNet

_EDGES = torch.tensor(EDGES)


def as_example(features: ContactFeatures, distances: np.ndarray | None = None) -> dict[str, Tensor]:
    """Features, and CB distances [C, C] [A] where given (NaN where unknown), as tensors."""
    pairs = [features.pairs] if features.couplings is None else [features.pairs, features.couplings]
    example = {
        "node_profile": torch.as_tensor(features.nodes),
        "pair_scores": torch.as_tensor(np.concatenate(pairs, -1)),
    }
    if distances is not None:
        example["distances"] = torch.as_tensor(distances, dtype=torch.float32)
    return example


def collate(examples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Pad examples (`node_profile`, `pair_scores`, and `distances` where known) to one length."""
    longest = max(len(example["node_profile"]) for example in examples)
    batch: dict[str, Tensor] = {}
    for key, filler in (("node_profile", 0.0), ("pair_scores", 0.0), ("distances", float("nan"))):
        if key not in examples[0]:
            continue
        parts = []
        for example in examples:
            value = example[key].float()
            short = longest - len(value)
            pad = (0, 0, 0, short) if key == "node_profile" else (0, 0, 0, short, 0, short)
            pad = (0, short, 0, short) if key == "distances" else pad
            parts.append(F.pad(value, pad, value=filler))
        batch[key] = torch.stack(parts)
    lengths = torch.tensor([len(example["node_profile"]) for example in examples])
    batch["mask"] = torch.arange(longest)[None] < lengths[:, None]
    return batch


def flip(example: dict[str, Tensor]) -> dict[str, Tensor]:
    """The chain backwards; the two features that tell its ends apart are exchanged."""
    nodes = example["node_profile"].flip(0).clone()
    nodes[:, [FROM_START, FROM_END]] = nodes[:, [FROM_END, FROM_START]]
    pairs = {key: value.flip(0, 1) for key, value in example.items() if key != "node_profile"}
    return {"node_profile": nodes, **pairs}


class ContactLearner(nn.Module):
    """Losses of the distance classes, where structures are known, and of masked columns' profiles.

    Args:
        net: what is trained.
        noise: standard deviation of the noise on pair scores, and spread of their random scale.
        dropped: share of examples without couplings along properties, where there are any, so that
            the network does not rely on what couplings of generated families look like.
        masked: share of columns whose profile is masked and predicted.
        profile_weight: of that loss.
    """

    def __init__(
        self,
        net: ContactNet,
        *,
        noise: float = 0.3,
        dropped: float = 0.25,
        masked: float = 0.15,
        profile_weight: float = 0.1,
    ) -> None:
        super().__init__()
        self.net, self.noise, self.dropped = net, noise, dropped
        self.masked, self.profile_weight = masked, profile_weight

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """-> loss, distance_loss (where `distances` are given), profile_loss."""
        nodes, scores, mask = batch["node_profile"], batch["pair_scores"], batch["mask"]
        hidden = mask & (torch.rand(mask.shape, device=mask.device) < self.masked)
        profile = nodes[..., :PROFILE]
        nodes = torch.cat([profile.masked_fill(hidden[..., None], 0.0), nodes[..., PROFILE:]], -1)
        if self.training and self.noise:
            noise = torch.randn_like(scores[..., :NOISY])
            noise = 0.5**0.5 * (noise + noise.transpose(1, 2))
            scale = torch.exp(0.2 * torch.randn(len(scores), 1, 1, NOISY, device=scores.device))
            noisy = scores[..., :NOISY] * scale + self.noise * noise
            kept = torch.rand(len(scores), 1, 1, 1, device=scores.device) >= self.dropped
            couplings = scores[..., PAIR_FEATURES:] * kept
            scores = torch.cat([noisy, scores[..., NOISY:PAIR_FEATURES], couplings], -1)
        distogram, profiles = self.net({"node_profile": nodes, "pair_scores": scores, "mask": mask})
        cross_entropy = -(profile * profiles.log_softmax(-1)).sum(-1)
        profile_loss = (cross_entropy * hidden).sum() / hidden.sum().clamp(min=1)
        losses = {"loss": self.profile_weight * profile_loss, "profile_loss": profile_loss.detach()}
        if "distances" in batch:
            distance_loss = self.distance_loss(distogram, batch["distances"], mask)
            losses["loss"] = losses["loss"] + distance_loss
            losses["distance_loss"] = distance_loss.detach()
        return losses

    @staticmethod
    def distance_loss(logits: Tensor, distances: Tensor, mask: Tensor) -> Tensor:
        """Cross entropy of the distance classes of known pairs; near pairs count a fifth."""
        edges = constant(_EDGES, logits.device)
        target = torch.bucketize(distances.nan_to_num(0.0), edges, right=True)
        index = torch.arange(mask.shape[1], device=mask.device)
        away = (index[:, None] - index[None]).abs()
        weight = torch.where(away >= 6, 1.0, 0.2) * (away >= 1)
        weight = weight * distances.isfinite() * (mask[:, :, None] & mask[:, None])
        loss = F.cross_entropy(logits.permute(0, 3, 1, 2), target, reduction="none")
        return (loss * weight).sum() / weight.sum().clamp(min=1)


class ContactExamples:
    """A map-style data set of features with distances.

    Args:
        examples: of `as_example`, in a list or read on access.
        augment: give half of them backwards (`flip`).
        crop: random windows of this many columns; 0: whole chains.
    """

    def __init__(
        self, examples: Sequence[dict[str, Tensor]], augment: bool = True, crop: int = 0
    ) -> None:
        self.examples, self.augment, self.crop = examples, augment, crop

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        example = self.examples[index]
        if self.augment and float(torch.rand(())) < 0.5:
            example = flip(example)
        columns = len(example["node_profile"])
        if not self.crop or columns <= self.crop:
            return example
        start = int(torch.randint(0, columns - self.crop + 1, ()))
        part = slice(start, start + self.crop)
        return {
            key: value[part] if key == "node_profile" else value[part, part]
            for key, value in example.items()
        }
