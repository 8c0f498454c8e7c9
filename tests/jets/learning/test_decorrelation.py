"""DisCo: the distance correlation against its definition, and what it does to a tagger."""

import math

import pytest
import torch

from sciml import trunks
from sciml.jets.deployment.onnx import example
from sciml.jets.learning.decorrelation import Decorrelated, distance_correlation, invariant_mass
from sciml.jets.networks.embedder import JetEmbedder, raw_batch
from sciml.objectives.base import changed
from sciml.objectives.supervised import Supervised, SupervisedConfig


def brute_force(x: list[float], y: list[float]) -> float:
    """Squared distance correlation, sum by sum (Szekely, Rizzo & Bakirov 2007, definition 4)."""
    n = len(x)

    def centred(z):
        d = [[abs(a - b) for b in z] for a in z]
        row = [sum(r) / n for r in d]
        mean = sum(row) / n
        return [[d[i][j] - row[i] - row[j] + mean for j in range(n)] for i in range(n)]

    a, b = centred(x), centred(y)

    def covariance(u, v):
        return sum(u[i][j] * v[i][j] for i in range(n) for j in range(n)) / n**2

    return covariance(a, b) / math.sqrt(covariance(a, a) * covariance(b, b))


def test_distance_correlation_equals_its_definition():
    torch.manual_seed(0)
    x = torch.randn(17, dtype=torch.float64)
    for y in (torch.randn(17, dtype=torch.float64), x**2, 3 - 2 * x):
        correlation = distance_correlation(x, y)
        assert correlation.item() == pytest.approx(brute_force(x.tolist(), y.tolist()), abs=1e-12)
    assert distance_correlation(x, 5 * x - 1).item() == pytest.approx(1)
    assert distance_correlation(x, torch.ones_like(x)).item() == 0


def test_it_sees_what_a_linear_correlation_does_not_and_vanishes_for_independent_numbers():
    torch.manual_seed(0)
    x = torch.randn(2000)
    assert abs(torch.corrcoef(torch.stack([x, x.square()]))[0, 1]) < 0.1
    assert distance_correlation(x, x.square()) > 0.2
    assert distance_correlation(x, torch.randn(2000)) < 0.01


def test_gradient_is_right():
    torch.manual_seed(0)
    x = torch.randn(6, dtype=torch.float64, requires_grad=True)
    y = torch.randn(6, dtype=torch.float64)
    assert torch.autograd.gradcheck(distance_correlation, (x, y))


def test_jet_mass_is_that_of_the_sum():
    jets = example(3, 20, seed=1, ragged=True)
    total = (jets.particles[..., :4].double() * jets.mask[..., None]).sum(1)
    expected = (total[:, 3] ** 2 - (total[:, :3] ** 2).sum(1)).clamp(min=0).sqrt()
    torch.testing.assert_close(
        invariant_mass(raw_batch(jets)).double(), expected, rtol=1e-5, atol=1e-4
    )


def test_training_lowers_the_correlation_of_background_score_and_mass():
    torch.manual_seed(0)
    trunk = trunks.build("pair_transformer", dim=16, depth=1, heads=2, pair_dim=4)
    embedder = JetEmbedder(16, 4)
    jets = example(40, 8, seed=2)
    batch = raw_batch(jets, torch.arange(40) % 2)
    strong = Decorrelated(trunk, embedder, SupervisedConfig(), background=0, strength=20.0)
    optimiser = torch.optim.Adam(strong.parameters(), 3e-3)
    history = []
    for _ in range(20):
        losses = strong(batch)
        optimiser.zero_grad()
        losses["loss"].backward()
        optimiser.step()
        history.append(float(losses["disco"]))
    assert min(history[-5:]) < 0.5 * history[0]


def test_without_strength_it_is_the_plain_loss():
    torch.manual_seed(0)
    trunk = trunks.build("pair_transformer", dim=16, depth=1, heads=2, pair_dim=4).eval()
    plain = Supervised(trunk, JetEmbedder(16, 4), SupervisedConfig()).eval()
    none = Decorrelated(trunk, plain.embedder, SupervisedConfig(), background=0, strength=0.0)
    none.head = plain.head
    batch = raw_batch(example(8, 12), torch.arange(8) % 2)
    torch.testing.assert_close(none.eval()(batch)["loss"], plain(batch)["loss"])


def test_training_sees_views_and_the_true_mass():
    """The augmentation is between the jets and the network alone, and in training alone."""
    torch.manual_seed(0)
    trunk = trunks.build("pair_transformer", dim=16, depth=1, heads=2, pair_dim=4)
    seen = []

    def stretched(batch):
        seen.append(batch)
        return changed(batch, x=batch.x * torch.linspace(0.1, 3, 40)[:, None, None])

    model = Decorrelated(
        trunk, JetEmbedder(16, 4), SupervisedConfig(), background=0, strength=1.0, augment=stretched
    )
    batch = raw_batch(example(40, 8), torch.arange(40) % 2)
    losses = model.train()(batch)
    assert len(seen) == 1
    background = batch.y == 0
    score = model.predict(stretched(batch))[background].softmax(-1)[:, 0]
    expected, wrong = (
        distance_correlation(score, invariant_mass(of)[background])
        for of in (batch, stretched(batch))
    )
    torch.testing.assert_close(losses["disco"], expected.detach())
    assert (expected - wrong).abs() > 1e-3
    count = len(seen)
    model.eval()(batch)
    assert len(seen) == count


def test_soft_labels_count_as_their_likeliest_class():
    torch.manual_seed(0)
    trunk = trunks.build("pair_transformer", dim=16, depth=1, heads=2, pair_dim=4).eval()
    model = Decorrelated(trunk, JetEmbedder(16, 4), SupervisedConfig(), background=0, strength=5.0)
    jets, labels = example(40, 8), torch.arange(40) % 2
    hard = model.eval()(raw_batch(jets, labels))
    certain = torch.nn.functional.one_hot(labels, 2).float()
    soft = model(raw_batch(jets, certain))
    torch.testing.assert_close(soft["loss"], hard["loss"])
    unsure = model(raw_batch(jets, 0.6 * certain + 0.2))
    assert hard["disco"] > 0 and torch.equal(unsure["disco"], hard["disco"])
