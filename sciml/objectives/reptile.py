"""Reptile: weights from which few steps learn a new task (Nichol et al. 2018, arXiv:1803.02999).

    W <- W + rate * (mean over tasks of W_k - W)          (algorithm 2)

where W_k is W after k steps of a usual optimiser on one task. With one step of SGD that is SGD on
the tasks together; with more, the expected change also raises the inner product of gradients of
different batches of a task (section 5.1), which is what makes learning it faster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from sciml.errors import InputError

Loss = Callable[[nn.Module, Any], Tensor]
"""(module, batch) -> the loss of one batch of a task."""


def adapt(module: nn.Module, batches: Iterable[Any], loss: Loss, rate: float) -> list[float]:
    """Train the module in place on batches of one task, a step of SGD each.

    Returns:
        the loss of each batch before its step.
    """
    losses = []
    weights = [p for p in module.parameters() if p.requires_grad]
    for batch in batches:
        value = loss(module, batch)
        gradients = torch.autograd.grad(value, weights, allow_unused=True)
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                if gradient is not None:
                    weight.sub_(rate * gradient)
        losses.append(float(value.detach()))
    return losses


def reptile(
    module: nn.Module,
    tasks: Iterator[list[Any]],
    loss: Loss,
    *,
    steps: int,
    rate: float = 0.5,
    inner_rate: float = 0.1,
    tasks_per_step: int = 1,
) -> list[float]:
    """Meta-train the module in place; the meta rate falls to zero.

    Args:
        module: what is trained. Buffers stay as they are.
        tasks: each a list of batches; endless.
        loss: of a batch.
        steps: meta steps.
        rate: first meta rate, over 0, at most 1.
        inner_rate: of SGD within a task.
        tasks_per_step: whose changes are averaged.

    Returns:
        the mean loss of each meta step's batches.

    Raises:
        InputError: a rate or number that is not possible.
    """
    if not 0 < rate <= 1:
        raise InputError(f"`rate` must be above 0, at most 1, got {rate}")
    if steps < 1 or tasks_per_step < 1 or not inner_rate > 0:
        raise InputError("`steps` and `tasks_per_step` must be at least 1, `inner_rate` above 0")
    weights = [p for p in module.parameters() if p.requires_grad]
    history = []
    for step in range(steps):
        before = [weight.detach().clone() for weight in weights]
        change = [torch.zeros_like(weight) for weight in before]
        losses: list[float] = []
        for _ in range(tasks_per_step):
            losses += adapt(module, next(tasks), loss, inner_rate)
            with torch.no_grad():
                for total, weight, old in zip(change, weights, before, strict=True):
                    total += (weight - old) / tasks_per_step
                    weight.copy_(old)
        share = rate * (1 - step / steps)
        with torch.no_grad():
            for weight, total in zip(weights, change, strict=True):
                weight.add_(share * total)
        history.append(sum(losses) / max(len(losses), 1))
    return history
