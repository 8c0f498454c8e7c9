"""Predictions: frozen dataclasses of arrays that can be used as their main array.

@dataclass(frozen=True, eq=False, repr=False)
class JetScores(ArrayResult):
    ARRAY = "probabilities"
    probabilities: np.ndarray
    flags: np.ndarray

scores = JetScores(...)
np.asarray(scores), scores[:, 1], scores.argmax(1)  # all of scores.probabilities
scores.flags
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin


class ArrayResult(NDArrayOperatorsMixin):
    """Mixin of a dataclass that behaves as one of its arrays.

    Indexing, iteration, operators, numpy's functions and all attributes of arrays (`shape`,
    `argmax`, ...) are those of the field that the class variable `ARRAY` names.
    """

    ARRAY: ClassVar[str]

    @property
    def _array(self) -> np.ndarray:
        return getattr(self, self.ARRAY)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self._array, dtype=dtype, copy=copy)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """Operators and ufuncs act on the main array and give plain arrays."""
        plain = [x._array if isinstance(x, ArrayResult) else x for x in inputs]
        return getattr(ufunc, method)(*plain, **kwargs)

    def __getitem__(self, index: Any) -> Any:
        return self._array[index]

    def __len__(self) -> int:
        return len(self._array)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._array)

    def __getattr__(self, name: str) -> Any:
        # Only called for what the dataclass itself lacks; private names (of pickle, copy) never.
        if name.startswith("_") or name in {f.name for f in dataclasses.fields(self)}:  # type: ignore[arg-type]
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        try:
            return getattr(self._array, name)
        except AttributeError:
            fields = ", ".join(field.name for field in dataclasses.fields(self))  # type: ignore[arg-type]
            raise AttributeError(
                f"{type(self).__name__} has no attribute {name!r}; its fields are {fields}"
            ) from None

    def __repr__(self) -> str:
        parts = []
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            array = isinstance(value, np.ndarray) and value.ndim
            shown = f"{value.dtype}{list(value.shape)}" if array else repr(value)
            parts.append(f"{field.name}={shown}")
        return f"{type(self).__name__}({', '.join(parts)})"
