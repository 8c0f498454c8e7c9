"""Folds read from structures and chain files, and families on them."""

from pathlib import Path

import numpy as np
import pytest

from sciml.errors import InputError
from sciml.protein.contacts.synthetic_families import families
from sciml.protein.contacts.topologies import ideal_cb, made_folds, read_folds, secondary_of_trace
from sciml.protein.io.residues import RESIDUES
from sciml.protein.measure import metrics


def helix(count: int) -> np.ndarray:
    """CA positions of an ideal helix: 100 degrees and 1.5 A a residue, radius 2.3 A."""
    turn = np.radians(100) * np.arange(count)
    return np.stack([2.3 * np.cos(turn), 2.3 * np.sin(turn), 1.5 * np.arange(count)], 1)


def strand(count: int) -> np.ndarray:
    """CA positions of a pleated strand: 3.3 A a residue, 1.8 A from side to side."""
    index = np.arange(count)
    return np.stack([3.3 * index, 0.9 * (-1.0) ** index, 0.0 * index], 1)


def chain_file(path: Path, letters: str, ca: np.ndarray) -> None:
    points = np.stack([ca - [1.2, 0.8, 0], ca, ca + [1.2, -0.8, 0.3], ca + [0, 2.0, 0]], 1)
    lines = [" ".join(f"{v:.3f}" for v in row.ravel()) for row in points]
    path.write_text("\n".join([letters, "C" * len(letters), *lines]) + "\n")


def test_secondary_structure_of_ideal_traces() -> None:
    assert secondary_of_trace(helix(12)) == "H" * 12
    assert secondary_of_trace(strand(12)) == "E" * 12
    assert secondary_of_trace(np.zeros((3, 3))) == "LLL"


def test_ideal_cb_sits_where_tetrahedral_carbon_does() -> None:
    # N, CA, C of an ideal residue; CB is 1.53 A from CA, and nearly so far from N as from C.
    n, ca, c = np.array([[-0.525, 1.363, 0.0]]), np.zeros((1, 3)), np.array([[1.526, 0.0, 0.0]])
    cb = ideal_cb(n, ca, c)[0]
    assert np.linalg.norm(cb) == pytest.approx(1.53, abs=0.02)
    assert np.linalg.norm(cb - n[0]) == pytest.approx(2.45, abs=0.05)
    assert np.allclose(cb, [-0.529, -0.774, -1.205], atol=0.03)  # an L residue


def test_chain_files_and_structures(tmp_path: Path) -> None:
    letters = "ACDEFGHIKLMNPQRSTVWYACDEFG"
    chain_file(tmp_path / "1ABC_A.txt", letters, helix(len(letters)))
    chain_file(tmp_path / "2ABC_A.txt", letters, strand(len(letters)))
    chain_file(tmp_path / "3ABC_A.txt", "X" + letters[1:], strand(len(letters)))
    folds = read_folds(tmp_path, without=["2ABC_A"])
    assert [fold.name for fold in folds] == ["1ABC_A"]
    fold = folds[0]
    assert fold.native is not None
    assert "".join(RESIDUES[k] for k in fold.native) == letters
    glycine = letters.index("G")
    assert np.array_equal(fold.cb[glycine], fold.ca[glycine])
    assert np.linalg.norm(fold.cb[0] - fold.ca[0]) > 1
    with pytest.raises(InputError, match="holds no chains of 40 to 50"):
        read_folds(tmp_path, length=(40, 50))
    with pytest.raises(InputError, match="holds no chains"):
        read_folds(tmp_path, contacts=5.0)
    (tmp_path / "4ABC_A.txt").write_text(letters + "\nCC\n1.0 2.0\n")
    with pytest.raises(InputError, match="centroid for each residue"):
        read_folds(tmp_path)


def test_families_on_given_folds_keep_the_fold_and_resemble_its_sequence(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    made = made_folds(rng, np.array([30, 34]))
    native = rng.integers(0, 20, 30)
    made[0].native = native
    family = families(1, 3, folds=made, depth=(80, 80))[0]
    assert np.array_equal(family.cb, made[0].cb) and family.alignment.depth == 80
    rows = family.alignment.rows
    alike = (rows == native).mean()
    unlike = (rows == rng.permutation(native)).mean()
    assert alike > unlike + 0.05
    assert (rows[0] != 21).all() and (rows == 21).any()
    assert np.isfinite(metrics.distances(family.cb)).all()
    with pytest.raises(InputError, match="cannot make"):
        families(1, depth=(5, 2))
