"""CURL's head beside brute force: the loss, where gradients go, and the slow key encoder."""

import copy
import math

import pytest
import torch
from torch import nn

from sciml.rl.curl import CURL, CURLConfig, bilinear_infonce
from sciml.rl.ppo import PPO, Experience, MaskedCategorical, PPOConfig, load_state, state_dict


def views(inputs):
    return inputs | {"x": inputs["x"] + 0.1 * torch.randn_like(inputs["x"])}


def head(weight=0.3, features=6, dim=5):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(features, dim), nn.Tanh())
    config = CURLConfig(weight=weight, width=4, momentum=0.9)
    return network, CURL(network, lambda net, inputs: net(inputs["x"]), views, dim, config)


def test_loss_equals_brute_force_infonce():
    torch.manual_seed(1)
    q, k, w = (torch.randn(n, 4, dtype=torch.float64) for n in (7, 7, 4))
    total, right = 0.0, 0
    for i in range(7):
        scores = [
            sum(float(q[i, a] * w[a, b] * k[j, b]) for a in range(4) for b in range(4))
            for j in range(7)
        ]
        exponentials = [torch.tensor(s, dtype=torch.float64).exp() for s in scores]
        total -= float((exponentials[i] / sum(exponentials)).log())
        right += scores[i] == max(scores)
    loss, accuracy = bilinear_infonce(q, k, w)
    assert float(loss) == pytest.approx(total / 7, rel=1e-12)
    assert float(accuracy) == pytest.approx(right / 7)


def test_keys_get_no_gradient_and_queries_the_right_one():
    network, curl = head()
    inputs = {"x": torch.randn(9, 6)}
    state = torch.get_rng_state()
    curl(inputs)["loss"].backward()
    assert all(p.grad is None and not p.requires_grad for p in curl.key.parameters())
    torch.set_rng_state(state)
    first, second = views(inputs)["x"], views(inputs)["x"]
    key = curl.project(network(second)).detach()  # at the start both encoders are equal
    expected = torch.autograd.grad(
        0.3 * bilinear_infonce(curl.project(network(first)), key, curl.bilinear)[0],
        [*network.parameters(), curl.bilinear],
    )
    gradients = [p.grad for p in [*network.parameters(), curl.bilinear]]
    for a, b in zip(gradients, expected, strict=True):
        assert b.abs().max() > 0
        torch.testing.assert_close(a, b)


def test_key_encoder_follows_slowly():
    network, curl = head()
    before = copy.deepcopy(curl.key.state_dict())
    with torch.no_grad():
        for p in [*network.parameters(), *curl.project.parameters()]:
            p.add_(1.0)
    curl.after_step()
    for name, value in curl.key.state_dict().items():
        torch.testing.assert_close(value, before[name] + 0.1)


def experience(n=40, features=6, actions=3):
    g = torch.Generator().manual_seed(4)
    x = torch.randn(n, features, generator=g)
    mask = torch.ones(n, actions, dtype=torch.bool)
    chosen = MaskedCategorical(torch.zeros(n, actions), mask)
    action = torch.randint(0, actions, (n,), generator=g)
    value, advantage = torch.randn(2, n, generator=g)
    return Experience({"x": x}, mask, action, chosen.log_prob(action), value, advantage, value)


def trainer(weight=0.3):
    network, curl = head(weight)
    actor, critic = nn.Linear(5, 3), nn.Linear(5, 1)
    policy = nn.ModuleList([network, actor, critic])

    def evaluate(inputs):
        h = network(inputs["x"])
        return actor(h), critic(h)[:, 0]

    both = nn.ModuleList([policy, curl])
    learning = [p for p in both.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(learning, 3e-3)
    return PPO(policy, evaluate, optimizer, PPOConfig(minibatch=16, target_kl=0.0), curl)


def test_ppo_adds_the_weighted_loss_and_learns_to_tell_observations_apart():
    with_head = trainer()
    batch = experience()
    without = PPO(with_head.module, with_head.evaluate, with_head.optimizer, with_head.config)
    torch.manual_seed(3)
    terms = with_head.losses(batch)
    plain = without.losses(batch)
    torch.testing.assert_close(
        terms["loss"].detach(), plain["loss"].detach() + 0.3 * terms["contrastive"]
    )
    first = float(terms["contrastive"])
    for _ in range(30):
        last = with_head.step(batch)
    assert last["contrastive"] < 0.7 * min(first, math.log(16))


def test_resumes_bit_by_bit_with_its_key_encoder():
    batch = experience()
    uninterrupted = trainer()
    torch.manual_seed(5)
    uninterrupted.step(batch)
    saved = copy.deepcopy(state_dict(uninterrupted))
    uninterrupted.step(batch)
    again = trainer()
    with torch.no_grad():
        for p in [*again.module.parameters(), *again.auxiliary.parameters()]:
            p.mul_(0.5)
    load_state(again, saved)
    again.step(batch)
    for a, b in zip(
        state_dict(uninterrupted)["auxiliary"].values(), state_dict(again)["auxiliary"].values(),
        strict=True,
    ):  # fmt: skip
        assert torch.equal(a, b)
