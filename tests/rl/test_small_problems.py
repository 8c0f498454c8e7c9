"""Learning on problems whose answers are known."""

import numpy as np
import pytest
import torch

from sciml.rl.small_problems import Bandit, Chain, best_bandit_value, gittins_index, play_bandit


def test_values_of_the_chain_solve_bellmans_equation():
    chain, gamma = Chain(5, slip=0.2), 0.9
    q = chain.values(gamma)
    v = q.max(1)
    assert q[4, 1] == pytest.approx(0.8 * 1 + 0.2 * gamma * v[4])
    assert q[2, 1] == pytest.approx(gamma * (0.8 * v[3] + 0.2 * v[2]))
    assert q[2, 0] == pytest.approx(0.01 + gamma * v[0])


def test_value_of_the_bandit_is_that_of_enumeration():
    """Two pulls: 1/2 for the first, then the better of the same arm (2/3 after a win) and 1/2."""
    assert best_bandit_value(1) == 0.5
    assert best_bandit_value(2) == pytest.approx(0.5 + 0.5 * 2 / 3 + 0.5 * 0.5)
    # after a win the rule stays, after a loss it changes: the exact value for two pulls
    assert play_bandit("gittins", 2, 4000) == pytest.approx(best_bandit_value(2), abs=0.05)


def test_gittins_index_shrinks_to_the_mean_with_time():
    assert gittins_index(0, 0, 1) == pytest.approx(0.5, abs=1e-6)
    indices = [gittins_index(1, 1, n) for n in (1, 3, 10)]
    assert indices[0] == pytest.approx(0.5, abs=1e-6) and indices == sorted(indices)
    assert indices[-1] < 1


def test_rules_of_the_bandit_rank_as_they_should():
    best = best_bandit_value(10)
    gittins, thompson, ucb, random = (
        play_bandit(rule, 10, 1000) for rule in ("gittins", "thompson", "ucb", "random")
    )
    assert random == pytest.approx(5.0, abs=0.25) and thompson > random + 0.5
    assert gittins == pytest.approx(best, abs=0.25) and max(gittins, thompson, ucb) < best + 0.25


def test_bandit_tells_the_last_pull():
    env = Bandit(3)
    observation, _ = env.reset(seed=1)
    assert not observation.any()
    observation, reward, *_ = env.step(1)
    assert observation.tolist() == [0, 1, reward, 1]


def learned(kind, steps, seed=0, **settings):
    torch.set_num_threads(1)
    model = kind(
        "MlpPolicy", Chain(4), seed=seed, learning_rate=5e-3, gamma=0.9, learning_starts=50,
        batch_size=32, buffer_size=3000, target_update_interval=50, train_freq=2,
        exploration_fraction=0.9, exploration_final_eps=0.3, policy_kwargs={"net_arch": []},
        **settings,
    )  # fmt: skip
    model.learn(steps)
    with torch.no_grad():
        return model, model.q_net(torch.eye(4)).numpy()


@pytest.mark.parametrize("name", ["DoubleDQN", "DisCorDQN"])
def test_q_learning_reaches_the_values_of_the_chain(name):
    """A linear network on one-hot states is a table."""
    pytest.importorskip("stable_baselines3")
    from sciml.rl import dqn

    _, q = learned(getattr(dqn, name), 1500)
    exact = Chain(4).values(0.9)
    assert np.abs(q - exact).max() < 0.12
    assert (q.argmax(1) == exact.argmax(1)).all()


def test_weights_of_discor():
    """Their mean is 1; the end of the chain, whose target is right from the start, counts most."""
    pytest.importorskip("stable_baselines3")
    from sciml.rl.dqn import DisCorDQN, discor_weights

    error = torch.tensor([0.0, 1.0, 2.0])
    weight = discor_weights(error, 0.9, 0.5)
    assert float(weight.mean()) == pytest.approx(1.0)
    assert torch.allclose(weight[1:] / weight[:-1], torch.full((2,), float(np.exp(-0.9 / 0.5))))
    model, _ = learned(DisCorDQN, 300)
    with torch.no_grad():
        errors = model.error_net(torch.eye(4))[:, 1].clamp(min=0)
    # what is left to the end: errors of targets add up backwards
    assert float(errors[0]) > float(errors[3])
    assert model.tau_of_errors < DisCorDQN.first_tau


def test_trpo_keeps_the_policy_within_its_bound():
    """The KL divergence of the policies before and after an update, measured on its own states."""
    contrib = pytest.importorskip("sb3_contrib")
    torch.set_num_threads(1)
    model = contrib.TRPO("MlpPolicy", Chain(4), n_steps=128, batch_size=64, seed=0, target_kl=0.01)
    for _ in range(3):
        old = torch.softmax(logits(model), 1).detach()
        model.learn(128, reset_num_timesteps=False)
        states = model.rollout_buffer.observations.reshape(-1, 4).argmax(1)
        new = torch.log_softmax(logits(model), 1).detach()
        kl = (old * (old.log() - new)).sum(1)[states].mean()
        assert 0 <= float(kl) <= 0.01 * 1.01


def logits(model):
    return model.policy.get_distribution(torch.eye(4)).distribution.logits
