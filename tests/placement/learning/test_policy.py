"""The policy, its pretraining and the searches that use it."""

import copy
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from sciml import objectives
from sciml.errors import InputError
from sciml.placement.generate import NetlistConfig, netlist
from sciml.placement.learning.embedder import HIDDEN, NetlistEmbedder, collate, netlist_graph
from sciml.placement.learning.env import EnvConfig, PlacementEnv
from sciml.placement.learning.imitation import imitate, replay
from sciml.placement.learning.macro_search import search_macros
from sciml.placement.learning.policy import GridPolicy, Player, PolicyConfig, shifted
from sciml.placement.learning.policy_search import sample_policy, tree
from sciml.placement.learning.pretraining import connected_part, corpus
from sciml.placement.learning.wire_mask_search import SearchState, beam, evolve, greedy
from sciml.placement.legality import check
from sciml.trunks.message_passing import MessagePassing, MessagePassingConfig

TRUNK = MessagePassingConfig(dim=16, pair_dim=4, depth=1, heads=2, hypergraph=True, kinds=2)
SMALL = PolicyConfig(trunk=TRUNK, channels=8)
GRID = EnvConfig(columns=12, rows=12)


@pytest.fixture(scope="module")
def designs():
    config = NetlistConfig(macros=5, clusters=10, ports=6, nets_per_node=4)
    return [netlist(config, k) for k in range(3)]


def test_graph_of_a_netlist(designs):
    graph = collate([netlist_graph(d) for d in designs])
    total = sum(d.nodes + d.nets for d in designs)
    assert len(graph.x) == total and int(graph.ptr[-1]) == total
    assert graph.edge_index.shape[1] == sum(d.pins for d in designs)
    assert (graph.node_kind[graph.edge_index[0]] == 0).all()
    assert (graph.node_kind[graph.edge_index[1]] == 1).all()
    # places of movable nodes are not in the features
    moved = designs[0].copy()
    moved.x[~moved.fixed] *= 0.5
    assert torch.equal(netlist_graph(moved).x, netlist_graph(designs[0]).x)


def test_hidden_content_does_not_reach_the_trunk(designs):
    torch.manual_seed(0)
    embedder = NetlistEmbedder(16, 4)
    graph = netlist_graph(designs[0])
    hidden = torch.zeros(len(graph.x), dtype=torch.bool)
    hidden[3] = True
    other = graph.clone()
    other.x[3, list(HIDDEN)] += 7.0
    one, two = embedder(graph, hidden), embedder(other, hidden)
    assert torch.equal(one.x, two.x) and torch.equal(one.edge_attr, two.edge_attr)
    assert not torch.equal(embedder(graph).x, embedder(other).x)


@pytest.mark.parametrize("name", ["masked", "simclr", "denoising"])
def test_objectives_pretrain_the_trunk(name, designs):
    torch.manual_seed(0)
    data = corpus(designs)
    trunk, embedder = MessagePassing(TRUNK), data.embedder(16, 4)
    objective = objectives.build(name)(trunk, embedder, augment=data.augment)
    losses = objective(data.collate([data.dataset[k] for k in range(3)]))
    losses["loss"].backward()
    assert torch.isfinite(losses["loss"])
    assert any(p.grad is not None and (p.grad != 0).any() for p in trunk.parameters())


def test_connected_part_is_a_valid_design(designs):
    part = connected_part(designs[0], 8)
    assert part.nodes == 8 and part.pin_node.max() < 8
    assert (np.diff(part.net_start) >= 2).all() and part.net_start[-1] == part.pins
    netlist_graph(part)


def test_renumbering_the_nodes_changes_no_score(designs):
    """The policy sees a graph, not the order of its nodes."""
    torch.manual_seed(0)
    design = designs[0]
    policy = GridPolicy(SMALL)
    soft = np.flatnonzero(design.kind == 1)
    swap = np.arange(design.nodes)
    swap[soft] = soft[::-1]
    keys = ("kind", "width", "height", "x", "y", "orientation", "fixed")
    other = replace(
        design,
        **{k: getattr(design, k)[swap] for k in keys},
        pin_node=np.argsort(swap)[design.pin_node].astype(np.int32),
    )
    out = []
    guide = PlacementEnv(design, GRID).start_design  # its random start goes by the order of nodes
    for d, start in ((design, guide), (other, other.at(guide.x[swap], guide.y[swap]))):
        env = PlacementEnv(d, GRID, guide=start)
        observation, _ = env.reset()
        with torch.no_grad():
            out.append(Player(policy, [env])([0], [observation])[0])
    torch.testing.assert_close(out[0], out[1], rtol=1e-4, atol=1e-4)


