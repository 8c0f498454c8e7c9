"""Scores of a model against a structure, residues paired by number or by alignment."""

from __future__ import annotations

from typing import Any

import numpy as np

from sciml.errors import InputError
from sciml.protein import metrics
from sciml.protein.structure import Chain


def pair_residues(model: Chain, truth: Chain) -> np.ndarray:
    """[M, 2] indices of residues that are the same one.

    By author number where at least nine in ten of the common numbers carry the same residue,
    otherwise by a local alignment of the sequences.
    """
    places = {number: i for i, number in enumerate(truth.numbers)}
    common = [(i, places[n]) for i, n in enumerate(model.numbers) if n in places]
    if common:
        same = np.mean([model.types[i] == truth.types[j] for i, j in common])
        if same >= 0.9 and len(common) >= 0.5 * min(len(model), len(truth)):
            return np.array(common)
    from Bio.Align import PairwiseAligner, substitution_matrices

    aligner: Any = PairwiseAligner()
    aligner.substitution_matrix = substitution_matrices.load("BLOSUM62")
    aligner.open_gap_score, aligner.extend_gap_score = -11, -1
    aligner.mode = "local"
    found = aligner.align(model.sequence, truth.sequence)
    if not found:
        raise InputError("the two sequences have nothing in common")
    pairs = []
    for (start, stop), (other, _) in zip(*found[0].aligned, strict=True):
        pairs += [(start + k, other + k) for k in range(stop - start)]
    return np.array(pairs)


def score_chains(model: Chain, truth: Chain) -> dict[str, float | int]:
    """lDDT (all atoms and CA), GDT-TS, GDT-HA, TM-score, RMSD [A] and contact precision.

    All are over the truth's residues: what the model lacks counts as wrong.
    """
    pairs = pair_residues(model, truth)
    n = len(truth)
    atoms, mask = np.full((n, 37, 3), np.nan), np.zeros((n, 37))
    atoms[pairs[:, 1]] = np.where(
        model.mask[pairs[:, 0], :, None] > 0, model.atoms[pairs[:, 0]], np.nan
    )
    mask[pairs[:, 1]] = model.mask[pairs[:, 0]]
    known = truth.mask > 0
    want = np.where(known[..., None], truth.atoms, np.nan)
    owner = np.repeat(np.arange(n), 37)
    use = known.reshape(-1)
    ca_model, ca_truth = atoms[:, 1], want[:, 1]
    result: dict[str, float | int] = {
        "residues": n,
        "residues_compared": len(pairs),
        "lddt": float(
            metrics.lddt(atoms.reshape(-1, 3)[use], want.reshape(-1, 3)[use], owner=owner[use])
        ),
        "lddt_ca": float(metrics.lddt(ca_model, ca_truth)),
        "gdt_ts": metrics.gdt(ca_model, ca_truth),
        "gdt_ha": metrics.gdt(ca_model, ca_truth, high_accuracy=True),
        "tm_score": metrics.tm_score(ca_model, ca_truth),
        "rmsd_ca": metrics.rmsd(ca_model, ca_truth),
    }
    beta = np.full((n, 3), np.nan)
    beta[pairs[:, 1]] = model.beta()[pairs[:, 0]]
    near = -np.nan_to_num(metrics.distances(beta), nan=1e3)
    precision = metrics.contact_precision(near, metrics.distances(truth.beta()))
    result["contact_precision_L5"] = precision["P@L/5"]
    return result
