"""What counts of a structure file: chains, parents of residues, the most occupied conformer."""

from pathlib import Path

import gemmi
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml.errors import InputError
from sciml.protein.alphafold.prediction import StructurePrediction
from sciml.protein.alphafold.templates import read_templates
from sciml.protein.io import residues
from sciml.protein.io.residues import ATOM37_INDEX, RESIDUES, THREE_LETTER, one_letter
from sciml.protein.io.structure import read_chain, read_chains
from sciml.protein.io.structure_writing import write_structure

BACKBONE = ("N", "CA", "C", "O", "CB")


def line(
    name: str,
    residue: str,
    number: int,
    x: float = 0.0,
    *,
    chain: str = "A",
    alt: str = " ",
    occupancy: float = 1.0,
    kind: str = "ATOM",
    element: str = "",
) -> str:
    return (
        f"{kind:6}{1:5d}  {name:<3}{alt}{residue:>3} {chain}{number:4d}    {x:8.3f}{0:8.3f}{0:8.3f}"
        f"{occupancy:6.2f}{20:6.2f}          {element or name[0]:>2}\n"
    )


def mmcif(names: list[str], atoms: tuple[str, ...] = BACKBONE, **columns: str) -> str:
    """One chain of the residues named, as deposited files write it."""
    text = "data_x\nloop_\n_entity.id\n_entity.type\n1 polymer\nloop_\n_struct_asym.id\n"
    text += "_struct_asym.entity_id\nA 1\nloop_\n"
    keys = (
        "group_PDB id type_symbol label_atom_id label_alt_id label_comp_id label_asym_id "
        "label_entity_id label_seq_id Cartn_x Cartn_y Cartn_z occupancy auth_seq_id auth_asym_id"
    ).split()
    text += "".join(f"_atom_site.{key}\n" for key in keys if columns.get(key) != "left out")
    for i, name in enumerate(names, 1):
        group = "ATOM" if name in THREE_LETTER else "HETATM"
        for k, atom in enumerate(atoms):
            row = [group, "1", atom[0], atom, ".", name, "A", "1", str(i), f"{3.8 * i}", f"{k}.0",
                   "0.0", "1.0", str(i + 90), "A"]  # fmt: skip
            text += " ".join(
                columns.get(key, value)
                for key, value in zip(keys, row, strict=True)
                if columns.get(key) != "left out"
            )
            text += "\n"
    return text


MODIFIED = {
    "CSS": "C", "OCS": "C", "ALY": "K", "TYS": "Y", "CAS": "C", "HIC": "H", "NEP": "H", "SAC": "S",
    "FME": "M", "MSE": "M", "SEC": "C", "PYL": "K", "SEP": "S", "TPO": "T", "PTR": "Y", "HYP": "P",
    "KCX": "K", "MLY": "K", "M3L": "K", "PCA": "E", "CGU": "E", "LLP": "K", "CSO": "C", "CME": "C",
    "AGM": "R", "TRQ": "W", "DAL": "A", "HSD": "H", "CYX": "C", "UNK": "X", "ASX": "X", "HOH": "X",
    "ATP": "X", "DA": "X", "A": "X", "ACE": "X",
}  # fmt: skip


def test_modified_residues_are_their_parents(tmp_path: Path) -> None:
    assert {name: one_letter(name) for name in MODIFIED} == MODIFIED
    names = [name for name, letter in MODIFIED.items() if letter != "X"]
    (tmp_path / "x.cif").write_text(mmcif(["ALA", *names, "GLY"], ("N", "CA", "C", "O", "CB")))
    chain = read_chain(tmp_path / "x.cif")
    assert chain.sequence == "A" + "".join(MODIFIED[name] for name in names) + "G"
    assert (chain.mask[:, 1] == 1).all() and chain.labels == list(range(1, len(names) + 3))
    pdb = "".join(
        line(a, n, i, 3.8 * i, kind="HETATM") for i, n in enumerate(names) for a in BACKBONE
    )
    (tmp_path / "x.pdb").write_text(pdb)
    assert read_chain(tmp_path / "x.pdb").sequence == chain.sequence[1:-1]
    templates = read_templates(tmp_path / "x.cif", chain.sequence)
    assert (templates[0].types[1:-1] < 20).all()


