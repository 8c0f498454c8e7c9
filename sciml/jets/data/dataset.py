"""A map-style data set of jets: any format, larger than memory, with lengths for bucketing.

Files are read once, in order and in bounded memory, into flat arrays: 16 float32 per constituent
(`sciml.jets.data.columns.COLUMNS`), offsets, jet momenta, labels. Small sets stay in memory; large
ones become memory-mapped files in a cache folder, made once for a set of files and reused. A jet is
then one slice of them, any order of access is possible, and training that resumes from
a sampler's state is exact, with any number of workers and ranks.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sciml.errors import InputError
from sciml.files import kept
from sciml.files.locks import left_by_the_dead, token
from sciml.jets.data.columns import COLUMNS, JET_MOMENTUM
from sciml.jets.data.features import FEATURE_SETS, MAX_PARTICLES, Jets
from sciml.jets.data.io import expand, open_jets
from sciml.jets.data.ragged import padded, to_ragged
from sciml.paths import cache_dir, existing_file

if TYPE_CHECKING:
    from torch_geometric.data import Data

_ARRAYS = {"particles": (len(COLUMNS),), "jets": (2,), "counts": (), "labels": (), "flags": ()}
_TYPES = {"particles": "float32", "jets": "float32"}
"""Everything else is int64."""
STEP = 20_000
"""Jets read at a time: about 200 MB; smaller steps need more calls of the ROOT library."""


class JetDataset:
    """Jets of one or more files as a sequence.

    `dataset[i]` is what `sciml.jets.networks.embedder.collate` takes: x [n, 16] float32
    (`sciml.jets.data.columns.COLUMNS`; GeV, mm), jet [2] float32 (pT, energy; GeV), y int64.

    Args:
        paths: a path, a glob pattern, or a list of them.
        classes: names of the `label_<class>` columns; a jet's label is the index of the one that
            is set. Empty: no labels.
        features: which of `sciml.jets.data.features.FEATURES` are needed; columns for others may be
            missing (they are zero).
        limit: constituents kept per jet, the leading ones in pT.
        memory: bytes above which the data set lies in memory-mapped files.
        cache: folder for those; the user's cache folder if None.
        good: leave out jets with a fault (empty, not finite, ...).
        format, tree: see `sciml.jets.data.io.open_jets`.

    Raises:
        InputError: a file cannot be read, lacks a column, or a jet has no or several labels.
    """

    def __init__(
        self,
        paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        *,
        classes: Sequence[str] = (),
        features: tuple[int, ...] = FEATURE_SETS["full"],
        limit: int = MAX_PARTICLES,
        memory: int = 2 << 30,
        cache: str | os.PathLike[str] | None = None,
        good: bool = True,
        format: str | None = None,
        tree: str | None = None,
    ) -> None:
        self.files = expand(paths)
        self.classes = tuple(classes)
        self._options = {
            "files": [_identity(path) for path in self.files],
            "classes": list(self.classes),
            "features": list(features),
            "limit": limit,
            "format": format,
            "tree": tree,
            "version": 1,
        }
        key = hashlib.sha256(json.dumps(self._options, sort_keys=True).encode()).hexdigest()[:20]
        folder = Path(cache or cache_dir() / "jets") / key
        if _is_whole(folder):
            arrays = {name: _mapped(folder / f"{name}.bin", name) for name in _ARRAYS}
        else:
            arrays = self._pack(folder, features, limit, memory, format, tree)
        self._particles = arrays["particles"]
        counts, all_labels = np.asarray(arrays["counts"]), np.asarray(arrays["labels"])
        self._offsets = np.concatenate([[0], np.cumsum(counts)])
        flags = np.asarray(arrays["flags"])
        self.rows = np.flatnonzero(flags == 0) if good else np.arange(len(counts))
        """Row of every jet in the files, read one after the other [len(self)]."""
        self.lengths: NDArray[np.int64] = counts[self.rows]
        """Number of constituents of every jet [len(self)]."""
        self.y: NDArray[np.int64] = all_labels[self.rows]
        """Class of every jet [len(self)], -1 without labels."""
        # Tensors over the same memory: an item is then three views, without a copy.
        self._x, self._jet, self._y = (
            torch.from_numpy(array) for array in (self._particles, arrays["jets"], self.y)
        )

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        row = self.rows[index]
        return {
            "x": self._x[self._offsets[row] : self._offsets[row + 1]],
            "jet": self._jet[row],
            "y": self._y[index],
        }

    def batch(self, indices: Sequence[int] | NDArray[np.int64]) -> Data:
        """The raw batch (`networks.embedder`) of these jets, padded to the longest one.

        Equal to `collate([dataset[i] for i in indices])`, in one compiled pass.
        """
        from sciml.jets.networks.embedder import raw_batch

        index = np.asarray(indices, np.int64)
        rows = self.rows[index]
        starts = self._offsets[rows]
        particles, mask = padded(self._particles, starts, self._offsets[rows + 1] - starts)
        zeros = torch.zeros(len(rows), dtype=torch.int64)
        jets = Jets(
            torch.from_numpy(particles), self._jet[rows], torch.from_numpy(mask), zeros, zeros
        )
        return raw_batch(jets, self._y[index])

    def _pack(
        self,
        folder: Path,
        features: tuple[int, ...],
        limit: int,
        memory: int,
        format: str | None,
        tree: str | None,
    ) -> dict[str, Any]:
        """Read all files; arrays in memory, or mapped from `folder` once they exceed `memory`."""
        parts: dict[str, list[NDArray[Any]]] = {name: [] for name in _ARRAYS}
        store: _Store | None = None
        size = 0
        try:
            for path in self.files:
                for batch in self._batches(path, features, limit, format, tree):
                    size += sum(array.nbytes for array in batch.values())
                    for name, array in batch.items():
                        parts[name].append(array)
                    if store is None and size > memory:
                        store = _Store(folder)
                    if store is not None:
                        store.append(parts)
                        parts = {name: [] for name in _ARRAYS}
            if store is not None:
                return store.finish(self._options)
        except BaseException:
            if store is not None:
                store.discard()
            raise
        return {
            name: (parts[name][0] if len(parts[name]) == 1 else np.concatenate(parts[name]))
            if parts[name]
            else np.zeros((0, *shape), _TYPES.get(name, "int64"))
            for name, shape in _ARRAYS.items()
        }

    def _batches(
        self,
        path: Path,
        features: tuple[int, ...],
        limit: int,
        format: str | None,
        tree: str | None,
    ) -> Any:
        labels = [f"label_{name}" for name in self.classes]
        with open_jets(path, format=format, tree=tree) as reader:
            columns = [name for name in (*COLUMNS, *JET_MOMENTUM) if name in reader.columns]
            first = 0
            for events in reader.iterate([*columns, *labels], step=STEP):
                jets = to_ragged(events, features=features, limit=limit, where=path)
                yield {
                    "particles": jets.particles,
                    "jets": jets.jets,
                    "counts": jets.counts,
                    "labels": _labels(events, labels, path, first),
                    "flags": jets.flags,
                }
                first += len(events)


def _labels(events: ak.Array, names: list[str], path: Path, first: int) -> NDArray[np.int64]:
    if not names:
        return np.full(len(events), -1, np.int64)
    table = np.stack([ak.to_numpy(events[name]) for name in names], axis=1) != 0
    if (bad := np.flatnonzero(table.sum(1) != 1)).size:
        raise InputError(
            f"jet {first + bad[0]} has {table[bad[0]].sum()} of the labels {', '.join(names)}",
            where=path,
            hint="Every jet needs exactly one",
        )
    return table.argmax(1).astype(np.int64)


def _is_whole(folder: Path) -> bool:
    """Whether a store exists and has the sizes that were written; a damaged one is removed."""
    if not (folder / "done").exists():
        return False
    try:
        sizes = kept.read(folder / "done").get("sizes")
        names = {f"{name}.bin" for name in _ARRAYS}
        if sizes is None and all((folder / name).exists() for name in names):
            return True  # of version 0.1
        if sizes == {name: (folder / name).stat().st_size for name in names}:
            return True
    except (OSError, ValueError):
        pass
    kept.warn(f"{folder} is damaged and is rebuilt")
    shutil.rmtree(folder, ignore_errors=True)
    return False


def _identity(path: Path) -> list[Any]:
    status = existing_file(path).stat()
    return [str(path.resolve()), status.st_size, status.st_mtime_ns]


def _mapped(path: Path, name: str) -> NDArray[Any]:
    dtype = np.dtype(_TYPES.get(name, "int64"))
    width = int(np.prod(_ARRAYS[name], dtype=int))
    rows = path.stat().st_size // (dtype.itemsize * width)
    if rows == 0:
        return np.zeros((0, *_ARRAYS[name]), dtype)
    # Copy on write: a model's in-place changes of its batch never reach the file.
    return np.memmap(path, dtype, "c", shape=(rows, *_ARRAYS[name]))


class _Store:
    """Arrays that grow on disk, in a folder that gets its name when they are complete."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for old in folder.parent.glob(f"{folder.name}.*.part"):
            if left_by_the_dead(old):
                shutil.rmtree(old, ignore_errors=True)
        self.temporary = folder.with_name(f"{folder.name}.{token()}.part")
        try:
            self.temporary.mkdir(parents=True)
            self.files = {name: open(self.temporary / f"{name}.bin", "wb") for name in _ARRAYS}
        except OSError as error:
            raise InputError(
                f"cannot be written ({error.strerror})",
                where=folder.parent,
                hint="Name another cache folder, or set SCIML_CACHE",
            ) from error

    def append(self, parts: dict[str, list[NDArray[Any]]]) -> None:
        try:
            for name, arrays in parts.items():
                for array in arrays:
                    self.files[name].write(np.ascontiguousarray(array).tobytes())
        except OSError as error:
            raise InputError(
                f"cannot be written ({error.strerror})", where=self.temporary
            ) from error

    def finish(self, options: dict[str, Any]) -> dict[str, Any]:
        for file in self.files.values():
            file.flush()
            os.fsync(file.fileno())
            file.close()
        sizes = {f"{n}.bin": (self.temporary / f"{n}.bin").stat().st_size for n in self.files}
        kept.write(self.temporary / "done", options | {"sizes": sizes})
        try:
            self.temporary.rename(self.folder)
        except OSError:  # another process was faster with the same data
            if not (self.folder / "done").exists():
                raise
            self.discard()
        return {name: _mapped(self.folder / f"{name}.bin", name) for name in _ARRAYS}

    def discard(self) -> None:
        for file in self.files.values():
            file.close()
        shutil.rmtree(self.temporary, ignore_errors=True)
