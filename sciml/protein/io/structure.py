"""Protein structures in and out: mmCIF and PDB, one chain as arrays.

gemmi reads; what real files hold is resolved here: alternate locations and residues (the most
occupied, one conformer a residue), insertion codes, missing atoms, modified residues (as their
parents), several models and chains, author and label numbering. Written files carry pLDDT (0 to
100) in the B-factor column, mmCIF also in ModelCIF's tables, by which viewers colour.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sciml.errors import InputError, unknown
from sciml.files import unpack
from sciml.paths import atomic_write, existing_file
from sciml.protein.io import conformers, residues

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
        """One letter a residue, X for unknown ones."""
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
    """gemmi's structure of a file, gzipped or not; mmCIF or PDB told by the content."""
    import gemmi

    raw = unpack.read_bytes(path)
    if len(raw) > MAX_BYTES:
        raise InputError("is larger than any structure file", where=path)
    if b"\0" in raw:
        raise InputError("is a binary file, not mmCIF or PDB", where=path)
    # One byte a character: the columns of a PDB file are counted in them.
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


def read_chains(path: str | Path, *, model: int = 1) -> list[Chain]:
    """All protein chains of a model (1: the first), in the file's order.

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
    found: list[Chain] = []
    for name, part in conformers.chains_of(structure[model - 1]):
        chain = _chain(name, part, parents)
        if chain is not None:
            count = sum(other.name == name or other.name.startswith(f"{name}_") for other in found)
            chain.name = f"{name}_{count + 1}" if count else name
            found.append(chain)
    if not found:
        raise InputError("holds no protein residues", where=path)
    return found


def read_chain(path: str | Path, chain: str | None = None, *, model: int = 1) -> Chain:
    """One chain: by its author name, or the first one."""
    chains = read_chains(path, model=model)
    if chain is None:
        return chains[0]
    for found in chains:
        if found.name == chain:
            return found
    raise unknown("chain", chain, [c.name for c in chains], where=path)


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
        for one, other, most in ((2, 0, 2.5), (1, 1, 4.5)):
            if mask[i - 1, one] and mask[i, other]:
                gaps[i] = np.linalg.norm(xyz[i, other] - xyz[i - 1, one]) > most
                break
    return Chain(
        chain, types, xyz, mask.astype(np.float32), bfactors.astype(np.float32),
        numbers, labels, gaps,
    )  # fmt: skip


def write_structure(
    path: str | Path,
    types: np.ndarray,
    atoms: np.ndarray,
    mask: np.ndarray,
    bfactors: np.ndarray | None = None,
    *,
    plddt: np.ndarray | None = None,
    chain: str = "A",
    title: str = "model",
) -> None:
    """Write one chain as mmCIF (.cif) or PDB (.pdb).

    Args:
        path: its suffix decides.
        types: [N] residue types.
        atoms: [N, 37, 3] [A].
        mask: [N, 37].
        bfactors: [N] or [N, 37].
        plddt: [N] confidence of a model, 0 to 100: the B-factors, and in mmCIF ModelCIF's
            `_ma_qa_metric` tables.
        chain: its name.
        title: of the file.

    Raises:
        InputError: a coordinate or confidence is not a finite number; nothing is written.
    """
    import gemmi

    path = Path(path)
    check_finite(path, atoms[mask > 0], conformers.FAR, "coordinates")
    if plddt is not None:
        check_finite(path, plddt, 100.5, "confidences")
        bfactors = plddt
    if bfactors is not None:
        check_finite(path, bfactors, conformers.FAR, "B-factors")
    if path.suffix not in (".cif", ".pdb"):
        raise unknown("structure format", path.suffix, (".cif", ".pdb"), where=path)
    structure = gemmi.Structure()
    structure.name = title
    model = gemmi.Model(1)
    part = gemmi.Chain(chain)
    if bfactors is None:
        bfactors = np.zeros(len(types))
    bfactors = np.broadcast_to(bfactors[:, None] if bfactors.ndim == 1 else bfactors, mask.shape)
    sequence = []
    for i, kind in enumerate(types):
        name = residues.THREE_LETTER[kind] if kind < 20 else "UNK"
        sequence.append(name)
        residue = gemmi.Residue()
        residue.name = name
        residue.seqid = gemmi.SeqId(i + 1, " ")
        residue.label_seq = i + 1
        residue.subchain = chain
        residue.entity_type = gemmi.EntityType.Polymer
        residue.het_flag = "A"
        for at in np.flatnonzero(mask[i] > 0):
            atom = gemmi.Atom()
            atom.name = residues.ATOM37[at]
            atom.element = gemmi.Element(residues.ATOM37[at][0])
            atom.pos = gemmi.Position(*(float(v) for v in atoms[i, at]))
            atom.occ = 1.0
            atom.b_iso = float(bfactors[i, at])
            residue.add_atom(atom)
        if len(residue):
            part.add_residue(residue)
    model.add_chain(part)
    structure.add_model(model)
    entity = gemmi.Entity("1")
    entity.entity_type = gemmi.EntityType.Polymer
    entity.polymer_type = gemmi.PolymerType.PeptideL
    entity.full_sequence = sequence
    entity.subchains = [chain]
    structure.entities = gemmi.EntityList([entity])
    structure.assign_serial_numbers()
    if path.suffix == ".cif":
        document = structure.make_mmcif_document()
        if plddt is not None:
            _add_confidence(document.sole_block(), structure[0][0], np.asarray(plddt), title)
        text = document.as_string()
    else:
        text = structure.make_pdb_string()
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def check_finite(path: Path, values: np.ndarray, most: float, what: str) -> None:
    """Refuse to write numbers that are none.

    Raises:
        InputError: a value is not finite, or as large as `most`.
    """
    values = np.asarray(values)
    bad = int((~(np.abs(values) < most)).sum())
    if bad:
        raise InputError(
            f"not written: {bad} of {values.size} {what} are not finite or beyond {most:g}",
            where=path,
            hint="Are the parameters damaged?",
        )


def _quoted(text: str) -> str:
    from gemmi import cif

    return str(cif.quote(text or "model"))


def _add_confidence(block: Any, chain: Any, plddt: np.ndarray, title: str) -> None:
    """ModelCIF's tables of a model's pLDDT, for the chain and for each of its residues.

    mmcif.wwpdb.org/dictionaries/mmcif_ma.dic; Mol* and others colour by them.
    """
    data = block.init_loop("_ma_data.", ["id", "name", "content_type"])
    data.add_row(["1", "model", "'model coordinates'"])
    models = block.init_loop(
        "_ma_model_list.", ["ordinal_id", "model_id", "model_name", "data_id", "model_type"]
    )
    models.add_row(["1", "1", _quoted(title), "1", "'Ab initio model'"])
    metrics = block.init_loop("_ma_qa_metric.", ["id", "name", "type", "mode", "description"])
    metrics.add_row(["1", "pLDDT", "pLDDT", "global", "'Mean of the local values'"])
    metrics.add_row(["2", "pLDDT", "pLDDT", "local", "'Predicted lDDT-CA, 0 to 100'"])
    whole = block.init_loop(
        "_ma_qa_metric_global.", ["ordinal_id", "model_id", "metric_id", "metric_value"]
    )
    whole.add_row(["1", "1", "1", f"{plddt.mean():.2f}"])
    local = block.init_loop(
        "_ma_qa_metric_local.",
        (
            "ordinal_id model_id label_asym_id label_seq_id label_comp_id metric_id metric_value"
        ).split(),
    )
    for number, residue in enumerate(chain, 1):
        place = residue.label_seq
        value = f"{plddt[place - 1]:.2f}"
        local.add_row([str(number), "1", chain.name, str(place), residue.name, "2", value])
