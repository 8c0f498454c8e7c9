"""Optimiser, learning-rate schedule and the moving average of the weights."""

from __future__ import annotations

import math

import torch
from torch import nn


def lr_factor(step: int, total: int, warmup: int, floor: float = 0.01) -> float:
    """Linear warm-up to 1, then a half cosine down to `floor` (Loshchilov & Hutter 2017, eq. 5)."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1, total - warmup)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def adamw(module: nn.Module, lr: float, weight_decay: float, fused: bool) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019); vectors and scalars (biases, norms) are not decayed."""
    trained = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.98), fused=fused or None)


class Average:
    """Exponential moving average of the trained weights (Polyak & Juditsky 1992).

    The decay ramps up as (1 + step) / (10 + step), so that early weights are soon forgotten.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {
            name: p.detach().clone() for name, p in module.named_parameters() if p.requires_grad
        }

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, parameter in module.named_parameters():
            if name in self.weights:
                self.weights[name].lerp_(parameter.detach(), 1 - decay)

    @torch.no_grad()
    def swap(self, module: nn.Module) -> None:
        """Exchange the model's weights and the averaged ones; calling it twice changes nothing."""
        for name, parameter in module.named_parameters():
            if name in self.weights:
                current = parameter.detach().clone()
                parameter.copy_(self.weights[name])
                self.weights[name].copy_(current)
