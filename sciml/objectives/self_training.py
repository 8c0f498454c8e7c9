"""Noisy Student: a teacher labels unlabelled examples, a noised, larger student learns from them.

Xie et al. 2019, arXiv:1911.04252, algorithm 1: train a teacher on labelled examples; let it label
the unlabelled ones without noise; keep the confident ones, balanced over classes; train a student
that is at least as large, with noise (dropout, stochastic depth, augmentation), on both; make the
student the teacher and repeat. Unlabelled examples that are views of one thing share a
pseudo-label, by an ensemble of the teacher's answers to all of them.

Training and prediction are the caller's functions, so that any model, engine or device will do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor, nn

from sciml.config import Range
from sciml.errors import InputError
from sciml.graph import optional
from sciml.objectives.base import Examples, changed


@dataclass(frozen=True)
class NoisyStudentConfig:
    """Which pseudo-labels are used."""

    threshold: Annotated[float, Range(min=0, max=1)] = 0.6
    """Least probability of a pseudo-label's class."""
    per_class: Annotated[int, Range(min=0)] = 0
    """Pseudo-labelled examples of each class, the most confident ones, repeated where there are
    too few; 0 = all above the threshold, unbalanced."""
    soft: bool = True
    """Use the teacher's probabilities as labels, not its best class."""


@dataclass
class Round:
    """One generation.

    Attributes:
        model: the trained model.
        selected: indices of the unlabelled examples whose pseudo-labels it learned from (empty for
            the first teacher).
        labels: [len(selected), classes] their pseudo-labels.
    """

    model: nn.Module
    selected: np.ndarray
    labels: Tensor


class Unlabelled:
    """Examples of a data set by index, for prediction only: their labels are not read."""

    def __init__(self, dataset: Examples, indices: Sequence[int] | np.ndarray) -> None:
        self.dataset = dataset
        self.indices = np.asarray(indices, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, i: int) -> Any:
        return without_label(self.dataset[int(self.indices[i])])


class Labelled:
    """Examples with a soft label [classes] each, as (example without its own label, label)."""

    def __init__(
        self, dataset: Examples, indices: Sequence[int] | np.ndarray, labels: Tensor
    ) -> None:
        if len(indices) != len(labels):
            raise InputError(f"{len(indices)} examples need as many labels, got {len(labels)}")
        self.dataset = dataset
        self.indices = np.asarray(indices, dtype=np.int64)
        self.labels = labels.float()

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, i: int) -> tuple[Any, Tensor]:
        return without_label(self.dataset[int(self.indices[i])]), self.labels[i]


class Joined:
    """Data sets one after the other."""

    def __init__(self, parts: Sequence[Examples]) -> None:
        self.parts = [part for part in parts if len(part)]
        self.ends = np.cumsum([len(part) for part in self.parts])

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def __getitem__(self, i: int) -> Any:
        part = int(np.searchsorted(self.ends, i, side="right"))
        return self.parts[part][i - (int(self.ends[part - 1]) if part else 0)]


def without_label(example: Any) -> Any:
    """A copy of an example (mapping or `Data`) without `y`."""
    if isinstance(example, dict):
        return {key: value for key, value in example.items() if key != "y"}
    if optional(example, "y") is not None:
        example = changed(example)
        del example["y"]
    return example


def collate_labelled(collate: Callable[[list[Any]], Any]) -> Callable[[list[Any]], Any]:
    """`collate` for the items of `Labelled`: the batch gets `y` [B, classes]."""

    def together(items: list[Any]) -> Any:
        batch = collate([example for example, _ in items])
        batch.y = torch.stack([label for _, label in items])
        return batch

    return together


def select(scores: Tensor, config: NoisyStudentConfig) -> tuple[np.ndarray, Tensor]:
    """(indices, [K, classes] labels) of the confident ones among [M, classes] probabilities."""
    confidence, best = scores.max(1)
    sure = (confidence >= config.threshold).nonzero()[:, 0]
    if config.per_class:
        chosen = []
        for c in range(scores.shape[1]):
            members = sure[best[sure] == c]
            members = members[confidence[members].argsort(descending=True, stable=True)]
            if len(members):
                chosen.append(members[torch.arange(config.per_class) % len(members)])
        sure = torch.cat(chosen) if chosen else sure
    labels = scores[sure]
    if not config.soft:
        labels = torch.nn.functional.one_hot(best[sure], scores.shape[1]).to(scores)
    return sure.numpy(), labels


