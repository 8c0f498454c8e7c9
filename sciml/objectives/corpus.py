"""What a domain gives so that any objective pretrains any trunk on a user's own files.

Each domain has `sciml/<domain>/pretraining.py` with

    READERS: dict[str, Callable[[Path], Corpus]] = {"jets": read_jets, ".root": read_jets, ...}

A key that starts with a dot is a file suffix (of the file, or of the files in the folder); any
other key is a kind that a user names, as in `jets:path/to/folder`. A reader checks its files and
raises `InputError` for what it cannot use; it does not read them all into memory: the
data set reads an item on access, so a corpus may be larger than memory, and the engine
gives each process its own share of the indices.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from sciml.data.on_disk import OnDisk
from sciml.errors import InputError
from sciml.objectives.base import Embedder, Examples

if TYPE_CHECKING:
    from torch_geometric.data import Data


class EmbedderFactory(Protocol):
    """Builds an embedder for a trunk; its widths come from the trunk."""

    def __call__(self, dim: int, pair_dim: int) -> Embedder: ...


@dataclass(frozen=True)
class Corpus:
    """Unlabelled (or partly labelled) science, ready for pretraining.

    Attributes:
        name: shown in logs and reports.
        dataset: map-style; `dataset[i]` is one example, read from disk on access.
        collate: examples -> raw batch (`Data`, dense or ragged).
        embedder: widths of a trunk -> the domain's embedder.
        augment: raw batch -> another view of it with the same meaning, drawn from torch's global
            random numbers (contrastive objectives need it).
        labels: [len(dataset)] integers, in memory or on disk, a class an example, -1 where
            unknown; for probes only, objectives never see them.
        classes: names of the classes.
        lengths: [len(dataset)] nodes of each example, in memory or on disk, so that similar
            lengths share a batch.
        vocabulary: number of token ids where `batch.node_token` exists.
        settings: plain values that rebuild the embedder, saved beside the weights.
    """

    name: str
    dataset: Examples
    collate: Callable[[list[Any]], Data]
    embedder: EmbedderFactory
    augment: Callable[[Data], Data] | None = None
    labels: np.ndarray | OnDisk | None = None
    classes: tuple[str, ...] = ()
    lengths: np.ndarray | OnDisk | None = None
    vocabulary: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not len(self.dataset):
            raise InputError("holds no usable example", where=self.name)
        for name in ("labels", "lengths"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.dataset):
                raise InputError(
                    f"has {len(values)} {name} for {len(self.dataset)} examples", where=self.name
                )
        if self.labels is not None and self.classes:
            pieces = range(0, len(self.labels), 1 << 22)  # labels on disk stay there
            largest = max(int(self.labels[i : i + (1 << 22)].max()) for i in pieces)
            if largest >= len(self.classes):
                raise InputError(
                    f"has a label {largest} but only {len(self.classes)} classes",
                    where=self.name,
                )


def suffixes(path: Path, most: int = 1000) -> list[str]:
    """The suffixes of a file, or of the first `most` files of a folder, the commonest first.

    `a.pb.txt` counts as `.pb.txt` and as `.txt`; a trailing `.gz` is left out.
    """
    if path.is_file():
        files = [path]
    else:
        files = list(itertools.islice((p for p in path.rglob("*") if p.is_file()), most))
    counted: dict[str, int] = {}
    for file in files:
        parts = [s.lower() for s in file.suffixes if s.lower() != ".gz"]
        for start in range(max(0, len(parts) - 2), len(parts)):
            suffix = "".join(parts[start:])
            counted[suffix] = counted.get(suffix, 0) + 1
    return sorted(counted, key=lambda s: (-counted[s], -len(s)))