def test_every_amino_acid_that_gemmi_lists_has_its_parent() -> None:
    known = 0
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    for name in (a + b + c for a in alphabet for b in alphabet for c in alphabet):
        component = gemmi.find_tabulated_residue(name)
        if (
            component.found()
            and component.is_amino_acid()
            and component.one_letter_code.upper() in RESIDUES
        ):
            assert one_letter(name) == component.one_letter_code.upper()
            known += 1
    assert known > 100


def test_atoms_of_the_parent_alone_are_kept(tmp_path: Path) -> None:
    """Hydroxyproline's OD1 is no atom of proline; selenium stands where sulphur does."""
    text = "".join(line(n, "HYP", 1, kind="HETATM") for n in ("N", "CA", "C", "CG", "CD", "OD1"))
    text += line("CA", "MSE", 2) + line("SE", "MSE", 2, element="SE")
    text += line("CA", "SEC", 3) + line("SE", "SEC", 3, element="SE")
    text += line("CA", "ILE", 4) + line("CD", "ILE", 4) + line("OT1", "ILE", 4)
    (tmp_path / "x.pdb").write_text(text)
    chain = read_chain(tmp_path / "x.pdb")
    assert chain.sequence == "PMCI"
    allowed = np.maximum(residues.ATOM37_MASK[chain.types], np.eye(37)[ATOM37_INDEX["OXT"]])
    assert (chain.mask <= allowed).all()
    for row, name in ((0, "CG"), (1, "SD"), (2, "SG"), (3, "CD1"), (3, "O")):
        assert chain.mask[row, ATOM37_INDEX[name]] == 1


def test_the_file_says_which_residue_a_strange_one_was(tmp_path: Path) -> None:
    text = "MODRES 1ABC QQ9 A    1  LYS  ODD\n" + line("CA", "QQ9", 1, kind="HETATM")
    (tmp_path / "x.pdb").write_text(text + line("CA", "GLY", 2, 3.8))
    assert read_chain(tmp_path / "x.pdb").sequence == "KG"


@pytest.mark.parametrize(("first", "second", "letter"), [(0.4, 0.6, "T"), (0.5, 0.5, "S"),
                                                        (0.7, 0.3, "S")])  # fmt: skip
def test_of_two_residues_the_more_occupied(
    tmp_path: Path, first: float, second: float, letter: str
) -> None:
    text = ""
    for name in BACKBONE:  # the first lacks no atom, so that "more complete" is no rule
        text += line(name, "SER", 1, 1.0, alt="A", occupancy=first)
        text += line(name, "THR", 1, 2.0, alt="B", occupancy=second) if name != "CB" else ""
    (tmp_path / "x.pdb").write_text(text + line("CA", "GLY", 2, 3.8))
    chain = read_chain(tmp_path / "x.pdb")
    assert chain.sequence == f"{letter}G" and len(chain.numbers) == 2
    assert (chain.atoms[0, :3, 0] == (2.0 if letter == "T" else 1.0)).all()


@settings(max_examples=100, deadline=None)
@given(
    occupancies=st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), min_size=2, max_size=4),
    lacking=st.sets(st.sampled_from(BACKBONE), max_size=3),
    interleaved=st.booleans(),
)
def test_one_conformer_a_residue(
    tmp_path_factory: pytest.TempPathFactory,
    occupancies: list[float],
    lacking: set[str],
    interleaved: bool,
) -> None:
    """All atoms are of the most occupied conformer; what it lacks comes from another."""
    rows = [
        (k, a)
        for k in range(len(occupancies))
        for a in BACKBONE
        if not (k == 1 and a in lacking and a != "CA")
    ]
    rows.sort(key=lambda row: BACKBONE.index(row[1]) if interleaved else 0)
    text = "".join(
        line(atom, "ALA", 7, float(k), alt="ABCD"[k], occupancy=occupancies[k]) for k, atom in rows
    )
    path = tmp_path_factory.getbasetemp() / "alternates.pdb"
    path.write_text(text)
    chain = read_chain(path)
    best = int(np.argmax(occupancies))
    for atom in BACKBONE:
        at = ATOM37_INDEX[atom]
        assert chain.mask[0, at] == 1
        if (best, atom) in rows:
            assert chain.atoms[0, at, 0] == best


