"""A map-style data set of jets: any format, larger than memory, with lengths for bucketing.

Files are read once, in order and in bounded memory, into flat arrays: 16 float32 per constituent
(`sciml.jets.data.columns.COLUMNS`), offsets, jet momenta, labels. Small sets stay in memory; large
ones become files in a cache folder (`sciml.data.on_disk`), made once for a set of files and reused,
of which no part is kept in memory. A jet is then one slice of them, any order of access is
possible, and training resumes exactly, with any number of workers and ranks.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sciml.data.on_disk import OnDisk, Spill, made_once
from sciml.errors import InputError
from sciml.jets.data.columns import COLUMNS, JET_MOMENTUM
from sciml.jets.data.features import FEATURE_SETS, MAX_PARTICLES, Jets
from sciml.jets.data.io import expand, open_jets
from sciml.jets.data.ragged import padded, to_ragged
from sciml.jets.data.remote import identity_of
from sciml.paths import cache_dir

if TYPE_CHECKING:
    from torch_geometric.data import Data

_ARRAYS: dict[str, tuple[str, tuple[int, ...]]] = {
    "particles": ("float32", (len(COLUMNS),)),
    "jets": ("float32", (2,)),
    "offsets": ("int64", ()),
    "flags": ("uint8", ()),
    # of the jets without a fault:
    "rows": ("int64", ()),
    "lengths": ("int32", ()),
    "labels": ("int16", ()),
}
"""Arrays of a set; `offsets` says where each jet ends, after a first 0."""
MEMORY = 64 << 20
"""Bytes that stay in memory."""
STEP = 5_000
"""Jets read at a time: about 50 MB, and as fast as larger steps."""


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
        memory: bytes above which the data set lies on disk.
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
        memory: int = MEMORY,
        cache: str | os.PathLike[str] | None = None,
        good: bool = True,
        format: str | None = None,
        tree: str | None = None,
    ) -> None:
        self.files = expand(paths)
        self.classes = tuple(classes)
        options = {
            "files": [identity_of(path) for path in self.files],
            "classes": list(self.classes),
            "features": list(features),
            "limit": limit,
            "format": format,
            "tree": tree,
            "good": good,
            "version": 2,
        }

        def fill(spill: Spill) -> None:
            jets = constituents = 0
            spill.append({"offsets": np.zeros(1, np.int64)})
            for path in self.files:
                for batch in self._batches(path, features, limit, format, tree):
                    counts, labels = batch.pop("counts"), batch.pop("labels")
                    kept = batch["flags"] == 0 if good else np.ones(len(counts), bool)
                    spill.append({
                        **batch,
                        "offsets": constituents + np.cumsum(counts),
                        "rows": jets + np.flatnonzero(kept),
                        "lengths": counts[kept],
                        "labels": labels[kept],
                    })  # fmt: skip
                    jets, constituents = jets + len(counts), constituents + int(counts.sum())
                    del batch

        arrays = made_once(Path(cache or cache_dir() / "jets"), _ARRAYS, options, fill, memory)
        self._particles, self._jets = arrays["particles"], arrays["jets"]
        self._offsets = arrays["offsets"]
        self.rows: NDArray[np.int64] | OnDisk = arrays["rows"]
        """Row of every jet in the files, read one after the other [len(self)]."""
        self.lengths: NDArray[np.int32] | OnDisk = arrays["lengths"]
        """Number of constituents of every jet [len(self)]."""
        self.y: NDArray[np.int16] | OnDisk = arrays["labels"]
        """Class of every jet [len(self)], -1 without labels."""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        row = int(self.rows[index])
        start, stop = self._offsets[row : row + 2].tolist()
        return {
            "x": torch.from_numpy(self._particles[start:stop]),
            "jet": torch.from_numpy(self._jets[row : row + 1])[0],
            "y": torch.tensor(int(self.y[index])),
        }

    def batch(self, indices: Sequence[int] | NDArray[np.int64]) -> Data:
        """The raw batch (`networks.embedder`) of these jets, padded to the longest one.

        Equal to `collate([dataset[i] for i in indices])`, in one compiled pass.
        """
        from sciml.jets.networks.embedder import raw_batch

        index = np.asarray(indices, np.int64)
        rows = np.asarray(self.rows[index])
        starts, ends = self._offsets[rows], self._offsets[rows + 1]
        particles = self._particles
        if isinstance(particles, OnDisk):  # read these jets, end to end
            pieces = [particles[a:b] for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]
            counts = ends - starts
            particles, ends = np.concatenate(pieces), np.cumsum(counts)
            starts = ends - counts
        padded_particles, mask = padded(particles, starts, ends - starts)
        zeros = torch.zeros(len(rows), dtype=torch.int64)
        jets = Jets(
            torch.from_numpy(padded_particles), torch.from_numpy(self._jets[rows]),
            torch.from_numpy(mask), zeros, zeros,
        )  # fmt: skip
        return raw_batch(jets, torch.from_numpy(np.asarray(self.y[index], np.int64)))

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
                del events, jets  # before the next ones are read


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
