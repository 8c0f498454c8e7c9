"""`place` refuses what a method cannot honour, and goes on after an interruption."""

import itertools
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest
import torch

from sciml.errors import InputError
from sciml.placement import check, placer
from sciml.placement.classical.annealing import AnnealingConfig
from sciml.placement.classical.electrostatic_start import electrostatic_start, pays
from sciml.placement.constraints import Constraints
from sciml.placement.design import MACRO, PORT
from sciml.placement.generate import NetlistConfig, netlist, standard_cells
from sciml.placement.learning.policy import GridPolicy, PolicyConfig
from sciml.placement.placer import HONOURED
from sciml.trunks.message_passing import MessagePassingConfig

place: Any = placer.place  # also with arguments that no type allows
TRUNK = MessagePassingConfig(dim=16, pair_dim=4, depth=1, heads=2, hypergraph=True, kinds=2)


@pytest.fixture(scope="module")
def macros():
    return netlist(NetlistConfig(macros=5, clusters=10, ports=6, nets_per_node=4), 0)


@pytest.fixture(scope="module")
def cells():
    return standard_cells(120, seed=3)


@pytest.fixture(scope="module")
def policy_file(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("policy") / "policy.safetensors"
    return GridPolicy(PolicyConfig(trunk=TRUNK, channels=8)).save(path)


def arguments(method, policy_file):
    """What makes a method run at all."""
    needed = {"policy": {"policy": policy_file}, "electrostatic": {"movable": "cells"}}
    return {"method": method, **needed.get(method, {})}


@pytest.mark.parametrize(
    "name, value, proposal",
    [
        ("method", "serach", "'search'"),
        ("method", "annealing", "Choose from"),
        ("start", "zeros", "'zero'"),
        ("movable", "macro", "'macros'"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest_choice(macros, name, value, proposal):
    with pytest.raises(InputError, match=rf"unknown `{name}` '{value}'.*{proposal}"):
        place(macros, max_moves=10, **{name: value})


OPTIONAL = {
    "cpu_seconds": 0.05,
    "max_moves": 200,
    "config": AnnealingConfig(stages=2),
    "start": "file",
    "policy": None,
}


def test_every_argument_is_honoured_or_refused(macros, cells, policy_file):
    """All methods with all sets of arguments that not every method takes."""
    refused = accepted = 0
    for method in HONOURED:
        design = cells if method == "electrostatic" else macros
        for count in range(len(OPTIONAL) + 1):
            for names in itertools.combinations(OPTIONAL, count):
                given = {n: policy_file if n == "policy" else OPTIONAL[n] for n in names}
                given = {"method": method, **given}
                if method == "electrostatic":
                    given["movable"] = "cells"
                region_keep_out = set(names) - HONOURED[method]
                two_budgets = {"cpu_seconds", "max_moves"} <= set(names)
                lacks_policy = method == "policy" and "policy" not in names
                if region_keep_out or two_budgets or lacks_policy:
                    with pytest.raises(InputError) as error:
                        place(design, **given)
                    assert not region_keep_out or any(
                        f"`{n}`" in str(error.value) for n in region_keep_out
                    )
                    refused += 1
                elif {"cpu_seconds", "max_moves"} & set(names):  # else it would take a minute
                    assert place(design, **given).scores["legal"]
                    accepted += 1
    assert refused > 80 and accepted == 8 + 2 + 2 + 2
    for method in ("sa", "search", "policy"):
        with pytest.raises(InputError, match="standard cells move here"):
            place(cells, **arguments(method, policy_file) | {"movable": "cells"})
    with pytest.raises(InputError, match="only macros move here"):
        place(macros, method="electrostatic")
    for name in ("cpu_seconds", "max_moves"):
        with pytest.raises(InputError, match=f"`{name}` must be > 0"):
            place(macros, **{name: 0})


class Stop:
    """A report that interrupts a search at its k-th call."""

    def __init__(self, calls):
        self.calls, self.done = calls, 0

    def __call__(self, row):
        self.done += 1
        if self.done == self.calls:
            raise KeyboardInterrupt


def same(one, two):
    assert np.array_equal(one.design.x, two.design.x)
    assert np.array_equal(one.design.y, two.design.y)
    assert np.array_equal(one.design.orientation, two.design.orientation)
    times = {"cpu_seconds"}
    assert {k: v for k, v in one.scores.items() if k not in times} == (
        {k: v for k, v in two.scores.items() if k not in times}
    )
    assert [{k: v for k, v in row.items() if k not in times} for row in one.history] == (
        [{k: v for k, v in row.items() if k not in times} for row in two.history]
    )


@pytest.mark.parametrize("method", ["sa", "search", "policy"])
def test_a_stopped_search_ends_as_if_it_had_not_been(
    method, macros, policy_file, tmp_path, monkeypatch
):
    monkeypatch.setattr("sciml.placement.saved_search.INTERVAL", 0.0)
    given = {**arguments(method, policy_file), "max_moves": 120_000, "seed": 2}
    whole = place(macros, **given)
    assert not whole.stopped
    state = tmp_path / "state.npz"
    for calls in (9, 4):  # stopped twice
        part = place(macros, **given, state=state, report=Stop(calls))
        assert part.stopped and part.scores["legal"]
    rest = place(macros, **given, state=state)
    assert not rest.stopped
    same(rest, whole)
    assert rest.scores["cpu_seconds"] > part.scores["cpu_seconds"]  # over all calls


@pytest.mark.parametrize("method", ["search", "policy"])
def test_the_search_for_a_start_resumes_too(method, macros, policy_file, tmp_path, monkeypatch):
    from sciml.placement.learning.env import PlacementEnv

    monkeypatch.setattr("sciml.placement.saved_search.INTERVAL", 0.0)
    given = {**arguments(method, policy_file), "max_moves": 400_000, "seed": 4}
    whole = place(macros, **given)
    proxy, calls = PlacementEnv.proxy, []

    def interrupted(env):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return proxy(env)

    monkeypatch.setattr(PlacementEnv, "proxy", interrupted)
    state = tmp_path / "state.npz"
    assert place(macros, **given, state=state).stopped
    assert len(calls) == 4 and state.exists()
    same(place(macros, **given, state=state), whole)


@pytest.mark.parametrize("calls", [1, 3, 5])
@pytest.mark.parametrize("movable", ["cells", "all"])
def test_electrostatic_placement_resumes(movable, calls, cells, tmp_path, monkeypatch):
    monkeypatch.setattr("sciml.placement.saved_search.INTERVAL", 0.0)
    design = cells.copy()
    if movable == "all":  # three blocks of some rows among the cells
        design.kind[:3], design.height[:3], design.width[:3] = MACRO, 24.0, 20.0
    given = {"cpu_seconds": 300, "movable": movable, "seed": 1}
    whole = place(design, **given)
    assert whole.scores["legal"] and not whole.stopped
    state = tmp_path / "state.npz"
    part = place(design, **given, state=state, report=Stop(calls))
    assert part.stopped and part.scores["legal"]
    same(place(design, **given, state=state), whole)


def test_a_state_of_another_search_is_refused(macros, policy_file, tmp_path):
    state = tmp_path / "state.npz"
    place(macros, method="sa", max_moves=2000, state=state)
    other = netlist(NetlistConfig(macros=5, clusters=10, ports=6, nets_per_node=4), 1)
    for design, given, message in (
        (macros, {"seed": 1, "max_moves": 2000}, "another seed"),
        (macros, {"max_moves": 3000}, "another max_moves"),
        (macros, {"cpu_seconds": 1.0}, "another cpu_seconds"),
        (macros, {"max_moves": 2000, "method": "search"}, "another method"),
        (macros, {"max_moves": 2000, "start": "file"}, "another start"),
        (other, {"max_moves": 2000}, "another netlist"),
    ):
        with pytest.raises(InputError, match=message):
            place(design, state=state, **{"method": "sa"} | given)
    place(macros, method="search", max_moves=2000, state=state, resume=False)  # written over
    state.write_bytes(state.read_bytes()[:200])
    with pytest.raises(InputError, match="cannot be resumed from"):
        place(macros, method="search", max_moves=2000, state=state)


def test_a_state_of_version_0_1_is_resumed(macros, tmp_path):
    given = {"max_moves": 20_000, "seed": 5}
    whole = place(macros, **given)
    state = tmp_path / "state.npz"
    assert place(macros, **given, state=state, report=Stop(6)).stopped
    with np.load(state) as data:
        new = {"settings", "cpu_seconds", "history"}
        arrays = {key: data[key] for key in data.files if key not in new}
    np.savez(state, **arrays)
    with pytest.raises(InputError, match="another method"):
        place(macros, **given, state=state, method="search")
    rest = place(macros, **given, state=state)
    assert not rest.stopped and np.array_equal(rest.design.x, whole.design.x)
    with pytest.raises(InputError, match="another budget"):
        np.savez(state, **arrays)
        place(macros, max_moves=30_000, seed=5, state=state)


def test_old_spellings_work_with_a_note(macros):
    new = place(macros, max_moves=2000, seed=1)
    with pytest.warns(DeprecationWarning, match="max_moves"):
        old = place(macros, budget=2000, by_moves=True, seed=1)
    same(old, new)
    with pytest.warns(DeprecationWarning, match="`budget` of place is now `cpu_seconds`"):
        assert place(macros, budget=0.05).scores["legal"]
    with pytest.raises(FrozenInstanceError):
        new.stopped = True
    assert (new.design.fixed == (macros.kind == PORT)).all()


def test_many_macros_and_little_time_begin_from_an_electrostatic_placement(monkeypatch):
    design = netlist(NetlistConfig(macros=60, clusters=180, ports=20), 3)
    begun = []
    real = placer.electrostatic_start

    def counted(*arguments):
        begun.append(1)
        return real(*arguments)

    monkeypatch.setattr(placer, "electrostatic_start", counted)
    short = {start: place(design, max_moves=20_000, seed=1, start=start)
             for start in ("auto", "electrostatic", "zero")}  # fmt: skip
    assert len(begun) == 2 and all(p.scores["legal"] for p in short.values())
    assert np.array_equal(short["auto"].design.x, short["electrostatic"].design.x)
    assert short["auto"].scores["proxy"] < 0.9 * short["zero"].scores["proxy"]
    moved = design.at(design.x[::-1], design.y[::-1])
    moved.x[design.fixed], moved.y[design.fixed] = design.x[design.fixed], design.y[design.fixed]
    again = place(moved, max_moves=20_000, seed=1)
    assert np.array_equal(again.design.x, short["auto"].design.x)  # no coordinate leaks in
    assert not pays(design, 60.0) and pays(design, 3.0)  # with time enough it has no use


def test_an_electrostatic_start_keeps_fixed_macros_and_halos():
    design = netlist(NetlistConfig(macros=30, clusters=60, ports=20, fixed=0.2), 5)
    rules = Constraints.none(design.nodes)
    rules.halo[design.where(MACRO)] = 0.01 * design.canvas.width
    design.constraints = rules
    start, _ = electrostatic_start(design, 0)
    assert check(start).overlaps == 0
    movable = (design.kind == MACRO) & ~design.fixed
    assert not check(start, design).involving(movable, np.zeros(design.nodes, bool))
    assert np.array_equal(start.x[design.fixed], design.x[design.fixed])
