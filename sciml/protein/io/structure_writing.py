"""Write a protein chain as mmCIF or PDB.

Files carry pLDDT (0 to 100) in the B-factor column, mmCIF also in ModelCIF's tables, by which
viewers colour.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sciml.errors import InputError, unknown
from sciml.paths import atomic_write
from sciml.protein.io import conformers, residues


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


def check_finite(path: Path, values: np.ndarray, limit: float, what: str) -> None:
    """Refuse to write numbers that are not finite or too large.

    Raises:
        InputError: a value is not finite, or as large as `limit`.
    """
    values = np.asarray(values)
    bad = int((~(np.abs(values) < limit)).sum())
    if bad:
        raise InputError(
            f"not written: {bad} of {values.size} {what} are not finite or beyond {limit:g}",
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
    mean = block.init_loop(
        "_ma_qa_metric_global.", ["ordinal_id", "model_id", "metric_id", "metric_value"]
    )
    mean.add_row(["1", "1", "1", f"{plddt.mean():.2f}"])
    local = block.init_loop(
        "_ma_qa_metric_local.",
        (
            "ordinal_id model_id label_asym_id label_seq_id label_comp_id metric_id metric_value"
        ).split(),
    )
    for number, residue in enumerate(chain, 1):
        index = residue.label_seq
        value = f"{plddt[index - 1]:.2f}"
        local.add_row([str(number), "1", chain.name, str(index), residue.name, "2", value])
