"""The annealer: legal, reproducible, resumable, never worse than its start, and really better."""

import numpy as np
import pytest

from sciml.errors import InputError
from sciml.placement.classical.annealing import Annealer, AnnealingConfig, zero_start
from sciml.placement.cost.proxy import Evaluator
from sciml.placement.generate import NetlistConfig, netlist
from sciml.placement.legality import check
from sciml.placement.placer import place


@pytest.fixture(scope="module")
def design():
    return netlist(NetlistConfig(macros=12, clusters=40, ports=16, fixed=0.25), 5)


def test_place_is_legal_better_and_reproducible(design):
    one = place(design, max_moves=40_000, seed=3)
    two = place(design, max_moves=40_000, seed=3)
    other = place(design, max_moves=40_000, seed=4)
    assert one.scores["legal"] and other.scores["legal"]
    assert np.array_equal(one.design.x, two.design.x) and one.scores["proxy"] == two.scores["proxy"]
    assert not np.array_equal(one.design.x, other.design.x)
    start = Evaluator(zero_start(design, 3 * 1009)).terms()[3]
    assert one.scores["proxy"] < 0.85 * start
    exact = Evaluator(one.design).terms()[3]
    assert exact == one.scores["proxy"] and abs(exact - one.history[-1]["best"]) < 1e-9
    longer = place(design, max_moves=400_000, seed=3)
    assert longer.scores["proxy"] < one.scores["proxy"]


def test_fixed_nodes_never_move(design):
    placed = place(design, max_moves=20_000).design
    fixed = design.fixed
    assert np.array_equal(placed.x[fixed], design.x[fixed])
    assert np.array_equal(placed.y[fixed], design.y[fixed])
    assert check(placed, design).moved == 0
    placed.x[np.flatnonzero(fixed)[0]] += 1
    assert check(placed, design).moved == 1


def test_given_places_are_forgotten_by_a_zero_start(design):
    scrambled = design.copy()
    free = ~design.fixed
    scrambled.x[free], scrambled.y[free] = 1.0, 2.0
    one, two = zero_start(design, 7), zero_start(scrambled, 7)
    assert np.array_equal(one.x, two.x) and np.array_equal(one.y, two.y)


def test_resume_is_bitwise(design):
    config = AnnealingConfig(chains=2, stages=6)
    start = zero_start(design, 0)

    def make():
        return Annealer(start, config, seed=1, max_moves=30_000)

    whole = make()
    whole.run()
    half = make()

    state = {}

    def stop(row):
        state.update(half.state())
        if half.stage == 3:
            raise KeyboardInterrupt

    half.run(stop)
    assert half.stage == 3
    again = make()
    again.restore(state)
    again.run()
    assert again.stage == 6
    assert np.array_equal(again.best.result().x, whole.best.result().x)
    assert again.best.best == whole.best.best
    assert [row["proxy"] for row in again.history] == [row["proxy"] for row in whole.history]
    with pytest.raises(InputError, match="another seed"):
        Annealer(start, config, seed=2, max_moves=30_000).restore(state)


def test_interrupted_search_keeps_a_legal_best(design):
    annealer = Annealer(zero_start(design, 0), seed=0, max_moves=30_000)

    def stop(row):
        raise KeyboardInterrupt

    best = annealer.run(stop)
    assert check(best.result(), design).legal
    assert np.isfinite(best.best)


def test_centred_macros_sit_at_cell_centres():
    """With macros that fit into cells the centred moves keep them at centres."""
    design = netlist(NetlistConfig(macros=4, clusters=20, ports=8, utilisation=0.2), 2)
    placed = place(design, max_moves=30_000, config=AnnealingConfig(centred=True)).design
    p = Evaluator(design).problem
    step = placed.x[:4] / p.cell_width - 0.5, placed.y[:4] / p.cell_height - 0.5
    assert np.allclose(step, np.round(step), atol=1e-9)
    assert check(placed).legal


@pytest.mark.slow
def test_ariane_in_ten_seconds_beats_the_published_annealers(clustered):
    placed = place(clustered, cpu_seconds=10.0, seed=0)
    assert placed.scores["legal"]
    assert placed.scores["proxy"] < 0.66  # TILOS's annealer: .682 after 148 s
