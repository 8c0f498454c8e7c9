"""Jets as a corpus for pretraining: `sciml run pretrain --data jets.root`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sciml.errors import InputError
from sciml.jets.data.columns import CLASSES, HARD_EVENT
from sciml.jets.data.dataset import JetDataset
from sciml.jets.data.io import common_columns, open_jets
from sciml.jets.learning import views
from sciml.jets.networks import embedder
from sciml.objectives.base import Examples
from sciml.objectives.corpus import Corpus

ENDINGS = (".root", ".parquet", ".h5", ".hdf5", ".npz")


def read_jets(path: Path) -> Corpus:
    """Jets from a file, or from all files of a folder; larger than memory if need be.

    Labels, if all files have them, are for probes only. Where all files have
    hard-scatter event ids, jets of one event come in pairs (`sciml.jets.learning.views`).

    Raises:
        InputError: no readable jets.
    """
    files: list[Path] = [path]
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix.lower() in ENDINGS) or [path]
    columns = common_columns(files)
    classes = tuple(name for name in CLASSES if f"label_{name}" in columns)
    try:
        dataset = JetDataset(files, classes=classes)
    except InputError:
        if not classes:
            raise
        # jets without a label, or with several: they can still be learned from
        classes, dataset = (), JetDataset(files)
    examples: Examples = dataset
    join = embedder.collate
    if HARD_EVENT in columns:
        examples, join = views.Views(dataset, _event_ids(files)[dataset.rows]), views.collate
    return Corpus(
        name=path.name,
        dataset=examples,
        collate=join,
        embedder=functools.partial(embedder.JetEmbedder, features="full"),
        augment=views.augment,
        labels=dataset.y if classes else None,
        classes=classes,
        lengths=dataset.lengths,
        settings={"domain": "jets", "features": "full"},
    )


def _event_ids(files: list[Path]) -> NDArray[np.int64]:
    """The hard-scatter event id of every jet in the files."""
    parts = [np.zeros(0, np.int64)]
    for file in files:
        with open_jets(file) as reader:
            parts += [np.asarray(events[HARD_EVENT]) for events in reader.iterate([HARD_EVENT])]
    return np.concatenate(parts)


READERS: dict[str, Callable[[Path], Corpus]] = {
    "jets": read_jets,
    ".root": read_jets,
    ".parquet": read_jets,
}
