"""Masks against brute force, and the environment's promises."""

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest

from sciml.errors import InputError
from sciml.placement.cost.proxy import Evaluator, proxy_cost
from sciml.placement.design import MACRO, PORT, SOFT
from sciml.placement.generate import NetlistConfig, netlist
from sciml.placement.learning.env import SCALE, EnvConfig, PlacementEnv
from sciml.placement.learning.guide import settle
from sciml.placement.learning.masks import order_of
from sciml.placement.learning.wire_mask_search import greedy
from sciml.placement.legality import check


@pytest.fixture(scope="module")
def design():
    return netlist(NetlistConfig(macros=10, clusters=15, ports=12, fixed=0.2), 4)


def brute_masks(env):
    """Feasibility, and the wire of all nets of the macro in its best orientation, cell by cell."""
    k, d = env.current, env.moves.design()
    canvas, m = d.canvas, env.obstacles.shape[1]
    allowed = np.zeros((env.rows, env.columns), bool)
    wire = np.zeros((env.rows, env.columns))
    node = int(env.nodes[k])
    w, h = env.width[k], env.height[k]

    def total(design, but=-1):
        xy = design.pin_xy()
        bare = np.isin(design.kind[design.pin_node], (SOFT, PORT))
        xy[bare] = np.stack([design.x, design.y], 1)[design.pin_node[bare]]
        out = 0.0
        for n in range(design.nets):
            at = np.arange(design.net_start[n], design.net_start[n + 1])
            at = at[design.pin_node[at] != but]
            driver = design.pin_node[design.net_start[n]]
            weight = 1.0 if design.kind[driver] == PORT else design.net_weight[n]
            out += weight * np.ptp(xy[at], 0).sum() if len(at) else 0.0
        return out

    before = total(d, but=node)
    for r in range(env.rows):
        for col in range(env.columns):
            x, y = col * env.cell_width, r * env.cell_height
            ok = x + w <= canvas.width + 1e-7 and y + h <= canvas.height + 1e-7
            for j in range(m + env.placed):
                x0, y0, x1, y1 = env.rectangles[:, j]
                ok &= not (
                    x < x1 - 1e-7 and x + w > x0 + 1e-7 and y < y1 - 1e-7 and y + h > y0 + 1e-7
                )
            allowed[r, col] = ok
            lengths = []
            for turn in range(4):
                moved = d.copy()
                moved.x[node], moved.y[node] = canvas.x0 + x + w / 2, canvas.y0 + y + h / 2
                moved.orientation[node] = turn
                lengths.append(total(moved) - before)
            wire[r, col] = min(lengths)
    return allowed, wire


def test_masks_equal_brute_force_and_rewards_the_exact_cost(design):
    weighted = replace(design, net_weight=np.random.default_rng(1).uniform(0.5, 3, design.nets))
    env = PlacementEnv(weighted, EnvConfig(columns=6, rows=5))
    rng = np.random.default_rng(0)
    _, info = env.reset()
    cost = proxy_cost(env.placement()).proxy
    for _ in range(3):
        allowed, wire = brute_masks(env)
        assert np.array_equal(info["action_mask"].reshape(5, 6), allowed)
        wire_x, wire_y = env.wire()
        np.testing.assert_allclose(wire_x[None] + wire_y[:, None], wire, atol=1e-6)
        cell = rng.choice(np.flatnonzero(allowed))
        assert wire.ravel()[env.greedy_action()] == pytest.approx(wire[allowed].min())
        _, reward, _, _, info = env.step(cell)
        now = env.moves.design()
        exact = proxy_cost(now).proxy
        assert reward == pytest.approx(SCALE * (cost - exact), abs=1e-9)
        cost = exact


def test_congestion_and_density_are_those_of_the_proxy(design):
    """The mean of the maps on a grid that divides that of the proxy; soft macros count in them."""
    grid = design.grid
    env = PlacementEnv(design, EnvConfig(columns=grid.columns, rows=grid.rows))
    observation, _ = env.reset()
    evaluator = Evaluator(env.start_design)
    state = evaluator.load(env.start_design)
    density = state.density.reshape(grid.rows, grid.columns)
    np.testing.assert_allclose(observation["density"], density, atol=1e-5)
    busier = np.maximum(state.value_h.T, state.value_v)
    np.testing.assert_allclose(observation["congestion"], np.clip(busier, 0, 8), atol=1e-5)
    soft = replace(design, width=np.where(design.kind == SOFT, 0.0, design.width))
    guide = soft.at(env.start_design.x, env.start_design.y)
    other, _ = PlacementEnv(soft, env.config, guide=guide).reset()
    assert other["density"].sum() < observation["density"].sum()


def test_the_start_depends_on_the_netlist_alone(design):
    moved = design.copy()
    moved.x[~moved.fixed] *= 0.5
    one, two = (PlacementEnv(d, EnvConfig(columns=8, rows=8)) for d in (design, moved))
    assert one.start_proxy == two.start_proxy
    first, second = one.reset()[0], two.reset()[0]
    assert all(np.array_equal(first[key], second[key]) for key in first)


