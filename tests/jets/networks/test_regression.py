"""Mass regression: the losses, the order of quantiles, saving and tagging."""

import numpy as np
import pytest
import torch

from sciml import trunks
from sciml.errors import InputError
from sciml.jets import JetMassRegressor, JetTagger
from sciml.jets.deployment.onnx import example
from sciml.jets.networks import regression
from sciml.jets.networks.classifier import TrunkNetwork
from sciml.jets.networks.embedder import JetEmbedder, raw_batch
from sciml.trunks.base import Encoded

LEVELS = (0.16, 0.5, 0.84)


@pytest.fixture
def objective():
    torch.manual_seed(0)
    trunk = trunks.build("pair_transformer", dim=16, depth=1, heads=2, pair_dim=4)
    return regression.MassRegression(trunk, JetEmbedder(16, 4), LEVELS)


def test_quantiles_are_learned(objective):
    """With the trunk frozen to a constant, the head must find the quantiles of the masses."""
    torch.manual_seed(0)
    batch = raw_batch(example(1, 4))
    truth = 100 * torch.exp(0.3 * torch.randn(4000))
    levels = torch.tensor(LEVELS)
    head = torch.zeros(1, 4, requires_grad=True)
    optimiser = torch.optim.Adam([head], 0.03)
    objective.head = torch.nn.Identity()

    class Constant(torch.nn.Module):
        def forward(self, _):
            return Encoded(nodes=head, graph=head.expand(len(truth), -1))

    objective.trunk = Constant()
    batch.y = truth
    for _ in range(200):
        optimiser.zero_grad()
        objective(batch)["loss"].backward()
        optimiser.step()
    masses = regression.masses(head.detach())[0]
    expected = torch.quantile(truth, levels)
    torch.testing.assert_close(masses[1:], expected, rtol=0.02, atol=0)
    assert masses[0].item() == pytest.approx(100, rel=0.05)


def test_answers_are_masses_with_ascending_quantiles(objective, tmp_path):
    network = TrunkNetwork(objective.embedder, objective.trunk, objective.head)
    torch.nn.init.normal_(network.head.get_parameter("weight"), std=2.0)
    regressor = JetMassRegressor(network, regression.names(LEVELS)).eval()
    assert regressor.outputs == ("mass", "mass_16", "mass_50", "mass_84")
    jets = example(20, 10, ragged=True)
    values = regressor.predict(jets)
    assert values.shape == values.masses.shape == (20, 4) and values.names == regressor.outputs
    assert (values > 0).all() and (np.diff(values[:, 1:]) >= 0).all()
    path = regressor.save(tmp_path / "mass.safetensors")
    with pytest.raises(InputError, match=r"JetMassRegressor\.from_pretrained"):
        JetTagger.from_pretrained(path)
    again = JetMassRegressor.from_pretrained(path)
    assert again.names == regressor.names
    np.testing.assert_allclose(again.predict(jets), values)
    with pytest.raises(InputError, match="masses"):
        again.to_onnx(tmp_path / "mass.onnx")


def test_quality():
    truth = np.linspace(50, 150, 1001)
    predicted = np.stack([1.1 * truth, truth - 1, truth, truth + 1], 1)
    quality = regression.quality(predicted, truth, LEVELS)
    assert quality["bias"] == pytest.approx(0.1) and quality["resolution"] == pytest.approx(0)
    assert (quality["coverage_16"], quality["coverage_50"], quality["coverage_84"]) == (0, 1, 1)


@pytest.mark.parametrize("levels", [(), (0.5, 0.2), (0.0, 0.5), (0.5, 1.0)])
def test_bad_quantiles(objective, levels):
    with pytest.raises(InputError, match="quantiles"):
        regression.MassRegression(objective.trunk, objective.embedder, levels)
