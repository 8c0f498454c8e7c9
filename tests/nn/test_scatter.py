"""Segment sums and softmax against a loop over segments."""

import torch

from sciml.nn.scatter import (
    _segment_sum_sorted,
    segment_max,
    segment_mean,
    segment_softmax,
    segment_sum,
)


def example() -> tuple[torch.Tensor, torch.Tensor, int]:
    torch.manual_seed(0)
    return torch.randn(40, 3, dtype=torch.float64), torch.randint(0, 7, (40,)), 9


def test_sum_mean_and_max_equal_a_loop() -> None:
    values, index, size = example()
    for i in range(size):
        rows = values[index == i]
        torch.testing.assert_close(segment_sum(values, index, size)[i], rows.sum(0))
        torch.testing.assert_close(_segment_sum_sorted(values, index, size)[i], rows.sum(0))
        if len(rows):
            torch.testing.assert_close(segment_mean(values, index, size)[i], rows.mean(0))
            torch.testing.assert_close(segment_max(values, index, size)[i], rows.amax(0))
        else:
            assert (segment_mean(values, index, size)[i] == 0).all()


def test_softmax_equals_a_loop_and_survives_large_logits() -> None:
    values, index, size = example()
    weights = segment_softmax(values * 1e4, index, size)
    assert torch.isfinite(weights).all()
    for i in range(7):
        expected = torch.softmax(values[index == i] * 1e4, 0)
        torch.testing.assert_close(weights[index == i], expected)


def test_a_segment_left_out_gets_zeros_not_nan() -> None:
    logits = torch.tensor([-torch.inf, -torch.inf, 0.0], requires_grad=True)
    weights = segment_softmax(logits, torch.tensor([0, 0, 1]), 2)
    assert weights.tolist() == [0.0, 0.0, 1.0]
    weights.square().sum().backward()
    assert logits.grad is not None and torch.isfinite(logits.grad).all()


def test_gradients() -> None:
    values, index, size = example()
    values.requires_grad_()
    assert torch.autograd.gradcheck(lambda v: segment_softmax(v, index, size), (values,))
    assert torch.autograd.gradcheck(lambda v: segment_sum(v, index, size), (values,))
    assert torch.autograd.gradcheck(lambda v: _segment_sum_sorted(v, index, size), (values,))
