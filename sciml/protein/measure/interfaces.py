"""Accuracy of a predicted complex: DockQ and its parts, interface lDDT, TM-score; and pDockQ.

Sources: DockQ Basu and Wallner, PLoS ONE 11, e0161879 (2016), with the definitions of its version 2
(Mirabello and Wallner, Bioinformatics 40, btae586, 2024); pDockQ Bryant et al., Nat. Commun. 13,
1265 (2022). Distances in Angstrom; atoms in atom37 layout, NaN where missing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sciml.errors import InputError
from sciml.protein.io.residues import ATOM37_INDEX
from sciml.protein.measure import metrics
from sciml.protein.measure.chains import match_chains, matched_residues

CONTACT, INTERFACE = 5.0, 10.0
"""Two residues touch, or belong to the interface, where two of their atoms are closer [A]."""
BACKBONE = [ATOM37_INDEX[name] for name in ("N", "CA", "C", "O")]


@dataclass(frozen=True)
class InterfaceQuality:
    """How well the interface of two chains is modelled.

    Attributes:
        chains: their numbers in the truth.
        fnat: share of the true contacts that the model has.
        irmsd: deviation of the interface's backbone, superposed.
        lrmsd: deviation of the smaller chain's backbone, the larger superposed.
        lddt: interface lDDT, 0 to 1, over CA distances between the two chains.
        contacts: number of true contacts.
    """

    chains: tuple[int, int]
    fnat: float
    irmsd: float
    lrmsd: float
    lddt: float
    contacts: int

    @property
    def dockq(self) -> float:
        """0 to 1; from 0.23 acceptable, from 0.49 medium, from 0.8 high quality."""
        return (
            self.fnat + 1 / (1 + (self.irmsd / 1.5) ** 2) + 1 / (1 + (self.lrmsd / 8.5) ** 2)
        ) / 3


@dataclass(frozen=True)
class ComplexQuality:
    """How well a complex is modelled, under the best assignment of equal chains.

    Attributes:
        interfaces: of every two chains that touch in the truth.
        tm_score: of all chains together, by the truth's resolved residues.
        chain_of: the truth's chain of each chain of the model.
    """

    interfaces: list[InterfaceQuality]
    tm_score: float
    chain_of: dict[int, int]

    @property
    def dockq(self) -> float:
        """The mean over all interfaces; NaN where no chains touch."""
        scores = [interface.dockq for interface in self.interfaces]
        return float(np.mean(scores)) if scores else float("nan")


def residue_distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """[N, 37, 3] and [M, 37, 3] -> [N, M] least distance of two atoms; infinite without atoms."""
    result = np.full((len(one), len(other)), np.inf)
    points, owner = _atoms(other)
    if not len(points):
        return result
    starts = np.r_[0, np.flatnonzero(np.diff(owner)) + 1]
    for i, residue in enumerate(one):
        atoms = residue[np.isfinite(residue).all(-1)]
        if len(atoms):
            nearest = np.sqrt(((atoms[:, None] - points[None]) ** 2).sum(-1)).min(0)
            result[i, owner[starts]] = np.minimum.reduceat(nearest, starts)
    return result


def _atoms(residues_: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    owner, slot = np.nonzero(np.isfinite(residues_).all(-1))
    return residues_[owner, slot], owner


def interface_quality(
    model: np.ndarray, truth: np.ndarray, chains: np.ndarray, one: int, other: int
) -> InterfaceQuality | None:
    """DockQ's parts for two chains of a complex, or None where they do not touch in the truth.

    Args:
        model, truth: [N, 37, 3], residue i of one being residue i of the other.
        chains: [N] number of each residue's chain.
        one, other: two of them.
    """
    model, truth = np.asarray(model, np.float64), np.asarray(truth, np.float64)
    first, second = (np.flatnonzero(chains == chain) for chain in (one, other))
    apart = residue_distances(truth[first], truth[second])
    touching = apart < CONTACT
    if not touching.any():
        return None
    kept = touching & (residue_distances(model[first], model[second]) < CONTACT)
    near = apart < INTERFACE
    interface = np.r_[first[near.any(1)], second[near.any(0)]]
    resolved = [int(np.isfinite(truth[part, 1]).all(-1).sum()) for part in (first, second)]
    receptor, ligand = (first, second) if resolved[0] > resolved[1] else (second, first)
    rotation, shift = metrics.superpose(*_backbone(model, truth, receptor))
    mobile, fixed = _backbone(model, truth, ligand)
    return InterfaceQuality(
        (one, other),
        float(kept.sum() / touching.sum()),
        metrics.rmsd(*_backbone(model, truth, interface)),
        metrics.rmsd(mobile @ rotation.T + shift, fixed, superposed=True),
        _interface_lddt(model[:, 1], truth[:, 1], first, second),
        int(touching.sum()),
    )


def _backbone(
    model: np.ndarray, truth: np.ndarray, part: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Backbone atoms that both have, [A, 3] each."""
    a, b = (atoms[part][:, BACKBONE].reshape(-1, 3) for atoms in (model, truth))
    both = np.isfinite(a).all(1) & np.isfinite(b).all(1)
    if both.sum() < 3:
        raise InputError("two chains have fewer than three backbone atoms in common")
    return a[both], b[both]


