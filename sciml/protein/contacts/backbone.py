"""A backbone on a CA trace: N, C and O of chains of which only CA positions are known.

The peptide between two CA atoms is planar and of known geometry (Engh and Huber, 2001); unknown is
its rotation about the line between them. Dynamic programming over 36 rotations of each peptide
finds those with N-CA-C angles near 111 degrees and ideal CB atoms near those that L-residues have
on such a trace (the same problem: Purisima and Scheraga, Biopolymers 23, 1207, 1984).
"""

from __future__ import annotations

import numpy as np

from sciml.protein.contacts.topologies import ideal_cb, pseudo_cb
from sciml.protein.io.residues import ATOM37_INDEX, RESIDUES

ROTATIONS = 36
CARBON, NITROGEN, OXYGEN = (1.425, 0.544), (-1.41, -0.37), (1.665, 1.752)
"""Atoms of a trans peptide: along the line of the CA atoms, and across it in the plane [A].

C and O count from the CA before, N from the one after."""
COS_N_CA_C = -0.358
"""Cosine of the angle N-CA-C, 111 degrees."""
ANGLE_WEIGHT = 50.0
"""Of the squared error of that cosine, relative to squared distances of CB atoms [A^2]."""


def backbone(ca: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """N, C and O of a chain of L-residues.

    Args:
        ca: [L, 3] of at least three residues [A].

    Returns:
        [L, 3] each [A]; NaN for the N of the first and the C and O of the last residue.
    """
    cb = pseudo_cb(ca)[1:-1]
    step = ca[1:] - ca[:-1]
    along = step / np.linalg.norm(step, axis=1, keepdims=True)
    least = np.eye(3)[np.abs(along).argmin(1)]
    first = np.cross(along, least)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(along, first)
    angle = np.arange(ROTATIONS) * (2 * np.pi / ROTATIONS)
    across = np.cos(angle)[:, None] * first[:, None] + np.sin(angle)[:, None] * second[:, None]

    def atom(origin: np.ndarray, position: tuple[float, float]) -> np.ndarray:
        """[L - 1, ROTATIONS, 3] of each peptide and rotation."""
        return origin[:, None] + position[0] * along[:, None] + position[1] * across

    carbon, oxygen = atom(ca[:-1], CARBON), atom(ca[:-1], OXYGEN)
    nitrogen = atom(ca[1:], NITROGEN)
    # Cost of residue i, between the peptides i - 1 and i: [ROTATIONS before, ROTATIONS after].
    total, best = np.zeros(ROTATIONS), []
    for i in range(1, len(ca) - 1):
        n, c = nitrogen[i - 1][:, None], carbon[i][None]
        to_n, to_c = n - ca[i], c - ca[i]
        cosine = (to_n * to_c).sum(-1) / np.linalg.norm(to_n, axis=-1)
        cosine /= np.linalg.norm(to_c, axis=-1)
        side = ((ideal_cb(n, ca[i], c) - cb[i - 1]) ** 2).sum(-1)
        cost = total[:, None] + side + ANGLE_WEIGHT * (cosine - COS_N_CA_C) ** 2
        best.append(cost.argmin(0))
        total = cost.min(0)
    chosen = [int(total.argmin())]
    for previous in reversed(best):
        chosen.append(int(previous[chosen[-1]]))
    rows, missing = np.arange(len(step)), np.full((1, 3), np.nan)
    rotation = np.array(chosen[::-1])
    return (
        np.concatenate([missing, nitrogen[rows, rotation]]),
        np.concatenate([carbon[rows, rotation], missing]),
        np.concatenate([oxygen[rows, rotation], missing]),
    )


def backbone_atoms(ca: np.ndarray, types: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Backbone and CB on a CA trace in atom37 layout: [L, 37, 3] [A] and the mask [L, 37].

    Args:
        ca: [L, 3] [A].
        types: [L] residue types; glycine has no CB, nor have the two ends, of which N or C is
            missing.
    """
    n, c, o = backbone(ca)
    cb = np.where((types == RESIDUES.index("G"))[:, None], np.nan, ideal_cb(n, ca, c))
    atoms = np.full((len(types), 37, 3), np.nan)
    for name, points in (("N", n), ("CA", ca), ("C", c), ("O", o), ("CB", cb)):
        atoms[:, ATOM37_INDEX[name]] = points
    mask = np.isfinite(atoms).all(-1)
    return np.where(mask[..., None], atoms, 0.0), mask.astype(np.float32)
