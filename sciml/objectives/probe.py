"""Probes: what a frozen trunk's embeddings already say, by logistic regression and by neighbours.

The linear probe is multinomial logistic regression on standardised features; the penalty is chosen
on a held-out part of the training examples. The kNN probe votes with weights exp(cosine / 0.07)
(Wu et al. 2018, arXiv:1805.01978, section 3.4). A linear probe is also the head to start from when
a pretrained trunk is trained further (`fit_head`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.data import parts
from sciml.errors import InputError
from sciml.objectives.base import Examples
from sciml.objectives.corpus import Corpus
from sciml.trunks.base import Trunk


@torch.no_grad()
def embed(
    trunk: Trunk,
    embedder: nn.Module,
    dataset: Examples,
    collate: Callable[[list[Any]], Any],
    *,
    indices: Sequence[int] | np.ndarray | None = None,
    batch_size: int = 256,
) -> Tensor:
    """Graph embeddings [K, dim] (on the CPU, float32) of `dataset[i]` for i in `indices`.

    The trunk runs in evaluation mode, on its own device, and returns to the mode it was in.
    """
    order = list(range(len(dataset))) if indices is None else [int(i) for i in indices]
    device = next(trunk.parameters()).device
    modes = [(m, m.training) for m in (trunk, embedder)]
    trunk.eval()
    embedder.eval()
    embeddings = []
    for start in range(0, len(order), batch_size):
        batch = collate([dataset[i] for i in order[start : start + batch_size]])
        embeddings.append(trunk(embedder(batch.to(device))).graph.float().cpu())
    for module, mode in modes:
        module.train(mode)
    if not embeddings:
        raise InputError("there is nothing to embed: no indices")
    return torch.cat(embeddings)


@dataclass
class LinearProbe:
    """A fitted linear classifier on embeddings."""

    mean: Tensor
    deviation: Tensor
    weight: Tensor
    bias: Tensor
    penalty: float

    def scores(self, features: Tensor) -> Tensor:
        """[K, classes] probabilities of [K, dim] features."""
        standard = (features.double() - self.mean) / self.deviation
        return (standard @ self.weight.T + self.bias).softmax(-1).float()


def fit_linear(
    features: Tensor,
    labels: Tensor,
    *,
    classes: int | None = None,
    penalties: Sequence[float] = (1e-4, 1e-3, 1e-2, 1e-1),
    held_out: float = 0.2,
    seed: int = 0,
) -> LinearProbe:
    """Fit a linear probe by L-BFGS, choosing the penalty by held-out cross-entropy.

    Args:
        features: [K, dim].
        labels: [K] int64 in 0..classes-1.
        classes: number of classes; default the largest label + 1.
        penalties: candidates for the weight of |W|^2 / 2 beside the mean cross-entropy.
        held_out: share of the examples that chooses; with one candidate none are held out.
        seed: of the split.

    Raises:
        InputError: fewer than two classes among the labels.
    """
    if len(labels) != len(features):
        raise InputError(
            f"a probe needs a label per example, got {len(labels)} for {len(features)}"
        )
    if len(labels.unique()) < 2:
        raise InputError("a probe needs examples of at least two classes")
    count = classes or int(labels.max()) + 1
    features = features.double()
    best = penalties[0]
    if len(penalties) > 1:
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
        cut = max(1, round(held_out * len(labels)))
        test, train = order[:cut], order[cut:]
        losses = {}
        for penalty in penalties:
            probe = _fit(features[train], labels[train], count, penalty)
            scores = probe.scores(features[test]).clamp_min(1e-12)
            losses[penalty] = float(F.nll_loss(scores.log(), labels[test]))
        best = min(losses, key=lambda p: losses[p])
    return _fit(features, labels, count, best)


def _fit(features: Tensor, labels: Tensor, classes: int, penalty: float) -> LinearProbe:
    mean = features.mean(0)
    deviation = features.std(0, unbiased=False)
    deviation = torch.where(deviation > 1e-8, deviation, torch.ones_like(deviation))
    standard = (features - mean) / deviation
    x, one_hot = standard.numpy(), F.one_hot(labels, classes).double().numpy()
    rows = len(x)

    def loss_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        """Mean cross-entropy plus the penalty; weights [classes, dim], then biases."""
        weight, bias = flat[:-classes].reshape(classes, -1), flat[-classes:]
        logits = x @ weight.T + bias
        logits -= logits.max(1, keepdims=True)
        scores = np.exp(logits)
        total = scores.sum(1, keepdims=True)
        value = (np.log(total).sum() - (logits * one_hot).sum()) / rows
        error = (scores / total - one_hot) / rows
        gradient = np.concatenate([(error.T @ x + penalty * weight).ravel(), error.sum(0)])
        return value + penalty / 2 * (weight**2).sum(), gradient

    solution = minimize(
        loss_and_gradient, np.zeros((x.shape[1] + 1) * classes), jac=True, method="L-BFGS-B",
        options={"maxiter": 500, "ftol": 1e-12, "gtol": 1e-7},
    ).x  # fmt: skip
    weight = torch.from_numpy(solution[:-classes].reshape(classes, -1).copy())
    return LinearProbe(
        mean, deviation, weight, torch.from_numpy(solution[-classes:].copy()), penalty
    )


def fit_head(
    objective: nn.Module, dataset: Examples, collate: Callable[[list[Any]], Any], labels: Tensor
) -> None:
    """Initialise the linear head of a graph classifier with a linear probe of its trunk.

    Training the whole network from there distorts the pretrained features less than from a random
    head (linear probing, then fine-tuning: Kumar et al. 2022, arXiv:2202.10054).

    Args:
        objective: a `Supervised` (or alike) with `trunk`, `embedder` and a linear `head`.
        dataset: labelled examples, few enough to embed at once.
        collate: examples -> raw batch.
        labels: [len(dataset)] int64 classes, negative where unknown.

    Raises:
        InputError: the head is not one linear layer, or labels of fewer than two classes.
    """
    head = objective.head
    if not isinstance(head, nn.Linear):
        raise InputError(
            "only a linear head can start as a probe", hint="Leave the head's `hidden` at 0"
        )
    labelled = (labels >= 0).nonzero()[:, 0]
    trunk, embedder = objective.trunk, objective.embedder
    features = embed(trunk, embedder, dataset, collate, indices=labelled.numpy())  # type: ignore[arg-type]
    linear = fit_linear(features, labels[labelled], classes=head.out_features)
    weight = linear.weight / linear.deviation
    with torch.no_grad():
        head.weight.copy_(weight)
        head.bias.copy_(linear.bias - weight @ linear.mean)


def knn_scores(
    train: Tensor,
    labels: Tensor,
    features: Tensor,
    *,
    classes: int | None = None,
    neighbours: int = 20,
    temperature: float = 0.07,
    chunk: int = 1024,
) -> Tensor:
    """[K, classes] weighted votes of the nearest (by cosine) training examples, summing to 1."""
    count = classes or int(labels.max()) + 1
    neighbours = min(neighbours, len(train))
    train = F.normalize(train.float(), dim=-1)
    votes = []
    for part in F.normalize(features.float(), dim=-1).split(chunk):
        near, who = (part @ train.T).topk(neighbours, dim=1)
        vote = torch.zeros(len(part), count)
        vote.scatter_add_(1, labels[who], ((near - near[:, :1]) / temperature).exp())
        votes.append(vote / vote.sum(1, keepdim=True))
    return torch.cat(votes)


def auc(scores: Tensor, positive: Tensor) -> float:
    """Area under the ROC curve of [K] scores for [K] bool labels; ties count a half.

    NaN where one of the two classes is missing.
    """
    if not positive.any() or positive.all():
        return float("nan")
    _, inverse, counts = scores.unique(return_inverse=True, return_counts=True)
    rank = counts.cumsum(0).double() - (counts.double() - 1) / 2  # mean rank of each tied value
    positives = int(positive.sum())
    negatives = len(positive) - positives
    total = float(rank[inverse][positive].sum())
    return (total - positives * (positives + 1) / 2) / (positives * negatives)


def metrics(scores: Tensor, labels: Tensor) -> dict[str, float]:
    """Accuracy and the mean one-against-rest AUC of [K, classes] scores (over classes present)."""
    scores, labels = scores.cpu(), labels.cpu()
    areas = [auc(scores[:, c], labels == c) for c in range(scores.shape[1])]
    areas = areas[1:] if scores.shape[1] == 2 else areas
    finite = [a for a in areas if a == a]
    return {
        "accuracy": float((scores.argmax(1) == labels).float().mean()),
        "auc": float(np.mean(finite)) if finite else float("nan"),
    }


def probe(
    train: Tensor,
    train_labels: Tensor,
    test: Tensor,
    test_labels: Tensor,
    *,
    classes: int | None = None,
    neighbours: int = 20,
) -> dict[str, float]:
    """Linear and kNN probe: fitted on the training embeddings, scored on the test ones.

    Returns:
        linear_accuracy, linear_auc, knn_accuracy, knn_auc.
    """
    count = classes or int(max(train_labels.max(), test_labels.max())) + 1
    linear = fit_linear(train, train_labels, classes=count).scores(test)
    near = knn_scores(train, train_labels, test, classes=count, neighbours=neighbours)
    return {
        f"{kind}_{key}": value
        for kind, scores in (("linear", linear), ("knn", near))
        for key, value in metrics(scores, test_labels).items()
    }


class Probes:
    """Linear and nearest-neighbour probes on held-out examples, where there are labels.

    Args:
        corpus: the examples, -1 the label of those without.
        training: those that the probes are fitted on.
        held_out: those that they are scored on.
        max_examples: that they are fitted on; 0 = no probes.
        seed: of the choice.
    """

    def __init__(
        self,
        corpus: Corpus,
        training: parts.Indices,
        held_out: np.ndarray,
        max_examples: int,
        seed: int = 0,
    ) -> None:
        self.corpus, self.ready = corpus, False
        if corpus.labels is None or not max_examples:
            return
        labels = corpus.labels
        self.fit_on = parts.sample(training, labels, max_examples, seed)
        self.test_on = held_out[labels[held_out] >= 0]
        classes = np.unique(labels[self.fit_on])
        self.test_on = self.test_on[np.isin(labels[self.test_on], classes)]
        self.ready = len(classes) > 1 and len(self.test_on) > 0 and len(self.fit_on) >= 10

    def measure(self, trunk: Any, embedder: nn.Module) -> dict[str, float]:
        """Accuracy and AUC of both probes; nothing where there are too few labels."""
        if not self.ready:
            return {}
        values = {}
        for name, indices in (("fit", self.fit_on), ("test", self.test_on)):
            values[name] = embed(
                trunk, embedder, self.corpus.dataset, self.corpus.collate, indices=indices
            )
        fit_labels, test_labels = (
            torch.as_tensor(self.corpus.labels[indices], dtype=torch.int64)  # type: ignore[index]
            for indices in (self.fit_on, self.test_on)
        )
        return probe(values["fit"], fit_labels, values["test"], test_labels)
