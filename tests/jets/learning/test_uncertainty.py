"""Ensembles, Laplace's approximation of the last layer, and distances of features."""

import numpy as np
import pytest
import torch

from sciml.errors import InputError
from sciml.jets.learning.anomaly import Mahalanobis
from sciml.jets.learning.uncertainty import LastLayerLaplace, ensemble


def blobs(count=400, classes=3, width=4, seed=0, apart=2.0):
    """Features of normal classes, and their labels."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    centres = apart * torch.eye(classes, width)
    return centres[labels] + torch.randn(count, width, generator=random), labels


def fitted(features, labels, classes=3, decay=0.05):
    """Weights of a linear classifier with a prior of precision `decay`, by Newton's method."""
    phi = torch.cat([features, torch.ones(len(features), 1)], 1).double()
    theta = torch.zeros(classes, phi.shape[1], dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([theta], max_iter=500, line_search_fn="strong_wolfe",
                               tolerance_grad=1e-10, tolerance_change=1e-14)  # fmt: skip

    def loss():
        solver.zero_grad()
        value = torch.nn.functional.cross_entropy(phi @ theta.T, labels, reduction="sum")
        value = value + 0.5 * decay * theta.square().sum()
        value.backward()
        return value

    solver.step(loss)
    return theta.detach()


def test_members_that_agree_have_no_spread_however_unsure():
    same = np.tile([[[0.5, 0.5], [0.9, 0.1]]], (3, 1, 1))
    mean, spread = ensemble(same)
    assert np.allclose(mean, same[0]) and np.allclose(spread, 0)
    mean, spread = ensemble(np.array([[[1.0, 0.0]], [[0.0, 1.0]]]))
    assert np.allclose(mean, 0.5) and np.allclose(spread, np.log(2))
    with pytest.raises(InputError, match="members >= 2"):
        ensemble(same[:1])


def test_the_posterior_is_the_inverse_of_the_loss_curvature():
    features, labels = blobs(60)
    theta = fitted(features, labels)
    laplace = LastLayerLaplace.fit(features, labels, theta[:, :-1], theta[:, -1], precision=0.05)
    phi = torch.cat([features, torch.ones(60, 1)], 1).double()

    def loss(flat):
        value = torch.nn.functional.cross_entropy(phi @ flat.view(3, -1).T, labels, reduction="sum")
        return value + 0.5 * 0.05 * flat.square().sum()

    curvature = torch.autograd.functional.hessian(loss, theta.flatten())
    covariance = laplace.covariance.transpose(1, 2).reshape(15, 15)
    assert torch.allclose(covariance @ curvature, torch.eye(15, dtype=torch.float64), atol=1e-8)


def test_members_are_draws_of_the_posterior_and_disagree_far_from_the_data():
    features, labels = blobs(300)
    theta = fitted(features, labels)
    laplace = LastLayerLaplace.fit(features, labels, theta[:, :-1], theta[:, -1])
    covariance = laplace.covariance.transpose(1, 2).reshape(15, 15)
    draws = torch.distributions.MultivariateNormal(theta.flatten(), covariance).sample((4000,))
    far = torch.tensor([[0.0, 0.0, 0.0, 8.0]]).repeat(40, 1)  # where no class lies
    phi = torch.cat([features[:40], torch.ones(40, 1)], 1).double()
    theirs = torch.einsum("na,ska->snk", phi, draws.view(-1, 3, 5)).softmax(-1).numpy()
    members = laplace.members(features[:40], 4000)
    assert np.abs(members.mean(0) - theirs.mean(0)).max() < 0.02
    assert np.abs(members.std(0) - theirs.std(0)).max() < 0.02
    assert np.array_equal(members, laplace.members(features[:40], 4000))
    near, beyond = ensemble(members)[1], ensemble(laplace.members(far, 4000))[1]
    assert beyond.mean() > 3 * near.mean()


def test_the_evidence_prefers_a_loose_prior_for_large_weights():
    """Separable classes have large weights, noise has small ones."""
    features, labels = blobs(300)
    noise = labels[torch.randperm(300, generator=torch.Generator().manual_seed(1))]
    taus = []
    for target in (labels, noise):
        theta = fitted(features, target)
        laplace = LastLayerLaplace.fit(features, target, theta[:, :-1], theta[:, -1])
        taus.append(laplace.precision)
    assert taus[0] < taus[1]
    with pytest.raises(InputError, match=r"\[n, 4\]"):
        LastLayerLaplace.fit(features[:, :3], labels, theta[:, :-1], theta[:, -1])


def test_the_distance_is_that_of_the_nearest_class():
    features, labels = (x.numpy() for x in blobs(3000, apart=6.0))
    scale = np.diag([1.0, 10.0, 0.1, 1.0])
    model = Mahalanobis.fit(features @ scale, labels)
    own = model.score(features @ scale)
    assert np.mean(own) == pytest.approx(4, rel=0.1)  # chi-squared, nearest class
    centre = features[labels == 1].mean(0)
    shifted = np.array([centre, centre + [3.0, 0, 0, 0], centre + [0, 0, 3.0, 0]]) @ scale
    scores = model.score(shifted)
    assert scores[0] < 0.01 and scores[1] == pytest.approx(9, rel=0.2)
    assert scores[2] == pytest.approx(9, rel=0.2)  # units do not matter
    new = features + 4 * np.sign(centre)
    one = Mahalanobis.fit(features @ scale)
    assert (
        model.score(new @ scale).mean()
        > one.score(new @ scale).mean()
        > one.score(features @ scale).mean()
    )
    relative = model.score(features @ scale, relative=True)
    assert np.allclose(relative, own - one.score(features @ scale))


@pytest.mark.parametrize(
    "features, labels, message",
    [
        (np.zeros((1, 3)), None, "n >= 2"),
        (np.full((4, 3), np.nan), None, "finite"),
        (np.zeros((4, 3)), np.zeros(3, int), "4 jets need as many labels, got 3"),
    ],
)
def test_features_that_cannot_be_fitted(features, labels, message):
    with pytest.raises(InputError, match=message):
        Mahalanobis.fit(features, labels)
