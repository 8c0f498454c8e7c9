"""A downstream task of a shared trunk: unlabelled examples, a supervised problem, and a score.

`sciml run transfer` compares ways to start a trunk by fine-tuning it on these tasks. Each domain
has `sciml/<domain>/downstream.py` with `downstream_task(size) -> DownstreamTask`. Three of the
tasks are supervised (`SupervisedTask`); circuit placement is solved by reinforcement learning.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from sciml.objectives.base import Embedder, Examples
from sciml.objectives.corpus import Corpus
from sciml.objectives.self_training import (
    Joined,
    NoisyStudentConfig,
    collate_labelled,
    noisy_student,
)
from sciml.objectives.supervised import Supervised, SupervisedConfig
from sciml.train import TrainConfig, fit
from sciml.train.sampler import move
from sciml.trunks.base import Trunk

FRACTIONS = (0.001, 0.01, 0.1, 1.0)
"""Label budgets, as shares of all labels (of a placer: of all environment steps)."""


class FineTune(Protocol):
    """Fine-tune in place with `budget` labels -> the score on held-out examples. A trunk without
    gradients stays as it is: embedder and head alone are trained."""

    def __call__(
        self, trunk: Trunk, embedder: Embedder, budget: int, train: TrainConfig
    ) -> float: ...


@dataclass(frozen=True)
class DownstreamTask:
    """The downstream task of one science.

    Attributes:
        domain: the science's name.
        question: what is predicted, as a question for people.
        corpus: examples for pretraining; objectives do not read their labels.
        budgets: the label budget (or environment steps) for each of `FRACTIONS`.
        unit: what `budgets` counts.
        metric: name of the score.
        sign: +1 if a higher score is better, -1 if a lower one is.
        finetune: see `FineTune`.
        baseline: (name, score on the same test examples) of a method without a network.
        student: Noisy Student instead of plain fine-tuning; None where there are no classes.
    """

    domain: str
    question: str
    corpus: Corpus
    budgets: tuple[int, ...]
    unit: str
    metric: str
    sign: int
    finetune: FineTune
    baseline: tuple[str, float]
    student: FineTune | None = None


MAX_UNLABELLED = 2000
"""Examples that a teacher labels, at most."""
EVALUATION_BATCH = 64
"""Examples per batch of an evaluation."""


def label_budgets(count: int) -> tuple[int, ...]:
    """`count` times each of `FRACTIONS`, at least one."""
    return tuple(max(1, round(count * fraction)) for fraction in FRACTIONS)


@dataclass(frozen=True)
class SupervisedTask:
    """A supervised downstream task.

    Attributes:
        train, test: labelled examples; test examples are held out.
        collate: examples -> raw batch with labels.
        config: the head and its loss.
        score: (outputs of each batch of test examples, the raw batches) -> score.
        order: [len(train)] a budget of K labels is those of the first K examples in this order.
        augment: noise of a student, raw batch -> raw batch.
        classes: [len(train)] int64, for Noisy Student.
    """

    train: Examples
    test: Examples
    collate: Callable[[list[Any]], Any]
    config: SupervisedConfig
    score: Callable[[list[Tensor], list[Any]], float]
    order: np.ndarray
    augment: Callable[[Any], Any] | None = None
    classes: np.ndarray | None = None

    def finetune(self, trunk: Trunk, embedder: Embedder, budget: int, train: TrainConfig) -> float:
        """See `FineTune`."""
        model = Supervised(trunk, embedder, self.config)
        within = LabelBudget(self.train, self.order[:budget], train.batch_size)
        self._fit(model, within, train, self.collate)
        return self.measure(model)

    def student(self, trunk: Trunk, embedder: Embedder, budget: int, train: TrainConfig) -> float:
        """Noisy Student: a teacher labels the rest; a noised student of the same start learns from
        the most confident quarter of each class and the label budget, for as many steps again."""
        assert self.classes is not None
        count = self.config.outputs

        def make(noise: Any) -> Supervised:
            parts = copy.deepcopy((trunk, embedder))
            return Supervised(*parts, self.config, augment=noise)

        def learn(model: Any, data: Joined, generation: int) -> Any:
            repeated = LabelBudget(data, np.arange(len(data)), train.batch_size)
            self._fit(model, repeated, train, collate_labelled(self.collate))
            return model

        def predict(model: Any, data: Any) -> Tensor:
            return torch.cat(self._outputs(model, data)[0]).softmax(-1)

        rest = self.order[budget : budget + MAX_UNLABELLED]
        rounds = noisy_student(
            self.train,
            self.classes,
            count,
            labelled=self.order[:budget],
            unlabelled=rest,
            test=[],
            models=[partial(make, None), partial(make, self.augment)],
            train=learn,
            predict=predict,
            config=NoisyStudentConfig(threshold=0.0, per_class=max(1, len(rest) // (4 * count))),
        )
        return self.measure(rounds[-1].model)  # type: ignore[arg-type]

    def measure(self, model: Supervised) -> float:
        """The score on the test examples."""
        return self.score(*self._outputs(model, self.test))

    @torch.no_grad()
    def _outputs(self, model: Supervised, examples: Examples) -> tuple[list[Tensor], list[Any]]:
        """The model's outputs for all examples in order, batch by batch, and those raw batches,
        on the CPU."""
        model.eval()
        cpu, device = torch.device("cpu"), next(model.parameters()).device
        outputs, batches = [], []
        for start in range(0, len(examples), EVALUATION_BATCH):
            indices = range(start, min(start + EVALUATION_BATCH, len(examples)))
            batch = move(self.collate([examples[i] for i in indices]), device)
            outputs.append(model.predict(batch).float().cpu())
            batches.append(move(batch, cpu))
        return outputs, batches

    def _fit(
        self,
        model: Supervised,
        examples: Any,
        train: TrainConfig,
        collate: Callable[[list[Any]], Any],
    ) -> None:
        settings = replace(train, checkpoint_every=train.steps, log_every=train.steps)
        with tempfile.TemporaryDirectory() as folder:
            fit(model, examples, settings, out=Path(folder), collate=collate, quiet=True)


class LabelBudget(Sequence[Any]):
    """The examples within a label budget, repeated until they fill a batch."""

    def __init__(self, dataset: Examples, indices: np.ndarray, batch_size: int) -> None:
        self.dataset = dataset
        self.indices = np.tile(indices, -(-batch_size // len(indices)))

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, i: Any) -> Any:
        return self.dataset[int(self.indices[i])]
