"""Structure files in and out, read back by two libraries, and a hostile corpus."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml.errors import InputError
from sciml.protein.io import residues
from sciml.protein.io.structure import read_chain, read_chains, read_structure
from sciml.protein.io.structure_writing import write_structure

CORPUS = Path(__file__).parents[2] / "corpus" / "protein"


def test_alternate_locations_take_the_most_occupied() -> None:
    chain = read_chain(CORPUS / "altloc.pdb")
    assert chain.sequence == "SG" and chain.atoms[0, 1, 0] == pytest.approx(0.5)


def test_insertion_codes_and_negative_numbers() -> None:
    assert read_chain(CORPUS / "insertion_code.pdb").numbers == ["27", "27A", "28"]
    assert read_chain(CORPUS / "negative_numbers.pdb").numbers == ["-3", "-2", "-1", "0", "1"]


def test_selenomethionine_is_methionine() -> None:
    chain = read_chain(CORPUS / "selenomethionine.pdb")
    assert chain.sequence == "MA"
    assert chain.mask[0, residues.ATOM37_INDEX["SD"]] == 1


def test_missing_atoms_are_missing() -> None:
    chain = read_chain(CORPUS / "missing_backbone.pdb")
    assert chain.mask[1, 2] == 0 and np.isnan(chain.points("C")[1]).all()


def test_calcium_is_no_residue() -> None:
    assert read_chain(CORPUS / "calcium.pdb").sequence == "A"


def test_models_and_chains() -> None:
    assert len(read_chain(CORPUS / "models.pdb", model=2)) == 6
    with pytest.raises(InputError, match="has 2 models, not 3"):
        read_chain(CORPUS / "models.pdb", model=3)
    with pytest.raises(InputError, match="unknown chain 'B'"):
        read_chain(CORPUS / "models.pdb", "B")


def test_author_and_label_numbers_of_two_chains() -> None:
    """Chains go by the author's names, as in the paper; label numbers count the whole sequence."""
    one, two = read_chains(CORPUS / "two_chains.cif")
    assert (one.name, one.sequence, two.name, two.sequence) == ("X", "AGS", "Y", "WA")
    assert one.numbers == ["101", "102", "104"] and one.labels == [2, 3, 4]
    assert two.numbers == ["-1", "5"] and two.labels == [1, 2]
    with pytest.raises(InputError, match="unknown chain 'A'"):
        read_chain(CORPUS / "two_chains.cif", "A")


@pytest.mark.parametrize(
    "name",
    "empty.pdb no_atoms.pdb water.pdb garbage.pdb binary.cif cut_off.cif no_atom_site.cif "
    "unclosed.cif".split(),
)
def test_bad_files_give_one_line(name: str) -> None:
    with pytest.raises(InputError) as caught:
        read_chains(CORPUS / name)
    assert "\n" not in str(caught.value) and name in str(caught.value)


def random_structure(n: int = 12) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    types = rng.integers(0, 20, n)
    mask = residues.ATOM37_MASK[types]
    atoms = rng.normal(0, 10, (n, 37, 3)) * mask[..., None]
    return types, atoms, mask


@pytest.mark.parametrize("suffix", [".cif", ".pdb"])
def test_round_trip_through_two_libraries(tmp_path: Path, suffix: str) -> None:
    types, atoms, mask = random_structure()
    plddt = np.linspace(20, 99, len(types))
    path = tmp_path / f"x{suffix}"
    write_structure(path, types, atoms, mask, plddt)
    chain = read_chain(path)
    assert np.array_equal(chain.types, types) and np.array_equal(chain.mask, mask)
    assert np.abs(chain.atoms - atoms).max() < 1e-3
    assert np.abs(chain.bfactors[:, 1] - plddt).max() < 0.01
    from Bio.PDB import MMCIFParser, PDBParser

    parser = MMCIFParser(QUIET=True) if suffix == ".cif" else PDBParser(QUIET=True)
    read = list(parser.get_structure("x", str(path)).get_residues())
    assert [residues.one_letter(r.get_resname()) for r in read] == list(chain.sequence)
    assert read[3]["CA"].get_bfactor() == pytest.approx(plddt[3], abs=0.01)
    assert np.abs(read[3]["CA"].coord - atoms[3, 1]).max() < 1e-2