def test_imitation_learns_the_cells_of_a_placement(designs):
    torch.manual_seed(0)
    targets = []
    for design in designs[:2]:
        env = PlacementEnv(design, GRID)
        assert greedy(env)
        targets.append((design, env.placement()))
    policy = GridPolicy(SMALL)
    losses = imitate(policy, targets, GRID, epochs=60, lr=5e-3)
    assert losses[-1] < 0.5 * losses[0]
    env, steps = replay(*targets[0], GRID)
    assert len(steps) == 5 and all(mask[cell] for _, cell, mask in steps)
    assert np.allclose(env.placement().x, targets[0][1].x)


def test_searches_return_legal_placements(designs):
    env = PlacementEnv(designs[0], GRID)
    assert greedy(env)
    by_greed = env.hpwl()
    assert beam(env, width=6, branches=6)
    assert check(env.placement()).overlaps == 0
    assert env.hpwl() <= 1.3 * by_greed
    policy = GridPolicy(SMALL)
    for state, evaluations in (
        (evolve(env, 1e9, np.random.default_rng(0), max_evaluations=25), 25),
        (sample_policy(env, policy, 1e9, max_episodes=3), 3),
    ):
        assert state.evaluations == evaluations and np.isfinite(state.cost)
        assert state.best is not None and check(state.best).overlaps == 0
    for chosen in (None, policy):
        result = search_macros(designs[0], 0.5, 1, policy=chosen, config=GRID)
        assert check(result.design, designs[0]).legal


