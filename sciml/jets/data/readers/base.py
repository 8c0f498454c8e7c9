"""The interface of readers of jets, and one-line errors for damaged files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from sciml.errors import InputError, nearest
from sciml.jets.data.columns import IDENTITY, MOMENTUM, TRACK


class Reader(ABC):
    """Jets of one open file, one row per jet, in file order.

    `columns` are the names that can be read: JetClass's names wherever the format holds the
    quantity, the file's own names otherwise.
    """

    format: str
    """Name of the format, for people."""
    path: Path
    columns: tuple[str, ...]
    hint: str | None = None
    """Hint of the error about a missing column; None: a list of the columns."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of jets."""

    @abstractmethod
    def _batches(
        self, columns: list[str], step: int, start: int, stop: int
    ) -> Iterator[dict[str, Any]]:
        """Rows start .. stop - 1 of existing columns, at most `step` at a time."""

    def iterate(
        self,
        columns: Sequence[str] | None = None,
        step: int = 2000,
        start: int = 0,
        stop: int | None = None,
    ) -> Iterator[ak.Array]:
        """Jets in file order, at most `step` in an array; memory is bounded by a few steps.

        Args:
            columns: which; all of them if None.
            step: jets in an array.
            start: first row.
            stop: row after the last; the file's length if None.

        Raises:
            InputError: a column is missing (the nearest are named), the columns of a jet differ
                in length, or the file turns out to be damaged.
        """
        names = list(self.columns) if columns is None else list(dict.fromkeys(columns))
        self.require(names)
        size = len(self)
        start = max(0, start)
        stop = size if stop is None else min(stop, size)
        done = start
        # Guarded step by step: an error in the caller's loop is not the file's fault.
        batches = self._batches(names, step, start, stop) if stop > start else iter(())
        while True:
            with guarded(self.path, self.format):
                batch = next(batches, None)
                if batch is None:
                    break
                array = record({name: batch[name] for name in names}, self.path, done)
            if not len(array):  # fewer jets than the file claims
                break
            done += len(array)
            del batch
            yield array
            del array  # before the next ones are read
        if done < stop:
            raise InputError(
                f"is damaged: it promises {size} jets and holds {done}", where=self.path
            )

    def require(self, columns: Sequence[str]) -> None:
        """Raises an `InputError` that names every column of these that the file lacks."""
        hint, missing = self.hint, set(columns) - set(self.columns)
        if missing and missing <= {*TRACK, *IDENTITY} and set(MOMENTUM) <= set(self.columns):
            hint = hint or "The model jets-kin-small reads momenta alone"
        require(columns, self.columns, self.path, hint)

    def empty(self, columns: list[str]) -> ak.Array:
        """An array without jets that has these columns, with their types."""
        lists = ak.Array([[np.float32(0)]])[:0]
        number = np.zeros(0, np.float32)
        return ak.Array({n: lists if n.startswith("part_") else number for n in columns})

    def close(self) -> None:  # noqa: B027  (most readers hold nothing)
        """Close the file."""

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def require(
    columns: Sequence[str], available: Sequence[str], where: object, hint: str | None = None
) -> None:
    """Raises an `InputError` that names every missing column and the nearest one to each."""
    missing = [name for name in columns if name not in available]
    if not missing:
        return
    parts = []
    for name in missing[:6]:
        close = nearest(name, available, most=1)
        parts.append(repr(name) + (f" (did you mean {close[0]!r}?)" if close else ""))
    if len(missing) > 6:
        parts.append(f"{len(missing) - 6} more")
    shown = ", ".join(list(available)[:12]) + (", ..." if len(available) > 12 else "")
    raise InputError(
        f"has no column {', '.join(parts)}",
        where=where,
        hint=hint or f"It has {shown or 'no columns'}",
    )


def record(columns: dict[str, Any], where: object = None, first: int = 0) -> ak.Array:
    """Columns of one length as an awkward record array.

    Raises:
        InputError: columns of different length; `part_*` lists of one jet that differ in length.
    """
    arrays = {name: array_of(column) for name, column in columns.items()}
    sizes = {len(array) for array in arrays.values()}
    if len(sizes) > 1:
        raise InputError(f"columns hold different numbers of jets: {sorted(sizes)}", where=where)
    counts: Any = None
    for name, array in arrays.items():
        if not name.startswith("part_") or array.ndim < 2:
            continue
        count = lengths(array)
        if counts is None:
            counts, reference = count, name
        elif (bad := np.flatnonzero(count != counts)).size:
            jet = int(bad[0])
            raise InputError(
                f"jet {first + jet} has {counts[jet]} values in {reference!r} and {count[jet]} in "
                f"{name!r}",
                where=where,
                hint="Columns of particles must have one length per jet",
            )
    return ak.zip(arrays, depth_limit=1)


def array_of(column: Any) -> ak.Array:
    """An awkward array of a column; numbers in this machine's byte order, others cannot be used."""
    if isinstance(column, np.ndarray) and not column.dtype.isnative:
        column = column.astype(column.dtype.newbyteorder("="))
    return column if isinstance(column, ak.Array) else ak.Array(column)


def lengths(array: ak.Array) -> Any:
    """Length of each list; from the offsets where there are any (`ak.num` starts ten times
    slower)."""
    layout = array.layout
    if type(layout) is ak.contents.ListOffsetArray:
        return np.diff(np.asarray(layout.offsets.data))
    return ak.to_numpy(ak.num(array, axis=1))


def plain(array: ak.Array) -> ak.Array:
    """Without missing values: NaN for a missing number, an empty list for a missing list.

    A jet with such a fault keeps its row and is flagged later, since NaN is not a momentum. Types
    stay unchanged where nothing is missing.
    """
    return ak.Array(_plain(array.layout))


def _plain(layout: Any) -> Any:
    if layout.is_option:
        content = layout.project()
        if len(content) == len(layout):
            return _plain(content)
        missing: Any = [] if content.is_list else np.nan
        return _plain(ak.fill_none(layout, missing, axis=0, highlevel=False))
    if layout.is_list:
        packed = layout.to_ListOffsetArray64(True)
        content = packed.content[: packed.offsets[-1]]
        return ak.contents.ListOffsetArray(packed.offsets, _plain(content))
    return layout


@contextmanager
def guarded(path: Path, kind: str) -> Iterator[None]:
    """Turns whatever a library raises on a damaged file into one `InputError`.

    On damaged bytes libraries raise every kind of exception (struct.error, KeyError, zlib.error,
    UnicodeDecodeError, RecursionError, ...), so all of them are caught, here alone.
    """
    try:
        yield
    except (InputError, KeyboardInterrupt, GeneratorExit):
        raise
    except MemoryError as error:
        raise InputError(f"this {kind} file needs more memory than there is", where=path) from (
            error
        )
    except Exception as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise InputError(
            f"cannot be read as a {kind} file: it is damaged or truncated ({reason})", where=path
        ) from error
