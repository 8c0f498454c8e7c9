"""Protein structures from mmCIF and PDB files: each chain as arrays.

gemmi reads the files; what they contain is resolved here: alternate locations and residues (the
most occupied, one conformer per residue), insertion codes, missing atoms, modified residues (as
their parents), several models and chains, author and label numbering.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sciml.errors import InputError, unknown
from sciml.files import unpack
from sciml.paths import existing_file
from sciml.protein.io import conformers, residues
from sciml.protein.io.structure_writing import write_structure as write_structure

MAX_BYTES = 512 << 20


@dataclass
class Chain:
    """One protein chain in atom37 layout.

    Attributes:
        name: author chain name.
        types: [N] residue types 0..20.
        atoms: [N, 37, 3] [A], 0 where missing.
        mask: [N, 37], 1 where there is an atom.
        bfactors: [N, 37] as in the file.
        numbers: author residue numbers with insertion codes, such as "27A".
        labels: label (sequence) numbers, 0 where the file has none.
        gaps: [N] True where the chain is broken before the residue.
    """

    name: str
    types: np.ndarray
    atoms: np.ndarray
    mask: np.ndarray
    bfactors: np.ndarray
    numbers: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    gaps: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.types)

    @property
    def sequence(self) -> str:
        """One letter per residue, X for unknown ones."""
        return "".join(residues.ALPHABET[t] for t in self.types)

    def points(self, atom: str = "CA") -> np.ndarray:
        """[N, 3] of one atom, NaN where missing."""
        at = residues.ATOM37_INDEX[atom]
        return np.where(self.mask[:, at, None] > 0, self.atoms[:, at], np.nan)

    def beta(self) -> np.ndarray:
        """[N, 3] CB, or CA in glycine (and where CB is missing), NaN where both are."""
        beta = np.where(
            (self.types == residues.RESIDUES.index("G"))[:, None], np.nan, self.points("CB")
        )
        return np.where(np.isfinite(beta), beta, self.points("CA"))


def _document(path: Path) -> Any:
    """gemmi's structure of a file, gzipped or not; mmCIF or PDB, by the content."""
    import gemmi

    raw = unpack.read_bytes(path)
    if len(raw) > MAX_BYTES:
        raise InputError("is larger than any structure file", where=path)
    if b"\0" in raw:
        raise InputError("is a binary file, not mmCIF or PDB", where=path)
    # One byte per character: the columns of a PDB file are counted in them.
    text = raw.decode("latin-1").encode("ascii", "replace").decode("ascii")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise InputError("is empty", where=path)
    try:
        if _is_mmcif(text):
            document = gemmi.cif.read_string(text)
            blocks = [b for b in document if b.find_mmcif_category("_atom_site.").width()]
            if not blocks:
                raise InputError("holds no atoms (no _atom_site table)", where=path)
            conformers.complete(blocks[0])
            return gemmi.make_structure_from_block(blocks[0])
        return gemmi.read_pdb_string(conformers.with_ends(text), split_chain_on_ter=True)
    except InputError:
        raise
    except Exception as error:  # gemmi raises ValueError, RuntimeError and its own
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"is not a readable mmCIF or PDB file ({first[:160]})", where=path
        ) from error


def _is_mmcif(text: str) -> bool:
    for line in text.split("\n", 2000):
        start = line.lstrip()
        if start.startswith("#") or not start:
            continue
        return start.lower().startswith(("data_", "loop_", "_"))
    return False


@dataclass(frozen=True)
class Structure:
    """The protein chains of one model of a file, in the file's order.

    `structure["A"]` is the chain of that author name, `structure[0]` the first; it can be iterated.

    Attributes:
        chains: at least one.
        source: the file, for messages.
    """

    chains: tuple[Chain, ...]
    source: str = "structure"

    def __len__(self) -> int:
        return len(self.chains)

    def __iter__(self) -> Iterator[Chain]:
        return iter(self.chains)

    def __getitem__(self, chain: str | int) -> Chain:
        if isinstance(chain, int):
            return self.chains[chain]
        for candidate in self.chains:
            if candidate.name == chain:
                return candidate
        raise unknown("chain", chain, [c.name for c in self.chains], where=self.source)


def read_structure(path: str | os.PathLike[str], *, model: int = 1) -> Structure:
    """Read the protein chains of a structure file.

    Args:
        path: mmCIF or PDB, gzipped or not.
        model: number of the model (1: the first).

    Raises:
        InputError: the file is not readable, or holds no protein.
    """
    path = existing_file(path, "structure file")
    structure = _document(path)
    if not len(structure):
        raise InputError("holds no atoms", where=path)
    if not 1 <= model <= len(structure):
        raise InputError(f"has {len(structure)} models, not {model}", where=path)
    parents = {change.res_id.name: change.parent_comp_id for change in structure.mod_residues}
    chains: list[Chain] = []
    for name, part in conformers.chains_of(structure[model - 1]):
        chain = _chain(name, part, parents)
        if chain is not None:
            count = sum(other.name == name or other.name.startswith(f"{name}_") for other in chains)
            chain.name = f"{name}_{count + 1}" if count else name
            chains.append(chain)
    if not chains:
        raise InputError("holds no protein residues", where=path)
    return Structure(tuple(chains), str(path))


def read_chains(path: str | Path, *, model: int = 1) -> list[Chain]:
    """`read_structure` as a list of chains."""
    return list(read_structure(path, model=model))


def read_chain(path: str | Path, chain: str | None = None, *, model: int = 1) -> Chain:
    """One chain of `read_structure`: by its author name, or the first one."""
    return read_structure(path, model=model)[0 if chain is None else chain]


def _chain(chain: str, part: list[Any], parents: dict[str, str]) -> Chain | None:
    rows = conformers.residues_of(part, parents)
    if not rows:
        return None
    n = len(rows)
    types = np.zeros(n, np.int64)
    xyz, mask, bfactors = np.zeros((n, 37, 3), np.float32), np.zeros((n, 37)), np.zeros((n, 37))
    numbers, labels = [], []
    for i, (residue, letter, chosen) in enumerate(rows):
        types[i] = residues.ALPHABET.index(letter)
        for name, atom in chosen.items():
            at = residues.ATOM37_INDEX[name]
            xyz[i, at] = (atom.pos.x, atom.pos.y, atom.pos.z)
            mask[i, at] = 1
            bfactors[i, at] = atom.b_iso if math.isfinite(atom.b_iso) else 0.0
        number = residue.seqid.num if residue.seqid.num is not None else residue.label_seq or ""
        numbers.append(f"{number}{residue.seqid.icode.strip()}")
        labels.append(int(residue.label_seq or 0))
    # A bond is broken where the peptide C-N (or, without them, CA-CA) is too long.
    gaps = np.zeros(n, bool)
    for i in range(1, n):
        for one, other, longest in ((2, 0, 2.5), (1, 1, 4.5)):
            if mask[i - 1, one] and mask[i, other]:
                gaps[i] = np.linalg.norm(xyz[i, other] - xyz[i - 1, one]) > longest
                break
    return Chain(
        chain, types, xyz, mask.astype(np.float32), bfactors.astype(np.float32),
        numbers, labels, gaps,
    )  # fmt: skip
