"""Mixed precision: matrix products in bfloat16, positions and four-momenta in single precision."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from sciml import testing, trunks

SETTINGS: dict[str, dict[str, Any]] = {
    "equivariant": {"irreps": "8x0e+4x1o", "depth": 1},
    "lorentz": {"depth": 1},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_geometry_stays_in_single_precision_under_autocast(name):
    torch.manual_seed(0)
    trunk = trunks.build({"name": name, **SETTINGS[name]}, dim=16).eval()
    batch = testing.batch_for(trunk, trunk.layout or "dense")
    with torch.no_grad():
        expected = trunk(batch)
        with torch.autocast("cpu", torch.bfloat16):
            answer = trunk(batch)
            product = batch.x @ batch.x.mT
    assert product.dtype == torch.bfloat16  # autocast was on
    if name == "lorentz":  # an equivariant trunk's vectors are features
        assert answer.vectors.dtype == torch.float32
    error = (answer.vectors - expected.vectors).abs().max() / expected.vectors.abs().max()
    assert 0 < error < 0.05  # the network's own half precision is seen, no more than that
