"""Masks against brute force, and the environment's promises."""

import copy
import pickle
import warnings

import numpy as np
import pytest

from sciml.errors import InputError
from sciml.placement.design import MACRO, PORT
from sciml.placement.generate import NetlistConfig, netlist
from sciml.placement.learning.env import EnvConfig, PlacementEnv, draw_soft
from sciml.placement.learning.masks import order_of
from sciml.placement.legality import check


@pytest.fixture(scope="module")
def design():
    return netlist(NetlistConfig(macros=10, clusters=15, ports=12, fixed=0.2), 4)


def brute_masks(env):
    """Feasibility and wire growth cell by cell, from the placements themselves."""
    c, k = env.config, env.current
    canvas = env.design.canvas
    m = env.obstacles.shape[1]
    d = env.design
    placed = set(env.nodes[: env.placed].tolist()) | set(
        np.flatnonzero(d.fixed & np.isin(d.kind, (MACRO, PORT))).tolist()
    )

    def total(design, nodes):
        xy = design.pin_xy()
        out = 0.0
        for n in range(design.nets):
            a, b = design.net_start[n], design.net_start[n + 1]
            at = [p for p in range(a, b) if int(design.pin_node[p]) in nodes]
            if at:
                out += np.ptp(xy[at, 0]) + np.ptp(xy[at, 1])
        return out

    base = env.placement()
    before = total(base, placed)
    allowed = np.zeros((c.rows, c.columns), bool)
    wire = np.zeros((c.rows, c.columns))
    node = int(env.nodes[k])
    w, h = env.width[k], env.height[k]
    for r in range(c.rows):
        for col in range(c.columns):
            x, y = col * env.cell_width, r * env.cell_height
            ok = x + w <= canvas.width + 1e-7 and y + h <= canvas.height + 1e-7
            for j in range(m + env.placed):
                x0, y0, x1, y1 = env.rectangles[:, j]
                ok &= not (
                    x < x1 - 1e-7 and x + w > x0 + 1e-7 and y < y1 - 1e-7 and y + h > y0 + 1e-7
                )
            allowed[r, col] = ok
            moved = base.copy()
            moved.x[node], moved.y[node] = canvas.x0 + x + w / 2, canvas.y0 + y + h / 2
            wire[r, col] = total(moved, placed | {node}) - before
    return allowed, wire


def test_masks_equal_brute_force(design):
    env = PlacementEnv(design, EnvConfig(columns=9, rows=7))
    rng = np.random.default_rng(0)
    _, info = env.reset()
    for _ in range(5):
        allowed, wire = brute_masks(env)
        assert np.array_equal(info["action_mask"].reshape(7, 9), allowed)
        np.testing.assert_allclose(env.wire_x[None] + env.wire_y[:, None], wire, atol=1e-6)
        cell = rng.choice(np.flatnonzero(allowed))
        assert wire.ravel()[env.greedy_action()] == pytest.approx(wire[allowed].min())
        _, reward, _, _, info = env.step(cell)
        assert reward == pytest.approx(-wire.ravel()[cell] / env.norm)


def test_gymnasium_checker_is_content(design):
    from gymnasium.utils.env_checker import check_env

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*maximum value is infinity.*")
        warnings.filterwarnings("ignore", message=".*render.*")
        check_env(PlacementEnv(design, EnvConfig(columns=10, rows=10, refine=3)),
                  skip_render_check=True)  # fmt: skip


def test_vectorised_by_gymnasium(design):
    from gymnasium.vector import SyncVectorEnv

    config = EnvConfig(columns=10, rows=10)
    vector = SyncVectorEnv([lambda: PlacementEnv(design, config)] * 3)
    observation, _ = vector.reset(seed=0)
    assert observation["mask"].shape == (3, 10, 10)
    actions = [int(np.flatnonzero(m.ravel())[0]) for m in observation["mask"]]
    assert vector.step(np.array(actions))[1].shape == (3,)


@pytest.mark.parametrize("order", ["area", "nets", "connected", "given"])
def test_episode_is_legal_and_rewards_add_up(design, order):
    env = PlacementEnv(design, EnvConfig(columns=24, rows=24, order=order))
    assert sorted(order_of(design, order)) == sorted(
        np.flatnonzero((design.kind == MACRO) & ~design.fixed)
    )
    env.reset()
    start, total, ended = env.macro_hpwl(), 0.0, False
    while not ended:
        _, reward, ended, _, info = env.step(env.greedy_action())
        total += reward
    assert -total * env.norm == pytest.approx(info["hpwl"] - start)
    assert check(env.placement(), env.start_design).legal
    with pytest.raises(InputError, match="over"):
        env.step(0)


def test_refinement_keeps_it_legal_and_pays_what_it_saves(design):
    env = PlacementEnv(design, EnvConfig(columns=20, rows=20, refine=30))
    env.reset()
    rng = np.random.default_rng(1)
    for _ in range(len(env.nodes)):
        env.step(env.greedy_action())
    before, total, ended = env.macro_hpwl(), 0.0, False
    while not ended:
        _, reward, ended, _, _ = env.step(int(rng.integers(400)))
        total += reward
    assert total * env.norm == pytest.approx(before - env.macro_hpwl())
    assert check(env.placement(), env.start_design).legal


def test_a_forbidden_action_is_replaced_and_costs(design):
    env = PlacementEnv(design, EnvConfig(columns=12, rows=12))
    _, info = env.reset()
    bad = int(np.flatnonzero(~info["action_mask"])[-1])
    *_, info = env.step(bad)
    assert info["replaced"] and check(env.placement()).overlaps == 0


def test_state_and_restore_go_on_identically(design):
    env = PlacementEnv(design, EnvConfig(columns=16, rows=16, reward="proxy"))
    env.reset()
    for _ in range(3):
        env.step(env.greedy_action())
    saved = env.state()

    def finish():
        out = []
        ended = False
        while not ended:
            _, reward, ended, _, _ = env.step(env.greedy_action())
            out.append(reward)
        return out

    first = finish()
    env.restore(saved)
    assert finish() == first


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copy_of_an_environment_goes_on_by_itself(design, duplicate):
    env = PlacementEnv(design, EnvConfig(columns=16, rows=16, reward="proxy"))
    env.reset()
    for _ in range(3):
        env.step(env.greedy_action())
    other = duplicate(env)
    before = env.state()
    rewards = []
    for one in (other, env):
        ended, total = False, []
        while not ended:
            _, reward, ended, _, _ = one.step(one.greedy_action())
            total.append(reward)
        rewards.append(total)
        if one is other:  # the original did not move
            assert all(np.array_equal(v, before[k], True) for k, v in env.state().items())
    assert rewards[0] == rewards[1]


def test_soft_macros_are_drawn_to_their_nets_inside_the_canvas(design):
    from sciml.placement.cost.wirelength import hpwl

    drawn = draw_soft(design)
    assert hpwl(drawn) != hpwl(design)
    assert check(drawn).outside == check(design).outside
