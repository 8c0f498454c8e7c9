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
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, Unpack

import awkward as ak

from sciml.errors import InputError, unknown
from sciml.jets.data.readers.base import Reader
from sciml.jets.data.remote import RemoteFile, is_url
from sciml.jets.data.writers import SUFFIXES, Writer, create
from sciml.paths import existing_file

__all__ = [
    "FORMATS",
    "OpenOptions",
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


Paths = str | os.PathLike[str] | RemoteFile | Sequence[str | os.PathLike[str] | RemoteFile]
"""A path, a pattern, the URL of a file, or a list of them."""


class OpenOptions(TypedDict, total=False):
    """The options of `open_jets`."""

    format: str | None
    tree: str | None
    collection: str | None
    branch_map: str | os.PathLike[str] | Mapping[str, str] | None
    puppi: bool


def open_jets(
    path: Paths,
    *,
    format: str | None = None,
    tree: str | None = None,
    collection: str | None = None,
    branch_map: str | os.PathLike[str] | Mapping[str, str] | None = None,
    puppi: bool = False,
) -> Reader:
    """Open a file of jets, whatever its format, or several as one data set.

    Args:
        path: Parquet; ROOT (JetClass trees, nanoAOD particle-flow candidates, Delphes); HDF5 (top
            tagging, JetNet); npz (energyflow quark/gluon); HDF5 and npz with one array per column.
            A folder of such files is one data set; its subfolders `key=value` are columns. So are
            the files of a pattern or a list, one after the other. A URL (https, root, s3, ...) is
            read piece by piece (`sciml.jets.data.remote`).
        format: one of `FORMATS`; recognised by the content if None.
        tree: name of the TTree or RNTuple in a ROOT file, if it has several.
        collection: name of the jets in a file of events (nanoAOD: FatJet, Delphes: JetAK8).
        branch_map: our column -> branch, or formula over branches; or a YAML or JSON file of that
            (`sciml.jets.data.readers.mapped`).
        puppi: multiply the momenta of particles by their PUPPI weights.

    Raises:
        InputError: missing, unreadable, empty, damaged, of an unknown format, or without jets.
    """
    if format is not None and format not in FORMATS:
        raise unknown("format", format, FORMATS)
    mapping: Any = branch_map
    if isinstance(branch_map, str | os.PathLike):
        from sciml.jets.data.readers.mapped import read_map

        mapping = read_map(Path(branch_map))
        mapped_by = str(branch_map)
    else:
        mapped_by = "branch_map"

    def open_one(file: Any) -> Reader:
        reader = _open(file, format, tree, collection, mapping, mapped_by)
        if puppi:
            from sciml.jets.data.readers.mapped import PuppiReader

            return PuppiReader(reader)
        return reader

    files = expand(path)
    if len(files) == 1 and not files[0].is_dir():
        return open_one(files[0])
    from sciml.jets.data.readers.folder import FilesReader, files_of

    if len(files) == 1:
        return FilesReader(files[0], files_of(files[0]), open_one, below=files[0])
    files = [file for one in files for file in (files_of(one) if one.is_dir() else [one])]
    shown = os.fspath(path) if isinstance(path, str | os.PathLike) else f"{len(files)} files"
    return FilesReader(shown, files, open_one)


def _open(
    path: Any, format: str | None, tree: str | None, collection: str | None,
    mapping: Mapping[str, str] | None, mapped_by: str,
) -> Reader:  # fmt: skip
    """`open_jets` of one file."""
    if not isinstance(path, RemoteFile):
        path = existing_file(path)
    try:
        with path.open("rb") if isinstance(path, Path) else path.open() as file:
            magic = file.read(8)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", where=path) from error
    if not magic:
        raise InputError("is empty", where=path)
    if magic[:4] != b"root" and (tree or collection):
        option = "tree" if tree else "collection"
        raise InputError(f"is no ROOT file, which alone has a {option} to choose", where=path)
    if magic[:4] == b"PAR1":
        from sciml.jets.data.readers.parquet import ParquetReader

        return _of_jets(ParquetReader(path), mapping, mapped_by)
    if magic[:4] == b"root":
        return open_root(path, format, tree, collection, mapping, mapped_by)
    if magic == b"\x89HDF\r\n\x1a\n":
        from sciml.jets.data.readers.hdf5 import open_hdf5

        return _of_jets(open_hdf5(path, format, mapping is not None), mapping, mapped_by)
    if magic[:4] == b"PK\x03\x04":
        from sciml.jets.data.readers.energyflow import open_npz

        return _of_jets(open_npz(path, mapping is not None), mapping, mapped_by)
    raise InputError("is not a ROOT, Parquet, HDF5 or npz file", where=path)


def _of_jets(reader: Reader, mapping: Mapping[str, str] | None, mapped_by: str) -> Reader:
    """The reader with the columns of a branch map; its rows, if they are events, unpacked."""
    if mapping is not None:
        from sciml.jets.data.readers.mapped import mapped

        return mapped(reader, mapping, mapped_by)
    leaves = getattr(reader, "_leaves", None)
    if leaves is None:
        return reader
    from sciml.jets.data.readers.nested import by_jet

    return by_jet(reader, leaves)


def open_root(
    path: Any, format: str | None, tree: Any, collection: str | None,
    mapping: Mapping[str, str] | None = None, mapped_by: str = "branch_map",
) -> Reader:  # fmt: skip
    """The reader of jets of a ROOT file: of a tree by name, the only one, or one that is open."""
    from sciml.jets.data.readers.nanoaod import links
    from sciml.jets.data.readers.root import RootReader

    reader = RootReader(path, tree)
    names = set(reader.columns)
    if format is None and "part_px" not in names and links(reader.columns):
        format = "nanoaod"
    if format is None and ("ParticleFlowCandidate" in names or "EFlowTrack" in names):
        format = "delphes"
    if format == "nanoaod":
        from sciml.jets.data.readers.nanoaod import NanoAODReader

        return _of_jets(NanoAODReader(reader, collection), mapping, mapped_by)
    if format == "delphes":
        from sciml.jets.data.readers.delphes import DelphesReader

        return _of_jets(DelphesReader(reader, collection), mapping, mapped_by)
    if collection is not None:
        raise InputError(
            f"holds jets, not events with a collection {collection!r} to choose", where=path
        )
    return _of_jets(reader, mapping, mapped_by)


def common_columns(files: Sequence[Any]) -> set[str]:
    """The columns that each of these files has.

    Raises:
        InputError: see `open_jets`.
    """
    columns = []
    for file in files:
        with open_jets(file) as reader:
            columns.append(set(reader.columns))
    return set.intersection(*columns)


def expand(paths: Paths) -> list[Any]:
    """Files for a path, a glob pattern, or a list of them, sorted within each pattern.

    The URL of a file gives a `sciml.jets.data.remote.RemoteFile`, which is used like a path.

    Raises:
        InputError: a pattern that matches nothing, or no path at all.
    """
    if isinstance(paths, str | os.PathLike | RemoteFile):
        paths = [paths]
    files: list[Any] = []
    for path in paths:
        if isinstance(path, RemoteFile):
            files.append(path)
            continue
        text = os.fspath(path)
        if not text:
            raise InputError("an empty name is no file of jets")
        if is_url(text):
            local = text[7:] if text.lower().startswith("file://") else None
            files.append(RemoteFile(text) if local is None else Path(local))
        elif glob.has_magic(text) and not os.path.exists(text):
            matches = sorted(glob.glob(text, recursive=True))
            if not matches:
                raise InputError("no file matches this pattern", where=text)
            files += map(Path, matches)
        else:
            files.append(Path(text))
    if not files:
        raise InputError("no file of jets was given")
    return files


def iterate(
    paths: Paths,
    columns: Sequence[str] | None = None,
    step: int = 2000,
    **options: Unpack[OpenOptions],
) -> Iterator[ak.Array]:
    """Jets of one or more files, in order, at most `step` in an array.

    Args:
        paths: a path, a glob pattern, or a list of them.
        columns: which; all if None.
        step: jets in an array; memory stays within a few times that.
        options: see `open_jets`.

    Raises:
        InputError: see `open_jets` and `Reader.iterate`.
    """
    for path in expand(paths):
        with open_jets(path, **options) as reader:
            yield from reader.iterate(columns, step)


def read_jets(
    paths: Paths,
    columns: Sequence[str] | None = None,
    **options: Unpack[OpenOptions],
) -> ak.Array:
    """All jets of one or more files at once.

    Args:
        paths: a path, a glob pattern, or a list of them; formats as for `open_jets`.
        columns: which (JetClass names, `sciml.jets.data.columns`); all if None.
        options: see `open_jets`.

    Returns:
        awkward record array [jets]: momenta in GeV, impact parameters in mm, lists per constituent.

    Raises:
        InputError: see `open_jets` and `Reader.iterate`.
    """
    arrays = list(iterate(paths, columns, 20_000, **options))
    if arrays:
        return ak.concatenate(arrays) if len(arrays) > 1 else arrays[0]
    with open_jets(expand(paths)[0], **options) as reader:
        return reader.empty(list(reader.columns if columns is None else columns))


def __getattr__(name: str) -> Any:
    if name == "read":
        warnings.warn("sciml.jets.data.io.read is now read_jets", DeprecationWarning, stacklevel=2)
        return read_jets
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
