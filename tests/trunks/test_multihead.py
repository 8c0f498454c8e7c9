"""One trunk for several domains, and how they are mixed."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sciml import testing, trunks
from sciml.errors import InputError
from sciml.objectives.base import changed
from sciml.trunks.base import GraphHead, NodeHead
from sciml.trunks.multihead import (
    MixedCollate,
    MixedDataset,
    Mixture,
    MultiHead,
    combine,
    temperature_weights,
)


class Embed(nn.Module):
    def __init__(self, width, dim):
        super().__init__()
        self.linear = nn.Linear(width, dim)

    def forward(self, batch):
        return changed(batch, x=self.linear(batch.x))


def loss_of(answer, batch):
    if answer.ndim == 3:
        answer = answer[batch.mask].mean(-1)
        target = batch.x[batch.mask].mean(-1)
    else:
        answer, target = answer[:, 0], batch.x.mean((1, 2))
    return {"loss": F.mse_loss(answer, target), "count": torch.tensor(float(len(target)))}


@pytest.fixture
def model():
    torch.manual_seed(0)
    trunk = trunks.build("pair_transformer", dim=8, heads=2, depth=1)
    return MultiHead(
        trunk,
        {"jets": Embed(3, 8), "chips": Embed(5, 8)},
        {"jets": GraphHead(8, 1), "chips": NodeHead(8, 2)},
        {"jets": loss_of, "chips": loss_of},
        {"jets": 1.0, "chips": 0.5},
    )


@pytest.fixture
def batches():
    return {
        "jets": testing.random_batch(dim=3, sizes=(4, 2)),
        "chips": testing.random_batch(dim=5, sizes=(3, 6, 1), seed=1),
    }


def test_each_domain_has_its_own_way_in_and_out(model, batches):
    assert model.domains == ["jets", "chips"]
    assert model.predict("jets", batches["jets"]).shape == (2, 1)
    assert model.predict("chips", batches["chips"]).shape == (3, 6, 2)
    assert model.encode("jets", batches["jets"]).graph.shape == (2, 8)
    with pytest.raises(InputError, match="unknown domain 'jet'. Did you mean 'jets'"):
        model.encode("jet", batches["jets"])


def test_loss_is_the_weighted_mean_over_all_terms(model, batches):
    out = model(batches)
    jets, chips = (loss_of(model.predict(d, b), b)["loss"] for d, b in batches.items())
    torch.testing.assert_close(out["loss"], (2 * jets + 0.5 * 10 * chips) / 12)
    assert float(out["count"]) == 12 and not out["jets/loss"].requires_grad
    torch.testing.assert_close(out["chips/loss"], chips.detach())


def test_all_parts_train_and_absent_domains_do_not(model, batches):
    model({"jets": batches["jets"]})["loss"].backward()
    idle = {n.split(".")[1] for n, p in model.named_parameters() if p.grad is None}
    assert idle == {"chips", "norm"}  # the last norm is for nodes, of which jets ask nothing
    model(batches)["loss"].backward()
    assert all(p.grad is not None for p in model.parameters())


def test_parts_must_be_of_the_same_domains(model):
    with pytest.raises(InputError, match="heads for"):
        MultiHead(model.trunk, {"a": nn.Identity()}, {"b": nn.Identity()})
    silent = MultiHead(model.trunk, {"a": nn.Identity()}, {"a": nn.Identity()})
    with pytest.raises(InputError, match="without losses"):
        silent({})
    with pytest.raises(InputError, match="no domain"):
        combine({}, {})


def test_objectives_share_a_trunk_and_are_told_of_steps():
    class Part(nn.Module):
        steps = 0

        def __init__(self, shared):
            super().__init__()
            self.shared = shared

        def forward(self, batch):
            return {"loss": self.shared(batch).mean()}

        def after_step(self, step):
            Part.steps += step

    shared = nn.Linear(2, 1)
    mixture = Mixture({"a": Part(shared), "b": Part(shared)}, {"b": 2.0})
    assert len(list(mixture.parameters())) == 2
    x = torch.ones(3, 2)
    out = mixture({"a": x, "b": x})
    torch.testing.assert_close(out["loss"], shared(x).mean() * 1.5)
    mixture.after_step(5)
    assert Part.steps == 10
    with pytest.raises(InputError, match="unknown domain"):
        mixture({"c": x})


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 5.0])
def test_temperature_is_the_published_formula(temperature):
    n = torch.tensor([10.0, 1000.0, 300.0], dtype=torch.float64)
    expected = n ** (1 / temperature) / (n ** (1 / temperature)).sum()
    torch.testing.assert_close(temperature_weights([10, 1000, 300], temperature), expected)


def test_temperature_limits():
    assert temperature_weights([1, 10**9], float("inf")).tolist() == [0.5, 0.5]
    assert temperature_weights([0, 5, 0], 100.0).tolist() == [0, 1, 0]
    assert temperature_weights([1, 10**12], 0.01).isfinite().all()
    for sizes, temperature in (([1], 0.0), ([1], -1.0), ([], 1.0), ([0], 1.0)):
        with pytest.raises(InputError):
            temperature_weights(sizes, temperature)


def test_mixed_data_set_draws_in_the_wanted_shares():
    parts = {"few": list(range(10)), "many": list(range(1000, 2000))}
    data = MixedDataset(parts, temperature=2.0, length=600)
    share = temperature_weights([10, 1000], 2.0)
    assert sum(data.counts.values()) == len(data) == 600
    assert data.counts["few"] == pytest.approx(float(share[0]) * 600, abs=1)
    items = [data[i] for i in range(600)]
    few = [v for d, v in items if d == "few"]
    assert len(few) == data.counts["few"] and set(few) == set(range(10))
    repeats = [few.count(v) for v in range(10)]
    assert max(repeats) - min(repeats) <= 1
    many = {v for d, v in items if d == "many"}
    again = {v for d, v in (data[i] for i in range(600)) if d == "many"}
    assert many != again and len(many | again) > len(many)  # epochs see different examples
    torch.manual_seed(3)
    one = data[599]
    torch.manual_seed(3)
    assert data[599] == one
    with pytest.raises(IndexError):
        data[600]


def test_temperature_one_shows_every_example_once():
    data = MixedDataset({"a": list("abc"), "b": list("vwxyz")})
    assert sorted(v for _, v in (data[i] for i in range(8))) == sorted("abcvwxyz")


def test_mixed_collate_groups_by_domain():
    collate = MixedCollate({"a": torch.tensor, "b": tuple})
    out = collate([("a", 1), ("b", 7), ("a", 2)])
    assert out["a"].tolist() == [1, 2] and out["b"] == (7,)


def test_processes_of_a_mixture_report_the_same_metrics(monkeypatch):
    """A share of a batch may lack a domain; a sum over processes needs the same names in each."""
    import torch.distributed as dist

    class Part(nn.Module):
        def forward(self, batch):
            return {"loss": batch.mean(), "count": torch.tensor(float(len(batch)))}

    mixture = Mixture({"a": Part(), "b": Part()})
    batch = {"a": torch.ones(3)}
    assert "a/loss" in mixture(batch)
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    assert set(mixture(batch)) == set(mixture(batch | {"b": torch.ones(2)})) == {"loss", "count"}


def test_a_forward_pass_that_waits_for_other_processes_is_refused_in_a_mixture(monkeypatch):
    """A process whose share of a batch lacks the domain would never come."""
    import torch.distributed as dist

    part = nn.Linear(1, 1)
    part.collective = True  # type: ignore[assignment]
    Mixture({"a": part, "b": nn.Linear(1, 1)})
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    Mixture({"a": part})
    with pytest.raises(InputError, match="all processes in every batch.*'moco'") as caught:
        Mixture({"a": part, "b": nn.Linear(1, 1)})
    assert getattr(caught.value, "of_all_processes", False)  # it is printed once
