"""Downstream tasks: label budgets, what a student sees, and that each science's task runs."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch

from sciml import trunks
from sciml.objectives.downstream import FRACTIONS, LabelBudget, SupervisedTask, label_budgets
from sciml.objectives.supervised import SupervisedConfig
from sciml.train import TrainConfig

SCIENCES = ("jets", "protein", "symbolic", "placement")
SHORT = TrainConfig(steps=2, batch_size=4, lr=1e-3)


def test_a_budget_holds_at_least_one_label():
    assert label_budgets(2000) == (2, 20, 200, 2000)
    assert label_budgets(3) == (1, 1, 1, 3)
    assert len(label_budgets(7)) == len(FRACTIONS)


def test_examples_of_a_budget_fill_a_batch_and_no_other_is_read():
    budget = LabelBudget(list("abcdefgh"), np.array([6, 1, 3]), batch_size=4)
    assert [budget[i] for i in range(len(budget))] == ["g", "b", "d"] * 2


class Watched(list):
    """A list that notes which items are read."""

    def __init__(self, items):
        super().__init__(items)
        self.read = set()

    def __getitem__(self, i):
        self.read.add(int(i))
        return super().__getitem__(i)


def jets_like(trunk, embedder, count, seed):
    """Examples of two classes that differ in a feature's sign."""
    generator = torch.Generator().manual_seed(seed)
    items = []
    for i in range(count):
        x = torch.randn(5, embedder.width, generator=generator) + (1.5 if i % 2 else -1.5)
        items.append({"x": x, "y": torch.tensor(i % 2)})
    return items


class Plain(torch.nn.Module):
    """Linear embedding without anything else."""

    width = 3

    def __init__(self, dim):
        super().__init__()
        self.linear = torch.nn.Linear(self.width, dim)

    def forward(self, batch, hidden=None):
        from sciml.objectives.base import changed

        return changed(batch, x=self.linear(batch.x))


def accuracy(outputs, batches):
    labels = torch.cat([b.y for b in batches])
    return float((torch.cat(outputs).argmax(1) == labels).float().mean())


@pytest.fixture
def labelled():
    from sciml.graph import make_dense

    embedder = Plain(8)
    train = Watched(jets_like(None, embedder, 40, 0))
    test = Watched(jets_like(None, embedder, 20, 1))
    classes = np.arange(40) % 2
    return SupervisedTask(train, test, make_dense, SupervisedConfig(outputs=2), accuracy,
                    np.arange(40), None, classes)  # fmt: skip


def small():
    torch.manual_seed(0)
    return trunks.build({"name": "pair_transformer", "dim": 8, "depth": 1, "heads": 2}), Plain(8)


def test_only_labels_of_the_budget_are_learned_from(labelled):
    trunk, embedder = small()
    settings = TrainConfig(steps=60, batch_size=8, lr=1e-2)
    before = {k: v.clone() for k, v in trunk.state_dict().items()}
    assert labelled.finetune(trunk, embedder, 6, settings) > 0.9
    assert labelled.train.read == set(range(6))
    assert any(not torch.equal(v, before[k]) for k, v in trunk.state_dict().items())


def test_a_frozen_trunk_stays_as_it_is(labelled):
    trunk, embedder = small()
    before = {k: v.clone() for k, v in trunk.state_dict().items()}
    trunk.requires_grad_(False)
    labelled.finetune(trunk, embedder, 6, SHORT)
    for key, value in trunk.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)


def test_a_student_never_reads_labels_beyond_the_budget(labelled):
    """The same student comes of labels that are all wrong beyond the budget."""
    settings = TrainConfig(steps=30, batch_size=8, lr=1e-2)
    scores = []
    for spoil in (False, True):
        if spoil:
            for i in range(6, 40):
                list.__getitem__(labelled.train, i)["y"] = torch.tensor(1 - i % 2)
            labelled.classes[6:] = 1 - labelled.classes[6:]
        trunk, embedder = small()
        torch.manual_seed(5)
        scores.append(labelled.student(trunk, embedder, 6, settings))
    assert scores[0] == scores[1] > 0.9


@pytest.mark.parametrize("science", SCIENCES)
def test_each_science_has_a_task_that_runs(science):
    task = importlib.import_module(f"sciml.{science}.downstream").downstream_task(0.02)
    assert task.domain == science and task.question.endswith("?")
    torch.manual_seed(0)
    trunk = trunks.build({"name": "pair_transformer", "dim": 8, "pair_dim": 4, "depth": 1,
                          "heads": 2})  # fmt: skip
    embedder = task.corpus.embedder(8, 4)
    score = task.finetune(trunk, embedder, task.budgets[0], SHORT)
    assert np.isfinite(score) and np.isfinite(task.baseline[1])
    if task.sign > 0:
        assert 0 <= score <= 1
