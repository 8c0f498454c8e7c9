"""A coarse model from a predicted distogram: CA positions of high likelihood.

Gradient descent on a smooth negative log-likelihood of CB distances, with chain geometry (CA-CA
3.8 A, next neighbours 5.0 to 7.4 A, no overlap), from a scaled start, its mirror image and random
chains. Distances alone cannot tell mirror images apart (Vendruscolo et al., Folding and Design 2,
295, 1997, on contact maps): stretches with the local distances of a helix or strand are restrained
to the dihedral angles of L-residues, and of the two hands that of lower energy is kept, including
the twist of the sheets, which is left-handed across the strands (Chothia, JMB 75, 295, 1973).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sciml.errors import InputError
from sciml.protein.contacts.distogram import EDGES, contact_probability
from sciml.renamed import renamed

CENTERS = np.array(
    [3.5, *(0.5 * (a + b) for a, b in zip(EDGES[:-1], EDGES[1:], strict=True)), 22.0]
)
PITCH = 0.25
"""Spacing [A] of the tabulated energy."""


@dataclass
class CoarseModel:
    """CA and CB positions [N, 3] [A], and their energy (lower is better)."""

    ca: np.ndarray
    cb: np.ndarray
    energy: float


def energy_table(distogram: np.ndarray, reach: float = 30.0) -> Tensor:
    """[N, N, K] negative log-likelihood at distances 0, 0.25, ... of the class probabilities.

    The classes' densities are compared with the mean over all pairs as far along the chain (the
    reference state of Senior et al., Nature 577, 706, 2020), smoothed, and kept flat beyond the
    last edge.
    """
    n = len(distogram)
    index = np.arange(n)
    away = np.minimum(np.abs(index[:, None] - index[None]), 24)
    logs = np.log(distogram + 1e-4)
    for separation in range(25):
        pairs = away == separation
        if pairs.any():
            mean = distogram[pairs].mean(0)
            logs[pairs] -= np.log(mean + 1e-4)
    grid = np.arange(0, reach + PITCH, PITCH)
    kernel = np.exp(-0.5 * ((grid[:, None] - CENTERS[None]) / 0.8) ** 2) + 1e-9
    kernel /= kernel.sum(1, keepdims=True)
    kernel[grid > CENTERS[-1]] = np.eye(len(CENTERS))[-1]
    table = -(logs @ kernel.T)
    table -= table[..., -1:]
    return torch.as_tensor(table, dtype=torch.float32)


def side_chains(ca: Tensor) -> Tensor:
    """CB positions of L-residues from CA positions [S, N, 3]; see `topologies.pseudo_cb`."""
    before = F.pad(ca[:, 1:] - ca[:, :-1], (0, 0, 1, 0))
    after = F.pad(ca[:, 1:] - ca[:, :-1], (0, 0, 0, 1))
    out = F.normalize(before - after, dim=-1)
    side = F.normalize(torch.linalg.cross(after, before), dim=-1)
    return ca + 1.53 * (0.82 * out + 0.57 * side)


HELIX_ANGLE, STRAND_ANGLE = np.radians(50.0), np.radians(-170.0)
"""CA dihedral angles of right-handed helices and of strands (Levitt, JMB 104, 59, 1976)."""


def local_structure(distogram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[N - 3] probabilities that residues i..i+3 are helical, and extended, from class [N, N, 16].

    CB atoms three and four apart are 5 to 6.5 A from each other in a helix; in a strand those three
    apart are more than 9 A from each other.
    """
    n = len(distogram)
    index = np.arange(n - 3)
    third = distogram[index, index + 3]
    near = third[:, : EDGES.index(7.0) + 1].sum(1)
    far = third[:, EDGES.index(9.0) + 1 :].sum(1)
    fourth = np.zeros(n - 3)
    after = distogram[index[:-1], index[:-1] + 4][:, : EDGES.index(8.0) + 1].sum(1)
    fourth[:-1] = after
    fourth[1:] = np.maximum(fourth[1:], after)
    return near * fourth, far


