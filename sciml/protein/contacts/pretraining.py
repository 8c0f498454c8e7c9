"""Proteins as corpora: alignments without structures, structures without alignments.

sciml run pretrain --data alignments:FOLDER     masked columns of alignments (masked MSA)
sciml run pretrain --data structures:FOLDER     residues and CA positions (denoising, masked)
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from sciml.data import shards
from sciml.data.on_disk import identity, key_of
from sciml.data.shards import Row, Rows
from sciml.errors import InputError
from sciml.files import kept
from sciml.objectives.base import Embedder, changed
from sciml.objectives.corpus import Corpus
from sciml.paths import atomic_write, cache_dir
from sciml.protein.contacts.embedder import AlignmentEmbedder
from sciml.protein.contacts.features import SEPARATIONS, contact_features
from sciml.protein.io.residues import UNKNOWN
from sciml.protein.io.sequence_records import suffix_of

if TYPE_CHECKING:
    from torch_geometric.data import Data
else:
    Data = Any

ALIGNMENTS = (".a3m", ".sto", ".stk", ".aln", ".fasta", ".afa")
STRUCTURES = (".pdb", ".cif", ".ent")


def _files(path: Path, suffixes: tuple[str, ...], what: str) -> list[Path]:
    files = [path] if path.is_file() else sorted(path.rglob("*"))
    files = [p for p in files if p == path or suffix_of(p) in suffixes]
    if not files:
        raise InputError(f"holds no {what} ({', '.join(suffixes)})", where=path)
    return files


def collate(items: list[dict[str, Tensor]]) -> Data:
    """Examples -> raw batch, dense."""
    from sciml.graph import make_dense

    return make_dense(items)


class AlignmentSet:
    """Column statistics of alignments, computed on first use and kept on disk.

    The statistics of an alignment take seconds, so they are computed once: by whichever process
    (of a data loader, of a group, of another run) needs them first.

    Args:
        sources: files, or rows of Parquet shards (`sciml.data.shards.Row`).
        columns: first columns of an alignment that are kept.
        max_rows: sequences of an alignment that are read.
        cache: folder for the statistics; in the user's cache folder if None.
    """

    def __init__(
        self, sources: Sequence[Path | Row], columns: int = 400, max_rows: int = 4096,
        cache: Path | None = None,
    ) -> None:  # fmt: skip
        self.sources, self.columns, self.max_rows = sources, columns, max_rows
        self.cache = cache or cache_dir() / "alignments"

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        source = self.sources[index]
        file, row = (source.file, source.number) if isinstance(source, Row) else (source, 0)
        origin = [*identity(file), row]
        key = key_of({"file": origin, "columns": self.columns, "rows": self.max_rows, "version": 1})
        # Some thousand files a folder: a million in one would be slow to list.
        path = self.cache / key[:2] / f"{key}.npz"
        arrays = kept.once(path, _read_arrays, lambda path: self._compute(source, path))
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def _compute(self, source: Path | Row, path: Path) -> None:
        from sciml.protein.io.alignment_files import alignment_of, read_alignment

        if isinstance(source, Row):
            lines = source["alignment"].encode().splitlines(keepends=True)
            alignment = alignment_of(
                iter(lines), str(source), "a3m", unique=True, max_rows=self.max_rows
            )
        else:
            alignment = read_alignment(source, unique=True, max_rows=self.max_rows)
        if alignment.columns > self.columns:
            alignment = alignment.select(np.arange(alignment.depth), np.arange(self.columns))
        features = contact_features(alignment)
        with atomic_write(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, x=features.nodes, pair=features.pairs)


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    with open(path, "rb") as raw, np.load(raw) as file:  # numpy leaves damaged files open
        return {"x": file["x"], "pair": file["pair"]}


class StructureSet:
    """Residue types and CA positions [A] of the chains of structure files."""

    def __init__(self, files: list[Path], max_residues: int = 400) -> None:
        from sciml.protein.io.structure import read_chains

        self.chains: list[tuple[np.ndarray, np.ndarray]] = []
        for file in files:
            for chain in read_chains(file):
                ca = chain.points()
                real = np.isfinite(ca).all(1)
                if real.sum() >= 8:
                    self.chains.append((chain.types[real][:max_residues], ca[real][:max_residues]))

    def __len__(self) -> int:
        return len(self.chains)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        types, ca = self.chains[index]
        return {
            "x": torch.eye(UNKNOWN + 1)[torch.as_tensor(types)],
            "pos": torch.as_tensor(ca - ca.mean(0), dtype=torch.float32),
        }


class StructureEmbedder(Embedder):
    """Residue types -> `x` [B, N, dim]; separation along the chain -> `pair`; `pos` in Angstrom."""

    def __init__(self, dim: int, pair_dim: int = 0) -> None:
        super().__init__()
        self.linear_nodes = nn.Linear(UNKNOWN + 1, dim)
        self.token = nn.Parameter(torch.zeros(UNKNOWN + 1))
        self.separation = nn.Embedding(len(SEPARATIONS) + 1, pair_dim) if pair_dim else None

    def forward(self, batch: Data, hidden: Tensor | None = None) -> Data:
        """See the class; a hidden residue keeps its place, which says where to predict."""
        x = batch.x
        if hidden is not None:
            x = torch.where(hidden[..., None], self.token, x)
        values: dict[str, Tensor] = {"x": self.linear_nodes(x)}
        if self.separation is not None:
            index = torch.arange(x.shape[1], device=x.device)
            edges = torch.as_tensor(SEPARATIONS, device=x.device)
            away = torch.bucketize((index[:, None] - index).abs(), edges, right=True)
            values["pair"] = self.separation(away).expand(len(x), -1, -1, -1)
        return changed(batch, **values)

    def targets(self, batch: Data) -> dict[str, Tensor]:
        """`residue`: the type, -1 where unknown."""
        kind = batch.x.argmax(-1)
        return {"residue": torch.where(kind == UNKNOWN, torch.full_like(kind, -1), kind)}

    def target_sizes(self) -> dict[str, int]:
        """Number of residue types."""
        return {"residue": UNKNOWN}


def turn(batch: Data) -> Data:
    """Another view: each structure rotated at random, with noise of 0.2 A."""
    q, _ = torch.linalg.qr(torch.randn(len(batch.pos), 3, 3, device=batch.pos.device))
    q = q * torch.linalg.det(q)[:, None, None]
    return changed(batch, pos=batch.pos @ q + 0.2 * torch.randn_like(batch.pos))


def read_alignments(path: Path) -> Corpus:
    """Alignments of a file or folder, or of Parquet shards, without structures."""
    found = shards.files(path)
    sources = Rows(found, "alignment") if found else _files(path, ALIGNMENTS, "alignments")
    return Corpus(
        name=path.name,
        dataset=AlignmentSet(sources),
        collate=collate,
        embedder=AlignmentEmbedder,
        settings={"domain": "protein"},
    )


def read_structures(path: Path) -> Corpus:
    """Structures of a file or folder, without alignments."""
    chains = StructureSet(_files(path, STRUCTURES, "structures"))
    return Corpus(
        name=path.name,
        dataset=chains,
        collate=collate,
        embedder=functools.partial(StructureEmbedder),
        augment=turn,
        lengths=np.array([len(types) for types, _ in chains.chains]),
        settings={"domain": "structures"},
    )


def read_protein(path: Path) -> Corpus:
    """Alignments of a file or folder or, where it holds none, structures."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    alignments = any(s.lower() in ALIGNMENTS for file in files for s in file.suffixes)
    return read_alignments(path) if alignments else read_structures(path)


READERS: dict[str, Callable[[Path], Corpus]] = {
    "protein": read_protein,
    "alignments": read_alignments,
    "structures": read_structures,
    **dict.fromkeys((".a3m", ".sto", ".stk", ".aln"), read_alignments),
    **dict.fromkeys(STRUCTURES, read_structures),
}
