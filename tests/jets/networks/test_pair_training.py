"""The pair network's training kernel against the network in plain torch."""

import pytest
import torch

from sciml.jets.networks import pair_training


@pytest.mark.parametrize("last_gelu", [False, True])
@pytest.mark.parametrize("pairs", [3, 4096, 4500])
def test_values_and_gradients(last_gelu, pairs):
    def random(*shape):
        return torch.randn(*shape, dtype=torch.float64).requires_grad_()

    x = (torch.randn(pairs, 4, dtype=torch.float64) * 3 + 1).requires_grad_()
    norm = (random(4), random(4))
    sizes = [4, 16, 12, 8]
    layers = [
        (random(b, a), random(b), random(b), random(b))
        for a, b in zip(sizes, sizes[1:], strict=False)
    ]
    leaves = [x, *norm, *(tensor for layer in layers for tensor in layer)]
    target = torch.randn(pairs, 8, dtype=torch.float64)
    plain = pair_training.reference(x, norm, layers, last_gelu, 1e-5)
    ours, statistics = pair_training.network(x, norm, layers, last_gelu, 1e-5)
    assert torch.allclose(ours, plain, atol=1e-11)
    assert torch.allclose(statistics[0][0], x.mean(0)) and len(statistics) == 4
    expected = torch.autograd.grad((plain * target).sum(), leaves)
    gradients = torch.autograd.grad((ours * target).sum(), leaves)
    for mine, theirs in zip(gradients, expected, strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-7, atol=1e-8)
