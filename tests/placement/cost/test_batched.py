"""The batched tensor cost against the compiled one."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sciml.placement.cost.batched import BatchedProxy
from sciml.placement.cost.proxy import Evaluator


@pytest.mark.parametrize("smooth", [0, 1])
@pytest.mark.parametrize("robust", [False, True])
def test_equals_the_compiled_cost(small, smooth, robust):
    design = replace(small, grid=replace(small.grid, smooth=smooth))
    rng = np.random.default_rng(0)
    batch = []
    free = ~design.fixed
    for _ in range(12):
        moved = design.copy()
        moved.x[free] = rng.uniform(0.25, 0.75, free.sum()) * design.canvas.width
        moved.y[free] = rng.uniform(0.25, 0.75, free.sum()) * design.canvas.height
        moved.orientation[:8] = rng.integers(0, 8, 8)
        batch.append(moved)
    x, y, turned = (
        torch.from_numpy(np.stack([getattr(d, key) for d in batch]))
        for key in ("x", "y", "orientation")
    )
    found = BatchedProxy(design, robust=robust)(x, y, turned)
    evaluator = Evaluator(design, robust)
    for k, moved in enumerate(batch):
        expected = evaluator.terms(moved)
        for key, value in zip(
            ("wirelength", "density", "congestion", "proxy"), expected, strict=False
        ):
            assert found[key][k].item() == pytest.approx(value, rel=1e-10, nan_ok=True), key


def test_gradients_reach_the_places(small):
    x = torch.from_numpy(small.x)[None].clone().requires_grad_()
    y = torch.from_numpy(small.y)[None].clone()
    out = BatchedProxy(small)(x, y, torch.from_numpy(small.orientation)[None])
    (out["wirelength"] + out["density"]).sum().backward()
    assert x.grad is not None and torch.isfinite(x.grad).all()
    assert (x.grad[0, ~small.fixed] != 0).any()


def test_ariane(clustered):
    d = clustered
    args = (torch.from_numpy(v)[None] for v in (d.x, d.y, d.orientation))
    found = BatchedProxy(d)(*args)
    assert abs(found["proxy"].item() - 0.685934621679) < 1e-9
