"""JEPA: hidden nodes' latents only, no gradient to the target encoder, momentum schedule."""

from __future__ import annotations

import pytest
import torch

from sciml.objectives.base import changed
from sciml.objectives.jepa import JEPA, JEPAConfig
from sciml.objectives.masked import choose


def test_hidden_nodes_alone_carry_loss_and_targets_get_no_gradient(trunk, embedder, batch):
    objective = JEPA(trunk, embedder)
    chosen = choose(batch, objective.config)
    result = objective.losses(batch, chosen)
    assert float(result["count"]) == int(chosen.sum()) * 1
    result["loss"].backward()
    assert all(p.grad is None for p in objective.target.parameters())
    assert embedder.token.grad.abs().sum() > 0
    # The context does not see hidden content; the target does.
    x = batch.x.clone()
    x[chosen] += 1
    torch.testing.assert_close(
        trunk(embedder(batch, chosen)).nodes, trunk(embedder(changed(batch, x=x), chosen)).nodes
    )
    assert objective.losses(changed(batch, x=x), chosen)["loss"].item() != result["loss"].item()


def test_momentum_rises_and_moves_the_target(trunk, embedder):
    objective = JEPA(trunk, embedder, JEPAConfig(momentum=0.5, final_momentum=1.0, ramp=10))
    with torch.no_grad():
        trunk.message.weight.fill_(1.0)
        target = objective.target.get_parameter("0.message.weight")
        target.zero_()
    objective.after_step(0)
    assert float(target[0, 0]) == pytest.approx(0.5)
    objective.after_step(10)
    assert float(target[0, 0]) == pytest.approx(0.5)
    objective.after_step(5)
    assert float(target[0, 0]) == pytest.approx(0.75 * 0.5 + 0.25)
    assert not objective.train().target.training
