"""Proximal policy optimisation with action masks and generalised advantages.

Schulman et al. 2017 (arXiv:1707.06347, eq. 7) and 2015 (arXiv:1506.02438, eq. 16). An episode that
is *terminated* has no value after its end; one that is *truncated* (cut off by a limit) has, and
only stops the sum of advantages. Masked actions have probability zero and no gradient.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from sciml.config import Range
from sciml.errors import InputError
from sciml.files import kept, tensors
from sciml.train.state import ANEW, RESTART
from sciml.weights.former_names import present_names


@dataclass(frozen=True)
class PPOConfig:
    """Settings of the update."""

    gamma: Annotated[float, Range(min=0, max=1)] = 1.0
    """Discount of rewards."""
    lmbda: Annotated[float, Range(min=0, max=1)] = 0.95
    """Weight of longer returns in the advantage."""
    clip: Annotated[float, Range(min=0, exclusive=True)] = 0.2
    """Clipping range of the probability ratio around 1."""
    epochs: Annotated[int, Range(min=1)] = 4
    """Passes over each batch of experience."""
    minibatch: Annotated[int, Range(min=1)] = 128
    """Environment steps per gradient step."""
    value_weight: Annotated[float, Range(min=0)] = 0.5
    """Weight of the value loss."""
    entropy_weight: Annotated[float, Range(min=0)] = 0.01
    """Weight of the entropy bonus."""
    max_grad_norm: Annotated[float, Range(min=0, exclusive=True)] = 0.5
    """Gradients are clipped to this norm."""
    normalise: bool = True
    """Advantages of a minibatch get mean 0 and deviation 1."""
    target_kl: Annotated[float, Range(min=0)] = 0.05
    """Approximate KL divergence at which the passes stop; 0 = never."""


class MaskedCategorical:
    """A categorical distribution over the allowed actions.

    Args:
        logits: [..., A]. mask: [..., A] bool, True = allowed; at least one is.
    """

    def __init__(self, logits: Tensor, mask: Tensor) -> None:
        self.mask = mask
        floor = torch.finfo(logits.dtype).min
        self.log_probs = torch.log_softmax(torch.where(mask, logits, floor), -1)

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        probs = torch.where(self.mask, self.log_probs.exp(), 0.0)
        flat = probs.reshape(-1, probs.shape[-1])
        return torch.multinomial(flat, 1, generator=generator).reshape(probs.shape[:-1])

    def mode(self) -> Tensor:
        return torch.where(self.mask, self.log_probs, -torch.inf).argmax(-1)

    def log_prob(self, action: Tensor) -> Tensor:
        return self.log_probs.gather(-1, action[..., None])[..., 0]

    def entropy(self) -> Tensor:
        log_probs = torch.where(self.mask, self.log_probs, 0.0)
        return -(log_probs * torch.where(self.mask, self.log_probs.exp(), 0.0)).sum(-1)


def advantages(
    reward: Tensor,
    value: Tensor,
    next_value: Tensor,
    terminated: Tensor,
    done: Tensor,
    gamma: float,
    lmbda: float,
) -> tuple[Tensor, Tensor]:
    """Generalised advantages and value targets along dimension 0 (time).

    Args:
        reward, value: [T, ...], the value of the state acted in.
        next_value: [T, ...], the value of the state that followed, before any reset.
        terminated: [T, ...] bool: no value follows. done: terminated or truncated.

    Returns:
        (advantage, target) with target = advantage + value.
    """
    delta = reward + gamma * next_value * (~terminated) - value
    out = torch.zeros_like(delta)
    running = torch.zeros_like(delta[0])
    for t in range(len(delta) - 1, -1, -1):
        running = delta[t] + gamma * lmbda * (~done[t]) * running
        out[t] = running
    return out, out + value


def clipped_objective(
    log_prob: Tensor, old_log_prob: Tensor, advantage: Tensor, clip: float
) -> Tensor:
    """The negative of eq. 7, averaged over steps."""
    ratio = (log_prob - old_log_prob).exp()
    limited = ratio.clamp(1 - clip, 1 + clip)
    return -torch.minimum(ratio * advantage, limited * advantage).mean()


def value_loss(value: Tensor, target: Tensor) -> Tensor:
    """Smooth L1 distance, averaged over steps."""
    return nn.functional.smooth_l1_loss(value, target)


@dataclass
class Experience:
    """Steps as tensors [N, ...]; `inputs` are the arguments of the policy's `evaluate`, by name."""

    inputs: dict[str, Tensor]
    mask: Tensor
    action: Tensor
    log_prob: Tensor
    value: Tensor
    advantage: Tensor
    target: Tensor

    def __len__(self) -> int:
        return len(self.action)

    def at(self, index: Tensor) -> Experience:
        fields = {k: getattr(self, k)[index] for k in
                  ("mask", "action", "log_prob", "value", "advantage", "target")}  # fmt: skip
        return Experience(inputs={k: v[index] for k, v in self.inputs.items()}, **fields)


def minibatches(n: int, size: int) -> Iterator[Tensor]:
    """Random partitions of n samples into index tensors of at most `size`."""
    order = torch.randperm(n)
    for a in range(0, n, size):
        yield order[a : a + size]


