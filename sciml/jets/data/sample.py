"""Labelled jets: ragged storage, one item per jet, columns beside them.

Small samples are in memory. Of larger ones the constituents lie on disk (`sciml.data.on_disk`), and
about 16 bytes per jet are in memory; `sciml.jets.data.dataset` keeps none.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciml.data.on_disk import OnDisk, Spill, made_once
from sciml.errors import InputError
from sciml.jets.data.columns import CLASSES, COLUMNS
from sciml.jets.data.dataset import MEMORY
from sciml.jets.data.features import FEATURE_SETS, MAX_PARTICLES, Jets, columns_to_read
from sciml.jets.data.io import expand, open_jets
from sciml.jets.data.ragged import to_ragged
from sciml.jets.data.remote import identity_of
from sciml.jets.weighting import checked
from sciml.paths import cache_dir
from sciml.renamed import renamed


class JetSample(Sequence[Any]):
    """Good jets of some files, flagged ones left out; `sample[i]` is what `collate` takes.

    Attributes:
        particles: [S, 16] float32, `columns.COLUMNS`, jets end to end; in memory or on disk.
        ptr: [n + 1] int64, where each jet begins; in memory or on disk.
        jets: [n, 2] float32, `columns.JET_COLUMNS`; in memory or on disk.
        labels: [n] int64, index into `classes`, -1 where unknown.
        classes: names of the classes.
        columns: other columns that were read, name -> [n] float64.
        weight: name of the column that weights the jets in training, or "" for none.
    """

    def __init__(
        self,
        particles: Tensor | OnDisk,
        ptr: Tensor | OnDisk,
        jets: Tensor | OnDisk,
        labels: Tensor,
        classes: tuple[str, ...],
        columns: dict[str, np.ndarray] | None = None,
        rows: np.ndarray | None = None,
        weight: str = "",
    ) -> None:
        self.particles, self.ptr, self.jets = particles, ptr, jets
        self.labels, self.classes = labels, classes
        self.columns, self.weight = columns or {}, weight
        self.rows = np.arange(len(jets)) if rows is None else rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        row = int(self.rows[index])
        start, stop = self.ptr[row : row + 2].tolist()
        x, jet = torch.as_tensor(self.particles[start:stop]), torch.as_tensor(self.jets[row])
        item = {"x": x, "jet": jet, "y": self.labels[row]}
        if self.weight:
            item["weight"] = torch.tensor(self.columns[self.weight][row], dtype=torch.float32)
        return item

    @property
    def on_disk(self) -> bool:
        """Whether the constituents lie on disk."""
        return isinstance(self.particles, OnDisk)

    @property
    def y(self) -> np.ndarray:
        """[n] int64, class of each jet of the selection."""
        return self.labels.numpy()[self.rows]

    @property
    def lengths(self) -> np.ndarray:
        """[n] int64, constituents of each jet of the selection."""
        if isinstance(self.ptr, OnDisk):
            return np.asarray(self.ptr[self.rows + 1] - self.ptr[self.rows])
        return self.ptr.diff().numpy()[self.rows]

    @property
    def weights(self) -> np.ndarray | None:
        """[n] float64 weight of each jet of the selection; None where there are none."""
        return self.column(self.weight) if self.weight else None

    def column(self, name: str) -> np.ndarray:
        """[n] a column of the selection."""
        return self.columns[name][self.rows]

    def subset(self, index: Sequence[int] | np.ndarray) -> JetSample:
        """The jets at these indices of the selection; storage is shared."""
        rows = self.rows[np.asarray(index)] if len(index) else self.rows[:0]
        return JetSample(
            self.particles, self.ptr, self.jets, self.labels, self.classes, self.columns, rows,
            self.weight,
        )  # fmt: skip

    def dense(self) -> Jets:
        """All jets of the selection, padded (mind the memory)."""
        counts = torch.from_numpy(self.lengths)
        width = max(1, int(counts.max())) if len(counts) else 1
        mask = torch.arange(width) < counts[:, None]
        particles = torch.zeros(len(self), width, len(COLUMNS))
        zeros = torch.zeros(len(self), dtype=torch.int64)
        if self.on_disk:
            if len(self):
                particles[mask] = torch.cat([self[i]["x"] for i in range(len(self))])
            return Jets(particles, torch.as_tensor(self.jets[self.rows]), mask, zeros, zeros)
        starts = torch.as_tensor(self.ptr[torch.from_numpy(self.rows)])
        places = (starts[:, None] + torch.arange(width))[mask]
        particles[mask] = torch.as_tensor(self.particles[places])
        jets = torch.as_tensor(self.jets[torch.from_numpy(self.rows)])
        return Jets(particles, jets, mask, zeros, zeros)

    def sha256(self) -> str:
        """Digest of the momenta, angles, tracks and labels of the selection, in its order."""
        digest = hashlib.sha256()
        for index in range(len(self)):
            item = self[index]
            digest.update(item["x"].contiguous().numpy().tobytes())
            digest.update(int(item["y"]).to_bytes(8, "little", signed=True))
        return digest.hexdigest()

    @classmethod
    @renamed(most="max_jets")
    def read(
        cls,
        paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        *,
        classes: Sequence[str] | None = None,
        columns: Sequence[str] = (),
        limit: int = MAX_PARTICLES,
        max_jets: int | None = None,
        format: str | None = None,
        memory: int = MEMORY,
        weight: str = "",
    ) -> JetSample:
        """Read files; what exceeds `memory` lies in the user's cache folder.

        Args:
            paths: a path, a glob pattern, or a list of them.
            classes: classes to keep, in this order; all labels that occur if None.
            columns: further columns to keep, one number per jet.
            limit: constituents per jet.
            max_jets: read about this many jets, equally many of each file; the first of each.
            format: see `sciml.jets.data.io.open_jets`.
            memory: bytes above which the constituents lie on disk.
            weight: column of the jets' weights; they are scaled to a mean of 1.

        Raises:
            InputError: an unreadable file, a missing column, no usable jet, or a weight that is
                negative or not finite.
        """
        columns = list(dict.fromkeys([*columns, *filter(None, [weight])]))
        files = expand(paths)
        wanted = None if classes is None else [_index(name) for name in classes]
        quota = None if max_jets is None else -(-max_jets // max(1, len(files)))
        options = {
            "files": [identity_of(path) for path in files],
            "classes": wanted,
            "columns": list(columns),
            "limit": limit,
            "quota": quota,
            "format": format,
            "sample": 1,
        }
        arrays = made_once(
            cache_dir() / "jets",
            _ARRAYS | {f"column-{i}": ("float64", ()) for i in range(len(columns))},
            options,
            lambda spill: _fill(spill, files, wanted, columns, limit, quota, format),
            memory,
        )
        table = np.asarray(arrays["labels"])
        if not len(table):
            raise InputError("holds no usable jet", where=", ".join(map(str, files)))
        if classes is None:
            classes = [CLASSES[i] for i in np.unique(table[table >= 0])]
        rename = np.full(len(CLASSES) + 1, -1)
        for index, name in enumerate(classes):
            rename[_index(name)] = index
        particles, ptr, jets = (
            a if isinstance(a, OnDisk) else torch.from_numpy(a)
            for a in (arrays[name] for name in ("particles", "ptr", "jets"))
        )
        kept = {name: np.asarray(arrays[f"column-{i}"]) for i, name in enumerate(columns)}
        if weight:
            weights = checked(kept[weight], kept[weight].shape)
            kept[weight] = weights / weights.mean()
        return cls(
            particles, ptr, jets, torch.from_numpy(rename[table]), tuple(classes), kept,
            weight=weight,
        )  # fmt: skip


_ARRAYS: dict[str, tuple[str, tuple[int, ...]]] = {
    "particles": ("float32", (len(COLUMNS),)),
    "ptr": ("int64", ()),
    "jets": ("float32", (2,)),
    "labels": ("int8", ()),
}
"""Arrays of a sample; a label is an index into `CLASSES`."""


def _fill(
    spill: Spill, files: Sequence[Path], wanted: Sequence[int] | None, columns: Sequence[str],
    limit: int, quota: int | None, format: str | None,
) -> None:  # fmt: skip
    """Append the good jets of files, of `wanted` classes, `quota` of each file."""
    constituents = 0
    spill.append({"ptr": np.zeros(1, np.int64)})
    for path in files:
        taken = 0
        with open_jets(path, format=format) as reader:
            labels = [f"label_{name}" for name in CLASSES if f"label_{name}" in reader.columns]
            names = columns_to_read(FEATURE_SETS["full"], reader.columns)
            stop = None if quota is None or wanted is not None else quota
            for events in reader.iterate([*names, *labels, *columns], step=5000, stop=stop):
                packed = to_ragged(events, limit=limit, where=path)
                good = packed.flags == 0
                table = np.full(len(events), -1)
                for name in labels:
                    table[np.asarray(events[name]) > 0] = CLASSES.index(name[6:])
                if wanted is not None and labels:
                    good &= np.isin(table, wanted)
                counts = packed.counts[good]
                spill.append({
                    "particles": packed.particles[np.repeat(good, packed.counts)],
                    "ptr": constituents + np.cumsum(counts),
                    "jets": packed.jets[good],
                    "labels": table[good].astype(np.int8),
                    **{f"column-{i}": np.asarray(events[name], np.float64)[good]
                       for i, name in enumerate(columns)},
                })  # fmt: skip
                constituents += int(counts.sum())
                taken += int(good.sum())
                if quota is not None and taken >= quota:
                    break


def _index(name: str) -> int:
    from sciml.errors import unknown

    if name not in CLASSES:
        raise unknown("jet class", name, CLASSES)
    return CLASSES.index(name)


@renamed(most="max_jets")
def train_and_test(
    data: Sequence[str],
    test: Sequence[str] = (),
    *,
    share: float,
    seed: int,
    max_jets: int = 0,
    classes: Sequence[str] = (),
    columns: Sequence[str] = (),
    weight: str = "",
) -> tuple[JetSample, JetSample]:
    """Jets to learn from and jets to measure on.

    Args:
        data, test: files; without `test`, `share` of `data` is held out; without both, the samples
            in the package.
        share: see `test`.
        seed: of the split.
        max_jets: read at most about this many jets of each; 0 = all.
        classes, columns, weight: see `JetSample.read`.

    Raises:
        InputError: see `JetSample.read`.
    """
    files: Any = list(data) or [shipped("train")]
    test_files: Any = list(test) or ([] if data else [shipped("test")])
    limit = max_jets or None
    options: Any = {"max_jets": limit, "columns": columns, "weight": weight}
    jets = JetSample.read(files, classes=classes or None, **options)
    if test_files:
        return jets, JetSample.read(test_files, classes=jets.classes, **options)
    order = np.random.default_rng(seed).permutation(len(jets))
    held_out = max(2, round(share * len(order)))
    return jets.subset(order[held_out:]), jets.subset(order[:held_out])


def shipped(part: str) -> Path:
    """The generated jets that come with the package: "train", "test" or "flavours".

    Raises:
        InputError: they are missing from this installation.
    """
    path = Path(__file__).parent / "sample" / f"{part}.parquet"
    if not path.is_file():
        raise InputError(
            "the sample of jets is missing from this installation",
            where=path,
            hint="Make one: sciml data make jets",
        )
    return path
