"""Few shapes: batches in the dense layout padded up to one of a few lengths.

A compiled step is compiled once a shape, and a CUDA graph replays one shape only. Padding changes
no result (`sciml.graph`); random choices that are drawn per row of a batch depend on its length.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional as F

from sciml import graph
from sciml.errors import InputError


def bucket(length: int, sizes: Sequence[int]) -> int:
    """The smallest of `sizes` that `length` fits into; beyond the largest, a multiple of that."""
    largest = max(sizes)
    return min((s for s in sizes if s >= length), default=-(-length // largest) * largest)


def padded(batch: Any, sizes: Sequence[int]) -> Any:
    """The batch with every part in the dense layout padded up to the bucket of its length.

    Args:
        batch: a batch (`sciml.graph`), anything with a method `padded(sizes)`, or containers of
            them, as of a mixture of sciences; whatever has no length stays as it is.
        sizes: lengths [nodes].

    Raises:
        InputError: nothing in it can be padded.
    """
    result = _padded(batch, sizes)
    if result is None:
        raise InputError(
            f"`buckets` pad batches in the dense layout, and this one ({type(batch).__name__}) has "
            "no such part",
            hint="Leave train.buckets empty, or give the batch a method padded(sizes)",
        )
    return result


def _padded(batch: Any, sizes: Sequence[int]) -> Any:
    """`padded`, or None where there is nothing to pad."""
    if callable(own := getattr(batch, "padded", None)):
        return own(sizes)
    if isinstance(batch, dict):
        parts = {key: _padded(value, sizes) for key, value in batch.items()}
        if all(part is None for part in parts.values()):
            return None
        return {key: value if parts[key] is None else parts[key] for key, value in batch.items()}
    if isinstance(batch, list | tuple) and not hasattr(batch, "_fields"):
        some = [_padded(value, sizes) for value in batch]
        if all(part is None for part in some):
            return None
        return type(batch)(old if new is None else new for old, new in zip(batch, some))
    if torch.is_tensor(getattr(batch, "mask", None)) and torch.is_tensor(getattr(batch, "x", None)):
        return _dense(batch, sizes)
    return None


def _dense(batch: Any, sizes: Sequence[int]) -> Any:
    """A batch in the dense layout, and those that it holds, padded with zeros."""
    length = batch.mask.shape[1]
    more = bucket(length, sizes) - length
    values: dict[str, Any] = {}
    for key in batch.keys():
        value = batch[key]
        if not torch.is_tensor(value):  # another batch, say, of the examples' other views
            inner = _padded(value, sizes)
            values[key] = value if inner is None else inner
        elif graph.is_pair_key(key):
            values[key] = F.pad(value, (0, 0) * (value.ndim - 3) + (0, more, 0, more))
        elif graph.is_node_key(key) or key == "mask":
            values[key] = F.pad(value, (0, 0) * (value.ndim - 2) + (0, more))
        else:
            values[key] = value
    return type(batch)(**values)
