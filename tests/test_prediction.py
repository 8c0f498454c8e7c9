"""Results that are used as their main array."""

import copy
import pickle
from dataclasses import FrozenInstanceError, dataclass
from typing import Any

import numpy as np
import pytest
import torch

from sciml.prediction import ArrayResult


@dataclass(frozen=True, eq=False, repr=False)
class Result(ArrayResult):
    ARRAY = "values"
    values: np.ndarray
    flags: np.ndarray


@pytest.fixture
def result() -> Any:
    return Result(np.arange(6.0).reshape(3, 2), np.zeros(3, int))


def test_as_array(result):
    values = np.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(result, values)
    np.testing.assert_array_equal(np.asarray(result, dtype=np.float32), values.astype(np.float32))
    np.testing.assert_array_equal(result[:, 1], values[:, 1])
    np.testing.assert_array_equal([row.sum() for row in result], values.sum(1))
    np.testing.assert_array_equal(result.argmax(1), values.argmax(1))
    np.testing.assert_array_equal(np.concatenate([result, result]), np.concatenate([values] * 2))
    np.testing.assert_array_equal(torch.as_tensor(np.asarray(result)).numpy(), values)
    assert result.shape == (3, 2) and len(result) == 3 and result.dtype == np.float64
    assert np.isfinite(result).all() and (result > 2).sum() == 3
    assert type(1 - result) is np.ndarray and type(result + result) is np.ndarray
    assert np.asarray(result) is result.values  # no copy unless asked for
    assert np.array(result, copy=True) is not result.values


def test_dataclass(result):
    assert result.flags.sum() == 0
    with pytest.raises(FrozenInstanceError):
        result.values = None
    assert repr(result) == "Result(values=float64[3, 2], flags=int64[3])"
    for again in (copy.deepcopy(result), pickle.loads(pickle.dumps(result))):
        np.testing.assert_array_equal(again, result)
    with pytest.raises(AttributeError, match="no attribute 'flag'; its fields are values, flags"):
        result.flag  # noqa: B018
