"""Noisy Student: never sees a test label, keeps confident and balanced pseudo-labels, helps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sciml.errors import InputError
from sciml.graph import make_dense
from sciml.objectives.self_training import (
    Joined,
    Labelled,
    NoisyStudentConfig,
    Unlabelled,
    collate_labelled,
    ensemble_over_views,
    noisy_student,
    select,
    without_label,
)


class Poisoned(dict):
    """An example whose label must not be read."""

    def __getitem__(self, key):
        if key == "y":
            raise AssertionError("a label was read")
        return super().__getitem__(key)

    def items(self):
        return [(key, self[key]) if key != "y" else (key, None) for key in self]


class Labels(np.ndarray):
    """Labels of which only the labelled ones may be read."""

    allowed: set = set()

    def __getitem__(self, index):
        read = np.atleast_1d(np.asarray(index))
        assert set(read.tolist()) <= self.allowed, "a label outside `labelled` was read"
        return np.asarray(super().__getitem__(index))


def moons(number: int, seed: int = 0):
    """Two rings around one another: few labels say little, their shape says all."""
    random = torch.Generator().manual_seed(seed)
    y = torch.arange(number) % 2
    angle = torch.rand(number, generator=random) * 6.2832
    radius = 1.0 + y + 0.15 * torch.randn(number, generator=random)
    x = torch.stack([angle.cos() * radius, angle.sin() * radius], 1)
    return x, y


def make_model(width):
    return lambda: nn.Sequential(nn.Linear(2, width), nn.ReLU(), nn.Linear(width, 2))


def train(model, examples, generation):
    torch.manual_seed(generation)
    x = torch.stack([example["x"] for example, _ in examples])
    y = torch.stack([label for _, label in examples])
    optimizer = torch.optim.Adam(model.parameters(), 2e-2)
    for _ in range(120):
        noised = x + 0.1 * torch.randn_like(x) * (generation > 0)
        loss = F.cross_entropy(model(noised), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


@torch.no_grad()
def predict(model, examples):
    return model(
        torch.stack([e["x"] for e in (examples[i] for i in range(len(examples)))])
    ).softmax(-1)


def test_never_reads_a_label_it_must_not_and_the_student_is_no_worse():
    x, y = moons(400)
    dataset = [Poisoned(x=row, y=label) for row, label in zip(x, y)]
    labels = y.numpy().view(Labels)
    labelled, unlabelled, test = range(16), range(16, 300), range(300, 400)
    Labels.allowed = set(labelled)
    seen = []

    def train_and_watch(model, examples, generation):
        seen.append({int(i) for part in examples.parts for i in part.indices})
        return train(model, examples, generation)

    rounds = noisy_student(
        dataset,
        labels,
        2,
        labelled=labelled,
        unlabelled=unlabelled,
        test=test,
        models=[make_model(16), make_model(32), make_model(64)],
        train=train_and_watch,
        predict=predict,
        config=NoisyStudentConfig(threshold=0.8),
    )
    assert len(rounds) == 3 and seen[0] == set(labelled)
    assert all(not group & set(test) for group in seen)
    assert all(group <= set(labelled) | set(unlabelled) for group in seen)
    accuracy = [float((r.model(x[300:]).argmax(1) == y[300:]).float().mean()) for r in rounds]
    assert accuracy[-1] >= accuracy[0] and accuracy[-1] > 0.9
    for generation in rounds[1:]:
        assert (generation.labels.max(1).values >= 0.8).all()
        assert len(generation.selected) == len(generation.labels) > 50


def test_overlap_is_refused():
    args: dict[str, Any] = dict(models=[make_model(4)], train=train, predict=predict)
    x, y = moons(10)
    data = [{"x": row} for row in x]
    with pytest.raises(InputError, match="1 examples are both labelled and test"):
        noisy_student(data, y.numpy(), 2, labelled=[0, 1], unlabelled=[2], test=[1], **args)
    with pytest.raises(InputError, match="both unlabelled and test"):
        noisy_student(data, y.numpy(), 2, labelled=[0, 1], unlabelled=[2], test=[2], **args)
    with pytest.raises(InputError, match="labels in 0..1"):
        noisy_student(data, y.numpy() - 1, 2, labelled=[0, 1], unlabelled=[2], test=[], **args)
    with pytest.raises(InputError, match="no pseudo-label"):
        args["models"] = [make_model(4)] * 2
        noisy_student(
            data,
            y.numpy(),
            2,
            labelled=[0, 1],
            unlabelled=[2],
            test=[3],
            config=NoisyStudentConfig(threshold=1.0),
            **args,
        )


def test_selection_by_confidence_and_balance():
    scores = torch.tensor([[0.9, 0.1], [0.55, 0.45], [0.2, 0.8], [0.7, 0.3], [0.99, 0.01]])
    selected, labels = select(scores, NoisyStudentConfig(threshold=0.6))
    assert selected.tolist() == [0, 2, 3, 4] and torch.equal(labels, scores[selected])
    selected, labels = select(scores, NoisyStudentConfig(threshold=0.6, per_class=2, soft=False))
    assert selected.tolist() == [
        4,
        0,
        2,
        2,
    ]  # the best two of one class, the other's only one twice
    assert labels.tolist() == [[1, 0], [1, 0], [0, 1], [0, 1]]


def test_data_sets_of_graphs():
    items = [{"x": torch.full((2, 1), float(i)), "y": torch.tensor(i)} for i in range(6)]
    soft = torch.eye(3)
    joined = Joined(
        [
            Labelled(items, [4, 2, 0], soft),
            Labelled(items, [], torch.zeros(0, 3)),
            Labelled(items, [1, 3, 5], soft.flip(0)),
        ]
    )
    assert len(joined) == 6 and float(joined[4][0]["x"][0]) == 3
    batch = collate_labelled(make_dense)([joined[i] for i in range(6)])
    assert batch.x[:, 0, 0].tolist() == [4, 2, 0, 1, 3, 5]
    assert torch.equal(batch.y, torch.cat([soft, soft.flip(0)]))
    graph = make_dense(items)
    assert without_label(graph).to_dict().keys() == {"x", "mask"} and "y" in graph
    assert "y" not in Unlabelled(items, [1])[0]
    with pytest.raises(InputError, match="as many labels"):
        Labelled(items, [1, 2], soft)


def test_views_agree_by_the_geometric_mean():
    scores = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5], [1.0, 0.0]])
    combined = ensemble_over_views(scores, np.array([7, 3, 7, 5]))
    torch.testing.assert_close(combined[[0, 2]], torch.tensor([[0.75, 0.25]] * 2))  # 3 : 1
    torch.testing.assert_close(combined[[1, 3]], scores[[1, 3]])


def test_labels_that_views_agree_on_are_better():
    """Two noisy looks at each point: what both say together is right more often than each alone,
    which labels of unrelated points together are not."""
    torch.manual_seed(0)
    x, y = moons(600)
    noisy = x.repeat_interleave(2, 0) + 0.5 * torch.randn(1200, 2)
    dataset = [{"x": row} for row in torch.cat([x[:40], noisy[80:]])]
    labels = np.concatenate([y[:40], np.full(1120, -1)])
    truth = y.repeat_interleave(2)[80:]
    indices = np.arange(1120)

    def right(views):
        rounds = noisy_student(
            dataset, labels, 2, labelled=range(40), unlabelled=range(40, 1160), test=[],
            models=[make_model(16), make_model(16)], train=train, predict=predict,
            config=NoisyStudentConfig(threshold=0), views=views,
        )  # fmt: skip
        return float((rounds[1].labels.argmax(1) == truth[rounds[1].selected]).float().mean())

    alone = right(None)
    assert right(indices // 2) > alone + 0.03
    shuffled = np.random.default_rng(0).permutation(indices // 2)
    assert right(shuffled) < alone - 0.03
