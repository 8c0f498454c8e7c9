"""What is written as JSON can be read by every reader of JSON."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sciml.files.jsons import dumps

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def strict(text):
    def refuse(word):
        raise ValueError(word)

    return json.loads(text, parse_constant=refuse)


@given(VALUES)
def test_null_stands_for_what_is_no_number(value):
    def wanted(x):
        if isinstance(x, dict):
            return {k: wanted(v) for k, v in x.items()}
        if isinstance(x, list):
            return [wanted(v) for v in x]
        return None if isinstance(x, float) and not math.isfinite(x) else x

    assert strict(dumps(value)) == wanted(value)


@pytest.mark.parametrize("number", [np.float32(np.nan), np.inf, torch.tensor(-math.inf)])
def test_numbers_of_arrays(number):
    assert strict(dumps({"a": (number, np.int64(3)), "b": np.array([1.5, np.nan])})) == {
        "a": [None, 3],
        "b": [1.5, None],
    }
