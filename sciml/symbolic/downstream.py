"""The downstream task of symbolic mathematics (`sciml.objectives.downstream`): which functions
occur in the antiderivative? It is what an ansatz for an integral has to guess."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciml.objectives.corpus import Corpus
from sciml.objectives.downstream import DownstreamTask, SupervisedTask, label_budgets
from sciml.objectives.probe import auc
from sciml.objectives.supervised import SupervisedConfig
from sciml.symbolic.expr import tokens as tk
from sciml.symbolic.neural import pretraining
from sciml.symbolic.neural import vocabulary as vb
from sciml.symbolic.neural.pairs import Pairs
from sciml.symbolic.neural.pretraining import TokenEmbedder

MAX_TOKENS = (48, 32)
"""Longest problem and answer [tokens]."""
COMPILED = 2000
"""From so many training examples on they come from the compiled generators; fewer are made sooner
than those compile, a minute of CPU time, and are simpler."""
RARE = 0.02
"""Functions in a smaller share of the answers, or in all but that share, are left out."""


class Integrands:
    """Integrands as token ids, with `y` [F]: whether each function is in the answer."""

    def __init__(self, pairs: Pairs, functions: list[int]) -> None:
        self.pairs, self.functions = pairs, functions

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict[str, Any]:
        source, target = self.pairs.pair(index)
        labels = [float(f in target) for f in self.functions]
        return {"ids": [*source[1:], vb.END], "y": torch.tensor(labels)}


def collate(items: list[dict[str, Any]]) -> Any:
    """Items -> raw batch with labels."""
    batch = pretraining.collate([item["ids"] for item in items])
    batch.y = torch.stack([item["y"] for item in items])
    return batch


def downstream_task(size: float = 1.0) -> DownstreamTask:
    """Generated integrals; no test problem is among the training problems."""
    count = max(100, round(10_000 * size))
    shares = {"plain": 1.0} if count < COMPILED else {"bwd": 0.6, "ibp": 0.4}
    test = Pairs.draw(shares, max(50, round(600 * size)), 1000, MAX_TOKENS)
    train = Pairs.draw(shares, count, 0, MAX_TOKENS, exclude=test.keys)
    answers = [set(train.pair(i)[1]) for i in range(len(train))]
    functions = [
        vb.INDEX[name] for name in tk.UNARY
        if RARE < np.mean([vb.INDEX[name] in answer for answer in answers]) < 1 - RARE
    ]  # fmt: skip
    training, testing = Integrands(train, functions), Integrands(test, functions)
    # The pairs are ordered by generator.
    order = np.random.default_rng(0).permutation(len(train))
    labelled = SupervisedTask(
        training, testing, collate, SupervisedConfig(outputs=len(functions), loss="binary"),
        lambda outputs, batches: mean_auc(torch.cat(outputs), torch.cat([b.y for b in batches])),
        order,
    )  # fmt: skip
    in_integrand = torch.tensor([[float(f in test.pair(i)[0]) for f in functions]
                          for i in range(len(test))])  # fmt: skip
    truth = torch.stack([testing[i]["y"] for i in range(len(test))])
    names = ", ".join(vb.WORDS[f] for f in functions)
    return DownstreamTask(
        "symbolic", f"Which of {names} occur in the antiderivative?",
        Corpus("integrands", training, collate, TokenEmbedder, vocabulary=len(vb.WORDS)),
        label_budgets(len(train)), "solved integrals", "mean AUC over functions", 1,
        labelled.finetune, ("those in the integrand", mean_auc(in_integrand, truth)),
    )  # fmt: skip


def mean_auc(scores: Tensor, truth: Tensor) -> float:
    """Mean over functions of the AUC of [K, F] scores."""
    values = [auc(scores[:, f], truth[:, f] > 0.5) for f in range(scores.shape[1])]
    return float(np.nanmean(values))