class PPO:
    """The update: `step(experience)` runs the epochs and returns mean losses.

    Args:
        module: holds the parameters.
        evaluate: (inputs) -> (logits [B, A], value [B]) with gradients.
        optimizer: over the parameters of the module (and of `auxiliary`).
        auxiliary: a further loss on the same inputs, such as `CURL`: its forward(inputs) returns a
            dict whose "loss" is added; its `after_step` follows every gradient step.
    """

    def __init__(
        self,
        module: nn.Module,
        evaluate: Callable[[dict[str, Tensor]], tuple[Tensor, Tensor]],
        optimizer: torch.optim.Optimizer,
        config: PPOConfig | None = None,
        auxiliary: Any = None,
    ) -> None:
        self.module, self.evaluate, self.optimizer = module, evaluate, optimizer
        self.config, self.auxiliary = config or PPOConfig(), auxiliary
        learning = nn.ModuleList([module] if auxiliary is None else [module, auxiliary])
        self.parameters = [p for p in learning.parameters() if p.requires_grad]

    def losses(self, batch: Experience) -> dict[str, Tensor]:
        """The terms of one minibatch; "loss" is their weighted sum."""
        c = self.config
        logits, value = self.evaluate(batch.inputs)
        chosen = MaskedCategorical(logits, batch.mask)
        log_prob = chosen.log_prob(batch.action)
        advantage = batch.advantage
        if c.normalise and len(advantage) > 1:
            advantage = (advantage - advantage.mean()) / advantage.std().clamp(min=1e-8)
        policy = clipped_objective(log_prob, batch.log_prob, advantage, c.clip)
        critic, entropy = value_loss(value, batch.target), chosen.entropy().mean()
        with torch.no_grad():
            log_ratio = log_prob - batch.log_prob
            kl = (log_ratio.exp() - 1 - log_ratio).mean()
            clipped = ((log_ratio.exp() - 1).abs() > c.clip).float().mean()
        loss = policy + c.value_weight * critic - c.entropy_weight * entropy
        more = {} if self.auxiliary is None else self.auxiliary(batch.inputs)
        loss = loss + more.pop("loss", 0.0)
        return {
            "loss": loss, "policy": policy, "value": critic, "entropy": entropy, "kl": kl,
            "clipped": clipped, **more,
        }  # fmt: skip

    def step(self, experience: Experience) -> dict[str, float]:
        c = self.config
        device = experience.action.device
        seen: list[dict[str, float]] = []
        for _ in range(c.epochs):
            rows: list[Tensor] = []
            for index in minibatches(len(experience), c.minibatch):
                terms = self.losses(experience.at(index.to(device, non_blocking=True)))
                self.optimizer.zero_grad(set_to_none=True)
                terms["loss"].backward()
                nn.utils.clip_grad_norm_(self.parameters, c.max_grad_norm)
                self.optimizer.step()
                if self.auxiliary is not None:
                    self.auxiliary.after_step()
                rows.append(torch.stack([value.detach() for value in terms.values()]))
            # Once an epoch an accelerator is waited for.
            seen += [dict(zip(terms, row, strict=True)) for row in torch.stack(rows).tolist()]
            if c.target_kl and seen[-1]["kl"] > c.target_kl:
                break
        return {key: sum(row[key] for row in seen) / len(seen) for key in seen[0]}


def state_dict(ppo: PPO, **more: Any) -> dict[str, Any]:
    """Module, optimizer and torch's random state, for a bitwise resume."""
    if ppo.auxiliary is not None:
        more["auxiliary"] = ppo.auxiliary.state_dict()
    return {
        "module": ppo.module.state_dict(),
        "optimizer": ppo.optimizer.state_dict(),
        "random": torch.get_rng_state(),
        **more,
    }


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Write a state atomically, with its digest.

    Raises:
        InputError: it cannot be written.
    """
    file = io.BytesIO()
    torch.save(state, file)
    tensors.write(path, {"state": torch.frombuffer(file.getbuffer(), dtype=torch.uint8)})


def read_state(path: Path) -> dict[str, Any] | None:
    """The state of `write_state`; None without a file, or where a damaged one may be ignored.

    Raises:
        InputError: it is damaged, and `--restart` was not given.
    """
    if not path.exists():
        return None
    try:
        if path.read_bytes()[:2] == b"PK":  # a zip file, of version 0.1
            return dict(torch.load(path, weights_only=True))
        data = tensors.read(path)[0]["state"].numpy().tobytes()
        return dict(torch.load(io.BytesIO(data), weights_only=True))
    except (OSError, RuntimeError, LookupError, ValueError, pickle.UnpicklingError) as error:
        what = f"the training cannot go on from {path.name}: {str(error)[:200]}"
        if not RESTART.get():
            raise InputError(what, where=path.parent, hint=ANEW) from None
        kept.warn(f"{what}; it starts again")
        return None


def load_state(ppo: PPO, state: dict[str, Any]) -> None:
    """Put a saved state into a PPO: weights, optimiser, random numbers."""
    if ppo.auxiliary is not None:
        ppo.auxiliary.load_state_dict(present_names(ppo.auxiliary, state["auxiliary"]))
    ppo.module.load_state_dict(present_names(ppo.module, state["module"]))
    ppo.optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["random"])
