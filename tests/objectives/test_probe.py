"""Probes against scikit-learn."""

from __future__ import annotations

import pytest
import torch

from sciml.errors import InputError
from sciml.objectives.probe import auc, embed, fit_head, fit_linear, knn_scores, metrics, probe
from sciml.objectives.supervised import Supervised, SupervisedConfig


def clusters(number: int = 300, seed: int = 0, dim: int = 5):
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (number,), generator=random)
    centres = torch.eye(3, dim) * 1.5
    return centres[labels] + torch.randn(number, dim, generator=random), labels


def test_linear_probe_equals_scikit_learn():
    linear = pytest.importorskip("sklearn.linear_model")
    x, y = clusters()
    scale = x.std(0, unbiased=False)
    standard = ((x - x.mean(0)) / scale).double()
    for penalty in (1e-3, 1e-1):
        ours = fit_linear(x, y, penalties=[penalty]).scores(x)
        theirs = linear.LogisticRegression(C=1 / (penalty * len(y)), tol=1e-10, max_iter=10000)
        theirs = torch.tensor(theirs.fit(standard, y).predict_proba(standard))
        torch.testing.assert_close(ours.double(), theirs, rtol=0, atol=2e-4)


def test_penalty_is_chosen_on_held_out_examples():
    random = torch.Generator().manual_seed(0)
    x, y = torch.randn(60, 50, generator=random), torch.randint(0, 2, (60,), generator=random)
    assert fit_linear(x, y).penalty == 0.1  # noise: the strongest penalty is best


def test_knn_equals_scikit_learn():
    neighbors = pytest.importorskip("sklearn.neighbors")
    x, y = clusters()
    test, _ = clusters(seed=1)
    peer = neighbors.KNeighborsClassifier(
        20,
        metric="cosine",
        algorithm="brute",
        weights=lambda distance: torch.tensor((1 - distance) / 0.07).exp().numpy(),
    )
    theirs = torch.tensor(peer.fit(x.numpy(), y.numpy()).predict_proba(test.numpy()))
    torch.testing.assert_close(
        knn_scores(x, y, test, chunk=70).double(), theirs.double(), rtol=0, atol=1e-4
    )


def test_auc_equals_scikit_learn_with_ties():
    metrics_ = pytest.importorskip("sklearn.metrics")
    scores = torch.randint(0, 10, (200,)).float()
    positive = torch.rand(200) < scores / 12
    assert auc(scores, positive) == pytest.approx(
        metrics_.roc_auc_score(positive.numpy(), scores.numpy()), abs=1e-12
    )
    assert auc(scores, torch.zeros(200, dtype=torch.bool)) != auc(scores, positive)
    x, y = clusters()
    probabilities = fit_linear(x, y).scores(x)
    assert metrics(probabilities, y)["auc"] == pytest.approx(
        metrics_.roc_auc_score(
            y.numpy(),
            probabilities.double().numpy() / probabilities.double().sum(1, keepdim=True).numpy(),
            multi_class="ovr",
        ),
        abs=1e-6,
    )


def test_probe_reports_both_and_embed_keeps_modes(trunk, embedder, make_batch):
    result = probe(*clusters(), *clusters(seed=1))
    assert set(result) == {"linear_accuracy", "linear_auc", "knn_accuracy", "knn_auc"}
    assert 0.6 < result["linear_accuracy"] <= 1
    dataset = list(range(7))
    trunk.train()
    embeddings = embed(
        trunk,
        embedder,
        dataset,
        lambda items: make_batch(len(items)),
        batch_size=4,
        indices=[0, 1, 2, 3],
    )
    assert trunk.training and embeddings.shape == (4, 16) and not embeddings.requires_grad
    with pytest.raises(InputError, match="nothing to embed"):
        embed(trunk, embedder, dataset, make_batch, indices=[])


def test_one_class_cannot_be_probed():
    with pytest.raises(InputError, match="two classes"):
        fit_linear(torch.randn(5, 2), torch.zeros(5, dtype=torch.long))


def test_a_head_starts_as_the_linear_probe(trunk, embedder, make_batch):
    """In units of the embeddings themselves, on known labels alone; nothing below it changes."""
    all_examples = make_batch(40)
    dataset = [
        {key: all_examples[key][i] for key in all_examples.keys() if key != "y"} for i in range(40)
    ]

    def collate(items):
        batch = make_batch(1)
        for key in items[0]:
            batch[key] = torch.stack([item[key] for item in items])
        return batch

    labels = torch.arange(40) % 3
    labels[5] = -1
    model = Supervised(trunk, embedder, SupervisedConfig(outputs=4))
    before = [p.clone() for p in trunk.parameters()]
    fit_head(model, dataset, collate, labels)
    assert all(torch.equal(a, b) for a, b in zip(before, trunk.parameters(), strict=True))
    features = embed(trunk, embedder, dataset, collate)
    labelled = labels >= 0
    expected = fit_linear(features[labelled], labels[labelled], classes=4).scores(features)
    scores = model.predict(collate(dataset)).softmax(-1)
    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-5)
    assert scores[:, 3].max() < 0.1  # a class without an example
    with pytest.raises(InputError, match="linear head"):
        deep = SupervisedConfig(outputs=3, hidden=8)
        fit_head(Supervised(trunk, embedder, deep), dataset, collate, labels)