def ensemble_over_views(scores: Tensor, views: np.ndarray) -> Tensor:
    """Probabilities [M, classes] of one thing from those of its views.

    The normalised geometric mean over all rows with the same number in `views` [M]: independent
    answers taken together (Hinton 2002, products of experts), no surer than they are on average.
    """
    _, group = np.unique(views, return_inverse=True)
    of_view = torch.from_numpy(group)
    logs = scores.double().clamp(min=1e-12).log()
    sums = logs.new_zeros(int(of_view.max()) + 1, logs.shape[1]).index_add_(0, of_view, logs)
    counts = torch.bincount(of_view)[:, None]
    return (sums / counts).softmax(1)[of_view].to(scores)


def noisy_student(
    dataset: Examples,
    labels: np.ndarray,
    classes: int,
    *,
    labelled: Sequence[int] | np.ndarray,
    unlabelled: Sequence[int] | np.ndarray,
    test: Sequence[int] | np.ndarray,
    models: Sequence[Callable[[], nn.Module]],
    train: Callable[[nn.Module, Joined, int], nn.Module],
    predict: Callable[[nn.Module, Unlabelled], Tensor],
    config: NoisyStudentConfig | None = None,
    views: np.ndarray | None = None,
) -> list[Round]:
    """Teacher and students, one per generation.

    Args:
        dataset: examples; a `y` of theirs is never read.
        labels: [len(dataset)] int64; only `labels[labelled]` is read.
        classes: number of classes.
        labelled, unlabelled, test: indices; they must not overlap. The test examples are named
            only so that this can be checked.
        models: makes the model of each generation: teacher, student, larger student, ...
        train: (new model, examples as (example, soft label), generation) -> trained model. The
            noise is the model's and this function's business; `collate_labelled` makes batches.
        predict: (model, examples) -> [M, classes] probabilities, without noise.
        config: which pseudo-labels are used.
        views: [len(unlabelled)]; unlabelled examples with the same number are views of one thing
            and share a label (`ensemble_over_views`).

    Raises:
        InputError: overlapping indices, no model, a label out of range, or no confident
            pseudo-label in a generation.
    """
    config = config or NoisyStudentConfig()
    if not models:
        raise InputError("self-training needs at least one model")
    parts = {"labelled": labelled, "unlabelled": unlabelled, "test": test}
    names = list(parts)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            both = np.intersect1d(np.asarray(parts[one]), np.asarray(parts[other]))
            if len(both):
                raise InputError(
                    f"{len(both)} examples are both {one} and {other}",
                    where=f"example {int(both[0])}",
                )
    train_labels = torch.as_tensor(np.asarray(labels)[np.asarray(labelled, dtype=np.int64)])
    if not len(train_labels) or int(train_labels.min()) < 0 or int(train_labels.max()) >= classes:
        raise InputError(f"the labelled examples need labels in 0..{classes - 1}")
    truth = Labelled(dataset, labelled, torch.nn.functional.one_hot(train_labels.long(), classes))
    nothing = np.zeros(0, dtype=np.int64)
    rounds = [Round(train(models[0](), Joined([truth]), 0), nothing, torch.zeros(0, classes))]
    pool = Unlabelled(dataset, unlabelled)
    for generation, model in enumerate(models[1:], start=1):
        scores = predict(rounds[-1].model, pool)
        if tuple(scores.shape) != (len(pool), classes):
            raise InputError(
                f"`predict` must give [{len(pool)}, {classes}] probabilities, "
                f"got {tuple(scores.shape)}"
            )
        selected, soft = select(
            scores if views is None else ensemble_over_views(scores, views), config
        )
        if not len(selected):
            raise InputError(
                f"no pseudo-label of generation {generation} reaches {config.threshold:g} "
                f"(highest {float(scores.max()):.2f})",
                hint="Lower the threshold",
            )
        pseudo = Labelled(dataset, pool.indices[selected], soft)
        student = train(model(), Joined([truth, pseudo]), generation)
        rounds.append(Round(student, selected, soft))
    return rounds
