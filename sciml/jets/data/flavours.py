"""Jets with the truth of their tracks, as `sciml data make flavour-jets` writes them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciml.errors import InputError
from sciml.jets.data.columns import HARD_EVENT, TRUTH
from sciml.jets.data.features import FEATURE_SETS, Jets, columns_to_read
from sciml.jets.data.io import expand, open_jets
from sciml.jets.data.ragged import lists, to_ragged

LABEL = "label_"


@dataclasses.dataclass
class FlavourSample(Sequence[Any]):
    """Jets in memory with their truth; `sample[i]` is what `collate` takes.

    Attributes:
        particles: [S, 16] float32, `columns.COLUMNS`, jets end to end.
        ptr: [n + 1] int64, where each jet begins.
        jets: [n, 2] float32, `columns.JET_COLUMNS`.
        y: [n] int64, index into `classes`.
        origin, vertex: [S] int64, -1 without a track.
        truth_pt: [n] float32 GeV, 0 where unknown.
        event: [n] int64, id of the hard-scatter event.
        classes: names of the classes.
    """

    particles: Tensor
    ptr: Tensor
    jets: Tensor
    y: Tensor
    origin: Tensor
    vertex: Tensor
    truth_pt: Tensor
    event: np.ndarray
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.jets)

    def __getitem__(self, index: Any) -> Any:
        span = slice(int(self.ptr[index]), int(self.ptr[index + 1]))
        return {
            "x": self.particles[span], "jet": self.jets[index], "y": self.y[index],
            "node_origin": self.origin[span], "node_vertex": self.vertex[span],
            "truth_pt": self.truth_pt[index],
        }  # fmt: skip

    @property
    def lengths(self) -> np.ndarray:
        """[n] constituents of each jet."""
        return self.ptr.diff().numpy()

    def subset(self, index: Sequence[int] | np.ndarray) -> FlavourSample:
        """The jets at these indices, copied."""
        rows = torch.as_tensor(np.asarray(index, np.int64))
        counts = self.ptr.diff()[rows]
        ptr = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
        of_jet = torch.repeat_interleave(torch.arange(len(rows)), counts)
        places = self.ptr[:-1][rows][of_jet] + torch.arange(int(ptr[-1])) - ptr[:-1][of_jet]
        return FlavourSample(
            self.particles[places], ptr, self.jets[rows], self.y[rows], self.origin[places],
            self.vertex[places], self.truth_pt[rows], self.event[rows.numpy()], self.classes,
        )  # fmt: skip

    def split(self, share: float, seed: int) -> tuple[FlavourSample, FlavourSample]:
        """(the rest, about `share` of the jets); jets of one event stay together."""
        events, of_jet = np.unique(self.event, return_inverse=True)
        chosen = np.random.default_rng(seed).permutation(len(events)) < share * len(events)
        return self.subset(np.flatnonzero(~chosen[of_jet])), self.subset(
            np.flatnonzero(chosen[of_jet])
        )

    def shuffled(self, seed: int) -> FlavourSample:
        """The same jets and classes with the truth of others: a control for auxiliary heads.

        Origins and vertices are permuted among all tracks, the true pT relative to the measured one
        among all jets with one.
        """
        rng = np.random.default_rng(seed)
        origin, vertex, pt = self.origin.clone(), self.vertex.clone(), self.truth_pt.clone()
        tracks = torch.from_numpy(np.flatnonzero(self.origin.numpy() >= 0))
        order = torch.from_numpy(rng.permutation(len(tracks)))
        origin[tracks], vertex[tracks] = origin[tracks[order]], vertex[tracks[order]]
        known = torch.from_numpy(np.flatnonzero(pt.numpy() > 0))
        response = (pt[known] / self.jets[known, 0])[torch.from_numpy(rng.permutation(len(known)))]
        pt[known] = response * self.jets[known, 0]
        return dataclasses.replace(self, origin=origin, vertex=vertex, truth_pt=pt)

    def dense(self) -> Jets:
        """All jets, padded (mind the memory)."""
        counts = self.ptr.diff()
        width = max(1, int(counts.max())) if len(counts) else 1
        mask = torch.arange(width) < counts[:, None]
        particles = torch.zeros(len(self), width, self.particles.shape[1])
        particles[mask] = self.particles
        zeros = torch.zeros(len(self), dtype=torch.int64)
        return Jets(particles, self.jets, mask, zeros, zeros)

    @classmethod
    def read(
        cls, paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], *,
        classes: Sequence[str] = (), max_jets: int = 0,
    ) -> FlavourSample:  # fmt: skip
        """Read files; jets without a class, or with a fault, are left out.

        Args:
            paths: a path, a glob pattern, or a list of them.
            classes: names of the classes, in this order; all that the files have if none.
            max_jets: the first of each file, equally many; 0 = all.

        Raises:
            InputError: an unreadable file, a missing column, or no usable jet.
        """
        files = expand(paths)
        quota = -(-max_jets // max(1, len(files))) if max_jets else None
        names = tuple(classes)
        parts: list[Any] = []
        for path in files:
            with open_jets(path) as reader:
                found = [n.removeprefix(LABEL) for n in reader.columns if n.startswith(LABEL)]
                names = names or tuple(found)
                labels = [LABEL + name for name in names]
                wanted = columns_to_read(FEATURE_SETS["full"], reader.columns)
                reader.require([*wanted, *labels, *TRUTH])
                more = [HARD_EVENT] if HARD_EVENT in reader.columns else []
                for events in reader.iterate([*wanted, *labels, *TRUTH, *more], stop=quota):
                    parts.append(_part(events, labels, path, len(parts)))
        if not parts or not sum(len(part["y"]) for part in parts):
            raise InputError("holds no usable jet", where=", ".join(map(str, files)))
        joined = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
        counts = joined.pop("counts")
        event = joined.pop("event")
        ptr = torch.from_numpy(np.concatenate([[0], np.cumsum(counts)]))
        tensors = {key: torch.from_numpy(value) for key, value in joined.items()}
        return cls(**tensors, ptr=ptr, event=event, classes=names)


def _part(events: Any, labels: list[str], path: Path, number: int) -> dict[str, np.ndarray]:
    """The good jets of some events as arrays."""
    packed = to_ragged(events, where=path)
    sizes, origin = lists(events["part_origin"])
    table = np.stack([np.asarray(events[name]) > 0 for name in labels], 1)
    # Where constituents were left out, the truth would no longer stand beside its track.
    good = (packed.flags == 0) & (packed.counts == sizes) & (table.sum(1) == 1)
    rows = np.repeat(good, sizes)
    of_particles = np.repeat(good, packed.counts)
    event = (
        np.asarray(events[HARD_EVENT], np.int64) if HARD_EVENT in events.fields
        else (np.arange(len(events)) + (number << 32))
    )  # fmt: skip
    return {
        "particles": packed.particles[of_particles], "counts": packed.counts[good],
        "jets": packed.jets[good], "y": table[good].argmax(1).astype(np.int64),
        "origin": origin[rows].astype(np.int64),
        "vertex": lists(events["part_vertex"])[1][rows].astype(np.int64),
        "truth_pt": np.asarray(events["aux_truth_pt"], np.float32)[good], "event": event[good],
    }  # fmt: skip