def dihedrals(ca: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine [S, N - 3] of the dihedral angles of CA positions [S, N, 3]."""
    step = ca[:, 1:] - ca[:, :-1]
    one = torch.linalg.cross(step[:, :-2], step[:, 1:-1])
    two = torch.linalg.cross(step[:, 1:-1], step[:, 2:])
    size = one.norm(dim=-1) * two.norm(dim=-1) + 0.1
    along = F.normalize(step[:, 1:-1], dim=-1)
    sine = (torch.linalg.cross(one, two) * along).sum(-1) / size
    return (one * two).sum(-1) / size, sine


TWIST = 6.0
"""Energy per unit of `sheet_twist`; chosen on generated families."""


def sheet_twist(ca: np.ndarray, distogram: np.ndarray) -> float:
    """Twist of the paired strands of CA positions [N, 3]: below zero as in nature.

    For residues i and j of strands that touch, u and v the directions of the strands there (v
    turned to the side of u) and d that from i to j: the sum of (u x v) . d, weighted with the
    probabilities of the contact and of both strands by the classes `distogram` [N, N, 16]. In 107
    experimental chains rich in sheets, none of a test family, its mean is -0.19 per pair and its
    sign is right for 95 %.
    """
    n = len(ca)
    extended, count = np.zeros(n), np.zeros(n)
    for offset in range(4):
        extended[offset : n - 3 + offset] += local_structure(distogram)[1]
        count[offset : n - 3 + offset] += 1
    extended /= count
    along = np.zeros_like(ca)
    along[2:-2] = ca[4:] - ca[:-4]
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-9
    i, j = np.triu_indices(n, 5)
    weight = contact_probability(distogram)[i, j] * extended[i] * extended[j]
    across = ca[j] - ca[i]
    across /= np.linalg.norm(across, axis=1, keepdims=True) + 1e-9
    side = np.sign((along[i] * along[j]).sum(1))
    turn = (np.cross(along[i], along[j]) * across).sum(1) * side
    return float((weight * turn).sum())


def scaled_start(distogram: np.ndarray) -> np.ndarray:
    """[N, 3] by multidimensional scaling of expected distances, the far ones along shortest paths.

    The class beyond 20 A gives no distance: there the shortest path over nearer pairs is taken
    (Tenenbaum et al., Science 290, 2319, 2000).
    """
    from scipy.sparse.csgraph import shortest_path

    expected = distogram @ CENTERS
    expected = 0.5 * (expected + expected.T)
    path = np.where(distogram[..., -1] < 0.5, expected, np.inf)
    n = len(path)
    for step, most in ((1, 5.5), (2, 7.5)):
        rows = np.arange(n - step)
        near = np.minimum(path[rows, rows + step], most)
        path[rows, rows + step] = path[rows + step, rows] = near
    np.fill_diagonal(path, 0)
    square = shortest_path(path, directed=False) ** 2
    centred = square - square.mean(0) - square.mean(1)[:, None] + square.mean()
    values, vectors = np.linalg.eigh(-0.5 * centred)
    return vectors[:, -3:] * np.sqrt(np.maximum(values[-3:], 0))


@renamed(distances="distogram")
def fold(distogram: np.ndarray, *, starts: int = 4, steps: int = 400, seed: int = 0) -> CoarseModel:
    """Fold a chain from its distogram.

    Args:
        distogram: [N, N, 16] probabilities of the classes `contacts.EDGES`.
        starts: number of starts; the model of lowest energy is kept.
        steps: of gradient descent, each.
        seed: of the starts.

    Raises:
        InputError: fewer than four residues, or probabilities of another shape.
    """
    distogram = np.asarray(distogram, np.float64)
    n = len(distogram)
    if distogram.shape != (n, n, len(CENTERS)) or n < 4:
        raise InputError(
            f"distance probabilities of shape {distogram.shape}: [N, N, {len(CENTERS)}] with "
            "N >= 4 is needed"
        )
    row, column = np.triu_indices(n, 3)
    table = energy_table(distogram)[row, column]  # [pairs, K]
    generator = torch.Generator().manual_seed(seed)
    walk = F.normalize(torch.randn(starts, n, 3, generator=generator), dim=-1)
    ca = (3.0 * walk).cumsum(1)
    # The first two starts are the scaled one and its mirror image, the others random chains.
    scaled = torch.as_tensor(scaled_start(distogram), dtype=torch.float32)
    for number, hand in enumerate((1.0, -1.0)[:starts]):
        ca[number] = scaled * torch.tensor([1.0, 1.0, hand])
    # Energy per residue of a dihedral angle of the right hand.
    helical, extended = (
        torch.as_tensor(p, dtype=torch.float32) for p in local_structure(distogram)
    )
    target_cosine = 6 * helical * np.cos(HELIX_ANGLE) + 0.5 * extended * np.cos(STRAND_ANGLE)
    target_sine = 6 * helical * np.sin(HELIX_ANGLE) + 0.5 * extended * np.sin(STRAND_ANGLE)
    ca.requires_grad_(True)
    optimizer = torch.optim.Adam([ca], lr=1.0)
    last = table.shape[1] - 2
    energy = torch.zeros(starts)
    for step in range(steps):
        share = step / steps
        for group in optimizer.param_groups:
            group["lr"] = 0.02 + 0.6 * (1 - share) ** 1.5
        cb = side_chains(ca)
        gap = (cb[:, row] - cb[:, column]).square().sum(-1).add(1e-3).sqrt()
        place = (gap / PITCH).clamp(max=last + 0.999)
        left = place.detach().long()
        lower = table.expand(starts, -1, -1).gather(2, left[..., None])[..., 0]
        upper = table.expand(starts, -1, -1).gather(2, left[..., None] + 1)[..., 0]
        energy = (lower + (upper - lower) * (place - left)).sum(1)
        bond = (ca[:, 1:] - ca[:, :-1]).norm(dim=-1)
        angle = (ca[:, 2:] - ca[:, :-2]).norm(dim=-1)
        apart = (ca[:, row] - ca[:, column]).square().sum(-1).add(1e-3).sqrt()
        cosine, sine = dihedrals(ca)
        energy = energy - (cosine * target_cosine + sine * target_sine).sum(1)
        chain = 20 * (bond - 3.8).square().sum(1)
        chain = chain + 5 * (F.relu(5.0 - angle) + F.relu(angle - 7.4)).square().sum(1)
        clash = 5 * F.relu(4.0 - apart).square().sum(1) * min(1.0, 2 * share)
        loss = (energy + chain + clash).sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([ca], 50.0 * starts)
        optimizer.step()
        if share < 0.6:
            with torch.no_grad():
                ca[2:] += 0.25 * (0.6 - share) * torch.randn(ca[2:].shape, generator=generator)
    models = ca.detach().numpy().astype(np.float64)
    reached = energy.detach().numpy() + [TWIST * sheet_twist(m, distogram) for m in models]
    best = int(np.argmin(reached))
    ca_best = models[best] - models[best].mean(0)
    cb_best = side_chains(torch.as_tensor(ca_best)[None])[0].numpy()
    return CoarseModel(ca_best, cb_best, float(energy[best].detach()))
