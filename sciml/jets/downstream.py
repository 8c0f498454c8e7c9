"""Jet tagging as a downstream task of a shared trunk (`sciml.objectives.downstream`)."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciml.jets import metrics
from sciml.jets.data.sample import JetSample, shipped
from sciml.jets.learning.baselines import BoostedTrees, observables_of
from sciml.jets.learning.views import augment
from sciml.jets.networks.embedder import JetEmbedder, collate
from sciml.objectives.corpus import Corpus
from sciml.objectives.downstream import DownstreamTask, SupervisedTask, label_budgets
from sciml.objectives.supervised import SupervisedConfig

PARTICLES = 40
"""Constituents per jet, the leading ones in pT; enough for a comparison, and fast."""


def downstream_task(size: float = 1.0) -> DownstreamTask:
    """Classification of the shipped jets, with the share `size` of the training jets."""
    train = JetSample.read(shipped("train"), limit=PARTICLES)
    test = JetSample.read(shipped("test"), limit=PARTICLES, classes=train.classes)
    order = np.random.default_rng(0).permutation(len(train))
    train = train.subset(order[: max(8, round(size * len(train)))])
    corpus = Corpus("jets", train, collate, partial(JetEmbedder, features="full"), augment,
                    lengths=train.lengths)  # fmt: skip
    order = _classes_in_turn(train.y)
    labelled = SupervisedTask(
        train, test, collate, SupervisedConfig(outputs=len(train.classes)),
        partial(mean_auc, classes=train.classes), order, augment, train.y,
    )  # fmt: skip
    trees = BoostedTrees(len(train.classes)).fit(observables_of(train), train.y)
    return DownstreamTask(
        "jets", f"Which of {', '.join(train.classes)} made a jet?", corpus,
        label_budgets(len(train)), "labelled jets", "mean AUC against QCD", 1, labelled.finetune,
        ("boosted trees, all labels", _mean_auc(trees.predict(observables_of(test)), test.y,
                                                train.classes)),
        labelled.student,
    )  # fmt: skip


def _classes_in_turn(labels: np.ndarray) -> np.ndarray:
    """Order in which the classes take turns, so that small label budgets hold every class."""
    turn = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        turn[members] = np.arange(len(members))
    return np.lexsort((labels, turn))


def mean_auc(outputs: list[Tensor], batches: list[Any], classes: tuple[str, ...]) -> float:
    """Mean over the other classes of the AUC against QCD."""
    scores = torch.cat(outputs).softmax(-1).numpy()
    return _mean_auc(scores, torch.cat([b.y for b in batches]).cpu().numpy(), classes)


def _mean_auc(scores: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> float:
    background = classes.index("QCD")
    areas = []
    for signal in range(len(classes)):
        if signal != background:
            selected = (labels == signal) | (labels == background)
            score = metrics.discriminant(scores[selected], signal, background)
            areas.append(metrics.auc(score, labels[selected] == signal))
    return float(np.mean(areas))
