"""Jets as a corpus for pretraining: `sciml run pretrain --data jets.root`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

from sciml.errors import InputError
from sciml.jets.dataset import JetDataset
from sciml.jets.embedder import JetEmbedder, augment, collate
from sciml.jets.io import open_jets
from sciml.jets.processes import CLASSES
from sciml.objectives.corpus import Corpus

ENDINGS = (".root", ".parquet", ".h5", ".hdf5", ".npz")


def read_jets(path: Path) -> Corpus:
    """Jets from a file, or from all files of a folder; larger than memory if need be.

    Labels, if all files have them, are for probes only.

    Raises:
        InputError: no readable jets.
    """
    files: list[Path] = [path]
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix.lower() in ENDINGS) or [path]
    known = set(CLASSES)
    for file in files:
        with open_jets(file) as reader:
            known &= {name.removeprefix("label_") for name in reader.columns}
    classes = tuple(name for name in CLASSES if name in known)
    try:
        dataset = JetDataset(files, classes=classes)
    except InputError:
        if not classes:
            raise
        # jets without a label, or with several: they can still be learned from
        classes, dataset = (), JetDataset(files)
    return Corpus(
        name=path.name,
        dataset=dataset,
        collate=collate,
        embedder=functools.partial(JetEmbedder, features="full"),
        augment=augment,
        labels=dataset.y if classes else None,
        classes=classes,
        lengths=dataset.lengths,
        settings={"domain": "jets", "features": "full"},
    )


READERS: dict[str, Callable[[Path], Corpus]] = {
    "jets": read_jets,
    ".root": read_jets,
    ".parquet": read_jets,
}
