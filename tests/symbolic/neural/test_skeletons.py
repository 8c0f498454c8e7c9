"""The set encoder: any order of points, skeletons that parse, learning, and use in the search."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sciml.errors import InputError
from sciml.symbolic import SymbolicRegressor
from sciml.symbolic.neural import skeletons as sk
from sciml.symbolic.regression.formula import evaluate, node_count


def small() -> sk.SkeletonModel:
    torch.manual_seed(0)
    return sk.SkeletonModel(sk.SkeletonConfig(dim=32, depth=1, decoder_layers=1, points=16))


def test_there_and_back() -> None:
    rng = np.random.default_rng(1)
    X = rng.uniform(0.5, 2, (20, 3))
    for _ in range(40):
        made = sk.random_tree(rng, int(rng.integers(0, 6)), 3)
        back = sk.tree(sk.ids(made))
        assert node_count(back) == node_count(made) and sk.ids(back) == sk.ids(made)
    other = ("add", ("mul", ("x", 1), ("x", 0)), ("sin", ("x", 2)))
    with np.errstate(all="ignore"):
        assert np.allclose(evaluate(other, X), evaluate(sk.tree(sk.ids(other)), X))


def test_examples_belong_to_their_formula_and_repeat() -> None:
    config = sk.SkeletonConfig(points=16)
    for k in range(10):
        values, columns, target = sk.example(k, config)
        assert values.shape == (16, columns + 1) and np.isfinite(values).all()
        again = sk.example(k, config)
        assert np.array_equal(values, again[0]) and target == again[2]


def test_the_order_of_points_does_not_matter() -> None:
    model = small().eval()
    batch = sk.collate([sk.Examples(model.config, 4, 0)[i] for i in range(4)])
    order = torch.randperm(16)
    nodes_a = model.encode(batch.points, batch.used).nodes
    nodes_b = model.encode(batch.points[:, order], batch.used).nodes
    assert torch.allclose(nodes_a[:, order], nodes_b, atol=1e-5)
    losses = [
        model(b)["loss"].item() for b in (batch, batch._replace(points=batch.points[:, order]))
    ]
    assert abs(losses[0] - losses[1]) < 1e-5


def test_every_skeleton_can_be_evaluated() -> None:
    model = small()
    X = np.random.default_rng(0).uniform(1, 2, (30, 2))
    skeletons = model.propose(X, X[:, 0] * X[:, 1], beam=6)
    assert skeletons
    for tree in skeletons:
        assert evaluate(tree, X).shape == (30,)
        assert "('x', 2)" not in str(tree)
    assert model.propose(np.ones((9, 4)), np.arange(9.0)) == []


def test_it_learns_and_starts_the_search(tmp_path: Path) -> None:
    model = small()
    x = np.linspace(0.1, 3, 40)[:, None]
    y = np.sin(2.5 * x[:, 0]) * x[:, 0]
    formula = ("mul", ("x", 0), ("sin", ("mul", ("c", 2.5), ("x", 0))))
    points = sk.standardised(x, y, 16)
    batch = sk.collate([(points, 1, [*sk.ids(formula), sk.INDEX["<end>"]])] * 2)
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(60):
        optimiser.zero_grad()
        loss = model(batch)["loss"]
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.1
    again = sk.SkeletonModel.from_pretrained(model.save(tmp_path / "m"))
    first = again.propose(x, y, beam=2)[0]
    assert sk.ids(first) == sk.ids(formula)
    fitted = SymbolicRegressor(cpu_seconds=20, population=10, proposals=lambda X, v: [first]).fit(
        x, y
    )
    assert fitted.score(x, y) > 1 - 1e-9  # the constant was fitted
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError):
        sk.SkeletonModel.from_pretrained(tmp_path / "bad.safetensors")
