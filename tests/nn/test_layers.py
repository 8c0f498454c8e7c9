"""Small layers and packed rows."""

import pytest
import torch

from sciml.errors import InputError
from sciml.nn.layers import FeedForward, count_parameters, rescale_, zero_padding
from sciml.nn.packing import Packed, pack, unpack


@pytest.mark.parametrize("activation", ["gelu", "relu", "silu", "swiglu"])
def test_feed_forward_is_its_formula(activation):
    layer = FeedForward(8, 4, activation, out=5).double()
    x = torch.randn(3, 8).double()
    hidden = layer.linear_1(x)
    if activation == "swiglu":
        gate, value = hidden.chunk(2, -1)
        expected = gate * torch.sigmoid(gate) * value
    else:
        expected = {
            "gelu": 0.5 * hidden * (1 + torch.erf(hidden / 2**0.5)),
            "relu": hidden.clamp(min=0),
            "silu": hidden * torch.sigmoid(hidden),
        }[activation]
    torch.testing.assert_close(layer(x), layer.linear_2(expected))


def test_swiglu_has_about_the_parameters_of_the_plain_block():
    plain, gated = FeedForward(96, 4, "gelu"), FeedForward(96, 4, "swiglu")
    assert count_parameters(gated) == pytest.approx(count_parameters(plain), rel=0.02)
    with pytest.raises(InputError, match="Did you mean 'swiglu'"):
        FeedForward(8, activation="swigl")


def test_zero_padding_removes_nan_and_its_gradient():
    x = torch.tensor([[1.0], [torch.nan]], requires_grad=True)
    out = zero_padding(x, torch.tensor([True, False]))
    out.sum().backward()
    assert x.grad is not None
    assert out.tolist() == [[1.0], [0.0]] and x.grad.tolist() == [[1.0], [0.0]]


def test_rescaled_layer_is_small_without_bias():
    layer = torch.nn.Linear(3, 3)
    before = layer.weight.clone()
    rescale_(layer, 0.1)
    torch.testing.assert_close(layer.weight, before * 0.1)
    assert layer.bias.abs().sum() == 0


def test_packing_drops_padding_and_comes_back():
    mask = torch.tensor([[True, False, True, False], [False, False, True, True]])
    packed = Packed.of(mask)
    x = torch.randn(2, 4, 3).double().requires_grad_()
    rows = pack(x, packed)
    assert torch.equal(rows, x[mask])
    torch.testing.assert_close(unpack(rows, packed), x * mask[..., None])
    assert packed.per_graph(torch.tensor([[1.0], [2.0]])).flatten().tolist() == [1, 1, 2, 2]
    assert torch.autograd.gradcheck(lambda t: unpack(pack(t, packed).sin(), packed), x)
    assert torch.autograd.gradgradcheck(lambda t: unpack(pack(t, packed).sin(), packed), x)


def test_nearly_full_batches_are_not_packed():
    packed = Packed.of(torch.ones(2, 4, dtype=torch.bool))
    x = torch.randn(2, 4, 3)
    assert packed.rows is None and torch.equal(unpack(pack(x, packed), packed), x)
    assert packed.per_graph(torch.tensor([[1.0], [2.0]])).flatten().tolist() == [1] * 4 + [2] * 4
