"""Mean-field couplings against their definition, known couplings, and an independent table."""

import json
from pathlib import Path

import numpy as np
import pytest

from sciml.errors import InputError
from sciml.protein import Alignment
from sciml.protein.contacts import dca
from sciml.protein.contacts.families import read_family
from sciml.protein.io import residues


def coupled_alignment(rng: np.random.Generator, depth: int = 600, columns: int = 14) -> Alignment:
    rows = rng.integers(0, 20, (depth, columns)).astype(np.uint8)
    for a, b in ((1, 9), (3, 12)) if columns > 12 else ((0, 3),):
        copied = rng.random(depth) < 0.7
        rows[copied, b] = (rows[copied, a] + 5) % 20
    return Alignment([str(i) for i in range(depth)], rows)


def test_coupled_columns_come_first() -> None:
    result = dca.mean_field(coupled_alignment(np.random.default_rng(0)))
    row, column = np.triu_indices(14, 1)
    best = np.argsort(-result.scores[row, column])[:2]
    assert {(int(row[k]), int(column[k])) for k in best} == {(1, 9), (3, 12)}
    assert np.allclose(result.scores, result.scores.T)


def test_couplings_are_the_negative_inverse_covariance() -> None:
    alignment = coupled_alignment(np.random.default_rng(1), depth=300, columns=5)
    q, columns = 21, 5
    weights = alignment.weights()
    onehot = np.eye(q)[alignment.rows]
    single = np.einsum("r,rca->ca", weights, onehot) / weights.sum()
    pair = np.einsum("r,ria,rjb->iajb", weights, onehot, onehot) / weights.sum()
    single = 0.5 * single + 0.5 / q
    pair = 0.5 * pair + 0.5 / q**2
    for i in range(columns):
        pair[i, :, i] = np.diag(single[i])
    covariance = pair - np.einsum("ia,jb->iajb", single, single)
    inner = covariance[:, :20, :, :20].reshape(columns * 20, columns * 20)
    expected = -np.linalg.inv(inner).reshape(columns, 20, columns, 20).transpose(0, 2, 1, 3)
    result = dca.mean_field(alignment)
    off = ~np.eye(columns, dtype=bool)
    scale = np.abs(expected[off]).max()
    assert np.abs(result.couplings[off] - expected[off]).max() < 1e-3 * scale
    full = np.zeros((columns, columns, q, q))
    full[:, :, :20, :20] = expected
    centred = full - full.mean(2, keepdims=True) - full.mean(3, keepdims=True)
    centred += full.mean((2, 3), keepdims=True)
    norms = np.sqrt((centred[:, :, :20, :20] ** 2).sum((2, 3)))
    assert np.allclose(result.raw[off], norms[off], rtol=1e-3)


def test_average_product_correction_removes_what_is_separable() -> None:
    strength = np.random.default_rng(2).random(30) + 0.5
    corrected = dca.average_product_correction(np.outer(strength, strength))
    assert np.abs(corrected).max() < 0.2


def test_one_sequence_is_no_error() -> None:
    result = dca.mean_field(Alignment.from_sequences(["ACDEFGHIKL"]))
    assert np.isfinite(result.scores).all() and result.neff == 1


def test_impossible_settings() -> None:
    alignment = Alignment.from_sequences(["ACDEF"])
    with pytest.raises(InputError, match="pseudocount"):
        dca.mean_field(alignment, pseudocount=0)
    wide = Alignment(["q"], np.zeros((1, dca.MAX_COLUMNS + 1), np.uint8))
    with pytest.raises(InputError, match="columns"):
        dca.mean_field(wide)


def test_pydca_gives_the_same_couplings(fixture_file, fixture_script) -> None:
    """pydca shifts to the zero sum over the twenty residues, without the gap."""
    script = fixture_script("pydca_scores")
    expected = np.load(fixture_file("protein/pydca.npz"))
    ours = dca.mean_field(Alignment.from_sequences(["".join(row) for row in script.family()]))
    assert ours.neff == pytest.approx(float(expected["neff"]), abs=1e-6)
    order = [residues.RESIDUES.index(letter) for letter in script.LETTERS[:20]]
    couplings = ours.couplings[:, :, order][:, :, :, order].astype(float)
    off = ~np.eye(script.COLUMNS, dtype=bool)
    near = np.abs(couplings[:4] - expected["couplings"])[off[:4]]
    assert near.max() < 1e-5 * np.abs(expected["couplings"]).max()
    couplings -= (
        couplings.mean(2, keepdims=True)
        + couplings.mean(3, keepdims=True)
        - (couplings.mean((2, 3), keepdims=True))
    )
    raw = np.sqrt((couplings**2).sum((2, 3))) * off
    assert np.allclose(raw, expected["raw"], atol=1e-4)
    assert np.allclose(dca.average_product_correction(raw), expected["scores"], atol=1e-4)
    pairs = off.nonzero()
    assert np.corrcoef(ours.scores[pairs], expected["scores"][pairs])[0, 1] > 0.9999


def test_an_independent_run_on_real_families(shared: Path) -> None:
    root = shared / "data/protein/pfam40"
    table = {}
    for line in (root / "mfdca_baseline.tsv").read_text().splitlines():
        if line.startswith("PF"):
            name, *values = line.split("\t")
            table[name] = values
    for name in ("PF00018", "PF00327", "PF08666"):
        family = read_family(root / name)
        result = family.precision(dca.mean_field(family.alignment).scores)
        length, *precisions = table[name][:4]
        assert len(family.residue) == int(length)
        ours = [result["P@L"], result["P@L/2"], result["P@L/5"]]
        assert np.allclose(ours, [float(p) for p in precisions], atol=0.05)
        assert result["contacts"] == float(table[name][-1])
        assert json.loads((root / name / "mapping.json").read_text())["family"] == name
