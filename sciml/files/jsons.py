"""JSON that every reader takes: no NaN and no infinity, which are no JSON; null stands for them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def dumps(value: Any, **style: Any) -> str:
    """`json.dumps` of `valid(value)`; `style` is its further arguments."""
    return json.dumps(valid(value), allow_nan=False, **style)


def valid(value: Any) -> Any:
    """The value with null for numbers that are not finite, and plain numbers for numpy's."""
    if isinstance(value, Mapping):
        return {key: valid(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [valid(item) for item in value]
    if not isinstance(value, str | bytes) and hasattr(value, "tolist"):
        return valid(value.tolist())  # of numpy and torch: numbers and arrays
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
