"""ParticleNet: its formula, padding, and neighbours that nearly tie.

That the authors' checkpoints give the authors' logits is tested in tests/jets/test_weaver.py.
"""

import pytest
import torch
from torch.nn import functional as F
from torch_geometric.data import Data

from sciml import trunks
from sciml.errors import InputError
from sciml.testing import assert_sensitive, batch_for, check_trunk
from sciml.trunks.particle_net import EdgeConv


def test_block_equals_the_formula_over_edges() -> None:
    torch.manual_seed(0)
    block = EdgeConv(5, (6, 8, 7)).double().eval()
    for norm in (*block.norms, block.shortcut_norm):
        torch.nn.init.normal_(norm.running_mean, std=0.3)
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
    result = block(x, neighbours, torch.ones(2, 6, dtype=torch.bool))
    torch.testing.assert_close(result, expected)


def test_norms_in_training_see_real_nodes_only() -> None:
    """Running statistics of a padded batch are those of the same batch without padding."""
    torch.manual_seed(0)
    first = trunks.build("particle_net", dim=16, k=4).train()
    second = trunks.build("particle_net", dim=16, k=4).train()
    second.load_state_dict(first.state_dict())
    batch = batch_for(first, sizes=(9, 9))
    wide = Data(**{key: F.pad(batch[key], (0, 0, 0, 5), value=7.0) for key in ("x", "pos")})
    wide.mask = F.pad(batch.mask, (0, 5))
    torch.testing.assert_close(first(batch).graph, second(wide).graph)
    for ours, theirs in zip(first.buffers(), second.buffers()):
        torch.testing.assert_close(ours, theirs)


def test_the_order_of_nodes_does_not_matter_where_neighbours_nearly_tie() -> None:
    """Twelve points equally far from a thirteenth, up to rounding; of these, four are chosen."""
    torch.manual_seed(0)
    trunk = trunks.build("particle_net", dim=16, k=4, coordinates="").eval()
    careless = trunks.build("particle_net", dim=16, k=4, coordinates="", settle=False).eval()
    careless.load_state_dict(trunk.state_dict())
    centre = torch.randn(1, 16)
    ring = centre + 0.4 * F.normalize(torch.randn(12, 16), dim=1)
    x = torch.cat([centre, ring, 9 * torch.randn(6, 16)])
    with torch.no_grad():
        orders = [torch.randperm(len(x)) for _ in range(12)]
        batch = Data(x=torch.stack([x[o] for o in orders]), mask=torch.ones(12, len(x)).bool())
        settled, loose = trunk(batch).graph, careless(batch).graph
    assert (settled - settled[:1]).abs().max() < 2e-6
    assert (loose - loose[:1]).abs().max() > 2e-5


def test_promises_of_a_trunk() -> None:
    torch.manual_seed(0)
    trunk = trunks.build("particle_net", dim=16, k=4).double()
    for module in trunk.modules():  # away from the kink of ReLU at exactly zero
        if isinstance(module, torch.nn.BatchNorm1d):
            torch.nn.init.normal_(module.bias, std=0.3)
            assert module.running_mean is not None
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
        trunks.build("particle_net", dim=16, channels=((8,), (8,)))
    trunk = trunks.build("particle_net", dim=16, coordinates="node_points")
    with pytest.raises(InputError, match="node_points"):
        trunk(batch_for(trunk))