def test_chain_breaks_are_seen(tmp_path: Path) -> None:
    chain = read_chain(CORPUS / "plain.pdb")
    assert chain.gaps is not None and not chain.gaps.any()
    moved = chain.atoms.copy()
    moved[3:] += 20
    write_structure(tmp_path / "x.pdb", chain.types, moved, chain.mask)
    gaps = read_chain(tmp_path / "x.pdb").gaps
    assert gaps is not None and list(np.flatnonzero(gaps)) == [3]


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_damaged_files_never_crash(tmp_path_factory, data) -> None:
    original = (CORPUS / data.draw(st.sampled_from(["plain.pdb", "altloc.pdb"]))).read_bytes()
    raw = bytearray(original)
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at] = data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, len(raw)))
    path = tmp_path_factory.getbasetemp() / "fuzz.pdb"
    path.write_bytes(bytes(raw[:cut]))
    try:
        read_chains(path)
    except InputError as error:
        assert "\n" not in str(error)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_mmcif_never_crashes(tmp_path_factory, data) -> None:
    base = tmp_path_factory.getbasetemp()
    source = base / "whole.cif"
    if not source.exists():
        write_structure(source, *random_structure(3))
    raw = bytearray(source.read_bytes())
    for _ in range(data.draw(st.integers(1, 12))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at] = data.draw(st.integers(1, 255))
    path = base / "fuzz.cif"
    path.write_bytes(bytes(raw))
    try:
        read_chains(path)
    except InputError as error:
        assert "\n" not in str(error)


def test_compressed_mmcif_by_two_other_writers(tmp_path: Path) -> None:
    """Biopython and gemmi write what they read from a PDB file; the chain is the same."""
    import gemmi
    from Bio.PDB import MMCIFIO, PDBParser

    types, atoms, mask = random_structure(5)
    write_structure(tmp_path / "x.pdb", types, atoms, mask)
    writer = MMCIFIO()
    writer.set_structure(PDBParser(QUIET=True).get_structure("x", str(tmp_path / "x.pdb")))
    writer.save(str(tmp_path / "biopython.cif"))
    structure = gemmi.read_structure(str(tmp_path / "x.pdb"))
    structure.setup_entities()
    structure.make_mmcif_document().write_file(str(tmp_path / "gemmi.cif"))
    for name in ("biopython", "gemmi"):
        path = tmp_path / f"{name}.cif.gz"
        path.write_bytes(gzip.compress((tmp_path / f"{name}.cif").read_bytes()))
        (chain,) = read_chains(path)
        assert np.array_equal(chain.types, types) and np.array_equal(chain.mask, mask), name
        assert np.abs(chain.atoms - atoms).max() < 1e-3, name


def test_real_files(shared: Path) -> None:
    folder = shared / "data/protein/openfold_tests/mmcifs"
    for path in sorted(folder.glob("*.cif.gz"))[:3]:
        chains = read_chains(path)
        assert all(chain.mask[:, 1].mean() > 0.9 for chain in chains)
    with gzip.open(sorted(folder.glob("*.cif.gz"))[0]) as file:
        assert file.read(5).lower() == b"data_"


def test_a_structure_is_its_chains_in_order(tmp_path: Path) -> None:
    types = np.zeros(4, int)
    atoms, mask = np.zeros((4, 37, 3)), np.zeros((4, 37))
    atoms[:, 1, 0], mask[:, 1] = 3.8 * np.arange(4), 1
    for name in "BA":
        write_structure(tmp_path / f"{name}.pdb", types, atoms, mask, chain=name)
    atoms_of = [(tmp_path / f"{name}.pdb").read_text().split("\n") for name in "BA"]
    lines = [line for text in atoms_of for line in text if line.startswith(("ATOM", "TER"))]
    (tmp_path / "both.pdb").write_text("\n".join([*lines, "END", ""]))
    structure = read_structure(tmp_path / "both.pdb")
    assert [chain.name for chain in structure] == ["B", "A"] and len(structure) == 2
    assert structure["A"] is structure[1] and structure["A"].sequence == "AAAA"
    with pytest.raises(InputError, match="unknown chain"):
        structure["C"]
