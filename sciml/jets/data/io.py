"""Jets from files and to files.

    with open_jets("jets.root") as reader:
        for jets in reader.iterate(["part_px", "jet_pt"], step=1000):
            ...
    jets = read_jets("jets.parquet", ["jet_pt"])
    with create("scores.root") as writer:
        writer.write({"score_QCD": scores})

Every reader gives awkward record arrays with JetClass's column names (see `simulation.jet_table`),
in file order and bounded memory, and reports a fault of the file as one `InputError`.
"""

from __future__ import annotations

import glob
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import awkward as ak

from sciml.errors import InputError, unknown
from sciml.jets.data.readers.base import Reader
from sciml.jets.data.writers import SUFFIXES, Writer, create
from sciml.paths import existing_file

__all__ = [
    "FORMATS",
    "SUFFIXES",
    "Reader",
    "Writer",
    "create",
    "expand",
    "iterate",
    "open_jets",
    "read_jets",
]

FORMATS = (
    "parquet",
    "root",
    "nanoaod",
    "delphes",
    "top-tagging",
    "jetnet",
    "energyflow",
)
"""Formats by name; by default the content of the file decides."""


def open_jets(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    tree: str | None = None,
    collection: str | None = None,
) -> Reader:
    """Open a file of jets, whatever its format.

    Args:
        path: Parquet; ROOT (JetClass trees, nanoAOD particle-flow candidates, Delphes); HDF5 (top
            tagging, JetNet); npz (energyflow quark/gluon); HDF5 and npz with one array per column.
            Or a folder of such files as one data set; its subfolders `key=value` are columns.
        format: one of `FORMATS`; recognised by the content if None.
        tree: name of the TTree or RNTuple in a ROOT file, if it has several.
        collection: name of the jets in a file of events (nanoAOD: FatJet, Delphes: JetAK8).

    Raises:
        InputError: missing, unreadable, empty, damaged, of an unknown format, or without jets.
    """
    if format is not None and format not in FORMATS:
        raise unknown("format", format, FORMATS)
    if os.fspath(path) and Path(path).is_dir():
        from sciml.jets.data.readers.folder import FolderReader

        return FolderReader(
            Path(path),
            lambda file: open_jets(file, format=format, tree=tree, collection=collection),
        )
    path = existing_file(path)
    try:
        with open(path, "rb") as file:
            magic = file.read(8)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", where=path) from error
    if not magic:
        raise InputError("is empty", where=path)
    if magic[:4] != b"root" and (tree or collection):
        option = "tree" if tree else "collection"
        raise InputError(f"is no ROOT file, which alone has a {option} to choose", where=path)
    if magic[:4] == b"PAR1":
        from sciml.jets.data.readers.parquet import open_parquet

        return open_parquet(path)
    if magic[:4] == b"root":
        return open_root(path, format, tree, collection)
    if magic == b"\x89HDF\r\n\x1a\n":
        from sciml.jets.data.readers.hdf5 import open_hdf5

        return open_hdf5(path, format)
    if magic[:4] == b"PK\x03\x04":
        from sciml.jets.data.readers.energyflow import open_npz

        return open_npz(path)
    raise InputError("is not a ROOT, Parquet, HDF5 or npz file", where=path)


def open_root(path: Path, format: str | None, tree: Any, collection: str | None) -> Reader:
    """The reader of jets of a ROOT file: of a tree by name, the only one, or one that is open."""
    from sciml.jets.data.readers.nanoaod import links
    from sciml.jets.data.readers.root import RootReader, by_jet_of

    reader = RootReader(path, tree)
    names = set(reader.columns)
    if format is None and "part_px" not in names and links(reader.columns):
        format = "nanoaod"
    if format is None and ("ParticleFlowCandidate" in names or "EFlowTrack" in names):
        format = "delphes"
    if format == "nanoaod":
        from sciml.jets.data.readers.nanoaod import NanoAODReader

        return NanoAODReader(reader, collection)
    if format == "delphes":
        from sciml.jets.data.readers.delphes import DelphesReader

        return DelphesReader(reader, collection)
    if collection is not None:
        raise InputError(
            f"holds jets, not events with a collection {collection!r} to choose", where=path
        )
    return by_jet_of(reader)


def common_columns(files: Sequence[Path]) -> set[str]:
    """The columns that each of these files has.

    Raises:
        InputError: see `open_jets`.
    """
    columns = []
    for file in files:
        with open_jets(file) as reader:
            columns.append(set(reader.columns))
    return set.intersection(*columns)


def expand(paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[Path]:
    """Files for a path, a glob pattern, or a list of them, sorted within each pattern.

    Raises:
        InputError: a pattern that matches nothing.
    """
    if isinstance(paths, str | os.PathLike):
        paths = [paths]
    files: list[Path] = []
    for path in paths:
        text = os.fspath(path)
        if glob.has_magic(text) and not os.path.exists(text):
            matches = sorted(glob.glob(text, recursive=True))
            if not matches:
                raise InputError("no file matches this pattern", where=text)
            files += map(Path, matches)
        else:
            files.append(Path(text))
    return files


def iterate(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    columns: Sequence[str] | None = None,
    step: int = 2000,
    *,
    format: str | None = None,
    tree: str | None = None,
    collection: str | None = None,
) -> Iterator[ak.Array]:
    """Jets of one or more files, in order, at most `step` in an array.

    Args:
        paths: a path, a glob pattern, or a list of them.
        columns: which; all if None.
        step: jets in an array; memory stays within a few times that.
        format, tree, collection: see `open_jets`.

    Raises:
        InputError: see `open_jets` and `Reader.iterate`.
    """
    for path in expand(paths):
        with open_jets(path, format=format, tree=tree, collection=collection) as reader:
            yield from reader.iterate(columns, step)


def read_jets(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    columns: Sequence[str] | None = None,
    *,
    format: str | None = None,
    tree: str | None = None,
    collection: str | None = None,
) -> ak.Array:
    """All jets of one or more files at once.

    Args:
        paths: a path, a glob pattern, or a list of them; formats as for `open_jets`.
        columns: which (JetClass names, `sciml.jets.data.columns`); all if None.
        format, tree, collection: see `open_jets`.

    Returns:
        awkward record array [jets]: momenta in GeV, impact parameters in mm, lists per constituent.

    Raises:
        InputError: see `open_jets` and `Reader.iterate`.
    """
    options = {"format": format, "tree": tree, "collection": collection}
    arrays = list(iterate(paths, columns, step=20_000, **options))
    if arrays:
        return ak.concatenate(arrays) if len(arrays) > 1 else arrays[0]
    with open_jets(expand(paths)[0], **options) as reader:
        return reader.empty(list(reader.columns if columns is None else columns))


def __getattr__(name: str) -> Any:
    if name == "read":
        warnings.warn("sciml.jets.data.io.read is now read_jets", DeprecationWarning, stacklevel=2)
        return read_jets
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