def test_a_conformer_without_a_letter(tmp_path: Path) -> None:
    """Some files leave the first of two places unmarked."""
    text = line("CA", "SER", 1) + line("OG", "SER", 1, 1.0, occupancy=0.4)
    text += line("OG", "SER", 1, 2.0, alt="B", occupancy=0.6)
    (tmp_path / "x.pdb").write_text(text)
    assert read_chain(tmp_path / "x.pdb").atoms[0, ATOM37_INDEX["OG"], 0] == 2.0


def chain_of(letters: str, start: int, name: str, x: float) -> str:
    return "".join(
        line("CA", THREE_LETTER[residues.RESIDUES.index(c)], start + i, x + 3.8 * i, chain=name)
        for i, c in enumerate(letters)
    )


def test_chains_without_names_stay_apart(tmp_path: Path) -> None:
    for between, second in (("TER\n", 1), ("TER\n", 7), ("", 1)):
        text = chain_of("ACDEF", 1, " ", 0) + between + chain_of("GHIKLMN", second, " ", 100)
        (tmp_path / "x.pdb").write_text(text)
        assert [c.sequence for c in read_chains(tmp_path / "x.pdb")] == ["ACDEF", "GHIKLMN"]
        assert read_chain(tmp_path / "x.pdb").sequence == "ACDEF"
    same = chain_of("ACDEF", 1, "A", 0) + "TER\n" + chain_of("GHI", 1, "A", 100)
    (tmp_path / "x.pdb").write_text(same)
    assert [(c.name, c.sequence) for c in read_chains(tmp_path / "x.pdb")] == [
        ("A", "ACDEF"),
        ("A_2", "GHI"),
    ]


def test_a_break_and_a_ligand_are_no_chains(tmp_path: Path) -> None:
    text = chain_of("ACD", 1, "A", 0) + "TER\n" + chain_of("EF", 8, "A", 30) + "TER\n"
    text += chain_of("GG", 1, "B", 60) + "TER\n" + line("CA", "GLU", 300, kind="HETATM")
    (tmp_path / "x.pdb").write_text(text)
    assert [c.sequence for c in read_chains(tmp_path / "x.pdb")] == ["ACDEF", "GG"]
    late = line("CA", "ALA", 1) + line("CA", "GLY", 2, 3.8) + line("CB", "ALA", 1, 1.0)
    (tmp_path / "x.pdb").write_text(late)  # an atom that a program added at the end
    assert read_chain(tmp_path / "x.pdb").mask[0, ATOM37_INDEX["CB"]] == 1


def test_two_molecules_under_one_author_name(tmp_path: Path) -> None:
    text = mmcif(["ALA", "GLY"]) + mmcif(["SER", "TRP", "TYR"]).split("auth_asym_id\n")[1].replace(
        " A 1 ", " B 1 "
    )
    (tmp_path / "x.cif").write_text(text)
    assert [(c.name, c.sequence) for c in read_chains(tmp_path / "x.cif")] == [
        ("A", "AG"),
        ("A_2", "SWY"),
    ]


@pytest.mark.parametrize("value", [".", "?", "left out"])
def test_files_without_author_numbers(tmp_path: Path, value: str) -> None:
    (tmp_path / "x.cif").write_text(mmcif(["ALA", "GLY", "SER"], auth_seq_id=value))
    chain = read_chain(tmp_path / "x.cif")
    assert chain.sequence == "AGS" and chain.labels == [1, 2, 3]


