"""The embedder: what trunks see, what a hidden particle must not show, symmetries."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml import objectives, trunks
from sciml.graph import select
from sciml.jets.data.columns import COLUMNS
from sciml.jets.data.features import Jets
from sciml.jets.learning.views import augment
from sciml.jets.networks.embedder import JetEmbedder, collate, plane_pairs, raw_batch


def toy_jets(lengths=(7, 4, 1), seed=0):
    """Padded jets with all columns filled."""
    random = torch.Generator().manual_seed(seed)
    n = max(lengths)
    shape = (len(lengths), n)
    mask = torch.arange(n) < torch.tensor(lengths)[:, None]

    def normal(width=0.2):
        return torch.randn(shape, generator=random) * width

    pt = torch.rand(shape, generator=random) * 50 + 1
    eta, phi = normal() + 0.7, normal() + 3.0
    x = torch.zeros(*shape, len(COLUMNS))
    x[..., 0], x[..., 1], x[..., 2] = pt * phi.cos(), pt * phi.sin(), pt * eta.sinh()
    x[..., 3] = (pt.square() * eta.cosh().square() + 0.02).sqrt()
    x[..., 4], x[..., 5] = eta - 0.7, phi - 3.0
    x[..., 6:10] = torch.rand(*shape, 4, generator=random) * 0.1
    kind = torch.randint(0, 5, shape, generator=random)
    x[..., 11:16] = torch.nn.functional.one_hot(kind, 5).float()
    x[..., 10] = (kind == 0).float()
    x = x * mask[..., None]
    jets = torch.stack([x[..., 0].sum(1).hypot(x[..., 1].sum(1)), x[..., 3].sum(1)], 1)
    zeros = torch.zeros(len(lengths), dtype=torch.int64)
    return Jets(x, jets, mask, zeros, zeros)


@pytest.mark.parametrize("features", ["full", "kinpid", "kin"])
@pytest.mark.parametrize("pair_dim", [0, 4, 7])
def test_shapes(features, pair_dim):
    embedder = JetEmbedder(12, pair_dim, features)
    out = embedder(raw_batch(toy_jets()))
    assert out.x.shape == (3, 7, 12) and out.pos.shape == (3, 7, 4)
    assert (out.pair.shape if pair_dim else None) == ((3, 7, 7, pair_dim) if pair_dim else None)
    sizes = embedder.target_sizes()
    targets = embedder.targets(raw_batch(toy_jets()))
    assert targets["content"].shape[-1] == sizes["content"] and set(targets) == set(sizes)


def test_hidden_particles_leave_no_trace():
    """Changing anything but the direction of a hidden particle changes nothing at all."""
    embedder = JetEmbedder(12, 4)
    jets = toy_jets()
    batch = raw_batch(jets)
    hidden = torch.zeros(3, 7, dtype=torch.bool)
    hidden[0, 2] = hidden[0, 5] = hidden[1, 0] = True
    changed = jets.particles.clone()
    changed[..., [0, 1, 2, 3, *range(6, 16)]] = torch.where(
        hidden[..., None], torch.rand(3, 7, 14) * 30, changed[..., [0, 1, 2, 3, *range(6, 16)]]
    )
    other = raw_batch(Jets(changed, jets.jets, jets.mask, jets.flags, jets.cut))
    first, second = embedder(batch, hidden), embedder(other, hidden)
    for key in ("x", "pair", "pos", "node_points"):
        assert torch.equal(first[key], second[key]), key
    shown = embedder(batch)
    assert torch.equal(first.x[2], shown.x[2]) and not torch.equal(first.x[0, 2], shown.x[0, 2])


def test_gradient_of_hidden_content_is_zero():
    embedder, jets = JetEmbedder(12, 4), toy_jets()
    x = jets.particles.clone().requires_grad_()
    batch = raw_batch(Jets(x, jets.jets, jets.mask, jets.flags, jets.cut))
    hidden = torch.zeros(3, 7, dtype=torch.bool)
    hidden[0, 2] = True
    out = embedder(batch, hidden)
    (out.x.sum() + out.pair.sum() + out.pos.sum()).backward()
    assert (x.grad[0, 2, :4] == 0).all() and (x.grad[0, 2, 6:] == 0).all()
    assert (x.grad[0, 3, :4] != 0).any() and x.grad.isfinite().all()


def test_pairs_by_hand():
    pt = torch.tensor([[10.0, 40.0]])
    angles = torch.tensor([[[0.0, 3.1], [0.3, -3.1]]])
    dphi = 2 * math.pi - 6.2
    dr = math.hypot(0.3, dphi)
    mass2 = 2 * 400 * (math.cosh(0.3) - math.cos(dphi))
    from sciml.jets.networks.embedder import PAIR_MEAN, PAIR_SCALE

    expected = [math.log(10 * dr), math.log(0.2), math.log(dr), math.log(mass2)]
    pair = plane_pairs(pt, angles)[0, 0, 1] * torch.tensor(PAIR_SCALE) + torch.tensor(PAIR_MEAN)
    assert torch.allclose(pair, torch.tensor(expected), atol=1e-5)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_pairs_are_symmetric_and_finite(seed):
    jets = toy_jets((9, 3), seed)
    pairs = JetEmbedder(8, 4)(raw_batch(jets)).pair
    # Equal up to the rounding of vectorised logarithms.
    assert torch.allclose(pairs, pairs.transpose(1, 2), atol=1e-5, rtol=0)
    assert pairs.isfinite().all()


def test_displaced_by_nothing_is_the_same_jet():
    embedder, batch = JetEmbedder(8), raw_batch(toy_jets())
    again = embedder.displaced(batch, embedder.coordinates(batch))
    assert torch.allclose(again.x, batch.x, atol=1e-3)


def test_displaced_moves_momenta_and_angles_alike():
    embedder, batch = JetEmbedder(8), raw_batch(toy_jets())
    moved = embedder.displaced(batch, embedder.coordinates(batch) + 0.05)
    eta, phi = (torch.asinh(b.x[..., 2] / b.x[..., :2].norm(dim=-1)) for b in (moved, batch)), None
    new, old = eta
    assert phi is None and torch.allclose((new - old)[batch.mask], torch.tensor(0.05), atol=1e-4)
    assert torch.allclose(moved.x[..., :2].norm(dim=-1), batch.x[..., :2].norm(dim=-1), atol=1e-4)


def test_collate_pads_what_single_jets_hold():
    jets = toy_jets()
    items = [
        {"x": x[m], "jet": j, "y": torch.tensor(i)}
        for i, (x, m, j) in enumerate(zip(jets.particles, jets.mask, jets.jets, strict=True))
    ]
    batch = collate(items)
    assert torch.equal(batch.x, jets.particles) and batch.y.tolist() == [0, 1, 2]


TRUNKS = [
    {"name": "pair_transformer", "dim": 16, "depth": 1, "heads": 2, "pair_dim": 4},
    {"name": "lorentz", "dim": 16, "depth": 1},
    {"name": "particle_net", "dim": 16, "k": 3, "coordinates": "node_points"},
    {"name": "message_passing", "dim": 16, "depth": 1, "pair_dim": 4},
]


@pytest.mark.parametrize("settings_", TRUNKS, ids=lambda t: t["name"])
@pytest.mark.parametrize("objective", ["masked", "simclr", "jepa"])
def test_any_trunk_learns_from_jets_by_any_objective(settings_, objective):
    name = settings_["name"]
    if name not in trunks.names():
        pytest.fail(f"no trunk {name}")
    known = {f for f in trunks.find(name).Config.__dataclass_fields__}
    trunk = trunks.build({k: v for k, v in settings_.items() if k == "name" or k in known})
    embedder = JetEmbedder(trunk.dim, trunk.pair_dim)
    module = objectives.build(objective)(trunk, embedder, augment=augment)
    loss = module(raw_batch(toy_jets((7, 4, 5, 6))))["loss"]
    loss.backward()
    assert loss.isfinite()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in trunk.parameters())


def test_padding_and_company_do_not_matter():
    trunk = trunks.build("pair_transformer", dim=16, depth=2, heads=2, pair_dim=4).eval()
    embedder = JetEmbedder(16, 4).eval()
    batch = raw_batch(toy_jets((7, 4, 6)))
    whole = trunk(embedder(batch)).graph
    for i in range(3):
        alone = trunk(embedder(select(batch, [i]))).graph
        assert torch.allclose(whole[i], alone[0], atol=1e-5)