def _interface_lddt(
    model: np.ndarray, truth: np.ndarray, first: np.ndarray, second: np.ndarray
) -> float:
    """lDDT of the CA distances between two chains; distances that the model lacks are lost."""
    known, have = (
        np.sqrt(((atoms[first][:, None] - atoms[second][None]) ** 2).sum(-1))
        for atoms in (truth, model)
    )
    use = known < 15.0
    if not use.any():
        return float("nan")
    error = np.abs(np.where(np.isfinite(have), have, np.inf) - np.where(use, known, 0))[use]
    return float(np.mean([(error < limit).mean() for limit in (0.5, 1, 2, 4)]))


def complex_quality(
    model: np.ndarray, model_numbers: np.ndarray, truth: np.ndarray, truth_numbers: np.ndarray
) -> ComplexQuality:
    """Score a complex; equal chains are matched by `measure.chains.match_chains`.

    Args:
        model, truth: [N, 37, 3] and [M, 37, 3].
        model_numbers, truth_numbers: [N, 3] and [M, 3]: chain, sequence, residue in the chain.
    """
    assigned = match_chains(model[:, 1], model_numbers, truth[:, 1], truth_numbers)
    source = matched_residues(model_numbers, truth_numbers, assigned)
    laid = np.full(truth.shape, np.nan)
    laid[source[source >= 0]] = model[source >= 0]
    chains = truth_numbers[:, 0]
    names = [int(chain) for chain in np.unique(chains)]
    pairs = [(a, b) for k, a in enumerate(names) for b in names[k + 1 :]]
    found = [interface_quality(laid, truth, chains, a, b) for a, b in pairs]
    return ComplexQuality(
        [interface for interface in found if interface is not None],
        metrics.tm_score(laid[:, 1], truth[:, 1]),
        assigned,
    )


def pdockq(atoms: np.ndarray, plddt: np.ndarray, chains: np.ndarray, one: int, other: int) -> float:
    """Predicted DockQ of two chains of a model, from its contacts and pLDDT, 0 to 0.74.

    Args:
        atoms: [N, 37, 3], NaN where missing.
        plddt: [N], 0 to 100.
        chains: [N] number of each residue's chain.
        one, other: two of them.

    Returns:
        0 where no CB atoms (CA in glycine) of the two are within 8 A.
    """
    beta = np.where(np.isfinite(atoms[:, 3]), atoms[:, 3], atoms[:, 1])
    first, second = (np.flatnonzero(chains == chain) for chain in (one, other))
    apart = np.sqrt(((beta[first][:, None] - beta[second][None]) ** 2).sum(-1))
    close = apart <= 8.0
    if not close.any():
        return 0.0
    interface = np.r_[first[close.any(1)], second[close.any(0)]]
    x = plddt[interface].mean() * np.log10(close.sum())
    return float(0.724 / (1 + np.exp(-0.052 * (x - 152.611))) + 0.018)
