"""Write protein chains as mmCIF or PDB.

Files carry pLDDT (0 to 100) in the B-factor column, mmCIF also in ModelCIF's tables, by which
viewers colour.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sciml.errors import InputError, unknown
from sciml.paths import atomic_write
from sciml.protein.io import conformers, residues


def chain_name(number: int) -> str:
    """The name of a chain by its number from 0: A to Z, a to z, 0 to 9, then AA, AB, ..."""
    letters = string.ascii_uppercase + string.ascii_lowercase + string.digits
    if number < len(letters):
        return letters[number]
    first, second = divmod(number - len(letters), 26)
    return chain_name(first) + letters[second]


def write_structure(
    path: str | Path,
    types: np.ndarray,
    atoms: np.ndarray,
    mask: np.ndarray,
    bfactors: np.ndarray | None = None,
    *,
    plddt: np.ndarray | None = None,
    chain: str | Sequence[str] = "A",
    chains: np.ndarray | None = None,
    title: str = "model",
) -> None:
    """Write chains as mmCIF (.cif) or PDB (.pdb).

    Args:
        path: its suffix decides.
        types: [N] residue types.
        atoms: [N, 37, 3] [A].
        mask: [N, 37].
        bfactors: [N] or [N, 37].
        plddt: [N] confidence of a model, 0 to 100: the B-factors, and in mmCIF ModelCIF's
            `_ma_qa_metric` tables.
        chain: its name; of several their names, by default A, B, C, ...
        chains: [N] number of each residue's chain, from 1; None: one chain. Equal sequences are
            one entity, residues count from 1 in every chain.
        title: of the file.

    Raises:
        InputError: a coordinate or confidence is not a finite number, or there are more chains
            than PDB has names for; nothing is written.
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
    numbers = np.ones(len(types), int) if chains is None else np.asarray(chains)
    members = [np.flatnonzero(numbers == number) for number in np.unique(numbers)]
    names = [chain] if isinstance(chain, str) else list(chain)
    names += [chain_name(k) for k in range(len(names), len(members))]
    if path.suffix == ".pdb" and any(len(name) > 2 for name in names[: len(members)]):
        raise InputError(f"has {len(members)} chains, more than PDB names", where=path,
                         hint="Write mmCIF")  # fmt: skip
    structure = gemmi.Structure()
    structure.name = title
    model = gemmi.Model(1)
    if bfactors is None:
        bfactors = np.zeros(len(types))
    bfactors = np.broadcast_to(bfactors[:, None] if bfactors.ndim == 1 else bfactors, mask.shape)
    entities: dict[tuple[str, ...], Any] = {}
    for name, rows in zip(names, members, strict=False):
        sequence = [residues.THREE_LETTER[k] if k < 20 else "UNK" for k in types[rows]]
        model.add_chain(_chain(name, sequence, atoms[rows], mask[rows], bfactors[rows]))
        if tuple(sequence) not in entities:
            entity = gemmi.Entity(str(len(entities) + 1))
            entity.entity_type = gemmi.EntityType.Polymer
            entity.polymer_type = gemmi.PolymerType.PeptideL
            entity.full_sequence = sequence
            entities[tuple(sequence)] = entity
        entity = entities[tuple(sequence)]
        entity.subchains = [*entity.subchains, name]
    structure.add_model(model)
    structure.entities = gemmi.EntityList(list(entities.values()))
    structure.assign_serial_numbers()
    if path.suffix == ".cif":
        document = structure.make_mmcif_document()
        if plddt is not None:
            block = document.sole_block()
            _add_targets(block, structure)
            _add_confidence(block, structure[0], np.asarray(plddt), members, title)
        text = document.as_string()
    else:
        text = structure.make_pdb_string()
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _chain(
    name: str, sequence: list[str], atoms: np.ndarray, mask: np.ndarray, bfactors: np.ndarray
) -> Any:
    """A chain of gemmi, its residues numbered from 1; residues without atoms are left out."""
    import gemmi

    chain = gemmi.Chain(name)
    for i, kind in enumerate(sequence):
        residue = gemmi.Residue()
        residue.name = kind
        residue.seqid = gemmi.SeqId(i + 1, " ")
        residue.label_seq = i + 1
        residue.subchain = name
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
            chain.add_residue(residue)
    return chain


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


def _add_targets(block: Any, structure: Any) -> None:
    """ModelCIF's tables of what was modelled: the entities and their chains."""
    data = block.init_loop("_ma_data.", ["id", "name", "content_type"])
    data.add_row(["1", "model", "'model coordinates'"])
    targets = block.init_loop("_ma_target_entity.", ["entity_id", "data_id", "origin"])
    instances = block.init_loop("_ma_target_entity_instance.", ["asym_id", "entity_id", "details"])
    for number, entity in enumerate(structure.entities, 2):
        data.add_row([str(number), f"'sequence {entity.name}'", "target"])
        targets.add_row([entity.name, str(number), "."])
        for name in entity.subchains:
            instances.add_row([name, entity.name, "."])


def _add_confidence(
    block: Any, model: Any, plddt: np.ndarray, members: list[np.ndarray], title: str
) -> None:
    """ModelCIF's tables of a model's pLDDT, for all residues and for each.

    mmcif.wwpdb.org/dictionaries/mmcif_ma.dic; Mol* and others colour by them.
    """
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
    number = 0
    for chain, rows in zip(model, members, strict=True):
        for residue in chain:
            number += 1
            index = residue.label_seq
            value = f"{plddt[rows[index - 1]]:.2f}"
            local.add_row([str(number), "1", chain.name, str(index), residue.name, "2", value])
