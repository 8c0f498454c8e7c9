"""Chains, residues and atoms of a structure file that are used.

Files leave chain names out, use one for two chains, list alternate residues and atoms, and name
modified residues and their atoms in many ways. Here each position of a chain gets one residue, of
one conformer: the most occupied, and of equals the first (A before B).
"""

from __future__ import annotations

import math
from typing import Any

from sciml.protein.io import residues

FAR = 1e5
"""Coordinates beyond this are impossible [A]."""


def with_ends(text: str) -> str:
    """A PDB file's text with TER where a new chain begins without it.

    Programs that leave out chain names restart the numbers for the next chain: an atom that a
    residue had before, with no alternate location.
    """
    lines: list[str] = []
    seen: set[tuple[str, str]] = set()
    current = ""
    for line in text.split("\n"):
        if line.startswith(("ATOM  ", "HETATM")):
            residue, atom = line[21:27], line[12:16]
            if residue != current and (residue, atom) in seen and line[16:17] in ("", " "):
                lines.append("TER")
                seen.clear()
            current = residue
            seen.add((residue, atom))
        elif line.startswith(("TER", "MODEL", "ENDMDL")):
            seen.clear()
            current = ""
        lines.append(line)
    return "\n".join(lines)


_OTHER_COLUMNS = {
    "label_asym_id": "auth_asym_id",
    "label_alt_id": "",
    "type_symbol": "",
    "id": "",
    "label_atom_id": "auth_atom_id",
    "label_comp_id": "auth_comp_id",
}


def complete(block: Any) -> None:
    """Add columns to an mmCIF block's atoms that gemmi needs and refinement programs leave out:
    the author's column instead, or unknown."""
    loop = block.find_loop("_atom_site.Cartn_x").get_loop()
    if loop is None:
        return
    for name, other in _OTHER_COLUMNS.items():
        if f"_atom_site.{name}" in loop.tags:
            continue
        loop.add_columns([f"_atom_site.{name}"], ".")
        if f"_atom_site.{other}" in loop.tags:
            column, source = (loop.tags.index(f"_atom_site.{key}") for key in (name, other))
            for row in range(loop.length()):
                loop[row, column] = loop[row, source]


def chains_of(model: Any) -> list[tuple[str, list[Any]]]:
    """(author name, residues) of each chain of a model: polymers of one name are kept apart.

    A PDB file ends chains by TER: what follows under the same name is ligands, a further chain
    (no name, or numbers used before) or the same chain after a break.
    """
    chains: list[tuple[str, list[Any]]] = []
    used: dict[str, set[str]] = {}
    for chain in model:
        pieces: dict[str, list[Any]] = {}  # by the label of the molecule, where there is one
        for residue in chain:
            if residue.het_flag == "H" and residue.entity_type.name in ("NonPolymer", "Water"):
                continue
            pieces.setdefault(residue.subchain, []).append(residue)
        for label, piece in pieces.items():
            numbers = {str(residue.seqid) for residue in piece}
            last = next(
                (i for i in reversed(range(len(chains))) if chains[i][0] == chain.name), None
            )
            if last is not None:
                piece = [residue for residue in piece if residue.het_flag != "H"]
                if chain.name and not label and not numbers & used[chain.name]:
                    chains[last][1].extend(piece)
                    used[chain.name] |= numbers
                    continue
            if piece:
                used[chain.name] = numbers
                chains.append((chain.name, piece))
    return chains


_OTHER_NAMES = {"OT1": "O", "OC1": "O", "OT2": "OXT", "OC2": "OXT"}
"""Names of force fields for the last residue's oxygens."""


def _atoms(residue: Any, letter: str) -> list[tuple[str, Any]]:
    """(name, atom) of the atoms that have a position: those of the parent residue, finite, near."""
    kind = residues.ALPHABET.index(letter)
    atoms = []
    for atom in residue:
        name = atom.name.strip()
        name = _OTHER_NAMES.get(name, name)
        if atom.element.name == "Se" or name == "SE":
            name = {"M": "SD", "C": "SG"}.get(letter, name)
        if letter == "I" and name == "CD":
            name = "CD1"
        at = residues.ATOM37_INDEX.get(name)
        position = (atom.pos.x, atom.pos.y, atom.pos.z)
        if at is None or not all(abs(x) < FAR for x in position):
            continue  # NaN or impossible: no coordinates
        if letter == "X" or name == "OXT" or residues.ATOM37_MASK[kind, at]:
            atoms.append((name, atom))
    return atoms


def _conformers(atoms: list[tuple[str, Any]]) -> dict[str, float]:
    """Alternate location -> mean occupancy.

    Atoms without a location belong to every conformer, unless others of their names have one.
    """
    split = {name for name, atom in atoms if atom.altloc.strip("\0 ")}
    values: dict[str, list[float]] = {}
    for name, atom in atoms:
        if name in split or not split:
            values.setdefault(atom.altloc.strip("\0 "), []).append(_occupancy(atom))
    return {location: round(sum(v) / len(v), 5) for location, v in values.items()}


def _occupancy(atom: Any) -> float:
    return float(atom.occ) if math.isfinite(atom.occ) else 0.0


def _conformer(atoms: list[tuple[str, Any]], location: str) -> dict[str, Any]:
    """The atoms of one conformer; what it lacks is taken from the most occupied other one."""
    best: dict[str, tuple[tuple[bool, float], Any]] = {}
    for name, atom in atoms:
        rank = (atom.altloc.strip("\0 ") == location, _occupancy(atom))
        if name not in best or rank > best[name][0]:  # the first of equals, as written
            best[name] = (rank, atom)
    return {name: atom for name, (_, atom) in best.items()}


def residues_of(part: list[Any], parents: dict[str, str]) -> list[tuple[Any, str, dict[str, Any]]]:
    """(residue, its letter, name -> atom) of each position of a chain, in the file's order.

    Args:
        part: gemmi's residues.
        parents: names of modified residues in the file -> their parent residues.
    """
    positions: dict[str, list[tuple[Any, str, list[tuple[str, Any]]]]] = {}
    for residue in part:
        letter = residues.one_letter(residue.name)
        if letter == "X" and parents.get(residue.name):
            letter = residues.one_letter(parents[residue.name])
        atoms = _atoms(residue, letter)
        alpha = [atom for name, atom in atoms if name == "CA"]
        if not atoms or (letter == "X" and not alpha):
            continue  # ligands, water, nucleotides
        if alpha and alpha[0].element.name not in ("C", "X"):
            continue  # a calcium ion
        if residue.label_seq is not None:
            key = f"label {residue.label_seq}"
        elif residue.seqid.num is not None:
            key = str(residue.seqid)
        else:
            key = f"none {len(positions)}"
        positions.setdefault(key, []).append((residue, letter, atoms))
    rows: list[tuple[Any, str, dict[str, Any]]] = []
    for choices in positions.values():
        # Of residues that share a position (microheterogeneity) and of their conformers the most
        # occupied; of equals the one with the first letter.
        _, location, number = min(
            (-occupancy, location, k)
            for k, (_, _, atoms) in enumerate(choices)
            for location, occupancy in _conformers(atoms).items()
        )
        residue, letter, atoms = choices[number]
        rows.append((residue, letter, _conformer(atoms, location)))
    return rows
