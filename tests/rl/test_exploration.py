"""Rewards for what is new, on a chain."""

import numpy as np
import pytest

from sciml.rl.exploration import CountBonus, RNDBonus, SMiRL
from sciml.rl.small_problems import Chain


def test_counts_fall_with_the_root_of_visits():
    env = CountBonus(Chain(5, slip=0.0), weight=2.0)
    env.reset(seed=0)
    _, reward, *_, info = env.step(0)
    assert info["bonus"] == 2.0 and reward == pytest.approx(2.01)
    for n in range(2, 6):
        *_, info = env.step(0)
        assert info["bonus"] == pytest.approx(2.0 / np.sqrt(n))
    *_, info = env.step(1)
    assert info["bonus"] == 2.0  # another action is new


def test_random_networks_pay_more_for_states_that_are_rare():
    env = RNDBonus(Chain(5, slip=0.0))
    env.reset(seed=0)
    bonuses = [env.step(0)[-1]["bonus"] for _ in range(300)]
    *_, info = env.step(1)
    assert np.mean(bonuses[-50:]) < 0.7 and info["bonus"] > 3 * np.mean(bonuses[-50:])


def test_smirl_pays_for_what_was_seen_and_shows_its_statistics():
    env = SMiRL(Chain(5, slip=0.0), length=40)
    observation, _ = env.reset(seed=0)
    assert observation.shape == env.observation_space.shape == (16,)
    stay = [env.step(0)[-1]["bonus"] for _ in range(10)]
    observation, *_, info = env.step(1)
    assert stay == sorted(stay) and info["bonus"] < stay[-1]
    assert observation[-1] == pytest.approx(12 / 40)
    np.testing.assert_allclose(observation[5:10], np.array([11, 1, 0, 0, 0]) / 12, atol=1e-6)
    assert env.reset()[0][-1] == pytest.approx(1 / 40)  # a new episode forgets
