"""NT-Xent equals pytorch-metric-learning's; MoCo's queue and key encoder step by step; VICReg."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sciml import graph, objectives
from sciml.errors import InputError
from sciml.objectives.base import changed
from sciml.objectives.contrastive import MoCo, MoCoConfig, SimCLR, nt_xent
from sciml.objectives.graphs import augment
from sciml.objectives.vicreg import VICReg, covariance_term, variance_term


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_nt_xent_equals_pytorch_metric_learning(temperature):
    losses = pytest.importorskip("pytorch_metric_learning.losses")
    torch.manual_seed(0)
    values = [torch.randn(8, 5, requires_grad=True) for _ in range(2)]
    loss, accuracy = nt_xent(values[0], values[1], temperature)
    ours = torch.autograd.grad(loss, values)
    theirs = losses.NTXentLoss(temperature=temperature)(
        torch.cat(values), torch.arange(8).repeat(2)
    )
    torch.testing.assert_close(loss, theirs, rtol=1e-5, atol=1e-6)
    for a, b in zip(ours, torch.autograd.grad(theirs, values)):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    assert 0 <= float(accuracy) <= 1


PROCESS = """
import sys, torch, torch.distributed as dist
from sciml.objectives.contrastive import nt_xent
rank = int(sys.argv[1])
dist.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=rank, world_size=2)
torch.manual_seed(0)
values = torch.randn(2, 7, 5)
share = slice(0, 3) if rank == 0 else slice(3, 7)  # ragged, as in a last batch
mine = values[:, share].clone().requires_grad_()
loss, _ = nt_xent(mine[0], mine[1], 0.3)
count = 2.0 * mine.shape[1]
(loss * count / 14).backward()  # the engine's global mean
total = loss.detach() * count / 14
dist.all_reduce(total)
whole = values.clone().requires_grad_()
dist.is_initialized = lambda: False  # and now alone
single, _ = nt_xent(whole[0], whole[1], 0.3)
single.backward()
assert abs(float(total) - float(single)) < 1e-6, (total, single)
assert torch.allclose(mine.grad, whole.grad[:, share], atol=1e-6)
"""


@pytest.mark.slow
def test_two_processes_give_the_loss_and_gradient_of_one(tmp_path):
    running = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(rank), str(tmp_path / "meet")],
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for process in running:
        _, error = process.communicate(timeout=200)
        assert process.returncode == 0, error


def test_nt_xent_by_hand():
    first = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    loss, accuracy = nt_xent(first, first, 1.0)
    # Each anchor: partner at cosine 1, two others at 0.
    assert float(loss) == pytest.approx(float(np.log(np.e + 2) - 1), abs=1e-6)
    assert float(accuracy) == 1


def test_moco_queue_order_and_key_encoder_step_by_step(trunk, embedder, make_batch):
    config = MoCoConfig(queue=10, momentum=0.9, width=8)
    objective = MoCo(trunk, embedder, config, augment=lambda batch: batch).train()
    queue = objective.queue.clone()
    expected = {name: p.clone() for name, p in objective.key.named_parameters()}
    optimizer = torch.optim.SGD([p for p in objective.parameters() if p.requires_grad], lr=0.1)
    at = 0
    for step, size in enumerate((4, 4, 4, 3), start=1):
        batch = make_batch(size, seed=step)
        with torch.no_grad():
            key_encoder: Any = objective.key
            key_trunk, key_embedder, key_projector = key_encoder
            keys = F.normalize(key_projector(key_trunk(key_embedder(batch)).graph), dim=-1)
            query = F.normalize(
                objective.projector(objective.trunk(objective.embedder(batch)).graph), dim=-1
            )
            logits = torch.cat([(query * keys).sum(1, keepdim=True), query @ queue.T], 1) / 0.2
            reference_loss = F.cross_entropy(logits, torch.zeros(size, dtype=torch.long))
        result = objective(batch)
        torch.testing.assert_close(result["loss"], reference_loss)
        for key in keys:  # first in, first out
            queue[at % 10] = key
            at += 1
        optimizer.zero_grad()
        result["loss"].backward()
        assert all(p.grad is None for p in objective.key.parameters())
        optimizer.step()
        objective.after_step(step)
        torch.testing.assert_close(objective.queue, queue)
        online = torch.nn.ModuleList([objective.trunk, objective.embedder, objective.projector])
        for name, parameter in online.named_parameters():
            expected[name] = 0.9 * expected[name] + 0.1 * parameter.detach()
            torch.testing.assert_close(dict(objective.key.named_parameters())[name], expected[name])
    assert int(objective.pointer) == at % 10
    assert any(
        not torch.equal(a, b) for a, b in zip(objective.key.parameters(), online.parameters())
    )


def test_evaluation_does_not_touch_the_queue(trunk, embedder, dense_batch):
    objective = MoCo(trunk, embedder, augment=augment).eval()
    before = objective.queue.clone()
    objective(dense_batch)
    assert torch.equal(objective.queue, before)
    objective.after_step(1)
    assert torch.equal(objective.queue, before)
    for _ in range(2):  # micro-batches of one step
        objective.train()(dense_batch)
    objective.after_step(2)
    size = graph.number_of_graphs(dense_batch)
    assert (objective.queue != before).any(1).sum() == 2 * size == int(objective.pointer)
    assert not objective.key.training


def test_a_batch_longer_than_the_queue_keeps_its_last_keys(trunk, embedder):
    objective = MoCo(trunk, embedder, MoCoConfig(queue=3, width=2), augment=augment)
    keys = torch.arange(10.0).view(5, 2)
    objective.enqueue(keys)
    assert sorted(objective.queue[:, 0].tolist()) == [4, 6, 8]


@pytest.mark.parametrize("name", ["simclr", "moco", "vicreg"])
def test_trains_on_both_layouts_and_needs_views(trunk, embedder, batch, name):
    objective = objectives.build(name)(trunk, embedder, augment=augment)
    torch.manual_seed(0)
    result = objective(batch)
    result["loss"].backward()
    assert result["loss"].item() > 0 and result["count"].item() in (6, 12)
    idle = [
        n
        for n, p in objective.named_parameters()
        if p.requires_grad and p.grad is None and "token" not in n
    ]
    assert idle == []
    with pytest.raises(InputError, match="needs `augment`"):
        objectives.build(name)(trunk, embedder)


def test_simclr_learns_to_tell_graphs_apart(trunk, embedder, make_batch):
    torch.manual_seed(0)
    objective = SimCLR(trunk, embedder, augment=lambda b: augment(b, drop=0.0, jitter=0.05))
    optimizer = torch.optim.Adam(objective.parameters(), 1e-2)
    first = 0.0
    for _ in range(25):
        result = objective(make_batch(12))
        first = first or result["loss"].item()
        optimizer.zero_grad()
        result["loss"].backward()
        optimizer.step()
    assert result["loss"].item() < 0.6 * first


def test_vicreg_terms():
    torch.manual_seed(0)
    values = torch.randn(5000, 3)
    assert float(variance_term(10 * values)) == 0
    assert float(variance_term(torch.zeros(10, 3))) == pytest.approx(1 - 1e-2)
    assert float(covariance_term(values)) < 0.01
    copied = torch.cat([values, values], 1)
    want = torch.cov(copied.T)
    want = (want - want.diag().diag()).square().sum() / 6
    torch.testing.assert_close(covariance_term(copied), want)


def test_vicreg_refuses_a_batch_of_one(trunk, embedder, make_batch):
    with pytest.raises(InputError, match="at least two"):
        VICReg(trunk, embedder, augment=augment)(make_batch(1))


def test_augment_leaves_the_original(dense_batch):
    before = dense_batch.x.clone()
    view = augment(dense_batch)
    assert torch.equal(dense_batch.x, before) and not torch.equal(view.x, before)
    assert changed(dense_batch).x is dense_batch.x
