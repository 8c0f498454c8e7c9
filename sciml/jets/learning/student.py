"""A student network: learns from a few labels and from pseudo-labels of unlabelled jets.

Noisy Student (`sciml.objectives.self_training`) in one generation, with jets in memory. The
pseudo-labels come from a teacher, best an ensemble of networks and boosted trees; all jets of one
hard-scatter event (`sciml.jets.learning.views`) share the mean of their pseudo-labels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sciml.jets.data.sample import JetSample
from sciml.jets.networks.embedder import collate
from sciml.objectives.self_training import (
    Joined,
    NoisyStudentConfig,
    collate_labelled,
    noisy_student,
)
from sciml.objectives.supervised import Supervised

Train = Callable[[Supervised, Any, NDArray[np.int64], Callable[[list[Any]], Any]], None]
"""Trains a network in place: (network, examples, [n] constituents per example, collate)."""


def student(
    network: Supervised, labelled: JetSample, unlabelled: JetSample, scores: NDArray[np.float32],
    train: Train, *, per_class: int = 0, views: NDArray[Any] | None = None,
) -> Supervised:  # fmt: skip
    """Train `network`, whose `augment` is the noise, on labelled and on pseudo-labelled jets.

    Args:
        network: the student.
        labelled: jets whose labels count.
        unlabelled: jets whose labels are not read.
        scores: [len(unlabelled), classes] the teacher's probabilities.
        train: see `Train`.
        per_class: see `NoisyStudentConfig`.
        views: [len(unlabelled)] hard-scatter event ids.

    Raises:
        InputError: scores of another shape.
    """
    examples: Any = Joined([labelled, unlabelled])
    truth = np.concatenate([labelled.y, np.full(len(unlabelled), -1)])

    def learn(model: nn.Module, data: Any, generation: int) -> nn.Module:
        if generation:
            lengths = np.array([len(example["x"]) for example, _ in data])
            train(network, data, lengths, collate_labelled(collate))
        return model

    noisy_student(
        examples, truth, len(labelled.classes), labelled=range(len(labelled)),
        unlabelled=range(len(labelled), len(examples)), test=[],
        models=[nn.Identity, lambda: network], train=learn,
        predict=lambda *_: torch.from_numpy(np.asarray(scores)),
        config=NoisyStudentConfig(threshold=0, per_class=per_class), views=views,
    )  # fmt: skip
    return network
