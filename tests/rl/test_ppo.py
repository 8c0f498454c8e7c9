"""PPO's pieces against torchrl, masks, truncation, and a bitwise resume."""

import copy

import numpy as np
import pytest
import torch

from sciml.rl import ppo
from sciml.rl.ppo import MaskedCategorical, PPOConfig, advantages
from sciml.rl.rollout import Rollout


def random_steps(seed=0, T=40, B=5):
    g = torch.Generator().manual_seed(seed)
    reward = torch.randn(T, B, generator=g, dtype=torch.float64)
    value = torch.randn(T, B, generator=g, dtype=torch.float64)
    following = torch.randn(T, B, generator=g, dtype=torch.float64)
    terminated = torch.rand(T, B, generator=g) < 0.1
    done = terminated | (torch.rand(T, B, generator=g) < 0.1)
    return reward, value, following, terminated, done


@pytest.mark.parametrize("gamma, lmbda", [(1.0, 0.95), (0.97, 0.9), (0.9, 1.0), (0.99, 0.0)])
def test_advantages_equal_torchrl(gamma, lmbda):
    functional = pytest.importorskip("torchrl.objectives.value.functional")
    reward, value, following, terminated, done = random_steps()
    ours = advantages(reward, value, following, terminated, done, gamma, lmbda)
    theirs = functional.generalized_advantage_estimate(
        gamma, lmbda, *(t.T[..., None] for t in (value, following, reward, done, terminated))
    )
    for a, b in zip(ours, theirs, strict=True):
        # torchrl keeps gamma * lmbda in single precision
        torch.testing.assert_close(a, b[..., 0].T, rtol=1e-6, atol=1e-6)


def test_truncation_keeps_the_value_and_termination_drops_it():
    one = torch.ones(1, 1)
    no, yes = torch.zeros(1, 1, dtype=torch.bool), torch.ones(1, 1, dtype=torch.bool)
    cut, _ = advantages(one, 0 * one, 5 * one, no, yes, 0.9, 0.95)
    end, _ = advantages(one, 0 * one, 5 * one, yes, yes, 0.9, 0.95)
    assert cut.item() == pytest.approx(1 + 0.9 * 5) and end.item() == 1


def test_losses_equal_torchrl():
    objectives = pytest.importorskip("torchrl.objectives")
    from tensordict import TensorDict
    from tensordict.nn import ProbabilisticTensorDictModule, ProbabilisticTensorDictSequential
    from tensordict.nn import TensorDictModule as Module
    from torchrl.modules import MaskedCategorical as TheirMasked
    from torchrl.modules import ValueOperator

    torch.manual_seed(1)
    n, features, actions = 64, 6, 9
    network, critic = torch.nn.Linear(features, actions), torch.nn.Linear(features, 1)
    x = torch.randn(n, features)
    mask = torch.rand(n, actions) < 0.6
    mask[:, 0] = True
    with torch.no_grad():
        old = MaskedCategorical(network(x) + 0.5 * torch.randn(n, actions), mask)
        action = old.sample()
    advantage, target = torch.randn(n), torch.randn(n)
    config = PPOConfig(normalise=False, entropy_weight=0.01, value_weight=0.5)
    ours = ppo.PPO(
        torch.nn.ModuleList([network, critic]),
        lambda inputs: (network(inputs["x"]), critic(inputs["x"])[:, 0]),
        torch.optim.SGD(network.parameters(), 0.1),
        config,
    ).losses(
        ppo.Experience({"x": x}, mask, action, old.log_prob(action), target, advantage, target)
    )
    actor = ProbabilisticTensorDictSequential(
        Module(network, in_keys=["x"], out_keys=["logits"]),
        ProbabilisticTensorDictModule(
            in_keys=["logits", "mask"],
            out_keys=["action"],
            distribution_class=TheirMasked,
            return_log_prob=True,
        ),
    )
    theirs = objectives.ClipPPOLoss(
        actor, ValueOperator(critic, in_keys=["x"]), clip_epsilon=0.2, entropy_bonus=True,
        entropy_coeff=0.01, critic_coeff=0.5, loss_critic_type="smooth_l1",
        normalize_advantage=False,
    )  # fmt: skip
    theirs.set_keys(sample_log_prob="action_log_prob")
    out = theirs(
        TensorDict(
            {
                "x": x, "mask": mask, "action": action,
                "action_log_prob": old.log_prob(action),
                "advantage": advantage[:, None], "value_target": target[:, None],
            },
            [n],
        )
    )  # fmt: skip
    torch.testing.assert_close(ours["policy"], out["loss_objective"])
    torch.testing.assert_close(0.5 * ours["value"], out["loss_critic"])
    torch.testing.assert_close(-0.01 * ours["entropy"], out["loss_entropy"])


