"""Slices on all cores: every one once, errors come through, torch's settings stay."""

import threading

import pytest
import torch

from sciml.nn.workers import by_slices, for_each

CPU = torch.device("cpu")


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_every_slice_once_and_in_parallel(two_threads: None) -> None:
    x = torch.arange(40.0)
    names, both = set(), threading.Barrier(2, timeout=30)

    def work(part: slice) -> None:
        if part.start < 2:
            both.wait()  # only passes if two threads are here at once
        names.add(threading.current_thread().name)
        assert torch.get_num_threads() == 1 and not torch.is_grad_enabled()
        x[part] += 1

    with torch.no_grad():
        for_each([slice(k, k + 1) for k in range(40)], work, CPU)
    assert torch.equal(x, torch.arange(1.0, 41.0))
    assert len(names) == 2 and torch.get_num_threads() == 2


def test_with_gradients_in_order_in_this_thread(two_threads: None) -> None:
    seen = []
    for_each([slice(k, k + 1) for k in range(5)], lambda part: seen.append(part.start), CPU)
    assert seen == list(range(5))


def test_errors_come_through(two_threads: None) -> None:
    def work(part: slice) -> None:
        raise ValueError(f"slice {part.start}")

    with torch.no_grad(), pytest.raises(ValueError, match="slice"):
        for_each([slice(0, 1), slice(1, 2)], work, CPU)


def test_only_slices_use_several_cores(two_threads: None) -> None:
    names, both = set(), threading.Barrier(2, timeout=30)

    def work(part: slice) -> None:
        both.wait()
        names.add(threading.current_thread().name)

    with torch.no_grad(), by_slices(CPU):
        assert torch.get_num_threads() == 1
        for_each([slice(0, 1), slice(1, 2)], work, CPU)
        assert torch.get_num_threads() == 1
    assert len(names) == 2 and torch.get_num_threads() == 2
    with by_slices(CPU):  # with gradients nothing changes
        assert torch.get_num_threads() == 2
