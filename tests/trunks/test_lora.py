"""LoRA starts as nothing, trains alone, merges exactly and is saved apart."""

import pytest
import torch

from sciml import testing, trunks
from sciml.errors import InputError
from sciml.trunks import lora


@pytest.fixture
def trunk():
    torch.manual_seed(0)
    return trunks.build("pair_transformer", dim=16, heads=2, depth=2, pair_dim=3).double().eval()


def trained(module):
    return {n for n, p in module.named_parameters() if p.requires_grad}


def perturb(module):
    generator = torch.Generator().manual_seed(1)
    for name, parameter in module.named_parameters():
        if name.endswith("lora_b"):
            with torch.no_grad():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)


def test_injected_trunk_is_unchanged_and_trains_adapters_alone(trunk):
    batch = testing.batch_for(trunk)
    before, total = trunk(batch).graph, trunk.count_parameters()
    assert lora.inject(trunk, rank=2, targets=("blocks.*.attention.*",)) is trunk
    torch.testing.assert_close(trunk(batch).graph, before, rtol=0, atol=1e-12)
    assert len(trained(trunk)) == 8 and all("lora_" in name for name in trained(trunk))
    added = 2 * (2 * (16 + 48) + 2 * (16 + 16))
    assert trunk.count_parameters() == total + added
    assert trunk.count_parameters(trainable_only=True) == added
    trunk(batch).graph.sin().sum().backward()
    grads = {n for n, p in trunk.named_parameters() if p.grad is not None}
    assert grads == trained(trunk)


def test_change_is_alpha_over_rank_times_b_a(trunk):
    lora.inject(trunk, rank=4, alpha=3.0, targets=("*linear_o",))
    perturb(trunk)
    layer = trunk.blocks[0].attention.linear_o
    x = torch.randn(5, 16).double()
    expected = x @ (layer.base.weight + 3 / 4 * layer.lora_b @ layer.lora_a).T + layer.base.bias
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(layer.weight @ x[0] + layer.bias, expected[0], rtol=0, atol=1e-12)


def test_merged_is_the_same_function_without_adapters(trunk):
    batch = testing.batch_for(trunk)
    names = set(trunk.state_dict())
    plain = trunk(batch).graph
    lora.inject(trunk, rank=2)
    perturb(trunk)
    adapted = trunk(batch).graph
    assert (adapted - plain).abs().max() > 1e-3
    lora.merge(trunk)
    assert set(trunk.state_dict()) == names and trained(trunk) == set(
        dict(trunk.named_parameters())
    )
    torch.testing.assert_close(trunk(batch).graph, adapted, rtol=0, atol=1e-11)


def test_removed_is_the_trunk_as_it_was(trunk):
    batch = testing.batch_for(trunk)
    before = trunk(batch).graph
    perturb(lora.inject(trunk))
    assert torch.equal(lora.remove(trunk)(batch).graph, before)


def test_adapters_are_saved_apart_and_loaded(trunk, tmp_path):
    batch = testing.batch_for(trunk)
    path = trunks.save(trunk, tmp_path)
    perturb(lora.inject(trunk, rank=2, targets=("*qkv",)))
    saved = {name: value.clone() for name, value in lora.state(trunk).items()}
    assert len(saved) == 4
    other = lora.inject(trunks.load(path), rank=2, targets=("*qkv",)).eval()
    lora.load(other, saved)
    assert torch.equal(other(batch).graph, trunk(batch).graph)
    with pytest.raises(InputError, match="still has LoRA adapters"):
        trunks.save(trunk, tmp_path / "adapted")
    with pytest.raises(InputError, match="wrong shape"):
        lora.load(lora.inject(trunks.load(path), rank=3, targets=("*qkv",)), saved)
    with pytest.raises(InputError, match="no LoRA adapters"):
        lora.state(trunks.load(path))


def test_heads_and_norms_may_train_along(trunk):
    model = lora.inject(
        trunk.with_head(3), rank=1, targets=("trunk.*",), train_also=("head.*", "*norm_1*")
    )
    assert {"head.linear.weight", "trunk.blocks.0.norm_1.bias"} <= trained(model)
    assert "trunk.blocks.0.norm_2.bias" not in trained(model)


def test_mistakes(trunk):
    with pytest.raises(InputError, match="unknown linear layer '\\*atention\\*'"):
        lora.inject(trunk, targets=("*atention*",))
    assert trained(trunk)  # a refused call freezes nothing
    with pytest.raises(InputError, match="`rank` must be >= 1"):
        lora.inject(trunk, rank=0)
    with pytest.raises(InputError, match="unknown parameter"):
        lora.inject(trunk, train_also=("haed.*",))
    lora.remove(trunk)
    lora.inject(trunk)
    with pytest.raises(InputError, match="adapters already"):
        lora.inject(trunk)


def test_it_fits_what_the_frozen_trunk_cannot(trunk):
    batch = testing.batch_for(trunk, sizes=[3] * 8)
    target = torch.randn(8, 1).double()
    model = trunk.with_head(1).double()
    lora.inject(model, rank=4, targets=("trunk.blocks.*",), train_also=("head.*",))
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(50):
        loss = (model(batch) - target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.05 * target.var()