def test_weights_go_to_disk_and_back(tmp_path):
    torch.manual_seed(1)
    policy = GridPolicy(SMALL)
    policy.save(tmp_path / "p.safetensors")
    again = GridPolicy.from_pretrained(tmp_path / "p.safetensors")
    assert again.config == policy.config
    for a, b in zip(policy.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
    folder = policy.save(tmp_path / "folder").parent  # the form of model hubs
    assert {p.name for p in folder.iterdir()} == {"config.json", "model.safetensors", "README.md"}
    for again in (
        GridPolicy.from_pretrained(folder, device="cpu"),
        copy.deepcopy(policy),
        pickle.loads(pickle.dumps(policy)),
    ):
        assert again.config == policy.config
        for a, b in zip(policy.parameters(), again.parameters(), strict=True):
            assert torch.equal(a, b)
    (tmp_path / "bad.safetensors").write_bytes(b"no weights")
    with pytest.raises(InputError, match="not a readable"):
        GridPolicy.from_pretrained(tmp_path / "bad.safetensors")


def test_policies_of_version_0_1_are_read(tmp_path, designs):
    """They see three maps, and their files do not say so."""
    from sciml.weights import files

    torch.manual_seed(1)
    policy = GridPolicy(replace(SMALL, maps=3)).eval()
    described = policy.describe()
    assert described.pop("maps") == 3 and not hasattr(policy, "guided")
    path = files.save(tmp_path / "old.safetensors", policy.weights(), policy.ENTRY, described,
                      kind=policy.KIND, model="GridPolicy")  # fmt: skip
    again = GridPolicy.from_pretrained(path, device="cpu")
    assert again.config == policy.config
    one, two = (p.predict(designs[0], GRID) for p in (policy, again))
    assert one.complete and np.array_equal(one, two)


def test_a_policy_on_another_kind_of_trunk_is_saved_with_it(tmp_path, designs):
    from sciml import trunks

    torch.manual_seed(2)
    trunk = trunks.build("pair_transformer", dim=16, pair_dim=0, depth=1, heads=2)
    policy = GridPolicy(PolicyConfig(channels=8), trunk).eval()
    policy.save(tmp_path / "p.safetensors")
    again = GridPolicy.from_pretrained(tmp_path / "p.safetensors", device="cpu")
    assert again.trunk.config == trunk.config
    one, two = (p.predict(designs[0], GRID) for p in (policy, again))
    assert np.array_equal(one, two) and one.proxy == two.proxy


def test_predicted_placements_are_arrays_of_centres(designs):
    torch.manual_seed(1)
    placement = GridPolicy(SMALL).eval().predict(designs[0], GRID)
    assert placement.complete and check(placement.design).overlaps == 0
    assert placement.shape == (5, 2) and (np.asarray(placement) == placement.centres).all()
    assert np.array_equal(placement[:, 0], placement.design.x[placement.nodes])
    assert (placement.log_probabilities <= 0).all() and np.isfinite(placement.proxy)
    env = PlacementEnv(designs[0], GRID)
    episodes = sample_policy(env, GridPolicy(SMALL).eval(), 1e9, max_episodes=1)
    assert episodes.best is not None  # the first episode takes the mode, too
    torch.manual_seed(1)
    episodes = sample_policy(env, GridPolicy(SMALL).eval(), 1e9, max_episodes=1)
    assert episodes.cost == placement.proxy


def test_a_frozen_trunk_stays_as_it_is(designs):
    torch.manual_seed(0)
    policy = GridPolicy(replace(SMALL, frozen=True))
    before = [p.clone() for p in policy.trunk.parameters()]
    env = PlacementEnv(designs[0], GRID)
    greedy(env)
    imitate(policy, [(designs[0], env.placement())], GRID, epochs=2)
    for a, b in zip(before, policy.trunk.parameters(), strict=True):
        assert torch.equal(a, b)


def test_tree_search_beats_the_bare_policy_and_is_legal(designs):
    """With the growth of wire as reward, looking ahead is worth something on the mean."""
    torch.manual_seed(3)
    policy = GridPolicy(SMALL)
    last: Any = policy.critic[-1]
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.zeros_(last.bias)
    gains = []
    for design in designs:
        env = PlacementEnv(design, replace(GRID, reward="hpwl", settle=0))
        lengths = []
        for simulations in (1, 200):
            cost, best, done = tree(env, policy, 1e9, simulations)
            assert np.isfinite(cost) and done == 5 * simulations
            assert best is not None and check(best).overlaps == 0
            assert cost == env.hpwl() / env.moves.problem.norm
            lengths.append(cost)
        gains.append(lengths[0] - lengths[1])
    assert np.mean(gains) > 0


def test_place_takes_a_policy_file(designs, tmp_path):
    from sciml.placement.placer import place

    torch.manual_seed(1)
    GridPolicy(SMALL).save(tmp_path / "mine.safetensors")
    placed = place(
        designs[0], cpu_seconds=0.6, method="policy", policy=tmp_path / "mine.safetensors"
    )
    assert placed.scores["legal"] and placed.scores["evaluations"] > 10
    with pytest.raises(InputError):
        place(designs[0], cpu_seconds=0.1, method="policy", policy=tmp_path / "none.safetensors")


def test_a_shifted_view_is_the_same_maps_elsewhere():
    torch.manual_seed(0)
    maps = torch.rand(20, 6, 6, 7) + 1
    view = shifted({"maps": maps, "row": torch.arange(20)}, 2)
    assert torch.equal(view["row"], torch.arange(20))
    seen = set()
    for old, new in zip(maps, view["maps"], strict=True):
        shifts = []
        for dy in range(-2, 3):
            for dx in range(-2, 3):
                moved = torch.zeros_like(old)
                moved[:, max(-dy, 0) : 6 - max(dy, 0), max(-dx, 0) : 7 - max(dx, 0)] = (
                    old[:, max(dy, 0) : 6 + min(dy, 0), max(dx, 0) : 7 + min(dx, 0)]
                )  # fmt: skip
                if torch.equal(moved, new):
                    shifts.append((dy, dx))
        assert len(shifts) == 1
        seen |= set(shifts)
    assert len(seen) > 5


@pytest.mark.parametrize("kind", ["search", "policy"])
def test_ctrl_c_keeps_the_best_start_that_was_found(kind, monkeypatch):
    """Interrupted before annealing: the start is returned; before any start: nothing to return."""
    design = netlist(NetlistConfig(macros=6, clusters=10), 3)
    config = EnvConfig(columns=12, rows=12)
    policy = GridPolicy(PolicyConfig(trunk=TRUNK, channels=8)) if kind == "policy" else None
    proxy, calls = PlacementEnv.proxy, []

    def interrupted(env):
        calls.append(1)
        if len(calls) == after:
            raise KeyboardInterrupt
        return proxy(env)

    monkeypatch.setattr(PlacementEnv, "proxy", interrupted)
    after = 3
    result = search_macros(design, 1e6, 0, policy=policy, config=config)
    assert result.stopped and len(calls) == 3 and result.history[0]["best"] == result.cost
    assert check(result.design, design).legal
    after = len(calls) + 1
    with pytest.raises(KeyboardInterrupt):
        search_macros(design, 1e6, 0, policy=policy, config=config)


def test_proposals_that_all_fail_fall_back_to_greedy(monkeypatch):
    design = netlist(NetlistConfig(macros=6, clusters=10), 3)
    policy = GridPolicy(PolicyConfig(trunk=TRUNK, channels=8))
    monkeypatch.setattr(
        "sciml.placement.learning.policy_search.sample_policy",
        lambda *a, **k: SearchState(evaluations=1),
    )
    monkeypatch.setattr(
        "sciml.placement.learning.policy_search.tree", lambda *a, **k: (np.inf, None, 1)
    )
    result = search_macros(design, 0.5, 0, policy=policy, config=EnvConfig(columns=12, rows=12))
    assert check(result.design, design).legal
