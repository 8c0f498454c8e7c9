"""Reptile against what is known of it: one inner step is SGD; tasks with a common structure."""

import copy
import itertools

import pytest
import torch
from torch import nn

from sciml.errors import InputError
from sciml.objectives.reptile import adapt, reptile


def squared(module, batch):
    x, y = batch
    return (module(x) - y).square().mean()


def test_with_one_inner_step_it_is_sgd_on_the_mean_of_the_tasks():
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    tasks = [[(torch.randn(8, 3), torch.randn(8, 1))] for _ in range(4)]
    plain = copy.deepcopy(model)
    reptile(model, itertools.cycle(tasks), squared, steps=1, rate=0.3, inner_rate=0.2,
            tasks_per_step=4)  # fmt: skip
    sum(squared(plain, batch) for (batch,) in tasks).div(4).backward()
    for got, p in zip(model.parameters(), plain.parameters(), strict=True):
        assert p.grad is not None
        torch.testing.assert_close(got, p - 0.3 * 0.2 * p.grad)


def test_several_steps_of_a_quadratic():
    """f = (w - c)^2 / 2: k steps of SGD shrink w - c by (1 - a)^k; Reptile follows them."""
    model = nn.Linear(1, 1, bias=False)
    start, centre, k, a = float(model.weight.detach()), 3.0, 4, 0.1

    def loss(module, batch):
        return (module.weight - batch).square().sum() / 2

    reptile(model, itertools.repeat([centre] * k), loss, steps=1, rate=0.5, inner_rate=a)
    reached = centre + (start - centre) * (1 - a) ** k
    assert float(model.weight.detach()) == pytest.approx(start + 0.5 * (reached - start), rel=1e-5)


def test_a_new_task_is_learned_faster_than_from_random_weights():
    """Sines of any amplitude and phase, 10 points each (Finn et al. 2017, section 5.1)."""
    torch.manual_seed(1)

    def task():
        amplitude, phase = 0.5 + 2 * torch.rand(1), 3 * torch.rand(1)

        def batch(n=10):
            x = 10 * torch.rand(n, 1) - 5
            return x, amplitude * torch.sin(x + phase)

        return batch

    def net():
        return nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(),
                             nn.Linear(32, 1))  # fmt: skip

    def tasks():
        while True:
            draw = task()
            yield [draw() for _ in range(8)]

    meta, fresh = net(), net()
    reptile(meta, tasks(), squared, steps=400, rate=0.5, inner_rate=0.02, tasks_per_step=2)
    errors = {"meta": 0.0, "fresh": 0.0}
    for _ in range(10):
        draw = task()
        shots, test = draw(), draw(100)
        for name, model in (("meta", meta), ("fresh", fresh)):
            adapted = copy.deepcopy(model)
            adapt(adapted, [shots] * 16, squared, 0.02)
            errors[name] += float(squared(adapted, test).detach()) / 10
    assert errors["meta"] < 0.6 * errors["fresh"], errors


def test_bad_settings():
    for options in ({"rate": 0.0}, {"rate": 1.5}, {"inner_rate": 0.0}, {"tasks_per_step": 0}):
        with pytest.raises(InputError, match=next(iter(options))):
            reptile(nn.Linear(1, 1), iter([]), squared, steps=1, **options)
