"""Scores of a model against a structure, residues paired by number or by alignment."""

from __future__ import annotations

import numpy as np

from sciml.errors import InputError
from sciml.protein.io.pairwise import local_alignment
from sciml.protein.io.residues import ATOM37_INDEX, RESIDUES
from sciml.protein.io.structure import Chain
from sciml.protein.measure import metrics

AMBIGUOUS = {
    "D": ("OD1 OD2",),
    "E": ("OE1 OE2",),
    "F": ("CD1 CD2", "CE1 CE2"),
    "L": ("CD1 CD2",),
    "R": ("NH1 NH2",),
    "V": ("CG1 CG2",),
    "Y": ("CD1 CD2", "CE1 CE2"),
}
"""Atoms whose names may be exchanged in lDDT."""


def pair_residues(model: Chain, truth: Chain) -> np.ndarray:
    """[M, 2] indices of residues that are the same one.

    By author number where at least nine in ten of the common numbers carry the same residue,
    otherwise by a local alignment of the sequences.
    """
    by_number = {number: i for i, number in enumerate(truth.numbers)}
    common = [(i, by_number[n]) for i, n in enumerate(model.numbers) if n in by_number]
    if common:
        same = np.mean([model.types[i] == truth.types[j] for i, j in common])
        if same >= 0.9 and len(common) >= 0.5 * min(len(model), len(truth)):
            return np.array(common)
    pairs = local_alignment(model.sequence, truth.sequence)
    if not pairs:
        raise InputError("the two sequences have nothing in common")
    return np.array(pairs)


def best_names(types: np.ndarray, model: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The model's atoms under those names of ambiguous atoms that give the higher lDDT.

    As lDDT is defined (Mariani et al., Bioinformatics 29, 2722, 2013): of each such residue both
    namings are scored by the distances to all atoms that are not ambiguous.

    Args:
        types: [N] residue types of the truth.
        model, truth: [N, 37, 3] [A], NaN where truth_fixed is no atom.
    """
    pairs = {
        RESIDUES.index(letter): np.array([[ATOM37_INDEX[n] for n in p.split()] for p in names])
        for letter, names in AMBIGUOUS.items()
    }
    fixed = np.isfinite(truth).all(-1)
    for kind, swap in pairs.items():
        fixed[np.ix_(types == kind, swap.ravel())] = False
    owner = np.nonzero(fixed)[0]
    truth_fixed, model_fixed = truth[fixed], model[fixed]

    def agreement(names: np.ndarray, atoms: np.ndarray, k: int) -> float:
        true_distance = np.linalg.norm(truth[k, names.ravel(), None] - truth_fixed, axis=-1)
        distance = np.linalg.norm(atoms[:, None] - model_fixed, axis=-1)
        use = (true_distance < 15) & (owner != k)
        error = np.where(np.isfinite(distance), np.abs(true_distance - distance), np.inf)[use]
        return sum(float((error < limit).sum()) for limit in (0.5, 1, 2, 4))

    renamed = model.copy()
    with np.errstate(invalid="ignore"):
        for k, kind in enumerate(types):
            if kind not in pairs:
                continue
            names = pairs[kind]
            other = names[:, ::-1].ravel()
            if agreement(names, model[k, other], k) > agreement(names, model[k, names.ravel()], k):
                renamed[k, names.ravel()] = model[k, other]
    return renamed


def score_chains(
    model: Chain, truth: Chain, pairs: np.ndarray | None = None
) -> dict[str, float | int]:
    """lDDT (all atoms and CA), GDT-TS, GDT-HA, TM-score, RMSD [A] and contact precision.

    All are over the truth's residues: what the model lacks counts as wrong.

    Args:
        model, truth: the chains.
        pairs: [M, 2] residues that are the same one; by `pair_residues` if None.
    """
    pairs = pair_residues(model, truth) if pairs is None else np.asarray(pairs)
    n = len(truth)
    atoms = np.full((n, 37, 3), np.nan)
    atoms[pairs[:, 1]] = np.where(
        model.mask[pairs[:, 0], :, None] > 0, model.atoms[pairs[:, 0]], np.nan
    )
    resolved = truth.mask > 0
    true_atoms = np.where(resolved[..., None], truth.atoms, np.nan)
    owner = np.repeat(np.arange(n), 37)
    use = resolved.reshape(-1)
    named = best_names(truth.types, atoms, true_atoms)
    ca_model, ca_truth = atoms[:, 1], true_atoms[:, 1]
    best = metrics.superposed(ca_model, ca_truth)
    result: dict[str, float | int] = {
        "residues": n,
        "residues_compared": len(pairs),
        "lddt": float(
            metrics.lddt(
                named.reshape(-1, 3)[use], true_atoms.reshape(-1, 3)[use], owner=owner[use]
            )
        ),
        "lddt_ca": float(metrics.lddt(ca_model, ca_truth)),
        "gdt_ts": best.gdt_ts,
        "gdt_ha": best.gdt_ha,
        "tm_score": best.tm_score,
        "rmsd_ca": metrics.rmsd(ca_model, ca_truth),
    }
    beta = np.full((n, 3), np.nan)
    beta[pairs[:, 1]] = model.beta()[pairs[:, 0]]
    near = -np.nan_to_num(metrics.distances(beta), nan=1e3)
    precision = metrics.contact_precision(near, metrics.distances(truth.beta()))
    result["contact_precision_L5"] = precision["P@L/5"]
    return result
