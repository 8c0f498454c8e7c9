"""PairTransformer against a plain transformer, ParT's block, and itself under every option."""

import copy

import pytest
import torch
from torch import nn

from sciml import testing
from sciml.errors import InputError
from sciml.nn import packing
from sciml.trunks.pair_transformer import PairTransformer, PairTransformerConfig


def build(**settings):
    torch.manual_seed(0)
    settings = {"dim": 16, "heads": 4, "depth": 2, **settings}
    return PairTransformer(PairTransformerConfig(**settings)).eval()


def test_without_pairs_it_is_torchs_pre_norm_encoder():
    """Same weights in `nn.TransformerEncoderLayer(norm_first=True)`, same numbers."""
    trunk = build(class_depth=0).double()
    batch = testing.batch_for(trunk)
    x = batch.x
    for block in trunk.blocks:
        layer = nn.TransformerEncoderLayer(
            16, 4, 64, 0.0, activation="gelu", norm_first=True, batch_first=True
        ).double()
        layer.self_attn.in_proj_weight.data = block.attention.linear_qkv.weight.data
        layer.self_attn.in_proj_bias.data = block.attention.linear_qkv.bias.data
        layer.self_attn.out_proj.load_state_dict(block.attention.linear_o.state_dict())
        layer.linear1.load_state_dict(block.feed_forward.linear_1.state_dict())
        layer.linear2.load_state_dict(block.feed_forward.linear_2.state_dict())
        layer.norm1.load_state_dict(block.norm_1.state_dict())
        layer.norm2.load_state_dict(block.norm_2.state_dict())
        x = layer(x, src_key_padding_mask=~batch.mask)
    expected = trunk.norm(x)[batch.mask]
    torch.testing.assert_close(trunk(batch).nodes[batch.mask], expected, rtol=0, atol=1e-12)


def test_normformer_block_is_parts_written_out():
    """The block of Qu, Li & Qian 2022 (figure 3) with the bias in the logits."""
    trunk = build(normformer=True, depth=1, pair_dim=3).double()
    with torch.no_grad():
        for p in trunk.parameters():
            p.add_(0.1 * torch.randn_like(p))
    batch = testing.batch_for(trunk, sizes=(6,))
    block, net = trunk.blocks[0], trunk.pair_biases[0].net
    x = batch.x[0]
    bias = net(batch.pair[0]).permute(2, 0, 1)
    h = block.norm_1(x)
    q, k, v = block.attention.linear_qkv(h).view(6, 3, 4, 4).permute(1, 2, 0, 3)
    attended = ((q @ k.mT / 2 + bias).softmax(-1) @ v).transpose(0, 1).reshape(6, 16)
    x = x + block.add_1.norm(block.attention.linear_o(attended))
    f = block.feed_forward
    h = f.linear_2(f.norm(nn.functional.gelu(f.linear_1(block.norm_2(x)))))
    x = block.add_2.scale * x + h
    torch.testing.assert_close(trunk(batch).nodes[0], trunk.norm(x), rtol=0, atol=1e-12)
    token = trunk.class_token
    for block in trunk.class_blocks:
        a, seen = block.attention, block.norm_1(torch.cat([token[None], x]))
        q = a.linear_q(token).view(4, 1, 4)  # the query is not normalised
        k, v = a.linear_kv(seen).view(7, 2, 4, 4).permute(1, 2, 0, 3)
        attended = ((q @ k.mT / 2).softmax(-1) @ v).reshape(16)
        token = token + block.add_1.norm(a.linear_o(attended))
        f = block.feed_forward
        h = f.linear_2(f.norm(nn.functional.gelu(f.linear_1(block.norm_2(token)))))
        token = block.add_2.scale * token + h
    expected = trunk.class_norm(token)
    torch.testing.assert_close(trunk(batch).graph[0], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "settings", [{"pair_dim": 3}, {"pair_dim": 3, "symmetric_pairs": True}, {}]
)
def test_packed_rows_give_what_padded_rows_give(settings, monkeypatch):
    trunk = build(**settings).double()
    batch = testing.batch_for(trunk, sizes=(9, 2, 0, 5))
    if trunk.pair_dim:
        batch.pair = batch.pair + batch.pair.transpose(1, 2)
    results = []
    for full in (0.0, 2.0):  # never packed, always packed
        monkeypatch.setattr(packing, "FULL", full)
        leaf = copy.copy(batch)
        leaf.x = batch.x.clone().requires_grad_()
        out = trunk(leaf)
        (out.graph.sin().sum() + out.nodes.cos().sum()).backward()
        grads = [p.grad.clone() for p in trunk.parameters()]
        trunk.zero_grad()
        results.append([out.nodes, out.graph, leaf.x.grad * batch.mask[..., None], *grads])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-11)


