"""Which columns touch? The question of proteins to a shared trunk (`sciml.objectives.downstream`).

Generated families; a network reads column and pair statistics of the alignment. Chains are short,
so contacts count from a separation of 12 on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciml.objectives.corpus import Corpus
from sciml.objectives.downstream import DownstreamTask, SupervisedTask, label_budgets
from sciml.objectives.supervised import SupervisedConfig
from sciml.protein.contacts.features import contact_features
from sciml.protein.contacts.pretraining import AlignmentEmbedder, collate
from sciml.protein.contacts.synthetic_families import families
from sciml.protein.measure import metrics

SEPARATION = (12, None)
CONTACT = 8.0


def downstream_task(size: float = 1.0) -> DownstreamTask:
    """Contacts of families made with seeds of their own."""
    train, _ = examples(max(4, round(128 * size)), seed=0)
    test, scores = examples(max(4, round(48 * size)), seed=1_000_000)
    baseline = [precision(s, e["pair_y"].numpy()) for s, e in zip(scores, test, strict=True)]
    labelled = SupervisedTask(
        train, test, collate, SupervisedConfig(outputs=1, loss="binary", level="pair", hidden=32),
        mean_precision, np.arange(len(train)),
    )  # fmt: skip
    corpus = Corpus("families", train, collate, AlignmentEmbedder)
    return DownstreamTask(
        "protein", "Which residues of a protein touch?", corpus, label_budgets(len(train)),
        "labelled families", f"P@L of contacts from separation {SEPARATION[0]}", 1,
        labelled.finetune, ("mean-field couplings", float(np.mean(baseline))),
    )  # fmt: skip


def examples(count: int, seed: int) -> tuple[list[dict[str, Tensor]], list[np.ndarray]]:
    """(examples, mean-field scores [N, N] of each) of generated families.

    An example has `x` [N, 26], `pair` [N, N, 25] and `pair_y` [N, N]: 1 contact, 0 none, NaN
    below the separation that counts.
    """
    made, scores = [], []
    for family in families(count, seed, length=(40, 64), depth=(64, 512)):
        features = contact_features(family.alignment)
        near = metrics.distances(family.cb) < CONTACT
        index = np.arange(len(near))
        truth = np.where(np.abs(index[:, None] - index) < SEPARATION[0], np.nan, near)
        made.append(
            {
                "x": torch.as_tensor(features.nodes),
                "pair": torch.as_tensor(features.pairs),
                "pair_y": torch.as_tensor(truth, dtype=torch.float32),
            }
        )
        scores.append(features.dca)
    return made, scores


def precision(scores: np.ndarray, truth: np.ndarray) -> float:
    """P@L of one family."""
    return metrics.contact_precision(scores, truth == 1, separation=SEPARATION)["P@L"]


def mean_precision(outputs: list[Tensor], batches: list[Any]) -> float:
    """Mean P@L of the test families."""
    precisions = []
    for output, batch in zip(outputs, batches, strict=True):
        n = batch.mask.shape[1]
        scores = torch.zeros(len(batch.mask), n, n)
        both = (batch.mask[:, :, None] & batch.mask[:, None]).triu(1).cpu()
        scores[both] = output[:, 0]
        scores = scores + scores.transpose(1, 2)
        for k, length in enumerate(batch.mask.sum(1).tolist()):
            truth = batch.pair_y[k, :length, :length].cpu().numpy()
            precisions.append(precision(scores[k, :length, :length].numpy(), truth))
    return float(np.mean(precisions))
