"""Several episodes of one task as one, and what a recurrent policy learns from that."""

import numpy as np
import pytest

from sciml.rl.small_problems import Bandit, Chain, best_bandit_value
from sciml.rl.trials import Trial, learn, play


def test_a_trial_is_some_episodes_of_one_task_and_tells_what_was_done():
    drawn = []

    def draw(rng):
        drawn.append(Chain(3, slip=0.0, small=float(rng.random())))
        return drawn[-1]

    env = Trial(draw, episodes=2)
    observation, _ = env.reset(seed=1)
    task = drawn[-1]
    assert observation.tolist() == [1, 0, 0, 0, 0, 0, 0] and env.task is task
    observation, reward, *_ = env.step(0)
    assert observation.tolist() == pytest.approx([1, 0, 0, 1, 0, task.small, 0])
    for _ in range(3):
        observation, _, over, _, info = env.step(1)
    assert observation.tolist() == [1, 0, 0, 0, 1, 1, 1]  # ended, paid, and at the start again
    assert not over and env.task is task
    for _ in range(3):
        *_, over, _, info = env.step(1)
    assert over and info["returns"] == pytest.approx([1 + task.small, 1])
    env.reset(seed=1)
    assert drawn[-1] is not task and drawn[-1].small == task.small  # the same seed, the same task


@pytest.mark.filterwarnings("ignore:.*infinity")
def test_placements_are_tasks():
    from gymnasium.utils.env_checker import check_env

    from sciml.placement.generate import NetlistConfig, netlist
    from sciml.placement.learning.agents import AgentView
    from sciml.placement.learning.env import EnvConfig, PlacementEnv

    designs = [netlist(NetlistConfig(macros=3, clusters=6, ports=4), k) for k in range(2)]

    def draw(rng):
        design = designs[int(rng.integers(2))]
        return AgentView(PlacementEnv(design, EnvConfig(columns=8, rows=8, settle=0)))

    env = Trial(draw, episodes=2, features=lambda o: o[5:, ::2, ::2].ravel())
    assert env.observation_space.shape == (4 * 16 + 64 + 2,)
    check_env(env, skip_render_check=True)
    env.reset(seed=0)
    for _ in range(6):
        *_, over, _, info = env.step(int(np.flatnonzero(env.action_masks())[0]))
    # the same choices on the same netlist give the same proxies
    assert over and info["returns"][0] == pytest.approx(info["returns"][1])


def test_memory_is_trained_and_played():
    pytest.importorskip("sb3_contrib")
    for recurrent in (True, False):
        model = learn(lambda: Bandit(5), 80, 0, recurrent=recurrent, envs=2, length=20, width=8)
        games = play(model, Bandit(5), 3, 0)
        assert len(games) == 3 and all(0 <= game["return"] <= 5 for game in games)


@pytest.mark.slow
def test_a_recurrent_policy_is_near_the_best_on_a_bandit():
    pytest.importorskip("sb3_contrib")
    wins = []
    for recurrent in (True, False):
        model = learn(lambda: Bandit(10), 60_000, 0, recurrent=recurrent)
        wins.append(np.mean([game["return"] for game in play(model, Bandit(10), 2000, 10**6)]))
    assert wins[0] > best_bandit_value(10) - 0.35 and wins[0] > wins[1]
