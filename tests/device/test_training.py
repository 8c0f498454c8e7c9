"""The engine on the pretended device: nothing that a GPU refuses, one wait a step."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import pytest
import torch
from torch import nn

from sciml import graph, testing, trunks
from sciml.objectives import downstream
from sciml.objectives.probe import metrics
from sciml.rl import ppo
from sciml.train import loop, sampler
from sciml.train.config import TrainConfig
from sciml.train.loop import TrainingDiverged, fit


class Line(nn.Module):
    """y = w x + b of random points."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, batch):
        return {"loss": (self.layer(batch["x"])[:, 0] - batch["y"]).square().mean()}


def points(count=32):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, 3, generator=generator)
    return [{"x": row, "y": row.sum()} for row in x]


def validate(model):
    batch = sampler.move(torch.utils.data.default_collate(points(4)), model.layer.weight.device)
    return {"loss": float(model(batch)["loss"])}


SETTINGS: dict[str, Any] = {
    "batch_size": 8, "lr": 0.05, "ema": 0.9, "accumulate": 2, "validate_every": 4,
    "checkpoint_every": 2, "workers": 0, "monitor": "loss",
}  # fmt: skip


def test_a_run_with_everything_stops_and_resumes(tmp_path, monkeypatch):
    torch.manual_seed(0)
    start = Line().state_dict()

    def run(folder, steps):
        model = Line()
        model.load_state_dict(start)
        config = TrainConfig(steps=8, **SETTINGS)
        if steps < config.steps:
            calls = iter(range(steps))
            monkeypatch.setattr(model, "after_step", lambda _: next(calls), raising=False)
        return fit(model, points(), config, out=folder, validate=validate, quiet=True)

    on_cpu = run(tmp_path / "cpu", 8).module
    with testing.PretendedDevice() as device:
        with pytest.raises(StopIteration):
            run(tmp_path / "there", 4)
        resumed = run(tmp_path / "there", 8)
        assert resumed.module.layer.weight.device == device.device
        assert not device.faults
    torch.testing.assert_close(
        resumed.module.cpu().state_dict(), on_cpu.state_dict(), rtol=1e-5, atol=1e-6
    )


def waits_of_fit(folder, steps, **more):
    config = TrainConfig(
        steps=steps, batch_size=8, workers=0, checkpoint_every=1000, log_every=1000, **more
    )
    with testing.PretendedDevice() as device:
        fit(Line(), points(), config, out=folder, quiet=True)
        return device.waits.total()


@pytest.mark.parametrize("more", [{}, {"ema": 0.9}, {"accumulate": 4}], ids=str)
def test_a_step_waits_once(tmp_path, more):
    fewer, further = (waits_of_fit(tmp_path / str(n), n, **more) for n in (2, 7))
    assert further - fewer == 5


def test_a_loss_that_is_not_finite_is_noticed_in_its_step_and_its_batch_kept(tmp_path):
    data = points()
    data[13]["x"] = torch.full((3,), torch.nan)
    config = TrainConfig(steps=4, batch_size=8, workers=0, accumulate=2)
    with testing.PretendedDevice(), pytest.raises(TrainingDiverged, match="the loss of step"):
        fit(Line(), data, config, out=tmp_path, quiet=True)
    from sciml.files import tensors

    batch, _ = tensors.read(tmp_path / "failed-batch.safetensors")
    assert bool(batch["batch.x"].isnan().any())
    assert len(batch["batch.x"]) == 4  # the micro-batch at fault alone


@pytest.mark.parametrize("epochs", [1, 3])
def test_ppo_waits_once_an_epoch(epochs):
    torch.manual_seed(0)
    actor, critic = nn.Linear(4, 5), nn.Linear(4, 1)
    module = nn.ModuleList([actor, critic])
    x, mask = torch.randn(24, 4), torch.rand(24, 5) < 0.7
    mask[:, 0] = True
    chosen = ppo.MaskedCategorical(torch.randn(24, 5), mask)
    action = chosen.sample()
    numbers = torch.randn(3, 24)
    steps = ppo.Experience({"x": x}, mask, action, chosen.log_prob(action), *numbers)
    config = ppo.PPOConfig(epochs=epochs, minibatch=8, target_kl=0.0)

    def evaluate(inputs):
        return actor(inputs["x"]), critic(inputs["x"])[:, 0]

    with testing.PretendedDevice() as device:
        device.to_device(module)
        learner = ppo.PPO(module, evaluate, torch.optim.Adam(module.parameters(), 1e-2), config)
        there = ppo.Experience(
            **{field.name: device.to_device(getattr(steps, field.name)) for field in fields(steps)}
        )
        device.clear()
        assert math.isfinite(learner.step(there)["loss"])
        assert not device.faults
        assert device.waits.total() == epochs, device.waits


class PerGraph(nn.Module):
    """One number a graph."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 1)

    def predict(self, batch):
        return self.layer(batch.x.mean(1))


def test_a_downstream_task_scores_outputs_and_labels_on_one_device():
    data = [{"x": torch.randn(3, 4), "y": float(i)} for i in range(5)]

    def score(outputs, batches):
        return float((torch.cat(outputs)[:, 0] - torch.cat([b.y for b in batches])).mean())

    task: Any = downstream.SupervisedTask(data, data, graph.make_dense, None, score, None)  # type: ignore[arg-type]
    with testing.PretendedDevice() as device:
        assert math.isfinite(task.measure(device.to_device(PerGraph())))
        assert not device.faults


def test_a_batch_that_is_not_moved_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "move", lambda batch, _: batch)
    config = TrainConfig(steps=1, batch_size=8, workers=0)
    with testing.PretendedDevice() as device, pytest.raises(testing.DeviceFault):
        fit(Line(), points(), config, out=tmp_path, quiet=True)
    assert device.faults


def test_batches_move_without_waiting():
    trunk = trunks.build("pair_transformer", dim=16, heads=2, depth=1)
    with testing.PretendedDevice() as device:
        for kind in ("dense", "ragged"):
            batch = device.to_device(testing.batch_for(trunk, kind))
            assert all(batch[key].device == device.device for key in batch.keys())
        assert not device.waits


def test_scores_there_are_measured_with_labels_of_the_cpu():
    scores = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    labels = torch.tensor([0, 1, 1])
    with testing.PretendedDevice() as device:
        assert metrics(device.to_device(scores), labels) == metrics(scores, labels)
