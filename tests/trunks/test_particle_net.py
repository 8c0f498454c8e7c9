"""ParticleNet: the authors' checkpoints give the authors' logits."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch_geometric.data import Data

from sciml import trunks
from sciml.errors import InputError
from sciml.testing import assert_sensitive, batch_for, check_trunk
from sciml.trunks.particle_net import EdgeConv, ParticleNet, ParticleNetConfig, from_weaver


@pytest.mark.parametrize(("name", "tolerance"), [("full", 1e-4), ("kinpid", 1e-4), ("kin", 1e-4)])
def test_official_checkpoints(shared: Path, name: str, tolerance: float) -> None:
    reference = np.load(shared / "data/jets/ref_particlenet_200.npz")
    columns = np.arange(17) if name == "full" else reference[f"features_{name}_idx"]
    path = shared / f"data/jets/ParticleNet_{name}.pt"
    weights, head = from_weaver(torch.load(path, weights_only=True, map_location="cpu"))
    config = ParticleNetConfig(
        dim=256, in_dim=len(columns), channels=(64, 128, 256), coordinates="node_points"
    )
    trunk = ParticleNet(config).eval()
    trunk.load_state_dict(weights)
    rows = slice(0, 200, 8)  # 25 jets
    mask = torch.from_numpy(reference["mask"][rows, 0]) > 0
    longest = int(mask.sum(1).max())
    batch = Data(
        x=torch.from_numpy(reference["features"][rows][:, columns]).mT[:, :longest],
        node_points=torch.from_numpy(reference["points"][rows]).mT[:, :longest],
        mask=mask[:, :longest],
    )
    with torch.no_grad():
        hidden = F.relu(F.linear(trunk(batch).graph, head["fc.0.0.weight"], head["fc.0.0.bias"]))
        logits = F.linear(hidden, head["fc.1.weight"], head["fc.1.bias"])
    expected = torch.from_numpy(reference[f"logits_{name}"][rows])
    assert (logits - expected).abs().max() < tolerance


def test_block_equals_the_formula_over_edges() -> None:
    torch.manual_seed(0)
    block = EdgeConv(5, 7, 3).double().eval()
    x, neighbours = torch.randn(2, 6, 5).double(), torch.randint(0, 6, (2, 6, 4))
    expected = torch.zeros(2, 6, 7, dtype=torch.float64)
    for b in range(2):
        for i in range(6):
            total = torch.zeros(7, dtype=torch.float64)
            for j in neighbours[b, i].tolist():
                edge = torch.cat([x[b, i], x[b, j] - x[b, i]])[None]
                for conv, norm in zip(block.convs, block.norms):
                    edge = F.relu(norm(conv(edge)))
                total += edge[0]
            shortcut = block.shortcut_norm(block.shortcut(x[b, i])[None])[0]
            expected[b, i] = F.relu(total / 4 + shortcut)
    torch.testing.assert_close(block(x, neighbours), expected)


def test_promises_of_a_trunk() -> None:
    torch.manual_seed(0)
    trunk = trunks.build("particle_net", dim=16, k=4).double()
    for module in trunk.modules():  # away from the kink of ReLU at exactly zero
        if isinstance(module, torch.nn.BatchNorm1d):
            torch.nn.init.normal_(module.bias, std=0.3)
            torch.nn.init.normal_(module.running_mean, std=0.3)
    check_trunk(trunk, verbose=False)
    assert_sensitive(trunk, ("x", "pos"), batch_for(trunk), verbose=False)


def test_fewer_columns_than_neighbours_changes_nothing() -> None:
    torch.manual_seed(0)
    trunk = trunks.build("particle_net", dim=16, k=16).eval()
    batch = batch_for(trunk, sizes=(5, 3))
    wide = Data(**{key: F.pad(batch[key], (0, 0, 0, 30)) for key in ("x", "pos")})
    wide.mask = F.pad(batch.mask, (0, 30))
    torch.testing.assert_close(trunk(batch).graph, trunk(wide).graph)


def test_bad_settings_say_what() -> None:
    with pytest.raises(InputError, match="last of `channels`"):
        trunks.build("particle_net", dim=16, channels=(8, 8))
    trunk = trunks.build("particle_net", dim=16, coordinates="node_points")
    with pytest.raises(InputError, match="node_points"):
        trunk(batch_for(trunk))