@pytest.mark.parametrize("column", ["label_asym_id", "label_alt_id", "type_symbol", "id"])
def test_columns_that_refinement_programs_leave_out(tmp_path: Path, column: str) -> None:
    text = mmcif(["ALA", "MSE", "SER"], ("N", "CA", "SE"), **{column: "left out"})
    (tmp_path / "x.cif").write_text(text)
    chain = read_chain(tmp_path / "x.cif")
    assert chain.name == "A" and chain.sequence == "AMS"
    assert chain.mask[:, ATOM37_INDEX["SD"]].tolist() == [0, 1, 0]


def model(n: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    types = np.arange(n)
    mask = residues.ATOM37_MASK[types]
    return types, np.random.default_rng(0).normal(0, 9, (n, 37, 3)) * mask[..., None], mask


def test_written_models_carry_modelcif_tables(tmp_path: Path) -> None:
    types, atoms, mask = model()
    mask[2] = 0  # a residue without atoms
    plddt = np.array([91.5, 70.25, 0.0, 33.0, 100.0])
    write_structure(tmp_path / "x.cif", types, atoms, mask, plddt=plddt, title="it's one")
    block = gemmi.cif.read(str(tmp_path / "x.cif")).sole_block()
    metrics = block.find("_ma_qa_metric.", ["id", "mode", "type", "name"])
    assert [tuple(row) for row in metrics] == [
        ("1", "global", "pLDDT", "pLDDT"), ("2", "local", "pLDDT", "pLDDT"),
    ]  # fmt: skip
    whole = block.find("_ma_qa_metric_global.", ["model_id", "metric_id", "metric_value"])
    assert [tuple(row) for row in whole] == [("1", "1", f"{plddt.mean():.2f}")]
    local = block.find(
        "_ma_qa_metric_local.",
        ["label_asym_id", "label_seq_id", "label_comp_id", "metric_id", "metric_value", "model_id"],
    )
    assert [float(row[4]) for row in local] == [91.5, 70.25, 33.0, 100.0]
    sites = block.find("_atom_site.", ["label_asym_id", "label_seq_id", "label_comp_id"])
    assert {tuple(row)[:3] for row in local} == {tuple(row) for row in sites}
    assert all(row[3] == "2" and row[5] == "1" for row in local)
    chain = read_chain(tmp_path / "x.cif")
    assert chain.bfactors[:, 1] == pytest.approx(plddt[[0, 1, 3, 4]])
    write_structure(tmp_path / "y.cif", types, atoms, mask, np.full(5, 20.0))
    assert (
        not gemmi.cif.read(str(tmp_path / "y.cif"))
        .sole_block()
        .find("_ma_qa_metric_local.", ["metric_value"])
    )


@pytest.mark.parametrize("suffix", [".cif", ".pdb"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
def test_no_number_that_is_none_is_written(tmp_path: Path, suffix: str, bad: float) -> None:
    types, atoms, mask = model()
    for where in ("atoms", "plddt", "bfactors"):
        given = {"atoms": atoms.copy(), "plddt": np.full(5, 50.0), "bfactors": np.full(5, 50.0)}
        given[where][(1, 1, 2) if where == "atoms" else 1] = bad
        with pytest.raises(InputError, match="not finite or beyond"):
            kind = "bfactors" if where == "bfactors" else "plddt"
            path = tmp_path / f"x{suffix}"
            last = {kind: given[kind]}
            write_structure(path, types, given["atoms"], mask, **last)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("where", ["atoms", "plddt", "pae", "distogram"])
def test_a_prediction_that_is_no_number_writes_nothing(tmp_path: Path, where: str) -> None:
    types, atoms, mask = model()
    values = {"atoms": atoms, "plddt": np.full(5, 50.0), "pae": np.ones((5, 5)),
              "distogram": np.full((5, 5, 64), 1 / 64)}  # fmt: skip
    whole = StructurePrediction(name="x", types=types, atom_mask=mask, **values)  # type: ignore[arg-type]
    values[where] = values[where].copy()
    values[where][1] = np.nan
    broken = StructurePrediction(name="y", types=types, atom_mask=mask, **values)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="not finite or beyond"):
        broken.write(tmp_path)
    assert not list(tmp_path.iterdir())
    assert len(whole.write(tmp_path)) == 6
