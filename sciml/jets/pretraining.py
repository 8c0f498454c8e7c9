"""Jets as a corpus for pretraining: `sciml run pretrain --data jets.root`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

from sciml.jets.embedder import JetEmbedder, augment, collate
from sciml.jets.sample import JetSample
from sciml.objectives.corpus import Corpus

ENDINGS = (".root", ".parquet", ".h5", ".hdf5", ".npz")


def corpus(sample: JetSample, name: str = "jets") -> Corpus:
    """A sample as a corpus; its labels are for probes only."""
    return Corpus(
        name=name,
        dataset=sample,
        collate=collate,
        embedder=functools.partial(JetEmbedder, features="full"),
        augment=augment,
        labels=sample.y if len(sample.classes) else None,
        classes=sample.classes,
        lengths=sample.lengths,
        settings={"domain": "jets", "features": "full"},
    )


def read_jets(path: Path) -> Corpus:
    """Jets from a file, or from all files of a folder.

    Raises:
        InputError: no readable jets.
    """
    files: list[Path] = [path]
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix in ENDINGS)
    return corpus(JetSample.read(files or [path]), name=path.name)


READERS: dict[str, Callable[[Path], Corpus]] = {
    "jets": read_jets,
    ".root": read_jets,
    ".parquet": read_jets,
}
