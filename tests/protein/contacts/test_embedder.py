"""The embedder of alignments: one class for pretraining and the contact network."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data

from sciml import trunks
from sciml.errors import InputError
from sciml.protein.contacts.embedder import AlignmentEmbedder
from sciml.protein.contacts.network import ContactConfig, ContactNet

TRUNK = {"dim": 16, "pair_dim": 8, "depth": 1, "heads": 2, "pair_hidden": 8}


def batch(columns: int = 7) -> Data:
    torch.manual_seed(1)
    mask = torch.ones(2, columns, dtype=torch.bool)
    mask[1, 4:] = False
    return Data(x=torch.rand(2, columns, 26), pair=torch.rand(2, columns, columns, 25), mask=mask)


@pytest.mark.parametrize("convolutions", [None, 0, 2])
def test_a_contact_network_embeds_at_first_what_was_pretrained(convolutions: int | None) -> None:
    torch.manual_seed(0)
    pretrained = AlignmentEmbedder(16, 8, convolutions)
    net = AlignmentEmbedder(16, 8, 3, maskable=False)
    data = batch()
    real = data.mask[:, :, None] & data.mask[:, None]
    before = net(data).pair[real]
    net.take(pretrained)
    assert torch.equal(net(data).x, pretrained(data).x)
    assert torch.equal(net(data).pair[real], pretrained(data).pair[real])
    assert not torch.allclose(before, pretrained(data).pair[real])  # the negative control
    pair: torch.Tensor = net(data).pair
    pair.square().sum().backward()
    gradients = [block.get_parameter("conv.weight").grad for block in net.blocks]
    assert all(g is not None and g.abs().sum() > 0 for g in gradients)  # all of them can learn


def test_what_a_contact_network_cannot_begin_with_is_refused() -> None:
    config = ContactConfig(convolutions=1)
    for name, settings, message in (
        ("pair_transformer", {"pair_update": "none"}, "does not update any"),
        ("pair_transformer", {"pair_update": "outer", "pair_dim": 4}, "`pair_dim` must be >= 8"),
        ("message_passing", {}, "message_passing"),
    ):
        known = TRUNK if name == "pair_transformer" else {"dim": 16, "pair_dim": 8}
        trunk = trunks.build(name, **{**known, **settings})
        with pytest.raises(InputError, match=message):
            ContactNet.on(trunk, AlignmentEmbedder(16, trunk.pair_dim), config)
    trunk = trunks.build("pair_transformer", **TRUNK, pair_update="triangle")
    with pytest.raises(InputError, match="has 2 convolutions, this one 1"):
        ContactNet.on(trunk, AlignmentEmbedder(16, 8, 2), config)
    net = ContactNet.on(trunk, AlignmentEmbedder(16, 8), config)
    assert net.config.trunk == trunk.config and net.config.pair_dim == 8
