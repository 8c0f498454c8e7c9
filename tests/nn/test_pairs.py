"""The bias of packed pairs against the network on all of them."""

import pytest
import torch
from torch import nn

from sciml.nn import pairs
from sciml.nn.pairs import hide, packed_bias, real_pairs


@pytest.fixture
def pair_batch():
    torch.manual_seed(0)
    pair = torch.randn(3, 5, 5, 4).double()
    pair = pair + pair.transpose(1, 2)
    mask = torch.tensor([[1, 1, 1, 1, 1], [0, 0, 0, 0, 0], [1, 0, 1, 0, 0]]).bool()
    return pair.requires_grad_(), mask


def nets():
    torch.manual_seed(1)
    deep = nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 3))
    return {"deep": deep.double(), "linear": nn.Linear(4, 3).double()}


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("net", ["deep", "linear"])
@pytest.mark.parametrize("block", [1, 7, 4096])
def test_real_pairs_get_the_networks_answer_and_others_are_hidden(
    pair_batch, net, symmetric, block, monkeypatch
):
    monkeypatch.setattr(pairs, "BLOCK_ROWS", block)
    pair, mask = pair_batch
    net = nets()[net]
    real = (mask[:, :, None] & mask[:, None, :])[:, None]
    bias = packed_bias(pair, mask, net, symmetric)
    plain = net(pair).permute(0, 3, 1, 2)
    expected = plain.masked_fill(~real, hide(pair.dtype))
    torch.testing.assert_close(bias, expected, rtol=0, atol=1e-13)
    assert bias.is_contiguous()
    weight = torch.randn(bias.shape).double() * real
    leaves = [pair, *net.parameters()]
    got = torch.autograd.grad((bias * weight).sum(), leaves)
    expected_gradients = torch.autograd.grad((plain * weight).sum(), leaves)
    both = [list(got), list(expected_gradients)]
    if symmetric:  # the same slope on the symmetric features, put on one of the two
        both = [[t[0] + t[0].transpose(1, 2), *t[1:]] for t in both]
    for a, b in zip(*both, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_each_unordered_pair_is_listed_once():
    mask = torch.tensor([[True, True, False, True]])
    index, mirror = real_pairs(mask, True)
    assert index.tolist() == [0, 4, 5, 12, 13, 15]
    assert mirror is not None and mirror.tolist() == [0, 1, 5, 3, 7, 15]
    every, none = real_pairs(mask, False)
    assert none is None and len(every) == 9


def test_features_without_gradient_need_none(pair_batch):
    pair, mask = pair_batch
    net = nets()["deep"]
    packed_bias(pair.detach(), mask, net, True)[:, :, 0, 0].sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_hidden_is_finite_when_others_are_added():
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        low = torch.tensor(hide(dtype), dtype=dtype)
        assert (low + low).isfinite() and torch.softmax(torch.stack([low, low * 0]), 0)[0] == 0
