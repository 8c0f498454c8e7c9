"""PPO from torchrl's parts: its collector, its advantages, its clipped loss.

Bou et al. 2023 (arXiv:2306.00577). Needs the extra `rl`.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from sciml.errors import load_extra


def train(
    actor: nn.Module, critic: nn.Module, envs: Sequence[Callable[[], Any]], steps: int, seed: int,
    after: Callable[[int, float, dict[str, Any]], None], batch: int = 256, minibatch: int = 64,
    epochs: int = 4, lr: float = 5e-4, gamma: float = 0.99,
) -> None:  # fmt: skip
    """Train on environments whose observations are {"maps", "action_mask"}.

    Args:
        actor: maps [B, ...] -> logits [B, actions]. critic: maps -> value [B, 1].
        envs: make the environments, each its own.
        after: called at each end of an episode with the steps and CPU-seconds so far and its info.
    """
    with warnings.catch_warnings():  # torchrl imports classes that it deprecates itself
        warnings.simplefilter("ignore", DeprecationWarning)
        load_extra("torchrl", "rl", "torchrl's PPO")
        from tensordict.nn import (
            ProbabilisticTensorDictModule,
            ProbabilisticTensorDictSequential,
            TensorDictModule,
        )
        from torchrl import collectors
        from torchrl.envs import GymWrapper, InitTracker, SerialEnv, TransformedEnv
        from torchrl.modules import MaskedCategorical, ValueOperator
        from torchrl.objectives import ClipPPOLoss
        from torchrl.objectives.value import GAE

    began, done = time.process_time(), [0]

    def make(build: Callable[[], Any]) -> Callable[[], Any]:
        def env() -> Any:
            inner = build()
            step = inner.step

            def counted(action: Any) -> Any:
                result = step(action)
                done[0] += 1
                if result[2] or result[3]:
                    after(done[0], time.process_time() - began, result[4])
                return result

            inner.step = counted
            return GymWrapper(inner, categorical_action_encoding=True)

        return env

    torch.manual_seed(seed)
    vector = TransformedEnv(SerialEnv(len(envs), [make(build) for build in envs]), InitTracker())
    vector.set_seed(seed)
    policy = ProbabilisticTensorDictSequential(
        TensorDictModule(actor, in_keys=["maps"], out_keys=["logits"]),
        ProbabilisticTensorDictModule(
            in_keys={"logits": "logits", "mask": "action_mask"}, out_keys=["action"],
            distribution_class=MaskedCategorical, return_log_prob=True,
        ),
    )  # fmt: skip
    value = ValueOperator(critic, in_keys=["maps"])
    advantage = GAE(gamma=gamma, lmbda=0.95, value_network=value)
    loss = ClipPPOLoss(policy, value, clip_epsilon=0.2, entropy_coeff=0.01, critic_coeff=0.5,
                       normalize_advantage=True)  # fmt: skip
    optimizer = torch.optim.Adam(loss.parameters(), lr)
    # Its name since torchrl 0.11.
    kind: Any = getattr(collectors, "Collector", None) or collectors.SyncDataCollector
    collector = kind(vector, policy, frames_per_batch=batch, total_frames=steps)
    for data in collector:
        for _ in range(epochs):
            with torch.no_grad():
                advantage(data)
            flat = data.reshape(-1)
            for index in torch.randperm(len(flat)).split(minibatch):
                terms = loss(flat[index])
                total = terms["loss_objective"] + terms["loss_critic"] + terms["loss_entropy"]
                optimizer.zero_grad()
                total.backward()
                nn.utils.clip_grad_norm_(loss.parameters(), 0.5)
                optimizer.step()
    collector.shutdown()