def test_masked_actions_are_never_drawn_and_get_no_gradient():
    logits = torch.randn(50, 7, requires_grad=True)
    mask = torch.rand(50, 7) < 0.5
    mask[:, 3] = True
    chosen = MaskedCategorical(logits, mask)
    for _ in range(20):
        action = chosen.sample()
        assert mask.gather(1, action[:, None]).all()
    assert mask.gather(1, chosen.mode()[:, None]).all()
    (chosen.log_prob(action).sum() + chosen.entropy().sum()).backward()
    assert logits.grad is not None
    assert (logits.grad[~mask] == 0).all() and torch.isfinite(logits.grad).all()
    only = MaskedCategorical(torch.tensor([[1.0, 5.0]]), torch.tensor([[True, False]]))
    assert only.entropy().item() == 0 and only.log_prob(torch.tensor([0])).item() == 0


class Line:
    """Walk to the right end of a line of 5; an episode is cut after 8 steps."""

    def reset(self, seed=None):
        self.at, self.clock = 2, 0
        return self.observation(), {"action_mask": self.action_mask()}

    def observation(self):
        return np.eye(5, dtype=np.float32)[self.at]

    def action_mask(self):
        return np.array([self.at > 0, self.at < 4])

    def step(self, action):
        assert self.action_mask()[action]
        self.at += 2 * action - 1
        self.clock += 1
        ended = self.at == 4
        info = {"action_mask": self.action_mask()}
        return self.observation(), float(ended) - 0.1, ended, self.clock == 8 and not ended, info

    def state(self):
        return {"at": self.at, "clock": self.clock}

    def restore(self, state):
        self.at, self.clock = state["at"], state["clock"]


def learner(seed):
    torch.manual_seed(seed)
    net = torch.nn.Linear(5, 3)

    def evaluate(inputs):
        out = net(inputs["x"])
        return out[:, :2], out[:, 2]

    def policy(numbers, observations):
        inputs = {"x": torch.from_numpy(np.stack(observations))}
        return *evaluate(inputs), inputs

    trainer = ppo.PPO(net, evaluate, torch.optim.Adam(net.parameters(), 0.05),
                      PPOConfig(minibatch=32, entropy_weight=0.0))  # fmt: skip
    return net, trainer, Rollout([Line() for _ in range(4)], policy)


def test_learns_and_resumes_bit_by_bit():
    net, trainer, rollout = learner(0)
    returns = []
    for k in range(16):
        if k == 8:
            saved = copy.deepcopy((ppo.state_dict(trainer), rollout.state()))
        batch = rollout.collect(16, 1.0, 0.95)
        trainer.step(batch.experience)
        returns.append(np.mean(batch.returns))
    assert returns[-1] > 0.75  # the best is 1 - 0.2 = 0.8
    again, trainer2, rollout2 = learner(5)
    rollout2.restore(saved[1])
    ppo.load_state(trainer2, saved[0])
    for _ in range(8):
        trainer2.step(rollout2.collect(16, 1.0, 0.95).experience)
    for a, b in zip(net.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


def test_rollout_bootstraps_a_cut_episode_with_the_value_where_it_was_cut():
    """With rewards 0 and values v(s), one step to a cut gives advantage gamma v(s') - v(s)."""

    class Cut(Line):
        def step(self, action):
            observation, _, _, _, info = super().step(action)
            return observation, 0.0, False, True, info

    def policy(numbers, observations):
        x = torch.from_numpy(np.stack(observations))
        return torch.tensor([[-50.0, 50.0]] * len(x)), x @ torch.arange(5.0), {"x": x}

    batch = Rollout([Cut()], policy).collect(3, 0.5, 0.95).experience
    assert torch.allclose(batch.advantage, torch.full((3,), 0.5 * 3 - 2))
