"""The order of examples: whole permutations as they were, windows that start anywhere at once."""

import time
import tracemalloc
from itertools import islice

import numpy as np
import pytest

from sciml.data.order import Order
from sciml.train.sampler import Plan


def epoch_of_version_01(plan, epoch):
    """`Plan.epoch` as it was while every order was one permutation."""
    random = np.random.default_rng([plan.seed, epoch])
    order = random.permutation(plan.size) if plan.shuffle else np.arange(plan.size)
    if plan.lengths is None or not plan.shuffle:
        return [order[i : i + plan.batch_size] for i in range(0, plan.size, plan.batch_size)]
    pool = 64 * plan.batch_size
    batches = []
    for start in range(0, plan.size, pool):
        chunk = order[start : start + pool]
        chunk = chunk[np.argsort(plan.lengths[chunk], kind="stable")]
        batches += [chunk[i : i + plan.batch_size] for i in range(0, len(chunk), plan.batch_size)]
    return [batches[i] for i in random.permutation(len(batches))]


@pytest.mark.parametrize("bucketed", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
def test_few_examples_keep_the_order_of_version_01(bucketed, shuffle):
    lengths = np.random.default_rng(0).integers(1, 50, 1003) if bucketed else None
    plan = Plan(1003, 7, seed=5, lengths=lengths, shuffle=shuffle)
    for epoch in range(3):
        before, now = epoch_of_version_01(plan, epoch), list(plan.epoch(epoch))
        assert len(before) == len(now) == plan.steps_per_epoch
        assert all(np.array_equal(a, b) for a, b in zip(before, now, strict=True))


@pytest.mark.parametrize("shuffle", [False, True])
def test_windows_give_every_example_once_and_start_anywhere(shuffle):
    order = Order(1003, 3, 1, shuffle, whole=100, block=16, window=4)
    whole = np.concatenate(list(order.chunks(10)))
    assert sorted(whole.tolist()) == list(range(1003))
    assert np.array_equal(whole, np.arange(1003)) != shuffle
    for start in (0, 10, 60, 64, 630, 1000):
        assert np.array_equal(np.concatenate(list(order.chunks(10, start))), whole[start:])
    other = np.concatenate(list(Order(1003, 3, 2, shuffle, 100, 16, 4).chunks(10)))
    assert np.array_equal(whole, other) != shuffle


def test_a_window_reads_few_blocks_and_mixes_them():
    order = Order(10_000, 0, 0, whole=100, block=100, window=5)
    first = next(order.chunks(500))
    assert len(np.unique(first // 100)) == 5
    assert len(np.unique(first[:50] // 100)) == 5


@pytest.mark.parametrize("bucketed", [False, True])
def test_many_examples_resume_within_an_epoch(bucketed, monkeypatch):
    monkeypatch.setattr("sciml.train.sampler.Order", small_windows)
    lengths = np.random.default_rng(0).integers(1, 50, 5003) if bucketed else None
    plan = Plan(5003, 7, seed=5, lengths=lengths)
    steps = list(plan.epoch(0))
    assert len(steps) == plan.steps_per_epoch
    assert sorted(np.concatenate(steps).tolist()) == list(range(5003))
    for position in (1, 63, 64, 65, 700):
        later = list(plan.epoch(0, position))
        assert all(np.array_equal(a, b) for a, b in zip(later, steps[position:], strict=True))
    if lengths is not None:  # batches hold similar lengths, pools do not
        spread = np.mean([np.ptp(lengths[batch]) for batch in steps])
        assert spread < 0.3 * np.mean([np.ptp(lengths[i : i + 7]) for i in range(0, 5003, 7)])


def small_windows(size: int, seed: int, epoch: int, shuffle: bool) -> Order:
    return Order(size, seed, epoch, shuffle, whole=100, block=64, window=4)


def test_processes_share_the_order(monkeypatch):
    monkeypatch.setattr("sciml.train.sampler.Order", small_windows)
    one = list(islice(Plan(1000, 8).micro_batches(120), 12))
    parts = [list(islice(Plan(1000, 8, rank=r, world=2).micro_batches(120), 12)) for r in (0, 1)]
    for whole, left, right in zip(one, *parts, strict=True):
        assert whole.indices == tuple(x for pair in zip(left.indices, right.indices, strict=True)
                                      for x in pair)  # fmt: skip


class ZeroLengths:
    def __len__(self):
        return 10**8

    def __getitem__(self, indices):
        return np.zeros(len(indices))


def test_a_hundred_million_examples_begin_at_once_in_little_memory():
    for lengths in (None, ZeroLengths()):
        plan = Plan(10**8, 512, lengths=lengths)
        tracemalloc.start()
        began = time.process_time()
        batch = next(plan.micro_batches(100_000))
        assert time.process_time() - began < 2
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
        tracemalloc.stop()
        assert len(set(batch.indices)) == 512