def test_symmetric_pairs_give_the_same_bias_and_gradient():
    plain, half = (build(pair_dim=3, symmetric_pairs=s).double() for s in (False, True))
    batch = testing.batch_for(plain, sizes=(6, 0, 3))
    batch.pair = batch.pair + batch.pair.transpose(1, 2)
    outputs = []
    for trunk in (plain, half):
        leaf = copy.copy(batch)
        leaf.pair = batch.pair.clone().requires_grad_()
        out = trunk(leaf).graph
        out.sin().sum().backward()
        slope = leaf.pair.grad + leaf.pair.grad.transpose(1, 2)
        outputs.append([out, slope, *(p.grad for p in trunk.parameters())])
    for a, b in zip(*outputs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-11)


@pytest.mark.parametrize("update", ["outer", "triangle", "attention"])
def test_pairs_learn_from_nodes(update):
    trunk = build(pair_dim=4, pair_update=update, pair_hidden=4, pair_heads=2).double()
    batch = testing.batch_for(trunk)
    pairs = trunk(batch).pairs
    assert pairs.shape == batch.pair.shape
    assert pairs[~batch.mask].abs().sum() == 0
    moved = copy.copy(batch)
    moved.x = batch.x.roll(1, -1)
    assert (trunk(moved).pairs - pairs).abs().max() > 1e-6
    encoded = trunk(batch)
    (encoded.graph.sum() + encoded.nodes.sum()).backward()
    # The last block's pair update comes after the last nodes: only pairs depend on it.
    missing = {n for n, p in trunk.named_parameters() if p.grad is None}
    assert missing and all(n.startswith("pair_updates.1.") for n in missing)


def test_pairs_without_update_come_back_as_they_are():
    trunk = build(pair_dim=3)
    batch = testing.batch_for(trunk)
    assert trunk(batch).pairs is batch.pair
    assert build()(testing.batch_for(build())).pairs is None


def test_a_trunk_with_pairs_runs_without_them():
    trunk = build(pair_dim=3)
    batch = testing.random_batch(dim=16)
    assert trunk(batch).graph.isfinite().all()
    with_pairs = testing.batch_for(trunk)
    assert not torch.allclose(trunk(batch).graph, trunk(with_pairs).graph)


def test_the_bias_is_computed_once(monkeypatch):
    trunk = build(pair_dim=3, depth=5)
    assert len(trunk.pair_biases) == 1
    calls = []
    trunk.pair_biases[0].register_forward_hook(lambda *a: calls.append(1))
    trunk(testing.batch_for(trunk))
    assert calls == [1]


def test_stochastic_depth_and_dropout_act_in_training_only():
    trunk = build(drop_path=0.5, dropout=0.3, depth=4)
    batch = testing.batch_for(trunk)
    assert torch.equal(trunk(batch).graph, trunk(batch).graph)
    trunk.train()
    torch.manual_seed(1)
    one = trunk(batch).graph
    assert not torch.allclose(one, trunk(batch).graph)
    torch.manual_seed(1)
    assert torch.equal(one, trunk(batch).graph)
    assert [block.add_1.rate for block in trunk.blocks] == pytest.approx([0, 1 / 6, 1 / 3, 1 / 2])


