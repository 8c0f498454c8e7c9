"""Parts of a data set: what is held out, and the rest by rule instead of by list."""

import numpy as np
import pytest

from sciml.data import parts
from sciml.errors import InputError


def test_few_examples_are_split_as_in_version_01():
    order = np.random.default_rng(4).permutation(100)
    rest, held_out = parts.split(100, 10, 4)
    assert np.array_equal(held_out, np.sort(order[:10]))
    assert np.array_equal(np.asarray(rest), np.sort(order[10:]))


def test_many_examples_are_split_without_a_list_of_them():
    size = 10**9
    rest, held_out = parts.split(size, 2000, 4)
    assert isinstance(rest, parts.Without)
    assert len(set(held_out.tolist())) == 2000 and len(rest) == size - 2000
    where = np.array([0, 1, 10**6, len(rest) - 1])
    assert not np.isin(rest[where], held_out).any()
    again, _ = parts.split(size, 2000, 4)
    assert np.array_equal(rest[where], again[where])


@pytest.mark.parametrize("taken", [[], [0], [9], [0, 1, 2], [3, 4, 8], [0, 9]])
def test_the_rest_is_the_complement(taken):
    rest = parts.Without(10, np.array(taken, np.int64))
    expected = np.setdiff1d(np.arange(10), taken)
    assert np.array_equal(rest[np.arange(len(rest))], expected)
    assert [int(rest[i]) for i in range(len(rest))] == expected.tolist()


def test_labelled_examples_are_drawn(monkeypatch):
    labels = np.where(np.arange(5000) % 3 == 0, -1, 1)
    listed, _ = parts.split(5000, 100, 0)
    monkeypatch.setattr(parts, "WHOLE", 10)
    by_rule, held_out = parts.split(5000, 100, 0)
    for indices in (listed, by_rule):
        drawn = parts.sample(indices, labels, 50, 1)
        assert len(set(drawn.tolist())) == 50 and (labels[drawn] == 1).all()
    assert not np.isin(drawn, held_out).any()


def test_nothing_left_is_refused():
    with pytest.raises(InputError, match="at least 2 examples, got 1"):
        parts.split(1, 1, 0, "mine")