def test_gymnasium_checker_is_content(design):
    from gymnasium.utils.env_checker import check_env

    check_env(PlacementEnv(design, EnvConfig(columns=10, rows=10, refine=3)),
              skip_render_check=True)  # fmt: skip


@pytest.mark.parametrize("processes", [False, True])
def test_vectorised_by_gymnasium(design, processes):
    from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv

    config, kind = EnvConfig(columns=10, rows=10), AsyncVectorEnv if processes else SyncVectorEnv
    vector = kind([lambda: PlacementEnv(design, config)] * 2)
    observation, _ = vector.reset(seed=0)
    assert observation["mask"].shape == (2, 10, 10)
    actions = [int(np.flatnonzero(m.ravel())[0]) for m in observation["mask"]]
    rewards = vector.step(np.array(actions))[1]
    alone = PlacementEnv(design, config)
    alone.reset()
    assert rewards.tolist() == [alone.step(actions[0])[1]] * 2
    vector.close()


def test_the_grid_follows_the_sizes_of_macros(design):
    env = PlacementEnv(design)
    small = np.quantile(env.width, 0.1)
    assert 16 <= env.columns <= 96 and (env.cell_width <= small / 2 or env.columns == 96)
    area = env.width * env.height
    assert (np.diff(area) <= 0).all()  # the largest first


def test_orientations_are_those_that_the_macro_may_have(design):
    from sciml.placement.constraints import Constraints

    none = Constraints.none(design.nodes)
    for bits, turns in ((0b1, {0}), (0b101, {0, 2}), (0b1111, {0, 1, 2, 3}), (0b110011, {0})):
        allowed = np.full(design.nodes, bits, np.uint8)
        ruled = replace(design, constraints=replace(none, allowed=allowed))
        env = PlacementEnv(ruled, EnvConfig(columns=24, rows=24))
        assert greedy(env)
        seen = set(env.placement().orientation[env.nodes].tolist())
        assert seen <= turns and (len(seen) > 1) == (len(turns) > 1)


@pytest.mark.parametrize("order", ["area", "nets", "connected", "given"])
def test_episode_is_legal_and_rewards_add_up(design, order):
    env = PlacementEnv(design, EnvConfig(columns=24, rows=24, order=order))
    assert sorted(order_of(design, order)) == sorted(
        np.flatnonzero((design.kind == MACRO) & ~design.fixed)
    )
    env.reset()
    total, ended = 0.0, False
    while not ended:
        _, reward, ended, _, info = env.step(env.guided_action())
        total += reward
    assert total == pytest.approx(SCALE * (env.start_proxy - info["proxy"]))
    assert info["proxy"] == pytest.approx(proxy_cost(env.placement()).proxy)
    assert check(env.placement(), env.start_design).legal
    with pytest.raises(InputError, match="over"):
        env.step(0)


def test_refinement_keeps_it_legal_and_pays_what_it_saves(design):
    env = PlacementEnv(design, EnvConfig(columns=20, rows=20, refine=30, reward="hpwl"))
    env.reset()
    rng = np.random.default_rng(1)
    for _ in range(len(env.nodes)):
        env.step(env.greedy_action())
    before, total, ended = env.hpwl(), 0.0, False
    while not ended:
        _, reward, ended, _, _ = env.step(int(rng.integers(400)))
        total += reward
    norm = env.moves.problem.norm
    assert total == pytest.approx(SCALE * (before - env.hpwl()) / norm)
    assert check(env.placement(), env.start_design).legal


def test_a_forbidden_action_is_replaced_and_costs(design):
    env = PlacementEnv(design, EnvConfig(columns=12, rows=12))
    _, info = env.reset()
    bad = int(np.flatnonzero(~info["action_mask"])[-1])
    *_, info = env.step(bad)
    assert info["replaced"] and 0 <= env.corner[0].min()
    while env.placed < len(env.nodes):
        env.step(bad)  # never allowed
    assert check(env.placement(), env.start_design).legal


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


def test_soft_macros_settle_around_the_hard_ones(design):
    """They move, stay inside, and the hard macros stay; where it costs more, nothing moves."""
    env = PlacementEnv(design, EnvConfig(columns=24, rows=24, settle=0))
    assert greedy(env)
    placed = env.placement()
    settled = settle(placed, EnvConfig().settle)
    soft = placed.kind == SOFT
    assert (settled.x[soft] != placed.x[soft]).any()
    assert np.array_equal(settled.x[~soft], placed.x[~soft])
    assert check(settled).outside == check(placed).outside
    other = PlacementEnv(design, EnvConfig(columns=24, rows=24))
    assert greedy(other)
    assert other.proxy() == min(env.proxy(), proxy_cost(settled).proxy)
