"""Agents of other libraries on the environment, and their policies in `place`."""

import numpy as np
import pytest
import torch

from sciml.errors import InputError
from sciml.placement import place
from sciml.placement.generate import NetlistConfig, netlist
from sciml.placement.learning import agents as views
from sciml.placement.learning.env import EnvConfig, PlacementEnv
from sciml.placement.learning.policy import GridPolicy, PolicyConfig
from sciml.placement.legality import check
from sciml.rl import agents

GRID = EnvConfig(columns=8, rows=8, settle=5)


@pytest.fixture(scope="module")
def design():
    return netlist(NetlistConfig(macros=4, clusters=8, ports=6, nets_per_node=3), 2)


def test_views_show_the_maps_and_continuous_actions_find_their_cell(design):
    env = views.ContinuousView(PlacementEnv(design, GRID))
    seen, info = env.reset(seed=0)
    assert seen in env.observation_space and env.action_masks().sum() == info["action_mask"].sum()
    assert np.array_equal(seen[0], env.env.observation()["mask"])
    target = env.env.guide[0]
    assert env.cell(target) == env.env.guided_action()
    cell = env.cell(np.array([0.0, 0.0]))
    assert cell == 0  # the corner is free
    env.step(np.array([0.0, 0.0]))
    assert env.cell(np.array([0.0, 0.0])) != 0


@pytest.mark.filterwarnings("ignore:.*different from the unwrapped version")
@pytest.mark.parametrize("view", [views.AgentView, views.ContinuousView, views.MaskedView])
def test_gymnasium_is_content_with_the_views(view, design):
    from gymnasium.utils.env_checker import check_env

    check_env(view(PlacementEnv(design, GRID)), skip_render_check=True)


@pytest.mark.parametrize("name", agents.NAMES)
def test_an_agent_learns_and_its_weights_place(name, design, tmp_path):
    """Saved without a pickle, read into a policy of our own making, with equal outputs."""
    pytest.importorskip("sb3_contrib")
    torch.set_num_threads(1)
    kind = views.ContinuousView if name in agents.CONTINUOUS else views.AgentView
    seen: list = []
    if name == "torchrl_ppo":
        from sciml.rl.torchrl_ppo import train

        policy = views.AgentPolicy(name, 8, 8)
        before = {k: v.clone() for k, v in policy.state_dict().items()}
        network = policy.network
        masked = [lambda: views.MaskedView(PlacementEnv(design, GRID))]
        train(network.actor, network.critic, masked, 64, 0, lambda *a: seen.append(a), batch=32)
    else:
        few = {"learning_starts": 16} if "learning_starts" in agents.AGENTS[name][3] else {}
        few = few or {"n_steps": 16, **({"batch_size": 16} if name != "a2c" else {})}
        makers = [lambda: kind(PlacementEnv(design, GRID))]
        agent = agents.build(name, makers, 0, views.POLICY, **few)
        before = {f"network.{k}": v.clone() for k, v in agent.policy.state_dict().items()}
        agents.train(agent, 32, lambda *a: seen.append(a))
        policy = views.AgentPolicy(name, 8, 8, agent.policy)
    assert len(seen) >= 8 and seen[0][0] == 4 and np.isfinite(seen[0][2]["proxy"])
    assert "n_critics" not in views.POLICY  # what a library adds is that agent's own
    after = policy.state_dict()
    assert any(not torch.equal(after[key], value) for key, value in before.items())
    path = policy.save(tmp_path / "agent.safetensors")
    again = views.read_policy(path)
    assert isinstance(again, views.AgentPolicy)
    env = PlacementEnv(design, GRID)
    observation, _ = env.reset()
    outputs = [p.eval().player([env])([0], [observation])[:2] for p in (policy, again)]
    for one, two in zip(*outputs, strict=True):
        assert torch.equal(one, two)
    assert outputs[0][0].shape == (1, 64) and outputs[0][1].shape == (1,)


def test_place_takes_an_agents_file_and_ours(design, tmp_path):
    pytest.importorskip("sb3_contrib")
    torch.manual_seed(0)
    agent = views.AgentPolicy("maskable_ppo", 8, 8).save(tmp_path / "agent.safetensors")
    placed = place(design, max_moves=20_000, method="policy", policy=agent)
    assert check(placed.design, design).legal
    ours = GridPolicy(PolicyConfig(channels=8)).save(tmp_path / "ours.safetensors")
    assert isinstance(views.read_policy(ours), GridPolicy)
    with pytest.raises(InputError, match="learned on 8 x 8 cells"):
        env = PlacementEnv(design, EnvConfig(columns=9, rows=8))
        views.AgentPolicy("maskable_ppo", 8, 8).player([env])


def test_unknown_agents_are_named(tmp_path):
    from sciml.weights import files

    with pytest.raises(InputError, match="unknown agent 'dqnn'. Did you mean 'dqn'"):
        agents.algorithm("dqnn")
    path = files.save(
        tmp_path / "x.safetensors", {"w": torch.zeros(2)}, "placement_agent",
        {"agent": "os.system", "rows": 8, "columns": 8}, kind="placement agent", model="x",
    )  # fmt: skip
    with pytest.raises(InputError, match="no agent that is known"):
        views.read_policy(path)
