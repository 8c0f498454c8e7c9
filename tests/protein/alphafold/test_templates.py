"""Templates from structures."""

from pathlib import Path

import numpy as np
import pytest

from sciml.errors import InputError
from sciml.protein.alphafold.templates import from_chain, read_templates
from sciml.protein.io import residues
from sciml.protein.io.structure import Chain
from sciml.protein.io.structure_writing import write_structure

SEQUENCE = "MKVLAAGTREWQHNDCFYSPIL"


def chain(sequence: str = SEQUENCE) -> Chain:
    types = np.array([residues.RESIDUES.index(c) for c in sequence])
    mask = residues.ATOM37_MASK[types]
    atoms = np.random.default_rng(0).normal(0, 9, (len(types), 37, 3)) * mask[..., None]
    return Chain("A", types, atoms.astype(np.float32), mask, np.zeros_like(mask))


def test_residues_land_where_the_sequences_agree() -> None:
    query = "GG" + SEQUENCE[3:] + "WW"
    template = from_chain(chain(), query)
    assert (template.types[:2] == residues.GAP).all() and (
        template.types[-2:] == residues.GAP
    ).all()
    assert "".join(residues.ALPHABET[t] for t in template.types[2:-2]) == SEQUENCE[3:]
    assert np.array_equal(template.atoms[2:-2], chain().atoms[3:])
    assert template.mask[:2].sum() == 0


def test_unrelated_chains_are_refused() -> None:
    with pytest.raises(InputError, match="residues can be aligned"):
        from_chain(chain(), "GGGGGGGGGGGG")


def test_folders_of_structures(tmp_path: Path) -> None:
    one = chain()
    write_structure(tmp_path / "one.pdb", one.types, one.atoms, one.mask)
    other = chain("G" * 20)
    write_structure(tmp_path / "other.cif", other.types, other.atoms, other.mask)
    templates = read_templates(tmp_path, SEQUENCE)
    assert [t.name for t in templates] == ["one.pdb:A"]
    with pytest.raises(InputError, match="no structure files"):
        read_templates(tmp_path / "none", SEQUENCE)