def test_garbage_in_padding_even_nan_does_not_matter():
    trunk = build(pair_dim=3).double()
    batch = testing.batch_for(trunk)
    other = copy.copy(batch)
    other.x = batch.x.masked_fill(~batch.mask[..., None], torch.nan)
    torch.testing.assert_close(trunk(other).graph, trunk(batch).graph, rtol=0, atol=1e-12)


def test_no_graph_with_a_node():
    trunk = build(pair_dim=3)
    out = trunk(testing.batch_for(trunk, sizes=(0, 0)))
    assert out.nodes.shape == (2, 0, 16) and torch.equal(out.graph, torch.zeros(2, 16))


def test_bf16_runs_and_stays_near():
    trunk = build(pair_dim=3)
    batch = testing.batch_for(trunk)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = trunk(batch)
        half.graph.sum().backward()
    exact = trunk(batch).graph
    assert (half.graph.float() - exact).abs().max() < 0.1 * exact.abs().max()
    grads = [p.grad for p in trunk.parameters() if p.grad is not None]
    assert len(grads) > 20 and all(grad.isfinite().all() for grad in grads)


@pytest.mark.parametrize("settings", [{"pair_dim": 3}, {}, {"class_depth": 0}])
def test_it_traces_without_a_graph_break(settings):
    trunk = build(**settings)
    batch = testing.batch_for(trunk)
    explained = torch._dynamo.explain(trunk)(batch)
    assert explained.graph_break_count == 0
    torch._dynamo.reset()


@pytest.mark.parametrize("pair_dim", [1, 0])
def test_it_learns_whom_to_attend_to_from_pairs_alone(pair_dim):
    """Each node is to repeat a feature of the node that its pairs point at."""
    torch.manual_seed(0)
    trunk = build(dim=8, heads=2, depth=1, pair_dim=pair_dim, class_depth=0)
    head = nn.Linear(8, 1)
    optimiser = torch.optim.Adam([*trunk.parameters(), *head.parameters()], lr=1e-2)
    losses = []
    for step in range(150):
        batch = testing.random_batch(sizes=[6] * 32, dim=8, pair_dim=1, seed=step)
        chosen = torch.randint(6, (32, 6))
        batch.pair = nn.functional.one_hot(chosen, 6)[..., None].float()
        target = batch.x[..., 0].gather(1, chosen)
        loss = (head(trunk(batch).nodes)[..., 0] - target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    reached = sum(losses[-20:]) / 20
    # Without pairs the best guess is the graph's mean, which leaves 5/6 of the variance.
    assert reached < 0.5 if pair_dim else reached > 0.7, reached


@pytest.mark.parametrize("settings", [{}, {"pair_dim": 3}, {"pair_dim": 4, "pair_update": "outer"}])
def test_a_causal_node_attends_to_itself_and_earlier_nodes_only(settings):
    for causal in (True, False):
        trunk = build(**settings, causal=causal).double()
        batch = testing.batch_for(trunk, sizes=(7, 4))
        complete, short = trunk(copy.copy(batch)), copy.copy(batch)
        short.x, short.mask = batch.x[:, :3], batch.mask[:, :3]
        if settings:
            short.pair = batch.pair[:, :3, :3]
        start = trunk(short)
        same = torch.allclose(complete.nodes[:, :3], start.nodes, rtol=0, atol=1e-12)
        assert same == causal
        assert not torch.allclose(complete.graph, start.graph, rtol=0, atol=1e-3)


def test_causal_refuses_triangles_which_would_carry_later_nodes():
    with pytest.raises(InputError, match="triangles must not carry later nodes"):
        build(pair_dim=4, pair_update="triangle", causal=True)
